/* key: fetches the API key from where the configuration says it is.
 * Threads: start-up only, as the user who starts httpd. Memory: the pool that was passed.
 * Never: logs the key or puts it into an error. */
#ifndef KOHOMAI_KEY_H
#define KOHOMAI_KEY_H

#include <apr_pools.h>

/* The longest key that is taken, in bytes. */
#define KOHOMAI_KEY_MAX 4096

/* Fetches the key that source names: file:PATH (relative to ServerRoot), env:NAME,
 * exec:COMMAND ARGS (the first line it prints), or the key itself. NULL on success, with *key set
 * and *warning set to a sentence or NULL; else a sentence that says what is wrong and what to do. */
const char *kohomai_key_fetch(apr_pool_t *pool, const char *source, const char **key,
                              const char **warning);

#endif
