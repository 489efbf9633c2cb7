// SPDX-License-Identifier: MPL-2.0
// Fake devices, an executor and a pool, opened and closed as tests need them.
#include "fake_machine.h"

#include "test.h"

#include <skua-int/launch.h>
#include <string.h>

static void
add_fake(fake_machine *machine, int i, const fake_machine_options *options) {
    skua__fake_options fake = options->fakes[i];
    if (!fake.entries) {
        fake.entries = options->entries;
        fake.entry_count = options->entry_count;
    }
    machine->fakes[i] = skua__fake_new(&fake);
    assert_non_null(machine->fakes[i]);
    skua_device_info info =
        skua__fake_info(options->memory_bytes ? options->memory_bytes : UINT64_C(1) << 30);
    info.unified = options->unified[i];
    snprintf(info.name, sizeof info.name, "fake %d", i);
    assert_int_equal(
        skua__devices_add(machine->devices, skua__fake_driver(), machine->fakes[i], &info),
        SKUA_OK);
}

void
fake_machine_open(fake_machine *machine, const fake_machine_options *options) {
    *machine = (fake_machine){.count = options->count};
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1); /* the only devices are the fake ones */
    if (options->count) {
        const char *cache_dir = options->cache_dir ? options->cache_dir : "";
        assert_int_equal(skua_devices_open(&machine->devices,
                                           SKUA_DEVICES_OPTIONS(.cache_dir = cache_dir), NULL),
                         SKUA_OK);
        assert_int_equal(skua_devices_count(machine->devices), 0);
        skua__devices_set_patience(machine->devices, options->hang_ms, options->rest_ms);
    }
    for (int i = 0; i < options->count; i++) {
        add_fake(machine, i, options);
    }
    if (options->workers) {
        assert_int_equal(
            skua_exec_open(&machine->exec, SKUA_EXEC_OPTIONS(.workers = options->workers), NULL),
            SKUA_OK);
    }
}

skua_pool *
fake_machine_open_pool(fake_machine *machine, const skua_pool_options *options) {
    skua_pool_options all = options ? *options : *SKUA_POOL_OPTIONS(.exec = NULL);
    all.exec = machine->exec;
    all.devices = machine->devices;
    skua_error err = {0};
    if (skua_pool_open(&machine->pool, &all, &err)) {
        fail_msg("%s", err.message);
    }
    return machine->pool;
}

void
fake_machine_close(fake_machine *machine) {
    skua_pool_close(machine->pool);
    skua_devices_close(machine->devices);
    skua_exec_close(machine->exec);
    for (int i = 0; i < machine->count; i++) {
        skua__fake_counters counts = skua__fake_counts(machine->fakes[i]);
        if (counts.misuses) {
            fail_msg("%s", counts.misuse);
        }
        assert_int_equal(counts.devices, 0);
        assert_int_equal(counts.memories, 0);
        assert_int_equal(counts.kernels, 0);
        skua__fake_free(machine->fakes[i]);
    }
}

uint64_t
fake_machine_copies(const fake_machine *machine) {
    uint64_t copies = 0;
    for (int i = 0; i < machine->count; i++) {
        copies += skua__fake_counts(machine->fakes[i]).copies;
    }
    return copies;
}

skua_buffer *
fake_machine_buffer(fake_machine *machine, size_t bytes) {
    skua_buffer *buffer = NULL;
    assert_int_equal(
        skua_buffer_new(machine->devices, &buffer, SKUA_BUFFER_OPTIONS(.bytes = bytes), NULL),
        SKUA_OK);
    return buffer;
}

uint32_t
buffer_item(skua_buffer *buffer, size_t i) {
    uint32_t value = 0;
    skua_error err = {0};
    if (skua_buffer_read(buffer, i * sizeof value, &value, sizeof value, &err)) {
        fail_msg("%s", err.message);
    }
    return value;
}

skua_buffer_info
buffer_where(skua_buffer *buffer) {
    skua_buffer_info info = {.size = sizeof info};
    assert_int_equal(skua_buffer_where(buffer, &info, NULL), SKUA_OK);
    return info;
}
