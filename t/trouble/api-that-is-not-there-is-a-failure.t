# No connection, or no host of that name: outcome failed, at once, and the rest of the site is served as ever.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

for my $path (qw(closed no-such-host)) {
    my $mark   = log_mark();
    my $answer = request(GET => "/trouble/$path");
    is $answer->status, 502, "$path: failed";
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], "$path: protected";
    like access_log_since($mark), qr/^outcome=failed reason="\S+" call=sessions api_status=\S+ time_us=\d+ status=502 /, "$path: the outcome";
    my @lines = grep {/outcome=/} split /^/, error_log_since($mark, qr/outcome=/);
    is scalar @lines, 1, "$path: one line in the error log";
    like $lines[0], qr/\[kohomai:warn\].* kohomai: outcome=failed /, "$path: a warning";
    is request(GET => '/plain.txt')->status, 200, "$path: the site is there";
}

done_testing;
