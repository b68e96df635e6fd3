/* flow: the story of one visit, from arrival to answer.
 * Threads: the request's own, which is another one after it was parked. Memory: the request's pool.
 * Never: writes JSON, knows curl or the MPM, or holds a lock. */
#include "flow.h"
#include "answer.h"
#include "dialect.h"
#include "kohomai.h"
#include "log.h"
#include "settings.h"
#include "visitor.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#define RETRY_AFTER_DEFAULT 15 /* seconds */
#define RETRY_AFTER_MAX 3600

/* How long a click that repeats another lets pass before it looks what became of that: at first,
 * and at most. */
#define NAP apr_time_from_msec(20)
#define NAP_MAX apr_time_from_msec(100)

typedef struct kohomai_visit_t {
    request_rec *r;
    const kohomai_child_t *child;
    const kohomai_settings_t *settings;
    apr_time_t began, deadline;           /* the ceiling counts from the first call on */
    apr_table_t *site_headers;            /* what r->err_headers_out was without us, for pass */
    int passed;                           /* the site answers */
    const char *return_url;               /* "" for none */
    kohomai_request_t request;            /* what is, or was last, asked of the API */
    int registering;                      /* the call under way registers */
    int maybe_sent;                       /* a registration may have reached the API */
    kohomai_claim_t claim;                /* to be the one who registers, among equal clicks */
    int naps;                             /* so far, while an equal click registers */
    int repeats;                          /* it has an equal click's answer */
    const kohomai_repeat_answer_t *first; /* that, while its link may yet be needed; else NULL */
    int inside;                           /* counted by the gate */
    const kohomai_limit_policy_t *token;  /* taken of its bucket, and not yet used by a call */
    kohomai_limit_e token_kind;           /* which bucket that is */
    int tries;                            /* of this request, so far */
    apr_time_t not_before;                /* when the next try may go out */
    kohomai_may_e may;                    /* what the breaker said of the call under way */
    kohomai_ticket_t *ticket;             /* ours while call is */
    kohomai_call_t *call;
    int api_status, retry_after;
    const char *detail;                 /* of the last call, for the log */
    const kohomai_record_t *own_record; /* what this one would register; NULL without an outbox */
    const kohomai_record_t *record;     /* a lead that must not be lost; NULL: none (any more) */
    kohomai_letter_t *letter;           /* where it is written down; NULL: nowhere yet */
    kohomai_custody_e custody;          /* whether the API has it */
    kohomai_verdict_t verdict;
} visit_t;

static int ask(visit_t *visit);
static int conclude_with_its_link(visit_t *visit);

/* ---- the end of a visit ---- */

static void set_environment(visit_t *visit, kohomai_outcome_e outcome, const char *reason)
{
    apr_table_t *env = visit->r->subprocess_env;
    apr_pool_t *pool = visit->r->pool;

    apr_table_setn(env, "KOHOMAI_OUTCOME", kohomai_outcome_name(outcome));
    apr_table_setn(env, "KOHOMAI_TIME_US",
                   apr_psprintf(pool, "%" APR_TIME_T_FMT, apr_time_now() - visit->began));
    if (*reason) {
        apr_table_setn(env, "KOHOMAI_REASON", reason);
    }
    if (visit->request.call) {
        apr_table_setn(env, "KOHOMAI_CALL", visit->request.call);
    }
    if (visit->api_status) {
        apr_table_setn(env, "KOHOMAI_API_STATUS", apr_itoa(pool, visit->api_status));
    }
}

static void log_outcome(visit_t *visit, kohomai_outcome_e outcome, const char *reason)
{
    int level = outcome == KOHOMAI_HANDED_OFF ? APLOG_INFO : APLOG_WARNING;
    apr_int64_t ms = apr_time_as_msec(apr_time_now() - visit->began);
    const char *status = visit->api_status ? apr_itoa(visit->r->pool, visit->api_status) : "-";

    kohomai_log_line(visit->r, level,
                     "kohomai: outcome=%s reason=%s call=%s status=%s ms=%" APR_INT64_T_FMT "%s%s",
                     kohomai_outcome_name(outcome), *reason ? reason : "-",
                     visit->request.call ? visit->request.call : "-", status, ms,
                     *visit->detail ? " detail=" : "", visit->detail);
}

static void set_retry_after(visit_t *visit, kohomai_outcome_e outcome)
{
    int seconds = visit->retry_after ? visit->retry_after : RETRY_AFTER_DEFAULT;

    if (outcome == KOHOMAI_UNAVAILABLE && seconds > RETRY_AFTER_MAX) {
        seconds = RETRY_AFTER_MAX;
    }
    apr_table_setn(visit->r->err_headers_out, "Retry-After", apr_itoa(visit->r->pool, seconds));
}

