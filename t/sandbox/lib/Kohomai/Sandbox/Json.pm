# A strict JSON reader that keeps numbers as the text they were sent as, so that a 20-digit id survives exactly,
# and that refuses what lenient readers let pass: a key given twice, broken UTF-8, raw control characters.
# A leaf. It never turns a number into a number. Strings are UTF-8 bytes, in and out.
package Kohomai::Sandbox::Json;
use strict;
use warnings;
use feature 'signatures';

use Encode ();
use Exporter qw(import);
our @EXPORT_OK = qw(read_json write_string write_members);

use constant DEEPEST => 50;

my %ESCAPES = (b => "\b", f => "\f", n => "\n", r => "\r", t => "\t", '"' => '"', '\\' => '\\', '/' => '/');
my %WORDS   = (true => \1, false => \0, null => undef);

# Returns (value, undef), or (undef, what is wrong). Objects are hashes, numbers Kohomai::Sandbox::Json::Number.
sub read_json ($text) {
    return (undef, 'it is not UTF-8') if !eval { Encode::decode('UTF-8', my $copy = $text, Encode::FB_CROAK); 1 };
    my $value = eval {
        my $read = value(\$text, 0);
        $text =~ /\G\s*\z/agc or wrong(\$text, 'something follows the value');
        [$read];
    };
    return $value ? ($value->[0], undef) : (undef, $@ =~ s/\n\z//r);
}

sub wrong ($text, $what) { die sprintf "%s at byte %d\n", $what, pos($$text) // 0 }

sub value ($text, $depth) {
    wrong($text, 'it is nested too deeply') if $depth > DEEPEST;
    $$text =~ /\G[ \t\r\n]+/gc;
    return object($text, $depth)  if $$text =~ /\G\{/gc;
    return list($text, $depth)    if $$text =~ /\G\[/gc;
    return string($text)          if $$text =~ /\G"/gc;
    return $WORDS{$1}             if $$text =~ /\G(true|false|null)\b/gc;
    return Kohomai::Sandbox::Json::Number->new($1)
        if $$text =~ /\G(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?![0-9.eE+-])/gc;
    return wrong($text, 'no JSON value');
}

sub object ($text, $depth) {
    my %object;
    return \%object if $$text =~ /\G[ \t\r\n]*\}/gc;
    while (1) {
        $$text =~ /\G[ \t\r\n]*"/gc or wrong($text, 'no key');
        my $key = string($text);
        wrong($text, "the key $key is given twice") if exists $object{$key};
        $$text =~ /\G[ \t\r\n]*:/gc or wrong($text, 'no colon');
        $object{$key} = value($text, $depth + 1);
        return \%object if $$text =~ /\G[ \t\r\n]*\}/gc;
        $$text =~ /\G[ \t\r\n]*,/gc or wrong($text, 'neither a comma nor a closing brace');
    }
}

sub list ($text, $depth) {
    my @list;
    return \@list if $$text =~ /\G[ \t\r\n]*\]/gc;
    while (1) {
        push @list, value($text, $depth + 1);
        return \@list if $$text =~ /\G[ \t\r\n]*\]/gc;
        $$text =~ /\G[ \t\r\n]*,/gc or wrong($text, 'neither a comma nor a closing bracket');
    }
}

sub string ($text) {
    my $string = '';
    while (1) {
        if    ($$text =~ /\G([^"\\\x00-\x1f]+)/gc)   { $string .= $1 }
        elsif ($$text =~ /\G"/gc)                    { return $string }
        elsif ($$text =~ m{\G\\(["\\/bfnrt])}gc)     { $string .= $ESCAPES{$1} }
        elsif ($$text =~ /\G\\u([0-9A-Fa-f]{4})/gc)  { $string .= code_point($text, hex $1) }
        else                                         { wrong($text, 'a broken string') }
    }
}

sub code_point ($text, $code) {
    if ($code >= 0xD800 && $code < 0xDC00 && $$text =~ /\G\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})/gc) {
        $code = 0x10000 + (($code - 0xD800) << 10) + (hex($1) - 0xDC00);
    }
    wrong($text, 'half a surrogate pair') if $code >= 0xD800 && $code < 0xE000;
    return Encode::encode('UTF-8', chr $code);
}

# Bytes go out as they are, broken UTF-8 too: some moods want just that.
sub write_string ($bytes) {
    return '"' . $bytes =~ s/(["\\])/\\$1/gr =~ s/([\x00-\x1f])/sprintf '\\u%04x', ord $1/ger . '"';
}

# Members are [name, JSON text] or [name, members], in the order in which they are to appear.
sub write_members ($members) {
    return '{' . join(',', map { write_string($_->[0]) . ':' . (ref $_->[1] ? write_members($_->[1]) : $_->[1]) }
            @$members) . '}';
}

package Kohomai::Sandbox::Json::Number;

sub new ($class, $text) { return bless \$text, $class }

sub text ($self) { return $$self }

1;
