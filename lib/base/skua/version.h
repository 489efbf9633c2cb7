// SPDX-License-Identifier: MPL-2.0
// The version of this header set, the version of the library that was loaded, and the export mark.
#ifndef SKUA_VERSION_H
#define SKUA_VERSION_H

#define SKUA_VERSION_MAJOR 0
#define SKUA_VERSION_MINOR 1
#define SKUA_VERSION_PATCH 0
#define SKUA_VERSION_NUMBER                                                                        \
    (SKUA_VERSION_MAJOR * 10000 + SKUA_VERSION_MINOR * 100 + SKUA_VERSION_PATCH)

/* Marks what a shared library exports; everything else stays hidden. */
#define SKUA_API __attribute__((visibility("default")))
/* The caller must look at the returned status. */
#define SKUA_MUST_CHECK __attribute__((warn_unused_result))

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The version of the loaded library, as major * 10000 + minor * 100 + patch; compare it with
 * SKUA_VERSION_NUMBER to see whether header and library agree.
 *
 * Returns: the number; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API int skua_version_number(void);

/**
 * The version of the loaded library as text, such as "0.1.0".
 *
 * Returns: a string that lives as long as the process.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_version_string(void);

#ifdef __cplusplus
}
#endif
#endif
