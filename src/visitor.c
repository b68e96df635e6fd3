/* visitor: what a request says: who this is, what they sent, and who sent them.
 * Threads: the request's own. Memory: results live as long as the request.
 * Never: knows how the API spells a thing, or decides what becomes of the visitor. */
#include "visitor.h"
#include "body.h"
#include "form.h"
#include "kohomai.h"
#include "log.h"
#include "text.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_vhost.h>
#include <string.h>

/* What was read of a request so far, each at its first use. */
typedef struct kohomai_inputs_t {
    kohomai_body_t *body;
    kohomai_form_t *form, *query, *cookies;
    const char *args, *header; /* what query and cookies were read from: a rewrite may change it */
    const char *form_fault;    /* why the body is no form; NULL where it is one */
    const char *fault;         /* what the last expressions met; NULL for nothing */
} inputs_t;

/* ---- expression functions ---- */

/* The request that the client sent: a subrequest has no body, query and cookies of its own. */
static request_rec *request_of(const ap_expr_eval_ctx_t *ctx)
{
    request_rec *r = ctx->r;

    while (r && r->main) {
        r = r->main;
    }
    return r;
}

static inputs_t *inputs_of(request_rec *r)
{
    kohomai_slot_t *slot = kohomai_slot_get(r);

    if (!slot->inputs) {
        slot->inputs = apr_pcalloc(r->pool, sizeof(inputs_t));
    }
    return slot->inputs;
}

static const char *value_of(inputs_t *inputs, const kohomai_form_t *form, const char *name)
{
    return kohomai_form_value(form, name, &inputs->fault);
}

static void read_form(request_rec *r, inputs_t *inputs)
{
    const char *type = apr_table_get(r->headers_in, "Content-Type");

    if (!kohomai_form_is_form(type)) {
        kohomai_form_read_query(r->pool, NULL, &inputs->form); /* no form has no fields */
        return;
    }
    inputs->body = kohomai_body_read(r);
    if (inputs->body->error != APR_SUCCESS) {
        inputs->form_fault = "form-read";
    }
    else if (!inputs->body->whole || inputs->body->len > KOHOMAI_BODY_MAX) {
        inputs->form_fault = "form-size";
    }
    else {
        inputs->form_fault =
            kohomai_form_read(r->pool, type, inputs->body->bytes, inputs->body->len, &inputs->form);
    }
}

static const char *form_function(ap_expr_eval_ctx_t *ctx, const void *data, const char *name)
{
    request_rec *r = request_of(ctx);
    inputs_t *inputs;

    (void)data;
    if (!r || !ap_request_has_body(r)) {
        return "";
    }
    inputs = inputs_of(r);
    if (!inputs->form && !inputs->form_fault) {
        read_form(r, inputs);
    }
    if (inputs->form_fault) {
        inputs->fault = inputs->form_fault;
        return "";
    }
    return value_of(inputs, inputs->form, name);
}

static const char *query_function(ap_expr_eval_ctx_t *ctx, const void *data, const char *name)
{
    request_rec *r = request_of(ctx);
    inputs_t *inputs;

    (void)data;
    if (!r || !r->args) {
        return "";
    }
    inputs = inputs_of(r);
    if (inputs->args != r->args) {
        const char *fault = kohomai_form_read_query(r->pool, r->args, &inputs->query);

        inputs->args = r->args;
        inputs->fault = fault ? fault : inputs->fault;
    }
    return value_of(inputs, inputs->query, name);
}

static const char *cookie_function(ap_expr_eval_ctx_t *ctx, const void *data, const char *name)
{
    request_rec *r = request_of(ctx);
    const char *header = r ? apr_table_get(r->headers_in, "Cookie") : NULL;
    inputs_t *inputs;

    (void)data;
    if (!header) {
        return "";
    }
    inputs = inputs_of(r);
    if (inputs->header != header) {
        const char *fault = kohomai_form_read_cookies(r->pool, header, &inputs->cookies);

        inputs->header = header;
        inputs->fault = fault ? fault : inputs->fault;
    }
    return value_of(inputs, inputs->cookies, name);
}

