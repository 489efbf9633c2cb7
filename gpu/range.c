// SPDX-License-Identifier: MPL-2.0
// How many work-items make a group. A pure function of sizes and limits.
#include <skua-int/launch.h>

/* Without a wish: multiples of every device's width, and full enough on all of them. */
static const uint64_t usual[3][3] = {{256, 1, 1}, {16, 16, 1}, {8, 8, 4}};

/* The largest divisor of size that is at most limit. */
static uint64_t
divisor(uint64_t size, uint64_t limit) {
    for (uint64_t d = limit < size ? limit : size; d > 1; d--) {
        if (size % d == 0) {
            return d;
        }
    }
    return 1;
}

void
skua__range_fit(uint32_t dims, const uint64_t global[3], const uint64_t wanted[3],
                uint64_t max_group, bool padded, skua__dev_range *ret_range) {
    *ret_range = (skua__dev_range){.dims = dims, .global = {1, 1, 1}, .local = {1, 1, 1}};
    uint64_t left = max_group ? max_group : 1;
    for (uint32_t i = 0; i < dims; i++) {
        uint64_t local = wanted[i] ? wanted[i] : usual[dims - 1][i];
        while (local > left) {
            local = (local + 1) / 2;
        }
        if (!padded) {
            local = divisor(global[i], local);
        }
        left /= local;
        ret_range->local[i] = local;
        ret_range->global[i] = (global[i] + local - 1) / local * local;
    }
}
