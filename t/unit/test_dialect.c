/* test_dialect: the requests of every generation byte for byte, and what each answer says.
 * Threads: one. Memory: each test's pool.
 * Never: needs a server. */
#include "unit.h"

#include "dialect.h"
#include "form.h"
#include "json.h"

#define RETURN "https://www.myapp.com"
#define ID "74590868830731162"

static const char *const ids[] = {
    "1", "9007199254740991",     "9007199254740992",     "9007199254740993",
    ID,  "18446744073709551615", "18446744073709551616", "99999999999999999999",
};

static kohomai_lead_t empty_lead(apr_pool_t *pool)
{
    kohomai_lead_t lead = {
        .fields = {"johndoe@gmail.com", "", "", ""}, .ref = "", .workflow = "42"};

    lead.data = apr_array_make(pool, 2, sizeof(kohomai_datum_t));
    return lead;
}

static kohomai_lead_t whole_lead(apr_pool_t *pool)
{
    kohomai_lead_t lead = empty_lead(pool);

    lead.fields[KOHOMAI_LEAD_FIRSTNAME] = "John";
    lead.fields[KOHOMAI_LEAD_LASTNAME] = "Doe";
    lead.fields[KOHOMAI_LEAD_PHONE] = "+1 (800) 555-0175";
    lead.ref = "REF";
    return lead;
}

static void add_datum(kohomai_lead_t *lead, const char *name, const char *id, const char *value)
{
    APR_ARRAY_PUSH(lead->data, kohomai_datum_t) = (kohomai_datum_t){name, id, value};
}

static void expect_request(const kohomai_request_t *request, const char *call, const char *path,
                           const char *body)
{
    expect_text(request->call, call, path);
    expect_text(request->path, path, call);
    expect_text(request->body, body, path);
    expect(request->body_len == strlen(request->body), "%s: length", path);
}

/* ---- the table of generations ---- */

static void every_generation_has_its_documented_name_and_abilities(apr_pool_t *pool)
{
    static const struct {
        const char *name;
        kohomai_api_e api;
        int names_data, takes_phone;
    } rows[] = {
        {"leads", KOHOMAI_API_LEADS, 1, 1},
        {"journeys", KOHOMAI_API_JOURNEYS, 0, 0},
        {"journeys-flat", KOHOMAI_API_JOURNEYS_FLAT, 0, 1},
        {"workflows", KOHOMAI_API_WORKFLOWS, 0, 0},
    };
    apr_size_t i;

    (void)pool;
    expect(ROWS(rows) == KOHOMAI_APIS, "a generation is missing here");
    for (i = 0; i < ROWS(rows); i++) {
        expect(kohomai_dialect_find(rows[i].name) == (int)rows[i].api, "%s", rows[i].name);
        expect_text(kohomai_dialect_name(rows[i].api), rows[i].name, "name");
        expect(!kohomai_dialect_names_data(rows[i].api) == !rows[i].names_data, "%s", rows[i].name);
        expect(!kohomai_dialect_takes_phone(rows[i].api) == !rows[i].takes_phone, "%s",
               rows[i].name);
    }
    expect(kohomai_dialect_find("Journeys-FLAT") == KOHOMAI_API_JOURNEYS_FLAT, "any case");
    expect(kohomai_dialect_find("") == -1 && kohomai_dialect_find("lead") == -1 &&
               kohomai_dialect_find("journeys_flat") == -1 &&
               kohomai_dialect_find("sessions") == -1,
           "none of that name");
}

/* ---- requests ---- */

