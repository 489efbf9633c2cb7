// SPDX-License-Identifier: MPL-2.0
// The codec of task payloads. Reading trusts nothing: every length is checked against what is there before use.
#include <skua-int/task.h>

#include <skua-int/lease_fsm.h>

void
skua__task_write_head(skua__writer *writer, const skua__task_head *head) {
    skua__write_u8(writer, head->frame);
    skua__write_u8(writer, SKUA__TASK_PROTOCOL);
    skua__write_u16(writer, head->entries);
    skua__write_u32(writer, head->workers);
    skua__write_u32(writer, head->waiting);
    skua__write_u32(writer, head->running);
}

bool
skua__task_read_head(skua__reader *reader, skua__task_head *ret_head) {
    ret_head->frame = skua__read_u8(reader);
    ret_head->protocol = skua__read_u8(reader);
    ret_head->entries = skua__read_u16(reader);
    ret_head->workers = skua__read_u32(reader);
    ret_head->waiting = skua__read_u32(reader);
    ret_head->running = skua__read_u32(reader);
    if (ret_head->protocol != SKUA__TASK_PROTOCOL || ret_head->frame < SKUA__TASK_REQUESTS ||
        ret_head->frame > SKUA__TASK_RENEW) {
        reader->failed = true;
    }
    return !reader->failed;
}

void
skua__task_write_request(skua__writer *writer, const skua__task_request *request) {
    skua__write_u64(writer, request->id);
    skua__write_u64(writer, request->epoch);
    skua__write_u64(writer, request->left_us);
    skua__write_u32(writer, request->attempt);
    skua__write_u32(writer, request->version);
    skua__write_u32(writer, request->input_bytes);
    skua__write_u32(writer, 0);
    skua__write_u8(writer, request->priority);
    skua__write_u8(writer, request->flags);
    skua__write_u8(writer, request->name_bytes);
    skua__write_u8(writer, 0);
    skua__write_bytes(writer, request->name, request->name_bytes);
}

bool
skua__task_read_request(skua__reader *reader, skua__task_request *ret_request) {
    *ret_request = (skua__task_request){.id = skua__read_u64(reader)};
    ret_request->epoch = skua__read_u64(reader);
    ret_request->left_us = skua__read_u64(reader);
    ret_request->attempt = skua__read_u32(reader);
    ret_request->version = skua__read_u32(reader);
    ret_request->input_bytes = skua__read_u32(reader);
    skua__read_u32(reader);
    ret_request->priority = skua__read_u8(reader);
    ret_request->flags = skua__read_u8(reader);
    ret_request->name_bytes = skua__read_u8(reader);
    skua__read_u8(reader);
    ret_request->name = (const char *)skua__read_bytes(reader, ret_request->name_bytes);
    ret_request->input = skua__read_bytes(reader, ret_request->input_bytes);
    if (!reader->failed && !skua__task_name_ok(ret_request->name, ret_request->name_bytes)) {
        reader->failed = true;
    }
    return !reader->failed;
}

void
skua__task_write_result(skua__writer *writer, const skua__task_result *result) {
    skua__write_u64(writer, result->id);
    skua__write_u64(writer, result->epoch);
    skua__write_u64(writer, result->run_ns);
    skua__write_u32(writer, (uint32_t)result->code);
    skua__write_u32(writer, result->output_bytes);
    skua__write_u32(writer, 0);
    skua__write_u16(writer, result->message_bytes);
    skua__write_u8(writer, result->status);
    skua__write_u8(writer, result->flags);
    skua__write_bytes(writer, result->message, result->message_bytes);
}

static bool
status_known(uint8_t status) {
    return (status >= SKUA__LEASE_OK && status <= SKUA__LEASE_REFUSED) ||
           status == SKUA__TASK_HANDED_BACK || status == SKUA__TASK_NOT_OFFERED;
}

bool
skua__task_read_result(skua__reader *reader, skua__task_result *ret_result) {
    *ret_result = (skua__task_result){.id = skua__read_u64(reader)};
    ret_result->epoch = skua__read_u64(reader);
    ret_result->run_ns = skua__read_u64(reader);
    ret_result->code = (int32_t)skua__read_u32(reader);
    ret_result->output_bytes = skua__read_u32(reader);
    skua__read_u32(reader);
    ret_result->message_bytes = skua__read_u16(reader);
    ret_result->status = skua__read_u8(reader);
    ret_result->flags = skua__read_u8(reader);
    ret_result->message = (const char *)skua__read_bytes(reader, ret_result->message_bytes);
    ret_result->output = skua__read_bytes(reader, ret_result->output_bytes);
    if (!status_known(ret_result->status)) {
        reader->failed = true;
    }
    return !reader->failed;
}

void
skua__task_write_offer(skua__writer *writer, const skua__task_offer *offer) {
    size_t name_bytes = strlen(offer->name);
    skua__write_u32(writer, offer->version);
    skua__write_u8(writer, (uint8_t)name_bytes);
    skua__write_bytes(writer, offer->name, name_bytes);
}

bool
skua__task_read_offer(skua__reader *reader, skua__task_offer *ret_offer) {
    *ret_offer = (skua__task_offer){.version = skua__read_u32(reader)};
    uint8_t name_bytes = skua__read_u8(reader);
    const char *name = (const char *)skua__read_bytes(reader, name_bytes);
    if (reader->failed || !skua__task_name_ok(name, name_bytes)) {
        reader->failed = true;
        return false;
    }
    memcpy(ret_offer->name, name, name_bytes);
    return true;
}

void
skua__task_write_lease_ref(skua__writer *writer, const skua__task_lease_ref *ref) {
    skua__write_u64(writer, ref->id);
    skua__write_u64(writer, ref->epoch);
}

bool
skua__task_read_lease_ref(skua__reader *reader, skua__task_lease_ref *ret_ref) {
    *ret_ref = (skua__task_lease_ref){.id = skua__read_u64(reader)};
    ret_ref->epoch = skua__read_u64(reader);
    return !reader->failed;
}

static bool
entry_ok(skua__reader *reader, uint8_t frame) {
    skua__task_request request;
    skua__task_result result;
    skua__task_offer offer;
    skua__task_lease_ref ref;
    switch ((skua__task_frame)frame) {
    case SKUA__TASK_REQUESTS:
        return skua__task_read_request(reader, &request);
    case SKUA__TASK_RESULTS:
        return skua__task_read_result(reader, &result);
    case SKUA__TASK_OFFER:
        return skua__task_read_offer(reader, &offer);
    case SKUA__TASK_CANCEL:
    case SKUA__TASK_RENEW:
        return skua__task_read_lease_ref(reader, &ref);
    }
    return false;
}

bool
skua__task_payload_ok(const uint8_t *bytes, size_t size) {
    skua__reader reader = skua__reader_of(bytes, size);
    skua__task_head head;
    bool good = skua__task_read_head(&reader, &head) &&
                !(head.frame == SKUA__TASK_OFFER && head.entries > SKUA__TASK_MAX_OFFERS);
    for (uint16_t i = 0; good && i < head.entries; i++) {
        good = entry_ok(&reader, head.frame);
    }
    return good && reader.left == 0;
}

static bool
is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
skua__task_name_ok(const char *name, size_t name_bytes) {
    if (name_bytes == 0 || name_bytes >= SKUA_NAME_BYTES || !is_alphanumeric(name[0])) {
        return false;
    }
    for (size_t i = 1; i < name_bytes; i++) {
        if (!is_alphanumeric(name[i]) && name[i] != '.' && name[i] != '_' && name[i] != '-') {
            return false;
        }
    }
    return true;
}
