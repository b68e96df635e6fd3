# What one browser sends twice within ten seconds registers nobody twice: the second click waits for the first one's call and gets
# a link to the same journey, whatever became of the first one's connection. What another browser sends, or what is different, or
# what was surely never sent, registers.
use strict;
use warnings;
use feature 'signatures';
use Test::More;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestSandbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api    = sandbox();
my ($down) = free_ports(1);
my ($tls)  = $ENV{KOHOMAI_SANDBOX_TLS} =~ /:(\d+)/;
my $mute   = mute_at_first($tls);
my $httpd  = start_httpd(size_of(2, 16, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off', 'KohomaiMaxPending 100',
        'KohomaiTimeout 40s', 'CustomLog ${LOGS}/pids "%P %U"')
    . place('/slow',      $api->base('slow=600', 'only=register'))
    . place('/slower',    $api->base('slow=2500', 'only=register'))
    . place('/quick',     $api->base)
    . place('/json',      $api->base('slow=300', 'no-user', 'no-journey'), 'KohomaiResponse json')
    . place('/no-id',     $api->base('slow=300', 'no-user', 'no-journey'))
    . place('/no-more',   $api->base('status=500', 'only=sessions'))
    . place('/no-link',   $api->base('slow=300', 'no-link', 'only=register'))
    . place('/nothing',   $api->base('slow=300', 'no-link-no-id'))
    . place('/hangs-up',  $api->base('hangup-after'))
    . place('/refuses',   $api->base('status=422', 'slow=300'))
    . place('/sick',      $api->base('status=503', 'slow=300', 'retry-after=7'))
    . place('/times-out', $api->base('hang'), 'KohomaiTimeout 500ms')
    . place('/down',      "http://127.0.0.1:$down/api/v1", 'KohomaiRetry 0')
    . place('/mute',      "https://localhost:$mute/api/v1", "KohomaiCAFile $ENV{KOHOMAI_TLS_CERT}",
        'KohomaiTimeout 40s connect=30s', "KohomaiAllowLink localhost:$tls 127.0.0.1:$tls localhost:$mute")
    . place('/member',    $api->base, 'AuthType Basic', 'AuthName Members', 'AuthUserFile ${USERS}', 'Require valid-user')
    . place('/rare',      $api->base, 'KohomaiRateLimit register 1/1min')
    . place('/form',      $api->base('slow=600', 'only=register'), 'KohomaiLead Email %{form:email}', 'KohomaiLead Firstname %{form:name}')
    . handoff('/known', $api->base));
my $browsers = 0;

# --- The second click gets what the first one gets ------------------------------------------------------------------------------

for my $path ('/slow', '/quick') {
    my $got = promptly(sub ($me) {
        my @answers = map { $_->answer } map { visitor($httpd, name => $me)->ask(GET => "$path?email=$me") } 1 .. 2;
        return {locations(@answers), told($me, $path, 2)};
    });
    is_deeply $got, once(302, 2), "$path: two clicks at the same moment";
}

is_deeply promptly(sub ($me) {
    my @answers = map { $_->answer } map { visitor($httpd, name => $me)->ask(GET => "/slow?email=$me") } 1 .. 8;
    return {locations(@answers), told($me, '/slow', 8)};
}), once(302, 8), 'an angry click';

is_deeply promptly(sub ($me) {
    my $visitor = visitor($httpd, name => $me);
    $visitor->send_bytes($visitor->bytes(GET => "/slow?email=$me") x 2);
    return {locations($visitor->answer, $visitor->answer), told($me, '/slow', 2)};
}), once(302, 2), 'two on one connection';

is_deeply promptly(sub ($me) {
    my @answers = map { visitor($httpd, name => $me)->ask(GET => "/quick?email=$me")->answer } 1 .. 3;
    return {locations(@answers), told($me, '/quick', 3)};
}), once(302, 3), 'clicks after the answer';

