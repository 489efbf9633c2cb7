// SPDX-License-Identifier: MPL-2.0
// Looks at the OpenCL drivers in a forked child: a driver may hang, crash, print, or replace signal handlers, and
// all of that stays in the child. The child sends its list through a pipe and ends without running exit handlers.
#include "describe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The list on the pipe needs no fingerprint: both ends are this process's own. */
enum { PIPE_FINGERPRINT = 1 };

/* Leaves the parent's files and signal handlers behind. */
static void
isolate_child(int pipe_fd) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; nowhere >= 0 && fd < 3; fd++) {
        if (fd != pipe_fd) {
            dup2(nowhere, fd);
        }
    }
    if (pipe_fd > 3) {
        close_range(3, (unsigned)pipe_fd - 1, 0);
    }
    close_range((unsigned)pipe_fd + 1 > 3 ? (unsigned)pipe_fd + 1 : 3, ~0u, 0);
}

static _Noreturn void
run_child(int pipe_fd, void (*describe)(skua__device_list *)) {
    isolate_child(pipe_fd);
    skua__device_list *list = calloc(1, sizeof *list);
    uint8_t *bytes = malloc(SKUA__DEVICE_LIST_BYTES);
    if (!list || !bytes) {
        _exit(1);
    }
    describe(list);
    size_t size = skua__device_list_encode(list, PIPE_FINGERPRINT, bytes);
    for (size_t sent = 0; sent < size;) {
        ssize_t n = write(pipe_fd, bytes + sent, size - sent);
        if (n <= 0) {
            _exit(1);
        }
        sent += (size_t)n;
    }
    _exit(0);
}

/* Reads until the child has closed the pipe. Returns false when the deadline came first. */
static bool
read_all(int fd, uint8_t *bytes, size_t *ret_size, int64_t deadline_ns) {
    *ret_size = 0;
    while (*ret_size < SKUA__DEVICE_LIST_BYTES) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = poll(&wait, 1, skua__deadline_left_ms(deadline_ns));
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return false;
        }
        ssize_t n = read(fd, bytes + *ret_size, SKUA__DEVICE_LIST_BYTES - *ret_size);
        if (n <= 0) {
            return n == 0;
        }
        *ret_size += (size_t)n;
    }
    return true;
}

/* Waits for the child. A program that ignores SIGCHLD has it reaped by the system: then nothing is known. */
static int
reap(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return 0;
        }
    }
    return status;
}

skua_status
skua__device_probe(skua__device_list *ret_list, void (*describe)(skua__device_list *),
                   int64_t timeout_ms, bool *ret_answered, skua_error *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot make a pipe to look at OpenCL");
    }
    uint8_t *bytes = malloc(SKUA__DEVICE_LIST_BYTES);
    pid_t child = bytes ? fork() : -1;
    if (child == 0) {
        run_child(ends[1], describe);
    }
    int fork_errno = errno;
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        free(bytes);
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, fork_errno, "cannot start the look at OpenCL");
    }
    size_t size = 0;
    bool in_time = read_all(ends[0], bytes, &size, skua__deadline_ns(timeout_ms));
    close(ends[0]);
    if (!in_time) {
        kill(child, SIGKILL);
    }
    int status = reap(child);
    *ret_answered = in_time && skua__device_list_decode(ret_list, PIPE_FINGERPRINT, bytes, size);
    free(bytes);
    if (*ret_answered) {
        return SKUA_OK;
    }
    memset(ret_list, 0, sizeof *ret_list);
    if (!in_time) {
        snprintf(ret_list->reason, sizeof ret_list->reason,
                 "the OpenCL driver did not answer within %lld ms", (long long)timeout_ms);
    } else {
        snprintf(ret_list->reason, sizeof ret_list->reason,
                 "the OpenCL driver crashed while it was asked (signal %d)",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    return SKUA_OK;
}
