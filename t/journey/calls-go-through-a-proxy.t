# KohomaiProxy: calls go through it, whatever the environment says; it sees where they go and who asks, and nothing else. No log, no
# page and no dump shows its password.
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
my $pki = Kohomai::TestTLS->new("$folder");
my $ca  = $pki->authority('ca');
my $own = $pki->certificate('proxy', $ca);

my $api    = sandbox();
my $base   = "$ENV{KOHOMAI_SANDBOX_TLS}/api/v1";
my ($host) = $base =~ m{^https://([^/]+)};
my ($port) = $host =~ /(\d+)$/;
my %open   = (user => 'alice', password => 'p@ss:w%rd');
my %proxy  = (
    http    => Kohomai::TestProxy->start(%open),
    https   => Kohomai::TestProxy->start(%open, crt => $own->{crt}, key => $own->{key}),
    socks4a => Kohomai::TestProxy->start,
    socks5  => Kohomai::TestProxy->start(%open),
    socks5h => Kohomai::TestProxy->start(%open),
    free    => Kohomai::TestProxy->start,
    shared  => Kohomai::TestProxy->start,
);
my $alice = 'alice:p%40ss%3Aw%25rd';
my %url = (map({ $_ => $proxy{$_}->url($_, $_ eq 'socks4a' ? 'alice' : $alice) } qw(http https socks4a socks5 socks5h)),
    free => $proxy{free}->url('http'), alice => $proxy{shared}->url('http', 'alice:juniper-1'), bob => $proxy{shared}->url('http', 'bob:juniper-2'));

# Both the proxy's CA and the API's.
my $trusted = "$folder/trusted.pem";
Kohomai::TestHttpd::write_file($trusted, join '', map { Kohomai::TestHttpd::read_file($_) } $ca->{crt}, $ENV{KOHOMAI_TLS_CERT});

my $dead = 'http://127.0.0.1:1';
my $httpd = start_httpd(join('', size_of(1, 8), <<"END", map { handoff("/$_", $base, "KohomaiProxy \"$url{$_}\"") } sort keys %url),
LoadModule info_module "$ENV{KOHOMAI_MODULES}/mod_info.so"
LogLevel trace8
KohomaiAPIKey  sandbox-key
KohomaiCAFile  $trusted
KohomaiRetry   0
KohomaiBreaker Off
KohomaiProxy   "$url{free}"
<Location "/info">
    SetHandler server-info
</Location>
@{[handoff('/outer', $base)]}
@{[handoff('/none',  $base, 'KohomaiProxy none')]}
@{[handoff('/plain', $api->base)]}
END
    env => {map({ $_ => $dead, uc $_ => $dead } qw(http_proxy https_proxy all_proxy)), no_proxy => '*', NO_PROXY => '*'});

my %asked = (
    http    => "CONNECT $host alice:p\@ss:w%rd",
    https   => "CONNECT $host alice:p\@ss:w%rd",
    socks4a => "SOCKS4a $host alice",
    socks5  => "SOCKS5 127.0.0.1:$port alice:p\@ss:w%rd",
    socks5h => "SOCKS5 $host alice:p\@ss:w%rd",
);
for my $name (sort keys %asked) {
    $api->clear;
    my $visitor = visitor($httpd);    # on one connection, so that it is one child
    for (1 .. 2) {
        my $answer = $visitor->ask(GET => "/$name")->answer;
        is $answer->status, 302, "$name: handed off" or diag $httpd->error_log =~ /(kohomai: outcome=failed.*)/g;
    }
    is_deeply [$proxy{$name}->asked], [$asked{$name}], 'the proxy was asked once, by the right user, for the host and the port';
    is_deeply [map { $_->{headers}{authorization} } $api->calls], [('Bearer sandbox-key') x 2], 'and the API has the key';
    unlike $proxy{$name}->raw, qr/sandbox-key|^Authorization/m, 'which the proxy has not';
}

is $httpd->request(GET => '/outer')->status, 302, 'what the server says holds for a section, too';
is_deeply [$proxy{free}->asked], ["CONNECT $host -"], 'and nobody is named where nobody is';
is $httpd->request(GET => "/$_")->status, 302, "$_: handed off" for qw(none plain);
is scalar(my @asked = $proxy{free}->asked), 1, 'without the proxy, where none is said, or the API is asked in the clear';

# Two users of one proxy: neither's connection serves the other.
my $visitor = visitor($httpd);
is $visitor->ask(GET => "/$_")->answer->status, 302, "$_: handed off" for qw(alice bob alice bob);
is_deeply [$proxy{shared}->asked], [map {"CONNECT $host $_"} qw(alice:juniper-1 bob:juniper-2) x 2], 'each call comes by its own user';

my $page = $httpd->request(GET => '/info')->body;
like $page, qr{KohomaiProxy.*http://\*\*\*:\*\*\*\@localhost:$proxy{http}{port}}, 'the page of mod_info shows a proxy, but not who may use it';
like $page, qr{KohomaiAPIKey.*\*\*\*}, 'nor the key that stands in the configuration';
unlike $httpd->error_log . $httpd->output . $httpd->access_log . $page, qr/p(?:\@|%40)ss|juniper-|sandbox-key|YWxpY2U6|Ym9iOm/, 'no password is in any log';
ends_well($httpd);
done_testing;
