# The API: holds each call against the documents, does what it asks, and writes the documented answer.
# The checks come first, so that a mood never hides a wrong request. It never sends anything itself.
package Kohomai::Sandbox::Api;
use strict;
use warnings;
use feature 'signatures';

use Encode ();
use Mojo::Util qw(url_unescape);
use POSIX qw(strftime);
use Kohomai::Sandbox::Json qw(read_json write_members write_string);
use Kohomai::Sandbox::Moods;
use Kohomai::Sandbox::Shapes;

# path, what it is called, which kind of call it is to the mood `only`, whether ?ref= may be given
my @ENDPOINTS = (
    [qr{\A/api/v1/sessions\z},                                   'sessions',  'sessions', 0],
    [qr{\A/api/v1/workflows/(?<id>[1-9][0-9]{0,19})/register\z}, 'workflows', 'register', 0],
    [qr{\A/api/v1/journeys\z},                                   'journeys',  'register', 1],
    [qr{\A/api/v1/leads\z},                                      'leads',     'register', 1],
);

# Each gives undef, or (status, what is wrong).
my @CHECKS = (\&method_fault, \&host_fault, \&key_fault, \&accept_fault, \&type_fault, \&length_fault, \&query_fault);

sub new ($class, %parts) {
    return bless {%parts, moods => Kohomai::Sandbox::Moods->new}, $class;
}

sub clear ($self) { $self->{moods}->clear }

sub hangs_up_early ($self, $mood, $path) {
    my ($endpoint) = endpoint($path);
    return $self->{moods}->hangs_up_early($mood, $endpoint ? $endpoint->{kind} : '');
}

# Returns the answer; fills in what the record's entry is to say about it.
sub answer ($self, $request, $entry, $own_host) {
    my ($endpoint, $workflow) = endpoint($request->{path});
    my $plan = $self->{moods}->plan($request->{mood}, $endpoint ? $endpoint->{kind} : '');
    return fault($entry, 400, $plan) if !ref $plan;
    return fault($entry, 404, "there is no $request->{path}") if !$endpoint;
    for my $check (@CHECKS) {
        my ($status, $what, @headers) = $check->($self, $request, $endpoint);
        return fault($entry, $status, $what, @headers) if $status;
    }
    $entry->{ref} = reference($request->{query});
    my ($shape, $body, $what) = read_body($request, $endpoint, $plan);
    return fault($entry, 400, $what) if defined $what;
    return $self->perform($request, $entry, $plan,
        {shape => $shape, body => $body, workflow => $workflow, host => $own_host});
}

sub endpoint ($path) {
    for my $row (@ENDPOINTS) {
        my ($form, $name, $kind, $takes_ref) = @$row;
        return ({name => $name, kind => $kind, takes_ref => $takes_ref}, $+{id}) if $path =~ $form;
    }
    return;
}

# -- what a call must look like --------------------------------------------------------------------------------

sub method_fault ($self, $request, $endpoint) {
    return if $request->{method} eq 'POST';
    return (405, "the method must be POST, not $request->{method}", ['Allow', 'POST']);
}

sub host_fault ($self, $request, $endpoint) {
    return if $request->header('host') =~ /\A[^\s,]+\z/;
    return (400, 'one Host header is needed');
}

sub key_fault ($self, $request, $endpoint) {
    my ($key, $said) = ($self->{key}, $request->header('authorization'));
    if (!defined $key) {
        return $request->has('authorization') ? (400, 'no Authorization header is expected') : ();
    }
    return if $said eq "Bearer $key";
    my $what = $said eq '' ? 'is missing' : $said =~ /\ABearer / ? 'holds another key' : 'must be: Bearer KEY';
    return (401, "the Authorization header $what", ['WWW-Authenticate', 'Bearer']);
}

sub accept_fault ($self, $request, $endpoint) {
    return if is_json_type($request->header('accept'));
    return (406, 'Accept must be application/json');
}

sub type_fault ($self, $request, $endpoint) {
    return if is_json_type($request->header('content-type'));
    return (415, 'Content-Type must be application/json');
}

sub is_json_type ($type) { return $type =~ m{\Aapplication/json(?:\s*;\s*charset="?utf-8"?)?\z}i }

sub length_fault ($self, $request, $endpoint) {
    return if $request->has('content-length') && !$request->has('transfer-encoding');
    return (411, 'a Content-Length is needed, and no Transfer-Encoding');
}

sub query_fault ($self, $request, $endpoint) {
    my $query = $request->{query};
    return if !defined $query;
    return (400, 'no query is expected here') if !$endpoint->{takes_ref};
    return (400, 'the query must be ref=REF and nothing else') if $query !~ /\Aref=([^&=]+)\z/;
    return (400, 'the ref is not URL-encoded UTF-8') if !defined reference($query);
    return;
}

