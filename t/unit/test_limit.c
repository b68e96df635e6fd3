/* Tests of limit, over simulated time: buckets that fill, sets that run full, floods, and many at once.
 * Nothing here reads a clock, sleeps or depends on chance: what is random has a fixed seed. */
#include "limit.h"
#include "unit.h"

#include <arpa/inet.h>
#include <pthread.h>

#define SECOND apr_time_from_sec(1)
#define MINUTE apr_time_from_sec(60)
#define HOUR apr_time_from_sec(3600)
#define START (apr_time_from_sec(1700000000) + 123456)
#define TICK 63 /* microseconds: the finest that a bucket can tell */

static const kohomai_limit_policy_t sixty = {60, apr_time_from_sec(60)};

/* Every kind of policy that may be configured, the extremes among them. */
static const kohomai_limit_policy_t policies[] = {
    {1, apr_time_from_msec(10)},     {1, apr_time_from_sec(1)},
    {2, apr_time_from_sec(1)},       {3, apr_time_from_sec(1)},
    {7, apr_time_from_sec(1)},       {100, apr_time_from_sec(1)},
    {60, apr_time_from_sec(60)},     {61, apr_time_from_sec(60)},
    {5, apr_time_from_sec(3600)},    {1, apr_time_from_sec(86400)},
    {999, apr_time_from_sec(86400)}, {KOHOMAI_LIMIT_COUNT_MAX, apr_time_from_sec(86400)},
};

static int take(kohomai_limit_set_t *set, uint64_t tag, const kohomai_limit_policy_t *policy,
                apr_time_t now)
{
    apr_interval_time_t again = -1;
    int taken = kohomai_limit_take(set, tag, policy, now, &again);

    expect(taken ? again == -1 : again > 0 && again <= policy->duration + TICK, "%d: again in %ld",
           taken, (long)again);
    return taken;
}

/* How many of so many tries at one moment get a token. */
static int take_many(kohomai_limit_set_t *set, uint64_t tag, const kohomai_limit_policy_t *policy,
                     apr_time_t now, int tries)
{
    int taken = 0;

    while (tries--) {
        taken += take(set, tag, policy, now);
    }
    return taken;
}

static void a_bucket_holds_exactly_as_many_as_was_said(apr_pool_t *pool)
{
    size_t i;

    (void)pool;
    for (i = 0; i < ROWS(policies); i++) {
        kohomai_limit_set_t set = {0};
        int count = policies[i].count;

        expect(take_many(&set, 1, &policies[i], START, count + 10) == count, "policy %zu", i);
    }
}

static void who_waits_as_long_as_told_gets_the_next_one(apr_pool_t *pool)
{
    size_t i;
    int round;

    (void)pool;
    for (i = 0; i < ROWS(policies); i++) {
        kohomai_limit_set_t set = {0};
        apr_interval_time_t again = 0;
        apr_time_t now = START + (apr_time_t)i;

        take_many(&set, 1, &policies[i], now, policies[i].count);
        for (round = 0; round < 100; round++) {
            expect(!kohomai_limit_take(&set, 1, &policies[i], now, &again), "policy %zu: empty", i);
            expect(!take(&set, 1, &policies[i], now + again - 2 * (apr_time_t)TICK),
                   "policy %zu: not a moment early", i);
            now += again;
            expect(take(&set, 1, &policies[i], now), "policy %zu: there it is", i);
        }
    }
}

static void they_come_back_one_by_one_until_it_is_full(apr_pool_t *pool)
{
    kohomai_limit_set_t set = {0};
    apr_time_t now = START;
    int i;

    (void)pool;
    expect(take_many(&set, 1, &sixty, now, 100) == 60, "all at once");
    for (i = 1; i <= 60; i++) {
        now += i * SECOND;
        expect(take_many(&set, 1, &sixty, now, 100) == i, "%d after as many seconds", i);
    }
    now += HOUR;
    expect(take_many(&set, 1, &sixty, now, 100) == 60, "and never more than 60");
}

