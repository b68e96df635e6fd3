# The one table of the bench, and its raw rows in a CSV file. A row is a value, or a ratio to another value of the same
# interleaved run, with its target where there is one. Rows are shown as they come, so that a long run can be watched.
package Kohomai::Bench::Table;

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Path qw(make_path);

use Kohomai::Bench::Load qw(spread);

my @COLUMNS = (['', 1], ['case', 43], ['who or what', 36], ['measured: median (least-most)', 33], ['CPU', 6], ['ratio (least-most)', 19], ['target', 0]);

sub new {
    my ($class, $file) = @_;
    make_path(dirname($file));
    open my $csv, '>', $file or die "$file: $!\n";
    $csv->autoflush(1);
    print {$csv} "line,case,who,round,measure,value,errors\n";
    my $self = bless {csv => $csv, missed => 0, failed => 0}, $class;
    $self->print_line(map { $_->[0] } @COLUMNS);
    return $self;
}

# One measurement as it was taken.
sub raw {
    my ($self, $line, $case, $who, $round, $measure, $value, $errors) = @_;
    print {$self->{csv}} join(',', map { quote($_ // '') } $line, $case, $who, $round, $measure, $value, $errors), "\n";
}

sub quote {
    my ($text) = @_;
    return $text =~ /[",\n]/ ? '"' . $text =~ s/"/""/gr . '"' : $text;
}

# line, case, who; values: one a round, in unit, with digits after the point; cpu: the same; ratios: one a round; least or
# most: what the ratio (or without ratios, the value) has to be; closed: kept connections that the server closed;
# errors: a text that fails the row; ours: it fails the run.
sub row {
    my ($self, %row) = @_;
    my @judged = $row{ratios} ? @{$row{ratios}} : @{$row{values} || []};
    my $verdict = $row{errors} ? 'FAILED: ' . $row{errors} : $self->verdict(\%row, (spread(@judged))[0]);
    $self->{failed}++ if $row{errors} && $row{ours};
    $verdict .= ($verdict ? '; ' : '') . "$row{closed} kept connections closed" if $row{closed};
    $self->print_line($row{line}, $row{case}, $row{who},
        shown($row{values}, $row{digits} // 0) . ($row{unit} && @{$row{values} || []} ? " $row{unit}" : ''),
        $row{cpu} && @{$row{cpu}} ? figure((spread(@{$row{cpu}}))[0], 2) : '',
        $row{ratios} ? shown($row{ratios}, 2) : '', $verdict);
}

sub verdict {
    my ($self, $row, $is) = @_;
    my ($word, $bound) = defined $row->{least} ? ('at least', $row->{least}) : defined $row->{most} ? ('at most', $row->{most}) : return '';
    return "$word $bound: not measured" if !defined $is;
    my $good = $word eq 'at least' ? $is >= $bound : $is <= $bound;
    $self->{missed}++ if !$good;
    return "$word $bound: " . ($good ? 'met' : 'MISSED');
}

sub remark {
    my ($self, $line, $text) = @_;
    $self->print_line($line, $text);
}

sub shown {
    my ($values, $digits) = @_;
    return '' if !$values || !@$values;
    my ($median, $least, $most) = spread(@$values);
    return figure($median, $digits) . (@$values > 1 ? ' (' . figure($least, $digits) . '-' . figure($most, $digits) . ')' : '');
}

sub figure {
    my ($value, $digits) = @_;
    my $text = sprintf "%.${digits}f", $value;
    1 while $text =~ s/^(-?\d+)(\d{3})/$1,$2/;
    return $text;
}

sub print_line {
    my ($self, @cells) = @_;
    my $line = join '  ', map { sprintf '%-*s', $COLUMNS[$_][1], $cells[$_] // '' } 0 .. $#COLUMNS;
    print $line =~ s/\s+\z//r, "\n";
}

1;
