# A record that somebody has in hand when it is looked at (a disk can take seconds to confirm that it is there) is not forgotten:
# it goes out once it is free, though nothing in the folder changes any more.
use strict;
use warnings;
use Test::More;
use Fcntl qw(LOCK_EX LOCK_NB O_RDWR);
use Kohomai::TestOutbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api    = sandbox()->clear;
my $outbox = Kohomai::TestOutbox->new;
my $base   = $api->base;

$outbox->put(Kohomai::TestOutbox::record($base, 'held@b.example'));
sysopen my $held, ($outbox->files('.'))[0], O_RDWR or die "open: $!\n";
flock $held, LOCK_EX | LOCK_NB or die "flock: $!\n";

my $httpd = start_httpd(size_of(1, 4, 'KohomaiAPIKey sandbox-key', 'KohomaiOutbox ' . $outbox->path) . handoff('/known', $base));
$outbox->put(Kohomai::TestOutbox::record($base, 'free@b.example'));
is $outbox->wait_for('waiting=1 sending=0 uncertain=0 rejected=0'), 'waiting=1 sending=0 uncertain=0 rejected=0', 'one goes out at once';
sleep 4;    # until the change of the folder is no news any more
is_deeply [$outbox->emails('.')], ['held@b.example'], 'the one that is in hand waits';
close $held;
is $outbox->wait_for_rest, 0, 'until it is free';
is_deeply [map { ($_->{body} =~ /(\w+)\@b\.example/)[0] } $api->calls], [qw(free held)], 'and each was registered once';

ends_well($httpd);
done_testing;
