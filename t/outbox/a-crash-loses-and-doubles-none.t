# Whatever is killed, and whenever: a lead that was under way is in uncertain afterwards, and none is sent twice. A graceful
# restart lets the delivery under way end; any other stop puts its lead into uncertain. Several who could deliver never do so at once.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Kohomai::TestOutbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

use constant ONE_UNCERTAIN => 'waiting=0 sending=0 uncertain=1 rejected=0';
use constant NONE          => 'waiting=0 sending=0 uncertain=0 rejected=0';

my $api = sandbox()->clear;
my ($hang, $slow, $quick) = ($api->base('hang'), $api->base('slow=600'), $api->base('slow=60'));

# --- What is being sent, and what was left behind -----------------------------------------------------------------------
{
    my ($outbox, $httpd) = fresh();
    my $visitor = visitor($httpd)->ask(GET => '/hang?email=alive@b.example');
    ok waits(1), 'a visitor waits';
    for my $round (1, 2) {
        my $name = $outbox->put(Kohomai::TestOutbox::record($hang, "orphan-$round\@b.example"), ".orphan-$round");
        rename $outbox->path . "/$name", $outbox->path . "/sending/orphan-$round.lead" or die "rename: $!\n";
        my $then = "waiting=0 sending=1 uncertain=$round rejected=0";
        is $outbox->wait_for($then), $then, 'a record that nobody works on is found';
        is_deeply [$outbox->emails('sending')], ['alive@b.example'], 'and one that somebody works on is left alone';
    }
    is calls('orphan-'), 0, 'what was left behind is not sent';
    kill KILL => -$httpd->pid;
    $httpd->stop;
    $api->clear;
}

# --- A visitor's call under way ---------------------------------------------------------------------------------------
{
    my ($outbox, $httpd) = fresh();
    my $visitor = visitor($httpd)->ask(GET => '/hang?email=visitor@b.example');
    ok waits(1), 'a visitor waits';
    is $outbox->counts, 'waiting=0 sending=1 uncertain=0 rejected=0', 'their lead is written down';
    is_deeply [grep { !$_->[1] } open_files($httpd, $outbox)], [], 'in a file that no program httpd starts would inherit';
    cmp_ok scalar(my @open = open_files($httpd, $outbox)), '>', 4, '(there are such files)';
    kill_children($httpd);
    ok !eval { $visitor->answer }, 'kill -9 of the child ends it';
    is $outbox->wait_for(ONE_UNCERTAIN), ONE_UNCERTAIN, 'then nobody knows';
    is_deeply [$outbox->notes('uncertain')], ['uncertain interrupted 0'], 'and the record says so';
    ok wait_for(sub { $httpd->error_log =~ /outbox=uncertain record=\S+ reason=interrupted/ }), 'and the log';
    is calls('visitor@'), 1, 'it is not sent again';
    ok waits(0), '(that call is over)';
    $visitor = visitor($httpd)->ask(GET => '/hang?email=second@b.example');
    ok waits(1), 'another visitor waits';
    kill KILL => -$httpd->pid;
    ok !eval { $visitor->answer }, 'kill -9 of all of httpd ends it, too';
    $httpd->stop;
    is $outbox->counts, 'waiting=0 sending=1 uncertain=1 rejected=0', 'the lead is there still';
    $httpd = server($outbox);
    is $outbox->wait_for('waiting=0 sending=0 uncertain=2 rejected=0'), 'waiting=0 sending=0 uncertain=2 rejected=0', 'the next httpd finds it';
    is_deeply [$outbox->emails('uncertain')], ['visitor@b.example', 'second@b.example'], 'whole';
    ends_well($httpd);
}

# --- A delivery under way ---------------------------------------------------------------------------------------------
{
    $api->clear;
    my ($outbox, $httpd) = fresh();
    $outbox->put(Kohomai::TestOutbox::record($hang, 'delivery@b.example'));
    ok waits(1), 'a delivery waits for its answer';
    is $outbox->counts, 'waiting=0 sending=1 uncertain=0 rejected=0', 'which is marked';
    kill_children($httpd);
    is $outbox->wait_for(ONE_UNCERTAIN), ONE_UNCERTAIN, 'kill -9 of the child: nobody knows';
    $outbox->put(Kohomai::TestOutbox::record($hang, 'next@b.example'));
    ok waits(1), 'another child delivers on';
    is calls('delivery@'), 1, 'but not that one';
    $httpd->signal('TERM');
    is $httpd->stop, 0, 'an ordinary stop does not wait for it';
    is $outbox->counts, 'waiting=0 sending=0 uncertain=2 rejected=0', 'and leaves it in uncertain';
    is +($outbox->notes('uncertain'))[1], 'uncertain stopping 0', 'with another reason';
}

# --- A restart --------------------------------------------------------------------------------------------------------
{
    $api->clear;
    my ($outbox, $httpd) = fresh();
    my @who = map { sprintf 'restart-%02d', $_ } 1 .. 8;
    $outbox->put(Kohomai::TestOutbox::record($slow, "$_\@b.example")) for @who;
    for my $round (1 .. 3) {
        ok waits(1), 'a delivery is under way';
        my $before = () = $httpd->error_log =~ /resuming normal operations/g;
        $httpd->signal('USR1');
        ok wait_for(sub { (() = $httpd->error_log =~ /resuming normal operations/g) > $before }), 'at a graceful restart';
    }
    is $outbox->wait_for(NONE), NONE, 'all are delivered';
    is_deeply [delivered()], \@who, 'each once, and in order';
    is_deeply [$httpd->error_log =~ /outbox=(?:uncertain|rejected|waiting)/g], [], 'none was in doubt';
    ends_well($httpd);
}

