/* park: holds a request until its call is done, and wakes it.
 * Threads: kohomai_park_hold and kohomai_park_wait on the request's own thread, kohomai_park_wake
 *   on any. Memory: a ticket lives as long as its request.
 * Never: knows what is waited for. */
#include "park.h"

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

struct kohomai_ticket_t {
    apr_thread_mutex_t *lock;
    apr_thread_cond_t *woken_cond;
    int woken;
};

kohomai_ticket_t *kohomai_park_hold(request_rec *r)
{
    kohomai_ticket_t *ticket = apr_pcalloc(r->pool, sizeof(*ticket));

    if (apr_thread_mutex_create(&ticket->lock, APR_THREAD_MUTEX_DEFAULT, r->pool) ||
        apr_thread_cond_create(&ticket->woken_cond, r->pool)) {
        return NULL;
    }
    return ticket;
}

void kohomai_park_wake(void *baton)
{
    kohomai_ticket_t *ticket = baton;

    apr_thread_mutex_lock(ticket->lock);
    ticket->woken = 1;
    apr_thread_cond_signal(ticket->woken_cond);
    apr_thread_mutex_unlock(ticket->lock);
}

int kohomai_park_wait(kohomai_ticket_t *ticket)
{
    apr_thread_mutex_lock(ticket->lock);
    while (!ticket->woken) {
        apr_thread_cond_wait(ticket->woken_cond, ticket->lock);
    }
    apr_thread_mutex_unlock(ticket->lock);
    return OK;
}
