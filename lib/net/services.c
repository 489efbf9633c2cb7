// SPDX-License-Identifier: MPL-2.0
// Our record (what we offer), the watches (who wants to know who offers what), and the upper layers' control messages.
// Records travel whole: after any change the newest one goes to every peer, however many changes it sums up.
#include "node_priv.h"

#include <skua/fleet.h>

#include <stdio.h>

struct skua__watch {
    skua__list all; /* in node->watches; the node's thread only */
    skua_node *node;
    skua__service_kind kind;
    char name[SKUA_NAME_BYTES];
    void (*fn)(void *arg, skua__provider_event event, const skua__provider *provider);
    void *arg;
};

/* ---- Watches ---- */

static void
provider_of(skua_node *node, const skua__peer *peer, uint64_t incarnation,
            const skua__service *service, skua__provider *ret) {
    const skua__certificate *certificate =
        peer ? &peer->certificate : &node->credentials.certificate;
    *ret = (skua__provider){.node = peer ? peer->uuid : node->uuid,
                            .incarnation = incarnation,
                            .port = service->port,
                            .version = service->version};
    memcpy(ret->name, certificate->name, sizeof ret->name);
    snprintf(ret->host, sizeof ret->host, "%s", peer ? peer->host : "127.0.0.1");
    memcpy(ret->curve_key, certificate->curve_key, sizeof ret->curve_key);
}

static bool
offers_same(const skua__record *record, const skua__service *service) {
    if (!record) {
        return false;
    }
    const skua__service *found = skua__record_find_service(record, service->kind, service->name);
    const skua__service *end = record->services + record->service_count;
    for (; found && found < end && found->kind == service->kind &&
           strcmp(found->name, service->name) == 0;
         found++) {
        if (found->port == service->port && found->version == service->version) {
            return true;
        }
    }
    return false;
}

/* What a node's certificate must say for its offer to count: its own word that it may is worth nothing. */
static uint32_t
role_to_offer(skua__service_kind kind) {
    switch (kind) {
    case SKUA__SERVICE_PUB:
        return SKUA__ROLE_PUBLISH;
    case SKUA__SERVICE_PULL:
        return SKUA__ROLE_PULL;
    case SKUA__SERVICE_REP:
        return SKUA__ROLE_SERVE;
    case SKUA__SERVICE_TASK:
        return SKUA__ROLE_WORK;
    }
    return SKUA__ROLE_ALL;
}

static bool
may_offer(const skua__peer *peer, skua__service_kind kind) {
    uint32_t role = role_to_offer(kind);
    return !peer || (peer->certificate.roles & role) == role;
}

/* Calls the watch for each service of `in` that it wants and that is not in `except`. */
static void
tell_watch(skua__watch *watch, skua__provider_event event, const skua__peer *peer,
           uint64_t incarnation, const skua__record *in, const skua__record *except) {
    if (!may_offer(peer, watch->kind)) {
        return;
    }
    for (size_t i = 0; in && i < in->service_count; i++) {
        const skua__service *service = &in->services[i];
        if (service->kind == watch->kind && strcmp(service->name, watch->name) == 0 &&
            !offers_same(except, service)) {
            skua__provider provider;
            provider_of(watch->node, peer, incarnation, service, &provider);
            watch->fn(watch->arg, event, &provider);
        }
    }
}

void
skua__services_changed(skua_node *node, const skua__peer *peer, uint64_t incarnation,
                       const skua__record *before, const skua__record *after) {
    SKUA_LIST_EACH(at, &node->watches) {
        skua__watch *watch = SKUA_CONTAINER_OF(at, skua__watch, all);
        tell_watch(watch, SKUA__PROVIDER_DOWN, peer, incarnation, before, after);
        tell_watch(watch, SKUA__PROVIDER_UP, peer, incarnation, after, before);
    }
}

/* Every provider that is known now. */
static void
tell_all(skua__watch *watch) {
    skua_node *node = watch->node;
    tell_watch(watch, SKUA__PROVIDER_UP, NULL, node->incarnation, &node->announced, NULL);
    size_t position = 0;
    for (skua__peer *peer; (peer = skua__hash_next(&node->peers, &position)) != NULL;) {
        if (peer->joined && peer->has_record) {
            tell_watch(watch, SKUA__PROVIDER_UP, peer, peer->incarnation, &peer->record, NULL);
        }
    }
}

