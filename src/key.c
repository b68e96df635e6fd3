/* key: the API keys that the configuration names, each under a label that does not reveal it, and
 * what becomes of them when their files change.
 * Threads: reading is safe everywhere; making and refreshing are for the parent process alone, as
 *   the user who starts httpd. Memory: the pool of the configuration; the keys themselves are in
 *   memory that children share, so that they see what the parent read.
 * Never: logs a key or puts it into an error. */
#include "key.h"
#include "text.h"

#include <apr_env.h>
#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_sha1.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <apr_thread_proc.h>
#include <httpd.h>

#include <http_config.h>
#include <http_log.h>
#include <string.h>

APLOG_USE_MODULE(kohomai);

/* How long a file must be left alone before its stamp is taken for a proof. */
#define QUIET apr_time_from_sec(3)

#define LINE_BEGINS "Authorization: Bearer "

typedef enum { SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_COMMAND, SOURCE_LITERAL } source_e;

/* What tells whether a file is another one than before. */
typedef struct {
    apr_time_t modified, changed;
    apr_off_t size;
    apr_ino_t inode;
    apr_dev_t device;
} stamp_t;

#define STAMP_FIELDS \
    (APR_FINFO_MTIME | APR_FINFO_CTIME | APR_FINFO_SIZE | APR_FINFO_INODE | APR_FINFO_DEV)

struct kohomai_key_t {
    source_e source;
    const char *label;
    const char *where; /* the file's path, the variable's name, the command line; else NULL */
    kohomai_vault_t *vault;
    /* What follows is the parent's, about a file. */
    stamp_t seen;
    int ill;         /* what it holds now is no key, which was said */
    int open_to_all; /* anybody may read it, which was said */
};

struct kohomai_keys_t {
    apr_pool_t *pool;
    apr_array_header_t *all; /* of kohomai_key_t * */
};

/* What was read and is not judged yet. A byte more than may be, so that nothing is cut unseen. */
typedef struct {
    char bytes[KOHOMAI_KEY_MAX + 3];
    stamp_t stamp; /* of the file */
    const char *warning;
} draft_t;

/* ---- where keys come from ---- */

static const char *system_error(apr_pool_t *pool, apr_status_t rv)
{
    char text[120];

    return apr_pstrdup(pool, apr_strerror(rv, text, sizeof(text)));
}

static stamp_t stamp_of(const apr_finfo_t *info)
{
    return (stamp_t){info->mtime, info->ctime, info->size, info->inode, info->device};
}

/* Reads an open file, and looks whether it is one that should hold a key. */
static const char *read_file(apr_pool_t *pool, apr_file_t *file, const char *path, draft_t *draft)
{
    apr_size_t len = 0;
    apr_finfo_t info;
    apr_status_t rv =
        apr_file_info_get(&info, APR_FINFO_TYPE | APR_FINFO_PROT | STAMP_FIELDS, file);

    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        return apr_psprintf(pool, "cannot read the key file %s: it is no regular file", path);
    }
    if (rv == APR_SUCCESS) {
        draft->stamp = stamp_of(&info);
        rv = apr_file_read_full(file, draft->bytes, sizeof(draft->bytes) - 1, &len);
    }
    if (rv != APR_SUCCESS && rv != APR_EOF) {
        return apr_psprintf(pool, "cannot read the key file %s: %s", path, system_error(pool, rv));
    }
    if (info.protection & APR_FPROT_WREAD) {
        draft->warning = apr_psprintf(
            pool, "everybody on this machine can read the key in %s: chmod o-r it", path);
    }
    if (strlen(draft->bytes) != len) {
        return apr_psprintf(pool, "the key file %s holds a NUL character", path);
    }
    return NULL;
}

/* Opens without waiting, should the path be a pipe. */
static const char *from_file(apr_pool_t *pool, const char *path, draft_t *draft)
{
    const char *fault;
    apr_file_t *file;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_NONBLOCK, 0, pool);

    if (rv != APR_SUCCESS) {
        return apr_psprintf(pool,
                            "cannot read the key file %s: %s; it must be readable by the "
                            "user who starts httpd",
                            path, system_error(pool, rv));
    }
    fault = read_file(pool, file, path, draft);
    apr_file_close(file);
    return fault;
}

