# An API that answers nobody until it is told to; then each call gets a link of its own. It shows what the sandbox cannot:
# who waits at the very same time, without a clock.
#
#     my $api = Kohomai::TestHoldingApi->start;
#     handoff('/onboarding', $api->base);
#     wait_for(sub { $api->held == 100 });
#     $api->answer;                                     # all that are held now
#     $api->answer('sick');                             # or with something else: see %ANSWER
#
# It runs in a process of its own, which ends with the object. It judges no call.
package Kohomai::TestHoldingApi;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket;

# A word of one's own each; %d is the number of the call, %p the port.
my %ANSWER = (
    link      => ['200 OK', '{"ConnectionURL":"http://127.0.0.1:%p/internal/v1/autologin?UUID=%d"}'],
    'no-link' => ['200 OK', '{"User":{"Id":74590868830731162}}'],
    sick      => ['503 Service Unavailable', ''],
    resting   => ["503 Service Unavailable\r\nRetry-After: 3000", ''],
);

sub start {
    my ($class) = @_;
    my $listen = IO::Socket::INET->new(Listen => 1024, LocalAddr => '127.0.0.1', LocalPort => 0) or die "socket: $@\n";
    socketpair my $here, my $there, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!\n";
    my $self = bless {port => $listen->sockport, control => $here, owner => $$}, $class;
    $self->{pid} = fork // die "fork: $!\n";
    return $self if $self->{pid};
    close $here;
    serve($listen, $there);
    POSIX::_exit(0);
}

sub base { return "http://127.0.0.1:$_[0]{port}/api/v1" }

# How many calls wait now, and how many there have been.
sub held  { return $_[0]->tell('held') }
sub calls { return $_[0]->tell('calls') }

# Answers all that wait; how many these are.
sub answer { return $_[0]->tell($_[1] // 'link') }

sub tell {
    my ($self, $word) = @_;
    syswrite $self->{control}, "$word\n";
    sysread $self->{control}, my $number, 100 or die "The API is gone.\n";
    return 0 + $number;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($?, $!);
    close $self->{control};
    waitpid $self->{pid}, 0;
}

# --- In its own process ------------------------------------------------------------------------------------------------------

sub serve {
    my ($listen, $control) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $ready = IO::Select->new($listen, $control);
    my ($calls, %in, %held) = (0);
    while (my @readable = $ready->can_read) {
        for my $socket (@readable) {
            if ($socket == $control) {
                sysread $control, my $word, 100 or return;
                my $answer = $ANSWER{$word =~ s/\n//r};
                my $number = $word eq "calls\n" ? $calls : keys %held;
                syswrite $_->{socket}, in_bytes($answer, $listen->sockport, $_->{number}) for $answer ? values %held : ();
                %held = () if $answer;
                syswrite $control, "$number\n";
            }
            elsif ($socket == $listen) {
                $ready->add($listen->accept // next);
            }
            elsif (!sysread $socket, $in{$socket}, 65_536, length($in{$socket} // '')) {
                $ready->remove($socket);
                delete $_->{$socket} for \%in, \%held;
            }
            elsif (is_whole($in{$socket})) {
                $in{$socket} = '';
                $held{$socket} = {socket => $socket, number => ++$calls};
            }
        }
    }
}

sub is_whole {
    my ($head, $body) = split /\r\n\r\n/, $_[0], 2;
    return defined $body && $head =~ /^Content-Length: (\d+)\r?$/m && length $body >= $1;
}

sub in_bytes {
    my ($answer, $port, $number) = @_;
    my ($status, $body) = @$answer;
    $body =~ s/%p/$port/;
    $body =~ s/%d/$number/;
    return "HTTP/1.1 $status\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

1;
