// SPDX-License-Identifier: MPL-2.0
// Records: tables against their bounds, round trips, what newer versions say, and no memory at each allocation.
#include "fixture.h"

#include "failing_allocator.h"
#include <skua-int/buf.h>
#include <skua-int/rand.h>
#include <skua-int/record.h>

static skua_status
add(skua__record *record, skua__service_kind kind, const char *name, uint16_t port) {
    skua__service service = {.kind = kind, .port = port, .version = 3};
    snprintf(service.name, sizeof service.name, "%s", name);
    return skua__record_add_service(record, &service);
}

/* A record with something in every member, or a status. *ret is always to be ended. */
static skua_status
fill(skua__record *ret, const skua_allocator *hook) {
    skua__record_init(ret, hook);
    ret->version = 5;
    snprintf(ret->name, sizeof ret->name, "node-1");
    ret->cores = 64;
    ret->numa = 2;
    ret->devices = 1;
    ret->memory_bytes = UINT64_C(1) << 40;
    ret->queue = 17;
    ret->load_permille = 999;
    ret->protocol_min = 1;
    ret->protocol_max = 2;
    skua_status status = 0;
    for (uint16_t i = 0; i < 6 && !status; i++) {
        status = add(ret, i % 2 ? SKUA__SERVICE_PUB : SKUA__SERVICE_REP, i < 3 ? "hash" : "blur",
                     (uint16_t)(1000 - i));
    }
    for (int i = 0; i < 6 && !status; i++) {
        char key[8];
        snprintf(key, sizeof key, "key%d", 9 - i);
        status = skua__record_set_capability(ret, key, "value", (size_t)i);
    }
    return status;
}

static void
test_record_round_trip(void **state) {
    (void)state;
    skua__record record, back;
    assert_int_equal(fill(&record, NULL), 0);
    uint8_t bytes[4096];
    size_t size = skua__record_encode(&record, bytes, sizeof bytes);
    assert_int_equal(size, skua__record_size(&record));
    assert_int_equal(skua__record_decode(bytes, size, NULL, &back), SKUA__RECORD_OK);
    assert_true(skua__record_equal(&record, &back));
    assert_int_equal(back.cores, 64);
    assert_int_equal(back.memory_bytes, UINT64_C(1) << 40);
    assert_int_equal(back.protocol_max, 2);
    for (size_t room = 0; room < size; room++) {
        assert_int_equal(skua__record_encode(&record, bytes, room), 0);
    }
    back.queue++;
    assert_false(skua__record_equal(&record, &back));
    skua__record_fini(&back);
    skua__record_fini(&record);
}

static void
test_record_cut_anywhere_is_refused_or_a_shorter_record(void **state) {
    (void)state;
    skua__record record;
    assert_int_equal(fill(&record, NULL), 0);
    uint8_t bytes[4096];
    size_t size = skua__record_encode(&record, bytes, sizeof bytes), whole = 0;
    for (size_t cut = 0; cut < size; cut++) {
        skua__record back;
        skua__record_result result = skua__record_decode(bytes, cut, NULL, &back);
        if (result == SKUA__RECORD_OK) {
            whole++; /* it was cut between two TLVs */
            assert_false(skua__record_equal(&record, &back));
            skua__record_fini(&back);
        } else {
            assert_int_equal(result, SKUA__RECORD_MALFORMED);
        }
    }
    assert_int_equal(whole, 18);
    skua__record_fini(&record);
}

static void
test_record_services_are_sorted_found_and_removed(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(2)};
    skua__record record;
    skua__record_init(&record, NULL);
    bool there[3][40] = {{false}};
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        uint32_t n = skua__rand_below(&rand, 3), p = skua__rand_below(&rand, 40);
        char name[2] = {(char)('a' + (char)n), 0};
        if (there[n][p]) {
            assert_true(
                skua__record_remove_service(&record, SKUA__SERVICE_PUB, name, (uint16_t)(p + 1)));
            count--;
        } else {
            assert_false(
                skua__record_remove_service(&record, SKUA__SERVICE_PUB, name, (uint16_t)(p + 1)));
            assert_int_equal(add(&record, SKUA__SERVICE_PUB, name, (uint16_t)(p + 1)), 0);
            count++;
        }
        there[n][p] = !there[n][p];
        assert_int_equal(record.service_count, count);
    }
    for (size_t i = 1; i < record.service_count; i++) {
        int order = strcmp(record.services[i - 1].name, record.services[i].name);
        assert_true(order < 0 ||
                    (order == 0 && record.services[i - 1].port < record.services[i].port));
    }
    assert_null(skua__record_find_service(&record, SKUA__SERVICE_REP, "a"));
    assert_null(skua__record_find_service(&record, SKUA__SERVICE_PUB, "zzz"));
    const skua__service *first = skua__record_find_service(&record, SKUA__SERVICE_PUB, "b");
    assert_non_null(first);
    assert_string_equal(first->name, "b");
    skua__record_fini(&record);
}

