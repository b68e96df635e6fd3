/* form: the bytes of a request body, a query string or a Cookie header -> named fields.
 * Threads: any. Memory: fields live in the pool of the parse and may borrow the parsed bytes,
 *   which must stay as they are for as long.
 * Never: knows what a field means, or trusts a byte of it. */
#include "form.h"
#include "json.h"
#include "text.h"

#include <apr_cstr.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <apr_xlate.h>
#include <string.h>

#define BOUNDARY_MAX 70 /* RFC 2046, section 5.1.1 */

typedef struct {
    const char *start;
    apr_size_t len;
} span_t;

typedef struct {
    const char *name, *value; /* both end in NUL, and may hold further ones */
    apr_size_t name_len, value_len;
} field_t;

struct kohomai_form_t {
    apr_pool_t *pool;
    apr_array_header_t *fields; /* of field_t */
    const char *charset;        /* to convert from; NULL for UTF-8 */
};

static kohomai_form_t *form_make(apr_pool_t *pool)
{
    kohomai_form_t *form = apr_pcalloc(pool, sizeof(*form));

    form->pool = pool;
    form->fields = apr_array_make(pool, 8, sizeof(field_t));
    return form;
}

/* ---- spans ---- */

static span_t span_of(const char *text)
{
    return (span_t){text, text ? strlen(text) : 0};
}

/* Takes from *rest all up to the separator or its end, and steps over the separator. */
static span_t span_take(span_t *rest, char separator)
{
    const char *hit = rest->len ? memchr(rest->start, separator, rest->len) : NULL;
    span_t head = {rest->start, hit ? (apr_size_t)(hit - rest->start) : rest->len};
    apr_size_t step = head.len + (hit ? 1 : 0);

    if (step) { /* start may be NULL where there is nothing */
        rest->start += step;
        rest->len -= step;
    }
    return head;
}

/* Not isspace: a script may have set a locale in which half a UTF-8 letter is a space. */
static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static span_t span_trim(span_t s)
{
    while (s.len && is_space(*s.start)) {
        s.start++;
        s.len--;
    }
    while (s.len && is_space(s.start[s.len - 1])) {
        s.len--;
    }
    return s;
}

static int span_is(span_t s, const char *word)
{
    return s.len == strlen(word) && apr_cstr_casecmpn(s.start, word, s.len) == 0;
}

static const char *span_find(span_t s, const char *needle, apr_size_t len)
{
    const char *end = s.start + s.len, *hit = s.start;

    while ((apr_size_t)(end - hit) >= len) {
        hit = memchr(hit, needle[0], (apr_size_t)(end - hit) - len + 1);
        if (!hit || memcmp(hit, needle, len) == 0) {
            return hit;
        }
        hit++;
    }
    return NULL;
}

/* ---- one field ---- */

/* Percent-decodes; a stray percent sign stands for itself, as the URL standard has it. */
static const char *decode(apr_pool_t *pool, span_t s, int plus, apr_size_t *len)
{
    char *text = apr_palloc(pool, s.len + 1), *out = text;
    apr_size_t i;

    for (i = 0; i < s.len; i++) {
        char c = s.start[i];

        if (c == '%' && i + 2 < s.len && kohomai_text_hex(s.start[i + 1]) >= 0 &&
            kohomai_text_hex(s.start[i + 2]) >= 0) {
            c = (char)(kohomai_text_hex(s.start[i + 1]) * 16 + kohomai_text_hex(s.start[i + 2]));
            i += 2;
        }
        else if (c == '+' && plus) {
            c = ' ';
        }
        *out++ = c;
    }
    *out = '\0';
    *len = (apr_size_t)(out - text);
    return text;
}

/* The charset to convert from, or NULL for none. HTML reads every Latin-1 label as Windows-1252.
 * Returns a reason for charsets that are not taken. */
static const char *charset_find(span_t label, const char **from)
{
    static const char *const latin[] = {"iso-8859-1",   "iso8859-1", "latin1",   "us-ascii",
                                        "windows-1252", "cp1252",    "x-cp1252", NULL};
    int i;

    *from = NULL;
    if (label.len == 0 || span_is(label, "utf-8") || span_is(label, "utf8")) {
        return NULL;
    }
    for (i = 0; latin[i]; i++) {
        if (span_is(label, latin[i])) {
            *from = "WINDOWS-1252";
            return NULL;
        }
    }
    return "form-charset";
}

