// SPDX-License-Identifier: MPL-2.0
// Worker threads: finding work, sleeping, and spares that stand in for blocked workers. jobs.c runs what they find.
//
// No lost wake-up. A worker that goes to sleep is counted in asleep first, and looks for work once more after that; who
// publishes work looks at asleep after it. Both sides are sequentially consistent (W1), so one of them sees the
// other. A worker that looks around is counted in searching, and counts as awake: it takes itself out of it before
// its last look. Whoever takes work while more is in sight wakes the next sleeper.
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <sched.h>
#include <stdio.h>

enum {
    WORKER_FOLLOW_TURNS =
        64,            /* a busy worker looks so often whether it is time to read quota and mask */
    WORKER_LOOKS = 32, /* looks around between two readings of the clock */
};

/* The worker that this thread is, and where it was first seen: the only state per thread. */
static _Thread_local skua__worker *worker_here;
static _Thread_local uint32_t first_cpu_plus_one;

uint32_t
skua__first_cpu(void) {
    if (first_cpu_plus_one == 0) {
        int cpu = sched_getcpu();
        first_cpu_plus_one = cpu < 0 ? 1 : (uint32_t)cpu + 1;
    }
    return first_cpu_plus_one - 1;
}

skua__worker *
skua__worker_here(const skua_exec *exec) {
    return worker_here && worker_here->exec == exec ? worker_here : NULL;
}

skua__worker *
skua__worker_any(void) {
    bool ours = worker_here && worker_here->exec->fork_generation == skua__fork_generation();
    return ours ? worker_here : NULL;
}

skua__worker *
skua__worker_enter(skua__worker *worker) {
    skua__worker *before = worker_here;
    worker_here = worker;
    return before;
}

/* ---- Waking ---- */

static void
wake_leapers(skua__worker *worker) {
    skua__mutex_lock(&worker->leap_lock);
    SKUA_LIST_EACH(node, &worker->leapers) {
        skua__unpark(&SKUA_CONTAINER_OF(node, skua__worker, leaper)->parker);
    }
    skua__mutex_unlock(&worker->leap_lock);
}

/* The sleeper to wake: the worker of this core (as in skua_near), or the one that fell asleep last. */
static skua__list *
choose_sleeper_locked(const skua_exec *exec, skua__domain *domain, uint32_t core) {
    SKUA_LIST_EACH(node, &domain->sleepers) {
        const skua__worker *sleeper = SKUA_CONTAINER_OF(node, skua__worker, sleeper);
        if (core == 0 || !exec->topology ||
            skua_topology_pu_at(exec->topology, exec->plan.pu[sleeper->index])->core + 1 == core) {
            return node;
        }
    }
    return skua__list_empty(&domain->sleepers) ? NULL : domain->sleepers.next;
}

static void
wake_one(skua_exec *exec, skua__domain *domain, uint32_t core) {
    skua__mutex_lock(&exec->sleep_lock);
    skua__list *node = choose_sleeper_locked(exec, domain, core);
    if (node) {
        skua__list_remove(node);
        skua__a32_sub(&domain->asleep, 1, memory_order_seq_cst); /* seq_cst W1: as in idle() */
        skua__lease_note_locked(exec);
    }
    skua__mutex_unlock(&exec->sleep_lock);
    if (!node) {
        return;
    }
    /* Woken without the lock, which is the first thing that it takes: else it would fall asleep again at once. */
    skua__worker *sleeper = SKUA_CONTAINER_OF(node, skua__worker, sleeper);
    skua__unpark(&sleeper->parker);
    skua__worker *here = skua__worker_here(exec);
    if (here) {
        skua__trace(here, EXEC_TRACE_WAKE, sleeper->index);
        skua__stat_add(here, EXEC_STAT_WAKES, 1);
    }
}

/* One sleeper, the nearest, unless somebody nearer looks around already: he looks at everything before he sleeps. */
void
skua__wake_near(skua_exec *exec, const skua__domain *near, uint32_t core) {
    const uint32_t *order = skua__domain_order(exec, near);
    for (uint32_t i = 0; i < exec->map.count; i++) {
        skua__domain *domain = &exec->domains[order[i]];
        /* seq_cst W1: after the work was published, so too; pairs with seq_cst W1 in idle() */
        if (skua__a32_load(&domain->searching, memory_order_seq_cst) > 0) {
            return;
        }
        if (skua__a32_load(&domain->asleep, memory_order_seq_cst) > 0) { /* seq_cst W1: as above */
            wake_one(exec, domain, core);
            return;
        }
    }
}

