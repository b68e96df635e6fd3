# The sandbox as tests see it: starts one (or uses one that runs), gives base URLs, and reads its record.
# It never starts a sandbox that outlives the test, and ends only the one that it started, by its pid.
package Kohomai::TestSandbox;
use strict;
use warnings;
use feature 'signatures';

use Carp qw(croak);
use File::Basename qw(dirname);
use File::Spec;
use HTTP::Tiny;
use JSON::PP ();
use Kohomai::TestSecrets qw(note_call);
use POSIX ();
use Time::HiRes qw(sleep time);

use constant {READY_WITHIN_S => 30, KEY => 'sandbox-key'};

my $PROGRAM = File::Spec->rel2abs(File::Spec->catfile(dirname(__FILE__), '..', '..', 'sandbox', 'sandbox'));

# Options, all of them optional: port, key ('none' for no key), tls_cert, tls_key, tls_port.
sub start ($class, %options) {
    my $tls  = defined $options{tls_cert};
    my @args = ("--with-parent=$$");
    for my $name (sort keys %options) {
        croak "there is no option $name" if $name !~ /\A(?:port|key|tls_cert|tls_key|tls_port)\z/;
        push @args, '--' . $name =~ tr/_/-/r, $options{$name};
    }
    my ($pid, $from) = spawn(@args);
    my $self = bless {pid => $pid, owner => $$, from => $from, key => $options{key} // KEY}, $class;
    $self->{url}     = $self->read_address('http');
    $self->{tls_url} = $self->read_address('https') if $tls;
    return $self;
}

# Uses one that runs already; without an address, the one that KOHOMAI_SANDBOX names.
sub attach ($class, $url = $ENV{KOHOMAI_SANDBOX}) {
    croak 'no sandbox to attach to: KOHOMAI_SANDBOX is not set' if !defined $url || $url eq '';
    my $self = bless {url => $url =~ s{/+\z}{}r, key => KEY}, $class;
    $self->connections;
    return $self;
}

sub url ($self)     { return $self->{url} }
sub tls_url ($self) { return $self->{tls_url} }
sub key ($self)     { return $self->{key} }
sub pid ($self)     { return $self->{pid} }

# The base URL for these moods: base('slow=200', 'no-link'). The value of a mood is percent-encoded already
# (see encode) where it holds commas, slashes and the like.
sub base ($self, @moods)     { return with_moods($self->{url},     @moods) }
sub tls_base ($self, @moods) { return with_moods($self->{tls_url}, @moods) }

sub encode ($text) {
    utf8::encode($text) if utf8::is_utf8($text);
    return $text =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger;
}

# What the sandbox saw, oldest first. Filters: kind, path (or its end), mood, since, contains.
sub calls ($self, %filter)  { return $self->recorded(kind => 'api',   %filter) }
sub logins ($self, %filter) { return $self->recorded(kind => 'login', %filter) }

sub recorded ($self, %filter) {
    my $query = join '&', map { encode($_) . '=' . encode($filter{$_}) } sort keys %filter;
    return @{$self->ask('GET', "/_record?$query")};
}

# Notes what may not be written down of all that it saw; before that is forgotten, too.
sub harvest ($self) {
    note_call($_) for $ENV{KOHOMAI_SECRETS} ? $self->recorded : ();
}

# Empties the record and starts every times=N anew.
sub clear ($self) {
    $self->harvest;
    $self->ask('DELETE', '/_record');
    return $self;
}

# {open, accepted, waiting}; the connection of this question is not among them.
sub connections ($self) { return $self->ask('GET', '/_connections') }

# Waits until CHECK->(object) is true, at most SECONDS; returns what it returned last.
sub wait_until ($self, $check, $seconds = 20) {
    my $end = time + $seconds;
    my $is;
    sleep 0.02 while !($is = $check->($self)) && time < $end;
    return $is;
}

sub stop ($self) {
    return if !defined $self->{pid} || $self->{owner} != $$;
    local ($?, $!, $@);
    eval { $self->harvest };
    my $pid = delete $self->{pid};
    kill 'TERM', $pid;
    for (1 .. 250) {
        return if waitpid($pid, POSIX::WNOHANG()) != 0;
        sleep 0.02;
    }
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

sub DESTROY ($self) { $self->stop }

# -- inside ----------------------------------------------------------------------------------------------------

sub spawn (@args) {
    pipe my $from, my $to or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    return ($pid, $from) if $pid;
    open STDOUT, '>&', $to or POSIX::_exit(126);
    open STDIN, '<', File::Spec->devnull or POSIX::_exit(126);
    no warnings 'exec';
    exec $^X, $PROGRAM, @args or POSIX::_exit(127);
}

sub read_address ($self, $scheme) {
    my $line = read_line($self->{from}, READY_WITHIN_S);
    return $1 if ($line // '') =~ m{\Asandbox (\Q$scheme\E://\S+)\n\z};
    $self->stop;
    croak "the sandbox did not start ($PROGRAM)";
}

# Byte by byte: a buffered read could take the next line along, and select would not see it.
sub read_line ($from, $seconds) {
    my ($line, $end) = ('', time + $seconds);
    while ($line !~ /\n\z/) {
        my $ready = '';
        vec($ready, fileno $from, 1) = 1;
        my $left = $end - time;
        return undef if $left <= 0 || select($ready, undef, undef, $left) <= 0;
        sysread $from, my $byte, 1 or return undef;
        $line .= $byte;
    }
    return $line;
}

sub with_moods ($url, @moods) {
    croak 'this sandbox has no such address' if !defined $url;
    return "$url/api/v1" if !@moods;
    return "$url/m/" . join(',', @moods) . '/api/v1';
}

sub ask ($self, $method, $path) {
    my $answer = HTTP::Tiny->new(timeout => 30, keep_alive => 0, max_redirect => 0, proxy => undef, http_proxy => undef)
        ->request($method, "$self->{url}$path");
    croak "the sandbox answered $method $path with $answer->{status}: $answer->{content}" if !$answer->{success};
    return length $answer->{content} ? JSON::PP::decode_json($answer->{content}) : undef;
}

1;
