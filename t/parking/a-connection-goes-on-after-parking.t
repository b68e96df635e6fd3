# A connection whose visitor has been parked is a connection like any other: it is kept alive, requests that were sent all at
# once get their whole answers in order, bodies and HEAD do as ever. Where a thread waits instead, nothing is different.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $FORM  = 'application/x-www-form-urlencoded';
my $api   = sandbox()->clear;
my $httpd = start_httpd(size_of(1, 8, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off', 'KeepAliveTimeout 50', 'MaxKeepAliveRequests 0')
    . handoff('/known', $api->base('slow=150'))
    . handoff('/quick', $api->base)
    . handoff('/new', $api->base('slow=150'), 'KohomaiHandoff register', 'KohomaiLead Email %{form:email}')
    . handoff('/twice', $api->base('slow=150', 'no-link', 'only=register'), 'KohomaiHandoff register', 'KohomaiLead Email %{query:email}')
    . handoff('/json', $api->base('slow=150'), 'KohomaiResponse json')
    . handoff('/bad', $api->base('slow=150', 'status=500')));

# One after the other.
my $visitor = visitor($httpd);
for my $round (1 .. 3) {
    is $visitor->ask(GET => '/known')->answer->status, 302, "round $round: a handoff";
    like $visitor->ask(GET => '/plain.txt')->answer->body, qr/no business of the module/, "round $round: a static page";
    is $visitor->ask(GET => '/quick')->answer->status, 302, "round $round: a quick one";
    is $visitor->ask(GET => '/known')->answer->status, 302, "round $round: two in a row";
    is $visitor->ask(HEAD => '/known')->answer('HEAD')->status, 204, "round $round: HEAD";
    is $visitor->ask(GET => '/bad')->answer->status, 502, "round $round: a failure";
    is $visitor->ask(POST => '/known', body => 'a=' . 'b' x 100_000, headers => ['Content-Type' => $FORM])->answer->status, 303, "round $round: a body that nobody reads";
    is $visitor->ask(POST => '/new', body => 'email=a%40b.example&x=' . 'y' x 100_000, headers => ['Content-Type' => $FORM])->answer->status, 303, "round $round: a form";
    like $visitor->ask(GET => '/json')->answer->body, qr/^\{"ConnectionURL":"http/, "round $round: JSON";
    is $visitor->ask(POST => '/cgi-bin/echo', body => "round $round")->answer->body, "round $round", "round $round: the application";
}
my @connections = grep { m{ request="GET /known } } split /\n/, $httpd->access_log;
is scalar(@connections), 6, 'each is logged once';

# All at once.
$api->clear;
for my $round (1 .. 3) {
    my @all = ([GET => '/known', 302], [GET => '/plain.txt', 200], [GET => '/known', 302], [HEAD => '/plain.txt', 200],
        [POST => '/new', 303, body => 'email=a%40b.example', headers => ['Content-Type' => $FORM]], [GET => '/plain.txt', 200],
        [GET => '/bad', 502], [POST => '/cgi-bin/echo', 200, body => 'x' x 70_000], [GET => '/quick', 302], [GET => '/known', 302], [GET => '/plain.txt', 200]);
    my $pipeline = visitor($httpd);
    $pipeline->send_bytes(join '', map { my ($method, $path, undef, %how) = @$_; $pipeline->bytes($method, $path, %how) } @all);
    is_deeply [map { $pipeline->answer($_->[0])->status } @all], [map { $_->[2] } @all], "pipelined, round $round: all answers in order";
    my $last = visitor($httpd);
    $last->send_bytes($last->bytes(GET => '/known') . $last->bytes(GET => '/plain.txt', headers => [Connection => 'close']));
    is_deeply [map { $last->answer->status } 1, 2], [302, 200], 'a pipeline with an end';
    ok $last->is_closed, 'ends there';
}

# Byte by byte, while another handoff is under way on the same connection.
my $slow = visitor($httpd);
$slow->ask(GET => '/known');
for my $byte (split //, $slow->bytes(GET => '/known')) {
    $slow->send_bytes($byte);
    select undef, undef, undef, 0.002;
}
is_deeply [map { $slow->answer->status } 1, 2], [302, 302], 'a request that trickles in behind one that waits';

# HTTP/1.0, and Connection: close.
for my $how ([http => '1.0', headers => [Connection => 'close']], [headers => [Connection => 'close']]) {
    my $single = visitor($httpd)->ask(GET => '/known', @$how);
    is $single->answer->status, 302, "@{[$how->[0] eq 'http' ? 'HTTP/1.0' : 'Connection: close']}: answered";
    ok $single->is_closed, 'and closed';
}

# Two calls, one after the other.
$api->clear;
my $two = visitor($httpd);
for my $round (1, 2) {
    is $two->ask(GET => "/twice?email=$round\@b.example")->answer->status, 302, 'a registration without a link goes on by a session';
    is $two->ask(GET => '/plain.txt')->answer->status, 200, 'and the connection goes on';
}
is_deeply [map { $_->{path} =~ s{.*/}{}r } $api->calls], [qw(journeys sessions journeys sessions)], 'by two calls each';

ends_well($httpd);
done_testing;
