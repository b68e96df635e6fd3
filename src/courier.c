/* courier: sees a lead through: it is written down before it is sent, kept where the API did not take
 * it, and delivered later.
 * Threads: as each function says. Memory: one courier per process, never freed, since a thread of
 *   httpd's may ask for it until the very end.
 * Never: sees a visitor, a file or a socket. */
#include "courier.h"
#include "dialect.h"
#include "kohomai.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <errno.h>
#include <http_core.h>
#include <http_log.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

APLOG_USE_MODULE(kohomai);

/* How long a sick API is left alone: doubled each time, so that the first try comes within 15 s of
 * its being well again. A key that is not taken changes less often. */
#define FIRST_PAUSE apr_time_from_sec(1)
#define LONGEST_PAUSE apr_time_from_sec(8)
#define KEY_PAUSE apr_time_from_sec(30)
#define PATIENCE_MAX apr_time_from_sec(3600) /* with an API that asks to be left alone */

#define LEFT_BEHIND_EVERY apr_time_from_sec(5)
#define EMPTY_FOR apr_time_from_sec(60) /* a file without a byte: whoever made it is no more */
#define SETTLED apr_time_from_sec(2)    /* a directory's time of change is no finer than that */
#define NAMES_MAX 16384                 /* records that are looked at, the oldest ones */
#define LANES_MAX 64
#define COMPLAIN_EVERY apr_time_from_sec(60)
#define ASIDE_FOR apr_time_from_sec(60) /* somebody may have seen to it by then */

/* One API with one key: what is wrong with it holds up all leads for it, and no others. */
typedef struct {
    const char *name;
    int failures; /* in a row */
    apr_time_t not_before;
    const char *said; /* the reason that was logged last */
} lane_t;

struct kohomai_courier_t {
    kohomai_post_t post;
    kohomai_outbox_t *outbox;
    const char *path;
    _Atomic apr_time_t complained; /* of an outbox that cannot be written */
    pthread_mutex_t lock;          /* over what follows */
    pthread_cond_t changed;
    int stopping, running, answered;
    /* What follows is the delivering thread's. */
    apr_pool_t *lasting, *round;
    apr_pool_t *known_pool, *before_pool;
    apr_hash_t *known,
        *before; /* a record's name -> its lane; as found in this round, and the last */
    lane_t lanes[LANES_MAX];
    int lane_count;
    lane_t aside;     /* of what is left where it is until a person sees to it */
    apr_time_t seen;  /* the directory's change that was looked at */
    apr_time_t again; /* when there may be something to do though nothing changed; 0: never */
    apr_time_t next_left_behind;
};

kohomai_custody_e kohomai_courier_judge(const kohomai_reply_t *reply)
{
    if (reply->fate != KOHOMAI_ANSWERED) {
        return reply->maybe_sent ? KOHOMAI_LEAD_UNSURE : KOHOMAI_LEAD_NOT_TAKEN;
    }
    switch (reply->status) {
    case 401:
    case 403:
    case 407: /* the proxy's own */
    case 408: /* the request did not arrive */
    case 425:
    case 429:
    case 502:
    case 503:
    case 504:
        return KOHOMAI_LEAD_NOT_TAKEN;
    default:
        break;
    }
    if (reply->status >= 200 && reply->status <= 299) {
        return KOHOMAI_LEAD_TAKEN;
    }
    return reply->status >= 400 && reply->status <= 499 ? KOHOMAI_LEAD_REFUSED
                                                        : KOHOMAI_LEAD_UNSURE;
}

/* ---- making one ---- */

static apr_pool_t *make_pool(void)
{
    apr_pool_t *pool;

    if (apr_pool_create_unmanaged(&pool) != APR_SUCCESS) {
        abort(); /* as httpd does when memory is gone */
    }
    return pool;
}

