# On the event MPM a child of four threads holds a hundred visitors, in clear and over TLS, who wait for the API at the same
# time; and answers everybody else meanwhile. The API here answers nobody until it is told to.
use strict;
use warnings;
use Test::More;
use IO::Select;
use IO::Socket::INET;
use Socket;
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestServer;
use Kohomai::TestVisitor;

plan skip_all => 'only the event MPM can hold a visitor without a thread' if mpm() ne 'event';

use constant VISITORS => 100;

my $listen = IO::Socket::INET->new(Listen => 1024, LocalAddr => '127.0.0.1', LocalPort => 0) or die "socket: $@\n";
socketpair my $api, my $control, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!\n";
my $pid = fork // die "fork: $!\n";
serve() if !$pid;
close $control;

my ($tls_port) = free_ports(1);
my $httpd = start_httpd(size_of(1, 4, 'AsyncRequestWorkerFactor 50') . <<"END" . handoff('/onboarding', "http://127.0.0.1:@{[$listen->sockport]}/api/v1", 'KohomaiTimeout 55s'));
Listen 127.0.0.1:$tls_port
<VirtualHost 127.0.0.1:$tls_port>
    ServerName            localhost
    SSLEngine             On
    SSLCertificateFile    "\${KOHOMAI_TLS_CERT}"
    SSLCertificateKeyFile "\${KOHOMAI_TLS_KEY}"
</VirtualHost>
END

# The first of all starts the engine; the second round finds what the first one left.
held('in clear');
held('in clear, once more');
held('over TLS 1.2', tls => $tls_port, version => 'TLSv1_2');
held('over TLS 1.3', tls => $tls_port, version => 'TLSv1_3');

ends_well($httpd);
close $api;
waitpid $pid, 0;
done_testing;

sub held {
    my ($how, %how) = @_;
    my $before = tell_api('calls');
    my @visitors = map { visitor($httpd, %how)->ask(GET => '/onboarding') } 1 .. VISITORS;
    ok wait_for(sub { tell_api('held') == VISITORS }), "$how: all wait at the same time";
    my @static = map { visitor($httpd, %how)->ask(GET => '/plain.txt', headers => [Connection => 'close'])->answer->status } 1 .. 20;
    is_deeply \@static, [(200) x 20], "$how: others are answered meanwhile";
    is tell_api('held'), VISITORS, "$how: while all of them wait";
    tell_api('answer');
    my %links = map { my $answer = $_->answer; ($answer->header('Location') // $answer->status => 1) } @visitors;
    is scalar(grep { m{/autologin\?UUID=} } keys %links), VISITORS, "$how: each then gets a link of their own";
    is tell_api('calls') - $before, VISITORS, "$how: by one call each";
}

# --- The API ---------------------------------------------------------------------------------------------------------------

# `held` and `calls` are numbers; `answer` lets go of all that are held.
sub tell_api {
    syswrite $api, "$_[0]\n";
    sysread $api, my $number, 100 or die "The API is gone.\n";
    return 0 + $number;
}

sub serve {
    close $api;
    my $ready = IO::Select->new($listen, $control);
    my (%in, @held, $calls);
    while (my @readable = $ready->can_read) {
        for my $socket (@readable) {
            if ($socket == $control) {
                sysread $control, my $word, 100 or POSIX::_exit(0);
                syswrite $_->[0], link_number($_->[1]) for $word eq "answer\n" ? splice @held : ();
                syswrite $control, ($word eq "calls\n" ? $calls // 0 : scalar @held) . "\n";
            }
            elsif ($socket == $listen) {
                $ready->add($listen->accept // next);
            }
            elsif (!sysread $socket, $in{$socket}, 65_536, length($in{$socket} // '')) {
                $ready->remove($socket);
                delete $in{$socket};
            }
            elsif (is_whole($in{$socket})) {
                $in{$socket} = '';
                push @held, [$socket, ++$calls];
            }
        }
    }
    POSIX::_exit(0);
}

sub is_whole {
    my ($head, $body) = split /\r\n\r\n/, $_[0], 2;
    return defined $body && $head =~ /^Content-Length: (\d+)\r?$/m && length $body >= $1;
}

sub link_number {
    my ($number) = @_;
    my $body = qq({"ConnectionURL":"http://127.0.0.1:@{[$listen->sockport]}/internal/v1/autologin?UUID=$number"});
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}
