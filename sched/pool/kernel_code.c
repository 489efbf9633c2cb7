// SPDX-License-Identifier: MPL-2.0
// A launch as the bytes of a task: a head, then what its arguments hold, each aligned. The outputs come back in the order
// of the parameters. docs/design/wire.md has the layout; a peer may send anything. What buffers hold is no part of it: a launch
// with buffers stays on this machine.
#include <skua-int/buf.h>
#include <skua-int/kernels.h>

#include <assert.h>
#include <string.h>

enum {
    CODE_WHOLE = 1, /* versions */
    CODE_PART = 2,
    HEAD_BYTES = 4 + 4 + 3 * 8 + 4 + 4, /* version, dims, global, on, count of arguments */
    PART_BYTES = 8 + 8,                 /* of CODE_PART besides: first, end */
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

static bool
is_part(const skua__coded_launch *launch) {
    return launch->end - launch->first < launch->global[0];
}

/* Places every argument; their bytes are known, and which part it is. */
static bool
place_all(const skua__kernel *kernel, skua__coded_launch *layout) {
    layout->input_bytes = HEAD_BYTES + (is_part(layout) ? (size_t)PART_BYTES : 0) +
                          kernel->param_count * (size_t)ARG_BYTES;
    layout->output_bytes = 0;
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        skua__coded_arg *arg = &layout->args[i];
        if (arg->buffer) {
            continue;
        }
        bool cut = is_part(layout) && (kernel->sliced >> i & 1);
        uint64_t each = cut ? arg->bytes / layout->global[0] : 0;
        arg->part_at = (size_t)(layout->first * each);
        arg->part_bytes = (size_t)(cut ? (layout->end - layout->first) * each : arg->bytes);
        if (goes_in(kernel->params[i]) &&
            !place(&layout->input_bytes, arg->part_bytes, &arg->in_at)) {
            return false;
        }
        if (comes_out(kernel->params[i]) &&
            !place(&layout->output_bytes, arg->part_bytes, &arg->out_at)) {
            return false;
        }
    }
    return true;
}

/* Whether launches of this kernel, with such arguments, may be cut. *ret_param: else the one that is in the way. */
static bool
can_be_cut(const skua__kernel *kernel, const skua__coded_launch *launch, uint32_t *ret_param) {
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        bool sliced = kernel->sliced >> i & 1;
        *ret_param = i;
        if (sliced ? launch->args[i].bytes % launch->global[0] != 0
                   : comes_out(kernel->params[i])) {
            return false;
        }
    }
    return true;
}

skua_status
skua__launch_check_cut(const skua__kernel *kernel, const skua__coded_launch *launch,
                       skua_error *err) {
    uint32_t i = 0;
    if (can_be_cut(kernel, launch, &i)) {
        return SKUA_OK;
    }
    if (kernel->sliced >> i & 1) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "argument %u of \"%s\" has %llu bytes, which are not as many for each of "
                         "the %llu indices of the first dimension: the launch cannot be split",
                         i, kernel->name, (unsigned long long)launch->args[i].bytes,
                         (unsigned long long)launch->global[0]);
    }
    return SKUA_FAIL(
        err, SKUA_E_UNSUPPORTED,
        "parameter %u of \"%s\" is written and not sliced: the launch cannot be split; "
        "name it in skua_kernel_spec.sliced, if it is",
        i, kernel->name);
}

void
skua__launch_lay_out_part(const skua__kernel *kernel, const skua__coded_launch *whole,
                          uint64_t first, uint64_t end, skua__coded_launch *ret) {
    memcpy(ret, whole, skua__coded_bytes(kernel->param_count));
    ret->first = first;
    ret->end = end;
    bool fits = place_all(kernel, ret);
    assert(fits); /* no argument is larger than it was */
    (void)fits;
}

static skua_status
lay_out(const skua__kernel *kernel, const skua_launch *launch, bool plain, skua__coded_launch *ret,
        skua_error *err) {
    memset(ret, 0, skua__coded_bytes(kernel->param_count));
    ret->dims = launch->dims ? launch->dims : 1;
    ret->on = launch->on;
    ret->priority = launch->priority;
    for (uint32_t i = 0; i < 3; i++) {
        ret->global[i] = i < ret->dims ? launch->global[i] : 1;
    }
    ret->end = ret->global[0];
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        ret->args[i].bytes = launch->args[i].bytes;
        ret->args[i].buffer = plain ? NULL : launch->args[i].buffer;
    }
    return place_all(kernel, ret)
               ? SKUA_OK
               : SKUA_FAIL(err, SKUA_E_TOO_BIG,
                           "a launch of \"%s\" may carry %d bytes in, and %d "
                           "out%s; cut it into several",
                           kernel->name, SKUA_TASK_MAX_BYTES, SKUA_TASK_MAX_BYTES,
                           plain ? ", with what its buffers hold when it is split" : "");
}

skua_status
skua__launch_lay_out(const skua__kernel *kernel, const skua_launch *launch, skua__coded_launch *ret,
                     skua_error *err) {
    return lay_out(kernel, launch, false, ret, err);
}

skua_status
skua__launch_lay_out_plain(const skua__kernel *kernel, const skua_launch *launch,
                           skua__coded_launch *ret, skua_error *err) {
    return lay_out(kernel, launch, true, ret, err);
}

