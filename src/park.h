/* park: holds a request until its call is done, and wakes it. On an MPM that can wait for a
 * connection (event, httpd 2.4.63 and later) the request waits without a thread; elsewhere its
 * thread waits. Who asks need not know which.
 * Threads: as each function says. Memory: a ticket belongs to two sides, the request and the waker.
 * Never: knows what is waited for. */
#ifndef KOHOMAI_PARK_H
#define KOHOMAI_PARK_H

#include <httpd.h>

typedef struct kohomai_park_t kohomai_park_t;
typedef struct kohomai_ticket_t kohomai_ticket_t;

/* What becomes of a request that was parked. Each runs once, on a worker thread, with the baton. */
typedef struct {
    /* It was woken: go on. Returns what a hook returns to httpd, SUSPENDED if it waits again. */
    int (*resume)(void *baton);
    /* httpd's Timeout passed first: returns a status for the visitor, whose connection ends. */
    int (*give_up)(void *baton);
    /* The connection is gone: let go of everything, touch nothing of the request's. */
    void (*drop)(void *baton);
} kohomai_story_t;

/* The child's car park; from child_init. It lives as long as pool. */
kohomai_park_t *kohomai_park_create(apr_pool_t *pool);

/* To be told when the child stops without waiting for its visitors: the MPM has closed connections
 * then, the parked ones among them with our descriptors, and its listener is about to end. From here
 * on only those are woken whose thread waits. Any thread, or a signal handler. */
void kohomai_park_stop(kohomai_park_t *park);

/* A ticket for one wait, on the request's thread. To be had before whatever shall wake it is
 * started, since the answer may come first. NULL where memory is gone. */
kohomai_ticket_t *kohomai_park_hold(kohomai_park_t *park);

/* Wakes the holder of a ticket, and lets go of the waker's side: exactly once per ticket. Any
 * thread; takes no time. */
void kohomai_park_wake(void *ticket);

/* Waits for the ticket, on the request's thread. OK: woken, go on at once. SUSPENDED: return this
 * to httpd; the story goes on later. story and baton must live as long as r. */
int kohomai_park_wait(kohomai_ticket_t *ticket, request_rec *r, const kohomai_story_t *story,
                      void *baton);

/* Whether the ticket was woken, on the request's side. */
int kohomai_park_is_woken(kohomai_ticket_t *ticket);

/* Lets go of the request's side of a ticket, woken or not. */
void kohomai_park_release(kohomai_ticket_t *ticket);

/* The descriptor of the visitor's socket, or -1 where the connection is not theirs alone. */
int kohomai_park_visitor(request_rec *r);

/* Hooks: process_connection, before any other; resume_connection, likewise. */
int kohomai_park_process_connection(conn_rec *c);
void kohomai_park_resume_connection(conn_rec *c, request_rec *r);

#endif
