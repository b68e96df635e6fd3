#!/usr/bin/perl
# The sandbox's own test: every endpoint, every strict rule, every mood, the links, the pages, the record, the load.
# It speaks raw HTTP, so that no client library mends what is looked at. No check depends on speed.
use strict;
use warnings;
use feature qw(signatures);

use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use Kohomai::Sandbox::Files;

BEGIN { Kohomai::Sandbox::Files::raise_limit(@ARGV) }

use Encode ();
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP ();
use Mojo::IOLoop;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Kohomai::Sandbox::Json qw(read_json write_string);
use Kohomai::Sandbox::Moods;
use Kohomai::TestSandbox;

$SIG{PIPE} = 'IGNORE';
my $PATIENCE = 30;
my $JOHN     = '74590868830731162';
my $SESSION  = qq({"User":{"Id":$JOHN},"RedirectURL":"https://www.myapp.com/x?a=1&b=%3C"});
my $LEAD     = '{"Email":"ann@example.org","Firstname":"Ann"}';

my $sandbox = Kohomai::TestSandbox->start;
our ($PORT) = $sandbox->url =~ /:(\d+)\z/;

# -- a raw client ----------------------------------------------------------------------------------------------

sub dial { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $PORT) // die "cannot connect: $!" }

# Headers of a proper call; undef in %change leaves one out.
sub request_text ($target, $body, %change) {
    my $method = delete $change{method} // 'POST';
    my %header = (Host => "127.0.0.1:$PORT", Authorization => 'Bearer sandbox-key', Accept => 'application/json',
        'Content-Type' => 'application/json', 'Content-Length' => length $body, %change);
    return "$method $target HTTP/1.1\r\n"
        . join('', map {"$_: $header{$_}\r\n"} grep { defined $header{$_} } sort keys %header) . "\r\n$body";
}

# Reads until ENOUGH->(bytes) or the end of the connection; returns (bytes, whether it was closed).
sub read_until ($socket, $enough) {
    my ($bytes, $end) = ('', time + $PATIENCE);
    while (!$enough->($bytes)) {
        my $ready = '';
        vec($ready, fileno $socket, 1) = 1;
        return ($bytes, 0) if time > $end || select($ready, undef, undef, $end - time) <= 0;
        return ($bytes, 1) if !sysread $socket, $bytes, 65_536, length $bytes;
    }
    return ($bytes, 0);
}

sub is_whole ($bytes) {
    $bytes =~ s{\AHTTP/1\.1 100 Continue\r\n\r\n}{};
    my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
    return 0 if !defined $body;
    return $head =~ /^Content-Length: (\d+)/mi ? length $body >= $1 : $head =~ /^HTTP\/1.1 (?:204|304)/;
}

