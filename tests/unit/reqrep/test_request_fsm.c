// SPDX-License-Identifier: MPL-2.0
// The life of a request: each transition by hand, random schedules of events, and a small world of providers that die,
// refuse, stay silent and answer late.
#include "test.h"

#include <skua-int/clock.h>
#include <skua-int/rand.h>
#include <skua-int/request_fsm.h>
#include <string.h>

#define MS SKUA_NS_PER_MS

static const skua__request_limits three = {
    .attempts = 3, .attempt_ns = SKUA_NEVER_NS, .backoff_ns = 10 * MS};
static const skua__request_limits once = {
    .attempts = 1, .attempt_ns = 20 * MS, .backoff_ns = 10 * MS};
static const skua__request_limits quick = {
    .attempts = 3, .attempt_ns = 20 * MS, .backoff_ns = 10 * MS};

static skua__request_fsm
fresh(void) {
    skua__request_fsm request;
    skua__request_init(&request, 77, 1000 * MS, 0);
    return request;
}

static skua__request_fsm
handed(const skua__request_limits *limits, uint64_t provider) {
    skua__request_fsm request = fresh();
    assert_true(skua__request_may_ask(&request, provider, 0));
    assert_int_equal(skua__request_step(&request, limits, SKUA__REQUEST_HANDED, provider, 0),
                     SKUA__REQUEST_WAIT);
    assert_int_equal(request.state, SKUA__REQUEST_SENT);
    return request;
}

static void
test_request_reply_ends_it_once(void **state) {
    (void)state;
    skua__request_fsm request = handed(&three, 5);
    assert_true(skua__request_next_ns(&request, 0) == 1000 * MS);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_REPLY, 5, 7),
                     SKUA__REQUEST_END);
    assert_int_equal(request.end, SKUA__REQUEST_ENDED_REPLY);
    for (int event = SKUA__REQUEST_HANDED; event <= SKUA__REQUEST_CANCEL; event++) {
        assert_int_equal(
            skua__request_step(&request, &three, (skua__request_event)event, 5, 2000 * MS),
            SKUA__REQUEST_NOTHING);
    }
    assert_int_equal(request.end, SKUA__REQUEST_ENDED_REPLY);
    assert_true(skua__request_next_ns(&request, 0) == SKUA_NEVER_NS);
}

static void
test_request_without_provider_ends_at_its_deadline(void **state) {
    (void)state;
    skua__request_fsm request = fresh();
    assert_true(skua__request_next_ns(&request, 0) == 1000 * MS);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_TIME, 0, 1000 * MS - 1),
                     SKUA__REQUEST_FIND);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_TIME, 0, 1000 * MS),
                     SKUA__REQUEST_END);
    assert_int_equal(request.end, SKUA__REQUEST_ENDED_DEADLINE);
    assert_int_equal(request.attempts, 0);
}

static void
test_request_lost_goes_to_another_at_once_and_is_flagged(void **state) {
    (void)state;
    skua__request_fsm request = handed(&three, 1);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_LOST, 2, MS),
                     SKUA__REQUEST_NOTHING); /* not the one that has it */
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_LOST, 1, MS),
                     SKUA__REQUEST_FIND);
    assert_true(request.maybe_seen);
    assert_true(skua__request_may_ask(&request, 2, MS));
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_HANDED, 2, MS),
                     SKUA__REQUEST_WAIT);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_LOST, 2, MS),
                     SKUA__REQUEST_FIND);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_HANDED, 3, MS),
                     SKUA__REQUEST_WAIT);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_LOST, 3, MS),
                     SKUA__REQUEST_END);
    assert_int_equal(request.end, SKUA__REQUEST_ENDED_LOST);
    assert_int_equal(request.attempts, 3);
}

