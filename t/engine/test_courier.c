/* Tests of courier and outbox, that no crash loses a lead or sends it twice: every story of a lead is run once for each
 * operation on the file system that it takes, and the process dies just before it, just after it, or half-way through a
 * write; or the operation fails, and the process lives. Then a new process looks after what it finds, with an API that
 * is still away and afterwards with one that is well, and the lead must be where the rules of outbox.h want it. A crash of the whole
 * machine is judged by what had not been synced when somebody relied on it.
 *
 * What stands around the two (httpd, the client, the settings) is played here. Built plain and with AddressSanitizer. */
#include "courier.h"
#include "dialect.h"
#include "kohomai.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <http_log.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what happens to the operation of that number ---- */

typedef enum { NOTHING, DIES_BEFORE, DIES_AFTER, DIES_HALF_WAY, FAILS, BLOWS } blow_e;

static blow_e blow;
static int fatal, operations; /* the first is number 1 */
static int failure;           /* errno */

#define DEAD 99 /* exit status of a process that was killed so */

static int struck(void)
{
    operations++;
    if (blow == DIES_BEFORE && operations == fatal) {
        _exit(DEAD);
    }
    if (blow == FAILS && operations == fatal) {
        errno = failure;
        return 1;
    }
    return 0;
}

static void strike(void)
{
    if (blow == DIES_AFTER && operations == fatal) {
        _exit(DEAD);
    }
}

/* AddressSanitizer makes a process slow to fork, and has nothing to say about one that is dead. */
#if defined(__SANITIZE_ADDRESS__)
#define ONLY_LIVING 1
#else
#define ONLY_LIVING 0
#endif

/* ---- what has not been synced ---- */

#define FDS 1024

static char unsynced[FDS];
static int closed_unsynced;

static void soil(int fd)
{
    if (fd >= 0 && fd < FDS) {
        unsynced[fd] = 1;
    }
}

static int is_safe(void)
{
    return !closed_unsynced && !memchr(unsynced, 1, sizeof(unsynced));
}

int __real_openat(int at, const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *bytes, size_t len);
int __real_renameat2(int from, const char *name, int to, const char *new_name, unsigned flags);
int __real_unlinkat(int at, const char *path, int flags);
int __real_mkdirat(int at, const char *path, mode_t mode);
int __real_flock(int fd, int how);
int __real_close(int fd);

