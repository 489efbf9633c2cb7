// SPDX-License-Identifier: MPL-2.0
// What other threads may see of a node: its peers, its counters, and who is behind a User-Id.
#include "node_priv.h"

#include <stdio.h>

/* ---- Peers ---- */

static skua_peer_state
public_state(const skua__peer *peer) {
    switch (peer->state) {
    case SKUA__PEER_UP:
        return SKUA_PEER_ALIVE;
    case SKUA__PEER_SUSPECT:
    case SKUA__PEER_LOST:
    case SKUA__PEER_LEAVING:
        return SKUA_PEER_SUSPECT;
    case SKUA__PEER_KNOWN:
    case SKUA__PEER_STATES:
        break;
    }
    return SKUA_PEER_JOINING;
}

static const char *
kind_word(skua__service_kind kind) {
    switch (kind) {
    case SKUA__SERVICE_PUB:
        return "pub";
    case SKUA__SERVICE_PULL:
        return "pull";
    case SKUA__SERVICE_REP:
        return "rep";
    case SKUA__SERVICE_TASK:
        return "task";
    }
    return "other";
}

/* Adds words while they fit whole. */
static void
list_services(const skua__record *record, char *ret, size_t ret_size) {
    size_t used = 0;
    for (size_t i = 0; i < record->service_count; i++) {
        char word[SKUA_NAME_BYTES + 8];
        int length = snprintf(word, sizeof word, "%s%s:%s", used ? " " : "",
                              kind_word(record->services[i].kind), record->services[i].name);
        if (length < 0 || used + (size_t)length >= ret_size) {
            break;
        }
        memcpy(ret + used, word, (size_t)length + 1);
        used += (size_t)length;
    }
}

static void
describe_locked(const skua__peer *peer, int64_t now_ns, skua_peer *ret) {
    *ret =
        (skua_peer){.size = sizeof *ret,
                    .via = (int32_t)peer->via,
                    .state = (int32_t)public_state(peer),
                    .incarnation = peer->incarnation,
                    .rtt_us = peer->rtt.smoothed_ns ? peer->rtt.smoothed_ns / SKUA_NS_PER_US : -1,
                    .seen_ms = (now_ns - peer->heard_ns) / SKUA_NS_PER_MS,
                    .protocol = peer->protocol};
    memcpy(ret->name, peer->name, sizeof ret->name);
    skua__uuid_text(&peer->uuid, ret->id);
    snprintf(ret->endpoint, sizeof ret->endpoint, "%s:%u", peer->host, peer->introduction_port);
    if (!peer->has_record) {
        return;
    }
    const skua__record *record = &peer->record;
    ret->cores = record->cores;
    ret->numa = record->numa;
    ret->device_count = record->devices;
    ret->queue = record->queue;
    ret->memory_bytes = record->memory_bytes;
    ret->service_count = (uint32_t)record->service_count;
    list_services(record, ret->services, sizeof ret->services);
    const skua__capability *devices = skua__record_find_capability(record, "devices");
    if (devices) {
        size_t size = devices->size < sizeof ret->devices ? devices->size : sizeof ret->devices - 1;
        memcpy(ret->devices, devices->bytes, size);
    }
}

skua_status
skua_node_peers(skua_node *node, skua_peer *ret_peers, size_t peer_size, size_t capacity,
                size_t *ret_count, skua_error *err) {
    skua_status status = skua__node_check(node, err);
    if (status) {
        return status;
    }
    if (!ret_count || (capacity && (!ret_peers || peer_size < sizeof(size_t)))) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "ret_count or ret_peers is missing, or peer_size is no skua_peer's");
    }
    int64_t now_ns = skua__clock_ns();
    size_t count = 0, position = 0;
    skua__mutex_lock(&node->lock);
    for (skua__peer *peer; (peer = skua__hash_next(&node->peers, &position)) != NULL;) {
        /* One that is not joined and was not heard for long is only remembered. */
        bool stale = !peer->joined && now_ns - peer->heard_ns > 4 * node->heartbeat_ns;
        if (stale || !peer->admission) {
            continue;
        }
        if (count < capacity) {
            skua_peer described;
            describe_locked(peer, now_ns, &described);
            described.size = peer_size;
            char *to = (char *)ret_peers + count * peer_size;
            memset(to, 0, peer_size);
            memcpy(to, &described, peer_size < sizeof described ? peer_size : sizeof described);
        }
        count++;
    }
    skua__mutex_unlock(&node->lock);
    *ret_count = count;
    return SKUA_OK;
}

