/* test_url: what url.h promises, and that libcurl, which dials, reads every accepted URL so too.
 * Threads: one. Memory: each test's pool.
 * Never: needs a server, or resolves a name. */
#include "unit.h"

#include "url.h"

#include <arpa/inet.h>
#include <curl/curl.h>

static const char *parse(apr_pool_t *pool, const char *text, kohomai_url_t *url)
{
    return kohomai_url_parse(pool, bare(pool, text, strlen(text) + 1), url);
}

static kohomai_url_t url_of(apr_pool_t *pool, const char *text)
{
    kohomai_url_t url = {0, "", 0, ""};

    expect_text(parse(pool, text, &url), NULL, text);
    return url;
}

/* ---- the grammar ---- */

static void a_url_is_read_into_its_parts(apr_pool_t *pool)
{
    static const struct {
        const char *text;
        int https;
        const char *host;
        int port;
        const char *rest, *formatted; /* NULL: as it was */
    } rows[] = {
        {"https://app.kohomai.com/api/v1", 1, "app.kohomai.com", 443, "/api/v1", NULL},
        {"http://app.kohomai.com/x?UUID=2bb3-52#f", 0, "app.kohomai.com", 80, "/x?UUID=2bb3-52#f",
         NULL},
        {"HTTPS://App.Kohomai.COM/A", 1, "app.kohomai.com", 443, "/A", "https://app.kohomai.com/A"},
        {"https://h", 1, "h", 443, "", NULL},
        {"https://h?q", 1, "h", 443, "?q", NULL},
        {"https://h#f", 1, "h", 443, "#f", NULL},
        {"https://h/?q=a@b:c//d", 1, "h", 443, "/?q=a@b:c//d", NULL},
        {"https://h/@x", 1, "h", 443, "/@x", NULL},
        {"https://h:443/", 1, "h", 443, "/", "https://h/"},
        {"http://h:80/", 0, "h", 80, "/", "http://h/"},
        {"https://h:80/", 1, "h", 80, "/", NULL},
        {"http://h:443", 0, "h", 443, "", NULL},
        {"https://h:1", 1, "h", 1, "", NULL},
        {"https://h:65535/", 1, "h", 65535, "/", NULL},
        {"https://127.0.0.1:8443/", 1, "127.0.0.1", 8443, "/", NULL},
        {"http://255.255.255.255/", 0, "255.255.255.255", 80, "/", NULL},
        {"http://0.0.0.0/", 0, "0.0.0.0", 80, "/", NULL},
        {"https://[::1]/", 1, "[::1]", 443, "/", NULL},
        {"https://[2001:DB8::1]:8443/x", 1, "[2001:db8::1]", 8443, "/x",
         "https://[2001:db8::1]:8443/x"},
        {"https://[::ffff:192.0.2.1]", 1, "[::ffff:192.0.2.1]", 443, "", NULL},
        {"https://a_b.c-d.e/", 1, "a_b.c-d.e", 443, "/", NULL},
        {"https://xn--bcher-kva.example", 1, "xn--bcher-kva.example", 443, "", NULL},
        {"https://1.example", 1, "1.example", 443, "", NULL},
        {"https://1a", 1, "1a", 443, "", NULL},
        {"https://h/%00%0d%0a%5C", 1, "h", 443, "/%00%0d%0a%5C", NULL},
        {"https://h/[x]!$&'()*+,;=~", 1, "h", 443, "/[x]!$&'()*+,;=~", NULL},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_url_t url = url_of(pool, rows[i].text);

        expect(url.https == rows[i].https, "%s: scheme", rows[i].text);
        expect_text(url.host, rows[i].host, rows[i].text);
        expect(url.port == rows[i].port, "%s: port %d", rows[i].text, (int)url.port);
        expect_text(url.rest, rows[i].rest, rows[i].text);
        expect_text(kohomai_url_format(pool, &url),
                    rows[i].formatted ? rows[i].formatted : rows[i].text, rows[i].text);
    }
}

