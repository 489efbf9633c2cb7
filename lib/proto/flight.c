// SPDX-License-Identifier: MPL-2.0
// The flight recorder's codec, and the replay that steps the same machines again.
#include <skua-int/buf.h>
#include <skua-int/flight.h>
#include <skua-int/hash.h>
#include <skua/error.h>

#include <assert.h>

static const char magic[8] = "SKUAFLT";

void
skua__flight_header_encode(const skua__flight_header *header,
                           uint8_t ret[SKUA__FLIGHT_HEADER_BYTES]) {
    skua__writer writer = skua__writer_of(ret, SKUA__FLIGHT_HEADER_BYTES);
    skua__write_bytes(&writer, magic, sizeof magic);
    skua__write_u16(&writer, SKUA__FLIGHT_VERSION);
    skua__write_u16(&writer, SKUA__FLIGHT_ENTRY_BYTES);
    skua__write_u32(&writer, 0);
    skua__write_bytes(&writer, header->self.bytes, sizeof header->self.bytes);
    skua__write_u64(&writer, header->incarnation);
    skua__write_u32(&writer, (uint32_t)(header->heartbeat_ns / 1000));
    skua__write_u32(&writer, (uint32_t)header->lost);
    skua__write_u64(&writer, header->seed);
    skua__write_u64(&writer, (uint64_t)header->wall_s);
    assert(!writer.failed && writer.used == SKUA__FLIGHT_HEADER_BYTES);
}

bool
skua__flight_header_decode(const void *bytes, size_t size, skua__flight_header *ret) {
    skua__reader reader = skua__reader_of(bytes, size);
    const uint8_t *found = skua__read_bytes(&reader, sizeof magic);
    if (!found || size < SKUA__FLIGHT_HEADER_BYTES || memcmp(found, magic, sizeof magic) != 0 ||
        skua__read_u16(&reader) != SKUA__FLIGHT_VERSION ||
        skua__read_u16(&reader) != SKUA__FLIGHT_ENTRY_BYTES || skua__read_u32(&reader) != 0) {
        return false;
    }
    skua__flight_header header = {0};
    skua__read_copy(&reader, header.self.bytes, sizeof header.self.bytes);
    header.incarnation = skua__read_u64(&reader);
    header.heartbeat_ns = (int64_t)skua__read_u32(&reader) * 1000;
    header.lost = skua__read_u32(&reader);
    header.seed = skua__read_u64(&reader);
    header.wall_s = (int64_t)skua__read_u64(&reader);
    if (header.heartbeat_ns == 0) {
        return false;
    }
    *ret = header;
    return true;
}

void
skua__flight_entry_encode(const skua__flight_entry *entry, uint8_t ret[SKUA__FLIGHT_ENTRY_BYTES]) {
    memset(ret, 0, SKUA__FLIGHT_ENTRY_BYTES);
    skua__writer writer = skua__writer_of(ret, SKUA__FLIGHT_ENTRY_BYTES);
    skua__write_u64(&writer, (uint64_t)entry->now_ns);
    skua__write_u8(&writer, (uint8_t)entry->kind);
    if (entry->kind == SKUA__FLIGHT_NOTE) {
        skua__write_u8(&writer, 0);
        skua__write_bytes(&writer, entry->note, strnlen(entry->note, sizeof entry->note - 1));
        return;
    }
    bool is_step = entry->kind == SKUA__FLIGHT_STEP;
    skua__write_u8(&writer, is_step ? entry->event.outgoing : entry->is_static);
    skua__write_u8(&writer, is_step ? (uint8_t)entry->event.kind : 0);
    skua__write_u8(&writer, is_step ? (uint8_t)entry->after : 0);
    skua__write_u32(&writer, is_step ? entry->event.link : 0);
    skua__write_bytes(&writer, entry->uuid.bytes, sizeof entry->uuid.bytes);
    skua__write_u64(&writer, is_step ? entry->event.incarnation : 0);
    skua__write_u32(&writer, is_step ? entry->actions : 0);
    assert(!writer.failed);
}

static bool
read_step(skua__reader *reader, uint8_t flag, skua__flight_entry *entry) {
    entry->event.outgoing = flag;
    entry->event.kind = (skua__peer_event_kind)skua__read_u8(reader);
    entry->after = (skua__peer_state)skua__read_u8(reader);
    entry->event.link = skua__read_u32(reader);
    skua__read_copy(reader, entry->uuid.bytes, sizeof entry->uuid.bytes);
    entry->event.incarnation = skua__read_u64(reader);
    entry->actions = skua__read_u32(reader);
    /* No link has the number 0: to a machine it means that there is none. */
    bool linked = entry->event.link != 0 || entry->event.kind != SKUA__PEER_LINK_UP;
    return flag <= 1 && linked && entry->event.kind >= SKUA__PEER_SEEN &&
           entry->event.kind < SKUA__PEER_EVENTS && entry->after < SKUA__PEER_STATES;
}

bool
skua__flight_entry_decode(const uint8_t bytes[SKUA__FLIGHT_ENTRY_BYTES], skua__flight_entry *ret) {
    skua__reader reader = skua__reader_of(bytes, SKUA__FLIGHT_ENTRY_BYTES);
    skua__flight_entry entry = {.now_ns = (int64_t)skua__read_u64(&reader)};
    entry.kind = (skua__flight_kind)skua__read_u8(&reader);
    uint8_t flag = skua__read_u8(&reader);
    switch (entry.kind) {
    case SKUA__FLIGHT_PEER:
        skua__read_bytes(&reader, 6);
        skua__read_copy(&reader, entry.uuid.bytes, sizeof entry.uuid.bytes);
        entry.is_static = flag == 1;
        if (flag > 1) {
            return false;
        }
        break;
    case SKUA__FLIGHT_STEP:
        if (!read_step(&reader, flag, &entry)) {
            return false;
        }
        break;
    case SKUA__FLIGHT_NOTE:
        skua__read_copy(&reader, entry.note, sizeof entry.note - 1);
        break;
    default:
        return false;
    }
    *ret = entry;
    return entry.now_ns >= 0;
}

