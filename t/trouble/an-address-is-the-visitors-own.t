# Whose tries are counted together: those of one IPv4 address, also where IPv6 spells it, and those of an IPv6 /64. The address
# is the visitor's where mod_remoteip knows it from a proxy, and never what a visitor claims. Many addresses lock nobody out.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api   = sandbox()->clear;
my $limit = handoff('/known', $api->base, 'KohomaiRateLimit 2/10h');
my $httpd = start_httpd(size_of(2, 8, 'KohomaiAPIKey sandbox-key', qq{LoadModule remoteip_module "$ENV{KOHOMAI_MODULES}/mod_remoteip.so"},
    'RemoteIPHeader X-Client-IP', 'RemoteIPInternalProxy 127.0.0.1', $limit));

is_deeply [map { from('192.0.2.1') } 1 .. 4], [302, 302, 429, 429], 'one address';
is_deeply [map { from('192.0.2.2') } 1 .. 3], [302, 302, 429], 'its neighbour is somebody else';
is_deeply [map { from('::ffff:192.0.2.1') } 1 .. 2], [429, 429], 'an IPv4 address within IPv6 is that address';
is_deeply [map { from('::ffff:192.0.2.3') } 1 .. 3], [302, 302, 429], 'which has two tries';
is from('192.0.2.3'), 429, 'in all';
is_deeply [map { from("2001:db8:0:1::$_") } 1, 2, 3, 'ffff'], [302, 302, 429, 429], 'an IPv6 /64 is one visitor';
is from('2001:db8:0:1:ffff:ffff:ffff:ffff'), 429, 'to its end';
is_deeply [map { from("2001:db8:0:2::$_") } 1 .. 3], [302, 302, 429], 'the next /64 is another';
is from('2001:db8:1:1::1'), 302, 'and so is the next /48';
is_deeply [map { from('c000:201::') } 1 .. 2], [302, 302], 'one whose bits begin like those of an IPv4 address is not that';
is_deeply [map { from('::c000:201') } 1 .. 2], [302, 302], 'nor one whose bits end so';
is_deeply [map { $httpd->request(GET => '/known')->status } 1 .. 3], [302, 302, 429], 'who comes without a proxy has the address of the connection';

my @flood = map { from("198.51.100.$_"), from("10.1.$_.1"), from("2001:db8:$_:7::1") } 1 .. 250;
is_deeply [grep { $_ != 302 } @flood], [], '750 others are all let in';
is from('192.0.2.1'), 429, 'and the one who came too often still waits';
ends_well($httpd);

# Nobody is who a header says they are, where no proxy is known.
$httpd = start_httpd(size_of(1, 4, 'KohomaiAPIKey sandbox-key', $limit));
my @headers = ([], ['X-Client-IP' => '192.0.2.9'], ['X-Forwarded-For' => '192.0.2.8'], [Forwarded => 'for=192.0.2.7'], ['X-Real-IP' => '192.0.2.6']);
is_deeply [map { $httpd->request(GET => '/known', headers => $_)->status } @headers], [302, 302, 429, 429, 429], 'headers change nothing';
ends_well($httpd);

done_testing;

sub from { return $httpd->request(GET => '/known', headers => ['X-Client-IP' => $_[0]])->status }
