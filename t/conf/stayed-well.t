# After all other tests of an MPM: none of them made the server stumble.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;
use Kohomai::TestVisitor qw(HUNG);

my $log = error_log_since({error_log => 0});

is request(GET => '/plain.txt')->status, 200, 'the server still answers';
is_deeply [$log =~ /^.*(?:exit signal|Segmentation|assertion|Sanitizer|corrupt|child process .* @{[HUNG]}).*$/gim], [],
    'no child crashed, and each of them ended when it was told to';

my ($parent) = Kohomai::TestHttpd::read_file("$ENV{KOHOMAI_SERVER_ROOT}/logs/httpd.pid") =~ /(\d+)/;
ok kill(0, $parent), 'it is the server that was started at first';

done_testing;
