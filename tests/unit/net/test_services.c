// SPDX-License-Identifier: MPL-2.0
// Two nodes of one process: offers and watches, identities behind messages, control messages, named peers.
#include "test.h"

#include "failing_allocator.h"
#include "node_priv.h"
#include "test_fleet.h"
#include <skua/fleet.h>

#include <string.h>
#include <zmq.h>

/* What a watch was told, for the test's thread to wait on. */
struct seen {
    skua__mutex lock;
    skua__cond changed;
    int up, down;
    skua__provider last;
};

static void
seen_init(struct seen *seen) {
    memset(seen, 0, sizeof *seen);
    skua__mutex_init(&seen->lock);
    skua__cond_init(&seen->changed);
}

static void
on_provider(void *arg, skua__provider_event event, const skua__provider *provider) {
    struct seen *seen = arg;
    skua__mutex_lock(&seen->lock);
    seen->up += event == SKUA__PROVIDER_UP;
    seen->down += event == SKUA__PROVIDER_DOWN;
    seen->last = *provider;
    skua__cond_broadcast(&seen->changed);
    skua__mutex_unlock(&seen->lock);
}

static void
await_seen(struct seen *seen, int up, int down) {
    int64_t deadline_ns = skua__deadline_ns(10000);
    skua__mutex_lock(&seen->lock);
    while (seen->up < up || seen->down < down) {
        if (!skua__cond_wait_until(&seen->changed, &seen->lock, deadline_ns)) {
            skua__mutex_unlock(&seen->lock);
            fail_msg("saw %d up and %d down, not %d and %d", seen->up, seen->down, up, down);
        }
    }
    skua__mutex_unlock(&seen->lock);
}

static void
test_services_are_seen_in_either_order(void **state) {
    (void)state;
    skua_node *a = test_node_open("a"), *b = test_node_open("b");
    struct seen before, after, own, other_kind;
    seen_init(&before);
    seen_init(&after);
    seen_init(&own);
    seen_init(&other_kind);
    skua__watch *watches[4] = {NULL};
    skua_error err;
    uint32_t first, second;
    assert_int_equal(skua__node_watch(b, SKUA__SERVICE_PUB, "weather", SKUA__ROLE_SUBSCRIBE,
                                      on_provider, &before, &watches[0], &err),
                     0);
    assert_int_equal(skua__node_watch(b, SKUA__SERVICE_REP, "weather", SKUA__ROLE_CALL, on_provider,
                                      &other_kind, &watches[1], &err),
                     0);
    assert_int_equal(skua__node_offer(a, SKUA__SERVICE_PUB, "weather", 3, 1234, SKUA__ROLE_PUBLISH,
                                      &first, &err),
                     0);
    await_seen(&before, 1, 0);
    assert_true(skua__uuid_equal(&before.last.node, skua__node_uuid(a)));
    assert_int_equal(before.last.incarnation, skua__node_incarnation(a));
    assert_int_equal(before.last.port, 1234);
    assert_int_equal(before.last.version, 3);
    assert_string_equal(before.last.name, "a");
    assert_string_equal(before.last.host, "127.0.0.1");
    assert_memory_equal(before.last.curve_key, a->credentials.curve.public, SKUA_KEY_BYTES);

    assert_int_equal(skua__node_watch(b, SKUA__SERVICE_PUB, "weather", 0, on_provider, &after,
                                      &watches[2], &err),
                     0);
    await_seen(&after, 1, 0);
    assert_int_equal(
        skua__node_watch(a, SKUA__SERVICE_PUB, "weather", 0, on_provider, &own, &watches[3], &err),
        0);
    await_seen(&own, 1, 0);

    /* A second one of the same name at another port, then the first is withdrawn. */
    assert_int_equal(skua__node_offer(a, SKUA__SERVICE_PUB, "weather", 3, 1235, SKUA__ROLE_PUBLISH,
                                      &second, &err),
                     0);
    await_seen(&before, 2, 0);
    skua__node_withdraw(a, first);
    await_seen(&before, 2, 1);
    assert_int_equal(before.last.port, 1234);
    await_seen(&own, 2, 1);
    char text[200];
    assert_string_equal(skua__node_offered_text(b, SKUA__SERVICE_PUB, text, sizeof text),
                        "1 peer; offered: weather");
    assert_string_equal(skua__node_offered_text(b, SKUA__SERVICE_REP, text, sizeof text),
                        "1 peer; offered: nothing");

    /* The end of the node is the end of its services. */
    watches[3] = skua__node_unwatch(a, watches[3]);
    skua_node_close(a);
    await_seen(&before, 2, 2);
    await_seen(&after, 2, 2);
    assert_int_equal(other_kind.up + other_kind.down, 0);
    for (int i = 0; i < 3; i++) {
        assert_null(skua__node_unwatch(b, watches[i]));
    }
    assert_null(skua__node_unwatch(b, NULL));
    skua_node_close(b);
}

