# Whatever the API answers, the visitor gets one of the documented outcomes, the same for known and for new visitors; a link
# that may not be passed on is shown to nobody, and no redirect is followed.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

# mood => [outcome, status, what the API answered as the log has it]
my %outcome = (
    # Statuses
    'status=200'                 => ['handed-off', 302, 200],
    'status=201'                 => ['handed-off', 302, 201],
    'status=300'                 => ['failed', 502, 300],
    'status=304'                 => ['failed', 502, 304],
    'redirect'                   => ['failed', 502, 302],
    'redirect=http%3A%2F%2F127.0.0.1%3A${KOHOMAI_SANDBOX_PORT}%2Fapi%2Fv1%2Fsessions' => ['failed', 502, 302],
    'status=307'                 => ['failed', 502, 307],
    'status=400'                 => ['invalid', 422, 400],
    'status=401'                 => ['refused', 502, 401],
    'status=402'                 => ['refused', 502, 402],
    'status=403'                 => ['refused', 502, 403],
    'status=404'                 => ['refused', 404, 404],
    'status=405'                 => ['refused', 502, 405],
    'status=408'                 => ['refused', 502, 408],
    'status=409'                 => ['invalid', 422, 409],
    'status=410'                 => ['refused', 502, 410],
    'status=418'                 => ['refused', 502, 418],
    'status=422'                 => ['invalid', 422, 422],
    'status=429'                 => ['unavailable', 503, 429],
    'status=429,retry-after=7'   => ['unavailable', 503, 429],
    'status=429,retry-after=soon' => ['unavailable', 503, 429],
    'status=429,retry-after=0'   => ['unavailable', 503, 429],
    'status=500'                 => ['failed', 502, 500],
    'status=501'                 => ['failed', 502, 501],
    'status=502'                 => ['failed', 502, 502],
    'status=503'                 => ['failed', 502, 503],
    'status=503,retry-after=7'   => ['failed', 502, 503],
    'status=504'                 => ['failed', 502, 504],
    'status=599'                 => ['failed', 502, 599],

    # Transport
    'hangup-before'              => ['failed', 502, qr/-|0/],
    'hangup-after'               => ['failed', 502, qr/-|0/],
    'cut'                        => ['failed', 502, qr/\S+/],
    'cut,chunked'                => ['failed', 502, qr/\S+/],
    'garbage'                    => ['failed', 502, qr/-|0/],
    'chunked'                    => ['handed-off', 302, 200],
    'drip=1'                     => ['handed-off', 302, 200],
    'keep-alive=off'             => ['handed-off', 302, 200],

    # Bodies
    'garbage-json'               => ['failed', 502, 200],
    'huge'                       => ['failed', 502, qr/\S+/],
    'huge,chunked'               => ['failed', 502, qr/\S+/],
    'huge=65536'                 => ['handed-off', 302, 200],
    'huge=65537'                 => ['failed', 502, qr/\S+/],
    'huge=65537,chunked'         => ['failed', 502, qr/\S+/],
    'wrong-charset'              => ['failed', 502, 200],
    'wrong-charset=utf-16'       => ['failed', 502, 200],
    'duplicate-keys'             => ['failed', 502, 200],
    'deep'                       => ['failed', 502, 200],

    # Links
    'http-link'                  => ['handed-off', 302, 200],
    'https-link'                 => ['handed-off', 302, 200],
    'foreign-link'               => ['failed', 502, 200],
    'user-info-link'             => ['failed', 502, 200],
    'backslash-link'             => ['failed', 502, 200],
    'nul'                        => ['failed', 502, 200],
    'control'                    => ['failed', 502, 200],
    'long-link=8190'             => ['handed-off', 302, 200],
    'long-link=8191'             => ['failed', 502, 200],
    'link=javascript%3Aalert%281%29'   => ['failed', 502, 200],
    'link=%2Finternal%2Fv1%2Fautologin' => ['failed', 502, 200],
    'link=%2F%2F127.0.0.1%2F'          => ['failed', 502, 200],
    'link=%20'                         => ['failed', 502, 200],
    'link=http%3A%2F%2F127.0.0.1%3A${KOHOMAI_SANDBOX_PORT}%2F%09a'        => ['failed', 502, 200],
    'link=http%3A%2F%2F127.0.0.1%3A${KOHOMAI_SANDBOX_PORT}%2F%0D%0Aa'     => ['failed', 502, 200],
    'link=http%3A%2F%2F127.0.0.1%3A${KOHOMAI_SANDBOX_PORT}%2F%7F'         => ['failed', 502, 200],
    'link=http%3A%2F%2F127.0.0.1%3A${KOHOMAI_SANDBOX_PORT}%40evil.example%2F' => ['failed', 502, 200],
    'link=ftp%3A%2F%2F127.0.0.1%3A${KOHOMAI_SANDBOX_PORT}%2F'             => ['failed', 502, 200],
);
my @moods = sort keys %outcome;
my $httpd = start_httpd(join '', "KohomaiAPIKey sandbox-key\nKohomaiTimeout 20s\nLogLevel kohomai:trace8\n", map { location($_) } 0 .. $#moods);
my $api   = sandbox();

for my $n (0 .. $#moods) {
    for my $who (qw(known new)) {
        ends($moods[$n], "/$who/$n/", @{$outcome{$moods[$n]}});
    }
}

unlike $httpd->error_log, qr/UUID=|autologin|evil\.example|sandbox-key|john\@example/, 'no log shows a link, a key or an address';
is $httpd->stop, 0, 'httpd ends in order';
unlike $httpd->error_log, qr/exit signal|Sanitizer/, 'and no child crashed';
done_testing;

sub location {
    my ($n) = @_;
    my $base = "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/m/$moods[$n]/api/v1";
    return <<"END";
<Location "/known/$n/">
    KohomaiHandoff session
    KohomaiJourney 74590868830731162
    KohomaiBaseURL "$base"
</Location>
<Location "/new/$n/">
    KohomaiHandoff register
    KohomaiLead    Email john\@example.com
    KohomaiBaseURL "$base"
</Location>
END
}

sub ends {
    my ($mood, $path, $outcome, $status, $api_status) = @_;
    $api->clear;
    my $name   = ($path =~ m{/(\w+)/})[0] . ", $mood";
    my $answer = $httpd->request(GET => $path);
    my @calls  = $api->calls;
    my $call   = $path =~ /known/ ? 'sessions' : 'journeys';

    is $answer->status, $status, "$name: the status";
    like access_log($path), qr/^outcome=$outcome reason="[a-z0-9-]+" call=$call api_status=$api_status time_us=\d+ status=$status /, "$name: the outcome";
    is $answer->header('Cache-Control'),   'no-store',    "$name: not stored";
    is $answer->header('Referrer-Policy'), 'no-referrer', "$name: no referrer";
    is_deeply [map { $_->{path} } grep { $_->{mood} eq '' } @calls], [], "$name: nobody followed a redirect";
    is scalar(@calls), $mood eq 'hangup-before' ? 0 : 1, "$name: registered once" if $call eq 'journeys';
    if ($outcome eq 'handed-off') {
        return like $answer->header('Location'), qr{^https?://127\.0\.0\.1:\d+/internal/v1/autologin\?UUID=\Q$calls[-1]{uuid}\E}, "$name: the link";
    }
    is $answer->header('Location'), undef, "$name: no link";
    unlike $answer->head . $answer->body, qr/UUID|autologin|evil|error"|mood/i, "$name: nothing of what the API said";
    my ($after) = $mood =~ /retry-after=(\d+)/;
    like $answer->header('Retry-After') // '', $outcome ne 'unavailable' ? qr/^$/ : $after ? qr/^$after$/ : qr/^[1-9]\d*$/, "$name: when to come again";
}

# httpd writes the line when the answer is out already.
sub access_log {
    my ($path) = @_;
    for (1 .. 500) {
        my ($line) = grep {m{ \Q$path\E HTTP/}} split /^/, $httpd->access_log;
        return $line if $line;
        select undef, undef, undef, 0.02;
    }
    return '';
}
