/* settings: the directives, what they leave in a place of the configuration, and their defaults.
 * Threads: settings do not change once made; reading is safe everywhere. Memory: the pool of the
 *   configuration, or of the request where httpd merges for it.
 * Never: sees a live request. */
#include "settings.h"
#include "kohomai.h"
#include "outbox.h"
#include "text.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <string.h>
#include <unistd.h>
#include <unixd.h>

APLOG_USE_MODULE(kohomai);

#define DEFAULT_BASE_URL "https://app.kohomai.com/api/v1"
#define DEFAULT_TOTAL apr_time_from_sec(10)
#define DEFAULT_CONNECT apr_time_from_sec(3)
#define DEFAULT_RETRIES 1
#define RETRIES_MAX 10
#define DEFAULT_FAILURES 5
#define DEFAULT_OPEN apr_time_from_sec(15)
#define PENDING_MAX 1000000
#define TOTAL_MAX apr_time_from_sec(3600)
#define DEFAULT_REGISTERS 60
#define DEFAULT_REGISTERS_IN apr_time_from_sec(60)

/* What can only be judged when the whole configuration is known: where it was said, and about
 * which place. */
typedef enum {
    CLAIM_HANDOFF,
    CLAIM_PLAIN_HTTP,
    CLAIM_DATA_NAME,
    CLAIM_DATA_ID,
    CLAIM_PHONE,
    CLAIM_WORKFLOWS
} claim_e;

typedef struct {
    claim_e what;
    const kohomai_settings_t *place;
    const char *where; /* file:line */
    const char *text;
} claim_t;

typedef struct {
    apr_array_header_t *claims;   /* of claim_t */
    apr_array_header_t *warnings; /* of const char * */
    int insecure;                 /* 0 unset, 1 off, 2 on */
    unsigned apis_in_places;      /* a bit for each kohomai_api_e that some section names */
    int workflow_somewhere;
    const kohomai_breaker_policy_t *breaker; /* main server only, like max_pending */
    int max_pending;                         /* 0: nothing was said */
    apr_interval_time_t longest;             /* of all KohomaiTimeout */
    apr_array_header_t *bases, *ca_files;    /* of const char *: all that any place names */
    const char *outbox;                      /* main server only; NULL for none */
} server_t;

void *kohomai_settings_server_create(apr_pool_t *pool, server_rec *s)
{
    server_t *server = apr_pcalloc(pool, sizeof(*server));

    (void)s;
    server->claims = apr_array_make(pool, 4, sizeof(claim_t));
    server->warnings = apr_array_make(pool, 4, sizeof(const char *));
    server->bases = apr_array_make(pool, 4, sizeof(const char *));
    server->ca_files = apr_array_make(pool, 4, sizeof(const char *));
    return server;
}

static server_t *server_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &kohomai_module);
}

/* ---- what several directives share ---- */

static int in_htaccess(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_HTACCESS) != NULL;
}

static const char *where(cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num);
}

/* AllowOverrideList lets a .htaccess file say all that a section may say. But what holds a secret, a
 * file of root's or something to remember for the whole server is read at the start, by one thread,
 * and judged there. NULL elsewhere, else the refusal. */
static const char *refuse_htaccess(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_HTACCESS);
}

/* A .htaccess file is read by many threads at once, and is judged at the request instead. */
static void claim(cmd_parms *cmd, claim_e what, const kohomai_settings_t *place, const char *text)
{
    if (!in_htaccess(cmd)) {
        claim_t *entry = apr_array_push(server_of(cmd->server)->claims);

        *entry = (claim_t){what, place, where(cmd), text};
    }
}

static void warn(cmd_parms *cmd, const char *sentence)
{
    APR_ARRAY_PUSH(server_of(cmd->server)->warnings, const char *) =
        apr_psprintf(cmd->pool, "%s: %s: %s", where(cmd), cmd->cmd->name, sentence);
}

/* NULL inside a section, else the refusal. */
static const char *refuse_outside(cmd_parms *cmd)
{
    if (cmd->path) {
        return NULL;
    }
    return apr_psprintf(cmd->pool,
                        "%s must stand inside a section, such as <Location \"/onboarding\">: it "
                        "says something about a path",
                        cmd->cmd->name);
}

static const char *read_expression(cmd_parms *cmd, const char *text, const ap_expr_info_t **expr)
{
    unsigned flags = AP_EXPR_FLAG_STRING_RESULT | AP_EXPR_FLAG_DONT_VARY;
    const char *fault = refuse_outside(cmd);

    if (fault) {
        return fault;
    }
    if (in_htaccess(cmd)) {
        flags |= AP_EXPR_FLAG_RESTRICTED;
    }
    /* httpd logs what an expression yields under the module that compiled it. */
    *expr = ap_expr_parse_cmd_mi(cmd, text, flags, &fault, NULL, APLOG_NO_MODULE);
    if (!fault) {
        return NULL;
    }
    return apr_psprintf(cmd->pool,
                        "%s: cannot read the expression '%s': %s (see "
                        "https://httpd.apache.org/docs/2.4/expr.html)",
                        cmd->cmd->name, text, fault);
}

static const char *read_duration(cmd_parms *cmd, const char *text, apr_interval_time_t *duration)
{
    static const char *const units[] = {"ms", "s", "min", "h"};
    apr_size_t i, digits = strspn(text, "0123456789");

    for (i = 0; digits && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i]) == 0 &&
            ap_timeout_parameter_parse(text, duration, "s") == APR_SUCCESS && *duration > 0) {
            return NULL;
        }
    }
    return apr_psprintf(cmd->pool,
                        "%s: '%s' is not a duration: write a number above 0 and its "
                        "unit (ms, s, min or h), such as 500ms, 10s or 5min",
                        cmd->cmd->name, text);
}

