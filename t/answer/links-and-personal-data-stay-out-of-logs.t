# With everything that httpd can be told to log: the one-time link and the key are in no line at all, and in no variable that
# an application or a log format could show. Nor does the module write down who the visitor is. What httpd's own trace writes
# about a request's head, and the Referer behind its own lines, is httpd's; what else it may hold is counted here.
use strict;
use warnings;
use Test::More;
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestServer;

my $api   = sandbox();
my ($tls) = free_ports(1);
my $httpd = start_httpd(<<'END', env => {TLS => $tls});
LogLevel trace8
KohomaiAPIKey sandbox-key
KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/api/v1"
SetEnvIf X-Who "^(.+)$" WHO=$1
Listen 127.0.0.1:${TLS} https
<VirtualHost 127.0.0.1:${TLS}>
    SSLEngine             On
    SSLCertificateFile    "${KOHOMAI_TLS_CERT}"
    SSLCertificateKeyFile "${KOHOMAI_TLS_KEY}"
    Protocols             h2 http/1.1
</VirtualHost>
<LocationMatch "^/(known|new|page|failed|no-link|foreign|invalid|elsewhere|pass|php/env.php|cgi-bin/echo|blog/pass)$">
    KohomaiHandoff     On
    KohomaiLead        Email     %{form:email}
    KohomaiLead        Firstname %{form:name}
    KohomaiLead        Lastname  %{cookie:fruit}
    KohomaiRef         %{form:ref}
    KohomaiRedirectURL "/done/%{form:name}"
    KohomaiData        #1 %{form:data}
</LocationMatch>
<Location "/known">
    KohomaiJourney %{env:WHO}
</Location>
<Location "/no-link">
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/no-link,only=register/api/v1"
</Location>
<Location "/foreign">
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/foreign-link/api/v1"
    ErrorDocument 502 /php/env.php
</Location>
<Location "/failed">
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/status=422/api/v1"
    ErrorDocument 422 /php/env.php
</Location>
<Location "/invalid">
    KohomaiLead Firstname "%{form:name}%{form:bad}"
</Location>
<Location "/elsewhere">
    KohomaiRedirectURL "https://%{form:name}.example.net/"
    KohomaiFallback    invalid "https://%{form:name}.example.net/"
</Location>
<Location "/page">
    ErrorDocument 303 /cgi-bin/env
</Location>
<Location "/member">
    AuthType       Basic
    AuthName       "Members"
    AuthUserFile   "${USERS}"
    Require        valid-user
    KohomaiHandoff register
    KohomaiLead    Email "%{REMOTE_USER}@example.com"
</Location>
<LocationMatch "pass|env|echo">
    KohomaiBaseURL  "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/status=500/api/v1"
    KohomaiFallback any pass
</LocationMatch>
END
my $form = 'email=quince%40example.com&name=Medlar&ref=sloe-ref&data=bullace&bad=%00';
my $id   = '74590868830731163';
my @head = (Cookie => 'fruit=Damson', Referer => 'http://localhost/before?who=Cornel');
my @post = (body => $form, headers => ['Content-Type' => 'application/x-www-form-urlencoded', @head]);
my %shown;

$shown{known}  = $httpd->request(GET => '/known', headers => ['X-Who' => $id, @head]);
$shown{member} = $httpd->request(GET => '/member', headers => [Authorization => 'Basic am9objpyb3dhbi1iZXJyeQ==', @head]);
for my $path (qw(new page failed no-link foreign invalid elsewhere pass php/env.php cgi-bin/echo blog/pass)) {
    $shown{$path} = $httpd->request(POST => "/$path?who=Whitebeam", @post);
}
my @json = ($post[0], $post[1], headers => ['Sec-Fetch-Mode' => 'cors', 'Sec-Fetch-Site' => 'same-origin', @{$post[3]}]);
$shown{json} = $httpd->request(POST => '/new', @json);
if (mpm() ne 'prefork') {
    is h2get('/new?who=Whitebeam', port => $tls, method => 'POST', @post)->status, 303, 'over HTTP/2 as well';
    like h2get('/new?who=Whitebeam', port => $tls, method => 'POST', @json)->body, qr/ConnectionURL/, 'and as JSON';
}
is_deeply {map { $_ => $shown{$_}->status } keys %shown},
    {known => 302, json => 200, member => 302, new => 303, page => 303, failed => 422, 'no-link' => 303, foreign => 502, invalid => 422,
        elsewhere => 422, pass => 404, 'php/env.php' => 200, 'cgi-bin/echo' => 200, 'blog/pass' => 200}, 'what each came to';

my @links = grep { defined } map { $_->{uuid} } $api->calls;
cmp_ok scalar @links, '>=', 6, 'links were made';
is $httpd->stop, 0, 'httpd ends in order';

# mod_http2 traces whole bodies of requests.
my @lines = grep { !/\[http2:trace3\].* recv DATA, / } split /^/, $httpd->error_log . $httpd->access_log . $httpd->output;
my $own   = qr/\[kohomai:\w+\]/;
ok((grep { /$own.*outcome=handed-off/ } @lines), 'the log knows that somebody was handed off');
ok((grep { /\[http:trace4\].* Referrer-Policy: / } @lines), 'and tells more than most want to know');
for my $secret (@links, qw(autologin sandbox-key quince Medlar sloe-ref bullace)) {
    is join('', grep { /\Q$secret/ } @lines), '', "no line at all holds $secret";
}
for my $secret (qw(Damson Cornel Whitebeam am9objpyb3dhbi1iZXJyeQ rowan-berry), $id) {
    is join('', grep { /\Q$secret/ && /$own/ } @lines), '', "no line of the module holds $secret";
}
s/, referer: \S+$// for @lines;
my $head = qr/\[http2?:trace[24]\].*(?:Cookie|Authorization|Referer|X-Who): |\[proxy_fcgi:trace8\].*'HTTP_(?:COOKIE|REFERER)'/i;
for my $secret (qw(Damson Cornel am9objpyb3dhbi1iZXJyeQ), $id) {
    is join('', grep { /\Q$secret/ && !/$head/ } @lines), '', "httpd itself shows $secret where it traces the head of a request, and nowhere else";
}
is join('', grep { /Whitebeam/ && !/ request="|\[(?:core:trace5|http2:trace[12]|proxy_fcgi:trace8|cgid?:trace4|http:trace4)\]/ } @lines), '',
    'and the query in the access log, and where it traces';

# A link that came, and may not be used: the page that tells of it does not have it.
like $shown{foreign}->body, qr/^REDIRECT_KOHOMAI_OUTCOME=failed$/m, 'the environment knows the outcome';
for my $link (@links, 'autologin', 'evil.example') {
    unlike $shown{foreign}->body, qr/\Q$link/, "but not the link: $link";
}
my @known = sort $shown{foreign}->body =~ /^REDIRECT_(KOHOMAI_\w+)=/mg;
is_deeply [grep { !/^KOHOMAI_(?:OUTCOME|REASON|CALL|API_STATUS|TIME_US)$/ } @known], [], 'it holds what is documented and no more';
unlike $shown{failed}->body, qr/quince|Medlar|sloe-ref|bullace|sandbox-key/, 'an error page is told nothing of the visitor';

done_testing;