int kohomai_visitor_expr_lookup(ap_expr_lookup_parms *parms)
{
    static const struct {
        const char *name;
        ap_expr_string_func_t *function;
    } functions[] = {
        {"form", form_function}, {"query", query_function}, {"cookie", cookie_function}};
    apr_size_t i;

    if (parms->type != AP_EXPR_FUNC_STRING) {
        return DECLINED;
    }
    for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (strcasecmp(parms->name, functions[i].name) == 0) {
            *parms->func = functions[i].function;
            *parms->data = functions[i].name;
            return OK;
        }
    }
    return DECLINED;
}

void kohomai_visitor_insert_filter(request_rec *r)
{
    kohomai_slot_t *slot = r->main ? NULL : kohomai_slot_find(r);

    if (slot && slot->inputs && slot->inputs->body) {
        kohomai_body_give_back(slot->inputs->body, r);
    }
}

/* ---- evaluating ---- */

/* Evaluates an expression into *value ("" for none). While it runs the request logs nothing below
 * a notice, since httpd would write the value itself, somebody's name, into a trace. */
static const char *evaluate(request_rec *r, const ap_expr_info_t *expr, const char **value,
                            int *status)
{
    static const struct ap_logconf quiet = {.module_levels = NULL, .level = APLOG_NOTICE};
    const struct ap_logconf *usual = r->log;
    inputs_t *inputs = inputs_of(r);
    const char *fault = NULL;

    *value = "";
    if (!expr) {
        return NULL;
    }
    inputs->fault = NULL;
    r->log = &quiet;
    *value = ap_expr_str_exec(r, expr, &fault);
    r->log = usual;
    if (inputs->body && inputs->body->error != APR_SUCCESS) {
        *status = ap_map_http_request_error(inputs->body->error, HTTP_BAD_REQUEST);
    }
    if (fault) {
        kohomai_log_line(r, APLOG_ERR, "an expression failed: %s", fault);
        return "expression";
    }
    if (!*value) {
        *value = "";
    }
    return inputs->fault;
}

static const char *find_id(request_rec *r, const ap_expr_info_t *expr, kohomai_id_e kind,
                           kohomai_identity_t *identity, int *status)
{
    const char *fault = evaluate(r, expr, &identity->id, status);

    identity->kind = kind;
    if (fault || !*identity->id) {
        return fault;
    }
    if (!kohomai_text_is_id(identity->id)) {
        return kind == KOHOMAI_ID_JOURNEY ? "journey-form" : "user-form";
    }
    return NULL;
}

const char *kohomai_visitor_identify(request_rec *r, const kohomai_settings_t *settings,
                                     kohomai_identity_t *identity, int *status)
{
    const char *fault = find_id(r, settings->journey, KOHOMAI_ID_JOURNEY, identity, status);

    if (fault || *identity->id) {
        return fault;
    }
    return find_id(r, settings->user, KOHOMAI_ID_USER, identity, status);
}

/* Adds the data points that are not empty and fit the generation. One that does not fit stops
 * httpd's start where the configuration shows it; from a .htaccess file it comes here. */
static const char *gather_data(request_rec *r, const kohomai_settings_t *settings,
                               kohomai_lead_t *lead, int *status)
{
    kohomai_api_e api = kohomai_settings_api(settings);
    const char *fault = NULL;
    int i;

    for (i = 0; settings->data && i < settings->data->nelts && !fault; i++) {
        const kohomai_data_setting_t *setting =
            &APR_ARRAY_IDX(settings->data, i, kohomai_data_setting_t);
        kohomai_datum_t datum = {setting->name, setting->id, ""};

        if ((setting->name != NULL) != kohomai_dialect_names_data(api) ||
            api == KOHOMAI_API_WORKFLOWS) {
            return "data-generation";
        }
        fault = evaluate(r, setting->value, &datum.value, status);
        if (!fault && *datum.value) {
            APR_ARRAY_PUSH(lead->data, kohomai_datum_t) = datum;
        }
    }
    return fault;
}

const char *kohomai_visitor_describe(request_rec *r, const kohomai_settings_t *settings,
                                     kohomai_lead_t *lead, int *status)
{
    const char *fault = NULL;
    int i;

    lead->data = apr_array_make(r->pool, 4, sizeof(kohomai_datum_t));
    lead->workflow = settings->workflow ? settings->workflow : "";
    lead->ref = "";
    for (i = 0; i < KOHOMAI_LEAD_FIELDS; i++) {
        lead->fields[i] = "";
    }
    for (i = 0; i < KOHOMAI_LEAD_FIELDS && !fault; i++) {
        fault = evaluate(r, settings->lead[i], &lead->fields[i], status);
        if (!fault && i == KOHOMAI_LEAD_EMAIL && !*lead->fields[i]) {
            return NULL;
        }
    }
    if (!fault) {
        fault = evaluate(r, settings->ref, &lead->ref, status);
    }
    if (!fault) {
        fault = gather_data(r, settings, lead, status);
    }
    return fault ? fault : kohomai_lead_check(lead);
}

