// SPDX-License-Identifier: MPL-2.0
// Forked calls: the slow paths of spawn and sync, stealing, and waiting for a call that was stolen.
//
// Ordering.
// 1. A slot's fn, frame and origin are written by its owner before the split passes over it (D1), and read by the thief
//    after its compare-and-swap of the word took the slot. Nobody else reads them.
// 2. What the call wrote is seen by the owner once it reads DONE in the slot's state (S1).
// 3. A thief that finds nothing sets the request, then springs the trap; the owner resets the trap, then takes the request.
//    All four are sequentially consistent (T1), so a sprung trap is never reset without its request being seen.
// 4. The epoch in the word changes when a thief is done with a stolen call, before it says so (E1). A leaper reads the
//    word, then sees that the call is not done, then swaps: so the slot it takes was forked by that call.
// 5. Plain stores of the word, by its owner, meet an empty one only, which no thief can swap: at the end of a stolen call, after
//    a sync of one, and where a nest takes the word and gives it back.
//
// Progress. Spawn and sync of a private slot are wait-free and touch nothing shared. A steal is lock-free. Waiting for a
// stolen call blocks on its thief only, which runs.
#include "engine.h"

#include <skua-int/clock.h>

enum {
    FORK_SPINS = 64, /* looks at a stolen call between two readings of the clock */
    FORK_TINY_NS =
        150, /* a stolen call that took less was not worth the two cache lines that it moved */
    FORK_OFF_MAX = 63, /* pauses: some 2 us */
    FORK_DEEP_SHARE =
        2, /* one of so many parts of a thread's stack is for what is run while it waits */
};

/* The public structs hold plain words, so that any language can read them; here they are atomics. */
static_assert(sizeof(skua__a64) == sizeof(uint64_t), "a slot's state is an atomic");
static_assert(sizeof(skua__aptr) == sizeof(void *), "the trap's addresses are atomics");

static skua__a64 *
state_of(const skua_slot *slot) {
    return (skua__a64 *)(void *)(uintptr_t)&slot->state;
}

static skua__aptr *
trap_word(skua_slot **address) {
    return (skua__aptr *)(void *)address;
}

static uint32_t
index_of(const skua__stack *stack, const skua_slot *slot) {
    return (uint32_t)(slot - stack->slots);
}

/* ---- The trap ---- */

void
skua__request(skua__stack *stack, uint32_t request) {
    /* seq_cst T1: a request that is pending already has sprung the trap, or is about to. */
    if (skua__a32_load(&stack->requests, memory_order_seq_cst) & request) {
        return;
    }
    /* seq_cst T1: the request before the trap; pairs with seq_cst T1 in take_requests() */
    skua__a32_or(&stack->requests, request, memory_order_seq_cst);
    /* seq_cst T1: see above */
    skua__aptr_store(trap_word(&stack->trap.spawn_below), NULL, memory_order_seq_cst);
    /* seq_cst T1: see above */
    skua__aptr_store(trap_word(&stack->trap.sync_from), (void *)UINTPTR_MAX, memory_order_seq_cst);
}

void
skua__stack_init(skua__worker *worker, skua__stack *stack) {
    /* Asked from the start: a worker that fell asleep before this stack could be seen has asked nobody here. */
    stack->trap.spawn_below = NULL;
    stack->trap.sync_from = stack->slots;
    stack->worker = worker;
    skua__offers_init(&stack->own, stack->own_cells, EXEC_RING_JOBS);
    skua__offers_init(&stack->handful, stack->handful_cells, EXEC_RING_JOBS);
    skua__offers_init(&stack->nodes, stack->node_cells, EXEC_NODES_MAX);
    skua__a64_store(&stack->word, 0, memory_order_relaxed); /* relaxed: no thread yet */
    skua__a32_store(&stack->requests, EXEC_REQUEST_HUNGRY,
                    memory_order_relaxed); /* relaxed: no thread yet */
}