kohomai_courier_t *kohomai_courier_create(apr_pool_t *pool, const kohomai_post_t *post)
{
    const char *path = kohomai_settings_outbox(post->server);
    kohomai_courier_t *courier;
    kohomai_outbox_t *outbox;
    apr_status_t rv = APR_SUCCESS;

    if (!path) {
        return NULL;
    }
    outbox = kohomai_outbox_open(pool, path, &rv);
    if (!outbox) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, post->server,
                     "KohomaiOutbox: %s cannot be used: leads that Kohomai cannot take are lost",
                     path);
        return NULL;
    }
    courier = calloc(1, sizeof(*courier));
    if (!courier) {
        abort();
    }
    courier->post = *post;
    courier->outbox = outbox;
    courier->path = path;
    courier->lasting = make_pool();
    courier->round = make_pool();
    courier->known_pool = make_pool();
    courier->before_pool = make_pool();
    courier->known = apr_hash_make(courier->known_pool);
    courier->before = apr_hash_make(courier->before_pool);
    courier->aside.said = "";
    pthread_mutex_init(&courier->lock, NULL);
    pthread_cond_init(&courier->changed, NULL);
    return courier;
}

/* ---- what is said ---- */

#define NUMBER_MAX 16
#define STAMP_MAX 40

static const char *status_text(char *room, int status)
{
    if (status) {
        apr_snprintf(room, NUMBER_MAX, "%d", status);
    }
    return status ? room : "-";
}

static void log_step(const kohomai_courier_t *courier, int level, const char *step,
                     const char *name, const char *reason, int status)
{
    char number[NUMBER_MAX];

    ap_log_error(APLOG_MARK, level, 0, courier->post.server,
                 "kohomai: outbox=%s record=%s reason=%s status=%s", step, name,
                 *reason ? reason : "-", status_text(number, status));
}

/* A disk that is full is full for every visitor: one line a minute says so. */
static void complain(kohomai_courier_t *courier, apr_status_t rv, const char *what)
{
    apr_time_t now = apr_time_now(), last = atomic_load(&courier->complained);

    if ((!last || now - last >= COMPLAIN_EVERY || now < last) &&
        atomic_compare_exchange_strong(&courier->complained, &last, now)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, courier->post.server, "KohomaiOutbox: %s: %s",
                     courier->path, what);
    }
}

