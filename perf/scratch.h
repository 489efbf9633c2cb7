// SPDX-License-Identifier: MPL-2.0
// A personal fleet of the benchmarks' own, so that neither the user's fleet nor his running nodes take part.
#ifndef SKUA_PERF_SCRATCH_H
#define SKUA_PERF_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Makes a folder and points XDG_CONFIG_HOME at it. Returns false with errno. */
bool perf_scratch_open(void);
void perf_scratch_close(void);
/* A beacon port that is not the default one, the same in all processes of this benchmark. */
uint16_t perf_scratch_beacon_port(void);

#endif
