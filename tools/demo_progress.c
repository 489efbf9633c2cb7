// SPDX-License-Identifier: MPL-2.0
// The demo's progress: published under a topic by the submitter, heard by a node of its own, and drawn on a terminal.
#include "demo.h"

#include <inttypes.h>
#include <skua-int/clock.h>
#include <skua-int/thread.h>
#include <skua/pubsub.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BAR_CELLS = 40, BAR_EVERY_MS = 40, BAR_MEET_MS = 5000 };

struct demo_progress {
    skua_pub *pub;
    skua_node *node;
    skua_sub *sub;
    pthread_t thread;
    bool drawing;
    atomic_bool stopped;
    int64_t told_ns;
};

static void
draw(uint64_t done_bytes, uint64_t all_bytes) {
    char cells[BAR_CELLS + 1], bytes[16];
    double part = all_bytes ? (double)done_bytes / (double)all_bytes : 0;
    part = part > 1 ? 1 : part;
    for (int i = 0; i < BAR_CELLS; i++) {
        cells[i] = i < (int)(part * BAR_CELLS) ? '#' : '.';
    }
    cells[BAR_CELLS] = 0;
    fprintf(stderr, "\r  [%s] %3d %%  %-9s", cells, (int)(part * 100),
            cli_bytes_text(done_bytes, bytes));
}

/* Draws what is told until the count is over. */
static void *
draw_all(void *arg) {
    struct demo_progress *self = arg;
    for (;;) {
        skua_msg *msg = NULL;
        skua_status status = skua_sub_recv(self->sub, &msg, BAR_EVERY_MS, NULL);
        /* acquire B1: what was told before the stop; pairs with release B1 in demo_progress_stop() */
        bool stopped = atomic_load_explicit(&self->stopped, memory_order_acquire);
        if (stopped || (status && status != SKUA_E_TIMEOUT)) {
            skua_msg_free(msg);
            break;
        }
        if (status) {
            continue;
        }
        char text[64];
        uint64_t done_bytes, all_bytes;
        snprintf(text, sizeof text, "%.*s", (int)skua_msg_size(msg, 0),
                 (const char *)skua_msg_data(msg, 0));
        skua_msg_free(msg);
        if (sscanf(text, "%" SCNu64 " of %" SCNu64, &done_bytes, &all_bytes) == 2) {
            draw(done_bytes, all_bytes);
        }
    }
    fputs("\r\033[K", stderr);
    return NULL;
}

static skua_status
open_screen(demo *self, struct demo_progress *progress) {
    skua_error *err = &self->cli->err;
    skua_status status =
        skua_node_open(&progress->node, SKUA_NODE_OPTIONS(.name = "demo-screen"), err);
    if (!status) {
        status = skua_sub_open(&progress->sub, progress->node, "demo-progress",
                               SKUA_SUB_OPTIONS(.topic = "progress"), err);
    }
    if (!status) {
        status = skua_pub_await_subs(progress->pub, "progress", 1, BAR_MEET_MS, err);
    }
    if (!status) {
        status = skua__thread_start(&progress->thread, "screen", draw_all, progress, err);
        progress->drawing = status == SKUA_OK;
    }
    return status;
}

skua_status
demo_progress_start(demo *self) {
    struct demo_progress *progress = calloc(1, sizeof *progress);
    if (!progress) {
        return cli_fail(self->cli, SKUA_E_NO_MEMORY, "no memory for the progress bar");
    }
    self->progress = progress;
    skua_status status =
        skua_pub_open(&progress->pub, self->node, "demo-progress", NULL, &self->cli->err);
    if (!status && isatty(STDERR_FILENO) && !self->cli->json && !self->cli->quiet) {
        status = open_screen(self, progress);
    }
    return status;
}

void
demo_progress_tell(demo *self, uint64_t done_bytes, uint64_t all_bytes) {
    struct demo_progress *progress = self->progress;
    int64_t now_ns = skua__clock_ns();
    if (!progress || now_ns - progress->told_ns < BAR_EVERY_MS * SKUA_NS_PER_MS) {
        return;
    }
    progress->told_ns = now_ns;
    char text[64];
    snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu64, done_bytes, all_bytes);
    skua_status sent =
        skua_pub_send_bytes(progress->pub, "progress", text, strlen(text), SKUA_NONE, NULL);
    (void)sent; /* who misses one hears the next */
}

void
demo_progress_clear(const demo *self) {
    if (self->progress && self->progress->drawing) {
        fputs("\r\033[K", stderr);
    }
}

void
demo_progress_stop(demo *self) {
    struct demo_progress *progress = self->progress;
    if (!progress) {
        return;
    }
    if (progress->drawing) {
        /* release B1: see draw_all(); pairs with acquire B1 there */
        atomic_store_explicit(&progress->stopped, true, memory_order_release);
        skua__thread_join(progress->thread);
    }
    skua_sub_close(progress->sub);
    skua_pub_close(progress->pub);
    skua_node_close(progress->node);
    free(progress);
    self->progress = NULL;
}
