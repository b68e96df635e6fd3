/* Tests of guard, over simulated time: a breaker that many ask and tell, and pauses before retries.
 * Nothing here reads a clock, sleeps or depends on chance: what is random has a fixed seed. */
#include "guard.h"
#include "unit.h"

#define SECOND apr_time_from_sec(1)
#define START (apr_time_from_sec(1700000000) + 123456)

static const kohomai_breaker_policy_t policy = {.failures = 5, .open = apr_time_from_sec(15)};

typedef struct {
    kohomai_breaker_t word;
    apr_time_t now;
    apr_interval_time_t again;
} world_t;

static kohomai_may_e ask(world_t *world)
{
    kohomai_may_e may;

    world->word = kohomai_guard_ask(world->word, &policy, world->now, &may, &world->again);
    return may;
}

static void tell(world_t *world, kohomai_may_e may, int well, apr_interval_time_t patience)
{
    world->word = kohomai_guard_tell(world->word, &policy, world->now, may, well, patience);
}

static world_t opened(apr_interval_time_t patience)
{
    world_t world = {.now = START};
    int i;

    for (i = 0; i < policy.failures; i++) {
        tell(&world, ask(&world), 0, patience);
    }
    return world;
}

static void a_breaker_begins_closed(apr_pool_t *pool)
{
    world_t world = {.now = START};

    (void)pool;
    expect(ask(&world) == KOHOMAI_MAY_CALL, "a fresh breaker lets calls through");
    expect(!kohomai_guard_is_open(world.word, world.now), "and is not open");
}

static void it_opens_with_the_last_of_so_many_failures_in_a_row(apr_pool_t *pool)
{
    world_t world = {.now = START};
    int i;

    (void)pool;
    for (i = 1; i <= policy.failures; i++) {
        expect(ask(&world) == KOHOMAI_MAY_CALL, "failure %d goes through", i);
        tell(&world, KOHOMAI_MAY_CALL, 0, 0);
    }
    expect(ask(&world) == KOHOMAI_MAY_NOT, "then no more");
    expect(kohomai_guard_is_open(world.word, world.now), "it is open");
    expect(world.again > 14 * SECOND && world.again <= 15 * SECOND + 1000, "again in 15 s");
}

static void a_success_in_between_starts_the_count_anew(apr_pool_t *pool)
{
    world_t world = {.now = START};
    int round, i;

    (void)pool;
    for (round = 0; round < 100; round++) {
        for (i = 1; i < policy.failures; i++) {
            expect(ask(&world) == KOHOMAI_MAY_CALL, "round %d", round);
            tell(&world, KOHOMAI_MAY_CALL, 0, 0);
        }
        tell(&world, KOHOMAI_MAY_CALL, 1, 0);
    }
}

static void exactly_one_probe_goes_through_when_the_time_is_over(apr_pool_t *pool)
{
    world_t world = opened(0);
    int i;

    (void)pool;
    world.now += 15 * SECOND - 1000;
    expect(ask(&world) == KOHOMAI_MAY_NOT, "not a moment early");
    world.now += 2000;
    expect(ask(&world) == KOHOMAI_MAY_PROBE, "one probe");
    for (i = 0; i < 1000; i++) {
        expect(ask(&world) == KOHOMAI_MAY_NOT, "no second one");
    }
}

static void a_probe_that_goes_well_closes_it(apr_pool_t *pool)
{
    world_t world = opened(0);

    (void)pool;
    world.now += 16 * SECOND;
    tell(&world, ask(&world), 1, 0);
    expect(ask(&world) == KOHOMAI_MAY_CALL, "closed");
    tell(&world, KOHOMAI_MAY_CALL, 0, 0);
    expect(ask(&world) == KOHOMAI_MAY_CALL, "and one failure does not open it again");
}

static void a_probe_that_fails_opens_it_again(apr_pool_t *pool)
{
    world_t world = opened(0);
    int round;

    (void)pool;
    for (round = 0; round < 50; round++) {
        world.now += 16 * SECOND;
        expect(ask(&world) == KOHOMAI_MAY_PROBE, "round %d", round);
        tell(&world, KOHOMAI_MAY_PROBE, 0, 0);
        expect(ask(&world) == KOHOMAI_MAY_NOT, "round %d", round);
    }
}

static void a_probe_that_never_comes_back_is_replaced(apr_pool_t *pool)
{
    world_t world = opened(0);

    (void)pool;
    world.now += 16 * SECOND;
    expect(ask(&world) == KOHOMAI_MAY_PROBE, "the probe of a child that dies");
    world.now += 14 * SECOND;
    expect(ask(&world) == KOHOMAI_MAY_NOT, "its time runs");
    world.now += 2 * SECOND;
    expect(ask(&world) == KOHOMAI_MAY_PROBE, "somebody else's");
}

