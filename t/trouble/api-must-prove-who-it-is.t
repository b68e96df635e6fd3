# Over TLS the API's certificate must be one that is trusted and name the API's host, or nothing is sent. The documented link
# begins with http://: it is upgraded, since the API is https.
use strict;
use warnings;
use Test::More;
use File::Temp;
use Kohomai::TestServer;
use Kohomai::TestSandbox;

my $folder = File::Temp->newdir;
my $other  = sandbox_with_certificate('other.example');
my $api    = sandbox();

my $httpd = start_httpd(<<"END");
KohomaiAPIKey sandbox-key
<Location "/">
    KohomaiJourney 74590868830731162
    KohomaiBaseURL "\${KOHOMAI_SANDBOX_TLS}/api/v1"
</Location>
<LocationMatch "^/(untrusted|trusted|https-link|foreign|numbered)\$">
    KohomaiHandoff On
</LocationMatch>
<LocationMatch "^/(trusted|https-link|foreign|numbered|other)\$">
    KohomaiCAFile "\${KOHOMAI_TLS_CERT}"
</LocationMatch>
<Location "/numbered">
    KohomaiBaseURL "@{[$ENV{KOHOMAI_SANDBOX_TLS} =~ s/localhost/127.0.0.1/r]}/api/v1"
</Location>
<Location "/https-link">
    KohomaiBaseURL "\${KOHOMAI_SANDBOX_TLS}/m/https-link/api/v1"
</Location>
<Location "/foreign">
    KohomaiBaseURL "\${KOHOMAI_SANDBOX_TLS}/m/foreign-link/api/v1"
</Location>
<Location "/other">
    KohomaiHandoff On
    KohomaiCAFile  "$folder/other.example.crt"
    KohomaiBaseURL "@{[$other->tls_base]}"
</Location>
<Location "/port-80">
    KohomaiHandoff   On
    KohomaiCAFile    "\${KOHOMAI_TLS_CERT}"
    KohomaiBaseURL   "\${KOHOMAI_SANDBOX_TLS}/m/link-host=app.kohomai.com/api/v1"
    KohomaiAllowLink app.kohomai.com
</Location>
END

for my $path (qw(untrusted other)) {
    $_->clear for $api, $other;
    is $httpd->request(GET => "/$path")->status, 502, "$path: failed";
    is_deeply [map { $_->calls } $api, $other], [], "$path: nothing was sent";
}
is scalar(my @failed = $httpd->access_log =~ /^outcome=failed reason="\S+" call=sessions /mg), 2, 'the outcomes';

for my $path (qw(trusted https-link numbered)) {
    $api->clear;
    my $answer = $httpd->request(GET => "/$path");
    my ($call) = $api->calls;
    is $answer->status, 302, "$path: handed off";
    ok $call->{tls}, "$path: over TLS";
    my $host = $path eq 'numbered' ? '127.0.0.1' : 'localhost';
    my ($port) = $ENV{KOHOMAI_SANDBOX_TLS} =~ /:(\d+)$/;
    is $answer->header('Location'), "https://$host:$port/internal/v1/autologin?UUID=$call->{uuid}", "$path: the link is https";
}
is $httpd->request(GET => '/foreign')->status, 502, 'a foreign link is none over TLS either';
like $httpd->request(GET => '/port-80')->header('Location'), qr{^https://app\.kohomai\.com/internal}, 'a documented link is upgraded with its port';

is $httpd->stop, 0, 'httpd ends in order';
done_testing;

sub sandbox_with_certificate {
    my ($name) = @_;
    my ($key, $crt) = map {"$folder/$name.$_"} qw(key crt);
    my @make = (qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2), '-subj', "/CN=$name",
        '-addext', "subjectAltName=DNS:$name", '-keyout', $key, '-out', $crt);
    system("@make >'$folder/openssl.out' 2>&1") == 0 or die "openssl failed\n";
    return Kohomai::TestSandbox->start(tls_cert => $crt, tls_key => $key);
}
