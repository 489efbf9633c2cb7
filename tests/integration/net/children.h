// SPDX-License-Identifier: MPL-2.0
// Node processes of a test: started with arguments, spoken to, and their lines waited for with a deadline.
#ifndef SKUA_TEST_CHILDREN_H
#define SKUA_TEST_CHILDREN_H

#include "test.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
    CHILD_TEXT_BYTES = 16384,
    CHILD_WAIT_MS =
        30000, /* for what must come: how long it takes says more of the machine than of us */
    /*
     * A promised time is measured while the machine may do other work. So a test takes it several times and asserts on the
     * median: a machine that stands still now and then cannot fail it, and a way that is always too long does.
     */
    CHILD_ROUNDS = 5,
    CHILD_TRIES = 3, /* for what takes seconds: one of so many must keep the promise */
};

typedef struct child {
    pid_t pid;
    int to, from; /* pipes: its stdin, its stdout */
    char text[CHILD_TEXT_BYTES];
    size_t used;
    char name[32];
    char endpoint[64];
} child;

/* The program to run: argv[1] of the test. */
void children_program(const char *path);
/*
 * Starts a node process; arguments end with NULL. net_namespace may be NULL. It is not waited for: see child_ready().
 */
void child_start(child *self, const char *net_namespace, const char *const *arguments);
/* Waits for its READY line; fills endpoint. */
void child_ready(child *self);
void child_tell(child *self, const char *line);
/*
 * Waits up to limit_ms for a line that begins with `begin` (earlier lines are dropped); false when none comes. The line is
 * copied to ret when that is not NULL (256 bytes).
 */
bool child_says(child *self, const char *begin, int64_t limit_ms, char *ret);
/* The same, or the test fails. */
void child_must_say(child *self, const char *begin, int64_t limit_ms, char *ret);
/* Fails the test when such a line comes within limit_ms. */
void child_must_not_say(child *self, const char *begin, int64_t limit_ms);
/*
 * Has it wait in vain for so many peers until the error names `who` and `why`: what it has heard of them when the time is over
 * depends on how busy the machine is.
 */
void child_must_miss(child *self, int peers, const char *who, const char *why);
/* The median of CHILD_ROUNDS figures, which it sorts. */
double child_median(double *figures);
/* Drops every line that is there. */
void child_skip(child *self);
void child_kill(child *self, int signal);
/* Ends whatever a test that failed has left: a teardown for each test. */
int children_end_all(void **state);
/* SIGKILL and wait; for one that is gone already too. */
void child_end(child *self);

#endif
