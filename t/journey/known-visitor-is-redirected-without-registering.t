# A visitor whose journey id the site knows gets a one-time link for exactly that journey, by one call that opens a session.
use strict;
use warnings;
use Test::More;
use HTTP::Tiny;
use Kohomai::TestServer;

my $api = sandbox()->clear;

my $answer = request(GET => '/journey/known');
is $answer->status, 302, 'the visitor is sent on';

my @calls = $api->calls;
is scalar @calls, 1, 'by a single call';
my $call = $calls[0];
is "$call->{method} $call->{path}", 'POST /api/v1/sessions', 'which opens a session';
is $call->{body}, '{"Journey":{"Id":74590868830731162}}', 'for the journey, whose digits are exact, and says nothing else';
is $call->{query}, undef, 'without a query';
is $call->{status}, 200, 'and is what the API expects';
is_deeply [@{$call->{headers}}{qw(authorization accept content-type content-length)}],
    ['Bearer sandbox-key', 'application/json', 'application/json', length $call->{body}], 'with the key and the media types';
is_deeply [grep { exists $call->{headers}{$_} } qw(cookie referer origin expect transfer-encoding)], [], 'and nothing of the visitor';

like $answer->header('Location'), qr{^http://127\.0\.0\.1:\d+/internal/v1/autologin\?UUID=\Q$call->{uuid}\E$}, 'the link is the one in the answer';
is $answer->header('Cache-Control'), 'no-store', 'which nobody may store';

my $browser = HTTP::Tiny->new(max_redirect => 0);
my $login   = $browser->get($answer->header('Location'));
my ($cookie) = ($login->{headers}{'set-cookie'} // '') =~ /^([^;]+)/;
my $front = $browser->get($api->url . '/front', {headers => {Cookie => $cookie // 'none=none'}});
like $front->{content}, qr/John/, 'it opens the front office, which greets the visitor';

is request(GET => '/journey/known')->status, 302, 'the path is no one-time link:';
my @links = map { $_->{uuid} } $api->calls;
isnt $links[1], $links[0], 'each visit gets a fresh one' if @links == 2;
is scalar @links, 2, 'by a call of its own';

done_testing;
