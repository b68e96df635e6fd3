/* Tests of shared with processes of their own: children that count together, some of them killed at any moment, a flood of
 * addresses, and a segment that outlives a restart. Time is simulated, nothing is held against a clock: what must not wait
 * would wait for ever. Built plain and with both sanitizers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared.c"

#include <apr_general.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND apr_time_from_sec(1)
#define NOW (apr_time_from_sec(1700000000) + 123456)

static const kohomai_limit_policy_t sixty = {60, apr_time_from_sec(60)};
static const kohomai_limit_policy_t plenty = {1000000, apr_time_from_sec(86400)};

static scoreboard no_scoreboard;
scoreboard *ap_scoreboard_image = &no_scoreboard;

/* A server of its own for each test, and a page that its children see. */
typedef struct {
    apr_pool_t *pool;
    process_rec process;
    server_rec s;
    kohomai_shared_t *shared;
    _Atomic long *counters;
} site_t;

static site_t site;

static kohomai_shared_t *start(int children)
{
    apr_status_t rv = APR_EGENERAL;
    kohomai_shared_t *shared = kohomai_shared_get(&site.s, children, &rv);

    assert_non_null(shared);
    return shared;
}

static int set_up(void **state)
{
    (void)state;
    memset(&site, 0, sizeof(site));
    apr_pool_create(&site.pool, NULL);
    site.process.pool = site.pool;
    site.s.process = &site.process;
    site.shared = start(4);
    site.counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return site.counters == MAP_FAILED;
}

static int tear_down(void **state)
{
    (void)state;
    munmap((void *)site.counters, 4096);
    apr_pool_destroy(site.pool);
    return 0;
}

/* The address 10.number, or 2001:db8 and the number within the /64's 64 bits. */
static const unsigned char *address_of(int v6, uint32_t number)
{
    static unsigned char address[KOHOMAI_ADDRESS_SIZE];
    unsigned char ip[16] = {0x20, 0x01, 0x0d, 0xb8};

    if (!v6) {
        ip[0] = 10;
    }
    ip[v6 ? 5 : 1] = (unsigned char)(number >> 16);
    ip[v6 ? 6 : 2] = (unsigned char)(number >> 8);
    ip[v6 ? 7 : 3] = (unsigned char)number;
    ip[4] = v6 ? (unsigned char)(number >> 24) : 0;
    kohomai_limit_address(ip, v6 ? 16 : 4, address);
    return address;
}

static int take(int v6, uint32_t number, const kohomai_limit_policy_t *policy, apr_time_t now)
{
    apr_interval_time_t again;

    return kohomai_shared_take(site.shared, address_of(v6, number), KOHOMAI_LIMIT_SESSION, policy, now, &again);
}

static int take_many(uint32_t number, const kohomai_limit_policy_t *policy, int tries)
{
    int taken = 0;

    while (tries--) {
        taken += take(0, number, policy, NOW);
    }
    return taken;
}

/* ---- many processes ---- */

static pid_t child(void (*life)(int number), int number)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        life(number);
        _exit(0);
    }
    return pid;
}

enum { CHILDREN = 4 };

/* All at once. */
static void ask_often(int number)
{
    int i, taken = 0;

    (void)number;
    atomic_fetch_add(&site.counters[2], 1);
    while (site.counters[2] < CHILDREN) {
        sched_yield();
    }
    for (i = 0; i < plenty.count / 2; i++) {
        taken += take(0, 1, &plenty, NOW);
    }
    atomic_fetch_add(&site.counters[0], taken);
}

