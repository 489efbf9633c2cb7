// SPDX-License-Identifier: MPL-2.0
// A launch on the cores: the task function of every kernel, which runs its C function over the whole executor. A launch of
// ours with buffers is run from the launch itself, since no bytes tell of them.
#include <skua-int/kernels.h>
#include <stdio.h>
#include <string.h>

enum {
    OUTPUT_MIN_BYTES = 256, /* a call's output above what lies in the call itself is aligned */
};

static bool
is_unwanted(const void *call) {
    return skua_task_cancelled(call);
}

/* claim: the turns that it has at its buffers; NULL: it has none. What it took is added to ret_times. */
static skua_status
run(const skua__kernel_entry *entry, const skua__coded_launch *coded, skua__claim *claim,
    const uint8_t *input, skua_task_call *call, skua__launch_times *ret_times,
    skua_error *ret_error) {
    void *output = NULL;
    skua__launch *launch = NULL;
    size_t room = coded->output_bytes < OUTPUT_MIN_BYTES ? OUTPUT_MIN_BYTES : coded->output_bytes;
    skua_status status = skua_task_output(call, room, &output);
    if (status) {
        return SKUA_FAIL_MEMORY(ret_error, "the results of a launch");
    }
    memset(output, 0, room);
    status = skua__launch_decoded(call->hook, entry->kernel, coded, input, output, NULL, &launch,
                                  ret_error);
    if (!status) {
        launch->claim = claim;
        status = skua__launch_run_on_cores(launch, entry->kernels->pool->exec, is_unwanted, call);
        *ret_error = launch->error;
        *ret_times = (skua__launch_times){
            .run_ns = launch->run_ns, .move_ns = launch->in_ns, .moved_bytes = launch->in_bytes};
    }
    skua__launch_free(launch);
    return status;
}

/* The same for an input that may lie badly. Returns a task function's result. */
static int
run_aligned(const skua__kernel_entry *entry, const skua__coded_launch *coded, skua__claim *claim,
            const uint8_t *input, skua_task_call *call, skua__launch_times *ret_times) {
    uint8_t *aligned = NULL;
    if ((uintptr_t)input % SKUA__KERNEL_ALIGN) {
        aligned = skua__mem_copy(call->hook, input, coded->input_bytes);
        if (!aligned) {
            return skua_task_fail(call, 1, "no memory for the launch's arguments");
        }
        input = aligned;
    }
    skua_error error = {0};
    skua_status status = run(entry, coded, claim, input, call, ret_times, &error);
    skua__mem_free(call->hook, aligned);
    return status ? skua_task_fail(call, 1, error.message) : 0;
}

int
skua__kernel_task(skua_task_call *call, void *arg) {
    const skua__kernel_entry *entry = arg;
    skua__coded_launch coded;
    skua__launch_times times;
    size_t size = 0;
    const uint8_t *input = skua_task_input(call, &size);
    if (!skua__launch_decode(entry->kernel, input, size, &coded)) {
        return skua_task_fail(call, 1, "these are not the bytes of a launch of this kernel");
    }
    return run_aligned(entry, &coded, NULL, input, call, &times);
}

int
skua__kernel_run_claimed(skua_pool_future *task) {
    skua__launch_task *part = task->launch;
    return run_aligned(part->entry, &part->coded, part->claim, task->input, &task->call,
                       &part->here);
}

skua__launch_times
skua__kernel_times_here(const skua_pool_future *task, int64_t run_ns) {
    return task->claimed ? task->launch->here : (skua__launch_times){.run_ns = run_ns};
}
