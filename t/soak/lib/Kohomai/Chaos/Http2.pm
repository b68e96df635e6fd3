# Visitors over HTTP/2: one curl process is one browser, which asks many things at once over one connection. Some requests
# are given up half-way, and some browsers are killed. Part of the driver's event loop.
# It follows and repeats nothing itself; what curl says of each request goes to the Ledger.
package Kohomai::Chaos::Http2;

use strict;
use warnings;

use EV ();
use File::Temp ();
use POSIX ();
use Time::HiRes qw(time);

# What curl ends with when a request of HTTP/2 was turned away unread, or its connection ended: see curl(1).
my %TURNED_AWAY = map { $_ => 1 } (7, 16, 18, 35, 52, 55, 56, 92);

# port, cafile, ledger, ask, count, giving_up (how many of them), killed_after (seconds or undef), patience, ended
sub start {
    my ($class, %how) = @_;
    my $self = bless {%how, said => '', requests => {}}, $class;
    $self->{file} = File::Temp->new;
    print {$self->{file}} $self->script;
    close $self->{file};
    $self->launch;
    return $self;
}

sub script {
    my ($self) = @_;
    my $giving_up = $self->{giving_up};
    my @parts = map { $self->part($_, $giving_up-- > 0) } map { $self->{ask}->('HTTP/2') } 1 .. $self->{count};
    return "parallel\nparallel-max = 50\n" . join "next\n", @parts;
}

sub part {
    my ($self, $request, $giving_up) = @_;
    $request->{giving_up} = $giving_up;
    $request->{sent} = 2;
    $self->{requests}{$request->{n}} = $request;
    my $seconds = $giving_up ? 0.05 + rand 1.5 : $self->{patience};
    my $verb = $request->{method} eq 'HEAD' ? "head\n" : defined $request->{body} ? "data = \"$request->{body}\"\n"
        : $request->{method} eq 'GET' ? '' : "request = \"$request->{method}\"\ndata = \"\"\n";
    return <<"END";
url = "https://localhost:$self->{port}$request->{target}"
resolve = "localhost:$self->{port}:127.0.0.1"
${verb}header = "X-Visit: $request->{n}"
header = "Accept: text/html"
cacert = "$self->{cafile}"
noproxy = "*"
http2
silent
output = "/dev/null"
max-time = $seconds
write-out = "visit=$request->{n} status=%{http_code} exit=%{exitcode} version=%{http_version} x=%header{x-visit} length=%{size_download} location=%{redirect_url}\\n"
END
}

sub launch {
    my ($self) = @_;
    pipe my $from, my $to or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>&', $to;
        open STDERR, '>', '/dev/null';
        exec qw(setpriv --pdeathsig KILL -- curl --disable --config), $self->{file}->filename or POSIX::_exit(127);
    }
    close $to;
    $from->blocking(0);
    @$self{qw(pid from)} = ($pid, $from);
    $self->{reading} = EV::io($from, EV::READ, sub { $self->read_some });
    $self->{dying}   = EV::child($pid, 0, sub { $self->died($_[0]->rstatus) });
    $self->{killing} = EV::timer($self->{killed_after}, 0, sub { $self->{killed} = 1; kill KILL => $pid }) if defined $self->{killed_after};
    $self->{guard}   = EV::timer($self->{patience} + 10, 0, sub { kill KILL => $pid });
}

sub read_some {
    my ($self) = @_;
    my $n = sysread $self->{from}, $self->{said}, 65_536, length $self->{said};
    delete $self->{reading} if defined $n && $n == 0;
    $self->hear($1) while $self->{said} =~ s/\A(.*)\n//;
}

sub hear {
    my ($self, $line) = @_;
    my ($n, $status, $exit, $version, $echo, $length, $location)
        = $line =~ /\Avisit=(\d+) status=(\d+) exit=(\d+) version=(\S*) x=(\S*) length=(\d+) location=(.*)\z/
        or return $self->{ledger}->finding(undef, "curl said: $line");
    my $request = delete $self->{requests}{$n} or return $self->{ledger}->finding(undef, "curl reported #$n twice");
    return $self->ended_early($request, $exit, $status) if $exit;
    $self->{last} = $n;
    $self->{ledger}->finding($request, "was asked over HTTP/2 and answered over $version") if $version ne '2';
    my %headers = ('x-visit' => $echo, length $location ? (location => $location) : ());
    $self->{ledger}->answered($request, {status => $status, headers => \%headers});
}

sub ended_early {
    my ($self, $request, $exit, $status) = @_;
    return $self->{ledger}->left($request, 'a stream given up') if $request->{giving_up} && $exit == 28;
    my $turned_away = $TURNED_AWAY{$exit} && $status eq '000';
    $self->{ledger}->closed($request, why => "curl ended with $exit, status $status", kept => $turned_away, last => $self->{last});
}

sub died {
    my ($self, $status) = @_;
    $self->read_some if $self->{reading};
    delete @$self{qw(reading dying killing guard from)};
    for my $request (values %{$self->{requests}}) {
        $self->{killed} ? $self->{ledger}->left($request, 'a browser killed')
            : $self->{ledger}->closed($request, why => "curl said nothing and ended with status $status");
    }
    $self->{requests} = {};
    delete $self->{ask};
    my $ended = delete $self->{ended};
    $ended->() if $ended;
}

1;
