// SPDX-License-Identifier: MPL-2.0
// Batches of a kernel: requests become rows of one launch's arguments, and its results their answers. How they lie is described
// at skua_batch_open_kernel().
#include <skua-int/batch_int.h>
#include <skua-int/kernels.h>

#include <string.h>

struct skua__batch_kernel {
    const skua__kernel *kernel;
    char name[SKUA_KERNEL_NAME_BYTES];
    skua_launch launch; /* of one request; rows have no data */
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    _Alignas(16) uint8_t values[SKUA_KERNEL_MAX_PARAMS][SKUA_KERNEL_MAX_VALUE_BYTES];
    size_t in_bytes, out_bytes; /* of a request, and of an answer */
    uint32_t ins, outs;         /* rows of each */
};

static bool
is_row(const skua__batch_kernel *self, uint32_t i) {
    skua_param_kind kind = self->kernel->params[i];
    return (kind == SKUA_PARAM_IN || kind == SKUA_PARAM_OUT || kind == SKUA_PARAM_INOUT) &&
           !self->args[i].data && !self->args[i].buffer;
}

static bool
is_in_row(const skua__batch_kernel *self, uint32_t i) {
    return is_row(self, i) && self->kernel->params[i] != SKUA_PARAM_OUT;
}

static bool
is_out_row(const skua__batch_kernel *self, uint32_t i) {
    return is_row(self, i) && self->kernel->params[i] != SKUA_PARAM_IN;
}

static size_t
aligned(size_t bytes) {
    return (bytes + SKUA__KERNEL_ALIGN - 1) / SKUA__KERNEL_ALIGN * SKUA__KERNEL_ALIGN;
}

/* The launch of so many requests. Rows lie in room, or, where there is none, are said to lie somewhere. */
static void
spread(const skua__batch_kernel *self, uint32_t requests, uint8_t *room, skua_kernel_arg *ret_args,
       skua_launch *ret_launch) {
    static const uint8_t somewhere = 0;
    size_t used = 0;
    *ret_launch = self->launch;
    ret_launch->kernel = self->name;
    ret_launch->args = ret_args;
    ret_launch->global[0] *= requests;
    for (uint32_t i = 0; i < self->launch.arg_count; i++) {
        ret_args[i] = self->args[i];
        if (self->kernel->params[i] == SKUA_PARAM_VALUE && self->args[i].value) {
            ret_args[i].value = self->values[i]; /* without one it is refused at the opening */
        }
        if (is_row(self, i)) {
            ret_args[i].bytes *= requests;
            /* Results are not written here: they stay in the launch's future. */
            ret_args[i].data =
                room && is_in_row(self, i) ? room + used : (void *)(uintptr_t)&somewhere;
            used += is_in_row(self, i) ? aligned(ret_args[i].bytes) : 0;
        }
    }
}

/* ---- Opening ---- */

/* Copies what a launch of one request has, and tells rows from what all requests share. */
static skua_status
copy_args(skua__batch_kernel *self, const skua_launch *request, skua_error *err) {
    for (uint32_t i = 0; i < request->arg_count; i++) {
        self->args[i] = request->args[i];
        skua_param_kind kind = self->kernel->params[i];
        if (kind == SKUA_PARAM_VALUE && request->args[i].value &&
            request->args[i].bytes <= SKUA_KERNEL_MAX_VALUE_BYTES) {
            memcpy(self->values[i], request->args[i].value, request->args[i].bytes);
        }
        if ((kind == SKUA_PARAM_OUT || kind == SKUA_PARAM_INOUT) && !is_row(self, i)) {
            return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                             "argument %u of \"%s\" is written, and requests of a batch share only "
                             "what is read: leave its data and buffer NULL, and each has its own",
                             i, self->name);
        }
        if (is_row(self, i) &&
            (!self->args[i].bytes || self->args[i].bytes > SKUA_TASK_MAX_BYTES)) {
            return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                             "argument %u of \"%s\" has no data, so that each request has its own, "
                             "of 1 to %d bytes",
                             i, self->name, SKUA_TASK_MAX_BYTES);
        }
        self->in_bytes += is_in_row(self, i) ? self->args[i].bytes : 0;
        self->out_bytes += is_out_row(self, i) ? self->args[i].bytes : 0;
        self->ins += is_in_row(self, i);
        self->outs += is_out_row(self, i);
    }
    return SKUA_OK;
}

/* Whether the pool would take the launch of so many requests. */
static skua_status
try_launch(skua_pool *pool, const skua__batch_kernel *self, uint32_t requests, skua_error *err) {
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    skua_launch launch;
    skua__coded_launch coded;
    spread(self, requests, NULL, args, &launch);
    skua_status status = skua__launch_check(self->kernel, &launch, err);
    if (!status) {
        status = skua__launch_check_buffers(pool, &launch, err);
    }
    if (!status) {
        status = skua__launch_lay_out(self->kernel, &launch, &coded, err);
    }
    skua__coded_launch plain;
    return status || !launch.split
               ? status
               : skua__split_lay_out(pool, self->kernel, &launch, &coded, &plain, err);
}

