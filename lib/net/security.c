// SPDX-License-Identifier: MPL-2.0
// The ZAP handler (ZeroMQ RFC 27): a thread that answers for both contexts from the table of verified certificates. It
// fails closed: whatever it does not understand or does not know is refused.
#include "security.h"

#include "sockets.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>

#include <errno.h>
#include <sodium.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

enum {
    ZAP_FRAMES_MAX = 8, /* version, id, domain, address, routing id, mechanism, key: 7 */
    ZAP_FRAME_MAX = 256,
};

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"

struct zap_request {
    size_t count;
    size_t sizes[ZAP_FRAMES_MAX];
    uint8_t bytes[ZAP_FRAMES_MAX][ZAP_FRAME_MAX];
};

void
skua__key_text(const uint8_t key[SKUA_KEY_BYTES], char ret[SKUA__USER_ID_BYTES]) {
    sodium_bin2hex(ret, SKUA__USER_ID_BYTES, key, SKUA_KEY_BYTES);
}

bool
skua__key_parse(const char *text, uint8_t ret[SKUA_KEY_BYTES]) {
    size_t size;
    const char *end;
    uint8_t key[SKUA_KEY_BYTES];
    if (strlen(text) != SKUA__USER_ID_BYTES - 1 ||
        sodium_hex2bin(key, sizeof key, text, SKUA__USER_ID_BYTES - 1, NULL, &size, &end) != 0 ||
        size != sizeof key) {
        return false;
    }
    memcpy(ret, key, sizeof key);
    return true;
}

/* ---- The table ---- */

skua_status
skua__zap_admit(skua__zap *zap, const skua__certificate *certificate,
                skua__admission **ret_admission) {
    skua__mutex_lock(&zap->lock);
    skua__admission *admission =
        skua__hash_get(&zap->table, certificate->curve_key, SKUA_KEY_BYTES);
    skua_status status = SKUA_OK;
    if (admission) {
        if (certificate->issued_s > admission->certificate.issued_s) {
            /* The key lies in the certificate and stays the same, so the table's borrowed key stays valid. */
            admission->certificate = *certificate;
        }
    } else {
        admission = skua__mem_new(zap->hook, sizeof *admission);
        if (admission) {
            admission->certificate = *certificate;
            status = skua__hash_put(&zap->table, admission->certificate.curve_key, SKUA_KEY_BYTES,
                                    admission);
        }
        if (!admission || status) {
            admission = skua__mem_free(zap->hook, admission);
            status = SKUA_E_NO_MEMORY;
        }
    }
    if (admission) {
        admission->references++;
        *ret_admission = admission;
    }
    skua__mutex_unlock(&zap->lock);
    return status;
}

skua__admission *
skua__zap_release(skua__zap *zap, skua__admission *admission) {
    if (!admission) {
        return NULL;
    }
    skua__mutex_lock(&zap->lock);
    if (--admission->references == 0) {
        skua__hash_take(&zap->table, admission->certificate.curve_key, SKUA_KEY_BYTES);
        skua__mem_free(zap->hook, admission);
    }
    skua__mutex_unlock(&zap->lock);
    return NULL;
}

bool
skua__zap_lookup(skua__zap *zap, const char *user_id, skua__certificate *ret) {
    uint8_t key[SKUA_KEY_BYTES];
    if (!user_id || !skua__key_parse(user_id, key)) {
        return false;
    }
    skua__mutex_lock(&zap->lock);
    skua__admission *admission = skua__hash_get(&zap->table, key, sizeof key);
    if (admission) {
        *ret = admission->certificate;
    }
    skua__mutex_unlock(&zap->lock);
    return admission &&
           skua__certificate_check_time(ret, skua__clock_wall_s()) == SKUA__CERTIFICATE_OK;
}

/* ---- The handler ---- */

static void
count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); /* relaxed: a statistic */
}

/* Reads one request. Frames that are too long or too many are taken off the socket and make it malformed. */
static bool
zap_receive(void *socket, struct zap_request *ret) {
    ret->count = 0;
    bool whole = true;
    int more = 1;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return false;
        }
        size_t size = zmq_msg_size(&frame);
        if (ret->count < ZAP_FRAMES_MAX && size <= ZAP_FRAME_MAX) {
            memcpy(ret->bytes[ret->count], zmq_msg_data(&frame), size);
            ret->sizes[ret->count++] = size;
        } else {
            whole = false;
        }
        more = zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    if (!whole) {
        ret->count = 0;
    }
    return true;
}