void
skua__wake_for_work(skua_exec *exec, skua__worker *by) {
    /* seq_cst W2: the work was published before; pairs with seq_cst W2 in park_for() */
    if (by && skua__a32_load(&by->leaper_count, memory_order_seq_cst) > 0) {
        wake_leapers(by);
    }
    const skua__worker *here = exec->map.count > 1 ? skua__worker_here(exec) : NULL;
    skua__wake_near(exec, here ? here->domain : exec->domains, 0);
}

void
skua__wake_all_locked(skua_exec *exec) {
    for (uint32_t i = 0; i < exec->map.count; i++) {
        SKUA_LIST_EACH(node, &exec->domains[i].sleepers) {
            skua__unpark(&SKUA_CONTAINER_OF(node, skua__worker, sleeper)->parker);
        }
    }
    SKUA_LIST_EACH(retired, &exec->retired) {
        skua__unpark(&SKUA_CONTAINER_OF(retired, skua__worker, sleeper)->parker);
    }
}

void
skua__wake_all(skua_exec *exec) {
    skua__mutex_lock(&exec->sleep_lock);
    skua__wake_all_locked(exec);
    skua__mutex_unlock(&exec->sleep_lock);
}

/* ---- Finding work ---- */

/* The workers whose stacks may hold something. */
static uint32_t
places_of(const skua_exec *exec) {
    /* acquire N1: the worker's fields; pairs with release N1 in skua__worker_start() */
    /* seq_cst W1: whom a sleeper does not see, and so does not ask, runs nothing before its count; pairs with seq_cst W1 there */
    return skua__a32_load(&exec->places, memory_order_seq_cst);
}

/* What waits at a worker: nobody else's to be left alone. */
static bool
offers_in_sight(const skua_exec *exec) {
    uint32_t places = places_of(exec);
    for (uint32_t i = 0; i < places; i++) {
        skua__stack *stack = exec->workers[i].stack;
        if (skua__has_public(stack) || skua__offers_any(&stack->own) ||
            skua__offers_any(&stack->handful) || skua__offers_any(&stack->nodes)) {
            return true;
        }
    }
    return false;
}

static bool
work_in_sight(const skua_exec *exec) {
    return skua__inject_any(exec) || offers_in_sight(exec);
}

/* The same without what waits near others, which a worker leaves to them while it looks around. */
static bool
work_for(const skua__worker *worker) {
    return skua__inject_any_in(worker->domain) || skua__inject_urgent(worker->exec) ||
           offers_in_sight(worker->exec);
}

static bool
anybody_asleep(const skua_exec *exec) {
    bool any = false;
    for (uint32_t i = 0; i < exec->map.count && !any; i++) {
        /* seq_cst W1: after we left searching; pairs with seq_cst W1 in idle() */
        any = skua__a32_load(&exec->domains[i].asleep, memory_order_seq_cst) > 0;
    }
    return any;
}

static void
ask_all(skua__worker *worker) {
    uint32_t places = places_of(worker->exec);
    for (uint32_t i = 0; i < places; i++) {
        if (i != worker->index) {
            skua__request(worker->exec->workers[i].stack, EXEC_REQUEST_HUNGRY);
        }
    }
}

/* After taking work: if there is more of it and somebody sleeps, wake the next. */
static void
pass_on(skua__worker *worker, skua__worker *victim) {
    skua_exec *exec = worker->exec;
    if (!anybody_asleep(exec)) {
        return;
    }
    if (work_in_sight(exec)) {
        skua__wake_for_work(exec, NULL);
    } else if (victim) {
        skua__request(victim->stack,
                      EXEC_REQUEST_HUNGRY); /* it will wake the next when it shares */
    }
}

/* The domain to take a queued job from: one's own, but for one of high priority; that too at most so often in a row. */
static skua__domain *
domain_to_take_from(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    if (worker->domain == exec->domains || !skua__inject_urgent(exec) ||
        worker->urgent_turns++ >= EXEC_AGEING_POPS) {
        worker->urgent_turns = 0;
        return worker->domain;
    }
    return exec->domains;
}

