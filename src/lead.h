/* lead: someone to be registered, as the visitor's facts give them; and the record of a lead, in the
 * one encoding in which it waits on disk.
 * Threads: any. Memory: a lead borrows every string it names.
 * Never: knows where it goes or how it is written there. */
#ifndef KOHOMAI_LEAD_H
#define KOHOMAI_LEAD_H

#include <apr_tables.h>

/* The facts of a person, in the order of the names of kohomai_lead_field_names. */
typedef enum {
    KOHOMAI_LEAD_EMAIL,
    KOHOMAI_LEAD_FIRSTNAME,
    KOHOMAI_LEAD_LASTNAME,
    KOHOMAI_LEAD_PHONE,
    KOHOMAI_LEAD_FIELDS
} kohomai_lead_field_e;

extern const char *const kohomai_lead_field_names[KOHOMAI_LEAD_FIELDS];

/* The field of that name (case does not matter), or -1. */
int kohomai_lead_field_find(const char *name);

/* A named value of a journey: told apart by name or by id, never both. */
typedef struct {
    const char *name; /* NULL where id is set */
    const char *id;   /* digits; NULL where name is set */
    const char *value;
} kohomai_datum_t;

/* Strings are never NULL; "" stands for not known. */
typedef struct {
    const char *fields[KOHOMAI_LEAD_FIELDS];
    apr_array_header_t *data; /* of kohomai_datum_t, none with an empty value */
    const char *ref;          /* the reference of the funnel's starting point */
    const char *workflow;     /* digits */
} kohomai_lead_t;

/* Whether the lead can be registered: NULL if so, else a stable word that names the first fault:
 * "email-form", "firstname-form", "lastname-form", "phonenumber-form", "data-form", "ref-form". */
const char *kohomai_lead_check(const kohomai_lead_t *lead);

/* ---- the record ---- */

/* The longest record that is written or read, in bytes. */
#define KOHOMAI_RECORD_MAX (1024 * 1024)

/* A lead and all that it takes to register it later. Strings are never NULL; "" stands for none. */
typedef struct {
    kohomai_lead_t lead;
    const char *arrived;    /* when, for people: nothing depends on it */
    const char *api;        /* the generation's name */
    const char *base_url;   /* an http or https URL without query and fragment */
    const char *return_url; /* an http or https URL */
    const char *ca_file;
    const char *key, *proxy; /* labels: what they stand for is no part of a record */
} kohomai_record_t;

/* Writes a record: one line of JSON with its line end. NULL on success, with *bytes and *len set;
 * else the word that kohomai_lead_decode would refuse it with. */
const char *kohomai_lead_encode(apr_pool_t *pool, const kohomai_record_t *record,
                                const char **bytes, apr_size_t *len);

/* Reads the record at the beginning of len bytes, which may hold anything: what follows the first
 * line is none of its business. NULL on success; else a stable word: "record-size" (longer than
 * KOHOMAI_RECORD_MAX), "record-incomplete" (no line end), "record-json", "record-newer" (another
 * version than this module knows), "record-form" (a member is missing, unknown, there twice or of
 * another form), or a word of kohomai_lead_check or url.h. */
const char *kohomai_lead_decode(apr_pool_t *pool, const char *bytes, apr_size_t len,
                                kohomai_record_t *record);

#endif
