/* Tests of client, the engine, against a server in this process: how calls end, that each is told once, that nothing
 * which must not be sent twice is, and that many threads may send, abandon and stop at the same time. Times are only ever
 * held against generous bounds. Built plain, with AddressSanitizer and with ThreadSanitizer. */
#include "client.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND apr_time_from_sec(1)
#define MS(n) apr_time_from_msec(n)
#define LONG_S 60 /* until a call that does not end is taken as lost */

/* One call, as its sender sees it. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t told_cond;
    int told; /* how often done ran */
    char body[16];
    kohomai_call_t *call;
} wait_t;

typedef struct {
    apr_pool_t *pool;
    kohomai_client_t *client;
    server_t *server;
} world_t;

static int setup(void **state)
{
    world_t *world = calloc(1, sizeof(*world));

    apr_pool_create(&world->pool, NULL);
    world->client = kohomai_client_create(world->pool);
    world->server = server_start();
    *state = world;
    return world->client ? 0 : -1;
}

/* The pool stops the client, and is the last to know of it. */
static int teardown(void **state)
{
    world_t *world = *state;

    apr_pool_destroy(world->pool);
    server_stop(world->server);
    free(world);
    return 0;
}

static void done_io(void *baton)
{
    wait_t *wait = baton;

    pthread_mutex_lock(&wait->lock);
    wait->told++;
    pthread_cond_signal(&wait->told_cond);
    pthread_mutex_unlock(&wait->lock);
}

static void wait_init(wait_t *wait, int number)
{
    memset(wait, 0, sizeof(*wait));
    pthread_mutex_init(&wait->lock, NULL);
    pthread_cond_init(&wait->told_cond, NULL);
    snprintf(wait->body, sizeof(wait->body), "%d", number);
}

static int wait_told(wait_t *wait)
{
    int told;

    pthread_mutex_lock(&wait->lock);
    told = wait->told;
    pthread_mutex_unlock(&wait->lock);
    return told;
}

/* Whether it was told before patience ended. */
static int wait_done(wait_t *wait)
{
    struct timespec until;
    int told, rc = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LONG_S;
    pthread_mutex_lock(&wait->lock);
    while (!wait->told && rc == 0) {
        rc = pthread_cond_timedwait(&wait->told_cond, &wait->lock, &until);
    }
    told = wait->told;
    pthread_mutex_unlock(&wait->lock);
    return told;
}

static kohomai_order_t order_for(wait_t *wait, const char *url)
{
    kohomai_order_t order = {
        .url = url,
        .authorization = "Authorization: Bearer key",
        .body = wait->body,
        .body_len = strlen(wait->body),
        .answer_max = 65536,
        .connect_timeout = 20 * SECOND,
        .deadline = apr_time_now() + 40 * SECOND,
        .visitor = -1,
    };

    return order;
}

static void send_order(world_t *world, wait_t *wait, const kohomai_order_t *order)
{
    wait->call = kohomai_client_send(world->client, order, done_io, wait);
}

/* Sends a number to a path and waits. The reply is valid until the call is released. */
static const kohomai_reply_t *ask(world_t *world, wait_t *wait, int number, const char *path, int once)
{
    char url[256];
    kohomai_order_t order;

    wait_init(wait, number);
    order = order_for(wait, server_url(world->server, path, url));
    order.once = once;
    send_order(world, wait, &order);
    assert_int_equal(wait_done(wait), 1);
    return kohomai_call_reply(wait->call);
}

static void sleep_ms(int ms)
{
    usleep((unsigned)ms * 1000);
}

static int eventually(int (*is)(void *), void *baton)
{
    int i;

    for (i = 0; i < LONG_S * 100 && !is(baton); i++) {
        sleep_ms(10);
    }
    return is(baton);
}

/* ---- how a call ends ---- */

static void an_answer_comes_whole(void **state)
{
    wait_t wait;
    const kohomai_reply_t *reply = ask(*state, &wait, 17, "/echo", 0);

    assert_int_equal(reply->fate, KOHOMAI_ANSWERED);
    assert_int_equal(reply->status, 200);
    assert_int_equal(reply->maybe_sent, 1);
    assert_int_equal(reply->body_len, 2);
    assert_memory_equal(reply->body, "17", 2);
    kohomai_call_release(wait.call);
    reply = ask(*state, &wait, 18, "/status/503", 0);
    assert_int_equal(reply->status, 503);
    assert_int_equal(reply->retry_after, 7);
    assert_int_equal(reply->body_len, 0);
    kohomai_call_release(wait.call);
    reply = ask(*state, &wait, 19, "/drip", 0);
    assert_int_equal(reply->retry_after, 0); /* not the one of the call before */
    assert_memory_equal(reply->body, "abc", 3);
    kohomai_call_release(wait.call);
}

