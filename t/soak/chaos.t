# Visitors over HTTP/1.1, TLS and HTTP/2 come, dawdle and leave half-way; the API does all that it should not; httpd is
# restarted again and again: every visitor gets one whole answer, no link goes to two, and nothing is left over.
# The short form; t/soak/chaos is the program, and runs as long as one likes.
use strict;
use warnings;
use File::Basename qw(dirname);
use Test::More;

use constant SECONDS => 20;

my $program = dirname(__FILE__) . '/chaos';
open my $out, '-|', $^X, $program, '--seconds', SECONDS or die "$program: $!\n";
my @lines = <$out>;
my $well = close $out;

note $_ for map { s/\n//r } @lines;
my @findings = map { /^FINDING (.*)/ ? $1 : () } @lines;
is_deeply \@findings, [], 'nothing was lost, doubled, mixed up or left over';
ok $well, 'the program came to its end';
my ($answered) = map { /^\s+answered\s+(\d+)$/ ? $1 : () } @lines;
cmp_ok $answered // 0, '>', 50, 'and many were answered';
my ($restarts) = map { /^\s+graceful restarts\s+(\d+)$/ ? $1 : () } @lines;
cmp_ok $restarts // 0, '>=', 4, 'while httpd was restarted';

done_testing;
