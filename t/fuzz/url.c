/* url: whatever the grammar takes, libcurl reads with the same scheme, host and port, and without a
 *   user; what is written from it is read alike; a link goes where it may; a path stays on its site.
 *
 * Input: lines: a URL, the API's base URL, then patterns of allowed hosts.
 * Threads: one. Memory: see fuzz.h.
 * Never: resolves a name. (libcurl is linked here alone: the leaf knows nothing of it.) */
#include "fuzz.h"

#include "text.h"
#include "url.h"

#include <arpa/inet.h>
#include <curl/curl.h>

static const char *const reasons[] = {"url-length", "url-character", "url-scheme",
                                      "url-user",   "url-host",      "url-port",
                                      "link-host",  "link-scheme",   NULL};

/* ---- as libcurl reads it ---- */

/* The same address, however it is spelled. */
static int same_address(const char *one, const char *other)
{
    struct in6_addr addresses[2];
    const char *texts[2] = {one, other};
    int i;

    for (i = 0; i < 2; i++) {
        size_t len = strlen(texts[i]);
        char inner[64];

        if (len < 3 || len >= sizeof(inner)) {
            return 0;
        }
        apr_cpystrn(inner, texts[i] + 1, len - 1);
        if (inet_pton(AF_INET6, inner, &addresses[i]) != 1) {
            return 0;
        }
    }
    return memcmp(&addresses[0], &addresses[1], sizeof(addresses[0])) == 0;
}

/* A part of what curl read, in the pool; NULL where it finds none. */
static const char *part_of(apr_pool_t *pool, CURLU *handle, CURLUPart part)
{
    char *got = NULL;
    CURLUcode code = curl_url_get(handle, part, &got, CURLU_DEFAULT_PORT);
    const char *copy = code == CURLUE_OK ? apr_pstrdup(pool, got) : NULL;

    curl_free(got);
    return copy;
}

static void must_read(apr_pool_t *pool, CURLU *handle, const kohomai_url_t *url, const char *text)
{
    const char *host = part_of(pool, handle, CURLUPART_HOST);

    must_be(part_of(pool, handle, CURLUPART_SCHEME), url->https ? "https" : "http", text);
    must_be(part_of(pool, handle, CURLUPART_PORT), apr_psprintf(pool, "%d", (int)url->port), text);
    must(host && (*host == '[' ? same_address(host, url->host) : !strcasecmp(host, url->host)),
         "%s: curl reads the host %s, we %s", text, host ? host : "(null)", url->host);
    must_be(part_of(pool, handle, CURLUPART_USER), NULL, text);
    must_be(part_of(pool, handle, CURLUPART_PASSWORD), NULL, text);
}

static void curl_must_agree(apr_pool_t *pool, const char *text, const kohomai_url_t *url)
{
    CURLU *handle = curl_url();

    must(curl_url_set(handle, CURLUPART_URL, text, 0) == CURLUE_OK, "curl refuses %s", text);
    must_read(pool, handle, url, text);
    curl_url_cleanup(handle);
}

/* ---- reading and writing ---- */

static void must_be_read_alike(apr_pool_t *pool, const char *text, const kohomai_url_t *url)
{
    const char *again = kohomai_url_format(pool, url), *s;
    kohomai_url_t other;

    for (s = url->host; *s; s++) {
        must((unsigned char)*s > 0x20 && *s < 0x7f && !(*s >= 'A' && *s <= 'Z') &&
                 !strchr("/\\?#@%", *s),
             "the host %s", url->host);
    }
    must(url->port && *url->host, "no host or no port");
    must(!*url->rest || strchr("/?#", *url->rest), "the rest %s", url->rest);
    must_be_one_of(kohomai_url_parse(pool, again, &other), reasons);
    if (strlen(again) <= KOHOMAI_URL_MAX) { /* it grows where the port was not the shortest */
        must_be(kohomai_url_parse(pool, again, &other), NULL, again);
        must(other.https == url->https && other.port == url->port, "%s becomes %s", text, again);
        must_be(other.host, url->host, again);
        must_be(other.rest, url->rest, again);
        must_be(kohomai_url_format(pool, &other), again, "written once more");
        curl_must_agree(pool, again, url);
    }
    curl_must_agree(pool, text, url);
}

/* ---- policies ---- */

static apr_array_header_t *read_patterns(apr_pool_t *pool, fuzz_input_t *input)
{
    apr_array_header_t *patterns = apr_array_make(pool, 4, sizeof(const char *));

    while (fuzz_left(input) && patterns->nelts < 8) {
        const char *pattern = fuzz_line(pool, input);

        if (!kohomai_url_check_pattern(pattern)) {
            APR_ARRAY_PUSH(patterns, const char *) = pattern;
        }
    }
    return patterns;
}