static void a_long_answer_is_refused(void **state)
{
    static const struct { const char *path; kohomai_fate_e fate; } rows[] = {
        {"/bytes/100", KOHOMAI_ANSWERED}, {"/bytes/101", KOHOMAI_BROKEN},
        {"/head/50000", KOHOMAI_ANSWERED}, {"/head/150000", KOHOMAI_BROKEN},
        {"/cut", KOHOMAI_BROKEN}, {"/bytes/0", KOHOMAI_ANSWERED},
    };
    world_t *world = *state;
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char url[256];
        wait_t wait;
        kohomai_order_t order;

        wait_init(&wait, (int)i);
        order = order_for(&wait, server_url(world->server, rows[i].path, url));
        order.answer_max = 100;
        send_order(world, &wait, &order);
        assert_int_equal(wait_done(&wait), 1);
        assert_int_equal(kohomai_call_reply(wait.call)->fate, rows[i].fate);
        kohomai_call_release(wait.call);
    }
}

static int port_of_nobody(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    bind(fd, (struct sockaddr *)&address, len);
    getsockname(fd, (struct sockaddr *)&address, &len);
    close(fd);
    return ntohs(address.sin_port);
}

/* Either kind of call, with a handle that has served before: what it left behind must not count. */
static void without_a_connection_nothing_was_sent(void **state)
{
    char url[256];
    int once;

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/echo", port_of_nobody());
    for (once = 0; once <= 1; once++) {
        wait_t wait;
        kohomai_order_t order;

        assert_int_equal(ask(*state, &wait, 1, "/echo", once)->maybe_sent, 1);
        kohomai_call_release(wait.call);
        wait_init(&wait, 1);
        order = order_for(&wait, url);
        order.once = once;
        send_order(*state, &wait, &order);
        assert_int_equal(wait_done(&wait), 1);
        assert_int_equal(kohomai_call_reply(wait.call)->fate, KOHOMAI_UNREACHABLE);
        assert_int_equal(kohomai_call_reply(wait.call)->maybe_sent, 0);
        kohomai_call_release(wait.call);
    }
}

static void a_call_ends_at_its_deadline(void **state)
{
    world_t *world = *state;
    static const char *const paths[] = {"/hang", "/drip", "/slow/2000"};
    size_t i;

    for (i = 0; i < 6; i++) {
        apr_time_t began = apr_time_now();
        char url[256];
        wait_t wait;
        kohomai_order_t order;

        wait_init(&wait, (int)i);
        order = order_for(&wait, server_url(world->server, paths[i / 2], url));
        order.once = i % 2;
        order.deadline = began + MS(300);
        send_order(world, &wait, &order);
        assert_int_equal(wait_done(&wait), 1);
        assert_int_equal(kohomai_call_reply(wait.call)->fate, KOHOMAI_TIMED_OUT);
        assert_int_equal(kohomai_call_reply(wait.call)->maybe_sent, 1);
        assert_string_equal(kohomai_call_reply(wait.call)->detail, "the API did not answer within KohomaiTimeout");
        assert_true(apr_time_now() - began >= MS(299));
        kohomai_call_release(wait.call);
    }
}

/* The answer would have come before libcurl's own time-out, which is a second behind ours and can be lost. One machine that
 * stands still just then proves nothing, but not ten times in a row. */
static int ends_before_an_answer(world_t *world, const char *path, int deadline_ms)
{
    int i;

    for (i = 0; i < 10; i++) {
        char url[256];
        wait_t wait;
        kohomai_order_t order;
        kohomai_fate_e fate;

        wait_init(&wait, i);
        order = order_for(&wait, server_url(world->server, path, url));
        order.deadline = apr_time_now() + MS(deadline_ms);
        send_order(world, &wait, &order);
        assert_int_equal(wait_done(&wait), 1);
        fate = kohomai_call_reply(wait.call)->fate;
        kohomai_call_release(wait.call);
        if (fate == KOHOMAI_TIMED_OUT) {
            return 1;
        }
    }
    return 0;
}

static void the_ceiling_is_ours_for_quick_calls_and_slow_ones(void **state)
{
    assert_true(ends_before_an_answer(*state, "/slow/900", 100));
    assert_true(ends_before_an_answer(*state, "/slow/2200", 1400)); /* its visitor is watched by then */
}

