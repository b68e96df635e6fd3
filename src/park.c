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
#include <errno.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <pthread.h>
#include <scoreboard.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* httpd 2.4.63 has it; with an older one every request waits in its thread. */
#define CAN_WAITIO AP_MODULE_MAGIC_AT_LEAST(20120211, 137)
#if !CAN_WAITIO
#define CONN_STATE_ASYNC_WAITIO CONN_STATE_LINGER /* never reached */
#endif

/* What the request's side does until it is woken. */
typedef enum { BUSY, ASLEEP, PARKED, WOKEN } state_e;

struct kohomai_ticket_t {
    kohomai_ticket_t *next; /* in the free list */
    kohomai_park_t *park;
    atomic_int holders;
    _Atomic(state_e) state;
    sem_t woken;          /* wakes who is asleep */
    pthread_mutex_t lock; /* over what follows, for who is parked */
    int wakeup;           /* eventfd, wakes who is parked; made at first need, -1 before */
    int written;          /* it was, and must be read before it serves again */
    apr_time_t since;     /* by steady_now */
};

struct kohomai_park_t {
    int can_park;       /* the MPM waits for connections */
    atomic_int stopped; /* nobody is brought back any more */
    int brief_most;     /* threads that may be asleep at once before they park */
    atomic_int brief;   /* how many are */
    atomic_int usual;   /* microseconds that a wait took of late, a moving average */
    pthread_mutex_t lock;
    kohomai_ticket_t *free_tickets;
};

/* Parking costs a visitor's connection some ten system calls and two changes of threads. Where
 * answers have been quick of late, the thread waits for this one, too, if only so long. */
#define BRIEF_WAIT apr_time_from_msec(10)

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
    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &park->brief_most) == APR_SUCCESS) {
        park->brief_most /= 2;
    }
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
        sem_init(&ticket->woken, 0, 0);
    }
    return ticket;
}

/* A clock that nobody sets. */
static apr_time_t steady_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_make(now.tv_sec, now.tv_nsec / 1000);
}

/* Learns from one wait. Two at once may lose one of them: no matter. */
static void note_wait(kohomai_park_t *park, apr_interval_time_t took)
{
    int usual = atomic_load_explicit(&park->usual, memory_order_relaxed);
    int sample = took < 10 * BRIEF_WAIT ? (int)took : (int)(10 * BRIEF_WAIT);

    atomic_store_explicit(&park->usual, usual + (sample - usual) / 8, memory_order_relaxed);
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
        ticket->written = 0;
        ticket->since = steady_now();
        atomic_store(&ticket->state, BUSY);
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
    if (ticket->written && !atomic_load(&park->stopped)) {
        (void)!read(ticket->wakeup, &count, sizeof(count));
    }
    pthread_mutex_lock(&park->lock);
    ticket->next = park->free_tickets;
    park->free_tickets = ticket;
    pthread_mutex_unlock(&park->lock);
}

/* Makes the eventfd readable. */
static void ring(kohomai_ticket_t *ticket)
{
    uint64_t one = 1;

    pthread_mutex_lock(&ticket->lock);
    if (ticket->wakeup >= 0 && !atomic_load(&ticket->park->stopped)) {
        ticket->written = 1;
        (void)!write(ticket->wakeup, &one, sizeof(one)); /* an eventfd of 0 takes it at once */
    }
    pthread_mutex_unlock(&ticket->lock);
}

void kohomai_park_wake(void *baton)
{
    kohomai_ticket_t *ticket = baton;

    note_wait(ticket->park, steady_now() - ticket->since);
    switch (atomic_exchange(&ticket->state, WOKEN)) {
    case PARKED:
        ring(ticket);
        break;
    case ASLEEP:
        sem_post(&ticket->woken);
        break;
    default:
        break;
    }
    kohomai_park_release(ticket);
}

int kohomai_park_is_woken(kohomai_ticket_t *ticket)
{
    return atomic_load(&ticket->state) == WOKEN;
}

/* Goes from one state to another, unless it was woken meanwhile. */
static int ticket_turn(kohomai_ticket_t *ticket, state_e from, state_e to)
{
    return atomic_compare_exchange_strong(&ticket->state, &from, to);
}

