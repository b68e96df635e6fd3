/* outbox: the directory in which leads are kept for the API, one file each.
 * Threads: any; a letter is one thread's at a time. Memory: a letter lives in the pool it was asked
 *   for with, and lets go of its file when that pool is cleared.
 * Never: knows what is in a record, or why it goes where it goes. */
#include "outbox.h"

#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".lead"
#define NAME_MAX_LEN 200
#define PROBE_SIZE 16384 /* bytes that a usable directory must have room for */
#define TRIES 100        /* for a name that nobody has */

struct kohomai_outbox_t {
    int boxes[KOHOMAI_BOXES]; /* directories */
    int chair;                /* the directory once more, locked by the one who delivers; or -1 */
};

struct kohomai_letter_t {
    kohomai_outbox_t *outbox;
    apr_pool_t *pool;
    kohomai_box_e box;
    const char *name;
    int fd;
    apr_time_t written;
};

static const char *const box_names[KOHOMAI_BOXES] = {
    [KOHOMAI_BOX_WAITING] = ".",
    [KOHOMAI_BOX_SENDING] = "sending",
    [KOHOMAI_BOX_UNCERTAIN] = "uncertain",
    [KOHOMAI_BOX_REJECTED] = "rejected",
};

const char *kohomai_outbox_name(kohomai_box_e box)
{
    return box_names[box];
}

/* ---- names ---- */

/* Letters, digits, dots, hyphens and underscores: nothing that a shell, or a log, could misread. */
static int is_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "._-";
    apr_size_t len = strlen(name);

    return len > sizeof(SUFFIX) - 1 && len <= NAME_MAX_LEN && *name != '.' && *name != '-' &&
           strspn(name, letters) == len && strcmp(name + len - (sizeof(SUFFIX) - 1), SUFFIX) == 0;
}

/* The time of arrival, by which names sort, and something that makes them differ. */
static const char *make_name(apr_pool_t *pool, apr_time_t now)
{
    time_t seconds = (time_t)apr_time_sec(now);
    unsigned random = 0;
    struct tm utc;
    char day[32];

    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        random = (unsigned)getpid() * 2654435761U ^ (unsigned)now;
    }
    gmtime_r(&seconds, &utc);
    strftime(day, sizeof(day), "%Y%m%dT%H%M%S", &utc);
    return apr_psprintf(pool, "%s.%06dZ-%08x" SUFFIX, day, (int)apr_time_usec(now), random);
}

/* ---- start-up ---- */