static void without_time_left_nothing_is_sent(void **state)
{
    world_t *world = *state;
    char url[256];
    wait_t wait;
    kohomai_order_t order;

    wait_init(&wait, 77);
    order = order_for(&wait, server_url(world->server, "/echo", url));
    order.deadline = apr_time_now() - 1;
    send_order(world, &wait, &order);
    assert_int_equal(wait_done(&wait), 1);
    assert_int_equal(kohomai_call_reply(wait.call)->fate, KOHOMAI_TIMED_OUT);
    assert_int_equal(kohomai_call_reply(wait.call)->maybe_sent, 0);
    kohomai_call_release(wait.call);
    wait_init(&wait, 77);
    order.not_before = apr_time_now() + MS(300);
    order.deadline = order.not_before - MS(100);
    order.body = wait.body;
    send_order(world, &wait, &order);
    assert_int_equal(wait_done(&wait), 1);
    assert_int_equal(kohomai_call_reply(wait.call)->fate, KOHOMAI_TIMED_OUT);
    assert_int_equal(server_seen(world->server, 77), 0);
    kohomai_call_release(wait.call);
}

/* ---- when ---- */

/* Whether they arrive in the order of their times. On a machine that stands still for 200 ms they may not, since two of them
 * are due at once then. */
static int arrive_in_order(world_t *world, int before)
{
    static const int delays[] = {400, 600, 200, 0, 800};
    static const int order_of[] = {3, 2, 0, 1, 4};
    apr_time_t began = apr_time_now();
    char url[256];
    wait_t waits[5];
    int i, in_order = 1;

    server_url(world->server, "/echo", url);
    for (i = 0; i < 5; i++) {
        kohomai_order_t order;

        wait_init(&waits[i], before + i);
        order = order_for(&waits[i], url);
        order.not_before = delays[i] ? began + MS(delays[i]) : 0;
        send_order(world, &waits[i], &order);
    }
    for (i = 0; i < 5; i++) {
        int which = order_of[i];

        assert_int_equal(wait_done(&waits[which]), 1);
        assert_true(apr_time_now() - began >= MS(delays[which]) - 1000);
        kohomai_call_release(waits[which].call);
    }
    for (i = 0; i < 5; i++) {
        in_order = in_order && server_arrived(world->server, before + i) == before + order_of[i];
    }
    return in_order;
}

static void calls_go_out_in_the_order_of_their_times(void **state)
{
    int tries = 0;

    while (!arrive_in_order(*state, 5 * tries)) {
        assert_true(++tries < 20);
    }
}

/* A nap is a call that nobody sends. */
static void a_nap_ends_at_its_time_and_sends_nothing(void **state)
{
    static const int delays[] = {200, 0, 100, -50};
    world_t *world = *state;
    apr_time_t began = apr_time_now();
    wait_t naps[4], wait;
    int i;

    for (i = 0; i < 4; i++) {
        kohomai_order_t order = {.visitor = -1, .not_before = began + MS(delays[i])};

        order.deadline = i % 2 ? began + 40 * SECOND : 0; /* which says nothing about a nap */
        wait_init(&naps[i], i);
        send_order(world, &naps[i], &order);
    }
    assert_int_equal(ask(world, &wait, 7, "/echo", 0)->fate, KOHOMAI_ANSWERED);
    kohomai_call_release(wait.call);
    for (i = 0; i < 4; i++) {
        assert_int_equal(wait_done(&naps[i]), 1);
        assert_true(delays[i] < 100 || apr_time_now() - began >= MS(delays[i]) - 1000);
        assert_int_equal(kohomai_call_reply(naps[i].call)->fate, KOHOMAI_TIMED_OUT);
        assert_int_equal(kohomai_call_reply(naps[i].call)->maybe_sent, 0);
        assert_int_equal(wait_told(&naps[i]), 1);
        kohomai_call_release(naps[i].call);
    }
    assert_int_equal(server_arrived(world->server, 0), 7);
    assert_int_equal(server_seen(world->server, 0), 0);
}

/* ---- connections ---- */

static void connections_are_used_again(void **state)
{
    world_t *world = *state;
    int i;

    for (i = 0; i < 200; i++) {
        wait_t wait;

        assert_int_equal(ask(world, &wait, i, "/echo", i % 2)->fate, KOHOMAI_ANSWERED);
        kohomai_call_release(wait.call);
    }
    assert_int_equal(server_accepted(world->server), 1);
}