static skua_status
fill(skua_pool *pool, skua__batch_kernel *self, const skua_launch *request,
     const skua_batch_options *options, skua_error *err) {
    self->launch = *request;
    self->launch.timeout_ms = 0;
    self->launch.priority = options->priority;
    self->launch.args = NULL;
    memcpy(self->name, self->kernel->name, sizeof self->name);
    if (request->arg_count != self->kernel->param_count || (request->arg_count && !request->args)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "kernel \"%s\" has %u parameters, but the request has %u arguments",
                         self->name, self->kernel->param_count, request->arg_count);
    }
    skua_status status = copy_args(self, request, err);
    if (!status && !self->outs) {
        status =
            SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                      "kernel \"%s\" writes nothing that could be a request's answer", self->name);
    }
    if (!status) {
        status = try_launch(pool, self, 1, err);
    }
    uint32_t most = options->requests_max;
    if (!status && self->in_bytes > options->bytes_max) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG,
                         "a request of \"%s\" has %zu bytes, and bytes_max of a batch is %u",
                         self->name, self->in_bytes, options->bytes_max);
    }
    if (!status && self->in_bytes && options->bytes_max / self->in_bytes < most) {
        most = (uint32_t)(options->bytes_max / self->in_bytes);
    }
    return status ? status : try_launch(pool, self, most, err);
}

skua_status
skua__batch_kernel_new(skua_pool *pool, const skua_allocator *hook, const skua_launch *given,
                       const skua_batch_options *options, skua__batch_kernel **ret_kernel,
                       skua_error *err) {
    skua_launch request;
    if (!given || !SKUA_READ_OPTIONS(&request, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the launch of a request needs its size set");
    }
    skua_error found = {0};
    const skua__kernel_entry *entry = skua__kernel_find(pool, request.kernel, &found);
    if (!entry) {
        if (err) {
            *err = found;
        }
        return found.status;
    }
    skua__batch_kernel *self = skua__mem_new(hook, sizeof *self);
    if (!self) {
        return SKUA_FAIL_MEMORY(err, "a batcher of launches");
    }
    self->kernel = entry->kernel; /* it lives as long as the pool */
    skua_status status = fill(pool, self, &request, options, err);
    if (status) {
        skua__mem_free(hook, self);
        return status;
    }
    *ret_kernel = self;
    return SKUA_OK;
}

/* ---- Requests in ---- */

size_t
skua__batch_kernel_in_bytes(const skua__batch_kernel *kernel) {
    return kernel->in_bytes;
}

size_t
skua__batch_kernel_out_bytes(const skua__batch_kernel *kernel) {
    return kernel->out_bytes;
}

size_t
skua__batch_kernel_room(const skua__batch_kernel *kernel, uint32_t requests) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < kernel->launch.arg_count; i++) {
        bytes += is_in_row(kernel, i) ? aligned(kernel->args[i].bytes * requests) : 0;
    }
    return bytes;
}

/* The layout of a batch's launch. Returns false when it is too large for one. */
static bool
lay_out(const skua__batch_kernel *kernel, uint32_t requests, skua__coded_launch *ret) {
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    skua_launch launch;
    spread(kernel, requests, NULL, args, &launch);
    return skua__launch_lay_out(kernel->kernel, &launch, ret, NULL) == SKUA_OK;
}

size_t
skua__batch_kernel_input_bytes(const skua__batch_kernel *kernel, uint32_t requests) {
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    skua_launch launch;
    spread(kernel, requests, NULL, args, &launch);
    return skua__launch_window_bytes(kernel->kernel, &launch);
}

void
skua__batch_kernel_gather(const skua__batch_kernel *kernel, const skua__batch_flight *flown,
                          uint8_t *room, skua_kernel_arg *ret_args, skua_launch *ret_launch) {
    spread(kernel, flown->count, room, ret_args, ret_launch);
    size_t at = 0; /* in each request */
    for (uint32_t i = 0; i < kernel->launch.arg_count; i++) {
        if (!is_in_row(kernel, i)) {
            continue;
        }
        uint8_t *to = ret_args[i].data;
        const size_t bytes = kernel->args[i].bytes;
        SKUA_LIST_EACH(node, &flown->requests) {
            memcpy(to, SKUA_CONTAINER_OF(node, skua__batch_request, link)->data + at, bytes);
            to += bytes;
        }
        at += bytes;
    }
}

/* ---- Answers out ---- */

bool
skua__batch_kernel_check(const skua__batch_kernel *kernel, uint32_t requests, const void *output,
                         size_t output_bytes, skua__batch_rows *ret) {
    skua__coded_launch coded;
    if (!lay_out(kernel, requests, &coded) || output_bytes < coded.output_bytes) {
        return false;
    }
    ret->kernel = kernel;
    ret->output = output;
    for (uint32_t i = 0; i < kernel->launch.arg_count; i++) {
        ret->at[i] = coded.args[i].out_at;
    }
    return true;
}

const void *
skua__batch_kernel_cut(const skua__batch_rows *rows, uint32_t i, void *room) {
    const skua__batch_kernel *kernel = rows->kernel;
    uint8_t *to = room;
    for (uint32_t p = 0; p < kernel->launch.arg_count; p++) {
        if (!is_out_row(kernel, p)) {
            continue;
        }
        const size_t bytes = kernel->args[p].bytes;
        const uint8_t *from = rows->output + rows->at[p] + i * bytes;
        if (kernel->outs == 1) {
            return from;
        }
        memcpy(to, from, bytes);
        to += bytes;
    }
    return room;
}

bool
skua__batch_kernel_is_whole(const skua__batch_kernel *kernel) {
    return kernel->outs == 1;
}
