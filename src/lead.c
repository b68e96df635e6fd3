/* lead: someone to be registered, as the visitor's facts give them.
 * Threads: any. Memory: a lead borrows every string it names.
 * Never: knows where it goes or how it is written there. */
#include "lead.h"
#include "text.h"

#include <apr_cstr.h>
#include <string.h>

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
