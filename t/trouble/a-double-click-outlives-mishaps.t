# A double click registers once also where httpd is restarted between the clicks, where the child with the first click dies, where
# the lead goes to the outbox, and over HTTP/2. Whoever waits for another click counts as any visitor who waits, and holds no
# thread where none need be held.
use strict;
use warnings;
use feature 'signatures';
use Test::More;
use Kohomai::TestOutbox;
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api = sandbox();
my @new = ('KohomaiHandoff register', 'KohomaiLead Email a@b.example', 'KohomaiTimeout 40s');

# --- A graceful restart: the new children know what the old ones do ---------------------------------------------------------------
{
    $api->clear;
    my $httpd = server(2, 8, handoff('/new', $api->base('slow=2500', 'only=register'), @new));
    my $first = click($httpd);
    ok $api->wait_until(sub { $_[0]->calls }), 'the first click is on its way';
    $httpd->signal('USR1');
    ok wait_for(sub { $httpd->error_log =~ /resuming normal operations.*resuming normal operations/s }), 'httpd is restarted';
    my $second = click($httpd);
    is_deeply [map { $_->answer->status } $first, $second], [302, 302], 'both clicks are answered';
    is_deeply [called()], [qw(journeys sessions)], 'by one registration';
    ends_well($httpd);
}

# --- A child is killed: nobody can tell whether the API has taken it, so it is not sent again at once -----------------------------
{
    $api->clear;
    my $httpd = server(1, 8, handoff('/new', $api->base('hang'), @new));
    my $first = click($httpd);
    ok $api->wait_until(sub { $_[0]->calls }), 'the first click is on its way';
    my @children = children($httpd->pid);
    kill KILL => @children;
    ok wait_for(sub { !grep { -e "/proc/$_" } @children }), 'and its child dies';
    my $status = click($httpd)->answer->status;
    is_deeply [$status, outcomes($httpd, '/new')], [502, 'failed repeat-lost 502'], 'the second click is told so';
    is_deeply [called()], ['journeys'], 'and registers nobody';
    $httpd->stop;
}

# --- The outbox: one lead, and both clicks are told that it is safe ---------------------------------------------------------------
{
    my ($nobody) = free_ports(1);
    my $outbox = Kohomai::TestOutbox->new;
    my $httpd  = server(2, 8, 'KohomaiOutbox ' . $outbox->path, handoff('/new', "http://127.0.0.1:$nobody/api/v1", @new),
        handoff('/hangs-up', $api->base('hangup-after'), @new));
    is_deeply [map { $_->answer->status } map { click($httpd) } 1 .. 3], [202, 202, 202], 'an API that is away: clicks are queued';
    is_deeply [outcomes($httpd, '/new', 3)], [('queued unreachable 202') x 3], 'for the same reason';
    is $outbox->wait_for('waiting=1 sending=0 uncertain=0 rejected=0'), 'waiting=1 sending=0 uncertain=0 rejected=0', 'as one lead';

    $api->clear;
    is_deeply [map { $_->answer->status } map { click($httpd, '/hangs-up') } 1 .. 3], [502, 502, 502], 'an API that hangs up';
    is $outbox->wait_for('waiting=1 sending=0 uncertain=1 rejected=0'), 'waiting=1 sending=0 uncertain=1 rejected=0', 'leaves one lead for a person to decide';
    is_deeply [called()], ['journeys'], 'which was sent once';
    ends_well($httpd);
}

# --- Who waits counts, and holds no thread ----------------------------------------------------------------------------------------
{
    $api->clear;
    my $httpd = server(1, 4, 'KohomaiMaxPending 3', handoff('/new', $api->base('hang'), @new));
    my @waiting = map { click($httpd) } 1 .. 4;
    is_deeply [outcomes($httpd, '/new')], ['unavailable max-pending 503'], 'a click beyond the cap is turned away';
    ok $api->wait_until(sub { $_[0]->calls }), 'the first one is on its way';
    is_deeply [called()], ['journeys'], 'by one call for all who wait';
    is visitor($httpd)->ask(GET => '/plain.txt')->answer->status, 200, 'the site answers meanwhile';
    $_->leave for @waiting;
    ends_well($httpd);
}
SKIP: {
    skip 'only the event MPM waits without a thread', 4 if mpm() ne 'event';
    $api->clear;
    my $httpd = server(1, 4, 'KohomaiMaxPending 100', 'AsyncRequestWorkerFactor 16', handoff('/new', $api->base('hang'), @new));
    my @waiting = map { click($httpd) } 1 .. 20;
    ok $api->wait_until(sub { $_[0]->calls }), 'twenty clicks wait in a child of four threads';
    is visitor($httpd)->ask(GET => '/plain.txt')->answer->status, 200, 'which answers others';
    $_->leave for @waiting;
    ends_well($httpd);
}

# --- HTTP/2: two streams of one connection ----------------------------------------------------------------------------------------
SKIP: {
    skip 'prefork speaks no HTTP/2', 2 if mpm() eq 'prefork';
    $api->clear;
    my $url = "https://localhost:$ENV{KOHOMAI_TLS_PORT}/journey/twice?email=$$\@h2.example";
    my @curl = (qw(curl --silent --show-error --no-progress-meter --http2 --noproxy * --max-time 60 --parallel --user-agent), "twice-$$", '--cacert',
        $ENV{KOHOMAI_TLS_CERT}, '--resolve', "localhost:$ENV{KOHOMAI_TLS_PORT}:127.0.0.1", '--write-out', '%{http_version} %{http_code}\n');
    open my $out, '-|', @curl, map { ('--output', '/dev/null', $url) } 1, 2 or die "curl: $!\n";
    is_deeply [<$out>], ["2 302\n", "2 302\n"], 'two streams are answered';
    close $out;
    is_deeply [called()], [qw(journeys sessions)], 'by one registration';
}

done_testing;

sub server ($children, $threads, @lines) {
    return start_httpd(size_of($children, $threads, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off', @lines));
}

# Always the same browser, and always the same lead.
sub click ($httpd, $path = '/new') { return visitor($httpd, name => 'one browser')->ask(GET => $path) }

sub called () { return map { $_->{path} =~ s{.*/}{}r } $api->calls }

sub children ($parent) {
    return grep { Kohomai::TestHttpd::read_file("/proc/$_/stat") =~ /^.*\) \w $parent / } map { m{(\d+)$} } glob '/proc/[0-9]*';
}
