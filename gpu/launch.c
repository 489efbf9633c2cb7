// SPDX-License-Identifier: MPL-2.0
// A launch: checked against its kernel and copied, and its C function run on the cores.
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/launch.h>
#include <skua-int/mem.h>
#include <skua/buffer.h>
#include <skua/parallel.h>

#include <assert.h>
#include <string.h>

enum {
    VALUE_ALIGN = 16, /* of the copies of values, for any type that C has */
};

static bool
is_memory(skua_param_kind kind) {
    return kind == SKUA_PARAM_IN || kind == SKUA_PARAM_OUT || kind == SKUA_PARAM_INOUT;
}

static skua_status
check_arg(const skua__kernel *kernel, uint32_t i, const skua_kernel_arg *arg, skua_error *err) {
    skua_param_kind kind = kernel->params[i];
    if (is_memory(kind) && arg->buffer) {
        return !arg->data && !arg->value && arg->bytes == skua_buffer_bytes(arg->buffer)
                   ? SKUA_OK
                   : SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                               "argument %u of kernel \"%s\" is a buffer: give its bytes, %zu, and "
                               "nothing else",
                               i, kernel->name, skua_buffer_bytes(arg->buffer));
    }
    if (is_memory(kind)) {
        return arg->data && arg->bytes && !arg->value
                   ? SKUA_OK
                   : SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                               "argument %u of kernel \"%s\" is memory: give data and bytes", i,
                               kernel->name);
    }
    bool good = !arg->data && !arg->buffer && arg->bytes &&
                (kind == SKUA_PARAM_VALUE ? arg->value && arg->bytes <= SKUA_KERNEL_MAX_VALUE_BYTES
                                          : !arg->value);
    return good ? SKUA_OK
                : SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "argument %u of kernel \"%s\" is %s", i,
                            kernel->name,
                            kind == SKUA_PARAM_VALUE ? "a value: give value, and bytes up to 128"
                                                     : "scratch memory: give bytes only");
}

/* A launch has one turn at each buffer that it writes, and one list of devices. */
static skua_status
check_buffers(const skua__kernel *kernel, const skua_launch *spec, skua_error *err) {
    const struct skua_buffer *first = NULL;
    for (uint32_t i = 0; i < spec->arg_count; i++) {
        const struct skua_buffer *buffer = spec->args[i].buffer;
        first = first ? first : buffer;
        if (buffer && skua__buffers_of(buffer) != skua__buffers_of(first)) {
            return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                             "the buffers of the launch of \"%s\" belong to different lists of "
                             "devices",
                             kernel->name);
        }
        for (uint32_t j = 0; j < i && buffer; j++) {
            bool writes = kernel->params[i] != SKUA_PARAM_IN || kernel->params[j] != SKUA_PARAM_IN;
            if (spec->args[j].buffer == buffer && writes) {
                return SKUA_FAIL(
                    err, SKUA_E_BAD_ARGUMENT,
                    "arguments %u and %u of kernel \"%s\" are the same buffer, and one "
                    "of them is written",
                    j, i, kernel->name);
            }
        }
    }
    return SKUA_OK;
}

