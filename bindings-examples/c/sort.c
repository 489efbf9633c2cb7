// SPDX-License-Identifier: MPL-2.0
// Sorts a million records by one of their fields on every core, with the comparison compiled in. Records that are equal in it keep their
// order. (skua_parallel_sort() takes by_city as it is, for a call per pair.)
#include "must.h"

#include <skua/sort.h>

enum { COUNT = 1000000 };

typedef struct record {
    uint32_t city, number;
} record;

static int
by_city(const void *a, const void *b, void *arg) {
    (void)arg;
    const record *x = a, *y = b;
    return x->city < y->city ? -1 : x->city > y->city;
}

static size_t
sort_records(const skua_sort_part *part) {
    return skua_sort_step(part, sizeof(record), by_city);
}

int
main(void) {
    skua_exec *exec = NULL;
    skua_error err;
    record *records = calloc(COUNT, sizeof *records);
    if (!records) {
        return 1;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        records[i] = (record){.city = i * 2654435761u % 1000, .number = i};
    }
    must(skua_exec_open(&exec, NULL, &err), &err);
    must(skua_parallel_sort_typed(exec, records, COUNT, sizeof *records, sort_records, NULL, NULL,
                                  &err),
         &err);
    uint32_t wrong = 0;
    for (uint32_t i = 1; i < COUNT; i++) {
        const record *a = &records[i - 1], *b = &records[i];
        wrong += a->city > b->city || (a->city == b->city && a->number > b->number);
    }
    printf("%d records, %u out of order\n", COUNT, wrong);
    skua_exec_close(exec);
    free(records);
    return wrong ? 1 : 0;
}
