// SPDX-License-Identifier: MPL-2.0
// The codec of control frames, and the choice of a protocol version.
#include <skua-int/buf.h>
#include <skua-int/control.h>
#include <skua-int/fail.h>

enum {
    MAGIC = 0x53, /* 'S' */
    HELLO_BYTES = 2 + 2 + 8 + 16 + 8 + 8 + 2 + 2 + 4,
    PING_BYTES = 24,
    ENTRY_FIXED_BYTES = SKUA__PEER_ENTRY_MAX - SKUA__CERTIFICATE_MAX,
};

static const char *const result_texts[SKUA__CONTROL_RESULTS] = {
    [SKUA__CONTROL_OK] = "ok",
    [SKUA__CONTROL_TOO_SHORT] = "too_short",
    [SKUA__CONTROL_TOO_LONG] = "too_long",
    [SKUA__CONTROL_NOT_SKUA] = "not_skua",
    [SKUA__CONTROL_BAD_SIZE] = "bad_size",
    [SKUA__CONTROL_BAD_FIELD] = "bad_field",
    [SKUA__CONTROL_UNKNOWN] = "unknown",
    [SKUA__CONTROL_UNKNOWN_CRITICAL] = "unknown_critical",
};

const char *
skua__control_result_text(skua__control_result result) {
    return (unsigned)result < SKUA__CONTROL_RESULTS ? result_texts[result] : "unknown_result";
}

