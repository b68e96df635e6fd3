# Everything that conf/ and the README show can be used: `httpd -t` accepts each example, and kohomai.conf both as it is
# and with every directive made active. The one thing put in is the key file, which a machine under test does not have.
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use Kohomai::TestServer;

my $folder = tempdir(CLEANUP => 1);
chmod 0755, $folder;
my $key_file = write_file("$folder/api.key", "example-key\n", 0600);

# What Debian enables with a2enmod beyond the modules that every test has.
my %needs = (
    'basic-dbd.conf' => [qw(dbd authn_dbd)],
    'ldap.conf'      => [qw(ldap authnz_ldap)],
    'openidc.conf'   => [qw(auth_openidc)],
);

my @examples = sort glob 'conf/examples/*.conf';
ok @examples >= 6, 'the examples are there';
for my $file (@examples) {
    my ($name) = $file =~ m{([^/]+)$};
    my @missing = grep { !-e module_file($_) } @{$needs{$name} || []};
    SKIP: {
        skip "$name: mod_$missing[0] is not installed", 1 if @missing;
        accepted($name, join '', map({ load_module($_) } @{$needs{$name} || []}), text_of($file));
    }
}

my $shipped = text_of('conf/kohomai.conf');
unlike $shipped, qr/^\s*[^\s#]/m, 'kohomai.conf has no active line';
accepted('kohomai.conf', $shipped);
accepted('kohomai.conf with every line made active', $shipped =~ s/^(\s*)#(?=\S)/$1/gmr);

# The README's recipes are those files, less most of their comments.
my $readme = text_of('README.md');
my ($smallest) = $readme =~ /^```apache\n(.*?)^```$/ms;
accepted("the README's first configuration", $smallest);
my %recipe = $readme =~ m{\(conf/examples/([\w.-]+)\).*?^```apache\n(.*?)^```$}gms;
is_deeply [sort keys %recipe], [map { m{([^/]+)$} } sort glob 'conf/examples/*'], 'the README has a recipe for each example';
is bare($recipe{$_}), bare(text_of("conf/examples/$_")), "the README's recipe is $_" for sort keys %recipe;

# A .htaccess file is read when a request comes, so this one gets some. HEAD never asks the API.
my $site = "$folder/wordpress";
mkdir $site;
my $rules = text_of('conf/examples/wordpress.htaccess') . <<'END';
# BEGIN WordPress
RewriteEngine On
RewriteRule ^index\.txt$ - [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule . index.txt [L]
END
write_file("$site/.htaccess", $rules);
write_file("$site/index.txt", "the front controller\n");

my $httpd = start_httpd(<<"END");
KohomaiAPIKey "file:$key_file"
DocumentRoot "$site"
<Directory "$site">
    AllowOverride FileInfo
    Require       all granted
</Directory>
END
is $httpd->request(HEAD => '/onboarding')->status,  204, 'wordpress.htaccess hands /onboarding off';
is $httpd->request(HEAD => '/onboarding/')->status, 204, 'with a slash behind it, too';
is $httpd->request(GET  => '/onboarding/more')->body, "the front controller\n", 'and nothing else';
my $nobody = $httpd->request(GET => '/onboarding');
is $nobody->status, 302, 'without an email';
like $nobody->header('Location'), qr{(?:^|:\d+)/join/$}, 'the visitor is sent to the form';
unlike $httpd->error_log, qr{\.htaccess: }, 'httpd has nothing to say about it';

done_testing;

sub accepted {
    my ($what, $text) = @_;
    mkdir "$folder/outbox", 0700;
    $text =~ s{/etc/kohomai/api\.key}{$key_file}g;
    $text =~ s{/var/lib/kohomai/outbox}{$folder/outbox}g;
    my ($status, $said) = config_check($text);
    is $status, 0, "$what is accepted" or diag $said;
}

sub bare {
    my ($text) = @_;
    return join "\n", map { s/^\s+//r =~ s/\s+/ /gr } grep { !/^\s*(?:#|$)/ } split /\n/, $text;
}

# Some have been loaded for every test already, and httpd would say so.
sub load_module {
    my ($name) = @_;
    return "<IfModule !${name}_module>\nLoadModule ${name}_module \"" . module_file($name) . "\"\n</IfModule>\n";
}

sub module_file { return "$ENV{KOHOMAI_MODULES}/mod_$_[0].so" }

sub text_of {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

sub write_file {
    my ($file, $text, $mode) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
    chmod $mode // 0644, $file;
    return $file;
}
