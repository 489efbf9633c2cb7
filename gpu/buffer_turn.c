// SPDX-License-Identifier: MPL-2.0
// Who may use a buffer when, and where it is current.
//
// Turns. Each use of a buffer stands in its list in the order of asking, and may go when no use before it conflicts: one
// of two writes, or has to bring the contents along, or another party uses memory that both share. A launch puts the uses
// of all of its buffers into their lists under one lock, so that any two launches stand in the same order everywhere and
// never wait for each other.
//
// Claims (claim.c). A pool's launch takes its place before it is known where it runs: its claim's uses are *unplaced*, and
// conflict only where one of two writes. What its tries ask for later goes under that cover: a use that writes right behind
// the claim's, one that reads behind those that read already, since these may be under way.
//
// Moving. When a launch has its turns, what it reads is brought to the host where only another device has it: by a transfer,
// a launch without a kernel, on that device's engine. From the host to its own device it copies itself.
#include "buffer_priv.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>

/* ---- Where it is current ---- */

bool
skua__buffer_is_lost_locked(const skua_buffer *buffer) {
    SKUA_LIST_EACH(node, &buffer->copies) {
        if (SKUA_CONTAINER_OF(node, skua__copy, of_buffer)->valid) {
            return false;
        }
    }
    return !buffer->on_host;
}

skua__copy *
skua__buffer_copy_locked(const skua_buffer *buffer, const skua__engine *engine) {
    SKUA_LIST_EACH(node, &buffer->copies) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_buffer);
        if (copy->engine == engine) {
            return copy;
        }
    }
    return NULL;
}

/* Whether a place (NULL: the host) can read the contents as things are. */
static bool
is_current_locked(const skua_buffer *buffer, const skua__engine *engine) {
    if (!engine) {
        return buffer->on_host;
    }
    const skua__copy *copy = skua__buffer_copy_locked(buffer, engine);
    return copy && copy->valid && !copy->host_has_it;
}

/* A copy that has to come to the host before a use: since it holds the host's memory, or alone has what is read. */
skua__copy *
skua__buffer_to_fetch_locked(const skua__buffer_use *use) {
    const skua_buffer *buffer = use->buffer;
    skua__copy *source = NULL;
    SKUA_LIST_EACH(node, &buffer->copies) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_buffer);
        if (copy->engine == use->engine) {
            continue;
        }
        if (copy->shared && !copy->host_has_it) {
            return copy;
        }
        source = copy->valid ? copy : source;
    }
    bool needs_host = use->reads && !buffer->on_host && !is_current_locked(buffer, use->engine);
    return needs_host ? source : NULL;
}

/* ---- Turns ---- */

static bool
shares_locked(const skua__buffer_use *use) {
    const skua__copy *copy =
        use->engine ? skua__buffer_copy_locked(use->buffer, use->engine) : NULL;
    return copy && copy->shared;
}

/* Whether something has to be moved before the use, which nobody else may look at meanwhile. */
static bool
has_to_move_locked(const skua__buffer_use *use) {
    return (use->reads && !is_current_locked(use->buffer, use->engine)) ||
           skua__buffer_to_fetch_locked(use);
}

static bool
is_alone_locked(const skua__buffer_use *use) {
    return use->writes || (use->granted ? use->moves : has_to_move_locked(use));
}

/* Whether two uses are of one launch, which may read a buffer twice. */
static bool
belong_together(const skua__buffer_use *a, const skua__buffer_use *b) {
    return (a->launch && a->launch == b->launch) || (a->claim && a->claim == b->claim);
}

static bool
conflicts_locked(const skua__buffer_use *before, const skua__buffer_use *use) {
    if (before->unplaced) {
        return before->writes || use->writes;
    }
    if (use->unplaced) {
        return use->writes || is_alone_locked(before);
    }
    bool apart = before->engine != use->engine;
    return is_alone_locked(use) || is_alone_locked(before) ||
           (apart && (shares_locked(use) || shares_locked(before)));
}

bool
skua__buffer_may_go_locked(const skua__buffer_use *use) {
    SKUA_LIST_EACH(node, &use->buffer->uses) {
        const skua__buffer_use *before = SKUA_CONTAINER_OF(node, skua__buffer_use, link);
        if (before == use) {
            return true;
        }
        if (!belong_together(before, use) && conflicts_locked(before, use)) {
            return false;
        }
    }
    return true;
}