/* 404 says that the id is not there, which is a plain 404 for the visitor, too. */
static int usual_status(const visit_t *visit, kohomai_outcome_e outcome)
{
    if (outcome == KOHOMAI_REFUSED && visit->api_status == HTTP_NOT_FOUND) {
        return HTTP_NOT_FOUND;
    }
    return kohomai_outcome_status(outcome);
}

/* Does what the site wants done in this case; a target that may not be gone to is logged, and the
 * outcome's usual answer given. */
static int fall_back(visit_t *visit, kohomai_outcome_e outcome, const char *reason, int json,
                     const kohomai_fallback_t *fallback)
{
    const char *target = "", *fault;
    int status = fallback->status ? fallback->status : usual_status(visit, outcome);

    if (fallback->pass) {
        return DECLINED;
    }
    if (fallback->target) {
        fault = kohomai_visitor_fallback(visit->r, visit->settings, fallback, &target);
        if (fault || !*target) {
            kohomai_log_line(
                visit->r, APLOG_ERR,
                "KohomaiFallback %s: what its expression yields may not be gone to (%s)",
                kohomai_outcome_name(outcome), fault ? fault : "empty");
            target = "";
        }
    }
    if (*target && !json) {
        return kohomai_answer_redirect(visit->r, target);
    }
    return kohomai_answer_words(visit->r, outcome, status, reason, json, *target ? target : NULL);
}

/* Somebody registered who has no link: the page that the site wants them to see, if any. */
static int answer_registered(visit_t *visit, int json)
{
    return json || !*visit->return_url ? kohomai_answer_empty(visit->r)
                                       : kohomai_answer_redirect(visit->r, visit->return_url);
}

static void leave_gate(visit_t *visit)
{
    if (visit->inside) {
        visit->inside = 0;
        kohomai_gate_leave(visit->child->gate, visit->r->connection);
    }
}

/* A visit ends while a lead is still at stake: sees to it that it is not lost, which may change the
 * outcome. */
static kohomai_outcome_e entrust(visit_t *visit, kohomai_outcome_e outcome, const char **reason)
{
    const char *why = **reason ? *reason : kohomai_outcome_name(outcome);
    const kohomai_record_t *record = visit->record;

    visit->record = NULL;
    if (visit->custody == KOHOMAI_LEAD_UNSURE) {
        kohomai_courier_put_aside(visit->child->courier, visit->r->pool, record, visit->letter, why,
                                  visit->api_status);
        return outcome;
    }
    if (!kohomai_courier_keep(visit->child->courier, visit->r->pool, record, visit->letter, why)) {
        *reason = "outbox";
        return KOHOMAI_FAILED;
    }
    *reason = why;
    return KOHOMAI_QUEUED;
}

/* ---- how often somebody may ask ---- */

/* mod_remoteip knows the visitor's own address where the connection is a proxy's. */
static void find_address(const visit_t *visit, unsigned char *address)
{
    const apr_sockaddr_t *from = visit->r->useragent_addr;

    kohomai_limit_address(from->ipaddr_ptr, from->ipaddr_len, address);
}

/* Whether the visitor's address may have another call; if not, retry_after says when. It counts
 * only where all is there for a call, and once, however many calls it takes. */
static int take_token(visit_t *visit, kohomai_limit_e kind)
{
    const kohomai_limit_policy_t *policy = kohomai_settings_limit(
        visit->settings, kind == KOHOMAI_LIMIT_REPEAT ? KOHOMAI_LIMIT_REGISTER : kind);
    unsigned char address[KOHOMAI_ADDRESS_SIZE];
    apr_interval_time_t again = 0;

    if (!policy->count || !visit->child->shared) {
        return 1;
    }
    find_address(visit, address);
    if (kohomai_shared_take(visit->child->shared, address, kind, policy, apr_time_now(), &again)) {
        visit->token = policy;
        visit->token_kind = kind;
        return 1;
    }
    visit->retry_after = (int)apr_time_sec(again + APR_USEC_PER_SEC - 1);
    return 0;
}

/* Nobody shall be told to wait for calls that were never made. */
static void return_token(visit_t *visit)
{
    unsigned char address[KOHOMAI_ADDRESS_SIZE];

    if (visit->token) {
        find_address(visit, address);
        kohomai_shared_give_back(visit->child->shared, address, visit->token_kind, visit->token,
                                 apr_time_now());
        visit->token = NULL;
    }
}

/* Tells equal clicks what this one's registration came to. They may register themselves where it was
 * surely never sent. */
