// SPDX-License-Identifier: MPL-2.0
// The crew of the pool's tests itself: no worker outlives a test that failed, nor a test program that died.
#include "crew.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void
test_crew_ends_those_of_a_test_that_failed(void **state) {
    (void)state;
    static crew_team failed, next;
    crew_start(&failed, 2);
    crew_kill(&failed, 0, SIGSTOP);
    crew_start(&next, 1); /* the last one was never stopped */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kill(failed.pids[i], 0), -1);
        assert_int_equal(errno, ESRCH);
    }
    crew_stop(&next);
}

/* Orphans are ours to wait for, since we are their subreaper: were one to live on, this would never end. */
static void
test_crew_ends_with_a_program_that_dies(void **state) {
    (void)state;
    int pids[2];
    assert_int_equal(pipe(pids), 0);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t program = fork();
    if (program == 0) {
        static crew_team team;
        crew_start(&team, 2);
        crew_kill(&team, 0, SIGSTOP);
        ssize_t wrote = write(pids[1], team.pids, 2 * sizeof team.pids[0]);
        (void)wrote;
        kill(getpid(), SIGKILL);
    }
    pid_t workers[2];
    assert_int_equal(read(pids[0], workers, sizeof workers), sizeof workers);
    assert_int_equal(waitpid(program, NULL, 0), program);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waitpid(workers[i], NULL, 0), workers[i]);
    }
}

int
main(int argc, char **argv) {
    int code;
    if (crew_main(argc, argv, &code)) {
        return code;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crew_ends_those_of_a_test_that_failed),
        cmocka_unit_test(test_crew_ends_with_a_program_that_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
