/* unit: what the tests of the leaves share: a pool for each test, rows that go on after a fault, and
 *   allocations that the address sanitizer can watch one by one.
 * Threads: one. Memory: what a test takes from its pool lives until that test ends.
 * Never: knows what a leaf does. */
#ifndef KOHOMAI_UNIT_H
#define KOHOMAI_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_pools.h>
#include <apr_strings.h>
#include <apr_tables.h>

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* ---- guarded allocations: a pool packs its pieces side by side, so that a byte written past one
 * lands in the next and nobody notices. Here each piece is a malloc of its own. ---- */

typedef struct unit_piece_t {
    struct unit_piece_t *next;
    apr_pool_t *pool;
    void *bytes;
} unit_piece_t;

static unit_piece_t *unit_pieces;

__attribute__((visibility("default"))) void *apr_palloc(apr_pool_t *pool, apr_size_t size)
{
    unit_piece_t *piece = malloc(sizeof(*piece));

    if (!piece || !(piece->bytes = malloc(size ? size : 1))) {
        abort();
    }
    piece->pool = pool;
    piece->next = unit_pieces;
    unit_pieces = piece;
    return piece->bytes;
}

static inline void unit_free_pieces(const apr_pool_t *pool)
{
    unit_piece_t **at = &unit_pieces;

    while (*at) {
        unit_piece_t *piece = *at;

        if (piece->pool != pool) {
            at = &piece->next;
            continue;
        }
        *at = piece->next;
        free(piece->bytes);
        free(piece);
    }
}

/* ---- the fixture ---- */

typedef struct {
    void (*body)(apr_pool_t *pool);
} unit_t;

static apr_pool_t *unit_pool;
static int unit_faults;

static inline int unit_setup(void **state)
{
    (void)state;
    unit_faults = 0;
    return apr_pool_create(&unit_pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static inline int unit_teardown(void **state)
{
    (void)state;
    apr_pool_destroy(unit_pool);
    unit_free_pieces(unit_pool);
    return 0;
}

static inline void unit_run(void **state)
{
    const unit_t *unit = *state;

    unit->body(unit_pool);
    assert_int_equal(unit_faults, 0);
}

/* One entry of a program's list of tests. */
#define UNIT(name)                                            \
    {                                                         \
#name, unit_run, unit_setup, unit_teardown, &(unit_t) \
        {                                                     \
            name                                              \
        }                                                     \
    }

/* Runs the list; what main returns. */
#define UNIT_MAIN(tests) (apr_initialize() ? 1 : cmocka_run_group_tests(tests, NULL, NULL))

/* ---- rows: a fault is told and counted, and the next row still runs ---- */

__attribute__((format(printf, 2, 3))) static inline int expect(int holds, const char *format, ...)
{
    char told[512];
    va_list arguments;

    if (!holds) {
        va_start(arguments, format);
        vsnprintf(told, sizeof(told), format, arguments);
        va_end(arguments);
        unit_faults++;
        if (unit_faults <= 40) {
            print_error("# fault: %s\n", told);
        }
    }
    return holds;
}

static inline int same(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

static inline void expect_text(const char *got, const char *wanted, const char *row)
{
    expect(same(got, wanted), "%.120s: got %.120s%.120s, wanted %.120s", row, got ? "" : "(null)",
           got ? got : "", wanted ? wanted : "(null)");
}

/* ---- bytes ---- */

/* A copy without a NUL behind it, so that a reader that goes too far is caught. */
static inline char *bare(apr_pool_t *pool, const char *bytes, apr_size_t len)
{
    return len ? memcpy(apr_palloc(pool, len), bytes, len) : apr_palloc(pool, 0);
}

static inline char *repeated(apr_pool_t *pool, const char *piece, apr_size_t times)
{
    apr_size_t len = strlen(piece), i;
    char *text = apr_palloc(pool, len * times + 1);

    for (i = 0; i < times; i++) {
        memcpy(text + i * len, piece, len);
    }
    text[len * times] = '\0';
    return text;
}

/* A sequence of numbers that is the same in every run. */
static inline unsigned unit_random(apr_uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

/* One to four changes to text (of *len bytes, with room for 8 more): a byte overwritten, put in, or
 * taken out, from the given letters. */
static inline void mutate(char *text, apr_size_t *len, const char *letters, apr_size_t count,
                          apr_uint64_t *seed)
{
    unsigned changes = 1 + unit_random(seed) % 4;

    while (changes--) {
        apr_size_t at = *len ? unit_random(seed) % *len : 0;
        char letter = letters[unit_random(seed) % count];

        switch (unit_random(seed) % 3) {
        case 0:
            memmove(text + at + 1, text + at, *len - at);
            ++*len;
            text[at] = letter;
            break;
        case 1:
            if (*len) {
                memmove(text + at, text + at + 1, *len - at - 1);
                --*len;
            }
            break;
        default:
            if (*len) {
                text[at] = letter;
            }
        }
    }
}

/* The UTF-8 spelling of a code point, surrogates too; returns its length. */
static inline apr_size_t spell(char *out, unsigned long code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

#endif
