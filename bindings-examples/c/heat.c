// SPDX-License-Identifier: MPL-2.0
// A rod that is hot at one end, step by step. Both states are buffers: all steps are submitted at once, each waits for the one before
// it, and the data stays where it was used last. Compared with a plain loop. Usage: heat [STEPS [cores|cpu|device]]
#include "machine.h"
#include <skua/buffer.h>

enum { N = 30011, STEPS = 200, STEPS_MAX = 4000 }; /* less than a pool's window */

static const char source[] =
    "kernel void heat(global uint *next, global const uint *now, uint n, SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    size_t i = get_global_id(0);\n"
    "    bool inside = i > 0 && i + 1 < n;\n"
    "    next[i] = inside ? (now[i - 1] + 2 * now[i] + now[i + 1]) / 4 : now[i];\n"
    "}\n";

/* The same for cores: points begin to end-1. */
static int
heat(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *next = call->args[0], n;
    const uint32_t *now = call->args[1];
    memcpy(&n, call->args[2], sizeof n);
    for (uint64_t i = call->begin; i < call->end; i++) {
        bool inside = i > 0 && i + 1 < n;
        next[i] = inside ? (now[i - 1] + 2 * now[i] + now[i + 1]) / 4 : now[i];
    }
    return 0;
}

static void
run(const machine *on, skua_buffer *const rods[2], uint32_t steps) {
    skua_error err;
    uint32_t n = N;
    for (uint32_t step = 0; step < steps; step++) {
        const skua_kernel_arg args[] = {{.buffer = rods[(step + 1) % 2], .bytes = N * sizeof n},
                                        {.buffer = rods[step % 2], .bytes = N * sizeof n},
                                        {.value = &n, .bytes = sizeof n}};
        must(skua_kernel_submit(on->pool,
                                SKUA_LAUNCH(.kernel = "heat", .global = {N}, .args = args,
                                            .arg_count = 3, .on = on->on),
                                NULL, &err),
             &err);
    }
}

/* How many points differ from the plain loop's. */
static uint32_t
wrong(const uint32_t *got, uint32_t steps) {
    static uint32_t rods[2][N];
    uint32_t count = 0;
    rods[0][0] = UINT32_C(1) << 29;
    for (uint32_t step = 0; step < steps; step++) {
        const uint32_t *now = rods[step % 2];
        uint32_t *next = rods[(step + 1) % 2];
        memcpy(next, now, sizeof rods[0]);
        for (uint32_t i = 1; i + 1 < N; i++) {
            next[i] = (now[i - 1] + 2 * now[i] + now[i + 1]) / 4;
        }
    }
    for (uint32_t i = 0; i < N; i++) {
        count += got[i] != rods[steps % 2][i];
    }
    return count;
}

int
main(int argc, char **argv) {
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE};
    static uint32_t rod[N] = {UINT32_C(1) << 29};
    uint32_t steps = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : STEPS;
    if (steps == 0 || steps > STEPS_MAX) {
        fprintf(stderr, "usage: heat [STEPS [cores|cpu|device]], with 1 to %d STEPS\n", STEPS_MAX);
        return 2;
    }
    machine here;
    skua_error err;
    skua_buffer *rods[2];
    machine_open(&here, argc > 2 ? argv[2] : NULL, 0);
    must(skua_kernel_register(here.pool, "heat",
                              SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 3,
                                               .guarded = 1, .fn = heat),
                              &err),
         &err);
    for (int i = 0; i < 2; i++) {
        must(
            skua_buffer_new(here.devices, &rods[i], SKUA_BUFFER_OPTIONS(.bytes = sizeof rod), &err),
            &err);
    }
    must(skua_buffer_write(rods[0], 0, rod, sizeof rod, &err), &err);
    run(&here, rods, steps);
    must(skua_buffer_read(rods[steps % 2], 0, rod, sizeof rod, &err), &err); /* after all of them */
    must(skua_pool_await_all(here.pool, SKUA_UNLIMITED, &err), &err);
    machine_tell_shares(&here, "heat", stdout);
    uint32_t differ = wrong(rod, steps);
    printf("%u steps: %u of %d points differ\n", steps, differ, N);
    skua_buffer_free(rods[0]);
    skua_buffer_free(rods[1]);
    machine_close(&here);
    return differ != 0;
}