sub understand ($bytes, $closed) {
    my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
    my ($status, @lines) = split /\r\n/, $head // '';
    my %headers = map { /\A([^:]+): (.*)/ ? (lc $1 => $2) : () } @lines;
    return {bytes => $bytes, closed => $closed, body => $body // '', headers => \%headers,
        status => ($status // '') =~ m{\AHTTP/1\.1 (\d+)} ? $1 : 0};
}

sub fetch ($text) {
    my $socket = dial();
    syswrite $socket, $text;
    return understand(read_until($socket, \&is_whole));
}

sub path_of ($base) { return $base =~ s{\Ahttp://[^/]+}{}r }

sub call ($path, $body, %o) {
    my $moods = delete $o{moods} // [];
    return fetch(request_text(path_of($sandbox->base(@$moods)) . $path, $body, %o));
}

sub moody (@moods) { return call('/sessions', $SESSION, moods => \@moods) }

sub register (@moods) { return call('/leads', $LEAD, moods => \@moods) }

sub json ($answer) { return JSON::PP->new->utf8->allow_bignum->decode($answer->{body}) }

sub get ($path, %headers) { return fetch(request_text($path, '', method => 'GET', 'Content-Length' => undef, %headers)) }

sub last_call { return ($sandbox->calls)[-1] }

sub link_path ($answer) { return path_of(json($answer)->{ConnectionURL}) }

sub refused ($status, $why, $path, $body, $name, %o) {
    my $answer = call($path, $body, %o);
    is $answer->{status}, $status, "$name: $status";
    like json($answer)->{error}, $why, "$name: the error says why";
    return $answer;
}

# -- the endpoints ---------------------------------------------------------------------------------------------

subtest 'a session for someone known' => sub {
    my $answer = moody();
    is $answer->{status}, 200, 'answered';
    is $answer->{headers}{'content-type'}, 'application/json', 'as JSON';
    like $answer->{body}, qr/"User":\{"Firstname":"John","Lastname":"Doe","Id":$JOHN\}/, 'names John Doe with the exact id';
    my $said = json($answer);
    like $said->{UUID}, qr/\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z/, 'a UUID';
    is $said->{ConnectionURL}, "http://127.0.0.1:$PORT/internal/v1/autologin?UUID=$said->{UUID}", 'the link leads here';
    is $said->{RedirectURL}, 'https://www.myapp.com/x?a=1&b=%3C', 'RedirectURL comes back';
    like $said->{$_}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/, $_ for qw(ValidUntil createdDate changedDate);
    is call('/sessions', qq({"Journey":{"Id":$JOHN}}))->{status}, 200, 'by journey id, without RedirectURL';
    like call('/sessions', '{"User":{"Id":99999999999999999999}}')->{body}, qr/"Visitor","Id":99999999999999999999\}/,
        'a 20-digit id survives exactly';
    is call('/sessions', '{"User":{"Id":40412}}')->{status}, 404, 'ids that begin with 404 are of nobody';
    is last_call()->{status}, 404, 'and the record says so';
};

subtest 'registering, in all four generations' => sub {
    my $data   = '"JourneyData":[{"StringValue":"x","DataPoint":{"Id":123456789012345678}}]';
    my %bodies = (
        '/workflows/123/register' => '{"RedirectURL":"https://a.example","User":{"Firstname":"Ann","Lastname":"Lee",'
            . '"UsrContactPrefs":{"PersonalEmail":"ann@example.org"}}}',
        '/journeys?ref=abc' => '{"Journey":{"User":{"Firstname":"Ann","Lastname":"Lee","ContactPrefs":{"Email":"ann@example.org"}},'
            . $data . '}}',
        '/journeys' => qq({"Email":"ann\@example.org","Firstname":"Ann","Lastname":"Lee","PhoneNumber":"+1 (800) 555-0175",$data}),
        '/leads?ref=abc' => '{"Email":"ann@example.org","Firstname":"Ann","Lastname":"Lee","PhoneNumber":"+1",'
            . '"JourneyData":[{"Name":"My datapoint","Value":"a\tb\u00e9"}],"WebhookInput":{"any":[1,true,null]}}' =~ s/\t/\\t/r,
    );
    for my $path (sort keys %bodies) {
        my $answer = call($path, $bodies{$path});
        is $answer->{status}, 200, "$path: answered" or diag $answer->{body};
        my ($id) = $answer->{body} =~ /"User":\{"Firstname":"Ann","Lastname":"Lee","Id":([0-9]{17,20})\},"Journey":\{"Id":[0-9]{17,20}\}\}\z/;
        ok $id, "$path: new ids, as bare numbers";
        like call('/sessions', qq({"User":{"Id":$id}}))->{body}, qr/"Ann","Lastname":"Lee","Id":$id\}/, "$path: the name is kept";
        like $answer->{body}, qr/"Journey":\{"Id":\Q@{[($sandbox->calls(path => $path =~ s{\?.*}{}r))[-1]{ids}{Journey}]}\E\}/,
            "$path: the record has the same ids";
    }
    ok !(grep { sprintf('%.0f', $_) eq $_ } map { values %{$_->{ids}} } map { register(); last_call() } 1 .. 10),
        'no new id survives a double';
};

subtest 'a reference is decoded and recorded' => sub {
    is call('/leads?ref=a%20b%2B%C3%A9', $LEAD)->{status}, 200, 'taken';
    is last_call()->{ref}, "a b+\x{e9}", 'decoded';
    is last_call()->{query}, 'ref=a%20b%2B%C3%A9', 'and as it was sent';
};

# -- the strict rules ------------------------------------------------------------------------------------------

subtest 'how a call must be made' => sub {
    is refused(405, qr/POST/, '/sessions', '', 'GET', method => 'GET')->{headers}{allow}, 'POST', 'Allow says what';
    refused(404, qr/no \/api/, '/journeys-flat', $LEAD, 'an unknown path');
    refused(404, qr/no \/api/, '/workflows/0123/register', $LEAD, 'a workflow id with a leading zero');
    refused(401, qr/missing/, '/sessions', $SESSION, 'no key', Authorization => undef);
    refused(401, qr/another/, '/sessions', $SESSION, 'a wrong key', Authorization => 'Bearer sandbox-keys');
    refused(401, qr/must be/, '/sessions', $SESSION, 'Basic', Authorization => 'Basic c2FuZGJveC1rZXk=');
    refused(406, qr/Accept/, '/sessions', $SESSION, 'Accept: */*', Accept => '*/*');
    refused(406, qr/Accept/, '/sessions', $SESSION, 'no Accept', Accept => undef);
    refused(415, qr/Content-Type/, '/sessions', $SESSION, 'a form', 'Content-Type' => 'application/x-www-form-urlencoded');
    refused(415, qr/Content-Type/, '/sessions', $SESSION, 'no Content-Type', 'Content-Type' => undef);
    refused(411, qr/Content-Length/, '/sessions', '', 'no Content-Length', 'Content-Length' => undef);
    refused(411, qr/Transfer/, '/sessions', "0\r\n\r\n", 'chunked', 'Content-Length' => undef, 'Transfer-Encoding' => 'chunked');
    refused(400, qr/query/, '/sessions?ref=a', $SESSION, 'a ref for a session');
    refused(400, qr/ref=REF/, "/leads?$_", $LEAD, "the query $_") for 'ref=', 'Ref=a', 'ref=a&x=1', '';
    refused(400, qr/URL-encoded/, "/leads?ref=$_", $LEAD, "the ref $_") for '%', '%zz', '%ff', "\xe9";
    is call('/sessions', $SESSION, 'Content-Type' => 'application/json; charset=UTF-8')->{status}, 200, 'a charset is tolerated';
    is call('/sessions', $SESSION, Expect => '100-continue')->{bytes} =~ /\AHTTP\/1.1 100 Continue\r\n\r\n/, 1, '100-continue';
    is fetch("no http\r\n\r\n")->{status}, 400, 'no HTTP at all';
};

subtest 'how a body must be' => sub {
    my $email = '"Email":"a@b.example"';
    my @wrong = (
        ['/sessions', '{"User":{"Id":1}', qr/no JSON/, 'half an object'],
        ['/sessions', '[]', qr/must be an object/, 'an array'],
        ['/sessions', '{}', qr/User is missing/, 'nothing'],
        ['/sessions', '{"User":{"Id":"1"}}', qr/User.Id must be a bare number/, 'an id as a string'],
        ['/sessions', '{"User":{"Id":01}}', qr/no JSON/, 'a leading zero'],
        ['/sessions', '{"User":{"Id":0}}', qr/digits/, 'zero'],
    );
    push @wrong, ['/sessions', "{\"User\":{\"Id\":$_}}", qr/1 to 20 digits/, "the id $_"] for qw(-1 1.0 1e3 123456789012345678901);
    push @wrong,
        ['/sessions', '{"User":{"Id":1},"Journey":{"Id":1}}', qr/User is not known/, 'both ids'],
        ['/sessions', '{"User":{"Id":1,"Id":1}}', qr/twice/, 'a key twice'],
        ['/sessions', '{"User":{"Id":1},"RedirectURL":""}', qr/RedirectURL is empty/, 'an empty RedirectURL'],
        ['/sessions', '{"User":{"Id":1},"RedirectURL":"/x"}', qr/whole http/, 'a path as RedirectURL'],
        ['/sessions', '{"User":{"Id":1},"redirectURL":"https://a.example"}', qr/redirectURL is not known/, 'a wrong case'],
        ['/sessions', "{\"User\":{\"Id\":1}} x", qr/something follows/, 'a tail'],
        ['/leads', '{"Firstname":"A"}', qr/Email is missing/, 'no email'],
        ['/leads', '{"Email":"nobody"}', qr/no email address/, 'no email address'],
        ['/leads', "{$email,\"Firstname\":\"\"}", qr/Firstname is empty/, 'an empty name'],
        ['/leads', "{$email,\"Firstname\":null}", qr/Firstname must be a string/, 'a null name'],
        ['/leads', "{$email,\"Age\":1}", qr/Age is not known/, 'an extra key'],
        ['/leads', "{$email,\"JourneyData\":[]}", qr/JourneyData is empty/, 'no data points'],
        ['/leads', "{$email,\"JourneyData\":[{\"Name\":\"a\"}]}", qr/JourneyData\[0\]\.Value is missing/, 'half a data point'],
        ['/leads', "{$email,\"JourneyData\":[{\"StringValue\":\"a\",\"DataPoint\":{\"Id\":1}}]}", qr/not known/, 'an older data point'],
        ['/leads', "{$email,\"Firstname\":\"\xe9\"}", qr/not UTF-8/, 'Latin-1'],
        ['/leads', "{$email,\"Firstname\":\"a\nb\"}", qr/broken string/, 'a raw control character'],
        ['/leads', "{$email,\"Firstname\":\"\\ud800\"}", qr/surrogate/, 'half a surrogate pair'],
        ['/journeys', "{$email,\"JourneyData\":[{\"Name\":\"a\",\"Value\":\"b\"}]}", qr/not known/, 'a newer data point'],
        ['/journeys', '{"Journey":{"User":{"ContactPrefs":{"Email":"a@b"},"PhoneNumber":"1"}}}', qr/PhoneNumber is not known/, 'a phone number'],
        ['/journeys', '{"Journey":{"User":{"ContactPrefs":{"Email":"a@b"}},"JourneyData":[{"StringValue":"a","DataKey":{"Id":1}}]}}',
            qr/DataKey is not known/, 'the older spelling of DataPoint'],
        ['/workflows/1/register', "{$email}", qr/Email is not known/, "another generation's body"];
    refused(400, $_->[2], $_->[0], $_->[1], $_->[3]) for @wrong;
    is call('/workflows/404/register', '{"User":{"UsrContactPrefs":{"PersonalEmail":"a@b"}}}')->{status}, 404, 'an unknown workflow';
};

subtest 'the JSON reader' => sub {
    my ($read) = read_json(' { "a" : [ 1 , -0.5e+10 , "\u00e9\ud83d\ude00\/\n" , true , false , null , { } , [ ] ] } ');
    is $read->{a}[1]->text, '-0.5e+10', 'numbers are text';
    is $read->{a}[2], Encode::encode('UTF-8', "\x{e9}\x{1f600}/\n"), 'escapes';
    is_deeply [@{$read->{a}}[3 .. 7]], [\1, \0, undef, {}, []], 'words and empty ones';
    for my $bad ('', '{', '[1,]', '{"a":1,}', '{a:1}', '01', '1.', '.5', '+1', '1e', 'nul', 'truex', '"a', '"\x"', '[1 2]', '[' x 1000) {
        ok defined((read_json($bad))[1]), 'refused: ' . substr $bad, 0, 10;
    }
    is write_string("a\"\\\0\n"), '"a\\"\\\\\\u0000\\u000a"', 'strings are escaped';
};

# -- the moods -------------------------------------------------------------------------------------------------

subtest 'moods of time and connection' => sub {
    my $began = time;
    is moody('slow=300')->{status}, 200, 'slow: answered';
    cmp_ok time - $began, '>=', 0.3, 'slow: not before its time';
    $began = time;
    my $answer = moody('drip=1');
    is json($answer)->{User}{Firstname}, 'John', 'drip: the whole answer';
    cmp_ok time - $began, '>=', length($answer->{bytes}) / 1000, 'drip: not before its time';
    $sandbox->clear;
    $answer = moody('hangup-before');
    ok $answer->{closed} && $answer->{bytes} eq '', 'hangup-before: closed without a byte';
    is scalar(() = $sandbox->calls), 0, 'hangup-before: not recorded';
    $answer = moody('hangup-after');
    ok $answer->{closed} && $answer->{bytes} eq '', 'hangup-after: closed without a byte';
    is last_call()->{body}, $SESSION, 'hangup-after: recorded with its body';
    is last_call()->{status}, undef, 'hangup-after: without a status';
    $answer = moody('cut');
    ok $answer->{closed}, 'cut: closed';
    cmp_ok length $answer->{body}, '<', $answer->{headers}{'content-length'}, 'cut: shorter than promised';
    cmp_ok length $answer->{body}, '>', 0, 'cut: but begun';
    $answer = moody('garbage');
    ok $answer->{closed} && length $answer->{bytes} && $answer->{status} == 0, 'garbage: no HTTP';
    is moody('keep-alive=off')->{headers}{connection}, 'close', 'keep-alive=off: says close';
};

subtest 'hang' => sub {
    $sandbox->clear;
    my $socket = dial();
    syswrite $socket, request_text(path_of($sandbox->base('hang')) . '/sessions', $SESSION);
    ok $sandbox->wait_until(sub ($s) { $s->connections->{waiting} == 1 }), 'one call is held';
    is scalar(() = $sandbox->calls(mood => 'hang')), 1, 'and recorded';
    is last_call()->{status}, undef, 'without a status';
    close $socket;
    ok $sandbox->wait_until(sub ($s) { $s->connections->{waiting} == 0 }), 'given up when the client goes';
};

subtest 'chunked' => sub {
    my $socket = dial();
    syswrite $socket, request_text(path_of($sandbox->base('chunked')) . '/sessions', $SESSION);
    my $answer = understand(read_until($socket, sub ($bytes) { $bytes =~ /\r\n0\r\n\r\n\z/ }));
    is $answer->{headers}{'transfer-encoding'}, 'chunked', 'said';
    ok !exists $answer->{headers}{'content-length'}, 'no length';
    like $answer->{body}, qr/\A[0-9a-f]+\r\n\{"UUID".*\}\r\n0\r\n\r\n\z/s, 'done';
};

subtest 'keep-alive' => sub {
    my $socket = dial();
    my $text   = request_text('/api/v1/sessions', $SESSION);
    syswrite $socket, $text;
    ok is_whole((read_until($socket, \&is_whole))[0]), 'the first answer';
    my $first = last_call()->{connection};
    syswrite $socket, $text;
    ok is_whole((read_until($socket, \&is_whole))[0]), 'the second answer';
    is last_call()->{connection}, $first, 'the record shows the same connection';
    syswrite $socket, $text . $text;
    my ($bytes) = read_until($socket, sub ($bytes) { $bytes =~ /UUID.*HTTP\/1.1 200.*\}\}\z/s });
    is scalar(() = $bytes =~ /HTTP\/1\.1 200/g), 2, 'two calls sent at once are answered in turn';
    moody();
    isnt last_call()->{connection}, $first, 'a new connection has another number';
    my $old = fetch(request_text('/api/v1/sessions', $SESSION, Connection => 'Keep-Alive') =~ s{HTTP/1.1}{HTTP/1.0}r);
    is $old->{headers}{connection}, 'keep-alive', 'an HTTP/1.0 client is told that it may stay';
    $socket = dial();
    syswrite $socket, request_text(path_of($sandbox->base('keep-alive=50')) . '/sessions', $SESSION);
    my ($rest, $closed) = read_until($socket, sub ($bytes) {0});
    ok $closed && $rest !~ /^Connection:/mi, 'keep-alive=MS closes later, unannounced';
};

