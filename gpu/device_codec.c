// SPDX-License-Identifier: MPL-2.0
// Device descriptions as bytes: for the pipe from a probing child, and for the file that keeps them. Whatever
// is not exactly what we wrote is refused, because the file may be of another version or cut short.
#include "describe.h"

#include <skua-int/buf.h>
#include <skua-int/hash.h>
#include <string.h>

static const uint8_t magic[8] = {'s', 'k', 'u', 'a', 'd', 'e', 'v', 1};

enum { FLAG_UNIFIED = 1, FLAG_UUID = 2, FLAG_FP64 = 4, FLAG_USABLE = 8 };

static void
write_text(skua__writer *writer, const char *text, size_t capacity) {
    size_t length = strnlen(text, capacity - 1);
    skua__write_u8(writer, (uint8_t)length);
    skua__write_bytes(writer, text, length);
}

static void
read_text(skua__reader *reader, char *ret, size_t capacity) {
    size_t length = skua__read_u8(reader);
    if (length >= capacity) {
        reader->failed = true;
        return;
    }
    skua__read_copy(reader, ret, length);
    ret[length] = 0;
}

static void
write_device(skua__writer *writer, const skua_device_info *device) {
    skua__write_u8(writer, (uint8_t)device->kind);
    skua__write_u8(
        writer,
        (uint8_t)((device->unified ? FLAG_UNIFIED : 0) | (device->has_uuid ? FLAG_UUID : 0) |
                  (device->has_fp64 ? FLAG_FP64 : 0) | (device->usable ? FLAG_USABLE : 0)));
    skua__write_u32(writer, device->units);
    skua__write_u32(writer, device->clock_mhz);
    skua__write_u32(writer, (uint32_t)device->numa);
    skua__write_u32(writer, device->align_bytes);
    skua__write_u64(writer, device->memory_bytes);
    skua__write_u64(writer, device->max_buffer_bytes);
    skua__write_u64(writer, device->local_bytes);
    skua__write_u64(writer, device->max_group);
    write_text(writer, device->name, sizeof device->name);
    write_text(writer, device->vendor, sizeof device->vendor);
    write_text(writer, device->platform, sizeof device->platform);
    write_text(writer, device->driver, sizeof device->driver);
    write_text(writer, device->version, sizeof device->version);
    skua__write_bytes(writer, device->uuid, sizeof device->uuid);
}

static void
read_device(skua__reader *reader, skua_device_info *ret) {
    *ret = (skua_device_info){.size = sizeof *ret};
    ret->kind = skua__read_u8(reader);
    uint8_t flags = skua__read_u8(reader);
    ret->unified = (flags & FLAG_UNIFIED) != 0;
    ret->has_uuid = (flags & FLAG_UUID) != 0;
    ret->has_fp64 = (flags & FLAG_FP64) != 0;
    ret->usable = (flags & FLAG_USABLE) != 0;
    ret->units = skua__read_u32(reader);
    ret->clock_mhz = skua__read_u32(reader);
    ret->numa = (int32_t)skua__read_u32(reader);
    ret->align_bytes = skua__read_u32(reader);
    ret->memory_bytes = skua__read_u64(reader);
    ret->max_buffer_bytes = skua__read_u64(reader);
    ret->local_bytes = skua__read_u64(reader);
    ret->max_group = skua__read_u64(reader);
    read_text(reader, ret->name, sizeof ret->name);
    read_text(reader, ret->vendor, sizeof ret->vendor);
    read_text(reader, ret->platform, sizeof ret->platform);
    read_text(reader, ret->driver, sizeof ret->driver);
    read_text(reader, ret->version, sizeof ret->version);
    skua__read_copy(reader, ret->uuid, sizeof ret->uuid);
    if (ret->kind < SKUA_DEVICE_DISCRETE || ret->kind > SKUA_DEVICE_CPU) {
        reader->failed = true;
    }
}

size_t
skua__device_list_encode(const skua__device_list *list, uint64_t fingerprint, uint8_t *ret) {
    skua__writer writer = skua__writer_of(ret, SKUA__DEVICE_LIST_BYTES);
    skua__write_bytes(&writer, magic, sizeof magic);
    skua__write_u64(&writer, fingerprint);
    skua__write_u32(&writer, list->count);
    skua__write_u32(&writer, list->left_out);
    write_text(&writer, list->reason, sizeof list->reason);
    for (uint32_t i = 0; i < list->count; i++) {
        write_device(&writer, &list->devices[i]);
    }
    /* Against a file that was cut or overwritten; not against an enemy, who could write the whole of it. */
    skua__write_u32(&writer, skua__hash_bytes(ret, writer.used));
    return writer.used;
}

bool
skua__device_list_decode(skua__device_list *ret_list, uint64_t fingerprint, const uint8_t *bytes,
                         size_t size) {
    if (size < sizeof magic + 4 || memcmp(bytes, magic, sizeof magic) != 0) {
        return false;
    }
    skua__reader sum = skua__reader_of(bytes + size - 4, 4);
    if (skua__read_u32(&sum) != skua__hash_bytes(bytes, size - 4)) {
        return false;
    }
    skua__reader reader = skua__reader_of(bytes + sizeof magic, size - sizeof magic - 4);
    if (skua__read_u64(&reader) != fingerprint) {
        return false;
    }
    skua__device_list list = {.count = skua__read_u32(&reader)};
    list.left_out = skua__read_u32(&reader);
    read_text(&reader, list.reason, sizeof list.reason);
    if (list.count > SKUA_DEVICES_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < list.count; i++) {
        read_device(&reader, &list.devices[i]);
    }
    if (reader.failed || reader.left) {
        return false;
    }
    *ret_list = list;
    return true;
}

bool
skua__device_same(const skua_device_info *a, const skua_device_info *b) {
    return a->kind == b->kind && a->has_uuid == b->has_uuid &&
           memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0 && strcmp(a->name, b->name) == 0 &&
           strcmp(a->platform, b->platform) == 0 && strcmp(a->driver, b->driver) == 0;
}
