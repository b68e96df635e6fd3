# One visitor with one connection, over HTTP/1.1 with or without TLS: asks one thing after the other or all at once, fast
# or byte by byte, and stays or leaves at a point of their choice. Part of the driver's event loop.
# It judges no answer but its form: the Ledger does.
package Kohomai::Chaos::Visitor;

use strict;
use warnings;

use EV ();
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Socket::INET;
use IO::Socket::SSL ();
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes qw(time);
use Kohomai::Chaos::Reader;

# port, cafile (for TLS), ledger, ask (a sub that gives one more request), count (how many), pipelined, slow, pause,
# leave (before, sending, sent, parked, reading, half), leave_after, rude, patience, ended (a sub)
sub start {
    my ($class, %how) = @_;
    my $self = bless {%how, reader => Kohomai::Chaos::Reader->new, waiting => [], out => '', total => 0, answered => 0}, $class;
    $self->{socket} = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Blocking => 0)
        or return $self->fail("no connection: $@");
    setsockopt $self->{socket}, IPPROTO_TCP, TCP_NODELAY, 1;
    $self->{from} = $self->{socket}->sockport // 0;    # as the error log names them
    $self->{protocol} = $self->{cafile} ? 'TLS' : 'HTTP/1.1';
    $self->{guard} = EV::timer($self->{patience}, 0, sub { $self->lose_patience });
    $self->{watcher} = EV::io(fileno $self->{socket}, EV::READ | EV::WRITE, sub { $self->turn });
    return $self if !$self->{cafile};
    IO::Socket::SSL->start_SSL($self->{socket}, SSL_startHandshake => 0, SSL_ca_file => $self->{cafile},
        SSL_verifycn_name => 'localhost', SSL_hostname => 'localhost') or return $self->fail("TLS: $IO::Socket::SSL::SSL_ERROR");
    $self->{handshaking} = 1;
    return $self;
}

sub turn {
    my ($self) = @_;
    $self->{connected} ||= $self->begin;
    $self->read_some if $self->{connected} && $self->{socket};
    $self->write_some if $self->{connected} && $self->{socket};
}