static void
test_request_unsent_costs_no_attempt(void **state) {
    (void)state;
    skua__request_fsm request = handed(&once, 1);
    for (uint64_t provider = 1; provider < 50; provider++) {
        assert_int_equal(skua__request_step(&request, &once, SKUA__REQUEST_UNSENT, provider, MS),
                         SKUA__REQUEST_FIND);
        assert_false(request.maybe_seen);
        assert_int_equal(
            skua__request_step(&request, &once, SKUA__REQUEST_HANDED, provider + 1, MS),
            SKUA__REQUEST_WAIT);
    }
    assert_int_equal(request.attempts, 1);
    assert_int_equal(skua__request_step(&request, &once, SKUA__REQUEST_LOST, 50, MS),
                     SKUA__REQUEST_END);
}

static void
test_request_refused_tries_another_then_backs_off(void **state) {
    (void)state;
    skua__request_fsm request = handed(&three, 1);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_REFUSED, 1, 0),
                     SKUA__REQUEST_FIND);
    assert_false(request.maybe_seen);
    assert_false(skua__request_may_ask(&request, 1, 0));
    assert_true(skua__request_may_ask(&request, 2, 0));
    /* The only one there is refused: it is asked again after the back-off. */
    skua__request_fsm alone = request;
    assert_int_equal(skua__request_step(&alone, &three, SKUA__REQUEST_NONE_ELSE, 0, 0),
                     SKUA__REQUEST_WAIT);
    int64_t next_ns = skua__request_next_ns(&alone, 0);
    assert_true(next_ns > 7 * MS && next_ns <= 10 * MS);
    assert_int_equal(skua__request_step(&alone, &three, SKUA__REQUEST_TIME, 0, next_ns - 1),
                     SKUA__REQUEST_WAIT);
    assert_int_equal(skua__request_step(&alone, &three, SKUA__REQUEST_TIME, 0, next_ns),
                     SKUA__REQUEST_FIND);
    assert_true(skua__request_may_ask(&alone, 1, next_ns));
    /* The second refusal makes it wait for everybody. */
    skua__request_step(&request, &three, SKUA__REQUEST_HANDED, 2, 0);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_REFUSED, 2, 0),
                     SKUA__REQUEST_WAIT);
    assert_false(skua__request_may_ask(&request, 3, 0));
    skua__request_step(&request, &three, SKUA__REQUEST_HANDED, 3, 50 * MS);
    assert_int_equal(skua__request_step(&request, &three, SKUA__REQUEST_REFUSED, 3, 50 * MS),
                     SKUA__REQUEST_END);
    assert_int_equal(request.end, SKUA__REQUEST_ENDED_REFUSED);
}

static void
test_request_silent_provider_is_given_up_but_may_still_answer(void **state) {
    (void)state;
    skua__request_fsm request = handed(&quick, 1);
    assert_true(skua__request_next_ns(&request, 0) == 20 * MS);
    assert_int_equal(skua__request_step(&request, &quick, SKUA__REQUEST_TIME, 0, 20 * MS),
                     SKUA__REQUEST_FIND);
    assert_true(request.maybe_seen);
    assert_false(skua__request_may_ask(&request, 1, 20 * MS));
    skua__request_fsm alone = handed(&quick, 1);
    assert_int_equal(skua__request_step(&alone, &quick, SKUA__REQUEST_TIME_ALONE, 0, 20 * MS),
                     SKUA__REQUEST_WAIT); /* to whom else? */
    assert_int_equal(alone.attempts, 1);
    assert_false(alone.maybe_seen);
    assert_true(skua__request_next_ns(&alone, 20 * MS) == 40 * MS);
    skua__request_fsm waiting = request;
    assert_int_equal(skua__request_step(&waiting, &quick, SKUA__REQUEST_LOST, 1, 21 * MS),
                     SKUA__REQUEST_NOTHING);
    assert_int_equal(skua__request_step(&waiting, &quick, SKUA__REQUEST_REPLY, 1, 21 * MS),
                     SKUA__REQUEST_END);
    skua__request_step(&request, &quick, SKUA__REQUEST_HANDED, 2, 20 * MS);
    assert_int_equal(skua__request_step(&request, &quick, SKUA__REQUEST_REFUSED, 1, 21 * MS),
                     SKUA__REQUEST_NOTHING); /* the first provider's refusal concerns nobody now */
    assert_int_equal(skua__request_step(&request, &quick, SKUA__REQUEST_ERROR, 1, 21 * MS),
                     SKUA__REQUEST_END);
    assert_int_equal(request.end, SKUA__REQUEST_ENDED_ERROR);
    /* The last attempt is not given up before the deadline. */
    skua__request_fsm only = handed(&once, 1);
    assert_true(skua__request_next_ns(&only, 0) == 1000 * MS);
}

