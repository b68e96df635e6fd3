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
);
for my $headers (@early) {
    my $name   = join ': ', @$headers;
    my $mark   = log_mark();
    my $answer = request(GET => '/answer/handed-off', headers => [@$headers, 'Sec-Fetch-Site' => 'same-origin', 'Sec-Fetch-Mode' => 'navigate']);
    is $answer->status, 503, $name;
    is $answer->header('Retry-After'), undef, "$name: not to be repeated by itself";
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], "$name: protected";
    like access_log_since($mark), qr/^outcome=prefetch reason="-" call=- /, "$name: the outcome";
}
is_deeply [$api->calls], [], 'nobody was asked for a link';

for my $headers (['Sec-Purpose' => 'something-else'], ['Purpose' => 'preview'], ['X-Moz' => 'x'], []) {
    is request(GET => '/answer/handed-off', headers => $headers)->status, 302, join ': ', 'is no prefetch', @$headers;
}
is request(GET => '/plain.txt', headers => ['Sec-Purpose' => 'prefetch'])->status, 200, 'other paths may be loaded ahead of time';

done_testing;
