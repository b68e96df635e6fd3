/* key: fetches the API key from where the configuration says it is.
 * Threads: start-up only, as the user who starts httpd. Memory: the pool that was passed.
 * Never: logs the key or puts it into an error. */
#include "key.h"
#include "text.h"

#include <apr_env.h>
#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <httpd.h>

#include <http_config.h>
#include <string.h>

static const char *system_error(apr_pool_t *pool, apr_status_t rv)
{
    char text[120];

    return apr_pstrdup(pool, apr_strerror(rv, text, sizeof(text)));
}

static const char *from_file(apr_pool_t *pool, const char *name, const char **key,
                             const char **warning)
{
    const char *path = ap_server_root_relative(pool, name);
    char *bytes = apr_pcalloc(pool, KOHOMAI_KEY_MAX + 2);
    apr_size_t len = 0;
    apr_file_t *file;
    apr_finfo_t info;
    apr_status_t rv;

    rv = path ? apr_file_open(&file, path, APR_READ, 0, pool) : APR_EBADPATH;
    if (rv == APR_SUCCESS) {
        rv = apr_file_read_full(file, bytes, KOHOMAI_KEY_MAX + 1, &len);
        if (apr_file_info_get(&info, APR_FINFO_PROT, file) == APR_SUCCESS &&
            (info.protection & APR_FPROT_WREAD)) {
            *warning = apr_psprintf(pool,
                                    "everybody on this machine can read the key in %s: "
                                    "chmod o-r it",
                                    path);
        }
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS && rv != APR_EOF) {
        return apr_psprintf(pool,
                            "cannot read the key file %s: %s; it must be readable by the "
                            "user who starts httpd",
                            name, system_error(pool, rv));
    }
    if (strlen(bytes) != len) {
        return apr_psprintf(pool, "the key file %s holds a NUL character", name);
    }
    *key = bytes;
    return NULL;
}

static const char *from_environment(apr_pool_t *pool, const char *name, const char **key)
{
    char *value = NULL;

    if (apr_env_get(&value, name, pool) != APR_SUCCESS || !value) {
        return apr_psprintf(pool,
                            "the environment has no variable %s; set it where httpd is "
                            "started (on Debian: /etc/apache2/envvars)",
                            name);
    }
    *key = value;
    return NULL;
}

/* Runs a command without a shell and reads what it prints, up to KOHOMAI_KEY_MAX bytes. */
static apr_status_t run(apr_pool_t *pool, char **argv, char *printed, int *code)
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
    apr_file_read_full(process.out, printed, KOHOMAI_KEY_MAX, &len);
    apr_file_close(process.out);
    apr_proc_wait(&process, code, &why, APR_WAIT);
    if (why != APR_PROC_EXIT) {
        *code = -1;
    }
    return APR_SUCCESS;
}

static const char *from_command(apr_pool_t *pool, const char *command, const char **key)
{
    static const char mend[] = "give its whole path, and let it print the key as its first line "
                               "and end with status 0";
    char *printed = apr_pcalloc(pool, KOHOMAI_KEY_MAX + 1);
    int code = 0;
    apr_status_t rv;
    char **argv;

    if (apr_tokenize_to_argv(command, &argv, pool) != APR_SUCCESS || !argv[0]) {
        return "exec: must be followed by a command";
    }
    rv = run(pool, argv, printed, &code);
    if (rv != APR_SUCCESS) {
        return apr_psprintf(pool, "the command %s could not be run: %s; %s", argv[0],
                            system_error(pool, rv), mend);
    }
    if (code != 0) {
        return apr_psprintf(pool, "the command %s ended with status %d; %s", argv[0], code, mend);
    }
    printed[strcspn(printed, "\r\n")] = '\0';
    if (*printed == '\0') {
        return apr_psprintf(pool, "the command %s printed nothing; %s", argv[0], mend);
    }
    *key = printed;
    return NULL;
}

static const char *trim_and_judge(apr_pool_t *pool, const char *fetched, const char **key)
{
    char *copy = apr_pstrdup(pool, fetched + strspn(fetched, " \t\r\n"));
    apr_size_t len = strlen(copy);

    while (len && apr_isspace(copy[len - 1])) {
        copy[--len] = '\0';
    }
    if (len == 0) {
        return "the key is empty";
    }
    if (len > KOHOMAI_KEY_MAX) {
        return "the key is too long: at most " APR_STRINGIFY(KOHOMAI_KEY_MAX) " bytes";
    }
    if (!kohomai_text_is_utf8(copy, len) || kohomai_text_has_control(copy, len, 0)) {
        return "the key holds a control character: it must be one line of text, as the Kohomai "
               "back-office shows it under Settings > API";
    }
    *key = copy;
    return NULL;
}

const char *kohomai_key_fetch(apr_pool_t *pool, const char *source, const char **key,
                              const char **warning)
{
    const char *fault = NULL, *fetched = "";

    *warning = NULL;
    if (strncmp(source, "file:", 5) == 0) {
        fault = from_file(pool, source + 5, &fetched, warning);
    }
    else if (strncmp(source, "env:", 4) == 0) {
        fault = from_environment(pool, source + 4, &fetched);
    }
    else if (strncmp(source, "exec:", 5) == 0) {
        fault = from_command(pool, source + 5, &fetched);
    }
    else {
        fetched = source;
        *warning = "the key stands in the configuration, where dumps and backups show it: put it "
                   "into a file and write file:PATH";
    }
    return fault ? fault : trim_and_judge(pool, fetched, key);
}
