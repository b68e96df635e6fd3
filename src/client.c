/* client: the one engine of a child that talks HTTP: an I/O thread, its connections, its calls.
 * Threads: any, except what has _io_ in its name. Memory: a call belongs to two sides, the sender
 *   and the I/O thread, and goes back to the free list when both have let go of it.
 * Never: sees a request_rec, reads JSON, follows a redirect, or decides what an answer means. */
#include "client.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_PER_WAIT 64
#define IDLE_CONNECTIONS_MAX 1024
#define HEADERS_MAX (64 * 1024) /* bytes of an answer's head; libcurl bounds single lines only */
#define STOP_PATIENCE 2         /* seconds */

struct kohomai_call_t {
    kohomai_call_t *next; /* in the hand-over stack, or in the free list */
    kohomai_call_t *previous_io, *next_io; /* among those under way; I/O thread only */
    kohomai_client_t *client;
    apr_pool_t *pool; /* holds the order's copies; cleared between uses */
    kohomai_order_t order;
    kohomai_reply_t reply;
    kohomai_done_io_fn done;
    void *baton;
    atomic_int holders;
    /* What follows is the I/O thread's. */
    CURL *easy;
    struct curl_slist authorization;
    apr_size_t body_read, headers_read;
    char *answer; /* grows, and is kept for the next use */
    apr_size_t answer_len, answer_size;
    int overflow;
};

struct kohomai_client_t {
    apr_pool_t *pool;
    apr_thread_mutex_t *lock; /* start, stop and the free list */
    kohomai_call_t *free_calls;
    apr_thread_t *thread;
    int broken; /* the thread could not be started */
    int wakeup; /* eventfd */
    _Atomic(kohomai_call_t *) arrivals; /* a stack; the thread takes all at once */
    atomic_int stopping;
    /* What follows is the I/O thread's. */
    int epoll;
    CURLM *multi;
    CURLSH *tls_sessions;
    apr_time_t timer; /* when libcurl wants to be called, by steady_now; 0: never */
    kohomai_call_t *under_way;
};

/* ---- calls ---- */

static kohomai_call_t *call_take(kohomai_client_t *client)
{
    kohomai_call_t *call;

    apr_thread_mutex_lock(client->lock);
    call = client->free_calls;
    if (call) {
        client->free_calls = call->next;
    }
    apr_thread_mutex_unlock(client->lock);
    if (!call) {
        call = calloc(1, sizeof(*call));
        if (!call || apr_pool_create_unmanaged(&call->pool) != APR_SUCCESS) {
            abort(); /* as httpd does when memory is gone */
        }
        call->client = client;
    }
    return call;
}

void kohomai_call_release(kohomai_call_t *call)
{
    kohomai_client_t *client = call->client;

    if (atomic_fetch_sub(&call->holders, 1) > 1) {
        return;
    }
    apr_pool_clear(call->pool);
    apr_thread_mutex_lock(client->lock);
    call->next = client->free_calls;
    client->free_calls = call;
    apr_thread_mutex_unlock(client->lock);
}

const kohomai_reply_t *kohomai_call_reply(const kohomai_call_t *call)
{
    return &call->reply;
}

static void call_fill(kohomai_call_t *call, const kohomai_order_t *order)
{
    apr_pool_t *pool = call->pool;

    call->order = *order;
    call->order.url = apr_pstrdup(pool, order->url);
    call->order.authorization = apr_pstrdup(pool, order->authorization);
    call->order.ca_file = apr_pstrdup(pool, order->ca_file);
    call->order.body = apr_pmemdup(pool, order->body, order->body_len);
    call->reply = (kohomai_reply_t){.fate = KOHOMAI_STOPPED, .body = "", .detail = ""};
    call->body_read = call->headers_read = call->answer_len = 0;
    call->overflow = 0;
}

/* Ends a call: its reply stands, and is the sender's from here on. */
static void call_end_io(kohomai_call_t *call, kohomai_fate_e fate, const char *detail)
{
    call->reply.fate = fate;
    call->reply.detail = detail;
    call->done(call->baton);
    kohomai_call_release(call);
}

/* ---- what libcurl calls back for one transfer ---- */

static size_t on_answer_io(char *bytes, size_t one, size_t len, void *baton)
{
    kohomai_call_t *call = baton;
    apr_size_t needed = call->answer_len + len;

    (void)one;
    if (needed > call->order.answer_max) {
        call->overflow = 1;
        return 0;
    }
    if (needed > call->answer_size) {
        apr_size_t size = needed < 2048 ? 2048 : 2 * needed;
        char *larger = realloc(call->answer, size);

        if (!larger) {
            return 0;
        }
        call->answer = larger;
        call->answer_size = size;
    }
    memcpy(call->answer + call->answer_len, bytes, len);
    call->answer_len = needed;
    return len;
}

