/* test_form: what form.h promises of urlencoded, multipart and JSON bodies, queries and cookies.
 * Threads: one. Memory: each test's pool.
 * Never: needs a server. */
#include "unit.h"

#include "form.h"

#define URLENCODED "application/x-www-form-urlencoded"
#define MULTIPART "multipart/form-data; boundary=B"

static const char *read_bytes(apr_pool_t *pool, const char *type, const char *bytes, apr_size_t len,
                              kohomai_form_t **form)
{
    return kohomai_form_read(pool, type, bare(pool, bytes, len), len, form);
}

static const char *read_text(apr_pool_t *pool, const char *type, const char *text,
                             kohomai_form_t **form)
{
    return read_bytes(pool, type, text, strlen(text), form);
}

/* The named value, or the reason why there is none. */
static const char *value_of(const kohomai_form_t *form, const char *name)
{
    const char *reason = NULL, *value = kohomai_form_value(form, name, &reason);

    expect(!reason || *value == '\0', "%s: a reason and a value", name);
    return reason ? reason : value;
}

typedef struct {
    const char *body, *name, *value;
} row_t;

/* Each body is read afresh and must be a good form that holds the value. */
static void expect_values(apr_pool_t *pool, const char *type, const row_t *rows, apr_size_t count)
{
    apr_size_t i;

    for (i = 0; i < count; i++) {
        kohomai_form_t *form;

        expect_text(read_text(pool, type, rows[i].body, &form), NULL, rows[i].body);
        expect_text(value_of(form, rows[i].name), rows[i].value, rows[i].body);
    }
}

/* ---- which bodies are forms ---- */

static void three_content_types_are_forms(apr_pool_t *pool)
{
    static const struct {
        const char *type;
        int is_form;
    } rows[] = {
        {"application/x-www-form-urlencoded", 1},
        {"Application/X-WWW-Form-URLEncoded;charset=UTF-8", 1},
        {" application/x-www-form-urlencoded ; charset=utf-8", 1},
        {"multipart/form-data; boundary=x", 1},
        {"multipart/form-data", 1},
        {"application/json", 1},
        {"APPLICATION/JSON ; charset=utf-8", 1},
        {"multipart/mixed; boundary=x", 0},
        {"application/jsonp", 0},
        {"application/json5", 0},
        {"application/x-www-form-urlencoded2", 0},
        {"text/plain", 0},
        {"text/json", 0},
        {"", 0},
        {";", 0},
        {"; application/json", 0},
        {"x application/json", 0},
        {"application/json, text/plain", 0},
        {NULL, 0},
    };
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        expect(kohomai_form_is_form(rows[i].type) == rows[i].is_form, "%s", rows[i].type);
        if (!rows[i].is_form) {
            expect_text(read_text(pool, rows[i].type, "a=1", &form), "form-type", "reading");
        }
    }
}

/* ---- urlencoded ---- */

static void a_urlencoded_field_is_decoded(apr_pool_t *pool)
{
    static const row_t rows[] = {
        {"a=1", "a", "1"},
        {"a=1&b=2", "b", "2"},
        {"a=1&a=2", "a", "1"},
        {"a=&a=2", "a", ""},
        {"A=1&a=2", "a", "2"},
        {"a", "a", ""},
        {"a&b=2", "b", "2"},
        {"a=b=c", "a", "b=c"},
        {"=1&b=2", "b", "2"},
        {"=&&&b=2&&", "b", "2"},
        {"=1", "", ""},
        {"", "a", ""},
        {"a=x+y", "a", "x y"},
        {"a=x%2By", "a", "x+y"},
        {"a+b=1", "a b", "1"},
        {"%61=%62", "a", "b"},
        {"a=%3D%26", "a", "=&"},
        {"a%3Db=1", "a=b", "1"},
        {"a=%e9%80%81", "a", "\xe9\x80\x81"},
        {"a=%C3%A9", "a", "\xc3\xa9"},
        {"a=\xc3\xa9", "a", "\xc3\xa9"},
        {"pr%C3%A9nom=x", "pr\xc3\xa9nom", "x"},
        {"a=%", "a", "%"},
        {"a=%4", "a", "%4"},
        {"a=%%41", "a", "%A"},
        {"a=%zz", "a", "%zz"},
        {"a=%4g", "a", "%4g"},
        {"a=100%", "a", "100%"},
        {"a=%2541", "a", "%41"},
        {"a=%u0041", "a", "%u0041"},
        {"a;b=1", "a;b", "1"},
        {"a=1;b=2", "a", "1;b=2"},
        {"a=%0D%0A%09", "a", "\r\n\t"},
        {"a= b ", "a", " b "},
        {" a=b", " a", "b"},
        {"a\xff=1&b=2", "b", "2"},
        {"aa=1&a=2&aaa=3", "a", "2"},
    };

    expect_values(pool, URLENCODED, rows, ROWS(rows));
    expect_values(pool, URLENCODED "; charset=UTF-8", rows, ROWS(rows));
}

