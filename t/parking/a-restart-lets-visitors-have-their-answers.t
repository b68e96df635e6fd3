# Whoever waits for the API when the server is restarted or stopped gracefully, or when their child has served enough, gets the
# answer all the same. A stop that is not graceful ends in a few seconds, and leaves nobody without an end.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Kohomai::TestServer;
use Kohomai::TestVisitor;

use constant VISITORS => 6;

my $api = sandbox();

graceful('a graceful restart', sub { $_[0]->signal('USR1') });
graceful('two of them in a row', sub {
    my ($httpd) = @_;
    $httpd->signal('USR1');
    wait_for(sub { $httpd->error_log =~ /resuming normal operations.*resuming normal operations/s }, 20);
    $httpd->signal('USR1');
});
graceful_stop();
worn_out() if mpm() ne 'prefork';
hard_stop('TERM with visitors waiting', 'hang');
hard_stop('TERM with a slow answer under way', 'drip=500');
hard_restart();

done_testing;

sub server {
    my ($mood, @lines) = @_;
    $api->clear;
    return start_httpd(size_of(1, VISITORS + 4, 'KohomaiAPIKey sandbox-key', 'KohomaiMaxPending 100', @lines)
        . handoff('/known', $api->base($mood), 'KohomaiTimeout 40s')
        . handoff('/new', $api->base($mood), 'KohomaiTimeout 40s', 'KohomaiHandoff register', 'KohomaiLead Email a@b.example'));
}

# Some known, some new.
sub waiting {
    my ($httpd, $count) = @_;
    my @visitors = map { visitor($httpd)->ask(GET => $_ % 2 ? '/known' : '/new') } 1 .. $count;
    ok $api->wait_until(sub { $_[0]->connections->{waiting} == $count }), 'visitors wait';
    return @visitors;
}

sub all_are_served {
    my ($what, @visitors) = @_;
    my %links = map { my $answer = eval { $_->answer }; ($answer ? $answer->header('Location') // $answer->status : $@) => 1 } @visitors;
    is_deeply [grep { !m{/autologin\?UUID=} } keys %links], [], "$what: nobody is lost";
    is scalar(keys %links), scalar @visitors, "$what: each gets a link";
    is scalar(my @calls = $api->calls), scalar @visitors, "$what: by one call";
}

sub graceful {
    my ($what, $do) = @_;
    my $httpd = server('slow=2500');
    my @visitors = waiting($httpd, VISITORS);
    $do->($httpd);
    all_are_served($what, @visitors);
    my $next = visitor($httpd)->ask(GET => '/plain.txt');
    is $next->answer->status, 200, "$what: the server goes on";
    ends_well($httpd);
}

sub graceful_stop {
    my $httpd = server('slow=2500');
    my @visitors = waiting($httpd, VISITORS);
    $httpd->signal('WINCH');
    all_are_served('a graceful stop', @visitors);
    ok wait_for(sub { $httpd->error_log =~ /caught SIGWINCH/ }), 'httpd was told';
    ok wait_for(sub { !-e $httpd->dir . '/logs/httpd.pid' }), 'and ends by itself';
    ends_well($httpd);
}

sub worn_out {
    my $httpd = server('slow=2000', 'MaxConnectionsPerChild 3', 'KeepAlive Off');
    my @visitors = map { visitor($httpd)->ask(GET => $_ % 2 ? '/known' : '/new') } 1 .. VISITORS;
    all_are_served('MaxConnectionsPerChild', @visitors);
    ends_well($httpd);
}

# The bound is generous: httpd itself gives its children ten seconds.
sub hard_stop {
    my ($what, $mood) = @_;
    my $httpd = server($mood);
    my @visitors = waiting($httpd, VISITORS);
    my $begin = time;
    ends_well($httpd, $what);
    cmp_ok time - $begin, '<', 10, "$what: soon";
    is_deeply [map { ended($_) } @visitors], [('ended') x VISITORS], "$what: nobody waits for ever";
    ok $api->wait_until(sub { $_[0]->connections->{waiting} == 0 }), "$what: no call is left";
}

sub hard_restart {
    my $httpd = server('hang');
    my @visitors = waiting($httpd, VISITORS);
    $httpd->signal('HUP');
    is_deeply [map { ended($_) } @visitors], [('ended') x VISITORS], 'a hard restart sends everybody away';
    is visitor($httpd)->ask(GET => '/plain.txt')->answer->status, 200, 'and the server goes on';
    my $next = visitor($httpd)->ask(GET => '/known');
    ok $api->wait_until(sub { $_[0]->connections->{waiting} == 1 }), 'which was not the fault of the API: it is called';
    $next->leave;
    ends_well($httpd);
}

# A 503, or the end of the connection.
sub ended {
    my ($visitor) = @_;
    my $answer = eval { $visitor->answer };
    return 'ended' if $answer ? $answer->status == 503 : $@ =~ /connection ended/;
    return $answer ? $answer->status : $@;
}
