# One-time links: each opens once, and only for its lifetime. It keeps who a link is for and where to go afterwards.
# It never forgets why a link is dead while it still knows the link.
package Kohomai::Sandbox::Links;
use strict;
use warnings;
use feature 'signatures';

use Time::HiRes ();

use constant {MOST => 100_000, LIFETIME_MS => 5 * 60 * 1000};

sub new ($class) { return bless {by_uuid => {}, oldest => []}, $class }

sub now_ms { return int(Time::HiRes::time() * 1000) }

sub issue ($self, $person, $redirect, $lifetime = undef) {
    my $now  = now_ms();
    my $link = {uuid => uuid(), person => $person, redirect => $redirect, created => $now,
        expires => $now + ($lifetime // LIFETIME_MS)};
    $self->{by_uuid}{$link->{uuid}} = $link;
    push @{$self->{oldest}}, $link->{uuid};
    delete $self->{by_uuid}{shift @{$self->{oldest}}} if @{$self->{oldest}} > MOST;
    return $link;
}

# Returns (link, undef) the first time, else (undef, why not).
sub use_up ($self, $uuid) {
    my $link = $self->{by_uuid}{$uuid} or return (undef, 'unknown');
    return (undef, 'used')    if $link->{used};
    return (undef, 'expired') if now_ms() >= $link->{expires};
    $link->{used} = 1;
    return ($link, undef);
}

sub uuid {
    my @hex = map { sprintf '%04x', int rand 65_536 } 1 .. 8;
    substr $hex[3], 0, 1, '4';
    substr $hex[4], 0, 1, (qw(8 9 a b))[rand 4];
    return sprintf '%s%s-%s-%s-%s-%s%s%s', @hex;
}

1;
