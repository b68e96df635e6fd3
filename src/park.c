/* park: holds a request until its call is done, and wakes it. On an MPM that can wait for a
 * connection (event, httpd 2.4.63 and later) the request waits without a thread; elsewhere its
 * thread waits. Who asks need not know which.
 * Threads: as each function says. Memory: a ticket belongs to two sides, the request and the waker.
 * Never: knows what is waited for.
 *
 * How a request is parked: its hook returned SUSPENDED, so httpd has left it as it stands. Our
 * process_connection hook, which runs all others inside itself, then exchanges the descriptor under
 * the visitor's socket for an eventfd and asks the MPM to wait until "the socket" can be read. The
 * waker makes it readable, the MPM's listener gives the connection to a worker, and there the
 * resume_connection hook, before anything else, puts the visitor's descriptor back. */
#include "park.h"
#include "kohomai.h"

#include <ap_mmn.h>
#include <ap_mpm.h>
#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <pthread.h>
#include <scoreboard.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* httpd 2.4.63 has it; with an older one every request waits in its thread. */
#define CAN_WAITIO AP_MODULE_MAGIC_AT_LEAST(20120211, 137)
#if !CAN_WAITIO
#define CONN_STATE_ASYNC_WAITIO CONN_STATE_LINGER /* never reached */
#endif

struct kohomai_ticket_t {
    kohomai_ticket_t *next; /* in the free list */
    kohomai_park_t *park;
    atomic_int holders;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t woken_cond;
    int woken;
    int armed;  /* the eventfd tells, not the condition */
    int wakeup; /* eventfd, made at first need and kept; -1 before */
};

struct kohomai_park_t {
    int can_park;       /* the MPM waits for connections */
    atomic_int stopped; /* nobody is brought back any more */
    pthread_mutex_t lock;
    kohomai_ticket_t *free_tickets;
};

/* What a connection keeps for its parked request; made at first need, used again. */
typedef struct {
    request_rec *r; /* NULL: none is parked */
    kohomai_ticket_t *ticket;
    const kohomai_story_t *story;
    void *baton;
    int exchanged; /* the eventfd stands in for the visitor's descriptor */
    apr_os_sock_t visitor;
} stall_t;

/* The connection whose hooks our own hook is running, on this thread. */
static __thread conn_rec *inside;

/* ---- tickets ---- */

static apr_status_t free_all(void *baton)
{
    kohomai_park_t *park = baton;
    kohomai_ticket_t *ticket;

    while ((ticket = park->free_tickets)) {
        park->free_tickets = ticket->next;
        if (ticket->wakeup >= 0) {
            close(ticket->wakeup);
        }
        free(ticket);
    }
    return APR_SUCCESS;
}

kohomai_park_t *kohomai_park_create(apr_pool_t *pool)
{
    kohomai_park_t *park = apr_pcalloc(pool, sizeof(*park));

#if CAN_WAITIO
    if (ap_mpm_query(AP_MPMQ_CAN_WAITIO, &park->can_park) != APR_SUCCESS) {
        park->can_park = 0;
    }
#endif
    pthread_mutex_init(&park->lock, NULL);
    apr_pool_cleanup_register(pool, park, free_all, apr_pool_cleanup_null);
    return park;
}

static kohomai_ticket_t *ticket_make(kohomai_park_t *park)
{
    kohomai_ticket_t *ticket = calloc(1, sizeof(*ticket));

    if (ticket) {
        ticket->park = park;
        ticket->wakeup = -1;
        pthread_mutex_init(&ticket->lock, NULL);
        pthread_cond_init(&ticket->woken_cond, NULL);
    }
    return ticket;
}

kohomai_ticket_t *kohomai_park_hold(kohomai_park_t *park)
{
    kohomai_ticket_t *ticket;

    pthread_mutex_lock(&park->lock);
    ticket = park->free_tickets;
    if (ticket) {
        park->free_tickets = ticket->next;
    }
    pthread_mutex_unlock(&park->lock);
    if (!ticket) {
        ticket = ticket_make(park);
    }
    if (ticket) {
        ticket->woken = ticket->armed = 0;
        atomic_store(&ticket->holders, 2);
    }
    return ticket;
}

void kohomai_park_stop(kohomai_park_t *park)
{
    atomic_store(&park->stopped, 1);
}

