// SPDX-License-Identifier: MPL-2.0
// I26: nobody is admitted without a valid certificate, over (none, wrong, expired) x every socket of a node; and I24:
// junk on each of them is counted and dropped. (Revoked comes with the security issue.)
#include "children.h"
#include "node_priv.h"
#include "test_fleet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <skua-int/rand.h>
#include <skua/fleet.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

enum { REFUSED_MS = 300 }; /* how long a stranger waits in vain */

/* ---- ZeroMQ sockets ---- */

typedef enum visitor {
    VISITOR_NONE,    /* no CURVE at all */
    VISITOR_WRONG,   /* CURVE with a key of no certificate */
    VISITOR_STRANGE, /* CURVE with a certificate's key of another fleet */
    VISITOR_EXPIRED, /* CURVE with the key of a certificate of this fleet that has run out */
    VISITOR_VALID,   /* to see that the test can see an admission */
    VISITORS,
} visitor;

static const char *const visitor_names[] = {"none", "wrong", "strange", "expired", "valid"};

struct scene {
    skua_node *node;
    skua__curve_keys keys[VISITORS];
    skua__certificate expired;
    void *router; /* a data socket of the node, as a service would have one */
    uint16_t port;
};

static void
scene_open(struct scene *scene) {
    skua_error err;
    char strange[300];
    memset(scene, 0, sizeof *scene);
    scene->node = test_node_open("fort");
    for (int i = 0; i < VISITORS; i++) {
        crypto_box_keypair(scene->keys[i].public, scene->keys[i].secret);
    }
    /* Another fleet's node. */
    snprintf(strange, sizeof strange, "%s/strange", test_fleet_begin());
    skua__credentials other;
    if (access(strange, F_OK)) {
        assert_int_equal(skua_fleet_init(strange, &err), 0);
    }
    assert_int_equal(skua__credentials_read(strange, false, &other, &err), 0);
    assert_int_equal(skua__credentials_self_issue(&other, "stranger", &err), 0);
    scene->keys[VISITOR_STRANGE] = other.curve;
    /* One of ours whose certificate ran out while it was in the table. */
    skua__certificate late = {
        .roles = SKUA__ROLE_ALL, .serial = 7, .issued_s = 1000, .expires_s = 2000, .name = "late"};
    memcpy(late.curve_key, scene->keys[VISITOR_EXPIRED].public, SKUA_KEY_BYTES);
    assert_true(skua__certificate_sign(&late, scene->node->credentials.fleet_secret));
    scene->expired = late;
    skua__admission *admission;
    assert_int_equal(skua__zap_admit(&scene->node->zap, &late, &admission), 0);
    skua__certificate good = late;
    good.issued_s = skua__clock_wall_s();
    good.expires_s = good.issued_s + 3600;
    memcpy(good.curve_key, scene->keys[VISITOR_VALID].public, SKUA_KEY_BYTES);
    assert_true(skua__certificate_sign(&good, scene->node->credentials.fleet_secret));
    assert_int_equal(skua__zap_admit(&scene->node->zap, &good, &admission), 0);

    assert_int_equal(skua__node_socket(scene->node, ZMQ_ROUTER, NULL, &scene->router, &err), 0);
    assert_int_equal(skua__node_bind(scene->node, scene->router, NULL, &scene->port, &err), 0);
}

static void
scene_close(struct scene *scene) {
    zmq_close(scene->router);
    skua_node_close(scene->node);
}

/* Dials the port as that visitor. Returns whether the handshake succeeded within the time. */
static bool
handshake(struct scene *scene, visitor who, uint16_t port) {
    void *ctx = zmq_ctx_new(), *socket = NULL, *monitor = NULL;
    skua_error err;
    skua__socket_config config = {.heartbeat_ms = 1000, .max_bytes = 1024};
    assert_int_equal(
        skua__socket_new(ctx, ZMQ_DEALER, &config, who == VISITOR_NONE ? NULL : &scene->keys[who],
                         who == VISITOR_NONE ? NULL : scene->node->credentials.curve.public,
                         &socket, &err),
        0);
    assert_int_equal(skua__monitor_new(ctx, socket, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, &monitor, &err),
                     0);
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", port);
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    zmq_send(socket, "let me in", 9, ZMQ_DONTWAIT);
    zmq_pollitem_t item = {.socket = monitor, .events = ZMQ_POLLIN};
    bool admitted = zmq_poll(&item, 1, who == VISITOR_VALID ? 5000 : REFUSED_MS) == 1;
    skua__monitor_free(socket, monitor);
    zmq_close(socket);
    zmq_ctx_term(ctx);
    return admitted;
}

