// SPDX-License-Identifier: MPL-2.0
// The flight recorder: a recording of random events replays without a divergence, and a changed one does not.
#include "fixture.h"

#include "failing_allocator.h"
#include <skua-int/clock.h>
#include <skua-int/flight.h>
#include <skua-int/rand.h>

enum {
    PEERS = 4,
    STEPS = 3000,
    LENGTH = SKUA__FLIGHT_HEADER_BYTES + (PEERS + STEPS + 1) * SKUA__FLIGHT_ENTRY_BYTES
};

static uint8_t recording[LENGTH];

/* Feeds random events to PEERS machines and records them, as lib/net does. */
static void
record(uint64_t seed) {
    skua__rand rand = {.state = seed};
    skua__flight_header header = {.self = uuid_make(2),
                                  .incarnation = 7,
                                  .heartbeat_ns = SKUA_NS_PER_S,
                                  .seed = 99,
                                  .wall_s = 12,
                                  .lost = 3};
    skua__peer_config config = {
        .self = header.self, .heartbeat_ns = header.heartbeat_ns, .seed = header.seed};
    skua__flight_header_encode(&header, recording);
    uint8_t *at = recording + SKUA__FLIGHT_HEADER_BYTES;
    skua__peer_fsm peers[PEERS];
    int64_t now_ns = 5;
    skua__flight_entry entry = {.kind = SKUA__FLIGHT_NOTE, .now_ns = 1, .note = "begin"};
    skua__flight_entry_encode(&entry, at);
    at += SKUA__FLIGHT_ENTRY_BYTES;
    for (int i = 0; i < PEERS; i++, at += SKUA__FLIGHT_ENTRY_BYTES) {
        /* Static, so that none is forgotten in the middle. */
        entry = (skua__flight_entry){.kind = SKUA__FLIGHT_PEER,
                                     .now_ns = now_ns,
                                     .uuid = uuid_make((uint8_t)(i < 2 ? i : i + 1)),
                                     .is_static = true};
        skua__peer_init(&peers[i], &config, &entry.uuid, true, now_ns);
        skua__flight_entry_encode(&entry, at);
    }
    for (int i = 0; i < STEPS; i++, at += SKUA__FLIGHT_ENTRY_BYTES) {
        skua__peer_fsm *fsm = &peers[skua__rand_below(&rand, PEERS)];
        now_ns += skua__rand_below(&rand, 300) * SKUA_NS_PER_MS;
        skua__peer_event_kind kind =
            (skua__peer_event_kind)(1 + skua__rand_below(&rand, SKUA__PEER_TICK));
        if (kind == SKUA__PEER_CUT) {
            kind = SKUA__PEER_TICK;
        }
        entry = (skua__flight_entry){.kind = SKUA__FLIGHT_STEP,
                                     .now_ns = now_ns,
                                     .uuid = fsm->uuid,
                                     .event = {.kind = kind,
                                               .outgoing = skua__rand_below(&rand, 2) == 1,
                                               .link = 1 + skua__rand_below(&rand, 3),
                                               .incarnation = 1 + skua__rand_below(&rand, 3)}};
        skua__peer_actions actions;
        skua__peer_step(fsm, &entry.event, now_ns, &actions);
        entry.after = fsm->state;
        entry.actions = skua__flight_digest(&actions);
        skua__flight_entry_encode(&entry, at);
    }
    assert_ptr_equal(at, recording + LENGTH);
}

static void
count_step(void *arg, const skua__flight_entry *entry, const skua__peer_fsm *fsm,
           const skua__peer_actions *actions) {
    assert_true(skua__uuid_equal(&entry->uuid, &fsm->uuid));
    assert_true(actions->count <= SKUA__PEER_ACTIONS_MAX);
    ++*(int *)arg;
}

static void
test_flight_replay_does_the_same_again(void **state) {
    (void)state;
    uint64_t seed = test_seed(4);
    for (uint64_t i = 0; i < 20; i++) {
        record(seed + i);
        skua__flight_result result;
        int steps = 0;
        assert_int_equal(skua__flight_replay(recording, LENGTH, NULL, count_step, &steps, &result),
                         0);
        assert_int_equal(steps, STEPS);
        assert_int_equal(result.steps, STEPS);
        assert_int_equal(result.peers, PEERS);
        assert_int_equal(result.entries, PEERS + STEPS + 1);
        assert_int_equal(result.divergences, 0);
        assert_int_equal(result.skipped, 0);
    }
}

