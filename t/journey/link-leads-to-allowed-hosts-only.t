# A one-time link may lead to the API's own host, or to the hosts that KohomaiAllowLink names instead. Any other is not passed on.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

# [hosts that are allowed, the link's host, whether it may be used]
my @cases = (
    [undef,                        '127.0.0.1:${KOHOMAI_SANDBOX_PORT}', 1],
    [undef,                        'localhost:${KOHOMAI_SANDBOX_PORT}', 0],
    [undef,                        '127.0.0.1',                         0],
    [undef,                        '127.0.0.1:1',                       0],
    [undef,                        '127.1:${KOHOMAI_SANDBOX_PORT}',     0],
    [undef,                        'app.kohomai.com',                   0],
    ['app.kohomai.com',            'app.kohomai.com',                   1],
    ['app.kohomai.com',            'APP.Kohomai.COM',                   1],
    ['app.kohomai.com',            'app.kohomai.com:80',                1],
    ['app.kohomai.com',            'app.kohomai.com:8080',              0],
    ['app.kohomai.com',            'app.kohomai.com.evil.example',      0],
    ['app.kohomai.com',            'evil-app.kohomai.com',              0],
    ['app.kohomai.com',            '127.0.0.1:${KOHOMAI_SANDBOX_PORT}', 0],
    ['*.kohomai.com',              'app.kohomai.com',                   1],
    ['*.kohomai.com',              'a.b.kohomai.com',                   1],
    ['*.kohomai.com',              'kohomai.com',                       0],
    ['*.kohomai.com',              'notkohomai.com',                    0],
    ['a.example app.kohomai.com',  'app.kohomai.com',                   1],
    ['app.kohomai.com:8080',       'app.kohomai.com:8080',              1],
    ['app.kohomai.com:8080',       'app.kohomai.com',                   0],
);
my $httpd = start_httpd(join '', "KohomaiAPIKey sandbox-key\n", map { location($_, @{$cases[$_]}) } 0 .. $#cases);

for my $n (0 .. $#cases) {
    my ($allowed, $host, $good) = @{$cases[$n]};
    my $name   = "a link to $host where " . ($allowed // "the API's host") . ' is allowed';
    my $answer = $httpd->request(GET => "/case-$n/");
    is $answer->status, $good ? 302 : 502, $name;
    my $link = lc "http://$host/internal/v1/autologin?UUID=" =~ s/\$\{(\w+)\}/$ENV{$1}/r =~ s/:80\b(?!\d)//r;
    is lc(substr $answer->header('Location') // '', 0, length $link), $good ? $link : '', "$name: the answer";
    unlike $answer->body, qr/UUID|autologin/, "$name: it is nowhere else" if !$good;
}
my $refused = grep { !$_->[2] } @cases;
is scalar(my @failed = $httpd->access_log =~ /^outcome=failed reason="[a-z0-9-]+" call=sessions api_status=200 /mg), $refused, 'the outcomes';

is $httpd->stop, 0, 'httpd ends in order';
done_testing;

sub location {
    my ($n, $allowed, $host) = @_;
    my $allow = $allowed ? "KohomaiAllowLink $allowed" : '';
    return <<"END";
<Location "/case-$n/">
    KohomaiHandoff On
    KohomaiJourney 74590868830731162
    KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/m/link-host=$host/api/v1"
    $allow
</Location>
END
}