int __wrap_openat(int at, const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
int __wrap_renameat2(int from, const char *name, int to, const char *new_name, unsigned flags);
int __wrap_unlinkat(int at, const char *path, int flags);
int __wrap_mkdirat(int at, const char *path, mode_t mode);
int __wrap_flock(int fd, int how);
int __wrap_fsync(int fd);
int __wrap_close(int fd);

int __wrap_openat(int at, const char *path, int flags, ...)
{
    int fd;

    if (struck()) {
        return -1;
    }
    fd = __real_openat(at, path, flags, 0600);
    if (fd >= 0 && (flags & O_CREAT)) {
        soil(at);
    }
    strike();
    return fd;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    ssize_t written;

    if (struck()) {
        return -1;
    }
    if (blow == DIES_HALF_WAY && operations == fatal) {
        (void)!__real_write(fd, bytes, len / 2);
        _exit(DEAD);
    }
    written = __real_write(fd, bytes, len);
    soil(fd);
    strike();
    return written;
}

int __wrap_renameat2(int from, const char *name, int to, const char *new_name, unsigned flags)
{
    int rc;

    if (struck()) {
        return -1;
    }
    rc = __real_renameat2(from, name, to, new_name, flags);
    soil(from);
    soil(to);
    strike();
    return rc;
}

int __wrap_unlinkat(int at, const char *path, int flags)
{
    int rc;

    if (struck()) {
        return -1;
    }
    rc = __real_unlinkat(at, path, flags);
    soil(at);
    strike();
    return rc;
}

int __wrap_mkdirat(int at, const char *path, mode_t mode)
{
    int rc;

    if (struck()) {
        return -1;
    }
    rc = __real_mkdirat(at, path, mode);
    if (rc == 0) {
        soil(at);
    }
    strike();
    return rc;
}

int __wrap_flock(int fd, int how)
{
    int rc;

    if (struck()) {
        return -1;
    }
    rc = __real_flock(fd, how);
    strike();
    return rc;
}

/* Takes no time here: what counts is that it was asked for. */
int __wrap_fsync(int fd)
{
    if (struck()) {
        return -1;
    }
    if (fd >= 0 && fd < FDS) {
        unsynced[fd] = 0;
    }
    strike();
    return 0;
}

int __wrap_close(int fd)
{
    if (fd >= 0 && fd < FDS && unsynced[fd]) {
        unsynced[fd] = 0;
        closed_unsynced = 1;
    }
    return __real_close(fd);
}

/* ---- what stands around ---- */

module kohomai_module;
static char directory[] = "/tmp/kohomai-courier-XXXXXX";
static const char *outbox_path; /* a new folder for each run, in directory */

/* What the API does with a call, and tells; each that arrives is a byte in a file. */
static kohomai_reply_t api_reply;
static int api_takes;
static int delivering;
static const char *unsafe; /* who relied on what was not synced */

void ap_log_error_(const char *file, int line, int index, int level, apr_status_t status,
                   const server_rec *s, const char *format, ...)
{
    (void)file, (void)line, (void)index, (void)level, (void)status, (void)s, (void)format;
}

const char *kohomai_settings_outbox(const server_rec *s)
{
    (void)s;
    return outbox_path;
}

int kohomai_settings_knows_base(const server_rec *s, const char *base_url)
{
    (void)s;
    return strcmp(base_url, "https://app.kohomai.com/api/v1") == 0;
}

int kohomai_settings_knows_ca_file(const server_rec *s, const char *ca_file)
{
    (void)s;
    return *ca_file == '\0';
}

const kohomai_proxy_t *kohomai_settings_find_proxy(const server_rec *s, const char *label)
{
    (void)s;
    (void)label;
    return NULL;
}

kohomai_patience_t kohomai_settings_patience(const kohomai_settings_t *settings)
{
    (void)settings;
    return (kohomai_patience_t){apr_time_from_sec(10), apr_time_from_sec(3)};
}

const kohomai_key_t *kohomai_keys_find(const kohomai_keys_t *keys, const char *label)
{
    (void)keys, (void)label;
    return NULL;
}

const kohomai_key_t *kohomai_keys_only(const kohomai_keys_t *keys)
{
    (void)keys;
    return NULL;
}

const char *kohomai_key_write_line(const kohomai_key_t *key, char *line)
{
    (void)key, (void)line;
    return NULL;
}

void kohomai_key_wipe_line(char *line)
{
    (void)line;
}

int kohomai_shared_breaker_find(kohomai_shared_t *shared, const char *base_url)
{
    (void)shared, (void)base_url;
    return 0;
}

kohomai_may_e kohomai_shared_ask(kohomai_shared_t *shared, int place,
                                 const kohomai_breaker_policy_t *policy, apr_time_t now,
                                 apr_interval_time_t *again)
{
    (void)shared, (void)place, (void)policy, (void)now, (void)again;
    return KOHOMAI_MAY_CALL;
}

void kohomai_shared_tell(kohomai_shared_t *shared, int place,
                         const kohomai_breaker_policy_t *policy, apr_time_t now, kohomai_may_e may,
                         int well, apr_interval_time_t patience)
{
    (void)shared, (void)place, (void)policy, (void)now, (void)may, (void)well, (void)patience;
}

/* A byte for a call that arrived: 't' where the API took the lead, 'n' where it did not. */
static void arrive(void)
{
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s.calls", outbox_path);
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    (void)!__real_write(fd, api_takes ? "t" : "n", 1);
    __real_close(fd);
}

static void call_api(void)
{
    if (delivering && !is_safe()) {
        unsafe = "the mark was not on the disk when the call went out";
    }
    if (api_reply.maybe_sent) {
        arrive();
    }
}

kohomai_call_t *kohomai_client_send(kohomai_client_t *client, const kohomai_order_t *order,
                                    kohomai_done_io_fn done, void *baton)
{
    (void)client;
    if (!strstr(order->body, "\"johndoe@gmail.com\"")) {
        unsafe = "the lead has changed";
    }
    call_api();
    done(baton);
    return (kohomai_call_t *)1;
}

const kohomai_reply_t *kohomai_call_reply(const kohomai_call_t *call)
{
    (void)call;
    return &api_reply;
}

void kohomai_call_release(kohomai_call_t *call)
{
    (void)call;
}

static int never(void)
{
    return 0;
}

/* ---- the stories ---- */

typedef struct {
    const char *name;
    int visit; /* a visitor is there; else a delivery */
    kohomai_reply_t reply;
    int takes;
} story_t;

#define ANSWERED(code) {.fate = KOHOMAI_ANSWERED, .maybe_sent = 1, .status = code}

static const story_t stories[] = {
    {"visit, taken", 1, ANSWERED(200), 1},
    {"visit, refused", 1, ANSWERED(422), 0},
    {"visit, busy", 1, ANSWERED(503), 0},
    {"visit, no connection", 1, {.fate = KOHOMAI_UNREACHABLE}, 0},
    {"visit, taken but not told", 1, {.fate = KOHOMAI_TIMED_OUT, .maybe_sent = 1}, 1},
    {"visit, 500", 1, ANSWERED(500), 0},
    {"delivery, taken", 0, ANSWERED(200), 1},
    {"delivery, refused", 0, ANSWERED(422), 0},
    {"delivery, busy", 0, ANSWERED(503), 0},
    {"delivery, key", 0, ANSWERED(401), 0},
    {"delivery, no connection", 0, {.fate = KOHOMAI_UNREACHABLE}, 0},
    {"delivery, taken but not told", 0, {.fate = KOHOMAI_BROKEN, .maybe_sent = 1}, 1},
    {"delivery, 500", 0, ANSWERED(500), 0},
    {"delivery, stopped", 0, {.fate = KOHOMAI_STOPPED, .maybe_sent = 1}, 0},
};

static const kohomai_record_t *record_of(apr_pool_t *pool)
{
    kohomai_record_t *record = apr_pcalloc(pool, sizeof(*record));

    *record = (kohomai_record_t){
        .lead = {.fields = {"johndoe@gmail.com", "John", "Doe", ""}, .ref = "", .workflow = ""},
        .arrived = "",
        .api = "journeys",
        .base_url = "https://app.kohomai.com/api/v1",
        .return_url = "",
        .ca_file = "",
        .key = "",
        .proxy = ""};
    record->lead.data = apr_array_make(pool, 1, sizeof(kohomai_datum_t));
    return record;
}

static kohomai_courier_t *make_courier(apr_pool_t *pool)
{
    static server_rec server;
    static void *configuration[1];

    server.lookup_defaults = (struct ap_conf_vector_t *)configuration;
    return kohomai_courier_create(pool, &(kohomai_post_t){.server = &server,
                                                          .client = (kohomai_client_t *)1,
                                                          .is_retired = never});
}

typedef enum { TOLD_NOTHING, TOLD_QUEUED, TOLD_FAILED, TOLD_UNSAFE } told_e;

/* What flow does for a visitor. */
static told_e run_visit(kohomai_courier_t *courier, apr_pool_t *pool)
{
    const kohomai_record_t *record = record_of(pool);
    kohomai_letter_t *letter = kohomai_courier_write(courier, pool, record);

    call_api();
    switch (kohomai_courier_judge(&api_reply)) {
    case KOHOMAI_LEAD_NOT_TAKEN:
        if (!kohomai_courier_keep(courier, pool, record, letter, "api")) {
            return TOLD_FAILED;
        }
        return is_safe() ? TOLD_QUEUED : TOLD_UNSAFE;
    case KOHOMAI_LEAD_UNSURE:
        kohomai_courier_put_aside(courier, pool, record, letter, "api", 0);
        return is_safe() || blow == FAILS ? TOLD_FAILED : TOLD_UNSAFE;
    default:
        kohomai_courier_forget(courier, letter);
        return TOLD_NOTHING;
    }
}

static told_e run_story(const story_t *story, apr_pool_t *pool, kohomai_courier_t *courier)
{
    api_reply = story->reply;
    api_takes = story->takes;
    delivering = !story->visit;
    memset(unsynced, 0, sizeof(unsynced));
    closed_unsynced = 0;
    if (story->visit) {
        return run_visit(courier, pool);
    }
    kohomai_courier_run(courier);
    return unsafe || !(is_safe() || blow == FAILS) ? TOLD_UNSAFE : TOLD_NOTHING;
}

/* Runs something in a process of its own; its exit status. */
static int in_child(void (*what)(const void *), const void *with)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        what(with);
        _exit(DEAD - 1);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A lead that waits, as a visitor before has left it. */
static void leave_a_lead(const void *with)
{
    kohomai_courier_t *courier;
    apr_pool_t *pool;

    (void)with;
    apr_pool_create(&pool, NULL);
    courier = make_courier(pool);
    _exit(!kohomai_courier_keep(courier, pool, record_of(pool), NULL, "breaker"));
}

typedef struct {
    const story_t *story;
    blow_e blow;
    int fatal, failure;
} attempt_t;

static void attempt_it(const void *with)
{
    const attempt_t *attempt = with;
    kohomai_courier_t *courier;
    apr_pool_t *pool;
    told_e told;

    apr_pool_create(&pool, NULL);
    courier = make_courier(pool);
    blow = attempt->blow;
    fatal = attempt->fatal;
    failure = attempt->failure;
    operations = 0;
    told = run_story(attempt->story, pool, courier);
    _exit((int)told | (operations < attempt->fatal ? 0x10 : 0));
}

static void look_after(const void *with)
{
    static const story_t away = {"away", 0, {.fate = KOHOMAI_UNREACHABLE}, 0},
                         well = {"well", 0, ANSWERED(200), 1};
    kohomai_courier_t *courier;
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    courier = make_courier(pool);
    run_story(with ? &well : &away, pool, courier);
    _exit(unsafe != NULL);
}

/* ---- what is found ---- */

typedef struct {
    int in[KOHOMAI_BOXES];
    int calls, taken;
} found_t;

/* How many records there are in a folder; files without a byte are nobody's lead. With remove set, all
 * files go. */
static int count_files(const char *path, int remove)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    struct stat facts;
    int count = 0;

    while (folder && (entry = readdir(folder))) {
        if (fstatat(dirfd(folder), entry->d_name, &facts, 0) == 0 && S_ISREG(facts.st_mode)) {
            count += facts.st_size > 0;
            if (remove) {
                __real_unlinkat(dirfd(folder), entry->d_name, 0);
            }
        }
    }
    if (folder) {
        closedir(folder);
    }
    return count;
}

