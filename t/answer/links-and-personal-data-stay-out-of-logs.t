# The one-time link is in the answer alone: in no log, at whatever level, and in no variable that an application or a log format
# could show. Nor does the module write down who the visitor is. (httpd logs heads of requests and answers itself, at trace
# levels of its own parts; those are left at info.)
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api   = sandbox();
my $httpd = start_httpd(<<'END');
LogLevel trace8 core:info http:info
KohomaiAPIKey sandbox-key
KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/api/v1"
SetEnvIf X-Who "^(.+)$" WHO=$1
<LocationMatch "^/(known|new|failed|no-link|foreign|invalid|pass)$">
    KohomaiHandoff     On
    KohomaiLead        Email     %{form:email}
    KohomaiLead        Firstname %{form:name}
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
<Location "/pass">
    KohomaiBaseURL  "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/status=500/api/v1"
    KohomaiFallback any pass
</Location>
END
my $form = 'email=quince%40example.com&name=Medlar&ref=sloe-ref&data=bullace&bad=%00';
my $id   = '74590868830731163';
my %shown;

$shown{known} = $httpd->request(GET => '/known', headers => ['X-Who' => $id]);
for my $path (qw(new failed no-link foreign invalid pass)) {
    $shown{$path} = $httpd->request(POST => "/$path", body => $form, headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
}
is_deeply {map { $_ => $shown{$_}->status } keys %shown},
    {known => 302, new => 303, failed => 422, 'no-link' => 303, foreign => 502, invalid => 422, pass => 404}, 'what each came to';

my @links = grep { defined } map { $_->{uuid} } $api->calls;
cmp_ok scalar @links, '>=', 4, 'links were made';
is $httpd->stop, 0, 'httpd ends in order';

my $log = $httpd->error_log . $httpd->access_log . $httpd->output;
like $log, qr/\[kohomai:\w+\].*outcome=handed-off/, 'the log knows that somebody was handed off';
like $log, qr/trace/, 'and tells more than most want to know';
for my $secret (@links, 'autologin', 'sandbox-key', 'quince', 'example.com', 'Medlar', 'sloe-ref', 'bullace', $id) {
    my @lines = grep { index($_, $secret) >= 0 } split /^/, $log;
    is join('', @lines), '', "no line holds $secret";
}

# A link that came, and may not be used: the page that tells of it does not have it.
like $shown{foreign}->body, qr/^REDIRECT_KOHOMAI_OUTCOME=failed$/m, 'the environment knows the outcome';
for my $link (@links, 'autologin', 'evil.example') {
    unlike $shown{foreign}->body, qr/\Q$link/, "but not the link: $link";
}
my @known = sort $shown{foreign}->body =~ /^REDIRECT_(KOHOMAI_\w+)=/mg;
is_deeply [grep { !/^KOHOMAI_(?:OUTCOME|REASON|CALL|API_STATUS|TIME_US)$/ } @known], [], 'it holds what is documented and no more';
unlike $shown{failed}->body, qr/quince|Medlar|sloe-ref|bullace|sandbox-key/, 'an error page is told nothing of the visitor';

done_testing;
