// SPDX-License-Identifier: MPL-2.0
// The lease: the rule alone, then executors that share this machine's cores, in one process and in several; processes that die,
// memory full of junk, and executors that take no part.
#include "test.h"

#include "engine.h"
#include <skua-int/clock.h>

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_S = 20 };

/* ---- The rule ---- */

static skua__lease_wish
wish_of(uint32_t workers, uint64_t cpus) {
    return (skua__lease_wish){.workers = workers, .cpus = {cpus}};
}

static void
expect_shares(const skua__lease_wish *wishes, uint32_t count, const uint32_t *shares) {
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(skua__lease_share(wishes, count, i), shares[i]);
    }
}

static void
test_rule_deals_evenly_and_leaves_nobody_without(void **state) {
    (void)state;
    const skua__lease_wish alone[] = {wish_of(5, 3)};
    expect_shares(alone, 1, (const uint32_t[]){5});
    const skua__lease_wish four[] = {wish_of(2, 3), wish_of(2, 3), wish_of(2, 3), wish_of(2, 3)};
    expect_shares(four, 4, (const uint32_t[]){1, 1, 1, 1});
    expect_shares(four, 2, (const uint32_t[]){1, 1});
    const skua__lease_wish odd[] = {wish_of(3, 7), wish_of(3, 7)};
    expect_shares(odd, 2, (const uint32_t[]){2, 1});
    /* Who wishes little leaves the rest to the others. */
    const skua__lease_wish small[] = {wish_of(8, 255), wish_of(1, 255), wish_of(8, 255)};
    expect_shares(small, 3, (const uint32_t[]){4, 1, 3});
}

static void
test_rule_knows_that_masks_overlap_or_do_not(void **state) {
    (void)state;
    const skua__lease_wish apart[] = {wish_of(2, 0x3), wish_of(2, 0xc)};
    expect_shares(apart, 2, (const uint32_t[]){2, 2});
    /* The first may run anywhere, and so leaves the second its two CPUs. */
    const skua__lease_wish nested[] = {wish_of(4, 0xf), wish_of(2, 0x3)};
    expect_shares(nested, 2, (const uint32_t[]){2, 2});
    const skua__lease_wish high[] = {{.workers = 64, .cpus = {[15] = UINT64_MAX}},
                                     {.workers = 64, .cpus = {[15] = UINT64_MAX}},
                                     {.workers = 9, .cpus = {0}}};
    expect_shares(high, 3, (const uint32_t[]){32, 32, 1});
}

static void
test_rule_lets_fixed_numbers_go_first(void **state) {
    (void)state;
    skua__lease_wish wishes[] = {wish_of(8, 255), wish_of(5, 255), wish_of(8, 255)};
    wishes[1].fixed = true;
    expect_shares(wishes, 3, (const uint32_t[]){2, 5, 1});
    wishes[1].workers = 100;
    expect_shares(wishes, 3, (const uint32_t[]){1, 100, 1});
}

static void
test_rule_keeps_to_quotas_that_processes_have_together(void **state) {
    (void)state;
    skua__lease_wish wishes[] = {wish_of(3, 0xffff), wish_of(3, 0xffff), wish_of(16, 0xffff)};
    for (int i = 0; i < 2; i++) {
        wishes[i].quota = 77;
        wishes[i].quota_workers = 3;
    }
    expect_shares(wishes, 3, (const uint32_t[]){2, 1, 13});
}

static void
test_rule_never_deals_more_than_there_is(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(3)};
    for (int round = 0; round < 3000; round++) {
        skua__lease_wish wishes[9];
        uint32_t count = 1 + skua__rand_below(&rand, 9), sum = 0;
        uint64_t all = 0;
        for (uint32_t i = 0; i < count; i++) {
            wishes[i] = wish_of(1 + skua__rand_below(&rand, 12), skua__rand_next(&rand) & 0xffff);
            all |= wishes[i].cpus[0];
        }
        for (uint32_t i = 0; i < count; i++) {
            uint32_t share = skua__lease_share(wishes, count, i);
            assert_in_range(share, 1, wishes[i].workers);
            sum += share - 1;
        }
        /* One each is a gift; what is above it must be real CPUs. */
        assert_true(count == 1 || sum <= (uint32_t)__builtin_popcountll(all));
    }
}

/* ---- Executors ---- */

static uint32_t
own_key(void) {
    static atomic_uint next = 1;
    return (uint32_t)getpid() << 8 | (atomic_fetch_add(&next, 1) & 0xff);
}

static uint32_t
cpus_here(void) {
    cpu_set_t mask;
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    return (uint32_t)CPU_COUNT(&mask);
}

