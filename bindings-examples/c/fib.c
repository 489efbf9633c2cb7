// SPDX-License-Identifier: MPL-2.0
// Fibonacci's numbers, each call forked: the smallest program with fork and join.
#include "must.h"

#include <skua/exec.h>

typedef struct fib_call {
    int n;
    uint64_t result;
} fib_call;

static void
fib(skua_worker w, void *frame) {
    fib_call *call = frame;
    if (call->n < 2) {
        call->result = (uint64_t)call->n;
        return;
    }
    fib_call left = {.n = call->n - 1}, right = {.n = call->n - 2};
    skua_spawn(&w, fib, &left); /* another worker may take it from here on */
    fib(w, &right);
    skua_sync(&w, fib, &left);
    call->result = left.result + right.result;
}

int
main(void) {
    skua_exec *exec = NULL;
    skua_error err;
    fib_call call = {.n = 32};
    must(skua_exec_open(&exec, NULL, &err), &err);
    must(skua_exec_run(exec, fib, &call, &err), &err);
    printf("fib(%d) = %llu\n", call.n, (unsigned long long)call.result);
    skua_exec_close(exec);
    return call.result == 2178309 ? 0 : 1;
}
