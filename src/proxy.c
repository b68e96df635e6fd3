/* proxy: the outgoing proxies that the configuration names, each under a label without credentials.
 * Threads: adding is for start-up alone; reading is safe everywhere. Memory: the pool of the
 *   configuration.
 * Never: connects, or puts a user or a password into an error or a label. */
#include "proxy.h"
#include "text.h"
#include "url.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <string.h>
#include <strings.h>

struct kohomai_proxies_t {
    apr_pool_t *pool;
    apr_array_header_t *all; /* of kohomai_proxy_t * */
};

typedef struct {
    const char *name;
    int tls, http, passwords;
} scheme_t;

static const scheme_t schemes[] = {
    {"http", 0, 1, 1},   {"https", 1, 1, 1},   {"socks4a", 0, 0, 0},
    {"socks5", 0, 0, 1}, {"socks5h", 0, 0, 1},
};

/* The scheme at the beginning of text, and what follows its "://"; NULL where there is none. */
static const scheme_t *read_scheme(const char *text, const char **rest)
{
    const char *end = strstr(text, "://");
    apr_size_t i;

    for (i = 0; end && i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        apr_size_t len = strlen(schemes[i].name);

        if (len == (apr_size_t)(end - text) && strncasecmp(text, schemes[i].name, len) == 0) {
            *rest = end + 3;
            return &schemes[i];
        }
    }
    return NULL;
}

/* Decodes len bytes; what an URL may hold there unencoded is RFC 3986's userinfo. NULL where they
 * are anything else, or too long, or hide a control character. */
static const char *decode(apr_pool_t *pool, const char *text, apr_size_t len)
{
    char *plain = apr_palloc(pool, len + 1);
    apr_size_t i, n = 0;

    for (i = 0; i < len; i++) {
        char c = text[i];

        if (c == '%' && i + 2 < len && kohomai_text_hex(text[i + 1]) >= 0 &&
            kohomai_text_hex(text[i + 2]) >= 0) {
            c = (char)(kohomai_text_hex(text[i + 1]) * 16 + kohomai_text_hex(text[i + 2]));
            i += 2;
        }
        else if (!kohomai_text_is_alnum(c) && !strchr("-._~!$&'()*+,;=:", c)) {
            return NULL;
        }
        plain[n++] = c;
    }
    plain[n] = '\0';
    if (n > KOHOMAI_PROXY_USER_MAX || strlen(plain) != n || !kohomai_text_is_utf8(plain, n) ||
        kohomai_text_has_control(plain, n, 0)) {
        return NULL;
    }
    return plain;
}

/* Reads "user:password" or "user", up to the at sign at end. */
static const char *read_credentials(apr_pool_t *pool, const scheme_t *scheme, const char *text,
                                    const char *end, kohomai_proxy_t *proxy)
{
    const char *colon = memchr(text, ':', (apr_size_t)(end - text));
    const char *user_end = colon ? colon : end;

    proxy->user = decode(pool, text, (apr_size_t)(user_end - text));
    proxy->password = colon ? decode(pool, colon + 1, (apr_size_t)(end - colon - 1)) : "";
    if (!proxy->user || !proxy->password) {
        return "its user or its password is too long or holds a character that must be written as "
               "% and two hexadecimal digits, such as %40 for @";
    }
    if (!*proxy->user || strchr(proxy->user, ':')) {
        return "its user is empty or holds a colon, which no proxy could tell from the end of it";
    }
    if (*proxy->password && !scheme->passwords) {
        return "socks4a knows a user, but no password: use socks5h";
    }
    return NULL;
}

/* Reads "host:port", perhaps with a slash after it. The grammar of hosts is url's. */
static const char *read_place(apr_pool_t *pool, const scheme_t *scheme, const char *text,
                              kohomai_proxy_t *proxy)
{
    const char *colon = strrchr(text, ':');
    kohomai_url_t url;

    if (!colon || strchr(colon, ']')) {
        return "its port is missing: there is no usual one";
    }
    if (kohomai_url_parse(pool, apr_pstrcat(pool, "http://", text, NULL), &url) != NULL) {
        return "its host or its port is none";
    }
    if (*url.rest && strcmp(url.rest, "/") != 0) {
        return "nothing may follow the port";
    }
    proxy->label = apr_psprintf(pool, "%s://%s:%d", scheme->name, url.host, url.port);
    return NULL;
}

static const char *parse(apr_pool_t *pool, const char *text, kohomai_proxy_t *proxy)
{
    const char *rest, *at, *fault = NULL;
    const scheme_t *scheme = read_scheme(text, &rest);

    if (!scheme) {
        return "it does not begin with http://, https://, socks4a://, socks5:// or socks5h://";
    }
    proxy->tls = scheme->tls;
    proxy->http = scheme->http;
    at = strrchr(rest, '@');
    if (at) {
        fault = read_credentials(pool, scheme, rest, at, proxy);
        rest = at + 1;
    }
    return fault ? fault : read_place(pool, scheme, rest, proxy);
}

kohomai_proxies_t *kohomai_proxies_of(apr_pool_t *pconf)
{
    static const char name[] = "kohomai_proxies";
    kohomai_proxies_t *proxies;
    void *known = NULL;

    apr_pool_userdata_get(&known, name, pconf);
    if (known) {
        return known;
    }
    proxies = apr_palloc(pconf, sizeof(*proxies));
    proxies->pool = pconf;
    proxies->all = apr_array_make(pconf, 2, sizeof(kohomai_proxy_t *));
    apr_pool_userdata_set(proxies, name, NULL, pconf);
    return proxies;
}

static int same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

const char *kohomai_proxies_add(kohomai_proxies_t *proxies, const char *text,
                                const kohomai_proxy_t **found)
{
    kohomai_proxy_t *proxy = apr_pcalloc(proxies->pool, sizeof(*proxy));
    const char *fault = parse(proxies->pool, text, proxy);
    int i;

    for (i = 0; !fault && i < proxies->all->nelts; i++) {
        kohomai_proxy_t *other = APR_ARRAY_IDX(proxies->all, i, kohomai_proxy_t *);

        if (strcmp(other->label, proxy->label) != 0) {
            continue;
        }
        if (same_text(other->user, proxy->user) && same_text(other->password, proxy->password)) {
            *found = other;
            return NULL;
        }
        other->contested = proxy->contested = 1;
    }
    if (!fault) {
        APR_ARRAY_PUSH(proxies->all, kohomai_proxy_t *) = proxy;
        *found = proxy;
    }
    return fault;
}

const kohomai_proxy_t *kohomai_proxies_find(const kohomai_proxies_t *proxies, const char *label)
{
    int i;

    for (i = 0; i < proxies->all->nelts; i++) {
        const kohomai_proxy_t *proxy = APR_ARRAY_IDX(proxies->all, i, kohomai_proxy_t *);

        if (strcmp(proxy->label, label) == 0) {
            return proxy;
        }
    }
    return NULL;
}

const char *kohomai_proxy_mask(apr_pool_t *pool, const kohomai_proxy_t *proxy)
{
    const char *place = strstr(proxy->label, "://") + 3;

    return apr_psprintf(pool, "%.*s%s%s", (int)(place - proxy->label), proxy->label,
                        proxy->user ? "***:***@" : "", place);
}
