// SPDX-License-Identifier: MPL-2.0
// A node from skua_node_open() to skua_node_close(). Nothing is announced before the ZAP handler has proved that
// it refuses a key that nobody knows: for the control context when the node opens, for data before the first server there.
#include "node_priv.h"

#include <skua-int/log.h>

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

enum {
    HEARTBEAT_MIN_MS = 100,
    HEARTBEAT_MAX_MS = 60000,
    IO_THREADS_MAX = 16,
    CONTROL_SOCKETS_MAX = 3 * SKUA_NODE_MAX_PEERS,
    DATA_SOCKETS_MAX = 65535,
};

/* The registered metric that sums a counter up, or -1. */
static int
metric_of(size_t counter) {
    switch (counter) {
    case SKUA__COUNTER(beacons_sent):
        return SKUA_M_NODE_BEACONS_SENT;
    case SKUA__COUNTER(beacons_received):
        return SKUA_M_NODE_BEACONS_RECEIVED;
    case SKUA__COUNTER(beacons_dropped_malformed):
    case SKUA__COUNTER(beacons_dropped_fleet):
    case SKUA__COUNTER(beacons_dropped_mac):
    case SKUA__COUNTER(beacons_dropped_version):
    case SKUA__COUNTER(beacons_dropped_replay):
    case SKUA__COUNTER(beacons_dropped_certificate):
    case SKUA__COUNTER(beacons_dropped_expired):
        return SKUA_M_NODE_BEACONS_DROPPED;
    case SKUA__COUNTER(control_dropped_malformed):
    case SKUA__COUNTER(control_dropped_identity):
    case SKUA__COUNTER(control_dropped_version):
    case SKUA__COUNTER(control_dropped_unknown):
    case SKUA__COUNTER(control_dropped_full):
        return SKUA_M_NODE_CONTROL_DROPPED;
    case SKUA__COUNTER(introductions_served):
    case SKUA__COUNTER(introductions_made):
        return SKUA_M_NODE_INTRODUCTIONS;
    case SKUA__COUNTER(introductions_dropped_malformed):
    case SKUA__COUNTER(introductions_dropped_certificate):
    case SKUA__COUNTER(introductions_dropped_rate):
    case SKUA__COUNTER(introductions_dropped_slow):
        return SKUA_M_NODE_INTRODUCTIONS_REFUSED;
    case SKUA__COUNTER(dials):
        return SKUA_M_NODE_DIALS;
    case SKUA__COUNTER(peers_joined):
        return SKUA_M_NODE_JOINS;
    case SKUA__COUNTER(peers_left):
        return SKUA_M_NODE_LEAVES;
    case SKUA__COUNTER(peers_suspected):
        return SKUA_M_NODE_SUSPECTS;
    default:
        return -1;
    }
}

void
skua__count(skua_node *node, size_t counter) {
    /* relaxed: a statistic; nothing is ordered by it */
    atomic_fetch_add_explicit(&node->counters[counter], 1, memory_order_relaxed);
    int metric = metric_of(counter);
    if (metric >= 0) {
        skua__metric_add(&node->metrics, (enum skua_metric_id)metric, 1);
    }
}

void
skua__logf(const skua_node *node, int level, const char *format, ...) {
    if (!skua__log_wants(node->log, (skua_log_level)level)) {
        return;
    }
    char text[SKUA_LOG_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    skua__log(node->log, (skua_log_level)level, "node", "%s", text);
}

void
skua__note_refusal(skua_node *node, const char *who, skua_status status, const char *why) {
    const skua_error_info *info = skua_error_lookup(status);
    skua__mutex_lock(&node->lock);
    snprintf(node->refusal, sizeof node->refusal, "%.48s: %s %.64s", who,
             info ? info->code : "refused", why);
    skua__mutex_unlock(&node->lock);
    skua__logf(node, SKUA_LOG_WARNING, "%s is refused: %s", who, why);
}

void
skua_node_options_init(skua_node_options *options, size_t size) {
    if (options && size >= sizeof options->size) {
        memset(options, 0, size);
        memcpy(&options->size, &size, sizeof size);
    }
}

skua_status
skua__node_check(const skua_node *node, skua_error *err) {
    if (!node) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the node is missing");
    }
    if (node->fork_generation != skua__fork_generation()) {
        return SKUA_FAIL(err, SKUA_E_FORKED,
                         "the node was opened before fork(); open one of its own in the child");
    }
    /* acquire N1: pairs with release N1 in skua_node_close() */
    if (atomic_load_explicit(&node->closed, memory_order_acquire)) {
        return SKUA_FAIL(err, SKUA_E_CLOSED, "the node is closed or closing");
    }
    return SKUA_OK;
}

