# The moods: how a test asks the sandbox to misbehave, by base URL (/m/slow=200,no-link/api/v1).
# One table says them all; each mood only amends a plan, which Api and Connection carry out.
# It never sees a request's body or a connection.
#
# What a plan may hold:
#   about the answer     status, headers, fail (no link is made), link (a sub on the link's text), link_json (a sub on
#                        its JSON text), members and body (lists of subs), name, id_text, id_digits, lifetime, generation
#   about the sending    how: delay, drip, cut, chunked, raw, hang, hangup, close, idle (see Connection)
#   about the plan       only, times, early
package Kohomai::Sandbox::Moods;
use strict;
use warnings;
use feature 'signatures';

use Encode ();
use Mojo::Util qw(url_unescape);
use Kohomai::Sandbox::Json qw(write_string);

my $NUMBER = qr/\A[0-9]{1,8}\z/;
my $TEXT   = qr/\A.+\z/s;
my $EVIL   = 'evil.example';

# mood, what its value may be, what it does, and how it amends the plan ($v is the value, percent-decoded)
my @MOODS = (
    # Time and connection
    ['slow=MS', $NUMBER, 'waits MS milliseconds before it answers',
        sub ($p, $v) { $p->{how}{delay} = $v }],
    ['drip=MS', $NUMBER, 'sends the answer byte by byte, MS milliseconds apart',
        sub ($p, $v) { $p->{how}{drip} = $v }],
    ['hang', undef, 'never answers and keeps the connection open',
        sub ($p, $v) { $p->{how}{hang} = 1 }],
    ['hangup-before', undef, 'closes as soon as the request line is there; nothing is recorded',
        sub ($p, $v) { $p->{early} = 1 }],
    ['hangup-after', undef, 'reads and records the request, does what it asks, and closes without an answer',
        sub ($p, $v) { $p->{how}{hangup} = 1 }],
    ['cut', undef, 'sends the head and half of the body, and closes',
        sub ($p, $v) { $p->{how}{cut} = 1 }],
    ['garbage', undef, 'sends bytes that are no HTTP, and closes',
        sub ($p, $v) { $p->{how}{raw} = "\x00\xff\xfe\x80 this is no HTTP \x01\x02\r\n\r\n{]" x 20 }],
    ['chunked', undef, 'sends the answer in chunks, without a Content-Length',
        sub ($p, $v) { $p->{how}{chunked} = 1 }],
    ['keep-alive=off|MS', qr/\A(?:off|[0-9]{1,8})\z/, 'closes after the answer; MS: MS milliseconds after it, unannounced',
        sub ($p, $v) { $v eq 'off' ? ($p->{how}{close} = 1) : ($p->{how}{idle} = $v) }],

    # Status
    ['status=NNN', qr/\A[2-5][0-9]{2}\z/, 'answers with that status; from 300 on nothing is made and the body is an error',
        sub ($p, $v) { $p->{status} = $v; $p->{fail} = 1 if $v >= 300 }],
    ['retry-after=S', $TEXT, 'adds a Retry-After header',
        sub ($p, $v) { push @{$p->{headers}}, ['Retry-After', $v =~ s/[\r\n]//gr] }],
    ['redirect[=URL]', $TEXT, '302 to URL, or to the same call without a mood',
        sub ($p, $v) { @$p{qw(status fail redirect)} = (302, 1, $v // '') }],

    # Body
    ['garbage-json', undef, '200 and application/json, but no JSON',
        sub ($p, $v) { push @{$p->{body}}, sub ($body) {'{"UUID": oops, [}'} }],
    ['huge[=BYTES]', $NUMBER, 'valid JSON of exactly that many bytes (131072), mostly padding',
        sub ($p, $v) { push @{$p->{body}}, sub ($body) { padded($body, $v // 131_072) } }],
    ['wrong-charset[=utf-16|latin-1]', qr/\A(?:utf-16|latin-1)\z/, 'the visitor is called Zoë, and the body is not in UTF-8 (latin-1)',
        sub ($p, $v) { in_charset($p, ($v // '') eq 'utf-16' ? 'UTF-16' : 'ISO-8859-1') }],
    ['duplicate-keys', undef, 'ConnectionURL twice, the second with another UUID',
        sub ($p, $v) { push @{$p->{members}}, \&double_link }],
    ['deep', undef, 'an unknown member holds arrays nested 10,000 deep',
        sub ($p, $v) { push @{$p->{members}}, sub (@m) { (@m, ['Unknown', '[' x 10_000 . ']' x 10_000]) } }],
    ['empty[=204]', qr/\A204\z/, '200, or 204, with an empty body',
        sub ($p, $v) { $p->{status} = $v if $v; push @{$p->{body}}, sub ($body) {''} }],

    # Link
    ['no-link', undef, 'makes no link: no ConnectionURL, but the ids',
        sub ($p, $v) { without($p, qw(UUID ConnectionURL ValidUntil)) }],
    ['no-link-no-id', undef, 'neither ConnectionURL nor any id',
        sub ($p, $v) { without($p, qw(UUID ConnectionURL ValidUntil User Journey)) }],
    ['no-user', undef, 'the answer names no User',
        sub ($p, $v) { without($p, 'User') }],
    ['no-journey', undef, 'the answer names no Journey',
        sub ($p, $v) { without($p, 'Journey') }],
    ['link=TEXT', qr/\A.*\z/s, 'ConnectionURL is exactly TEXT (percent-encode commas, slashes and whatever is not ASCII)',
        sub ($p, $v) { $p->{link} = sub ($link) {$v} }],
    ['foreign-link', undef, "the link leads to https://$EVIL",
        sub ($p, $v) { $p->{link} = sub ($link) { $link =~ s{\A\w+://[^/]+}{https://$EVIL}r } }],
    ['link-host=HOST[:PORT]', qr/\A[^\/]+\z/, 'the link names that host',
        sub ($p, $v) { $p->{link} = sub ($link) { $link =~ s{//[^/]+}{//$v}r } }],
    ['http-link', undef, 'the link begins with http:// (as documented, and so the default)',
        sub ($p, $v) { $p->{link} = sub ($link) { $link =~ s/\A\w+:/http:/r } }],
    ['https-link', undef, 'the link begins with https://',
        sub ($p, $v) { $p->{link} = sub ($link) { $link =~ s/\A\w+:/https:/r } }],
    ['user-info-link', undef, 'the link holds a user and a password',
        sub ($p, $v) { $p->{link} = sub ($link) { $link =~ s{//}{//user:secret@}r } }],
    ['backslash-link', undef, "the link holds a backslash: http://$EVIL\\\@HOST/...",
        sub ($p, $v) { $p->{link} = sub ($link) { $link =~ s{//}{//$EVIL\\@}r } }],
    ['long-link=BYTES', $NUMBER, 'the link is exactly that long',
        sub ($p, $v) { $p->{link} = sub ($link) { lengthened($link, $v) } }],
    ['nul', undef, "a \\u0000 in the link, then .$EVIL",
        sub ($p, $v) { $p->{link} = sub ($link) {"$link\0.$EVIL"} }],
    ['control', undef, 'a raw CR LF and a header of its own within the link (no valid JSON)',
        sub ($p, $v) { $p->{link_json} = sub ($json) { $json =~ s/"\z/\r\nSet-Cookie: evil=1"/r } }],
    ['expire=MS', $NUMBER, 'the link lives MS milliseconds instead of five minutes',
        sub ($p, $v) { $p->{lifetime} = $v }],

    # Ids
    ['id-form=FORM', qr/\A(?:negative|fraction|exponent|string|twenty|twentyone|leading-zero|null|object)\z/,
        'how the ids in the answer are written: negative, fraction, exponent, string, twenty or twentyone digits,'
            . ' leading-zero, null, object',
        sub ($p, $v) { $p->{id_digits} = 20 if $v eq 'twenty'; $p->{id_text} = id_form($v) }],

    # Which calls
    ['gen=journeys|journeys-flat', qr/\A(?:journeys|journeys-flat)\z/, 'POST /journeys takes the bodies of that generation alone',
        sub ($p, $v) { $p->{generation} = $v }],
    ['only=sessions|register', qr/\A(?:sessions|register)\z/, 'the other moods hold for that kind of call alone',
        sub ($p, $v) { $p->{only} = $v }],
    ['times=N', $NUMBER, 'the other moods hold for the first N calls under this very path; DELETE /_record starts anew',
        sub ($p, $v) { $p->{times} = $v }],
);

my %BY_NAME = map { mood_name($_->[0]) => $_ } @MOODS;

sub mood_name ($title) { return $title =~ /\A([a-z-]+)/ ? $1 : die "a mood without a name: $title" }

sub new ($class) { return bless {counted => {}}, $class }

sub clear ($self) { $self->{counted} = {} }

# Returns a plan; or, when a mood is unknown or has a wrong value, a sentence.
sub read_plan ($text) {
    my $plan = {how => {}};
    for (split /,/, $text // '', -1) {
        my ($name, $value) = split /=/, $_, 2;
        my $mood = $BY_NAME{$name // ''} or return 'there is no mood ' . write_string($name // '');
        $value = url_unescape($value) if defined $value;
        my $fault = value_fault($mood, $value);
        return $fault if $fault;
        $mood->[3]->($plan, $value);
    }
    return $plan;
}

sub value_fault ($mood, $value) {
    my ($title, $form) = @$mood;
    return undef                              if !defined $value && $title !~ /\A[a-z-]+=/;
    return "the mood is written $title"       if !defined $value || !defined $form || $value !~ $form;
    return undef;
}

# The plan for one call, as `only` and `times` allow it. Asking counts the call.
sub plan ($self, $text, $kind) {
    my $plan = read_cached($text);
    return $plan if !ref $plan;
    my $bare = {how => {}};
    return $bare if $plan->{only} && $plan->{only} ne $kind;
    return $bare if $plan->{times} && ++$self->{counted}{$text} > $plan->{times};
    return $bare if defined $plan->{times} && !$plan->{times};
    return $plan;
}

# Says whether the call is to be cut at its request line; counts it if so.
sub hangs_up_early ($self, $text, $kind) {
    my $plan = read_cached($text);
    return 0 if !ref $plan || !$plan->{early} || ($plan->{only} && $plan->{only} ne $kind);
    return 1 if !defined $plan->{times};
    return 0 if ($self->{counted}{$text} // 0) >= $plan->{times};
    return ++$self->{counted}{$text};
}

my %READ;

sub read_cached ($text) {
    $text //= '';
    %READ = () if keys %READ > 1000;
    return $READ{$text} //= read_plan($text);
}

# The table for people, in Markdown.
sub table {
    my @rows = map { sprintf "| `%s` | %s |\n", map {s/\|/\\|/gr} @$_[0, 2] } @MOODS;
    return join '', "| mood | what it does |\n| --- | --- |\n", @rows;
}

sub names { return sort keys %BY_NAME }

# -- what the table's rows use ---------------------------------------------------------------------------------

sub without ($plan, @names) {
    my %gone = map { $_ => 1 } @names;
    $plan->{no_link} = 1 if $gone{ConnectionURL};
    push @{$plan->{members}}, sub (@members) { grep { !$gone{$_->[0]} } @members };
}

sub double_link (@members) {
    my ($link) = grep { $_->[0] eq 'ConnectionURL' } @members;
    return @members if !$link;
    return (@members, ['ConnectionURL', $link->[1] =~ s/UUID=[0-9a-f]{8}/UUID=00000000/r]);
}

sub padded ($body, $bytes) {
    my $need = $bytes - length($body) - length ',"Padding":""';
    return $body if $need < 0;
    chop(my $open = $body);
    return $open . ',"Padding":"' . 'x' x $need . '"}';
}

sub lengthened ($link, $bytes) {
    $link .= '&pad=';
    return length $link < $bytes ? $link . 'x' x ($bytes - length $link) : substr $link, 0, $bytes;
}

sub in_charset ($plan, $charset) {
    $plan->{name} = Encode::encode('UTF-8', "Zo\x{eb}");
    push @{$plan->{body}}, sub ($body) { Encode::from_to($body, 'UTF-8', $charset); $body };
}

sub id_form ($form) {
    return {
        negative       => sub ($id) {"-$id"},
        fraction       => sub ($id) {"$id.5"},
        exponent       => sub ($id) { substr($id, 0, 1) . '.' . substr($id, 1) . 'e' . (length($id) - 1) },
        string         => sub ($id) { write_string($id) },
        twenty         => sub ($id) { substr $id . '1' x 20, 0, 20 },
        twentyone      => sub ($id) { substr $id . '1' x 21, 0, 21 },
        'leading-zero' => sub ($id) {"0$id"},
        null           => sub ($id) {'null'},
        object         => sub ($id) {"{\"Id\":$id}"},
    }->{$form};
}

1;
