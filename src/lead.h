/* lead: someone to be registered, as the visitor's facts give them.
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

#endif
