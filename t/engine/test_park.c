/* Tests of park with an MPM, a core and a visitor of their own: what httpd does in some order by chance is done here in
 * every order on purpose. Nothing is held against a clock: what must not wait would wait for ever. Built plain, with
 * AddressSanitizer and with ThreadSanitizer. */
#include "park.h"
#include "kohomai.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ap_mpm.h>
#include <apr_general.h>
#include <apr_portable.h>
#include <dirent.h>
#include <fcntl.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_request.h>
#include <poll.h>
#include <pthread.h>
#include <scoreboard.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#if AP_MODULE_MAGIC_AT_LEAST(20120211, 137)

module kohomai_module = {.module_index = 0};

/* One connection with one request on it, and what httpd was told about them. */
typedef struct {
    apr_pool_t *pool;
    kohomai_park_t *park;
    conn_rec c;
    conn_state_t cs;
    request_rec r;
    void *conn_config[1];
    apr_socket_t *socket;
    int visitor, browser;     /* the two ends of the visitor's connection */
    kohomai_ticket_t *ticket; /* of the wait that is under way */
    int wake_at_once;         /* between the wait and our hook's look at it */
    int waits_more;           /* how often resume waits once more */
    int waker_comes;          /* a thread wakes whoever waits, a little later */
    int waker_hurries;        /* a thread wakes whoever waits, at some moment */
    pthread_t wakers[3];
    int waking; /* how many of them there are */
    int story_says;           /* what resume and give_up return */
    int fixups_say;
    int more_to_read; /* the pipeline goes on */
    int waited;       /* what the last park_wait returned */
    int resumed, given_up, dropped, died, finished, fixups, handlers;
    int descriptor_seen; /* by the story */
    int busy;            /* by the scoreboard */
    worker_score place;  /* of the thread, on the scoreboard */
} site_t;

static site_t *site; /* of the test that runs */
static int mpm_state, mpm_can_wait, mpm_threads;

/* ---- what park.c wants of httpd ---- */

apr_status_t ap_mpm_query(int code, int *result)
{
    *result = code == AP_MPMQ_MPM_STATE ? mpm_state : code == AP_MPMQ_MAX_THREADS ? mpm_threads : mpm_can_wait;
    return APR_SUCCESS;
}

apr_socket_t *ap_get_conn_socket(conn_rec *c)
{
    (void)c;
    return site->socket;
}

worker_score *ap_get_scoreboard_worker(ap_sb_handle_t *sbh)
{
    return sbh ? &site->place : NULL;
}

int ap_update_child_status(ap_sb_handle_t *sbh, int status, request_rec *r)
{
    (void)sbh;
    site->busy = r && status == SERVER_BUSY_WRITE;
    return 0;
}

void ap_die(int status, request_rec *r)
{
    (void)r;
    site->died = status;
}

void ap_process_request_after_handler(request_rec *r)
{
    site->finished++;
    r->connection->cs->state =
        r->connection->keepalive == AP_CONN_CLOSE && !site->more_to_read ? CONN_STATE_LINGER : CONN_STATE_WRITE_COMPLETION;
}

int ap_run_fixups(request_rec *r)
{
    (void)r;
    site->fixups++;
    return site->fixups_say;
}

int ap_invoke_handler(request_rec *r)
{
    (void)r;
    site->handlers++;
    return OK;
}

static int descriptor(void)
{
    apr_os_sock_t fd = -1;

    apr_os_sock_get(&fd, site->socket);
    return fd;
}

static void *wake_now(void *ticket)
{
    kohomai_park_wake(ticket);
    return NULL;
}

static void *wake_later(void *ticket)
{
    usleep(50000);
    return wake_now(ticket);
}

/* No waker outlives the test: the car park is not to be cleared under one. */
static void join_wakers(void)
{
    while (site->waking) {
        pthread_join(site->wakers[--site->waking], NULL);
    }
}

static void wake_by_thread(kohomai_ticket_t *ticket, void *(*wake)(void *))
{
    assert_int_equal(pthread_create(&site->wakers[site->waking++], NULL, wake, ticket), 0);
}

static kohomai_ticket_t *hold(void)
{
    kohomai_ticket_t *ticket = kohomai_park_hold(site->park);

    if (site->waker_comes || site->waker_hurries) {
        wake_by_thread(ticket, site->waker_comes ? wake_later : wake_now);
    }
    return ticket;
}