static bool
frame_is(const struct zap_request *request, size_t at, const char *text) {
    return request->sizes[at] == strlen(text) &&
           memcmp(request->bytes[at], text, request->sizes[at]) == 0;
}

/* Decides; fills the User-Id of whoever is admitted. */
static bool
zap_decide(skua__zap *zap, const struct zap_request *request,
           char ret_user_id[SKUA__USER_ID_BYTES]) {
    if (request->count != 7 || !frame_is(request, 0, "1.0") || !frame_is(request, 5, "CURVE") ||
        request->sizes[6] != SKUA_KEY_BYTES) {
        count(&zap->counters.refused_malformed);
        return false;
    }
    skua__mutex_lock(&zap->lock);
    const skua__admission *admission =
        skua__hash_get(&zap->table, request->bytes[6], SKUA_KEY_BYTES);
    bool known = admission != NULL;
    bool timely =
        known && skua__certificate_check_time(&admission->certificate, skua__clock_wall_s()) ==
                     SKUA__CERTIFICATE_OK;
    skua__mutex_unlock(&zap->lock);
    if (!timely) {
        count(known ? &zap->counters.refused_expired : &zap->counters.refused_unknown);
        return false;
    }
    skua__key_text(request->bytes[6], ret_user_id);
    count(&zap->counters.admitted);
    return true;
}

static void
zap_answer(skua__zap *zap, void *socket) {
    struct zap_request request;
    while (zap_receive(socket, &request)) {
        char user_id[SKUA__USER_ID_BYTES] = "";
        bool admitted = zap_decide(zap, &request, user_id);
        /* An answer without the request's id is dropped by libzmq, and the connection stays refused. */
        size_t id_size = request.count > 1 ? request.sizes[1] : 0;
        zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
        zmq_send(socket, request.bytes[1], id_size, ZMQ_SNDMORE);
        zmq_send(socket, admitted ? "200" : "400", 3, ZMQ_SNDMORE);
        const char *text = admitted ? "OK" : "No valid certificate";
        zmq_send(socket, text, strlen(text), ZMQ_SNDMORE);
        zmq_send(socket, user_id, strlen(user_id), ZMQ_SNDMORE);
        zmq_send(socket, "", 0, 0);
    }
}

static void *
zap_run(void *arg) {
    skua__zap *zap = arg;
    zmq_pollitem_t items[] = {
        {.socket = zap->sockets[0], .events = ZMQ_POLLIN},
        {.socket = zap->sockets[1], .events = ZMQ_POLLIN},
        {.fd = zap->stop_fd, .events = ZMQ_POLLIN},
    };
    for (;;) {
        if (zmq_poll(items, 3, -1) < 0 && errno != EINTR) {
            break;
        }
        if (items[2].revents) {
            break;
        }
        for (int i = 0; i < SKUA__ZAP_CONTEXTS; i++) {
            if (items[i].revents) {
                zap_answer(zap, items[i].socket);
            }
        }
    }
    /* A socket belongs to the thread that uses it, so it is closed here. */
    for (int i = 0; i < SKUA__ZAP_CONTEXTS; i++) {
        zmq_close(zap->sockets[i]);
    }
    return NULL;
}

static skua_status
zap_bind(void *ctx, void **ret_socket, skua_error *err) {
    void *socket = zmq_socket(ctx, ZMQ_REP);
    if (!socket) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_DESCRIPTORS, errno, "cannot make the ZAP socket");
    }
    int linger_ms = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    if (zmq_bind(socket, ZAP_ENDPOINT)) {
        int error = errno;
        zmq_close(socket);
        return SKUA_FAIL_ERRNO(err, SKUA_E_NOT_SECURE, error, "cannot bind %s", ZAP_ENDPOINT);
    }
    *ret_socket = socket;
    return SKUA_OK;
}