static void a_value_that_is_no_clean_text_gives_a_reason(apr_pool_t *pool)
{
    static const row_t rows[] = {
        {"a=%00", "a", "form-nul"},
        {"a=x%00y", "a", "form-nul"},
        {"a=%00%ff", "a", "form-nul"},
        {"a=%ff", "a", "form-utf-8"},
        {"a=\xff", "a", "form-utf-8"},
        {"a=%C3", "a", "form-utf-8"},
        {"a=%C3&b=%A9", "a", "form-utf-8"},
        {"a=%C0%80", "a", "form-utf-8"},
        {"a=%ED%A0%80", "a", "form-utf-8"},
        {"a=%F4%90%80%80", "a", "form-utf-8"},
        {"a=%01", "a", "form-control"},
        {"a=%1B[31m", "a", "form-control"},
        {"a=%7F", "a", "form-control"},
        {"a=%C2%85", "a", "form-control"},
        {"a=%0B", "a", "form-control"},
        {"a=%00&a=good", "a", "form-nul"}, /* the first value wins, bad as it is */
        {"b=%00&a=good", "a", "good"},
        {"a%00=1&a=2", "a", "2"}, /* a name with a NUL is another name */
        {"%00a=1", "a", ""},
    };

    expect_values(pool, URLENCODED, rows, ROWS(rows));
}

static void a_bare_nul_byte_in_a_body_is_seen(apr_pool_t *pool)
{
    kohomai_form_t *form;

    expect_text(read_bytes(pool, URLENCODED, "a=x\0y&b=2", 9, &form), NULL, "body");
    expect_text(value_of(form, "a"), "form-nul", "a");
    expect_text(value_of(form, "b"), "2", "b");
}

static void a_reason_is_left_alone_where_the_value_is_good(apr_pool_t *pool)
{
    const char *reason = "before";
    kohomai_form_t *form;

    read_text(pool, URLENCODED, "a=1", &form);
    expect_text(kohomai_form_value(form, "a", &reason), "1", "a");
    expect_text(kohomai_form_value(form, "b", &reason), "", "b");
    expect_text(reason, "before", "reason");
}

static void an_empty_body_is_a_form_without_fields(apr_pool_t *pool)
{
    kohomai_form_t *form;

    expect_text(kohomai_form_read(pool, URLENCODED, "", 0, &form), NULL, "urlencoded");
    expect_text(value_of(form, "a"), "", "a");
    expect_text(kohomai_form_read(pool, MULTIPART, "", 0, &form), "form-multipart", "multipart");
    expect_text(kohomai_form_read(pool, "application/json", "", 0, &form), "form-json", "JSON");
    expect_text(value_of(form, "a"), "", "after a fault");
}

static void every_cut_of_a_urlencoded_body_is_read_within_its_bytes(apr_pool_t *pool)
{
    static const char body[] = "a=%41%&b%=%4&%=%%%&=&&c=%C3%A9+&d";
    static const char *const wanted[] = {"", "", "", "%", "%4", "A", "A%"};
    apr_size_t len;

    for (len = 0; len < sizeof(body); len++) {
        kohomai_form_t *form;

        expect_text(read_bytes(pool, URLENCODED, body, len, &form), NULL, body);
        expect_text(value_of(form, "a"), wanted[len < ROWS(wanted) ? len : ROWS(wanted) - 1], "a");
    }
}

/* ---- bounds ---- */

static void a_thousand_fields_are_taken_and_one_more_is_not(apr_pool_t *pool)
{
    const char *part = "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
    static const struct {
        apr_size_t count;
        const char *reason;
    } rows[] = {{999, NULL}, {1000, NULL}, {1001, "form-fields"}, {5000, "form-fields"}};
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *pairs = repeated(pool, "a=1&", rows[i].count);
        const char *cookies = repeated(pool, "a=1; ", rows[i].count);
        char *members = repeated(pool, ",\"a\":1", rows[i].count);
        const char *parts = apr_pstrcat(pool, repeated(pool, part, rows[i].count), "--B--", NULL);

        members[0] = '{';
        members = apr_pstrcat(pool, members, "}", NULL);
        expect_text(read_text(pool, URLENCODED, pairs, &form), rows[i].reason, "urlencoded");
        expect_text(kohomai_form_read_query(pool, pairs, &form), rows[i].reason, "query");
        expect_text(kohomai_form_read_cookies(pool, cookies, &form), rows[i].reason, "cookies");
        expect_text(read_text(pool, "application/json", members, &form), rows[i].reason, "JSON");
        expect_text(read_text(pool, MULTIPART, parts, &form), rows[i].reason, "multipart");
    }
}