/* What may go out only once does not go out on a connection that was idle for seconds, which the server may be closing. */
static void what_must_go_out_once_takes_no_idle_connection(void **state)
{
    world_t *world = *state;
    wait_t wait;
    int i;

    kohomai_call_release((ask(world, &wait, 2, "/echo", 0), wait.call));
    sleep_ms(3200);
    for (i = 0; i < 2; i++) { /* the other kind does */
        assert_int_equal(ask(world, &wait, i, "/echo", i)->fate, KOHOMAI_ANSWERED);
        kohomai_call_release(wait.call);
        assert_int_equal(server_accepted(world->server), 1 + i);
        sleep_ms(i ? 0 : 3200);
    }
}

/* The server has read all of it on a connection that was used before, and closes: libcurl would send it again. */
static void what_must_go_out_once_does(void **state)
{
    world_t *world = *state;
    int i;

    for (i = 0; i < 40; i += 2) {
        wait_t wait;
        const kohomai_reply_t *reply;

        kohomai_call_release((ask(world, &wait, i, "/die/1", 1), wait.call));
        reply = ask(world, &wait, i + 1, "/die/1", 1);
        assert_int_equal(reply->fate, KOHOMAI_BROKEN);
        assert_int_equal(reply->maybe_sent, 1);
        assert_string_equal(reply->detail, "the API closed the connection before its answer was there");
        kohomai_call_release(wait.call);
        assert_int_equal(server_seen(world->server, i), 1);
        assert_int_equal(server_seen(world->server, i + 1), 1);
    }
}

static void what_may_be_repeated_is(void **state)
{
    world_t *world = *state;
    int i;

    for (i = 0; i < 20; i++) {
        wait_t wait;

        const kohomai_reply_t *reply = ask(world, &wait, i, "/die/1", 0);

        assert_string_equal(reply->detail, "");
        assert_int_equal(reply->fate, KOHOMAI_ANSWERED);
        kohomai_call_release(wait.call);
    }
}

/* All kept connections have died unnoticed, more of them than libcurl tries by itself. */
static void what_may_be_repeated_is_though_every_connection_is_dead(void **state)
{
    enum { DEAD = 24 };
    world_t *world = *state;
    char url[256];
    wait_t waits[DEAD], last;
    int i;

    server_url(world->server, "/die-late/1", url);
    for (i = 0; i < DEAD; i++) {
        kohomai_order_t order;

        wait_init(&waits[i], i);
        order = order_for(&waits[i], url);
        send_order(world, &waits[i], &order);
    }
    for (i = 0; i < DEAD; i++) {
        assert_int_equal(wait_done(&waits[i]), 1);
        assert_int_equal(kohomai_call_reply(waits[i].call)->fate, KOHOMAI_ANSWERED);
        kohomai_call_release(waits[i].call);
    }
    assert_int_equal(ask(world, &last, DEAD, "/die-late/1", 0)->fate, KOHOMAI_ANSWERED);
    kohomai_call_release(last.call);
}

/* It closes after each answer, unannounced, at about the time when the next call comes: that one goes out again, ends as
 * broken, or finds out in time; but it never arrives twice. */
static void a_connection_that_closes_meanwhile_doubles_nothing(void **state)
{
    world_t *world = *state;
    int i, answered = 0;

    for (i = 0; i < 300; i++) {
        wait_t wait;
        const kohomai_reply_t *reply = ask(world, &wait, i, "/close", 1);

        answered += reply->fate == KOHOMAI_ANSWERED;
        assert_true(reply->fate == KOHOMAI_ANSWERED || (reply->fate == KOHOMAI_BROKEN && reply->maybe_sent));
        assert_true(server_seen(world->server, i) <= 1);
        assert_true(reply->fate != KOHOMAI_ANSWERED || server_seen(world->server, i) == 1);
        kohomai_call_release(wait.call);
    }
    assert_true(answered > 0);
}

/* ---- who does not wait any more ---- */

static int nobody_is_connected(void *server)
{
    return server_open(server) == 0;
}

static int has_arrived(void *baton)
{
    return server_seen(((void **)baton)[0], *(int *)((void **)baton)[1]) > 0;
}

static void wait_for_arrival(world_t *world, int number)
{
    void *both[] = {world->server, &number};

    assert_true(eventually(has_arrived, both));
}

