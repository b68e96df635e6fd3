# KohomaiTimeout is the ceiling, whatever the API does with the time: it says nothing, drips, does not take the connection, stalls
# the TLS handshake, or needs two calls. The visitor has an answer then, and the connection goes on.
use strict;
use warnings;
use Test::More;
use IO::Socket::INET;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

use constant CEILING => 'KohomaiTimeout 1s connect=500ms';

# Its queue of connections that nobody accepts is full: whoever comes now hears nothing at all.
my $hole = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "socket: $@\n";
listen $hole, 0;
my @stuck = map { my $try = IO::Socket::INET->new(Proto => 'tcp', Blocking => 0); connect $try, $hole->sockname; $try } 1 .. 4;
# The kernel takes the connection, and nobody says a word.
my $mute = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => 0) or die "socket: $@\n";

my $api = sandbox()->clear;
my $httpd = start_httpd(size_of(1, 16, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off')
    . handoff('/hang',    $api->base('hang'), CEILING)
    . handoff('/drip',    $api->base('drip=200'), CEILING)
    . handoff('/hole',    "http://127.0.0.1:@{[$hole->sockport]}/api/v1", CEILING)
    . handoff('/tls',     "https://localhost:@{[$mute->sockport]}/api/v1", CEILING)
    . handoff('/mute',    "http://127.0.0.1:@{[$mute->sockport]}/api/v1", CEILING)
    . handoff('/again',   $api->base('status=503', 'slow=600'), CEILING, 'KohomaiRetry 10')
    . handoff('/hang-for-new', $api->base('hang'), CEILING, 'KohomaiHandoff register', 'KohomaiLead Email a@b.example')
    . handoff('/two',     $api->base('slow=700', 'no-link'), CEILING, 'KohomaiHandoff register', 'KohomaiLead Email a@b.example'));

# All at the same time. The least that each must be given, in microseconds: a connection that does not come about may end sooner.
my %least = (hang => 950_000, drip => 950_000, hole => 450_000, tls => 450_000, mute => 950_000, again => 600_000,
    'hang-for-new' => 950_000, two => 950_000);
my %visitor = map { $_ => visitor($httpd)->ask(GET => "/$_") } sort keys %least;
for my $name (sort keys %least) {
    my $answer = $visitor{$name}->answer;
    my ($line) = lines_of($httpd, "/$name");
    my ($time) = $line =~ /time_us=(\d+)/;
    my $expected = $name eq 'again' ? qr/^(?:502|504)/ : qr/^504/;
    like $answer->status . " $line", $expected, "$name: no link";
    like $line, qr/^outcome=(?:timeout|failed) reason="(?:|-|api)" /, "$name: the outcome";
    cmp_ok $time, '>=', $least{$name}, "$name: the API had its time";
    cmp_ok $time, '<',  3_000_000,     "$name: and not much more";
}
is $visitor{$_}->ask(GET => '/plain.txt')->answer->status, 200, "$_: the connection goes on" for sort keys %visitor;
ok $api->wait_until(sub { $_[0]->connections->{waiting} == 0 }), 'the calls that were given up are no more';
is scalar(my @registered = $api->calls(path => '/journeys', mood => 'hang')), 1, 'a registration that got no answer is not repeated';
# On a machine that stands still for long enough there is no second one.
like join(' ', map { $_->{path} =~ s{.*/}{}r } $api->calls(mood => 'slow=700,no-link')), qr/^journeys(?: sessions)?$/, 'both calls were made under one ceiling';

ends_well($httpd);
done_testing;
