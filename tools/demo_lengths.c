// SPDX-License-Identifier: MPL-2.0
// The kernel of the demo: no atomics and no local memory, so that it is exact on every device.
#include "demo_lengths.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>

static const char source[] =
    "static bool letter(global const uchar *text, uint at) {\n"
    "    uchar low = (text[at] | 0x20) - 'a';\n"
    "    return low < 26;\n"
    "}\n"
    "kernel void lengths(global uint *out, global const uchar *text, uint size, SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    uint item = get_global_id(0), begin = item * 1024, end = min(begin + 1024, size);\n"
    "    global uint *counts = out + item * 32;\n"
    "    for (uint i = 0; i < 32; i++) { counts[i] = 0; }\n"
    "    for (uint at = begin; at < end; at++) {\n"
    "        if (!letter(text, at) || (at > 0 && letter(text, at - 1))) { continue; }\n"
    "        uint stop = at + 1;\n"
    "        while (stop < size && letter(text, stop)) { stop++; }\n"
    "        counts[min(stop - at, 31u)]++;\n"
    "    }\n"
    "}\n";

skua_status
demo_lengths_register(skua_pool *pool, skua_error *err) {
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE};
    return skua_kernel_register(
        pool, "lengths",
        SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 3, .guarded = 1), err);
}

static skua_launch
launch_of(const demo_lengths *self) {
    return *SKUA_LAUNCH(.kernel = "lengths", .global = {self->items}, .args = self->args,
                        .arg_count = 3, .on = self->on);
}

skua_status
demo_lengths_submit(demo_lengths *self, skua_pool *pool, int32_t on, char *text, uint32_t size,
                    skua_error *err) {
    uint32_t items = (size + DEMO_LENGTHS_SLICE - 1) / DEMO_LENGTHS_SLICE;
    uint32_t *out = skua__mem_new_array(NULL, (size_t)items * DEMO_LENGTHS, sizeof *out);
    if (!out) {
        return SKUA_FAIL_MEMORY(err, "a histogram");
    }
    *self = (demo_lengths){.text = text, .size = size, .items = items, .out = out, .on = on};
    self->args[0] =
        (skua_kernel_arg){.data = out, .bytes = (size_t)items * DEMO_LENGTHS * sizeof *out};
    self->args[1] = (skua_kernel_arg){.data = text, .bytes = size};
    self->args[2] = (skua_kernel_arg){.value = &self->size, .bytes = sizeof self->size};
    skua_launch launch = launch_of(self);
    skua_status status = skua_kernel_submit(pool, &launch, &self->future, err);
    if (status) {
        skua__mem_free(NULL, out);
        *self = (demo_lengths){0};
    }
    return status;
}

skua_status
demo_lengths_collect(demo_lengths *self, skua_pool *pool, uint64_t histogram[DEMO_LENGTHS],
                     skua_error *err) {
    skua_launch launch = launch_of(self);
    skua_status status = skua_kernel_collect(pool, &launch, self->future, SKUA_UNLIMITED, err);
    for (uint32_t i = 0; !status && i < self->items * DEMO_LENGTHS; i++) {
        histogram[i % DEMO_LENGTHS] += self->out[i];
    }
    demo_lengths_fini(self);
    return status;
}

void
demo_lengths_fini(demo_lengths *self) {
    skua_pool_future_free(self->future);
    skua__mem_free(NULL, self->out);
    skua__mem_free(NULL, self->text);
    *self = (demo_lengths){0};
}
