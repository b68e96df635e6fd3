# (d) What a visitor who waits weighs in httpd's memory, beside one who only keeps his connection open.
package Kohomai::Bench::Parked;

use strict;
use warnings;

use HTTP::Tiny;
use Time::HiRes qw(sleep);

use Kohomai::Bench::Handoffs ();
use Kohomai::Bench::Visitors ();

use constant TARGET => 24 * 1024;

sub run {
    my ($rig, $table, $options) = @_;
    # The visitors' own program takes a descriptor for each of them, a child of httpd three for each of its share.
    my @counts = grep { 1.9 * $_ < $rig->{nofile} } 1000, 10_000;
    $table->remark('d', "only $rig->{nofile} descriptors are allowed here: 10,000 visitors are left out") if @counts < 2;
    my (%got, %errors);
    for my $round (1 .. ($options->{quick} ? 1 : 3)) {
        for my $kind (qw(idle parked)) {
            my $broken = $rig->attempt(sub { weigh($rig, $table, $kind, $round, $options->{quick} ? 2500 : 1500, \%got, \%errors, @counts) });
            $errors{"$kind $counts[0]"}{$broken} = 1 if $broken;
        }
    }
    show($table, \%got, \%errors, $_) for @counts;
}

# A fresh server for each, so that memory is not used twice; it has seen a few visitors of either kind before.
sub weigh {
    my ($rig, $table, $kind, $round, $per_second, $got, $errors, @counts) = @_;
    my $server = $rig->start_httpd(name => "weight-$kind", mpm => 'event', size => 'four', site => 'kohomai', modules => ['kohomai'],
        words => {FACTOR => 150, PENDING => 'KohomaiMaxPending 15000'});
    warm($server);
    my $before = $server->weight;
    my ($there, @visitors) = (0);
    for my $count (@counts) {
        push @visitors, Kohomai::Bench::Visitors->come(rig => $rig, port => $server->{port}, count => $count - $there,
            per_second => $per_second, quiet => 1.5, $kind eq 'parked' ? (path => '/c/dead/onboarding', then => 'close') : (path => '/page.html', then => 'stay'));
        $there = $count;
        my $after = $server->weight;
        my $here = here($kind, @visitors);
        $errors->{"$kind $count"}{$_} = 1 for missing($kind, $count, $here, $before, $after);
        my (undef, $calls) = Kohomai::Bench::Handoffs::calls_seen($rig);
        $errors->{"$kind $count"}{"only $calls of their calls have reached the API"} = 1 if $kind eq 'parked' && $calls < $count;
        for my $measure (qw(pss rss)) {
            my $each = ($after->{$measure} - $before->{$measure}) / ($here || 1);
            push @{$got->{"$kind $count $measure"}}, $each;
            $table->raw('d', "$count visitors", $kind, $round, "$measure bytes each", $each);
        }
    }
    $_->go_away for @visitors;
    still_serves($rig, $server, $kind);
    $server->stop;
}

sub warm {
    my ($server) = @_;
    for my $time (1 .. 40) {
        my $agent = HTTP::Tiny->new(timeout => 30, max_redirect => 0);
        $agent->get("http://127.0.0.1:$server->{port}/$_") for 'page.html', 'c/0/onboarding?j=7';
    }
}

# httpd may close a few kept connections when its workers are busy, but answers everybody who is parked.
sub here {
    my ($kind, @visitors) = @_;
    my $sum = 0;
    $sum += $_->look_again->{$kind eq 'parked' ? 'waiting' : 'kept'} for @visitors;
    return $sum;
}

sub missing {
    my ($kind, $count, $here, $before, $after) = @_;
    my $enough = $kind eq 'parked' ? $count : 0.9 * $count;
    return ($here >= $enough ? () : "only $here of $count are there", $before->{children} == $after->{children} ? () : 'children came or went');
}

# After all have gone away at once.
sub still_serves {
    my ($rig, $server, $kind) = @_;
    my $answer = HTTP::Tiny->new(timeout => 30, max_redirect => 0)->get("http://127.0.0.1:$server->{port}/c/0/onboarding?j=7");
    $rig->note_odd("$server->{name}: after all $kind visitors had gone away, a visit is answered $answer->{status}") if $answer->{status} != 302;
}

sub show {
    my ($table, $got, $errors, $count) = @_;
    for my $kind (qw(idle parked)) {
        my ($is, $idle) = map { $got->{"$_ $count pss"} } $kind, 'idle';
        $table->row(line => 'd', case => sprintf('%d visitors at once', $count), who => $kind eq 'idle' ? 'an idle keep-alive connection' : 'a parked visitor',
            values => $is, unit => 'bytes', errors => join('; ', sort keys %{$errors->{"$kind $count"}}), ours => $kind eq 'parked');
    }
    my ($parked, $idle) = map { $got->{"$_ $count pss"} || [] } qw(parked idle);
    $table->row(line => 'd', case => sprintf('%d visitors at once', $count), who => 'parked : idle connection',
        ratios => [map { $parked->[$_] / $idle->[$_] } grep { $idle->[$_] && $parked->[$_] } 0 .. $#$parked]);
    $table->row(line => 'd', case => sprintf('%d visitors at once', $count), who => 'parked : 24 KiB',
        ratios => [map { $_ / TARGET } @$parked], most => 1) if $count >= 10_000;
}

1;
