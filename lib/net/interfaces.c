// SPDX-License-Identifier: MPL-2.0
// Which network interfaces beacons go to, and the addresses that sockets are bound to. The kernel tells (rtnetlink) when an
// interface comes or goes; then they are read again, so that one which comes up later is used.
#include "node_priv.h"

#include <skua/log.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Reading ---- */

typedef struct interface_list {
    skua__interface all[SKUA__INTERFACES_MAX];
    size_t count;
} interface_list;

static void
add(interface_list *list, const char *name, const char *address, const char *broadcast) {
    if (list->count == SKUA__INTERFACES_MAX) {
        return;
    }
    skua__interface *interface = &list->all[list->count];
    memset(interface, 0, sizeof *interface); /* lists are compared byte by byte */
    snprintf(interface->name, sizeof interface->name, "%s", name);
    interface->index = if_nametoindex(name);
    if (interface->index && inet_pton(AF_INET, address, &interface->address) == 1 &&
        inet_pton(AF_INET, broadcast, &interface->broadcast) == 1) {
        list->count++;
    }
}

static bool
is_wanted(const skua_node *node, const char *name) {
    for (size_t i = 0; i < node->wanted_count; i++) {
        if (strcmp(node->wanted[i], name) == 0) {
            return true;
        }
    }
    return node->wanted_count == 0;
}

static void
read_interfaces(const skua_node *node, interface_list *ret) {
    ret->count = 0;
    add(ret, "lo", "127.0.0.1", "127.255.255.255");
    if (node->credentials.personal) {
        return;
    }
    ziflist_t *list = ziflist_new();
    for (const char *name = list ? ziflist_first(list) : NULL; name; name = ziflist_next(list)) {
        if (is_wanted(node, name)) {
            add(ret, name, ziflist_address(list), ziflist_broadcast(list));
        }
    }
    ziflist_destroy(&list);
}

/* ---- Choosing ---- */

static skua_status
note_wanted(skua_node *node, const skua_node_options *options, skua_error *err) {
    for (size_t i = 0; i < options->interface_count; i++) {
        const char *name = options->interfaces[i] ? options->interfaces[i] : "";
        if (node->credentials.personal && strcmp(name, "lo") != 0) {
            return SKUA_FAIL(err, SKUA_E_LOOPBACK_ONLY,
                             "cannot use the interface \"%.40s\": the personal fleet stays on this "
                             "machine; make a fleet with `skua fleet init DIR` and name it with "
                             "--fleet",
                             name);
        }
        snprintf(node->wanted[i], sizeof node->wanted[i], "%s", name);
    }
    node->wanted_count = options->interface_count;
    return SKUA_OK;
}