static const char *from_environment(apr_pool_t *pool, const char *name, draft_t *draft)
{
    char *value = NULL;

    if (apr_env_get(&value, name, pool) != APR_SUCCESS || !value) {
        return apr_psprintf(pool,
                            "the environment has no variable %s; set it where httpd is "
                            "started (on Debian: /etc/apache2/envvars)",
                            name);
    }
    apr_cpystrn(draft->bytes, value, sizeof(draft->bytes));
    return NULL;
}

/* Runs a command without a shell and reads the beginning of what it prints. */
static apr_status_t run(apr_pool_t *pool, char **argv, draft_t *draft, int *code)
{
    apr_procattr_t *attributes;
    apr_size_t len = 0;
    apr_exit_why_e why = APR_PROC_EXIT;
    apr_proc_t process;
    apr_status_t rv = apr_procattr_create(&attributes, pool);

    if (rv == APR_SUCCESS) {
        rv = apr_procattr_io_set(attributes, APR_NO_PIPE, APR_FULL_BLOCK, APR_NO_PIPE);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_procattr_cmdtype_set(attributes, APR_PROGRAM_ENV);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_procattr_error_check_set(attributes, 1);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_proc_create(&process, argv[0], (const char *const *)argv, NULL, attributes, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_file_read_full(process.out, draft->bytes, sizeof(draft->bytes) - 1, &len);
    apr_file_close(process.out);
    apr_proc_wait(&process, code, &why, APR_WAIT);
    if (why != APR_PROC_EXIT) {
        *code = -1;
    }
    return APR_SUCCESS;
}

static const char *from_command(apr_pool_t *pool, const char *command, draft_t *draft)
{
    static const char mend[] = "give its whole path, and let it print the key as its first line "
                               "and end with status 0";
    int code = 0;
    apr_status_t rv;
    char **argv;

    if (apr_tokenize_to_argv(command, &argv, pool) != APR_SUCCESS || !argv[0]) {
        return "exec: must be followed by a command";
    }
    rv = run(pool, argv, draft, &code);
    if (rv != APR_SUCCESS) {
        return apr_psprintf(pool, "the command %s could not be run: %s; %s", argv[0],
                            system_error(pool, rv), mend);
    }
    if (code != 0) {
        return apr_psprintf(pool, "the command %s ended with status %d; %s", argv[0], code, mend);
    }
    draft->bytes[strcspn(draft->bytes, "\r\n")] = '\0';
    if (draft->bytes[0] == '\0') {
        return apr_psprintf(pool, "the command %s printed nothing; %s", argv[0], mend);
    }
    return NULL;
}

/* Finds the key in a draft, without the blanks around it. */
static const char *trim_and_judge(const draft_t *draft, const char **key, apr_size_t *len)
{
    static const char too_long[] =
        "the key is too long: at most " APR_STRINGIFY(KOHOMAI_KEY_MAX) " bytes";

    if (strlen(draft->bytes) == sizeof(draft->bytes) - 1) {
        return too_long; /* and there may be more that was not read */
    }
    *key = draft->bytes + strspn(draft->bytes, " \t\r\n");
    *len = strlen(*key);
    while (*len && apr_isspace((*key)[*len - 1])) {
        --*len;
    }
    if (*len == 0) {
        return "the key is empty";
    }
    if (*len > KOHOMAI_KEY_MAX) {
        return too_long;
    }
    if (!kohomai_text_is_utf8(*key, *len) || kohomai_text_has_control(*key, *len, 0)) {
        return "the key holds a control character: it must be one line of text, as the Kohomai "
               "back-office shows it under Settings > API";
    }
    return NULL;
}

static const char *fetch(apr_pool_t *pool, const kohomai_key_t *key, draft_t *draft)
{
    switch (key->source) {
    case SOURCE_FILE:
        return from_file(pool, key->where, draft);
    case SOURCE_ENVIRONMENT:
        return from_environment(pool, key->where, draft);
    case SOURCE_COMMAND:
        return from_command(pool, key->where, draft);
    default:
        apr_cpystrn(draft->bytes, key->where, sizeof(draft->bytes));
        draft->warning =
            "the key stands in the configuration, where dumps and backups show it: put it "
            "into a file and write file:PATH";
        return NULL;
    }
}

/* ---- labels ---- */

/* The first 64 bits of a hash of text. SHA-1 is what APR has; only its being one-way matters here,
 * and what goes before text keeps the digest from being one that anything else makes of it. */
static const char *digest(apr_pool_t *pool, const char *text, apr_size_t len)
{
    static const char purpose[] = "mod_kohomai label: ";
    unsigned char hash[APR_SHA1_DIGESTSIZE];
    apr_sha1_ctx_t context;

    apr_sha1_init(&context);
    apr_sha1_update(&context, purpose, sizeof(purpose) - 1);
    apr_sha1_update(&context, text, (unsigned)len);
    apr_sha1_final(hash, &context);
    explicit_bzero(&context, sizeof(context));
    return apr_psprintf(pool, "%02x%02x%02x%02x%02x%02x%02x%02x", hash[0], hash[1], hash[2],
                        hash[3], hash[4], hash[5], hash[6], hash[7]);
}

/* Arguments may be secrets themselves. */
static const char *command_label(apr_pool_t *pool, const char *command)
{
    char **argv;

    if (apr_tokenize_to_argv(command, &argv, pool) != APR_SUCCESS || !argv[0] || !argv[1]) {
        return apr_pstrcat(pool, "exec:", command, NULL);
    }
    return apr_pstrcat(pool, "exec:", argv[0], "#", digest(pool, command, strlen(command)), NULL);
}

/* Reads what the directive names; a literal has its label only once it is known to be one. */
static const char *read_source(apr_pool_t *pool, const char *text, kohomai_key_t *key)
{
    if (strncmp(text, "file:", 5) == 0) {
        key->source = SOURCE_FILE;
        key->where = ap_server_root_relative(pool, text + 5);
        key->label = apr_pstrcat(pool, "file:", key->where, NULL);
        return key->where
                   ? NULL
                   : apr_psprintf(pool, "cannot read the key file %s: this is no path", text + 5);
    }
    if (strncmp(text, "env:", 4) == 0) {
        key->source = SOURCE_ENVIRONMENT;
        key->label = text;
        key->where = text + 4;
    }
    else if (strncmp(text, "exec:", 5) == 0) {
        key->source = SOURCE_COMMAND;
        key->where = text + 5;
        key->label = command_label(pool, key->where);
    }
    else {
        key->source = SOURCE_LITERAL;
        key->label = "";
        key->where = text;
    }
    return NULL;
}

/* ---- all of them ---- */

kohomai_keys_t *kohomai_keys_of(apr_pool_t *pconf)
{
    static const char name[] = "kohomai_keys";
    kohomai_keys_t *keys;
    void *known = NULL;

    apr_pool_userdata_get(&known, name, pconf);
    if (known) {
        return known;
    }
    keys = apr_palloc(pconf, sizeof(*keys));
    keys->pool = pconf;
    keys->all = apr_array_make(pconf, 4, sizeof(kohomai_key_t *));
    apr_pool_userdata_set(keys, name, NULL, pconf);
    return keys;
}

const kohomai_key_t *kohomai_keys_only(const kohomai_keys_t *keys)
{
    return keys->all->nelts == 1 ? APR_ARRAY_IDX(keys->all, 0, const kohomai_key_t *) : NULL;
}

const kohomai_key_t *kohomai_keys_find(const kohomai_keys_t *keys, const char *label)
{
    int i;

    for (i = 0; i < keys->all->nelts; i++) {
        const kohomai_key_t *key = APR_ARRAY_IDX(keys->all, i, kohomai_key_t *);

        if (strcmp(key->label, label) == 0) {
            return key;
        }
    }
    return NULL;
}

/* What was read of a file counts for the next time only where it has been left alone for a while:
 * else it may change once more without another stamp (a file system's clock has coarse ticks). */
static void remember(kohomai_key_t *key, const draft_t *draft)
{
    static const stamp_t unknown;

    key->seen = draft->stamp.changed < apr_time_now() - QUIET ? draft->stamp : unknown;
}

/* Fetches a key for the first time, and puts it where children will see it. */
static const char *lock_up(apr_pool_t *pool, kohomai_key_t *key, const char **warning)
{
    draft_t draft = {.bytes = ""};
    const char *bytes = NULL, *fault = fetch(pool, key, &draft);
    apr_size_t len = 0;

    if (!fault) {
        fault = trim_and_judge(&draft, &bytes, &len);
    }
    if (!fault) {
        key->vault = kohomai_vault_create(pool);
        fault = key->vault ? NULL : "there is no memory for the key";
    }
    if (!fault) {
        kohomai_vault_put(key->vault, bytes, len);
        remember(key, &draft);
    }
    if (!fault && key->source == SOURCE_LITERAL) {
        key->label = apr_pstrcat(pool, "literal:", digest(pool, bytes, len), NULL);
        key->where = NULL;
    }
    *warning = draft.warning;
    key->open_to_all = draft.warning != NULL;
    explicit_bzero(&draft, sizeof(draft));
    return fault;
}

const char *kohomai_keys_add(kohomai_keys_t *keys, const char *source, const kohomai_key_t **found,
                             const char **warning)
{
    kohomai_key_t *key = apr_pcalloc(keys->pool, sizeof(*key));
    const char *fault = read_source(keys->pool, source, key);

    *warning = NULL;
    *found = fault ? NULL : kohomai_keys_find(keys, key->label);
    if (fault || *found) {
        return fault;
    }
    fault = lock_up(keys->pool, key, warning);
    if (!fault) {
        APR_ARRAY_PUSH(keys->all, kohomai_key_t *) = key;
        *found = key;
    }
    return fault;
}

/* ---- rotation ---- */

static int is_unchanged(apr_pool_t *pool, const kohomai_key_t *key)
{
    apr_finfo_t info;
    stamp_t now;

    if (apr_stat(&info, key->where, STAMP_FIELDS, pool) != APR_SUCCESS) {
        return 0;
    }
    now = stamp_of(&info);
    return now.modified == key->seen.modified && now.changed == key->seen.changed &&
           now.size == key->seen.size && now.inode == key->seen.inode &&
           now.device == key->seen.device;
}

/* Puts a key in the place of the one that is in use; 0 where it is the same. */
static int exchange(kohomai_key_t *key, const char *bytes, apr_size_t len)
{
    char old[KOHOMAI_KEY_MAX];
    int same = kohomai_vault_get(key->vault, old) == len && memcmp(old, bytes, len) == 0;

    explicit_bzero(old, sizeof(old));
    if (!same) {
        kohomai_vault_put(key->vault, bytes, len);
    }
    return !same;
}

/* Says what changed about the file since the last time; what stays as bad as it was is not said
 * again. */
static void say(server_rec *s, kohomai_key_t *key, const char *fault, int exchanged,
                const char *warning)
{
    if (fault && !key->ill) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "KohomaiAPIKey %s: %s. The key from before stays in use, but httpd will not "
                     "start like this",
                     key->label, fault);
    }
    if (!fault && key->ill) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, "KohomaiAPIKey %s: the file is well again",
                     key->label);
    }
    if (exchanged) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "KohomaiAPIKey %s: the file has changed, and its new key is in use",
                     key->label);
    }
    if (warning && !key->open_to_all) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "KohomaiAPIKey %s: %s", key->label, warning);
    }
    key->ill = fault != NULL;
    key->open_to_all = warning != NULL;
}