void
skua__launch_encode(const skua__kernel *kernel, const skua_launch *launch,
                    const skua__coded_launch *layout, uint8_t *ret) {
    skua__writer writer = skua__writer_of(ret, layout->input_bytes);
    skua__write_u32(&writer, is_part(layout) ? CODE_PART : CODE_WHOLE);
    skua__write_u32(&writer, layout->dims);
    for (int i = 0; i < 3; i++) {
        skua__write_u64(&writer, layout->global[i]);
    }
    skua__write_u32(&writer, (uint32_t)layout->on);
    skua__write_u32(&writer, kernel->param_count);
    if (is_part(layout)) {
        skua__write_u64(&writer, layout->first);
        skua__write_u64(&writer, layout->end);
    }
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        skua__write_u32(&writer, (uint32_t)kernel->params[i]);
        skua__write_u64(&writer, layout->args[i].bytes);
    }
    size_t used = writer.used;
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        const skua__coded_arg *arg = &layout->args[i];
        if (goes_in(kernel->params[i]) && !arg->buffer) {
            memset(ret + used, 0, arg->in_at - used); /* what aligns it says nothing */
            const uint8_t *from =
                launch->args[i].value ? launch->args[i].value : launch->args[i].data;
            memcpy(ret + arg->in_at, from + arg->part_at, arg->part_bytes);
            used = arg->in_at + arg->part_bytes;
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
        if (comes_out(kernel->params[i]) && !launch->args[i].buffer) {
            memcpy(launch->args[i].data, (const uint8_t *)output + layout.args[i].out_at,
                   (size_t)layout.args[i].bytes);
        }
    }
    return status;
}

/* Where a peer may ask a launch to run: what users may ask for, and none of the pool's own words. */
static bool
is_place_of_users(int32_t on) {
    return on == SKUA_ON_ANY || on == SKUA_ON_CORES ||
           (on >= SKUA_ON_DEVICE && on < SKUA_ON_DEVICE + SKUA_DEVICES_MAX);
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
    ret->end = ret->global[0];
    if (version == CODE_PART) {
        ret->first = skua__read_u64(reader);
        ret->end = skua__read_u64(reader);
    }
    bool part_is_good = version == CODE_PART
                            ? ret->first < ret->end && ret->end <= ret->global[0] && is_part(ret)
                            : version == CODE_WHOLE;
    if (reader->failed || !part_is_good || !is_place_of_users(ret->on) || ret->dims < 1 ||
        ret->dims > 3 || count != kernel->param_count) {
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

/* Whether the launch of which it is a part is one: else it could ask for memory that no launch is given. */
static bool
whole_fits(const skua__kernel *kernel, const skua__coded_launch *part) {
    skua__coded_launch whole;
    memcpy(&whole, part, skua__coded_bytes(kernel->param_count));
    whole.first = 0;
    whole.end = whole.global[0];
    return place_all(kernel, &whole);
}

bool
skua__launch_decode(const skua__kernel *kernel, const void *bytes, size_t size,
                    skua__coded_launch *ret) {
    memset(ret, 0, skua__coded_bytes(kernel->param_count));
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
    uint32_t unused = 0;
    return (!is_part(ret) || (can_be_cut(kernel, ret, &unused) && whole_fits(kernel, ret))) &&
           place_all(kernel, ret) && ret->input_bytes == size;
}

uint64_t
skua__launch_hidden_bytes(const skua__kernel *kernel, const skua__coded_launch *launch,
                          bool on_device, uint32_t cores) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        const skua__coded_arg *arg = &launch->args[i];
        if (on_device) {
            bytes += arg->part_at;
        } else {
            bytes += kernel->params[i] == SKUA_PARAM_LOCAL ? arg->bytes * cores : 0;
        }
    }
    return bytes;
}

size_t
skua__launch_decoded_bytes(const skua__kernel *kernel, const skua__coded_launch *coded) {
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        bool is_value = kernel->params[i] == SKUA_PARAM_VALUE;
        args[i] = (skua_kernel_arg){.bytes = (size_t)coded->args[i].bytes,
                                    .value = is_value ? coded : NULL};
    }
    return skua__launch_bytes(&(skua_launch){
        .size = sizeof(skua_launch), .args = args, .arg_count = kernel->param_count});
}

skua_status
skua__launch_decoded(const skua_allocator *hook, const skua__kernel *kernel,
                     const skua__coded_launch *coded, const uint8_t *input, uint8_t *output,
                     void *room, skua__launch **ret_launch, skua_error *err) {
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        const skua__coded_arg *arg = &coded->args[i];
        args[i] = (skua_kernel_arg){.bytes = (size_t)arg->bytes, .buffer = arg->buffer};
        if (arg->buffer) {
            continue;
        }
        switch (kernel->params[i]) {
        case SKUA_PARAM_IN:
            args[i].data = (void *)(uintptr_t)(input + arg->in_at);
            break;
        case SKUA_PARAM_INOUT:
            memcpy(output + arg->out_at, input + arg->in_at, arg->part_bytes);
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
    skua_status status = room ? skua__launch_init(room, hook, kernel, &spec, ret_launch, err)
                              : skua__launch_new(hook, kernel, &spec, ret_launch, err);
    if (!status && is_part(coded)) {
        skua__launch_cut(*ret_launch, coded->first, coded->end);
    }
    return status;
}
