# After some failures in a row no child calls the API for a while, and visitors are told at once when to come back. Then one
# call goes through, and decides. What is known outlives a graceful restart; other APIs are not concerned.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Kohomai::TestHoldingApi;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api = sandbox()->clear;

# --- It opens, in all children, and is remembered ------------------------------------------------------------------------------
{
    my $httpd = server(3, 'KohomaiBreaker 3 40s',
        handoff('/sick', $api->base('status=500')), handoff('/well', $api->base),
        handoff('/ill', $api->base('status=503', 'retry-after=7'), 'KohomaiRetry 0'),
        handoff('/key', $api->base('status=401')), handoff('/missing', $api->base('status=404')));
    is_deeply [map { once($httpd, '/sick')->status } 1 .. 3], [(502) x 3], 'three failures';
    is calls('status=500'), 3, 'by three calls';
    my $told = once($httpd, '/sick');
    is $told->status, 503, 'then visitors are told';
    cmp_ok $told->header('Retry-After'), '<=', 41, 'when to come back';
    cmp_ok $told->header('Retry-After'), '>=', 20, 'which is not at once';
    is((outcomes($httpd, '/sick', 4))[3], 'unavailable breaker 503', 'the log says why');

    my $seen = wait_for(sub { visit_many($httpd, '/sick', 12); children($httpd, '/sick') >= 2 });
    ok $seen, 'by more than one child';
    is calls('status=500'), 3, 'none of which makes a call';

    is_deeply [map { once($httpd, '/well')->status } 1 .. 5], [(302) x 5], 'another API is called';
    is_deeply [map { once($httpd, '/key')->status } 1 .. 5], [(502) x 5], 'an API that refuses is not sick';
    is_deeply [map { once($httpd, '/missing')->status } 1 .. 5], [(404) x 5], 'nor is one that does not know somebody';
    is_deeply [calls('status=401'), calls('status=404')], [5, 5], 'so it is called each time';

    my %before = map { $_ => 1 } children($httpd, '/sick');
    $httpd->signal('USR1');
    ok wait_for(sub { once($httpd, '/sick'); grep { !$before{$_} } children($httpd, '/sick') }), 'after a graceful restart';
    visit_many($httpd, '/sick', 12);
    is calls('status=500'), 3, 'no call is made either';
    is once($httpd, '/well')->status, 302, 'but by others';
    ends_well($httpd);
}

# --- One probe, whoever comes --------------------------------------------------------------------------------------------------
{
    $api->clear;
    my $httpd = server(3, 'KohomaiBreaker 2 3s', handoff('/sick', $api->base('status=500', 'slow=600')));
    is_deeply [map { once($httpd, '/sick')->status } 1 .. 3], [502, 502, 503], 'open after two failures';
    sleep 3.2;
    my $begin  = time;
    my @status = map { $_->status } visit_many($httpd, '/sick', 20);
    my $probes = calls('status=500,slow=600') - 2;
    my $may_be = 1 + int((time - $begin) / 3);    # where the machine is so slow that it was open for its time again
    ok $probes >= 1 && $probes <= $may_be, 'when the time is over there is one call' or diag "$probes probes";
    is_deeply [sort @status], [(502) x $probes, (503) x (20 - $probes)], 'whoever comes; all others are told';
    is once($httpd, '/sick')->status, 503, 'a probe that fails opens it again';
    ends_well($httpd);
}

# --- A good probe closes it ----------------------------------------------------------------------------------------------------
{
    $api->clear;
    my $httpd = server(1, 'KohomaiBreaker 2 1s', handoff('/mends', $api->base('status=500', 'times=2')));
    is_deeply [map { once($httpd, '/mends')->status } 1 .. 3], [502, 502, 503], 'open after two failures';
    sleep 1.1;
    is once($httpd, '/mends')->status, 302, 'the probe finds it well';
    is_deeply [map { $_->status } visit_many($httpd, '/mends', 10)], [(302) x 10], 'and all are handed off again';
    ends_well($httpd);
}

