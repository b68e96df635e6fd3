# (a) Handoffs a second, and CPU seconds per 10,000, beside every peer. The ratio is the module's rate to the peer's, taken
# round by round: all peers take their turns within each round.
package Kohomai::Bench::Handoffs;

use strict;
use warnings;

use HTTP::Tiny;
use Time::HiRes qw(sleep time);

use Kohomai::Bench::Load qw(load);
use Kohomai::Bench::Peers qw(all_peers start_peer check_peer peer_load stop_peer stop_peers);

# delay in ms; way to the API: c clear, t TLS; fresh: a new connection for every visit.
my @CASES = map {
    my ($delay, $visitors) = @$_;
    map { my $way = $_; map { {delay => $delay, visitors => $visitors, way => $way, fresh => $_} } 0, 1 } qw(c t)
} [0, 64], [50, 256], [500, 2000];

# What a quick run measures: where the targets are, and only these peers where they are named.
my %QUICK = (
    '0c0'   => undef,
    '0c1'   => [qw(kohomai static proxy nginx-lua)],
    '0t0'   => [qw(kohomai api proxy fpm php nginx-lua)],
    '50c0'  => [qw(kohomai proxy nginx-lua)],
    '500c0' => [qw(kohomai proxy-wide nginx-lua)],
);

sub run {
    my ($rig, $table, $options) = @_;
    for my $case (@CASES) {
        my $key = "$case->{delay}$case->{way}$case->{fresh}";
        next if $options->{quick} && !exists $QUICK{$key};
        my @peers = grep { fits($_, $case) } @{$options->{peers}};
        @peers = only($QUICK{$key}, @peers) if $options->{quick} && $QUICK{$key};
        measure($rig, $table, $case, rounds($case, $options->{quick}), @peers);
    }
    stop_peers($rig);
}

sub only {
    my ($keys, @peers) = @_;
    my %wanted = map { $_ => 1 } @$keys;
    return grep { $wanted{$_->{key}} } @peers;
}

# A static file knows no API, and nobody needs 2,048 threads where there is no delay.
sub fits {
    my ($peer, $case) = @_;
    return 0 if $peer->{kind} eq 'page' && ($case->{delay} || $case->{way} eq 't');
    return 0 if !$case->{delay} && $peer->{key} eq 'proxy-wide';
    return 1;
}

# How many rounds; seconds before the counting, when the first answers come; seconds of counting.
sub rounds {
    my ($case, $quick) = @_;
    my %how = (
        0   => {quick => [2, 0.2, 0.8], full => [3, 0.5, 3.5]},
        50  => {quick => [1, 0.4, 1.5], full => [2, 0.4, 3.5]},
        500 => {quick => [1, 0.8, 2.6], full => [2, 1.0, 4.4]},
    );
    my ($rounds, $settle, $seconds) = @{$how{$case->{delay}}{$quick ? 'quick' : 'full'}};
    return {rounds => $rounds, settle => $settle, seconds => $seconds};
}

sub name_of {
    my ($case) = @_;
    return sprintf 'API %d ms, %s, %d %s visitors', $case->{delay}, $case->{way} eq 't' ? 'TLS' : 'clear', $case->{visitors},
        $case->{fresh} ? 'fresh' : 'keep-alive';
}

sub measure {
    my ($rig, $table, $case, $how, @peers) = @_;
    my $name = name_of($case);
    my %got = map { $_->{key} => {rates => [], cpu => [], errors => {}} } @peers;
    for my $peer (@peers) {
        my $wrong = prepare($rig, $peer);
        $got{$peer->{key}}{errors}{$wrong} = 1 if $wrong;
    }
    my $calls = calls_when_quiet($rig);
    for my $round (1 .. $how->{rounds}) {
        $calls = one_turn($rig, $table, $case, $how, $round, $got{$_->{key}}, $_, $calls) for grep { !$_->{wrong} } @peers;
    }
    show($table, $case, $name, \%got, @peers);
}

sub prepare {
    my ($rig, $peer) = @_;
    return $peer->{wrong} if defined $peer->{wrong};
    $peer->{wrong} = $rig->attempt(sub { start_peer($rig, $peer) }) || check_peer($rig, $peer);
    $rig->note_odd("$peer->{name}: $peer->{wrong}") if $peer->{wrong};
    return $peer->{wrong};
}

