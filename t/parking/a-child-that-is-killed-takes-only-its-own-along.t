# A child that is killed (kill -9, as when memory runs out) takes the visitors who wait in it along, and nobody else: they see
# their connections end, and their calls are let go of; all others have their answers, there is room for new visitors again,
# and the server goes on as before.
use strict;
use warnings;
use Test::More;
use Kohomai::TestHoldingApi;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

use constant WAITING => 12;    # as many as may, on any MPM; where the cap is each child's, they may share one

my $api   = Kohomai::TestHoldingApi->start;
my $size  = size_of(mpm() eq 'prefork' ? 1 : 2, WAITING + 4);
my $httpd = start_httpd("$size\nKohomaiAPIKey sandbox-key\nKohomaiMaxPending @{[WAITING]}\nKohomaiBreaker 2 50s\n"
    . handoff('/known', $api->base, 'KohomaiTimeout 50s')
    . handoff('/new', $api->base, 'KohomaiTimeout 50s', 'KohomaiHandoff register', 'KohomaiLead Email a@b.example'));

for my $round (1 .. 3) {
    my @visitors = map { visitor($httpd)->ask(GET => $_ % 2 ? '/known' : '/new') } 1 .. WAITING;
    ok wait_for(sub { $api->held == WAITING }), "round $round: visitors wait";
    my $waits_in = children(@visitors);
    my %of;
    push @{$of{$waits_in->{$_->{name}} // 'none'}}, $_ for @visitors;
    ok !$of{none}, "round $round: each of them in a child";

    # One of two children, or half of twelve.
    my @pids   = sort { $a <=> $b } grep { $_ ne 'none' } keys %of;
    my @killed = @pids[0 .. (@pids > 1 ? int(@pids / 2) - 1 : 0)];
    my @lost   = map { @{delete $of{$_}} } @killed;
    my @kept   = map { @$_ } values %of;
    is kill(KILL => @killed), scalar @killed, "round $round: @{[scalar @killed]} of @{[scalar @pids]} children are killed";
    is_deeply [map { end_of($_) } @lost], [('closed') x @lost], "round $round: whoever waited there sees an end";
    ok wait_for(sub { $api->held == @kept }), "round $round: their calls are let go of";
    is visitor($httpd)->ask(GET => '/plain.txt')->answer->status, 200, "round $round: the server goes on";

    # As many as were lost may come now; one more may not where all children count as one.
    my @next = map { one_more() } @lost;
    is $api->held, WAITING, "round $round: as many may wait as before";
    is visitor($httpd)->ask(GET => '/known')->answer->status, 503, "round $round: and not one more" if mpm() eq 'prefork';
    is $api->answer, WAITING, "round $round: the API answers";
    my %links = map { end_of($_) => 1 } @kept, @next;
    is_deeply [grep { !m{/autologin\?UUID=\d+\z} } keys %links], [], "round $round: whoever waits gets a link";
    is scalar(keys %links), WAITING, "round $round: of their own";
}

is $httpd->stop, 0, 'httpd ends in order';
is_deeply [$httpd->error_log =~ /^.*(?:Segmentation|assert|Sanitizer|corrupt|still did not exit).*$/gim], [], 'and nothing crashed or hung';

done_testing;

# The link that a visitor is given, or what else became of them.
sub end_of {
    my ($visitor) = @_;
    my $answer = eval { $visitor->answer };
    return $answer ? $answer->header('Location') // $answer->status : $@ =~ /connection ended/ ? 'closed' : $@;
}

# One who may wait. Whoever was killed counts until httpd itself knows of it, so some may be sent away at first.
sub one_more {
    my $held = $api->held;
    my $visitor;
    wait_for(sub {
        $visitor = visitor($httpd)->ask(GET => '/known');
        wait_for(sub { $api->held > $held || $visitor->has_answer });
        return $api->held > $held;
    });
    return $visitor;
}

# The pids of the children that hold the other ends of these visitors' connections, by the visitors' names.
sub children {
    my $port = sprintf '%04X', $httpd->port;
    my %visitor = map { sprintf('%04X', $_->{socket}->sockport) => $_->{name} } @_;
    my %inode = map { /: \w+:$port \w+:(\w+) (?:\S+ +){6}(\d+) / && $visitor{$1} ? ("socket:[$2]" => $visitor{$1}) : () }
        split /\n/, Kohomai::TestHttpd::read_file('/proc/net/tcp');
    my %child;
    for my $pid (grep { parent_of($_) == $httpd->pid } map { m{(\d+)\z} } glob '/proc/[0-9]*') {
        my @names = map { $inode{readlink($_) // ''} // () } glob "/proc/$pid/fd/*";
        @child{@names} = ($pid) x @names;
    }
    return \%child;
}

sub parent_of {
    my ($parent) = Kohomai::TestHttpd::read_file("/proc/$_[0]/stat") =~ /\) \S (\d+)/;
    return $parent // 0;
}
