/* form: hostile bodies, queries and cookies, and fields that are written by the book and must come
 *   back as they were.
 *
 * Input: a line that is a Content-Type, "query" or "cookies"; the rest is what is read. Or a line
 * "fields", "fields-latin" or "fields-json" and lines of a name and a value with a tab between.
 * Threads: one. Memory: see fuzz.h.
 * Never: needs a server. */
#include "fuzz.h"

#include "form.h"
#include "text.h"

static const char *const reasons[] = {"form-fields", "form-multipart", "form-json", "form-charset",
                                      "form-size",   "form-type",      NULL};
static const char *const list_reasons[] = {"form-fields", NULL};
static const char *const value_reasons[] = {"form-nul", "form-utf-8", "form-control", NULL};

/* Whatever comes out is clean text, or a reason and nothing. */
static const char *must_be_clean(const kohomai_form_t *form, const char *name)
{
    const char *reason = NULL, *value = kohomai_form_value(form, name, &reason);
    apr_size_t len = strlen(value);

    must_be_one_of(reason, value_reasons);
    must(!reason || len == 0, "a value beside the reason %s", reason);
    must(kohomai_text_is_utf8(value, len), "a value that is no UTF-8");
    must(!kohomai_text_has_control(value, len, 1), "a value with a control character");
    return reason ? reason : value;
}

static void ask_for_fields(const kohomai_form_t *form, apr_pool_t *pool, fuzz_input_t body)
{
    static const char *const names[] = {"", "a", "email", "first name", "data[x]", "\xc3\xa9"};
    apr_size_t i;

    for (i = 0; i < ROWS(names); i++) {
        must_be_clean(form, names[i]);
    }
    must_be_clean(form, fuzz_line(pool, &body)); /* a line of the body as a name */
    must_be_clean(form, fuzz_line(pool, &body));
}

static void read_hostile(apr_pool_t *pool, const fuzz_input_t *kind, const char *type,
                         fuzz_input_t rest)
{
    fuzz_input_t body = rest;
    size_t len = fuzz_left(&rest);
    const char *reason;
    kohomai_form_t *form;

    if (fuzz_is(kind, "query")) {
        reason = kohomai_form_read_query(pool, apr_pstrmemdup(pool, rest.at, len), &form);
        must_be_one_of(reason, list_reasons);
    }
    else if (fuzz_is(kind, "cookies")) {
        reason = kohomai_form_read_cookies(pool, apr_pstrmemdup(pool, rest.at, len), &form);
        must_be_one_of(reason, list_reasons);
    }
    else {
        reason = kohomai_form_read(pool, type, fuzz_take(pool, &rest, len), len, &form);
        must_be_one_of(reason, reasons);
        must(kohomai_form_is_form(type) == !(reason && strcmp(reason, "form-type") == 0),
             "%s: is it a form?", type);
    }
    if (!reason) {
        ask_for_fields(form, pool, body);
    }
}

/* ---- fields that are written by the book ---- */

#define PAIRS_MAX 8

typedef struct {
    const char *name, *value; /* as written: UTF-8 or Latin-1 bytes */
} pair_t;

typedef struct {
    pair_t pairs[PAIRS_MAX];
    int count;
} pairs_t;

static void read_pairs(apr_pool_t *pool, fuzz_input_t input, pairs_t *pairs)
{
    while (fuzz_left(&input) && pairs->count < PAIRS_MAX) {
        char *name = fuzz_line(pool, &input), *tab = strchr(name, '\t');

        if (tab && tab != name) {
            *tab = '\0';
            pairs->pairs[pairs->count++] = (pair_t){name, tab + 1};
        }
    }
}

/* Each byte that is no letter or digit as a percent sign and two digits, a space as that letter. */
static const char *percent(apr_pool_t *pool, const char *text, const char *space)
{
    char *out = apr_palloc(pool, 3 * strlen(text) + 1), *end = out;

    for (; *text; text++) {
        if (kohomai_text_is_alnum(*text)) {
            *end++ = *text;
        }
        else if (*text == ' ' && *space) {
            *end++ = *space;
        }
        else {
            end += snprintf(end, 4, (unsigned char)*text % 2 ? "%%%02X" : "%%%02x",
                            (unsigned char)*text);
        }
    }
    *end = '\0';
    return out;
}

static const char *as_list(apr_pool_t *pool, const pairs_t *pairs, const char *between,
                           const char *space)
{
    const char *list = "";
    int i;

    for (i = 0; i < pairs->count; i++) {
        list = apr_pstrcat(pool, list, i ? between : "", percent(pool, pairs->pairs[i].name, space),
                           "=", percent(pool, pairs->pairs[i].value, space), NULL);
    }
    return list;
}