static void
test_record_bounds_hold(void **state) {
    (void)state;
    skua__record record;
    skua__record_init(&record, NULL);
    assert_int_equal(add(&record, SKUA__SERVICE_PUB, "No", 1), SKUA_E_BAD_NAME);
    assert_int_equal(add(&record, SKUA__SERVICE_PUB, "no", 0), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(add(&record, (skua__service_kind)0, "no", 1), SKUA_E_BAD_ARGUMENT);
    for (uint16_t i = 1; i <= SKUA__RECORD_SERVICES_MAX; i++) {
        assert_int_equal(add(&record, SKUA__SERVICE_PUB, "s", i), 0);
    }
    assert_int_equal(add(&record, SKUA__SERVICE_PUB, "s", 9999), SKUA_E_LIMIT);
    assert_int_equal(add(&record, SKUA__SERVICE_PUB, "s", 1),
                     0); /* it is there: its version changes */
    static const uint8_t big[SKUA__RECORD_CAPABILITY_MAX + 1];
    assert_int_equal(skua__record_set_capability(&record, "c", big, sizeof big), SKUA_E_TOO_BIG);
    assert_int_equal(skua__record_set_capability(&record, "C", big, 1), SKUA_E_BAD_NAME);
    for (int i = 0; i < SKUA__RECORD_CAPABILITIES_MAX; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(skua__record_set_capability(&record, key, big, 8), 0);
    }
    assert_int_equal(skua__record_set_capability(&record, "more", big, 1), SKUA_E_LIMIT);
    assert_int_equal(skua__record_set_capability(&record, "k7", NULL, 0), 0);
    assert_null(skua__record_find_capability(&record, "k7"));
    assert_int_equal(skua__record_set_capability(&record, "more", "ab", 2), 0);
    assert_int_equal(skua__record_set_capability(&record, "more", "xyz", 3), 0);
    assert_int_equal(skua__record_find_capability(&record, "more")->size, 3);
    assert_int_equal(skua__record_set_capability(&record, "more", big, sizeof big - 1), 0);
    assert_int_equal(skua__record_set_capability(&record, "k1", big, sizeof big - 1), 0);
    assert_int_equal(skua__record_set_capability(&record, "k2", big, sizeof big - 1), 0);
    assert_int_equal(skua__record_set_capability(&record, "k3", big, sizeof big - 1), 0);
    static uint8_t bytes[2 * SKUA__RECORD_MAX];
    assert_int_equal(skua__record_encode(&record, bytes, sizeof bytes), 0); /* over RECORD_MAX */
    skua__record_fini(&record);
}

/* Appends one TLV to an encoded record. */
static size_t
append(uint8_t *bytes, size_t used, uint16_t type, const void *value, uint16_t size) {
    skua__writer writer = skua__writer_of(bytes + used, 100);
    skua__write_u16(&writer, type);
    skua__write_u16(&writer, size);
    skua__write_bytes(&writer, value, size);
    assert_false(writer.failed);
    return used + writer.used;
}

static void
test_record_unknown_tlvs_are_kept_and_critical_ones_refused(void **state) {
    (void)state;
    skua__record record, back, again;
    assert_int_equal(fill(&record, NULL), 0);
    uint8_t bytes[4096], copy[4096];
    size_t size = skua__record_encode(&record, bytes, sizeof bytes);
    size = append(bytes, size, 0x1234, "newer", 5);
    size = append(bytes, size, 0x7fff, "", 0);
    assert_int_equal(skua__record_decode(bytes, size, NULL, &back), SKUA__RECORD_OK);
    assert_int_equal(back.unknown_count, 2);
    assert_false(skua__record_equal(&record, &back));
    assert_int_equal(skua__record_encode(&back, copy, sizeof copy), size);
    assert_memory_equal(bytes, copy, size);
    assert_int_equal(skua__record_copy(&back, NULL, &again), 0);
    assert_true(skua__record_equal(&back, &again));
    skua__record_fini(&again);
    skua__record_fini(&back);
    assert_int_equal(skua__record_decode(copy, append(copy, size, 0x8001, "", 0), NULL, &back),
                     SKUA__RECORD_CRITICAL);
    for (int i = 0; i < SKUA__RECORD_UNKNOWN_MAX; i++) {
        size =
            append(copy, i ? size : skua__record_encode(&record, copy, sizeof copy), 0x4000, "", 0);
    }
    assert_int_equal(skua__record_decode(copy, size, NULL, &back), SKUA__RECORD_OK);
    skua__record_fini(&back);
    size = append(copy, size, 0x4000, "", 0);
    assert_int_equal(skua__record_decode(copy, size, NULL, &back), SKUA__RECORD_TOO_BIG);
    skua__record_fini(&record);
}

static void
test_record_malformed_tlvs_are_refused(void **state) {
    (void)state;
    static const struct {
        uint16_t type, size;
        const char *value;
    } bad[] = {
        {0, 0, ""},                               /* type 0 */
        {SKUA__TLV_NAME, 4, "Name"},              /* the rule; it is there twice, too */
        {SKUA__TLV_CORES, 4, "\1\0\0\0"},         /* twice */
        {SKUA__TLV_SERVICE, 7, "\1\1\1\0\0\0\0"}, /* cut */
        {SKUA__TLV_SERVICE, 9, "\1\1\1\0\0\0\0\0N"},
        {SKUA__TLV_SERVICE, 9, "\1\1\0\0\0\0\0\0n"}, /* port 0 */
        {SKUA__TLV_SERVICE, 9, "\0\1\1\0\0\0\0\0n"}, /* kind 0 */
        {SKUA__TLV_CAPABILITY, 0, ""},
        {SKUA__TLV_CAPABILITY, 3, "\3ab"},
        {SKUA__TLV_CAPABILITY, 5, "\4key9"}, /* twice */
    };
    skua__record record, back;
    assert_int_equal(fill(&record, NULL), 0);
    uint8_t bytes[4096];
    size_t size = skua__record_encode(&record, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t more = append(bytes, size, bad[i].type, bad[i].value, bad[i].size);
        assert_int_equal(skua__record_decode(bytes, more, NULL, &back), SKUA__RECORD_MALFORMED);
    }
    assert_int_equal(skua__record_decode("\1\0\0\0", 4, NULL, &back), SKUA__RECORD_MALFORMED);
    static const uint8_t big[SKUA__RECORD_MAX + 1];
    assert_int_equal(skua__record_decode(big, sizeof big, NULL, &back), SKUA__RECORD_TOO_BIG);
    for (int i = 0; i < SKUA__RECORD_RESULTS; i++) {
        assert_non_null(skua__record_result_text((skua__record_result)i));
    }
    skua__record_fini(&record);
}

static void
test_record_without_memory_leaves_nothing_behind(void **state) {
    (void)state;
    skua__record record;
    assert_int_equal(fill(&record, NULL), 0);
    uint8_t bytes[4096];
    size_t size = append(bytes, skua__record_encode(&record, bytes, sizeof bytes), 0x4000, "u", 1);
    skua__record_fini(&record);
    int failures[3] = {0};
    for (int what = 0; what < 3; what++) {
        for (long n = 1;; n++, failures[what]++) {
            failing_allocator hook;
            failing_allocator_init(&hook, n);
            skua_status status;
            if (what == 0) {
                status = fill(&record, &hook.hook);
            } else {
                skua__record_result result =
                    skua__record_decode(bytes, size, what == 1 ? &hook.hook : NULL, &record);
                assert_true(result == SKUA__RECORD_OK || result == SKUA__RECORD_NO_MEMORY);
                status = result == SKUA__RECORD_OK ? SKUA_OK : SKUA_E_NO_MEMORY;
            }
            if (what == 2) {
                skua__record copy = {0};
                status = skua__record_copy(&record, &hook.hook, &copy);
                assert_true(status || skua__record_equal(&record, &copy));
                skua__record_fini(&copy);
            }
            if (status == 0 || what != 1) {
                skua__record_fini(&record);
            }
            assert_int_equal(atomic_load(&hook.alive), 0);
            if (status == 0) {
                break;
            }
            assert_int_equal(status, SKUA_E_NO_MEMORY);
        }
        assert_in_range(failures[what], 9, 100);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_round_trip),
        cmocka_unit_test(test_record_cut_anywhere_is_refused_or_a_shorter_record),
        cmocka_unit_test(test_record_services_are_sorted_found_and_removed),
        cmocka_unit_test(test_record_bounds_hold),
        cmocka_unit_test(test_record_unknown_tlvs_are_kept_and_critical_ones_refused),
        cmocka_unit_test(test_record_malformed_tlvs_are_refused),
        cmocka_unit_test(test_record_without_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
