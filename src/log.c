/* log: keeps what visitors sent, and the link, out of the lines that the log gets about a request.
 * Threads: the request's own. Memory: the request's pool.
 * Never: decides what is worth a line. */
#include "log.h"
#include "kohomai.h"

#include <apr_strings.h>
#include <http_log.h>
#include <stdarg.h>

APLOG_USE_MODULE(kohomai);

extern module AP_MODULE_DECLARE_DATA http_module;

void kohomai_log_line(request_rec *r, int level, const char *format, ...)
{
    request_rec shown;
    va_list values;
    const char *text;

    if (!APLOG_R_IS_LEVEL(r, level)) {
        return;
    }
    shown = *r;
    if (apr_table_get(r->headers_in, "Referer")) {
        shown.headers_in = apr_table_copy(r->pool, r->headers_in);
        apr_table_unset(shown.headers_in, "Referer");
    }
    va_start(values, format);
    text = apr_pvsprintf(r->pool, format, values);
    va_end(values);
    ap_log_rerror(APLOG_MARK, level, 0, &shown, "%s", text);
    r->log_id = shown.log_id; /* which httpd makes with a request's first line */
}

static const struct ap_logconf *levels_of(const request_rec *r)
{
    if (r->log) {
        return r->log;
    }
    return r->connection->log ? r->connection->log : &r->server->log;
}

void kohomai_log_hush(request_rec *r)
{
    struct ap_logconf *quiet;

    if (APLOG_R_MODULE_IS_LEVEL(r, http_module.module_index, APLOG_TRACE4)) {
        quiet = ap_new_log_config(r->pool, levels_of(r));
        ap_set_module_loglevel(r->pool, quiet, http_module.module_index, APLOG_TRACE3);
        r->log = quiet;
    }
}