static void a_url_out_of_the_grammar_is_refused_with_its_reason(apr_pool_t *pool)
{
    static const struct {
        const char *reason, *text;
    } rows[] = {
        {"url-scheme", ""},
        {"url-scheme", "h"},
        {"url-scheme", "/x"},
        {"url-scheme", "//h/"},
        {"url-scheme", "ftp://h"},
        {"url-scheme", "javascript:alert(1)"},
        {"url-scheme", "https:"},
        {"url-scheme", "https:/h"},
        {"url-scheme", "https:h"},
        {"url-scheme", "httpx://h"},
        {"url-scheme", "data:text/html,x"},
        {"url-scheme", "file:///etc"},
        {"url-scheme", "HTTPSS://h"},
        {"url-character", " https://h"},
        {"url-character", "https://h/ "},
        {"url-character", "https://h/a b"},
        {"url-character", "https://h/\r\nSet-Cookie: a=b"},
        {"url-character", "https://h/\n"},
        {"url-character", "https://h/\t"},
        {"url-character", "ht\ntps://h"},
        {"url-character", "https://h/\x7f"},
        {"url-character", "https://h/\x01"},
        {"url-character", "https:\\\\h"},
        {"url-character", "https://h\\@x"},
        {"url-character", "https://h/\\x"},
        {"url-character", "https://h/\""},
        {"url-character", "https://h/<"},
        {"url-character", "https://h/>"},
        {"url-character", "https://h/`"},
        {"url-character", "https://h/{"},
        {"url-character", "https://h/}"},
        {"url-character", "https://h/|"},
        {"url-character", "https://h/^"},
        {"url-character", "https://h/\xc3\xa9"},
        {"url-character", "https://b\xc3\xbc"
                          "cher.de"},
        {"url-character", "https://h/%"},
        {"url-character", "https://h/%4"},
        {"url-character", "https://h/%4g"},
        {"url-character", "https://h/%g4"},
        {"url-character", "https://h/%%41"},
        {"url-character", "https://h\xe3\x80\x82"
                          "com/"},
        {"url-user", "https://u@h"},
        {"url-user", "https://u:p@h/"},
        {"url-user", "https://@h"},
        {"url-user", "https://a.com@evil.com"},
        {"url-user", "https://a.com:443@evil.com/"},
        {"url-user", "https://%61@h"},
        {"url-user", "https://h@"},
        {"url-user", "https://[::1]@h"},
        {"url-host", "https://"},
        {"url-host", "https:///x"},
        {"url-host", "https://?q"},
        {"url-host", "https://#f"},
        {"url-host", "https://:443"},
        {"url-host", "https://."},
        {"url-host", "https://h."},
        {"url-host", "https://.h"},
        {"url-host", "https://a..b"},
        {"url-host", "https://-a"},
        {"url-host", "https://a-"},
        {"url-host", "https://a-.b"},
        {"url-host", "https://a.-b"},
        {"url-host", "https://%68"},
        {"url-host", "https://a%2eb"},
        {"url-host", "https://a,b"},
        {"url-host", "https://a;b"},
        {"url-host", "https://a*b"},
        {"url-host", "https://a~b"},
        {"url-host", "https://a!b"},
        {"url-host", "https://a&b"},
        {"url-host", "https://(a)"},
        {"url-host", "https://a:1:2"},
        {"url-host", "https://a]"},
        {"url-host", "https://[a"},
        {"url-host", "https://1"},
        {"url-host", "https://127.1"},
        {"url-host", "https://2130706433"},
        {"url-host", "https://0x7f000001"},
        {"url-host", "https://0x7f.1"},
        {"url-host", "https://0X7F.0.0.1"},
        {"url-host", "https://127.0.0.0x1"},
        {"url-host", "https://a.0x"},
        {"url-host", "https://017700000001"},
        {"url-host", "https://127.0.0.01"},
        {"url-host", "https://0127.0.0.1"},
        {"url-host", "https://256.0.0.1"},
        {"url-host", "https://1.2.3.4.5"},
        {"url-host", "https://1.2.3"},
        {"url-host", "https://a.1"},
        {"url-host", "https://127.0.0.1."},
        {"url-host", "https://1.2.3.4.5.6.7.8"},
        {"url-host", "https://[]"},
        {"url-host", "https://[:]"},
        {"url-host", "https://[::1"},
        {"url-host", "https://[::1]x"},
        {"url-host", "https://[::1]x:1"},
        {"url-port", "https://x[::1]"},
        {"url-host", "https://[127.0.0.1]"},
        {"url-host", "https://[a]"},
        {"url-host", "https://[::g]"},
        {"url-host", "https://[1::2::3]"},
        {"url-host", "https://[1:2:3:4:5:6:7]"},
        {"url-host", "https://[1:2:3:4:5:6:7:8:9]"},
        {"url-host", "https://[12345::]"},
        {"url-host", "https://[fe80::1%25eth0]"},
        {"url-host", "https://[[::1]]"},
        {"url-host", "https://[v1.a]"},
        {"url-host", "https://[::1][::1]"},
        {"url-host", "https://["},
        {"url-host", "https://]"},
        {"url-port", "https://h:"},
        {"url-port", "https://h:/"},
        {"url-port", "https://h:0"},
        {"url-port", "https://h:00"},
        {"url-port", "https://h:0443"},
        {"url-port", "https://h:65536"},
        {"url-port", "https://h:99999"},
        {"url-port", "https://h:100000"},
        {"url-port", "https://h:-1"},
        {"url-port", "https://h:+1"},
        {"url-port", "https://h:1a"},
        {"url-port", "https://h:%31"},
        {"url-port", "https://h:4294967739"},
        {"url-port", "https://h:18446744073709552059"},
        {"url-port", "https://[::1]:"},
        {"url-port", "https://[::1]:0"},
        {"url-port", "https://h:80:"},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_url_t url;

        expect_text(parse(pool, rows[i].text, &url), rows[i].reason, rows[i].text);
    }
}