static void
test_request_backoff_doubles_within_its_bound(void **state) {
    (void)state;
    int64_t most = 10 * MS * SKUA__REQUEST_BACKOFF_GROWTH;
    for (uint64_t id = 1; id < 50; id++) {
        int64_t expected = 10 * MS;
        for (uint32_t n = 1; n < 40; n++) {
            int64_t backoff = skua__request_backoff_ns(&three, id, n);
            assert_true(backoff <= expected && backoff >= expected - expected / 4);
            expected = expected * 2 > most ? most : expected * 2;
        }
    }
    assert_true(skua__request_backoff_ns(&three, 1, 1) != skua__request_backoff_ns(&three, 2, 1));
    skua__request_limits huge = {.attempts = 1, .backoff_ns = SKUA_NEVER_NS};
    assert_true(skua__request_backoff_ns(&huge, 1, 1000) > 0);
}

/* Any event, legal for the state, at any time: it ends exactly once, and within its limits. */
static void
one_random_schedule(skua__rand *rand) {
    skua__request_limits limits = {
        .attempts = 1 + skua__rand_below(rand, 4),
        .attempt_ns = skua__rand_below(rand, 2) ? SKUA_NEVER_NS
                                                : (1 + (int64_t)skua__rand_below(rand, 300)) * MS,
        .backoff_ns = (int64_t)skua__rand_below(rand, 50) * MS};
    int64_t now_ns = 0, deadline_ns = (int64_t)skua__rand_below(rand, 1000) * MS;
    skua__request_fsm request;
    skua__request_init(&request, 1 + skua__rand_below(rand, 1000), deadline_ns, 0);
    int ends = 0;
    for (int step = 0; step < 200; step++) {
        now_ns += skua__rand_below(rand, 3) ? (int64_t)skua__rand_below(rand, 30) * MS : 0;
        skua__request_fsm before = request;
        uint64_t provider = 1 + skua__rand_below(rand, 4);
        skua__request_event event =
            (skua__request_event)(1 + skua__rand_below(rand, SKUA__REQUEST_CANCEL));
        if (event == SKUA__REQUEST_HANDED && !skua__request_may_ask(&request, provider, now_ns)) {
            continue;
        }
        if (event == SKUA__REQUEST_NONE_ELSE && request.state != SKUA__REQUEST_WAITING) {
            continue;
        }
        if (event == SKUA__REQUEST_CANCEL && skua__rand_below(rand, 10)) {
            continue;
        }
        skua__request_action action =
            skua__request_step(&request, &limits, event, provider, now_ns);
        ends += action == SKUA__REQUEST_END;
        assert_true((action == SKUA__REQUEST_END) ==
                    (before.state != SKUA__REQUEST_ENDED && request.state == SKUA__REQUEST_ENDED));
        assert_true(request.attempts <= limits.attempts);
        assert_true((request.end != SKUA__REQUEST_ENDED_NOT) ==
                    (request.state == SKUA__REQUEST_ENDED));
        assert_false(before.maybe_seen && !request.maybe_seen);
        assert_true((request.provider != 0) == (request.state == SKUA__REQUEST_SENT) ||
                    request.state == SKUA__REQUEST_ENDED);
        if (action == SKUA__REQUEST_WAIT) {
            int64_t next_ns = skua__request_next_ns(&request, now_ns);
            assert_true(next_ns > now_ns && next_ns <= deadline_ns);
        }
        if (now_ns >= deadline_ns && event != SKUA__REQUEST_NONE_ELSE) {
            assert_int_equal(request.state, SKUA__REQUEST_ENDED);
        }
    }
    skua__request_action last =
        skua__request_step(&request, &limits, SKUA__REQUEST_TIME, 0, deadline_ns);
    ends += last == SKUA__REQUEST_END;
    assert_int_equal(ends, 1);
}