/* ---- Options ---- */

static skua_status
check_options(const skua_node_options *options, skua_error *err) {
    if (options->name && !skua__name_valid(options->name)) {
        return SKUA_FAIL(err, SKUA_E_BAD_NAME,
                         "the name \"%.80s\" is not allowed; names are 1 to 63 of a-z, 0-9, '.', "
                         "'_' and '-', and begin with a letter or digit",
                         options->name);
    }
    if (options->heartbeat_ms &&
        (options->heartbeat_ms < HEARTBEAT_MIN_MS || options->heartbeat_ms > HEARTBEAT_MAX_MS)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "heartbeat_ms is %d; it takes %d to %d",
                         options->heartbeat_ms, HEARTBEAT_MIN_MS, HEARTBEAT_MAX_MS);
    }
    if (!options->port_first != !options->port_last || options->port_first > options->port_last) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "the ports %u to %u are no range; give both ends, the lower first",
                         options->port_first, options->port_last);
    }
    if ((options->peer_count && !options->peers) ||
        (options->interface_count && !options->interfaces) ||
        options->interface_count >= SKUA__INTERFACES_MAX || options->io_threads > IO_THREADS_MAX) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "peers or interfaces is missing, or more than %d interfaces or %d "
                         "io_threads are asked for",
                         SKUA__INTERFACES_MAX - 1, IO_THREADS_MAX);
    }
    if (options->protocol_max && options->protocol_min > options->protocol_max) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "protocol_min is above protocol_max");
    }
    return SKUA_OK;
}

/* "host-4f2a" out of the machine's name, made to fit the rule for names. */
static void
default_name(char ret[SKUA_NAME_BYTES]) {
    char host[SKUA_NAME_BYTES] = "";
    gethostname(host, sizeof host - 1);
    size_t used = 0;
    for (const char *at = host; *at && *at != '.' && used < 48; at++) {
        char c = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (plain || (used && (c == '-' || c == '_'))) {
            ret[used++] = c;
        }
    }
    snprintf(ret + used, SKUA_NAME_BYTES - used, "%s-%04x", used ? "" : "node",
             randombytes_uniform(0x10000));
}

static skua_status
take_identity(skua_node *node, const skua_node_options *options, skua_error *err) {
    skua__credentials *credentials = &node->credentials;
    skua_status status = skua__credentials_read(options->fleet_dir, true, credentials, err);
    if (status) {
        return status;
    }
    if (!credentials->has_certificate) {
        char name[SKUA_NAME_BYTES];
        default_name(name);
        status =
            skua__credentials_self_issue(credentials, options->name ? options->name : name, err);
    } else if (options->name && strcmp(options->name, credentials->certificate.name) != 0) {
        status = SKUA_FAIL(err, SKUA_E_BAD_NAME,
                           "the name \"%s\" is not the certificate's, which is \"%s\"; leave it "
                           "out, or issue a certificate for it",
                           options->name, credentials->certificate.name);
    }
    if (status) {
        return status;
    }
    uint8_t chance[16];
    randombytes_buf(chance, sizeof chance);
    node->fleet = skua__fleet_tag_of(credentials->fleet_public);
    node->uuid = skua__uuid_of_random(chance);
    if (options->id) {
        memcpy(node->uuid.bytes, options->id, sizeof node->uuid.bytes);
    }
    skua__uuid_text(&node->uuid, node->uuid_text);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    node->incarnation = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (options->id) {
        status = skua__incarnation_next(options->fleet_dir, &node->uuid, node->incarnation,
                                        &node->incarnation, err);
    }
    node->peer_config = (skua__peer_config){.self = node->uuid, .heartbeat_ns = node->heartbeat_ns};
    randombytes_buf(&node->peer_config.seed, sizeof node->peer_config.seed);
    return status;
}

/* ---- Opening ---- */

