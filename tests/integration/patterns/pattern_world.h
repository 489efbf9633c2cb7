// SPDX-License-Identifier: MPL-2.0
// What the tests of push, pull, pub and sub share: calls that must succeed, counted workers, and worker processes.
#ifndef SKUA_TEST_PATTERN_WORLD_H
#define SKUA_TEST_PATTERN_WORLD_H

#include "test.h"

#include "test_fleet.h"
#include <skua/pubsub.h>
#include <skua/pushpull.h>
#include <sys/types.h>

/* Fails the test with the error's text. */
void must(skua_status status, const skua_error *err);
#define MUST(call)                                                                                 \
    do {                                                                                           \
        skua_error err_ = {.status = 0};                                                           \
        skua_error *err = &err_;                                                                   \
        must((call), err);                                                                         \
    } while (0)

/* Two nodes that know each other: what the tests of one program share. For cmocka_run_group_tests(). */
struct world {
    skua_node *a, *b;
};
int world_open(void **state);
int world_close(void **state);

skua_pattern_stats push_stats(skua_push *push);
skua_pattern_stats pull_stats(skua_pull *pull);
skua_pattern_stats pub_stats(skua_pub *pub);
skua_pattern_stats sub_stats(skua_sub *sub);
/* The ledger balances: sent = confirmed + dropped + moved + unconfirmed. */
void must_balance(const skua_pattern_stats *stats);

/* A message whose frame is one number, and back. */
skua_msg *msg_of_number(uint64_t number);
uint64_t number_of_msg(const skua_msg *msg);

/* Another process that pulls, told what to do by its arguments; ends when its stdin does. */
typedef struct worker_process {
    pid_t pid;
    int to, from;
} worker_process;
void worker_program(const char *path);
void worker_start(worker_process *worker, const char *const *arguments);
/* Reads one line of its stdout within 10 s, or fails the test. */
void worker_line(worker_process *worker, char *ret, size_t size);
void worker_kill(worker_process *worker); /* SIGKILL */
void worker_end(worker_process *worker);  /* closes its stdin, waits for it */

#endif