static const char *convert(apr_pool_t *pool, const char *charset, const char **text,
                           apr_size_t *len)
{
    apr_size_t in_left = *len, out_size = 3 * *len, out_left = out_size;
    apr_xlate_t *xlate;
    char *out;

    if (apr_xlate_open(&xlate, "UTF-8", charset, pool) != APR_SUCCESS) {
        return "form-charset";
    }
    out = apr_palloc(pool, out_size + 1);
    if (apr_xlate_conv_buffer(xlate, *text, &in_left, out, &out_left) != APR_SUCCESS || in_left) {
        apr_xlate_close(xlate);
        return "form-charset";
    }
    apr_xlate_close(xlate);
    *text = out;
    *len = out_size - out_left;
    out[*len] = '\0';
    return NULL;
}

static const char *field_add(kohomai_form_t *form, field_t field)
{
    const char *reason = NULL;

    if (form->fields->nelts >= KOHOMAI_FORM_FIELDS_MAX) {
        return "form-fields";
    }
    if (form->charset) {
        reason = convert(form->pool, form->charset, &field.name, &field.name_len);
        if (!reason && field.value_len) {
            reason = convert(form->pool, form->charset, &field.value, &field.value_len);
        }
    }
    if (!reason) {
        APR_ARRAY_PUSH(form->fields, field_t) = field;
    }
    return reason;
}

/* ---- name=value lists ---- */

static const char *read_pairs(kohomai_form_t *form, span_t rest, char separator)
{
    int cookies = separator == ';';
    const char *reason = NULL;

    while (rest.len && !reason) {
        span_t value = span_take(&rest, separator), name = span_take(&value, '=');
        field_t field;

        if (cookies) {
            name = span_trim(name);
            value = span_trim(value);
            if (value.len >= 2 && value.start[0] == '"' && value.start[value.len - 1] == '"') {
                value = (span_t){value.start + 1, value.len - 2};
            }
        }
        if (name.len == 0) {
            continue;
        }
        if (cookies) { /* decoded, a name could pass for one with the prefix __Host- */
            field.name = apr_pstrmemdup(form->pool, name.start, name.len);
            field.name_len = name.len;
        }
        else {
            field.name = decode(form->pool, name, 1, &field.name_len);
        }
        field.value = decode(form->pool, value, !cookies, &field.value_len);
        reason = field_add(form, field);
    }
    return reason;
}

const char *kohomai_form_read_query(apr_pool_t *pool, const char *query, kohomai_form_t **form)
{
    *form = form_make(pool);
    return read_pairs(*form, span_of(query), '&');
}

const char *kohomai_form_read_cookies(apr_pool_t *pool, const char *header, kohomai_form_t **form)
{
    *form = form_make(pool);
    return read_pairs(*form, span_of(header), ';');
}

/* ---- header parameters ---- */

/* Reads ; name=token or name="quoted" from *rest. Returns 0 at the end. In multipart names a
 * backslash is an ordinary character (browsers escape a quote as %22). */
static int parameter_take(span_t *rest, span_t *name, span_t *value)
{
    span_t tail;

    *rest = span_trim(*rest);
    if (rest->len == 0) {
        return 0;
    }
    tail = *rest;
    *value = span_take(&tail, ';');
    *name = span_trim(span_take(value, '='));
    *value = span_trim(*value);
    if (value->len && value->start[0] == '"') { /* a semicolon may stand inside the quotes */
        tail = (span_t){value->start + 1, (apr_size_t)(rest->start + rest->len - value->start) - 1};
        *value = span_take(&tail, '"');
        span_take(&tail, ';');
    }
    *rest = tail;
    return 1;
}

/* The value of a parameter of a header like Content-Type; len 0 where there is none. */
static span_t parameter_find(span_t header, const char *wanted)
{
    span_t name, value;

    span_take(&header, ';');
    while (parameter_take(&header, &name, &value)) {
        if (span_is(name, wanted)) {
            return value;
        }
    }
    return (span_t){"", 0};
}

