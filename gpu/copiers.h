// SPDX-License-Identifier: MPL-2.0
// The box's own: threads of a driver's that copy host memory, so that the engine's thread need not.
#ifndef SKUA_GPU_COPIERS_H
#define SKUA_GPU_COPIERS_H

#include <skua-int/device_driver.h>

enum {
    COPIERS_MAX = 4,      /* so many cores move more than a bus takes */
    COPIERS_CPU_SHARE = 4 /* and they are at most a quarter of them, but one */
};

typedef struct skua__copiers skua__copiers;

/* How many a device gets on this machine. */
uint32_t skua__copiers_count(void);
/* Starts the threads. The hook is borrowed. Returns 0, SKUA_E_NO_MEMORY, SKUA_E_SYSTEM. */
skua_status skua__copiers_new(const skua_allocator *hook, skua__copiers **ret_copiers,
                              skua_error *err);
/* Copies that have not begun are done first, or with abandon end SKUA_E_DEVICE_FAILED. Takes NULL. */
skua__copiers *skua__copiers_free(skua__copiers *copiers, bool abandon);
/*
 * As the driver's host_copy(), but never fails: without memory for it the copy is made, and its end told, within the call.
 * Threads: any, not with done() running in it.
 */
void skua__copiers_copy(skua__copiers *copiers, void *to, const void *from, uint64_t bytes,
                        skua__dev_command *command);

#endif