static void a_probe_that_tells_nothing_is_given_back(apr_pool_t *pool)
{
    world_t world = opened(0);
    kohomai_may_e may;

    (void)pool;
    world.now += policy.open + 1000;
    may = ask(&world);
    expect(may == KOHOMAI_MAY_PROBE && ask(&world) == KOHOMAI_MAY_NOT, "there is one probe");
    world.word = kohomai_guard_give_back(world.word, world.now, KOHOMAI_MAY_CALL);
    expect(ask(&world) == KOHOMAI_MAY_NOT, "which is nobody else's to give back");
    world.word = kohomai_guard_give_back(world.word, world.now, may);
    expect(ask(&world) == KOHOMAI_MAY_PROBE, "the next one is a probe");
    expect(ask(&world) == KOHOMAI_MAY_NOT, "and again the only one");
    tell(&world, KOHOMAI_MAY_PROBE, 1, 0);
    world.word = kohomai_guard_give_back(world.word, world.now, may);
    expect(ask(&world) == KOHOMAI_MAY_CALL, "given back too late, it opens nothing");
}

static void it_is_open_exactly_while_it_keeps_calls_back(apr_pool_t *pool)
{
    world_t world = opened(0);

    (void)pool;
    expect(kohomai_guard_is_open(world.word, world.now + 14 * SECOND), "14 s of 15");
    expect(!kohomai_guard_is_open(world.word, world.now + 16 * SECOND), "the next is a probe");
    expect(!kohomai_guard_is_open(world.word, world.now - apr_time_from_sec(86400)), "a day back");
    world.now += 16 * SECOND;
    expect(ask(&world) == KOHOMAI_MAY_PROBE, "a probe is out");
    expect(kohomai_guard_is_open(world.word, world.now), "for everybody else it is open");
    world.now += 16 * SECOND;
    expect(!kohomai_guard_is_open(world.word, world.now), "the probe died: the next is another");
    expect(ask(&world) == KOHOMAI_MAY_PROBE, "and so it is");
    tell(&world, KOHOMAI_MAY_PROBE, 1, 0);
    expect(!kohomai_guard_is_open(world.word, world.now), "closed again");
}

static void stragglers_do_not_prolong_it(apr_pool_t *pool)
{
    world_t world = opened(0);
    kohomai_breaker_t before = world.word;

    (void)pool;
    world.now += 10 * SECOND;
    tell(&world, KOHOMAI_MAY_CALL, 0, 0);
    expect(world.word == before, "a call from before it opened says nothing new");
}

static void the_api_may_ask_for_more_patience_but_not_for_ever(apr_pool_t *pool)
{
    world_t world = opened(100 * SECOND);

    (void)pool;
    world.now += 99 * SECOND;
    expect(ask(&world) == KOHOMAI_MAY_NOT, "99 s of 100");
    world.now += 2 * SECOND;
    expect(ask(&world) == KOHOMAI_MAY_PROBE, "101 s");
    tell(&world, KOHOMAI_MAY_PROBE, 0, apr_time_from_sec(1000000));
    expect(ask(&world) == KOHOMAI_MAY_NOT, "however long that is");
    world.now += KOHOMAI_BREAKER_OPEN_MAX - SECOND;
    expect(ask(&world) == KOHOMAI_MAY_NOT, "nearly an hour");
    world.now += 2 * SECOND;
    expect(ask(&world) == KOHOMAI_MAY_PROBE, "an hour at most");
}

static void a_clock_that_is_set_back_does_not_lock_the_api_out(apr_pool_t *pool)
{
    world_t world = opened(0);

    (void)pool;
    world.now -= apr_time_from_sec(86400);
    expect(ask(&world) == KOHOMAI_MAY_PROBE, "a day back");
}

static void without_a_breaker_everything_goes_through(apr_pool_t *pool)
{
    static const kohomai_breaker_policy_t none = {0, 0};
    kohomai_breaker_t word = 0;
    apr_interval_time_t again;
    kohomai_may_e may;
    int i;

    (void)pool;
    for (i = 0; i < 100; i++) {
        word = kohomai_guard_ask(word, &none, START, &may, &again);
        word = kohomai_guard_tell(word, &none, START, may, 0, 0);
        expect(may == KOHOMAI_MAY_CALL && word == 0, "failure %d", i);
    }
}