static void tell_repeats(visit_t *visit, kohomai_outcome_e outcome, const char *reason)
{
    kohomai_repeat_answer_t answer = {
        .outcome = outcome,
        .api_status = visit->api_status,
        .retry_after = visit->retry_after,
        .reason = reason,
        .id = "",
        .link = "",
        .valid_until = "",
    };

    if (outcome == KOHOMAI_HANDED_OFF) {
        answer.id = visit->verdict.id;
        answer.id_kind = (int)visit->verdict.id_kind;
        answer.link = visit->verdict.link;
        answer.valid_until = visit->verdict.valid_until;
    }
    if (visit->maybe_sent || outcome == KOHOMAI_QUEUED) {
        kohomai_repeat_settle(visit->child->repeat, &visit->claim, apr_time_now(), &answer);
    }
    else {
        kohomai_repeat_forgo(visit->child->repeat, &visit->claim, apr_time_now());
    }
}

/* The same for somebody registered who has an id, and no link yet. */
static void tell_repeats_id(visit_t *visit)
{
    kohomai_repeat_answer_t answer = {.id_kind = (int)visit->verdict.id_kind,
                                      .id = visit->verdict.id};

    answer.reason = answer.link = answer.valid_until = "";
    kohomai_repeat_settle(visit->child->repeat, &visit->claim, apr_time_now(), &answer);
}

/* Puts the outcome where admins look. */
static void note(visit_t *visit, kohomai_outcome_e outcome, const char *reason)
{
    set_environment(visit, outcome, reason);
    log_outcome(visit, outcome, reason);
}

static int conclude(visit_t *visit, kohomai_outcome_e outcome, const char *reason)
{
    request_rec *r = visit->r;
    const kohomai_fallback_t *fallback;
    int json = kohomai_visitor_wants_json(r, visit->settings);

    if (visit->first && outcome != KOHOMAI_HANDED_OFF && !r->connection->aborted) {
        return conclude_with_its_link(visit);
    }
    leave_gate(visit);
    if (visit->record) {
        outcome = entrust(visit, outcome, &reason);
    }
    tell_repeats(visit, outcome, reason);
    if (visit->repeats && !*reason) {
        reason = "repeat";
    }
    fallback = kohomai_settings_fallback(visit->settings, outcome);
    if (outcome != KOHOMAI_QUEUED) {
        return_token(visit); /* no call was made for it */
    }
    note(visit, outcome, reason);
    if (fallback && fallback->pass) {
        r->err_headers_out = visit->site_headers;
        visit->passed = 1;
        return DECLINED;
    }
    if (outcome == KOHOMAI_UNAVAILABLE || outcome == KOHOMAI_LIMITED) {
        set_retry_after(visit, outcome);
    }
    if (fallback) {
        return fall_back(visit, outcome, reason, json, fallback);
    }
    if (outcome == KOHOMAI_HANDED_OFF) {
        kohomai_log_hush(r);
        return json ? kohomai_answer_link(r, visit->verdict.link, visit->verdict.valid_until)
                    : kohomai_answer_redirect(r, visit->verdict.link);
    }
    if (outcome == KOHOMAI_REGISTERED) {
        return answer_registered(visit, json);
    }
    return kohomai_answer_words(r, outcome, usual_status(visit, outcome), reason, json, NULL);
}

/* ---- what the API's answer makes of it ---- */

static int conclude_link(visit_t *visit)
{
    const kohomai_base_t *base = kohomai_settings_base(visit->settings);
    const char *fault = kohomai_url_judge_link(visit->r->pool, visit->verdict.link, &base->url,
                                               visit->settings->allow_link, &visit->verdict.link);

    return fault ? conclude(visit, KOHOMAI_FAILED, fault) : conclude(visit, KOHOMAI_HANDED_OFF, "");
}

static int open_session(visit_t *visit, kohomai_id_e kind, const char *id)
{
    visit->registering = visit->tries = 0;
    kohomai_dialect_write_session(visit->r->pool, kind, id, visit->return_url, &visit->request);
    return ask(visit);
}

static int conclude_with_its_link(visit_t *visit)
{
    visit->verdict.link = visit->first->link;
    visit->verdict.valid_until = visit->first->valid_until;
    visit->api_status = visit->first->api_status;
    visit->first = NULL;
    return conclude_link(visit);
}

