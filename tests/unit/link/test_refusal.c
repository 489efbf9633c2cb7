// SPDX-License-Identifier: MPL-2.0
// A provider that answers HELLO with a refusal: who waits for it gets an error that names the reason (I22). Here the
// provider is a bare ROUTER, and the node a stand-in.
#include "test.h"

#include "fake_node.h"
#include <zmq.h>

#include <skua-int/clock.h>
#include <skua-int/frame.h>
#include <skua-int/handle.h>
#include <skua/pubsub.h>
#include <skua/pushpull.h>
#include <skua/reqrep.h>
#include <string.h>

struct scene {
    skua_node *node, *other;
    void *ctx, *router;
    uint32_t offer;
};

static void
scene_open(struct scene *scene, skua__service_kind kind) {
    fake_world_begin();
    scene->node = fake_node_open("a", NULL);
    scene->other = fake_node_open("b", NULL);
    scene->ctx = zmq_ctx_new();
    scene->router = zmq_socket(scene->ctx, ZMQ_ROUTER);
    int one = 1, zero = 0, limit_ms = 20000;
    zmq_setsockopt(scene->router, ZMQ_PROBE_ROUTER, &one, sizeof one);
    zmq_setsockopt(scene->router, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(scene->router, ZMQ_RCVTIMEO, &limit_ms, sizeof limit_ms);
    uint16_t port;
    assert_int_equal(skua__node_bind(scene->other, scene->router, NULL, &port, NULL), 0);
    assert_int_equal(skua__node_offer(scene->other, kind, "work", 1, port, 0, &scene->offer, NULL),
                     0);
}

static void
scene_close(struct scene *scene) {
    skua__node_withdraw(scene->other, scene->offer);
    zmq_close(scene->router);
    zmq_ctx_term(scene->ctx);
    fake_node_close(scene->node);
    fake_node_close(scene->other);
    fake_world_end();
}

/* Waits for a HELLO and answers it. */
static void
answer_hello(struct scene *scene, uint8_t type, uint64_t word, const void *body, size_t size) {
    uint8_t route[64], bytes[2048];
    skua__frame header = {.type = 0};
    int route_size = 0;
    while (header.type != SKUA__FRAME_HELLO) {
        route_size = zmq_recv(scene->router, route, sizeof route, 0);
        assert_true(route_size > 0);
        int got = zmq_recv(scene->router, bytes, sizeof bytes, 0);
        assert_true(got >= 0);
        if (got == 0 || !skua__frame_read(bytes, (size_t)got, &header)) {
            header.type = 0;
        }
    }
    uint64_t epoch = header.word;
    header =
        (skua__frame){.type = type, .session = 7, .word = type == SKUA__FRAME_HELLO ? epoch : word};
    skua__frame_write(&header, bytes);
    if (size) {
        memcpy(bytes + SKUA__FRAME_HEADER_BYTES, body, size);
    }
    assert_int_equal(zmq_send(scene->router, route, (size_t)route_size, ZMQ_SNDMORE), route_size);
    assert_true(zmq_send(scene->router, bytes, SKUA__FRAME_HEADER_BYTES + size, 0) > 0);
}

/* Asks again until the refusal has come: before it has, nobody is known to offer the service. */
static skua_status
await_workers(skua_push *push, skua_error *err) {
    int64_t deadline_ns = skua__deadline_ns(20000);
    skua_status status;
    do {
        status = skua_push_await_workers(push, 1, 20, err);
    } while (status == SKUA_E_NO_PROVIDER && skua__clock_ns() < deadline_ns);
    return status;
}

static void
test_refusal_names_its_reason(void **state) {
    (void)state;
    static const struct {
        skua__reset_reason reason;
        skua_status status;
        const char *word;
    } cases[] = {
        {SKUA__RESET_VERSION, SKUA_E_PROTOCOL_VERSION, "upgrade"},
        {SKUA__RESET_ROLE, SKUA_E_NOT_AUTHORISED, "role"},
        {SKUA__RESET_LIMIT, SKUA_E_LIMIT, "links"},
        {SKUA__RESET_SERVICE, SKUA_E_REFUSED, "reason 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene;
        skua_push *push = NULL;
        skua_error err;
        scene_open(&scene, SKUA__SERVICE_PULL);
        assert_int_equal(skua_push_open(&push, scene.node, "work", NULL, &err), 0);
        answer_hello(&scene, SKUA__FRAME_RESET, cases[i].reason, NULL, 0);
        assert_int_equal(await_workers(push, &err), cases[i].status);
        assert_non_null(strstr(err.message, "\"b\""));
        assert_non_null(strstr(err.message, cases[i].word));
        uint64_t number = 1;
        assert_int_equal(skua_push_send_bytes(push, &number, sizeof number, 20, &err),
                         cases[i].status);
        skua_pattern_stats stats = {.size = sizeof stats};
        assert_int_equal(skua_push_stats(push, &stats, &err), 0);
        assert_int_equal(stats.refused, 1);
        skua_push_close(push);
        scene_close(&scene);
    }
}

static void
test_refusal_is_told_to_who_waits_for_messages(void **state) {
    (void)state;
    struct scene scene;
    skua_sub *sub = NULL;
    skua_error err;
    scene_open(&scene, SKUA__SERVICE_PUB);
    assert_int_equal(skua_sub_open(&sub, scene.node, "work", NULL, &err), 0);
    answer_hello(&scene, SKUA__FRAME_RESET, SKUA__RESET_ROLE, NULL, 0);
    int64_t deadline_ns = skua__deadline_ns(20000);
    skua_status status;
    do {
        skua_msg *msg = NULL;
        status = skua_sub_recv(sub, &msg, 20, &err);
    } while (status == SKUA_E_TIMEOUT && skua__clock_ns() < deadline_ns);
    assert_int_equal(status, SKUA_E_NOT_AUTHORISED);
    skua_sub_close(sub);
    scene_close(&scene);
}

/* A provider of a version to come: then it is us who see that we do not fit. */
static void
test_refusal_is_also_ours(void **state) {
    (void)state;
    struct scene scene;
    skua_push *push = NULL;
    skua_error err;
    scene_open(&scene, SKUA__SERVICE_PULL);
    assert_int_equal(skua_push_open(&push, scene.node, "work", NULL, &err), 0);
    skua__link_hello hello = {.version_min = SKUA__LINK_VERSION_MAX + 1,
                              .version_max = SKUA__LINK_VERSION_MAX + 2,
                              .kind = SKUA__SERVICE_PULL,
                              .name = "work",
                              .window_msgs = 10};
    uint8_t body[512];
    size_t size = skua__hello_write(&hello, body, sizeof body);
    answer_hello(&scene, SKUA__FRAME_HELLO, 0, body, size);
    assert_int_equal(await_workers(push, &err), SKUA_E_PROTOCOL_VERSION);
    skua_push_close(push);
    scene_close(&scene);
}

static void
test_refusal_ends_a_request_by_its_name(void **state) {
    (void)state;
    struct scene scene;
    skua_req *req = NULL;
    skua_error err;
    scene_open(&scene, SKUA__SERVICE_REP);
    assert_int_equal(skua_req_open(&req, scene.node, "work", NULL, &err), 0);
    answer_hello(&scene, SKUA__FRAME_RESET, SKUA__RESET_VERSION, NULL, 0);
    int64_t deadline_ns = skua__deadline_ns(20000);
    skua_status status;
    do {
        skua_msg *msg = skua_msg_of_string("x"), *reply = NULL;
        status = skua_req_call(req, &msg, &reply, 20, &err);
    } while (status == SKUA_E_NO_PROVIDER && skua__clock_ns() < deadline_ns);
    assert_int_equal(status, SKUA_E_PROTOCOL_VERSION);
    assert_int_equal(skua_req_await_provider(req, 20, &err), SKUA_E_PROTOCOL_VERSION);
    skua_req_close(req);
    scene_close(&scene);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusal_names_its_reason),
        cmocka_unit_test(test_refusal_is_told_to_who_waits_for_messages),
        cmocka_unit_test(test_refusal_is_also_ours),
        cmocka_unit_test(test_refusal_ends_a_request_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