/* Sets the trap for normal running, then takes what was asked for. */
static uint32_t
take_requests(skua__worker *worker) {
    skua__stack *stack = worker->stack;
    void *sync_from = worker->overflow ? (void *)UINTPTR_MAX : (void *)&stack->slots[worker->split];
    /* seq_cst T1: the trap before the request; pairs with seq_cst T1 in skua__request() */
    skua__aptr_store(trap_word(&stack->trap.spawn_below), &stack->slots[worker->mark],
                     memory_order_seq_cst);
    /* seq_cst T1: see above */
    skua__aptr_store(trap_word(&stack->trap.sync_from), sync_from, memory_order_seq_cst);
    /* The load only saves the exchange: a request that comes later springs the trap again. */
    if (skua__a32_load(&stack->requests, memory_order_seq_cst) == 0) { /* seq_cst T1: see above */
        return 0;
    }
    /* seq_cst T1: see above */
    return skua__a32_exchange(&stack->requests, 0, memory_order_seq_cst);
}

/* Moves the word to the slots of a nested run, if thieves have taken all that lies below. */
static bool
move_word(skua__stack *stack, skua__nest *nest) {
    /* relaxed: no thief can swap an empty stack's word; one that is not empty may become so a moment later. */
    uint64_t word = skua__a64_load(&stack->word, memory_order_relaxed);
    if (skua__deque_tail(word) < skua__deque_split(word)) {
        return false;
    }
    word = skua__deque_word(skua__deque_epoch(word), nest->base, nest->base);
    skua__a64_store(&stack->word, word, memory_order_relaxed); /* relaxed: as above */
    for (; nest && !nest->moved; nest = nest->outer) {
        nest->moved = true; /* the end of each leaves the word at the slots of the one around it */
    }
    return true;
}

/* Makes the older half of the private slots under top public. Returns false when there are none, or something older is. */
static bool
share(skua__worker *worker, uint32_t top) {
    uint32_t split = worker->split;
    if (top <= split) {
        return false;
    }
    skua__nest *nest = worker->nest;
    if (nest && !nest->moved && !move_word(worker->stack, nest)) {
        return false;
    }
    uint32_t count = (top - split + 1) / 2;
    const skua__frame *frame = worker->frame;
    for (uint32_t i = split + count; i-- > split;) {
        while (frame && i < frame->base) {
            frame = frame->outer;
        }
        skua_slot *slot = &worker->stack->slots[i];
        /* relaxed: published with the slot, by release D1 below */
        skua__a64_store(state_of(slot), 0, memory_order_relaxed);
        slot->origin = (void *)((uintptr_t)frame | ((uintptr_t)slot->origin & 1));
    }
    worker->split = split + count;
    /* release D1: publishes the slots; pairs with acquire D1 in skua__steal() */
    /* seq_cst W1: before the look at sleepers; pairs with seq_cst W1 in skua__has_public() */
    skua__a64_add(&worker->stack->word, (uint64_t)count << 16, memory_order_seq_cst);
    skua__stat_add(worker, EXEC_STAT_SHARES, 1);
    skua__trace(worker, EXEC_TRACE_SHARE, count);
    return true;
}

bool
skua__has_public(const skua__stack *stack) {
    /* seq_cst W1: a sleeper looks after it was counted; pairs with seq_cst W1 in share() */
    uint64_t word = skua__a64_load(&stack->word, memory_order_seq_cst);
    return skua__deque_tail(word) < skua__deque_split(word);
}

/* Keeps a request for the next spawn, which will have something. */
static void
ask_again(skua__worker *worker) {
    skua__a32_or(&worker->stack->requests, EXEC_REQUEST_HUNGRY,
                 memory_order_seq_cst); /* seq_cst T1: as in skua__request() */
    skua__aptr_store(trap_word(&worker->stack->trap.spawn_below), NULL,
                     memory_order_seq_cst); /* seq_cst T1: as in skua__request() */
}

