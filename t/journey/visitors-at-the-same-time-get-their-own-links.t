# Many visitors whose calls are under way together: each gets the link of their own journey, and of no other.
use strict;
use warnings;
use Test::More;
use IO::Socket::INET;
use Kohomai::TestHTTP;
use Kohomai::TestServer;

use constant VISITORS => 24;

my $api = sandbox()->clear;
my @sockets = map { visit(80_000_000_000_000_001 + 2 * $_) } 1 .. VISITORS;
my @answers = map { answer_from($_) } @sockets;

is_deeply [map { $_->status } @answers], [(302) x VISITORS], 'all are handed off';
my %link_of = map { ($_->{body} =~ /"Id":(\d+)/)[0] => $_->{uuid} } $api->calls;
my @got      = map { ($_->header('Location') // '') =~ /UUID=(.*)/ } @answers;
my @expected = map { $link_of{80_000_000_000_000_001 + 2 * $_} } 1 .. VISITORS;
is_deeply \@got, \@expected, 'each by their own link';
my %different = map { $_ => 1 } @got;
is scalar(keys %different), VISITORS, 'which are all different';

done_testing;

sub visit {
    my ($id) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => server_port()) or die "No connection: $@\n";
    print {$socket} "GET /journey/by-id/slow?journey=$id HTTP/1.1\r\nHost: localhost\r\nUser-Agent: visitor $id\r\nConnection: close\r\n\r\n";
    $socket->flush;
    return $socket;
}

sub answer_from {
    my ($socket) = @_;
    local $/;
    return Kohomai::TestHTTP::Answer->parse(scalar <$socket>, 'GET');
}
