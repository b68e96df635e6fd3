/* lead: whatever passes the check is what the API's documents and the log can carry.
 *
 * Input: lines: email, first name, last name, phone number, ref; then values of data points.
 * Threads: one. Memory: see fuzz.h.
 * Never: needs a server. */
#include "fuzz.h"

#include "lead.h"
#include "text.h"

static const char *const reasons[] = {
    "email-form", "firstname-form", "lastname-form", "phonenumber-form", "data-form", "ref-form",
    NULL};

static int is_good(const char *text, int lines)
{
    size_t len = strlen(text);

    return len <= KOHOMAI_FIELD_MAX && kohomai_text_is_utf8(text, len) &&
           !kohomai_text_has_control(text, len, lines);
}

/* The first reason by the order of the header. */
static const char *fault_of(const kohomai_lead_t *lead)
{
    int i;

    if (!kohomai_text_is_email(lead->fields[KOHOMAI_LEAD_EMAIL])) {
        return reasons[0];
    }
    for (i = 1; i < KOHOMAI_LEAD_FIELDS; i++) {
        if (!is_good(lead->fields[i], 0)) {
            return reasons[i];
        }
    }
    for (i = 0; i < lead->data->nelts; i++) {
        if (!is_good(APR_ARRAY_IDX(lead->data, i, kohomai_datum_t).value, 1)) {
            return "data-form";
        }
    }
    return is_good(lead->ref, 0) ? NULL : "ref-form";
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    kohomai_lead_t lead = {.workflow = "1"};
    int i;

    for (i = 0; i < KOHOMAI_LEAD_FIELDS; i++) {
        lead.fields[i] = fuzz_line(pool, &input);
        must(kohomai_lead_field_find(kohomai_lead_field_names[i]) == i, "field %d", i);
    }
    lead.ref = fuzz_line(pool, &input);
    lead.data = apr_array_make(pool, 4, sizeof(kohomai_datum_t));
    while (fuzz_left(&input)) {
        APR_ARRAY_PUSH(lead.data, kohomai_datum_t) =
            (kohomai_datum_t){"name", NULL, fuzz_line(pool, &input)};
    }
    must_be_one_of(kohomai_lead_check(&lead), reasons);
    must_be(kohomai_lead_check(&lead), fault_of(&lead), "the first fault");
}
