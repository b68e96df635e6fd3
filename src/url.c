/* url: one strict grammar for every URL that may leave in a Location header or reach the API.
 * Threads: any. Memory: results live in the pool that was passed.
 * Never: repairs a URL, resolves a name, or accepts what two readers might read differently. */
#include "url.h"
#include "text.h"

#include <apr_cstr.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <string.h>

#define HOST_MAX 253

/* ---- characters (RFC 3986, appendix A, less what browsers treat on their own) ---- */

static int all_url_characters(const char *s)
{
    for (; *s; s++) {
        if (*s == '%') {
            if (kohomai_text_hex(s[1]) < 0 || kohomai_text_hex(s[2]) < 0) {
                return 0;
            }
        }
        else if (!kohomai_text_is_alnum(*s) && !strchr("-._~:/?#[]@!$&'()*+,;=", *s)) {
            return 0;
        }
    }
    return 1;
}

/* ---- hosts ---- */

static int is_ipv4(const char *host)
{
    struct in_addr address;
    char again[INET_ADDRSTRLEN];

    return inet_pton(AF_INET, host, &address) == 1 &&
           inet_ntop(AF_INET, &address, again, sizeof(again)) && strcmp(again, host) == 0;
}

static int is_ipv6(const char *host)
{
    apr_size_t len = strlen(host);
    struct in6_addr address;
    char inner[INET6_ADDRSTRLEN];

    if (len < 4 || len - 2 >= sizeof(inner) || host[len - 1] != ']') {
        return 0;
    }
    apr_cpystrn(inner, host + 1, len - 1);
    return inet_pton(AF_INET6, inner, &address) == 1;
}

/* Browsers read a host whose last label is a number (also 0x7f) as an IPv4 address, in ways of
 * their own; such a host must be the canonical form or nothing. */
static int ends_in_number(const char *host)
{
    const char *label = strrchr(host, '.');

    label = label ? label + 1 : host;
    if (label[0] == '0' && (label[1] == 'x' || label[1] == 'X')) {
        return 1;
    }
    return strspn(label, "0123456789") == strlen(label);
}

static int is_name(const char *host)
{
    const char *s;
    int in_label = 0;

    for (s = host; *s; s++) {
        if (*s == '.') {
            if (!in_label || s[-1] == '-') {
                return 0;
            }
            in_label = 0;
        }
        else if (kohomai_text_is_alnum(*s) || *s == '_' || (*s == '-' && in_label)) {
            if (++in_label > 63) {
                return 0;
            }
        }
        else {
            return 0;
        }
    }
    return in_label > 0 && s[-1] != '-' && s - host <= HOST_MAX;
}

static int is_host(const char *host)
{
    if (*host == '[') {
        return is_ipv6(host);
    }
    return is_name(host) && (!ends_in_number(host) || is_ipv4(host));
}

static const char *lower(apr_pool_t *pool, const char *text)
{
    char *copy = apr_pstrdup(pool, text), *s;

    for (s = copy; *s; s++) {
        if (*s >= 'A' && *s <= 'Z') {
            *s = (char)(*s - 'A' + 'a');
        }
    }
    return copy;
}

/* Reads 1 to 65535 without leading zeros, up to the end of text. 0 where it is none. */
static apr_port_t read_port(const char *text)
{
    apr_size_t len = strspn(text, "0123456789");
    apr_int64_t port;

    if (len == 0 || len > 5 || text[len] || text[0] == '0') {
        return 0;
    }
    port = apr_atoi64(text);
    return port <= 65535 ? (apr_port_t)port : 0;
}

/* ---- whole URLs ---- */

static apr_port_t scheme_port(int https)
{
    return https ? 443 : 80;
}

static const char *read_authority(apr_pool_t *pool, char *authority, kohomai_url_t *url)
{
    char *colon;

    if (strchr(authority, '@')) {
        return "url-user";
    }
    colon = strrchr(authority, ':');
    if (colon && (*authority != '[' || colon[-1] == ']')) {
        *colon = '\0';
        url->port = read_port(colon + 1);
        if (url->port == 0) {
            return "url-port";
        }
    }
    if (!is_host(authority)) {
        return "url-host";
    }
    url->host = lower(pool, authority);
    return NULL;
}

