// SPDX-License-Identifier: MPL-2.0
// Runs of two processes: a server and a driver, each pinned with all its threads, implementations in turn so that
// a noisy moment of the machine meets all of them.
#include "perf.h"

#include <skua-int/clock.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READY_TIMEOUT_MS = 15000, /* until a server is ready */
    SLACK_S = 20,             /* beyond the time a run should take */
};

int
perf_cpus(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

bool
perf_pin(int n) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return false;
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && n-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            return sched_setaffinity(0, sizeof one, &one) == 0;
        }
    }
    return false;
}

void
perf_ready(perf_run *run) {
    if (write(run->ready_fd, "r", 1) != 1) {
        perror("skua-perf: telling that the server is ready");
    }
}

int
perf_reap(pid_t child, int64_t deadline_ns) {
    int status = 0;
    struct pollfd wait = {.fd = pidfd_open(child, 0), .events = POLLIN};
    int over = -1;
    while (wait.fd >= 0 && (over = poll(&wait, 1, skua__deadline_left_ms(deadline_ns))) < 0 &&
           errno == EINTR) {
    }
    if (over <= 0) {
        kill(child, SIGKILL);
    }
    if (wait.fd >= 0) {
        close(wait.fd);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (deadline_ns && over <= 0) { /* without a deadline it was to be ended */
        fprintf(stderr, "skua-perf: a run was ended, as it was not over in time: it hangs, or the "
                        "machine is very busy\n");
    } else if (deadline_ns && WIFSIGNALED(status)) {
        fprintf(stderr, "skua-perf: a run died of signal %d, %s\n", WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Starts one side in a process of its own, which dies with us. cpu < 0: not pinned. */
static pid_t
start(perf_run *run, int (*side)(perf_run *run), int cpu) {
    fflush(NULL);
    pid_t parent = getpid();
    pid_t child = fork();
    if (child != 0) {
        return child;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || (cpu >= 0 && !perf_pin(cpu))) {
        _exit(1);
    }
    _exit(side(run));
}

/* One run. Returns false when it gave no sample. */
static bool
run_pair(const perf_impl *impl, const perf_case *what, double seconds, perf_sample *ret_sample) {
    struct perf_shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ready[2];
    if (shared == MAP_FAILED || pipe(ready) != 0) {
        perror("skua-perf: no memory or pipe");
        exit(1);
    }
    perf_run run = {.what = what, .seconds = seconds, .ready_fd = ready[1], .shared = shared};
    bool cross = what->placement && strcmp(what->placement, "cross-core") == 0;
    int64_t run_ms = (int64_t)(seconds * 1000) + SLACK_S * 1000;
    int rc = -1;
    pid_t server = start(&run, impl->serve, what->placement ? 0 : -1);
    close(ready[1]);
    struct pollfd until = {.fd = ready[0], .events = POLLIN};
    char byte;
    if (server > 0 && poll(&until, 1, READY_TIMEOUT_MS) == 1 && read(ready[0], &byte, 1) == 1) {
        pid_t driver = start(&run, impl->drive, what->placement ? (cross ? 1 : 0) : -1);
        pid_t measures = impl->server_measures ? server : driver;
        pid_t other = impl->server_measures ? driver : server;
        if (driver > 0) {
            rc = perf_reap(measures, skua__deadline_ns(run_ms));
            perf_reap(other, 0); /* long past: it is killed */
        }
    } else if (server > 0) {
        perf_reap(server, 0);
    }
    close(ready[0]);
    *ret_sample = shared->sample;
    munmap(shared, sizeof *shared);
    return rc == 0;
}

bool
perf_solo(const perf_case *what, int (*side)(perf_run *run), const void *arg, double seconds,
          int cpu, perf_sample *ret_sample) {
    struct perf_shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return false;
    }
    perf_run run = {.what = what, .seconds = seconds, .arg = arg, .ready_fd = -1, .shared = shared};
    pid_t child = start(&run, side, cpu);
    int64_t run_ms = (int64_t)(seconds * 1000) + SLACK_S * 1000;
    bool done = child > 0 && perf_reap(child, skua__deadline_ns(run_ms)) == 0;
    *ret_sample = shared->sample;
    munmap(shared, sizeof *shared);
    return done;
}

perf_row *
perf_row_new(perf_bench *bench, const perf_case *what, const char *impl, const char *unit) {
    if (bench->row_count == PERF_ROWS_MAX) {
        bench->failed = true;
        return NULL;
    }
    perf_row *row = &bench->rows[bench->row_count++];
    *row = (perf_row){.what = what, .impl = impl, .unit = unit};
    return row;
}

void
perf_row_add(perf_row *row, const perf_sample *sample) {
    if (row && row->count < PERF_RUNS_MAX) {
        row->samples[row->count++] = *sample;
    }
}

void
perf_row_add_value(perf_row *row, double value) {
    perf_row_add(row, &(perf_sample){.p50 = value, .p99 = value, .min = value, .max = value});
}

/* Whether one word of the command line (of length bytes) is one of the case's words, or its size in bytes. */
static bool
has_word(const perf_case *what, const char *word, size_t length) {
    char size[16], rate[16];
    snprintf(size, sizeof size, "%u", (unsigned)what->size_bytes);
    snprintf(rate, sizeof rate, "%u/s", (unsigned)what->rate);
    const char *words[] = {
        what->what, what->pattern, what->transport, what->security, what->placement, what->work,
        size,       rate};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (words[i] && strlen(words[i]) == length && memcmp(words[i], word, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool
has_work(const perf_bench *bench, const perf_case *what) {
    for (int i = 0; i < bench->work_count; i++) {
        if (has_word(what, bench->works[i], strlen(bench->works[i]))) {
            return true;
        }
    }
    return bench->work_count == 0;
}

bool
perf_wanted(const perf_bench *bench, const perf_case *what) {
    const char *word = bench->only;
    if (!has_work(bench, what)) {
        return false;
    }
    while (word && *word) {
        size_t length = strcspn(word, ",");
        if (!has_word(what, word, length)) {
            return false;
        }
        word += length + (word[length] == ',');
    }
    return true;
}

bool
perf_wanted_impl(const perf_bench *bench, const char *impl) {
    return !bench->impl || strcmp(bench->impl, impl) == 0;
}

void
perf_pairs(perf_bench *bench, const perf_case *what, const char *unit,
           const perf_impl *const *impls, size_t impl_count, perf_target target) {
    if (!perf_wanted(bench, what)) {
        return;
    }
    if (what->placement && strcmp(what->placement, "cross-core") == 0 && perf_cpus() < 2) {
        fprintf(stderr, "skua-perf: cross-core needs two CPUs; skipped\n");
        return;
    }
    perf_row *first = NULL;
    for (size_t i = 0; i < impl_count; i++) {
        perf_row *row = perf_row_new(bench, what, impls[i]->name, unit);
        if (!row) {
            return;
        }
        first = first ? first : row;
    }
    first->target = target;
    for (int run = 0; run < bench->runs; run++) {
        for (size_t i = 0; i < impl_count; i++) {
            perf_sample sample;
            if (!perf_wanted_impl(bench, impls[i]->name)) {
                continue;
            }
            if (run_pair(impls[i], what, bench->seconds, &sample)) {
                perf_row_add(&first[i], &sample);
            } else {
                fprintf(stderr, "skua-perf: %s: a run of %s gave no result\n", bench->name,
                        impls[i]->name);
                bench->failed = true;
            }
        }
    }
}