static void a_session_is_asked_for_as_documented(apr_pool_t *pool)
{
    kohomai_request_t request;

    kohomai_dialect_write_session(pool, KOHOMAI_ID_USER, ID, RETURN, &request);
    expect_request(&request, "sessions", "/sessions",
                   "{\"User\":{\"Id\":" ID "},\"RedirectURL\":\"" RETURN "\"}");
    kohomai_dialect_write_session(pool, KOHOMAI_ID_JOURNEY, ID, RETURN, &request);
    expect_request(&request, "sessions", "/sessions",
                   "{\"Journey\":{\"Id\":" ID "},\"RedirectURL\":\"" RETURN "\"}");
    kohomai_dialect_write_session(pool, KOHOMAI_ID_JOURNEY, "1", "", &request);
    expect_request(&request, "sessions", "/sessions", "{\"Journey\":{\"Id\":1}}");
}

static void an_id_above_2_53_keeps_every_digit_on_its_way_out(apr_pool_t *pool)
{
    kohomai_request_t request;
    apr_size_t i;

    for (i = 0; i < ROWS(ids); i++) {
        kohomai_lead_t lead = empty_lead(pool);

        kohomai_dialect_write_session(pool, KOHOMAI_ID_USER, ids[i], "", &request);
        expect_text(request.body, apr_pstrcat(pool, "{\"User\":{\"Id\":", ids[i], "}}", NULL),
                    ids[i]);
        add_datum(&lead, NULL, ids[i], "v");
        kohomai_dialect_write_register(pool, KOHOMAI_API_JOURNEYS_FLAT, &lead, "", &request);
        expect(strstr(request.body, apr_pstrcat(pool, "{\"Id\":", ids[i], "}", NULL)) != NULL, "%s",
               request.body);
    }
}

static void leads_are_registered_as_documented(apr_pool_t *pool)
{
    kohomai_lead_t lead = whole_lead(pool);
    kohomai_request_t request;

    add_datum(&lead, "My datapoint", NULL, "example");
    kohomai_dialect_write_register(pool, KOHOMAI_API_LEADS, &lead, RETURN, &request);
    expect_request(&request, "leads", "/leads?ref=REF",
                   "{\"Email\":\"johndoe@gmail.com\",\"Firstname\":\"John\",\"Lastname\":\"Doe\","
                   "\"PhoneNumber\":\"+1 (800) 555-0175\",\"RedirectURL\":\"" RETURN "\","
                   "\"JourneyData\":[{\"Name\":\"My datapoint\",\"Value\":\"example\"}]}");
}

static void journeys_are_registered_as_documented(apr_pool_t *pool)
{
    kohomai_lead_t lead = whole_lead(pool);
    kohomai_request_t request;

    add_datum(&lead, NULL, "123456789", "example");
    add_datum(&lead, NULL, ID, "two");
    kohomai_dialect_write_register(pool, KOHOMAI_API_JOURNEYS, &lead, RETURN, &request);
    expect_request(
        &request, "journeys", "/journeys?ref=REF",
        "{\"RedirectURL\":\"" RETURN "\",\"Journey\":{\"User\":{\"Firstname\":\"John\","
        "\"Lastname\":\"Doe\",\"ContactPrefs\":{\"Email\":\"johndoe@gmail.com\"}},"
        "\"JourneyData\":[{\"StringValue\":\"example\",\"DataPoint\":{\"Id\":123456789}},"
        "{\"StringValue\":\"two\",\"DataPoint\":{\"Id\":" ID "}}]}}");
}

static void flat_journeys_are_registered_as_documented(apr_pool_t *pool)
{
    kohomai_lead_t lead = whole_lead(pool);
    kohomai_request_t request;

    add_datum(&lead, NULL, "123456789", "example");
    kohomai_dialect_write_register(pool, KOHOMAI_API_JOURNEYS_FLAT, &lead, RETURN, &request);
    expect_request(
        &request, "journeys", "/journeys?ref=REF",
        "{\"Email\":\"johndoe@gmail.com\",\"Firstname\":\"John\",\"Lastname\":\"Doe\","
        "\"PhoneNumber\":\"+1 (800) 555-0175\",\"RedirectURL\":\"" RETURN "\","
        "\"JourneyData\":[{\"StringValue\":\"example\",\"DataPoint\":{\"Id\":123456789}}]}");
}

