# A visitor who came over TLS (by HTTP/2, where the MPM can do it) is handed off alike, and a path to return to becomes an
# https address of this site.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api  = sandbox()->clear;
my $site = "https://localhost:$ENV{KOHOMAI_TLS_PORT}";

my $answer = h2get('/journey/return/path');
is $answer->version, mpm() eq 'prefork' ? '1.1' : '2', 'the protocol';
is $answer->status, 302, 'handed off';
my ($call) = $api->calls;
is $call->{body}, qq({"Journey":{"Id":74590868830731162},"RedirectURL":"$site/done?a=b"}), 'the return address is https';
like $answer->header('Location'), qr/UUID=\Q$call->{uuid}\E$/, 'the link';
is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], 'protected';

$api->clear;
$answer = h2get('/journey/join/leads', method => 'POST', body => 'email=john@example.com',
    headers => ['Content-Type' => 'application/x-www-form-urlencoded', Origin => $site]);
is $answer->status, 303, 'a form of this site';
is_deeply [map { $_->{body} } $api->calls], ['{"Email":"john@example.com"}'], 'is registered';

# Without a body: httpd resets a stream that it answers before it has read it, which curl takes for a failure now and then.
$answer = h2get('/journey/join/leads', method => 'POST', headers => [Origin => 'http://localhost:' . server_port()]);
is $answer->status, 403, 'a form of the same host without TLS is one of another site';
is h2get('/journey/known', method => 'HEAD')->status, 204, 'HEAD';
is h2get('/journey/by-id')->status, 403, 'an error';

done_testing;
