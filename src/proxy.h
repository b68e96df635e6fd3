/* proxy: the outgoing proxies that the configuration names, each under a label without credentials.
 * Threads: adding is for start-up alone; reading is safe everywhere. Memory: the pool of the
 *   configuration.
 * Never: connects, or puts a user or a password into an error or a label. */
#ifndef KOHOMAI_PROXY_H
#define KOHOMAI_PROXY_H

#include <apr_pools.h>

/* The longest user, and the longest password, in bytes (RFC 1929, section 2). */
#define KOHOMAI_PROXY_USER_MAX 255

typedef struct {
    const char *label;           /* the URL without credentials: scheme://host:port */
    const char *user, *password; /* decoded; user is NULL where there are no credentials */
    int tls;                     /* the way to the proxy is https */
    int http;                    /* it is an HTTP proxy, else SOCKS */
    int contested;               /* there are other credentials for the same proxy, too, so that a
                                    connection made with the ones must not serve the others */
} kohomai_proxy_t;

/* All the proxies of one reading of the configuration. */
typedef struct kohomai_proxies_t kohomai_proxies_t;

/* The proxies that belong to a configuration's pool; made at the first call. */
kohomai_proxies_t *kohomai_proxies_of(apr_pool_t *pconf);

/* Reads a proxy's URL: http, https, socks4a, socks5 or socks5h, with a port, perhaps with user and
 * password before it, percent-encoded. NULL on success, with *proxy set; else a constant sentence
 * that says what is wrong. */
const char *kohomai_proxies_add(kohomai_proxies_t *proxies, const char *text,
                                const kohomai_proxy_t **proxy);

/* The proxy of that label, NULL where the configuration has none (any more). Where several have it,
 * with other credentials each, the one that was named first. */
const kohomai_proxy_t *kohomai_proxies_find(const kohomai_proxies_t *proxies, const char *label);

/* The URL with stars in the place of its credentials, for people. */
const char *kohomai_proxy_mask(apr_pool_t *pool, const kohomai_proxy_t *proxy);

#endif
