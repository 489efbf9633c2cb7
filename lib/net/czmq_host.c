// SPDX-License-Identifier: MPL-2.0
// The node's thread: CZMQ's zloop over three descriptors (an epoll of the armed sources, a timer, a wake-up).
// The zloop runs in a thread that we start ourselves, because a zactor alive at exit() aborts the process (docs/adr/0003).
#include "host.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/node_int.h>

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { NOT_IN_HEAP = UINT32_MAX, FIRST_SLOTS = 16 };

struct skua__node_source {
    skua__host *host;
    void (*fn)(void *arg);
    void *arg;
    int fd; /* borrowed; -1: moments only */
    uint32_t slot;
    uint32_t generation; /* tells an event of ours from one of the slot's former owner */
    uint32_t heap_at;    /* place in the heap, or NOT_IN_HEAP */
    int64_t at_ns;
    uint32_t events; /* of epoll: EPOLLIN unless said otherwise */
    bool watched;    /* fd is in the epoll */
};

struct post {
    skua__list link;
    void (*fn)(void *arg);
    void *arg;
    bool owned; /* the host frees it */
};

/* ---- Moments: a binary heap whose every place was paid for when the source was made ---- */

static void
heap_set(skua__host *host, uint32_t at, skua__node_source *source) {
    host->heap[at] = source;
    source->heap_at = at;
}

static void
heap_sift_locked(skua__host *host, uint32_t at) {
    skua__node_source *source = host->heap[at];
    while (at > 0 && source->at_ns < host->heap[(at - 1) / 2]->at_ns) {
        heap_set(host, at, host->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < host->heap_count &&
            host->heap[child + 1]->at_ns < host->heap[child]->at_ns) {
            child++;
        }
        if (child >= host->heap_count || host->heap[child]->at_ns >= source->at_ns) {
            break;
        }
        heap_set(host, at, host->heap[child]);
        at = child;
    }
    heap_set(host, at, source);
}

static void
heap_remove_locked(skua__host *host, skua__node_source *source) {
    uint32_t at = source->heap_at;
    if (at == NOT_IN_HEAP) {
        return;
    }
    skua__node_source *last = host->heap[--host->heap_count];
    if (last != source) {
        heap_set(host, at, last);
        heap_sift_locked(host, at);
    }
    source->heap_at = NOT_IN_HEAP;
}

