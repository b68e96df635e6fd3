/* lead: someone to be registered, as the visitor's facts give them; and the record of a lead, in the
 * one encoding in which it waits on disk.
 * Threads: any. Memory: a lead borrows every string it names.
 * Never: knows where it goes or how it is written there. */
#include "lead.h"
#include "json.h"
#include "text.h"
#include "url.h"

#include <apr_cstr.h>
#include <apr_strings.h>
#include <stddef.h>
#include <string.h>

/* The first member of every record, and the version that is written and read here. A record that an
 * older module would read wrongly gets another number. */
#define VERSION_NAME "KohomaiLead"
#define VERSION "1"

#define API_MAX 32 /* bytes of a generation's name, or of the time of arrival */

const char *const kohomai_lead_field_names[KOHOMAI_LEAD_FIELDS] = {
    [KOHOMAI_LEAD_EMAIL] = "Email",
    [KOHOMAI_LEAD_FIRSTNAME] = "Firstname",
    [KOHOMAI_LEAD_LASTNAME] = "Lastname",
    [KOHOMAI_LEAD_PHONE] = "PhoneNumber",
};

int kohomai_lead_field_find(const char *name)
{
    int i;

    for (i = 0; i < KOHOMAI_LEAD_FIELDS; i++) {
        if (apr_cstr_casecmp(name, kohomai_lead_field_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static int is_plain(const char *text, int lines)
{
    apr_size_t len = strlen(text);

    return len <= KOHOMAI_FIELD_MAX && kohomai_text_is_utf8(text, len) &&
           !kohomai_text_has_control(text, len, lines);
}

const char *kohomai_lead_check(const kohomai_lead_t *lead)
{
    static const char *const reasons[KOHOMAI_LEAD_FIELDS] = {
        [KOHOMAI_LEAD_EMAIL] = "email-form",
        [KOHOMAI_LEAD_FIRSTNAME] = "firstname-form",
        [KOHOMAI_LEAD_LASTNAME] = "lastname-form",
        [KOHOMAI_LEAD_PHONE] = "phonenumber-form",
    };
    int i;

    if (!kohomai_text_is_email(lead->fields[KOHOMAI_LEAD_EMAIL])) {
        return reasons[KOHOMAI_LEAD_EMAIL];
    }
    for (i = 0; i < KOHOMAI_LEAD_FIELDS; i++) {
        if (!is_plain(lead->fields[i], 0)) {
            return reasons[i];
        }
    }
    for (i = 0; i < lead->data->nelts; i++) {
        if (!is_plain(APR_ARRAY_IDX(lead->data, i, kohomai_datum_t).value, 1)) {
            return "data-form";
        }
    }
    return is_plain(lead->ref, 0) ? NULL : "ref-form";
}

/* ---- the record ---- */

/* Where each plain member of a record is. */
static const struct {
    const char *name;
    apr_size_t offset;
} members[] = {
    {"Arrived", offsetof(kohomai_record_t, arrived)},
    {"API", offsetof(kohomai_record_t, api)},
    {"BaseURL", offsetof(kohomai_record_t, base_url)},
    {"Key", offsetof(kohomai_record_t, key)},
    {"Proxy", offsetof(kohomai_record_t, proxy)},
    {"CAFile", offsetof(kohomai_record_t, ca_file)},
    {"RedirectURL", offsetof(kohomai_record_t, return_url)},
    {"Ref", offsetof(kohomai_record_t, lead.ref)},
    {"Workflow", offsetof(kohomai_record_t, lead.workflow)},
    {"Email", offsetof(kohomai_record_t, lead.fields[KOHOMAI_LEAD_EMAIL])},
    {"Firstname", offsetof(kohomai_record_t, lead.fields[KOHOMAI_LEAD_FIRSTNAME])},
    {"Lastname", offsetof(kohomai_record_t, lead.fields[KOHOMAI_LEAD_LASTNAME])},
    {"PhoneNumber", offsetof(kohomai_record_t, lead.fields[KOHOMAI_LEAD_PHONE])},
};

#define MEMBERS (sizeof(members) / sizeof(members[0]))

static const char **member_of(kohomai_record_t *record, apr_size_t i)
{
    return (const char **)(void *)((char *)record + members[i].offset);
}

static int is_short(const char *text)
{
    return strlen(text) <= API_MAX && is_plain(text, 0);
}

static const char *check_urls(apr_pool_t *pool, const kohomai_record_t *record)
{
    kohomai_url_t url;
    const char *fault = kohomai_url_parse(pool, record->base_url, &url);

    if (!fault && strpbrk(url.rest, "?#")) {
        return "record-form";
    }
    if (!fault && *record->return_url) {
        fault = kohomai_url_parse(pool, record->return_url, &url);
    }
    return fault;
}

/* What kohomai_lead_check leaves to the configuration, which has no part in a record that comes from
 * disk. */
static const char *check_data(const kohomai_lead_t *lead)
{
    int i;

    for (i = 0; i < lead->data->nelts; i++) {
        const kohomai_datum_t *datum = &APR_ARRAY_IDX(lead->data, i, kohomai_datum_t);

        if (!*datum->value || !datum->name == !datum->id) {
            return "record-form";
        }
        if (datum->name ? !*datum->name || !is_plain(datum->name, 0)
                        : !kohomai_text_is_id(datum->id)) {
            return "data-form";
        }
    }
    return NULL;
}

static const char *check_record(apr_pool_t *pool, const kohomai_record_t *record)
{
    const char *fault = check_data(&record->lead);

    if (!fault) {
        fault = kohomai_lead_check(&record->lead);
    }
    if (!fault) {
        fault = check_urls(pool, record);
    }
    if (!fault && (!*record->api || !is_short(record->api) || !is_short(record->arrived) ||
                   (*record->lead.workflow && !kohomai_text_is_id(record->lead.workflow)) ||
                   !is_plain(record->ca_file, 0) || !is_plain(record->key, 0) ||
                   !is_plain(record->proxy, 0))) {
        return "record-form";
    }
    return fault;
}

/* ---- writing it ---- */

static void add_data(cJSON *object, const kohomai_lead_t *lead)
{
    cJSON *list;
    int i;

    if (lead->data->nelts == 0) {
        return;
    }
    list = cJSON_AddArrayToObject(object, "Data");
    for (i = 0; i < lead->data->nelts; i++) {
        const kohomai_datum_t *datum = &APR_ARRAY_IDX(lead->data, i, kohomai_datum_t);
        cJSON *item = cJSON_CreateObject();

        cJSON_AddStringToObject(item, datum->name ? "Name" : "Id",
                                datum->name ? datum->name : datum->id);
        cJSON_AddStringToObject(item, "Value", datum->value);
        cJSON_AddItemToArray(list, item);
    }
}

static cJSON *tree_of(const kohomai_record_t *record)
{
    kohomai_record_t copy = *record;
    cJSON *object = cJSON_CreateObject();
    apr_size_t i;

    cJSON_AddRawToObject(object, VERSION_NAME, VERSION);
    for (i = 0; i < MEMBERS; i++) {
        const char *value = *member_of(&copy, i);

        if (*value) {
            cJSON_AddStringToObject(object, members[i].name, value);
        }
    }
    add_data(object, &record->lead);
    return object;
}

const char *kohomai_lead_encode(apr_pool_t *pool, const kohomai_record_t *record,
                                const char **bytes, apr_size_t *len)
{
    const char *fault = check_record(pool, record);
    cJSON *object;
    char *printed;

    if (fault) {
        return fault;
    }
    object = tree_of(record);
    printed = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    if (!printed) { /* out of memory: end as an allocation from the pool would */
        apr_pool_abort_get(pool)(APR_ENOMEM);
        return "record-size";
    }
    *bytes = apr_pstrcat(pool, printed, "\n", NULL);
    *len = strlen(*bytes);
    cJSON_free(printed);
    return *len > KOHOMAI_RECORD_MAX ? "record-size" : NULL;
}

/* ---- reading it ---- */

static const char *read_datum(const cJSON *item, kohomai_datum_t *datum)
{
    const cJSON *member;

    if (!cJSON_IsObject(item)) {
        return "record-form";
    }
    cJSON_ArrayForEach(member, item) {
        const char **place = strcmp(member->string, "Name") == 0    ? &datum->name
                             : strcmp(member->string, "Id") == 0    ? &datum->id
                             : strcmp(member->string, "Value") == 0 ? &datum->value
                                                                    : NULL;

        if (!place || *place || !cJSON_IsString(member)) {
            return "record-form";
        }
        *place = member->valuestring;
    }
    return datum->value ? NULL : "record-form";
}

static const char *read_data(const cJSON *list, kohomai_lead_t *lead)
{
    const char *fault = NULL;
    const cJSON *item;

    if (!cJSON_IsArray(list) || !list->child || lead->data->nelts) {
        return "record-form";
    }
    cJSON_ArrayForEach(item, list) {
        kohomai_datum_t datum = {NULL, NULL, NULL};

        fault = read_datum(item, &datum);
        if (fault) {
            break;
        }
        APR_ARRAY_PUSH(lead->data, kohomai_datum_t) = datum;
    }
    return fault;
}

/* A member that says "" or [] does not exist: whoever leaves it out means the same. Else it could be
 * there twice unseen. */
static const char *read_member(const cJSON *member, kohomai_record_t *record)
{
    apr_size_t i;

    if (strcmp(member->string, "Data") == 0) {
        return read_data(member, &record->lead);
    }
    for (i = 0; i < MEMBERS; i++) {
        const char **place = member_of(record, i);

        if (strcmp(member->string, members[i].name) != 0) {
            continue;
        }
        if (**place || !cJSON_IsString(member) || !*member->valuestring) {
            return "record-form";
        }
        *place = member->valuestring;
        return NULL;
    }
    return "record-form";
}

/* The version comes first, so that it is known before anything else is believed. */
static const char *check_version(const cJSON *tree)
{
    const cJSON *first = tree->child;

    if (!cJSON_IsObject(tree) || !first || strcmp(first->string, VERSION_NAME) != 0 ||
        !cJSON_IsString(first) || !kohomai_text_is_id(first->valuestring)) {
        return "record-form";
    }
    return strcmp(first->valuestring, VERSION) == 0 ? NULL : "record-newer";
}

const char *kohomai_lead_decode(apr_pool_t *pool, const char *bytes, apr_size_t len,
                                kohomai_record_t *record)
{
    const char *end = len ? memchr(bytes, '\n', len) : NULL, *fault;
    const cJSON *tree, *member;
    apr_size_t i;

    *record = (kohomai_record_t){.lead.data = apr_array_make(pool, 4, sizeof(kohomai_datum_t))};
    for (i = 0; i < MEMBERS; i++) {
        *member_of(record, i) = "";
    }
    if (end ? end - bytes >= KOHOMAI_RECORD_MAX : len >= KOHOMAI_RECORD_MAX) {
        return "record-size";
    }
    if (!end) {
        return "record-incomplete";
    }
    tree = kohomai_json_parse(pool, bytes, (apr_size_t)(end - bytes));
    if (!tree) {
        return "record-json";
    }
    fault = check_version(tree);
    for (member = tree->child; !fault && (member = member->next);) {
        fault = read_member(member, record);
    }
    return fault ? fault : check_record(pool, record);
}