static void
watch_begins(void *arg) {
    skua__watch *watch = arg;
    skua__list_push_back(&watch->node->watches, &watch->all);
    tell_all(watch);
}

static void
watch_ends(void *arg) {
    skua__watch *watch = arg;
    skua__list_remove(&watch->all);
}

static skua_status
check_role(const skua_node *node, uint32_t role, skua_error *err) {
    uint32_t held = node->credentials.certificate.roles;
    if ((held & role) == role) {
        return SKUA_OK;
    }
    const char *name = node->credentials.certificate.name;
    char needed[SKUA_FLEET_ROLES_BYTES], holds[SKUA_FLEET_ROLES_BYTES];
    return SKUA_FAIL(err, SKUA_E_NOT_AUTHORISED,
                     "the certificate of \"%s\" lacks the role %s (it has: %s); issue one with "
                     "`skua fleet issue %s --roles %s`",
                     name, skua_fleet_roles_text(role & ~held, needed, sizeof needed),
                     skua_fleet_roles_text(held, holds, sizeof holds), name, needed);
}

skua_status
skua__node_watch(skua_node *node, skua__service_kind kind, const char *name, uint32_t role,
                 void (*fn)(void *arg, skua__provider_event event, const skua__provider *provider),
                 void *arg, skua__watch **ret_watch, skua_error *err) {
    skua_status status = skua__node_check(node, err);
    if (!status && !skua__name_valid(name)) {
        status = SKUA_FAIL(err, SKUA_E_BAD_NAME, "the service's name \"%.80s\" is not allowed",
                           name ? name : "");
    }
    status = status ? status : check_role(node, role, err);
    if (status) {
        return status;
    }
    skua__watch *watch = skua__mem_new(node->hook, sizeof *watch);
    if (!watch) {
        return SKUA_FAIL_MEMORY(err, "a watch");
    }
    *watch = (skua__watch){.node = node, .kind = kind, .fn = fn, .arg = arg};
    snprintf(watch->name, sizeof watch->name, "%s", name);
    skua__list_init(&watch->all);
    status = skua__host_post(&node->host, watch_begins, watch);
    if (status) {
        skua__mem_free(node->hook, watch);
        return SKUA_FAIL(err, status, "cannot watch \"%s\"", name);
    }
    *ret_watch = watch;
    return SKUA_OK;
}

skua__watch *
skua__node_unwatch(skua_node *node, skua__watch *watch) {
    if (!watch) {
        return NULL;
    }
    skua__host_call(&node->host, watch_ends, watch);
    return skua__mem_free(node->hook, watch);
}

char *
skua__node_offered_text(skua_node *node, skua__service_kind kind, char *ret, size_t ret_size) {
    skua__mutex_lock(&node->lock);
    int length = snprintf(ret, ret_size, "%zu peer%s; offered:", node->joined_count,
                          node->joined_count == 1 ? "" : "s");
    size_t used = length > 0 ? (size_t)length : 0, names = 0, position = 0;
    for (skua__peer *peer; (peer = skua__hash_next(&node->peers, &position)) != NULL;) {
        bool counts = peer->joined && peer->has_record && may_offer(peer, kind);
        for (size_t i = 0; counts && i < peer->record.service_count; i++) {
            const skua__service *service = &peer->record.services[i];
            if (service->kind == kind && used + strlen(service->name) + 3 < ret_size) {
                used += (size_t)snprintf(ret + used, ret_size - used, "%s %s", names ? "," : "",
                                         service->name);
                names++;
            }
        }
    }
    skua__mutex_unlock(&node->lock);
    if (!names && used < ret_size) {
        snprintf(ret + used, ret_size - used, " nothing");
    }
    return ret;
}

/* ---- Our record ---- */

static void
send_to_all(skua_node *node) {
    size_t position = 0;
    for (skua__peer *peer; (peer = skua__hash_next(&node->peers, &position)) != NULL;) {
        if (peer->link) {
            skua__clink_send_record(peer->link);
        }
    }
}