static void a_percent_sign_at_the_very_end_is_not_read_past(apr_pool_t *pool)
{
    static const char text[] = "https://h.example:8443/a%41?b#c%4";
    apr_size_t len;

    for (len = 0; len < sizeof(text); len++) {
        kohomai_url_t url;
        const char *cut = apr_pstrmemdup(pool, text, len);
        const char *reason = parse(pool, cut, &url);

        expect(!reason || strncmp(reason, "url-", 4) == 0, "%s", cut);
        expect(kohomai_url_is_path(bare(pool, cut, len + 1)) == 0, "%s", cut);
    }
}

static void a_url_of_8190_bytes_is_taken_and_of_8191_is_not(apr_pool_t *pool)
{
    const char *fits =
        apr_pstrcat(pool, "https://h/", repeated(pool, "x", KOHOMAI_URL_MAX - 10), NULL);
    kohomai_url_t url;

    expect(strlen(fits) == 8190, "the test's own arithmetic");
    expect_text(parse(pool, fits, &url), NULL, "8,190");
    expect_text(parse(pool, apr_pstrcat(pool, fits, "x", NULL), &url), "url-length", "8,191");
}

static void a_host_has_labels_of_63_and_253_characters_in_all(apr_pool_t *pool)
{
    const char *label = repeated(pool, "a", 63), *dotted = apr_pstrcat(pool, label, ".", NULL);
    const char *most = apr_pstrcat(pool, repeated(pool, dotted, 3), repeated(pool, "b", 61), NULL);
    kohomai_url_t url;

    expect(strlen(most) == 253, "the test's own arithmetic");
    expect_text(parse(pool, apr_pstrcat(pool, "https://", label, NULL), &url), NULL, "63");
    expect_text(parse(pool, apr_pstrcat(pool, "https://", label, "a", NULL), &url), "url-host",
                "64");
    expect_text(parse(pool, apr_pstrcat(pool, "https://", most, NULL), &url), NULL, "253");
    expect_text(parse(pool, apr_pstrcat(pool, "https://", most, "b", NULL), &url), "url-host",
                "254");
    expect_text(kohomai_url_check_pattern(most), NULL, "a pattern of 253");
    expect_text(kohomai_url_check_pattern(apr_pstrcat(pool, "*.", most, ":65535", NULL)), NULL,
                "a pattern of 253 with star and port");
    expect(kohomai_url_check_pattern(apr_pstrcat(pool, most, "b", NULL)) != NULL,
           "a pattern of 254");
    expect(kohomai_url_check_pattern(repeated(pool, "a.", 5000)) != NULL, "a pattern of 10,000");
}

