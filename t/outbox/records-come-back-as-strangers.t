# Whatever lies in the outbox is judged before it is believed: garbage goes aside with its reason, what a newer module wrote and
# what leads out of the configuration stays where it is, and none of it holds up the others or takes the key elsewhere.
use strict;
use warnings;
use Test::More;
use Cwd ();
use IO::Socket::INET;
use POSIX qw(mkfifo);
use Kohomai::TestOutbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api    = sandbox()->clear;
my $evil   = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', LocalPort => 0) or die "socket: $@\n";
my $outbox = Kohomai::TestOutbox->new;
my $base   = $api->base;
my ($one, $other) = map { key_file($_) } qw(one other);

# Everything is there when httpd starts, the good ones first and last.
put('good', 'a');
my %rejected = (
    'record-json'       => "what is this?\n",
    'record-form'       => "{}\n",
    'record-incomplete' => 'no line end',
    'record-size'       => 'x' x (1024 * 1024 + 1) . "\n",
    'email-form'        => record('no email'),
    'lastname-form'     => record('x@b.example', Lastname => "a\x07"),
    'url-scheme'        => record('x@b.example', RedirectURL => 'javascript:alert(1)'),
);
my %name = map { $_ => $outbox->put($rejected{$_}) } sort keys %rejected;
$name{'record-form '}  = $outbox->put(record('x@b.example', API => 'telegraph'));
$name{'record-form  '} = $outbox->put(record('x@b.example', API => 'workflows'));
age($name{'record-incomplete'}, 120);
my $young = $outbox->put('half a copy');
age($young, -60);

my $newer  = $outbox->put(qq({"KohomaiLead":2,"Lead":{"Email":"x\@b.example"}}\n));
my $abroad = put('abroad', undef, BaseURL => 'http://127.0.0.1:' . $evil->sockport . '/api/v1');
my $ca     = put('ca',     undef, CAFile => '/tmp/evil.pem');
my $key    = put('key',    undef, Key => 'file:/one/that/is/gone');
symlink '/etc/passwd', $outbox->path . '/20200101T100000.000000Z-link.lead' or die "symlink: $!\n";
mkfifo($outbox->path . '/20200101T100000.000000Z-fifo.lead', 0600) or die "mkfifo: $!\n";
mkdir $outbox->path . '/20200101T100000.000000Z-folder.lead' or die "mkdir: $!\n";
my $closed = put('closed');
chmod 0, $outbox->path . "/$closed";
$outbox->put(record('x@b.example'), $_) for 'notes.txt', 'with blank.lead', '-rf.lead', '.hidden.lead', "control\x07.lead";
put('good', 'z');

my $httpd = start_httpd(size_of(1, 8, 'KohomaiMaxPending 100', 'KohomaiTimeout 2s', 'LogLevel kohomai:debug', 'KohomaiOutbox ' . $outbox->path, "KohomaiAPIKey file:$one")
    . "<Location /new>\nKohomaiHandoff register\nKohomaiLead Email %{query:email}\nKohomaiBaseURL $base\n</Location>\n"
    . "<Location /other>\nKohomaiAPIKey file:$other\n</Location>\n");

ok wait_for(sub { $httpd->error_log =~ /outbox=delivered.*outbox=delivered/s }), 'the good ones are delivered';
is_deeply [map { ($_->{body} =~ /([\w-]+)\@b\.example/)[0] } $api->calls], [qw(good-a good-z)], 'before and behind all that, and no other';
ok wait_for(sub { (my @files = $outbox->files("rejected")) == keys %name }), 'what cannot be read is put aside' or diag $outbox->counts, $httpd->error_log;
for my $reason (sort keys %name) {
    my $text = Kohomai::TestHttpd::read_file($outbox->path . "/rejected/$name{$reason}");
    my $word = $reason =~ s/ +$//r;
    like $text, qr/\{"At":"[^"]+","Became":"rejected","Reason":"\Q$word\E","Status":0\}\n\z/, "$word: with its reason";
    like $httpd->error_log, qr/outbox=rejected record=\Q$name{$reason}\E reason=\Q$word\E status=-$/m, 'which is in the log, too';
    is substr($text, 0, length $rejected{$reason}), $rejected{$reason}, 'and all that it was' if $rejected{$reason};
}
my %left = ($newer => qr/a newer mod_kohomai wrote it/, $abroad => qr/KohomaiBaseURL/, $ca => qr/KohomaiCAFile/, $key => qr/KohomaiAPIKey/,
    (map { ("20200101T100000.000000Z-$_.lead" => qr/no plain file/) } qw(link fifo folder)), $> ? ($closed => qr/httpd's user/) : ());
for my $name (sort keys %left) {
    ok -e $outbox->path . "/$name" || -l $outbox->path . "/$name", "$name: is left where it is";
    is scalar(my @lines = $httpd->error_log =~ /^.*KohomaiOutbox: \S*\Q$name\E is left where it is: .*$left{$name}.*$/mg), 1, 'and why is said once';
}
ok -e $outbox->path . "/$young", 'what somebody may still be copying is left alone';
is scalar(grep { -e $outbox->path . "/$_" } 'notes.txt', 'with blank.lead', '-rf.lead', '.hidden.lead', "control\x07.lead"), 5, 'and so is what has no proper name';
$evil->blocking(0);
ok !$evil->accept, 'nobody called where a record wanted to lead';
unlike $httpd->error_log, qr/x\@b\.example|evil|javascript|\x07/, 'the log repeats nothing of it';
is scalar(my @calls = $api->calls), 2, 'and the API was asked for nobody else';

# --- Mended -----------------------------------------------------------------------------------------------------------
$outbox->put(record('young@b.example'), $young);
ok $api->wait_until(sub { (my @calls = $api->calls(contains => 'young@')) == 1 }, 40), 'a copy that is whole now is delivered';
ends_well($httpd);

# With one key left, it stands in for one that is gone.
$httpd = start_httpd(size_of(1, 8, 'KohomaiTimeout 2s', 'KohomaiOutbox ' . $outbox->path, "KohomaiAPIKey file:$one")
    . "<Location /new>\nKohomaiHandoff register\nKohomaiLead Email %{query:email}\nKohomaiBaseURL $base\n</Location>\n");
ok $api->wait_until(sub { (my @calls = $api->calls(contains => 'key@')) == 1 }), 'the only key is used';
ends_well($httpd);
done_testing;

sub record { my ($email, %more) = @_; return Kohomai::TestOutbox::record($base, $email, Key => "file:$one", %more) }

sub put {
    my ($who, $mark, %more) = @_;
    my $email = defined $mark ? "$who-$mark" : $who;
    my $name  = defined $mark ? ($mark eq 'a' ? '0-first.lead' : 'z-last.lead') : undef;
    return $outbox->put(record("$email\@b.example", %more), $name);
}

# So many seconds old.
sub age {
    my ($name, $seconds) = @_;
    utime time - $seconds, time - $seconds, $outbox->path . "/$name";
}

sub key_file {
    my ($name) = @_;
    my $file = $outbox->path . "/../$name.key";
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} "sandbox-key\n";
    close $out;
    chmod 0600, $file;
    return Cwd::abs_path($file);
}
