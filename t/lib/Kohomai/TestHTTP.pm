# One HTTP exchange, byte for byte: what a test sends is what goes out, and nothing is followed, retried or decoded
# but the transfer coding. request() speaks HTTP/1.1 over a socket, h2_request() HTTP/2 through curl.
package Kohomai::TestHTTP;

use strict;
use warnings;
use feature 'state';

use Exporter qw(import);
use File::Temp ();
use IO::Select;
use IO::Socket::INET;

use Kohomai::TestSecrets qw(note_request);

our @EXPORT_OK = qw(request h2_request);

use constant PATIENCE => 60 * ($ENV{KOHOMAI_SLOWNESS} // 1);    # seconds without a byte until a test is told that the server hangs

# request(METHOD, PATH, port => N, headers => [NAME => VALUE, ...], body => BYTES, chunked => SIZE, host => NAME,
#         http => '1.0', raw => BYTES): a Kohomai::TestHTTP::Answer, or dies where none comes.
# `chunked` sends the body in chunks of that size, without Content-Length; `raw` is sent instead of all the others.
sub request {
    my ($method, $path, %how) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $how{port}, Timeout => PATIENCE)
        or die "No connection to port $how{port}: $@\n";
    my $sent = $how{raw} // request_bytes($method, $path, %how);
    return Kohomai::TestHTTP::Answer->parse(exchange($socket, $sent), $method);
}

sub request_bytes {
    my ($method, $path, %how) = @_;
    my @headers = @{$how{headers} || []};
    note_request(\@headers, $how{body});
    my %given = map { lc $_ => 1 } @headers[grep { $_ % 2 == 0 } 0 .. $#headers];
    unshift @headers, Host => $how{host} // "localhost:$how{port}" if !$given{host};
    push @headers, Connection => 'close' if !$given{connection};
    push @headers, 'User-Agent' => another_browser() if !$given{'user-agent'};
    my $body = $how{body} // '';
    if ($how{chunked}) {
        push @headers, 'Transfer-Encoding' => 'chunked';
        $body = join('', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack "(a$how{chunked})*", $body) . "0\r\n\r\n";
    }
    elsif (defined $how{body} && !$given{'content-length'}) {
        push @headers, 'Content-Length' => length $body;
    }
    my $head = "$method $path HTTP/" . ($how{http} // '1.1') . "\r\n";
    $head .= shift(@headers) . ': ' . shift(@headers) . "\r\n" while @headers;
    return "$head\r\n$body";
}

# Each request is a browser of its own, unless its headers say which it is: what one browser sends twice is a double click.
sub another_browser {
    state $number = 0;
    return "test-$$-" . ++$number;
}

# Writes and reads at the same time, since a server may answer before it has read a long body.
sub exchange {
    my ($socket, $out) = @_;
    my $in = '';
    local $SIG{PIPE} = 'IGNORE';
    $socket->blocking(0);
    while (1) {
        my ($readable, $writable) = IO::Select->select(IO::Select->new($socket),
            length $out ? IO::Select->new($socket) : undef, undef, PATIENCE);
        die "The server does not answer.\n" if !$readable;
        if (@$writable) {
            my $done = syswrite $socket, $out, 65_536;
            substr $out, 0, $done // ($!{EAGAIN} ? 0 : length $out), '';
        }
        next if !@$readable;
        my $got = sysread $socket, $in, 65_536, length $in;
        next if !defined $got && $!{EAGAIN};
        return $in if !$got;
    }
}

# The same over HTTP/2 and TLS: h2_request(METHOD, PATH, port => N, cafile => PATH, headers => [...], body => BYTES).
sub h2_request {
    my ($method, $path, %how) = @_;
    note_request($how{headers} || [], $how{body});
    my $body = File::Temp->new;
    binmode $body;
    print {$body} $how{body} // '';
    close $body;
    my @curl = (qw(curl --silent --show-error --include --raw --http2 --noproxy * --max-time), PATIENCE,
        '--cacert', $how{cafile}, '--resolve', "localhost:$how{port}:127.0.0.1", '--path-as-is',
        $method eq 'HEAD' ? '--head' : ('--request', $method), '--user-agent', another_browser());
    my @headers = @{$how{headers} || []};
    push @curl, '--header', shift(@headers) . ': ' . shift(@headers) while @headers;
    push @curl, '--data-binary', '@' . $body->filename if defined $how{body};
    open my $out, '-|', @curl, '--header', 'Expect:', "https://localhost:$how{port}$path" or die "curl: $!\n";
    binmode $out;
    my $in = do { local $/; <$out> } // '';
    close $out or die "curl failed with status " . ($? >> 8) . "\n";
    return Kohomai::TestHTTP::Answer->parse($in, $method);
}

package Kohomai::TestHTTP::Answer;

sub parse {
    my ($class, $bytes, $method) = @_;
    # Interim answers (100 Continue, 103 Early Hints) come first.
    1 while $bytes =~ s{\AHTTP/\S+ 1\d\d.*?\r\n\r\n}{}s;
    my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
    my ($line, @lines) = split /\r\n/, $head // '';
    my ($version, $status) = ($line // '') =~ m{^HTTP/(\S+) (\d{3})} or die "This is no HTTP answer: $bytes\n";
    my $self = bless {version => $version, status => $status, head => $head, headers => [map { [split /:\s*/, $_, 2] } @lines]}, $class;
    $self->{body} = $method eq 'HEAD' ? $body : $self->decode($body // '');
    return $self;
}

sub decode {
    my ($self, $body) = @_;
    return $body if $self->{version} !~ /^1/ || ($self->header('Transfer-Encoding') // '') ne 'chunked';
    my $plain = '';
    while ($body =~ s/\A([0-9a-fA-F]+)[^\r\n]*\r\n//) {
        my $size = hex $1;
        return $plain if !$size;
        $plain .= substr $body, 0, $size, '';
        $body =~ s/\A\r\n// or die "A chunk of the answer has the wrong length.\n";
    }
    die "The answer breaks off.\n";
}

sub status  { return $_[0]{status} }
sub version { return $_[0]{version} }
sub head    { return $_[0]{head} }       # status line and headers as they came
sub body    { return $_[0]{body} }

# All values of a header joined by ", ", or undef where there is none.
sub header {
    my ($self, $name) = @_;
    my @values = map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$self->{headers}};
    return @values ? join ', ', @values : undef;
}

sub header_names {
    my ($self) = @_;
    return map { $_->[0] } @{$self->{headers}};
}

1;
