# (b) What one visitor waits more than a direct call to the API takes: one connection, one request at a time.
package Kohomai::Bench::Latency;

use strict;
use warnings;

use Kohomai::Bench::Load qw(load);
use Kohomai::Bench::Peers qw(start_peer stop_peers peer_load);

sub run {
    my ($rig, $table, $options) = @_;
    my @peers = grep { $_->{key} =~ /\A(?:api|kohomai|proxy)\z/ } @{$options->{peers}};
    start_peer($rig, $_) for @peers;
    for my $case ($options->{quick} ? (['c', 0]) : (['c', 0], ['t', 0], ['c', 50])) {
        measure($rig, $table, $options, @$case, @peers);
    }
    stop_peers($rig);
}

sub measure {
    my ($rig, $table, $options, $way, $delay, @peers) = @_;
    my $name = sprintf 'API %d ms, %s, one visitor at a time', $delay, $way eq 't' ? 'TLS' : 'clear';
    my (%got, %errors);
    for my $round (0 .. ($options->{quick} ? 2 : 4)) {    # round 0 only opens the connections
        for my $peer (@peers) {
            my $is = load(peer_load($rig, $peer, $way, $delay), visitors => 1, fresh => 0, settle => 0, seconds => $options->{quick} || !$round ? 1 : 3);
            next if !$round;
            $errors{$peer->{key}} ||= $is->{errors};
            push @{$got{$peer->{key}}{$_}}, $is->{$_} for qw(p50 p99);
            $table->raw('b', $name, $peer->{key}, $round, $_, $is->{$_}, $is->{errors}) for qw(p50 p99);
        }
    }
    show($table, $name, \%got, \%errors, @peers);
}

sub show {
    my ($table, $name, $got, $errors, @peers) = @_;
    for my $measure (qw(p50 p99)) {
        my $direct = $got->{api}{$measure};
        for my $peer (@peers) {
            my $is = $got->{$peer->{key}}{$measure};
            my $added = $direct && $peer->{key} ne 'api' ? [map { $is->[$_] - $direct->[$_] } 0 .. $#$is] : undef;
            $table->row(line => 'b', case => $name, who => "$measure: " . ($added ? "added by $peer->{key}" : $peer->{name}),
                values => $added || $is, digits => 3, unit => 'ms', errors => $errors->{$peer->{key}}, ours => $peer->{key} eq 'kohomai',
                $added ? (ratios => [map { $is->[$_] / $direct->[$_] } 0 .. $#$is]) : ());
        }
    }
}

1;
