# With an outbox on a disk that is full, whoever the API takes is registered as ever; whoever it cannot take is told so, and is not
# told that all is well. The log says it once, and httpd does not start with such a disk, but goes on with it. When there is room
# again, leads are kept again. (Run by root alone: the server gets a small disk of its own, in a mount namespace.)
use strict;
use warnings;
use Test::More;
use File::Temp ();
use Kohomai::TestOutbox;
use Kohomai::TestSandbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

plan skip_all => 'only root can show this' if $> != 0;
plan skip_all => 'this system allows no mount namespace' if system('unshare --mount mount -t tmpfs none /mnt 2>/dev/null') != 0;

my $api    = Kohomai::TestSandbox->start;
my $folder = File::Temp->newdir;
chmod 0755, "$folder";
mkdir "$folder/outbox", 0700 or die "$folder: $!\n";
Kohomai::TestHttpd::write_file("$folder/httpd", <<"END");
#!/bin/sh
exec unshare --mount sh -c 'mount -t tmpfs -o size=64k,mode=700,uid=@{[scalar getpwnam 'nobody']} none "$folder/outbox" && exec "\$0" "\$@"' '$ENV{KOHOMAI_HTTPD}' "\$@"
END
chmod 0755, "$folder/httpd";

my $httpd = do {
    local $ENV{KOHOMAI_HTTPD} = "$folder/httpd";
    start_httpd(size_of(1, 8, 'KohomaiAPIKey sandbox-key', "KohomaiOutbox $folder/outbox", 'KohomaiRetry 0', 'KohomaiBreaker Off', 'KohomaiTimeout 2s',
            'LogLevel kohomai:info')
        . signup('/well', $api->base) . signup('/busy', $api->base('status=503')) . signup('/hang', $api->base('hang')));
};
my $disk = '/proc/' . $httpd->pid . "/root$folder/outbox";    # as the server sees it

is outcome('/busy', 'a'), 'queued api 202', 'while there is room, a lead is kept';
is_deeply [boxes()], ['waiting 1', 'sending 0', 'uncertain 0'], 'there';
fill();
is outcome('/well', 'b'), 'handed-off - 302', 'a full disk: whoever the API takes is handed off';
is outcome('/busy', 'c'), 'failed outbox 502', 'whoever it does not take is told that it failed';
is outcome('/hang', 'd'), 'timeout - 504', 'and so is whoever gets no answer';
is outcome('/busy', "e$_"), 'failed outbox 502', 'each time' for 1 .. 5;
my @lines = $httpd->error_log =~ /^.*KohomaiOutbox: .*$/mg;
is scalar @lines, 1, 'one line says why, not one for each' or diag @lines;
like $lines[0], qr/No space left on device.*KohomaiOutbox: \Q$folder\E\/outbox: a lead cannot be written/, 'and what';
is_deeply [boxes()], ['waiting 1', 'sending 0', 'uncertain 0'], 'no half record is left';

my $before = () = $httpd->error_log =~ /resuming normal operations/g;
$httpd->signal('USR1');
ok wait_for(sub { (() = $httpd->error_log =~ /resuming normal operations/g) > $before }), 'a reload is not stopped by it';
like $httpd->error_log, qr{nobody cannot write in \Q$folder\E/outbox: No space left on device; see to it that the disk is writable and has room}, 'but says so';

unlink "$disk/ballast" or die "$disk: $!\n";
is outcome('/busy', 'f'), 'queued api 202', 'when there is room, a lead is kept again';
is_deeply [boxes()], ['waiting 2', 'sending 0', 'uncertain 0'], 'there, too';
ends_well($httpd);

# Start-up. The file that fills the disk is put there between the mount and httpd.
Kohomai::TestHttpd::write_file("$folder/httpd", Kohomai::TestHttpd::read_file("$folder/httpd") =~ s/ && exec/ && { cat \/dev\/zero > "$folder\/outbox\/ballast"; exec/r =~ s/"\$\@"'/"\$\@"; }'/r);
my ($status, $said) = do {
    local $ENV{KOHOMAI_HTTPD} = "$folder/httpd";
    config_check("KohomaiOutbox $folder/outbox\n");
};
isnt $status, 0, 'httpd does not start with a full disk';
like $said, qr/KohomaiOutbox: nobody cannot write in \S+: No space left on device/, 'and says why';

# As root, httpd's children are somebody else: so the directory must be theirs, and they must be able to come there.
mkdir "$folder/closed", 0700;
mkdir "$folder/closed/outbox", 0700;
($status, $said) = config_check("KohomaiOutbox $folder/closed/outbox\n");
like $said, qr/closed\/outbox belongs to root, and must be nobody's, who writes there: chown nobody /, 'a directory of root is refused';
chown scalar(getpwnam 'nobody'), -1, "$folder/closed/outbox";
($status, $said) = config_check("KohomaiOutbox $folder/closed/outbox\n");
isnt $status, 0, 'and so is one that nobody can come to';
like $said, qr/nobody cannot write in \S+: Permission denied; .*may enter the directories above/, 'which is said';

done_testing;

sub signup {
    my ($path, $base) = @_;
    return qq{<Location "$path">\nKohomaiHandoff register\nKohomaiBaseURL "$base"\nKohomaiLead Email %{query:email}\n</Location>\n};
}

my %asked;

sub outcome {
    my ($path, $who) = @_;
    visitor($httpd)->ask(GET => "$path?email=$who\@b.example", headers => [Connection => 'close'])->answer;
    return (outcomes($httpd, $path, ++$asked{$path}))[-1];
}

sub boxes {
    return map { my $box = $_; my @files = glob "$disk/" . ($box eq 'waiting' ? '' : "$box/") . '*.lead'; "$box " . @files } qw(waiting sending uncertain);
}

sub fill {
    open my $out, '>', "$disk/ballast" or die "$disk: $!\n";
    1 while syswrite $out, 'x' x 4096;
    close $out;
}
