# KohomaiProxy: what is taken, and what is refused with the mend; whatever it is, no output shows the user or the password.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

accepted($_) for qw(none NONE http://proxy.example.com:3128 https://proxy.example.com:443/ socks4a://10.1.2.3:1080 socks5://proxy:1080
    socks5h://[2001:db8::1]:1080 HTTP://proxy.example.com:3128);
accepted($_, 'may warn') for 'http://juniper:rowan-4711@proxy.example.com:3128', 'socks5h://juniper:row%40n-4711@proxy:1080',
    'http://juniper:@proxy:3128', 'http://juniper@proxy:3128', 'socks4a://juniper@proxy:1080', 'http://j!$&()*+,;=~:rowan@proxy:3128';

refused('',                        qr/takes one argument/, 'nothing');
refused('""',                      qr/takes one argument|does not begin with/, 'an empty text');
refused('Off',                     qr/does not begin with http.*write none/, 'another word');
refused('proxy.example.com:3128',  qr/does not begin with/, 'no scheme');
refused('ftp://proxy:21',          qr/does not begin with/, 'another scheme');
refused('socks4://proxy:1080',     qr/does not begin with.*socks4a/, 'a SOCKS that cannot look names up');
refused('http://proxy',            qr/port is missing/,    'no port');
refused('http://[::1]',            qr/port is missing/,    'no port after an address');
refused('http://proxy:0',          qr/host or its port/,   'port 0');
refused('http://proxy:65536',      qr/host or its port/,   'a port that is none');
refused('http://proxy:31x',        qr/host or its port/,   'a port with letters');
refused('http://:3128',            qr/host or its port/,   'no host');
refused('http://pro_xy..x:3128',   qr/host or its port/,   'a host that is none');
refused('"http://pro xy:3128"',    qr/host or its port/,   'a blank');
refused('http://proxy:3128/path',  qr/nothing may follow/, 'a path');
refused('http://proxy:3128?query', qr/nothing may follow/, 'a query');
refused('"http://juniper:row@n-4711@proxy:3128"',  qr/user or its password .*%40/, 'an at sign in the password');
refused('http://juniper:row/an-4711@proxy:3128',   qr/user or its password/, 'a slash in it');
refused('http://juniper:rowan-4711%0a@proxy:3128', qr/user or its password/, 'a line end in it');
refused('http://juniper:rowan-4711%00@proxy:3128', qr/user or its password/, 'a NUL in it');
refused('http://juniper:rowan-4711%4@proxy:3128',  qr/user or its password/, 'half of a code');
refused('http://juniper:rowan-4711%ff@proxy:3128', qr/user or its password/, 'no UTF-8');
refused('http://juniper:' . 'rowan-4711' x 26 . '@proxy:3128', qr/too long/, 'more than 255 bytes');
refused('http://:rowan-4711@proxy:3128',           qr/its user is empty/, 'no user');
refused('http://jun%3aiper:rowan-4711@proxy:3128', qr/holds a colon/, 'a colon in the user');
refused('socks4a://juniper:rowan-4711@proxy:1080', qr/no password: use socks5h/, 'a password for socks4a');
refused('http://juniper:rowan-4711@proxy',         qr/port is missing/, 'credentials, but no port');

my $text = "KohomaiProxy http://juniper:rowan-4711\@proxy:3128\nKohomaiAPIKey rowan-4711\n";
my (undef, $said) = config_check($text);
like $said, qr/site\.conf:1: KohomaiProxy: everybody on this machine can read the password.*chmod 600/, 'a password that all can read brings a warning';
my $info = qq{LoadModule info_module "$ENV{KOHOMAI_MODULES}/mod_info.so"\n};
(undef, $said) = config_check($info . $text, args => ['-D', 'DUMP_CONFIG']);
like $said, qr{^KohomaiProxy http://\*\*\*:\*\*\*\@proxy:3128$}m, 'a dump of the configuration shows the proxy, but not who may use it';
like $said, qr{^KohomaiAPIKey \*\*\*$}m, 'and no key';
unlike $said, qr/juniper|rowan/, 'nor any of it elsewhere';

done_testing;

sub accepted {
    my ($url, $may_warn) = @_;
    my ($status, $said) = config_check("KohomaiProxy $url\n");
    ok $status == 0 && ($may_warn || $said eq "Syntax OK\n"), "$url is accepted" or diag $said;
    unlike $said, qr/juniper|rowan/, 'and not shown';
}

sub refused {
    my ($url, $mend, $what) = @_;
    my ($status, $said) = config_check("KohomaiProxy $url\n");
    ok $status == 1 && $said =~ /line 1 of \S+site\.conf:\nKohomaiProxy.*$mend/s, "$what: is refused" or diag "status $status: $said";
    unlike $said, qr/juniper|rowan/, 'and not shown';
}
