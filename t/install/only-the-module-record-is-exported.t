# The module shares a process with httpd and every other module: of all its names, they see one.
use strict;
use warnings;
use Test::More;

my @exported = sort map { (split)[-1] } grep { /\S/ } `nm -D --defined-only "$ENV{KOHOMAI_MODULE}"`;
is $?, 0, 'nm reads the module';
is_deeply \@exported, ['kohomai_module'], 'it exports its record only';

done_testing;
