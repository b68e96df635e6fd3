# Listens on loopback, plain and TLS, and counts connections and held calls.
# It knows nothing of the API: each request goes to the site, which gives an answer back.
# It never refuses a connection for being one too many.
package Kohomai::Sandbox::Server;
use strict;
use warnings;
use feature 'signatures';

use Mojo::IOLoop;
use Kohomai::Sandbox::Connection;

sub new ($class) {
    Mojo::IOLoop->singleton->max_connections(10_000_000);
    return bless {accepted => 0, open => 0, waiting => 0, numbers => 0, connections => {}}, $class;
}

sub serve ($self, $site) { $self->{site} = $site }

sub counts ($self) { return {map { $_ => $self->{$_} } qw(open accepted waiting)} }

# Returns the port; 0 asks for a free one.
sub listen ($self, $port, $cert = undef, $key = undef) {
    my %how = (address => '127.0.0.1', port => $port, backlog => 65_535);
    %how = (%how, tls => 1, tls_options => {SSL_reuse_ctx => tls_context($cert, $key)}) if defined $cert;
    my $own_port;
    my $id = Mojo::IOLoop->server(
        \%how => sub ($loop, $stream, $id) { $self->accept($stream, defined $cert, $own_port) });
    return $own_port = Mojo::IOLoop->acceptor($id)->port;
}

# One context for all connections, or no client could ever resume its TLS session.
sub tls_context ($cert, $key) {
    require IO::Socket::SSL;
    return IO::Socket::SSL::SSL_Context->new(
        SSL_server             => 1,
        SSL_cert_file          => $cert,
        SSL_key_file           => $key,
        SSL_session_id_context => 'kohomai-sandbox',
    ) // die "$IO::Socket::SSL::SSL_ERROR\n";
}

sub accept ($self, $stream, $tls, $port) {
    my $number = ++$self->{numbers};
    $self->{accepted}++;
    $self->{open}++;
    $self->{connections}{$number} = Kohomai::Sandbox::Connection->new(
        server => $self, site => $self->{site}, stream => $stream, number => $number,
        tls    => $tls,  port => $port,
    );
}

# The connection of a test that reads the record is not one of those that the test counts.
sub leave_out ($self, $connection) {
    return if $connection->{left_out}++;
    $self->{accepted}--;
    $self->{open}--;
}

sub forget ($self, $connection) {
    delete $self->{connections}{$connection->{number}} or return;
    $self->{open}-- if !$connection->{left_out};
}

1;
