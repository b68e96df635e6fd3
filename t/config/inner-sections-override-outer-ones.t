# How sections are put together: server, virtual host, <Directory>, .htaccess, <Files>, <Location>, nested <Location>, <If>,
# in httpd's own order. What an inner one says holds, even where it states the default; lists are replaced; what it does not
# say is inherited. Seen from outside, for every directive: in the answer and in what the API was asked.
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use Kohomai::TestServer;

my $sandbox = sandbox();
my $tree    = tempdir(CLEANUP => 1);
mkdir "$tree/$_" for qw(plain ruled);
file("$tree/$_/page.txt", "the site's own page\n") for qw(plain ruled);
file("$tree/$_/join.txt", "the site's own page\n") for qw(plain ruled);
file("$tree/ruled/.htaccess", "KohomaiJourney 3\n");
my $stranger = certificate();

# A section for a path below the one of this row.
sub at { my ($path, @lines) = @_; return join "\n", "<Location \"$path\">", @lines, "</Location>\n" }

my $api    = 'http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}';
my @known  = ('KohomaiHandoff On', 'KohomaiJourney 12');
my @new    = ('KohomaiHandoff On', 'KohomaiLead Email a@b.example');

# Configuration of a path and of one below it.
my $config = join "\n",
    at('/handoff', @known), at('/handoff/inner', 'KohomaiHandoff Off'), at('/handoff/inner/most', 'KohomaiHandoff On'),
    at('/kind', 'KohomaiHandoff register', 'KohomaiJourney 12', 'KohomaiLead Email a@b.example'), at('/kind/inner', 'KohomaiHandoff On'),
    at('/kind/session', 'KohomaiHandoff session', 'KohomaiJourney %{env:NOBODY_SETS_THIS}'),
    at('/base', @known, "KohomaiBaseURL $api/m/slow=1/api/v1"), at('/base/inner', "KohomaiBaseURL $api/m/slow=2/api/v1"),
    at('/key', @known, 'KohomaiAPIKey outer-key'), at('/key/inner', 'KohomaiAPIKey sandbox-key'),
    at('/timeout', @known, "KohomaiBaseURL $api/m/slow=1500/api/v1", 'KohomaiTimeout 200ms'), at('/timeout/inner', 'KohomaiTimeout 10s connect=3s'),
    at('/ca', @known, 'KohomaiBaseURL ${KOHOMAI_SANDBOX_TLS}/api/v1', "KohomaiCAFile $stranger", 'KohomaiAllowLink localhost localhost:${KOHOMAI_SANDBOX_TLS_PORT}'),
    at('/ca/inner', 'KohomaiCAFile ${KOHOMAI_TLS_CERT}'),
    at('/api', @new, 'KohomaiAPI leads'), at('/api/inner', 'KohomaiAPI journeys'),
    at('/journey', @known), at('/journey/inner', 'KohomaiJourney 13'), at('/journey/none', 'KohomaiJourney %{env:NOBODY_SETS_THIS}', 'KohomaiUser 14'),
    at('/user', 'KohomaiHandoff On', 'KohomaiUser 21'), at('/user/inner', 'KohomaiUser 22'), at('/user/journey', 'KohomaiJourney 23'),
    at('/lead', @new, 'KohomaiLead Firstname Ann', 'KohomaiLead Lastname Ash'), at('/lead/inner', 'KohomaiLead Firstname Bea'),
    at('/data', @new, 'KohomaiData #1 one', 'KohomaiData #2 two'), at('/data/inner', 'KohomaiData #3 three'),
    at('/ref', @new, 'KohomaiRef outer'), at('/ref/inner', 'KohomaiRef inner'),
    at('/workflow', @new, 'KohomaiAPI workflows', 'KohomaiWorkflow 31'), at('/workflow/inner', 'KohomaiWorkflow 32'),
    at('/return', @known, 'KohomaiRedirectURL /outer'), at('/return/inner', 'KohomaiRedirectURL /inner'),
    at('/allow-return', @known, 'KohomaiAllowReturn one.example', 'KohomaiRedirectURL https://one.example/'),
    at('/allow-return/inner', 'KohomaiAllowReturn two.example three.example'),
    at('/allow-return/inner/most', 'KohomaiRedirectURL https://three.example/'),
    at('/allow-link', @known, "KohomaiBaseURL $api/m/foreign-link/api/v1", 'KohomaiAllowLink evil.example'),
    at('/allow-link/inner', 'KohomaiAllowLink app.kohomai.com'),
    at('/allow-origin', @known, 'KohomaiAllowOrigin https://one.example'),
    at('/allow-origin/inner', 'KohomaiAllowOrigin https://two.example https://three.example'),
    at('/limit', @known, 'KohomaiRateLimit session 1/20h'), at('/limit/off', 'KohomaiRateLimit Off'), at('/limit/register', 'KohomaiRateLimit register 1/20h'),
    at('/limit/more', 'KohomaiRateLimit session 2/20h'),
    at('/response', @known, 'KohomaiResponse json'), at('/response/inner', 'KohomaiResponse auto'), at('/response/redirect', 'KohomaiResponse redirect'),
    at('/fallback', 'KohomaiHandoff On', 'KohomaiJourney %{query:id}', 'KohomaiFallback unknown 404', 'KohomaiFallback invalid 410'),
    at('/fallback/inner', 'KohomaiFallback unknown 451'),
    at('/any', 'KohomaiHandoff On', 'KohomaiFallback any 404'), at('/any/inner', 'KohomaiFallback unknown 410'),
    at('/server', @known), <<"END";