static const char *read_number(cmd_parms *cmd, const char *text, int lowest, int highest,
                               int *number)
{
    if (*text && strlen(text) <= 7 && strspn(text, "0123456789") == strlen(text)) {
        *number = (int)apr_atoi64(text);
        if (*number >= lowest && *number <= highest) {
            return NULL;
        }
    }
    return apr_psprintf(cmd->pool, "%s: '%s' is not a whole number from %d to %d", cmd->cmd->name,
                        text, lowest, highest);
}

static const char *refuse_word(cmd_parms *cmd, const char *word, const char *choices)
{
    return apr_psprintf(cmd->pool, "%s: '%s' is none of %s", cmd->cmd->name, word, choices);
}

/* ---- the directives ---- */

static const char *set_handoff(cmd_parms *cmd, void *place, const char *word)
{
    static const struct {
        const char *word;
        kohomai_handoff_e handoff;
    } words[] = {{"on", KOHOMAI_HANDOFF_ON},
                 {"off", KOHOMAI_HANDOFF_OFF},
                 {"session", KOHOMAI_HANDOFF_SESSION},
                 {"register", KOHOMAI_HANDOFF_REGISTER}};
    kohomai_settings_t *settings = place;
    const char *fault = refuse_outside(cmd);
    apr_size_t i;

    for (i = 0; !fault && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(word, words[i].word) == 0) {
            settings->handoff = words[i].handoff;
            if (settings->handoff != KOHOMAI_HANDOFF_OFF) {
                claim(cmd, CLAIM_HANDOFF, settings, word);
            }
            return NULL;
        }
    }
    return fault ? fault : refuse_word(cmd, word, "On, Off, session, register");
}

static const char *set_response(cmd_parms *cmd, void *place, const char *word)
{
    static const struct {
        const char *word;
        kohomai_response_e response;
    } words[] = {{"auto", KOHOMAI_RESPONSE_AUTO},
                 {"redirect", KOHOMAI_RESPONSE_REDIRECT},
                 {"json", KOHOMAI_RESPONSE_JSON}};
    kohomai_settings_t *settings = place;
    const char *fault = refuse_outside(cmd);
    apr_size_t i;

    for (i = 0; !fault && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(word, words[i].word) == 0) {
            settings->response = words[i].response;
            return NULL;
        }
    }
    return fault ? fault : refuse_word(cmd, word, "auto, redirect, json");
}

static const char *set_base_url(cmd_parms *cmd, void *place, const char *text)
{
    kohomai_settings_t *settings = place;
    kohomai_base_t *base = apr_pcalloc(cmd->pool, sizeof(*base));
    char *trimmed = apr_pstrdup(cmd->pool, text);
    apr_size_t len = strlen(trimmed);
    const char *fault = refuse_htaccess(cmd);

    if (fault) {
        return fault;
    }
    while (len && trimmed[len - 1] == '/') {
        trimmed[--len] = '\0';
    }
    fault = kohomai_url_parse(cmd->pool, trimmed, &base->url);
    if (fault || strpbrk(base->url.rest, "?#")) {
        return apr_psprintf(cmd->pool,
                            "KohomaiBaseURL: '%s' cannot be used (%s): write an https URL "
                            "without user, query and fragment, such as " DEFAULT_BASE_URL,
                            text, fault ? fault : "url-query");
    }
    base->text = kohomai_url_format(cmd->pool, &base->url);
    settings->base = base;
    APR_ARRAY_PUSH(server_of(cmd->server)->bases, const char *) = base->text;
    if (!base->url.https && !kohomai_url_is_loopback(&base->url)) {
        claim(cmd, CLAIM_PLAIN_HTTP, settings, base->text);
    }
    return NULL;
}

static const char *set_insecure(cmd_parms *cmd, void *place, int on)
{
    (void)place;
    server_of(cmd->server)->insecure = on ? 2 : 1;
    if (on) {
        warn(cmd, "calls to Kohomai may go over plain http, where the key and the links can be "
                  "read on the way: for test rigs only");
    }
    return NULL;
}

/* httpd keeps what it read, and shows it: mod_info's page, -D DUMP_CONFIG. */
static void mask(cmd_parms *cmd, const char *shown)
{
    ((ap_directive_t *)cmd->directive)->args = apr_pstrdup(cmd->pool, shown);
}

static const char *set_key(cmd_parms *cmd, void *place, const char *source)
{
    kohomai_settings_t *settings = place;
    const char *warning = NULL, *fault = refuse_htaccess(cmd);

    if (fault) {
        return fault;
    }
    fault = kohomai_keys_add(kohomai_keys_of(cmd->pool), source, &settings->key, &warning);
    if (fault) {
        return apr_pstrcat(cmd->pool, "KohomaiAPIKey: ", fault, NULL);
    }
    if (warning) {
        warn(cmd, warning);
    }
    if (strncmp(kohomai_key_label(settings->key), "literal:", 8) == 0) {
        mask(cmd, "***");
    }
    return NULL;
}

static int everybody_reads(cmd_parms *cmd)
{
    apr_finfo_t info;

    return apr_stat(&info, cmd->directive->filename, APR_FINFO_PROT, cmd->temp_pool) ==
               APR_SUCCESS &&
           (info.protection & APR_FPROT_WREAD);
}

/* KohomaiProxy none. */
static const kohomai_proxy_t no_proxy = {.label = "none"};