# False while the handshake is under way.
sub begin {
    my ($self) = @_;
    if ($self->{handshaking} && !$self->{socket}->connect_SSL) {
        return $self->watch(EV::READ)  if $IO::Socket::SSL::SSL_ERROR == IO::Socket::SSL::SSL_WANT_READ();
        return $self->watch(EV::WRITE) if $IO::Socket::SSL::SSL_ERROR == IO::Socket::SSL::SSL_WANT_WRITE();
        $self->fail("TLS: $IO::Socket::SSL::SSL_ERROR");
        return 0;
    }
    $self->send_next;
    $self->leave if ($self->{leave} // '') eq 'before';
    return 1;
}

sub watch {
    my ($self, $what) = @_;
    $self->{watcher}->events($what);
    return 0;
}

# -- sending ------------------------------------------------------------------------------------------------------------

sub send_next {
    my ($self) = @_;
    my $now = $self->{pipelined} ? $self->{count} : 1;
    for (1 .. $now) {
        my $request = $self->{ask}->($self->{protocol});
        $request->{begin} = $self->{total} + length $self->{out};
        $self->{out} .= bytes_of($request);
        $request->{end} = $self->{total} + length $self->{out};
        push @{$self->{waiting}}, $request;
        $self->{count}--;
    }
    # Only whoever leaves while sending stops short of the end.
    $self->{stop_at} = $self->{total} + 1 + int rand(length($self->{out}) - 1) if ($self->{leave} // '') eq 'sending' && !$self->{count};
    $self->watch(EV::READ | EV::WRITE);
}

sub bytes_of {
    my ($request) = @_;
    my $head = "$request->{method} $request->{target} HTTP/1.1\r\nHost: localhost\r\nX-Visit: $request->{n}\r\nAccept: text/html\r\n";
    my $body = $request->{body};
    return "$head\r\n" if !defined $body;
    return $head . "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

sub write_some {
    my ($self) = @_;
    return $self->watch(EV::READ) if $self->{out} eq '' || $self->{resting};
    my $most = $self->{slow} ? 1 + int rand 40 : length $self->{out};
    $most = $self->{stop_at} - $self->{total} if defined $self->{stop_at} && $self->{stop_at} - $self->{total} < $most;
    my $n = syswrite $self->{socket}, $self->{out}, $most;
    if (!defined $n) {
        return if would_block();
        return $self->watch(EV::READ);    # what there is to read says more
    }
    substr $self->{out}, 0, $n, '';
    $self->{total} += $n;
    return $self->leave if defined $self->{stop_at} && $self->{total} >= $self->{stop_at};
    return $self->rest  if $self->{slow} && $self->{out} ne '';
    $self->sent_all     if $self->{out} eq '';
}

sub would_block { return $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR }

sub rest {
    my ($self) = @_;
    $self->{resting} = 1;
    $self->watch(EV::READ);
    $self->{timer} = EV::timer(0.005 + rand 0.03, 0, sub { $self->{resting} = 0; $self->watch(EV::READ | EV::WRITE) });
}

sub sent_all {
    my ($self) = @_;
    $self->watch(EV::READ);
    $_->{sent_at} //= time for @{$self->{waiting}};
    return if $self->{count} || !$self->{leave};
    return $self->leave if $self->{leave} eq 'sent';
    $self->{timer} = EV::timer($self->{leave_after}, 0, sub { $self->leave }) if $self->{leave} eq 'parked';
    if ($self->{leave} eq 'half') {
        shutdown $self->{socket}, 1;
        $self->{half} = 1;
    }
}

# -- reading ------------------------------------------------------------------------------------------------------------

sub read_some {
    my ($self) = @_;
    while ($self->{socket}) {
        my $n = sysread $self->{socket}, my $bytes, $self->{leave} && $self->{leave} eq 'reading' ? 1 + int rand 80 : 65_536;
        if (!defined $n) {
            return if would_block();
            return $self->server_closed("$!");
        }
        return $self->server_closed('it closed') if $n == 0;
        return $self->leave if ($self->{leave} // '') eq 'reading' && !$self->{count};
        $self->{reader}->add($bytes);
        $self->take_answers;
    }
}

sub take_answers {
    my ($self) = @_;
    while ($self->{socket} && defined(my $answer = $self->{reader}->next_answer)) {
        my $request = shift @{$self->{waiting}};
        return $self->spoil($request, $answer) if !ref $answer || !$request;
        $self->note_sent($request);
        $self->{answered}++;
        $self->{last} = $request->{n};
        $self->{announced} ||= $answer->{close};
        $self->{ledger}->answered($request, $answer);
    }
    return if !$self->{socket} || @{$self->{waiting}} || $self->{announced};
    return $self->depart if !$self->{count};
    delete $self->{timer};
    $self->{timer} = EV::timer($self->{pause}, 0, sub { $self->send_next });
}

sub spoil {
    my ($self, $request, $answer) = @_;
    my $what = ref $answer ? "an answer too many: $answer->{status}" : $answer;
    $self->{ledger}->finding($request, $what);
    unshift @{$self->{waiting}}, $request if $request;
    $self->leave;
}

# -- endings ------------------------------------------------------------------------------------------------------------

# All is answered: whatever else came is one answer too many.
sub depart {
    my ($self) = @_;
    $self->{ledger}->finding(undef, 'bytes came after the last answer: ' . Kohomai::Chaos::Reader::shown($self->{reader}{buffer}))
        if $self->{reader}->pending;
    $self->end;
}

sub leave {
    my ($self) = @_;
    for my $request (@{$self->{waiting}}) {
        $self->note_sent($request);
        $self->{ledger}->left($request, $self->{leave} // 'offended');
    }
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $self->{rude};
    $self->end;
}

sub server_closed {
    my ($self, $why) = @_;
    my $broken = $self->{reader}->pending || $self->{reader}{answer};
    $why .= " (port $self->{from})";
    for my $request (@{$self->{waiting}}) {
        $self->note_sent($request);
        $self->{ledger}->finding($request, "its answer broke off ($why)") if $broken;
        $self->{ledger}->closed($request, why => $why, kept => $self->{answered}, last => $self->{last}, announced => $self->{announced}, half => $self->{half});
        $broken = 0;
    }
    $self->end;
}

sub lose_patience {
    my ($self) = @_;
    my ($request) = @{$self->{waiting}};
    $self->{ledger}->finding($request, "nothing came for $self->{patience} s") if $request || !$self->{announced};
    $self->leave;
}

sub fail {
    my ($self, $why) = @_;
    $self->{ledger}->{lenient} || $self->{ledger}->finding(undef, "no connection came about: $why");
    $self->end;
    return $self;
}

sub note_sent {
    my ($self, $request) = @_;
    $request->{sent} = $self->{total} >= $request->{end} ? 2 : $self->{total} > $request->{begin} ? 1 : 0;
}

sub end {
    my ($self) = @_;
    delete @$self{qw(watcher timer guard)};
    my $socket = delete $self->{socket};
    $socket->close(SSL_no_shutdown => $self->{rude} ? 1 : 0, SSL_fast_shutdown => 1) if $socket && $socket->isa('IO::Socket::SSL');
    undef $socket;
    my $ended = delete $self->{ended};
    delete $self->{ask};
    $ended->() if $ended;
}

1;
