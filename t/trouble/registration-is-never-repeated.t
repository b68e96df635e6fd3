# Registering twice makes two journeys: a registration that may have arrived is not sent again, neither over a new connection nor
# by libcurl after a reused one was closed under it. Opening a session may be repeated, and then succeeds.
use strict;
use warnings;
use Test::More;
use IO::Select;
use IO::Socket::INET;
use Kohomai::TestServer;

# An API that answers the first request of each connection well and ends the connection when it has read the second: a client
# that has kept the connection cannot see it coming. It reports each request as CONNECTION:NUMBER, also one of which only a part
# has come; a connection without a request does not count.
my $listen = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1', LocalPort => 0) or die "socket: $@\n";
my $port   = $listen->sockport;
pipe my $report, my $to or die "pipe: $!\n";
my $server = fork // die "fork: $!\n";
serve() if !$server;
close $to;
close $listen;

my $httpd = start_httpd(<<"END");
KohomaiAPIKey sandbox-key
StartServers      1
ServerLimit       1
<IfModule mpm_prefork_module>
    MaxRequestWorkers 1
</IfModule>
<IfModule !mpm_prefork_module>
    ThreadsPerChild   8
    MaxRequestWorkers 8
    MinSpareThreads   1
    MaxSpareThreads   8
</IfModule>
<Location "/">
    KohomaiBaseURL "http://127.0.0.1:$port/api/v1"
    KohomaiTimeout 20s
    KohomaiLead    Email %{query:email}
    KohomaiJourney %{query:id}
</Location>
<Location "/new">
    KohomaiHandoff register
</Location>
<Location "/known">
    KohomaiHandoff session
</Location>
<Location "/idle">
    KohomaiHandoff register
    KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/m/keep-alive=20/api/v1"
</Location>
<Location "/hangup">
    KohomaiHandoff register
    KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/m/hangup-after/api/v1"
</Location>
END

is visit('/new?email=a@example.com'), 302, 'the first one opens a connection';
is_deeply requests(), ['1:1'], 'and is registered by its first request';
is visit('/new?email=b@example.com'), 502, 'the second one finds it closing';
is_deeply requests(), ['1:2'], 'and was sent once';
is visit('/new?email=c@example.com'), 302, 'the third one opens another';
is_deeply requests(), ['2:1'], 'and is registered';

# The same with a session, which does no harm when it is asked for again.
is visit('/known?id=7'), 302, 'a session over the connection that closes';
is_deeply requests(), ['2:2', '3:1'], 'is asked for again, over a new one';

# The connection that closes at the very first request.
my $api = sandbox()->clear;
is visit('/hangup?email=d@example.com'), 502, 'an API that takes a registration and hangs up';
is_deeply [map { $_->{path} } $api->calls], ['/api/v1/journeys'], 'is asked once';

# A connection that the API has closed in the meantime is seen to be closed.
$api->clear;
my $open = $api->connections->{open};
is visit('/idle?email=e@example.com'), 302, 'a registration';
ok $api->wait_until(sub { $_[0]->connections->{open} <= $open }), 'whose connection the API closes a little later';
is visit('/idle?email=f@example.com'), 302, 'hinders no other one';
is scalar(my @both = $api->calls), 2, 'each was sent once';

is $httpd->stop, 0, 'httpd ends in order';
kill TERM => $server;
waitpid $server, 0;
done_testing;

sub visit {
    my ($path) = @_;
    return $httpd->request(GET => $path, headers => ['User-Agent' => $path])->status;
}

# What the API saw since the last time.
sub requests {
    my @seen;
    while (IO::Select->new($report)->can_read(0.3)) {
        sysread $report, my $line, 4096 or last;
        push @seen, split ' ', $line;
    }
    return \@seen;
}

sub serve {
    $SIG{TERM} = 'DEFAULT';
    close $report;
    my $ready = IO::Select->new($listen);
    my (%number, %count, $connections);
    while (my @readable = $ready->can_read) {
        for my $socket (@readable) {
            if ($socket == $listen) {
                $ready->add($listen->accept // next);
                next;
            }
            my $request = read_request($socket);
            $number{$socket} ||= ++$connections if $request;
            syswrite $to, "$number{$socket}:" . ++$count{$socket} . ($request eq 'part' ? '(part)' : '') . "\n" if $request;
            next if $request eq 'whole' && $count{$socket} == 1 && answer($socket);
            delete @$_{$socket} for \%number, \%count;
            $ready->remove($socket);
            close $socket;
        }
    }
    POSIX::_exit(0);
}

# 'whole', 'part', or '' where the client has closed the connection.
sub read_request {
    my ($socket) = @_;
    my $bytes = '';
    while (1) {
        sysread $socket, $bytes, 65_536, length $bytes or return length $bytes ? 'part' : '';
        my ($head, $body) = $bytes =~ /\A(.*?\r\n)\r\n(.*)\z/s or next;
        my ($length) = $head =~ /^Content-Length: (\d+)\r$/mi;
        return 'whole' if length $body >= ($length // 0);
    }
}

sub answer {
    my ($socket) = @_;
    my $body = qq({"ConnectionURL":"http://127.0.0.1:$port/internal/v1/autologin?UUID=1"});
    syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}
