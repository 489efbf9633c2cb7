// SPDX-License-Identifier: MPL-2.0
// The lease machine: each transition, its properties under random events, and a simulated fleet whose nodes
// die and whose results come late.
#include "test.h"

#include <skua-int/clock.h>
#include <skua-int/lease_fsm.h>
#include <skua-int/rand.h>
#include <string.h>

static skua__lease
lease_of(bool idempotent, uint32_t max_attempts) {
    return (skua__lease){.deadline_ns = SKUA_NEVER_NS,
                         .max_attempts = max_attempts,
                         .poison_deaths = 3,
                         .idempotent = idempotent};
}

static skua__lease_step_result
step(skua__lease *lease, skua__lease_event_kind kind, uint64_t epoch, int64_t now_ns) {
    skua__lease_event event = {
        .kind = kind, .epoch = epoch, .outcome = SKUA__LEASE_OK, .expires_ns = now_ns + 1000};
    return skua__lease_step(lease, &event, now_ns);
}

static void
test_lease_result_is_delivered_once(void **state) {
    (void)state;
    skua__lease lease = lease_of(true, 5);
    assert_int_equal(step(&lease, SKUA__LEASE_GRANT, 7, 0).action, SKUA__LEASE_START);
    assert_int_equal(lease.attempts, 1);
    assert_int_equal(step(&lease, SKUA__LEASE_RESULT, 6, 1).action, SKUA__LEASE_DROP);
    assert_int_equal(step(&lease, SKUA__LEASE_RESULT, 7, 1).action, SKUA__LEASE_END);
    assert_int_equal(lease.outcome, SKUA__LEASE_OK);
    assert_int_equal(step(&lease, SKUA__LEASE_RESULT, 7, 1).action, SKUA__LEASE_DROP);
    assert_int_equal(step(&lease, SKUA__LEASE_CANCEL, 0, 1).action, SKUA__LEASE_NOTHING);
    assert_int_equal(step(&lease, SKUA__LEASE_DEATH, 7, 1).action, SKUA__LEASE_NOTHING);
    assert_int_equal(step(&lease, SKUA__LEASE_TICK, 0, SKUA_NEVER_NS - 1).action,
                     SKUA__LEASE_NOTHING);
    assert_true(skua__lease_next_ns(&lease) == SKUA_NEVER_NS);
}

/* I6: a task that may not run twice ends LOST, one that may is fenced and granted anew. */
static void
test_lease_death_loses_or_requeues(void **state) {
    (void)state;
    skua__lease once = lease_of(false, 5);
    step(&once, SKUA__LEASE_GRANT, 1, 0);
    assert_int_equal(step(&once, SKUA__LEASE_DEATH, 1, 1).action, SKUA__LEASE_END);
    assert_int_equal(once.outcome, SKUA__LEASE_LOST);
    assert_false(once.poisoned);

    skua__lease again = lease_of(true, 5);
    step(&again, SKUA__LEASE_GRANT, 1, 0);
    assert_int_equal(step(&again, SKUA__LEASE_DEATH, 1, 1).action, SKUA__LEASE_REQUEUE);
    assert_int_equal(step(&again, SKUA__LEASE_RESULT, 1, 2).action, SKUA__LEASE_DROP);
    assert_int_equal(step(&again, SKUA__LEASE_GRANT, 2, 3).action, SKUA__LEASE_START);
    assert_int_equal(step(&again, SKUA__LEASE_RESULT, 1, 4).action, SKUA__LEASE_DROP);
    assert_int_equal(step(&again, SKUA__LEASE_DEATH, 1, 4).action, SKUA__LEASE_NOTHING);
    assert_int_equal(step(&again, SKUA__LEASE_RESULT, 2, 4).action, SKUA__LEASE_END);
    assert_int_equal(again.attempts, 2);
}

/* I7: three dead workers poison a task; at most max_attempts may start. */
static void
test_lease_is_poisoned_and_bounded(void **state) {
    (void)state;
    skua__lease lease = lease_of(true, 50);
    for (uint64_t epoch = 1; epoch <= 2; epoch++) {
        step(&lease, SKUA__LEASE_GRANT, epoch, 0);
        assert_int_equal(step(&lease, SKUA__LEASE_DEATH, epoch, 0).action, SKUA__LEASE_REQUEUE);
    }
    step(&lease, SKUA__LEASE_GRANT, 3, 0);
    assert_int_equal(step(&lease, SKUA__LEASE_DEATH, 3, 0).action, SKUA__LEASE_END);
    assert_int_equal(lease.outcome, SKUA__LEASE_LOST);
    assert_true(lease.poisoned);

    skua__lease twice = lease_of(true, 2);
    step(&twice, SKUA__LEASE_GRANT, 1, 0);
    step(&twice, SKUA__LEASE_DEATH, 1, 0);
    step(&twice, SKUA__LEASE_GRANT, 2, 0);
    assert_int_equal(step(&twice, SKUA__LEASE_DEATH, 2, 0).action, SKUA__LEASE_END);
    assert_false(twice.poisoned);
}

