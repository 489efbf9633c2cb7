// SPDX-License-Identifier: MPL-2.0
// A machine whose devices are all fake, with an executor and a pool where a test wants them; and what tests ask of its buffers.
#ifndef SKUA_FAKE_MACHINE_H
#define SKUA_FAKE_MACHINE_H

#include <skua-int/fake_device.h>
#include <skua/buffer.h>
#include <skua/exec.h>
#include <skua/pool.h>
#include <stdbool.h>

enum { FAKE_MACHINE_DEVICES_MAX = 3 };

typedef struct fake_machine {
    int count; /* of fakes */
    skua__fake *fakes[FAKE_MACHINE_DEVICES_MAX];
    skua_devices *devices; /* NULL: there are none */
    skua_exec *exec;       /* NULL: there are no cores */
    skua_pool *pool;       /* NULL until fake_machine_open_pool() */
} fake_machine;

typedef struct fake_machine_options {
    int count;                       /* of devices; 0: there are none, not even a skua_devices */
    int workers;                     /* of the executor; 0: there is none */
    const skua__fake_entry *entries; /* of each device whose own options have none */
    uint32_t entry_count;
    skua__fake_options fakes[FAKE_MACHINE_DEVICES_MAX];
    bool unified[FAKE_MACHINE_DEVICES_MAX]; /* it shares the host's memory */
    uint64_t memory_bytes;                  /* that each says it has; 0: 1 GiB */
    const char *cache_dir;                  /* where what is learned is kept; NULL: nowhere */
    int64_t hang_ms, rest_ms;               /* skua__devices_set_patience(); 0: as usual */
} fake_machine_options;

/* Opens all but the pool. The drivers of this machine are not looked at. */
void fake_machine_open(fake_machine *machine, const fake_machine_options *options);
/* Opens the pool over what there is, with these options (NULL: none), of which exec and devices are filled in. */
skua_pool *fake_machine_open_pool(fake_machine *machine, const skua_pool_options *options);
/* Closes what is open; the drivers were used as their table says, and nothing is left on the devices. */
void fake_machine_close(fake_machine *machine);
/* Copies that all its devices have done. */
uint64_t fake_machine_copies(const fake_machine *machine);

skua_buffer *fake_machine_buffer(fake_machine *machine, size_t bytes);
/* The i-th number in it. */
uint32_t buffer_item(skua_buffer *buffer, size_t i);
skua_buffer_info buffer_where(skua_buffer *buffer);

#endif
