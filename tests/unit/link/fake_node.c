// SPDX-License-Identifier: MPL-2.0
// A stand-in for the node under lib/net's links.
#include "fake_node.h"

#include "test.h"

#include <zmq.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <skua-int/node_int.h>
#include <skua-int/thread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOTS = 64, PIPES = 64, CHUNK_BYTES = 16384 };

struct skua_node {
    const skua_allocator *hook;
    char name[SKUA_NAME_BYTES];
    skua__uuid uuid;
    void *ctx;
    bool down;
};

struct offer {
    bool used;
    uint32_t life; /* changes with each UP */
    skua_node *node;
    skua__service_kind kind;
    char name[SKUA_NAME_BYTES];
    uint16_t real_port, relay_port;
    int listener;
};

struct skua__watch {
    bool used, busy;
    skua__service_kind kind;
    char name[SKUA_NAME_BYTES];
    void (*fn)(void *arg, skua__provider_event event, const skua__provider *provider);
    void *arg;
    uint32_t told[SLOTS]; /* the life of each offer that it knows; 0: none */
    skua__provider last[SLOTS];
};

struct skua__node_source {
    bool used, busy, watch_fd;
    int fd;
    int64_t at_ns;
    void (*fn)(void *arg);
    void *arg;
};

struct relay_pipe {
    bool used;
    int from, to;
};

/* All of it is guarded by mutex, but for what the one thread alone touches. */
static struct {
    skua__mutex mutex;
    skua__cond idle;
    pthread_t thread;
    int wake;
    bool ending, hold, cut;
    uint32_t lives;
    uint64_t cuts, cut_every, passed, cut_at;
    struct offer offers[SLOTS];
    struct skua__watch watches[SLOTS];
    struct skua__node_source sources[SLOTS];
    struct relay_pipe pipes[PIPES]; /* the thread's own */
} world;

static void
wake_world(void) {
    uint64_t one = 1;
    ssize_t written = write(world.wake, &one, sizeof one);
    (void)written;
}

/* ---- The relay; the world's thread alone ---- */

