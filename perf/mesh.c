// SPDX-License-Identifier: MPL-2.0
// How long a number of processes that start at once need until each knows each.
#include "mesh.h"
#include "perf.h"
#include "skua_side.h"

#include <skua-int/clock.h>

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    NODES = 24,
    MESH_TIMEOUT_MS = 30000,
    PORT_FIRST = 12000,
    PORT_SPAN = 18000,
    PORT_TRIES = 2000,
};

typedef struct mesh_impl {
    const char *name;
    int (*member)(perf_mesh *mesh, uint32_t index);
} mesh_impl;

void
perf_mesh_wait(int fd) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    poll(&wait, 1, -1);
}

void
perf_mesh_done(perf_mesh *mesh) {
    if (write(mesh->done_fd, "d", 1) == 1) {
        perf_mesh_wait(mesh->end_fd);
    }
}

/*
 * Finds ports that are free now, below those that the system hands to connections: the members' own dials would
 * else take one before its member binds.
 */
static bool
pick_ports(perf_mesh *mesh) {
    uint32_t found = 0;
    unsigned port = PORT_FIRST + (unsigned)getpid() % PORT_SPAN;
    for (int tries = 0; tries < PORT_TRIES && found < mesh->what->nodes; tries++, port++) {
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int one = 1;
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
            bind(fd, (struct sockaddr *)&at, sizeof at) == 0) {
            snprintf(mesh->addresses[found].endpoint, sizeof mesh->addresses[found].endpoint,
                     "tcp://127.0.0.1:%u", port);
            found++;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    return found == mesh->what->nodes;
}

/* Waits for as many bytes as there are members. */
static bool
all_done(int fd, uint32_t nodes) {
    int64_t deadline_ns = skua__deadline_ns(MESH_TIMEOUT_MS);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (nodes > 0) {
        char bytes[PERF_MESH_NODES_MAX];
        if (poll(&wait, 1, skua__deadline_left_ms(deadline_ns)) <= 0) {
            return false;
        }
        ssize_t got = read(fd, bytes, nodes);
        if (got <= 0) {
            return false;
        }
        nodes -= (uint32_t)got;
    }
    return true;
}

/* One mesh from its start to its end, in ms; negative when it did not come about. */
static double
run_mesh(const mesh_impl *impl, const perf_case *what) {
    int go[2], done[2], end[2];
    pid_t members[PERF_MESH_NODES_MAX];
    perf_mesh mesh = {.what = what};
    if (pipe(go) != 0 || pipe(done) != 0 || pipe(end) != 0 || !pick_ports(&mesh)) {
        perror("skua-perf: mesh");
        exit(1);
    }
    raw_make_mesh_key(&mesh);
    mesh.go_fd = go[0];
    mesh.done_fd = done[1];
    mesh.end_fd = end[0];
    fflush(NULL);
    for (uint32_t i = 0; i < what->nodes; i++) {
        members[i] = fork();
        if (members[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(go[1]);
            close(done[0]);
            close(end[1]);
            _exit(impl->member(&mesh, i));
        }
    }
    close(done[1]);
    int64_t began_ns = skua__clock_ns();
    close(go[1]);
    bool ok = all_done(done[0], what->nodes);
    double ms = (double)(skua__clock_ns() - began_ns) / (double)SKUA_NS_PER_MS;
    close(end[1]);
    for (uint32_t i = 0; i < what->nodes; i++) {
        if (members[i] > 0) {
            perf_reap(members[i], 0);
        }
    }
    close(go[0]);
    close(done[0]);
    close(end[0]);
    return ok ? ms : -1;
}

static void
compare(perf_bench *bench, const perf_case *what, const mesh_impl *impls, size_t count,
        perf_target target) {
    if (!perf_wanted(bench, what)) {
        return;
    }
    perf_row *rows[4] = {0};
    for (size_t i = 0; i < count; i++) {
        rows[i] = perf_row_new(bench, what, impls[i].name, "ms");
    }
    if (rows[0]) {
        rows[0]->target = target;
    }
    for (int run = 0; run < bench->runs; run++) {
        for (size_t i = 0; i < count; i++) {
            if (!perf_wanted_impl(bench, impls[i].name)) {
                continue;
            }
            double ms = run_mesh(&impls[i], what);
            if (ms >= 0) {
                perf_row_add_value(rows[i], ms);
            } else {
                fprintf(stderr, "skua-perf: mesh: a run of %s did not end\n", impls[i].name);
                bench->failed = true;
            }
        }
    }
}

void
perf_mesh_bench(perf_bench *bench) {
    static const perf_case curve = {.transport = "tcp", .security = "curve", .nodes = NODES};
    static const perf_case plain = {.transport = "tcp", .security = "plain", .nodes = NODES};
    const mesh_impl both[] = {{"skua", skua_mesh_member}, {"libzmq", raw_mesh_member}};
    compare(bench, &curve, both, 2, (perf_target){.ratio = 1.3});
    compare(bench, &plain, &both[1], 1, (perf_target){0}); /* a floor; skua is never plain */
}
