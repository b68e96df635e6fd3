# What the programs of t/soak share: where httpd and the module are, when nobody has said so, and a certificate.
# It writes into the folder that it is given, and starts nothing that lasts.
package Kohomai::Soak;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use Kohomai::TestChecker qw(find_httpd watched);
use Kohomai::TestRig qw(run_quietly);

our @EXPORT_OK = qw(describe_httpd make_certificate);

my $TOP = abs_path(dirname(__FILE__) . '/../../../..');

# FOLDER/tls.crt and FOLDER/tls.key, for localhost.
sub make_certificate {
    my ($folder) = @_;
    run_quietly(qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost
        -addext), 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', "$folder/tls.key", '-out', "$folder/tls.crt");
}

# t/run-tests says all this in the environment; by itself, a program finds it out. Whether something watches httpd's memory:
# what was freed is kept back then, so that it grows.
sub describe_httpd {
    my (%how) = @_;    # module, folder, valgrind
    my $module = $ENV{KOHOMAI_MODULE} || abs_path($how{module});
    if (!$ENV{KOHOMAI_MODULE}) {
        die "$how{module} has not been built: make does it.\n" if !$module || !-e $module;
        my %server = find_httpd();
        @ENV{qw(KOHOMAI_HTTPD KOHOMAI_MODULES KOHOMAI_MODULE KOHOMAI_SITE)} = (@server{qw(httpd modules)}, $module, "$TOP/t/conf");
        $ENV{KOHOMAI_PHP_FPM} = "$how{folder}/no-php.sock";
    }
    chmod 0777, $how{folder};
    my $program = watched($ENV{KOHOMAI_HTTPD}, module => $module, folder => $how{folder}, top => $TOP, valgrind => $how{valgrind});
    my $is_watched = $program ne $ENV{KOHOMAI_HTTPD};
    $ENV{KOHOMAI_HTTPD} = $program;
    return $is_watched;
}

1;
