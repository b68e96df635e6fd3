/* visitor: what a request says: who this is, what they sent, and who sent them.
 * Threads: the request's own. Memory: results live as long as the request.
 * Never: knows how the API spells a thing, or decides what becomes of the visitor. */
#ifndef KOHOMAI_VISITOR_H
#define KOHOMAI_VISITOR_H

#include "settings.h"

/* Who somebody is, for those whom the API knows. */
typedef struct {
    const char *id; /* digits, or "" for not known */
    kohomai_id_e kind;
} kohomai_identity_t;

/* Finds out the visitor's journey or user id. NULL on success, else a stable word that says what
 * is wrong: "journey-form", "user-form", a reason of form.h, or "expression". *status is set to an
 * HTTP status where httpd must answer by itself (the body could not be read), else left alone. */
const char *kohomai_visitor_identify(request_rec *r, const kohomai_settings_t *settings,
                                     kohomai_identity_t *identity, int *status);

/* Gathers a lead's facts, the data points that fit the generation among them. An empty email means
 * that it is not known; the lead is not checked in that case. Returns as above, and the reasons of
 * kohomai_lead_check. */
const char *kohomai_visitor_describe(request_rec *r, const kohomai_settings_t *settings,
                                     kohomai_lead_t *lead, int *status);

/* Where Kohomai shall send the visitor afterwards: an absolute URL, or "" for nowhere. Returns as
 * above, and the reasons of url.h or "return-host". */
const char *kohomai_visitor_return_url(request_rec *r, const kohomai_settings_t *settings,
                                       const char **return_url, int *status);

/* The same judgement for where a fallback leads: *target becomes a path or a URL. A URL with a
 * variable part may only name hosts that the settings allow. */
const char *kohomai_visitor_fallback(request_rec *r, const kohomai_settings_t *settings,
                                     const kohomai_fallback_t *fallback, const char **target);

/* Whether the browser only looks ahead; and whether a page of somebody else's made it come. */
int kohomai_visitor_is_prefetch(const request_rec *r);
int kohomai_visitor_is_foreign(request_rec *r, const kohomai_settings_t *settings);

/* The page's origin where it is one that the settings allow beside this site, written as browsers
 * write it, else NULL. */
const char *kohomai_visitor_origin(request_rec *r, const kohomai_settings_t *settings);

/* Whether a browser asks if a page of another origin may send what it wants to send. */
int kohomai_visitor_is_preflight(const request_rec *r);

/* The cookies that tell this browser from others: all but those with which measuring scripts count,
 * since these change with every click. "" where there are none. */
const char *kohomai_visitor_session(request_rec *r);

/* Whether this caller wants JSON rather than a redirect. */
int kohomai_visitor_wants_json(request_rec *r, const kohomai_settings_t *settings);

/* insert_filter hook: gives a body that was read back to the request's handler. */
void kohomai_visitor_insert_filter(request_rec *r);

/* Makes %{form:NAME}, %{query:NAME} and %{cookie:NAME} known to httpd's expressions (expr_lookup
 * hook). */
int kohomai_visitor_expr_lookup(ap_expr_lookup_parms *parms);

#endif