static void an_abandoned_call_is_cancelled(void **state)
{
    world_t *world = *state;
    char url[256];
    wait_t waits[20];
    int i;

    server_url(world->server, "/hang", url);
    for (i = 0; i < 20; i++) {
        kohomai_order_t order;

        wait_init(&waits[i], i);
        order = order_for(&waits[i], url);
        order.not_before = i % 2 ? apr_time_now() + 30 * SECOND : 0;
        send_order(world, &waits[i], &order);
    }
    for (i = 0; i < 20; i += 2) {
        wait_for_arrival(world, i);
    }
    for (i = 0; i < 20; i++) {
        kohomai_call_abandon(waits[i].call);
        assert_int_equal(wait_done(&waits[i]), 1);
    }
    assert_true(eventually(nobody_is_connected, world->server));
    for (i = 1; i < 20; i += 2) {
        assert_int_equal(server_seen(world->server, i), 0);
    }
}

static void an_abandoned_call_that_may_have_been_sent_goes_on(void **state)
{
    world_t *world = *state;
    char url[256];
    wait_t wait;
    kohomai_order_t order;

    wait_init(&wait, 5);
    order = order_for(&wait, server_url(world->server, "/slow/700", url));
    order.once = 1;
    send_order(world, &wait, &order);
    wait_for_arrival(world, 5);
    kohomai_call_abandon(wait.call);
    assert_int_equal(wait_told(&wait), 0);
    assert_int_equal(wait_done(&wait), 1);
    assert_int_equal(server_open(world->server), 1); /* it got its answer, and the connection is kept */
}

static void a_visitor_who_leaves_ends_the_call(void **state)
{
    world_t *world = *state;
    char url[256];
    wait_t wait, once;
    kohomai_order_t order;
    int pair[2], other[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
    wait_init(&wait, 1);
    wait_init(&once, 2);
    order = order_for(&wait, server_url(world->server, "/hang", url));
    order.visitor = pair[0];
    send_order(world, &wait, &order);
    order.body = once.body;
    order.visitor = other[0];
    order.once = 1;
    order.deadline = apr_time_now() + 4 * SECOND;
    send_order(world, &once, &order);
    wait_for_arrival(world, 1);
    wait_for_arrival(world, 2);
    close(pair[1]);
    close(other[1]);
    assert_int_equal(wait_done(&wait), 1);
    assert_int_equal(kohomai_call_reply(wait.call)->fate, KOHOMAI_CANCELLED);
    assert_int_equal(wait_done(&once), 1);
    assert_int_equal(kohomai_call_reply(once.call)->fate, KOHOMAI_TIMED_OUT);
    kohomai_call_release(wait.call);
    kohomai_call_release(once.call);
    close(pair[0]);
    close(other[0]);
}

/* A visitor's descriptor may get a new owner as soon as the call is abandoned; whoever has its number then is still watched. */
static void an_abandoned_visitor_takes_nobody_along(void **state)
{
    world_t *world = *state;
    char url[256], slow[256];
    wait_t first, second;
    kohomai_order_t order;
    int pair[2], next[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    wait_init(&first, 1);
    order = order_for(&first, server_url(world->server, "/slow/2500", slow));
    order.visitor = pair[0];
    order.once = 1;
    send_order(world, &first, &order);
    wait_for_arrival(world, 1);
    sleep_ms(1300); /* it is watched now */
    kohomai_call_abandon(first.call);
    sleep_ms(100);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, next), 0);
    assert_int_equal(dup2(next[0], pair[0]), pair[0]);
    wait_init(&second, 2);
    order = order_for(&second, server_url(world->server, "/hang", url));
    order.visitor = pair[0];
    order.deadline = apr_time_now() + 20 * SECOND;
    send_order(world, &second, &order);
    assert_int_equal(wait_done(&first), 1);
    sleep_ms(1500);
    close(next[1]);
    assert_int_equal(wait_done(&second), 1);
    assert_int_equal(kohomai_call_reply(second.call)->fate, KOHOMAI_CANCELLED);
    kohomai_call_release(second.call);
    close(pair[0]);
    close(pair[1]);
    close(next[0]);
}

/* Whether any epoll of this process knows a descriptor, as the system tells it. */
static int is_watched(int fd)
{
    char pattern[64], line[256];
    int found = 0;
    FILE *lines = popen("cat /proc/$PPID/fdinfo/*", "r");

    assert_non_null(lines);
    snprintf(pattern, sizeof(pattern), "tfd: %8d ", fd);
    while (fgets(line, sizeof(line), lines)) {
        found |= strncmp(line, pattern, strlen(pattern)) == 0;
    }
    pclose(lines);
    return found;
}

typedef struct {
    pthread_mutex_t lock;
    atomic_int is_there;
} barrier_t;

static void done_at_a_barrier_io(void *baton)
{
    barrier_t *barrier = baton;

    atomic_store(&barrier->is_there, 1);
    pthread_mutex_lock(&barrier->lock);
    pthread_mutex_unlock(&barrier->lock);
}

