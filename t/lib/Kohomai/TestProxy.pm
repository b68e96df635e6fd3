# A small proxy on loopback: HTTP (CONNECT alone), SOCKS 4a or SOCKS 5, told apart by what a client sends first; over TLS where it
# is given a certificate. It writes down what it was asked in the clear, and passes the rest on without looking.
#
#     my $proxy = Kohomai::TestProxy->start(user => 'alice', password => 'p@ss');      # whoever else comes is sent away
#     my $proxy = Kohomai::TestProxy->start(mood => 'hang');
#     $proxy->asked;                           # a line for each: "CONNECT localhost:1234 alice:p@ss", and the raw heads
#
# Moods: hang (says nothing), NNN (answers CONNECT with that status; SOCKS 5: with that number), garbage, close.
package Kohomai::TestProxy;

use strict;
use warnings;
use feature 'signatures';

use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use MIME::Base64 qw(decode_base64);
use Time::HiRes ();

sub start ($class, %how) {
    my $folder = File::Temp->newdir;
    my $listener = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1') or die "listen: $@\n";
    my $parent = $$;
    my $pid = fork // die "fork: $!\n";
    my $self = bless {%how, folder => $folder, log => "$folder/asked", port => $listener->sockport, pid => $pid, owner => $parent}, $class;
    $self->serve($listener, $parent) if !$pid;
    return $self;
}

sub port ($self) { return $self->{port} }
sub url ($self, $scheme, $credentials = '') { return "$scheme://$credentials" . ($credentials ne '' && '@') . "localhost:$self->{port}" }

sub raw ($self) {
    open my $in, '<:raw', $self->{log} or return '';
    local $/;
    return <$in> // '';
}

sub asked ($self) { return $self->raw =~ /^> (.*)$/mg }

sub DESTROY ($self) {
    return if $self->{owner} != $$;
    local ($?, $!);
    kill TERM => $self->{pid};
    waitpid $self->{pid}, 0;
}

# --- The proxy's own process; another one for each connection --------------------------------------------------------------

sub serve ($self, $listener, $parent) {
    open STDOUT, '>', '/dev/null';    # whoever reads the test's output must not wait for us
    $SIG{CHLD} = 'IGNORE';
    $SIG{PIPE} = 'IGNORE';
    $SIG{TERM} = sub { POSIX::_exit(0) };
    require POSIX;
    while (getppid == $parent) {
        next if !IO::Select->new($listener)->can_read(1);
        my $client = $listener->accept or next;
        next if fork;
        $listener->close;
        eval { $self->attend($client) };
        POSIX::_exit(0);
    }
    POSIX::_exit(0);
}

sub attend ($self, $client) {
    alarm 60;    # a connection of a test that is over ends, too
    if ($self->{crt}) {
        require IO::Socket::SSL;
        IO::Socket::SSL->start_SSL($client, SSL_server => 1, SSL_cert_file => $self->{crt}, SSL_key_file => $self->{key}) or return;
    }
    my $first = take($client, 1);
    my $target = $first eq "\5" ? $self->socks5($client) : $first eq "\4" ? $self->socks4a($client) : $self->http($client, $first);
    pass_on($client, IO::Socket::INET->new(PeerAddr => $target)) if $target;
}

sub http ($self, $client, $head) {
    $head .= take($client, 1) until $head =~ /\r\n\r\n\z/;
    my ($target) = $head =~ /\ACONNECT (\S+) HTTP/;
    my ($given) = map { decode_base64($_) } $head =~ /^Proxy-Authorization: Basic (\S+)/mi;
    $self->note($head, 'CONNECT', $target // '-', $given // '-');
    return if $self->moody($client, sub ($status) { "HTTP/1.1 $status Whatever\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno" });
    if ($self->{user} && ($given // '') ne "$self->{user}:$self->{password}") {
        syswrite $client, "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
        return;
    }
    syswrite $client, "HTTP/1.1 200 Go on\r\n\r\n";
    return $target;
}

sub socks5 ($self, $client) {
    my $methods = take($client, ord take($client, 1));
    return if ($self->{mood} // '') =~ /\D/ && $self->moody($client);
    my $given = '-';
    if ($self->{user}) {
        if ($methods !~ /\x02/) {
            $self->note('', 'SOCKS5', '-', '-');
            syswrite $client, "\5\xff";
            return;
        }
        syswrite $client, "\5\2";
        take($client, 1);
        $given = join ':', map { take($client, ord take($client, 1)) } 1 .. 2;
        my $fine = $given eq "$self->{user}:$self->{password}";
        $self->note('', 'SOCKS5', '-', $given) if !$fine;
        syswrite $client, $fine ? "\1\0" : "\1\1";
        return if !$fine;
    }
    else {
        syswrite $client, "\5\0";
    }
    my $kind = ord substr take($client, 4), 3;
    my $host = $kind == 3 ? take($client, ord take($client, 1)) : join '.', unpack 'C4', take($client, 4);
    my $port = unpack 'n', take($client, 2);
    $self->note('', 'SOCKS5', "$host:$port", $given);
    syswrite $client, "\5" . chr($self->{mood} // 0) . "\0\1" . "\0" x 6;
    return $self->{mood} ? undef : "$host:$port";
}

sub socks4a ($self, $client) {
    my (undef, $port) = unpack 'Cn', take($client, 3);
    take($client, 4);
    my ($user, $host) = map { text($client) } 1 .. 2;
    $self->note('', 'SOCKS4a', "$host:$port", $user);
    syswrite $client, "\0\x5a" . "\0" x 6;
    return "$host:$port";
}

# Does what the mood says, and returns true; or there is none.
sub moody ($self, $client, $answer = undef) {
    my $mood = $self->{mood} // return 0;
    if ($mood eq 'hang') {
        my $owner = getppid;
        Time::HiRes::sleep(0.1) while getppid == $owner;
        return 1;
    }
    syswrite $client, $mood eq 'garbage' ? "\0\1\2 this is no proxy\r\n\r\n" : $mood eq 'close' ? '' : $answer->($mood);
    Time::HiRes::sleep(0.2);
    return 1;
}

sub note ($self, $head, @words) {
    open my $out, '>>:raw', $self->{log} or die;
    syswrite $out, "> @words\n$head";
}

sub take ($client, $count) {
    my $bytes = '';
    while (length $bytes < $count) {
        sysread $client, $bytes, $count - length $bytes, length $bytes or die "gone\n";
    }
    return $bytes;
}

sub text ($client) {
    my $text = '';
    while ((my $byte = take($client, 1)) ne "\0") { $text .= $byte }
    return $text;
}

sub pass_on ($client, $server) {
    my $both = IO::Select->new($client, $server // return);
    while (1) {
        my @ready = $client->can('pending') && $client->pending ? $client : $both->can_read(30);
        for my $from (@ready ? @ready : return) {
            my $to = $from == $client ? $server : $client;
            sysread $from, my $bytes, 16_384 or return;
            syswrite $to, $bytes;
        }
    }
}

1;