static int conclude_verdict(visit_t *visit)
{
    switch (visit->verdict.says) {
    case KOHOMAI_SAYS_LINK:
        return conclude_link(visit);
    case KOHOMAI_SAYS_ID:
    case KOHOMAI_SAYS_TAKEN:
        if (!visit->registering) {
            return conclude(visit, KOHOMAI_FAILED, "answer-no-link");
        }
        if (visit->verdict.says == KOHOMAI_SAYS_TAKEN) {
            return conclude(visit, KOHOMAI_REGISTERED, "");
        }
        tell_repeats_id(visit);
        return open_session(visit, visit->verdict.id_kind, visit->verdict.id);
    case KOHOMAI_SAYS_INVALID:
        return conclude(visit, KOHOMAI_INVALID, "api");
    case KOHOMAI_SAYS_REFUSED:
        return conclude(visit, KOHOMAI_REFUSED,
                        visit->api_status == 401 || visit->api_status == 403 ? "key" : "api");
    case KOHOMAI_SAYS_GONE:
        return conclude(visit, KOHOMAI_REFUSED, "not-there");
    case KOHOMAI_SAYS_BUSY:
        return conclude(visit, KOHOMAI_UNAVAILABLE, "api");
    case KOHOMAI_SAYS_SICK:
        return conclude(visit, KOHOMAI_FAILED, "api");
    default:
        return conclude(visit, KOHOMAI_FAILED, visit->verdict.reason);
    }
}

/* ---- one call ---- */

static int breaker_place(const visit_t *visit)
{
    return kohomai_shared_breaker_find(visit->child->shared,
                                       kohomai_settings_base(visit->settings)->text);
}

/* Whether the API may be called now; if not, retry_after says when. */
static int breaker_allows(visit_t *visit)
{
    apr_interval_time_t again = 0;

    visit->may = KOHOMAI_MAY_CALL;
    if (visit->child->shared) {
        visit->may = kohomai_shared_ask(visit->child->shared, breaker_place(visit),
                                        &visit->child->breaker, apr_time_now(), &again);
    }
    if (visit->may == KOHOMAI_MAY_NOT) {
        visit->retry_after = (int)apr_time_sec(again) + 1;
    }
    return visit->may != KOHOMAI_MAY_NOT;
}

/* Nothing is heard of a call that was to be a probe: another visitor's shall be it. */
static void give_probe_back(visit_t *visit)
{
    if (visit->may == KOHOMAI_MAY_PROBE) {
        kohomai_shared_give_probe_back(visit->child->shared, breaker_place(visit), apr_time_now(),
                                       visit->may);
        visit->may = KOHOMAI_MAY_CALL;
    }
}

/* What the call says about the API's health; a call that we ended ourselves says nothing. */
static void tell_breaker(visit_t *visit, const kohomai_reply_t *reply)
{
    int well = reply->fate == KOHOMAI_ANSWERED && reply->status < 500 && reply->status != 429;

    if (reply->fate == KOHOMAI_STOPPED || reply->fate == KOHOMAI_CANCELLED) {
        give_probe_back(visit);
    }
    else if (visit->child->shared) {
        kohomai_shared_tell(visit->child->shared, breaker_place(visit), &visit->child->breaker,
                            apr_time_now(), visit->may, well,
                            apr_time_from_sec(reply->retry_after));
    }
    visit->may = KOHOMAI_MAY_CALL;
}

/* Whether the call may be made again. A register only where it was surely never sent; opening a
 * session doubles nothing. */
static int may_repeat(const visit_t *visit, const kohomai_reply_t *reply)
{
    int unsent = !reply->maybe_sent &&
                 (reply->fate == KOHOMAI_UNREACHABLE || reply->fate == KOHOMAI_TIMED_OUT);

    if (visit->tries > kohomai_settings_retries(visit->settings)) {
        return 0;
    }
    if (visit->registering || reply->fate != KOHOMAI_ANSWERED) {
        return unsent;
    }
    return reply->status == 429 || (reply->status >= 502 && reply->status <= 504);
}

/* Sets when the next try goes out; 0 where none may or no time is left for it. */
static int plan_retry(visit_t *visit, const kohomai_reply_t *reply)
{
    apr_time_t now = apr_time_now();
    apr_interval_time_t pause;

    if (!may_repeat(visit, reply)) {
        return 0;
    }
    pause = kohomai_guard_pause(visit->tries, ap_random_pick(0, 1023),
                                apr_time_from_sec(reply->retry_after), now, visit->deadline);
    visit->not_before = now + pause;
    return pause >= 0;
}

/* What the call says about the lead, if it was to register one. */
static void judge_custody(visit_t *visit, const kohomai_reply_t *reply)
{
    if (!visit->record) {
        return;
    }
    visit->custody = kohomai_courier_judge(reply);
    if (visit->custody == KOHOMAI_LEAD_TAKEN || visit->custody == KOHOMAI_LEAD_REFUSED) {
        kohomai_courier_forget(visit->child->courier, visit->letter);
        visit->record = NULL;
    }
}

