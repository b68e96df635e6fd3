# httpd as the tests run it: by itself, or with every access to memory watched, by AddressSanitizer where the module was
# built with it, or by Valgrind:
#
#     my %server = find_httpd();                                                      # apxs, httpd, modules
#     my $program = watched($server{httpd}, module => FILE, folder => DIR, valgrind => 0);
#     print findings(DIR);                                                            # what was found, in files of DIR
#
# It writes into that folder alone, and starts nothing.
package Kohomai::TestChecker;

use strict;
use warnings;

use Exporter qw(import);
use Kohomai::TestRig qw(run_quietly slurp);

our @EXPORT_OK = qw(find_httpd sanitizer_of watched findings);

# Those that Valgrind is to say nothing about; each has its reason there.
use constant SUPPRESSIONS => 't/soak/valgrind.supp';

sub find_httpd {
    my ($apxs) = grep { -x } map { ("$_/apxs", "$_/apxs2") } split /:/, $ENV{PATH};
    die "apxs was not found: run t/install-packages.sh test\n" if !$apxs;
    my ($folder, $name, $modules) = map { run_quietly($apxs, '-q', $_) =~ s/\s+\z//r } qw(SBINDIR PROGNAME LIBEXECDIR);
    return (apxs => $apxs, httpd => "$folder/$name", modules => $modules);
}

# Where a module was built with a sanitizer, the file of its library, which httpd has to load before all others.
sub sanitizer_of {
    my ($module) = @_;
    return run_quietly('ldd', $module) =~ /(\S*lib[at]san\S*) \(0x/ ? $1 : undef;
}

# The program to start instead of httpd; httpd itself where nothing is to watch it. Pools are freed by exit(), so what
# AddressSanitizer would find left then is no leak; Valgrind still knows what points to it.
sub watched {
    my ($httpd, %how) = @_;    # module, folder, top (of the checkout), valgrind
    my $library = sanitizer_of($how{module});
    die "Valgrind and a sanitizer do not go together.\n" if $library && $how{valgrind};
    return wrapper("$how{folder}/httpd-with-sanitizer", "export LD_PRELOAD='$library'"
        . " ASAN_OPTIONS=detect_leaks=0:log_path=$how{folder}/checker UBSAN_OPTIONS=print_stacktrace=1:log_path=$how{folder}/checker\nexec '$httpd'")
        if $library;
    return wrapper("$how{folder}/httpd-with-valgrind", "exec valgrind --quiet --trace-children=no --child-silent-after-fork=no"
        . " --fair-sched=yes --num-callers=30 --gen-suppressions=all --suppressions='$how{top}/" . SUPPRESSIONS . "'"
        . " --log-file='$how{folder}/checker.%p' --leak-check=full --show-leak-kinds=definite '$httpd'")
        if $how{valgrind};
    return $httpd;
}

sub wrapper {
    my ($file, $command) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} qq{#!/bin/sh\n$command "\$@"\n};
    close $out or die "$file: $!\n";
    chmod 0755, $file;
    return $file;
}

sub findings {
    my ($folder) = @_;
    return join '', map { slurp($_) } glob "$folder/checker.*";
}

1;
