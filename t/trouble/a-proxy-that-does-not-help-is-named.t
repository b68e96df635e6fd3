# A proxy that refuses, hangs or is none: the call ends in time, the log says that it was the proxy and what to do, and a
# registration counts as never sent: it may be made again.
use strict;
use warnings;
use Test::More;
use File::Temp;
use Kohomai::TestProxy;
use Kohomai::TestServer;
use Kohomai::TestTLS;
use Kohomai::TestVisitor;

my $folder = File::Temp->newdir;
chmod 0755, $folder;
my $pki   = Kohomai::TestTLS->new("$folder");
my $stray = $pki->certificate('stray', $pki->authority('stray-ca'));
my $api   = sandbox();
my $base  = "$ENV{KOHOMAI_SANDBOX_TLS}/api/v1";
my $user  = 'alice:juniper-4711';
my @NEW   = ('KohomaiHandoff register', 'KohomaiLead Email a@b.example');

# Name, scheme, how the proxy is, what the log says, and how often it is asked with one retry (undef: it does not say).
my @BAD = (
    ['who-are-you',  'http',    {user => 'bob', password => 'rowan'}, qr/asks for another user or password \(407\).*KohomaiProxy/, 2],
    ['not-allowed',  'http',    {mood => 403},       qr/refused to connect to the API: .*CONNECT/, 2],
    ['no-gateway',   'http',    {mood => 502},       qr/has no connection to the API/, 2],
    ['busy',         'http',    {mood => 503},       qr/has no connection to the API/, 2],
    ['garbage',      'http',    {mood => 'garbage'}, qr/is no HTTP proxy/, 2],
    ['closes',       'http',    {mood => 'close'},   qr/is no HTTP proxy|closed the connection/, 2],
    ['socks-user',   'socks5h', {user => 'bob', password => 'rowan'}, qr/asks for another user or password/, 2],
    ['socks-forbid', 'socks5h', {mood => 2},         qr/refused to connect to the API/, 2],
    ['socks-no-way', 'socks5h', {mood => 5},         qr/has no connection to the API/, 2],
    ['socks-is-not', 'socks5h', {mood => 'garbage'}, qr/is no SOCKS proxy/],
    ['untrusted',    'https',   {map { $_ => $stray->{$_} } qw(crt key)}, qr/the proxy's certificate (?:comes from a CA that is not known here|is not trusted)/],
    ['no-tls',       'https',   {mood => 'hang'},    qr/no connection through the proxy in time/],
    ['hangs',        'http',    {mood => 'hang'},    qr/no connection through the proxy in time/],
    ['socks-hangs',  'socks5',  {mood => 'hang'},    qr/no connection through the proxy in time/],
);
my %proxy = map { $_->[0] => Kohomai::TestProxy->start(%{$_->[2]}) } @BAD;
my %url   = map { $_->[0] => $proxy{$_->[0]}->url($_->[1], $user) } @BAD;
$url{'not-there'} = "http://$user\@127.0.0.1:1";
$url{'no-host'}   = "http://$user\@no-such-host.invalid:3128";
push @BAD, ['not-there', '', {}, qr/no connection to the proxy/], ['no-host', '', {}, qr/the proxy's host has no address/];

my $httpd = start_httpd(join '', size_of(1, 20), <<"END", map { handoff("/$_", $base, "KohomaiProxy \"$url{$_}\"", @NEW) } sort keys %url);
LogLevel trace8
KohomaiAPIKey     sandbox-key
KohomaiCAFile     "$ENV{KOHOMAI_TLS_CERT}"
KohomaiRetry      1
KohomaiBreaker    Off
KohomaiMaxPending 100
KohomaiTimeout    1500ms connect=700ms
END
$api->clear;
for my $bad (@BAD) {
    my ($name, undef, $how, $reason, $asked) = @$bad;
    my $mark   = length $httpd->error_log;
    my $answer = $httpd->request(GET => "/$name");
    my $hangs  = ($how->{mood} // '') eq 'hang';
    my ($line) = substr($httpd->error_log, $mark) =~ /(kohomai: outcome=.*)/;
    is $answer->status, $hangs ? 504 : 502, "$name: the handoff fails";
    like $line, $hangs ? qr/outcome=timeout reason=- call=journeys/ : qr/outcome=failed reason=unreachable call=journeys/, 'as one that was never sent';
    like $line, qr/detail=.*$reason/, 'the log says that it is the proxy, and why';
    unlike $line, qr/juniper|alice/, 'and not who asked it';
    is scalar(my @calls = $proxy{$name}->asked), $asked, 'it was asked twice: nothing can be doubled' if $asked;
    unlike $proxy{$name}->raw, qr/sandbox-key|a\@b\.example/, 'it saw neither key nor lead' if $proxy{$name};
}
is_deeply [$api->calls], [], 'the API heard of none of them';
unlike $httpd->error_log . $httpd->output . $httpd->access_log, qr/juniper|YWxpY2U6|sandbox-key/, 'no log shows a password or the key';
ends_well($httpd);
done_testing;
