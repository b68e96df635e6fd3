# A visitor with an email and without an id is registered in the generation of the site's choice: body, path and query are
# those of the API's documentation, byte for byte, and what is empty is left out.
use strict;
use warnings;
use utf8;
use Test::More;
use Kohomai::TestServer;

my $api = sandbox();

my %john = (email => 'johndoe@gmail.com', firstname => 'John', lastname => 'Doe', phone => '+1 (800) 555-0175',
    ref => 'demo', next => 'https://www.myapp.com', colour => 'example', size => 'très grand');

registers('leads', '/api/v1/leads', 'ref=demo', \%john,
    '{"Email":"johndoe@gmail.com","Firstname":"John","Lastname":"Doe","PhoneNumber":"+1 (800) 555-0175",'
        . '"RedirectURL":"https://www.myapp.com",'
        . '"JourneyData":[{"Name":"My datapoint","Value":"example"},{"Name":"Größe","Value":"très grand"}]}');
registers('journeys', '/api/v1/journeys', 'ref=demo', \%john,
    '{"RedirectURL":"https://www.myapp.com","Journey":{"User":{"Firstname":"John","Lastname":"Doe",'
        . '"ContactPrefs":{"Email":"johndoe@gmail.com"}},'
        . '"JourneyData":[{"StringValue":"example","DataPoint":{"Id":123456789}},'
        . '{"StringValue":"très grand","DataPoint":{"Id":18446744073709551615}}]}}');
registers('journeys-flat', '/api/v1/journeys', 'ref=demo', \%john,
    '{"Email":"johndoe@gmail.com","Firstname":"John","Lastname":"Doe","PhoneNumber":"+1 (800) 555-0175",'
        . '"RedirectURL":"https://www.myapp.com",'
        . '"JourneyData":[{"StringValue":"example","DataPoint":{"Id":123456789}},'
        . '{"StringValue":"très grand","DataPoint":{"Id":18446744073709551615}}]}');
registers('workflows', '/api/v1/workflows/74590868830731165/register', undef, \%john,
    '{"RedirectURL":"https://www.myapp.com","User":{"Firstname":"John","Lastname":"Doe",'
        . '"UsrContactPrefs":{"PersonalEmail":"johndoe@gmail.com"}}}');

# Only the email is mandatory.
my %bare = (email => 'johndoe@gmail.com', firstname => '', colour => '');
registers('leads',         '/api/v1/leads',    undef, \%bare, '{"Email":"johndoe@gmail.com"}');
registers('journeys',      '/api/v1/journeys', undef, \%bare, '{"Journey":{"User":{"ContactPrefs":{"Email":"johndoe@gmail.com"}}}}');
registers('journeys-flat', '/api/v1/journeys', undef, \%bare, '{"Email":"johndoe@gmail.com"}');
registers('workflows', '/api/v1/workflows/74590868830731165/register', undef, \%bare,
    '{"User":{"UsrContactPrefs":{"PersonalEmail":"johndoe@gmail.com"}}}');
registers('leads', '/api/v1/leads', undef, {%bare, size => 'M', lastname => 'Doe'},
    '{"Email":"johndoe@gmail.com","Lastname":"Doe","JourneyData":[{"Name":"Größe","Value":"M"}]}');

# What JSON must escape, and what it need not.
registers('leads', '/api/v1/leads', undef, {email => 'zoë@exämple.org', firstname => 'Zoë "Z" \\ O\'Hara </script>', colour => "a\tb\r\nc"},
    '{"Email":"zoë@exämple.org","Firstname":"Zoë \"Z\" \\\\ O\'Hara </script>",'
        . '"JourneyData":[{"Name":"My datapoint","Value":"a\tb\r\nc"}]}' =~ s/\t/\\t/r =~ s/\r\n/\\r\\n/r);

# The reference is URL-encoded, and arrives as it was.
for my $ref ('a b&c=d', 'ü/?#%41', '100%', "it's+plus") {
    $api->clear;
    is join_as('leads', {email => 'johndoe@gmail.com', ref => $ref})->status, 303, "the reference $ref";
    my ($call) = $api->calls;
    is $call->{ref}, $ref, 'arrives';
    unlike $call->{query}, qr/[^!-~]|.=.*[&=]/, "well encoded: $call->{query}";
}

# A login is a fact as good as a form.
$api->clear;
is request(GET => '/journey/member')->status, 401, 'whoever has not signed in';
is_deeply [$api->calls], [], 'is not registered';
is request(GET => '/journey/member', headers => [Authorization => 'Basic am9objpyb3dhbi1iZXJyeQ=='])->status, 302, 'whoever has';
is_deeply [map {"$_->{query} $_->{body}"} $api->calls], ['ref=demo {"Journey":{"User":{"ContactPrefs":{"Email":"john@example.com"}}}}'],
    'is, by the name of the login';
is_deeply [map { $_->{headers}{authorization} } $api->calls], ['Bearer sandbox-key'], "and the visitor's password goes nowhere";

done_testing;

sub join_as {
    my ($api_name, $fields) = @_;
    my $body = join '&', map {"$_=" . encoded($fields->{$_})} sort keys %$fields;
    return request(POST => "/journey/join/$api_name", body => $body, headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
}

sub encoded {
    my ($text) = @_;
    utf8::encode($text);
    return $text =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
}

sub registers {
    my ($api_name, $path, $query, $fields, $body) = @_;
    $api->clear;
    my $answer = join_as($api_name, $fields);
    my @calls  = $api->calls;
    is $answer->status, 303, "$api_name: the visitor is sent on after a form";
    is scalar @calls, 1, "$api_name: by a single call";
    is $calls[0]{path},   $path,  "$api_name: its path";
    is $calls[0]{query},  $query, "$api_name: its query";
    is $calls[0]{body},   $body,  "$api_name: its body";
    is $calls[0]{status}, 200,    "$api_name: which the API takes: " . ($calls[0]{error} // '');
    like $answer->header('Location'), qr/UUID=\Q$calls[0]{uuid}\E$/, "$api_name: the link is that of the answer";
}
