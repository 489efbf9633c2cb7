// SPDX-License-Identifier: MPL-2.0
// A machine on paper: four backends with rooflines, caches, launches, links and queues, and seven kernels. It is no
// part of what the selector knows; the selector only sees disturbed times of what it chose.
#include "select_stream.h"

#include <math.h>
#include <skua-int/rand.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCALAR,
    SIMD,
    DEVICE,
    PEER,
    CROSSINGS_MAX = 16,
    CROSSING_STEPS = 400, /* sizes that are looked at to find crossings */
};

typedef struct machine_part {
    const char *name;
    int32_t kind;
    double flops, bytes_per_s; /* of its compute units, and from its memory */
    double cache_bytes;        /* up to which its memory is cache_times as fast */
    double cache_times;
    double launch_ns, fixed_ns;       /* before a kernel runs; the least that one takes */
    double link_ns, link_bytes_per_s; /* of a transfer; 0: nothing is ever moved */
} machine_part;

static const machine_part parts[STREAM_BACKENDS] = {
    {"scalar", SKUA_SELECT_SCALAR, 4e9, 1.2e10, 1 << 18, 3, 20, 5, 0, 0},
    {"simd", SKUA_SELECT_SIMD, 3e11, 4e10, 1 << 22, 4, 2500, 200, 0, 0},
    {"device", SKUA_SELECT_DEVICE, 6e12, 5e11, 1 << 23, 3, 9000, 2500, 7000, 1.2e10},
    {"peer", SKUA_SELECT_PEER, 2.4e12, 2e11, 1 << 25, 4, 60000, 200, 40000, 2.8e9},
};

/* Per unit, but for matmul: flops 2n^3, bytes 12n^2. Efficiencies are shares of each part's rates. */
typedef struct kernel_model {
    const char *name;
    double flops, bytes_in, bytes_out;
    bool cubic, elementwise;
    uint64_t min_units, max_units;
    double efficiency[STREAM_BACKENDS];
} kernel_model;

static const kernel_model models[] = {
    {"saxpy", 2, 8, 4, false, true, 256, 1 << 26, {1, 0.9, 0.9, 0.9}},
    {"reduction", 1, 4, 0, false, false, 256, 1 << 27, {0.5, 0.8, 0.7, 0.8}},
    {"matmul", 2, 8, 4, true, false, 8, 4096, {0.6, 0.7, 0.5, 0.7}},
    {"stencil", 90, 4, 4, false, false, 1024, 1 << 25, {0.5, 0.5, 0.6, 0.5}},
    {"histogram", 4, 1, 0, false, false, 1024, 1 << 28, {0.7, 0.3, 0.08, 0.3}},
    {"mandelbrot", 900, 0, 4, false, false, 256, 1 << 24, {0.8, 0.6, 0.3, 0.6}},
    {"sha256", 40, 1, 0, false, false, 4096, 1 << 27, {1.9, 0.2, 0.05, 0.2}},
};
enum { MODELS = sizeof models / sizeof *models };

typedef struct sim {
    stream stream; /* the first: a stream * is its sim * */
    sim_options options;
    skua__rand rand;
    double tilt[MODELS][STREAM_BACKENDS]; /* this machine's own efficiencies */
    double crossings[MODELS][CROSSINGS_MAX];
    uint32_t crossing_count[MODELS];
} sim;

/* About normal, with deviation 1: the sum of twelve uniform ones (Irwin and Hall). */
static double
bell(skua__rand *rand) {
    double sum = -6;
    for (int i = 0; i < 12; i++) {
        sum += skua__rand_unit(rand);
    }
    return sum;
}

static double
model_flops(const kernel_model *model, double units) {
    return model->cubic ? 2 * units * units * units : model->flops * units;
}

static double
model_bytes(const kernel_model *model, double units, bool in) {
    return (in ? model->bytes_in : model->bytes_out) * (model->cubic ? units * units : units);
}

/* A roofline whose memory bandwidth falls smoothly, over two octaves, when the cache is full. */
static double
run_ns(const sim *m, uint32_t k, uint32_t b, double units) {
    const kernel_model *model = &models[k];
    const machine_part *part = &parts[b];
    double bytes = model_bytes(model, units, true) + model_bytes(model, units, false);
    double inside = 1 / (1 + pow(bytes / part->cache_bytes, 2));
    double bandwidth = part->bytes_per_s * (1 + (part->cache_times - 1) * inside);
    double efficiency = model->efficiency[b] * m->tilt[k][b];
    double compute_s = model_flops(model, units) / (part->flops * efficiency);
    double memory_s = bytes / (bandwidth * (efficiency < 1 ? efficiency : 1));
    return part->fixed_ns + 1e9 * (compute_s > memory_s ? compute_s : memory_s);
}

static double
move_ns(uint32_t b, double bytes) {
    const machine_part *part = &parts[b];
    return part->link_bytes_per_s > 0 && bytes >= 1
               ? part->link_ns + 1e9 * bytes / part->link_bytes_per_s
               : 0;
}

