/* test_lead: what lead.h promises: which leads can be registered, the word for the first fault, and a
 * record that comes back from its encoding as it was, or not at all.
 * Threads: one. Memory: each test's pool.
 * Never: needs a server. */
#include "unit.h"

#include "lead.h"
#include "text.h"

/* A lead that can be registered, with every part filled. */
static kohomai_lead_t good_lead(apr_pool_t *pool)
{
    kohomai_lead_t lead = {.fields = {"johndoe@gmail.com", "John", "Doe", "+1 (800) 555-0175"},
                           .ref = "spring",
                           .workflow = "42"};

    lead.data = apr_array_make(pool, 2, sizeof(kohomai_datum_t));
    APR_ARRAY_PUSH(lead.data, kohomai_datum_t) = (kohomai_datum_t){"My datapoint", NULL, "example"};
    APR_ARRAY_PUSH(lead.data, kohomai_datum_t) =
        (kohomai_datum_t){NULL, "123456789", "line\r\n\tend"};
    return lead;
}

static void a_field_is_found_by_its_name_in_any_case(apr_pool_t *pool)
{
    static const struct {
        const char *name;
        int field;
    } rows[] = {
        {"Email", KOHOMAI_LEAD_EMAIL},
        {"Firstname", KOHOMAI_LEAD_FIRSTNAME},
        {"Lastname", KOHOMAI_LEAD_LASTNAME},
        {"PhoneNumber", KOHOMAI_LEAD_PHONE},
        {"EMAIL", KOHOMAI_LEAD_EMAIL},
        {"phonenumber", KOHOMAI_LEAD_PHONE},
        {"", -1},
        {"Emai", -1},
        {"Emails", -1},
        {"First name", -1},
        {"Phone", -1},
    };
    apr_size_t i;
    int field;

    (void)pool;
    for (i = 0; i < ROWS(rows); i++) {
        expect(kohomai_lead_field_find(rows[i].name) == rows[i].field, "%s", rows[i].name);
    }
    for (field = 0; field < KOHOMAI_LEAD_FIELDS; field++) {
        expect(kohomai_lead_field_find(kohomai_lead_field_names[field]) == field, "field %d",
               field);
    }
}

static void a_whole_lead_can_be_registered(apr_pool_t *pool)
{
    kohomai_lead_t lead = good_lead(pool);

    expect_text(kohomai_lead_check(&lead), NULL, "whole");
}

static void only_the_email_is_mandatory(apr_pool_t *pool)
{
    kohomai_lead_t lead = {.fields = {"a@b", "", "", ""}, .ref = "", .workflow = ""};

    lead.data = apr_array_make(pool, 0, sizeof(kohomai_datum_t));
    expect_text(kohomai_lead_check(&lead), NULL, "email only");
    lead.fields[KOHOMAI_LEAD_EMAIL] = "";
    expect_text(kohomai_lead_check(&lead), "email-form", "nothing");
}

static void a_fault_is_named_after_the_field_that_has_it(apr_pool_t *pool)
{
    static const struct {
        int field;
        const char *value, *reason;
    } rows[] = {
        {KOHOMAI_LEAD_EMAIL, "no email", "email-form"},
        {KOHOMAI_LEAD_EMAIL, "a@b\n", "email-form"},
        {KOHOMAI_LEAD_FIRSTNAME, "J\xff", "firstname-form"},
        {KOHOMAI_LEAD_FIRSTNAME, "J\nohn", "firstname-form"},
        {KOHOMAI_LEAD_FIRSTNAME, "J\tohn", "firstname-form"},
        {KOHOMAI_LEAD_FIRSTNAME, "Jos\xc3\xa9", NULL},
        {KOHOMAI_LEAD_LASTNAME, "D\x1boe", "lastname-form"},
        {KOHOMAI_LEAD_LASTNAME, "O'Neil \"Jr\" <x>", NULL},
        {KOHOMAI_LEAD_PHONE, "1\x7f", "phonenumber-form"},
        {KOHOMAI_LEAD_PHONE, "1\xc2\x85", "phonenumber-form"},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_lead_t lead = good_lead(pool);

        lead.fields[rows[i].field] = rows[i].value;
        expect_text(kohomai_lead_check(&lead), rows[i].reason, rows[i].value);
    }
}

