// SPDX-License-Identifier: MPL-2.0
// How much CPU the cgroup lets this process use: both versions of cgroups, nested groups, containers.
#ifndef SKUA_INT_QUOTA_H
#define SKUA_INT_QUOTA_H

#include <stdint.h>

/*
 * The smallest CPU quota of this process's cgroup and its ancestors, in CPUs; 0 when there is none or it cannot be
 * read. root is put in front of /proc and of the mount points: "" on a real machine, a folder of fixtures in a test.
 */
double skua__quota_cpus(const char *root);
/* The same, with a number that names the cgroup which states it: processes under one quota get the same one. */
double skua__quota_under(const char *root, uint64_t *ret_name);

#endif