static const char *set_proxy(cmd_parms *cmd, void *place, const char *text)
{
    kohomai_settings_t *settings = place;
    const char *fault = refuse_htaccess(cmd);

    if (fault) {
        return fault;
    }
    settings->proxy = &no_proxy;
    if (strcasecmp(text, no_proxy.label) == 0) {
        return NULL;
    }
    fault = kohomai_proxies_add(kohomai_proxies_of(cmd->pool), text, &settings->proxy);
    if (fault) {
        return apr_pstrcat(cmd->pool, "KohomaiProxy: this URL cannot be used: ", fault,
                           "; write none, or a scheme, host and port, such as "
                           "http://proxy.example.com:3128 or "
                           "http://user:password@proxy.example.com:3128",
                           NULL);
    }
    if (settings->proxy->user) {
        mask(cmd, kohomai_proxy_mask(cmd->pool, settings->proxy));
        if (everybody_reads(cmd)) {
            warn(cmd, "everybody on this machine can read the password for the proxy here: put "
                      "the line into a file of its own that only root can read (chmod 600), and "
                      "Include that");
        }
    }
    return NULL;
}

static const char *set_timeout(cmd_parms *cmd, void *place, const char *total, const char *connect)
{
    kohomai_settings_t *settings = place;
    kohomai_patience_t *patience = apr_pcalloc(cmd->pool, sizeof(*patience));
    const char *fault = refuse_htaccess(cmd);

    if (!fault) {
        fault = read_duration(cmd, total, &patience->total);
    }
    if (fault) {
        return fault;
    }
    patience->connect = DEFAULT_CONNECT < patience->total ? DEFAULT_CONNECT : patience->total;
    if (connect && strncasecmp(connect, "connect=", 8) != 0) {
        return refuse_word(cmd, connect, "connect=DURATION");
    }
    if (connect) {
        fault = read_duration(cmd, connect + 8, &patience->connect);
    }
    if (!fault && (patience->total > TOTAL_MAX || patience->connect > patience->total)) {
        fault = "KohomaiTimeout: the total may be 1h at most, and connect= no more than the total";
    }
    settings->patience = patience;
    if (!fault && server_of(cmd->server)->longest < patience->total) {
        server_of(cmd->server)->longest = patience->total;
    }
    return fault;
}

static const char *set_retry(cmd_parms *cmd, void *place, const char *text)
{
    kohomai_settings_t *settings = place;
    int retries = 0;
    const char *fault = read_number(cmd, text, 0, RETRIES_MAX, &retries);

    settings->retries = retries + 1;
    return fault;
}

static const char *set_breaker(cmd_parms *cmd, void *place, const char *failures, const char *open)
{
    kohomai_breaker_policy_t *policy = apr_pcalloc(cmd->pool, sizeof(*policy));
    const char *fault = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)place;
    server_of(cmd->server)->breaker = policy;
    if (fault || (!open && strcasecmp(failures, "off") == 0)) {
        return fault;
    }
    if (!open) {
        return "KohomaiBreaker: write a number of failures and a duration, such as 5 15s, or Off";
    }
    fault = read_number(cmd, failures, 1, 10000, &policy->failures);
    if (!fault) {
        fault = read_duration(cmd, open, &policy->open);
    }
    if (!fault && policy->open > KOHOMAI_BREAKER_OPEN_MAX) {
        fault = "KohomaiBreaker: the breaker may stay open for 1h at most";
    }
    return fault;
}

static const char *set_max_pending(cmd_parms *cmd, void *place, const char *text)
{
    const char *fault = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)place;
    return fault ? fault
                 : read_number(cmd, text, 1, PENDING_MAX, &server_of(cmd->server)->max_pending);
}

static const char *set_outbox(cmd_parms *cmd, void *place, const char *name)
{
    const char *fault = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *path = ap_server_root_relative(cmd->pool, name);

    (void)place;
    if (!fault && !path) {
        fault = "KohomaiOutbox: name a directory, such as /var/lib/kohomai/outbox";
    }
    server_of(cmd->server)->outbox = path;
    return fault;
}

static const char *set_ca_file(cmd_parms *cmd, void *place, const char *name)
{
    kohomai_settings_t *settings = place;
    const char *path = ap_server_root_relative(cmd->pool, name);
    const char *fault = refuse_htaccess(cmd);
    apr_file_t *file;
    char text[120];
    apr_status_t rv;

    if (fault) {
        return fault;
    }
    rv = path ? apr_file_open(&file, path, APR_READ, 0, cmd->pool) : APR_EBADPATH;
    if (rv != APR_SUCCESS) {
        return apr_psprintf(cmd->pool,
                            "KohomaiCAFile: cannot read %s: %s; name a PEM file with the "
                            "certificates to trust",
                            name, apr_strerror(rv, text, sizeof(text)));
    }
    apr_file_close(file);
    settings->ca_file = path;
    APR_ARRAY_PUSH(server_of(cmd->server)->ca_files, const char *) = path;
    return NULL;
}

static const char *set_api(cmd_parms *cmd, void *place, const char *name)
{
    kohomai_settings_t *settings = place;
    int api = kohomai_dialect_find(name);
    const char *fault = refuse_htaccess(cmd);

    if (fault) {
        return fault;
    }
    if (api < 0) {
        return refuse_word(cmd, name, "leads, journeys, journeys-flat, workflows");
    }
    settings->api = api + 1;
    if (!cmd->path) {
        return NULL;
    }
    server_of(cmd->server)->apis_in_places |= 1u << api;
    if (api == KOHOMAI_API_WORKFLOWS) {
        claim(cmd, CLAIM_WORKFLOWS, settings, name);
    }
    return NULL;
}

static const char *set_journey(cmd_parms *cmd, void *place, const char *text)
{
    return read_expression(cmd, text, &((kohomai_settings_t *)place)->journey);
}

static const char *set_user(cmd_parms *cmd, void *place, const char *text)
{
    return read_expression(cmd, text, &((kohomai_settings_t *)place)->user);
}

