// SPDX-License-Identifier: MPL-2.0
// The fake device: a clock, three queues, memory that is counted, and faults. Commands take effect when they end, in
// the order of their queue, so that who reads a result too early reads the old one.
#include "fake_priv.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_MAX_GROUP = 256, GROUP_MULTIPLE = 32 };

static const uint8_t binary_magic[8] = {'f', 'a', 'k', 'e', 'b', 'i', 'n', 1};

/* ---- The hardware ---- */

skua__fake *
skua__fake_new(const skua__fake_options *options) {
    skua__fake *fake = skua__mem_new(options->hook, sizeof *fake);
    if (!fake) {
        return NULL;
    }
    assert(options->entry_count <= SKUA__FAKE_ENTRIES_MAX);
    fake->options = *options;
    for (uint32_t i = 0; i < options->entry_count; i++) {
        fake->entries[i] = options->entries[i];
    }
    skua__mutex_init(&fake->lock);
    skua__cond_init(&fake->changed);
    skua__list_init(&fake->devices);
    fake->now_ns = SKUA_NS_PER_S; /* a clock that reads 0 would hide forgotten times */
    return fake;
}

skua__fake *
skua__fake_free(skua__fake *fake) {
    if (!fake) {
        return NULL;
    }
    assert(skua__list_empty(&fake->devices));
    skua__cond_fini(&fake->changed);
    skua__mutex_fini(&fake->lock);
    return skua__mem_free(fake->options.hook, fake);
}

void
skua__fake_set_faults(skua__fake *fake, const skua__fake_faults *faults) {
    skua__mutex_lock(&fake->lock);
    fake->faults = *faults;
    fake->launches_since = fake->copies_since = 0;
    skua__mutex_unlock(&fake->lock);
}

skua__fake_counters
skua__fake_counts(skua__fake *fake) {
    skua__mutex_lock(&fake->lock);
    skua__fake_counters counters = fake->count;
    skua__mutex_unlock(&fake->lock);
    return counters;
}

skua_device_info
skua__fake_info(uint64_t memory_bytes) {
    skua_device_info info = {.size = sizeof info,
                             .kind = SKUA_DEVICE_DISCRETE,
                             .usable = 1,
                             .units = 8,
                             .clock_mhz = 1000,
                             .numa = -1,
                             .align_bytes = 128,
                             .memory_bytes = memory_bytes,
                             .max_buffer_bytes = memory_bytes,
                             .local_bytes = 32768,
                             .max_group = DEFAULT_MAX_GROUP};
    snprintf(info.name, sizeof info.name, "fake device");
    snprintf(info.vendor, sizeof info.vendor, "skua");
    snprintf(info.platform, sizeof info.platform, "fake");
    snprintf(info.driver, sizeof info.driver, "1");
    snprintf(info.version, sizeof info.version, "OpenCL 1.2");
    return info;
}

void
skua__fake_misuse_locked(skua__fake *fake, const char *what) {
    if (fake->count.misuses++ == 0) {
        snprintf(fake->count.misuse, sizeof fake->count.misuse, "%s", what);
    }
}

/* The first line of each call of the table: whose thread is it, and may it call? Leaves the fake locked. */
static void
enter(skua__dev *dev, const char *call) {
    skua__fake *fake = dev->fake;
    skua__mutex_lock(&fake->lock);
    if (!pthread_equal(dev->owner, pthread_self())) {
        char text[SKUA__FAKE_MISUSE_BYTES];
        snprintf(text, sizeof text, "%s() on a thread that is not the driver's", call);
        skua__fake_misuse_locked(fake, text);
    }
    if (dev->in_done && pthread_equal(dev->done_thread, pthread_self())) {
        char text[SKUA__FAKE_MISUSE_BYTES];
        snprintf(text, sizeof text, "%s() inside a command's done()", call);
        skua__fake_misuse_locked(fake, text);
    }
}

static void
leave(skua__dev *dev) {
    skua__mutex_unlock(&dev->fake->lock);
}

/* ---- Opening and closing ---- */

