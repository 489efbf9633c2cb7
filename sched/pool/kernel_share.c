// SPDX-License-Identifier: MPL-2.0
// The shares of a split launch: which part of its first dimension each place gets, by what is known of how long they take.
#include <skua-int/kernels.h>

/*
 * Places of which the selector knows nothing get a part to learn from: a small one beside others that are known, an equal one
 * when none is. The others share the rest as skua_select_split() says. Now and then one gets more than that, because what is
 * never tried would never be found to be better than it was. A part is whole groups of work-items, so that no device pads
 * more than the whole launch would be padded.
 */

enum {
    PROBE_PART = 16,    /* a place that nothing is known of gets one in so many indices, */
    PROBES_HALF = 2,    /* and all such places together at most one in so many */
    REVISIT_EVERY = 16, /* in one of so many split launches of a kernel a place gets more: */
    REVISIT_PART = 256, /* one in so many indices, where it was to have none, */
    REVISIT_MORE = 8,   /* else one in so many of its share */
    GROUPS_EACH = 32,   /* groups are made smaller until there are so many for each place */
    USUAL_GROUP = 256,  /* work-items in a group: what devices have in common */
    TRIES = 3,          /* a place that failed so often, and never did it, gets nothing more */
};

typedef struct sharing {
    const skua_pool *pool;
    const skua__launch_task *launch;
    skua_select_work work;
    skua_select_place where[SKUA__KERNEL_PLACES_MAX];
    const skua__site *sites[SKUA__KERNEL_PLACES_MAX];
    uint64_t indices[SKUA__KERNEL_PLACES_MAX]; /* the shares */
    size_t count;
    uint64_t inner;   /* work-items of one index of the first dimension */
    uint64_t granule; /* indices */
} sharing;

/* Whether a launch of this kernel may do well there, as far as is known. */
static bool
is_fit(const skua_pool *pool, const skua__kernel_entry *entry, const skua__site *site) {
    const skua_kernel_share *share = &entry->shares[site->place - 1];
    return !skua__place_rests(pool, site) && (share->launches || share->failures < TRIES);
}

/* The places that take part: not those that rest after a failure, or always fail. */
static void
find_places(sharing *self, skua_pool *pool, const skua_pool_future *parent, int64_t now_ns) {
    skua__place places[SKUA__PLACE_CANDIDATES];
    skua_select_place where[SKUA__KERNEL_PLACES_MAX];
    size_t of[SKUA__KERNEL_PLACES_MAX];
    size_t found = skua__places_locked(pool, parent, now_ns, places);
    size_t used =
        skua__launch_candidates_locked(pool, parent->launch, 0, places, found, now_ns, where, of);
    for (size_t i = 0; i < used; i++) {
        const skua__site *site = pool->sites[places[of[i]].site];
        if (is_fit(pool, parent->launch->entry, site)) {
            self->where[self->count] = where[i];
            self->sites[self->count++] = site;
        }
    }
}

static void
find_granule(sharing *self) {
    const skua__kernel *kernel = self->launch->entry->kernel;
    const skua__coded_launch *coded = &self->launch->coded;
    skua__dev_range range;
    /* A wish has no bound here: a device of smaller groups cuts its own part's, and nobody else's. */
    skua__range_fit(coded->dims, coded->global, kernel->local,
                    kernel->local[0] ? UINT64_MAX : USUAL_GROUP, kernel->guarded, &range);
    self->granule = range.local[0];
    /* A group of a size that the kernel asks for is never cut. */
    while (!kernel->local[0] && self->granule > 1 &&
           coded->global[0] / self->granule < self->count * GROUPS_EACH) {
        self->granule /= 2;
    }
}

static uint64_t
whole_groups(const sharing *self, uint64_t indices) {
    return indices - indices % self->granule;
}

static bool
is_known(const sharing *self, size_t i) {
    skua_select_work work = self->work;
    uint64_t units;
    int64_t total_ns = 0;
    work.places = &self->where[i];
    work.place_count = 1;
    return !skua_select_split(self->pool->kernels->selector, &work, 1, &units, &total_ns, NULL) &&
           total_ns > 0;
}