static void look(found_t *found)
{
    char path[300], calls[64];
    int box, fd;
    ssize_t n;

    memset(found, 0, sizeof(*found));
    for (box = 0; box < KOHOMAI_BOXES; box++) {
        snprintf(path, sizeof(path), "%s/%s", outbox_path, kohomai_outbox_name((kohomai_box_e)box));
        found->in[box] = count_files(path, 0);
    }
    snprintf(path, sizeof(path), "%s.calls", outbox_path);
    fd = open(path, O_RDONLY);
    n = fd < 0 ? 0 : read(fd, calls, sizeof(calls));
    if (fd >= 0) {
        __real_close(fd);
    }
    for (found->calls = 0; found->calls < n; found->calls++) {
        found->taken += calls[found->calls] == 't';
    }
}

static void clear_away(void)
{
    char path[300];
    int box;

    for (box = KOHOMAI_BOXES - 1; box >= 0; box--) {
        snprintf(path, sizeof(path), "%s/%s", outbox_path, kohomai_outbox_name((kohomai_box_e)box));
        count_files(path, 1);
        rmdir(box == KOHOMAI_BOX_WAITING ? outbox_path : path);
    }
    snprintf(path, sizeof(path), "%s.calls", outbox_path);
    unlink(path);
}

static int faults;

