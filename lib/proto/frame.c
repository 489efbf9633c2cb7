// SPDX-License-Identifier: MPL-2.0
// The codec of data links: headers, HELLO's TLVs, ACK's ranges, and the records of a BATCH.
#include <skua-int/buf.h>
#include <skua-int/frame.h>

#include <assert.h>

enum {
    BATCH_COUNT_BYTES = 4,
    RECORD_SIZE_BITS = 24,
};

/* HELLO's parts. The top bit of a type says that who does not know it must refuse. */
enum {
    TLV_VERSIONS = 1,
    TLV_FEATURES = 2,
    TLV_INCARNATION = 3,
    TLV_SERVICE = 4, /* kind, then the name */
    TLV_WINDOW = 5,
    TLV_PEER = 6, /* the session and epoch that seq counts */
    TLV_PATTERN = 7,
    TLV_TRACE = 8, /* a trace parent; not read yet */
    TLV_CRITICAL = 0x8000,
};

void
skua__frame_write(const skua__frame *frame, uint8_t *ret_bytes) {
    skua__writer writer = skua__writer_of(ret_bytes, SKUA__FRAME_HEADER_BYTES);
    skua__write_u16(&writer, SKUA__FRAME_MAGIC);
    skua__write_u8(&writer, frame->type);
    skua__write_u8(&writer, frame->flags);
    skua__write_u32(&writer, frame->session);
    skua__write_u64(&writer, frame->seq);
    skua__write_u64(&writer, frame->word);
    assert(!writer.failed && writer.used == SKUA__FRAME_HEADER_BYTES);
}

bool
skua__frame_read(const void *bytes, size_t size, skua__frame *ret_frame) {
    skua__reader reader = skua__reader_of(bytes, size);
    uint16_t magic = skua__read_u16(&reader);
    skua__frame frame = {.type = skua__read_u8(&reader), .flags = skua__read_u8(&reader)};
    frame.session = skua__read_u32(&reader);
    frame.seq = skua__read_u64(&reader);
    frame.word = skua__read_u64(&reader);
    if (reader.failed || magic != SKUA__FRAME_MAGIC || frame.session == 0 ||
        frame.type < SKUA__FRAME_DATA || frame.type > SKUA__FRAME_RESET ||
        frame.seq >= SKUA__SEQ_LIMIT) {
        return false;
    }
    if (frame.type != SKUA__FRAME_PING && frame.word >= SKUA__SEQ_LIMIT) {
        return false;
    }
    *ret_frame = frame;
    return true;
}

/* ---- HELLO ---- */

static void
write_tlv(skua__writer *writer, uint16_t type, size_t size) {
    skua__write_u16(writer, type);
    skua__write_u16(writer, (uint16_t)size);
}

size_t
skua__hello_write(const skua__link_hello *hello, uint8_t *ret_bytes, size_t size) {
    skua__writer writer = skua__writer_of(ret_bytes, size);
    write_tlv(&writer, TLV_VERSIONS, 4);
    skua__write_u16(&writer, hello->version_min);
    skua__write_u16(&writer, hello->version_max);
    write_tlv(&writer, TLV_FEATURES, 8);
    skua__write_u64(&writer, hello->features);
    write_tlv(&writer, TLV_INCARNATION, 8);
    skua__write_u64(&writer, hello->incarnation);
    size_t name_size = strnlen(hello->name, sizeof hello->name);
    write_tlv(&writer, TLV_SERVICE, 1 + name_size);
    skua__write_u8(&writer, hello->kind);
    skua__write_bytes(&writer, hello->name, name_size);
    write_tlv(&writer, TLV_WINDOW, 8);
    skua__write_u32(&writer, hello->window_bytes);
    skua__write_u32(&writer, hello->window_msgs);
    if (hello->peer_session) {
        write_tlv(&writer, TLV_PEER, 8);
        skua__write_u32(&writer, hello->peer_session);
        skua__write_u32(&writer, hello->peer_epoch);
    }
    if (hello->pattern_size) {
        if (hello->pattern_size > SKUA__HELLO_PATTERN_BYTES) {
            return 0;
        }
        write_tlv(&writer, TLV_PATTERN, hello->pattern_size);
        skua__write_bytes(&writer, hello->pattern, hello->pattern_size);
    }
    return writer.failed ? 0 : writer.used;
}

