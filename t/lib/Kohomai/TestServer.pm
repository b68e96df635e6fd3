# What a test of the module needs, about the httpd that t/run-tests has started for it:
#
#     my $mark   = log_mark();
#     my $answer = request(GET => '/onboarding', headers => [Cookie => 'a=b']);     # see Kohomai::TestHTTP
#     is $answer->status, 302;
#     like access_log_since($mark), qr/^outcome=handed-off /;
#     my ($status, $said) = config_check("KohomaiTimeout 300x\n");                  # `httpd -t`
#     my $httpd = start_httpd("KohomaiTimeout 1s\n", mpm => 'prefork');             # one of its own: Kohomai::TestHttpd
#
# It changes nothing in the shared server: a test that needs another configuration starts its own.
package Kohomai::TestServer;

use strict;
use warnings;

use Exporter qw(import);
use Time::HiRes qw(sleep time);

use Kohomai::TestHTTP ();
use Kohomai::TestHttpd ();

our @EXPORT = qw(request h2get server_url server_port mpm sandbox config_check start_httpd
    log_mark access_log_since error_log_since);

use constant PATIENCE => 30 * ($ENV{KOHOMAI_SLOWNESS} // 1);    # seconds until a log line is taken as missing

die "Run this test with t/run-tests.\n" if !$ENV{KOHOMAI_SERVER_ROOT};

sub mpm         { return $ENV{KOHOMAI_MPM} }
sub server_port { return $ENV{KOHOMAI_PORT} }
sub server_url  { return "http://localhost:$ENV{KOHOMAI_PORT}" . ($_[0] // '/') }

sub request {
    my ($method, $path, %how) = @_;
    return Kohomai::TestHTTP::request($method, $path, port => server_port(), %how);
}

# Over TLS, and over HTTP/2 where the MPM can do it: event and worker.
sub h2get {
    my ($path, %how) = @_;
    my $method = delete $how{method} // 'GET';
    return Kohomai::TestHTTP::h2_request($method, $path, port => $ENV{KOHOMAI_TLS_PORT}, cafile => $ENV{KOHOMAI_TLS_CERT}, %how);
}

# The stand-in Kohomai, to be asked what it saw.
sub sandbox {
    require Kohomai::TestSandbox;
    return Kohomai::TestSandbox->attach;
}

sub config_check { return Kohomai::TestHttpd->check(@_) }
sub start_httpd  { return Kohomai::TestHttpd->start(@_) }

# Where both logs end now. The line of the request before may still be on its way: so a moment must pass without one.
sub log_mark {
    my ($mark, $before) = (log_sizes());
    do {
        $before = $mark;
        sleep 0.03;
        $mark = log_sizes();
    } until $mark->{access_log} == $before->{access_log};
    return $mark;
}

sub log_sizes {
    return {map { $_ => -s log_file($_) || 0 } qw(access_log error_log)};
}

# httpd writes the line when the answer is out already: so COUNT lines (1) are waited for. A list of lines, or their text.
sub access_log_since {
    my ($mark, $count) = @_;
    $count //= 1;
    my $text = wait_for_log(access_log => $mark, sub { ($_[0] =~ tr/\n//) >= $count });
    return wantarray ? split /(?<=\n)/, $text : $text;
}

# Without a PATTERN, what is there now.
sub error_log_since {
    my ($mark, $pattern) = @_;
    return wait_for_log(error_log => $mark, sub { !$pattern || $_[0] =~ $pattern });
}

# What is there when CONDITION holds, or when patience ends: the test says what is missing.
sub wait_for_log {
    my ($name, $mark, $condition) = @_;
    my $end = time + PATIENCE;
    while (1) {
        my $text = substr Kohomai::TestHttpd::read_file(log_file($name)), $mark->{$name};
        return $text if $condition->($text) || time > $end;
        sleep 0.02;
    }
}

sub log_file { return "$ENV{KOHOMAI_SERVER_ROOT}/logs/$_[0]" }

1;
