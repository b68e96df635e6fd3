# One program that the bench started, with all of its children: what they cost, what they hold, how they ended. It runs in
# a process group of its own, ends with the bench, and is stopped by process id.
package Kohomai::Bench::Server;

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

use constant {READY_WITHIN => 60, STOPPED_WITHIN => 30};
use constant TICKS => POSIX::sysconf(POSIX::_SC_CLK_TCK());
use constant TROUBLE => qr/exit signal|Segmentation|core dump|AH00045|AH00046|assertion|worker process \d+ exited on signal/i;

# rig, name, command, port or socket, env.
sub start {
    my ($class, %how) = @_;
    my $self = bless {%how}, $class;
    my $log = "$self->{rig}{dir}/$self->{name}.out";
    unlink $log, "$self->{rig}{dir}/$self->{name}.log";    # of one of the same name before
    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        setpgrp;
        @ENV{keys %{$how{env}}} = values %{$how{env}} if $how{env};
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', $log;
        open STDERR, '>&', \*STDOUT;
        my $rig = $self->{rig};
        exec $rig->{prlimit}, "--nofile=$rig->{nofile}:$rig->{nofile}", $rig->{setpriv}, '--pdeathsig', 'TERM', '--',
            @{$how{command}} or POSIX::_exit(127);
    }
    $self->wait_until_up;
    return $self;
}

sub wait_until_up {
    my ($self) = @_;
    my $end = time + ($self->{patience} || READY_WITHIN);
    until ($self->listens) {
        if (waitpid($self->{pid}, WNOHANG) == $self->{pid} || time > $end) {
            my $said = $self->said;
            $self->stop;
            die "bench: $self->{name} does not come up:\n$said\n";
        }
        sleep 0.05;
    }
}

sub listens {
    my ($self) = @_;
    return IO::Socket::UNIX->new(Peer => $self->{socket}) if $self->{socket};
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port});
}

sub said {
    my ($self) = @_;
    return join '', map { Kohomai::TestRig::slurp("$self->{rig}{dir}/$self->{name}.$_") } qw(out log);
}

# --- what it costs ----------------------------------------------------------------------------------------------------

# The parts of /proc/PID/stat after the program's name; nothing once the process is gone.
sub stat_of {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/stat" or return;
    my $line = <$in> // return;
    return split ' ', $line =~ s/.*\) //sr;
}

# The process and all below it, as pid => its stat.
sub family {
    my ($self) = @_;
    opendir my $proc, '/proc' or die "/proc: $!\n";
    my %all = map { my @stat = stat_of($_); @stat ? ($_ => \@stat) : () } grep { /\A\d+\z/ } readdir $proc;
    my %family = ($self->{pid} => $all{$self->{pid}} || return {});
    for (my $grown = 1; $grown;) {
        my @new = grep { !$family{$_} && $family{$all{$_}[1]} } keys %all;
        @family{@new} = @all{@new};
        $grown = @new;
    }
    return \%family;
}

# CPU seconds that it has used so far, children included, those that have ended as well.
sub cpu {
    my ($self) = @_;
    my $family = $self->family;
    my $ticks = 0;
    $ticks += $_->[11] + $_->[12] + $_->[13] + $_->[14] for values %$family;
    return $ticks / TICKS;
}

# Bytes that the children hold: pss (what is shared counts by its share) and rss.
sub weight {
    my ($self) = @_;
    my %sum = (pss => 0, rss => 0, children => 0);
    for my $pid (grep { $_ != $self->{pid} } keys %{$self->family}) {
        my $text = Kohomai::TestRig::slurp("/proc/$pid/smaps_rollup");
        $sum{children}++;
        for my $kind (qw(pss rss)) {
            $sum{$kind} += 1024 * ($text =~ /^$kind:\s+(\d+) kB/mi ? $1 : die "bench: /proc/$pid/smaps_rollup cannot be read\n");
        }
    }
    return \%sum;
}

# --- its end ------------------------------------------------------------------------------------------------------------

# A server that does not end, or ended badly, is worth a line in the report.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    my $end = time + STOPPED_WITHIN;
    my $known = $self->note_trouble('while it served', 0);
    kill TERM => $pid;
    while (waitpid($pid, WNOHANG) == 0) {
        if (time > $end) {
            $self->{rig}->note_odd("$self->{name} did not stop within " . STOPPED_WITHIN . ' s and was killed');
            kill KILL => -$pid;
            waitpid $pid, 0;
            last;
        }
        sleep 0.02;
    }
    $self->note_trouble('while it stopped', $known);
    return;
}

# What its log says of crashes and the like, after the first KNOWN lines of that kind; returns how many there are.
sub note_trouble {
    my ($self, $when, $known) = @_;
    my @lines = grep { $_ =~ TROUBLE } split /\n/, $self->said;
    my %seen;
    for my $line (@lines[$known .. $#lines]) {
        my $kind = $line =~ s/^\[[^\]]*\] //r =~ s/\[pid [^\]]*\] //r =~ s/\d+/N/gr;
        $self->{rig}->note_odd("$self->{name}, $when: $line") if !$seen{$kind}++;
    }
    return scalar @lines;
}

1;
