// SPDX-License-Identifier: MPL-2.0
// Large copies through pinned blocks on this machine's OpenCL driver, which is made to stage even where it shares the host's
// memory; and the threads that copy for it.
#include "cl_fixture.h"

#include "failing_allocator.h"

#include <gpu/copiers.h>
#include <skua-int/rand.h>

enum { KIB = 1024, MIB = 1024 * 1024, LARGE = 256 * KIB };

static skua_device_info device;

static skua__engine *
open_staged(uint64_t stage_bytes) {
    skua__engine *engine = NULL;
    skua_error err = {0};
    skua__engine_options options = {.driver = skua__cl_driver(),
                                    .info = &device,
                                    .hang_ms = SKUA_UNLIMITED,
                                    .copies = SKUA__COPY_STAGED,
                                    .stage_bytes = stage_bytes};
    if (skua__engine_open(&engine, &options, &err)) {
        fail_msg("%s", err.message);
    }
    return engine;
}

static void
test_cl_staging_every_size_comes_through(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(23)};
    skua__kernel *kernel = saxpy_kernel();
    static const uint64_t blocks[] = {LARGE, 300 * KIB, 2 * MIB};
    for (size_t b = 0; b < 3; b++) {
        skua__engine *engine = open_staged(blocks[b]);
        for (size_t edge = 1; edge <= 4; edge++) {
            for (size_t off = 0; off <= 2; off++) {
                saxpy_check(engine, NULL, kernel, edge * LARGE / 4 - 1 + off, 0);
                saxpy_check(engine, NULL, kernel, edge * blocks[b] / 4 - 1 + off, 1);
            }
        }
        for (int i = 0; i < 10; i++) {
            saxpy_check(engine, NULL, kernel, 1 + skua__rand_below(&rand, MIB), 1);
        }
        const size_t ends[] = {200000, 200001, 900003, MIB};
        saxpy_check_parts(engine, NULL, kernel, MIB, ends, 4);
        skua__engine_counters counters;
        skua__engine_counters_get(engine, &counters);
        assert_int_equal(counters.zero_copies, 0);
        assert_int_equal(counters.failures, 0);
        assert_true(counters.in_bytes > 0);
        skua__engine_close(engine);
    }
    skua__kernel_free(kernel);
}

typedef struct user {
    skua__engine *engine;
    const skua__kernel *kernel;
    size_t n;
} user;

static void *
use(void *arg) {
    const user *self = arg;
    for (int i = 0; i < 8; i++) {
        saxpy_check(self->engine, NULL, self->kernel, self->n, 0);
    }
    return NULL;
}

