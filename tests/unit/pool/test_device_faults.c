// SPDX-License-Identifier: MPL-2.0
// Devices of a pool that fail, hang, refuse or are full: what they could not do is done elsewhere exactly once, or told.
#include "add_bench.h"
#include "failing_allocator.h"

#include <sched.h>
#include <skua-int/rand.h>
#include <stdatomic.h>
#include <string.h>

/* An allocator that looks for blocks of one size. */
enum { WATCHED_MAX = 8 };

typedef struct watch {
    skua_allocator hook;
    void (*instead)(
        void *arg); /* is called in place of allocating the first; NULL: it is allocated */
    void *arg;
    atomic_size_t bytes, also;   /* of such sizes; bytes 0: nothing is looked for */
    atomic_uint wanted;          /* so many are looked for yet */
    atomic_uint found, released; /* blocks */
    void *_Atomic blocks[WATCHED_MAX];
} watch;

static void *
watch_allocate(void *ctx, size_t bytes) {
    watch *self = ctx;
    const skua_allocator *hook = skua_allocator_default();
    bool fits = bytes && (bytes == atomic_load(&self->bytes) || bytes == atomic_load(&self->also));
    if (!fits || atomic_load(&self->wanted) == 0) {
        return hook->allocate(hook->ctx, bytes);
    }
    atomic_fetch_sub(&self->wanted, 1);
    if (self->instead) {
        self->instead(self->arg);
        return NULL;
    }
    void *block = hook->allocate(hook->ctx, bytes);
    atomic_store(&self->blocks[atomic_fetch_add(&self->found, 1)], block);
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
    for (int i = 0; i < WATCHED_MAX && block; i++) {
        if (block == atomic_load(&self->blocks[i])) {
            atomic_fetch_add(&self->released, 1);
            atomic_store(&self->blocks[i], NULL); /* its address may come again */
        }
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

/* The next blocks of that size, so many at most. */
static void
watch_for(watch *self, size_t bytes, unsigned count) {
    assert_true(count <= WATCHED_MAX);
    for (int i = 0; i < WATCHED_MAX; i++) {
        atomic_store(&self->blocks[i], NULL);
    }
    atomic_store(&self->found, 0);
    atomic_store(&self->released, 0);
    atomic_store(&self->wanted, count);
    atomic_store(&self->also, 0);
    atomic_store(&self->bytes, bytes);
}

static skua__coded_launch
coded_of(fake_machine *self, const shot *s) {
    skua__coded_launch coded;
    skua_error err = {0};
    const skua__kernel *kernel = skua__kernel_find(self->pool, s->launch.kernel, &err)->kernel;
    assert_int_equal(skua__launch_lay_out(kernel, &s->launch, &coded, &err), 0);
    assert_true(coded.output_bytes != coded.input_bytes);
    return coded;
}

static void
test_device_sites_that_fail_leave_their_launches_to_others(void **state) {
    (void)state;
    fake_machine b;
    open_pool(&b, NULL, NULL);
    register_as(&b, "add", "kernel void add() {}", add_one);
    skua__rand rand = {.state = test_seed(3)};
    static shot shots[MANY];
    uint64_t retried = 0;
    for (int round = 0; round < 5; round++) {
        skua__fake_set_faults(b.fakes[0],
                              &(skua__fake_faults){.loss_at = 1 + skua__rand_below(&rand, 20),
                                                   .memory_at = skua__rand_below(&rand, 10),
                                                   .memory_times = skua__rand_below(&rand, 4),
                                                   .submit_at = skua__rand_below(&rand, 40)});
        for (uint32_t i = 0; i < MANY; i++) {
            submit(&b, &shots[i], "add", i, SKUA_ON_ANY);
        }
        for (uint32_t i = 0; i < MANY; i++) {
            skua_error err = {0};
            if (collect(&b, &shots[i], &err)) {
                fail_msg("launch %u of round %d: %s", i, round, err.message);
            }
            skua_task_result result = {.size = sizeof result};
            assert_int_equal(skua_pool_result(shots[i].future, &result, NULL), 0);
            retried += result.attempts > 1;
            skua_pool_future_free(shots[i].future);
        }
    }
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
    assert_int_equal(counters.submitted, 5 * MANY);
    assert_int_equal(counters.ended[SKUA_OUTCOME_OK], 5 * MANY); /* each once (I1) */
    assert_true(retried > 0);
    assert_true(share_at(&b, "add", 1).failures > 0);
    fake_machine_close(&b);
}

/* What a device refuses for good is done by the cores; without them the words of the device are told. */
static void
test_device_sites_refuse_what_they_cannot_do(void **state) {
    (void)state;
    fake_machine b;
    skua_error err = {0};
    static shot s;
    /* It lies about its memory. */
    open_pool(&b, &(fake_machine_options){.fakes = {{.memory_bytes = 100}}}, NULL);
    register_as(&b, "add", "kernel void add() {}", add_one);
    for (int times = 0; times < 5; times++) {
        submit(&b, &s, "add", 1, SKUA_ON_ANY);
        assert_int_equal(collect(&b, &s, &err), 0);
        skua_pool_future_free(s.future);
    }
    assert_int_equal(share_at(&b, "add", 0).launches, 5);
    fake_machine_close(&b);
    open_pool(&b, NULL, NULL);
    register_as(&b, "broken", "#error", add_one);
    register_as(&b, "broken-only", "#error", NULL);
    for (int times = 0; times < 5; times++) {
        submit(&b, &s, "broken", 1, SKUA_ON_ANY);
        assert_int_equal(collect(&b, &s, &err), 0);
        skua_pool_future_free(s.future);
        submit(&b, &s, "broken-only", 1, SKUA_ON_ANY);
        assert_int_equal(collect(&b, &s, &err), SKUA_E_TASK_FAILED);
        assert_non_null(strstr(err.message, "build"));
        skua_pool_future_free(s.future);
    }
    assert_int_equal(share_at(&b, "broken", 0).launches, 5);
    fake_machine_close(&b);
}

static void
test_device_sites_pinned_launches_fail_and_wait_with_their_device(void **state) {
    (void)state;
    fake_machine b;
    skua_error err = {0};
    static shot s;
    open_pool(&b, NULL, NULL);
    register_as(&b, "add", "kernel void add() {}", add_one);
    skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.loss_at = 1});
    submit(&b, &s, "add", 1, SKUA_ON_DEVICE);
    assert_int_equal(collect(&b, &s, &err), SKUA_E_TASK_FAILED);
    assert_non_null(strstr(err.message, "device"));
    skua_pool_future_free(s.future);
    submit(&b, &s, "add", 1, SKUA_ON_DEVICE); /* it finds the device at rest, and waits for it */
    assert_int_equal(collect(&b, &s, &err), 0);
    skua_pool_future_free(s.future);
    fake_machine_close(&b);
}

