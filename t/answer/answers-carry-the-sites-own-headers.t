# `Header always set` holds for the module's answers as for httpd's own errors, and an answer to a body that httpd refuses is
# protected as all others are.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my @form = ('Content-Type' => 'application/x-www-form-urlencoded');
my @json = (Accept => 'application/json');

for my $case (['a redirect', 302, GET => '/answer/headers'], ['a link for programs', 200, GET => '/answer/headers', headers => \@json],
    ['HEAD', 204, HEAD => '/answer/headers'], ['OPTIONS', 204, OPTIONS => '/answer/headers'], ['PUT', 405, PUT => '/answer/headers'],
    ['an error', 502, GET => '/answer/headers/failed'], ['a problem', 502, GET => '/answer/headers/failed', headers => \@json]) {
    my ($what, $status, @request) = @$case;
    my $answer = request(@request);
    is $answer->status, $status, "$what: the status";
    is_deeply [$answer->header('X-Frame-Options'), $answer->header('Strict-Transport-Security')], ['DENY', 'max-age=60'], "$what: the site's headers";
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], "$what: and the module's";
}

# The application's limits hold.
is request(POST => '/answer/small-body', headers => \@form, body => 'journey=7')->status, 303, 'a small body';
for my $how ([body => 'journey=7&x=' . 'x' x 200], [body => 'journey=7&x=' . 'x' x 200, chunked => 50]) {
    my $answer = request(POST => '/answer/small-body', headers => \@form, @$how);
    is $answer->status, 413, 'a body over LimitRequestBody';
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], 'protected';
}

done_testing;
