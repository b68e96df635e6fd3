# The site that the visitors come to: one path for each way in which the API can behave, and what may be answered there.
# It writes configuration and knows what is right; it sends nothing.
package Kohomai::Chaos::Site;

use strict;
use warnings;

use Time::HiRes qw(time);

use constant {
    TOTAL_S   => 3,     # KohomaiTimeout
    CONNECT_S => 1,
    OLD_S     => 15,    # so long after a change of the setting, children of the one before may still answer
};

# name, api (moods of the sandbox, or one of the addresses of BadApi), how often it is visited in proportion, and the
# statuses that a session and a registration may come to. 302 stands for 303 after a POST.
my @PLACES = (
    ['well',          [],                              30, [302], [302]],
    ['slow',          ['slow=400'],                    10, [302], [302]],
    ['slower',        ['slow=1500'],                    6, [302], [302]],
    ['hang',          ['hang'],                         5, [504], [504]],
    ['before',        ['hangup-before'],                4, [502], [502]],
    ['after',         ['hangup-after'],                 4, [502], [502]],
    ['cut',           ['cut'],                          4, [502], [502]],
    ['garbage',       ['garbage'],                      2, [502], [502]],
    ['no-json',       ['garbage-json'],                 2, [502], [502]],
    ['huge',          ['huge'],                         2, [502], [502]],
    ['drip',          ['drip=1'],                       4, [302], [302]],
    ['drip-on',       ['drip=40'],                      3, [504], [504]],
    ['chunked',       ['chunked'],                      4, [302], [302]],
    ['closing',       ['keep-alive=off'],               4, [302], [302]],
    ['busy',          ['status=503'],                   4, [502], [502]],
    ['limited',       ['status=429', 'retry-after=1'],  3, [503], [503]],
    ['sick',          ['status=500'],                   2, [502], [502]],
    ['no-key',        ['status=401'],                   2, [502], [502]],
    ['nobody',        ['status=404'],                   2, [404], [404]],
    ['malformed',     ['status=422'],                   2, [422], [422]],
    ['elsewhere',     ['redirect'],                     2, [502], [502]],
    ['no-link',       ['no-link', 'only=register'],     6, [302], [302]],
    ['no-link-slow',  ['no-link', 'slow=600', 'only=register'], 3, [302], [302]],
    ['no-link-ever',  ['no-link'],                      2, [502], [502]],
    ['no-id',         ['no-link-no-id'],                2, [502], [204]],
    # An idle connection that the API closes unannounced: a session is asked for again, a registration must not be.
    ['dropping',      ['keep-alive=3'],                 8, [302], [302, 502]],
    ['reset',         'reset',                          4, [502], [502]],
    ['reset-late',    'reset-late',                     4, [502], [502]],
    ['refusing',      'refusing',                       4, [502], [502]],
    ['black-hole',    'black-hole',                     3, [504], [504]],
);

# What changes with each restart: an API that is ill for its first calls only. A session is tried again once.
my @CHANGING = (
    ['ill-503',    sub { ['status=503',    "slow=$_[0]", 'times=4'] }, 4, [302, 502], [302, 502]],
    ['ill-hangup', sub { ['hangup-before', "slow=$_[0]", 'times=4'] }, 4, [302, 502], [302, 502]],
);

# A page of the site that no API has a part in; one that the site answers when the handoff has failed, late; and an
# error page of the site's own.
my @OWN = (
    {name => 'plain', path => '/plain.txt',      weight => 10, session => [200], static => 1},
    {name => 'pass',  path => '/pass/plain.txt', weight => 4,  session => [200]},
    {name => 'page',  path => '/page',           weight => 4,  session => [502], register => [502]},
);

# sandbox, bad (name => URL), tls_port, cert, key, site, children, threads, breaker, max_connections, alone (httpd is without
# the module: only the plain page is there)
sub new {
    my ($class, %facts) = @_;
    my $self = bless {generation => 0, breaker_until => 0, %facts}, $class;
    $self->{places} = $self->{alone} ? [$OWN[0]] : [(map { as_place(@$_) } @PLACES, @CHANGING), @OWN];
    return $self;
}

