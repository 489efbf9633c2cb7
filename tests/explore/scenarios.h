// SPDX-License-Identifier: MPL-2.0
// What the scenarios share: small executors in watched memory, and a counter to wait for that is not the engine's.
#ifndef SKUA_EXPLORE_SCENARIOS_H
#define SKUA_EXPLORE_SCENARIOS_H

#include "explore.h"

#include <skua-int/thread.h>
#include <skua/exec.h>

/* For the option log: time flies here, and a close that waits long has nothing to say. */
extern const skua_log_sink scenario_silence;

/* Opens an executor that sleeps as soon as it finds nothing. */
skua_exec *scenario_open(int32_t workers, int32_t spares);

/* A count that threads wait for, under a lock: the executor's own waiting is what is tested. */
typedef struct tally {
    skua__mutex lock;
    skua__cond reached;
    uint32_t count;
} tally;

tally *tally_new(void);
void tally_add(tally *t);
void tally_wait(tally *t, uint32_t count);
void tally_free(tally *t);

/* scenarios_fork.c */
void scenario_fork(void);
void scenario_leap(void);
void scenario_nest(void);
void scenario_hungry(void);
void scenario_full(void);
void scenario_loop(void);

/* scenarios_wanted.c */
void scenario_wanted(void);
void scenario_sparse(void);

/* scenarios_job.c */
void scenario_inject(void);
void scenario_park(void);
void scenario_shed(void);
void scenario_handful(void);
void scenario_group(void);
void scenario_help(void);
void scenario_spare(void);
void scenario_close(void);
void scenario_bounded(void);

/* scenarios_graph.c */
void scenario_graph(void);
void scenario_within(void);
void scenario_abort(void);

/* scenarios_near.c */
void scenario_near(void);

/* scenarios_offers.c */
void scenario_offers(void);

/* scenarios_resize.c */
void scenario_resize(void);
void scenario_pause(void);
void scenario_slept(void);
void scenario_latch(void);

/* scenarios_cancel.c */
void scenario_cancel(void);
void scenario_withdraw(void);
void scenario_assist(void);
void scenario_ways(void);
void scenario_record(void);

/* scenarios_wait.c */
void scenario_circle(void);
void scenario_deep(void);
void scenario_still(void);

/* scenarios_lease.c */
void scenario_lease(void);
void scenario_orphan(void);

/* scenarios_future.c */
void scenario_future(void);
void scenario_promise(void);
void scenario_line(void);

#endif
