# The outbox as tests see it: a folder of its own for a server, what is in its boxes, and records to put there.
#
#     my $outbox = Kohomai::TestOutbox->new;
#     my $httpd  = start_httpd("KohomaiOutbox @{[$outbox->path]}\n" . ...);
#     is_deeply [$outbox->emails('.')], ['a@b.example'];
#
# It only looks, and writes what a test tells it to; the folder ends with the object.
package Kohomai::TestOutbox;

use strict;
use warnings;
use feature 'signatures';

use Fcntl qw(LOCK_EX O_DIRECTORY O_RDONLY);
use File::Temp ();
use JSON::PP ();
use Time::HiRes qw(sleep time);

use constant PATIENCE => 40 * ($ENV{KOHOMAI_SLOWNESS} // 1);    # seconds; a delivery that is due comes within 15

sub new ($class) {
    my $folder = File::Temp->newdir;
    my $path = "$folder/outbox";
    mkdir $path, 0700 or die "$path: $!\n";
    chmod 0755, "$folder";
    return bless {folder => $folder, path => $path}, $class;
}

sub path ($self) { return $self->{path} }

# The paths of the records in a box: '.' (those that wait), sending, uncertain, rejected; oldest first.
sub files ($self, $box) {
    my @files = sort glob "$self->{path}/$box/*.lead";
    return @files;
}

sub counts ($self) {
    return join ' ', map { my $box = $_; ($box eq '.' ? 'waiting' : $box) . '=' . (() = $self->files($box)) } qw(. sending uncertain rejected);
}

sub emails ($self, $box) { return map { (lines($_))[0]{Email} } $self->files($box) }

# What was noted about the records in a box: "BOX REASON STATUS" each, the last note.
sub notes ($self, $box) {
    return map { my $note = (lines($_))[-1]; "$note->{Became} $note->{Reason} $note->{Status}" } $self->files($box);
}

# A file's lines, decoded; the first is the record.
sub lines ($file) {
    open my $in, '<:raw', $file or return ();
    return map { eval { JSON::PP->new->allow_bignum->decode($_) } // {} } <$in>;
}

# Holds the lock of whoever delivers, until what is returned is gone: nobody delivers meanwhile.
sub preside ($self) {
    sysopen my $lock, $self->{path}, O_RDONLY | O_DIRECTORY or die "$self->{path}: $!\n";
    flock $lock, LOCK_EX or die "flock: $!\n";
    return $lock;
}

# Puts a record there as a person would, under a name or one that sorts by its number.
sub put ($self, $text, $name = undef) {
    $name //= sprintf '20200101T%06d.000000Z-test.lead', ++$self->{count};
    my $hidden = "$self->{path}/.$name";
    open my $out, '>:raw', $hidden or die "$hidden: $!\n";
    print {$out} ref $text ? JSON::PP->new->canonical->encode($text) . "\n" : $text;
    close $out or die "$hidden: $!\n";
    chmod 0600, $hidden;
    rename $hidden, "$self->{path}/$name" or die "$name: $!\n";
    return $name;
}

# A record for that base URL, as text: its version comes first. Its key is one that is gone, so that the only one is used.
sub record ($base, $email, %more) {
    my %members = (API => 'journeys', BaseURL => $base, Email => $email, Key => 'file:/one/that/is/gone', %more);
    my $json = JSON::PP->new->canonical->encode(\%members);
    return $json =~ s/^\{/{"KohomaiLead":1,/r . "\n";
}

# Waits until counts() is that; returns what it was last.
sub wait_for ($self, $counts, $seconds = PATIENCE) {
    my $end = time + $seconds;
    my $now;
    sleep 0.05 while ($now = $self->counts) ne $counts && time < $end;
    return $now;
}

# Waits until nothing waits or is being sent; returns how many records do so still.
sub wait_for_rest ($self, $seconds = PATIENCE) {
    my $end = time + $seconds;
    my $left;
    sleep 0.05 while ($left = $self->files('.') + $self->files('sending')) && time < $end;
    return $left;
}

1;
