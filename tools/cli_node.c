// SPDX-License-Identifier: MPL-2.0
// Opens a node as the common flags say.
#include "cli.h"

skua_status
cli_open_node(cli *self, skua_node **ret_node) {
    return skua_node_open(ret_node,
                          SKUA_NODE_OPTIONS(.name = self->name, .fleet_dir = self->fleet,
                                            .peers = self->peers, .peer_count = self->peer_count,
                                            .interfaces = self->interfaces,
                                            .interface_count = self->interface_count,
                                            .log = self->log.level ? &self->log : NULL),
                          &self->err);
}

const char *
cli_via_text(int32_t via) {
    switch (via) {
    case SKUA_VIA_BEACON:
        return "beacon";
    case SKUA_VIA_STATIC:
        return "static";
    case SKUA_VIA_PEER_LIST:
        return "peer-list";
    case SKUA_VIA_INCOMING:
        return "incoming";
    default:
        return "unknown";
    }
}

const char *
cli_state_text(int32_t state) {
    switch (state) {
    case SKUA_PEER_JOINING:
        return "joining";
    case SKUA_PEER_ALIVE:
        return "alive";
    case SKUA_PEER_SUSPECT:
        return "suspect";
    case SKUA_PEER_DEAD:
        return "dead";
    default:
        return "unknown";
    }
}

const char *
cli_event_text(int32_t kind) {
    switch (kind) {
    case SKUA_NODE_JOIN:
        return "join";
    case SKUA_NODE_SUSPECT:
        return "suspect";
    case SKUA_NODE_ALIVE:
        return "alive";
    case SKUA_NODE_LEAVE:
        return "leave";
    default:
        return "unknown";
    }
}

const char *
cli_reason_text(int32_t reason) {
    switch (reason) {
    case SKUA_LEAVE_NONE:
        return "";
    case SKUA_LEAVE_BYE:
        return "said goodbye";
    case SKUA_LEAVE_GONE:
        return "its process is gone";
    case SKUA_LEAVE_SILENT:
        return "silent for too long";
    case SKUA_LEAVE_RESTARTED:
        return "restarted";
    case SKUA_LEAVE_EXPIRED:
        return "its certificate ran out";
    default:
        return "unknown";
    }
}
