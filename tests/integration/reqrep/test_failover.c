// SPDX-License-Identifier: MPL-2.0
// Providers that die by SIGKILL with requests in their hands: every request still ends exactly once, and in a reply where
// another provider lives.
#include "world.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *child_program; /* set once, in main */

typedef struct child {
    pid_t pid;
    FILE *out;
} child;

static void
child_start(child *self, const world *w, const char *name, const char *service, const char *mode) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    char port[8];
    snprintf(port, sizeof port, "%u", w->beacon_port);
    char *const args[] = {(char *)(uintptr_t)child_program, port,
                          (char *)(uintptr_t)name,          (char *)(uintptr_t)service,
                          (char *)(uintptr_t)mode,          NULL};
    assert_int_equal(posix_spawn(&self->pid, child_program, &actions, NULL, args, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    self->out = fdopen(fds[0], "r");
}

/* Waits for the child's next line. */
static void
child_says(child *self, const char *word) {
    char line[64];
    struct pollfd wait = {.fd = fileno(self->out), .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 20000), 1);
    assert_non_null(fgets(line, sizeof line, self->out));
    line[strcspn(line, "\n")] = 0;
    assert_string_equal(line, word);
}

static void
child_kill(child *self) {
    if (self->pid) {
        kill(self->pid, SIGKILL);
        waitpid(self->pid, NULL, 0);
        fclose(self->out);
        self->pid = 0;
    }
}

static void
test_failover_when_the_provider_is_killed_in_mid_request(void **state) {
    world *w = *state;
    skua_error err = {0};
    skua_node *node = world_node(w, "asks");
    child stuck = {0}, sound = {0};
    child_start(&stuck, w, "stuck", "work", "stuck");
    child_says(&stuck, "ready");
    skua_req *req = NULL;
    must(skua_req_open(&req, node, "work", NULL, &err), &err);
    uint64_t id;
    skua_msg *msg = skua_msg_of_string("precious");
    must(skua_req_send(req, &msg, 20000, &id, &err), &err);
    child_says(&stuck, "got");
    child_start(&sound, w, "sound", "work", "echo");
    child_says(&sound, "ready");
    double killed = seconds_now();
    child_kill(&stuck);
    skua_req_result result = {.size = sizeof result};
    must(skua_req_recv(req, &result, 20000, &err), &err);
    double took = seconds_now() - killed;
    must(result.status, &result.error);
    assert_int_equal(result.attempts, 2);
    assert_true(skua_msg_equals(result.reply, 0, "precious"));
    assert_string_equal(skua_msg_sender_name(result.reply), "sound");
    assert_string_equal(skua_msg_property(result.reply, "redelivered"), "yes");
    skua_msg_free(result.reply);
    fprintf(stderr, "fail-over took %.1f ms\n", took * 1e3);
    skua_reqrep_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_req_stats(req, &stats), SKUA_OK);
    assert_int_equal(stats.retries, 1);
    assert_int_equal(stats.sent,
                     stats.confirmed + stats.sent_dropped + stats.moved + stats.unconfirmed);
    skua_req_close(req);
    child_kill(&sound);
    skua_node_close(node);
}

static void
test_failover_is_refused_when_one_attempt_is_all(void **state) {
    world *w = *state;
    skua_error err = {0};
    skua_node *node = world_node(w, "asks");
    child stuck = {0};
    child_start(&stuck, w, "stuck", "once", "stuck");
    child_says(&stuck, "ready");
    skua_req *req = NULL;
    must(skua_req_open(&req, node, "once", SKUA_REQ_OPTIONS(.attempts = 1), &err), &err);
    uint64_t id;
    skua_msg *msg = skua_msg_of_string("not twice");
    must(skua_req_send(req, &msg, 20000, &id, &err), &err);
    child_says(&stuck, "got");
    child_kill(&stuck);
    skua_req_result result = {.size = sizeof result};
    must(skua_req_recv(req, &result, 20000, &err), &err);
    assert_int_equal(result.status, SKUA_E_PEER_LOST);
    assert_non_null(strstr(result.error.message, "stuck died with a request to \"once\""));
    skua_req_close(req);
    skua_node_close(node);
}

static void
test_failover_loses_none_of_many(void **state) {
    enum { COUNT = 2000, CHILDREN = 3 };
    world *w = *state;
    skua_error err = {0};
    skua_node *node = world_node(w, "asks");
    child children[CHILDREN] = {{0}};
    skua_req *req = NULL;
    must(skua_req_open(&req, node, "many", SKUA_REQ_OPTIONS(.attempts = 10), &err), &err);
    for (int i = 0; i < CHILDREN; i++) {
        char name[16];
        snprintf(name, sizeof name, "child%d", i);
        child_start(&children[i], w, name, "many", "echo");
        child_says(&children[i], "ready");
    }
    must(skua_req_await_provider(req, 20000, &err), &err);
    int asked = 0, ended = 0;
    while (ended < COUNT) {
        while (asked < COUNT && asked - ended < 300) {
            char text[16];
            snprintf(text, sizeof text, "%d", asked++);
            skua_msg *msg = skua_msg_of_string(text);
            must(skua_req_send(req, &msg, 60000, NULL, &err), &err);
        }
        if (ended == COUNT / 4) {
            child_kill(&children[0]);
        } else if (ended == COUNT / 2) {
            child_kill(&children[1]);
        }
        skua_req_result result = {.size = sizeof result};
        must(skua_req_recv(req, &result, 30000, &err), &err);
        must(result.status, &result.error);
        skua_msg_free(result.reply);
        ended++;
    }
    skua_reqrep_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_req_stats(req, &stats), SKUA_OK);
    assert_int_equal(stats.replied, COUNT);
    assert_int_equal(stats.in_flight, 0);
    assert_int_equal(stats.sent,
                     stats.confirmed + stats.sent_dropped + stats.moved + stats.unconfirmed);
    fprintf(stderr, "retries: %llu, moved: %llu\n", (unsigned long long)stats.retries,
            (unsigned long long)stats.moved);
    skua_req_close(req);
    for (int i = 0; i < CHILDREN; i++) {
        child_kill(&children[i]);
    }
    skua_node_close(node);
}

int
main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s REP_CHILD\n", argv[0]);
        return 2;
    }
    child_program = argv[1];
    world w;
    world_init(&w);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_failover_when_the_provider_is_killed_in_mid_request, &w),
        cmocka_unit_test_prestate(test_failover_is_refused_when_one_attempt_is_all, &w),
        cmocka_unit_test_prestate(test_failover_loses_none_of_many, &w),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_fini(&w);
    return failed;
}