static const char *set_ref(cmd_parms *cmd, void *place, const char *text)
{
    return read_expression(cmd, text, &((kohomai_settings_t *)place)->ref);
}

static const char *set_return_url(cmd_parms *cmd, void *place, const char *text)
{
    return read_expression(cmd, text, &((kohomai_settings_t *)place)->return_url);
}

static const char *set_lead(cmd_parms *cmd, void *place, const char *name, const char *text)
{
    kohomai_settings_t *settings = place;
    int field = kohomai_lead_field_find(name);

    if (field < 0) {
        return refuse_word(cmd, name, "Email, Firstname, Lastname, PhoneNumber");
    }
    if (field == KOHOMAI_LEAD_PHONE) {
        claim(cmd, CLAIM_PHONE, settings, name);
    }
    return read_expression(cmd, text, &settings->lead[field]);
}

static const char *set_data(cmd_parms *cmd, void *place, const char *name, const char *text)
{
    kohomai_settings_t *settings = place;
    kohomai_data_setting_t setting = {NULL, NULL, NULL};
    const char *fault = read_expression(cmd, text, &setting.value);

    if (fault) {
        return fault;
    }
    if (*name == '#') {
        setting.id = name + 1;
        if (!kohomai_text_is_id(setting.id)) {
            return apr_psprintf(cmd->pool,
                                "KohomaiData: '%s' is not an id: write # and 1 to 20 "
                                "digits",
                                name);
        }
    }
    else {
        setting.name = name;
        if (!*name || strlen(name) > KOHOMAI_FIELD_MAX ||
            !kohomai_text_is_utf8(name, strlen(name)) ||
            kohomai_text_has_control(name, strlen(name), 0)) {
            return "KohomaiData: a data point's name must be UTF-8 text without control characters";
        }
    }
    if (!settings->data) {
        settings->data = apr_array_make(cmd->pool, 4, sizeof(setting));
    }
    APR_ARRAY_PUSH(settings->data, kohomai_data_setting_t) = setting;
    claim(cmd, setting.id ? CLAIM_DATA_ID : CLAIM_DATA_NAME, settings, name);
    return NULL;
}

static const char *set_workflow(cmd_parms *cmd, void *place, const char *id)
{
    kohomai_settings_t *settings = place;
    const char *fault = refuse_outside(cmd);

    if (!fault && !kohomai_text_is_id(id)) {
        fault =
            apr_psprintf(cmd->pool, "KohomaiWorkflow: '%s' is not an id: write 1 to 20 digits", id);
    }
    settings->workflow = id;
    if (!in_htaccess(cmd)) {
        server_of(cmd->server)->workflow_somewhere = 1;
    }
    return fault;
}

