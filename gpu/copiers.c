// SPDX-License-Identifier: MPL-2.0
// Threads that copy host memory. Each takes the oldest copy that waits, and tells its end when it is done with it: so
// copies begin in the order of the calls, and end in any.
#include "copiers.h"

#include <sched.h>
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/list.h>
#include <skua-int/mem.h>
#include <skua-int/thread.h>
#include <string.h>

typedef struct copy_job {
    skua__list link;
    void *to;
    const void *from;
    uint64_t bytes;
    int64_t queued_ns;
    skua__dev_command *command;
} copy_job;

struct skua__copiers {
    const skua_allocator *hook;
    skua__mutex lock; /* guards jobs and stop; called out of with it released */
    skua__cond wake;
    skua__list jobs;
    bool stop;
    uint32_t count;
    pthread_t threads[COPIERS_MAX];
};

uint32_t
skua__copiers_count(void) {
    cpu_set_t allowed;
    uint32_t cpus =
        sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? (uint32_t)CPU_COUNT(&allowed) : 1;
    uint32_t count = cpus / COPIERS_CPU_SHARE;
    return count < 1 ? 1 : count > COPIERS_MAX ? COPIERS_MAX : count;
}

/* Copies, and returns the command whose end is to be told. */
static skua__dev_command *
run_job(const copy_job *job) {
    skua__dev_command *command = job->command;
    command->queued_ns = command->submit_ns = job->queued_ns;
    command->start_ns = skua__clock_ns();
    memcpy(job->to, job->from, job->bytes);
    command->end_ns = skua__clock_ns();
    return command;
}

static void *
copiers_main(void *arg) {
    skua__copiers *copiers = arg;
    skua__mutex_lock(&copiers->lock);
    for (;;) {
        skua__list *node = skua__list_pop_front(&copiers->jobs);
        if (node) {
            skua__mutex_unlock(&copiers->lock);
            copy_job *job = SKUA_CONTAINER_OF(node, copy_job, link);
            skua__dev_command *command = run_job(job);
            skua__mem_free(copiers->hook, job);
            command->done(command, SKUA_OK);
            skua__mutex_lock(&copiers->lock);
        } else if (copiers->stop) {
            break;
        } else {
            skua__cond_wait(&copiers->wake, &copiers->lock);
        }
    }
    skua__mutex_unlock(&copiers->lock);
    return NULL;
}

skua_status
skua__copiers_new(const skua_allocator *hook, skua__copiers **ret_copiers, skua_error *err) {
    skua__copiers *copiers = skua__mem_new(hook, sizeof *copiers);
    if (!copiers) {
        return SKUA_FAIL_MEMORY(err, "the threads that copy for a device");
    }
    copiers->hook = hook;
    skua__mutex_init(&copiers->lock);
    skua__cond_init(&copiers->wake);
    skua__list_init(&copiers->jobs);
    uint32_t wanted = skua__copiers_count();
    while (copiers->count < wanted) {
        skua_status status = skua__thread_start(&copiers->threads[copiers->count], "skua-copier",
                                                copiers_main, copiers, err);
        if (status) {
            skua__copiers_free(copiers, false);
            return status;
        }
        copiers->count++;
    }
    *ret_copiers = copiers;
    return SKUA_OK;
}

skua__copiers *
skua__copiers_free(skua__copiers *copiers, bool abandon) {
    if (!copiers) {
        return NULL;
    }
    skua__list dropped;
    skua__list_init(&dropped);
    skua__mutex_lock(&copiers->lock);
    copiers->stop = true;
    for (skua__list *node; abandon && (node = skua__list_pop_front(&copiers->jobs)) != NULL;) {
        skua__list_push_back(&dropped, node);
    }
    skua__cond_broadcast(&copiers->wake);
    skua__mutex_unlock(&copiers->lock);
    for (uint32_t i = 0; i < copiers->count; i++) {
        skua__thread_join(copiers->threads[i]);
    }
    for (skua__list *node; (node = skua__list_pop_front(&dropped)) != NULL;) {
        copy_job *job = SKUA_CONTAINER_OF(node, copy_job, link);
        skua__dev_command *command = job->command;
        skua__mem_free(copiers->hook, job);
        command->done(command, SKUA_E_DEVICE_FAILED);
    }
    skua__cond_fini(&copiers->wake);
    skua__mutex_fini(&copiers->lock);
    return skua__mem_free(copiers->hook, copiers);
}

void
skua__copiers_copy(skua__copiers *copiers, void *to, const void *from, uint64_t bytes,
                   skua__dev_command *command) {
    const copy_job wanted = {
        .to = to, .from = from, .bytes = bytes, .queued_ns = skua__clock_ns(), .command = command};
    copy_job *job = skua__mem_new(copiers->hook, sizeof *job);
    if (!job) {
        run_job(&wanted)->done(command, SKUA_OK);
        return;
    }
    *job = wanted;
    skua__mutex_lock(&copiers->lock);
    skua__list_push_back(&copiers->jobs, &job->link);
    skua__cond_signal(&copiers->wake);
    skua__mutex_unlock(&copiers->lock);
}
