// SPDX-License-Identifier: MPL-2.0
// The task that a launch is: it chooses the cores or a device by what each is predicted to take, runs the kernel there,
// and learns. A device that cannot do it after all leaves it to the cores.
#include <skua-int/backend.h>
#include <skua-int/kernels.h>
#include <stdio.h>
#include <string.h>

enum {
    LOOK_MS = 20,           /* between two looks whether the launch is still wanted */
    OUTPUT_MIN_BYTES = 256, /* a call's output above what lies in the call itself is aligned */
};

static uint64_t
items_of(const skua__coded_launch *coded) {
    return coded->global[0] * coded->global[1] * coded->global[2];
}

/* ---- The choice ---- */

/* Whether a launch may run at a place at all. */
static bool
place_allows(const skua__kernel *kernel, const skua__kernel_place *place, int32_t on) {
    if (place->engine ? !kernel->text : !kernel->fn) {
        return false;
    }
    if (on == SKUA_ON_CORES) {
        return !place->engine;
    }
    return on < SKUA_ON_DEVICE || place->device == on - SKUA_ON_DEVICE;
}

static int64_t
wait_of(const skua__kernels *kernels, const skua__kernel_place *place) {
    if (place->engine) {
        return (int64_t)skua__engine_under_way(place->engine) * place->last_ns;
    }
    const skua__backend_work work = {.task = ""};
    return skua__exec_backend()->estimate(kernels->pool->exec, &work);
}

/* The index of the place to run at; -1: none may. */
static int
choose(skua__kernel_entry *entry, const skua__coded_launch *coded) {
    skua__kernels *kernels = entry->kernels;
    skua_select_place places[SKUA__KERNEL_BACKENDS_MAX] = {0};
    int of[SKUA__KERNEL_BACKENDS_MAX];
    size_t count = 0;
    uint64_t items = items_of(coded);
    skua__mutex_lock(&kernels->lock);
    for (uint32_t i = 0; i < kernels->place_count; i++) {
        const skua__kernel_place *place = &kernels->places[i];
        if (place_allows(entry->kernel, place, coded->on)) {
            of[count] = (int)i;
            places[count++] = (skua_select_place){
                .backend = place->selector_number,
                .wait_ns = wait_of(kernels, place),
                .missing_bytes = place->engine ? coded->input_bytes + coded->output_bytes : 0};
        }
    }
    skua_select_work work = {.size = sizeof work,
                             .kernel = entry->selector_number,
                             .units = items,
                             .flops = (uint64_t)(entry->kernel->work * (double)items),
                             .bytes = (uint64_t)(entry->kernel->bytes * (double)items),
                             .places = places,
                             .place_count = count};
    skua_select_decision decision = {.size = sizeof decision};
    int chosen = -1;
    if (count && skua_select(kernels->selector, &work, &decision, NULL) == SKUA_OK) {
        chosen = of[decision.place];
    }
    skua__mutex_unlock(&kernels->lock);
    return chosen;
}

static void
learn(skua__kernel_entry *entry, int at, const skua__launch *launch, uint64_t items,
      skua_status status, int64_t total_ns) {
    skua__kernels *kernels = entry->kernels;
    skua__kernel_place *place = &kernels->places[at];
    skua__mutex_lock(&kernels->lock);
    skua_kernel_share *share = &entry->shares[at];
    if (status) {
        share->failures++;
    } else {
        share->launches++;
        share->work_items += items;
        share->run_ns += launch->run_ns;
        place->last_ns = total_ns;
        (void)!skua_selector_learn(
            kernels->selector,
            SKUA_SELECT_OUTCOME(.kernel = entry->selector_number, .backend = place->selector_number,
                                .units = items, .run_ns = launch->run_ns,
                                .move_ns = launch->in_ns + launch->out_ns,
                                .moved_bytes = launch->in_bytes + launch->out_bytes),
            NULL);
    }
    skua__mutex_unlock(&kernels->lock);
}

/* ---- The run ---- */

static void
launch_done(skua__launch *launch, skua_status status) {
    skua_future *promise = launch->done_arg;
    skua_future_complete(promise, status, NULL);
    skua_future_unref(promise);
}

/* Waits, in a way that a spare worker takes this one's place; a launch that nobody wants any more is cancelled. */
static skua_status
await(skua_future *promise, skua__launch *launch, const skua_task_call *call) {
    for (;;) {
        skua_status status = skua_future_get(promise, LOOK_MS, NULL, NULL);
        if (status != SKUA_E_TIMEOUT) {
            return status;
        }
        if (skua_task_cancelled(call)) {
            skua__engine_cancel(launch->engine, launch);
        }
    }
}

