/* key: the API keys that the configuration names, each under a label that does not reveal it, and
 * what becomes of them when their files change.
 * Threads: reading is safe everywhere; making and refreshing are for the parent process alone, as
 *   the user who starts httpd. Memory: the pool of the configuration; the keys themselves are in
 *   memory that children share, so that they see what the parent read.
 * Never: logs a key or puts it into an error. */
#ifndef KOHOMAI_KEY_H
#define KOHOMAI_KEY_H

#include "vault.h"

#include <apr_pools.h>
#include <httpd.h>

/* The longest key that is taken, in bytes, and room for the header line that carries one. */
#define KOHOMAI_KEY_MAX KOHOMAI_VAULT_MAX
#define KOHOMAI_KEY_LINE (KOHOMAI_KEY_MAX + 24)

typedef struct kohomai_key_t kohomai_key_t;
/* All the keys of one reading of the configuration. */
typedef struct kohomai_keys_t kohomai_keys_t;

/* The keys that belong to a configuration's pool; made at the first call. */
kohomai_keys_t *kohomai_keys_of(apr_pool_t *pconf);

/* Fetches the key that source names: file:PATH (relative to ServerRoot), env:NAME,
 * exec:COMMAND ARGS (the first line it prints), or the key itself; one that is known by its label
 * already is not fetched again. NULL on success, with *key set and *warning set to a sentence or
 * NULL; else a sentence that says what is wrong and what to do. */
const char *kohomai_keys_add(kohomai_keys_t *keys, const char *source, const kohomai_key_t **key,
                             const char **warning);

/* The key of that label, NULL where the configuration has none (any more). */
const kohomai_key_t *kohomai_keys_find(const kohomai_keys_t *keys, const char *label);

/* Looks after the keys that came from files, in the parent: a file that changed is read anew, and
 * all children have its key from then on. Where it holds no key (any more), the one from before
 * stays. What is new about a file is logged to s, once. A file that did not change costs one
 * system call. */
void kohomai_keys_refresh(kohomai_keys_t *keys, server_rec *s);

/* The key where the configuration has exactly one, else NULL. */
const kohomai_key_t *kohomai_keys_only(const kohomai_keys_t *keys);

/* What names the key without revealing it, through restarts and on another machine alike:
 * file:/ABSOLUTE/PATH and env:NAME, which stay when the key changes; exec:COMMAND, with # and a
 * digest of the whole command line where there is more of it; literal: and a digest of the key, so
 * that what was begun with one key never goes on with another.
 * A digest is one-way, and cut to 64 bits: a key that was drawn at random cannot be guessed from
 * it. It would confirm a guess, so a key that somebody thought up belongs into a file. */
const char *kohomai_key_label(const kohomai_key_t *key);

/* Writes the header line that carries the key as it is now into line, which has KOHOMAI_KEY_LINE
 * bytes. Returns line, or NULL where key is NULL. */
const char *kohomai_key_write_line(const kohomai_key_t *key, char *line);

/* Wipes such a line, which is not needed any more; NULL is nothing to do. */
void kohomai_key_wipe_line(char *line);

#endif