static int is_at_barrier(void *barrier)
{
    return atomic_load(&((barrier_t *)barrier)->is_there);
}

/* Not when the I/O thread comes to it: it may meet the number again before that, as that of a call's own connection. */
static void an_abandoned_visitor_is_let_go_of_at_once(void **state)
{
    world_t *world = *state;
    barrier_t barrier = {.lock = PTHREAD_MUTEX_INITIALIZER};
    kohomai_order_t order, nap = {.visitor = -1};
    kohomai_call_t *busy;
    char url[256];
    wait_t wait;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    wait_init(&wait, 1);
    order = order_for(&wait, server_url(world->server, "/hang", url));
    order.visitor = pair[0];
    send_order(world, &wait, &order);
    wait_for_arrival(world, 1);
    sleep_ms(1300);
    assert_true(is_watched(pair[0]));
    pthread_mutex_lock(&barrier.lock);
    busy = kohomai_client_send(world->client, &nap, done_at_a_barrier_io, &barrier);
    assert_true(eventually(is_at_barrier, &barrier));
    kohomai_call_abandon(wait.call);
    assert_false(is_watched(pair[0]));
    assert_int_equal(wait_told(&wait), 0);
    pthread_mutex_unlock(&barrier.lock);
    assert_int_equal(wait_done(&wait), 1);
    kohomai_call_release(busy);
    close(pair[0]);
    close(pair[1]);
}