static skua_exec *
open_sharing(uint32_t key, uint32_t workers) {
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec,
                                    SKUA_EXEC_OPTIONS(.workers = (int32_t)workers, .lease_key = key,
                                                      .lease = SKUA_LEASE_ALWAYS),
                                    NULL),
                     SKUA_OK);
    return exec;
}

/* A job that stays until it is let out. */
typedef struct guest {
    skua_job job;
    atomic_bool *open;
    atomic_uint *inside;
} guest;

static void
run_guest(skua_worker w, skua_job *job) {
    (void)w;
    const guest *self = (guest *)(void *)job;
    atomic_fetch_add(self->inside, 1);
    while (!atomic_load(self->open)) {
        sched_yield();
    }
    atomic_fetch_sub(self->inside, 1);
}

typedef struct crowd {
    guest guests[64];
    atomic_bool open;
    atomic_uint inside;
} crowd;

/* Keeps so many workers of exec busy. */
static void
fill(skua_exec *exec, crowd *all, uint32_t count) {
    while (atomic_load(&all->inside) > 0) {
        sched_yield(); /* those of before are on their way out */
    }
    atomic_store(&all->open, false);
    for (uint32_t i = 0; i < count; i++) {
        all->guests[i] = (guest){.open = &all->open, .inside = &all->inside};
        skua_job_init(&all->guests[i].job, run_guest);
        assert_int_equal(skua_exec_submit(exec, &all->guests[i].job), SKUA_OK);
    }
    while (atomic_load(&all->inside) < count) {
        sched_yield();
    }
}

static void
nothing(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

/* Lets jobs run until the executor has so many workers. */
static void
await_workers(skua_exec *exec, uint32_t workers) {
    int64_t until_ns = skua__clock_ns() + DEADLINE_S * SKUA_NS_PER_S;
    while (skua_exec_workers(exec) != workers) {
        assert_true(skua__clock_ns() < until_ns);
        assert_int_equal(skua_exec_run(exec, nothing, NULL, NULL), SKUA_OK);
    }
}

/* Stays in one job, which never looks, until there are so many workers: somebody else must see it. */
static void
stay_until(skua_worker w, void *frame) {
    int64_t until_ns = skua__clock_ns() + DEADLINE_S * SKUA_NS_PER_S;
    while (skua_exec_workers(skua_worker_exec(w)) != *(uint32_t *)frame) {
        assert_true(skua__clock_ns() < until_ns);
        sched_yield();
    }
}

static void
test_lease_halves_the_cores_and_gives_them_back(void **state) {
    (void)state;
    static crowd others;
    uint32_t cpus = cpus_here(), key = own_key();
    if (cpus < 2 || cpus > 64) {
        skip();
    }
    skua_exec *a = open_sharing(key, cpus), *b = open_sharing(key, cpus);
    for (int round = 0; round < 3; round++) {
        fill(b, &others, cpus);
        await_workers(a, cpus - cpus / 2);
        skua_exec_stats stats = {.size = sizeof stats};
        assert_int_equal(skua_exec_stats_get(a, &stats), SKUA_OK);
        assert_int_equal(stats.lease_pools, 2);
        assert_int_equal(stats.lease_refused, 0);
        atomic_store(&others.open, true);
        assert_int_equal(skua_exec_run(a, stay_until, &cpus, NULL), SKUA_OK);
    }
    skua_exec_close(b);
    skua_exec_close(a);
}

static void
test_lease_is_at_rest_when_the_executor_is(void **state) {
    (void)state;
    static crowd others;
    uint32_t cpus = cpus_here(), key = own_key();
    if (cpus < 2 || cpus > 64) {
        skip();
    }
    skua_exec *a = open_sharing(key, cpus), *b = open_sharing(key, cpus);
    fill(b, &others, cpus);
    await_workers(a, cpus - cpus / 2);
    /* It wished more, so one looked now and then; it sleeps without a limit when nothing is to be done. */
    int64_t until_ns = skua__clock_ns() + DEADLINE_S * SKUA_NS_PER_S;
    for (bool sleeps = false; !sleeps; sched_yield()) {
        assert_true(skua__clock_ns() < until_ns);
        skua__mutex_lock(&a->sleep_lock);
        sleeps = a->lease.watcher && a->lease.watcher_sleeps && a->lease.awake == 0;
        skua__mutex_unlock(&a->sleep_lock);
    }
    atomic_store(&others.open, true);
    skua_exec_close(b);
    assert_int_equal(skua_exec_run(a, stay_until, &cpus, NULL), SKUA_OK);
    skua_exec_close(a);
}

static void
test_lease_lets_a_number_that_was_asked_for_be(void **state) {
    (void)state;
    static crowd ours, others;
    uint32_t cpus = cpus_here(), key = own_key();
    if (cpus < 2 || cpus > 64) {
        skip();
    }
    skua_exec *fixed = NULL, *never = NULL, *a = open_sharing(key, cpus);
    assert_int_equal(
        skua_exec_open(&fixed, SKUA_EXEC_OPTIONS(.workers = (int32_t)cpus, .lease_key = key), NULL),
        SKUA_OK);
    assert_int_equal(skua_exec_open(&never,
                                    SKUA_EXEC_OPTIONS(.workers = (int32_t)cpus, .lease_key = key,
                                                      .lease = SKUA_LEASE_NEVER),
                                    NULL),
                     SKUA_OK);
    fill(never, &others, cpus);
    assert_int_equal(skua_exec_run(a, stay_until, &cpus, NULL), SKUA_OK);
    fill(fixed, &ours, cpus);
    await_workers(a, 1);
    assert_int_equal(skua_exec_workers(fixed), cpus);
    assert_int_equal(skua_exec_workers(never), cpus);
    /* Two of the three are told of. */
    uint32_t position = 0, seen = 0;
    skua_lease_pool pool = {.size = sizeof pool};
    for (; skua_lease_next(key, &position, &pool, NULL) == SKUA_OK; seen++) {
        assert_int_equal(pool.process, getpid());
        assert_int_equal(pool.workers, cpus);
        assert_int_equal(pool.fixed, seen == 1);
        assert_int_equal(pool.share, seen == 1 ? cpus : 1);
    }
    assert_int_equal(seen, 2);
    atomic_store(&ours.open, true);
    atomic_store(&others.open, true);
    skua_exec_close(fixed);
    skua_exec_close(never);
    skua_exec_close(a);
    position = 0;
    assert_int_equal(skua_lease_next(key, &position, &pool, NULL), SKUA_E_NOT_FOUND);
}

/* Also when it is asked for after the open, and at once: not at the next look at what the others do. */
static void
test_lease_keeps_a_number_that_is_asked_for_later(void **state) {
    (void)state;
    static crowd others;
    uint32_t cpus = cpus_here(), key = own_key(), position = 0;
    if (cpus < 2 || cpus > 64) {
        skip();
    }
    skua_exec *a = NULL, *b = open_sharing(key, cpus);
    assert_int_equal(skua_exec_open(&a, SKUA_EXEC_OPTIONS(.lease_key = key), NULL), SKUA_OK);
    fill(b, &others, cpus);
    await_workers(a, cpus - cpus / 2);
    assert_int_equal(skua_exec_resize(a, cpus, NULL), SKUA_OK);
    assert_int_equal(skua_exec_workers(a), cpus);
    skua_lease_pool pool = {.size = sizeof pool};
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(skua_lease_next(key, &position, &pool, NULL), SKUA_OK);
        assert_int_equal(pool.fixed, i == 1);
    }
    atomic_store(&others.open, true);
    skua_exec_close(a);
    skua_exec_close(b);
}