static bool
is_unwanted(const void *call) {
    return skua_task_cancelled(call);
}

/* Runs a prepared launch on a device and waits for its end. */
static skua_status
run_on_device(skua__kernels *kernels, const skua__kernel_place *place, skua__launch *launch,
              const skua_task_call *call) {
    skua_future *promise = NULL;
    skua_status status = skua_future_promise(&promise, kernels->pool->exec, &launch->error);
    if (status) {
        return status;
    }
    launch->done = launch_done;
    launch->done_arg = skua_future_ref(promise);
    status = skua__engine_submit(place->engine, launch, &launch->error);
    if (status) {
        skua_future_unref(promise);
        (void)skua_future_complete(promise, status, NULL);
    } else {
        status = await(promise, launch, call);
    }
    skua_future_unref(promise);
    return status;
}

/* Fills the arguments: inputs lie in the task's input, outputs in its output. INOUT begins as the input says. */
static void
fill_args(const skua__kernel *kernel, const skua__coded_launch *coded, const uint8_t *input,
          uint8_t *output, skua_kernel_arg *args) {
    memset(args, 0, kernel->param_count * sizeof *args);
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        const skua__coded_arg *arg = &coded->args[i];
        args[i].bytes = (size_t)arg->bytes;
        switch (kernel->params[i]) {
        case SKUA_PARAM_IN:
            args[i].data = (void *)(uintptr_t)(input + arg->in_at);
            break;
        case SKUA_PARAM_INOUT:
            memcpy(output + arg->out_at, input + arg->in_at, (size_t)arg->bytes);
            args[i].data = output + arg->out_at;
            break;
        case SKUA_PARAM_OUT:
            args[i].data = output + arg->out_at;
            break;
        case SKUA_PARAM_VALUE:
            args[i].value = input + arg->in_at;
            break;
        case SKUA_PARAM_LOCAL:
            break;
        }
    }
}

/* One attempt. *ret_error says why it failed. */
static skua_status
attempt(skua__kernel_entry *entry, int at, const skua__coded_launch *coded, const uint8_t *input,
        uint8_t *output, const skua_task_call *call, skua_error *ret_error) {
    skua__kernels *kernels = entry->kernels;
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    fill_args(entry->kernel, coded, input, output, args);
    skua_launch spec = {.size = sizeof spec,
                        .kernel = entry->kernel->name,
                        .dims = coded->dims,
                        .arg_count = entry->kernel->param_count,
                        .args = args};
    memcpy(spec.global, coded->global, sizeof spec.global);
    skua__launch *launch = NULL;
    skua_status status =
        skua__launch_new(kernels->pool->hook, entry->kernel, &spec, &launch, ret_error);
    if (status) {
        return status;
    }
    int64_t start_ns = skua__clock_ns();
    const skua__kernel_place *place = &kernels->places[at];
    status = place->engine
                 ? run_on_device(kernels, place, launch, call)
                 : skua__launch_run_on_cores(launch, kernels->pool->exec, is_unwanted, call);
    if (status) {
        *ret_error = launch->error;
    }
    learn(entry, at, launch, items_of(coded), status, skua__clock_ns() - start_ns);
    skua__launch_free(launch);
    return status;
}

/* What has nothing to do with the kernel itself, so that the cores may do better. */
static bool
is_the_devices_fault(skua_status status) {
    return status == SKUA_E_DEVICE_FAILED || status == SKUA_E_DEVICE_MEMORY ||
           status == SKUA_E_AGAIN || status == SKUA_E_KERNEL_BUILD;
}

int
skua__kernel_task(skua_task_call *call, void *arg) {
    skua__kernel_entry *entry = arg;
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
    void *output = NULL;
    size_t room = coded.output_bytes < OUTPUT_MIN_BYTES ? OUTPUT_MIN_BYTES : coded.output_bytes;
    int at = choose(entry, &coded);
    skua_error error = {0};
    skua_status status = skua_task_output(call, room, &output);
    if (status) {
        snprintf(error.message, sizeof error.message, "no memory for the launch's results");
    } else if (at < 0) {
        status = SKUA_E_UNSUPPORTED;
        snprintf(
            error.message, sizeof error.message,
            "nothing here may run this launch: there is no such device, or the kernel lacks %s",
            entry->kernel->fn ? "a source" : "a function for cores");
    } else {
        memset(output, 0, room);
        status = attempt(entry, at, &coded, input, output, call, &error);
        if (is_the_devices_fault(status) && entry->kernel->fn && coded.on == SKUA_ON_ANY) {
            status = attempt(entry, 0, &coded, input, output, call, &error);
        }
    }
    skua__mem_free(call->hook, aligned);
    return status ? skua_task_fail(call, 1, error.message) : 0;
}