static void empty_pairs_and_files_do_not_count_as_fields(apr_pool_t *pool)
{
    const char *file = "--B\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\n1\r\n";
    const char *body = apr_pstrcat(pool, repeated(pool, file, 2000), "--B--\r\n", NULL);
    kohomai_form_t *form;

    expect_text(read_text(pool, MULTIPART, body, &form), NULL, "2,000 files");
    expect_text(value_of(form, "f"), "", "f");
    body = apr_pstrcat(pool, repeated(pool, "&", 100000), "a=1", NULL);
    expect_text(read_text(pool, URLENCODED, body, &form), NULL, "100,000 ampersands");
    expect_text(value_of(form, "a"), "1", "a");
}

static void a_long_value_comes_through_whole(apr_pool_t *pool)
{
    const char *value = repeated(pool, "0123456789abcde\n", 512 * 1024);
    const char *pairs = apr_pstrcat(pool, "a=", value, "&b=2", NULL);
    const char *parts = apr_pstrcat(pool, "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n",
                                    value, "\r\n--B--\r\n", NULL);
    kohomai_form_t *form;

    expect_text(read_text(pool, URLENCODED, pairs, &form), NULL, "8 MiB urlencoded");
    expect(same(value_of(form, "a"), value), "urlencoded value");
    expect_text(value_of(form, "b"), "2", "b");
    expect_text(read_text(pool, MULTIPART, parts, &form), NULL, "8 MiB multipart");
    expect(same(value_of(form, "a"), value), "multipart value");
}

/* ---- charsets ---- */

static void a_declared_latin_form_is_converted(apr_pool_t *pool)
{
    static const struct {
        const char *type, *body, *value;
    } rows[] = {
        {URLENCODED "; charset=ISO-8859-1", "a=caf%E9", "caf\xc3\xa9"},
        {URLENCODED ";charset=\"iso-8859-1\"", "a=caf\xe9", "caf\xc3\xa9"},
        {URLENCODED "; Charset=Windows-1252", "a=%80%85%99",
         "\xe2\x82\xac\xe2\x80\xa6\xe2\x84\xa2"},
        {URLENCODED "; charset=windows-1252", "a=%9F%FF", "\xc5\xb8\xc3\xbf"},
        {URLENCODED "; charset=ISO-8859-1", "a=%80", "\xe2\x82\xac"}, /* as HTML reads the label */
        {URLENCODED "; charset=US-ASCII", "a=plain", "plain"},
        {URLENCODED "; charset=iso-8859-1", "a=%C3%A9", "\xc3\x83\xc2\xa9"},
        {URLENCODED "; charset=iso-8859-1", "a=%00", "form-nul"},
        {URLENCODED "; charset=iso-8859-1", "a=%01", "form-control"},
        {URLENCODED "; charset=iso-8859-1", "a=", ""},
        {URLENCODED "; charset=utf-8", "a=%E9", "form-utf-8"},
        {URLENCODED "; charset=UTF8", "a=%C3%A9", "\xc3\xa9"},
        {URLENCODED "; charset=", "a=%C3%A9", "\xc3\xa9"},
        {URLENCODED "; x; charset=iso-8859-1", "a=%E9", "\xc3\xa9"},
        {URLENCODED "; x=\"; charset=utf-16\"; charset=iso-8859-1", "a=%E9", "\xc3\xa9"},
        {URLENCODED "; charset=iso-8859-1; charset=utf-8", "a=%E9", "\xc3\xa9"},
    };
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        expect_text(read_text(pool, rows[i].type, rows[i].body, &form), NULL, rows[i].type);
        expect_text(value_of(form, "a"), rows[i].value, rows[i].type);
    }
}

static void every_byte_of_windows_1252_that_means_something_is_converted(apr_pool_t *pool)
{
    static const unsigned short high[32] = {
        0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
        0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178,
    };
    int c;

    for (c = 0x20; c < 0x100; c++) {
        unsigned long code = c >= 0x80 && c < 0xa0 ? high[c - 0x80] : (unsigned long)c;
        const char *body = apr_psprintf(pool, "a=%%%02X", (unsigned)c);
        char wanted[5] = "";
        kohomai_form_t *form;

        if (code == 0 || c == 0x7f) {
            continue;
        }
        wanted[spell(wanted, code)] = '\0';
        expect_text(read_text(pool, URLENCODED "; charset=windows-1252", body, &form), NULL, body);
        expect_text(value_of(form, "a"), wanted, body);
    }
}

