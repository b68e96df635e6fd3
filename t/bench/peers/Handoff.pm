# The handoff as a handler of mod_perl, with HTTP::Tiny, which keeps one connection.
package Handoff;

use strict;
use warnings;

use Apache2::Const -compile => qw(REDIRECT HTTP_BAD_GATEWAY);
use Apache2::RequestIO  ();
use Apache2::RequestRec ();
use APR::Table          ();
use HTTP::Tiny;
use IO::Socket::SSL;

my $agent;

sub handler {
    my ($r) = @_;
    my ($which, $delay) = $r->uri =~ m{^/([ct])/([a-z0-9]+)/onboarding$};
    my ($journey) = ($r->args // '') =~ /\bj=(\d+)/;
    $agent ||= HTTP::Tiny->new(timeout => 60, verify_SSL => 1, SSL_options => {SSL_ca_file => $ENV{API_CA}});
    my $answer = $agent->post($ENV{$which eq 't' ? 'API_TLS' : 'API_CLEAR'} . "/$delay/api/v1/sessions", {
        headers => {
            'Authorization' => 'Bearer bench-key',
            'Content-Type'  => 'application/json',
            'Accept'        => 'application/json',
        },
        content => "{\"Journey\":{\"Id\":$journey}}",
    });
    my ($link) = $answer->{content} =~ /"ConnectionURL":"([^"]+)"/;
    return Apache2::Const::HTTP_BAD_GATEWAY if $answer->{status} != 200 || !$link;
    $r->err_headers_out->set('Cache-Control' => 'no-store');
    $r->err_headers_out->set(Location => $link);
    return Apache2::Const::REDIRECT;
}

1;
