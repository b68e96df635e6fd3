# An httpd of a test's own, for what the shared one cannot show: another MPM or size, a restart, a key file that
# changes; and `httpd -t`, which shows what start-up refuses. It has the same modules and the same site (see t/conf), its
# own port, folder and logs, and ends when the object or the test does.
package Kohomai::TestHttpd;

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET;
use POSIX qw(:sys_wait_h SIGTERM);
use Time::HiRes qw(sleep time);

use Kohomai::TestHTTP ();
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestSecrets qw(note_secret);

use constant PATIENCE => 60 * ($ENV{KOHOMAI_SLOWNESS} // 1);

# Kohomai::TestHttpd->start(CONFIGURATION, mpm => 'prefork', env => {NAME => VALUE}, without_module => 1): dies where it
# does not come up. All but CONFIGURATION may be left out; without_module leaves mod_kohomai out, default_limit the line
# that ends the limit of how often an address may register people.
# ${PORT}, ${LOGS} and ${DIR} (a folder of its own) stand for themselves in CONFIGURATION.
sub start {
    my ($class, $text, %how) = @_;
    my $self = $class->prepare($text, (free_ports(1))[0], %how);
    $self->{pid} = $self->fork_httpd('-D', 'FOREGROUND');
    $self->wait_until_up;
    return $self;
}

# Kohomai::TestHttpd->check(CONFIGURATION, args => [...], ...): exit status and output of `httpd -t`. The lines that
# httpd names are those of CONFIGURATION, which it knows as site.conf.
sub check {
    my ($class, $text, %how) = @_;
    my $self = $class->prepare($text, 1, %how, checked => 1);
    waitpid $self->fork_httpd('-t', @{$how{args} || []}), 0;
    my $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    return ($status, read_file("$self->{dir}/logs/output"));
}

sub prepare {
    my ($class, $text, $port, %how) = @_;
    die "Run this test with t/run-tests.\n" if !$ENV{KOHOMAI_SITE};
    my $folder = File::Temp->newdir;
    my $self = bless {port => $port, how => \%how, folder => $folder, dir => "$folder", owner => $$}, $class;
    mkdir "$folder/logs";
    chmod 0755, $folder;
    for my $name (qw(modules.inc site.inc)) {
        my $text = fill(read_file("$ENV{KOHOMAI_SITE}/$name.in"));
        $text =~ s/^LoadModule kohomai_module .*//m if $how{without_module};
        $text =~ s/^\s*KohomaiRateLimit .*//m if $how{default_limit};
        write_file("$folder/$name", $text);
    }
    note_secret(key => $text =~ /^\s*KohomaiAPIKey\s+"?(?!(?:file|env|exec):)([^"\s]+)/mig);
    note_secret(key => $text =~ m{^\s*KohomaiProxy\s+"?\w+://[^:@/\s]*:([^@\s"]+)@}mig);
    write_file("$folder/site.conf", $text);
    write_file("$folder/httpd.conf", $self->basis);
    return $self;
}

sub fill {
    my ($text) = @_;
    my %word = (modules => $ENV{KOHOMAI_MODULES}, module => $ENV{KOHOMAI_MODULE}, site => $ENV{KOHOMAI_SITE});
    return $text =~ s/\@(\w+)\@/$word{$1}/gr;
}

sub basis {
    my ($self) = @_;
    my ($dir, $port) = @$self{qw(dir port)};
    my $user = $> == 0 ? "User nobody\nGroup nogroup\n" : '';
    # Under a checker of memory a handshake may take longer than three seconds.
    my $slow = $ENV{KOHOMAI_SLOWNESS} && !$self->{how}{without_module} && !$self->{how}{checked} ? "KohomaiTimeout 50s connect=40s\n" : '';
    return <<"END";
Define            PORT $port
Define            DIR  "$dir"
Define            LOGS "$dir/logs"
Listen            127.0.0.1:$port
ServerName        localhost:$port
ServerRoot        "$dir"
DefaultRuntimeDir "$dir/logs"
PidFile           "$dir/logs/httpd.pid"
${user}Include    "$dir/modules.inc"
Include           "$dir/site.inc"
${slow}Include    "$dir/site.conf"
END
}

# In a process group of its own, so that stop() can reach its children, and bound to end with the test.
sub fork_httpd {
    my ($self, @args) = @_;
    my $env = {KOHOMAI_MPM => $self->{how}{mpm} || $ENV{KOHOMAI_MPM}, %{$self->{how}{env} || {}}};
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    setpgrp;
    @ENV{keys %$env} = values %$env;
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>>', "$self->{dir}/logs/output";
    open STDERR, '>&', \*STDOUT;
    exec 'setpriv', '--pdeathsig', 'TERM', '--', $ENV{KOHOMAI_HTTPD}, '-f', "$self->{dir}/httpd.conf", @args or POSIX::_exit(127);
}

sub wait_until_up {
    my ($self) = @_;
    my $end = time + PATIENCE;
    until ($self->heeds_signals && IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port})) {
        my $ended = waitpid($self->{pid}, WNOHANG) == $self->{pid};
        delete $self->{pid} if $ended;
        die 'httpd ' . ($ended ? 'ended' : 'does not listen') . ":\n" . $self->output . $self->error_log if $ended || time > $end;
        sleep 0.05;
    }
}

# httpd listens before it knows what SIGTERM means: a test that stops it so early would see it killed. Valgrind catches all
# signals for it, and kills in its name: then its log tells.
sub heeds_signals {
    my ($self) = @_;
    return $self->error_log =~ /resuming normal operations/ if $ENV{KOHOMAI_SLOWNESS};
    my ($caught) = read_file("/proc/$self->{pid}/status") =~ /^SigCgt:\s*([0-9a-f]+)/m;
    return defined $caught && hex(substr $caught, -8) & 1 << SIGTERM - 1;
}

sub port { return $_[0]{port} }
sub pid  { return $_[0]{pid} }
sub dir  { return $_[0]{dir} }
sub url  { return "http://localhost:$_[0]{port}" . ($_[1] // '/') }

sub request {
    my ($self, $method, $path, %how) = @_;
    return Kohomai::TestHTTP::request($method, $path, port => $self->{port}, %how);
}

sub error_log  { return read_file("$_[0]{dir}/logs/error_log") }
sub access_log { return read_file("$_[0]{dir}/logs/access_log") }
sub output     { return read_file("$_[0]{dir}/logs/output") }       # before the error log is open

# 'USR1' is a graceful restart, 'HUP' a quick one.
sub signal {
    my ($self, $name) = @_;
    kill $name => $self->{pid};
}

# Returns httpd's wait status: 0 after an orderly end.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return 0;
    kill TERM => $pid;
    my $end = time + PATIENCE;
    while (waitpid($pid, WNOHANG) == 0) {
        kill KILL => -$pid if time > $end;
        sleep 0.02;
    }
    return $?;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $!, $@);
    return if $self->{owner} != $$;
    $self->stop;
    $self->keep_logs if $ENV{KOHOMAI_SECRETS};
}

# For t/conf/no-secret-was-written.t, which looks at everything in the end.
sub keep_logs {
    my ($self) = @_;
    my ($to) = "$ENV{KOHOMAI_SERVER_ROOT}/logs/others";
    my ($name) = $self->{dir} =~ m{([^/]+)\z};
    mkdir $to;
    rename $_, "$to/$name." . s{.*/}{}r for grep { -f } glob "$self->{dir}/logs/*";
}

sub read_file {
    my ($file) = @_;
    open my $in, '<', $file or return '';
    local $/;
    return <$in> // '';
}

sub write_file {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
}

1;