static void the_names_of_a_latin_form_are_converted_too(apr_pool_t *pool)
{
    kohomai_form_t *form;

    expect_text(read_text(pool, URLENCODED "; charset=iso-8859-1", "pr%E9nom=Ren%E9", &form), NULL,
                "body");
    expect_text(value_of(form, "pr\xc3\xa9nom"), "Ren\xc3\xa9", "prenom");
}

/* Five bytes of Windows-1252 stand for nothing; HTML reads them as C1 control characters. */
static void a_byte_that_windows_1252_leaves_open_never_comes_through(apr_pool_t *pool)
{
    static const char *const rows[] = {"a=%81", "a=%8D", "a=x%8Fy", "a=%90", "a=%9D"};
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *reason = read_text(pool, URLENCODED "; charset=windows-1252", rows[i], &form);

        expect_text(reason ? reason : value_of(form, "a"), reason ? "form-charset" : "form-control",
                    rows[i]);
        expect(reason == NULL || *value_of(form, "a") == '\0', "%s: a value comes through",
               rows[i]);
    }
}

static void an_unknown_charset_is_refused(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "utf-16",
        "utf-7",
        "iso-8859-15",
        "shift_jis",
        "x",
        "utf-8x",
        "iso-8859-1//TRANSLIT",
        "windows-12520",
        "\"utf-16\"",
        "UTF-32",
        "'utf-8'",
    };
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *pairs = apr_pstrcat(pool, URLENCODED "; charset=", rows[i], NULL);
        const char *parts = apr_pstrcat(pool, MULTIPART "; charset=", rows[i], NULL);

        expect_text(read_text(pool, pairs, "a=1", &form), "form-charset", pairs);
        expect_text(read_text(pool, parts, "--B--", &form), "form-charset", parts);
    }
}

/* ---- multipart ---- */

#define PART(name) "Content-Disposition: form-data; name=" name "\r\n\r\n"

static void a_multipart_field_is_found(apr_pool_t *pool)
{
    static const row_t rows[] = {
        {"--B\r\n" PART("a") "1\r\n--B--\r\n", "a", "1"},
        {"--B\r\n" PART("\"a\"") "1\r\n--B--", "a", "1"},
        {"--B\r\n" PART("a") "1\r\n--B\r\n" PART("b") "2\r\n--B--\r\n", "b", "2"},
        {"--B\r\n" PART("a") "1\r\n--B\r\n" PART("a") "2\r\n--B--\r\n", "a", "1"},
        {"--B\r\n" PART("a") "\r\n--B--\r\n", "a", ""},
        {"--B\r\n" PART("a") "x\r\ny\r\n\r\n--B--\r\n", "a", "x\r\ny\r\n"},
        {"--B\r\n" PART("a") "\r\n\r\n--B--\r\n", "a", "\r\n"},
        {"--B\r\n" PART("a") "%41+\r\n--B--\r\n", "a", "%41+"},
        {"preamble\r\n--B\r\n" PART("a") "1\r\n--B--\r\n", "a", "1"},
        {"\r\n--B\r\n" PART("a") "1\r\n--B--\r\n", "a", "1"},
        {"x--B\r\ny\r\n--B\r\n" PART("a") "1\r\n--B--\r\n", "a", "1"},
        {"--B\r\n" PART("a") "1\r\n--B--\r\nepilogue\r\n--B\r\n" PART("b") "2\r\n--B--", "b", ""},
        {"--B \t\r\n" PART("a") "1\r\n--B\t \r\n" PART("b") "2\r\n--B--\r\n", "b", "2"},
        {"--B\r\n" PART("a") "x--B\r\n--\r\n-B\r\n--b\r\n--B--\r\n", "a",
         "x--B\r\n--\r\n-B\r\n--b"},
        {"--B\r\n" PART("a") "\r\r\n-\r\n-\r\n--B--\r\n", "a", "\r\r\n-\r\n-"},
        {"--B\r\nX: y\r\ncontent-disposition:FORM-DATA;NAME=\"a\"\r\nZ:\r\n\r\n1\r\n--B--", "a",
         "1"},
        {"--B\r\n" PART("\"a b;c=d\"") "1\r\n--B--", "a b;c=d", "1"},
        {"--B\r\n" PART("\"a\\b\"") "1\r\n--B--", "a\\b", "1"},
        {"--B\r\n" PART("\"a%22b\"") "1\r\n--B--", "a%22b", "1"},
        {"--B\r\n" PART(" \"a\" ; x=y") "1\r\n--B--", "a", "1"},
        {"--B\r\nContent-Disposition: form-data; x; y=\";\"; name=a\r\n\r\n1\r\n--B--", "a", "1"},
        {"--B\r\n\r\nno header\r\n--B\r\n" PART("a") "1\r\n--B--", "a", "1"},
        {"--B\r\nX: y\r\n\r\nno name\r\n--B\r\n" PART("a") "1\r\n--B--", "a", "1"},
        {"--B\r\n" PART("\"\"") "1\r\n--B--", "", ""},
        {"--B--\r\n", "a", ""},
        {"--B\r\n" PART("\"pr\xc3\xa9nom\"") "Ren\xc3\xa9\r\n--B--", "pr\xc3\xa9nom",
         "Ren\xc3\xa9"},
        {"--B\r\n" PART("a") "\xff\r\n--B--", "a", "form-utf-8"},
        {"--B\r\n" PART("a") "\x1b\r\n--B--", "a", "form-control"},
    };

    expect_values(pool, MULTIPART, rows, ROWS(rows));
}

