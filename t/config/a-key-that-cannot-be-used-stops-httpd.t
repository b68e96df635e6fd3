# The API key: each way to name it, and each way in which that goes wrong. Whatever happens, the key itself is in no output.
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use Kohomai::TestServer;

my $SECRET = 'juniper-4711';
my $folder = tempdir(CLEANUP => 1);

my $fine = file('fine.key', "  $SECRET \r\n\n", 0600);
accepted("file:$fine", 'a key file');
accepted('env:ROWAN', 'a variable of the environment', env => {ROWAN => "$SECRET\n"});
accepted("\"exec:/bin/cat $fine\"", 'a command with an argument');

like accepted($SECRET, 'the key itself', may_warn => 1), qr/site\.conf:1: KohomaiAPIKey: .*file:PATH/,
    'is accepted with a warning that says what to write';
my $open = file('open.key', "$SECRET\n", 0644);
like accepted("file:$open", 'a file that everybody can read', may_warn => 1), qr/site\.conf:1: KohomaiAPIKey: .*\Q$open\E.*chmod/,
    'is accepted with a warning that names it and the cure';
unlike accepted('file:' . file('group.key', "$SECRET\n", 0640), 'a file that its group can read'), qr/warn/i, 'is fine';

refused('',                   qr/takes one argument/,      'no source at all');
refused('""',                 qr/argument|empty/,          'an empty source');
refused('"  "',               qr/empty/,                   'blanks');
refused("file:$folder/none",  qr{cannot read .*/none: No such file}, 'a file that is not there');
refused("file:$folder",       qr/cannot read/,             'a folder');
refused('file:',              qr/./,                       'no name of a file');
refused('file:' . file('empty.key', '', 0600),                        qr/empty/,   'an empty file');
refused('file:' . file('blank.key', " \n\t\r\n", 0600),               qr/empty/,   'a file of blanks');
refused('file:' . file('control.key', "$SECRET\x07x\n", 0600),        qr/control character/, 'a control character');
refused('file:' . file('lines.key', "$SECRET\n$SECRET\n", 0600),      qr/control character/, 'two lines');
refused('file:' . file('header.key', "$SECRET\r\nX-Evil: 1\n", 0600), qr/control character/, 'a header of its own');
refused('file:' . file('nul.key', "$SECRET\0x\n", 0600),              qr/NUL|control character/, 'a NUL');
refused('file:' . file('del.key', "$SECRET\x7f\n", 0600),             qr/control character/, 'a DEL');
refused('file:' . file('long.key', $SECRET x 10_000, 0600),           qr/too long/,  'a file that is far too long');
SKIP: {
    skip 'root reads everything', 1 if $> == 0;
    refused('file:' . file('closed.key', "$SECRET\n", 0000), qr/cannot read .*closed\.key/, 'a file that nobody may read');
}
refused('env:NOBODY_SETS_THIS', qr/no variable NOBODY_SETS_THIS/, 'a variable that is not set');
refused('env:ROWAN',            qr/empty/,             'a variable that is empty', env => {ROWAN => ''});
refused('env:ROWAN',            qr/control character/, 'a variable with a control character', env => {ROWAN => "$SECRET\x01x"});
refused('env:',                 qr/./,                 'no name of a variable');
refused('exec:',                qr/command/,           'no command');
refused("exec:$folder/nothing", qr/could not be run/,  'a command that is not there');
refused('exec:/bin/false',      qr/ended with status 1/, 'a command that fails');
refused('exec:/bin/true',       qr/printed nothing/, 'a command that prints nothing');
refused('exec:' . file('fails', "#!/bin/sh\necho $SECRET\nexit 3\n", 0755), qr/ended with status 3/,
    'a command that prints something and then fails');

# A second key that is wrong is found, too, wherever it stands.
my ($status, $said) = config_check("KohomaiAPIKey file:$fine\n<Location /a>\n  KohomaiAPIKey file:$folder/none\n</Location>\n");
is $status, 1, 'a wrong key in a section stops httpd as well';
like $said, qr/line 3 of \S+site\.conf:\nKohomaiAPIKey: cannot read/, 'with its line';
unlike $said, qr/\Q$SECRET/, 'and without the other key';

# A server that runs, at its most talkative, and the dumps of the configuration.
my $httpd = start_httpd(<<"END");
LogLevel trace8
KohomaiAPIKey file:$fine
KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/api/v1"
<Location /onboarding>
    KohomaiHandoff On
    KohomaiJourney 12
</Location>
END
my $answer = $httpd->request(GET => '/onboarding');
is $answer->status, 502, 'the API refuses the key';
my $call = (grep { ($_->{headers}{authorization} // '') =~ /juniper/ } sandbox()->calls)[-1];
is $call->{headers}{authorization}, "Bearer $SECRET", 'that was sent, trimmed';
is $httpd->stop, 0, 'the server ends in order';
unlike $answer->head . $answer->body . $httpd->error_log . $httpd->output . $httpd->access_log, qr/\Q$SECRET/,
    'the key is in no answer and no log, even at trace8';
for my $dump (qw(DUMP_CONFIG DUMP_VHOSTS DUMP_RUN_CFG)) {
    my (undef, $said) = config_check("KohomaiAPIKey file:$fine\n", args => ['-D', $dump]);
    unlike $said, qr/\Q$SECRET/, "nor in -D $dump";
}

done_testing;

sub file {
    my ($name, $bytes, $mode) = @_;
    my $path = "$folder/$name";
    open my $out, '>:raw', $path or die "$path: $!\n";
    print {$out} $bytes;
    close $out or die "$path: $!\n";
    chmod $mode, $path or die "$path: $!\n";
    return $path;
}

sub accepted {
    my ($source, $what, %how) = @_;
    my $may_warn = delete $how{may_warn};
    my ($status, $said) = config_check("KohomaiAPIKey $source\n", %how);
    ok $status == 0 && ($may_warn || $said eq "Syntax OK\n"), "$what is accepted" or diag $said;
    unlike $said, qr/\Q$SECRET/, 'and not shown';
    return $said;
}

sub refused {
    my ($source, $mend, $what, %how) = @_;
    my ($status, $said) = config_check("KohomaiAPIKey $source\n", %how);
    ok $status == 1 && $said =~ /line 1 of \S+site\.conf:\nKohomaiAPIKey.*$mend/s, "$what is refused" or diag "status $status: $said";
    unlike $said, qr/\Q$SECRET/, 'and no key is shown';
}
