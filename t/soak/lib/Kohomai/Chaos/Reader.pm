# Reads HTTP/1.1 answers out of bytes as they come, and finds fault with whatever is not one whole, well-formed answer.
# It knows no socket, and judges no status: what an answer should have been is for the Ledger.
package Kohomai::Chaos::Reader;

use strict;
use warnings;

use constant HEAD_MAX => 32_768;

sub new { return bless {buffer => ''}, $_[0] }

# Bytes that came and belong to no whole answer yet.
sub pending { return length $_[0]{buffer} }

sub add {
    my ($self, $bytes) = @_;
    $self->{buffer} .= $bytes;
}

# The next whole answer, a reference to a hash of status, headers, body and close; undef while it is not whole; a text that says
# what is wrong with it.
sub next_answer {
    my ($self) = @_;
    my $answer = $self->{answer} || $self->read_head;
    return $answer if !ref $answer;
    $self->{answer} = $answer;
    my $body = defined $answer->{length} ? $self->read_counted($answer) : $self->read_chunks($answer);
    return $body if !ref $body;
    $answer->{body} = $$body;
    return delete $self->{answer};
}

sub read_head {
    my ($self) = @_;
    return undef if $self->{buffer} eq '';
    return 'the answer does not begin as one: ' . shown($self->{buffer}) if !could_begin($self->{buffer});
    if ($self->{buffer} !~ /\r\n\r\n/) {
        return length $self->{buffer} > HEAD_MAX ? 'the head of the answer does not end' : undef;
    }
    $self->{buffer} =~ s/\A(.*?)\r\n\r\n//s;
    return parse_head($1);
}

sub could_begin {
    my ($bytes) = @_;
    my $form = 'HTTP/1.1 ';
    my $have = length $bytes < length $form ? length $bytes : length $form;
    return substr($bytes, 0, $have) eq substr $form, 0, $have;
}

sub parse_head {
    my ($head) = @_;
    my ($line, @lines) = split /\r\n/, $head;
    my ($status) = $line =~ m{\AHTTP/1\.1 ([1-5][0-9]{2}) [\x20-\x7e]*\z} or return 'not a status line: ' . shown($line);
    my %header;
    for (@lines) {
        my ($name, $value) = /\A([!#\$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*)\z/ or return 'not a header line: ' . shown($_);
        return "the header $name comes twice" if exists $header{lc $name} && $name =~ /\A(?:Location|Content-Length|X-Visit)\z/i;
        $header{lc $name} = $value;
    }
    return with_length({status => $status, headers => \%header, close => ($header{connection} // '') =~ /\bclose\b/i ? 1 : 0});
}

sub with_length {
    my ($answer) = @_;
    my ($length, $coding) = @{$answer->{headers}}{qw(content-length transfer-encoding)};
    return 'both a length and a transfer coding' if defined $length && defined $coding;
    if ($answer->{status} == 204 || $answer->{status} == 304) {
        $answer->{length} = 0;
    }
    elsif (defined $length) {
        return "not a length: $length" if $length !~ /\A[0-9]{1,8}\z/;
        $answer->{length} = $length;
    }
    elsif (lc($coding // '') ne 'chunked') {
        return "an answer $answer->{status} of unknown length";
    }
    return $answer;
}

sub read_counted {
    my ($self, $answer) = @_;
    return undef if length $self->{buffer} < $answer->{length};
    return \substr $self->{buffer}, 0, $answer->{length}, '';
}

sub read_chunks {
    my ($self, $answer) = @_;
    while (1) {
        my ($size) = $self->{buffer} =~ /\A([0-9a-fA-F]{1,6})\r\n/;
        if (!defined $size) {
            return length $self->{buffer} > 10 || $self->{buffer} =~ /\n/ ? 'a chunk without a size: ' . shown($self->{buffer}) : undef;
        }
        my $whole = length($size) + 2 + hex($size) + 2;
        return undef if length $self->{buffer} < $whole;
        my $chunk = substr $self->{buffer}, 0, $whole, '';
        return 'a chunk of the wrong size' if $chunk !~ /\r\n\z/;
        return \($answer->{chunks} // '') if hex $size == 0;
        $answer->{chunks} .= substr $chunk, length($size) + 2, hex $size;
    }
}

sub shown {
    my ($bytes) = @_;
    return substr($bytes, 0, 120) =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ger;
}

1;
