/* urls: prints what the grammar of url.h takes, for urls.t to lay before a browser: URLs and paths that
 *   are a few changes away from the seeds of the fuzz target (named by the argument, a folder) and from
 *   some that try a browser's ways of reading. The same in every run.
 *
 * Lines: "url", the text, the scheme, the host and the port as the grammar reads them, and the text
 * as it is formatted; or "path" and the text. Tabs between, which no accepted text holds.
 * Threads: one. Memory: a pool for each text.
 * Never: asks anybody else. */
#include "url.h"

#include <apr_general.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URLS 3000
#define PATHS 1500
#define ROUNDS 3000000
#define TEXT_MAX 300

/* Where a browser repairs, decodes or guesses, the grammar must have refused, or both must agree. */
static const char *const tempting[] = {
    "https://0x7f.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0177.0.0.1/",
    "https://1.2.3.4/",
    "https://1.2.3.4.example/",
    "https://1.2.3.256/",
    "https://0.0.0.0/",
    "https://a.1/",
    "https://a.0x1f/",
    "https://a.0xg/",
    "https://0x/",
    "https://1e3/",
    "https://[::]/",
    "https://[::1]/",
    "https://[1::8]:443/",
    "https://[1:2:3:4:5:6:7::]/",
    "https://[::2:3:4:5:6:7:8]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[1:0:0:2:0:0:0:3]/",
    "https://[::ffff:192.0.2.1]/",
    "https://[64:ff9b::1.2.3.4]/",
    "https://[::1.2.3.4]/",
    "https://[1:2:3:4:5:6:1.2.3.4]/",
    "https://[fe80::1%25eth0]/",
    "https://[v1.x]/",
    "https://a_b.example/",
    "https://_dmarc.example/",
    "https://ab--cd.example/",
    "https://a--.example/",
    "https://xn--bcher-kva.example/",
    "https://xn--a.example/",
    "https://xn--.example/",
    "https://xn---.example/",
    "https://xn--maana-pta.com/",
    "https://xn--80ak6aa92e.com/",
    "https://xn--ls8h.la/",
    "https://xn--zca.example/",
    "https://xn--abc.example/",
    "https://xn--abc-.example/",
    "https://XN--BCHER-KVA.example/",
    "https://xn--bcher-KVA.example/",
    "https://a.xn--p1ai/",
    "https://example.com./",
    "https://example.com:/",
    "https://example.com:0443/",
    "https://example.com:00080/",
    "http://example.com:443/",
    "https://example.com:80/",
    "HTTPS://EXAMPLE.COM:443",
    "hTTp://eXample.com",
    "https://example.com?x@y",
    "https://example.com#x@y",
    "https://example.com/@evil.example",
    "https://example.com/x:y@z/?a#b",
    "https://example.com//evil.example/",
    "https://example.com/\\evil.example",
    "https://example.com/%2e%2e/",
    "https://example.com/a/../../../b",
    "https://example.com/.//x",
    "https://example.com/[x]?[y]#[z]",
    "https://example.com/%00%0a%0d%09",
    "https://user@example.com/",
    "https://user:@example.com/",
    "https://@example.com/",
    "https://exa%6dple.com/",
    "https:///example.com/",
    "https:/example.com/",
    "https:example.com",
    "https://-example.com/",
    "https://example-.com/",
    "https://localhost",
    "https://h",
    "/",
    "/x",
    "//evil.example",
    "/\\evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/./\\evil.example",
    "/%2f/evil.example",
    "/%5cevil.example",
    "/%2e//evil.example",
    "/x/..//evil.example",
    "/x//..//..//evil.example",
    "/@evil.example",
    "/:80",
    "/?//evil.example",
    "/#//evil.example",
    "/;//evil.example",
    "/https://evil.example",
    "/\t/evil.example",
    "/ /evil.example",
    "/x:y@evil.example/",
    "/%09/evil.example",
    "/%0d%0aLocation:%20//evil.example",
};

#define TEMPTING (sizeof(tempting) / sizeof(tempting[0]))

typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *seeds; /* of const char * */
    apr_hash_t *seen;
    apr_uint64_t random;
    int urls, paths;
} table_t;

static unsigned pick(table_t *table, size_t below)
{
    table->random = table->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((table->random >> 33) % below);
}

