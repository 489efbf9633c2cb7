// SPDX-License-Identifier: MPL-2.0
// Streams of work with the time that each backend takes for each piece: simulated or recorded. A policy that goes
// through one shows its regret, because what it did not choose is known too.
#ifndef SKUA_SELECT_STREAM_H
#define SKUA_SELECT_STREAM_H

#include <skua/select.h>
#include <stdbool.h>
#include <stdio.h>

enum {
    STREAM_BACKENDS = 4,
    STREAM_KERNELS = 16,
    STREAM_NAME_BYTES = 32,
    STREAM_ITEMS_MAX = 1 << 20,
};

typedef struct stream_option {
    bool offered;
    double expected_ns; /* what it takes in all, but for noise: choices are judged by it */
    double wait_ns, launch_ns, move_ns, run_ns; /* of the one run that was seen */
    double seen_wait_ns;                        /* what was predicted of the wait */
    double missing_bytes;
} stream_option;

typedef struct stream_item {
    uint32_t kernel;
    bool elementwise;
    uint64_t units, flops, bytes;
    stream_option options[STREAM_BACKENDS];
} stream_item;

typedef struct stream_backend {
    char name[STREAM_NAME_BYTES];
    int32_t kind; /* skua_select_kind */
} stream_backend;

typedef struct stream {
    uint32_t backend_count, kernel_count;
    stream_backend backends[STREAM_BACKENDS];
    char kernels[STREAM_KERNELS][STREAM_NAME_BYTES];
    size_t count;
    size_t warmup; /* of these, the first are learned on every backend and not judged */
    stream_item *items;
    /*
     * How a kernel is calibrated before the first item, as in skua_select_calibration with the stream as its arg;
     * NULL: it is not.
     */
    int64_t (*measure)(void *arg, uint32_t backend, uint64_t units);
    int64_t calibration_ns; /* of each kernel on each backend; 0: skua_selector_calibrate()'s own */
    uint64_t min_units[STREAM_KERNELS], max_units[STREAM_KERNELS];
    uint32_t measured_kernel; /* the kernel that is being calibrated */
} stream;

/* One choice: what the chosen backend takes, and what the best one does. */
typedef struct stream_choice {
    double took_ns, best_ns;
} stream_choice;

/* What a policy made of a stream. */
typedef struct stream_score {
    uint64_t judged;
    double within; /* the share of pieces that took at most 1.1 times what the best backend takes */
    double regret; /* the sum of all times over the sum of the best ones, less 1 */
    double mean_regret; /* the mean of what each piece took over its best, less 1 */
    /* The first two by the single runs that were seen, whose noise nobody can foresee. */
    double seen_within, seen_regret;
    uint64_t explored;
} stream_score;

/*
 * Goes through a stream. ret_choices (NULL: not wanted) has room for one choice for each piece that is judged, by what was
 * expected. Returns false when there is no memory.
 */
bool stream_run(stream *s, int32_t policy, uint64_t seed, stream_choice *ret_choices,
                stream_score *ret);
/* The same by somebody who knows what each backend is expected to take: what is left then is noise. */
void stream_oracle(const stream *s, stream_score *ret);
/* Fills within, regret, mean_regret and judged. */
void stream_judge(const stream_choice *choices, size_t count, stream_score *ret);

/* ---- select_sim.c ---- */

typedef struct sim_options {
    uint64_t seed;
    size_t items;
    double noise;      /* of a run time: the deviation of its logarithm */
    double wait_noise; /* of a predicted wait */
    int64_t
        calibration_ns; /* of each kernel on each backend; SKUA_NONE: all is learned from the pieces */
} sim_options;

/*
 * Makes a machine of four backends (a core, the cores, a device, a peer) and pieces of seven kernels whose sizes are
 * log-uniform, a third of them near a size at which the best backend changes. Returns NULL when there is no memory.
 */
stream *sim_new(const sim_options *options);
stream *sim_free(stream *s);

/* ---- select_trace.c ---- */

/* Writes a stream as CSV, one line for each piece and backend: what was seen, and what is expected. */
bool trace_write(const stream *s, FILE *file);
/* Reads one. The first fifth is for learning. Returns NULL after it wrote to stderr which line makes no sense. */
stream *trace_read(FILE *file);
stream *trace_free(stream *s);

#endif
