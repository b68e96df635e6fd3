# Every mistake that shows at start-up stops `httpd -t`, which names the file, the line, the directive, and what to write
# instead. Each row is one configuration whose last directive is wrong. (Keys have a test of their own.)
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $WORDS    = qr/On, Off, session, register/;
my $DURATION = qr/ms, s, min or h/;
my $HTTPS    = qr/write an https URL/;
my $CLEAR    = qr{write https://, or, on a test rig only, KohomaiInsecure On};
my $OUTCOMES = qr/any, registered, queued, unknown, invalid, forbidden, prefetch, limited, refused, unavailable, failed, timeout/;
my $STATUS   = qr/4xx or 5xx/;
my $INSIDE   = qr/inside a section, such as <Location/;
my $ID       = qr/1 to 20 digits/;
my $HOST     = qr/host/i;
my $EXPR     = qr/expression/;
my $API      = qr/leads, journeys, journeys-flat, workflows/;

# For the first column of a row: where the directive stands.
my %PLACE = (
    server    => sub { $_[0] },
    vhost     => sub { "<VirtualHost *:1>\n$_[0]\n</VirtualHost>" },
    location  => sub { "<Location /onboarding>\n$_[0]\n</Location>" },
    directory => sub { "<Directory /var/empty>\n$_[0]\n</Directory>" },
    files     => sub { "<Files join.php>\n$_[0]\n</Files>" },
    if        => sub { "<If true>\n$_[0]\n</If>" },
);

my @ROWS = (
    [location => 'KohomaiHandoff yes',                       $WORDS],
    [location => 'KohomaiHandoff 1',                         $WORDS],
    [location => 'KohomaiHandoff ""',                        qr/takes (?:one|two) arguments?/],
    [location => 'KohomaiHandoff',                           qr/takes one argument/],
    [location => 'KohomaiHandoff On Off',                    qr/takes one argument/],

    [server   => 'KohomaiBaseURL app.kohomai.com/api/v1',    $HTTPS],
    [server   => 'KohomaiBaseURL /api/v1',                   $HTTPS],
    [server   => 'KohomaiBaseURL ftp://app.kohomai.com/',    $HTTPS],
    [server   => 'KohomaiBaseURL https://',                  $HTTPS],
    [server   => 'KohomaiBaseURL https:///api/v1',           $HTTPS],
    [server   => 'KohomaiBaseURL ""',                        qr/takes (?:one|two) arguments?/],
    [server   => 'KohomaiBaseURL "https://app.kohomai.com/api v1"', $HTTPS],
    [server   => 'KohomaiBaseURL https://app.kohomai.com\\api/v1', $HTTPS],
    [server   => 'KohomaiBaseURL https://app.kohomai.com:0/',      $HTTPS],
    [server   => 'KohomaiBaseURL https://app.kohomai.com:65536/',  $HTTPS],
    [server   => 'KohomaiBaseURL https://app.kohomai.com:x/',      $HTTPS],
    [server   => 'KohomaiBaseURL https://john@app.kohomai.com/',   qr/without user/],
    [server   => 'KohomaiBaseURL https://john:pw@app.kohomai.com/api/v1', qr/without user/],
    [server   => 'KohomaiBaseURL https://app.kohomai.com/api/v1?a=b', qr/without user, query/],
    [server   => 'KohomaiBaseURL "https://app.kohomai.com/api/v1#a"', qr/without user, query and fragment/],
    [server   => 'KohomaiBaseURL http://app.kohomai.com/api/v1',   $CLEAR],
    [vhost    => 'KohomaiBaseURL http://app.kohomai.com/api/v1',   $CLEAR],
    [location => 'KohomaiBaseURL http://app.kohomai.com/api/v1',   $CLEAR],
    [server   => 'KohomaiBaseURL http://10.0.0.1/api/v1',          $CLEAR],
    [server   => 'KohomaiBaseURL http://localhost.example.com/',   $CLEAR],
    [server   => 'KohomaiBaseURL http://127.0.0.1.example.com/',   $CLEAR],
    [server   => 'KohomaiBaseURL http://[2001:db8::1]/api/v1',     $CLEAR],
    [server   => "KohomaiInsecure Off\nKohomaiBaseURL http://app.kohomai.com/", $CLEAR],
    [vhost    => "KohomaiInsecure Off\nKohomaiBaseURL http://app.kohomai.com/", $CLEAR],

    [server   => 'KohomaiInsecure maybe',                    qr/must be On or Off/],
    [location => 'KohomaiInsecure On',                       qr/not allowed in <Location/],

    (map { [location => "KohomaiTimeout $_", $DURATION] } qw(300x 0s 0 -1s 10 s 1.5s 10s5 10secs 99999999999999999999s), '"10 s"'),
    [server   => 'KohomaiTimeout 10s 3s',                    qr/connect=DURATION/],
    [server   => 'KohomaiTimeout 5 min',                     $DURATION],
    [server   => 'KohomaiTimeout 10s conect=3s',             qr/connect=DURATION/],
    [server   => 'KohomaiTimeout 10s connect=',              $DURATION],
    [server   => 'KohomaiTimeout 10s connect=0s',            $DURATION],
    [server   => 'KohomaiTimeout 10s connect=3x',            $DURATION],
    [server   => 'KohomaiTimeout 10s connect=11s',           qr/no more than the total/],
    [server   => 'KohomaiTimeout 2h',                        qr/1h at most/],
    [server   => 'KohomaiTimeout 10s connect=3s 5s',         qr/takes 1-2 arguments/],
    [server   => 'KohomaiTimeout',                           qr/takes 1-2 arguments/],

    (map { [location => "KohomaiRetry $_", qr/whole number from 0 to 10/] } qw(-1 11 1.5 one 1s 99999999999)),
    (map { [server => "KohomaiBreaker $_ 15s", qr/whole number from 1 to 10000/] } qw(0 -5 10001 five 5s)),
    [server   => 'KohomaiBreaker 5',                         qr/such as 5 15s, or Off/],
    [server   => 'KohomaiBreaker 5 15',                      $DURATION],
    [server   => 'KohomaiBreaker 5 2h',                      qr/1h at most/],
    [vhost    => 'KohomaiBreaker 5 15s',                     qr/cannot occur within <VirtualHost>/],
    [location => 'KohomaiBreaker Off',                       qr/not allowed in <Location/],
    (map { [server => "KohomaiMaxPending $_", qr/whole number from 1 to 1000000/] } qw(0 -1 1000001 many)),
    [vhost    => 'KohomaiMaxPending 5',                      qr/cannot occur within <VirtualHost>/],
    [location => 'KohomaiMaxPending 5',                      qr/not allowed in <Location/],

    [server   => 'KohomaiCAFile ${DIR}/nowhere.pem',         qr/cannot read .*PEM file/],
    [server   => 'KohomaiAPI persons',                       $API],
    [server   => 'KohomaiAPI ""',                            qr/takes (?:one|two) arguments?/],
    [location => 'KohomaiAPI workflow',                      $API],

    (map { [location => "$_ %{env:", $EXPR] } qw(KohomaiJourney KohomaiUser KohomaiRef KohomaiRedirectURL), 'KohomaiLead Email',
        'KohomaiData #12', 'KohomaiFallback unknown'),
    [location => 'KohomaiJourney %{nofunction:x}',           $EXPR],
    [location => 'KohomaiJourney %{NO_VARIABLE}',            $EXPR],
    [location => 'KohomaiJourney 1 2',                       qr/takes one argument/],
    [location => 'KohomaiUser',                              qr/takes one argument/],

    [location => 'KohomaiLead Mail %{query:mail}',           qr/Email, Firstname, Lastname, PhoneNumber/],
    [location => 'KohomaiLead Email',                        qr/takes two arguments/],
    [location => 'KohomaiData #12x %{query:a}',              $ID],
    [location => 'KohomaiData # %{query:a}',                 $ID],
    [location => 'KohomaiData #012 %{query:a}',              $ID],
    [location => 'KohomaiData #123456789012345678901 %{query:a}', $ID],
    [location => 'KohomaiData #12',                          qr/takes two arguments/],
    [location => qq{KohomaiAPI leads\nKohomaiData "" %{query:a}},   qr/name/],
    [location => qq{KohomaiAPI leads\nKohomaiData "a\tb" %{query:a}}, qr/without control characters/],

    (map { [location => "KohomaiWorkflow $_", $ID] } qw(abc -1 1.5 012 123456789012345678901)),

    (map { [server => "KohomaiAllowReturn $_", $HOST] } 'https://www.example.com', 'www.example.com/path', '*', '*.', 'a.*.example.com',
        'www.example.com:0', 'www.example.com:x', '"a b"', '""', 'john@www.example.com', '*.*.example.com'),
    (map { [server => "KohomaiAllowLink $_", $HOST] } 'https://app.kohomai.com', 'app.kohomai.com/', '""'),
    [location => 'KohomaiAllowReturn www.example.com bad/host', $HOST],

    [location => 'KohomaiResponse html',                     qr/auto, redirect, json/],
    [location => 'KohomaiResponse ""',                       qr/takes (?:one|two) arguments?/],

    [location => 'KohomaiFallback unkown pass',              $OUTCOMES],
    [location => 'KohomaiFallback handed-off pass',          $OUTCOMES],
    [location => 'KohomaiFallback "" pass',                  qr/takes (?:one|two) arguments?/],
    (map { [location => "KohomaiFallback unknown $_", $STATUS] } qw(418 599 200 302 399 600 000 100 4040 40)),
    [location => 'KohomaiFallback unknown password',         $STATUS],
    [location => 'KohomaiFallback unknown //evil.example/',  $STATUS],
    [location => 'KohomaiFallback unknown javascript:alert(1)', $STATUS],
    [location => 'KohomaiFallback unknown ""',               qr/takes (?:one|two) arguments?/],
    [location => 'KohomaiFallback unknown',                  qr/takes two arguments/],

    # What says something about a path has no place outside one.
    (map { my $line = $_; map { [$_ => $line, $INSIDE] } qw(server vhost) } 'KohomaiHandoff On', 'KohomaiHandoff Off', 'KohomaiJourney 1',
        'KohomaiUser 1', 'KohomaiLead Email a@b.example', 'KohomaiData #12 x', 'KohomaiRef demo', 'KohomaiWorkflow 12',
        'KohomaiRedirectURL /', 'KohomaiResponse auto', 'KohomaiFallback unknown pass'),

    # The other sections are read just as closely.
    [directory => 'KohomaiHandoff yes',                      $WORDS],
    [files     => 'KohomaiHandoff yes',                      $WORDS],
    [if        => 'KohomaiHandoff yes',                      $WORDS],
    [vhost     => 'KohomaiTimeout 300x',                     $DURATION],

    # What does not fit the generation.
    [location => 'KohomaiData "My datapoint" x',             qr/name, which only KohomaiAPI leads takes/],
    [location => "KohomaiAPI journeys-flat\nKohomaiData Colour x", qr/name, which only KohomaiAPI leads takes.*#ID/],
    [location => "KohomaiAPI leads\nKohomaiData #12 x",      qr/is an id.*the data point's name/],
    [location => "KohomaiAPI workflows\nKohomaiWorkflow 7\nKohomaiData #12 x", qr/is an id/],
    [location => "KohomaiAPI workflows\nKohomaiWorkflow 7\nKohomaiData Colour x", qr/is a name/],
    [location => 'KohomaiAPI workflows',                     qr/add KohomaiWorkflow ID/],
);

refused(@$_) for @ROWS;

my ($status, $said) = config_check(<<'END');
KohomaiBaseURL http://one.example/
<Location /onboarding>
    KohomaiAPI  leads
    KohomaiData #12 x
</Location>
END
isnt $status, 0, 'two mistakes';
like $said, qr/site\.conf:1: KohomaiBaseURL.*site\.conf:4: KohomaiData/s, 'are told together where both are known';

done_testing;

sub refused {
    my ($place, $lines, $mend) = @_;
    my $text = "# A comment.\n" . $PLACE{$place}->($lines) . "\n";
    my $wrong = (split /\n/, $lines)[-1];
    my ($directive) = $wrong =~ /^(\w+)/;
    my $number = 1 + (substr($text, 0, index $text, $wrong) =~ tr/\n//);
    my ($status, $said) = config_check($text);
    my $where = qr{(?:on line $number of \S+/site\.conf:|/site\.conf:$number:)\s*};
    ok $status == 1 && $said =~ /$where\Q$directive\E\b.*$mend/s, "in $place: " . $lines =~ s/\n/ then /gr =~ s/\t/<tab>/gr
        or diag "status $status: $said";
}
