# The head of an HTTP/1.x request, exactly as it was sent: nothing is normalised, so that tests see what a client did.
# A leaf: no socket, no clock. It never reads a body; chunked bodies are left to whoever refuses them.
package Kohomai::Sandbox::Request;
use strict;
use warnings;
use feature 'signatures';

# Returns a request, or a sentence saying what is wrong with the head. The head's lines all end in CRLF.
sub parse ($class, $head) {
    my ($line, @lines) = split /\r\n/, $head;
    my ($method, $target, $minor) = $line =~ m{\A([A-Za-z]+) (\S+) HTTP/1\.([01])\z}
        or return 'the request line is not METHOD TARGET HTTP/1.x';
    my %headers;
    for (@lines) {
        my ($name, $value) = /\A([!#\$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*\z/
            or return 'a header line is not NAME: VALUE';
        push @{$headers{lc $name}}, $value;
    }
    my $self = bless {method => $method, minor => $minor, headers => \%headers, read_target($target)}, $class;
    $self->{length} = $self->body_length;
    return defined $self->{length} ? $self : 'Content-Length is not one number';
}

# `mood` is what stands between /m/ and the next slash, still percent-encoded.
sub read_target ($target) {
    $target =~ s{\Ahttps?://[^/?]*}{};
    my ($path, $query) = split /\?/, $target, 2;
    my $mood = $path =~ s{\A/m/([^/]*)(?=/)}{} ? $1 : undef;
    return (path => $path, query => $query, mood => $mood);
}

sub body_length ($self) {
    return 0 if $self->{headers}{'transfer-encoding'};
    my @lengths = @{$self->{headers}{'content-length'} // [0]};
    return @lengths == 1 && $lengths[0] =~ /\A[0-9]{1,9}\z/ ? $lengths[0] + 0 : undef;
}

# All values of one header, joined as HTTP joins them; '' when it was not sent.
sub header ($self, $name) { return join ', ', @{$self->{headers}{$name} // []} }

sub has ($self, $name) { return exists $self->{headers}{$name} }

sub all_headers ($self) {
    return {map { $_ => $self->header($_) } keys %{$self->{headers}}};
}

sub keeps_alive ($self) {
    my $said = lc $self->header('connection');
    return $self->{minor} ? $said !~ /\bclose\b/ : $said =~ /\bkeep-alive\b/;
}

1;
