/* test_lead: what lead.h promises: which leads can be registered, and the word for the first fault.
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
    };

    return UNIT_MAIN(tests);
}