bool
skua__buffer_is_idle_locked(const skua_buffer *buffer) {
    SKUA_LIST_EACH(node, &buffer->uses) {
        if (!SKUA_CONTAINER_OF(node, skua__buffer_use, link)->unplaced) {
            return false;
        }
    }
    return true;
}

void
skua__buffer_grant_locked(skua__buffer_use *use) {
    use->moves = has_to_move_locked(use);
    use->granted = true;
}

static void dispatch_locked(skua__launch *launch);

/* A launch at a device has all of its turns, or needs them no more: from now on somebody sends it to its engine. */
static void
note_dispatched_locked(skua__launch *launch) {
    launch->dispatched = true;
    if (launch->engine && !skua__list_empty(&launch->link)) {
        skua__mutex_lock(&launch->engine->lock);
        skua__list_remove(&launch->link); /* from engine->turns */
        skua__mutex_unlock(&launch->engine->lock);
    }
}

/* Grants what may go of a launch's uses, and sends it off when that was all. */
static void
try_launch_locked(skua__launch *launch) {
    bool all = true;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__buffer_use *use = &launch->args[i].use;
        if (!use->buffer || use->granted) {
            continue;
        }
        if (skua__buffer_may_go_locked(use)) {
            skua__buffer_grant_locked(use);
        } else {
            all = false;
        }
    }
    if (all && !launch->dispatched) {
        note_dispatched_locked(launch);
        dispatch_locked(launch);
    }
}

void
skua__buffer_regrant_locked(skua_buffer *buffer) {
    const skua__buffer_use *writer = NULL;
    SKUA_LIST_EACH(node, &buffer->uses) {
        skua__buffer_use *use = SKUA_CONTAINER_OF(node, skua__buffer_use, link);
        if (writer && !belong_together(writer, use)) {
            break; /* it and all behind it wait for the writer, however many they are */
        }
        if (use->unplaced && !use->claim->ready) {
            skua__claim_try_locked(use->claim);
        } else if (!use->granted && use->launch) {
            try_launch_locked(use->launch);
        }
        writer = use->writes ? use : writer;
    }
    skua__cond_broadcast(&buffer->space->changed);
}

/* What a use has written is current where it was written, and nowhere else. */
static void
note_written_locked(const skua__buffer_use *use) {
    skua_buffer *buffer = use->buffer;
    SKUA_LIST_EACH(node, &buffer->copies) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_buffer);
        copy->valid = copy->engine == use->engine;
    }
    buffer->on_host = use->engine == NULL;
}

void
skua__buffer_leave_locked(skua__buffer_use *use, bool success) {
    skua__copy *copy = use->engine ? skua__buffer_copy_locked(use->buffer, use->engine) : NULL;
    if (success && use->writes && (copy || !use->engine)) {
        note_written_locked(use);
    } else if (success && use->reads && copy) {
        copy->valid = true;
    }
    skua__list_remove(&use->link);
}

/*
 * A launch that failed may have written a part. What it wrote in the device's own memory counts no more, and where another
 * place still has what was there before, that stands. Where it wrote to the host's memory itself, all that is there is spoiled.
 */
static void
spoil_locked(const skua__buffer_use *use) {
    skua_buffer *buffer = use->buffer;
    bool in_place = !use->engine || skua__engine_shares(use->engine, buffer->host);
    bool elsewhere = false;
    SKUA_LIST_EACH(node, &buffer->copies) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_buffer);
        elsewhere = elsewhere || (copy->valid && !copy->shared);
    }
    if (!use->engine && !elsewhere) {
        return; /* half written by our own function: there is nothing better, and it can be looked at */
    }
    SKUA_LIST_EACH(node, &buffer->copies) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_buffer);
        copy->valid = copy->valid && (in_place ? !copy->shared : copy->engine != use->engine);
    }
    buffer->on_host = buffer->on_host && !in_place;
}

/* ---- Launches ---- */

/* Whether what a use reads can be had now: it is here, or the host has it. */
bool
skua__buffer_can_be_read_locked(const skua__buffer_use *use) {
    return !use->reads || use->buffer->on_host || is_current_locked(use->buffer, use->engine);
}

