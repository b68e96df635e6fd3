# Keeps what each visitor asked, what they were answered, and what the sandbox recorded; finds what does not agree.
# A finding is a line of text that names the request. It opens no socket and reads no clock of its own but for its notes.
package Kohomai::Chaos::Ledger;

use strict;
use warnings;

use POSIX ();
use Time::HiRes qw(time);

# For so long after a graceful restart a kept connection may be closed before the answer begins, where nothing tells which child
# it was with.
use constant RESTART_WINDOW_S => 3;

my $UUID = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

sub new {
    my ($class, %facts) = @_;    # site, plain (the bytes of the plain page), window
    return bless {window => RESTART_WINDOW_S, %facts, n => 0, open => {}, findings => [], count => {}, statuses => {}, restarts => [], links => {},
        issued => {}, registered => {}, persons => {}, promises => {}, answers => {}, seen => 0}, $class;
}

sub finding {
    my ($self, $request, $what) = @_;
    my $who = $request ? sprintf '#%d %s %s %s: ', @$request{qw(n protocol method target)} : '';
    push @{$self->{findings}}, sprintf '%.3f %s%s', time - $^T, $who, $what;
}

sub findings { return @{$_[0]{findings}} }
sub count    { $_[0]{count}{$_[1]}++ }
sub restart  { push @{$_[0]{restarts}}, time }
sub lenient  { $_[0]{lenient} = $_[1] }    # whether a kept connection may be closed at any time

# -- what visitors report -----------------------------------------------------------------------------------------------

# Another request, to be sent to a place as a session, a registration or a HEAD.
sub open_request {
    my ($self, $place, $kind, $method, $protocol) = @_;
    my $n = ++$self->{n};
    my $request = {n => $n, place => $place, kind => $kind, method => $method, protocol => $protocol, at => time, sent => 0};
    $request->{target} = $place->{path} . ($kind eq 'session' && !$place->{static} ? "?j=5$n" : '');
    $request->{body}   = "email=v$n%40example.org" if $kind eq 'register';
    $self->count("asked, $protocol");
    return $self->{open}{$n} = $request;
}

# ANSWER: {status, headers (by lower-case name), body (undef where nobody looked)}.
sub answered {
    my ($self, $request, $answer) = @_;
    $self->close_request($request, 'answered');
    my $status = $answer->{status};
    $self->{statuses}{$request->{place}{name}}{$status}++;
    $self->{answers}{$request->{n}} = $status;
    my $echo = $answer->{headers}{'x-visit'} // 'nobody';
    return $self->finding($request, "was answered what $echo had asked ($status)") if $echo ne $request->{n};
    my $may = $self->may($request);
    # A busy machine may make any API too slow; what then must hold is that it had the time that it is given.
    $may->{504} = 1 if !$request->{place}{static} && time - $request->{at} >= 0.95 * $self->{site}->ceiling;
    $self->finding($request, "was answered $status, not " . join ' or ', sort keys %$may) if !$may->{$status};
    $self->check_link($request, $answer);
    $self->check_body($request, $answer) if defined $answer->{body};
    $self->{promises}{$request->{n}} = promise($status) if $request->{kind} eq 'register';
}

sub may {
    my ($self, $request) = @_;
    return {204 => 1} if $request->{method} eq 'HEAD';
    return $self->{site}->allowed(@$request{qw(place kind method)});
}

