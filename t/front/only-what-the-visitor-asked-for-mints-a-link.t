# A rewrite may lead to a path that is handed off: that is what the visitor asked for. What httpd asks itself on the way to
# another answer is not: a subrequest (a page's include, a look at an index) or an error document never calls Kohomai.
use strict;
use warnings;
use Test::More;
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Kohomai::TestServer;

my $sandbox = sandbox();
my $tree    = tempdir(CLEANUP => 1);
spew('index.php', "<?php echo 'the front page';");
spew('dir/index.html', 'a page that is ours');
spew('page.shtml', "begin <!--#include virtual=\"/onboarding/page.txt\" --> end\n");
spew('form.shtml', "begin <!--#include virtual=\"/join/page.txt\" --> end\n");
spew("$_/page.txt", 'included') for qw(onboarding join);
spew('rewrites/.htaccess', <<'END');
RewriteEngine On
RewriteRule   ^start$   /onboarding        [L]
RewriteRule   ^start/(\d+)$ /by-query?id=$1 [L]
RewriteRule   ^twice$   /rewrites/start    [L]
RewriteRule   ^away$    /index.php         [L]
END

my $httpd = start_httpd(<<"END");
KohomaiAPIKey sandbox-key
KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/api/v1"
LoadModule include_module "$ENV{KOHOMAI_MODULES}/mod_include.so"
LoadModule autoindex_module "$ENV{KOHOMAI_MODULES}/mod_autoindex.so"
DocumentRoot "$tree"
<Directory "$tree">
    Require         all granted
    AllowOverride   All
    Options         FollowSymLinks Includes Indexes
    DirectoryIndex  index.html index.php
    AddOutputFilter INCLUDES .shtml
    AddType         text/html .shtml
</Directory>
<Location "/onboarding">
    KohomaiHandoff On
    KohomaiJourney 74590868830731162
</Location>
<Location "/dir/index.html">
    KohomaiHandoff On
    KohomaiJourney 74590868830731162
</Location>
<Location "/join">
    KohomaiHandoff On
    KohomaiLead    Email %{form:email}
</Location>
<Location "/by-query">
    KohomaiHandoff On
    KohomaiJourney %{query:id}
</Location>
<Location "/nobody">
    KohomaiHandoff On
    KohomaiJourney %{query:id}
</Location>
<Location "/private">
    AuthType      Basic
    AuthName      "Members"
    AuthUserFile  "\${USERS}"
    Require       valid-user
    ErrorDocument 401 /onboarding/page.txt
</Location>
ErrorDocument 403 /onboarding/page.txt
ErrorDocument 404 /onboarding/page.txt
ErrorDocument 410 /onboarding/nothing
Redirect gone "/gone"
RewriteEngine On
RewriteRule   "^/served\$"  "/onboarding" [PT]
RewriteRule   "^/alone\$"   "/by-query?id=77" [PT]
END

# Rewrites.
my ($answer, @calls) = ask('/served');
is $answer->status, 302, "a rewrite of the server's leads to a handoff";
is scalar @calls, 1, 'by one call';
($answer, @calls) = ask('/alone');
is "@{[$answer->status]} $calls[0]{body}", '302 {"Journey":{"Id":77}}', 'with the query that it made';
($answer, @calls) = ask('/rewrites/start');
is $answer->status, 302, "a folder's rewrite leads to a handoff";
is scalar @calls, 1, 'by one call';
($answer, @calls) = ask('/rewrites/start/78');
is "@{[$answer->status]} $calls[0]{body}", '302 {"Journey":{"Id":78}}', 'with the query that it made';
($answer, @calls) = ask('/rewrites/twice');
is $answer->status, 302, 'over two rewrites as well';
is scalar @calls, 1, 'by one call';
($answer, @calls) = ask('/rewrites/away');
is $answer->body, 'the front page', 'a rewrite to another path does not';
is scalar @calls, 0, 'and calls nobody';

# Subrequests.
for my $page ('/page.shtml', '/form.shtml') {
    for my $method (qw(GET POST)) {
        ($answer, @calls) = ask($page, $method);
        is $answer->status, 200, "$method $page is shown";
        is $answer->body, "begin included end\n", 'with what it includes, as the site has it';
        is scalar @calls, 0, 'and calls nobody';
    }
}
($answer, @calls) = ask('/');
is $answer->status, 200, 'an index that httpd looks for';
is scalar @calls, 0, 'calls nobody';
($answer, @calls) = ask('/rewrites/');
is $answer->status, 200, 'a listing';
is scalar @calls, 0, 'calls nobody';

# Error documents.
for my $row (['/nowhere', 404, 'included'], ['/private', 401, 'included'], ['/nobody', 403, 'included'], ['/gone', 410, undef]) {
    my ($path, $status, $body) = @$row;
    ($answer, @calls) = ask($path);
    is $answer->status, $status, "$path stays $status";
    is $answer->body, $body, 'with the error document as the site has it' if defined $body;
    is $answer->header('Location'), undef, 'and leads nowhere';
    is scalar @calls, 0, 'and calls nobody';
}
is $httpd->stop, 0, 'the server ends in order';
done_testing;

sub ask {
    my ($path, $method) = @_;
    $sandbox->clear;
    my @form = ($method // '') eq 'POST' ? (body => 'email=a%40b.example', headers => ['Content-Type' => 'application/x-www-form-urlencoded']) : ();
    my $answer = $httpd->request($method // 'GET', $path, @form);
    return ($answer, $sandbox->calls);
}

sub spew {
    my ($path, $text) = @_;
    make_path("$tree/$path" =~ s{/[^/]+\z}{}r);
    open my $out, '>', "$tree/$path" or die "$tree/$path: $!\n";
    print {$out} $text;
    close $out or die "$tree/$path: $!\n";
}
