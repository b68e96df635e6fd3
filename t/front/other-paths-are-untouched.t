# Every path that is not handed off is answered byte for byte as by a server without the module: the same requests go to
# one httpd with it and to one without it.
use strict;
use warnings;
use Test::More;
use Digest::SHA qw(sha1_hex);
use Kohomai::TestServer;

my $site = <<'END';
<IfModule kohomai_module>
    KohomaiAPIKey sandbox-key
    <Location "/onboarding">
        KohomaiHandoff On
        KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/api/v1"
        KohomaiJourney 74590868830731162
    </Location>
</IfModule>
<Location "/private">
    AuthType     Basic
    AuthName     "Members"
    AuthUserFile "${USERS}"
    Require      valid-user
</Location>
ProxyPass "/behind/" "http://127.0.0.1:${PORT}/cgi-bin/echo/"
Redirect "/moved" "http://localhost/elsewhere"
ErrorDocument 404 /plain.txt
END
my $with    = start_httpd($site);
my $without = start_httpd($site, without_module => 1);

my @json = (headers => ['Content-Type' => 'application/json']);
my @form = (headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
my $files = join "\r\n", '--b', 'Content-Disposition: form-data; name="f"; filename="x"', '', 'bytes', '--b--', '';
my $long = join '', map { chr(($_ * 7919) % 256) } 1 .. 100_000;

same('a file',                      GET  => '/plain.txt');
same('a part of a file',            GET  => '/plain.txt', headers => [Range => 'bytes=2-5']);
same('its head',                    HEAD => '/plain.txt');
same('a folder',                    GET  => '/shop/');
same('a folder without its slash',  GET  => '/shop');
same('a path like the one that is handed off', GET => '/onboardings');
same('the same path in capitals',   GET  => '/ONBOARDING');
same('a missing file',              GET  => '/nowhere');
same('a redirect',                  GET  => '/moved?a=b');
same('a path for members',          GET  => '/private');
same('a member',                    GET  => '/private', headers => [Authorization => 'Basic am9objpyb3dhbi1iZXJyeQ==']);
same('a wrong password',            GET  => '/private', headers => [Authorization => 'Basic am9objpqdW5pcGVy']);
same('a file that has not changed', GET  => '/plain.txt', headers => ['If-Modified-Since' => 'Fri, 01 Jan 2100 00:00:00 GMT']);
same('a file of which there is one', GET => '/plain.txt', headers => ['If-None-Match' => '*']);
same('a part that is not there',    GET  => '/plain.txt', headers => [Range => 'bytes=5000-']);
same('a server behind',             GET  => '/behind/x?y=z');
same('its head',                    HEAD => '/behind/x');
same('a form for it',               POST => '/behind/x', body => 'email=a%40b.example&a=b', @form);
same('a body in chunks for it',     POST => '/behind/x', body => $long, chunked => 4_099);
same('files for PHP',               POST => '/php/echo.php', body => $files, headers => ['Content-Type' => 'multipart/form-data; boundary=b']);
same('a head of CGI',               HEAD => '/cgi-bin/env');
same('a body that nobody takes',    POST => '/plain.txt', body => 'a=b', @form);
same('a method that nobody knows',  BREW => '/plain.txt');
same('a path that is no path',      GET  => '/%00');
same('a path with dots',            GET  => '/a/../plain.txt');
same('a prefetch',                  GET  => '/plain.txt', headers => ['Sec-Purpose' => 'prefetch']);
same('a cross-site form',           POST => '/cgi-bin/echo', body => 'a=b', headers => ['Content-Type' => 'application/x-www-form-urlencoded', 'Sec-Fetch-Site' => 'cross-site', Origin => 'https://evil.example']);
same('a front controller',          GET  => '/blog/some/post?page=2');
same('a form for it',               POST => '/blog/some/post', body => 'email=a%40b.example&a=b', @form);
same('a body for PHP',              POST => '/php/echo.php?x=y', body => '{"a":[1,2]}', @json);
same('a body for CGI',              POST => '/cgi-bin/echo/more?x=y', body => $long);
same('a body in chunks',            POST => '/cgi-bin/echo', body => $long, chunked => 4_099);
same('a method of its own',         PROPFIND => '/cgi-bin/echo');
same('what is allowed',             OPTIONS => '/plain.txt');
same('an old client',               GET  => '/plain.txt', http => '1.0');
same('no request at all',           GET  => '/', raw => "nonsense\r\n\r\n");

is $with->stop, 0, 'the server with the module ends in order';
is $without->stop, 0, 'and so does the other';
done_testing;

sub same {
    my ($what, $method, $path, %how) = @_;
    my ($one, $other) = map { shown($_, $path, $_->request($method, $path, host => 'localhost', %how)) } $with, $without;
    is $one, $other, "$what: $method $path";
}

# The head and the body, without what two runs of the same server may differ in: the clock, the port, the order of the
# methods in Allow, and, for a program's output, whether it was complete soon enough to be counted.
sub shown {
    my ($server, $path, $answer) = @_;
    my $port = $server->port;
    my $head = $answer->head =~ s/^Date: .*?$/Date: now/mr;
    $head =~ s/^Allow: \K(\S+)/join ',', sort split m{,}, $1/me;
    $head =~ s/\r\n(?:Content-Length|Transfer-Encoding): [^\r]*//g if $path =~ m{^/(?:cgi-bin|php|blog|behind)/};
    my $body = $answer->body // '';
    return join "\n", map { s/\b$port\b/PORT/gr } $head, length $body, sha1_hex($body =~ s/\b$port\b/PORT/gr);
}
