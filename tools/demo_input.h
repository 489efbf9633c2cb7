// SPDX-License-Identifier: MPL-2.0
// The demo's input: the text files under some paths, read one after the other as `cat` would, in chunks that end between words.
#ifndef SKUA_DEMO_INPUT_H
#define SKUA_DEMO_INPUT_H

#include <skua/alloc.h>
#include <skua/error.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    DEMO_INPUT_MAX_FILES = 1 << 20, /* files under all paths */
    DEMO_INPUT_MAX_DEPTH = 64,      /* folders inside each other */
    DEMO_INPUT_PROBE_BYTES = 4096,  /* looked at to tell text from other files */
    DEMO_INPUT_MAX_CHUNK = 1 << 28, /* bytes: only a word that long makes a chunk so big */
};

typedef struct demo_input {
    const skua_allocator *hook;
    char **paths;
    size_t count, capacity;
    uint64_t size_bytes; /* of all files together, when they were found */
    size_t skipped;      /* files that are not text, or could not be read */

    /* reading */
    size_t chunk_bytes;
    uint64_t least_bytes; /* begin again from the first file until this much was read */
    size_t next;          /* the file to open next */
    int fd;               /* the file being read, or -1 */
    uint64_t read_bytes;
    uint64_t round_start_bytes; /* read_bytes when the first file was begun again */
    size_t rounds;              /* how often the first file was begun */
    char *buffer;
    size_t buffer_size, used;
    bool ended;
    bool leading; /* the input does not begin with a letter */
} demo_input;

void demo_input_init(demo_input *input, const skua_allocator *hook);
void demo_input_fini(demo_input *input);

/*
 * Adds the text files under path, sorted by name in each folder; a path may also be a file. Symbolic links below path are
 * not followed, and files that are not text are skipped. Returns 0; SKUA_E_FILE when path itself is not there;
 * SKUA_E_LIMIT; SKUA_E_NO_MEMORY.
 */
skua_status demo_input_add(demo_input *input, const char *path, skua_error *err);

/* Whether a file that begins with these bytes is text: no control characters but line ends, tabs and the like. */
bool demo_input_is_text(const unsigned char *bytes, size_t size);

/* Begins to read: chunks of about chunk_bytes, and the files again and again until least_bytes were read. */
skua_status demo_input_start(demo_input *input, size_t chunk_bytes, uint64_t least_bytes,
                             skua_error *err);

/*
 * The next chunk, which ends between two words or at the end; the caller owns *ret_bytes: skua__mem_free(). At the end
 * *ret_size is 0 and *ret_bytes NULL. Returns 0, SKUA_E_NO_MEMORY, SKUA_E_TOO_BIG (a word of 256 MiB).
 */
skua_status demo_input_next(demo_input *input, char **ret_bytes, size_t *ret_size, skua_error *err);

#endif
