/* json: JSON text from outside, read strictly and with every number kept exactly as spelled.
 * Threads: any. Memory: a tree lives until the pool it was asked for with is cleared.
 * Never: rounds a number, resolves a repeated name silently, or recurses without bound. */
#include "json.h"
#include "text.h"

#include <apr_lib.h>
#include <string.h>

/* A walk over the source that writes a copy in which each number stands in quotes. Only tokens
 * are judged here; how they may follow each other is cJSON's to judge. */
typedef struct {
    const char *at, *end;
    char *out;
    int depth;
} walk_t;

static apr_size_t digits(const char *s, const char *end)
{
    const char *start = s;

    while (s < end && apr_isdigit(*s)) {
        s++;
    }
    return (apr_size_t)(s - start);
}

/* The length of the number at s by the grammar of RFC 8259, section 6; 0 where there is none. */
static apr_size_t number_length(const char *start, const char *end)
{
    const char *s = start;
    apr_size_t n;

    if (s < end && *s == '-') {
        s++;
    }
    n = digits(s, end);
    if (n == 0 || (n > 1 && *s == '0')) {
        return 0;
    }
    s += n;
    if (s < end && *s == '.') {
        n = digits(++s, end);
        if (n == 0) {
            return 0;
        }
        s += n;
    }
    if (s < end && (*s == 'e' || *s == 'E')) {
        s++;
        if (s < end && (*s == '+' || *s == '-')) {
            s++;
        }
        n = digits(s, end);
        if (n == 0) {
            return 0;
        }
        s += n;
    }
    return (apr_size_t)(s - start);
}

static const char *skip_space(const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\r')) {
        s++;
    }
    return s;
}

static int copy_number(walk_t *w)
{
    apr_size_t len = number_length(w->at, w->end);
    const char *next = w->at + len;

    if (len == 0 || (next < w->end && (apr_isalnum(*next) || strchr("+-.", *next)))) {
        return 0;
    }
    *w->out++ = '"';
    memcpy(w->out, w->at, len);
    w->out += len;
    *w->out++ = '"';
    w->at = next;
    next = skip_space(next, w->end);
    return !(next < w->end && *next == ':'); /* quoting must not turn a number into a name */
}

/* Whether the escape at s (a backslash) is none of \u with four hexadecimal digits, or spells NUL:
 * cJSON takes other characters there for zeroes. */
static int is_bad_unicode(const char *s, const char *end)
{
    int i;

    if (end - s < 2 || s[1] != 'u') {
        return 0;
    }
    if (end - s < 6 || memcmp(s + 2, "0000", 4) == 0) {
        return 1;
    }
    for (i = 2; i < 6; i++) {
        if (kohomai_text_hex(s[i]) < 0) {
            return 1;
        }
    }
    return 0;
}

static int copy_string(walk_t *w)
{
    const char *s = w->at + 1;

    for (; s < w->end && *s != '"'; s++) {
        if ((unsigned char)*s < 0x20) {
            return 0;
        }
        if (*s != '\\') {
            continue;
        }
        if (is_bad_unicode(s, w->end)) {
            return 0;
        }
        if (++s == w->end) {
            return 0;
        }
    }
    if (s == w->end) {
        return 0;
    }
    memcpy(w->out, w->at, (apr_size_t)(s + 1 - w->at));
    w->out += s + 1 - w->at;
    w->at = s + 1;
    return 1;
}

static int copy_other(walk_t *w)
{
    char c = *w->at;

    if (c == '[' || c == '{') {
        if (++w->depth > KOHOMAI_JSON_DEPTH) {
            return 0;
        }
    }
    else if (c == ']' || c == '}') {
        w->depth--;
    }
    else if (!strchr(",: \t\r\n", c) && !(c >= 'a' && c <= 'z')) {
        return 0;
    }
    *w->out++ = c;
    w->at++;
    return 1;
}

static int copy_token(walk_t *w)
{
    if (*w->at == '"') {
        return copy_string(w);
    }
    if (*w->at == '-' || apr_isdigit(*w->at)) {
        return copy_number(w);
    }
    return *w->at && copy_other(w);
}

static apr_status_t free_tree(void *tree)
{
    cJSON_Delete(tree);
    return APR_SUCCESS;
}

const cJSON *kohomai_json_parse(apr_pool_t *pool, const char *text, apr_size_t len)
{
    walk_t w = {.at = text, .end = text + len};
    const char *stop = NULL;
    char *quoted;
    cJSON *tree;

    if (!kohomai_text_is_utf8(text, len)) {
        return NULL;
    }
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        w.at += 3;
    }
    /* Each number grows by two quotes, and between two numbers stands at least one character. */
    quoted = w.out = apr_palloc(pool, 2 * len + 3);
    while (w.at < w.end) {
        if (!copy_token(&w)) {
            return NULL;
        }
    }
    *w.out = '\0';
    tree = cJSON_ParseWithLengthOpts(quoted, (apr_size_t)(w.out - quoted) + 1, &stop, 1);
    if (tree) {
        apr_pool_cleanup_register(pool, tree, free_tree, apr_pool_cleanup_null);
    }
    return tree;
}

const cJSON *kohomai_json_member(const cJSON *object, const char *name, int *twice)
{
    const cJSON *found = NULL, *item;

    if (!cJSON_IsObject(object)) {
        return NULL;
    }
    cJSON_ArrayForEach(item, object) {
        if (strcmp(item->string, name) != 0) {
            continue;
        }
        if (found) {
            *twice = 1;
            break;
        }
        found = item;
    }
    return cJSON_IsNull(found) ? NULL : found;
}