/* Against the plain description of a token bucket, in exact arithmetic: level and time, by hand. */
static void it_is_a_token_bucket(apr_pool_t *pool)
{
    static const kohomai_limit_policy_t whole[] = {{60, apr_time_from_sec(60)},
                                                   {4, apr_time_from_sec(1)},
                                                   {1, apr_time_from_sec(2)},
                                                   {100, apr_time_from_sec(1)}};
    apr_uint64_t seed = 1;
    size_t i;
    int step;

    (void)pool;
    for (i = 0; i < ROWS(whole); i++) {
        const kohomai_limit_policy_t *policy = &whole[i];
        kohomai_limit_set_t set = {0};
        apr_interval_time_t pace = policy->duration / policy->count, level = policy->duration;
        apr_time_t now = apr_time_from_sec(1700000000);

        for (step = 0; step < 100000; step++) {
            /* In milliseconds, which the buckets count exactly. */
            apr_interval_time_t pause =
                1000 * (apr_interval_time_t)(unit_random(&seed) % (unsigned)(pace / 1000 * 2));

            pause = unit_random(&seed) % 3 ? 0 : pause;
            now += pause;
            level = level + pause < policy->duration ? level + pause : policy->duration;
            expect(take(&set, 7, policy, now) == (level >= pace), "policy %zu, step %d", i, step);
            level -= level >= pace ? pace : 0;
        }
    }
}

static void nobody_gets_more_than_was_said_in_the_long_run(apr_pool_t *pool)
{
    apr_uint64_t seed = 2;
    size_t i;
    int step;

    (void)pool;
    for (i = 0; i < ROWS(policies); i++) {
        const kohomai_limit_policy_t *policy = &policies[i];
        apr_interval_time_t pace = policy->duration / policy->count;
        kohomai_limit_set_t set = {0};
        apr_time_t now = START;
        double taken = 0, most, least;

        for (step = 0; step < 20000; step++) {
            now += (apr_time_t)(unit_random(&seed) % (unsigned)(pace < 1000000 ? pace : 1000000));
            taken += take(&set, 1, policy, now);
        }
        most = policy->count + (double)(now - START) / (double)policy->duration * policy->count;
        expect(taken <= most, "policy %zu: %f of %f", i, taken, most);
        least = (double)(now - START) / (double)(pace + 2 * (apr_time_t)TICK) * 0.9;
        least = least < policy->count ? least : policy->count;
        expect(taken >= least, "policy %zu: %f, which is less than %f", i, taken, least);
    }
}

static void it_does_not_matter_what_time_it_is(apr_pool_t *pool)
{
    /* 2^40 sixteenths of a millisecond: where the time in a bucket begins anew. */
    const apr_time_t again = (apr_time_t)(1ULL << 40) * 1000 / 16;
    apr_time_t now;

    (void)pool;
    for (now = again * 25 - 130 * SECOND; now < again * 25 + 130 * SECOND; now += SECOND) {
        kohomai_limit_set_t set = {0};

        expect(take_many(&set, 1, &sixty, now, 100) == 60, "at %ld", (long)now);
        expect(take_many(&set, 1, &sixty, now + SECOND, 100) == 1, "and a second later");
        expect(take_many(&set, 1, &sixty, now + HOUR, 100) == 60, "and an hour later");
    }
}

static void who_comes_back_after_years_is_let_in(apr_pool_t *pool)
{
    static const int days[] = {1, 100, 365, 500, 700, 1000, 2000, 3650};
    size_t i;

    (void)pool;
    for (i = 0; i < ROWS(days); i++) {
        kohomai_limit_set_t set = {0};

        take_many(&set, 1, &sixty, START, 100);
        expect(take_many(&set, 1, &sixty, START + days[i] * 24 * HOUR, 100) == 60, "%d days",
               days[i]);
    }
}

static void a_clock_that_is_set_back_locks_nobody_out(apr_pool_t *pool)
{
    static const int back[] = {75, 100, 3600, 86400, 864000};
    size_t i;

    (void)pool;
    for (i = 0; i < ROWS(back); i++) {
        kohomai_limit_set_t set = {0};

        take_many(&set, 1, &sixty, START, 100);
        expect(take_many(&set, 1, &sixty, START - back[i] * SECOND, 100) == 60, "%d s", back[i]);
    }
}

