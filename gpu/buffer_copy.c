// SPDX-License-Identifier: MPL-2.0
// The copies of buffers on one device: made when an argument wants one, let go when memory is short, brought to the host
// before the device goes. All of it runs on the thread of the device's engine, which alone makes and ends its copies.
#include "buffer_priv.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>

/* Where the argument's copy stands, under the lock. */
static skua__copy *
find(const skua__engine *engine, const skua__launch_arg *arg) {
    skua__mutex_lock(&arg->buffer->space->lock);
    skua__copy *copy = skua__buffer_copy_locked(arg->buffer, engine);
    skua__mutex_unlock(&arg->buffer->space->lock);
    return copy;
}

uint64_t
skua__copy_missing(const skua__engine *engine, const skua__launch_arg *arg) {
    if (arg->kind == SKUA_PARAM_OUT || skua__engine_shares(engine, arg->buffer->host)) {
        return 0;
    }
    /* The launch has its turn, so that nobody else changes what is current. */
    const skua__copy *copy = find(engine, arg);
    return copy && copy->valid ? 0 : arg->bytes;
}

bool
skua__copy_wants_block(const skua__engine *engine, const skua__launch_arg *arg) {
    return !skua__engine_shares(engine, arg->buffer->host) && !find(engine, arg);
}

/* Unlinks a copy; its memory is the caller's then. */
static void
unlink_locked(skua__copy *copy) {
    skua__list_remove(&copy->of_buffer);
    skua__list_remove(&copy->of_engine);
    skua__cond_broadcast(&copy->buffer->space->changed);
}

static void
end_copy(skua__engine *engine, skua__copy *copy) {
    if (engine->dev) {
        engine->driver->mem_free(engine->dev, copy->shared);
    }
    skua__blocks_give(&engine->blocks, copy->block);
    skua__mem_free(engine->hook, copy);
}

static skua_status
make(skua__engine *engine, skua_buffer *buffer, skua__copy **ret_copy, skua_error *err) {
    skua__copy *copy = skua__mem_new(engine->hook, sizeof *copy);
    if (!copy) {
        return SKUA_FAIL_MEMORY(err, "a buffer's copy on a device");
    }
    copy->buffer = buffer;
    copy->engine = engine;
    /* What is new on a device belongs to nobody yet: the host still has its memory. */
    copy->host_has_it = false;
    skua_status status =
        skua__engine_shares(engine, buffer->host)
            ? engine->driver->mem_new(engine->dev, SKUA__DEV_MEM_SHARED, buffer->bytes,
                                      buffer->host, &copy->shared, err)
            : skua__blocks_take(&engine->blocks, buffer->bytes, &copy->block, err);
    if (status) {
        skua__mem_free(engine->hook, copy);
        return status;
    }
    skua__mutex_lock(&buffer->space->lock);
    /* Memory that both share has what the host has. */
    copy->valid = copy->shared && buffer->on_host;
    skua__list_push_back(&buffer->copies, &copy->of_buffer);
    skua__list_push_back(&engine->copies, &copy->of_engine);
    skua__mutex_unlock(&buffer->space->lock);
    *ret_copy = copy;
    return SKUA_OK;
}

skua_status
skua__copy_attach(skua__engine *engine, skua__launch *launch, skua__launch_arg *arg) {
    skua_buffer *buffer = arg->buffer;
    skua__copy *copy = find(engine, arg);
    bool is_fetch = !launch->kernel && arg->kind == SKUA_PARAM_OUT;
    skua_status status = SKUA_OK;
    if (!copy && is_fetch) {
        launch->blameless = true;
        return SKUA_FAIL(&launch->error, SKUA_E_DEVICE_FAILED,
                         "the buffer's contents went with a device that failed");
    }
    if (!copy) {
        status = make(engine, buffer, &copy, &launch->error);
        if (status) {
            return status;
        }
        if (copy->block && !copy->block->slab) {
            launch->device_bytes += copy->block->bytes;
        }
        launch->wanted_bytes += copy->block ? arg->bytes : 0;
    }
    skua__mutex_lock(&buffer->space->lock);
    bool reads = arg->kind != SKUA_PARAM_OUT;
    if (reads && skua__buffer_is_lost_locked(buffer)) {
        launch->blameless = true;
        status = SKUA_FAIL(&launch->error, SKUA_E_DEVICE_FAILED,
                           "the contents of a buffer of the launch were only on a device that "
                           "failed; write all of it anew");
    }
    arg->copy_in = reads && !copy->valid;
    skua__list_remove(&copy->of_engine);
    skua__list_push_back(&engine->copies, &copy->of_engine);
    skua__mutex_unlock(&buffer->space->lock);
    arg->copy = copy;
    copy->busy++;
    return status;
}

void
skua__copy_given(skua__copy *copy) {
    skua__mutex_lock(&copy->buffer->space->lock);
    copy->host_has_it = false;
    skua__mutex_unlock(&copy->buffer->space->lock);
}

/* ---- Letting go ---- */