static void workflows_are_registered_as_documented(apr_pool_t *pool)
{
    kohomai_lead_t lead = whole_lead(pool);
    kohomai_request_t request;

    lead.workflow = ID;
    kohomai_dialect_write_register(pool, KOHOMAI_API_WORKFLOWS, &lead, RETURN, &request);
    expect_request(&request, "workflows", "/workflows/" ID "/register",
                   "{\"RedirectURL\":\"" RETURN
                   "\",\"User\":{\"Firstname\":\"John\",\"Lastname\":\"Doe\","
                   "\"UsrContactPrefs\":{\"PersonalEmail\":\"johndoe@gmail.com\"}}}");
}

static void what_is_empty_is_left_out(apr_pool_t *pool)
{
    static const struct {
        kohomai_api_e api;
        const char *path, *body;
    } rows[] = {
        {KOHOMAI_API_LEADS, "/leads", "{\"Email\":\"johndoe@gmail.com\"}"},
        {KOHOMAI_API_JOURNEYS, "/journeys",
         "{\"Journey\":{\"User\":{\"ContactPrefs\":{\"Email\":\"johndoe@gmail.com\"}}}}"},
        {KOHOMAI_API_JOURNEYS_FLAT, "/journeys", "{\"Email\":\"johndoe@gmail.com\"}"},
        {KOHOMAI_API_WORKFLOWS, "/workflows/42/register",
         "{\"User\":{\"UsrContactPrefs\":{\"PersonalEmail\":\"johndoe@gmail.com\"}}}"},
    };
    kohomai_lead_t lead = empty_lead(pool);
    kohomai_request_t request;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_dialect_write_register(pool, rows[i].api, &lead, "", &request);
        expect_text(request.path, rows[i].path, "path");
        expect_text(request.body, rows[i].body, rows[i].path);
    }
}

static void a_generation_without_a_place_for_the_phone_leaves_it_out(apr_pool_t *pool)
{
    kohomai_lead_t lead = whole_lead(pool);
    int api;

    for (api = 0; api < KOHOMAI_APIS; api++) {
        kohomai_request_t request;

        kohomai_dialect_write_register(pool, (kohomai_api_e)api, &lead, "", &request);
        expect(!strstr(request.body, "555-0175") ==
                   !kohomai_dialect_takes_phone((kohomai_api_e)api),
               "%s", request.body);
    }
}

static void hostile_text_comes_back_out_of_a_request_as_it_was(apr_pool_t *pool)
{
    static const char *const texts[] = {
        "\"},\"User\":{\"Id\":1},{\"x\":\"",
        "\\",
        "\\u0000",
        "\"",
        "a\r\n\tb",
        "</script>",
        "\x7f",
        "caf\xc3\xa9 \xf0\x9f\x98\x80",
        "\xe2\x80\xa8",
        "%s%n",
        "'; DROP",
        "null",
        "123",
    };
    apr_size_t i;
    int api;

    for (i = 0; i < ROWS(texts); i++) {
        for (api = 0; api < KOHOMAI_APIS; api++) {
            kohomai_lead_t lead = whole_lead(pool);
            kohomai_request_t request;
            const cJSON *body;
            int twice = 0;

            lead.fields[KOHOMAI_LEAD_FIRSTNAME] = texts[i];
            add_datum(&lead, texts[i], NULL, texts[i]);
            kohomai_dialect_write_register(pool, (kohomai_api_e)api, &lead, texts[i], &request);
            body = kohomai_json_parse(pool, request.body, request.body_len);
            expect_text(cJSON_GetStringValue(kohomai_json_member(body, "RedirectURL", &twice)),
                        texts[i], request.body);
            if (api == KOHOMAI_API_JOURNEYS) {
                body = kohomai_json_member(body, "Journey", &twice);
            }
            if (api == KOHOMAI_API_JOURNEYS || api == KOHOMAI_API_WORKFLOWS) {
                body = kohomai_json_member(body, "User", &twice);
            }
            expect_text(cJSON_GetStringValue(kohomai_json_member(body, "Firstname", &twice)),
                        texts[i], request.body);
            expect(twice == 0 && !strpbrk(request.body, "\r\n\t"), "%s", request.body);
        }
    }
}

