# Certificates of every kind, good and bad, and servers that show them. A server's own OpenSSL is told to allow what nobody
# should; it answers any call with a link, so that a client which lets it pass is found out.
#
#     my $pki    = Kohomai::TestTLS->new($folder);
#     my $ca     = $pki->authority('ca');                                           # file names: $ca->{crt}
#     my $server = $pki->server($pki->certificate('expired', $ca, not_after => time - 60));
#     $server->base; $server->received;                                             # a base URL; the bytes that it understood
package Kohomai::TestTLS;

use strict;
use warnings;
use feature 'signatures';

use IO::Socket::INET;
use IO::Socket::SSL ();
use IO::Socket::SSL::Utils;

use constant DAY => 24 * 60 * 60;

sub new ($class, $folder) {
    open my $out, '>', "$folder/openssl.cnf" or die "$folder/openssl.cnf: $!\n";
    print {$out} "openssl_conf=a\n[a]\nssl_conf=b\n[b]\nsystem_default=c\n[c]\nCipherString=ALL:\@SECLEVEL=0\nMinProtocol=TLSv1\n";
    close $out;
    return bless {folder => $folder}, $class;
}

sub authority ($self, $name) {
    return $self->certificate($name, undef, CA => 1, subject => {commonName => $name});
}

# Signed by $ca, or by itself; %how as in IO::Socket::SSL::Utils, and host.
sub certificate ($self, $name, $ca = undef, %how) {
    my $host = delete $how{host} // 'localhost';
    my ($cert, $key) = CERT_create(
        subject => {commonName => $host}, subjectAltNames => [[DNS => $host]], purpose => 'server', digest => 'sha256',
        key => KEY_create_ec('prime256v1'), not_before => time - 20 * DAY, not_after => time + 20 * DAY,
        $ca ? (issuer => [@$ca{qw(cert secret)}]) : (), %how);
    my %made = (name => $name, cert => $cert, secret => $key, crt => "$self->{folder}/$name.crt", key => "$self->{folder}/$name.key");
    PEM_cert2file($cert, $made{crt});
    PEM_key2file($key, $made{key});
    return \%made;
}

# %how: version => 'TLSv1_1', plain => 1 for no TLS at all.
sub server ($self, $certificate, %how) {
    my $log = "$self->{folder}/" . ($certificate ? $certificate->{name} : 'plain') . ".$$." . ++$self->{servers};
    pipe my $from, my $to or die "pipe: $!\n";
    my $parent = $$;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $ENV{OPENSSL_CONF} = "$self->{folder}/openssl.cnf";
        open STDOUT, '>&', $to;
        my @file = $certificate ? @$certificate{qw(crt key)} : ('', '');
        exec $^X, '-I' . (__FILE__ =~ s{/Kohomai/TestTLS\.pm$}{}r), '-MKohomai::TestTLS', '-e', 'Kohomai::TestTLS::serve(@ARGV)',
            $parent, $log, @file, $how{version} // '';
        die "exec: $!\n";
    }
    close $to;
    my $port = <$from> // die "the TLS server did not start\n";
    return bless {pid => $pid, owner => $$, port => $port + 0, log => $log, plain => $how{plain}}, 'Kohomai::TestTLS::Server';
}

sub serve ($parent, $log, $crt, $key, $version) {
    my $listener = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1') or die "listen: $@\n";
    my $tls = $crt && IO::Socket::SSL::SSL_Context->new(SSL_server => 1, SSL_cert_file => $crt, SSL_key_file => $key,
        SSL_cipher_list => 'ALL:@SECLEVEL=0', $version ? (SSL_version => $version) : ());
    die "$IO::Socket::SSL::SSL_ERROR\n" if $crt && !$tls;
    my $body = '{"ConnectionURL":"https://localhost:' . $listener->sockport . '/login"}';
    $| = 1;
    print $listener->sockport . "\n";
    $SIG{PIPE} = 'IGNORE';
    while (getppid == $parent) {
        local $SIG{ALRM} = sub { };
        alarm 2;
        my $socket = $listener->accept or next;
        alarm 5;
        my $peer = $tls ? IO::Socket::SSL->start_SSL($socket, SSL_server => 1, SSL_reuse_ctx => $tls) : $socket;
        my $bytes = $peer && whole_request($peer, $tls) or next;
        open my $out, '>>', $log or die "$log: $!\n";
        print {$out} $bytes;
        close $out;
        syswrite $peer, join "\r\n", $tls ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 400 Bad Request', 'Content-Type: application/json',
            'Content-Length: ' . length $body, 'Connection: close', '', $body;
    }
}

# What was sent, up to its end: to close before that would reset the connection.
sub whole_request ($peer, $is_http) {
    sysread $peer, my $bytes, 65_536 or return '';
    return $bytes if !$is_http;
    until ($bytes =~ /\A(.*?\r\n\r\n)/s && length $bytes >= length($1) + ($1 =~ /^Content-Length: (\d+)/mi ? $1 : 0)) {
        sysread $peer, $bytes, 65_536, length $bytes or last;
    }
    return $bytes;
}

package Kohomai::TestTLS::Server;

sub port ($self) { return $self->{port} }
sub base ($self, $host = 'localhost') { return "https://$host:$self->{port}/api/v1" }

# What came through in the clear, after decryption.
sub received ($self) {
    open my $in, '<', $self->{log} or return '';
    local $/;
    return <$in> // '';
}

sub DESTROY ($self) {
    return if $self->{owner} != $$;
    local ($?, $!);
    kill TERM => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