static void
test_lease_hand_back_costs_no_attempt(void **state) {
    (void)state;
    skua__lease lease = lease_of(false, 1);
    for (uint64_t epoch = 1; epoch < SKUA__LEASE_MAX_HAND_BACKS; epoch++) {
        assert_int_equal(step(&lease, SKUA__LEASE_GRANT, epoch, 0).action, SKUA__LEASE_START);
        assert_int_equal(lease.attempts, epoch);
        assert_int_equal(step(&lease, SKUA__LEASE_HAND_BACK, epoch, 0).action, SKUA__LEASE_REQUEUE);
    }
    step(&lease, SKUA__LEASE_GRANT, 1000, 0);
    assert_int_equal(step(&lease, SKUA__LEASE_HAND_BACK, 1000, 0).action, SKUA__LEASE_END);
    assert_int_equal(lease.outcome, SKUA__LEASE_REFUSED);
}

/* I8: an expired task never starts; a held one is told. */
static void
test_lease_deadline_and_expiry(void **state) {
    (void)state;
    skua__lease late = lease_of(true, 5);
    late.deadline_ns = 100;
    assert_int_equal(step(&late, SKUA__LEASE_GRANT, 1, 100).action, SKUA__LEASE_END);
    assert_int_equal(late.outcome, SKUA__LEASE_TIMEOUT);
    assert_int_equal(late.attempts, 0);

    /* Whether the timer or the late result is seen first makes no difference. */
    skua__lease overran = lease_of(true, 5);
    overran.deadline_ns = 100;
    step(&overran, SKUA__LEASE_GRANT, 1, 0);
    assert_int_equal(step(&overran, SKUA__LEASE_RESULT, 1, 100).action, SKUA__LEASE_END);
    assert_int_equal(overran.outcome, SKUA__LEASE_TIMEOUT);

    skua__lease held = lease_of(true, 5);
    held.deadline_ns = 100;
    step(&held, SKUA__LEASE_GRANT, 1, 0);
    assert_true(skua__lease_next_ns(&held) == 100);
    assert_int_equal(step(&held, SKUA__LEASE_TICK, 0, 99).action, SKUA__LEASE_NOTHING);
    skua__lease_step_result result = step(&held, SKUA__LEASE_TICK, 0, 100);
    assert_int_equal(result.action, SKUA__LEASE_END);
    assert_true(result.tell_holder);

    skua__lease silent = lease_of(true, 5);
    step(&silent, SKUA__LEASE_GRANT, 1, 0);
    step(&silent, SKUA__LEASE_RENEW, 1, 500);
    assert_int_equal(step(&silent, SKUA__LEASE_TICK, 0, 1499).action, SKUA__LEASE_NOTHING);
    result = step(&silent, SKUA__LEASE_TICK, 0, 1500);
    assert_int_equal(result.action, SKUA__LEASE_REQUEUE);
    assert_true(result.tell_holder);
    assert_int_equal(step(&silent, SKUA__LEASE_RENEW, 1, 1501).action, SKUA__LEASE_DROP);
}

static void
test_lease_cancel_and_orphan(void **state) {
    (void)state;
    skua__lease waits = lease_of(true, 5);
    assert_false(step(&waits, SKUA__LEASE_CANCEL, 0, 0).tell_holder);
    assert_int_equal(waits.outcome, SKUA__LEASE_CANCELLED);
    skua__lease held = lease_of(true, 5);
    step(&held, SKUA__LEASE_GRANT, 1, 0);
    assert_int_equal(step(&held, SKUA__LEASE_ORPHAN, 0, 0).action, SKUA__LEASE_NOTHING);
    assert_true(step(&held, SKUA__LEASE_CANCEL, 0, 0).tell_holder);
    skua__lease never = lease_of(true, 5);
    step(&never, SKUA__LEASE_ORPHAN, 0, 0);
    assert_int_equal(never.outcome, SKUA__LEASE_REFUSED);
    skua__lease bereft = lease_of(true, 5);
    step(&bereft, SKUA__LEASE_GRANT, 1, 0);
    step(&bereft, SKUA__LEASE_DEATH, 1, 0);
    step(&bereft, SKUA__LEASE_ORPHAN, 0, 0);
    assert_int_equal(bereft.outcome, SKUA__LEASE_LOST);
}

