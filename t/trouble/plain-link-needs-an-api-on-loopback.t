# A link with http:// is taken where the API is http on loopback, and nowhere else: KohomaiInsecure lets the module speak to an
# API over plain http, but sends no visitor's browser over it.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

# Names under localhost lead to this machine, but only these three stand for it: localhost, 127.0.0.0/8, [::1].
my $rig = 'api.localhost:${KOHOMAI_SANDBOX_PORT}';
my $httpd = start_httpd(<<"END");
KohomaiAPIKey   sandbox-key
KohomaiInsecure On
<Location "/">
    KohomaiJourney 74590868830731162
</Location>
<Location "/loopback">
    KohomaiHandoff On
    KohomaiBaseURL "http://localhost:\${KOHOMAI_SANDBOX_PORT}/api/v1"
</Location>
<Location "/rig/http">
    KohomaiHandoff On
    KohomaiBaseURL "http://$rig/m/link-host=$rig/api/v1"
</Location>
<Location "/rig/https">
    KohomaiHandoff On
    KohomaiBaseURL "http://$rig/m/link=https%3A%2F%2F$rig%2Fa/api/v1"
</Location>
END
my $port = sandbox()->url =~ s/.*://r;

like $httpd->request(GET => '/loopback')->header('Location'), qr{^http://localhost:$port/}, 'http from an API on loopback';
is $httpd->request(GET => '/rig/https')->header('Location'), "https://api.localhost:$port/a", 'https from a plain API elsewhere';
is $httpd->request(GET => '/rig/http')->status, 502, 'http from a plain API elsewhere';
like $httpd->access_log, qr/^outcome=failed reason="\S+" call=sessions api_status=200 .*http HTTP/m, 'is a failure';

is $httpd->stop, 0, 'httpd ends in order';
done_testing;
