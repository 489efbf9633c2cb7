// SPDX-License-Identifier: MPL-2.0
// The table of requests: ids that are never met again, the heap against a plain search, limits and failing memory.
#include "failing_allocator.h"
#include "test.h"

#include "ask_table.h"

#include <skua-int/clock.h>
#include <skua-int/rand.h>

static void
test_ask_table_ids_are_never_met_again(void **state) {
    (void)state;
    skua__ask_table table;
    skua__ask_table_init(&table, NULL, 4);
    uint64_t seen[100] = {0};
    for (int i = 0; i < 100; i++) {
        skua__ask *ask = NULL;
        assert_int_equal(skua__ask_table_add(&table, &ask), SKUA_OK);
        assert_true(ask->fsm.id != 0);
        assert_ptr_equal(skua__ask_table_find(&table, ask->fsm.id), ask);
        for (int k = 0; k < i; k++) {
            assert_true(seen[k] != ask->fsm.id);
            assert_null(skua__ask_table_find(&table, seen[k]));
        }
        seen[i] = ask->fsm.id;
        skua__ask_table_remove(&table, ask);
    }
    assert_null(skua__ask_table_find(&table, 0));
    assert_null(skua__ask_table_find(&table, UINT64_MAX));
    skua__ask_table_fini(&table);
}

static void
test_ask_table_stops_at_its_limit(void **state) {
    (void)state;
    enum { LIMIT = 21 }; /* not a power of two: the last growth is cut */
    skua__ask_table table;
    skua__ask_table_init(&table, NULL, LIMIT);
    skua__ask *asks[LIMIT], *more = NULL;
    for (int i = 0; i < LIMIT; i++) {
        assert_int_equal(skua__ask_table_add(&table, &asks[i]), SKUA_OK);
    }
    assert_int_equal(skua__ask_table_add(&table, &more), SKUA_E_AGAIN);
    assert_null(more);
    skua__ask_table_remove(&table, asks[7]);
    assert_int_equal(skua__ask_table_add(&table, &asks[7]), SKUA_OK);
    uint32_t position = 0;
    int count = 0;
    skua__ask *ask;
    while ((ask = skua__ask_table_next(&table, &position))) {
        skua__ask_table_remove(&table, ask);
        count++;
    }
    assert_int_equal(count, LIMIT);
    skua__ask_table_fini(&table);
}

static void
test_ask_table_first_is_what_is_due_first(void **state) {
    (void)state;
    enum { COUNT = 60 };
    skua__rand rand = {test_seed(7)};
    skua__ask_table table;
    skua__ask_table_init(&table, NULL, COUNT);
    skua__ask *asks[COUNT] = {0};
    for (int step = 0; step < 20000; step++) {
        uint32_t i = skua__rand_below(&rand, COUNT);
        if (!asks[i]) {
            assert_int_equal(skua__ask_table_add(&table, &asks[i]), SKUA_OK);
        } else if (skua__rand_below(&rand, 4) == 0) {
            skua__ask_table_remove(&table, asks[i]);
            asks[i] = NULL;
        } else {
            int64_t due_ns =
                skua__rand_below(&rand, 5) ? (int64_t)skua__rand_below(&rand, 50) : SKUA_NEVER_NS;
            skua__ask_table_due(&table, asks[i], due_ns);
        }
        int64_t least_ns = SKUA_NEVER_NS;
        for (int k = 0; k < COUNT; k++) {
            if (asks[k] && asks[k]->due_ns < least_ns) {
                least_ns = asks[k]->due_ns;
            }
        }
        skua__ask *first = skua__ask_table_first(&table);
        assert_true((first ? first->due_ns : SKUA_NEVER_NS) == least_ns);
    }
    for (int i = 0; i < COUNT; i++) {
        if (asks[i]) {
            skua__ask_table_remove(&table, asks[i]);
        }
    }
    assert_null(skua__ask_table_first(&table));
    skua__ask_table_fini(&table);
}

static void
test_ask_table_survives_every_allocation_that_fails(void **state) {
    (void)state;
    enum { COUNT = 40 };
    failing_allocator memory;
    for (long n = 1;; n++) {
        failing_allocator_init(&memory, n);
        skua__ask_table table;
        skua__ask_table_init(&table, &memory.hook, COUNT);
        int added = 0;
        skua__ask *ask = NULL;
        skua_status status = SKUA_OK;
        while (added < COUNT && status == SKUA_OK) {
            status = skua__ask_table_add(&table, &ask);
            added += status == SKUA_OK;
        }
        uint32_t position = 0;
        while ((ask = skua__ask_table_next(&table, &position))) {
            skua__ask_table_remove(&table, ask);
        }
        skua__ask_table_fini(&table);
        assert_int_equal(memory.alive, 0);
        if (status == SKUA_OK) {
            assert_true(n > COUNT);
            return;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ask_table_ids_are_never_met_again),
        cmocka_unit_test(test_ask_table_stops_at_its_limit),
        cmocka_unit_test(test_ask_table_first_is_what_is_due_first),
        cmocka_unit_test(test_ask_table_survives_every_allocation_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
