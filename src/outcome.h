/* outcome: the ways in which a visit can end; one request has exactly one.
 * Threads: any. Memory: constants only.
 * Never: decides which it is. */
#ifndef KOHOMAI_OUTCOME_H
#define KOHOMAI_OUTCOME_H

typedef enum {
    KOHOMAI_NO_OUTCOME,  /* not a visit: another path, HEAD, OPTIONS */
    KOHOMAI_HANDED_OFF,  /* a usable link came back */
    KOHOMAI_REGISTERED,  /* registered, but neither link nor id came back */
    KOHOMAI_QUEUED,      /* the lead waits on disk for the API */
    KOHOMAI_UNKNOWN,     /* no id and no email for this visitor */
    KOHOMAI_INVALID,     /* a fact is missing its form, or the API says so */
    KOHOMAI_FORBIDDEN,   /* somebody else's page started this */
    KOHOMAI_PREFETCH,    /* the browser only looks ahead */
    KOHOMAI_LIMITED,     /* too many from this address */
    KOHOMAI_REFUSED,     /* the API does not take our key, or knows no such id */
    KOHOMAI_UNAVAILABLE, /* the API asks for patience, or we keep away from it */
    KOHOMAI_FAILED,      /* no connection, a broken answer, a link that may not be used */
    KOHOMAI_TIMEOUT,     /* the ceiling passed */
    KOHOMAI_OUTCOMES
} kohomai_outcome_e;

/* The name that users see ("handed-off"), and the outcome of a name, or -1. KOHOMAI_NO_OUTCOME
 * has no name and is never found. */
const char *kohomai_outcome_name(kohomai_outcome_e outcome);
int kohomai_outcome_find(const char *name);

/* The HTTP status that answers it where nothing else is said; 0 for the first two, whose answer is
 * no page. */
int kohomai_outcome_status(kohomai_outcome_e outcome);

/* Two sentences in plain ASCII: what happened, for the heading of a page or the "detail" of a
 * problem, and what the visitor can do. */
const char *kohomai_outcome_headline(kohomai_outcome_e outcome);
const char *kohomai_outcome_advice(kohomai_outcome_e outcome);

#endif
