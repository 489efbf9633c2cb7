// SPDX-License-Identifier: MPL-2.0
// Fleets, nodes and echo threads for the tests of REQ and REP.
#include "world.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A UDP port that was free a moment ago. */
static uint16_t
free_port(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

void
world_init(world *self) {
    strcpy(self->dir, "/tmp/skua-reqrep-XXXXXX");
    assert_non_null(mkdtemp(self->dir));
    setenv("XDG_CONFIG_HOME", self->dir, 1);
    self->beacon_port = free_port();
}

static int
remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void
world_fini(world *self) {
    nftw(self->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

skua_node *
world_node(const world *self, const char *name) {
    skua_node *node = NULL;
    skua_error err = {0};
    must(skua_node_open(&node, SKUA_NODE_OPTIONS(.name = name, .beacon_port = self->beacon_port),
                        &err),
         &err);
    return node;
}

void
must(skua_status status, const skua_error *err) {
    if (status != SKUA_OK) {
        fail_msg("%s in %s: %s", err->code, err->where, err->message);
    }
}

static void *
echo(void *arg) {
    echoer *self = arg;
    for (;;) {
        skua_request *request = NULL;
        if (skua_rep_recv(self->rep, &request, SKUA_UNLIMITED, NULL) != SKUA_OK) {
            return NULL;
        }
        skua_msg *msg = skua_request_take_msg(request);
        if (skua_rep_reply(self->rep, &request, &msg, NULL) == SKUA_OK) {
            atomic_fetch_add(&self->answered, 1);
        }
        skua_msg_free(msg);
        skua_request_free(request);
    }
}

void
echoer_start(echoer *self, skua_node *node, const char *service, const skua_rep_options *options) {
    skua_error err = {0};
    must(skua_rep_open(&self->rep, node, service, options, &err), &err);
    atomic_init(&self->answered, 0);
    assert_int_equal(pthread_create(&self->thread, NULL, echo, self), 0);
}

void
echoer_stop(echoer *self) {
    self->rep = skua_rep_close(self->rep);
    pthread_join(self->thread, NULL);
}

void
pair_open(pair *self, const world *w, const char *service, const skua_req_options *options,
          bool echoes) {
    skua_error err = {0};
    *self = (pair){.echoes = echoes};
    self->asker = world_node(w, "a");
    self->answerer = world_node(w, "b");
    if (echoes) {
        echoer_start(&self->echo, self->answerer, service, NULL);
        self->rep = self->echo.rep;
    } else {
        must(skua_rep_open(&self->rep, self->answerer, service, NULL, &err), &err);
    }
    must(skua_req_open(&self->req, self->asker, service, options, &err), &err);
}

void
pair_close(pair *self) {
    self->req = skua_req_close(self->req);
    if (self->echoes) {
        echoer_stop(&self->echo);
    } else {
        skua_rep_close(self->rep);
    }
    self->rep = NULL;
    self->asker = skua_node_close(self->asker);
    self->answerer = skua_node_close(self->answerer);
}

skua_request *
take_one(skua_rep *rep) {
    skua_error err = {0};
    skua_request *request = NULL;
    must(skua_rep_recv(rep, &request, 10000, &err), &err);
    return request;
}

double
seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
