/* form: the bytes of a request body, a query string or a Cookie header -> named fields.
 * Threads: any. Memory: fields live in the pool of the parse and may borrow the parsed bytes,
 *   which must stay as they are for as long.
 * Never: knows what a field means, or trusts a byte of it. */
#ifndef KOHOMAI_FORM_H
#define KOHOMAI_FORM_H

#include <apr_pools.h>

/* Bounds: fields per form, bytes of one part's header, bytes of a JSON form (its tree takes some
 * fifty times as much memory while it is read). */
#define KOHOMAI_FORM_FIELDS_MAX 1000
#define KOHOMAI_FORM_PART_HEADER_MAX 8192
#define KOHOMAI_FORM_JSON_MAX (256 * 1024)

typedef struct kohomai_form_t kohomai_form_t;

/* Whether a body of this Content-Type (may be NULL) is a form at all: urlencoded, multipart or
 * JSON. Other bodies need not be read. */
int kohomai_form_is_form(const char *content_type);

/* Reads a body of len bytes. NULL on success, with *form set; else a stable word that says what
 * is wrong: "form-fields", "form-multipart", "form-json", "form-charset", "form-size", "form-type".
 * A form declared in ISO-8859-1, US-ASCII or Windows-1252 is converted to UTF-8. */
const char *kohomai_form_read(apr_pool_t *pool, const char *content_type, const char *bytes,
                              apr_size_t len, kohomai_form_t **form);

/* The same for a query string (without the question mark) and for a Cookie header, whose values
 * are percent-decoded but keep their plus signs. Either may be NULL. Returns NULL or
 * "form-fields". */
const char *kohomai_form_read_query(apr_pool_t *pool, const char *query, kohomai_form_t **form);
const char *kohomai_form_read_cookies(apr_pool_t *pool, const char *header, kohomai_form_t **form);

/* The first field of that name, decoded, "" where there is none. *reason is set to "form-nul",
 * "form-utf-8" or "form-control" (and "" returned) where the value holds a NUL, is not UTF-8 or
 * holds a control character other than tab, CR and LF; it is left alone otherwise. */
const char *kohomai_form_value(const kohomai_form_t *form, const char *name, const char **reason);

#endif
