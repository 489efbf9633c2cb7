// SPDX-License-Identifier: MPL-2.0
// The demo's main job: chunks of text go to whichever node has room, their counts come back and are merged, and
// in the middle one node that holds work is killed.
#include "demo.h"

#include <errno.h>
#include <signal.h>
#include <skua-int/clock.h>
#include <skua-int/mem.h>
#include <skua-int/thread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A chunk that was submitted. */
struct chunk {
    struct job *job;
    skua_pool_future *future;
    size_t size;
    struct chunk *next; /* in job->done */
};

struct job {
    demo *demo;
    int wake_fd;        /* readable when something is in done */
    skua__mutex mutex;  /* guards done */
    struct chunk *done; /* ended and not merged yet */

    /* of the main thread alone */
    char *bytes; /* read, and not submitted yet */
    size_t size;
    bool read_all;
    uint64_t in_flight; /* chunks */
    uint64_t all_bytes, merged_bytes;
    demo_child *frozen; /* stands still now, and may be killed */
    int64_t frozen_ns;  /* since when */
    uint32_t attempts;  /* to find a victim */
    uint32_t allowance; /* chunks that may be submitted while one is looked for */
};

bool
demo_backend_of(demo *self, const char *name, skua_pool_backend *ret_backend) {
    skua_pool_backend backends[DEMO_NODES + 4];
    size_t count = 0, capacity = sizeof backends / sizeof backends[0];
    for (size_t i = 0; i < capacity; i++) {
        backends[i].size = sizeof backends[i];
    }
    if (skua_pool_backends(self->pool, backends, sizeof backends[0], capacity, &count, NULL)) {
        return false;
    }
    for (size_t i = 0; i < count && i < capacity; i++) {
        if (strcmp(backends[i].name, name) == 0) {
            *ret_backend = backends[i];
            return true;
        }
    }
    return false;
}

static void
free_bytes(void *input, void *hint) {
    (void)hint;
    skua__mem_free(NULL, input);
}

/* Called in one of the pool's threads: hands the chunk over and does nothing else. */
static void
chunk_done(void *arg, skua_pool_future *future) {
    struct chunk *chunk = arg;
    struct job *job = chunk->job;
    chunk->future = future;
    skua__mutex_lock(&job->mutex);
    chunk->next = job->done;
    job->done = chunk;
    /* Inside the lock: once it is released with an empty list, the job may be gone. */
    uint64_t one = 1;
    ssize_t written = write(job->wake_fd, &one, sizeof one);
    (void)written; /* an eventfd that is full is readable too */
    skua__mutex_unlock(&job->mutex);
}

/* The murder: from a quarter of the job on, until a node is killed or none can be. */
static bool
hunting(const struct job *job) {
    return !job->demo->victim && job->attempts < DEMO_HUNT_ATTEMPTS &&
           job->merged_bytes >= job->all_bytes / 4;
}

/* How many chunks may be under way now. Before and during the hunt work is kept back for it. */
static uint64_t
window(const struct job *job) {
    if (hunting(job)) {
        return job->in_flight + job->allowance;
    }
    return job->demo->victim ? DEMO_WINDOW : DEMO_FIRST_WINDOW;
}

static skua_status
submit_one(struct job *job, skua_pool_future **ret_future) {
    struct chunk *chunk = calloc(1, sizeof *chunk);
    if (!chunk) {
        return cli_fail(job->demo->cli, SKUA_E_NO_MEMORY, "no memory for a chunk");
    }
    chunk->job = job;
    chunk->size = job->size;
    skua_status status = skua_pool_submit(
        job->demo->pool,
        SKUA_TASK(.name = "wordcount", .input = job->bytes, .input_bytes = job->size,
                  .free_fn = free_bytes, .idempotent = 1, .timeout_ms = DEMO_TASK_TIMEOUT_MS,
                  .on_done = chunk_done, .on_done_arg = chunk),
        ret_future, &job->demo->cli->err);
    if (status) {
        free(chunk);
        return status;
    }
    job->bytes = NULL;
    job->in_flight++;
    job->allowance -= job->allowance > 0;
    job->demo->chunks++;
    return SKUA_OK;
}

/* Submits chunks while there is room. */
static skua_status
submit_some(struct job *job) {
    demo *self = job->demo;
    while (!job->read_all && job->in_flight < window(job)) {
        if (!job->bytes) {
            skua_status status =
                demo_input_next(&self->input, &job->bytes, &job->size, &self->cli->err);
            if (status) {
                return status;
            }
            if (job->size == 0) {
                job->read_all = true;
                return SKUA_OK;
            }
        }
        skua_pool_future *future; /* chunk_done() gets it too */
        skua_status status = submit_one(job, &future);
        if (status) {
            return status == SKUA_E_AGAIN ? SKUA_OK : status;
        }
    }
    return SKUA_OK;
}

static skua_status
merge(struct job *job, struct chunk *chunk) {
    demo *self = job->demo;
    skua_task_result result = {.size = sizeof result};
    skua_status status = skua_pool_result(chunk->future, &result, &self->cli->err);
    if (!status && result.outcome != SKUA_OUTCOME_OK) {
        status = cli_fail(self->cli, SKUA_E_LOST, "a chunk ended as \"%s\" on %s: %s",
                          skua_outcome_text(result.outcome), result.node, result.message);
    }
    if (!status) {
        status = demo_words_decode(&self->words, result.output, result.output_bytes);
        if (status) {
            status = cli_fail(self->cli, status, "the counts of a chunk cannot be merged: %s",
                              skua_status_text(status));
        }
    }
    job->merged_bytes += chunk->size;
    return status;
}

