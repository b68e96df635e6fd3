# A path that is handed off is handed off although something else would claim it: a front controller's rewrite, a real file or
# folder, PHP-FPM, CGI, a server behind, an alias; named by <Location>, <Directory>, <Files>, <If> or .htaccess.
# Each claim is shown first by a path beside it, which the other one answers.
use strict;
use warnings;
use Test::More;
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Kohomai::TestServer;

my $sandbox = sandbox();
my $tree    = tempdir(CLEANUP => 1);
my $known   = "KohomaiHandoff On\nKohomaiJourney 74590868830731162\n";
my $rules   = <<'END';
RewriteEngine On
RewriteBase   /%s/
RewriteRule   ^index\.php$ - [L]
RewriteCond   %%{REQUEST_FILENAME} !-f
RewriteCond   %%{REQUEST_FILENAME} !-d
RewriteRule   . /%s/index.php [L]
END
my $php = "<?php echo 'the application: ', \$_SERVER['REQUEST_URI'], \"\\n\";";

# Folders like those of WordPress, one of which asks for the handoff by itself.
for my $folder (qw(press htaccess)) {
    spew("$folder/index.php", $php);
    spew("$folder/file.txt", "a file\n");
    spew("$folder/real/index.php", $php);
}
spew('press/.htaccess', sprintf $rules, 'press', 'press');
spew('htaccess/.htaccess', sprintf($rules, 'htaccess', 'htaccess') . "<If \"%{REQUEST_URI} =~ m#^/htaccess/(?:onboarding|file|real)#\">\n$known</If>\n");
spew('htaccess-all/.htaccess', $known);
spew('htaccess-all/index.php', $php);
spew("$_/index.php", $php) for qw(open ours fallback);
spew("$_/real/index.html", "an index\n") for qw(open ours);
spew('open/page.php', $php);
spew('open/page.txt', "a page\n");
spew('open/join.php', $php);
spew('open/join.txt', "a page\n");

my $httpd = start_httpd(<<"END");
KohomaiAPIKey sandbox-key
KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/api/v1"
LoadModule autoindex_module "$ENV{KOHOMAI_MODULES}/mod_autoindex.so"
LoadModule negotiation_module "$ENV{KOHOMAI_MODULES}/mod_negotiation.so"
DocumentRoot "$tree"
<Directory "$tree">
    Require        all granted
    AllowOverride  All
    Options        FollowSymLinks MultiViews Indexes
    DirectoryIndex index.php index.html
</Directory>
<Directory "$tree/ours">
    $known
</Directory>
<Directory "$tree/fallback">
    FallbackResource /fallback/index.php
</Directory>
<FilesMatch "^join\\.">
    $known
</FilesMatch>
<LocationMatch "/onboarding">
    $known
</LocationMatch>
<If "%{QUERY_STRING} == 'onboarding'">
    $known
</If>
<LocationMatch "^/(press/(file|real)|open/real)">
    $known
</LocationMatch>
ProxyPass        "/behind"  "http://127.0.0.1:\${PORT}/cgi-bin/env"
ProxyPassMatch   "^/fpm/(.*)\$" "unix:\${KOHOMAI_PHP_FPM}|fcgi://localhost$tree/press/index.php"
<Location "/set">
    SetHandler "proxy:unix:\${KOHOMAI_PHP_FPM}|fcgi://localhost/"
</Location>
<Location "/status">
    SetHandler server-status
</Location>
Alias       "/alias"  "$tree/open"
ScriptAlias "/script" "$ENV{KOHOMAI_SITE}/cgi-bin/env"
Action      counted   /cgi-bin/env virtual
<Location "/action">
    SetHandler counted
</Location>
<Location "/forwarded">
    RewriteEngine On
    RewriteRule   .* http://127.0.0.1:\${PORT}/cgi-bin/env [P]
</Location>
END