static bool
is_there(const interface_list *list, const char *name) {
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->all[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void
add_bind_host(skua_node *node, const char *host) {
    if (node->bind_hosts.count < SKUA__BIND_HOSTS_MAX) {
        char *to = node->bind_hosts.hosts[node->bind_hosts.count++];
        snprintf(to, SKUA_HOST_BYTES, "%s", host);
    }
}

skua_status
skua__interfaces_choose(skua_node *node, const skua_node_options *options, skua_error *err) {
    interface_list found;
    skua_status status = note_wanted(node, options, err);
    if (status) {
        return status;
    }
    read_interfaces(node, &found);
    for (size_t i = 0; i < options->interface_count; i++) {
        /* Not node->wanted: a name that was cut there must not match. */
        const char *name = options->interfaces[i] ? options->interfaces[i] : "";
        if (!is_there(&found, name)) {
            return SKUA_FAIL(
                err, SKUA_E_NOT_FOUND,
                "the interface \"%.40s\" is not up with an IPv4 address; `ip -br addr` "
                "lists those that are",
                name);
        }
    }
    bool all = !node->credentials.personal && !node->wanted_count;
    add_bind_host(node, all ? "0.0.0.0" : "127.0.0.1");
    for (size_t i = 1; i < found.count; i++) { /* the first is lo */
        char host[SKUA_HOST_BYTES];
        inet_ntop(AF_INET, &found.all[i].address, host, sizeof host);
        if (!node->endpoint[0]) {
            snprintf(node->endpoint, sizeof node->endpoint, "%s", host);
        }
        if (!all) {
            add_bind_host(node, host);
        }
    }
    memcpy(node->interfaces, found.all, sizeof found.all);
    node->interface_count = found.count;
    return SKUA_OK;
}

/* ---- Changes ---- */

/* Something may be heard, or hear us, that was not there before. */
static bool
has_newcomer(const skua_node *node, const interface_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        bool known = false;
        for (size_t j = 0; j < node->interface_count; j++) {
            known |= memcmp(&list->all[i], &node->interfaces[j], sizeof list->all[i]) == 0;
        }
        if (!known) {
            return true;
        }
    }
    return false;
}

static bool
is_bound(const skua_node *node, const skua__interface *interface) {
    char host[SKUA_HOST_BYTES];
    inet_ntop(AF_INET, &interface->address, host, sizeof host);
    for (size_t i = 0; i < node->bind_hosts.count; i++) {
        const char *bound = node->bind_hosts.hosts[i];
        if (strcmp(bound, "0.0.0.0") == 0 || strcmp(bound, host) == 0) {
            return true;
        }
    }
    return false;
}

/* A named interface that came back with another address: our sockets are bound to the old one, so nobody is called there. */
static void
leave_out_unbound(const skua_node *node, interface_list *list) {
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (is_bound(node, &list->all[i])) {
            list->all[kept++] = list->all[i];
        } else {
            skua__logf(node, SKUA_LOG_WARNING,
                       "%s has another address than when the node was opened; open it again",
                       list->all[i].name);
        }
    }
    list->count = kept;
}

static void
read_again(skua_node *node) {
    interface_list found;
    read_interfaces(node, &found);
    leave_out_unbound(node, &found);
    bool more = has_newcomer(node, &found);
    if (!more && found.count == node->interface_count) {
        return;
    }
    skua__mutex_lock(&node->lock); /* errors name them */
    memcpy(node->interfaces, found.all, found.count * sizeof found.all[0]);
    node->interface_count = found.count;
    skua__mutex_unlock(&node->lock);
    skua__logf(node, SKUA_LOG_INFO, "the interfaces have changed: beacons go to %zu of them",
               found.count);
    if (more) {
        skua__beacon_soon(node, SKUA__BEACON_PROBE);
    }
}

static void
netlink_ready(void *arg) {
    skua_node *node = arg;
    char bytes[8192];
    /* What it says is not read: the list is, whole. A message that did not fit (ENOBUFS) is one more reason. */
    while (recv(node->netlink_fd, bytes, sizeof bytes, MSG_DONTWAIT) >= 0 || errno == ENOBUFS ||
           errno == EINTR) {
    }
    read_again(node);
}

skua_status
skua__interfaces_watch(skua_node *node, skua_error *err) {
    if (node->credentials.personal) {
        return SKUA_OK;
    }
    struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
                                 .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&groups, sizeof groups)) {
        /* A sandbox may forbid it. What was up at the beginning is used all the same. */
        skua__logf(node, SKUA_LOG_INFO, "interfaces that come up later go unnoticed: %s",
                   strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return SKUA_OK;
    }
    node->netlink_fd = fd;
    return skua__host_source_new(&node->host, fd, netlink_ready, node, &node->netlink_source, err);
}

void
skua__interfaces_start(skua_node *node) {
    if (node->netlink_source) {
        skua__node_source_arm(node->netlink_source, true, SKUA_NEVER_NS);
        read_again(node); /* what changed since they were chosen */
    }
}

void
skua__interfaces_close(skua_node *node) {
    node->netlink_source = skua__node_source_free(node->netlink_source);
    if (node->netlink_fd >= 0) {
        close(node->netlink_fd);
        node->netlink_fd = -1;
    }
}