static int conclude_fate(visit_t *visit, kohomai_fate_e fate)
{
    switch (fate) {
    case KOHOMAI_ANSWERED:
        return conclude_verdict(visit);
    case KOHOMAI_UNREACHABLE:
        return conclude(visit, KOHOMAI_FAILED, "unreachable");
    case KOHOMAI_BROKEN:
        return conclude(visit, KOHOMAI_FAILED, "answer-broken");
    case KOHOMAI_TIMED_OUT:
        return conclude(visit, KOHOMAI_TIMEOUT, "");
    case KOHOMAI_CANCELLED:
        visit->r->connection->aborted = 1;
        return conclude(visit, KOHOMAI_FAILED, "visitor-gone");
    default:
        return conclude(visit, KOHOMAI_UNAVAILABLE, "stopping");
    }
}

/* Takes the answer, gives the call back, decides. */
static int resume(void *baton)
{
    visit_t *visit = baton;
    const kohomai_reply_t *reply = kohomai_call_reply(visit->call);
    kohomai_fate_e fate = reply->fate;
    int again;

    kohomai_park_release(visit->ticket);
    visit->maybe_sent |= visit->registering && reply->maybe_sent;
    visit->api_status = reply->status;
    visit->retry_after = reply->retry_after;
    visit->detail = reply->detail;
    tell_breaker(visit, reply);
    again = plan_retry(visit, reply);
    if (!again) {
        judge_custody(visit, reply);
    }
    if (fate == KOHOMAI_ANSWERED && !again) {
        kohomai_dialect_read(visit->r->pool, reply->status, reply->body, reply->body_len,
                             &visit->verdict);
    }
    kohomai_call_release(visit->call);
    visit->call = NULL;
    return again ? ask(visit) : conclude_fate(visit, fate);
}

/* Nobody hears what becomes of the call. */
static void let_go(visit_t *visit)
{
    if (kohomai_park_is_woken(visit->ticket)) {
        judge_custody(visit, kohomai_call_reply(visit->call));
    }
    else {
        visit->custody = KOHOMAI_LEAD_UNSURE; /* the call may go on for a while */
    }
    visit->maybe_sent |= visit->registering;
    give_probe_back(visit);
    kohomai_call_abandon(visit->call);
    kohomai_park_release(visit->ticket);
    visit->call = NULL;
}

static int give_up_nap(void *baton)
{
    let_go(baton);
    return conclude(baton, KOHOMAI_TIMEOUT, "httpd-timeout");
}

/* The API was too slow for httpd, if not for us: it may be sick. A try that had yet to wait for its
 * time tells nothing. */
static int give_up(void *baton)
{
    static const kohomai_reply_t late = {.fate = KOHOMAI_TIMED_OUT};
    visit_t *visit = baton;

    if (kohomai_park_is_woken(visit->ticket)) {
        tell_breaker(visit, kohomai_call_reply(visit->call));
    }
    else if (visit->not_before <= apr_time_now()) {
        tell_breaker(visit, &late);
    }
    return give_up_nap(visit);
}

static void drop(void *baton)
{
    visit_t *visit = baton;
    kohomai_outcome_e outcome = KOHOMAI_FAILED;
    const char *reason = "visitor-gone";

    let_go(visit);
    if (visit->record) {
        outcome = entrust(visit, outcome, &reason);
    }
    leave_gate(visit);
    tell_repeats(visit, outcome, reason);
}

/* The key stays in this one's hands no longer than it takes to hand it on. */
static void hand_over(visit_t *visit, kohomai_order_t *order)
{
    char line[KOHOMAI_KEY_LINE];

    order->authorization = kohomai_key_write_line(order->url ? visit->settings->key : NULL, line);
    visit->call =
        kohomai_client_send(visit->child->client, order, kohomai_park_wake, visit->ticket);
    kohomai_key_wipe_line(order->authorization ? line : NULL);
    order->authorization = NULL;
}

/* Sends an order. OK: it is over, go on at once; SUSPENDED: the story goes on when it is; else what
 * httpd must make of it. */
static int post(visit_t *visit, kohomai_order_t *order, const kohomai_story_t *story)
{
    visit->ticket = kohomai_park_hold(visit->child->park);
    if (!visit->ticket) {
        give_probe_back(visit);
        return conclude(visit, KOHOMAI_UNAVAILABLE, "no-memory");
    }
    visit->token = NULL;
    hand_over(visit, order);
    return kohomai_park_wait(visit->ticket, visit->r, story, visit);
}

