# A session is opened for the journey id where there is one, else for the user id; and carries the return address, if any.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api = sandbox();

session('a journey', 'journey=74590868830731162', '{"Journey":{"Id":74590868830731162}}');
session('a user', 'user=74590868830731162', '{"User":{"Id":74590868830731162}}');
session('both', 'user=11111111111111113&journey=22222222222222223', '{"Journey":{"Id":22222222222222223}}');
session('an empty journey', 'journey=&user=11111111111111113', '{"User":{"Id":11111111111111113}}');
session('a return address', 'journey=7&next=https://www.myapp.com', '{"Journey":{"Id":7},"RedirectURL":"https://www.myapp.com"}');
session('a return address and a user', 'user=7&next=https://www.myapp.com/a/b?c=d%26e%3Df',
    '{"User":{"Id":7},"RedirectURL":"https://www.myapp.com/a/b?c=d&e=f"}');

$api->clear;
my $mark = log_mark();
is request(GET => '/journey/by-id?journey=x&user=7')->status, 422, 'a journey id that is none is not passed over for the user id';
like access_log_since($mark), qr/^outcome=invalid reason="\S+" call=- /, 'its outcome is invalid';
is_deeply [$api->calls], [], 'and nobody is asked';

done_testing;

sub session {
    my ($what, $query, $body) = @_;
    $api->clear;
    is request(GET => "/journey/by-id?$query")->status, 302, "$what: a session";
    is_deeply [map { "$_->{method} $_->{path} $_->{body}" } $api->calls], ["POST /api/v1/sessions $body"], "$what: its body";
}