/* ---- policies ---- */

static void the_machine_itself_is_told_by_three_names(apr_pool_t *pool)
{
    static const struct {
        const char *text;
        int is_loopback;
    } rows[] = {
        {"http://localhost", 1},
        {"http://LOCALHOST:8080/", 1},
        {"http://127.0.0.1", 1},
        {"http://127.255.255.254:1", 1},
        {"http://[::1]:8080", 1},
        {"http://localhost.example", 0},
        {"http://xlocalhost", 0},
        {"http://127.example", 0},
        {"http://127.0.0.1.example", 0},
        {"http://128.0.0.1", 0},
        {"http://0.0.0.0", 0},
        {"http://[::]", 0},
        {"http://[::2]", 0},
        {"http://a.localhost", 0},
        {"http://[::127.0.0.1]", 0},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_url_t url = url_of(pool, rows[i].text);

        expect(kohomai_url_is_loopback(&url) == rows[i].is_loopback, "%s", rows[i].text);
    }
}

static void a_pattern_is_a_host_with_perhaps_a_star_or_a_port(apr_pool_t *pool)
{
    static const struct {
        const char *text;
        int good;
    } rows[] = {
        {"example.com", 1},
        {"EXAMPLE.com", 1},
        {"*.example.com", 1},
        {"example.com:8443", 1},
        {"*.example.com:1", 1},
        {"localhost", 1},
        {"127.0.0.1", 1},
        {"127.0.0.1:65535", 1},
        {"[::1]", 1},
        {"[2001:db8::1]:443", 1},
        {"a_b", 1},
        {"*.com", 1},
        {"", 0},
        {"*", 0},
        {"*.", 0},
        {"*.*.com", 0},
        {"a.*.com", 0},
        {"*example.com", 0},
        {".example.com", 0},
        {"example.com.", 0},
        {"https://example.com", 0},
        {"example.com/", 0},
        {"example.com:", 0},
        {"example.com:0", 0},
        {"example.com:65536", 0},
        {"example.com:*", 0},
        {"example.com:080", 0},
        {":80", 0},
        {"*:80", 0},
        {"u@example.com", 0},
        {"exa mple.com", 0},
        {"example.com ", 0},
        {"127.1", 0},
        {"0x7f.1", 0},
        {"::1", 0},
        {"[::1", 0},
        {"[]", 0},
        {"[::1]x", 0},
        {"*.[::1]", 0},
        {"[*.a]", 0},
        {"a:b:80", 0},
        {"caf\xc3\xa9.fr", 0},
        {"a..b", 0},
        {"-a", 0},
        {"*.127.0.0.1", 0},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *copy = bare(pool, rows[i].text, strlen(rows[i].text) + 1);
        const char *mend = kohomai_url_check_pattern(copy);

        expect((mend == NULL) == rows[i].good, "%s", rows[i].text);
        expect(!mend || strchr(mend, ' '), "%s: no sentence", rows[i].text);
    }
}