/* Takes over what other threads changed in the record, tells the watches and the peers. */
static void
record_changed(void *arg) {
    skua_node *node = arg;
    skua__record now;
    skua__mutex_lock(&node->lock);
    node->record_posted = false;
    skua_status status = skua__record_copy(&node->record, node->hook, &now);
    skua__mutex_unlock(&node->lock);
    if (status) {
        /* The tick looks again. */
        skua__mutex_lock(&node->lock);
        node->record_stale = true;
        skua__mutex_unlock(&node->lock);
        return;
    }
    skua__record before = node->announced;
    node->announced = now;
    skua__services_changed(node, NULL, node->incarnation, &before, &node->announced);
    skua__record_fini(&before);
    send_to_all(node);
}

void
skua__services_tick(skua_node *node) {
    skua__mutex_lock(&node->lock);
    bool stale = node->record_stale;
    node->record_stale = false;
    skua__mutex_unlock(&node->lock);
    if (stale) {
        record_changed(node);
    }
    if (node->watches_stale) {
        node->watches_stale = false;
        SKUA_LIST_EACH(at, &node->watches) {
            tell_all(SKUA_CONTAINER_OF(at, skua__watch, all));
        }
    }
}

void
skua__node_watch_again(skua_node *node) {
    node->watches_stale = true;
}

/* After a change under the lock: the newest record goes out once, whatever else changes until then. */
static void
announce_locked(skua_node *node) {
    node->record.version++;
    if (node->record_posted) {
        return;
    }
    node->record_posted = skua__host_post(&node->host, record_changed, node) == SKUA_OK;
    node->record_stale = !node->record_posted;
}

skua_status
skua__node_offer(skua_node *node, skua__service_kind kind, const char *name, uint32_t version,
                 uint16_t port, uint32_t role, uint32_t *ret_offer, skua_error *err) {
    skua_status status = skua__node_check(node, err);
    status = status ? status : check_role(node, role, err);
    if (status) {
        return status;
    }
    if (!skua__name_valid(name)) {
        return SKUA_FAIL(err, SKUA_E_BAD_NAME, "the service's name \"%.80s\" is not allowed",
                         name ? name : "");
    }
    skua__service service = {.kind = kind, .version = version, .port = port};
    snprintf(service.name, sizeof service.name, "%s", name);
    skua__mutex_lock(&node->lock);
    status = node->offer_count == SKUA_NODE_MAX_SERVICES
                 ? SKUA_E_LIMIT
                 : skua__record_add_service(&node->record, &service);
    if (!status) {
        skua__offer *offer = &node->offers[node->offer_count++];
        *offer = (skua__offer){.id = ++node->next_offer, .kind = kind, .port = port};
        memcpy(offer->name, service.name, sizeof offer->name);
        *ret_offer = offer->id;
        announce_locked(node);
    }
    skua__mutex_unlock(&node->lock);
    return status ? SKUA_FAIL(err, status, "cannot offer \"%s\"; a node offers at most %d services",
                              name, SKUA_NODE_MAX_SERVICES)
                  : SKUA_OK;
}

void
skua__node_withdraw(skua_node *node, uint32_t id) {
    skua__mutex_lock(&node->lock);
    for (size_t i = 0; i < node->offer_count; i++) {
        skua__offer *offer = &node->offers[i];
        if (offer->id == id) {
            skua__record_remove_service(&node->record, offer->kind, offer->name, offer->port);
            *offer = node->offers[--node->offer_count];
            announce_locked(node);
            break;
        }
    }
    skua__mutex_unlock(&node->lock);
}

static uint64_t
little_endian(const void *bytes, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)((const uint8_t *)bytes)[i] << (8 * i);
    }
    return value;
}