/* The job whose turn it is: from the worker's handful, unless a more urgent one waits, else from the queue. */
static skua_job *
take_queued(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    skua__offers *handful = &worker->stack->handful;
    skua_job *job = skua__inject_urgent(exec) ? NULL : skua__offers_steal(handful);
    if (!job) {
        skua__domain *domain = domain_to_take_from(worker);
        job = skua__inject_pop(exec, domain, domain == worker->domain ? handful : NULL);
        if (job) {
            pass_on(worker, NULL);
        }
    }
    return job ? job : skua__offers_steal(handful);
}

/* A job that waits near others, the nearest of them first. */
static skua_job *
take_elsewhere(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    const uint32_t *order = skua__domain_order(exec, worker->domain);
    skua_job *job = NULL;
    for (uint32_t i = 1; i < exec->map.count && !job; i++) {
        job = skua__inject_pop(exec, &exec->domains[order[i]], NULL);
    }
    if (job) {
        pass_on(worker, NULL);
    }
    return job;
}

/*
 * The next job for this worker: the newest of its own, else a queued one. Every so often it looks at the queue first, at
 * the oldest of its own, or at what waits near others, so that none waits for ever.
 */
skua_job *
skua__take_job(skua__worker *worker) {
    skua__offers *own = &worker->stack->own;
    uint32_t turn = worker->turns++;
    skua_job *job = NULL;
    if (turn % EXEC_OWN_TURNS == 0 && turn / EXEC_OWN_TURNS % 2 == 1) {
        job = skua__offers_steal(own);
    } else if (worker->exec->map.count > 1 && turn % (4 * EXEC_OWN_TURNS) == 2 * EXEC_OWN_TURNS) {
        /* Else there is time enough to leave it to the others for a while. */
        bool is_busy = skua__offers_any(own) || skua__inject_any_in(worker->domain);
        job = is_busy ? take_elsewhere(worker) : NULL;
    } else if (turn % EXEC_OWN_TURNS != 0 && !skua__inject_urgent(worker->exec)) {
        job = skua__offers_take(own, 0);
    }
    job = job ? job : take_queued(worker);
    return job ? job : skua__offers_take(own, 0);
}

/* Takes a call, a job or a graph's node from another worker, and runs it. */
static bool
run_stolen(skua__worker *worker, skua__worker *victim) {
    skua_slot *slot = skua__steal(victim->stack, 0, NULL);
    skua_job *job = slot ? NULL : skua__offers_steal(&victim->stack->handful);
    job = slot || job ? job : skua__offers_steal(&victim->stack->own);
    void *node = slot || job ? NULL : skua__offers_steal(&victim->stack->nodes);
    if (!slot && !job && !node) {
        return false;
    }
    skua__stat_add(worker, EXEC_STAT_STEALS, 1);
    pass_on(worker, victim);
    if (slot) {
        skua__worker_run_stolen(worker, slot, 0);
    } else if (node) {
        skua__trace(worker, EXEC_TRACE_STEAL, victim->index);
        skua__graph_run_stolen(worker, node);
        skua__trace(worker, EXEC_TRACE_END, 0);
    } else {
        skua__worker_run(worker, job);
    }
    return true;
}

/* Runs one job, or one stolen thing, if there is any. Only with an empty stack. */
static bool
run_something(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    bool eager = worker->eager;
    worker->eager = false;
    skua_job *job = skua__take_job(worker);
    job = !job && eager ? take_elsewhere(worker) : job;
    if (job) {
        skua__worker_run(worker, job);
        return true;
    }
    uint32_t places = places_of(exec);
    skua__tour tour = skua__tour_begin(&exec->plan, worker->index, places, &worker->rand);
    for (uint32_t i; (i = skua__tour_next(&tour)) != PLAN_TOUR_OVER;) {
        skua__worker *victim = &exec->workers[i];
        if (i < places && victim != worker && run_stolen(worker, victim)) {
            return true;
        }
    }
    skua__stat_add(worker, EXEC_STAT_MISSES, 1);
    return false;
}

/*
 * What ended is counted before what was submitted, and a job is counted as submitted before it can end: so when the two
 * are equal, no job was under way at the moment between the counts.
 */
uint64_t
skua__jobs_under_way(skua_exec *exec, uint64_t *ret_waiting) {
    uint64_t ended = 0, own = 0;
    uint32_t places = places_of(exec);
    for (uint32_t i = 0; i < places; i++) {
        /* acquire C2: what the job did; pairs with release C2 in end_job() */
        ended += skua__a64_load(&exec->workers[i].stats[EXEC_STAT_ENDED], memory_order_acquire);
    }
    uint64_t submitted = skua__inject_drain(exec, ret_waiting);
    for (uint32_t i = 0; i < places; i++) {
        skua__worker *worker = &exec->workers[i];
        /* relaxed: whoever ended such a job has seen it counted, and we have seen that (C2). */
        own += skua__a64_load(&worker->stats[EXEC_STAT_OWN], memory_order_relaxed);
        *ret_waiting += skua__offers_count(&worker->stack->own);
        *ret_waiting += skua__offers_count(&worker->stack->handful);
    }
    return submitted + own - ended;
}

