// SPDX-License-Identifier: MPL-2.0
// The box's own: a list of device descriptions, and how it travels from a probing child and lies on disk.
#ifndef SKUA_GPU_DESCRIBE_H
#define SKUA_GPU_DESCRIBE_H

#include <skua/device.h>
#include <stdbool.h>

/* What a look at the drivers found. Plain memory: it is copied, sent and stored as a whole. */
typedef struct skua__device_list {
    uint32_t count;
    uint32_t left_out; /* devices above SKUA_DEVICES_MAX */
    skua_device_info devices[SKUA_DEVICES_MAX];
    char reason[128]; /* for skua_devices_reason() */
} skua__device_list;

enum {
    /* The most bytes that a coded list takes. */
    SKUA__DEVICE_LIST_BYTES = 64 + SKUA_DEVICES_MAX * 1024,
};

/* Codes a list under a fingerprint. Returns the bytes used, at most SKUA__DEVICE_LIST_BYTES. */
size_t skua__device_list_encode(const skua__device_list *list, uint64_t fingerprint, uint8_t *ret);
/* Reads one back. Returns false, with *ret_list untouched, on anything but a whole list of that fingerprint. */
bool skua__device_list_decode(skua__device_list *ret_list, uint64_t fingerprint,
                              const uint8_t *bytes, size_t size);

/* Whether two descriptions are of one device, or of devices that nothing tells apart. Memory sizes drift: they do not count. */
bool skua__device_same(const skua_device_info *a, const skua_device_info *b);

/* ---- cl_device.c: asks OpenCL, in the calling process ---- */

/* Loads OpenCL and describes every device. Fills *ret_list whatever happens; reason says what did. */
void skua__cl_describe(skua__device_list *ret_list);

/* ---- device_probe.c: asks OpenCL in a child ---- */

/*
 * Runs describe() (skua__cl_describe) in a forked child that is killed after timeout_ms. Returns 0 with *ret_list
 * filled also when the child hung or died (then reason says so, and *ret_answered is false); SKUA_E_SYSTEM when no
 * child could be made.
 */
skua_status skua__device_probe(skua__device_list *ret_list, void (*describe)(skua__device_list *),
                               int64_t timeout_ms, bool *ret_answered, skua_error *err);

/* ---- device_cache.c: what was found, kept on disk ---- */

/* The folders and variables that decide what a look would find; tests point them elsewhere. */
typedef struct skua__device_sources {
    const char *vendors_dir;  /* of the .icd files */
    const char *loader_cache; /* changes whenever a library is installed */
    const char *dev_dir;      /* of the device files */
} skua__device_sources;

/* The machine's own sources, with $OCL_ICD_VENDORS honoured when it is a folder. */
skua__device_sources skua__device_sources_of_machine(void);

/* Whether any OpenCL driver seems to be installed at all; when not, nothing need be loaded. */
bool skua__device_driver_installed(const skua__device_sources *sources);
/* A hash over the names, sizes and times of drivers and device files, and over the variables that drivers obey. */
uint64_t skua__device_fingerprint(const skua__device_sources *sources);

/* The folder for descriptions: given, or the user's cache folder. Returns false when there is none. */
bool skua__device_cache_dir(const char *given, char *ret, size_t size);
/* Makes dir and what is above it, as `mkdir -p` does. */
void skua__make_folders(const char *dir);
bool skua__device_cache_load(const char *dir, uint64_t fingerprint, skua__device_list *ret_list);
/* Keeps a list, by writing aside and renaming. A failure is harmless: the next run looks again. */
void skua__device_cache_save(const char *dir, uint64_t fingerprint, const skua__device_list *list);

#endif
