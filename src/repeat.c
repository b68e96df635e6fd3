/* repeat: sees that a registration is the one that the same browser sent a moment ago (a double
 * click), so that it joins that one's call or gets its answer, and nobody is registered twice.
 * Threads: any, of any child. Memory: one table that all children share, bounded, by atomic
 *   operations only: there is no lock that a dying child could keep. Links in it are wiped when
 *   their time is over, and no core file holds it. It lives as long as the parent process.
 * Never: reads a clock, waits, sends, or holds what a visitor sent: of that it keeps a keyed hash.
 *
 * The table is made of sets of a few slots; a key belongs into one set. A slot's word says what it
 * is (its phase), whose it is (a process), and how often it changed, so that a compare-and-swap of
 * the word succeeds only on what was looked at. Two that come at the same moment must not both
 * believe to be the first: each announces its key, and only then looks through the set. So at least
 * one sees the other, and who sees another withdraws and asks again later. A process that died
 * shows in the word, too. */
#include "repeat.h"
#include "url.h"

#include <apr_general.h>
#include <apr_siphash.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WAYS 8
#define SETS 256
#define SLOTS (SETS * WAYS)
/* Bounds of an answer's texts, with their NUL. */
#define REASON_SIZE 64
#define ID_SIZE 24
#define VALID_UNTIL_SIZE 64
#define TEXT_SIZE (REASON_SIZE + ID_SIZE + VALID_UNTIL_SIZE + KOHOMAI_URL_MAX + 2)
#define TEXT_WORDS (TEXT_SIZE / 8)
/* The owner of a registration may be late in telling of its end. */
#define DELAY apr_time_from_sec(10)
#define LAYOUT 1 /* another one is another table: a restart may bring a newer module */

_Static_assert(TEXT_SIZE % 8 == 0, "texts are copied by words");

typedef enum {
    FREE,
    BUSY,      /* its owner writes or wipes it: nothing in it counts */
    ANNOUNCED, /* the key counts; its owner looks whether another has the same */
    UNDER_WAY, /* its owner registers, at most until the time in it */
    SETTLING,  /* as above, but its owner writes the answer */
    SETTLED,   /* the answer counts, until the time in it */
    VACANT     /* it was never sent: whoever comes may take it over, until the time in it */
} phase_e;

typedef struct {
    _Atomic uint64_t word;
    _Atomic uint64_t key[2];
    _Atomic apr_time_t began, until;
    _Atomic int outcome, api_status, retry_after, id_kind;
    _Atomic unsigned used; /* words of text */
} slot_t;

struct kohomai_repeat_t {
    unsigned layout;
    unsigned char secrets[2][APR_SIPHASH_KSIZE];
    slot_t slots[SLOTS];
    _Atomic uint64_t texts[SLOTS][TEXT_WORDS]; /* touched where an answer is written only */
};

/* ---- the memory ---- */

