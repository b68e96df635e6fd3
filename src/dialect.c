/* dialect: how Kohomai is spoken to. A lead or an id -> the request; an answer -> what it says.
 * Threads: any. Memory: results live in the pool that was passed and borrow their arguments.
 * Never: sends, logs, or decides what a visitor gets to see. */
#include "dialect.h"
#include "json.h"
#include "text.h"

#include <apr_cstr.h>
#include <apr_escape.h>
#include <apr_strings.h>
#include <string.h>

typedef cJSON *(*write_fn)(const kohomai_lead_t *lead, const char *return_url);

static cJSON *write_flat(const kohomai_lead_t *lead, const char *return_url);
static cJSON *write_journeys(const kohomai_lead_t *lead, const char *return_url);
static cJSON *write_workflows(const kohomai_lead_t *lead, const char *return_url);

/* The vendor's documentation changed four times between April and September 2023. */
static const struct {
    const char *name; /* the argument of KohomaiAPI */
    const char *call; /* the first segment of the path */
    int names_data, takes_phone;
    write_fn write;
} dialects[KOHOMAI_APIS] = {
    [KOHOMAI_API_LEADS] = {"leads", "leads", 1, 1, write_flat},
    [KOHOMAI_API_JOURNEYS] = {"journeys", "journeys", 0, 0, write_journeys},
    [KOHOMAI_API_JOURNEYS_FLAT] = {"journeys-flat", "journeys", 0, 1, write_flat},
    [KOHOMAI_API_WORKFLOWS] = {"workflows", "workflows", 0, 0, write_workflows},
};

int kohomai_dialect_find(const char *name)
{
    int i;

    for (i = 0; i < KOHOMAI_APIS; i++) {
        if (apr_cstr_casecmp(name, dialects[i].name) == 0) {
            return i;
        }
    }
    return -1;
}

const char *kohomai_dialect_name(kohomai_api_e api)
{
    return dialects[api].name;
}

int kohomai_dialect_names_data(kohomai_api_e api)
{
    return dialects[api].names_data;
}

int kohomai_dialect_takes_phone(kohomai_api_e api)
{
    return dialects[api].takes_phone;
}

/* ---- writing ---- */

static void add_text(cJSON *object, const char *name, const char *value)
{
    if (*value) {
        cJSON_AddStringToObject(object, name, value);
    }
}

static void add_field(cJSON *object, const kohomai_lead_t *lead, kohomai_lead_field_e field)
{
    add_text(object, kohomai_lead_field_names[field], lead->fields[field]);
}

static void add_names(cJSON *object, const kohomai_lead_t *lead)
{
    add_field(object, lead, KOHOMAI_LEAD_FIRSTNAME);
    add_field(object, lead, KOHOMAI_LEAD_LASTNAME);
}

/* {"Name":…,"Value":…} or {"StringValue":…,"DataPoint":{"Id":…}}, whichever the point carries. */
static void add_data(cJSON *object, const kohomai_lead_t *lead)
{
    cJSON *list;
    int i;

    if (lead->data->nelts == 0) {
        return;
    }
    list = cJSON_AddArrayToObject(object, "JourneyData");
    for (i = 0; i < lead->data->nelts; i++) {
        const kohomai_datum_t *datum = &APR_ARRAY_IDX(lead->data, i, kohomai_datum_t);
        cJSON *item = cJSON_CreateObject();

        if (datum->name) {
            cJSON_AddStringToObject(item, "Name", datum->name);
            cJSON_AddStringToObject(item, "Value", datum->value);
        }
        else {
            cJSON_AddStringToObject(item, "StringValue", datum->value);
            cJSON_AddRawToObject(cJSON_AddObjectToObject(item, "DataPoint"), "Id", datum->id);
        }
        cJSON_AddItemToArray(list, item);
    }
}

static cJSON *write_flat(const kohomai_lead_t *lead, const char *return_url)
{
    cJSON *body = cJSON_CreateObject();

    add_field(body, lead, KOHOMAI_LEAD_EMAIL);
    add_names(body, lead);
    add_field(body, lead, KOHOMAI_LEAD_PHONE);
    add_text(body, "RedirectURL", return_url);
    add_data(body, lead);
    return body;
}

static cJSON *write_journeys(const kohomai_lead_t *lead, const char *return_url)
{
    cJSON *body = cJSON_CreateObject(), *journey, *user;

    add_text(body, "RedirectURL", return_url);
    journey = cJSON_AddObjectToObject(body, "Journey");
    user = cJSON_AddObjectToObject(journey, "User");
    add_names(user, lead);
    add_field(cJSON_AddObjectToObject(user, "ContactPrefs"), lead, KOHOMAI_LEAD_EMAIL);
    add_data(journey, lead);
    return body;
}

static cJSON *write_workflows(const kohomai_lead_t *lead, const char *return_url)
{
    cJSON *body = cJSON_CreateObject(), *user;

    add_text(body, "RedirectURL", return_url);
    user = cJSON_AddObjectToObject(body, "User");
    add_names(user, lead);
    add_text(cJSON_AddObjectToObject(user, "UsrContactPrefs"), "PersonalEmail",
             lead->fields[KOHOMAI_LEAD_EMAIL]);
    return body;
}