/* Those who read the clock first may come last. */
static void clocks_that_disagree_a_little_open_no_door(apr_pool_t *pool)
{
    kohomai_limit_set_t set = {0};
    apr_uint64_t seed = 3;
    int i, taken = 0;

    (void)pool;
    for (i = 0; i < 10000; i++) {
        taken += take(&set, 1, &sixty, START - (apr_time_t)(unit_random(&seed) % 1000000));
    }
    expect(taken == 60, "%d", taken);
}

static void what_was_not_needed_can_be_given_back(apr_pool_t *pool)
{
    kohomai_limit_set_t set = {0};
    int i;

    (void)pool;
    for (i = 0; i < 1000; i++) {
        expect(take(&set, 1, &sixty, START), "try %d", i);
        kohomai_limit_give_back(&set, 1, &sixty, START);
    }
    expect(take_many(&set, 1, &sixty, START, 100) == 60, "nothing was used up");
    for (i = 0; i < 100; i++) {
        kohomai_limit_give_back(&set, 1, &sixty, START + HOUR);
        kohomai_limit_give_back(&set, 2, &sixty, START + HOUR);
    }
    expect(take_many(&set, 1, &sixty, START + HOUR, 100) == 60, "a bucket never runs over");
    expect(take_many(&set, 2, &sixty, START + HOUR, 100) == 60, "nor does an unknown one");
}

/* Who reads the clock a little earlier must not find a bucket emptier because of it. */
static void what_is_given_back_late_takes_nothing_away(apr_pool_t *pool)
{
    static const kohomai_limit_policy_t three = {3, 3 * SECOND};
    kohomai_limit_set_t set = {0};

    (void)pool;
    expect(take(&set, 1, &three, START), "the first");
    kohomai_limit_give_back(&set, 1, &three, START + HOUR);
    expect(take_many(&set, 1, &three, START + HOUR - 9 * SECOND, 4) == 3, "as if nothing was");
}

static void those_who_share_a_set_do_not_notice(apr_pool_t *pool)
{
    kohomai_limit_set_t set = {0};
    uint64_t tag;
    int i;

    (void)pool;
    for (i = 0; i < 60; i++) {
        for (tag = 1; tag <= KOHOMAI_LIMIT_WAYS; tag++) {
            expect(take(&set, tag * 0x10001, &sixty, START), "token %d of %d", i, (int)tag);
        }
    }
    for (tag = 1; tag <= KOHOMAI_LIMIT_WAYS; tag++) {
        expect(!take(&set, tag * 0x10001, &sixty, START), "all of them have had theirs");
    }
}

static void policies_do_not_disturb_each_other(apr_pool_t *pool)
{
    kohomai_limit_set_t set = {0};
    size_t i;

    (void)pool;
    for (i = 0; i < KOHOMAI_LIMIT_WAYS; i++) {
        int count = policies[i].count;

        expect(take_many(&set, 1 + i, &policies[i], START, count + 1) == count, "policy %zu", i);
    }
    for (i = 0; i < KOHOMAI_LIMIT_WAYS; i++) {
        expect(!take(&set, 1 + i, &policies[i], START), "policy %zu", i);
    }
}

static void full_buckets_are_forgotten_first(apr_pool_t *pool)
{
    static const apr_interval_time_t later[] = {HOUR, 24 * HOUR, 400 * 24 * HOUR, 600 * 24 * HOUR};
    size_t i;

    (void)pool;
    for (i = 0; i < ROWS(later); i++) {
        kohomai_limit_set_t set = {0};
        apr_time_t now = START + later[i];
        uint64_t tag;

        for (tag = 1; tag < KOHOMAI_LIMIT_WAYS; tag++) {
            take_many(&set, tag, &sixty, START, 100);
        }
        take(&set, 100, &sixty, now);
        for (tag = 101; tag < 100 + KOHOMAI_LIMIT_WAYS; tag++) {
            take_many(&set, tag, &sixty, now, 30);
        }
        expect(take_many(&set, 100, &sixty, now, 100) == 59, "row %zu: the newcomers found places",
               i);
    }
}

static void giving_back_finds_only_ones_own(apr_pool_t *pool)
{
    kohomai_limit_set_t set = {0};
    uint64_t tag;

    (void)pool;
    for (tag = 1; tag <= KOHOMAI_LIMIT_WAYS; tag++) {
        take_many(&set, tag, &sixty, START, 100);
    }
    for (tag = 1001; tag < 2000; tag++) {
        kohomai_limit_give_back(&set, tag, &sixty, START);
    }
    for (tag = 1; tag <= KOHOMAI_LIMIT_WAYS; tag++) {
        expect(!take(&set, tag, &sixty, START), "visitor %d", (int)tag);
    }
}