static void the_first_of_several_faults_is_named(apr_pool_t *pool)
{
    kohomai_lead_t lead = good_lead(pool);

    lead.ref = "\x01";
    expect_text(kohomai_lead_check(&lead), "ref-form", "ref");
    APR_ARRAY_IDX(lead.data, 1, kohomai_datum_t).value = "\xff";
    expect_text(kohomai_lead_check(&lead), "data-form", "data before ref");
    lead.fields[KOHOMAI_LEAD_PHONE] = "\x01";
    expect_text(kohomai_lead_check(&lead), "phonenumber-form", "phone before data");
    lead.fields[KOHOMAI_LEAD_LASTNAME] = "\x01";
    expect_text(kohomai_lead_check(&lead), "lastname-form", "last name before phone");
    lead.fields[KOHOMAI_LEAD_FIRSTNAME] = "\x01";
    expect_text(kohomai_lead_check(&lead), "firstname-form", "first name before last");
    lead.fields[KOHOMAI_LEAD_EMAIL] = "\x01";
    expect_text(kohomai_lead_check(&lead), "email-form", "email before all");
}

static void a_data_point_may_hold_lines_but_no_other_control(apr_pool_t *pool)
{
    static const struct {
        const char *value, *reason;
    } rows[] = {
        {"a\tb\r\nc", NULL}, {"a\vb", "data-form"}, {"\x7f", "data-form"}, {"\xc3", "data-form"}};
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_lead_t lead = good_lead(pool);

        APR_ARRAY_IDX(lead.data, 0, kohomai_datum_t).value = rows[i].value;
        expect_text(kohomai_lead_check(&lead), rows[i].reason, rows[i].value);
    }
}

static void a_value_of_1024_bytes_is_taken_and_of_1025_is_not(apr_pool_t *pool)
{
    const char *fits = repeated(pool, "\xc3\xa9", KOHOMAI_FIELD_MAX / 2);
    const char *over = apr_pstrcat(pool, fits, "x", NULL);
    static const char *const reasons[] = {NULL, "firstname-form", "lastname-form",
                                          "phonenumber-form"};
    kohomai_lead_t lead;
    int field;

    for (field = KOHOMAI_LEAD_FIRSTNAME; field < KOHOMAI_LEAD_FIELDS; field++) {
        lead = good_lead(pool);
        lead.fields[field] = fits;
        expect_text(kohomai_lead_check(&lead), NULL, reasons[field]);
        lead.fields[field] = over;
        expect_text(kohomai_lead_check(&lead), reasons[field], reasons[field]);
    }
    lead = good_lead(pool);
    lead.ref = APR_ARRAY_IDX(lead.data, 0, kohomai_datum_t).value = fits;
    expect_text(kohomai_lead_check(&lead), NULL, "ref and data");
    lead.ref = over;
    expect_text(kohomai_lead_check(&lead), "ref-form", "ref");
    APR_ARRAY_IDX(lead.data, 0, kohomai_datum_t).value = over;
    expect_text(kohomai_lead_check(&lead), "data-form", "data");
}

/* ---- the record ---- */

static kohomai_record_t good_record(apr_pool_t *pool)
{
    kohomai_record_t record = {.lead = good_lead(pool),
                               .arrived = "2026-11-25T13:18:43.123456Z",
                               .api = "journeys",
                               .base_url = "https://app.kohomai.com/api/v1",
                               .return_url = "https://www.myapp.com/back?a=b#c",
                               .ca_file = "/etc/ssl/own.pem",
                               .key = "file:/etc/kohomai/api.key",
                               .proxy = "http://proxy.example:3128"};

    return record;
}

static void expect_record(const kohomai_record_t *got, const kohomai_record_t *wanted,
                          const char *row)
{
    int i;

    expect_text(got->arrived, wanted->arrived, row);
    expect_text(got->api, wanted->api, row);
    expect_text(got->base_url, wanted->base_url, row);
    expect_text(got->return_url, wanted->return_url, row);
    expect_text(got->ca_file, wanted->ca_file, row);
    expect_text(got->key, wanted->key, row);
    expect_text(got->proxy, wanted->proxy, row);
    expect_text(got->lead.ref, wanted->lead.ref, row);
    expect_text(got->lead.workflow, wanted->lead.workflow, row);
    for (i = 0; i < KOHOMAI_LEAD_FIELDS; i++) {
        expect_text(got->lead.fields[i], wanted->lead.fields[i], row);
    }
    if (!expect(got->lead.data->nelts == wanted->lead.data->nelts, "%s: data points", row)) {
        return;
    }
    for (i = 0; i < wanted->lead.data->nelts; i++) {
        const kohomai_datum_t *one = &APR_ARRAY_IDX(got->lead.data, i, kohomai_datum_t);
        const kohomai_datum_t *other = &APR_ARRAY_IDX(wanted->lead.data, i, kohomai_datum_t);

        expect_text(one->name, other->name, row);
        expect_text(one->id, other->id, row);
        expect_text(one->value, other->value, row);
    }
}

