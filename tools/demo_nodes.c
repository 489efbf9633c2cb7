// SPDX-License-Identifier: MPL-2.0
// The demo's nodes: child processes that run `skua node --serve` in a fleet of their own, on loopback.
#include "demo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <skua-int/clock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child of the fork(): only calls that are safe there. */
static void
become_node(char *const *arguments, pid_t parent) {
    /* The child dies with the demo, and Ctrl-C is the demo's to handle. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    if (getppid() != parent) {
        _exit(1);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    execv("/proc/self/exe", arguments);
    _exit(127);
}

static skua_status
start_child(demo *self, demo_child *child) {
    char skua[] = "skua", node[] = "node", serve[] = "--serve", quiet[] = "--quiet";
    char name[] = "--name";
    char *const arguments[] = {skua, node, serve, quiet, name, child->name, NULL};
    pid_t parent = getpid();
    child->born_ns = skua__clock_ns();
    pid_t pid = fork();
    if (pid == 0) {
        become_node(arguments, parent);
    }
    if (pid < 0) {
        return cli_fail(self->cli, SKUA_E_SYSTEM, "cannot start a node: fork: %s", strerror(errno));
    }
    child->pid = pid;
    return SKUA_OK;
}

/* A node that ended on its own has said why on stderr. */
static skua_status
check_children(demo *self) {
    for (size_t i = 0; i < DEMO_NODES; i++) {
        demo_child *child = &self->children[i];
        if (child->pid && waitpid(child->pid, NULL, WNOHANG) == child->pid) {
            child->pid = 0;
            return cli_fail(self->cli, SKUA_E_INTERNAL, "the node %s ended by itself", child->name);
        }
    }
    return SKUA_OK;
}

static void
tell_join(demo *self, const skua_node_event *event, size_t *met) {
    for (size_t i = 0; i < DEMO_NODES; i++) {
        demo_child *child = &self->children[i];
        if (event->kind == SKUA_NODE_JOIN && !child->joined &&
            strcmp(child->name, event->name) == 0) {
            child->joined = true;
            ++*met;
            cli_say(self->cli, "  %s  pid %-7d %-21s  met %.0f ms after its start\n", child->name,
                    (int)child->pid, event->endpoint,
                    (double)(skua__clock_ns() - child->born_ns) / 1e6);
        }
    }
}

static skua_status
meet(demo *self) {
    int64_t deadline_ns = cli_deadline_ns(self->cli, DEMO_MEET_MS);
    for (size_t met = 0; met < DEMO_NODES;) {
        skua_status status = cli_wait(self->cli, skua_node_event_fd(self->node),
                                      skua__deadline_ns(cli_slice_ms(deadline_ns)));
        if (status && status != SKUA_E_TIMEOUT) {
            return status;
        }
        skua_node_event event = {.size = sizeof event};
        while (skua_node_next_event(self->node, &event, SKUA_NONE, NULL) == SKUA_OK) {
            tell_join(self, &event, &met);
        }
        status = check_children(self);
        if (status) {
            return status;
        }
        if (skua__deadline_left_ms(deadline_ns) == 0 && met < DEMO_NODES) {
            return cli_fail(self->cli, SKUA_E_NO_PEERS, "only %zu of %d nodes met on loopback", met,
                            DEMO_NODES);
        }
    }
    /* Meeting is one thing, offering to work is told a moment later. */
    for (;;) {
        skua_status status = skua_pool_await_nodes(self->pool, "wordcount", DEMO_NODES,
                                                   cli_slice_ms(deadline_ns), &self->cli->err);
        skua_status stopped = cli_check_signals(self->cli);
        if (status == SKUA_OK || stopped || skua__deadline_left_ms(deadline_ns) == 0) {
            return stopped ? stopped : status;
        }
    }
}

/* ---- The folder ---- */

enum { LEFTOVER_S = 60 }; /* a younger folder may be about to be locked */

static int
remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info;
    (void)kind;
    (void)at;
    remove(path); /* what cannot be removed stays behind in /tmp */
    return 0;
}

