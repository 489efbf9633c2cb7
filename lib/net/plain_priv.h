// SPDX-License-Identifier: MPL-2.0
// The inside of a plain endpoint, for plain.c and for the handle that drains it.
#ifndef SKUA_NET_PLAIN_PRIV_H
#define SKUA_NET_PLAIN_PRIV_H

#include "link_priv.h"

#include <skua-int/plain.h>

struct skua__plain {
    const skua_allocator *hook;
    skua__plain_kind kind;
    void *socket;
    int fd;
    uint16_t tcp_port;
    skua__port *port; /* the handle's view of the socket while it is attached */
    uint32_t
        budget; /* messages that may be taken before the handle's other sockets have their turn */
    skua__plain_counts counts;
};

#endif
