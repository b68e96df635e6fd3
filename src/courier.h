/* courier: sees a lead through: it is written down before it is sent, kept where the API did not take
 * it, and delivered later.
 * Threads: as each function says. Memory: one courier per process, never freed, since a thread of
 *   httpd's may ask for it until the very end.
 * Never: sees a visitor, a file or a socket. */
#ifndef KOHOMAI_COURIER_H
#define KOHOMAI_COURIER_H

#include "client.h"
#include "outbox.h"
#include "settings.h"
#include "shared.h"

typedef struct kohomai_courier_t kohomai_courier_t;

/* What a call says about the lead that it was to register. */
typedef enum {
    KOHOMAI_LEAD_NOT_TAKEN, /* surely not: later, then */
    KOHOMAI_LEAD_TAKEN,
    KOHOMAI_LEAD_REFUSED, /* nor will it ever be */
    KOHOMAI_LEAD_UNSURE   /* nobody can know */
} kohomai_custody_e;

kohomai_custody_e kohomai_courier_judge(const kohomai_reply_t *reply);

/* What a courier works with. client may be NULL, and shared. */
typedef struct {
    server_rec *server;
    kohomai_client_t *client;
    kohomai_shared_t *shared;
    const kohomai_keys_t *keys;
    kohomai_breaker_policy_t breaker;
    int (*is_retired)(void); /* another generation of children has taken over */
} kohomai_post_t;

/* Makes a child's courier, once, from child_init. NULL where there is no KohomaiOutbox, or where it
 * cannot be used, which is logged. */
kohomai_courier_t *kohomai_courier_create(apr_pool_t *pool, const kohomai_post_t *post);

/* ---- for a visit; any thread ---- */

/* Writes a lead down before it is sent: after this, not even kill -9 loses it. NULL where that
 * fails, which is logged, though not each time. */
kohomai_letter_t *kohomai_courier_write(kohomai_courier_t *courier, apr_pool_t *pool,
                                        const kohomai_record_t *record);

/* Keeps a lead that the API did not take. letter is what was written, or NULL where nothing is yet;
 * reason is a stable word. 1: it is safe, even if the machine crashes now; else 0, which is
 * logged. The letter is gone. */
int kohomai_courier_keep(kohomai_courier_t *courier, apr_pool_t *pool,
                         const kohomai_record_t *record, kohomai_letter_t *letter,
                         const char *reason);

/* Puts aside a lead of which nobody knows whether the API took it; status is what the API answered,
 * or 0. As above. */
void kohomai_courier_put_aside(kohomai_courier_t *courier, apr_pool_t *pool,
                               const kohomai_record_t *record, kohomai_letter_t *letter,
                               const char *reason, int status);

/* Forgets a lead that the API has taken or refused. The letter, which may be NULL, is gone. */
void kohomai_courier_forget(kohomai_courier_t *courier, kohomai_letter_t *letter);

/* ---- deliveries; one thread of each child ---- */

/* To be called about once a second: delivers what waits, if it is this process that does that, and
 * returns when there is nothing (more) to do now. */
void kohomai_courier_run(kohomai_courier_t *courier);

/* The longest time that a delivery takes. */
#define KOHOMAI_DELIVERY_MAX apr_time_from_sec(30)

/* Lets no further delivery begin, from another thread, and waits for the one under way to end, though
 * not for longer than patience. From here on kohomai_courier_run does nothing. */
void kohomai_courier_stop(kohomai_courier_t *courier, apr_interval_time_t patience);

#endif