/* 2026-11-25T13:18:43Z */
static const char *stamp(char *room, apr_time_t now)
{
    apr_time_exp_t utc;

    apr_time_exp_gmt(&utc, now);
    apr_snprintf(room, STAMP_MAX, "%04d-%02d-%02dT%02d:%02d:%02dZ", utc.tm_year + 1900,
                 utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
    return room;
}

/* What is put at the end of a record that a person will look at. reason is one of our own words. */
static const char *note(apr_pool_t *pool, kohomai_box_e box, const char *reason, int status)
{
    char when[STAMP_MAX];

    return apr_psprintf(pool, "{\"At\":\"%s\",\"Became\":\"%s\",\"Reason\":\"%s\",\"Status\":%d}\n",
                        stamp(when, apr_time_now()), kohomai_outbox_name(box), reason, status);
}

/* ---- for a visit ---- */

kohomai_letter_t *kohomai_courier_write(kohomai_courier_t *courier, apr_pool_t *pool,
                                        const kohomai_record_t *record)
{
    apr_time_t now = apr_time_now();
    kohomai_record_t dated = *record;
    kohomai_letter_t *letter = NULL;
    const char *bytes, *fault;
    char when[STAMP_MAX];
    apr_size_t len = 0;
    apr_status_t rv;

    dated.arrived = stamp(when, now);
    fault = kohomai_lead_encode(pool, &dated, &bytes, &len);
    if (fault) {
        complain(courier, 0, apr_pstrcat(pool, "a lead cannot be written: ", fault, NULL));
        return NULL;
    }
    rv = kohomai_letter_write(courier->outbox, now, bytes, len, pool, &letter);
    if (rv != APR_SUCCESS) {
        complain(courier, rv,
                 "a lead cannot be written: those that Kohomai cannot take just now are lost, and "
                 "their visitors are told so");
        return NULL;
    }
    return letter;
}

static int move(kohomai_courier_t *courier, kohomai_letter_t *letter, kohomai_box_e box,
                const char *remark)
{
    apr_status_t rv = kohomai_letter_move(letter, box, remark);

    if (rv != APR_SUCCESS) {
        complain(courier, rv, "a record cannot be moved");
    }
    return rv == APR_SUCCESS;
}

int kohomai_courier_keep(kohomai_courier_t *courier, apr_pool_t *pool,
                         const kohomai_record_t *record, kohomai_letter_t *letter,
                         const char *reason)
{
    int kept;

    if (!letter) {
        letter = kohomai_courier_write(courier, pool, record);
    }
    if (!letter) {
        return 0;
    }
    kept = move(courier, letter, KOHOMAI_BOX_WAITING, NULL);
    if (kept) {
        log_step(courier, APLOG_INFO, "kept", kohomai_letter_name(letter), reason, 0);
    }
    kohomai_letter_drop(letter);
    return kept;
}

static void put_away(kohomai_courier_t *courier, apr_pool_t *pool, kohomai_letter_t *letter,
                     kohomai_box_e box, const char *reason, int status)
{
    if (move(courier, letter, box, note(pool, box, reason, status))) {
        log_step(courier, APLOG_WARNING, kohomai_outbox_name(box), kohomai_letter_name(letter),
                 reason, status);
    }
    kohomai_letter_drop(letter);
}

void kohomai_courier_put_aside(kohomai_courier_t *courier, apr_pool_t *pool,
                               const kohomai_record_t *record, kohomai_letter_t *letter,
                               const char *reason, int status)
{
    if (!letter) {
        letter = kohomai_courier_write(courier, pool, record);
    }
    if (letter) {
        put_away(courier, pool, letter, KOHOMAI_BOX_UNCERTAIN, reason, status);
    }
}

void kohomai_courier_forget(kohomai_courier_t *courier, kohomai_letter_t *letter)
{
    apr_status_t rv = letter ? kohomai_letter_delete(letter, 0) : APR_SUCCESS;

    if (rv != APR_SUCCESS) {
        complain(
            courier, rv,
            "the record of a lead that has been dealt with cannot be deleted, and will be found in uncertain");
    }
}

/* ---- lanes ---- */

static lane_t *lane_of(kohomai_courier_t *courier, apr_pool_t *pool, const kohomai_record_t *record)
{
    const char *name = apr_pstrcat(pool, record->base_url, " ", record->key, NULL);
    int i;

    for (i = 0; i < courier->lane_count; i++) {
        if (strcmp(courier->lanes[i].name, name) == 0) {
            return &courier->lanes[i];
        }
    }
    if (courier->lane_count == LANES_MAX) {
        return &courier->lanes[LANES_MAX - 1]; /* the last one is shared */
    }
    courier->lane_count++;
    courier->lanes[i].name = apr_pstrdup(courier->lasting, name);
    courier->lanes[i].said = "";
    return &courier->lanes[i];
}

static void hold_back(lane_t *lane, apr_time_t now, apr_interval_time_t pause)
{
    lane->not_before = now + (pause < PATIENCE_MAX ? pause : PATIENCE_MAX);
}

/* The first failure in a row is worth a line, and so is one of another kind. */
static void log_failure(const kohomai_courier_t *courier, lane_t *lane, const char *name,
                        const char *reason, int status)
{
    int is_news = strcmp(lane->said, reason) != 0;

    lane->said = reason;
    log_step(courier, is_news ? APLOG_WARNING : APLOG_DEBUG, "waiting", name, reason, status);
    if (is_news && strcmp(reason, "key") == 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, courier->post.server,
                     "KohomaiOutbox: Kohomai does not take the key: leads wait until it does; see "
                     "to KohomaiAPIKey");
    }
}

static void lane_failed(lane_t *lane, apr_time_t now, int status, int retry_after)
{
    int doublings = lane->failures < 8 ? lane->failures : 8;
    apr_interval_time_t pause = FIRST_PAUSE << doublings;

    lane->failures++;
    pause = pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
    if (status == 401 || status == 403) {
        pause = KEY_PAUSE;
    }
    if (pause < apr_time_from_sec(retry_after)) {
        pause = apr_time_from_sec(retry_after);
    }
    hold_back(lane, now, pause);
}

static void lane_is_well(lane_t *lane)
{
    lane->failures = 0;
    lane->not_before = 0;
    lane->said = "";
}

/* ---- one delivery ---- */

typedef struct {
    kohomai_courier_t *courier;
    apr_pool_t *pool;
    const char *name;
    kohomai_letter_t *letter;
    kohomai_record_t record;
    kohomai_api_e api;
    const kohomai_key_t *key;
    lane_t *lane;
    kohomai_may_e may;
} delivery_t;

