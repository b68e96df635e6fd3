# What httpd leads to by itself drops the filters of the request: a front controller's rewrite, FallbackResource,
# DirectoryIndex, Action, [P]. The application behind it gets the body whole all the same, once, and learns the outcome.
use strict;
use warnings;
use Test::More;
use Digest::MD5 qw(md5_hex);
use File::Temp qw(tempdir);
use Kohomai::TestServer;

my $tree = tempdir(CLEANUP => 1);
mkdir "$tree/$_" for qw(rewrite fallback folder folder/sub);
my $php = <<'END';
<?php
$body = file_get_contents('php://input');
header('X-Outcome: ' . ($_SERVER['REDIRECT_KOHOMAI_OUTCOME'] ?? $_SERVER['KOHOMAI_OUTCOME'] ?? 'none'));
echo strlen($body), ' ', md5($body);
END
spew("$tree/$_/index.php", $php) for qw(rewrite fallback folder/sub);
spew("$tree/page.counted", 'not shown');
spew("$tree/rewrite/.htaccess", <<'END');
RewriteEngine On
RewriteBase   /tree/rewrite/
RewriteRule   ^index\.php$ - [L]
RewriteCond   %{REQUEST_FILENAME} !-f
RewriteCond   %{REQUEST_FILENAME} !-d
RewriteRule   . /tree/rewrite/index.php [L]
END

my $httpd = start_httpd(<<"END");
KohomaiAPIKey sandbox-key
KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/api/v1"
Alias "/tree" "$tree"
<Directory "$tree">
    Require        all granted
    AllowOverride  All
    DirectoryIndex index.php
    AddHandler     counted .counted
    Action         counted /cgi-bin/digest virtual
</Directory>
<Directory "$tree/fallback">
    FallbackResource /tree/fallback/index.php
</Directory>
<Location "/proxied">
    RewriteEngine On
    RewriteRule   .* http://127.0.0.1:\${PORT}/cgi-bin/digest [P]
</Location>
<LocationMatch "^/(tree|proxied)">
    KohomaiHandoff  On
    KohomaiLead     Email %{form:email}
    KohomaiFallback any pass
</LocationMatch>
END

my %BODY = (small => 'a=b&c=d', long => 'a=' . 'xyz' x 100_000, 'too long' => 'a=' . 'x' x (8 * 1024 * 1024));
my $sandbox = sandbox()->clear;
for my $size (sort keys %BODY) {
    whole("a front controller's rewrite, $size", '/tree/rewrite/some/post?page=2', $BODY{$size}, 1);
    whole("FallbackResource, $size", '/tree/fallback/some/post', $BODY{$size}, 1);
    whole("DirectoryIndex, $size", '/tree/folder/sub/', $BODY{$size}, 1);
    whole("Action, $size", '/tree/page.counted', $BODY{$size});
    whole("a rewrite to a server behind, $size", '/proxied/x', $BODY{$size});
}
is_deeply [$sandbox->calls], [], 'Kohomai was never asked';
is scalar(() = $httpd->error_log =~ /kohomai: outcome=/g), 15, 'each request has one outcome, wherever it was led to';

# A rewrite that leads to a path of ours is what the visitor asked for: the form is read there.
spew("$tree/rewrite/.htaccess", "RewriteEngine On\nRewriteRule ^start\$ /join [L]\nKohomaiHandoff Off\n");
my $other = start_httpd(<<"END");
KohomaiAPIKey sandbox-key
KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/api/v1"
Alias "/tree" "$tree"
<Directory "$tree">
    Require       all granted
    AllowOverride All
</Directory>
<If "%{form:email} != ''">
    Header always set X-Seen yes
</If>
<Location "/join">
    KohomaiHandoff On
    KohomaiLead    Email %{form:email}
</Location>
END
my $answer = $other->request(POST => '/tree/rewrite/start', body => 'email=a%40b.example', headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
is $answer->status, 303, 'a form that was looked at before a rewrite is still there after it';
like +(sandbox()->calls)[-1]{body}, qr/"a\@b\.example"/, 'and reaches Kohomai';

is $_->stop, 0, 'a server ends in order' for $httpd, $other;
done_testing;

sub whole {
    my ($what, $path, $body, $is_php) = @_;
    my $answer = $httpd->request(POST => $path, body => $body, headers => ['Content-Type' => 'application/x-www-form-urlencoded']);
    like $answer->status . ' ' . $answer->body, qr/^200 @{[length $body]} @{[md5_hex($body)]}/, $what;
    is $answer->header('X-Outcome'), length $body > 8 * 1024 * 1024 ? 'invalid' : 'unknown', 'with the outcome' if $is_php;
}

sub spew {
    my ($path, $text) = @_;
    open my $out, '>', $path or die "$path: $!\n";
    print {$out} $text;
    close $out or die "$path: $!\n";
}
