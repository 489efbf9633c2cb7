// SPDX-License-Identifier: MPL-2.0
// Devices as sites of a pool, with the fake device: no thread is held by a launch, cancels are immediate, what a device
// could not do is done elsewhere exactly once, and what was learned is kept.
#include "test.h"

#include <fcntl.h>
#include <sched.h>
#include <skua-int/fake_device.h>
#include <skua-int/kernels.h>
#include <skua-int/rand.h>
#include <skua/buffer.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAIT_MS = 120 * 1000, MANY = 200, N = 64 };

static const skua_param_kind params[] = {SKUA_PARAM_IN, SKUA_PARAM_OUT};

/* y = x + 1 */
static int
add_one(const skua_kernel_call *call, void *arg) {
    (void)arg;
    const uint32_t *x = call->args[0];
    uint32_t *y = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = x[i] + 1;
    }
    return 0;
}

/* The same, but so slowly that anything else is faster. */
static int
add_one_slowly(const skua_kernel_call *call, void *arg) {
    int64_t until_ns = skua__clock_ns() + 100 * SKUA_NS_PER_US; /* for each number */
    while (skua__clock_ns() < until_ns) {
    }
    return add_one(call, arg);
}

/* An allocator that looks for the first block of one size. */
typedef struct watch {
    skua_allocator hook;
    void (*instead)(void *arg); /* is called in place of allocating it; NULL: it is allocated */
    void *arg;
    atomic_size_t bytes; /* 0: nothing is looked for */
    void *_Atomic block; /* what was found */
    atomic_bool released;
} watch;

static void *
watch_allocate(void *ctx, size_t bytes) {
    watch *self = ctx;
    const skua_allocator *hook = skua_allocator_default();
    size_t wanted = bytes;
    if (!bytes || !atomic_compare_exchange_strong(&self->bytes, &wanted, 0)) {
        return hook->allocate(hook->ctx, bytes);
    }
    if (self->instead) {
        self->instead(self->arg);
        return NULL;
    }
    void *block = hook->allocate(hook->ctx, bytes);
    atomic_store(&self->block, block);
    return block;
}

static void *
watch_resize(void *ctx, void *block, size_t bytes) {
    (void)ctx;
    const skua_allocator *hook = skua_allocator_default();
    return hook->resize(hook->ctx, block, bytes);
}

static void
watch_release(void *ctx, void *block) {
    watch *self = ctx;
    const skua_allocator *hook = skua_allocator_default();
    if (block && block == atomic_load(&self->block)) {
        atomic_store(&self->released, true);
    }
    hook->release(hook->ctx, block);
}

static void
watch_init(watch *self) {
    *self = (watch){.hook = {.version = SKUA_ALLOCATOR_VERSION,
                             .ctx = self,
                             .allocate = watch_allocate,
                             .resize = watch_resize,
                             .release = watch_release}};
}

typedef struct bench {
    skua__fake *fake, *second; /* NULL: there is one device */
    skua_devices *devices;
    skua_exec *exec;
    skua_pool *pool;
    char dir[64];
    int64_t hang_ms, rest_ms, quarantine_ms; /* 0: as usual */
    const skua_allocator *hook;              /* of the pool; NULL: as usual */
    bool two;                                /* devices */
} bench;

static void
open_pool(bench *self, const skua__fake_options *fake, const char *cache_dir) {
    static const skua__fake_entry entries[] = {{.name = "add", .fn = add_one, .guarded = true}};
    skua__fake_options options = *fake;
    options.entries = entries;
    options.entry_count = 1;
    self->fake = skua__fake_new(&options);
    assert_int_equal(
        skua_devices_open(&self->devices, SKUA_DEVICES_OPTIONS(.cache_dir = cache_dir), NULL), 0);
    skua__devices_set_patience(self->devices, self->hang_ms, self->rest_ms);
    skua_device_info info = skua__fake_info(UINT64_C(1) << 30);
    assert_int_equal(skua__devices_add(self->devices, skua__fake_driver(), self->fake, &info), 0);
    if (self->two) {
        self->second = skua__fake_new(&options);
        snprintf(info.name, sizeof info.name, "second");
        assert_int_equal(skua__devices_add(self->devices, skua__fake_driver(), self->second, &info),
                         0);
    }
    /* One worker: were a launch on a device to hold it, nothing else would run. */
    assert_int_equal(skua_exec_open(&self->exec, SKUA_EXEC_OPTIONS(.workers = 1), NULL), 0);
    assert_int_equal(skua_pool_open(&self->pool,
                                    SKUA_POOL_OPTIONS(.exec = self->exec, .devices = self->devices,
                                                      .quarantine_ms = self->quarantine_ms,
                                                      .allocator = self->hook),
                                    NULL),
                     0);
}

