// SPDX-License-Identifier: MPL-2.0
// A bare TCP connect that does not block: it tells a host that refuses (no process listens) from one that is silent.
#include "node_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct skua__knock {
    skua_node *node;
    int fd;
    int error; /* of connect(), when it failed at once */
    struct sockaddr_storage address;
    socklen_t address_size;
    int64_t deadline_ns;
    skua__node_source *source;
    void (*fn)(void *arg, skua__knock_end end, int fd);
    void *arg;
};

static socklen_t
make_address(const char *host, uint16_t port, struct sockaddr_storage *ret) {
    memset(ret, 0, sizeof *ret);
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return sizeof *v6;
    }
    return 0;
}

static void
knock_free(skua__knock *knock, bool keep_fd) {
    skua__node_source_free(knock->source);
    if (!keep_fd && knock->fd >= 0) {
        close(knock->fd);
    }
    skua__mem_free(knock->node->hook, knock);
}

static void
knock_connect(skua__knock *knock) {
    if (connect(knock->fd, (struct sockaddr *)&knock->address, knock->address_size) &&
        errno != EINPROGRESS) {
        knock->error = errno;
    }
    /* A connect that is decided already is told from the timer, so that fn never runs inside skua__knock_begin(). */
    skua__node_source_arm(knock->source, !knock->error, knock->error ? 1 : knock->deadline_ns);
}

/* A reset comes after the connection was made: the port was open a moment ago, as a dying process's may be. */
static skua__knock_end
end_of(int error) {
    switch (error) {
    case ECONNREFUSED:
        return SKUA__KNOCK_REFUSED;
    case ECONNRESET:
    case EPIPE:
        return SKUA__KNOCK_RESET;
    default:
        return SKUA__KNOCK_SILENT;
    }
}

static void
knock_ready(void *arg) {
    skua__knock *knock = arg;
    int error = knock->error;
    socklen_t size = sizeof error;
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;
    skua__knock_end end = SKUA__KNOCK_SILENT;
    if (!error) {
        getsockopt(knock->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error) {
        end = end_of(error);
    } else if (getpeername(knock->fd, (struct sockaddr *)&peer, &peer_size) == 0) {
        end = SKUA__KNOCK_OPEN;
    } else if (skua__clock_ns() < knock->deadline_ns) {
        return; /* neither: the time limit will ring */
    }
    void (*fn)(void *arg, skua__knock_end end, int fd) = knock->fn;
    void *fn_arg = knock->arg;
    int fd = end == SKUA__KNOCK_OPEN ? knock->fd : -1;
    knock_free(knock, fd >= 0);
    fn(fn_arg, end, fd);
}

skua__knock *
skua__knock_begin(skua_node *node, const char *host, uint16_t port, int64_t limit_ms,
                  void (*fn)(void *arg, skua__knock_end end, int fd), void *arg) {
    skua__knock *knock = skua__mem_new(node->hook, sizeof *knock);
    if (!knock) {
        return NULL;
    }
    *knock = (skua__knock){.node = node, .fd = -1, .fn = fn, .arg = arg};
    knock->deadline_ns = skua__deadline_ns(limit_ms);
    knock->address_size = make_address(host, port, &knock->address);
    if (knock->address_size) {
        knock->fd = socket(knock->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (knock->fd < 0 ||
        skua__host_source_new(&node->host, knock->fd, knock_ready, knock, &knock->source, NULL)) {
        knock_free(knock, false);
        return NULL;
    }
    skua__host_source_events(knock->source, EPOLLOUT);
    knock_connect(knock);
    return knock;
}

skua__knock *
skua__knock_cancel(skua__knock *knock) {
    if (knock) {
        knock_free(knock, false);
    }
    return NULL;
}