# --- Only failures in a row count ----------------------------------------------------------------------------------------------
{
    $api->clear;
    my $httpd = server(1, 'KohomaiBreaker 2 40s', handoff('/sick', $api->base('status=500', 'only=sessions'))
        . qq{<Location "/sick/new">\nKohomaiHandoff register\nKohomaiLead Email a\@b.example\n</Location>\n});
    is_deeply [map { once($httpd, $_)->status } ('/sick', '/sick/new') x 3], [(502, 302) x 3], 'a good call in between starts the count anew';
    ends_well($httpd);
}

# --- As long as the API asks ---------------------------------------------------------------------------------------------------
{
    $api->clear;
    my $httpd = server(1, 'KohomaiBreaker 2 1s', handoff('/ill', $api->base('status=503', 'retry-after=50'), 'KohomaiRetry 0'));
    is_deeply [map { once($httpd, '/ill')->status } 1, 2], [502, 502], 'an API that asks to be left alone';
    sleep 1.5;
    my $told = once($httpd, '/ill');
    is $told->status, 503, 'is';
    cmp_ok $told->header('Retry-After'), '>=', 20, 'for as long as it asked';
    is calls('status=503,retry-after=50'), 2, 'and not called';
    ends_well($httpd);
}

# --- A probe that fails: as long as the API asks from then on --------------------------------------------------------------------
{
    my $held  = Kohomai::TestHoldingApi->start;
    my $httpd = server(1, 'KohomaiBreaker 1 1s', handoff('/ill', $held->base, 'KohomaiRetry 0', 'KohomaiTimeout 50s'));
    my $first = visitor($httpd)->ask(GET => '/ill');
    ok wait_for(sub { $held->held == 1 }), 'a call';
    $held->answer('sick');
    is $first->answer->status, 502, 'fails';
    my $probe;
    ok wait_for(sub { $probe = visitor($httpd)->ask(GET => '/ill'); wait_for(sub { $held->held || $probe->has_answer }); $held->held }), 'then there is a probe';
    $held->answer('resting');
    is $probe->answer->status, 502, 'which fails, too';
    sleep 1.5;
    my $told = once($httpd, '/ill');
    is $told->status, 503, 'the API is left alone';
    cmp_ok $told->header('Retry-After'), '>=', 2_000, 'for as long as it asked';
    is $held->calls, 2, 'and not called';
    ends_well($httpd);
}

# --- A probe of which nothing is heard is another visitor's ------------------------------------------------------------------------
{
    my $held  = Kohomai::TestHoldingApi->start;
    my $other = Kohomai::TestHoldingApi->start;
    my $httpd = server(1, 'KohomaiMaxPending 1', 'KohomaiBreaker 1 4s', map { handoff(@$_, 'KohomaiRetry 0', 'KohomaiTimeout 50s') }
        ['/ill', $held->base], ['/other', $other->base]);
    my $first = visitor($httpd)->ask(GET => '/ill');
    ok wait_for(sub { $held->held == 1 }), 'a call';
    $held->answer('sick');
    is $first->answer->status, 502, 'fails';
    sleep 4.1;

    my $in_the_way = visitor($httpd)->ask(GET => '/other');
    ok wait_for(sub { $other->held == 1 }), 'another visitor takes all the room';
    is once($httpd, '/ill')->status, 503, 'so there is none for the probe';
    is((outcomes($httpd, '/ill', 2))[1], 'unavailable max-pending 503', 'as the log says');
    $other->answer;
    is $in_the_way->answer->status, 302, 'who goes on';

    my $leaves = visitor($httpd)->ask(GET => '/ill');
    ok wait_for(sub { $held->held || $leaves->has_answer }) && $held->held, 'the next visitor is the probe';
    $leaves->leave;
    ok wait_for(sub { $httpd->error_log =~ /reason=visitor-gone/ }), 'and leaves';

    my $probe = visitor($httpd)->ask(GET => '/ill');
    ok wait_for(sub { $held->calls == 3 || $probe->has_answer }) && $held->calls == 3, 'then the one after that is';
    $held->answer;
    is $probe->answer->status, 302, 'which finds it well';
    is_deeply [map { my $again = visitor($httpd)->ask(GET => '/ill'); wait_for(sub { $held->held }); $held->answer; $again->answer->status } 1 .. 2],
        [302, 302], 'for all';
    ends_well($httpd);
}