/* Does what others asked for; top is the index of the first free slot. */
static void
attend(skua__worker *worker, uint32_t top) {
    if (worker->exec->replay_seed) {
        return; /* the trap stays sprung, and nobody asks */
    }
    uint32_t requests = take_requests(worker);
    if (requests & EXEC_REQUEST_HUNGRY) {
        if (share(worker, top)) {
            /* The split moved: syncs under it have to come here. */
            requests = take_requests(worker);
            skua__wake_for_work(worker->exec, worker);
        }
        if (requests & EXEC_REQUEST_HUNGRY) {
            ask_again(worker); /* nothing to give yet, or asked again */
        }
    }
    /* relaxed: a hint; while spawns are recorded each one takes the slow path, and springs the trap for the next. */
    if (skua__a32_load(&worker->exec->tracing, memory_order_relaxed) == EXEC_TRACE_SPAWNS) {
        /* relaxed: our own trap, for ourselves */
        skua__aptr_store(trap_word(&worker->stack->trap.spawn_below), NULL, memory_order_relaxed);
    }
}

/* ---- The mark, and runs within runs ---- */

static void
raise_mark(skua__worker *worker, uint32_t index) {
    skua_slot *slots = worker->stack->slots;
    uint32_t mark = index + EXEC_MARK_STEP < worker->slots ? index + EXEC_MARK_STEP : worker->slots;
    /* Memory that was never used here may be full of anything; only the fork that brought us here is in one of these slots. */
    slots[index].origin = skua__mark_of_fork(&slots[index]);
    for (uint32_t i = index + 1; i < mark; i++) {
        slots[i].origin = NULL;
    }
    worker->mark = mark;
}

static void
lower_mark(skua__worker *worker, uint32_t mark) {
    if (worker->mark > mark) {
        worker->mark = mark;
        if (!worker->exec->replay_seed && take_requests(worker)) {
            ask_again(worker);
        }
    }
}

skua_worker
skua__cursor_at_rest(skua__worker *worker) {
    lower_mark(worker, worker->exec->replay_seed ? 0 : EXEC_MARK_STEP);
    return (skua_worker){worker->stack->slots};
}

skua_worker
skua__nest_begin(skua__worker *worker, skua__nest *ret_nest) {
    *ret_nest = (skua__nest){.outer = worker->nest,
                             .base = worker->mark,
                             .split = worker->split,
                             .overflow = worker->overflow};
    worker->nest = ret_nest;
    /* A sync below the base is none of the run's, so sync_from may stay where it is. */
    worker->split = ret_nest->base;
    return (skua_worker){&worker->stack->slots[ret_nest->base]};
}

void
skua__nest_end(skua__worker *worker) {
    const skua__nest *nest = worker->nest;
    skua__stack *stack = worker->stack;
    assert(worker->split == nest->base);
    if (nest->moved) {
        /* relaxed: no thief can swap an empty stack's word. */
        uint64_t word = skua__a64_load(&stack->word, memory_order_relaxed);
        word = skua__deque_word(skua__deque_epoch(word), nest->split, nest->split);
        skua__a64_store(&stack->word, word, memory_order_relaxed); /* relaxed: as above */
    }
    /* sync_from is at the split or above it, which costs a sync the slow path at most. */
    worker->split = nest->split;
    worker->nest = nest->outer;
    lower_mark(worker, nest->base);
}

skua_slot *
skua_spawn_slow(skua_slot *slot) {
    skua__stack *stack = skua__stack_of(slot);
    skua__worker *worker = stack->worker;
    uint32_t index = index_of(stack, slot);
    assert(worker == skua__worker_here(worker->exec) && "skua_spawn: w is another worker's");
    if (index >= worker->slots) {
        /* The stack is full: nothing is kept of the call, and its sync, which takes the slow path, has it run. */
        worker->overflow++;
        attend(worker, index);
        return slot;
    }
    if (worker->exec->replay_seed) {
        return skua__replay_spawn(worker, slot);
    }
    if (index >= worker->mark) {
        raise_mark(worker, index);
    }
    if (skua__a32_load(&worker->exec->tracing, memory_order_relaxed) /* relaxed: a hint */
        == EXEC_TRACE_SPAWNS) {
        skua__trace_record(worker, EXEC_TRACE_SPAWN, index + 1);
    }
    attend(worker, index + 1);
    return slot + 1;
}