static void
close_fake(skua__fake *fake) {
    skua__fake_counters counts = skua__fake_counts(fake);
    if (counts.misuses) {
        fail_msg("%s", counts.misuse);
    }
    assert_int_equal(counts.memories, 0);
    skua__fake_free(fake);
}

static void
close_pool(bench *self) {
    skua_pool_close(self->pool);
    skua_devices_close(self->devices);
    skua_exec_close(self->exec);
    close_fake(self->fake);
    if (self->two) {
        close_fake(self->second);
    }
}

static void
register_as(bench *self, const char *name, const char *source, skua_kernel_fn fn) {
    skua_error err = {0};
    if (skua_kernel_register(self->pool, name,
                             SKUA_KERNEL_SPEC(.source = source, .entry = "add", .params = params,
                                              .param_count = 2, .guarded = 1, .fn = fn),
                             &err)) {
        fail_msg("%s", err.message);
    }
}

static int
set_up(void **state) {
    bench *self = calloc(1, sizeof *self);
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1); /* the only device is the fake one */
    *state = self;
    return 0;
}

static int
tear_down(void **state) {
    free(*state);
    return 0;
}

/* One launch under way. */
typedef struct shot {
    uint32_t x[N], y[N];
    skua_kernel_arg args[2];
    skua_launch launch;
    skua_pool_future *future;
} shot;

static void
prepare(shot *s, const char *kernel, uint32_t first, int32_t on) {
    for (uint32_t i = 0; i < N; i++) {
        s->x[i] = first + i;
    }
    s->args[0] = (skua_kernel_arg){.data = s->x, .bytes = sizeof s->x};
    s->args[1] = (skua_kernel_arg){.data = s->y, .bytes = sizeof s->y};
    s->launch = (skua_launch){.size = sizeof s->launch,
                              .kernel = kernel,
                              .global = {N},
                              .args = s->args,
                              .arg_count = 2,
                              .on = on};
}

static void
submit(bench *self, shot *s, const char *kernel, uint32_t first, int32_t on) {
    prepare(s, kernel, first, on);
    skua_error err = {0};
    if (skua_kernel_submit(self->pool, &s->launch, &s->future, &err)) {
        fail_msg("%s", err.message);
    }
}

static skua_status
collect(bench *self, shot *s, skua_error *err) {
    skua_status status = skua_kernel_collect(self->pool, &s->launch, s->future, WAIT_MS, err);
    for (uint32_t i = 0; i < N && !status; i++) {
        assert_int_equal(s->y[i], s->x[i] + 1);
    }
    return status;
}

static skua_kernel_share
share_at(bench *self, const char *kernel, size_t i) {
    skua_kernel_share share = {.size = sizeof share};
    assert_int_equal(skua_kernel_share_at(self->pool, kernel, i, &share, NULL), 0);
    return share;
}

static int
nothing(skua_task_call *call, void *arg) {
    (void)call, (void)arg;
    return 0;
}

