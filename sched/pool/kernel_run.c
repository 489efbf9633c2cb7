// SPDX-License-Identifier: MPL-2.0
// A launch on the cores: the task function of every kernel, which runs its C function over the whole executor.
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

static skua_status
run(const skua__kernel_entry *entry, const skua__coded_launch *coded, const uint8_t *input,
    skua_task_call *call, skua_error *ret_error) {
    void *output = NULL;
    skua__launch *launch = NULL;
    size_t room = coded->output_bytes < OUTPUT_MIN_BYTES ? OUTPUT_MIN_BYTES : coded->output_bytes;
    skua_status status = skua_task_output(call, room, &output);
    if (status) {
        return SKUA_FAIL_MEMORY(ret_error, "the results of a launch");
    }
    memset(output, 0, room);
    status =
        skua__launch_decoded(call->hook, entry->kernel, coded, input, output, &launch, ret_error);
    if (!status) {
        status = skua__launch_run_on_cores(launch, entry->kernels->pool->exec, is_unwanted, call);
        *ret_error = launch->error;
    }
    skua__launch_free(launch);
    return status;
}

int
skua__kernel_task(skua_task_call *call, void *arg) {
    const skua__kernel_entry *entry = arg;
    skua__coded_launch coded;
    size_t size = 0;
    const uint8_t *input = skua_task_input(call, &size);
    uint8_t *aligned = NULL;
    if (!skua__launch_decode(entry->kernel, input, size, &coded)) {
        return skua_task_fail(call, 1, "these are not the bytes of a launch of this kernel");
    }
    if ((uintptr_t)input % SKUA__KERNEL_ALIGN) {
        aligned = skua__mem_copy(call->hook, input, size);
        if (!aligned) {
            return skua_task_fail(call, 1, "no memory for the launch's arguments");
        }
        input = aligned;
    }
    skua_error error = {0};
    skua_status status = run(entry, &coded, input, call, &error);
    skua__mem_free(call->hook, aligned);
    return status ? skua_task_fail(call, 1, error.message) : 0;
}
