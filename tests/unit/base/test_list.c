// SPDX-License-Identifier: MPL-2.0
// The intrusive list: order, removal while walking, and unlinked nodes.
#include "test.h"

#include <skua-int/list.h>

struct item {
    int value;
    skua__list link;
};

static void
test_list_keeps_order_while_items_leave(void **state) {
    (void)state;
    skua__list head;
    skua__list_init(&head);
    assert_true(skua__list_empty(&head));
    assert_null(skua__list_pop_front(&head));
    struct item items[5];
    for (int i = 0; i < 5; i++) {
        items[i].value = i;
        skua__list_push_back(&head, &items[i].link);
    }
    SKUA_LIST_EACH(node, &head) {
        struct item *item = SKUA_CONTAINER_OF(node, struct item, link);
        if (item->value % 2) {
            skua__list_remove(node);
            skua__list_remove(node); /* a second time changes nothing */
        }
    }
    skua__list_push_front(&head, &items[1].link);
    int expected[] = {1, 0, 2, 4};
    for (size_t i = 0; i < 4; i++) {
        skua__list *node = skua__list_pop_front(&head);
        assert_int_equal(SKUA_CONTAINER_OF(node, struct item, link)->value, expected[i]);
    }
    assert_true(skua__list_empty(&head));
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_keeps_order_while_items_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
