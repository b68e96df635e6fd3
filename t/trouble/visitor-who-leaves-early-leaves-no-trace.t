# Visitors who close their browser while the API is asked: the server goes on, and nothing stays behind.
use strict;
use warnings;
use Test::More;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Kohomai::TestServer;

my $api  = sandbox()->clear;
my $mark = log_mark();
for my $n (1 .. 12) {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => server_port()) or die "No connection: $@\n";
    print {$socket} "GET /trouble/slow HTTP/1.1\r\nHost: localhost\r\nUser-Agent: visitor $n\r\n\r\n";
    $socket->flush;
    $api->wait_until(sub { $_[0]->calls >= $n });
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $n % 2;    # some in haste: with a reset
    close $socket;
}
is scalar(my @calls = $api->calls), 12, 'all of them were on their way';
is scalar(my @lines = access_log_since($mark, 12)), 12, 'each of their requests came to its end';
is_deeply [grep { !/^outcome=handed-off / } @lines], [], 'as a handoff';
ok $api->wait_until(sub { $_[0]->connections->{waiting} == 0 }), 'no call is left';
is request(GET => '/trouble/slow')->status, 302, 'the next visitor is served';

done_testing;