/* ---- seeds ---- */

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Each line of a file is a seed. */
static void add_file(table_t *table, const char *path)
{
    FILE *file = fopen(path, "r");
    char line[TEXT_MAX];

    if (!file) {
        return;
    }
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        APR_ARRAY_PUSH(table->seeds, const char *) = apr_pstrdup(table->pool, line);
    }
    fclose(file);
}

static int add_folder(table_t *table, const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_seed, alphasort), i;

    for (i = 0; i < count; i++) {
        add_file(table, apr_pstrcat(table->pool, folder, "/", entries[i]->d_name, NULL));
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return count;
}

/* ---- rows ---- */

/* A row for what was not there yet; of a URL, its host and port: the rest matters less. */
static int is_new(table_t *table, const char *what)
{
    if (apr_hash_get(table->seen, what, APR_HASH_KEY_STRING)) {
        return 0;
    }
    what = apr_pstrdup(table->pool, what);
    apr_hash_set(table->seen, what, APR_HASH_KEY_STRING, what);
    return 1;
}

static void judge(table_t *table, const char *text)
{
    kohomai_url_t url;
    apr_pool_t *pool;

    apr_pool_create(&pool, table->pool);
    if (table->urls < URLS && !kohomai_url_parse(pool, text, &url)) {
        int kind = 2 * url.https + (url.port == (url.https ? 443 : 80));
        const char *key = apr_psprintf(pool, "%s %d %.2s", url.host, kind, url.rest);

        if (is_new(table, key)) {
            printf("url\t%s\t%s\t%s\t%d\t%s\n", text, url.https ? "https" : "http", url.host,
                   (int)url.port, kohomai_url_format(pool, &url));
            table->urls++;
        }
    }
    if (table->paths < PATHS && kohomai_url_is_path(text) && is_new(table, text)) {
        printf("path\t%s\n", text);
        table->paths++;
    }
    apr_pool_destroy(pool);
}

/* One to five changes to a seed, from what means something to some reader of URLs. */
static void change(table_t *table, char *text)
{
    static const char *const pieces[] = {
        "/",    "\\",  ":",   "@", "?",  "#", ".",  "..", "[",  "]",   "%",    "%2",
        "%2f",  "%2e", "%5c", "0", "1",  "9", "0x", "a",  "F",  "x",   "-",    "--",
        "xn--", "_",   "~",   ";", "\t", " ", "::", "*",  "80", "443", "ffff", "//"};
    unsigned changes = 1 + pick(table, 5);

    while (changes--) {
        const char *piece = pieces[pick(table, sizeof(pieces) / sizeof(pieces[0]))];
        size_t len = strlen(text), at = pick(table, len + 1), cut = pick(table, 3);
        char tail[TEXT_MAX];

        if (len + strlen(piece) >= TEXT_MAX) {
            return;
        }
        apr_cpystrn(tail, text + (at + cut < len ? at + cut : len), sizeof(tail));
        text[at] = '\0';
        if (pick(table, 4)) {
            apr_cpystrn(text + at, piece, TEXT_MAX - at);
        }
        apr_cpystrn(text + strlen(text), tail, TEXT_MAX - strlen(text));
    }
}

int main(int argc, char **argv)
{
    table_t table = {.random = 3986};
    int i;

    if (argc != 2 || apr_initialize() || apr_pool_create(&table.pool, NULL)) {
        return 2;
    }
    table.seeds = apr_array_make(table.pool, 256, sizeof(const char *));
    table.seen = apr_hash_make(table.pool);
    for (i = 0; i < (int)TEMPTING; i++) {
        APR_ARRAY_PUSH(table.seeds, const char *) = tempting[i];
    }
    if (add_folder(&table, argv[1]) <= 0) {
        fprintf(stderr, "%s: no seeds there\n", argv[1]);
        return 1;
    }
    for (i = 0; i < table.seeds->nelts; i++) {
        judge(&table, APR_ARRAY_IDX(table.seeds, i, const char *));
    }
    for (i = 0; i < ROUNDS && (table.urls < URLS || table.paths < PATHS); i++) {
        unsigned from = pick(&table, (size_t)table.seeds->nelts);
        char text[TEXT_MAX];

        apr_cpystrn(text, APR_ARRAY_IDX(table.seeds, from, const char *), sizeof(text));
        change(&table, text);
        judge(&table, text);
    }
    return 0;
}
