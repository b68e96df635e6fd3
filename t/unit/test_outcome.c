/* test_outcome: the names, statuses and words of the outcomes, as users see them.
 * Threads: one. Memory: constants only.
 * Never: needs a server. */
#include "unit.h"

#include "outcome.h"

static const struct {
    kohomai_outcome_e outcome;
    const char *name;
    int status;
} rows[] = {
    {KOHOMAI_HANDED_OFF, "handed-off", 0}, {KOHOMAI_REGISTERED, "registered", 200},
    {KOHOMAI_QUEUED, "queued", 202},       {KOHOMAI_UNKNOWN, "unknown", 403},
    {KOHOMAI_INVALID, "invalid", 422},     {KOHOMAI_FORBIDDEN, "forbidden", 403},
    {KOHOMAI_PREFETCH, "prefetch", 503},   {KOHOMAI_LIMITED, "limited", 429},
    {KOHOMAI_REFUSED, "refused", 502},     {KOHOMAI_UNAVAILABLE, "unavailable", 503},
    {KOHOMAI_FAILED, "failed", 502},       {KOHOMAI_TIMEOUT, "timeout", 504},
};

static void every_outcome_has_its_documented_name_and_status(apr_pool_t *pool)
{
    apr_size_t i;

    (void)pool;
    expect(ROWS(rows) == KOHOMAI_OUTCOMES - 1, "an outcome is missing here");
    for (i = 0; i < ROWS(rows); i++) {
        expect_text(kohomai_outcome_name(rows[i].outcome), rows[i].name, "name");
        expect(kohomai_outcome_status(rows[i].outcome) == rows[i].status, "%s", rows[i].name);
    }
    expect(kohomai_outcome_status(KOHOMAI_NO_OUTCOME) == 0, "no outcome has no status");
}

static void an_outcome_is_found_by_its_name_in_any_case(apr_pool_t *pool)
{
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        char *loud = apr_pstrdup(pool, rows[i].name), *s;

        for (s = loud; *s >= 'a' && *s <= 'z'; s++) {
            *s = (char)(*s - 'a' + 'A');
        }
        expect(kohomai_outcome_find(rows[i].name) == (int)rows[i].outcome, "%s", rows[i].name);
        expect(kohomai_outcome_find(loud) == (int)rows[i].outcome, "%s", loud);
    }
}

static void what_names_no_outcome_is_not_found(apr_pool_t *pool)
{
    static const char *const names[] = {"",     "any",     "handed_off", "handed-offx",
                                        "hand", "failed ", "503"};
    apr_size_t i;

    (void)pool;
    for (i = 0; i < ROWS(names); i++) {
        expect(kohomai_outcome_find(names[i]) == -1, "%s", names[i]);
    }
}

static int is_plain_sentence(const char *text)
{
    const char *s;

    for (s = text; *s; s++) {
        if (*s < 0x20 || *s > 0x7e || strchr("<>&\"\\", *s)) {
            return 0;
        }
    }
    return s - text > 10 && *text >= 'A' && *text <= 'Z' && s[-1] != ' ' && !strstr(text, "  ");
}

static void every_outcome_that_people_see_has_words_in_plain_ascii(apr_pool_t *pool)
{
    apr_size_t i;

    (void)pool;
    for (i = 0; i < ROWS(rows); i++) {
        const char *headline = kohomai_outcome_headline(rows[i].outcome);
        const char *advice = kohomai_outcome_advice(rows[i].outcome);
        int seen = rows[i].status != 0;

        expect(seen ? is_plain_sentence(headline) : *headline == '\0', "%s: %s", rows[i].name,
               headline);
        expect(seen ? is_plain_sentence(advice) : *advice == '\0', "%s: %s", rows[i].name, advice);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(every_outcome_has_its_documented_name_and_status),
        UNIT(an_outcome_is_found_by_its_name_in_any_case),
        UNIT(what_names_no_outcome_is_not_found),
        UNIT(every_outcome_that_people_see_has_words_in_plain_ascii),
    };

    return UNIT_MAIN(tests);
}