static void
fetched(skua__launch *transfer, skua_status status) {
    skua__buffer_use *use = transfer->done_arg;
    skua__buffers *space = use->buffer->space; /* it lives: the use stands in its list */
    skua__mutex_lock(&space->lock);
    use->fetching = false;
    /* Another way may have been faster, such as a device that gives all back as it is closed. */
    if (status && (skua__buffer_to_fetch_locked(use) || !skua__buffer_can_be_read_locked(use))) {
        use->status = status;
    }
    if (use->launch) {
        use->launch->fetched_ns += transfer->out_ns;
        use->launch->fetched_bytes += transfer->out_bytes;
    }
    if (use->engine) {
        skua__launch *launch = use->launch;
        if (use->status && !launch->status) {
            launch->blameless = true;
            launch->status = use->status;
            launch->error = transfer->error;
        }
        dispatch_locked(launch);
    }
    skua__cond_broadcast(&space->changed);
    skua__mutex_unlock(&space->lock);
    skua__launch_free(transfer);
}

static void
moved(skua__launch *transfer, skua_status status) {
    (void)status; /* who wants it there will see */
    skua__launch_free(transfer);
}

skua__launch *
skua__buffer_transfer_new(skua_buffer *buffer, skua_param_kind kind) {
    skua__launch *transfer = skua__launch_bare(buffer->space->hook, 1);
    if (transfer) {
        transfer->done = moved;
        transfer->priority = SKUA_PRIORITY_HIGH;
        transfer->args[0].kind = kind;
        transfer->args[0].buffer = buffer;
        transfer->args[0].host = buffer->host;
        transfer->args[0].bytes = buffer->bytes;
    }
    return transfer;
}

/* Begins to bring a copy to the host for a use that has its turn. */
skua_status
skua__buffer_fetch_locked(skua__copy *copy, skua__buffer_use *use) {
    skua__launch *transfer = skua__buffer_transfer_new(copy->buffer, SKUA_PARAM_OUT);
    if (!transfer) {
        return SKUA_E_NO_MEMORY;
    }
    transfer->done = fetched;
    transfer->done_arg = use;
    use->fetching = true;
    skua__engine_post_transfer(copy->engine, transfer);
    return SKUA_OK;
}

/* A launch has its turns: what it reads is brought to the host first where it must be; then it goes to its engine. */
static void
dispatch_locked(skua__launch *launch) {
    for (uint32_t i = 0; i < launch->arg_count && !launch->status; i++) {
        skua__buffer_use *use = &launch->args[i].use;
        skua__copy *copy = use->buffer ? skua__buffer_to_fetch_locked(use) : NULL;
        if (copy) {
            if (!skua__buffer_fetch_locked(copy, use)) {
                return; /* and once more when that has ended: one at a time keeps this simple */
            }
            launch->status = SKUA_FAIL_MEMORY(&launch->error, "moving a buffer to the host");
        }
    }
    skua__engine_post(launch->engine, launch);
}

void
skua__buffer_push_use_locked(skua__buffer_use *use, skua_buffer *buffer, skua__engine *engine,
                             bool reads, bool writes, skua__launch *launch) {
    *use = (skua__buffer_use){
        .buffer = buffer, .engine = engine, .reads = reads, .writes = writes, .launch = launch};
    skua__list_push_back(&buffer->uses, &use->link);
}

/* Moves a use from the end of its buffer's list to where its claim covers it. */
static void
cover_locked(skua__buffer_use *use, skua__buffer_use *of_claim) {
    skua__list *uses = &use->buffer->uses;
    skua__list *at = of_claim->link.next;
    while (!use->writes && at != uses && !SKUA_CONTAINER_OF(at, skua__buffer_use, link)->writes) {
        at = at->next;
    }
    if (at != &use->link) {
        skua__list_remove(&use->link);
        skua__list_insert_between(&use->link, at->prev, at);
    }
    use->claim = of_claim->claim;
}

void
skua__buffer_push_uses_locked(skua__launch *launch, skua__engine *engine) {
    uint32_t number = 0;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!arg->buffer) {
            continue;
        }
        skua__buffer_push_use_locked(&arg->use, arg->buffer, engine, arg->kind != SKUA_PARAM_OUT,
                                     arg->kind != SKUA_PARAM_IN, launch);
        if (launch->claim) {
            cover_locked(&arg->use, &launch->claim->uses[number++]);
        }
    }
}

void
skua__buffers_cancel(skua__launch *launch) {
    skua__mutex_lock(&launch->space->lock);
    if (!launch->dispatched) {
        note_dispatched_locked(launch);
        skua__engine_post(launch->engine, launch); /* which finds it cancelled, and ends it */
    }
    skua__mutex_unlock(&launch->space->lock);
}