static int resume(void *baton);

static int give_up(void *baton)
{
    (void)baton;
    site->given_up++;
    site->descriptor_seen = descriptor();
    kohomai_park_release(site->ticket);
    return site->story_says;
}

static void drop(void *baton)
{
    (void)baton;
    site->dropped++;
    site->descriptor_seen = descriptor();
    kohomai_park_release(site->ticket);
}

static int wait_for_ticket(void)
{
    static const kohomai_story_t story = {.resume = resume, .give_up = give_up, .drop = drop};

    site->waited = kohomai_park_wait(site->ticket, &site->r, &story, site);
    return site->waited;
}

static int resume(void *baton)
{
    (void)baton;
    site->resumed++;
    site->descriptor_seen = descriptor();
    kohomai_park_release(site->ticket);
    if (site->waits_more) {
        site->waits_more--;
        site->ticket = hold();
        if (wait_for_ticket() == SUSPENDED) {
            return SUSPENDED;
        }
        return resume(baton);
    }
    return site->story_says;
}

/* All of httpd's hooks: ours, then the core, which reads a request and runs it as far as it goes. */
int ap_run_process_connection(conn_rec *c)
{
    int rc = kohomai_park_process_connection(c);

    if (rc != DECLINED) {
        return rc;
    }
    c->cs->state = CONN_STATE_HANDLER;
    site->ticket = hold();
    if (wait_for_ticket() == SUSPENDED) {
        c->cs->state = CONN_STATE_SUSPENDED;
        if (site->wake_at_once) {
            kohomai_park_wake(site->ticket);
        }
        return OK;
    }
    resume(site);
    ap_process_request_after_handler(&site->r);
    return OK;
}

/* ---- the event MPM ---- */

static void run_hooks(void)
{
    site->cs.state = CONN_STATE_PROCESSING;
    ap_run_process_connection(&site->c);
}

/* A worker has been given the connection, since its descriptor can be read. */
static void give_to_worker(void)
{
    kohomai_park_resume_connection(&site->c, NULL);
    run_hooks();
}

static int can_be_read(void)
{
    struct pollfd fd = {.fd = descriptor(), .events = POLLIN};

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLIN);
}

static void wait_for_mpm(void)
{
    struct pollfd fd = {.fd = descriptor(), .events = POLLIN};

    assert_int_equal(poll(&fd, 1, -1), 1);
}

static int is_parked(void)
{
    return site->cs.state == CONN_STATE_ASYNC_WAITIO;
}

/* ---- the test's own ---- */

static int setup(void **state)
{
    int pair[2];

    site = calloc(1, sizeof(*site));
    mpm_state = AP_MPMQ_RUNNING;
    mpm_can_wait = 1;
    mpm_threads = 1; /* too few for one to sleep before it parks a visitor */
    apr_pool_create(&site->pool, NULL);
    site->park = kohomai_park_create(site->pool);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    site->visitor = pair[0];
    site->browser = pair[1];
    apr_os_sock_put(&site->socket, &site->visitor, site->pool);
    site->c = (conn_rec){.pool = site->pool, .conn_config = (ap_conf_vector_t *)site->conn_config, .cs = &site->cs, .sbh = site, .keepalive = AP_CONN_KEEPALIVE};
    site->r = (request_rec){.pool = site->pool, .connection = &site->c, .request_time = 12345};
    apr_thread_mutex_create(&site->r.invoke_mtx, APR_THREAD_MUTEX_DEFAULT, site->pool);
    site->story_says = HTTP_MOVED_TEMPORARILY;
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    join_wakers();
    apr_pool_destroy(site->pool);
    close(site->visitor);
    close(site->browser);
    free(site);
    return 0;
}

static void park_one(void)
{
    run_hooks();
    assert_true(is_parked());
    assert_int_equal(site->waited, SUSPENDED);
    assert_int_equal(site->cs.sense, CONN_SENSE_WANT_READ);
    assert_int_not_equal(descriptor(), site->visitor);
    assert_false(can_be_read());
}

