/* replay: runs a fuzz target over its seeds without a fuzzer, and over every prefix of each; or, as they
 *   are, over the inputs in folders that are named. A TAP line tells of each. Linked with one target,
 *   it is one program of build/replay/.
 * Threads: one. Memory: its own.
 * Never: passes where there are no seeds. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Longer seeds are replayed as a whole only. */
#define PREFIXES_MAX 4096

/* The bytes of a file as a malloc of its own, so that a read past their end is seen. */
static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    struct stat info;

    if (!file) {
        return NULL;
    }
    if (fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode)) {
        *size = (size_t)info.st_size;
        bytes = malloc(*size ? *size : 1);
        if (bytes && fread(bytes, 1, *size, file) != *size) {
            free(bytes);
            bytes = NULL;
        }
    }
    fclose(file);
    return bytes;
}

static int run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy) {
        return -1;
    }
    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return 0;
}

static int replay(const char *path, int prefixes)
{
    size_t size = 0, length;
    uint8_t *bytes = read_file(path, &size);
    int failed = !bytes;

    /* Told beforehand: a target that finds a fault ends the program. */
    printf("# %s\n", path);
    fflush(stdout);
    for (length = prefixes && size <= PREFIXES_MAX ? 0 : size; !failed && length <= size;
         length++) {
        failed = run(bytes, length);
    }
    free(bytes);
    return failed;
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Replays a folder's seeds in the order of their names; returns how many there were, -1 for a
 * fault. */
static int replay_folder(const char *folder, int number, int prefixes)
{
    struct dirent **seeds;
    int count = scandir(folder, &seeds, is_seed, alphasort), failed = 0, i;

    for (i = 0; i < count; i++) {
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", folder, seeds[i]->d_name);
        if (replay(path, prefixes)) {
            failed = 1;
            printf("not ");
        }
        printf("ok %d - %s\n", ++number, path);
        free(seeds[i]);
    }
    if (count >= 0) {
        free(seeds);
    }
    return failed ? -1 : count;
}

/* The folders are named by the arguments; without any it is the one of the program's own name, seen
 * from the checkout. */
int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    char own[4096], *folders[] = {own}, **at = argc > 1 ? argv + 1 : folders;
    int left = argc > 1 ? argc - 1 : 1, number = 0;

    snprintf(own, sizeof(own), "t/fuzz/corpus/%s", slash ? slash + 1 : argv[0]);
    for (; left; left--, at++) {
        int count = replay_folder(*at, number, argc == 1);

        if (count <= 0) {
            fprintf(stderr, "%s: no seeds there, or one could not be read\n", *at);
            return 1;
        }
        number += count;
    }
    printf("1..%d\n", number);
    return 0;
}
