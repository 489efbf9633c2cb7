// SPDX-License-Identifier: MPL-2.0
// Worker processes, submitters and the file in which tasks leave their marks.
#include "crew.h"

#include "test_fleet.h"
#include <skua/device.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <skua-int/clock.h>
#include <skua-int/thread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void
must(skua_status status, const skua_error *err) {
    if (status) {
        fail_msg("%s in %s: %s", err->code, err->where, err->message);
    }
}

/* ---- Tasks ---- */

int
crew_noop(skua_task_call *call, void *arg) {
    (void)call, (void)arg;
    return 0;
}

int
crew_upper(skua_task_call *call, void *arg) {
    (void)arg;
    size_t size;
    const char *input = skua_task_input(call, &size);
    void *room;
    if (skua_task_output(call, size, &room)) {
        return skua_task_fail(call, 9, "no room");
    }
    for (size_t i = 0; i < size; i++) {
        ((char *)room)[i] = (char)(input[i] & ~0x20);
    }
    return 0;
}

void
crew_leave_mark(const char *word, const char *text, size_t size) {
    char line[80];
    int length = snprintf(line, sizeof line, "%s%.*s %d\n", word, (int)size, text, (int)getpid());
    int fd = open(getenv("SKUA_TEST_MARKS"), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t written = write(fd, line, (size_t)length);
        (void)written;
        close(fd);
    }
    /* The bell: full or without a listener, and nobody needs one ring more. */
    fd = open(getenv("SKUA_TEST_BELL"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t written = write(fd, "", 1);
        (void)written;
        close(fd);
    }
}

static int
crew_mark(skua_task_call *call, void *arg) {
    (void)arg;
    size_t size;
    const char *input = skua_task_input(call, &size);
    crew_leave_mark("", input, size);
    int64_t until_ns = skua__clock_ns() + 100 * SKUA_NS_PER_US;
    while (skua__clock_ns() < until_ns) { /* work of a known length */
    }
    return skua_task_reply(call, input, size) ? 9 : 0;
}

/* Until the task is cancelled or until_ns. Returns whether it was cancelled. */
static bool
linger(skua_task_call *call, int64_t until_ns) {
    skua__mutex lock;
    skua__cond never;
    skua__mutex_init(&lock);
    skua__cond_init(&never);
    skua__mutex_lock(&lock);
    bool cancelled;
    while (!(cancelled = skua_task_cancelled(call)) && skua__clock_ns() < until_ns) {
        skua__cond_wait_until(&never, &lock, skua__clock_ns() + 2 * SKUA_NS_PER_MS);
    }
    skua__mutex_unlock(&lock);
    skua__cond_fini(&never);
    skua__mutex_fini(&lock);
    return cancelled;
}

static int
crew_stall(skua_task_call *call, void *arg) {
    (void)arg;
    crew_leave_mark("begin", "", 0);
    linger(call, SKUA_NEVER_NS);
    crew_leave_mark("end", "", 0);
    return 1;
}

static int
crew_nap(skua_task_call *call, void *arg) {
    (void)arg;
    crew_leave_mark("nap", "", 0);
    return linger(call, skua__clock_ns() + 300 * SKUA_NS_PER_MS) ? 1 : 0;
}

static int
crew_fail(skua_task_call *call, void *arg) {
    (void)arg;
    return skua_task_fail(call, 7, "it was not to be");
}

static int
crew_die(skua_task_call *call, void *arg) {
    (void)call, (void)arg;
    kill(getpid(), SIGKILL);
    return 0;
}

/* ---- Workers ---- */

static const crew_extra *extra_of_test;

void
crew_set_extra(const crew_extra *extra) {
    extra_of_test = extra;
}

static int
say(const skua_error *err) {
    fprintf(stderr, "worker: %s in %s: %s\n", err->code, err->where, err->message);
    return 1;
}

/* Waits for the end of the pipe, or for SIGTERM. Returns whether it was the signal. */
static bool
await_stop(int stop, int term) {
    struct pollfd fds[] = {{.fd = stop, .events = POLLIN}, {.fd = term, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    return fds[1].revents != 0;
}

static int
run_worker(const char *name, int stop) {
    static const struct {
        const char *name;
        skua_task_fn fn;
    } tasks[] = {{"noop", crew_noop},       {"upper", crew_upper}, {"mark", crew_mark},
                 {"stall", crew_stall},     {"fail", crew_fail},   {"die", crew_die},
                 {CREW_LAST_TASK, crew_nap}};
    skua_error err = {0};
    skua_node *node = NULL;
    skua_exec *exec = NULL;
    skua_pool *pool = NULL;
    skua_devices *devices = extra_of_test ? extra_of_test->open_devices() : NULL;
    const char *bytes = getenv("SKUA_TEST_SERVE_BYTES");
    uint16_t port = test_fleet_beacon_port();
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, NULL); /* before there are threads, which inherit it */
    int term = signalfd(-1, &stops, SFD_CLOEXEC);
    if (skua_node_open(&node, SKUA_NODE_OPTIONS(.name = name, .beacon_port = port), &err) ||
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 2), &err) ||
        skua_pool_open(
            &pool,
            SKUA_POOL_OPTIONS(.node = node, .exec = exec, .devices = devices,
                              .serve_queue_bytes = bytes ? strtoull(bytes, NULL, 10) : 0),
            &err)) {
        return say(&err);
    }
    if (extra_of_test) {
        extra_of_test->offer(pool);
    }
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        if (skua_pool_register(pool, tasks[i].name, 1, tasks[i].fn, NULL, &err)) {
            return say(&err);
        }
    }
    if (await_stop(stop, term) && skua_pool_drain(pool, CREW_WAIT_MS, &err)) {
        return say(&err);
    }
    skua_pool_close(pool);
    skua_devices_close(devices);
    skua_exec_close(exec);
    skua_node_close(node);
    return 0;
}

