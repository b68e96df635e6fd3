# The program t/bench/visitors, held at its two pipes: many visitors who wait.
package Kohomai::Bench::Visitors;

use strict;
use warnings;

use IPC::Open2 qw(open2);

# rig, port, path, count, per_second, then (close or stay), quiet. Returns when all have come and nobody new is being answered;
# facts() are those of t/bench/visitors.
sub come {
    my ($class, %how) = @_;
    my $rig = $how{rig};
    my $self = bless {}, $class;
    $self->{pid} = open2($self->{from}, $self->{to}, $rig->{prlimit}, "--nofile=$rig->{nofile}:$rig->{nofile}",
        $rig->{setpriv}, '--pdeathsig', 'TERM', '--', $^X, "$rig->{bench}/visitors", @how{qw(port path count per_second then quiet)});
    $self->{to}->autoflush(1);
    $self->{facts} = $self->read_facts;
    return $self;
}

sub facts { return $_[0]{facts} }

# The facts as they are now.
sub look_again {
    my ($self) = @_;
    print {$self->{to}} "report\n";
    return $self->{facts} = $self->read_facts;
}

sub read_facts {
    my ($self) = @_;
    my $line = readline($self->{from}) // '';
    $line =~ /\Avisitors / or die "bench: the visitors did not come\n";
    return {begun => 0, waiting => 0, lost => 0, $line =~ /(\w+)=([\d.]+)/g};
}

sub go_away {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    close $self->{to};
    waitpid $pid, 0;
}

sub DESTROY { local ($?, $!, $@); $_[0]->go_away }

1;