/*
 * What hangs, and what the device was given behind it, is done by the cores; a launch that only the device may run is told; and
 * a new context serves the next.
 */
static void
test_device_sites_that_hang_leave_their_launches_to_others(void **state) {
    (void)state;
    fake_machine b;
    static shot shots[MANY], pinned;
    skua_error err = {0};
    /* So long that no busy machine makes another launch late. */
    open_pool(&b, &(fake_machine_options){.hang_ms = 3000},
              SKUA_POOL_OPTIONS(.quarantine_ms = SKUA_NONE));
    register_as(&b, "add", "kernel void add() {}", add_one);
    skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.hang_at = 1});
    submit(&b, &pinned, "add", 7, SKUA_ON_DEVICE);
    for (uint32_t i = 0; i < MANY; i++) {
        submit(&b, &shots[i], "add", i, SKUA_ON_ANY);
    }
    assert_int_equal(collect(&b, &pinned, &err), SKUA_E_TASK_FAILED);
    skua_pool_future_free(pinned.future);
    for (uint32_t i = 0; i < MANY; i++) {
        if (collect(&b, &shots[i], &err)) {
            fail_msg("launch %u: %s", i, err.message);
        }
        skua_pool_future_free(shots[i].future);
    }
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
    assert_int_equal(counters.ended[SKUA_OUTCOME_OK], MANY);
    assert_int_equal(counters.infrastructure_failures > 0, 1);
    skua__engine *engine = NULL;
    assert_int_equal(skua__devices_engine(b.devices, 0, &engine, NULL), 0);
    skua__engine_counters told;
    skua__engine_counters_get(engine, &told);
    assert_int_equal(told.hangs, 1);
    submit(&b, &pinned, "add", 9, SKUA_ON_DEVICE); /* which waits for the device's rest to end */
    assert_int_equal(collect(&b, &pinned, &err), 0);
    skua_pool_future_free(pinned.future);
    fake_machine_close(&b);
}