/* ---- multipart/form-data (RFC 7578) ---- */

typedef struct {
    span_t name, type;
    int is_file;
} part_t;

static void read_part_line(span_t line, part_t *part)
{
    span_t value = line, name = span_trim(span_take(&value, ':')), parameter;

    value = span_trim(value);
    if (span_is(name, "Content-Type")) {
        part->type = value;
        return;
    }
    if (!span_is(name, "Content-Disposition")) {
        return;
    }
    span_take(&value, ';');
    while (parameter_take(&value, &name, &parameter)) {
        if (span_is(name, "name")) {
            part->name = parameter;
        }
        else if (span_is(name, "filename") || span_is(name, "filename*")) {
            part->is_file = 1;
        }
    }
}

/* Reads a part's header lines, leaves *rest behind the blank line. 0 where there is no end. */
static int read_part_header(span_t *rest, part_t *part)
{
    span_t header = *rest;

    memset(part, 0, sizeof(*part));
    if (header.len > KOHOMAI_FORM_PART_HEADER_MAX) {
        header.len = KOHOMAI_FORM_PART_HEADER_MAX;
    }
    while (header.len && memchr(header.start, '\n', header.len)) {
        span_t line = span_take(&header, '\n');

        if (line.len == 0 || line.start[line.len - 1] != '\r') {
            return 0;
        }
        if (--line.len == 0) {
            apr_size_t used = (apr_size_t)(header.start - rest->start);

            rest->start += used;
            rest->len -= used;
            return 1;
        }
        read_part_line(line, part);
    }
    return 0;
}

static const char *add_part(kohomai_form_t *form, const part_t *part, span_t value)
{
    const char *declared = form->charset, *reason = NULL;
    field_t field;

    if (part->is_file || part->name.len == 0) {
        return NULL;
    }
    if (part->type.len) {
        span_t label = parameter_find(part->type, "charset");

        if (label.len) {
            reason = charset_find(label, &form->charset);
        }
    }
    if (!reason) {
        field.name = apr_pstrmemdup(form->pool, part->name.start, part->name.len);
        field.name_len = part->name.len;
        field.value = apr_pstrmemdup(form->pool, value.start, value.len);
        field.value_len = value.len;
        reason = field_add(form, field);
    }
    form->charset = declared;
    return reason;
}

/* Steps over a delimiter's tail: 1 where a part follows, 0 at the closing one, -1 for neither. */
static int delimiter_tail(span_t *rest)
{
    if (rest->len >= 2 && memcmp(rest->start, "--", 2) == 0) {
        return 0;
    }
    while (rest->len && (*rest->start == ' ' || *rest->start == '\t')) {
        rest->start++;
        rest->len--;
    }
    if (rest->len < 2 || memcmp(rest->start, "\r\n", 2) != 0) {
        return -1;
    }
    rest->start += 2;
    rest->len -= 2;
    return 1;
}

/* Steps over the next delimiter and returns what stood before it; start is NULL where none comes.
 * mark is CRLF and the dashed boundary; the very first one has no line before it. */
static span_t delimiter_take(span_t *rest, span_t mark, int first)
{
    span_t before = {rest->start, 0};
    const char *hit;
    apr_size_t used;

    if (first && rest->len >= mark.len - 2 &&
        memcmp(rest->start, mark.start + 2, mark.len - 2) == 0) {
        used = mark.len - 2;
    }
    else {
        hit = span_find(*rest, mark.start, mark.len);
        if (!hit) {
            return (span_t){NULL, 0};
        }
        before.len = (apr_size_t)(hit - rest->start);
        used = before.len + mark.len;
    }
    rest->start += used;
    rest->len -= used;
    return before;
}

