// SPDX-License-Identifier: MPL-2.0
// Memory through the hook: zeroed blocks, copies of strings and bytes. A NULL hook is the default.
#ifndef SKUA_INT_MEM_H
#define SKUA_INT_MEM_H

#include <skua/alloc.h>
#include <stdbool.h>

/* Each returns NULL when there is no memory. The caller owns the block: skua__mem_free() ends it. */
void *skua__mem_new(const skua_allocator *hook, size_t size_bytes);  /* zeroed */
void *skua__mem_room(const skua_allocator *hook, size_t size_bytes); /* not zeroed */
void *skua__mem_new_array(const skua_allocator *hook, size_t count, size_t size_bytes); /* zeroed */
void *skua__mem_resize(const skua_allocator *hook, void *block, size_t size_bytes);
void *skua__mem_copy(const skua_allocator *hook, const void *bytes, size_t size_bytes);
char *skua__mem_strdup(const skua_allocator *hook, const char *text);

/* Takes NULL. Returns NULL, so that an owner is cleared in the same line. */
void *skua__mem_free(const skua_allocator *hook, void *block);

/* Gives a block up for good, because something outside of the process may yet write to it: it is no leak to be reported. */
void skua__mem_lose(const void *block);

/* The options of a handle, brought up to the library's size: see skua__options_read(). */
#define SKUA_READ_OPTIONS(ret, given) skua__options_read((ret), sizeof *(ret), (given))

/*
 * Copies a caller's options struct, whose first member is its size, into *ret of ret_size bytes. A shorter
 * (older) struct is filled up with zeros; a longer (newer) one is accepted when what we do not know is zero.
 * given may be NULL: all zero. Returns false when given has a size under sizeof(size_t), or asks for
 * something that this library does not know.
 */
bool skua__options_read(void *ret, size_t ret_size, const void *given);

#endif