static const char *as_json(apr_pool_t *pool, const pairs_t *pairs)
{
    const char *body = "{";
    int i, part;

    for (i = 0; i < pairs->count; i++) {
        for (part = 0; part < 2; part++) {
            const char *text = part ? pairs->pairs[i].value : pairs->pairs[i].name;
            char *out = apr_palloc(pool, 6 * strlen(text) + 1), *end = out;

            for (; *text; text++) {
                if ((unsigned char)*text < 0x20 || *text == '"' || *text == '\\') {
                    end += snprintf(end, 7, "\\u%04x", (unsigned char)*text);
                }
                else {
                    *end++ = *text;
                }
            }
            *end = '\0';
            body = apr_pstrcat(pool, body, part ? ":\"" : i ? ",\"" : "\"", out, "\"", NULL);
        }
    }
    return apr_pstrcat(pool, body, "}", NULL);
}

/* Latin-1 letters as UTF-8; the 32 codes from 0x80 on, where Windows-1252 differs, are no concern
 * here: NULL. */
static const char *latin_to_utf8(apr_pool_t *pool, const char *text)
{
    char *out = apr_palloc(pool, 2 * strlen(text) + 1), *end = out;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= 0x80 && c < 0xa0) {
            return NULL;
        }
        if (c < 0x80) {
            *end++ = *text;
        }
        else {
            *end++ = (char)(0xc0 | c >> 6);
            *end++ = (char)(0x80 | (c & 0x3f));
        }
    }
    *end = '\0';
    return out;
}

/* The pairs as they must come back. 0 where this target cannot tell what the form makes of them. */
static int expected(apr_pool_t *pool, pairs_t *pairs, int latin)
{
    int i;

    for (i = 0; i < pairs->count && latin; i++) {
        pairs->pairs[i].name = latin_to_utf8(pool, pairs->pairs[i].name);
        pairs->pairs[i].value = latin_to_utf8(pool, pairs->pairs[i].value);
        if (!pairs->pairs[i].name || !pairs->pairs[i].value) {
            return 0;
        }
    }
    return 1;
}

/* The first of that name must come back as it was, or be refused for a good reason. */
static void must_hold(const kohomai_form_t *form, const pairs_t *pairs, const char *how)
{
    int i, k;

    for (i = 0; i < pairs->count; i++) {
        const char *name = pairs->pairs[i].name, *value;
        apr_size_t len;

        for (k = 0; strcmp(pairs->pairs[k].name, name) != 0; k++) {
        }
        value = pairs->pairs[k].value;
        len = strlen(value);
        if (!kohomai_text_is_utf8(value, len)) {
            value = "form-utf-8";
        }
        else if (kohomai_text_has_control(value, len, 1)) {
            value = "form-control";
        }
        must_be(must_be_clean(form, name), value, how);
    }
}

static void write_and_read(apr_pool_t *pool, pairs_t pairs, int latin)
{
    const char *body = as_list(pool, &pairs, "&", "+");
    const char *type = latin ? "application/x-www-form-urlencoded;charset=ISO-8859-1"
                             : "application/x-www-form-urlencoded";
    kohomai_form_t *form;

    must_be(kohomai_form_read_query(pool, body, &form), NULL, "query");
    if (!latin) {
        must_hold(form, &pairs, "query");
    }
    if (!expected(pool, &pairs, latin)) {
        return;
    }
    must_be(kohomai_form_read(pool, type, body, strlen(body), &form), NULL, body);
    must_hold(form, &pairs, body);
}

/* A cookie's name is not decoded, so only a plain one can come back. */
static void write_and_read_cookies(apr_pool_t *pool, pairs_t pairs)
{
    const char *header;
    kohomai_form_t *form;
    int i;

    for (i = 0; i < pairs.count; i++) {
        pairs.pairs[i].name = apr_psprintf(pool, "c%d", i % 3);
    }
    header = as_list(pool, &pairs, "; ", "");
    must_be(kohomai_form_read_cookies(pool, header, &form), NULL, "cookies");
    must_hold(form, &pairs, "cookies");
}

static void write_and_read_json(apr_pool_t *pool, const pairs_t *pairs)
{
    const char *body = as_json(pool, pairs), *reason;
    kohomai_form_t *form;

    reason = kohomai_form_read(pool, "application/json", body, strlen(body), &form);
    if (kohomai_text_is_utf8(body, strlen(body))) {
        must_be(reason, NULL, body);
        must_hold(form, pairs, body);
    }
    else {
        must_be(reason, "form-json", body);
    }
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    fuzz_input_t head = input, kind = fuzz_take_line(&input);
    const char *type = fuzz_line(pool, &head);
    pairs_t pairs = {.count = 0};

    if (fuzz_is(&kind, "fields") || fuzz_is(&kind, "fields-latin")) {
        read_pairs(pool, input, &pairs);
        write_and_read(pool, pairs, !fuzz_is(&kind, "fields"));
        write_and_read_cookies(pool, pairs);
    }
    else if (fuzz_is(&kind, "fields-json")) {
        read_pairs(pool, input, &pairs);
        write_and_read_json(pool, &pairs);
    }
    else {
        read_hostile(pool, &kind, type, input);
    }
}
