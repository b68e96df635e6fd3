# Authentication and authorisation come before the handoff: whoever is not let in gets httpd's own answer and no call is made;
# whoever is let in can be known by REMOTE_USER, and by what the authentication put into the environment.
use strict;
use warnings;
use Test::More;
use MIME::Base64 qw(encode_base64);
use Kohomai::TestServer;

my $sandbox = sandbox();
my $httpd = start_httpd(<<'END');
KohomaiAPIKey sandbox-key
KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/api/v1"
<LocationMatch "^/(member|john|lead|blog/member|php/echo\.php/member)">
    AuthType       Basic
    AuthName       "Members"
    AuthUserFile   "${USERS}"
    Require        valid-user
    KohomaiHandoff On
    KohomaiJourney 12
</LocationMatch>
<Location "/john">
    Require        user john
</Location>
<Location "/lead">
    KohomaiHandoff register
    KohomaiLead    Email "%{REMOTE_USER}@example.com"
</Location>
<Location "/nobody">
    Require        all denied
    KohomaiHandoff On
    KohomaiJourney 12
</Location>
<Location "/elsewhere">
    Require        ip 192.0.2.1
    KohomaiHandoff On
    KohomaiJourney 12
</Location>
<Location "/journey-of-user">
    AuthType       Basic
    AuthName       "Members"
    AuthUserFile   "${DIR}/numbers"
    Require        valid-user
    KohomaiHandoff On
    KohomaiJourney %{REMOTE_USER}
</Location>
END
open my $out, '>', $httpd->dir . '/numbers' or die $!;
print {$out} "74590868830731162:{SHA}BtdFpapPBerd9ClxvHgmRit1bfI=\n";
close $out or die $!;

for my $path (qw(/member /john /lead /blog/member /php/echo.php/member /journey-of-user)) {
    for my $row (['no password'], ['a wrong password', 'john:juniper'], ['a stranger', 'mallory:rowan-berry']) {
        my ($what, $login) = @$row;
        my ($answer, @calls) = ask($path, $login);
        is $answer->status, 401, "$path: $what is not let in";
        like $answer->header('WWW-Authenticate'), qr/^Basic realm="Members"/, 'and asked for one';
        is scalar @calls, 0, 'and nobody is called';
    }
}
for my $path (qw(/nobody /elsewhere)) {
    my ($answer, @calls) = ask($path);
    is $answer->status, 403, "$path is closed to this visitor";
    is $answer->header('Location'), undef, 'and leads nowhere';
    is scalar @calls, 0, 'and nobody is called';
}
my ($answer, @calls) = ask('/john', 'jane:rowan-berry');
is $answer->status, 401, 'jane is not john';
is scalar @calls, 0, 'and nobody is called';

body('/member', 'john', '{"Journey":{"Id":12}}', 'whoever is let in is handed off');
body('/blog/member', 'john', '{"Journey":{"Id":12}}', 'before a front controller, too');
body('/john', 'john', '{"Journey":{"Id":12}}', 'john is john');
body('/journey-of-user', '74590868830731162', '{"Journey":{"Id":74590868830731162}}', 'REMOTE_USER can be the id itself');
($answer, @calls) = ask('/lead', 'jane:rowan-berry');
like $calls[0]{body}, qr/"jane\@example\.com"/, 'or part of an email';
is scalar(grep { index($_->{body} . join(' ', %{$_->{headers}}), 'rowan') >= 0 || exists $_->{headers}{cookie} } @calls), 0, 'the password is not passed on';

is $httpd->stop, 0, 'the server ends in order';
done_testing;

sub body {
    my ($path, $user, $body, $what) = @_;
    my ($answer, @calls) = ask($path, "$user:rowan-berry");
    is $answer->status, 302, $what;
    is join(' ', map { $_->{body} } @calls), $body, 'as who they are';
}

sub ask {
    my ($path, $login) = @_;
    $sandbox->clear;
    my @headers = $login ? (headers => [Authorization => 'Basic ' . encode_base64($login, '')]) : ();
    my $answer = $httpd->request(GET => $path, @headers);
    return ($answer, $sandbox->calls);
}
