# The API may register somebody and give no link. Then a session is opened for the id that the answer names, a journey's before
# a user's, with the same return address; where the answer names none, the visitor goes to the return address, or nowhere.
# Both calls together keep within KohomaiTimeout.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my %moods = (
    'both'     => 'no-link,only=register',
    'user'     => 'no-link,no-journey,only=register',
    'journey'  => 'no-link,no-user,only=register',
    'neither'  => 'no-link-no-id',
    'empty'    => 'empty',
    'none'     => 'empty=204',
    'created'  => 'status=201',
    'accepted' => 'status=202,empty',
    'never'    => 'no-link',
    'slow'     => 'slow=700,no-link',
);
my $config = "KohomaiAPIKey sandbox-key\n" . join '', map { location($_, $moods{$_}) } sort keys %moods;
my $httpd  = start_httpd($config);
my $api    = sandbox();

for my $case (['both', 'Journey'], ['user', 'User'], ['journey', 'Journey']) {
    my ($mood, $kind) = @$case;
    my ($answer, $register, $session, @more) = visit("/$mood");
    is $answer->status, 303, "$mood: handed off";
    is "$register->{path} $session->{path}", '/api/v1/journeys /api/v1/sessions', "$mood: registered, then a session";
    is $session->{body}, qq({"$kind":{"Id":$register->{ids}{$kind}}}), "$mood: for the id in the answer";
    like $answer->header('Location'), qr/UUID=\Q$session->{uuid}\E$/, "$mood: with the session's link";
    is scalar @more, 0, "$mood: and no further call";
    like access_log("/$mood"), qr/^outcome=handed-off reason="-" call=sessions api_status=200 /, "$mood: in the log";
}
my (undef, $register, $session) = visit('/both/return');
is $session->{body}, qq({"Journey":{"Id":$register->{ids}{Journey}},"RedirectURL":"http://www.myapp.com/done"}),
    'the session has the same return address';

# Registered it is, but there is neither link nor id.
for my $mood (qw(neither empty none accepted)) {
    my ($answer, @calls) = visit("/$mood");
    is $answer->status, 204, "$mood: registered, and nothing more to say";
    is $answer->header('Location'), undef, "$mood: no link";
    is_deeply [$answer->header('Cache-Control'), $answer->header('Referrer-Policy')], ['no-store', 'no-referrer'], "$mood: protected";
    is scalar @calls, 1, "$mood: registered once";
    like access_log("/$mood"), qr/^outcome=registered reason="-" call=journeys api_status=20\d /, "$mood: in the log";

    ($answer, @calls) = visit("/$mood/return");
    is $answer->status, 303, "$mood: there is a return address";
    is $answer->header('Location'), 'http://www.myapp.com/done', "$mood: to which the visitor goes";
    is scalar @calls, 1, "$mood: registered once";
    is request_get("/$mood/return")->status, 302, "$mood: the same by GET";

    $answer = request_get("/$mood/return", Accept => 'application/json');
    like $answer->status, qr/^2/, "$mood: a program hears that it went well";
}
my ($answer) = visit('/created');
is $answer->status, 303, '201 is as good as 200';

# A session that gives no link is a failure: nothing would come after it.
($answer, my @calls) = visit('/never');
is $answer->status, 502, 'neither call gives a link';
is join(' ', map { $_->{path} } @calls), '/api/v1/journeys /api/v1/sessions', 'and nobody is registered again';
like access_log('/never'), qr/^outcome=failed reason="\S+" call=sessions api_status=200 /, 'in the log';

# Each call alone is fast enough, both together are not. (If each had the whole time, the second would end as at /never.)
($answer) = visit('/slow');
is $answer->status, 504, 'both calls share the time';
like access_log('/slow'), qr/^outcome=timeout /, 'in the log';
my ($time) = access_log('/slow') =~ /time_us=(\d+)/;
cmp_ok $time, '<', 30_000_000, 'which is soon over';

is $httpd->stop, 0, 'httpd ends in order';
done_testing;

sub location {
    my ($name, $mood) = @_;
    return <<"END";
<Location "/$name">
    KohomaiHandoff On
    KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/m/$mood/api/v1"
    KohomaiLead    Email john\@example.com
    KohomaiTimeout @{[$name eq 'slow' ? '1s' : '20s']}
</Location>
<Location "/$name/return">
    KohomaiRedirectURL http://www.myapp.com/done
    KohomaiAllowReturn www.myapp.com
</Location>
END
}

sub visit {
    my ($path) = @_;
    $api->clear;
    my $answer = $httpd->request(POST => $path, body => '', headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
    return ($answer, $api->calls);
}

sub request_get {
    my ($path, @headers) = @_;
    return $httpd->request(GET => $path, headers => \@headers);
}

# The last line about a path; httpd writes it when the answer is out already.
sub access_log {
    my ($path) = @_;
    my @lines;
    for (1 .. 500) {
        @lines = grep {m{ \Q$path\E HTTP/}} split /^/, $httpd->access_log;
        return $lines[-1] if @lines;
        select undef, undef, undef, 0.02;
    }
    return '';
}