/* Counts the visit among those that wait, and its time from now on. 0: too many wait. */
static int enter(visit_t *visit)
{
    if (!visit->inside && !kohomai_gate_enter(visit->child->gate, visit->r->connection)) {
        return 0;
    }
    visit->inside = 1;
    if (!visit->deadline) {
        visit->deadline = apr_time_now() + kohomai_settings_patience(visit->settings).total;
    }
    return 1;
}

/* Asks the API what visit->request says, if we may. */
static int ask(visit_t *visit)
{
    static const kohomai_story_t story = {.resume = resume, .give_up = give_up, .drop = drop};
    const kohomai_settings_t *settings = visit->settings;
    kohomai_order_t order = {
        .ca_file = settings->ca_file,
        .proxy = kohomai_settings_proxy(settings),
        .body = visit->request.body,
        .body_len = visit->request.body_len,
        .answer_max = KOHOMAI_ANSWER_MAX,
        .connect_timeout = kohomai_settings_patience(settings).connect,
        .not_before = visit->not_before,
        .once = visit->registering,
    };
    int status;

    if (!visit->child->client) {
        return conclude(visit, KOHOMAI_UNAVAILABLE, "no-client");
    }
    if (!enter(visit)) { /* before the breaker, which counts on a call if it allows one */
        return conclude(visit, KOHOMAI_UNAVAILABLE, "max-pending");
    }
    if (!breaker_allows(visit)) {
        return conclude(visit, KOHOMAI_UNAVAILABLE, "breaker");
    }
    order.deadline = visit->deadline;
    if (visit->record && !visit->letter) {
        visit->letter = kohomai_courier_write(visit->child->courier, visit->r->pool, visit->record);
    }
    order.visitor = kohomai_park_visitor(visit->r);
    order.url = apr_pstrcat(visit->r->pool, kohomai_settings_base(settings)->text,
                            visit->request.path, NULL);
    visit->tries++;
    status = post(visit, &order, &story);
    return status == OK ? resume(visit) : status;
}

/* ---- a click that repeats another ---- */

/* What an equal click's registration came to is what this one comes to. But a link works once, and
 * the first click may be using it at this very moment; so where an id is known, this one opens a
 * session, for a link of its own, and has the other's link as a second string: also where somebody
 * sends the same so often that they may have no more sessions. */
static int conclude_as_first(visit_t *visit, const kohomai_repeat_answer_t *answer)
{
    visit->repeats = 1;
    visit->api_status = answer->api_status;
    visit->retry_after = answer->retry_after;
    visit->detail = "the answer to an equal request";
    visit->first = *answer->link ? answer : NULL;
    if (*answer->id && take_token(visit, KOHOMAI_LIMIT_REPEAT)) {
        return open_session(visit, (kohomai_id_e)answer->id_kind, answer->id);
    }
    if (*answer->id && !visit->first) {
        return conclude(visit, KOHOMAI_LIMITED, "repeat");
    }
    return visit->first ? conclude_with_its_link(visit)
                        : conclude(visit, answer->outcome, answer->reason);
}

static int join(visit_t *visit);

/* Takes the nap's call back. 0 where the server is stopping. */
static int wake_up(visit_t *visit)
{
    int slept = kohomai_call_reply(visit->call)->fate == KOHOMAI_TIMED_OUT;

    kohomai_park_release(visit->ticket);
    kohomai_call_release(visit->call);
    visit->call = NULL;
    return slept;
}

static int look_again(void *baton)
{
    return wake_up(baton) ? join(baton) : conclude(baton, KOHOMAI_UNAVAILABLE, "stopping");
}

/* Lets a moment pass: OK, or as post returns. */
static int nap(visit_t *visit)
{
    static const kohomai_story_t story = {
        .resume = look_again, .give_up = give_up_nap, .drop = drop};
    apr_interval_time_t pause = visit->naps < 3 ? NAP << visit->naps : NAP_MAX;
    kohomai_order_t order = {.visitor = -1};
    int status;

    if (!visit->child->client) {
        return conclude(visit, KOHOMAI_UNAVAILABLE, "no-client");
    }
    if (!enter(visit)) {
        return conclude(visit, KOHOMAI_UNAVAILABLE, "max-pending");
    }
    order.not_before = apr_time_now() + pause + ap_random_pick(0, NAP / 2);
    if (order.not_before > visit->deadline) {
        return conclude(visit, KOHOMAI_TIMEOUT, "repeat");
    }
    visit->naps++;
    status = post(visit, &order, &story);
    if (status == OK && !wake_up(visit)) {
        return conclude(visit, KOHOMAI_UNAVAILABLE, "stopping");
    }
    return status;
}

