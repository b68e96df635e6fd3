# A program that httpd starts for the site has none of the module's descriptors: no connection to the API, over which it could
# read another visitor's link, and none of what waiting takes. (Under prefork the child that has them starts it.)
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api = sandbox()->clear;
my $httpd = start_httpd(size_of(1, mpm() eq 'prefork' ? 1 : 8, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off', 'KeepAlive Off', 'KohomaiMaxPending 100')
    . handoff('/known', $api->base('slow=50'))
    . handoff('/cgi-bin/descriptors/pass', $api->base('status=500'), 'KohomaiFallback any pass'));

is visitor($httpd)->ask(GET => '/known')->answer->status, 302, 'a handoff, whose connection to the API is kept' for 1 .. 3;
cmp_ok $api->connections->{open}, '>=', 1, 'as it is';
for my $path ('/cgi-bin/descriptors', '/cgi-bin/descriptors/pass') {
    my $answer = visitor($httpd)->ask(GET => $path)->answer;
    is $answer->status, 200, "$path: a program";
    my @open = split /\n/, $answer->body;
    cmp_ok scalar @open, '>=', 3, "$path: with descriptors";
    is_deeply [grep { /eventfd|eventpoll/ } @open], [], "$path: but none that waits for calls";
    is_deeply [grep { /^socket:\[(\d+)\]$/ && leads_to_api($1) } @open], [], "$path: and none that leads to the API";
}

ends_well($httpd);
done_testing;

sub leads_to_api {
    my ($inode) = @_;
    my $port = sprintf '%04X', $ENV{KOHOMAI_SANDBOX_PORT};
    return scalar grep { /: \w+:\w+ \w+:$port (?:\S+ +){6}$inode / } split /\n/, Kohomai::TestHttpd::read_file('/proc/net/tcp');
}
