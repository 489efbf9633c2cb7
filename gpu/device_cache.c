// SPDX-License-Identifier: MPL-2.0
// Keeps device descriptions on disk under a fingerprint of what decides them: the drivers that are installed, the
// device files, and the variables that drivers obey. Asking PoCL takes 20 to 200 ms; reading a file takes under one.
#include "describe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <skua-int/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* FNV-1a with 64 bits (Fowler, Noll and Vo): enough to tell one state of a machine from another. */
static uint64_t
mix(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ at[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

static uint64_t
mix_text(uint64_t hash, const char *text) {
    return text ? mix(hash, text, strlen(text) + 1) : mix(hash, "\1", 1);
}

static uint64_t
mix_file(uint64_t hash, const char *path) {
    struct stat about;
    if (stat(path, &about) < 0) {
        return mix_text(hash, NULL);
    }
    int64_t facts[4] = {about.st_size, about.st_mtim.tv_sec, about.st_mtim.tv_nsec,
                        (int64_t)about.st_ino};
    return mix(mix_text(hash, path), facts, sizeof facts);
}

/* Whether a device file may belong to a driver: /dev/nvidia0, /dev/kfd, /dev/dri. */
static bool
is_driver_file(const char *name) {
    return strncmp(name, "nvidia", 6) == 0 || strcmp(name, "kfd") == 0 || strcmp(name, "dri") == 0;
}

static bool
is_icd_file(const char *name) {
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".icd") == 0;
}

/* Sums the entries that are wanted, so that the order in which the folder lists them does not matter. */
static uint64_t
sum_folder(const char *folder, bool (*wanted)(const char *), bool with_times, size_t *ret_count) {
    *ret_count = 0;
    DIR *dir = opendir(folder);
    if (!dir) {
        return 0;
    }
    uint64_t sum = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (!wanted(entry->d_name)) {
            continue;
        }
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        sum += with_times ? mix_file(1, path) : mix_text(1, path);
        (*ret_count)++;
    }
    closedir(dir);
    return sum;
}

skua__device_sources
skua__device_sources_of_machine(void) {
    skua__device_sources sources = {.vendors_dir = "/etc/OpenCL/vendors",
                                    .loader_cache = "/etc/ld.so.cache",
                                    .dev_dir = "/dev"};
    const char *given = getenv("OCL_ICD_VENDORS");
    struct stat about;
    if (given && stat(given, &about) == 0 && S_ISDIR(about.st_mode)) {
        sources.vendors_dir = given;
    }
    return sources;
}

bool
skua__device_driver_installed(const skua__device_sources *sources) {
    /* These name drivers directly, without a folder. */
    if (getenv("OCL_ICD_VENDORS") || getenv("OCL_ICD_FILENAMES")) {
        return true;
    }
    size_t drivers;
    sum_folder(sources->vendors_dir, is_icd_file, false, &drivers);
    return drivers > 0;
}

uint64_t
skua__device_fingerprint(const skua__device_sources *sources) {
    static const char *const variables[] = {
        "OCL_ICD_VENDORS",    "OCL_ICD_FILENAMES",    "POCL_DEVICES",
        "POCL_CACHE_DIR",     "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
        "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK",     "LD_LIBRARY_PATH",
    };
    uint64_t hash = mix_text(UINT64_C(14695981039346656037), SKUA_VERSION_NUMBER > 0 ? "1" : "");
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        hash = mix_text(hash, getenv(variables[i]));
    }
    size_t count;
    uint64_t sum = sum_folder(sources->vendors_dir, is_icd_file, true, &count);
    hash = mix(hash, &sum, sizeof sum);
    sum = sum_folder(sources->dev_dir, is_driver_file, false, &count);
    hash = mix(hash, &sum, sizeof sum);
    return mix_file(hash, sources->loader_cache);
}

bool
skua__device_cache_dir(const char *given, char *ret, size_t size) {
    if (given) {
        return *given && (size_t)snprintf(ret, size, "%s", given) < size;
    }
    const char *cache = getenv("XDG_CACHE_HOME");
    if (cache && *cache) {
        return (size_t)snprintf(ret, size, "%s/skua", cache) < size;
    }
    const char *home = getenv("HOME");
    return home && *home && (size_t)snprintf(ret, size, "%s/.cache/skua", home) < size;
}

static bool
cache_path(const char *dir, uint64_t fingerprint, char *ret, size_t size) {
    return (size_t)snprintf(ret, size, "%s/devices-%016llx", dir, (unsigned long long)fingerprint) <
           size;
}

bool
skua__device_cache_load(const char *dir, uint64_t fingerprint, skua__device_list *ret_list) {
    char path[4096];
    if (!cache_path(dir, fingerprint, path, sizeof path)) {
        return false;
    }
    FILE *file = fopen(path, "rbe");
    uint8_t *bytes = file ? malloc(SKUA__DEVICE_LIST_BYTES) : NULL;
    bool found = false;
    if (bytes) {
        size_t size = fread(bytes, 1, SKUA__DEVICE_LIST_BYTES, file);
        found = skua__device_list_decode(ret_list, fingerprint, bytes, size);
    }
    free(bytes);
    if (file) {
        fclose(file);
    }
    return found;
}

void
skua__make_folders(const char *dir) {
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path) {
        return;
    }
    for (char *at = path + 1; *at; at++) {
        if (*at == '/') {
            *at = 0;
            mkdir(path, 0700);
            *at = '/';
        }
    }
    mkdir(path, 0700);
}

void
skua__device_cache_save(const char *dir, uint64_t fingerprint, const skua__device_list *list) {
    char path[4096], aside[4160];
    if (!cache_path(dir, fingerprint, path, sizeof path)) {
        return;
    }
    skua__make_folders(dir);
    snprintf(aside, sizeof aside, "%s.XXXXXX", path);
    int fd = mkostemp(aside, O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    uint8_t *bytes = malloc(SKUA__DEVICE_LIST_BYTES);
    size_t size = bytes ? skua__device_list_encode(list, fingerprint, bytes) : 0;
    bool written = size && write(fd, bytes, size) == (ssize_t)size;
    free(bytes);
    close(fd);
    if (!written || rename(aside, path) < 0) {
        unlink(aside);
    }
}
