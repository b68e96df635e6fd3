# (e) Instructions that a request takes which the module has nothing to do with: callgrind counts a run with N requests and
# one with 2 N, and the difference is what N of them took. How fast the machine is matters little here, so all the
# servers of a round are started side by side. The second variant tells what httpd itself pays for the <Location>.
package Kohomai::Bench::Instructions;

use strict;
use warnings;

use IO::Socket::INET;

my @VARIANTS = (
    {key => 'without', name => 'without the module',                 site => 'static',     modules => []},
    {key => 'section', name => 'without it, an empty <Location>',    site => 'empty-path', modules => []},
    {key => 'with',    name => 'with the module, one path handed off', site => 'one-path', modules => ['kohomai']},
);

# prefork has one thread and little noise; event shows the way that requests usually go.
sub run {
    my ($rig, $table, $options) = @_;
    $rig->{valgrind} = Kohomai::Bench::Rig::find('valgrind')
        or return $table->remark('e', 'left out: valgrind is not installed');
    for my $mpm ($options->{quick} ? 'prefork' : qw(prefork event)) {
        my %got;
        for my $round (1 .. ($options->{quick} ? 1 : 3)) {
            one_round($rig, $table, $mpm, $round, $options->{quick} ? 1000 : 3000, \%got);
        }
        show($table, $mpm, \%got);
    }
}

sub one_round {
    my ($rig, $table, $mpm, $round, $requests, $got) = @_;
    my %server;
    for my $variant (@VARIANTS) {
        $server{$variant->{key}}{$_} = start($rig, $mpm, $variant, $_) for 1, 2;
    }
    for my $variant (@VARIANTS) {
        my $key = $variant->{key};
        ask($server{$key}{$_}, $_ * $requests) for 1, 2;
        my ($once, $twice) = map { counted($rig, $server{$key}{$_}) } 1, 2;
        push @{$got->{$key}}, ($twice - $once) / $requests;
        $table->raw('e', "a page, $mpm", $key, $round, 'instructions', $got->{$key}[-1]);
    }
}

sub start {
    my ($rig, $mpm, $variant, $times) = @_;
    my $name = "count-$variant->{key}-$times";
    unlink "$rig->{dir}/$name.count";
    my $server = $rig->start_httpd(name => $name, mpm => $mpm, size => 'one', site => $variant->{site}, modules => $variant->{modules}, patience => 120,
        args => ['-X'], command => [$rig->{valgrind}, '--tool=callgrind', '--log-file=/dev/null', "--callgrind-out-file=$rig->{dir}/$name.count"]);
    chmod 0666, "$rig->{dir}/$name.count";    # made at the start, written at the end: httpd is another user by then
    return $server;
}

# One visitor, one connection, one request after the other.
sub ask {
    my ($server, $count) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->{port}, Timeout => 60) or die "bench: connect: $@\n";
    for my $number (1 .. $count) {
        print {$socket} "GET /page.html HTTP/1.1\r\nHost: localhost\r\n\r\n";
        my ($status, $length) = (readline($socket) // '', 0);
        $status =~ / 200 / or die "bench: request $number of $server->{name} is answered: $status\n";
        while ((my $line = readline $socket) =~ /\S/) {
            $length = $1 if $line =~ /^Content-Length: (\d+)/i;
        }
        read($socket, my $body, $length) == $length or die "bench: a page was cut short\n";
    }
}

sub counted {
    my ($rig, $server) = @_;
    $server->stop;
    return Kohomai::Bench::Rig::slurp("$rig->{dir}/$server->{name}.count") =~ /^(?:totals|summary): (\d+)/m ? $1
        : die "bench: callgrind has not counted $server->{name}\n";
}

sub show {
    my ($table, $mpm, $got) = @_;
    my @row = (line => 'e', case => "a page that is not handed off, $mpm", unit => 'instr.');
    for my $variant (@VARIANTS) {
        my $is = $got->{$variant->{key}};
        $table->row(@row, who => $variant->{name}, values => $is,
            $variant->{key} eq 'without' ? () : (ratios => [map { $is->[$_] / $got->{without}[$_] } 0 .. $#$is]));
    }
    my ($with, $section, $without) = @$got{qw(with section without)};
    $table->row(@row, who => 'more, with the <Location>', values => [map { $with->[$_] - $without->[$_] } 0 .. $#$with]);
    $table->row(@row, who => 'more, for the module alone', values => [map { $with->[$_] - $section->[$_] } 0 .. $#$with], most => 200);
}

1;
