// SPDX-License-Identifier: MPL-2.0
// Claims: the place of a launch in the lists of its buffers from its submission on, before it is known which device or
// whether the cores will run it. sched/pool holds one for each launch with buffers; the turns themselves are buffer_turn.c's.
#include "buffer_priv.h"

#include <skua-int/mem.h>

/*
 * Why not ask for the turns where the launch runs, when that is known? Since then the order in which places are chosen
 * would be the order of the launches, and a chain of them would come to something else than one after the other.
 *
 * And why not hand a launch to its place at once, to wait for its turns there? Since what waits there takes room that those
 * before it may need, and since nobody knows where its data will be until those before it have run.
 *
 * No claim waits in a circle: it waits for what stands before it, and all claims of a launch are entered under one lock.
 * A try waits for other tries and for calls of the host's alone, never for a claim without one: readers pass it by.
 */

skua__claim *
skua__claim_new(const skua_allocator *hook, const skua_param_kind *params,
                skua_buffer *const *buffers, uint32_t count) {
    uint32_t uses = 0;
    skua__buffers *space = NULL;
    for (uint32_t i = 0; i < count; i++) {
        uses += buffers[i] != NULL;
        space = buffers[i] ? buffers[i]->space : space;
    }
    skua__claim *claim = skua__mem_new(hook, sizeof *claim + uses * sizeof(skua__buffer_use));
    if (!claim) {
        return NULL;
    }
    claim->hook = hook;
    claim->space = space;
    skua__list_init(&claim->link);
    for (uint32_t i = 0; i < count; i++) {
        if (buffers[i]) {
            claim->uses[claim->count++] = (skua__buffer_use){
                .buffer = buffers[i],
                .claim = claim,
                .unplaced = true,
                .reads = params[i] != SKUA_PARAM_OUT,
                .writes = params[i] != SKUA_PARAM_IN,
            };
        }
    }
    return claim;
}

skua__claim *
skua__claim_free(skua__claim *claim) {
    if (claim) {
        skua__mem_free(claim->hook, claim);
    }
    return NULL;
}

bool
skua__claim_enter(skua__claim *claim) {
    skua__mutex_lock(&claim->space->lock);
    for (uint32_t i = 0; i < claim->count; i++) {
        skua__list_push_back(&claim->uses[i].buffer->uses, &claim->uses[i].link);
    }
    bool ready = skua__claim_try_locked(claim);
    claim->entered = true;
    skua__mutex_unlock(&claim->space->lock);
    return ready;
}

bool
skua__claim_try_locked(skua__claim *claim) {
    for (uint32_t i = 0; i < claim->count && !claim->ready; i++) {
        if (!skua__buffer_may_go_locked(&claim->uses[i])) {
            return false;
        }
    }
    if (!claim->ready && claim->entered) {
        claim->telling = true;
        skua__list_push_back(&claim->space->ready, &claim->link);
    }
    claim->ready = true;
    return true;
}

bool
skua__claim_leave(skua__claim *claim, skua__list *ret_ready) {
    claim->left = true;
    if (!claim->entered) {
        return true;
    }
    skua__buffers *space = claim->space;
    skua__mutex_lock(&space->lock);
    for (uint32_t i = 0; i < claim->count; i++) {
        skua__list_remove(&claim->uses[i].link);
    }
    for (uint32_t i = 0; i < claim->count; i++) {
        skua__buffer_regrant_locked(claim->uses[i].buffer);
    }
    bool over = !claim->telling;
    for (skua__list *node; (node = skua__list_pop_front(&space->ready)) != NULL;) {
        skua__list_push_back(ret_ready, node);
    }
    skua__mutex_unlock(&space->lock);
    return over;
}

void
skua__buffers_unlock(skua__buffers *space) {
    skua__list ready;
    skua__list_init(&ready);
    for (skua__list *node; (node = skua__list_pop_front(&space->ready)) != NULL;) {
        skua__list_push_back(&ready, node);
    }
    skua__mutex_unlock(&space->lock);
    for (skua__list *node; (node = skua__list_pop_front(&ready)) != NULL;) {
        skua__claim *claim = SKUA_CONTAINER_OF(node, skua__claim, link);
        claim->told(claim);
    }
}
