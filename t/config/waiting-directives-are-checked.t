# KohomaiRetry, KohomaiBreaker and KohomaiMaxPending: what the reference allows is accepted without a word, all else stops
# `httpd -t` with the line and what to write; and a Timeout of httpd's that would end a visitor's wait first is warned about.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my %PLACE = (
    server   => sub { $_[0] },
    vhost    => sub { "<VirtualHost *:1>\n$_[0]\n</VirtualHost>" },
    location => sub { "<Location /onboarding>\n$_[0]\n</Location>" },
    if       => sub { "<If true>\n$_[0]\n</If>" },
);

my @GOOD = (
    (map { my $n = $_; map { [$_ => "KohomaiRetry $n"] } qw(server vhost location if) } 0, 1, 10),
    (map { [server => "KohomaiBreaker $_"] } '5 15s', '1 1ms', '10000 1h', '3 5min', 'Off', 'off'),
    (map { [server => "KohomaiMaxPending $_"] } 1, 37, 10_000),
);

my $NUMBER   = qr/number|\d+ to \d+|from \d+/i;
my $DURATION = qr/ms, s, min or h/;
my $BREAKER  = qr/a number of failures and a duration, such as 5 15s, or Off/;
my $GLOBAL   = qr/cannot occur within|not allowed/;

my @BAD = (
    (map { [location => "KohomaiRetry $_", $NUMBER] } qw(-1 11 1.5 one 1x 0x1 99999999999999999999 +1), '" 1"'),
    [server   => 'KohomaiRetry',            qr/takes one argument/],
    [server   => 'KohomaiRetry 1 2',        qr/takes one argument/],
    [server   => 'KohomaiBreaker 5',        $BREAKER],
    [server   => 'KohomaiBreaker On',       $BREAKER],
    [server   => 'KohomaiBreaker 15s',      $BREAKER],
    (map { [server => "KohomaiBreaker $_ 15s", $NUMBER] } qw(0 -1 x 1.5 10001 99999999999999999999)),
    (map { [server => "KohomaiBreaker 5 $_", $DURATION] } qw(0s 15 15x -1s 1.5s)),
    [server   => 'KohomaiBreaker 5 2h',     qr/1h at most/],
    [server   => 'KohomaiBreaker Off 15s',  $NUMBER],
    [server   => 'KohomaiBreaker 5 15s 1',  qr/takes 1-2 arguments/],
    [server   => 'KohomaiBreaker',          qr/takes 1-2 arguments/],
    (map { [server => "KohomaiMaxPending $_", $NUMBER] } qw(0 -1 x 1.5 99999999999999999999)),
    [server   => 'KohomaiMaxPending',       qr/takes one argument/],
    # One server, one breaker, one cap.
    (map { my $line = $_; map { [$_ => $line, $GLOBAL] } qw(vhost location if) } 'KohomaiBreaker 5 15s', 'KohomaiBreaker Off', 'KohomaiMaxPending 5'),
);

accepted(@$_) for @GOOD;
refused(@$_) for @BAD;

# httpd's Timeout and ours. Equal is too short, too.
my $WARNING = qr/KohomaiTimeout: .*set Timeout to more than .* (\d+)s/;
warned('Timeout 5',                                       10, 'the default of 10s', 'KohomaiHandoff On');
warned("Timeout 60\nKohomaiTimeout 60s",                  60, 'the same time');
warned("Timeout 30\nKohomaiTimeout 60s",                  60, 'a longer one');
warned("Timeout 30\n<Location /a>\nKohomaiTimeout 40s\n</Location>\n<Location /b>\nKohomaiTimeout 50s\n</Location>", 50, 'the longest of several');
warned("<VirtualHost *:1>\nTimeout 7\n<Location /a>\nKohomaiTimeout 8s\n</Location>\n</VirtualHost>", 8, "a virtual host's own");
warned("Timeout 60\nKohomaiTimeout 30s\n<VirtualHost *:1>\nTimeout 7\n</VirtualHost>", 30, 'one that a virtual host takes over');
quiet("Timeout 60\nKohomaiTimeout 59s",                   'a shorter one');
quiet("Timeout 60\n<Location /a>\nKohomaiTimeout 59s\n</Location>", 'a shorter one in a section');
quiet('Timeout 11',                                       'the default of 10s within Timeout');
quiet('Timeout 5',                                        'a server where nobody is handed off');

done_testing;

sub accepted {
    my ($place, $line) = @_;
    my ($status, $said) = config_check($PLACE{$place}->($line) . "\n");
    ok $status == 0 && $said =~ /Syntax OK/ && $said !~ /ohomai/, "in $place: $line" or diag "status $status: $said";
}

sub refused {
    my ($place, $line, $mend) = @_;
    my $text = "# A comment.\n" . $PLACE{$place}->($line) . "\n";
    my $number = 1 + (substr($text, 0, index $text, $line) =~ tr/\n//);
    my ($directive) = $line =~ /^(\w+)/;
    my ($status, $said) = config_check($text);
    ok $status == 1 && $said =~ m{on line $number of \S+/site\.conf:\s*\Q$directive\E\b.*$mend}s, "in $place: $line" or diag "status $status: $said";
}

sub warned {
    my ($text, $seconds, $what, @section) = @_;
    my ($status, $said) = config_check(join "\n", $text, @section ? ('<Location /x>', @section, '</Location>') : (), '');
    is $status, 0, "$what: no more than a warning";
    my ($told) = $said =~ $WARNING;
    is $told, $seconds, "$what: with the time that would do" or diag $said;
}

sub quiet {
    my ($text, $what) = @_;
    my ($status, $said) = config_check("$text\n");
    ok $status == 0 && $said !~ $WARNING, "$what: not a word" or diag $said;
}