KohomaiBaseURL   $api/m/slow=3/api/v1
KohomaiAPIKey    sandbox-key
<VirtualHost 127.0.0.1:\${PORT}>
    ServerName localhost
</VirtualHost>
<VirtualHost 127.0.0.1:\${PORT}>
    ServerName inner.example
    KohomaiBaseURL $api/m/slow=4/api/v1
</VirtualHost>

# httpd's order: folders, their .htaccess, files, locations, and If last.
Alias "/plain" "$tree/plain"
Alias "/ruled" "$tree/ruled"
Alias "/placed" "$tree/ruled"
<Directory "$tree">
    Require        all granted
    AllowOverride  All
    KohomaiHandoff On
    KohomaiJourney 1
    KohomaiUser    9
</Directory>
<Directory "$tree/plain">
    KohomaiJourney 2
</Directory>
<Files "join.txt">
    KohomaiJourney 4
</Files>
<Location "/placed">
    KohomaiJourney 5
    <If "%{QUERY_STRING} == 'if'">
        KohomaiJourney 6
    </If>
</Location>
END

my $port = ($ENV{KOHOMAI_SANDBOX_TLS} =~ /:(\d+)/)[0];
my $httpd = start_httpd($config, env => {KOHOMAI_SANDBOX_TLS_PORT => $port});

is status('/handoff'), 302, 'KohomaiHandoff On holds below';
is status('/handoff/inner'), 404, 'and an inner Off, the default, ends it: the site answers';
is status('/handoff/inner/most'), 302, 'until it is On again';
is call('/kind')->{path}, '/api/v1/journeys', 'KohomaiHandoff register passes over a known id';
is call('/kind/inner')->{path}, '/api/v1/sessions', 'which an inner On uses';
is status('/kind/session'), 403, 'and an inner session never registers';

is call('/server')->{mood}, 'slow=3', 'KohomaiBaseURL of the server is inherited';
is call('/server', host => 'inner.example')->{mood}, 'slow=4', 'a virtual host has its own';
is call('/base', host => 'inner.example')->{mood}, 'slow=1', 'so has a section';
is call('/base/inner')->{mood}, 'slow=2', 'and an inner section';
is call('/key')->{headers}{authorization}, 'Bearer outer-key', 'KohomaiAPIKey of a section';
is call('/key/inner')->{headers}{authorization}, 'Bearer sandbox-key', 'and of an inner one';
is call('/key/inner')->{status}, 200, 'one header, not two';
is status('/timeout'), 504, 'KohomaiTimeout of a section';
is status('/timeout/inner'), 302, 'and of an inner one, which states the default';
is status('/ca'), 502, 'KohomaiCAFile of a section: the API is not to be trusted';
is status('/ca/inner'), 302, 'that of an inner one replaces it';
is call('/api')->{path}, '/api/v1/leads', 'KohomaiAPI of a section';
is call('/api/inner')->{path}, '/api/v1/journeys', 'and of an inner one, which states the default';