# --- Two servers, one directory -----------------------------------------------------------------------------------------
{
    $api->clear;
    my ($outbox, $one) = fresh();
    my $other = server($outbox);
    my @who = map { sprintf 'shared-%02d', $_ } 1 .. 12;
    $outbox->put(Kohomai::TestOutbox::record($quick, "$_\@b.example")) for @who;
    ok $api->wait_until(sub { calls('shared-') >= 3 }), 'one of two servers delivers';
    kill_children($_) for $one, $other;
    is $outbox->wait_for_rest, 0, 'and the other, or new children, when those are killed';
    my %in = map { /(shared-\d+)/ ? ($1 => 1) : () } $outbox->emails('uncertain');
    my %sent; $sent{$_}++ for delivered();
    is_deeply [grep { ($sent{$_} // 0) > 1 } @who], [], 'none is sent twice';
    is_deeply [grep { !$sent{$_} && !$in{$_} } @who], [], 'and none is lost';
    ends_well($_) for $one, $other;
}

# --- Blow upon blow -----------------------------------------------------------------------------------------------------
{
    $api->clear;
    my ($outbox, $httpd) = fresh();
    my @who = map { sprintf 'blow-%02d', $_ } 1 .. 25;
    my @visitors;
    for my $round (0 .. 4) {
        $outbox->put(Kohomai::TestOutbox::record($quick, "$_\@b.example")) for @who[map { $round * 5 + $_ } 0 .. 2];
        my @asked = @who[map { $round * 5 + $_ } 3, 4];
        push @visitors, map { [$_, eval { visitor($httpd)->ask(GET => "/quick?email=$_\@b.example") }] } @asked;
        sleep 0.3 + 0.25 * $round;
        kill_children($httpd);
        ok wait_for(sub { eval { visitor($httpd)->ask(GET => '/plain.txt', headers => [Connection => 'close'])->answer->status == 200 } }), 'new children come';
    }
    my %told = map { my ($who, $visitor) = @$_; my $answer = $visitor && eval { $visitor->answer }; ($who => $answer ? $answer->status : 0) } @visitors;
    is $outbox->wait_for_rest, 0, 'in the end nothing waits';
    my %in = map { /(blow-\d+)/ ? ($1 => 1) : () } $outbox->emails('uncertain');
    my %sent; $sent{$_}++ for delivered();
    is_deeply [grep { ($sent{$_} // 0) > 1 } @who], [], 'none is sent twice';
    is_deeply [grep { !$sent{$_} && !$in{$_} && ($told{$_} // 1) } @who], [], 'none is lost of which anybody was told, or that waited';
    is_deeply [grep { $told{$_} && !$sent{$_} } keys %told], [], 'who got an answer is registered';
    ends_well($httpd);
}

done_testing;

sub server {
    my ($outbox) = @_;
    return start_httpd(size_of(2, 4, 'KohomaiMaxPending 100', 'KohomaiTimeout 25s', 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off',
        'LogLevel kohomai:debug', 'KohomaiOutbox ' . $outbox->path)
        . signup('/hang', $hang) . signup('/slow', $slow) . signup('/quick', $quick));
}

sub fresh {
    my $outbox = Kohomai::TestOutbox->new;
    return ($outbox, server($outbox));
}

sub signup {
    my ($path, $base) = @_;
    return qq{<Location "$path">\nKohomaiHandoff register\nKohomaiBaseURL "$base"\nKohomaiLead Email %{query:email}\n</Location>\n};
}

# Whether so many calls wait at the API.
sub waits {
    my ($count, $patience) = @_;
    return $api->wait_until(sub { $_[0]->connections->{waiting} == $count }, $patience // 20);
}

sub calls { return scalar(my @calls = $api->calls(contains => $_[0])) }

# Who was sent, in that order.
sub delivered { return map { ($_->{body} =~ /([\w-]+)\@b\.example/)[0] } $api->calls }

sub children_of {
    my ($httpd) = @_;
    my $pid = $httpd->pid;
    return split ' ', Kohomai::TestHttpd::read_file("/proc/$pid/task/$pid/children");
}

sub kill_children { kill KILL => children_of($_[0]) }

# [path, whether it is closed on exec] of what httpd's children have open in the outbox.
sub open_files {
    my ($httpd, $outbox) = @_;
    my @found;
    for my $fd (map { glob "/proc/$_/fd/*" } children_of($httpd)) {
        my $path = readlink $fd // next;
        my ($flags) = Kohomai::TestHttpd::read_file($fd =~ s{/fd/}{/fdinfo/}r) =~ /^flags:\s*([0-7]+)/m;
        push @found, [$path, oct($flags) & 02000000 ? 1 : 0] if index($path, $outbox->path) == 0;
    }
    return @found;
}