static void look_again_at(kohomai_courier_t *courier, apr_time_t when)
{
    if (!courier->again || when < courier->again) {
        courier->again = when;
    }
}

static void remember(delivery_t *delivery, lane_t *lane)
{
    kohomai_courier_t *courier = delivery->courier;

    apr_hash_set(courier->known, apr_pstrdup(courier->known_pool, delivery->name),
                 APR_HASH_KEY_STRING, lane);
    look_again_at(courier, lane->not_before);
}

/* The record stays where it is until a person does something about it; said once. */
static void leave(delivery_t *delivery, apr_status_t rv, const char *why)
{
    kohomai_courier_t *courier = delivery->courier;

    if (apr_hash_get(courier->before, delivery->name, APR_HASH_KEY_STRING) != &courier->aside) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, courier->post.server,
                     "KohomaiOutbox: %s/%s is left where it is: %s", courier->path, delivery->name,
                     why);
    }
    remember(delivery, &courier->aside);
}

/* Takes the record in hand. 0: not now. */
static int take(delivery_t *delivery)
{
    apr_status_t rv = kohomai_letter_take(delivery->courier->outbox, KOHOMAI_BOX_WAITING,
                                          delivery->name, delivery->pool, &delivery->letter);

    if (rv == APR_EINVAL) {
        leave(delivery, 0, "it is no plain file");
    }
    else if (rv == APR_EBUSY) { /* whoever put it here may still wait for a slow disk */
        look_again_at(delivery->courier, apr_time_now() + LEFT_BEHIND_EVERY);
    }
    else if (rv != APR_SUCCESS && rv != APR_ENOENT) {
        leave(delivery, rv, "it cannot be read and written; give it to httpd's user");
    }
    return rv == APR_SUCCESS;
}

static const char *read_record(delivery_t *delivery)
{
    const char *bytes = "", *fault;
    apr_size_t len = 0;
    int api;

    if (kohomai_letter_read(delivery->letter, KOHOMAI_RECORD_MAX + 1, delivery->pool, &bytes,
                            &len) != APR_SUCCESS) {
        return "record-unreadable";
    }
    fault = kohomai_lead_decode(delivery->pool, bytes, len, &delivery->record);
    if (fault) {
        return fault;
    }
    api = kohomai_dialect_find(delivery->record.api);
    if (api < 0 || (api == KOHOMAI_API_WORKFLOWS && !*delivery->record.lead.workflow)) {
        return "record-form";
    }
    delivery->api = (kohomai_api_e)api;
    return NULL;
}

/* Reads the record, and sees to what cannot be read. 0: there is nothing to deliver. */
static int understand(delivery_t *delivery)
{
    kohomai_courier_t *courier = delivery->courier;
    const char *fault = read_record(delivery);
    apr_time_t now = apr_time_now();

    if (!fault) {
        return 1;
    }
    if (strcmp(fault, "record-newer") == 0) {
        leave(delivery, 0, "a newer mod_kohomai wrote it");
        kohomai_letter_drop(delivery->letter);
    }
    else if (strcmp(fault, "record-incomplete") == 0 &&
             kohomai_letter_age(delivery->letter, now) < EMPTY_FOR) {
        look_again_at(courier, now + LEFT_BEHIND_EVERY); /* somebody may be copying it */
        kohomai_letter_drop(delivery->letter);
    }
    else {
        put_away(courier, delivery->pool, delivery->letter, KOHOMAI_BOX_REJECTED, fault, 0);
    }
    return 0;
}

/* A lead that was registered with a key goes with that one, or with the only one that there is. */
static int find_key(delivery_t *delivery)
{
    const kohomai_keys_t *keys = delivery->courier->post.keys;
    const char *label = delivery->record.key;

    if (!*label) {
        return 1;
    }
    delivery->key = kohomai_keys_find(keys, label);
    if (!delivery->key) {
        delivery->key = kohomai_keys_only(keys);
    }
    return delivery->key != NULL;
}

/* A record says where the key goes, but the configuration decides: a file that somebody slipped in
 * must not carry it elsewhere. 0: not now. */
