# KohomaiRateLimit: what the reference allows is accepted without a word, all else stops `httpd -t` with
# the line and what to write.
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

my @GOOD = map { my $line = $_; map { [$_ => $line] } sort keys %PLACE } (
    (map {"KohomaiRateLimit $_"} '60/1min', '1/10ms', '100/1s', '1000000/24h', '1/24h', 'Off', 'off'),
    'KohomaiRateLimit register 60/1min', 'KohomaiRateLimit session Off', 'KohomaiRateLimit SESSION 5/90s',
    "KohomaiRateLimit register 5/1h\nKohomaiRateLimit session 50/1h",
);

my $RATE     = qr{write a number and a duration, such as 60/1min, or Off};
my $NUMBER   = qr/whole number from 1 to 1000000/;
my $DURATION = qr/ms, s, min or h/;
my $KIND     = qr/none of register, session/;

my @BAD = (
    (map { ["KohomaiRateLimit $_", $RATE] } qw(60 1min On x register)),
    (map { ["KohomaiRateLimit $_/1min", $NUMBER] } qw(0 -1 x 1.5 1000001 99999999999999999999 +1 0x1), ''),
    (map { ["KohomaiRateLimit 60/$_", $DURATION] } qw(1 0s 1x -1s 1.5s min 1min/2), ''),
    ['KohomaiRateLimit 1/25h',              qr/24h at most/],
    ['KohomaiRateLimit 101/1s',             qr/more than 100 a second/],
    ['KohomaiRateLimit 1/9ms',              qr/more than 100 a second/],
    ['KohomaiRateLimit both 60/1min',       $KIND],
    ['KohomaiRateLimit sessions 60/1min',   $KIND],
    ['KohomaiRateLimit Off session',        $KIND],
    ['KohomaiRateLimit session 60',         $RATE],
    ['KohomaiRateLimit session',            $RATE],
    ['KohomaiRateLimit',                    qr/takes 1-2 arguments/],
    ['KohomaiRateLimit session 1/1s 2/1s',  qr/takes 1-2 arguments/],
);

accepted(@$_) for @GOOD;
refused(@$_)  for @BAD;

done_testing;

sub accepted {
    my ($place, $line) = @_;
    my ($status, $said) = config_check($PLACE{$place}->($line) . "\n");
    ok $status == 0 && $said =~ /Syntax OK/ && $said !~ /ohomai/, "in $place: $line" or diag "status $status: $said";
}

sub refused {
    my ($line, $mend) = @_;
    my ($status, $said) = config_check("# A comment.\n<Location /onboarding>\n$line\n</Location>\n");
    my ($directive) = $line =~ /^(\w+)/;
    ok $status == 1 && $said =~ m{on line 3 of \S+/site\.conf:\s*\Q$directive\E\b.*$mend}s, "refused: $line" or diag "status $status: $said";
}
