/* shared: the one segment of memory that all children see, and that a restart leaves alone.
 * Threads: any, by atomic operations only: there is no lock that a dying child could keep.
 * Memory: the segment lives as long as the parent process.
 * Never: decides anything. */
#ifndef KOHOMAI_SHARED_H
#define KOHOMAI_SHARED_H

#include "guard.h"
#include "limit.h"

#include <httpd.h>

/* How many base URLs have a breaker of their own; further ones share the last. */
#define KOHOMAI_BREAKERS_MAX 64

/* How many sets of buckets there are for KohomaiRateLimit: 512 KiB for 65,536 visitors. */
#define KOHOMAI_LIMIT_SETS 8192

typedef struct kohomai_shared_t kohomai_shared_t;

/* The segment, made at the first call in this process (post_config); NULL where the system gives
 * none, with *rv saying why. children bounds the numbers of kohomai_shared_hold. */
kohomai_shared_t *kohomai_shared_get(server_rec *s, int children, apr_status_t *rv);

/* The place of a base URL's breaker. */
int kohomai_shared_breaker_find(kohomai_shared_t *shared, const char *base_url);

/* Whether the API at that place may be called, and how a call went: see guard.h. */
kohomai_may_e kohomai_shared_ask(kohomai_shared_t *shared, int place,
                                 const kohomai_breaker_policy_t *policy, apr_time_t now,
                                 apr_interval_time_t *again);
void kohomai_shared_tell(kohomai_shared_t *shared, int place,
                         const kohomai_breaker_policy_t *policy, apr_time_t now, kohomai_may_e may,
                         int well, apr_interval_time_t patience);

void kohomai_shared_give_probe_back(kohomai_shared_t *shared, int place, apr_time_t now,
                                    kohomai_may_e may);

/* Takes a token for an address, and gives one back: see limit.h. Each kind and each policy has
 * buckets of its own. Which set is an address's, depends on a secret of this server's start, so
 * that nobody can aim at somebody else's. */
int kohomai_shared_take(kohomai_shared_t *shared, const unsigned char *address,
                        kohomai_limit_e kind, const kohomai_limit_policy_t *policy, apr_time_t now,
                        apr_interval_time_t *again);
void kohomai_shared_give_back(kohomai_shared_t *shared, const unsigned char *address,
                              kohomai_limit_e kind, const kohomai_limit_policy_t *policy,
                              apr_time_t now);

/* For servers whose children hold one visitor each (prefork): child number child (0 up) of process
 * pid holds a visitor. 0 where cap children do so already, else 1. A child that died holding one
 * counts until the parent knows that it is gone. */
int kohomai_shared_hold(kohomai_shared_t *shared, int child, pid_t pid, int cap);
void kohomai_shared_let_go(kohomai_shared_t *shared, int child);

#endif