static int find_way(delivery_t *delivery)
{
    const server_rec *s = delivery->courier->post.server;
    const kohomai_record_t *record = &delivery->record;
    const char *why = NULL;

    if (!kohomai_settings_knows_base(s, record->base_url)) {
        why = "its KohomaiBaseURL is not in the configuration (any more)";
    }
    else if (!kohomai_settings_knows_ca_file(s, record->ca_file)) {
        why = "its KohomaiCAFile is not in the configuration (any more)";
    }
    else if (!find_key(delivery)) {
        why = "its KohomaiAPIKey is not in the configuration (any more), and there is more than "
              "one to choose from";
    }
    if (why) {
        leave(delivery, 0, why);
        kohomai_letter_drop(delivery->letter);
    }
    return !why;
}

static int breaker_place(const delivery_t *delivery)
{
    return kohomai_shared_breaker_find(delivery->courier->post.shared, delivery->record.base_url);
}

/* Whether the API may be called now, as far as we, and all others who call it, know. */
static int api_is_ready(delivery_t *delivery)
{
    const kohomai_post_t *post = &delivery->courier->post;
    apr_interval_time_t again = 0;
    apr_time_t now = apr_time_now();

    delivery->may = KOHOMAI_MAY_CALL;
    delivery->lane = lane_of(delivery->courier, delivery->pool, &delivery->record);
    if (delivery->lane->not_before > now) {
        return 0;
    }
    if (post->shared) {
        delivery->may =
            kohomai_shared_ask(post->shared, breaker_place(delivery), &post->breaker, now, &again);
    }
    if (delivery->may == KOHOMAI_MAY_NOT) {
        hold_back(delivery->lane, now, again);
        return 0;
    }
    return 1;
}

static void hear_answer_io(void *baton)
{
    kohomai_courier_t *courier = baton;

    pthread_mutex_lock(&courier->lock);
    courier->answered = 1;
    pthread_cond_broadcast(&courier->changed);
    pthread_mutex_unlock(&courier->lock);
}

/* The key stays in this one's hands no longer than it takes to hand it on. */
static kohomai_call_t *hand_over(delivery_t *delivery, kohomai_order_t *order)
{
    char line[KOHOMAI_KEY_LINE];
    kohomai_call_t *call;

    order->authorization = kohomai_key_write_line(delivery->key, line);
    call = kohomai_client_send(delivery->courier->post.client, order, hear_answer_io,
                               delivery->courier);
    kohomai_key_wipe_line(order->authorization ? line : NULL);
    return call;
}

static kohomai_call_t *send_and_wait(delivery_t *delivery)
{
    kohomai_courier_t *courier = delivery->courier;
    kohomai_patience_t patience = kohomai_settings_patience(
        ap_get_module_config(courier->post.server->lookup_defaults, &kohomai_module));
    kohomai_order_t order = {
        .ca_file = *delivery->record.ca_file ? delivery->record.ca_file : NULL,
        .proxy = kohomai_settings_find_proxy(courier->post.server, delivery->record.proxy),
        .answer_max = KOHOMAI_ANSWER_MAX,
        .connect_timeout = patience.connect,
        .once = 1,
        .visitor = -1};
    kohomai_request_t request;
    kohomai_call_t *call;

    kohomai_dialect_write_register(delivery->pool, delivery->api, &delivery->record.lead,
                                   delivery->record.return_url, &request);
    order.url = apr_pstrcat(delivery->pool, delivery->record.base_url, request.path, NULL);
    order.body = request.body;
    order.body_len = request.body_len;
    order.deadline =
        apr_time_now() +
        (patience.total < KOHOMAI_DELIVERY_MAX ? patience.total : KOHOMAI_DELIVERY_MAX);
    courier->answered = 0;
    call = hand_over(delivery, &order);
    pthread_mutex_lock(&courier->lock);
    while (!courier->answered) {
        pthread_cond_wait(&courier->changed, &courier->lock);
    }
    pthread_mutex_unlock(&courier->lock);
    return call;
}

static void tell_breaker(const delivery_t *delivery, const kohomai_reply_t *reply)
{
    const kohomai_post_t *post = &delivery->courier->post;
    int well = reply->fate == KOHOMAI_ANSWERED && reply->status < 500 && reply->status != 429;

    if (post->shared && reply->fate != KOHOMAI_STOPPED) {
        kohomai_shared_tell(post->shared, breaker_place(delivery), &post->breaker, apr_time_now(),
                            delivery->may, well, apr_time_from_sec(reply->retry_after));
    }
}

