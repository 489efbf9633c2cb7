// SPDX-License-Identifier: MPL-2.0
// The bounded table of places where launches run: peers that leave give theirs back, one that alone offers a kernel gets one
// however many others there are, and neither takes over what the one before it did.
#include "crew.h"
#include "test_fleet.h"

#include <sched.h>
#include <skua-int/fake_device.h>
#include <skua-int/kernels.h>
#include <skua-int/launch.h>
#include <skua/launch.h>
#include <stdlib.h>
#include <string.h>

enum { N = 64, PEERS = 3, MANY = SKUA__KERNEL_PLACES_MAX + 2 };

static const skua_param_kind params[] = {SKUA_PARAM_OUT};

/* Every work-item's result is the kernel's own number. */
static int
tell(const skua_kernel_call *call, void *arg) {
    uint32_t *out = call->args[0];
    for (uint64_t i = call->begin; i < call->end; i++) {
        out[i] = *(const uint32_t *)arg;
    }
    return 0;
}

static const uint32_t numbers[] = {100, 101, 102, 103};

/* Kernel k is "k0", "k1", ...: the function alone, which devices cannot run. */
static void
offer(skua_pool *pool, int k) {
    char name[8];
    skua_error err = {0};
    snprintf(name, sizeof name, "k%d", k);
    must(skua_kernel_register(pool, name,
                              SKUA_KERNEL_SPEC(.params = params, .param_count = 1, .fn = tell,
                                               .fn_arg = (void *)(uintptr_t)&numbers[k]),
                              &err),
         &err);
}

/* ---- A peer in this process ---- */

typedef struct peer {
    skua_node *node;
    skua_exec *exec;
    skua_pool *pool;
} peer;

static void
peer_open(peer *self, const char *name) {
    skua_error err = {0};
    self->node = test_node_open(name);
    must(skua_exec_open(&self->exec, SKUA_EXEC_OPTIONS(.workers = 1), &err), &err);
    must(skua_pool_open(&self->pool, SKUA_POOL_OPTIONS(.node = self->node, .exec = self->exec),
                        &err),
         &err);
}

static void
peer_close(peer *self) {
    self->pool = skua_pool_close(self->pool);
    self->exec = skua_exec_close(self->exec);
    self->node = skua_node_close(self->node);
}

/* ---- The submitter, whose devices take up places and run nothing ---- */

typedef struct bench {
    skua_devices *devices;
    skua__fake *fakes[MANY];
    int count;
    skua_node *node;
    skua_pool *pool;
} bench;

static void
bench_begin(bench *self, int devices) {
    skua_error err = {0};
    memset(self, 0, sizeof *self);
    must(skua_devices_open(&self->devices, SKUA_DEVICES_OPTIONS(.cache_dir = ""), &err), &err);
    for (; self->count < devices; self->count++) {
        skua_device_info info = skua__fake_info(UINT64_C(1) << 30);
        snprintf(info.name, sizeof info.name, "fake %d", self->count);
        self->fakes[self->count] = skua__fake_new(&(skua__fake_options){.entry_count = 0});
        must(skua__devices_add(self->devices, skua__fake_driver(), self->fakes[self->count], &info),
             &err);
    }
    self->node = test_node_open("submitter");
    must(skua_pool_open(&self->pool,
                        SKUA_POOL_OPTIONS(.node = self->node, .devices = self->devices), &err),
         &err);
    for (int k = 0; k < PEERS; k++) {
        offer(self->pool, k);
    }
}

static void
bench_end(bench *self) {
    skua_pool_close(self->pool);
    skua_devices_close(self->devices);
    skua_node_close(self->node);
    for (int i = 0; i < self->count; i++) {
        skua__fake_free(self->fakes[i]);
    }
}

/* How many peers offer a kernel. */
static void
await_offers(bench *self, int k, size_t peers) {
    char name[8];
    skua_error err = {0};
    snprintf(name, sizeof name, "k%d", k);
    must(skua_pool_await_nodes(self->pool, name, peers, CREW_WAIT_MS, &err), &err);
}

static bool
is_there(bench *self, const char *name) {
    enum { MOST = 32 };
    skua_pool_backend backends[MOST];
    size_t count = 0;
    skua_error err = {0};
    must(skua_pool_backends(self->pool, backends, sizeof backends[0], MOST, &count, &err), &err);
    for (size_t i = 0; i < count && i < MOST; i++) {
        if (strcmp(backends[i].name, name) == 0) {
            return backends[i].alive;
        }
    }
    return false;
}

/* Runs a launch of kernel k; ret_node: on which node. */
static void
launch(bench *self, int k, char ret_node[SKUA_NAME_BYTES]) {
    char name[8];
    uint32_t out[N] = {0};
    const skua_kernel_arg arg = {.data = out, .bytes = sizeof out};
    skua_pool_future *future = NULL;
    skua_error err = {0};
    snprintf(name, sizeof name, "k%d", k);
    const skua_launch spec = {
        .size = sizeof spec, .kernel = name, .global = {N}, .args = &arg, .arg_count = 1};
    must(skua_kernel_submit(self->pool, &spec, &future, &err), &err);
    must(skua_kernel_collect(self->pool, &spec, future, CREW_WAIT_MS, &err), &err);
    for (int i = 0; i < N; i++) {
        assert_int_equal(out[i], numbers[k]);
    }
    snprintf(ret_node, SKUA_NAME_BYTES, "%s", bench_result(future).node);
    skua_pool_future_free(future);
}

