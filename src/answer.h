/* answer: writes the end of a visit, as a redirect, a page for people or JSON for programs.
 * Threads: the request's own. Memory: the request's pool.
 * Never: decides the outcome, or repeats anything that the visitor sent. */
#ifndef KOHOMAI_ANSWER_H
#define KOHOMAI_ANSWER_H

#include "outcome.h"

#include <httpd.h>

/* Each returns what the hook must return to httpd: a status, or DONE where all is written. */

/* Goes to a URL or path: 302, after a POST 303 (the browser then comes by GET). */
int kohomai_answer_redirect(request_rec *r, const char *target);

/* The link for a program: 200 {"ConnectionURL":…,"ValidUntil":…}. */
int kohomai_answer_link(request_rec *r, const char *link, const char *valid_until);

/* Nothing to show: 204. */
int kohomai_answer_empty(request_rec *r);

/* The outcome in words: a page, unless the site has an ErrorDocument for this status; for programs
 * an RFC 9457 problem, or, where the status is no error, {"Status":outcome}. location may be NULL:
 * where a program may go instead. */
int kohomai_answer_words(request_rec *r, kohomai_outcome_e outcome, int status, const char *reason,
                         int json, const char *location);

/* Sees to the headers that every answer to a visit carries: no cache, no Referer. */
void kohomai_answer_protect(request_rec *r);

/* Lets scripts of another origin read the answer (the CORS protocol of
 * https://fetch.spec.whatwg.org/#http-cors-protocol). origin is written as browsers write it, or
 * NULL: then it only says that another Origin could have had another answer. */
void kohomai_answer_allow_origin(request_rec *r, const char *origin);

/* Tells a browser what such a script may send (the answer to a preflight): 204. */
int kohomai_answer_preflight(request_rec *r);

#endif
