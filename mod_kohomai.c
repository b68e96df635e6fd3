/* mod_kohomai: hands the visitors of chosen paths off to a Kohomai onboarding journey.
 * Threads: httpd's, and one I/O thread per child that the client starts with the first call.
 * Memory: the child's record lives in the child's pool.
 * Never: knows a directive, a form field, JSON or libcurl; that is for the rooms in src/. */
#include "src/kohomai.h"
#include "src/body.h"
#include "src/flow.h"
#include "src/settings.h"
#include "src/visitor.h"

#include <ap_expr.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

/* Made in child_init before any request, and never changed. */
static kohomai_child_t child;

static int check_configuration(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                               server_rec *s)
{
    (void)plog;
    (void)ptemp;
    return kohomai_settings_check(pconf, s);
}

static void say_in_test(apr_pool_t *pconf, server_rec *s)
{
    kohomai_settings_warn(s);
    if (ap_exists_config_define("DUMP_KOHOMAI")) {
        kohomai_settings_dump(pconf, s, kohomai_gate_default(), kohomai_gate_scope());
    }
}

/* httpd reads its configuration twice when it starts; only the second time is for good. */
static int warn_at_start(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        kohomai_settings_warn(s);
    }
    return OK;
}

/* What children share is made by their parent. */
static int prepare(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_status_t rv = APR_SUCCESS;
    int status = warn_at_start(pconf, plog, ptemp, s);

    child.keys = kohomai_keys_of(pconf);
    child.shared = kohomai_shared_get(s, kohomai_gate_children(), &rv);
    if (!child.shared) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "no shared memory: the breaker and the limits will not work");
    }
    return status;
}

static void start_child(apr_pool_t *pchild, server_rec *s)
{
    int cap = kohomai_settings_max_pending(s);

    child.breaker = kohomai_settings_breaker(s);
    child.park = kohomai_park_create(pchild);
    child.gate = kohomai_gate_create(pchild, child.shared, cap ? cap : kohomai_gate_default());
    child.client = kohomai_client_create(pchild);
    if (!child.client) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     "libcurl could not be started: visitors will be told that Kohomai is busy");
    }
}

/* A graceful stop lets visitors wait for their answers; any other sends them away at once. */
static void stop_child(apr_pool_t *pchild, int graceful)
{
    (void)pchild;
    if (!graceful && child.client) {
        kohomai_client_stop(child.client);
    }
}

/* About every ten seconds, in the parent, which may read what children may not. */
static int look_after_keys(apr_pool_t *pool, server_rec *s)
{
    (void)pool;
    kohomai_keys_refresh(child.keys, s);
    return DECLINED;
}

static int begin_visit(request_rec *r)
{
    return kohomai_flow_begin(r, &child);
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    kohomai_body_register();
    ap_hook_check_config(check_configuration, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_test_config(say_in_test, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(prepare, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(look_after_keys, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(start_child, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(stop_child, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_process_connection(kohomai_park_process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_resume_connection(kohomai_park_resume_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_expr_lookup(kohomai_visitor_expr_lookup, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before mod_rewrite, mod_dir, mod_proxy or a handler can claim the path. */
    ap_hook_fixups(begin_visit, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_insert_error_filter(kohomai_flow_protect_error, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_filter(kohomai_visitor_insert_filter, NULL, NULL, APR_HOOK_FIRST);
}

/* The one name that the module exports; httpd's macro does not see to it under -fvisibility=hidden. */
extern module AP_MODULE_DECLARE_DATA kohomai_module __attribute__((visibility("default")));

AP_DECLARE_MODULE(kohomai) = {
    STANDARD20_MODULE_STUFF,
    kohomai_settings_create,
    kohomai_settings_merge,
    kohomai_settings_server_create,
    NULL, /* each virtual host has its own record; what it inherits is judged where it is read */
    kohomai_settings_commands,
    register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE,
#endif
};
