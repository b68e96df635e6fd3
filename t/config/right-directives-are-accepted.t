# What the reference allows is accepted by `httpd -t`, every default among it, where it is stated explicitly; in each
# context that the directive has, and without a complaint.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

# Allowed at server level, in a virtual host and in sections.
my @EVERYWHERE = (
    'KohomaiBaseURL https://app.kohomai.com/api/v1',
    'KohomaiBaseURL https://app.hyperaktiv.ai/api/v1/',
    'KohomaiBaseURL https://rig.example:8443',
    'KohomaiBaseURL http://localhost:8080/api/v1',
    'KohomaiBaseURL http://127.0.0.1/api/v1',
    'KohomaiBaseURL http://127.9.9.9:1/api/v1',
    'KohomaiBaseURL http://[::1]:8080/api/v1',
    'KohomaiTimeout 10s connect=3s',
    'KohomaiTimeout 10s',
    'KohomaiTimeout 500ms',
    'KohomaiTimeout 500ms connect=500ms',
    'KohomaiTimeout 5min connect=1min',
    'KohomaiTimeout 1h',
    (map {"KohomaiRetry $_"} 0, 1, 10),
    'KohomaiCAFile ${KOHOMAI_TLS_CERT}',
    'KohomaiAPI journeys',
    'KohomaiAPI journeys-flat',
    'KohomaiAPI leads',
    'KohomaiAPI LEADS',
    'KohomaiAllowReturn www.example.com',
    'KohomaiAllowReturn www.example.com *.example.com www.example.com:8443 127.0.0.1 [::1] [::1]:8080',
    'KohomaiAllowLink app.kohomai.com *.hyperaktiv.ai',
    'KohomaiAllowOrigin https://forms.example.com http://localhost:3000',
    'KohomaiRateLimit register 60/1min',
    'KohomaiRateLimit session Off',
    'KohomaiRateLimit 5/1h',
);

my @SERVER_AND_VHOST = ('KohomaiInsecure Off');

# Allowed once, for the whole server.
my @WHOLE_SERVER = ('KohomaiBreaker 5 15s', 'KohomaiBreaker 1 500ms', 'KohomaiBreaker 10000 1h', 'KohomaiBreaker Off',
    'KohomaiMaxPending 1', 'KohomaiMaxPending 1000000');

# Allowed in sections and in .htaccess.
my @SECTIONS = (
    (map {"KohomaiHandoff $_"} qw(On Off session register off SESSION)),
    (map {"KohomaiResponse $_"} qw(auto redirect json JSON)),
    'KohomaiJourney 74590868830731162',
    'KohomaiJourney %{env:AUTHENTICATE_JOURNEY_ID}',
    'KohomaiJourney "%{query:id}"',
    'KohomaiUser %{cookie:user}',
    'KohomaiLead Email %{form:email}',
    'KohomaiLead email "%{REMOTE_USER}@example.com"',
    "KohomaiLead Firstname %{form:firstname}\nKohomaiLead Lastname %{form:lastname}",
    "KohomaiAPI leads\nKohomaiLead PhoneNumber %{form:phone}",
    'KohomaiData #123456789 %{query:colour}',
    "KohomaiData #1 a\nKohomaiData #2 b\nKohomaiData #12345678901234567890 c",
    qq{KohomaiAPI leads\nKohomaiData "My datapoint" %{form:a}\nKohomaiData Gr\xc3\xb6\xc3\x9fe %{form:b}},
    "KohomaiAPI workflows\nKohomaiWorkflow 12345678901234567890",
    'KohomaiRef demo',
    'KohomaiRef %{env:REF}',
    'KohomaiRedirectURL /welcome',
    'KohomaiRedirectURL https://www.example.com/welcome?a=b',
    'KohomaiRedirectURL "https://%{HTTP_HOST}/welcome"',
    (map {"KohomaiFallback $_ pass"} qw(any registered queued unknown invalid forbidden prefetch limited refused unavailable failed timeout ANY)),
    (map {"KohomaiFallback unknown $_"} qw(400 404 410 429 500 502 503 504 511)),
    'KohomaiFallback unknown PASS',
    'KohomaiFallback unknown /join',
    'KohomaiFallback unknown /join?from=onboarding',
    'KohomaiFallback unknown https://www.example.com/join',
    'KohomaiFallback unknown "/join?why=%{env:KOHOMAI_REASON}"',
);

