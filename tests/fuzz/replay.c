// SPDX-License-Identifier: MPL-2.0
// Feeds the kept inputs of a fuzz target, and cuts and flips of them, to the target: a test for every compiler.
#include "fuzz.h"

#include <dirent.h>

enum { INPUT_MAX = 256 * 1024 };

/* The input itself, every prefix of a small one, and one flipped bit in each byte. */
static void
feed(const uint8_t *bytes, size_t size) {
    LLVMFuzzerTestOneInput(bytes, size);
    /* A copy of exactly that size each time, so that a sanitizer sees the first byte behind it. */
    for (size_t cut = 0; cut < size && size <= 1024; cut++) {
        uint8_t *copy = malloc(size);
        FUZZ_CHECK(copy != NULL);
        memcpy(copy, bytes, size);
        copy[cut] ^= (uint8_t)(1u << cut % 8);
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
        copy = malloc(cut + 1);
        FUZZ_CHECK(copy != NULL);
        memcpy(copy, bytes, cut);
        LLVMFuzzerTestOneInput(copy, cut);
        free(copy);
    }
}

static bool
feed_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return false;
    }
    uint8_t *bytes = malloc(INPUT_MAX);
    FUZZ_CHECK(bytes != NULL);
    size_t size = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    feed(bytes, size);
    free(bytes);
    return true;
}

int
main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: replay_NAME FOLDER\n");
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (!folder) {
        perror(argv[1]);
        return 1;
    }
    int inputs = 0;
    bool whole = true;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
            whole = feed_file(path) && whole;
            inputs++;
        }
    }
    closedir(folder);
    printf("%d inputs\n", inputs);
    /* An empty corpus would be a test that cannot fail. */
    return whole && inputs > 0 ? 0 : 1;
}
