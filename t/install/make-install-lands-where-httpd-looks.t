# make install puts the module, what a2enmod enables, and an example in their places, and never overwrites a configuration
# that somebody has edited. All of it happens in a folder of the test's own.
use strict;
use warnings;
use Test::More;
use File::Path qw(make_path);
use File::Temp qw(tempdir);

my $libexec = `$ENV{KOHOMAI_APXS} -q LIBEXECDIR` =~ s/\s+\z//r;
my $sysconf = `$ENV{KOHOMAI_APXS} -q SYSCONFDIR` =~ s/\s+\z//r;
my $shipped = text_of('conf/kohomai.conf');

my $debian = tempdir(CLEANUP => 1);
make_path("$debian$sysconf/mods-available");
my $available = "$debian$sysconf/mods-available";
like install($debian), qr/a2enmod kohomai/, 'on Debian it says how to enable the module';
ok -s "$debian$libexec/mod_kohomai.so", 'the module is there';
like text_of("$available/kohomai.load"), qr{^LoadModule kohomai_module \S+/mod_kohomai\.so$}m, 'and what loads it';
is text_of("$available/kohomai.conf"), $shipped, 'and its configuration';

install($debian);
ok !-e "$available/kohomai.conf.new", 'a second time changes nothing';

open my $edit, '>>', "$available/kohomai.conf" or die $!;
print {$edit} "# mine\n";
close $edit;
like install($debian), qr/is kept/, 'an edited configuration is reported';
is text_of("$available/kohomai.conf"), "$shipped# mine\n", 'and kept';
is text_of("$available/kohomai.conf.new"), $shipped, 'with the new one beside it';

SKIP: {
    skip 'a2enmod is installed here, so this is a Debian', 2 if grep { -x "$_/a2enmod" } split /:/, $ENV{PATH};
    my $other = tempdir(CLEANUP => 1);
    like install($other), qr/LoadModule kohomai_module "\Q$libexec\E/, 'elsewhere it says which line loads the module';
    is text_of("$other$sysconf/extra/kohomai.conf"), $shipped, 'and leaves an example';
}

done_testing;

# What is built already is not built again.
sub install {
    my ($root) = @_;
    my $said = `make --no-print-directory -o build/mod_kohomai.so install DESTDIR="$root" APXS="$ENV{KOHOMAI_APXS}" 2>&1`;
    is $?, 0, 'make install succeeds' or diag $said;
    return $said;
}

sub text_of {
    my ($file) = @_;
    open my $in, '<', $file or return;
    local $/;
    return scalar <$in>;
}
