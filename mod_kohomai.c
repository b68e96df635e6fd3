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
#include <apr_signal.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_watchdog.h>
#include <mpm_common.h>
#include <scoreboard.h>
#include <signal.h>

#define STOP_PATIENCE apr_time_from_sec(3)

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

/* ---- deliveries from the outbox ---- */

/* Whether this child has got a successor, or comes to its end. */
static int is_retired(void)
{
    int state = AP_MPMQ_STOPPING, generation = -1;

    ap_mpm_query(AP_MPMQ_MPM_STATE, &state);
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    return state == AP_MPMQ_STOPPING ||
           generation != ap_scoreboard_image->global->running_generation;
}

/* httpd calls this in each child, on a thread of its own. Prefork's signal handlers end a child on the
 * thread that got the signal, which must not be one that is waited for there. */
static apr_status_t turn(int state, void *data, apr_pool_t *pool)
{
    sigset_t all;

    (void)data;
    (void)pool;
    if (state == AP_WATCHDOG_STATE_STARTING) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, NULL);
    }
    if (state == AP_WATCHDOG_STATE_RUNNING && child.courier) {
        kohomai_courier_run(child.courier);
    }
    if (state == AP_WATCHDOG_STATE_STOPPING && child.courier) {
        kohomai_courier_stop(child.courier, 0); /* the child may linger; its successor delivers */
    }
    return APR_SUCCESS;
}

/* Not one of mod_watchdog's singletons: those lose ten seconds when a child dies, hold nobody back of
 * an older generation or another server, and with some mutexes hang for ever when their holder is
 * killed. The outbox has a lock of its own that is better. */
static void hire_courier(server_rec *s, apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get = NULL;
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add = NULL;
    ap_watchdog_t *watchdog = NULL;

    get = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    add = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    if (!get || !add || get(&watchdog, "kohomai_outbox", 0, 0, pconf) != APR_SUCCESS ||
        add(watchdog, AP_WD_TM_INTERVAL, NULL, turn) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     "KohomaiOutbox: mod_watchdog does not work: what is kept is not delivered");
    }
}

/* ---- parent and children ---- */

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
    child.repeat = kohomai_repeat_get(s->process->pool, &rv);
    if (!child.repeat) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "no shared memory: a double click may register twice");
    }
    if (kohomai_settings_outbox(s) &&
        ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        hire_courier(s, pconf);
    }
    return status;
}

/* Prefork says of each child that it stops at once, though idle ones are stopped gracefully all day. So
 * there the signal tells. */
static volatile sig_atomic_t terminated;
static apr_sigfunc_t *at_signal[NSIG];

static void note_termination(int signal)
{
    terminated = 1;
    if (at_signal[signal] != SIG_DFL && at_signal[signal] != SIG_IGN) {
        at_signal[signal](signal);
    }
}

static void watch_for_termination(void)
{
    int threaded = AP_MPMQ_NOT_SUPPORTED;

    if (ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) == APR_SUCCESS &&
        threaded == AP_MPMQ_NOT_SUPPORTED) {
        at_signal[SIGTERM] = apr_signal(SIGTERM, note_termination);
        at_signal[SIGHUP] = apr_signal(SIGHUP, note_termination);
    }
}

static int is_graceful(int said)
{
    return said || (at_signal[SIGTERM] && !terminated);
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
    child.courier = kohomai_courier_create(pchild, &(kohomai_post_t){.server = s,
                                                                     .client = child.client,
                                                                     .shared = child.shared,
                                                                     .keys = child.keys,
                                                                     .breaker = child.breaker,
                                                                     .is_retired = is_retired});
    if (child.courier) {
        watch_for_termination();
    }
}

/* A graceful stop lets visitors wait for their answers, and a delivery end; any other sends them away
 * at once. */
static void stop_child(apr_pool_t *pchild, int graceful)
{
    (void)pchild;
    if (!child.park) {
        return; /* it was told to stop before it had begun */
    }
    graceful = is_graceful(graceful);
    if (!graceful) {
        kohomai_park_stop(child.park);
    }
    if (!graceful && child.client) {
        kohomai_client_stop(child.client);
    }
    if (child.courier) {
        kohomai_courier_stop(child.courier,
                             graceful ? KOHOMAI_DELIVERY_MAX + STOP_PATIENCE : STOP_PATIENCE);
    }
}

/* About every ten seconds, in the parent, which may read what children may not. */
static int look_after(apr_pool_t *pool, server_rec *s)
{
    (void)pool;
    kohomai_keys_refresh(child.keys, s);
    kohomai_repeat_sweep(child.repeat, apr_time_now());
    return DECLINED;
}

static int begin_visit(request_rec *r)
{
    return kohomai_flow_begin(r, &child);
}

static void register_hooks(apr_pool_t *pool)
{
    static const char *const before_watchdog[] = {"mod_watchdog.c", NULL};

    (void)pool;
    kohomai_body_register();
    ap_hook_check_config(check_configuration, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_test_config(say_in_test, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(prepare, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(look_after, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(start_child, NULL, before_watchdog, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(stop_child, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_process_connection(kohomai_park_process_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_resume_connection(kohomai_park_resume_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_expr_lookup(kohomai_visitor_expr_lookup, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_header_parser(kohomai_flow_preflight, NULL, NULL, APR_HOOK_MIDDLE);
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
