# Who is known: every id is, except those that begin with 404. Whoever registers gets new ids and keeps the given name.
# Ids are strings of digits. It never does arithmetic with one.
package Kohomai::Sandbox::People;
use strict;
use warnings;
use feature 'signatures';

use constant MOST => 100_000;

sub new ($class) {
    my $self = bless {by_id => {}, oldest => []}, $class;
    $self->{by_id}{'74590868830731162'} = {firstname => 'John', lastname => 'Doe'};
    return $self;
}

# Returns undef for someone who does not exist.
sub find ($self, $id) {
    return undef if $id =~ /\A404/;
    my $known = $self->{by_id}{$id};
    return {user => $id, journey => $id, $known ? %$known : (firstname => 'Visitor')};
}

sub register ($self, $facts, $digits = undef) {
    my ($user, $journey) = map { $self->fresh_id($digits) } 1 .. 2;
    my $person = {user => $user, journey => $journey, map { $_ => $facts->{$_} } qw(firstname lastname email)};
    $self->{by_id}{$_} = $person for $user, $journey;
    push @{$self->{oldest}}, $user, $journey;
    delete $self->{by_id}{shift @{$self->{oldest}}} while @{$self->{oldest}} > MOST;
    return $person;
}

# 17 to 20 digits and odd: above 2^53 no odd number survives a double, so a client that uses one is found out.
sub fresh_id ($self, $digits) {
    $digits //= 17 + int rand 4;
    while (1) {
        my $id = (1 + int rand 9) . join('', map { int rand 10 } 3 .. $digits) . (1 + 2 * int rand 5);
        return $id if $id !~ /\A404/ && !$self->{by_id}{$id};
    }
}

1;
