# A client that hangs up within its form, sends broken chunks, or more than the site allows: nobody is registered by half a
# form, the answer is httpd's own, and the server goes on.
use strict;
use warnings;
use Test::More;
use IO::Socket::INET;
use Kohomai::TestServer;

my @form = ('Content-Type' => 'application/x-www-form-urlencoded');
my $sandbox = sandbox()->clear;

# The email is there already, but not all of what the client had to say.
for my $path ('/cgi-bin/echo/join', '/php/echo.php/join', '/cgi-bin/digest/pass', '/php/digest.php/pass', '/body/http/pass') {
    for my $headers (['Content-Length' => 100_000], ['Transfer-Encoding' => 'chunked']) {
        my $mark = log_mark();
        my $begin = 'email=half%40b.example&x=';
        $begin = sprintf "%x\r\n%s\r\n", length $begin, $begin if $headers->[0] =~ /^Transfer/;
        hang_up($path, $headers, $begin);
        unlike access_log_since($mark), qr/ status=[23]\d\d /, "$path: hanging up within a body ($headers->[0]) is no success";
    }
}
is_deeply [$sandbox->calls], [], 'nobody is registered by half a form';

for my $broken ("zz\r\na=b\r\n0\r\n\r\n", "-1\r\na=b\r\n0\r\n\r\n", "ffffffffffffffffffff\r\na=b\r\n0\r\n\r\n") {
    for my $path ('/cgi-bin/echo/join', '/cgi-bin/digest/pass') {
        my $answer = request(POST => $path, raw => join "\r\n", "POST $path HTTP/1.1", 'Host: localhost', 'Connection: close',
            'Content-Type: application/x-www-form-urlencoded', 'Transfer-Encoding: chunked', '', $broken);
        like $answer->status, qr/^4\d\d$/, "$path: broken chunks are a bad request: " . $broken =~ s/\r\n.*//sr;
        is $answer->header('Cache-Control'), 'no-store', 'whose answer is not stored';
    }
}
is_deeply [$sandbox->calls], [], 'and register nobody';

for my $path ('/cgi-bin/echo/join-little', '/cgi-bin/echo/pass-little') {
    for my $chunked (0, 300) {
        my $answer = request(POST => $path, body => 'email=a%40b.example&x=' . 'y' x 2_000, headers => \@form, chunked => $chunked);
        is $answer->status, 413, "$path: more than LimitRequestBody allows" . ($chunked ? ', in chunks' : '');
        is $answer->header('Cache-Control'), 'no-store', 'is not stored';
        is $answer->header('Referrer-Policy'), 'no-referrer', 'and leaks no referrer';
    }
    is request(POST => $path, body => 'a=b', headers => \@form)->status, $path =~ /join/ ? 403 : 200, 'and less is read';
}
is_deeply [$sandbox->calls], [], 'it registers nobody either';

is request(POST => '/cgi-bin/echo/join', body => 'email=whole%40b.example', headers => \@form)->status, 303, 'a whole form is handed off as ever';
is scalar(my @calls = $sandbox->calls), 1, 'by one call';

done_testing;

# The server sees the end of the connection while it waits for more.
sub hang_up {
    my ($path, $headers, $begin) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => server_port()) or die "no connection: $@\n";
    print {$socket} Kohomai::TestHTTP::request_bytes('POST', $path, port => server_port(), headers => [@form, @$headers]), $begin;
    close $socket;
}