/* Sets the timer to the earliest moment. A timer that is set too early is left: it costs one empty round. */
static void
timer_set_locked(skua__host *host) {
    int64_t at_ns = host->heap_count ? host->heap[0]->at_ns : SKUA_NEVER_NS;
    if (at_ns >= host->timer_at_ns) {
        return;
    }
    /* A time of zero would switch the timer off, so a moment long past becomes 1 ns. */
    struct itimerspec spec = {.it_value = skua__clock_timespec(at_ns > 0 ? at_ns : 1)};
    int rc = timerfd_settime(host->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    assert(rc == 0);
    (void)rc;
    host->timer_at_ns = at_ns;
}

/* ---- Sources ---- */

static skua_status
grow_slots_locked(skua__host *host) {
    uint32_t count = host->slot_count ? host->slot_count * 2 : FIRST_SLOTS;
    if (count > SKUA__HOST_MAX_SOURCES) {
        return SKUA_E_LIMIT;
    }
    skua__node_source **slots = skua__mem_resize(host->hook, host->slots, count * sizeof *slots);
    if (!slots) {
        return SKUA_E_NO_MEMORY;
    }
    host->slots = slots;
    skua__node_source **heap = skua__mem_resize(host->hook, host->heap, count * sizeof *heap);
    if (!heap) {
        return SKUA_E_NO_MEMORY;
    }
    host->heap = heap;
    for (uint32_t i = host->slot_count; i < count; i++) {
        slots[i] = NULL;
    }
    host->slot_count = count;
    return SKUA_OK;
}

static skua_status
take_slot_locked(skua__host *host, skua__node_source *source) {
    uint32_t slot = 0;
    while (slot < host->slot_count && host->slots[slot]) {
        slot++;
    }
    if (slot == host->slot_count) {
        skua_status status = grow_slots_locked(host);
        if (status) {
            return status;
        }
    }
    host->slots[slot] = source;
    source->slot = slot;
    source->generation = host->next_generation++;
    return SKUA_OK;
}

skua_status
skua__host_source_new(skua__host *host, int fd, void (*fn)(void *arg), void *arg,
                      skua__node_source **ret_source, skua_error *err) {
    skua__node_source *source = skua__mem_new(host->hook, sizeof *source);
    if (!source) {
        return SKUA_FAIL_MEMORY(err, "a watched descriptor");
    }
    *source = (skua__node_source){.host = host,
                                  .fn = fn,
                                  .arg = arg,
                                  .fd = fd,
                                  .heap_at = NOT_IN_HEAP,
                                  .events = EPOLLIN,
                                  .at_ns = SKUA_NEVER_NS};
    skua__mutex_lock(&host->lock);
    skua_status status = take_slot_locked(host, source);
    skua__mutex_unlock(&host->lock);
    if (status) {
        skua__mem_free(host->hook, source);
        return SKUA_FAIL(err, status, "cannot watch one more descriptor; a node watches at most %d",
                         SKUA__HOST_MAX_SOURCES);
    }
    *ret_source = source;
    return SKUA_OK;
}

static void
watch_locked(skua__node_source *source, bool watch_fd) {
    if (source->fd < 0 || source->watched == watch_fd) {
        return;
    }
    uint64_t key = (uint64_t)source->generation << 32 | source->slot;
    struct epoll_event event = {.events = source->events, .data.u64 = key};
    int rc = epoll_ctl(source->host->epoll_fd, watch_fd ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, source->fd,
                       &event);
    /* It fails only when the owner closed the descriptor first, and then nothing is left to watch. */
    source->watched = watch_fd && rc == 0;
}

void
skua__host_source_events(skua__node_source *source, uint32_t epoll_events) {
    skua__mutex_lock(&source->host->lock);
    bool watched = source->watched;
    watch_locked(source, false);
    source->events = epoll_events;
    watch_locked(source, watched);
    skua__mutex_unlock(&source->host->lock);
}

void
skua__node_source_arm(skua__node_source *source, bool watch_fd, int64_t at_ns) {
    skua__host *host = source->host;
    skua__mutex_lock(&host->lock);
    watch_locked(source, watch_fd);
    if (at_ns != source->at_ns) {
        source->at_ns = at_ns;
        if (at_ns == SKUA_NEVER_NS) {
            heap_remove_locked(host, source);
        } else {
            if (source->heap_at == NOT_IN_HEAP) {
                heap_set(host, host->heap_count++, source);
            }
            heap_sift_locked(host, source->heap_at);
            timer_set_locked(host);
        }
    }
    skua__mutex_unlock(&host->lock);
}

skua__node_source *
skua__node_source_free(skua__node_source *source) {
    if (!source) {
        return NULL;
    }
    skua__host *host = source->host;
    skua__mutex_lock(&host->lock);
    watch_locked(source, false);
    heap_remove_locked(host, source);
    host->slots[source->slot] = NULL;
    while (host->running == source && !skua__host_is_current(host)) {
        skua__cond_wait(&host->idle, &host->lock);
    }
    /* Again: while it ran for the last time it may have armed itself. */
    watch_locked(source, false);
    heap_remove_locked(host, source);
    skua__mutex_unlock(&host->lock);
    return skua__mem_free(host->hook, source);
}

/* Calls a source's function with nothing locked; the source may be gone afterwards. */
static void
run_source_locked(skua__host *host, skua__node_source *source) {
    void (*fn)(void *arg) = source->fn;
    void *arg = source->arg;
    host->running = source;
    skua__mutex_unlock(&host->lock);
    fn(arg);
    skua__mutex_lock(&host->lock);
    host->running = NULL;
    skua__cond_broadcast(&host->idle);
}

static int
on_ready(zloop_t *loop, zmq_pollitem_t *item, void *arg) {
    (void)loop;
    (void)item;
    skua__host *host = arg;
    struct epoll_event events[SKUA__HOST_BATCH];
    int count = epoll_wait(host->epoll_fd, events, SKUA__HOST_BATCH, 0);
    skua__mutex_lock(&host->lock);
    for (int i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)events[i].data.u64;
        uint32_t generation = (uint32_t)(events[i].data.u64 >> 32);
        skua__node_source *source = host->slots[slot];
        /* It may have been freed or disarmed since epoll_wait(). */
        if (source && source->generation == generation && source->watched) {
            run_source_locked(host, source);
        }
    }
    skua__mutex_unlock(&host->lock);
    return 0;
}