static void
close_pipes(void) {
    for (int i = 0; i < PIPES; i++) {
        if (world.pipes[i].used) {
            /* RST: what the kernel still holds is lost too. */
            struct linger now = {.l_onoff = 1};
            setsockopt(world.pipes[i].from, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            setsockopt(world.pipes[i].to, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(world.pipes[i].from);
            close(world.pipes[i].to);
            world.pipes[i].used = false;
        }
    }
}

static int
connect_to(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void
accept_pipe(const struct offer *offer) {
    int from = accept4(offer->listener, NULL, NULL, SOCK_CLOEXEC);
    if (from < 0) {
        return;
    }
    int to = world.hold ? -1 : connect_to(offer->real_port);
    for (int i = 0; to >= 0 && i < PIPES; i++) {
        if (!world.pipes[i].used) {
            world.pipes[i] = (struct relay_pipe){.used = true, .from = from, .to = to};
            return;
        }
    }
    close(from);
    if (to >= 0) {
        close(to);
    }
}

/* Moves what one end has to say. Returns false when the pipe broke. */
static bool
move(int from, int to) {
    char chunk[CHUNK_BYTES];
    ssize_t got = recv(from, chunk, sizeof chunk, MSG_DONTWAIT);
    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    world.passed += (uint64_t)got;
    if (world.cut_every && world.passed >= world.cut_at) {
        world.cut_at = world.passed + world.cut_every;
        world.cut = true; /* and this chunk is lost */
        return true;
    }
    for (ssize_t sent = 0; sent < got;) {
        ssize_t rc = send(to, chunk + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (rc <= 0) {
            return false;
        }
        sent += rc;
    }
    return true;
}

/* ---- Watches and sources; the world's thread ---- */

static bool
matches(const struct skua__watch *watch, const struct offer *offer) {
    return offer->used && !offer->node->down && offer->kind == watch->kind &&
           strcmp(offer->name, watch->name) == 0;
}

static skua__provider
provider_of(const struct offer *offer) {
    skua__provider provider = {.node = offer->node->uuid,
                               .incarnation = offer->life,
                               .port = offer->relay_port,
                               .host = "127.0.0.1"};
    memcpy(provider.name, offer->node->name, sizeof provider.name);
    return provider;
}

/* Tells one watch of one change. Returns whether there was any. Locked; unlocks for the call. */
static bool
tell_one(struct skua__watch *watch) {
    for (int i = 0; i < SLOTS; i++) {
        const struct offer *offer = &world.offers[i];
        bool there = matches(watch, offer);
        if (watch->told[i] && (!there || watch->told[i] != offer->life)) {
            watch->told[i] = 0;
            skua__provider provider = watch->last[i];
            watch->busy = true;
            skua__mutex_unlock(&world.mutex);
            watch->fn(watch->arg, SKUA__PROVIDER_DOWN, &provider);
        } else if (there && !watch->told[i]) {
            watch->told[i] = offer->life;
            skua__provider provider = watch->last[i] = provider_of(offer);
            watch->busy = true;
            skua__mutex_unlock(&world.mutex);
            watch->fn(watch->arg, SKUA__PROVIDER_UP, &provider);
        } else {
            continue;
        }
        skua__mutex_lock(&world.mutex);
        watch->busy = false;
        skua__cond_broadcast(&world.idle);
        return true;
    }
    return false;
}

static void
run_sources(const struct pollfd *fds, const int *of, int count) {
    int64_t now_ns = skua__clock_ns();
    for (int i = 0; i < SLOTS; i++) {
        struct skua__node_source *source = &world.sources[i];
        bool due = source->used && now_ns >= source->at_ns;
        for (int k = 0; k < count; k++) {
            due |= of[k] == i && source->used && source->watch_fd && fds[k].revents;
        }
        if (!due) {
            continue;
        }
        if (now_ns >= source->at_ns) {
            source->at_ns = SKUA_NEVER_NS;
        }
        source->busy = true;
        skua__mutex_unlock(&world.mutex);
        source->fn(source->arg);
        skua__mutex_lock(&world.mutex);
        source->busy = false;
        skua__cond_broadcast(&world.idle);
    }
}

/* One turn: poll everything, then move it. Locked on entry and on return. */
static void
turn(void) {
    struct pollfd fds[1 + SLOTS + SLOTS + 2 * PIPES] = {{.fd = world.wake, .events = POLLIN}};
    int of_source[1 + SLOTS];
    int count = 1;
    of_source[0] = -1;
    int64_t at_ns = SKUA_NEVER_NS;
    for (int i = 0; i < SLOTS; i++) {
        const struct skua__node_source *source = &world.sources[i];
        if (source->used && source->at_ns < at_ns) {
            at_ns = source->at_ns;
        }
        if (source->used && source->watch_fd) {
            of_source[count] = i;
            fds[count++] = (struct pollfd){.fd = source->fd, .events = POLLIN};
        }
    }
    int sources = count;
    int listener_of[SLOTS], listeners = count;
    for (int i = 0; i < SLOTS; i++) {
        if (world.offers[i].used) {
            listener_of[count - listeners] = i;
            fds[count++] = (struct pollfd){.fd = world.offers[i].listener, .events = POLLIN};
        }
    }
    int pipe_of[PIPES], pipes = count;
    for (int i = 0; i < PIPES; i++) {
        if (world.pipes[i].used) {
            pipe_of[(count - pipes) / 2] = i;
            fds[count++] = (struct pollfd){.fd = world.pipes[i].from, .events = POLLIN};
            fds[count++] = (struct pollfd){.fd = world.pipes[i].to, .events = POLLIN};
        }
    }
    skua__mutex_unlock(&world.mutex);
    poll(fds, (nfds_t)count, skua__deadline_left_ms(at_ns));
    skua__mutex_lock(&world.mutex);
    uint64_t value;
    if (fds[0].revents) {
        ssize_t got = read(world.wake, &value, sizeof value);
        (void)got;
    }
    for (int i = listeners; i < pipes; i++) {
        if (fds[i].revents && world.offers[listener_of[i - listeners]].used) {
            accept_pipe(&world.offers[listener_of[i - listeners]]);
        }
    }
    for (int i = pipes; i + 1 < count; i += 2) {
        struct relay_pipe *pipe = &world.pipes[pipe_of[(i - pipes) / 2]];
        bool whole = (!fds[i].revents || move(pipe->from, pipe->to)) &&
                     (!fds[i + 1].revents || move(pipe->to, pipe->from));
        if (!whole) {
            close(pipe->from);
            close(pipe->to);
            pipe->used = false;
        }
    }
    if (world.cut) {
        world.cut = false;
        world.cuts++;
        close_pipes();
    }
    run_sources(fds, of_source, sources);
    for (int i = 0; i < SLOTS; i++) {
        while (world.watches[i].used && tell_one(&world.watches[i])) {
        }
    }
}

static void *
run_world(void *arg) {
    (void)arg;
    skua__mutex_lock(&world.mutex);
    while (!world.ending) {
        turn();
    }
    close_pipes();
    skua__mutex_unlock(&world.mutex);
    return NULL;
}

void
fake_world_begin(void) {
    memset(&world, 0, sizeof world);
    skua__mutex_init(&world.mutex);
    skua__cond_init(&world.idle);
    world.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(skua__thread_start(&world.thread, "fake-node", run_world, NULL, NULL), 0);
}

void
fake_world_end(void) {
    skua__mutex_lock(&world.mutex);
    world.ending = true;
    skua__mutex_unlock(&world.mutex);
    wake_world();
    skua__thread_join(world.thread);
    close(world.wake);
    skua__cond_fini(&world.idle);
    skua__mutex_fini(&world.mutex);
}

skua_node *
fake_node_open(const char *name, const skua_allocator *hook) {
    skua_node *node = calloc(1, sizeof *node);
    assert_non_null(node);
    node->hook = hook ? hook : skua_allocator_default();
    snprintf(node->name, sizeof node->name, "%s", name);
    memcpy(node->uuid.bytes, name, strnlen(name, sizeof node->uuid.bytes));
    node->ctx = zmq_ctx_new();
    assert_non_null(node->ctx);
    return node;
}

skua_node *
fake_node_close(skua_node *node) {
    zmq_ctx_term(node->ctx);
    free(node);
    return NULL;
}

void
fake_relay_cut(void) {
    skua__mutex_lock(&world.mutex);
    world.cut = true;
    skua__mutex_unlock(&world.mutex);
    wake_world();
}

void
fake_relay_hold(bool hold) {
    skua__mutex_lock(&world.mutex);
    world.hold = hold;
    skua__mutex_unlock(&world.mutex);
}

void
fake_relay_cut_every(uint64_t bytes) {
    skua__mutex_lock(&world.mutex);
    world.cut_every = bytes;
    world.cut_at = world.passed + bytes;
    skua__mutex_unlock(&world.mutex);
}

uint64_t
fake_relay_cuts(void) {
    skua__mutex_lock(&world.mutex);
    uint64_t cuts = world.cuts;
    skua__mutex_unlock(&world.mutex);
    return cuts;
}

void
fake_providers_down(bool up_again) {
    skua__mutex_lock(&world.mutex);
    for (int i = 0; i < SLOTS; i++) {
        if (world.offers[i].used) {
            world.offers[i].node->down = !up_again;
            world.offers[i].life = ++world.lives;
        }
    }
    skua__mutex_unlock(&world.mutex);
    wake_world();
}

void
fake_provider_endpoint(char *ret, size_t size) {
    skua__mutex_lock(&world.mutex);
    for (int i = 0; i < SLOTS; i++) {
        if (world.offers[i].used) {
            snprintf(ret, size, "tcp://127.0.0.1:%u", (unsigned)world.offers[i].real_port);
            break;
        }
    }
    skua__mutex_unlock(&world.mutex);
}

/* ---- node_int.h ---- */

skua_status
skua__node_check(const skua_node *node, skua_error *err) {
    return node ? SKUA_OK : SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the node is missing");
}

void
skua__node_ref(skua_node *node) {
    (void)node; /* a fake outlives its handles */
}

skua_node *
skua__node_unref(skua_node *node) {
    (void)node;
    return NULL;
}

const skua_allocator *
skua__node_hook(const skua_node *node) {
    return node->hook;
}

uint64_t
skua__node_incarnation(const skua_node *node) {
    (void)node;
    return 1;
}

skua_status
skua__node_socket(skua_node *node, int zmq_type, const uint8_t *server_key, void **ret_socket,
                  skua_error *err) {
    (void)server_key;
    void *socket = zmq_socket(node->ctx, zmq_type);
    if (!socket) {
        return SKUA_FAIL(err, SKUA_E_SYSTEM, "no socket");
    }
    int zero = 0, quick = 5;
    zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &quick, sizeof quick);
    *ret_socket = socket;
    return SKUA_OK;
}

skua_status
skua__node_plain_socket(skua_node *node, int zmq_type, void **ret_socket, skua_error *err) {
    return skua__node_socket(node, zmq_type, NULL, ret_socket, err);
}

skua_status
skua__node_bind(skua_node *node, void *socket, const char *endpoint, uint16_t *ret_port,
                skua_error *err) {
    (void)node;
    char bound[64];
    size_t size = sizeof bound;
    if (zmq_bind(socket, endpoint ? endpoint : "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size) != 0) {
        return SKUA_FAIL(err, SKUA_E_ADDRESS_IN_USE, "no port");
    }
    *ret_port = (uint16_t)atoi(strrchr(bound, ':') + 1);
    return SKUA_OK;
}

skua_status
skua__node_offer(skua_node *node, skua__service_kind kind, const char *name, uint32_t version,
                 uint16_t port, uint32_t role, uint32_t *ret_offer, skua_error *err) {
    (void)version;
    (void)role;
    (void)err;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    skua__mutex_lock(&world.mutex);
    uint32_t slot = 0;
    while (world.offers[slot].used) {
        slot++;
        assert_true(slot < SLOTS);
    }
    struct offer *offer = &world.offers[slot];
    *offer = (struct offer){.used = true,
                            .life = ++world.lives,
                            .node = node,
                            .kind = kind,
                            .real_port = port,
                            .relay_port = ntohs(address.sin_port),
                            .listener = listener};
    snprintf(offer->name, sizeof offer->name, "%s", name);
    skua__mutex_unlock(&world.mutex);
    wake_world();
    *ret_offer = slot;
    return SKUA_OK;
}

void
skua__node_withdraw(skua_node *node, uint32_t slot) {
    (void)node;
    skua__mutex_lock(&world.mutex);
    close(world.offers[slot].listener);
    world.offers[slot].used = false;
    skua__mutex_unlock(&world.mutex);
    wake_world();
}

skua_status
skua__node_watch(skua_node *node, skua__service_kind kind, const char *name, uint32_t role,
                 void (*fn)(void *arg, skua__provider_event event, const skua__provider *provider),
                 void *arg, skua__watch **ret_watch, skua_error *err) {
    (void)node;
    (void)role;
    (void)err;
    skua__mutex_lock(&world.mutex);
    int slot = 0;
    while (world.watches[slot].used) {
        slot++;
        assert_true(slot < SLOTS);
    }
    struct skua__watch *watch = &world.watches[slot];
    *watch = (struct skua__watch){.used = true, .kind = kind, .fn = fn, .arg = arg};
    snprintf(watch->name, sizeof watch->name, "%s", name);
    *ret_watch = watch;
    skua__mutex_unlock(&world.mutex);
    wake_world();
    return SKUA_OK;
}

void
skua__node_watch_again(skua_node *node) {
    (void)node; /* what was missed is missed: no test here runs out of memory for a provider */
}

skua__watch *
skua__node_unwatch(skua_node *node, skua__watch *watch) {
    (void)node;
    if (watch) {
        skua__mutex_lock(&world.mutex);
        watch->used = false;
        while (watch->busy) {
            skua__cond_wait(&world.idle, &world.mutex);
        }
        skua__mutex_unlock(&world.mutex);
    }
    return NULL;
}

char *
skua__node_offered_text(skua_node *node, skua__service_kind kind, char *ret, size_t ret_size) {
    (void)node;
    (void)kind;
    snprintf(ret, ret_size, "nothing");
    return ret;
}

skua_status
skua__node_listen(skua_node *node, skua__node_listener *listener, skua_error *err) {
    (void)node;
    (void)err;
    skua__list_init(&listener->all); /* nobody leaves, and the fake is never closed first */
    return SKUA_OK;
}

void
skua__node_unlisten(skua_node *node, skua__node_listener *listener) {
    (void)node;
    (void)listener;
}

bool
skua__node_who(skua_node *node, const char *user_id, skua__identity *ret_identity) {
    (void)node;
    (void)user_id;
    *ret_identity = (skua__identity){.roles = SKUA__ROLE_ALL, .name = "peer"};
    return true;
}

skua_status
skua__node_source_new(skua_node *node, int fd, void (*fn)(void *arg), void *arg,
                      skua__node_source **ret_source, skua_error *err) {
    (void)node;
    (void)err;
    skua__mutex_lock(&world.mutex);
    int slot = 0;
    while (world.sources[slot].used) {
        slot++;
        assert_true(slot < SLOTS);
    }
    world.sources[slot] = (struct skua__node_source){
        .used = true, .fd = fd, .at_ns = SKUA_NEVER_NS, .fn = fn, .arg = arg};
    *ret_source = &world.sources[slot];
    skua__mutex_unlock(&world.mutex);
    return SKUA_OK;
}

void
skua__node_source_arm(skua__node_source *source, bool watch_fd, int64_t at_ns) {
    skua__mutex_lock(&world.mutex);
    source->watch_fd = watch_fd;
    source->at_ns = at_ns;
    skua__mutex_unlock(&world.mutex);
    wake_world();
}

skua__node_source *
skua__node_source_free(skua__node_source *source) {
    if (source) {
        skua__mutex_lock(&world.mutex);
        source->used = false;
        while (source->busy) {
            skua__cond_wait(&world.idle, &world.mutex);
        }
        skua__mutex_unlock(&world.mutex);
    }
    return NULL;
}