subtest 'moods of status' => sub {
    $sandbox->clear;
    for my $status (400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504) {
        is moody("status=$status")->{status}, $status, "status=$status";
    }
    ok !(grep { defined $_->{uuid} } $sandbox->calls), 'no link was made';
    is register('status=201')->{status}, 201, 'status=201';
    ok defined last_call()->{uuid}, 'below 300 the link is made';
    is moody('status=503', 'retry-after=7')->{headers}{'retry-after'}, 7, 'retry-after';
    my $answer = call('/leads?ref=a', $LEAD, moods => ['redirect']);
    is $answer->{status}, 302, 'redirect: 302';
    is $answer->{headers}{location}, '/api/v1/leads?ref=a', 'redirect: to the call without a mood';
    is moody('redirect=https%3A%2F%2Fevil.example%2F')->{headers}{location}, 'https://evil.example/', 'redirect=URL';
};

subtest 'moods of the body' => sub {
    my $answer = moody('garbage-json');
    is "$answer->{status} $answer->{headers}{'content-type'}", '200 application/json', 'garbage-json: looks well';
    ok !eval { json($answer) }, 'garbage-json: is not';
    is length moody('huge')->{body}, 131_072, 'huge: its size';
    is length moody("huge=$_")->{body}, $_, "huge=$_: its size" for 65_536, 65_537, 3_000_000;
    like json(moody('huge'))->{ConnectionURL}, qr/autologin/, 'huge: valid JSON with the link';
    like moody('wrong-charset')->{body}, qr/"Zo\xeb"/, 'wrong-charset: Latin-1';
    $answer = moody('wrong-charset=utf-16');
    like Encode::decode('UTF-16', $answer->{body}), qr/"Zo\x{eb}"/, 'wrong-charset=utf-16';
    my @links = moody('duplicate-keys')->{body} =~ /"ConnectionURL":"([^"]+)"/g;
    is scalar @links, 2, 'duplicate-keys: two';
    isnt $links[0], $links[1], 'duplicate-keys: and different';
    like moody('deep')->{body}, qr/\[{10000}\]{10000}/, 'deep';
    is_deeply [@{moody('empty')}{qw(status body)}],     [200, ''], 'empty';
    is_deeply [@{moody('empty=204')}{qw(status body)}], [204, ''], 'empty=204';
};

