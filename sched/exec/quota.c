// SPDX-License-Identifier: MPL-2.0
// Reads /proc/self/cgroup, finds where that cgroup is mounted, and takes the smallest quota on the way up to the root.
#include <skua-int/hash.h>
#include <skua-int/quota.h>

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUOTA_LINE_BYTES = 4096,
    QUOTA_LINES_MAX = 4096, /* lines of mountinfo that are looked at */
    QUOTA_DEPTH_MAX = 64,   /* nested cgroups that are looked at */
};

/* Is word one of the comma-separated words of list? */
static bool
has_word(const char *list, const char *word) {
    size_t size = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, word, size) == 0 && (at[size] == ',' || at[size] == 0)) {
            return true;
        }
    }
    return false;
}

static FILE *
open_under(const char *root, const char *path) {
    char full[PATH_MAX];
    if ((size_t)snprintf(full, sizeof full, "%s%s", root, path) >= sizeof full) {
        return NULL;
    }
    return fopen(full, "re");
}

/* One line without its newline; false at the end. A line that is too long is cut. */
static bool
read_line(FILE *file, char line[QUOTA_LINE_BYTES]) {
    if (!fgets(line, QUOTA_LINE_BYTES, file)) {
        return false;
    }
    line[strcspn(line, "\n")] = 0;
    return true;
}

/* The path of our cgroup in the hierarchy that has the cpu controller (version 1) or in the unified one (2). */
static bool
cgroup_path(const char *root, int version, char ret_path[QUOTA_LINE_BYTES]) {
    FILE *file = open_under(root, "/proc/self/cgroup");
    if (!file) {
        return false;
    }
    char line[QUOTA_LINE_BYTES];
    bool found = false;
    for (int i = 0; i < QUOTA_LINES_MAX && !found && read_line(file, line); i++) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) {
            continue;
        }
        *path++ = 0;
        controllers++;
        found = version == 2 ? strcmp(line, "0:") == 0 || (line[0] == '0' && !*controllers)
                             : has_word(controllers, "cpu");
        if (found) {
            memmove(ret_path, path, strlen(path) + 1);
        }
    }
    fclose(file);
    return found;
}

typedef struct cgroup_mount {
    char root[QUOTA_LINE_BYTES];  /* the cgroup that is seen at point */
    char point[QUOTA_LINE_BYTES]; /* where it is mounted */
} cgroup_mount;

/* "36 35 98:0 /root /point options... - type source super-options" */
static bool
parse_mount(char *line, int version, cgroup_mount *ret_mount) {
    char *tail = strstr(line, " - ");
    char type[32], super[QUOTA_LINE_BYTES];
    if (!tail || sscanf(tail, " - %31s %*s %4095s", type, super) != 2) {
        return false;
    }
    if (version == 2 ? strcmp(type, "cgroup2") != 0
                     : strcmp(type, "cgroup") != 0 || !has_word(super, "cpu")) {
        return false;
    }
    return sscanf(line, "%*s %*s %*s %4095s %4095s", ret_mount->root, ret_mount->point) == 2;
}

static bool
cgroup_mounted(const char *root, int version, cgroup_mount *ret_mount) {
    FILE *file = open_under(root, "/proc/self/mountinfo");
    if (!file) {
        return false;
    }
    char line[QUOTA_LINE_BYTES];
    bool found = false;
    for (int i = 0; i < QUOTA_LINES_MAX && !found && read_line(file, line); i++) {
        found = parse_mount(line, version, ret_mount);
    }
    fclose(file);
    return found;
}

static bool
read_words(const char *root, const char *folder, const char *name, char ret_text[64]) {
    char path[2 * QUOTA_LINE_BYTES + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = open_under(root, path);
    if (!file) {
        return false;
    }
    bool read = fgets(ret_text, 64, file) != NULL;
    fclose(file);
    return read;
}

/* The quota that one cgroup's folder states, in CPUs; 0: none. */
static double
folder_quota(const char *root, int version, const char *folder) {
    char text[64];
    long long quota_us = 0, period_us = 0;
    if (version == 2) {
        /* "max 100000" is no number, and so is no quota. */
        if (!read_words(root, folder, "cpu.max", text) ||
            sscanf(text, "%lld %lld", &quota_us, &period_us) != 2) {
            return 0;
        }
    } else {
        if (!read_words(root, folder, "cpu.cfs_quota_us", text)) {
            return 0;
        }
        quota_us = strtoll(text, NULL, 10);
        if (!read_words(root, folder, "cpu.cfs_period_us", text)) {
            return 0;
        }
        period_us = strtoll(text, NULL, 10);
    }
    return quota_us > 0 && period_us > 0 ? (double)quota_us / (double)period_us : 0;
}

/* A quota, and the name of the folder that states it. */
typedef struct named_quota {
    double cpus; /* 0: none */
    uint64_t name;
} named_quota;

static named_quota
smaller_quota(named_quota a, named_quota b) {
    if (a.cpus <= 0) {
        return b;
    }
    return b.cpus > 0 && b.cpus < a.cpus ? b : a;
}

static named_quota
hierarchy_quota(const char *root, int version) {
    char path[QUOTA_LINE_BYTES];
    cgroup_mount mount;
    named_quota quota = {0};
    if (!cgroup_path(root, version, path) || !cgroup_mounted(root, version, &mount)) {
        return quota;
    }
    /* In a container the mount shows only a part of the hierarchy; a path outside of it is not visible. */
    const char *below = path;
    size_t prefix = strlen(mount.root);
    if (strcmp(mount.root, "/") != 0) {
        bool inside =
            strncmp(path, mount.root, prefix) == 0 && (path[prefix] == '/' || path[prefix] == 0);
        below = inside ? path + prefix : "";
    }
    char folder[2 * QUOTA_LINE_BYTES];
    snprintf(folder, sizeof folder, "%s%s", mount.point, strcmp(below, "/") == 0 ? "" : below);
    size_t point_size = strlen(mount.point);
    for (int depth = 0; depth < QUOTA_DEPTH_MAX; depth++) {
        named_quota here = {folder_quota(root, version, folder),
                            skua__hash_bytes(folder, strlen(folder)) + UINT64_C(1)};
        quota = smaller_quota(quota, here);
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < point_size) {
            break;
        }
        *slash = 0;
    }
    return quota;
}

double
skua__quota_under(const char *root, uint64_t *ret_name) {
    named_quota quota = smaller_quota(hierarchy_quota(root, 2), hierarchy_quota(root, 1));
    *ret_name = quota.name;
    return quota.cpus;
}

double
skua__quota_cpus(const char *root) {
    uint64_t name;
    return skua__quota_under(root, &name);
}