/* A flood of visitors that never come twice, among whom somebody comes again and again. */
static void a_flood_refuses_nobody(apr_pool_t *pool)
{
    kohomai_limit_set_t set = {0};
    apr_uint64_t seed = 4;
    apr_time_t now = START;
    int i;

    (void)pool;
    for (i = 0; i < 300000; i++) {
        uint64_t tag = 2 + unit_random(&seed) % (KOHOMAI_LIMIT_TAG_MAX - 2);

        now += 10;
        expect(take(&set, tag, &sixty, now), "one of the flood");
        if (i % 5000 == 0) {
            expect(take(&set, 1, &sixty, now), "somebody honest, after %d", i);
        }
    }
}

/* The same flood forgets its own visitors before the one who has used up all. */
static void a_flood_does_not_free_who_asked_too_often(apr_pool_t *pool)
{
    kohomai_limit_set_t set = {0};
    apr_time_t now = START;
    uint64_t tag;

    (void)pool;
    take_many(&set, 1, &sixty, now, 100);
    for (tag = 2; tag < 100000; tag++) {
        now += 5;
        expect(take(&set, tag, &sixty, now), "one of the flood");
        expect(!take(&set, 1, &sixty, now), "the one who asked too often, after %d", (int)tag);
    }
}

/* Visitors at random, of a set that is far too small for them: nobody is ever refused who asked less
 * often than allowed, whatever the set has forgotten. */
static void who_keeps_to_the_limit_is_never_refused(apr_pool_t *pool)
{
    enum { VISITORS = 40, TOKENS = 5 };
    static const kohomai_limit_policy_t five = {TOKENS, apr_time_from_sec(5)};
    apr_time_t times[VISITORS][TOKENS] = {{0}};
    kohomai_limit_set_t set = {0};
    apr_uint64_t seed = 5;
    apr_time_t now = START;
    int step, refused = 0, kept = 0;

    (void)pool;
    for (step = 0; step < 300000; step++) {
        unsigned who = unit_random(&seed) % VISITORS;
        /* A few come all the time. */
        who = unit_random(&seed) % 2 ? who : who % 4;
        now += unit_random(&seed) % 100000;
        /* Fewer than TOKENS within the last 6 s: it may ask, by any token bucket of that size. */
        if (now - times[who][step % TOKENS] > 6 * SECOND) {
            int oldest = 0, i;

            for (i = 1; i < TOKENS; i++) {
                oldest = times[who][i] < times[who][oldest] ? i : oldest;
            }
            if (now - times[who][oldest] > 6 * SECOND) {
                times[who][oldest] = now;
                kept++;
                refused += !take(&set, 1 + who, &five, now);
            }
        }
    }
    expect(kept > 10000 && refused == 0, "%d refused of %d", refused, kept);
}

/* ---- addresses ---- */

static const char *address_of(apr_pool_t *pool, const char *text)
{
    unsigned char address[KOHOMAI_ADDRESS_SIZE], ip[16];
    int len = strchr(text, ':') ? 16 : 4;

    assert_int_equal(inet_pton(len == 16 ? AF_INET6 : AF_INET, text, ip), 1);
    memset(address, 0xaa, sizeof(address));
    kohomai_limit_address((unsigned char *)bare(pool, (char *)ip, (apr_size_t)len), len, address);
    return apr_pstrmemdup(pool, (char *)address, sizeof(address));
}

static void addresses_are_one_visitor_or_two(apr_pool_t *pool)
{
    static const struct {
        const char *one, *other;
        int same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", 1},
        {"192.0.2.1", "192.0.2.2", 0},
        {"192.0.2.1", "193.0.2.1", 0},
        {"192.0.2.1", "::ffff:192.0.2.1", 1},
        {"192.0.2.1", "::ffff:192.0.2.2", 0},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.2", 0},
        {"192.0.2.1", "::192.0.2.1", 0},
        {"192.0.2.1", "::1:ffff:192.0.2.1", 0},
        {"192.0.2.1", "c000:201::", 0},
        {"0.0.0.0", "::", 0},
        {"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", 1},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", 0},
        {"2001:db8::1", "2001:db9::1", 0},
        {"fe80::1", "fe80::2", 1},
    };
    size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        int same_bytes = memcmp(address_of(pool, rows[i].one), address_of(pool, rows[i].other),
                                KOHOMAI_ADDRESS_SIZE) == 0;

        expect(same_bytes == rows[i].same, "%s and %s", rows[i].one, rows[i].other);
    }
}