/* ---- Processes ---- */

/* A process whose executor is busy with so many workers, until it is killed. */
static pid_t
start_busy_process(uint32_t key, uint32_t workers) {
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static crowd all;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        skua_exec *exec = open_sharing(key, workers);
        fill(exec, &all, workers);
        (void)!write(ready[1], "r", 1);
        for (;;) {
            pause();
        }
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void
test_lease_survives_a_killed_process(void **state) {
    (void)state;
    uint32_t cpus = cpus_here(), key = own_key();
    if (cpus < 2 || cpus > 64) {
        skip();
    }
    enum { PROCESSES = 3 };
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = start_busy_process(key, 1);
    }
    skua_exec *exec = open_sharing(key, cpus);
    await_workers(exec, cpus > PROCESSES ? cpus - PROCESSES : 1);
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(kill(children[i], SIGKILL), 0);
        assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
    }
    assert_int_equal(skua_exec_run(exec, stay_until, &cpus, NULL), SKUA_OK);
    uint32_t position = 0;
    skua_lease_pool pool = {.size = sizeof pool};
    assert_int_equal(skua_lease_next(key, &position, &pool, NULL), SKUA_OK);
    assert_int_equal(pool.process, getpid());
    assert_int_equal(skua_lease_next(key, &position, &pool, NULL), SKUA_E_NOT_FOUND);
    skua_exec_close(exec);
}

