// SPDX-License-Identifier: MPL-2.0
// Node processes of a test.
#include "children.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <skua-int/clock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 32 };

/* One program for the whole test process, and what it has started. */
static const char *program;
static pid_t started[64];
static size_t started_count;

int
children_end_all(void **state) {
    (void)state;
    while (started_count > 0) {
        pid_t pid = started[--started_count];
        if (waitpid(pid, NULL, WNOHANG) == 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
    }
    return 0;
}

void
children_program(const char *path) {
    program = path;
}

static void
run_child(const char *net_namespace, const char *const *arguments) {
    const char *argv[ARGUMENTS_MAX];
    int count = 0;
    char where[128];
    if (net_namespace) {
        /* Not `ip netns exec`: that also mounts, and fails in a chroot whose / is no mount point. */
        snprintf(where, sizeof where, "--net=/run/netns/%s", net_namespace);
        argv[count++] = "nsenter";
        argv[count++] = where;
    }
    argv[count++] = program;
    while (*arguments && count < ARGUMENTS_MAX - 1) {
        argv[count++] = *arguments++;
    }
    argv[count] = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

void
child_start(child *self, const char *net_namespace, const char *const *arguments) {
    int in[2], out[2];
    memset(self, 0, sizeof *self);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    snprintf(self->name, sizeof self->name, "%s", arguments[0]);
    self->pid = fork();
    assert_true(self->pid >= 0);
    if (self->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        run_child(net_namespace, arguments);
    }
    assert_true(started_count < sizeof started / sizeof started[0]);
    started[started_count++] = self->pid;
    close(in[0]);
    close(out[1]);
    self->to = in[1];
    self->from = out[0];
    fcntl(self->from, F_SETFL, O_NONBLOCK);
}

void
child_ready(child *self) {
    char line[256];
    child_must_say(self, "READY ", CHILD_WAIT_MS, line);
    assert_int_equal(sscanf(line, "READY %63s", self->endpoint), 1);
}

void
child_tell(child *self, const char *line) {
    size_t size = strlen(line);
    assert_int_equal(write(self->to, line, size), size);
    assert_int_equal(write(self->to, "\n", 1), 1);
}

/* Takes the first whole line out of the text; false when there is none. */
static bool
take_line(child *self, char *ret) {
    char *end = memchr(self->text, '\n', self->used);
    if (!end) {
        return false;
    }
    size_t size = (size_t)(end - self->text);
    size_t kept = size < 255 ? size : 255;
    memcpy(ret, self->text, kept);
    ret[kept] = 0;
    self->used -= size + 1;
    memmove(self->text, end + 1, self->used);
    return true;
}

/* Reads more; false after the deadline or at the end of the pipe. */
static bool
read_more(child *self, int64_t deadline_ns) {
    struct pollfd item = {.fd = self->from, .events = POLLIN};
    if (poll(&item, 1, skua__deadline_left_ms(deadline_ns)) <= 0) {
        return false;
    }
    assert_true(self->used < sizeof self->text);
    ssize_t got = read(self->from, self->text + self->used, sizeof self->text - self->used);
    if (got <= 0) {
        return false;
    }
    self->used += (size_t)got;
    return true;
}

bool
child_says(child *self, const char *begin, int64_t limit_ms, char *ret) {
    int64_t deadline_ns = skua__deadline_ns(limit_ms);
    char line[256];
    do {
        while (take_line(self, line)) {
            if (strncmp(line, begin, strlen(begin)) == 0) {
                if (ret) {
                    memcpy(ret, line, sizeof line);
                }
                return true;
            }
        }
    } while (read_more(self, deadline_ns));
    return false;
}

void
child_must_say(child *self, const char *begin, int64_t limit_ms, char *ret) {
    if (!child_says(self, begin, limit_ms, ret)) {
        fail_msg("%s did not say \"%s\" within %lld ms", self->name, begin, (long long)limit_ms);
    }
}

void
child_must_not_say(child *self, const char *begin, int64_t limit_ms) {
    char line[256];
    if (child_says(self, begin, limit_ms, line)) {
        fail_msg("%s said \"%s\"", self->name, line);
    }
}

void
child_must_miss(child *self, int peers, const char *who, const char *why) {
    int64_t deadline_ns = skua__deadline_ns(CHILD_WAIT_MS);
    char command[32], line[256];
    snprintf(command, sizeof command, "await %d 500", peers);
    do {
        child_tell(self, command);
        child_must_say(self, "ERROR SKUA-E010", CHILD_WAIT_MS, line);
    } while ((!strstr(line, who) || !strstr(line, why)) && skua__clock_ns() < deadline_ns);
    if (!strstr(line, who) || !strstr(line, why)) {
        fail_msg("\"%s\" does not name %s and %s", line, who, why);
    }
}

static int
compare_figures(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double
child_median(double *figures) {
    qsort(figures, CHILD_ROUNDS, sizeof *figures, compare_figures);
    return figures[CHILD_ROUNDS / 2];
}

void
child_skip(child *self) {
    while (read_more(self, 0)) {
        self->used = 0;
    }
    self->used = 0;
}

void
child_kill(child *self, int signal) {
    assert_int_equal(kill(self->pid, signal), 0);
}

void
child_end(child *self) {
    if (self->pid > 0) {
        kill(self->pid, SIGKILL);
        waitpid(self->pid, NULL, 0);
        for (size_t i = 0; i < started_count; i++) {
            if (started[i] == self->pid) {
                started[i] = started[--started_count];
            }
        }
        close(self->to);
        close(self->from);
        self->pid = 0;
    }
}
