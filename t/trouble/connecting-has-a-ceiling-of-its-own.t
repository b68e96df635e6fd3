# An API to which no connection comes about (here: one that does not take any more) ends in timeout after the connect time.
use strict;
use warnings;
use Test::More;
use IO::Socket::INET;
use Kohomai::TestServer;

# Nobody accepts: once the queue is full the system leaves further connections unanswered.
my $listen = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "socket: $@\n";
my @queued = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $listen->sockport, Blocking => 0) } 1 .. 8;

my $httpd = start_httpd(<<"END");
KohomaiAPIKey  sandbox-key
KohomaiBaseURL http://127.0.0.1:@{[$listen->sockport]}/api/v1
<Location "/">
    KohomaiHandoff On
    KohomaiJourney 74590868830731162
</Location>
<Location "/connect">
    KohomaiTimeout 50s connect=300ms
</Location>
<Location "/total">
    KohomaiTimeout 300ms
</Location>
END
for my $path (qw(/connect /total)) {
    is $httpd->request(GET => $path)->status, 504, "$path: not in time";
}
my @times = $httpd->access_log =~ /^outcome=timeout reason="\S+" call=sessions api_status=\S+ time_us=(\d+) status=504 /mg;
is scalar @times, 2, 'the outcomes';
cmp_ok $_, '<', 30_000_000, 'long before the whole time was over' for @times;

is $httpd->stop, 0, 'httpd ends in order';
done_testing;