static void
test_admission_of_every_visitor_at_every_socket(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene);
    const struct {
        const char *name;
        uint16_t port;
    } sockets[] = {{"control", scene.node->control_port}, {"data", scene.port}};
    for (size_t at = 0; at < sizeof sockets / sizeof sockets[0]; at++) {
        for (int who = 0; who < VISITORS; who++) {
            bool admitted = handshake(&scene, (visitor)who, sockets[at].port);
            if (admitted != (who == VISITOR_VALID)) {
                fail_msg("%s at the %s socket was %s", visitor_names[who], sockets[at].name,
                         admitted ? "admitted" : "refused");
            }
        }
    }
    /* Nothing that a stranger sent was handed on. */
    char bytes[64];
    int frames = 0;
    while (zmq_recv(scene.router, bytes, sizeof bytes, ZMQ_DONTWAIT) >= 0) {
        frames++;
    }
    assert_in_range(frames, 0, 2); /* the valid one's name and word */
    skua_node_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_node_stats(scene.node, &counters, NULL), 0);
    assert_true(counters.zap_refused_unknown >= 4);
    assert_true(counters.zap_refused_expired >= 2);
    scene_close(&scene);
}

/* Waits until a counter has reached a value: the datagrams are on their way. */
static void
await_counter(skua_node *node, size_t counter, uint64_t least) {
    int64_t deadline_ns = skua__deadline_ns(CHILD_WAIT_MS);
    while (atomic_load(&node->counters[counter]) < least) {
        if (skua__clock_ns() > deadline_ns) {
            fail_msg("counter %zu is %llu, not %llu", counter,
                     (unsigned long long)atomic_load(&node->counters[counter]),
                     (unsigned long long)least);
        }
        sched_yield();
    }
}

/* ---- The introduction port ---- */

static int
connect_to(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Sends bytes to the introduction port and reads the answer; returns its size. */
static size_t
ask(uint16_t port, const void *bytes, size_t size, uint8_t *ret, size_t ret_size) {
    int fd = connect_to(port);
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
    size_t used = 0;
    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        assert_true(poll(&item, 1, CHILD_WAIT_MS) == 1);
        ssize_t got = recv(fd, ret + used, ret_size - used, 0);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    close(fd);
    return used;
}

static skua__intro_kind
introduce_as(struct scene *scene, const skua__certificate *certificate, const skua__beacon_key *key,
             skua__intro_result *ret_cause) {
    skua__intro intro = {.kind = SKUA__INTRO_REQUEST,
                         .uuid = {{1, 2, 3}},
                         .incarnation = 5,
                         .control_port = 9,
                         .introduction_port = 9,
                         .certificate = *certificate};
    uint8_t bytes[SKUA__INTRO_MAX], answer[SKUA__INTRO_MAX];
    size_t size = skua__intro_encode(&intro, key, bytes, sizeof bytes);
    assert_true(size > 0);
    size_t got = ask(scene->node->introduction_port, bytes, size, answer, sizeof answer);
    skua__intro reply;
    assert_int_equal(skua__intro_decode(answer, got, &scene->node->fleet,
                                        scene->node->credentials.beacon_keys, 1, &reply),
                     SKUA__INTRO_OK);
    *ret_cause = reply.refusal;
    return reply.kind;
}

static void
test_admission_at_the_introduction_port(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene);
    const skua__beacon_key *ours = &scene.node->credentials.beacon_keys[0];
    skua__intro_result cause = SKUA__INTRO_OK;
    char strange[300];
    skua_error err;
    snprintf(strange, sizeof strange, "%s/strange", test_fleet_begin());
    skua__credentials other;
    assert_int_equal(skua__credentials_read(strange, false, &other, &err), 0);
    assert_int_equal(skua__credentials_self_issue(&other, "stranger", &err), 0);

    /* wrong: another fleet's, sealed with its own key; expired: ours, sealed with ours. */
    assert_int_equal(introduce_as(&scene, &other.certificate, &other.beacon_keys[0], &cause),
                     SKUA__INTRO_REFUSAL);
    assert_int_equal(introduce_as(&scene, &other.certificate, ours, &cause), SKUA__INTRO_REFUSAL);
    assert_int_equal(introduce_as(&scene, &scene.expired, ours, &cause), SKUA__INTRO_REFUSAL);
    assert_int_equal(cause, SKUA__INTRO_BAD_CERTIFICATE);
    /* A certificate of ours that somebody changed. */
    skua__certificate forged = scene.node->credentials.certificate;
    forged.roles ^= 1;
    assert_int_equal(introduce_as(&scene, &forged, ours, &cause), SKUA__INTRO_REFUSAL);
    skua_node_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_node_stats(scene.node, &counters, NULL), 0);
    assert_int_equal(counters.introductions_dropped_certificate, 4);
    assert_int_equal(counters.introductions_served, 0);
    size_t count = 0;
    assert_int_equal(skua_node_peers(scene.node, NULL, 0, 0, &count, NULL), 0);
    assert_int_equal(count, 0);
    scene_close(&scene);
}