uint32_t
skua__flight_digest(const skua__peer_actions *actions) {
    uint8_t bytes[SKUA__PEER_ACTIONS_MAX * 14];
    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    for (size_t i = 0; i < actions->count; i++) {
        const skua__peer_action *action = &actions->items[i];
        skua__write_u8(&writer, (uint8_t)action->kind);
        skua__write_u8(&writer, (uint8_t)action->reason);
        skua__write_u32(&writer, action->link);
        skua__write_u64(&writer, action->incarnation);
    }
    assert(!writer.failed);
    return skua__hash_bytes(bytes, writer.used);
}

/* ---- Replay ---- */

typedef struct replay {
    const skua_allocator *hook;
    skua__peer_config config;
    skua__hash peers; /* UUID to machine */
    void (*step)(void *arg, const skua__flight_entry *entry, const skua__peer_fsm *fsm,
                 const skua__peer_actions *actions);
    void *arg;
    skua__flight_result result;
} replay;

static void
drop_peer(replay *self, const skua__uuid *uuid) {
    skua__mem_free(self->hook, skua__hash_take(&self->peers, uuid, sizeof *uuid));
}

static skua_status
replay_peer(replay *self, const skua__flight_entry *entry) {
    if (skua__uuid_equal(&entry->uuid, &self->config.self)) {
        return SKUA_E_MALFORMED;
    }
    drop_peer(self, &entry->uuid);
    if (self->peers.count >= SKUA__FLIGHT_PEERS_MAX) {
        return SKUA_E_LIMIT;
    }
    skua__peer_fsm *fsm = skua__mem_new(self->hook, sizeof *fsm);
    if (!fsm) {
        return SKUA_E_NO_MEMORY;
    }
    skua__peer_init(fsm, &self->config, &entry->uuid, entry->is_static, entry->now_ns);
    if (skua__hash_put(&self->peers, &fsm->uuid, sizeof fsm->uuid, fsm) != 0) {
        skua__mem_free(self->hook, fsm);
        return SKUA_E_NO_MEMORY;
    }
    self->result.peers++;
    return SKUA_OK;
}

static void
replay_step(replay *self, const skua__flight_entry *entry) {
    skua__peer_fsm *fsm = skua__hash_get(&self->peers, &entry->uuid, sizeof entry->uuid);
    if (!fsm) {
        self->result.skipped++;
        return;
    }
    skua__peer_actions actions;
    skua__peer_step(fsm, &entry->event, entry->now_ns, &actions);
    uint32_t digest = skua__flight_digest(&actions);
    if (fsm->state != entry->after || digest != entry->actions) {
        if (self->result.divergences++ == 0) {
            self->result.first = (skua__flight_divergence){.entry = self->result.entries,
                                                           .recorded = entry->after,
                                                           .replayed = fsm->state,
                                                           .recorded_actions = entry->actions,
                                                           .replayed_actions = digest};
        }
    }
    self->result.steps++;
    if (self->step) {
        self->step(self->arg, entry, fsm, &actions);
    }
    if (actions.count && actions.items[actions.count - 1].kind == SKUA__PEER_DO_FORGET) {
        drop_peer(self, &entry->uuid);
    }
}

int
skua__flight_replay(const void *bytes, size_t size, const skua_allocator *hook,
                    void (*step)(void *arg, const skua__flight_entry *entry,
                                 const skua__peer_fsm *fsm, const skua__peer_actions *actions),
                    void *arg, skua__flight_result *ret_result) {
    skua__flight_header header;
    if (!skua__flight_header_decode(bytes, size, &header) || size % SKUA__FLIGHT_ENTRY_BYTES != 0) {
        return SKUA_E_MALFORMED;
    }
    replay self = {
        .hook = hook,
        .config = {.self = header.self, .heartbeat_ns = header.heartbeat_ns, .seed = header.seed},
        .step = step,
        .arg = arg};
    skua__hash_init(&self.peers, hook);
    skua_status status = SKUA_OK;
    const uint8_t *at = (const uint8_t *)bytes + SKUA__FLIGHT_HEADER_BYTES;
    const uint8_t *end = (const uint8_t *)bytes + size;
    for (; at < end && !status; at += SKUA__FLIGHT_ENTRY_BYTES, self.result.entries++) {
        skua__flight_entry entry;
        if (!skua__flight_entry_decode(at, &entry)) {
            status = SKUA_E_MALFORMED;
        } else if (entry.kind == SKUA__FLIGHT_PEER) {
            status = replay_peer(&self, &entry);
        } else if (entry.kind == SKUA__FLIGHT_STEP) {
            replay_step(&self, &entry);
        }
    }
    size_t position = 0;
    for (skua__peer_fsm *fsm; (fsm = skua__hash_next(&self.peers, &position)) != NULL;) {
        skua__mem_free(hook, fsm);
    }
    skua__hash_fini(&self.peers);
    if (!status) {
        *ret_result = self.result;
    }
    return status;
}
