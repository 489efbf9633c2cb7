// SPDX-License-Identifier: MPL-2.0
// The inside of the executor, shared by the files of this box: workers, their stacks of forked calls, the queue of jobs.
// docs/design/exec.md states the guarantees; the tags of the atomics refer to it.
#ifndef SKUA_EXEC_ENGINE_H
#define SKUA_EXEC_ENGINE_H

#include "domains.h"
#include "lease.h"
#include "offers.h"
#include "park.h"
#include "plan.h"
#include "timers.h"
#include "track.h"

#include <assert.h>
#include <skua-int/atomic.h>
#include <skua-int/clock.h>
#include <skua-int/list.h>
#include <skua-int/rand.h>
#include <skua-int/thread.h>
#include <skua/exec.h>
#include <stdalign.h>

#ifndef SKUA_MARK_STEP
#define SKUA_MARK_STEP                                                                             \
    32 /* the exploration has shorter steps, so that its small stacks have several */
#endif

enum {
    EXEC_SPARES_DEFAULT = 16,
    EXEC_SPIN_US_DEFAULT = 20,
    EXEC_CLOSE_WARN_MS_DEFAULT = 10000,
    EXEC_PRIORITIES = 3,
    EXEC_OWN_TURNS =
        32, /* a worker looks elsewhere than at its newest own jobs so often at least */
    EXEC_AGEING_POPS = 32, /* a lower priority is passed over so often at most while it has jobs */
    EXEC_CACHE_LINE = 64,
    EXEC_SLOTS_OFFSET = 4096,
    EXEC_RING_JOBS = 128,  /* of a worker's own, and as many in its handful; a power of two */
    EXEC_NODES_MAX = 1024, /* ready nodes of graphs that one worker offers; a power of two */
    EXEC_MARK_STEP = SKUA_MARK_STEP, /* slots by which a stack's mark rises at a time */
};

/* ---- The stack of forked calls ---- */

/*
 * {tail, split} and an epoch in one word. Slots under tail are stolen, from tail to split public, from split to the top
 * private. Thieves move tail up; only the owner moves split.
 */
static inline uint64_t
skua__deque_word(uint32_t epoch, uint32_t split, uint32_t tail) {
    return (uint64_t)epoch << 32 | (uint64_t)split << 16 | tail;
}

static inline uint32_t
skua__deque_tail(uint64_t word) {
    return (uint32_t)(word & 0xffff);
}

static inline uint32_t
skua__deque_split(uint64_t word) {
    return (uint32_t)(word >> 16 & 0xffff);
}

static inline uint32_t
skua__deque_epoch(uint64_t word) {
    return (uint32_t)(word >> 32);
}

/* What a trap may ask for: a set of bits in requests. */
enum {
    EXEC_REQUEST_HUNGRY = 1u, /* somebody has no work: make some of yours public */
    EXEC_REQUEST_TRACE = 2u,  /* from now on each spawn is to be recorded */
};

/* The state of a stolen slot: who took it, where the thief's stack began then, and what became of it. */
enum {
    EXEC_STATE_DONE = 1u,   /* the frame holds the result */
    EXEC_STATE_WAITED = 2u, /* the owner sleeps until it is done */
};

static inline uint64_t
skua__state_of(uint32_t worker, uint32_t base) {
    return (uint64_t)(worker + 1) << 40 | (uint64_t)base << 8;
}

/*
 * A slot's origin is the frame that forked what lies in it, once that is shown. A program that is built for debugging makes it
 * odd with each fork, and NULL with its sync, so that checks know; under the mark it is never rubbish.
 */
struct skua__frame;
static inline const struct skua__frame *
skua__origin_of(const skua_slot *slot) {
    return (const struct skua__frame *)((uintptr_t)slot->origin & ~(uintptr_t)1);
}

