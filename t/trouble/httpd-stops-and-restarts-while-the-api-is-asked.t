# httpd ends in order while calls are under way, however long the API takes; and a graceful restart lets a visitor finish.
use strict;
use warnings;
use Test::More;
use IO::Socket::INET;
use Kohomai::TestHTTP;
use Kohomai::TestServer;

my $config = <<'END';
KohomaiAPIKey  sandbox-key
KohomaiTimeout 50s
<Location "/">
    KohomaiHandoff On
    KohomaiJourney 74590868830731162
</Location>
<Location "/hang">
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/hang/api/v1"
</Location>
<Location "/slow">
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/slow=1000/api/v1"
</Location>
END
my $api = sandbox()->clear;

my $httpd   = start_httpd($config);
my $waiting = visit('/slow');
ok $api->wait_until(sub { $_[0]->calls == 1 }), 'a visitor waits';
$httpd->signal('USR1');
{
    local $/;
    my $answer = Kohomai::TestHTTP::Answer->parse(scalar <$waiting>, 'GET');
    is $answer->status, 302, 'and is handed off after the restart';
}
for (1 .. 500) {
    last if $httpd->error_log =~ /graceful restart.*resuming normal operations/si;
    select undef, undef, undef, 0.02;
}
is $httpd->request(GET => '/slow')->status, 302, 'so is the next one';

$api->clear;
my @stuck = map { visit('/hang') } 1 .. 3;
ok $api->wait_until(sub { $_[0]->calls == 3 }), 'three visitors wait for an API that says nothing';
is $httpd->stop, 0, 'httpd ends in order';
unlike $httpd->error_log, qr/still did not exit|exit signal|Sanitizer/, 'and its children, too';
ok $api->wait_until(sub { $_[0]->connections->{waiting} == 0 }), 'the API is let go of';

done_testing;

sub visit {
    my ($path) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $httpd->port) or die "No connection: $@\n";
    print {$socket} "GET $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    $socket->flush;
    return $socket;
}