static void a_reference_is_url_encoded(apr_pool_t *pool)
{
    static const char *const refs[] = {
        "REF",
        "a b",
        "a+b",
        "a&b=c",
        "a#b",
        "a/b?c",
        "100%",
        "%41",
        "caf\xc3\xa9",
        "a\"b",
        "\\",
        "~",
        "-._",
        "a;b",
        "a'b",
        "<>",
        "\xf0\x9f\x98\x80",
        "=",
        "&ref=x",
    };
    apr_size_t i;

    for (i = 0; i < ROWS(refs); i++) {
        kohomai_lead_t lead = empty_lead(pool);
        kohomai_request_t request;
        kohomai_form_t *query;
        const char *reason = NULL;

        lead.ref = refs[i];
        kohomai_dialect_write_register(pool, KOHOMAI_API_LEADS, &lead, "", &request);
        expect(strncmp(request.path, "/leads?ref=", 11) == 0, "%s", request.path);
        expect(strspn(request.path + 11,
                      "%+-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
                      "UVWXYZ") == strlen(request.path + 11),
               "%s", request.path);
        kohomai_form_read_query(pool, request.path + 7, &query);
        expect_text(kohomai_form_value(query, "ref", &reason), refs[i], request.path);
    }
}

/* ---- answers ---- */

static kohomai_verdict_t read_answer(apr_pool_t *pool, int status, const char *body, apr_size_t len)
{
    kohomai_verdict_t verdict;

    memset(&verdict, 0xee, sizeof(verdict));
    kohomai_dialect_read(pool, status, bare(pool, body, len), len, &verdict);
    expect(verdict.reason && verdict.link && verdict.valid_until && verdict.id, "a NULL for %.100s",
           body);
    return verdict;
}

static kohomai_verdict_t read_text(apr_pool_t *pool, const char *body)
{
    return read_answer(pool, 201, body, strlen(body));
}

static kohomai_says_e says_of(int status)
{
    if (status == 400 || status == 409 || status == 422) {
        return KOHOMAI_SAYS_INVALID;
    }
    if (status == 404) {
        return KOHOMAI_SAYS_GONE;
    }
    if (status == 429) {
        return KOHOMAI_SAYS_BUSY;
    }
    if (status >= 200 && status <= 299) {
        return KOHOMAI_SAYS_LINK;
    }
    return status >= 400 && status <= 499 ? KOHOMAI_SAYS_REFUSED : KOHOMAI_SAYS_SICK;
}

static void every_status_has_its_meaning_whatever_the_body(apr_pool_t *pool)
{
    static const char *const bodies[] = {"{\"ConnectionURL\":\"https://a/\"}", "{", "", "<html>"};
    int status;

    for (status = 100; status <= 599; status++) {
        int good = status >= 200 && status <= 299;
        apr_size_t i;

        for (i = 0; i < (good ? 1 : ROWS(bodies)); i++) {
            kohomai_verdict_t verdict = read_answer(pool, status, bodies[i], strlen(bodies[i]));

            expect(verdict.says == says_of(status), "%d with %s: %d", status, bodies[i],
                   verdict.says);
            expect(good || (*verdict.link == '\0' && *verdict.id == '\0'), "%d: something leaks",
                   status);
        }
        if (good) {
            expect(read_answer(pool, status, "", 0).says == KOHOMAI_SAYS_TAKEN, "%d, empty",
                   status);
            expect(read_answer(pool, status, "{", 1).says == KOHOMAI_SAYS_NONSENSE, "%d, broken",
                   status);
        }
    }
}

