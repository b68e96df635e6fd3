# Looks at the children of one httpd from outside, through /proc: how many threads and descriptors they have, what
# their sockets are connected to, how much memory they hold. It touches none of them.
package Kohomai::Chaos::Children;

use strict;
use warnings;

use POSIX ();

# pid (of the parent), ports (those of the visitors), api_ports
sub new {
    my ($class, %facts) = @_;
    return bless {%facts}, $class;
}

# Those that serve visitors; the daemon of mod_cgid, which has one thread, is left out.
sub pids {
    my ($self) = @_;
    my @pids = map { m{(\d+)} } glob '/proc/[0-9]*';
    return sort { $a <=> $b } grep { parent_of($_) == $self->{pid} && threads($_) > 1 } @pids;
}

sub parent_of {
    my ($stat) = slurp("/proc/$_[0]/stat") =~ /\) \S (\d+)/;
    return $stat // 0;
}

# Since which tick of the system's clock a process has been there: with the pid, its identity.
sub born { return (split ' ', slurp("/proc/$_[0]/stat") =~ s/.*\) //sr)[19] // 0 }

# The same clock, now.
sub ticks {
    my ($seconds) = split ' ', slurp('/proc/uptime');
    return int $seconds * POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub resident_kib {
    my ($kib) = slurp("/proc/$_[0]/status") =~ /^VmRSS:\s+(\d+)/m;
    return $kib // 0;
}

sub threads {
    my ($pid) = @_;
    my @tasks = glob "/proc/$pid/task/[0-9]*";
    return scalar @tasks;
}

# {visitors, api, listening, events, other}: how many descriptors of each sort a process has.
sub descriptors {
    my ($self, $pid) = @_;
    my $socket = $self->sockets;
    my %count = map { $_ => 0 } qw(visitors api listening events other);
    for my $link (map { readlink // () } glob "/proc/$pid/fd/[0-9]*") {
        my $sort = $link =~ /\Asocket:\[(\d+)\]/ ? $socket->{$1} // 'other' : $link eq 'anon_inode:[eventfd]' ? 'events' : 'other';
        $count{$sort}++;
    }
    return \%count;
}

# Every socket of the system that concerns us, by inode.
sub sockets {
    my ($self) = @_;
    my %mine = map { $_ => 1 } @{$self->{ports}};
    my %api  = map { $_ => 1 } @{$self->{api_ports}};
    my %sort;
    for my $line (split /\n/, slurp('/proc/net/tcp') . slurp('/proc/net/tcp6')) {
        my ($here, $there, $state, $inode) = $line =~ /:\s+\w+:(\w{4}) \w+:(\w{4}) (\w\w) (?:\S+ ){2,3}\s*.*?\s+\d+\s+\d+\s+(\d+) / or next;
        $sort{$inode} = $state eq '0A' ? 'listening' : $mine{hex $here} ? 'visitors' : $api{hex $there} ? 'api' : 'other';
    }
    return \%sort;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or return '';
    local $/;
    return <$in> // '';
}

1;