/* Any events in any order: one end at most, attempts and epochs only rise, and only the current epoch counts. */
static void
test_lease_properties_hold_under_random_events(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(20260101)};
    for (int round = 0; round < 20000; round++) {
        skua__lease lease = lease_of(skua__rand_below(&rand, 2), 1 + skua__rand_below(&rand, 5));
        lease.deadline_ns = skua__rand_below(&rand, 2) ? 3000 : SKUA_NEVER_NS;
        uint64_t epochs = 0;
        int ends = 0;
        for (int64_t now_ns = 0; now_ns < 4000; now_ns += skua__rand_below(&rand, 200)) {
            skua__lease before = lease;
            skua__lease_event event = {.kind = skua__rand_below(&rand, SKUA__LEASE_TICK + 1)};
            event.epoch = epochs ? 1 + skua__rand_below(&rand, (uint32_t)epochs) : 0;
            event.outcome = (uint8_t)(1 + skua__rand_below(&rand, 7));
            event.expires_ns = now_ns + 500;
            if (event.kind == SKUA__LEASE_GRANT) {
                if (before.state != SKUA__LEASE_WAITING) {
                    continue; /* the pool never does that: it is asserted */
                }
                event.epoch = ++epochs;
            }
            skua__lease_step_result result = skua__lease_step(&lease, &event, now_ns);
            ends += result.action == SKUA__LEASE_END;
            assert_true(ends <= 1);
            assert_int_equal(lease.state == SKUA__LEASE_ENDED, ends);
            assert_int_equal(lease.outcome != SKUA__LEASE_NONE, ends);
            assert_true(lease.epoch >= before.epoch && lease.attempts >= before.attempts);
            assert_int_equal(result.action == SKUA__LEASE_START, lease.attempts > before.attempts);
            if (result.action == SKUA__LEASE_START) {
                assert_true(now_ns < lease.deadline_ns);
                assert_true(lease.attempts - lease.hand_backs <= lease.max_attempts);
                assert_true(lease.idempotent || lease.deaths == 0);
            }
            if (event.kind == SKUA__LEASE_RESULT && result.action == SKUA__LEASE_END) {
                assert_true(before.state == SKUA__LEASE_HELD && event.epoch == before.epoch);
            }
            if (before.state == SKUA__LEASE_ENDED) {
                assert_memory_equal(&before, &lease, sizeof lease);
            }
        }
    }
}

/* ---- A fleet in miniature: nodes that die, results that linger, one submitter ---- */

enum { NODES = 4, TASKS = 200, LETTERS = 4096 };

struct letter {
    int64_t at_ns;
    uint32_t task;
    uint64_t epoch;
    uint8_t node;
    uint8_t kind; /* skua__lease_event_kind */
};

struct fleet {
    skua__rand rand;
    skua__lease tasks[TASKS];
    uint8_t holder[TASKS];
    uint32_t runs[TASKS], ends[TASKS];
    uint32_t waiting[TASKS], waiting_count;
    int64_t dead_until_ns[NODES];
    struct letter letters[LETTERS];
    size_t letter_count;
    uint64_t epoch;
    uint32_t ended, fenced;
};

static void
fleet_post(struct fleet *fleet, struct letter letter) {
    assert_true(fleet->letter_count < LETTERS);
    fleet->letters[fleet->letter_count++] = letter;
}

static void
fleet_apply(struct fleet *fleet, uint32_t task, skua__lease_event event, int64_t now_ns) {
    switch (skua__lease_step(&fleet->tasks[task], &event, now_ns).action) {
    case SKUA__LEASE_END:
        fleet->ends[task]++;
        fleet->ended++;
        break;
    case SKUA__LEASE_REQUEUE:
        fleet->waiting[fleet->waiting_count++] = task;
        break;
    case SKUA__LEASE_DROP:
        fleet->fenced++;
        break;
    default:
        break;
    }
}

