// SPDX-License-Identifier: MPL-2.0
// The tasks of `skua node --serve`, and the executor and pool that run them.
#include "serve.h"

#include "demo_words.h"
#include <skua-int/fail.h>
#include <skua/device.h>
#include <skua/exec.h>
#include <skua/pool.h>
#include <stdlib.h>

struct serve {
    skua_exec *exec;
    skua_devices *devices;
    skua_pool *pool;
};

static int
run_echo(skua_task_call *call, void *arg) {
    (void)arg;
    size_t size;
    const void *input = skua_task_input(call, &size);
    return skua_task_reply(call, input, size) ? skua_task_fail(call, 1, "no memory") : 0;
}

/* One piece of a chunk, counted by one worker. */
struct part {
    const char *text;
    size_t size;
    demo_words words;
    skua_status status;
};

struct chunk {
    struct part parts[SERVE_MAX_PARTS];
    uint32_t count;
};

/* Cuts a chunk into about equal parts that end between words. */
static void
cut(struct chunk *chunk, const char *text, size_t size, uint32_t workers) {
    size_t most = size / SERVE_LEAST_PART_BYTES + 1;
    uint32_t parts = workers < SERVE_MAX_PARTS ? workers : SERVE_MAX_PARTS;
    parts = most < parts ? (uint32_t)most : parts;
    size_t start = 0;
    chunk->count = 0;
    for (uint32_t i = 0; i < parts && start < size; i++) {
        size_t end = i + 1 == parts ? size : size / parts * (i + 1);
        end = end < start ? start : end;
        while (end < size && demo_is_letter((unsigned char)text[end])) {
            end++;
        }
        struct part *part = &chunk->parts[chunk->count++];
        *part = (struct part){.text = text + start, .size = end - start};
        demo_words_init(&part->words, NULL);
        start = end;
    }
}

static void
count_part(skua_worker w, void *frame) {
    (void)w;
    struct part *part = frame;
    part->status = demo_words_scan(&part->words, part->text, part->size);
}

static void
count_chunk(skua_worker w, void *frame) {
    struct chunk *chunk = frame;
    for (uint32_t i = 1; i < chunk->count; i++) {
        skua_spawn(&w, count_part, &chunk->parts[i]);
    }
    count_part(w, &chunk->parts[0]);
    for (uint32_t i = chunk->count; i-- > 1;) {
        skua_sync(&w, count_part, &chunk->parts[i]);
    }
    /* The parts share most of their words, so merging is cheap beside counting. */
    struct part *first = &chunk->parts[0];
    for (uint32_t i = 1; i < chunk->count; i++) {
        struct part *part = &chunk->parts[i];
        first->status = first->status ? first->status : part->status;
        if (!first->status) {
            first->status = demo_words_merge(&first->words, &part->words);
        }
        demo_words_fini(&part->words);
    }
}

static int
run_wordcount(skua_task_call *call, void *arg) {
    serve *self = arg;
    size_t size;
    const char *text = skua_task_input(call, &size);
    struct chunk chunk;
    cut(&chunk, text, size, skua_exec_workers(self->exec));
    if (chunk.count == 0) {
        return 0;
    }
    demo_words *words = &chunk.parts[0].words;
    skua_status status = skua_exec_run(self->exec, count_chunk, &chunk, NULL);
    status = status ? status : chunk.parts[0].status;
    if (!status) {
        void *output;
        status = skua_task_output(call, demo_words_encoded_size(words), &output);
        if (!status) {
            demo_words_encode(words, output);
        }
    }
    demo_words_fini(words);
    if (status) {
        return skua_task_fail(call, 1, skua_status_text(status));
    }
    return 0;
}

skua_status
serve_open(serve **ret_serve, skua_node *node, int32_t workers, bool cpu_devices, skua_error *err) {
    serve *self = calloc(1, sizeof *self);
    if (!self) {
        return SKUA_FAIL_MEMORY(err, "the tasks");
    }
    skua_status status = skua_exec_open(&self->exec, SKUA_EXEC_OPTIONS(.workers = workers), err);
    if (!status) {
        status = skua_devices_open(&self->devices, SKUA_DEVICES_OPTIONS(.cpu_devices = cpu_devices),
                                   err);
    }
    if (!status) {
        status = skua_pool_open(
            &self->pool,
            SKUA_POOL_OPTIONS(.node = node, .exec = self->exec, .devices = self->devices), err);
    }
    if (!status) {
        status = skua_pool_register(self->pool, "echo", SERVE_VERSION, run_echo, NULL, err);
    }
    if (!status) {
        status =
            skua_pool_register(self->pool, "wordcount", SERVE_VERSION, run_wordcount, self, err);
    }
    if (status) {
        serve_close(self);
        return status;
    }
    *ret_serve = self;
    return SKUA_OK;
}

void
serve_drain(serve *self) {
    if (self) {
        skua_status drained = skua_pool_drain(self->pool, SERVE_DRAIN_MS, NULL);
        (void)drained; /* what still runs is cancelled when the pool closes */
    }
}

void
serve_figures(serve *self, uint64_t *ret_served, uint64_t *ret_busy_ns) {
    skua_pool_counters counters = {.size = sizeof counters};
    if (self && skua_pool_stats(self->pool, &counters, NULL) == SKUA_OK) {
        *ret_served = counters.served;
        *ret_busy_ns = counters.served_busy_ns;
    }
}

void
serve_close(serve *self) {
    if (self) {
        skua_pool_close(self->pool);
        skua_devices_close(self->devices);
        skua_exec_close(self->exec);
        free(self);
    }
}
