# Only a form is read, and only when an expression asks for it: a client that waits with its body until it is told to go on
# (Expect: 100-continue) shows whether it was. One that is told so is told once, and its body is whole.
use strict;
use warnings;
use Test::More;
use IO::Select;
use IO::Socket::INET;
use Digest::MD5 qw(md5_hex);
use Kohomai::TestServer;

my $form = 'application/x-www-form-urlencoded';

# Nothing to read: answered without the body.
for my $row (
    ['/cgi-bin/echo/join',  'text/plain',               403, 'a text is no form'],
    ['/cgi-bin/echo/join',  'application/octet-stream', 403, 'nor are bytes'],
    ['/cgi-bin/echo/join',  'application/jsonl',        403, 'nor is what is only named like JSON'],
    ['/cgi-bin/echo/known', $form,                      303, 'of a known visitor the form is of no interest'],
    ['/cgi-bin/echo/nobody', $form,                     403, 'nor is it where no expression asks for it'],
    )
{
    my ($path, $type, $status, $what) = @$row;
    my $socket = head($path, $type, 12);
    my $said = read_head($socket);
    like $said, qr{^HTTP/1\.1 $status }, "$what: answered without its body";
    unlike $said, qr/ 100 /, 'which nobody asked for';
}

# Something to read: asked for once.
for my $path ('/cgi-bin/digest/pass', '/php/digest.php/pass', '/body/http/pass') {
    my $body = 'a=' . 'b' x 100_000;
    my $socket = head($path, $form, length $body);
    like read_head($socket), qr{^HTTP/1\.1 100 Continue\r\n\r\n\z}, "$path: a form is asked for";
    my $said = Kohomai::TestHTTP::exchange($socket, $body);
    like $said, qr{^HTTP/1\.1 200 }, 'once, and answered';
    like $said, qr/\b100002 @{[md5_hex($body)]} /, 'and it is whole';
}
my $socket = head('/cgi-bin/echo/join', $form, 19);
like read_head($socket), qr{^HTTP/1\.1 100 Continue\r\n\r\n\z}, 'a sign-up form is asked for';
like Kohomai::TestHTTP::exchange($socket, 'email=a%40b.example'), qr{^HTTP/1\.1 303 }, 'and handed off';

done_testing;

sub head {
    my ($path, $type, $length) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => server_port()) or die "no connection: $@\n";
    print {$socket} Kohomai::TestHTTP::request_bytes('POST', $path, port => server_port(),
        headers => ['Content-Type' => $type, 'Content-Length' => $length, Expect => '100-continue']);
    return $socket;
}

# Until the end of the first head that comes.
sub read_head {
    my ($socket) = @_;
    my $said = '';
    while ($said !~ /\r\n\r\n/) {
        IO::Select->new($socket)->can_read(60) or return "nothing came for a minute\n";
        sysread $socket, $said, 1, length $said or last;
    }
    return $said;
}
