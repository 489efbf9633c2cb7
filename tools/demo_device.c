// SPDX-License-Identifier: MPL-2.0
// The demo's device: reads the same input once more, counts the lengths of its words on the first OpenCL device, and compares them with the
// words that the nodes counted. Without a device that works the demo goes on and says why.
#include "demo.h"
#include "demo_lengths.h"

#include <inttypes.h>
#include <skua-int/clock.h>
#include <skua-int/mem.h>
#include <skua/device.h>
#include <skua/exec.h>
#include <string.h>

enum { UNDER_WAY = 4, COLUMNS = 12 };

typedef struct device_job {
    demo *demo;
    skua_devices *devices;
    skua_exec *exec;
    skua_pool *pool;
    demo_input input;
    demo_lengths texts[UNDER_WAY];
} device_job;

/* Says why there is no histogram; that is no failure of the demo. */
static void
skip(demo *self, const char *why, const char *advice) {
    snprintf(self->device.skipped, sizeof self->device.skipped, "%s", why);
    self->device.skipped[strcspn(self->device.skipped, "\n")] = 0; /* a compiler says more */
    memset(self->device.histogram, 0, sizeof self->device.histogram);
    cli_say(self->cli, "no histogram on an OpenCL device: %s%s\n", self->device.skipped, advice);
}

/* The number of the first device that may be used, or -1. */
static int32_t
find_device(const skua_devices *devices, skua_device_info *ret_info) {
    for (size_t i = 0; i < skua_devices_count(devices); i++) {
        *ret_info = (skua_device_info){.size = sizeof *ret_info};
        if (skua_devices_at(devices, i, ret_info, NULL) == SKUA_OK && ret_info->usable) {
            return (int32_t)i;
        }
    }
    return -1;
}

static skua_status
open_pool(device_job *job, skua_error *err) {
    skua_status status = skua_exec_open(&job->exec, NULL, err);
    if (!status) {
        status = skua_pool_open(&job->pool,
                                SKUA_POOL_OPTIONS(.exec = job->exec, .devices = job->devices), err);
    }
    return status ? status : demo_lengths_register(job->pool, err);
}

/* The same files in the same order, as often as before. */
static skua_status
open_input(device_job *job, skua_error *err) {
    const demo_input *first = &job->demo->input;
    skua_status status = SKUA_OK;
    for (size_t i = 0; !status && i < first->count; i++) {
        status = demo_input_add(&job->input, first->paths[i], err);
    }
    return status ? status
                  : demo_input_start(&job->input, first->chunk_bytes, first->least_bytes, err);
}

/* Keeps some texts under way: one is copied while another is counted. */
static skua_status
count_all(device_job *job, int32_t device, skua_error *err) {
    uint64_t *histogram = job->demo->device.histogram;
    for (size_t i = 0;; i = (i + 1) % UNDER_WAY) {
        demo_lengths *text = &job->texts[i];
        char *bytes = NULL;
        size_t size = 0;
        skua_status status = cli_check_signals(job->demo->cli);
        if (!status && text->text) {
            status = demo_lengths_collect(text, job->pool, histogram, err);
        }
        if (!status) {
            status = demo_input_next(&job->input, &bytes, &size, err);
        }
        if (!status && size) {
            status = demo_lengths_submit(text, job->pool, SKUA_ON_DEVICE + device, bytes,
                                         (uint32_t)size, err);
            bytes = status ? skua__mem_free(NULL, bytes) : bytes;
        }
        if (status || size == 0) {
            break;
        }
    }
    for (size_t i = 0; i < UNDER_WAY; i++) {
        if (job->texts[i].text) {
            skua_status status = demo_lengths_collect(&job->texts[i], job->pool, histogram, err);
            if (status) {
                return status;
            }
        }
    }
    return cli_check_signals(job->demo->cli);
}

/* What the nodes counted must have these lengths. */
static skua_status
compare(demo *self) {
    uint64_t wanted[DEMO_LENGTHS] = {0};
    for (size_t i = 0; i < self->words.capacity; i++) {
        const demo_word *word = &self->words.slots[i];
        size_t length = word->size < DEMO_LENGTHS ? word->size : DEMO_LENGTHS - 1;
        wanted[word->count ? length : 0] += word->count;
    }
    for (size_t i = 0; i < DEMO_LENGTHS; i++) {
        self->device.words += self->device.histogram[i];
        if (wanted[i] != self->device.histogram[i]) {
            return cli_fail(self->cli, SKUA_E_INTERNAL,
                            "the device counted %" PRIu64
                            " words of %zu letters, the nodes %" PRIu64,
                            self->device.histogram[i], i, wanted[i]);
        }
    }
    return SKUA_OK;
}

static void
print_histogram(demo *self, const skua_device_info *info, double seconds) {
    char rate[16];
    cli_say(self->cli,
            "the lengths of these words, counted once more on the %s device %s in %.2f s (%s/s): "
            "the same\n ",
            skua_device_kind_text(info->kind), info->name, seconds,
            cli_bytes_text((uint64_t)((double)self->input.read_bytes / seconds), rate));
    uint64_t longer = self->device.words;
    for (size_t i = 1; i <= COLUMNS; i++) {
        uint64_t count = self->device.histogram[i];
        longer -= count;
        cli_say(self->cli, " %zu: %.1f %%", i,
                100.0 * (double)count / (double)(self->device.words ? self->device.words : 1));
    }
    cli_say(self->cli, " longer: %.1f %%\n",
            100.0 * (double)longer / (double)(self->device.words ? self->device.words : 1));
}

static skua_status
run_on(device_job *job, int32_t device, const skua_device_info *info) {
    demo *self = job->demo;
    skua_error err = {0};
    int64_t start_ns = skua__clock_ns();
    skua_status status = open_pool(job, &err);
    if (!status) {
        status = open_input(job, &err);
    }
    if (!status) {
        status = count_all(job, device, &err);
    }
    if (status == SKUA_E_INTERRUPTED) {
        return status;
    }
    if (status) { /* such as a driver whose compiler does not know this CPU */
        skip(self, err.message, "");
        return SKUA_OK;
    }
    snprintf(self->device.name, sizeof self->device.name, "%s", info->name);
    status = compare(self);
    if (!status) {
        print_histogram(self, info, (double)(skua__clock_ns() - start_ns) / 1e9);
    }
    return status;
}

skua_status
demo_device(demo *self) {
    device_job job = {.demo = self};
    demo_input_init(&job.input, NULL);
    skua_error err;
    skua_device_info info;
    skua_status status =
        skua_devices_open(&job.devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1), &err);
    if (status) {
        skip(self, err.message, "");
        return SKUA_OK;
    }
    int32_t device = find_device(job.devices, &info);
    if (device < 0) {
        skip(self, skua_devices_reason(job.devices),
             "; `./dev setup --opencl` installs one that runs on the cores");
    } else {
        status = run_on(&job, device, &info);
    }
    job.pool = skua_pool_close(job.pool); /* what is under way ends with it */
    for (size_t i = 0; i < UNDER_WAY; i++) {
        demo_lengths_fini(&job.texts[i]);
    }
    demo_input_fini(&job.input);
    skua_devices_close(job.devices);
    skua_exec_close(job.exec);
    return status;
}
