# An id of 1 to 20 digits goes out as the bare JSON number of exactly these digits; whatever else stands there is refused here.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api = sandbox();

# Odd numbers of each length: above 2^53 no odd number survives being read as a floating point number.
my @ids = map { substr '98765432198765432199', 20 - $_ } 1 .. 20;
push @ids, qw(9007199254740993 9223372036854775807 9223372036854775809 18446744073709551615 18446744073709551617
    10000000000000000001 99999999999999999999 74590868830731162);
for my $id (@ids) {
    for my $kind (qw(Journey User)) {
        $api->clear;
        request(GET => '/journey/by-id?' . lc($kind) . "=$id");
        is_deeply [map { "$_->{status} $_->{body}" } $api->calls], [qq(200 {"$kind":{"Id":$id}})], "$kind " . length($id) . " digits: $id";
    }
}

my %none = (
    'a leading zero'       => '074590868830731162',
    'zero'                 => '0',
    '21 digits'            => '745908688307311621234',
    'a sign'               => '-7',
    'a plus'               => '%2B7',
    'a fraction'           => '7.0',
    'an exponent'          => '7e3',
    'a blank before'       => '%207',
    'a blank behind'       => '7%20',
    'a line end'           => '7%0A',
    'hexadecimal'          => '0x7',
    'a list'               => '7,8',
    'Arabic digits'        => '%D9%A7',
    'a body of its own'    => '7}%2C"a":{"b":1',
    'letters'              => 'seven',
    'a NUL'                => '7%00',
);
$api->clear;
for my $what (sort keys %none) {
    for my $kind (qw(journey user)) {
        my $mark = log_mark();
        is request(GET => "/journey/by-id?$kind=$none{$what}")->status, 422, "$what is no $kind id";
        like access_log_since($mark), qr/^outcome=invalid /, "$what: the outcome";
    }
}
is_deeply [$api->calls], [], 'none of these reached the API';

my $mark = log_mark();
is request(GET => '/journey/by-id')->status, 403, 'no id at all';
like access_log_since($mark), qr/^outcome=unknown /, 'is an unknown visitor';

done_testing;
