// SPDX-License-Identifier: MPL-2.0
// The executor's works on StarPU: tasks from outside and flat ones. A StarPU task cannot wait for others, so that there is no
// fork and join.
#include "../exec_peer.h"

#include <starpu.h>
#include <stdio.h>
#include <stdlib.h>

static void *
open_starpu(int workers) {
    struct starpu_conf conf;
    setenv("STARPU_SILENT", "1", 1);
    starpu_conf_init(&conf);
    conf.ncpus = workers;
    conf.ncuda = 0;
    conf.nopencl = 0;
    conf.sched_policy_name = "lws";
    if (starpu_init(&conf) != 0) {
        fprintf(stderr, "starpu_init failed\n");
        exit(1);
    }
    static char token; /* there is one StarPU in a process */
    return &token;
}

static void
close_starpu(void *peer) {
    (void)peer;
    starpu_shutdown();
}

static void
submit_or_exit(struct starpu_task *task) {
    if (starpu_task_submit(task) != 0) {
        fprintf(stderr, "starpu_task_submit failed\n");
        exit(1);
    }
}

/* ---- Calls ---- */

typedef struct call {
    void (*fn)(void *arg);
    void *arg;
} call;

static void
run_call(void *buffers[], void *arg) {
    (void)buffers;
    const call *made = arg;
    made->fn(made->arg);
}

static struct starpu_codelet call_codelet = {.cpu_funcs = {run_call}, .nbuffers = 0};

static void
submit(void *peer, exec_memory *memory, void (*fn)(void *arg), void *arg) {
    (void)peer;
    call *made = (call *)(void *)memory;
    *made = (call){.fn = fn, .arg = arg};
    struct starpu_task *task = starpu_task_create();
    task->cl = &call_codelet;
    task->cl_arg = made;
    submit_or_exit(task);
}

static void
nothing(void *buffers[], void *arg) {
    (void)buffers;
    (void)arg;
}

static struct starpu_codelet nothing_codelet = {.cpu_funcs = {nothing}, .nbuffers = 0};

static void
run_flat(void *peer, int width, int rounds) {
    (void)peer;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < width; i++) {
            struct starpu_task *task = starpu_task_create();
            task->cl = &nothing_codelet;
            submit_or_exit(task);
        }
        starpu_task_wait_for_all();
    }
}

static const exec_peer starpu_peer = {.name = "starpu",
                                      .open = open_starpu,
                                      .close = close_starpu,
                                      .flat = run_flat,
                                      .submit = submit};

const exec_peer *exec_peer_get(void);

const exec_peer *
exec_peer_get(void) {
    return &starpu_peer;
}
