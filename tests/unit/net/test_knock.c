// SPDX-License-Identifier: MPL-2.0
// A knock tells a port that is open from one that refuses, from one that was open a moment ago, and from silence.
#include "test.h"

#include "failing_allocator.h"
#include "node_priv.h"
#include <skua-int/clock.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* As much of a node as a knock needs, and what the knock told. */
struct knocked {
    skua_node node;
    _Atomic int calls;
    skua__knock_end end; /* once calls says so */
    int fd;
};

static struct knocked *
begin(const skua_allocator *hook) {
    struct knocked *knocked = calloc(1, sizeof *knocked);
    assert_non_null(knocked);
    knocked->node.hook = hook;
    knocked->fd = -1;
    skua_error err;
    assert_int_equal(skua__host_init(&knocked->node.host, hook, &err), 0);
    return knocked;
}

static void
end(struct knocked *knocked) {
    if (knocked->fd >= 0) {
        close(knocked->fd);
    }
    skua__host_stop(&knocked->node.host);
    skua__host_fini(&knocked->node.host);
    free(knocked);
}

/* A listener at a port of the system's choice. */
static int
listener(uint16_t *ret_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void
told(void *arg, skua__knock_end how, int fd) {
    struct knocked *knocked = arg;
    knocked->end = how;
    knocked->fd = fd;
    atomic_fetch_add_explicit(&knocked->calls, 1, memory_order_release);
}

/* Runs the node's thread until the knock has told. */
static void
run(struct knocked *knocked) {
    skua__host *host = &knocked->node.host;
    skua_error err;
    assert_int_equal(skua__host_start(host, "test-knock", &err), 0);
    int64_t deadline_ns = skua__deadline_ns(20000);
    skua__mutex_lock(&host->lock);
    while (!atomic_load_explicit(&knocked->calls, memory_order_acquire) &&
           skua__clock_ns() < deadline_ns) {
        skua__cond_wait_until(&host->idle, &host->lock, deadline_ns);
    }
    skua__mutex_unlock(&host->lock);
    skua__host_stop(host);
    assert_int_equal(atomic_load_explicit(&knocked->calls, memory_order_relaxed), 1);
}

static void
test_knock_at_an_open_port_gives_its_connection(void **state) {
    (void)state;
    struct knocked *knocked = begin(NULL);
    uint16_t port;
    int fd = listener(&port);
    assert_non_null(skua__knock_begin(&knocked->node, "127.0.0.1", port, 10000, told, knocked));
    run(knocked);
    assert_int_equal(knocked->end, SKUA__KNOCK_OPEN);
    assert_true(knocked->fd >= 0);
    int accepted = accept(fd, NULL, NULL);
    assert_true(accepted >= 0);
    close(accepted);
    close(fd);
    end(knocked);
}

static void
test_knock_at_a_closed_port_is_refused(void **state) {
    (void)state;
    struct knocked *knocked = begin(NULL);
    uint16_t port;
    close(listener(&port));
    assert_non_null(skua__knock_begin(&knocked->node, "127.0.0.1", port, 10000, told, knocked));
    run(knocked);
    assert_int_equal(knocked->end, SKUA__KNOCK_REFUSED);
    assert_int_equal(knocked->fd, -1);
    end(knocked);
}

/*
 * What a process that is killed looks like for a moment: the port takes the connection, and the kernel closes the port before
 * anybody has accepted it. That is no silence: whoever knocked must knock again at once.
 */
static void
test_knock_at_a_dying_port_is_reset(void **state) {
    (void)state;
    struct knocked *knocked = begin(NULL);
    uint16_t port;
    int fd = listener(&port);
    assert_non_null(skua__knock_begin(&knocked->node, "127.0.0.1", port, 10000, told, knocked));
    close(
        fd); /* the connection stands, for on loopback the handshake is over when connect() returns */
    run(knocked);
    assert_int_equal(knocked->end, SKUA__KNOCK_RESET);
    assert_int_equal(knocked->fd, -1);
    end(knocked);
}

static void
test_knock_without_an_answer_is_silence(void **state) {
    (void)state;
    struct knocked *knocked = begin(NULL);
    uint16_t port;
    int fd = listener(&port);
    /* A backlog that is full takes no more handshakes, and says nothing. */
    int fill[16];
    for (int i = 0; i < 16; i++) {
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fill[i] >= 0);
        (void)!connect(fill[i], (struct sockaddr *)&address, sizeof address);
    }
    assert_non_null(skua__knock_begin(&knocked->node, "127.0.0.1", port, 30, told, knocked));
    run(knocked);
    assert_int_equal(knocked->end, SKUA__KNOCK_SILENT);
    for (int i = 0; i < 16; i++) {
        close(fill[i]);
    }
    close(fd);
    end(knocked);
}

static void
test_knock_that_is_given_up_tells_nothing(void **state) {
    (void)state;
    struct knocked *knocked = begin(NULL);
    uint16_t port;
    int fd = listener(&port);
    skua__knock *knock = skua__knock_begin(&knocked->node, "127.0.0.1", port, 10000, told, knocked);
    assert_non_null(knock);
    assert_null(skua__knock_cancel(knock));
    assert_null(skua__knock_cancel(NULL));
    assert_null(skua__knock_begin(&knocked->node, "no address", port, 10000, told, knocked));
    assert_int_equal(atomic_load_explicit(&knocked->calls, memory_order_relaxed), 0);
    close(fd);
    end(knocked);
}

static void
test_knock_without_memory_does_not_begin(void **state) {
    (void)state;
    failing_allocator failing;
    failing_allocator_init(&failing, 0);
    struct knocked *knocked = begin(&failing.hook);
    uint16_t port;
    int fd = listener(&port);
    bool begun = false;
    for (long n = 1; !begun && n < 20; n++) {
        failing.fail_at = failing.calls + n;
        skua__knock *knock =
            skua__knock_begin(&knocked->node, "127.0.0.1", port, 10000, told, knocked);
        begun = knock != NULL;
        skua__knock_cancel(knock);
    }
    assert_true(begun);
    close(fd);
    end(knocked);
    assert_int_equal(failing.alive, 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knock_at_an_open_port_gives_its_connection),
        cmocka_unit_test(test_knock_at_a_closed_port_is_refused),
        cmocka_unit_test(test_knock_at_a_dying_port_is_reset),
        cmocka_unit_test(test_knock_without_an_answer_is_silence),
        cmocka_unit_test(test_knock_that_is_given_up_tells_nothing),
        cmocka_unit_test(test_knock_without_memory_does_not_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