/* The size of the block in which a launch that was prepared has its input, and all that was made ready for it. */
static size_t
block_bytes(fake_machine *self, const shot *s) {
    skua_error err = {0};
    const skua__coded_launch coded = coded_of(self, s);
    skua__launch_task *same =
        skua__launch_task_new(skua__kernel_find(self->pool, s->launch.kernel, &err), &coded);
    assert_non_null(same);
    assert_non_null(same->input_room);
    size_t bytes = skua__launch_future(same)->block_bytes;
    skua__launch_task_free(self->pool->hook, same);
    return bytes;
}

/* The driver that hangs may yet use the memory of a launch that has ended by it, and that no copy was made of. */
static void
test_device_sites_that_hang_keep_the_input_of_what_ended(void **state) {
    (void)state;
    fake_machine b;
    static shot s;
    skua_error err = {0};
    watch seen;
    watch_init(&seen);
    for (int round = 0; round < 4; round++) {
        bool ready = round & 1, output = round & 2; /* made ready before it is submitted, or not */
        /* So long that no busy machine makes the launch before it late. */
        open_pool(&b, &(fake_machine_options){.hang_ms = 2000},
                  SKUA_POOL_OPTIONS(.allocator = &seen.hook));
        register_as(&b, "add", "kernel void add() {}", add_one);
        if (ready) {
            submit(&b, &s, "add", 1, SKUA_ON_DEVICE);
            assert_int_equal(collect(&b, &s, &err), 0);
            skua_pool_future_free(s.future);
        }
        prepare(&s, "add", 7, SKUA_ON_DEVICE);
        bool alone = output && !ready; /* it is no part of the launch's block */
        watch_for(&seen, alone ? coded_of(&b, &s).output_bytes : block_bytes(&b, &s), 1);
        skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.hang_at = 1});
        submit(&b, &s, "add", 7, SKUA_ON_DEVICE);
        assert_int_equal(collect(&b, &s, &err), SKUA_E_TASK_FAILED);
        skua_pool_future_free(s.future);
        fake_machine_close(&b);
        assert_int_equal(atomic_load(&seen.found), 1);
        assert_int_equal(atomic_load(&seen.released), 0);
        watch_for(&seen, 0, 0);
    }
}

