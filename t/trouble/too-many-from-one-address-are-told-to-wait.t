# KohomaiRateLimit: so many handoffs of one address, over all children and across a graceful restart; then 429, with the time
# until the next one. What is counted are calls: whoever is turned away before one uses up nothing.
use strict;
use warnings;
use Test::More;
use JSON::PP qw(decode_json);
use Time::HiRes qw(sleep);
use Kohomai::TestOutbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api = sandbox()->clear;
my $address = 0;    # the last number of who clicks
my $new = "KohomaiHandoff register\nKohomaiLead Email a\@b.example";

# --- Until the bucket is empty -------------------------------------------------------------------------------------------------
my $httpd = server(1, 4,
    at('/session',        'KohomaiRateLimit session 3/1h'),
    at('/session/same',   'KohomaiRateLimit session 3/1h'),
    at('/session/less',   'KohomaiRateLimit session 2/1h'),
    at('/session/longer', 'KohomaiRateLimit session 3/2h'),
    at('/session/off',    'KohomaiRateLimit session Off'),
    at('/not-this-kind',  'KohomaiRateLimit register 1/1h'),
    at('/new',            'KohomaiRateLimit register 3/1h', $new),
    at('/both',           'KohomaiRateLimit 4/1h', 'KohomaiJourney %{query:id}', 'KohomaiLead Email a@b.example'),
    at('/both/off',       'KohomaiRateLimit Off'),
    at('/twice',          'KohomaiRateLimit 5/1h', $new, 'KohomaiBaseURL ' . $api->base('no-link', 'only=register')),
    at('/again',          'KohomaiRateLimit register 4/1h', $new, 'KohomaiBaseURL ' . $api->base),
    at('/again/no-link',  'KohomaiRateLimit register 5/1h', $new, 'KohomaiBaseURL ' . $api->base('no-link', 'only=register')),
    at('/day',            'KohomaiRateLimit session 1/24h'),
    at('/soon',           'KohomaiRateLimit session 2/4s'),
    at('/fallback',       'KohomaiRateLimit session 1/90min', 'KohomaiFallback limited /wait.html'),
    at('/pass',           'KohomaiRateLimit session 1/100min', 'KohomaiFallback limited pass'),
    at('/facts',          'KohomaiRateLimit 6/1h', 'KohomaiJourney %{query:id}', 'KohomaiLead Email %{form:email}',
        'KohomaiRedirectURL %{query:next}'),
);
is_deeply [map { status('/session') } 1 .. 5], [302, 302, 302, 429, 429], 'three, and then no more';
is scalar(my @calls = $api->calls), 3, 'for which nobody is called';
is status('/session/same'), 429, 'where another path says the same it is the same count';
is_deeply [map { status('/session/less') } 1 .. 3],   [302, 302, 429], 'another number is counted by itself';
is_deeply [map { status('/session/longer') } 1 .. 4], [302, 302, 302, 429], 'and so is another time';
is status('/session'), 429, 'neither disturbs the other';
is_deeply [map { status('/session/off') } 1 .. 20], [(302) x 20], 'an inner Off is no limit';
is_deeply [map { status('/not-this-kind') } 1 .. 20], [(302) x 20], 'nor is what is said of the other kind, where the default is Off';
is_deeply [map { status('/new') } 1 .. 4], [302, 302, 302, 429], 'registrations are counted by themselves';

is_deeply [map { status('/both?id=7') } 1 .. 5], [(302) x 4, 429], 'said of both';
is_deeply [map { status('/both') } 1 .. 5], [(302) x 4, 429], 'each has its own count';
is_deeply [map { status($_) } ('/both/off', '/both/off?id=7') x 10], [(302) x 20], 'and an inner Off ends both';
is_deeply [map { status('/twice') } 1 .. 6], [(302) x 5, 429], 'a registration that a session follows is one';

# Who sends one registration again and again may not so have sessions without end.
is_deeply [clicks('/again', 9)], [(302) x 9], 'one who clicks nine times has a link each time';
is_deeply [map { scalar(my @of = $api->calls(path => $_)) } '/journeys', '/sessions'], [1, 4], 'but no more sessions than registrations are allowed';
is_deeply [map { click('/again', "other-$_") } 1 .. 4], [302, 302, 302, 429], 'which do not count with these';
is_deeply [clicks('/again/no-link', 8)], [(302) x 6, 429, 429], 'where the registration has no link: its session, five more, and then none';
is((outcomes($httpd, '/again/no-link', 8))[-1], 'limited repeat 429', 'as the log says');