/* The capabilities that have a place of their own in the record. Returns false for a size that does not fit. */
static bool
known_capability(skua__record *record, const char *key, const void *bytes, size_t size) {
    uint32_t *place = !strcmp(key, "cores")   ? &record->cores
                      : !strcmp(key, "numa")  ? &record->numa
                      : !strcmp(key, "queue") ? &record->queue
                                              : NULL;
    if (place) {
        if (size != 0 && size != sizeof *place) {
            return false;
        }
        *place = (uint32_t)little_endian(bytes, size);
    } else if (strcmp(key, "memory") == 0) {
        if (size != 0 && size != sizeof record->memory_bytes) {
            return false;
        }
        record->memory_bytes = little_endian(bytes, size);
    } else if (strcmp(key, "devices") == 0) {
        uint32_t lines = 0;
        for (size_t i = 0; i < size; i++) {
            lines += ((const char *)bytes)[i] == '\n';
        }
        record->devices = lines + (size && ((const char *)bytes)[size - 1] != '\n');
    }
    return true;
}

skua_status
skua_node_set_capability(skua_node *node, const char *key, const void *bytes, size_t size_bytes,
                         skua_error *err) {
    skua_status status = skua__node_check(node, err);
    if (status) {
        return status;
    }
    if (!key || (size_bytes && !bytes)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "key or bytes is missing");
    }
    skua__mutex_lock(&node->lock);
    bool more = size_bytes && !skua__record_find_capability(&node->record, key) &&
                node->record.capability_count >= SKUA__PUBLIC_CAPABILITIES_MAX;
    status = more ? SKUA_E_LIMIT
                  : skua__record_set_capability(&node->record, key, size_bytes ? bytes : NULL,
                                                size_bytes);
    if (!status && !known_capability(&node->record, key, bytes, size_bytes)) {
        skua__record_set_capability(&node->record, key, NULL, 0);
        status = SKUA_E_BAD_ARGUMENT;
    }
    if (!status && skua__record_size(&node->record) > SKUA__RECORD_MAX) {
        skua__record_set_capability(&node->record, key, NULL, 0);
        status = SKUA_E_TOO_BIG;
    }
    if (!status) {
        announce_locked(node);
    }
    skua__mutex_unlock(&node->lock);
    return status ? SKUA_FAIL(err, status, "cannot set the capability \"%.80s\" of %zu bytes", key,
                              size_bytes)
                  : SKUA_OK;
}

skua_status
skua_node_peer_capability(skua_node *node, const char *id, const char *key, void *ret_bytes,
                          size_t capacity_bytes, size_t *ret_size, skua_error *err) {
    skua_status status = skua__node_check(node, err);
    skua__uuid uuid;
    if (status) {
        return status;
    }
    if (!id || !key || !ret_size || (capacity_bytes && !ret_bytes) ||
        !skua__uuid_parse(id, &uuid)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "id must be a node's UUID, and key and ret_size are needed");
    }
    skua__mutex_lock(&node->lock);
    const skua__record *record = NULL;
    if (skua__uuid_equal(&uuid, &node->uuid)) {
        record = &node->record;
    } else {
        const skua__peer *peer = skua__peer_find(node, &uuid);
        record = peer && peer->has_record ? &peer->record : NULL;
    }
    const skua__capability *found = record ? skua__record_find_capability(record, key) : NULL;
    if (found) {
        size_t size = found->size < capacity_bytes ? found->size : capacity_bytes;
        if (size) {
            memcpy(ret_bytes, found->bytes, size);
        }
        *ret_size = found->size;
    }
    skua__mutex_unlock(&node->lock);
    return found
               ? SKUA_OK
               : SKUA_FAIL(err, SKUA_E_NOT_FOUND, "the node %s says nothing of \"%.80s\"", id, key);
}

/* ---- Control messages of the upper layers ---- */

struct control_message {
    skua_node *node;
    skua__uuid to;
    uint16_t channel;
    size_t size;
    uint8_t bytes[];
};

static void
control_go(void *arg) {
    struct control_message *message = arg;
    skua_node *node = message->node;
    skua__mutex_lock(&node->lock);
    node->posted_control--;
    skua__mutex_unlock(&node->lock);
    skua__peer *peer = skua__peer_find(node, &message->to);
    if (peer && peer->link) {
        skua__control control = {
            .type = SKUA__CONTROL_APP,
            .version = (uint8_t)peer->link->version,
            .app = {.channel = message->channel,
                    .bytes = {.bytes = message->bytes, .size = message->size}}};
        skua__clink_send(peer->link, &control);
    } else {
        skua__count(node, SKUA__COUNTER(control_dropped_unknown));
    }
    skua__mem_free(node->hook, message);
}