is body('/journey'), '{"Journey":{"Id":12}}', 'KohomaiJourney of a section';
is body('/journey/inner'), '{"Journey":{"Id":13}}', 'and of an inner one';
is body('/journey/none'), '{"User":{"Id":14}}', 'which may be empty';
is body('/user'), '{"User":{"Id":21}}', 'KohomaiUser of a section';
is body('/user/inner'), '{"User":{"Id":22}}', 'and of an inner one';
is body('/user/journey'), '{"Journey":{"Id":23}}', 'where a journey wins';
like body('/lead'), qr/"Firstname":"Ann","Lastname":"Ash"/, 'KohomaiLead of a section';
like body('/lead/inner'), qr/"Firstname":"Bea","Lastname":"Ash"/, 'each field is overridden by itself';
is_deeply [body('/data') =~ /"StringValue":"(\w+)"/g], [qw(one two)], 'KohomaiData of a section';
is_deeply [body('/data/inner') =~ /"StringValue":"(\w+)"/g], [qw(three)], 'is replaced as a whole';
is call('/ref')->{query}, 'ref=outer', 'KohomaiRef of a section';
is call('/ref/inner')->{query}, 'ref=inner', 'and of an inner one';
is call('/workflow')->{path}, '/api/v1/workflows/31/register', 'KohomaiWorkflow of a section';
is call('/workflow/inner')->{path}, '/api/v1/workflows/32/register', 'and of an inner one';
like body('/return'), qr{"RedirectURL":"http://localhost:\d+/outer"}, 'KohomaiRedirectURL of a section';
like body('/return/inner'), qr{"RedirectURL":"http://localhost:\d+/inner"}, 'and of an inner one';
is status('/allow-return'), 302, 'KohomaiAllowReturn of a section';
is status('/allow-return/inner'), 422, 'is replaced as a whole by an inner list';
is status('/allow-return/inner/most'), 302, 'of which every entry counts';
is status('/allow-link'), 302, 'KohomaiAllowLink of a section';
is status('/allow-link/inner'), 502, 'is replaced as well';
is status('/allow-origin', headers => [Origin => 'https://one.example']), 302, 'KohomaiAllowOrigin of a section';
is status('/allow-origin/inner', headers => [Origin => 'https://one.example']), 403, 'is replaced as a whole by an inner list';
is status('/allow-origin/inner', headers => [Origin => "https://$_.example"]), 302, "of which $_ counts" for qw(two three);
is_deeply [map { status('/limit') } 1, 2], [302, 429], 'KohomaiRateLimit of a section';
is_deeply [map { status('/limit/off') } 1 .. 5], [(302) x 5], 'ends with an inner Off';
is status('/limit/register'), 429, 'what an inner one says of registrations leaves that of sessions alone';
is_deeply [map { status('/limit/more') } 1 .. 3], [302, 302, 429], 'and another number replaces it';
is status('/response'), 200, 'KohomaiResponse of a section';
is status('/response/inner'), 302, 'and of an inner one, which states the default';
is status('/response/redirect', headers => ['X-Requested-With' => 'XMLHttpRequest']), 302, 'or another';
is status('/fallback'), 404, 'KohomaiFallback of a section';
is status('/fallback/inner'), 451, 'and of an inner one';
is status('/fallback/inner?id=x'), 410, 'for each outcome by itself';
is status('/any'), 404, 'KohomaiFallback any holds for all outcomes';
is status('/any/inner'), 410, 'but for one that an inner section names';

is body('/plain/page.txt'), '{"Journey":{"Id":2}}', 'an inner folder overrides an outer one';
is body('/ruled/page.txt'), '{"Journey":{"Id":3}}', 'its .htaccess overrides the configuration of the folder';
is body('/ruled/join.txt'), '{"Journey":{"Id":4}}', '<Files> overrides both';
is body('/placed/join.txt'), '{"Journey":{"Id":5}}', '<Location> overrides that';
is body('/placed/join.txt?if'), '{"Journey":{"Id":6}}', 'and <If> has the last word';

is $httpd->stop, 0, 'the server ends in order';
done_testing;

sub status { return visit(@_)->status }
sub call { my ($path, %how) = @_; visit($path, %how); return ($sandbox->calls)[-1] // {} }
sub body { return call(@_)->{body} // '' }

sub visit {
    my ($path, %how) = @_;
    $sandbox->clear;
    return $httpd->request(GET => $path, %how);
}

sub file {
    my ($path, $text) = @_;
    open my $out, '>', $path or die "$path: $!\n";
    print {$out} $text;
    close $out or die "$path: $!\n";
}

# Of a CA that has nothing to do with the sandbox.
sub certificate {
    my $path = "$tree/stranger.pem";
    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=stranger"
        . " -keyout '$tree/stranger.key' -out '$path' 2>'$tree/openssl.log'") == 0 or die "openssl failed.\n";
    return $path;
}