static void
test_services_need_the_role_and_a_name(void **state) {
    (void)state;
    skua_node *node = test_node_open("roles");
    skua_error err;
    uint32_t offer;
    skua__watch *watch = NULL;
    node->credentials.certificate.roles = SKUA__ROLE_SUBSCRIBE;
    assert_int_equal(
        skua__node_offer(node, SKUA__SERVICE_PUB, "x", 1, 1, SKUA__ROLE_PUBLISH, &offer, &err),
        SKUA_E_NOT_AUTHORISED);
    assert_non_null(strstr(err.message, "skua fleet issue"));
    assert_int_equal(skua__node_watch(node, SKUA__SERVICE_REP, "x", SKUA__ROLE_CALL, on_provider,
                                      NULL, &watch, &err),
                     SKUA_E_NOT_AUTHORISED);
    assert_null(watch);
    assert_int_equal(skua__node_watch(node, SKUA__SERVICE_PUB, "No Name", SKUA__ROLE_SUBSCRIBE,
                                      on_provider, NULL, &watch, &err),
                     SKUA_E_BAD_NAME);
    node->credentials.certificate.roles = SKUA__ROLE_ALL;
    char name[32];
    int offered = 0;
    do {
        snprintf(name, sizeof name, "s%d", offered);
    } while (!skua__node_offer(node, SKUA__SERVICE_PUB, name, 1, 1, 0, &offer, &err) &&
             ++offered <= SKUA_NODE_MAX_SERVICES);
    assert_int_equal(offered, SKUA_NODE_MAX_SERVICES);
    assert_int_equal(err.status, SKUA_E_LIMIT);
    skua_node_close(node);
}

/* A node that offers what its certificate does not allow is not believed by others. */
static void
test_services_of_those_without_the_role_do_not_count(void **state) {
    (void)state;
    char fleet[300], out[400];
    skua_error err;
    snprintf(fleet, sizeof fleet, "%s/roles", test_fleet_begin());
    assert_int_equal(skua_fleet_init(fleet, &err), 0);
    assert_int_equal(
        skua_fleet_issue(fleet, SKUA_FLEET_ISSUE_OPTIONS(.name = "liar", .roles = SKUA_ROLE_SERVE),
                         out, sizeof out, &err),
        0);
    const char *lo[] = {"lo"};
    skua_node *honest =
        test_node_open_with(SKUA_NODE_OPTIONS(.name = "honest", .fleet_dir = fleet,
                                              .interfaces = lo, .interface_count = 1));
    skua_node *liar = test_node_open_with(
        SKUA_NODE_OPTIONS(.fleet_dir = out, .interfaces = lo, .interface_count = 1));
    struct seen lie, truth;
    seen_init(&lie);
    seen_init(&truth);
    skua__watch *watches[2];
    assert_int_equal(
        skua__node_watch(honest, SKUA__SERVICE_PUB, "x", 0, on_provider, &lie, &watches[0], &err),
        0);
    assert_int_equal(
        skua__node_watch(honest, SKUA__SERVICE_REP, "x", 0, on_provider, &truth, &watches[1], &err),
        0);
    uint32_t offer;
    /* Role 0: the liar's own check is left out, as in a library that somebody changed. */
    assert_int_equal(skua__node_offer(liar, SKUA__SERVICE_PUB, "x", 1, 5, 0, &offer, &err), 0);
    assert_int_equal(skua__node_offer(liar, SKUA__SERVICE_REP, "x", 1, 6, 0, &offer, &err), 0);
    await_seen(&truth, 1, 0);
    assert_int_equal(lie.up, 0);
    char text[100];
    assert_non_null(
        strstr(skua__node_offered_text(honest, SKUA__SERVICE_PUB, text, sizeof text), "nothing"));
    skua_node_close(liar);
    await_seen(&truth, 1, 1);
    assert_int_equal(lie.up + lie.down, 0);
    skua__node_unwatch(honest, watches[0]);
    skua__node_unwatch(honest, watches[1]);
    skua_node_close(honest);
}

