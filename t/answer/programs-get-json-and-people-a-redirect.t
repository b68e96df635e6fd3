# KohomaiResponse auto tells a browser that navigates from a script that fetches, by what either says of itself; redirect and
# json settle it.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

# [what, headers, JSON]
my @cases = (
    ['says nothing',            [], 0],
    ['a browser',               [Accept => 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'], 0],
    ['takes everything',        [Accept => '*/*'], 0],
    ['prefers JSON',            [Accept => 'application/json'], 1],
    ['JSON before the rest',    [Accept => 'application/json, text/plain, */*'], 1],
    ['JSON rather than HTML',   [Accept => 'text/html;q=0.5, application/json;q=0.9'], 1],
    ['HTML rather than JSON',   [Accept => 'application/json;q=0.5, text/html'], 0],
    ['both alike',              [Accept => 'text/html, application/json'], 0],
    ['no JSON, please',         [Accept => 'application/json;q=0'], 0],
    ['capitals',                [Accept => 'Application/JSON'], 1],
    ['another JSON',            [Accept => 'application/json-patch+json'], 0],
    ['XMLHttpRequest',          ['X-Requested-With' => 'XMLHttpRequest'], 1],
    ['an app, by that header',  ['X-Requested-With' => 'com.example.app'], 0],
    ['navigates',               ['Sec-Fetch-Mode' => 'navigate', 'Sec-Fetch-Dest' => 'document', 'Sec-Fetch-Site' => 'none'], 0],
    ['navigates, whatever else', ['Sec-Fetch-Mode' => 'navigate', 'Sec-Fetch-Site' => 'same-origin', Accept => 'application/json',
        'X-Requested-With' => 'XMLHttpRequest'], 0],
    ['fetches',                 ['Sec-Fetch-Mode' => 'cors', 'Sec-Fetch-Site' => 'same-origin', Accept => '*/*'], 1],
    ['fetches, same-origin',    ['Sec-Fetch-Mode' => 'same-origin', 'Sec-Fetch-Site' => 'same-origin'], 1],
    ['fetches HTML',            ['Sec-Fetch-Mode' => 'cors', 'Sec-Fetch-Site' => 'same-origin', Accept => 'text/html'], 1],
    ['no-cors',                 ['Sec-Fetch-Mode' => 'no-cors', 'Sec-Fetch-Site' => 'same-origin'], 0],
);
for my $case (@cases) {
    my ($what, $headers, $json) = @$case;
    answers($what, '/answer/handed-off',           $headers, $json);
    answers($what, '/answer/handed-off/json/auto', $headers, $json);
    answers($what, '/answer/handed-off/json',      $headers, 1);
    answers($what, '/answer/handed-off/redirect',  $headers, 0);

    my $failed = request(GET => '/answer/failed', headers => $headers);
    like $failed->header('Content-Type'), $json ? qr{^application/problem\+json$} : qr{^text/html}, "$what: an error";
}

done_testing;

sub answers {
    my ($what, $path, $headers, $json) = @_;
    for my $method (qw(GET POST)) {
        my $answer   = request($method, $path, headers => $headers, $method eq 'POST' ? (body => '') : ());
        my $expected = $json ? 200 : $method eq 'POST' ? 303 : 302;
        is $answer->status, $expected, "$what: $method $path";
        $json ? is($answer->header('Content-Type'), 'application/json', "$what: JSON") : ok($answer->header('Location'), "$what: a redirect");
    }
}