/* A socket that listens on loopback; *ret_port is the system's choice. */
static int
listen_somewhere(uint16_t *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* Takes one request of the node's and answers it with this certificate, sealed with the fleet's key. */
static void
answer_as(int listener, const skua_node *node, const skua__certificate *certificate) {
    uint8_t bytes[SKUA__INTRO_MAX];
    size_t used = 0, whole = 0;
    struct pollfd item = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&item, 1, CHILD_WAIT_MS), 1);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    while (whole == 0 || used < whole) {
        ssize_t got = recv(fd, bytes + used, sizeof bytes - used, 0);
        assert_true(got > 0);
        used += (size_t)got;
        whole = skua__intro_size(bytes, used);
    }
    const skua__beacon_key *key = &node->credentials.beacon_keys[0];
    skua__intro request;
    assert_int_equal(skua__intro_decode(bytes, used, &node->fleet, key, 1, &request),
                     SKUA__INTRO_OK);
    skua__intro reply = {.kind = SKUA__INTRO_REPLY,
                         .uuid = {{4, 5, 6}},
                         .incarnation = 5,
                         .control_port = 9,
                         .introduction_port = 9,
                         .certificate = *certificate};
    memcpy(reply.nonce, request.nonce, sizeof reply.nonce);
    size_t size = skua__intro_encode(&reply, key, bytes, sizeof bytes);
    assert_true(size > 0);
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
    close(fd);
}

/* Who answers an introduction must be of the fleet as much as who asks. */
static void
test_admission_of_who_is_asked(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene);
    skua__certificate forged = scene.node->credentials.certificate;
    forged.roles ^= 1;
    const skua__certificate *const bad[] = {&scene.expired, &forged};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint16_t port;
        char name[64];
        int listener = listen_somewhere(&port);
        snprintf(name, sizeof name, "127.0.0.1:%u", port);
        const char *const peers[] = {name};
        skua_node *node = test_node_open_with(
            SKUA_NODE_OPTIONS(.name = "asks", .peers = peers, .peer_count = 1, .no_beacon = 1));
        answer_as(listener, node, bad[i]);
        await_counter(node, SKUA__COUNTER(introductions_dropped_malformed), 1);
        assert_int_equal(atomic_load(&node->counters[SKUA__COUNTER(introductions_made)]), 0);
        size_t count = 0;
        assert_int_equal(skua_node_peers(node, NULL, 0, 0, &count, NULL), 0);
        assert_int_equal(count, 0);
        skua_node_close(node);
        close(listener);
    }
    scene_close(&scene);
}

/* ---- Beacons ---- */

static void
send_beacon(int fd, const void *bytes, size_t size) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(test_fleet_beacon_port())};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK | 0xffffff);
    assert_int_equal(sendto(fd, bytes, size, 0, (struct sockaddr *)&to, sizeof to), size);
}

static void
beacon_as(int fd, const skua__certificate *certificate, const skua__beacon_key *key) {
    skua__beacon beacon = {.uuid = {{9, 9}},
                           .incarnation = 1,
                           .sequence = 1,
                           .control_port = 9,
                           .introduction_port = 9,
                           .certificate = *certificate};
    uint8_t bytes[SKUA__BEACON_MAX];
    size_t size = skua__beacon_encode(&beacon, key, bytes, sizeof bytes);
    assert_true(size > 0);
    send_beacon(fd, bytes, size);
}

static int
beacon_socket(void) {
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on), 0);
    return fd;
}

