/* client: the one engine of a child that talks HTTP: an I/O thread, its connections, its calls.
 * Threads: any, except what has _io_ in its name. Memory: a call belongs to two sides, the sender
 *   and the I/O thread, and goes back to the free list when both have let go of it.
 * Never: sees a request_rec, reads JSON, follows a redirect, or decides what an answer means. */
#include "client.h"
#include "reason.h"

#include <apr_portable.h>
#include <apr_ring.h>
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
/* A server closes a connection that was idle for long, perhaps just now. What may go out only once
 * takes none that was idle for as long as servers commonly bear with. */
#define IDLE_SECONDS_ONCE 2L
#define IDLE_SECONDS 100L
#define HEADERS_MAX (64 * 1024) /* bytes of an answer's head; libcurl bounds single lines only */
#define RECEIVE_BUFFER 4096L    /* bytes that each call under way has; answers are small */
#define STOP_PATIENCE 2         /* seconds */
#define WATCH_TAG (1ULL << 63)  /* an event about a visitor, not about a descriptor of libcurl's */

/* Where a call is in the I/O thread's hands. Each stage but the first has a list. */
typedef enum { STAGE_NONE, STAGE_LATER, STAGE_FRESH, STAGE_WATCHED, STAGES } stage_e;

/* Whether the visitor's socket is watched; it is not watched a second time. */
typedef enum { WATCH_NOT_YET, WATCH_ON, WATCH_OVER } watch_e;

APR_RING_HEAD(call_list_t, kohomai_call_t);

/* How long a call is under way before its visitor's socket is watched: quick calls, nearly all,
 * are spared the two system calls. */
#define WATCH_AFTER apr_time_from_sec(1)

struct kohomai_call_t {
    kohomai_call_t *next;           /* in the hand-over stack, or in the free list */
    kohomai_call_t *next_abandoned; /* in the stack of those */
    kohomai_client_t *client;
    char *copies; /* of the order's strings; kept for the next use, wiped between uses */
    apr_size_t copies_len, copies_size;
    kohomai_order_t order;
    kohomai_reply_t reply;
    kohomai_done_io_fn done;
    void *baton;
    atomic_int holders;
    watch_e watch; /* over order.visitor, if there is one; guarded by the client's lock */
    /* What follows is the I/O thread's. */
    APR_RING_ENTRY(kohomai_call_t) link;
    stage_e stage;
    apr_time_t started, ends; /* by steady_now */
    CURL *easy;
    const kohomai_proxy_t *proxy; /* what the handle is set to */
    char said[CURL_ERROR_SIZE];   /* by libcurl, about what went wrong */
    struct curl_slist authorization;
    apr_size_t body_read, headers_read;
    char *answer; /* grows, and is kept for the next use */
    apr_size_t answer_len, answer_size;
    int overflow;
    int again; /* sent a second time, over a fresh connection */
};

struct kohomai_client_t {
    apr_pool_t *pool;
    apr_thread_mutex_t *lock; /* start, stop, the free list, who is watched */
    kohomai_call_t *free_calls;
    apr_thread_t *thread;
    int broken;                          /* the thread could not be started */
    atomic_int finished;                 /* the thread is no more: what is given back is freed */
    int wakeup;                          /* eventfd */
    _Atomic(kohomai_call_t *) arrivals;  /* a stack; the thread takes all at once */
    _Atomic(kohomai_call_t *) abandoned; /* likewise */
    atomic_int stopping;
    /* What follows is the I/O thread's. */
    int epoll;
    CURLM *multi;
    CURLSH *tls_sessions;
    apr_time_t next_end;              /* no call under way ends before, by steady_now; 0: none is */
    struct call_list_t lists[STAGES]; /* LATER by not_before, the others by age */
};

/* ---- calls ---- */

/* A clock that nobody sets, for the timer alone. */
static apr_time_t steady_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_make(now.tv_sec, now.tv_nsec / 1000);
}

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
        if (!call) {
            abort(); /* as httpd does when memory is gone */
        }
        call->client = client;
    }
    return call;
}

