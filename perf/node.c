// SPDX-License-Identifier: MPL-2.0
// What a node costs: from the start of its process until it is ready, private memory, CPU while idle. Each run is a
// program of its own, because a forked one would share its pages with us.
#include "peers/raw.h"
#include "perf.h"
#include "skua_side.h"

#include <skua-int/clock.h>

#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

extern char **environ;

enum {
    SETTLE_MS = 500, /* after the start, before idling counts */
    CHILD_SLACK_MS = 20000,
};

typedef struct node_figures {
    double ready_ms, open_ms, private_mb, idle_percent;
} node_figures;

static void
pause_ms(int64_t ms) {
    struct timespec length = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * SKUA_NS_PER_MS};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
}

static double
private_mb(void) {
    char line[256];
    long sum_kb = 0, kb;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "Private_Clean: %ld", &kb) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &kb) == 1) {
            sum_kb += kb;
        }
    }
    if (file) {
        fclose(file);
    }
    return (double)sum_kb / 1024;
}

static double
cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* skua-perf @node IMPL BEGAN_NS IDLE_S: opens, settles, idles, prints the four figures. */
int
perf_node_child(int argc, char **argv) {
    if (argc != 5) {
        return 2;
    }
    int64_t began_ns = strtoll(argv[3], NULL, 10), open_ns = skua__clock_ns();
    void *opened = strcmp(argv[2], "skua") == 0 ? skua_idle_open() : raw_idle_open();
    int64_t ready_ns = skua__clock_ns();
    double idle_s = atof(argv[4]);
    if (!opened) {
        return 1;
    }
    pause_ms(SETTLE_MS);
    double mb = private_mb(), before = cpu_seconds();
    pause_ms((int64_t)(idle_s * 1000));
    printf("%.3f %.3f %.3f %.4f\n", (double)(ready_ns - began_ns) / 1e6,
           (double)(ready_ns - open_ns) / 1e6, mb, (cpu_seconds() - before) / idle_s * 100);
    fflush(stdout);
    if (strcmp(argv[2], "skua") == 0) {
        skua_idle_close(opened);
    }
    return 0;
}

static bool
run_child(const perf_bench *bench, const char *impl, node_figures *ret_figures) {
    int out[2];
    char began[32], idle[32], text[256] = "";
    char *argv[] = {(char *)"skua-perf", (char *)"@node", (char *)impl, began, idle, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    if (pipe(out) != 0) {
        return false;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    snprintf(idle, sizeof idle, "%.3f", bench->seconds);
    snprintf(began, sizeof began, "%lld", (long long)skua__clock_ns());
    int rc = posix_spawn(&child, bench->program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    if (rc == 0) {
        rc = perf_reap(child, skua__deadline_ns((int64_t)(bench->seconds * 1000) + CHILD_SLACK_MS));
        ssize_t size = read(out[0], text, sizeof text - 1);
        text[size > 0 ? size : 0] = 0;
    }
    close(out[0]);
    return rc == 0 && sscanf(text, "%lf %lf %lf %lf", &ret_figures->ready_ms, &ret_figures->open_ms,
                             &ret_figures->private_mb, &ret_figures->idle_percent) == 4;
}

void
perf_node(perf_bench *bench) {
    static const perf_case cases[] = {
        {.what = "ready", .security = "curve"}, /* from the start of the process */
        {.what = "open", .security = "curve"},
        {.what = "private-memory", .security = "curve"},
        {.what = "idle-cpu", .security = "curve"},
    };
    static const char *const units[] = {"ms", "ms", "MB", "%"};
    static const char *const impls[] = {"skua", "libzmq"};
    static const perf_target targets[] = {{.bound = 50}, {0}, {.bound = 4}, {.bound = 0.2}};
    enum { FIGURES = 4 };
    perf_row *rows[FIGURES][2];
    for (size_t i = 0; i < FIGURES; i++) {
        for (size_t impl = 0; impl < 2; impl++) {
            rows[i][impl] = perf_row_new(bench, &cases[i], impls[impl], units[i]);
        }
        rows[i][0]->target = targets[i];
    }
    for (int run = 0; run < bench->runs; run++) {
        for (size_t impl = 0; impl < 2; impl++) {
            node_figures figures;
            if (!perf_wanted_impl(bench, impls[impl])) {
                continue;
            }
            if (!run_child(bench, impls[impl], &figures)) {
                fprintf(stderr, "skua-perf: node: a run of %s gave no result\n", impls[impl]);
                bench->failed = true;
                continue;
            }
            perf_row_add_value(rows[0][impl], figures.ready_ms);
            perf_row_add_value(rows[1][impl], figures.open_ms);
            perf_row_add_value(rows[2][impl], figures.private_mb);
            perf_row_add_value(rows[3][impl], figures.idle_percent);
        }
    }
}
