// SPDX-License-Identifier: MPL-2.0
// Moving a handle: the pump, who waits and how they wake, the user's descriptor, and the node's thread that steps in
// when no caller is active.
//
// Wake-ups that must not be lost:
// 1. A ZeroMQ descriptor tells edges. Whoever took one (by any call on the socket) sets port->dirty, and nobody sleeps
//    while a port is dirty, nor leaves when somebody else sleeps: the pump asks such a port itself.
// 2. The leader polls without the lock. Who changes something that it may wait for, without it, writes kick_fd.
// 3. Followers wait on `moved`; the leader broadcasts when it comes back, and one of them leads next.
// 4. A leader with a moment far away, or that does not matter much (a patient acknowledgement), polls without a timer,
//    which would be set and taken back at each turn: the node's thread kicks it at leader_at_ns. It looks at alarm_ns,
//    which is never later; while the source is OFF it is armed for that.
#include "link_priv.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void
set_event(int fd, bool *set) {
    uint64_t one = 1;
    if (!*set) {
        *set = true;
        /* An eventfd of value 0 always takes 1. */
        ssize_t written = write(fd, &one, sizeof one);
        (void)written;
    }
}

static void
clear_event(int fd, bool *set) {
    uint64_t value;
    if (*set) {
        *set = false;
        ssize_t got = read(fd, &value, sizeof value);
        (void)got;
    }
}

void
skua__handle_wake_locked(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    if (inner->waiters) {
        skua__cond_broadcast(&inner->moved);
    }
    if (inner->leader) {
        set_event(inner->kick_fd, &inner->kick_set);
    }
}

void
skua__handle_timer_locked(skua__handle *handle, int64_t at_ns) {
    struct skua__handle_inner *inner = handle->inner;
    if (at_ns >= inner->timer_at_ns) {
        return;
    }
    inner->timer_at_ns = at_ns;
    skua__handle_wake_locked(handle);
    if (inner->source_state == SKUA__SOURCE_WATCH) {
        skua__node_source_arm(inner->source, true, at_ns);
    }
}

/* ---- The pump ---- */

/* Links that missed a frame of their group begin anew. */
static void
end_lame_links(skua__handle *handle) {
    handle->inner->lame = false;
    SKUA_LIST_EACH(node, &handle->inner->links) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, node);
        if (link->lame) {
            skua__link_control(link, SKUA__FRAME_RESET, 0, 0, SKUA__RESET_EPOCH, NULL, 0);
            skua__link_down(link, SKUA__DOWN_RESTARTED);
        }
    }
}

/* A provider looks after its consumers: who is away for too long is given up, who is silent is probed. */
static void
upkeep(skua__handle *handle, int64_t now_ns) {
    struct skua__handle_inner *inner = handle->inner;
    int64_t resume_ns = handle->options.resume_ms * SKUA_NS_PER_MS;
    SKUA_LIST_EACH(node, &inner->links) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, node);
        bool idle = link->frames_sent == link->frames_seen;
        link->frames_seen = link->frames_sent;
        if (handle->ops->provider && !link->connected && now_ns - link->lost_at_ns >= resume_ns) {
            skua__link_down(link, SKUA__DOWN_PEER_LOST);
        } else if (link->connected) {
            if (handle->ops->provider && idle) {
                /* A connection that is gone answers EHOSTUNREACH. */
                skua__link_control(link, SKUA__FRAME_PING, 0, 0, (uint64_t)now_ns, NULL, 0);
            }
            skua__link_push(link);
        }
    }
    inner->upkeep_at_ns = inner->link_count ? now_ns + SKUA__UPKEEP_NS : SKUA_NEVER_NS;
}

static void
run_timers(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    if (inner->timer_at_ns == SKUA_NEVER_NS && inner->upkeep_at_ns == SKUA_NEVER_NS &&
        inner->link_count == 0) {
        return;
    }
    int64_t now_ns = skua__clock_ns();
    if (inner->upkeep_at_ns == SKUA_NEVER_NS && inner->link_count) {
        inner->upkeep_at_ns = now_ns + SKUA__UPKEEP_NS;
    }
    if (now_ns >= inner->upkeep_at_ns) {
        upkeep(handle, now_ns);
    }
    if (handle->ops->timer && now_ns >= inner->timer_at_ns) {
        inner->timer_at_ns = SKUA_NEVER_NS;
        int64_t next_ns = handle->ops->timer(handle, now_ns);
        if (next_ns < inner->timer_at_ns) {
            inner->timer_at_ns = next_ns;
        }
    }
}

