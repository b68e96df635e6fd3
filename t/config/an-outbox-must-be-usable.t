# KohomaiOutbox: a directory that can be used is accepted without a word; any other stops `httpd -t`, and the line says what is
# wrong with it and which command mends it. A reload is not stopped by a directory that has gone bad meanwhile.
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use Kohomai::TestOutbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $folder = tempdir(CLEANUP => 1);
my $user   = getpwuid $>;

my ($status, $said) = check('fine', sub { });
is $status, 0, 'a directory of our own';
like $said, qr/Syntax OK/, 'is accepted';
unlike $said, qr/KohomaiOutbox/, 'without a word';
opendir my $dir, "$folder/fine" or die "$folder/fine: $!\n";
is_deeply [grep { !/^\.\.?$/ } readdir $dir], [], 'and nothing is left in it';

refused('none',  sub { rmdir $_[0] },                     qr{/none: No such file or directory; make it: install -d -m 700 -o \Q$user\E \Q$folder\E/none}, 'one that is not there');
refused('file',  sub { rmdir $_[0]; write_file($_[0]) },  qr{/file is no directory; name one}, 'a file');
refused('group', sub { chmod 0750, $_[0] },               qr{/group is open to others, and will hold personal data: chmod 700 \Q$folder\E/group}, 'one that its group can read');
refused('world', sub { chmod 0701, $_[0] },               qr{/world is open to others}, 'one that anybody can enter');
($status, $said) = config_check("KohomaiOutbox /usr\n");
isnt $status, 0, "somebody else's";
like $said, qr{KohomaiOutbox: /usr belongs to root, and must be \Q$user\E's, who writes there: chown \Q$user\E /usr}, 'is refused, too' if $> != 0;
SKIP: {
    skip 'root writes everywhere', 2 if $> == 0;
    refused('locked', sub { chmod 0500, $_[0] },          qr{\Q$user\E cannot write in \S+/locked: Permission denied}, 'one that cannot be written');
}

for my $place ("<VirtualHost *:1>\nKohomaiOutbox $folder/fine\n</VirtualHost>", "<Location /a>\nKohomaiOutbox $folder/fine\n</Location>") {
    ($status, $said) = config_check("$place\n");
    isnt $status, 0, 'it is for the whole server';
    like $said, qr/KohomaiOutbox (?:cannot occur within|not allowed)/, 'and refused elsewhere';
}
like +(config_check("KohomaiOutbox\n"))[1],      qr/KohomaiOutbox takes one argument/, 'it needs a name';

# --- The figures ------------------------------------------------------------------------------------------------------
my $outbox = Kohomai::TestOutbox->new;
mkdir $outbox->path . "/$_" for qw(uncertain rejected);
$outbox->put("x\n", "$_.lead") for qw(a b c);
$outbox->put("x\n", 'notes.txt');
rename $outbox->path . '/c.lead', $outbox->path . '/uncertain/c.lead';
like dump_of("KohomaiOutbox @{[$outbox->path]}\n"), qr/^KohomaiOutbox +\Q@{[$outbox->path]}\E: 2 waiting, 0 being sent, 1 uncertain, 0 rejected$/m, 'the dump counts the records';
like dump_of(''), qr/^KohomaiOutbox +none/m, 'and says where there is none';

# --- A reload ---------------------------------------------------------------------------------------------------------
my $httpd = start_httpd("KohomaiOutbox @{[$outbox->path]}\n");
rename $outbox->path, $outbox->path . '.away';
$httpd->signal('USR1');
ok wait_for(sub { $httpd->error_log =~ /KohomaiOutbox: \S+: No such file.*resuming normal operations/s }), 'at a reload it is said';
is $httpd->request(GET => '/plain.txt')->status, 200, 'but the site goes on';
ends_well($httpd);

done_testing;

sub check {
    my ($name, $spoil) = @_;
    mkdir "$folder/$name", 0700 or die "$folder/$name: $!\n";
    $spoil->("$folder/$name");
    return config_check("KohomaiOutbox \"$folder/$name\"\n");
}

sub refused {
    my ($name, $spoil, $pattern, $what) = @_;
    my ($status, $said) = check($name, $spoil);
    isnt $status, 0, "$what: stops httpd";
    like $said, qr/KohomaiOutbox: [^\n]*$pattern/, 'and the line says what to do';
    unlike $said, qr/Syntax OK/, 'nothing else does';
}

sub dump_of { return (config_check($_[0], args => ['-D', 'DUMP_KOHOMAI']))[1] }

sub write_file { open my $out, '>', $_[0] or die "$_[0]: $!\n" }