bool
crew_main(int argc, char **argv, int *ret_exit) {
    if (argc != 4 || strcmp(argv[1], "worker") != 0) {
        return false;
    }
    *ret_exit = run_worker(argv[2], atoi(argv[3]));
    return true;
}

/* Workers that were started and not seen to end: of a test that failed, and so never stopped its team. */
static pid_t alive[CREW_MAX];

static void
note_alive(pid_t pid) {
    for (int i = 0; i < CREW_MAX; i++) {
        if (!alive[i]) {
            alive[i] = pid;
            return;
        }
    }
    fail_msg("more than %d workers", CREW_MAX);
}

static pid_t
await_end(pid_t pid, int *ret_status) {
    pid_t ended = waitpid(pid, ret_status, 0);
    for (int i = 0; i < CREW_MAX; i++) {
        alive[i] = alive[i] == pid ? 0 : alive[i];
    }
    return ended;
}

/* The workers of a failed test would be found by the next one, and take its tasks. */
static void
end_left_over(void) {
    for (int i = 0; i < CREW_MAX; i++) {
        pid_t pid = alive[i];
        if (pid) {
            kill(pid, SIGKILL); /* one that is stopped too */
            await_end(pid, NULL);
        }
    }
}

/* In the child: it ends with the test's process, however that ends. */
static void
end_with_parent(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) { /* that was before */
        _exit(127);
    }
}

void
crew_start(crew_team *self, int count) {
    end_left_over();
    memset(self, 0, sizeof *self);
    test_fleet_begin();
    for (int i = 0; i < count; i++) {
        int ends[2], begun[2];
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(pipe2(begun, O_CLOEXEC), 0);
        fcntl(ends[1], F_SETFD, FD_CLOEXEC);
        char name[16], stop[16];
        snprintf(name, sizeof name, "w%d", i);
        snprintf(stop, sizeof stop, "%d", ends[0]);
        pid_t parent = getpid(), pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            end_with_parent(parent);
            char *const args[] = {(char[]){"crew"}, (char[]){"worker"}, name, stop, NULL};
            execv("/proc/self/exe", args);
            _exit(127);
        }
        close(ends[0]);
        note_alive(pid);
        close(begun[1]);
        char none;
        assert_int_equal(read(begun[0], &none, 1),
                         0); /* until it is bound to us: it may be stopped now */
        close(begun[0]);
        self->pids[i] = pid;
        self->stops[i] = ends[1];
        self->count++;
    }
}

void
crew_kill(crew_team *self, int worker, int signal) {
    assert_int_equal(kill(self->pids[worker], signal), 0);
    if (signal == SIGSTOP) { /* its threads may run on until it is seen to have stopped */
        assert_int_equal(waitpid(self->pids[worker], NULL, WUNTRACED), self->pids[worker]);
    }
    if (signal == SIGKILL) {
        await_end(self->pids[worker], NULL);
        crew_leave(self, worker);
        self->pids[worker] = 0;
    }
}