/* Encodes, decodes from bytes without anything behind them, and compares. */
static void expect_round_trip(apr_pool_t *pool, const kohomai_record_t *record, const char *row)
{
    const char *bytes = NULL;
    apr_size_t len = 0;
    kohomai_record_t back;

    expect_text(kohomai_lead_encode(pool, record, &bytes, &len), NULL, row);
    if (bytes && expect(len && memchr(bytes, '\n', len) == bytes + len - 1, "%s: one line", row)) {
        expect_text(kohomai_lead_decode(pool, bare(pool, bytes, len), len, &back), NULL, row);
        expect_record(&back, record, row);
    }
}

static void a_record_comes_back_as_it_was(apr_pool_t *pool)
{
    kohomai_record_t record = good_record(pool);

    expect_round_trip(pool, &record, "whole");
    record.lead.fields[KOHOMAI_LEAD_FIRSTNAME] = "\"\\/ \xc3\xa9\xf0\x9f\x98\x80 {}[]:,";
    record.lead.workflow = "74590868830731162";
    APR_ARRAY_IDX(record.lead.data, 1, kohomai_datum_t).id = "18446744073709551615";
    expect_round_trip(pool, &record, "letters that JSON escapes, ids above 2^53");
    record = (kohomai_record_t){.lead = {.fields = {"a@b", "", "", ""}, .ref = "", .workflow = ""},
                                .arrived = "",
                                .api = "leads",
                                .base_url = "http://[::1]:8080",
                                .return_url = "",
                                .ca_file = "",
                                .key = "",
                                .proxy = ""};
    record.lead.data = apr_array_make(pool, 0, sizeof(kohomai_datum_t));
    expect_round_trip(pool, &record, "as little as there can be");
}

static void what_follows_the_first_line_does_not_matter(apr_pool_t *pool)
{
    kohomai_record_t record = good_record(pool), back;
    const char *bytes = NULL, *more;
    apr_size_t len = 0;

    kohomai_lead_encode(pool, &record, &bytes, &len);
    more = apr_pstrcat(pool, bytes, "{\"Note\":\"uncertain\"}\n\xff{", NULL);
    expect_text(kohomai_lead_decode(pool, more, strlen(more), &back), NULL, "notes");
    expect_record(&back, &record, "notes");
}

static void what_could_not_be_read_back_is_not_written(apr_pool_t *pool)
{
    static const kohomai_datum_t both = {"a", "1", "v"}, neither = {NULL, NULL, "v"},
                                 empty = {"a", NULL, ""}, no_id = {NULL, "01", "v"},
                                 no_name = {"", NULL, "v"}, lines = {"a\nb", NULL, "v"};
    static const struct {
        const kohomai_datum_t *datum;
        const char *fault;
    } rows[] = {{&both, "record-form"}, {&neither, "record-form"}, {&empty, "record-form"},
                {&no_id, "data-form"},  {&no_name, "data-form"},   {&lines, "data-form"}};
    const char *bytes;
    apr_size_t len, i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_record_t record = good_record(pool);

        APR_ARRAY_IDX(record.lead.data, 0, kohomai_datum_t) = *rows[i].datum;
        expect_text(kohomai_lead_encode(pool, &record, &bytes, &len), rows[i].fault, "datum");
    }
    kohomai_record_t record = good_record(pool);
    record.ca_file = "/etc/\xff.pem";
    expect_text(kohomai_lead_encode(pool, &record, &bytes, &len), "record-form", "CA file");
    record = good_record(pool);
    record.lead.fields[KOHOMAI_LEAD_EMAIL] = "";
    expect_text(kohomai_lead_encode(pool, &record, &bytes, &len), "email-form", "email");
    record = good_record(pool);
    for (i = 0; i < 1100; i++) {
        APR_ARRAY_PUSH(record.lead.data, kohomai_datum_t) =
            (kohomai_datum_t){"n", NULL, repeated(pool, "x", KOHOMAI_FIELD_MAX)};
    }
    expect_text(kohomai_lead_encode(pool, &record, &bytes, &len), "record-size", "size");
}