void
skua__buffers_give_up(skua__engine *engine) {
    for (;;) {
        skua__mutex_lock(&engine->lock);
        skua__list *node = skua__list_empty(&engine->turns) ? NULL : engine->turns.next;
        skua__mutex_unlock(&engine->lock);
        if (!node) {
            return;
        }
        /* It lives: only this thread ends launches of this engine. If it has its turns meanwhile, it is in the inbox. */
        skua__launch *launch = SKUA_CONTAINER_OF(node, skua__launch, link);
        skua__a32_store(&launch->cancelled, 1, memory_order_relaxed); /* relaxed: see its comment */
        skua__buffers_cancel(launch);
    }
}

static bool
has_buffers(const skua__launch *launch) {
    return launch->space != NULL;
}

void
skua__buffers_enter(skua__launch *launch) {
    skua__mutex_lock(&launch->space->lock);
    skua__buffer_push_uses_locked(launch, launch->engine);
    try_launch_locked(launch);
    if (!launch->dispatched) {
        skua__engine *engine = launch->engine;
        skua__mutex_lock(&engine->lock);
        skua__list_push_back(&engine->turns, &launch->link);
        if (engine->closing) {
            skua__cond_signal(&engine->wake); /* it has looked already */
        }
        skua__mutex_unlock(&engine->lock);
    }
    skua__mutex_unlock(&launch->space->lock);
}

void
skua__buffer_claim_locked(skua__launch *transfer) {
    skua__launch_arg *arg = &transfer->args[0];
    skua__buffer_push_use_locked(&arg->use, arg->buffer, transfer->engine, true, false, transfer);
    skua__list_remove(&arg->use.link);
    skua__list_push_front(&arg->buffer->uses, &arg->use.link);
    arg->use.granted = arg->use.moves = true;
    transfer->dispatched = true;
}

void
skua__buffer_fetched(skua__launch *transfer) {
    skua_buffer *buffer = transfer->args[0].buffer;
    skua__mutex_lock(&buffer->space->lock);
    skua__copy *copy = skua__buffer_copy_locked(buffer, transfer->engine);
    if (copy) {
        copy->host_has_it = copy->shared != NULL;
        buffer->on_host = buffer->on_host || copy->valid;
    }
    skua__mutex_unlock(&buffer->space->lock);
}

void
skua__buffers_leave(skua__launch *launch, bool success) {
    if (!has_buffers(launch)) {
        return;
    }
    skua__mutex_lock(&launch->space->lock);
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        const skua__buffer_use *use = &launch->args[i].use;
        if (use->buffer) {
            skua__buffer_leave_locked(&launch->args[i].use, success);
        }
        if (use->buffer && !success && launch->computed && use->writes) {
            spoil_locked(use);
        }
    }
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        if (launch->args[i].use.buffer) {
            launch->args[i].use.buffer = NULL;
            skua__buffer_regrant_locked(launch->args[i].buffer);
        }
    }
    skua__buffers_unlock(launch->space);
}

void
skua__buffers_arrived(skua__launch *launch) {
    if (!has_buffers(launch)) {
        return;
    }
    skua__mutex_lock(&launch->space->lock);
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__buffer_use *use = &launch->args[i].use;
        skua__copy *copy =
            use->buffer && use->moves ? skua__buffer_copy_locked(use->buffer, use->engine) : NULL;
        if (copy) {
            copy->valid = true;
            use->moves = false;
            skua__buffer_regrant_locked(use->buffer);
        }
    }
    skua__buffers_unlock(launch->space);
}

/* ---- For predictions ---- */

uint64_t
skua__buffer_missing_bytes(skua_buffer *buffer, const skua__engine *engine) {
    skua__mutex_lock(&buffer->space->lock);
    bool shares = engine && skua__engine_shares(engine, buffer->host);
    bool here = is_current_locked(buffer, engine) || (shares && buffer->on_host);
    bool only_turns = false; /* the host's memory has it, and a device need only give it back */
    SKUA_LIST_EACH(node, &buffer->copies) {
        const skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_buffer);
        only_turns = only_turns || (copy->shared && copy->valid);
    }
    bool via_host = engine && !shares && !buffer->on_host && !only_turns;
    uint64_t bytes = buffer->bytes;
    skua__mutex_unlock(&buffer->space->lock);
    if (here || (only_turns && (!engine || shares))) {
        return 0;
    }
    return via_host ? 2 * bytes : bytes;
}
