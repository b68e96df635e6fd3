/* Tests of vault: what a reader gets is always one whole secret, whoever writes or dies meanwhile; and
 * where the secret is not. */
#include "vault.h"
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 20000
#define READERS 2

/* Secret number n: of a length and of a letter that only it has among its neighbours. */
static apr_size_t make(unsigned n, char *secret)
{
    apr_size_t len = 1 + n * 977u % KOHOMAI_VAULT_MAX;

    memset(secret, (int)(1 + len % 251), len);
    return len;
}

static int is_whole(const char *secret, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; i++) {
        if (secret[i] != (char)(1 + len % 251)) {
            return 0;
        }
    }
    return len > 0;
}

static void put(kohomai_vault_t *vault, unsigned n)
{
    char secret[KOHOMAI_VAULT_MAX];

    kohomai_vault_put(vault, secret, make(n, secret));
}

static int holds(const kohomai_vault_t *vault, const char *secret, apr_size_t len)
{
    char room[KOHOMAI_VAULT_MAX];

    return kohomai_vault_get(vault, room) == len && memcmp(room, secret, len) == 0;
}

static void what_was_put_comes_out(apr_pool_t *pool)
{
    kohomai_vault_t *vault = kohomai_vault_create(pool);
    char room[KOHOMAI_VAULT_MAX], longest[KOHOMAI_VAULT_MAX + 1];

    expect(kohomai_vault_get(vault, room) == 0, "a fresh vault is empty");
    kohomai_vault_put(vault, "juniper", 7);
    expect(holds(vault, "juniper", 7), "a secret");
    kohomai_vault_put(vault, "rowan", 5);
    expect(holds(vault, "rowan", 5), "a shorter one");
    memset(longest, 'x', sizeof(longest));
    kohomai_vault_put(vault, longest, sizeof(longest));
    expect(holds(vault, longest, KOHOMAI_VAULT_MAX), "no more than there is room for");
}

/* Neither does the secret from before stay anywhere in the vault's pages. */
static void an_old_secret_is_wiped(apr_pool_t *pool)
{
    kohomai_vault_t *vault = kohomai_vault_create(pool);

    kohomai_vault_put(vault, "juniper", 7);
    expect(memmem(vault, 2 * KOHOMAI_VAULT_MAX, "juniper", 7) != NULL,
           "the search finds one that is there");
    kohomai_vault_put(vault, "rowan", 5);
    expect(!memmem(vault, 2 * KOHOMAI_VAULT_MAX, "juniper", 7), "and none that was exchanged");
}

/* The kernel's own word for it: dd, "do not dump". */
static void its_pages_are_in_no_core_dump(apr_pool_t *pool)
{
    kohomai_vault_t *vault = kohomai_vault_create(pool);
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512], start[32];
    int here = 0, left_out = 0, shared = 0;

    (void)snprintf(start, sizeof(start), "%lx-", (unsigned long)vault);
    while (maps && fgets(line, sizeof(line), maps)) {
        if (strncmp(line, start, strlen(start)) == 0) {
            here = 1;
            shared = strstr(line, "rw-s") != NULL;
        }
        if (here && strncmp(line, "VmFlags:", 8) == 0) {
            left_out = strstr(line, " dd") != NULL;
            break;
        }
    }
    if (maps) {
        (void)fclose(maps);
    }
    expect(here && shared && left_out, "mapped %d, shared %d, left out %d", here, shared, left_out);
}

typedef struct {
    kohomai_vault_t *vault;
    atomic_int over;
    atomic_int torn;
    atomic_uint reads;
} race_t;

static void *read_on(void *baton)
{
    race_t *race = baton;
    char room[KOHOMAI_VAULT_MAX];

    do {
        if (!is_whole(room, kohomai_vault_get(race->vault, room))) {
            atomic_fetch_add(&race->torn, 1);
        }
        atomic_fetch_add(&race->reads, 1);
    } while (!atomic_load(&race->over));
    return NULL;
}

static void readers_see_whole_secrets_while_it_is_exchanged(apr_pool_t *pool)
{
    race_t race = {.vault = kohomai_vault_create(pool)};
    pthread_t readers[READERS];
    unsigned n;

    put(race.vault, 0);
    for (n = 0; n < READERS; n++) {
        expect(pthread_create(&readers[n], NULL, read_on, &race) == 0, "a thread");
    }
    for (n = 1; n < ROUNDS; n++) {
        put(race.vault, n);
    }
    atomic_store(&race.over, 1);
    for (n = 0; n < READERS; n++) {
        pthread_join(readers[n], NULL);
    }
    expect(atomic_load(&race.torn) == 0, "%d of %u were torn", atomic_load(&race.torn),
           atomic_load(&race.reads));
}

/* Puts one secret after the other until it is killed. */
static pid_t start_writer(kohomai_vault_t *vault)
{
    pid_t writer = fork();
    unsigned n = 0;

    if (writer == 0) {
        for (;;) {
            put(vault, ++n);
        }
    }
    return writer;
}

/* The writer is killed wherever it is; whoever reads then has a whole secret at once, and the next
 * writer goes on. */
static void a_writer_that_dies_harms_nobody(apr_pool_t *pool)
{
    kohomai_vault_t *vault = kohomai_vault_create(pool);
    char room[KOHOMAI_VAULT_MAX];
    int round;

    for (round = 0; round < 40; round++) {
        apr_size_t len;
        pid_t writer;

        kohomai_vault_put(vault, "?", 1);
        writer = start_writer(vault);
        while (writer > 0 && kohomai_vault_get(vault, room) == 1 && room[0] == '?') {
            usleep(10); /* until it has begun */
        }
        usleep((useconds_t)(round * 37 % 500));
        kill(writer, SIGKILL);
        expect(waitpid(writer, NULL, 0) == writer, "round %d: the writer", round);
        len = kohomai_vault_get(vault, room);
        expect(is_whole(room, len), "round %d: what it left is whole", round);
        kohomai_vault_put(vault, "juniper", 7);
        expect(holds(vault, "juniper", 7), "round %d: the next writer goes on", round);
    }
}

/* A child keeps its own sight of the pages when the parent lets go of them. */
static void a_child_keeps_what_its_parent_lets_go_of(apr_pool_t *pool)
{
    kohomai_vault_t *vault;
    apr_pool_t *configuration;
    int go[2], status = 0;
    pid_t child;
    char byte;

    apr_pool_create(&configuration, pool);
    vault = kohomai_vault_create(configuration);
    expect(pipe(go) == 0, "a pipe");
    child = fork();
    if (child == 0) {
        (void)!read(go[0], &byte, 1);
        _exit(holds(vault, "juniper", 7) ? 0 : 1);
    }
    kohomai_vault_put(vault, "juniper", 7); /* which the child sees, too */
    apr_pool_destroy(configuration);
    expect(write(go[1], "x", 1) == 1, "the child goes on");
    expect(waitpid(child, &status, 0) == child && status == 0, "and has the secret: %d", status);
    close(go[0]);
    close(go[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(what_was_put_comes_out),
        UNIT(an_old_secret_is_wiped),
        UNIT(its_pages_are_in_no_core_dump),
        UNIT(readers_see_whole_secrets_while_it_is_exchanged),
        UNIT(a_writer_that_dies_harms_nobody),
        UNIT(a_child_keeps_what_its_parent_lets_go_of),
    };

    return UNIT_MAIN(tests);
}
