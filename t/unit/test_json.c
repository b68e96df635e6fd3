/* test_json: what json.h promises: the grammar alone, numbers as they were spelled, bounds.
 * Threads: one. Memory: each test's pool.
 * Never: needs a server. */
#include "unit.h"

#include "json.h"
#include "text.h"

/* ---- a second reading of RFC 8259, to hold the first one against ---- */

typedef struct {
    const unsigned char *at, *end;
    int depth;
} reader_t;

static int read_value(reader_t *r);

static void read_space(reader_t *r)
{
    while (r->at < r->end && memchr(" \t\r\n", *r->at, 4)) {
        r->at++;
    }
}

static int read_letter(reader_t *r, const char *of)
{
    if (r->at < r->end && *r->at && strchr(of, *r->at)) {
        r->at++;
        return 1;
    }
    return 0;
}

static int read_digits(reader_t *r)
{
    const unsigned char *start = r->at;

    while (read_letter(r, "0123456789")) {
    }
    return r->at > start;
}

static int read_number(reader_t *r)
{
    read_letter(r, "-");
    if (!read_letter(r, "0") && (!read_letter(r, "123456789") || (read_digits(r), 0))) {
        return 0;
    }
    if (read_letter(r, ".") && !read_digits(r)) {
        return 0;
    }
    if (read_letter(r, "eE")) {
        read_letter(r, "+-");
        return read_digits(r);
    }
    return 1;
}

static long read_code(reader_t *r)
{
    long code = 0;
    int i;

    for (i = 0; i < 4; i++) {
        const char *hex = "0123456789abcdef";
        const char *hit;

        if (r->at >= r->end || !*r->at) {
            return -1;
        }
        hit = strchr(hex, *r->at >= 'A' && *r->at <= 'F' ? *r->at + 32 : *r->at);
        if (!hit) {
            return -1;
        }
        code = code * 16 + (hit - hex);
        r->at++;
    }
    return code;
}

static int read_escape(reader_t *r)
{
    long code;

    if (!read_letter(r, "u")) {
        return read_letter(r, "\"\\/bfnrt");
    }
    code = read_code(r);
    if (code < 0xd800 || code > 0xdbff) {
        return code > 0 && (code < 0xdc00 || code > 0xdfff);
    }
    if (!read_letter(r, "\\") || !read_letter(r, "u")) {
        return 0;
    }
    code = read_code(r);
    return code >= 0xdc00 && code <= 0xdfff;
}

static int read_string(reader_t *r)
{
    if (!read_letter(r, "\"")) {
        return 0;
    }
    while (r->at < r->end && *r->at >= 0x20 && *r->at != '"') {
        if (*r->at++ == '\\' && !read_escape(r)) {
            return 0;
        }
    }
    return read_letter(r, "\"");
}

static int read_word(reader_t *r)
{
    static const char *const words[] = {"true", "false", "null"};
    apr_size_t i;

    for (i = 0; i < ROWS(words); i++) {
        apr_size_t len = strlen(words[i]);

        if ((apr_size_t)(r->end - r->at) >= len && memcmp(r->at, words[i], len) == 0) {
            r->at += len;
            return 1;
        }
    }
    return 0;
}

static int read_list(reader_t *r, int is_object)
{
    const char *close = is_object ? "}" : "]";

    r->at++;
    if (++r->depth > KOHOMAI_JSON_DEPTH) {
        return 0;
    }
    read_space(r);
    if (!read_letter(r, close)) {
        do {
            read_space(r);
            if (is_object && (!read_string(r) || (read_space(r), !read_letter(r, ":")))) {
                return 0;
            }
            if (!read_value(r)) {
                return 0;
            }
        } while (read_letter(r, ","));
        if (!read_letter(r, close)) {
            return 0;
        }
    }
    r->depth--;
    return 1;
}

static int read_value(reader_t *r)
{
    int holds;

    read_space(r);
    if (r->at >= r->end) {
        return 0;
    }
    switch (*r->at) {
    case '{':
    case '[':
        holds = read_list(r, *r->at == '{');
        break;
    case '"':
        holds = read_string(r);
        break;
    case 't':
    case 'f':
    case 'n':
        holds = read_word(r);
        break;
    default:
        holds = read_number(r);
    }
    read_space(r);
    return holds;
}

