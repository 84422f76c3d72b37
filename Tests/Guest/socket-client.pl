#!/usr/bin/perl
# socket-client.pl PATH: connects standard input and output to a Unix socket, until either ends.
#
# The backends of the devices speak over Unix sockets, and no shell can. Perl is part of every Debian.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;

my $path = shift or die "usage: socket-client.pl PATH\n";
my $socket;
for (1 .. 100) {
    $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path) and last;
    select undef, undef, undef, 0.1;
}
die "cannot connect to $path: $!\n" unless $socket;

my $select = IO::Select->new($socket, \*STDIN);
while (1) {
    for my $source ($select->can_read) {
        my $sink = $source == $socket ? \*STDOUT : $socket;
        my $count = sysread $source, my $bytes, 65536;
        exit 0 unless $count;
        while (length $bytes) {
            my $written = syswrite $sink, $bytes;
            exit 1 unless defined $written;
            substr $bytes, 0, $written, '';
        }
    }
}
