# KohomaiTimeout is the hard ceiling on what a visitor waits for the API, however the API spends the time.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api = sandbox()->clear;

for my $path (qw(slow drip)) {
    is request(GET => "/trouble/$path")->status, 302, "$path: in time";
}
for my $path (qw(too-slow hang endless-drip hang-for-new)) {
    my $mark   = log_mark();
    my $answer = request(GET => "/trouble/$path");
    is $answer->status, 504, "$path: not in time";
    is $answer->header('Location'), undef, "$path: no link";
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], "$path: protected";
    my $line = access_log_since($mark);
    like $line, qr/^outcome=timeout reason="\S+" call=(?:sessions|journeys) api_status=\S+ time_us=\d+ status=504 /, "$path: the outcome";
    my ($time) = $line =~ /time_us=(\d+)/;
    cmp_ok $time, '>=', 400_000,    "$path: the API had its time";
    cmp_ok $time, '<',  30_000_000, "$path: which then was over";
}
is scalar(my @registered = $api->calls(path => '/journeys')), 1, 'a registration that got no answer is not repeated';
ok $api->wait_until(sub { $_[0]->connections->{waiting} == 0 }), 'and the calls that were given up are no more';
is request(GET => '/trouble/slow')->status, 302, 'the next visitor is served';

done_testing;
