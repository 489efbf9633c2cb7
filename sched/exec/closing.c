// SPDX-License-Identifier: MPL-2.0
// The wait at the end of an executor: for as long as jobs run, and not without a word when they never end.
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/log.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum {
    CLOSING_MESSAGE_BYTES = 256,
    CLOSING_WORKERS_MAX = 8, /* of which the job is named */
};

static void
say(const skua_exec *exec, const char *message) {
    if (exec->log) {
        skua__log(exec->log, SKUA_LOG_WARNING, "exec", "%s", message);
    } else {
        fprintf(stderr, "skua: %s\n", message);
    }
}

/* The name of a function, as far as the program tells it. */
static void
describe(void *fn, char *ret, size_t size) {
    Dl_info info;
    if (dladdr(fn, &info) == 0 || !info.dli_fname) {
        snprintf(ret, size, "%p", fn);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash ? slash + 1 : info.dli_fname;
    size_t offset = (size_t)((uintptr_t)fn - (uintptr_t)info.dli_fbase);
    snprintf(ret, size, "%s (%s+0x%zx)", info.dli_sname ? info.dli_sname : "a function", file,
             offset);
}

static void
report(skua_exec *exec) {
    char message[CLOSING_MESSAGE_BYTES], name[CLOSING_MESSAGE_BYTES / 2];
    uint64_t waiting = 0;
    uint64_t under_way = skua__jobs_under_way(exec, &waiting);
    snprintf(
        message, sizeof message,
        "skua_exec_close has waited %d ms for %llu jobs, %llu of them not begun; a job must end by "
        "itself, for instance when skua_worker_cancelled() says so",
        (int)exec->close_warn_ms, (unsigned long long)under_way, (unsigned long long)waiting);
    say(exec, message);
    /* acquire N1: the worker's fields; pairs with release N1 in skua__worker_start() */
    uint32_t places = skua__a32_load(&exec->places, memory_order_acquire);
    for (uint32_t i = 0, named = 0; i < places && named < CLOSING_WORKERS_MAX; i++) {
        /* relaxed: a function's address, for people. */
        void *running = skua__aptr_load(&exec->workers[i].running, memory_order_relaxed);
        if (running) {
            describe(running, name, sizeof name);
            snprintf(message, sizeof message, "skua_exec_close: worker %u runs %s", (unsigned)i,
                     name);
            say(exec, message);
            named++;
        }
    }
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