static void a_pattern_allows_its_host_and_port_alone(apr_pool_t *pool)
{
    static const struct {
        const char *pattern, *text;
        int allowed;
    } rows[] = {
        {"example.com", "https://example.com/", 1},
        {"example.com", "http://example.com/", 1},
        {"Example.COM", "https://eXample.com", 1},
        {"example.com", "https://example.com:443/", 1},
        {"example.com", "https://example.com:80/", 0},
        {"example.com", "http://example.com:443/", 0},
        {"example.com", "https://example.com:8443/", 0},
        {"example.com", "https://www.example.com/", 0},
        {"example.com", "https://example.com.evil/", 0},
        {"example.com", "https://evil-example.com/", 0},
        {"example.com", "https://example.co/", 0},
        {"example.com:8443", "https://example.com:8443/", 1},
        {"example.com:8443", "http://example.com:8443/", 1},
        {"example.com:8443", "https://example.com/", 0},
        {"example.com:443", "https://example.com/", 1},
        {"example.com:443", "http://example.com/", 0},
        {"*.example.com", "https://a.example.com/", 1},
        {"*.example.com", "https://a.b.example.com/", 1},
        {"*.EXAMPLE.com", "https://A.example.COM/", 1},
        {"*.example.com", "https://example.com/", 0},
        {"*.example.com", "https://evilexample.com/", 0},
        {"*.example.com", "https://a.example.com.evil/", 0},
        {"*.example.com", "https://a.example.com:8443/", 0},
        {"*.example.com:8443", "https://a.example.com:8443/", 1},
        {"*.example.com:8443", "https://a.example.com/", 0},
        {"127.0.0.1", "http://127.0.0.1/", 1},
        {"127.0.0.1:8080", "http://127.0.0.1:8080/", 1},
        {"*.0.0.1", "http://127.0.0.1/", 0},
        {"[::1]", "http://[::1]/", 1},
        {"[2001:DB8::1]:8443", "https://[2001:db8::1]:8443/", 1},
        {"[::1]", "http://[::1]:8080/", 0},
        {"[::1]:8080", "http://[::1]/", 0},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        apr_array_header_t *patterns = apr_array_make(pool, 2, sizeof(const char *));
        kohomai_url_t url = url_of(pool, rows[i].text);

        expect(!kohomai_url_is_allowed(&url, patterns), "an empty list allows nothing");
        if (kohomai_url_check_pattern(rows[i].pattern)) {
            expect(!rows[i].allowed, "%s: refused", rows[i].pattern);
            continue;
        }
        APR_ARRAY_PUSH(patterns, const char *) = "other.invalid";
        expect(!kohomai_url_is_allowed(&url, patterns), "another host's list");
        APR_ARRAY_PUSH(patterns, const char *) = rows[i].pattern;
        expect(kohomai_url_is_allowed(&url, patterns) == rows[i].allowed, "%s and %s",
               rows[i].pattern, rows[i].text);
    }
}

