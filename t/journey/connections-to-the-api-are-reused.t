# Calls of one child share a connection to the API, over TLS too; where the API closes it, the next TLS connection resumes the
# session. One child serves all visitors here, so that there is one to share.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $httpd = start_httpd(<<'END');
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
<LocationMatch "^/(plain|secure|closing|closing-secure|slow-secure|failing|chunked)$">
    KohomaiHandoff On
    KohomaiJourney 74590868830731162
    KohomaiCAFile  "${KOHOMAI_TLS_CERT}"
</LocationMatch>
<Location "/plain">
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/api/v1"
</Location>
<Location "/secure">
    KohomaiBaseURL "${KOHOMAI_SANDBOX_TLS}/api/v1"
</Location>
<Location "/closing">
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/keep-alive=off/api/v1"
</Location>
<Location "/closing-secure">
    KohomaiBaseURL "${KOHOMAI_SANDBOX_TLS}/m/keep-alive=off/api/v1"
</Location>
<Location "/slow-secure">
    KohomaiBaseURL "${KOHOMAI_SANDBOX_TLS}/m/keep-alive=off,slow=5000/api/v1"
</Location>
<Location "/failing">
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/status=500/api/v1"
</Location>
<Location "/chunked">
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/chunked/api/v1"
</Location>
<Location "/join">
    KohomaiHandoff On
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/api/v1"
    KohomaiLead    Email "%{query:who}@example.com"
</Location>
END
my $api = sandbox();

my @plain = visits('/plain', 302, 6);
is scalar(connections(@plain)), 1, 'six visitors, one connection';

my @secure = visits('/secure', 302, 6);
is scalar(connections(@secure)), 1, 'the same over TLS';
is scalar(grep { $_->{tls} } @secure), 6, 'and TLS it is';

my @closing = visits('/closing', 302, 3);
is scalar(connections(@closing)), 3, 'where the API closes each connection, each visitor has a new one';

my @resumed = visits('/closing-secure', 302, 4);
is scalar(connections(@resumed)), scalar(@resumed), 'over TLS too';
is scalar(grep { !$_->{tls_resumed} } @resumed[1 .. $#resumed]), 0, 'but the TLS session is resumed';

# Each of these calls comes while those before it are under way, so it has a connection of its own. A session of TLS 1.3 serves
# once; one that comes before the next session has arrived, as may happen on a busy machine, has none to resume.
if (mpm() ne 'prefork') {    # whose one child has one visitor
    $api->clear;
    my @together;
    for my $count (1 .. 4) {
        push @together, visitor($httpd)->ask(GET => '/slow-secure', headers => [Connection => 'close']);
        $api->wait_until(sub { $_[0]->connections->{waiting} == $count });
        sleep 0.2;
    }
    is_deeply [map { $_->answer->status } @together], [(302) x 4], 'four at the same time';
    @resumed = $api->calls;
    is scalar(connections(@resumed)), 4, 'have a connection each';
    cmp_ok scalar(grep { $_->{tls_resumed} } @resumed[1 .. 3]), '>=', 2, 'and resume the TLS sessions of one another';
}

is scalar(connections(visits('/failing', 502, 3))), 1, 'an error of the API costs no connection';
is scalar(connections(visits('/chunked', 302, 3))), 1, 'nor does an answer in chunks';
is scalar(connections(visits('/join',    302, 3))), 1, 'those who register share one as well';

is $httpd->stop, 0, 'httpd ends in order';
done_testing;

sub visits {
    my ($path, $status, $count) = @_;
    $api->clear;
    my @got = map { $httpd->request(GET => "$path?who=visitor-$_", headers => ['User-Agent' => "visitor $_"])->status } 1 .. $count;
    is_deeply \@got, [($status) x $count], "$path: $count visits";
    my @calls = $api->calls;
    cmp_ok scalar @calls, '>=', $count, "$path: each with a call";
    return @calls;
}

sub connections {
    my %number = map { $_->{connection} => 1 } @_;
    return keys %number;
}
