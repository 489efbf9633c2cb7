// SPDX-License-Identifier: MPL-2.0
// Keeps the process's signal handlers and the thread's signal stack while a driver starts or compiles. LLVM, which is in
// many drivers, replaces both.
#include "signals.h"

#include <string.h>

void
skua__signals_save(skua__signals *ret_signals) {
    memset(ret_signals, 0, sizeof *ret_signals);
    for (int number = 1; number < NSIG; number++) {
        sigaction(number, NULL, &ret_signals->actions[number]);
    }
    sigaltstack(NULL, &ret_signals->stack);
}

void
skua__signals_restore(const skua__signals *signals) {
    for (int number = 1; number < NSIG; number++) {
        struct sigaction now;
        if (sigaction(number, NULL, &now) == 0 &&
            now.sa_handler != signals->actions[number].sa_handler) {
            sigaction(number, &signals->actions[number], NULL);
        }
    }
    stack_t now;
    if (sigaltstack(NULL, &now) == 0 && now.ss_sp != signals->stack.ss_sp) {
        sigaltstack(&signals->stack, NULL);
    }
}
