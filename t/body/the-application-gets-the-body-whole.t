# After `pass` the application gets the body byte for byte, although the module has read it: whatever its type and size, with
# a Content-Length and in chunks, up to what the module reads (8 MiB) and beyond.
use strict;
use warnings;
use Test::More;
use Digest::MD5 qw(md5_hex);
use Kohomai::TestServer;

use constant {KIB => 1024, MIB => 1024 * 1024};

my %APPLICATION = (CGI => '/cgi-bin/digest/pass', 'PHP-FPM' => '/php/digest.php/pass', 'a server behind' => '/body/http/pass');
my @SIZES = (1, KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, 8 * MIB, 8 * MIB + 1, 20 * MIB);
my %MAKE = (
    'application/x-www-form-urlencoded' => sub { filled('a=b&text=', '&last=1', @_) },
    'application/json'                  => sub { filled('{"text":"', '","last":1}', @_) },
    'application/octet-stream'          => sub { noise(@_) },
);

my $sandbox = sandbox()->clear;
for my $name (sort keys %APPLICATION) {
    for my $type (sort keys %MAKE) {
        my @sizes = $type =~ /octet/ ? (1, MIB, 20 * MIB) : $type =~ /json/ ? (KIB, 256 * KIB, 256 * KIB + 1, 8 * MIB + 1) : @SIZES;
        whole($name, $type, $MAKE{$type}->($_)) for @sizes;
        whole($name, $type, $MAKE{$type}->($_), chunked => 8_191) for KIB, 64 * KIB + 1, 8 * MIB, 8 * MIB + 1;
    }
}

# In other forms than the usual.
my $boundary = '----a/boundary';
my $file = noise(300_000);
my $parts = "--$boundary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--$boundary\r\n"
    . "Content-Disposition: form-data; name=\"f\"; filename=\"x.bin\"\r\nContent-Type: image/png\r\n\r\n$file\r\n--$boundary--\r\n";
for my $name ('CGI', 'a server behind') {
    my $type = "multipart/form-data; boundary=\"$boundary\"";
    whole($name, $type, $parts);
    whole($name, $type, $parts, chunked => 1_000);
    whole($name, $type, substr $parts, 0, 1_000);
    whole($name, $type, $parts =~ s/\Q$file/$file x 30/er);
    whole($name, 'multipart/form-data', $parts);
    whole($name, 'application/json', '{"not": json');
    whole($name, 'application/json', "\xef\xbb\xbf{}");
    whole($name, 'application/x-www-form-urlencoded', noise(5_000));
    whole($name, 'application/x-www-form-urlencoded; charset=iso-8859-1', "a=\xe4\xf6\xfc");
    whole($name, 'application/x-www-form-urlencoded', '');
    whole($name, 'application/x-www-form-urlencoded', 'a=b', chunked => 1);
    whole($name, 'application/x-www-form-urlencoded', 'a=b&' x 5_000);
    whole($name, 'application/vnd.api+json', '{"a":1}');
}
is_deeply [$sandbox->calls], [], 'and Kohomai was never asked';

my $mark = log_mark();
request(POST => $APPLICATION{CGI}, body => 'a=b', headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
like access_log_since($mark), qr/^outcome=unknown /, 'although the module was at work';
$mark = log_mark();
request(POST => $APPLICATION{CGI}, body => 'a=' . 'b' x (8 * MIB), headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
like access_log_since($mark), qr/^outcome=invalid reason="form-size" /, 'and says of a form over its limit that it was not read';

# In small pieces, with a pause after each.
my $slow = filled('a=b&text=', '&last=1', 20_000);
for my $name (sort keys %APPLICATION) {
    my $answer = in_pieces($APPLICATION{$name}, $slow);
    like $answer->body, qr/^20000 @{[md5_hex($slow)]} /, "$name: a slow body";
}

done_testing;

sub whole {
    my ($name, $type, $body, %how) = @_;
    my $answer = request(POST => $APPLICATION{$name}, body => $body, headers => ['Content-Type' => $type], %how);
    my $length = length $body;
    my $told = $how{chunked} ? qr/told=\S+/ : qr/told=$length/;
    like $answer->status . ' ' . $answer->body, qr/^200 $length @{[md5_hex($body)]} $told\n\z/,
        "$name: $length bytes of $type" . ($how{chunked} ? ' in chunks' : '');
}

sub in_pieces {
    my ($path, $body) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => server_port()) or die $@;
    my $head = Kohomai::TestHTTP::request_bytes('POST', $path, port => server_port(),
        headers => ['Content-Type' => 'application/x-www-form-urlencoded', 'Content-Length' => length $body]);
    for my $piece ($head, unpack '(a1500)*', $body) {
        syswrite $socket, $piece;
        select undef, undef, undef, 0.02;
    }
    return Kohomai::TestHTTP::Answer->parse(Kohomai::TestHTTP::exchange($socket, ''), 'POST');
}

# Exactly that many bytes of a form; where it is too small for the frame, just something.
sub filled {
    my ($before, $after, $bytes) = @_;
    my $room = $bytes - length($before) - length $after;
    return $room < 0 ? 'a' x $bytes : $before . substr('abcdefghijklmnopqrstuvwxyz0123456789+' x ($room / 37 + 1), 0, $room) . $after;
}

# Every byte there is, in no simple order.
sub noise {
    my ($bytes) = @_;
    my $block = join '', map { chr(($_ * 7919 + ($_ >> 8)) % 256) } 1 .. 65_536;
    return substr $block x ($bytes / 65_536 + 1), 0, $bytes;
}
