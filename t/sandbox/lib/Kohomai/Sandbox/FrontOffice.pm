# The front office that a link opens: greets the visitor, lists activities, and sends the browser on after the last.
# Progress belongs to one login, so that every visit begins with all activities. Everything shown is escaped.
package Kohomai::Sandbox::FrontOffice;
use strict;
use warnings;
use feature 'signatures';

use Mojo::Util qw(xml_escape);

use constant {COOKIE => 'sandbox_front', MOST => 10_000};

my @ACTIVITIES = ('Read the welcome letter', 'Meet your team', 'Choose your equipment');

my %DEAD = (
    used    => 'This link was used already. A login link works once.',
    expired => 'This link has expired.',
    unknown => 'This link is unknown.',
);

my $FRAME = <<'END';
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>
body { font: 1.125rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 3rem auto; padding: 0 1rem; color: #1d2530; background: #fff }
ol { list-style: none; padding: 0 }
li { display: flex; justify-content: space-between; align-items: center; gap: 1rem; padding: .75rem 0; border-bottom: 1px solid #c8d0da }
form { margin: 0 }
button { font: inherit; padding: .4rem 1rem; border: 0; border-radius: .4rem; color: #fff; background: #14539a; cursor: pointer }
button:focus-visible, a:focus-visible { outline: 3px solid #d97706; outline-offset: 2px }
.done { color: #1b6e3c }
</style>
</head>
<body>
<main>
<h1>%s</h1>
%s</main>
</body>
</html>
END

sub new ($class, %parts) { return bless {%parts, visits => {}, oldest => []}, $class }

# -- what the browser asks -------------------------------------------------------------------------------------

sub login ($self, $request, $uuid, $tls) {
    return refused(405, 'Not allowed', 'A login link is opened by GET.') if $request->{method} ne 'GET';
    my ($link, $why) = $self->{links}->use_up($uuid);
    return refused(410, 'This link does not work', "$DEAD{$why} ($why)") if !$link;
    my $cookie = COOKIE . '=' . $self->begin_visit($link) . '; Path=/; HttpOnly; SameSite=Lax' . ($tls ? '; Secure' : '');
    return elsewhere(302, '/front', ['Set-Cookie', $cookie]);
}

sub page ($self, $request) {
    return refused(405, 'Not allowed', 'This page is opened by GET.') if $request->{method} !~ /\A(?:GET|HEAD)\z/;
    my $visit = $self->visit($request) or return nobody();
    my $name  = $visit->{person}{firstname} // $visit->{person}{email} // 'Visitor';
    return html(200, "Welcome, $name", all_done($visit) ? farewell($visit) : activities($visit));
}

sub done ($self, $request) {
    return refused(405, 'Not allowed', 'An activity is marked by POST.') if $request->{method} ne 'POST';
    my $visit = $self->visit($request) or return nobody();
    my ($number) = $request->{body} =~ /\Aactivity=([1-9])\z/;
    return refused(400, 'No such activity', 'The form names no activity.') if !$number || $number > @ACTIVITIES;
    $visit->{done}{$number} = 1;
    return elsewhere(303, all_done($visit) && defined $visit->{redirect} ? $visit->{redirect} : '/front');
}

# -- visits ----------------------------------------------------------------------------------------------------

sub begin_visit ($self, $link) {
    my $token = join '', map { sprintf '%04x', int rand 65_536 } 1 .. 8;
    $self->{visits}{$token} = {person => $link->{person}, redirect => $link->{redirect}, done => {}};
    push @{$self->{oldest}}, $token;
    delete $self->{visits}{shift @{$self->{oldest}}} if @{$self->{oldest}} > MOST;
    return $token;
}

sub visit ($self, $request) {
    my $name = COOKIE;
    my ($token) = $request->header('cookie') =~ /(?:\A|[;,]\s*)$name=([0-9a-f]{32})/ or return undef;
    return $self->{visits}{$token};
}

sub all_done ($visit) { return keys %{$visit->{done}} == @ACTIVITIES }

# -- pages -----------------------------------------------------------------------------------------------------

sub activities ($visit) {
    my $done = keys %{$visit->{done}};
    my $list = join '', map { activity($visit, $_) } 1 .. @ACTIVITIES;
    return sprintf "<p role=\"status\">%d of %d activities done.</p>\n<ol>\n%s</ol>\n", $done, scalar @ACTIVITIES, $list;
}

sub activity ($visit, $number) {
    my $state = $visit->{done}{$number} ? '<span class="done">Done</span>' : button($number);
    my $title = xml_escape($ACTIVITIES[$number - 1]);
    return qq{<li><span id="activity-$number">$title</span> $state</li>\n};
}

sub button ($number) {
    return qq{<form method="post" action="/front/done"><input type="hidden" name="activity" value="$number">}
        . qq{<button aria-describedby="activity-$number">Mark as done</button></form>};
}

sub farewell ($visit) {
    my $html = qq{<p role="status">All done</p>\n};
    return $html if !defined $visit->{redirect};
    return $html . sprintf "<p><a href=\"%s\">Back to the site</a></p>\n", xml_escape($visit->{redirect});
}

sub nobody { return refused(403, 'You are not logged in', 'Please open your login link.') }

sub refused ($status, $title, $text) { return html($status, $title, '<p>' . xml_escape($text) . "</p>\n") }

sub html ($status, $title, $content) {
    my $safe = xml_escape($title);
    return {status => $status, body => sprintf($FRAME, $safe, $safe, $content), headers => [
            ['Content-Type', 'text/html; charset=utf-8'], safety(),
            ['Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"],
        ]};
}

sub elsewhere ($status, $where, @headers) {
    return {status => $status, body => '', headers => [['Location', $where], @headers, safety()]};
}

sub safety {
    return (['Cache-Control', 'no-store'], ['Referrer-Policy', 'no-referrer'], ['X-Content-Type-Options', 'nosniff']);
}

1;
