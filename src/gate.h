/* gate: how many visitors may wait for the API at once, so that a hanging API never takes the
 * whole site with it.
 * Threads: any. Memory: lives in the pool it was made with.
 * Never: waits. */
#ifndef KOHOMAI_GATE_H
#define KOHOMAI_GATE_H

#include "shared.h"

#include <httpd.h>

typedef struct kohomai_gate_t kohomai_gate_t;

/* The cap where KohomaiMaxPending says nothing: half of what one child can hold. On the event MPM
 * that is half of ThreadsPerChild x (AsyncRequestWorkerFactor + 1), where the factor is what the
 * configuration says; where children have one thread (prefork) half of all children; else half of
 * a child's threads. At least 1. */
int kohomai_gate_default(void);

/* What the cap counts under this MPM: "per child" or "over all children". */
const char *kohomai_gate_scope(void);

/* How many children this MPM can have: what kohomai_shared_get must make room for. */
int kohomai_gate_children(void);

/* A child's gate. Where children have one thread, visitors are counted over all of them. */
kohomai_gate_t *kohomai_gate_create(apr_pool_t *pool, kohomai_shared_t *shared, int cap);

/* Lets a visitor in: 0 where there are too many. Each that came in leaves once. */
int kohomai_gate_enter(kohomai_gate_t *gate, const conn_rec *c);
void kohomai_gate_leave(kohomai_gate_t *gate, const conn_rec *c);

#endif
