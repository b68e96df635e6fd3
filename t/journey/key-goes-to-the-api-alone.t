# The key goes out as a bearer token, where there is one; each path can have its own. It reaches neither visitor nor log.
use strict;
use warnings;
use Test::More;
use File::Temp;
use Kohomai::TestServer;
use Kohomai::TestSandbox;

my $api    = sandbox();
my $silent = Kohomai::TestSandbox->start(key => 'none');
my $folder = File::Temp->newdir;
open my $file, '>', "$folder/key" or die "$folder/key: $!\n";
print {$file} "  sandbox-key \r\n";
close $file;

my $paths = join '', map { <<"END" } qw(literal file command variable outer);
<Location "/$_">
    KohomaiHandoff On
    KohomaiJourney 74590868830731162
    KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/api/v1"
</Location>
END
my $httpd = start_httpd($paths . <<"END", env => {THE_KEY => 'sandbox-key'});
LogLevel kohomai:trace8
KohomaiAPIKey another-key
<Location "/literal">
    KohomaiAPIKey sandbox-key
</Location>
<Location "/file">
    KohomaiAPIKey file:$folder/key
</Location>
<Location "/command">
    KohomaiAPIKey "exec:/bin/echo sandbox-key"
</Location>
<Location "/variable">
    KohomaiAPIKey env:THE_KEY
</Location>
END
for my $path (qw(literal file command variable)) {
    $api->clear;
    is $httpd->request(GET => "/$path")->status, 302, "$path: the API takes the key";
    is_deeply [map { $_->{headers}{authorization} } $api->calls], ['Bearer sandbox-key'], "$path: it is sent as it is";
}
$api->clear;
my $answer = $httpd->request(GET => '/outer');
is $answer->status, 502, 'the API refuses another key';
is_deeply [map { $_->{headers}{authorization} } $api->calls], ['Bearer another-key'], 'which is the outer one';
unlike $answer->head . $answer->body, qr/another-key|sandbox-key/, 'and which the visitor does not see';
like $httpd->access_log, qr/^outcome=refused reason="\S+" call=sessions api_status=401 .*outer/m, 'the outcome';
unlike $httpd->error_log . $httpd->output, qr/another-key|sandbox-key/, 'no log shows a key';
is $httpd->stop, 0, 'httpd ends in order';

my $keyless = start_httpd(<<"END");
KohomaiBaseURL "@{[$silent->base]}"
<Location "/onboarding">
    KohomaiHandoff On
    KohomaiJourney 74590868830731162
</Location>
END
is $keyless->request(GET => '/onboarding')->status, 302, 'without a key';
is_deeply [map { $_->{headers}{authorization} } $silent->calls], [undef], 'there is no Authorization header';
is $keyless->stop, 0, 'httpd ends in order';

done_testing;
