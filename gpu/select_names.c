// SPDX-License-Identifier: MPL-2.0
// What a selector knows by name: backends, kernels, and the curve of each pair.
#include "select_priv.h"

#include <skua-int/fail.h>
#include <string.h>

static bool
name_fits(const char *name) {
    return name && *name && strlen(name) < SKUA_SELECT_NAME_BYTES;
}

skua__select_backend *
skua__select_backend_find(skua_selector *selector, const char *name) {
    for (uint32_t i = 0; i < selector->backend_count; i++) {
        if (strcmp(selector->backends[i].name, name) == 0) {
            return &selector->backends[i];
        }
    }
    return NULL;
}

static bool
is_masked(int32_t kind) {
    return kind == SKUA_SELECT_DEVICE || kind == SKUA_SELECT_PEER;
}

/* Another backend gets the number: nothing of what was learned of this one, or chosen, is that one's. */
static void
forget_backend(skua_selector *selector, skua__select_kernel *kernel, uint32_t backend) {
    kernel->run[backend] = skua__mem_free(selector->hook, kernel->run[backend]);
    kernel->tries[backend] = 0;
    for (size_t i = 0; i < SKUA__CURVE_NODES; i++) {
        kernel->last[i] = kernel->last[i] == backend + 1 ? 0 : kernel->last[i];
    }
}

/* A slot for a new backend: a fresh one, or that of one which only the file knows; NULL: none. */
static skua__select_backend *
backend_slot(skua_selector *selector) {
    if (selector->backend_count < SKUA_SELECT_BACKENDS_MAX) {
        return &selector->backends[selector->backend_count++];
    }
    for (uint32_t i = 0; i < SKUA_SELECT_BACKENDS_MAX; i++) {
        if (!selector->backends[i].active) {
            for (uint32_t k = 0; k < selector->kernel_count; k++) {
                forget_backend(selector, selector->kernels[k], i);
            }
            selector->backends[i] = (skua__select_backend){0};
            return &selector->backends[i];
        }
    }
    return NULL;
}

skua_status
skua_selector_add_backend(skua_selector *selector, const skua_select_backend *backend,
                          uint32_t *ret_backend, skua_error *err) {
    skua_select_backend read;
    if (!selector || !ret_backend || !backend || !SKUA_READ_OPTIONS(&read, backend) ||
        !name_fits(read.name) || read.kind < SKUA_SELECT_SCALAR || read.kind > SKUA_SELECT_PEER ||
        read.launch_ns < 0) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "a backend needs a name of 1 to %d bytes, one of the kinds, and a launch "
                         "time that is not negative",
                         SKUA_SELECT_NAME_BYTES - 1);
    }
    skua__select_backend *found = skua__select_backend_find(selector, read.name);
    if (found && found->active) {
        return SKUA_FAIL(err, SKUA_E_EXISTS, "the backend \"%s\" was told already", read.name);
    }
    if (!found) {
        found = backend_slot(selector);
        if (!found) {
            return SKUA_FAIL(err, SKUA_E_LIMIT, "a selector takes at most %d backends",
                             SKUA_SELECT_BACKENDS_MAX);
        }
        memcpy(found->name, read.name, strlen(read.name) + 1);
    }
    for (uint32_t k = 0; k < selector->kernel_count; k++) {
        skua__curve *curve = selector->kernels[k]->run[found - selector->backends];
        if (curve) { /* from the file, which does not say what it is of */
            curve->masked = is_masked(read.kind);
        }
    }
    found->active = true;
    found->move.linear = true;
    found->kind = read.kind;
    found->launch_ns =
        found->launch.samples ? skua__curve_ns(found->launch.log_ns) : read.launch_ns;
    found->bytes_per_s = read.bytes_per_s;
    found->flops = read.flops;
    *ret_backend = (uint32_t)(found - selector->backends);
    return SKUA_OK;
}

skua_status
skua_selector_remove_backend(skua_selector *selector, uint32_t backend, skua_error *err) {
    if (!selector || backend >= selector->backend_count || !selector->backends[backend].active) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "no backend of this selector has the number %u",
                         backend);
    }
    selector->backends[backend].active = false;
    return SKUA_OK;
}

/* The kernel's number, or the count when there is none of this name. */
static uint32_t
kernel_index(const skua_selector *selector, const char *name) {
    uint32_t i = 0;
    while (i < selector->kernel_count && strcmp(selector->kernels[i]->name, name) != 0) {
        i++;
    }
    return i;
}

skua__select_kernel *
skua__select_kernel_get(skua_selector *selector, const char *name) {
    uint32_t i = kernel_index(selector, name);
    if (i < selector->kernel_count) {
        return selector->kernels[i];
    }
    skua__select_kernel *kernel =
        i < SKUA_SELECT_KERNELS_MAX ? skua__mem_new(selector->hook, sizeof *kernel) : NULL;
    if (kernel) {
        memcpy(kernel->name, name, strlen(name) + 1);
        selector->kernels[selector->kernel_count++] = kernel;
    }
    return kernel;
}

skua_status
skua_selector_kernel(skua_selector *selector, const char *name, uint32_t *ret_kernel,
                     skua_error *err) {
    if (!selector || !ret_kernel || !name_fits(name)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a kernel needs a name of 1 to %d bytes",
                         SKUA_SELECT_NAME_BYTES - 1);
    }
    uint32_t i = kernel_index(selector, name);
    if (i == SKUA_SELECT_KERNELS_MAX) {
        return SKUA_FAIL(err, SKUA_E_LIMIT, "a selector takes at most %d kernels",
                         SKUA_SELECT_KERNELS_MAX);
    }
    if (!skua__select_kernel_get(selector, name)) {
        return SKUA_FAIL_MEMORY(err, "a kernel's times");
    }
    *ret_kernel = i;
    return SKUA_OK;
}

skua__curve *
skua__select_curve(skua_selector *selector, skua__select_kernel *kernel, uint32_t backend) {
    if (!kernel->run[backend]) {
        kernel->run[backend] = skua__mem_new(selector->hook, sizeof(skua__curve));
        if (kernel->run[backend]) {
            kernel->run[backend]->masked = is_masked(selector->backends[backend].kind);
        }
    }
    return kernel->run[backend];
}