/* Grants one waiting task to a living node. A node that dies before the run is over says nothing, or says it late. */
static void
fleet_grant(struct fleet *fleet, int64_t now_ns) {
    uint8_t node = (uint8_t)skua__rand_below(&fleet->rand, NODES);
    if (!fleet->waiting_count || now_ns < fleet->dead_until_ns[node]) {
        return;
    }
    uint32_t task = fleet->waiting[--fleet->waiting_count];
    skua__lease_event event = {
        .kind = SKUA__LEASE_GRANT, .epoch = ++fleet->epoch, .expires_ns = now_ns + 5000};
    if (skua__lease_step(&fleet->tasks[task], &event, now_ns).action != SKUA__LEASE_START) {
        fleet->ends[task]++;
        fleet->ended++;
        return;
    }
    fleet->holder[task] = node;
    fleet->runs[task]++;
    int64_t done_ns = now_ns + 1 + skua__rand_below(&fleet->rand, 3000);
    uint8_t kind = skua__rand_below(&fleet->rand, 20) ? SKUA__LEASE_RESULT : SKUA__LEASE_HAND_BACK;
    fleet->runs[task] -= kind == SKUA__LEASE_HAND_BACK;
    fleet_post(fleet, (struct letter){done_ns, task, event.epoch, node, kind});
}

/* A node dies: what it held is given up; half of its letters are on their way all the same, and come late. */
static void
fleet_kill(struct fleet *fleet, uint8_t node, int64_t now_ns) {
    fleet->dead_until_ns[node] = now_ns + 1000;
    for (size_t i = 0; i < fleet->letter_count;) {
        struct letter *letter = &fleet->letters[i];
        if (letter->node == node && skua__rand_below(&fleet->rand, 2)) {
            *letter = fleet->letters[--fleet->letter_count];
            continue;
        }
        letter->at_ns += letter->node == node ? 2000 : 0;
        i++;
    }
    for (uint32_t task = 0; task < TASKS; task++) {
        if (fleet->tasks[task].state == SKUA__LEASE_HELD && fleet->holder[task] == node) {
            fleet_apply(
                fleet, task,
                (skua__lease_event){.kind = SKUA__LEASE_DEATH, .epoch = fleet->tasks[task].epoch},
                now_ns);
        }
    }
}

static void
fleet_run(struct fleet *fleet) {
    for (int64_t now_ns = 0; fleet->ended < TASKS; now_ns += 10) {
        assert_true(now_ns < 10000000);
        fleet_grant(fleet, now_ns);
        if (skua__rand_below(&fleet->rand, 300) == 0) {
            fleet_kill(fleet, (uint8_t)skua__rand_below(&fleet->rand, NODES), now_ns);
        }
        for (size_t i = 0; i < fleet->letter_count;) {
            struct letter letter = fleet->letters[i];
            if (letter.at_ns > now_ns) {
                i++;
                continue;
            }
            fleet->letters[i] = fleet->letters[--fleet->letter_count];
            fleet_apply(fleet, letter.task,
                        (skua__lease_event){
                            .kind = letter.kind, .epoch = letter.epoch, .outcome = SKUA__LEASE_OK},
                        now_ns);
        }
    }
}

/* I1 and I6 over a fleet: one end each, and what may not run twice started once. */
static void
test_lease_fleet_of_deaths_and_late_results(void **state) {
    (void)state;
    uint64_t seed = test_seed(1);
    uint32_t fenced = 0, lost = 0;
    for (uint64_t round = 0; round < 300; round++) {
        struct fleet *fleet = calloc(1, sizeof *fleet);
        assert_non_null(fleet);
        fleet->rand.state = seed + round;
        for (uint32_t task = 0; task < TASKS; task++) {
            fleet->tasks[task] = lease_of(task % 2, 5);
            fleet->waiting[fleet->waiting_count++] = task;
        }
        fleet_run(fleet);
        for (uint32_t task = 0; task < TASKS; task++) {
            assert_int_equal(fleet->ends[task], 1);
            assert_true(fleet->tasks[task].idempotent || fleet->runs[task] <= 1);
            lost += fleet->tasks[task].outcome == SKUA__LEASE_LOST;
        }
        fenced += fleet->fenced;
        free(fleet);
    }
    assert_true(fenced > 0 && lost > 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lease_result_is_delivered_once),
        cmocka_unit_test(test_lease_death_loses_or_requeues),
        cmocka_unit_test(test_lease_is_poisoned_and_bounded),
        cmocka_unit_test(test_lease_hand_back_costs_no_attempt),
        cmocka_unit_test(test_lease_deadline_and_expiry),
        cmocka_unit_test(test_lease_cancel_and_orphan),
        cmocka_unit_test(test_lease_properties_hold_under_random_events),
        cmocka_unit_test(test_lease_fleet_of_deaths_and_late_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
