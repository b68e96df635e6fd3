# A key file that changes is read again while the server runs: by the parent, for all children. One that holds no key any more
# leaves the key from before in use. Each change is said once, and no key is ever shown.
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use POSIX qw(mkfifo);
use Time::HiRes qw(sleep time);
use Kohomai::TestServer;
use Kohomai::TestVisitor;

use constant CHILDREN => 3;

my $api    = sandbox();
my $folder = tempdir(CLEANUP => 1);

# What becomes of each file, what is to be said of it then, and how it is mended.
my %BAD = (
    missing => [sub { unlink $_[0] },                           'No such file'],
    empty   => [sub { in_place($_[0], " \n") },                 'the key is empty'],
    control => [sub { in_place($_[0], "juniper-\x07\n") },      'control character'],
    nul     => [sub { in_place($_[0], "juniper-\0\n") },        'NUL character'],
    long    => [sub { in_place($_[0], 'juniper-' x 600) },      'too long'],
    hidden  => [sub { in_place($_[0], 'juniper-' . ' ' x 5000 . 'x') }, 'too long'],
    folder  => [sub { unlink $_[0]; mkdir $_[0], 0700 },        'no regular file', sub { rmdir $_[0] }],
    pipe    => [sub { unlink $_[0]; mkfifo($_[0], 0600) },      'no regular file', sub { unlink $_[0] }],
    locked  => [sub { chmod 0000, $_[0] },                      'Permission denied', sub { chmod 0600, $_[0] }],
);
delete $BAD{locked} if $> == 0;
my @BAD  = sort keys %BAD;
my @GOOD = qw(renamed in-place touched);

in_place(path($_), "juniper-$_-1\n") for 'pulse', @GOOD, @BAD;
my $httpd = start_httpd(join('', size_of(CHILDREN, 4), "LogLevel kohomai:trace8\nKohomaiMaxPending 100\n", "CustomLog \"\${LOGS}/pids\" %P\n",
    map { handoff("/$_", $_ eq 'renamed' ? $api->base('slow=300') : $api->base, "KohomaiAPIKey file:$folder/$_.key") } 'pulse', @GOOD, @BAD));

is_deeply [map { key_for($_) } @GOOD, @BAD], [map {"juniper-$_-1"} @GOOD, @BAD], 'at first all have their keys';

# Everything changes at once.
in_place(path('renamed.new'), "  juniper-renamed-2 \r\n");
rename path('renamed.new'), path('renamed');
in_place(path('in-place'), "juniper-in-place-2\n");
utime undef, undef, path('touched');
chmod 0604, path('touched');
$BAD{$_}[0]->(path($_)) for @BAD;
my $took = pulse(2);
note sprintf 'it took %.1f s', $took;

my $at_once = 4 * CHILDREN;
my @visitors = map { visitor($httpd)->ask(GET => '/renamed') } 1 .. $at_once;
$_->answer for @visitors;
my @calls = map { $_->{headers}{authorization} } $api->calls;
is_deeply [@calls[-$at_once .. -1]], [('Bearer juniper-renamed-2') x $at_once], 'a file that was replaced: all have its new key';
my %pid = map { $_ => 1 } split ' ', Kohomai::TestHttpd::read_file($httpd->dir . '/logs/pids');
cmp_ok scalar(keys %pid), '>', 1, 'and that was more than one child';
is key_for('in-place'), 'juniper-in-place-2', 'one that was written over: its new key';
is key_for('touched'),  'juniper-touched-1',  'one that was touched only: the same';
is key_for($_), "juniper-$_-1", "$_: the key from before" for @BAD;

# The next time nothing is said that was said before.
pulse(3);
for my $name (@BAD) {
    my @said = said($name);
    is scalar(@said), 1, "$name: is said once" or diag @said;
    like $said[0], qr/\[kohomai:error\].*$BAD{$name}[1].*The key from before stays in use/, 'with the reason and what follows';
}
is_deeply [map { my $name = $_; map { /its new key is in use/ ? "$name new" : /everybody.*chmod o-r/ ? "$name open" : $_ } said($name) } @GOOD],
    ['renamed new', 'in-place new', 'touched open'], 'the good ones, too, once each';

# All is mended.
for my $name (@BAD) {
    $BAD{$name}[2]->(path($name)) if $BAD{$name}[2];
    in_place(path($name), "juniper-$name-2\n");
}
pulse(4);
for my $name (@BAD) {
    is key_for($name), "juniper-$name-2", "$name: the new key";
    my @said = said($name);
    ok @said == 3 && $said[1] =~ /well again/ && $said[2] =~ /its new key is in use/, 'is said once' or diag @said;
}

# A visit that began before a graceful restart and needs a second call after it has the key of its own configuration.
my $slow = start_httpd(size_of(1, 4) . handoff('/new', $api->base('slow=1500', 'no-link'), 'KohomaiAPIKey sandbox-key',
    'KohomaiHandoff register', 'KohomaiLead Email a@b.example'));
$api->clear;
my $visitor = visitor($slow)->ask(GET => '/new');
$api->wait_until(sub { $_[0]->connections->{waiting} });
$slow->signal('USR1');
ok wait_for(sub { $slow->error_log =~ /resuming normal operations.*resuming normal operations/s }), 'a graceful restart';
$visitor->answer;
is_deeply [map {"$_->{path} $_->{headers}{authorization}"} $api->calls],
    [map {"$_ Bearer sandbox-key"} '/api/v1/journeys', '/api/v1/sessions'],
    'both calls of the old child carry the key';
ends_well($slow);

unlike $httpd->error_log . $httpd->output . $httpd->access_log, qr/juniper/, 'no key is in any log';
ends_well($httpd);
done_testing;

sub path { return "$folder/$_[0].key" }

# Written over, so that it stays the same file.
sub in_place {
    my ($path, $bytes) = @_;
    my $is_new = !-e $path;
    open my $out, $is_new ? '>:raw' : '+<:raw', $path or die "$path: $!\n";
    truncate $out, 0;
    print {$out} $bytes;
    close $out or die "$path: $!\n";
    chmod 0600, $path if $is_new;
}

# What the parent does, it does to all files in turn: when it has seen this one, and is through, it has seen them all.
sub pulse {
    my ($number) = @_;
    my $began = time;
    in_place(path('pulse'), "juniper-pulse-$number\n");
    ok wait_for(sub { said('pulse') == $number - 1 }), 'the parent looked at the files';
    ok wait_for(sub { key_for('pulse') eq "juniper-pulse-$number" }), 'and children know';
    sleep 0.5;
    return time - $began;
}

# The key that a visitor's call carries.
sub key_for {
    my ($name) = @_;
    $httpd->request(GET => "/$name");
    return (($api->calls)[-1]{headers}{authorization} // '') =~ s/^Bearer //r;
}

sub said {
    my ($name) = @_;
    return grep {/KohomaiAPIKey file:\Q$folder\E\/\Q$name\E\.key: /} split /\n/, $httpd->error_log;
}
