# KohomaiFallback pass: the site's own handler answers as if nothing had been configured for the path, and learns what
# happened from its environment (after an internal redirect, with httpd's REDIRECT_ prefix). Nobody is asked twice.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $sandbox = sandbox();
my $site = <<'END';
ProxyPass "/behind/" "http://127.0.0.1:${PORT}/cgi-bin/echo/behind/"
<IfModule kohomai_module>
    KohomaiAPIKey  sandbox-key
    KohomaiBreaker Off
    KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/m/status=500/api/v1"
    <LocationMatch "^/(plain\.txt|shop|nowhere|php/env\.php|php/echo\.php|blog|behind|cgi-bin/env/here|cgi-bin/echo/here)">
        KohomaiHandoff  On
        KohomaiJourney  %{query:id}
        KohomaiFallback any pass
    </LocationMatch>
    <Location "/php/env.php/status">
        KohomaiFallback unknown 404
    </Location>
</IfModule>
END
my $with    = start_httpd($site);
my $without = start_httpd($site, without_module => 1);

# An unknown visitor, and one for whom the API fails.
for my $query ('x=y', 'id=12') {
    $sandbox->clear;
    same('a file',             GET  => "/plain.txt?$query");
    same('a part of a file',   GET  => "/plain.txt?$query", headers => [Range => 'bytes=2-5']);
    same('a folder',           GET  => "/shop/?$query");
    same('and without its slash', GET  => "/shop?$query");
    same('a missing file',     GET  => "/nowhere?$query");
    same('PHP',                POST => "/php/echo.php?$query", body => 'a=b', headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
    same('CGI',                POST => "/cgi-bin/echo/here?$query", body => 'a=b', headers => ['Content-Type' => 'text/plain']);
    same('a server behind',    GET  => "/behind/here?$query");
    same('a front controller', GET  => "/blog/some/post?$query");
    same('and by a form',      POST => "/blog/some/post?$query", body => 'a=b', headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
}
$sandbox->clear;
is $with->request(GET => '/blog/some/post?id=12')->header('X-Front-Controller'), 'blog', 'a front controller answers';
is scalar(my @calls = $sandbox->calls), 1, 'after Kohomai was asked once';

like env('/php/env.php?x=y'), qr/^KOHOMAI_OUTCOME=unknown$/m, 'PHP learns the outcome';
my $env = env('/php/env.php?id=12');
like $env, qr/^KOHOMAI_OUTCOME=failed$/m, 'and that of a call';
like $env, qr/^KOHOMAI_CALL=sessions$/m, 'which it was';
like $env, qr/^KOHOMAI_API_STATUS=500$/m, 'what came of it';
like $env, qr/^KOHOMAI_TIME_US=[1-9][0-9]*$/m, 'and how long it took';
like env('/cgi-bin/env/here?id=nobody'), qr/^KOHOMAI_OUTCOME=invalid$/m, 'CGI learns it as well';
like env('/cgi-bin/env/here?id=nobody'), qr/^KOHOMAI_REASON=journey-form$/m, 'with the reason';
unlike env('/cgi-bin/env/else?id=12'), qr/^(?:REDIRECT_)?KOHOMAI_/m, 'elsewhere there is nothing to learn';
unlike env('/cgi-bin/env/else', headers => [map { $_ => 'forged' } qw(KOHOMAI_OUTCOME KOHOMAI-OUTCOME Kohomai-Reason)]),
    qr/^(?:REDIRECT_)?KOHOMAI_/m, 'and no header can say it';
is $with->request(GET => '/php/env.php/status?x=y')->status, 404, 'where a status is asked for, the site does not answer';
is $with->request(GET => '/php/env.php/status?id=12')->status, 200, 'but for other outcomes it does';

is $_->stop, 0, 'a server ends in order' for $with, $without;
done_testing;

sub env { my ($path, %how) = @_; return $with->request(GET => $path, %how)->body }

sub same {
    my ($what, $method, $path, %how) = @_;
    my ($one, $other) = map { shown($_, $method, $path, %how) } $with, $without;
    is $one, $other, "$what: $method $path";
}

# All but the clock and the port, and, for a program's output, whether it was complete soon enough to be counted.
sub shown {
    my ($server, $method, $path, %how) = @_;
    my $answer = $server->request($method, $path, host => 'localhost', %how);
    my $port = $server->port;
    my $head = $answer->head =~ s/^Date: .*?$/Date: now/mr;
    $head =~ s/\r\n(?:Content-Length|Transfer-Encoding): [^\r]*//g if $path =~ m{^/(?:cgi-bin|php|blog|behind)/};
    return join "\n", map { s/\b$port\b/PORT/gr } $head, $answer->body // '';
}
