/* body: reads a request's body once, and gives it back whole to whoever reads it next.
 * Threads: the request's own. Memory: the bytes live as long as the request.
 * Never: looks into the bytes. */
#ifndef KOHOMAI_BODY_H
#define KOHOMAI_BODY_H

#include <httpd.h>

/* The longest body that is read, in bytes; a little more may have been, to see that it is longer. */
#define KOHOMAI_BODY_MAX (8 * 1024 * 1024)

typedef struct kohomai_body_t {
    const char *bytes; /* NUL-terminated, for those who print them */
    apr_size_t len;
    int whole;          /* 0: it is much longer than KOHOMAI_BODY_MAX, the rest was left unread */
    apr_status_t error; /* what reading ended with; APR_SUCCESS, or as ap_get_brigade returns it */
    apr_size_t given_back;
} kohomai_body_t;

/* Reads all of r's body that is not read yet, blocking. To be called once per request. */
kohomai_body_t *kohomai_body_read(request_rec *r);

/* Puts an input filter into r's chain that gives the body back first, then what was left unread. */
void kohomai_body_give_back(kohomai_body_t *body, request_rec *r);

/* Registers the filter; once, from register_hooks. */
void kohomai_body_register(void);

#endif
