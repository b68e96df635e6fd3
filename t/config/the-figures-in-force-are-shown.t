# `httpd -t -D DUMP_KOHOMAI` says how many visitors may wait, and when calls stop: what is configured, or what follows from
# the MPM's own directives.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my %ROOM = (
    event   => ["ThreadsPerChild 20\nMaxRequestWorkers 40\nAsyncRequestWorkerFactor 4.5\n", '55 visitors per child'],
    worker  => ["ThreadsPerChild 20\nMaxRequestWorkers 40\n", '10 visitors per child'],
    prefork => ["ServerLimit 30\nMaxRequestWorkers 30\n",     '15 visitors over all children'],
);
my ($room, $pending) = @{$ROOM{mpm()}};

my $said = dump_of($room);
like $said, qr/^KohomaiMaxPending \Q$pending\E \(by default/m, "$pending, by default";
like $said, qr/^KohomaiBreaker +5 failures in a row open it for 15000 ms \(by default\)$/m, 'the breaker that nobody set';
like $said, qr/^httpd's Timeout +60 s; the longest KohomaiTimeout 10000 ms$/m, 'and the times';

$said = dump_of("${room}KohomaiMaxPending 7\nKohomaiBreaker 3 500ms\n<Location /a>\nKohomaiTimeout 20s\n</Location>\n");
like $said, qr/^KohomaiMaxPending 7 visitors (?:per child|over all children)$/m, 'what was set';
like $said, qr/^KohomaiBreaker +3 failures in a row open it for 500 ms$/m, 'of the breaker, too';
like $said, qr/the longest KohomaiTimeout 20000 ms$/m, 'and the longest time of all sections';

like dump_of("${room}KohomaiBreaker Off\n"), qr/^KohomaiBreaker +Off$/m, 'or that there is none';
unlike +(config_check($room))[1], qr/KohomaiMaxPending/, 'nobody is told who does not ask';

done_testing;

sub dump_of {
    my ($status, $said) = config_check($_[0], args => ['-D', 'DUMP_KOHOMAI']);
    is $status, 0, 'the configuration is fine';
    return $said;
}
