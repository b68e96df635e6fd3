# Who is compared: each does the same job, from the visitor's request over the call to the API to the 302. A peer is started
# at its first use and looked at closely before it is measured; one that Debian or this machine does not have is named as
# left out.
package Kohomai::Bench::Peers;

use strict;
use warnings;

use Exporter qw(import);
use HTTP::Tiny;

use Kohomai::Bench::Rig ();

our @EXPORT_OK = qw(all_peers why_not start_peer stop_peer stop_peers check_peer peer_load);

# kind: what wrk sends; httpd or nginx: how it is started; package: what has it.
my @PEERS = (
    {key => 'kohomai',    name => 'mod_kohomai', kind => 'handoff',
        httpd => {mpm => 'event', size => 'full', site => 'kohomai', modules => ['kohomai'], words => {PENDING => 'KohomaiMaxPending 2500'}}},
    {key => 'api',        name => 'the API stand-in itself', kind => 'call'},
    {key => 'static',     name => "the same httpd's static file", kind => 'page',
        httpd => {mpm => 'event', size => 'full', site => 'static'}},
    {key => 'proxy',      name => 'mod_proxy_http, passing it through', kind => 'call',
        httpd => {mpm => 'event', size => 'full', site => 'proxy', modules => [qw(ssl proxy proxy_http)]}},
    {key => 'proxy-wide', name => 'the same with 2,048 threads', kind => 'call',
        httpd => {mpm => 'event', size => 'wide', site => 'proxy', modules => [qw(ssl proxy proxy_http)]}},
    {key => 'fpm',        name => 'PHP-FPM with curl', kind => 'handoff', fpm => 1, package => 'php-fpm php-curl',
        httpd => {mpm => 'event', size => 'full', site => 'fpm', modules => [qw(proxy proxy_fcgi)]}},
    {key => 'php',        name => 'mod_php with curl (prefork)', kind => 'handoff', package => 'libapache2-mod-php php-curl',
        httpd => {mpm => 'prefork', size => 'full', site => 'php', modules => ['php']}},
    {key => 'lua',        name => 'mod_lua with LuaSocket', kind => 'handoff', package => 'lua-socket lua-sec',
        httpd => {mpm => 'event', size => 'full', site => 'lua', modules => ['lua']}},
    {key => 'perl',       name => 'mod_perl with HTTP::Tiny (prefork)', kind => 'handoff', package => 'libapache2-mod-perl2 libio-socket-ssl-perl',
        httpd => {mpm => 'prefork', size => 'full', site => 'perl', modules => ['perl']}},
    {key => 'nginx-lua',  name => 'nginx with Lua cosockets', kind => 'handoff', package => 'libnginx-mod-http-lua',
        nginx => {site => 'lua', modules => [qw(ndk_http ngx_http_lua)]}},
    {key => 'nginx-njs',  name => 'nginx with njs', kind => 'handoff', package => 'libnginx-mod-http-js',
        nginx => {site => 'njs', modules => ['ngx_http_js']}},
);

sub all_peers { return @PEERS }

# Why this peer cannot be measured here; nothing where it can.
sub why_not {
    my ($rig, $peer) = @_;
    my ($httpd, $nginx) = map { ($peer->{$_} || {})->{modules} || [] } qw(httpd nginx);
    my @missing = map { "mod_$_" } grep { $_ ne 'kohomai' && !$rig->has_module($_) } @$httpd;
    push @missing, map { "nginx's $_" } grep { !-e "$rig->{nginx_modules}/${_}_module.so" } @$nginx;
    push @missing, 'php-fpm' if $peer->{fpm} && !fpm_program();
    push @missing, "PHP's curl" if $peer->{key} =~ /\A(?:fpm|php)\z/ && !found('/usr/lib/php/*/curl.so');
    push @missing, 'LuaSocket or LuaSec' if $peer->{key} eq 'lua' && !found('/usr/share/lua/5.*/ssl.lua');
    push @missing, 'IO::Socket::SSL' if $peer->{key} eq 'perl' && !eval { require IO::Socket::SSL; 1 };
    return @missing ? join(', ', @missing) . ' not installed' . ($peer->{package} ? " (Debian: $peer->{package})" : '') : '';
}

sub found {
    my @files = glob $_[0];
    return scalar @files;
}

sub fpm_program {
    return (reverse sort glob '/usr/sbin/php-fpm[0-9]* /usr/local/sbin/php-fpm')[0];
}

sub start_peer {
    my ($rig, $peer) = @_;
    return if $peer->{servers};
    my @servers;
    push @servers, $rig->start_fpm(fpm_program()) if $peer->{fpm};
    push @servers, $rig->start_httpd(name => $peer->{key}, %{$peer->{httpd}}) if $peer->{httpd};
    push @servers, $rig->start_nginx(name => $peer->{key}, %{$peer->{nginx}}) if $peer->{nginx};
    push @servers, $rig->{api} if !@servers;
    $peer->{servers} = \@servers;
}

# The API stand-in goes on.
sub stop_peer {
    my ($rig, $peer) = @_;
    $_ == $rig->{api} || $_->stop for @{delete $peer->{servers} || []};
}

sub stop_peers {
    my ($rig) = @_;
    stop_peer($rig, $_) for @PEERS;
}

# Lets it make one call that the API stand-in looks at closely, clear and over TLS; returns what is wrong with it.
sub check_peer {
    my ($rig, $peer) = @_;
    return '' if $peer->{kind} eq 'page' || $peer->{key} eq 'api';
    for my $way (qw(c t)) {
        my $url = "http://127.0.0.1:$peer->{servers}[-1]{port}/$way/check";
        my $wrong = $peer->{kind} eq 'call' ? check_call("$url/api/v1/sessions") : check_handoff("$url/onboarding");
        return $wrong if $wrong;
    }
    return '';
}

sub check_handoff {
    my ($url) = @_;
    my $answer = HTTP::Tiny->new(timeout => 30, max_redirect => 0)->get("$url?j=74590868830731162");
    my $link = $answer->{headers}{location} // '';
    return $answer->{status} == 302 && $link eq Kohomai::Bench::Rig::LINK ? '' : "$url is answered $answer->{status} $link";
}

sub check_call {
    my ($url) = @_;
    my $answer = HTTP::Tiny->new(timeout => 30)->post($url, {content => '{"Journey":{"Id":74590868830731162}}',
        headers => {'Authorization' => 'Bearer bench-key', 'Content-Type' => 'application/json'}});
    return $answer->{content} eq Kohomai::Bench::Rig::ANSWER ? '' : "$url is answered $answer->{status}";
}

# Where wrk goes, with this peer, for an API that takes DELAY ms, in clear (c) or over TLS (t).
sub peer_load {
    my ($rig, $peer, $way, $delay) = @_;
    my $server = $peer->{servers}[-1];
    my %load = (rig => $rig, kind => $peer->{kind}, port => $server->{port}, cost => $peer->{servers});
    if ($peer->{key} eq 'api') {
        return (%load, path => "/$delay/api/v1/sessions", $way eq 't' ? (tls => 1, port => $server->{tls_port}) : ());
    }
    return (%load, path => '/page.html') if $peer->{kind} eq 'page';
    return (%load, path => "/$way/$delay/" . ($peer->{kind} eq 'call' ? 'api/v1/sessions' : 'onboarding'));
}

1;