/* Each device hangs in turn: each has a copy of its own, which it keeps, and after the third nobody tries again. */
static void
test_device_sites_that_all_hang_keep_a_copy_each(void **state) {
    (void)state;
    fake_machine b;
    static shot s;
    skua_error err = {0};
    watch seen;
    watch_init(&seen);
    open_pool(&b, &(fake_machine_options){.count = 3, .hang_ms = 50, .rest_ms = 3600 * 1000},
              SKUA_POOL_OPTIONS(.allocator = &seen.hook));
    register_as(&b, "add", "kernel void add() {}", NULL);
    for (int i = 0; i < b.count; i++) {
        skua__fake_set_faults(b.fakes[i], &(skua__fake_faults){.hang_at = 1});
    }
    prepare(&s, "add", 7, SKUA_ON_ANY);
    size_t first_bytes = block_bytes(&b, &s); /* with the first device's; the others' lie alone */
    watch_for(&seen, coded_of(&b, &s).input_bytes, WATCHED_MAX);
    atomic_store(&seen.also, first_bytes);
    submit(&b, &s, "add", 7, SKUA_ON_ANY);
    assert_int_equal(collect(&b, &s, &err), SKUA_E_TASK_FAILED);
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_result(s.future, &result, NULL), 0);
    assert_int_equal(result.outcome, SKUA_OUTCOME_LOST);
    assert_int_equal(result.attempts, 3);
    assert_non_null(strstr(result.message, "not tried again"));
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
    assert_int_equal(counters.poisoned, 1);
    skua_pool_future_free(s.future);
    fake_machine_close(&b);
    assert_int_equal(atomic_load(&seen.found), 3);
    assert_int_equal(atomic_load(&seen.released), 0);
}

static void
free_filler(skua__launch *launch, skua_status status) {
    (void)status;
    skua__launch_free(launch);
}

/* A launch that is handed over as it is placed, and that the engine refuses: it waits, goes again, and ends once. */
static void
test_device_sites_launches_refused_at_once_go_again(void **state) {
    (void)state;
    fake_machine b;
    skua_error err = {0};
    static shot warm, s;
    open_pool(&b, NULL, NULL);
    register_as(&b, "add", "kernel void add() {}", add_one);
    submit(&b, &warm, "add", 1, SKUA_ON_DEVICE); /* the next one is made ready for a device */
    assert_int_equal(collect(&b, &warm, &err), 0);
    skua_pool_future_free(warm.future);
    skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.hang_at = 1});
    skua__engine *engine = NULL;
    assert_int_equal(skua__devices_engine(b.devices, 0, &engine, NULL), 0);
    const skua__kernel *kernel = skua__kernel_find(b.pool, "add", &err)->kernel;
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
    submit(&b, &s, "add", 1, SKUA_ON_DEVICE);
    assert_int_equal(skua_pool_wait(s.future, SKUA_NONE, NULL), SKUA_E_TIMEOUT);
    skua__fake_unhang(b.fakes[0]);
    assert_int_equal(collect(&b, &s, &err), 0);
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_result(s.future, &result, NULL), 0);
    assert_true(result.attempts > 1);
    skua_pool_future_free(s.future);
    while (skua__engine_under_way(engine)) {
        sched_yield();
    }
    fake_machine_close(&b);
}

