# What the bench stands on: a temporary folder, a certificate, programs, and the servers that it starts in it. It reads no
# configuration of the system's, and ends only what it started, by process id.
package Kohomai::Bench::Rig;

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET;

use Kohomai::TestRig qw(run_quietly);
use Kohomai::Bench::Server ();

use constant {NOFILE => 65536, CONNECTIONS => 16384};
use constant ANSWER => '{"UUID":"2bb35288-f2ac-4c68-b7aa-51acd82af485","RedirectURL":"https://www.example.com",'
    . '"ConnectionURL":"https://app.kohomai.com/internal/v1/autologin?UUID=2bb35288-f2ac-4c68-b7aa-51acd82af485",'
    . '"ValidUntil":"2099-04-07T13:10:01.614Z","changedDate":"2099-04-07T13:05:01.620Z",'
    . '"createdDate":"2099-04-07T13:04:59.755Z","User":{"Firstname":"John","Lastname":"Doe","Id":74590868830731162}}';
use constant LINK => 'https://app.kohomai.com/internal/v1/autologin?UUID=2bb35288-f2ac-4c68-b7aa-51acd82af485';

# top: the checkout; module: mod_kohomai.so.
sub new {
    my ($class, %facts) = @_;
    my $folder = File::Temp->newdir('kohomai-bench.XXXXXX', TMPDIR => 1, CLEANUP => !$facts{keep});
    my $self = bless {%facts, folder => $folder, dir => "$folder", started => [], owner => $$, odd => []}, $class;
    chmod 0755, $folder;
    $self->{bench} = "$self->{top}/t/bench";
    $self->find_programs;
    $self->make_files;
    $self->{nofile} = $self->most_files;
    return $self;
}

sub find_programs {
    my ($self) = @_;
    $ENV{PATH} .= ':/usr/local/sbin:/usr/sbin:/sbin';
    $self->{httpd} = find('apache2', 'httpd') || die "bench: Apache httpd was not found: t/install-packages.sh bench\n";
    for my $name (qw(wrk nginx openssl prlimit setpriv timeout)) {
        $self->{$name} = find($name) || die "bench: $name was not found: t/install-packages.sh bench\n";
    }
    my $apxs = find('apxs', 'apxs2');
    chomp($self->{modules} = $apxs ? `$apxs -q LIBEXECDIR` : '/usr/lib/apache2/modules');
    $self->{nginx_modules} = (grep { -d } '/usr/lib/nginx/modules', '/usr/lib64/nginx/modules')[0] // '';
    $self->{built_in} = `$self->{httpd} -l`;
    $self->{peers} = "$self->{dir}/peers";
}

sub find {
    my @names = @_;
    for my $name (@names) {
        for my $folder (split /:/, $ENV{PATH}) {
            return "$folder/$name" if -x "$folder/$name" && !-d _;
        }
    }
    return undef;
}

# The children run as nobody where root starts the bench, and may not be able to read the checkout.
sub make_files {
    my ($self) = @_;
    my $dir = $self->{dir};
    mkdir "$dir/$_" for qw(htdocs php peers);
    for my $file (glob "'$self->{bench}/peers/*'") {
        spew("$self->{peers}/" . $file =~ s{.*/}{}r, slurp($file));
    }
    spew("$dir/htdocs/page.html", "<!DOCTYPE html>\n<title>A page</title>\n<p>" . 'All is well. ' x 300 . "\n");
    spew("$dir/php/php.ini", "extension=curl\nzend_extension=opcache\ndisplay_errors=0\n");
    # The address as a name as well: httpd's proxy compares nothing but names.
    run_quietly($self->{openssl}, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
        '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,DNS:127.0.0.1,IP:127.0.0.1',
        '-keyout', "$dir/tls.key", '-out', "$dir/tls.crt");
}

# Ten thousand visitors take more descriptors than shells allow by default; root may raise the limit.
sub most_files {
    my ($self) = @_;
    my $want = NOFILE;
    return $want if system("$self->{prlimit} --nofile=$want:$want true 2>/dev/null") == 0;
    chomp(my $hard = `bash -c 'ulimit -Hn'`);
    return $hard =~ /\A\d+\z/ ? $hard : $want;
}

sub fill {
    my ($self, $template, %words) = @_;
    my $text = slurp("$self->{bench}/$template");
    die "bench: $template is missing\n" if $text eq '';
    %words = (DIR => $self->{dir}, PEERS => $self->{peers}, NOFILE => $self->{nofile}, ANSWER => ANSWER, FACTOR => 64,
        PENDING => '', CONNECTIONS => CONNECTIONS, %{$self->{api_words} || {}}, %words);
    $text =~ s/\@([A-Z_]+)\@/$words{$1} \/\/ die "bench: nothing is known about $1 in $template\n"/ge;
    return $text;
}

# --- servers --------------------------------------------------------------------------------------------------------

# Ports that are free now, below those that the system gives to connections: of these, ten thousand visitors can take all.
sub free_ports {
    my ($count) = @_;
    my @held;
    for my $try (1 .. 1000) {
        my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 10_000 + int rand 20_000, ReuseAddr => 1);
        push @held, $socket if $socket;
        return map { $_->sockport } @held if @held == $count;
    }
    die "bench: no port is free\n";
}