/* Straight from the system, which zeroes it, and gives each page at its first use only. */
static kohomai_repeat_t *map(apr_status_t *rv)
{
    kohomai_repeat_t *repeat =
        mmap(NULL, sizeof(*repeat), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (repeat == MAP_FAILED) {
        *rv = errno;
        return NULL;
    }
    (void)madvise(repeat, sizeof(*repeat), MADV_DONTDUMP);
    *rv = apr_generate_random_bytes(repeat->secrets[0], sizeof(repeat->secrets));
    if (*rv != APR_SUCCESS) {
        munmap(repeat, sizeof(*repeat));
        return NULL;
    }
    repeat->layout = LAYOUT;
    return repeat;
}

kohomai_repeat_t *kohomai_repeat_get(apr_pool_t *process_pool, apr_status_t *rv)
{
    static const char name[] = "kohomai_repeat";
    kohomai_repeat_t *repeat;
    void *known = NULL;

    apr_pool_userdata_get(&known, name, process_pool);
    repeat = known;
    if (!repeat || repeat->layout != LAYOUT) {
        repeat = map(rv);
        /* The name is copied and nothing is cleaned up: a restart unloads this module. */
        apr_pool_userdata_set(repeat, name, NULL, process_pool);
    }
    return repeat;
}

/* ---- keys ---- */

/* A hash of the texts' hashes: each text has its place, however long the one before it is. */
void kohomai_repeat_key(const kohomai_repeat_t *repeat, const char *const *texts, int count,
                        kohomai_claim_t *claim)
{
    int half, i;

    for (half = 0; repeat && half < 2; half++) {
        unsigned char chain[2 * APR_SIPHASH_DSIZE] = {0};

        for (i = 0; i < count; i++) {
            const char *text = texts[i] ? texts[i] : "";

            apr_siphash24_auth(chain + APR_SIPHASH_DSIZE, text, strlen(text),
                               repeat->secrets[half]);
            apr_siphash24_auth(chain, chain, sizeof(chain), repeat->secrets[half]);
        }
        memcpy(&claim->key[half], chain, sizeof(claim->key[half]));
    }
}

/* ---- words ---- */

static phase_e phase_of(uint64_t word)
{
    return (phase_e)(word & 7);
}

/* 32 bits of owner, 29 of count, 3 of phase. */
static uint64_t next_word(uint64_t word, phase_e phase)
{
    uint64_t count = (word + 8) & 0xfffffff8;

    return (uint64_t)(uint32_t)getpid() << 32 | count | (uint64_t)phase;
}

/* Changes a slot from what was seen in it, which then is what is there now. 0 where another was
 * quicker. */
static int change(slot_t *slot, uint64_t *word, phase_e phase)
{
    uint64_t before = *word, after = next_word(before, phase);

    if (!atomic_compare_exchange_strong(&slot->word, &before, after)) {
        return 0;
    }
    *word = after;
    return 1;
}

static int is_orphan(uint64_t word)
{
    return kill((pid_t)(word >> 32), 0) != 0 && errno == ESRCH;
}

/* Whether nothing in the slot counts any more, so that it may be had. Time that was set back counts
 * as over, too: a moment that is too early is another process's clock. */
static int is_over(slot_t *slot, uint64_t word, apr_time_t now)
{
    apr_time_t began = atomic_load(&slot->began), until = atomic_load(&slot->until);
    int late = now >= until || now < began - KOHOMAI_REPEAT_KNOWN;

    switch (phase_of(word)) {
    case FREE:
        return 1;
    case BUSY:
    case ANNOUNCED:
        return is_orphan(word);
    case UNDER_WAY:
    case SETTLING:
        return late || (now >= began + KOHOMAI_REPEAT_KNOWN && is_orphan(word));
    default:
        return late;
    }
}

static slot_t *set_of(kohomai_repeat_t *repeat, const kohomai_claim_t *claim)
{
    return &repeat->slots[claim->key[0] % SETS * WAYS];
}

/* ---- answers ---- */

static void set_times(slot_t *slot, apr_time_t began, apr_time_t until)
{
    atomic_store(&slot->began, began);
    atomic_store(&slot->until, until);
}

static apr_time_t known_until(slot_t *slot, apr_time_t now)
{
    apr_time_t known = atomic_load(&slot->began) + KOHOMAI_REPEAT_KNOWN;

    return known > now + KOHOMAI_REPEAT_LINGER ? known : now + KOHOMAI_REPEAT_LINGER;
}

static apr_size_t put_text(char *bytes, apr_size_t at, const char *text, apr_size_t size)
{
    apr_size_t len = strlen(text);

    if (len < size) {
        memcpy(bytes + at, text, len);
        at += len;
    }
    bytes[at] = '\0';
    return at + 1;
}

static void write_answer(kohomai_repeat_t *repeat, unsigned index,
                         const kohomai_repeat_answer_t *answer)
{
    slot_t *slot = &repeat->slots[index];
    uint64_t words[TEXT_WORDS];
    char *bytes = (char *)words;
    apr_size_t len, i;

    len = put_text(bytes, 0, answer->reason, REASON_SIZE);
    len = put_text(bytes, len, answer->id, ID_SIZE);
    len = put_text(bytes, len, answer->valid_until, VALID_UNTIL_SIZE);
    len = put_text(bytes, len, answer->link, KOHOMAI_URL_MAX + 1);
    memset(bytes + len, 0, -len % 8);
    atomic_store(&slot->outcome, answer->outcome);
    atomic_store(&slot->api_status, answer->api_status);
    atomic_store(&slot->retry_after, answer->retry_after);
    atomic_store(&slot->id_kind, answer->id_kind);
    atomic_store(&slot->used, (unsigned)((len + 7) / 8));
    for (i = 0; i < (len + 7) / 8; i++) {
        atomic_store_explicit(&repeat->texts[index][i], words[i], memory_order_relaxed);
    }
    explicit_bzero(words, len);
}

/* How many words of text a slot holds, whatever another process may have made of it. */
static unsigned used_of(slot_t *slot)
{
    unsigned used = atomic_load(&slot->used);

    return used < TEXT_WORDS ? used : TEXT_WORDS;
}

static const char *take_text(const char **at, const char *end)
{
    const char *text = *at < end ? *at : "";

    *at += *at < end ? strlen(*at) + 1 : 0;
    return text;
}

/* 0 where the slot changed meanwhile, so that nothing that was read counts. */
static int read_answer(kohomai_repeat_t *repeat, unsigned index, uint64_t word, apr_pool_t *pool,
                       kohomai_repeat_answer_t *answer)
{
    slot_t *slot = &repeat->slots[index];
    unsigned used = used_of(slot), i;
    uint64_t *words = apr_pcalloc(pool, (used + 1) * sizeof(*words));
    const char *at = (const char *)words, *end = at + used * sizeof(*words);

    for (i = 0; i < used; i++) {
        words[i] = atomic_load_explicit(&repeat->texts[index][i], memory_order_relaxed);
    }
    answer->outcome = (kohomai_outcome_e)atomic_load(&slot->outcome);
    answer->api_status = atomic_load(&slot->api_status);
    answer->retry_after = atomic_load(&slot->retry_after);
    answer->id_kind = atomic_load(&slot->id_kind);
    answer->reason = take_text(&at, end);
    answer->id = take_text(&at, end);
    answer->valid_until = take_text(&at, end);
    answer->link = take_text(&at, end);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load(&slot->word) == word;
}

/* Makes a slot ours that is over, and wipes it. 0 where another was quicker. */
static int seize(kohomai_repeat_t *repeat, unsigned index, uint64_t *word)
{
    slot_t *slot = &repeat->slots[index];
    unsigned used, i;

    if (!change(slot, word, BUSY)) {
        return 0;
    }
    atomic_thread_fence(memory_order_release);
    used = used_of(slot);
    for (i = 0; i < used; i++) {
        atomic_store_explicit(&repeat->texts[index][i], 0, memory_order_relaxed);
    }
    atomic_store(&slot->used, 0);
    return 1;
}

/* ---- asking ---- */

static int has_key(slot_t *slot, uint64_t word, const kohomai_claim_t *claim)
{
    return phase_of(word) >= ANNOUNCED && atomic_load(&slot->key[0]) == claim->key[0] &&
           atomic_load(&slot->key[1]) == claim->key[1];
}

/* The slot of the set that has the claim's key, other than the claim's own; NULL where none has. Its
 * place tells which is its own: another of this process may have the same word. */
static slot_t *find(kohomai_repeat_t *repeat, const kohomai_claim_t *claim, apr_time_t now,
                    uint64_t *word)
{
    const slot_t *own = claim->word ? &repeat->slots[claim->slot] : NULL;
    slot_t *set = set_of(repeat, claim);
    int i;

    for (i = 0; i < WAYS; i++) {
        *word = atomic_load(&set[i].word);
        if (&set[i] != own && has_key(&set[i], *word, claim) && !is_over(&set[i], *word, now)) {
            return &set[i];
        }
    }
    return NULL;
}

/* The claim's slot shows its key: looks whether another does, too. */
static kohomai_repeat_e go_first(kohomai_repeat_t *repeat, kohomai_claim_t *claim, apr_time_t now)
{
    slot_t *slot = &repeat->slots[claim->slot];
    uint64_t other;

    if (find(repeat, claim, now, &other)) {
        if (seize(repeat, claim->slot, &claim->word)) {
            change(slot, &claim->word, FREE);
        }
        claim->word = 0;
        return KOHOMAI_REPEAT_WAIT;
    }
    set_times(slot, now, now + claim->patience + DELAY);
    if (!change(slot, &claim->word, UNDER_WAY)) {
        claim->word = 0;
    }
    return KOHOMAI_REPEAT_FIRST;
}

/* Nobody has the key: shows it in a slot of its own. Where there is none, an equal click may have
 * been quicker to take the last one, or be about to; else this one goes on unknown. */
static kohomai_repeat_e announce(kohomai_repeat_t *repeat, kohomai_claim_t *claim, apr_time_t now)
{
    unsigned first = (unsigned)(set_of(repeat, claim) - repeat->slots), i;
    uint64_t other;
    int moving = 0;

    for (i = first; i < first + WAYS; i++) {
        slot_t *slot = &repeat->slots[i];
        uint64_t word = atomic_load(&slot->word);

        if (!is_over(slot, word, now)) {
            moving |= phase_of(word) == BUSY;
            continue;
        }
        if (!seize(repeat, i, &word)) {
            moving = 1;
            continue;
        }
        atomic_store(&slot->key[0], claim->key[0]);
        atomic_store(&slot->key[1], claim->key[1]);
        change(slot, &word, ANNOUNCED);
        claim->slot = i;
        claim->word = word;
        return go_first(repeat, claim, now);
    }
    return moving || find(repeat, claim, now, &other) ? KOHOMAI_REPEAT_WAIT : KOHOMAI_REPEAT_FIRST;
}

static kohomai_repeat_e join(kohomai_claim_t *claim, uint64_t word)
{
    claim->joined = 1;
    return is_orphan(word) ? KOHOMAI_REPEAT_LOST : KOHOMAI_REPEAT_WAIT;
}

kohomai_repeat_e kohomai_repeat_ask(kohomai_repeat_t *repeat, kohomai_claim_t *claim,
                                    apr_time_t now, apr_pool_t *pool,
                                    kohomai_repeat_answer_t *answer)
{
    unsigned index;
    uint64_t word;
    slot_t *slot;

    if (!repeat) {
        return KOHOMAI_REPEAT_FIRST;
    }
    slot = find(repeat, claim, now, &word);
    if (!slot) {
        return claim->joined ? KOHOMAI_REPEAT_LOST : announce(repeat, claim, now);
    }
    index = (unsigned)(slot - repeat->slots);
    switch (phase_of(word)) {
    case UNDER_WAY:
    case SETTLING:
        return join(claim, word);
    case SETTLED:
        return read_answer(repeat, index, word, pool, answer) ? KOHOMAI_REPEAT_ANSWERED
                                                              : KOHOMAI_REPEAT_WAIT;
    case VACANT:
        if (!change(slot, &word, ANNOUNCED)) {
            return KOHOMAI_REPEAT_WAIT;
        }
        claim->slot = index;
        claim->word = word;
        return go_first(repeat, claim, now);
    default:
        return KOHOMAI_REPEAT_WAIT; /* it is not decided who is the first */
    }
}

/* ---- telling ---- */

void kohomai_repeat_settle(kohomai_repeat_t *repeat, kohomai_claim_t *claim, apr_time_t now,
                           const kohomai_repeat_answer_t *answer)
{
    slot_t *slot;

    if (!repeat || !claim->word) {
        return;
    }
    slot = &repeat->slots[claim->slot];
    if (change(slot, &claim->word, SETTLING)) {
        write_answer(repeat, claim->slot, answer);
        set_times(slot, atomic_load(&slot->began), known_until(slot, now));
        change(slot, &claim->word, SETTLED);
    }
    claim->word = 0;
}

void kohomai_repeat_forgo(kohomai_repeat_t *repeat, kohomai_claim_t *claim, apr_time_t now)
{
    slot_t *slot;

    if (!repeat || !claim->word) {
        return;
    }
    slot = &repeat->slots[claim->slot];
    if (change(slot, &claim->word, SETTLING)) {
        set_times(slot, atomic_load(&slot->began), known_until(slot, now));
        change(slot, &claim->word, VACANT);
    }
    claim->word = 0;
}

void kohomai_repeat_sweep(kohomai_repeat_t *repeat, apr_time_t now)
{
    unsigned i;

    for (i = 0; repeat && i < SLOTS; i++) {
        slot_t *slot = &repeat->slots[i];
        uint64_t word = atomic_load(&slot->word);

        if (phase_of(word) != FREE && is_over(slot, word, now) && seize(repeat, i, &word)) {
            change(slot, &word, FREE);
        }
    }
}