/* A record of the first version as it stands on disks, byte for byte: it must be read for ever. */
#define FIRST_VERSION                                                                              \
    "{\"KohomaiLead\":1,\"Arrived\":\"2026-11-25T13:18:43.123456Z\",\"API\":\"journeys\","         \
    "\"BaseURL\":\"https://app.kohomai.com/api/v1\",\"Key\":\"file:/etc/kohomai/api.key\","        \
    "\"Proxy\":\"http://proxy.example:3128\",\"CAFile\":\"/etc/ssl/own.pem\","                     \
    "\"RedirectURL\":\"https://www.myapp.com/back?a=b#c\",\"Ref\":\"spring\",\"Workflow\":\"42\"," \
    "\"Email\":\"johndoe@gmail.com\",\"Firstname\":\"John\",\"Lastname\":\"Doe\","                 \
    "\"PhoneNumber\":\"+1 (800) 555-0175\",\"Data\":[{\"Name\":\"My datapoint\","                  \
    "\"Value\":\"example\"},{\"Id\":\"123456789\",\"Value\":\"line\\r\\n\\tend\"}]}\n"

static void the_first_version_is_read_for_ever(apr_pool_t *pool)
{
    kohomai_record_t record = good_record(pool), back;
    const char *bytes = NULL;
    apr_size_t len = 0;

    expect_text(kohomai_lead_decode(pool, FIRST_VERSION, strlen(FIRST_VERSION), &back), NULL,
                "reading");
    expect_record(&back, &record, "reading");
    kohomai_lead_encode(pool, &record, &bytes, &len);
    expect_text(bytes, FIRST_VERSION, "writing");
}

static void garbage_is_refused_with_its_word(apr_pool_t *pool)
{
#define MINIMAL "\"API\":\"leads\",\"BaseURL\":\"https://a.example/v1\",\"Email\":\"a@b\""
#define HEAD "{\"KohomaiLead\":1,"
    static const struct {
        const char *text, *fault;
    } rows[] = {
        {HEAD MINIMAL "}\n", NULL},
        {HEAD MINIMAL ",\"Data\":[]}\n", "record-form"},
        {HEAD MINIMAL ",\"Data\":[],\"Data\":[{\"Name\":\"n\",\"Value\":\"v\"}]}\n", "record-form"},
        {HEAD MINIMAL "}", "record-incomplete"},
        {"", "record-incomplete"},
        {"\n", "record-json"},
        {"{\n", "record-json"},
        {HEAD MINIMAL "} x\n", "record-json"},
        {HEAD MINIMAL ",\"Ref\":\"\xff\"}\n", "record-json"},
        {HEAD MINIMAL ",\"Ref\":\"a\\u0000\"}\n", "record-json"},
        {"[]\n", "record-form"},
        {"1\n", "record-form"},
        {"{}\n", "record-form"},
        {"{" MINIMAL "}\n", "record-form"},
        {"{" MINIMAL ",\"KohomaiLead\":1}\n", "record-form"},
        {"{\"KohomaiLead\":null," MINIMAL "}\n", "record-form"},
        {"{\"KohomaiLead\":1.0," MINIMAL "}\n", "record-form"},
        {"{\"KohomaiLead\":-1," MINIMAL "}\n", "record-form"},
        {"{\"KohomaiLead\":2,\"Anything\":{\"at\":[\"all\"]}}\n", "record-newer"},
        {"{\"KohomaiLead\":10}\n", "record-newer"},
        {HEAD "\"KohomaiLead\":1," MINIMAL "}\n", "record-form"},
        {HEAD MINIMAL ",\"Email\":\"c@d\"}\n", "record-form"},
        {HEAD MINIMAL ",\"Unknown\":\"x\"}\n", "record-form"},
        {HEAD MINIMAL ",\"Ref\":null}\n", "record-form"},
        {HEAD MINIMAL ",\"Ref\":true}\n", "record-form"},
        {HEAD MINIMAL ",\"Ref\":{}}\n", "record-form"},
        {HEAD MINIMAL ",\"Ref\":\"\"}\n", "record-form"},
        {HEAD MINIMAL ",\"Ref\":\"a\\u0001\"}\n", "ref-form"},
        {HEAD MINIMAL ",\"Lastname\":\"a\\n\"}\n", "lastname-form"},
        {HEAD MINIMAL ",\"Workflow\":\"012\"}\n", "record-form"},
        {HEAD MINIMAL ",\"Workflow\":\"../x\"}\n", "record-form"},
        {HEAD MINIMAL ",\"CAFile\":\"a\\nb\"}\n", "record-form"},
        {HEAD MINIMAL ",\"Key\":\"a\\r\\nb\"}\n", "record-form"},
        {HEAD MINIMAL ",\"RedirectURL\":\"javascript:x\"}\n", "url-scheme"},
        {HEAD MINIMAL ",\"RedirectURL\":\"//x.example\"}\n", "url-scheme"},
        {HEAD "\"API\":\"leads\",\"Email\":\"a@b\"}\n", "url-scheme"},
        {HEAD "\"API\":\"leads\",\"BaseURL\":\"https://u@a.example\",\"Email\":\"a@b\"}\n",
         "url-user"},
        {HEAD "\"API\":\"leads\",\"BaseURL\":\"https://a.example/?x\",\"Email\":\"a@b\"}\n",
         "record-form"},
        {HEAD "\"BaseURL\":\"https://a.example\",\"Email\":\"a@b\"}\n", "record-form"},
        {HEAD "\"API\":\"leads\",\"BaseURL\":\"https://a.example\"}\n", "email-form"},
        {HEAD MINIMAL ",\"Data\":{}}\n", "record-form"},
        {HEAD MINIMAL ",\"Data\":[1]}\n", "record-form"},
        {HEAD MINIMAL ",\"Data\":[{\"Name\":\"a\"}]}\n", "record-form"},
        {HEAD MINIMAL ",\"Data\":[{\"Value\":\"a\"}]}\n", "record-form"},
        {HEAD MINIMAL ",\"Data\":[{\"Name\":\"a\",\"Id\":\"1\",\"Value\":\"b\"}]}\n",
         "record-form"},
        {HEAD MINIMAL ",\"Data\":[{\"Name\":\"a\",\"Name\":\"a\",\"Value\":\"b\"}]}\n",
         "record-form"},
        {HEAD MINIMAL ",\"Data\":[{\"Name\":\"a\",\"Value\":\"b\",\"More\":\"c\"}]}\n",
         "record-form"},
        {HEAD MINIMAL ",\"Data\":[{\"Id\":\"1a\",\"Value\":\"b\"}]}\n", "data-form"},
        {HEAD MINIMAL ",\"Data\":[{\"Name\":\"a\",\"Value\":\"\\u0007\"}]}\n", "data-form"},
        {HEAD MINIMAL ",\"Data\":[{\"Name\":\"a\",\"Value\":\"b\"}],\"Data\":[]}\n", "record-form"},
    };
    kohomai_record_t record;
    apr_size_t i, len;
    char *huge;

    for (i = 0; i < ROWS(rows); i++) {
        len = strlen(rows[i].text);
        expect_text(kohomai_lead_decode(pool, bare(pool, rows[i].text, len), len, &record),
                    rows[i].fault, rows[i].text);
    }
    huge = repeated(pool, " ", KOHOMAI_RECORD_MAX + 1);
    expect_text(kohomai_lead_decode(pool, huge, KOHOMAI_RECORD_MAX + 1, &record), "record-size",
                "no line end in sight");
    huge[KOHOMAI_RECORD_MAX] = '\n';
    expect_text(kohomai_lead_decode(pool, huge, KOHOMAI_RECORD_MAX + 1, &record), "record-size",
                "too long a line");
}

