/* record: whatever lies on disk in place of a lead's record is refused with a word, or is a record that
 *   comes back the same however often it is written and read; and so does one that is made of any facts.
 *
 * Input: a line "facts" and lines: arrived, api, base URL, key, proxy, CA file, return URL, ref, workflow,
 * email, first name, last name, phone number, then data points (a name, or # and an id; a tab; a value).
 * Or anything else: bytes to be decoded.
 * Threads: one. Memory: see fuzz.h.
 * Never: touches a disk. */
#include "fuzz.h"

#include "json.h"
#include "lead.h"
#include "text.h"

static const char *const reasons[] = {"record-size",      "record-incomplete", "record-json",
                                      "record-newer",     "record-form",       "email-form",
                                      "firstname-form",   "lastname-form",     "data-form",
                                      "phonenumber-form", "ref-form",          "url-length",
                                      "url-character",    "url-scheme",        "url-user",
                                      "url-host",         "url-port",          NULL};

static void must_be_same_data(const apr_array_header_t *got, const apr_array_header_t *wanted)
{
    int i;

    must(got->nelts == wanted->nelts, "%d data points for %d", got->nelts, wanted->nelts);
    for (i = 0; i < wanted->nelts; i++) {
        const kohomai_datum_t *one = &APR_ARRAY_IDX(got, i, kohomai_datum_t);
        const kohomai_datum_t *other = &APR_ARRAY_IDX(wanted, i, kohomai_datum_t);

        must_be(one->name, other->name, "a data point's name");
        must_be(one->id, other->id, "a data point's id");
        must_be(one->value, other->value, "a data point's value");
    }
}

static void must_be_same(const kohomai_record_t *got, const kohomai_record_t *wanted)
{
    int i;

    must_be(got->arrived, wanted->arrived, "arrived");
    must_be(got->api, wanted->api, "api");
    must_be(got->base_url, wanted->base_url, "base URL");
    must_be(got->return_url, wanted->return_url, "return URL");
    must_be(got->ca_file, wanted->ca_file, "CA file");
    must_be(got->key, wanted->key, "key");
    must_be(got->proxy, wanted->proxy, "proxy");
    must_be(got->lead.ref, wanted->lead.ref, "ref");
    must_be(got->lead.workflow, wanted->lead.workflow, "workflow");
    for (i = 0; i < KOHOMAI_LEAD_FIELDS; i++) {
        must_be(got->lead.fields[i], wanted->lead.fields[i], kohomai_lead_field_names[i]);
    }
    must_be_same_data(got->lead.data, wanted->lead.data);
}

/* Writes, reads, compares, and writes once more. Returns the word where it is not written. */
static const char *write_and_read(apr_pool_t *pool, const kohomai_record_t *record)
{
    const char *bytes = NULL, *again = NULL;
    apr_size_t len = 0, length = 0;
    kohomai_record_t other;
    const char *reason = kohomai_lead_encode(pool, record, &bytes, &len);
    fuzz_input_t exact;

    must_be_one_of(reason, reasons);
    if (reason) {
        return reason;
    }
    must(len <= KOHOMAI_RECORD_MAX && memchr(bytes, '\n', len) == bytes + len - 1,
         "not one line of bounded length");
    exact = (fuzz_input_t){bytes, bytes + len};
    must_be(kohomai_lead_decode(pool, fuzz_take(pool, &exact, len), len, &other), NULL, bytes);
    must_be_same(&other, record);
    must_be(kohomai_lead_encode(pool, &other, &again, &length), NULL, bytes);
    must_be(again, bytes, "written once more");
    must(kohomai_lead_decode(pool, bytes, len - 1, &other) != NULL, "read without its end");
    return NULL;
}

/* A record that says a thing twice says nothing that can be believed. */
static void must_say_all_once(apr_pool_t *pool, const char *bytes, size_t len)
{
    const char *feed = memchr(bytes, '\n', len);
    const cJSON *tree = kohomai_json_parse(pool, bytes, (size_t)(feed - bytes)), *item, *other;

    must(cJSON_IsObject(tree), "this is no JSON");
    cJSON_ArrayForEach(item, tree) {
        for (other = item->next; other; other = other->next) {
            must(strcmp(item->string, other->string) != 0, "%s is there twice", item->string);
        }
    }
}

static void read_hostile(apr_pool_t *pool, fuzz_input_t input)
{
    size_t len = fuzz_left(&input);
    const char *bytes = fuzz_take(pool, &input, len);
    kohomai_record_t record;
    const char *reason = kohomai_lead_decode(pool, bytes, len, &record);

    must_be_one_of(reason, reasons);
    if (!reason) {
        must_say_all_once(pool, bytes, len);
        must_be_one_of(kohomai_lead_check(&record.lead), (const char *const[]){NULL});
        must_be(write_and_read(pool, &record), NULL, "what was read is not written");
    }
}

/* Lines of a fact; a byte 0x01 stands for a line feed. */
static char *fact(apr_pool_t *pool, fuzz_input_t *input)
{
    char *text = fuzz_line(pool, input), *s;

    for (s = text; *s; s++) {
        *s = (char)(*s == '\x01' ? '\n' : *s);
    }
    return text;
}

static void write_facts(apr_pool_t *pool, fuzz_input_t input)
{
    kohomai_record_t record;
    int i;

    record.arrived = fact(pool, &input);
    record.api = fact(pool, &input);
    record.base_url = fact(pool, &input);
    record.key = fact(pool, &input);
    record.proxy = fact(pool, &input);
    record.ca_file = fact(pool, &input);
    record.return_url = fact(pool, &input);
    record.lead.ref = fact(pool, &input);
    record.lead.workflow = fact(pool, &input);
    for (i = 0; i < KOHOMAI_LEAD_FIELDS; i++) {
        record.lead.fields[i] = fact(pool, &input);
    }
    record.lead.data = apr_array_make(pool, 4, sizeof(kohomai_datum_t));
    while (fuzz_left(&input) && record.lead.data->nelts < 20) {
        char *name = fact(pool, &input), *tab = strchr(name, '\t');
        kohomai_datum_t datum = {NULL, NULL, tab ? tab + 1 : ""};

        if (tab) {
            *tab = '\0';
        }
        *(*name == '#' ? &datum.id : &datum.name) = *name == '#' ? name + 1 : name;
        APR_ARRAY_PUSH(record.lead.data, kohomai_datum_t) = datum;
    }
    write_and_read(pool, &record);
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    fuzz_input_t whole = input, kind = fuzz_take_line(&input);

    if (fuzz_is(&kind, "facts")) {
        write_facts(pool, input);
    }
    else {
        read_hostile(pool, whole);
    }
}