static int grammar_holds(const char *text, apr_size_t len)
{
    reader_t r = {(const unsigned char *)text, (const unsigned char *)text + len, 0};

    if (!kohomai_text_is_utf8(text, len)) {
        return 0;
    }
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        r.at += 3;
    }
    return read_value(&r) && r.at == r.end;
}

/* ---- */

static const cJSON *parse(apr_pool_t *pool, const char *text, apr_size_t len)
{
    return kohomai_json_parse(pool, bare(pool, text, len), len);
}

static const cJSON *parse_text(apr_pool_t *pool, const char *text)
{
    return parse(pool, text, strlen(text));
}

static void expect_refused(apr_pool_t *pool, const char *const *rows, apr_size_t count)
{
    apr_size_t i;

    for (i = 0; i < count; i++) {
        expect(!parse_text(pool, rows[i]), "taken: %s", rows[i]);
        expect(!grammar_holds(rows[i], strlen(rows[i])), "second reading takes: %s", rows[i]);
    }
}

static void json_text_is_taken(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "{}",
        "[]",
        "1",
        "\"\"",
        "true",
        "false",
        "null",
        " \t\r\n{ } \t\r\n",
        "[1,2]",
        "[ 1 , 2 ]",
        "{\"a\":{\"b\":[null,true,false]}}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\xf0\x9f\x98\x80\"",
        "\"\x7f\"",
        "\"\\u001f\"",
        "\"\\\\u0000\"",
        "\"\\u0001\\uFFFF\\uabCD\"",
        "[-0,0,-0.0,1e5,1E+5,1e-5,123.456e789]",
        "[[],{},\"\",0,[[]]]",
        "{\"\":1}",
        "\xef\xbb\xbf{}",
        "{\"a\":1,\"a\":2}",
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        expect(parse_text(pool, rows[i]) != NULL, "refused: %s", rows[i]);
        expect(grammar_holds(rows[i], strlen(rows[i])), "second reading refuses: %s", rows[i]);
    }
}

static void what_is_nearly_json_is_refused(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "",
        " ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "['a']",
        "{1:2}",
        "{1 :2}",
        "{null:1}",
        "{\"a\":1 \"b\":2}",
        "[1 2]",
        "[1\"2\"]",
        "[\"1\"2]",
        "{}{}",
        "{} x",
        "{};",
        "[1]]",
        "nul",
        "nullx",
        "True",
        "NULL",
        "tru e",
        "[truefalse]",
        "undefined",
        "NaN",
        "Infinity",
        "-Infinity",
        "// c\n{}",
        "{}/* c */",
        "\v{}",
        "\f{}",
        "\x1f[]",
        "\"a",
        "\"\\\"",
        "\"\\\\\\\"",
        "{\"a\":1]",
        "[1}",
        "\"a\"\"b\"",
        "{\"a\":\"b\"\"c\"}",
        "\"\t\"",
        "\"\n\"",
        "\"\x01\"",
        "\"\x1f\"",
        "\xef\xbb\xbf",
        "\xef\xbb\xbf\xef\xbb\xbf{}",
        "{}\xef\xbb\xbf",
        "\xc2\xa0{}",
        "{\xc3\xa9:1}",
        "[]]]]][[[[[[",
        "[{]]]]][[[[[[[[[",
        "\"a\":1",
        ":",
        ",",
    };

    expect_refused(pool, rows, ROWS(rows));
}

static void a_number_that_breaks_the_grammar_is_refused(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "01",    "00",         "-01",       "-",  "+1",    ".5",    "1.",   "1.e5",
        "1e",    "1e+",        "1e-",       "1E", "--1",   "1-",    "1+1",  "1.2.3",
        "1e5.5", "1e5e5",      "0x10",      "1a", "1_000", "1,000", "[1.]", "[-]",
        "[1e]",  "{\"a\":01}", "{\"a\":-}", "0e", "-0e",   "- 1",   "1 .5", "\xef\xbc\x91",
    };

    expect_refused(pool, rows, ROWS(rows));
}

static void an_escape_that_breaks_the_grammar_is_refused(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "\"\\x41\"", "\"\\a\"",   "\"\\v\"",    "\"\\0\"",    "\"\\'\"",  "\"\\U0041\"", "\"\\u\"",
        "\"\\u1\"",  "\"\\u12\"", "\"\\u123\"", "\"\\u004\"", "\"\\\n\"", "\"\\\"",
    };

    expect_refused(pool, rows, ROWS(rows));
}