/* What such a program wrote a moment ago, cut down to its mark; NULL if it did not. */
static inline void *
skua__mark_of_fork(const skua_slot *slot) {
    return slot->origin == (const void *)((const char *)slot + 1) ? (void *)1 : NULL;
}

struct skua__worker;

/* The block that a skua_worker points into: see SKUA_STACK_BYTES. */
typedef struct skua__stack {
    skua_trap
        trap; /* read by the owner at each spawn and sync; thieves keep off it but to spring it */
    struct skua__worker *worker;
    alignas(EXEC_CACHE_LINE) skua__a64 word; /* read and written by thieves */
    skua__a32 requests;                      /* EXEC_REQUEST_ bits: thieves look at them often */
    /* What it offers: see offers.h. */
    skua__offers own;     /* jobs that it submitted */
    skua__offers handful; /* jobs from the queue, taken when very many waited */
    skua__offers nodes;   /* ready nodes of graphs */
    skua__aptr own_cells[EXEC_RING_JOBS];
    skua__aptr handful_cells[EXEC_RING_JOBS];
    alignas(EXEC_SLOTS_OFFSET)
        skua_slot slots[SKUA_EXEC_SLOTS_MAX + 1]; /* one where forks go that find it full */
    skua__aptr node_cells[EXEC_NODES_MAX];
} skua__stack;

static_assert(sizeof(skua__stack) <= SKUA_STACK_BYTES, "the stack fits its block");
static_assert(sizeof(skua_slot) == EXEC_CACHE_LINE, "slots are part of the ABI");

static inline skua__stack *
skua__stack_of(const skua_slot *slot) {
    return (skua__stack *)(void *)((char *)(uintptr_t)slot -
                                   ((uintptr_t)slot & (SKUA_STACK_BYTES - 1)));
}

/* ---- Workers ---- */

/* What a worker runs: a chain on the stacks of the threads, from the innermost outwards; a stolen call leads to where it
 * was forked. A frame does not change while another one leads to it. */
typedef struct skua__frame {
    const struct skua__frame *parent;
    const struct skua__frame *outer; /* the one below on the same worker's stack */
    skua_group *group;               /* whose cancel counts here */
    const void *job; /* the job or future that this frame runs; NULL for a forked call */
    uint32_t base;   /* the index of its first slot: those under it are an outer frame's */
} skua__frame;

/*
 * A run in the midst of a call whose top is not known: its forks begin at the mark, above a hole, and the word is moved to
 * them when the first is shown. See docs/design/exec.md, section 3.
 */
typedef struct skua__nest {
    struct skua__nest *outer;
    uint32_t base;  /* the index of its first slot */
    uint32_t split; /* below it */
    uint32_t overflow;
    bool moved; /* the word is at its slots */
} skua__nest;

typedef struct skua__worker {
    struct skua_exec *exec;
    skua__stack *stack;
    void *stack_block; /* what was allocated for it */
    /* The owner's alone. */
    const skua__frame *frame;
    skua__nest *nest; /* the innermost; NULL: none */
    uint32_t index;
    uint32_t slots;    /* that may be used */
    uint32_t mark;     /* no slot at or above it is in use; a spawn there takes the slow path */
    uint32_t split;    /* the owner's copy */
    uint32_t overflow; /* forks that found the stack full, and are not synced yet */
    uint32_t block_depth;
    /* While it waits without a limit: for which group, or job of a future. These two are guarded by sleep_lock. */
    const void *waits_for;
    bool wait_seen;               /* by the search that goes on */
    bool is_syncing;              /* it sleeps in a sync, and is active; guarded by sleep_lock */
    const skua__parker *waits_in; /* while it waits without a limit, for whatever; so too */
    uint32_t keep_off;            /* pauses after a stolen call that was not worth it */
    uint32_t turns;               /* jobs looked for */
    uint32_t urgent_turns;        /* jobs of high priority taken in a row, from elsewhere */
    bool gather;
    bool eager; /* it has looked around long enough to take what is near others */
    struct skua__domain *domain;
    skua__rand rand;
    pthread_t thread;
    bool started;
    uintptr_t c_stack; /* where its thread's own stack began, about; 0: it has no thread */
    size_t c_stack_bytes;
    skua__aptr running; /* the function of the job that runs, for people */
    /* Sleeping: linked while the worker is in exec->sleepers, or a spare in exec->retired. */
    skua__list sleeper;
    skua__parker parker;
    /* Workers that wait for a call which this one took, and sleep; guarded by leap_lock. */
    skua__mutex leap_lock;
    skua__list leapers;
    skua__a32 leaper_count;
    skua__list leaper; /* our own place in another's list */
    skua__aptr ring;   /* of the trace; NULL until the first one */
    /* Figures: written by the owner, read by anyone. */
    skua__a64 stats[12];
} skua__worker;