static void the_documented_answer_gives_its_link(apr_pool_t *pool)
{
    kohomai_verdict_t verdict = read_text(
        pool,
        "{\"UUID\":\"2bb35288-f2ac-4c68-b7aa-51acd82af485\",\n \"RedirectURL\":\"" RETURN "\",\n"
        " \"ConnectionURL\":\"http://app.kohomai.com/internal/v1/autologin?UUID=2bb35288\",\n"
        " \"ValidUntil\":\"2022-04-07T13:10:01.614Z\",\n"
        " \"changedDate\":\"2022-04-07T13:05:01.620Z\",\n"
        " \"createdDate\":\"2022-04-07T13:04:59.755Z\",\n"
        " \"User\":{\"Firstname\":\"John\",\"Lastname\":\"Doe\",\"Id\":" ID "}}\n");

    expect(verdict.says == KOHOMAI_SAYS_LINK, "says %d", verdict.says);
    expect_text(verdict.link, "http://app.kohomai.com/internal/v1/autologin?UUID=2bb35288", "link");
    expect_text(verdict.valid_until, "2022-04-07T13:10:01.614Z", "valid until");
    expect_text(verdict.reason, "", "reason");
}

static void an_answer_says_link_then_journey_then_user_then_taken(apr_pool_t *pool)
{
    static const struct {
        const char *body;
        kohomai_says_e says;
        const char *what;
        kohomai_id_e kind;
    } rows[] = {
        {"{\"ConnectionURL\":\"L\"}", KOHOMAI_SAYS_LINK, "L", 0},
        {"{\"ConnectionURL\":\"L\",\"Journey\":{\"Id\":1}}", KOHOMAI_SAYS_LINK, "L", 0},
        {"{\"ConnectionURL\":\"L\",\"ValidUntil\":null}", KOHOMAI_SAYS_LINK, "L", 0},
        {"{\"ConnectionURL\":\"L\",\"connectionurl\":\"M\"}", KOHOMAI_SAYS_LINK, "L", 0},
        {"{\"ConnectionURL\":\"L\",\"a\":{\"ConnectionURL\":\"M\"}}", KOHOMAI_SAYS_LINK, "L", 0},
        {"{\"Connection\\u0055RL\":\"\\u004C\"}", KOHOMAI_SAYS_LINK, "L", 0},
        {"\xef\xbb\xbf{\"ConnectionURL\":\"L\"}", KOHOMAI_SAYS_LINK, "L", 0},
        {"{\"User\":{\"Id\":2},\"Journey\":{\"Id\":1}}", KOHOMAI_SAYS_ID, "1", KOHOMAI_ID_JOURNEY},
        {"{\"Journey\":{\"Id\":1}}", KOHOMAI_SAYS_ID, "1", KOHOMAI_ID_JOURNEY},
        {"{\"User\":{\"Id\":2}}", KOHOMAI_SAYS_ID, "2", KOHOMAI_ID_USER},
        {"{\"User\":{\"Id\":2},\"Journey\":{}}", KOHOMAI_SAYS_ID, "2", KOHOMAI_ID_USER},
        {"{\"User\":{\"Id\":2},\"Journey\":null}", KOHOMAI_SAYS_ID, "2", KOHOMAI_ID_USER},
        {"{\"User\":{\"Id\":2},\"Journey\":{\"Id\":null}}", KOHOMAI_SAYS_ID, "2", KOHOMAI_ID_USER},
        {"{\"ConnectionURL\":null,\"User\":{\"Id\":2}}", KOHOMAI_SAYS_ID, "2", KOHOMAI_ID_USER},
        {"{\"ConnectionURL\":\"\",\"User\":{\"Id\":2}}", KOHOMAI_SAYS_ID, "2", KOHOMAI_ID_USER},
        {"{}", KOHOMAI_SAYS_TAKEN, "", 0},
        {"{\"Id\":1}", KOHOMAI_SAYS_TAKEN, "", 0},
        {"{\"user\":{\"Id\":1},\"USER\":{\"Id\":2}}", KOHOMAI_SAYS_TAKEN, "", 0},
        {"{\"User\":{\"id\":1}}", KOHOMAI_SAYS_TAKEN, "", 0},
        {"{\"Journey\":{\"User\":{\"Id\":1}}}", KOHOMAI_SAYS_TAKEN, "", 0},
        {"{\"connectionURL\":\"L\"}", KOHOMAI_SAYS_TAKEN, "", 0},
        {" {\"Status\":\"ok\"} ", KOHOMAI_SAYS_TAKEN, "", 0},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_verdict_t verdict = read_text(pool, rows[i].body);

        expect(verdict.says == rows[i].says, "%s: says %d", rows[i].body, verdict.says);
        expect_text(verdict.link, rows[i].says == KOHOMAI_SAYS_LINK ? rows[i].what : "",
                    rows[i].body);
        expect_text(verdict.reason, "", rows[i].body);
        if (rows[i].says == KOHOMAI_SAYS_ID) {
            expect_text(verdict.id, rows[i].what, rows[i].body);
            expect(verdict.id_kind == rows[i].kind, "%s: kind", rows[i].body);
        }
    }
}

