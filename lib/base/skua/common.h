// SPDX-License-Identifier: MPL-2.0
// The named constants that every options struct and every deadline shares.
#ifndef SKUA_COMMON_H
#define SKUA_COMMON_H

#include <skua/error.h>

/* Zero always means "the documented default"; these say the rest. */
#define SKUA_UNLIMITED (-1) /* a limit or a timeout: none at all */
#define SKUA_NONE (-2)      /* a limit or a timeout: exactly zero, do not wait, keep nothing */

/* How soon a task is taken, against others of the same executor or pool. First come, first served within each. */
typedef enum skua_priority {
    SKUA_PRIORITY_NORMAL = 0,
    SKUA_PRIORITY_HIGH = 1,
    SKUA_PRIORITY_LOW = 2, /* passed over by others a bounded number of times: it does not starve */
} skua_priority;

#endif