# The claimant, a path that it gets, and paths that are ours instead.
my @ROWS = (
    ["a front controller's rewrite",   '/press/some/post',     qr{^the application: /press/some/post$}m, '/press/onboarding', '/press/onboarding/', '/press/onboarding/2?page=1'],
    ['a file beside it',               '/press/index.php',     qr/^the application/,  '/press/file.txt'],
    ['a folder beside it',             '/press/?x',            qr/^the application/,  '/press/real', '/press/real/', '/press/real/index.php'],
    ['a folder that is named so',      '/open/',               qr/^the application/,  '/open/real/', '/open/real'],
    ['a .htaccess that says both',     '/htaccess/some/post',  qr/^the application/,  '/htaccess/onboarding', '/htaccess/file.txt', '/htaccess/real/'],
    ['a .htaccess that says it alone', '/press/some/post',     qr/^the application/,  '/htaccess-all/', '/htaccess-all/index.php', '/htaccess-all/nothing', '/htaccess-all'],
    ['a Directory',                    '/open/',               qr/^the application/,  '/ours/', '/ours', '/ours/real', '/ours/real/', '/ours/index.php', '/ours/nothing/at/all'],
    ['Files',                          '/open/page.txt',       qr/^a page$/,          '/open/join.txt', '/open/join.php'],
    ['an If',                          '/open/page.txt?else',  qr/^a page$/,          '/open/page.txt?onboarding', '/open/?onboarding', '/press/some/post?onboarding', '/behind/x?onboarding'],
    ['MultiViews',                     '/open/page',           qr/^(?:a page|the app)/, '/open/page?onboarding'],
    ['FallbackResource',               '/fallback/some/post',  qr/^the application/,  '/fallback/onboarding'],
    ['PHP-FPM by its suffix',          '/open/page.php',       qr/^the application/,  '/open/page.php/onboarding'],
    ['PHP-FPM by SetHandler',          '/set/../open/page.php', qr/^the application/, '/set/onboarding'],
    ['PHP-FPM by ProxyPassMatch',      '/fpm/x',               qr/^the application/,  '/fpm/onboarding'],
    ['a server behind',                '/behind/x',            qr/^PATH_INFO=/m,      '/behind/onboarding'],
    ['a server behind by a rewrite',   '/forwarded/x',         qr/^SCRIPT_NAME=/m,    '/forwarded/onboarding'],
    ['an alias',                       '/alias/page.txt',      qr/^a page$/,          '/alias/onboarding', '/alias/page.txt?onboarding'],
    ['a CGI program',                  '/script/x',            qr/^SCRIPT_NAME=/m,    '/script/onboarding', '/cgi-bin/env/onboarding'],
    ['an Action',                      '/action/x',            qr/^SCRIPT_NAME=/m,    '/action/onboarding'],
    ['a handler of httpd',             '/status?auto',         qr/^ServerVersion/m,   '/status/onboarding'],
    ['nothing at all',                 '/open/',               qr/^the application/,  '/onboarding', '/onboarding/'],
);

for my $row (@ROWS) {
    my ($what, $theirs, $said, @ours) = @$row;
    $sandbox->clear;
    like $httpd->request(GET => $theirs)->body, $said, "$what answers $theirs";
    is_deeply [$sandbox->calls], [], 'without a call';
    handed_off($what, $_) for @ours;
}

# Over HTTP/2, too, and by POST: on the shared server.
for my $path ('/blog/onboarding', '/shop/', '/cgi-bin/env/onboarding', '/front/behind/onboarding') {
    $sandbox->clear;
    is h2get($path)->status, 302, "$path over TLS";
    is request(POST => $path, body => 'a=b', headers => ['Content-Type' => 'application/x-www-form-urlencoded'])->status, 303, 'and by a form';
    is scalar(my @calls = $sandbox->calls), 2, 'with one call each';
}
is $httpd->stop, 0, 'the server ends in order';
done_testing;

sub handed_off {
    my ($what, $path) = @_;
    $sandbox->clear;
    my $answer = $httpd->request(GET => $path);
    my @calls = $sandbox->calls;
    is $answer->status, 302, "$what does not get $path";
    like $answer->header('Location'), qr{^http://127\.0\.0\.1:\d+/internal/v1/autologin\?UUID=}, 'which leads to the link';
    is scalar @calls, 1, 'by one call';
}

sub spew {
    my ($path, $text) = @_;
    make_path("$tree/$path" =~ s{/[^/]+\z}{}r);
    open my $out, '>', "$tree/$path" or die "$tree/$path: $!\n";
    print {$out} $text;
    close $out or die "$tree/$path: $!\n";
}
