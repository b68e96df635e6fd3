/* test_text: what text.h promises of ids, UTF-8, control characters, email addresses, hex digits.
 * Threads: one. Memory: each test's pool.
 * Never: needs a server. */
#include "unit.h"

#include "text.h"

static void an_id_is_1_to_20_digits_without_a_leading_zero(apr_pool_t *pool)
{
    static const struct {
        const char *text;
        int is_id;
    } rows[] = {
        {"1", 1},
        {"9", 1},
        {"74590868830731162", 1},
        {"9007199254740993", 1},
        {"12345678901234567890", 1},
        {"99999999999999999999", 1},
        {"123456789012345678901", 0},
        {"", 0},
        {"0", 0},
        {"00", 0},
        {"01", 0},
        {"-1", 0},
        {"+1", 0},
        {" 1", 0},
        {"1 ", 0},
        {"1\n", 0},
        {"1.0", 0},
        {"1e3", 0},
        {"0x1", 0},
        {"1a", 0},
        {"1,2", 0},
        {"\xd9\xa1", 0},     /* an Arabic-Indic digit */
        {"\xef\xbc\x91", 0}, /* a full-width digit */
    };
    apr_size_t i;

    (void)pool;
    for (i = 0; i < ROWS(rows); i++) {
        expect(kohomai_text_is_id(rows[i].text) == rows[i].is_id, "%s", rows[i].text);
    }
}

static void an_id_of_every_length_up_to_20_is_taken_and_longer_ones_are_not(apr_pool_t *pool)
{
    apr_size_t len;

    for (len = 1; len <= 40; len++) {
        const char *id = repeated(pool, "7", len);

        expect(kohomai_text_is_id(id) == (len <= 20), "%" APR_SIZE_T_FMT " digits", len);
    }
}

static void every_code_point_but_the_surrogates_is_utf8(apr_pool_t *pool)
{
    unsigned long code;
    char s[4];

    (void)pool;
    for (code = 0; code <= 0x10ffff; code++) {
        apr_size_t len = spell(s, code);
        int whole = code < 0xd800 || code > 0xdfff;

        expect(kohomai_text_is_utf8(s, len) == whole, "U+%04lX", code);
        expect(len == 1 || !kohomai_text_is_utf8(s, len - 1), "U+%04lX cut short", code);
        expect(len == 1 || !kohomai_text_is_utf8(s + 1, len - 1), "U+%04lX beheaded", code);
    }
}

static void what_lies_beyond_the_last_code_point_is_not_utf8(apr_pool_t *pool)
{
    unsigned long code;
    char s[4];

    (void)pool;
    for (code = 0x110000; code <= 0x1fffff; code += 0x3f) {
        expect(!kohomai_text_is_utf8(s, spell(s, code)), "%lX", code);
    }
}

/* A code point spelled longer than it need be. */
static void an_overlong_form_is_not_utf8(apr_pool_t *pool)
{
    unsigned long code;

    (void)pool;
    for (code = 0; code < 0x10000; code++) {
        char two[] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f))};
        char three[] = {(char)0xe0, (char)(0x80 | (code >> 6 & 0x3f)),
                        (char)(0x80 | (code & 0x3f))};
        char four[] = {(char)0xf0, (char)(0x80 | code >> 12), (char)(0x80 | (code >> 6 & 0x3f)),
                       (char)(0x80 | (code & 0x3f))};

        expect(code >= 0x80 || !kohomai_text_is_utf8(two, 2), "U+%04lX in two bytes", code);
        expect(code >= 0x800 || !kohomai_text_is_utf8(three, 3), "U+%04lX in three bytes", code);
        expect(!kohomai_text_is_utf8(four, 4), "U+%04lX in four bytes", code);
    }
}

static void bytes_that_begin_nothing_are_not_utf8(apr_pool_t *pool)
{
    static const unsigned char first[] = {0x80, 0xbf, 0xc0, 0xc1, 0xf5, 0xf8, 0xfc, 0xfe, 0xff};
    apr_size_t i, len;

    for (i = 0; i < sizeof(first); i++) {
        for (len = 1; len <= 6; len++) {
            char *s = repeated(pool, "\x80", len);

            s[0] = (char)first[i];
            expect(!kohomai_text_is_utf8(bare(pool, s, len), len), "%02x and %d bytes", first[i],
                   (int)len);
        }
    }
    expect(kohomai_text_is_utf8("", 0), "nothing at all");
    expect(kohomai_text_is_utf8("a\0b", 3), "a NUL within");
}

static void a_control_character_is_one_of_c0_del_and_c1(apr_pool_t *pool)
{
    unsigned long code;

    for (code = 0; code <= 0x10ffff; code += code < 0x3000 ? 1 : 97) {
        char s[4];
        apr_size_t len = spell(s, code);
        int control = code < 0x20 || (code >= 0x7f && code <= 0x9f);
        int line = code == '\t' || code == '\r' || code == '\n';
        const char *copy;

        if (code >= 0xd800 && code <= 0xdfff) {
            continue;
        }
        copy = code < 0x100 ? bare(pool, s, len) : s;
        expect(kohomai_text_has_control(copy, len, 0) == control, "U+%04lX", code);
        expect(kohomai_text_has_control(copy, len, 1) == (control && !line), "U+%04lX, lines",
               code);
    }
}