/* Drains what the descriptors show. */
static void
drain_ready(skua__handle *handle, bool *ret_moved) {
    struct skua__handle_inner *inner = handle->inner;
    if (inner->port_count == 0) {
        return;
    }
    if (inner->port_count == 1) {
        /* Asking the one socket costs no more than asking epoll. */
        skua__port_drain(SKUA_CONTAINER_OF(inner->ports.next, skua__port, node), ret_moved);
        return;
    }
    struct epoll_event events[SKUA__PUMP_EVENTS_MAX];
    int count = epoll_wait(inner->epfd, events, SKUA__PUMP_EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        skua__port_drain(events[i].data.ptr, ret_moved);
    }
}

/* Drains ports whose edge may have been swallowed. Returns whether any is still dirty. */
static bool
drain_dirty(skua__handle *handle, bool *ret_moved) {
    bool dirty = false;
    SKUA_LIST_EACH(node, &handle->inner->ports) {
        skua__port *port = SKUA_CONTAINER_OF(node, skua__port, node);
        if (!port->dirty) {
            continue;
        }
        port->dirty = false;
        if (port->ops->rearm(port)) {
            skua__port_drain(port, ret_moved);
        }
        dirty |= port->dirty;
    }
    return dirty;
}

static bool
any_dirty(const skua__handle *handle) {
    SKUA_LIST_EACH(node, &handle->inner->ports) {
        if (SKUA_CONTAINER_OF(node, skua__port, node)->dirty) {
            return true;
        }
    }
    return false;
}

bool
skua__handle_pump_locked(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    if (inner->pumping) {
        return false;
    }
    inner->pumping = true;
    bool moved = false;
    drain_ready(handle, &moved);
    run_timers(handle);
    for (int round = 0; round < SKUA__PUMP_ROUNDS_MAX; round++) {
        bool more = false;
        if (inner->lame) {
            end_lame_links(handle);
        }
        if (handle->ops->progress) {
            handle->ops->progress(handle);
        }
        skua__handle_flush_acks(handle, SKUA__ACK_PRESSING);
        bool dirty = drain_dirty(handle, &more);
        moved |= more;
        if (!dirty && !more) {
            break;
        }
    }
    inner->pumping = false;
    if (moved) {
        skua__handle_wake_locked(handle);
    }
    skua__link_bury(handle);
    return moved;
}

/* ---- Waiting ---- */

/* The earliest moment at which the leader has to look by itself. */
static int64_t
next_moment(const skua__handle *handle, int64_t deadline_ns) {
    const struct skua__handle_inner *inner = handle->inner;
    int64_t at_ns = deadline_ns;
    if (inner->timer_at_ns < at_ns) {
        at_ns = inner->timer_at_ns;
    }
    if (inner->upkeep_at_ns < at_ns) {
        at_ns = inner->upkeep_at_ns;
    }
    if (!skua__list_empty(&inner->acks)) {
        int64_t tick_ns = skua__clock_ns() + SKUA__TICK_NS;
        at_ns = tick_ns < at_ns ? tick_ns : at_ns;
    }
    return at_ns;
}

/* When the first link that is patient with its acknowledgement has to send it; SKUA_NEVER_NS: none. */
static int64_t
patient_moment(const skua__handle *handle) {
    int64_t at_ns = SKUA_NEVER_NS;
    SKUA_LIST_EACH(node, &handle->inner->acks) {
        const skua__link *link = SKUA_CONTAINER_OF(node, skua__link, ack_node);
        bool patient = link->idle_ack_ns && !handle->ops->lazy_ack;
        at_ns = patient && link->idle_ack_ns < at_ns ? link->idle_ack_ns : at_ns;
    }
    return at_ns;
}

/* Sees to it that the leader is kicked at at_ns or before. */
static void
set_alarm(struct skua__handle_inner *inner, int64_t at_ns, int64_t now_ns) {
    bool stands = inner->alarm_ns <= at_ns && inner->alarm_ns > now_ns;
    if (stands && inner->source_state != SKUA__SOURCE_WATCH) {
        return;
    }
    inner->alarm_ns = at_ns;
    if (inner->source_state !=
        SKUA__SOURCE_TICKS) { /* else the next tick comes first, and arms it */
        inner->source_state = SKUA__SOURCE_OFF;
        skua__node_source_arm(inner->source, false, at_ns);
    }
}

/* What the leader polls: one socket itself, since each descriptor in between makes the wake-up longer. */
static int
sockets_fd(const struct skua__handle_inner *inner) {
    return inner->port_count == 1 ? SKUA_CONTAINER_OF(inner->ports.next, skua__port, node)->fd
                                  : inner->epfd;
}