static void an_id_above_2_53_keeps_every_digit_on_its_way_in(apr_pool_t *pool)
{
    apr_size_t i;

    for (i = 0; i < ROWS(ids); i++) {
        const char *number = apr_pstrcat(pool, "{\"User\":{\"Id\":", ids[i], "}}", NULL);
        const char *string = apr_pstrcat(pool, "{\"Journey\":{\"Id\":\"", ids[i], "\"}}", NULL);
        kohomai_verdict_t verdict = read_text(pool, number);

        expect(verdict.says == KOHOMAI_SAYS_ID, "%s", number);
        expect_text(verdict.id, ids[i], number);
        verdict = read_text(pool, string);
        expect(verdict.says == KOHOMAI_SAYS_ID, "%s", string);
        expect_text(verdict.id, ids[i], string);
    }
}

static void an_id_of_another_form_is_nonsense(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "0",
        "-1",
        "-" ID,
        "1.5",
        "1.0",
        ID ".0",
        "1e3",
        "7.4590868830731162e16",
        "1E5",
        "123456789012345678901",
        "\"0\"",
        "\"007\"",
        "\"-1\"",
        "\"+1\"",
        "\" 1\"",
        "\"1 \"",
        "\"1.0\"",
        "\"1e3\"",
        "\"abc\"",
        "\"0x10\"",
        "\"123456789012345678901\"",
        "\"1\\n\"",
        "\"\\uff11\"",
        "true",
        "false",
        "[]",
        "[1]",
        "{}",
        "{\"Id\":1}",
    };
    static const char *const owners[] = {"User", "Journey"};
    apr_size_t i, k;

    for (i = 0; i < ROWS(rows); i++) {
        for (k = 0; k < ROWS(owners); k++) {
            const char *body =
                apr_pstrcat(pool, "{\"", owners[k], "\":{\"Id\":", rows[i], "}}", NULL);
            kohomai_verdict_t verdict = read_text(pool, body);

            expect(verdict.says == KOHOMAI_SAYS_NONSENSE, "%s: says %d", body, verdict.says);
            expect_text(verdict.reason, "answer-id", body);
            expect_text(verdict.id, "", body);
        }
    }
}

