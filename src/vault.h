/* vault: one short secret in memory that a parent shares with its children, and may exchange.
 * Threads: one writer at a time, any readers, in any of the processes. Memory: pages of their own,
 *   shared by whoever is forked later, left out of core dumps, given back with the pool.
 * Never: waits: a writer that dies half-way leaves readers what they had. */
#ifndef KOHOMAI_VAULT_H
#define KOHOMAI_VAULT_H

#include <apr_pools.h>

/* The longest secret, in bytes. */
#define KOHOMAI_VAULT_MAX 4096

typedef struct kohomai_vault_t kohomai_vault_t;

/* An empty vault; NULL where memory is gone. Each process that maps it lets go of it by itself: a
 * parent that clears pool takes nothing from children that are still there. */
kohomai_vault_t *kohomai_vault_create(apr_pool_t *pool);

/* Puts a secret of len bytes (KOHOMAI_VAULT_MAX at most) in the place of what was there, which is
 * wiped. */
void kohomai_vault_put(kohomai_vault_t *vault, const char *secret, apr_size_t len);

/* Copies the secret into room, which must take KOHOMAI_VAULT_MAX bytes; returns its length. What
 * comes out is always one whole secret. */
apr_size_t kohomai_vault_get(const kohomai_vault_t *vault, char *room);

#endif