static void
test_device_sites_hold_no_worker_and_cancels_are_immediate(void **state) {
    bench *self = *state;
    open_pool(self, &(skua__fake_options){0}, "");
    register_as(self, "add", "kernel void add() {}", add_one);
    assert_int_equal(skua_pool_register(self->pool, "nothing", 1, nothing, NULL, NULL), 0);
    skua__fake_set_faults(self->fake, &(skua__fake_faults){.hang_at = 1});
    static shot shots[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        submit(self, &shots[i], "add", i, SKUA_ON_DEVICE);
    }
    /* The device hangs with all of them. The one worker has nothing to do with that. */
    for (int i = 0; i < 10; i++) {
        skua_pool_future *future = NULL;
        assert_int_equal(skua_pool_submit(self->pool, SKUA_TASK(.name = "nothing"), &future, NULL),
                         0);
        assert_int_equal(skua_pool_wait(future, WAIT_MS, NULL), 0);
        skua_pool_future_free(future);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        skua_pool_cancel(shots[i].future);
        assert_int_equal(skua_pool_wait(shots[i].future, SKUA_NONE, NULL), 0); /* at once */
        assert_int_equal(collect(self, &shots[i], NULL), SKUA_E_CANCELLED);
        skua_pool_future_free(shots[i].future);
    }
    /* Those that wait for the device leave its queue although it still hangs; what it has, it keeps. */
    skua__engine *engine = NULL;
    assert_int_equal(skua__devices_engine(self->devices, 0, &engine, NULL), 0);
    while (skua__engine_under_way(engine) > 64) {
        sched_yield();
    }
    skua__fake_unhang(self->fake);
    close_pool(self);
}

static void
test_device_sites_are_told_by_explain_and_backends(void **state) {
    bench *self = *state;
    open_pool(self, &(skua__fake_options){0}, "");
    register_as(self, "add", "kernel void add() {}", add_one);
    static shot s;
    char text[600];
    submit(self, &s, "add", 1, SKUA_ON_DEVICE);
    assert_int_equal(collect(self, &s, NULL), 0);
    skua_pool_explain(s.future, text, sizeof text);
    assert_non_null(strstr(text, "device 0 ("));
    assert_non_null(strstr(text, "launch"));
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_result(s.future, &result, NULL), 0);
    assert_string_equal(result.node, "local");
    skua_pool_future_free(s.future);
    submit(self, &s, "add", 1, SKUA_ON_ANY); /* now both are candidates */
    assert_int_equal(collect(self, &s, NULL), 0);
    skua_pool_explain(s.future, text, sizeof text);
    assert_non_null(strstr(text, "device 0 ("));
    assert_non_null(strstr(text, "local: "));
    skua_pool_future_free(s.future);
    skua_pool_backend backends[4];
    size_t count = 0;
    assert_int_equal(skua_pool_backends(self->pool, backends, sizeof backends[0], 4, &count, NULL),
                     0);
    assert_int_equal(count, 2);
    assert_int_equal(backends[1].kind, SKUA_BACKEND_DEVICE);
    assert_true(backends[1].tasks >= 1 && backends[1].in_flight == 0);
    close_pool(self);
}

static void
test_device_sites_get_what_they_are_faster_at(void **state) {
    bench *self = *state;
    open_pool(self, &(skua__fake_options){0}, "");
    register_as(self, "add", "kernel void add() {}", add_one_slowly);
    static shot s;
    for (int i = 0; i < 60; i++) {
        submit(self, &s, "add", 1, SKUA_ON_ANY);
        assert_int_equal(collect(self, &s, NULL), 0);
        skua_pool_future_free(s.future);
    }
    /* The cores are tried a few times, and a little more in between; 60 is what both have together. */
    assert_true(share_at(self, "add", 1).launches >= 40);
    assert_int_equal(share_at(self, "add", 0).launches + share_at(self, "add", 1).launches, 60);
    close_pool(self);
}

static void
test_device_sites_that_fail_leave_their_launches_to_others(void **state) {
    bench *self = *state;
    open_pool(self, &(skua__fake_options){0}, "");
    register_as(self, "add", "kernel void add() {}", add_one);
    skua__rand rand = {.state = test_seed(3)};
    static shot shots[MANY];
    uint64_t retried = 0;
    for (int round = 0; round < 5; round++) {
        skua__fake_set_faults(self->fake,
                              &(skua__fake_faults){.loss_at = 1 + skua__rand_below(&rand, 20),
                                                   .memory_at = skua__rand_below(&rand, 10),
                                                   .memory_times = skua__rand_below(&rand, 4),
                                                   .submit_at = skua__rand_below(&rand, 40)});
        for (uint32_t i = 0; i < MANY; i++) {
            submit(self, &shots[i], "add", i, SKUA_ON_ANY);
        }
        for (uint32_t i = 0; i < MANY; i++) {
            skua_error err = {0};
            if (collect(self, &shots[i], &err)) {
                fail_msg("launch %u of round %d: %s", i, round, err.message);
            }
            skua_task_result result = {.size = sizeof result};
            assert_int_equal(skua_pool_result(shots[i].future, &result, NULL), 0);
            retried += result.attempts > 1;
            skua_pool_future_free(shots[i].future);
        }
    }
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_stats(self->pool, &counters, NULL), 0);
    assert_int_equal(counters.submitted, 5 * MANY);
    assert_int_equal(counters.ended[SKUA_OUTCOME_OK], 5 * MANY); /* each once (I1) */
    assert_true(retried > 0);
    assert_true(share_at(self, "add", 1).failures > 0);
    close_pool(self);
}

