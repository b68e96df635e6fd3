# KohomaiAllowOrigin: pages of the origins on the list may post and fetch, and may read every answer; their browsers' question
# beforehand (the preflight) is answered before anybody has to sign in. All other origins get nothing of it.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api   = sandbox()->clear;
my $known = join "\n", 'KohomaiHandoff On', 'KohomaiJourney 74590868830731162', 'KohomaiBaseURL ' . $api->base;
my $users = join "\n", 'AuthType Basic', 'AuthName Members', 'AuthUserFile "${USERS}"', 'Require valid-user';
my $httpd = start_httpd(size_of(1, 8, 'KohomaiAPIKey sandbox-key', map({ "<Location \"$_->[0]\">\n" . join("\n", @$_[1 .. $#$_]) . "\n</Location>\n" }
    ['/known',       $known, 'KohomaiAllowOrigin https://forms.example.com http://dev.example:3000 https://[2001:db8::1]'],
    ['/unknown',     'KohomaiHandoff On', 'KohomaiJourney %{env:NOBODY_SETS_THIS}', 'KohomaiAllowOrigin https://forms.example.com'],
    ['/invalid',     'KohomaiHandoff On', 'KohomaiJourney x', 'KohomaiAllowOrigin https://forms.example.com'],
    ['/failed',      $known, 'KohomaiBaseURL ' . $api->base('status=500'), 'KohomaiAllowOrigin https://forms.example.com'],
    ['/registered',  'KohomaiHandoff On', 'KohomaiLead Email a@b.example', 'KohomaiBaseURL ' . $api->base('empty'), 'KohomaiAllowOrigin https://forms.example.com'],
    ['/limited',     $known, 'KohomaiRateLimit session 1/10h', 'KohomaiAllowOrigin https://forms.example.com'],
    ['/pass',        'KohomaiHandoff On', 'KohomaiFallback unknown pass', 'KohomaiAllowOrigin https://forms.example.com'],
    ['/plain.txt',   'KohomaiHandoff On', 'KohomaiFallback unknown pass', 'KohomaiAllowOrigin https://forms.example.com',
        'Header always set Access-Control-Allow-Origin https://of-the-site.example'],
    ['/page',        'KohomaiHandoff On', 'ErrorDocument 403 /index.html', 'KohomaiAllowOrigin https://forms.example.com'],
    ['/small-body',  'KohomaiHandoff On', 'KohomaiJourney %{form:journey}', 'LimitRequestBody 100', 'KohomaiAllowOrigin https://forms.example.com'],
    ['/members',     $known, $users, 'KohomaiAllowOrigin https://forms.example.com'],
    ['/nobody-else', $known],
    ['/not-ours',    'KohomaiAllowOrigin https://forms.example.com'],
    ['/off',         $known, 'KohomaiHandoff Off', 'KohomaiAllowOrigin https://forms.example.com'])));

my $forms = 'https://forms.example.com';
my @cors  = ('Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'cors', 'Sec-Fetch-Dest' => 'empty');
my @form  = ('Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'navigate', 'Sec-Fetch-Dest' => 'document');

# --- Who may -------------------------------------------------------------------------------------------------------------------
for my $origin ($forms, 'http://dev.example:3000', 'https://[2001:db8::1]') {
    my $answer = ask(POST => '/known', $origin, @cors);
    is $answer->status, 200, "$origin fetches by POST";
    like $answer->body, qr/"ConnectionURL":"http/, 'and gets the link';
    allows($answer, $origin);
    $answer = ask(GET => '/known', $origin, @cors);
    is $answer->status, 200, "$origin fetches by GET";
    allows($answer, $origin);
    $answer = ask(POST => '/known', $origin, @form);
    is $answer->status, 303, "$origin posts a form";
    $answer = ask(POST => '/known', $origin, Accept => 'application/json');
    is $answer->status, 200, "$origin fetches with an older browser";
    allows($answer, $origin);
}
allows(ask(POST => '/known', 'HTTPS://Forms.Example.COM', @cors), $forms);
allows(ask(POST => '/known', "$forms:443", @cors), $forms);

# --- Who may not ---------------------------------------------------------------------------------------------------------------
$api->clear;
my @foreign = ('https://evil.example', 'http://forms.example.com', "$forms:8443", "$forms.evil.example", 'https://evil.example/forms.example.com',
    'https://x.forms.example.com', 'https://example.com', 'http://dev.example', 'http://dev.example:3001', 'https://dev.example:3000', 'null', '*',
    "$forms/", "$forms?", "$forms#", "$forms, https://evil.example", "https://evil.example, $forms", "$forms $forms", "https://a\@forms.example.com",
    'https://forms.example.com.', 'forms.example.com', "\xff", 'https://' . 'a' x 4000 . '.example', 'https://' . 'a.' x 3000 . 'example', '%00', "${forms}%00", "$forms\t.evil.example");
for my $origin (@foreign) {
    my $name = length $origin > 60 ? substr($origin, 0, 60) . '...' : $origin;
    for my $headers (\@cors, \@form, []) {
        my $answer = ask(POST => '/known', $origin, @$headers);
        is $answer->status, 403, "$name may not" or diag $answer->head;
        allows_nothing($answer);
        unlike $answer->head, qr/\Q$origin\E/, 'and is not repeated' if length $origin > 1;
    }
    my $answer = ask(OPTIONS => '/known', $origin, 'Access-Control-Request-Method' => 'POST');
    is $answer->status, 204, "$name asks beforehand";
    like $answer->header('Allow'), qr/POST/, 'and gets the usual answer';
    allows_nothing($answer);
}
for my $headers ([Origin => $forms, Origin => 'https://evil.example'], [Origin => 'https://evil.example', Origin => $forms], [Origin => $forms, Origin => $forms]) {
    my $answer = $httpd->request(POST => '/known', body => '', headers => [@$headers, @cors]);
    is $answer->status, 403, 'two origins are none';
    allows_nothing($answer);
}
# A page cannot say who it is by an image or a frame: there is no Origin.
for my $dest (qw(image iframe script frame embed object)) {
    is $httpd->request(GET => '/known', headers => ['Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Dest' => $dest])->status, 403,
        "no $dest of anybody's";
}
is_deeply [$api->calls], [], 'nobody was called for any of them';

# --- Every answer can be read ------------------------------------------------------------------------------------------------
is ask(GET => '/limited', $forms, @cors)->status, 200, 'one a long time';
my @answers = (
    [unknown => 403], [invalid => 422], [failed => 502], [registered => 204], [limited => 429], [page => 403]);
for my $case (@answers) {
    my ($path, $status) = @$case;
    my $answer = ask(GET => "/$path", $forms, @cors);
    is $answer->status, $status, "$path for programs";
    allows($answer, $forms);
    $answer = ask(POST => "/$path", $forms, @form);
    is $answer->status, $status, "$path for people";
    allows($answer, $forms);
    allows_nothing(ask(GET => "/$path", 'https://evil.example', @cors));
}
allows(ask(GET => '/known', $forms, @cors, 'Sec-Purpose' => 'prefetch'), $forms);
allows(ask(HEAD => '/known', $forms, @cors), $forms);
allows(ask(PUT => '/known', $forms, @cors, Accept => 'application/json'), $forms);
allows(ask(PUT => '/known', $forms), $forms);
allows(ask(OPTIONS => '/known', $forms), $forms);
my $large = $httpd->request(POST => '/small-body', body => 'journey=' . '7' x 200, headers => [Origin => $forms, @cors, 'Content-Type' => 'application/x-www-form-urlencoded']);
is $large->status, 413, 'a body that httpd does not take';
allows($large, $forms);

# --- The question beforehand ---------------------------------------------------------------------------------------------------
$api->clear;
for my $path (qw(/known /unknown /members)) {
    my $answer = ask(OPTIONS => $path, $forms, 'Access-Control-Request-Method' => 'POST', 'Access-Control-Request-Headers' => 'content-type',
        'Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'cors', 'Sec-Fetch-Dest' => 'empty');
    is $answer->status, 204, "$path: a preflight";
    is $answer->body // '', '', 'without a word';
    allows($answer, $forms);
    is $answer->header('Access-Control-Allow-Methods'), 'GET, POST', 'says what may be sent';
    is $answer->header('Access-Control-Allow-Headers'), 'Accept, Content-Type, X-Requested-With', 'with which headers';
    is $answer->header('Access-Control-Max-Age'), 600, 'and for how long';
}
is ask(OPTIONS => '/members', 'https://evil.example', 'Access-Control-Request-Method' => 'POST')->status, 401, 'others must sign in even for that';
is ask(OPTIONS => '/members', $forms)->status, 401, 'and so must whoever asks something else';
my $member = ask(POST => '/members', $forms, @cors, Authorization => 'Basic am9objpyb3dhbi1iZXJyeQ==');
is $member->status, 200, 'then the visitor, who is signed in, is handed off';
allows($member, $forms);
is scalar(my @calls = $api->calls), 1, 'which alone made a call';
is ask(POST => '/members', $forms, @cors)->status, 401, 'nobody else is';

# --- Where there is nothing to allow -------------------------------------------------------------------------------------------
for my $path (qw(/nobody-else /not-ours /off)) {
    my $answer = ask(OPTIONS => $path, $forms, 'Access-Control-Request-Method' => 'POST');
    ok !(grep {/^Access-Control-/i} $answer->header_names), "$path: no list, or no handoff: nothing";
    is $answer->header('Vary'), undef, 'and nothing that varies';
}
is ask(POST => '/nobody-else', $forms, @cors)->status, 403, 'and nobody is handed off';
is ask(GET => '/known', undef)->header('Vary'), 'Origin', 'where there is a list, an answer without Origin says that it could be another';
my $own = ask(POST => '/known', $httpd->url('') =~ s{/\z}{}r, 'Sec-Fetch-Site' => 'same-origin', 'Sec-Fetch-Mode' => 'cors');
is $own->status, 200, 'this site need not be on its own list';
allows_nothing($own);

# --- The site's own answers ----------------------------------------------------------------------------------------------------
my $site = ask(GET => '/plain.txt', $forms, @cors);
is $site->status, 200, 'after pass the site answers';
is $site->header('Access-Control-Allow-Origin'), 'https://of-the-site.example', 'with its own headers, and no others';
is $site->header('Access-Control-Allow-Credentials'), undef, 'none of ours';
ends_well($httpd);

done_testing;

sub ask {
    my ($method, $path, $origin, @headers) = @_;
    unshift @headers, Origin => $origin if defined $origin;
    return $httpd->request($method, $path, headers => \@headers, $method =~ /^P/ ? (body => '') : ());
}

sub allows {
    my ($answer, $origin) = @_;
    is_deeply [map { $answer->header($_) } qw(Access-Control-Allow-Origin Access-Control-Allow-Credentials Access-Control-Expose-Headers Vary)],
        [$origin, 'true', 'Retry-After', 'Origin'], $answer->status . " can be read by $origin";
}

sub allows_nothing {
    my ($answer) = @_;
    is_deeply [grep {/^Access-Control-/i} $answer->header_names], [], $answer->status . ' allows nothing';
}