/* Nobody else does: the lead counts from here on, both for the limit and for the outbox. */
static int register_lead(visit_t *visit)
{
    if (!take_token(visit, KOHOMAI_LIMIT_REGISTER)) {
        visit->request.call = NULL; /* it was written, but will not be made */
        return conclude(visit, KOHOMAI_LIMITED, "register");
    }
    visit->record = visit->own_record;
    return ask(visit);
}

/* Registers, unless an equal click has done so or is about to. Nobody is woken by the other's end,
 * who may be in another process: whoever waits looks now and then. */
static int join(visit_t *visit)
{
    kohomai_repeat_answer_t *answer = apr_palloc(visit->r->pool, sizeof(*answer));
    int status = OK;

    while (status == OK) {
        switch (kohomai_repeat_ask(visit->child->repeat, &visit->claim, apr_time_now(),
                                   visit->r->pool, answer)) {
        case KOHOMAI_REPEAT_FIRST:
            return register_lead(visit);
        case KOHOMAI_REPEAT_ANSWERED:
            return conclude_as_first(visit, answer);
        case KOHOMAI_REPEAT_LOST:
            return conclude(visit, KOHOMAI_FAILED, "repeat-lost");
        default:
            status = nap(visit);
        }
    }
    return status;
}

/* Equal clicks are those of one browser that sends one thing. */
static void make_claim(visit_t *visit)
{
    const request_rec *r = visit->r;
    const kohomai_key_t *key = visit->settings->key;
    const char *const texts[] = {
        r->useragent_ip,
        apr_table_get(r->headers_in, "User-Agent"),
        r->user,
        apr_table_get(r->headers_in, "Authorization"),
        kohomai_visitor_session(visit->r),
        kohomai_settings_base(visit->settings)->text,
        key ? kohomai_key_label(key) : NULL,
        visit->request.path,
        visit->request.body,
    };

    visit->claim.patience = kohomai_settings_patience(visit->settings).total;
    kohomai_repeat_key(visit->child->repeat, texts, sizeof(texts) / sizeof(texts[0]),
                       &visit->claim);
}

/* ---- whom to ask for ---- */

static int start_session(visit_t *visit, const kohomai_identity_t *identity)
{
    if (!take_token(visit, KOHOMAI_LIMIT_SESSION)) {
        return conclude(visit, KOHOMAI_LIMITED, "session");
    }
    return open_session(visit, identity->kind, identity->id);
}

/* All that it takes to register the lead later. */
static const kohomai_record_t *make_record(const visit_t *visit, const kohomai_lead_t *lead)
{
    const kohomai_settings_t *settings = visit->settings;
    kohomai_record_t *record = apr_pcalloc(visit->r->pool, sizeof(*record));

    record->lead = *lead;
    record->arrived = "";
    record->api = kohomai_dialect_name(kohomai_settings_api(settings));
    record->base_url = kohomai_settings_base(settings)->text;
    record->return_url = visit->return_url;
    record->ca_file = settings->ca_file ? settings->ca_file : "";
    record->proxy = settings->proxy ? settings->proxy->label : "";
    record->key = settings->key ? kohomai_key_label(settings->key) : "";
    return record;
}

static int start_register(visit_t *visit, const kohomai_lead_t *lead)
{
    kohomai_api_e api = kohomai_settings_api(visit->settings);

    if (api == KOHOMAI_API_WORKFLOWS && !*lead->workflow) {
        kohomai_log_line(visit->r, APLOG_ERR,
                         "KohomaiAPI workflows needs KohomaiWorkflow ID for this path");
        return conclude(visit, KOHOMAI_FAILED, "workflow-missing");
    }
    visit->registering = 1;
    if (visit->child->courier) {
        visit->own_record = make_record(visit, lead);
    }
    kohomai_dialect_write_register(visit->r->pool, api, lead, visit->return_url, &visit->request);
    make_claim(visit);
    return join(visit);
}

/* What a fault in the facts comes to: httpd's own answer where the body could not be read. */
static int conclude_fault(visit_t *visit, const char *fault, int status)
{
    if (status) {
        note(visit, KOHOMAI_INVALID, fault);
        return status;
    }
    return conclude(visit, KOHOMAI_INVALID, fault);
}

/* Whether the configuration names anything at all that could tell who somebody is. */
static int has_source(const kohomai_settings_t *settings)
{
    return settings->journey || settings->user || settings->lead[KOHOMAI_LEAD_EMAIL];
}