static int open_directory(int at, const char *path)
{
    return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Tries what will be done later. 0, or errno. */
static int try_writing(const char *path)
{
    static const char bytes[PROBE_SIZE];
    int directory = open_directory(AT_FDCWD, path), fd = -1, error = 0;
    char name[64];

    snprintf(name, sizeof(name), ".probe-%d", (int)getpid());
    if (directory >= 0) {
        unlinkat(directory, name, 0); /* of one that was killed here, and had our number */
        fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (fd < 0) {
        error = errno;
    }
    else {
        ssize_t written = write(fd, bytes, sizeof(bytes));

        error = written < 0 ? errno : written < (ssize_t)sizeof(bytes) ? ENOSPC : 0;
        close(fd);
        unlinkat(directory, name, 0);
    }
    if (directory >= 0) {
        close(directory);
    }
    return error;
}

/* The same as another user, in a process of its own. 0, or errno. */
static int try_writing_as(const char *path, const kohomai_owner_t *owner)
{
    int status = 0;
    pid_t pid;

    if (geteuid() != 0 || owner->uid == 0) {
        return try_writing(path);
    }
    pid = fork();
    if (pid == 0) {
        if (setgid(owner->gid) != 0 || initgroups(owner->name, owner->gid) != 0 ||
            setuid(owner->uid) != 0) {
            _exit(errno & 0xff);
        }
        _exit(try_writing(path) & 0xff);
    }
    if (pid < 0) {
        return errno;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static const char *name_of(apr_pool_t *pool, uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    return user ? apr_pstrdup(pool, user->pw_name) : apr_psprintf(pool, "user %d", (int)uid);
}

const char *kohomai_outbox_check(apr_pool_t *pool, const char *path, const kohomai_owner_t *owner)
{
    const char *user = name_of(pool, owner->uid);
    struct stat facts;
    char text[120];
    int error;

    if (stat(path, &facts) != 0) {
        return apr_psprintf(pool, "%s: %s; make it: install -d -m 700 -o %s %s", path,
                            apr_strerror(errno, text, sizeof(text)), user, path);
    }
    if (!S_ISDIR(facts.st_mode)) {
        return apr_psprintf(pool,
                            "%s is no directory; name one, such as one made by install -d -m 700 "
                            "-o %s /var/lib/kohomai/outbox",
                            path, user);
    }
    if (facts.st_uid != owner->uid) {
        return apr_psprintf(pool,
                            "%s belongs to %s, and must be %s's, who writes there: chown %s %s",
                            path, name_of(pool, facts.st_uid), user, user, path);
    }
    if ((facts.st_mode & 077) != 0) {
        return apr_psprintf(pool, "%s is open to others, and will hold personal data: chmod 700 %s",
                            path, path);
    }
    error = try_writing_as(path, owner);
    if (error) {
        return apr_psprintf(
            pool,
            "%s cannot write in %s: %s; see to it that the disk is writable and has "
            "room, and that %s may enter the directories above",
            user, path, apr_strerror(error, text, sizeof(text)), user);
    }
    return NULL;
}

apr_status_t kohomai_outbox_count(const char *path, int counts[KOHOMAI_BOXES])
{
    int box, top = open_directory(AT_FDCWD, path);

    if (top < 0) {
        return errno;
    }
    for (box = 0; box < KOHOMAI_BOXES; box++) {
        int fd = open_directory(top, box_names[box]);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;

        counts[box] = 0;
        while (directory && (entry = readdir(directory))) {
            counts[box] += is_name(entry->d_name);
        }
        if (directory) {
            closedir(directory);
        }
    }
    close(top);
    return APR_SUCCESS;
}

/* ---- the directory ---- */

static apr_status_t close_boxes(void *baton)
{
    kohomai_outbox_t *outbox = baton;
    int box;

    kohomai_outbox_resign(outbox);
    for (box = 0; box < KOHOMAI_BOXES; box++) {
        if (outbox->boxes[box] >= 0) {
            close(outbox->boxes[box]);
        }
    }
    return APR_SUCCESS;
}

/* What is made here must be there after a crash, too: a record goes into it by a rename. */
static int open_box(int top, const char *name)
{
    int made = mkdirat(top, name, 0700) == 0;

    if (!made && errno != EEXIST) {
        return -1;
    }
    if (made && fsync(top) != 0) {
        return -1;
    }
    return openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

kohomai_outbox_t *kohomai_outbox_open(apr_pool_t *pool, const char *path, apr_status_t *rv)
{
    kohomai_outbox_t *outbox = apr_pcalloc(pool, sizeof(*outbox));
    int box;

    memset(outbox->boxes, -1, sizeof(outbox->boxes));
    outbox->chair = -1;
    apr_pool_cleanup_register(pool, outbox, close_boxes, apr_pool_cleanup_null);
    for (box = 0; box < KOHOMAI_BOXES; box++) {
        outbox->boxes[box] = box == KOHOMAI_BOX_WAITING
                                 ? open_directory(AT_FDCWD, path)
                                 : open_box(outbox->boxes[KOHOMAI_BOX_WAITING], box_names[box]);
        if (outbox->boxes[box] < 0) {
            *rv = errno;
            return NULL;
        }
    }
    return outbox;
}

int kohomai_outbox_preside(kohomai_outbox_t *outbox)
{
    if (outbox->chair >= 0) {
        return 1;
    }
    outbox->chair = open_directory(outbox->boxes[KOHOMAI_BOX_WAITING], ".");
    if (outbox->chair >= 0 && flock(outbox->chair, LOCK_EX | LOCK_NB) != 0) {
        kohomai_outbox_resign(outbox);
    }
    return outbox->chair >= 0;
}

void kohomai_outbox_resign(kohomai_outbox_t *outbox)
{
    if (outbox->chair >= 0) {
        close(outbox->chair);
        outbox->chair = -1;
    }
}

apr_time_t kohomai_outbox_changed(const kohomai_outbox_t *outbox)
{
    struct stat facts;

    if (fstat(outbox->boxes[KOHOMAI_BOX_WAITING], &facts) != 0) {
        return 0;
    }
    return apr_time_make(facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec / 1000);
}

/* ---- lists ---- */

static int compare_names(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

/* Sorts, and forgets what is too much. */
static void keep_oldest(apr_array_header_t *names, int max)
{
    qsort(names->elts, (size_t)names->nelts, sizeof(const char *), compare_names);
    if (names->nelts > max) {
        names->nelts = max;
    }
}

apr_status_t kohomai_outbox_list(kohomai_outbox_t *outbox, kohomai_box_e box, int max,
                                 apr_pool_t *pool, apr_array_header_t **names)
{
    int fd = open_directory(outbox->boxes[box], ".");
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    *names = apr_array_make(pool, 16, sizeof(const char *));
    if (!directory) {
        return errno;
    }
    while ((entry = readdir(directory))) {
        if (!is_name(entry->d_name)) {
            continue;
        }
        if ((*names)->nelts == 2 * max) {
            keep_oldest(*names, max);
        }
        APR_ARRAY_PUSH(*names, const char *) = apr_pstrdup(pool, entry->d_name);
    }
    closedir(directory);
    keep_oldest(*names, max);
    return APR_SUCCESS;
}

/* ---- letters ---- */

static apr_status_t close_letter(void *baton)
{
    kohomai_letter_t *letter = baton;

    if (letter->fd >= 0) {
        close(letter->fd);
        letter->fd = -1;
    }
    return APR_SUCCESS;
}

static kohomai_letter_t *letter_make(kohomai_outbox_t *outbox, kohomai_box_e box, const char *name,
                                     int fd, apr_pool_t *pool)
{
    kohomai_letter_t *letter = apr_pcalloc(pool, sizeof(*letter));

    letter->outbox = outbox;
    letter->pool = pool;
    letter->box = box;
    letter->name = apr_pstrdup(pool, name);
    letter->fd = fd;
    apr_pool_cleanup_register(pool, letter, close_letter, apr_pool_cleanup_null);
    return letter;
}

/* A new file that is locked. Whoever looks for what was left behind may have been quicker with the
 * lock, or, where we were stopped for long in between, have taken the file away: another name then. */
static int create_locked(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct stat facts;

    if (fd >= 0 &&
        (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &facts) != 0 || facts.st_nlink == 0)) {
        unlinkat(directory, name, 0);
        close(fd);
        errno = EEXIST;
        return -1;
    }
    return fd;
}

/* All of the bytes, or none that count. */
static apr_status_t write_all(int fd, const char *bytes, apr_size_t len)
{
    while (len) {
        ssize_t written = write(fd, bytes, len);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? errno : ENOSPC;
        }
        bytes += written;
        len -= (apr_size_t)written;
    }
    return APR_SUCCESS;
}

apr_status_t kohomai_letter_write(kohomai_outbox_t *outbox, apr_time_t now, const char *bytes,
                                  apr_size_t len, apr_pool_t *pool, kohomai_letter_t **letter)
{
    int directory = outbox->boxes[KOHOMAI_BOX_SENDING], tries, fd = -1;
    const char *name = NULL;
    apr_status_t rv;

    errno = EEXIST;
    for (tries = 0; fd < 0 && errno == EEXIST && tries < TRIES; tries++) {
        name = make_name(pool, now);
        fd = create_locked(directory, name);
    }
    if (fd < 0) {
        return errno;
    }
    rv = write_all(fd, bytes, len);
    if (rv != APR_SUCCESS) {
        unlinkat(directory, name, 0);
        close(fd);
        return rv;
    }
    *letter = letter_make(outbox, KOHOMAI_BOX_SENDING, name, fd, pool);
    return APR_SUCCESS;
}

/* Whether the name still is that of the open file: between the two, somebody else may have been done
 * with it. */
static int is_still(int directory, const char *name, const struct stat *facts)
{
    struct stat there;

    return fstatat(directory, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           there.st_ino == facts->st_ino && there.st_dev == facts->st_dev;
}

static apr_status_t lock_taken(int directory, const char *name, int fd, struct stat *facts)
{
    if (fstat(fd, facts) != 0) {
        return errno;
    }
    if (!S_ISREG(facts->st_mode)) {
        return APR_EINVAL;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? APR_EBUSY : errno;
    }
    return is_still(directory, name, facts) && fstat(fd, facts) == 0 ? APR_SUCCESS : APR_ENOENT;
}

apr_status_t kohomai_letter_take(kohomai_outbox_t *outbox, kohomai_box_e box, const char *name,
                                 apr_pool_t *pool, kohomai_letter_t **letter)
{
    int directory = outbox->boxes[box];
    /* O_NONBLOCK is for what is no plain file, and would block us here. */
    int fd = openat(directory, name, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat facts;
    apr_status_t rv;

    if (fd < 0) {
        return errno == ELOOP || errno == EISDIR || errno == ENXIO ? APR_EINVAL : errno;
    }
    rv = lock_taken(directory, name, fd, &facts);
    if (rv != APR_SUCCESS) {
        close(fd);
        return rv;
    }
    *letter = letter_make(outbox, box, name, fd, pool);
    (*letter)->written = apr_time_make(facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec / 1000);
    return APR_SUCCESS;
}

const char *kohomai_letter_name(const kohomai_letter_t *letter)
{
    return letter->name;
}

apr_interval_time_t kohomai_letter_age(const kohomai_letter_t *letter, apr_time_t now)
{
    return now - letter->written;
}

apr_status_t kohomai_letter_read(kohomai_letter_t *letter, apr_size_t max, apr_pool_t *pool,
                                 const char **bytes, apr_size_t *len)
{
    struct stat facts;
    apr_size_t size, have = 0;
    char *room;

    if (fstat(letter->fd, &facts) != 0) {
        return errno;
    }
    size = facts.st_size < (off_t)max ? (apr_size_t)facts.st_size : max;
    *bytes = room = apr_palloc(pool, size + 1);
    while (have < size) {
        ssize_t n = pread(letter->fd, room + have, size - have, (off_t)have);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno;
        }
        if (n == 0) {
            break;
        }
        have += (apr_size_t)n;
    }
    *len = have;
    return APR_SUCCESS;
}

/* Never onto a record that is there already: another name then. A file system that cannot promise
 * that gets a plain rename. */
static apr_status_t rename_letter(kohomai_letter_t *letter, kohomai_box_e box)
{
    int from = letter->outbox->boxes[letter->box], to = letter->outbox->boxes[box], tries;
    const char *name = letter->name;

    for (tries = 0; tries < TRIES; tries++) {
        int failed = renameat2(from, letter->name, to, name, RENAME_NOREPLACE);

        if (failed && (errno == EINVAL || errno == ENOSYS)) {
            failed = renameat(from, letter->name, to, name);
        }
        if (!failed) {
            letter->name = name;
            letter->box = box;
            return APR_SUCCESS;
        }
        if (errno != EEXIST) {
            break;
        }
        name = make_name(letter->pool, apr_time_now());
    }
    return errno;
}

apr_status_t kohomai_letter_move(kohomai_letter_t *letter, kohomai_box_e box, const char *note)
{
    kohomai_box_e from = letter->box;
    apr_status_t rv;

    if (note) { /* one that does not fit any more is no reason to leave the record where it is */
        (void)write_all(letter->fd, note, strlen(note));
    }
    if (fsync(letter->fd) != 0) {
        return errno;
    }
    rv = rename_letter(letter, box);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (fsync(letter->outbox->boxes[box]) != 0 || fsync(letter->outbox->boxes[from]) != 0) {
        return errno;
    }
    return APR_SUCCESS;
}

apr_status_t kohomai_letter_delete(kohomai_letter_t *letter, int durably)
{
    int directory = letter->outbox->boxes[letter->box];
    apr_status_t rv = unlinkat(directory, letter->name, 0) == 0 ? APR_SUCCESS : errno;

    if (rv == APR_SUCCESS && durably && fsync(directory) != 0) {
        rv = errno;
    }
    kohomai_letter_drop(letter);
    return rv;
}

void kohomai_letter_drop(kohomai_letter_t *letter)
{
    apr_pool_cleanup_run(letter->pool, letter, close_letter);
}
