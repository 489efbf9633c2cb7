// SPDX-License-Identifier: MPL-2.0
// `skua nodes`: who is there.
#include "cli.h"

#include <inttypes.h>
#include <skua-int/clock.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_LOOK_MS = 5000, /* for the first one */
    SETTLE_MS = 300,        /* without a newcomer: then all are there */
    RECORD_STEP_MS = 10,    /* between two looks whether a newcomer has said what it is */
};

/* Waits until enough peers joined, or until no more come. Returns 0 also when nobody came. */
static skua_status
look(cli *self, skua_node *node) {
    int64_t deadline_ns = cli_deadline_ns(self, DEFAULT_LOOK_MS);
    int64_t settled_ns = deadline_ns;
    int64_t joined = 0;
    for (;;) {
        skua_status status = cli_wait(self, skua_node_event_fd(node), settled_ns);
        if (status) {
            return status == SKUA_E_TIMEOUT ? SKUA_OK : status;
        }
        skua_node_event event = {.size = sizeof event};
        while (skua_node_next_event(node, &event, SKUA_NONE, NULL) == SKUA_OK) {
            joined += event.kind == SKUA_NODE_JOIN;
            joined -= event.kind == SKUA_NODE_LEAVE;
            if (event.kind == SKUA_NODE_JOIN && !self->count) {
                int64_t soon_ns = skua__deadline_ns(SETTLE_MS);
                settled_ns = soon_ns < deadline_ns ? soon_ns : deadline_ns;
            }
        }
        if (self->count && joined >= self->count) {
            return SKUA_OK;
        }
    }
}

static void
put_peer(skua__json *json, const skua_peer *peer) {
    skua__json_object(json);
    skua__json_put_text(json, "name", peer->name);
    skua__json_put_text(json, "id", peer->id);
    skua__json_put_text(json, "endpoint", peer->endpoint);
    skua__json_put_text(json, "via", cli_via_text(peer->via));
    skua__json_put_u64(json, "cores", peer->cores);
    skua__json_put_u64(json, "numa", peer->numa);
    skua__json_put_u64(json, "devices", peer->device_count);
    skua__json_put_text(json, "device_names", peer->devices);
    skua__json_put_u64(json, "queue", peer->queue);
    skua__json_key(json, "rtt_us");
    if (peer->rtt_us < 0) {
        skua__json_null(json);
    } else {
        skua__json_i64(json, peer->rtt_us);
    }
    skua__json_put_i64(json, "seen_ms", peer->seen_ms);
    skua__json_put_text(json, "state", cli_state_text(peer->state));
    skua__json_put_text(json, "services", peer->services);
    skua__json_put_u64(json, "memory_bytes", peer->memory_bytes);
    skua__json_object_end(json);
}

static void
print_peers(cli *self, const skua_peer *peers, size_t count) {
    cli_table table;
    cli_table_init(&table, 10, 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8);
    static const char *const heads[] = {"NAME",    "ENDPOINT", "VIA",    "CORES",   "NUMA",
                                        "DEVICES", "QUEUE",    "RTT us", "SEEN ms", "STATE"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        cli_table_put(&table, "%s", heads[i]);
    }
    for (size_t i = 0; i < count; i++) {
        const skua_peer *peer = &peers[i];
        cli_table_put(&table, "%s", peer->name);
        cli_table_put(&table, "%s", peer->endpoint);
        cli_table_put(&table, "%s", cli_via_text(peer->via));
        cli_table_put(&table, "%" PRIu32, peer->cores);
        cli_table_put(&table, "%" PRIu32, peer->numa);
        cli_table_put(&table, "%" PRIu32, peer->device_count);
        cli_table_put(&table, "%" PRIu32, peer->queue);
        if (peer->rtt_us < 0) {
            cli_table_put(&table, "-");
        } else {
            cli_table_put(&table, "%" PRId64, peer->rtt_us);
        }
        cli_table_put(&table, "%" PRId64, peer->seen_ms);
        cli_table_put(&table, "%s", cli_state_text(peer->state));
    }
    cli_table_print(&table, stdout, self->colour_out);
}

static int
by_name(const void *a, const void *b) {
    const skua_peer *x = a, *y = b;
    int names = strcmp(x->name, y->name);
    return names ? names : strcmp(x->id, y->id);
}