static void
test_admission_by_beacon(void **state) {
    (void)state;
    struct scene scene;
    scene_open(&scene);
    const skua__beacon_key *ours = &scene.node->credentials.beacon_keys[0];
    char strange[300];
    skua_error err;
    snprintf(strange, sizeof strange, "%s/strange", test_fleet_begin());
    skua__credentials other;
    assert_int_equal(skua__credentials_read(strange, false, &other, &err), 0);
    assert_int_equal(skua__credentials_self_issue(&other, "stranger", &err), 0);
    int fd = beacon_socket();
    beacon_as(fd, &other.certificate, &other.beacon_keys[0]);
    await_counter(scene.node, SKUA__COUNTER(beacons_dropped_fleet), 1);
    beacon_as(fd, &scene.expired, ours);
    await_counter(scene.node, SKUA__COUNTER(beacons_dropped_expired), 1);
    skua__certificate forged = scene.node->credentials.certificate;
    forged.roles ^= 1;
    beacon_as(fd, &forged, ours);
    await_counter(scene.node, SKUA__COUNTER(beacons_dropped_certificate), 1);
    /* Ours, sealed with a key that is not the fleet's. */
    skua__beacon_key false_key = *ours;
    false_key.bytes[0] ^= 1;
    beacon_as(fd, &scene.node->credentials.certificate, &false_key);
    await_counter(scene.node, SKUA__COUNTER(beacons_dropped_mac), 1);
    close(fd);
    size_t count = 0;
    assert_int_equal(skua_node_peers(scene.node, NULL, 0, 0, &count, NULL), 0);
    assert_int_equal(count, 0);
    assert_int_equal(atomic_load(&scene.node->counters[SKUA__COUNTER(dials)]), 0);
    scene_close(&scene);
}

/* ---- Two fleets, and certificates that run out while they are used ---- */

static void
test_admission_two_personal_fleets_do_not_meet(void **state) {
    (void)state;
    char beacon[32], other[300];
    snprintf(beacon, sizeof beacon, "beacon=%u", test_fleet_beacon_port());
    child a, b, c;
    const char *const a_arguments[] = {"name=a", beacon, NULL};
    child_start(&a, NULL, a_arguments);
    child_ready(&a);
    /* Another user: another home, the same port. */
    const char *own = test_fleet_begin();
    char kept[256];
    snprintf(kept, sizeof kept, "%s", own);
    snprintf(other, sizeof other, "%s/other-user", own);
    setenv("XDG_CONFIG_HOME", other, 1);
    char peer[80];
    snprintf(peer, sizeof peer, "peer=%s", a.endpoint);
    const char *const b_arguments[] = {"name=b", beacon, peer, NULL};
    const char *const c_arguments[] = {"name=c", beacon, NULL};
    child_start(&b, NULL, b_arguments);
    child_start(&c, NULL, c_arguments);
    child_ready(&b);
    child_ready(&c);
    setenv("XDG_CONFIG_HOME", kept, 1);
    child_must_say(&b, "JOIN c", CHILD_WAIT_MS, NULL);
    child_must_not_say(&a, "JOIN", 500);
    child_must_miss(&b, 2, "SKUA-E012", "fleet"); /* the named peer is of another fleet */
    child_end(&a);
    child_end(&b);
    child_end(&c);
}

static void
test_admission_ends_when_the_certificate_runs_out(void **state) {
    (void)state;
    char fleet[300], out[400], fleet_argument[420], beacon[32];
    skua_error err;
    snprintf(fleet, sizeof fleet, "%s/short", test_fleet_begin());
    snprintf(beacon, sizeof beacon, "beacon=%u", test_fleet_beacon_port());
    assert_int_equal(skua_fleet_init(fleet, &err), 0);
    assert_int_equal(skua_fleet_issue(fleet,
                                      SKUA_FLEET_ISSUE_OPTIONS(.name = "brief", .expires_s = 5),
                                      out, sizeof out, &err),
                     0);
    child a, b;
    char a_fleet[320];
    snprintf(a_fleet, sizeof a_fleet, "fleet=%s", fleet);
    snprintf(fleet_argument, sizeof fleet_argument, "fleet=%s", out);
    const char *const a_arguments[] = {"name=a", a_fleet, beacon, "interface=lo", NULL};
    const char *const b_arguments[] = {"name=brief", fleet_argument, beacon, "interface=lo", NULL};
    child_start(&a, NULL, a_arguments);
    child_ready(&a);
    child_start(&b, NULL, b_arguments);
    child_ready(&b);
    child_must_say(&a, "JOIN brief", CHILD_WAIT_MS, NULL);
    child_must_say(&a, "LEAVE brief expired", CHILD_WAIT_MS, NULL);
    child_must_not_say(&a, "JOIN", 1500);
    child_end(&a);
    child_end(&b);
}

/* ---- Junk ---- */

