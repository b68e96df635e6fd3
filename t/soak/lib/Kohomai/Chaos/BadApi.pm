# What the sandbox cannot do, since it accepts every connection: addresses that reset, refuse or swallow them.
# Part of the driver's event loop. It records nothing, since no request that comes here is ever taken.
package Kohomai::Chaos::BadApi;

use strict;
use warnings;

use EV ();
use IO::Socket::INET;
use Socket qw(INADDR_LOOPBACK SOL_SOCKET SO_LINGER pack_sockaddr_in);

sub new {
    my ($class) = @_;
    my $self = bless {watchers => {}, held => []}, $class;
    $self->{urls} = {
        reset        => $self->listen_and_reset(0),
        'reset-late' => $self->listen_and_reset(1),
        refusing     => $self->refusing,
        'black-hole' => $self->black_hole,
    };
    return $self;
}

sub urls { return $_[0]{urls} }

sub base { return 'http://127.0.0.1:' . $_[0]->sockport . '/api/v1' }

sub listener {
    my ($queue) = @_;
    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => $queue) || die "socket: $@\n";
}

# LATE: the reset comes when bytes of the request are there, else at once.
sub listen_and_reset {
    my ($self, $late) = @_;
    my $listener = listener(1024);
    $listener->blocking(0);
    push @{$self->{held}}, EV::io($listener, EV::READ, sub {
        while (my $caller = $listener->accept) {
            $late ? $self->reset_after_bytes($caller) : abort_connection($caller);
        }
    });
    return base($listener);
}

sub reset_after_bytes {
    my ($self, $socket) = @_;
    $self->{watchers}{fileno $socket} = EV::io($socket, EV::READ, sub {
        delete $self->{watchers}{fileno $socket};
        abort_connection($socket);
    });
}

sub abort_connection {
    my ($socket) = @_;
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    close $socket;
}

# A port that nobody else is given while it is held bound, and where nobody listens.
sub refusing {
    my ($self) = @_;
    socket my $bound, Socket::PF_INET, Socket::SOCK_STREAM, 0 or die "socket: $!\n";
    bind $bound, pack_sockaddr_in(0, INADDR_LOOPBACK) or die "bind: $!\n";
    push @{$self->{held}}, $bound;
    my ($port) = Socket::unpack_sockaddr_in(getsockname $bound);
    return "http://127.0.0.1:$port/api/v1";
}

# A listener whose queue is full: the system drops further attempts, and nobody is told.
sub black_hole {
    my ($self) = @_;
    my $listener = listener(1);
    push @{$self->{held}}, $listener;
    for (1 .. 4) {
        push @{$self->{held}}, IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $listener->sockport, Blocking => 0);
    }
    return base($listener);
}

1;
