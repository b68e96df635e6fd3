/* guard: when the API may be called, and when again after it failed.
 * Threads: any; pure arithmetic. Memory: none; the caller keeps a breaker's word wherever many
 *   processes see it, and replaces it by compare-and-swap.
 * Never: reads a clock, sleeps, or knows what a call is. */
#include "guard.h"

#define FIRST_PAUSE apr_time_from_msec(100)
#define LONGEST_PAUSE apr_time_from_sec(5)
#define DOUBLINGS_MAX 6

/* The word: 2 bits of state, 14 of failures in a row, 48 of milliseconds since 1970. */
typedef enum { CLOSED, OPEN, PROBING } state_e;

#define FAILURES_MAX 0x3fff

static kohomai_breaker_t word(state_e state, int failures, apr_time_t until)
{
    uint64_t count = failures < FAILURES_MAX ? (uint64_t)failures : FAILURES_MAX;
    uint64_t ms = (uint64_t)(until / 1000) & 0xffffffffffffULL;

    return (uint64_t)state << 62 | count << 48 | ms;
}

static state_e state_of(kohomai_breaker_t breaker)
{
    return (state_e)(breaker >> 62);
}

static int failures_of(kohomai_breaker_t breaker)
{
    return (int)(breaker >> 48 & FAILURES_MAX);
}

/* Rounded up, so that nobody comes a part of a millisecond early. */
static apr_time_t until_of(kohomai_breaker_t breaker)
{
    return ((apr_time_t)(breaker & 0xffffffffffffULL) + 1) * 1000;
}

/* A clock that was set back must not lock the API out for longer than the breaker may. */
int kohomai_guard_is_open(kohomai_breaker_t breaker, apr_time_t now)
{
    return state_of(breaker) != CLOSED && now < until_of(breaker) &&
           until_of(breaker) - now <= KOHOMAI_BREAKER_OPEN_MAX + 1000;
}

kohomai_breaker_t kohomai_guard_ask(kohomai_breaker_t breaker,
                                    const kohomai_breaker_policy_t *policy, apr_time_t now,
                                    kohomai_may_e *may, apr_interval_time_t *again)
{
    if (policy->failures == 0 || state_of(breaker) == CLOSED) {
        *may = KOHOMAI_MAY_CALL;
        return breaker;
    }
    if (kohomai_guard_is_open(breaker, now)) {
        *may = KOHOMAI_MAY_NOT;
        *again = until_of(breaker) - now;
        return breaker;
    }
    *may = KOHOMAI_MAY_PROBE;
    return word(PROBING, failures_of(breaker), now + policy->open);
}

static kohomai_breaker_t open_now(const kohomai_breaker_policy_t *policy, int failures,
                                  apr_time_t now, apr_interval_time_t patience)
{
    apr_interval_time_t open = policy->open > patience ? policy->open : patience;

    return word(OPEN, failures,
                now + (open < KOHOMAI_BREAKER_OPEN_MAX ? open : KOHOMAI_BREAKER_OPEN_MAX));
}

kohomai_breaker_t kohomai_guard_tell(kohomai_breaker_t breaker,
                                     const kohomai_breaker_policy_t *policy, apr_time_t now,
                                     kohomai_may_e may, int well, apr_interval_time_t patience)
{
    int failures = failures_of(breaker) + 1;

    if (policy->failures == 0) {
        return breaker;
    }
    if (well) {
        return word(CLOSED, 0, 0);
    }
    if (may == KOHOMAI_MAY_PROBE) {
        return open_now(policy, failures, now, patience);
    }
    if (state_of(breaker) != CLOSED) {
        return breaker; /* a straggler from before it opened says nothing new */
    }
    return failures >= policy->failures ? open_now(policy, failures, now, patience)
                                        : word(CLOSED, failures, 0);
}

kohomai_breaker_t kohomai_guard_give_back(kohomai_breaker_t breaker, apr_time_t now,
                                          kohomai_may_e may)
{
    return may == KOHOMAI_MAY_PROBE && state_of(breaker) == PROBING
               ? word(OPEN, failures_of(breaker), now - 1000)
               : breaker;
}

apr_interval_time_t kohomai_guard_pause(int tries, unsigned random, apr_interval_time_t patience,
                                        apr_time_t now, apr_time_t deadline)
{
    int doublings = tries > DOUBLINGS_MAX ? DOUBLINGS_MAX : tries - 1;
    apr_interval_time_t pause = FIRST_PAUSE << doublings;

    pause = pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
    pause -= pause / 2 * (apr_interval_time_t)(random % 1024) / 1024;
    if (pause < patience) {
        pause = patience;
    }
    return now + pause < deadline ? pause : -1;
}