# Returns how many calls the API stand-in has seen by then; $calls before. Where 2,000 visitors come, each turn has a server
# of its own: one that cannot keep up would be busy long afterwards with those who have gone away, and disturb the others.
sub one_turn {
    my ($rig, $table, $case, $how, $round, $got, $peer, $calls) = @_;
    start_peer($rig, $peer);
    my $is = load(peer_load($rig, $peer, $case->{way}, $case->{delay}), visitors => $case->{visitors}, fresh => $case->{fresh},
        settle => $how->{settle}, seconds => $how->{seconds},
        ramp => $case->{delay} / 1000);
    stop_peer($rig, $peer) if $case->{delay} >= 500;
    my $now = calls_when_quiet($rig);
    my $seen = $now - $calls;
    my $errors = $is->{errors} || ($peer->{kind} eq 'page' ? '' : wrong_calls($seen, $is->{good}, $case->{visitors}));
    $got->{errors}{$errors} = 1 if $errors;
    $got->{closed} += $is->{closed};
    push @{$got->{rates}}, $is->{rate};
    push @{$got->{cpu}}, $is->{cpu};
    $table->raw('a', name_of($case), $peer->{key}, $round, $_, $is->{$_}, $errors) for qw(rate cpu p50 p99 good closed);
    $table->raw('a', name_of($case), $peer->{key}, $round, 'api calls', $seen, $errors);
    return $now;
}

# One call for each answer, and one more for each visitor who was still waiting when wrk ended.
sub wrong_calls {
    my ($seen, $answered, $visitors) = @_;
    return "$answered answers out of $seen calls" if $seen < $answered;
    return $seen - $answered - $visitors . ' calls were made that nobody got the answer of' if $seen > $answered + $visitors;
    return '';
}

# How many calls the API stand-in has seen, once none is under way any more.
sub calls_when_quiet {
    my ($rig) = @_;
    my $end = time + 60;
    my ($calls, $under_way) = calls_seen($rig);
    for (my $before = -1; ($under_way || $calls != $before) && time < $end;) {
        sleep 0.1;
        $before = $calls;
        ($calls, $under_way) = calls_seen($rig);
    }
    return $calls;
}

# How many there were, and how many are under way; our own questions do not count.
sub calls_seen {
    my ($rig) = @_;
    my $answer = HTTP::Tiny->new(timeout => 30)->get("http://127.0.0.1:$rig->{api}{port}/count");
    my ($requests, $under_way) = $answer->{content} =~ /\d+ \d+ (\d+)\s+Reading: \d+ Writing: (\d+)/
        or die "bench: the API stand-in does not count: $answer->{content}\n";
    return ($requests - ++$rig->{questions}, $under_way - 1);
}

sub show {
    my ($table, $case, $name, $got, @peers) = @_;
    my $ours = $got->{kohomai};
    for my $peer (@peers) {
        my $is = $got->{$peer->{key}};
        my $compared = $peer->{key} ne 'kohomai' && $ours && !%{$is->{errors}} && !%{$ours->{errors}};
        $table->row(line => 'a', case => $name, who => $peer->{name}, values => $is->{rates}, unit => '/s', cpu => $is->{cpu}, closed => $is->{closed},
            errors => join('; ', sort keys %{$is->{errors}}), ours => $peer->{key} eq 'kohomai',
            $compared ? (ratios => ratios($ours->{rates}, $is->{rates}), target($case, $peer->{key})) : ());
    }
    return if !$case->{delay} || !$ours || %{$ours->{errors}};
    my @limit = (1000 * $case->{visitors} / $case->{delay}) x @{$ours->{rates}};
    $table->row(line => 'a', case => $name, who => 'limit: visitors / delay', values => [$limit[0]], unit => '/s',
        ratios => ratios($ours->{rates}, \@limit), $case->{fresh} ? () : (least => $case->{delay} >= 500 ? 0.8 : 0.95));
}

sub ratios {
    my ($ours, $theirs) = @_;
    return [map { $theirs->[$_] ? $ours->[$_] / $theirs->[$_] : () } 0 .. $#$ours];
}

sub target {
    my ($case, $key) = @_;
    return least => 1 if $case->{delay} == 0 && $key eq 'proxy';
    return least => $case->{way} eq 't' ? 10 : 3.5 if $case->{delay} == 0 && $key eq 'fpm';
    return least => 10 if $case->{delay} == 0 && $key eq 'php' && $case->{way} eq 't';
    return least => 1.5 if $case->{delay} == 50 && $key eq 'proxy' && !$case->{fresh};
    return;
}

1;
