// SPDX-License-Identifier: MPL-2.0
// What stands on a data link: the 24-byte header, the bodies of HELLO and ACK, and the records of a BATCH. Pure: bytes
// in, values out; every length is checked against what is there (docs/design/wire.md, "Data links").
#ifndef SKUA_INT_FRAME_H
#define SKUA_INT_FRAME_H

#include <skua-int/ids.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SKUA__FRAME_HEADER_BYTES = 24,
    SKUA__FRAME_MAGIC = 0x4b53, /* "SK" */
    SKUA__LINK_VERSION_MIN = 1, /* of the protocol on data links */
    SKUA__LINK_VERSION_MAX = 1,
    SKUA__FRAME_TAG_MAX_BYTES = 64,
    SKUA__HELLO_MAX_BYTES = 20 * 1024, /* a longer HELLO is malformed */
    SKUA__HELLO_PATTERN_BYTES = 16 * 1024,
    SKUA__ACK_RANGES_MAX = 512, /* in one ACK; more go into a second */
    SKUA__BATCH_RECORDS_MAX = 16384,
    SKUA__BATCH_RECORD_BYTES_MAX = (1 << 24) - 1,
};

/* No link lives long enough to count so far: a number beyond is an attack on our arithmetic. */
#define SKUA__SEQ_LIMIT (UINT64_C(1) << 62)

typedef enum skua__frame_type {
    SKUA__FRAME_DATA =
        1, /* one message; seq: its number; word: what we confirm of yours (as in ACK), 0: nothing */
    SKUA__FRAME_BATCH = 2, /* several; seq: the first one's number; word: as DATA */
    SKUA__FRAME_HELLO =
        3, /* who we are; seq: the next number that we expect of you; word: our epoch of this link */
    SKUA__FRAME_RESUME = 4, /* seq: the number of what comes next */
    SKUA__FRAME_ACK =
        5, /* seq: all below are confirmed; word: all below were received; body: windows, ranges */
    SKUA__FRAME_GAP = 6,    /* seq: the first of word numbers whose messages were dropped */
    SKUA__FRAME_FIN = 7,    /* seq: the number after the last; nothing follows */
    SKUA__FRAME_FINACK = 8, /* seq: as FIN */
    SKUA__FRAME_PING = 9,   /* word: anything; comes back with SKUA__FLAG_PONG */
    SKUA__FRAME_RESET = 10, /* word: a skua__reset_reason */
} skua__frame_type;

enum {
    SKUA__FLAG_REDELIVERED = 1 << 0, /* DATA, a record: it was sent before, to somebody */
    SKUA__FLAG_HEAD =
        1 << 1, /* DATA, a record: the body begins with a head (it is not one plain frame) */
    SKUA__FLAG_TAG =
        1
        << 2, /* DATA, a record: a byte with its size, and the pattern's tag, stand before the body */
    SKUA__FLAG_CREDIT_OUT = 1 << 3, /* DATA, BATCH: with it the sender's credit is used up */
    SKUA__FLAG_PONG = 1 << 0,       /* PING: the answer */
    SKUA__FLAG_UPDATE = 1 << 0, /* HELLO: only the pattern's part has changed; the link goes on */
};

typedef enum skua__reset_reason {
    SKUA__RESET_SAY_HELLO = 1, /* we do not know this connection: introduce yourself */
    SKUA__RESET_VERSION = 2,   /* no protocol version in common */
    SKUA__RESET_SERVICE = 3,   /* another kind or name than you ask for */
    SKUA__RESET_ROLE = 4,      /* your certificate does not allow it */
    SKUA__RESET_MALFORMED = 5, /* you broke the protocol */
    SKUA__RESET_LIMIT = 6,     /* too many links */
    SKUA__RESET_EPOCH = 7,     /* what you resume is not there (any more): begin a new epoch */
} skua__reset_reason;

