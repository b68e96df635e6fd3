/* reason: why a call came to no answer, in a sentence for whoever reads the log: what is wrong, and
 * who can mend it how.
 * Threads: the one that owns the handle. Memory: constant sentences.
 * Never: repeats a word that came from outside. */
#ifndef KOHOMAI_REASON_H
#define KOHOMAI_REASON_H

#include "proxy.h"

#include <curl/curl.h>

/* What libcurl leaves behind. */
typedef struct {
    CURL *easy;                   /* the handle, still as the transfer left it */
    CURLcode code;                /* not CURLE_OK */
    const char *said;             /* its error buffer, "" for nothing */
    const kohomai_proxy_t *proxy; /* NULL for none */
    int sent;                     /* the request may have left */
} kohomai_failure_t;

const char *kohomai_reason_of(const kohomai_failure_t *failure);

#endif
