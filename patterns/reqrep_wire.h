// SPDX-License-Identifier: MPL-2.0
// The tag that requests and answers carry on a link: docs/design/wire.md, "Requests".
#ifndef SKUA_REQREP_WIRE_H
#define SKUA_REQREP_WIRE_H

#include <skua-int/buf.h>

typedef enum skua__reqrep_kind {
    SKUA__REQREP_REQUEST = 1,
    SKUA__REQREP_REPLY = 2,
    SKUA__REQREP_ERROR = 3,   /* the body is the service's text */
    SKUA__REQREP_REFUSED = 4, /* the body is the reason */
    SKUA__REQREP_CANCEL = 5,  /* from the one who asks: nobody waits for the answer any more */
} skua__reqrep_kind;

enum { SKUA__REQREP_TAG_BYTES = 16 };
#define SKUA__REQREP_NO_DEADLINE UINT32_MAX

typedef struct skua__reqrep_tag {
    skua__reqrep_kind kind;
    uint32_t left_ms; /* REQUEST: how long an answer is of use; SKUA__REQREP_NO_DEADLINE */
    uint64_t id;      /* the request's; of the one who asks, and echoed */
} skua__reqrep_tag;

static inline void
skua__reqrep_tag_write(const skua__reqrep_tag *tag, uint8_t ret[SKUA__REQREP_TAG_BYTES]) {
    skua__writer writer = skua__writer_of(ret, SKUA__REQREP_TAG_BYTES);
    skua__write_u8(&writer, (uint8_t)tag->kind);
    skua__write_u8(&writer, 0); /* flags */
    skua__write_u16(&writer, 0);
    skua__write_u32(&writer, tag->left_ms);
    skua__write_u64(&writer, tag->id);
}

/* Longer tags are a newer version's; what is added there is skipped. Returns false when it is none of ours. */
static inline bool
skua__reqrep_tag_read(const uint8_t *bytes, size_t size, skua__reqrep_tag *ret_tag) {
    skua__reader reader = skua__reader_of(bytes, size);
    uint8_t kind = skua__read_u8(&reader);
    skua__read_bytes(&reader, 3);
    uint32_t left_ms = skua__read_u32(&reader);
    uint64_t id = skua__read_u64(&reader);
    if (reader.failed || kind < SKUA__REQREP_REQUEST || kind > SKUA__REQREP_CANCEL || !id) {
        return false;
    }
    *ret_tag = (skua__reqrep_tag){.kind = (skua__reqrep_kind)kind, .left_ms = left_ms, .id = id};
    return true;
}

#endif
