// SPDX-License-Identifier: MPL-2.0
// The box's own: the process's signal handlers and the thread's signal stack, kept while a driver starts or compiles
// that would replace them.
#ifndef SKUA_GPU_SIGNALS_H
#define SKUA_GPU_SIGNALS_H

#include <signal.h>

typedef struct skua__signals {
    struct sigaction actions[NSIG];
    stack_t stack; /* of the calling thread */
} skua__signals;

/* Both on one thread. Notes every handler; another thread that sets one meanwhile loses it to the restore. */
void skua__signals_save(skua__signals *ret_signals);
void skua__signals_restore(const skua__signals *signals);

#endif
