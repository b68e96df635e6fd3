/* multipart: parts with any bytes in them, written with any boundary, must come back whole
 *   where they hold no delimiter.
 *
 * Input: a line that is the boundary; a line that is the charset, or empty; then parts, each a line
 * that is its name, a byte of choices, two bytes of length, and as many bytes.
 * Threads: one. Memory: see fuzz.h.
 * Never: needs a server. */
#include "fuzz.h"

#include "form.h"
#include "text.h"

#define PARTS_MAX 6
#define BODY_MAX 65536

typedef struct {
    const char *name, *bytes;
    size_t len;
    int is_file;
} part_t;

typedef struct {
    char *bytes;
    size_t len;
    int full; /* something did not fit */
} body_t;

static void put(body_t *body, const char *bytes, size_t len)
{
    if (body->len + len > BODY_MAX) {
        body->full = 1;
    }
    else if (len) {
        memcpy(body->bytes + body->len, bytes, len);
        body->len += len;
    }
}

static void put_text(body_t *body, const char *text)
{
    put(body, text, strlen(text));
}

/* Characters of a boundary by RFC 2046, section 5.1.1, in quotes. */
static int is_boundary(const char *text)
{
    size_t len = strlen(text);

    return len >= 1 && len <= 70 && text[len - 1] != ' ' && text[0] != ' ' &&
           strspn(text,
                  "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ") ==
               len;
}

/* What a name must be to come back: browsers write a quote and line ends as %22, %0D and %0A, and the
 * reader leaves those alone. */
static int is_name(const char *text)
{
    return *text && !strpbrk(text, "\"\r\n") && strlen(text) < 1000 &&
           kohomai_text_is_utf8(text, strlen(text));
}

static void put_part(body_t *body, const char *boundary, const part_t *part, unsigned choices)
{
    put_text(body, "--");
    put_text(body, boundary);
    put_text(body, choices & 1 ? " \t\r\n" : "\r\n");
    if (choices & 2) {
        put_text(body, "X-Before: name=\"other\"\r\n");
    }
    put_text(body, choices & 4 ? "CONTENT-DISPOSITION:form-data;NAME=\""
                               : "Content-Disposition: form-data; name=\"");
    put_text(body, part->name);
    put_text(body, part->is_file ? "\"; filename=\"a;b\"\r\n" : "\"\r\n");
    if (choices & 16) {
        put_text(body, "Content-Type: text/plain\r\n");
    }
    put_text(body, "\r\n");
    put(body, part->bytes, part->len);
    put_text(body, "\r\n");
}

static const char *find(const char *bytes, size_t len, const char *word)
{
    return len ? memmem(bytes, len, word, strlen(word)) : NULL;
}

/* The part comes back byte for byte, or is refused for a good reason. */
static void must_hold(apr_pool_t *pool, const kohomai_form_t *form, const part_t *part)
{
    const char *reason = NULL, *value = kohomai_form_value(form, part->name, &reason);
    const char *bytes = apr_pstrmemdup(pool, part->bytes, part->len);

    if (memchr(bytes, '\0', part->len)) {
        must_be(reason, "form-nul", part->name);
    }
    else if (!kohomai_text_is_utf8(bytes, part->len)) {
        must_be(reason, "form-utf-8", part->name);
    }
    else if (kohomai_text_has_control(bytes, part->len, 1)) {
        must_be(reason, "form-control", part->name);
    }
    else {
        must_be(reason, NULL, part->name);
        must_be(value, bytes, part->name);
    }
}

static int read_parts(apr_pool_t *pool, fuzz_input_t *input, const char *boundary, part_t *parts,
                      body_t *body, int *clean)
{
    const char *mark = apr_pstrcat(pool, "\r\n--", boundary, NULL);
    int count = 0;

    while (fuzz_left(input) && count < PARTS_MAX) {
        part_t *part = &parts[count];
        unsigned choices;
        body_t framed;

        part->name = fuzz_line(pool, input);
        choices = fuzz_byte(input);
        part->is_file = (choices & 8) != 0;
        part->len = (size_t)fuzz_number(input, 2);
        if (part->len > fuzz_left(input)) {
            part->len = fuzz_left(input);
        }
        part->bytes = fuzz_take(pool, input, part->len);
        *clean &= is_name(part->name);
        put_part(body, boundary, part, choices);
        /* With the line ends around it, a part may spell a delimiter that it does not hold alone. */
        framed = (body_t){.bytes = apr_palloc(pool, part->len + 4)};
        put_text(&framed, "\r\n");
        put(&framed, part->bytes, part->len);
        put_text(&framed, "\r\n");
        *clean &= !find(framed.bytes, framed.len, mark);
        count++;
    }
    return count;
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    const char *boundary = fuzz_line(pool, &input), *charset = fuzz_line(pool, &input), *reason;
    const char *type = apr_pstrcat(pool, "multipart/form-data; boundary=\"", boundary, "\"",
                                   *charset ? "; charset=" : "", charset, NULL);
    body_t body = {.bytes = apr_palloc(pool, BODY_MAX)};
    int clean = is_boundary(boundary), count, i, k;
    part_t parts[PARTS_MAX];
    kohomai_form_t *form;
    fuzz_input_t exact;

    count = read_parts(pool, &input, boundary, parts, &body, &clean);
    put_text(&body, "--");
    put_text(&body, boundary);
    put_text(&body, "--\r\n");
    exact = (fuzz_input_t){body.bytes, body.bytes + body.len};
    reason = kohomai_form_read(pool, type, fuzz_take(pool, &exact, body.len), body.len, &form);
    if (!clean || body.full || *charset) {
        return;
    }
    must_be(reason, NULL, boundary);
    for (i = 0; i < count; i++) {
        for (k = 0; k < i && (parts[k].is_file || strcmp(parts[k].name, parts[i].name) != 0); k++) {
        }
        if (k == i && !parts[i].is_file) { /* the first field of that name */
            must_hold(pool, form, &parts[i]);
        }
    }
}