/* The best backend of an idle machine whose data lies with the host. */
static uint32_t
best_when_idle(const sim *m, uint32_t k, double units) {
    uint32_t best = 0;
    double best_ns = INFINITY;
    double bytes = model_bytes(&models[k], units, true) + model_bytes(&models[k], units, false);
    for (uint32_t b = 0; b < STREAM_BACKENDS; b++) {
        double ns = parts[b].launch_ns + move_ns(b, bytes) + run_ns(m, k, b, units);
        best = ns < best_ns ? b : best;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    return best;
}

static void
find_crossings(sim *m, uint32_t k) {
    double ratio = (double)models[k].max_units / (double)models[k].min_units;
    uint32_t before = best_when_idle(m, k, (double)models[k].min_units);
    for (int i = 1; i <= CROSSING_STEPS; i++) {
        double units = (double)models[k].min_units * pow(ratio, (double)i / CROSSING_STEPS);
        uint32_t best = best_when_idle(m, k, units);
        if (best != before && m->crossing_count[k] < CROSSINGS_MAX) {
            m->crossings[k][m->crossing_count[k]++] = units;
        }
        before = best;
    }
}

/* What one run is seen to take: disturbed, and now and then several times as long. */
static double
disturbed(sim *m, double ns, double noise) {
    double seen = ns * exp(noise * bell(&m->rand));
    return skua__rand_below(&m->rand, 100) == 0 ? seen * (2 + 8 * skua__rand_unit(&m->rand)) : seen;
}

static int64_t
measure(void *arg, uint32_t backend, uint64_t units) {
    sim *m = arg;
    double ns = run_ns(m, m->stream.measured_kernel, backend, (double)units);
    return llround(disturbed(m, ns, m->options.noise));
}

static double
pick_units(sim *m, uint32_t k) {
    const kernel_model *model = &models[k];
    double units;
    if (m->crossing_count[k] && skua__rand_below(&m->rand, 3) == 0) {
        double at = m->crossings[k][skua__rand_below(&m->rand, m->crossing_count[k])];
        units = at * pow(1.5, 2 * skua__rand_unit(&m->rand) - 1);
    } else {
        double ratio = (double)model->max_units / (double)model->min_units;
        units = (double)model->min_units * pow(ratio, skua__rand_unit(&m->rand));
    }
    units = units > (double)model->max_units ? (double)model->max_units : units;
    return floor(units < (double)model->min_units ? (double)model->min_units : units);
}

static void
make_item(sim *m, stream_item *item) {
    uint32_t k = skua__rand_below(&m->rand, MODELS);
    double units = pick_units(m, k);
    double in = model_bytes(&models[k], units, true), out = model_bytes(&models[k], units, false);
    *item = (stream_item){.kernel = k,
                          .elementwise = models[k].elementwise,
                          .units = (uint64_t)units,
                          .flops = (uint64_t)model_flops(&models[k], units),
                          .bytes = (uint64_t)(in + out)};
    bool resident = skua__rand_below(&m->rand, 4) == 0; /* the inputs lie on the device already */
    for (uint32_t b = 0; b < STREAM_BACKENDS; b++) {
        stream_option *option = &item->options[b];
        bool moves = parts[b].link_bytes_per_s > 0;
        option->offered = true;
        option->launch_ns = parts[b].launch_ns;
        option->missing_bytes = !moves ? 0 : b == DEVICE && resident ? out : in + out;
        option->move_ns = move_ns(b, option->missing_bytes);
        option->run_ns = run_ns(m, k, b, units);
        /* A third of the time others are there before us, for about as long as we would run. */
        if (skua__rand_below(&m->rand, 3) == 0) {
            option->wait_ns = option->run_ns * -log(1 - skua__rand_unit(&m->rand));
        }
        option->expected_ns =
            option->wait_ns + option->launch_ns + option->move_ns + option->run_ns;
        option->run_ns = disturbed(m, option->run_ns, m->options.noise);
        option->seen_wait_ns = option->wait_ns * exp(m->options.wait_noise * bell(&m->rand));
    }
}

stream *
sim_new(const sim_options *options) {
    sim *m = calloc(1, sizeof *m);
    stream_item *items = calloc(options->items, sizeof *items);
    if (!m || !items) {
        free(m);
        free(items);
        return NULL;
    }
    m->options = *options;
    m->rand.state = options->seed;
    m->stream = (stream){.backend_count = STREAM_BACKENDS,
                         .kernel_count = MODELS,
                         .count = options->items,
                         .items = items,
                         .measure = options->calibration_ns == SKUA_NONE ? NULL : measure,
                         .calibration_ns = options->calibration_ns};
    for (uint32_t b = 0; b < STREAM_BACKENDS; b++) {
        strcpy(m->stream.backends[b].name, parts[b].name);
        m->stream.backends[b].kind = parts[b].kind;
    }
    for (uint32_t k = 0; k < MODELS; k++) {
        strcpy(m->stream.kernels[k], models[k].name);
        m->stream.min_units[k] = models[k].min_units;
        m->stream.max_units[k] = models[k].max_units;
        for (uint32_t b = 0; b < STREAM_BACKENDS; b++) {
            m->tilt[k][b] = exp(0.35 * bell(&m->rand));
        }
        find_crossings(m, k);
    }
    for (size_t i = 0; i < options->items; i++) {
        make_item(m, &items[i]);
    }
    return &m->stream;
}

stream *
sim_free(stream *s) {
    if (s) {
        free(s->items);
        free(s);
    }
    return NULL;
}
