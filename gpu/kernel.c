// SPDX-License-Identifier: MPL-2.0
// A kernel as it is registered: checked once, copied, and constant from then on.
#include "program_store.h"

#include <skua-int/fail.h>
#include <skua-int/launch.h>
#include <skua-int/mem.h>
#include <stdio.h>
#include <string.h>

/* What stands in front of every source; the line number starts anew, so that the compiler's words fit the source. */
static const char macros[] =
    "#define SKUA_SIZE ulong skua_size_0, ulong skua_size_1, ulong skua_size_2, ulong "
    "skua_whole_0\n"
    "#define SKUA_GLOBAL_SIZE(d) ((d) == 0 ? skua_whole_0 : (d) == 1 ? skua_size_1 : \\\n"
    "  (d) == 2 ? skua_size_2 : 1)\n"
    "#define SKUA_GUARD() do { if (get_global_id(0) >= skua_size_0 || \\\n"
    "  get_global_id(1) >= skua_size_1 || get_global_id(2) >= skua_size_2) return; } while (0)\n"
    "#line 1\n";

static bool
name_is_good(const char *name) {
    size_t length = name ? strnlen(name, SKUA_KERNEL_NAME_BYTES) : 0;
    if (length == 0 || length == SKUA_KERNEL_NAME_BYTES) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || (c != '.' && c != '_' && c != '-'))) {
            return false;
        }
    }
    return true;
}

static skua_status
check_spec(const char *name, const skua_kernel_spec *spec, skua_error *err) {
    if (!name_is_good(name)) {
        return SKUA_FAIL(err, SKUA_E_BAD_NAME,
                         "a kernel's name is 1 to %d of a-z, 0-9, '.', '_', '-', and begins with a "
                         "letter or digit",
                         SKUA_KERNEL_NAME_BYTES - 1);
    }
    if (!spec->source && !spec->fn) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "kernel \"%s\" needs a source for devices or a function for cores", name);
    }
    if (spec->param_count > SKUA_KERNEL_MAX_PARAMS || (spec->param_count && !spec->params)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "kernel \"%s\" may have up to %d parameters",
                         name, SKUA_KERNEL_MAX_PARAMS);
    }
    for (uint32_t i = 0; i < spec->param_count; i++) {
        if (spec->params[i] < SKUA_PARAM_IN || spec->params[i] > SKUA_PARAM_LOCAL) {
            return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                             "parameter %u of kernel \"%s\" is of no kind", i, name);
        }
        if (spec->sliced >> i & 1 && spec->params[i] > SKUA_PARAM_INOUT) {
            return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                             "parameter %u of kernel \"%s\" is no memory, and so cannot be sliced",
                             i, name);
        }
    }
    if (spec->param_count < SKUA_KERNEL_MAX_PARAMS && spec->sliced >> spec->param_count) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "kernel \"%s\" slices parameters that it does not have", name);
    }
    if (spec->source &&
        strnlen(spec->source, SKUA_KERNEL_MAX_SOURCE_BYTES) == SKUA_KERNEL_MAX_SOURCE_BYTES) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG, "the source of kernel \"%s\" is above %d bytes", name,
                         SKUA_KERNEL_MAX_SOURCE_BYTES - 1);
    }
    return SKUA_OK;
}

static char *
join_source(const skua_allocator *hook, const char *source) {
    size_t bytes = strlen(source) + 1;
    char *text = skua__mem_new(hook, sizeof macros - 1 + bytes);
    if (text) {
        memcpy(text, macros, sizeof macros - 1);
        memcpy(text + sizeof macros - 1, source, bytes);
    }
    return text;
}

skua_status
skua__kernel_new(const skua_allocator *hook, const char *name, const skua_kernel_spec *given,
                 skua__kernel **ret_kernel, skua_error *err) {
    skua_kernel_spec spec;
    if (!given || !SKUA_READ_OPTIONS(&spec, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a kernel needs a spec with its size set");
    }
    skua_status status = check_spec(name, &spec, err);
    if (status) {
        return status;
    }
    skua__kernel *kernel = skua__mem_new(hook, sizeof *kernel);
    if (!kernel) {
        return SKUA_FAIL_MEMORY(err, "a kernel");
    }
    kernel->hook = hook;
    snprintf(kernel->name, sizeof kernel->name, "%s", name);
    kernel->entry = skua__mem_strdup(hook, spec.entry ? spec.entry : name);
    kernel->options = skua__mem_strdup(hook, spec.options ? spec.options : "");
    kernel->text = spec.source ? join_source(hook, spec.source) : NULL;
    if (!kernel->entry || !kernel->options || (spec.source && !kernel->text)) {
        skua__kernel_free(kernel);
        return SKUA_FAIL_MEMORY(err, "a kernel's source");
    }
    skua__program_digest(kernel);
    if (spec.param_count) {
        memcpy(kernel->params, spec.params, spec.param_count * sizeof spec.params[0]);
    }
    memcpy(kernel->local, spec.local, sizeof kernel->local);
    kernel->param_count = spec.param_count;
    kernel->guarded = spec.guarded;
    kernel->sliced = spec.sliced;
    kernel->fn = spec.fn;
    kernel->fn_arg = spec.fn_arg;
    kernel->check = spec.check;
    kernel->work = spec.work;
    kernel->bytes = spec.bytes;
    *ret_kernel = kernel;
    return SKUA_OK;
}

skua__kernel *
skua__kernel_free(skua__kernel *kernel) {
    if (kernel) {
        skua__mem_free(kernel->hook, kernel->entry);
        skua__mem_free(kernel->hook, kernel->options);
        skua__mem_free(kernel->hook, kernel->text);
        skua__mem_free(kernel->hook, kernel);
    }
    return NULL;
}