skua_status
skua__launch_check(const skua__kernel *kernel, const skua_launch *spec, skua_error *err) {
    if (spec->dims > 3) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a launch has 1 to 3 dimensions, not %u",
                         spec->dims);
    }
    bool on_device = spec->on >= SKUA_ON_DEVICE && spec->on < SKUA_ON_DEVICE + SKUA_DEVICES_MAX;
    if (spec->on != SKUA_ON_ANY && spec->on != SKUA_ON_CORES && !on_device) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "a launch is on SKUA_ON_ANY, SKUA_ON_CORES, or SKUA_ON_DEVICE and the "
                         "number of a device; %d is none of them",
                         (int)spec->on);
    }
    uint64_t items = 1;
    for (uint32_t i = 0; i < (spec->dims ? spec->dims : 1); i++) {
        if (spec->global[i] == 0 || spec->global[i] > SKUA_KERNEL_MAX_GLOBAL / items) {
            return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                             "dimension %u of the launch of \"%s\" has %llu work-items; a launch "
                             "may have 1 to 2^40 in all",
                             i, kernel->name, (unsigned long long)spec->global[i]);
        }
        items *= spec->global[i];
    }
    if (spec->arg_count != kernel->param_count || (spec->arg_count && !spec->args)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "kernel \"%s\" has %u parameters, but the launch has %u arguments",
                         kernel->name, kernel->param_count, spec->arg_count);
    }
    for (uint32_t i = 0; i < spec->arg_count; i++) {
        skua_status status = check_arg(kernel, i, &spec->args[i], err);
        if (status) {
            return status;
        }
    }
    skua_status status = check_buffers(kernel, spec, err);
    if (status) {
        return status;
    }
    if (kernel->check && kernel->check(spec, kernel->fn_arg)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "the sizes of the launch of \"%s\" do not fit together", kernel->name);
    }
    return SKUA_OK;
}

static size_t
value_room(size_t bytes) {
    return (bytes + VALUE_ALIGN - 1) / VALUE_ALIGN * VALUE_ALIGN;
}

/* The launch, its arguments, steps and values lie in one block, in this order. */
static size_t
head_bytes(uint32_t arg_count) {
    return value_room(sizeof(skua__launch) + arg_count * sizeof(skua__launch_arg));
}

/* Each argument has a copy in and one out at most, and there is the kernel. */
static size_t
steps_bytes(uint32_t arg_count) {
    return value_room((2 * (size_t)arg_count + 1) * sizeof(skua__step));
}

size_t
skua__launch_bytes(const skua_launch *spec) {
    size_t values = 0;
    for (uint32_t i = 0; i < spec->arg_count; i++) {
        values += spec->args[i].value ? value_room(spec->args[i].bytes) : 0;
    }
    return head_bytes(spec->arg_count) + steps_bytes(spec->arg_count) + values;
}

/* A launch of nothing in such memory. Its steps are cleared as they begin. */
static skua__launch *
begin(void *room, const skua_allocator *hook, uint32_t arg_count) {
    skua__launch *launch = room;
    memset(room, 0, head_bytes(arg_count));
    launch->hook = hook;
    launch->steps = (skua__step *)(void *)((unsigned char *)room + head_bytes(arg_count));
    skua__a32_store(&launch->refs, 1, memory_order_relaxed); /* relaxed: nobody else has it yet */
    launch->arg_count = arg_count;
    skua__list_init(&launch->link);
    for (uint32_t i = 0; i < arg_count; i++) {
        skua__list_init(&launch->args[i].use.link);
    }
    return launch;
}

/* What was checked. */
static skua__launch *
fill(void *room, const skua_allocator *hook, const skua__kernel *kernel, const skua_launch *spec) {
    skua__launch *launch = begin(room, hook, spec->arg_count);
    unsigned char *values =
        (unsigned char *)room + head_bytes(spec->arg_count) + steps_bytes(spec->arg_count);
    launch->kernel = kernel;
    launch->dims = spec->dims ? spec->dims : 1;
    launch->priority = spec->priority;
    for (uint32_t i = 0; i < 3; i++) {
        launch->global[i] = i < launch->dims ? spec->global[i] : 1;
    }
    launch->end = launch->global[0];
    for (uint32_t i = 0; i < spec->arg_count; i++) {
        const skua_kernel_arg *from = &spec->args[i];
        skua__launch_arg *arg = &launch->args[i];
        arg->kind = kernel->params[i];
        arg->host = from->buffer ? skua__buffer_host(from->buffer) : from->data;
        arg->buffer = from->buffer;
        launch->space = from->buffer ? skua__buffers_of(from->buffer) : launch->space;
        arg->bytes = from->bytes;
        if (from->value) {
            memcpy(values, from->value, from->bytes);
            arg->value = values;
            values += value_room(from->bytes);
        }
    }
    return launch;
}

