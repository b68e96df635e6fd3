# Each outcome has its status, with a page for people and problem details (RFC 9457) for programs; neither may be stored or
# tell others where the visitor came from. The logs say the outcome, too.
use strict;
use warnings;
use Test::More;
use JSON::PP qw(decode_json);
use Kohomai::TestServer;

# [outcome, status, path, headers, call, status of the API]
my @outcomes = (
    ['unknown',     403, '/answer/unknown',           [],                                                              '-',        '-'],
    ['invalid',     422, '/answer/invalid?journey=x', [],                                                              '-',        '-'],
    ['forbidden',   403, '/answer',                   [Origin => 'https://evil.example'],                              '-',        '-'],
    ['prefetch',    503, '/answer',                   ['Sec-Purpose' => 'prefetch'],                                   '-',        '-'],
    ['refused',     404, '/answer/not-there',         [],                                                              'sessions', 404],
    ['refused',     502, '/answer/refused',           [],                                                              'sessions', 401],
    ['unavailable', 503, '/answer/unavailable',       [],                                                              'sessions', 429],
    ['failed',      502, '/answer/failed',            [],                                                              'sessions', 500],
    ['timeout',     504, '/answer/timeout',           [],                                                              'sessions', qr/-|0/],
);
for my $case (@outcomes) {
    for my $method (qw(GET POST)) {
        page($method, @$case);
        problem($method, @$case);
    }
}

# The two that went well.
my $mark   = log_mark();
my $answer = request(GET => '/answer/handed-off');
is $answer->status, 302, 'handed off';
protected('handed off', $answer);
like access_log_since($mark), qr/^outcome=handed-off reason="-" call=sessions api_status=200 time_us=\d+ status=302 /, 'handed off: the access log';
like error_log_since($mark, qr/outcome=/), qr/\[kohomai:info\].* kohomai: outcome=handed-off /, 'handed off: the error log';
is request(POST => '/answer/handed-off', body => '')->status, 303, 'handed off after a POST';

$answer = request(GET => '/answer/handed-off', headers => [Accept => 'application/json']);
is $answer->status, 200, 'handed off, for programs';
is $answer->header('Content-Type'), 'application/json', 'handed off, for programs: JSON';
protected('handed off, for programs', $answer);
my $said = decode_json($answer->body);
is_deeply [sort keys %$said], [qw(ConnectionURL ValidUntil)], 'handed off, for programs: what it says';
like $said->{ConnectionURL}, qr{^http://127\.0\.0\.1:\d+/internal/v1/autologin\?UUID=[0-9a-f-]{36}$}, 'handed off, for programs: the link';
like $said->{ValidUntil}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'handed off, for programs: for how long';
is $answer->header('Location'), undef, 'handed off, for programs: no redirect';

$mark   = log_mark();
$answer = request(GET => '/answer/registered');
is $answer->status, 204, 'registered';
is $answer->body, '', 'registered: nothing to say';
protected('registered', $answer);
like access_log_since($mark), qr/^outcome=registered reason="-" call=journeys api_status=200 time_us=\d+ status=204 /, 'registered: the access log';
like error_log_since($mark, qr/outcome=/), qr/\[kohomai:warn\].* kohomai: outcome=registered /, 'registered: the error log';

done_testing;

sub page {
    my ($method, $outcome, $status, $path, $headers, $call, $api_status) = @_;
    my $name   = "$method $path, for people";
    my $mark   = log_mark();
    my $answer = request($method, $path, headers => $headers, $method eq 'POST' ? (body => '') : ());
    is $answer->status, $status, "$name: the status";
    like $answer->header('Content-Type'), qr{^text/html(?:;|$)}, "$name: HTML";
    like $answer->body, qr{^<!DOCTYPE html>.*<html lang="en">.*<title>[^<]+</title>.*<h1>[^<]+</h1>.*</html>\s*$}s, "$name: a page";
    protected($name, $answer);
    again($name, $answer, $outcome);
    like access_log_since($mark), qr/^outcome=$outcome reason="[a-z0-9-]+" call=$call api_status=$api_status time_us=\d+ status=$status /,
        "$name: the access log";
    my @lines = grep {/\[kohomai:.*outcome=/} split /^/, error_log_since($mark, qr/outcome=/);
    is scalar @lines, 1, "$name: one line in the error log";
    like $lines[0], qr/\[kohomai:warn\].* kohomai: outcome=$outcome /, "$name: which warns";
}

sub problem {
    my ($method, $outcome, $status, $path, $headers) = @_;
    my $name   = "$method $path, for programs";
    my $answer = request($method, $path, headers => [@$headers, Accept => 'application/json'], $method eq 'POST' ? (body => '') : ());
    is $answer->status, $status, "$name: the status";
    is $answer->header('Content-Type'), 'application/problem+json', "$name: problem details";
    protected($name, $answer);
    again($name, $answer, $outcome);
    my $said = eval { decode_json($answer->body) } // {};
    is $said->{status}, $status, "$name: the status again";
    is $said->{outcome}, $outcome, "$name: the outcome";
    like $said->{title}, qr/^[A-Z][A-Za-z ]+$/, "$name: a title";
    like $said->{detail} // 'x', qr/./, "$name: a detail, if any, in words";
    like $said->{type} // 'about:blank', qr/^\S+$/, "$name: the type is a URI, if it is there";
    is_deeply [grep { !/^(?:type|title|status|detail|instance|outcome|reason)$/ } keys %$said], [], "$name: and nothing else";
}

sub protected {
    my ($name, $answer) = @_;
    is $answer->header('Cache-Control'),   'no-store',    "$name: not stored";
    is $answer->header('Referrer-Policy'), 'no-referrer', "$name: no referrer";
}

sub again {
    my ($name, $answer, $outcome) = @_;
    is $answer->header('Retry-After'), $outcome eq 'unavailable' ? 7 : undef, "$name: when to come again";
}