static void answered_once(int status)
{
    assert_int_equal(site->resumed, 1);
    assert_int_equal(site->finished, 1);
    assert_int_equal(site->died, status);
    assert_int_equal(site->given_up + site->dropped, 0);
    assert_int_equal(descriptor(), site->visitor);
    assert_int_equal(site->descriptor_seen, site->visitor);
    assert_int_equal(site->cs.state, CONN_STATE_WRITE_COMPLETION);
    assert_int_equal(site->place.start_time, site->r.request_time);
}

static int open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(folder)) {
        count++;
    }
    closedir(folder);
    return count;
}

/* ---- tests ---- */

static void whoever_waits_is_parked_until_woken(void **state)
{
    (void)state;
    park_one();
    assert_int_equal(write(site->browser, "GET", 3), 3); /* the next request of a pipeline wakes nobody */
    assert_false(can_be_read());
    kohomai_park_wake(site->ticket);
    assert_true(can_be_read());
    give_to_worker();
    answered_once(HTTP_MOVED_TEMPORARILY);
    assert_true(site->busy);
    kohomai_park_resume_connection(&site->c, NULL); /* for the next request, with which we have nothing to do */
    assert_int_equal(descriptor(), site->visitor);
    assert_int_not_equal(fcntl(site->visitor, F_GETFD), -1);
}

static void one_who_is_woken_before_the_wait_goes_on(void **state)
{
    (void)state;
    site->ticket = kohomai_park_hold(site->park);
    kohomai_park_wake(site->ticket);
    assert_int_equal(wait_for_ticket(), OK);
    kohomai_park_release(site->ticket);
}

/* The answer comes when the request is suspended, but not parked yet. */
static void a_wake_up_in_between_is_not_lost(void **state)
{
    (void)state;
    site->wake_at_once = 1;
    run_hooks();
    if (is_parked()) {
        assert_true(can_be_read());
        give_to_worker();
    }
    answered_once(HTTP_MOVED_TEMPORARILY);
}

static void a_wake_up_for_nothing_parks_again(void **state)
{
    int i;

    (void)state;
    park_one();
    for (i = 0; i < 3; i++) {
        give_to_worker();
        assert_true(is_parked());
        assert_int_equal(site->resumed, 0);
        assert_int_not_equal(descriptor(), site->visitor);
        assert_false(can_be_read());
    }
    kohomai_park_wake(site->ticket);
    assert_true(can_be_read());
    give_to_worker();
    answered_once(HTTP_MOVED_TEMPORARILY);
}

/* A retry waits like the first try: nobody's thread is held. */
static void one_who_waits_again_is_parked_again(void **state)
{
    int waits;

    (void)state;
    site->waits_more = 2;
    park_one();
    for (waits = 1; waits <= 3; waits++) {
        kohomai_park_wake(site->ticket);
        assert_true(can_be_read());
        give_to_worker(); /* which would not come back if it waited itself */
        assert_int_equal(site->resumed, waits);
        assert_int_equal(site->waited, SUSPENDED);
        assert_int_equal(is_parked(), waits < 3);
    }
    assert_int_equal(site->finished, 1);
    assert_int_equal(descriptor(), site->visitor);
}

/* Tickets come from a store: what they held is neither lost nor left over, however they end. */
static void what_was_used_is_used_again(void **state)
{
    int i, before = 0;

    (void)state;
    for (i = 0; i < 300; i++) {
        park_one();
        site->cs.state = i % 3 == 1 ? CONN_STATE_LINGER : site->cs.state;
        if (i % 3 == 2) {
            site->c.sbh = NULL;
            kohomai_park_wake(site->ticket); /* before, or after it is let go of */
        }
        kohomai_park_resume_connection(&site->c, NULL);
        if (i % 3 != 2) {
            kohomai_park_wake(site->ticket);
        }
        if (i % 3 == 0) {
            run_hooks();
        }
        assert_int_equal(site->resumed + site->given_up + site->dropped, i + 1);
        assert_int_equal(descriptor(), site->visitor);
        site->c.sbh = (void *)site;
        site->c.keepalive = AP_CONN_KEEPALIVE;
        if (i == 10) {
            before = open_descriptors();
        }
    }
    assert_int_equal(open_descriptors(), before);
}

