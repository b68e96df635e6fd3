# HEAD and OPTIONS never ask for a link, and other methods are not allowed; all of these answers are protected, too.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api = sandbox()->clear;
my @all = qw(/answer/handed-off /answer/handed-off/json /answer/unknown /answer/fallback/any /cgi-bin/echo/site?journey=7);

for my $path (@all) {
    my $answer = request(HEAD => $path);
    is $answer->status, 204, "HEAD $path";
    is $answer->header('Location'), undef, 'without a link';
    protected($answer);

    $answer = request(OPTIONS => $path);
    like $answer->status, qr/^20[04]$/, "OPTIONS $path";
    is allowed($answer), 'GET HEAD OPTIONS POST', 'says what is allowed';
    protected($answer);

    for my $method (qw(PUT DELETE PATCH PROPFIND BREW)) {
        my $answer = request($method, $path, $method eq 'PUT' ? (body => 'a=b') : ());
        is $answer->status, 405, "$method $path";
        like allowed($answer), qr/^GET HEAD OPTIONS POST( TRACE)?$/, 'says what is allowed';
        protected($answer);
    }
    my $trace = request(TRACE => $path);
    is $trace->header('Location'), undef, "TRACE $path is httpd's own affair";
}
is_deeply [$api->calls], [], 'nobody was asked anything';

is request(GET => '/answer/handed-off', http => '1.0')->status, 302, 'an old client is handed off';
is request(OPTIONS => '/plain.txt')->header('Cache-Control'), undef, 'and other paths are as ever';

done_testing;

sub allowed {
    my ($answer) = @_;
    return join ' ', sort split /, */, $answer->header('Allow') // '';
}

sub protected {
    my ($answer) = @_;
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], 'protected';
}
