// SPDX-License-Identifier: MPL-2.0
// Memory on a chosen NUMA node, and on which node memory lies: three system calls of Linux, without a library of their own.
#include "plan.h"

#include <skua-int/fail.h>

#include <errno.h>
#include <inttypes.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NUMA_OS_INDEX_MAX = 1023, /* what the kernel takes */
    NUMA_WORD_BITS = 64,
};

skua_status
skua__numa_prefer(const skua_topology *topology, uint32_t numa, void *memory, size_t size_bytes) {
    const skua_topology_numa *node = skua_topology_numa_at(topology, numa);
    /* A node of a pretended machine, or one without memory: the system's own choice is the best there is. */
    if (!node || !skua__topology_is_real(topology) || node->memory_bytes == 0 ||
        node->os_index > NUMA_OS_INDEX_MAX) {
        return SKUA_E_UNSUPPORTED;
    }
    unsigned long mask[(NUMA_OS_INDEX_MAX + 1) / NUMA_WORD_BITS] = {0};
    mask[node->os_index / NUMA_WORD_BITS] = 1ul << node->os_index % NUMA_WORD_BITS;
    /* Whole pages only: a page that is shared with somebody else's memory stays where it is. */
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)memory + page - 1) & ~(page - 1);
    uintptr_t to = ((uintptr_t)memory + size_bytes) & ~(page - 1);
    if (to <= from) {
        return SKUA_OK;
    }
    /* The kernel reads one bit less than it is told. */
    long rc = syscall(SYS_mbind, from, to - from, MPOL_PREFERRED, mask,
                      (unsigned long)NUMA_OS_INDEX_MAX + 2, MPOL_MF_MOVE);
    return rc == 0 ? SKUA_OK : SKUA_E_UNSUPPORTED;
}

skua_status
skua_numa_alloc(const skua_topology *topology, uint32_t numa, size_t size_bytes, void **ret_memory,
                skua_error *err) {
    if (!topology || !ret_memory || size_bytes == 0 || !skua_topology_numa_at(topology, numa)) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ARGUMENT,
            "topology or ret_memory is NULL, size_bytes is 0, or there is no node %" PRIu32, numa);
    }
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_NO_MEMORY, errno,
                               "no memory for %zu bytes on node %" PRIu32, size_bytes, numa);
    }
    /* Where the kernel takes no policy, the memory comes from the node of who touches it first. */
    (void)skua__numa_prefer(topology, numa, memory, size_bytes);
    *ret_memory = memory;
    return SKUA_OK;
}

void *
skua_numa_free(void *memory, size_t size_bytes) {
    if (memory) {
        munmap(memory, size_bytes);
    }
    return NULL;
}

skua_status
skua_numa_of(const skua_topology *topology, const void *memory, uint32_t *ret_numa,
             skua_error *err) {
    if (!topology || !memory || !ret_numa) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "topology, memory or ret_numa is NULL");
    }
    if (!skua__topology_is_real(topology)) {
        return SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "memory lies on no node of a pretended machine");
    }
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *at = (void *)((uintptr_t)memory & ~(page - 1));
    int where = -ENOENT;
    if (syscall(SYS_move_pages, 0, 1ul, &at, NULL, &where, 0) != 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_UNSUPPORTED, errno, "the kernel does not tell: %s",
                               strerror(errno));
    }
    const skua_topology_numa *node;
    for (uint32_t i = 0; where >= 0 && (node = skua_topology_numa_at(topology, i)) != NULL; i++) {
        if (node->os_index == (uint32_t)where) {
            *ret_numa = i;
            return SKUA_OK;
        }
    }
    return SKUA_FAIL(err, SKUA_E_NOT_FOUND,
                     "the memory lies on no node yet: it is mapped where it is first written to");
}