/* A reader that takes these for U+0000 cuts the text there. */
static void four_characters_that_are_no_hex_digits_make_no_code_point(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "\"\\uZZZZ\"",          "\"\\u00zz\"",
        "\"\\u 041\"",          "\"\\u-041\"",
        "\"\\u+041\"",          "\"\\u004g\"",
        "\"a\\u00:0b\"",        "{\"ConnectionURL\":\"https://app.kohomai.com/\\uXXXX.evil\"}",
        "{\"Em\\u____ail\":1}", "\"\\ud83d\\uzzzz\"",
        "\"\\u\\\\\\\\00\"",    "\"\\u000\xc3\xa9\"",
    };

    expect_refused(pool, rows, ROWS(rows));
}

static void a_spelled_nul_is_refused(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "\"\\u0000\"", "\"a\\u0000b\"", "{\"a\\u0000\":1}", "[\"\\\\\\u0000\"]", "\"\\n\\u0000\"",
    };

    expect_refused(pool, rows, ROWS(rows));
}

static void a_lone_surrogate_is_refused(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "\"\\ud83d\"",        "\"\\ude00\"",
        "\"\\ud83dx\"",       "\"\\ud83d\\n\"",
        "\"\\ud83d\\u0041\"", "\"\\ude00\\ud83d\"",
        "\"\\ud83d\\ud83d\"", "\"\\uD800\"",
        "\"\\uDFFF\"",        "\"\xed\xa0\xbd\xed\xb8\x80\"",
    };

    expect_refused(pool, rows, ROWS(rows));
}

static void a_nul_byte_is_refused_wherever_it_stands(apr_pool_t *pool)
{
    static const char text[] = "{\"a\": [1, true]}";
    apr_size_t at;

    for (at = 0; at < sizeof(text); at++) {
        char with[sizeof(text)];

        memcpy(with, text, at);
        with[at] = '\0';
        memcpy(with + at + 1, text + at, sizeof(text) - 1 - at);
        expect(!parse(pool, with, sizeof(text)), "NUL at %d", (int)at);
    }
}

static void other_encodings_are_refused(apr_pool_t *pool)
{
    expect(!parse(pool, "{\0}\0", 4), "UTF-16LE");
    expect(!parse(pool, "\0{\0}", 4), "UTF-16BE");
    expect(!parse(pool, "\xff\xfe{\0}\0", 6), "UTF-16LE with its mark");
    expect(!parse(pool, "\xfe\xff\0{\0}", 6), "UTF-16BE with its mark");
    expect(!parse(pool, "{\0\0\0}\0\0\0", 8), "UTF-32LE");
    expect(!parse_text(pool, "{\"a\":\"caf\xe9\"}"), "Latin-1");
    expect(!parse_text(pool, "{\"caf\xe9\":1}"), "Latin-1 in a name");
    expect(!parse_text(pool, "\"\xc0\x80\""), "an overlong NUL");
    expect(!parse_text(pool, "\"\xc3\""), "half a character");
}

static void a_number_keeps_the_very_characters_of_its_source(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "74590868830731162",
        "9007199254740993",
        "18446744073709551616",
        "99999999999999999999",
        "123456789012345678901234567890",
        "-74590868830731162",
        "0",
        "-0",
        "1.0",
        "1.50",
        "1e3",
        "1E3",
        "1e+03",
        "1e-0",
        "-1.5E-10",
        "0.00",
        "1e400",
        "0e0",
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *text =
            apr_pstrcat(pool, "{\"Id\":", rows[i], ",\"l\":[", rows[i], ", ", rows[i], "]}", NULL);
        int twice = 0;
        const cJSON *tree = parse_text(pool, text);
        const cJSON *id = kohomai_json_member(tree, "Id", &twice);
        const cJSON *list = kohomai_json_member(tree, "l", &twice);
        const cJSON *alone = parse_text(pool, rows[i]);

        expect_text(cJSON_GetStringValue(id), rows[i], rows[i]);
        expect_text(cJSON_GetStringValue(cJSON_GetArrayItem(list, 1)), rows[i], rows[i]);
        expect_text(cJSON_GetStringValue(alone), rows[i], "alone");
    }
}

