# A browser that loads a page ahead of time would use up the link: it is told to come when the visitor does.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api = sandbox()->clear;
my @early = (
    ['Sec-Purpose' => 'prefetch'],
    ['Sec-Purpose' => 'prefetch;prerender'],
    ['Sec-Purpose' => 'prefetch; anonymous-client-ip'],
    ['Sec-Purpose' => 'prerender'],
    ['Purpose'     => 'prefetch'],
    ['Purpose'     => 'Prefetch'],
    ['X-Moz'       => 'prefetch'],
    ['X-Moz'       => 'PREFETCH'],
    ['sec-purpose' => 'prefetch;prerender;prefetch'],
    ['Sec-Purpose' => 'prefetch;a=b, prerender'],
    ['Sec-Purpose' => ' prefetch '],
    ['Sec-Purpose' => 'x' x 7000 . ';prefetch'],
    ['Sec-Purpose' => 'something-else', 'Sec-Purpose' => 'prefetch'],
    ['Sec-Purpose' => 'something-else', 'Purpose' => 'prefetch'],
    ['Sec-Purpose' => '', 'Purpose' => '', 'X-Moz' => 'prefetch'],
);
for my $headers (@early) {
    my $name   = substr join(': ', @$headers), 0, 80;
    my $mark   = log_mark();
    my $answer = request(GET => '/answer/handed-off', headers => [@$headers, 'Sec-Fetch-Site' => 'same-origin', 'Sec-Fetch-Mode' => 'navigate']);
    is $answer->status, 503, $name;
    is $answer->header('Retry-After'), undef, "$name: not to be repeated by itself";
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], "$name: protected";
    like access_log_since($mark), qr/^outcome=prefetch reason="-" call=- /, "$name: the outcome";
}
is_deeply [$api->calls], [], 'nobody was asked for a link';

# It does not matter from where, in what way, or with which method.
for my $more (['Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'navigate', 'Sec-Fetch-Dest' => 'document'], ['Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'no-cors',
        'Sec-Fetch-Dest' => 'empty'], ['Sec-Fetch-Site' => 'none'], ['Sec-Fetch-Site' => 'same-origin', 'Sec-Fetch-Mode' => 'cors'], [], [Origin => 'https://evil.example']) {
    for my $method (qw(GET POST)) {
        my $answer = request($method, '/answer/handed-off', headers => ['Sec-Purpose' => 'prefetch', @$more], $method eq 'POST' ? (body => '') : ());
        is $answer->status, 503, "$method with @$more";
    }
}
is request(HEAD => '/answer/handed-off', headers => ['Sec-Purpose' => 'prefetch'])->status, 204, 'HEAD asks for nothing as ever';
is_deeply [$api->calls], [], 'nobody was asked for a link';

for my $headers (['Sec-Purpose' => 'something-else'], ['Purpose' => 'preview'], ['X-Moz' => 'x'], []) {
    is request(GET => '/answer/handed-off', headers => $headers)->status, 302, join ': ', 'is no prefetch', @$headers;
}
is request(GET => '/plain.txt', headers => ['Sec-Purpose' => 'prefetch'])->status, 200, 'other paths may be loaded ahead of time';

done_testing;