/* What a device refuses for good is done by the cores; without them the words of the device are told. */
static void
test_device_sites_refuse_what_they_cannot_do(void **state) {
    bench *self = *state;
    skua_error err = {0};
    static shot s;
    open_pool(self, &(skua__fake_options){.memory_bytes = 100}, ""); /* it lies about its memory */
    register_as(self, "add", "kernel void add() {}", add_one);
    for (int times = 0; times < 5; times++) {
        submit(self, &s, "add", 1, SKUA_ON_ANY);
        assert_int_equal(collect(self, &s, &err), 0);
        skua_pool_future_free(s.future);
    }
    assert_int_equal(share_at(self, "add", 0).launches, 5);
    close_pool(self);
    open_pool(self, &(skua__fake_options){0}, "");
    register_as(self, "broken", "#error", add_one);
    register_as(self, "broken-only", "#error", NULL);
    for (int times = 0; times < 5; times++) {
        submit(self, &s, "broken", 1, SKUA_ON_ANY);
        assert_int_equal(collect(self, &s, &err), 0);
        skua_pool_future_free(s.future);
        submit(self, &s, "broken-only", 1, SKUA_ON_ANY);
        assert_int_equal(collect(self, &s, &err), SKUA_E_TASK_FAILED);
        assert_non_null(strstr(err.message, "build"));
        skua_pool_future_free(s.future);
    }
    assert_int_equal(share_at(self, "broken", 0).launches, 5);
    close_pool(self);
}

static void
test_device_sites_pinned_launches_fail_and_wait_with_their_device(void **state) {
    bench *self = *state;
    skua_error err = {0};
    static shot s;
    open_pool(self, &(skua__fake_options){0}, "");
    register_as(self, "add", "kernel void add() {}", add_one);
    skua__fake_set_faults(self->fake, &(skua__fake_faults){.loss_at = 1});
    submit(self, &s, "add", 1, SKUA_ON_DEVICE);
    assert_int_equal(collect(self, &s, &err), SKUA_E_TASK_FAILED);
    assert_non_null(strstr(err.message, "device"));
    skua_pool_future_free(s.future);
    submit(self, &s, "add", 1, SKUA_ON_DEVICE); /* it finds the device at rest, and waits for it */
    assert_int_equal(collect(self, &s, &err), 0);
    skua_pool_future_free(s.future);
    close_pool(self);
}

/*
 * What hangs, and what the device was given behind it, is done by the cores; a launch that only the device may run is told; and
 * a new context serves the next.
 */
static void
test_device_sites_that_hang_leave_their_launches_to_others(void **state) {
    bench *self = *state;
    static shot shots[MANY], pinned;
    skua_error err = {0};
    self->quarantine_ms = SKUA_NONE;
    self->hang_ms = 3000; /* so long that no busy machine makes another launch late */
    open_pool(self, &(skua__fake_options){0}, "");
    register_as(self, "add", "kernel void add() {}", add_one);
    skua__fake_set_faults(self->fake, &(skua__fake_faults){.hang_at = 1});
    submit(self, &pinned, "add", 7, SKUA_ON_DEVICE);
    for (uint32_t i = 0; i < MANY; i++) {
        submit(self, &shots[i], "add", i, SKUA_ON_ANY);
    }
    assert_int_equal(collect(self, &pinned, &err), SKUA_E_TASK_FAILED);
    skua_pool_future_free(pinned.future);
    for (uint32_t i = 0; i < MANY; i++) {
        if (collect(self, &shots[i], &err)) {
            fail_msg("launch %u: %s", i, err.message);
        }
        skua_pool_future_free(shots[i].future);
    }
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_stats(self->pool, &counters, NULL), 0);
    assert_int_equal(counters.ended[SKUA_OUTCOME_OK], MANY);
    assert_int_equal(counters.infrastructure_failures > 0, 1);
    skua__engine *engine = NULL;
    assert_int_equal(skua__devices_engine(self->devices, 0, &engine, NULL), 0);
    skua__engine_counters told;
    skua__engine_counters_get(engine, &told);
    assert_int_equal(told.hangs, 1);
    submit(self, &pinned, "add", 9, SKUA_ON_DEVICE); /* which waits for the device's rest to end */
    assert_int_equal(collect(self, &pinned, &err), 0);
    skua_pool_future_free(pinned.future);
    close_pool(self);
}

