# (c) A static page, while 2,000 visitors hang on an API that takes their calls and never answers, beside the same page with
# nobody there. Breaker and ceiling are out of the way, so that the cap alone protects the site.
package Kohomai::Bench::Hanging;

use strict;
use warnings;

use Kohomai::Bench::Load qw(load);
use Kohomai::Bench::Visitors ();

use constant {VISITORS => 2000, STATIC_VISITORS => 32};

# quiet: so many seconds without an answer mean that whoever has none waits. prefork's children come slowly.
my @CASES = (
    {name => "event, Debian's settings",   mpm => 'event',   size => 'debian', quiet => 1.5},
    {name => 'event, factor raised to 64', mpm => 'event',   size => 'raised', quiet => 1.5, all_wait => 1,
        words => {FACTOR => 64, PENDING => 'KohomaiMaxPending 2500'}},
    {name => "worker, Debian's settings",  mpm => 'worker',  size => 'debian', quiet => 1.5},
    {name => "prefork, Debian's settings", mpm => 'prefork', size => 'debian', quiet => 4},
);

sub run {
    my ($rig, $table, $options) = @_;
    for my $case (@CASES) {
        next if $options->{quick} && $case->{mpm} eq 'worker';
        my $rounds = $options->{quick} ? ($case->{size} eq 'debian' && $case->{mpm} eq 'event' ? 2 : 1) : 3;
        my %got = (errors_with => [], errors_without => []);
        my $broken = $rig->attempt(sub { measure($rig, $table, $options->{quick}, $case, $rounds, \%got) });
        show($table, $case, \%got, $broken);
    }
}

# Two servers that differ in nothing but their visitors; who is asked first changes from round to round.
sub measure {
    my ($rig, $table, $quick, $case, $rounds, $got) = @_;
    my %server = map { $_ => start($rig, $case, $_) } qw(without with);
    page($rig, $server{$_}, 0, $quick ? 1 : 6) for qw(without with);
    my $visitors = Kohomai::Bench::Visitors->come(rig => $rig, port => $server{with}{port}, path => '/c/dead/onboarding',
        count => VISITORS, per_second => $quick ? 1000 : 500, then => 'close', quiet => $case->{quiet});
    for my $round (1 .. $rounds) {
        for my $which ($round % 2 ? qw(without with) : qw(with without)) {
            my $is = page($rig, $server{$which}, 0.2, $quick ? 1.8 : 5.8);
            push @{$got->{"${_}_$which"}}, $is->{$_} for qw(rate p99);
            push @{$got->{"errors_$which"}}, $is->{errors} || ();
            $table->raw('c', $case->{name}, "page $which visitors", $round, $_, $is->{$_}, $is->{errors}) for qw(rate p50 p99 closed);
        }
    }
    $got->{visitors} = $visitors->look_again;
    $table->raw('c', $case->{name}, 'visitors', 1, $_, $got->{visitors}{$_}) for sort keys %{$got->{visitors}};
    $visitors->go_away;
    $server{$_}->stop for qw(with without);
}

sub start {
    my ($rig, $case, $which) = @_;
    return $rig->start_httpd(name => "$case->{mpm}-$case->{size}-$which", mpm => $case->{mpm}, size => $case->{size},
        site => 'kohomai', modules => ['kohomai'], words => $case->{words});
}

sub page {
    my ($rig, $server, $settle, $seconds) = @_;
    return load(rig => $rig, kind => 'page', port => $server->{port}, path => '/page.html', visitors => STATIC_VISITORS, fresh => 0,
        settle => $settle, seconds => $seconds);
}

sub show {
    my ($table, $case, $got, $broken) = @_;
    my @row = (line => 'c', case => $case->{name}, ours => 1);
    return $table->row(@row, who => 'static page', errors => $broken) if $broken;
    my $event = $case->{mpm} eq 'event';
    for my $which (qw(without with)) {
        my $who = $which eq 'with' ? '2,000 hang' : 'nobody hangs';
        my @with = (errors => join('; ', @{$got->{"errors_$which"}}));
        $table->row(@row, who => "static page, $who", values => $got->{"rate_$which"}, unit => '/s', @with,
            $which eq 'with' ? (ratios => pairs($got, 'rate'), $event && !$case->{all_wait} ? (least => 0.8) : ()) : ());
        $table->row(@row, who => "its p99, $who", values => $got->{"p99_$which"}, unit => 'ms', digits => 2, @with,
            $which eq 'with' ? (ratios => pairs($got, 'p99'), $event ? (most => 2) : ()) : ());
    }
    show_visitors($table, $case, $got->{visitors}, @row);
}

# Every visitor waits or has his 503: any other end is an error.
sub show_visitors {
    my ($table, $case, $is, @row) = @_;
    my $refused = $is->{got_503} // 0;
    my $other = $is->{begun} - $is->{waiting} - $is->{lost} - $refused;
    $table->row(@row, who => 'visitors who wait', values => [$is->{waiting}], $case->{all_wait} ? (least => VISITORS) : (),
        errors => join ', ', $is->{lost} ? "$is->{lost} visitors lost their connections" : (), $other ? "$other got another answer" : ());
    return if !$refused;
    $table->row(@row, who => 'visitors told to come again (503)', values => [$refused]);
    $table->row(@row, who => 'time until the 503: p50', values => [$is->{ms_503_p50}], unit => 'ms', digits => 1);
    $table->row(@row, who => 'time until the 503: p99', values => [$is->{ms_503_p99}], unit => 'ms', digits => 1,
        $case->{mpm} eq 'event' ? (most => 50) : ());
}

sub pairs {
    my ($got, $what) = @_;
    my ($with, $without) = @$got{"${what}_with", "${what}_without"};
    return [map { $without->[$_] ? $with->[$_] / $without->[$_] : () } 0 .. $#$with];
}

1;