static void a_file_is_no_field(apr_pool_t *pool)
{
    static const row_t rows[] = {
        {"--B\r\n" PART("a; filename=x") "1\r\n--B--", "a", ""},
        {"--B\r\n" PART("\"a\"; filename=\"\"") "1\r\n--B--", "a", ""},
        {"--B\r\n" PART("a; FileName*=UTF-8''x") "1\r\n--B--", "a", ""},
        {"--B\r\nContent-Disposition: form-data; filename=\"x;y\"; name=a\r\n\r\n1\r\n--B--", "a",
         ""},
        {"--B\r\n" PART("a; filename=x") "1\r\n--B\r\n" PART("a") "2\r\n--B--", "a", "2"},
        {"--B\r\n" PART("\"a; filename=x\"") "1\r\n--B--", "a; filename=x", "1"},
    };

    expect_values(pool, MULTIPART, rows, ROWS(rows));
}

static void a_multipart_body_out_of_form_is_refused(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "",
        "--",
        "--B",
        "--B-",
        "--B\r",
        "--B\r\n",
        "--C--",
        "a=1",
        "--B\n",
        "\n--B--",
        "--B\r\n" PART("a") "1",
        "--B\r\n" PART("a") "1\r\n",
        "--B\r\n" PART("a") "1\r\n--B",
        "--B\r\n" PART("a") "1\r\n--B\r\n",
        "--B\r\n" PART("a") "1\n--B--\n",
        "--B\nContent-Disposition: form-data; name=a\n\n1\n--B--\n",
        "--B\r\nContent-Disposition: form-data; name=a\n\r\n1\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=a\r\n\n1\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=a\r\n1\r\n--B--",
        "--B\r\n" PART("a") "1\r\n--B \r \r\n" PART("b") "2\r\n--B--",
        /* the boundary as the prefix of a line may not stand in a part (RFC 2046, section 5.1.1) */
        "--B\r\n" PART("a") "x\r\n--Bother\r\ny\r\n--B--",
        "--Bother\r\n--B\r\n" PART("a") "1\r\n--B--",
    };
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        expect_text(read_text(pool, MULTIPART, rows[i], &form), "form-multipart", rows[i]);
    }
}

static void a_boundary_has_1_to_70_characters_quoted_or_not(apr_pool_t *pool)
{
    const char *fits = repeated(pool, "b", 70), *over = repeated(pool, "b", 71);
    const struct {
        const char *parameter, *boundary, *reason;
    } rows[] = {
        {"; boundary=B", "B", NULL},
        {";boundary=\"B\"", "B", NULL},
        {"; BOUNDARY = B ", "B", NULL},
        {"; charset=utf-8; boundary=B", "B", NULL},
        {"; boundary=B; charset=utf-8", "B", NULL},
        {"; boundary=\"a;b= c\"", "a;b= c", NULL},
        {"; boundary=a=b", "a=b", NULL},
        {"; x=\"; boundary=A\"; boundary=B", "B", NULL},
        {"; boundary=----WebKitFormBoundary7MA4YWxk", "----WebKitFormBoundary7MA4YWxk", NULL},
        {"; boundary='()+_,-./:=?", "'()+_,-./:=?", NULL},
        {apr_pstrcat(pool, "; boundary=", fits, NULL), fits, NULL},
        {apr_pstrcat(pool, "; boundary=\"", fits, "\"", NULL), fits, NULL},
        {apr_pstrcat(pool, "; boundary=", over, NULL), over, "form-multipart"},
        {apr_pstrcat(pool, "; boundary=\"", over, "\"", NULL), over, "form-multipart"},
        {"; boundary=", "", "form-multipart"},
        {"; boundary=\"\"", "", "form-multipart"},
        {"; boundary", "", "form-multipart"},
        {"", "", "form-multipart"},
        {"; boundary=B", "b", "form-multipart"},
        {"; aboundary=B", "B", "form-multipart"},
    };
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *type = apr_pstrcat(pool, "multipart/form-data", rows[i].parameter, NULL);
        const char *body = apr_pstrcat(pool, "--", rows[i].boundary, "\r\n" PART("a") "1\r\n--",
                                       rows[i].boundary, "--\r\n", NULL);

        expect_text(read_text(pool, type, body, &form), rows[i].reason, type);
        expect_text(value_of(form, "a"), rows[i].reason ? "" : "1", type);
    }
}