static size_t on_header_io(char *line, size_t one, size_t len, void *baton)
{
    static const char name[] = "Retry-After:";
    kohomai_call_t *call = baton;
    apr_size_t i = sizeof(name) - 1;
    int seconds = 0;

    (void)one;
    call->headers_read += len;
    if (call->headers_read > HEADERS_MAX) {
        call->overflow = 1;
        return 0;
    }
    if (len > i && strncasecmp(line, name, i) == 0) {
        for (; i < len && line[i] == ' '; i++) {
        }
        for (; i < len && line[i] >= '0' && line[i] <= '9' && seconds < 100000; i++) {
            seconds = seconds * 10 + (line[i] - '0');
        }
        call->reply.retry_after = seconds;
    }
    return len;
}

static size_t on_body_io(char *room, size_t one, size_t size, void *baton)
{
    kohomai_call_t *call = baton;
    apr_size_t left = call->order.body_len - call->body_read;
    apr_size_t n = left < one * size ? left : one * size;

    memcpy(room, call->order.body + call->body_read, n);
    call->body_read += n;
    call->reply.maybe_sent = 1;
    return n;
}

/* libcurl repeats a request whose reused connection died without an answer. A body that may be
 * read again lets it, one that may not makes it fail instead (CURLE_SEND_FAIL_REWIND). */
static int on_rewind_io(void *baton, curl_off_t offset, int origin)
{
    kohomai_call_t *call = baton;

    if (call->order.once || origin != SEEK_SET || offset < 0 ||
        (apr_size_t)offset > call->order.body_len) {
        return CURL_SEEKFUNC_FAIL;
    }
    call->body_read = (apr_size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- what libcurl calls back for the whole ---- */

/* A clock that nobody sets, for the timer alone. */
static apr_time_t steady_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_make(now.tv_sec, now.tv_nsec / 1000);
}

static int on_socket_io(CURL *easy, curl_socket_t fd, int what, void *baton, void *known)
{
    kohomai_client_t *client = baton;
    struct epoll_event event = {.data.fd = fd};

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(client->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    if (epoll_ctl(client->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0 &&
        epoll_ctl(client->epoll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0) {
        return -1;
    }
    curl_multi_assign(client->multi, fd, client);
    return 0;
}

/* A connection is none of the business of the programs that httpd starts (CGI). */
static curl_socket_t on_open_io(void *baton, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)baton;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int on_timer_io(CURLM *multi, long milliseconds, void *baton)
{
    kohomai_client_t *client = baton;

    (void)multi;
    client->timer = milliseconds < 0 ? 0 : steady_now() + apr_time_from_msec(milliseconds);
    return 0;
}

/* ---- transfers ---- */

/* The options that never change; handles are made once and used again and again. */
static CURL *easy_make_io(kohomai_call_t *call)
{
    CURL *easy = curl_easy_init();

    if (!easy) {
        return NULL;
    }
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* no waiting for a name server at the end */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_SHARE, call->client->tls_sessions);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_io);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_body_io);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind_io);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer_io);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header_io);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    return easy;
}

/* A CA file replaces the system's; libcurl takes NULL for "no CA at all", not for its default. */
static void easy_set_trust_io(kohomai_call_t *call)
{
    const curl_version_info_data *built_in = curl_version_info(CURLVERSION_NOW);
    const char *file = call->order.ca_file;

    curl_easy_setopt(call->easy, CURLOPT_CAINFO, file ? file : built_in->cainfo);
    curl_easy_setopt(call->easy, CURLOPT_CAPATH, file ? NULL : built_in->capath);
}

static void easy_set_io(kohomai_call_t *call, apr_interval_time_t left)
{
    static char type_line[] = "Content-Type: application/json";
    static char accept_line[] = "Accept: application/json";
    static char expect_line[] = "Expect:"; /* no pause before the body */
    static struct curl_slist type = {type_line, NULL}, accept = {accept_line, &type};
    static struct curl_slist expect = {expect_line, &accept};
    apr_interval_time_t connect = call->order.connect_timeout;
    struct curl_slist *headers = &expect;

    if (call->order.authorization) {
        call->authorization.data = (char *)call->order.authorization;
        call->authorization.next = &expect;
        headers = &call->authorization;
    }
    curl_easy_setopt(call->easy, CURLOPT_URL, call->order.url);
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->order.body_len);
    easy_set_trust_io(call);
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)apr_time_as_msec(left) + 1);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)apr_time_as_msec(connect < left ? connect : left) + 1);
}

