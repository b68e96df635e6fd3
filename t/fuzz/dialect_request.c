/* dialect_request: whatever a lead holds, the request that is written is JSON, holds exactly the
 *   lead's bytes under the documented names and nothing else, and its path is one.
 *
 * Input: a line that is the generation's name, or "session"; then lines: return URL, ref, workflow or id,
 * email, first name, last name, phone number; then data points, a name and a value with a tab
 * between. A byte 0x01 in a value stands for a line feed.
 * Threads: one. Memory: see fuzz.h.
 * Never: needs a server. */
#include "fuzz.h"

#include "dialect.h"
#include "json.h"
#include "text.h"

/* What was written, and how many texts and numbers were looked for in it. */
typedef struct {
    apr_pool_t *pool;
    const cJSON *body;
    const char *bytes;
    int expected;
} written_t;

/* All strings of a tree; numbers are strings after json.h. */
static int leaves_of(const cJSON *tree)
{
    const cJSON *item;
    int count = 0;

    if (!cJSON_IsArray(tree) && !cJSON_IsObject(tree)) {
        return 1;
    }
    cJSON_ArrayForEach(item, tree) {
        count += leaves_of(item);
    }
    return count;
}

/* The member at a path like "Journey.User"; an empty path is the body. */
static const cJSON *at_path(const written_t *w, const char *path)
{
    char *copy = apr_pstrdup(w->pool, path), *state = NULL, *name;
    const cJSON *object = w->body;
    int twice = 0;

    for (name = strtok_r(copy, ".", &state); name; name = strtok_r(NULL, ".", &state)) {
        object = kohomai_json_member(object, name, &twice);
    }
    must(!twice, "twice there: %s", path);
    return object;
}

/* The text must stand there byte for byte; where it is empty, nothing may. */
static void must_hold(written_t *w, const char *path, const char *name, const char *text)
{
    int twice = 0;
    const cJSON *member = kohomai_json_member(at_path(w, path), name, &twice);

    must(!twice, "twice there: %s", name);
    if (!*text) {
        must(!member, "%s is there, though empty", name);
        return;
    }
    must(cJSON_IsString(member), "%s is not there, or no text", name);
    must_be(member->valuestring, text, name);
    w->expected++;
}

/* An id is a bare number with exactly its digits. */
static void must_number(written_t *w, const cJSON *object, const char *id)
{
    int twice = 0;
    const cJSON *member = kohomai_json_member(object, "Id", &twice);

    must(member && !twice, "no id");
    must_be(member->valuestring, id, "an id");
    must(strstr(w->bytes, apr_pstrcat(w->pool, "\"Id\":", id, "}", NULL)) != NULL,
         "the id %s is no bare number", id);
    w->expected++;
}

static void must_hold_data(written_t *w, const char *path, const apr_array_header_t *data)
{
    int i, twice = 0;
    const cJSON *list = kohomai_json_member(at_path(w, path), "JourneyData", &twice);

    must(cJSON_GetArraySize(list) == data->nelts, "%d data points for %d", cJSON_GetArraySize(list),
         data->nelts);
    for (i = 0; i < data->nelts; i++) {
        const kohomai_datum_t *datum = &APR_ARRAY_IDX(data, i, kohomai_datum_t);
        const cJSON *item = cJSON_GetArrayItem(list, i);
        const cJSON *value =
            kohomai_json_member(item, datum->name ? "Value" : "StringValue", &twice);

        must_be(value ? value->valuestring : NULL, datum->value, "a data point's value");
        if (datum->name) {
            value = kohomai_json_member(item, "Name", &twice);
            must_be(value ? value->valuestring : NULL, datum->name, "a data point's name");
            w->expected++;
        }
        else {
            must_number(w, kohomai_json_member(item, "DataPoint", &twice), datum->id);
        }
        w->expected++;
    }
    must(!twice, "a name twice in the data");
}

/* A path has characters of a URL alone, and where it names a reference, decoding it gives the
 * lead's. */
static void must_be_path(apr_pool_t *pool, const kohomai_request_t *request, const char *ref)
{
    const char *s = request->path, *query = strchr(s, '?');
    char *decoded, *out;

    must(strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~/?=%+*") ==
             strlen(s),
         "the path %s", s);
    must((query != NULL) == (*ref != '\0'), "the path %s", s);
    if (!query) {
        return;
    }
    must(strncmp(query, "?ref=", 5) == 0, "the query %s", query);
    decoded = out = apr_pstrdup(pool, query + 5);
    for (s = query + 5; *s; s++) {
        if (*s == '%') {
            *out++ = (char)(kohomai_text_hex(s[1]) * 16 + kohomai_text_hex(s[2]));
            s += 2;
        }
        else {
            *out++ = (char)(*s == '+' ? ' ' : *s);
        }
    }
    *out = '\0';
    must_be(decoded, ref, "the reference");
}

static written_t read_back(apr_pool_t *pool, const kohomai_request_t *request)
{
    written_t w = {.pool = pool, .bytes = request->body};

    must(request->body_len == strlen(request->body), "the body's length");
    w.body = kohomai_json_parse(pool, request->body, request->body_len);
    must(cJSON_IsObject(w.body), "this is no JSON: %s", request->body);
    return w;
}

