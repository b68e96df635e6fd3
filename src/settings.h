/* settings: the directives, what they leave in a place of the configuration, and their defaults.
 * Threads: settings do not change once made; reading is safe everywhere. Memory: the pool of the
 *   configuration, or of the request where httpd merges for it.
 * Never: sees a live request. */
#ifndef KOHOMAI_SETTINGS_H
#define KOHOMAI_SETTINGS_H

#include "dialect.h"
#include "guard.h"
#include "key.h"
#include "limit.h"
#include "outcome.h"
#include "proxy.h"
#include "url.h"

#include <httpd.h>

#include <ap_expr.h>
#include <http_config.h>

/* In every enumeration 0 means that nothing was said here, so that an inner section can say the
 * default, too. */
typedef enum {
    KOHOMAI_HANDOFF_UNSET,
    KOHOMAI_HANDOFF_OFF,
    KOHOMAI_HANDOFF_ON,
    KOHOMAI_HANDOFF_SESSION,
    KOHOMAI_HANDOFF_REGISTER
} kohomai_handoff_e;

typedef enum {
    KOHOMAI_RESPONSE_UNSET,
    KOHOMAI_RESPONSE_AUTO,
    KOHOMAI_RESPONSE_REDIRECT,
    KOHOMAI_RESPONSE_JSON
} kohomai_response_e;

/* A base URL and its reading; text has no slash at its end. */
typedef struct {
    const char *text;
    kohomai_url_t url;
} kohomai_base_t;

typedef struct {
    apr_interval_time_t total, connect;
} kohomai_patience_t;

/* KohomaiData: name or id, the other is NULL. */
typedef struct {
    const char *name, *id;
    const ap_expr_info_t *value;
} kohomai_data_setting_t;

/* KohomaiFallback: exactly one of the three is meant. */
typedef struct {
    int pass;
    int status;                   /* 4xx or 5xx, 0 for none */
    const ap_expr_info_t *target; /* a path or URL, NULL for none */
    int fixed;                    /* the target has no variable part */
} kohomai_fallback_t;

/* What the sections that apply to a place say together. NULL and 0 stand for "nothing was said". */
typedef struct {
    kohomai_handoff_e handoff;
    kohomai_response_e response;
    int api;     /* a kohomai_api_e plus 1 */
    int retries; /* plus 1 */
    const kohomai_base_t *base;
    const kohomai_key_t *key; /* calls are made without one where it is NULL */
    const kohomai_patience_t *patience;
    const char *ca_file;
    const kohomai_proxy_t *proxy; /* see kohomai_settings_proxy */
    const ap_expr_info_t *journey, *user, *ref, *return_url;
    const ap_expr_info_t *lead[KOHOMAI_LEAD_FIELDS];
    apr_array_header_t *data; /* of kohomai_data_setting_t */
    const char *workflow;
    apr_array_header_t *allow_return, *allow_link; /* of const char *, see url.h */
    apr_array_header_t *allow_origin; /* of const char *, as kohomai_url_format has them */
    const kohomai_limit_policy_t *limits[KOHOMAI_LIMITS];
    const kohomai_fallback_t *fallbacks[KOHOMAI_OUTCOMES];
    const kohomai_fallback_t *fallback_any;
} kohomai_settings_t;

/* The hooks of the module record. */
extern const command_rec kohomai_settings_commands[];
void *kohomai_settings_create(apr_pool_t *pool, char *place);
void *kohomai_settings_merge(apr_pool_t *pool, void *outer, void *inner);
void *kohomai_settings_server_create(apr_pool_t *pool, server_rec *s);

/* Judges what only the whole configuration shows (check_config hook, which `httpd -t` runs, too):
 * OK, or an error after it was logged. */
int kohomai_settings_check(apr_pool_t *pool, server_rec *s);

/* Logs what is allowed but should be known; once per start, and by `httpd -t`. */
void kohomai_settings_warn(server_rec *s);

/* Writes the figures in force to standard output, for `httpd -t -D DUMP_KOHOMAI`. pending is the cap
 * where KohomaiMaxPending says nothing, and scope what it counts, such as "per child". */
void kohomai_settings_dump(apr_pool_t *pool, const server_rec *main_server, int pending,
                           const char *scope);

/* What holds for the whole server, from the main server's record. 0 for KohomaiMaxPending says that
 * nothing was said. */
kohomai_breaker_policy_t kohomai_settings_breaker(const server_rec *main_server);
int kohomai_settings_max_pending(const server_rec *main_server);

/* The directory of KohomaiOutbox, NULL for none; and whether some place of the configuration names
 * this base URL, this CA file ("" stands for the system's): what comes from the outbox may use no
 * others. */
const char *kohomai_settings_outbox(const server_rec *main_server);
int kohomai_settings_knows_base(const server_rec *main_server, const char *base_url);
int kohomai_settings_knows_ca_file(const server_rec *main_server, const char *ca_file);

/* The proxy that a lead goes out by which was registered by the one of that label: that one, or what
 * the main server says where the label is "" or not in the configuration (any more). "none" stands for
 * none. NULL for none. */
const kohomai_proxy_t *kohomai_settings_find_proxy(const server_rec *main_server,
                                                   const char *label);

/* What holds where nothing was said. */
int kohomai_settings_retries(const kohomai_settings_t *settings);
const kohomai_base_t *kohomai_settings_base(const kohomai_settings_t *settings);
kohomai_patience_t kohomai_settings_patience(const kohomai_settings_t *settings);
const kohomai_limit_policy_t *kohomai_settings_limit(const kohomai_settings_t *settings,
                                                     kohomai_limit_e kind);
const kohomai_proxy_t *kohomai_settings_proxy(const kohomai_settings_t *settings); /* or NULL */
kohomai_api_e kohomai_settings_api(const kohomai_settings_t *settings);
const kohomai_fallback_t *kohomai_settings_fallback(const kohomai_settings_t *settings,
                                                    kohomai_outcome_e outcome);

#endif
