/* flow: the story of one visit, from arrival to answer.
 * Threads: the request's own. Memory: the request's pool.
 * Never: writes JSON, knows curl or the MPM, or holds a lock. */
#include "flow.h"
#include "answer.h"
#include "dialect.h"
#include "kohomai.h"
#include "park.h"
#include "settings.h"
#include "visitor.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

APLOG_USE_MODULE(kohomai);

#define RETRY_AFTER_DEFAULT 15 /* seconds */
#define RETRY_AFTER_MAX 3600

typedef struct kohomai_visit_t {
    request_rec *r;
    kohomai_client_t *client;
    const kohomai_settings_t *settings;
    apr_time_t began, deadline; /* the ceiling counts from the first call on */
    const char *return_url;     /* "" for none */
    kohomai_request_t request;  /* what is, or was last, asked of the API */
    int registering;            /* the call under way registers */
    kohomai_ticket_t *ticket;
    kohomai_call_t *call;
    int api_status, retry_after;
    const char *detail;         /* of the last call, for the log */
    kohomai_verdict_t verdict;
} visit_t;

static int ask(visit_t *visit);

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

    ap_log_rerror(APLOG_MARK, level, 0, visit->r,
                  "kohomai: outcome=%s reason=%s call=%s status=%s ms=%" APR_INT64_T_FMT "%s%s",
                  kohomai_outcome_name(outcome), *reason ? reason : "-",
                  visit->request.call ? visit->request.call : "-", status, ms,
                  *visit->detail ? " detail=" : "", visit->detail);
}