/* A call that was watched, and had to be sent again, is soon another visitor's. */
static void a_visitor_of_a_call_that_was_repeated_takes_nobody_along(void **state)
{
    enum { DEAD = 12 };
    world_t *world = *state;
    char dying[256], slow[256];
    wait_t waits[DEAD], first, second;
    kohomai_order_t order;
    int pair[2], i;

    server_url(world->server, "/die-slowly/1", dying);
    for (i = 0; i < DEAD; i++) {
        wait_init(&waits[i], i);
        order = order_for(&waits[i], dying);
        send_order(world, &waits[i], &order);
    }
    for (i = 0; i < DEAD; i++) {
        assert_int_equal(wait_done(&waits[i]), 1);
        kohomai_call_release(waits[i].call);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    wait_init(&first, DEAD);
    order = order_for(&first, dying);
    order.visitor = pair[0];
    send_order(world, &first, &order);
    assert_int_equal(wait_done(&first), 1);
    assert_int_equal(kohomai_call_reply(first.call)->fate, KOHOMAI_ANSWERED);
    kohomai_call_release(first.call);
    sleep_ms(100);
    wait_init(&second, DEAD + 1);
    order = order_for(&second, server_url(world->server, "/slow/2500", slow));
    send_order(world, &second, &order);
    assert_ptr_equal(second.call, first.call);
    sleep_ms(1500);
    close(pair[1]);
    assert_int_equal(wait_done(&second), 1);
    assert_int_equal(kohomai_call_reply(second.call)->fate, KOHOMAI_ANSWERED);
    kohomai_call_release(second.call);
    close(pair[0]);
}

/* ---- the end ---- */

static void a_client_that_never_called_stops(void **state)
{
    world_t *world = *state;
    wait_t wait;

    kohomai_client_stop(world->client);
    kohomai_client_stop(world->client);
    assert_int_equal(ask(world, &wait, 1, "/echo", 0)->fate, KOHOMAI_STOPPED);
    assert_int_equal(kohomai_call_reply(wait.call)->maybe_sent, 0);
    kohomai_call_release(wait.call);
    assert_int_equal(server_seen(world->server, 1), 0);
}

static void whoever_waits_is_told_at_the_stop(void **state)
{
    enum { CALLS = 90 };
    static const char *const paths[] = {"/hang", "/slow/1000", "/echo"};
    world_t *world = *state;
    wait_t *waits = calloc(CALLS, sizeof(*waits));
    apr_time_t began;
    int i;

    for (i = 0; i < CALLS; i++) {
        char url[256];
        kohomai_order_t order;

        wait_init(&waits[i], i);
        order = order_for(&waits[i], server_url(world->server, paths[i % 3], url));
        order.once = i % 2;
        order.not_before = i % 5 == 0 ? apr_time_now() + 30 * SECOND : 0;
        send_order(world, &waits[i], &order);
    }
    began = apr_time_now();
    kohomai_client_stop(world->client);
    assert_true(apr_time_now() - began < 20 * SECOND);
    for (i = 0; i < CALLS; i++) {
        assert_int_equal(wait_told(&waits[i]), 1);
        assert_true(kohomai_call_reply(waits[i].call)->fate == KOHOMAI_STOPPED ||
                    kohomai_call_reply(waits[i].call)->fate == KOHOMAI_ANSWERED);
        kohomai_call_release(waits[i].call);
    }
    free(waits);
}

/* ---- many ---- */

typedef struct {
    world_t *world;
    int from, count, wrong;
    atomic_int *told, *once;
    pthread_t thread;
} crowd_t;

static void run_crowd(crowd_t *crowd, int threads, void *(*run)(void *))
{
    int i;

    for (i = 0; i < threads; i++) {
        assert_int_equal(pthread_create(&crowd[i].thread, NULL, run, &crowd[i]), 0);
    }
}

static int join_crowd(crowd_t *crowd, int threads)
{
    int i, wrong = 0;

    for (i = 0; i < threads; i++) {
        pthread_join(crowd[i].thread, NULL);
        wrong += crowd[i].wrong;
    }
    return wrong;
}

static void *echo_many(void *baton)
{
    crowd_t *crowd = baton;
    char url[256];
    int i;

    server_url(crowd->world->server, "/echo", url);
    for (i = crowd->from; i < crowd->from + crowd->count; i++) {
        wait_t wait;
        kohomai_order_t order;
        const kohomai_reply_t *reply;

        wait_init(&wait, i);
        order = order_for(&wait, url);
        order.once = i % 2;
        wait.call = kohomai_client_send(crowd->world->client, &order, done_io, &wait);
        if (wait_done(&wait) != 1) {
            crowd->wrong++;
            return NULL;
        }
        reply = kohomai_call_reply(wait.call);
        crowd->wrong += reply->fate != KOHOMAI_ANSWERED || reply->body_len != strlen(wait.body) ||
                        memcmp(reply->body, wait.body, reply->body_len) != 0;
        kohomai_call_release(wait.call);
    }
    return NULL;
}

static void ten_thousand_calls_of_sixteen_threads_get_their_own_answers(void **state)
{
    enum { THREADS = 16, EACH = 625 };
    world_t *world = *state;
    crowd_t crowd[THREADS] = {{0}};
    int i;

    for (i = 0; i < THREADS; i++) {
        crowd[i].world = world;
        crowd[i].from = i * EACH;
        crowd[i].count = EACH;
    }
    run_crowd(crowd, THREADS, echo_many);
    assert_int_equal(join_crowd(crowd, THREADS), 0);
    for (i = 0; i < THREADS * EACH; i++) {
        assert_int_equal(server_seen(world->server, i), 1);
    }
    assert_in_range(server_accepted(world->server), 1, THREADS * 4);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which keep back what was freed */

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
    fclose(file);
    return resident;
}

/* What an order holds is gone with its call, not kept with the handle that serves the next one. */
static void four_thousand_calls_keep_no_memory(void **state)
{
    world_t *world = *state;
    char url[256], *line = calloc(1, 5001);
    long before = 0;
    int i;

    memset(line, 'k', 5000);
    memcpy(line, "Authorization: ", 15);
    server_url(world->server, "/echo", url);
    for (i = 0; i < 4200; i++) {
        wait_t wait;
        kohomai_order_t order;

        wait_init(&wait, i);
        order = order_for(&wait, url);
        order.authorization = line;
        send_order(world, &wait, &order);
        assert_int_equal(wait_done(&wait), 1);
        kohomai_call_release(wait.call);
        before = i == 200 ? resident_pages() : before;
    }
    assert_true((resident_pages() - before) * sysconf(_SC_PAGESIZE) < 10 * 1024 * 1024);
    free(line);
}

#define FOUR_THOUSAND_CALLS IN_A_WORLD(four_thousand_calls_keep_no_memory),

#else

#define FOUR_THOUSAND_CALLS

#endif

static void count_io(void *baton)
{
    atomic_fetch_add((atomic_int *)baton, 1);
}

/* Sends and lets go at any time, without ever waiting for an answer. */
static void *abandon_many(void *baton)
{
    static const char *const paths[] = {"/echo", "/hang", "/slow/5", "/die/1", "/cut", "/close", "/bytes/5000"};
    crowd_t *crowd = baton;
    unsigned seed = (unsigned)crowd->from;
    int i;

    for (i = crowd->from; i < crowd->from + crowd->count; i++) {
        char url[256], body[16];
        kohomai_call_t *call;
        kohomai_order_t order = {
            .url = server_url(crowd->world->server, paths[rand_r(&seed) % 7], url),
            .body = body,
            .body_len = (apr_size_t)snprintf(body, sizeof(body), "%d", i),
            .answer_max = 1000,
            .connect_timeout = SECOND,
            .deadline = apr_time_now() + MS(50 + rand_r(&seed) % 500),
            .not_before = rand_r(&seed) % 4 ? 0 : apr_time_now() + MS(rand_r(&seed) % 60),
            .once = (int)(rand_r(&seed) % 2),
            .visitor = -1,
        };

        atomic_store(&crowd->once[i], order.once);
        call = kohomai_client_send(crowd->world->client, &order, count_io, &crowd->told[i]);
        if (rand_r(&seed) % 3 == 0) {
            usleep(rand_r(&seed) % 4000);
        }
        if (rand_r(&seed) % 2) {
            kohomai_call_abandon(call);
        }
        else {
            kohomai_call_release(call);
        }
    }
    return NULL;
}

static int all_told(void *told)
{
    atomic_int *counts = told;
    int i;

    for (i = 0; i < 2400; i++) {
        if (atomic_load(&counts[i]) == 0) {
            return 0;
        }
    }
    return 1;
}

static void abandon_from_all_sides(world_t *world, int stop_early)
{
    enum { THREADS = 8, EACH = 300 };
    crowd_t crowd[THREADS] = {{0}};
    atomic_int *told = calloc(THREADS * EACH, sizeof(*told)), *once = calloc(THREADS * EACH, sizeof(*once));
    int i;

    for (i = 0; i < THREADS; i++) {
        crowd[i].world = world;
        crowd[i].from = i * EACH;
        crowd[i].count = EACH;
        crowd[i].told = told;
        crowd[i].once = once;
    }
    run_crowd(crowd, THREADS, abandon_many);
    if (stop_early) {
        sleep_ms(100);
        kohomai_client_stop(world->client);
    }
    join_crowd(crowd, THREADS);
    assert_true(eventually(all_told, told));
    kohomai_client_stop(world->client); /* nobody is told of anything from here on */
    for (i = 0; i < THREADS * EACH; i++) {
        assert_int_equal(atomic_load(&told[i]), 1);
        assert_true(!atomic_load(&once[i]) || server_seen(world->server, i) <= 1);
    }
    free(told);
    free(once);
}

static void calls_may_be_let_go_of_at_any_time(void **state)
{
    abandon_from_all_sides(*state, 0);
}

static void a_stop_amid_all_that_tells_everybody_once(void **state)
{
    abandon_from_all_sides(*state, 1);
}

#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(an_answer_comes_whole),
        IN_A_WORLD(a_long_answer_is_refused),
        IN_A_WORLD(without_a_connection_nothing_was_sent),
        IN_A_WORLD(a_call_ends_at_its_deadline),
        IN_A_WORLD(the_ceiling_is_ours_for_quick_calls_and_slow_ones),
        IN_A_WORLD(without_time_left_nothing_is_sent),
        IN_A_WORLD(calls_go_out_in_the_order_of_their_times),
        IN_A_WORLD(a_nap_ends_at_its_time_and_sends_nothing),
        IN_A_WORLD(connections_are_used_again),
        IN_A_WORLD(what_must_go_out_once_takes_no_idle_connection),
        IN_A_WORLD(what_must_go_out_once_does),
        IN_A_WORLD(what_may_be_repeated_is),
        IN_A_WORLD(what_may_be_repeated_is_though_every_connection_is_dead),
        IN_A_WORLD(a_connection_that_closes_meanwhile_doubles_nothing),
        IN_A_WORLD(an_abandoned_call_is_cancelled),
        IN_A_WORLD(an_abandoned_call_that_may_have_been_sent_goes_on),
        IN_A_WORLD(a_visitor_who_leaves_ends_the_call),
        IN_A_WORLD(an_abandoned_visitor_takes_nobody_along),
        IN_A_WORLD(an_abandoned_visitor_is_let_go_of_at_once),
        IN_A_WORLD(a_visitor_of_a_call_that_was_repeated_takes_nobody_along),
        IN_A_WORLD(a_client_that_never_called_stops),
        IN_A_WORLD(whoever_waits_is_told_at_the_stop),
        IN_A_WORLD(ten_thousand_calls_of_sixteen_threads_get_their_own_answers),
        FOUR_THOUSAND_CALLS
        IN_A_WORLD(calls_may_be_let_go_of_at_any_time),
        IN_A_WORLD(a_stop_amid_all_that_tells_everybody_once),
    };
    int failed;

    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
