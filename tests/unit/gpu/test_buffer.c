// SPDX-License-Identifier: MPL-2.0
// Buffers: where they are current, what is moved and what is not, whose turn it is, and what becomes of them when
// memory is short or a device goes. Two fake devices and the cores; each count of copies is exact.
#include "engine_fixture.h"
#include "failing_allocator.h"
#include "fake_machine.h"

#include <skua-int/rand.h>

enum { KIB = 1024, MIB = 1024 * 1024, DEVICES = 2 };

/* y[i] += a: reads and writes, so that a step lost or done twice shows in the end. */
static int
add_fn(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *y = call->args[0];
    uint32_t a;
    memcpy(&a, call->args[1], sizeof a);
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] += a;
    }
    return 0;
}

/* y[i] = x[i] + 1 */
static int
next_fn(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *y = call->args[0];
    const uint32_t *x = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = x[i] + 1;
    }
    return 0;
}

static const skua__fake_entry buffer_entries[] = {
    {.name = "add", .fn = add_fn, .guarded = true},
    {.name = "next", .fn = next_fn, .guarded = true},
};

typedef struct setup {
    fake_machine machine;
    skua__engine *engines[DEVICES + 1]; /* the last is NULL: the cores */
    skua__kernel *add, *next;
} setup;

static skua__kernel *
make_kernel(const char *name, skua_kernel_fn fn, const skua_param_kind *params) {
    skua__kernel *kernel = NULL;
    assert_int_equal(skua__kernel_new(NULL, name,
                                      SKUA_KERNEL_SPEC(.source = "fake", .params = params,
                                                       .param_count = 2, .guarded = 1, .fn = fn),
                                      &kernel, NULL),
                     SKUA_OK);
    return kernel;
}

static void
set_up(setup *self, fake_machine_options options) {
    static const skua_param_kind add_params[] = {SKUA_PARAM_INOUT, SKUA_PARAM_VALUE};
    static const skua_param_kind next_params[] = {SKUA_PARAM_OUT, SKUA_PARAM_IN};
    memset(self, 0, sizeof *self);
    options.count = DEVICES;
    options.workers = 1;
    options.entries = buffer_entries;
    options.entry_count = 2;
    fake_machine_open(&self->machine, &options);
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(skua__devices_engine(self->machine.devices, i, &self->engines[i], NULL),
                         SKUA_OK);
    }
    self->add = make_kernel("add", add_fn, add_params);
    self->next = make_kernel("next", next_fn, next_params);
}

static void
tear_down(setup *self) {
    fake_machine_close(&self->machine);
    skua__kernel_free(self->add);
    skua__kernel_free(self->next);
}

static skua_buffer *
new_buffer(setup *self, size_t bytes) {
    return fake_machine_buffer(&self->machine, bytes);
}

/* A launch at a place; place DEVICES is the cores. */
static skua_status
run_add(setup *self, int place, skua_buffer *y, uint32_t a, skua_error *err) {
    size_t bytes = skua_buffer_bytes(y);
    skua_kernel_arg args[] = {{.buffer = y, .bytes = bytes}, {.value = &a, .bytes = sizeof a}};
    return cl_fixture_run(self->engines[place], self->machine.exec, self->add,
                          SKUA_LAUNCH(.kernel = "add", .global = {bytes / sizeof(uint32_t)},
                                      .args = args, .arg_count = 2),
                          err);
}

static skua_status
run_next(setup *self, int place, skua_buffer *y, skua_buffer *x, skua_error *err) {
    size_t bytes = skua_buffer_bytes(y);
    skua_kernel_arg args[] = {{.buffer = y, .bytes = bytes}, {.buffer = x, .bytes = bytes}};
    return cl_fixture_run(self->engines[place], self->machine.exec, self->next,
                          SKUA_LAUNCH(.kernel = "next", .global = {bytes / sizeof(uint32_t)},
                                      .args = args, .arg_count = 2),
                          err);
}

static uint64_t
copies_of(const setup *self) {
    return fake_machine_copies(&self->machine);
}

