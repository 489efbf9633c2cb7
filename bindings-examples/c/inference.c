// SPDX-License-Identifier: MPL-2.0
// A small network answers requests that come one by one: they are gathered into batches, and each batch is one launch on the
// cores, a device or a peer, whichever ends first. Every answer is compared with a plain loop's.
//   inference [REQUESTS [RATE [all|cores|cpu|device [PEERS]]]]    RATE per second, 0: as fast as they are taken; waits for so many
//   inference serve [all|cores|cpu|device]                        peers, and this is one, until its standard input ends
#include "machine.h"
#include <math.h>
#include <skua/batch.h>
#include <stdatomic.h>
#include <time.h>

enum { IN = 64, HIDDEN = 32, OUT = 10, REQUESTS = 4000, AWAIT_MS = 20000 };

typedef struct network {
    float hidden[HIDDEN][IN];
    float out[OUT][HIDDEN];
} network;

/* One work-item for each request: its row of `in` and its row of `scores`. The network's weights are shared by all. */
static const char source[] =
    "kernel void network(global const float *in, global const float *weights, global float "
    "*scores,\n"
    "                    SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    size_t request = get_global_id(0);\n"
    "    float hidden[32];\n"
    "    for (int h = 0; h < 32; h++) {\n"
    "        float sum = 0;\n"
    "        for (int i = 0; i < 64; i++) sum += weights[h * 64 + i] * in[request * 64 + i];\n"
    "        hidden[h] = max(sum, 0.0f);\n"
    "    }\n"
    "    for (int o = 0; o < 10; o++) {\n"
    "        float sum = 0;\n"
    "        for (int h = 0; h < 32; h++) sum += weights[32 * 64 + o * 32 + h] * hidden[h];\n"
    "        scores[request * 10 + o] = sum;\n"
    "    }\n"
    "}\n";

static void
answer_one(const network *net, const float *in, float *ret_scores) {
    float hidden[HIDDEN];
    for (int h = 0; h < HIDDEN; h++) {
        float sum = 0;
        for (int i = 0; i < IN; i++) {
            sum += net->hidden[h][i] * in[i];
        }
        hidden[h] = sum > 0 ? sum : 0;
    }
    for (int o = 0; o < OUT; o++) {
        ret_scores[o] = 0;
        for (int h = 0; h < HIDDEN; h++) {
            ret_scores[o] += net->out[o][h] * hidden[h];
        }
    }
}

static int
answer_batch(const skua_kernel_call *call, void *arg) {
    (void)arg;
    for (uint64_t i = call->begin; i < call->end; i++) {
        answer_one(call->args[1], (const float *)call->args[0] + i * IN,
                   (float *)call->args[2] + i * OUT);
    }
    return 0;
}

/* Refuses launches, of peers too, whose memory is not as large as their requests. */
static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    return launch->args[0].bytes != launch->global[0] * IN * sizeof(float) ||
           launch->args[1].bytes != sizeof(network) ||
           launch->args[2].bytes != launch->global[0] * OUT * sizeof(float);
}

static void
offer(const machine *here) {
    static const skua_param_kind params[] = {SKUA_PARAM_IN, SKUA_PARAM_IN, SKUA_PARAM_OUT};
    skua_error err;
    must(skua_kernel_register(here->pool, "network",
                              SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 3,
                                               .guarded = 1, .fn = answer_batch, .check = check,
                                               .work = 2 * HIDDEN * (IN + OUT)),
                              &err),
         &err);
}

/* Numbers that look like none in particular, from -1 to 1, the same on each machine. */
static float
number(uint32_t i) {
    i = (i ^ 61U ^ (i >> 16)) * 9U;
    i = (i ^ (i >> 4)) * 0x27d4eb2dU;
    return (float)((i ^ (i >> 15)) % 2001U) / 1000.0F - 1.0F;
}

static void
make_input(uint32_t request, float *ret_in) {
    for (uint32_t i = 0; i < IN; i++) {
        ret_in[i] = number(request * IN + i + 100000U);
    }
}

typedef struct asked {
    const network *net;
    uint32_t request;
    atomic_uint *right;
} asked;

/* Called once for each request. */
static void
done(void *arg, const skua_batch_result *result) {
    const asked *self = arg;
    float in[IN], want[OUT];
    if (result->status) {
        fprintf(stderr, "request %u: %s\n", self->request, result->message);
        return;
    }
    make_input(self->request, in);
    answer_one(self->net, in, want);
    for (int o = 0; o < OUT; o++) {
        if (fabsf(((const float *)result->answer)[o] - want[o]) > 1e-3F) {
            return;
        }
    }
    /* relaxed: it only counts; skua_batch_await_all() orders it before the look */
    atomic_fetch_add_explicit(self->right, 1, memory_order_relaxed);
}