/* Shares so many indices out to the places that are known, of which there are some. */
static void
share_among_known(sharing *self, const bool *known, uint64_t indices) {
    skua_select_place where[SKUA__KERNEL_PLACES_MAX];
    size_t of[SKUA__KERNEL_PLACES_MAX];
    uint64_t units[SKUA__KERNEL_PLACES_MAX] = {0};
    skua_select_work work = self->work;
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (known[i]) {
            of[count] = i;
            where[count] = self->where[i];
            where[count++].missing_bytes =
                (uint64_t)((double)self->where[i].missing_bytes * (double)indices /
                           (double)self->launch->coded.global[0]);
        }
    }
    work.units = indices * self->inner;
    work.places = where;
    work.place_count = count;
    if (skua_select_split(self->pool->kernels->selector, &work, self->granule * self->inner, units,
                          NULL, NULL)) {
        units[0] = work.units; /* the numbers are the pool's own: this never happens */
    }
    for (size_t i = 0; i < count; i++) {
        self->indices[of[i]] = units[i] / self->inner;
    }
}

/*
 * One place, in turn, gets a little more than its share, at the largest one's cost: a very small part if it was to get nothing,
 * else an eighth more. That is what corrects a place that was found slow in a bad moment.
 */
static void
revisit(sharing *self, uint32_t turn) {
    size_t i = turn % self->count, largest = 0;
    for (size_t j = 1; j < self->count; j++) {
        largest = self->indices[j] > self->indices[largest] ? j : largest;
    }
    uint64_t more = self->indices[i] ? self->indices[i] / REVISIT_MORE
                                     : self->launch->coded.global[0] / REVISIT_PART;
    more = whole_groups(self, more) ? whole_groups(self, more) : self->granule;
    if (i != largest && self->indices[largest] / 2 >= more) {
        self->indices[i] += more;
        self->indices[largest] -= more;
    }
}

static void
share_out(sharing *self) {
    uint64_t left = self->launch->coded.global[0];
    bool known[SKUA__KERNEL_PLACES_MAX];
    size_t strangers = self->count;
    for (size_t i = 0; i < self->count; i++) {
        known[i] = is_known(self, i);
        strangers -= known[i];
    }
    uint64_t probe = strangers == self->count ? left / self->count : left / PROBE_PART;
    if (strangers < self->count && strangers > PROBE_PART / PROBES_HALF) {
        probe = left / PROBES_HALF / strangers;
    }
    probe = whole_groups(self, probe) ? whole_groups(self, probe) : self->granule;
    size_t last = 0; /* of the strangers */
    for (size_t i = 0; i < self->count; i++) {
        if (!known[i] && probe <= left) {
            self->indices[i] = probe;
            left -= probe;
            last = i;
        }
    }
    if (strangers == self->count) {
        self->indices[last] += left;
    } else if (left) {
        share_among_known(self, known, left);
    }
}

void
skua__split_share_locked(skua_pool *pool, skua_pool_future *parent, int64_t now_ns) {
    const skua__launch_task *launch = parent->launch;
    const skua__kernel *kernel = launch->entry->kernel;
    skua__split *split = launch->split;
    sharing self = {.pool = pool,
                    .launch = launch,
                    .inner = launch->coded.global[1] * launch->coded.global[2],
                    .work = {.size = sizeof self.work,
                             .kernel = launch->entry->selector_number,
                             .units = launch->items,
                             .flops = (uint64_t)(kernel->work * (double)launch->items),
                             .bytes = (uint64_t)(kernel->bytes * (double)launch->items)}};
    find_places(&self, pool, parent, now_ns);
    if (self.count) {
        find_granule(&self);
        share_out(&self);
        uint32_t splits = ++launch->entry->splits;
        if (splits % REVISIT_EVERY == 0) {
            revisit(&self, splits / REVISIT_EVERY);
        }
    }
    uint64_t at = 0;
    for (size_t i = 0; i < self.count; i++) {
        if (self.indices[i]) {
            split->parts[split->count++] = (skua__part){.split = split,
                                                        .first = at,
                                                        .end = at + self.indices[i],
                                                        .place = skua__place_id(self.sites[i]),
                                                        .site = self.sites[i]};
            at += self.indices[i];
        }
    }
    if (!self.count) { /* all rest, or are left alone for a while: it waits for whichever comes first */
        split->parts[split->count++] = (skua__part){.split = split, .end = launch->coded.global[0]};
    }
}
