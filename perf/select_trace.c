// SPDX-License-Identifier: MPL-2.0
// Traces of work as CSV: what each backend took (or would have taken) for each piece, so that policies can be replayed
// over what a real machine did.
#include "select_stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * A head, then one line for each piece and backend; lines of the same piece follow each other and have its number:
 *   piece,kernel,units,flops,bytes,elementwise,backend,kind,wait_ns,missing_bytes,launch_ns,move_ns,run_ns
 *     ,expected_ns
 * kind is scalar, simd, device or peer. expected_ns is what it takes in all, but for noise: choices are judged by it. Where
 * it is not known (the column may be missing), the one run that was seen has to do.
 */
static const char head[] = "piece,kernel,units,flops,bytes,elementwise,backend,kind,wait_ns,"
                           "missing_bytes,launch_ns,move_ns,run_ns";
static const char *const kinds[] = {"", "scalar", "simd", "device", "peer"};

enum {
    KINDS = sizeof kinds / sizeof *kinds,
    LINE_BYTES = 512,
    ITEMS_FIRST = 1024,
    WARMUP_PART = 5
};

bool
trace_write(const stream *s, FILE *file) {
    fprintf(file, "%s,expected_ns\n", head);
    for (size_t i = 0; i < s->count; i++) {
        const stream_item *item = &s->items[i];
        for (uint32_t b = 0; b < s->backend_count; b++) {
            const stream_option *option = &item->options[b];
            if (option->offered) {
                fprintf(file, "%zu,%s,%llu,%llu,%llu,%d,%s,%s,%.0f,%.0f,%.0f,%.0f,%.0f,%.0f\n", i,
                        s->kernels[item->kernel], (unsigned long long)item->units,
                        (unsigned long long)item->flops, (unsigned long long)item->bytes,
                        item->elementwise, s->backends[b].name, kinds[s->backends[b].kind],
                        option->wait_ns, option->missing_bytes, option->launch_ns, option->move_ns,
                        option->run_ns, option->expected_ns);
            }
        }
    }
    return fflush(file) == 0 && !ferror(file);
}

typedef struct line {
    unsigned long long piece, units, flops, bytes;
    int elementwise;
    char kernel[STREAM_NAME_BYTES], backend[STREAM_NAME_BYTES], kind[STREAM_NAME_BYTES];
    double wait_ns, missing_bytes, launch_ns, move_ns, run_ns, expected_ns;
} line;

static bool
parse(const char *text, line *ret) {
    int end = 0, longer = 0;
    int fields =
        sscanf(text, "%llu,%31[^,],%llu,%llu,%llu,%d,%31[^,],%31[^,],%lf,%lf,%lf,%lf,%lf%n",
               &ret->piece, ret->kernel, &ret->units, &ret->flops, &ret->bytes, &ret->elementwise,
               ret->backend, ret->kind, &ret->wait_ns, &ret->missing_bytes, &ret->launch_ns,
               &ret->move_ns, &ret->run_ns, &end);
    if (fields != 13) {
        return false;
    }
    if (sscanf(text + end, ",%lf%n", &ret->expected_ns, &longer) == 1) {
        end += longer;
    } else {
        ret->expected_ns = ret->wait_ns + ret->launch_ns + ret->move_ns + ret->run_ns;
    }
    /* Written so that a NaN is no good number either. */
    return (text[end] == '\n' || text[end] == '\r' || text[end] == 0) && ret->wait_ns >= 0 &&
           ret->launch_ns >= 0 && ret->move_ns >= 0 && ret->run_ns > 0 && ret->missing_bytes >= 0 &&
           ret->expected_ns > 0 && ret->expected_ns < 1e18 &&
           ret->wait_ns + ret->launch_ns + ret->move_ns + ret->run_ns + ret->missing_bytes < 1e18;
}

/* The number of a backend, new or known; -1: there are too many, or its kind is none. */
static int
backend_of(stream *s, const line *l) {
    uint32_t b = 0;
    while (b < s->backend_count && strcmp(s->backends[b].name, l->backend) != 0) {
        b++;
    }
    int kind = 1;
    while (kind < KINDS && strcmp(kinds[kind], l->kind) != 0) {
        kind++;
    }
    if (b == STREAM_BACKENDS || kind == KINDS) {
        return -1;
    }
    if (b == s->backend_count) {
        memcpy(s->backends[b].name, l->backend, sizeof l->backend);
        s->backends[b].kind = kind;
        s->backend_count++;
    }
    return (int)b;
}

static int
kernel_of(stream *s, const line *l) {
    uint32_t k = 0;
    while (k < s->kernel_count && strcmp(s->kernels[k], l->kernel) != 0) {
        k++;
    }
    if (k == STREAM_KERNELS) {
        return -1;
    }
    if (k == s->kernel_count) {
        memcpy(s->kernels[k], l->kernel, sizeof l->kernel);
        s->kernel_count++;
    }
    return (int)k;
}

/* Room for one more piece. */
static bool
grow(stream *s, size_t *size) {
    if (s->count < *size) {
        return true;
    }
    size_t bigger = *size ? *size * 2 : ITEMS_FIRST;
    stream_item *items =
        bigger <= STREAM_ITEMS_MAX ? realloc(s->items, bigger * sizeof *items) : NULL;
    if (items) {
        s->items = items;
        *size = bigger;
    }
    return items != NULL;
}

/* Adds a line to the piece that it belongs to. */
static bool
add(stream *s, const line *l, size_t *size, unsigned long long *last_piece) {
    int k = kernel_of(s, l), b = backend_of(s, l);
    if (k < 0 || b < 0) {
        return false;
    }
    if (s->count == 0 || l->piece != *last_piece) {
        if (!grow(s, size)) {
            return false;
        }
        s->items[s->count++] = (stream_item){.kernel = (uint32_t)k,
                                             .elementwise = l->elementwise != 0,
                                             .units = l->units,
                                             .flops = l->flops,
                                             .bytes = l->bytes};
        *last_piece = l->piece;
    }
    stream_option *option = &s->items[s->count - 1].options[b];
    if (option->offered || s->items[s->count - 1].kernel != (uint32_t)k) {
        return false;
    }
    *option = (stream_option){.offered = true,
                              .expected_ns = l->expected_ns,
                              .wait_ns = l->wait_ns,
                              .seen_wait_ns = l->wait_ns,
                              .launch_ns = l->launch_ns,
                              .move_ns = l->move_ns,
                              .run_ns = l->run_ns,
                              .missing_bytes = l->missing_bytes};
    return true;
}

stream *
trace_read(FILE *file) {
    stream *s = calloc(1, sizeof *s);
    char text[LINE_BYTES];
    size_t size = 0, number = 1;
    unsigned long long last_piece = 0;
    bool good = s && fgets(text, sizeof text, file) && strncmp(text, head, sizeof head - 1) == 0;
    while (good && fgets(text, sizeof text, file)) {
        line l = {0};
        number++;
        good = parse(text, &l) && add(s, &l, &size, &last_piece);
    }
    if (!good) {
        fprintf(stderr, "skua-perf: line %zu of the trace makes no sense\n", number);
        return trace_free(s);
    }
    s->warmup = s->count / WARMUP_PART;
    return s;
}

stream *
trace_free(stream *s) {
    return sim_free(s);
}