static skua_status
open_contexts(skua_node *node, uint32_t io_threads, skua_error *err) {
    node->control_ctx = zmq_ctx_new();
    node->data_ctx = zmq_ctx_new();
    if (!node->control_ctx || !node->data_ctx ||
        zmq_ctx_set(node->control_ctx, ZMQ_MAX_SOCKETS, CONTROL_SOCKETS_MAX) ||
        zmq_ctx_set(node->data_ctx, ZMQ_MAX_SOCKETS, DATA_SOCKETS_MAX) ||
        zmq_ctx_set(node->data_ctx, ZMQ_IO_THREADS, io_threads ? (int)io_threads : 1)) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot make a ZeroMQ context");
    }
    skua_status status =
        skua__zap_start(&node->zap, node->hook, node->control_ctx, node->data_ctx, err);
    node->zap_running = status == SKUA_OK;
    status = status ? status
                    : skua__zap_self_test(node->control_ctx, node->credentials.curve.secret, err);
    if (!status &&
        skua__zap_admit(&node->zap, &node->credentials.certificate, &node->self_admission)) {
        status = SKUA_FAIL_MEMORY(err, "the table of certificates");
    }
    return status;
}

static void
set_fields(skua_node *node, const skua_node_options *options) {
    int heartbeat_ms = options->heartbeat_ms ? options->heartbeat_ms : SKUA__HEARTBEAT_DEFAULT_MS;
    node->log = options->log;
    node->on_event = options->on_event;
    node->event_ctx = options->event_ctx;
    node->fork_generation = skua__fork_generation();
    node->heartbeat_ns = heartbeat_ms * SKUA_NS_PER_MS;
    node->protocol_min = options->protocol_min ? options->protocol_min : SKUA__PROTOCOL_MIN;
    node->protocol_max = options->protocol_max ? options->protocol_max : SKUA__PROTOCOL_MAX;
    node->beacon_port = options->beacon_port ? options->beacon_port : SKUA_NODE_DEFAULT_PORT;
    node->no_beacon = options->no_beacon != 0;
    node->bind_hosts.port_first = options->port_first;
    node->bind_hosts.port_last = options->port_last;
    node->data_config =
        (skua__socket_config){.heartbeat_ms = heartbeat_ms, .max_bytes = SKUA__DATA_MAX_BYTES};
    node->control_config = (skua__socket_config){
        .heartbeat_ms = 2 * heartbeat_ms, .max_bytes = SKUA__CONTROL_MAX, .no_reconnect = true};
    node->beacon_fd = node->netlink_fd = node->event_fd = -1;
}

static void
tick(void *arg) {
    skua_node *node = arg;
    int64_t now_ns = skua__clock_ns();
    skua__lived_now(&node->lived, now_ns);
    if (now_ns >= node->sweep_at_ns) {
        node->sweep_at_ns = now_ns + SKUA__SWEEP_MS * SKUA_NS_PER_MS;
        skua__peers_sweep(node);
        skua__services_tick(node);
    }
    skua__node_source_arm(node->tick, false, now_ns + skua__lived_tick_ns(&node->lived));
}

static void
begin(void *arg) {
    skua_node *node = arg;
    skua__lived_init(&node->lived, node->heartbeat_ns, skua__clock_ns());
    skua__introduction_start(node);
    skua__discovery_start(node);
    skua__statics_start(node);
    tick(node);
}

static skua_status
take_memory(skua_node *node, const skua_node_options *options, skua_error *err) {
    node->scratch = skua__mem_new(node->hook, SKUA__CONTROL_MAX);
    node->record_scratch = skua__mem_new(node->hook, SKUA__RECORD_MAX);
    if (options->recorder_file) {
        node->recorder_file = skua__mem_strdup(node->hook, options->recorder_file);
    }
    bool whole =
        node->scratch && node->record_scratch && !node->recorder_file == !options->recorder_file;
    return whole ? SKUA_OK : SKUA_FAIL_MEMORY(err, "a node");
}

static skua_status
open_parts(skua_node *node, const skua_node_options *options, skua_error *err) {
    skua_status status = take_identity(node, options, err);
    status = status ? status : skua__recorder_init(node, options->recorder_events, err);
    status = status ? status : skua__events_init(node, err);
    status = status ? status : skua__services_init(node, err);
    status = status ? status : skua__discovery_open(node, options, err);
    status = status ? status : open_contexts(node, options->io_threads, err);
    status = status ? status : skua__introduction_open(node, err);
    status = status ? status : skua__control_open(node, err);
    status = status ? status : skua__statics_open(node, options->peers, options->peer_count, err);
    status = status ? status : skua__host_source_new(&node->host, -1, tick, node, &node->tick, err);
    status = status ? status : skua__host_start(&node->host, "skua-node", err);
    return status ? status : skua__host_call(&node->host, begin, node);
}

