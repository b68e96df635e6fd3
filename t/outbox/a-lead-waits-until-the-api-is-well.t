# Whoever registers while the API is away is told that all is well, and is registered once it is back: in the order in
# which they came, each once, with the same call as otherwise, and also across a restart.
use strict;
use warnings;
use Test::More;
use JSON::PP ();
use Kohomai::TestOutbox;
use Kohomai::TestRig qw(free_ports);
use Kohomai::TestSandbox;
use Kohomai::TestServer;
use Kohomai::TestVisitor;

use constant EMPTY => 'waiting=0 sending=0 uncertain=0 rejected=0';

my ($port) = free_ports(1);
my $base   = "http://127.0.0.1:$port/api/v1";
my $outbox = Kohomai::TestOutbox->new;
my $httpd  = start_httpd(size_of(2, 4, 'KohomaiAPIKey sandbox-key', 'LogLevel kohomai:info', 'KohomaiBreaker 5 3s',
        'KohomaiOutbox ' . $outbox->path)
    . signup('/signup')
    . signup('/flat',  'KohomaiAPI journeys-flat', 'KohomaiLead PhoneNumber "+1 (800) 555-0175"')
    . signup('/sent-on', 'KohomaiFallback queued /thanks.html'));

# --- The API is away --------------------------------------------------------------------------------------------------
my $page = register('/signup', 'first@b.example', 'ref=spring&lastname=O%27Neil+%22%C3%A9%22&plan=a%0D%0Ab&return=/welcome%3Fa=b');
is $page->status, 202, 'a person';
like $page->body, qr/<h1>Your details are safe with us/, 'is told that there is no need to come back';
is $page->header('Cache-Control'), 'no-store', 'by a page that nobody keeps';
like +(outcomes($httpd, '/signup'))[0], qr/^queued (?:unreachable|timeout) 202$/, 'the log says why';
my $json = register('/flat', 'second@b.example', '', Accept => 'application/json');
is $json->status, 202, 'a program';
is_deeply JSON::PP::decode_json($json->body), {Status => 'queued'}, 'is told by JSON';
my $sent_on = register('/sent-on', 'third@b.example', '');
is $sent_on->status, 303, 'a fallback';
like $sent_on->header('Location'), qr{/thanks\.html$}, 'leads to a page of the site';

is $outbox->wait_for('waiting=3 sending=0 uncertain=0 rejected=0'), 'waiting=3 sending=0 uncertain=0 rejected=0', 'three leads wait';
is_deeply [$outbox->emails('.')], [map {"$_\@b.example"} qw(first second third)], 'in their order';
is_deeply [map { sprintf '%o', (stat)[2] & 0777 } $outbox->files('.')], [('600') x 3], 'and nobody else reads them';
unlike slurp_all($outbox->files('.')), qr/sandbox-key/, 'the key is in none of them';

# --- httpd is stopped and started meanwhile ---------------------------------------------------------------------------
$httpd->signal('HUP');
ok wait_for(sub { my $answer = eval { $httpd->request(GET => '/plain.txt') }; $answer && $answer->status == 200 }), 'httpd starts again';
is +(my @waiting = $outbox->files('.')) + (my @sending = $outbox->files('sending')), 3, 'they wait still';

# --- The API is back --------------------------------------------------------------------------------------------------
my $api = Kohomai::TestSandbox->start(port => $port);
is $outbox->wait_for(EMPTY), EMPTY, 'when the API is back, all are delivered';
my @calls = $api->calls;
is_deeply [map { ($_->{body} =~ /(\w+)\@b\.example/)[0] } @calls], [qw(first second third)], 'in their order, each once';
is_deeply [map { "$_->{status} $_->{path}" } @calls], [('200 /api/v1/journeys') x 3], 'and registered';
is_deeply [map { $_->{headers}{authorization} } @calls], [('Bearer sandbox-key') x 3], 'with the key';
my @lines = $httpd->error_log =~ /kohomai: outbox=delivered record=\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}\.lead reason=- status=200$/mg;
is scalar @lines, 3, 'each in a line of the log';
unlike $httpd->error_log, qr/b\.example|sandbox-key/, 'that names nobody';

# The same person, registered directly: only what was sent can tell.
$api->clear;
is register('/signup', 'first@b.example', 'ref=spring&lastname=O%27Neil+%22%C3%A9%22&plan=a%0D%0Ab&return=/welcome%3Fa=b')->status, 303, 'now one is handed off at once';
my ($direct) = $api->calls;
is_deeply [@{$calls[0]}{qw(method path query ref body)}], [@{$direct}{qw(method path query ref body)}], 'by the very same call';
is $outbox->counts, EMPTY, 'and nothing is kept of it';

ends_well($httpd);
done_testing;

sub signup {
    my ($path, @lines) = @_;
    return join "\n", qq{<Location "$path">}, 'KohomaiHandoff register', qq{KohomaiBaseURL "$base"}, 'KohomaiLead Email %{form:email}',
        'KohomaiLead Lastname %{form:lastname}', 'KohomaiData "#74590868830731162" %{form:plan}', 'KohomaiRef %{form:ref}',
        'KohomaiRedirectURL %{form:return}', @lines, "</Location>\n";
}

sub register {
    my ($path, $email, $more, @headers) = @_;
    return $httpd->request(POST => $path, body => "email=$email&$more",
        headers => ['Content-Type' => 'application/x-www-form-urlencoded', @headers]);
}

sub slurp_all { return join '', map { Kohomai::TestHttpd::read_file($_) } @_ }
