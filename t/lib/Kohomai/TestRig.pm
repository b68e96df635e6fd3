# What stands around the tests: a temporary folder, an unprivileged user, the stand-in Kohomai, PHP-FPM and one httpd.
# t/run-tests holds one rig for each MPM; what the tests need to know about it is in the environment (see describe).
# It never touches the checkout or the system's services, and stops only what it started itself.
package Kohomai::TestRig;

use strict;
use warnings;

use Exporter qw(import);
use File::Path qw(make_path);
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(as_tester free_ports run_quietly slurp);

# Seconds until something that does not start is given up. A checker of memory makes httpd slower, by KOHOMAI_SLOWNESS.
sub patience { return 60 * ($ENV{KOHOMAI_SLOWNESS} // 1) }

# Root's tests run as nobody: httpd is another program when root starts it.
my @AS_TESTER = $> == 0 ? qw(setpriv --reuid=nobody --regid=nogroup --clear-groups --) : ();

sub as_tester { return (@AS_TESTER, @_) }

# Ports that are free now; all of them are held until the last one is known, so that they differ.
sub free_ports {
    my ($count) = @_;
    my @held = map { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) || die "socket: $@\n" }
        1 .. $count;
    return map { $_->sockport } @held;
}

sub new {
    my ($class, %facts) = @_;    # dir, top, mpm, httpd, apxs, modules, module
    my $self = bless {%facts, started => [], owner => $$}, $class;
    make_path("$self->{dir}/logs");
    chown scalar(getpwnam 'nobody'), -1, $self->{dir}, "$self->{dir}/logs" if $> == 0;
    return $self;
}

# In this order: each needs to know where the ones before it listen.
sub start {
    my ($self) = @_;
    $self->publish;
    $self->make_certificate;
    $self->start_sandbox;
    $self->start_php;
    $self->start_httpd;
    return $self;
}

# The environment of what is started from now on, tests included.
sub publish {
    my ($self) = @_;
    my $facts = $self->describe;
    @ENV{keys %$facts} = values %$facts;
}

sub describe {
    my ($self) = @_;
    my ($dir, $sandbox) = @$self{qw(dir sandbox)};
    $self->{ports} ||= [free_ports(2)];
    return {
        KOHOMAI_MPM         => $self->{mpm},
        KOHOMAI_HTTPD       => $self->{httpd},
        KOHOMAI_APXS        => $self->{apxs},
        KOHOMAI_MODULES     => $self->{modules},
        KOHOMAI_MODULE      => $self->{module},
        KOHOMAI_SITE        => "$self->{top}/t/conf",
        KOHOMAI_SERVER_ROOT => $dir,
        KOHOMAI_PORT        => $self->{ports}[0],
        KOHOMAI_TLS_PORT    => $self->{ports}[1],
        KOHOMAI_TLS_CERT    => "$dir/tls.crt",
        KOHOMAI_TLS_KEY     => "$dir/tls.key",
        KOHOMAI_PHP_FPM     => "$dir/php.sock",
        KOHOMAI_SECRETS     => "$dir/secrets",
        $sandbox ? %$sandbox : (),
    };
}

sub make_certificate {
    my ($self) = @_;
    run_quietly(as_tester('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
        '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-keyout', "$self->{dir}/tls.key", '-out', "$self->{dir}/tls.crt"));
}

sub start_sandbox {
    my ($self) = @_;
    my $ready = "$self->{dir}/sandbox.ready";
    $self->launch('sandbox', "$self->{top}/t/sandbox/sandbox", '--port', 0, '--ready-file', $ready,
        '--tls-cert', "$self->{dir}/tls.crt", '--tls-key', "$self->{dir}/tls.key");
    $self->wait_for('sandbox', sub { -s $ready });
    my $said = slurp($ready);
    my ($http, $port) = $said =~ m{(http://127\.0\.0\.1:(\d+))} or die "The sandbox says no port: $said\n";
    my ($https) = $said =~ m{(https://\S+)};
    $self->{sandbox} = {
        KOHOMAI_SANDBOX      => $http,
        KOHOMAI_SANDBOX_PORT => $port,
        KOHOMAI_SANDBOX_TLS  => $https // '',
    };
    $self->publish;
}

sub start_php {
    my ($self) = @_;
    my ($php) = reverse sort glob '/usr/sbin/php-fpm[0-9]* /usr/local/sbin/php-fpm';
    die "php-fpm was not found: run t/install-packages.sh test\n" if !$php;
    my ($dir, $conf) = ($self->{dir}, "$self->{dir}/php-fpm.conf");
    spew($conf, <<"END");
[global]
error_log = $dir/logs/php-fpm.log
[www]
listen = $dir/php.sock
pm = static
pm.max_children = 4
clear_env = no
php_admin_value[post_max_size] = 64M
php_admin_value[error_log] = $dir/logs/php.log
END
    $self->launch('php-fpm', $php, '-n', '-F', '-y', $conf);
    $self->wait_for('php-fpm', sub { -S "$dir/php.sock" });
}

# Somebody else may take a port between the moment when it was free and httpd's start: then others are tried.
sub start_httpd {
    my ($self) = @_;
    for my $try (1 .. 3) {
        return if $self->try_httpd;
        last if slurp("$self->{dir}/logs/error_log") . slurp("$self->{dir}/logs/httpd.out") !~ /Address already in use|port \d+ is in use/;
        $self->{ports} = undef;
        $self->publish;
    }
    die "httpd ($self->{mpm}) did not start:\n" . slurp("$self->{dir}/logs/httpd.out") . slurp("$self->{dir}/logs/error_log");
}

sub try_httpd {
    my ($self) = @_;
    my $ready = "$self->{dir}/ready";
    pipe my $theirs, my $ours or die "pipe: $!\n";
    $self->{httpd_pid} = $self->launch({name => 'httpd', stdin => $theirs, close => $ours}, "$self->{top}/t/TEST");
    $self->{httpd_pipe} = $ours;
    close $theirs;
    return eval { $self->wait_for('httpd', sub { -e $ready }); 1 };
}

# Starts a program that ends with us, even if we are killed: the system tells it, or the end of what it reads.
# Its output goes to logs/NAME.out.
sub launch {
    my ($self, $how, @command) = @_;
    $how = {name => $how} if !ref $how;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        close $how->{close} if $how->{close};
        open STDIN, '<', '/dev/null';
        POSIX::dup2(fileno $how->{stdin}, 0) if $how->{stdin};
        open STDOUT, '>>', "$self->{dir}/logs/$how->{name}.out";
        open STDERR, '>&', \*STDOUT;
        unshift @command, qw(setpriv --pdeathsig TERM --) if !$how->{stdin};
        exec as_tester(@command) or POSIX::_exit(127);
    }
    push @{$self->{started}}, {name => $how->{name}, pid => $pid};
    return $pid;
}

sub wait_for {
    my ($self, $name, $condition) = @_;
    my ($child) = grep { $_->{name} eq $name } reverse @{$self->{started}};
    my $end = time + patience();
    until ($condition->()) {
        $self->give_up($child, 'ended at once') if waitpid($child->{pid}, WNOHANG) == $child->{pid};
        $self->give_up($child, 'did not get ready') if time > $end;
        sleep 0.05;
    }
}

sub give_up {
    my ($self, $child, $why) = @_;
    die "$child->{name} $why:\n" . slurp("$self->{dir}/logs/$child->{name}.out");
}

# httpd first: it is told by the closed pipe, and stops as Apache::Test stops it.
sub stop {
    my ($self) = @_;
    return if $self->{owner} != $$;
    close delete $self->{httpd_pipe} if $self->{httpd_pipe};
    reap($self->{httpd_pid}, patience()) if $self->{httpd_pid};
    my @pids = map { $_->{pid} } @{$self->{started}};
    kill TERM => grep { waitpid($_, WNOHANG) == 0 } @pids;
    for my $pid (@pids) {
        reap($pid, 10) or kill KILL => $pid;
    }
    @$self{qw(started httpd_pid)} = ([], undef);
}

sub DESTROY { local ($?, $!, $@); $_[0]->stop }

sub reap {
    my ($pid, $patience) = @_;
    my $end = time + $patience;
    while (waitpid($pid, WNOHANG) == 0) {
        return 0 if time > $end;
        sleep 0.05;
    }
    return 1;
}

sub run_quietly {
    my (@command) = @_;
    open my $out, '-|', join(' ', map { s/'/'\\''/gr =~ s/(.*)/'$1'/rs } @command) . ' 2>&1' or die "$command[0]: $!\n";
    my $said = do { local $/; <$out> } // '';
    close $out or die "@command failed:\n$said";
    return $said;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or return '';
    local $/;
    return <$in> // '';
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
}

1;
