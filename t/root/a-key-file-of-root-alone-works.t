# A key file that only root can read works: it is read when httpd starts, as root, before the children become nobody. (Run
# by root alone: t/run-tests leaves t/root/ out for anyone else.)
use strict;
use warnings;
use Test::More;
use File::Temp qw(tempdir);
use Kohomai::TestSandbox;
use Kohomai::TestServer;

plan skip_all => 'only root can show this' if $> != 0;

my $sandbox = Kohomai::TestSandbox->start;
my $folder  = tempdir(CLEANUP => 1);
chmod 0700, $folder;
my $secret  = "$folder/api.key";
write_key($sandbox->key);

my $conf = <<"END";
KohomaiAPIKey  file:$secret
KohomaiBaseURL @{[$sandbox->base]}
<Location "/onboarding">
    KohomaiHandoff On
    KohomaiJourney 74590868830731162
</Location>
END
for my $mpm (qw(event worker prefork)) {
    my $httpd = start_httpd($conf, mpm => $mpm);
    $sandbox->clear;
    is $httpd->request(GET => '/onboarding')->status, 302, "$mpm: a visitor is handed off";
    ok $sandbox->wait_until(sub { owners($httpd->pid) eq getpwnam 'nobody' }), 'by children that are nobody';
    is +($sandbox->calls)[0]{headers}{authorization}, 'Bearer ' . $sandbox->key, 'with the key that they could not read';
    unlike $httpd->error_log . $httpd->output, qr/\Q@{[$sandbox->key]}/, 'and that no log shows';

    # When it changes, the parent reads it again, for children that cannot.
    write_key('second-key');
    ok wait_for_key($httpd, 'second-key'), 'a changed file brings a new key, without a restart';

    # A graceful restart reads it again, still as root.
    write_key('another-key');
    $httpd->signal('USR1');
    ok wait_for_key($httpd, 'another-key'), 'a graceful restart brings a new one';
    is $httpd->stop, 0, 'the server ends in order';
    write_key($sandbox->key);
}

done_testing;

# Whether a visitor's call comes to carry that key.
sub wait_for_key {
    my ($httpd, $key) = @_;
    return $sandbox->wait_until(sub {
        $httpd->request(GET => '/onboarding');
        return ($sandbox->calls)[-1]{headers}{authorization} eq "Bearer $key";
    }, 60);
}

sub write_key {
    my ($key) = @_;
    open my $out, '>', $secret or die "$secret: $!\n";
    print {$out} "$key\n";
    close $out or die "$secret: $!\n";
    chmod 0600, $secret or die "$secret: $!\n";
}

# The users whom the children run as. One that was forked just now is root for a moment.
sub owners {
    my ($parent) = @_;
    my $list = "/proc/$parent/task/$parent/children";
    my %owner = map { $_ => 1 } grep { defined } map { (stat "/proc/$_")[4] } split ' ', Kohomai::TestHttpd::read_file($list);
    return join ' ', sort keys %owner;
}