/* A spell without any memory: nothing breaks, and afterwards the view is right again. */
static void
test_services_survive_a_spell_without_memory(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 0);
    skua_node *poor =
        test_node_open_with(SKUA_NODE_OPTIONS(.name = "poor", .allocator = &hook.hook));
    skua_node *rich = test_node_open("rich");
    test_node_await(poor, 1);
    test_node_await(rich, 1);
    struct seen seen;
    seen_init(&seen);
    skua__watch *watch, *none = NULL;
    skua_error err;
    uint32_t offer, kept;
    assert_int_equal(
        skua__node_watch(poor, SKUA__SERVICE_PUB, "x", 0, on_provider, &seen, &watch, &err), 0);
    assert_int_equal(skua__node_offer(rich, SKUA__SERVICE_PUB, "x", 1, 5, 0, &kept, &err), 0);
    await_seen(&seen, 1, 0);

    atomic_store(&hook.calls, 0);
    atomic_store(&hook.fail_at, 1);
    assert_int_equal(skua__node_offer(poor, SKUA__SERVICE_PUB, "y", 1, 5, 0, &offer, &err),
                     SKUA_E_NO_MEMORY);
    assert_int_equal(
        skua__node_watch(poor, SKUA__SERVICE_PUB, "z", 0, on_provider, &seen, &none, &err),
        SKUA_E_NO_MEMORY);
    assert_null(none);
    assert_int_equal(
        skua__node_control_send(poor, skua__node_uuid(rich), SKUA__CONTROL_POOL, "x", 1),
        SKUA_E_NO_MEMORY);
    assert_int_equal(skua_node_set_capability(poor, "cores", "abcd", 4, &err), SKUA_E_NO_MEMORY);
    /* A newcomer cannot be remembered now. */
    skua_node *late = test_node_open("late");
    test_node_await(late, 1); /* it meets the rich one */
    test_node_await(rich, 2);
    assert_true(atomic_load(&hook.calls) > 4);
    atomic_store(&hook.fail_at, 0);

    test_node_await(poor, 2);
    test_node_await(late, 2);
    assert_int_equal(skua__node_offer(late, SKUA__SERVICE_PUB, "x", 1, 6, 0, &offer, &err), 0);
    await_seen(&seen, 2, 0);
    skua_node_close(late);
    await_seen(&seen, 2, 1);
    skua__node_unwatch(poor, watch);
    skua_node_close(rich);
    skua_node_close(poor);
    assert_int_equal(atomic_load(&hook.alive), 0);
}

/* Polls a socket for one message; returns its size, or -1 after the time limit. */
static int
receive(void *socket, zmq_msg_t *frame, int limit_ms) {
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, limit_ms) != 1) {
        return -1;
    }
    return zmq_msg_recv(frame, socket, 0);
}