static void a_link_is_upgraded_judged_and_given_back(apr_pool_t *pool)
{
    static const struct {
        const char *api, *allowed, *text, *reason, *link;
    } rows[] = {
        {"https://app.kohomai.com/api/v1", NULL,
         "http://app.kohomai.com/internal/v1/autologin?UUID=2bb3", NULL,
         "https://app.kohomai.com/internal/v1/autologin?UUID=2bb3"},
        {"https://a.com/v1", NULL, "https://a.com/x", NULL, "https://a.com/x"},
        {"https://a.com/v1", NULL, "https://A.COM/X", NULL, "https://a.com/X"},
        {"https://a.com/v1", NULL, "http://a.com:80/x", NULL, "https://a.com/x"},
        {"https://a.com/v1", NULL, "http://a.com:443/x", NULL, "https://a.com/x"},
        {"https://a.com/v1", NULL, "https://a.com:443/x", NULL, "https://a.com/x"},
        {"https://a.com/v1", NULL, "https://a.com:80/x", "link-host", NULL},
        {"https://a.com/v1", NULL, "http://a.com:8080/x", "link-host", NULL},
        {"https://a.com/v1", NULL, "https://a.com:8443/x", "link-host", NULL},
        {"https://a.com/v1", NULL, "https://b.com/x", "link-host", NULL},
        {"https://a.com/v1", NULL, "https://x.a.com/x", "link-host", NULL},
        {"https://a.com/v1", NULL, "https://a.com.evil/x", "link-host", NULL},
        {"https://a.com:8443/v1", NULL, "https://a.com:8443/x", NULL, "https://a.com:8443/x"},
        {"https://a.com:8443/v1", NULL, "http://a.com:8443/x", NULL, "https://a.com:8443/x"},
        {"https://a.com:8443/v1", NULL, "https://a.com/x", "link-host", NULL},
        {"https://a.com/v1", "b.com", "http://b.com/x", NULL, "https://b.com/x"},
        {"https://a.com/v1", "b.com", "https://a.com/x", "link-host", NULL},
        {"https://a.com/v1", "b.com:8080", "http://b.com:8080/x", NULL, "https://b.com:8080/x"},
        {"https://a.com/v1", "b.com:80", "http://b.com/x", "link-host", NULL},
        {"https://a.com/v1", "*.b.com", "http://c.b.com", NULL, "https://c.b.com"},
        {"https://a.com/v1", "*.b.com", "https://b.com", "link-host", NULL},
        {"http://127.0.0.1:9000/v1", NULL, "http://127.0.0.1:9000/x", NULL,
         "http://127.0.0.1:9000/x"},
        {"http://127.0.0.1:9000/v1", NULL, "http://127.0.0.1:9001/x", "link-host", NULL},
        {"http://127.0.0.1:9000/v1", NULL, "http://localhost:9000/x", "link-host", NULL},
        {"http://[::1]:9000/v1", NULL, "http://[::1]:9000/x", NULL, "http://[::1]:9000/x"},
        {"https://a.com/v1", NULL, "https://u@a.com/x", "url-user", NULL},
        {"https://a.com/v1", NULL, "https://a.com\\@b.com", "url-character", NULL},
        {"https://a.com/v1", NULL, "https://a.com/\r\nX: y", "url-character", NULL},
        {"https://a.com/v1", NULL, "javascript://a.com/%0aalert(1)", "url-scheme", NULL},
        {"https://a.com/v1", NULL, "//a.com/x", "url-scheme", NULL},
        {"https://a.com/v1", NULL, "/x", "url-scheme", NULL},
        {"https://a.com/v1", NULL, "", "url-scheme", NULL},
        {"https://a.com/v1", NULL, "https://a.com:0/", "url-port", NULL},
        {"https://a.com/v1", NULL, "https://a.com./", "url-host", NULL},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        apr_array_header_t *allowed = apr_array_make(pool, 1, sizeof(const char *));
        kohomai_url_t api = url_of(pool, rows[i].api);
        const char *link = "untouched";

        APR_ARRAY_PUSH(allowed, const char *) = rows[i].allowed;
        expect_text(kohomai_url_judge_link(pool, rows[i].text, &api,
                                           rows[i].allowed ? allowed : NULL, &link),
                    rows[i].reason, rows[i].text);
        expect_text(link, rows[i].reason ? "untouched" : rows[i].link, rows[i].text);
    }
}

static void an_upgraded_link_is_no_longer_than_a_link_may_be(apr_pool_t *pool)
{
    kohomai_url_t api = url_of(pool, "https://h/v1");
    const char *text =
        apr_pstrcat(pool, "http://h/", repeated(pool, "x", KOHOMAI_URL_MAX - 9), NULL);
    const char *link = NULL, *reason = kohomai_url_judge_link(pool, text, &api, NULL, &link);

    expect(strlen(text) == 8190, "the test's own arithmetic");
    expect(reason ? same(reason, "url-length") : strlen(link) <= KOHOMAI_URL_MAX,
           "%d bytes came back", link ? (int)strlen(link) : 0);
}

