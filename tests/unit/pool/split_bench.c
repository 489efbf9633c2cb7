// SPDX-License-Identifier: MPL-2.0
// The pool, the kernel and the launches of the tests of split launches.
#include "split_bench.h"

#include <string.h>

const skua_param_kind split_params[PARAMS] = {SKUA_PARAM_OUT, SKUA_PARAM_INOUT, SKUA_PARAM_IN,
                                              SKUA_PARAM_IN, SKUA_PARAM_VALUE};

_Atomic uint32_t runs[MOST + 1];
_Atomic uint64_t stop_at;

int
work(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *out = call->args[0], *tally = call->args[1], a;
    const uint32_t *x = call->args[2], *table = call->args[3];
    memcpy(&a, call->args[4], sizeof a);
    uint64_t width = call->global[1];
    for (uint64_t i = call->begin * width; i < call->end * width; i++) {
        if (atomic_load(&stop_at) == i + 1) {
            return 7;
        }
        out[i] = x[i] + table[i % TABLE] + (uint32_t)i + a;
        tally[i] += 1;
        atomic_fetch_add(&runs[i], 1);
    }
    return 0;
}

/* The same for a kernel whose groups belong together: it is only ever given whole ones. */
static int
work_in_groups(const skua_kernel_call *call, void *arg) {
    return call->begin % GROUP || call->end % GROUP ? 1 : work(call, arg);
}

/* Sizes fit together: what a peer would be asked for. */
static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    uint64_t bytes = launch->global[0] * (launch->dims == 2 ? launch->global[1] : 1) * 4;
    return launch->args[0].bytes != bytes || launch->args[1].bytes != bytes ||
           launch->args[2].bytes != bytes || launch->args[3].bytes != sizeof(uint32_t) * TABLE;
}

void
open_bench(fake_machine *self, const bench_options *given) {
    atomic_store(&stop_at, 0);
    skua__fake_entry entries[FAKES][2];
    fake_machine_options options = {.count = given->no_devices ? 0 : FAKES,
                                    .workers = given->no_exec ? 0 : 2};
    for (int i = 0; i < FAKES; i++) {
        entries[i][0] = (skua__fake_entry){
            .name = "work", .fn = work, .guarded = true, .launch_ps = given->ps[i]};
        entries[i][1] = (skua__fake_entry){.name = "work_in_groups", .fn = work_in_groups};
        options.fakes[i] = given->fakes[i];
        options.fakes[i].entries = entries[i];
        options.fakes[i].entry_count = 2;
    }
    fake_machine_open(self, &options);
    fake_machine_open_pool(
        self, SKUA_POOL_OPTIONS(.window_tasks = given->window, .allocator = given->hook));
    skua_error err = {0};
    if (skua_kernel_register(
            self->pool, "work",
            SKUA_KERNEL_SPEC(.source = given->no_devices ? NULL : "kernel void work() {}",
                             .params = split_params, .param_count = PARAMS, .guarded = 1,
                             .fn = work, .check = check, .sliced = 7),
            &err)) {
        fail_msg("%s", err.message);
    }
}

void
aim(shot *s, uint64_t rows, uint64_t width) {
    size_t items = (size_t)(rows * width), bytes = items * sizeof s->x[0];
    assert_true(items <= MOST);
    s->a = 5;
    s->rows = rows;
    s->width = width;
    for (uint32_t i = 0; i < items; i++) {
        s->out[i] = 0xdead;
        s->tally[i] = 3;
        s->x[i] = 11 * i;
    }
    for (uint32_t i = 0; i < TABLE; i++) {
        s->table[i] = i * i;
    }
    s->args[0] = (skua_kernel_arg){.data = s->out, .bytes = bytes};
    s->args[1] = (skua_kernel_arg){.data = s->tally, .bytes = bytes};
    s->args[2] = (skua_kernel_arg){.data = s->x, .bytes = bytes};
    s->args[3] = (skua_kernel_arg){.data = s->table, .bytes = sizeof s->table};
    s->args[4] = (skua_kernel_arg){.value = &s->a, .bytes = sizeof s->a};
    s->launch = (skua_launch){.size = sizeof s->launch,
                              .kernel = "work",
                              .dims = width > 1 ? 2 : 1,
                              .global = {rows, width},
                              .args = s->args,
                              .arg_count = PARAMS,
                              .split = 1};
    s->future = NULL;
}

void
fire(fake_machine *self, shot *s) {
    skua_error err = {0};
    if (skua_kernel_submit(self->pool, &s->launch, &s->future, &err)) {
        fail_msg("%s", err.message);
    }
}

static void
check_results(const shot *s) {
    for (uint32_t i = 0; i < s->rows * s->width; i++) {
        assert_int_equal(s->out[i], 12 * i + (i % TABLE) * (i % TABLE) + 5);
        assert_int_equal(s->tally[i], 4);
    }
}

void
collect(fake_machine *self, shot *s) {
    skua_error err = {0};
    if (skua_kernel_collect(self->pool, &s->launch, s->future, WAIT_MS, &err)) {
        fail_msg("%s", err.message);
    }
    check_results(s);
    skua_pool_future_free(s->future);
}

skua_kernel_share
share_at(fake_machine *self, size_t i) {
    skua_kernel_share share = {.size = sizeof share};
    assert_int_equal(skua_kernel_share_at(self->pool, "work", i, &share, NULL), 0);
    return share;
}

void
hang(fake_machine *self) {
    for (int i = 0; i < FAKES; i++) {
        skua__fake_set_faults(self->fakes[i], &(skua__fake_faults){.hang_at = 1});
    }
}

void
unhang(fake_machine *self) {
    for (int i = 0; i < FAKES; i++) {
        skua__fake_set_faults(self->fakes[i], &(skua__fake_faults){0});
        skua__fake_unhang(self->fakes[i]);
    }
}
