# Following a link starts a handoff from wherever it was followed; another site can start none behind the visitor's back, by a
# form, a script, a frame or an image.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api  = sandbox();
my $own  = 'http://localhost:' . server_port();
my $port = server_port();

# [method, Sec-Fetch-Site, -Mode, -Dest, Origin, whether it may]; '-' is not sent.
my @cases = (
    # Links, typed addresses and bookmarks, from anywhere.
    [qw(GET none        navigate document -), 1],
    [qw(GET same-origin navigate document -), 1],
    [qw(GET same-site   navigate document -), 1],
    [qw(GET cross-site  navigate document -), 1],
    [qw(GET cross-site  navigate document null), 1],
    [qw(GET cross-site  navigate document https://evil.example), 1],

    # Frames.
    [qw(GET same-origin navigate iframe -), 1],
    [qw(GET same-site   navigate iframe -), 1],
    [qw(GET cross-site  navigate iframe -), 0],
    [qw(GET cross-site  navigate frame  -), 0],
    [qw(GET cross-site  navigate object -), 0],
    [qw(GET cross-site  navigate embed  -), 0],
    [qw(GET cross-site  navigate fencedframe -), 0],

    # What pages load.
    (map { [qw(GET cross-site no-cors), $_, '-', 0] } qw(image script style font audio video empty object worker)),
    (map { [qw(GET cross-site cors), $_, 'https://evil.example', 0] } qw(empty script image)),
    [qw(GET cross-site  websocket   websocket -), 0],
    [qw(GET same-origin no-cors     image     -), 1],
    [qw(GET same-origin cors        empty     -), 1],
    [qw(GET same-origin same-origin empty     -), 1],
    [qw(GET same-site   cors        empty     -), 1],

    # Forms and scripts that post.
    [qw(POST same-origin navigate    document), $own, 1],
    [qw(POST same-site   navigate    document https://other.example), 1],
    [qw(POST none        navigate    document -), 1],
    [qw(POST cross-site  navigate    document https://evil.example), 0],
    [qw(POST cross-site  navigate    document null), 0],
    [qw(POST cross-site  navigate    document -), 0],
    [qw(POST cross-site  no-cors     empty    https://evil.example), 0],
    [qw(POST cross-site  cors        empty    https://evil.example), 0],
    [qw(POST same-origin cors        empty), $own, 1],
    [qw(POST same-origin same-origin empty), $own, 1],
    [qw(POST unheard-of  navigate    document -), 0],
    # A page with Referrer-Policy: no-referrer posts without its name.
    [qw(POST same-origin navigate    document null), 1],
    [qw(POST same-site   cors        empty    null), 1],
    [qw(POST cross-site  cors        empty    null), 0],
    # What only a visitor can do has no page: a POST loaded again, a form of the browser's own.
    [qw(POST none        cors        empty    -), 1],

    # Odd spellings, and what no browser sends.
    [qw(POST Same-Origin Navigate    Document -), 1],
    [qw(GET  CROSS-SITE  NAVIGATE    DOCUMENT -), 1],
    [qw(GET  CROSS-SITE  NAVIGATE    IFRAME   -), 0],
    [qw(POST same-originx navigate   document -), 0],
    [qw(POST same        navigate    document -), 0],
    [qw(POST ?1          navigate    document -), 0],
    ['POST', 'same-origin, cross-site', qw(navigate document -), 0],
    ['POST', 'cross-site, same-origin', qw(navigate document -), 0],
    ['POST', 'same-origin;a=b',         qw(navigate document -), 0],
    ['POST', '"same-origin"',           qw(navigate document -), 0],
    ['POST', "  same-origin\t",         qw(navigate document -), 1],
    ['POST', 'x' x 8000,                qw(navigate document -), 0],
    ['POST', "\xff\xfe",                qw(navigate document -), 0],
    ['GET',  'cross-site', 'navigate, navigate', qw(document -), 0],
    ['GET',  'cross-site', 'navigate', 'document, iframe', '-', 0],
    ['GET',  'cross-site', 'navigate', 'x' x 8000,  '-', 0],
    [qw(GET  cross-site  -           document -), 0],
    [qw(GET  cross-site  navigate    -        -), 1],    # browsers of 2019
    [qw(GET  cross-site  nested-navigate - -), 0],       # and what they said of a frame
    [qw(GET  cross-site  -           -        -), 0],
    [qw(GET  -           navigate    document -), 1],
    [qw(GET  -           no-cors     image    -), 1],    # whoever leaves the site out, says nothing of where it comes from

    # Browsers without Sec-Fetch, and programs.
    [qw(GET  - - - -), 1],
    [qw(POST - - - -), 1],
    [qw(POST - - -), $own, 1],
    [qw(POST - - -), uc $own, 1],
    [qw(POST - - - null), 0],
    [qw(POST - - - https://evil.example), 0],
    [qw(GET  - - - https://evil.example), 0],
    [qw(POST - - -), 'https://localhost:' . $port, 0],
    [qw(POST - - - http://localhost), 0],
    [qw(POST - - - http://localhost:1), 0],
    [qw(POST - - -), "http://localhost:$port.evil.example", 0],
    [qw(POST - - -), "http://evil.localhost:$port", 0],
    [qw(POST - - -), "http://localhost:$port, https://evil.example", 0],
    [qw(POST - - -), "$own/", 0],
    [qw(POST - - - garbage), 0],
    [qw(POST - - -), 'x' x 8000, 0],
    [qw(POST - - -), "http://localhost:$port" . 'x' x 8000, 0],
    [qw(POST - - -), "\xff", 0],
    [qw(POST - - -), "$own\t$own", 0],
    [qw(POST - - -), "$own#", 0],
    [qw(POST - - -), "$own?", 0],
    [qw(POST - - -), "http://a\@localhost:$port", 0],
    [qw(POST - - -), "http://localhost.:$port", 0],
    [qw(POST - - -), "//localhost:$port", 0],
    [qw(POST - - -), "localhost:$port", 0],
    [qw(POST - - -), "http://localhost:0$port", 0],
    [qw(POST - - -), "http://127.0.0.1:$port", 0],
    [qw(POST - - -), "http://[::1]:$port", 0],
    [qw(POST - - - *), 0],
);
for my $case (@cases) {
    my ($method, $site, $mode, $dest, $origin, $may) = @$case;
    my %header = ('Sec-Fetch-Site' => $site, 'Sec-Fetch-Mode' => $mode, 'Sec-Fetch-Dest' => $dest, Origin => $origin);
    my @headers = map { $_ => $header{$_} } grep { $header{$_} ne '-' } sort keys %header;
    my $name = substr("$method site=$site mode=$mode dest=$dest origin=$origin", 0, 100) =~ s/[^ -~]/?/gr;
    $api->clear;
    my $mark   = log_mark();
    my $answer = request($method, '/answer/handed-off/redirect', headers => \@headers, $method eq 'POST' ? (body => '') : ());
    is $answer->status, !$may ? 403 : $method eq 'POST' ? 303 : 302, $name;
    like access_log_since($mark), $may ? qr/^outcome=handed-off / : qr/^outcome=forbidden reason="\S+" call=- /, "$name: the outcome";
    is scalar(my @calls = $api->calls), $may, "$name: what the API was asked";
}

# The same header twice says nothing that could be relied on.
for my $case ([Origin => $own, Origin => $own], [Origin => $own, Origin => 'https://evil.example'], [Origin => 'https://evil.example', Origin => $own],
    ['Sec-Fetch-Site' => 'same-origin', 'Sec-Fetch-Site' => 'cross-site'], ['Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Site' => 'same-origin'],
    ['Sec-Fetch-Site' => 'same-origin', 'Sec-Fetch-Site' => 'same-origin'], ['Sec-Fetch-Site' => 'none', 'sec-fetch-site' => 'none']) {
    $api->clear;
    is request(POST => '/answer/handed-off', body => '', headers => $case)->status, 403, "twice: @$case";
    is_deeply [$api->calls], [], 'and nobody is asked';
}
# A header without a value is none.
is request(POST => '/answer/handed-off', body => '', headers => [$_ => ''])->status, 303, "an empty $_" for 'Origin', 'Sec-Fetch-Site', 'Sec-Purpose';

# Whoever names another host is not this site by that.
is request(POST => '/answer/handed-off', body => '', host => 'evil.example', headers => [Origin => 'http://evil.example'])->status, 403,
    'a Host that is none of the server\'s names';
is request(POST => '/answer/handed-off', body => '', host => "127.0.0.1:$port", headers => [Origin => "http://localhost:$port"])->status, 303,
    'the site by its name, addressed by number';

done_testing;
