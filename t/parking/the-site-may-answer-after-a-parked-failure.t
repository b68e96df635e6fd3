# `KohomaiFallback ... pass` after the API has failed: whatever serves the path serves it, with the visitor's body whole; and
# without a fallback the site's own error page is shown, which knows what happened. So does one who waited for nothing.
use strict;
use warnings;
use Test::More;
use Digest::MD5 qw(md5_hex);
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $FORM = 'application/x-www-form-urlencoded';
my $api  = sandbox()->clear;
my $sick = $api->base('slow=150', 'status=500');

# The module's paths, in front of all kinds of application. The form is read for each.
my @pass  = ('KohomaiLead Email %{form:email}', 'KohomaiHandoff register', 'KohomaiFallback any pass');
my @paths = qw(/plain.txt /shop/ /cgi-bin/digest/pass /cgi-bin/env/pass /php/digest.php/pass /php/env.php/pass /behind/pass /blog/pass);
my ($behind) = free_ports(1);
my $site  = start_httpd('', mpm => 'prefork', without_module => 1);
my $httpd = start_httpd(size_of(1, 8, 'KohomaiAPIKey sandbox-key', 'KohomaiBreaker Off', 'SetEnvIf Request_URI "^/(php|blog)/" proxy-sendcl=1',
    qq{ProxyPass "/behind/" "http://127.0.0.1:@{[$site->port]}/cgi-bin/digest/"})
    . join('', map { handoff($_, $sick, 'KohomaiFallback any pass') } @paths)
    . join('', map { handoff("$_/form", $sick, @pass) } grep {/pass/} @paths)
    . handoff('/page', $sick, 'ErrorDocument 502 /cgi-bin/env')
    . handoff('/text', $sick, 'ErrorDocument 502 "Come back tomorrow."')
    . handoff('/php-page', $sick, 'ErrorDocument 502 /php/env.php')
    . handoff('/status', $sick, 'KohomaiFallback failed 410')
    . handoff('/away', $sick, 'KohomaiFallback failed /plain.txt?why=%{env:KOHOMAI_REASON}'));

my $visitor = visitor($httpd);
my $emails  = 0;
for my $round (1, 2) {
    like get('/plain.txt')->body, qr/no business of the module/, "round $round: a static file";
    is get('/shop/')->status, 200, "round $round: a folder with an index";
    like get('/cgi-bin/env/pass')->body, qr/^KOHOMAI_OUTCOME=failed$/m, "round $round: CGI, which is told";
    like get('/php/env.php/pass')->body, qr/^KOHOMAI_REASON=api$/m, "round $round: PHP, which is told";
    like get('/blog/pass')->body, qr{^GET /blog/pass$}m, "round $round: a front controller";
    for my $path (qw(/cgi-bin/digest/pass /php/digest.php/pass /behind/pass)) {
        digested($path, $_) for '', 'a=b', 'a=' . 'b' x 100_000;
        digested("$path/form", form(1)), digested("$path/form", form(100_000));
        digested("$path/form", form(100_000), chunked => 4_000);
    }
    my $posted = form(5_000);
    like post('/blog/pass/form', $posted)->body, qr{^POST /blog/pass/form\n\Q$posted\E\z}, "round $round: a front controller gets the form";

    my $page = get('/page');
    is $page->status, 502, "round $round: an error page";
    like $page->body, qr/^REDIRECT_KOHOMAI_OUTCOME=failed$/m, "round $round: knows the outcome";
    like $page->body, qr/^REDIRECT_KOHOMAI_REASON=api$/m, "round $round: and the reason";
    is $page->header('Cache-Control'), 'no-store', "round $round: and is not kept";
    like get('/php-page')->body, qr/^REDIRECT_KOHOMAI_OUTCOME=failed$/m, "round $round: an error page in PHP";
    is get('/text')->body, 'Come back tomorrow.', "round $round: a text";
    is get('/status')->status, 410, "round $round: another status";
    is get('/away')->header('Location') =~ s{^http://[^/]+}{}r, '/plain.txt?why=api', "round $round: another page";
}
my $asked = () = $api->calls;
wait_for(sub { ($httpd->access_log =~ tr/\n//) >= $asked });
my @lines = split /\n/, $httpd->access_log;
is_deeply [grep { !/^outcome=failed reason="api"/ } @lines], [], 'each of them has the same outcome';
is scalar(@lines), $asked, 'each was asked for once, and logged once';

ends_well($httpd);
done_testing;

# Each registers somebody else: the same once more would be a double click.
sub form {
    my ($size) = @_;
    return 'email=a' . ++$emails . '%40b.example&x=' . 'y' x $size;
}

sub get { return $visitor->ask(GET => $_[0])->answer }

sub post {
    my ($path, $body, %how) = @_;
    return $visitor->ask(POST => $path, body => $body, headers => ['Content-Type' => $FORM], %how)->answer;
}

sub digested {
    my ($path, $body, %how) = @_;
    my $length = length $body;
    like post($path, $body, %how)->body, qr/^$length @{[md5_hex($body)]} /, "$path gets $length bytes whole" . (%how ? ', from chunks' : '');
}
