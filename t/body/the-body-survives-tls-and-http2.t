# Over TLS, and over HTTP/2 where the MPM can do it, the body reaches the application byte for byte, and a form is read.
use strict;
use warnings;
use Test::More;
use Digest::MD5 qw(md5_hex);
use Kohomai::TestServer;

my $version = mpm() eq 'prefork' ? '1.1' : '2';
my @form    = ('Content-Type' => 'application/x-www-form-urlencoded');
my @unsaid  = ('Content-Length' => '');    # curl leaves a header without a value out: a body of unknown length
my $sandbox = sandbox()->clear;

for my $path ('/cgi-bin/digest/pass', '/php/digest.php/pass', '/body/http/pass') {
    for my $size (1, 65_535, 65_536, 65_537, 1_048_576, 8_388_608, 8_388_609, 20_971_520) {
        my $body = substr 'a=' . 'fghi+jklm' x ($size / 9 + 1), 0, $size;
        my $answer = h2get($path, method => 'POST', body => $body, headers => \@form);
        is $answer->version, $version, "HTTP/$version" if $size == 1;
        like $answer->status . ' ' . $answer->body, qr/^200 $size @{[md5_hex($body)]} told=$size$/, "$path: $size bytes";
    }
    next if $version ne '2';
    for my $size (0, 1, 65_537, 8_388_609) {
        my $body = substr 'a=' . 'fghi+jklm' x ($size / 9 + 1), 0, $size;
        my $answer = h2get($path, method => 'POST', body => $body, headers => [@form, @unsaid]);
        like $answer->status . ' ' . $answer->body, qr/^200 $size @{[md5_hex($body)]} /, "$path: $size bytes of an unknown length";
    }
}
is_deeply [$sandbox->calls], [], 'all of which Kohomai was not asked for';

for my $headers ([@form], $version eq '2' ? [@form, @unsaid] : ()) {
    $sandbox->clear;
    my $answer = h2get('/cgi-bin/echo/join', method => 'POST', body => 'x=y&email=zoe%40b.example', headers => $headers);
    is $answer->status, 303, 'a form is read' . (@$headers > 2 ? ', of an unknown length, too' : '');
    like +(($sandbox->calls)[-1] // {body => 'nobody asked'})->{body}, qr/"zoe\@b\.example"/, 'and its field reaches Kohomai';
}
my $mark = log_mark();
is h2get('/cgi-bin/echo/join', method => 'POST', body => 'email=', headers => \@form)->status, 403, 'an empty field is no email';
like access_log_since($mark), qr/^outcome=unknown /, 'and the outcome says so';

done_testing;
