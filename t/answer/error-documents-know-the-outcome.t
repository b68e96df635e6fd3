# The site's own error pages are shown instead of the module's, know the outcome, and are protected as the module's are. The
# access log keeps the outcome; a page that is itself handed off starts nothing.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api  = sandbox()->clear;
my $mark = log_mark();
my ($answer, %env) = page('/answer/failed/page', 502);
is $env{REDIRECT_KOHOMAI_OUTCOME},    'failed',   'the outcome';
is $env{REDIRECT_KOHOMAI_CALL},       'sessions', 'the call';
is $env{REDIRECT_KOHOMAI_API_STATUS}, 500,        'what the API answered';
like $env{REDIRECT_KOHOMAI_REASON},   qr/^[a-z0-9-]+$/, 'the reason';
like $env{REDIRECT_KOHOMAI_TIME_US},  qr/^\d+$/,  'the time';
like access_log_since($mark), qr/^outcome=failed reason="[a-z0-9-]+" call=sessions api_status=500 time_us=\d+ status=502 /, 'the access log';

(undef, %env) = page('/answer/unknown/page', 403);
is $env{REDIRECT_KOHOMAI_OUTCOME}, 'unknown', 'nobody was asked';
is_deeply [grep {/^REDIRECT_KOHOMAI_(?:CALL|API_STATUS)$/} keys %env], [], 'so there is no call';

for my $method (qw(GET POST)) {
    my $answer = request($method, '/answer/failed/static', $method eq 'POST' ? (body => '') : ());
    is $answer->status, 502, "$method: a plain file as error page";
    is $answer->body, request(GET => '/plain.txt')->body, "$method: which is shown";
    protected($answer);
}
$answer = request(GET => '/answer/failed/text');
is $answer->status, 502, "words of the site's own";
is $answer->body, "The site's own words", 'are shown';
protected($answer);

$answer = request(GET => '/answer/failed/missing');
is $answer->status, 502, 'an error page that is not there';
protected($answer);

$api->clear;
$answer = request(GET => '/answer/failed/itself');
unlike $answer->header('Location') // '', qr/UUID/, 'an error page that is handed off';
is_deeply [grep { $_->{mood} eq '' } $api->calls], [], 'mints nothing';
protected($answer);

$answer = request(GET => '/answer/failed/page', headers => [Accept => 'application/json']);
is $answer->header('Content-Type'), 'application/problem+json', 'programs get the problem, not the page';

# Nobody outside can say what the environment is to say.
$mark = log_mark();
$answer = request(GET => '/cgi-bin/env', headers => ['KOHOMAI_OUTCOME' => 'handed-off', 'Kohomai-Outcome' => 'handed-off', 'REDIRECT-KOHOMAI-OUTCOME' => 'a']);
is_deeply [grep {/^(?:REDIRECT_)?KOHOMAI_/} split /\n/, $answer->body], [], 'a request header sets no such variable';
like access_log_since($mark), qr/^outcome=- reason="-" call=- api_status=- time_us=- /, 'and the log has none';

done_testing;

sub page {
    my ($path, $status) = @_;
    my $answer = request(GET => $path);
    is $answer->status, $status, "$path: the status stays";
    protected($answer);
    return ($answer, map { (split(/=/, $_, 2), '')[0, 1] } split /\n/, $answer->body);
}

sub protected {
    my ($answer) = @_;
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], 'protected';
}