/* Merges everything that has ended. */
static skua_status
merge_done(struct job *job) {
    uint64_t ignored;
    ssize_t got = read(job->wake_fd, &ignored, sizeof ignored);
    (void)got; /* nothing there: the list is empty too, or its wake-up comes */
    skua__mutex_lock(&job->mutex);
    struct chunk *chunk = job->done;
    job->done = NULL;
    skua__mutex_unlock(&job->mutex);
    skua_status status = SKUA_OK;
    while (chunk) {
        struct chunk *next = chunk->next;
        if (!status) {
            status = merge(job, chunk);
        }
        skua_pool_future_free(chunk->future);
        free(chunk);
        job->in_flight--;
        chunk = next;
    }
    demo_progress_tell(job->demo, job->merged_bytes, job->all_bytes);
    return status;
}

/* ---- The murder ---- */

/* The node with the most unacknowledged chunks, or another one at each attempt where nobody has any. */
static demo_child *
choose(struct job *job) {
    demo *self = job->demo;
    demo_child *chosen = &self->children[job->attempts % DEMO_NODES];
    uint32_t most = 0;
    for (size_t i = 0; i < DEMO_NODES; i++) {
        skua_pool_backend backend;
        if (demo_backend_of(self, self->children[i].name, &backend) && backend.in_flight > most) {
            most = backend.in_flight;
            chosen = &self->children[i];
        }
    }
    return chosen;
}

/*
 * A node is stopped first, and some chunks are submitted at once, so that it is given its share; it is killed a moment later, when
 * every result that it had sent before has arrived and what it still holds is certainly unacknowledged. One that holds
 * too little goes on, and another is tried.
 */
static void
hunt(struct job *job) {
    demo *self = job->demo;
    if (!hunting(job)) {
        return;
    }
    if (!job->frozen) {
        job->frozen = choose(job);
        job->frozen_ns = skua__clock_ns();
        job->allowance = DEMO_HUNT_CHUNKS;
        demo_child_signal(job->frozen, SIGSTOP);
        return;
    }
    if (skua__clock_ns() - job->frozen_ns < DEMO_FREEZE_MS * SKUA_NS_PER_MS) {
        return;
    }
    demo_child *child = job->frozen;
    skua_pool_backend backend;
    job->frozen = NULL;
    job->attempts++;
    if (!demo_backend_of(self, child->name, &backend) || backend.in_flight < DEMO_VICTIM_CHUNKS) {
        demo_child_signal(child, SIGCONT);
        return;
    }
    demo_progress_clear(self);
    cli_say(self->cli, "  %s (pid %d) holds %u unacknowledged chunks: killed with SIGKILL\n",
            child->name, (int)child->pid, (unsigned)backend.in_flight);
    self->victim = child;
    self->victim_chunks = backend.in_flight;
    demo_child_signal(child, SIGKILL);
    demo_child_reap(child);
}

/* How long the loop may sleep: a node that stands still must be looked at. */
static int64_t
next_look_ns(const struct job *job) {
    return hunting(job) ? skua__deadline_ns(DEMO_FREEZE_MS / 3) : SKUA_NEVER_NS;
}

static skua_status
run_job(struct job *job) {
    for (;;) {
        skua_status status = submit_some(job);
        if (status) {
            return status;
        }
        if (job->read_all && job->in_flight == 0) {
            return SKUA_OK;
        }
        status = cli_wait(job->demo->cli, job->wake_fd, next_look_ns(job));
        if (status && status != SKUA_E_TIMEOUT) {
            return status;
        }
        status = merge_done(job);
        if (status) {
            return status;
        }
        hunt(job);
    }
}

/* After a failure chunks may still be under way: the pool's end makes all of them end. */
static void
fini_job(struct job *job) {
    if (job->in_flight) {
        job->demo->pool = skua_pool_close(job->demo->pool);
        skua_error kept = job->demo->cli->err;
        struct chunk *chunk = job->done;
        while (chunk) {
            struct chunk *next = chunk->next;
            skua_pool_future_free(chunk->future);
            free(chunk);
            chunk = next;
        }
        job->demo->cli->err = kept;
    }
    skua__mem_free(NULL, job->bytes);
    close(job->wake_fd);
    skua__mutex_fini(&job->mutex);
}

skua_status
demo_count(demo *self) {
    struct job job = {.demo = self, .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (job.wake_fd < 0) {
        return cli_fail(self->cli, SKUA_E_SYSTEM, "eventfd: %s", strerror(errno));
    }
    skua__mutex_init(&job.mutex);
    /* Whole rounds are read until there is enough, so this is what will be read. */
    uint64_t round = self->input.size_bytes ? self->input.size_bytes : 1;
    uint64_t rounds = (self->input.least_bytes + round - 1) / round;
    job.all_bytes = round * (rounds ? rounds : 1);
    int64_t start_ns = skua__clock_ns();
    skua_status status = run_job(&job);
    self->took_ns = skua__clock_ns() - start_ns;
    skua_pool_counters counters = {.size = sizeof counters};
    if (!status) {
        status = skua_pool_stats(self->pool, &counters, &self->cli->err);
        self->retries = counters.retries;
    }
    fini_job(&job);
    return status;
}
