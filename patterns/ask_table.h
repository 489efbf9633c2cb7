// SPDX-License-Identifier: MPL-2.0
// The requests of one skua_req: found by id, ordered by the next moment at which something is due. No locks of its own.
#ifndef SKUA_ASK_TABLE_H
#define SKUA_ASK_TABLE_H

#include <skua-int/list.h>
#include <skua-int/mem.h>
#include <skua-int/request_fsm.h>
#include <skua/msg.h>

enum { SKUA__ASK_GIVEN_UP_MAX = 3 }; /* providers that are remembered, to tell them of the end */

/* One request at the side that asks. */
typedef struct skua__ask {
    skua__list node; /* in one of: the waiting, a provider's, the results */
    skua__request_fsm fsm;
    skua_msg *msg;                             /* kept for another attempt */
    skua_msg *reply;                           /* the reply, or the text of an error or refusal */
    void *provider;                            /* who has it */
    uint64_t answered_by;                      /* the provider that ended it; 0: none did */
    uint64_t given_up[SKUA__ASK_GIVEN_UP_MAX]; /* passed over, and perhaps still at it; 0: none */
    int64_t started_ns, ended_ns;
    int64_t timeout_ms;     /* for the error's words */
    int64_t due_ns;         /* the heap's key */
    size_t heap_at;         /* SIZE_MAX: not in the heap */
    int32_t failure;        /* a status that ended it, beside the state machine; 0: none */
    char provider_name[64]; /* who ended it */
    bool called;            /* skua_req_call() waits for it; else it is skua_req_recv()'s */
} skua__ask;

typedef struct skua__ask_table {
    const skua_allocator *hook;
    skua__ask **slots;
    uint32_t *free_slots; /* a stack */
    uint32_t capacity, free_count, limit;
    uint64_t serial;
    skua__ask **heap;
    size_t heap_count;
    uint32_t count;
    skua__list spare; /* asks to be used again */
    uint32_t spare_count;
} skua__ask_table;

enum {
    SKUA__ASK_SLOT_BITS = 20,   /* of an id: where it stands; the rest is a serial number */
    SKUA__ASK_SPARE_MAX = 1024, /* kept for reuse */
};

void skua__ask_table_init(skua__ask_table *table, const skua_allocator *hook, uint32_t limit);
/* Every request must have been removed. */
void skua__ask_table_fini(skua__ask_table *table);

/* A new request with an id in fsm.id, in no list and not in the heap. Returns 0, SKUA_E_AGAIN at the limit, SKUA_E_NO_MEMORY. */
skua_status skua__ask_table_add(skua__ask_table *table, skua__ask **ret_ask);
/* Frees the request with the messages that it still has, and takes it out of list and heap. */
void skua__ask_table_remove(skua__ask_table *table, skua__ask *ask);
skua__ask *skua__ask_table_find(const skua__ask_table *table, uint64_t id);
/* Any request that is there, or NULL. *position begins at 0; nothing may be added or removed but the one returned. */
skua__ask *skua__ask_table_next(const skua__ask_table *table, uint32_t *position);

/* Puts it at its place for due_ns; SKUA_NEVER_NS takes it out. */
void skua__ask_table_due(skua__ask_table *table, skua__ask *ask, int64_t due_ns);
/* The one that is due first, or NULL. */
skua__ask *skua__ask_table_first(const skua__ask_table *table);

#endif