# --- Nor does the same visitor call again ----------------------------------------------------------------------------------------
{
    $api->clear;
    my $httpd = server(1, 'KohomaiBreaker 1 40s', handoff('/sick', $api->base('status=503', 'times=1'), 'KohomaiRetry 3'));
    is once($httpd, '/sick')->status, 503, 'one failure opens it, also for a further try';
    is_deeply [outcomes($httpd, '/sick')], ['unavailable breaker 503'], 'as the log says';
    is calls('status=503,times=1'), 1, 'so there was one call';
    ends_well($httpd);
}

# --- There is room for 63 APIs; further ones share a breaker -----------------------------------------------------------------------
{
    $api->clear;
    my @base  = map { $api->base('status=500', 'expire=' . (200_000 + $_)) } 1 .. 70;
    my $httpd = server(1, 'KohomaiBreaker 1 50s', map { handoff("/api-$_", $base[$_ - 1], 'KohomaiRetry 0') } 1 .. 70);
    is_deeply [map { once($httpd, "/api-$_")->status } 1 .. 70], [(502) x 64, (503) x 6], 'each API has a breaker of its own, the last ones share it';
    is_deeply [map { once($httpd, "/api-$_")->status } 1 .. 70], [(503) x 70], 'and all are remembered';
    ends_well($httpd);
}

# --- All kinds of failure, and none with Off -----------------------------------------------------------------------------------
{
    $api->clear;
    my %sick = (closed => 'http://127.0.0.1:1/api/v1', hang => $api->base('hang'), garbage => $api->base('garbage'),
        'hangup-after' => $api->base('hangup-after'), 'status=429' => $api->base('status=429'));
    my @paths = map { handoff("/$_", $sick{$_}, 'KohomaiTimeout 300ms', 'KohomaiRetry 0') } sort keys %sick;
    my $httpd = server(1, 'KohomaiBreaker 2 40s', @paths);
    my $off   = server(1, 'KohomaiBreaker Off', @paths);
    for my $name (sort keys %sick) {
        once($httpd, "/$name") for 1 .. 4;
        is scalar(grep {/^unavailable breaker /} outcomes($httpd, "/$name", 4)), 2, "$name: opens it";
        once($off, "/$name") for 1 .. 4;
        is scalar(grep {/breaker/} outcomes($off, "/$name", 4)), 0, "$name: with Off there is none";
    }
    is calls('garbage'), 6, 'and each visitor is asked for';
    ends_well($_) for $httpd, $off;
}

done_testing;

sub server {
    my ($children, @lines) = @_;
    return start_httpd(size_of($children, 4, 'KohomaiAPIKey sandbox-key', 'KohomaiMaxPending 100', 'LogFormat "%P request=\"%r\"" child',
        'CustomLog "${LOGS}/children_log" child', @lines));
}

sub once {
    my ($httpd, $path) = @_;
    return visitor($httpd)->ask(GET => $path, headers => [Connection => 'close'])->answer;
}

sub visit_many {
    my ($httpd, $path, $count) = @_;
    return map { $_->answer } map { visitor($httpd)->ask(GET => $path, headers => [Connection => 'close']) } 1 .. $count;
}

sub calls { return scalar(my @calls = $api->calls(mood => $_[0])) }

# The pids of those that answered visitors of a path.
sub children {
    my ($httpd, $path) = @_;
    my %pids = map { $_ => 1 } Kohomai::TestHttpd::read_file($httpd->dir . '/logs/children_log') =~ /^(\d+) request="GET \Q$path\E /mg;
    return keys %pids;
}