/* One part of HELLO; `value` holds exactly its bytes. */
static bool
read_hello_part(skua__link_hello *hello, uint16_t type, skua__reader *value) {
    switch (type & ~TLV_CRITICAL) {
    case TLV_VERSIONS:
        hello->version_min = skua__read_u16(value);
        hello->version_max = skua__read_u16(value);
        return hello->version_min <= hello->version_max;
    case TLV_FEATURES:
        hello->features = skua__read_u64(value);
        return true;
    case TLV_INCARNATION:
        hello->incarnation = skua__read_u64(value);
        return true;
    case TLV_SERVICE: {
        hello->kind = skua__read_u8(value);
        size_t size = value->left;
        if (size == 0 || size >= sizeof hello->name || memchr(value->at, 0, size)) {
            return false;
        }
        memset(hello->name, 0, sizeof hello->name);
        skua__read_copy(value, hello->name, size);
        return true;
    }
    case TLV_WINDOW:
        hello->window_bytes = skua__read_u32(value);
        hello->window_msgs = skua__read_u32(value);
        return true;
    case TLV_PEER:
        hello->peer_session = skua__read_u32(value);
        hello->peer_epoch = skua__read_u32(value);
        return hello->peer_session != 0;
    case TLV_PATTERN:
        hello->pattern_size = value->left;
        hello->pattern = skua__read_bytes(value, value->left);
        return hello->pattern_size <= SKUA__HELLO_PATTERN_BYTES;
    default:
        return !(type & TLV_CRITICAL);
    }
}

bool
skua__hello_read(const uint8_t *bytes, size_t size, skua__link_hello *ret_hello) {
    skua__link_hello hello = {0};
    skua__reader reader = skua__reader_of(bytes, size);
    if (size > SKUA__HELLO_MAX_BYTES) {
        return false;
    }
    while (reader.left) { /* each turn takes at least 4 bytes */
        uint16_t type = skua__read_u16(&reader);
        size_t value_size = skua__read_u16(&reader);
        const uint8_t *at = skua__read_bytes(&reader, value_size);
        if (!at) {
            return false;
        }
        skua__reader value = skua__reader_of(at, value_size);
        if (!read_hello_part(&hello, type, &value) || value.failed) {
            return false;
        }
    }
    if (reader.failed || hello.version_min == 0 || hello.name[0] == 0) {
        return false;
    }
    *ret_hello = hello;
    return true;
}

/* ---- ACK ---- */

size_t
skua__ack_write(const skua__ack *ack, uint8_t *ret_bytes) {
    assert(ack->range_count <= SKUA__ACK_RANGES_MAX);
    skua__writer writer = skua__writer_of(ret_bytes, SKUA__ACK_BODY_MAX_BYTES);
    skua__write_u32(&writer, ack->session);
    skua__write_u32(&writer, ack->window_bytes);
    skua__write_u32(&writer, ack->window_msgs);
    skua__write_u32(&writer, ack->range_count);
    for (uint32_t i = 0; i < ack->range_count; i++) {
        skua__write_u64(&writer, ack->ranges[i].first);
        skua__write_u32(&writer, ack->ranges[i].count);
    }
    assert(!writer.failed);
    return writer.used;
}

bool
skua__ack_read(const skua__frame *header, const uint8_t *bytes, size_t size, skua__ack *ret_ack) {
    skua__reader reader = skua__reader_of(bytes, size);
    ret_ack->confirmed = header->seq;
    ret_ack->received = header->word;
    ret_ack->session = skua__read_u32(&reader);
    ret_ack->window_bytes = skua__read_u32(&reader);
    ret_ack->window_msgs = skua__read_u32(&reader);
    ret_ack->range_count = skua__read_u32(&reader);
    if (reader.failed || ret_ack->range_count > SKUA__ACK_RANGES_MAX ||
        reader.left != (size_t)12 * ret_ack->range_count ||
        ret_ack->confirmed > ret_ack->received) {
        return false;
    }
    uint64_t from = ret_ack->confirmed;
    for (uint32_t i = 0; i < ret_ack->range_count; i++) {
        skua__range *range = &ret_ack->ranges[i];
        range->first = skua__read_u64(&reader);
        range->count = skua__read_u32(&reader);
        if (range->first < from || range->first > ret_ack->received || range->count == 0 ||
            range->count > ret_ack->received - range->first) {
            return false;
        }
        from = range->first + range->count;
    }
    return !reader.failed;
}

