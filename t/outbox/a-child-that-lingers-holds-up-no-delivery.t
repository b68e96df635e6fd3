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
my $httpd  = start_httpd(size_of(1, 4, 'ServerLimit 4', 'KohomaiAPIKey sandbox-key', 'LogLevel kohomai:info', 'KohomaiOutbox ' . $outbox->path)
    . handoff('/slow', $slow->base, 'KohomaiTimeout 5min')
    . handoff('/quick', $api->base));

put('before');
is $outbox->wait_for_rest, 0, 'the first child delivers';
my $visitor = visitor($httpd)->ask(GET => '/slow');
ok wait_for(sub { $slow->held == 1 }), 'a visitor of the child waits';
$httpd->signal('USR1');
ok wait_for(sub { $httpd->error_log =~ /resuming normal operations.*resuming normal operations/s }), 'httpd restarts gracefully';
put('after');
is $outbox->wait_for_rest, 0, 'the next child delivers';
ok !$visitor->has_answer, 'while the first one is still there';
is $slow->answer, 1, 'at last';
is $visitor->answer->status, 302, 'the visitor gets the answer';
is_deeply [map { ($_->{body} =~ /(\w+)\@b\.example/)[0] } $api->calls], [qw(before after)], 'and each lead was registered once';

ends_well($httpd);
done_testing;

sub put { return $outbox->put(Kohomai::TestOutbox::record($api->base, "$_[0]\@b.example")) }