static void when_httpd_gives_up_the_connection_ends(void **state)
{
    int more;

    (void)state;
    for (more = 0; more < 2; more++) {
        site->more_to_read = more;
        site->c.keepalive = AP_CONN_KEEPALIVE;
        park_one();
        site->cs.state = CONN_STATE_LINGER;
        site->story_says = HTTP_GATEWAY_TIME_OUT;
        kohomai_park_resume_connection(&site->c, NULL);
        assert_int_equal(site->given_up, more + 1);
        assert_int_equal(site->finished, more + 1);
        assert_int_equal(site->resumed + site->dropped, 0);
        assert_int_equal(site->died, HTTP_GATEWAY_TIME_OUT);
        assert_int_equal(site->descriptor_seen, site->visitor);
        assert_int_equal(descriptor(), site->visitor);
        assert_int_equal(site->c.keepalive, AP_CONN_CLOSE);
        assert_int_equal(site->cs.state, CONN_STATE_LINGER);
        kohomai_park_wake(site->ticket); /* the answer comes too late */
        assert_int_equal(site->resumed, 0);
    }
}

static void when_the_connection_is_cleared_nothing_is_touched(void **state)
{
    (void)state;
    park_one();
    site->c.sbh = NULL;
    kohomai_park_resume_connection(&site->c, NULL);
    assert_int_equal(site->dropped, 1);
    assert_int_equal(site->resumed + site->given_up + site->finished + site->died, 0);
    assert_int_equal(site->descriptor_seen, site->visitor);
    assert_int_equal(descriptor(), site->visitor);
    kohomai_park_wake(site->ticket);
}

/* httpd may close what it takes for the visitor's socket: then our eventfd's number is soon another's. */
static void a_descriptor_that_httpd_closed_is_given_up(void **state)
{
    uint64_t count = 0;
    int number, own, i;

    (void)state;
    for (i = 0; i < 2; i++) {
        park_one();
        number = descriptor();
        apr_socket_close(site->socket);
        own = eventfd(0, EFD_NONBLOCK);
        if (own != number) {
            assert_int_equal(dup2(own, number), number);
            close(own);
        }
        site->c.sbh = NULL;
        if (i == 0) {
            kohomai_park_stop(site->park);
            kohomai_park_wake(site->ticket);
            kohomai_park_resume_connection(&site->c, NULL);
        }
        else {
            kohomai_park_resume_connection(&site->c, NULL);
            kohomai_park_wake(site->ticket);
        }
        assert_int_equal(site->dropped, 1);
        assert_int_equal(read(number, &count, sizeof(count)), -1); /* nobody wrote to it */
        assert_int_equal(fcntl(site->visitor, F_GETFD), -1);       /* nobody else would close it */
        close(number);
        teardown(NULL);
        setup(state);
    }
}

static void what_the_story_declines_the_site_answers(void **state)
{
    static const struct {
        int fixups, handlers, died;
    } rows[] = {{OK, 1, OK}, {DECLINED, 1, OK}, {HTTP_FORBIDDEN, 0, HTTP_FORBIDDEN}};
    size_t i;
    int lingers;

    for (i = 0; i < 6; i++) {
        lingers = i % 2;
        site->fixups_say = rows[i / 2].fixups;
        site->story_says = DECLINED;
        park_one();
        kohomai_park_wake(site->ticket);
        site->cs.state = lingers ? CONN_STATE_LINGER : site->cs.state;
        kohomai_park_resume_connection(&site->c, NULL);
        if (!lingers) {
            run_hooks();
        }
        assert_int_equal(site->fixups, 1);
        assert_int_equal(site->handlers, rows[i / 2].handlers);
        assert_int_equal(site->died, rows[i / 2].died);
        assert_int_equal(site->finished, 1);
        teardown(NULL);
        setup(state);
    }
}

/* Waits in its thread, without any hook of ours around it, and comes back when it is woken. */
static void waits_outside(const char *why)
{
    site->cs.state = CONN_STATE_HANDLER;
    site->ticket = kohomai_park_hold(site->park);
    wake_by_thread(site->ticket, wake_later);
    if (wait_for_ticket() != OK) {
        fail_msg("%s: it was parked", why);
    }
    kohomai_park_release(site->ticket);
    join_wakers();
}

static void waits_inside(const char *why)
{
    site->resumed = 0;
    site->waker_comes = 1;
    run_hooks();
    site->waker_comes = 0;
    if (site->waited != OK || site->resumed != 1 || descriptor() != site->visitor) {
        fail_msg("%s: it was parked", why);
    }
    join_wakers();
}