static void
test_request_random_schedules_end_exactly_once(void **state) {
    (void)state;
    skua__rand rand = {test_seed(1)};
    for (int round = 0; round < 20000; round++) {
        one_random_schedule(&rand);
    }
}

/* ---- A world of providers ---- */

enum { PROVIDERS = 4, REQUESTS = 30, PLANNED = 3 };

typedef struct planned {
    int64_t at_ns; /* SKUA_NEVER_NS: nothing is planned */
    skua__request_event event;
    uint64_t provider;
} planned;

typedef struct world {
    skua__rand rand;
    skua__request_limits limits;
    skua__request_fsm requests[REQUESTS];
    planned plans[REQUESTS][PLANNED]; /* what the providers asked so far will do */
    int ends[REQUESTS];
} world;

/* The last provider is sound; the others die, refuse, are silent, or answer after a while. */
static planned
behave(world *self, uint64_t provider, int64_t now_ns) {
    static const skua__request_event doings[] = {SKUA__REQUEST_REPLY, SKUA__REQUEST_LOST,
                                                 SKUA__REQUEST_REFUSED, SKUA__REQUEST_UNSENT};
    planned plan = {.at_ns = now_ns + (int64_t)skua__rand_below(&self->rand, 5) * MS,
                    .event = SKUA__REQUEST_REPLY,
                    .provider = provider};
    if (provider < PROVIDERS) {
        uint32_t kind = skua__rand_below(&self->rand, 5);
        plan.at_ns =
            kind == 4 ? SKUA_NEVER_NS : now_ns + (int64_t)skua__rand_below(&self->rand, 60) * MS;
        plan.event = doings[kind % 4];
    }
    return plan;
}

static void
find_provider(world *self, int i, int64_t now_ns) {
    skua__request_fsm *request = &self->requests[i];
    uint64_t first = skua__rand_below(&self->rand, PROVIDERS);
    for (uint64_t n = 0; n < PROVIDERS; n++) {
        uint64_t provider = 1 + (first + n) % PROVIDERS;
        if (skua__request_may_ask(request, provider, now_ns)) {
            skua__request_step(request, &self->limits, SKUA__REQUEST_HANDED, provider, now_ns);
            for (int slot = 0; slot < PLANNED; slot++) {
                if (self->plans[i][slot].at_ns == SKUA_NEVER_NS) {
                    self->plans[i][slot] = behave(self, provider, now_ns);
                    break;
                }
            }
            return;
        }
    }
    fail_msg("four providers, and none may be asked");
}

static void
happen(world *self, int i, skua__request_event event, uint64_t provider, int64_t now_ns) {
    skua__request_action action =
        skua__request_step(&self->requests[i], &self->limits, event, provider, now_ns);
    if (action == SKUA__REQUEST_END) {
        self->ends[i]++;
    } else if (action == SKUA__REQUEST_FIND) {
        find_provider(self, i, now_ns);
    }
}