static void
test_services_data_sockets_know_who_speaks(void **state) {
    (void)state;
    skua_node *a = test_node_open("speaker"), *b = test_node_open("listener");
    test_node_await(a, 1);
    test_node_await(b, 1);
    skua_error err;
    void *router = NULL, *dealer = NULL;
    uint16_t port = 0;
    assert_int_equal(skua__node_socket(b, ZMQ_ROUTER, NULL, &router, &err), 0);
    assert_int_equal(skua__node_bind(b, router, NULL, &port, &err), 0);
    assert_int_equal(skua__node_socket(a, ZMQ_DEALER, b->credentials.curve.public, &dealer, &err),
                     0);
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", port);
    assert_int_equal(zmq_connect(dealer, endpoint), 0);
    assert_int_equal(zmq_send(dealer, "hi", 2, 0), 2);
    zmq_msg_t route, frame;
    zmq_msg_init(&route);
    zmq_msg_init(&frame);
    assert_true(receive(router, &route, 20000) > 0);
    assert_int_equal(receive(router, &frame, 20000), 2);
    skua__identity who;
    const char *user_id = zmq_msg_gets(&frame, "User-Id");
    assert_true(skua__node_who(b, user_id, &who));
    assert_true(skua__uuid_equal(&who.node, skua__node_uuid(a)));
    assert_string_equal(who.name, "speaker");
    assert_int_equal(who.roles, SKUA__ROLE_ALL);
    assert_int_equal(who.incarnation, skua__node_incarnation(a));
    assert_true(skua__node_who_is(b, user_id, skua__node_uuid(a), &who));
    assert_false(skua__node_who_is(b, user_id, skua__node_uuid(b), &who));
    assert_false(skua__node_who(b, "", &who));
    assert_false(skua__node_who(b, NULL, &who));
    assert_false(skua__node_who(b, "zz", &who));
    char wrong[SKUA__USER_ID_BYTES];
    snprintf(wrong, sizeof wrong, "%s", user_id);
    wrong[0] = wrong[0] == 'a' ? 'b' : 'a';
    assert_false(skua__node_who(b, wrong, &who));
    zmq_msg_close(&route);
    zmq_msg_close(&frame);
    zmq_close(router);
    zmq_close(dealer);
    skua_node_close(a);
    skua_node_close(b);
}

struct inbox {
    skua__mutex lock;
    skua__cond changed;
    int count;
    char text[1025];
    size_t size;
    skua__identity from;
};

static void
on_control(void *arg, const skua__identity *from, const void *bytes, size_t size) {
    struct inbox *inbox = arg;
    skua__mutex_lock(&inbox->lock);
    inbox->count++;
    inbox->from = *from;
    inbox->size = size;
    memcpy(inbox->text, bytes, size);
    skua__cond_broadcast(&inbox->changed);
    skua__mutex_unlock(&inbox->lock);
}

static void
test_services_control_messages_arrive(void **state) {
    (void)state;
    skua_node *a = test_node_open("left"), *b = test_node_open("right");
    test_node_await(a, 1);
    test_node_await(b, 1);
    struct inbox inbox = {.count = 0};
    skua__mutex_init(&inbox.lock);
    skua__cond_init(&inbox.changed);
    skua_error err;
    char big[1025] = {1};
    assert_int_equal(skua__node_control_receive(b, SKUA__CONTROL_POOL, on_control, &inbox, &err),
                     0);
    assert_int_equal(skua__node_control_receive(b, SKUA__CONTROL_POOL, on_control, &inbox, &err),
                     SKUA_E_EXISTS);
    assert_int_equal(
        skua__node_control_send(a, skua__node_uuid(b), SKUA__CONTROL_POOL, "cancel", 6), 0);
    assert_int_equal(skua__node_control_send(a, skua__node_uuid(b), SKUA__CONTROL_POOL, big, 1024),
                     0);
    assert_int_equal(skua__node_control_send(a, skua__node_uuid(b), SKUA__CONTROL_POOL, big, 1025),
                     SKUA_E_TOO_BIG);
    assert_int_equal(skua__node_control_send(a, skua__node_uuid(a), SKUA__CONTROL_POOL, "x", 1),
                     SKUA_E_PEER_LOST);
    int64_t deadline_ns = skua__deadline_ns(20000);
    skua__mutex_lock(&inbox.lock);
    bool in_time = true;
    while (inbox.count < 2 && in_time) {
        in_time = skua__cond_wait_until(&inbox.changed, &inbox.lock, deadline_ns);
    }
    assert_int_equal(inbox.count, 2);
    assert_int_equal(inbox.size, 1024);
    assert_true(skua__uuid_equal(&inbox.from.node, skua__node_uuid(a)));
    skua__mutex_unlock(&inbox.lock);
    assert_int_equal(skua__node_control_receive(b, SKUA__CONTROL_POOL, NULL, NULL, &err), 0);
    skua_node_close(a);
    skua_node_close(b);
}

