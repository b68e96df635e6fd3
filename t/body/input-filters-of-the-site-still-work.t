# What the site does to a body on its way in (here: it unpacks what came gzipped) is done to it as ever after `pass`, although
# the module reads a body before those filters stand.
use strict;
use warnings;
use Test::More;
use IO::Compress::Gzip qw(gzip);
use Digest::MD5 qw(md5_hex);
use Kohomai::TestServer;

my $httpd = start_httpd(<<'END');
KohomaiAPIKey sandbox-key
KohomaiBaseURL "http://127.0.0.1:${KOHOMAI_SANDBOX_PORT}/api/v1"
<LocationMatch "^/(cgi-bin/digest|php/digest\.php)">
    SetInputFilter DEFLATE
    SetEnvIf       Request_URI . proxy-sendcl=1
</LocationMatch>
<LocationMatch "/pass">
    KohomaiHandoff  On
    KohomaiLead     Email %{form:email}
    KohomaiFallback any pass
</LocationMatch>
END

for my $size (10, 100_000, 2_000_000) {
    my $plain = '{"a":"' . substr(join('', map { ($_ * 7919) % 9973 } 1 .. $size), 0, $size - 8) . '"}';
    gzip(\$plain, \my $packed) or die 'gzip failed';
    for my $app ('/cgi-bin/digest', '/php/digest.php') {
        my @told = map { told($app, $_, $packed) } qw(pass else);
        like $told[1], qr/^200 @{[length $plain]} @{[md5_hex($plain)]} /, "$app: without the module a body is unpacked on its way in";
        is $told[0] =~ s/ told=.*//sr, $told[1] =~ s/ told=.*//sr, 'with it, too';
    }
}
is $httpd->stop, 0, 'the server ends in order';
done_testing;

sub told {
    my ($app, $place, $packed) = @_;
    my $answer = $httpd->request(POST => "$app/$place", body => $packed,
        headers => ['Content-Type' => 'application/json', 'Content-Encoding' => 'gzip']);
    return $answer->status . ' ' . $answer->body;
}