/* Everything has ended, and nothing new may come: only jobs may submit while the executor closes. */
bool
skua__is_over(skua_exec *exec) {
    uint64_t waiting;
    /* seq_cst C1: closing before the counts; pairs with seq_cst C1 in skua_exec_close() */
    return skua__a32_load(&exec->closing, memory_order_seq_cst) &&
           skua__jobs_under_way(exec, &waiting) == 0;
}

void
skua__leave_list(skua_exec *exec, skua__worker *worker, bool sleeps) {
    skua__mutex_lock(&exec->sleep_lock);
    if (!skua__list_empty(&worker->sleeper)) {
        skua__list_remove(&worker->sleeper);
        if (sleeps) {
            /* seq_cst W1: as in idle() */
            skua__a32_sub(&worker->domain->asleep, 1, memory_order_seq_cst);
            skua__lease_note_locked(exec);
        }
    }
    if (!sleeps) {
        skua__lease_unwatch_locked(worker);
    }
    skua__mutex_unlock(&exec->sleep_lock);
}

void
skua__sleep(skua__worker *worker, int64_t deadline_ns) {
    int64_t from_ns = skua__clock_ns();
    skua__stat_add(worker, EXEC_STAT_PARKS, 1);
    skua__trace(worker, EXEC_TRACE_PARK, 0);
    skua__park(&worker->parker, deadline_ns);
    skua__trace(worker, EXEC_TRACE_END, 0);
    skua__stat_add(worker, EXEC_STAT_IDLE_NS, (uint64_t)(skua__clock_ns() - from_ns));
}

/* Looks around for a while for what it may take now. Returns whether there is something. */
static bool
search(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    int64_t until_ns = exec->spin_ns > 0 ? skua__clock_ns() + exec->spin_ns : 0;
    for (uint32_t looks = 0; !skua__is_over(exec); looks++) {
        ask_all(worker);
        if (work_for(worker)) {
            return true;
        }
        if (until_ns == 0 ||
            (looks % WORKER_LOOKS == WORKER_LOOKS - 1 && skua__clock_ns() >= until_ns)) {
            return false;
        }
        skua__atomic_pause();
    }
    return false;
}

/* Looks around for a while, unless another worker of the domain does, then sleeps until somebody has work. */
static void
idle(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    skua__domain *domain = worker->domain;
    uint32_t nobody = 0;
    /* seq_cst W1: counted before we look; pairs with seq_cst W1 in skua__wake_near() */
    bool searches = skua__a32_cas(&domain->searching, &nobody, 1, memory_order_seq_cst);
    bool found = searches && search(worker);
    if (!found) {
        skua__mutex_lock(&exec->sleep_lock);
        skua__list_push_front(&domain->sleepers, &worker->sleeper);
        /* seq_cst W1: counted before the last look; pairs with seq_cst W1 in skua__wake_near() */
        skua__a32_add(&domain->asleep, 1, memory_order_seq_cst);
        skua__lease_note_locked(exec);
        skua__mutex_unlock(&exec->sleep_lock);
    }
    if (searches) {
        /* seq_cst W1: out of searching before the last look; as above */
        skua__a32_store(&domain->searching, 0, memory_order_seq_cst);
    }
    if (found) {
        return;
    }
    ask_all(worker);
    /*
     * What waits near others is left to the one who looks around for this domain, if there is one: he takes it when his time
     * is up, and wakes us if he takes something else (seq_cst W1: his leaving comes after our look, and so after our count).
     */
    bool leaves = !searches && skua__a32_load(&domain->searching, memory_order_seq_cst) > 0;
    worker->eager = leaves ? work_for(worker) : work_in_sight(exec);
    /* That there are too many workers is looked for after we stand in the list, too: a pause wakes those in it. */
    if (!worker->eager && !skua__is_over(exec) && !skua__is_surplus(worker)) {
        skua__follow(worker);
        skua__sleep(worker, SKUA_NEVER_NS);
        skua__follow(worker);
    }
    skua__leave_list(exec, worker, true);
}