# --- What the answer says ------------------------------------------------------------------------------------------------------
my $page = once('/session');
cmp_ok $page->header('Retry-After'), '<=', 1200, 'three an hour: the next within 20 minutes';
cmp_ok $page->header('Retry-After'), '>=', 1000, 'and not at once';
like $page->body, qr{<h1>Too many tries in a short time</h1>}, 'in words';
is $page->header('Cache-Control'), 'no-store', 'protected';
my $problem = once('/session', headers => [Accept => 'application/json']);
is $problem->status, 429, 'for programs';
my $said = decode_json($problem->body);
is_deeply [@$said{qw(status outcome reason)}], [429, 'limited', 'session'], 'a problem';
is decode_json(once('/new', headers => [Accept => 'application/json'])->body)->{reason}, 'register', 'which says of what there were too many';
like((lines_of($httpd, '/new'))[3], qr/^outcome=limited reason="register" call=- api_status=- .* status=429 /, 'the access log');
like $httpd->error_log, qr/\[kohomai:warn\].* kohomai: outcome=limited reason=register call=- status=- /, 'and the error log';

is status('/day'), 302, 'one a day';
my $wait = once('/day')->header('Retry-After');
ok $wait > 86_000 && $wait <= 86_400, 'and the next one tomorrow' or diag $wait;

is status('/fallback'), 302, 'where there is a fallback';
is once('/fallback')->header('Location'), '/wait.html', 'it answers';
is status('/pass'), 302, 'where the site shall answer';
is status('/pass'), 404, 'it does';

# --- It comes back -------------------------------------------------------------------------------------------------------------
my $limited;
for (1 .. 100) {
    last if ($limited = once('/soon'))->status == 429;
}
is $limited->status, 429, 'two in four seconds, and then no more';
like $limited->header('Retry-After'), qr/^[12]$/, 'for two seconds at most';
sleep $limited->header('Retry-After');
is status('/soon'), 302, 'whoever waits as long as told is handed off';

