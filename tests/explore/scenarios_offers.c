// SPDX-License-Identifier: MPL-2.0
// What a worker offers, alone: each item is taken once and seen as it was written, though the ring is full again and again.
#include "scenarios.h"

#include "offers.h"

#include <pthread.h>

enum {
    CELLS = 2,
    ITEMS = 5,
    THIEVES = 2,
    TRIES = 3, /* of each thief */
};

typedef struct item {
    uint32_t value; /* written before it is offered */
    uint32_t runs;  /* by whoever took it, and nobody else */
} item;

typedef struct offering {
    skua__offers offers;
    skua__aptr cells[CELLS];
    item items[ITEMS];
    uint32_t added;
} offering;

static void
take_item(item *one) {
    explore_check(one->value == 7, "an item is seen as it was written");
    explore_check(one->runs++ == 0, "an item is taken once");
}

static void *
steal_some(void *arg) {
    offering *o = arg;
    for (int i = 0; i < TRIES; i++) {
        item *one = skua__offers_steal(&o->offers);
        if (one) {
            take_item(one);
        }
    }
    return NULL;
}

/* One or two more, as many as fit. */
static void
add_some(offering *o) {
    void *list[2];
    uint32_t most = 1 + explore_below(2), count = 0;
    while (count < most && o->added + count < ITEMS) {
        o->items[o->added + count].value = 7;
        list[count] = &o->items[o->added + count];
        count++;
    }
    o->added += (uint32_t)skua__offers_add(&o->offers, list, count);
}

void
scenario_offers(void) {
    offering *o = explore_new(sizeof *o);
    skua__offers_init(&o->offers, o->cells, CELLS);
    pthread_t thieves[THIEVES];
    for (int i = 0; i < THIEVES; i++) {
        pthread_create(&thieves[i], NULL, steal_some, o);
    }
    item *one;
    while (o->added < ITEMS) {
        add_some(o);
        if (explore_below(2) && (one = skua__offers_take(&o->offers, 0)) != NULL) {
            take_item(one);
        }
        if (explore_below(8) == 0 && (one = skua__offers_steal(&o->offers)) != NULL) {
            take_item(one); /* a full ring must not keep us here for ever */
        }
    }
    while ((one = skua__offers_take(&o->offers, 0)) != NULL) {
        take_item(one);
    }
    for (int i = 0; i < THIEVES; i++) {
        pthread_join(thieves[i], NULL);
    }
    for (int i = 0; i < ITEMS; i++) {
        explore_check(o->items[i].runs == 1, "no item is lost");
    }
}
