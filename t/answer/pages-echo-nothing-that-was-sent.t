# No answer repeats what the visitor or the API said: not in a page, not in a problem, not in a header.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $evil = '%3Cscript%3Emarker%3C/script%3E%22%27';
my @paths = map {"/answer/$_"} "invalid?journey=$evil", "unknown?$evil", "failed?$evil", "refused?$evil", "timeout?$evil", "unavailable?$evil",
    "not-there?$evil", "fallback/status?$evil", "fallback/variable?to=$evil", "handed-off?$evil", "failed/$evil", "unknown/marker/$evil";

for my $path (@paths) {
    for my $headers ([], [Accept => 'application/json']) {
        my $answer = request(GET => $path, headers => [@$headers, 'User-Agent' => '<b>marker</b>', Referer => 'http://marker.example/',
            Cookie => 'a=marker', Origin => 'http://localhost:' . server_port()]);
        like $answer->status, qr/^[2345]/, "$path: an answer";
        unlike $answer->head . $answer->body, qr/marker/, "$path: of its own words";
        unlike $answer->body, qr/this is the mood|there is nobody/, "$path: not the API's";
    }
}

done_testing;