/* ---- this site and others ---- */

static apr_port_t scheme_port(const request_rec *r)
{
    return strcmp(ap_http_scheme(r), "https") == 0 ? 443 : 80;
}

/* Whether a host, which may be in brackets, is a name of the virtual host that answers. */
static int is_own_host(request_rec *r, const kohomai_url_t *url)
{
    const char *host = url->host;

    if (url->port != ap_get_server_port(r)) {
        return 0;
    }
    return strcasecmp(host, r->server->server_hostname) == 0 ||
           ap_matches_request_vhost(r, host, r->server->port) ||
           ap_matches_request_vhost(r, host, url->port);
}

/* Scheme, host and port of this site as the visitor addressed it, where that is one of the server's
 * names, else by the server's own name. */
static void own_origin(request_rec *r, kohomai_url_t *origin)
{
    origin->https = scheme_port(r) == 443;
    origin->port = ap_get_server_port(r);
    origin->rest = "";
    origin->host = r->hostname ? r->hostname : "";
    if (*origin->host != '[' && ap_strchr_c(origin->host, ':')) {
        origin->host = apr_pstrcat(r->pool, "[", r->hostname, "]", NULL);
    }
    if (!r->hostname || !is_own_host(r, origin)) {
        origin->host = r->server->server_hostname;
    }
}

static const char *judge_target(request_rec *r, const kohomai_settings_t *settings,
                                const char **target)
{
    kohomai_url_t url;
    const char *reason;

    if (kohomai_url_is_path(*target)) {
        own_origin(r, &url);
        url.rest = *target;
        *target = kohomai_url_format(r->pool, &url);
        if (!settings->allow_return) {
            return NULL;
        }
    }
    reason = kohomai_url_parse(r->pool, *target, &url);
    if (reason) {
        return reason;
    }
    *target = kohomai_url_format(r->pool, &url);
    if (settings->allow_return) {
        return kohomai_url_is_allowed(&url, settings->allow_return) ? NULL : "return-host";
    }
    return is_own_host(r, &url) ? NULL : "return-host";
}

const char *kohomai_visitor_return_url(request_rec *r, const kohomai_settings_t *settings,
                                       const char **return_url, int *status)
{
    const char *fault = evaluate(r, settings->return_url, return_url, status);

    if (fault || !**return_url) {
        return fault;
    }
    return judge_target(r, settings, return_url);
}

const char *kohomai_visitor_fallback(request_rec *r, const kohomai_settings_t *settings,
                                     const kohomai_fallback_t *fallback, const char **target)
{
    int status = 0;
    const char *fault = evaluate(r, fallback->target, target, &status);

    if (fault || fallback->fixed || kohomai_url_is_path(*target)) {
        return fault;
    }
    return judge_target(r, settings, target);
}

/* ---- who may start a handoff ---- */

static const char *header(const request_rec *r, const char *name)
{
    const char *value = apr_table_get(r->headers_in, name);

    return value ? value : "";
}

static int header_is(const request_rec *r, const char *name, const char *value)
{
    return strcasecmp(header(r, name), value) == 0;
}

int kohomai_visitor_is_prefetch(const request_rec *r)
{
    static const char *const names[] = {"Sec-Purpose", "Purpose", "X-Moz"};
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = header(r, names[i]);

        if (ap_strcasestr(value, "prefetch") || ap_strcasestr(value, "prerender")) {
            return 1;
        }
    }
    return 0;
}

static int is_own_origin(request_rec *r, const char *text)
{
    kohomai_url_t url, own;

    if (kohomai_url_parse(r->pool, text, &url) != NULL || *url.rest) {
        return 0;
    }
    own_origin(r, &own);
    return url.https == own.https && url.port == own.port && strcasecmp(url.host, own.host) == 0;
}

