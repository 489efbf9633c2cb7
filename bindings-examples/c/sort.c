// SPDX-License-Identifier: MPL-2.0
// Sorts a million records by one of their fields on every core. Records that are equal in it keep their order.
#include "must.h"

#include <skua/parallel.h>

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
    must(skua_parallel_sort(exec, records, COUNT, sizeof *records, by_city, NULL, NULL, &err),
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