static skua_status
read_spec(const skua__kernel *kernel, const skua_launch *given, skua_launch *ret, skua_error *err) {
    return given && SKUA_READ_OPTIONS(ret, given)
               ? skua__launch_check(kernel, ret, err)
               : SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a launch needs its size set");
}

skua_status
skua__launch_new(const skua_allocator *hook, const skua__kernel *kernel, const skua_launch *given,
                 skua__launch **ret_launch, skua_error *err) {
    skua_launch spec;
    skua_status status = read_spec(kernel, given, &spec, err);
    if (status) {
        return status;
    }
    void *room = skua__mem_room(hook, skua__launch_bytes(&spec));
    if (!room) {
        return SKUA_FAIL_MEMORY(err, "a launch");
    }
    *ret_launch = fill(room, hook, kernel, &spec);
    return SKUA_OK;
}

skua_status
skua__launch_init(void *room, const skua_allocator *hook, const skua__kernel *kernel,
                  const skua_launch *given, skua__launch **ret_launch, skua_error *err) {
    skua_launch spec;
    skua_status status = read_spec(kernel, given, &spec, err);
    if (!status) {
        *ret_launch = fill(room, hook, kernel, &spec);
    }
    return status;
}

void
skua__launch_cut(skua__launch *launch, uint64_t first, uint64_t end) {
    assert(first < end && end <= launch->global[0]);
    launch->first = first;
    launch->end = end;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (launch->kernel->sliced >> i & 1) {
            uint64_t each = arg->bytes / launch->global[0];
            arg->bytes = (end - first) * each;
            arg->before_bytes = first * each;
        }
    }
}

skua__launch *
skua__launch_free(skua__launch *launch) {
    /* acq_rel L1: whoever lets go last sees all that the other did; pairs with acq_rel L1, itself, in another thread */
    if (!launch || skua__a32_sub(&launch->refs, 1, memory_order_acq_rel) != 1) {
        return NULL;
    }
    if (launch->release) {
        launch->release(launch);
    } else {
        skua__mem_free(launch->hook, launch);
    }
    return NULL;
}

skua__launch *
skua__launch_bare(const skua_allocator *hook, uint32_t arg_count) {
    void *room = skua__mem_room(hook, head_bytes(arg_count) + steps_bytes(arg_count));
    skua__launch *launch = room ? begin(room, hook, arg_count) : NULL;
    if (launch) {
        launch->dims = 1;
    }
    return launch;
}

const char *
skua__launch_name(const skua__launch *launch) {
    return launch->kernel ? launch->kernel->name : "a buffer's move";
}

uint64_t
skua__launch_missing_bytes(const skua__kernel *kernel, const skua_launch *spec,
                           const skua__engine *engine) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < spec->arg_count; i++) {
        const skua_kernel_arg *arg = &spec->args[i];
        skua_param_kind kind = kernel->params[i];
        if (!is_memory(kind)) {
            continue;
        }
        if (arg->buffer) {
            bytes += kind == SKUA_PARAM_OUT ? 0 : skua__buffer_missing_bytes(arg->buffer, engine);
        } else if (engine && !skua__engine_shares(engine, arg->data)) {
            bytes += kind == SKUA_PARAM_INOUT ? 2 * arg->bytes : arg->bytes;
        }
    }
    return bytes;
}

/* ---- On cores ---- */

/* Scratch memory for one call of the function, behind one another. Returns false when there is none. */
static bool
take_scratch(const skua__launch *launch, void **args, void **ret_block) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        bytes += launch->args[i].kind == SKUA_PARAM_LOCAL ? value_room(launch->args[i].bytes) : 0;
    }
    unsigned char *at = bytes ? skua__mem_new(launch->hook, bytes) : NULL;
    *ret_block = at;
    for (uint32_t i = 0; i < launch->arg_count && at; i++) {
        if (launch->args[i].kind == SKUA_PARAM_LOCAL) {
            args[i] = at;
            at += value_room(launch->args[i].bytes);
        }
    }
    return !bytes || *ret_block;
}

