# A name server that never answers takes no more of a visitor's time than any other part of the call may, and does not keep
# httpd from ending. The server sees a resolv.conf of its own, which takes root and a mount namespace.
use strict;
use warnings;
use Test::More;
use File::Temp ();
use IO::Socket::INET;
use Time::HiRes qw(time);
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $silent = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.77', LocalPort => 53)
    or plan skip_all => "port 53 of 127.0.0.77 cannot be had: $!";
my $folder = File::Temp->newdir;
chmod 0755, "$folder";
Kohomai::TestHttpd::write_file("$folder/resolv.conf", "nameserver 127.0.0.77\n");
Kohomai::TestHttpd::write_file("$folder/httpd", <<"END");
#!/bin/sh
exec unshare --mount sh -c 'mount --bind "$folder/resolv.conf" /etc/resolv.conf && exec "\$0" "\$@"' '$ENV{KOHOMAI_HTTPD}' "\$@"
END
chmod 0755, "$folder/httpd";
plan skip_all => 'this system allows no mount namespace' if system("unshare --mount mount --bind $folder/resolv.conf /etc/resolv.conf 2>/dev/null") != 0;

my $base = 'https://api.kohomai.test/api/v1';
my $httpd = do {
    local $ENV{KOHOMAI_HTTPD} = "$folder/httpd";
    start_httpd(size_of(1, 8, 'KohomaiBreaker Off')
        . handoff('/known', $base, 'KohomaiTimeout 1s connect=500ms')
        . handoff('/new', $base, 'KohomaiTimeout 1s', 'KohomaiRetry 0', 'KohomaiHandoff register', 'KohomaiLead Email a@b.example'));
};
my $begin = time;
my @visitors = map { visitor($httpd)->ask(GET => $_) } qw(/known /known /new);
is_deeply [map { $_->answer->status } @visitors], [(504) x 3], 'each is told that it took too long';
cmp_ok time - $begin, '<', 4, 'before the resolver gives up (it takes five seconds)';
$silent->blocking(0);
ok defined $silent->recv(my $question, 512), 'the name server was asked';
my @times = map { /time_us=(\d+)/ } lines_of($httpd, '/known', 2), lines_of($httpd, '/new');
is_deeply [grep { $_ < 450_000 } @times], [], 'and had its time' or diag "@times";
is $_->ask(GET => '/plain.txt')->answer->status, 200, 'the connection goes on' for @visitors;
is scalar(my @said = $httpd->error_log =~ /outcome=timeout .* detail=the name server did not answer in time: /g), 3, 'the log says what was waited for';

visitor($httpd)->ask(GET => '/known') for 1 .. 2;
$begin = time;
ends_well($httpd, 'httpd ends in order while names are being looked up');
cmp_ok time - $begin, '<', 9, 'and soon';

done_testing;
