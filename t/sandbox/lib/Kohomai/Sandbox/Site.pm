# Who answers what: the API, the front office, and the questions of tests (/_record, /_connections).
# Every API call and every login goes into the record when it has arrived, before anything is done about it.
package Kohomai::Sandbox::Site;
use strict;
use warnings;
use feature 'signatures';

use Encode ();
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(url_unescape);
use Kohomai::Sandbox::Api;
use Kohomai::Sandbox::FrontOffice;
use Kohomai::Sandbox::Links;
use Kohomai::Sandbox::People;
use Kohomai::Sandbox::Record;

my $LOGIN = '/internal/v1/autologin';

my %PLACES = (
    '/_record'      => \&show_record,
    '/_connections' => \&show_connections,
    '/favicon.ico'  => sub { {status => 204, headers => [], body => ''} },
    $LOGIN          => \&login,
    '/front'        => sub ($self, $request, $connection) { $self->{front}->page($request) },
    '/front/done'   => sub ($self, $request, $connection) { $self->{front}->done($request) },
);

sub new ($class, %o) {
    my $links  = Kohomai::Sandbox::Links->new;
    my $people = Kohomai::Sandbox::People->new;
    return bless {
        server => $o{server},
        record => Kohomai::Sandbox::Record->new,
        front  => Kohomai::Sandbox::FrontOffice->new(links => $links),
        api    => Kohomai::Sandbox::Api->new(key => $o{key}, links => $links, people => $people),
    }, $class;
}

sub hangs_up_early ($self, $line) {
    my ($target) = $line =~ /\A\S+ (\S+)/ or return 0;
    my %aim = Kohomai::Sandbox::Request::read_target($target);
    return defined $aim{mood} && $self->{api}->hangs_up_early($aim{mood}, $aim{path});
}

# Returns {status, headers, body, how}, complete.
sub handle ($self, $request, $connection) {
    my $answer = $self->choose($request, $connection);
    my $how    = $answer->{how} //= {};
    $how->{close}   = 1 if !$request->keeps_alive || $request->has('transfer-encoding');
    push @{$answer->{headers}}, ['Connection', 'keep-alive'] if !$request->{minor} && !$how->{close};
    $how->{no_body} = 1 if $request->{method} eq 'HEAD';
    return $answer;
}

sub choose ($self, $request, $connection) {
    return $self->call_api($request, $connection) if defined $request->{mood} || $request->{path} =~ m{\A/api(?:/|\z)};
    my $place = $PLACES{$request->{path}} or return plain(404, "there is no $request->{path}");
    return $place->($self, $request, $connection);
}

sub call_api ($self, $request, $connection) {
    my $entry = $self->note('api', $request, $connection);
    return $self->{api}->answer($request, $entry, own_host($request, $connection));
}

# The link is to lead back here by the name that the caller used, as long as it is a name of this machine.
sub own_host ($request, $connection) {
    my ($port, $said) = ($connection->{port}, $request->header('host'));
    return $said if $said =~ /\A(?:localhost|127\.0\.0\.1):$port\z/;
    return ($connection->{tls} ? 'localhost' : '127.0.0.1') . ":$port";
}

sub login ($self, $request, $connection) {
    my ($uuid) = ($request->{query} // '') =~ /(?:\A|&)UUID=([^&]*)/;
    my $entry  = $self->note('login', $request, $connection);
    $entry->{uuid} = $uuid;
    my $answer = $self->{front}->login($request, $uuid // '', $connection->{tls});
    $entry->{status} = $answer->{status};
    return $answer;
}

sub note ($self, $kind, $request, $connection) {
    my $resumed = $connection->tls_resumed;
    return $self->{record}->add(
        kind   => $kind,
        at     => Kohomai::Sandbox::Links::now_ms(),
        status => undef,
        ref    => undef,
        uuid   => undef,
        ids    => undef,
        error  => undef,
        mood   => $request->{mood} // '',
        (map { $_ => $request->{$_} } qw(method path query body)),
        headers     => $request->all_headers,
        connection  => $connection->{number},
        tls         => $connection->{tls} ? \1 : \0,
        tls_resumed => defined $resumed ? ($resumed ? \1 : \0) : undef,
    );
}

# -- what tests ask --------------------------------------------------------------------------------------------

sub show_record ($self, $request, $connection) {
    $self->{server}->leave_out($connection);
    return $self->clear if $request->{method} eq 'DELETE';
    return plain(405, 'GET or DELETE') if $request->{method} ne 'GET';
    my %filter = map { url_unescape(s/\+/ /gr) } map { (split(/=/, $_, 2), '')[0, 1] } split /&/, $request->{query} // '';
    my $fault  = Kohomai::Sandbox::Record::fault(%filter);
    return defined $fault ? plain(400, $fault) : json($self->{record}->as_json(%filter));
}

sub clear ($self) {
    $self->{record}->clear;
    $self->{api}->clear;
    return {status => 204, headers => [], body => ''};
}

sub show_connections ($self, $request, $connection) {
    $self->{server}->leave_out($connection);
    my $counts = $self->{server}->counts;
    $counts->{waiting}--;    # this very question
    return json(encode_json($counts));
}

sub json ($text) { return {status => 200, headers => [['Content-Type', 'application/json']], body => $text} }

sub plain ($status, $text) {
    return {status => $status, headers => [['Content-Type', 'text/plain; charset=utf-8']], body => "$text\n"};
}

1;