/* The driver that hangs may yet read the input of a launch that has ended by it, and that no copy was made of. */
static void
test_device_sites_that_hang_keep_the_input_of_what_ended(void **state) {
    bench *self = *state;
    static shot s;
    skua_error err = {0};
    watch seen;
    watch_init(&seen);
    self->hook = &seen.hook;
    self->hang_ms = 2000; /* so long that no busy machine makes the launch before it late */
    for (int ready = 0; ready < 2; ready++) { /* made ready before it is submitted, or not */
        open_pool(self, &(skua__fake_options){0}, "");
        register_as(self, "add", "kernel void add() {}", add_one);
        if (ready) {
            submit(self, &s, "add", 1, SKUA_ON_DEVICE);
            assert_int_equal(collect(self, &s, &err), 0);
            skua_pool_future_free(s.future);
        }
        skua__coded_launch coded;
        prepare(&s, "add", 7, SKUA_ON_DEVICE);
        assert_int_equal(skua__launch_lay_out(skua__kernel_find(self->pool, "add", &err)->kernel,
                                              &s.launch, &coded, &err),
                         0);
        atomic_store(&seen.block, NULL);
        atomic_store(&seen.bytes, coded.input_bytes); /* the first of that size is the input */
        skua__fake_set_faults(self->fake, &(skua__fake_faults){.hang_at = 1});
        submit(self, &s, "add", 7, SKUA_ON_DEVICE);
        assert_int_equal(collect(self, &s, &err), SKUA_E_TASK_FAILED);
        skua_pool_future_free(s.future);
        close_pool(self);
        assert_non_null(atomic_load(&seen.block));
        assert_false(atomic_load(&seen.released));
    }
}

static void
free_filler(skua__launch *launch, skua_status status) {
    (void)status;
    skua__launch_free(launch);
}

/* A launch that is handed over as it is placed, and that the engine refuses: it waits, goes again, and ends once. */
static void
test_device_sites_launches_refused_at_once_go_again(void **state) {
    bench *self = *state;
    skua_error err = {0};
    static shot warm, s;
    open_pool(self, &(skua__fake_options){0}, "");
    register_as(self, "add", "kernel void add() {}", add_one);
    submit(self, &warm, "add", 1, SKUA_ON_DEVICE); /* the next one is made ready for a device */
    assert_int_equal(collect(self, &warm, &err), 0);
    skua_pool_future_free(warm.future);
    skua__fake_set_faults(self->fake, &(skua__fake_faults){.hang_at = 1});
    skua__engine *engine = NULL;
    assert_int_equal(skua__devices_engine(self->devices, 0, &engine, NULL), 0);
    const skua__kernel *kernel = skua__kernel_find(self->pool, "add", &err)->kernel;
    for (skua_status status = 0; !status;) { /* until its queue is full */
        skua__launch *filler = NULL;
        assert_int_equal(skua__launch_new(NULL, kernel, &warm.launch, &filler, &err), 0);
        filler->done = free_filler;
        status = skua__engine_submit(engine, filler, &err);
        if (status) {
            assert_int_equal(status, SKUA_E_AGAIN);
            skua__launch_free(filler);
        }
    }
    submit(self, &s, "add", 1, SKUA_ON_DEVICE);
    assert_int_equal(skua_pool_wait(s.future, SKUA_NONE, NULL), SKUA_E_TIMEOUT);
    skua__fake_unhang(self->fake);
    assert_int_equal(collect(self, &s, &err), 0);
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_result(s.future, &result, NULL), 0);
    assert_true(result.attempts > 1);
    skua_pool_future_free(s.future);
    while (skua__engine_under_way(engine)) {
        sched_yield();
    }
    close_pool(self);
}