/* Sleeps until a socket, a kick or at_ns. Returns false when at_ns came. */
static bool
poll_unlocked(skua__handle *handle, int64_t at_ns) {
    struct skua__handle_inner *inner = handle->inner;
    int64_t patient_ns = patient_moment(handle);
    bool patient = patient_ns < at_ns;
    at_ns = patient ? patient_ns : at_ns;
    struct pollfd fds[2] = {{.fd = sockets_fd(inner), .events = POLLIN},
                            {.fd = inner->kick_fd, .events = POLLIN}};
    struct timespec left = {0};
    int64_t now_ns = at_ns == SKUA_NEVER_NS ? 0 : skua__clock_ns();
    int64_t left_ns = at_ns - now_ns;
    bool timed = at_ns != SKUA_NEVER_NS;
    inner->leader_at_ns = SKUA_NEVER_NS;
    if (timed && (left_ns >= SKUA__FAR_NS || (patient && left_ns > 0)) && inner->source &&
        !inner->node_closed) {
        inner->leader_at_ns = at_ns;
        set_alarm(inner, at_ns, now_ns);
        timed = false;
    } else if (timed && left_ns > 0) {
        left.tv_sec = (time_t)(left_ns / SKUA_NS_PER_S);
        left.tv_nsec = (long)(left_ns % SKUA_NS_PER_S);
    }
    skua__mutex_unlock(&inner->mutex);
    int count = ppoll(fds, 2, timed ? &left : NULL, NULL);
    skua__mutex_lock(&inner->mutex);
    return count != 0;
}

skua_status
skua__handle_wait_step(skua__handle *handle, int64_t deadline_ns) {
    struct skua__handle_inner *inner = handle->inner;
    skua__handle_flush_acks(handle, SKUA__ACK_IDLE);
    if (any_dirty(handle) && skua__handle_pump_locked(handle)) {
        return SKUA_OK;
    }
    if (inner->leader) {
        inner->waiters++;
        bool woken = skua__cond_wait_until(&inner->moved, &inner->mutex, deadline_ns);
        inner->waiters--;
        return woken ? SKUA_OK : SKUA_E_TIMEOUT;
    }
    inner->leader = true;
    bool woken = any_dirty(handle) || poll_unlocked(handle, next_moment(handle, deadline_ns));
    inner->leader = false;
    clear_event(inner->kick_fd, &inner->kick_set);
    if (!woken) {
        skua__handle_flush_acks(handle, SKUA__ACK_TICK);
    }
    skua__handle_pump_locked(handle);
    if (inner->waiters) {
        skua__cond_broadcast(&inner->moved); /* somebody else may have to lead */
    }
    if (!woken && skua__clock_ns() >= deadline_ns) {
        return SKUA_E_TIMEOUT;
    }
    return SKUA_OK;
}

/* Whether calls are to end with SKUA_E_CLOSED. */
static bool
is_over(const skua__handle *handle) {
    const struct skua__handle_inner *inner = handle->inner;
    return inner->closing || (inner->node_closed && !handle->ops->outlives_node);
}

skua_status
skua__handle_wait_locked(skua__handle *handle, int64_t deadline_ns) {
    if (is_over(handle)) {
        return SKUA_E_CLOSED;
    }
    skua_status status = skua__handle_wait_step(handle, deadline_ns);
    return is_over(handle) ? SKUA_E_CLOSED : status;
}

skua_status
skua__handle_wait_own_locked(skua__handle *handle, int64_t deadline_ns) {
    return skua__handle_wait_step(handle, deadline_ns);
}

skua_status
skua__handle_await_links_locked(skua__handle *handle, size_t n, int64_t deadline_ns) {
    for (;;) { /* ends with enough links, or at the deadline */
        skua__handle_pump_locked(handle);
        if (handle->inner->up_count >= n) {
            return SKUA_OK;
        }
        if (skua__clock_ns() >= deadline_ns) {
            return SKUA_E_TIMEOUT;
        }
        skua_status status = skua__handle_wait_locked(handle, deadline_ns);
        if (status == SKUA_E_CLOSED) {
            return status;
        }
    }
}

/* ---- Entering, leaving, the node's thread ---- */

skua_status
skua__handle_enter(skua__handle *handle, skua_error *err) {
    skua_status status = skua__node_check(handle->node, err);
    if (status != SKUA_OK) {
        return status;
    }
    struct skua__handle_inner *inner = handle->inner;
    skua__mutex_lock(&inner->mutex);
    if (inner->closing) {
        skua__mutex_unlock(&inner->mutex);
        return skua__handle_closed(handle, err);
    }
    inner->callers++;
    inner->activity++;
    return SKUA_OK;
}

/* Makes the user's descriptor say what is so. */
static void
set_readable(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    if (!inner->fd_given) {
        return;
    }
    bool readable = handle->ops->readable ? handle->ops->readable(handle)
                                          : !skua__list_empty(&inner->queue) || inner->plain_first;
    if (readable || is_over(handle)) {
        set_event(inner->ready_fd, &inner->ready_set);
    } else {
        clear_event(inner->ready_fd, &inner->ready_set);
    }
}