enum skua__stat {
    EXEC_STAT_TASKS,
    EXEC_STAT_DROPPED,
    EXEC_STAT_STEALS,
    EXEC_STAT_MISSES,
    EXEC_STAT_LEAPS,
    EXEC_STAT_SHARES,
    EXEC_STAT_PARKS,
    EXEC_STAT_WAKES,
    EXEC_STAT_IDLE_NS,
    EXEC_STAT_ENDED, /* jobs that ended here, run or dropped */
    EXEC_STAT_OWN,   /* jobs put into the worker's own */
};

/* One thread that waits for a group or a future, on its own stack. */
typedef struct skua__waiter {
    skua__list link;
    skua__parker parker;
    bool helps; /* for a future: it is to be woken, too, when that can be run */
} skua__waiter;

static inline void
skua__stat_add(skua__worker *worker, enum skua__stat which, uint64_t amount) {
    skua__a64 *stat = &worker->stats[which];
    /* relaxed: one writer, and readers want a recent figure only. */
    skua__a64_store(stat, skua__a64_load(stat, memory_order_relaxed) + amount, /* relaxed: same */
                    memory_order_relaxed);                                     /* relaxed: same */
}

/* ---- The executor ---- */

typedef struct skua__queue {
    skua_job *head, **end;
    uint32_t passed_over; /* pops of a higher priority while this one had jobs */
} skua__queue;

typedef struct skua__inbox {
    alignas(EXEC_CACHE_LINE) skua__aptr newest; /* pushed by anybody; see inject.c */
    /* The list has jobs; of high priority alone, so that nothing but pushes writes to the others' lines. */
    skua__a32 has_listed;
} skua__inbox;

/* Where jobs wait that are best run on one NUMA node, and the workers that stand there: see domains.c. */
typedef struct skua__domain {
    skua__inbox inbox[EXEC_PRIORITIES];
    alignas(EXEC_CACHE_LINE) skua__mutex lock; /* guards queues, drained; what changes the next */
    skua__queue queues[EXEC_PRIORITIES];
    uint64_t drained; /* jobs ever moved from an inbox to its list, and not withdrawn */
    skua__a64 listed; /* jobs in queues */

    alignas(EXEC_CACHE_LINE) skua__a32 searching; /* 1 while a worker of it looks around */
    skua__a32 asleep;                             /* length of sleepers */
    skua__list sleepers;                          /* guarded by sleep_lock */
} skua__domain;

/* How many workers there are to be; guarded by sleep_lock, but for the atomics. See resize.c. */
typedef struct skua__sizes {
    uint32_t most;    /* that resize may ask for */
    uint32_t asked;   /* by open or resize */
    uint32_t allowed; /* by quota and affinity, as last seen */
    uint32_t share;   /* of the host's cores, by the lease; UINT32_MAX: no bound */
    uint32_t spares;  /* that may be started besides */
    bool paused;
    bool follows;              /* the target follows allowed */
    skua__a32 highest;         /* that target ever was: threads above it are spares */
    skua__a32 target;          /* how many may be active now */
    const char *quota_root;    /* see skua__quota_cpus(); a test moves it, under sleep_lock */
    skua__a64 follow_every_ns; /* at most so often the quota is read */
    skua__a64 follow_again_ns; /* when it is read next; UINT64_MAX: never */
} skua__sizes;

