# A configuration may look at a form on a path that is not handed off: <If "%{form:colour} == 'blue'">. The application still
# gets the body whole, and behind a front controller's rewrite, too.
use strict;
use warnings;
use Test::More;
use Digest::MD5 qw(md5_hex);
use Kohomai::TestServer;

my $FORM = 'application/x-www-form-urlencoded';
my $MIB  = 1024 * 1024;
my $sandbox = sandbox()->clear;

for my $path ('/cgi-bin/digest/if', '/php/digest.php/if', '/body/http/if') {
    for my $size (1_000, 65_537, 2 * $MIB, 8 * $MIB, 8 * $MIB + 1, 9 * $MIB) {
        for my $chunked (0, 70_000) {
            my $body = 'colour=blue&x=' . 'y' x ($size - 14);
            my $answer = request(POST => $path, body => $body, headers => ['Content-Type' => $FORM], chunked => $chunked);
            my $what = "$path: $size bytes" . ($chunked ? ' in chunks' : '');
            like $answer->status . ' ' . $answer->body, qr/^200 $size @{[md5_hex($body)]} /, $what;
            is $answer->header('X-Colour'), $size > 8 * $MIB ? undef : 'blue', 'and the field was seen where it could be';
        }
    }
}
my $body = 'colour=blue&x=' . 'y' x 70_000;
my $answer = request(POST => '/blog/if/that', body => $body, headers => ['Content-Type' => $FORM]);
is $answer->body, "POST /blog/if/that\n$body", 'behind a front controller, too';

for my $row (['text/plain', 'colour=blue', undef], ['application/json', '{"colour":"blue"}', 'blue'], ['application/json', '{"colour":', undef],
    [$FORM, 'colour=bl%00ue', undef], [$FORM, 'colour=red&colour=blue', undef], [$FORM, 'colour=%62lue', 'blue'])
{
    my ($type, $sent, $colour) = @$row;
    $answer = request(POST => '/cgi-bin/digest/if', body => $sent, headers => ['Content-Type' => $type]);
    like $answer->body, qr/^@{[length $sent]} @{[md5_hex($sent)]} /, "$sent is whole";
    is $answer->header('X-Colour'), $colour, 'and read as what it is';
}
is request(GET => '/cgi-bin/digest/if?colour=blue')->header('X-Colour'), undef, 'a query is no form';
is_deeply [$sandbox->calls], [], 'Kohomai was never asked';

done_testing;