const char *kohomai_url_parse(apr_pool_t *pool, const char *text, kohomai_url_t *url)
{
    const char *start;
    apr_size_t len;

    if (strlen(text) > KOHOMAI_URL_MAX) {
        return "url-length";
    }
    if (!all_url_characters(text)) {
        return "url-character";
    }
    if (apr_cstr_casecmpn(text, "https://", 8) == 0) {
        url->https = 1;
        start = text + 8;
    }
    else if (apr_cstr_casecmpn(text, "http://", 7) == 0) {
        url->https = 0;
        start = text + 7;
    }
    else {
        return "url-scheme";
    }
    url->port = scheme_port(url->https);
    len = strcspn(start, "/?#");
    url->rest = apr_pstrdup(pool, start + len);
    return read_authority(pool, apr_pstrmemdup(pool, start, len), url);
}

const char *kohomai_url_format(apr_pool_t *pool, const kohomai_url_t *url)
{
    const char *scheme = url->https ? "https://" : "http://";

    if (url->port == scheme_port(url->https)) {
        return apr_pstrcat(pool, scheme, url->host, url->rest, NULL);
    }
    return apr_psprintf(pool, "%s%s:%u%s", scheme, url->host, (unsigned)url->port, url->rest);
}

int kohomai_url_is_loopback(const kohomai_url_t *url)
{
    return strcmp(url->host, "localhost") == 0 || strcmp(url->host, "[::1]") == 0 ||
           (strncmp(url->host, "127.", 4) == 0 && is_ipv4(url->host));
}

/* ---- policies ---- */

/* Where a pattern's port begins, or its end where it names none. */
static const char *pattern_host_end(const char *pattern)
{
    const char *colon = strrchr(pattern, ':');

    return colon && (*pattern != '[' || colon[-1] == ']') ? colon : pattern + strlen(pattern);
}

const char *kohomai_url_check_pattern(const char *text)
{
    static const char *const mend = "a host must be written example.com, *.example.com, "
                                    "192.0.2.1 or [2001:db8::1], with :PORT for another port than "
                                    "the scheme's own";
    const char *end = pattern_host_end(text);
    char host[HOST_MAX + 3];
    apr_size_t len = (apr_size_t)(end - text);

    if (len == 0 || len >= sizeof(host) || (*end && !read_port(end + 1))) {
        return mend;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    if (strncmp(host, "*.", 2) == 0) {
        return is_name(host + 2) && !ends_in_number(host + 2) ? NULL : mend;
    }
    return is_host(host) ? NULL : mend;
}

static int pattern_matches(const char *pattern, const kohomai_url_t *url)
{
    const char *end = pattern_host_end(pattern);
    apr_port_t port = *end ? read_port(end + 1) : scheme_port(url->https);
    apr_size_t len = (apr_size_t)(end - pattern), host_len = strlen(url->host);

    if (port != url->port) {
        return 0;
    }
    if (strncmp(pattern, "*.", 2) == 0) {
        return host_len > len - 1 &&
               apr_cstr_casecmpn(url->host + host_len - (len - 1), pattern + 1, len - 1) == 0;
    }
    return host_len == len && apr_cstr_casecmpn(url->host, pattern, len) == 0;
}

int kohomai_url_is_allowed(const kohomai_url_t *url, const apr_array_header_t *patterns)
{
    int i;

    for (i = 0; i < patterns->nelts; i++) {
        if (pattern_matches(APR_ARRAY_IDX(patterns, i, const char *), url)) {
            return 1;
        }
    }
    return 0;
}

const char *kohomai_url_judge_link(apr_pool_t *pool, const char *text, const kohomai_url_t *api,
                                   const apr_array_header_t *allowed, const char **link)
{
    kohomai_url_t url;
    const char *reason = kohomai_url_parse(pool, text, &url);

    if (reason) {
        return reason;
    }
    if (!url.https && !api->https && !kohomai_url_is_loopback(api)) {
        return "link-scheme";
    }
    if (api->https && !url.https) {
        url.https = 1;
        if (url.port == 80) {
            url.port = 443;
        }
    }
    if (allowed ? !kohomai_url_is_allowed(&url, allowed)
                : strcmp(url.host, api->host) != 0 || url.port != api->port) {
        return "link-host";
    }
    text = kohomai_url_format(pool, &url);
    if (strlen(text) > KOHOMAI_URL_MAX) {
        return "url-length";
    }
    *link = text;
    return NULL;
}

int kohomai_url_is_path(const char *text)
{
    return text[0] == '/' && text[1] != '/' && strlen(text) <= KOHOMAI_URL_MAX &&
           all_url_characters(text);
}
