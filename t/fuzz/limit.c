/* limit: visitors that ask in any order, more of them than a set has places, under a clock that also
 *   jumps: in no stretch of time does one get more than its burst and what came back meanwhile, and
 *   nobody is refused who was idle, new or forgotten, or who came again when it was said.
 *
 * Input: the policy (a byte of tokens, three bytes of the time between two), then steps of four bytes:
 * what happens, who does it, and by how much the clock moves.
 * Threads: one. Memory: none.
 * Never: sleeps. */
#include "fuzz.h"

#include "limit.h"

#define VISITORS 20
#define KEPT 128
#define START (apr_time_t)1700000000000000
#define HOUR (apr_interval_time_t)3600000000
#define APART (apr_interval_time_t)10000000 /* how far clocks may disagree */
#define TICK 63                             /* us, rounded up: what reading a clock may lose */

typedef struct {
    apr_time_t
        taken[KEPT]; /* the latest, in the order of taking; -1 each time one was given back */
    int count;
    apr_time_t not_refused_from; /* unless it takes once more */
    apr_time_t come_again;       /* 0: it was not told to */
} visitor_t;

typedef struct {
    kohomai_limit_set_t set;
    kohomai_limit_policy_t policy;
    apr_interval_time_t whole; /* in which an empty bucket fills */
    apr_time_t now, latest;
    visitor_t visitors[VISITORS];
} world_t;

/* Tags that differ in their highest and in their lowest bits. */
static uint64_t tag_of(int visitor)
{
    return visitor % 2 ? (uint64_t)KOHOMAI_LIMIT_TAG_MAX - (uint64_t)visitor
                       : (uint64_t)visitor + 1;
}

static int is_known(world_t *w, int visitor)
{
    int i, known = 0;

    for (i = 0; i < KOHOMAI_LIMIT_WAYS; i++) {
        known += w->set.buckets[i] >> 40 == tag_of(visitor);
    }
    must(known <= 1, "two buckets for one visitor");
    return known;
}

static void remember(visitor_t *v, apr_time_t what)
{
    if (v->count == KEPT) {
        memmove(v->taken, v->taken + 1, (KEPT - 1) * sizeof(v->taken[0]));
        v->count--;
    }
    v->taken[v->count++] = what;
}

/* From each time a token was taken until now: no more than the burst, what came back by itself, and
 * what was given back. A clock that went back a little takes from the burst what it went; a token may
 * take a tick longer to come back than was said, and so it takes less. */
static void must_be_within_bounds(const world_t *w, const visitor_t *v)
{
    int i;
    apr_int64_t taken = 0;

    for (i = v->count - 1; i >= 0; i--) {
        apr_interval_time_t since = w->now - v->taken[i], whole = w->policy.duration;

        if (v->taken[i] < 0) {
            taken--;
            continue;
        }
        taken++;
        whole += since < 0 ? (apr_interval_time_t)w->policy.count * TICK : 0;
        must((taken - w->policy.count) * whole <= (since + TICK) * w->policy.count,
             "%d tokens in %ld us", (int)taken, (long)since);
    }
}

/* In sixteenths of a millisecond, as the header has it; a bucket that is full, or of another time,
 * lacks nothing. */
static uint64_t lack_of(const world_t *w, uint64_t bucket)
{
    uint64_t lack = (bucket - (uint64_t)w->now * 16 / 1000) & 0xffffffffffULL;

    return bucket && lack <= 86400ULL * 16000 + KOHOMAI_LIMIT_COUNT_MAX ? lack : 0;
}

/* A stranger got the place of whoever had asked least, and no other was touched. */
static void must_have_given_way(world_t *w, const uint64_t *before)
{
    uint64_t gone = 0;
    int i, changed = 0;

    for (i = 0; i < KOHOMAI_LIMIT_WAYS; i++) {
        if (w->set.buckets[i] != before[i]) {
            gone = lack_of(w, before[i]);
            changed++;
        }
    }
    must(changed == 1, "%d places changed", changed);
    for (i = 0; i < KOHOMAI_LIMIT_WAYS; i++) {
        must(gone <= lack_of(w, before[i]), "somebody else had asked less");
    }
}

static void take(world_t *w, int visitor)
{
    visitor_t *v = &w->visitors[visitor];
    int known = is_known(w, visitor), i;
    uint64_t before[KOHOMAI_LIMIT_WAYS];
    apr_interval_time_t again = -1;

    for (i = 0; i < KOHOMAI_LIMIT_WAYS; i++) {
        before[i] = w->set.buckets[i];
    }
    if (!known) { /* forgotten, and so as new */
        *v = (visitor_t){.count = 0};
    }
    if (!kohomai_limit_take(&w->set, tag_of(visitor), &w->policy, w->now, &again)) {
        must(known, "a stranger is refused");
        must(w->now < v->not_refused_from, "who was idle is refused");
        must(!v->come_again || w->now < v->come_again, "told to come again now, and yet refused");
        must(again > 0 && again <= w->policy.duration / w->policy.count + APART + 1000,
             "come again in %ld us", (long)again);
        v->come_again = w->now + again;
        return;
    }
    must(is_known(w, visitor), "taken from nothing");
    if (!known) {
        must_have_given_way(w, before);
    }
    remember(v, w->now);
    must_be_within_bounds(w, v);
    v->come_again = 0;
    if (v->not_refused_from < w->now + w->whole) {
        v->not_refused_from = w->now + w->whole;
    }
}

/* Only what was taken and not yet given back can be. */
static void give_back(world_t *w, int visitor)
{
    visitor_t *v = &w->visitors[visitor];
    int i, open = 0;

    for (i = 0; i < v->count; i++) {
        open += v->taken[i] < 0 ? -1 : 1;
    }
    if (open > 0) {
        kohomai_limit_give_back(&w->set, tag_of(visitor), &w->policy, w->now);
        remember(v, -1);
    }
}

/* Forward by half a day at most, mostly by far less; or back, by less than clocks may be apart, or by
 * far more: then all that still holds is how long one has to wait at most. */
static void move_clock(world_t *w, unsigned amount, unsigned scale)
{
    static const apr_interval_time_t steps[] = {100, 10000, 300000, 60000000, HOUR / 20, -35000};
    apr_interval_time_t step = scale % 16 == 15 ? -HOUR : steps[scale % ROWS(steps)];
    int i;

    w->now += step * (apr_interval_time_t)amount;
    if (w->now < w->latest - APART) {
        for (i = 0; i < VISITORS; i++) {
            w->visitors[i].count = 0;
            w->visitors[i].come_again = 0;
        }
        w->latest = w->now;
    }
    w->latest = w->latest < w->now ? w->now : w->latest;
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    world_t w = {.now = START, .latest = START};
    apr_interval_time_t pace;

    (void)pool;
    w.policy.count = 1 + (int)(fuzz_byte(&input) % 24);
    pace = KOHOMAI_LIMIT_PACE_MIN + (apr_interval_time_t)fuzz_number(&input, 3) * 200;
    w.policy.duration = pace * w.policy.count;
    w.whole = w.policy.duration + (apr_interval_time_t)(w.policy.count + 1) * TICK;
    while (fuzz_left(&input)) {
        unsigned what = fuzz_byte(&input);
        int visitor = (int)(fuzz_byte(&input) % VISITORS);
        unsigned amount = fuzz_byte(&input), scale = fuzz_byte(&input);

        switch (what % 4) {
        case 0:
        case 1:
            take(&w, visitor);
            break;
        case 2:
            give_back(&w, visitor);
            break;
        default:
            move_clock(&w, amount, scale);
        }
    }
}
