// SPDX-License-Identifier: MPL-2.0
// Sums the first million squares on every core: an executor needs no node and no network.
#include <skua/parallel.h>
#include <stdio.h>

enum { COUNT = 1000000 };

static void
fold(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w;
    (void)arg;
    uint64_t *sum = value;
    for (uint64_t i = first; i < end; i++) {
        *sum += i * i;
    }
}

static void
combine(void *left, const void *right, void *arg) {
    (void)arg;
    *(uint64_t *)left += *(const uint64_t *)right;
}

int
main(void) {
    skua_error err;
    skua_exec *exec = NULL;
    const uint64_t zero = 0;
    uint64_t sum = 0;
    const skua_reduce squares = {.size = sizeof squares,
                                 .value_bytes = sizeof sum,
                                 .identity = &zero,
                                 .fold = fold,
                                 .combine = combine};
    skua_status status = skua_exec_open(&exec, NULL, &err);
    if (!status) {
        status = skua_parallel_reduce(exec, 0, COUNT, 0, &squares, &sum, &err);
    }
    if (status) {
        fprintf(stderr, "%s %s\n", err.code, err.message);
    } else {
        printf("%llu, by %u workers\n", (unsigned long long)sum, skua_exec_workers(exec));
    }
    skua_exec_close(exec);
    return status == 0 && sum == UINT64_C(333332833333500000) ? 0 : 1;
}
