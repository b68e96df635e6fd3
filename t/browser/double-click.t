#!/usr/bin/perl
# A double click, as a real browser does it: an httpd with a sign-up form, on which double-click.py lets Chromium click twice. It
# skips nothing: where Chromium is missing, that is a failure.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

use Kohomai::TestHttpd ();
use Kohomai::TestSandbox ();

my $PYTHON = '/usr/bin/python3';    # Debian's own: another one in PATH does not see Debian's modules
my $BOUND  = 400;                   # seconds for all that the browser does; far more than it needs

my $sandbox = Kohomai::TestSandbox->start;
my $scratch = tempdir('kohomai-browser-XXXXXX', TMPDIR => 1, CLEANUP => 1);
mkdir "$scratch/pages";
chmod 0755, $scratch;
write_page("$scratch/pages/page.html");

my $httpd = Kohomai::TestHttpd->start(join "\n", 'KohomaiAPIKey sandbox-key', "Alias /page.html $scratch/pages/page.html",
    qq{<Directory "$scratch/pages">\nRequire all granted\n</Directory>}, 'SetEnvIf Request_URI "^/join/" JOINS',
    'LogFormat "%>s %{email}C" asked', 'CustomLog "${LOGS}/asked" asked env=JOINS',
    place('slow',  $sandbox->base('slow=2500', 'only=register')),
    place('quick', $sandbox->base('slow=40', 'only=register')), '');

open my $lines, '-|', 'timeout', '--kill-after=10', $BOUND, $PYTHON, dirname(abs_path(__FILE__)) . '/double-click.py',
    'http://localhost:' . $httpd->port, $sandbox->url, $httpd->dir . '/logs/asked', $scratch
    or die "$PYTHON: $!\n";
my $last = '';
while (my $line = <$lines>) {
    chomp($last = $line);
    if    ($line =~ /\Aok - (.*)/)     { pass($1) }
    elsif ($line =~ /\Anot ok - (.*)/) { fail($1) }
    elsif ($line ne "done\n")          { diag($line =~ s/\A# //r) }
}
close $lines;
is $last, 'done', 'the browser got to the end';
is $httpd->stop, 0, 'and httpd ends in order';
done_testing;

sub place {
    my ($name, $base) = @_;
    return qq{<Location "/join/$name">\nKohomaiHandoff register\nKohomaiLead Email %{form:email}\nKohomaiBaseURL "$base"\n</Location>};
}

# The page tells the log in a cookie who it is, since a form's fields are in no log.
sub write_page {
    my ($file) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} <<'END';
<!DOCTYPE html>
<html lang="en">
<title>Join</title>
<link rel="icon" href="data:,">
<body>
<form method="post" onsubmit="document.cookie = 'email=' + document.getElementById('email').value + '; path=/join/'">
<label for="email">Email</label> <input id="email" name="email">
<button id="slow" formaction="/join/slow">Join a slow one</button>
<button id="quick" formaction="/join/quick">Join a quick one</button>
</form>
END
    close $out or die "$file: $!\n";
}