static void
test_buffer_stays_where_it_was_used(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){0});
    skua_buffer *y = new_buffer(&s, 64 * KIB);
    assert_int_equal(skua__buffer_missing_bytes(y, s.engines[0]), 64 * KIB);
    assert_int_equal(skua__buffer_missing_bytes(y, NULL), 0);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(run_add(&s, 0, y, 1, NULL), SKUA_OK);
    }
    assert_int_equal(copies_of(&s), 1);
    assert_int_equal(buffer_where(y).current_on, 1);
    assert_false(buffer_where(y).on_host);
    assert_int_equal(skua__buffer_missing_bytes(y, s.engines[0]), 0);
    assert_int_equal(skua__buffer_missing_bytes(y, s.engines[1]), 2 * 64 * KIB);
    assert_int_equal(skua__buffer_missing_bytes(y, NULL), 64 * KIB);
    assert_int_equal(buffer_item(y, 0), 100);
    assert_int_equal(buffer_item(y, 16 * KIB - 1), 100);
    assert_int_equal(copies_of(&s), 2); /* once to the host, which has it then too */
    assert_true(buffer_where(y).on_host);
    assert_int_equal(buffer_where(y).current_on, 1);
    /* To the other device through the host, where it is. */
    assert_int_equal(run_add(&s, 1, y, 5, NULL), SKUA_OK);
    assert_int_equal(copies_of(&s), 3);
    assert_int_equal(buffer_where(y).current_on, 2);
    assert_int_equal(buffer_where(y).memory_on, 3);
    /* And back: there and here. */
    assert_int_equal(run_add(&s, 0, y, 5, NULL), SKUA_OK);
    assert_int_equal(copies_of(&s), 5);
    /* The cores work on the host's memory. */
    assert_int_equal(run_add(&s, DEVICES, y, 7, NULL), SKUA_OK);
    assert_int_equal(copies_of(&s), 6);
    assert_int_equal(buffer_where(y).current_on, 0);
    assert_int_equal(buffer_item(y, 3), 117);
    /* What is written whole is moved nowhere before. */
    skua_buffer *z = new_buffer(&s, 64 * KIB);
    assert_int_equal(run_next(&s, 0, z, y, NULL), SKUA_OK);
    assert_int_equal(copies_of(&s), 7);
    assert_int_equal(buffer_item(z, 5), 118);
    skua_buffer_free(y);
    skua_buffer_free(z);
    tear_down(&s);
}

static void
test_buffer_prefetch_spares_the_launch_its_copy(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){0});
    skua_buffer *x = new_buffer(&s, 128 * KIB), *y = new_buffer(&s, 128 * KIB);
    assert_int_equal(skua_buffer_prefetch(x, 1, NULL), SKUA_OK);
    assert_int_equal(skua_buffer_prefetch(x, 0, NULL), SKUA_OK);
    uint32_t value = 9;
    assert_int_equal(skua_buffer_write(x, 0, &value, sizeof value, NULL), SKUA_OK); /* in turn */
    assert_int_equal(copies_of(&s), 2);
    assert_int_equal(buffer_where(x).current_on, 0);
    assert_int_equal(skua_buffer_prefetch(x, 1, NULL), SKUA_OK);
    assert_int_equal(run_next(&s, 1, y, x, NULL), SKUA_OK);
    assert_int_equal(copies_of(&s), 3);
    assert_int_equal(buffer_item(y, 0), 10);
    skua_error err = {0};
    assert_int_equal(skua_buffer_prefetch(x, 7, &err), SKUA_E_NOT_FOUND);
    skua_buffer_free(x);
    skua_buffer_free(y);
    tear_down(&s);
}

static void
test_buffer_of_a_device_that_shares_memory_is_never_copied(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){.unified = {true, false}});
    skua_buffer *y = new_buffer(&s, 3 * MIB);
    void *data = NULL;
    assert_int_equal(skua_buffer_map(y, SKUA_MAP_OVERWRITE, &data, NULL), SKUA_OK);
    ((uint32_t *)data)[7] = 30;
    assert_int_equal(skua_buffer_unmap(y, NULL), SKUA_OK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(run_add(&s, 0, y, 1, NULL), SKUA_OK);
        void *again = NULL;
        assert_int_equal(skua_buffer_map(y, SKUA_MAP_READ_WRITE, &again, NULL), SKUA_OK);
        assert_ptr_equal(again, data);
        ((uint32_t *)again)[7]++;
        assert_int_equal(skua_buffer_unmap(y, NULL), SKUA_OK);
    }
    assert_int_equal(buffer_item(y, 7), 50);
    assert_int_equal(copies_of(&s), 0);
    assert_int_equal(buffer_where(y).shared_on, 1);
    assert_int_equal(skua__buffer_missing_bytes(y, s.engines[0]), 0);
    /* Between one that shares and one that does not. */
    assert_int_equal(run_add(&s, 1, y, 1, NULL), SKUA_OK);
    assert_int_equal(run_add(&s, 0, y, 1, NULL), SKUA_OK);
    assert_int_equal(run_add(&s, 1, y, 1, NULL), SKUA_OK);
    assert_int_equal(buffer_item(y, 7), 53);
    skua_buffer_free(y);
    tear_down(&s);
}

