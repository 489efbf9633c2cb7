// SPDX-License-Identifier: MPL-2.0
// The pool, the kernel and the launches of the tests of devices in a pool.
#include "add_bench.h"

#include <skua-int/clock.h>

static const skua_param_kind params[] = {SKUA_PARAM_IN, SKUA_PARAM_OUT};

int
add_one(const skua_kernel_call *call, void *arg) {
    (void)arg;
    const uint32_t *x = call->args[0];
    uint32_t *y = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = x[i] + 1;
    }
    return 0;
}

int
add_one_slowly(const skua_kernel_call *call, void *arg) {
    int64_t until_ns = skua__clock_ns() + 100 * SKUA_NS_PER_US; /* for each number */
    while (skua__clock_ns() < until_ns) {
    }
    return add_one(call, arg);
}

void
open_pool(fake_machine *self, const fake_machine_options *given, const skua_pool_options *pool) {
    static const skua__fake_entry entries[] = {{.name = "add", .fn = add_one, .guarded = true},
                                               {.name = "bare", .fn = add_one}};
    fake_machine_options options = given ? *given : (fake_machine_options){0};
    options.count = options.count ? options.count : 1;
    options.workers = 1;
    options.entries = entries;
    options.entry_count = 2;
    fake_machine_open(self, &options);
    fake_machine_open_pool(self, pool);
}

void
register_as(fake_machine *self, const char *name, const char *source, skua_kernel_fn fn) {
    skua_error err = {0};
    if (skua_kernel_register(self->pool, name,
                             SKUA_KERNEL_SPEC(.source = source, .entry = "add", .params = params,
                                              .param_count = 2, .guarded = 1, .fn = fn),
                             &err)) {
        fail_msg("%s", err.message);
    }
}

void
prepare(shot *s, const char *kernel, uint32_t first, int32_t on) {
    for (uint32_t i = 0; i < N; i++) {
        s->x[i] = first + i;
    }
    s->args[0] = (skua_kernel_arg){.data = s->x, .bytes = sizeof s->x};
    s->args[1] = (skua_kernel_arg){.data = s->y, .bytes = sizeof s->y};
    s->launch = (skua_launch){.size = sizeof s->launch,
                              .kernel = kernel,
                              .global = {N},
                              .args = s->args,
                              .arg_count = 2,
                              .on = on};
}

void
submit(fake_machine *self, shot *s, const char *kernel, uint32_t first, int32_t on) {
    prepare(s, kernel, first, on);
    skua_error err = {0};
    if (skua_kernel_submit(self->pool, &s->launch, &s->future, &err)) {
        fail_msg("%s", err.message);
    }
}

skua_status
collect(fake_machine *self, shot *s, skua_error *err) {
    skua_status status = skua_kernel_collect(self->pool, &s->launch, s->future, WAIT_MS, err);
    for (uint32_t i = 0; i < N && !status; i++) {
        assert_int_equal(s->y[i], s->x[i] + 1);
    }
    return status;
}

skua_kernel_share
share_at(fake_machine *self, const char *kernel, size_t i) {
    skua_kernel_share share = {.size = sizeof share};
    assert_int_equal(skua_kernel_share_at(self->pool, kernel, i, &share, NULL), 0);
    return share;
}
