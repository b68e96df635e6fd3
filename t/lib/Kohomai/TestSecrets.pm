# Everything that must not be written down and was in play while tests ran: links that the sandbox gave, keys, and what
# visitors sent of themselves. Whoever sends or hands out such a thing notes it here (Kohomai::TestHTTP, Kohomai::TestSandbox);
# t/conf/no-secret-was-written.t looks for all of it at the end. The list is a file that every process of a run adds to, and
# is named by KOHOMAI_SECRETS; without that nothing is noted.
package Kohomai::TestSecrets;

use strict;
use warnings;

use Exporter qw(import);
use MIME::Base64 qw(decode_base64);

our @EXPORT_OK = qw(note_secret note_request note_call secrets);

# Shorter ones would be found by chance.
use constant {LEAST => 5, MOST => 200};

my %known;

# Kinds: link, key, person.
sub note_secret {
    my ($kind, @values) = @_;
    my $file = $ENV{KOHOMAI_SECRETS} // return;
    for my $value (@values) {
        utf8::encode($value) if utf8::is_utf8($value);
        next if length $value < LEAST || length $value > MOST || $known{"$kind $value"}++;
        open my $out, '>>', $file or die "$file: $!\n";
        syswrite $out, "$kind " . unpack('H*', $value) . "\n";
    }
}

# What a visitor sends: headers by name, and a form.
sub note_request {
    my ($headers, $body) = @_;
    my @headers = @$headers;
    while (my ($name, $value) = splice @headers, 0, 2) {
        note_secret(person => $value =~ /=([^;]*)/g) if lc $name eq 'cookie';
        note_secret(person => $1, decode_base64($1) =~ /:(.*)/s) if lc $name eq 'authorization' && $value =~ /^\w+ (\S+)/;
    }
    note_secret(person => values_of($body)) if defined $body && length $body < 10_000;
}

# What a form of any kind holds, as it stands there and decoded.
sub values_of {
    my ($body) = @_;
    return $body =~ /:\s*"([^"\\]*)"/g if $body =~ /\A\s*[\[{]/;
    return $body =~ /\r\n\r\n(.*?)\r\n--/sg if $body =~ /\A--/;
    my @values = $body =~ /=([^&=]*)/g;
    return (@values, map { tr/+/ /r =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger } @values);
}

# What the API was asked, and what it gave: an entry of the sandbox's record.
sub note_call {
    my ($call) = @_;
    note_secret(link => $call->{uuid}) if defined $call->{uuid};
    note_secret(key => $1) if ($call->{headers}{authorization} // '') =~ /^Bearer (.+)/;
    note_secret(person => values_of($call->{body}), ($call->{body} // '') =~ /"Id":\s*"?(\d{9,})/g) if length($call->{body} // '');
}

# {kind => [values]}
sub secrets {
    my %found;
    open my $in, '<', $ENV{KOHOMAI_SECRETS} // '' or return {};
    while (<$in>) {
        my ($kind, $hex) = /^(\w+) ([0-9a-f]+)$/ or next;
        $found{$kind}{pack 'H*', $hex} = 1;
    }
    return {map { my $kind = $_; $kind => [sort keys %{$found{$kind}}] } keys %found};
}

1;
