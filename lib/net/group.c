// SPDX-License-Identifier: MPL-2.0
// Groups: links that get the same messages under the same numbers, so that each frame is made once and shared.
#include "link_priv.h"

#include <assert.h>

skua__group *
skua__group_new(skua__handle *handle) {
    skua__group *group = skua__mem_new(handle->hook, sizeof *group);
    if (group) {
        group->handle = handle;
        group->next_seq = 1;
        skua__list_init(&group->members);
    }
    return group;
}

skua__group *
skua__group_free(skua__group *group) {
    if (group) {
        assert(skua__list_empty(&group->members));
        skua__batch_free(group->handle, &group->batch);
        skua__mem_free(group->handle->hook, group);
    }
    return NULL;
}

size_t
skua__group_size(const skua__group *group) {
    return group->size;
}

void
skua__group_join(skua__group *group, skua__link *link) {
    assert(!link->group && link->tx.counts.sent == 0);
    /* Newcomers begin after what is being put together. */
    skua__group_close_batch(group);
    link->group = group;
    link->tx.next_seq = link->tx.received = group->next_seq;
    skua__list_push_back(&group->members, &link->group_node);
    group->size++;
}

void
skua__group_part(skua__link *link) {
    if (!link->group) {
        return;
    }
    skua__group_close_batch(link->group);
    link->group->size--;
    link->group = NULL;
    skua__list_remove(&link->group_node);
}

/* Gives a frame of count messages to every member. One that has no memory for it is out of step, and goes down. */
static void
append_to_all(skua__group *group, uint32_t count, zmq_msg_t *frame) {
    group->next_seq += count;
    SKUA_LIST_EACH(node, &group->members) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, group_node);
        zmq_msg_t shared;
        zmq_msg_init(&shared);
        zmq_msg_copy(&shared, frame);
        if (!skua__link_append(link, count, &shared)) {
            zmq_msg_close(&shared);
            link->lame = group->handle->inner->lame = true;
            link->tx.counts.sent += count;
            link->tx.counts.dropped[SKUA__DROP_PEER_LOST] += count;
        }
    }
    zmq_msg_close(frame);
}

bool
skua__group_close_batch(skua__group *group) {
    uint32_t count = group->batch.count;
    zmq_msg_t frame;
    if (count == 0) {
        return true;
    }
    if (!skua__batch_close(group->handle, &group->batch, 0, group->next_seq, 0, &frame)) {
        return false;
    }
    append_to_all(group, count, &frame);
    return true;
}

static void
push_members(skua__group *group) {
    SKUA_LIST_EACH(node, &group->members) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, group_node);
        skua__link_transmit(link);
    }
}

void
skua__group_push(skua__group *group) {
    skua__group_close_batch(group);
    push_members(group);
}

/* Whether some member would get the message at once. */
static bool
any_quick(const skua__group *group) {
    SKUA_LIST_EACH(node, &group->members) {
        if (skua__link_quick(SKUA_CONTAINER_OF(node, skua__link, group_node))) {
            return true;
        }
    }
    return false;
}

skua_status
skua__group_send(skua__group *group, const void *tag, size_t tag_size, skua_msg *msg) {
    skua__handle *handle = group->handle;
    size_t body_size = skua__msg_body_size(msg);
    if (body_size > SKUA__MESSAGE_MAX_BYTES - SKUA__FRAME_HEADER_BYTES - tag_size - 1) {
        return SKUA_E_TOO_BIG;
    }
    uint8_t flags = skua__msg_is_simple(msg) ? 0 : SKUA__FLAG_HEAD;
    bool alone = body_size >= SKUA__BATCH_ALONE_BYTES;
    bool fits =
        skua__batch_fits(handle, &group->batch, skua__record_overhead(tag_size) + body_size);
    if ((alone || !fits) && !skua__group_close_batch(group)) {
        return SKUA_E_NO_MEMORY;
    }
    bool quick = any_quick(group);
    if (alone || (quick && group->batch.count == 0)) {
        zmq_msg_t frame;
        skua_status status =
            skua__frame_of_message(handle, group->next_seq, 0, flags, tag, tag_size, msg, &frame);
        if (status != SKUA_OK) {
            return status;
        }
        append_to_all(group, 1, &frame);
    } else if (!skua__batch_add(handle, &group->batch, flags, tag, tag_size, msg, body_size)) {
        return SKUA_E_NO_MEMORY;
    }
    if (quick && group->batch.count) {
        skua__group_close_batch(group);
    }
    push_members(group);
    return SKUA_OK;
}