static bool
printable(const uint8_t *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static size_t
body_size(const skua__control *control) {
    switch (control->type) {
    case SKUA__CONTROL_HELLO:
        return HELLO_BYTES;
    case SKUA__CONTROL_PING:
    case SKUA__CONTROL_PONG:
        return PING_BYTES;
    case SKUA__CONTROL_RECORD:
        return control->record.size;
    case SKUA__CONTROL_PEERS:
        return 2 + control->peers.entries.size;
    case SKUA__CONTROL_BYE:
        return 8;
    case SKUA__CONTROL_APP:
        return 2 + control->app.bytes.size;
    case SKUA__CONTROL_CRL:
        return control->crl.size;
    case SKUA__CONTROL_REFUSE:
        return 4 + control->refuse.text.size;
    case SKUA__CONTROL_PROBE:
        break;
    }
    return control->raw.size;
}

size_t
skua__control_size(const skua__control *control) {
    return SKUA__CONTROL_HEADER + body_size(control);
}

static void
write_span(skua__writer *writer, skua__span span) {
    skua__write_bytes(writer, span.bytes, span.size);
}

static void
write_hello(skua__writer *writer, const skua__hello *hello) {
    skua__write_u16(writer, hello->version_min);
    skua__write_u16(writer, hello->version_max);
    skua__write_u64(writer, hello->features);
    skua__write_bytes(writer, hello->uuid.bytes, sizeof hello->uuid.bytes);
    skua__write_u64(writer, hello->incarnation);
    skua__write_u64(writer, hello->serial);
    skua__write_u16(writer, hello->control_port);
    skua__write_u16(writer, hello->introduction_port);
    skua__write_u32(writer, hello->record_version);
}

static void
write_body(skua__writer *writer, const skua__control *control) {
    switch (control->type) {
    case SKUA__CONTROL_HELLO:
        write_hello(writer, &control->hello);
        return;
    case SKUA__CONTROL_PING:
    case SKUA__CONTROL_PONG:
        skua__write_u64(writer, control->ping.id);
        skua__write_u64(writer, (uint64_t)control->ping.sent_ns);
        skua__write_u64(writer, (uint64_t)control->ping.held_ns);
        return;
    case SKUA__CONTROL_RECORD:
        write_span(writer, control->record);
        return;
    case SKUA__CONTROL_PEERS:
        skua__write_u16(writer, control->peers.count);
        write_span(writer, control->peers.entries);
        return;
    case SKUA__CONTROL_BYE:
        skua__write_u64(writer, control->bye.incarnation);
        return;
    case SKUA__CONTROL_APP:
        skua__write_u16(writer, control->app.channel);
        write_span(writer, control->app.bytes);
        return;
    case SKUA__CONTROL_CRL:
        write_span(writer, control->crl);
        return;
    case SKUA__CONTROL_REFUSE:
        skua__write_u32(writer, (uint32_t)control->refuse.status);
        write_span(writer, control->refuse.text);
        return;
    case SKUA__CONTROL_PROBE:
        break;
    }
    write_span(writer, control->raw);
}

/* Bounds that both directions keep. */
static bool
fields_valid(const skua__control *control) {
    switch (control->type) {
    case SKUA__CONTROL_HELLO:
        return control->hello.version_min >= 1 &&
               control->hello.version_min <= control->hello.version_max &&
               control->hello.incarnation != 0;
    case SKUA__CONTROL_PEERS:
        return control->peers.count <= SKUA__CONTROL_PEERS_MAX;
    case SKUA__CONTROL_BYE:
        return control->bye.incarnation != 0;
    case SKUA__CONTROL_APP:
        return control->app.bytes.size <= SKUA__CONTROL_APP_MAX;
    case SKUA__CONTROL_REFUSE:
        return control->refuse.status < 0 && control->refuse.text.size <= SKUA__CONTROL_TEXT_MAX &&
               printable(control->refuse.text.bytes, control->refuse.text.size);
    default:
        return true;
    }
}

size_t
skua__control_encode(const skua__control *control, void *bytes, size_t size) {
    size_t whole = skua__control_size(control);
    if (whole > SKUA__CONTROL_MAX || whole > size || !fields_valid(control)) {
        return 0;
    }
    skua__writer writer = skua__writer_of(bytes, size);
    skua__write_u8(&writer, MAGIC);
    skua__write_u8(&writer, (uint8_t)control->type);
    skua__write_u8(&writer, control->flags);
    skua__write_u8(&writer, control->version);
    skua__write_u32(&writer, (uint32_t)(whole - SKUA__CONTROL_HEADER));
    write_body(&writer, control);
    return writer.failed ? 0 : writer.used;
}

static void
read_hello(skua__reader *body, skua__hello *ret) {
    ret->version_min = skua__read_u16(body);
    ret->version_max = skua__read_u16(body);
    ret->features = skua__read_u64(body);
    skua__read_copy(body, ret->uuid.bytes, sizeof ret->uuid.bytes);
    ret->incarnation = skua__read_u64(body);
    ret->serial = skua__read_u64(body);
    ret->control_port = skua__read_u16(body);
    ret->introduction_port = skua__read_u16(body);
    ret->record_version = skua__read_u32(body);
}

static skua__span
rest_of(const skua__reader *body) {
    return (skua__span){.bytes = body->at, .size = body->left};
}

/* Exactly count entries, and nothing behind them. */
static bool
entries_valid(skua__span entries, unsigned count) {
    skua__peer_entry entry;
    for (unsigned i = 0; i < count; i++) {
        if (!skua__peers_next(&entries, &entry)) {
            return false;
        }
    }
    return entries.size == 0;
}

/* Returns false for a body that is too short or breaks a bound; a HELLO, PING or BYE may be longer than we know it. */
static bool
read_body(skua__control *control, skua__reader *body) {
    switch (control->type) {
    case SKUA__CONTROL_HELLO:
        read_hello(body, &control->hello);
        break;
    case SKUA__CONTROL_PING:
    case SKUA__CONTROL_PONG:
        control->ping.id = skua__read_u64(body);
        control->ping.sent_ns = (int64_t)skua__read_u64(body);
        control->ping.held_ns = (int64_t)skua__read_u64(body);
        break;
    case SKUA__CONTROL_RECORD:
        control->record = rest_of(body);
        break;
    case SKUA__CONTROL_PEERS:
        control->peers.count = skua__read_u16(body);
        control->peers.entries = rest_of(body);
        return !body->failed && fields_valid(control) &&
               entries_valid(control->peers.entries, control->peers.count);
    case SKUA__CONTROL_BYE:
        control->bye.incarnation = skua__read_u64(body);
        break;
    case SKUA__CONTROL_APP:
        control->app.channel = skua__read_u16(body);
        control->app.bytes = rest_of(body);
        break;
    case SKUA__CONTROL_CRL:
        control->crl = rest_of(body);
        break;
    case SKUA__CONTROL_REFUSE:
        control->refuse.status = (int32_t)skua__read_u32(body);
        control->refuse.text = rest_of(body);
        break;
    case SKUA__CONTROL_PROBE:
        control->raw = rest_of(body);
        break;
    }
    return !body->failed && fields_valid(control);
}

skua__control_result
skua__control_decode(const void *bytes, size_t size, skua__control *ret) {
    if (size < SKUA__CONTROL_HEADER) {
        return SKUA__CONTROL_TOO_SHORT;
    }
    if (size > SKUA__CONTROL_MAX) {
        return SKUA__CONTROL_TOO_LONG;
    }
    skua__reader reader = skua__reader_of(bytes, size);
    if (skua__read_u8(&reader) != MAGIC) {
        return SKUA__CONTROL_NOT_SKUA;
    }
    skua__control control = {.type = (skua__control_type)skua__read_u8(&reader)};
    control.flags = skua__read_u8(&reader);
    control.version = skua__read_u8(&reader);
    if (skua__read_u32(&reader) != reader.left) {
        return SKUA__CONTROL_BAD_SIZE;
    }
    if (control.type < SKUA__CONTROL_HELLO || control.type > SKUA__CONTROL_REFUSE) {
        control.raw = rest_of(&reader);
        *ret = control;
        return control.flags & SKUA__CONTROL_CRITICAL ? SKUA__CONTROL_UNKNOWN_CRITICAL
                                                      : SKUA__CONTROL_UNKNOWN;
    }
    if (!read_body(&control, &reader)) {
        return SKUA__CONTROL_BAD_FIELD;
    }
    *ret = control;
    return SKUA__CONTROL_OK;
}

bool
skua__peers_append(void *bytes, size_t size, size_t *used, const skua__peer_entry *entry) {
    uint8_t certificate[SKUA__CERTIFICATE_MAX];
    size_t certificate_size =
        skua__certificate_encode(&entry->certificate, certificate, sizeof certificate);
    if (size - *used < ENTRY_FIXED_BYTES + certificate_size) {
        return false;
    }
    skua__writer writer = skua__writer_of((uint8_t *)bytes + *used, size - *used);
    skua__write_bytes(&writer, entry->uuid.bytes, sizeof entry->uuid.bytes);
    skua__write_u64(&writer, entry->incarnation);
    skua__write_u8(&writer, entry->address.family);
    skua__write_bytes(&writer, entry->address.bytes, sizeof entry->address.bytes);
    skua__write_u16(&writer, entry->control_port);
    skua__write_u16(&writer, entry->introduction_port);
    skua__write_u16(&writer, (uint16_t)certificate_size);
    skua__write_bytes(&writer, certificate, certificate_size);
    *used += writer.used;
    return true;
}

bool
skua__peers_next(skua__span *entries, skua__peer_entry *ret) {
    skua__reader reader = skua__reader_of(entries->bytes, entries->size);
    skua__peer_entry entry = {0};
    skua__read_copy(&reader, entry.uuid.bytes, sizeof entry.uuid.bytes);
    entry.incarnation = skua__read_u64(&reader);
    entry.address.family = skua__read_u8(&reader);
    skua__read_copy(&reader, entry.address.bytes, sizeof entry.address.bytes);
    entry.control_port = skua__read_u16(&reader);
    entry.introduction_port = skua__read_u16(&reader);
    size_t certificate_size = skua__read_u16(&reader);
    const uint8_t *certificate = skua__read_bytes(&reader, certificate_size);
    bool family_known = entry.address.family == 4 || entry.address.family == 6;
    if (!certificate || !family_known || entry.incarnation == 0 || entry.control_port == 0 ||
        skua__certificate_decode(certificate, certificate_size, &entry.certificate) !=
            SKUA__CERTIFICATE_OK) {
        return false;
    }
    *entries = rest_of(&reader);
    *ret = entry;
    return true;
}

skua_status
skua__version_negotiate(uint16_t our_min, uint16_t our_max, const skua__hello *theirs,
                        const char *peer_name, uint16_t *ret_version, skua_error *err) {
    uint16_t highest = our_max < theirs->version_max ? our_max : theirs->version_max;
    uint16_t lowest = our_min > theirs->version_min ? our_min : theirs->version_min;
    if (highest < lowest) {
        bool we_are_older = our_max < theirs->version_min;
        return SKUA_FAIL(err, SKUA_E_PROTOCOL_VERSION,
                         "we speak protocol versions %u to %u, the peer \"%s\" speaks %u to %u; "
                         "upgrade skua %s",
                         our_min, our_max, peer_name ? peer_name : "?", theirs->version_min,
                         theirs->version_max, we_are_older ? "here" : "there");
    }
    *ret_version = highest;
    return SKUA_OK;
}