sub check_link {
    my ($self, $request, $answer) = @_;
    my $location = $answer->{headers}{location};
    my $leads = $answer->{status} =~ /\A30[23]\z/;
    return $self->finding($request, "has a Location with $answer->{status}") if defined $location && !$leads;
    return if !$leads;
    my ($uuid) = ($location // '') =~ m{\Ahttp://(?:127\.0\.0\.1|localhost):[0-9]+/internal/v1/autologin\?UUID=($UUID)\z};
    return $self->finding($request, 'has no link: ' . ($location // 'no Location')) if !$uuid;
    my $other = $self->{links}{$uuid};
    $self->finding($request, "was given the link of #$other") if $other;
    $self->{links}{$uuid} = $request->{n};
    $self->count('links given');
}

sub check_body {
    my ($self, $request, $answer) = @_;
    my $body = $answer->{body};
    $self->finding($request, 'has another body than the page') if $answer->{status} == 200 && $body ne $self->{plain};
    $self->finding($request, 'has an empty body') if $answer->{status} >= 400 && $body eq '';
}

# How often the sandbox must have recorded a registration that was answered so: [least, most].
sub promise {
    my ($status) = @_;
    return $status =~ /\A(?:303|204|404|422)\z/ ? [1, 1] : [0, 1];
}

# The visitor has closed first.
sub left {
    my ($self, $request, $how) = @_;
    $self->close_request($request, "left, $how");
    $self->{promises}{$request->{n}} = $request->{sent} == 2 ? [0, 1] : [0, 0] if $request->{kind} eq 'register';
}

# The server has closed before an answer began. KEPT: the connection had brought answers before, LAST to that request.
# ANNOUNCED: its last answer had said so.
sub closed {
    my ($self, $request, %how) = @_;
    my $known = $how{kept} && defined $how{last} && !$self->{lenient};
    my $fine  = $request->{sent} == 0 || $how{announced} || $how{half} || ($how{kept} && !$known && $self->may_close($request));
    my $what = "got no answer: $how{why}" . ($how{kept} ? ', on a kept connection' : '')
        . sprintf(', %.3f s after it was sent, %.3f s after a restart', time - ($request->{sent_at} // time), $self->since_restart);
    my $unclear = !$fine && $known;
    push @{$self->{unclear}}, {request => $request, what => $what, last => $how{last}, at => time} if $unclear;
    $self->finding($request, $what) if !$fine && !$unclear;
    $self->close_request($request, !$fine && !$unclear ? 'unanswered' : $how{announced} || !$request->{sent} ? 'not taken' : 'closed at a restart');
    return if $request->{kind} ne 'register' || !$fine && !$unclear;
    $self->{promises}{$request->{n}} = $how{half} || $request->{protocol} eq 'HTTP/2' ? [0, 1] : [0, 0];
}

# A child that is of an older generation than the others may close when it likes, and one without a free thread may close what is
# kept, so that it goes to another. Only httpd's log can tell: which child the connection was with, by its last answer, and what
# befell that child until then.
sub judge_closings {
    my ($self, $error_log) = @_;
    my (%current, %old, %busy);
    for (split /\n/, $error_log) {
        $current{$1} = 1 if /\bChild \d+ started: pid (\d+)/;
        push @{$busy{$1}}, time_of($_) if /\bpid (\d+):.* not accepting new conns/;
        my $time = /SIGUSR1 received/ ? time_of($_) : next;
        $old{$_} = $time for keys %current;
        %current = ();
    }
    for my $one (@{$self->{unclear} || []}) {
        my ($request, $child) = ($one->{request}, $self->{child}{$one->{last}} // 'nobody');
        my $was_busy = grep { $_ >= ($request->{sent_at} // $request->{at}) - 1 && $_ <= $one->{at} } @{$busy{$child} || []};
        $self->finding($request, sprintf '%s (at %.3f)', $one->{what}, $one->{at} - $^T) if !$was_busy && ($old{$child} // 9e9) > $one->{at};
    }
}

# [Wed Nov 25 15:32:00.652394 2026], as seconds of the epoch.
sub time_of {
    my ($line) = @_;
    my ($month, $day, $h, $m, $s, $year) = $line =~ /^\[\w+ (\w+) +(\d+) (\d+):(\d+):([0-9.]+) (\d+)\]/ or return 9e9;
    return POSIX::mktime(int $s, $m, $h, $day, index('JanFebMarAprMayJunJulAugSepOctNovDec', $month) / 3, $year - 1900, 0, 0, -1) + $s - int $s;
}

sub since_restart { return @{$_[0]{restarts}} ? time - $_[0]{restarts}[-1] : 1e6 }

# mod_http2 lets streams go that are under way at a restart, without the module, too (some in a hundred that take 20 ms), and a
# browser may learn of it seconds later.
sub may_close {
    my ($self, $request) = @_;
    my $since = $self->since_restart;
    return 1 if $self->{lenient} || $since < $self->{window};
    return $request->{protocol} eq 'HTTP/2' && $since <= time - $request->{at};
}

sub close_request {
    my ($self, $request, $how) = @_;
    $self->finding($request, 'ended twice') if !delete $self->{open}{$request->{n}};
    $self->count($how);
}

# -- what the sandbox reports -------------------------------------------------------------------------------------------

sub take_record {
    my ($self, @entries) = @_;
    for my $entry (@entries) {
        $self->{seen} = $entry->{n};
        $entry->{path} =~ m{/sessions\z} ? $self->take_session($entry) : $self->take_register($entry);
        $self->finding(undef, "the sandbox found fault with a call: $entry->{error}")
            if defined $entry->{error} && $entry->{error} !~ /mood/;
    }
}

sub take_session {
    my ($self, $entry) = @_;
    my ($id) = $entry->{body} =~ /"Id":([0-9]+)/;
    my $n = $self->{persons}{$id // ''} // (($id // '') =~ /\A5([0-9]{1,9})\z/ ? $1 : undef);
    return $self->finding(undef, "a session was asked for whom nobody is: $entry->{body}") if !$n;
    $self->count('sessions recorded');
    $self->{called}{$n}++;
    $self->{issued}{$entry->{uuid}} = $n if $entry->{uuid};
}

sub take_register {
    my ($self, $entry) = @_;
    my ($n) = $entry->{body} =~ /"Email":"v([0-9]+)\@example\.org"/;
    return $self->finding(undef, "somebody was registered whom nobody is: $entry->{body}") if !$n;
    $self->count('registrations recorded');
    $self->{registered}{$n}++;
    $self->{called}{$n}++;
    $self->{persons}{$_} = $n for values %{$entry->{ids} || {}};
    $self->{issued}{$entry->{uuid}} = $n if $entry->{uuid};
}

# -- the end ------------------------------------------------------------------------------------------------------------

# To be called when nothing is under way any more and the record has been taken whole.
sub settle {
    my ($self) = @_;
    $self->finding($_, 'never ended') for values %{$self->{open}};
    s/(#([0-9]+) .*got no answer.*)/"$1; the API was asked " . ($self->{called}{$2} || 0) . ' times for it'/e for @{$self->{findings}};
    for my $uuid (keys %{$self->{links}}) {
        my ($given, $meant) = ($self->{links}{$uuid}, $self->{issued}{$uuid} // 'nobody');
        $self->finding(undef, "#$given was given a link that was made for #$meant") if $given ne $meant;
    }
    for my $n (keys %{$self->{promises}}) {
        my ($least, $most) = @{$self->{promises}{$n}};
        my $times = $self->{registered}{$n} // 0;
        $self->finding(undef, "registration #$n was recorded $times times, not $least to $most (answer: "
            . ($self->{answers}{$n} // 'none') . ')') if $times < $least || $times > $most;
    }
    for my $n (keys %{$self->{registered}}) {
        $self->finding(undef, "registration #$n was recorded $self->{registered}{$n} times") if $self->{registered}{$n} > 1;
    }
}

# The access log's lines, "N STATUS": each answer is in it once, and no request twice.
sub compare_with_log {
    my ($self, $text) = @_;
    my %logged;
    while ($text =~ /^([0-9]+) ([0-9]+) ([0-9]+)$/gm) {
        $self->finding(undef, "#$1 is in the access log twice") if exists $logged{$1};
        ($self->{child}{$1}, $logged{$1}) = ($2, $3);
    }
    for my $n (keys %{$self->{answers}}) {
        my ($given, $said) = ($self->{answers}{$n}, $logged{$n} // 'nothing');
        $self->finding(undef, "#$n was answered $given; the access log says $said") if $given ne $said;
    }
}

sub summary {
    my ($self) = @_;
    my @lines = map { sprintf "  %-28s %7d\n", $_, $self->{count}{$_} } sort keys %{$self->{count}};
    for my $place (sort keys %{$self->{statuses}}) {
        my $by = $self->{statuses}{$place};
        push @lines, sprintf "  %-28s %s\n", "answers of $place", join ' ', map { "$_:$by->{$_}" } sort keys %$by;
    }
    return join '', @lines;
}

1;