skua_status
skua__node_control_send(skua_node *node, const skua__uuid *to, skua__control_channel channel,
                        const void *bytes, size_t size) {
    if (size > SKUA__CONTROL_APP_MAX) {
        return SKUA_E_TOO_BIG;
    }
    struct control_message *message = skua__mem_new(node->hook, sizeof *message + size);
    if (!message) {
        return SKUA_E_NO_MEMORY;
    }
    *message = (struct control_message){
        .node = node, .to = *to, .channel = (uint16_t)channel, .size = size};
    if (size) {
        memcpy(message->bytes, bytes, size);
    }
    skua__mutex_lock(&node->lock);
    const skua__peer *peer = skua__peer_find(node, to);
    skua_status status = !peer || !peer->joined ? SKUA_E_PEER_LOST
                         : node->posted_control >= SKUA__POSTED_CONTROL_MAX
                             ? SKUA_E_AGAIN
                             : skua__host_post(&node->host, control_go, message);
    node->posted_control += status == SKUA_OK;
    skua__mutex_unlock(&node->lock);
    if (status) {
        skua__mem_free(node->hook, message);
    }
    return status;
}

void
skua__control_deliver(skua_node *node, skua__peer *peer, uint16_t channel, const void *bytes,
                      size_t size) {
    if (channel >= SKUA__CONTROL_CHANNELS || !node->receivers[channel].fn) {
        skua__count(node, SKUA__COUNTER(control_dropped_unknown));
        return;
    }
    skua__identity from = {
        .node = peer->uuid, .incarnation = peer->incarnation, .roles = peer->certificate.roles};
    memcpy(from.name, peer->name, sizeof from.name);
    node->receivers[channel].fn(node->receivers[channel].arg, &from, bytes, size);
}

struct receive_call {
    skua_node *node;
    skua__control_channel channel;
    skua__control_receiver receiver;
    bool taken; /* another receiver is there */
};

static void
receive_go(void *arg) {
    struct receive_call *call = arg;
    skua__control_receiver *place = &call->node->receivers[call->channel];
    call->taken = call->receiver.fn && place->fn;
    if (!call->taken) {
        *place = call->receiver;
    }
}

skua_status
skua__node_control_receive(skua_node *node, skua__control_channel channel,
                           void (*fn)(void *arg, const skua__identity *from, const void *bytes,
                                      size_t size),
                           void *arg, skua_error *err) {
    if ((unsigned)channel >= SKUA__CONTROL_CHANNELS) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "there is no control channel %d", (int)channel);
    }
    struct receive_call call = {
        .node = node, .channel = channel, .receiver = {.fn = fn, .arg = arg}};
    skua_status status = SKUA_OK;
    if (skua__host_is_current(&node->host)) {
        receive_go(&call);
    } else {
        status = skua__host_call(&node->host, receive_go, &call);
    }
    if (!status && call.taken) {
        status = SKUA_E_EXISTS;
    }
    return status ? SKUA_FAIL(err, status, "cannot receive on control channel %d", (int)channel)
                  : SKUA_OK;
}

skua_status
skua__services_init(skua_node *node, skua_error *err) {
    skua__record_init(&node->record, node->hook);
    skua__record_init(&node->announced, node->hook);
    memcpy(node->record.name, node->credentials.certificate.name, sizeof node->record.name);
    node->record.version = 1;
    node->record.protocol_min = node->protocol_min;
    node->record.protocol_max = node->protocol_max;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) {
        node->record.cores = (uint32_t)CPU_COUNT(&cpus);
    }
    skua__record_fini(&node->announced);
    if (skua__record_copy(&node->record, node->hook, &node->announced)) {
        return SKUA_FAIL_MEMORY(err, "the node's record");
    }
    return SKUA_OK;
}

void
skua__services_fini(skua_node *node) {
    skua__record_fini(&node->record);
    skua__record_fini(&node->announced);
}
