/* shared: the one segment of memory that all children see, and that a restart leaves alone.
 * Threads: any, by atomic operations only: there is no lock that a dying child could keep.
 * Memory: the segment lives as long as the parent process.
 * Never: decides anything. */
#include "shared.h"

#include <apr_general.h>
#include <apr_shm.h>
#include <apr_siphash.h>
#include <apr_strings.h>
#include <scoreboard.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

typedef struct {
    _Atomic uint64_t url; /* a hash of the base URL, 0: free */
    _Atomic uint64_t word;
} breaker_slot_t;

struct kohomai_shared_t {
    int children;
    breaker_slot_t breakers[KOHOMAI_BREAKERS_MAX];
    unsigned char secret[APR_SIPHASH_KSIZE];
    kohomai_limit_set_t limits[KOHOMAI_LIMIT_SETS];
    _Atomic pid_t holders[]; /* one per child: its pid while it holds a visitor, else 0 */
};

kohomai_shared_t *kohomai_shared_get(server_rec *s, int children, apr_status_t *rv)
{
    apr_pool_t *pool = s->process->pool;
    kohomai_shared_t *shared;
    char key[40];
    apr_size_t size = sizeof(*shared) + (apr_size_t)children * sizeof(shared->holders[0]);
    void *known = NULL;
    apr_shm_t *segment;

    /* A graceful restart may load another module than before, to which this segment says nothing. */
    apr_snprintf(key, sizeof(key), "kohomai_shared %lu", (unsigned long)sizeof(*shared));
    apr_pool_userdata_get(&known, key, pool);
    shared = known;
    if (shared && shared->children >= children) {
        return shared;
    }
    *rv = apr_shm_create(&segment, size, NULL, pool);
    if (*rv != APR_SUCCESS) {
        return NULL;
    }
    shared = apr_shm_baseaddr_get(segment);
    memset(shared, 0, size);
    *rv = apr_generate_random_bytes(shared->secret, sizeof(shared->secret));
    if (*rv != APR_SUCCESS) {
        return NULL;
    }
    if (known) { /* more children than before, which takes a full stop: what is known goes along */
        memcpy(shared, known, sizeof(*shared));
    }
    shared->children = children;
    apr_pool_userdata_set(shared, key, NULL, pool);
    return shared;
}

/* FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/); never 0. */
static uint64_t hash(const char *text)
{
    uint64_t value = 0xcbf29ce484222325ULL;

    for (; *text; text++) {
        value = (value ^ (unsigned char)*text) * 0x100000001b3ULL;
    }
    return value ? value : 1;
}

int kohomai_shared_breaker_find(kohomai_shared_t *shared, const char *base_url)
{
    uint64_t url = hash(base_url);
    int i;

    for (i = 0; i < KOHOMAI_BREAKERS_MAX - 1; i++) {
        uint64_t there = atomic_load(&shared->breakers[i].url);

        if (there == 0 && !atomic_compare_exchange_strong(&shared->breakers[i].url, &there, url)) {
            i--; /* somebody else was quicker: look at what it is now */
            continue;
        }
        if (there == 0 || there == url) {
            break;
        }
    }
    return i;
}

kohomai_may_e kohomai_shared_ask(kohomai_shared_t *shared, int place,
                                 const kohomai_breaker_policy_t *policy, apr_time_t now,
                                 apr_interval_time_t *again)
{
    _Atomic uint64_t *word = &shared->breakers[place].word;
    uint64_t before = atomic_load(word), after;
    kohomai_may_e may;

    do {
        after = kohomai_guard_ask(before, policy, now, &may, again);
    } while (after != before && !atomic_compare_exchange_weak(word, &before, after));
    return may;
}

void kohomai_shared_tell(kohomai_shared_t *shared, int place,
                         const kohomai_breaker_policy_t *policy, apr_time_t now, kohomai_may_e may,
                         int well, apr_interval_time_t patience)
{
    _Atomic uint64_t *word = &shared->breakers[place].word;
    uint64_t before = atomic_load(word), after;

    do {
        after = kohomai_guard_tell(before, policy, now, may, well, patience);
    } while (after != before && !atomic_compare_exchange_weak(word, &before, after));
}

void kohomai_shared_give_probe_back(kohomai_shared_t *shared, int place, apr_time_t now,
                                    kohomai_may_e may)
{
    _Atomic uint64_t *word = &shared->breakers[place].word;
    uint64_t before = atomic_load(word), after;

    do {
        after = kohomai_guard_give_back(before, now, may);
    } while (after != before && !atomic_compare_exchange_weak(word, &before, after));
}

/* Finds the set and the tag; they come from different bits of one hash. */
static kohomai_limit_set_t *find_set(kohomai_shared_t *shared, const unsigned char *address,
                                     kohomai_limit_e kind, const kohomai_limit_policy_t *policy,
                                     uint64_t *tag)
{
    struct {
        apr_interval_time_t duration;
        int count;
        unsigned char kind, address[KOHOMAI_ADDRESS_SIZE];
    } whose;
    uint64_t value;

    memset(&whose, 0, sizeof(whose)); /* the gaps, too */
    whose.duration = policy->duration;
    whose.count = policy->count;
    whose.kind = (unsigned char)kind;
    memcpy(whose.address, address, sizeof(whose.address));
    value = apr_siphash24(&whose, sizeof(whose), shared->secret);
    *tag = value >> 32 & KOHOMAI_LIMIT_TAG_MAX;
    *tag = *tag ? *tag : 1;
    return &shared->limits[value % KOHOMAI_LIMIT_SETS];
}

int kohomai_shared_take(kohomai_shared_t *shared, const unsigned char *address,
                        kohomai_limit_e kind, const kohomai_limit_policy_t *policy, apr_time_t now,
                        apr_interval_time_t *again)
{
    uint64_t tag;
    kohomai_limit_set_t *set = find_set(shared, address, kind, policy, &tag);

    return kohomai_limit_take(set, tag, policy, now, again);
}

void kohomai_shared_give_back(kohomai_shared_t *shared, const unsigned char *address,
                              kohomai_limit_e kind, const kohomai_limit_policy_t *policy,
                              apr_time_t now)
{
    uint64_t tag;
    kohomai_limit_set_t *set = find_set(shared, address, kind, policy, &tag);

    kohomai_limit_give_back(set, tag, policy, now);
}

/* Whether the child of a number holds a visitor. One that has just been started may hold one before
 * its parent has come to write its pid down; then the system knows it. */
static int holds(kohomai_shared_t *shared, int child)
{
    pid_t holder = atomic_load(&shared->holders[child]);

    return holder && (holder == ap_scoreboard_image->parent[child].pid || kill(holder, 0) == 0);
}

int kohomai_shared_hold(kohomai_shared_t *shared, int child, pid_t pid, int cap)
{
    int i, holding = 0;

    if (child < 0 || child >= shared->children) {
        return 1;
    }
    atomic_store(&shared->holders[child], pid);
    for (i = 0; i < shared->children; i++) {
        holding += holds(shared, i);
    }
    if (holding > cap) {
        atomic_store(&shared->holders[child], 0);
        return 0;
    }
    return 1;
}

void kohomai_shared_let_go(kohomai_shared_t *shared, int child)
{
    if (child >= 0 && child < shared->children) {
        atomic_store(&shared->holders[child], 0);
    }
}