static skua_status
fake_open(void *ctx, const skua_device_info *info, uint32_t ordinal, const skua_allocator *hook,
          skua__dev **ret_dev, skua_error *err) {
    skua__fake *fake = ctx;
    (void)ordinal;
    skua__dev *dev = skua__mem_new(hook, sizeof *dev);
    if (!dev) {
        return SKUA_FAIL_MEMORY(err, "a fake device");
    }
    dev->fake = fake;
    dev->hook = hook;
    dev->owner = pthread_self();
    dev->align_bytes = info->align_bytes ? info->align_bytes : 1;
    skua__list_init(&dev->memories);
    skua__list_init(&dev->kernels);
    for (uint32_t i = 0; i < SKUA__FAKE_QUEUES; i++) {
        skua__list_init(&dev->queues[i].commands);
    }
    skua__mutex_lock(&fake->lock);
    bool absent = fake->faults.absent;
    if (!absent) {
        fake->count.opens++;
        fake->count.devices++;
        skua__list_push_back(&fake->devices, &dev->link);
    }
    skua__mutex_unlock(&fake->lock);
    skua_status status =
        absent ? SKUA_FAIL(err, SKUA_E_NOT_FOUND, "the fake device is not there") : SKUA_OK;
    if (!status && fake->options.clock == SKUA__FAKE_REAL) {
        status = skua__thread_start(&dev->thread, "skua-fake", skua__fake_main, dev, err);
        dev->has_thread = !status;
    }
    if (status) {
        skua__mutex_lock(&fake->lock);
        if (!absent) {
            fake->count.devices--;
            skua__list_remove(&dev->link);
        }
        skua__mutex_unlock(&fake->lock);
        skua__mem_free(hook, dev);
        return status;
    }
    *ret_dev = dev;
    return SKUA_OK;
}

static void
free_mem_locked(skua__dev *dev, skua__dev_mem *mem) {
    skua__fake *fake = dev->fake;
    skua__list_remove(&mem->link);
    fake->count.memories--;
    if (mem->counted) {
        fake->count.memory_bytes -= mem->bytes;
    }
    if (mem->whole) {
        mem->whole->parts--;
    } else if (mem->kind != SKUA__DEV_MEM_SHARED) {
        skua__mem_free(dev->hook, mem->at);
    }
    skua__mem_free(dev->hook, mem);
}

static void
fake_close(skua__dev *dev, bool abandon) {
    if (!dev) {
        return;
    }
    skua__fake *fake = dev->fake;
    enter(dev, "close");
    dev->closing = true;
    dev->lost = dev->lost || abandon;
    skua__cond_broadcast(&fake->changed);
    leave(dev);
    if (dev->has_thread) {
        skua__thread_join(dev->thread);
    }
    skua__fake_drain(dev);
    skua__mutex_lock(&fake->lock);
    while (dev->in_step) {
        skua__cond_wait(&fake->changed, &fake->lock);
    }
    SKUA_LIST_EACH(node, &dev->kernels) {
        skua__dev_kernel *kernel = SKUA_CONTAINER_OF(node, skua__dev_kernel, link);
        skua__list_remove(&kernel->link);
        fake->count.kernels--;
        skua__mem_free(dev->hook, kernel);
    }
    /* Parts stand after their whole in the list, so from the end. */
    while (!skua__list_empty(&dev->memories)) {
        free_mem_locked(dev, SKUA_CONTAINER_OF(dev->memories.prev, skua__dev_mem, link));
    }
    skua__list_remove(&dev->link);
    fake->count.devices--;
    skua__mutex_unlock(&fake->lock);
    skua__mem_free(dev->hook, dev);
}

/* ---- Memory ---- */

/* Whether the true memory, which the description need not tell, holds so much more. */
static bool
has_room_locked(const skua__fake *fake, uint64_t bytes) {
    uint64_t taken = fake->count.memory_bytes + fake->faults.others_bytes;
    return !fake->options.memory_bytes ||
           (taken <= fake->options.memory_bytes && bytes <= fake->options.memory_bytes - taken);
}

skua_status
skua__fake_count_mem_locked(skua__fake *fake, skua__dev_mem *mem) {
    if (mem->whole) {
        mem = mem->whole;
    }
    if (mem->kind != SKUA__DEV_MEM_DEVICE || mem->counted) {
        return SKUA_OK;
    }
    if (!has_room_locked(fake, mem->bytes)) {
        return SKUA_E_DEVICE_MEMORY;
    }
    mem->counted = true;
    fake->count.memory_bytes += mem->bytes;
    if (fake->count.memory_bytes > fake->count.memory_peak_bytes) {
        fake->count.memory_peak_bytes = fake->count.memory_bytes;
    }
    return SKUA_OK;
}

