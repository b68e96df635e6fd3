# KohomaiFallback says what becomes of a visitor who is not handed off: a page to go to, a status, or the site's own answer. What
# is said of one outcome wins over what is said of any; a target that depends on the visitor keeps to the allowed hosts.
use strict;
use warnings;
use Test::More;
use JSON::PP qw(decode_json);
use Kohomai::TestServer;

my $api  = sandbox()->clear;
my @json = (Accept => 'application/json');

# A page.
goes('/answer/fallback/path', '/sorry.html?a=b');
goes('/answer/fallback/url',  'https://help.example.net/a?b=c');
goes('/answer/fallback/any',  '/unknown.html');
goes('/answer/fallback/any?journey=x', '/any.html');
goes('/answer/fallback/any/inner', '/inner.html');
goes('/answer/fallback/any/inner?journey=x', '/inner.html');
goes('/answer/fallback/registered', '/thanks.html', status => undef);

# A visitor who is handed off needs none; nor does one who is registered, unless that very word is said.
is request(GET => '/answer/fallback/any?journey=7')->status, 302, 'who is handed off';
like request(GET => '/answer/fallback/any?journey=7')->header('Location'), qr/autologin/, 'goes where the link leads';
is request(GET => '/answer/fallback/any/registered')->status, 204, 'any does not stand for registered';

# Every outcome can have one.
my %how = (
    invalid     => ['?journey=x'],
    forbidden   => ['?journey=7', headers => [Origin => 'https://evil.example']],
    prefetch    => ['?journey=7', headers => [Purpose => 'prefetch']],
    refused     => ['/refused?journey=7'],
    unavailable => ['/unavailable?journey=7'],
    failed      => ['/failed?journey=7'],
    timeout     => ['/timeout?journey=7'],
);
for my $outcome (sort keys %how) {
    my ($path, @how) = @{$how{$outcome}};
    my $mark   = log_mark();
    my $answer = request(GET => "/answer/fallback/outcomes$path", @how);
    is $answer->status, 302, "$outcome: elsewhere";
    like $answer->header('Location'), qr{^(?:http://localhost:\d+)?/$outcome\.html$}, "$outcome: to its own page";
    like access_log_since($mark), qr/^outcome=$outcome /, "$outcome: which is still the outcome";
}

# A status.
for my $case ([status => 410], ['server-error' => 500]) {
    my ($path, $status) = @$case;
    my $answer = request(GET => "/answer/fallback/$path");
    is $answer->status, $status, "the status $status";
    like $answer->header('Content-Type'), qr{^text/html}, "$status: a page";
    protected($answer);
    $answer = request(GET => "/answer/fallback/$path", headers => \@json);
    is $answer->status, $status, "$status: for programs";
    is_deeply [@{decode_json($answer->body)}{qw(status outcome)}], [$status, 'unknown'], "$status: a problem";
    protected($answer);
}

# A target that the visitor has a say in.
my $site = 'http://localhost:' . server_port();
for my $good ('/help?a=b', 'https://www.example.com/a', 'https://a.example.org/') {
    my $answer = request(GET => "/answer/fallback/variable?to=$good");
    is $answer->status, 302, "to $good";
    like $answer->header('Location'), qr/^(?:\Q$site\E)?\Q$good\E$/, 'is allowed';
}
for my $bad ('https://evil.example/', '//evil.example/', '/%5Cevil.example/', 'https://example.org/', 'https://www.example.com:444/',
    'https://www.example.com@evil.example/', 'javascript:alert(1)', '/%0d%0aSet-Cookie:%20a=b', '/%00', 'sorry.html', '') {
    my $mark   = log_mark();
    my $answer = request(GET => "/answer/fallback/variable?to=$bad");
    is $answer->status, 403, "to '$bad': the outcome's own answer";
    is $answer->header('Location'), undef, "to '$bad': no redirect";
    is $answer->header('Set-Cookie'), undef, "to '$bad': no header";
    unlike $answer->body, qr/evil|script>/, "to '$bad': and no trace of it";
    like access_log_since($mark), qr/^outcome=unknown /, "to '$bad': the outcome";
    like error_log_since($mark, qr/KohomaiFallback/), qr/\[kohomai:error\].*KohomaiFallback/, "to '$bad': the log says why";
    $answer = request(GET => "/answer/fallback/variable?to=$bad", headers => \@json);
    is $answer->status, 403, "to '$bad': for programs";
    is decode_json($answer->body)->{Location}, undef, "to '$bad': no place to go";
}

# The site's own answer, with what became of the visitor.
my $answer = request(GET => '/cgi-bin/env/site');
is $answer->status, 200, 'pass';
like $answer->body, qr/^KOHOMAI_OUTCOME=unknown$/m, 'tells the application';
is $answer->header('Referrer-Policy'), undef, 'whose answer is its own';
$answer = request(POST => '/cgi-bin/echo/site?journey=x', body => 'a=b&c', headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
is $answer->body, 'a=b&c', 'and the body is there';
is request(GET => '/cgi-bin/env/site?journey=7')->status, 302, 'who can be handed off is';

done_testing;

sub goes {
    my ($path, $target, %how) = @_;
    my $status = exists $how{status} ? $how{status} : $path =~ /journey=x/ ? 422 : 403;
    my $there  = qr/^(?:http:\/\/localhost:\d+)?\Q$target\E$/;
    for my $case ([GET => 302], [POST => 303]) {
        my ($method, $redirect) = @$case;
        my @body   = $method eq 'POST' ? (body => '') : ();
        my $answer = request($method, $path, @body);
        is $answer->status, $redirect, "$method $path: elsewhere";
        like $answer->header('Location'), $there, "$method $path: to $target";
        protected($answer);

        $answer = request($method, $path, @body, headers => \@json);
        is $answer->header('Location'), undef, "$method $path: a program is not redirected";
        my $said = eval { decode_json($answer->body) } // {};
        like $said->{Location} // '', $there, "$method $path: but told where to go";
        next if !$status;
        is $answer->status, $status, "$method $path: with the outcome's own status";
        is $answer->header('Content-Type'), 'application/problem+json', "$method $path: in its problem";
        is $said->{outcome}, $path =~ /journey=x/ ? 'invalid' : 'unknown', "$method $path: which it names";
        protected($answer);
    } continue {
        my $answer = request($case->[0], $path, headers => \@json);
        like $answer->status, qr/^2/, "$path: a program hears that it went well" if !$status;
    }
}

sub protected {
    my ($answer) = @_;
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], 'protected';
}