/* What must stand before anything can fail, so that the end of a half-built node needs no questions. */
static void
init_empty(skua_node *node) {
    skua__metrics_init(&node->metrics, SKUA_METRIC_NODE);
    skua__mutex_init(&node->lock);
    skua__mutex_init(&node->proof_lock);
    skua__cond_init(&node->changed);
    skua__hash_init(&node->peers, node->hook);
    skua__hash_init(&node->routes, node->hook);
    skua__hash_init(&node->numbers, node->hook);
    skua__list_init(&node->ready);
    skua__list_init(&node->links);
    skua__list_init(&node->introductions);
    skua__list_init(&node->watches);
    skua__list_init(&node->listeners);
    skua__record_init(&node->record, node->hook);
    skua__record_init(&node->announced, node->hook);
    skua__dial_limiter_init(&node->limiter, SKUA__DIALS_MAX);
    atomic_init(&node->refs, 1);
}

static void
end_contexts(skua_node *node) {
    /* Every CURVE server is closed by now, so nobody can come in while the handler ends. */
    skua__zap_release(&node->zap, node->self_admission);
    if (node->zap_running) {
        skua__zap_stop(&node->zap);
    }
    if (node->control_ctx) {
        zmq_ctx_term(node->control_ctx);
    }
    if (node->data_ctx) {
        zmq_ctx_term(node->data_ctx);
    }
}

/* Nobody finds or reaches the node from here on. Its thread has ended. */
static void
end_control(skua_node *node) {
    skua__statics_close(node);
    skua__peers_fini(node);
    skua__discovery_close(node);
    skua__introduction_close(node);
    skua__control_close(node);
    node->tick = skua__node_source_free(node->tick);
}

static skua_node *
node_free(skua_node *node) {
    end_contexts(node);
    skua__host_fini(&node->host);
    skua__services_fini(node);
    skua__events_fini(node);
    skua__recorder_fini(node);
    skua__credentials_wipe(&node->credentials);
    skua__mem_free(node->hook, node->recorder_file);
    skua__mem_free(node->hook, node->scratch);
    skua__mem_free(node->hook, node->record_scratch);
    skua__cond_fini(&node->changed);
    skua__mutex_fini(&node->proof_lock);
    skua__mutex_fini(&node->lock);
    return skua__mem_free(node->hook, node);
}

void
skua__node_ref(skua_node *node) {
    /* relaxed: who refs holds the node */
    atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
}

skua_node *
skua__node_unref(skua_node *node) {
    /* acq_rel N2: whoever comes last sees all that the others did; pairs with itself */
    if (atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) == 1) {
        node_free(node);
    }
    return NULL;
}

static void
name_endpoint(skua_node *node) {
    char host[SKUA_NODE_ENDPOINT_BYTES];
    snprintf(host, sizeof host, "%s", node->endpoint[0] ? node->endpoint : "127.0.0.1");
    snprintf(node->endpoint, sizeof node->endpoint, "%.45s:%u", host, node->introduction_port);
}

skua_status
skua_node_open(skua_node **ret_node, const skua_node_options *given, skua_error *err) {
    skua_node_options options;
    if (!ret_node || !SKUA_READ_OPTIONS(&options, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "ret_node is missing, or the options are of a newer skua");
    }
    skua_status status = check_options(&options, err);
    if (!status && !skua__descriptors_left(SKUA__NODE_DESCRIPTORS)) {
        status = SKUA_FAIL(err, SKUA_E_DESCRIPTORS,
                           "cannot open a node: fewer than %d file descriptors are left; raise the "
                           "limit with `ulimit -n 4096`",
                           SKUA__NODE_DESCRIPTORS);
    }
    if (status) {
        return status;
    }
    const skua_allocator *hook = options.allocator ? options.allocator : skua_allocator_default();
    skua_node *node = skua__mem_new(hook, sizeof *node);
    if (!node) {
        return SKUA_FAIL_MEMORY(err, "a node");
    }
    node->hook = hook;
    init_empty(node);
    set_fields(node, &options);
    status = skua__host_init(&node->host, hook, err);
    status = status ? status : take_memory(node, &options, err);
    status = status ? status : open_parts(node, &options, err);
    if (status) {
        node->stopping = true;
        skua__host_stop(&node->host);
        end_control(node);
        node_free(node);
        return status;
    }
    name_endpoint(node);
    skua__logf(node, SKUA_LOG_INFO, "\"%s\" is open at %s", skua_node_name(node), node->endpoint);
    *ret_node = node;
    return SKUA_OK;
}

