# .htaccess, with AllowOverride FileInfo, may say what concerns a path; what concerns the server, the API and its key it may not
# (500, as httpd answers any directive that is out of place), and its expressions are restricted as httpd restricts them.
use strict;
use warnings;
use Test::More;
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Kohomai::TestServer;

my $sandbox = sandbox();
my $tree    = tempdir(CLEANUP => 1);
my $httpd   = start_httpd(<<"END");
KohomaiBaseURL "http://127.0.0.1:\${KOHOMAI_SANDBOX_PORT}/api/v1"
KohomaiAPIKey  sandbox-key
Alias "/tree"   "$tree"
<Directory "$tree">
    Require       all granted
    AllowOverride FileInfo
</Directory>
<Directory "$tree/listed">
    AllowOverride     FileInfo
    AllowOverrideList KohomaiBaseURL KohomaiAPIKey KohomaiProxy KohomaiTimeout KohomaiCAFile KohomaiAPI KohomaiRetry
</Directory>
<Directory "$tree/auth-only">
    AllowOverride AuthConfig
</Directory>
<Directory "$tree/ignored">
    AllowOverride None
</Directory>
END

# Right ones, all of them together.
folder('right', <<'END');
KohomaiHandoff     On
KohomaiJourney     %{query:journey}
KohomaiUser        %{query:user}
KohomaiLead        Email %{query:email}
KohomaiLead        Firstname Ann
KohomaiData        #12 %{query:data}
KohomaiRef         demo
KohomaiRedirectURL /tree/right/page.txt
KohomaiResponse    redirect
KohomaiFallback    unknown 404
END
is visit('right', 'journey=74590868830731162')->status, 302, 'a handoff that .htaccess alone asks for';
like last_call()->{body}, qr/^\Q{"Journey":{"Id":74590868830731162},"RedirectURL":"http:\E/, 'with what it says';
is visit('right', 'user=9')->status, 302, 'KohomaiUser';
like last_call()->{body}, qr/^\{"User":\{"Id":9\}/, 'reaches the API';
is visit('right', 'email=a%40b.example&data=blue')->status, 302, 'KohomaiLead and KohomaiData';
like last_call()->{body}, qr/"Ann".*"a\@b\.example".*\Q{"StringValue":"blue","DataPoint":{"Id":12}}\E/, 'reach it, too';
is last_call()->{query}, 'ref=demo', 'with KohomaiRef';
is visit('right', '')->status, 404, 'KohomaiFallback holds';
is last_call(), undef, 'and nobody was asked';

folder('workflow', "KohomaiHandoff On\nKohomaiLead Email a\@b.example\nKohomaiWorkflow 12\n");
is visit('workflow')->status, 302, 'KohomaiWorkflow is allowed, whatever the generation';

# What must not be said there.
for my $line ('KohomaiBaseURL https://app.kohomai.com/api/v1', 'KohomaiInsecure On', 'KohomaiAPIKey a-key', 'KohomaiTimeout 10s',
    'KohomaiCAFile /dev/null', 'KohomaiAPI leads', 'KohomaiAllowReturn www.example.com', 'KohomaiAllowLink www.example.com')
{
    my ($name) = $line =~ /^(\w+)/;
    folder("not-$name", "KohomaiHandoff On\nKohomaiJourney 12\n$line\n");
    is visit("not-$name")->status, 500, "$line is refused";
    is last_call(), undef, 'and nobody was asked';
    like $httpd->error_log, qr{not-$name/\.htaccess: \Q$name\E not allowed here}, 'and the log says why';
}
for my $line ('KohomaiBaseURL http://192.0.2.1/api/v1', 'KohomaiAPIKey exec:/bin/true', 'KohomaiProxy none', 'KohomaiTimeout 10s',
    "KohomaiCAFile $ENV{KOHOMAI_TLS_CERT}", 'KohomaiAPI leads')
{
    my ($name) = $line =~ /^(\w+)/;
    folder("listed/$name", "KohomaiHandoff On\nKohomaiJourney 12\n$line\n");
    is visit("listed/$name")->status, 500, "$line is refused, whatever AllowOverrideList says";
    is last_call(), undef, 'and nobody was asked';
    like $httpd->error_log, qr{listed/$name/\.htaccess: \Q$name\E cannot occur within htaccess files}, 'and the log says why';
}
folder('listed/retry', "KohomaiHandoff On\nKohomaiJourney 12\nKohomaiRetry 0\n");
is visit('listed/retry')->status, 302, 'AllowOverrideList may allow what a section may say';
folder('auth-only', "KohomaiHandoff On\nKohomaiJourney 12\n");
is visit('auth-only')->status, 500, 'without FileInfo nothing is allowed';
folder('ignored', "KohomaiHandoff On\nKohomaiJourney 12\nKohomaiNonsense\n");
is visit('ignored')->body, "the site's own page\n", 'and with AllowOverride None nothing is read';

# Mistakes come to light at the request.
for my $row (
    ['KohomaiHandoff yes',                    qr/On, Off, session, register/],
    ['KohomaiWorkflow x',                     qr/1 to 20 digits/],
    ['KohomaiData #x y',                      qr/1 to 20 digits/],
    ['KohomaiFallback unknown 418',           qr/4xx or 5xx/],
    ['KohomaiResponse html',                  qr/auto, redirect, json/],
    ['KohomaiJourney %{file:/etc/hostname}',  qr/expression/],
    ['KohomaiJourney %{filesize:/etc/passwd}', qr/expression/],
    ['KohomaiJourney %{env:',                 qr/expression/],
    ) {
    my ($line, $mend) = @$row;
    folder('wrong', "KohomaiHandoff On\n$line\n");
    is visit('wrong')->status, 500, "$line is refused at the request";
    like $httpd->error_log, qr{wrong/\.htaccess: .*?$mend}, 'and the log says the mend';
}
folder('unfit', "KohomaiHandoff On\nKohomaiLead Email a\@b.example\nKohomaiData Colour blue\n");
is visit('unfit')->status, 422, 'a data point that does not fit the generation is not sent';
is last_call(), undef, 'and nobody was asked';

is $httpd->stop, 0, 'the server ends in order';
done_testing;

sub visit {
    my ($folder, $query) = @_;
    $sandbox->clear;
    return $httpd->request(GET => "/tree/$folder/page.txt" . (defined $query ? "?$query" : ''));
}

sub last_call { return ($sandbox->calls)[-1] }

sub folder {
    my ($name, $rules) = @_;
    make_path("$tree/$name");
    for (['page.txt', "the site's own page\n"], ['.htaccess', $rules]) {
        my ($file, $text) = @$_;
        open my $out, '>', "$tree/$name/$file" or die "$tree/$name/$file: $!\n";
        print {$out} $text;
        close $out or die "$tree/$name/$file: $!\n";
    }
}