/* The moment of the next thing to happen to any request, after now. */
static int64_t
next_moment(const world *self, int64_t now_ns) {
    int64_t next_ns = SKUA_NEVER_NS;
    for (int i = 0; i < REQUESTS; i++) {
        int64_t own_ns = skua__request_next_ns(&self->requests[i], now_ns);
        next_ns = own_ns < next_ns ? own_ns : next_ns;
        for (int slot = 0; slot < PLANNED; slot++) {
            int64_t at_ns = self->plans[i][slot].at_ns;
            next_ns = at_ns < next_ns ? at_ns : next_ns;
        }
    }
    return next_ns;
}

static void
run_moment(world *self, int64_t now_ns) {
    for (int i = 0; i < REQUESTS; i++) {
        for (int slot = 0; slot < PLANNED; slot++) {
            planned plan = self->plans[i][slot];
            if (plan.at_ns <= now_ns) {
                self->plans[i][slot].at_ns = SKUA_NEVER_NS;
                happen(self, i, plan.event, plan.provider, now_ns);
            }
        }
        if (skua__request_next_ns(&self->requests[i], now_ns - 1) <= now_ns) {
            happen(self, i, SKUA__REQUEST_TIME, 0, now_ns);
        }
    }
}

static void
one_world(uint64_t seed, skua__request_limits limits, int counts[7]) {
    static world self;
    memset(&self, 0, sizeof self);
    self.rand.state = seed;
    self.limits = limits;
    for (int i = 0; i < REQUESTS; i++) {
        for (int slot = 0; slot < PLANNED; slot++) {
            self.plans[i][slot].at_ns = SKUA_NEVER_NS;
        }
        skua__request_init(&self.requests[i], (uint64_t)i + 1,
                           (int64_t)(100 + skua__rand_below(&self.rand, 900)) * MS, 0);
        find_provider(&self, i, 0);
    }
    int64_t now_ns = 0;
    for (int moments = 0; moments < 10000; moments++) {
        int64_t next_ns = next_moment(&self, now_ns);
        if (next_ns == SKUA_NEVER_NS) {
            break;
        }
        now_ns = next_ns > now_ns ? next_ns : now_ns;
        run_moment(&self, now_ns);
    }
    for (int i = 0; i < REQUESTS; i++) {
        assert_int_equal(self.ends[i], 1);
        counts[self.requests[i].end]++;
    }
}

static void
test_request_world_of_bad_providers_ends_all(void **state) {
    (void)state;
    uint64_t seed = test_seed(2);
    int patient[7] = {0}, single[7] = {0};
    skua__request_limits many = {.attempts = 50, .attempt_ns = 20 * MS, .backoff_ns = MS};
    for (uint64_t round = 0; round < 300; round++) {
        one_world(seed + round, many, patient);
        one_world(seed + round, once, single);
    }
    /* With attempts enough and one sound provider nearly everything is answered; with a single attempt much is not. */
    assert_true(patient[SKUA__REQUEST_ENDED_REPLY] > 300 * REQUESTS * 95 / 100);
    assert_int_equal(patient[SKUA__REQUEST_ENDED_LOST] + patient[SKUA__REQUEST_ENDED_REFUSED], 0);
    assert_true(single[SKUA__REQUEST_ENDED_LOST] > 300 &&
                single[SKUA__REQUEST_ENDED_REFUSED] > 300 &&
                single[SKUA__REQUEST_ENDED_DEADLINE] > 300);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_reply_ends_it_once),
        cmocka_unit_test(test_request_without_provider_ends_at_its_deadline),
        cmocka_unit_test(test_request_lost_goes_to_another_at_once_and_is_flagged),
        cmocka_unit_test(test_request_unsent_costs_no_attempt),
        cmocka_unit_test(test_request_refused_tries_another_then_backs_off),
        cmocka_unit_test(test_request_silent_provider_is_given_up_but_may_still_answer),
        cmocka_unit_test(test_request_backoff_doubles_within_its_bound),
        cmocka_unit_test(test_request_random_schedules_end_exactly_once),
        cmocka_unit_test(test_request_world_of_bad_providers_ends_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