/* Sleeps until the ticket is woken, or until a time (by steady_now; 0: for as long as it takes). */
static void ticket_sleep(kohomai_ticket_t *ticket, apr_time_t until)
{
    struct timespec end = {.tv_sec = (time_t)apr_time_sec(until),
                           .tv_nsec = (long)apr_time_usec(until) * 1000};
    int rc;

    if (!ticket_turn(ticket, BUSY, ASLEEP)) {
        return; /* woken already */
    }
    do {
        rc =
            until ? sem_clockwait(&ticket->woken, CLOCK_MONOTONIC, &end) : sem_wait(&ticket->woken);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && !ticket_turn(ticket, ASLEEP, BUSY)) {
        while (sem_wait(&ticket->woken) != 0) { /* woken this moment: the post is under way */
        }
    }
}

/* Sleeps for a moment, if that is likely to be enough. */
static void ticket_sleep_briefly(kohomai_ticket_t *ticket)
{
    kohomai_park_t *park = ticket->park;

    if (kohomai_park_is_woken(ticket) ||
        atomic_load_explicit(&park->usual, memory_order_relaxed) >= BRIEF_WAIT) {
        return;
    }
    if (atomic_fetch_add(&park->brief, 1) < park->brief_most) {
        ticket_sleep(ticket, ticket->since + BRIEF_WAIT);
        if (!kohomai_park_is_woken(ticket)) {
            note_wait(park, 10 * BRIEF_WAIT); /* else one that hangs would be heard of too late */
        }
    }
    atomic_fetch_sub(&park->brief, 1);
}

/* From here on the eventfd tells. 0 where the ticket is woken already, or the system has no
 * descriptor left: the thread can wait then. */
static int ticket_arm(kohomai_ticket_t *ticket)
{
    if (ticket->wakeup < 0) {
        ticket->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return ticket->wakeup >= 0 &&
           (ticket_turn(ticket, BUSY, PARKED) || atomic_load(&ticket->state) == PARKED);
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
 * another's by now. */
static void take_loss(kohomai_ticket_t *ticket)
{
    pthread_mutex_lock(&ticket->lock);
    ticket->wakeup = -1;
    ticket->written = 0;
    ticket_turn(ticket, PARKED, BUSY);
    pthread_mutex_unlock(&ticket->lock);
}

/* Returns 0 where the visitor's descriptor is no longer httpd's to close, but ours. */
static int exchange_back(conn_rec *c, stall_t *stall)
{
    apr_socket_t *socket = ap_get_conn_socket(c);
    apr_os_sock_t now = -1;

    apr_os_sock_get(&now, socket);
    stall->exchanged = 0;
    if (now != stall->ticket->wakeup) {
        take_loss(stall->ticket);
        return 0;
    }
    apr_os_sock_put(&socket, &stall->visitor, c->pool);
    return 1;
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
        ticket_sleep(ticket, 0);
        return OK;
    }
    ticket_sleep_briefly(ticket);
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

/* mod_status takes a request's duration from its thread's place on the scoreboard: what began on
 * another thread begins here, too. */
static void clock_in(const conn_rec *c, const request_rec *r)
{
    worker_score *place = ap_get_scoreboard_worker(c->sbh);

    if (place) {
        place->start_time = r->request_time;
    }
}

/* Lets the story go on. 1: it waits again; 0: the request is done with, as far as we go. */
static int go_on(conn_rec *c, stall_t *stall)
{
    request_rec *r = stall->r;
    apr_thread_mutex_t *lock = r->invoke_mtx;
    int status;

    stall->r = NULL;
    c->cs->state = CONN_STATE_HANDLER;
    clock_in(c, r);
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
        ticket_sleep(stall->ticket, 0);
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
    clock_in(c, r);
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
    int is_httpds;

    (void)r; /* httpd does not know which request it was */
    if (!stall || !stall->exchanged) {
        return;
    }
    is_httpds = exchange_back(c, stall);
    if (!c->sbh) { /* the pool is being cleared under us */
        stall->r = NULL;
        stall->story->drop(stall->baton);
    }
    else if (c->cs->state == CONN_STATE_LINGER) {
        give_up(c, stall);
    }
    if (!is_httpds) {
        close(stall->visitor); /* not before the story has let go of whoever watches it */
    }
}
