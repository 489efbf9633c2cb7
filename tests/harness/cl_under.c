// SPDX-License-Identifier: MPL-2.0
// Runs a program whose kernels shall run on OpenCL: cl_under DRIVER PROGRAM [ARGUMENT...]. DRIVER is "any" for what the machine has, or
// "oclgrind", which watches every access: then a complaint of it is a failure. Ends with 77 and the reason where there is none.
#include "cl_trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char oclgrind[] = "/usr/lib/oclgrind/liboclgrind-rt-icd.so";

/*
 * Runs the program. With log_fds, a pipe whose write end it inherits, what comes out of it is shown. Returns its exit code, and
 * whether anything came.
 */
static int
run(char **words, const int *log_fds, bool *ret_complained) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        execv(words[0], words);
        perror(words[0]);
        _exit(127);
    }
    if (log_fds) {
        char text[4096];
        ssize_t got;
        close(log_fds[1]);
        while ((got = read(log_fds[0], text, sizeof text)) > 0) {
            *ret_complained = true;
            fwrite(text, 1, (size_t)got, stderr);
        }
        close(log_fds[0]);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("cl_under");
        return 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int
main(int argc, char **argv) {
    bool checked = argc > 1 && strcmp(argv[1], "oclgrind") == 0, complained = false;
    if (argc < 3 || (!checked && strcmp(argv[1], "any") != 0)) {
        fprintf(stderr, "usage: cl_under any|oclgrind PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    if (checked && access(oclgrind, R_OK) != 0) {
        fprintf(stderr, "skipped: oclgrind is not installed\n");
        return CL_TRIAL_SKIPPED;
    }
    if (checked) {
        setenv("OCL_ICD_VENDORS", oclgrind, 1);
    }
    cl_trial_or_skip();
    if (!checked) {
        return run(argv + 2, NULL, NULL);
    }
    int fds[2];
    char log[32];
    if (pipe(fds) != 0) {
        perror("cl_under");
        return 1;
    }
    /* A pipe, because oclgrind begins a log file anew with each context. */
    snprintf(log, sizeof log, "/dev/fd/%d", fds[1]);
    setenv("OCLGRIND_LOG", log, 1);
    setenv("OCLGRIND_DATA_RACES", "1", 1);
    /* It does not know what an optimiser makes of a rotation, and without one no access is optimised away. */
    setenv("OCLGRIND_BUILD_OPTIONS", "-cl-opt-disable", 1);
    int code = run(argv + 2, fds, &complained);
    if (complained) {
        fprintf(stderr, "oclgrind complained of a kernel\n");
    }
    return code ? code : complained;
}