/* The peers, sorted; the caller owns the array. Asks again when some came between the two calls. */
static skua_status
list(cli *self, skua_node *node, skua_peer **ret_peers, size_t *ret_count) {
    for (size_t capacity = 64;; capacity *= 2) {
        skua_peer *peers = calloc(capacity, sizeof *peers);
        if (!peers) {
            return cli_fail(self, SKUA_E_NO_MEMORY, "no memory for %zu peers", capacity);
        }
        size_t count = 0;
        skua_status status =
            skua_node_peers(node, peers, sizeof *peers, capacity, &count, &self->err);
        if (!status && count <= capacity) {
            qsort(peers, count, sizeof *peers, by_name);
            *ret_peers = peers;
            *ret_count = count;
            return SKUA_OK;
        }
        free(peers);
        if (status) {
            return status;
        }
    }
}

static bool
have_introduced_themselves(const skua_peer *peers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (peers[i].state == SKUA_PEER_ALIVE && !peers[i].cores) {
            return false;
        }
    }
    return true;
}

/* As list(), but gives newcomers a moment to say how many cores they have, and the like: it follows their joining. */
static skua_status
list_with_records(cli *self, skua_node *node, skua_peer **ret_peers, size_t *ret_count) {
    int64_t until_ns = skua__deadline_ns(SETTLE_MS);
    for (;;) {
        skua_status status = list(self, node, ret_peers, ret_count);
        if (status || have_introduced_themselves(*ret_peers, *ret_count) ||
            skua__clock_ns() >= until_ns) {
            return status;
        }
        free(*ret_peers);
        *ret_peers = NULL;
        status = cli_wait(self, -1, skua__deadline_ns(RECORD_STEP_MS));
        if (status && status != SKUA_E_TIMEOUT) {
            return status;
        }
    }
}

/* The library knows where was looked, and says so in the error; how long it was is known here. */
static skua_status
say_how_long(cli *self, skua_status status, int64_t looked_ns) {
    char message[SKUA_ERROR_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", self->err.message);
    const char *after = strstr(message, " after ");
    const char *rest = after ? strstr(after, " s ") : NULL;
    if (status != SKUA_E_NO_PEERS || !rest) {
        return status;
    }
    char time[32];
    return cli_fail(self, status, "%.*s after %s%s", (int)(after - message), message,
                    cli_seconds_text(looked_ns, time), rest + strlen(" s"));
}

static skua_status
answer(cli *self, skua_node *node, const skua_peer *peers, size_t count, int64_t looked_ns) {
    skua_status status = SKUA_OK;
    if (count == 0 || (self->count && count < (size_t)self->count)) {
        status = skua_node_await_peers(node, self->count ? (size_t)self->count : 1, SKUA_NONE,
                                       &self->err);
        status = say_how_long(self, status, looked_ns);
    }
    if (!self->json) {
        if (count) {
            print_peers(self, peers, count);
        }
        return status;
    }
    skua__json *json = cli_answer(self);
    skua__json_key(json, "nodes");
    skua__json_array(json);
    for (size_t i = 0; i < count; i++) {
        put_peer(json, &peers[i]);
    }
    skua__json_array_end(json);
    if (status) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static skua_status
run_nodes(cli *self) {
    skua_node *node = NULL;
    skua_status status = cli_open_node(self, &node);
    int64_t start_ns = skua__clock_ns();
    if (!status) {
        status = look(self, node);
    }
    skua_peer *peers = NULL;
    size_t count = 0;
    if (!status) {
        status = list_with_records(self, node, &peers, &count);
    }
    if (!status) {
        status = answer(self, node, peers, count, skua__clock_ns() - start_ns);
    }
    free(peers);
    skua_node_close(node);
    return status;
}

const cli_command cli_cmd_nodes = {
    .name = "nodes",
    .form = "",
    .summary = "List the nodes that can be seen from here",
    .details = "It looks until no more nodes appear, or, with --count, until so many are there; at "
               "most for --timeout\n"
               "(5 s). Exit code 3: nobody is there.",
    .examples = "skua nodes\nskua nodes --json --count 3 --timeout 10s",
    .run = run_nodes,
};
