// SPDX-License-Identifier: MPL-2.0
// Round trips: one request in flight, until its reply is there.
#include "peers/raw.h"
#include "perf.h"
#include "skua_side.h"

void
perf_lat(perf_bench *bench) {
    static const perf_case cases[] = {
        {.pattern = "reqrep",
         .transport = "tcp",
         .security = "curve",
         .placement = "same-core",
         .size_bytes = 64},
        {.pattern = "reqrep",
         .transport = "tcp",
         .security = "curve",
         .placement = "same-core",
         .size_bytes = 1024},
        {.pattern = "reqrep",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 64},
        {.pattern = "reqrep",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 1024},
    };
    static const perf_impl *const impls[] = {&skua_round_trips, &raw_round_trips};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        perf_pairs(bench, &cases[i], "us", impls, 2, (perf_target){.ratio = 1.15});
    }
}