const char *kohomai_visitor_origin(request_rec *r, const kohomai_settings_t *settings)
{
    const apr_array_header_t *allowed = settings->allow_origin;
    kohomai_url_t url;
    const char *origin;
    int i;

    if (!allowed || kohomai_url_parse(r->pool, header(r, "Origin"), &url) != NULL) {
        return NULL;
    }
    origin = kohomai_url_format(r->pool, &url);
    for (i = 0; i < allowed->nelts; i++) {
        if (strcmp(origin, APR_ARRAY_IDX(allowed, i, const char *)) == 0) {
            return APR_ARRAY_IDX(allowed, i, const char *);
        }
    }
    return NULL;
}

int kohomai_visitor_is_preflight(const request_rec *r)
{
    return r->method_number == M_OPTIONS && *header(r, "Origin") &&
           *header(r, "Access-Control-Request-Method");
}

/* A top-level navigation is a person following a link, from wherever. Everything else must come
 * from this site or one that it allows, or from a program that says nothing of where it comes
 * from. */
int kohomai_visitor_is_foreign(request_rec *r, const kohomai_settings_t *settings)
{
    const char *site = header(r, "Sec-Fetch-Site"), *origin = header(r, "Origin");

    if (r->method_number == M_GET && header_is(r, "Sec-Fetch-Mode", "navigate") &&
        (header_is(r, "Sec-Fetch-Dest", "document") || header_is(r, "Sec-Fetch-Dest", ""))) {
        return 0;
    }
    if (strcasecmp(site, "same-origin") == 0 || strcasecmp(site, "same-site") == 0 ||
        strcasecmp(site, "none") == 0) {
        return 0;
    }
    if (*origin) {
        return !is_own_origin(r, origin) && !kohomai_visitor_origin(r, settings);
    }
    return *site != '\0';
}

/* Whether a cookie is one of those that the scripts of Google, Meta, Matomo, Microsoft, Hotjar,
 * HubSpot or Cloudflare set anew while a visitor clicks. They name no session of the site's. */
static int is_measuring(const char *cookie)
{
    static const char *const names[] = {
        "_ga=",    "_ga_",   "_gat",   "_gid=",  "_gcl_",   "_fbp=",   "_pk_",  "_uetsid=",
        "_uetvid", "_clck=", "_clsk=", "_hjSes", "__hssc=", "__hstc=", "__utm", "__cf_bm="};
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(cookie, names[i], strlen(names[i])) == 0) {
            return 1;
        }
    }
    return 0;
}

const char *kohomai_visitor_session(request_rec *r)
{
    const char *at = header(r, "Cookie");
    char *kept = apr_palloc(r->pool, strlen(at) + 1), *end = kept;

    while (*at) {
        apr_size_t blank = strspn(at, " ;"), len = strcspn(at + blank, ";");

        if (!is_measuring(at + blank)) {
            memcpy(end, at, blank + len);
            end += blank + len;
        }
        at += blank + len;
    }
    *end = '\0';
    return kept;
}

/* ---- redirect or JSON ---- */

/* The quality that an Accept header gives a media type by its exact name, in thousandths; 0 where
 * it does not name it. */
static int quality(const char *accept, const char *type)
{
    apr_size_t len = strlen(type);
    const char *item = accept, *q;

    while (item && *item) {
        while (*item == ' ' || *item == ',') {
            item++;
        }
        if (strncasecmp(item, type, len) == 0 && !kohomai_text_is_alnum(item[len]) &&
            (item[len] == '\0' || !strchr("+-.", item[len]))) {
            apr_size_t rest = strcspn(item, ",");

            q = ap_strcasestr(item, ";q=");
            q = q ? q : ap_strcasestr(item, "; q=");
            if (!q || q > item + rest) {
                return 1000;
            }
            return (int)(strtod(ap_strchr_c(q, '=') + 1, NULL) * 1000);
        }
        item = ap_strchr_c(item, ',');
    }
    return 0;
}

int kohomai_visitor_wants_json(request_rec *r, const kohomai_settings_t *settings)
{
    const char *accept = header(r, "Accept");

    if (settings->response == KOHOMAI_RESPONSE_JSON) {
        return 1;
    }
    if (settings->response == KOHOMAI_RESPONSE_REDIRECT ||
        header_is(r, "Sec-Fetch-Mode", "navigate")) {
        return 0;
    }
    return header_is(r, "Sec-Fetch-Mode", "cors") ||
           header_is(r, "Sec-Fetch-Mode", "same-origin") ||
           header_is(r, "X-Requested-With", "XMLHttpRequest") ||
           quality(accept, "application/json") > quality(accept, "text/html");
}