static void a_path_begins_with_one_slash_and_leads_nowhere_else(apr_pool_t *pool)
{
    static const struct {
        const char *text;
        int is_path;
    } rows[] = {
        {"/", 1},
        {"/a", 1},
        {"/a/b?c=d#e", 1},
        {"/a//b", 1},
        {"/%2f", 1},
        {"/?u=https://evil", 1},
        {"/@x", 1},
        {"/:80", 1},
        {"/.", 1},
        {"/a%20b", 1},
        {"", 0},
        {"a", 0},
        {"//", 0},
        {"//evil", 0},
        {"///evil", 0},
        {"/\\evil", 0},
        {"\\evil", 0},
        {"/\t/evil", 0},
        {"/a\r\nSet-Cookie: x", 0},
        {"/a b", 0},
        {"/\xc3\xa9", 0},
        {"/%", 0},
        {"/%4", 0},
        {"/%4g", 0},
        {" /a", 0},
        {"?a", 0},
        {"#a", 0},
        {"https://h/", 0},
        {"/\x7f", 0},
        {"/\"", 0},
        {"/<", 0},
        {"/a\\b", 0},
    };
    const char *fits = repeated(pool, "/x", KOHOMAI_URL_MAX / 2);
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *copy = bare(pool, rows[i].text, strlen(rows[i].text) + 1);

        expect(kohomai_url_is_path(copy) == rows[i].is_path, "%s", rows[i].text);
    }
    expect(kohomai_url_is_path(fits), "8,190 bytes");
    expect(!kohomai_url_is_path(apr_pstrcat(pool, fits, "x", NULL)), "8,191 bytes");
}

/* ---- beside libcurl ---- */

static int same_host(const char *ours, const char *theirs)
{
    struct in6_addr one, other;
    apr_size_t len = strlen(theirs);
    char a[64], b[64];

    if (*ours != '[') {
        return strcasecmp(ours, theirs) == 0;
    }
    if (len < 3 || len >= sizeof(b) || strlen(ours) >= sizeof(a) || *theirs != '[') {
        return 0;
    }
    apr_cpystrn(a, ours + 1, strlen(ours) - 1);
    apr_cpystrn(b, theirs + 1, len - 1);
    return inet_pton(AF_INET6, a, &one) == 1 && inet_pton(AF_INET6, b, &other) == 1 &&
           memcmp(&one, &other, sizeof(one)) == 0;
}

static void expect_part(CURLU *handle, CURLUPart part, const char *wanted, const char *text)
{
    char *got = NULL;
    CURLUcode code = curl_url_get(handle, part, &got, CURLU_DEFAULT_PORT);

    if (!wanted) {
        expect(code != CURLUE_OK, "%s: curl finds part %d: %s", text, (int)part, got ? got : "");
    }
    else {
        expect(code == CURLUE_OK && got &&
                   (part == CURLUPART_HOST ? same_host(wanted, got) : strcmp(wanted, got) == 0),
               "%s: curl reads %s, we read %s", text, got ? got : "nothing", wanted);
    }
    curl_free(got);
}

/* Whatever url takes, curl must take, with the same scheme, host and port, and without a user. */
static int expect_curl_agrees(apr_pool_t *pool, const char *text)
{
    kohomai_url_t url;
    CURLU *handle;
    CURLUcode code;

    if (parse(pool, text, &url)) {
        return 0;
    }
    handle = curl_url();
    code = curl_url_set(handle, CURLUPART_URL, text, 0);
    if (expect(code == CURLUE_OK, "%s: curl refuses it: %d", text, (int)code)) {
        expect_part(handle, CURLUPART_SCHEME, url.https ? "https" : "http", text);
        expect_part(handle, CURLUPART_HOST, url.host, text);
        expect_part(handle, CURLUPART_PORT, apr_psprintf(pool, "%d", (int)url.port), text);
        expect_part(handle, CURLUPART_USER, NULL, text);
        expect_part(handle, CURLUPART_PASSWORD, NULL, text);
    }
    curl_url_cleanup(handle);
    return 1;
}

