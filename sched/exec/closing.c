// SPDX-License-Identifier: MPL-2.0
// The wait at the end of an executor: for as long as jobs run, and not without a word when they never end.
#include "engine.h"

#include <skua-int/clock.h>

enum {
    CLOSING_WORKERS_MAX = 8, /* of which the job is named */
};

static void
report(skua_exec *exec) {
    uint64_t waiting = 0;
    uint64_t under_way = skua__jobs_under_way(exec, &waiting);
    skua__say(
        exec,
        "skua_exec_close has waited %d ms for %llu jobs, %llu of them not begun; a job must end by "
        "itself, for instance when skua_worker_cancelled() says so",
        (int)exec->close_warn_ms, (unsigned long long)under_way, (unsigned long long)waiting);
    skua__say_who_runs(exec, "skua_exec_close", CLOSING_WORKERS_MAX);
}

void
skua__await_threads(skua_exec *exec) {
    /* relaxed: the threads that were started are known to us; the rest are theirs to count. */
    if (skua__a32_load(&exec->threads, memory_order_relaxed) == 0) {
        return;
    }
    bool ended = false;
    if (exec->close_warn_ms != SKUA_NONE) {
        ended = skua__park(&exec->closer, skua__deadline_ns(exec->close_warn_ms));
        if (!ended) {
            report(exec);
        }
    }
    if (!ended) {
        skua__park(&exec->closer, SKUA_NEVER_NS);
    }
}
