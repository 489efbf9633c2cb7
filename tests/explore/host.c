// SPDX-License-Identifier: MPL-2.0
// The host that the explored program sees: two CPUs, one segment of shared memory, and processes that a scenario starts and ends.
// Files there are none, so that a schedule is the same on every machine.
#define EXPLORE_RUNTIME
#include "libc.h"
#include "runtime.h"

#include <stdarg.h>
#include <string.h>

enum {
    HOST_CPUS = 2,
    HOST_DEAD_MAX = 4,
    HOST_SEGMENT_ID = 1,
};

static struct {
    void *segment; /* of this schedule */
    size_t segment_bytes;
    uint32_t attached;
    pid_t process;
    pid_t dead[HOST_DEAD_MAX];
    uint32_t dead_count;
} host;

void
explore__host_reset(void) {
    memset(&host, 0, sizeof host);
    host.process = 1;
}

/* ---- Processes ---- */

void
explore_enter_process(int32_t process) {
    host.process = process;
}

void
explore_end_process(int32_t process) {
    explore_check(host.dead_count < HOST_DEAD_MAX, "few processes end");
    host.dead[host.dead_count++] = process;
}

pid_t
explore_getpid(void) {
    return host.process;
}

int
explore_kill(pid_t process, int signal) {
    (void)signal;
    for (uint32_t i = 0; i < host.dead_count; i++) {
        if (host.dead[i] == process) {
            errno = ESRCH;
            return -1;
        }
    }
    return 0;
}

/* ---- Shared memory ---- */

int
explore_shmget(key_t key, size_t bytes, int flags) {
    (void)key, (void)flags;
    if (!host.segment) {
        host.segment = explore_new(bytes);
        host.segment_bytes = bytes;
    }
    return HOST_SEGMENT_ID;
}

int
explore_shmctl(int id, int command, struct shmid_ds *ret_about) {
    (void)id, (void)command;
    memset(ret_about, 0, sizeof *ret_about);
    ret_about->shm_perm.uid = getuid();
    ret_about->shm_perm.mode = 0600;
    ret_about->shm_segsz = host.segment_bytes;
    ret_about->shm_nattch = host.attached;
    return 0;
}

void *
explore_shmat(int id, const void *address, int flags) {
    (void)id, (void)address, (void)flags;
    host.attached++;
    return host.segment;
}

int
explore_shmdt(const void *memory) {
    (void)memory;
    host.attached--;
    return 0;
}

/* ---- Files and CPUs ---- */

FILE *
explore_fopen(const char *path, const char *mode) {
    /* What is written may go nowhere; what is read is not there. */
    return strcmp(path, "/dev/null") == 0 ? fopen(path, mode) : NULL;
}

int
explore_snprintf(char *ret_text, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(ret_text, size, format, args);
    va_end(args);
    size_t written = (size_t)(length < 0 ? 0 : length) + 1;
    if (explore__self() >= 0) {
        explore__plain(ret_text, written < size ? written : size, true,
                       __builtin_return_address(0));
    }
    return length;
}

int
explore_affinity(size_t bytes, cpu_set_t *ret_mask) {
    memset(ret_mask, 0, bytes);
    for (size_t i = 0; i < HOST_CPUS; i++) {
        CPU_SET(i, ret_mask);
    }
    return 0;
}