/* The two launches of the next test. The first reads a buffer on the second device, the other writes it on the first. */
typedef struct pair {
    bench *bench;
    skua_buffer *buffer;
    shot first, other;
    atomic_bool told;
} pair;

static void
tell(void *arg, skua_pool_future *future) {
    (void)future;
    pair *self = arg;
    atomic_store(&self->told, true);
}

/* Instead of the memory of the first one's results: so the other one waits for its turn, which the end of the first brings. */
static void
submit_other(void *arg) {
    pair *self = arg;
    prepare(&self->other, "add", 3, SKUA_ON_DEVICE);
    self->other.args[1] = (skua_kernel_arg){.bytes = sizeof self->other.y, .buffer = self->buffer};
    skua_error err = {0};
    if (skua_kernel_submit(self->bench->pool, &self->other.launch, &self->other.future, &err)) {
        fail_msg("%s", err.message);
    }
}

/* Submits the first one, with an on_done, which only those of the library's own have. */
static void
submit_first(pair *self, watch *memory) {
    skua_pool *pool = self->bench->pool;
    shot *s = &self->first;
    prepare(s, "add", 0, SKUA_ON_DEVICE + 1);
    s->args[0] = (skua_kernel_arg){.bytes = sizeof s->x, .buffer = self->buffer};
    skua_error err = {0};
    skua__kernel_entry *entry = skua__kernel_find(pool, "add", &err);
    skua__coded_launch coded;
    assert_int_equal(skua__launch_check(entry->kernel, &s->launch, &err), 0);
    assert_int_equal(skua__launch_lay_out(entry->kernel, &s->launch, &coded, &err), 0);
    assert_true(coded.output_bytes != coded.input_bytes);
    skua__launch_task *task = skua__launch_task_new(entry, &coded);
    assert_non_null(task);
    task->claim = skua__turn_new(pool, entry->kernel, &coded);
    assert_non_null(task->claim);
    memory->instead = submit_other;
    memory->arg = self;
    atomic_store(&memory->bytes, coded.output_bytes);
    if (skua__launch_submit(pool, &s->launch, &coded, task, tell, self, &s->future, &err)) {
        fail_msg("%s", err.message);
    }
}

/*
 * A launch ends in the flush of its device, on the thread that submits it, and nobody calls the pool any more: what its end
 * brings about is done all the same, at a device that was flushed before it, and on the thread that may call.
 */
static void
test_device_sites_what_a_flush_brings_about_is_done(void **state) {
    bench *self = *state;
    static pair both;
    skua_error err = {0};
    watch memory;
    watch_init(&memory);
    self->hook = &memory.hook;
    self->two = true;
    open_pool(self, &(skua__fake_options){0}, "");
    register_as(self, "add", "kernel void add() {}", add_one);
    both.bench = self;
    assert_int_equal(skua_buffer_new(self->devices, &both.buffer,
                                     SKUA_BUFFER_OPTIONS(.bytes = sizeof both.other.y), &err),
                     0);
    submit_first(&both, &memory);
    assert_non_null(both.other.future);
    assert_int_equal(skua_pool_wait(both.first.future, SKUA_NONE, &err), 0); /* it ended there */
    while (!atomic_load(&both.told)) {
        sched_yield();
    }
    assert_int_equal(skua_pool_wait(both.other.future, WAIT_MS, &err), 0);
    assert_int_equal(
        skua_kernel_collect(self->pool, &both.other.launch, both.other.future, WAIT_MS, &err), 0);
    assert_int_equal(skua_buffer_read(both.buffer, 0, both.other.y, sizeof both.other.y, &err), 0);
    assert_int_equal(both.other.y[N - 1], both.other.x[N - 1] + 1);
    skua_pool_future_free(both.first.future);
    skua_pool_future_free(both.other.future);
    skua_buffer_free(both.buffer);
    close_pool(self);
}