static void digits_inside_a_string_stay_as_they_are(apr_pool_t *pool)
{
    const cJSON *tree = parse_text(pool, "[\"a 12 \\\" 34 [{5\",\"-1\",\"\\\\\",6]");

    expect_text(cJSON_GetStringValue(cJSON_GetArrayItem(tree, 0)), "a 12 \" 34 [{5", "first");
    expect_text(cJSON_GetStringValue(cJSON_GetArrayItem(tree, 1)), "-1", "second");
    expect_text(cJSON_GetStringValue(cJSON_GetArrayItem(tree, 2)), "\\", "third");
    expect_text(cJSON_GetStringValue(cJSON_GetArrayItem(tree, 3)), "6", "fourth");
}

static void the_densest_run_of_numbers_fits_the_copy(apr_pool_t *pool)
{
    apr_size_t count;

    for (count = 1; count < 300; count++) {
        char *list = repeated(pool, ",1", count);
        const cJSON *tree;

        list[0] = '[';
        tree = parse_text(pool, apr_pstrcat(pool, list, "]", NULL));
        expect(cJSON_GetArraySize(tree) == (int)count, "%d numbers", (int)count);
    }
}

static void escapes_come_out_as_what_they_stand_for(apr_pool_t *pool)
{
    const cJSON *tree = parse_text(
        pool, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00\\u007f\\\\u0000\"");

    expect_text(cJSON_GetStringValue(tree),
                "\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\\u0000", "escapes");
}

static void nesting_is_taken_to_32_and_no_further(apr_pool_t *pool)
{
    static const struct {
        apr_size_t depth;
        int taken;
    } rows[] = {{1, 1}, {31, 1}, {32, 1}, {33, 0}, {1000, 0}, {10000, 0}, {1000000, 0}};
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *arrays = apr_pstrcat(pool, repeated(pool, "[", rows[i].depth),
                                         repeated(pool, "]", rows[i].depth), NULL);
        const char *objects = apr_pstrcat(pool, repeated(pool, "{\"a\":", rows[i].depth), "1",
                                          repeated(pool, "}", rows[i].depth), NULL);
        int depth = (int)rows[i].depth;

        expect(!parse_text(pool, arrays) == !rows[i].taken, "%d arrays", depth);
        expect(!parse_text(pool, objects) == !rows[i].taken, "%d objects", depth);
        expect(!parse(pool, arrays, rows[i].depth), "%d arrays left open", depth);
    }
}

static void depth_counts_what_is_open_and_not_what_was(apr_pool_t *pool)
{
    const char *wide = apr_pstrcat(pool, "[", repeated(pool, "[[]],", 2000), "[]]", NULL);

    expect(parse_text(pool, wide) != NULL, "2,000 side by side");
    expect(!parse_text(pool, apr_pstrcat(pool, "[", repeated(pool, "[]", 2), "]", NULL)), "[[][]]");
}

static void a_member_is_found_by_its_exact_name(apr_pool_t *pool)
{
    const cJSON *tree = parse_text(pool, "{\"a\":\"1\",\"A\":\"2\",\"ab\":\"3\",\"\":\"4\","
                                         "\"c\\u0064\":\"5\",\"n\":null,\"f\":false}");
    static const struct {
        const char *name, *value;
    } rows[] = {{"a", "1"},  {"A", "2"},   {"ab", "3"}, {"", "4"},
                {"cd", "5"}, {"AB", NULL}, {"n", NULL}, {"b", NULL}};
    int twice = 0;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const cJSON *item = kohomai_json_member(tree, rows[i].name, &twice);

        expect_text(cJSON_GetStringValue(item), rows[i].value, rows[i].name);
    }
    expect(kohomai_json_member(tree, "n", &twice) == NULL, "null counts as absent");
    expect(cJSON_IsFalse(kohomai_json_member(tree, "f", &twice)), "false is there");
    expect(twice == 0, "nothing is there twice");
}

static void a_member_that_is_there_twice_is_told(apr_pool_t *pool)
{
    static const struct {
        const char *text;
        int twice;
    } rows[] = {
        {"{\"a\":1,\"a\":1}", 1},         {"{\"a\":1,\"b\":2,\"a\":3}", 1},
        {"{\"a\":null,\"a\":1}", 1},      {"{\"a\":1,\"a\":null}", 1},
        {"{\"a\":1,\"\\u0061\":1}", 1},   {"{\"a\":1,\"A\":1}", 0},
        {"{\"a\":1,\"b\":{\"a\":1}}", 0}, {"{\"b\":1,\"b\":1}", 0},
        {"{\"a\":1,\"a\":1,\"a\":1}", 1},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        int twice = 0;

        kohomai_json_member(parse_text(pool, rows[i].text), "a", &twice);
        expect(twice == rows[i].twice, "%s: %d", rows[i].text, twice);
        twice = 7;
        kohomai_json_member(parse_text(pool, rows[i].text), "none", &twice);
        expect(twice == 7, "%s: left alone", rows[i].text);
    }
}

