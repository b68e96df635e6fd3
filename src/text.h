/* text: what a string from outside must look like before anything believes it.
 * Threads: any. Memory: borrows its arguments, allocates nothing.
 * Never: changes, logs or stores what it looks at. */
#ifndef KOHOMAI_TEXT_H
#define KOHOMAI_TEXT_H

#include <apr.h>

/* The longest email address that is taken, in bytes (RFC 5321, section 4.5.3.1.3, less the
 * angle brackets), and the longest value of any other field of a lead. */
#define KOHOMAI_EMAIL_MAX 254
#define KOHOMAI_FIELD_MAX 1024

/* Whether text is an id: 1 to 20 digits, no leading zero. Ids stay text from end to end, since
 * they exceed what a double holds exactly (2^53). */
int kohomai_text_is_id(const char *text);

/* Whether the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing
 * above U+10FFFF). NUL is a character like any other here. */
int kohomai_text_is_utf8(const char *bytes, apr_size_t len);

/* Whether the bytes hold a control character: C0, DEL, or C1 as UTF-8 spells it. With lines set,
 * tab, CR and LF do not count. The bytes must be well-formed UTF-8. */
int kohomai_text_has_control(const char *bytes, apr_size_t len, int lines);

/* Whether text is an email address of the form that HTML's <input type=email> takes, except that
 * letters beyond ASCII may stand in either part; KOHOMAI_EMAIL_MAX bytes at most.
 * Source: https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address */
int kohomai_text_is_email(const char *text);

/* The value of a hexadecimal digit, or -1. */
int kohomai_text_hex(char digit);

/* Whether c is a letter or digit of ASCII, whatever locale a script may have set. */
int kohomai_text_is_alnum(char c);

#endif
