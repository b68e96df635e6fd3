/* url: one strict grammar for every URL that may leave in a Location header or reach the API.
 * Threads: any. Memory: results live in the pool that was passed.
 * Never: repairs a URL, resolves a name, or accepts what two readers might read differently. */
#ifndef KOHOMAI_URL_H
#define KOHOMAI_URL_H

#include <apr_network_io.h>
#include <apr_pools.h>
#include <apr_tables.h>

/* The longest link or return address that is taken, in bytes. */
#define KOHOMAI_URL_MAX 8190

/* An absolute http or https URL in its parts. */
typedef struct {
    int https;        /* 1: https, 0: http */
    const char *host; /* lower case; an IPv6 address keeps its brackets */
    apr_port_t port;  /* never 0: the scheme's own where the URL names none */
    const char *rest; /* path, query and fragment as they stood; may be "" */
} kohomai_url_t;

/* Reads text. NULL on success, else a stable word: "url-length", "url-character" (anything but
 * RFC 3986's printable ASCII, a backslash too), "url-scheme", "url-user", "url-host", "url-port".
 * Hosts are names of letters, digits, hyphens and underscores, dotted IPv4 in its canonical form,
 * or IPv6 in brackets. */
const char *kohomai_url_parse(apr_pool_t *pool, const char *text, kohomai_url_t *url);

/* The text of a URL; the port is left out where it is the scheme's own. */
const char *kohomai_url_format(apr_pool_t *pool, const kohomai_url_t *url);

/* Whether the host is this machine itself: localhost, 127.0.0.0/8 or [::1]. */
int kohomai_url_is_loopback(const kohomai_url_t *url);

/* Whether text may stand in a list of allowed hosts: host, *.host, either with :port. NULL if so,
 * else a sentence that says what it must look like. */
const char *kohomai_url_check_pattern(const char *text);

/* Whether url's host is on a list (of const char *, each a checked pattern). A pattern without a
 * port stands for the scheme's own; *.example.com is not example.com. */
int kohomai_url_is_allowed(const kohomai_url_t *url, const apr_array_header_t *patterns);

/* Judges the one-time link in an answer: NULL if it may be used, with *link set, else a stable
 * word (those above, "link-host" or "link-scheme"). api is the base URL's reading: where it is
 * https, an http:// link is upgraded; one of an API that is http is taken only on loopback. allowed may be NULL: then the API's own host and port. */
const char *kohomai_url_judge_link(apr_pool_t *pool, const char *text, const kohomai_url_t *api,
                                   const apr_array_header_t *allowed, const char **link);

/* Whether text is a path on this site: it begins with one slash and has no character that a
 * browser could take for the start of a host or of another header. */
int kohomai_url_is_path(const char *text);

#endif
