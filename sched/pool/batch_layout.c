// SPDX-License-Identifier: MPL-2.0
// How a batch lies in a task's input and its answers in the output (described at skua_batch_work), and the task's side of it.
// Both are checked as a whole before any byte is handed out: every end lies behind the one before, and the last is the size.
#include <skua-int/batch_int.h>

#include <string.h>

enum { HEAD_BYTES = 16, REQUEST_ENTRY = 4, ANSWER_ENTRY = 8, ALIGN = 16 };

static const char request_magic[4] = "skB1";
static const char answer_magic[4] = "skA1";

static void
put_u32(unsigned char *at, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        at[i] = (unsigned char)(value >> 8 * i);
    }
}

static uint32_t
get_u32(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Where the bytes begin. */
static size_t
data_at(uint32_t requests, size_t entry) {
    return (HEAD_BYTES + requests * entry + ALIGN - 1) / ALIGN * ALIGN;
}

/* The end of item i, which stands last in its entry of the table; item -1 ends at 0. */
static uint32_t
end_of(const unsigned char *table, size_t entry, uint32_t i) {
    return get_u32(table + (i + 1) * entry - 4);
}

static uint32_t
begin_of(const unsigned char *table, size_t entry, uint32_t i) {
    return i ? end_of(table, entry, i - 1) : 0;
}

static void
put_head(unsigned char *at, const char magic[4], uint32_t requests, size_t entry) {
    memset(at, 0, data_at(requests, entry));
    memcpy(at, magic, 4);
    put_u32(at + 4, requests);
}

/* Whether bytes are a whole layout of that magic and entry, with 1 to SKUA_BATCH_MAX_REQUESTS items; their number. */
static uint32_t
check(const unsigned char *bytes, size_t size, const char magic[4], size_t entry) {
    if (!bytes || size < HEAD_BYTES || memcmp(bytes, magic, 4) != 0) {
        return 0;
    }
    uint32_t requests = get_u32(bytes + 4);
    if (!requests || requests > SKUA_BATCH_MAX_REQUESTS || size < data_at(requests, entry)) {
        return 0;
    }
    const unsigned char *table = bytes + HEAD_BYTES;
    for (uint32_t i = 0; i < requests; i++) {
        if (end_of(table, entry, i) < begin_of(table, entry, i)) {
            return 0;
        }
    }
    return end_of(table, entry, requests - 1) == size - data_at(requests, entry) ? requests : 0;
}

/* ---- The submitter's side ---- */

size_t
skua__batch_input_bytes(uint32_t requests, size_t data_bytes) {
    return data_at(requests, REQUEST_ENTRY) + data_bytes;
}

void
skua__batch_put_head(void *room, uint32_t requests) {
    put_head(room, request_magic, requests, REQUEST_ENTRY);
}

size_t
skua__batch_put(void *room, uint32_t requests, uint32_t i, size_t begin, const void *data,
                size_t bytes) {
    unsigned char *at = room;
    put_u32(at + HEAD_BYTES + i * (size_t)REQUEST_ENTRY, (uint32_t)(begin + bytes));
    if (bytes) {
        memcpy(at + data_at(requests, REQUEST_ENTRY) + begin, data, bytes);
    }
    return begin + bytes;
}

bool
skua__batch_check(const void *output, size_t output_bytes, uint32_t requests,
                  skua__batch_answers *ret) {
    const unsigned char *bytes = output;
    if (!requests || check(bytes, output_bytes, answer_magic, ANSWER_ENTRY) != requests) {
        return false;
    }
    *ret = (skua__batch_answers){.table = bytes + HEAD_BYTES,
                                 .data = bytes + data_at(requests, ANSWER_ENTRY),
                                 .requests = requests};
    return true;
}

int32_t
skua__batch_cut(const skua__batch_answers *answers, uint32_t i, const void **ret_bytes,
                size_t *ret_size) {
    uint32_t begin = begin_of(answers->table, ANSWER_ENTRY, i);
    *ret_bytes = answers->data + begin;
    *ret_size = end_of(answers->table, ANSWER_ENTRY, i) - begin;
    return (int32_t)get_u32(answers->table + i * (size_t)ANSWER_ENTRY);
}

/* ---- The task's side ---- */

skua_status
skua_batch_read(skua_task_call *call, skua_batch_work *ret_work) {
    if (!call || !ret_work) {
        return SKUA_E_BAD_ARGUMENT;
    }
    size_t size = 0;
    const unsigned char *bytes = skua_task_input(call, &size);
    uint32_t requests = check(bytes, size, request_magic, REQUEST_ENTRY);
    if (!requests) {
        return SKUA_E_MALFORMED;
    }
    const unsigned char *table = bytes + HEAD_BYTES;
    uint32_t row_bytes = end_of(table, REQUEST_ENTRY, 0);
    for (uint32_t i = 1; i < requests && row_bytes; i++) {
        uint32_t begin = begin_of(table, REQUEST_ENTRY, i);
        row_bytes = end_of(table, REQUEST_ENTRY, i) - begin == row_bytes ? row_bytes : 0;
    }
    *ret_work = (skua_batch_work){
        .call = call,
        .requests = requests,
        .row_bytes = row_bytes,
        .rows = bytes + data_at(requests, REQUEST_ENTRY),
        .reserved = {table},
    };
    return SKUA_OK;
}

const void *
skua_batch_request(const skua_batch_work *work, uint32_t i, size_t *ret_bytes) {
    if (!work || i >= work->requests) {
        return NULL;
    }
    const unsigned char *table = work->reserved[0];
    uint32_t begin = begin_of(table, REQUEST_ENTRY, i);
    if (ret_bytes) {
        *ret_bytes = end_of(table, REQUEST_ENTRY, i) - begin;
    }
    return (const unsigned char *)work->rows + begin;
}

/* Room for answers of so many bytes together, with a head and an empty table. NULL with *ret_status else. */
static unsigned char *
answer_room(const skua_batch_work *work, size_t data_bytes, skua_status *ret_status) {
    void *room = NULL;
    size_t head = data_at(work->requests, ANSWER_ENTRY);
    *ret_status = skua_task_output(work->call, head + data_bytes, &room);
    if (*ret_status) {
        return NULL;
    }
    put_head(room, answer_magic, work->requests, ANSWER_ENTRY);
    return room;
}

skua_status
skua_batch_rows(const skua_batch_work *work, size_t row_bytes, void **ret_rows) {
    if (!work || !work->requests || !ret_rows) {
        return SKUA_E_BAD_ARGUMENT;
    }
    if (row_bytes > SKUA_TASK_MAX_BYTES / work->requests) {
        return SKUA_E_TOO_BIG;
    }
    skua_status status;
    unsigned char *room = answer_room(work, row_bytes * work->requests, &status);
    if (!room) {
        return status;
    }
    for (uint32_t i = 0; i < work->requests; i++) {
        put_u32(room + HEAD_BYTES + i * (size_t)ANSWER_ENTRY + 4, (uint32_t)((i + 1) * row_bytes));
    }
    *ret_rows = room + data_at(work->requests, ANSWER_ENTRY);
    return SKUA_OK;
}

skua_status
skua_batch_answer(const skua_batch_work *work, const skua_batch_reply *replies) {
    if (!work || !work->requests || !replies) {
        return SKUA_E_BAD_ARGUMENT;
    }
    size_t sum = 0;
    for (uint32_t i = 0; i < work->requests; i++) {
        if (replies[i].size_bytes && !replies[i].bytes) {
            return SKUA_E_BAD_ARGUMENT;
        }
        if (replies[i].size_bytes > SKUA_TASK_MAX_BYTES - sum) {
            return SKUA_E_TOO_BIG;
        }
        sum += replies[i].size_bytes;
    }
    skua_status status;
    unsigned char *room = answer_room(work, sum, &status);
    if (!room) {
        return status;
    }
    unsigned char *data = room + data_at(work->requests, ANSWER_ENTRY);
    size_t end = 0;
    for (uint32_t i = 0; i < work->requests; i++) {
        if (replies[i].size_bytes) {
            memcpy(data + end, replies[i].bytes, replies[i].size_bytes);
        }
        end += replies[i].size_bytes;
        put_u32(room + HEAD_BYTES + i * (size_t)ANSWER_ENTRY, (uint32_t)replies[i].code);
        put_u32(room + HEAD_BYTES + i * (size_t)ANSWER_ENTRY + 4, (uint32_t)end);
    }
    return SKUA_OK;
}
