# What a visit takes, it gives back: after many visits of each kind a child has no more descriptors than before, and about as
# much memory. One child serves them all.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

use constant {AT_ONCE => 8, ROUNDS => 30, GROWTH_KIB => 6_144};

my $api = sandbox()->clear;
my $httpd = start_httpd(size_of(1, mpm() eq 'prefork' ? 1 : 16, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off', 'KohomaiMaxPending 100',
        'KohomaiTimeout 20s', 'MaxKeepAliveRequests 0', 'KeepAlive ' . (mpm() eq 'prefork' ? 'Off' : 'On'))
    . handoff('/quick', $api->base)
    . handoff('/slow', $api->base('slow=30'))
    . handoff('/two', $api->base('no-link', 'only=register'), 'KohomaiHandoff register', 'KohomaiLead Email a@b.example')
    . handoff('/sick', $api->base('status=500', 'slow=30'))
    . handoff('/broken', $api->base('hangup-after'))
    . handoff('/nobody', 'http://127.0.0.1:1/api/v1', 'KohomaiRetry 0')
    . handoff('/late', $api->base('hang'), 'KohomaiTimeout 50ms connect=50ms'));

my @paths = qw(/quick /slow /two /sick /broken /nobody /late);
visit_all() for 1 .. 10;
my $child = child_of($httpd->pid);
my ($descriptors, $kib) = (descriptors(), resident_kib());
visit_all() for 1 .. ROUNDS;
ok wait_for(sub { descriptors() <= $descriptors + AT_ONCE }), 'no more descriptors than before' or diag descriptors() . " after $descriptors";
SKIP: {
    skip 'a checker keeps back what was freed', 1 if $ENV{KOHOMAI_WATCHED};
    cmp_ok resident_kib() - $kib, '<', GROWTH_KIB, 'and about as much memory';
}
is child_of($httpd->pid), $child, 'it is the same child';

ends_well($httpd);
done_testing;

# Some visitors at the same time, for each kind of visit.
sub visit_all {
    my @visitors = map { [$_, visitor($httpd)] } mpm() eq 'prefork' ? 1 : 1 .. AT_ONCE;
    for my $path (@paths) {
        $_->[1] = mpm() eq 'prefork' ? visitor($httpd) : $_->[1] for @visitors;
        $_->[1]->ask(GET => $path) for @visitors;
        $_->[1]->answer for @visitors;
    }
}

# The child that serves: the one of the most threads (mod_cgid's daemon has one).
sub child_of {
    my ($parent) = @_;
    my @children = grep { Kohomai::TestHttpd::read_file("/proc/$_/stat") =~ /\) \S $parent / } map { m{(\d+)\z} } glob '/proc/[0-9]*';
    my %threads = map { my @tasks = glob "/proc/$_/task/*"; ($_ => scalar @tasks) } @children;
    return (sort { $threads{$b} <=> $threads{$a} || $b <=> $a } @children)[0];
}

sub descriptors {
    my @open = glob "/proc/$child/fd/*";
    return scalar @open;
}

sub resident_kib {
    my ($kib) = Kohomai::TestHttpd::read_file("/proc/$child/status") =~ /^VmRSS:\s+(\d+)/m;
    return $kib;
}
