// SPDX-License-Identifier: MPL-2.0
// What the tests of push, pull, pub and sub share.
#include "pattern_world.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void
must(skua_status status, const skua_error *err) {
    if (status != SKUA_OK) {
        fail_msg("%d %s %s", status, err->code, err->message);
    }
}

int
world_open(void **state) {
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->a = test_node_open("a");
    world->b = test_node_open("b");
    test_node_await(world->a, 1);
    *state = world;
    return 0;
}

int
world_close(void **state) {
    struct world *world = *state;
    skua_node_close(world->a);
    skua_node_close(world->b);
    free(world);
    return 0;
}

skua_pattern_stats
push_stats(skua_push *push) {
    skua_pattern_stats stats = {.size = sizeof stats};
    MUST(skua_push_stats(push, &stats, err));
    must_balance(&stats);
    return stats;
}

skua_pattern_stats
pull_stats(skua_pull *pull) {
    skua_pattern_stats stats = {.size = sizeof stats};
    MUST(skua_pull_stats(pull, &stats, err));
    must_balance(&stats);
    return stats;
}

skua_pattern_stats
pub_stats(skua_pub *pub) {
    skua_pattern_stats stats = {.size = sizeof stats};
    MUST(skua_pub_stats(pub, &stats, err));
    must_balance(&stats);
    return stats;
}

skua_pattern_stats
sub_stats(skua_sub *sub) {
    skua_pattern_stats stats = {.size = sizeof stats};
    MUST(skua_sub_stats(sub, &stats, err));
    must_balance(&stats);
    return stats;
}

void
must_balance(const skua_pattern_stats *stats) {
    assert_int_equal(stats->sent, stats->confirmed + stats->dropped_slow + stats->dropped_lost +
                                      stats->dropped_closed + stats->moved + stats->unconfirmed);
}

skua_msg *
msg_of_number(uint64_t number) {
    skua_msg *msg = skua_msg_of_bytes(&number, sizeof number);
    assert_non_null(msg);
    return msg;
}

uint64_t
number_of_msg(const skua_msg *msg) {
    uint64_t number;
    assert_int_equal(skua_msg_size(msg, 0), sizeof number);
    memcpy(&number, skua_msg_data(msg, 0), sizeof number);
    return number;
}

/* ---- Worker processes ---- */

static const char *program;

void
worker_program(const char *path) {
    program = path;
}

void
worker_start(worker_process *worker, const char *const *arguments) {
    test_fleet_begin();
    int to[2], from[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    worker->pid = fork();
    assert_true(worker->pid >= 0);
    if (worker->pid == 0) {
        const char *argv[16] = {program};
        for (size_t i = 0; arguments[i] && i < 14; i++) {
            argv[i + 1] = arguments[i];
        }
        dup2(to[0], 0);
        dup2(from[1], 1);
        for (int fd = 3; fd < 256; fd++) {
            close(fd);
        }
        execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    worker->to = to[1];
    worker->from = from[0];
}

void
worker_line(worker_process *worker, char *ret, size_t size) {
    size_t used = 0;
    while (used + 1 < size) {
        struct pollfd fd = {.fd = worker->from, .events = POLLIN};
        if (poll(&fd, 1, 10000) != 1 || read(worker->from, ret + used, 1) != 1) {
            fail_msg("the worker process says nothing");
        }
        if (ret[used] == '\n') {
            break;
        }
        used++;
    }
    ret[used] = 0;
}

static void
reap(worker_process *worker) {
    if (worker->pid > 0) {
        waitpid(worker->pid, NULL, 0);
        close(worker->to);
        close(worker->from);
        worker->pid = 0;
    }
}

void
worker_kill(worker_process *worker) {
    kill(worker->pid, SIGKILL);
    reap(worker);
}

void
worker_end(worker_process *worker) {
    if (worker->pid > 0) {
        close(worker->to);
        worker->to = -1;
    }
    reap(worker);
}