/* The header of one part, its blank line included, padded to size bytes. */
static const char *padded_part(apr_pool_t *pool, apr_size_t size)
{
    static const char head[] = "Content-Disposition: form-data; name=a\r\nX: ";
    const char *padding = repeated(pool, "x", size - (sizeof(head) - 1) - 4);

    return apr_pstrcat(pool, "--B\r\n", head, padding, "\r\n\r\n1\r\n--B--\r\n", NULL);
}

static void a_part_header_of_8192_bytes_is_taken_and_a_longer_one_is_not(apr_pool_t *pool)
{
    kohomai_form_t *form;
    apr_size_t size;

    for (size = KOHOMAI_FORM_PART_HEADER_MAX - 4; size <= KOHOMAI_FORM_PART_HEADER_MAX + 4;
         size++) {
        int fits = size <= KOHOMAI_FORM_PART_HEADER_MAX;
        const char *told = apr_psprintf(pool, "%d bytes", (int)size);

        expect_text(read_text(pool, MULTIPART, padded_part(pool, size), &form),
                    fits ? NULL : "form-multipart", told);
        expect_text(value_of(form, "a"), fits ? "1" : "", told);
    }
}

static void a_part_may_declare_its_own_charset(apr_pool_t *pool)
{
#define TYPED(charset) "--B\r\nContent-Type: text/plain; charset=" charset "\r\n" PART("a")
    static const row_t rows[] = {
        {TYPED("iso-8859-1") "\xe9\r\n--B--", "a", "\xc3\xa9"},
        {TYPED("\"windows-1252\"") "\x80\r\n--B--", "a", "\xe2\x82\xac"},
        {TYPED("utf-8") "\xc3\xa9\r\n--B--", "a", "\xc3\xa9"},
        {TYPED("utf-8") "\xe9\r\n--B--", "a", "form-utf-8"},
        {TYPED("iso-8859-1") "\xe9\r\n--B\r\n" PART("b") "\xe9\r\n--B--", "b", "form-utf-8"},
        {"--B\r\nContent-Type: text/plain\r\n" PART("a") "\xc3\xa9\r\n--B--", "a", "\xc3\xa9"},
        {"--B\r\nContent-Type: x; charset=utf-16\r\n" PART("f; filename=x") "1\r\n--B\r\n" PART(
             "a") "1\r\n--B--",
         "a", "1"},
    };
    kohomai_form_t *form;
    const char *latin = MULTIPART "; charset=iso-8859-1";

    expect_values(pool, MULTIPART, rows, ROWS(rows));
    expect_text(read_text(pool, latin, "--B\r\n" PART("a") "\xe9\r\n--B--", &form), NULL, latin);
    expect_text(value_of(form, "a"), "\xc3\xa9", "declared for the whole form");
    expect_text(read_text(pool, latin, TYPED("utf-8") "\xc3\xa9\r\n--B--", &form), NULL, latin);
    expect_text(value_of(form, "a"), "\xc3\xa9", "the part's own wins");
    expect_text(read_text(pool, MULTIPART, TYPED("utf-16") "1\r\n--B--", &form), "form-charset",
                "utf-16");
}

static void a_multipart_body_cut_anywhere_is_refused_up_to_its_closing_delimiter(apr_pool_t *pool)
{
    static const char body[] =
        "pre\r\n--B\r\n" PART("\"a\"") "1\r\n--\r\n--B \r\nContent-Type: text/plain; charset=latin1"
                                       "\r\n" PART("b; x=\"y\"") "\xe9\r\n--B\r\n" PART(
                                           "f; filename=g") "\r\n--B--\r\nepilogue";
    apr_size_t whole = (apr_size_t)(strstr(body, "--B--") - body) + 5, len;

    for (len = 0; len < sizeof(body); len++) {
        kohomai_form_t *form;
        const char *told = apr_psprintf(pool, "cut at %d", (int)len);

        expect_text(read_bytes(pool, MULTIPART, body, len, &form),
                    len < whole ? "form-multipart" : NULL, told);
        value_of(form, "a");
        value_of(form, "b");
    }
}

