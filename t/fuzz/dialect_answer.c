/* dialect_answer: whatever an API answers, the verdict keeps to its contract, ids keep their digits,
 *   and a link that passes the policy leads to the API's own host.
 *
 * Input: a line that is the status; the rest is the body.
 * Threads: one. Memory: see fuzz.h.
 * Never: needs a server. */
#include "fuzz.h"

#include "dialect.h"
#include "json.h"
#include "text.h"
#include "url.h"

static kohomai_says_e by_status(int status)
{
    if (status == 400 || status == 409 || status == 422) {
        return KOHOMAI_SAYS_INVALID;
    }
    if (status == 404 || status == 429) {
        return status == 404 ? KOHOMAI_SAYS_GONE : KOHOMAI_SAYS_BUSY;
    }
    return status / 100 == 4 ? KOHOMAI_SAYS_REFUSED : KOHOMAI_SAYS_SICK;
}

static void must_keep_its_contract(const kohomai_verdict_t *v)
{
    static const char *const reasons[] = {"", "answer-json", "answer-form", "answer-id", NULL};

    must(v->reason && v->link && v->valid_until && v->id, "a NULL in the verdict");
    must_be_one_of(v->reason, reasons);
    must((*v->reason != '\0') == (v->says == KOHOMAI_SAYS_NONSENSE), "reason %s for %d", v->reason,
         (int)v->says);
    must((*v->link != '\0') == (v->says == KOHOMAI_SAYS_LINK), "link %s for %d", v->link,
         (int)v->says);
    must(*v->id ? v->says == KOHOMAI_SAYS_ID || v->says == KOHOMAI_SAYS_LINK
                : v->says != KOHOMAI_SAYS_ID,
         "id %s for %d", v->id, (int)v->says);
    must(!*v->valid_until || v->says == KOHOMAI_SAYS_LINK, "%s for %d", v->valid_until,
         (int)v->says);
    must(!*v->id || kohomai_text_is_id(v->id), "no id: %s", v->id);
    must(kohomai_text_is_utf8(v->link, strlen(v->link)), "a link that is no UTF-8");
    must(kohomai_text_is_utf8(v->valid_until, strlen(v->valid_until)), "a time that is no UTF-8");
}

/* Without escapes, whatever was read stands in the body as it came out. */
static void must_stand_there(const char *body, size_t len, const char *text)
{
    if (*text && !memchr(body, '\\', len)) {
        must(memmem(body, len, text, strlen(text)) != NULL, "not in the answer: %s", text);
    }
}

static void must_lead_home(apr_pool_t *pool, const char *text)
{
    static const char *const apis[] = {"https://app.kohomai.com/api/v1",
                                       "http://127.0.0.1:8080/v1"};
    static const char *const homes[] = {"https://app.kohomai.com", "http://127.0.0.1:8080"};
    apr_size_t i;

    for (i = 0; i < ROWS(apis); i++) {
        const char *link = NULL;
        kohomai_url_t api;

        must_be(kohomai_url_parse(pool, apis[i], &api), NULL, apis[i]);
        if (!kohomai_url_judge_link(pool, text, &api, NULL, &link)) {
            size_t len = strlen(homes[i]);

            must(strncmp(link, homes[i], len) == 0 && strchr("/?#", link[len]), "it leads to %s",
                 link);
        }
    }
}

/* An answer that says a thing twice says nothing that can be believed. */
static void must_be_said_once(apr_pool_t *pool, const char *body, size_t len,
                              const kohomai_verdict_t *verdict)
{
    static const char *const names[] = {"ConnectionURL", "ValidUntil"};
    const cJSON *tree = kohomai_json_parse(pool, body, len), *item;
    apr_size_t i;

    for (i = 0; i < ROWS(names); i++) {
        int count = 0;

        cJSON_ArrayForEach(item, tree) {
            count += item->string && strcmp(item->string, names[i]) == 0;
        }
        must(count < 2 || verdict->says == KOHOMAI_SAYS_NONSENSE, "%s %d times says %d", names[i],
             count, (int)verdict->says);
    }
}

/* Which 2xx it is, and a line feed behind it, changes nothing. */
static void must_say_the_same(apr_pool_t *pool, int status, const char *body, size_t len,
                              const kohomai_verdict_t *verdict)
{
    char *longer = apr_palloc(pool, len + 1);
    kohomai_verdict_t again;

    if (len == 0) {
        return;
    }
    memcpy(longer, body, len);
    longer[len] = '\n';
    kohomai_dialect_read(pool, status, longer, len + 1, &again);
    must(again.says == verdict->says && again.id_kind == verdict->id_kind, "it says %d, then %d",
         (int)verdict->says, (int)again.says);
    must_be(again.link, verdict->link, "the link");
    must_be(again.id, verdict->id, "the id");
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    int status = (int)strtol(fuzz_line(pool, &input), NULL, 10) % 1000;
    size_t len = fuzz_left(&input);
    const char *body = fuzz_take(pool, &input, len);
    kohomai_verdict_t verdict;

    kohomai_dialect_read(pool, status, body, len, &verdict);
    must_keep_its_contract(&verdict);
    must_stand_there(body, len, verdict.id);
    must_stand_there(body, len, verdict.link);
    must_stand_there(body, len, verdict.valid_until);
    must_lead_home(pool, verdict.link);
    if (status < 200 || status > 299) {
        must(verdict.says == by_status(status), "status %d says %d", status, (int)verdict.says);
        return;
    }
    must(verdict.says <= KOHOMAI_SAYS_TAKEN || verdict.says == KOHOMAI_SAYS_NONSENSE,
         "status %d says %d", status, (int)verdict.says);
    must(len || verdict.says == KOHOMAI_SAYS_TAKEN, "nothing says %d", (int)verdict.says);
    must_be_said_once(pool, body, len, &verdict);
    must_say_the_same(pool, status == 200 ? 201 : 200, body, len, &verdict);
}