static void some_wait_in_their_thread(void **state)
{
    conn_rec other = {0};
    request_rec before = {0};

    (void)state;
    site->r.main = &before;
    waits_inside("a subrequest");
    site->r.main = NULL;
    site->r.prev = &before;
    waits_inside("what a redirect led to");
    site->r.prev = NULL;
    site->c.aborted = 1;
    waits_inside("an aborted connection");
    site->c.aborted = 0;
    site->c.clogging_input_filters = 1;
    waits_inside("a clogged connection");
    site->c.clogging_input_filters = 0;
    mpm_state = AP_MPMQ_STOPPING;
    waits_inside("a child that stops");
    mpm_state = AP_MPMQ_RUNNING;
    waits_outside("a connection that our hook is not about");
    site->c.master = &other;
    waits_inside("a stream of HTTP/2");
    assert_int_equal(kohomai_park_visitor(&site->r), -1);
    site->c.master = NULL;
    assert_int_equal(kohomai_park_visitor(&site->r), site->visitor);
    site->resumed = site->finished = 0;
    park_one(); /* none of these left anything behind */
    kohomai_park_wake(site->ticket);
    give_to_worker();
    answered_once(HTTP_MOVED_TEMPORARILY);
}

static void where_the_mpm_cannot_wait_nobody_is_parked(void **state)
{
    (void)state;
    mpm_can_wait = 0;
    site->park = kohomai_park_create(site->pool);
    waits_inside("an MPM that cannot wait");
}

/* The waker comes at any moment, from another thread. */
static void wake_at_any_moment(int rounds)
{
    int i;

    for (i = 0; i < rounds; i++) {
        site->resumed = site->finished = 0;
        site->waker_hurries = 1;
        run_hooks();
        if (is_parked() && i % 3 == 0) {
            give_to_worker(); /* perhaps for nothing */
        }
        while (is_parked()) {
            wait_for_mpm();
            give_to_worker();
        }
        join_wakers();
        assert_int_equal(site->resumed, 1);
        assert_int_equal(site->finished, 1);
        assert_int_equal(descriptor(), site->visitor);
    }
    site->waker_hurries = 0;
}

static void wakers_that_come_at_any_moment_lose_nobody(void **state)
{
    (void)state;
    wake_at_any_moment(2000);
}

/* With threads to spare one may sleep for a moment first. Whoever is not woken by then is parked all the same, however
 * often that happened before, and whoever is woken meanwhile is not lost. */
static void who_sleeps_first_is_parked_all_the_same(void **state)
{
    int round, i;

    (void)state;
    mpm_threads = 8;
    site->park = kohomai_park_create(site->pool);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 12; i++) {
            site->resumed = site->finished = 0;
            park_one();
            kohomai_park_wake(site->ticket);
            assert_true(can_be_read());
            give_to_worker();
            answered_once(HTTP_MOVED_TEMPORARILY);
        }
        wake_at_any_moment(700);
    }
}

#define AT_A_SITE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AT_A_SITE(whoever_waits_is_parked_until_woken),
        AT_A_SITE(one_who_is_woken_before_the_wait_goes_on),
        AT_A_SITE(a_wake_up_in_between_is_not_lost),
        AT_A_SITE(a_wake_up_for_nothing_parks_again),
        AT_A_SITE(one_who_waits_again_is_parked_again),
        AT_A_SITE(what_was_used_is_used_again),
        AT_A_SITE(when_httpd_gives_up_the_connection_ends),
        AT_A_SITE(when_the_connection_is_cleared_nothing_is_touched),
        AT_A_SITE(a_descriptor_that_httpd_closed_is_given_up),
        AT_A_SITE(what_the_story_declines_the_site_answers),
        AT_A_SITE(some_wait_in_their_thread),
        AT_A_SITE(where_the_mpm_cannot_wait_nobody_is_parked),
        AT_A_SITE(wakers_that_come_at_any_moment_lose_nobody),
        AT_A_SITE(who_sleeps_first_is_parked_all_the_same),
    };
    int failed;

    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}

#else

/* With an older httpd nobody is parked, which t/parking shows. */
int main(void)
{
    puts("1..0 # SKIP httpd before 2.4.63");
    return 0;
}

#endif