static void
test_buffer_clean_copies_make_way_and_dirty_ones_are_saved(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){.memory_bytes = 16 * MIB}); /* 12 MiB for launches */
    enum { COUNT = 8 };
    skua_buffer *buffers[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        buffers[i] = new_buffer(&s, 3 * MIB);
    }
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            skua_error err = {0};
            if (run_add(&s, 0, buffers[i], i + 1, &err)) {
                fail_msg("%s", err.message);
            }
        }
    }
    assert_true(skua__fake_counts(s.machine.fakes[0]).memory_peak_bytes <= 12 * MIB);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(buffer_item(buffers[i], 100), 3 * (i + 1));
    }
    skua_error err = {0};
    skua_buffer *large = new_buffer(&s, 13 * MIB);
    assert_int_equal(run_add(&s, 0, large, 1, &err), SKUA_E_DEVICE_MEMORY);
    assert_int_equal(run_add(&s, DEVICES, large, 1, &err), SKUA_OK); /* it went elsewhere */
    assert_int_equal(buffer_item(large, 1), 1);
    skua_buffer_free(large);
    for (uint32_t i = 0; i < COUNT; i++) {
        skua_buffer_free(buffers[i]);
    }
    tear_down(&s);
}

static void
test_buffer_of_a_lost_device_says_so_until_it_is_written(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){0});
    skua_buffer *y = new_buffer(&s, 4 * KIB), *clean = new_buffer(&s, 4 * KIB);
    assert_int_equal(run_add(&s, 0, y, 1, NULL), SKUA_OK);
    assert_int_equal(run_next(&s, 0, y, clean, NULL), SKUA_OK);
    skua__fake_set_faults(s.machine.fakes[0], &(skua__fake_faults){.loss_at = 1});
    skua_error err = {0};
    assert_int_equal(run_add(&s, 0, y, 1, &err), SKUA_E_DEVICE_FAILED);
    skua__fake_set_faults(s.machine.fakes[0], &(skua__fake_faults){0});
    assert_true(buffer_where(y).lost);
    assert_false(buffer_where(clean).lost);
    uint32_t value = 0;
    assert_int_equal(skua_buffer_read(y, 0, &value, sizeof value, &err), SKUA_E_DEVICE_FAILED);
    assert_int_equal(run_add(&s, 1, y, 1, &err), SKUA_E_DEVICE_FAILED); /* and is none the worse */
    assert_int_equal(run_add(&s, DEVICES, y, 1, &err), SKUA_E_DEVICE_FAILED);
    assert_int_equal(skua_buffer_write(y, 4, &value, sizeof value, &err), SKUA_E_DEVICE_FAILED);
    static const uint32_t all[KIB] = {41};
    assert_int_equal(skua_buffer_write(y, 0, all, sizeof all, &err), SKUA_OK);
    assert_int_equal(run_add(&s, 1, y, 1, &err), SKUA_OK);
    assert_int_equal(buffer_item(y, 0), 42);
    skua_buffer_free(y);
    skua_buffer_free(clean);
    tear_down(&s);
}

static void
test_buffer_outlives_its_devices(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){.unified = {false, true}});
    skua_buffer *y = new_buffer(&s, MIB), *z = new_buffer(&s, MIB);
    assert_int_equal(run_add(&s, 0, y, 5, NULL), SKUA_OK);
    assert_int_equal(run_add(&s, 1, z, 6, NULL), SKUA_OK);
    skua_devices_close(s.machine.devices);
    s.machine.devices = NULL;
    assert_int_equal(buffer_item(y, 77), 5);
    assert_int_equal(buffer_item(z, 77), 6);
    skua_error err = {0};
    assert_int_equal(skua_buffer_prefetch(y, 0, &err), SKUA_E_CLOSED);
    skua_buffer_free(y);
    skua_buffer_free(z);
    tear_down(&s);
}