static bool
is_elsewhere_locked(const skua__copy *copy) {
    if (copy->buffer->on_host) {
        return true;
    }
    SKUA_LIST_EACH(node, &copy->buffer->copies) {
        const skua__copy *other = SKUA_CONTAINER_OF(node, skua__copy, of_buffer);
        if (other != copy && other->valid) {
            return true;
        }
    }
    return false;
}

static bool
is_idle_locked(const skua__copy *copy) {
    return copy->busy == 0 && skua__buffer_is_idle_locked(copy->buffer);
}

/* Whether somebody elsewhere has the turn to write all of the buffer anew. */
static bool
is_overwritten_locked(const skua__copy *copy) {
    SKUA_LIST_EACH(node, &copy->buffer->uses) {
        const skua__buffer_use *use = SKUA_CONTAINER_OF(node, skua__buffer_use, link);
        if (use->granted && use->writes && !use->reads && use->engine != copy->engine) {
            return true;
        }
    }
    return false;
}

/*
 * Whether nothing is lost but time when the copy goes. One that is asked for already may go where the host has the
 * contents: whoever has its turn reads, or is alone, and fills it again.
 */
static bool
may_go_now_locked(const skua__copy *copy) {
    if (!copy->block || copy->busy) {
        return false;
    }
    return copy->buffer->on_host || is_overwritten_locked(copy) ||
           (is_idle_locked(copy) && (!copy->valid || is_elsewhere_locked(copy)));
}

uint64_t
skua__copy_evict(skua__engine *engine, uint64_t bytes) {
    uint64_t gone = 0;
    SKUA_LIST_EACH(node, &engine->copies) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_engine);
        if (gone >= bytes) {
            break;
        }
        skua__buffers *space = copy->buffer->space;
        skua__mutex_lock(&space->lock);
        bool may_go = may_go_now_locked(copy);
        if (may_go) {
            unlink_locked(copy);
        }
        skua__mutex_unlock(&space->lock);
        if (may_go) {
            gone += copy->block->bytes;
            end_copy(engine, copy);
        }
    }
    return gone;
}

/* Whether somebody has a turn at the copy's buffer; besides: other than the launches that are queued here. */
static bool
has_turn_locked(const skua__copy *copy, bool besides) {
    SKUA_LIST_EACH(node, &copy->buffer->uses) {
        const skua__buffer_use *use = SKUA_CONTAINER_OF(node, skua__buffer_use, link);
        bool queued = use->engine == copy->engine && use->launch && use->launch->queued;
        if (use->granted && !(besides && queued)) {
            return true;
        }
    }
    return false;
}

bool
skua__copy_write_back(skua__engine *engine) {
    SKUA_LIST_EACH(node, &engine->copies) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_engine);
        skua_buffer *buffer = copy->buffer;
        skua__mutex_lock(&buffer->space->lock);
        bool dirty = copy->busy == 0 && copy->valid && !copy->host_has_it &&
                     (copy->shared || !is_elsewhere_locked(copy)) && !has_turn_locked(copy, false);
        skua__launch *transfer = dirty ? skua__buffer_transfer_new(buffer, SKUA_PARAM_OUT) : NULL;
        if (transfer) {
            /* With a turn of its own, so that nobody touches the buffer meanwhile. */
            transfer->space = buffer->space;
            transfer->engine = engine;
            skua__buffer_claim_locked(transfer);
            skua__engine_post_transfer(engine, transfer);
        }
        skua__mutex_unlock(&buffer->space->lock);
        if (transfer) {
            return true;
        }
    }
    return false;
}

bool
skua__copy_will_move(skua__engine *engine) {
    SKUA_LIST_EACH(node, &engine->copies) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_engine);
        skua__buffers *space = copy->buffer->space;
        skua__mutex_lock(&space->lock);
        bool waits = copy->block && has_turn_locked(copy, true);
        skua__mutex_unlock(&space->lock);
        if (waits) {
            return true;
        }
    }
    return false;
}

void
skua__copy_drop_ending(skua__engine *engine) {
    SKUA_LIST_EACH(node, &engine->copies) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_engine);
        skua__buffers *space = copy->buffer->space;
        skua__mutex_lock(&space->lock);
        bool ending = copy->buffer->ending;
        skua__mutex_unlock(&space->lock);
        if (ending) {
            /* Ended first: the host's memory goes as soon as the buffer has no copy. */
            if (engine->dev) {
                engine->driver->mem_free(engine->dev, copy->shared);
            }
            copy->shared = NULL;
            skua__mutex_lock(&space->lock);
            unlink_locked(copy);
            skua__mutex_unlock(&space->lock);
            end_copy(engine, copy);
        }
    }
}

void
skua__copy_drop_all(skua__engine *engine, bool abandoned) {
    for (skua__list *node = engine->copies.next; node != &engine->copies;
         node = engine->copies.next) {
        skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_engine);
        skua__buffers *space = copy->buffer->space;
        skua__mutex_lock(&space->lock);
        copy->buffer->held = copy->buffer->held || (abandoned && copy->shared);
        unlink_locked(copy);
        skua__mutex_unlock(&space->lock);
        copy->shared = engine->dev ? copy->shared : NULL;
        end_copy(engine, copy);
    }
}
