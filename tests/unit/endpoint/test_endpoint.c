// SPDX-License-Identifier: MPL-2.0
// Endpoints: every form that is read, every form that is refused and with which words, and a port that is in use.
#include <zmq.h>

#include "test.h"

#include <skua-int/endpoint.h>
#include <string.h>

static void
test_endpoint_reads_every_form(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool for_bind;
        skua__transport transport;
        const char *host;
        uint16_t port;
        bool loopback;
    } rows[] = {
        {"tcp://127.0.0.1:5999", true, SKUA__TRANSPORT_TCP, "127.0.0.1", 5999, true},
        {"tcp://127.3.2.1:1", false, SKUA__TRANSPORT_TCP, "127.3.2.1", 1, true},
        {"tcp://localhost:65535", false, SKUA__TRANSPORT_TCP, "localhost", 65535, true},
        {"tcp://*:*", true, SKUA__TRANSPORT_TCP, "*", 0, false},
        {"tcp://[::1]:80", true, SKUA__TRANSPORT_TCP, "::1", 80, true},
        {"tcp://[fe80::2]:80", false, SKUA__TRANSPORT_TCP, "fe80::2", 80, false},
        {"tcp://a-host.example:80", false, SKUA__TRANSPORT_TCP, "a-host.example", 80, false},
        {"tcp://192.0.2.1:*", true, SKUA__TRANSPORT_TCP, "192.0.2.1", 0, false},
        {"ipc:///run/x", true, SKUA__TRANSPORT_IPC, "/run/x", 0, true},
        {"inproc://name", false, SKUA__TRANSPORT_INPROC, "name", 0, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        skua__endpoint endpoint;
        skua_error err;
        assert_int_equal(skua__endpoint_parse(rows[i].text, rows[i].for_bind, &endpoint, &err),
                         SKUA_OK);
        assert_int_equal(endpoint.transport, rows[i].transport);
        assert_string_equal(endpoint.text, rows[i].text);
        assert_string_equal(endpoint.host, rows[i].host);
        assert_int_equal(endpoint.port, rows[i].port);
        assert_int_equal(endpoint.loopback, rows[i].loopback);
    }
}

static void
test_endpoint_refuses_and_says_why(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool for_bind;
        skua_status status;
        const char *message; /* a part of it */
    } rows[] = {
        {"tpc://127.0.0.1:5999", true, SKUA_E_BAD_TRANSPORT,
         "unknown transport \"tpc\"; did you mean tcp?"},
        {"gopher://x:1", true, SKUA_E_BAD_TRANSPORT, "unknown transport \"gopher\"; use tcp, ipc"},
        {NULL, true, SKUA_E_BAD_ENDPOINT, "write tcp://HOST:PORT"},
        {"", true, SKUA_E_BAD_ENDPOINT, "write tcp://HOST:PORT"},
        {"127.0.0.1:5999", true, SKUA_E_BAD_ENDPOINT, "\"127.0.0.1:5999\" is no endpoint"},
        {"://x:1", true, SKUA_E_BAD_ENDPOINT, "is no endpoint"},
        {"tcp://127.0.0.1", true, SKUA_E_BAD_ENDPOINT, "has no port; write tcp://HOST:PORT, or *"},
        {"tcp://[::1]", false, SKUA_E_BAD_ENDPOINT, "has no port"},
        {"tcp://127.0.0.1:0", true, SKUA_E_BAD_ENDPOINT, "\"0\" is no port; use 1 to 65535, or *"},
        {"tcp://127.0.0.1:65536", false, SKUA_E_BAD_ENDPOINT, "\"65536\" is no port"},
        {"tcp://127.0.0.1:*", false, SKUA_E_BAD_ENDPOINT, "\"*\" is no port; use 1 to 65535"},
        {"tcp://127.0.0.1:80x", false, SKUA_E_BAD_ENDPOINT, "is no port"},
        {"tcp://127.0.0.1:", false, SKUA_E_BAD_ENDPOINT, "is no port"},
        {"tcp://*:80", false, SKUA_E_BAD_ENDPOINT, "\"*\" is no host"},
        {"tcp://:80", false, SKUA_E_BAD_ENDPOINT, "is no host"},
        {"tcp://::1:80", false, SKUA_E_BAD_ENDPOINT, "IPv6 address in brackets"},
        {"tcp://[10.0.0.1]:80", false, SKUA_E_BAD_ENDPOINT, "is no host"},
        {"tcp://a b:80", false, SKUA_E_BAD_ENDPOINT, "is no host"},
        {"ipc://", true, SKUA_E_BAD_ENDPOINT, "the path must have"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        skua__endpoint endpoint = {.port = 4711};
        skua_error err = {0};
        assert_int_equal(skua__endpoint_parse(rows[i].text, rows[i].for_bind, &endpoint, &err),
                         rows[i].status);
        assert_int_equal(endpoint.port, 4711); /* outputs are untouched on failure */
        if (!strstr(err.message, rows[i].message)) {
            fail_msg("\"%s\" lacks \"%s\"", err.message, rows[i].message);
        }
    }
    char long_text[400];
    memset(long_text, 'x', sizeof long_text);
    memcpy(long_text, "tcp://", 6);
    long_text[sizeof long_text - 1] = 0;
    skua__endpoint endpoint;
    assert_int_equal(skua__endpoint_parse(long_text, true, &endpoint, NULL), SKUA_E_BAD_ENDPOINT);
}

static void
test_endpoint_bind_says_that_the_port_is_in_use(void **state) {
    (void)state;
    void *context = zmq_ctx_new();
    void *first = zmq_socket(context, ZMQ_PULL);
    void *second = zmq_socket(context, ZMQ_PULL);
    skua__endpoint endpoint;
    skua_error err = {0};
    uint16_t port = 0, same_port = 0;
    assert_int_equal(skua__endpoint_parse("tcp://127.0.0.1:*", true, &endpoint, &err), SKUA_OK);
    assert_int_equal(skua__endpoint_bind(first, &endpoint, &port, &err), SKUA_OK);
    assert_true(port > 0);
    char text[64], expected[128];
    snprintf(text, sizeof text, "tcp://127.0.0.1:%u", port);
    snprintf(expected, sizeof expected,
             "%s is in use; use another port, or * to let the system pick", text);
    assert_int_equal(skua__endpoint_parse(text, true, &endpoint, &err), SKUA_OK);
    assert_int_equal(skua__endpoint_bind(second, &endpoint, &same_port, &err),
                     SKUA_E_ADDRESS_IN_USE);
    assert_int_equal(same_port, 0);
    assert_string_equal(err.code, "SKUA-E001");
    assert_string_equal(err.message, expected);

    /* 192.0.2.0/24 is set aside for documents: no machine has it. */
    assert_int_equal(skua__endpoint_parse("tcp://192.0.2.1:5999", true, &endpoint, &err), SKUA_OK);
    assert_int_equal(skua__endpoint_bind(second, &endpoint, NULL, &err), SKUA_E_BAD_ENDPOINT);
    zmq_close(first);
    zmq_close(second);
    zmq_ctx_term(context);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoint_reads_every_form),
        cmocka_unit_test(test_endpoint_refuses_and_says_why),
        cmocka_unit_test(test_endpoint_bind_says_that_the_port_is_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