/* ---- Closing ---- */

static void
end(void *arg) {
    skua_node *node = arg;
    skua__control_bye(node);
    skua__beacon_send(node, SKUA__BEACON_BYE);
    node->stopping = true;
    skua__listeners_closing(node);
}

skua_node *
skua_node_close(skua_node *node) {
    if (!node || node->fork_generation != skua__fork_generation()) {
        return NULL; /* in the child of a fork() the threads that would have to end are not there */
    }
    if (node->recorder_file && skua_node_record(node, NULL, NULL)) {
        skua__logf(node, SKUA_LOG_WARNING, "the recording %s was not written", node->recorder_file);
    }
    skua__host_call(&node->host, end, node);
    /* release N1: whoever sees the node closed sees all that was done before; pairs with acquire N1 in
     * skua__node_check() */
    atomic_store_explicit(&node->closed, true, memory_order_release);
    skua__mutex_lock(&node->lock);
    skua__cond_broadcast(&node->changed);
    skua__mutex_unlock(&node->lock);
    skua__host_stop(&node->host);
    end_control(node);
    return skua__node_unref(node);
}

/* ---- Odds and ends ---- */

const char *
skua_node_name(const skua_node *node) {
    return node->credentials.certificate.name;
}

const char *
skua_node_id(const skua_node *node) {
    return node->uuid_text;
}

const char *
skua_node_endpoint(const skua_node *node) {
    return node->endpoint;
}

const skua_allocator *
skua__node_hook(const skua_node *node) {
    return node->hook;
}

const skua__uuid *
skua__node_uuid(const skua_node *node) {
    return &node->uuid;
}

uint64_t
skua__node_incarnation(const skua_node *node) {
    return node->incarnation;
}

skua_status
skua__node_post(skua_node *node, void (*fn)(void *arg), void *arg) {
    return skua__host_post(&node->host, fn, arg);
}

skua_status
skua__node_source_new(skua_node *node, int fd, void (*fn)(void *arg), void *arg,
                      skua__node_source **ret_source, skua_error *err) {
    return skua__host_source_new(&node->host, fd, fn, arg, ret_source, err);
}

/*
 * Before the first server in the data context: an unknown key is refused there too. A node that offers nothing, and so
 * has no door there that a stranger could come in by, spares the handshake.
 */
static skua_status
prove_data_context(skua_node *node, skua_error *err) {
    skua__mutex_lock(&node->proof_lock);
    skua_status status =
        node->data_proven
            ? SKUA_OK
            : skua__zap_self_test(node->data_ctx, node->credentials.curve.secret, err);
    node->data_proven = status == SKUA_OK;
    skua__mutex_unlock(&node->proof_lock);
    return status;
}

skua_status
skua__node_socket(skua_node *node, int zmq_type, const uint8_t *server_key, void **ret_socket,
                  skua_error *err) {
    skua_status status = server_key ? SKUA_OK : prove_data_context(node, err);
    if (status) {
        return status;
    }
    return skua__socket_new(node->data_ctx, zmq_type, &node->data_config, &node->credentials.curve,
                            server_key, ret_socket, err);
}

skua_status
skua__node_plain_socket(skua_node *node, int zmq_type, void **ret_socket, skua_error *err) {
    return skua__socket_new(node->data_ctx, zmq_type, &node->data_config, NULL, NULL, ret_socket,
                            err);
}

skua_status
skua__node_bind(skua_node *node, void *socket, const char *endpoint, uint16_t *ret_port,
                skua_error *err) {
    return endpoint ? skua__socket_bind_endpoint(socket, endpoint, node->credentials.personal,
                                                 ret_port, err)
                    : skua__socket_bind(socket, &node->bind_hosts, ret_port, err);
}
