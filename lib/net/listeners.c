// SPDX-License-Identifier: MPL-2.0
// Who wants to know what happens to the node as a whole: a peer that leaves, and the node's own end.
#include "node_priv.h"

/* A listener on its way into the list or out of it. */
struct change {
    skua_node *node;
    skua__node_listener *listener;
};

static void
listen_begins(void *arg) {
    const struct change *change = arg;
    skua__node_listener *listener = change->listener;
    skua__list_push_back(&change->node->listeners, &listener->all);
    if (change->node->stopping) {
        listener->closing(listener->arg); /* it has missed the word */
    }
}

static void
listen_ends(void *arg) {
    const struct change *change = arg;
    skua__list_remove(&change->listener->all);
}

static skua_status
in_thread(skua_node *node, void (*fn)(void *arg), skua__node_listener *listener) {
    struct change change = {.node = node, .listener = listener};
    if (skua__host_is_current(&node->host)) {
        fn(&change);
        return SKUA_OK;
    }
    return skua__host_call(&node->host, fn, &change);
}

skua_status
skua__node_listen(skua_node *node, skua__node_listener *listener, skua_error *err) {
    skua__list_init(&listener->all);
    skua_status status = in_thread(node, listen_begins, listener);
    return status ? SKUA_FAIL(err, status, "the node is closed or closing") : SKUA_OK;
}

void
skua__node_unlisten(skua_node *node, skua__node_listener *listener) {
    /* When the node's thread has ended nobody walks the list any more. */
    (void)in_thread(node, listen_ends, listener);
}

void
skua__listeners_left(skua_node *node, const skua__uuid *peer, uint64_t incarnation) {
    SKUA_LIST_EACH(at, &node->listeners) {
        skua__node_listener *listener = SKUA_CONTAINER_OF(at, skua__node_listener, all);
        listener->left(listener->arg, peer, incarnation);
    }
}

void
skua__listeners_closing(skua_node *node) {
    SKUA_LIST_EACH(at, &node->listeners) {
        skua__node_listener *listener = SKUA_CONTAINER_OF(at, skua__node_listener, all);
        listener->closing(listener->arg);
    }
}