#ifndef __SANITIZE_THREAD__ /* which lets the child of a process with threads start none */
static void
test_lease_is_joined_anew_by_a_child(void **state) {
    (void)state;
    uint32_t key = own_key();
    skua_exec *exec = open_sharing(key, 2);
    pid_t child = fork();
    if (child == 0) {
        if (skua_exec_rebuild_after_fork(exec, NULL)) {
            _exit(1);
        }
        uint32_t position = 0, ours = 0, all = 0;
        skua_lease_pool pool = {.size = sizeof pool};
        for (; skua_lease_next(key, &position, &pool, NULL) == SKUA_OK; all++) {
            ours += pool.process == getpid();
        }
        skua_exec_close(exec);
        _exit(ours == 1 && all == 2 ? 0 : 2);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    skua_exec_close(exec);
}
#endif

/* ---- Junk ---- */

static void
expect_refused(uint32_t key) {
    skua_exec *exec = open_sharing(key, 3);
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    assert_int_equal(stats.lease_refused, 1);
    assert_int_equal(skua_exec_workers(exec), 3);
    assert_int_equal(skua_exec_run(exec, nothing, NULL, NULL), SKUA_OK);
    skua_exec_close(exec);
    uint32_t position = 0;
    skua_lease_pool pool = {.size = sizeof pool};
    skua_error err;
    assert_int_equal(skua_lease_next(key, &position, &pool, &err), SKUA_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "shared memory"));
}

static void
test_lease_refuses_memory_that_is_not_its_own(void **state) {
    (void)state;
    uint32_t key = own_key();
    int id = shmget(skua__lease_ipc_key(key), 64, IPC_CREAT | 0600);
    assert_true(id >= 0);
    expect_refused(key); /* too small */
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    id = shmget(skua__lease_ipc_key(key), 1 << 20, IPC_CREAT | 0666);
    assert_true(id >= 0);
    expect_refused(key); /* others may write there */
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
    id = shmget(skua__lease_ipc_key(key), 1 << 20, IPC_CREAT | 0600);
    char *memory = shmat(id, NULL, 0);
    memset(memory, 'x', 1 << 20);
    expect_refused(key); /* somebody uses it for something else */
    assert_int_equal(memory[0], 'x');
    shmdt(memory);
    /* Nobody does: it is taken over. */
    skua_exec *exec = open_sharing(key, 3);
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    assert_int_equal(stats.lease_refused, 0);
    skua_exec_close(exec);
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
}

static void
test_lease_bears_junk_while_it_runs(void **state) {
    (void)state;
    enum { ROUNDS = 300 };
    uint32_t cpus = cpus_here(), key = own_key();
    skua_exec *exec = open_sharing(key, cpus);
    int id = shmget(skua__lease_ipc_key(key), 1, 0);
    assert_true(id >= 0);
    struct shmid_ds about;
    assert_int_equal(shmctl(id, IPC_STAT, &about), 0);
    _Atomic uint64_t *words = shmat(id, NULL, 0);
    size_t count = about.shm_segsz / sizeof *words;
    skua__rand rand = {.state = test_seed(5)};
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 200; i++) {
            uint64_t value = skua__rand_next(&rand);
            value = skua__rand_below(&rand, 2) ? value : value >> skua__rand_below(&rand, 64);
            atomic_store(&words[skua__rand_below(&rand, (uint32_t)count)], value);
        }
        skua__a64_store(&exec->lease.again_ns, 0, memory_order_relaxed); /* relaxed: a hint */
        assert_int_equal(skua_exec_run(exec, nothing, NULL, NULL), SKUA_OK);
        skua__lease_look(exec);
        assert_in_range(skua_exec_workers(exec), 1, cpus);
        uint32_t position = 0;
        skua_lease_pool pool = {.size = sizeof pool};
        (void)!skua_lease_next(key, &position, &pool, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        atomic_store(&words[i], 0);
    }
    await_workers(exec, cpus); /* a slot is claimed anew, and nobody else is there */
    shmdt((void *)words);
    skua_exec_close(exec);
    assert_int_equal(shmctl(id, IPC_RMID, NULL), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule_deals_evenly_and_leaves_nobody_without),
        cmocka_unit_test(test_rule_knows_that_masks_overlap_or_do_not),
        cmocka_unit_test(test_rule_lets_fixed_numbers_go_first),
        cmocka_unit_test(test_rule_keeps_to_quotas_that_processes_have_together),
        cmocka_unit_test(test_rule_never_deals_more_than_there_is),
        cmocka_unit_test(test_lease_halves_the_cores_and_gives_them_back),
        cmocka_unit_test(test_lease_is_at_rest_when_the_executor_is),
        cmocka_unit_test(test_lease_lets_a_number_that_was_asked_for_be),
        cmocka_unit_test(test_lease_keeps_a_number_that_is_asked_for_later),
        cmocka_unit_test(test_lease_survives_a_killed_process),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(test_lease_is_joined_anew_by_a_child),
#endif
        cmocka_unit_test(test_lease_refuses_memory_that_is_not_its_own),
        cmocka_unit_test(test_lease_bears_junk_while_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
