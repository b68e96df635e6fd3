# KohomaiAllowOrigin: what the reference allows is accepted without a word, all else stops `httpd -t` with
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
    'KohomaiAllowOrigin https://forms.example.com',
    'KohomaiAllowOrigin https://forms.example.com https://www.example.org:8443 http://localhost:3000 HTTPS://Shop.Example http://[::1]:8080',
    "KohomaiAllowOrigin https://a.example\nKohomaiAllowOrigin https://b.example",
);

my $ORIGIN = qr{write https://HOST or https://HOST:PORT \(or http://\), without a path};

my @BAD = (
    ['KohomaiAllowOrigin',                  qr/requires at least (?:one|1) argument|takes/],
    ['KohomaiAllowOrigin *',                qr/'\*': any site could then act for your visitors; $ORIGIN/],
    ['KohomaiAllowOrigin null',             qr/'null': every page of every site can call itself that; $ORIGIN/],
    ['KohomaiAllowOrigin NULL',             qr/can call itself that; $ORIGIN/],
    (map { ["KohomaiAllowOrigin $_", qr/that is no origin; $ORIGIN/] }
        'forms.example.com', 'https://forms.example.com/', 'https://forms.example.com/path', 'https://*.example.com',
        'https://forms.example.com?', 'https://forms.example.com?a=b', '"https://forms.example.com#"', 'https://user@forms.example.com',
        'https://forms.example.com:0', 'https://forms.example.com:65536', 'https://forms.example.com:', 'https://', 'https:/a.example',
        'ftp://forms.example.com', 'chrome-extension://abc', 'file://', '//forms.example.com', 'https://forms..example', 'https://1.2.3',
        'https://forms.example.com,https://b.example', '"https://a.example https://b.example"', "https://b\xc3\xbccher.example"),
    ['KohomaiAllowOrigin https://a.example * https://b.example', qr/'\*': any site/],
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
