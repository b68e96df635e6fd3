# A robot that makes a preview of a link in a mail or chat sends a plain GET, which nothing tells from a program. It is nobody,
# so it mints nothing; where the address itself says who somebody is, it gets a link of its own, and the visitor another; and it
# registers nobody where people are registered by a form.
use strict;
use warnings;
use Test::More;
use Kohomai::TestServer;

my $api = sandbox();
my @robots = (
    ['Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)'],
    ['facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)', 'Range' => 'bytes=0-524287', 'Accept-Encoding' => 'deflate, gzip'],
    ['Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)'],
    ['WhatsApp/2.23.20.0', Accept => '*/*'],
    ['Mozilla/5.0 (Windows NT 10.0; Win64; x64) Microsoft Office/16.0 SafeLinks'],
);
for my $robot (@robots) {
    my ($name, @headers) = @$robot;
    my @how = (headers => ['User-Agent' => $name, @headers]);
    $api->clear;
    is request(GET => '/answer/unknown', @how)->status, 403, "$name: nobody is signed in";
    is request(GET => '/journey/member', @how)->status, 401, 'nor here';
    is request(GET => '/journey/join', @how)->status, 403, 'a form that is not sent registers nobody';
    is request(HEAD => '/journey/join', @how)->status, 204, 'nor does a look ahead';
    is_deeply [$api->calls], [], 'and nobody is asked';

    # A link by mail that says who it is for.
    my $robots = request(GET => '/journey/by-id?journey=74590868830731162', @how)->header('Location');
    my $theirs = request(GET => '/journey/by-id?journey=74590868830731162')->header('Location');
    like $_, qr{/autologin\?UUID=}, 'a link' for $robots, $theirs;
    isnt $theirs, $robots, 'the visitor gets another one than the robot';
}

done_testing;
