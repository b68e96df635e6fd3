# A register answer that names an id but no link is followed by a session for exactly that id. Only a number of 1 to 20 digits,
# or a string of them, is an id.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my @taken   = qw(string twenty);
my @refused = qw(negative fraction exponent twentyone leading-zero object);

my $api = sandbox();
my $config = join '', map { location($_) } (map { ("id-form=$_", "id-form=$_,no-journey") } @taken, @refused, 'null'), 'chunked';
my $httpd = start_httpd("KohomaiAPIKey sandbox-key\n$config");

for my $mood ('chunked', map {"id-form=$_"} @taken) {
    follows($mood, 'Journey');
}
for my $mood (map {"id-form=$_,no-journey"} @taken) {
    follows($mood, 'User');
}
for my $mood (map { ("id-form=$_", "id-form=$_,no-journey") } @refused) {
    my ($answer, @calls) = visit($mood);
    is $answer->status, 502, "$mood: failed";
    is_deeply [map { $_->{path} } @calls], ['/api/v1/journeys'], "$mood: no session is opened";
    like $httpd->access_log, qr/^outcome=failed reason="\S+" call=journeys api_status=200 .*\Q$mood\E/m, "$mood: the outcome";
}
my ($answer, @calls) = visit('id-form=null');
is $answer->status, 204, 'an id that is null is none: registered';
is scalar @calls, 1, 'and no session is opened';

is $httpd->stop, 0, 'httpd ends in order';
done_testing;

sub location {
    my ($mood) = @_;
    return <<"END";
<Location "/$mood">
    KohomaiHandoff On
    KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/m/no-link,only=register,$mood/api/v1"
    KohomaiLead    Email john\@example.com
</Location>
END
}

sub visit {
    my ($mood) = @_;
    $api->clear;
    return ($httpd->request(GET => "/$mood"), $api->calls);
}

sub follows {
    my ($mood, $kind) = @_;
    my ($answer, $register, $session) = visit($mood);
    is $answer->status, 302, "$mood: handed off";
    is $register->{path}, '/api/v1/journeys', "$mood: registered first";
    is $session->{body}, qq({"$kind":{"Id":$register->{ids}{$kind}}}), "$mood: the session is for the same digits";
    is $session->{status}, 200, "$mood: which the API knows";
    like $answer->header('Location'), qr/UUID=\Q$session->{uuid}\E$/, "$mood: its link";
}