static void expect(int holds, const attempt_t *attempt, const char *rule, const found_t *found)
{
    static const char *const blows[BLOWS] = {"nothing happens", "death before", "death after",
                                             "death half-way through", "failure of"};

    if (!holds && faults++ < 30) {
        print_error("# %s, %s operation %d: %s (waiting %d, sending %d, uncertain %d, rejected %d, "
                    "calls %d, taken %d)\n",
                    attempt->story->name, blows[attempt->blow], attempt->fatal, rule, found->in[0],
                    found->in[1], found->in[2], found->in[3], found->calls, found->taken);
    }
}

/* Whether the record was surely whole: the third operation of a visit writes it. */
static int was_written(const attempt_t *attempt)
{
    return !attempt->story->visit || attempt->fatal > 3 ||
           (attempt->fatal == 3 && attempt->blow == DIES_AFTER);
}

static int in_boxes(const found_t *found)
{
    return found->in[KOHOMAI_BOX_WAITING] + found->in[KOHOMAI_BOX_UNCERTAIN] +
           found->in[KOHOMAI_BOX_REJECTED];
}

/* After the blow, and after somebody has looked after what was left, the API being away. */
static void judge_after_blow(const attempt_t *attempt, told_e told)
{
    const story_t *story = attempt->story;
    found_t found;

    look(&found);
    expect(found.in[KOHOMAI_BOX_SENDING] == 0, attempt, "nothing is left as being sent", &found);
    expect(in_boxes(&found) <= 1, attempt, "there is one record at most", &found);
    if (told == TOLD_QUEUED) {
        expect(found.in[KOHOMAI_BOX_WAITING] == 1, attempt, "what is queued waits", &found);
    }
    if (found.taken) {
        expect(found.in[KOHOMAI_BOX_WAITING] == 0, attempt, "what was taken does not wait", &found);
    }
    else if (attempt->blow != FAILS && was_written(attempt) && story->reply.status != 422) {
        expect(in_boxes(&found) == 1, attempt, "what was written and not taken is kept", &found);
    }
    else if (!story->visit) {
        expect(in_boxes(&found) == 1, attempt, "what waited is kept", &found);
    }
}

