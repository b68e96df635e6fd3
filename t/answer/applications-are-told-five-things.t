# An application that answers after all (pass, an error page, a front controller) finds the outcome in its environment under five
# names, and nothing else of the module: no link, and no key, even where httpd has it from its own environment. No header of a
# request can take their place.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my @FIVE   = qw(KOHOMAI_API_STATUS KOHOMAI_CALL KOHOMAI_OUTCOME KOHOMAI_REASON KOHOMAI_TIME_US);
my @FORGED = map { ($_ => 'forged') } 'Kohomai-Outcome', 'Kohomai-Reason', 'KOHOMAI_OUTCOME', 'kohomai_call', 'Redirect-Kohomai-Outcome',
    'Kohomai-Link', 'Authorization-Kohomai';

my $api   = sandbox();
my $httpd = start_httpd(<<"END", env => {SITE_API_KEY => 'sandbox-key'});
KohomaiAPIKey  env:SITE_API_KEY
KohomaiBreaker Off
<LocationMatch "^/(cgi-bin/env|php/env\\.php|blog)/site\$">
    KohomaiHandoff  On
    KohomaiJourney  74590868830731162
    KohomaiBaseURL  "@{[$api->base('status=500')]}"
    KohomaiFallback any pass
</LocationMatch>
<Location "/foreign">
    KohomaiHandoff  On
    KohomaiJourney  74590868830731162
    KohomaiBaseURL  "@{[$api->base('foreign-link')]}"
    ErrorDocument   502 /cgi-bin/env
</Location>
END

for my $path ('/cgi-bin/env/site', '/php/env.php/site') {
    my %told = told($path);
    is_deeply [sort keys %told], \@FIVE, "$path: five names";
    is $told{KOHOMAI_OUTCOME}, 'failed', "$path: said by the module";
    is $told{KOHOMAI_REASON},  'api',    "$path: no header is in its place";
}
my %page = told('/foreign');
is_deeply [sort keys %page], [map {"REDIRECT_$_"} @FIVE], 'an error page is told the five, with prefix';
is $page{REDIRECT_KOHOMAI_REASON}, 'link-host', 'and why';
is_deeply {told('/cgi-bin/env/other')}, {}, 'where nobody is handed off, a CGI program is told nothing';
is_deeply {told('/php/env.php/other')}, {}, 'and PHP neither';

my @links = map { $_->{uuid} // () } $api->calls;
my $seen  = join '', map { $httpd->request(GET => $_)->body } '/foreign', '/cgi-bin/env/site', '/php/env.php/site';
unlike $seen, qr/sandbox-key|autologin|evil\.example/, 'no value is a link or the key';
unlike $seen, qr/\Q$_/, "not even $_" for @links;
like $httpd->request(GET => '/cgi-bin/env/other', headers => \@FORGED)->body, qr/^HTTP_KOHOMAI_OUTCOME=forged$/m,
    'a header of such a name is a header like others';

done_testing;

# What an application finds by a name with KOHOMAI_ in it, headers aside. PHP-FPM shows its own environment, too.
sub told {
    my ($path) = @_;
    my $body = $httpd->request(GET => $path, headers => \@FORGED)->body;
    my %all = $body =~ /^(\w*KOHOMAI_\w+)=(.*)$/mg;
    return map { $_ => $all{$_} } grep { !/^HTTP_/ && !exists $ENV{$_} } keys %all;
}