/* ---- The thread ---- */

static void *
worker_main(void *arg) {
    skua__worker *worker = arg;
    skua_exec *exec = worker->exec;
    worker_here = worker;
    skua__c_stack_begin(worker);
    skua__bind_here(worker);
    while (!skua__is_over(exec)) {
        if (skua__lease_moved(&exec->lease)) {
            skua__lease_look(exec);
        }
        if (worker->turns % WORKER_FOLLOW_TURNS == 0) {
            skua__follow(worker);
        }
        if (skua__is_surplus(worker)) {
            skua__rest(worker);
        }
        if (run_something(worker)) {
            skua__run_handful(worker);
        } else {
            idle(worker);
        }
    }
    /* Whoever sees the end tells the others: of two that ended the last jobs at once, none may have seen it. */
    skua__wake_all(exec);
    worker_here = NULL;
    /* relaxed: who closes joins the threads; this only ends its wait with a time limit. */
    if (skua__a32_sub(&exec->threads, 1, memory_order_relaxed) == 1) {
        skua__unpark(&exec->closer);
    }
    return NULL;
}

/* ---- Life ---- */

skua_status
skua__worker_open(skua_exec *exec, uint32_t index, skua_error *err) {
    skua__worker *worker = &exec->workers[index];
    if (worker->stack) {
        return SKUA_OK; /* a spare whose thread could not be started the last time */
    }
    /* Not zeroed: pages of the stack that are never used are never touched. */
    void *block = worker->stack_block /* of before a fork() */
                      ? worker->stack_block
                      : exec->hook->allocate(exec->hook->ctx, 2 * SKUA_STACK_BYTES);
    if (!block) {
        return SKUA_FAIL_MEMORY(err, "a worker's stack");
    }
    uintptr_t aligned = ((uintptr_t)block + SKUA_STACK_BYTES - 1) & ~(SKUA_STACK_BYTES - 1);
    worker->exec = exec;
    worker->domain = &exec->domains[exec->map.of_place[index]];
    worker->index = index;
    worker->slots = exec->slots;
    worker->rand.state = index;
    worker->stack_block = block;
    worker->stack = (skua__stack *)aligned;
    skua__bind_stack(worker);
    skua__stack_init(worker, worker->stack);
    skua__list_init(&worker->sleeper);
    skua__list_init(&worker->leaper);
    skua__list_init(&worker->leapers);
    skua__mutex_init(&worker->leap_lock);
    return SKUA_OK;
}

skua_status
skua__worker_start(skua__worker *worker, skua_error *err) {
    char name[16];
    snprintf(name, sizeof name, "%s-%u", worker->exec->name, (unsigned)worker->index % 10000);
    skua__a32 *threads = &worker->exec->threads;
    skua__a32_add(threads, 1, memory_order_relaxed); /* relaxed: see worker_main() */
    skua_status status = skua__thread_start(&worker->thread, name, worker_main, worker, err);
    if (status != SKUA_OK) {
        skua__a32_sub(threads, 1, memory_order_relaxed); /* relaxed: see worker_main() */
    } else {
        worker->started = true;
        /* release N1: the worker's fields; pairs with acquire N1 in places_of() */
        /* seq_cst W1: before anything is published there; pairs with seq_cst W1 in places_of() */
        skua__a32_store(&worker->exec->places, worker->index + 1, memory_order_seq_cst);
    }
    return status;
}

void
skua__worker_close(skua__worker *worker) {
    if (worker->stack) {
        skua__mutex_fini(&worker->leap_lock);
        worker->stack = NULL;
    }
    if (worker->stack_block) {
        worker->exec->hook->release(worker->exec->hook->ctx, worker->stack_block);
        worker->stack_block = NULL;
    }
}

/* The worker of a call that only it may make. */
static skua__worker *
worker_of(skua_worker w) {
    return skua__stack_of(w.top)->worker;
}

skua_exec *
skua_worker_exec(skua_worker w) {
    assert(w.top && "w is empty: a worker is handed to each task");
    return worker_of(w)->exec;
}

uint32_t
skua_worker_index(skua_worker w) {
    assert(w.top && "w is empty: a worker is handed to each task");
    return worker_of(w)->index;
}

bool
skua_worker_cancelled(skua_worker w) {
    assert(w.top && "w is empty: a worker is handed to each task");
    const skua__frame *frame = worker_of(w)->frame;
    return frame && frame->group && skua_group_cancelled(frame->group);
}
