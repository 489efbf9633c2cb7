// SPDX-License-Identifier: MPL-2.0
// One node by itself: what opening refuses and says, memory that fails, forks, signals, and the self-test of ZAP.
#include "test.h"

#include "failing_allocator.h"
#include "node_priv.h"
#include "test_fleet.h"

#include <dirent.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

static int
open_descriptors(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

static void
expect_refused(const skua_node_options *options, skua_status status, const char *word) {
    skua_error err = {.status = 0};
    skua_node *node = NULL;
    assert_int_equal(skua_node_open(&node, options, &err), status);
    assert_null(node);
    assert_int_equal(err.status, status);
    if (!strstr(err.message, word)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, word);
    }
}

static void
test_node_open_refuses_and_says_why(void **state) {
    (void)state;
    test_fleet_begin();
    int descriptors = open_descriptors();
    const char *eth[] = {"eth0"}, *far[] = {"192.0.2.77:1234"}, *nonsense[] = {"a:b:c"};
    expect_refused(SKUA_NODE_OPTIONS(.name = "Not A Name"), SKUA_E_BAD_NAME, "Not A Name");
    expect_refused(SKUA_NODE_OPTIONS(.fleet_dir = "/nowhere"), SKUA_E_NO_FLEET, "skua fleet init");
    expect_refused(SKUA_NODE_OPTIONS(.interfaces = eth, .interface_count = 1), SKUA_E_LOOPBACK_ONLY,
                   "skua fleet init");
    expect_refused(SKUA_NODE_OPTIONS(.peers = far, .peer_count = 1), SKUA_E_LOOPBACK_ONLY,
                   "192.0.2.77");
    expect_refused(SKUA_NODE_OPTIONS(.peers = nonsense, .peer_count = 1), SKUA_E_BAD_ENDPOINT,
                   "a:b:c");
    expect_refused(SKUA_NODE_OPTIONS(.heartbeat_ms = 5), SKUA_E_BAD_ARGUMENT, "heartbeat_ms");
    expect_refused(SKUA_NODE_OPTIONS(.port_first = 5), SKUA_E_BAD_ARGUMENT, "range");
    expect_refused(SKUA_NODE_OPTIONS(.port_first = 9, .port_last = 5), SKUA_E_BAD_ARGUMENT,
                   "range");
    expect_refused(SKUA_NODE_OPTIONS(.protocol_min = 3, .protocol_max = 2), SKUA_E_BAD_ARGUMENT,
                   "protocol_min");
    expect_refused(SKUA_NODE_OPTIONS(.recorder_events = UINT32_MAX), SKUA_E_BAD_ARGUMENT,
                   "recorder_events");
    assert_int_equal(open_descriptors(), descriptors);
    skua_error err;
    assert_int_equal(skua_node_open(NULL, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_null(skua_node_close(NULL));
    assert_int_equal(skua__node_check(NULL, &err), SKUA_E_BAD_ARGUMENT);
}

static void
test_node_ports_are_bounded_by_the_range(void **state) {
    (void)state;
    /* Two ports: one for introductions, one for control; a third node's would not fit. */
    uint16_t first = (uint16_t)(14000 + 4 * (getpid() % 1000));
    const skua_node_options *options =
        SKUA_NODE_OPTIONS(.name = "ports", .port_first = first, .port_last = (uint16_t)(first + 1));
    skua_node *node = test_node_open_with(options);
    assert_in_range(node->introduction_port, first, first + 1);
    assert_in_range(node->control_port, first, first + 1);
    char words[16];
    snprintf(words, sizeof words, "%u", first);
    expect_refused(options, SKUA_E_ADDRESS_IN_USE, words);
    void *socket = NULL;
    uint16_t port;
    skua_error err;
    assert_int_equal(skua__node_socket(node, ZMQ_ROUTER, NULL, &socket, &err), 0);
    assert_int_equal(skua__node_bind(node, socket, NULL, &port, &err), SKUA_E_ADDRESS_IN_USE);
    assert_int_equal(skua__node_bind(node, socket, "tcp://0.0.0.0:*", &port, &err),
                     SKUA_E_LOOPBACK_ONLY);
    assert_int_equal(skua__node_bind(node, socket, "tpc://127.0.0.1:*", &port, &err),
                     SKUA_E_BAD_TRANSPORT);
    assert_int_equal(skua__node_bind(node, socket, "tcp://127.0.0.1:*", &port, &err), 0);
    assert_true(port > 0);
    zmq_close(socket);
    assert_int_equal(skua__node_socket(node, 12, NULL, &socket, &err), SKUA_E_BAD_ARGUMENT);
    skua_node_close(node);
}

static void
test_node_without_memory_fails_whole(void **state) {
    (void)state;
    test_fleet_begin();
    skua_error err;
    long n = 1;
    int descriptors = open_descriptors();
    for (;; n++) {
        failing_allocator hook;
        failing_allocator_init(&hook, n);
        skua_node *node = NULL;
        skua_status status = skua_node_open(
            &node,
            SKUA_NODE_OPTIONS(.name = "poor", .allocator = &hook.hook, .recorder_file = "/dev/null",
                              .beacon_port = test_fleet_beacon_port()),
            &err);
        if (!status) {
            atomic_store(&hook.fail_at, 0);
            skua_node_close(node);
            assert_int_equal(atomic_load(&hook.alive), 0);
            break;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
        assert_int_equal(atomic_load(&hook.alive), 0);
    }
    assert_true(n > 15);
    assert_int_equal(open_descriptors(), descriptors);
}

static void
test_node_says_that_it_was_forked(void **state) {
    (void)state;
    skua_node *node = test_node_open("parent");
    pid_t child = fork();
    if (child == 0) {
        size_t count;
        skua_error err;
        skua_node_counters counters = {.size = sizeof counters};
        bool said = skua_node_peers(node, NULL, 0, 0, &count, &err) == SKUA_E_FORKED &&
                    skua_node_await_peers(node, 1, 1, &err) == SKUA_E_FORKED &&
                    skua_node_stats(node, &counters, &err) == SKUA_E_FORKED &&
                    strstr(err.message, "fork");
        skua_node_close(node);
        _exit(said ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    size_t count;
    assert_int_equal(skua_node_peers(node, NULL, 0, 0, &count, NULL), 0);
    skua_node_close(node);
}

/* Every thread but this one blocks every signal that can be blocked. */
static void
test_node_threads_take_no_signal(void **state) {
    (void)state;
    struct sigaction before[32], after;
    for (int i = 1; i < 32; i++) {
        sigaction(i, NULL, &before[i]);
    }
    skua_node *node = test_node_open("calm");
    for (int i = 1; i < 32; i++) {
        sigaction(i, NULL, &after);
        assert_ptr_equal(before[i].sa_handler, after.sa_handler);
    }
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    int threads = 0;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        if (task->d_name[0] == '.' || atoi(task->d_name) == getpid()) {
            continue;
        }
        char path[300], line[256];
        unsigned long long blocked = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        while (fgets(line, sizeof line, file)) {
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        fclose(file);
        const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD};
        for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
            assert_true(blocked >> (taken[i] - 1) & 1);
        }
        threads++;
    }
    closedir(tasks);
    assert_true(threads >= 4);
    skua_node_close(node);
}

/* A program that forgets its node and returns from main() ends like any other. */
static void
test_node_open_at_exit_harms_nobody(void **state) {
    (void)state;
    test_fleet_begin();
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 2);
        close(pipes[0]);
        close(pipes[1]);
        skua_node *node = NULL;
        if (skua_node_open(&node, SKUA_NODE_OPTIONS(.beacon_port = test_fleet_beacon_port()),
                           NULL)) {
            _exit(3);
        }
        exit(0);
    }
    close(pipes[1]);
    char said[256];
    ssize_t size = read(pipes[0], said, sizeof said);
    close(pipes[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(size, 0); /* nothing of ours prints */
}

static void
test_node_self_test_sees_a_missing_handler(void **state) {
    (void)state;
    skua__curve_keys keys;
    assert_true(sodium_init() >= 0);
    crypto_box_keypair(keys.public, keys.secret);
    void *ctx = zmq_ctx_new(), *other = zmq_ctx_new();
    skua_error err;
    assert_int_equal(skua__zap_self_test(ctx, keys.secret, &err), SKUA_E_NOT_SECURE);
    skua__zap zap;
    assert_int_equal(skua__zap_start(&zap, skua_allocator_default(), ctx, other, &err), 0);
    assert_int_equal(skua__zap_self_test(ctx, keys.secret, &err), 0);
    assert_int_equal(skua__zap_self_test(other, keys.secret, &err), 0);
    assert_int_equal(atomic_load(&zap.counters.refused_unknown), 2);
    /* Somebody else's handler in the context: ours says so instead of trusting it. */
    skua__zap second;
    assert_int_equal(skua__zap_start(&second, skua_allocator_default(), ctx, other, &err),
                     SKUA_E_NOT_SECURE);
    skua__zap_stop(&zap);
    zmq_ctx_term(ctx);
    zmq_ctx_term(other);
}

static void
test_node_proves_the_data_context_before_its_first_server(void **state) {
    (void)state;
    uint8_t key[SKUA_KEY_BYTES] = {1};
    skua_node *node = test_node_open("proof");
    _Atomic uint64_t *refused = &node->zap.counters.refused_unknown;
    assert_int_equal(atomic_load(refused),
                     1); /* in the control context, before the node announced */
    void *client = NULL, *server = NULL, *second = NULL;
    skua_error err;
    assert_int_equal(skua__node_socket(node, ZMQ_DEALER, key, &client, &err), 0);
    assert_int_equal(atomic_load(refused), 1); /* nobody comes in by a client */
    assert_int_equal(skua__node_socket(node, ZMQ_ROUTER, NULL, &server, &err), 0);
    assert_int_equal(atomic_load(refused), 2);
    assert_int_equal(skua__node_socket(node, ZMQ_ROUTER, NULL, &second, &err), 0);
    assert_int_equal(atomic_load(refused), 2);
    zmq_close(client);
    zmq_close(server);
    zmq_close(second);
    skua_node_close(node);
}

static void
test_node_without_a_handler_opens_no_server(void **state) {
    (void)state;
    skua_node *node = test_node_open("unproven");
    skua_error err;
    void *socket = NULL;
    /* As if its handler had died: a CURVE server would now take anybody. */
    skua__zap_stop(&node->zap);
    node->zap_running = false;
    node->self_admission = NULL;
    assert_int_equal(skua__node_socket(node, ZMQ_ROUTER, NULL, &socket, &err), SKUA_E_NOT_SECURE);
    assert_null(socket);
    assert_int_equal(skua__node_socket(node, ZMQ_ROUTER, NULL, &socket, &err), SKUA_E_NOT_SECURE);
    skua_node_close(node);
}

static void
test_node_bounds_capabilities(void **state) {
    (void)state;
    skua_node *node = test_node_open("able");
    skua_error err;
    uint8_t cores[4] = {7, 0, 0, 0}, got[16];
    size_t size = 0;
    assert_int_equal(skua_node_set_capability(node, "cores", cores, 4, &err), 0);
    assert_int_equal(
        skua_node_peer_capability(node, skua_node_id(node), "cores", got, sizeof got, &size, &err),
        0);
    assert_int_equal(size, 4);
    assert_memory_equal(got, cores, 4);
    assert_int_equal(node->record.cores, 7);
    assert_int_equal(skua_node_set_capability(node, "cores", cores, 3, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_node_set_capability(node, "Bad Key", cores, 4, &err), SKUA_E_BAD_NAME);
    assert_int_equal(skua_node_set_capability(node, "devices", "cpu\ngpu", 7, &err), 0);
    assert_int_equal(node->record.devices, 2);
    static const uint8_t big[SKUA_NODE_MAX_CAPABILITY_BYTES + 1];
    assert_int_equal(skua_node_set_capability(node, "big", big, sizeof big, &err), SKUA_E_TOO_BIG);
    assert_int_equal(skua_node_set_capability(node, "devices", NULL, 0, &err), 0);
    assert_int_equal(skua_node_peer_capability(node, skua_node_id(node), "devices", got, sizeof got,
                                               &size, &err),
                     SKUA_E_NOT_FOUND);
    assert_int_equal(
        skua_node_peer_capability(node, "no uuid", "cores", got, sizeof got, &size, &err),
        SKUA_E_BAD_ARGUMENT);
    int set = 0;
    char key[32];
    do {
        snprintf(key, sizeof key, "key-%d", set++);
    } while (set < 100 && !skua_node_set_capability(node, key, "x", 1, &err));
    assert_int_equal(err.status, SKUA_E_LIMIT);
    skua_node_close(node);
}

static void
test_node_waits_for_peers_with_a_reason(void **state) {
    (void)state;
    skua_node *node = test_node_open("lonely");
    skua_error err;
    assert_int_equal(skua_node_await_peers(node, 1, 20, &err), SKUA_E_NO_PEERS);
    assert_non_null(strstr(err.message, "no peers after 0.0"));
    assert_non_null(strstr(err.message, " s on lo, UDP "));
    assert_int_equal(skua_node_await_peers(node, 0, SKUA_NONE, &err), 0);
    skua_node_event event = {.size = sizeof event};
    assert_int_equal(skua_node_next_event(node, &event, 0, &err), SKUA_E_AGAIN);
    assert_int_equal(skua_node_next_event(node, &event, 5, &err), SKUA_E_TIMEOUT);
    event.size = 0;
    assert_int_equal(skua_node_next_event(node, &event, 5, &err), SKUA_E_BAD_ARGUMENT);
    assert_true(skua_node_event_fd(node) >= 0);
    skua_node_close(node);
}

static void
test_node_recording_is_replaced_whole(void **state) {
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s/flight", test_fleet_begin());
    skua_node *node =
        test_node_open_with(SKUA_NODE_OPTIONS(.name = "taped", .recorder_file = path));
    skua_error err;
    assert_int_equal(skua_node_record(node, NULL, &err), 0);
    assert_int_equal(skua_node_record(node, "/nowhere/at/all", &err), SKUA_E_FILE);
    assert_int_equal(unlink(path), 0);
    skua_node_close(node);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    uint8_t bytes[SKUA__FLIGHT_HEADER_BYTES];
    assert_int_equal(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    fclose(file);
    skua__flight_header header;
    assert_true(skua__flight_header_decode(bytes, sizeof bytes, &header));
}

/* libzmq aborts a process that runs out of descriptors: a node says so before. */
static void
test_node_few_descriptors_are_an_error(void **state) {
    (void)state;
    test_fleet_begin();
    int refused = 0, opened = 0;
    for (int room = 0; room <= 80; room += 4) {
        pid_t child = fork();
        if (child == 0) {
            struct rlimit limit = {.rlim_cur = (rlim_t)(open_descriptors() - 3 + room)};
            limit.rlim_max = limit.rlim_cur;
            setrlimit(RLIMIT_NOFILE, &limit);
            skua_node *node = NULL;
            skua_error err;
            skua_status status = skua_node_open(
                &node, SKUA_NODE_OPTIONS(.beacon_port = test_fleet_beacon_port()), &err);
            if (status == 0) {
                skua_node_close(node);
                _exit(0);
            }
            if (status != SKUA_E_DESCRIPTORS) {
                fprintf(stderr, "%s %s\n", err.code, err.message);
            }
            _exit(status == SKUA_E_DESCRIPTORS ? 1 : 2);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
            fail_msg("with room for %d descriptors: status 0x%x", room, (unsigned)status);
        }
        refused += WEXITSTATUS(status) == 1;
        opened += WEXITSTATUS(status) == 0;
    }
    assert_true(refused > 4);
    assert_true(opened > 4);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_open_refuses_and_says_why),
        cmocka_unit_test(test_node_ports_are_bounded_by_the_range),
        cmocka_unit_test(test_node_without_memory_fails_whole),
        cmocka_unit_test(test_node_says_that_it_was_forked),
        cmocka_unit_test(test_node_threads_take_no_signal),
        cmocka_unit_test(test_node_open_at_exit_harms_nobody),
        cmocka_unit_test(test_node_self_test_sees_a_missing_handler),
        cmocka_unit_test(test_node_proves_the_data_context_before_its_first_server),
        cmocka_unit_test(test_node_without_a_handler_opens_no_server),
        cmocka_unit_test(test_node_few_descriptors_are_an_error),
        cmocka_unit_test(test_node_bounds_capabilities),
        cmocka_unit_test(test_node_waits_for_peers_with_a_reason),
        cmocka_unit_test(test_node_recording_is_replaced_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
