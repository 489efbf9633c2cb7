// SPDX-License-Identifier: MPL-2.0
// Sinks: levels, cut messages, and control characters from outside.
#include "test.h"

#include <skua-int/log.h>
#include <string.h>

struct heard {
    int count;
    skua_log_level level;
    char component[16];
    char message[SKUA_LOG_MESSAGE_BYTES];
    int64_t wall_ns, monotonic_ns;
};

static void
hear(void *ctx, const skua_log_record *record) {
    struct heard *heard = ctx;
    heard->count++;
    heard->level = record->level;
    heard->wall_ns = record->wall_ns;
    heard->monotonic_ns = record->monotonic_ns;
    snprintf(heard->component, sizeof heard->component, "%s", record->component);
    snprintf(heard->message, sizeof heard->message, "%s", record->message);
    assert_int_equal(record->size, sizeof *record);
}

static void
test_log_sink_hears_its_level_and_below(void **state) {
    (void)state;
    struct heard heard = {0};
    skua_log_sink sink = {SKUA_LOG_SINK_VERSION, SKUA_LOG_WARNING, &heard, hear};
    skua__log(&sink, SKUA_LOG_INFO, "node", "not heard");
    assert_int_equal(heard.count, 0);
    skua__log(&sink, SKUA_LOG_WARNING, "node", "%d of %s", 7, "nine");
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.level, SKUA_LOG_WARNING);
    assert_string_equal(heard.component, "node");
    assert_string_equal(heard.message, "7 of nine");
    assert_true(heard.wall_ns > INT64_C(1600000000) * 1000000000 && heard.monotonic_ns > 0);
    skua__log(&sink, SKUA_LOG_ERROR, "node", "heard");
    assert_int_equal(heard.count, 2);
    sink.level = SKUA_LOG_OFF;
    skua__log(&sink, SKUA_LOG_ERROR, "node", "not heard");
    skua__log(&sink, SKUA_LOG_OFF, "node", "never a level of a message");
    skua__log(NULL, SKUA_LOG_ERROR, "node", "nobody listens");
    assert_int_equal(heard.count, 2);
}

static void
test_log_message_is_one_bounded_line(void **state) {
    (void)state;
    struct heard heard = {0};
    skua_log_sink sink = {SKUA_LOG_SINK_VERSION, SKUA_LOG_DEBUG, &heard, hear};
    skua__log(&sink, SKUA_LOG_DEBUG, "node", "name \"%s\"", "a\nb\x1b[31m\x7f");
    assert_string_equal(heard.message, "name \"a?b?[31m?\"");
    char text[2 * SKUA_LOG_MESSAGE_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    skua__log(&sink, SKUA_LOG_DEBUG, "node", "%s", text);
    assert_int_equal(strlen(heard.message), SKUA_LOG_MESSAGE_BYTES - 1);
}

static void
test_log_level_names_go_both_ways(void **state) {
    (void)state;
    for (int i = SKUA_LOG_OFF; i <= SKUA_LOG_DEBUG; i++) {
        assert_int_equal(skua_log_level_of(skua_log_level_name((skua_log_level)i)), i);
    }
    assert_string_equal(skua_log_level_name((skua_log_level)99), "off");
    assert_int_equal(skua_log_level_of("loud"), SKUA_LOG_OFF);
    assert_int_equal(skua_log_level_of(NULL), SKUA_LOG_OFF);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_sink_hears_its_level_and_below),
        cmocka_unit_test(test_log_message_is_one_bounded_line),
        cmocka_unit_test(test_log_level_names_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
