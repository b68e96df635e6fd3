/* repeat: sees that a registration is the one that the same browser sent a moment ago (a double
 * click), so that it joins that one's call or gets its answer, and nobody is registered twice.
 * Threads: any, of any child. Memory: one table that all children share, bounded, by atomic
 *   operations only: there is no lock that a dying child could keep. Links in it are wiped when
 *   their time is over, and no core file holds it. It lives as long as the parent process.
 * Never: reads a clock, waits, sends, or holds what a visitor sent: of that it keeps a keyed hash.
 */
#ifndef KOHOMAI_REPEAT_H
#define KOHOMAI_REPEAT_H

#include "outcome.h"

#include <apr_pools.h>
#include <apr_time.h>
#include <stdint.h>

/* A registration and its answer are known for this long after it came, but no less than the second
 * that follows after its answer: time for those who wait to look. */
#define KOHOMAI_REPEAT_KNOWN apr_time_from_sec(10)
#define KOHOMAI_REPEAT_LINGER apr_time_from_sec(2)

typedef struct kohomai_repeat_t kohomai_repeat_t;

/* The table, made at the first call with this pool (that of the parent process); NULL where the
 * system gives no memory or no randomness, with *rv saying why. All functions take NULL for a table
 * in which nothing is known. */
kohomai_repeat_t *kohomai_repeat_get(apr_pool_t *process_pool, apr_status_t *rv);

/* What one visit has to do with the table. All zero but for patience is a good beginning. */
typedef struct {
    apr_interval_time_t patience; /* how long the registration may take at most */
    uint64_t key[2];              /* who sends what; by kohomai_repeat_key */
    uint64_t word;                /* what its slot says while that is ours; 0: none is */
    unsigned slot;
    int joined; /* it has seen another's registration under way */
} kohomai_claim_t;

/* Sets the claim's key: a hash of count texts (NULL counts as ""), of which each tells browsers or
 * registrations apart. */
void kohomai_repeat_key(const kohomai_repeat_t *repeat, const char *const *texts, int count,
                        kohomai_claim_t *claim);

/* What a registration came to. */
typedef struct {
    kohomai_outcome_e outcome;   /* KOHOMAI_NO_OUTCOME: they are registered, and have an id */
    int api_status, retry_after; /* of the API's answer, 0 where there was none */
    int id_kind;                 /* a kohomai_id_e */
    const char *reason;          /* never NULL, as the other texts */
    const char *id;              /* KOHOMAI_NO_OUTCOME only */
    const char *link;            /* KOHOMAI_HANDED_OFF only; KOHOMAI_URL_MAX bytes at most */
    const char *valid_until;     /* left out where it is longer than such a time can be */
} kohomai_repeat_answer_t;

typedef enum {
    KOHOMAI_REPEAT_FIRST,    /* nobody sent it yet, or surely in vain: register */
    KOHOMAI_REPEAT_WAIT,     /* it is under way: ask again in a moment */
    KOHOMAI_REPEAT_ANSWERED, /* this is what it came to */
    KOHOMAI_REPEAT_LOST      /* it was under way, and nobody can tell what became of it */
} kohomai_repeat_e;

/* Asks at a time whether a claim's registration is known. For KOHOMAI_REPEAT_FIRST the table knows
 * it from now on, where it had room: kohomai_repeat_settle or kohomai_repeat_forgo must follow. For
 * KOHOMAI_REPEAT_ANSWERED *answer is set, from the pool. */
kohomai_repeat_e kohomai_repeat_ask(kohomai_repeat_t *repeat, kohomai_claim_t *claim,
                                    apr_time_t now, apr_pool_t *pool,
                                    kohomai_repeat_answer_t *answer);

/* Tells what the claim's registration came to; nothing where the claim holds no slot (any more). */
void kohomai_repeat_settle(kohomai_repeat_t *repeat, kohomai_claim_t *claim, apr_time_t now,
                           const kohomai_repeat_answer_t *answer);

/* Tells that it was surely never sent: whoever asks next registers. As above. */
void kohomai_repeat_forgo(kohomai_repeat_t *repeat, kohomai_claim_t *claim, apr_time_t now);

/* Wipes what is over; to be called now and then, since nobody may come to ask. */
void kohomai_repeat_sweep(kohomai_repeat_t *repeat, apr_time_t now);

#endif