void
crew_leave(crew_team *self, int worker) {
    if (self->stops[worker] >= 0) {
        close(self->stops[worker]);
        self->stops[worker] = -1;
    }
}

void
crew_stop(crew_team *self) {
    for (int i = 0; i < self->count; i++) {
        crew_leave(self, i);
    }
    for (int i = 0; i < self->count; i++) {
        int status = 0;
        if (self->pids[i]) {
            assert_int_equal(await_end(self->pids[i], &status), self->pids[i]);
            if (status != SIGKILL && status != 0) {
                fail_msg("worker w%d ended with the wait status 0x%x: its own words stand above", i,
                         (unsigned)status);
            }
        }
    }
    self->count = 0;
}

/* ---- Submitters ---- */

/* Who came and went, in the test's output: where a test fails, it tells whether a node was taken for dead. */
static void
print_event(void *ctx, const skua_node_event *event) {
    (void)ctx;
    fprintf(stderr, "%s: kind %d, reason %d\n", event->name, event->kind, event->reason);
}

void
bench_open_with(crew_bench *self, const char *name, const skua_pool_options *options,
                skua_error *err) {
    skua_pool_options own = *options;
    self->node = test_node_open_with(SKUA_NODE_OPTIONS(.name = name, .on_event = print_event,
                                                       .heartbeat_ms = self->heartbeat_ms));
    own.node = self->node;
    own.exec = self->exec;
    must(skua_pool_open(&self->pool, &own, err), err);
}

void
bench_open(crew_bench *self, const char *name, int workers) {
    skua_error err = {0};
    memset(self, 0, sizeof *self);
    if (workers) {
        must(skua_exec_open(&self->exec, SKUA_EXEC_OPTIONS(.workers = workers), &err), &err);
    }
    bench_open_with(self, name, SKUA_POOL_OPTIONS(.lease_ms = 0), &err);
}

void
bench_await(crew_bench *self, size_t workers) {
    skua_error err = {0};
    must(skua_pool_await_nodes(self->pool, CREW_LAST_TASK, workers, CREW_WAIT_MS, &err), &err);
}

void
bench_close(crew_bench *self) {
    skua_pool_close(self->pool);
    skua_exec_close(self->exec);
    skua_node_close(self->node);
}

skua_pool_future *
bench_submit(crew_bench *self, const skua_task *task) {
    skua_error err = {0};
    skua_pool_future *future = NULL;
    must(skua_pool_submit_wait(self->pool, task, CREW_WAIT_MS, &future, &err), &err);
    return future;
}

skua_task_result
bench_result(skua_pool_future *future) {
    skua_error err = {0};
    skua_task_result result = {.size = sizeof result};
    must(skua_pool_wait(future, CREW_WAIT_MS, &err), &err);
    must(skua_pool_result(future, &result, &err), &err);
    return result;
}

skua_pool_counters
bench_counters(crew_bench *self) {
    skua_error err = {0};
    skua_pool_counters counters = {.size = sizeof counters};
    must(skua_pool_stats(self->pool, &counters, &err), &err);
    return counters;
}

/* ---- Marks ---- */

void
marks_begin(void) {
    char path[300];
    snprintf(path, sizeof path, "%s/marks", test_fleet_begin());
    setenv("SKUA_TEST_MARKS", path, 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    snprintf(path, sizeof path, "%s/bell", test_fleet_begin());
    setenv("SKUA_TEST_BELL", path, 1);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
}

int
marks_count(const char *text) {
    FILE *file = fopen(getenv("SKUA_TEST_MARKS"), "re");
    assert_non_null(file);
    char line[128];
    int count = 0;
    while (fgets(line, sizeof line, file)) {
        count += strncmp(line, text, strlen(text)) == 0;
    }
    fclose(file);
    return count;
}

void
marks_await(const char *text, int count) {
    int64_t deadline_ns = skua__deadline_ns(CREW_WAIT_MS);
    /* Open for both: it never says that everybody has gone. */
    int bell = open(getenv("SKUA_TEST_BELL"), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(bell >= 0);
    while (marks_count(text) < count) {
        struct pollfd fd = {.fd = bell, .events = POLLIN};
        if (poll(&fd, 1, skua__deadline_left_ms(deadline_ns)) <= 0) {
            fail_msg("%d lines begin with \"%s\" after %d ms, and %d were awaited",
                     marks_count(text), text, CREW_WAIT_MS, count);
        }
        char rings[256];
        ssize_t got = read(bell, rings, sizeof rings);
        (void)got;
    }
    close(bell);
}