struct skua_exec {
    const skua_allocator *hook;
    void *block, *domains_block; /* what was allocated: see skua__aligned() */
    uint32_t fork_generation;
    uint32_t worker_places; /* with spares */
    uint32_t slots;
    int64_t spin_ns;
    int64_t queue_max; /* jobs that may wait; SKUA_UNLIMITED */
    char name[10];
    const skua_log_sink *log;
    int32_t close_warn_ms;
    skua__worker *workers; /* worker_places of them */
    skua__a32 closing;     /* outsiders are refused; here, because each submit reads it */

    skua__domain *domains; /* map.count of them */
    skua__domain_map map;

    alignas(EXEC_CACHE_LINE) skua__a64 submitted; /* jobs ever submitted, where queue_max bounds */
    skua__a64 popped;                             /* and ever taken out */
    skua__a32 promises;                           /* futures that are not completed */

    alignas(EXEC_CACHE_LINE)
        skua__a32 places; /* workers whose thread was ever started: those that thieves look at */
    skua__a32 active;     /* workers that are neither blocked nor retired */
    skua__a32 syncing;    /* of these, such as sleep in a sync; they change under sleep_lock */
    skua__a32 threads;    /* that run */
    skua__parker closer;  /* who closes, until the last thread has ended */

    /* Guards the domains' sleepers, retired, the start of spares, who waits for what, and: */
    skua__mutex sleep_lock;
    bool told_stuck;      /* that all workers wait while jobs cannot begin */
    bool told_still;      /* that nothing has run while some wait */
    uint64_t waits_begun; /* by workers, ever */
    skua__a32 told_early; /* that a task returned too early */
    skua__list retired;

    skua__timers timers;

    /* Placement; see victims.c. */
    skua_topology *topology; /* our own copy; NULL: not known, and then there is no plan */
    skua__plan plan;         /* of all places */
    int32_t bind;            /* skua_bind, AUTO already decided */

    skua__sizes sizes;
    skua__lease lease;

    /* Deterministic mode; see replay.c. */
    uint64_t replay_seed;    /* 0: not */
    skua_job *replay_jobs;   /* those that may be drawn */
    skua__mutex replay_lock; /* held by the thread that plays the worker */

    skua__mutex trace_lock; /* guards the making of rings, and traced_from_ns */
    int64_t traced_from_ns;
    skua__tracks tracks; /* of devices */
    skua__a32 tracing;   /* EXEC_TRACE_OFF, ON or SPAWNS */
};

/* Where in a block, which has EXEC_CACHE_LINE bytes more than needed, cache lines begin: allocators give 16 bytes. */
static inline void *
skua__aligned(void *block) {
    return (char *)block + (EXEC_CACHE_LINE - (uintptr_t)block % EXEC_CACHE_LINE);
}

/* Workers in the lists of sleepers. */
static inline uint32_t
skua__asleep_locked(const skua_exec *exec) {
    uint32_t asleep = 0;
    for (uint32_t i = 0; i < exec->map.count; i++) {
        /* relaxed: under the lock */
        asleep += skua__a32_load(&exec->domains[i].asleep, memory_order_relaxed);
    }
    return asleep;
}

/* What a trace tells, with a number: see trace.c. */
enum skua__trace {
    EXEC_TRACE_JOB,   /* begins */
    EXEC_TRACE_STEAL, /* a stolen call begins; whose it was */
    EXEC_TRACE_PARK,  /* begins */
    EXEC_TRACE_END,   /* of the last of these three */
    EXEC_TRACE_WAKE,  /* whom */
    EXEC_TRACE_SHARE, /* how many calls */
    EXEC_TRACE_SPAWN, /* how many wait */
    EXEC_TRACE_NODE,  /* of a graph begins; its index */
};

