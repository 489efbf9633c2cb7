// SPDX-License-Identifier: MPL-2.0
// A launch as the bytes of a task: a head, then what its arguments hold, each aligned. The outputs come back in the order
// of the parameters. docs/design/wire.md has the layout; a peer may send anything.
#include <skua-int/buf.h>
#include <skua-int/kernels.h>
#include <string.h>

enum {
    CODE_VERSION = 1,
    HEAD_BYTES = 4 + 4 + 3 * 8 + 4 + 4, /* version, dims, global, on, count of arguments */
    ARG_BYTES = 4 + 8,                  /* kind, bytes */
};

static bool
goes_in(skua_param_kind kind) {
    return kind == SKUA_PARAM_IN || kind == SKUA_PARAM_INOUT || kind == SKUA_PARAM_VALUE;
}

static bool
comes_out(skua_param_kind kind) {
    return kind == SKUA_PARAM_OUT || kind == SKUA_PARAM_INOUT;
}

/* Takes room for bytes behind *used, aligned. Returns false when it is more than a task may carry. */
static bool
place(size_t *used, uint64_t bytes, size_t *ret_at) {
    *ret_at = (*used + SKUA__KERNEL_ALIGN - 1) / SKUA__KERNEL_ALIGN * SKUA__KERNEL_ALIGN;
    if (bytes > SKUA_TASK_MAX_BYTES || *ret_at + bytes > SKUA_TASK_MAX_BYTES) {
        return false;
    }
    *used = *ret_at + (size_t)bytes;
    return true;
}

/* Places every argument; their bytes are known. */
static bool
place_all(const skua__kernel *kernel, skua__coded_launch *layout) {
    layout->input_bytes = HEAD_BYTES + kernel->param_count * (size_t)ARG_BYTES;
    layout->output_bytes = 0;
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        skua__coded_arg *arg = &layout->args[i];
        if (goes_in(kernel->params[i]) && !place(&layout->input_bytes, arg->bytes, &arg->in_at)) {
            return false;
        }
        if (comes_out(kernel->params[i]) &&
            !place(&layout->output_bytes, arg->bytes, &arg->out_at)) {
            return false;
        }
    }
    return true;
}

skua_status
skua__launch_lay_out(const skua__kernel *kernel, const skua_launch *launch, skua__coded_launch *ret,
                     skua_error *err) {
    memset(ret, 0, sizeof *ret);
    ret->dims = launch->dims ? launch->dims : 1;
    ret->on = launch->on;
    ret->priority = launch->priority;
    for (uint32_t i = 0; i < 3; i++) {
        ret->global[i] = i < ret->dims ? launch->global[i] : 1;
    }
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        ret->args[i].bytes = launch->args[i].bytes;
    }
    return place_all(kernel, ret)
               ? SKUA_OK
               : SKUA_FAIL(err, SKUA_E_TOO_BIG,
                           "a launch of \"%s\" may carry %d bytes in, and %d "
                           "out; cut it into several",
                           kernel->name, SKUA_TASK_MAX_BYTES, SKUA_TASK_MAX_BYTES);
}

void
skua__launch_encode(const skua__kernel *kernel, const skua_launch *launch,
                    const skua__coded_launch *layout, uint8_t *ret) {
    skua__writer writer = skua__writer_of(ret, layout->input_bytes);
    skua__write_u32(&writer, CODE_VERSION);
    skua__write_u32(&writer, layout->dims);
    for (int i = 0; i < 3; i++) {
        skua__write_u64(&writer, layout->global[i]);
    }
    skua__write_u32(&writer, (uint32_t)layout->on);
    skua__write_u32(&writer, kernel->param_count);
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        skua__write_u32(&writer, (uint32_t)kernel->params[i]);
        skua__write_u64(&writer, layout->args[i].bytes);
    }
    size_t used = writer.used;
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        const skua__coded_arg *arg = &layout->args[i];
        if (goes_in(kernel->params[i])) {
            memset(ret + used, 0, arg->in_at - used); /* what aligns it says nothing */
            const void *from = launch->args[i].value ? launch->args[i].value : launch->args[i].data;
            memcpy(ret + arg->in_at, from, (size_t)arg->bytes);
            used = arg->in_at + (size_t)arg->bytes;
        }
    }
}

skua_status
skua__launch_unpack(const skua__kernel *kernel, const skua_launch *launch, const void *output,
                    size_t output_bytes, skua_error *err) {
    skua__coded_launch layout;
    skua_status status = skua__launch_check(kernel, launch, err);
    if (!status) {
        status = skua__launch_lay_out(kernel, launch, &layout, err);
    }
    if (!status && output_bytes < layout.output_bytes) {
        status = SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                           "the results of \"%s\" are %zu bytes, but this launch has %zu: it is "
                           "another one",
                           kernel->name, output_bytes, layout.output_bytes);
    }
    for (uint32_t i = 0; i < kernel->param_count && !status; i++) {
        if (comes_out(kernel->params[i])) {
            memcpy(launch->args[i].data, (const uint8_t *)output + layout.args[i].out_at,
                   (size_t)layout.args[i].bytes);
        }
    }
    return status;
}

static bool
decode_head(skua__reader *reader, const skua__kernel *kernel, skua__coded_launch *ret) {
    uint32_t version = skua__read_u32(reader);
    ret->dims = skua__read_u32(reader);
    for (int i = 0; i < 3; i++) {
        ret->global[i] = skua__read_u64(reader);
    }
    ret->on = (int32_t)skua__read_u32(reader);
    uint32_t count = skua__read_u32(reader);
    if (reader->failed || version != CODE_VERSION || ret->dims < 1 || ret->dims > 3 ||
        count != kernel->param_count) {
        return false;
    }
    uint64_t items = 1;
    for (uint32_t i = 0; i < 3; i++) {
        if (ret->global[i] == 0 || ret->global[i] > SKUA_KERNEL_MAX_GLOBAL / items ||
            (i >= ret->dims && ret->global[i] != 1)) {
            return false;
        }
        items *= ret->global[i];
    }
    return true;
}

bool
skua__launch_decode(const skua__kernel *kernel, const void *bytes, size_t size,
                    skua__coded_launch *ret) {
    memset(ret, 0, sizeof *ret);
    skua__reader reader = skua__reader_of(bytes, size);
    if (!decode_head(&reader, kernel, ret)) {
        return false;
    }
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        uint32_t kind = skua__read_u32(&reader);
        ret->args[i].bytes = skua__read_u64(&reader);
        bool value_fits = kernel->params[i] != SKUA_PARAM_VALUE ||
                          ret->args[i].bytes <= SKUA_KERNEL_MAX_VALUE_BYTES;
        if (reader.failed || kind != (uint32_t)kernel->params[i] || ret->args[i].bytes == 0 ||
            ret->args[i].bytes > SKUA_TASK_MAX_BYTES || !value_fits) {
            return false;
        }
    }
    return place_all(kernel, ret) && ret->input_bytes == size;
}

skua_status
skua__launch_decoded(const skua_allocator *hook, const skua__kernel *kernel,
                     const skua__coded_launch *coded, const uint8_t *input, uint8_t *output,
                     skua__launch **ret_launch, skua_error *err) {
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS] = {0};
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
    skua_launch spec = {.size = sizeof spec,
                        .kernel = kernel->name,
                        .dims = coded->dims,
                        .arg_count = kernel->param_count,
                        .args = args,
                        .priority = coded->priority};
    memcpy(spec.global, coded->global, sizeof spec.global);
    return skua__launch_new(hook, kernel, &spec, ret_launch, err);
}