/* The words are those of a visit's outcome. */
static const char *reason_of(const kohomai_reply_t *reply)
{
    switch (reply->fate) {
    case KOHOMAI_ANSWERED:
        return reply->status == 401 || reply->status == 403 ? "key"
               : reply->status == 404                       ? "not-there"
                                                            : "api";
    case KOHOMAI_UNREACHABLE:
        return "unreachable";
    case KOHOMAI_BROKEN:
        return "answer-broken";
    case KOHOMAI_TIMED_OUT:
        return "timeout";
    default:
        return "stopping";
    }
}

static void settle(delivery_t *delivery, const kohomai_reply_t *reply)
{
    kohomai_courier_t *courier = delivery->courier;
    const char *reason = reason_of(reply);
    apr_status_t rv;

    switch (kohomai_courier_judge(reply)) {
    case KOHOMAI_LEAD_TAKEN:
        lane_is_well(delivery->lane);
        log_step(courier, APLOG_INFO, "delivered", delivery->name, "", reply->status);
        rv = kohomai_letter_delete(delivery->letter, 1);
        if (rv != APR_SUCCESS) {
            complain(
                courier, rv,
                "the record of a lead that was delivered cannot be deleted, and will be found in uncertain");
        }
        break;
    case KOHOMAI_LEAD_REFUSED:
        lane_is_well(delivery->lane);
        put_away(courier, delivery->pool, delivery->letter, KOHOMAI_BOX_REJECTED, reason,
                 reply->status);
        break;
    case KOHOMAI_LEAD_UNSURE:
        lane_failed(delivery->lane, apr_time_now(), reply->status, reply->retry_after);
        put_away(courier, delivery->pool, delivery->letter, KOHOMAI_BOX_UNCERTAIN, reason,
                 reply->status);
        break;
    default:
        lane_failed(delivery->lane, apr_time_now(), reply->status, reply->retry_after);
        if (move(courier, delivery->letter, KOHOMAI_BOX_WAITING, NULL)) {
            log_failure(courier, delivery->lane, delivery->name, reason, reply->status);
        }
        delivery->name = kohomai_letter_name(delivery->letter);
        remember(delivery, delivery->lane);
        kohomai_letter_drop(delivery->letter);
    }
}

/* Marks the record: known to the disk before the first byte goes out, so that whatever happens then,
 * it is not sent twice. */
static int mark(delivery_t *delivery)
{
    if (move(delivery->courier, delivery->letter, KOHOMAI_BOX_SENDING, NULL)) {
        return 1;
    }
    hold_back(delivery->lane, apr_time_now(), LONGEST_PAUSE);
    return 0;
}

static void deliver(delivery_t *delivery)
{
    kohomai_call_t *call;

    if (!take(delivery) || !understand(delivery) || !find_way(delivery)) {
        return;
    }
    if (!api_is_ready(delivery) || !mark(delivery)) {
        remember(delivery, delivery->lane);
        kohomai_letter_drop(delivery->letter);
        return;
    }
    call = send_and_wait(delivery);
    tell_breaker(delivery, kohomai_call_reply(call));
    settle(delivery, kohomai_call_reply(call));
    kohomai_call_release(call);
}

/* ---- a round ---- */

static int is_stopping(kohomai_courier_t *courier)
{
    int stopping;

    pthread_mutex_lock(&courier->lock);
    stopping = courier->stopping;
    pthread_mutex_unlock(&courier->lock);
    return stopping || courier->post.is_retired();
}

/* A record in sending that nobody works on: whoever did is no more, and may or may not have sent it. */
static void judge_left_behind(kohomai_courier_t *courier, apr_pool_t *pool, const char *name)
{
    kohomai_letter_t *letter = NULL;
    const char *bytes = "", *fault;
    kohomai_record_t record;
    apr_size_t len = 0;

    if (kohomai_letter_take(courier->outbox, KOHOMAI_BOX_SENDING, name, pool, &letter) !=
            APR_SUCCESS ||
        kohomai_letter_read(letter, KOHOMAI_RECORD_MAX + 1, pool, &bytes, &len) != APR_SUCCESS) {
        return;
    }
    if (len == 0) {
        if (kohomai_letter_age(letter, apr_time_now()) > EMPTY_FOR) {
            kohomai_letter_delete(letter, 0);
        }
        else {
            kohomai_letter_drop(letter);
        }
        return;
    }
    fault = kohomai_lead_decode(pool, bytes, len, &record);
    if (fault && strcmp(fault, "record-newer") != 0) {
        put_away(courier, pool, letter, KOHOMAI_BOX_REJECTED, fault, 0);
    }
    else {
        put_away(courier, pool, letter, KOHOMAI_BOX_UNCERTAIN, "interrupted", 0);
    }
}

