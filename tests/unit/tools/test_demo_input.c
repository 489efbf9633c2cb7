// SPDX-License-Identifier: MPL-2.0
// The demo's input: which files are found, and chunks that together are what `cat` prints, cut between words.
#include "test.h"

#include "demo_input.h"
#include "demo_words.h"
#include "failing_allocator.h"
#include <skua-int/mem.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static void
write_file(const struct folder *folder, const char *name, const char *bytes, size_t size) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static int
set_up(void **state) {
    struct folder *folder = malloc(sizeof *folder);
    snprintf(folder->path, sizeof folder->path, "/tmp/skua-test-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    char path[256];
    snprintf(path, sizeof path, "%s/sub", folder->path);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(folder, "b.txt", "two three", 9); /* no line end: joins the next file's first word */
    write_file(folder, "a.txt", "zero one ", 9);
    write_file(folder, "sub/c.txt", "four five", 9);
    write_file(folder, "image", "\x89PNG\0\1", 6);
    write_file(folder, "empty", "", 0);
    snprintf(path, sizeof path, "%s/z-link", folder->path);
    assert_int_equal(symlink("a.txt", path), 0);
    snprintf(path, sizeof path, "%s/sub/loop", folder->path);
    assert_int_equal(symlink("..", path), 0);
    *state = folder;
    return 0;
}

static int
tear_down(void **state) {
    struct folder *folder = *state;
    static const char *const names[] = {"b.txt", "a.txt",  "sub/c.txt", "image",
                                        "empty", "z-link", "sub/loop",  "long"};
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder->path, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/sub", folder->path);
    rmdir(path);
    rmdir(folder->path);
    free(folder);
    return 0;
}

/* Reads all chunks into one text, which the caller frees, and checks each cut. */
static char *
read_all(demo_input *input, size_t *ret_size, size_t *ret_chunks) {
    char *all = malloc(1), *bytes;
    size_t all_size = 0, size;
    *ret_chunks = 0;
    for (;;) {
        assert_int_equal(demo_input_next(input, &bytes, &size, NULL), 0);
        if (size == 0) {
            assert_null(bytes);
            break;
        }
        if (all_size) {
            assert_false(demo_is_letter((unsigned char)all[all_size - 1]) &&
                         demo_is_letter((unsigned char)bytes[0]));
        }
        all = realloc(all, all_size + size + 1);
        memcpy(all + all_size, bytes, size);
        all_size += size;
        all[all_size] = 0;
        ++*ret_chunks;
        skua__mem_free(input->hook, bytes);
    }
    *ret_size = all_size;
    return all;
}

static void
test_demo_input_reads_text_files_in_order(void **state) {
    const struct folder *folder = *state;
    for (size_t chunk = 1; chunk < 40; chunk++) {
        demo_input input;
        demo_input_init(&input, NULL);
        assert_int_equal(demo_input_add(&input, folder->path, NULL), 0);
        assert_int_equal(input.count, 3);
        assert_int_equal(input.skipped, 1);
        assert_int_equal(input.size_bytes, 27);
        assert_int_equal(demo_input_start(&input, chunk, 0, NULL), 0);
        size_t size, chunks;
        char *text = read_all(&input, &size, &chunks);
        assert_string_equal(text, "zero one two threefour five");
        assert_int_equal(input.rounds, 1);
        assert_false(input.leading);
        assert_in_range(chunks, 1, 9);
        free(text);
        demo_input_fini(&input);
    }
}

static void
test_demo_input_repeats_up_to_the_least(void **state) {
    const struct folder *folder = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/a.txt", folder->path);
    demo_input input;
    demo_input_init(&input, NULL);
    assert_int_equal(demo_input_add(&input, path, NULL), 0);
    assert_int_equal(demo_input_start(&input, 8, 20, NULL), 0);
    size_t size, chunks;
    char *text = read_all(&input, &size, &chunks);
    assert_string_equal(text, "zero one zero one zero one ");
    assert_int_equal(input.rounds, 3);
    free(text);
    demo_input_fini(&input);
}

static void
test_demo_input_word_longer_than_a_chunk(void **state) {
    const struct folder *folder = *state;
    char path[256], word[5001];
    memset(word, 'w', sizeof word);
    word[0] = '-';
    write_file(folder, "long", word, sizeof word);
    snprintf(path, sizeof path, "%s/long", folder->path);
    demo_input input;
    demo_input_init(&input, NULL);
    assert_int_equal(demo_input_add(&input, path, NULL), 0);
    assert_int_equal(demo_input_start(&input, 16, 0, NULL), 0);
    size_t size, chunks;
    char *text = read_all(&input, &size, &chunks);
    assert_int_equal(size, sizeof word);
    assert_int_equal(chunks, 2); /* "-", and the word whole */
    assert_true(input.leading);
    free(text);
    demo_input_fini(&input);
}

static void
test_demo_input_that_vanished_ends(void **state) {
    const struct folder *folder = *state;
    char path[256];
    write_file(folder, "long", "here", 4);
    snprintf(path, sizeof path, "%s/long", folder->path);
    demo_input input;
    demo_input_init(&input, NULL);
    assert_int_equal(demo_input_add(&input, path, NULL), 0);
    unlink(path);
    assert_int_equal(demo_input_start(&input, 16, 1000, NULL), 0);
    size_t size, chunks;
    free(read_all(&input, &size, &chunks));
    assert_int_equal(size, 0);
    demo_input_fini(&input);
    /* The same for a file that is emptied between two rounds. */
    write_file(folder, "long", "here ", 5);
    assert_int_equal(demo_input_add(&input, path, NULL), 0);
    assert_int_equal(demo_input_start(&input, 5, 1000, NULL), 0);
    char *bytes;
    assert_int_equal(demo_input_next(&input, &bytes, &size, NULL), 0);
    assert_int_equal(size, 5);
    skua__mem_free(NULL, bytes);
    assert_int_equal(truncate(path, 0), 0);
    free(read_all(&input, &size, &chunks));
    assert_in_range(size, 0, 5);
    demo_input_fini(&input);
}

static void
test_demo_input_errors(void **state) {
    const struct folder *folder = *state;
    skua_error err;
    demo_input input;
    demo_input_init(&input, NULL);
    assert_int_equal(demo_input_add(&input, "/nonexistent/folder", &err), SKUA_E_FILE);
    assert_non_null(strstr(err.message, "/nonexistent/folder"));
    assert_int_equal(demo_input_start(&input, 16, 0, &err), SKUA_E_NOT_FOUND);
    demo_input_fini(&input);
    for (long fail_at = 1;; fail_at++) {
        failing_allocator hook;
        failing_allocator_init(&hook, fail_at);
        demo_input_init(&input, &hook.hook);
        char *bytes = NULL;
        size_t size;
        skua_status status = demo_input_add(&input, folder->path, NULL);
        if (!status) {
            status = demo_input_start(&input, 3, 0, NULL);
        }
        if (!status) {
            status = demo_input_next(&input, &bytes, &size, NULL);
        }
        skua__mem_free(&hook.hook, bytes);
        demo_input_fini(&input);
        assert_int_equal(atomic_load(&hook.alive), 0);
        if (status == 0) {
            assert_in_range(fail_at, 6, 12);
            break;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_demo_input_reads_text_files_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_demo_input_repeats_up_to_the_least, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_demo_input_word_longer_than_a_chunk, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_demo_input_that_vanished_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_demo_input_errors, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
