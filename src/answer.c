/* answer: writes the end of a visit, as a redirect, a page for people or JSON for programs.
 * Threads: the request's own. Memory: the request's pool.
 * Never: decides the outcome, or repeats anything that the visitor sent. */
#include "answer.h"

#include <apr_strings.h>
#include <cjson/cJSON.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_core.h>
#include <string.h>

void kohomai_answer_protect(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->err_headers_out, "Referrer-Policy", "no-referrer");
}

void kohomai_answer_allow_origin(request_rec *r, const char *origin)
{
    apr_table_t *headers = r->err_headers_out;

    apr_table_mergen(headers, "Vary", "Origin"); /* httpd leaves out what is there twice */
    if (origin) {
        apr_table_setn(headers, "Access-Control-Allow-Origin", origin);
        apr_table_setn(headers, "Access-Control-Allow-Credentials", "true");
        apr_table_setn(headers, "Access-Control-Expose-Headers", "Retry-After");
    }
}

/* Sends a text at once. This comes before httpd has chosen a handler, so the chain is set up the
 * way that httpd does it for its own error pages. */
static int send_text(request_rec *r, int status, const char *type, const char *text)
{
    r->status = status;
    r->output_filters = r->proto_output_filters;
    ap_run_insert_error_filter(r);
    ap_set_content_type(r, type);
    ap_set_content_length(r, (apr_off_t)strlen(text));
    ap_rputs(text, r);
    return DONE;
}

static int send_json(request_rec *r, int status, const char *type, cJSON *object)
{
    char *printed = cJSON_PrintUnformatted(object);
    const char *text = apr_pstrcat(r->pool, printed ? printed : "{}", "\n", NULL);

    cJSON_free(printed);
    cJSON_Delete(object);
    return send_text(r, status, type, text);
}

/* httpd's own page would repeat the link in its text: one more place to leak it from. */
int kohomai_answer_redirect(request_rec *r, const char *target)
{
    int status = r->method_number == M_POST ? HTTP_SEE_OTHER : HTTP_MOVED_TEMPORARILY;

    apr_table_setn(r->headers_out, "Location", target);
    ap_custom_response(r, status,
                       "<!DOCTYPE html>\n<title>One moment</title>\n<p>One moment.</p>\n");
    return status;
}

int kohomai_answer_link(request_rec *r, const char *link, const char *valid_until)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "ConnectionURL", link);
    if (*valid_until) {
        cJSON_AddStringToObject(object, "ValidUntil", valid_until);
    }
    return send_json(r, HTTP_OK, "application/json", object);
}

int kohomai_answer_empty(request_rec *r)
{
    r->status = HTTP_NO_CONTENT;
    r->output_filters = r->proto_output_filters;
    ap_run_insert_error_filter(r);
    return DONE;
}

int kohomai_answer_preflight(request_rec *r)
{
    apr_table_t *headers = r->err_headers_out;

    apr_table_setn(headers, "Access-Control-Allow-Methods", "GET, POST");
    apr_table_setn(headers, "Access-Control-Allow-Headers",
                   "Accept, Content-Type, X-Requested-With");
    apr_table_setn(headers, "Access-Control-Max-Age", "600");
    return kohomai_answer_empty(r);
}

static const char *title_of(int status)
{
    return ap_get_status_line(status) + 4; /* behind "422 " */
}

static cJSON *problem(kohomai_outcome_e outcome, int status, const char *reason,
                      const char *location)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "title", title_of(status));
    cJSON_AddNumberToObject(object, "status", status);
    if (outcome != KOHOMAI_NO_OUTCOME) {
        cJSON_AddStringToObject(object, "detail", kohomai_outcome_headline(outcome));
        cJSON_AddStringToObject(object, "outcome", kohomai_outcome_name(outcome));
    }
    if (*reason) {
        cJSON_AddStringToObject(object, "reason", reason);
    }
    if (location) {
        cJSON_AddStringToObject(object, "Location", location);
    }
    return object;
}

/* What went well is no problem, and says so in its own form. */
static cJSON *notice(kohomai_outcome_e outcome, const char *location)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "Status", kohomai_outcome_name(outcome));
    if (location) {
        cJSON_AddStringToObject(object, "Location", location);
    }
    return object;
}

static const char *page(request_rec *r, kohomai_outcome_e outcome)
{
    const char *headline = kohomai_outcome_headline(outcome);

    return apr_pstrcat(
        r->pool, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<title>", headline,
        "</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<style>body{font:1.125rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;"
        "padding:0 1rem}</style>\n</head>\n<body>\n<h1>",
        headline, "</h1>\n<p>", kohomai_outcome_advice(outcome), "</p>\n</body>\n</html>\n", NULL);
}

int kohomai_answer_words(request_rec *r, kohomai_outcome_e outcome, int status, const char *reason,
                         int json, const char *location)
{
    int index = ap_index_of_response(status);

    if (json && status < 400) {
        return send_json(r, status, "application/json", notice(outcome, location));
    }
    if (json) {
        return send_json(r, status, "application/problem+json",
                         problem(outcome, status, reason, location));
    }
    if (status < 400) {
        return send_text(r, status, "text/html; charset=utf-8", page(r, outcome));
    }
    if (!ap_response_code_string(r, index)) {
        ap_custom_response(r, status, page(r, outcome));
    }
    return status;
}