static void changed_at_random_a_multipart_body_is_read_within_its_bytes(apr_pool_t *pool)
{
    static const char letters[] = "\r\n-B;=\":/ af\t\\\xe9\0%";
    static const char body[] = "--B\r\n" PART(
        "\"a\"") "1\r\n--B\r\nContent-Type: x; charset=latin1\r\n" PART("b") "2\r\n--B--\r\n";
    apr_uint64_t seed = 2046;
    int round, taken = 0;

    for (round = 0; round < 30000; round++) {
        apr_size_t len = sizeof(body) - 1;
        char text[sizeof(body) + 8];
        kohomai_form_t *form;
        apr_pool_t *mine;

        memcpy(text, body, len);
        mutate(text, &len, letters, sizeof(letters), &seed);
        apr_pool_create(&mine, pool);
        taken += read_bytes(mine, MULTIPART, text, len, &form) == NULL;
        expect(strlen(value_of(form, "a")) <= len, "round %d", round);
        apr_pool_destroy(mine);
        unit_free_pieces(mine);
    }
    expect(taken > 100 && taken < 29000, "the changes are too wild or too tame: %d", taken);
}

/* ---- JSON ---- */

static void a_json_member_is_a_field(apr_pool_t *pool)
{
    static const row_t rows[] = {
        {"{\"a\":\"1\"}", "a", "1"},
        {"{\"a\":74590868830731162}", "a", "74590868830731162"},
        {"{\"a\":-1.50e+3}", "a", "-1.50e+3"},
        {"{\"a\":true,\"b\":false}", "a", "true"},
        {"{\"a\":true,\"b\":false}", "b", "false"},
        {"{\"a\":null}", "a", ""},
        {"{\"a\":\"1\",\"a\":\"2\"}", "a", "1"},
        {"{\"a\":{\"b\":\"1\"}}", "b", ""},
        {"{\"a\":{\"b\":\"1\"}}", "a", ""},
        {"{\"a\":[\"1\"]}", "a", ""},
        {"{\"b\":{\"a\":\"1\"},\"a\":\"2\"}", "a", "2"},
        {"{\"A\":\"1\",\"a\":\"2\"}", "a", "2"},
        {"{\"a\":\"x+%41\"}", "a", "x+%41"},
        {"{\"a\":\"\\u00e9\\ud83d\\ude00\"}", "a", "\xc3\xa9\xf0\x9f\x98\x80"},
        {"{\"\\u0061\":\"1\"}", "a", "1"},
        {"{\"\":\"1\",\"a\":\"2\"}", "a", "2"},
        {"{\"a\":\"\\r\\n\\t\"}", "a", "\r\n\t"},
        {"{\"a\":\"\\u0001\"}", "a", "form-control"},
        {"{\"a\":\"\\u0085\"}", "a", "form-control"},
        {"\xef\xbb\xbf{\"a\":\"1\"}", "a", "1"},
        {"{}", "a", ""},
    };

    expect_values(pool, "application/json", rows, ROWS(rows));
    expect_values(pool, "application/json; charset=iso-8859-1", rows, ROWS(rows));
}

static void a_nested_value_is_no_field_even_where_its_name_comes_first(apr_pool_t *pool)
{
    static const row_t rows[] = {
        {"{\"a\":{},\"a\":\"2\"}", "a", "2"},
        {"{\"a\":[],\"a\":\"2\"}", "a", "2"},
    };

    expect_values(pool, "application/json", rows, ROWS(rows));
}

static void a_json_body_that_is_no_object_is_refused(apr_pool_t *pool)
{
    static const char *const rows[] = {
        "",
        "[]",
        "[{\"a\":1}]",
        "1",
        "\"a\"",
        "null",
        "true",
        "{",
        "{\"a\":1",
        "{\"a\":1}x",
        "a=1",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\uZZZZ\"}",
        "{\"a\":\"\xe9\"}",
        "{'a':1}",
    };
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        expect_text(read_text(pool, "application/json", rows[i], &form), "form-json", rows[i]);
    }
}

static void a_json_body_of_256_kib_is_taken_and_of_one_byte_more_is_not(apr_pool_t *pool)
{
    const char *value = repeated(pool, "x", KOHOMAI_FORM_JSON_MAX - 8);
    const char *fits = apr_pstrcat(pool, "{\"a\":\"", value, "\"}", NULL);
    kohomai_form_t *form;

    expect(strlen(fits) == KOHOMAI_FORM_JSON_MAX, "the test's own arithmetic");
    expect_text(read_text(pool, "application/json", fits, &form), NULL, "256 KiB");
    expect(same(value_of(form, "a"), value), "256 KiB value");
    fits = apr_pstrcat(pool, fits, " ", NULL);
    expect_text(read_text(pool, "application/json", fits, &form), "form-size", "one more");
}

/* ---- queries and cookies ---- */