static const char *add_host(cmd_parms *cmd, apr_array_header_t **list, const char *host)
{
    const char *fault = kohomai_url_check_pattern(host);

    if (fault) {
        return apr_psprintf(cmd->pool, "%s: '%s': %s", cmd->cmd->name, host, fault);
    }
    if (!*list) {
        *list = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(*list, const char *) = host;
    return NULL;
}

static const char *add_allow_return(cmd_parms *cmd, void *place, const char *host)
{
    return add_host(cmd, &((kohomai_settings_t *)place)->allow_return, host);
}

static const char *add_allow_link(cmd_parms *cmd, void *place, const char *host)
{
    return add_host(cmd, &((kohomai_settings_t *)place)->allow_link, host);
}

/* An origin as browsers write it: scheme, host and, where it is not the scheme's own, port. */
static const char *add_allow_origin(cmd_parms *cmd, void *place, const char *text)
{
    kohomai_settings_t *settings = place;
    kohomai_url_t url;
    const char *why = NULL;

    if (strcmp(text, "*") == 0) {
        why = "any site could then act for your visitors";
    }
    else if (strcasecmp(text, "null") == 0) {
        why = "every page of every site can call itself that";
    }
    else if (kohomai_url_parse(cmd->pool, text, &url) != NULL || *url.rest) {
        why = "that is no origin";
    }
    if (why) {
        return apr_psprintf(cmd->pool,
                            "KohomaiAllowOrigin: '%s': %s; write https://HOST or "
                            "https://HOST:PORT (or http://), without a path",
                            text, why);
    }
    if (!settings->allow_origin) {
        settings->allow_origin = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(settings->allow_origin, const char *) = kohomai_url_format(cmd->pool, &url);
    return NULL;
}

static const char *read_rate(cmd_parms *cmd, const char *text, kohomai_limit_policy_t *policy)
{
    const char *slash = strchr(text, '/'), *fault;

    if (strcasecmp(text, "off") == 0) {
        return NULL;
    }
    if (!slash) {
        return apr_psprintf(cmd->pool,
                            "KohomaiRateLimit: '%s' is no rate: write a number and a duration, "
                            "such as 60/1min, or Off",
                            text);
    }
    fault = read_number(cmd, apr_pstrmemdup(cmd->pool, text, (apr_size_t)(slash - text)), 1,
                        KOHOMAI_LIMIT_COUNT_MAX, &policy->count);
    if (!fault) {
        fault = read_duration(cmd, slash + 1, &policy->duration);
    }
    if (!fault && policy->duration > KOHOMAI_LIMIT_DURATION_MAX) {
        fault = "KohomaiRateLimit: the duration may be 24h at most";
    }
    if (!fault && policy->duration / policy->count < KOHOMAI_LIMIT_PACE_MIN) {
        fault = "KohomaiRateLimit: that is more than 100 a second: write a lower rate, or Off";
    }
    return fault;
}

static const char *set_rate_limit(cmd_parms *cmd, void *place, const char *first,
                                  const char *second)
{
    kohomai_settings_t *settings = place;
    kohomai_limit_policy_t *policy = apr_pcalloc(cmd->pool, sizeof(*policy));
    int registers = !second || strcasecmp(first, "register") == 0;
    int sessions = !second || strcasecmp(first, "session") == 0;
    const char *fault = read_rate(cmd, second ? second : first, policy);

    if (!registers && !sessions) {
        return refuse_word(cmd, first, "register, session");
    }
    if (registers) {
        settings->limits[KOHOMAI_LIMIT_REGISTER] = policy;
    }
    if (sessions) {
        settings->limits[KOHOMAI_LIMIT_SESSION] = policy;
    }
    return fault;
}

/* A status that httpd knows; it answers any other as 500. */
static const char *read_fallback_status(cmd_parms *cmd, const char *text, int *status)
{
    *status = (int)apr_atoi64(text);
    if (*status >= 400 && *status <= 599 &&
        (*status == 500 || ap_index_of_response(*status) != ap_index_of_response(500))) {
        return NULL;
    }
    return apr_psprintf(cmd->pool,
                        "KohomaiFallback: %s is not a 4xx or 5xx status that httpd knows, "
                        "such as 403 or 503",
                        text);
}

static const char *read_fallback_target(cmd_parms *cmd, const char *text,
                                        kohomai_fallback_t *fallback)
{
    kohomai_url_t url;

    fallback->fixed = !strpbrk(text, "%$");
    if (fallback->fixed && !kohomai_url_is_path(text) &&
        kohomai_url_parse(cmd->pool, text, &url) != NULL) {
        return apr_psprintf(cmd->pool,
                            "KohomaiFallback: '%s' is no action: write pass, a status 4xx "
                            "or 5xx, or a path or URL to go to",
                            text);
    }
    return read_expression(cmd, text, &fallback->target);
}

static const char *set_fallback(cmd_parms *cmd, void *place, const char *when, const char *action)
{
    kohomai_settings_t *settings = place;
    kohomai_fallback_t *fallback = apr_pcalloc(cmd->pool, sizeof(*fallback));
    int any = strcasecmp(when, "any") == 0, outcome = kohomai_outcome_find(when);
    const char *fault = refuse_outside(cmd);

    if (fault) {
        return fault;
    }
    if (!any && outcome <= KOHOMAI_HANDED_OFF) {
        return refuse_word(cmd, when,
                           "any, registered, queued, unknown, invalid, forbidden, prefetch, "
                           "limited, refused, unavailable, failed, timeout");
    }
    if (strcasecmp(action, "pass") == 0) {
        fallback->pass = 1;
    }
    else if (strlen(action) == 3 && strspn(action, "0123456789") == 3) {
        fault = read_fallback_status(cmd, action, &fallback->status);
    }
    else {
        fault = read_fallback_target(cmd, action, fallback);
    }
    if (any) {
        settings->fallback_any = fallback;
    }
    else {
        settings->fallbacks[outcome] = fallback;
    }
    return fault;
}

#define WHOLE_SERVER (RSRC_CONF) /* the setter sees to it that it is no virtual host */
#define SERVER (RSRC_CONF)
#define SERVER_OR_SECTION (RSRC_CONF | ACCESS_CONF)
#define SECTION_OR_HTACCESS (OR_FILEINFO)

const command_rec kohomai_settings_commands[] = {
    AP_INIT_TAKE1("KohomaiHandoff", set_handoff, NULL, SECTION_OR_HTACCESS,
                  "On, Off, session or register: whether visitors of this path are handed off"),
    AP_INIT_TAKE1("KohomaiBaseURL", set_base_url, NULL, SERVER_OR_SECTION,
                  "the base URL of the Kohomai API"),
    AP_INIT_FLAG("KohomaiInsecure", set_insecure, NULL, SERVER,
                 "On allows a base URL with http:// on any host; for test rigs"),
    AP_INIT_TAKE1("KohomaiAPIKey", set_key, NULL, SERVER_OR_SECTION,
                  "where the API key is: file:PATH, env:NAME, exec:COMMAND, or the key itself"),
    AP_INIT_TAKE12("KohomaiTimeout", set_timeout, NULL, SERVER_OR_SECTION,
                   "the longest time for one visitor's calls, and connect= for a connection"),
    AP_INIT_TAKE1("KohomaiRetry", set_retry, NULL, SERVER_OR_SECTION,
                  "how often a call is repeated, where that can double nothing"),
    AP_INIT_TAKE12("KohomaiBreaker", set_breaker, NULL, WHOLE_SERVER,
                   "failures in a row and a duration for which calls then stop, or Off"),
    AP_INIT_TAKE1("KohomaiMaxPending", set_max_pending, NULL, WHOLE_SERVER,
                  "how many visitors of a child may wait for the API at once"),
    AP_INIT_TAKE1("KohomaiOutbox", set_outbox, NULL, WHOLE_SERVER,
                  "the directory in which leads are kept until the API can take them"),
    AP_INIT_TAKE1("KohomaiCAFile", set_ca_file, NULL, SERVER_OR_SECTION,
                  "a PEM file of the CAs to trust instead of the system's"),
    AP_INIT_TAKE1("KohomaiProxy", set_proxy, NULL, SERVER_OR_SECTION,
                  "the URL of an outgoing proxy, or none"),
    AP_INIT_TAKE1("KohomaiAPI", set_api, NULL, SERVER_OR_SECTION,
                  "the generation to register with: leads, journeys, journeys-flat or workflows"),
    AP_INIT_TAKE1("KohomaiJourney", set_journey, NULL, SECTION_OR_HTACCESS,
                  "an expression that yields the visitor's journey id"),
    AP_INIT_TAKE1("KohomaiUser", set_user, NULL, SECTION_OR_HTACCESS,
                  "an expression that yields the visitor's user id"),
    AP_INIT_TAKE2("KohomaiLead", set_lead, NULL, SECTION_OR_HTACCESS,
                  "Email, Firstname, Lastname or PhoneNumber, and an expression that yields it"),
    AP_INIT_TAKE2("KohomaiData", set_data, NULL, SECTION_OR_HTACCESS,
                  "a data point's name or #ID, and an expression that yields its value"),
    AP_INIT_TAKE1("KohomaiRef", set_ref, NULL, SECTION_OR_HTACCESS,
                  "an expression that yields the reference of the funnel's starting point"),
    AP_INIT_TAKE1("KohomaiWorkflow", set_workflow, NULL, SECTION_OR_HTACCESS,
                  "the workflow's id, for KohomaiAPI workflows"),
    AP_INIT_TAKE1("KohomaiRedirectURL", set_return_url, NULL, SECTION_OR_HTACCESS,
                  "an expression that yields where Kohomai sends the visitor afterwards"),
    AP_INIT_ITERATE("KohomaiAllowReturn", add_allow_return, NULL, SERVER_OR_SECTION,
                    "hosts that KohomaiRedirectURL may lead to"),
    AP_INIT_ITERATE("KohomaiAllowLink", add_allow_link, NULL, SERVER_OR_SECTION,
                    "hosts that a one-time link may lead to"),
    AP_INIT_ITERATE("KohomaiAllowOrigin", add_allow_origin, NULL, SERVER_OR_SECTION,
                    "further origins that may start a handoff by POST or fetch"),
    AP_INIT_TAKE12("KohomaiRateLimit", set_rate_limit, NULL, SERVER_OR_SECTION,
                   "register, session or neither, and how many an address may start: "
                   "NUMBER/DURATION or Off"),
    AP_INIT_TAKE1("KohomaiResponse", set_response, NULL, SECTION_OR_HTACCESS,
                  "auto, redirect or json: how the link is answered"),
    AP_INIT_TAKE2("KohomaiFallback", set_fallback, NULL, SECTION_OR_HTACCESS,
                  "an outcome or any, and pass, a status, or a path or URL to go to"),
    {.name = NULL}};

/* ---- places ---- */

void *kohomai_settings_create(apr_pool_t *pool, char *place)
{
    (void)place;
    return apr_pcalloc(pool, sizeof(kohomai_settings_t));
}

/* KohomaiFallback any stands for what went wrong, not for what went well. */
static int any_covers(kohomai_outcome_e outcome)
{
    return outcome != KOHOMAI_HANDED_OFF && outcome != KOHOMAI_REGISTERED &&
           outcome != KOHOMAI_QUEUED;
}

#define INNER(field) inner->field ? inner->field : outer->field

void *kohomai_settings_merge(apr_pool_t *pool, void *outer_place, void *inner_place)
{
    const kohomai_settings_t *outer = outer_place, *inner = inner_place;
    kohomai_settings_t *merged = apr_pcalloc(pool, sizeof(*merged));
    int i;

    merged->handoff = INNER(handoff);
    merged->response = INNER(response);
    merged->api = INNER(api);
    merged->retries = INNER(retries);
    merged->base = INNER(base);
    merged->key = INNER(key);
    merged->patience = INNER(patience);
    merged->ca_file = INNER(ca_file);
    merged->proxy = INNER(proxy);
    merged->journey = INNER(journey);
    merged->user = INNER(user);
    merged->ref = INNER(ref);
    merged->return_url = INNER(return_url);
    merged->data = INNER(data);
    merged->workflow = INNER(workflow);
    merged->allow_return = INNER(allow_return);
    merged->allow_link = INNER(allow_link);
    merged->allow_origin = INNER(allow_origin);
    merged->fallback_any = INNER(fallback_any);
    for (i = 0; i < KOHOMAI_LIMITS; i++) {
        merged->limits[i] = INNER(limits[i]);
    }
    for (i = 0; i < KOHOMAI_LEAD_FIELDS; i++) {
        merged->lead[i] = INNER(lead[i]);
    }
    for (i = 0; i < KOHOMAI_OUTCOMES; i++) {
        merged->fallbacks[i] = inner->fallbacks[i];
        if (!inner->fallbacks[i] && !(inner->fallback_any && any_covers(i))) {
            merged->fallbacks[i] = outer->fallbacks[i];
        }
    }
    return merged;
}

const kohomai_base_t *kohomai_settings_base(const kohomai_settings_t *settings)
{
    static const kohomai_base_t standard = {
        .text = DEFAULT_BASE_URL,
        .url = {.https = 1, .host = "app.kohomai.com", .port = 443, .rest = "/api/v1"},
    };

    return settings->base ? settings->base : &standard;
}

kohomai_patience_t kohomai_settings_patience(const kohomai_settings_t *settings)
{
    static const kohomai_patience_t standard = {DEFAULT_TOTAL, DEFAULT_CONNECT};

    return settings->patience ? *settings->patience : standard;
}

int kohomai_settings_retries(const kohomai_settings_t *settings)
{
    return settings->retries ? settings->retries - 1 : DEFAULT_RETRIES;
}

const kohomai_limit_policy_t *kohomai_settings_limit(const kohomai_settings_t *settings,
                                                     kohomai_limit_e kind)
{
    static const kohomai_limit_policy_t standard[KOHOMAI_LIMITS] = {
        [KOHOMAI_LIMIT_REGISTER] = {DEFAULT_REGISTERS, DEFAULT_REGISTERS_IN},
        [KOHOMAI_LIMIT_SESSION] = {0, 0},
    };

    return settings->limits[kind] ? settings->limits[kind] : &standard[kind];
}

kohomai_breaker_policy_t kohomai_settings_breaker(const server_rec *main_server)
{
    static const kohomai_breaker_policy_t standard = {DEFAULT_FAILURES, DEFAULT_OPEN};
    const kohomai_breaker_policy_t *policy = server_of(main_server)->breaker;

    return policy ? *policy : standard;
}

int kohomai_settings_max_pending(const server_rec *main_server)
{
    return server_of(main_server)->max_pending;
}

const char *kohomai_settings_outbox(const server_rec *main_server)
{
    return server_of(main_server)->outbox;
}

static int holds(const apr_array_header_t *list, const char *text)
{
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(list, i, const char *), text) == 0) {
            return 1;
        }
    }
    return 0;
}