my %WRAP = (
    'at server level' => ['', ''],
    'in a virtual host' => ["<VirtualHost *:1>\n", "\n</VirtualHost>"],
    'in a Location'     => ["<Location /onboarding>\n", "\n</Location>"],
    'in a Directory'    => ["<Directory /var/empty>\n", "\n</Directory>"],
    'in Files'          => ["<Files join.php>\n", "\n</Files>"],
    'in an If'          => ["<If true>\n", "\n</If>"],
    'in an If inside a Location' => ["<Location /onboarding>\n<If true>\n", "\n</If>\n</Location>"],
);

for my $where (sort keys %WRAP) {
    my @lines = $where =~ /server level|virtual host/ ? (@EVERYWHERE, @SERVER_AND_VHOST) : (@EVERYWHERE, @SECTIONS);
    push @lines, @WHOLE_SERVER if $where =~ /server level/;
    accepted_together($where, @lines);
}

my ($status, $said) = config_check(<<'END');
KohomaiAPIKey file:${DIR}/site.conf
<Location /onboarding>
    KohomaiHandoff On
    KohomaiJourney %{env:AUTHENTICATE_JOURNEY_ID}
</Location>
END
isnt $status, 0, 'a configuration is no key' or diag $said;

($status, $said) = config_check(<<'END', env => {KOHOMAI_KEY => 'a-key'});
KohomaiAPIKey env:KOHOMAI_KEY
<Location "/onboarding">
    KohomaiHandoff On
    KohomaiJourney %{env:AUTHENTICATE_JOURNEY_ID}
</Location>
END
is $status, 0, 'the smallest useful configuration is accepted';
is $said, "Syntax OK\n", 'without a word';

# What is allowed but should be known is said in a warning that names its line.
($status, $said) = config_check("\nKohomaiInsecure On\nKohomaiBaseURL http://rig.example/api/v1\n");
is $status, 0, 'plain http to another machine is accepted on a test rig';
like $said, qr/site\.conf:2: KohomaiInsecure: .*test rigs only/, 'with a warning';

is((config_check("KohomaiBaseURL http://rig.example/\nKohomaiInsecure On\n"))[0], 0, 'in either order');
my $rig = start_httpd("KohomaiInsecure On\n");
is $rig->stop, 0, 'a server that starts so';
is scalar(() = $rig->error_log =~ /KohomaiInsecure/g), 1, 'says it once, too';

# Sections are put together anew for each request: what one of them lacks another may add, wherever that stands.
my %ADDED = (
    'a section adds the workflow of the server' => "KohomaiAPI workflows\n<Location /a>\nKohomaiWorkflow 12\n</Location>\n",
    'a virtual host chooses the generation of a section outside it' =>
        "<Location /a>\nKohomaiWorkflow 12\n</Location>\n<VirtualHost *:1>\nKohomaiAPI workflows\n</VirtualHost>\n",
    'a .htaccess adds the workflow' => "KohomaiAPI workflows\n<Directory />\nAllowOverride All\n</Directory>\n",
    'an inner section chooses the generation of the data' =>
        "<Location /a>\nKohomaiData Colour x\n</Location>\n<Location /a/b>\nKohomaiAPI leads\n</Location>\n",
);
for my $what (sort keys %ADDED) {
    my ($status, $said) = config_check($ADDED{$what});
    is $status, 0, $what or diag $said;
}

for my $api (qw(journeys workflows)) {
    ($status, $said) = config_check(<<"END");
KohomaiAPI $api
<Location /onboarding>
    KohomaiHandoff On
    KohomaiWorkflow 12
    KohomaiLead Email %{form:email}
    KohomaiLead PhoneNumber %{form:phone}
</Location>
END
    is $status, 0, "a phone number is accepted for $api";
    like $said, qr/site\.conf:6: KohomaiLead: a phone number .*left out/, 'with a warning that it is left out';
}
for my $api (qw(leads journeys-flat)) {
    ($status, $said) = config_check("<Location /a>\nKohomaiAPI $api\nKohomaiLead PhoneNumber x\n</Location>\n");
    is "$status $said", "0 Syntax OK\n", "$api takes a phone number without a warning";
}

done_testing;

# All of the lines in one go, each in a section or host of its own; where that fails, each one alone, to say which.
sub accepted_together {
    my ($where, @lines) = @_;
    my ($before, $after) = @{$WRAP{$where}};
    my ($status, $said) = config_check(join '', "Timeout 7200\n", map {"$before$_$after\n"} @lines);
    return pass scalar(@lines) . " right lines are accepted $where" if $status == 0 && $said !~ /kohomai/i;
    for my $line (@lines) {
        my ($status, $said) = config_check("Timeout 7200\n$before$line$after\n");
        ok $status == 0 && $said !~ /kohomai/i, "$where: $line" or diag $said;
    }
    fail "right lines are accepted together $where";
    diag $said;
}
