// SPDX-License-Identifier: MPL-2.0
// An intrusive doubly linked ring: a node lies inside what it links, so linking never allocates.
#ifndef SKUA_INT_LIST_H
#define SKUA_INT_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct skua__list {
    struct skua__list *next, *prev;
} skua__list;

#define SKUA_CONTAINER_OF(pointer, type, member)                                                   \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Makes an empty list, or an unlinked node. */
static inline void
skua__list_init(skua__list *head) {
    head->next = head->prev = head;
}

static inline bool
skua__list_empty(const skua__list *head) {
    return head->next == head;
}

static inline void
skua__list_insert_between(skua__list *node, skua__list *prev, skua__list *next) {
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void
skua__list_push_back(skua__list *head, skua__list *node) {
    skua__list_insert_between(node, head->prev, head);
}

static inline void
skua__list_push_front(skua__list *head, skua__list *node) {
    skua__list_insert_between(node, head, head->next);
}

/* Unlinks a node; one that is not linked (but initialised) stays as it is. */
static inline void
skua__list_remove(skua__list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    skua__list_init(node);
}

/* The first node, unlinked, or NULL. */
static inline skua__list *
skua__list_pop_front(skua__list *head) {
    skua__list *node = head->next;
    if (node == head) {
        return NULL;
    }
    skua__list_remove(node);
    return node;
}

/* Walks a list; the node at hand may be removed in the body. */
#define SKUA_LIST_EACH(node, head)                                                                 \
    for (skua__list *node = (head)->next, *node##_next = node->next; node != (head);               \
         node = node##_next, node##_next = node->next)

#endif