static void a_control_character_is_found_wherever_it_stands(apr_pool_t *pool)
{
    static const char *const controls[] = {"\x01", "\x1b", "\x7f", "\xc2\x80", "\xc2\x9f"};
    apr_size_t i;

    for (i = 0; i < ROWS(controls); i++) {
        const char *middle = apr_pstrcat(pool, "a\xc3\xa9", controls[i], "z", NULL);
        const char *last = apr_pstrcat(pool, "abc", controls[i], NULL);

        expect(kohomai_text_has_control(middle, strlen(middle), 1), "middle, row %d", (int)i);
        expect(kohomai_text_has_control(last, strlen(last), 1), "last, row %d", (int)i);
    }
    expect(kohomai_text_has_control("ab\0cd", 5, 1), "NUL");
    expect(!kohomai_text_has_control("", 0, 0), "nothing at all");
}

static void an_email_address_has_the_form_that_html_takes(apr_pool_t *pool)
{
    static const struct {
        const char *text;
        int is_email;
    } rows[] = {
        {"johndoe@gmail.com", 1},
        {"a@b", 1},
        {"a@b.c", 1},
        {"A.B+tag@Example.COM", 1},
        {".a.@b", 1}, /* HTML lets dots stand anywhere before the @ */
        {"a..b@c", 1},
        {"!#$%&'*+/=?^_`{|}~-@b", 1},
        {"a@1.2", 1},
        {"a@b-c", 1},
        {"a@b--c.d", 1},
        {"a@xn--bcher-kva.example", 1},
        {"jos\xc3\xa9@example.com", 1},
        {"a@b\xc3\xbc"
         "cher.example",
         1},
        {"\xe4\xbd\xa0@\xe5\xa5\xbd", 1},
        {"", 0},
        {"@", 0},
        {"a", 0},
        {"a@", 0},
        {"@b", 0},
        {"a@@b", 0},
        {"a@b@c", 0},
        {"a b@c", 0},
        {"a@b c", 0},
        {" a@b", 0},
        {"a@b ", 0},
        {"a@b\n", 0},
        {"a@b\r\nBcc: c@d", 0},
        {"a@.b", 0},
        {"a@b.", 0},
        {"a@b..c", 0},
        {"a@-b", 0},
        {"a@b-", 0},
        {"a@b.-c", 0},
        {"a@b-.c", 0},
        {"a@b_c", 0},
        {"a@[127.0.0.1]", 0},
        {"\"a b\"@c", 0},
        {"a(b)@c", 0},
        {"<a@b>", 0},
        {"a,b@c", 0},
        {"a;b@c", 0},
        {"a\\b@c", 0},
        {"a:b@c", 0},
        {"a@b:25", 0},
        {"a\x7f@b", 0},
        {"a\xc2\x85@b", 0},
        {"a\xff@b", 0},
        {"a@b\xc3", 0},
        {"a\xc0\x80@b", 0},
    };
    apr_size_t i;

    for (i = 0; i < ROWS(rows); i++) {
        const char *copy = bare(pool, rows[i].text, strlen(rows[i].text) + 1);

        expect(kohomai_text_is_email(copy) == rows[i].is_email, "%s", rows[i].text);
    }
}

static void an_email_address_of_254_bytes_is_taken_and_of_255_is_not(apr_pool_t *pool)
{
    const char *local = repeated(pool, "x", 252), *longer = repeated(pool, "x", 253);
    const char *wide = repeated(pool, "\xc3\xa9", 126), *wider = repeated(pool, "\xc3\xa9", 127);

    expect(kohomai_text_is_email(apr_pstrcat(pool, local, "@b", NULL)), "254 bytes");
    expect(!kohomai_text_is_email(apr_pstrcat(pool, longer, "@b", NULL)), "255 bytes");
    expect(kohomai_text_is_email(apr_pstrcat(pool, wide, "@b", NULL)), "254 bytes, two each");
    expect(!kohomai_text_is_email(apr_pstrcat(pool, wider, "@b", NULL)), "256 bytes, two each");
}

static void a_label_of_63_characters_is_taken_and_of_64_is_not(apr_pool_t *pool)
{
    const char *fits = repeated(pool, "b", 63), *over = repeated(pool, "b", 64);

    expect(kohomai_text_is_email(apr_pstrcat(pool, "a@", fits, NULL)), "63");
    expect(kohomai_text_is_email(apr_pstrcat(pool, "a@", fits, ".", fits, NULL)), "63.63");
    expect(!kohomai_text_is_email(apr_pstrcat(pool, "a@", over, NULL)), "64");
    expect(!kohomai_text_is_email(apr_pstrcat(pool, "a@c.", over, NULL)), "c.64");
}

static void every_byte_but_the_22_hex_digits_is_none(apr_pool_t *pool)
{
    static const char digits[] = "0123456789abcdef";
    int c;

    (void)pool;
    for (c = 0; c < 256; c++) {
        int low = c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c;
        const char *hit = c ? strchr(digits, low) : NULL;

        expect(kohomai_text_hex((char)c) == (hit ? (int)(hit - digits) : -1), "byte %02x", c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(an_id_is_1_to_20_digits_without_a_leading_zero),
        UNIT(an_id_of_every_length_up_to_20_is_taken_and_longer_ones_are_not),
        UNIT(every_code_point_but_the_surrogates_is_utf8),
        UNIT(what_lies_beyond_the_last_code_point_is_not_utf8),
        UNIT(an_overlong_form_is_not_utf8),
        UNIT(bytes_that_begin_nothing_are_not_utf8),
        UNIT(a_control_character_is_one_of_c0_del_and_c1),
        UNIT(a_control_character_is_found_wherever_it_stands),
        UNIT(an_email_address_has_the_form_that_html_takes),
        UNIT(an_email_address_of_254_bytes_is_taken_and_of_255_is_not),
        UNIT(a_label_of_63_characters_is_taken_and_of_64_is_not),
        UNIT(every_byte_but_the_22_hex_digits_is_none),
    };

    return UNIT_MAIN(tests);
}
