// SPDX-License-Identifier: MPL-2.0
// The node's thread: a CZMQ reactor in a thread of ours, with posted functions, watched descriptors and moments.
// Inside lib/net only. docs/adr/0003 says what of CZMQ is used and why.
#ifndef SKUA_NET_HOST_H
#define SKUA_NET_HOST_H

#include <czmq.h>
#include <skua-int/list.h>
#include <skua-int/mem.h>
#include <skua-int/thread.h>
#include <stdatomic.h>

enum {
    SKUA__HOST_MAX_SOURCES = 65536, /* descriptors and moments that a node watches */
    SKUA__HOST_BATCH = 64,          /* ready descriptors that are taken at a time */
};

typedef struct skua__host skua__host;
typedef struct skua__node_source skua__node_source;

struct skua__host {
    const skua_allocator *hook;
    zloop_t *loop;
    pthread_t thread;
    bool started; /* written under lock */
    int epoll_fd; /* of the armed sources' descriptors */
    int timer_fd; /* rings at the earliest source's moment */
    int wake_fd;  /* something was posted, or the thread shall end */

    /* Guards all below, and each source's fields. A leaf: nothing else is locked while it is held. */
    skua__mutex lock;
    skua__cond idle;           /* a source's or post's function has returned */
    skua__list posts;          /* of struct post, in order */
    bool stopping;             /* no posts are taken any more */
    bool ended;                /* the thread ran, and has run for the last time */
    skua__node_source **slots; /* by slot number; NULL: free */
    uint32_t slot_count;       /* of the memory behind slots */
    uint32_t next_generation;
    skua__node_source **heap; /* armed moments, the earliest first; as many places as slots */
    uint32_t heap_count;
    int64_t timer_at_ns;        /* what timer_fd is set to; SKUA_NEVER_NS: not set */
    skua__node_source *running; /* its function runs now */

    /* After the end: calls are made one at a time in their callers' threads. Taken before nothing but a call's own locks. */
    skua__mutex after;
};

/* Makes the reactor; nothing runs yet. Returns 0, SKUA_E_NO_MEMORY, SKUA_E_DESCRIPTORS, SKUA_E_SYSTEM. */
skua_status skua__host_init(skua__host *host, const skua_allocator *hook, skua_error *err);
/* Starts the thread. */
skua_status skua__host_start(skua__host *host, const char *name, skua_error *err);
/*
 * Takes no more posts, runs those that wait, and ends the thread. Sources may still exist; they are called no
 * more. Does nothing when the thread is not running.
 */
void skua__host_stop(skua__host *host);
void skua__host_fini(skua__host *host);

skua_status skua__host_post(skua__host *host, void (*fn)(void *arg), void *arg);
/*
 * Runs fn(arg) in the host's thread and waits for it; takes no memory. Not from that thread. While the thread ends it waits for the
 * end, and then runs fn(arg) here: nothing else touches what was the thread's own. Returns 0, or SKUA_E_CLOSED when the
 * thread never ran.
 */
skua_status skua__host_call(skua__host *host, void (*fn)(void *arg), void *arg);
bool skua__host_is_current(const skua__host *host); /* is this the host's thread? */

skua_status skua__host_source_new(skua__host *host, int fd, void (*fn)(void *arg), void *arg,
                                  skua__node_source **ret_source, skua_error *err);
/* What to watch a descriptor for instead of EPOLLIN, until it is disarmed and armed again. */
void skua__host_source_events(skua__node_source *source, uint32_t epoll_events);

#endif
