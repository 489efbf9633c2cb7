// SPDX-License-Identifier: MPL-2.0
// Tasks on the wire: what two pools say to each other over a task link, and over the control link. Payloads only: the
// link's own header is frame.h's. All integers are little-endian; docs/design/wire.md has the tables.
#ifndef SKUA_INT_TASK_H
#define SKUA_INT_TASK_H

#include <skua-int/buf.h>
#include <skua-int/ids.h>

enum {
    SKUA__TASK_PROTOCOL = 1, /* rises when an entry's layout changes */
    SKUA__TASK_BATCH_HEAD_BYTES = 16,
    SKUA__TASK_REQUEST_HEAD_BYTES = 44, /* before the name and the input */
    SKUA__TASK_RESULT_HEAD_BYTES = 40,  /* before the message and the output */
    SKUA__TASK_MAX_BATCH = 65535,       /* entries in one batch */
    SKUA__TASK_MAX_OFFERS = 256,
    SKUA__TASK_CONTROL_BYTES = 1024, /* the most that one control message carries */
};

/* The first byte of a payload. */
typedef enum skua__task_frame {
    SKUA__TASK_REQUESTS =
        1, /* submitter to worker: tasks to run, first come first served within a priority */
    SKUA__TASK_RESULTS = 2, /* worker to submitter */
    SKUA__TASK_OFFER = 3,   /* in the worker's HELLO: what it runs; replaces what it said before */
    SKUA__TASK_CANCEL = 4,  /* over the control link, submitter to worker: leases given up */
    SKUA__TASK_RENEW = 5,   /* worker to submitter: leases that are worked on */
} skua__task_frame;

/*
 * The head of every payload: u8 frame, u8 protocol, u16 entries, u32 workers, u32 waiting, u32 running. A worker fills in
 * the last three (its load from all submitters). A submitter leaves them 0, but for REQUESTS: there the first of them is its
 * lease in ms, so that the worker knows how often to renew.
 */
typedef struct skua__task_head {
    uint8_t frame;
    uint8_t protocol;
    uint16_t entries;
    uint32_t workers; /* REQUESTS: the lease in ms */
    uint32_t waiting;
    uint32_t running;
} skua__task_head;

/* u64 id, u64 epoch, u64 left_us, u32 attempt, u32 version, u32 input bytes, u32 reserved, u8 priority, u8 flags, u8 name bytes, u8 reserved; the
 * name; the input. */
typedef struct skua__task_request {
    uint64_t id;      /* the submitter's, echoed */
    uint64_t epoch;   /* of the lease, echoed */
    uint64_t left_us; /* until its deadline, when it was sent. SKUA__TASK_NO_DEADLINE: none */
    uint32_t attempt;
    uint32_t version; /* 0: the highest */
    uint8_t priority;
    uint8_t flags; /* 0; unknown ones are ignored */
    uint8_t name_bytes;
    const char *name; /* without a final 0; inside the payload */
    const uint8_t *input;
    uint32_t input_bytes;
} skua__task_request;

#define SKUA__TASK_NO_DEADLINE UINT64_MAX

/* u64 id, u64 epoch, u64 run_ns, u32 code, u32 output bytes, u32 reserved, u16 message bytes, u8 status, u8 flags; the message; the
 * output. */
typedef struct skua__task_result {
    uint64_t id;
    uint64_t epoch;
    uint64_t run_ns;
    int32_t code;
    uint8_t status; /* skua__lease_outcome, or SKUA__TASK_HANDED_BACK */
    uint8_t flags;
    const char *message; /* without a final 0; inside the payload */
    uint16_t message_bytes;
    const uint8_t *output;
    uint32_t output_bytes;
} skua__task_result;

enum {
    SKUA__TASK_HANDED_BACK = 128, /* a status: it never started here; run it elsewhere */
    SKUA__TASK_NOT_OFFERED = 129, /* the same, and such tasks are not run here at all */
};

/* u32 version, u8 name bytes; the name. */
typedef struct skua__task_offer {
    uint32_t version;
    char name[SKUA_NAME_BYTES];
} skua__task_offer;

/* u64 id, u64 epoch: an entry of CANCEL and RENEW. */
typedef struct skua__task_lease_ref {
    uint64_t id;
    uint64_t epoch;
} skua__task_lease_ref;

/* ---- Writing. A writer that ran over is failed; nothing is allocated. ---- */
void skua__task_write_head(skua__writer *writer, const skua__task_head *head);
/* Writes the entry's head and name; the caller appends request->input_bytes bytes itself. */
void skua__task_write_request(skua__writer *writer, const skua__task_request *request);
/* Writes the entry's head and message; the caller appends result->output_bytes bytes itself. */
void skua__task_write_result(skua__writer *writer, const skua__task_result *result);
void skua__task_write_offer(skua__writer *writer, const skua__task_offer *offer);
void skua__task_write_lease_ref(skua__writer *writer, const skua__task_lease_ref *ref);

/*
 * Whether a payload is one whole frame: a head, as many entries as it says, and nothing behind them. A frame that is not is
 * refused whole: no entry of it counts.
 */
bool skua__task_payload_ok(const uint8_t *bytes, size_t size);

/* ---- Reading. Each returns false, and the reader is failed, when the bytes are malformed. ---- */
bool skua__task_read_head(skua__reader *reader, skua__task_head *ret_head);
/* Name, message, input and output point into the reader's memory. */
bool skua__task_read_request(skua__reader *reader, skua__task_request *ret_request);
bool skua__task_read_result(skua__reader *reader, skua__task_result *ret_result);
bool skua__task_read_offer(skua__reader *reader, skua__task_offer *ret_offer);
bool skua__task_read_lease_ref(skua__reader *reader, skua__task_lease_ref *ret_ref);

/* Whether a task's (or service's) name is 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit. */
bool skua__task_name_ok(const char *name, size_t name_bytes);

#endif