/* Frees the TLS sessions, once no handle of a call uses them any more. */
static void close_sessions(kohomai_client_t *client)
{
    apr_thread_mutex_lock(client->lock);
    if (client->tls_sessions && curl_share_cleanup(client->tls_sessions) == CURLSHE_OK) {
        client->tls_sessions = NULL;
    }
    apr_thread_mutex_unlock(client->lock);
}

/* Only once the thread is no more. */
static void call_destroy(kohomai_call_t *call)
{
    if (call->easy) {
        curl_easy_cleanup(call->easy);
        close_sessions(call->client);
    }
    free(call->copies);
    free(call->answer);
#ifndef __clang_analyzer__ /* it cannot count holders, and takes the other side's use for a fault */
    free(call);
#endif
}

/* The key, the lead and the link shall not lie about in memory. */
static void call_wipe(kohomai_call_t *call)
{
    if (call->copies_len) {
        explicit_bzero(call->copies, call->copies_len);
    }
    if (call->answer_len) {
        explicit_bzero(call->answer, call->answer_len);
    }
}

void kohomai_call_release(kohomai_call_t *call)
{
    kohomai_client_t *client = call->client;
    int finished;

    if (atomic_fetch_sub(&call->holders, 1) > 1) {
        return;
    }
    call_wipe(call);
    apr_thread_mutex_lock(client->lock);
    finished = atomic_load(&client->finished);
    if (!finished) {
        call->next = client->free_calls;
        client->free_calls = call;
    }
    apr_thread_mutex_unlock(client->lock);
    if (finished) {
        call_destroy(call);
    }
}

const kohomai_reply_t *kohomai_call_reply(const kohomai_call_t *call)
{
    return &call->reply;
}

static void *copy(char **room, const void *bytes, apr_size_t len)
{
    char *place = memcpy(*room, bytes, len);

    *room += len;
    return place;
}

/* Copies the order's strings into one block. */
static void call_copy(kohomai_call_t *call)
{
    kohomai_order_t *order = &call->order;
    const char **texts[] = {&order->url, &order->authorization, &order->ca_file};
    apr_size_t i, len = order->body_len;
    char *room;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        len += *texts[i] ? strlen(*texts[i]) + 1 : 0;
    }
    if (len > call->copies_size) {
        free(call->copies);
        call->copies = malloc(len);
        call->copies_size = len;
    }
    call->copies_len = len;
    if (len == 0) {
        return; /* a nap */
    }
    room = call->copies;
    if (!room) {
        abort(); /* as httpd does when memory is gone */
    }
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i] = *texts[i] ? copy(&room, *texts[i], strlen(*texts[i]) + 1) : NULL;
    }
    order->body = order->body ? copy(&room, order->body, order->body_len) : "";
}

static void call_fill(kohomai_call_t *call, const kohomai_order_t *order)
{
    call->order = *order;
    call_copy(call);
    call->reply = (kohomai_reply_t){.fate = KOHOMAI_STOPPED, .body = "", .detail = ""};
    call->stage = STAGE_NONE;
    call->body_read = call->headers_read = call->answer_len = 0;
    call->overflow = call->again = 0;
    call->watch = WATCH_NOT_YET;
    /* What goes out in the clear, key and all, is for no proxy to read. */
    if (order->url && strncmp(order->url, "https:", 6) != 0) {
        call->order.proxy = NULL;
    }
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

static int on_socket_io(CURL *easy, curl_socket_t fd, int what, void *baton, void *known)
{
    kohomai_client_t *client = baton;
    struct epoll_event event = {.data.u64 = (unsigned)fd};

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

/* ---- transfers ---- */

/* Whatever the environment says, the way is the one that the order names, and a proxy sees nothing but
 * a CONNECT: not the key, and not what is sent. */
static void easy_prepare_for_proxies_io(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
    curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
}

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
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->said);
    curl_easy_setopt(easy, CURLOPT_SHARE, call->client->tls_sessions);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_io);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_body_io);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind_io);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer_io);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header_io);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    easy_prepare_for_proxies_io(easy);
    call->proxy = NULL;
    return easy;
}

