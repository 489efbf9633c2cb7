// SPDX-License-Identifier: MPL-2.0
// `skua pub SERVICE TOPIC [MSG|-]`: publishes.
#include "cli_msg.h"

#include <skua-int/clock.h>
#include <skua/pubsub.h>

enum { DEFAULT_TIMEOUT_MS = 5000, MAX_SUBSCRIBERS = 1 << 20 };

typedef struct audience {
    skua_pub *pub;
    size_t wanted;
} audience;

static skua_status
await_some(cli *self, void *arg, int64_t timeout_ms) {
    const audience *who = arg;
    return skua_pub_await_subs(who->pub, self->args[1], who->wanted, timeout_ms, &self->err);
}

/* Waits for subscribers, so that the first message finds somebody. */
static skua_status
await_subs(cli *self, skua_pub *pub) {
    int64_t wanted = 1, begun_ns = skua__clock_ns();
    const char *given = cli_flag_value(self, "--subs");
    skua_status status =
        given ? cli_parse_number(self, "--subs", given, 0, MAX_SUBSCRIBERS, &wanted) : SKUA_OK;
    if (status || wanted == 0) {
        return status;
    }
    audience who = {.pub = pub, .wanted = (size_t)wanted};
    status = cli_in_slices(self, await_some, &who, cli_deadline_ns(self, DEFAULT_TIMEOUT_MS));
    if (status != SKUA_E_TIMEOUT && status != SKUA_E_AGAIN) {
        return status;
    }
    char time[32];
    return cli_fail(
        self, SKUA_E_NO_PEERS,
        "%s to \"%s\" of \"%s\" within %s; start `skua sub %s`, or do not wait with --subs 0",
        wanted == 1 ? "nobody subscribed" : "too few subscribed", self->args[1], self->args[0],
        cli_seconds_text(skua__clock_ns() - begun_ns, time), self->args[0]);
}

static skua_status
send_one(cli *self, void *arg, int64_t timeout_ms) {
    cli_sending *sending = arg;
    return skua_pub_send(sending->handle, self->args[1], &sending->msg, timeout_ms, &self->err);
}

static skua_status
drain(cli *self, void *pub, int64_t timeout_ms) {
    return skua_pub_drain(pub, timeout_ms, &self->err);
}

static skua_status
answer(cli *self, skua_pub *pub, uint64_t published, skua_status status) {
    if (!self->json) {
        return status;
    }
    skua_pattern_stats stats = {.size = sizeof stats};
    bool known = pub && skua_pub_stats(pub, &stats, NULL) == SKUA_OK;
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "service", self->args[0]);
    skua__json_put_text(json, "topic", self->args[1]);
    skua__json_put_u64(json, "published", published);
    if (known) {
        skua__json_put_u64(json, "sent", stats.sent);
        skua__json_put_u64(json, "confirmed", stats.confirmed);
        skua__json_put_u64(json, "dropped",
                           stats.dropped_slow + stats.dropped_lost + stats.dropped_closed);
        skua__json_put_u64(json, "unconfirmed", stats.unconfirmed);
    }
    if (status) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static skua_status
run_pub(cli *self) {
    skua_node *node = NULL;
    skua_pub *pub = NULL;
    cli_feed feed;
    uint64_t published = 0;
    cli_feed_init(&feed, self, self->arg_count > 2 ? self->args[2] : NULL);
    skua_status status = cli_open_node(self, &node);
    if (!status) {
        status = skua_pub_open(
            &pub, node, self->args[0],
            SKUA_PUB_OPTIONS(.policy = SKUA_SLOW_BLOCK,
                             .plain_bind = cli_flag_value(self, "--plain"),
                             .plain_insecure = cli_flag_value(self, "--insecure") != NULL),
            &self->err);
    }
    if (!status) {
        status = await_subs(self, pub);
    }
    if (!status) {
        status = cli_send_feed(self, &feed, pub, send_one, SKUA_UNLIMITED, &published);
    }
    if (!status) {
        /* Until everybody has everything. */
        status = cli_in_slices(self, drain, pub, cli_deadline_ns(self, DEFAULT_TIMEOUT_MS));
    }
    status = answer(self, pub, published, status);
    skua_pub_close(pub);
    skua_node_close(node);
    cli_feed_fini(&feed);
    return status;
}

static const cli_flag pub_flags[] = {
    {"--subs", "N", "wait for so many subscribers first (1); 0: do not wait"},
    {"--plain", "ENDPOINT", "also publish to plain ZeroMQ SUB sockets there: tcp://127.0.0.1:5999"},
    {"--insecure", NULL, "with --plain: other machines may subscribe, unencrypted"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_pub = {
    .name = "pub",
    .form = "SERVICE TOPIC [MSG|-]",
    .summary = "Publish a message, or each line of standard input, under a topic",
    .details = "It waits for a subscriber first (--timeout, 5 s; exit code 3 when none came), "
               "publishes, and ends when\n"
               "every subscriber has everything. --count N publishes MSG N times.",
    .examples = "skua pub weather oslo rain\ntail -f log | skua pub logs web -",
    .flags = pub_flags,
    .args_min = 2,
    .args_max = 3,
    .run = run_pub,
};