static void
test_flight_divergence_is_told(void **state) {
    (void)state;
    record(4);
    const size_t index = PEERS + 1 + 100;
    uint8_t *at = recording + SKUA__FLIGHT_HEADER_BYTES + index * SKUA__FLIGHT_ENTRY_BYTES;
    skua__flight_entry entry;
    assert_true(skua__flight_entry_decode(at, &entry));
    entry.actions++;
    skua__flight_entry_encode(&entry, at);
    skua__flight_result result;
    assert_int_equal(skua__flight_replay(recording, LENGTH, NULL, NULL, NULL, &result), 0);
    assert_int_equal(result.divergences, 1);
    assert_int_equal(result.first.entry, index);
    assert_int_equal(result.first.recorded, result.first.replayed);
}

static void
test_flight_replay_skips_peers_without_a_beginning(void **state) {
    (void)state;
    record(4);
    /* The ring has dropped the note and the first peer's beginning. */
    size_t dropped = 2 * SKUA__FLIGHT_ENTRY_BYTES;
    memmove(recording + dropped, recording, SKUA__FLIGHT_HEADER_BYTES);
    skua__flight_result result;
    assert_int_equal(
        skua__flight_replay(recording + dropped, LENGTH - dropped, NULL, NULL, NULL, &result), 0);
    assert_in_range(result.skipped, 1, STEPS - 1);
    assert_int_equal(result.skipped + result.steps, STEPS);
    assert_int_equal(result.divergences, 0);
}

static void
test_flight_header_and_entries_round_trip(void **state) {
    (void)state;
    record(4);
    skua__flight_header header;
    assert_true(skua__flight_header_decode(recording, LENGTH, &header));
    assert_int_equal(header.incarnation, 7);
    assert_int_equal(header.heartbeat_ns, SKUA_NS_PER_S);
    assert_int_equal(header.lost, 3);
    assert_int_equal(header.wall_s, 12);
    uint8_t again[SKUA__FLIGHT_ENTRY_BYTES];
    for (size_t at = SKUA__FLIGHT_HEADER_BYTES; at < LENGTH; at += sizeof again) {
        skua__flight_entry entry;
        assert_true(skua__flight_entry_decode(recording + at, &entry));
        skua__flight_entry_encode(&entry, again);
        assert_memory_equal(again, recording + at, sizeof again);
    }
}

static void
test_flight_refuses_what_is_no_recording(void **state) {
    (void)state;
    record(4);
    skua__flight_result result = {.steps = 99};
    for (size_t cut = 0; cut < SKUA__FLIGHT_HEADER_BYTES; cut++) {
        assert_int_equal(skua__flight_replay(recording, cut, NULL, NULL, NULL, &result),
                         SKUA_E_MALFORMED);
    }
    assert_int_equal(skua__flight_replay(recording, LENGTH - 1, NULL, NULL, NULL, &result),
                     SKUA_E_MALFORMED);
    for (size_t at = 0; at < 16; at++) {
        recording[at] ^= 1;
        assert_int_equal(skua__flight_replay(recording, LENGTH, NULL, NULL, NULL, &result),
                         SKUA_E_MALFORMED);
        recording[at] ^= 1;
    }
    recording[SKUA__FLIGHT_HEADER_BYTES + 8] = 77; /* a kind of entry that there is not */
    assert_int_equal(skua__flight_replay(recording, LENGTH, NULL, NULL, NULL, &result),
                     SKUA_E_MALFORMED);
    assert_int_equal(result.steps, 99);
}

static void
test_flight_replay_without_memory_leaves_nothing_behind(void **state) {
    (void)state;
    record(4);
    skua__flight_result result;
    int failures = 0;
    for (long n = 1;; n++, failures++) {
        failing_allocator hook;
        failing_allocator_init(&hook, n);
        int status = skua__flight_replay(recording, LENGTH, &hook.hook, NULL, NULL, &result);
        assert_int_equal(atomic_load(&hook.alive), 0);
        if (status == 0) {
            break;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
    assert_in_range(failures, PEERS, 20);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flight_replay_does_the_same_again),
        cmocka_unit_test(test_flight_divergence_is_told),
        cmocka_unit_test(test_flight_replay_skips_peers_without_a_beginning),
        cmocka_unit_test(test_flight_header_and_entries_round_trip),
        cmocka_unit_test(test_flight_refuses_what_is_no_recording),
        cmocka_unit_test(test_flight_replay_without_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