typedef struct skua__frame {
    uint8_t type;
    uint8_t flags;
    uint32_t session; /* of the sender's handle: random, never 0 */
    uint64_t seq;
    uint64_t word;
} skua__frame;

/* Writes SKUA__FRAME_HEADER_BYTES. */
void skua__frame_write(const skua__frame *frame, uint8_t *ret_bytes);
/* Returns false when the bytes are no frame: too short, another magic, an unknown type, session 0, a wild number. */
bool skua__frame_read(const void *bytes, size_t size, skua__frame *ret_frame);

/* ---- HELLO ---- */
typedef struct skua__link_hello {
    uint16_t version_min, version_max;
    uint64_t features;    /* bits of what may be used besides; none yet */
    uint64_t incarnation; /* of the sender's node */
    uint8_t kind;         /* skua__service_kind */
    char name[SKUA_NAME_BYTES];
    uint32_t window_bytes, window_msgs; /* what the receiver of HELLO may have on its way */
    uint32_t peer_session, peer_epoch;  /* whose numbers `seq` counts; 0: we know nothing of you */
    const uint8_t *pattern;             /* the pattern's own part; borrowed */
    size_t pattern_size;
} skua__link_hello;

/* Writes the body (after the header). Returns its size, 0 when it does not fit. */
size_t skua__hello_write(const skua__link_hello *hello, uint8_t *ret_bytes, size_t size);
/* Unknown TLVs are skipped, unless their critical bit is set: that, and anything malformed, returns false. */
bool skua__hello_read(const uint8_t *bytes, size_t size, skua__link_hello *ret_hello);

/* ---- ACK ---- */
typedef struct skua__range {
    uint64_t first;
    uint32_t count;
} skua__range;

typedef struct skua__ack {
    uint64_t confirmed; /* all below are done with */
    uint64_t received;  /* all below have arrived */
    uint32_t session;   /* whose numbers these are */
    uint32_t window_bytes, window_msgs;
    uint32_t range_count;
    skua__range ranges[SKUA__ACK_RANGES_MAX]; /* done with beyond `confirmed`, rising */
} skua__ack;

enum { SKUA__ACK_BODY_MAX_BYTES = 16 + 12 * SKUA__ACK_RANGES_MAX };

/* Writes the body; confirmed and received go into the header. Returns its size. */
size_t skua__ack_write(const skua__ack *ack, uint8_t *ret_bytes);
bool skua__ack_read(const skua__frame *header, const uint8_t *bytes, size_t size,
                    skua__ack *ret_ack);

/* ---- Records: the messages of a DATA or a BATCH ---- */
typedef struct skua__link_record {
    uint8_t flags;
    const uint8_t *tag; /* borrowed; NULL: none */
    uint8_t tag_size;
    size_t body_offset; /* in the frame */
    size_t body_size;
} skua__link_record;

/* The bytes that stand before a message's body inside a BATCH: 4, and the tag. */
static inline size_t
skua__record_overhead(size_t tag_size) {
    return 4 + (tag_size ? 1 + tag_size : 0);
}

/* Writes what stands before a body of body_size: in a BATCH the 4-byte word, in both the tag. Returns its size. */
size_t skua__record_write(uint8_t flags, const void *tag, size_t tag_size, size_t body_size,
                          bool in_batch, uint8_t *ret_bytes);

/* Walks the records of a frame whose header was read. */
typedef struct skua__records {
    const uint8_t *bytes;
    size_t size;
    size_t at;
    uint32_t left;
    uint8_t data_flags; /* of a DATA: its one record's */
    bool batch;
} skua__records;

/* Checks the whole frame first, so that the walk cannot fail. Returns the number of records; 0: malformed. */
uint32_t skua__records_open(skua__records *records, const skua__frame *header, const void *bytes,
                            size_t size);
/* Returns false at the end. */
bool skua__records_next(skua__records *records, skua__link_record *ret_record);

#endif
