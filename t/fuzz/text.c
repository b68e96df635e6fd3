/* text: the judges of text against others that are written another way.
 *
 * Input: the text.
 * Threads: one. Memory: see fuzz.h.
 * Never: needs a server. */
#include "fuzz.h"

#include "text.h"

/* The code point at *at by arithmetic: how many bits the first byte says there are, and whether the
 * shortest form was used. -1 where there is none. */
static long take_code(fuzz_input_t *input)
{
    static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned first = fuzz_byte(input);
    int length, i;
    long code;

    if (first < 0x80) {
        return (long)first;
    }
    for (length = 0; length < 8 && first & 0x80U >> length; length++) {
    }
    if (length < 2 || length > 4 || fuzz_left(input) < (size_t)length - 1) {
        return -1;
    }
    code = (long)(first & (0x7fU >> length));
    for (i = 1; i < length; i++) {
        unsigned next = fuzz_byte(input);

        if (next >> 6 != 2) {
            return -1;
        }
        code = code << 6 | (long)(next & 0x3f);
    }
    return code < least[length] || code > 0x10ffff || code >> 11 == 0x1b ? -1 : code;
}

static int is_control(long code, int lines)
{
    if (lines && (code == '\t' || code == '\r' || code == '\n')) {
        return 0;
    }
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

static void judge_bytes(apr_pool_t *pool, fuzz_input_t input)
{
    size_t len = fuzz_left(&input);
    fuzz_input_t whole = input;
    const char *bytes = fuzz_take(pool, &whole, len);
    int control = 0, control_in_line = 0;

    while (fuzz_left(&input)) {
        long code = take_code(&input);

        if (code < 0) {
            must(!kohomai_text_is_utf8(bytes, len), "taken for UTF-8");
            return;
        }
        control |= is_control(code, 1);
        control_in_line |= is_control(code, 0);
    }
    must(kohomai_text_is_utf8(bytes, len), "not taken for UTF-8");
    must(kohomai_text_has_control(bytes, len, 1) == control, "controls besides line ends");
    must(kohomai_text_has_control(bytes, len, 0) == control_in_line, "controls");
}

static int is_id(const char *text)
{
    size_t len = strlen(text), i;

    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return 0;
        }
    }
    return len >= 1 && len <= 20 && *text != '0';
}

/* Every byte of the domain for itself, by what stands before and behind it. */
static int is_domain(const char *text)
{
    size_t len = strlen(text), label = 0, i;

    for (i = 0; i < len; i++) {
        int edge = i == 0 || text[i - 1] == '.' || i == len - 1 || text[i + 1] == '.';

        label = text[i] == '.' ? 0 : label + 1;
        if (text[i] == '.' ? edge && (i == 0 || i == len - 1 || text[i - 1] == '.')
                           : (text[i] == '-' ? edge
                                             : (unsigned char)text[i] < 0x80 &&
                                                   !kohomai_text_is_alnum(text[i]))) {
            return 0;
        }
        if (label > 63) {
            return 0;
        }
    }
    return len > 0;
}

static int is_email(const char *text)
{
    const char *at = strchr(text, '@'), *s;
    size_t len = strlen(text);

    if (!at || at == text || len > 254 || !kohomai_text_is_utf8(text, len) ||
        kohomai_text_has_control(text, len, 0)) {
        return 0;
    }
    for (s = text; s < at; s++) {
        if (strchr(" \"(),:;<>@[\\]", *s)) {
            return 0;
        }
    }
    return is_domain(at + 1);
}

static void judge_digits(void)
{
    int i;

    for (i = 0; i < 256; i++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        const char *hit = i ? strchr(digits, i) : NULL;
        int value = !hit ? -1 : hit - digits < 16 ? (int)(hit - digits) : (int)(hit - digits) - 6;

        must(kohomai_text_hex((char)i) == value, "the hexadecimal digit %d", i);
    }
}

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input)
{
    static int judged;
    char *text = apr_pstrmemdup(pool, input.at, fuzz_left(&input));

    if (!judged++) {
        judge_digits();
    }
    judge_bytes(pool, input);
    must(kohomai_text_is_id(text) == is_id(text), "an id or not: %s", text);
    must(kohomai_text_is_email(text) == is_email(text), "an email or not: %s", text);
}