/* "eth0, lo": where beacons go. */
static void
interface_names(const skua_node *node, char *ret, size_t ret_size) {
    size_t used = 0;
    ret[0] = 0;
    for (size_t i = 0; i < node->interface_count && used < ret_size; i++) {
        int length =
            snprintf(ret + used, ret_size - used, "%s%s", i ? ", " : "", node->interfaces[i].name);
        used += length > 0 ? (size_t)length : 0;
    }
}

/* Why there may be nobody: the last peer that was refused, else a named one that does not answer. */
static void
reason_locked(const skua_node *node, char *ret, size_t ret_size) {
    ret[0] = 0;
    if (node->refusal[0]) {
        snprintf(ret, ret_size, " (refused: %s)", node->refusal);
        return;
    }
    for (size_t i = 0; i < node->static_count; i++) {
        if (!node->statics[i].known) {
            snprintf(ret, ret_size, " (%s does not answer)", node->statics[i].text);
            return;
        }
    }
}

static skua_status
no_peers(skua_node *node, size_t count, int64_t waited_ms, skua_error *err) {
    char names[64], why[sizeof node->refusal + SKUA_NODE_ENDPOINT_BYTES + 32];
    skua__mutex_lock(&node->lock);
    size_t joined = node->joined_count;
    reason_locked(node, why, sizeof why);
    interface_names(node, names, sizeof names);
    skua__mutex_unlock(&node->lock);
    char where[160];
    if (node->no_beacon) {
        snprintf(where, sizeof where, "at %zu named peers (beacons are off)", node->static_count);
    } else {
        snprintf(where, sizeof where, "on %s, UDP %u", names, node->beacon_port);
    }
    if (joined) {
        return SKUA_FAIL(err, SKUA_E_NO_PEERS, "%zu of %zu peers after %.3g s %s%s", joined, count,
                         (double)waited_ms / 1000, where, why);
    }
    return SKUA_FAIL(err, SKUA_E_NO_PEERS,
                     "no peers after %.3g s %s%s; see that the others run and share this fleet%s",
                     (double)waited_ms / 1000, where, why,
                     node->static_count ? "" : ", or name one with --peer HOST:PORT");
}

skua_status
skua_node_await_peers(skua_node *node, size_t count, int64_t timeout_ms, skua_error *err) {
    enum { DEFAULT_MS = 5000 };
    skua_status status = skua__node_check(node, err);
    if (status) {
        return status;
    }
    timeout_ms = timeout_ms ? timeout_ms : DEFAULT_MS;
    int64_t begun_ns = skua__clock_ns(), deadline_ns = skua__deadline_ns(timeout_ms);
    bool in_time = true;
    skua__mutex_lock(&node->lock);
    while (node->joined_count < count && in_time && !skua__node_check(node, NULL)) {
        in_time = skua__cond_wait_until(&node->changed, &node->lock, deadline_ns);
    }
    bool enough = node->joined_count >= count;
    skua__mutex_unlock(&node->lock);
    if (enough) {
        return SKUA_OK;
    }
    status = skua__node_check(node, err);
    return status ? status
                  : no_peers(node, count, (skua__clock_ns() - begun_ns) / SKUA_NS_PER_MS, err);
}

/* ---- Counters ---- */

