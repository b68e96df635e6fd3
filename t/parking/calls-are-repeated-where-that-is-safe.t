# A session call that failed in a way that may pass is made again; a registration only where it was surely never sent. Never
# more often than KohomaiRetry says, and never where the ceiling would be passed.
use strict;
use warnings;
use Test::More;
use Kohomai::TestHoldingApi;
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestServer;
use Kohomai::TestSandbox;
use Kohomai::TestVisitor;

my @NEW = ('KohomaiHandoff register', 'KohomaiLead Email a@b.example');
my ($later) = free_ports(1);
my $closed  = "http://127.0.0.1:$later/api/v1";

my $api = sandbox()->clear;
my (@rows, $paths);

# mood, further lines; the calls that are made, and the outcome
row(['status=503', 'times=1'], [],                     2, 'handed-off - 302');
row(['status=502', 'times=1'], [],                     2, 'handed-off - 302');
row(['status=504', 'times=1'], [],                     2, 'handed-off - 302');
row(['status=429', 'times=1'], [],                     2, 'handed-off - 302');
row(['status=500', 'times=1'], [],                     1, 'failed api 502');
row(['status=401', 'times=1'], [],                     1, 'refused key 502');
row(['status=404', 'times=1'], [],                     1, 'refused not-there 404');
row(['status=503'],            [],                     2, 'failed api 502');
row(['status=503'],            ['KohomaiRetry 0'],     1, 'failed api 502');
row(['status=429'],            ['KohomaiRetry 0'],     1, 'unavailable api 503');
row(['status=503'],            ['KohomaiRetry 3'],     4, 'failed api 502');
row(['status=503', 'times=3'], ['KohomaiRetry 3'],     4, 'handed-off - 302');
row(['status=503', 'times=1', 'slow=300'], [],         2, 'handed-off - 302');
row(['status=503', 'times=1'], \@NEW,                  1, 'failed api 502');
row(['status=502', 'times=1'], \@NEW,                  1, 'failed api 502');
row(['status=504', 'times=1'], \@NEW,                  1, 'failed api 502');
row(['status=429', 'times=1'], \@NEW,                  1, 'unavailable api 503');
row(['hangup-after', 'times=1'], [@NEW, 'KohomaiRetry 5'], 1, 'failed answer-broken 502');
row(['garbage', 'times=1'],    [],                     1, 'failed answer-broken 502');
row(['status=503', 'retry-after=30', 'times=1'], [],   1, 'failed api 502');
row(['status=429', 'retry-after=30', 'times=1'], [],   1, 'unavailable api 503');
row(['status=503', 'retry-after=1', 'times=1'],  [],   2, 'handed-off - 302');
row(['status=429', 'retry-after=1', 'times=1'],  [],   2, 'handed-off - 302');

my $httpd = start_httpd(size_of(1, 32, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off', 'KohomaiMaxPending 100', 'KohomaiTimeout 20s') . $paths
    . handoff('/later', $closed, 'KohomaiRetry 10')
    . handoff('/later-new', $closed, @NEW, 'KohomaiRetry 10')
    . handoff('/never', $closed, 'KohomaiRetry 0'));

is visitor($httpd)->ask(GET => '/never')->answer->status, 502, 'nobody is there, and KohomaiRetry 0';

# The first try finds nobody. These two wait while the table is gone through.
my @early = map { visitor($httpd)->ask(GET => $_) } qw(/later /later-new);
select undef, undef, undef, 0.2;
my $own = Kohomai::TestSandbox->start(port => $later);

my @visitors = map { visitor($httpd)->ask(GET => $_->{path}) } @rows;
for my $row (@rows) {
    my $answer = (shift @visitors)->answer;
    my ($line) = outcomes($httpd, $row->{path});
    is $line =~ s/  / - /r, $row->{outcome}, "$row->{name}: the outcome";
    is scalar(my @calls = calls_of($row)), $row->{calls}, "$row->{name}: so many calls";
    is $answer->header('Retry-After'), '30', "$row->{name}: the visitor is told when" if $row->{name} =~ /429,retry-after=30/;
    cmp_ok $calls[1]{at} - $calls[0]{at}, '>=', 1_000, "$row->{name}: the API is given that time" if $row->{name} =~ /retry-after=1,/;
}

is_deeply [map { $_->answer->status } @early], [302, 302], 'an API that comes up is found by a later try';
is_deeply [sort map { $_->{path} } $own->calls], ['/api/v1/journeys', '/api/v1/sessions'], 'a session and a registration, one call each';

# A registration without a link goes on by a session, which is tried again as any other.
my $held = Kohomai::TestHoldingApi->start;
my $two  = start_httpd(size_of(1, 8, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off', 'KohomaiTimeout 50s') . handoff('/two', $held->base, @NEW));
my $goes_on = visitor($two)->ask(GET => '/two');
ok wait_for(sub { $held->held == 1 && $held->calls == 1 }), 'a registration is sent';
$held->answer('no-link');
ok wait_for(sub { $held->held == 1 && $held->calls == 2 }), 'it has no link, so a session is asked for';
$held->answer('sick');
ok wait_for(sub { $held->held == 1 && $held->calls == 3 }), 'which is tried again';
$held->answer;
is $goes_on->answer->status, 302, 'and brings the link';

ends_well($_) for $httpd, $two;
done_testing;

# Each row has a mood of its own (the link's life does no harm), so that its calls are told from others'.
sub row {
    my ($moods, $lines, $calls, $outcome) = @_;
    my $n = @rows + 1;
    my @moods = (@$moods, 'expire=' . (100_000 + $n));
    push @rows, {path => "/row-$n", mood => join(',', @moods), calls => $calls, outcome => $outcome,
        name => join ' ', join(',', @$moods) . ',', @$lines};
    $paths .= handoff("/row-$n", $api->base(@moods), @$lines);
}

sub calls_of {
    my ($row) = @_;
    return $api->calls(mood => $row->{mood});
}