static void must_hold_nothing_else(const written_t *w)
{
    int count = leaves_of(w->body);

    must(count == w->expected, "%d texts where there are %d: %s", count, w->expected, w->bytes);
}

/* ---- a session ---- */

static void write_session(apr_pool_t *pool, const char *return_url, const char *id)
{
    kohomai_id_e kind;

    if (!kohomai_text_is_id(id) || !kohomai_text_is_utf8(return_url, strlen(return_url))) {
        return;
    }
    for (kind = KOHOMAI_ID_JOURNEY; kind <= KOHOMAI_ID_USER; kind++) {
        kohomai_request_t request;
        written_t w;

        kohomai_dialect_write_session(pool, kind, id, return_url, &request);
        must_be(request.path, "/sessions", "the path");
        w = read_back(pool, &request);
        must_number(&w, at_path(&w, kind == KOHOMAI_ID_JOURNEY ? "Journey" : "User"), id);
        must_hold(&w, "", "RedirectURL", return_url);
        must_hold_nothing_else(&w);
    }
}

/* ---- a registration ---- */

static char *value_line(apr_pool_t *pool, fuzz_input_t *input)
{
    char *text = fuzz_line(pool, input), *s;

    for (s = text; *s; s++) {
        *s = (char)(*s == '\x01' ? '\n' : *s);
    }
    return text;
}

static void read_data(apr_pool_t *pool, fuzz_input_t *input, int named, apr_array_header_t *data)
{
    while (fuzz_left(input) && data->nelts < 20) {
        char *name = value_line(pool, input), *tab = strchr(name, '\t');

        if (!tab || !tab[1]) {
            continue;
        }
        *tab = '\0';
        if (named && *name && kohomai_text_is_utf8(name, strlen(name))) {
            APR_ARRAY_PUSH(data, kohomai_datum_t) = (kohomai_datum_t){name, NULL, tab + 1};
        }
        if (!named && kohomai_text_is_id(name)) {
            APR_ARRAY_PUSH(data, kohomai_datum_t) = (kohomai_datum_t){NULL, name, tab + 1};
        }
    }
}

/* Where a generation puts a person's names, the email and the data; the documentation says it. */
static const struct {
    const char *people, *contact, *email, *data;
} places[KOHOMAI_APIS] = {
    [KOHOMAI_API_LEADS] = {"", "", "Email", ""},
    [KOHOMAI_API_JOURNEYS] = {"Journey.User", "Journey.User.ContactPrefs", "Email", "Journey"},
    [KOHOMAI_API_JOURNEYS_FLAT] = {"", "", "Email", ""},
    [KOHOMAI_API_WORKFLOWS] = {"User", "User.UsrContactPrefs", "PersonalEmail", NULL},
};

static void must_hold_lead(written_t *w, kohomai_api_e api, const kohomai_lead_t *lead)
{
    must_hold(w, places[api].people, "Firstname", lead->fields[KOHOMAI_LEAD_FIRSTNAME]);
    must_hold(w, places[api].people, "Lastname", lead->fields[KOHOMAI_LEAD_LASTNAME]);
    must_hold(w, places[api].contact, places[api].email, lead->fields[KOHOMAI_LEAD_EMAIL]);
    if (kohomai_dialect_takes_phone(api)) {
        must_hold(w, "", "PhoneNumber", lead->fields[KOHOMAI_LEAD_PHONE]);
    }
    if (places[api].data) {
        must_hold_data(w, places[api].data, lead->data);
    }
}

static void write_register(apr_pool_t *pool, kohomai_api_e api, const kohomai_lead_t *lead,
                           const char *return_url)
{
    int by_id = api == KOHOMAI_API_WORKFLOWS;
    kohomai_request_t request;
    written_t w;

    if (kohomai_lead_check(lead) || (by_id && !kohomai_text_is_id(lead->workflow)) ||
        !kohomai_text_is_utf8(return_url, strlen(return_url))) {
        return;
    }
    kohomai_dialect_write_register(pool, api, lead, return_url, &request);
    must_be_path(pool, &request, by_id ? "" : lead->ref);
    must(!by_id || strstr(request.path, apr_pstrcat(pool, "/", lead->workflow, "/", NULL)),
         "the path %s", request.path);
    w = read_back(pool, &request);
    must_hold(&w, "", "RedirectURL", return_url);
    must_hold_lead(&w, api, lead);
    must_hold_nothing_else(&w);
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    const char *kind = fuzz_line(pool, &input), *return_url = fuzz_line(pool, &input);
    int api = kohomai_dialect_find(kind), i;
    kohomai_lead_t lead = {.ref = fuzz_line(pool, &input), .workflow = fuzz_line(pool, &input)};

    if (strcmp(kind, "session") == 0) {
        write_session(pool, return_url, lead.workflow);
    }
    if (api < 0) {
        return;
    }
    must(strcasecmp(kohomai_dialect_name(api), kind) == 0, "the generation %s", kind);
    for (i = 0; i < KOHOMAI_LEAD_FIELDS; i++) {
        lead.fields[i] = value_line(pool, &input);
    }
    lead.data = apr_array_make(pool, 4, sizeof(kohomai_datum_t));
    read_data(pool, &input, kohomai_dialect_names_data(api), lead.data);
    write_register(pool, api, &lead, return_url);
}