static void
test_cl_staging_serves_many_threads(void **state) {
    (void)state;
    enum { THREADS = 4 };
    skua__kernel *kernel = saxpy_kernel();
    skua__engine *engine = open_staged(0);
    pthread_t threads[THREADS];
    user users[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        users[i] = (user){.engine = engine, .kernel = kernel, .n = LARGE / 2 + 100000 * i};
        assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    skua__engine_close(engine);
    skua__kernel_free(kernel);
}

/* ---- The threads that copy ---- */

enum { COPIES = 64, COPY_BYTES = 100000 };

typedef struct copies {
    skua__dev_command commands[COPIES];
    _Atomic(uint32_t) good, failed;
    uint8_t *from, *to;
} copies;

typedef struct copies_lock {
    skua__dev_command command;
    skua__mutex lock;
    skua__cond changed;
    bool here, go;
} copies_lock;

static copies all;

static void
count_end(skua__dev_command *command, skua_status status) {
    (void)command;
    assert_true(status == SKUA_OK || status == SKUA_E_DEVICE_FAILED);
    atomic_fetch_add(status ? &all.failed : &all.good, 1);
}

/* Keeps the thread that has copied in its done(). */
static void
stay(skua__dev_command *command, skua_status status) {
    assert_int_equal(status, SKUA_OK);
    copies_lock *self = SKUA_CONTAINER_OF(command, copies_lock, command);
    skua__mutex_lock(&self->lock);
    self->here = true;
    skua__cond_broadcast(&self->changed);
    while (!self->go) {
        skua__cond_wait(&self->changed, &self->lock);
    }
    skua__mutex_unlock(&self->lock);
}

static void
submit_copies(skua__copiers *copiers) {
    memset(all.to, 0, (size_t)COPIES * COPY_BYTES);
    atomic_store(&all.good, 0);
    atomic_store(&all.failed, 0);
    for (size_t i = 0; i < COPIES; i++) {
        all.commands[i].done = count_end;
        skua__copiers_copy(copiers, all.to + i * COPY_BYTES, all.from + i * COPY_BYTES, COPY_BYTES,
                           &all.commands[i]);
    }
}

static void *
let_go(void *arg) {
    copies_lock *locks = arg;
    for (int i = 0; i < COPIERS_MAX; i++) {
        skua__mutex_lock(&locks[i].lock);
        locks[i].go = true;
        skua__cond_broadcast(&locks[i].changed);
        skua__mutex_unlock(&locks[i].lock);
    }
    return NULL;
}

/* Ending them does what waits first; abandoning them does not, but tells of each. */
static void
test_cl_staging_copiers_tell_of_every_copy(void **state) {
    (void)state;
    all.from = malloc((size_t)COPIES * COPY_BYTES);
    all.to = malloc((size_t)COPIES * COPY_BYTES);
    memset(all.from, 7, (size_t)COPIES * COPY_BYTES);
    skua__copiers *copiers = NULL;
    assert_int_equal(skua__copiers_new(NULL, &copiers, NULL), SKUA_OK);
    submit_copies(copiers);
    skua__copiers_free(copiers, false);
    assert_int_equal(atomic_load(&all.good), COPIES);
    assert_memory_equal(all.to, all.from, (size_t)COPIES * COPY_BYTES);
    for (size_t i = 0; i < COPIES; i++) {
        assert_true(all.commands[i].start_ns >= all.commands[i].queued_ns);
        assert_true(all.commands[i].end_ns >= all.commands[i].start_ns);
    }
    /* Every thread is kept busy, so that none of the copies has begun when they are abandoned. */
    assert_int_equal(skua__copiers_new(NULL, &copiers, NULL), SKUA_OK);
    copies_lock locks[COPIERS_MAX];
    for (uint32_t i = 0; i < COPIERS_MAX; i++) {
        locks[i] = (copies_lock){.command.done = stay};
        skua__mutex_init(&locks[i].lock);
        skua__cond_init(&locks[i].changed);
        if (i >= skua__copiers_count()) {
            continue;
        }
        skua__copiers_copy(copiers, all.to, all.from, 1, &locks[i].command);
        skua__mutex_lock(&locks[i].lock);
        while (!locks[i].here) {
            skua__cond_wait(&locks[i].changed, &locks[i].lock);
        }
        skua__mutex_unlock(&locks[i].lock);
    }
    submit_copies(copiers);
    pthread_t helper;
    assert_int_equal(pthread_create(&helper, NULL, let_go, locks), 0);
    skua__copiers_free(copiers, true);
    pthread_join(helper, NULL);
    assert_int_equal(atomic_load(&all.good) + atomic_load(&all.failed), COPIES);
    for (uint32_t i = 0; i < COPIERS_MAX; i++) {
        skua__cond_fini(&locks[i].changed);
        skua__mutex_fini(&locks[i].lock);
    }
    free(all.from);
    free(all.to);
}

/* A copy that there is no memory to note is made by the one who asks. */
static void
test_cl_staging_copiers_copy_without_memory(void **state) {
    (void)state;
    failing_allocator allocator;
    failing_allocator_init(&allocator, 0);
    all.from = malloc((size_t)COPIES * COPY_BYTES);
    all.to = malloc((size_t)COPIES * COPY_BYTES);
    memset(all.from, 9, (size_t)COPIES * COPY_BYTES);
    skua__copiers *copiers = NULL;
    assert_int_equal(skua__copiers_new(&allocator.hook, &copiers, NULL), SKUA_OK);
    atomic_store(&allocator.fail_at, atomic_load(&allocator.calls) + COPIES / 2);
    submit_copies(copiers);
    skua__copiers_free(copiers, false);
    assert_int_equal(atomic_load(&all.good), COPIES);
    assert_memory_equal(all.to, all.from, (size_t)COPIES * COPY_BYTES);
    assert_true(all.commands[COPIES / 2 - 1].end_ns >= all.commands[COPIES / 2 - 1].start_ns);
    assert_int_equal(atomic_load(&allocator.alive), 0);
    free(all.from);
    free(all.to);
}

/* ---- No threads that copy ---- */

/* An allocator that has nothing of one size: that of the copiers, the first thing that they ask for. */
typedef struct sized_allocator {
    skua_allocator hook;
    size_t first, refused; /* bytes */
    _Atomic(uint32_t) refusals;
} sized_allocator;

static void *
sized_allocate(void *ctx, size_t size) {
    sized_allocator *self = ctx;
    if (!self->first) {
        self->first = size; /* by the test's own thread, before there are others */
    }
    bool refuses = self->refused == size;
    atomic_fetch_add(&self->refusals, refuses);
    return refuses ? NULL : malloc(size);
}

/* Copies are then the driver's, in one piece, and that there is nobody to copy is asked once. */
static void
test_cl_staging_is_left_out_without_copiers(void **state) {
    (void)state;
    sized_allocator sized = {.hook = *skua_allocator_default()};
    sized.hook.allocate = sized_allocate;
    sized.hook.ctx = &sized;
    skua__copiers *copiers = NULL;
    assert_int_equal(skua__copiers_new(&sized.hook, &copiers, NULL), SKUA_OK);
    skua__copiers_free(copiers, false);
    skua_error err = {0};
    sized.refused = sized.first; /* before any thread but this one allocates */
    skua__kernel *kernel = saxpy_kernel();
    skua__engine *engine = NULL;
    skua__engine_options options = {.hook = &sized.hook,
                                    .driver = skua__cl_driver(),
                                    .info = &device,
                                    .hang_ms = SKUA_UNLIMITED,
                                    .copies = SKUA__COPY_STAGED};
    if (skua__engine_open(&engine, &options, &err)) {
        fail_msg("%s", err.message);
    }
    saxpy_check(engine, NULL, kernel, 1000, 0); /* small: nothing is staged */
    uint32_t before = atomic_load(&sized.refusals);
    for (int i = 0; i < 3; i++) {
        saxpy_check(engine, NULL, kernel, LARGE, 0);
    }
    assert_int_equal(atomic_load(&sized.refusals) - before, 1);
    skua__engine_close(engine);
    skua__kernel_free(kernel);
}

int
main(void) {
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(test_cl_staging_copiers_tell_of_every_copy),
        cmocka_unit_test(test_cl_staging_copiers_copy_without_memory),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cl_staging_is_left_out_without_copiers),
        cmocka_unit_test(test_cl_staging_every_size_comes_through),
        cmocka_unit_test(test_cl_staging_serves_many_threads),
    };
    int failed = cmocka_run_group_tests_name("copiers", alone, NULL, NULL);
    cl_fixture_device(&device);
    return failed ? failed : cmocka_run_group_tests_name("staging", tests, NULL, NULL);
}
