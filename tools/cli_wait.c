// SPDX-License-Identifier: MPL-2.0
// Signals as something to wait for, and waits that they end.
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <skua-int/clock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

skua_status
cli_signals_init(cli *self) {
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write, not the end of us */
    self->signal_fd = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signal_fd < 0 ? cli_fail(self, SKUA_E_SYSTEM, "signalfd: %s", strerror(errno))
                               : SKUA_OK;
}

void
cli_signals_fini(cli *self) {
    if (self->signal_fd >= 0) {
        close(self->signal_fd);
        self->signal_fd = -1;
    }
}

skua_status
cli_check_signals(cli *self) {
    struct signalfd_siginfo info;
    while (self->signal_fd >= 0 && read(self->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGINT) {
            self->interrupted = true;
        } else {
            self->terminated = true;
        }
    }
    if (self->interrupted || self->terminated) {
        return cli_fail(self, SKUA_E_INTERRUPTED, "interrupted");
    }
    return SKUA_OK;
}

skua_status
cli_wait(cli *self, int fd, int64_t deadline_ns) {
    for (;;) {
        skua_status status = cli_check_signals(self);
        if (status) {
            return status;
        }
        struct pollfd fds[2] = {{.fd = self->signal_fd, .events = POLLIN},
                                {.fd = fd, .events = POLLIN}};
        int ready = poll(fds, 2, skua__deadline_left_ms(deadline_ns));
        if (ready < 0 && errno != EINTR) {
            return cli_fail(self, SKUA_E_SYSTEM, "poll: %s", strerror(errno));
        }
        if (fds[1].revents) {
            return SKUA_OK;
        }
        if (ready == 0 && skua__deadline_left_ms(deadline_ns) == 0) {
            return cli_fail(self, SKUA_E_TIMEOUT, "the time was up");
        }
    }
}

skua_status
cli_stopped(cli *self, skua_status status) {
    return status == SKUA_E_INTERRUPTED && !self->interrupted ? SKUA_OK : status;
}

skua_status
cli_count_missed(cli *self, skua_status status, uint64_t came, const char *what) {
    if (status != SKUA_E_TIMEOUT) {
        return status;
    }
    if (!self->count) {
        return SKUA_OK; /* --timeout alone says how long to listen */
    }
    return cli_fail(self, status, "%llu of %lld %s came in time", (unsigned long long)came,
                    (long long)self->count, what);
}

int64_t
cli_deadline_ns(const cli *self, int64_t default_ms) {
    return skua__deadline_ns(self->timeout_ms ? self->timeout_ms : default_ms);
}

int64_t
cli_slice_ms(int64_t deadline_ns) {
    int left_ms = skua__deadline_left_ms(deadline_ns);
    if (left_ms == 0) {
        return SKUA_NONE;
    }
    return left_ms < 0 || left_ms > CLI_SLICE_MS ? CLI_SLICE_MS : left_ms;
}

skua_status
cli_in_slices(cli *self, cli_try *try_it, void *arg, int64_t deadline_ns) {
    for (;;) {
        skua_status status = try_it(self, arg, cli_slice_ms(deadline_ns));
        bool early =
            status == SKUA_E_AGAIN || status == SKUA_E_TIMEOUT || status == SKUA_E_NO_PROVIDER;
        if (!early || skua__deadline_left_ms(deadline_ns) == 0) {
            return status;
        }
        status = cli_check_signals(self);
        if (status) {
            return status;
        }
    }
}

/* ---- Lines of standard input ---- */

static skua_status
read_more(cli *self, cli_lines *lines) {
    if (lines->next > 0) {
        memmove(lines->bytes, lines->bytes + lines->next, lines->used - lines->next);
        lines->used -= lines->next;
        lines->next = 0;
    }
    if (lines->used == lines->capacity) {
        if (lines->capacity >= CLI_MAX_LINE_BYTES) {
            return cli_fail(self, SKUA_E_TOO_BIG, "a line of standard input is over %d bytes",
                            CLI_MAX_LINE_BYTES);
        }
        size_t capacity = lines->capacity ? lines->capacity * 2 : 65536;
        char *bytes = realloc(lines->bytes, capacity);
        if (!bytes) {
            return cli_fail(self, SKUA_E_NO_MEMORY, "no memory for a line of standard input");
        }
        lines->bytes = bytes;
        lines->capacity = capacity;
    }
    skua_status status = cli_wait(self, STDIN_FILENO, SKUA_NEVER_NS);
    if (status) {
        return status;
    }
    ssize_t size = read(STDIN_FILENO, lines->bytes + lines->used, lines->capacity - lines->used);
    if (size < 0 && errno != EINTR && errno != EAGAIN) {
        return cli_fail(self, SKUA_E_FILE, "cannot read standard input: %s", strerror(errno));
    }
    lines->ended = size == 0;
    lines->used += size > 0 ? (size_t)size : 0;
    return SKUA_OK;
}

skua_status
cli_next_line(cli *self, cli_lines *lines, char **ret_line, size_t *ret_size) {
    for (size_t looked = lines->next;;) {
        char *start = lines->bytes ? lines->bytes + lines->next : NULL;
        char *end =
            lines->used > looked ? memchr(lines->bytes + looked, '\n', lines->used - looked) : NULL;
        if (end || (lines->ended && lines->used > lines->next)) {
            size_t size = end ? (size_t)(end - start) : lines->used - lines->next;
            lines->next += size + (end ? 1 : 0);
            *ret_line = start;
            *ret_size = size;
            return SKUA_OK;
        }
        if (lines->ended) {
            return SKUA_E_NOT_FOUND;
        }
        looked = lines->used - lines->next; /* where it will stand after the move to the front */
        skua_status status = read_more(self, lines);
        if (status) {
            return status;
        }
    }
}

void
cli_lines_fini(cli_lines *lines) {
    free(lines->bytes);
    *lines = (cli_lines){.bytes = NULL};
}