/* ---- Stealing ---- */

skua_slot *
skua__steal(skua__stack *victim, uint32_t min_tail, const skua_slot *until) {
    for (;;) {
        /*
         * Loaded anew each time: a swap that fails reads the word relaxed, and then E1's look could see an older state.
         * acquire D1: what the owner wrote into the slot; pairs with release D1 in share()
         */
        uint64_t word = skua__a64_load(&victim->word, memory_order_acquire);
        uint32_t tail = skua__deque_tail(word);
        if (tail < min_tail || tail >= skua__deque_split(word)) {
            return NULL;
        }
        /* acquire E1: not done means that word is of its epoch; pairs with acq_rel E1 in skua__worker_run_stolen() */
        if (until && skua__a64_load(state_of(until), memory_order_acquire) & EXEC_STATE_DONE) {
            return NULL;
        }
        /* acquire D1: see above; release sequences of the owner go on through it */
        if (skua__a64_cas(&victim->word, &word, word + 1, memory_order_acquire)) {
            return &victim->slots[tail];
        }
    }
}

/*
 * A thief whose calls are over at once does more harm than good: each costs its owner a cache line or two, and the owner
 * would be done with it before they have crossed. So it keeps off for twice as long after each, up to a bound, until one
 * was worth it.
 */
static void
keep_off(skua__worker *worker, bool tiny) {
    uint32_t longer = worker->keep_off < FORK_OFF_MAX ? 2 * worker->keep_off + 1 : FORK_OFF_MAX;
    worker->keep_off = tiny ? longer : 0;
    for (uint32_t i = 0; i < worker->keep_off; i++) {
        skua__atomic_pause();
    }
}

void
skua__worker_run_stolen(skua__worker *worker, skua_slot *slot, uint32_t base) {
    skua__stack *stack = worker->stack;
    skua_fn *fn = slot->fn;
    void *frame = slot->frame;
    const skua__frame *origin = skua__origin_of(slot);
    const skua__frame *before = worker->frame;
    uint32_t depth = worker->block_depth;
    skua__frame here = {
        .parent = origin, .outer = before, .group = origin ? origin->group : NULL, .base = base};
    void *outer = skua__aptr_load(&worker->running, memory_order_relaxed); /* relaxed: ours */
    worker->frame = &here;
    skua__note_running(worker, (void *)(uintptr_t)fn);
    /* release S2: our stack is at base now; pairs with acquire S2 in thief_of() */
    skua__a64_add(state_of(slot), skua__state_of(worker->index, base), memory_order_release);
    skua__trace(worker, EXEC_TRACE_STEAL, skua__stack_of(slot)->worker->index);
    int64_t from_ns = skua__clock_ns();
    fn((skua_worker){&stack->slots[base]}, frame);
    bool tiny = skua__clock_ns() - from_ns < FORK_TINY_NS;
    skua__trace(worker, EXEC_TRACE_END, 0);
    skua__check_return((skua_worker){&stack->slots[base]}, depth);
    skua__note_running(worker, outer);
    worker->frame = before;
    /* relaxed: no thief can swap an empty stack's word; E1's order is by the exchange below. */
    uint64_t word = skua__a64_load(&stack->word, memory_order_relaxed);
    word = skua__deque_word(skua__deque_epoch(word) + 1, base, base);
    skua__a64_store(&stack->word, word, memory_order_relaxed); /* relaxed: as above */
    skua__worker *owner = skua__stack_of(slot)->worker;
    /* acq_rel E1: the epoch before DONE, and what fn wrote (S1); pairs with acquire E1 in skua__steal() */
    uint64_t state = skua__a64_exchange(state_of(slot), EXEC_STATE_DONE, memory_order_acq_rel);
    /* The slot may be used anew from here on; workers live as long as the executor. */
    if (state & EXEC_STATE_WAITED) {
        skua__unpark(&owner->parker);
    }
    keep_off(worker, tiny);
}

