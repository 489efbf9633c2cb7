// SPDX-License-Identifier: MPL-2.0
// Throughput, one way: a stream of numbered messages to one receiver, each of which must arrive.
#include "peers/raw.h"
#include "perf.h"
#include "skua_side.h"

void
perf_thr(perf_bench *bench) {
    static const perf_case push[] = {
        {.pattern = "pushpull",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 64},
        {.pattern = "pushpull",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 1024},
        {.pattern = "pushpull",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 65536},
        {.pattern = "pushpull",
         .transport = "tcp",
         .security = "curve",
         .placement = "same-core",
         .size_bytes = 64},
    };
    static const perf_case pub[] = {
        {.pattern = "pubsub",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 64},
        {.pattern = "pubsub",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 1024},
        {.pattern = "pubsub",
         .transport = "tcp",
         .security = "curve",
         .placement = "cross-core",
         .size_bytes = 65536},
    };
    static const perf_impl *const push_impls[] = {&skua_push_pull, &raw_push_pull};
    static const perf_impl *const pub_impls[] = {&skua_pub_sub, &raw_pub_sub};
    for (size_t i = 0; i < sizeof push / sizeof *push; i++) {
        double ratio = push[i].size_bytes < 1024 ? 0.9 : 0.95;
        perf_pairs(bench, &push[i], "msg/s", push_impls, 2,
                   (perf_target){.ratio = ratio, .higher_better = true});
    }
    for (size_t i = 0; i < sizeof pub / sizeof *pub; i++) {
        double ratio = pub[i].size_bytes < 1024 ? 0.9 : 0.95;
        perf_pairs(bench, &pub[i], "msg/s", pub_impls, 2,
                   (perf_target){.ratio = ratio, .higher_better = true});
    }
}