static skua_status
fake_mem_new(skua__dev *dev, skua__dev_mem_kind kind, uint64_t bytes, void *host,
             skua__dev_mem **ret_mem, skua_error *err) {
    enter(dev, "mem_new");
    skua__fake *fake = dev->fake;
    skua__dev_mem *mem = NULL;
    skua_status status = SKUA_OK;
    if (bytes == 0 || (kind == SKUA__DEV_MEM_SHARED) != (host != NULL)) {
        status = SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "memory of no bytes, or a host that is wrong");
    } else if (dev->lost) {
        status = SKUA_FAIL(err, SKUA_E_DEVICE_FAILED, "the fake device is lost");
    } else if (kind == SKUA__DEV_MEM_PINNED && fake->faults.no_pinned) {
        status = SKUA_FAIL(err, SKUA_E_DEVICE_MEMORY, "the fake device pins no memory now");
    } else if (!(mem = skua__mem_new(dev->hook, sizeof *mem))) {
        status = SKUA_FAIL_MEMORY(err, "a fake memory");
    } else {
        mem->kind = kind;
        mem->bytes = bytes;
        skua__list_init(&mem->link);
        mem->at = host;
        if (!fake->options.lazy_memory && skua__fake_count_mem_locked(fake, mem)) {
            status = SKUA_FAIL(err, SKUA_E_DEVICE_MEMORY, "the fake device has no %llu bytes left",
                               (unsigned long long)bytes);
        } else if (!host && !(mem->at = skua__mem_new(dev->hook, bytes))) {
            status = SKUA_FAIL_MEMORY(err, "a fake memory's bytes");
        }
    }
    if (!status) {
        skua__list_push_back(&dev->memories, &mem->link);
        fake->count.memories++;
        *ret_mem = mem;
    } else if (mem) {
        fake->count.memory_bytes -= mem->counted ? mem->bytes : 0;
        skua__mem_free(dev->hook, mem);
    }
    leave(dev);
    return status;
}

static skua_status
fake_mem_part(skua__dev *dev, skua__dev_mem *whole, uint64_t offset, uint64_t bytes,
              skua__dev_mem **ret_mem, skua_error *err) {
    enter(dev, "mem_part");
    skua_status status = SKUA_OK;
    skua__dev_mem *mem = NULL;
    if (whole->kind != SKUA__DEV_MEM_DEVICE || whole->whole || offset % dev->align_bytes ||
        bytes == 0 || offset > whole->bytes || bytes > whole->bytes - offset) {
        status = SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a part from %llu of %llu bytes does not fit",
                           (unsigned long long)offset, (unsigned long long)bytes);
    } else if (!(mem = skua__mem_new(dev->hook, sizeof *mem))) {
        status = SKUA_FAIL_MEMORY(err, "a part of a fake memory");
    } else {
        mem->kind = SKUA__DEV_MEM_DEVICE;
        mem->whole = whole;
        mem->at = whole->at + offset;
        mem->bytes = bytes;
        whole->parts++;
        skua__list_push_back(&dev->memories, &mem->link);
        dev->fake->count.memories++;
        *ret_mem = mem;
    }
    leave(dev);
    return status;
}

static void *
fake_mem_host(skua__dev *dev, skua__dev_mem *mem) {
    enter(dev, "mem_host");
    void *host = mem->kind == SKUA__DEV_MEM_PINNED ? mem->at : NULL;
    leave(dev);
    return host;
}

static void
fake_mem_free(skua__dev *dev, skua__dev_mem *mem) {
    if (!mem) {
        return;
    }
    enter(dev, "mem_free");
    if (mem->uses || mem->parts) {
        /* It is leaked until close(): a real driver might crash here. */
        skua__fake_misuse_locked(dev->fake, mem->uses ? "mem_free() of memory in use"
                                                      : "mem_free() before that of its parts");
    } else {
        free_mem_locked(dev, mem);
    }
    leave(dev);
}

/* ---- Kernels ---- */

static const skua__fake_entry *
find_entry(const skua__fake *fake, const char *name) {
    for (uint32_t i = 0; i < fake->options.entry_count; i++) {
        if (strcmp(fake->entries[i].name, name) == 0) {
            return &fake->entries[i];
        }
    }
    return NULL;
}

