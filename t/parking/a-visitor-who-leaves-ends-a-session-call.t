# Nobody waits for the link of a visitor who has left: opening a session is given up, and what they held is free again. A
# registration that was sent goes on to its end, and is not made again.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

use constant LEAVERS => 4;

my $api = sandbox()->clear;
my $httpd = start_httpd(size_of(1, 16, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker 3 50s',
        'LogFormat "%X %U" left', 'CustomLog "${LOGS}/left_log" left')
    . handoff('/known', $api->base('hang'), 'KohomaiTimeout 50s')
    . handoff('/late',  $api->base('slow=2500'), 'KohomaiTimeout 50s')
    . handoff('/new',   $api->base('slow=3000'), 'KohomaiTimeout 50s', 'KohomaiHandoff register', 'KohomaiLead Email a@b.example'));

my @visitors = map { visitor($httpd)->ask(GET => '/known') } 1 .. LEAVERS;
ok $api->wait_until(sub { $_[0]->connections->{waiting} == LEAVERS }), 'visitors wait';
(shift @visitors)->leave;
ok $api->wait_until(sub { $_[0]->connections->{waiting} == LEAVERS - 1 }), 'one leaves, and that call is given up';
select undef, undef, undef, 1.2;
is $api->connections->{waiting}, LEAVERS - 1, 'but no other';
$_->leave for @visitors;
ok $api->wait_until(sub { $_[0]->connections->{waiting} == 0 }), 'until all have left';
is_deeply [map { s/ \d+$//r } outcomes($httpd, '/known', LEAVERS)], [('failed visitor-gone') x LEAVERS], 'the log says so';
my $left = sub { Kohomai::TestHttpd::read_file($httpd->dir . '/logs/left_log') =~ m{^(\S) /known$}mg };
wait_for(sub { (my @all = $left->()) == LEAVERS });    # a line that follows that of the other log
is_deeply [$left->()], [('X') x LEAVERS], 'as does httpd itself, which answered nobody';
is scalar(my @calls = $api->calls), LEAVERS, 'and nothing was asked twice';

# It is not the API's fault: the breaker has nothing to say.
is visitor($httpd)->ask(GET => '/known')->leave, 1, 'the next visitor';
ok $api->wait_until(sub { scalar(my @all = $_[0]->calls) == LEAVERS + 1 }), 'is asked for';

# Those who stay get their answer, whoever leaves.
my ($gone, $stays) = map { visitor($httpd)->ask(GET => '/late') } 1, 2;
$gone->leave;
is $stays->answer->status, 302, 'who stays gets the link';
is $stays->ask(GET => '/plain.txt')->answer->status, 200, 'and goes on';

$api->clear;
my $new = visitor($httpd)->ask(GET => '/new');
ok $api->wait_until(sub { $_[0]->calls }), 'a registration is sent';
$new->leave;
ok $api->wait_until(sub { my ($call) = $_[0]->calls; $call->{status} }), 'the visitor leaves, and the API answers all the same';
is_deeply [map { "$_->{path} $_->{status}" } $api->calls], ['/api/v1/journeys 200'], 'it was made once';
is scalar(my @lines = lines_of($httpd, '/new')), 1, 'and is logged once';

ends_well($httpd);
done_testing;
