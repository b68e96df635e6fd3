# An API that cannot prove who it is, or not safely, gets nothing; the log says which fault it is and what to do. The same servers
# without the fault get the call.
use strict;
use warnings;
use Test::More;
use File::Temp;
use IO::Socket::SSL::Utils;
use Kohomai::TestServer;
use Kohomai::TestTLS;
use Kohomai::TestVisitor;

use constant DAY => 24 * 60 * 60;

my $folder  = File::Temp->newdir;
chmod 0755, $folder;
my $pki     = Kohomai::TestTLS->new("$folder");
my $ca      = $pki->authority('ca');
my $another = $pki->authority('another-ca');
my $trusted = "$folder/trusted.pem";
trust($ca, $another);

# What is wrong, its server, and what is to be said about it. With GnuTLS libcurl does not say what is wrong with a certificate. Nor
# does it mind a key of 1024 bits, or one that is not for servers.
my $openssl = libcurl_uses_openssl();
my @BAD = (
    ['expired', {not_after => time - DAY}, qr/has expired: .*renew/],
    ['not-yet-valid', {not_before => time + DAY}, qr/is not valid yet: .*clock/],
    ['wrong-host', {host => 'other.example'}, qr/names other hosts: .*KohomaiBaseURL/, 'always'],
    ['sha-1', {digest => 'sha1'}, qr/is signed with SHA-1 or weaker: .*SHA-256/],
    ['weak-key', {key => KEY_create_rsa(1024)}, qr/has a key that is too weak: .*2048/],
    ['client-only', {purpose => 'client'}, qr/is not one for servers/],
);
@BAD = grep { $_->[0] !~ /weak-key|client-only/ } @BAD if !$openssl;
my %server = map { $_->[0] => $pki->server($pki->certificate($_->[0], $ca, %{$_->[1]})) } @BAD;
my $self_signed = $pki->certificate('self-signed');
$server{'self-signed'} = $pki->server($self_signed);
$server{'unknown-ca'}  = $pki->server($pki->certificate('unknown-ca', $pki->authority('third-ca')));
$server{'old-tls'}     = $pki->server($pki->certificate('old-tls', $ca), version => 'TLSv1_1');
$server{plain}         = $pki->server(undef, plain => 1);
push @BAD, ['self-signed', {}, qr/is signed by nobody but itself: .*KohomaiCAFile/], ['unknown-ca', {}, qr/comes from a CA that is not known here.*KohomaiCAFile/],
    ['old-tls', {}, qr/speaks only TLS versions older than 1\.2.*TLS 1\.2 or 1\.3/, 'always'], ['plain', {}, qr/does not speak TLS at that port: is the port right/, 'always'];
my %good = (
    good      => $pki->server($pki->certificate('good', $ca)),
    removed   => $pki->server($pki->certificate('removed', $another)),
    named     => $server{'self-signed'},
    tls12     => $pki->server($pki->certificate('tls12', $ca), version => 'TLSv1_2'),
    rsa       => $pki->server($pki->certificate('rsa', $ca, key => KEY_create_rsa(2048))),
);

my $httpd = start_httpd(join '', "KohomaiAPIKey juniper-4711\nKohomaiCAFile $trusted\nKohomaiRetry 0\nKohomaiBreaker Off\nLogLevel kohomai:trace8\n",
    map({ handoff("/$_", $server{$_}->base) } sort keys %server),
    map({ handoff("/$_", $good{$_}->base, $_ eq 'named' ? "KohomaiCAFile $self_signed->{crt}" : ()) } sort keys %good));

for my $name (sort keys %good) {
    my ($answer, $said) = visit("/$name");
    is $answer->status, 302, "$name: is asked" or diag $said;
    like $good{$name}->received, qr/^Authorization: Bearer juniper-4711\r$/m, 'with the key';
}
my $named = length $server{'self-signed'}->received;
for my $bad (@BAD) {
    my ($name, undef, $reason, $always) = @$bad;
    my ($answer, $said) = visit("/$name");
    is $answer->status, 502, "$name: the handoff fails";
    like $said, qr/outcome=failed reason=unreachable call=sessions status=- ms=\d+ detail=the API/, 'which the log says';
    like $said, $openssl || $always ? $reason : qr/is not trusted/, 'with the reason';
    unlike $said . $server{$name}->received, qr/^Authorization/m, 'and no call, no key came through' if $name !~ /self-signed/;
}
is length $server{'self-signed'}->received, $named, 'nor to the one that is trusted elsewhere';

# A CA that is taken out of the file counts for nothing after a reload.
trust($ca);
$httpd->signal('USR1');
ok wait_for(sub { $httpd->error_log =~ /resuming normal operations.*resuming normal operations/s }), 'after a reload';
ok wait_for(sub { visit('/removed')->status == 502 }), 'a CA that was taken out is not trusted any more';
my (undef, $removed) = visit('/removed');
like $removed, $openssl ? qr/comes from a CA that is not known here/ : qr/is not trusted/, 'which the log says';
my ($still, $said) = visit('/good');
is $still->status, 302, 'and the other one is' or diag $said;

unlike $httpd->error_log . $httpd->access_log . $httpd->output, qr/juniper/, 'no log shows the key';
ends_well($httpd);
done_testing;

sub trust {
    open my $out, '>', $trusted or die "$trusted: $!\n";
    print {$out} PEM_cert2string($_->{cert}) for @_;
    close $out;
}

# The answer, and what the log says of the visit.
sub visit {
    my ($path) = @_;
    my $mark = length $httpd->error_log;
    my $answer = $httpd->request(GET => $path);
    my ($line) = substr($httpd->error_log, $mark) =~ /(kohomai: outcome=.*)/;
    return wantarray ? ($answer, $line // '') : $answer;
}

sub libcurl_uses_openssl {
    my ($library) = map { m{=> (/\S+)} ? $1 : () } grep {/libcurl/} split /\n/, `ldd $ENV{KOHOMAI_MODULE}`;
    return $library && $library !~ /gnutls/;
}
