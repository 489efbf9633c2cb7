// SPDX-License-Identifier: MPL-2.0
// The record: sorted, bounded tables, and their encoding as TLVs. One order of TLVs is written (by type, then by the
// table's order, unknown ones last); any order is read.
#include <skua-int/buf.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <skua-int/record.h>

#include <assert.h>

enum {
    PREFIX_BYTES = 4,     /* the version, before the TLVs */
    TLV_HEADER_BYTES = 4, /* type and size */
    SERVICE_BYTES = 8,    /* without the name */
    SCALARS = 7,          /* TLVs that stand in every record */
};

static const char *const result_texts[SKUA__RECORD_RESULTS] = {
    [SKUA__RECORD_OK] = "ok",
    [SKUA__RECORD_MALFORMED] = "malformed",
    [SKUA__RECORD_TOO_BIG] = "too_big",
    [SKUA__RECORD_CRITICAL] = "critical",
    [SKUA__RECORD_NO_MEMORY] = "no_memory",
};

const char *
skua__record_result_text(skua__record_result result) {
    return (unsigned)result < SKUA__RECORD_RESULTS ? result_texts[result] : "unknown";
}

void
skua__record_init(skua__record *record, const skua_allocator *hook) {
    *record = (skua__record){.hook = hook};
}

void
skua__record_fini(skua__record *record) {
    for (size_t i = 0; i < record->capability_count; i++) {
        skua__mem_free(record->hook, record->capabilities[i].bytes);
    }
    for (size_t i = 0; i < record->unknown_count; i++) {
        skua__mem_free(record->hook, record->unknown[i].bytes);
    }
    skua__mem_free(record->hook, record->services);
    skua__mem_free(record->hook, record->capabilities);
    skua__mem_free(record->hook, record->unknown);
    skua__record_init(record, record->hook);
}

/*
 * Room for one more row in a table. Capacities are the powers of two from 4 on, so that the count alone says
 * when a table is full. Returns the table, moved or not, or NULL (then the old one stands).
 */
static void *
room_for_one(const skua_allocator *hook, void *table, size_t count, size_t row_bytes) {
    if (table && (count < 4 || (count & (count - 1)) != 0)) {
        return table;
    }
    size_t capacity = count < 4 ? 4 : count * 2;
    return skua__mem_resize(hook, table, capacity * row_bytes);
}

static int
service_compare(const skua__service *a, skua__service_kind kind, const char *name, uint16_t port) {
    if (a->kind != kind) {
        return a->kind < kind ? -1 : 1;
    }
    int order = strcmp(a->name, name);
    return order ? order : (a->port > port) - (a->port < port);
}

