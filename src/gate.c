/* gate: how many visitors may wait for the API at once, so that a hanging API never takes the
 * whole site with it.
 * Threads: any. Memory: lives in the pool it was made with.
 * Never: waits. */
#include "gate.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <util_cfgtree.h>

#define FACTOR_DEFAULT 2.0 /* the event MPM's own */

struct kohomai_gate_t {
    int cap;
    atomic_int waiting;
    kohomai_shared_t *shared; /* counts over all children; NULL where each child counts */
};

static int ask_mpm(int question)
{
    int answer = 0;

    return ap_mpm_query(question, &answer) == APR_SUCCESS ? answer : 0;
}

static int one_thread_each(void)
{
    return ask_mpm(AP_MPMQ_MAX_THREADS) <= 1;
}

const char *kohomai_gate_scope(void)
{
    return one_thread_each() ? "over all children" : "per child";
}

int kohomai_gate_children(void)
{
    int limit = ask_mpm(AP_MPMQ_HARD_LIMIT_DAEMONS);

    return limit > 0 ? limit : 1;
}

/* The last AsyncRequestWorkerFactor of the configuration; the MPM does not tell. */
static double worker_factor(void)
{
    const ap_directive_t *line;
    double factor = FACTOR_DEFAULT;

    for (line = ap_conftree; line; line = line->next) {
        if (strcasecmp(line->directive, "AsyncRequestWorkerFactor") == 0) {
            factor = strtod(line->args, NULL);
        }
    }
    return factor > 0 ? factor : FACTOR_DEFAULT;
}

int kohomai_gate_default(void)
{
    double room = ask_mpm(AP_MPMQ_MAX_THREADS);

    if (one_thread_each()) {
        room = ask_mpm(AP_MPMQ_MAX_DAEMONS);
    }
    else if (ask_mpm(AP_MPMQ_IS_ASYNC)) {
        room *= worker_factor() + 1;
    }
    return room >= 4 ? (int)(room / 2) : 1;
}

kohomai_gate_t *kohomai_gate_create(apr_pool_t *pool, kohomai_shared_t *shared, int cap)
{
    kohomai_gate_t *gate = apr_pcalloc(pool, sizeof(*gate));

    gate->cap = cap;
    gate->shared = one_thread_each() ? shared : NULL;
    return gate;
}

int kohomai_gate_enter(kohomai_gate_t *gate, const conn_rec *c)
{
    if (gate->shared) {
        return kohomai_shared_hold(gate->shared, (int)c->id, getpid(), gate->cap);
    }
    if (atomic_fetch_add(&gate->waiting, 1) >= gate->cap) {
        atomic_fetch_sub(&gate->waiting, 1);
        return 0;
    }
    return 1;
}

void kohomai_gate_leave(kohomai_gate_t *gate, const conn_rec *c)
{
    if (gate->shared) {
        kohomai_shared_let_go(gate->shared, (int)c->id);
    }
    else {
        atomic_fetch_sub(&gate->waiting, 1);
    }
}