/* The two launches of the next test. The first reads a buffer on the second device, the other writes it on the first. */
typedef struct pair {
    fake_machine *bench;
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
    assert_int_equal(skua__launch_check(entry->kernel, &s->launch, &err), 0);
    skua__coded_launch coded = coded_of(self->bench, s);
    skua__launch_task *task = skua__launch_task_new(entry, &coded);
    assert_non_null(task);
    task->claim = skua__turn_new(pool, entry->kernel, &coded);
    assert_non_null(task->claim);
    memory->instead = submit_other;
    memory->arg = self;
    watch_for(memory, coded.output_bytes, 1);
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
    (void)state;
    fake_machine b;
    static pair both;
    skua_error err = {0};
    watch memory;
    watch_init(&memory);
    open_pool(&b, &(fake_machine_options){.count = 2},
              SKUA_POOL_OPTIONS(.allocator = &memory.hook));
    register_as(&b, "add", "kernel void add() {}", add_one);
    both.bench = &b;
    assert_int_equal(skua_buffer_new(b.devices, &both.buffer,
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
        skua_kernel_collect(b.pool, &both.other.launch, both.other.future, WAIT_MS, &err), 0);
    assert_int_equal(skua_buffer_read(both.buffer, 0, both.other.y, sizeof both.other.y, &err), 0);
    assert_int_equal(both.other.y[N - 1], both.other.x[N - 1] + 1);
    skua_pool_future_free(both.first.future);
    skua_pool_future_free(both.other.future);
    skua_buffer_free(both.buffer);
    fake_machine_close(&b);
}

/* Whatever fails is told, also when there is no memory left for the words of the device. */
static void
test_device_sites_failures_are_never_without_words(void **state) {
    (void)state;
    failing_allocator allocator;
    long reached = 0;
    for (long n = 1; reached == n - 1; n++) {
        fake_machine b;
        static shot s;
        failing_allocator_init(&allocator, 0);
        open_pool(&b, NULL, SKUA_POOL_OPTIONS(.allocator = &allocator.hook));
        register_as(&b, "add", "kernel void add() {}", add_one);
        skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.loss_at = 1});
        prepare(&s, "add", 1, SKUA_ON_DEVICE);
        long fail_at = atomic_load(&allocator.calls) + n;
        atomic_store(&allocator.fail_at, fail_at);
        if (!skua_kernel_submit(b.pool, &s.launch, &s.future, NULL)) {
            skua_task_result result = {.size = sizeof result};
            assert_int_equal(skua_pool_wait(s.future, WAIT_MS, NULL), 0);
            assert_int_equal(skua_pool_result(s.future, &result, NULL), 0);
            assert_int_not_equal(result.outcome, SKUA_OUTCOME_OK);
            assert_true(result.message[0]);
            skua_pool_future_free(s.future);
        }
        reached += atomic_load(&allocator.calls) >= fail_at;
        fake_machine_close(&b);
        assert_int_equal(atomic_load(&allocator.alive), 0);
    }
    assert_true(reached > 5);
}

/* A device that failed rests, and that is all: the quarantine of nodes, ten seconds long, does not come on top. */
static void
test_device_sites_that_fail_rest_and_are_not_quarantined(void **state) {
    (void)state;
    enum { FAILURES = 5 };
    fake_machine b;
    static shot s;
    open_pool(&b, &(fake_machine_options){.rest_ms = 1}, NULL);
    register_as(&b, "add", "kernel void add() {}", add_one);
    for (uint32_t i = 0; i < FAILURES; i++) {
        skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.loss_at = 1});
        submit(&b, &s, "add", i, SKUA_ON_DEVICE);
        assert_int_equal(collect(&b, &s, NULL), SKUA_E_TASK_FAILED);
        skua_pool_future_free(s.future);
    }
    skua_pool_backend backends[2];
    size_t count = 0;
    assert_int_equal(skua_pool_backends(b.pool, backends, sizeof backends[0], 2, &count, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(backends[i].quarantined_ms, 0);
    }
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
    assert_int_equal(counters.quarantines, 0);
    assert_int_equal(counters.infrastructure_failures, FAILURES);
    skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){0});
    submit(&b, &s, "add", 1, SKUA_ON_DEVICE);
    assert_int_equal(collect(&b, &s, NULL), 0);
    skua_pool_future_free(s.future);
    fake_machine_close(&b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_sites_that_fail_leave_their_launches_to_others),
        cmocka_unit_test(test_device_sites_refuse_what_they_cannot_do),
        cmocka_unit_test(test_device_sites_pinned_launches_fail_and_wait_with_their_device),
        cmocka_unit_test(test_device_sites_that_hang_leave_their_launches_to_others),
        cmocka_unit_test(test_device_sites_that_hang_keep_the_input_of_what_ended),
        cmocka_unit_test(test_device_sites_that_all_hang_keep_a_copy_each),
        cmocka_unit_test(test_device_sites_launches_refused_at_once_go_again),
        cmocka_unit_test(test_device_sites_what_a_flush_brings_about_is_done),
        cmocka_unit_test(test_device_sites_failures_are_never_without_words),
        cmocka_unit_test(test_device_sites_that_fail_rest_and_are_not_quarantined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
