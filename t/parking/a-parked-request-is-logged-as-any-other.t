# A visitor who has waited is logged once, with the status and the whole time; mod_status and mod_reqtimeout see nothing odd in
# one who waits; and over HTTP/2 each stream has its own answer.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api = sandbox()->clear;
my ($tls_port) = free_ports(1);
my $httpd = start_httpd(size_of(1, 8) . <<"END"
KohomaiAPIKey sandbox-key
KohomaiBreaker Off
ExtendedStatus On
LogFormat "D=%D k=%k status=%>s bytes=%B out=%O request=\\"%r\\"" times
LoadModule reqtimeout_module "$ENV{KOHOMAI_MODULES}/mod_reqtimeout.so"
CustomLog "\${LOGS}/times_log" times
RequestReadTimeout header=2 body=2
KeepAliveTimeout 50
<Location "/server-status">
    SetHandler server-status
</Location>
Listen 127.0.0.1:$tls_port
<VirtualHost 127.0.0.1:$tls_port>
    ServerName            localhost
    SSLEngine             On
    SSLCertificateFile    "\${KOHOMAI_TLS_CERT}"
    SSLCertificateKeyFile "\${KOHOMAI_TLS_KEY}"
    <IfModule http2_module>
        Protocols h2 http/1.1
    </IfModule>
</VirtualHost>
END
    . handoff('/slow', $api->base('slow=3000')) . handoff('/bad', $api->base('slow=300', 'status=500'))
    . handoff('/gone', $api->base('hang'), 'KohomaiTimeout 700ms'));

# Whoever waits is not one who is slow to send (the API takes longer than mod_reqtimeout allows for a head).
my @visitors = map { visitor($httpd) } 1 .. 3;
for my $visitor (@visitors) {
    is $visitor->ask(GET => '/plain.txt')->answer->status, 200, 'a first request';
    $visitor->ask(GET => '/slow');
}
ok $api->wait_until(sub { $_[0]->connections->{waiting} == 3 }), 'visitors wait';
my $expected = mpm() eq 'event' ? 1 : 4;
my ($status, $busy);
for my $try (1 .. 40) {    # a thread may wait along for a moment, before its visitor is parked
    $status = visitor($httpd)->ask(GET => '/server-status?auto')->answer;
    ($busy) = $status->body =~ /^BusyWorkers: (\d+)/m;
    last if !defined $busy || $busy == $expected;
    sleep 0.05;
}
is $status->status, 200, 'mod_status answers meanwhile';
like $status->body, qr/^Scoreboard: \S+/m, 'with its table';
is $busy, $expected, 'in which a parked visitor is no busy worker' or diag $status->body;
is visitor($httpd)->ask(GET => '/server-status')->answer->status, 200, 'nor does its page stumble';
is $_->answer->status, 302, 'each gets an answer' for @visitors;
$_->ask(GET => '/bad') for @visitors;
is $_->answer->status, 502, 'then a failure' for @visitors;
$_->ask(GET => '/gone') for @visitors;
is $_->answer->status, 504, 'then none in time' for @visitors;
is $_->ask(GET => '/plain.txt')->answer->status, 200, 'and the connection goes on' for @visitors;

my %expected = ('/slow' => [302, 2_950_000, 1], '/bad' => [502, 290_000, 2], '/gone' => [504, 690_000, 3]);
for my $path (sort keys %expected) {
    my ($code, $least, $kept) = @{$expected{$path}};
    lines_of($httpd, $path, 3);
    my @lines = grep { m{request="GET $path } } split /\n/, Kohomai::TestHttpd::read_file($httpd->dir . '/logs/times_log');
    is scalar(@lines), 3, "$path: each is logged once";
    is_deeply [grep { !/ status=$code / } @lines], [], "$path: with the status";
    is_deeply [grep { (/^D=(\d+)/)[0] < $least || (/^D=(\d+)/)[0] > 20_000_000 } @lines], [], "$path: and the whole time" or diag "@lines";
    is_deeply [grep { !/ k=$kept / } @lines], [], "$path: as the connection's next request" or diag "@lines";
    is_deeply [grep { !/ out=[1-9]/ } @lines], [], "$path: and what was sent";
}

my ($duration) = visitor($httpd)->ask(GET => '/server-status?auto')->answer->body =~ /^Total Duration: (\d+)/m;
cmp_ok $duration, '>=', 3 * 2950, 'mod_status counts the time of those who waited';
cmp_ok $duration, '<', 1_000_000, 'and no more, though another thread ended what one began';

is visitor($httpd)->ask(POST => '/slow', body => 'a=b')->answer->status, 303, 'nor is a visitor with a body cut short';

# Streams wait in threads, and have the same answers.
if (mpm() ne 'prefork') {
    open my $curl, '-|', qw(curl --silent --no-progress-meter --http2 --parallel --parallel-immediate --max-time 50 --noproxy * --cacert), $ENV{KOHOMAI_TLS_CERT},
        qw(--write-out), '%{http_version} %{http_code}\n', map { ('--output', '/dev/null', "https://localhost:$tls_port$_") } ('/slow?1', '/slow?2', '/plain.txt', '/bad')
        or die "curl: $!\n";
    is_deeply [sort map { s/\s+\z//r } <$curl>], ['2 200', '2 302', '2 302', '2 502'], 'streams of HTTP/2';
    close $curl;
}

ends_well($httpd);
done_testing;
