/* park: holds a request until its call is done, and wakes it.
 * Threads: kohomai_park_hold and kohomai_park_wait on the request's own thread, kohomai_park_wake
 *   on any. Memory: a ticket lives as long as its request.
 * Never: knows what is waited for. */
#ifndef KOHOMAI_PARK_H
#define KOHOMAI_PARK_H

#include <httpd.h>

typedef struct kohomai_ticket_t kohomai_ticket_t;

/* A ticket for this request; NULL where the system has no lock left to give. To be had before the
 * call is sent, since the answer may come first. */
kohomai_ticket_t *kohomai_park_hold(request_rec *r);

/* Wakes the request of a ticket; exactly once per kohomai_park_hold. */
void kohomai_park_wake(void *ticket);

/* Waits until the ticket is woken and returns OK. */
int kohomai_park_wait(kohomai_ticket_t *ticket);

#endif