static void an_answer_that_contradicts_itself_or_the_documentation_is_nonsense(apr_pool_t *pool)
{
    static const struct {
        const char *body, *reason;
    } rows[] = {
        {"{\"ConnectionURL\":\"L\",\"ConnectionURL\":\"M\"}", "answer-form"},
        {"{\"ConnectionURL\":\"L\",\"ConnectionURL\":\"L\"}", "answer-form"},
        {"{\"ConnectionURL\":null,\"ConnectionURL\":\"L\"}", "answer-form"},
        {"{\"ConnectionURL\":\"L\",\"Connection\\u0055RL\":\"M\"}", "answer-form"},
        {"{\"ConnectionURL\":[\"L\"]}", "answer-form"},
        {"{\"ConnectionURL\":{}}", "answer-form"},
        {"{\"ConnectionURL\":true}", "answer-form"},
        {"{\"ConnectionURL\":\"L\",\"ValidUntil\":[]}", "answer-form"},
        {"{\"ConnectionURL\":\"L\",\"ValidUntil\":\"a\",\"ValidUntil\":\"b\"}", "answer-form"},
        {"{\"User\":{\"Id\":1},\"User\":{\"Id\":2}}", "answer-id"},
        {"{\"User\":{\"Id\":1,\"Id\":2}}", "answer-id"},
        {"{\"User\":{\"Id\":1,\"Id\":1}}", "answer-id"},
        {"{\"User\":1}", "answer-id"},
        {"{\"User\":\"1\"}", "answer-id"},
        {"{\"User\":[{\"Id\":1}]}", "answer-id"},
        {"{\"User\":true}", "answer-id"},
        {"{\"Journey\":{\"Id\":1},\"User\":{\"Id\":-2}}", "answer-id"},
        {"{\"Journey\":{\"Id\":-1},\"User\":{\"Id\":2}}", "answer-id"},
        {"[]", "answer-json"},
        {"[{\"ConnectionURL\":\"L\"}]", "answer-json"},
        {"\"L\"", "answer-json"},
        {"null", "answer-json"},
        {"1", "answer-json"},
        {"true", "answer-json"},
        {" ", "answer-json"},
        {"\r\n", "answer-json"},
        {"\xef\xbb\xbf", "answer-json"},
        {"OK", "answer-json"},
        {"<!DOCTYPE html>", "answer-json"},
        {"{\"ConnectionURL\":\"L\"} trailing", "answer-json"},
        {"{\"ConnectionURL\":\"L\"}{}", "answer-json"},
        {"{\"ConnectionURL\":\"L\"", "answer-json"},
        {"{\"ConnectionURL\":\"L\",}", "answer-json"},
        {"{\"ConnectionURL\":\"L\\u0000\"}", "answer-json"},
        {"{\"ConnectionURL\":\"https://app.kohomai.com/\\uXXXX.evil\"}", "answer-json"},
        {"{\"ConnectionURL\":\"L\n\"}", "answer-json"},
        {"{\"ConnectionURL\":\"\\ud800\"}", "answer-json"},
        {"{\"Name\":\"caf\xe9\",\"ConnectionURL\":\"L\"}", "answer-json"},
        {"{\"User\":{\"Id\":007}}", "answer-json"},
        {"{\"User\":{\"Id\":+1}}", "answer-json"},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        kohomai_verdict_t verdict = read_text(pool, rows[i].body);

        expect(verdict.says == KOHOMAI_SAYS_NONSENSE, "%s: says %d", rows[i].body, verdict.says);
        expect_text(verdict.reason, rows[i].reason, rows[i].body);
        expect_text(verdict.link, "", rows[i].body);
    }
}

static void an_answer_in_another_encoding_is_nonsense(apr_pool_t *pool)
{
    expect(read_answer(pool, 200, "{\0}\0", 4).says == KOHOMAI_SAYS_NONSENSE, "UTF-16LE");
    expect(read_answer(pool, 200, "\xff\xfe{\0}\0", 6).says == KOHOMAI_SAYS_NONSENSE,
           "UTF-16LE, marked");
    expect(read_answer(pool, 200, "\0{\0}", 4).says == KOHOMAI_SAYS_NONSENSE, "UTF-16BE");
    expect(read_answer(pool, 200, "{}\0", 3).says == KOHOMAI_SAYS_NONSENSE, "a NUL behind it");
    expect(read_answer(pool, 200, "\0", 1).says == KOHOMAI_SAYS_NONSENSE, "a NUL alone");
}