# Returns the decoded reference; undef where there is none or where it is broken.
sub reference ($query) {
    my ($ref) = ($query // '') =~ /\Aref=(.*)\z/ or return undef;
    return undef if $ref =~ /%(?![0-9A-Fa-f]{2})|[^\x21-\x7e]/;
    my $bytes = url_unescape($ref =~ tr/+/ /r);
    return eval { Encode::decode('UTF-8', my $copy = $bytes, Encode::FB_CROAK); 1 } ? $bytes : undef;
}

# Returns (shape, body), or (undef, undef, what is wrong).
sub read_body ($request, $endpoint, $plan) {
    my ($body, $what) = read_json($request->{body});
    return (undef, undef, "the body is no JSON: $what") if defined $what;
    my $shape = Kohomai::Sandbox::Shapes::claimed($endpoint->{name}, $body);
    $shape = $plan->{generation} if $plan->{generation} && $endpoint->{name} eq 'journeys';
    $what = Kohomai::Sandbox::Shapes::fault($shape, $body);
    return defined $what ? (undef, undef, "$shape: $what") : ($shape, $body);
}

# -- what a call does ------------------------------------------------------------------------------------------

sub perform ($self, $request, $entry, $plan, $call) {
    my $person = $self->person($call, $plan) or return fault($entry, 404, 'there is nobody of that id');
    return $self->failure($request, $entry, $plan) if $plan->{fail};
    my $link = $plan->{no_link} ? undef
        : $self->{links}->issue($person, $call->{body}{RedirectURL}, $plan->{lifetime});
    $entry->{uuid} = $link->{uuid} if $link;
    $entry->{ids}  = {User => $person->{user}, Journey => $person->{journey}};
    my $body = write_members(members($person, $link, $call, $plan));
    $body = $_->($body) for @{$plan->{body} // []};
    return made($entry, $plan, $plan->{status} // 200, $body);
}

# undef where the id is of nobody. A call that is to fail makes nobody new.
sub person ($self, $call, $plan) {
    my ($shape, $body) = @$call{qw(shape body)};
    my $id = $call->{workflow} // ($shape =~ /\Asession/ ? ($body->{User} // $body->{Journey})->{Id}->text : undef);
    my $found = defined $id ? $self->{people}->find($id) : undef;
    return $found if defined $id && (!$found || $shape =~ /\Asession/);
    return {} if $plan->{fail};
    return $self->{people}->register(Kohomai::Sandbox::Shapes::facts($shape, $body), $plan->{id_digits});
}

sub members ($person, $link, $call, $plan) {
    my $id      = $plan->{id_text} // sub ($id) {$id};
    my $name    = $plan->{name}    // $person->{firstname};
    my $now     = Kohomai::Sandbox::Links::now_ms();
    my @members = (
        $link ? link_members($link, $call, $plan) : (),
        text_members(RedirectURL => $call->{body}{RedirectURL}, createdDate => iso($now), changedDate => iso($now)),
        [User => [text_members(Firstname => $name, Lastname => $person->{lastname}), [Id => $id->($person->{user})]]],
        [Journey => [[Id => $id->($person->{journey})]]],
    );
    @members = $_->(@members) for @{$plan->{members} // []};
    return \@members;
}

# The documented link is http even where the API is https.
sub link_members ($link, $call, $plan) {
    my $text = "http://$call->{host}/internal/v1/autologin?UUID=$link->{uuid}";
    $text = $plan->{link}->($text) if $plan->{link};
    my $json = write_string($text);
    $json = $plan->{link_json}->($json) if $plan->{link_json};
    return (text_members(UUID => $link->{uuid}), [ConnectionURL => $json], text_members(ValidUntil => iso($link->{expires})));
}

sub text_members (@pairs) {
    my @members;
    while (my ($name, $text) = splice @pairs, 0, 2) {
        push @members, [$name => write_string($text)] if defined $text;
    }
    return @members;
}

sub iso ($ms) {
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime $ms / 1000) . sprintf '.%03dZ', $ms % 1000;
}

# -- answers ---------------------------------------------------------------------------------------------------

sub made ($entry, $plan, $status, $body, @headers) {
    my $how = $plan->{how};
    $entry->{status} = $status + 0 if !$how->{hang} && !$how->{hangup} && !defined $how->{raw};
    unshift @headers, ['Content-Type', 'application/json'] if length $body;
    return {status => $status, headers => [@headers, @{$plan->{headers} // []}], body => $body, how => {%$how}};
}

sub fault ($entry, $status, $what, @headers) {
    $entry->{error} = $what;
    return made($entry, {how => {}}, $status, error_body($what), @headers);
}

# The failure that a mood asked for.
sub failure ($self, $request, $entry, $plan) {
    my $status = $plan->{status};
    my @headers;
    if (defined $plan->{redirect}) {
        my $query = defined $request->{query} ? "?$request->{query}" : '';
        my $to = $plan->{redirect} =~ s/[\r\n]//gr;
        @headers = (['Location', length $to ? $to : "$request->{path}$query"]);
    }
    my $body = error_body("this is the mood: $status");
    $body = $_->($body) for @{$plan->{body} // []};
    return made($entry, $plan, $status, $body, @headers);
}

sub error_body ($what) { return write_members([[error => write_string($what)]]) }

1;
