/* json: JSON text from outside, read strictly and with every number kept exactly as spelled.
 * Threads: any. Memory: a tree lives until the pool it was asked for with is cleared.
 * Never: rounds a number, resolves a repeated name silently, or recurses without bound. */
#ifndef KOHOMAI_JSON_H
#define KOHOMAI_JSON_H

#include <apr_pools.h>
#include <cjson/cJSON.h>

/* How deeply arrays and objects may nest. */
#define KOHOMAI_JSON_DEPTH 32

/* Reads len bytes that need not end in NUL. Numbers come back as strings that hold the very
 * characters of the source, since cJSON by itself keeps numbers as doubles, which changes ids
 * above 2^53. NULL where the text is not JSON (RFC 8259; a UTF-8 byte order mark is skipped), is
 * not UTF-8, nests too deeply or spells a NUL character (\u0000), which a C string cannot hold. */
const cJSON *kohomai_json_parse(apr_pool_t *pool, const char *text, apr_size_t len);

/* The member of that name (case matters). NULL where object is not an object, or has no such
 * member, or where it is null. *twice is set to 1 where the name is there more than once, and is
 * left alone otherwise. */
const cJSON *kohomai_json_member(const cJSON *object, const char *name, int *twice);

#endif