# --- What uses up nothing ------------------------------------------------------------------------------------------------------
for my $try (1 .. 10) {
    is status('/facts'), 403, 'unknown';
    is status('/facts?id=x'), 422, 'no id';
    is status('/facts?id=1&next=https://evil.example/'), 422, 'no return address';
    is once('/facts', method => 'POST', body => 'email=x', headers => ['Content-Type' => 'application/x-www-form-urlencoded'])->status, 422, 'no email';
    is once('/facts?id=1', headers => ['Sec-Purpose' => 'prefetch'])->status, 503, 'prefetch';
    is once('/facts?id=1', method => 'POST', body => '', headers => [Origin => 'https://evil.example'])->status, 403, 'forbidden';
    is once('/facts?id=1', method => $_)->status, 204, $_ for qw(HEAD OPTIONS);
}
is_deeply [map { status('/facts?id=1') } 1 .. 7], [(302) x 6, 429], 'all six sessions are still there';
my @form = (method => 'POST', body => 'email=a@b.example', headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
is_deeply [map { once('/facts', @form)->status } 1 .. 7], [(303) x 6, 429], 'and all six registrations';
ends_well($httpd);

# --- Where nobody is called ----------------------------------------------------------------------------------------------------
$httpd = server(1, 4, 'KohomaiBreaker 1 1h', at('/sick', 'KohomaiRateLimit 3/1h', 'KohomaiRetry 0', 'KohomaiBaseURL ' . $api->base('status=500')));
is status('/sick'), 502, 'an API that fails';
is_deeply [map { status('/sick') } 1 .. 20], [(503) x 20], 'is left alone, and that uses up nothing';
ends_well($httpd);
if (mpm() ne 'prefork') {    # which has several children, and does not tell when the last of them has looked at its outbox
    my $outbox = Kohomai::TestOutbox->new;
    $httpd = server(1, 4, 'KohomaiBreaker 1 1h', 'KohomaiOutbox ' . $outbox->path,
        at('/sick', 'KohomaiRateLimit 3/1h', $new, 'KohomaiRetry 0', 'KohomaiBaseURL http://127.0.0.1:1/api/v1'));
    is status('/plain.txt'), 200, 'an outbox that its child has found well';
    chmod 0555, $outbox->path;
    is_deeply [map { click('/sick', "lost-$_") } 1 .. 20], [(502) x 20], 'and that takes nothing any more uses up nothing either';
    is scalar(grep { $_ eq 'failed outbox 502' } outcomes($httpd, '/sick', 20)), 20, 'as the log says';
    chmod 0700, $outbox->path;
    ends_well($httpd);
}
$httpd = server(1, 4, 'KohomaiBreaker Off', at('/busy', 'KohomaiRateLimit 3/1h', 'KohomaiRetry 0', 'KohomaiBaseURL ' . $api->base('status=429')));
is_deeply [map { status('/busy') } 1 .. 5], [503, 503, 503, 429, 429], 'an API that is asked, and is busy, has been asked';
ends_well($httpd);

# --- The default ---------------------------------------------------------------------------------------------------------------
$api->clear;
$httpd = start_httpd(size_of(1, 4, 'KohomaiAPIKey sandbox-key', at('/known'), at('/new', $new)), default_limit => 1);
is_deeply [map { status('/known') } 1 .. 100], [(302) x 100], 'where nothing is said sessions have no limit';
my @new = map { once('/new') } 1 .. 100;
my $most = 61 + time - $^T;    # one comes back each second
my $registered = grep { $_->status == 302 } @new;
ok $registered >= 60 && $registered <= $most, 'and there are 60 registrations a minute' or diag "$registered of $most";
is scalar(@calls = $api->calls(path => '/journeys')), $registered, 'and no more';
ends_well($httpd);

# --- Over all children, and across a restart -----------------------------------------------------------------------------------
$api->clear;
$httpd = server(3, 4, 'LogFormat "%P" child', 'CustomLog "${LOGS}/children_log" child',
    at('/many', 'KohomaiRateLimit session 17/12h', 'KohomaiBaseURL ' . $api->base('slow=300')));
my @visitors = map { visitor($httpd)->ask(GET => '/many', headers => [Connection => 'close']) } 1 .. 60;
is scalar(grep { $_->answer->status == 302 } @visitors), 17, 'of many at once exactly as many as allowed are handed off';
is scalar(@calls = $api->calls), 17, 'by as many calls';
my %pids = map { $_ => 1 } wait_for_lines($httpd->dir . '/logs/children_log', 60);
cmp_ok scalar(keys %pids), '>', 1, 'by more than one child';
$httpd->signal('USR1');
ok wait_for(sub { my $n = () = $httpd->error_log =~ /resuming normal operations/g; $n > 1 }), 'a graceful restart';
is_deeply [map { status('/many') } 1 .. 10], [(429) x 10], 'forgets nothing';
ends_well($httpd);

done_testing;

sub server {
    my ($children, $threads, @lines) = @_;
    return start_httpd(size_of($children, $threads, 'KohomaiAPIKey sandbox-key', 'KohomaiMaxPending 100', @lines));
}

# A path of known visitors, unless more is said.
sub at {
    my ($path, @lines) = @_;
    return join "\n", "<Location \"$path\">", 'KohomaiHandoff On', 'KohomaiJourney 74590868830731162', 'KohomaiBaseURL ' . $api->base,
        @lines, '</Location>';
}

sub status { return once(@_)->status }

sub click {
    my ($path, $name) = @_;
    return visitor($httpd, name => $name, from => "127.0.9.$address")->ask(GET => $path, headers => [Connection => 'close'])->answer->status;
}

# One browser that sends the same so many times, while it is remembered; on a machine that is slow, another one does it again.
sub clicks {
    my ($path, $count) = @_;
    for (1 .. 20) {
        my $begin = time;
        $address++;
        $api->clear;
        my @statuses = map { click($path, 'one') } 1 .. $count;
        return @statuses if time - $begin < 8;
    }
    return 'too slow';
}

sub once {
    my ($path, %how) = @_;
    return $httpd->request($how{method} // 'GET', $path, %how);
}

sub wait_for_lines {
    my ($file, $count) = @_;
    my $lines = sub { split /\n/, Kohomai::TestHttpd::read_file($file) };
    wait_for(sub { $lines->() >= $count });
    return $lines->();
}
