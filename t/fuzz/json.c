/* json: whatever the reader takes must be JSON, and its tree exactly what the text says, numbers by
 *   their very characters; and whatever is JSON within the bounds must be taken.
 *
 * Input: JSON text. A reader written for this alone, by RFC 8259 and nothing else, walks through the
 * text and the tree side by side.
 * Threads: one. Memory: see fuzz.h.
 * Never: needs a server. */
#include "fuzz.h"

#include "json.h"
#include "text.h"

/* tree is NULL where only the text is to be judged. */
typedef struct {
    const char *at, *end;
    apr_pool_t *pool;
} reader_t;

static int read_value(reader_t *r, const cJSON *tree, int compare, int depth);

static void skip_space(reader_t *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) {
        r->at++;
    }
}

static int take(reader_t *r, char c)
{
    if (r->at < r->end && *r->at == c) {
        r->at++;
        return 1;
    }
    return 0;
}

static int take_word(reader_t *r, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) {
        return 0;
    }
    r->at += len;
    return 1;
}

static int take_digits(reader_t *r)
{
    const char *start = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return r->at > start;
}

static int take_hex(reader_t *r, unsigned *code)
{
    int i;

    for (*code = 0, i = 0; i < 4; i++) {
        int digit = r->at < r->end ? kohomai_text_hex(*r->at++) : -1;

        if (digit < 0) {
            return 0;
        }
        *code = *code << 4 | (unsigned)digit;
    }
    return 1;
}

static char *spell(char *out, unsigned code)
{
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
    }
    else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (code & 0x3f));
    return out;
}

/* \uXXXX, of which two may make one character; NUL and half a character are not taken. */
static int take_unicode(reader_t *r, char **out)
{
    unsigned code, low;

    if (!take_hex(r, &code) || code == 0 || (code >= 0xdc00 && code < 0xe000)) {
        return 0;
    }
    if (code >= 0xd800 && code < 0xdc00) {
        if (!take_word(r, "\\u") || !take_hex(r, &low) || low < 0xdc00 || low >= 0xe000) {
            return 0;
        }
        code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
    }
    *out = spell(*out, code);
    return 1;
}

static int take_escape(reader_t *r, char **out)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *name;

    if (take(r, 'u')) {
        return take_unicode(r, out);
    }
    name = r->at < r->end && *r->at ? strchr(names, *r->at) : NULL;
    if (!name) {
        return 0;
    }
    r->at++;
    *(*out)++ = meant[name - names];
    return 1;
}

/* A string, decoded; NULL where there is none. */
static const char *take_string(reader_t *r)
{
    char *text, *out;

    if (!take(r, '"')) {
        return NULL;
    }
    text = out = apr_palloc(r->pool, (size_t)(r->end - r->at) + 1);
    while (!take(r, '"')) {
        if (r->at == r->end || (unsigned char)*r->at < 0x20) {
            return NULL;
        }
        if (!take(r, '\\')) {
            *out++ = *r->at++;
        }
        else if (!take_escape(r, &out)) {
            return NULL;
        }
    }
    *out = '\0';
    return text;
}

static const char *take_number(reader_t *r)
{
    const char *start = r->at;

    take(r, '-');
    if (!take(r, '0') && !take_digits(r)) {
        return NULL;
    }
    if (take(r, '.') && !take_digits(r)) {
        return NULL;
    }
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+')) {
            take(r, '-');
        }
        if (!take_digits(r)) {
            return NULL;
        }
    }
    return apr_pstrmemdup(r->pool, start, (size_t)(r->at - start));
}

/* A list of values, or of members, behind its opening bracket. */
static int read_list(reader_t *r, const cJSON *tree, int compare, int depth, char close)
{
    const cJSON *item = compare ? tree->child : NULL;

    if (depth > KOHOMAI_JSON_DEPTH) {
        return 0;
    }
    skip_space(r);
    if (take(r, close)) {
        must(!item, "more in the tree than in the text");
        return 1;
    }
    do {
        skip_space(r);
        must(!compare || item, "more in the text than in the tree");
        if (close == '}') {
            const char *name = take_string(r);

            skip_space(r);
            if (!name || !take(r, ':')) {
                return 0;
            }
            if (compare) {
                must_be(item->string, name, "a name");
            }
        }
        if (!read_value(r, item, compare, depth)) {
            return 0;
        }
        skip_space(r);
        item = compare ? item->next : NULL;
    } while (take(r, ','));
    must(!item, "more in the tree than in the text");
    return take(r, close);
}

static int read_text(reader_t *r, const cJSON *tree, int compare)
{
    const char *text = *r->at == '"' ? take_string(r) : take_number(r);

    if (text && compare) {
        must(cJSON_IsString(tree), "no string: %s", text);
        must_be(tree->valuestring, text, "a string or number");
    }
    return text != NULL;
}

static int read_value(reader_t *r, const cJSON *tree, int compare, int depth)
{
    skip_space(r);
    if (take(r, '[')) {
        must(!compare || cJSON_IsArray(tree), "no array");
        return read_list(r, tree, compare, depth + 1, ']');
    }
    if (take(r, '{')) {
        must(!compare || cJSON_IsObject(tree), "no object");
        return read_list(r, tree, compare, depth + 1, '}');
    }
    if (take_word(r, "true")) {
        must(!compare || cJSON_IsTrue(tree), "not true");
        return 1;
    }
    if (take_word(r, "false")) {
        must(!compare || cJSON_IsFalse(tree), "not false");
        return 1;
    }
    if (take_word(r, "null")) {
        must(!compare || cJSON_IsNull(tree), "not null");
        return 1;
    }
    return r->at < r->end && read_text(r, tree, compare);
}

static int is_json(apr_pool_t *pool, const char *text, size_t len, const cJSON *tree)
{
    reader_t r = {text, text + len, pool};
    int good;

    if (!kohomai_text_is_utf8(text, len)) {
        return 0;
    }
    take_word(&r, "\xef\xbb\xbf");
    good = read_value(&r, tree, tree != NULL, 0);
    skip_space(&r);
    return good && r.at == r.end;
}

/* The first member of a name, and whether there is a second. */
static void ask_for_members(const cJSON *tree)
{
    const cJSON *item, *first;
    int twice;

    cJSON_ArrayForEach(item, tree) {
        const cJSON *got, *other;
        int count = 0;

        if (!item->string) {
            return;
        }
        twice = 0;
        got = kohomai_json_member(tree, item->string, &twice);
        first = NULL;
        cJSON_ArrayForEach(other, tree) {
            if (strcmp(other->string, item->string) == 0) {
                first = first ? first : other;
                count++;
            }
        }
        must(got == (cJSON_IsNull(first) ? NULL : first), "another member %s", item->string);
        must(twice == (count > 1), "%s is there %d times", item->string, count);
    }
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    size_t len = fuzz_left(&input);
    const char *text = fuzz_take(pool, &input, len);
    const cJSON *tree = kohomai_json_parse(pool, text, len);

    must(is_json(pool, text, len, tree) == (tree != NULL),
         tree ? "this is no JSON" : "this is JSON");
    if (len <= 4096) { /* the check is slow where there are many members */
        ask_for_members(tree);
    }
}
