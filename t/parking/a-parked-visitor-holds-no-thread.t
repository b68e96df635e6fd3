# On the event MPM a child of four threads holds a hundred visitors, in clear and over TLS, who wait for the API at the same
# time; and answers everybody else meanwhile. The API here answers nobody until it is told to.
use strict;
use warnings;
use Test::More;
use Kohomai::TestHoldingApi;
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestServer;
use Kohomai::TestVisitor;

plan skip_all => 'only the event MPM can hold a visitor without a thread' if mpm() ne 'event';

use constant VISITORS => 100;

my $api = Kohomai::TestHoldingApi->start;
my ($tls_port) = free_ports(1);
my $httpd = start_httpd(size_of(1, 4, 'AsyncRequestWorkerFactor 50') . <<"END" . handoff('/onboarding', $api->base, 'KohomaiTimeout 55s'));
Listen 127.0.0.1:$tls_port
<VirtualHost 127.0.0.1:$tls_port>
    ServerName            localhost
    SSLEngine             On
    SSLCertificateFile    "\${KOHOMAI_TLS_CERT}"
    SSLCertificateKeyFile "\${KOHOMAI_TLS_KEY}"
</VirtualHost>
END

# The first of all starts the engine; the second round finds what the first one left.
held('in clear');
held('in clear, once more');
held('over TLS 1.2', tls => $tls_port, version => 'TLSv1_2');
held('over TLS 1.3', tls => $tls_port, version => 'TLSv1_3');

ends_well($httpd);
done_testing;

sub held {
    my ($how, %how) = @_;
    my $before = $api->calls;
    my @visitors = map { visitor($httpd, %how)->ask(GET => '/onboarding') } 1 .. VISITORS;
    ok wait_for(sub { $api->held == VISITORS }), "$how: all wait at the same time";
    my @static = map { visitor($httpd, %how)->ask(GET => '/plain.txt', headers => [Connection => 'close'])->answer->status } 1 .. 20;
    is_deeply \@static, [(200) x 20], "$how: others are answered meanwhile";
    is $api->held, VISITORS, "$how: while all of them wait";
    $api->answer;
    my %links = map { my $answer = $_->answer; ($answer->header('Location') // $answer->status => 1) } @visitors;
    is scalar(grep { m{/autologin\?UUID=} } keys %links), VISITORS, "$how: each then gets a link of their own";
    is $api->calls - $before, VISITORS, "$how: by one call each";
}