static void
note_code(skua__launch *launch, uint32_t code) {
    uint32_t none = 0;
    skua__a32_cas(&launch->code, &none, code, memory_order_relaxed); /* relaxed: read after all */
}

/* What the function is given. Of a slice it is where all of it would begin: only the slice is there, and only it is touched. */
static void *
address_of(const skua__launch_arg *arg) {
    return arg->value ? (void *)(uintptr_t)arg->value
                      : (void *)((uintptr_t)arg->host - (uintptr_t)arg->before_bytes);
}

/* One piece of the work. The memory of an argument stays where the caller has it. */
static void
call_function(skua_worker w, uint64_t first, uint64_t end, void *arg) {
    (void)w;
    skua__launch *launch = arg;
    if (launch->is_unwanted(launch->unwanted_arg)) {
        skua__a32_store(&launch->cancelled, 1, memory_order_relaxed); /* relaxed: see its comment */
    }
    if (skua__a32_load(&launch->cancelled, memory_order_relaxed)) { /* relaxed: same */
        return;
    }
    void *args[SKUA_KERNEL_MAX_PARAMS];
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        args[i] = address_of(&launch->args[i]);
    }
    void *scratch = NULL;
    if (!take_scratch(launch, args, &scratch)) {
        note_code(launch, (uint32_t)SKUA_E_NO_MEMORY);
        return;
    }
    skua_kernel_call call = {.size = sizeof call,
                             .dims = launch->dims,
                             .arg_count = launch->arg_count,
                             .begin = first,
                             .end = end,
                             .args = args};
    memcpy(call.global, launch->global, sizeof call.global);
    int code = launch->kernel->fn(&call, launch->kernel->fn_arg);
    if (code) {
        note_code(launch, (uint32_t)code);
    }
    skua__mem_free(launch->hook, scratch);
}

/* What the calls together came to, in the launch's error. */
static skua_status
outcome_of(skua__launch *launch, skua_status status) {
    int code = (int)skua__a32_load(&launch->code, memory_order_relaxed); /* relaxed: all returned */
    if (status) {
        return status;
    }
    if (skua__a32_load(&launch->cancelled, memory_order_relaxed)) { /* relaxed: see its comment */
        return SKUA_FAIL(&launch->error, SKUA_E_CANCELLED, "the launch of \"%s\" was cancelled",
                         launch->kernel->name);
    }
    if (code == SKUA_E_NO_MEMORY) {
        return SKUA_FAIL_MEMORY(&launch->error, "a kernel's scratch memory");
    }
    return code ? SKUA_FAIL(&launch->error, SKUA_E_TASK_FAILED,
                            "the function of kernel \"%s\" returned %d", launch->kernel->name, code)
                : SKUA_OK;
}

skua_status
skua__launch_run_on_cores(skua__launch *launch, skua_exec *exec,
                          bool (*is_unwanted)(const void *arg), const void *arg) {
    if (!launch->kernel->fn) {
        return SKUA_FAIL(&launch->error, SKUA_E_UNSUPPORTED,
                         "kernel \"%s\" has no function for cores", launch->kernel->name);
    }
    launch->is_unwanted = is_unwanted;
    launch->unwanted_arg = arg;
    skua_status status = skua__buffers_begin_on_cores(launch, &launch->error);
    if (status) {
        return status;
    }
    int64_t start_ns = skua__clock_ns();
    launch->computed = true;
    status = skua_parallel_for(exec, launch->first, launch->end, 0, call_function, launch,
                               &launch->error);
    launch->run_ns = skua__clock_ns() - start_ns;
    status = outcome_of(launch, status);
    skua__buffers_leave(launch, status == SKUA_OK);
    return status;
}