static void what_is_no_object_has_no_members(apr_pool_t *pool)
{
    static const char *const rows[] = {"[]", "[{\"a\":1}]", "1", "\"a\"", "null", "true", "{"};
    int twice = 0;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        expect(!kohomai_json_member(parse_text(pool, rows[i]), "a", &twice), "%s", rows[i]);
    }
    expect(!kohomai_json_member(NULL, "a", &twice) && !twice, "no tree at all");
}

static const char *const seeds[] = {
    "{\"URL\":\"https://a/\",\"User\":{\"Id\":74590868830731162},\"l\":[1,-2.5e+3,true,null,[],{}]}",
    "[\"\\ud83d\\ude00\\u00e9\\\\\\\"\",{\"\":[0,-0,1e5]},false]",
    " { \"a\" : [ 1 , \"x\" ] , \"\xc3\xa9\" : null } ",
};

static void cut_anywhere_a_text_is_read_as_the_grammar_has_it(apr_pool_t *pool)
{
    apr_size_t i, len;

    for (i = 0; i < ROWS(seeds); i++) {
        for (len = 0; len <= strlen(seeds[i]); len++) {
            expect(!parse(pool, seeds[i], len) == !grammar_holds(seeds[i], len),
                   "seed %d cut at %d", (int)i, (int)len);
        }
    }
}

/* 60,000 texts that are a few changes away from good ones, judged by both readings. */
static void changed_at_random_a_text_is_read_as_the_grammar_has_it(apr_pool_t *pool)
{
    static const char letters[] = "{}[]\":,\\u0dD8cCe19EZg+-. \t\nntfalsr/\x1f\xc3\xa9\xed\xbf\xef";
    apr_uint64_t seed = 20230406;
    int round, taken = 0;

    for (round = 0; round < 60000; round++) {
        const char *from = seeds[(unsigned)round % ROWS(seeds)];
        apr_size_t len = strlen(from);
        apr_pool_t *mine;
        char text[512];
        int ours, theirs;

        memcpy(text, from, len);
        mutate(text, &len, letters, sizeof(letters), &seed);
        apr_pool_create(&mine, pool);
        ours = parse(mine, text, len) != NULL;
        apr_pool_destroy(mine);
        unit_free_pieces(mine);
        theirs = grammar_holds(text, len);
        taken += theirs;
        expect(ours == theirs, "%s: %.*s", ours ? "taken" : "refused", (int)len, text);
    }
    expect(taken > 1000 && taken < 50000, "the changes are too wild or too tame: %d", taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(json_text_is_taken),
        UNIT(what_is_nearly_json_is_refused),
        UNIT(a_number_that_breaks_the_grammar_is_refused),
        UNIT(an_escape_that_breaks_the_grammar_is_refused),
        UNIT(four_characters_that_are_no_hex_digits_make_no_code_point),
        UNIT(a_spelled_nul_is_refused),
        UNIT(a_lone_surrogate_is_refused),
        UNIT(a_nul_byte_is_refused_wherever_it_stands),
        UNIT(other_encodings_are_refused),
        UNIT(a_number_keeps_the_very_characters_of_its_source),
        UNIT(digits_inside_a_string_stay_as_they_are),
        UNIT(the_densest_run_of_numbers_fits_the_copy),
        UNIT(escapes_come_out_as_what_they_stand_for),
        UNIT(nesting_is_taken_to_32_and_no_further),
        UNIT(depth_counts_what_is_open_and_not_what_was),
        UNIT(a_member_is_found_by_its_exact_name),
        UNIT(a_member_that_is_there_twice_is_told),
        UNIT(what_is_no_object_has_no_members),
        UNIT(cut_anywhere_a_text_is_read_as_the_grammar_has_it),
        UNIT(changed_at_random_a_text_is_read_as_the_grammar_has_it),
    };

    return UNIT_MAIN(tests);
}