enum {
    EXEC_TRACE_OFF = 0,
    EXEC_TRACE_ON = 1,
    EXEC_TRACE_SPAWNS = 2,
};

/* trace.c */
void skua__trace_record(skua__worker *worker, enum skua__trace kind, uint32_t number);
void skua__trace_fini(skua_exec *exec);

/* One look at a flag where nothing is traced; none of the callers is on the path of a private spawn or sync. */
static inline void
skua__trace(skua__worker *worker, enum skua__trace kind, uint32_t number) {
    /* relaxed: recording may begin and end an event sooner or later. */
    if (skua__a32_load(&worker->exec->tracing, memory_order_relaxed) != EXEC_TRACE_OFF) {
        skua__trace_record(worker, kind, number);
    }
}

static inline uint32_t
skua__target(const skua_exec *exec) {
    /* relaxed: a hint; what is decided by it is looked at again under sleep_lock. */
    return skua__a32_load(&exec->sizes.target, memory_order_relaxed);
}

/*
 * Whether this worker is to rest. One that could begin a job stays, but in a pause, whatever the target is: those that sleep in a sync
 * may wait for a call that blocks until a job has run.
 */
static inline bool
skua__is_surplus(const skua__worker *worker) {
    const skua_exec *exec = worker->exec;
    uint32_t target = skua__target(exec);
    /* relaxed, both: a hint, as above */
    uint32_t active = skua__a32_load(&exec->active, memory_order_relaxed);
    return worker->index >= target && active > target &&
           (target == 0 || active > skua__a32_load(&exec->syncing, memory_order_relaxed) + 1);
}

/* worker.c */
skua_status skua__worker_open(skua_exec *exec, uint32_t index, skua_error *err);
skua_status skua__worker_start(skua__worker *worker, skua_error *err);
void skua__worker_close(skua__worker *worker);
/* The worker of exec that the calling thread is, or NULL. */
skua__worker *skua__worker_here(const skua_exec *exec);
/* Makes the calling thread this worker (NULL: none). Returns what it was. */
skua__worker *skua__worker_enter(skua__worker *worker);
/* The next job for this worker, or NULL. */
skua_job *skua__take_job(skua__worker *worker);
/* Runs a stolen slot at top, which has index base. */
void skua__worker_run_stolen(skua__worker *worker, skua_slot *slot, uint32_t base);
/* The CPU on which this thread was when it was first asked: so the jobs of one submitter keep to one domain, in order. */
uint32_t skua__first_cpu(void);
/* Tells sleepers and leapers that there is more work, unless somebody looks around already. */
void skua__wake_for_work(skua_exec *exec, skua__worker *by);
/* The same for a job that waits in a domain; core: as in skua_near. */
void skua__wake_near(skua_exec *exec, const skua__domain *domain, uint32_t core);
void skua__wake_all(skua_exec *exec);
void skua__wake_all_locked(skua_exec *exec);
/* Everything has ended, and nothing new may come. */
bool skua__is_over(skua_exec *exec);
/* Sleeps in the worker's parker, and counts the time. */
void skua__sleep(skua__worker *worker, int64_t deadline_ns);
/* Takes a worker out of the list of those that sleep or rest. */
void skua__leave_list(skua_exec *exec, skua__worker *worker, bool sleeps);
/* Jobs that wait or run; *ret_waiting are those that wait. */
uint64_t skua__jobs_under_way(skua_exec *exec, uint64_t *ret_waiting);
/* The worker that the calling thread is, of whichever executor, or NULL. */
skua__worker *skua__worker_any(void);

/* jobs.c */
/* Runs a job or drops it; nested, if something runs already. */
void skua__worker_run(skua__worker *worker, skua_job *job);
/* Runs the jobs of the worker's handful, the oldest first, until there are none or something else is due. */
void skua__run_handful(skua__worker *worker);

