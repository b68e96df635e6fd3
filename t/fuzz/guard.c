/* guard: children that ask and tell in any order, under a clock that also jumps: the breaker is
 *   never closed to callers for longer than it may be, one probe is out at a time, and pauses keep
 *   their bounds.
 *
 * Input: the policy (a byte of failures, two bytes of 100 ms), then steps of four bytes: what
 * happens, who does it, and by how much the clock moves.
 * Threads: one. Memory: none.
 * Never: sleeps. */
#include "fuzz.h"

#include "guard.h"

#define CHILDREN 8
#define START (apr_time_t)1700000000000000
#define MOST (KOHOMAI_BREAKER_OPEN_MAX + apr_time_from_msec(1))

typedef struct {
    kohomai_breaker_policy_t policy;
    kohomai_breaker_t word;
    apr_time_t now;
    int calling[CHILDREN]; /* a child has a call under way */
    kohomai_may_e may[CHILDREN];
    int in_row;             /* failures told in a row, of calls while the breaker was closed */
    apr_time_t probe_until; /* until then another probe may not go out; 0: it may */
    apr_time_t not_until;   /* a child was told to come again then; 0: none was */
} world_t;

/* The same step for step as a plain breaker would take it, from the outside alone. */
static void ask(world_t *w, unsigned child)
{
    apr_interval_time_t again = -1;
    kohomai_may_e may;
    int open = kohomai_guard_is_open(w->word, w->now);

    w->word = kohomai_guard_ask(w->word, &w->policy, w->now, &may, &again);
    must(open == (may == KOHOMAI_MAY_NOT) || w->policy.failures == 0, "is_open says %d, and ask %d",
         open, (int)may);
    must(may != KOHOMAI_MAY_NOT || w->policy.failures, "no breaker, and yet no");
    if (may == KOHOMAI_MAY_NOT) {
        must(again > 0 && again <= MOST, "come again in %ld us", (long)again);
        must(!w->not_until || w->now < w->not_until, "asked to come again now, and still no");
        w->not_until = w->not_until ? w->not_until : w->now + again;
        return;
    }
    must(may != KOHOMAI_MAY_PROBE || !w->probe_until || w->now >= w->probe_until, "a second probe");
    if (may == KOHOMAI_MAY_PROBE) {
        w->probe_until = w->now + w->policy.open;
    }
    w->not_until = 0;
    w->calling[child] = 1;
    w->may[child] = may;
}

static apr_interval_time_t patience_of(unsigned amount)
{
    return amount % 4 ? 0 : apr_time_from_sec((apr_interval_time_t)amount * 60);
}

static void tell(world_t *w, unsigned child, int well, apr_interval_time_t patience)
{
    kohomai_breaker_t before = w->word;
    int was_open = kohomai_guard_is_open(w->word, w->now), counts;

    if (!w->calling[child]) {
        return;
    }
    w->calling[child] = 0;
    w->word = kohomai_guard_tell(w->word, &w->policy, w->now, w->may[child], well, patience);
    counts =
        w->policy.failures && (well || w->may[child] == KOHOMAI_MAY_PROBE || before >> 62 == 0);
    if (!counts) {
        must(w->word == before, "a straggler changes the word");
        return;
    }
    w->not_until = w->probe_until = 0;
    w->in_row = well ? 0 : w->in_row + 1;
    if (well) {
        must(w->word == 0, "well, and yet not as in the beginning");
    }
    else if (w->may[child] == KOHOMAI_MAY_PROBE || w->in_row >= w->policy.failures) {
        must(kohomai_guard_is_open(w->word, w->now), "it failed too often, and is not open");
    }
    else {
        must(!was_open && !kohomai_guard_is_open(w->word, w->now), "opened before its time");
    }
}

/* Forward by up to two hours, mostly by far less; or back. A clock that was set back keeps no promise
 * about when to come again, only about how long at most. */
static void move_clock(world_t *w, unsigned amount, unsigned scale)
{
    apr_interval_time_t step = (apr_interval_time_t)amount * 1000;

    switch (scale % 4) {
    case 0:
        break;
    case 1:
        step *= 100;
        break;
    case 2:
        step *= 30000;
        break;
    default:
        step *= -(apr_interval_time_t)(scale % 8 < 4 ? 100 : 60000);
        w->not_until = w->probe_until = 0;
    }
    w->now += step;
}

/* However it came about: whoever waits as long as is asked for, gets to call. */
static void must_end(const world_t *w)
{
    kohomai_breaker_t word = w->word;
    apr_time_t now = w->now;
    apr_interval_time_t again;
    kohomai_may_e may;

    word = kohomai_guard_ask(word, &w->policy, now, &may, &again);
    if (may == KOHOMAI_MAY_NOT) {
        kohomai_guard_ask(word, &w->policy, now + again, &may, &again);
        must(may != KOHOMAI_MAY_NOT, "it does not end");
    }
}

static void pauses(fuzz_input_t *input)
{
    int tries = 1 + (int)(fuzz_number(input, 1) % 40);
    unsigned random = (unsigned)fuzz_number(input, 4);
    apr_interval_time_t patience = (apr_interval_time_t)fuzz_number(input, 2) * 1000000;
    apr_time_t deadline = START + (apr_interval_time_t)fuzz_number(input, 4) - 1000000;
    apr_interval_time_t pause = kohomai_guard_pause(tries, random, patience, START, deadline);
    apr_interval_time_t most = tries > 6 ? 5000000 : (apr_interval_time_t)100000 << (tries - 1);

    if (pause == -1) { /* it did not fit: then at least the longest does not */
        most = most > patience ? most : patience;
        must(START + most >= deadline, "there was time");
        return;
    }
    must(START + pause < deadline, "past the deadline");
    must(pause >= patience, "less than the API asks for");
    must(pause == patience || (pause <= most && pause <= 5000000 && 2 * pause >= most), "%ld us",
         (long)pause);
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    world_t w = {.now = START};

    (void)pool;
    w.policy.failures = (int)(fuzz_byte(&input) % 7);
    w.policy.open = (apr_interval_time_t)(1 + fuzz_number(&input, 2) % 36000) * 100000;
    while (fuzz_left(&input)) {
        unsigned what = fuzz_byte(&input), child = fuzz_byte(&input) % CHILDREN;
        unsigned amount = fuzz_byte(&input), scale = fuzz_byte(&input);

        switch (what % 5) {
        case 0:
            ask(&w, child);
            break;
        case 1:
            tell(&w, child, 0, patience_of(amount));
            break;
        case 2:
            tell(&w, child, 1, 0);
            break;
        case 3:
            move_clock(&w, amount, scale);
            break;
        default:
            pauses(&input);
        }
        must_end(&w);
    }
}
