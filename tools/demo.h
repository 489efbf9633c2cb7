// SPDX-License-Identifier: MPL-2.0
// What the parts of `skua demo` share: its nodes, its counting job, and what they found.
#ifndef SKUA_DEMO_H
#define SKUA_DEMO_H

#include "cli.h"
#include "demo_input.h"
#include "demo_lengths.h"
#include "demo_words.h"
#include <skua/pattern_stats.h>
#include <skua/pool.h>
#include <sys/types.h>

enum {
    DEMO_NODES = 3,
    DEMO_MEET_MS = 15000,          /* for all nodes to meet */
    DEMO_STOP_MS = 5000,           /* for a node to end in good order */
    DEMO_LEAST_MEGABYTES = 64,     /* of input; less is read again and again */
    DEMO_CHUNK_BYTES = 256 * 1024, /* at most, when all words are short */
    DEMO_LEAST_CHUNK_BYTES = 2048,
    DEMO_CHUNKS = 128,      /* at least so many, where the input is small */
    DEMO_WINDOW = 48,       /* chunks that are submitted and not merged */
    DEMO_FIRST_WINDOW = 16, /* the same until a node was killed: enough must be left then */
    DEMO_HUNT_CHUNKS = 18,  /* submitted at once when a victim is looked for */
    DEMO_HUNT_ATTEMPTS = 5,
    DEMO_TOP = 20,          /* words printed */
    DEMO_FREEZE_MS = 30,    /* the victim stands still so long before it is killed */
    DEMO_VICTIM_CHUNKS = 2, /* unacknowledged ones that the victim holds at least */
    DEMO_TASK_TIMEOUT_MS = 60000,
    DEMO_SUBSCRIBERS = 48,
    DEMO_NEWS = 100, /* messages of each topic */
};

/* One `skua node --serve`. */
typedef struct demo_child {
    char name[16];
    pid_t pid; /* 0: it runs no more */
    int64_t born_ns;
    bool joined;
} demo_child;

typedef struct demo {
    cli *cli;
    char dir
        [64]; /* of the demo's own fleet; removed at the end, or, after a kill, by the next demo */
    int dir_fd; /* keeps it locked meanwhile; meaningless while dir is "" */
    skua_node *node;
    skua_pool *pool;
    demo_child children[DEMO_NODES];
    struct demo_progress *progress;
    skua_pattern_stats ledger; /* of the topics' publisher */

    /* the count */
    demo_input input;
    demo_words words;
    uint64_t chunks;
    int64_t took_ns;
    const demo_child *victim; /* who was killed; NULL: nobody yet */
    uint32_t victim_chunks;   /* unacknowledged when it was killed */
    uint64_t retries;

    /* the histogram of the word lengths */
    struct {
        char skipped[400]; /* why there is none; "" when there is one */
        char name[96];     /* of the device */
        uint64_t histogram[DEMO_LENGTHS];
        uint64_t words;
    } device;
} demo;

/* ---- Its nodes (demo_nodes.c) ---- */

/* Makes the folder, opens the submitter, starts the nodes and waits until all have met. */
skua_status demo_nodes_start(demo *self);
/* Stops the nodes in good order; also after a failure. Returns 0, or SKUA_E_INTERNAL when one ended badly. */
skua_status demo_nodes_stop(demo *self);
/* Closes the submitter and removes the folder. */
void demo_nodes_fini(demo *self);
/* Sends a signal to one of them. */
void demo_child_signal(demo_child *child, int signal);
/* Waits for the end of one that was killed. */
void demo_child_reap(demo_child *child);

/* ---- The count (demo_count.c) ---- */
skua_status demo_count(demo *self);
/* Reads the figures of a child's backend; false when the pool does not know it. */
bool demo_backend_of(demo *self, const char *name, skua_pool_backend *ret_backend);

/* ---- The device (demo_device.c) ---- */
/* Returns 0 also where there is no device that works; it says so then. */
skua_status demo_device(demo *self);

/* ---- The topics (demo_topics.c) ---- */
skua_status demo_topics(demo *self);

/* ---- The progress bar (demo_progress.c) ---- */
skua_status demo_progress_start(demo *self);
/* Publishes how far the count is. */
void demo_progress_tell(demo *self, uint64_t done_bytes, uint64_t all_bytes);
/* Makes room for a line of text where the bar is. */
void demo_progress_clear(const demo *self);
void demo_progress_stop(demo *self);

#endif
