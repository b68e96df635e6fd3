# form, query and cookie take the first field of a name, decoded. What is no UTF-8, or holds a NUL or a control character, is
# refused and never sent on; tab and line ends may stand in a data point. A form in ISO-8859-1 or Windows-1252 is converted.
use strict;
use warnings;
use utf8;
use Test::More;
use Kohomai::TestServer;

binmode $_, ':utf8' for map { Test::More->builder->$_ } qw(output failure_output todo_output);

my $api  = sandbox();
my @form = ('Content-Type' => 'application/x-www-form-urlencoded');

# [what, value as sent, what arrives; undef: refused]
my @values = (
    ['plain',               'John',                    'John'],
    ['encoded',             '%4aohn%20%26%3D%3b%25',   'John &=;%'],
    ['UTF-8, encoded',      'Zo%C3%AB',                'Zoë'],
    ['beyond 16 bits',      '%F0%9F%A6%89',            "\x{1F989}"],
    ['a stray percent',     '100%',                    '100%'],
    ['a broken escape',     '%zz%4',                   '%zz%4'],
    ['encoded twice',       '%2541',                   '%41'],
    ['a NUL',               'John%00Doe',              undef],
    ['a control character', 'John%01',                 undef],
    ['a delete',            'John%7F',                 undef],
    ['an escape',           '%1B[31m',                 undef],
    ['a C1 control',        'John%C2%85',              undef],
    ['a line end',          'John%0D%0ADoe',           undef],
    ['a tab',               'John%09Doe',              undef],
    ['a broken sequence',   'Zo%EB',                   undef],
    ['an overlong one',     '%C0%AF',                  undef],
    ['half a pair',         '%ED%A0%80',               undef],
    ['beyond Unicode',      '%F4%90%80%80',            undef],
    ['cut off',             'Zo%C3',                   undef],
    ['1,024 bytes',         'x' x 1024,                'x' x 1024],
    ['1,025 bytes',         'x' x 1025,                undef],
);
for my $case (@values) {
    my ($what, $sent, $arrives) = @$case;
    name("query: $what",  $arrives, GET  => "/journey/fact/query?a=b&name=$sent&name=Other");
    name("form: $what",   $arrives, POST => '/journey/fact/form', body => "a=b&name=$sent&name=Other", headers => \@form);
    name("cookie: $what", $arrives, GET  => '/journey/fact/cookie', headers => [Cookie => "a=b; name=$sent; name=Other"]);
}

# Where they differ.
name('a plus in a query is a blank',   'John Doe', GET => '/journey/fact/query?name=John+Doe');
name('a plus in a form is a blank',    'John Doe', POST => '/journey/fact/form', body => 'name=John+Doe', headers => \@form);
name('a plus in a cookie is a plus',   'John+Doe', GET => '/journey/fact/cookie', headers => [Cookie => 'name=John+Doe']);
name('a cookie in quotes',             'John',     GET => '/journey/fact/cookie', headers => [Cookie => 'name="John"']);
name('cookies without blanks',         'John',     GET => '/journey/fact/cookie', headers => [Cookie => 'a=b;name=John;c']);
name('an empty first value wins, too', '',         GET => '/journey/fact/query?name=&name=John');
name('names are case-sensitive',       '',         GET => '/journey/fact/query?Name=John');
name('a name that is encoded',         'John',     GET => '/journey/fact/query?n%61me=John');
name('a field without a value',        '',         GET => '/journey/fact/query?name');
name('no query',                       '',         GET => '/journey/fact/query');
name('no cookie',                      '',         GET => '/journey/fact/cookie');
name('no form',                        '',         GET => '/journey/fact/form?name=John');
name('a form of no known type',        '',         POST => '/journey/fact/form', body => 'name=John', headers => ['Content-Type' => 'text/plain']);
name('a fault in another field is none', 'John',   GET => '/journey/fact/query?other=%00&name=John');

# Other kinds of form.
my @json = ('Content-Type' => 'application/json; charset=utf-8');
name('JSON',                        'Zoë',  POST => '/journey/fact/form', headers => \@json, body => '{"name":"Zo\u00eb"}');
name('JSON, raw',                   'Zoë',  POST => '/journey/fact/form', headers => \@json, body => "{\"a\":{\"name\":\"x\"},\"name\":\"Zo\xC3\xAB\"}");
name('JSON, twice',                 'John', POST => '/journey/fact/form', headers => \@json, body => '{"name":"John","name":"Other"}');
name('JSON with an exact number',   '74590868830731163', POST => '/journey/fact/form', headers => \@json, body => '{"name":74590868830731163}');
name('JSON with a NUL',             undef,  POST => '/journey/fact/form', headers => \@json, body => '{"name":"John\u0000Doe"}');
name('JSON with a control',         undef,  POST => '/journey/fact/form', headers => \@json, body => '{"name":"John\u0001"}');
name('JSON that is none',           undef,  POST => '/journey/fact/form', headers => \@json, body => '{"name":"John"');
name('JSON that is not in UTF-8',   undef,  POST => '/journey/fact/form', headers => \@json, body => "{\"name\":\"Zo\xEB\"}");
my @parts = ('Content-Type' => 'multipart/form-data; boundary=xYz');
name('multipart', "Zoë", POST => '/journey/fact/form', headers => \@parts, body => multipart("Zo\xC3\xAB", 'Other'));
name('multipart with a NUL', undef, POST => '/journey/fact/form', headers => \@parts, body => multipart("John\0Doe"));
name('multipart in Latin-1', undef, POST => '/journey/fact/form', headers => \@parts, body => multipart("Zo\xEB"));
name('multipart that breaks off', undef, POST => '/journey/fact/form', headers => \@parts, body => substr multipart('John'), 0, -6);