# What a part of the storm wants otherwise: breaker, max_connections. It holds with the next configuration.
sub set {
    my ($self, %setting) = @_;
    $self->{breaker_until} = time + OLD_S if $self->{breaker};
    @$self{qw(breaker max_connections)} = map { $_ // 0 } @setting{qw(breaker max_connections)};
}

sub as_place {
    my ($name, $api, $weight, $session, $register) = @_;
    return {name => $name, path => "/s/$name", api => $api, weight => $weight, session => $session, register => $register};
}

sub places { return @{$_[0]{places}} }

# A base URL of the API as the place wants it.
sub base {
    my ($self, $place) = @_;
    my $api = $place->{api};
    return $self->{bad}{$api} if !ref $api;
    my $base = $self->{sandbox}->base(ref $api eq 'CODE' ? @{$api->($self->{generation})} : @$api);
    # By another name: the connections of the others are not to be those that it drops.
    return $place->{name} eq 'dropping' ? $base =~ s/127\.0\.0\.1/localhost/r : $base;
}

sub ceiling { return TOTAL_S }

# The statuses that the design allows for an answer to KIND (session, register) by METHOD.
sub allowed {
    my ($self, $place, $kind, $method) = @_;
    my %may = map { ($_ == 302 && $method eq 'POST' ? 303 : $_) => 1 } @{$place->{$kind}};
    $may{503} = 1 if !$place->{static} && ($self->{breaker} || time < $self->{breaker_until});
    return \%may;
}

# The configuration; each call writes a new generation of what changes.
sub configuration {
    my ($self) = @_;
    $self->{generation}++;
    return $self->basis =~ s/^Kohomai.*\n//gmr . $self->tls if $self->{alone};
    return join '', $self->basis, $self->tls, $self->own, map { $self->section($_) } grep { $_->{api} } $self->places;
}

sub basis {
    my ($self) = @_;
    my ($children, $threads) = @$self{qw(children threads)};
    my $size = $children * $threads;
    my $breaker = $self->{breaker} ? '3 1s' : 'Off';
    return <<"END";
# Children of the generations before keep their places until their visitors are answered.
ServerLimit              @{[8 * $children]}
StartServers             $children
ThreadsPerChild          $threads
ThreadLimit              $threads
MaxRequestWorkers        $size
MinSpareThreads          1
MaxSpareThreads          $size
AsyncRequestWorkerFactor 64
MaxConnectionsPerChild   $self->{max_connections}
Timeout                  60
KeepAliveTimeout         30
MaxKeepAliveRequests     0
LogLevel info mpm_event:debug
<IfModule http2_module>
    H2MinWorkers 4
    H2MaxWorkers $threads
</IfModule>
# Who asked is said back, so that an answer to somebody else's question shows.
Header always echo ^X-Visit\$
LogFormat "%{X-Visit}i %{pid}P %>s" chaos
CustomLog "\${LOGS}/chaos_log" chaos
KohomaiTimeout    @{[TOTAL_S]}s connect=@{[CONNECT_S]}s
KohomaiRetry      1
KohomaiBreaker    $breaker
KohomaiMaxPending 1000
KohomaiRateLimit Off
KohomaiAPIKey     "@{[$self->{sandbox}->key]}"
END
}

sub tls {
    my ($self) = @_;
    return <<"END";
Listen 127.0.0.1:$self->{tls_port}
<VirtualHost 127.0.0.1:$self->{tls_port}>
    ServerName            localhost:$self->{tls_port}
    SSLEngine             On
    SSLCertificateFile    "$self->{cert}"
    SSLCertificateKeyFile "$self->{key}"
    <IfModule http2_module>
        Protocols h2 http/1.1
    </IfModule>
</VirtualHost>
END
}

sub own {
    my ($self) = @_;
    my $cut  = $self->{sandbox}->base('cut', 'slow=200');
    my $sick = $self->{sandbox}->base('status=500', 'slow=200');
    return <<"END";
Alias /pass/plain.txt "$self->{site}/plain.txt"
<Location "/pass/">
    KohomaiHandoff  session
    KohomaiJourney  %{query:j}
    KohomaiBaseURL  $cut
    KohomaiFallback any pass
</Location>
<Location "/page">
    KohomaiHandoff On
    KohomaiJourney %{query:j}
    KohomaiLead    Email %{form:email}
    KohomaiBaseURL $sick
    ErrorDocument  502 /plain.txt
</Location>
END
}

sub section {
    my ($self, $place) = @_;
    return <<"END";
<Location "$place->{path}">
    KohomaiHandoff On
    KohomaiJourney %{query:j}
    KohomaiLead    Email %{form:email}
    KohomaiBaseURL @{[$self->base($place)]}
</Location>
END
}

1;