static void call_start_io(kohomai_client_t *client, kohomai_call_t *call)
{
    apr_interval_time_t left = call->order.deadline - apr_time_now();

    if (atomic_load(&client->stopping)) {
        call_end_io(call, KOHOMAI_STOPPED, "httpd is stopping");
        return;
    }
    if (left <= 0) {
        call_end_io(call, KOHOMAI_TIMED_OUT, "no time was left to send it");
        return;
    }
    if (!call->easy) {
        call->easy = easy_make_io(call);
    }
    if (!call->easy) {
        call_end_io(call, KOHOMAI_STOPPED, "out of memory");
        return;
    }
    easy_set_io(call, left);
    if (curl_multi_add_handle(client->multi, call->easy) != CURLM_OK) {
        call_end_io(call, KOHOMAI_STOPPED, "libcurl refused the call");
        return;
    }
    call->previous_io = NULL;
    call->next_io = client->under_way;
    if (call->next_io) {
        call->next_io->previous_io = call;
    }
    client->under_way = call;
}

static void call_unlink_io(kohomai_client_t *client, kohomai_call_t *call)
{
    if (call->previous_io) {
        call->previous_io->next_io = call->next_io;
    }
    else {
        client->under_way = call->next_io;
    }
    if (call->next_io) {
        call->next_io->previous_io = call->previous_io;
    }
    curl_multi_remove_handle(client->multi, call->easy);
}

static kohomai_fate_e judge_io(const kohomai_call_t *call, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return KOHOMAI_ANSWERED;
    case CURLE_OPERATION_TIMEDOUT:
        return KOHOMAI_TIMED_OUT;
    default:
        return call->reply.maybe_sent ? KOHOMAI_BROKEN : KOHOMAI_UNREACHABLE;
    }
}

static void call_finish_io(kohomai_client_t *client, kohomai_call_t *call, CURLcode code)
{
    const char *detail = code == CURLE_OK ? "" : curl_easy_strerror(code);
    long status = 0;

    if (call->overflow) {
        detail = "the answer is too large";
    }
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    call->reply.status = code == CURLE_OK ? (int)status : 0;
    call->reply.body = call->answer_len ? call->answer : "";
    call->reply.body_len = call->answer_len;
    call_unlink_io(client, call);
    call_end_io(call, judge_io(call, code), detail);
}

/* ---- the thread ---- */

static void wake(kohomai_client_t *client)
{
    uint64_t one = 1;

    while (write(client->wakeup, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

/* Takes what senders have stacked up, oldest first. Safe on any thread once stopping is set: each
 * call is taken by exactly one, and is only told that it is too late. */
static void take_arrivals_io(kohomai_client_t *client)
{
    kohomai_call_t *stack = atomic_exchange(&client->arrivals, NULL), *queue = NULL, *next;

    for (; stack; stack = next) {
        next = stack->next;
        stack->next = queue;
        queue = stack;
    }
    for (; queue; queue = next) {
        next = queue->next;
        call_start_io(client, queue);
    }
}

static void take_results_io(kohomai_client_t *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left))) {
        CURLcode code = message->data.result;
        char *call = NULL;

        if (message->msg == CURLMSG_DONE) {
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
            call_finish_io(client, (kohomai_call_t *)call, code);
        }
    }
}

static int wait_milliseconds_io(const kohomai_client_t *client)
{
    apr_interval_time_t left;

    if (!client->timer) {
        return -1;
    }
    left = client->timer - steady_now();
    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

static void handle_event_io(kohomai_client_t *client, const struct epoll_event *event)
{
    int action = 0, running;
    uint64_t count;

    if (event->data.fd == client->wakeup) {
        (void)!read(client->wakeup, &count, sizeof(count));
        return;
    }
    action |= event->events & EPOLLIN ? CURL_CSELECT_IN : 0;
    action |= event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
    action |= event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
    curl_multi_socket_action(client->multi, event->data.fd, action, &running);
}

static void turn_io(kohomai_client_t *client)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    int n = epoll_wait(client->epoll, events, EVENTS_PER_WAIT, wait_milliseconds_io(client));
    int i, running;

    for (i = 0; i < n; i++) {
        handle_event_io(client, &events[i]);
    }
    take_arrivals_io(client);
    if (client->timer && client->timer <= steady_now()) {
        client->timer = 0;
        curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    take_results_io(client);
}

static int open_io(kohomai_client_t *client)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = client->wakeup};

    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    client->multi = curl_multi_init();
    client->tls_sessions = curl_share_init();
    if (client->epoll < 0 || !client->multi || !client->tls_sessions) {
        return 0;
    }
    curl_share_setopt(client->tls_sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket_io);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer_io);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS_MAX);
    return epoll_ctl(client->epoll, EPOLL_CTL_ADD, client->wakeup, &event) == 0;
}

