// SPDX-License-Identifier: MPL-2.0
// Beacons: one UDP socket, a broadcast on each chosen interface and on loopback, every heartbeat and whenever a newcomer
// is heard. Why not CZMQ's zbeacon: docs/adr/0004.
#include "node_priv.h"

#include <skua/log.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Sending ---- */

static void
send_on(skua_node *node, const skua__interface *interface, void *bytes, size_t size) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr = interface->broadcast,
                             .sin_port = htons(node->beacon_port)};
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } ancillary;
    memset(&ancillary, 0, sizeof ancillary);
    struct msghdr message = {.msg_name = &to,
                             .msg_namelen = sizeof to,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof ancillary};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo way = {.ipi_ifindex = (int)interface->index,
                             .ipi_spec_dst = interface->address};
    memcpy(CMSG_DATA(header), &way, sizeof way);
    if (sendmsg(node->beacon_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        skua__count(node, SKUA__COUNTER(beacon_send_errors));
    } else {
        skua__count(node, SKUA__COUNTER(beacons_sent));
    }
}

void
skua__beacon_send(skua_node *node, uint8_t flags) {
    if (node->beacon_fd < 0) {
        return;
    }
    skua__beacon beacon = {.flags = flags,
                           .uuid = node->uuid,
                           .incarnation = node->incarnation,
                           .sequence = ++node->beacon_sequence,
                           .control_port = node->control_port,
                           .introduction_port = node->introduction_port,
                           .record_version = node->announced.version,
                           .certificate = node->credentials.certificate};
    uint8_t bytes[SKUA__BEACON_MAX];
    size_t size =
        skua__beacon_encode(&beacon, &node->credentials.beacon_keys[0], bytes, sizeof bytes);
    for (size_t i = 0; i < node->interface_count && size; i++) {
        send_on(node, &node->interfaces[i], bytes, size);
    }
    node->beacon_last_ns = skua__clock_ns();
    node->beacon_soon = false;
    node->beacon_flags = 0;
    skua__node_source_arm(node->beacon_timer, false, node->beacon_last_ns + node->heartbeat_ns);
}

static void
beacon_due(void *arg) {
    skua_node *node = arg;
    skua__beacon_send(node, node->beacon_flags);
}

void
skua__beacon_soon(skua_node *node, uint8_t flags) {
    if (node->beacon_fd < 0 || node->stopping) {
        return;
    }
    node->beacon_flags |= flags;
    if (node->beacon_soon) {
        return;
    }
    node->beacon_soon = true;
    int64_t at_ns = node->beacon_last_ns + SKUA__BEACON_GAP_MS * SKUA_NS_PER_MS;
    if (at_ns <= skua__clock_ns()) {
        skua__beacon_send(node, node->beacon_flags);
    } else {
        skua__node_source_arm(node->beacon_timer, false, at_ns);
    }
}

/* ---- Hearing ---- */

static size_t
drop_counter(skua__beacon_result result) {
    switch (result) {
    case SKUA__BEACON_OTHER_VERSION:
        return SKUA__COUNTER(beacons_dropped_version);
    case SKUA__BEACON_OTHER_FLEET:
        return SKUA__COUNTER(beacons_dropped_fleet);
    case SKUA__BEACON_UNKNOWN_KEY:
    case SKUA__BEACON_BAD_MAC:
        return SKUA__COUNTER(beacons_dropped_mac);
    case SKUA__BEACON_BAD_CERTIFICATE:
        return SKUA__COUNTER(beacons_dropped_certificate);
    case SKUA__BEACON_REPLAYED:
        return SKUA__COUNTER(beacons_dropped_replay);
    case SKUA__BEACON_OK:
    case SKUA__BEACON_TOO_SHORT:
    case SKUA__BEACON_TOO_LONG:
    case SKUA__BEACON_NOT_SKUA:
    case SKUA__BEACON_BAD_SIZE:
    case SKUA__BEACON_BAD_FIELD:
    case SKUA__BEACON_RESULTS:
        break;
    }
    return SKUA__COUNTER(beacons_dropped_malformed);
}

