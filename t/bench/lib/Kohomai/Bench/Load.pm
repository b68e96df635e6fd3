# One load of wrk, bounded in time, and what came of it. wrk runs t/bench/count.lua: only answers of the one right status
# count, whatever else comes back is an error.
package Kohomai::Bench::Load;

use strict;
use warnings;

use Exporter qw(import);
use POSIX ();

our @EXPORT_OK = qw(load median spread);

# rig, port, path, kind (page, call, handoff), visitors, fresh, settle: seconds before counting, seconds: of
# counting, ramp: see count.lua;
# cost: the servers whose CPU time matters. Returns rate, cpu (seconds per 10,000), p50 and p99 (milliseconds, of the whole
# run), good, closed: kept connections that the server closed, errors: a text, empty where there were none.
sub load {
    my (%how) = @_;
    my $rig = $how{rig};
    my $ramp = $how{ramp} // 0;
    my $until = $how{settle} + $how{seconds} + $ramp;
    my $duration = POSIX::ceil($until);
    local @ENV{map { "BENCH_$_" } qw(KIND PATH STATUS FRESH FROM UNTIL RAMP)} =
        ($how{kind}, $how{path}, $how{kind} eq 'handoff' ? 302 : 200, $how{fresh} ? 1 : 0, $how{settle}, $until, $ramp);
    my @command = ($rig->{prlimit}, "--nofile=$rig->{nofile}:$rig->{nofile}", $rig->{timeout}, '--signal=KILL', $duration + 60,
        $rig->{wrk}, '-t', $how{visitors} < 8 ? 1 : 2, '-c', $how{visitors}, '-d', "${duration}s", '--timeout', '20s', '--latency',
        '-s', "$rig->{bench}/count.lua", ($how{tls} ? 'https' : 'http') . "://127.0.0.1:$how{port}/");
    my $before = cost(@{$how{cost} || []});
    open my $out, '-|', @command or die "wrk: $!\n";
    my $said = do { local $/; <$out> };
    close $out;
    return result($said, $how{seconds}, $how{fresh}, cost(@{$how{cost} || []}) - $before);
}

sub cost {
    my $sum = 0;
    $sum += $_->cpu for @_;
    return $sum;
}

sub result {
    my ($said, $seconds, $fresh, $cpu) = @_;
    my ($line) = $said =~ /^bench (.*)$/m or return {rate => 0, cpu => 0, p50 => 0, p99 => 0, good => 0, closed => 0, errors => 'wrk failed'};
    my %got = $line =~ /(\w+)=(-?[\d.]+|-?nan|inf)/g;
    # A server may close a kept connection at any time, and httpd's event does when all its workers are busy. wrk asks again.
    my @errors = map { $got{$_} ? "$got{$_} $_ errors" : () } qw(connect write timeout), $fresh ? 'read' : ();
    push @errors, "$got{other} other answers (such as $got{other_status})" if $got{other};
    push @errors, 'nothing came back' if !$got{good};
    return {
        rate   => $got{counted} / $seconds,
        cpu    => $got{good} ? $cpu * 10_000 / $got{good} : 0,
        p50    => $got{p50} / 1000,
        p99    => $got{p99} / 1000,
        good   => $got{good},
        closed => $got{read},
        errors => join(', ', @errors),
    };
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return undef if !@sorted;
    return @sorted % 2 ? $sorted[$#sorted / 2] : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}

# (median, least, most)
sub spread {
    my @sorted = sort { $a <=> $b } @_;
    return (median(@sorted), $sorted[0], $sorted[-1]);
}

1;
