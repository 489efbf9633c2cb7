// SPDX-License-Identifier: MPL-2.0
// The local executor as one of the pool's backends.
//
//   QUEUED --(popped by a worker)--> STARTED --> done(0)
//      \--(cancel)--> CANCELLED --(popped)--> done(SKUA_E_CANCELLED)
#include "engine.h"

#include <skua-int/backend.h>
#include <skua-int/clock.h>

enum local_state {
    LOCAL_QUEUED,
    LOCAL_STARTED,
    LOCAL_CANCELLED,
};

enum {
    LOCAL_PRIORITY = 30,    /* see skua__backend.priority */
    LOCAL_LEARN_SHIFT = 3,  /* a new run time counts for an eighth */
    LOCAL_FIRST_NS = 20000, /* assumed before anything was learned */
};

/* What lies in the job's backend words. */
typedef struct local_job {
    skua_job job;
    skua_exec *exec;
    skua__a32 state;
} local_job;

static_assert(sizeof(local_job) <= sizeof((skua__backend_job *)NULL)->backend, "it fits");

static local_job *
local_of(skua__backend_job *job) {
    return (local_job *)(void *)job->backend;
}

static void
run_local_job(skua_worker w, skua_job *task) {
    (void)w;
    local_job *local = SKUA_CONTAINER_OF(task, local_job, job);
    skua__backend_job *job = SKUA_CONTAINER_OF(local, skua__backend_job, backend);
    uint32_t expected = LOCAL_QUEUED;
    /* relaxed: the queue hands the job over; this only decides against a cancel. */
    if (!skua__a32_cas(&local->state, &expected, LOCAL_STARTED, memory_order_relaxed)) {
        job->done(job, SKUA_E_CANCELLED);
        return;
    }
    skua_exec *exec = local->exec;
    int64_t from_ns = skua__clock_ns();
    job->run(job);
    int64_t ran_ns = skua__clock_ns() - from_ns;
    /* relaxed: an estimate; a lost update is another sample lost. */
    int64_t known_ns = (int64_t)skua__a64_load(&exec->job_ns, memory_order_relaxed);
    known_ns = known_ns ? known_ns + ((ran_ns - known_ns) >> LOCAL_LEARN_SHIFT) : ran_ns;
    skua__a64_store(&exec->job_ns, (uint64_t)known_ns, memory_order_relaxed); /* relaxed: same */
    job->done(job, SKUA_OK);
}

static int64_t
estimate_local(void *ctx, const skua__backend_work *work) {
    (void)work;
    skua_exec *exec = ctx;
    uint64_t queued = 0;
    uint32_t workers = skua__target(exec);
    workers = workers ? workers : 1; /* in a pause */
    if (skua__jobs_under_way(exec, &queued) < workers) {
        return 0;
    }
    uint64_t job_ns =
        skua__a64_load(&exec->job_ns, memory_order_relaxed); /* relaxed: an estimate */
    job_ns = job_ns ? job_ns : LOCAL_FIRST_NS;
    /* Those that run are half done on average. */
    return (int64_t)((queued * job_ns + job_ns / 2) / workers);
}

static skua_status
submit_local(void *ctx, skua__backend_job *job, skua_error *err) {
    (void)err;
    skua_exec *exec = ctx;
    local_job *local = local_of(job);
    skua_job_init(&local->job, run_local_job);
    local->exec = exec;
    skua__a32_store(&local->state, LOCAL_QUEUED, memory_order_relaxed); /* relaxed: private yet */
    int32_t priority = job->work ? job->work->priority : 0;
    local->job.priority = priority > 0   ? SKUA_PRIORITY_HIGH
                          : priority < 0 ? SKUA_PRIORITY_LOW
                                         : SKUA_PRIORITY_NORMAL;
    return skua_exec_submit(exec, &local->job);
}

static void
cancel_local(void *ctx, skua__backend_job *job) {
    (void)ctx;
    uint32_t expected = LOCAL_QUEUED;
    /* relaxed: see run_local_job() */
    skua__a32_cas(&local_of(job)->state, &expected, LOCAL_CANCELLED, memory_order_relaxed);
}

static const skua__backend local_backend = {
    .version = SKUA__BACKEND_VERSION,
    .priority = LOCAL_PRIORITY,
    .kind = "cores",
    .estimate = estimate_local,
    .submit = submit_local,
    .cancel = cancel_local,
};

const skua__backend *
skua__exec_backend(void) {
    return &local_backend;
}
