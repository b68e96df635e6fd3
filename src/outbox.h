/* outbox: the directory in which leads are kept for the API, one file each.
 * Threads: any; a letter is one thread's at a time. Memory: a letter lives in the pool it was asked
 *   for with, and lets go of its file when that pool is cleared.
 * Never: knows what is in a record, or why it goes where it goes.
 *
 * A record is in one of four boxes: the directory itself, where it waits to be sent, and the
 * subfolders sending, uncertain and rejected. It goes from one to another by a rename, so it is
 * always in exactly one. Whoever works on a record holds a lock on its file: a record in sending
 * that nobody has locked was left behind by a process that is no more. */
#ifndef KOHOMAI_OUTBOX_H
#define KOHOMAI_OUTBOX_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <sys/types.h>

typedef enum {
    KOHOMAI_BOX_WAITING,   /* the directory itself */
    KOHOMAI_BOX_SENDING,   /* a call is, or was, under way */
    KOHOMAI_BOX_UNCERTAIN, /* nobody knows whether the API took it */
    KOHOMAI_BOX_REJECTED,  /* the API refused it for good, or it is no record */
    KOHOMAI_BOXES
} kohomai_box_e;

/* The user that httpd's children run as. */
typedef struct {
    uid_t uid;
    gid_t gid;
    const char *name;
} kohomai_owner_t;

typedef struct kohomai_outbox_t kohomai_outbox_t;
typedef struct kohomai_letter_t kohomai_letter_t; /* a record in hand: its lock is ours */

/* The name of a box in the file system; "." for KOHOMAI_BOX_WAITING. */
const char *kohomai_outbox_name(kohomai_box_e box);

/* Whether the directory can be used by that user, which is tried; at start-up. NULL if so, else a
 * sentence that says what is wrong and what to do. */
const char *kohomai_outbox_check(apr_pool_t *pool, const char *path, const kohomai_owner_t *owner);

/* How many records there are in each box; APR_SUCCESS, or why they cannot be counted. A box that is
 * not there holds none. */
apr_status_t kohomai_outbox_count(const char *path, int counts[KOHOMAI_BOXES]);

/* Opens the directory, and makes the subfolders that are missing; as the user who will use it. NULL
 * where that fails, with *rv saying why. It is closed with pool. */
kohomai_outbox_t *kohomai_outbox_open(apr_pool_t *pool, const char *path, apr_status_t *rv);

/* Tries to become the one, among all processes, who delivers what waits here; once it is, it stays so
 * until kohomai_outbox_resign, or its end. */
int kohomai_outbox_preside(kohomai_outbox_t *outbox);
void kohomai_outbox_resign(kohomai_outbox_t *outbox);

/* When the directory itself last changed; 0 where it cannot be told. */
apr_time_t kohomai_outbox_changed(const kohomai_outbox_t *outbox);

/* The names of the records in a box (of const char *), oldest first, max at most. */
apr_status_t kohomai_outbox_list(kohomai_outbox_t *outbox, kohomai_box_e box, int max,
                                 apr_pool_t *pool, apr_array_header_t **names);

/* Writes a new record, named after now, into sending. It outlives this process from here on, but
 * not a crash of the machine. */
apr_status_t kohomai_letter_write(kohomai_outbox_t *outbox, apr_time_t now, const char *bytes,
                                  apr_size_t len, apr_pool_t *pool, kohomai_letter_t **letter);

/* Takes a record in hand. APR_EBUSY: somebody else has it; APR_ENOENT: it is not there any more;
 * APR_EINVAL: it is no plain file. */
apr_status_t kohomai_letter_take(kohomai_outbox_t *outbox, kohomai_box_e box, const char *name,
                                 apr_pool_t *pool, kohomai_letter_t **letter);

/* The record's name, and the first max bytes of its file. */
const char *kohomai_letter_name(const kohomai_letter_t *letter);
apr_status_t kohomai_letter_read(kohomai_letter_t *letter, apr_size_t max, apr_pool_t *pool,
                                 const char **bytes, apr_size_t *len);

/* How old the file's content is. */
apr_interval_time_t kohomai_letter_age(const kohomai_letter_t *letter, apr_time_t now);

/* Moves the record to a box, for good: once this has returned APR_SUCCESS, a crash of the machine
 * changes nothing. note is a line that is put at its end first; NULL for none. The letter stays in
 * hand. Where it fails, the record is where it was, or in its new box. */
apr_status_t kohomai_letter_move(kohomai_letter_t *letter, kohomai_box_e box, const char *note);

/* Deletes the record; durably, for good as above. The letter is gone. */
apr_status_t kohomai_letter_delete(kohomai_letter_t *letter, int durably);

/* Lets go of the record, where it is. */
void kohomai_letter_drop(kohomai_letter_t *letter);

#endif
