// SPDX-License-Identifier: MPL-2.0
// The folder of the benchmarks' own fleet; processes that are started later find it through the environment.
#include "scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PORT_VARIABLE "SKUA_PERF_BEACON_PORT"

enum {
    PORT_FIRST = 20000,
    PORT_SPAN = 10000,
    FOLDERS_OPEN = 16,
};

static int
remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

bool
perf_scratch_open(void) {
    char folder[] = "/tmp/skua-perf-XXXXXX";
    char port[16];
    snprintf(port, sizeof port, "%d", PORT_FIRST + (int)(getpid() % PORT_SPAN));
    return mkdtemp(folder) && setenv("XDG_CONFIG_HOME", folder, 1) == 0 &&
           setenv(PORT_VARIABLE, port, 1) == 0;
}

void
perf_scratch_close(void) {
    const char *folder = getenv("XDG_CONFIG_HOME");
    if (folder) {
        nftw(folder, remove_one, FOLDERS_OPEN, FTW_DEPTH | FTW_PHYS);
    }
}

uint16_t
perf_scratch_beacon_port(void) {
    const char *port = getenv(PORT_VARIABLE);
    return (uint16_t)(port ? atoi(port) : PORT_FIRST);
}
