#!/usr/bin/perl
# Who may start a handoff, as a real browser sees it: an httpd with this site (localhost), a sibling (another port of it) and
# another site (127.0.0.1), between which origins.py drives Chromium. It skips nothing: where Chromium is missing, that is a failure.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

use Kohomai::TestHttpd ();
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestSandbox ();

my $PYTHON = '/usr/bin/python3';    # Debian's own: another one in PATH does not see Debian's modules
my $BOUND  = 400;                   # seconds for all that the browser does; far more than it needs

my $sandbox = Kohomai::TestSandbox->start;
my ($sibling, $other) = free_ports(2);
my $scratch = tempdir('kohomai-browser-XXXXXX', TMPDIR => 1, CLEANUP => 1);
mkdir "$scratch/pages";
chmod 0755, $scratch;
write_page("$scratch/pages/page.html");

my $known = "KohomaiHandoff On\nKohomaiJourney 74590868830731162";
my $httpd = Kohomai::TestHttpd->start(join "\n", "Listen 127.0.0.1:$sibling", "Listen 127.0.0.1:$other", 'KohomaiAPIKey sandbox-key',
    'KohomaiBaseURL ' . $sandbox->base, 'SetEnvIf Cookie "\bmember=jane\b" MEMBER_JOURNEY=74590868830731162',
    'SetEnvIf Request_URI "^/(?:open|closed)/" HANDOFF', 'LogFormat "%m %>s %<{KOHOMAI_OUTCOME}e %U" attempt',
    'CustomLog "${LOGS}/attempts" attempt env=HANDOFF', 'CustomLog "${LOGS}/others" attempt env=!HANDOFF',
    "Alias /page.html $scratch/pages/page.html", qq{<Directory "$scratch/pages">\nRequire all granted\n</Directory>},
    map({ my $where = $_; map { "<Location \"/$where/$_->[0]\">\n$_->[1]\n</Location>" }
        ['known', $known], ['unknown', 'KohomaiHandoff On'], ['new', "KohomaiHandoff register\nKohomaiLead Email %{form:email}"],
        ['limited', "$known\nKohomaiRateLimit session 1/10h"],
        ['member', "KohomaiHandoff On\nKohomaiJourney %{env:MEMBER_JOURNEY}\nRequire env MEMBER_JOURNEY"] } qw(open closed)),
    '<Location "/open/">', "KohomaiAllowOrigin http://localhost:$sibling http://127.0.0.1:$other", '</Location>', '');

open my $lines, '-|', 'timeout', '--kill-after=10', $BOUND, $PYTHON, dirname(abs_path(__FILE__)) . '/origins.py',
    'http://localhost:' . $httpd->port, "http://localhost:$sibling", "http://127.0.0.1:$other", $sandbox->url, $httpd->dir . '/logs/attempts', $scratch
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

sub write_page {
    my ($file) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} qq{<!DOCTYPE html>\n<html lang="en">\n<title>A page</title>\n<link rel="icon" href="data:,">\n<body>\n<h1>A page</h1>\n};
    close $out or die "$file: $!\n";
}