/* ---- The thread's own stack ---- */

void
skua__c_stack_begin(skua__worker *worker) {
    worker->c_stack = (uintptr_t)__builtin_frame_address(0);
    worker->c_stack_bytes = skua__thread_stack_bytes();
}

/*
 * Whether so much of the thread's own stack is in use that nothing is to be run on top of it which its program has not
 * called there: a stolen call may recurse as deep again as the one that waits for it.
 */
bool
skua__is_deep(const skua__worker *worker) {
    uintptr_t used = worker->c_stack - (uintptr_t)__builtin_frame_address(0);
    return worker->c_stack && used > worker->c_stack_bytes / FORK_DEEP_SHARE;
}

/* ---- Waiting ---- */

static bool
is_done(const skua_slot *slot) {
    /* acquire S1: what the call wrote; pairs with acq_rel E1 in skua__worker_run_stolen() */
    return skua__a64_load(state_of(slot), memory_order_acquire) & EXEC_STATE_DONE;
}

/* The thief of a slot, or NULL while it has not said so; *ret_base is where its stack began. */
static skua__worker *
thief_of(skua_exec *exec, const skua_slot *slot, uint32_t *ret_base) {
    /* acquire S2: the thief's stack is at base; pairs with release S2 in skua__worker_run_stolen() */
    uint64_t state = skua__a64_load(state_of(slot), memory_order_acquire);
    uint32_t thief = (uint32_t)(state >> 40);
    *ret_base = (uint32_t)(state >> 8 & 0xffffffff);
    return thief ? &exec->workers[thief - 1] : NULL;
}

/* Sleeps, and sees to it that somebody is left who could begin a job: the call that we wait for may block until one has run. */
static void
sleep_in_sync(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    skua__mutex_lock(&exec->sleep_lock);
    worker->is_syncing = worker->block_depth == 0;
    if (worker->is_syncing) {
        skua__a32_add(&exec->syncing, 1, memory_order_relaxed); /* relaxed: under the lock */
        skua__stand_in_locked(exec);
    }
    skua__mutex_unlock(&exec->sleep_lock);
    skua__sleep(worker, SKUA_NEVER_NS);
    skua__mutex_lock(&exec->sleep_lock);
    if (worker->is_syncing) {
        worker->is_syncing = false;
        skua__a32_sub(&exec->syncing, 1, memory_order_relaxed); /* relaxed: under the lock */
    }
    skua__mutex_unlock(&exec->sleep_lock);
}

/* Sleeps until the slot is done or its thief has something to share. */
static void
park_for(skua__worker *worker, skua_slot *slot, skua__worker *thief, uint32_t base) {
    if (thief) {
        skua__mutex_lock(&thief->leap_lock);
        skua__list_push_back(&thief->leapers, &worker->leaper);
        /* seq_cst W2: counted before we look again; pairs with seq_cst W2 in skua__wake_for_work() */
        skua__a32_add(&thief->leaper_count, 1, memory_order_seq_cst);
        skua__mutex_unlock(&thief->leap_lock);
        skua__request(thief->stack, EXEC_REQUEST_HUNGRY);
    }
    uint64_t state =
        skua__a64_load(state_of(slot), memory_order_relaxed); /* relaxed: the CAS checks */
    bool sleeps = true;
    while (sleeps && !(state & EXEC_STATE_WAITED)) {
        /* release S1: nothing to publish, the thief's exchange reads it; pairs with acq_rel E1 there */
        sleeps = !(state & EXEC_STATE_DONE);
        if (sleeps && skua__a64_cas(state_of(slot), &state, state | EXEC_STATE_WAITED,
                                    memory_order_release)) { /* release S1: see above */
            break;
        }
    }
    if (sleeps && thief) {
        /* seq_cst W2: see above */
        uint64_t word = skua__a64_load(&thief->stack->word, memory_order_seq_cst);
        sleeps = skua__deque_tail(word) < base || skua__deque_tail(word) >= skua__deque_split(word);
    }
    if (sleeps) {
        sleep_in_sync(worker);
    }
    if (thief) {
        skua__mutex_lock(&thief->leap_lock);
        skua__list_remove(&worker->leaper);
        skua__a32_sub(&thief->leaper_count, 1, memory_order_relaxed); /* relaxed: under the lock */
        skua__mutex_unlock(&thief->leap_lock);
    }
}