static void refresh(apr_pool_t *pool, kohomai_key_t *key, server_rec *s)
{
    draft_t draft = {.bytes = ""};
    const char *bytes = NULL, *fault;
    apr_size_t len = 0;
    int exchanged = 0;

    if (is_unchanged(pool, key)) {
        return;
    }
    fault = fetch(pool, key, &draft);
    if (!fault) {
        fault = trim_and_judge(&draft, &bytes, &len);
    }
    if (!fault) {
        exchanged = exchange(key, bytes, len);
    }
    remember(key, &draft);
    say(s, key, fault, exchanged, draft.warning);
    explicit_bzero(&draft, sizeof(draft));
}

void kohomai_keys_refresh(kohomai_keys_t *keys, server_rec *s)
{
    apr_pool_t *pool;
    int i;

    apr_pool_create(&pool, keys->pool);
    for (i = 0; i < keys->all->nelts; i++) {
        kohomai_key_t *key = APR_ARRAY_IDX(keys->all, i, kohomai_key_t *);

        if (key->source == SOURCE_FILE) {
            refresh(pool, key, s);
        }
    }
    apr_pool_destroy(pool);
}

/* ---- use ---- */

const char *kohomai_key_label(const kohomai_key_t *key)
{
    return key->label;
}

const char *kohomai_key_write_line(const kohomai_key_t *key, char *line)
{
    apr_size_t begins = sizeof(LINE_BEGINS) - 1;

    if (!key) {
        return NULL;
    }
    memcpy(line, LINE_BEGINS, begins);
    line[begins + kohomai_vault_get(key->vault, line + begins)] = '\0';
    return line;
}

void kohomai_key_wipe_line(char *line)
{
    if (line) {
        explicit_bzero(line, strlen(line));
    }
}