static void close_io(kohomai_client_t *client)
{
    while (client->under_way) {
        kohomai_call_t *call = client->under_way;

        call_unlink_io(client, call);
        call_end_io(call, KOHOMAI_STOPPED, "httpd is stopping");
    }
    apr_thread_mutex_lock(client->lock);
    for (kohomai_call_t *call = client->free_calls; call; call = call->next) {
        curl_easy_cleanup(call->easy);
        call->easy = NULL;
    }
    apr_thread_mutex_unlock(client->lock);
    curl_multi_cleanup(client->multi);
    curl_share_cleanup(client->tls_sessions);
    close(client->epoll);
}

static void *APR_THREAD_FUNC run_io(apr_thread_t *thread, void *baton)
{
    kohomai_client_t *client = baton;
    int opened;
    sigset_t all;

    (void)thread;
    sigfillset(&all); /* httpd's signals are for its own threads */
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    opened = open_io(client);
    if (!opened) {
        atomic_store(&client->stopping, 1);
    }
    while (!atomic_load(&client->stopping)) {
        turn_io(client);
    }
    take_arrivals_io(client);
    close_io(client);
    return NULL;
}

/* ---- from outside ---- */

static int start_thread(kohomai_client_t *client)
{
    int ready;

    apr_thread_mutex_lock(client->lock);
    if (!client->thread && !client->broken && !atomic_load(&client->stopping)) {
        client->broken =
            apr_thread_create(&client->thread, NULL, run_io, client, client->pool) != APR_SUCCESS;
    }
    ready = client->thread && !client->broken;
    apr_thread_mutex_unlock(client->lock);
    return ready;
}

kohomai_call_t *kohomai_client_send(kohomai_client_t *client, const kohomai_order_t *order,
                                    kohomai_done_io_fn done, void *baton)
{
    kohomai_call_t *call = call_take(client), *top;

    call_fill(call, order);
    call->done = done;
    call->baton = baton;
    atomic_store(&call->holders, 2);
    if (!start_thread(client) || atomic_load(&client->stopping)) {
        call_end_io(call, KOHOMAI_STOPPED, "the I/O thread is not there");
        return call;
    }
    top = atomic_load(&client->arrivals);
    do {
        call->next = top;
    } while (!atomic_compare_exchange_weak(&client->arrivals, &top, call));
    if (!top) {
        wake(client); /* else whoever was first has seen to it */
    }
    if (atomic_load(&client->stopping)) {
        take_arrivals_io(client); /* the thread may have looked for the last time */
    }
    return call;
}

/* Calls that a visitor still looks at are not on the list; they go with the process. */
static void free_calls(kohomai_client_t *client)
{
    kohomai_call_t *call;

    apr_thread_mutex_lock(client->lock);
    while ((call = client->free_calls)) {
        client->free_calls = call->next;
        apr_pool_destroy(call->pool);
        free(call->answer);
        free(call);
    }
    apr_thread_mutex_unlock(client->lock);
}

static int join_in_time(apr_thread_t *thread)
{
    apr_os_thread_t *os;
    struct timespec until;

    apr_os_thread_get(&os, thread);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_PATIENCE;
    return pthread_timedjoin_np(*os, NULL, &until) == 0;
}

void kohomai_client_stop(kohomai_client_t *client)
{
    if (atomic_exchange(&client->stopping, 1) || !client->thread) {
        return;
    }
    wake(client);
    if (join_in_time(client->thread)) {
        take_arrivals_io(client); /* sent between the thread's last look and its end */
        free_calls(client);
    }
}

static apr_status_t stop_with_pool(void *client)
{
    kohomai_client_stop(client);
    return APR_SUCCESS;
}

kohomai_client_t *kohomai_client_create(apr_pool_t *pool)
{
    kohomai_client_t *client = apr_pcalloc(pool, sizeof(*client));
    apr_allocator_t *allocator;

    /* The thread is made later, while others use the parent pool: this one is the client's alone. */
    if (apr_allocator_create(&allocator) != APR_SUCCESS ||
        apr_pool_create_ex(&client->pool, pool, NULL, allocator) != APR_SUCCESS) {
        return NULL;
    }
    apr_allocator_owner_set(allocator, client->pool);
    client->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->wakeup < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        apr_thread_mutex_create(&client->lock, APR_THREAD_MUTEX_DEFAULT, pool) != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_pre_cleanup_register(pool, client, stop_with_pool);
    return client;
}
