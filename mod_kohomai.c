/* mod_kohomai: hands the visitors of chosen paths off to a Kohomai onboarding journey.
 * Threads: httpd's, and one I/O thread per child that the client starts with the first call.
 * Memory: the child's record lives in the child's pool.
 * Never: knows a directive, a form field, JSON or libcurl; that is for the rooms in src/. */
#include "src/kohomai.h"
#include "src/body.h"
#include "src/client.h"
#include "src/flow.h"
#include "src/settings.h"
#include "src/visitor.h"

#include <ap_expr.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

/* One per child, made in child_init before any request and never changed. */
static kohomai_client_t *child_client;

kohomai_slot_t *kohomai_slot_find(const request_rec *r)
{
    kohomai_slot_t *slot = NULL;

    for (; r && !slot; r = r->prev) {
        slot = ap_get_module_config(r->request_config, &kohomai_module);
    }
    return slot;
}

kohomai_slot_t *kohomai_slot_get(request_rec *r)
{
    kohomai_slot_t *slot = kohomai_slot_find(r);

    if (!slot) {
        slot = apr_pcalloc(r->pool, sizeof(*slot));
        ap_set_module_config(r->request_config, &kohomai_module, slot);
    }
    return slot;
}

static int check_configuration(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    (void)ptemp;
    return kohomai_settings_check(pconf, s);
}

static void warn_in_test(apr_pool_t *pconf, server_rec *s)
{
    (void)pconf;
    kohomai_settings_warn(s);
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

static void start_child(apr_pool_t *pchild, server_rec *s)
{
    child_client = kohomai_client_create(pchild);
    if (!child_client) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     "libcurl could not be started: visitors will be told that Kohomai is busy");
    }
}

static int begin_visit(request_rec *r)
{
    return kohomai_flow_begin(r, child_client);
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    kohomai_body_register();
    ap_hook_check_config(check_configuration, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_test_config(warn_in_test, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(warn_at_start, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(start_child, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_expr_lookup(kohomai_visitor_expr_lookup, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before mod_rewrite, mod_dir, mod_proxy or a handler can claim the path. */
    ap_hook_fixups(begin_visit, NULL, NULL, APR_HOOK_REALLY_FIRST);
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
