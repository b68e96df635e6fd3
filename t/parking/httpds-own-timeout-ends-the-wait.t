# Where httpd's Timeout is shorter than KohomaiTimeout, a parked visitor is told that it took too long when httpd gives up; the
# connection ends, the call is given up, and a fallback works as ever. A thread that waits is not bound by Timeout.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

plan skip_all => 'only a parked visitor is subject to it' if mpm() ne 'event';

my $api = sandbox()->clear;
my $httpd = start_httpd(size_of(1, 8, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off', 'Timeout 1', 'KeepAliveTimeout 30')
    . handoff('/known', $api->base('hang'), 'KohomaiTimeout 30s')
    . handoff('/page', $api->base('hang'), 'KohomaiTimeout 30s', 'ErrorDocument 504 /cgi-bin/env')
    . handoff('/cgi-bin/env/pass', $api->base('hang'), 'KohomaiTimeout 30s', 'KohomaiFallback timeout pass')
    . handoff('/away', $api->base('hang'), 'KohomaiTimeout 30s', 'KohomaiFallback timeout /plain.txt')
    . handoff('/new', $api->base('slow=4000'), 'KohomaiTimeout 30s', 'KohomaiHandoff register', 'KohomaiLead Email a@b.example'));

my @visitors = map { visitor($httpd)->ask(GET => '/known') } 1 .. 3;
for my $visitor (@visitors) {
    my $answer = $visitor->answer;
    is $answer->status, 504, 'told that it took too long';
    is $answer->header('Connection'), 'close', 'and that the connection ends';
    ok $visitor->is_closed, 'as it does';
}
is_deeply [outcomes($httpd, '/known', 3)], [('timeout httpd-timeout 504') x 3], 'the log says whose time was over';
ok $api->wait_until(sub { $_[0]->connections->{waiting} == 0 }), 'the calls are given up';

like visitor($httpd)->ask(GET => '/page')->answer->body, qr/^REDIRECT_KOHOMAI_REASON=httpd-timeout$/m, 'an error page knows it';
is visitor($httpd)->ask(GET => '/away')->answer->header('Location') =~ s{^http://[^/]+}{}r, '/plain.txt', 'a fallback leads away';
my $passed = visitor($httpd)->ask(GET => '/cgi-bin/env/pass')->answer;
is $passed->status, 200, 'pass';
like $passed->body, qr/^KOHOMAI_REASON=httpd-timeout$/m, 'lets the application answer';

# A registration is not cut off by it.
is visitor($httpd)->ask(GET => '/new')->answer->status, 504, 'a registration that takes long';
ok $api->wait_until(sub { my ($call) = $_[0]->calls(path => '/journeys'); $call && $call->{status} }), 'comes to its end all the same';
is scalar(my @calls = $api->calls(path => '/journeys')), 1, 'and is made once';

# With a request behind it in the pipeline, and a visitor who has gone.
my $pipeline = visitor($httpd);
$pipeline->send_bytes($pipeline->bytes(GET => '/known') . $pipeline->bytes(GET => '/plain.txt'));
is $pipeline->answer->status, 504, 'with another request behind it';
ok $pipeline->is_closed, 'the connection ends as well';
visitor($httpd)->ask(GET => '/known')->leave for 1 .. 3;
ok $api->wait_until(sub { $_[0]->connections->{waiting} == 0 }), 'nothing is left of those who have gone';
is visitor($httpd)->ask(GET => '/plain.txt')->answer->status, 200, 'the server is well';

ends_well($httpd);

# --- The breaker counts it: else an API that hangs would be asked for ever, and each visitor would wait ---------------------------
$httpd = start_httpd(size_of(1, 8, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker 2 40s', 'Timeout 1')
    . handoff('/known', $api->base('hang'), 'KohomaiTimeout 30s'));
is_deeply [map { visitor($httpd)->ask(GET => '/known')->answer->status } 1 .. 3], [504, 504, 503], 'two for whom it was too slow';
is((outcomes($httpd, '/known', 3))[2], 'unavailable breaker 503', 'are enough');
ends_well($httpd);

# But not for a second try that had yet to wait until the API wished to be asked again.
$api->clear;
$httpd = start_httpd(size_of(1, 8, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker 2 40s', 'Timeout 1')
    . handoff('/known', $api->base('status=429', 'retry-after=20'), 'KohomaiTimeout 50s', 'KohomaiRetry 1'));
is visitor($httpd)->ask(GET => '/known')->answer->status, 504, 'who waits for that has had one call';
is visitor($httpd)->ask(GET => '/known')->answer->status, 503, 'so the next one is asked for, too, whose call is the second that fails';
is scalar(my @busy = $api->calls), 2, 'as the API knows';
ends_well($httpd);

done_testing;
