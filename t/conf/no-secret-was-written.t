# After all other tests of an MPM: nothing that any httpd or PHP wrote meanwhile, whatever it was asked and however it went,
# holds a link, a key, or what visitors sent of themselves. The module logs all it can, and httpd the heads of answers. What
# is httpd's own to write is taken out before the search, and named in the README: the request line in an access log and on
# the status page, the Referer behind httpd's own lines, and its traces of what goes in and out. Not even those may hold a
# link or a key.
use strict;
use warnings;
use Test::More;
use Kohomai::TestSecrets qw(secrets);
use Kohomai::TestServer;

my $logs = "$ENV{KOHOMAI_SERVER_ROOT}/logs";
sandbox()->harvest;
my $secret = secrets();
my %number = map { $_ => scalar @{$secret->{$_} || []} } qw(link key person);
plan skip_all => 'no test before this one was given a link' if !$number{link};
# A short plain word that a test sends, such as "example" or "bytes", tells nothing: httpd says it by itself.
my %search = map { $_ => any_of(grep { !/^[a-z]{1,8}$/ } @{$secret->{$_} || []}) } keys %number;
my $httpds_own = qr/\[(?:http|http2|proxy_fcgi):trace\d\]/;
my $start_up   = qr/\.output$/;    # what httpd says of its configuration repeats that, and no visitor was there yet
my %found;
my @files = sort grep { -f && -s } glob("$logs/*"), glob("$logs/others/*");
for my $file (@files) {
    open my $in, '<', $file or next;
    binmode $in;
    while (my $line = <$in>) {
        $line =~ s/ request=".*"$// if $file =~ /access_log/;
        $line =~ s/, referer: .*$// if $line !~ /\[kohomai:/;
        for my $kind ($line =~ $httpds_own || $file =~ $start_up ? qw(link key) : qw(link key person)) {
            push @{$found{$kind}}, "$file: $1: $line" if $line =~ $search{$kind};
        }
    }
}
for my $kind (qw(link key person)) {
    my @lines = @{$found{$kind} || []};
    is join('', @lines[0 .. ($#lines < 20 ? $#lines : 20)]), '', "no $kind was written: $number{$kind} in " . @files . ' files';
}

my $page = request(GET => '/server-status')->body =~ s{<td nowrap>\K[A-Z]+ [^<]*(?=</td>)}{}gr;
like $page, qr/Server uptime/, 'the status page is there';
unlike $page, $search{$_}, "and holds no $_" for qw(link key person);

done_testing;

sub any_of {
    my $words = join '|', map { quotemeta } @_;
    return length $words ? qr/($words)/ : qr/(?!)/;
}