static void
beacon_in(skua_node *node, const void *bytes, size_t size, const char *from) {
    skua__beacon beacon;
    skua__beacon_result result =
        skua__beacon_decode(bytes, size, &node->fleet, node->credentials.beacon_keys,
                            node->credentials.beacon_key_count, &beacon);
    if (result != SKUA__BEACON_OK) {
        skua__count(node, drop_counter(result));
        return;
    }
    if (skua__uuid_equal(&beacon.uuid, &node->uuid)) {
        return; /* our own, come back by the interface */
    }
    skua__peer *peer = skua__peer_find(node, &beacon.uuid);
    if (peer && !skua__beacon_window_check(&peer->window, beacon.incarnation, beacon.sequence)) {
        skua__count(node, SKUA__COUNTER(beacons_dropped_replay));
        return;
    }
    skua__certificate_result verdict = skua__peer_verify(node, &beacon.uuid, &beacon.certificate);
    if (verdict != SKUA__CERTIFICATE_OK) {
        skua__count(node, verdict == SKUA__CERTIFICATE_EXPIRED
                              ? SKUA__COUNTER(beacons_dropped_expired)
                              : SKUA__COUNTER(beacons_dropped_certificate));
        return;
    }
    peer = skua__peer_meet(node, &beacon.uuid, beacon.incarnation, &beacon.certificate,
                           SKUA_VIA_BEACON);
    if (!peer) {
        return;
    }
    if (peer->window.incarnation == 0) {
        skua__beacon_window_check(&peer->window, beacon.incarnation, beacon.sequence);
    }
    skua__count(node, SKUA__COUNTER(beacons_received));
    skua__peer_at(peer, from, beacon.control_port, beacon.introduction_port);
    if (beacon.flags & SKUA__BEACON_PROBE) {
        /* A newcomer's first beacon asks for ours; and it must have our certificate before we dial. */
        skua__beacon_soon(node, 0);
    }
    skua__peer_feed(peer,
                    (skua__peer_event){.kind = SKUA__PEER_SEEN, .incarnation = beacon.incarnation});
    peer = (beacon.flags & SKUA__BEACON_BYE) ? skua__peer_find(node, &beacon.uuid) : NULL;
    if (peer) {
        skua__peer_feed(peer, (skua__peer_event){.kind = SKUA__PEER_BYE_HEARD,
                                                 .incarnation = beacon.incarnation});
    }
}

/* Is the datagram from an interface that was chosen? */
static bool
came_by_chosen(const skua_node *node, struct msghdr *message) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo way;
            memcpy(&way, CMSG_DATA(header), sizeof way);
            for (size_t i = 0; i < node->interface_count; i++) {
                if (node->interfaces[i].index == (unsigned)way.ipi_ifindex) {
                    return true;
                }
            }
        }
    }
    return false;
}

static void
beacon_ready(void *arg) {
    skua_node *node = arg;
    for (int i = 0; i < SKUA__BEACONS_PER_WAKE; i++) {
        uint8_t bytes[SKUA__BEACON_MAX + 1]; /* one more, so that too long ones show */
        struct sockaddr_in from = {.sin_port = 0};
        struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes};
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
        } ancillary;
        struct msghdr message = {.msg_name = &from,
                                 .msg_namelen = sizeof from,
                                 .msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &ancillary,
                                 .msg_controllen = sizeof ancillary};
        ssize_t size = recvmsg(node->beacon_fd, &message, MSG_DONTWAIT);
        if (size < 0) {
            return;
        }
        if (came_by_chosen(node, &message)) {
            char host[SKUA_HOST_BYTES];
            inet_ntop(AF_INET, &from.sin_addr, host, sizeof host);
            beacon_in(node, bytes, (size_t)size, host);
        }
    }
}

/* ---- Life ---- */

static skua_status
open_socket(skua_node *node, skua_error *err) {
    int on = 1;
    node->beacon_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (node->beacon_fd < 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_DESCRIPTORS, errno, "cannot make the beacon's socket");
    }
    /* With the personal fleet nothing of ours can be reached from outside, not even by a datagram. */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(node->beacon_port)};
    address.sin_addr.s_addr =
        htonl(node->credentials.personal ? (INADDR_LOOPBACK | 0xffffff) : INADDR_ANY);
    /* Several nodes of a machine share the port: a broadcast reaches each of them. */
    if (setsockopt(node->beacon_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        setsockopt(node->beacon_fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) ||
        setsockopt(node->beacon_fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) ||
        bind(node->beacon_fd, (struct sockaddr *)&address, sizeof address)) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_ADDRESS_IN_USE, errno,
                               "cannot bind the beacons' port, UDP %u; choose another with "
                               "beacon_port, or switch beacons off",
                               node->beacon_port);
    }
    skua_status status =
        skua__host_source_new(&node->host, -1, beacon_due, node, &node->beacon_timer, err);
    return status ? status
                  : skua__host_source_new(&node->host, node->beacon_fd, beacon_ready, node,
                                          &node->beacon_source, err);
}

skua_status
skua__discovery_open(skua_node *node, const skua_node_options *options, skua_error *err) {
    skua_status status = skua__interfaces_choose(node, options, err);
    if (status || node->no_beacon) {
        return status;
    }
    status = open_socket(node, err);
    return status ? status : skua__interfaces_watch(node, err);
}

void
skua__discovery_start(skua_node *node) {
    if (node->beacon_fd < 0) {
        return;
    }
    skua__node_source_arm(node->beacon_source, true, SKUA_NEVER_NS);
    skua__beacon_send(node, SKUA__BEACON_PROBE);
    skua__interfaces_start(node);
}

void
skua__discovery_close(skua_node *node) {
    skua__interfaces_close(node);
    node->beacon_source = skua__node_source_free(node->beacon_source);
    node->beacon_timer = skua__node_source_free(node->beacon_timer);
    if (node->beacon_fd >= 0) {
        close(node->beacon_fd);
        node->beacon_fd = -1;
    }
}