int kohomai_settings_knows_base(const server_rec *main_server, const char *base_url)
{
    const server_rec *s;
    int known = strcmp(base_url, DEFAULT_BASE_URL) == 0;

    for (s = main_server; s && !known; s = s->next) {
        known = holds(server_of(s)->bases, base_url);
    }
    return known;
}

int kohomai_settings_knows_ca_file(const server_rec *main_server, const char *ca_file)
{
    const server_rec *s;
    int known = *ca_file == '\0';

    for (s = main_server; s && !known; s = s->next) {
        known = holds(server_of(s)->ca_files, ca_file);
    }
    return known;
}

const kohomai_proxy_t *kohomai_settings_proxy(const kohomai_settings_t *settings)
{
    return settings->proxy != &no_proxy ? settings->proxy : NULL;
}

const kohomai_proxy_t *kohomai_settings_find_proxy(const server_rec *main_server, const char *label)
{
    const kohomai_proxies_t *proxies = kohomai_proxies_of(main_server->process->pconf);
    const kohomai_proxy_t *found = kohomai_proxies_find(proxies, label);

    if (found || strcmp(label, no_proxy.label) == 0) {
        return found;
    }
    return kohomai_settings_proxy(
        ap_get_module_config(main_server->lookup_defaults, &kohomai_module));
}