void kohomai_park_release(kohomai_ticket_t *ticket)
{
    kohomai_park_t *park = ticket->park;
    uint64_t count;

    if (atomic_fetch_sub(&ticket->holders, 1) > 1) {
        return;
    }
    if (ticket->armed && !atomic_load(&park->stopped)) {
        (void)!read(ticket->wakeup, &count, sizeof(count));
    }
    pthread_mutex_lock(&park->lock);
    ticket->next = park->free_tickets;
    park->free_tickets = ticket;
    pthread_mutex_unlock(&park->lock);
}

void kohomai_park_wake(void *baton)
{
    kohomai_ticket_t *ticket = baton;
    uint64_t one = 1;

    pthread_mutex_lock(&ticket->lock);
    ticket->woken = 1;
    if (!ticket->armed) {
        pthread_cond_signal(&ticket->woken_cond);
    }
    else if (!atomic_load(&ticket->park->stopped)) {
        (void)!write(ticket->wakeup, &one, sizeof(one)); /* an eventfd of 0 takes it at once */
    }
    pthread_mutex_unlock(&ticket->lock);
    kohomai_park_release(ticket);
}

static void ticket_wait(kohomai_ticket_t *ticket)
{
    pthread_mutex_lock(&ticket->lock);
    while (!ticket->woken) {
        pthread_cond_wait(&ticket->woken_cond, &ticket->lock);
    }
    pthread_mutex_unlock(&ticket->lock);
}

int kohomai_park_is_woken(kohomai_ticket_t *ticket)
{
    int woken;

    pthread_mutex_lock(&ticket->lock);
    woken = ticket->woken;
    pthread_mutex_unlock(&ticket->lock);
    return woken;
}

/* From here on the eventfd tells. 0 where the ticket is woken already, or the system has no
 * descriptor left: the thread can wait then. */
static int ticket_arm(kohomai_ticket_t *ticket)
{
    int armed;

    if (ticket->wakeup < 0) {
        ticket->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    pthread_mutex_lock(&ticket->lock);
    armed = ticket->armed = ticket->wakeup >= 0 && !ticket->woken;
    pthread_mutex_unlock(&ticket->lock);
    return armed;
}

/* ---- descriptors ---- */

int kohomai_park_visitor(request_rec *r)
{
    apr_socket_t *socket = r->connection->master ? NULL : ap_get_conn_socket(r->connection);
    apr_os_sock_t fd = -1;

    if (socket) {
        apr_os_sock_get(&fd, socket);
    }
    return fd;
}

static void exchange(conn_rec *c, stall_t *stall)
{
    apr_socket_t *socket = ap_get_conn_socket(c);

    apr_os_sock_get(&stall->visitor, socket);
    apr_os_sock_put(&socket, &stall->ticket->wakeup, c->pool);
    stall->exchanged = 1;
}

/* The MPM has closed what it took for the visitor's descriptor. It was ours: its number may be
 * another's by now. The visitor's is ours to close instead. */
static void take_loss(stall_t *stall)
{
    kohomai_ticket_t *ticket = stall->ticket;

    pthread_mutex_lock(&ticket->lock);
    ticket->armed = 0;
    ticket->wakeup = -1;
    pthread_mutex_unlock(&ticket->lock);
    close(stall->visitor);
}

static void exchange_back(conn_rec *c, stall_t *stall)
{
    apr_socket_t *socket = ap_get_conn_socket(c);
    apr_os_sock_t now = -1;

    apr_os_sock_get(&now, socket);
    if (now == stall->ticket->wakeup) {
        apr_os_sock_put(&socket, &stall->visitor, c->pool);
    }
    else {
        take_loss(stall);
    }
    stall->exchanged = 0;
}

/* ---- parking ---- */

static stall_t *stall_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &kohomai_module);
}

/* Whether r may be left where it stands. An aborted connection goes to its end without the
 * resume_connection hook, and would take the eventfd along. A child that stops may have no listener
 * left to bring its connection back. What r came from by internal redirect could not be gone on
 * with, and a stream of HTTP/2 has no connection of its own. */
static int can_park(const request_rec *r)
{
    const conn_rec *c = r->connection;
    int state = AP_MPMQ_STOPPING;

    ap_mpm_query(AP_MPMQ_MPM_STATE, &state);
    return state != AP_MPMQ_STOPPING && inside == c && !c->master && !c->aborted && !r->main &&
           !r->prev && c->cs && c->cs->state == CONN_STATE_HANDLER && !c->clogging_input_filters;
}

