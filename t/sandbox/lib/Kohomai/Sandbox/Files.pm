# Lets this process hold as many connections as the machine allows: raises the soft limit of open files.
# Perl's core cannot set a limit, so the program starts itself once more from a shell that can.
# It never touches the hard limit, and never runs a program twice over.
package Kohomai::Sandbox::Files;
use strict;
use warnings;
use feature 'signatures';

my $MARK = 'KOHOMAI_SANDBOX_FILES_RAISED';

my $SHELL = <<'END';
hard=$(ulimit -Hn)
if [ "$hard" = unlimited ] || [ "$hard" -gt 65536 ]; then hard=65536; fi
ulimit -Sn "$hard" 2>/dev/null
exec "$@"
END

# Call it before anything was opened or started; returns in the process that has the raised limit.
sub raise_limit (@arguments) {
    return if delete $ENV{$MARK};
    local $ENV{$MARK} = 1;
    exec '/bin/sh', '-c', $SHELL, 'sh', $^X, $0, @arguments or die "cannot start /bin/sh: $!\n";
}

1;