/* A CA file replaces the system's; libcurl takes NULL for "no CA at all", not for its default. */
static void easy_set_trust_io(kohomai_call_t *call)
{
    const curl_version_info_data *built_in = curl_version_info(CURLVERSION_NOW);
    const char *file = call->order.ca_file;

    curl_easy_setopt(call->easy, CURLOPT_CAINFO, file ? file : built_in->cainfo);
    curl_easy_setopt(call->easy, CURLOPT_CAPATH, file ? NULL : built_in->capath);
    if (call->order.proxy && call->order.proxy->tls) {
        curl_easy_setopt(call->easy, CURLOPT_PROXY_CAINFO, file ? file : built_in->cainfo);
        curl_easy_setopt(call->easy, CURLOPT_PROXY_CAPATH, file ? NULL : built_in->capath);
    }
}

/* libcurl tells kept connections apart by their proxy, but not by its user (up to 8.18). */
static void easy_set_way_io(kohomai_call_t *call)
{
    const kohomai_proxy_t *proxy = call->order.proxy;
    int alone = proxy && proxy->contested;

    if (proxy != call->proxy) {
        curl_easy_setopt(call->easy, CURLOPT_PROXY, proxy ? proxy->label : "");
        curl_easy_setopt(call->easy, CURLOPT_PROXYUSERNAME, proxy ? proxy->user : NULL);
        curl_easy_setopt(call->easy, CURLOPT_PROXYPASSWORD, proxy ? proxy->password : NULL);
        call->proxy = proxy;
    }
    curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, (long)(call->again || alone));
    curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, (long)alone);
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
    /* What may be repeated is libcurl's, which sends it together with the head; else on_body_io
     * says what went out. */
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->order.once ? NULL : call->order.body);
    easy_set_trust_io(call);
    easy_set_way_io(call);
    curl_easy_setopt(call->easy, CURLOPT_MAXAGE_CONN,
                     call->order.once ? IDLE_SECONDS_ONCE : IDLE_SECONDS);
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)apr_time_as_msec(left) + 1000);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)apr_time_as_msec(connect < left ? connect : left) + 1);
}

static void call_move_io(kohomai_call_t *call, stage_e stage)
{
    kohomai_client_t *client = call->client;

    if (call->stage != STAGE_NONE) {
        APR_RING_REMOVE(call, link);
    }
    if (stage != STAGE_NONE) {
        APR_RING_INSERT_TAIL(&client->lists[stage], call, kohomai_call_t, link);
    }
    call->stage = stage;
}

/* Hands the call to libcurl. */
static void call_begin_io(kohomai_client_t *client, kohomai_call_t *call)
{
    apr_interval_time_t left = call->order.deadline - apr_time_now();

    if (!call->order.url) {
        call_end_io(call, KOHOMAI_TIMED_OUT, "the nap is over");
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
    call->said[0] = '\0';
    easy_set_io(call, left);
    if (curl_multi_add_handle(client->multi, call->easy) != CURLM_OK) {
        call_end_io(call, KOHOMAI_STOPPED, "libcurl refused the call");
        return;
    }
    call->started = steady_now();
    call->ends = call->started + left;
    if (!client->next_end || call->ends < client->next_end) {
        client->next_end = call->ends;
    }
    call_move_io(call, STAGE_FRESH);
}

/* Puts a call among those that wait for their time, the soonest first. */
static void call_delay_io(kohomai_client_t *client, kohomai_call_t *call)
{
    struct call_list_t *later = &client->lists[STAGE_LATER];
    kohomai_call_t *after = APR_RING_LAST(later);

    while (after != APR_RING_SENTINEL(later, kohomai_call_t, link) &&
           after->order.not_before > call->order.not_before) {
        after = APR_RING_PREV(after, link);
    }
    if (after == APR_RING_SENTINEL(later, kohomai_call_t, link)) {
        APR_RING_INSERT_HEAD(later, call, kohomai_call_t, link);
    }
    else {
        APR_RING_INSERT_AFTER(after, call, link);
    }
    call->stage = STAGE_LATER;
}

static void call_start_io(kohomai_client_t *client, kohomai_call_t *call)
{
    if (atomic_load(&client->stopping)) {
        call_end_io(call, KOHOMAI_STOPPED, "httpd is stopping");
    }
    else if (call->order.not_before > apr_time_now()) {
        call_delay_io(client, call);
    }
    else {
        call_begin_io(client, call);
    }
}

static void call_watch_io(kohomai_client_t *client, kohomai_call_t *call)
{
    struct epoll_event event = {.events = EPOLLRDHUP, .data.u64 = WATCH_TAG | (uintptr_t)call};

    if (call->order.visitor < 0) {
        return;
    }
    apr_thread_mutex_lock(client->lock);
    if (call->watch == WATCH_NOT_YET &&
        epoll_ctl(client->epoll, EPOLL_CTL_ADD, call->order.visitor, &event) == 0) {
        call->watch = WATCH_ON;
    }
    apr_thread_mutex_unlock(client->lock);
}

/* Forgets the visitor's socket: once it is closed, its number may be that of another, which the same
 * epoll knows for a call's. */
static void call_unwatch(kohomai_client_t *client, kohomai_call_t *call)
{
    if (call->order.visitor < 0) {
        return; /* and the lock may be held by whom the stop of a child has interrupted */
    }
    apr_thread_mutex_lock(client->lock);
    if (call->watch == WATCH_ON) {
        epoll_ctl(client->epoll, EPOLL_CTL_DEL, call->order.visitor, NULL);
    }
    call->watch = WATCH_OVER;
    apr_thread_mutex_unlock(client->lock);
}

/* on_body_io never hears of what libcurl sends together with the head. */
static void call_note_sent_io(kohomai_call_t *call)
{
    curl_off_t began = 0;

    if (!call->order.once) {
        curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &began);
        call->reply.maybe_sent |= began > 0;
    }
}