/* The first row that does not stand before (kind, name, port). */
static size_t
service_position(const skua__record *record, skua__service_kind kind, const char *name,
                 uint16_t port) {
    size_t low = 0, high = record->service_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (service_compare(&record->services[middle], kind, name, port) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

skua_status
skua__record_add_service(skua__record *record, const skua__service *service) {
    if (!skua__name_valid(service->name)) {
        return SKUA_E_BAD_NAME;
    }
    if (service->kind < 1 || service->kind > UINT8_MAX || service->port == 0) {
        return SKUA_E_BAD_ARGUMENT;
    }
    size_t at = service_position(record, service->kind, service->name, service->port);
    if (at < record->service_count &&
        service_compare(&record->services[at], service->kind, service->name, service->port) == 0) {
        record->services[at].version = service->version;
        return SKUA_OK;
    }
    if (record->service_count >= SKUA__RECORD_SERVICES_MAX) {
        return SKUA_E_LIMIT;
    }
    skua__service *rows = room_for_one(record->hook, record->services, record->service_count,
                                       sizeof *record->services);
    if (!rows) {
        return SKUA_E_NO_MEMORY;
    }
    record->services = rows;
    memmove(rows + at + 1, rows + at, (record->service_count - at) * sizeof *rows);
    rows[at] = *service;
    size_t length = strlen(service->name);
    memset(rows[at].name + length, 0, sizeof rows[at].name - length);
    record->service_count++;
    return SKUA_OK;
}

bool
skua__record_remove_service(skua__record *record, skua__service_kind kind, const char *name,
                            uint16_t port) {
    size_t at = service_position(record, kind, name, port);
    if (at >= record->service_count ||
        service_compare(&record->services[at], kind, name, port) != 0) {
        return false;
    }
    record->service_count--;
    memmove(record->services + at, record->services + at + 1,
            (record->service_count - at) * sizeof *record->services);
    return true;
}

const skua__service *
skua__record_find_service(const skua__record *record, skua__service_kind kind, const char *name) {
    size_t at = service_position(record, kind, name, 0);
    const skua__service *row = at < record->service_count ? &record->services[at] : NULL;
    return row && row->kind == kind && strcmp(row->name, name) == 0 ? row : NULL;
}

static size_t
capability_position(const skua__record *record, const char *key) {
    size_t at = 0;
    while (at < record->capability_count && strcmp(record->capabilities[at].key, key) < 0) {
        at++;
    }
    return at;
}

const skua__capability *
skua__record_find_capability(const skua__record *record, const char *key) {
    size_t at = capability_position(record, key);
    bool there = at < record->capability_count && strcmp(record->capabilities[at].key, key) == 0;
    return there ? &record->capabilities[at] : NULL;
}

static void
remove_capability(skua__record *record, size_t at) {
    skua__mem_free(record->hook, record->capabilities[at].bytes);
    record->capability_count--;
    memmove(record->capabilities + at, record->capabilities + at + 1,
            (record->capability_count - at) * sizeof *record->capabilities);
}

skua_status
skua__record_set_capability(skua__record *record, const char *key, const void *bytes, size_t size) {
    if (!skua__name_valid(key)) {
        return SKUA_E_BAD_NAME;
    }
    if (bytes && size > SKUA__RECORD_CAPABILITY_MAX) {
        return SKUA_E_TOO_BIG;
    }
    size_t at = capability_position(record, key);
    bool there = at < record->capability_count && strcmp(record->capabilities[at].key, key) == 0;
    if (!bytes) {
        if (there) {
            remove_capability(record, at);
        }
        return SKUA_OK;
    }
    if (!there && record->capability_count >= SKUA__RECORD_CAPABILITIES_MAX) {
        return SKUA_E_LIMIT;
    }
    uint8_t *copy = skua__mem_copy(record->hook, bytes, size);
    if (!copy) {
        return SKUA_E_NO_MEMORY;
    }
    if (there) {
        skua__mem_free(record->hook, record->capabilities[at].bytes);
    } else {
        skua__capability *rows =
            room_for_one(record->hook, record->capabilities, record->capability_count,
                         sizeof *record->capabilities);
        if (!rows) {
            skua__mem_free(record->hook, copy);
            return SKUA_E_NO_MEMORY;
        }
        record->capabilities = rows;
        memmove(rows + at + 1, rows + at, (record->capability_count - at) * sizeof *rows);
        record->capability_count++;
        rows[at] = (skua__capability){.bytes = NULL};
        memcpy(rows[at].key, key, strlen(key));
    }
    record->capabilities[at].bytes = copy;
    record->capabilities[at].size = size;
    return SKUA_OK;
}

size_t
skua__record_size(const skua__record *record) {
    size_t size = PREFIX_BYTES + SCALARS * TLV_HEADER_BYTES + strlen(record->name) +
                  3 * sizeof(uint32_t) /* cores, NUMA, devices */ + sizeof(uint64_t) /* memory */ +
                  2 * sizeof(uint32_t) /* load */ + 2 * sizeof(uint16_t) /* protocol */;
    for (size_t i = 0; i < record->service_count; i++) {
        size += TLV_HEADER_BYTES + SERVICE_BYTES + strlen(record->services[i].name);
    }
    for (size_t i = 0; i < record->capability_count; i++) {
        size += TLV_HEADER_BYTES + 1 + strlen(record->capabilities[i].key) +
                record->capabilities[i].size;
    }
    for (size_t i = 0; i < record->unknown_count; i++) {
        size += TLV_HEADER_BYTES + record->unknown[i].size;
    }
    return size;
}

static void
write_tlv(skua__writer *writer, unsigned type, size_t size) {
    skua__write_u16(writer, (uint16_t)type);
    skua__write_u16(writer, (uint16_t)size);
}

static void
write_u32_tlv(skua__writer *writer, skua__record_tlv type, uint32_t value) {
    write_tlv(writer, type, sizeof value);
    skua__write_u32(writer, value);
}

static void
write_scalars(skua__writer *writer, const skua__record *record) {
    size_t length = strlen(record->name);
    write_tlv(writer, SKUA__TLV_NAME, length);
    skua__write_bytes(writer, record->name, length);
    write_u32_tlv(writer, SKUA__TLV_CORES, record->cores);
    write_u32_tlv(writer, SKUA__TLV_NUMA, record->numa);
    write_tlv(writer, SKUA__TLV_MEMORY, sizeof record->memory_bytes);
    skua__write_u64(writer, record->memory_bytes);
    write_u32_tlv(writer, SKUA__TLV_DEVICES, record->devices);
    write_tlv(writer, SKUA__TLV_LOAD, 8);
    skua__write_u32(writer, record->queue);
    skua__write_u32(writer, record->load_permille);
    write_tlv(writer, SKUA__TLV_PROTOCOL, 4);
    skua__write_u16(writer, record->protocol_min);
    skua__write_u16(writer, record->protocol_max);
}

size_t
skua__record_encode(const skua__record *record, void *bytes, size_t size) {
    skua__writer writer = skua__writer_of(bytes, size < SKUA__RECORD_MAX ? size : SKUA__RECORD_MAX);
    skua__write_u32(&writer, record->version);
    write_scalars(&writer, record);
    for (size_t i = 0; i < record->service_count; i++) {
        const skua__service *service = &record->services[i];
        size_t length = strlen(service->name);
        write_tlv(&writer, SKUA__TLV_SERVICE, SERVICE_BYTES + length);
        skua__write_u8(&writer, (uint8_t)service->kind);
        skua__write_u8(&writer, (uint8_t)length);
        skua__write_u16(&writer, service->port);
        skua__write_u32(&writer, service->version);
        skua__write_bytes(&writer, service->name, length);
    }
    for (size_t i = 0; i < record->capability_count; i++) {
        const skua__capability *capability = &record->capabilities[i];
        size_t length = strlen(capability->key);
        write_tlv(&writer, SKUA__TLV_CAPABILITY, 1 + length + capability->size);
        skua__write_u8(&writer, (uint8_t)length);
        skua__write_bytes(&writer, capability->key, length);
        skua__write_bytes(&writer, capability->bytes, capability->size);
    }
    for (size_t i = 0; i < record->unknown_count; i++) {
        write_tlv(&writer, record->unknown[i].type, record->unknown[i].size);
        skua__write_bytes(&writer, record->unknown[i].bytes, record->unknown[i].size);
    }
    assert(writer.failed || writer.used == skua__record_size(record));
    return writer.failed ? 0 : writer.used;
}

static skua__record_result
of_status(skua_status status) {
    switch (status) {
    case SKUA_OK:
        return SKUA__RECORD_OK;
    case SKUA_E_NO_MEMORY:
        return SKUA__RECORD_NO_MEMORY;
    case SKUA_E_LIMIT:
    case SKUA_E_TOO_BIG:
        return SKUA__RECORD_TOO_BIG;
    default:
        return SKUA__RECORD_MALFORMED;
    }
}

static skua__record_result
read_service(skua__record *record, skua__reader *body) {
    skua__service service = {.kind = (skua__service_kind)skua__read_u8(body)};
    size_t length = skua__read_u8(body);
    service.port = skua__read_u16(body);
    service.version = skua__read_u32(body);
    const uint8_t *name = skua__read_bytes(body, length);
    if (!name || !skua__name_bytes_valid(name, length)) {
        return SKUA__RECORD_MALFORMED;
    }
    memcpy(service.name, name, length);
    /* A later version may append to a service; this one has no use for it and does not keep it. */
    size_t count = record->service_count;
    skua_status status = skua__record_add_service(record, &service);
    bool twice = status == SKUA_OK && record->service_count == count;
    return twice ? SKUA__RECORD_MALFORMED : of_status(status);
}

static skua__record_result
read_capability(skua__record *record, skua__reader *body) {
    size_t length = skua__read_u8(body);
    const uint8_t *name = skua__read_bytes(body, length);
    if (!name || !skua__name_bytes_valid(name, length)) {
        return SKUA__RECORD_MALFORMED;
    }
    char key[SKUA_NAME_BYTES] = {0};
    memcpy(key, name, length);
    if (skua__record_find_capability(record, key)) {
        return SKUA__RECORD_MALFORMED;
    }
    return of_status(skua__record_set_capability(record, key, body->at, body->left));
}

static skua__record_result
keep_unknown(skua__record *record, uint16_t type, const skua__reader *body) {
    if (type & SKUA__TLV_CRITICAL) {
        return SKUA__RECORD_CRITICAL;
    }
    if (record->unknown_count >= SKUA__RECORD_UNKNOWN_MAX) {
        return SKUA__RECORD_TOO_BIG;
    }
    skua__unknown_tlv *rows =
        room_for_one(record->hook, record->unknown, record->unknown_count, sizeof *record->unknown);
    if (!rows) {
        return SKUA__RECORD_NO_MEMORY;
    }
    record->unknown = rows;
    uint8_t *copy = skua__mem_copy(record->hook, body->at, body->left);
    if (!copy) {
        return SKUA__RECORD_NO_MEMORY;
    }
    rows[record->unknown_count++] =
        (skua__unknown_tlv){.type = type, .bytes = copy, .size = body->left};
    return SKUA__RECORD_OK;
}

/* One TLV; *seen collects the types that may stand only once. */
static skua__record_result
read_tlv(skua__record *record, uint16_t type, skua__reader *body, uint32_t *seen) {
    bool repeats = type == SKUA__TLV_SERVICE || type == SKUA__TLV_CAPABILITY;
    if (type == 0) {
        return SKUA__RECORD_MALFORMED;
    }
    if (type > SKUA__TLV_PROTOCOL) {
        return keep_unknown(record, type, body);
    }
    if (!repeats && *seen & (1u << type)) {
        return SKUA__RECORD_MALFORMED;
    }
    *seen |= 1u << type;
    switch ((skua__record_tlv)type) {
    case SKUA__TLV_NAME:
        if (!skua__name_bytes_valid(body->at, body->left)) {
            return SKUA__RECORD_MALFORMED;
        }
        memcpy(record->name, body->at, body->left);
        break;
    case SKUA__TLV_CORES:
        record->cores = skua__read_u32(body);
        break;
    case SKUA__TLV_NUMA:
        record->numa = skua__read_u32(body);
        break;
    case SKUA__TLV_MEMORY:
        record->memory_bytes = skua__read_u64(body);
        break;
    case SKUA__TLV_DEVICES:
        record->devices = skua__read_u32(body);
        break;
    case SKUA__TLV_LOAD:
        record->queue = skua__read_u32(body);
        record->load_permille = skua__read_u32(body);
        break;
    case SKUA__TLV_SERVICE:
        return read_service(record, body);
    case SKUA__TLV_CAPABILITY:
        return read_capability(record, body);
    case SKUA__TLV_PROTOCOL:
        record->protocol_min = skua__read_u16(body);
        record->protocol_max = skua__read_u16(body);
        break;
    }
    return body->failed ? SKUA__RECORD_MALFORMED : SKUA__RECORD_OK;
}

skua__record_result
skua__record_decode(const void *bytes, size_t size, const skua_allocator *hook, skua__record *ret) {
    if (size > SKUA__RECORD_MAX) {
        return SKUA__RECORD_TOO_BIG;
    }
    skua__record record;
    skua__record_init(&record, hook);
    skua__reader reader = skua__reader_of(bytes, size);
    record.version = skua__read_u32(&reader);
    skua__record_result result = reader.failed ? SKUA__RECORD_MALFORMED : SKUA__RECORD_OK;
    uint32_t seen = 0;
    while (result == SKUA__RECORD_OK && reader.left) {
        uint16_t type = skua__read_u16(&reader);
        size_t length = skua__read_u16(&reader);
        const uint8_t *at = skua__read_bytes(&reader, length);
        if (!at) {
            result = SKUA__RECORD_MALFORMED;
            break;
        }
        skua__reader body = skua__reader_of(at, length);
        result = read_tlv(&record, type, &body, &seen);
    }
    if (result == SKUA__RECORD_OK && !(seen & (1u << SKUA__TLV_NAME))) {
        result = SKUA__RECORD_MALFORMED;
    }
    /* What came in a shorter form must still fit when it is handed on in ours. */
    if (result == SKUA__RECORD_OK && skua__record_size(&record) > SKUA__RECORD_MAX) {
        result = SKUA__RECORD_TOO_BIG;
    }
    if (result != SKUA__RECORD_OK) {
        skua__record_fini(&record);
        return result;
    }
    *ret = record;
    return SKUA__RECORD_OK;
}

/* A copy of a table with room in the way room_for_one() expects it; NULL for no memory. */
static void *
copy_table(const skua_allocator *hook, const void *table, size_t count, size_t row_bytes) {
    size_t capacity = 4;
    while (capacity < count) {
        capacity *= 2;
    }
    void *copy = skua__mem_new_array(hook, capacity, row_bytes);
    if (copy && count) {
        memcpy(copy, table, count * row_bytes);
    }
    return copy;
}

skua_status
skua__record_copy(const skua__record *record, const skua_allocator *hook, skua__record *ret) {
    skua__record copy = *record;
    copy.hook = hook;
    copy.capability_count = copy.unknown_count = 0;
    copy.services =
        copy_table(hook, record->services, record->service_count, sizeof *record->services);
    copy.capabilities = copy_table(hook, record->capabilities, record->capability_count,
                                   sizeof *record->capabilities);
    copy.unknown =
        copy_table(hook, record->unknown, record->unknown_count, sizeof *record->unknown);
    bool whole = copy.services && copy.capabilities && copy.unknown;
    for (size_t i = 0; whole && i < record->capability_count; i++) {
        const skua__capability *from = &record->capabilities[i];
        copy.capabilities[i].bytes = skua__mem_copy(hook, from->bytes, from->size);
        whole = copy.capabilities[i].bytes != NULL;
        copy.capability_count += whole;
    }
    for (size_t i = 0; whole && i < record->unknown_count; i++) {
        const skua__unknown_tlv *from = &record->unknown[i];
        copy.unknown[i].bytes = skua__mem_copy(hook, from->bytes, from->size);
        whole = copy.unknown[i].bytes != NULL;
        copy.unknown_count += whole;
    }
    if (!whole) {
        skua__record_fini(&copy);
        return SKUA_E_NO_MEMORY;
    }
    *ret = copy;
    return SKUA_OK;
}

static bool
scalars_equal(const skua__record *a, const skua__record *b) {
    return a->version == b->version && strcmp(a->name, b->name) == 0 && a->cores == b->cores &&
           a->numa == b->numa && a->devices == b->devices && a->memory_bytes == b->memory_bytes &&
           a->queue == b->queue && a->load_permille == b->load_permille &&
           a->protocol_min == b->protocol_min && a->protocol_max == b->protocol_max;
}

static bool
bytes_equal(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

bool
skua__record_equal(const skua__record *a, const skua__record *b) {
    if (!scalars_equal(a, b) || a->service_count != b->service_count ||
        a->capability_count != b->capability_count || a->unknown_count != b->unknown_count) {
        return false;
    }
    for (size_t i = 0; i < a->service_count; i++) {
        const skua__service *x = &a->services[i], *y = &b->services[i];
        if (service_compare(x, y->kind, y->name, y->port) != 0 || x->version != y->version) {
            return false;
        }
    }
    for (size_t i = 0; i < a->capability_count; i++) {
        const skua__capability *x = &a->capabilities[i], *y = &b->capabilities[i];
        if (strcmp(x->key, y->key) != 0 || !bytes_equal(x->bytes, x->size, y->bytes, y->size)) {
            return false;
        }
    }
    for (size_t i = 0; i < a->unknown_count; i++) {
        const skua__unknown_tlv *x = &a->unknown[i], *y = &b->unknown[i];
        if (x->type != y->type || !bytes_equal(x->bytes, x->size, y->bytes, y->size)) {
            return false;
        }
    }
    return true;
}
