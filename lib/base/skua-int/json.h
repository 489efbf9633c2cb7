// SPDX-License-Identifier: MPL-2.0
// Writes JSON: to a FILE, or into memory that grows. Commas, escapes and nesting are the writer's business; a failure
// stays, and the caller asks once at the end. 64-bit integers are written exactly.
#ifndef SKUA_INT_JSON_H
#define SKUA_INT_JSON_H

#include <skua/alloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { SKUA__JSON_DEPTH = 32 }; /* objects and arrays inside each other */

typedef struct skua__json {
    FILE *file; /* NULL: memory */
    const skua_allocator *hook;
    char *text; /* memory: what was written, ended by 0; NULL while nothing was */
    size_t used, capacity;
    uint32_t depth;
    bool failed;                      /* no memory, a write error, or calls that do not nest */
    bool after_key;                   /* a key was written, its value is next */
    bool started;                     /* the outermost value was begun */
    char open[SKUA__JSON_DEPTH];      /* '{' or '[' for each level */
    bool has_items[SKUA__JSON_DEPTH]; /* whether that level needs a comma */
} skua__json;

/* Prepares a writer. file is borrowed. No end is needed for a FILE; memory is ended by skua__json_fini(). */
void skua__json_to_file(skua__json *json, FILE *file);
void skua__json_to_memory(skua__json *json, const skua_allocator *hook);
/* Frees the text of a memory writer; harmless for a FILE. */
void skua__json_fini(skua__json *json);

/*
 * Closes a whole document: true when one value was written, everything is closed and nothing failed. A FILE gets
 * a line break and is flushed; the writer may begin the next document (one object a line).
 */
bool skua__json_end(skua__json *json);

/* Structure. Inside an object each value is preceded by its key. */
void skua__json_object(skua__json *json);
void skua__json_object_end(skua__json *json);
void skua__json_array(skua__json *json);
void skua__json_array_end(skua__json *json);
void skua__json_key(skua__json *json, const char *key);

/* Values. NULL text is null. Bytes that are no valid UTF-8 become U+FFFD; NaN and infinities become null. */
void skua__json_text(skua__json *json, const char *text);
void skua__json_text_n(skua__json *json, const void *bytes, size_t size);
void skua__json_i64(skua__json *json, int64_t value);
void skua__json_u64(skua__json *json, uint64_t value);
void skua__json_double(skua__json *json, double value);
void skua__json_bool(skua__json *json, bool value);
void skua__json_null(skua__json *json);

/* A key and its value in one line. */
void skua__json_put_text(skua__json *json, const char *key, const char *text);
void skua__json_put_i64(skua__json *json, const char *key, int64_t value);
void skua__json_put_u64(skua__json *json, const char *key, uint64_t value);
void skua__json_put_double(skua__json *json, const char *key, double value);
void skua__json_put_bool(skua__json *json, const char *key, bool value);

#endif