/* Whatever is accepted can be written again, and says the same then. */
static void a_mutated_record_is_refused_or_whole(apr_pool_t *pool)
{
    static const char letters[] = "\"\\{}[]:,\n\t 01aKE\xc3\xa9\xff\x00";
    apr_uint64_t seed = 20261125;
    int i, accepted = 0;

    for (i = 0; i < 20000; i++) {
        apr_size_t len = strlen(FIRST_VERSION);
        char text[sizeof(FIRST_VERSION) + 8];
        kohomai_record_t record;
        apr_pool_t *one;

        apr_pool_create(&one, pool);
        memcpy(text, FIRST_VERSION, len);
        mutate(text, &len, letters, sizeof(letters) - 1, &seed);
        if (!kohomai_lead_decode(one, bare(one, text, len), len, &record)) {
            accepted++;
            expect_round_trip(one, &record, text);
        }
        apr_pool_destroy(one);
        unit_free_pieces(one);
    }
    expect(accepted > 100 && accepted < 19900, "%d of 20000 were accepted", accepted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_field_is_found_by_its_name_in_any_case),
        UNIT(a_whole_lead_can_be_registered),
        UNIT(only_the_email_is_mandatory),
        UNIT(a_fault_is_named_after_the_field_that_has_it),
        UNIT(the_first_of_several_faults_is_named),
        UNIT(a_data_point_may_hold_lines_but_no_other_control),
        UNIT(a_value_of_1024_bytes_is_taken_and_of_1025_is_not),
        UNIT(a_record_comes_back_as_it_was),
        UNIT(what_follows_the_first_line_does_not_matter),
        UNIT(what_could_not_be_read_back_is_not_written),
        UNIT(the_first_version_is_read_for_ever),
        UNIT(garbage_is_refused_with_its_word),
        UNIT(a_mutated_record_is_refused_or_whole),
    };

    return UNIT_MAIN(tests);
}
