// SPDX-License-Identifier: MPL-2.0
// The inside of a batcher: how a batch lies in a task's input and output, and one step in time.
#ifndef SKUA_INT_BATCH_H
#define SKUA_INT_BATCH_H

#include <skua/batch.h>

/* ---- The layout (batch_layout.c): see skua_batch_work ---- */

/* The bytes of a batch of so many requests with data_bytes bytes together. */
size_t skua__batch_input_bytes(uint32_t requests, size_t data_bytes);

/* Writes the head of a batch into room; the caller then sets each end and copies each request's bytes. */
void skua__batch_put_head(void *room, uint32_t requests);
/* Puts request i at [begin, begin + bytes) of the requests' bytes. Returns the next one's begin. */
size_t skua__batch_put(void *room, uint32_t requests, uint32_t i, size_t begin, const void *data,
                       size_t bytes);

/* A task's output, checked as the answers to `requests` requests: cut with skua__batch_cut(). */
typedef struct skua__batch_answers {
    const unsigned char *table, *data;
    uint32_t requests;
} skua__batch_answers;

/* Returns false when the output is anything else; then *ret is untouched. */
bool skua__batch_check(const void *output, size_t output_bytes, uint32_t requests,
                       skua__batch_answers *ret);
/* Answer i of checked ones, i < requests. Returns its code. */
int32_t skua__batch_cut(const skua__batch_answers *answers, uint32_t i, const void **ret_bytes,
                        size_t *ret_size);

/* ---- Time (batch.c) ---- */

/*
 * Ends what has expired at now_ns and sends one batch if one is to leave then. Returns whether it did either. The batcher's
 * thread calls it with the clock's time; a test may call it with any other.
 */
bool skua__batch_step(skua_batch *batch, int64_t now_ns);

#endif