/* What a build comes to: 0 with *ret_entry, or the failure with the compiler's words in log. */
static skua_status
build_locked(skua__fake *fake, const skua__dev_source *source, bool from_binary,
             const skua__fake_entry **ret_entry, char *log, size_t log_bytes) {
    const char *words = "";
    *ret_entry = find_entry(fake, source->entry);
    if (!from_binary && fake->faults.builds) {
        fake->faults.builds--;
        words = "fake: the build fails as it was told to";
    } else if (!from_binary && strstr(source->text, "#error")) {
        words = "1:1: error: #error";
    } else if (!*ret_entry) {
        words = "fake: no such kernel";
    }
    if (log_bytes) {
        snprintf(log, log_bytes, "%s", words);
    }
    return *words ? SKUA_E_KERNEL_BUILD : SKUA_OK;
}

static skua_status
fake_kernel_new(skua__dev *dev, const skua__dev_source *source, skua__dev_kernel **ret_kernel,
                bool *ret_from_binary, char *log, size_t log_bytes, skua_error *err) {
    enter(dev, "kernel_new");
    skua__fake *fake = dev->fake;
    const skua__fake_entry *entry = NULL;
    uint32_t sum = skua__hash_bytes(source->text, strlen(source->text));
    uint8_t fits[sizeof binary_magic + 4];
    memcpy(fits, binary_magic, sizeof binary_magic);
    memcpy(fits + sizeof binary_magic, &sum, 4);
    bool from_binary = source->binary && source->binary_bytes == sizeof fits &&
                       !fake->faults.no_binaries && memcmp(source->binary, fits, sizeof fits) == 0;
    skua_status status = dev->lost
                             ? SKUA_E_DEVICE_FAILED
                             : build_locked(fake, source, from_binary, &entry, log, log_bytes);
    skua__dev_kernel *kernel = status ? NULL : skua__mem_new(dev->hook, sizeof *kernel);
    if (kernel) {
        kernel->entry = entry;
        kernel->sum = sum;
        skua__list_push_back(&dev->kernels, &kernel->link);
        fake->count.kernels++;
        fake->count.builds += !from_binary;
        fake->count.binaries += from_binary;
        *ret_kernel = kernel;
        *ret_from_binary = from_binary;
    } else if (status) {
        SKUA_FAIL(err, status, "the fake device does not build \"%s\"", source->entry);
    } else {
        status = SKUA_FAIL_MEMORY(err, "a fake kernel");
    }
    leave(dev);
    return status;
}

static skua_status
fake_kernel_binary(skua__dev *dev, skua__dev_kernel *kernel, void **ret_binary, size_t *ret_bytes,
                   skua_error *err) {
    enter(dev, "kernel_binary");
    skua_status status = SKUA_OK;
    uint8_t *binary = NULL;
    if (dev->fake->faults.no_binaries) {
        status = SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "the fake device gives no binaries now");
    } else if (!(binary = skua__mem_new(dev->hook, sizeof binary_magic + 4))) {
        status = SKUA_FAIL_MEMORY(err, "a fake binary");
    } else {
        memcpy(binary, binary_magic, sizeof binary_magic);
        memcpy(binary + sizeof binary_magic, &kernel->sum, 4);
        *ret_binary = binary;
        *ret_bytes = sizeof binary_magic + 4;
    }
    leave(dev);
    return status;
}

static void
fake_kernel_limits(skua__dev *dev, skua__dev_kernel *kernel, uint64_t *ret_max_group,
                   uint64_t *ret_multiple) {
    enter(dev, "kernel_limits");
    (void)kernel;
    uint64_t limit = dev->fake->options.max_group;
    *ret_max_group = limit ? limit : DEFAULT_MAX_GROUP;
    *ret_multiple = GROUP_MULTIPLE;
    leave(dev);
}

static void
fake_kernel_free(skua__dev *dev, skua__dev_kernel *kernel) {
    if (!kernel) {
        return;
    }
    enter(dev, "kernel_free");
    if (kernel->uses) {
        skua__fake_misuse_locked(dev->fake, "kernel_free() of a kernel in use");
    } else {
        skua__list_remove(&kernel->link);
        dev->fake->count.kernels--;
        skua__mem_free(dev->hook, kernel);
    }
    leave(dev);
}

/* ---- Commands, as the table has them ---- */

static skua_status
submit(skua__dev *dev, const char *call, uint32_t queue, const skua__fake_command *command,
       skua_error *err) {
    enter(dev, call);
    skua_status status = skua__fake_submit_locked(dev, queue, command, err);
    leave(dev);
    if (!status && dev->fake->options.clock == SKUA__FAKE_INLINE) {
        skua__fake_drain(dev);
    }
    return status;
}

