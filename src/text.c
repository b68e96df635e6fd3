/* text: what a string from outside must look like before anything believes it.
 * Threads: any. Memory: borrows its arguments, allocates nothing.
 * Never: changes, logs or stores what it looks at. */
#include "text.h"

#include <string.h>

#define ID_DIGITS_MAX 20
#define LABEL_MAX 63

int kohomai_text_is_id(const char *text)
{
    apr_size_t len = strspn(text, "0123456789");

    return len >= 1 && len <= ID_DIGITS_MAX && text[len] == '\0' && text[0] != '0';
}

int kohomai_text_hex(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

int kohomai_text_is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The length of the well-formed sequence at s, of which left bytes remain; 0 where there is none.
 * The table is RFC 3629, section 4. */
static apr_size_t sequence_length(const unsigned char *s, apr_size_t left)
{
    static const struct {
        unsigned char first, last, low, high, length;
    } rows[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    apr_size_t i, k;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (s[0] < rows[i].first || s[0] > rows[i].last) {
            continue;
        }
        if (rows[i].length > left) {
            return 0;
        }
        if (rows[i].length > 1 && (s[1] < rows[i].low || s[1] > rows[i].high)) {
            return 0;
        }
        for (k = 2; k < rows[i].length; k++) {
            if ((s[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return rows[i].length;
    }
    return 0;
}

int kohomai_text_is_utf8(const char *bytes, apr_size_t len)
{
    const unsigned char *s = (const unsigned char *)bytes;
    apr_size_t step;

    for (; len; s += step, len -= step) {
        step = sequence_length(s, len);
        if (step == 0) {
            return 0;
        }
    }
    return 1;
}

int kohomai_text_has_control(const char *bytes, apr_size_t len, int lines)
{
    const unsigned char *s = (const unsigned char *)bytes;
    apr_size_t i;

    for (i = 0; i < len; i++) {
        if (lines && (s[i] == '\t' || s[i] == '\r' || s[i] == '\n')) {
            continue;
        }
        if (s[i] < 0x20 || s[i] == 0x7f) {
            return 1;
        }
        if (s[i] == 0xc2 && i + 1 < len && s[i + 1] < 0xa0) {
            return 1; /* U+0080 to U+009F */
        }
    }
    return 0;
}

static int is_local_char(unsigned char c)
{
    return c >= 0x80 || kohomai_text_is_alnum((char)c) || (c && strchr(".!#$%&'*+/=?^_`{|}~-", c));
}

/* A label of the domain: letters, digits and inner hyphens. Returns its length, 0 if it is none. */
static apr_size_t label_length(const char *s)
{
    apr_size_t len = 0;

    while ((unsigned char)s[len] >= 0x80 || kohomai_text_is_alnum(s[len]) || s[len] == '-') {
        len++;
    }
    return len <= LABEL_MAX && len && s[0] != '-' && s[len - 1] != '-' ? len : 0;
}

int kohomai_text_is_email(const char *text)
{
    apr_size_t len = strlen(text), step;
    const char *s = text;

    if (len > KOHOMAI_EMAIL_MAX || !kohomai_text_is_utf8(text, len) ||
        kohomai_text_has_control(text, len, 0)) {
        return 0;
    }
    while (is_local_char((unsigned char)*s)) {
        s++;
    }
    if (s == text || *s != '@') {
        return 0;
    }
    do {
        step = label_length(++s);
        s += step;
    } while (step && *s == '.');
    return step && *s == '\0';
}