/* Many children, an API that is down from 100 s to 400 s, ten asks a second. */
static void a_dead_api_is_left_alone_and_found_well_again(apr_pool_t *pool)
{
    world_t world = {.now = START};
    int calls_while_dead = 0, denied_while_well = 0, i;

    (void)pool;
    for (i = 0; i < 6000; i++) {
        int dead = i >= 1000 && i < 4000;
        kohomai_may_e may = ask(&world);

        if (may != KOHOMAI_MAY_NOT) {
            calls_while_dead += dead;
            tell(&world, may, !dead, 0);
        }
        else {
            denied_while_well += !dead;
        }
        world.now += SECOND / 10;
    }
    expect(calls_while_dead == 5 + 19, "%d calls", calls_while_dead);
    expect(denied_while_well > 0 && denied_while_well <= 151, "%d denied", denied_while_well);
}

/* Whatever is asked and told, at whatever times: never two probes at once, never locked for ever. */
static void it_never_has_two_probes_and_never_locks_up(apr_pool_t *pool)
{
    world_t world = {.now = START};
    apr_time_t lease = 0;
    unsigned seed = 1;
    int i;

    (void)pool;
    for (i = 0; i < 200000; i++) {
        kohomai_may_e may = ask(&world);

        seed = seed * 1103515245u + 12345u;
        if (may == KOHOMAI_MAY_PROBE) {
            expect(world.now >= lease, "step %d: a second probe", i);
            lease = world.now + policy.open;
        }
        if (may != KOHOMAI_MAY_NOT && seed >> 16 & 3) {
            tell(&world, may, (seed >> 20 & 7) == 0, (seed >> 24 & 15) * SECOND);
            lease = may == KOHOMAI_MAY_PROBE ? 0 : lease;
        }
        if (may == KOHOMAI_MAY_NOT) {
            expect(world.again > 0 && world.again <= KOHOMAI_BREAKER_OPEN_MAX + 1000, "step %d", i);
        }
        world.now += (apr_interval_time_t)(seed >> 8 & 0xfffff);
    }
}

static void pauses_double_are_jittered_and_bounded(apr_pool_t *pool)
{
    static const struct {
        int tries, most_ms;
    } rows[] = {{1, 100},  {2, 200},  {3, 400},  {4, 800},
                {5, 1600}, {6, 3200}, {7, 5000}, {1000, 5000}};
    apr_size_t i;
    unsigned random;

    (void)pool;
    for (i = 0; i < ROWS(rows); i++) {
        apr_interval_time_t most = apr_time_from_msec(rows[i].most_ms), least = most, longest = 0;

        for (random = 0; random < 4096; random++) {
            apr_interval_time_t pause =
                kohomai_guard_pause(rows[i].tries, random, 0, START, START + 60 * SECOND);

            least = pause < least ? pause : least;
            longest = pause > longest ? pause : longest;
        }
        expect(longest == most, "try %d: %d us", rows[i].tries, (int)longest);
        expect(least >= most / 2 && least < most / 2 + most / 100, "try %d: %d us", rows[i].tries,
               (int)least);
    }
}

static void no_pause_goes_past_the_deadline(apr_pool_t *pool)
{
    (void)pool;
    expect(kohomai_guard_pause(1, 0, 0, START, START + apr_time_from_msec(100)) == -1, "100 ms");
    expect(kohomai_guard_pause(1, 0, 0, START, START + apr_time_from_msec(101)) > 0, "101 ms");
    expect(kohomai_guard_pause(1, 0, 5 * SECOND, START, START + 4 * SECOND) == -1, "patience");
    expect(kohomai_guard_pause(1, 0, 3 * SECOND, START, START + 4 * SECOND) == 3 * SECOND,
           "patience");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_breaker_begins_closed),
        UNIT(it_opens_with_the_last_of_so_many_failures_in_a_row),
        UNIT(a_success_in_between_starts_the_count_anew),
        UNIT(exactly_one_probe_goes_through_when_the_time_is_over),
        UNIT(a_probe_that_goes_well_closes_it),
        UNIT(a_probe_that_fails_opens_it_again),
        UNIT(a_probe_that_never_comes_back_is_replaced),
        UNIT(a_probe_that_tells_nothing_is_given_back),
        UNIT(it_is_open_exactly_while_it_keeps_calls_back),
        UNIT(stragglers_do_not_prolong_it),
        UNIT(the_api_may_ask_for_more_patience_but_not_for_ever),
        UNIT(a_clock_that_is_set_back_does_not_lock_the_api_out),
        UNIT(without_a_breaker_everything_goes_through),
        UNIT(a_dead_api_is_left_alone_and_found_well_again),
        UNIT(it_never_has_two_probes_and_never_locks_up),
        UNIT(pauses_double_are_jittered_and_bounded),
        UNIT(no_pause_goes_past_the_deadline),
    };

    return UNIT_MAIN(tests);
}
