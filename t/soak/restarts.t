# After many graceful restarts under load, the parent and the children hold what they held after a few, and every visitor was
# answered. The short form; t/soak/restarts is the program, and `make soak` lets it restart a hundred times.
use strict;
use warnings;
use File::Basename qw(dirname);
use Test::More;

my %RESTARTS = (event => 15, prefork => 8);

my $program = dirname(__FILE__) . '/restarts';
for my $mpm (sort keys %RESTARTS) {
    open my $out, '-|', $^X, $program, '--mpm', $mpm, '--restarts', $RESTARTS{$mpm} or die "$program: $!\n";
    my @lines = <$out>;
    my $well = close $out;
    note $_ for map { s/\n//r } @lines;
    is_deeply [map { /^FINDING (.*)/ ? $1 : () } @lines], [], "$mpm: nothing was left behind, and nobody unanswered";
    ok $well, "$mpm: the program came to its end";
    my ($answered) = map { /^\s+answered (\d+)$/ ? $1 : () } @lines;
    cmp_ok $answered // 0, '>', 50, "$mpm: and many were answered";
}

done_testing;