static skua_status
fake_write(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem, uint64_t offset,
           const void *host, uint64_t bytes, skua__dev_command *command, skua_error *err) {
    skua__fake_command what = {.kind = SKUA__FAKE_WRITE,
                               .to = mem,
                               .to_offset = offset,
                               .source = host,
                               .bytes = bytes,
                               .command = command};
    return submit(dev, "write", queue, &what, err);
}

static skua_status
fake_read(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem, uint64_t offset, void *host,
          uint64_t bytes, skua__dev_command *command, skua_error *err) {
    skua__fake_command what = {.kind = SKUA__FAKE_READ,
                               .from = mem,
                               .from_offset = offset,
                               .target = host,
                               .bytes = bytes,
                               .command = command};
    return submit(dev, "read", queue, &what, err);
}

static skua_status
fake_copy(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *from, uint64_t from_offset,
          skua__dev_mem *to, uint64_t to_offset, uint64_t bytes, skua__dev_command *command,
          skua_error *err) {
    skua__fake_command what = {.kind = SKUA__FAKE_COPY,
                               .from = from,
                               .from_offset = from_offset,
                               .to = to,
                               .to_offset = to_offset,
                               .bytes = bytes,
                               .command = command};
    return submit(dev, "copy", queue, &what, err);
}

static skua_status
fake_host_copy(skua__dev *dev, void *to, const void *from, uint64_t bytes,
               skua__dev_command *command, skua_error *err) {
    skua__fake_command what = {.kind = SKUA__FAKE_HOST_COPY,
                               .source = from,
                               .target = to,
                               .bytes = bytes,
                               .command = command};
    return submit(dev, "host_copy", SKUA__FAKE_HOST, &what, err);
}

static uint32_t
fake_host_copiers(skua__dev *dev) {
    enter(dev, "host_copiers");
    uint32_t count = dev->fake->faults.no_copiers ? 0 : 1;
    leave(dev);
    return count;
}

static skua_status
fake_acquire(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem, skua__dev_command *command,
             skua_error *err) {
    skua__fake_command what = {.kind = SKUA__FAKE_ACQUIRE, .to = mem, .command = command};
    return submit(dev, "acquire", queue, &what, err);
}

static skua_status
fake_release(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem, skua__dev_command *command,
             skua_error *err) {
    skua__fake_command what = {.kind = SKUA__FAKE_RELEASE, .to = mem, .command = command};
    return submit(dev, "release", queue, &what, err);
}

static skua_status
fake_launch(skua__dev *dev, skua__dev_kernel *kernel, const skua__dev_arg *args, uint32_t arg_count,
            const skua__dev_range *range, skua__dev_command *command, skua_error *err) {
    skua__fake_command what = {.kind = SKUA__FAKE_LAUNCH, .kernel = kernel, .command = command};
    if (arg_count > SKUA__FAKE_ARGS_MAX) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a launch of %u arguments", arg_count);
    }
    what.range = *range;
    what.arg_count = arg_count;
    what.given_args = args;
    return submit(dev, "launch", SKUA__DEV_COMPUTE, &what, err);
}

static void
fake_flush(skua__dev *dev, skua__dev_queue queue) {
    enter(dev, "flush");
    if (queue >= SKUA__DEV_QUEUES) {
        skua__fake_misuse_locked(dev->fake, "flush() of no queue");
    }
    leave(dev);
}

const skua__device_driver *
skua__fake_driver(void) {
    static const skua__device_driver driver = {
        .version = SKUA__DEVICE_DRIVER_VERSION,
        .kind = "fake",
        .open = fake_open,
        .close = fake_close,
        .mem_new = fake_mem_new,
        .mem_part = fake_mem_part,
        .mem_host = fake_mem_host,
        .mem_free = fake_mem_free,
        .kernel_new = fake_kernel_new,
        .kernel_binary = fake_kernel_binary,
        .kernel_limits = fake_kernel_limits,
        .kernel_free = fake_kernel_free,
        .write = fake_write,
        .read = fake_read,
        .copy = fake_copy,
        .host_copy = fake_host_copy,
        .host_copiers = fake_host_copiers,
        .acquire = fake_acquire,
        .release = fake_release,
        .launch = fake_launch,
        .flush = fake_flush,
    };
    return &driver;
}
