#!/usr/bin/perl
# Both handoffs in a real browser: starts the demo site on a free port, lets handoffs.py drive Chromium through it,
# and stops the demo. With KOHOMAI_SCREENSHOTS set, pictures of the pages are left in build/browser/screenshots.
# It skips nothing: where Chromium or its driver is missing, that is a failure.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(WNOHANG setsid);
use Test::More;
use Time::HiRes qw(sleep time);

my $TOP    = abs_path(dirname(__FILE__) . '/../..');
my $DIR    = "$TOP/build/browser";
my $PYTHON = '/usr/bin/python3';    # Debian's own: another one in PATH does not see Debian's modules
my $BOUND  = 300;                   # seconds for all that the browser does; far more than it needs

my %running;                        # pid -> 1, for what still has to be ended
END { local $?; end_process($_, 'TERM', 15) for keys %running }
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

check_needs();
prepare_folder();
my $port = free_port();
my $demo = start_demo($port);
my $sandbox = wait_for_demo($demo, $port);
browse("http://localhost:$port", $sandbox);
stop_demo($demo, $port);
done_testing();

sub check_needs {
    my @missing = grep { !-x } '/usr/bin/chromium', '/usr/bin/chromedriver', $PYTHON;
    push @missing, "Python's selenium" if -x $PYTHON && system("$PYTHON -c 'import selenium' 2>/dev/null");
    give_up("Not there: @missing. t/install-packages.sh test installs chromium, chromium-driver and python3-selenium.")
        if @missing;
}

sub give_up {
    my ($why) = @_;
    fail('both handoffs in a real browser');
    diag($why);
    done_testing();
    exit 1;
}

sub prepare_folder {
    remove_tree($DIR);
    make_path($DIR);
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or give_up("no free port: $!");
    return $socket->sockport;
}

# Runs a command in a process group of its own; its output goes to a file or to a pipe that the caller reads.
sub start {
    my ($out, @command) = @_;
    my $pid = fork // give_up("cannot fork: $!");
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        setsid();
        open STDIN,  '<',  '/dev/null' or POSIX::_exit(127);
        open STDOUT, '>&', $out        or POSIX::_exit(127);
        open STDERR, '>&', $out        or POSIX::_exit(127);
        exec {$command[0]} @command or POSIX::_exit(127);
    }
    $running{$pid} = 1;
    return $pid;
}

sub start_demo {
    my ($port) = @_;
    local %ENV = %ENV;
    delete @ENV{grep { /\AKOHOMAI_/ } keys %ENV};
    @ENV{qw(PORT DEMO_DIR)} = ($port, "$DIR/demo");
    open my $log, '>', "$DIR/demo.log" or give_up("$DIR/demo.log: $!");
    return start($log, "$TOP/t/demo/run");
}

# The demo writes its port and the sandbox's address once both can be used.
sub wait_for_demo {
    my ($demo, $port) = @_;
    for (1 .. 1200) {
        return $1 if read_file("$DIR/demo/ready") =~ m{\A$port (http://\S+)\n};
        ended($demo) and last;
        sleep 0.1;
    }
    give_up("The demo did not start:\n" . read_file("$DIR/demo.log"));
}

sub read_file {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    local $/;
    return <$in> // '';
}

sub browse {
    my ($site, $sandbox) = @_;
    my $scratch = tempdir('kohomai-browser-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my @pictures = $ENV{KOHOMAI_SCREENSHOTS} ? "$DIR/screenshots" : ();
    make_path(@pictures);
    pipe my $lines, my $out or give_up("no pipe: $!");
    local %ENV = %ENV;
    delete @ENV{grep { /_proxy\z/i } keys %ENV};    # everything is on this machine
    my $pid = start($out, $PYTHON, "$TOP/t/browser/handoffs.py", $site, $sandbox, $scratch, @pictures);
    close $out;
    local $SIG{ALRM} = sub { diag("The browser did not finish in $BOUND seconds."); end_process($pid, 'KILL', 5) };
    alarm $BOUND;
    my $last = report($lines);
    alarm 0;
    end_process($pid, 'TERM', 10);
    is($last, 'done', 'the browser got to the end') or diag(map { "$_\n" } tail("$DIR/demo/logs/error.log"));
}

# Turns each line of the script into a test; returns the last line.
sub report {
    my ($lines) = @_;
    my $last = '';
    while (my $line = <$lines>) {
        chomp($last = $line);
        if    ($line =~ /\Aok - (.*)/)     { pass($1) }
        elsif ($line =~ /\Anot ok - (.*)/) { fail($1) }
        elsif ($line ne "done\n")          { diag($line =~ s/\A# //r) }
    }
    return $last;
}

sub tail {
    my ($path) = @_;
    my @lines = split /\n/, read_file($path);
    return splice @lines, @lines > 20 ? -20 : 0;
}

sub stop_demo {
    my ($demo, $port) = @_;
    kill TERM => $demo;
    my $status = ended_within($demo, 30);
    is($status, 0, 'the demo stops when it is told to');
    ok(!IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port"), 'and its port is free again');
}

# The exit status once the process has ended, else undef.
sub ended {
    my ($pid) = @_;
    return undef if waitpid($pid, WNOHANG) != $pid;
    delete $running{$pid};
    return "$?";
}

sub ended_within {
    my ($pid, $seconds) = @_;
    my $until = time + $seconds;
    while (time < $until) {
        my $status = ended($pid);
        return $status if defined $status;
        sleep 0.05;
    }
    return undef;
}

# Ends a process, and whoever is left of its group.
sub end_process {
    my ($pid, $signal, $seconds) = @_;
    return if !$running{$pid};
    kill $signal => -$pid;
    ended_within($pid, $seconds);
    kill KILL => -$pid;
}