static int
on_timer(zloop_t *loop, zmq_pollitem_t *item, void *arg) {
    (void)loop;
    (void)item;
    skua__host *host = arg;
    uint64_t rings;
    if (read(host->timer_fd, &rings, sizeof rings) < 0 && errno != EAGAIN) {
        return 0;
    }
    skua__mutex_lock(&host->lock);
    host->timer_at_ns = SKUA_NEVER_NS;
    /* Moments that are set while we are here wait for the next ring, so that the descriptors get their turn. */
    int64_t now_ns = skua__clock_ns();
    while (host->heap_count && host->heap[0]->at_ns <= now_ns) {
        skua__node_source *source = host->heap[0];
        heap_remove_locked(host, source);
        source->at_ns = SKUA_NEVER_NS;
        run_source_locked(host, source);
    }
    timer_set_locked(host);
    skua__mutex_unlock(&host->lock);
    return 0;
}

/* ---- Posts ---- */

static void
ring(int event_fd) {
    uint64_t one = 1;
    ssize_t written = write(event_fd, &one, sizeof one);
    (void)written; /* EAGAIN means that it rings already */
}

static skua_status
post_one(skua__host *host, struct post *post) {
    skua__mutex_lock(&host->lock);
    bool refused = host->stopping || !host->started;
    bool first = skua__list_empty(&host->posts);
    if (!refused) {
        skua__list_push_back(&host->posts, &post->link);
    }
    skua__mutex_unlock(&host->lock);
    if (!refused && first) {
        ring(host->wake_fd);
    }
    return refused ? SKUA_E_CLOSED : SKUA_OK;
}

skua_status
skua__host_post(skua__host *host, void (*fn)(void *arg), void *arg) {
    struct post *post = skua__mem_new(host->hook, sizeof *post);
    if (!post) {
        return SKUA_E_NO_MEMORY;
    }
    *post = (struct post){.fn = fn, .arg = arg, .owned = true};
    skua_status status = post_one(host, post);
    if (status) {
        skua__mem_free(host->hook, post);
    }
    return status;
}

/* Runs what was posted until now. Returns true when the thread shall end. */
static bool
run_posts(skua__host *host) {
    skua__list batch;
    skua__list_init(&batch);
    skua__mutex_lock(&host->lock);
    for (skua__list *node; (node = skua__list_pop_front(&host->posts)) != NULL;) {
        skua__list_push_back(&batch, node);
    }
    bool stop = host->stopping && skua__list_empty(&batch);
    skua__mutex_unlock(&host->lock);
    for (skua__list *node; (node = skua__list_pop_front(&batch)) != NULL;) {
        struct post *post = SKUA_CONTAINER_OF(node, struct post, link);
        bool owned = post->owned; /* one that is not may be gone after its function */
        post->fn(post->arg);
        if (owned) {
            skua__mem_free(host->hook, post);
        }
    }
    return stop;
}

static int
on_wake(zloop_t *loop, zmq_pollitem_t *item, void *arg) {
    (void)loop;
    (void)item;
    skua__host *host = arg;
    uint64_t count;
    ssize_t got = read(host->wake_fd, &count, sizeof count);
    (void)got; /* EAGAIN: the posts were taken by an earlier round */
    if (run_posts(host)) {
        return -1;
    }
    skua__mutex_lock(&host->lock);
    bool again = host->stopping;
    skua__mutex_unlock(&host->lock);
    if (again) {
        ring(host->wake_fd);
    }
    return 0;
}

struct call {
    struct post post;
    skua__host *host;
    void (*fn)(void *arg);
    void *arg;
    bool done; /* guarded by the host's lock */
};

static void
run_call(void *arg) {
    struct call *call = arg;
    skua__host *host = call->host;
    call->fn(call->arg);
    skua__mutex_lock(&host->lock);
    call->done = true;
    skua__cond_broadcast(&host->idle);
    skua__mutex_unlock(&host->lock);
}

/* The thread ends or has ended. */
static skua_status
call_late(skua__host *host, void (*fn)(void *arg), void *arg) {
    skua__mutex_lock(&host->lock);
    bool ran = host->started || host->ended;
    while (ran && !host->ended) {
        skua__cond_wait(&host->idle, &host->lock);
    }
    skua__mutex_unlock(&host->lock);
    if (!ran) {
        return SKUA_E_CLOSED;
    }
    skua__mutex_lock(&host->after);
    fn(arg);
    skua__mutex_unlock(&host->after);
    return SKUA_OK;
}