/* Takes the call out of libcurl's hands and out of its list. */
static void call_unlink_io(kohomai_client_t *client, kohomai_call_t *call)
{
    if (call->stage == STAGE_WATCHED) {
        call_unwatch(client, call);
    }
    if (call->stage != STAGE_LATER) {
        curl_multi_remove_handle(client->multi, call->easy);
        call_note_sent_io(call);
    }
    call_move_io(call, STAGE_NONE);
}

/* Ends a call that nobody waits for, if that cannot lose or double anything. */
static void call_cancel_io(kohomai_client_t *client, kohomai_call_t *call, const char *detail)
{
    call_unwatch(client, call);
    if (call->stage == STAGE_NONE || (call->order.once && call->reply.maybe_sent)) {
        return;
    }
    call_unlink_io(client, call);
    call_end_io(call, KOHOMAI_CANCELLED, detail);
}

static const char *explain_io(kohomai_call_t *call, CURLcode code)
{
    kohomai_failure_t failure = {
        .easy = call->easy, .code = code, .said = call->said, .proxy = call->order.proxy};

    call_note_sent_io(call);
    failure.sent = call->reply.maybe_sent;
    return kohomai_reason_of(&failure);
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

/* Whether a kept connection turned out to be dead: what may be repeated then deserves a fresh one.
 * libcurl sees to most such cases by itself, but not to all. */
static int was_stale_io(const kohomai_call_t *call, CURLcode code)
{
    long connects = 0;

    if (code != CURLE_SEND_ERROR && code != CURLE_RECV_ERROR && code != CURLE_GOT_NOTHING) {
        return 0;
    }
    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    return connects == 0 && call->headers_read == 0 && !call->order.once && !call->again;
}

static void call_finish_io(kohomai_client_t *client, kohomai_call_t *call, CURLcode code)
{
    const char *detail = code == CURLE_OK ? "" : explain_io(call, code);
    long status = 0;

    if (was_stale_io(call, code)) {
        if (call->stage == STAGE_WATCHED) {
            call_unwatch(client, call);
        }
        curl_multi_remove_handle(client->multi, call->easy);
        call_move_io(call, STAGE_NONE);
        call->again = 1;
        call->body_read = 0;
        call_begin_io(client, call);
        return;
    }
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

/* Safe on any thread once the I/O thread is gone, like take_arrivals_io. */
static void take_abandoned_io(kohomai_client_t *client)
{
    kohomai_call_t *call = atomic_exchange(&client->abandoned, NULL), *next;

    for (; call; call = next) {
        next = call->next_abandoned;
        call_cancel_io(client, call, "nobody waits for it any more");
        kohomai_call_release(call);
    }
}

/* Sends what had to wait for its time. */
static void take_due_io(kohomai_client_t *client)
{
    struct call_list_t *later = &client->lists[STAGE_LATER];
    apr_time_t now;

    if (APR_RING_EMPTY(later, kohomai_call_t, link)) {
        return;
    }
    now = apr_time_now();
    while (!APR_RING_EMPTY(later, kohomai_call_t, link)) {
        kohomai_call_t *call = APR_RING_FIRST(later);

        if (call->order.not_before > now) {
            break;
        }
        call_move_io(call, STAGE_NONE);
        call_begin_io(client, call);
    }
}

/* Ends what is overdue in one list; returns when the next one will be. */
static apr_time_t end_overdue_in_io(kohomai_client_t *client, struct call_list_t *list,
                                    apr_time_t now, apr_time_t next_end)
{
    kohomai_call_t *call = APR_RING_FIRST(list), *next;

    for (; call != APR_RING_SENTINEL(list, kohomai_call_t, link); call = next) {
        next = APR_RING_NEXT(call, link);
        if (call->ends <= now) {
            const char *detail = explain_io(call, CURLE_OPERATION_TIMEDOUT);

            call_unlink_io(client, call);
            call_end_io(call, KOHOMAI_TIMED_OUT, detail);
        }
        else if (!next_end || call->ends < next_end) {
            next_end = call->ends;
        }
    }
    return next_end;
}

/* libcurl has a time-out of its own, but can lose it (7.88: a timer that fires a moment early is
 * gone), so the ceiling is held here. */
static void end_overdue_io(kohomai_client_t *client)
{
    apr_time_t now = steady_now();

    if (client->next_end && client->next_end <= now) {
        client->next_end = end_overdue_in_io(client, &client->lists[STAGE_FRESH], now, 0);
        client->next_end =
            end_overdue_in_io(client, &client->lists[STAGE_WATCHED], now, client->next_end);
    }
}

/* Begins to watch the visitors whose calls take long. */
static void watch_visitors_io(kohomai_client_t *client)
{
    struct call_list_t *fresh = &client->lists[STAGE_FRESH];
    apr_time_t old = steady_now() - WATCH_AFTER;

    while (!APR_RING_EMPTY(fresh, kohomai_call_t, link)) {
        kohomai_call_t *call = APR_RING_FIRST(fresh);

        if (call->started > old) {
            break;
        }
        call_move_io(call, STAGE_WATCHED);
        call_watch_io(client, call);
    }
}

/* The visitor of this call has closed. What can be stopped is; else the call goes on alone. */
static void handle_departure_io(kohomai_client_t *client, kohomai_call_t *call)
{
    if (call->stage != STAGE_WATCHED) {
        return; /* ended earlier in this turn */
    }
    call_cancel_io(client, call, "the visitor left");
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

/* When libcurl wants to be called, in milliseconds from now; -1: not at all. */
static long libcurl_timer_io(const kohomai_client_t *client)
{
    long milliseconds = -1;

    curl_multi_timeout(client->multi, &milliseconds);
    return milliseconds;
}

static apr_interval_time_t sooner(apr_interval_time_t a, apr_interval_time_t b)
{
    return a < 0 || b < a ? b : a;
}

/* How long there is nothing to do unless something happens; -1: for ever. */
static int wait_milliseconds_io(const kohomai_client_t *client)
{
    const struct call_list_t *later = &client->lists[STAGE_LATER];
    const struct call_list_t *fresh = &client->lists[STAGE_FRESH];
    long timer = libcurl_timer_io(client);
    apr_interval_time_t wait = timer < 0 ? -1 : apr_time_from_msec(timer);

    if (!APR_RING_EMPTY(later, kohomai_call_t, link)) {
        apr_interval_time_t due = APR_RING_FIRST(later)->order.not_before - apr_time_now();

        wait = sooner(wait, due < 0 ? 0 : due);
    }
    if (!APR_RING_EMPTY(fresh, kohomai_call_t, link)) {
        apr_interval_time_t due = APR_RING_FIRST(fresh)->started + WATCH_AFTER - steady_now();

        wait = sooner(wait, due < 0 ? 0 : due);
    }
    if (client->next_end) {
        apr_interval_time_t due = client->next_end - steady_now();

        wait = sooner(wait, due < 0 ? 0 : due);
    }
    return wait < 0 ? -1 : (int)((wait + 999) / 1000);
}

static void handle_event_io(kohomai_client_t *client, const struct epoll_event *event)
{
    int action = 0, running, fd = (int)(uint32_t)event->data.u64;

    if (event->data.u64 & WATCH_TAG) {
        handle_departure_io(client, (kohomai_call_t *)(uintptr_t)(event->data.u64 & ~WATCH_TAG));
        return;
    }
    if (fd == client->wakeup) {
        return; /* edge-triggered: the next write tells again, read or not */
    }
    action |= event->events & EPOLLIN ? CURL_CSELECT_IN : 0;
    action |= event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
    action |= event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
    curl_multi_socket_action(client->multi, fd, action, &running);
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
    take_abandoned_io(client);
    take_due_io(client);
    watch_visitors_io(client);
    end_overdue_io(client);
    if (libcurl_timer_io(client) == 0) {
        curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    take_results_io(client);
}

static int open_io(kohomai_client_t *client)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = (unsigned)client->wakeup};
    int stage;

    for (stage = STAGE_LATER; stage < STAGES; stage++) {
        APR_RING_INIT(&client->lists[stage], kohomai_call_t, link);
    }
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    client->multi = curl_multi_init();
    client->tls_sessions = curl_share_init();
    if (client->epoll < 0 || !client->multi || !client->tls_sessions) {
        return 0;
    }
    curl_share_setopt(client->tls_sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket_io);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS_MAX);
    return epoll_ctl(client->epoll, EPOLL_CTL_ADD, client->wakeup, &event) == 0;
}

static void close_io(kohomai_client_t *client)
{
    int stage;

    for (stage = STAGE_LATER; stage < STAGES; stage++) {
        while (!APR_RING_EMPTY(&client->lists[stage], kohomai_call_t, link)) {
            kohomai_call_t *call = APR_RING_FIRST(&client->lists[stage]);

            call_unlink_io(client, call);
            curl_easy_cleanup(call->easy);
            call->easy = NULL;
            call_end_io(call, KOHOMAI_STOPPED, "httpd is stopping");
        }
    }
    apr_thread_mutex_lock(client->lock);
    for (kohomai_call_t *call = client->free_calls; call; call = call->next) {
        curl_easy_cleanup(call->easy);
        call->easy = NULL;
    }
    apr_thread_mutex_unlock(client->lock);
    curl_multi_cleanup(client->multi);
    close_sessions(client);
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
    take_abandoned_io(client);
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

/* Frees what lies ready; what a visitor still looks at is freed when they give it back. */
static void free_calls(kohomai_client_t *client)
{
    kohomai_call_t *call, *next;

    /* Prefork stops a child in a signal handler, which may have come while the lock was held. */
    if (apr_thread_mutex_trylock(client->lock) != APR_SUCCESS) {
        return;
    }
    atomic_store(&client->finished, 1);
    call = client->free_calls;
    client->free_calls = NULL;
    apr_thread_mutex_unlock(client->lock);
    for (; call; call = next) {
        next = call->next;
        call_destroy(call);
    }
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
    if (atomic_exchange(&client->stopping, 1)) {
        return;
    }
    if (client->thread) {
        wake(client);
    }
    if (!client->thread || join_in_time(client->thread)) {
        free_calls(client);
        take_arrivals_io(client); /* sent between the thread's last look and its end */
        take_abandoned_io(client);
    }
}

void kohomai_call_abandon(kohomai_call_t *call)
{
    kohomai_client_t *client = call->client;

    call_unwatch(client, call);
    call->next_abandoned = atomic_load(&client->abandoned);
    while (!atomic_compare_exchange_weak(&client->abandoned, &call->next_abandoned, call)) {
    }
    if (atomic_load(&client->finished)) {
        take_abandoned_io(client);
    }
    else {
        wake(client);
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