skua_status
skua_node_stats(skua_node *node, skua_node_counters *ret_counters, skua_error *err) {
    if (!node || !ret_counters || ret_counters->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "node or ret_counters is missing, or its size is not set");
    }
    if (node->fork_generation != skua__fork_generation()) {
        return skua__node_check(node, err);
    }
    uint64_t values[SKUA__COUNTERS + 1];
    for (size_t i = 0; i < SKUA__COUNTERS; i++) {
        /* relaxed: statistics */
        values[i + 1] = atomic_load_explicit(&node->counters[i], memory_order_relaxed);
    }
    const skua__zap_counters *zap = &node->zap.counters;
    /* relaxed: statistics (here and in the next three) */
    values[SKUA__COUNTER(zap_admitted) + 1] =
        atomic_load_explicit(&zap->admitted, memory_order_relaxed);
    values[SKUA__COUNTER(zap_refused_unknown) + 1] =
        atomic_load_explicit(&zap->refused_unknown, memory_order_relaxed); /* relaxed: as above */
    values[SKUA__COUNTER(zap_refused_expired) + 1] =
        atomic_load_explicit(&zap->refused_expired, memory_order_relaxed); /* relaxed: as above */
    values[SKUA__COUNTER(zap_refused_malformed) + 1] =
        atomic_load_explicit(&zap->refused_malformed, memory_order_relaxed); /* relaxed: as above */
    values[0] = ret_counters->size;
    size_t size = ret_counters->size < sizeof values ? ret_counters->size : sizeof values;
    memcpy(ret_counters, values, size);
    return SKUA_OK;
}

const skua_metrics *
skua_node_metrics(skua_node *node) {
    if (!node) {
        return NULL;
    }
    /* The ZAP thread counts for itself, so its sum is brought up to date when somebody asks. */
    const skua__zap_counters *zap = &node->zap.counters;
    uint64_t refused =
        atomic_load_explicit(&zap->refused_unknown, memory_order_relaxed) + /* relaxed: statistic */
        atomic_load_explicit(&zap->refused_expired, memory_order_relaxed) + /* relaxed: as above */
        atomic_load_explicit(&zap->refused_malformed, memory_order_relaxed); /* relaxed: as above */
    skua__metric_set(&node->metrics, SKUA_M_NODE_AUTH_REFUSED, (int64_t)refused);
    return &node->metrics;
}

/* ---- Who is behind a message ---- */

static bool
identify_locked(skua_node *node, const skua__certificate *certificate, const skua__uuid *claimed,
                skua__identity *ret) {
    *ret = (skua__identity){.roles = certificate->roles};
    memcpy(ret->name, certificate->name, sizeof ret->name);
    bool own = memcmp(certificate->curve_key, node->credentials.certificate.curve_key,
                      SKUA_KEY_BYTES) == 0;
    if (own && (!claimed || skua__uuid_equal(claimed, &node->uuid))) {
        ret->node = node->uuid;
        ret->incarnation = node->incarnation;
        return true;
    }
    size_t position = 0;
    const skua__peer *peer = claimed ? skua__peer_find(node, claimed) : NULL;
    while (!claimed && (peer = skua__hash_next(&node->peers, &position)) != NULL &&
           memcmp(peer->certificate.curve_key, certificate->curve_key, SKUA_KEY_BYTES) != 0) {
    }
    if (!peer || !peer->admission ||
        memcmp(peer->certificate.curve_key, certificate->curve_key, SKUA_KEY_BYTES) != 0) {
        return false;
    }
    ret->node = peer->uuid;
    ret->incarnation = peer->incarnation;
    return true;
}

bool
skua__node_who_is(skua_node *node, const char *user_id, const skua__uuid *claimed,
                  skua__identity *ret_identity) {
    skua__certificate certificate;
    skua__identity identity;
    if (!skua__zap_lookup(&node->zap, user_id, &certificate)) {
        return false;
    }
    skua__mutex_lock(&node->lock);
    bool found = identify_locked(node, &certificate, claimed, &identity);
    skua__mutex_unlock(&node->lock);
    if (found) {
        *ret_identity = identity;
    }
    return found;
}

bool
skua__node_who(skua_node *node, const char *user_id, skua__identity *ret_identity) {
    return skua__node_who_is(node, user_id, NULL, ret_identity);
}