static void a_query_is_read_like_a_urlencoded_body(apr_pool_t *pool)
{
    static const row_t rows[] = {
        {"a=x+y%C3%A9", "a", "x y\xc3\xa9"},
        {"a=1&a=2", "a", "1"},
        {"a", "a", ""},
        {"", "a", ""},
        {NULL, "a", ""},
        {"a=%00", "a", "form-nul"},
        {"%61=1", "a", "1"},
        {"a=1;b=2", "b", ""},
    };
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *told = rows[i].body ? rows[i].body : "(none)";

        expect_text(kohomai_form_read_query(pool, rows[i].body, &form), NULL, told);
        expect_text(value_of(form, rows[i].name), rows[i].value, told);
    }
}

static void a_cookie_is_found(apr_pool_t *pool)
{
    static const row_t rows[] = {
        {"a=1", "a", "1"},
        {"a=1; b=2", "b", "2"},
        {"a=1;b=2", "b", "2"},
        {" a = 1 ; b", "a", "1"},
        {"a=1; a=2", "a", "1"},
        {"a=x+y", "a", "x+y"},
        {"a=x%20y", "a", "x y"},
        {"a=%", "a", "%"},
        {"a=b=c==", "a", "b=c=="},
        {"a=\"x y\"", "a", "x y"},
        {"a=\"", "a", "\""},
        {"a=\"\"", "a", ""},
        {"a=\"x", "a", "\"x"},
        {"a", "a", ""},
        {"=1; a=2", "a", "2"},
        {";;; a=2;", "a", "2"},
        {"A=1; a=2", "a", "2"},
        {"a=1&b=2", "a", "1&b=2"},
        {"a=1, b=2", "b", ""},
        {"a=%00", "a", "form-nul"},
        {"a=%FF", "a", "form-utf-8"},
        {"a=\xff", "a", "form-utf-8"},
        {"a=%1B", "a", "form-control"},
        {"__Host-id=1", "__Host-id", "1"},
        {"", "a", ""},
        {NULL, "a", ""},
    };
    kohomai_form_t *form;
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *told = rows[i].body ? rows[i].body : "(none)";

        expect_text(kohomai_form_read_cookies(pool, rows[i].body, &form), NULL, told);
        expect_text(value_of(form, rows[i].name), rows[i].value, told);
    }
}

/* Browsers keep a neighbouring host from setting __Host- cookies by their spelling alone; a name
 * that only decodes to it must stay another name. */
static void the_name_of_a_cookie_is_never_decoded(apr_pool_t *pool)
{
    kohomai_form_t *form;

    kohomai_form_read_cookies(pool, "__%48ost-id=evil; __Host-id=good; %61=1", &form);
    expect_text(value_of(form, "__Host-id"), "good", "__Host-id");
    expect_text(value_of(form, "a"), "", "a");
    expect_text(value_of(form, "%61"), "1", "%61");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(three_content_types_are_forms),
        UNIT(a_urlencoded_field_is_decoded),
        UNIT(a_value_that_is_no_clean_text_gives_a_reason),
        UNIT(a_bare_nul_byte_in_a_body_is_seen),
        UNIT(a_reason_is_left_alone_where_the_value_is_good),
        UNIT(an_empty_body_is_a_form_without_fields),
        UNIT(every_cut_of_a_urlencoded_body_is_read_within_its_bytes),
        UNIT(a_thousand_fields_are_taken_and_one_more_is_not),
        UNIT(empty_pairs_and_files_do_not_count_as_fields),
        UNIT(a_long_value_comes_through_whole),
        UNIT(a_declared_latin_form_is_converted),
        UNIT(every_byte_of_windows_1252_that_means_something_is_converted),
        UNIT(the_names_of_a_latin_form_are_converted_too),
        UNIT(a_byte_that_windows_1252_leaves_open_never_comes_through),
        UNIT(an_unknown_charset_is_refused),
        UNIT(a_multipart_field_is_found),
        UNIT(a_file_is_no_field),
        UNIT(a_multipart_body_out_of_form_is_refused),
        UNIT(a_boundary_has_1_to_70_characters_quoted_or_not),
        UNIT(a_part_header_of_8192_bytes_is_taken_and_a_longer_one_is_not),
        UNIT(a_part_may_declare_its_own_charset),
        UNIT(a_multipart_body_cut_anywhere_is_refused_up_to_its_closing_delimiter),
        UNIT(changed_at_random_a_multipart_body_is_read_within_its_bytes),
        UNIT(a_json_member_is_a_field),
        UNIT(a_nested_value_is_no_field_even_where_its_name_comes_first),
        UNIT(a_json_body_that_is_no_object_is_refused),
        UNIT(a_json_body_of_256_kib_is_taken_and_of_one_byte_more_is_not),
        UNIT(a_query_is_read_like_a_urlencoded_body),
        UNIT(a_cookie_is_found),
        UNIT(the_name_of_a_cookie_is_never_decoded),
    };

    return UNIT_MAIN(tests);
}
