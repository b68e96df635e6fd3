/* Tests of shared: how visitors are counted over the children of prefork, some of which die, and the breakers that children
 * share. The children are real processes, the scoreboard is the test's own. Nothing depends on a clock. */
#include "shared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <scoreboard.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 16
#define NOW apr_time_from_sec(1700000000)

scoreboard *ap_scoreboard_image;

static const kohomai_breaker_policy_t policy = {.failures = 2, .open = apr_time_from_sec(15)};

typedef struct {
    apr_pool_t *pool;
    server_rec server;
    process_rec process;
    scoreboard board;
    process_score scores[CHILDREN];
    kohomai_shared_t *shared;
    pid_t children[CHILDREN];
} world_t;

static kohomai_shared_t *get(world_t *world, int children)
{
    apr_status_t rv = APR_SUCCESS;
    kohomai_shared_t *shared = kohomai_shared_get(&world->server, children, &rv);

    assert_int_equal(rv, APR_SUCCESS);
    assert_non_null(shared);
    return shared;
}

static int setup(void **state)
{
    world_t *world = calloc(1, sizeof(*world));

    apr_pool_create(&world->pool, NULL);
    world->process.pool = world->pool;
    world->server.process = &world->process;
    world->board.parent = world->scores;
    ap_scoreboard_image = &world->board;
    world->shared = get(world, CHILDREN);
    *state = world;
    return 0;
}

/* A process that only waits to be killed; its parent has written it down if it is noted. */
static pid_t begin_child(world_t *world, int number, int noted)
{
    pid_t pid = fork();

    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    world->children[number] = pid;
    world->scores[number].pid = noted ? pid : 0;
    return pid;
}

/* Kills a child as httpd sees it: the parent collects it, and then strikes it out. */
static void end_child(world_t *world, int number)
{
    if (world->children[number]) {
        kill(world->children[number], SIGKILL);
        waitpid(world->children[number], NULL, 0);
        world->children[number] = world->scores[number].pid = 0;
    }
}

static int teardown(void **state)
{
    world_t *world = *state;
    int i;

    for (i = 0; i < CHILDREN; i++) {
        end_child(world, i);
    }
    apr_pool_destroy(world->pool);
    free(world);
    return 0;
}

static int hold(world_t *world, int number, int cap)
{
    return kohomai_shared_hold(world->shared, number, world->children[number], cap);
}

/* ---- visitors of all children ---- */

static void so_many_children_may_hold_a_visitor(void **state)
{
    world_t *world = *state;
    int i;

    for (i = 0; i < 4; i++) {
        begin_child(world, i, 1);
    }
    assert_int_equal(hold(world, 0, 2), 1);
    assert_int_equal(hold(world, 1, 2), 1);
    assert_int_equal(hold(world, 2, 2), 0);
    assert_int_equal(hold(world, 3, 2), 0); /* who was refused does not count */
    assert_int_equal(hold(world, 0, 2), 1); /* nor does one child twice */
    kohomai_shared_let_go(world->shared, 1);
    assert_int_equal(hold(world, 2, 2), 1);
    assert_int_equal(hold(world, 1, 2), 0);
}

/* The parent forks, the child is quicker, and serves a visitor before the parent has written its pid down. */
static void one_that_the_parent_has_not_noted_yet_counts(void **state)
{
    world_t *world = *state;

    begin_child(world, 0, 1);
    begin_child(world, 1, 0);
    begin_child(world, 2, 0);
    assert_int_equal(hold(world, 0, 1), 1);
    assert_int_equal(hold(world, 1, 1), 0);
    kohomai_shared_let_go(world->shared, 0);
    assert_int_equal(hold(world, 1, 1), 1);
    assert_int_equal(hold(world, 2, 1), 0);
    assert_int_equal(hold(world, 0, 1), 0);
}

static void one_that_was_killed_does_not_count(void **state)
{
    world_t *world = *state;
    int round, i;

    for (round = 0; round < 3; round++) {
        for (i = 0; i < 4; i++) {
            begin_child(world, i, 1);
            assert_int_equal(hold(world, i, 4), 1);
        }
        begin_child(world, 4, 1);
        assert_int_equal(hold(world, 4, 4), 0);
        for (i = 0; i < 3; i++) {
            end_child(world, i);
        }
        for (i = 5; i < 8; i++) {
            begin_child(world, i, 1);
            assert_int_equal(hold(world, i, 4), 1);
        }
        assert_int_equal(hold(world, 4, 4), 0);
        for (i = 0; i < 8; i++) {
            end_child(world, i); /* with what they hold */
        }
    }
}

