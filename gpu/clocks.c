// SPDX-License-Identifier: MPL-2.0
// How a device's clock relates to the host's.
#include <skua-int/clocks.h>

void
skua__clocks_note(skua__clocks *clocks, int64_t called_ns, int64_t queued_ns, int64_t end_ns,
                  int64_t told_ns) {
    int64_t least_ns = called_ns - queued_ns, most_ns = told_ns - end_ns;
    if (!clocks->known || clocks->ahead_ns < least_ns || clocks->ahead_ns > most_ns) {
        *clocks = (skua__clocks){.known = true, .ahead_ns = least_ns};
    }
}

int64_t
skua__clocks_host_ns(const skua__clocks *clocks, int64_t device_ns) {
    return clocks->known ? device_ns + clocks->ahead_ns : device_ns;
}