static void
test_admission_junk_is_counted_and_dropped(void **state) {
    (void)state;
    enum { ROUNDS = 500 };
    struct scene scene;
    scene_open(&scene);
    skua__rand rand = {.state = test_seed(24)};
    uint8_t bytes[2048];
    int fd = beacon_socket();
    uint64_t sent = 0;
    for (int i = 0; i < ROUNDS; i++) {
        size_t size = skua__rand_below(&rand, 1400);
        for (size_t at = 0; at < size; at++) {
            bytes[at] = (uint8_t)skua__rand_next(&rand);
        }
        send_beacon(fd, bytes, size);
        sent++;
        if (i % 16 == 15) { /* so that the socket's buffer never overflows */
            await_counter(scene.node, SKUA__COUNTER(beacons_dropped_malformed), sent);
        }
    }
    close(fd);
    await_counter(scene.node, SKUA__COUNTER(beacons_dropped_malformed), sent - sent % 16);
    for (int i = 0; i < 60; i++) {
        size_t size = 1 + skua__rand_below(&rand, sizeof bytes - 1);
        for (size_t at = 0; at < size; at++) {
            bytes[at] = (uint8_t)skua__rand_next(&rand);
        }
        const uint16_t ports[] = {scene.node->introduction_port, scene.node->control_port,
                                  scene.port};
        for (size_t port = 0; port < 3; port++) {
            int to = connect_to(ports[port]);
            ssize_t written = send(to, bytes, size, MSG_NOSIGNAL);
            (void)written; /* it may have been cut off already */
            close(to);
        }
    }
    await_counter(scene.node, SKUA__COUNTER(introductions_dropped_malformed), 60);
    /* A slow one is cut after a second and holds nobody up. */
    int slow = connect_to(scene.node->introduction_port);
    await_counter(scene.node, SKUA__COUNTER(introductions_dropped_slow), 1);
    close(slow);
    /* A member who sends nonsense on its control link is not believed either. */
    skua_node *member = test_node_open("member");
    test_node_await(member, 1);
    test_node_await(scene.node, 1);
    skua_node_close(member);
    scene_close(&scene);
}

struct junk_call {
    skua_node *node;
    const uint8_t *bytes;
    size_t size;
};

/* In the member's own node thread: a raw frame on its link to the other. */
static void
send_junk(void *arg) {
    struct junk_call *call = arg;
    SKUA_LIST_EACH(at, &call->node->links) {
        skua__clink *link = SKUA_CONTAINER_OF(at, skua__clink, links);
        if (link->outgoing && link->dealer) {
            zmq_send(link->dealer, call->bytes, call->size, ZMQ_DONTWAIT);
        } else if (!link->outgoing) {
            zmq_send(call->node->router, link->route, link->route_size, ZMQ_SNDMORE | ZMQ_DONTWAIT);
            zmq_send(call->node->router, call->bytes, call->size, ZMQ_DONTWAIT);
        }
    }
}

static void
test_admission_junk_of_a_member_is_counted_and_dropped(void **state) {
    (void)state;
    enum { ROUNDS = 300 };
    skua_node *a = test_node_open("a"), *b = test_node_open("b");
    test_node_await(a, 1);
    test_node_await(b, 1);
    skua__rand rand = {.state = test_seed(25)};
    uint8_t bytes[512];
    for (int i = 0; i < ROUNDS; i++) {
        struct junk_call call = {.node = b, .bytes = bytes};
        call.size = skua__rand_below(&rand, sizeof bytes);
        for (size_t at = 0; at < call.size; at++) {
            bytes[at] = (uint8_t)skua__rand_next(&rand);
        }
        assert_int_equal(skua__host_call(&b->host, send_junk, &call), 0);
    }
    await_counter(a, SKUA__COUNTER(control_dropped_malformed), ROUNDS);
    size_t count = 0;
    assert_int_equal(skua_node_peers(a, NULL, 0, 0, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(atomic_load(&a->counters[SKUA__COUNTER(peers_left)]), 0);
    skua_node_close(a);
    skua_node_close(b);
}

int
main(int argc, char **argv) {
    children_program(argc > 1 ? argv[1] : "");
    test_fleet_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admission_of_every_visitor_at_every_socket),
        cmocka_unit_test(test_admission_at_the_introduction_port),
        cmocka_unit_test(test_admission_of_who_is_asked),
        cmocka_unit_test(test_admission_by_beacon),
        cmocka_unit_test_teardown(test_admission_two_personal_fleets_do_not_meet, children_end_all),
        cmocka_unit_test_teardown(test_admission_ends_when_the_certificate_runs_out,
                                  children_end_all),
        cmocka_unit_test(test_admission_junk_is_counted_and_dropped),
        cmocka_unit_test(test_admission_junk_of_a_member_is_counted_and_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
