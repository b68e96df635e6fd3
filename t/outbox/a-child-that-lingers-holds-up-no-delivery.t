# A child that was told to end lets its visitors have their answers, which may take long. Whoever comes after it delivers what
# waits meanwhile.
use strict;
use warnings;
use Test::More;
use Kohomai::TestHoldingApi;
use Kohomai::TestOutbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $slow   = Kohomai::TestHoldingApi->start;
my $api    = sandbox()->clear;
my $outbox = Kohomai::TestOutbox->new;
my $httpd  = start_httpd(size_of(1, 4, 'ServerLimit 8', 'MaxRequestWorkers 8', 'KohomaiMaxPending 8', 'KohomaiAPIKey sandbox-key', 'LogLevel kohomai:info', 'KohomaiOutbox ' . $outbox->path)
    . handoff('/slow', $slow->base, 'KohomaiTimeout 5min')
    . handoff('/quick', $api->base));

put('before');
is $outbox->wait_for_rest, 0, 'the first child delivers';
my @visitors = map { visitor($httpd)->ask(GET => '/slow') } 1 .. 4;
ok wait_for(sub { $slow->held == 4 }), 'visitors wait, in each child of prefork';
$httpd->signal('USR1');
ok wait_for(sub { $httpd->error_log =~ /resuming normal operations.*resuming normal operations/s }), 'httpd restarts gracefully';
put('after');
is $outbox->wait_for_rest, 0, 'the next child delivers';
ok !(grep { $_->has_answer } @visitors), 'while the first one is still there';
is $slow->answer, 4, 'at last';
is_deeply [map { $_->answer->status } @visitors], [(302) x 4], 'the visitors get their answers';
is_deeply [map { ($_->{body} =~ /(\w+)\@b\.example/)[0] } $api->calls], [qw(before after)], 'and each lead was registered once';

ends_well($httpd);
done_testing;

sub put { return $outbox->put(Kohomai::TestOutbox::record($api->base, "$_[0]\@b.example")) }
