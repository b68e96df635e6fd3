/* dialect: how Kohomai is spoken to. A lead or an id -> the request; an answer -> what it says.
 * Threads: any. Memory: results live in the pool that was passed and borrow their arguments.
 * Never: sends, logs, or decides what a visitor gets to see. */
#ifndef KOHOMAI_DIALECT_H
#define KOHOMAI_DIALECT_H

#include "lead.h"

#include <apr_pools.h>

/* The largest answer that is read, in bytes. */
#define KOHOMAI_ANSWER_MAX (64 * 1024)

/* The generations of the registering call, oldest last. What each takes is in dialect.c's table. */
typedef enum {
    KOHOMAI_API_LEADS,
    KOHOMAI_API_JOURNEYS,
    KOHOMAI_API_JOURNEYS_FLAT,
    KOHOMAI_API_WORKFLOWS,
    KOHOMAI_APIS
} kohomai_api_e;

/* The generation of that name ("journeys-flat"; case does not matter), or -1; and its name. */
int kohomai_dialect_find(const char *name);
const char *kohomai_dialect_name(kohomai_api_e api);

/* What a generation can carry: data points by name (else by id), a phone number. */
int kohomai_dialect_names_data(kohomai_api_e api);
int kohomai_dialect_takes_phone(kohomai_api_e api);

/* A POST to the base URL with path appended. call is the name users see: "sessions", ... */
typedef struct {
    const char *call;
    const char *path;
    const char *body;
    apr_size_t body_len;
} kohomai_request_t;

/* Whom a session is opened for. */
typedef enum { KOHOMAI_ID_JOURNEY, KOHOMAI_ID_USER } kohomai_id_e;

/* Writes the call that opens a session. id must be an id by text.h, return_url may be "". */
void kohomai_dialect_write_session(apr_pool_t *pool, kohomai_id_e kind, const char *id,
                                   const char *return_url, kohomai_request_t *request);

/* Writes the call that registers a checked lead; return_url may be "". */
void kohomai_dialect_write_register(apr_pool_t *pool, kohomai_api_e api, const kohomai_lead_t *lead,
                                    const char *return_url, kohomai_request_t *request);

/* What an answer says, from its status and its body. */
typedef enum {
    KOHOMAI_SAYS_LINK,    /* 2xx with a ConnectionURL, not yet judged */
    KOHOMAI_SAYS_ID,      /* 2xx without a link, but with an id to open a session for */
    KOHOMAI_SAYS_TAKEN,   /* 2xx with neither */
    KOHOMAI_SAYS_INVALID, /* 400, 409, 422: what was sent does not do */
    KOHOMAI_SAYS_REFUSED, /* 401, 403: the key; or any other 4xx */
    KOHOMAI_SAYS_GONE,    /* 404: no such id */
    KOHOMAI_SAYS_BUSY,    /* 429 */
    KOHOMAI_SAYS_SICK,    /* 5xx, 3xx, 1xx */
    KOHOMAI_SAYS_NONSENSE /* 2xx with a body that is not what the API documents */
} kohomai_says_e;

typedef struct {
    kohomai_says_e says;
    const char *reason;      /* a stable word, "" where says is the whole story */
    const char *link;        /* KOHOMAI_SAYS_LINK */
    const char *valid_until; /* as the API spells it (RFC 3339), "" where it does not */
    const char *id;          /* KOHOMAI_SAYS_ID: digits exactly as in the answer;
                                KOHOMAI_SAYS_LINK: the same, "" where it names none */
    kohomai_id_e id_kind;
} kohomai_verdict_t;

/* Reads an answer. A body of 2xx must be empty or one JSON object. */
void kohomai_dialect_read(apr_pool_t *pool, int status, const char *body, apr_size_t len,
                          kohomai_verdict_t *verdict);

#endif
