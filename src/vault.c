/* vault: one short secret in memory that a parent shares with its children, and may exchange.
 * Threads: one writer at a time, any readers, in any of the processes. Memory: pages of their own,
 *   shared by whoever is forked later, left out of core dumps, given back with the pool.
 * Never: waits: a writer that dies half-way leaves readers what they had. */
#include "vault.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

typedef struct {
    _Atomic uint32_t len;
    _Atomic char bytes[KOHOMAI_VAULT_MAX];
} slot_t;

/* The secret is in slots[turn & 1]. A writer fills the other one and then moves turn on; a reader
 * who finds that turn has moved while they were copying begins again. So nobody ever sees a turn
 * that is not finished, and a reader begins again at most once per exchange. */
struct kohomai_vault_t {
    _Atomic uint32_t turn;
    slot_t slots[2];
};

static apr_status_t unmap(void *vault)
{
    munmap(vault, sizeof(kohomai_vault_t));
    return APR_SUCCESS;
}

kohomai_vault_t *kohomai_vault_create(apr_pool_t *pool)
{
    void *pages = mmap(NULL, sizeof(kohomai_vault_t), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED) {
        return NULL;
    }
    madvise(pages, sizeof(kohomai_vault_t), MADV_DONTDUMP);
    apr_pool_cleanup_register(pool, pages, unmap, apr_pool_cleanup_null);
    return pages;
}

static void fill(slot_t *slot, const char *bytes, apr_size_t len)
{
    apr_size_t i;

    atomic_store_explicit(&slot->len, (uint32_t)len, memory_order_relaxed);
    for (i = 0; i < KOHOMAI_VAULT_MAX; i++) {
        atomic_store_explicit(&slot->bytes[i], (char)(i < len ? bytes[i] : 0),
                              memory_order_relaxed);
    }
}

void kohomai_vault_put(kohomai_vault_t *vault, const char *secret, apr_size_t len)
{
    uint32_t turn = atomic_load_explicit(&vault->turn, memory_order_relaxed);

    fill(&vault->slots[(turn + 1) & 1], secret, len < KOHOMAI_VAULT_MAX ? len : KOHOMAI_VAULT_MAX);
    atomic_store_explicit(&vault->turn, turn + 1, memory_order_release);
    /* Whoever sees a byte of what is written from here on sees that turn has moved, too. */
    atomic_thread_fence(memory_order_release);
    fill(&vault->slots[turn & 1], "", 0);
}

apr_size_t kohomai_vault_get(const kohomai_vault_t *vault, char *room)
{
    uint32_t turn, now = atomic_load_explicit(&vault->turn, memory_order_acquire);
    apr_size_t i, len;

    do {
        const slot_t *slot = &vault->slots[now & 1];

        turn = now;
        len = atomic_load_explicit(&slot->len, memory_order_relaxed);
        for (i = 0; i < len; i++) {
            room[i] = atomic_load_explicit(&slot->bytes[i], memory_order_relaxed);
        }
        atomic_thread_fence(memory_order_acquire);
        now = atomic_load_explicit(&vault->turn, memory_order_acquire);
    } while (now != turn);
    return len;
}