static void children_count_together(void **state)
{
    pid_t pids[CHILDREN];
    int i, status;

    (void)state;
    for (i = 0; i < CHILDREN; i++) {
        pids[i] = child(ask_often, i);
    }
    for (i = 0; i < CHILDREN; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(site.counters[0], plenty.count);
    assert_int_equal(take(0, 1, &plenty, NOW), 0);
}

static void ask_until_killed(int number)
{
    (void)number;
    for (;;) {
        uint32_t which = (uint32_t)atomic_fetch_add(&site.counters[1], 1) % 3;

        if (take(0, which, &sixty, NOW)) {
            kohomai_shared_give_back(site.shared, address_of(0, which), KOHOMAI_LIMIT_SESSION, &sixty, NOW);
        }
    }
}

/* What a child had taken when it was killed may be lost; nothing else is, and nobody waits for it. */
static void who_is_killed_keeps_nobody_waiting(void **state)
{
    int round, status;
    uint32_t which;

    (void)state;
    for (round = 0; round < 40; round++) {
        long before = site.counters[1];
        pid_t pid = child(ask_until_killed, 0);

        while (site.counters[1] < before + 1000 + 37 * round) {
            usleep(50);
        }
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
    }
    for (which = 0; which < 3; which++) {
        int left = take_many(which, &sixty, 100);

        assert_in_range(left, sixty.count - 40, sixty.count);
    }
}

/* ---- floods ---- */

static void a_flood_of_addresses_refuses_nobody(void **state)
{
    uint32_t i;
    int honest = 0, refused = 0;

    (void)state;
    for (i = 0; i < 400000; i++) {
        apr_time_t now = NOW + i * 20;

        refused += !take(1, i, &sixty, now);
        if (i % 100 == 0) { /* 500 people, each eight times */
            honest++;
            refused += !take(0, i / 100 % 500, &sixty, now);
        }
    }
    assert_int_equal(honest, 4000);
    assert_int_equal(refused, 0);
}

static void a_flood_does_not_free_who_asked_too_often(void **state)
{
    uint32_t i;

    (void)state;
    assert_int_equal(take_many(7, &sixty, 100), 60);
    for (i = 0; i < 400000; i++) {
        take(1, i, &sixty, NOW);
    }
    assert_int_equal(take_many(7, &sixty, 100), 0);
}

/* ---- places ---- */

static kohomai_limit_set_t *place_of(kohomai_shared_t *shared, uint32_t number, kohomai_limit_e kind,
                                     const kohomai_limit_policy_t *policy, uint64_t *tag)
{
    return find_set(shared, address_of(0, number), kind, policy, tag);
}

/* Neighbours by the thousand, as attackers have them: no set gets many more of them than its share, which is 8. */
static void neighbours_are_spread_evenly(void **state)
{
    static int load[KOHOMAI_LIMIT_SETS];
    uint64_t tag;
    uint32_t i;
    int most = 0;

    (void)state;
    memset(load, 0, sizeof(load));
    for (i = 0; i < 8 * KOHOMAI_LIMIT_SETS; i++) {
        long at = place_of(site.shared, i, KOHOMAI_LIMIT_SESSION, &sixty, &tag) - site.shared->limits;

        assert_in_range(at, 0, KOHOMAI_LIMIT_SETS - 1);
        assert_in_range(tag, 1, KOHOMAI_LIMIT_TAG_MAX);
        load[at]++;
        most = load[at] > most ? load[at] : most;
    }
    assert_in_range(most, 9, 40);
}

/* Chance alone lets 1 of 8,192 have the same place; 100 of 10,000 is out of its reach. */
static void nobody_knows_the_places_of_another_start(void **state)
{
    kohomai_shared_t *one = site.shared, *other;
    uint64_t tag;
    uint32_t i;
    int same = 0;

    (void)state;
    apr_pool_create(&site.process.pool, site.pool);
    other = start(4);
    assert_ptr_not_equal(one, other);
    for (i = 0; i < 10000; i++) {
        same += place_of(one, i, KOHOMAI_LIMIT_SESSION, &sixty, &tag) - one->limits ==
                place_of(other, i, KOHOMAI_LIMIT_SESSION, &sixty, &tag) - other->limits;
    }
    assert_in_range(same, 0, 100);
}

static void kinds_and_policies_have_places_of_their_own(void **state)
{
    static const kohomai_limit_policy_t more = {61, apr_time_from_sec(60)}, slower = {60, apr_time_from_sec(61)};
    apr_interval_time_t again;

    (void)state;
    assert_int_equal(take_many(3, &sixty, 100), 60);
    assert_int_equal(take_many(3, &more, 100), 61);
    assert_int_equal(take_many(3, &slower, 100), 60);
    assert_int_equal(take_many(3, &sixty, 100), 0);
    assert_int_equal(
        kohomai_shared_take(site.shared, address_of(0, 3), KOHOMAI_LIMIT_REGISTER, &sixty, NOW, &again), 1);
}

/* ---- restarts ---- */

static void a_restart_forgets_nothing(void **state)
{
    kohomai_breaker_policy_t once = {1, apr_time_from_sec(600)};
    int place = kohomai_shared_breaker_find(site.shared, "https://a.example");
    apr_interval_time_t again = 0;
    kohomai_shared_t *before = site.shared;

    (void)state;
    assert_int_equal(take_many(1, &sixty, 100), 60);
    kohomai_shared_tell(site.shared, place, &once, NOW, KOHOMAI_MAY_CALL, 0, 0);
    site.shared = start(4);
    assert_ptr_equal(site.shared, before);
    assert_int_equal(take_many(1, &sixty, 100), 0);

    /* Room for more children: another segment, which knows the same. */
    site.shared = start(400);
    assert_ptr_not_equal(site.shared, before);
    assert_int_equal(take_many(1, &sixty, 100), 0);
    assert_int_equal(take_many(2, &sixty, 100), 60);
    assert_int_equal(kohomai_shared_breaker_find(site.shared, "https://a.example"), place);
    assert_int_equal(kohomai_shared_ask(site.shared, place, &once, NOW, &again), KOHOMAI_MAY_NOT);
    assert_ptr_equal(start(400), site.shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(children_count_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_killed_keeps_nobody_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_of_addresses_refuses_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_does_not_free_who_asked_too_often, set_up, tear_down),
        cmocka_unit_test_setup_teardown(neighbours_are_spread_evenly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_knows_the_places_of_another_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kinds_and_policies_have_places_of_their_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_restart_forgets_nothing, set_up, tear_down),
    };

    return apr_initialize() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