/* ---- Records ---- */

size_t
skua__record_write(uint8_t flags, const void *tag, size_t tag_size, size_t body_size, bool in_batch,
                   uint8_t *ret_bytes) {
    assert(tag_size <= SKUA__FRAME_TAG_MAX_BYTES);
    size_t used = 0;
    size_t tag_bytes = tag_size ? 1 + tag_size : 0;
    flags = (uint8_t)(flags & ~SKUA__FLAG_TAG);
    if (tag_size) {
        flags |= SKUA__FLAG_TAG;
    }
    if (in_batch) {
        size_t size = tag_bytes + body_size;
        assert(size <= SKUA__BATCH_RECORD_BYTES_MAX);
        ret_bytes[used++] = (uint8_t)size;
        ret_bytes[used++] = (uint8_t)(size >> 8);
        ret_bytes[used++] = (uint8_t)(size >> 16);
        ret_bytes[used++] = flags;
    }
    if (tag_size) {
        ret_bytes[used++] = (uint8_t)tag_size;
        memcpy(ret_bytes + used, tag, tag_size);
        used += tag_size;
    }
    return used;
}

/* The record whose tag and body are the `size` bytes at `at`. Returns false when the tag does not fit. */
static bool
read_record(const uint8_t *bytes, size_t at, size_t size, uint8_t flags,
            skua__link_record *ret_record) {
    *ret_record = (skua__link_record){.flags = flags, .body_offset = at, .body_size = size};
    if (!(flags & SKUA__FLAG_TAG)) {
        return true;
    }
    if (size < 1 || bytes[at] == 0 || bytes[at] > SKUA__FRAME_TAG_MAX_BYTES ||
        (size_t)bytes[at] + 1 > size) {
        return false;
    }
    ret_record->tag_size = bytes[at];
    ret_record->tag = bytes + at + 1;
    ret_record->body_offset += (size_t)1 + ret_record->tag_size;
    ret_record->body_size -= (size_t)1 + ret_record->tag_size;
    return true;
}

bool
skua__records_next(skua__records *records, skua__link_record *ret_record) {
    if (records->left == 0) {
        return false;
    }
    records->left--;
    if (!records->batch) {
        return read_record(records->bytes, records->at, records->size - records->at,
                           records->data_flags, ret_record);
    }
    if (records->size - records->at < 4) {
        return false;
    }
    const uint8_t *word = records->bytes + records->at;
    size_t size = (size_t)word[0] | (size_t)word[1] << 8 | (size_t)word[2] << 16;
    records->at += 4;
    if (size > records->size - records->at) {
        return false;
    }
    size_t at = records->at;
    records->at += size;
    return read_record(records->bytes, at, size, word[3], ret_record);
}

uint32_t
skua__records_open(skua__records *records, const skua__frame *header, const void *bytes,
                   size_t size) {
    if (size < SKUA__FRAME_HEADER_BYTES) {
        return 0;
    }
    *records = (skua__records){.bytes = bytes,
                               .size = size,
                               .at = SKUA__FRAME_HEADER_BYTES,
                               .left = 1,
                               .data_flags = header->flags,
                               .batch = header->type == SKUA__FRAME_BATCH};
    if (records->batch) {
        skua__reader reader = skua__reader_of(records->bytes + records->at, size - records->at);
        records->left = skua__read_u32(&reader);
        records->at += BATCH_COUNT_BYTES;
        if (reader.failed || records->left > SKUA__BATCH_RECORDS_MAX) {
            return 0;
        }
    }
    uint32_t count = records->left;
    skua__records walk = *records;
    skua__link_record record;
    for (uint32_t i = 0; i < count; i++) {
        if (!skua__records_next(&walk, &record)) {
            return 0;
        }
    }
    return records->batch && walk.at != walk.size ? 0 : count;
}
