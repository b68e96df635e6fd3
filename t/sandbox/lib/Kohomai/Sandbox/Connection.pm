# One TCP connection: bytes in, requests to the site, answers out, one at a time and in order.
# All the ways to answer badly (late, byte by byte, half, not at all) are done here, as the answer's `how` says.
# It never looks at a path, a mood's name or a body.
package Kohomai::Sandbox::Connection;
use strict;
use warnings;
use feature 'signatures';

use Mojo::IOLoop;
use Mojo::Message::Response;
use Scalar::Util qw(weaken);
use Kohomai::Sandbox::Request;

use constant {LONGEST_HEAD => 262_144, LONGEST_BODY => 1_048_576};

sub new ($class, %parts) {
    my $self = bless {%parts, buffer => '', timers => {}}, $class;
    my $weak = $self;
    weaken $weak;
    my $stream = $self->{stream};
    $stream->timeout(0);
    $stream->on(read  => sub ($stream, $bytes) { $weak->take($bytes) if $weak });
    $stream->on(error => sub { });
    $stream->on(close => sub { $weak->gone if $weak });
    return $self;
}

sub tls_resumed ($self) {
    return undef if !$self->{tls} || !$self->{stream};
    return $self->{stream}->handle->get_session_reused ? 1 : 0;
}

# -- reading ---------------------------------------------------------------------------------------------------

sub take ($self, $bytes) {
    $self->{buffer} .= $bytes;
    $self->read_on;
}

# While a call is under way, what a pipelining client sends ahead stays in the buffer.
sub read_on ($self) {
    return if $self->{busy} || !$self->{stream};
    return if !$self->{request} && !$self->read_head;
    my $request = $self->{request};
    return if length $self->{buffer} < $request->{length};
    $request->{body} = substr $self->{buffer}, 0, $request->{length}, '';
    delete @$self{qw(request line_seen)};
    $self->begin;
    $self->answer($self->{site}->handle($request, $self));
}

sub read_head ($self) {
    $self->{buffer} =~ s/\A(?:\r\n)+//;
    return $self->refuse(431, 'the head of the request is too long') if $self->head_length > LONGEST_HEAD;
    if (!$self->{line_seen} && $self->{buffer} =~ /\A([^\r\n]*)\r\n/) {
        $self->{line_seen} = 1;
        if ($self->{site}->hangs_up_early($1)) { $self->close; return 0 }
    }
    $self->{buffer} =~ s/\A(.*?\r\n)\r\n//s or return 0;
    my $request = Kohomai::Sandbox::Request->parse($1);
    return $self->refuse(400, $request) if !ref $request;
    return $self->refuse(413, 'the body is longer than ' . LONGEST_BODY) if $request->{length} > LONGEST_BODY;
    $self->{stream}->write("HTTP/1.1 100 Continue\r\n\r\n") if lc $request->header('expect') eq '100-continue';
    $self->{request} = $request;
    return 1;
}

sub head_length ($self) {
    my $end = index $self->{buffer}, "\r\n\r\n";
    return $end < 0 ? length $self->{buffer} : $end;
}

# What is no HTTP at all never reaches the site.
sub refuse ($self, $status, $why) {
    $self->begin;
    $self->answer({status => $status, headers => [['Content-Type', 'text/plain']], body => "$why\n",
        how => {close => 1}});
    return 0;
}

# -- answering -------------------------------------------------------------------------------------------------

sub begin ($self) {
    $self->{busy} = 1;
    $self->{server}{waiting}++;
}

sub answer ($self, $answer) {
    my $how = $answer->{how};
    return $self->close if $how->{hangup};
    return              if $how->{hang};
    return $self->after($how->{delay}, sub { $self->send($answer) }) if $how->{delay};
    return $self->send($answer);
}

sub send ($self, $answer) {
    my $how = $answer->{how};
    return $self->write_all($how->{raw}, sub { $self->close }) if defined $how->{raw};
    my $head  = head($answer);
    my $body  = body($answer);
    my $close = $how->{close} || $how->{cut};
    my $bytes = $how->{cut} ? half($head, $body) : $head . $body;
    my $done  = $close ? sub { $self->close } : sub { $self->ready($how->{idle}) };
    return $how->{drip} ? $self->drip($how->{drip}, $bytes, $done) : $self->write_all($bytes, $done);
}

sub head ($answer) {
    my $status = $answer->{status};
    my @lines  = ("HTTP/1.1 $status " . (Mojo::Message::Response->default_message($status) || 'Status'));
    push @lines, map {"$_->[0]: $_->[1]"} @{$answer->{headers}};
    push @lines, $answer->{how}{chunked} ? 'Transfer-Encoding: chunked' : 'Content-Length: ' . length $answer->{body}
        if !bodiless($status);
    push @lines, 'Connection: close' if $answer->{how}{close};
    return join("\r\n", @lines) . "\r\n\r\n";
}

sub body ($answer) {
    return '' if $answer->{how}{no_body} || bodiless($answer->{status});
    return $answer->{body} if !$answer->{how}{chunked};
    my @chunks = unpack '(a1000)*', $answer->{body};
    return join '', (map { sprintf "%x\r\n%s\r\n", length, $_ } @chunks), "0\r\n\r\n";
}

sub bodiless ($status) { return $status == 204 || $status == 304 }

sub half ($head, $body) {
    return length $body ? $head . substr($body, 0, length($body) / 2) : substr $head, 0, length($head) / 2;
}

sub drip ($self, $pause, $bytes, $done) {
    my $next = substr $bytes, 0, 1, '';
    return $self->write_all($next, $done) if $bytes eq '';
    $self->{stream}->write($next);
    return $self->after($pause, sub { $self->drip($pause, $bytes, $done) });
}

sub write_all ($self, $bytes, $done) {
    $self->{stream}->write($bytes, sub { $done->() if $self->{stream} });
}

sub ready ($self, $idle) {
    $self->over;
    $self->after($idle, sub { $self->close if !$self->{busy} }) if defined $idle;
    Mojo::IOLoop->next_tick(sub { $self->read_on });
}

# -- endings ---------------------------------------------------------------------------------------------------

sub after ($self, $ms, $do) {
    my $id;
    $id = Mojo::IOLoop->timer($ms / 1000 => sub { delete $self->{timers}{$id}; $do->() });
    $self->{timers}{$id} = 1;
}

sub over ($self) {
    $self->{server}{waiting}-- if delete $self->{busy};
}

sub close ($self) {
    $self->{stream}->close if $self->{stream};
}

sub gone ($self) {
    Mojo::IOLoop->remove($_) for keys %{delete $self->{timers}};
    $self->{timers} = {};
    $self->over;
    delete $self->{stream};
    $self->{server}->forget($self);
}

1;
