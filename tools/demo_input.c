// SPDX-License-Identifier: MPL-2.0
// Walks folders for text files and cuts their concatenation into chunks between words.
#include "demo_input.h"

#include "demo_words.h"
#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void
demo_input_init(demo_input *input, const skua_allocator *hook) {
    *input = (demo_input){.hook = hook, .fd = -1};
}

void
demo_input_fini(demo_input *input) {
    for (size_t i = 0; i < input->count; i++) {
        skua__mem_free(input->hook, input->paths[i]);
    }
    skua__mem_free(input->hook, (void *)input->paths);
    skua__mem_free(input->hook, input->buffer);
    if (input->fd >= 0) {
        close(input->fd);
    }
    demo_input_init(input, input->hook);
}

/* ---- Finding the files ---- */

bool
demo_input_is_text(const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = bytes[i];
        bool blank = (byte >= '\b' && byte <= '\r') || byte == 0x1b;
        if ((byte < 0x20 && !blank) || byte == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool
file_is_text(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    unsigned char bytes[DEMO_INPUT_PROBE_BYTES];
    ssize_t size = read(fd, bytes, sizeof bytes);
    close(fd);
    return size > 0 && demo_input_is_text(bytes, (size_t)size);
}

static skua_status
add_file(demo_input *input, const char *path, uint64_t size_bytes, skua_error *err) {
    if (!file_is_text(path)) {
        input->skipped++;
        return SKUA_OK;
    }
    if (input->count == DEMO_INPUT_MAX_FILES) {
        return SKUA_FAIL(err, SKUA_E_LIMIT, "there are more than %d files; name fewer paths",
                         DEMO_INPUT_MAX_FILES);
    }
    if (input->count == input->capacity) {
        size_t capacity = input->capacity ? input->capacity * 2 : 64;
        char **paths =
            skua__mem_resize(input->hook, (void *)input->paths, capacity * sizeof *paths);
        if (!paths) {
            return SKUA_FAIL_MEMORY(err, "the list of files");
        }
        input->paths = paths;
        input->capacity = capacity;
    }
    char *copy = skua__mem_strdup(input->hook, path);
    if (!copy) {
        return SKUA_FAIL_MEMORY(err, "the list of files");
    }
    input->paths[input->count++] = copy;
    input->size_bytes += size_bytes;
    return SKUA_OK;
}

static int
by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name); /* the same order in every locale */
}

static int
not_hidden(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static skua_status
add_folder(demo_input *input, const char *folder, int depth, skua_error *err) {
    struct dirent **entries;
    int count = depth < DEMO_INPUT_MAX_DEPTH ? scandir(folder, &entries, not_hidden, by_bytes) : -1;
    if (count < 0) {
        input->skipped++;
        return SKUA_OK;
    }
    skua_status status = SKUA_OK;
    for (int i = 0; i < count; i++) {
        char path[4096];
        struct stat info;
        int size = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
        if (status || size >= (int)sizeof path || lstat(path, &info) != 0) {
            continue;
        }
        if (S_ISDIR(info.st_mode)) {
            status = add_folder(input, path, depth + 1, err);
        } else if (S_ISREG(info.st_mode) && info.st_size > 0) {
            status = add_file(input, path, (uint64_t)info.st_size, err);
        }
    }
    free((void *)entries);
    return status;
}

skua_status
demo_input_add(demo_input *input, const char *path, skua_error *err) {
    struct stat info;
    if (stat(path, &info) != 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_FILE, errno, "cannot read \"%s\"", path);
    }
    if (S_ISDIR(info.st_mode)) {
        return add_folder(input, path, 0, err);
    }
    return add_file(input, path, (uint64_t)info.st_size, err);
}

/* ---- Reading them ---- */

skua_status
demo_input_start(demo_input *input, size_t chunk_bytes, uint64_t least_bytes, skua_error *err) {
    if (input->count == 0) {
        return SKUA_FAIL(err, SKUA_E_NOT_FOUND, "there is no text file under these paths");
    }
    input->buffer = skua__mem_new(input->hook, chunk_bytes);
    if (!input->buffer) {
        return SKUA_FAIL_MEMORY(err, "a chunk of input");
    }
    input->buffer_size = input->chunk_bytes = chunk_bytes;
    input->least_bytes = least_bytes;
    return SKUA_OK;
}

/* Opens the next file that can be opened; false at the end of the input. */
static bool
open_next(demo_input *input) {
    for (size_t failed = 0; failed <= input->count; failed++) {
        if (input->next == input->count) {
            /* A whole round that brought nothing: the files are gone, and would never fill the least. */
            if (input->read_bytes >= input->least_bytes ||
                input->read_bytes == input->round_start_bytes) {
                return false;
            }
            input->next = 0;
            input->round_start_bytes = input->read_bytes;
        }
        input->rounds += input->next == 0;
        input->fd = open(input->paths[input->next++], O_RDONLY | O_CLOEXEC);
        if (input->fd >= 0) {
            return true;
        }
    }
    return false;
}

/* Fills the buffer as far as the files go. */
static void
fill(demo_input *input) {
    while (!input->ended && input->used < input->buffer_size) {
        if (input->fd < 0 && !open_next(input)) {
            input->ended = true;
            return;
        }
        ssize_t size =
            read(input->fd, input->buffer + input->used, input->buffer_size - input->used);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size <= 0) {
            close(input->fd);
            input->fd = -1;
            continue;
        }
        if (input->read_bytes == 0) {
            input->leading = !demo_is_letter((unsigned char)input->buffer[0]);
        }
        input->used += (size_t)size;
        input->read_bytes += (uint64_t)size;
    }
}

/* How much of the buffer can go: all of it at the end, else up to and with the last byte that is no letter. */
static size_t
cut(const demo_input *input) {
    size_t size = input->used;
    while (!input->ended && size > 0 && demo_is_letter((unsigned char)input->buffer[size - 1])) {
        size--;
    }
    return size;
}

skua_status
demo_input_next(demo_input *input, char **ret_bytes, size_t *ret_size, skua_error *err) {
    fill(input);
    size_t size;
    while ((size = cut(input)) == 0 && !input->ended) {
        /* One word fills the whole buffer. */
        if (input->buffer_size >= DEMO_INPUT_MAX_CHUNK) {
            return SKUA_FAIL(err, SKUA_E_TOO_BIG, "a word is longer than %d bytes",
                             DEMO_INPUT_MAX_CHUNK);
        }
        char *bigger = skua__mem_resize(input->hook, input->buffer, input->buffer_size * 2);
        if (!bigger) {
            return SKUA_FAIL_MEMORY(err, "a chunk of input");
        }
        input->buffer = bigger;
        input->buffer_size *= 2;
        fill(input);
    }
    char *bytes = NULL;
    if (size) {
        bytes = skua__mem_copy(input->hook, input->buffer, size);
        if (!bytes) {
            return SKUA_FAIL_MEMORY(err, "a chunk of input");
        }
        memmove(input->buffer, input->buffer + size, input->used - size);
        input->used -= size;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return SKUA_OK;
}