/* Prints the tree into the pool and frees it. */
static void finish(apr_pool_t *pool, cJSON *body, kohomai_request_t *request)
{
    char *printed = cJSON_PrintUnformatted(body);

    if (!printed) { /* out of memory: end as an allocation from the pool would */
        apr_pool_abort_get(pool)(APR_ENOMEM);
        return;
    }
    request->body = apr_pstrdup(pool, printed);
    request->body_len = strlen(printed);
    cJSON_free(printed);
    cJSON_Delete(body);
}

void kohomai_dialect_write_session(apr_pool_t *pool, kohomai_id_e kind, const char *id,
                                   const char *return_url, kohomai_request_t *request)
{
    cJSON *body = cJSON_CreateObject();
    const char *owner = kind == KOHOMAI_ID_JOURNEY ? "Journey" : "User";

    cJSON_AddRawToObject(cJSON_AddObjectToObject(body, owner), "Id", id);
    add_text(body, "RedirectURL", return_url);
    request->call = "sessions";
    request->path = "/sessions";
    finish(pool, body, request);
}

void kohomai_dialect_write_register(apr_pool_t *pool, kohomai_api_e api, const kohomai_lead_t *lead,
                                    const char *return_url, kohomai_request_t *request)
{
    request->call = dialects[api].call;
    request->path = apr_pstrcat(pool, "/", request->call, NULL);
    if (api == KOHOMAI_API_WORKFLOWS) {
        request->path = apr_pstrcat(pool, request->path, "/", lead->workflow, "/register", NULL);
    }
    else if (*lead->ref) {
        request->path = apr_pstrcat(pool, request->path,
                                    "?ref=", apr_pescape_urlencoded(pool, lead->ref), NULL);
    }
    finish(pool, dialects[api].write(lead, return_url), request);
}

/* ---- reading ---- */

static kohomai_says_e judge_status(int status)
{
    switch (status) {
    case 400:
    case 409:
    case 422:
        return KOHOMAI_SAYS_INVALID;
    case 404:
        return KOHOMAI_SAYS_GONE;
    case 429:
        return KOHOMAI_SAYS_BUSY;
    default:
        return status >= 400 && status < 500 ? KOHOMAI_SAYS_REFUSED : KOHOMAI_SAYS_SICK;
    }
}

/* A member that must be text where it is there at all; "" where it is not. NULL for anything
 * else. Numbers are strings after json.h, so an id passes here whichever way it is spelled. */
static const char *text_member(const cJSON *object, const char *name)
{
    int twice = 0;
    const cJSON *item = kohomai_json_member(object, name, &twice);

    if (twice || (item && !cJSON_IsString(item))) {
        return NULL;
    }
    return item ? item->valuestring : "";
}

/* The id of {"Journey":{"Id":…}} or {"User":{"Id":…}}: "" where there is none, NULL where it is
 * not an id. */
static const char *owner_id(const cJSON *answer, const char *owner)
{
    int twice = 0;
    const cJSON *object = kohomai_json_member(answer, owner, &twice);
    const char *id;

    if (twice || (object && !cJSON_IsObject(object))) {
        return NULL;
    }
    id = object ? text_member(object, "Id") : "";
    return id && *id && !kohomai_text_is_id(id) ? NULL : id;
}

static const char *read_ids(const cJSON *answer, kohomai_verdict_t *verdict)
{
    const char *journey = owner_id(answer, "Journey"), *user = owner_id(answer, "User");

    if (!journey || !user) {
        return "answer-id";
    }
    verdict->id_kind = *journey ? KOHOMAI_ID_JOURNEY : KOHOMAI_ID_USER;
    verdict->id = *journey ? journey : user;
    return NULL;
}

static const char *read_object(const cJSON *answer, kohomai_verdict_t *verdict)
{
    const char *link = text_member(answer, "ConnectionURL");
    const char *until = text_member(answer, "ValidUntil"), *fault;

    if (!cJSON_IsObject(answer)) {
        return "answer-json";
    }
    if (!link || !until) {
        return "answer-form";
    }
    fault = read_ids(answer, verdict);
    if (*link == '\0') {
        verdict->says = *verdict->id ? KOHOMAI_SAYS_ID : KOHOMAI_SAYS_TAKEN;
        return fault;
    }
    verdict->says = KOHOMAI_SAYS_LINK;
    verdict->link = link;
    verdict->valid_until = until;
    return NULL;
}

void kohomai_dialect_read(apr_pool_t *pool, int status, const char *body, apr_size_t len,
                          kohomai_verdict_t *verdict)
{
    const char *fault;

    *verdict = (kohomai_verdict_t){.reason = "", .link = "", .valid_until = "", .id = ""};
    if (status < 200 || status > 299) {
        verdict->says = judge_status(status);
        return;
    }
    if (len == 0) {
        verdict->says = KOHOMAI_SAYS_TAKEN;
        return;
    }
    fault = read_object(kohomai_json_parse(pool, body, len), verdict);
    if (fault) {
        verdict->says = KOHOMAI_SAYS_NONSENSE;
        verdict->reason = fault;
    }
}