static skua_kernel_share
share_at(bench *self, int k, size_t i) {
    char name[8];
    skua_error err = {0};
    skua_kernel_share share = {.size = sizeof share};
    snprintf(name, sizeof name, "k%d", k);
    must(skua_kernel_share_at(self->pool, name, i, &share, &err), &err);
    return share;
}

/* One place is left for three peers, each of which alone offers a kernel: all of their launches are done, again and again. */
static void
test_places_go_to_who_alone_offers_a_kernel(void **state) {
    (void)state;
    enum { PLACE = SKUA__KERNEL_PLACES_MAX - 1, ROUNDS = 4 };
    static const char *const names[PEERS] = {"p0", "p1", "p2"};
    peer peers[PEERS];
    bench b;
    char node[SKUA_NAME_BYTES];
    bench_begin(&b, PLACE - 1);
    for (int k = 0; k < PEERS; k++) {
        peer_open(&peers[k], names[k]);
        offer(peers[k].pool, k);
        await_offers(&b, k, 1);
    }
    for (int i = 0; i < ROUNDS * PEERS; i++) {
        int k = i % PEERS;
        launch(&b, k, node);
        assert_string_equal(node, names[k]);
        /* Whoever has the place now is told of alone, and begins with nothing. */
        skua_kernel_share share = share_at(&b, k, PLACE);
        assert_int_equal(share.device, SKUA_SHARE_PEER);
        assert_string_equal(share.name, names[k]);
        assert_int_equal(share.launches, 1);
        assert_int_equal(share_at(&b, (k + 1) % PEERS, PLACE).launches, 0);
    }
    /* Who keeps it goes on counting. */
    launch(&b, PEERS - 1, node);
    assert_int_equal(share_at(&b, PEERS - 1, PLACE).launches, 2);
    for (int k = 0; k < PEERS; k++) {
        peer_close(&peers[k]);
    }
    bench_end(&b);
}

/* The place of a peer that left goes to one that comes, and not that of one that is there. */
static void
test_places_of_peers_that_left_are_given_first(void **state) {
    (void)state;
    enum { STAYS = SKUA__KERNEL_PLACES_MAX - 1, LEAVES = STAYS - 1 };
    peer leaves, stays, comes;
    bench b;
    char node[SKUA_NAME_BYTES];
    bench_begin(&b, LEAVES - 1);
    peer_open(&leaves, "leaves");
    offer(leaves.pool, 0);
    await_offers(&b, 0, 1);
    launch(&b, 0, node);
    peer_open(&stays, "stays");
    offer(stays.pool, 1);
    await_offers(&b, 1, 1);
    launch(&b, 1, node);
    launch(&b, 0, node); /* who leaves is the one that was chosen last */
    assert_string_equal(share_at(&b, 0, LEAVES).name, "leaves");
    assert_string_equal(share_at(&b, 0, STAYS).name, "stays");
    assert_int_equal(share_at(&b, 0, LEAVES).launches, 2);
    peer_close(&leaves);
    while (is_there(&b, "leaves")) {
        sched_yield();
    }
    peer_open(&comes, "comes");
    offer(comes.pool, 1); /* which another offers too: it is a candidate all the same */
    await_offers(&b, 1, 2);
    launch(&b, 1, node);
    assert_string_equal(share_at(&b, 1, LEAVES).name, "comes");
    assert_string_equal(share_at(&b, 1, STAYS).name, "stays");
    assert_int_equal(share_at(&b, 0, LEAVES).launches, 0);
    assert_int_equal(share_at(&b, 1, LEAVES).launches + share_at(&b, 1, STAYS).launches, 2);
    peer_close(&comes);
    peer_close(&stays);
    bench_end(&b);
}

/* However many devices there are, a peer finds a place. */
static void
test_places_are_not_all_taken_by_devices(void **state) {
    (void)state;
    peer only;
    bench b;
    char node[SKUA_NAME_BYTES];
    bench_begin(&b, MANY);
    peer_open(&only, "only");
    offer(only.pool, 0);
    await_offers(&b, 0, 1);
    launch(&b, 0, node);
    assert_string_equal(node, "only");
    assert_string_equal(share_at(&b, 0, SKUA__KERNEL_PLACES_MAX - 1).name, "only");
    peer_close(&only);
    bench_end(&b);
}

/* Two peers of one name are two places. */
static void
test_places_of_two_peers_of_one_name(void **state) {
    (void)state;
    peer twins[2];
    bench b;
    char node[SKUA_NAME_BYTES];
    bench_begin(&b, 1);
    for (int i = 0; i < 2; i++) {
        peer_open(&twins[i], "twin");
        offer(twins[i].pool, i);
        await_offers(&b, i, 1);
    }
    for (int i = 0; i < 6; i++) {
        launch(&b, i % 2, node);
        assert_string_equal(node, "twin");
    }
    assert_int_equal(share_at(&b, 0, 2).launches + share_at(&b, 0, 3).launches, 3);
    assert_int_equal(share_at(&b, 0, 2).launches * share_at(&b, 0, 3).launches, 0);
    assert_int_equal(share_at(&b, 1, 2).launches * share_at(&b, 1, 3).launches, 0);
    peer_close(&twins[0]);
    peer_close(&twins[1]);
    bench_end(&b);
}

int
main(void) {
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1); /* the only devices are the fake ones */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places_go_to_who_alone_offers_a_kernel),
        cmocka_unit_test(test_places_of_peers_that_left_are_given_first),
        cmocka_unit_test(test_places_are_not_all_taken_by_devices),
        cmocka_unit_test(test_places_of_two_peers_of_one_name),
    };
    cmocka_set_test_filter(getenv("SKUA_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
