# A visitor on a connection of their own, who may ask several things on it, read the answers when they like, and leave; and
# what tests with many such visitors need beside.
#
#     my @visitors = map { visitor($httpd) } 1 .. 100;
#     $_->ask(GET => '/onboarding') for @visitors;        # all of them wait now
#     is $_->answer->status, 302 for @visitors;
#
# No two visitors have the same User-Agent, unless they are given the same name. It never follows, retries or judges anything.
package Kohomai::TestVisitor;

use strict;
use warnings;
use feature 'signatures';

use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

use Kohomai::TestHTTP ();
use Kohomai::TestServer;

our @EXPORT = qw(visitor size_of handoff ends_well wait_for outcomes lines_of);
our @EXPORT_OK = qw(HUNG);

use constant PATIENCE => 60 * ($ENV{KOHOMAI_SLOWNESS} // 1);    # seconds without a byte until a visitor says that the server hangs

# What httpd says of a child that does not end. Where it is slow, it may have to ask twice.
use constant HUNG => $ENV{KOHOMAI_SLOWNESS} ? 'exit, sending a SIGKILL' : 'still did not exit';

my $number = 0;

# visitor(HTTPD), or over TLS: visitor(HTTPD, tls => PORT, version => 'TLSv1_2'). name => TEXT is their User-Agent, from => ADDRESS
# (of this machine) where they come from.
sub visitor ($httpd, %how) {
    my $port = $how{tls} // $httpd->port;
    my $socket = $how{tls} ? tls_socket($port, $how{version})
        : IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, LocalAddr => $how{from} // '127.0.0.1');
    die "no connection to port $port: $@\n" if !$socket;
    return bless {socket => $socket, port => $port, in => '', name => $how{name} // 'visitor-' . ++$number . "-$$"}, __PACKAGE__;
}

sub tls_socket ($port, $version) {
    require IO::Socket::SSL;
    return IO::Socket::SSL->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => PATIENCE, SSL_hostname => 'localhost',
        SSL_ca_file => $ENV{KOHOMAI_TLS_CERT}, SSL_verifycn_name => 'localhost', SSL_version => $version // 'SSLv23')
        || die "no TLS connection to port $port: $IO::Socket::SSL::SSL_ERROR\n";
}

# The bytes of a request on a connection that goes on, unless the headers say otherwise.
sub bytes ($self, $method, $path, %how) {
    my @headers = @{$how{headers} || []};
    push @headers, Connection => 'keep-alive' if !grep { lc eq 'connection' } @headers;
    return Kohomai::TestHTTP::request_bytes($method, $path, port => $self->{port}, %how,
        headers => ['User-Agent' => $self->{name}, @headers]);
}

sub ask ($self, $method, $path, %how) {
    return $self->send_bytes($self->bytes($method, $path, %how));
}

sub send_bytes ($self, $bytes) {
    local $SIG{PIPE} = 'IGNORE';
    my $sent = 0;
    while ($sent < length $bytes) {
        $sent += $self->{socket}->syswrite($bytes, length($bytes) - $sent, $sent) // die "$self->{name} cannot send: $!\n";
    }
    return $self;
}

# The next whole answer; dies where none comes.
sub answer ($self, $method = 'GET') {
    my $length;
    until (defined($length = length_of_answer($self->{in}, $method, $self->{closed}))) {
        die "$self->{name}: the connection ended before the answer: '$self->{in}'\n" if $self->{closed};
        $self->read_more;
    }
    return Kohomai::TestHTTP::Answer->parse(substr($self->{in}, 0, $length, ''), $method);
}

# Whether something has come that was not read yet, be it the end.
sub has_answer ($self) { return $self->{in} ne '' || IO::Select->new($self->{socket})->can_read(0) }

# Whether the server ends the connection without another byte.
sub is_closed ($self) {
    $self->read_more while !$self->{closed} && $self->{in} eq '';
    return $self->{closed} && $self->{in} eq '';
}

sub leave ($self) { close delete $self->{socket} }

sub read_more ($self) {
    my $socket = $self->{socket};
    my $pending = $socket->can('pending') && $socket->pending;
    die "$self->{name}: the server does not answer\n" if !$pending && !IO::Select->new($socket)->can_read(PATIENCE);
    my $got = $socket->sysread($self->{in}, 65_536, length $self->{in});
    $self->{closed} = 1 if !$got;
}

# How many bytes the first answer takes; undef where it is not all there.
sub length_of_answer ($bytes, $method, $closed) {
    my ($head) = $bytes =~ /\A(.*?\r\n\r\n)/s or return undef;
    my ($status) = $head =~ m{\AHTTP/1\.\d (\d{3})} or die "This is no HTTP answer: $bytes\n";
    my $start = length $head;
    if ($status < 200) {
        my $rest = length_of_answer(substr($bytes, $start), $method, $closed);
        return defined $rest ? $start + $rest : undef;
    }
    return $start if $method eq 'HEAD' || $status == 204 || $status == 304;
    return length_of_chunks($bytes, $start) if $head =~ /^Transfer-Encoding: chunked\r$/mi;
    my $end = $head =~ /^Content-Length: (\d+)\r$/mi ? $start + $1 : $closed ? length $bytes : return undef;
    return $end <= length $bytes ? $end : undef;
}

sub length_of_chunks ($bytes, $at) {
    while (substr($bytes, $at) =~ /\A([0-9a-fA-F]+)[^\r\n]*\r\n/) {
        my $size = hex $1;
        $at += $+[0] + $size + 2;
        return $at <= length $bytes ? $at : undef if !$size;
        return undef if $at > length $bytes;
    }
    return undef;
}

# --- About the server ------------------------------------------------------------------------------------------------------

# The configuration of a server of so many children with so many threads (prefork: as many children as that makes).
sub size_of ($children, $threads, @more) {
    my $all = $children * $threads;
    return join "\n", <<"END", @more, '';
<IfModule mpm_prefork_module>
    StartServers      $all
    ServerLimit       $all
    MaxRequestWorkers $all
    MinSpareServers   1
    MaxSpareServers   @{[$all + 1]}
</IfModule>
<IfModule !mpm_prefork_module>
    StartServers      $children
    ServerLimit       $children
    ThreadsPerChild   $threads
    MaxRequestWorkers $all
    MinSpareThreads   $all
    MaxSpareThreads   @{[$all + $threads]}
</IfModule>
END
}

# A path whose visitors, all of them known, are handed off.
sub handoff ($path, $base, @lines) {
    return join "\n", qq{<Location "$path">}, 'KohomaiHandoff On', 'KohomaiJourney 74590868830731162', qq{KohomaiBaseURL "$base"},
        @lines, "</Location>\n";
}

# Waits until CHECK is true, at most SECONDS; returns what it returned last.
sub wait_for ($check, $seconds = PATIENCE) {
    my $end = time + $seconds;
    my $is;
    sleep 0.02 while !($is = $check->()) && time < $end;
    return $is;
}

# The lines of the access log about a path, once there are COUNT of them; or when patience ends.
sub lines_of ($httpd, $path, $count = 1) {
    my $find = sub { grep {m{ request="\S+ \Q$path\E[ ?]}} split /\n/, $httpd->access_log };
    wait_for(sub { $find->() >= $count });
    return $find->();
}

# What the log says of them: "OUTCOME REASON STATUS" each.
sub outcomes ($httpd, $path, $count = 1) {
    return map { s/^outcome=(\S+) reason="([^"]*)".* status=(\d+).*/$1 $2 $3/r } lines_of($httpd, $path, $count);
}

# Stops the server: nothing in it crashed, hung or had to be killed.
sub ends_well ($httpd, $what = 'httpd ends in order') {
    sleep 0.3;    # connections that are just ending end: httpd itself may stumble over one when it is stopped at that moment
    is $httpd->stop, 0, $what;
    is_deeply [$httpd->error_log =~ /^.*(?:exit signal|Segmentation|assert|Sanitizer|corrupt|@{[HUNG]}).*$/gim], [],
        'and nothing crashed or hung';
}

1;