static void an_answer_may_nest_32_deep(apr_pool_t *pool)
{
    static const struct {
        apr_size_t depth;
        kohomai_says_e says;
    } rows[] = {{31, KOHOMAI_SAYS_LINK},
                {32, KOHOMAI_SAYS_LINK},
                {33, KOHOMAI_SAYS_NONSENSE},
                {10000, KOHOMAI_SAYS_NONSENSE}};
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *body =
            apr_pstrcat(pool, "{\"x\":", repeated(pool, "[", rows[i].depth - 1),
                        repeated(pool, "]", rows[i].depth - 1), ",\"ConnectionURL\":\"L\"}", NULL);

        expect(read_text(pool, body).says == rows[i].says, "depth %d", (int)rows[i].depth);
    }
}

static void an_answer_of_64_kib_is_read_whole(apr_pool_t *pool)
{
    static const char tail[] = "\",\"ConnectionURL\":\"L\"}";
    const char *filling = repeated(pool, "x", KOHOMAI_ANSWER_MAX - (sizeof(tail) - 1) - 6);
    const char *text = apr_pstrcat(pool, "{\"x\":\"", filling, tail, NULL);
    const char *numbers = apr_pstrcat(pool, "{\"x\":[1", repeated(pool, ",1", 32000),
                                      "],\"ConnectionURL\":\"L\"}", NULL);

    expect(strlen(text) == KOHOMAI_ANSWER_MAX, "the test's own arithmetic");
    expect(read_text(pool, text).says == KOHOMAI_SAYS_LINK, "one long string");
    expect(read_text(pool, numbers).says == KOHOMAI_SAYS_LINK, "32,001 numbers");
}

static void an_answer_cut_anywhere_is_nonsense(apr_pool_t *pool)
{
    static const char body[] =
        "{\"ConnectionURL\":\"https://a/\\u00e9\",\"User\":{\"Id\":" ID "},\"n\":null}";
    apr_size_t len;

    for (len = 1; len < sizeof(body) - 1; len++) {
        expect(read_answer(pool, 200, body, len).says == KOHOMAI_SAYS_NONSENSE, "cut at %d",
               (int)len);
    }
    expect(read_answer(pool, 200, body, len).says == KOHOMAI_SAYS_LINK, "whole");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(every_generation_has_its_documented_name_and_abilities),
        UNIT(a_session_is_asked_for_as_documented),
        UNIT(an_id_above_2_53_keeps_every_digit_on_its_way_out),
        UNIT(leads_are_registered_as_documented),
        UNIT(journeys_are_registered_as_documented),
        UNIT(flat_journeys_are_registered_as_documented),
        UNIT(workflows_are_registered_as_documented),
        UNIT(what_is_empty_is_left_out),
        UNIT(a_generation_without_a_place_for_the_phone_leaves_it_out),
        UNIT(hostile_text_comes_back_out_of_a_request_as_it_was),
        UNIT(a_reference_is_url_encoded),
        UNIT(every_status_has_its_meaning_whatever_the_body),
        UNIT(the_documented_answer_gives_its_link),
        UNIT(an_answer_says_link_then_journey_then_user_then_taken),
        UNIT(an_id_above_2_53_keeps_every_digit_on_its_way_in),
        UNIT(an_id_of_another_form_is_nonsense),
        UNIT(an_answer_that_contradicts_itself_or_the_documentation_is_nonsense),
        UNIT(an_answer_in_another_encoding_is_nonsense),
        UNIT(an_answer_may_nest_32_deep),
        UNIT(an_answer_of_64_kib_is_read_whole),
        UNIT(an_answer_cut_anywhere_is_nonsense),
    };

    return UNIT_MAIN(tests);
}
