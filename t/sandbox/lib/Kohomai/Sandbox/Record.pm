# What was asked of the sandbox, in the order in which it arrived: bounded, the oldest goes first.
# A leaf. It never judges an entry; whoever adds one may still fill in its status.
package Kohomai::Sandbox::Record;
use strict;
use warnings;
use feature 'signatures';

use Encode ();
use Mojo::JSON qw(encode_json);

use constant MOST => 100_000;

my @TEXTS = qw(mood method path query ref body error uuid);

my %FILTERS = (
    kind     => sub ($entry, $want) { $entry->{kind} eq $want },
    path     => sub ($entry, $want) { $entry->{path} =~ /\Q$want\E\z/ },
    mood     => sub ($entry, $want) { $entry->{mood} eq $want },
    since    => sub ($entry, $want) { $entry->{n} > $want },
    contains => sub ($entry, $want) { index($entry->{body}, $want) >= 0 },
);

sub new ($class) { return bless {entries => [], n => 0}, $class }

sub add ($self, %entry) {
    my $entry = {%entry, n => ++$self->{n}};
    push @{$self->{entries}}, $entry;
    shift @{$self->{entries}} if @{$self->{entries}} > MOST;
    return $entry;
}

# Numbers go on counting, so that an entry is never mistaken for an older one.
sub clear ($self) { $self->{entries} = [] }

# Returns a sentence when a filter is not one of those above.
sub fault (%filter) {
    for (sort keys %filter) { return "there is no filter $_: they are " . join ', ', sort keys %FILTERS if !$FILTERS{$_} }
    return exists $filter{since} && $filter{since} !~ /\A[0-9]{1,15}\z/ ? 'since must be a number' : undef;
}

sub as_json ($self, %filter) {
    my @entries = @{$self->{entries}};
    for my $name (sort keys %filter) {
        @entries = grep { $FILTERS{$name}->($_, $filter{$name}) } @entries;
    }
    return encode_json([map { readable($_) } @entries]);
}

sub readable ($entry) {
    my %headers = map { $_ => characters($entry->{headers}{$_}) } keys %{$entry->{headers}};
    my %texts   = map { $_ => characters($entry->{$_}) } grep { defined $entry->{$_} } @TEXTS;
    return {%$entry, %texts, headers => \%headers};
}

# Bytes that are no UTF-8 are shown one character a byte.
sub characters ($bytes) {
    return $bytes if $bytes =~ /\A[\x00-\x7f]*\z/;
    my $text = eval { Encode::decode('UTF-8', my $copy = $bytes, Encode::FB_CROAK) };
    return $text // Encode::decode('ISO-8859-1', $bytes);
}

1;