/* resize.c */
/* Sets the sizes of an executor that is being opened. */
void skua__sizes_init(skua_exec *exec, const skua_exec_options *options, uint32_t workers);
/* The same for one in the child of a fork(). Returns how many workers to start. */
uint32_t skua__sizes_again(skua_exec *exec);
/* Gives the place of a worker that blocks, or of the last one to sleep in a sync, to one that rests, or to a new spare. */
void skua__stand_in_locked(skua_exec *exec);
/* Ends a pause, because the executor closes. */
void skua__run_to_the_end(skua_exec *exec);
/* Puts a worker to rest if there are too many; returns when its place is needed again. Only with an empty stack. */
void skua__rest(skua__worker *worker);
/* How many workers it would run if no other executor shared the cores. */
uint32_t skua__sizes_wish(const skua_exec *exec);
/* Sets the lease's bound, and sees to it that somebody rests who looks whether it grows. */
void skua__set_share_locked(skua_exec *exec, uint32_t share);
/* Wakes a worker that rests, to look again whether it should. */
void skua__wake_resting_locked(skua_exec *exec);
/* Looks at quota and affinity, if that was not done lately. */
void skua__follow(skua__worker *worker);
void skua__follow_now(skua_exec *exec);

/* bind.c */
/*
 * Takes over the topology (NULL: none), decides whether to bind, and plans the executor's places where it is known.
 * The topology is taken in any case.
 */
skua_status skua__place_workers(skua_exec *exec, const skua_exec_options *options,
                                skua_topology *topology, skua_error *err);
/* Whether options need to know the machine, though workers is given: to bind, or because it has several nodes. */
bool skua__needs_topology(const skua_exec_options *options);
/* Binds the calling worker's thread, if its executor binds. */
void skua__bind_here(const skua__worker *worker);
/* Lets the worker's stack lie in its own node's memory, if its executor binds. */
void skua__bind_stack(const skua__worker *worker);

/* replay.c: deterministic mode */
skua_status skua__replay_open(skua_exec *exec, skua_error *err);
/* Runs jobs on this thread until a token lies in parker (may be NULL) or none is left. False: a wait here can never end. */
bool skua__replay_until(skua_exec *exec, const skua__parker *parker);
skua_slot *skua__replay_spawn(skua__worker *worker, skua_slot *slot);
skua_taken skua__replay_sync(skua__worker *worker, skua_slot *slot);

/* fork.c */
/* Notes where the calling thread's own stack is, before it runs anything. */
void skua__c_stack_begin(skua__worker *worker);
/* So much of it is in use that nothing is to be run on top of it which the program did not call there. */
bool skua__is_deep(const skua__worker *worker);
/* Makes trouble for the worker's next spawn or sync, once per request. */
void skua__request(skua__stack *stack, uint32_t request);
/* Takes the oldest public slot at or above min_tail, as long as until (may be NULL) is not done; or NULL. */
skua_slot *skua__steal(skua__stack *victim, uint32_t min_tail, const skua_slot *until);
bool skua__has_public(const skua__stack *stack);
/* Begins a run on top of what this worker runs, whoever asked for it. Returns the cursor for it. */
skua_worker skua__nest_begin(skua__worker *worker, skua__nest *ret_nest);
/* Ends it; all that it forked was synced. */
void skua__nest_end(skua__worker *worker);
/* The overflow with which a run began whose first slot has this index. */
static inline uint32_t
skua__overflow_at(const skua__worker *worker, uint32_t base) {
    return worker->nest && worker->nest->base == base ? worker->nest->overflow : 0;
}
/* The cursor of a worker that runs nothing. */
skua_worker skua__cursor_at_rest(skua__worker *worker);
void skua__stack_init(skua__worker *worker, skua__stack *stack);

