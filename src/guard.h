/* guard: when the API may be called, and when again after it failed.
 * Threads: any; pure arithmetic. Memory: none; the caller keeps a breaker's word wherever many
 *   processes see it, and replaces it by compare-and-swap.
 * Never: reads a clock, sleeps, or knows what a call is. */
#ifndef KOHOMAI_GUARD_H
#define KOHOMAI_GUARD_H

#include <apr_time.h>
#include <stdint.h>

/* A breaker: 0 is the healthy beginning. It counts failures in a row while it is closed; once they
 * are too many it is open until a time; then one call, the probe, goes through, and decides. Who
 * holds the probe may die, so the right to it ends by itself. */
typedef uint64_t kohomai_breaker_t;

typedef struct {
    int failures;             /* that open it; 0: there is no breaker */
    apr_interval_time_t open; /* how long it stays open, and how long a probe may take */
} kohomai_breaker_policy_t;

/* The longest time that a breaker stays open, whatever the API asks for. */
#define KOHOMAI_BREAKER_OPEN_MAX apr_time_from_sec(3600)

typedef enum {
    KOHOMAI_MAY_CALL,
    KOHOMAI_MAY_PROBE, /* as above; kohomai_guard_tell or _give_back must hear of it */
    KOHOMAI_MAY_NOT
} kohomai_may_e;

/* Asks at a time. Returns the breaker's next word; *may is set, and *again to the time until the
 * next try makes sense where it is KOHOMAI_MAY_NOT. */
kohomai_breaker_t kohomai_guard_ask(kohomai_breaker_t breaker,
                                    const kohomai_breaker_policy_t *policy, apr_time_t now,
                                    kohomai_may_e *may, apr_interval_time_t *again);

/* Tells how a call went. may is what kohomai_guard_ask allowed; patience is how long the API asked
 * to be left alone (0: it did not). Returns the breaker's next word. */
kohomai_breaker_t kohomai_guard_tell(kohomai_breaker_t breaker,
                                     const kohomai_breaker_policy_t *policy, apr_time_t now,
                                     kohomai_may_e may, int well, apr_interval_time_t patience);

/* Gives the right to a probe back that tells nothing, since the call was not made or was broken off
 * before it ended: whoever asks next may. Nothing where may is another. Returns as above. */
kohomai_breaker_t kohomai_guard_give_back(kohomai_breaker_t breaker, apr_time_t now,
                                          kohomai_may_e may);

/* Whether the breaker keeps calls back at a time. */
int kohomai_guard_is_open(kohomai_breaker_t breaker, apr_time_t now);

/* The pause before try number tries (1: the first repetition): 100 ms doubled each time, 5 s at
 * most, of which random (any number) takes up to a half off, so that many do not come back at the
 * same moment; never less than patience. -1 where it does not leave time before the deadline. */
apr_interval_time_t kohomai_guard_pause(int tries, unsigned random, apr_interval_time_t patience,
                                        apr_time_t now, apr_time_t deadline);

#endif
