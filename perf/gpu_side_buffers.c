// SPDX-License-Identifier: MPL-2.0
// What a program of a user does whose data stays where it is used: launches through a pool whose memory is in buffers.
#include "gpu_side.h"

#include <skua-int/clock.h>
#include <skua/buffer.h>
#include <string.h>

typedef struct buffer_run {
    gpu_side side;
    bool moves; /* each repetition writes what is read, and reads what was written */
    skua_buffer *buffers[GPU_PARAMS_MAX];
    skua_kernel_arg args[GPU_PARAMS_MAX];
} buffer_run;

static bool
make_buffers(buffer_run *self, skua_error *err) {
    for (uint32_t i = 0; i < self->side.job.work->param_count; i++) {
        size_t bytes = self->side.job.args[i].bytes;
        self->args[i] = self->side.job.args[i];
        if (!self->side.job.args[i].data) {
            continue;
        }
        if (skua_buffer_new(self->side.devices, &self->buffers[i],
                            SKUA_BUFFER_OPTIONS(.bytes = bytes), err) ||
            skua_buffer_write(self->buffers[i], 0, self->side.job.args[i].data, bytes, err)) {
            return false;
        }
        self->args[i] = (skua_kernel_arg){.buffer = self->buffers[i], .bytes = bytes};
    }
    return true;
}

static bool
set_up(buffer_run *self, const gpu_work *work, uint32_t items) {
    skua_error err;
    return gpu_side_open(&self->side, work, items) &&
           (make_buffers(self, &err) || gpu_side_fail(&err));
}

/* Between the caller's own memory and the buffers: the inputs there, or the outputs back. */
static skua_status
move(buffer_run *self, bool in, skua_error *err) {
    skua_status status = SKUA_OK;
    for (uint32_t i = 0; i < self->side.job.work->param_count && !status; i++) {
        const skua_kernel_arg *arg = &self->side.job.args[i];
        skua_param_kind kind = self->side.job.work->params[i];
        if (in && kind == SKUA_PARAM_IN) {
            status = skua_buffer_write(self->buffers[i], 0, arg->data, arg->bytes, err);
        } else if (!in && kind == SKUA_PARAM_OUT) {
            status = skua_buffer_read(self->buffers[i], 0, arg->data, arg->bytes, err);
        }
    }
    return status;
}

static double
launch_ms(void *arg) {
    buffer_run *self = arg;
    skua_launch spec = gpu_launch_of(&self->side.job);
    skua_pool_future *future = NULL;
    skua_error err;
    spec.on = SKUA_ON_DEVICE;
    spec.args = self->args;
    int64_t start_ns = skua__clock_ns();
    bool good = (!self->moves || !move(self, true, &err)) &&
                !skua_kernel_submit(self->side.pool, &spec, &future, &err) &&
                !skua_kernel_collect(self->side.pool, &spec, future, SKUA_UNLIMITED, &err) &&
                (!self->moves || !move(self, false, &err));
    double took_ms = (double)(skua__clock_ns() - start_ns) / 1e6;
    skua_pool_future_free(future);
    return good || gpu_side_fail(&err) ? took_ms : -1;
}

int
gpu_side_pool_buffers(perf_run *run) {
    static buffer_run self; /* and all that it opens ends with the process */
    const gpu_work *work = gpu_work_named(run->what->work);
    skua_error err;
    self.moves = strcmp(run->what->what, "work") == 0;
    if (!set_up(&self, work, run->what->items) || launch_ms(&self) < 0) {
        return 1;
    }
    int failed = gpu_repeat(run, launch_ms, &self);
    if (!failed && move(&self, false, &err)) {
        return !gpu_side_fail(&err);
    }
    return failed || !work->is_right(&self.side.job);
}