kohomai_api_e kohomai_settings_api(const kohomai_settings_t *settings)
{
    return settings->api ? (kohomai_api_e)(settings->api - 1) : KOHOMAI_API_JOURNEYS;
}

const kohomai_fallback_t *kohomai_settings_fallback(const kohomai_settings_t *settings,
                                                    kohomai_outcome_e outcome)
{
    if (settings->fallbacks[outcome]) {
        return settings->fallbacks[outcome];
    }
    return any_covers(outcome) ? settings->fallback_any : NULL;
}

/* ---- the whole configuration ---- */

/* The generations that may apply where a claim was made: the section's own, else the server's and
 * every one that some section names, since sections are merged anew for each request. */
static unsigned possible_apis(const server_rec *s, const claim_t *claim)
{
    const kohomai_settings_t *outer = ap_get_module_config(s->lookup_defaults, &kohomai_module);

    if (claim->place->api) {
        return 1u << (claim->place->api - 1);
    }
    return 1u << kohomai_settings_api(outer) | server_of(s)->apis_in_places;
}

static int any_api(unsigned apis, int (*is_so)(kohomai_api_e))
{
    int api;

    for (api = 0; api < KOHOMAI_APIS; api++) {
        if ((apis & 1u << api) && is_so(api)) {
            return 1;
        }
    }
    return 0;
}

static int ids_data(kohomai_api_e api)
{
    return !kohomai_dialect_names_data(api) && api != KOHOMAI_API_WORKFLOWS;
}

static int is_insecure(const server_rec *s, const server_rec *main_server)
{
    int own = server_of(s)->insecure;

    return (own ? own : server_of(main_server)->insecure) == 2;
}

static const char *judge(apr_pool_t *pool, server_rec *s, server_rec *main_server,
                         const claim_t *claim)
{
    unsigned apis = possible_apis(s, claim);

    if (claim->what == CLAIM_PLAIN_HTTP && !is_insecure(s, main_server)) {
        return apr_psprintf(pool,
                            "KohomaiBaseURL: %s would send the key in the clear: write https://, "
                            "or, on a test rig only, KohomaiInsecure On",
                            claim->text);
    }
    if (claim->what == CLAIM_DATA_NAME && !any_api(apis, kohomai_dialect_names_data)) {
        return apr_psprintf(pool,
                            "KohomaiData: '%s' is a name, which only KohomaiAPI leads takes: set "
                            "that, or write the data point's #ID",
                            claim->text);
    }
    if (claim->what == CLAIM_DATA_ID && !any_api(apis, ids_data)) {
        return apr_psprintf(pool,
                            "KohomaiData: '%s' is an id, which KohomaiAPI journeys and "
                            "journeys-flat take: set one of them, or, for leads, write the data "
                            "point's name",
                            claim->text);
    }
    if (claim->what == CLAIM_WORKFLOWS && !server_of(s)->workflow_somewhere) {
        return "KohomaiAPI: workflows needs the workflow's id: add KohomaiWorkflow ID to the section";
    }
    if (claim->what == CLAIM_PHONE && !any_api(apis, kohomai_dialect_takes_phone)) {
        APR_ARRAY_PUSH(server_of(s)->warnings, const char *) =
            apr_psprintf(pool,
                         "%s: KohomaiLead: a phone number has no place in this generation and is "
                         "left out; KohomaiAPI leads and journeys-flat take one",
                         claim->where);
    }
    return NULL;
}