static void numbers_out_of_range_are_not_counted(void **state)
{
    world_t *world = *state;

    assert_int_equal(kohomai_shared_hold(world->shared, -1, getpid(), 1), 1);
    assert_int_equal(kohomai_shared_hold(world->shared, CHILDREN, getpid(), 1), 1);
    kohomai_shared_let_go(world->shared, -1);
    kohomai_shared_let_go(world->shared, CHILDREN);
    begin_child(world, CHILDREN - 1, 1);
    assert_int_equal(hold(world, CHILDREN - 1, 1), 1);
}

/* ---- breakers ---- */

static void fail_once(kohomai_shared_t *shared, int place)
{
    apr_interval_time_t again;

    kohomai_shared_tell(shared, place, &policy, NOW, kohomai_shared_ask(shared, place, &policy, NOW, &again), 0, 0);
}

static int is_open(kohomai_shared_t *shared, int place)
{
    apr_interval_time_t again;

    return kohomai_shared_ask(shared, place, &policy, NOW, &again) == KOHOMAI_MAY_NOT;
}

static void a_failure_of_another_process_counts(void **state)
{
    world_t *world = *state;
    int place = kohomai_shared_breaker_find(world->shared, "https://a.example/"), other, status;
    pid_t pid;

    fail_once(world->shared, place);
    pid = fork();
    if (pid == 0) {
        fail_once(world->shared, kohomai_shared_breaker_find(world->shared, "https://a.example/"));
        _exit(kohomai_shared_breaker_find(world->shared, "https://b.example/"));
    }
    waitpid(pid, &status, 0);
    other = kohomai_shared_breaker_find(world->shared, "https://b.example/");
    assert_true(is_open(world->shared, place));
    assert_int_not_equal(other, place);
    assert_int_equal(WEXITSTATUS(status), other);
    assert_false(is_open(world->shared, other));
}

static void the_last_place_is_shared(void **state)
{
    world_t *world = *state;
    char seen[KOHOMAI_BREAKERS_MAX] = {0}, url[64];
    int i, round;

    for (round = 0; round < 2; round++) {
        memset(seen, 0, sizeof(seen));
        for (i = 0; i < 2 * KOHOMAI_BREAKERS_MAX; i++) {
            int place;

            snprintf(url, sizeof(url), "https://%d.example/", i);
            place = kohomai_shared_breaker_find(world->shared, url);
            assert_in_range(place, 0, KOHOMAI_BREAKERS_MAX - 1);
            assert_true(!seen[place] || place == KOHOMAI_BREAKERS_MAX - 1);
            seen[place] = 1;
        }
    }
}

static void a_restart_leaves_it_alone(void **state)
{
    world_t *world = *state;
    int place = kohomai_shared_breaker_find(world->shared, "https://a.example/");
    kohomai_shared_t *larger;

    fail_once(world->shared, place);
    fail_once(world->shared, place);
    assert_ptr_equal(get(world, CHILDREN), world->shared);
    assert_ptr_equal(get(world, CHILDREN / 2), world->shared);
    larger = get(world, 4 * CHILDREN);
    assert_true(is_open(larger, kohomai_shared_breaker_find(larger, "https://a.example/")));
    assert_false(is_open(larger, kohomai_shared_breaker_find(larger, "https://b.example/")));
    assert_ptr_equal(get(world, 4 * CHILDREN), larger);
}

#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(so_many_children_may_hold_a_visitor),
        IN_A_WORLD(one_that_the_parent_has_not_noted_yet_counts),
        IN_A_WORLD(one_that_was_killed_does_not_count),
        IN_A_WORLD(numbers_out_of_range_are_not_counted),
        IN_A_WORLD(a_failure_of_another_process_counts),
        IN_A_WORLD(the_last_place_is_shared),
        IN_A_WORLD(a_restart_leaves_it_alone),
    };
    int failed;

    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