/* A pattern without a star is a host that can be dialled, and it allows that host. */
static void must_allow_itself(apr_pool_t *pool, const char *pattern)
{
    apr_array_header_t *alone = apr_array_make(pool, 1, sizeof(const char *));
    const char *host = strncmp(pattern, "*.", 2) == 0 ? pattern + 2 : pattern;
    const char *text = apr_pstrcat(pool, "https://", host, "/", NULL);
    kohomai_url_t url;

    APR_ARRAY_PUSH(alone, const char *) = pattern;
    must_be(kohomai_url_parse(pool, text, &url), NULL, text);
    must(kohomai_url_is_allowed(&url, alone) == (host == pattern), "%s and %s", pattern, text);
    if (host != pattern) {
        text = apr_pstrcat(pool, "https://x.", host, "/", NULL);
        if (!kohomai_url_parse(pool, text, &url)) { /* it may have become too long */
            must(kohomai_url_is_allowed(&url, alone), "%s and %s", pattern, text);
        }
    }
}

/* By another way than the leaf's: host and port as one text, and a star for what ends so. */
static int is_allowed(apr_pool_t *pool, const kohomai_url_t *url,
                      const apr_array_header_t *patterns)
{
    const char *wanted = apr_psprintf(pool, "%s:%d", url->host, (int)url->port);
    int i;

    for (i = 0; i < patterns->nelts; i++) {
        const char *pattern = APR_ARRAY_IDX(patterns, i, const char *);
        const char *colon = strrchr(pattern, ':'), *full;

        full = colon && strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
                       (*pattern != '[' || colon[-1] == ']')
                   ? pattern
                   : apr_pstrcat(pool, pattern, url->https ? ":443" : ":80", NULL);
        if (strcasecmp(full, wanted) == 0) {
            return 1;
        }
        if (*full == '*' && strlen(wanted) > strlen(full) - 1 &&
            strcasecmp(full + 1, wanted + strlen(wanted) - strlen(full) + 1) == 0) {
            return 1;
        }
    }
    return 0;
}

static void must_go_where_it_may(apr_pool_t *pool, const char *link, const kohomai_url_t *api,
                                 const apr_array_header_t *allowed)
{
    kohomai_url_t url;

    must(strlen(link) <= KOHOMAI_URL_MAX, "%d bytes", (int)strlen(link));
    must_be(kohomai_url_parse(pool, link, &url), NULL, link);
    must(url.https || (!api->https && kohomai_url_is_loopback(api)), "%s in the clear", link);
    if (allowed) {
        must(is_allowed(pool, &url, allowed), "not allowed: %s", link);
    }
    else {
        must(url.port == api->port && strcmp(url.host, api->host) == 0, "not the API's: %s", link);
    }
    curl_must_agree(pool, link, &url);
}

static void judge(apr_pool_t *pool, const char *text, const kohomai_url_t *api,
                  const apr_array_header_t *allowed)
{
    const char *link = NULL, *again = NULL;
    const char *reason = kohomai_url_judge_link(pool, text, api, allowed, &link);

    must_be_one_of(reason, reasons);
    must((reason == NULL) == (link != NULL), "a link and a reason");
    if (!reason) {
        must_go_where_it_may(pool, link, api, allowed);
        must_be(kohomai_url_judge_link(pool, link, api, allowed, &again), NULL, link);
        must_be(again, link, "judged once more");
    }
}

/* ---- paths ---- */

static void must_stay_on_its_site(apr_pool_t *pool, const char *path)
{
    const char *absolute = apr_pstrcat(pool, "https://site.example", path, NULL);
    kohomai_url_t url;
    CURLU *handle;

    if (strlen(absolute) <= KOHOMAI_URL_MAX) {
        must_be(kohomai_url_parse(pool, absolute, &url), NULL, absolute);
        must_be(url.host, "site.example", path);
        curl_must_agree(pool, absolute, &url);
    }
    url = (kohomai_url_t){1, "site.example", 443, path};
    handle = curl_url();
    must(!curl_url_set(handle, CURLUPART_URL, "https://site.example/x/y?z", 0), "curl refuses all");
    must(!curl_url_set(handle, CURLUPART_URL, path, 0), "curl refuses to go to %s", path);
    must_read(pool, handle, &url, path);
    curl_url_cleanup(handle);
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    const char *text = fuzz_line(pool, &input), *base = fuzz_line(pool, &input), *reason;
    apr_array_header_t *patterns = read_patterns(pool, &input);
    kohomai_url_t url, api;
    int i;

    for (i = 0; i < patterns->nelts; i++) {
        must_allow_itself(pool, APR_ARRAY_IDX(patterns, i, const char *));
    }
    if (kohomai_url_is_path(text)) {
        must_stay_on_its_site(pool, text);
    }
    reason = kohomai_url_parse(pool, text, &url);
    must_be_one_of(reason, reasons);
    if (!reason) {
        must_be_read_alike(pool, text, &url);
        must(kohomai_url_is_allowed(&url, patterns) == is_allowed(pool, &url, patterns),
             "allowed or not: %s", text);
    }
    if (!kohomai_url_parse(pool, base, &api)) {
        judge(pool, text, &api, NULL);
        judge(pool, text, &api, patterns);
    }
}
