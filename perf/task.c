// SPDX-License-Identifier: MPL-2.0
// Remote no-op tasks: one at a time, and a window of them.
#include "peers/raw.h"
#include "perf.h"
#include "skua_side.h"

void
perf_task(perf_bench *bench) {
    static const perf_case one[] = {
        {.pattern = "task",
         .transport = "tcp",
         .security = "curve",
         .placement = "same-core",
         .size_bytes = 64,
         .window = 1},
        {.pattern = "task",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 64,
         .window = 1},
    };
    static const perf_case many[] = {
        {.pattern = "task",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 64,
         .window = 64},
        {.pattern = "task",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 64,
         .window = 1024},
    };
    static const perf_impl *const impls[] = {&skua_tasks, &raw_round_trips};
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        perf_pairs(bench, &one[i], "us", impls, 2, (perf_target){.ratio = 1.7});
    }
    perf_pairs(bench, &many[0], "task/s", impls, 2, (perf_target){0});
    perf_pairs(bench, &many[1], "task/s", impls, 2,
               (perf_target){.bound = 100000, .higher_better = true});
}