static double
now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Waits until a request is due: they come at a steady rate, however fast they are answered. */
static void
await_turn(double start_s, uint32_t request, double rate) {
    double left_s = rate > 0 ? start_s + request / rate - now_s() : 0;
    if (left_s > 0) {
        nanosleep(
            &(struct timespec){.tv_sec = (time_t)left_s, .tv_nsec = (long)(fmod(left_s, 1) * 1e9)},
            NULL);
    }
}

static void
tell(const machine *here, skua_batch *batch, double took_s) {
    skua_error err;
    char why[400];
    skua_batch_counters told = {.size = sizeof told};
    must(skua_batch_stats(batch, &told, &err), &err);
    printf(
        "%.0f requests/s in %llu batches of %.1f (%llu full, %llu at once, %llu after the wait)\n",
        (double)told.requests / took_s, (unsigned long long)told.batches,
        (double)told.batch_requests / (double)told.batches, (unsigned long long)told.left_full,
        (unsigned long long)told.left_idle, (unsigned long long)told.left_waited);
    printf("latency p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms (waiting for the batch p99 %.3f ms)\n",
           (double)told.latency_p50_ns / 1e6, (double)told.latency_p99_ns / 1e6,
           (double)told.latency_p999_ns / 1e6, (double)told.wait_p99_ns / 1e6);
    printf("the last batch: %s\n", skua_batch_explain(batch, why, sizeof why));
    machine_tell_shares(here, "network", stdout);
}

/* Returns how many answers were right. */
static uint32_t
ask_all(const machine *here, const network *net, uint32_t requests, double rate) {
    const skua_kernel_arg args[] = {
        {.bytes = IN * sizeof(float)},                          /* a row of each request's own, */
        {.data = (void *)(uintptr_t)net, .bytes = sizeof *net}, /* what all share, */
        {.bytes = OUT * sizeof(float)}};                        /* and a row for each answer */
    skua_error err;
    skua_batch *batch;
    atomic_uint right = 0;
    asked *all = calloc(requests, sizeof *all);
    if (!all) {
        perror("inference");
        exit(1);
    }
    must(skua_batch_open_kernel(&batch, here->pool,
                                SKUA_LAUNCH(.kernel = "network", .args = args, .arg_count = 3,
                                            .global = {1}, .on = here->on),
                                SKUA_BATCH_OPTIONS(.requests_max = 64, .wait_us = 500), &err),
         &err);
    double start_s = now_s();
    for (uint32_t i = 0; i < requests; i++) {
        float in[IN];
        skua_status status;
        all[i] = (asked){.net = net, .request = i, .right = &right};
        make_input(i, in);
        await_turn(start_s, i, rate);
        while ((status = skua_batch_submit(batch, in, sizeof in, done, &all[i], 0, &err)) ==
               SKUA_E_AGAIN) { /* more wait than may: a server would refuse this one */
            must(skua_batch_await_all(batch, SKUA_UNLIMITED, &err), &err);
        }
        must(status, &err);
    }
    must(skua_batch_await_all(batch, SKUA_UNLIMITED, &err), &err);
    tell(here, batch, now_s() - start_s);
    skua_batch_close(batch);
    free(all);
    return atomic_load_explicit(&right, memory_order_relaxed); /* relaxed: all have ended */
}

static int
serve(const char *mode) {
    machine here;
    machine_open(&here, mode, 1);
    offer(&here);
    while (getchar() != EOF) {
    }
    machine_close(&here);
    return 0;
}

int
main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        return serve(argc > 2 ? argv[2] : NULL);
    }
    uint32_t requests = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : REQUESTS;
    double rate = argc > 2 ? strtod(argv[2], NULL) : 0;
    int peers = argc > 4 ? atoi(argv[4]) : 0;
    if (requests == 0 || rate < 0 || peers < 0) {
        fprintf(stderr, "usage: inference [REQUESTS [RATE [all|cores|cpu|device [PEERS]]]]\n"
                        "       inference serve [all|cores|cpu|device]\n");
        return 2;
    }
    static network net;
    for (uint32_t i = 0; i < sizeof net / sizeof(float); i++) {
        ((float *)&net)[i] = number(i) / 8;
    }
    machine here;
    skua_error err;
    machine_open(&here, argc > 3 ? argv[3] : NULL, peers);
    offer(&here);
    if (peers) {
        must(skua_pool_await_nodes(here.pool, "network", (size_t)peers + 1, AWAIT_MS, &err), &err);
    }
    uint32_t right = ask_all(&here, &net, requests, rate);
    printf("%u of %u answers are those of a plain loop\n", right, requests);
    machine_close(&here);
    return right == requests ? 0 : 1;
}