/* Opens a folder of our own and locks it, as long as the descriptor is open. -1: it is not ours, or in use. */
static int
lock_folder(const char *path, int64_t least_age_s) {
    struct stat info;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 &&
        (fstat(fd, &info) || info.st_uid != geteuid() ||
         (int64_t)(time(NULL) - info.st_mtime) < least_age_s || flock(fd, LOCK_EX | LOCK_NB))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Removes what a demo left behind that was killed: nobody locks it any more. */
static void
remove_leftovers(void) {
    static const char prefix[] = "skua-demo-";
    DIR *folder = opendir("/tmp");
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        char path[sizeof "/tmp/" + sizeof entry->d_name];
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) != 0) {
            continue;
        }
        snprintf(path, sizeof path, "/tmp/%s", entry->d_name);
        int fd = lock_folder(path, LEFTOVER_S);
        if (fd >= 0) {
            nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
            close(fd);
        }
    }
    if (folder) {
        closedir(folder);
    }
}

skua_status
demo_nodes_start(demo *self) {
    cli *tool = self->cli;
    remove_leftovers();
    self->dir_fd = -1;
    snprintf(self->dir, sizeof self->dir, "/tmp/skua-demo-XXXXXX");
    if (!mkdtemp(self->dir)) {
        self->dir[0] = 0;
        return cli_fail(tool, SKUA_E_FILE, "cannot make a folder in /tmp: %s", strerror(errno));
    }
    self->dir_fd = lock_folder(self->dir, 0); /* so that no other demo takes it for a leftover */
    /* A personal fleet of the demo's own: it never leaves loopback, and meets nobody else. */
    setenv("XDG_CONFIG_HOME", self->dir, 1);
    skua_status status = skua_node_open(
        &self->node,
        SKUA_NODE_OPTIONS(.name = "demo-submitter", .log = tool->log.level ? &tool->log : NULL),
        &tool->err);
    if (!status) {
        status = skua_pool_open(&self->pool, SKUA_POOL_OPTIONS(.node = self->node), &tool->err);
    }
    cli_say(tool, "%d nodes (skua node --serve) and their submitter meet on loopback:\n",
            DEMO_NODES);
    for (size_t i = 0; !status && i < DEMO_NODES; i++) {
        snprintf(self->children[i].name, sizeof self->children[i].name, "demo-%zu", i + 1);
        status = start_child(self, &self->children[i]);
    }
    return status ? status : meet(self);
}

void
demo_child_signal(demo_child *child, int signal) {
    if (child->pid) {
        kill(child->pid, signal);
    }
}

void
demo_child_reap(demo_child *child) {
    if (child->pid) {
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        child->pid = 0;
    }
}

/* Waits for the end of a child that was asked to stop; one that does not is killed. */
static bool
ended_well(demo *self, demo_child *child, int64_t deadline_ns) {
    int how = 0;
    pid_t ended;
    while ((ended = waitpid(child->pid, &how, WNOHANG)) == 0) {
        if (skua__deadline_left_ms(deadline_ns) == 0) {
            demo_child_signal(child, SIGKILL);
            demo_child_reap(child);
            return false;
        }
        skua_status waited = cli_wait(self->cli, -1, skua__deadline_ns(5));
        if (waited == SKUA_E_INTERRUPTED) {
            deadline_ns = 0; /* impatient */
        }
    }
    child->pid = 0;
    return ended > 0 && WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

skua_status
demo_nodes_stop(demo *self) {
    size_t bad = 0;
    int64_t deadline_ns = skua__deadline_ns(DEMO_STOP_MS);
    skua_error kept = self->cli->err;
    for (size_t i = 0; i < DEMO_NODES; i++) {
        demo_child_signal(&self->children[i], SIGCONT);
        demo_child_signal(&self->children[i], SIGTERM);
    }
    for (size_t i = 0; i < DEMO_NODES; i++) {
        if (self->children[i].pid) {
            bad += !ended_well(self, &self->children[i], deadline_ns);
        }
    }
    self->cli->err = kept;
    return bad ? cli_fail(self->cli, SKUA_E_INTERNAL, "%zu nodes did not end in good order", bad)
               : SKUA_OK;
}

void
demo_nodes_fini(demo *self) {
    self->pool = skua_pool_close(self->pool);
    self->node = skua_node_close(self->node);
    if (self->dir[0]) {
        nftw(self->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        if (self->dir_fd >= 0) {
            close(self->dir_fd);
        }
    }
}