/* Whoever waits behind a mapping would wait for ever: the end of the devices ends it, and the buffer is none the worse. */
static void
test_buffer_devices_close_while_launches_wait_for_a_mapped_one(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){0});
    skua_buffer *y = new_buffer(&s, MIB), *z = new_buffer(&s, MIB);
    assert_int_equal(run_add(&s, 0, y, 5, NULL), SKUA_OK);
    void *data = NULL;
    assert_int_equal(skua_buffer_map(y, SKUA_MAP_READ_WRITE, &data, NULL), SKUA_OK);
    assert_int_equal(skua_buffer_prefetch(y, 1, NULL), SKUA_OK);
    skua_kernel_arg args[] = {{.buffer = z, .bytes = MIB}, {.buffer = y, .bytes = MIB}};
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    skua__launch *launch = cl_waiter_launch(
        &waiter, s.next,
        SKUA_LAUNCH(.kernel = "next", .global = {MIB / 4}, .args = args, .arg_count = 2));
    assert_int_equal(skua__engine_submit(s.engines[0], launch, NULL), SKUA_OK);
    skua_devices_close(s.machine.devices);
    s.machine.devices = NULL;
    assert_int_equal(cl_waiter_wait(&waiter, 1), SKUA_E_CANCELLED);
    assert_non_null(strstr(waiter.error.message, "next"));
    skua__launch_free(launch);
    cl_waiter_fini(&waiter);
    assert_int_equal(((uint32_t *)data)[9], 5);
    assert_int_equal(skua_buffer_unmap(y, NULL), SKUA_OK);
    assert_int_equal(buffer_where(y).users, 0);
    assert_int_equal(buffer_item(y, 9), 5);
    skua_buffer_free(y);
    skua_buffer_free(z);
    tear_down(&s);
}

static void
test_buffer_cancel_ends_what_waits_for_its_turn(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){0});
    skua_buffer *y = new_buffer(&s, KIB);
    void *data = NULL;
    assert_int_equal(skua_buffer_map(y, SKUA_MAP_READ_WRITE, &data, NULL), SKUA_OK);
    uint32_t a = 1;
    skua_kernel_arg args[] = {{.buffer = y, .bytes = KIB}, {.value = &a, .bytes = sizeof a}};
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    skua__launch *launch = cl_waiter_launch(
        &waiter, s.add,
        SKUA_LAUNCH(.kernel = "add", .global = {KIB / 4}, .args = args, .arg_count = 2));
    assert_int_equal(skua__engine_submit(s.engines[0], launch, NULL), SKUA_OK);
    skua__engine_cancel(s.engines[0], launch);
    assert_int_equal(cl_waiter_wait(&waiter, 1), SKUA_E_CANCELLED); /* though it is mapped still */
    skua__launch_free(launch);
    cl_waiter_fini(&waiter);
    assert_int_equal(skua_buffer_unmap(y, NULL), SKUA_OK);
    assert_int_equal(run_add(&s, 0, y, 4, NULL), SKUA_OK);
    assert_int_equal(buffer_item(y, 0), 4);
    skua_buffer_free(y);
    tear_down(&s);
}

/*
 * A device that is lost in the middle of a launch that works in the host's memory leaves there what nobody can use; one
 * with memory of its own leaves the host what it had.
 */
static void
test_buffer_half_written_in_place_is_lost_and_elsewhere_is_not(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){.unified = {true, false}});
    for (int device = 0; device < DEVICES; device++) {
        skua_buffer *y = new_buffer(&s, 4 * KIB);
        skua__fake_set_faults(s.machine.fakes[device], &(skua__fake_faults){.loss_at = 1});
        assert_int_equal(run_add(&s, device, y, 1, NULL), SKUA_E_DEVICE_FAILED);
        skua__fake_set_faults(s.machine.fakes[device], &(skua__fake_faults){0});
        assert_int_equal(buffer_where(y).lost, device == 0);
        assert_int_equal(run_add(&s, DEVICES, y, 7, NULL), device ? SKUA_OK : SKUA_E_DEVICE_FAILED);
        if (device) {
            assert_int_equal(buffer_item(y, 1), 7);
        }
        skua_buffer_free(y);
    }
    tear_down(&s);
}