/* domains.c */
skua_status skua__domains_open(skua_exec *exec, skua_error *err);
/* Empties them, with locks that nobody holds. */
void skua__domains_begin(skua_exec *exec);
void skua__domains_close(skua_exec *exec);
/* The domain, of several, where a job that is submitted here and now waits. */
skua__domain *skua__domain_choose(skua_exec *exec, const skua_job *job);
/* Inline, since most machines have one. */
static inline skua__domain *
skua__domain_for(skua_exec *exec, const skua_job *job) {
    return exec->map.count == 1 ? exec->domains : skua__domain_choose(exec, job);
}
/* map.count indices: the domain itself, then the others, the nearest first. */
const uint32_t *skua__domain_order(const skua_exec *exec, const skua__domain *domain);

/* inject.c */
skua_status skua__inject(skua_exec *exec, skua_job *job);
/* All or none. */
skua_status skua__inject_batch(skua_exec *exec, skua_job *const *jobs, size_t count);
/* One, however many wait. */
void skua__inject_always(skua_exec *exec, skua_job *job);
/* Takes the domain's job whose turn it is; where very many wait, the next ones go into the handful (NULL: none). */
skua_job *skua__inject_pop(skua_exec *exec, skua__domain *domain, skua__offers *handful);
/* Takes the oldest queued job of a group, or NULL. */
skua_job *skua__inject_pop_of(skua_exec *exec, const skua_group *group);
/* The same for who is no worker, and will not run it: it counts as never submitted. */
skua_job *skua__inject_withdraw(skua_exec *exec, const skua_group *group);
bool skua__inject_any(const skua_exec *exec);
bool skua__inject_any_in(const skua__domain *domain);
/* Empties the inboxes. Returns how many jobs ever came out of them; *ret_listed is how many wait. */
uint64_t skua__inject_drain(skua_exec *exec, uint64_t *ret_listed);

/* Whether a job of high priority waits, about. Inline, since it is asked before each job. */
static inline bool
skua__inject_urgent(const skua_exec *exec) {
    const skua__inbox *high = &exec->domains[0].inbox[SKUA_PRIORITY_HIGH];
    /* relaxed: one that comes a moment later is found the next time. */
    return skua__aptr_load(&high->newest, memory_order_relaxed) ||
           skua__a32_load(&high->has_listed, memory_order_relaxed); /* relaxed: same */
}