is_deeply promptly(sub ($me) {
    my $body = "email=$me&name=Zo%C3%AB";
    my @form = (body => $body, headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
    my @answers = map { $_->answer } map { visitor($httpd, name => $me)->ask(POST => "/form?$me", @form) } 1 .. 2;
    return {locations(@answers), told($me, "/form?$me", 2)};
}), once(303, 2), 'a form';

is_deeply promptly(sub ($me) {
    my @answers = map { $_->answer } map { visitor($httpd, name => $me)->ask(GET => "/json?email=$me") } 1 .. 2;
    is $answers[0]->body, $answers[1]->body, 'both programs get the same';
    like $answers[0]->body, qr/"ConnectionURL":".*"ValidUntil":"/, 'which is a link, and its time';
    return {told($me, '/json', 2)};
}), {calls => ['journeys'], outcomes => ['handed-off - 200', 'handed-off repeat 200']}, 'programs';

# The second click has a link of its own, by a session. Where that cannot be had, since no id is known or the API does not open
# one, it is the first one's link; where the first one had no link, both have one by a session.
for my $row (
    ['/no-id',   1, 'journeys'],
    ['/no-more', 1, 'journeys', 'sessions'],
    ['/no-link', 2, 'journeys', 'sessions', 'sessions'],
) {
    my ($path, $links, @calls) = @$row;
    my $got = promptly(sub ($me) {
        my @answers = map { $_->answer } map { visitor($httpd, name => $me)->ask(GET => "$path?email=$me") } 1 .. 2;
        return {locations(@answers), told($me, $path, 2)};
    });
    is_deeply $got, {links => $links, calls => \@calls, outcomes => ['handed-off - 302', 'handed-off repeat 302']}, "$path: @calls";
}

for my $row (
    ['/nothing',   'registered - 204',        'registered repeat 204'],
    ['/hangs-up',  'failed answer-broken 502', 'failed answer-broken 502'],
    ['/refuses',   'invalid api 422',        'invalid api 422'],
    ['/sick',      'failed api 502',         'failed api 502'],
    ['/times-out', 'timeout - 504',           'timeout repeat 504'],
) {
    my ($path, @outcomes) = @$row;
    my $got = promptly(sub ($me) {
        my @answers = map { $_->answer } map { visitor($httpd, name => $me)->ask(GET => "$path?email=$me") } 1 .. 2;
        push @answers, visitor($httpd, name => $me)->ask(GET => "$path?email=$me")->answer;
        return {told($me, $path, 3)};
    });
    is_deeply $got, {calls => ['journeys'], outcomes => [sort @outcomes, $outcomes[1]]}, "$path: $outcomes[0]";
}

# --- The first one's connection is gone -----------------------------------------------------------------------------------------

# A browser ends the first navigation when the second click comes. (After a second the module watches for that.)
for my $row (['/slow', 0], ['/slower', 0], ['/slower', 1.5]) {
    my ($path, $pause) = @$row;
    my $got = promptly(sub ($me) {
        my $first = visitor($httpd, name => $me)->ask(GET => "$path?email=$me");
        ok $api->wait_until(sub { $_[0]->calls }), 'the first click is on its way';
        $first->leave;
        sleep $pause;
        my @answers = visitor($httpd, name => $me)->ask(GET => "$path?email=$me")->answer;
        return {locations(@answers), told($me, $path, 2)};
    });
    is_deeply $got, {%{once(302, 2)}, links => 1}, "$path: the first click's connection is gone, after $pause s";
}

# Never sent: the first one's call was given up while it was still saying hello to the API. The second one registers.
{
    my ($me) = 'early-leaver@b.example';
    $api->clear;
    my $first = visitor($httpd, name => $me)->ask(GET => "/mute?email=$me");
    sleep 0.3;
    my $second = visitor($httpd, name => $me)->ask(GET => "/mute?email=$me");
    sleep 0.3;
    $first->leave;
    is $second->answer->status, 302, 'the first one was never sent: the second one waits, and then registers';
    is_deeply {told($me, '/mute', 2)}, {calls => ['journeys'], outcomes => ['failed visitor-gone 502', 'handed-off - 302']}, 'once';
}

# --- It was surely never sent ---------------------------------------------------------------------------------------------------

{
    my $me = 'patient@b.example';
    is visitor($httpd, name => $me)->ask(GET => "/down?email=$me")->answer->status, 502, 'an API that is not there';
    is visitor($httpd, name => $me)->ask(GET => "/down?email=$me")->answer->status, 502, 'is asked for again';
    my $own = Kohomai::TestSandbox->start(port => $down);
    is visitor($httpd, name => $me)->ask(GET => "/down?email=$me")->answer->status, 302, 'and again, when it is back';
    is scalar(my @calls = $own->calls), 1, 'which registers';
    is_deeply [outcomes($httpd, "/down?email=$me", 3)], [('failed unreachable 502') x 2, 'handed-off - 302'], 'no answer was repeated';
}

# --- Others ---------------------------------------------------------------------------------------------------------------------

my %other = (
    'another browser'         => sub ($me) { [name => "$me-2"], [Cookie => 'PHPSESSID=1; a=b'] },
    'another session'         => sub ($me) { [name => $me], [Cookie => 'PHPSESSID=2; a=b'] },
    'no session'              => sub ($me) { [name => $me], [] },
    'another address'         => sub ($me) { [name => $me, from => '127.0.0.2'], [Cookie => 'PHPSESSID=1; a=b'] },
    'another login'           => sub ($me) { [name => $me], [Cookie => 'PHPSESSID=1; a=b', Authorization => 'Bearer 2'] },
    'another email'           => sub ($me) { [name => $me], [Cookie => 'PHPSESSID=1; a=b'], "2-$me" },
    'another case of letters' => sub ($me) { [name => $me], [Cookie => 'PHPSESSID=1; a=b'], uc $me },
);
for my $what (sort keys %other) {
    $api->clear;
    my $me = ++$browsers . "-$$\@b.example";
    my ($how, $headers, $email) = $other{$what}->($me);
    my @answers = (visitor($httpd, name => $me)->ask(GET => "/quick?email=$me", headers => [Cookie => 'PHPSESSID=1; a=b'])->answer,
        visitor($httpd, @$how)->ask(GET => '/quick?email=' . ($email // $me), headers => $headers)->answer);
    is_deeply {locations(@answers), calls => [called()]}, {links => 2, calls => [qw(journeys journeys)]}, "$what: registers";
}

# It costs the address one registration, not two.
is_deeply promptly(sub ($me) {
    my $from = '127.1.2.' . ++$browsers;
    return {statuses => [map { visitor($httpd, name => $me, from => $from)->ask(GET => "/rare?email=$_")->answer->status } $me, $me, "2-$me", $me]};
}), {statuses => [302, 302, 429, 302]}, 'a rate limit';

# What measuring scripts write into their cookies while somebody clicks is no other session.
is_deeply promptly(sub ($me) {
    my @answers = map { visitor($httpd, name => $me)->ask(GET => "/quick?email=$me", headers => [Cookie => $_])->answer }
        '_ga=GA1.1.1; PHPSESSID=1; _ga_1X=GS1.1.17; a=b', '_ga=GA1.1.1; PHPSESSID=1; _ga_1X=GS1.1.18; a=b; _gcl_au=1';
    return {locations(@answers), told($me, '/quick', 2)};
}), once(302, 2), "a measuring script's cookie";

$api->clear;
is_deeply [map { visitor($httpd, name => 'x')->ask(GET => '/known')->answer->status } 1, 2], [302, 302], 'a session for someone known';
is_deeply [called()], [qw(sessions sessions)], 'is opened as often as it is asked for';

# --- Ten seconds ----------------------------------------------------------------------------------------------------------------

{
    my $me = 'later@b.example';
    $api->clear;
    my $before = visitor($httpd, name => $me)->ask(GET => "/hangs-up?email=$me")->answer;
    sleep 10.5;
    my $after = visitor($httpd, name => $me)->ask(GET => "/hangs-up?email=$me")->answer;
    is_deeply [map { $_->status } $before, $after], [502, 502], 'after ten seconds';
    is_deeply [called()], [qw(journeys journeys)], 'it is no double click any more';
}

if (mpm() eq 'prefork') {
    open my $in, '<', $httpd->dir . '/logs/pids' or die "pids: $!\n";
    my %pids = map { m{^(\d+) /slow$} ? ($1 => 1) : () } <$in>;
    cmp_ok scalar(keys %pids), '>', 1, 'the clicks came to several children';
}

ends_well($httpd);
done_testing;

# --- Helpers --------------------------------------------------------------------------------------------------------------------

sub place ($path, $base, @lines) {
    return handoff($path, $base, 'KohomaiHandoff register', 'KohomaiLead Email %{query:email}', @lines);
}

# Runs a scenario for a browser that was never seen, whose name is an email. On a machine that is so busy that the double click
# took as long as no double click may, once more.
sub promptly ($scenario) {
    my $got;
    for (1 .. 5) {
        $api->clear;
        my $began = time;
        $got = $scenario->(++$browsers . "-$$\@b.example");
        return $got if time < $began + 9;
    }
    return $got;
}

# How many different links were given out.
sub locations (@answers) {
    return (links => scalar keys %{{map { ($_->header('Location') // $_->status) => 1 } @answers}});
}

# The calls that were made, and what the log says of so many requests.
sub told ($me, $path, $count) {
    my $url = $path =~ /\?/ ? $path : "$path?email=$me";
    return (calls => [called()], outcomes => [sort(outcomes($httpd, $url, $count))]);
}

sub called () { return map { $_->{path} =~ s{.*/}{}r } $api->calls }

# One registration for so many clicks, each of which has a link.
sub once ($status, $clicks) {
    return {links => $clicks, calls => ['journeys', ('sessions') x ($clicks - 1)],
        outcomes => ["handed-off - $status", ("handed-off repeat $status") x ($clicks - 1)]};
}

# An API that does not say a word to the first connection, and is the sandbox over TLS for all that come later; its port.
sub mute_at_first ($to) {
    my $listen = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1', LocalPort => 0) or die "socket: $@\n";
    my $test = $$;
    return $listen->sockport if fork // die "fork: $!\n";
    @SIG{qw(TERM PIPE)} = qw(DEFAULT IGNORE);
    my $ready = IO::Select->new($listen);
    my ($first, %other);
    while (getppid == $test) {
        for my $socket ($ready->can_read(1)) {
            if ($socket == $listen) {
                $first //= $listen->accept, next if !$first;
                my $in  = $listen->accept;
                my $out = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to) or die "the sandbox: $@\n";
                @other{$in, $out} = ($out, $in);
                $ready->add($in, $out);
                next;
            }
            my ($other, $bytes) = $other{$socket};
            next if sysread($socket, $bytes, 65_536) && syswrite $other, $bytes;
            $ready->remove($socket, $other);
            close $_ for $socket, $other;
        }
    }
    POSIX::_exit(0);
}
