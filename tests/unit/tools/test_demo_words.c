// SPDX-License-Identifier: MPL-2.0
// The word counter against a plain list, its coding, its merging and its printing.
#include "test.h"

#include "demo_words.h"
#include "failing_allocator.h"
#include <skua-int/mem.h>
#include <skua-int/rand.h>
#include <string.h>

static void
test_demo_words_counts_runs_of_letters(void **state) {
    (void)state;
    static const char text[] = "The the, 2the\nthe-end don't \xc3\xa5The @[`{az AZ";
    demo_words words;
    demo_words_init(&words, NULL);
    assert_int_equal(demo_words_scan(&words, text, sizeof text - 1), 0);
    assert_int_equal(demo_words_get(&words, "The", 3), 2);
    assert_int_equal(demo_words_get(&words, "the", 3), 3);
    assert_int_equal(demo_words_get(&words, "end", 3), 1);
    assert_int_equal(demo_words_get(&words, "don", 3), 1);
    assert_int_equal(demo_words_get(&words, "t", 1), 1);
    assert_int_equal(demo_words_get(&words, "az", 2), 1);
    assert_int_equal(demo_words_get(&words, "AZ", 2), 1);
    assert_int_equal(demo_words_get(&words, "THE", 3), 0);
    assert_int_equal(words.count, 7);
    assert_int_equal(words.total, 10);
    demo_words_fini(&words);
}

/* A text of random short words in which a few are much more frequent than others. */
static char *
make_text(skua__rand *rand, size_t size) {
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++) {
        uint32_t pick = skua__rand_below(rand, 10);
        text[i] = pick < 3 ? " \n.-0\x80"[skua__rand_below(rand, 6)]
                           : "aAbBcCdDeE"[skua__rand_below(rand, skua__rand_below(rand, 10) + 1)];
    }
    return text;
}

static void
assert_same(const demo_words *a, const demo_words *b) {
    assert_int_equal(a->count, b->count);
    assert_true(a->total == b->total);
    for (size_t i = 0; i < a->capacity; i++) {
        const demo_word *word = &a->slots[i];
        if (word->count) {
            assert_true(demo_words_get(b, a->text + word->at, word->size) == word->count);
        }
    }
}

static void
test_demo_words_parts_merge_and_travel(void **state) {
    (void)state;
    enum { SIZE = 200000, PARTS = 7 };
    skua__rand rand = {.state = test_seed(11)};
    char *text = make_text(&rand, SIZE);
    demo_words whole, merged, travelled;
    demo_words_init(&whole, NULL);
    demo_words_init(&merged, NULL);
    demo_words_init(&travelled, NULL);
    assert_int_equal(demo_words_scan(&whole, text, SIZE), 0);
    assert_in_range(whole.count, 2000, SIZE);
    size_t start = 0;
    for (int part = 0; part < PARTS; part++) {
        size_t end = part == PARTS - 1 ? SIZE : (size_t)(part + 1) * (SIZE / PARTS);
        while (end < SIZE && demo_is_letter((unsigned char)text[end])) {
            end++;
        }
        demo_words words;
        demo_words_init(&words, NULL);
        assert_int_equal(demo_words_scan(&words, text + start, end - start), 0);
        assert_int_equal(demo_words_merge(&merged, &words), 0);
        size_t size = demo_words_encoded_size(&words);
        unsigned char *bytes = malloc(size);
        demo_words_encode(&words, bytes); /* ASan sees one byte too many */
        assert_int_equal(demo_words_decode(&travelled, bytes, size), 0);
        free(bytes);
        demo_words_fini(&words);
        start = end;
    }
    assert_same(&whole, &merged);
    assert_same(&whole, &travelled);
    free(text);
    demo_words_fini(&whole);
    demo_words_fini(&merged);
    demo_words_fini(&travelled);
}

static void
test_demo_words_malformed_bytes_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {
        {"\x01", 1}, /* no size */
        {"\x01\x03"  /* letters missing */
         "ab",
         4},
        {"\x00\x01" /* counted no times */
         "a",
         3},
        {"\x01\x00", 2},                                          /* no letters */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* a number that never ends */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        demo_words words;
        demo_words_init(&words, NULL);
        assert_int_equal(demo_words_decode(&words, bad[i].bytes, bad[i].size), SKUA_E_MALFORMED);
        demo_words_fini(&words);
    }
    skua__rand rand = {.state = test_seed(12)};
    for (int run = 0; run < 2000; run++) {
        unsigned char bytes[64];
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (unsigned char)skua__rand_below(&rand, 256);
        }
        demo_words words;
        demo_words_init(&words, NULL);
        skua_status status = demo_words_decode(&words, bytes, skua__rand_below(&rand, 65));
        assert_true(status == 0 || status == SKUA_E_MALFORMED);
        demo_words_fini(&words);
    }
}

static void
test_demo_words_prints_as_uniq_does(void **state) {
    (void)state;
    static const char text[] = "b a B a a10 ab";
    demo_words words;
    demo_words_init(&words, NULL);
    assert_int_equal(demo_words_scan(&words, text, sizeof text - 1), 0);
    assert_int_equal(demo_words_add(&words, "b", 1, 12345678), 0);
    char *printed = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&printed, &size);
    assert_int_equal(demo_words_print(&words, true, file), 0);
    fclose(file);
    assert_string_equal(printed, "      1 \n      1 B\n      3 a\n      1 ab\n12345679 b\n");
    free(printed);
    const demo_word **sorted = demo_words_sorted(&words, true);
    assert_non_null(sorted);
    assert_int_equal(sorted[0]->count, 12345679);
    assert_int_equal(sorted[1]->count, 3);
    assert_int_equal(words.text[sorted[2]->at], 'B'); /* equal counts: by bytes */
    skua__mem_free(NULL, (void *)sorted);
    demo_words_fini(&words);
}

static void
test_demo_words_without_memory_fail_whole(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(13)};
    char *text = make_text(&rand, 50000);
    for (long fail_at = 1;; fail_at++) {
        failing_allocator hook;
        failing_allocator_init(&hook, fail_at);
        demo_words words;
        demo_words_init(&words, &hook.hook);
        skua_status status = demo_words_scan(&words, text, 50000);
        demo_words_fini(&words);
        assert_int_equal(atomic_load(&hook.alive), 0);
        if (status == 0) {
            break;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
    free(text);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_demo_words_counts_runs_of_letters),
        cmocka_unit_test(test_demo_words_parts_merge_and_travel),
        cmocka_unit_test(test_demo_words_malformed_bytes_are_refused),
        cmocka_unit_test(test_demo_words_prints_as_uniq_does),
        cmocka_unit_test(test_demo_words_without_memory_fail_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