static void set_retry_after(visit_t *visit)
{
    int seconds = visit->retry_after ? visit->retry_after : RETRY_AFTER_DEFAULT;

    apr_table_setn(visit->r->err_headers_out, "Retry-After",
                   apr_itoa(visit->r->pool, seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX));
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
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, visit->r,
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

static int conclude(visit_t *visit, kohomai_outcome_e outcome, const char *reason)
{
    request_rec *r = visit->r;
    const kohomai_fallback_t *fallback = kohomai_settings_fallback(visit->settings, outcome);
    int json = kohomai_visitor_wants_json(r, visit->settings);

    set_environment(visit, outcome, reason);
    log_outcome(visit, outcome, reason);
    if (fallback && fallback->pass) {
        return DECLINED;
    }
    kohomai_answer_protect(r);
    if (outcome == KOHOMAI_UNAVAILABLE) {
        set_retry_after(visit);
    }
    if (fallback) {
        return fall_back(visit, outcome, reason, json, fallback);
    }
    if (outcome == KOHOMAI_HANDED_OFF) {
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
    const char *fault =
        kohomai_url_judge_link(visit->r->pool, visit->verdict.link, &base->url,
                               visit->settings->allow_link, &visit->verdict.link);

    return fault ? conclude(visit, KOHOMAI_FAILED, fault) : conclude(visit, KOHOMAI_HANDED_OFF, "");
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
        visit->registering = 0;
        kohomai_dialect_write_session(visit->r->pool, visit->verdict.id_kind, visit->verdict.id,
                                      visit->return_url, &visit->request);
        return ask(visit);
    case KOHOMAI_SAYS_INVALID:
        return conclude(visit, KOHOMAI_INVALID, "api");
    case KOHOMAI_SAYS_REFUSED:
        return conclude(visit, KOHOMAI_REFUSED, visit->api_status == 401 || visit->api_status == 403
                                                    ? "key"
                                                    : "api");
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

/* Takes the answer, gives the call back, decides. */
static int resume(visit_t *visit)
{
    const kohomai_reply_t *reply = kohomai_call_reply(visit->call);
    kohomai_fate_e fate = reply->fate;

    visit->api_status = reply->status;
    visit->retry_after = reply->retry_after;
    visit->detail = reply->detail;
    if (fate == KOHOMAI_ANSWERED) {
        kohomai_dialect_read(visit->r->pool, reply->status, reply->body, reply->body_len,
                             &visit->verdict);
    }
    kohomai_call_release(visit->call);
    visit->call = NULL;
    switch (fate) {
    case KOHOMAI_ANSWERED:
        return conclude_verdict(visit);
    case KOHOMAI_UNREACHABLE:
        return conclude(visit, KOHOMAI_FAILED, "unreachable");
    case KOHOMAI_BROKEN:
        return conclude(visit, KOHOMAI_FAILED, "answer-broken");
    case KOHOMAI_TIMED_OUT:
        return conclude(visit, KOHOMAI_TIMEOUT, "");
    default:
        return conclude(visit, KOHOMAI_UNAVAILABLE, "stopping");
    }
}

/* ---- asking ---- */

static void set_deadline(visit_t *visit)
{
    if (!visit->deadline) {
        visit->deadline = apr_time_now() + kohomai_settings_patience(visit->settings).total;
    }
}

/* Sends visit->request and waits for what comes of it. */
static int ask(visit_t *visit)
{
    const kohomai_settings_t *settings = visit->settings;
    kohomai_order_t order = {
        .url = apr_pstrcat(visit->r->pool, kohomai_settings_base(settings)->text,
                           visit->request.path, NULL),
        .authorization = settings->authorization,
        .ca_file = settings->ca_file,
        .body = visit->request.body,
        .body_len = visit->request.body_len,
        .answer_max = KOHOMAI_ANSWER_MAX,
        .connect_timeout = kohomai_settings_patience(settings).connect,
        .once = visit->registering,
    };

    set_deadline(visit);
    order.deadline = visit->deadline;
    visit->ticket = visit->client ? kohomai_park_hold(visit->r) : NULL;
    if (!visit->ticket) {
        return conclude(visit, KOHOMAI_UNAVAILABLE, "no-client");
    }
    visit->call = kohomai_client_send(visit->client, &order, kohomai_park_wake, visit->ticket);
    kohomai_park_wait(visit->ticket);
    return resume(visit);
}

static int start_session(visit_t *visit, const kohomai_identity_t *identity)
{
    kohomai_dialect_write_session(visit->r->pool, identity->kind, identity->id, visit->return_url,
                                  &visit->request);
    return ask(visit);
}

static int start_register(visit_t *visit, const kohomai_lead_t *lead)
{
    kohomai_api_e api = kohomai_settings_api(visit->settings);

    if (api == KOHOMAI_API_WORKFLOWS && !*lead->workflow) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, visit->r,
                      "KohomaiAPI workflows needs KohomaiWorkflow ID for this path");
        return conclude(visit, KOHOMAI_FAILED, "workflow-missing");
    }
    visit->registering = 1;
    kohomai_dialect_write_register(visit->r->pool, api, lead, visit->return_url, &visit->request);
    return ask(visit);
}

/* What a fault in the facts comes to: httpd's own answer where the body could not be read. */
static int conclude_fault(visit_t *visit, const char *fault, int status)
{
    return status ? status : conclude(visit, KOHOMAI_INVALID, fault);
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
static int answer_method(request_rec *r)
{
    if (r->method_number == M_POST || (r->method_number == M_GET && !r->header_only)) {
        return DECLINED;
    }
    kohomai_answer_protect(r);
    if (r->method_number == M_GET) {
        return kohomai_answer_empty(r);
    }
    if (r->method_number == M_OPTIONS) {
        apr_table_setn(r->err_headers_out, "Allow", "GET, HEAD, POST, OPTIONS");
        return kohomai_answer_empty(r);
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

int kohomai_flow_begin(request_rec *r, kohomai_client_t *client)
{
    const kohomai_settings_t *settings = ap_get_module_config(r->per_dir_config, &kohomai_module);
    visit_t *visit;
    int status;

    if (settings->handoff <= KOHOMAI_HANDOFF_OFF || !is_visit(r)) {
        return DECLINED;
    }
    visit = apr_pcalloc(r->pool, sizeof(*visit));
    visit->r = r;
    visit->client = client;
    visit->settings = settings;
    visit->began = apr_time_now();
    visit->return_url = visit->detail = "";
    kohomai_slot_get(r)->visit = visit;
    status = answer_method(r);
    if (status != DECLINED) {
        return status;
    }
    if (kohomai_visitor_is_prefetch(r)) {
        return conclude(visit, KOHOMAI_PREFETCH, "");
    }
    if (kohomai_visitor_is_foreign(r)) {
        return conclude(visit, KOHOMAI_FORBIDDEN, "");
    }
    return start(visit);
}
