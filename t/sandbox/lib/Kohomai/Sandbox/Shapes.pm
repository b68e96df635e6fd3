# The bodies that the documents give, one shape per generation, and the checks that hold a body against its shape.
# A leaf: a shape is a sub that dies with one sentence naming the member that is wrong. It never mends anything.
package Kohomai::Sandbox::Shapes;
use strict;
use warnings;
use feature 'signatures';

use Scalar::Util qw(blessed);

my $EMAIL_LONGEST = 254;

my $HAS_ID     = object(must => {Id => \&id});
my $DATA_BY_ID = list(object(must => {StringValue => \&text, DataPoint => $HAS_ID}));
my %NAMES      = (Firstname => \&text, Lastname => \&text);
my %FLAT       = (%NAMES, PhoneNumber => \&text, RedirectURL => \&url);

my %SHAPES = (
    'session-user'    => object(must => {User    => $HAS_ID}, may => {RedirectURL => \&url}),
    'session-journey' => object(must => {Journey => $HAS_ID}, may => {RedirectURL => \&url}),
    workflows         => object(
        must => {
            User => object(
                must => {UsrContactPrefs => object(must => {PersonalEmail => \&email})},
                may  => \%NAMES
            )
        },
        may => {RedirectURL => \&url}
    ),
    journeys => object(
        must => {
            Journey => object(
                must => {User        => object(must => {ContactPrefs => object(must => {Email => \&email})}, may => \%NAMES)},
                may  => {JourneyData => $DATA_BY_ID}
            )
        },
        may => {RedirectURL => \&url}
    ),
    'journeys-flat' => object(must => {Email => \&email}, may => {%FLAT, JourneyData => $DATA_BY_ID}),
    leads           => object(
        must => {Email => \&email},
        may  => {
            %FLAT,
            JourneyData  => list(object(must => {Name => \&text, Value => \&text})),
            WebhookInput => sub { },
        }
    ),
);

# Returns undef when the body has that shape, else a sentence.
sub fault ($shape, $body) {
    return eval { $SHAPES{$shape}->($body, ''); 1 } ? undef : $@ =~ s/\n\z//r;
}

# Returns the shape that a body of this kind of call claims to have.
sub claimed ($kind, $body) {
    my %has = ref $body eq 'HASH' ? map { $_ => 1 } keys %$body : ();
    return $has{Journey} ? 'session-journey' : 'session-user'  if $kind eq 'sessions';
    return $has{Journey} ? 'journeys'        : 'journeys-flat' if $kind eq 'journeys';
    return $kind;
}

# Returns what a body of a good shape says, whatever the generation calls it.
sub facts ($shape, $body) {
    my $user = {workflows => $body->{User}, journeys => $body->{Journey}{User}}->{$shape} // $body;
    my $email = $user->{UsrContactPrefs}{PersonalEmail} // $user->{ContactPrefs}{Email} // $user->{Email};
    return {redirect => $body->{RedirectURL}, email => $email, map { lc $_ => $user->{$_} } keys %NAMES};
}

# -- what shapes are made of -----------------------------------------------------------------------------------

sub object (%members) {
    my %must  = %{$members{must} // {}};
    my %known = (%must, %{$members{may} // {}});
    return sub ($value, $where) {
        die named($where) . " must be an object\n" if ref $value ne 'HASH';
        for (sort keys %$value) { die under($where, $_) . " is not known\n"  if !$known{$_} }
        for (sort keys %must)   { die under($where, $_) . " is missing\n"    if !exists $value->{$_} }
        $known{$_}->($value->{$_}, under($where, $_)) for sort keys %$value;
    };
}

sub list ($each) {
    return sub ($value, $where) {
        die "$where must be an array\n"                           if ref $value ne 'ARRAY';
        die "$where is empty: a field without a value is left out\n" if !@$value;
        $each->($value->[$_], "$where\[$_]") for 0 .. $#$value;
    };
}

sub text ($value, $where) {
    die "$where must be a string\n"                              if ref $value || !defined $value;
    die "$where is empty: a field without a value is left out\n" if $value eq '';
}

sub id ($value, $where) {
    die "$where must be a bare number\n" if !blessed $value || !$value->isa('Kohomai::Sandbox::Json::Number');
    die "$where must be 1 to 20 digits without a leading zero\n" if $value->text !~ /\A[1-9][0-9]{0,19}\z/;
}

sub email ($value, $where) {
    text($value, $where);
    die "$where is no email address\n"
        if length $value > $EMAIL_LONGEST || $value !~ /\A[^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+\z/;
}

sub url ($value, $where) {
    text($value, $where);
    die "$where must be a whole http or https address\n" if $value !~ m{\Ahttps?://[^\s/?#\x00-\x20]+[^\x00-\x20\x7f]*\z}i;
}

sub under ($where, $name) { return $where eq '' ? $name : "$where.$name" }

sub named ($where) { return $where eq '' ? 'the body' : $where }

1;