subtest 'moods of the link' => sub {
    my $said = json(register('no-link'));
    ok !exists $said->{ConnectionURL} && !exists $said->{UUID}, 'no-link: none';
    ok $said->{User}{Id} && $said->{Journey}{Id}, 'no-link: but ids';
    is last_call()->{uuid}, undef, 'no-link: none was made';
    unlike register('no-link-no-id')->{body}, qr/ConnectionURL|Id"/, 'no-link-no-id';
    unlike register('no-user')->{body},    qr/"User"/,    'no-user';
    unlike register('no-journey')->{body}, qr/"Journey"/, 'no-journey';
    my %links = (
        'foreign-link'                     => qr{\Ahttps://evil\.example/internal/v1/autologin\?UUID=},
        'link-host=a.example:81'           => qr{\Ahttp://a\.example:81/internal},
        'http-link'                        => qr{\Ahttp://127},
        'https-link'                       => qr{\Ahttps://127\.0\.0\.1:$PORT/internal},
        'user-info-link'                   => qr{\Ahttp://user:secret\@127},
        'backslash-link'                   => qr{\Ahttp://evil\.example\\\@127},
        'long-link=8190'                   => qr{\A.{8190}\z},
        'long-link=8191'                   => qr{\A.{8191}\z},
        'nul'                              => qr{UUID=[0-9a-f-]{36}\0\.evil\.example\z},
        'link=ftp%3A%2F%2Fa%2Cb%3D%22%0A%C3%A9' => qr{\Aftp://a,b="\n\x{e9}\z},
        'link='                            => qr{\A\z},
    );
    like json(moody($_))->{ConnectionURL}, $links{$_}, $_ for sort keys %links;
    like moody('nul')->{body}, qr/\\u0000/, 'nul: escaped in the JSON';
    like moody('control')->{body}, qr/\r\nSet-Cookie: evil=1"/, 'control: raw';
};

subtest 'id-form' => sub {
    my %forms = (
        negative => qr/-\d+/, fraction => qr/\d+\.5/, exponent => qr/\d\.\d+e\d+/, string => qr/"\d{17,20}"/, twenty => qr/[1-9]\d{19}/,
        twentyone => qr/[1-9]\d{20}/, 'leading-zero' => qr/0\d+/, null => qr/null/, object => qr/\{"Id":\d+\}/,
    );
    for my $form (sort keys %forms) {
        my $body = register("id-form=$form", 'no-link')->{body};
        like $body, qr/"User":\{"Firstname":"Ann","Id":$forms{$form}\},"Journey":\{"Id":$forms{$form}\}\}\z/, $form;
    }
    my ($id) = register('id-form=twenty', 'no-link')->{body} =~ /"User":.*?"Id":(\d+)/;
    like call('/sessions', qq({"User":{"Id":$id}}))->{body}, qr/"Ann"/, 'the twenty digits are those of the registered';
};

subtest 'which calls a mood is for' => sub {
    $sandbox->clear;
    is register('only=register', 'status=500')->{status}, 500, 'only=register: a register';
    is moody('only=register', 'status=500')->{status}, 200, 'only=register: a session';
    is_deeply [map { moody('status=500', 'times=2')->{status} } 1 .. 3], [500, 500, 200], 'times=2';
    is moody('times=2', 'status=500')->{status}, 500, 'times: another path counts anew';
    is_deeply [map { moody('hangup-before', 'times=1')->{status} } 1 .. 2], [0, 200], 'times: hangup-before too';
    $sandbox->clear;
    is moody('status=500', 'times=2')->{status}, 500, 'clearing the record starts anew';
    is_deeply [map { my $kind = $_; $kind->('only=sessions', 'status=500', 'times=1')->{status} } \&register, \&moody, \&moody],
        [200, 500, 200], 'times with only';
    my $nested = '{"Journey":{"User":{"ContactPrefs":{"Email":"a@b"}}}}';
    is call('/journeys', $nested, moods => ['gen=journeys'])->{status},      200, 'gen=journeys: its body';
    is call('/journeys', $LEAD,   moods => ['gen=journeys'])->{status},      400, 'gen=journeys: no other';
    is call('/journeys', $LEAD,   moods => ['gen=journeys-flat'])->{status}, 200, 'gen=journeys-flat: its body';
    is call('/journeys', $nested, moods => ['gen=journeys-flat'])->{status}, 400, 'gen=journeys-flat: no other';
};

subtest 'moods that are written wrongly' => sub {
    refused(400, qr/no mood "blue"/, '/sessions', $SESSION, 'an unknown mood', moods => ['slow=1', 'blue']);
    refused(400, qr/written slow=MS/, '/sessions', $SESSION, "the mood $_", moods => [$_]) for 'slow', 'slow=', 'slow=x';
    refused(400, qr/written hang/,    '/sessions', $SESSION, 'a value too many', moods => ['hang=1']);
    is moody('status=500', 'Slow')->{status}, 400, 'a wrong mood wins over the others';
    is call('/sessions', '{}', moods => ['status=503'])->{status}, 400, 'so does a wrong request';
};

# -- links and pages -------------------------------------------------------------------------------------------

sub log_in ($answer) {
    my $login = get(link_path($answer));
    return $login->{headers}{'set-cookie'} =~ s/;.*//r;
}

sub mark ($cookie, $number) {
    return fetch(request_text('/front/done', "activity=$number", Cookie => $cookie, 'Content-Type' => 'application/x-www-form-urlencoded'));
}

subtest 'a link works once' => sub {
    $sandbox->clear;
    my $answer = moody();
    my $login  = get(link_path($answer));
    is $login->{status}, 302, 'logged in';
    is $login->{headers}{location}, '/front', 'to the front office';
    like $login->{headers}{'set-cookie'}, qr/HttpOnly; SameSite=Lax\z/, 'with a careful cookie';
    my $again = get(link_path($answer));
    is $again->{status}, 410, 'the second time is gone';
    like $again->{body}, qr/\(used\)/, 'because it was used';
    like get('/internal/v1/autologin?UUID=%3Cb%3E')->{body}, qr/\(unknown\)/, 'unknown';
    my $late = register('expire=0');
    like get(link_path($late))->{body}, qr/\(expired\)/, 'expired';
    is fetch(request_text('/internal/v1/autologin', '', method => 'HEAD', 'Content-Length' => undef, Connection => 'close'))->{status}, 405,
        'HEAD does not use it up';
    my @logins = $sandbox->logins;
    is_deeply [map { $_->{status} } @logins], [302, 410, 410, 410, 405], 'all are recorded';
    is $logins[0]{uuid}, json($answer)->{UUID}, 'with the UUID';
};

subtest 'the front office' => sub {
    my $cookie = log_in(moody());
    my $page   = get('/front', Cookie => $cookie);
    like $page->{body}, qr/<h1>Welcome, John<\/h1>/, 'greets';
    is scalar(() = $page->{body} =~ /Mark as done/g), 3, 'three activities';
    is mark($cookie, $_)->{headers}{location}, '/front', "after activity $_" for 1, 2, 2;
    is scalar(() = get('/front', Cookie => $cookie)->{body} =~ /Mark as done/g), 1, 'one is left';
    my $last = mark($cookie, 3);
    is "$last->{status} $last->{headers}{location}", '303 https://www.myapp.com/x?a=1&b=%3C', 'the last leads back';
    like get('/front', Cookie => $cookie)->{body}, qr/All done.*href="https:\/\/www\.myapp\.com\/x\?a=1&amp;b=%3C"/s, 'a way back stays';
    is mark($cookie, 4)->{status}, 400, 'no such activity';
    is get('/front')->{status}, 403, 'nobody without a cookie';
    $cookie = log_in(call('/leads', '{"Email":"a@b","Firstname":"<b>O\'Neil & \u00e9"}'));
    like get('/front', Cookie => $cookie)->{body}, qr/<h1>Welcome, &lt;b&gt;O&#39;Neil &amp; \xc3\xa9<\/h1>/, 'a name is escaped';
    mark($cookie, $_) for 1 .. 2;
    is mark($cookie, 3)->{headers}{location}, '/front', 'without RedirectURL it stays here';
    like get('/front', Cookie => $cookie)->{body}, qr/All done/, 'and says so';
    like get('/front', Cookie => log_in(call('/leads', '{"Email":"a@b"}')))->{body}, qr/Welcome, a\@b/, 'an email stands in for a name';
};

# -- the record ------------------------------------------------------------------------------------------------

subtest 'the record' => sub {
    $sandbox->clear;
    is_deeply [$sandbox->calls], [], 'empty';
    moody('slow=1');
    call('/leads?ref=r', '{"Email":"caf\u00e9@b"}', 'X-Odd' => 'a  b');
    my ($first, $second) = $sandbox->calls;
    is $second->{n}, $first->{n} + 1, 'numbered';
    is "$first->{mood} $first->{path} $first->{method} $first->{kind}", 'slow=1 /api/v1/sessions POST api', 'what it was';
    is $second->{headers}{'x-odd'}, 'a  b', 'headers';
    is $second->{body}, '{"Email":"caf\u00e9@b"}', 'the raw body';
    cmp_ok abs($first->{at} / 1000 - time), '<', 300, 'the time in milliseconds';
    my %filters = (path => '/leads', mood => '', since => $first->{n}, contains => 'caf\u00e9');
    is_deeply [map { $_->{n} } $sandbox->calls($_ => $filters{$_})], [$second->{n}], "by $_" for sort keys %filters;
    is scalar(() = $sandbox->logins), 0, 'by kind';
    call('/leads', "{\"Email\":\"\xff\"}");
    is last_call()->{body}, "{\"Email\":\"\xff\"}", 'a body that is no UTF-8 is kept';
    like last_call()->{error}, qr/UTF-8/, 'and what was wrong with it';
    is get('/_record?colour=1')->{status}, 400, 'an unknown filter is refused';
};

subtest 'connections are counted' => sub {
    my $before = $sandbox->connections;
    is $sandbox->connections->{accepted}, $before->{accepted}, 'asking does not count';
    my @sockets = map { dial() } 1 .. 5;
    ok $sandbox->wait_until(sub ($s) { $s->connections->{open} == $before->{open} + 5 }), 'five open';
    is $sandbox->connections->{accepted}, $before->{accepted} + 5, 'five accepted';
    @sockets = ();
    ok $sandbox->wait_until(sub ($s) { $s->connections->{open} == $before->{open} }), 'and closed';
};

subtest 'the README shows every mood' => sub {
    open my $in, '<', "$FindBin::Bin/README.md" or die "README.md: $!";
    my $readme = join '', <$in>;
    ok index($readme, Kohomai::Sandbox::Moods::table()) >= 0, 'its table is that of sandbox --moods';
};

# -- starting and ending ---------------------------------------------------------------------------------------

subtest 'without a key' => sub {
    my $open = Kohomai::TestSandbox->start(key => 'none');
    local $PORT = ($open->url =~ /:(\d+)\z/)[0];
    is call('/sessions', $SESSION, Authorization => undef)->{status}, 200, 'taken without Authorization';
    is call('/sessions', $SESSION)->{status}, 400, 'refused with one';
    my $attached = Kohomai::TestSandbox->attach($open->url);
    is scalar(() = $attached->calls), 2, 'another program can attach';
    my $pid = $open->pid;
    $open->stop;
    ok !kill(0, $pid), 'stopped';
    ok !eval { $attached->calls; 1 }, 'really';
};

subtest 'starting by hand' => sub {
    my $dir = tempdir(CLEANUP => 1);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', "$dir/out" or POSIX::_exit(1);
        open STDERR, '>', "$dir/err" or POSIX::_exit(1);
        exec $^X, "$FindBin::Bin/sandbox", '--port', 0, '--ready-file', "$dir/ready" or POSIX::_exit(1);
    }
    my $end = time + $PATIENCE;
    sleep 0.05 while !-e "$dir/ready" && time < $end;
    my $ready = slurp("$dir/ready");
    like $ready, qr/\Asandbox http:\/\/127\.0\.0\.1:\d+\n\z/, 'the ready file names the address';
    is slurp("$dir/out"), $ready, 'and so does stdout';
    kill 'TERM', $pid;
    waitpid $pid, 0;
    is $?, 0, 'ends cleanly on SIGTERM';
    is slurp("$dir/err"), '', 'without a word on stderr';
    ok !-e "$dir/ready", 'and the ready file is gone';
};

sub slurp ($path) {
    open my $in, '<', $path or return undef;
    return join '', <$in>;
}

subtest 'it ends when its parent is gone' => sub {
    pipe my $from, my $to or die "pipe: $!";
    my $middle = fork // die "fork: $!";
    if (!$middle) {
        my $orphan = Kohomai::TestSandbox->start;
        syswrite $to, $orphan->pid . "\n";
        POSIX::_exit(0);    # as if killed: nothing is stopped
    }
    waitpid $middle, 0;
    my $pid = <$from> + 0;
    my $end = time + $PATIENCE;
    sleep 0.05 while kill(0, $pid) && !is_zombie($pid) && time < $end;
    ok !kill(0, $pid) || is_zombie($pid), 'gone too';
};

# In a container without a proper first process nobody collects an orphan.
sub is_zombie ($pid) { return (slurp("/proc/$pid/stat") // '') =~ /\) Z / }

SKIP: {
    my $openssl = grep { -x "$_/openssl" } split /:/, $ENV{PATH};
    skip 'TLS needs openssl and IO::Socket::SSL', 1 if !$openssl || !eval { require IO::Socket::SSL; 1 };
    subtest 'TLS' => \&check_tls;
}

sub check_tls {
    my $dir  = tempdir(CLEANUP => 1);
    my @make = (qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost),
        '-keyout', "$dir/key", '-out', "$dir/cert");
    system("@make 2>/dev/null") == 0 or die 'openssl req failed';
    my $safe    = Kohomai::TestSandbox->start(tls_cert => "$dir/cert", tls_key => "$dir/key");
    my ($port)  = $safe->tls_base =~ m{\Ahttps://localhost:(\d+)/};
    my $context = IO::Socket::SSL::SSL_Context->new(SSL_ca_file => "$dir/cert", SSL_session_cache_size => 10);
    for my $resumed (0, 1) {
        my $socket = IO::Socket::SSL->new(PeerAddr => "127.0.0.1:$port", SSL_hostname => 'localhost', SSL_verifycn_name => 'localhost',
            SSL_reuse_ctx => $context, SSL_session_key => 'one') // die "TLS: $IO::Socket::SSL::SSL_ERROR";
        print {$socket} request_text('/api/v1/sessions', $SESSION, Host => "localhost:$port", Connection => 'close');
        like join('', <$socket>), qr{"ConnectionURL":"http://localhost:$port/internal}, 'the documented http link, of the TLS port';
        my ($call) = ($safe->calls)[-1];
        ok $call->{tls}, 'the record says TLS';
        is !!$call->{tls_resumed}, !!$resumed, $resumed ? 'resumed' : 'not resumed';
        close $socket;
    }
}

# -- load ------------------------------------------------------------------------------------------------------

# Clients of one event loop; each counts once as answered when its whole answer is there.
sub open_calls ($many, $mood, $answered) {
    my $text = request_text(path_of($sandbox->base($mood)) . '/sessions', $SESSION);
    my @ids;
    for (1 .. $many) {
        push @ids, Mojo::IOLoop->client({address => '127.0.0.1', port => $PORT} => sub ($loop, $error, $stream) {
            return if $error;
            my $bytes = '';
            $stream->timeout(0);
            $stream->on(error => sub { });
            $stream->on(read  => sub ($stream, $more) {
                $bytes .= $more;
                $$answered++ if is_whole($bytes) && understand($bytes, 0)->{status} == 200;
            });
            $stream->write($text);
        });
    }
    return @ids;
}

sub run_until ($check) {
    my $end = time + 2 * $PATIENCE;
    my $tick = Mojo::IOLoop->recurring(0.1 => sub { Mojo::IOLoop->stop if $check->() || time > $end });
    Mojo::IOLoop->start;
    Mojo::IOLoop->remove($tick);
    return $check->();
}

subtest 'thousands of idle calls' => sub {
    my $files = `/bin/sh -c 'ulimit -n'` + 0;
    my $many  = $files > 3200 ? 3000 : $files - 200;
    diag "only $many calls: this machine allows $files open files" if $many < 3000;
    my ($answered, $none) = (0, 0);
    my @ids = open_calls($many, 'hang', \$none);
    ok run_until(sub { $sandbox->connections->{waiting} == $many }), "$many hanging calls are held";
    is moody()->{status}, 200, 'another is answered meanwhile';
    is $none, 0, 'none of the hanging ones is';
    Mojo::IOLoop->remove($_) for @ids;
    ok run_until(sub { $sandbox->connections->{waiting} == 0 }), 'all given up';
    $sandbox->clear;
    @ids = open_calls($many, 'slow=4000', \$answered);
    my $most = 0;
    ok run_until(sub { my $now = $sandbox->connections->{waiting}; $most = $now if $now > $most; $answered == $many }),
        "$many slow calls are answered";
    note "at most $most at a time";
    is scalar(() = $sandbox->calls(mood => 'slow=4000')), $many, 'and recorded';
    Mojo::IOLoop->remove($_) for @ids;
};

$sandbox->stop;
done_testing;