static const char *read_multipart(kohomai_form_t *form, span_t boundary, span_t rest)
{
    const char *reason = NULL;
    span_t mark, value;
    part_t part;
    int more;

    if (boundary.len == 0 || boundary.len > BOUNDARY_MAX) {
        return "form-multipart";
    }
    mark = span_of(apr_pstrcat(form->pool, "\r\n--",
                               apr_pstrmemdup(form->pool, boundary.start, boundary.len), NULL));
    value = delimiter_take(&rest, mark, 1);
    while (value.start && !reason) {
        more = delimiter_tail(&rest);
        if (more == 0) {
            return NULL;
        }
        if (more < 0 || !read_part_header(&rest, &part)) {
            break;
        }
        value = delimiter_take(&rest, mark, 0);
        if (value.start) {
            reason = add_part(form, &part, value);
        }
    }
    return reason ? reason : "form-multipart";
}

/* ---- JSON: the members of one object; nested values are no fields ---- */

static const char *read_json(kohomai_form_t *form, const char *bytes, apr_size_t len)
{
    const cJSON *tree, *item;
    const char *reason = NULL;

    if (len > KOHOMAI_FORM_JSON_MAX) {
        return "form-size";
    }
    tree = kohomai_json_parse(form->pool, bytes, len);
    if (!cJSON_IsObject(tree)) {
        return "form-json";
    }
    form->charset = NULL; /* JSON is UTF-8, whatever a charset parameter says (RFC 8259, 8.1) */
    cJSON_ArrayForEach(item, tree) {
        if (cJSON_IsArray(item) || cJSON_IsObject(item)) {
            continue;
        }
        field_t field = {.name = item->string, .name_len = strlen(item->string), .value = ""};

        if (cJSON_IsString(item)) {
            field.value = item->valuestring;
        }
        else if (cJSON_IsBool(item)) {
            field.value = cJSON_IsTrue(item) ? "true" : "false";
        }
        field.value_len = strlen(field.value);
        reason = field_add(form, field);
        if (reason) {
            break;
        }
    }
    return reason;
}

/* ---- the whole ---- */

typedef enum { BODY_OTHER, BODY_URLENCODED, BODY_MULTIPART, BODY_JSON } body_kind_e;

static body_kind_e body_kind(const char *content_type)
{
    span_t type = span_of(content_type);

    type = span_trim(span_take(&type, ';'));
    if (span_is(type, "application/x-www-form-urlencoded")) {
        return BODY_URLENCODED;
    }
    if (span_is(type, "multipart/form-data")) {
        return BODY_MULTIPART;
    }
    return span_is(type, "application/json") ? BODY_JSON : BODY_OTHER;
}

int kohomai_form_is_form(const char *content_type)
{
    return body_kind(content_type) != BODY_OTHER;
}

const char *kohomai_form_read(apr_pool_t *pool, const char *content_type, const char *bytes,
                              apr_size_t len, kohomai_form_t **form)
{
    body_kind_e kind = body_kind(content_type);
    span_t type = span_of(content_type);
    const char *reason;

    *form = form_make(pool);
    if (kind == BODY_JSON) {
        return read_json(*form, bytes, len);
    }
    if (kind == BODY_OTHER) {
        return "form-type";
    }
    reason = charset_find(parameter_find(type, "charset"), &(*form)->charset);
    if (reason) {
        return reason;
    }
    if (kind == BODY_URLENCODED) {
        return read_pairs(*form, (span_t){bytes, len}, '&');
    }
    return read_multipart(*form, parameter_find(type, "boundary"), (span_t){bytes, len});
}

const char *kohomai_form_value(const kohomai_form_t *form, const char *name, const char **reason)
{
    apr_size_t len = strlen(name);
    int i;

    for (i = 0; i < form->fields->nelts; i++) {
        const field_t *field = &APR_ARRAY_IDX(form->fields, i, field_t);

        if (field->name_len != len || memcmp(field->name, name, len) != 0) {
            continue;
        }
        if (memchr(field->value, '\0', field->value_len)) {
            *reason = "form-nul";
        }
        else if (!kohomai_text_is_utf8(field->value, field->value_len)) {
            *reason = "form-utf-8";
        }
        else if (kohomai_text_has_control(field->value, field->value_len, 1)) {
            *reason = "form-control";
        }
        else {
            return field->value;
        }
        return "";
    }
    return "";
}
