// SPDX-License-Identifier: MPL-2.0
// Records: what decodes encodes, to a record that is equal; a copy is equal too.
#include "fuzz.h"

#include <skua-int/record.h>

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static uint8_t again[SKUA__RECORD_MAX];
    skua__record record, back, copy;
    if (skua__record_decode(bytes, size, NULL, &record) != SKUA__RECORD_OK) {
        return 0;
    }
    size_t used = skua__record_encode(&record, again, sizeof again);
    FUZZ_CHECK(used > 0 && used == skua__record_size(&record));
    FUZZ_CHECK(skua__record_decode(again, used, NULL, &back) == SKUA__RECORD_OK);
    FUZZ_CHECK(skua__record_equal(&record, &back));
    FUZZ_CHECK(skua__record_copy(&record, NULL, &copy) == SKUA_OK);
    FUZZ_CHECK(skua__record_equal(&record, &copy));
    for (size_t i = 0; i < record.service_count; i++) {
        const skua__service *service = &record.services[i];
        FUZZ_CHECK(skua__record_find_service(&record, service->kind, service->name));
        FUZZ_CHECK(skua__record_remove_service(&copy, service->kind, service->name, service->port));
    }
    FUZZ_CHECK(copy.service_count == 0);
    skua__record_fini(&record);
    skua__record_fini(&back);
    skua__record_fini(&copy);
    return 0;
}
