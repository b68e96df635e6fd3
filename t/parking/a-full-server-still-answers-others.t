# A hanging API does not take the rest of the site with it, on any MPM: only so many visitors may wait, those above them are told
# at once to come back later, and other pages are answered. By default that is half of what a child can hold.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

use constant ENDLESS => 'KohomaiTimeout 50s connect=5s';

# Of 8 threads, or processes; event holds ThreadsPerChild x (AsyncRequestWorkerFactor + 1).
my $factor = mpm() eq 'event' ? 'AsyncRequestWorkerFactor 1' : '';
my %may_wait = (event => 8, worker => 4, prefork => 4);
filled('by default', $factor, $may_wait{mpm()}, 20);
filled('KohomaiMaxPending 2', "$factor\nKohomaiMaxPending 2", 2, 10);
filled('KohomaiMaxPending 1', "$factor\nKohomaiMaxPending 1", 1, 5);
counted_once();

done_testing;

# Whoever is tried for again, or needs two calls, is one visitor; and their place is free afterwards.
sub counted_once {
    my $api = sandbox()->clear;
    my $httpd = start_httpd(size_of(1, 8, 'KohomaiAPIKey sandbox-key', 'KohomaiMaxPending 1', 'KohomaiBreaker Off')
        . handoff('/again', $api->base('status=503', 'times=3'), 'KohomaiRetry 3')
        . handoff('/two', $api->base('no-link', 'only=register'), 'KohomaiHandoff register', 'KohomaiLead Email a@b.example'));
    is_deeply [map { visitor($httpd)->ask(GET => $_, headers => [Connection => 'close'])->answer->status } ('/again', '/two') x 2], [(302) x 4],
        'whoever needs several calls is one visitor';
    ends_well($httpd);
}

sub filled {
    my ($what, $lines, $room, $come) = @_;
    my $api = sandbox()->clear;
    my $httpd = start_httpd(size_of(1, 8, "KohomaiAPIKey sandbox-key", $lines) . handoff('/onboarding', $api->base('hang'), ENDLESS));
    my @waiting = map { visitor($httpd)->ask(GET => '/onboarding') } 1 .. $room;
    ok $api->wait_until(sub { $_[0]->connections->{waiting} == $room }), "$what: $room visitors wait";

    my @above = map { visitor($httpd)->ask(GET => '/onboarding', headers => [Connection => 'close'])->answer } 1 .. $come - $room;
    is_deeply [map { $_->status } @above], [(503) x @above], "$what: those above them are told so";
    is_deeply [grep { ($_->header('Retry-After') // '') !~ /^[1-9]\d*$/ } @above], [], "$what: and when to come back";
    is_deeply [outcomes($httpd, '/onboarding', scalar @above)], [('unavailable max-pending 503') x @above], "$what: the log says why";

    my @pages = map { visitor($httpd)->ask(GET => '/plain.txt', headers => [Connection => 'close'])->answer->status } 1 .. 20;
    is_deeply \@pages, [(200) x 20], "$what: other pages are answered";
    is $api->connections->{waiting}, $room, "$what: all the while they wait";

    $waiting[0]->leave;
    ok $api->wait_until(sub { $_[0]->connections->{waiting} == $room - 1 }), "$what: one of them leaves";
    my $next = visitor($httpd)->ask(GET => '/onboarding');
    ok $api->wait_until(sub { $_[0]->connections->{waiting} == $room }), "$what: and another one may wait";
    $_->leave for @waiting[1 .. $#waiting], $next;
    ok $api->wait_until(sub { $_[0]->connections->{waiting} == 0 }), "$what: until all have left";
    ends_well($httpd);
}