skua_status
skua__host_call(skua__host *host, void (*fn)(void *arg), void *arg) {
    struct call call = {.host = host, .fn = fn, .arg = arg};
    call.post = (struct post){.fn = run_call, .arg = &call};
    if (post_one(host, &call.post)) {
        return call_late(host, fn, arg);
    }
    skua__mutex_lock(&host->lock);
    while (!call.done) {
        skua__cond_wait(&host->idle, &host->lock);
    }
    skua__mutex_unlock(&host->lock);
    return SKUA_OK;
}

/* ---- The thread ---- */

bool
skua__host_is_current(const skua__host *host) {
    return host->started && pthread_equal(pthread_self(), host->thread);
}

static void *
run_host(void *arg) {
    skua__host *host = arg;
    zloop_start(host->loop);
    skua__mutex_lock(&host->lock);
    host->ended = true;
    skua__cond_broadcast(&host->idle);
    skua__mutex_unlock(&host->lock);
    return NULL;
}

static skua_status
poll_with(skua__host *host, int fd, zloop_fn *fn, skua_error *err) {
    zmq_pollitem_t item = {.fd = fd, .events = ZMQ_POLLIN};
    if (zloop_poller(host->loop, &item, fn, host)) {
        return SKUA_FAIL_MEMORY(err, "the node's reactor");
    }
    return SKUA_OK;
}

skua_status
skua__host_init(skua__host *host, const skua_allocator *hook, skua_error *err) {
    *host = (skua__host){.hook = hook, .timer_at_ns = SKUA_NEVER_NS};
    skua__mutex_init(&host->lock);
    skua__mutex_init(&host->after);
    skua__cond_init(&host->idle);
    skua__list_init(&host->posts);
    host->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    host->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    host->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    skua_status status = SKUA_OK;
    if (host->epoll_fd < 0 || host->timer_fd < 0 || host->wake_fd < 0) {
        status = SKUA_FAIL_ERRNO(err, SKUA_E_DESCRIPTORS, errno, "cannot make the node's reactor");
        goto fail;
    }
    host->loop = zloop_new();
    if (!host->loop) {
        status = SKUA_FAIL_MEMORY(err, "the node's reactor");
        goto fail;
    }
    /* Without this the loop ends when the program's own CZMQ saw a signal. */
    zloop_set_nonstop(host->loop, true);
    status = poll_with(host, host->wake_fd, on_wake, err);
    status = status ? status : poll_with(host, host->timer_fd, on_timer, err);
    status = status ? status : poll_with(host, host->epoll_fd, on_ready, err);
    if (status) {
        goto fail;
    }
    return SKUA_OK;
fail:
    skua__host_fini(host);
    return status;
}

skua_status
skua__host_start(skua__host *host, const char *name, skua_error *err) {
    /* The lock keeps the new thread from asking who it is before `thread` is written. */
    skua__mutex_lock(&host->lock);
    skua_status status = skua__thread_start(&host->thread, name, run_host, host, err);
    host->started = status == SKUA_OK;
    skua__mutex_unlock(&host->lock);
    return status;
}

void
skua__host_stop(skua__host *host) {
    if (!host->started) {
        return;
    }
    skua__mutex_lock(&host->lock);
    host->stopping = true;
    skua__mutex_unlock(&host->lock);
    ring(host->wake_fd);
    skua__thread_join(host->thread);
    skua__mutex_lock(&host->lock);
    host->started = false;
    skua__mutex_unlock(&host->lock);
}

static void
close_if_open(int fd) {
    if (fd >= 0) {
        close(fd);
    }
}

void
skua__host_fini(skua__host *host) {
    if (!host->epoll_fd && !host->timer_fd) {
        return;
    }
    zloop_destroy(&host->loop);
    close_if_open(host->epoll_fd);
    close_if_open(host->timer_fd);
    close_if_open(host->wake_fd);
    skua__mem_free(host->hook, host->slots);
    skua__mem_free(host->hook, host->heap);
    skua__cond_fini(&host->idle);
    skua__mutex_fini(&host->after);
    skua__mutex_fini(&host->lock);
    *host = (skua__host){.hook = NULL};
}