static const char *const seeds[] = {
    "https://app.kohomai.com/api/v1?ref=a#b",
    "http://127.0.0.1:8080/x",
    "https://[2001:db8::1]:8443/x",
    "https://a_b.c-d.example:65535",
    "http://localhost?x",
    "https://[::ffff:192.0.2.1]/",
    "http://1.2.3.4",
    "https://xn--bcher-kva.example/",
    "https://h:443",
    "http://h:80/@x:y//z?q=%41",
};

static void curl_reads_every_good_url_as_we_do(apr_pool_t *pool)
{
    apr_size_t i;

    for (i = 0; i < ROWS(seeds); i++) {
        expect(expect_curl_agrees(pool, seeds[i]), "refused: %s", seeds[i]);
    }
}

/* 60,000 URLs that are a few changes away from good ones. */
static void curl_reads_every_accepted_url_as_we_do_however_it_was_changed(apr_pool_t *pool)
{
    static const char letters[] = "@:/\\?#[]%.-_x0179aAfF~!$&'()*+,;= \t\r\n\x7f\xc3\xa9";
    apr_uint64_t seed = 3986;
    int round, accepted = 0;

    for (round = 0; round < 60000; round++) {
        const char *from = seeds[(unsigned)round % ROWS(seeds)];
        apr_size_t len = strlen(from);
        apr_pool_t *mine;
        char text[128];

        memcpy(text, from, len);
        mutate(text, &len, letters, sizeof(letters) - 1, &seed);
        text[len] = '\0';
        apr_pool_create(&mine, pool);
        accepted += expect_curl_agrees(mine, text);
        apr_pool_destroy(mine);
        unit_free_pieces(mine);
    }
    expect(accepted > 3000 && accepted < 50000, "the changes are too wild or too tame: %d",
           accepted);
}

/* Reading what was formatted gives the same parts again. */
static void a_formatted_url_is_read_back_the_same(apr_pool_t *pool)
{
    apr_size_t i;

    for (i = 0; i < ROWS(seeds); i++) {
        kohomai_url_t one = url_of(pool, seeds[i]), other;

        other = url_of(pool, kohomai_url_format(pool, &one));
        expect(one.https == other.https && one.port == other.port, "%s", seeds[i]);
        expect_text(other.host, one.host, seeds[i]);
        expect_text(other.rest, one.rest, seeds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_url_is_read_into_its_parts),
        UNIT(a_url_out_of_the_grammar_is_refused_with_its_reason),
        UNIT(a_percent_sign_at_the_very_end_is_not_read_past),
        UNIT(a_url_of_8190_bytes_is_taken_and_of_8191_is_not),
        UNIT(a_host_has_labels_of_63_and_253_characters_in_all),
        UNIT(the_machine_itself_is_told_by_three_names),
        UNIT(a_pattern_is_a_host_with_perhaps_a_star_or_a_port),
        UNIT(a_pattern_allows_its_host_and_port_alone),
        UNIT(a_link_is_upgraded_judged_and_given_back),
        UNIT(an_upgraded_link_is_no_longer_than_a_link_may_be),
        UNIT(a_path_begins_with_one_slash_and_leads_nowhere_else),
        UNIT(curl_reads_every_good_url_as_we_do),
        UNIT(curl_reads_every_accepted_url_as_we_do_however_it_was_changed),
        UNIT(a_formatted_url_is_read_back_the_same),
    };

    return UNIT_MAIN(tests);
}
