# What becomes of a lead follows from what the API says: at the visitor's own call, where the visitor is told, and at a
# delivery, where the log and a note in the record are. Nothing that Kohomai may have taken is sent again.
use strict;
use warnings;
use Test::More;
use Kohomai::TestOutbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

my $api = sandbox()->clear;

# mood => what the visitor gets, and where the lead is then; and where a delivery takes it, with the note there.
my @CASES = (
    ['status=429',    'queued api 202',              '.',         '.'],
    ['status=502',    'queued api 202',              '.',         '.'],
    ['status=503',    'queued api 202',              '.',         '.'],
    ['status=504',    'queued api 202',              '.',         '.'],
    ['status=408',    'queued api 202',              '.',         '.'],
    ['status=401',    'queued key 202',              '.',         '.'],
    ['status=403',    'queued key 202',              '.',         '.'],
    ['status=400',    'invalid api 422',             undef,       'rejected', 'rejected api 400'],
    ['status=409',    'invalid api 422',             undef,       'rejected', 'rejected api 409'],
    ['status=422',    'invalid api 422',             undef,       'rejected', 'rejected api 422'],
    ['status=404',    'refused not-there 404',       undef,       'rejected', 'rejected not-there 404'],
    ['status=410',    'refused api 502',             undef,       'rejected', 'rejected api 410'],
    ['status=500',    'failed api 502',              'uncertain', 'uncertain', 'uncertain api 500'],
    ['redirect',      'failed api 502',              'uncertain', 'uncertain', 'uncertain api 302'],
    ['hangup-after',  'failed answer-broken 502',    'uncertain', 'uncertain', 'uncertain answer-broken 0'],
    ['cut',           'failed answer-broken 502',    'uncertain', 'uncertain', 'uncertain answer-broken 0'],
    ['huge',          'failed answer-broken 502',    'uncertain', 'uncertain', 'uncertain answer-broken 0'],
    ['hang',          'timeout - 504',                'uncertain', 'uncertain', 'uncertain timeout 0'],
    ['garbage-json',  'failed answer-json 502',      undef,       undef],
    ['foreign-link',  'failed link-host 502',        undef,       undef],
    ['empty',         'registered - 204',             undef,       undef],
    ['no-link',       'failed answer-no-link 502',   undef,       undef],
    ['slow=1',        'handed-off - 302',             undef,       undef],
);

my @LINES = ('KohomaiAPIKey sandbox-key', 'KohomaiMaxPending 100', 'KohomaiTimeout 2s connect=1s', 'KohomaiRetry 0', 'KohomaiBreaker Off',
    'LogLevel kohomai:debug');

# --- At the visitor's own call ----------------------------------------------------------------------------------------
{
    # One server: what is kept stays, since nobody delivers while somebody else holds the directory.
    my $outbox = Kohomai::TestOutbox->new;
    my $lock   = $outbox->preside;
    my $httpd  = start_httpd(size_of(1, 8, @LINES, 'KohomaiOutbox ' . $outbox->path)
        . join '', map { signup("/$_->[0]", $api->base($_->[0])) } @CASES);
    for my $case (@CASES) {
        my ($mood, $outcome, $box) = @$case;
        $httpd->request(GET => "/$mood?email=" . name_of($mood) . '@b.example');
        is +(outcomes($httpd, "/$mood"))[0], $outcome, "$mood: the visitor's outcome";
        my @found = grep { my $in = $_; grep { $_ eq name_of($mood) . '@b.example' } $outbox->emails($in) } qw(. sending uncertain rejected);
        is_deeply \@found, [$box // ()], 'and the lead is ' . ($box // 'not kept');
    }
    is scalar(my @left = $outbox->files('sending')), 0, 'nothing is left as being sent';
    my %noted = map { $_ => 1 } $outbox->notes('uncertain');
    is_deeply \%noted, {map { $_ => 1 } 'uncertain api 500', 'uncertain api 302', 'uncertain answer-broken 0', 'uncertain timeout 0'}, 'with what is known';
    undef $lock;
    ends_well($httpd);
}

# --- At a delivery ----------------------------------------------------------------------------------------------------
{
    $api->clear;
    my $outbox = Kohomai::TestOutbox->new;
    my $httpd  = start_httpd(size_of(1, 8, @LINES, 'KohomaiOutbox ' . $outbox->path)
        . join '', map { signup("/$_->[0]", $api->base($_->[0])) } @CASES);
    my %name = map { $_->[0] => $outbox->put(Kohomai::TestOutbox::record($api->base($_->[0]), name_of($_->[0]) . '@b.example')) } @CASES;
    my $waiting = grep { ($_->[3] // '') eq '.' } @CASES;
    my $expected = sprintf 'waiting=%d sending=0 uncertain=%d rejected=%d', $waiting, map { my $box = $_; scalar grep { ($_->[3] // '') eq $box } @CASES } qw(uncertain rejected);
    ok wait_for(sub { tried_all($httpd, %name) }), 'all are tried, whatever becomes of the others' or diag $httpd->error_log;
    is $outbox->wait_for($expected), $expected, 'and are where they belong';
    for my $case (@CASES) {
        my ($mood, undef, undef, $box, $note) = @$case;
        my @found = grep { -e $outbox->path . "/$_/$name{$mood}" } qw(. sending uncertain rejected);
        is_deeply \@found, [$box // ()], "$mood: a delivery leaves it " . ($box // 'nowhere: it is done');
        next if !$note;
        my $last = (Kohomai::TestOutbox::lines($outbox->path . "/$box/$name{$mood}"))[-1];
        is "$last->{Became} $last->{Reason} $last->{Status}", $note, 'and says why';
        like $last->{At}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'and when';
        is scalar(my @calls = $api->calls(contains => name_of($mood) . '@')), 1, 'after one call';
    }
    is scalar(my @lines = $httpd->error_log =~ /KohomaiOutbox: Kohomai does not take the key: .*KohomaiAPIKey/g), 2, 'where the key is at fault it is said, once for each base URL';

    # A person moves one back: it is sent once more.
    my $mended = $name{'hangup-after'};
    rename $outbox->path . "/uncertain/$mended", $outbox->path . "/$mended" or die;
    ok $api->wait_until(sub { (my @calls = $api->calls(contains => 'hangup-after@')) == 2 }), 'what is moved up is sent again';
    ok wait_for(sub { -e $outbox->path . "/uncertain/$mended" }), 'and ends where it was';
    is scalar(my @notes = Kohomai::TestOutbox::lines($outbox->path . "/uncertain/$mended")), 3, 'with one more note';
    ends_well($httpd);
}

done_testing;

sub signup {
    my ($path, $base) = @_;
    return qq{<Location "$path">\nKohomaiHandoff register\nKohomaiBaseURL "$base"\nKohomaiLead Email %{query:email}\n</Location>\n};
}

sub name_of { return $_[0] =~ tr/=/-/r }

sub tried_all {
    my ($httpd, %name) = @_;
    my $log = $httpd->error_log;
    return !grep { $log !~ /outbox=\w+ record=\Q$_\E / } values %name;
}