/* Finds out who this is, a known visitor first, and asks the API for them. */
static int start(visit_t *visit)
{
    kohomai_handoff_e handoff = visit->settings->handoff;
    kohomai_identity_t identity = {"", KOHOMAI_ID_JOURNEY};
    kohomai_lead_t lead;
    const char *fault = NULL;
    int status = 0;

    if (handoff != KOHOMAI_HANDOFF_REGISTER) {
        fault = kohomai_visitor_identify(visit->r, visit->settings, &identity, &status);
    }
    if (!fault && !*identity.id && handoff != KOHOMAI_HANDOFF_SESSION) {
        fault = kohomai_visitor_describe(visit->r, visit->settings, &lead, &status);
    }
    else {
        lead.fields[KOHOMAI_LEAD_EMAIL] = "";
    }
    if (!fault && !*identity.id && !*lead.fields[KOHOMAI_LEAD_EMAIL]) {
        return conclude(visit, KOHOMAI_UNKNOWN, has_source(visit->settings) ? "" : "no-source");
    }
    if (!fault) {
        fault = kohomai_visitor_return_url(visit->r, visit->settings, &visit->return_url, &status);
    }
    if (fault) {
        return conclude_fault(visit, fault, status);
    }
    return *identity.id ? start_session(visit, &identity) : start_register(visit, &lead);
}

/* ---- arrival ---- */

/* Methods that never mint a link: a status, or DECLINED for GET and POST. */
static int answer_method(request_rec *r, const kohomai_settings_t *settings)
{
    static const char allowed[] = "GET, HEAD, POST, OPTIONS";

    if (r->method_number == M_POST || (r->method_number == M_GET && !r->header_only)) {
        return DECLINED;
    }
    if (r->method_number == M_GET) {
        return kohomai_answer_empty(r);
    }
    if (r->method_number == M_OPTIONS) {
        apr_table_setn(r->err_headers_out, "Allow", allowed);
        return kohomai_answer_empty(r);
    }
    if (kohomai_visitor_wants_json(r, settings)) {
        apr_table_setn(r->err_headers_out, "Allow", allowed);
        return kohomai_answer_words(r, KOHOMAI_NO_OUTCOME, HTTP_METHOD_NOT_ALLOWED, "", 1, NULL);
    }
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, M_POST, M_OPTIONS, -1);
    return HTTP_METHOD_NOT_ALLOWED;
}

/* The request that the client sent, or what a rewrite made of it; no subrequest, no error
 * document, and none of which a visit already said that the site shall answer it. */
static int is_visit(const request_rec *r)
{
    const kohomai_slot_t *slot = kohomai_slot_find(r);

    return !r->main && r->status == HTTP_OK && !(slot && slot->visit);
}

/* The headers of every answer. */
static void protect(request_rec *r, const kohomai_settings_t *settings)
{
    kohomai_answer_protect(r);
    if (settings->allow_origin) {
        kohomai_answer_allow_origin(r, kohomai_visitor_origin(r, settings));
    }
}

void kohomai_flow_protect_error(request_rec *r)
{
    const kohomai_slot_t *slot = kohomai_slot_find(r);

    if (slot && slot->visit && !slot->visit->passed) {
        protect(r, slot->visit->settings);
    }
}

int kohomai_flow_preflight(request_rec *r)
{
    const kohomai_settings_t *settings = ap_get_module_config(r->per_dir_config, &kohomai_module);

    if (settings->handoff <= KOHOMAI_HANDOFF_OFF || !is_visit(r) ||
        !kohomai_visitor_is_preflight(r) || !kohomai_visitor_origin(r, settings)) {
        return DECLINED;
    }
    protect(r, settings);
    return kohomai_answer_preflight(r);
}

int kohomai_flow_begin(request_rec *r, const kohomai_child_t *child)
{
    const kohomai_settings_t *settings = ap_get_module_config(r->per_dir_config, &kohomai_module);
    visit_t *visit;
    int status;

    if (settings->handoff <= KOHOMAI_HANDOFF_OFF || !is_visit(r)) {
        return DECLINED;
    }
    visit = apr_pcalloc(r->pool, sizeof(*visit));
    visit->r = r;
    visit->child = child;
    visit->settings = settings;
    visit->began = apr_time_now();
    visit->return_url = visit->detail = "";
    kohomai_slot_get(r)->visit = visit;
    /* Before anything is read: httpd answers a body that it does not take by itself. */
    visit->site_headers = apr_table_copy(r->pool, r->err_headers_out);
    protect(r, settings);
    status = answer_method(r, settings);
    if (status != DECLINED) {
        return status;
    }
    if (kohomai_visitor_is_prefetch(r)) {
        return conclude(visit, KOHOMAI_PREFETCH, "");
    }
    if (kohomai_visitor_is_foreign(r, settings)) {
        return conclude(visit, KOHOMAI_FORBIDDEN, "");
    }
    return start(visit);
}