static void what_is_no_ip_address_is_one_visitor(apr_pool_t *pool)
{
    unsigned char one[KOHOMAI_ADDRESS_SIZE], other[KOHOMAI_ADDRESS_SIZE];

    kohomai_limit_address(NULL, 0, one);
    kohomai_limit_address((unsigned char *)bare(pool, "12345", 5), 5, other);
    expect(memcmp(one, other, sizeof(one)) == 0, "alike");
    expect(memcmp(one, address_of(pool, "0.0.0.0"), sizeof(one)) != 0, "and not 0.0.0.0");
}

/* ---- many at once ---- */

static const kohomai_limit_policy_t plenty = {20000, apr_time_from_sec(86400)};

typedef struct {
    kohomai_limit_set_t *set;
    pthread_barrier_t *start;
    int tries, number, taken;
} runner_t;

static void *run(void *baton)
{
    runner_t *runner = baton;
    apr_interval_time_t again;
    int i;

    pthread_barrier_wait(runner->start);
    for (i = 0; i < runner->tries; i++) {
        /* Each thread also has a visitor of its own. */
        kohomai_limit_take(runner->set, 100 + (uint64_t)runner->number, &sixty, START, &again);
        runner->taken += kohomai_limit_take(runner->set, 1, &plenty, START, &again);
        if (kohomai_limit_take(runner->set, 2, &plenty, START, &again)) {
            kohomai_limit_give_back(runner->set, 2, &plenty, START);
        }
    }
    return NULL;
}

static void many_at_once_get_exactly_what_one_would(apr_pool_t *pool)
{
    enum { THREADS = 5, ROUNDS = 10 };
    int round, i;

    (void)pool;
    for (round = 0; round < ROUNDS; round++) {
        kohomai_limit_set_t set = {0};
        pthread_t threads[THREADS];
        runner_t runners[THREADS];
        pthread_barrier_t start;
        int taken = 0;

        pthread_barrier_init(&start, NULL, THREADS);
        for (i = 0; i < THREADS; i++) {
            runners[i] = (runner_t){&set, &start, 5000, i, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
        }
        for (i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            taken += runners[i].taken;
        }
        pthread_barrier_destroy(&start);
        expect(taken == plenty.count, "round %d: %d tokens of %d", round, taken, plenty.count);
        expect(take_many(&set, 2, &plenty, START, plenty.count + 1) == plenty.count,
               "round %d: all were given back", round);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_bucket_holds_exactly_as_many_as_was_said),
        UNIT(who_waits_as_long_as_told_gets_the_next_one),
        UNIT(they_come_back_one_by_one_until_it_is_full),
        UNIT(it_is_a_token_bucket),
        UNIT(nobody_gets_more_than_was_said_in_the_long_run),
        UNIT(it_does_not_matter_what_time_it_is),
        UNIT(who_comes_back_after_years_is_let_in),
        UNIT(a_clock_that_is_set_back_locks_nobody_out),
        UNIT(clocks_that_disagree_a_little_open_no_door),
        UNIT(what_was_not_needed_can_be_given_back),
        UNIT(giving_back_finds_only_ones_own),
        UNIT(full_buckets_are_forgotten_first),
        UNIT(what_is_given_back_late_takes_nothing_away),
        UNIT(those_who_share_a_set_do_not_notice),
        UNIT(policies_do_not_disturb_each_other),
        UNIT(a_flood_refuses_nobody),
        UNIT(a_flood_does_not_free_who_asked_too_often),
        UNIT(who_keeps_to_the_limit_is_never_refused),
        UNIT(addresses_are_one_visitor_or_two),
        UNIT(what_is_no_ip_address_is_one_visitor),
        UNIT(many_at_once_get_exactly_what_one_would),
    };

    return UNIT_MAIN(tests);
}