/* Waits for a stolen slot, running only what the stolen call forked; nothing where the thread's own stack is deep. */
static void
wait_stolen(skua__worker *worker, skua_slot *slot) {
    skua_exec *exec = worker->exec;
    uint32_t base = index_of(worker->stack, slot) + 1;
    bool helps = !skua__is_deep(worker);
    int64_t spin_until_ns = 0;
    for (uint32_t spins = 0; !is_done(slot); spins++) {
        uint32_t thief_base = 0;
        skua__worker *thief = helps ? thief_of(exec, slot, &thief_base) : NULL;
        skua_slot *taken = thief ? skua__steal(thief->stack, thief_base, slot) : NULL;
        if (taken) {
            skua__stat_add(worker, EXEC_STAT_LEAPS, 1);
            skua__worker_run_stolen(worker, taken, base);
            spin_until_ns = 0;
            continue;
        }
        if (thief) {
            skua__request(thief->stack, EXEC_REQUEST_HUNGRY);
        }
        skua__atomic_pause();
        if (spins % FORK_SPINS == 0) {
            int64_t now_ns = skua__clock_ns();
            if (spin_until_ns == 0) {
                spin_until_ns = now_ns + exec->spin_ns;
            }
            if (now_ns >= spin_until_ns) {
                park_for(worker, slot, thief, thief_base);
                spin_until_ns = 0;
            }
        }
    }
}

skua_taken
skua_sync_slow(skua_slot *slot) {
    skua__stack *stack = skua__stack_of(slot);
    skua__worker *worker = stack->worker;
    assert(worker == skua__worker_here(worker->exec) && "skua_sync: w is another worker's");
    uint32_t index = index_of(stack, slot);
    if (worker->overflow) {
        worker->overflow--;
        attend(worker, index + 1);
        return (skua_taken){.top = slot + 1, .run = true};
    }
    if (worker->exec->replay_seed) {
        return skua__replay_sync(worker, slot);
    }
    if (index >= worker->split) {
        attend(worker, index);
        return (skua_taken){.top = slot, .run = true};
    }
    assert(worker->split == index + 1 && "skua_sync: more syncs than spawns");
    /* relaxed: our own slots; the swap below only has to win against thieves. */
    uint64_t word = skua__a64_load(&stack->word, memory_order_relaxed);
    while (skua__deque_tail(word) <= index) {
        uint32_t tail = skua__deque_tail(word);
        uint32_t split = tail + (index - tail) / 2;
        /* release D1: the slots that stay public stay published; pairs with acquire D1 in skua__steal() */
        if (skua__a64_cas(&stack->word, &word,
                          skua__deque_word(skua__deque_epoch(word), split, tail),
                          memory_order_release)) {
            worker->split = split;
            attend(worker, index);
            return (skua_taken){.top = slot, .run = true};
        }
    }
    wait_stolen(worker, slot);
    /* relaxed: no thief can swap an empty stack's word. */
    word = skua__a64_load(&stack->word, memory_order_relaxed);
    skua__a64_store(&stack->word, skua__deque_word(skua__deque_epoch(word), index, index),
                    memory_order_relaxed); /* relaxed: as above */
    worker->split = index;
    attend(worker, index);
    return (skua_taken){.top = slot, .run = false};
}