/* At last, with an API that is well. */
static void judge_at_last(const attempt_t *attempt, const found_t *before)
{
    found_t found;

    look(&found);
    expect(found.in[KOHOMAI_BOX_WAITING] == 0 && found.in[KOHOMAI_BOX_SENDING] == 0, attempt,
           "nothing waits for an API that is well", &found);
    expect(found.taken <= 1, attempt, "the API takes it once", &found);
    if (in_boxes(before)) {
        expect(found.taken + in_boxes(&found) >= 1, attempt, "nothing is lost on the way", &found);
    }
}

/* 0 where the story ended before the blow could fall. */
static int try_one(const attempt_t *attempt, int number)
{
    char path[100];
    found_t before;
    int status;

    snprintf(path, sizeof(path), "%s/%d", directory, number);
    outbox_path = path;
    mkdir(path, 0700);
    /* The subfolders are there, as they are when a child has started. */
    assert_int_equal(in_child(look_after, NULL), 0);
    if (!attempt->story->visit) {
        assert_int_equal(in_child(leave_a_lead, NULL), 0);
    }
    status = in_child(attempt_it, attempt);
    look(&before);
    expect(status >= 0 && status != DEAD - 1, attempt, "the process does not crash", &before);
    expect((status & 0xf) != TOLD_UNSAFE || status == DEAD, attempt,
           "what somebody relies on is on the disk", &before);
    assert_int_equal(in_child(look_after, NULL), 0);
    judge_after_blow(attempt, status == DEAD ? TOLD_NOTHING : (told_e)(status & 0xf));
    look(&before);
    assert_int_equal(in_child(look_after, ""), 0);
    judge_at_last(attempt, &before);
    clear_away();
    return status == DEAD || !(status & 0x10);
}

static void no_blow_loses_or_doubles_a_lead(void **state)
{
    static const int failures[] = {ENOSPC, EIO};
    int number = 0, i, kind;
    unsigned s;

    (void)state;
    for (s = 0; s < sizeof(stories) / sizeof(stories[0]); s++) {
        for (kind = NOTHING; kind < BLOWS; kind++) {
            attempt_t attempt = {&stories[s], (blow_e)kind, 1, 0};

            if (kind != NOTHING && kind != FAILS && ONLY_LIVING) {
                continue;
            }

            for (i = 0; i < (kind == FAILS ? 2 : 1); i++) {
                attempt.failure = failures[i];
                for (attempt.fatal = 1;; attempt.fatal++) {
                    if (!try_one(&attempt, ++number) || kind == NOTHING) {
                        break;
                    }
                }
                assert_true(kind == NOTHING || attempt.fatal > 4);
            }
        }
    }
    print_message("# %d blows\n", number);
    assert_int_equal(faults, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_blow_loses_or_doubles_a_lead)};
    int failed;

    if (apr_initialize() || !mkdtemp(directory)) {
        return 1;
    }
    kohomai_module.module_index = 0;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(directory) || failed;
}