/* What the pattern has to do without the lock. */
static void
do_outside(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    if (handle->ops->due && handle->ops->due(handle)) {
        inner->holds++;
        skua__mutex_unlock(&inner->mutex);
        handle->ops->outside(handle);
        skua__mutex_lock(&inner->mutex);
        inner->holds--;
    }
}

/* Whether somebody sleeps until a socket's descriptor tells of something: then no port may be left dirty. Else the next
 * call looks at it, or the next tick does. */
static bool
somebody_watches(const struct skua__handle_inner *inner) {
    return inner->fd_given || inner->leader || inner->source_state == SKUA__SOURCE_WATCH;
}

/* Somebody stops touching the handle, which is locked and still is afterwards. */
static void
settle_down(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    if (somebody_watches(inner) && any_dirty(handle)) {
        skua__handle_pump_locked(handle);
    }
    skua__link_bury(handle);
    do_outside(handle);
    set_readable(handle);
    if (inner->source_state == SKUA__SOURCE_OFF && !inner->leader && inner->source) {
        inner->source_state = SKUA__SOURCE_TICKS;
        skua__node_source_arm(inner->source, false, skua__clock_ns() + SKUA__TICK_NS);
    }
}

/* The last thing of a call: closing may free the handle as soon as the lock is free. */
static void
let_close(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    if (inner->closing && inner->callers == 0 && inner->holds == 0) {
        skua__cond_broadcast(&inner->moved);
    }
    skua__mutex_unlock(&inner->mutex);
}

int
skua__handle_fd(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    skua__mutex_lock(&inner->mutex);
    inner->fd_given = true;
    settle_down(handle);
    let_close(handle);
    return inner->user_fd;
}

void
skua__handle_leave(skua__handle *handle) {
    settle_down(handle);
    handle->inner->callers--;
    let_close(handle);
}

void
skua__handle_hold_locked(skua__handle *handle) {
    handle->inner->holds++;
}

void
skua__handle_unhold_locked(skua__handle *handle) {
    handle->inner->holds--;
}

void
skua__handle_drop_hold(skua__handle *handle) {
    skua__mutex_lock(&handle->inner->mutex);
    settle_down(handle);
    handle->inner->holds--;
    let_close(handle);
}

void
skua__handle_lock(skua__handle *handle) {
    skua__mutex_lock(&handle->inner->mutex);
}

void
skua__handle_call_locked(skua__handle *handle) {
    handle->inner->callers++;
    handle->inner->activity++;
}

void
skua__handle_unlock(skua__handle *handle) {
    skua__mutex_unlock(&handle->inner->mutex);
}

/*
 * The node's thread. While callers are active only the timer ticks; while a leader polls nothing does; when neither is
 * so the sockets are watched and pumped from here.
 */
void
skua__handle_on_source(void *arg) {
    skua__handle *handle = arg;
    struct skua__handle_inner *inner = handle->inner;
    if (!skua__mutex_trylock(&inner->mutex)) {
        /* source_state is guarded by the mutex: whoever holds it leaves it at WATCH or TICKS, and both mean that the
         * next call here sorts things out. */
        skua__node_source_arm(inner->source, false, skua__clock_ns() + SKUA__TICK_NS);
        return;
    }
    int64_t now_ns = skua__clock_ns();
    if (inner->leader) {
        if (now_ns >= inner->alarm_ns) {
            /* What it was set for may be over: the leader has looked by itself since, and now waits for another. */
            bool due = now_ns >= inner->leader_at_ns;
            inner->alarm_ns = due ? SKUA_NEVER_NS : inner->leader_at_ns;
            if (due) {
                set_event(inner->kick_fd, &inner->kick_set);
            }
        }
        inner->source_state = SKUA__SOURCE_OFF;
        skua__node_source_arm(inner->source, false, inner->alarm_ns);
    } else if (inner->activity != inner->seen_activity || inner->callers) {
        inner->seen_activity = inner->activity;
        inner->source_state = SKUA__SOURCE_TICKS;
        skua__handle_flush_acks(handle, SKUA__ACK_TICK);
        skua__handle_pump_locked(handle);
        set_readable(handle);
        skua__node_source_arm(inner->source, false, now_ns + SKUA__TICK_NS);
        do_outside(handle);
    } else {
        inner->source_state = SKUA__SOURCE_WATCH;
        skua__handle_pump_locked(handle);
        skua__handle_flush_acks(handle, SKUA__ACK_TICK);
        bool dirty = any_dirty(handle);
        set_readable(handle);
        skua__node_source_arm(inner->source, true,
                              dirty ? now_ns : next_moment(handle, SKUA_NEVER_NS));
        do_outside(handle);
    }
    skua__mutex_unlock(&inner->mutex);
}
