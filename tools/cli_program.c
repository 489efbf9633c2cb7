// SPDX-License-Identifier: MPL-2.0
// A program between two pipes that are both served, so that neither side can wait for the other for ever.
#include "cli_program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

void
cli_output_fini(cli_output *output) {
    free(output->bytes);
    *output = (cli_output){.bytes = NULL};
}

/* Our signals are blocked and SIGPIPE is ignored: the program begins with the defaults. */
static int
spawn(char **words, int in, int out, pid_t *ret_pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawnp(ret_pid, words[0], &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* Reads what is there; *ended at the end of the output. */
static skua_status
take_output(cli *self, int fd, cli_output *output, bool *ended) {
    if (output->size == output->capacity) {
        if (output->capacity >= CLI_MAX_OUTPUT_BYTES) {
            return cli_fail(self, SKUA_E_TOO_BIG, "the program printed over %d bytes",
                            CLI_MAX_OUTPUT_BYTES);
        }
        size_t capacity = output->capacity ? output->capacity * 2 : 65536;
        char *bytes = realloc(output->bytes, capacity);
        if (!bytes) {
            return cli_fail(self, SKUA_E_NO_MEMORY, "no memory for a program's output");
        }
        output->bytes = bytes;
        output->capacity = capacity;
    }
    ssize_t size = read(fd, output->bytes + output->size, output->capacity - output->size);
    if (size > 0) {
        output->size += (size_t)size;
    }
    *ended = size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR);
    return SKUA_OK;
}

/* Serves both pipes until the output ends; *in is closed (-1) when all input is written or nobody reads it. */
static skua_status
serve_pipes(cli *self, int *in, int out, const char *input, size_t left, cli_output *output) {
    for (bool ended = false; !ended;) {
        if (*in >= 0 && left == 0) {
            close(*in);
            *in = -1;
        }
        struct pollfd fds[3] = {{.fd = self->signal_fd, .events = POLLIN},
                                {.fd = out, .events = POLLIN},
                                {.fd = *in, .events = POLLOUT}};
        if (poll(fds, 3, -1) < 0 && errno != EINTR) {
            return cli_fail(self, SKUA_E_SYSTEM, "poll: %s", strerror(errno));
        }
        skua_status status = cli_check_signals(self);
        if (!status && fds[1].revents) {
            status = take_output(self, out, output, &ended);
        }
        if (status) {
            return status;
        }
        if (fds[2].revents) {
            ssize_t size = write(*in, input, left);
            if (size > 0) {
                input += size;
                left -= (size_t)size;
            } else if (size < 0 && errno != EAGAIN && errno != EINTR) {
                left = 0; /* it does not want the rest, which is its right */
            }
        }
    }
    return SKUA_OK;
}

static void
close_pair(int pair[2]) {
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0) {
            close(pair[i]);
        }
    }
}

skua_status
cli_run_program(cli *self, char **words, const void *input, size_t size, cli_output *output,
                int *ret_code) {
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    pid_t pid = 0;
    skua_status status = SKUA_OK;
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
        status = cli_fail(self, SKUA_E_SYSTEM, "pipe: %s", strerror(errno));
    }
    if (!status) {
        fcntl(to[1], F_SETFL, O_NONBLOCK);
        fcntl(from[0], F_SETFL, O_NONBLOCK);
        int rc = spawn(words, to[0], from[1], &pid);
        if (rc) {
            pid = 0;
            status =
                cli_fail(self, SKUA_E_NOT_FOUND, "cannot run \"%s\": %s", words[0], strerror(rc));
        }
    }
    if (!status) {
        close(to[0]);
        close(from[1]);
        to[0] = from[1] = -1;
        status = serve_pipes(self, &to[1], from[0], input, size, output);
    }
    close_pair(to);
    close_pair(from);
    if (pid) {
        int how = 0;
        if (status) {
            kill(pid, SIGKILL);
        }
        while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {
        }
        *ret_code = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
    }
    return status;
}
