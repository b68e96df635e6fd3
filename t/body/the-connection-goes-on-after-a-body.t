# On a connection that is kept alive the next request is found where the body of the one before ends, whoever has read that
# body: the application, the module, both or nobody. Both requests are sent at once, so that not a byte may be lost or left.
use strict;
use warnings;
use Test::More;
use Digest::MD5 qw(md5_hex);
use IO::Socket::INET;
use Kohomai::TestServer;

my $FORM = 'application/x-www-form-urlencoded';
my $MIB  = 1024 * 1024;

for my $chunked (0, 1_000_000) {
    follow(200, '/cgi-bin/digest/pass',  $FORM, 'a=b', $chunked);
    follow(200, '/cgi-bin/digest/pass',  $FORM, 'a=' . 'b' x 200_000, $chunked);
    follow(200, '/cgi-bin/digest/pass',  $FORM, 'a=' . 'b' x (8 * $MIB), $chunked);
    follow(200, '/cgi-bin/digest/pass',  'text/plain', 'a=' . 'b' x 200_000, $chunked);
    follow(200, '/body/http/pass',       $FORM, 'a=' . 'b' x 200_000, $chunked);
    follow(200, '/php/digest.php/pass',  $FORM, 'a=' . 'b' x 200_000, $chunked);
    follow(303, '/cgi-bin/echo/join',    $FORM, 'email=a%40b.example&x=' . 'y' x 200_000, $chunked);
    follow(303, '/cgi-bin/echo/known',   $FORM, 'a=' . 'b' x 200_000, $chunked);
    follow(403, '/cgi-bin/echo/join',    $FORM, 'a=' . 'b' x 200_000, $chunked);
    follow(403, '/cgi-bin/echo/join',    'text/plain', 'a=' . 'b' x 200_000, $chunked);
    follow(422, '/cgi-bin/echo/join',    $FORM, 'email=nobody', $chunked);
    follow(422, '/cgi-bin/echo/join',    $FORM, 'email=a%40b.example&x=' . 'y' x (8 * $MIB), $chunked);
    follow(200, '/cgi-bin/echo/known/json',         $FORM, 'a=' . 'b' x 200_000, $chunked);
    follow(403, '/cgi-bin/echo/join',    $FORM, 'a=' . 'b' x 200_000, $chunked, 'X-Requested-With' => 'XMLHttpRequest');
    follow(422, '/cgi-bin/echo/join',    $FORM, 'email=a%40b.example&x=' . 'y' x (8 * $MIB), $chunked, 'X-Requested-With' => 'XMLHttpRequest');
    follow(405, '/cgi-bin/echo/join',    $FORM, 'a=' . 'b' x 200_000, $chunked, method => 'PUT');
    follow(204, '/cgi-bin/echo/join',    $FORM, 'a=' . 'b' x 200_000, $chunked, method => 'OPTIONS');
}

done_testing;

sub follow {
    my ($status, $path, $type, $body, $chunked, @more) = @_;
    my %more = (method => 'POST', @more);
    my $method = delete $more{method};
    my $first = Kohomai::TestHTTP::request_bytes($method, $path, port => server_port(), body => $body, chunked => $chunked,
        headers => ['Content-Type' => $type, Connection => 'keep-alive', %more]);
    my $second = Kohomai::TestHTTP::request_bytes('GET', '/plain.txt', port => server_port());
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => server_port()) or die "no connection: $@\n";
    my $said = Kohomai::TestHTTP::exchange($socket, $first . $second);
    my @statuses = $said =~ m{^HTTP/1\.1 (\d+)}mg;
    my $what = "$status, $method $path with " . length($body) . ' bytes' . ($chunked ? ' in chunks' : '') . (%more ? ' by a program' : '');
    ok "@statuses" eq "$status 200" && $said =~ /A page that is no business of the module\.\n\z/, $what or diag "@statuses: ", substr $said, 0, 2_000;
    like $said, qr/^(?:\w+\r\n)?@{[length $body]} @{[md5_hex($body)]} /m, 'and its body was whole' if $path =~ /digest|http/;
}
