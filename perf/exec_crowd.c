// SPDX-License-Identifier: MPL-2.0
// skua-perf exec, crowded with several processes: four pools of two workers on two CPUs, against one pool of two. Each process
// runs fib over and over for the same time; the time, times the calls of all, is what is told. Where processes get in each
// other's way, four take longer for a call than one.
#include "exec_bench.h"

#include <skua-int/clock.h>

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <signal.h>

enum {
    CROWD_FIB = 24,
    CROWD_MAX = 4,
    CROWD_CPUS = 2,
    CROWD_WARM_NS = 100000000,
    CROWD_RUN_NS = 500000000,
};

/* What the processes share. */
typedef struct crowd {
    atomic_int ready;
    _Atomic int64_t from_ns, until_ns; /* 0: not yet */
    atomic_ullong calls;
} crowd;

/* The first two CPUs that we may use. */
static bool
keep_to_two(void) {
    cpu_set_t allowed, two;
    CPU_ZERO(&two);
    if (sched_getaffinity(0, sizeof allowed, &allowed)) {
        return false;
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&two) < CROWD_CPUS; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_SET(cpu, &two);
        }
    }
    return sched_setaffinity(0, sizeof two, &two) == 0;
}

/* One of the processes: warms up, waits for the start, and counts until the end. */
static int
take_part(const exec_peer *peer, int workers, crowd *shared) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    void *pool = peer->open(workers);
    bool right = peer->fib(pool, CROWD_FIB) == 46368;
    atomic_fetch_add(&shared->ready, 1);
    while (atomic_load(&shared->until_ns) == 0) {
        peer->fib(pool, CROWD_FIB);
    }
    int64_t from_ns = atomic_load(&shared->from_ns), until_ns = atomic_load(&shared->until_ns);
    for (int64_t now_ns; (now_ns = skua__clock_ns()) < until_ns;) {
        right &= peer->fib(pool, CROWD_FIB) == 46368;
        if (now_ns >= from_ns) {
            atomic_fetch_add(&shared->calls, exec_fib_calls(CROWD_FIB));
        }
    }
    peer->close(pool);
    return right ? 0 : 1;
}

/* In a process of its own, which opens no pool itself: starts the others, tells them when to count, and adds up. */
static int
measure(perf_run *run) {
    const exec_peer *peer = run->arg;
    int processes = (int)run->what->processes;
    crowd *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !keep_to_two()) {
        return 1;
    }
    pid_t children[CROWD_MAX];
    for (int i = 0; i < processes; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            _exit(take_part(peer, (int)run->what->workers, shared));
        }
    }
    while (atomic_load(&shared->ready) < processes) {
        sched_yield();
    }
    int64_t from_ns = skua__clock_ns() + CROWD_WARM_NS;
    atomic_store(&shared->from_ns, from_ns);
    atomic_store(&shared->until_ns, from_ns + CROWD_RUN_NS);
    int failed = 0;
    for (int i = 0; i < processes; i++) {
        int status = -1;
        failed |= waitpid(children[i], &status, 0) != children[i] || status != 0;
    }
    double value = CROWD_RUN_NS / (double)(atomic_load(&shared->calls) + 1);
    run->shared->sample = (perf_sample){.p50 = value, .p99 = value, .min = value, .max = value};
    munmap(shared, sizeof *shared);
    return failed;
}

void
perf_exec_crowd(perf_bench *bench, const exec_peers *peers) {
    static const perf_case cases[] = {{.work = "crowded", .workers = 2, .processes = 1},
                                      {.work = "crowded", .workers = 2, .processes = 4}};
    const exec_peer *impls[EXEC_PEERS_MAX + 1] = {&exec_peer_skua_lease};
    size_t count = 1;
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->list[i]->fib && !peers->list[i]->alone) {
            impls[count++] = peers->list[i];
        }
    }
    enum { CASES = sizeof cases / sizeof *cases };
    perf_row *rows[CASES][EXEC_PEERS_MAX + 1] = {{NULL}};
    for (size_t at = 0; at < CASES && perf_wanted(bench, &cases[0]); at++) {
        for (size_t i = 0; i < count; i++) {
            if (perf_wanted_impl(bench, impls[i]->name)) {
                rows[at][i] = perf_row_new(bench, &cases[at], impls[i]->name, "ns");
            }
        }
    }
    for (int run = 0; run < bench->runs; run++) {
        for (size_t i = 0; i < CASES * count; i++) {
            perf_row *row = rows[i % CASES][i / CASES];
            perf_sample sample;
            if (!row) {
                continue;
            }
            if (perf_solo(&cases[i % CASES], measure, impls[i / CASES], bench->seconds, -1,
                          &sample)) {
                perf_row_add(row, &sample);
            } else {
                bench->failed = true;
            }
        }
    }
}
