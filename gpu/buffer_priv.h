// SPDX-License-Identifier: MPL-2.0
// The box's own: the inside of buffers. buffer.c is what users call, buffer_turn.c keeps their turns, buffer_copy.c is
// what the engines' threads do to the copies on devices.
#ifndef SKUA_GPU_BUFFER_PRIV_H
#define SKUA_GPU_BUFFER_PRIV_H

#include "engine_priv.h"

#include <skua/buffer.h>

enum {
    BUFFER_ALIGN = 4096, /* of memory of ours: pages, so that a device can use it in place */
};

/* What the buffers of one list of devices share. It ends with the last of them and of the list. */
struct skua__buffers {
    const skua_allocator *hook;
    skua__mutex
        lock; /* guards all of its buffers, their turns and copies; before an engine's lock */
    skua__cond changed;
    skua__list ready; /* claims whose owners are to be told, by skua__buffers_unlock() */
    uint32_t references;
    skua_devices *devices; /* NULL: closed */
};

/* A buffer's contents on one device. Only that device's engine makes and ends it. */
typedef struct skua__copy {
    skua__list of_buffer;
    skua__list of_engine; /* in engine->copies, the longest unused first */
    skua_buffer *buffer;
    skua__engine *engine;
    skua__block *block;    /* memory of the device, */
    skua__dev_mem *shared; /* or the host's as the device sees it */
    uint32_t busy;         /* launches on the device that use it now; the engine's thread's */
    bool valid;            /* it has the contents */
    bool host_has_it;      /* shared: the host may touch it, the device may not */
} skua__copy;

struct skua_buffer {
    skua__buffers *space;
    uint64_t bytes;
    void *host;
    void *own;    /* the block that host lies in; NULL: the caller's */
    bool on_host; /* the host has the contents */
    bool ending;
    bool held; /* a device that hangs may yet write to host, which is leaked therefore */
    bool mapped;
    skua__buffer_use map_use;
    skua__list uses; /* in the order of their turns */
    skua__list copies;
};

/* Unlocks, and tells the owners of the claims that became ready. The caller holds no other lock. */
void skua__buffers_unlock(skua__buffers *space);

/* Whether nobody has the contents any more. */
bool skua__buffer_is_lost_locked(const skua_buffer *buffer);
/* The copy on an engine's device, or NULL. */
skua__copy *skua__buffer_copy_locked(const skua_buffer *buffer, const skua__engine *engine);

/* A launch without a kernel, which moves a buffer to its engine's device (IN) or to the host (OUT); it frees itself. */
skua__launch *skua__buffer_transfer_new(skua_buffer *buffer, skua_param_kind kind);

/* ---- Turns (buffer_turn.c) ---- */

/* Asks for a turn. engine NULL: on the host; launch NULL: for a call of the host's, which waits for it. */
void skua__buffer_push_use_locked(skua__buffer_use *use, skua_buffer *buffer, skua__engine *engine,
                                  bool reads, bool writes, skua__launch *launch);
/* Asks for the turns of all buffers of a launch: behind all others, or where its claim stands. */
void skua__buffer_push_uses_locked(skua__launch *launch, skua__engine *engine);
bool skua__buffer_may_go_locked(const skua__buffer_use *use);
void skua__buffer_grant_locked(skua__buffer_use *use);
/* A copy that has to come to the host before a use: since it holds the host's memory, or alone has what is read. */
skua__copy *skua__buffer_to_fetch_locked(const skua__buffer_use *use);
/* Begins to bring a copy to the host for a use that has its turn: use->fetching until it is there. */
skua_status skua__buffer_fetch_locked(skua__copy *copy, skua__buffer_use *use);
/* Whether what a use reads can be had now: it is here, or the host has it. */
bool skua__buffer_can_be_read_locked(const skua__buffer_use *use);
/* Gives a turn back; with success, what it wrote is current where it was written, and nowhere else. */
void skua__buffer_leave_locked(skua__buffer_use *use, bool success);
/* Something of this buffer has changed: others may have their turn now. */
void skua__buffer_regrant_locked(skua_buffer *buffer);
/* Whether nobody uses a buffer or is about to: only claims stand in its list, if anything. */
bool skua__buffer_is_idle_locked(const skua_buffer *buffer);
/* Makes a claim ready when it may be. Then it is among space->ready, unless it has just been entered. */
bool skua__claim_try_locked(skua__claim *claim);

/* ---- Launches' turns (buffer_turn.c) ---- */

/* Takes the turn of a transfer, before all others: nobody has one at its buffer now. */
void skua__buffer_claim_locked(skua__launch *transfer);
/* A transfer to the host has ended well. */
void skua__buffer_fetched(skua__launch *transfer);

/* Asks for the turns of a launch that was submitted; once it has all, and what it reads is at hand, it is in the inbox. */
void skua__buffers_enter(skua__launch *launch);
/* The engine is closing: its launches that wait for their turns, maybe for ever, wait no more. On its thread. */
void skua__buffers_give_up(skua__engine *engine);
/* What a launch reads has arrived on its device: others may read it too from now on. */
void skua__buffers_arrived(skua__launch *launch);

/* ---- buffer_copy.c: all on the engine's thread ---- */

/* Bytes that a buffer argument moves to the device when it starts now. */
uint64_t skua__copy_missing(const skua__engine *engine, const skua__launch_arg *arg);
/* Whether the argument needs a block of device memory that it does not have. */
bool skua__copy_wants_block(const skua__engine *engine, const skua__launch_arg *arg);
/* Finds or makes the copy of an argument. Returns 0, or what skua__blocks_take() and mem_new() do; DEVICE_FAILED: it is lost. */
skua_status skua__copy_attach(skua__engine *engine, skua__launch *launch, skua__launch_arg *arg);
/* The device has shared memory again. */
void skua__copy_given(skua__copy *copy);
/* Lets copies go that are idle and current elsewhere, the longest unused first. Returns the bytes. */
uint64_t skua__copy_evict(skua__engine *engine, uint64_t bytes);
/* Begins to bring a copy to the host that is current nowhere else, and used nowhere now. Returns whether there was one. */
bool skua__copy_write_back(skua__engine *engine);
/* Whether a copy stays only until a transfer or launch arrives that has its turn and is on its way here. */
bool skua__copy_will_move(skua__engine *engine);
/* Ends the copies of buffers that are ending. */
void skua__copy_drop_ending(skua__engine *engine);
/* The device is closed, or about to be: with it go all copies. */
void skua__copy_drop_all(skua__engine *engine, bool abandoned);

#endif