/* The longest time that a visitor of some place of the server may wait; 0 where nobody waits. */
static apr_interval_time_t longest_wait(const server_rec *s)
{
    const kohomai_settings_t *outer = ap_get_module_config(s->lookup_defaults, &kohomai_module);
    const apr_array_header_t *claims = server_of(s)->claims;
    apr_interval_time_t longest = server_of(s)->longest;
    int i;

    for (i = 0; i < claims->nelts; i++) {
        const claim_t *claim = &APR_ARRAY_IDX(claims, i, claim_t);
        const kohomai_settings_t *said = claim->place->patience ? claim->place : outer;

        if (claim->what == CLAIM_HANDOFF && kohomai_settings_patience(said).total > longest) {
            longest = kohomai_settings_patience(said).total;
        }
    }
    return longest;
}

/* httpd would end a parked visitor's wait first. */
static void compare_timeouts(apr_pool_t *pool, server_rec *s)
{
    apr_interval_time_t longest = longest_wait(s);

    if (longest && longest >= s->timeout) {
        APR_ARRAY_PUSH(server_of(s)->warnings, const char *) = apr_psprintf(
            pool,
            "KohomaiTimeout: httpd's Timeout of %" APR_TIME_T_FMT "s ends a visitor's wait "
            "first: set Timeout to more than the longest KohomaiTimeout, %" APR_TIME_T_FMT "s",
            apr_time_sec(s->timeout), apr_time_sec(longest));
    }
}

/* Whether httpd is up, and reads its configuration anew: what has gone wrong with a disk meanwhile
 * must not end it. */
static int is_reload(void)
{
    return ap_state_query(AP_SQ_CONFIG_GEN) > 1;
}

static kohomai_owner_t owner(void)
{
    kohomai_owner_t children = {geteuid(), getegid(), ""};

    if (children.uid == 0) {
        children = (kohomai_owner_t){ap_unixd_config.user_id, ap_unixd_config.group_id,
                                     ap_unixd_config.user_name};
    }
    return children;
}

/* 1 where the outbox stops httpd's start. */
static int check_outbox(apr_pool_t *pool, server_rec *s)
{
    const char *path = server_of(s)->outbox, *fault = NULL;
    kohomai_owner_t children = owner();

    if (!path) {
        return 0;
    }
    if (!ap_find_linked_module("mod_watchdog.c")) {
        fault = "mod_watchdog, which delivers later, is missing: load it (LoadModule "
                "watchdog_module modules/mod_watchdog.so)";
    }
    else {
        fault = kohomai_outbox_check(pool, path, &children);
    }
    if (fault) {
        ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_CRIT, 0, s, "KohomaiOutbox: %s", fault);
    }
    return fault && !is_reload();
}

int kohomai_settings_check(apr_pool_t *pool, server_rec *main_server)
{
    int i, faults = check_outbox(pool, main_server);
    server_rec *s;

    for (s = main_server; s; s = s->next) {
        compare_timeouts(pool, s);
    }
    for (s = main_server; s; s = s->next) {
        const apr_array_header_t *claims = server_of(s)->claims;

        for (i = 0; i < claims->nelts; i++) {
            const claim_t *claim = &APR_ARRAY_IDX(claims, i, claim_t);
            const char *fault = judge(pool, s, main_server, claim);

            if (fault) {
                faults++;
                ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_CRIT, 0, s, "%s: %s", claim->where,
                             fault);
            }
        }
    }
    return faults ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

void kohomai_settings_warn(server_rec *main_server)
{
    server_rec *s;
    int i;

    for (s = main_server; s; s = s->next) {
        const apr_array_header_t *warnings = server_of(s)->warnings;

        for (i = 0; i < warnings->nelts; i++) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "%s",
                         APR_ARRAY_IDX(warnings, i, const char *));
        }
    }
}

static void dump_outbox(apr_file_t *out, const char *path)
{
    int counts[KOHOMAI_BOXES] = {0};
    apr_status_t rv = path ? kohomai_outbox_count(path, counts) : APR_SUCCESS;
    char text[120];

    if (!path) {
        apr_file_printf(out, "KohomaiOutbox     none: leads that Kohomai cannot take are lost\n");
    }
    else if (rv != APR_SUCCESS) {
        apr_file_printf(out, "KohomaiOutbox     %s: %s\n", path,
                        apr_strerror(rv, text, sizeof(text)));
    }
    else {
        apr_file_printf(out,
                        "KohomaiOutbox     %s: %d waiting, %d being sent, %d uncertain, %d "
                        "rejected\n",
                        path, counts[KOHOMAI_BOX_WAITING], counts[KOHOMAI_BOX_SENDING],
                        counts[KOHOMAI_BOX_UNCERTAIN], counts[KOHOMAI_BOX_REJECTED]);
    }
}

void kohomai_settings_dump(apr_pool_t *pool, const server_rec *main_server, int pending,
                           const char *scope)
{
    const server_t *server = server_of(main_server);
    kohomai_breaker_policy_t breaker = kohomai_settings_breaker(main_server);
    apr_file_t *out;

    if (apr_file_open_stdout(&out, pool) != APR_SUCCESS) {
        return;
    }
    apr_file_printf(out, "KohomaiMaxPending %d visitors %s%s\n",
                    server->max_pending ? server->max_pending : pending, scope,
                    server->max_pending ? "" : " (by default: half of what there is room for)");
    if (breaker.failures) {
        apr_file_printf(out, "KohomaiBreaker    %d failures in a row open it for %d ms%s\n",
                        breaker.failures, (int)apr_time_as_msec(breaker.open),
                        server->breaker ? "" : " (by default)");
    }
    else {
        apr_file_printf(out, "KohomaiBreaker    Off\n");
    }
    dump_outbox(out, server->outbox);
    apr_file_printf(out, "httpd's Timeout   %d s; the longest KohomaiTimeout %d ms\n",
                    (int)apr_time_sec(main_server->timeout),
                    (int)apr_time_as_msec(server->longest ? server->longest : DEFAULT_TOTAL));
}