skua_status
skua__zap_start(skua__zap *zap, const skua_allocator *hook, void *control_ctx, void *data_ctx,
                skua_error *err) {
    *zap = (skua__zap){.hook = hook, .stop_fd = -1};
    skua__mutex_init(&zap->lock);
    skua__hash_init(&zap->table, hook);
    void *contexts[SKUA__ZAP_CONTEXTS] = {control_ctx, data_ctx};
    skua_status status = SKUA_OK;
    zap->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (zap->stop_fd < 0) {
        status = SKUA_FAIL_ERRNO(err, SKUA_E_DESCRIPTORS, errno, "cannot make an eventfd");
    }
    for (int i = 0; i < SKUA__ZAP_CONTEXTS && !status; i++) {
        status = zap_bind(contexts[i], &zap->sockets[i], err);
    }
    if (!status) {
        status = skua__thread_start(&zap->thread, "skua-zap", zap_run, zap, err);
    }
    if (!status) {
        zap->started = true;
        return SKUA_OK;
    }
    for (int i = 0; i < SKUA__ZAP_CONTEXTS; i++) {
        if (zap->sockets[i]) {
            zmq_close(zap->sockets[i]);
        }
    }
    skua__zap_stop(zap);
    return status;
}

void
skua__zap_stop(skua__zap *zap) {
    if (zap->started) {
        uint64_t one = 1;
        ssize_t written = write(zap->stop_fd, &one, sizeof one);
        (void)written; /* it cannot fail: nobody else writes */
        skua__thread_join(zap->thread);
        zap->started = false;
    }
    if (zap->stop_fd >= 0) {
        close(zap->stop_fd);
        zap->stop_fd = -1;
    }
    size_t position = 0;
    for (void *value; (value = skua__hash_next(&zap->table, &position)) != NULL;) {
        skua__mem_free(zap->hook, value);
    }
    skua__hash_fini(&zap->table);
    skua__mutex_fini(&zap->lock);
}

/* ---- The self-test ---- */

/* Waits for the verdict of a handshake on a monitor. Returns the event, or 0 after the time limit. */
static int
await_verdict(void *monitor) {
    int64_t deadline_ns = skua__deadline_ns(SKUA__ZAP_SELF_TEST_MS);
    for (;;) {
        zmq_pollitem_t item = {.socket = monitor, .events = ZMQ_POLLIN};
        int left_ms = skua__deadline_left_ms(deadline_ns);
        if (left_ms == 0) {
            return 0;
        }
        if (zmq_poll(&item, 1, left_ms) <= 0) {
            continue;
        }
        skua__monitor_event event;
        while (skua__monitor_read(monitor, &event)) {
            if (event.event & (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)) {
                return event.event;
            }
        }
    }
}

skua_status
skua__zap_self_test(void *ctx, const uint8_t server_secret[SKUA_KEY_BYTES], skua_error *err) {
    void *server = NULL, *client = NULL, *monitor = NULL;
    skua__curve_keys keys = {0}, stranger = {0};
    memcpy(keys.secret, server_secret, SKUA_KEY_BYTES);
    crypto_scalarmult_base(keys.public, keys.secret);
    crypto_box_keypair(stranger.public, stranger.secret);
    skua__socket_config config = {.heartbeat_ms = 1000, .max_bytes = 1024};
    char endpoint[SKUA__ENDPOINT_BYTES];
    size_t endpoint_size = sizeof endpoint;

    skua_status status = skua__socket_new(ctx, ZMQ_ROUTER, &config, &keys, NULL, &server, err);
    if (!status && (zmq_bind(server, "tcp://127.0.0.1:*") ||
                    zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_size))) {
        status = SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot bind tcp://127.0.0.1:*");
    }
    if (!status) {
        status = skua__socket_new(ctx, ZMQ_DEALER, &config, &stranger, keys.public, &client, err);
    }
    if (!status) {
        status = skua__monitor_new(ctx, client,
                                   ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
                                   &monitor, err);
    }
    if (!status && zmq_connect(client, endpoint)) {
        status = SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot connect to %s", endpoint);
    }
    if (!status && await_verdict(monitor) != ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
        status = SKUA_FAIL(err, SKUA_E_NOT_SECURE,
                           "the self-test connected to %s with an unknown key and was not refused; "
                           "nothing was opened",
                           endpoint);
    }
    skua__monitor_free(client, monitor);
    skua__socket_free(client);
    skua__socket_free(server);
    sodium_memzero(&keys, sizeof keys);
    return status;
}
