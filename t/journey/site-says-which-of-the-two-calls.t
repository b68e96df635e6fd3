# KohomaiHandoff On opens a session where an id is known and registers where an email is; session and register allow only that
# one; Off leaves the path to the site. An inner section overrides an outer one, also with what is the default anyway.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api = sandbox();
my ($id, $email) = ('journey=74590868830731162', 'email=john@example.com');

goes('/journey/mode', "$id&$email", 'sessions');
goes('/journey/mode', $id,          'sessions');
goes('/journey/mode', $email,       'journeys');
goes('/journey/mode', '',           403);

goes('/journey/mode/session', "$id&$email", 'sessions');
goes('/journey/mode/session', $email,       403);
goes('/journey/mode/session', "$email&journey=x", 422);

goes('/journey/mode/register', "$id&$email", 'journeys');
goes('/journey/mode/register', "$email&journey=x", 'journeys');
goes('/journey/mode/register', $id,          403);

goes('/journey/mode/register/on', "$id&$email", 'sessions');
goes('/journey/mode/register/on/deeper', $id,   'sessions');
goes('/journey/mode/off', "$id&$email", 404);
goes('/journey/mode/off/session', "$id&$email", 'sessions');

goes('/journey/mode', "email=john", 422);
goes('/journey/mode', "email=" . 'a' x 243 . '@example.com', 422);
goes('/journey/mode', "email=" . 'a' x 242 . '@example.com', 'journeys');

my $mark = log_mark();
request(GET => '/journey/mode/off');
like access_log_since($mark), qr/^outcome=- /, 'a path of the site has no outcome';

done_testing;

sub goes {
    my ($path, $query, $where) = @_;
    $api->clear;
    my $answer = request(GET => "$path?$query");
    my $status = $where =~ /\D/ ? 302 : $where;
    is $answer->status, $status, "$path?" . substr($query, 0, 60) . ": $where";
    is_deeply [map {"$_->{path} $_->{status}"} $api->calls], $where =~ /\D/ ? ["/api/v1/$where 200"] : [], 'what the API was asked';
}