static void for_each(kohomai_courier_t *courier, kohomai_box_e box,
                     void (*look)(kohomai_courier_t *, apr_pool_t *, const char *))
{
    apr_pool_t *pool = courier->round;
    apr_array_header_t *names;
    apr_pool_t *one;
    apr_status_t rv;
    int i;

    rv = kohomai_outbox_list(courier->outbox, box, NAMES_MAX, pool, &names);
    if (rv != APR_SUCCESS) {
        complain(courier, rv, "it cannot be looked through");
    }
    apr_pool_create(&one, pool);
    for (i = 0; i < names->nelts && !is_stopping(courier); i++) {
        look(courier, one, APR_ARRAY_IDX(names, i, const char *));
        apr_pool_clear(one);
    }
    apr_pool_clear(pool);
}

/* What was known of a record the last time spares us a look into it. */
static void consider(kohomai_courier_t *courier, apr_pool_t *pool, const char *name)
{
    delivery_t delivery = {.courier = courier, .pool = pool, .name = name};
    lane_t *lane = apr_hash_get(courier->before, name, APR_HASH_KEY_STRING);

    if (lane && lane->not_before > apr_time_now()) {
        remember(&delivery, lane);
    }
    else {
        deliver(&delivery);
    }
}

/* Whether there may be something to deliver. */
static int is_due(kohomai_courier_t *courier, apr_time_t now)
{
    apr_time_t changed = kohomai_outbox_changed(courier->outbox);
    int due = changed != courier->seen || now - changed < SETTLED ||
              (courier->again && now >= courier->again);

    courier->seen = changed;
    return due;
}

static void look_through(kohomai_courier_t *courier, apr_time_t now)
{
    apr_pool_t *pool = courier->before_pool;

    courier->before_pool = courier->known_pool;
    courier->before = courier->known;
    apr_pool_clear(pool);
    courier->known_pool = pool;
    courier->known = apr_hash_make(pool);
    courier->again = 0;
    if (courier->aside.not_before <= now) {
        courier->aside.not_before = now + ASIDE_FOR;
    }
    for_each(courier, KOHOMAI_BOX_WAITING, consider);
}

static void run(kohomai_courier_t *courier)
{
    apr_time_t now = apr_time_now();

    if (courier->post.is_retired()) {
        kohomai_outbox_resign(courier->outbox);
        return;
    }
    if (!courier->post.client || !kohomai_outbox_preside(courier->outbox)) {
        return;
    }
    if (now >= courier->next_left_behind) {
        courier->next_left_behind = now + LEFT_BEHIND_EVERY;
        for_each(courier, KOHOMAI_BOX_SENDING, judge_left_behind);
    }
    if (is_due(courier, now)) {
        look_through(courier, now);
    }
}

void kohomai_courier_run(kohomai_courier_t *courier)
{
    int stopping;

    pthread_mutex_lock(&courier->lock);
    stopping = courier->stopping;
    courier->running = !stopping;
    pthread_mutex_unlock(&courier->lock);
    if (stopping) {
        return;
    }
    run(courier);
    pthread_mutex_lock(&courier->lock);
    courier->running = 0;
    if (courier->stopping) {
        kohomai_outbox_resign(courier->outbox);
    }
    pthread_cond_broadcast(&courier->changed);
    pthread_mutex_unlock(&courier->lock);
}

void kohomai_courier_stop(kohomai_courier_t *courier, apr_interval_time_t patience)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += apr_time_sec(patience);
    pthread_mutex_lock(&courier->lock);
    courier->stopping = 1;
    while (courier->running &&
           pthread_cond_timedwait(&courier->changed, &courier->lock, &until) == 0) {
    }
    if (!courier->running) { /* else the thread that delivers will do it */
        kohomai_outbox_resign(courier->outbox);
    }
    pthread_mutex_unlock(&courier->lock);
}