static void
calibrate(bench *self, shot *s, uint8_t split, int64_t timeout_ms) {
    enum { BUDGET_MS = 60 * 1000 }; /* so that three runs are within it on any machine */
    skua_error err = {0};
    s->launch.split = split;
    s->launch.timeout_ms = timeout_ms;
    if (skua_kernel_calibrate(self->pool, &s->launch, BUDGET_MS, &err)) {
        fail_msg("%s", err.message);
    }
}

/* A device that rests for long, or is gone, does not hold a calibration up, and the cores have theirs. */
static void
test_device_sites_at_rest_are_not_calibrated(void **state) {
    bench *self = *state;
    static shot s;
    for (int gone = 0; gone < 2; gone++) {
        self->rest_ms = gone ? 0 : 3600 * 1000;
        open_pool(self, &(skua__fake_options){0}, "");
        register_as(self, "add", "kernel void add() {}", add_one);
        skua__fake_set_faults(self->fake, &(skua__fake_faults){.loss_at = 1, .absent = gone});
        submit(self, &s, "add", 1, SKUA_ON_DEVICE);
        assert_int_equal(collect(self, &s, NULL), SKUA_E_TASK_FAILED);
        skua_pool_future_free(s.future);
        calibrate(self, &s, 0, 0);
        assert_int_equal(share_at(self, "add", 0).launches, 3);
        assert_int_equal(share_at(self, "add", 1).launches, 0);
        close_pool(self);
    }
}

/* Where a launch goes, whether it is cut, and when it must be over is said of the program's launches, not of tries. */
static void
test_device_sites_are_calibrated_whatever_the_launch_says(void **state) {
    bench *self = *state;
    static shot s;
    for (int timed = 0; timed < 2; timed++) {
        open_pool(self, &(skua__fake_options){0}, "");
        register_as(self, "add", "kernel void add() {}", add_one);
        submit(self, &s, "add", 1, SKUA_ON_CORES);
        assert_int_equal(collect(self, &s, NULL), 0);
        skua_pool_future_free(s.future);
        calibrate(self, &s, timed ? 0 : 1, timed ? SKUA_NONE : 0);
        assert_int_equal(share_at(self, "add", 0).launches, 1); /* that is known */
        assert_int_equal(share_at(self, "add", 1).launches, 4); /* the first to build */
        close_pool(self);
    }
}

static void
test_device_sites_keep_what_they_learned(void **state) {
    bench *self = *state;
    static shot s;
    strcpy(self->dir, "/tmp/skua-test-XXXXXX");
    assert_non_null(mkdtemp(self->dir));
    char path[128];
    snprintf(path, sizeof path, "%s/launches", self->dir);
    struct stat kept;
    for (int run = 0; run < 4; run++) {
        if (run == 2) { /* junk is as good as nothing */
            int file = open(path, O_WRONLY | O_TRUNC);
            assert_true(file >= 0 && write(file, "\x7fnonsense", 9) == 9 && close(file) == 0);
        }
        open_pool(self, &(skua__fake_options){0}, self->dir);
        register_as(self, "add", "kernel void add() {}", add_one_slowly);
        for (int i = 0; i < 30; i++) {
            submit(self, &s, "add", 1, SKUA_ON_ANY);
            assert_int_equal(collect(self, &s, NULL), 0);
            char text[600];
            skua_pool_explain(s.future, text, sizeof text);
            if (i == 0) { /* a run that knows begins with what is fast, and need not try */
                assert_int_equal(run == 1 || run == 3,
                                 strstr(text, "device 0 (") == text && !strstr(text, "tried"));
            }
            skua_pool_future_free(s.future);
        }
        close_pool(self);
        assert_int_equal(stat(path, &kept), 0);
        assert_true(kept.st_size > 100);
    }
    unlink(path);
    rmdir(self->dir);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_device_sites_hold_no_worker_and_cancels_are_immediate,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_are_told_by_explain_and_backends, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_get_what_they_are_faster_at, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_that_fail_leave_their_launches_to_others,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_refuse_what_they_cannot_do, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_device_sites_pinned_launches_fail_and_wait_with_their_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_that_hang_leave_their_launches_to_others,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_that_hang_keep_the_input_of_what_ended,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_launches_refused_at_once_go_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_what_a_flush_brings_about_is_done, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_at_rest_are_not_calibrated, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_are_calibrated_whatever_the_launch_says,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_device_sites_keep_what_they_learned, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