# Declared charsets.
for my $charset ('ISO-8859-1', 'iso-8859-1', '"ISO-8859-1"', 'windows-1252') {
    my @declared = ('Content-Type' => "application/x-www-form-urlencoded; charset=$charset");
    name("a form in $charset",      'Zoë', POST => '/journey/fact/form', headers => \@declared, body => 'name=Zo%EB');
    name("a form in $charset, raw", 'Zoë', POST => '/journey/fact/form', headers => \@declared, body => "name=Zo\xEB");
}
my @windows = ('Content-Type' => 'application/x-www-form-urlencoded; charset=Windows-1252');
name('a form in Windows-1252, beyond Latin-1', '„€“', POST => '/journey/fact/form', headers => \@windows, body => 'name=%84%80%93');
my @utf8 = ('Content-Type' => 'application/x-www-form-urlencoded; charset=UTF-8');
name('a form in UTF-8', 'Zoë', POST => '/journey/fact/form', headers => \@utf8, body => 'name=Zo%C3%AB');
my @other = ('Content-Type' => 'application/x-www-form-urlencoded; charset=utf-16');
name('a form in another charset', undef, POST => '/journey/fact/form', headers => \@other, body => 'name=John');

# A data point may hold lines.
for my $case (['%09a%0D%0Ab%0A', '"\\\\ta\\\\r\\\\nb\\\\n"'], ['a%0Bb', undef], ['a%00', undef]) {
    my ($sent, $arrives) = @$case;
    $api->clear;
    my $answer = request(POST => '/journey/fact/data', headers => \@form, body => "name=$sent");
    my ($call) = $api->calls;
    is $answer->status, $arrives ? 303 : 422, "a data point of $sent";
    like $call->{body}, qr/"StringValue":$arrives,/, 'arrives' if $arrives;
    is $call, undef, 'is not sent' if !$arrives;
}

# An email is one whole address.
for my $case (['zo%C3%AB@ex%C3%A4mple.org', 1], ['a@b', 1], ['a%0A@b.example', 0], ['a@b.example%0ABcc:x', 0], ['a b@c.example', 0],
    ['a@b.example,c@d.example', 0], ['a@-b.example', 0], ['a@b..example', 0], ['@b.example', 0], ['John <a@b.example>', 0], ['a@b@c.example', 0]) {
    my ($sent, $good) = @$case;
    $api->clear;
    is request(POST => '/journey/fact/email', headers => \@form, body => "name=$sent")->status, $good ? 303 : 422, "the email $sent";
    is scalar(my @calls = $api->calls), $good, 'what the API was asked';
}

# --- What a rewrite has made of the query counts, also where somebody has looked at it before ------------------------------------
{
    my $id    = '74590868830731162';
    my $httpd = start_httpd(<<"END");
RewriteEngine On
RewriteCond   expr "%{query:as} == 'before' && %{query:id} == '5'"
RewriteRule   "^/rewritten" "/onboarding?id=$id" [PT]
<Location "/redirected">
    <If "%{query:id} == '5' && %{cookie:id} == '5'">
        RewriteEngine On
        RewriteRule   "." "/onboarding?id=$id" [L]
    </If>
</Location>
<Location "/onboarding">
    KohomaiHandoff On
    KohomaiAPIKey  sandbox-key
    KohomaiBaseURL ${\$api->base}
    KohomaiJourney %{query:id}
</Location>
END
    for my $path ('/rewritten?as=before&id=5', '/redirected?id=5') {
        $api->clear;
        is $httpd->request(GET => $path, headers => [Cookie => 'id=5'])->status, 302, "$path: handed off";
        is_deeply [map { $_->{body} =~ /"Id":(\d+)/ } $api->calls], [$id], 'as the one whom the rewrite names';
    }
}

done_testing;

sub multipart {
    my (@values) = @_;
    return join '', (map {"--xYz\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n$_\r\n"} @values), "--xYz--\r\n";
}

# Whether the name arrives: undef for outcome invalid, without any call.
sub name {
    my ($what, $arrives, $method, $path, %how) = @_;
    $api->clear;
    my $mark   = log_mark();
    my $answer = request($method, $path, %how);
    my @calls  = $api->calls;
    if (!defined $arrives) {
        is $answer->status, 422, "$what: refused";
        like access_log_since($mark), qr/^outcome=invalid reason="[a-z0-9-]+" call=- /, "$what: the outcome";
        return is_deeply \@calls, [], "$what: nobody is asked";
    }
    my ($name) = ($calls[0]{body} // '') =~ /"Firstname":"(.*?)","/;
    ($name) = ($calls[0]{body} // '') =~ /"Firstname":"(.*?)","ContactPrefs"/ if !defined $name;
    is $name // '', $arrives, "$what: arrives";
    is $calls[0]{status}, 200, "$what: as the API wants it";
}
