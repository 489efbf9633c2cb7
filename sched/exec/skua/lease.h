// SPDX-License-Identifier: MPL-2.0
// The lease: executors of one user on one host, in any number of processes, share its cores. This header shows who has how
// much of them; the options `lease` and `lease_key` of skua_exec_open() say how an executor takes part.
#ifndef SKUA_LEASE_H
#define SKUA_LEASE_H

#include <skua/exec.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An executor that takes part. */
typedef struct skua_lease_pool {
    size_t size;      /* set it to sizeof(skua_lease_pool) before the call */
    int64_t process;  /* its id */
    uint32_t workers; /* that it would run alone */
    uint32_t share;   /* that it runs at most now */
    uint32_t awake;   /* that do not sleep now */
    bool fixed;       /* it keeps its number whatever the others do: the option workers was given */
} skua_lease_pool;

/**
 * Tells of one executor that takes part in this user's lease on this host. Begin with *position 0; each call moves it on.
 * Executors may come and go meanwhile.
 *
 * key: the lease_key option; 0 for the user's.
 * Returns: 0 and *ret_pool; SKUA_E_NOT_FOUND when there are no more; SKUA_E_UNSUPPORTED with the reason when this process can take no part;
 * SKUA_E_BAD_ARGUMENT.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_lease_next(uint32_t key, uint32_t *position,
                                                     skua_lease_pool *ret_pool, skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