# name, mpm, size, site: templates; modules: beyond those that every httpd of the bench has; words: for the templates;
# command: what stands before httpd; args.
sub start_httpd {
    my ($self, %how) = @_;
    my ($port) = free_ports(1);
    my %words = (NAME => $how{name}, PORT => $port, %{$how{words} || {}});
    my $conf = $self->fill('httpd.conf.in', %words,
        LOAD_MODULES => $self->load_modules("mpm_$how{mpm}", @{$how{modules} || []}),
        RUN_AS       => $> == 0 ? "User nobody\nGroup nogroup" : '',
        SIZE         => $self->fill("size-$how{size}.conf.in",  %words),
        SITE         => $self->fill("site-$how{site}.conf.in", %words));
    spew("$self->{dir}/$how{name}.conf", $conf);
    return $self->start(name => $how{name}, port => $port, env => {PHP_INI_SCAN_DIR => ''}, patience => $how{patience},
        command => [@{$how{command} || []}, $self->{httpd}, '-f', "$self->{dir}/$how{name}.conf", @{$how{args} || ['-D', 'FOREGROUND']}]);
}

sub start_nginx {
    my ($self, %how) = @_;
    my ($port, $tls_port) = free_ports(2);
    my %words = (NAME => $how{name}, PORT => $port, TLS_PORT => $tls_port);
    my $conf = $self->fill('nginx.conf.in', %words,
        LOAD_MODULES => join("\n", map { "load_module $self->{nginx_modules}/${_}_module.so;" } @{$how{modules}}),
        RUN_AS       => $> == 0 ? 'user nobody nogroup;' : '',
        SITE         => $self->fill("nginx-$how{site}.conf.in", %words));
    spew("$self->{dir}/$how{name}.conf", $conf);
    return $self->start(name => $how{name}, port => $port, tls_port => $tls_port,
        command => [$self->{nginx}, '-p', $self->{dir}, '-e', "$self->{dir}/$how{name}.log", '-c', "$self->{dir}/$how{name}.conf"]);
}

# The stand-in for the API; the templates know of it from then on.
sub start_api {
    my ($self) = @_;
    -e "$self->{nginx_modules}/ngx_http_lua_module.so"
        or die "bench: nginx has no Lua here, and the stand-in for the API needs it: t/install-packages.sh bench\n";
    my $api = $self->{api} = $self->start_nginx(name => 'api', site => 'api', modules => [qw(ndk_http ngx_http_lua)]);
    $self->{api_words} = {
        API_PORT     => $api->{port},
        API_TLS_PORT => $api->{tls_port},
        API_CLEAR    => "http://127.0.0.1:$api->{port}",
        API_TLS      => "https://127.0.0.1:$api->{tls_port}",
    };
    return $api;
}

sub start_fpm {
    my ($self, $program) = @_;
    my $conf = $self->fill('php-fpm.conf.in', PHP_RUN_AS => $> == 0
        ? "user = nobody\ngroup = nogroup\nlisten.owner = nobody\nlisten.group = nogroup" : '');
    spew("$self->{dir}/php-fpm.conf", $conf);
    return $self->start(name => 'php-fpm', socket => "$self->{dir}/fpm.sock", env => {PHP_INI_SCAN_DIR => ''},
        command => [$program, '-c', "$self->{dir}/php", '-F', '-y', "$self->{dir}/php-fpm.conf"]);
}

sub start {
    my ($self, %how) = @_;
    my $server = Kohomai::Bench::Server->start(rig => $self, %how);
    push @{$self->{started}}, $server;
    return $server;
}

sub load_modules {
    my ($self, @more) = @_;
    my @lines;
    for my $name (@more, qw(authz_core authz_host alias dir env filter mime reqtimeout setenvif)) {
        my $file = $self->module_file($name);
        push @lines, qq(LoadModule ${name}_module "$file") if index($self->{built_in}, "mod_$name.c") < 0;
    }
    return join "\n", @lines;
}

# PHP's may lie in build/modules instead: see t/install-packages.sh.
sub module_file {
    my ($self, $name) = @_;
    return $self->{module} if $name eq 'kohomai';
    return "$self->{modules}/mod_$name.so" if $name ne 'php';
    my @found = map { reverse sort glob "'$_'/libphp*.so" } $self->{modules}, "$self->{top}/build/modules";
    return $found[0] // "$self->{modules}/libphp.so";
}

sub has_module {
    my ($self, $name) = @_;
    return -e $self->module_file($name) || index($self->{built_in}, "mod_$name.c") >= 0;
}

# Runs what may fail; returns why it did, and then nothing that it started is left.
sub attempt {
    my ($self, $what) = @_;
    my $known = @{$self->{started}};
    return '' if eval { $what->(); 1 };
    my $why = $@;
    die $why if $self->{interrupted};
    $_->stop for splice @{$self->{started}}, $known;
    return $why =~ s/\s+/ /gr;
}

# What nobody asked for, and the reader should know.
sub note_odd {
    my ($self, $what) = @_;
    push @{$self->{odd}}, $what if !grep { $_ eq $what } @{$self->{odd}};
}

sub stop {
    my ($self) = @_;
    return if $self->{owner} != $$;
    $_->stop for grep { $_ } reverse splice @{$self->{started}};
}

sub DESTROY { local ($?, $!, $@); $_[0]->stop }

sub slurp { return Kohomai::TestRig::slurp(@_) }
sub spew  { return Kohomai::TestRig::spew(@_) }

1;
