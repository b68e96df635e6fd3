# KohomaiRedirectURL is sent as a whole address: a path becomes one of this site. It may lead to this server alone, or to the
# hosts that KohomaiAllowReturn names instead; any other stops the handoff, and nobody is asked.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api  = sandbox();
my $site = 'http://localhost:' . server_port();
my $port = server_port();

# This site, by name and by path.
sent('/journey/return/path', "$site/done?a=b");
sent('/journey/return?next=/', "$site/");
sent('/journey/return?next=/a/b%3Fc=d%26e=%252F%23f', "$site/a/b?c=d&e=%2F#f");
sent("/journey/return?next=$site/done", "$site/done");
sent("/journey/return?next=HTTP://LOCALHOST:$port/Done", "$site/Done");
sent('/journey/return?next=', undef);
sent('/journey/return', undef);

# The site's name is not what any visitor says it is.
for my $host ('evil.example', "evil.example:$port", 'localhost.evil.example', 'evil.example:80') {
    sent('/journey/return/path', qr{^http://localhost(?::\d+)?/done\?a=b$}, host => $host);
    refused("/journey/return?next=http://$host/", host => $host);
}

# Everything else is refused.
my %never = (
    'another host'           => 'http://evil.example/',
    'another port'           => 'http://localhost:1/',
    "the scheme's own port"  => 'http://localhost/',
    'a longer name'          => "http://localhost.evil.example:$port/",
    'a host only'            => '//evil.example/',
    'three slashes'          => '///evil.example/',
    'a backslash'            => '/\\evil.example/',
    'two backslashes'        => '\\\\evil.example/',
    'a user'                 => "http://localhost:$port\@evil.example/",
    'a user of this site'    => "http://user\@localhost:$port/",
    'a script'               => 'javascript:alert(1)',
    'data'                   => 'data:text/html,x',
    'another scheme'         => "ftp://localhost:$port/",
    'no scheme'              => 'www.example.com',
    'a relative path'        => 'done',
    'a path upwards'         => '../done',
    'a query alone'          => '?a=b',
    'a line end'             => '/done%0d%0aSet-Cookie:%20a=b',
    'a NUL'                  => '/done%00',
    'a tab in front'         => '%09//evil.example/',
    'a blank in front'       => '%20/done',
    'a blank'                => '/a%20b',
    'letters beyond ASCII'   => '/%C3%BC',
    'a broken escape'        => '/%25zz',
    'an address as a number' => "http://2130706433:$port/",
);
for my $what (sort keys %never) {
    refused("/journey/return?next=$never{$what}", what => $what);
}

# A list takes the place of the server's own names.
my $listed = '/journey/return/listed?next=';
sent("${listed}https://www.example.com/a",          'https://www.example.com/a');
sent("${listed}http://www.example.com",             'http://www.example.com');
sent("${listed}https://www.example.com:443/a",      'https://www.example.com/a');
sent("${listed}https://WWW.example.COM/a",          'https://www.example.com/a');
sent("${listed}https://a.example.org/",             'https://a.example.org/');
sent("${listed}https://a.b.example.org/",           'https://a.b.example.org/');
sent("${listed}https://shop.example.com:8443/",     'https://shop.example.com:8443/');
for my $other ('https://example.org/', 'https://badexample.org/', 'https://example.com/', 'https://a.www.example.com/',
    'https://www.example.com:8443/', 'https://shop.example.com/', 'https://www.example.com.evil.example/', 'https://a.example.org:444/',
    'https://www.example.com./', "$site/", 'https://.example.org/', 'http://www.example.com:443/', 'https://www.example.com:80/')
{
    refused($listed . $other, what => 'not on the list');
}

# An inner list takes the place of the outer one.
sent('/journey/return/listed/anew?next=https://inner.example.com/', 'https://inner.example.com/');
refused('/journey/return/listed/anew?next=https://www.example.com/', what => 'on the outer list only');

done_testing;

sub sent {
    my ($path, $url, @how) = @_;
    $api->clear;
    is request(GET => $path, @how)->status, 302, "$path: handed off";
    my ($call) = $api->calls;
    my ($sent) = ($call->{body} // '') =~ /^\{"Journey":\{"Id":74590868830731162\}(?:,"RedirectURL":"(.*)")?\}$/;
    ref $url ? like($sent, $url, "sent: $url") : is($sent, $url, 'sent: ' . ($url // 'nothing'));
    is $call->{status}, 200, 'as the API wants it';
}

sub refused {
    my ($path, %how) = @_;
    my $what = delete $how{what} // 'refused';
    $api->clear;
    my $mark = log_mark();
    is request(GET => $path, %how)->status, 422, "$what: $path";
    like access_log_since($mark), qr/^outcome=invalid reason="[a-z0-9-]+" call=- /, "$what: the outcome";
    is_deeply [$api->calls], [], "$what: nobody is asked";
}
