# After `pass` PHP's $_POST, $_FILES and php://input are what they are on a path that the module has nothing to do with.
use strict;
use warnings;
use Test::More;
use Digest::SHA qw(sha1_hex);
use Kohomai::TestServer;

my $B = 'frontier';
my $picture = join '', map { chr(($_ * 7919) % 256) } 1 .. 150_000;
my $multipart = join '', part('name="firstname"', 'Zoe'), part('name="tags[]"', 'a'), part('name="tags[]"', 'b'),
    part('name="photo"; filename="me & you.png"', $picture), part('name="note"; filename="empty.txt"', ''), "--$B--\r\n";
my $urlencoded = 'firstname=Zo%C3%AB&tags%5B%5D=a&tags[]=b&empty=&plus=a+b&deep[x][y]=1&firstname=Ann';

same('a form',              'application/x-www-form-urlencoded', $urlencoded);
same('a form with charset', 'application/x-www-form-urlencoded; charset=UTF-8', $urlencoded);
same('an empty form',       'application/x-www-form-urlencoded', '');
same('files',               "multipart/form-data; boundary=$B", $multipart);
same('files, in quotes',    "multipart/form-data; boundary=\"$B\"", $multipart);
same('no end of the files', "multipart/form-data; boundary=$B", substr $multipart, 0, 1_000);
same('another boundary',    'multipart/form-data; boundary=other', $multipart);
same('JSON',                'application/json', '{"firstname":"Zo\u00eb","tags":["a","b"]}');
same('no JSON',             'application/json', '{');
same('text',                'text/plain', $urlencoded);

my $answer = ask('pass', "multipart/form-data; boundary=$B", $multipart);
is $answer->header('X-Echo-Fields'), '{"firstname":"Zoe","tags":["a","b"]}', 'the fields of a multipart form are there';
is $answer->header('X-Echo-Files'), sprintf('{"photo":["me & you.png",150000,"%s"],"note":["empty.txt",0,"%s"]}', sha1_hex($picture), sha1_hex('')),
    'and its files, byte for byte';
$answer = ask('pass', 'application/x-www-form-urlencoded', $urlencoded);
like $answer->header('X-Echo-Fields'), qr/^\{"firstname":"Ann","tags":\["a","b"\],"empty":"","plus":"a b","deep":/, 'so are those of a plain form';
is $answer->body, $urlencoded, 'which can be read as it came, too';

# The same of a visitor whom the module has answered for: what PHP sees is what was sent.
my $mark = log_mark();
is ask('pass', 'application/x-www-form-urlencoded', 'a=b')->status, 200, 'a form is passed';
like access_log_since($mark), qr/^outcome=unknown /, 'after the module has read it';

done_testing;

sub part { my ($head, $bytes) = @_; return "--$B\r\nContent-Disposition: form-data; $head\r\n\r\n$bytes\r\n" }

sub ask {
    my ($place, $type, $body) = @_;
    return request(POST => "/php/echo.php/$place?q=1", body => $body, headers => ['Content-Type' => $type]);
}

sub same {
    my ($what, $type, $body) = @_;
    my ($ours, $theirs) = map { shown(ask($_, $type, $body)) } qw(pass else);
    is $ours, $theirs, $what;
}

sub shown {
    my ($answer) = @_;
    my $head = $answer->head =~ s/^Date: .*?$/Date: now/mr =~ s{/(?:pass|else)\b}{/PLACE}gr;
    return $head . "\n" . sha1_hex($answer->body);
}