int kohomai_park_wait(kohomai_ticket_t *ticket, request_rec *r, const kohomai_story_t *story,
                      void *baton)
{
    stall_t *stall;

    if (!ticket->park->can_park || !can_park(r)) {
        ticket_wait(ticket);
        return OK;
    }
    if (kohomai_park_is_woken(ticket)) {
        return OK;
    }
    stall = stall_of(r->connection);
    if (!stall) {
        stall = apr_pcalloc(r->connection->pool, sizeof(*stall));
        ap_set_module_config(r->connection->conn_config, &kohomai_module, stall);
    }
    stall->r = r;
    stall->ticket = ticket;
    stall->story = story;
    stall->baton = baton;
    return SUSPENDED;
}

/* Ends a request as ap_process_async_request does. The request is gone afterwards. */
static void finish(conn_rec *c, request_rec *r, int status)
{
    ap_die(status, r);
    ap_process_request_after_handler(r);
    if (c->cs->state != CONN_STATE_WRITE_COMPLETION && c->cs->state != CONN_STATE_SUSPENDED) {
        c->cs->state = CONN_STATE_LINGER;
    }
}

/* What comes after our hook comes now. */
static int let_site_answer(request_rec *r)
{
    int status = ap_run_fixups(r);

    return status == OK || status == DECLINED ? ap_invoke_handler(r) : status;
}

/* Lets the story go on. 1: it waits again; 0: the request is done with, as far as we go. */
static int go_on(conn_rec *c, stall_t *stall)
{
    request_rec *r = stall->r;
    apr_thread_mutex_t *lock = r->invoke_mtx;
    int status;

    stall->r = NULL;
    c->cs->state = CONN_STATE_HANDLER;
    ap_update_child_status(c->sbh, SERVER_BUSY_WRITE, r);
    apr_thread_mutex_lock(lock);
    status = stall->story->resume(stall->baton);
    if (status == DECLINED) {
        status = let_site_answer(r);
    }
    apr_thread_mutex_unlock(lock);
    if (status == SUSPENDED) {
        c->cs->state = CONN_STATE_SUSPENDED;
        return stall->r != NULL;
    }
    finish(c, r, status);
    return 0;
}

/* Leaves the connection to the MPM until the ticket is woken, or goes on where it is already. */
static int settle(conn_rec *c, stall_t *stall)
{
    conn_rec *outside = inside;

    while (stall->r) {
        if (ticket_arm(stall->ticket)) {
            exchange(c, stall);
            c->cs->state = CONN_STATE_ASYNC_WAITIO;
            c->cs->sense = CONN_SENSE_WANT_READ;
            break;
        }
        ticket_wait(stall->ticket);
        inside = c;
        go_on(c, stall);
        inside = outside;
    }
    return OK;
}

/* A worker has the connection again. Something may have woken it for nothing. */
static int wake_up(conn_rec *c, stall_t *stall)
{
    conn_rec *outside = inside;

    if (kohomai_park_is_woken(stall->ticket)) {
        inside = c;
        go_on(c, stall);
        inside = outside;
    }
    return settle(c, stall);
}

int kohomai_park_process_connection(conn_rec *c)
{
    conn_rec *outside = inside;
    stall_t *stall = stall_of(c);
    int rc;

    if (stall && stall->r) {
        return wake_up(c, stall);
    }
    if (inside == c || c->master || !c->cs) {
        return DECLINED;
    }
    inside = c;
    rc = ap_run_process_connection(c);
    inside = outside;
    stall = stall_of(c);
    if (rc == OK && stall && stall->r && c->cs->state == CONN_STATE_SUSPENDED) {
        return settle(c, stall);
    }
    return rc;
}

/* httpd's own Timeout was shorter: the connection ends after this answer. */
static void give_up(conn_rec *c, stall_t *stall)
{
    request_rec *r = stall->r;
    apr_thread_mutex_t *lock = r->invoke_mtx;
    int status;

    stall->r = NULL;
    c->keepalive = AP_CONN_CLOSE;
    apr_thread_mutex_lock(lock);
    status = stall->story->give_up(stall->baton);
    if (status == DECLINED) {
        status = let_site_answer(r);
    }
    apr_thread_mutex_unlock(lock);
    finish(c, r, status);
    c->cs->state = CONN_STATE_LINGER;
}

void kohomai_park_resume_connection(conn_rec *c, request_rec *r)
{
    stall_t *stall = stall_of(c);

    (void)r; /* httpd does not know which request it was */
    if (!stall || !stall->exchanged) {
        return;
    }
    exchange_back(c, stall);
    if (!c->sbh) { /* the pool is being cleared under us */
        stall->r = NULL;
        stall->story->drop(stall->baton);
    }
    else if (c->cs->state == CONN_STATE_LINGER) {
        give_up(c, stall);
    }
}