static void
test_buffer_bad_use_is_an_error(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){0});
    skua_error err = {0};
    skua_buffer *y = NULL;
    assert_int_equal(skua_buffer_new(s.machine.devices, &y, SKUA_BUFFER_OPTIONS(.bytes = 0), &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_buffer_new(NULL, &y, SKUA_BUFFER_OPTIONS(.bytes = 1), &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_buffer_new(s.machine.devices, &y, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_null(y);
    y = new_buffer(&s, 1000);
    char bytes[8] = {0};
    assert_int_equal(skua_buffer_write(y, 993, bytes, 8, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_buffer_read(y, 1001, bytes, 0, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_buffer_read(y, SIZE_MAX, bytes, 8, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_buffer_write(y, 1000, NULL, 0, &err), SKUA_OK);
    assert_int_equal(skua_buffer_read(NULL, 0, bytes, 1, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_buffer_unmap(y, &err), SKUA_E_BAD_ARGUMENT);
    void *data = NULL;
    assert_int_equal(skua_buffer_map(y, 4, &data, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_buffer_map(y, SKUA_MAP_READ, &data, &err), SKUA_OK);
    assert_int_equal(skua_buffer_map(y, SKUA_MAP_READ, &data, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_buffer_write(y, 0, bytes, 8, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_buffer_unmap(y, &err), SKUA_OK);
    /* In launches. */
    skua_buffer *x = new_buffer(&s, 1000);
    skua__launch *launch = NULL;
    skua_kernel_arg args[] = {{.buffer = y, .bytes = 1000}, {.buffer = y, .bytes = 1000}};
    skua_launch spec = {
        .size = sizeof spec, .kernel = "next", .global = {250}, .args = args, .arg_count = 2};
    assert_int_equal(skua__launch_new(NULL, s.next, &spec, &launch, &err), SKUA_E_BAD_ARGUMENT);
    args[1] = (skua_kernel_arg){.buffer = x, .bytes = 999};
    assert_int_equal(skua__launch_new(NULL, s.next, &spec, &launch, &err), SKUA_E_BAD_ARGUMENT);
    args[1] = (skua_kernel_arg){.buffer = x, .bytes = 1000, .data = bytes};
    assert_int_equal(skua__launch_new(NULL, s.next, &spec, &launch, &err), SKUA_E_BAD_ARGUMENT);
    skua_devices *others = NULL;
    assert_int_equal(skua_devices_open(&others, SKUA_DEVICES_OPTIONS(.cache_dir = ""), NULL),
                     SKUA_OK);
    skua_buffer *strange = NULL;
    assert_int_equal(skua_buffer_new(others, &strange, SKUA_BUFFER_OPTIONS(.bytes = 1000), &err),
                     SKUA_OK);
    args[1] = (skua_kernel_arg){.buffer = strange, .bytes = 1000};
    assert_int_equal(skua__launch_new(NULL, s.next, &spec, &launch, &err), SKUA_E_BAD_ARGUMENT);
    skua_buffer_free(strange);
    skua_devices_close(others);
    skua_buffer_free(NULL);
    skua_buffer_free(x);
    skua_buffer_free(y);
    tear_down(&s);
}

/*
 * Steps drawn from a seed, at any place, on a few buffers, against arrays that are computed at once. Each launch is
 * submitted without waiting for those before it: their turns alone put them in order.
 */
enum { WALK_BUFFERS = 4, WALK_ITEMS = 3000, WALK_STEPS = 400 };

typedef struct walk {
    setup *s;
    skua_buffer *buffers[WALK_BUFFERS];
    uint32_t shadow[WALK_BUFFERS][WALK_ITEMS];
    cl_waiter waiter;
    uint32_t submitted;
} walk;

static void
walk_done(skua__launch *launch, skua_status status) {
    cl_waiter_done(launch, status);
    skua__launch_free(launch);
}

static void
walk_submit(walk *w, int place, const skua__kernel *kernel, skua_kernel_arg *args) {
    skua__launch *launch = NULL;
    assert_int_equal(skua__launch_new(NULL, kernel,
                                      SKUA_LAUNCH(.kernel = kernel->name, .global = {WALK_ITEMS},
                                                  .args = args, .arg_count = 2),
                                      &launch, NULL),
                     SKUA_OK);
    launch->done = walk_done;
    launch->done_arg = &w->waiter;
    skua_error err = {0};
    if (skua__engine_submit(w->s->engines[place], launch, &err)) {
        fail_msg("%s", err.message);
    }
    w->submitted++;
}

static void
walk_step(walk *w, skua__rand *rand) {
    uint32_t a = skua__rand_below(rand, WALK_BUFFERS);
    uint32_t b = (a + 1 + skua__rand_below(rand, WALK_BUFFERS - 1)) % WALK_BUFFERS;
    int place = (int)skua__rand_below(rand, DEVICES + 1);
    size_t bytes = WALK_ITEMS * sizeof(uint32_t);
    uint32_t value = skua__rand_below(rand, 1000), at = skua__rand_below(rand, WALK_ITEMS);
    switch (skua__rand_below(rand, 8)) {
    case 0:
        assert_int_equal(
            skua_buffer_write(w->buffers[a], at * sizeof value, &value, sizeof value, NULL),
            SKUA_OK);
        w->shadow[a][at] = value;
        return;
    case 1:
        if (w->waiter.status) {
            fail_msg("%s", w->waiter.error.message);
        }
        assert_int_equal(buffer_item(w->buffers[a], at), w->shadow[a][at]);
        return;
    case 2:
        if (place < DEVICES) {
            assert_int_equal(skua_buffer_prefetch(w->buffers[a], (size_t)place, NULL), SKUA_OK);
        }
        return;
    case 3:
    case 4: {
        skua_kernel_arg args[] = {{.buffer = w->buffers[a], .bytes = bytes},
                                  {.buffer = w->buffers[b], .bytes = bytes}};
        if (place < DEVICES) {
            walk_submit(w, place, w->s->next, args);
        } else {
            assert_int_equal(run_next(w->s, place, w->buffers[a], w->buffers[b], NULL), SKUA_OK);
        }
        for (int i = 0; i < WALK_ITEMS; i++) {
            w->shadow[a][i] = w->shadow[b][i] + 1;
        }
        return;
    }
    default: {
        skua_kernel_arg args[] = {{.buffer = w->buffers[a], .bytes = bytes},
                                  {.value = &value, .bytes = sizeof value}};
        if (place < DEVICES) {
            walk_submit(w, place, w->s->add, args);
        } else {
            assert_int_equal(run_add(w->s, place, w->buffers[a], value, NULL), SKUA_OK);
        }
        for (int i = 0; i < WALK_ITEMS; i++) {
            w->shadow[a][i] += value;
        }
    }
    }
}

static void
test_buffer_random_steps_come_to_the_same(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(11)};
    for (int round = 0; round < 8; round++) {
        setup s;
        set_up(&s, (fake_machine_options){.unified = {round & 1, round & 2},
                                          .memory_bytes = round & 4 ? 48 * KIB : 0});
        walk w = {.s = &s};
        cl_waiter_init(&w.waiter);
        for (int i = 0; i < WALK_BUFFERS; i++) {
            w.buffers[i] = new_buffer(&s, WALK_ITEMS * sizeof(uint32_t));
        }
        for (int step = 0; step < WALK_STEPS; step++) {
            walk_step(&w, &rand);
        }
        if (cl_waiter_wait(&w.waiter, w.submitted)) {
            fail_msg("round %d: %s", round, w.waiter.error.message);
        }
        for (int i = 0; i < WALK_BUFFERS; i++) {
            uint32_t now[WALK_ITEMS];
            assert_int_equal(skua_buffer_read(w.buffers[i], 0, now, sizeof now, NULL), SKUA_OK);
            assert_memory_equal(now, w.shadow[i], sizeof now);
            skua_buffer_free(w.buffers[i]);
        }
        cl_waiter_fini(&w.waiter);
        tear_down(&s);
    }
}

/* Threads add to the same buffers at different places at once: no step is lost. */
enum { ADDERS = 4, ADDS = 150 };

typedef struct adder {
    setup *s;
    skua_buffer *a, *b;
    int place;
    int wrong;
} adder;

static void *
add_often(void *arg) {
    adder *self = arg;
    for (int i = 0; i < ADDS; i++) {
        int place = (self->place + i) % (DEVICES + 1);
        self->wrong += run_add(self->s, place, i % 2 ? self->a : self->b, 1, NULL) != SKUA_OK;
    }
    return NULL;
}

static void
test_buffer_of_many_threads_loses_no_step(void **state) {
    (void)state;
    setup s;
    set_up(&s, (fake_machine_options){.unified = {true, false}});
    skua_buffer *a = new_buffer(&s, 4 * KIB), *b = new_buffer(&s, 400 * KIB);
    pthread_t threads[ADDERS];
    adder adders[ADDERS];
    for (int i = 0; i < ADDERS; i++) {
        adders[i] = (adder){.s = &s, .a = a, .b = b, .place = i};
        assert_int_equal(skua__thread_start(&threads[i], "adder", add_often, &adders[i], NULL),
                         SKUA_OK);
    }
    for (int i = 0; i < ADDERS; i++) {
        skua__thread_join(threads[i]);
        assert_int_equal(adders[i].wrong, 0);
    }
    assert_int_equal(buffer_item(a, 9), ADDERS * ADDS / 2);
    assert_int_equal(buffer_item(b, 99999), ADDERS * ADDS / 2);
    skua_buffer_free(a);
    skua_buffer_free(b);
    tear_down(&s);
}

static void
test_buffer_constructors_without_memory(void **state) {
    (void)state;
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
    static const skua_param_kind params[] = {SKUA_PARAM_INOUT, SKUA_PARAM_VALUE};
    skua__kernel *kernel = make_kernel("add", add_fn, params);
    failing_allocator allocator;
    for (long n = 1;; n++) {
        failing_allocator_init(&allocator, n);
        skua__fake *fake = skua__fake_new(&(skua__fake_options){
            .entries = buffer_entries, .entry_count = 2, .clock = SKUA__FAKE_INLINE});
        skua_device_info info = skua__fake_info(1 << 30);
        skua_devices *devices = NULL;
        skua_buffer *y = NULL;
        skua__engine *engine = NULL;
        uint32_t value = 3;
        skua_status status = skua_devices_open(
            &devices, SKUA_DEVICES_OPTIONS(.cache_dir = "", .allocator = &allocator.hook), NULL);
        status = status ? status : skua__devices_add(devices, skua__fake_driver(), fake, &info);
        status = status ? status : skua__devices_engine(devices, 0, &engine, NULL);
        status =
            status ? status : skua_buffer_new(devices, &y, SKUA_BUFFER_OPTIONS(.bytes = 100), NULL);
        status = status ? status : skua_buffer_prefetch(y, 0, NULL);
        skua_kernel_arg args[] = {{.buffer = y, .bytes = 100},
                                  {.value = &value, .bytes = sizeof value}};
        status = status ? status
                        : cl_fixture_run(engine, NULL, kernel,
                                         SKUA_LAUNCH(.kernel = "add", .global = {25}, .args = args,
                                                     .arg_count = 2),
                                         NULL);
        uint32_t got = 0;
        status = status ? status : skua_buffer_read(y, 0, &got, sizeof got, NULL);
        skua_buffer_free(y);
        skua_devices_close(devices);
        skua__fake_free(fake);
        assert_int_equal(atomic_load(&allocator.alive), 0);
        if (status == SKUA_OK) {
            assert_int_equal(got, 3);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
    skua__kernel_free(kernel);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer_stays_where_it_was_used),
        cmocka_unit_test(test_buffer_prefetch_spares_the_launch_its_copy),
        cmocka_unit_test(test_buffer_of_a_device_that_shares_memory_is_never_copied),
        cmocka_unit_test(test_buffer_clean_copies_make_way_and_dirty_ones_are_saved),
        cmocka_unit_test(test_buffer_of_a_lost_device_says_so_until_it_is_written),
        cmocka_unit_test(test_buffer_outlives_its_devices),
        cmocka_unit_test(test_buffer_devices_close_while_launches_wait_for_a_mapped_one),
        cmocka_unit_test(test_buffer_cancel_ends_what_waits_for_its_turn),
        cmocka_unit_test(test_buffer_half_written_in_place_is_lost_and_elsewhere_is_not),
        cmocka_unit_test(test_buffer_bad_use_is_an_error),
        cmocka_unit_test(test_buffer_random_steps_come_to_the_same),
        cmocka_unit_test(test_buffer_of_many_threads_loses_no_step),
        cmocka_unit_test(test_buffer_constructors_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