static void
test_services_named_peers_need_no_beacon(void **state) {
    (void)state;
    /* b knows a by name; c knows only b; so c must learn of a from b. */
    skua_node *a = test_node_open_with(SKUA_NODE_OPTIONS(.name = "a", .no_beacon = 1));
    const char *at_a[] = {skua_node_endpoint(a)};
    skua_node *b = test_node_open_with(
        SKUA_NODE_OPTIONS(.name = "b", .no_beacon = 1, .peers = at_a, .peer_count = 1));
    test_node_await(b, 1);
    const char *at_b[] = {skua_node_endpoint(b)};
    skua_node *c = test_node_open_with(
        SKUA_NODE_OPTIONS(.name = "c", .no_beacon = 1, .peers = at_b, .peer_count = 1));
    test_node_await(c, 2);
    test_node_await(a, 2);
    skua_peer peers[4];
    size_t count = 0;
    assert_int_equal(skua_node_peers(c, peers, sizeof peers[0], 4, &count, NULL), 0);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        bool is_a = strcmp(peers[i].name, "a") == 0;
        assert_int_equal(peers[i].state, SKUA_PEER_ALIVE);
        assert_int_equal(peers[i].size, sizeof peers[i]);
        assert_string_equal(peers[i].endpoint, is_a ? at_a[0] : at_b[0]);
        if (!is_a) {
            assert_int_equal(peers[i].via, SKUA_VIA_STATIC);
        }
    }
    skua_metric_value values[SKUA__METRICS];
    size_t metrics = skua_metrics_snapshot(skua_node_metrics(c), values, SKUA__METRICS);
    int64_t now = 0, joins = 0, refused = 0;
    for (size_t i = 0; i < metrics; i++) {
        now += values[i].info->number == SKUA_M_NODE_PEERS ? values[i].value : 0;
        joins += values[i].info->number == SKUA_M_NODE_JOINS ? values[i].value : 0;
        refused += values[i].info->number == SKUA_M_NODE_AUTH_REFUSED ? values[i].value : 0;
    }
    assert_int_equal(now, 2);
    assert_int_equal(joins, 2);
    assert_true(refused >= 1); /* the self-test */
    /* A caller with an older, shorter struct gets what fits. */
    struct older {
        size_t size;
        char name[SKUA_NODE_NAME_BYTES];
    } older[3] = {{.size = 0}};
    memset(older, 0x5a, sizeof older);
    assert_int_equal(
        skua_node_peers(c, (skua_peer *)(void *)older, sizeof older[0], 2, &count, NULL), 0);
    assert_int_equal(older[0].size, sizeof older[0]);
    assert_int_equal(older[2].name[0], 0x5a);
    skua_node_close(c);
    skua_node_close(b);
    skua_node_close(a);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services_are_seen_in_either_order),
        cmocka_unit_test(test_services_need_the_role_and_a_name),
        cmocka_unit_test(test_services_of_those_without_the_role_do_not_count),
        cmocka_unit_test(test_services_survive_a_spell_without_memory),
        cmocka_unit_test(test_services_data_sockets_know_who_speaks),
        cmocka_unit_test(test_services_control_messages_arrive),
        cmocka_unit_test(test_services_named_peers_need_no_beacon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
