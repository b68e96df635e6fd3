/* fuzz: what the fuzz targets share: a pool that is empty for each input, allocations that the address
 *   sanitizer can watch one by one, a reader of the input, and a way to say what must hold.
 * Threads: one. Memory: what a target takes from its pool lives until its input is done with.
 * Never: knows what a leaf does. */
#ifndef KOHOMAI_FUZZ_H
#define KOHOMAI_FUZZ_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_pools.h>
#include <apr_strings.h>
#include <apr_tables.h>

/* Each target is one file that defines this: it puts the input to use, and says what must hold. */
typedef struct {
    const char *at, *end;
} fuzz_input_t;

static void fuzz_one(apr_pool_t *pool, fuzz_input_t input);

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* ---- guarded allocations: each piece of a pool is a malloc of its own, freed with its input, so
 * that a byte read or written past one is seen. ---- */

static void **fuzz_pieces;
static size_t fuzz_piece_count, fuzz_piece_room;

__attribute__((visibility("default"))) void *apr_palloc(apr_pool_t *pool, apr_size_t size)
{
    (void)pool;
    if (fuzz_piece_count == fuzz_piece_room) {
        fuzz_piece_room = fuzz_piece_room ? 2 * fuzz_piece_room : 1024;
        fuzz_pieces = realloc(fuzz_pieces, fuzz_piece_room * sizeof(*fuzz_pieces));
        if (!fuzz_pieces) {
            abort();
        }
    }
    fuzz_pieces[fuzz_piece_count] = malloc(size ? size : 1);
    if (!fuzz_pieces[fuzz_piece_count]) {
        abort();
    }
    return fuzz_pieces[fuzz_piece_count++];
}

/* The cleanups of a pool are pieces, too: they run first. */
static inline void fuzz_clear(apr_pool_t *pool)
{
    apr_pool_clear(pool);
    while (fuzz_piece_count) {
        free(fuzz_pieces[--fuzz_piece_count]);
    }
}

/* libFuzzer and replay.c call this. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;

    if (!pool && (apr_initialize() || apr_pool_create(&pool, NULL))) {
        abort();
    }
    fuzz_one(pool, (fuzz_input_t){(const char *)data, (const char *)data + size});
    fuzz_clear(pool);
    return 0;
}

/* ---- what must hold ---- */

__attribute__((format(printf, 1, 2), noreturn)) static inline void fuzz_fault(const char *format,
                                                                              ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("What must hold does not: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

/* A condition, and what to say where it does not hold, as printf takes it. */
#define must(holds, ...) ((holds) ? (void)0 : fuzz_fault(__VA_ARGS__))

static inline void must_be(const char *got, const char *wanted, const char *what)
{
    must(got == wanted || (got && wanted && strcmp(got, wanted) == 0), "%s: got %s, wanted %s",
         what, got ? got : "(null)", wanted ? wanted : "(null)");
}

/* A reason must be NULL or one of the words that a header promises. */
static inline void must_be_one_of(const char *reason, const char *const *words)
{
    while (reason && *words && strcmp(reason, *words) != 0) {
        words++;
    }
    must(!reason || *words, "no such reason: %s", reason);
}

/* ---- the input, taken piece by piece ---- */

static inline size_t fuzz_left(const fuzz_input_t *input)
{
    return (size_t)(input->end - input->at);
}

static inline unsigned fuzz_byte(fuzz_input_t *input)
{
    return fuzz_left(input) ? (unsigned char)*input->at++ : 0;
}

/* size bytes, the first the highest; 0 for those that the input does not have. */
static inline uint64_t fuzz_number(fuzz_input_t *input, int size)
{
    uint64_t number = 0;

    while (size--) {
        number = number << 8 | fuzz_byte(input);
    }
    return number;
}

/* A copy of the next len bytes without a NUL behind them, so that a reader that goes too far is
 * seen. */
static inline char *fuzz_take(apr_pool_t *pool, fuzz_input_t *input, size_t len)
{
    char *bytes = apr_palloc(pool, len);

    if (len) {
        memcpy(bytes, input->at, len);
        input->at += len;
    }
    return bytes;
}

/* All up to the next line feed, which is stepped over, or the end. */
static inline fuzz_input_t fuzz_take_line(fuzz_input_t *input)
{
    const char *start = input->at, *feed = NULL;

    if (fuzz_left(input)) {
        feed = memchr(start, '\n', fuzz_left(input));
    }
    input->at = feed ? feed + 1 : input->end;
    return (fuzz_input_t){start, feed ? feed : input->end};
}

/* The same as a string, which ends at a NUL in it. */
static inline char *fuzz_line(apr_pool_t *pool, fuzz_input_t *input)
{
    fuzz_input_t line = fuzz_take_line(input);
    size_t len = fuzz_left(&line) ? strnlen(line.at, fuzz_left(&line)) : 0;
    char *text = apr_palloc(pool, len + 1);

    if (len) {
        memcpy(text, line.at, len);
    }
    text[len] = '\0';
    return text;
}

/* Whether the whole line is that word. */
static inline int fuzz_is(const fuzz_input_t *line, const char *word)
{
    return fuzz_left(line) == strlen(word) && memcmp(line->at, word, strlen(word)) == 0;
}

#endif