/* misuse.c */
/* Tells the executor's log, or stderr. */
void skua__say(const skua_exec *exec, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Names the functions that workers run; call: whose report it is. */
void skua__say_who_runs(const skua_exec *exec, const char *call, uint32_t workers_max);
/* A task that began with w left forked calls, or did not end as many blocks as it began. */
void skua__returned_early(skua_worker w, uint32_t block_depth);

/* Whether something forked here was not synced, as far as a program that is built for debugging noted it in the slot. */
static inline bool
skua__is_forked(const skua_slot *slot) {
    const skua__stack *stack = skua__stack_of(slot);
    return (uint32_t)(slot - stack->slots) < stack->worker->mark && ((uintptr_t)slot->origin & 1);
}

/* Whether something forked at w or above it was not synced, as far as can be told: a shown fork's split, a full stack's count. */
static inline bool
skua__left_a_fork(skua_worker w) {
    const skua__stack *stack = skua__stack_of(w.top);
    const skua__worker *worker = stack->worker;
    uint32_t base = (uint32_t)(w.top - stack->slots);
    if (worker->exec->replay_seed) {
        return worker->mark != base;
    }
    return worker->split != base || worker->overflow != skua__overflow_at(worker, base) ||
           skua__is_forked(w.top);
}

/* After a task's function, which began with w. */
static inline void
skua__check_return(skua_worker w, uint32_t block_depth) {
    bool early = skua__left_a_fork(w) || skua__stack_of(w.top)->worker->block_depth != block_depth;
    if (__builtin_expect(early, 0)) {
        skua__returned_early(w, block_depth);
    }
}

/* Notes what this worker runs, for people. */
static inline void
skua__note_running(skua__worker *worker, void *fn) {
    skua__aptr_store(&worker->running, fn, memory_order_relaxed); /* relaxed: a figure */
}

/* closing.c */
/* Waits until the threads have ended; says once what keeps them. */
void skua__await_threads(skua_exec *exec);

/* exec.c */
/* SKUA_OK, or what an outsider's (or a worker's) call on exec fails with now. */
skua_status skua__exec_check(const skua_exec *exec);
/* Waits for the parker's token: looks for a while, then sleeps. Returns false when deadline_ns passed. */
bool skua__await(skua_exec *exec, skua__parker *parker, int64_t deadline_ns);
/* Whether a wait until then may go on. In deterministic mode it may always, since no two runs take the same time. */
static inline bool
skua__time_left(const skua_exec *exec, int64_t deadline_ns) {
    return deadline_ns == SKUA_NEVER_NS || exec->replay_seed || skua__clock_ns() < deadline_ns;
}

/* wait.c */
/* Gives this worker's place away, and takes it back. Returns whether another worker was started or woken for it. */
bool skua__block_begin_locked(skua__worker *worker);
void skua__block_end_locked(skua__worker *worker);
/*
 * The same for calls: a worker, of whichever executor, gives its place away meanwhile. target: the group, or the job of the
 * future, that is waited for; NULL: something else. SKUA_E_TIMEOUT; SKUA_E_DEADLOCK when target waits for what runs here;
 * SKUA_E_AGAIN of a wait in a deep stack (is_deep), which leaves target to others for a while, when it is to help itself:
 * nobody took its place, or the while is over.
 */
skua_status skua__wait(skua_exec *exec, skua__parker *parker, int64_t deadline_ns,
                       const void *target, bool is_deep);

/* group.c */
enum {
    EXEC_JOB_ALWAYS = 1, /* flag: run is called even when the group was cancelled */
    EXEC_JOB_LENT = 2,   /* flag, for debugging alone: it was submitted, and not begun */
    EXEC_JOB_NEAR = 4,   /* flag: near is the group's */
};
/* Makes a job nobody's again, before it is its owner's: who submits it anew may do so without this group. */
static inline void
skua__group_release(skua_job *job) {
    job->group = NULL;
    if (job->flags & EXEC_JOB_NEAR) {
        job->near = (skua_near){0};
        job->flags = (uint8_t)(job->flags & ~EXEC_JOB_NEAR);
    }
}
/* A job is lent from its submit until its run: to submit it again meanwhile would tie the queue into a knot. */
static inline void
skua__job_lend(skua_job *job) {
#ifndef NDEBUG
    assert(!(job->flags & EXEC_JOB_LENT) && "submit: the job is submitted already, and not begun");
    job->flags |= EXEC_JOB_LENT;
#else
    (void)job;
#endif
}
static inline void
skua__job_begin(skua_job *job) {
#ifndef NDEBUG
    job->flags = (uint8_t)(job->flags & ~EXEC_JOB_LENT);
#else
    (void)job;
#endif
}
/* What the group was cancelled with. */
skua_status skua__group_why(const skua_group *group);
/* One job of the group has ended. The group may be gone afterwards. */
void skua__group_done(skua_group *group);
/* Prepares a zeroed group, or one whose jobs have ended, for a new run: no error, and one thing under way. */
void skua__group_renew(skua_group *group, skua_exec *exec);
/*
 * Waits without a limit for a group that is cancelled, and whose jobs nobody is told of: those that have not begun are taken out
 * of the queue, so no worker has to come for them. SKUA_E_DEADLOCK as skua_group_wait().
 */
skua_status skua__group_withdraw(skua_group *group);
/* The word that is 0 until the group is cancelled. */
const skua__a32 *skua__group_status(const skua_group *group);

/* graph_run.c */
/* Runs a node that another worker offered, and what becomes ready by it. */
void skua__graph_run_stolen(skua__worker *worker, void *stolen);

#endif
