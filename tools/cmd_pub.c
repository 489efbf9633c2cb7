// SPDX-License-Identifier: MPL-2.0
// `skua pub SERVICE TOPIC [MSG|-]`: publishes.
#include "cli_msg.h"

#include <skua-int/clock.h>
#include <skua/pubsub.h>

enum { DEFAULT_TIMEOUT_MS = 5000, MAX_SUBSCRIBERS = 1 << 20 };

/* Waits for subscribers, so that the first message finds somebody. */
static skua_status
await_subs(cli *self, skua_pub *pub, int64_t deadline_ns) {
    int64_t wanted = 1;
    const char *given = cli_flag_value(self, "--subs");
    skua_status status =
        given ? cli_parse_number(self, "--subs", given, 0, MAX_SUBSCRIBERS, &wanted) : SKUA_OK;
    if (status || wanted == 0) {
        return status;
    }
    for (;;) {
        status = cli_check_signals(self);
        if (status) {
            return status;
        }
        status = skua_pub_await_subs(pub, self->args[1], (size_t)wanted, cli_slice_ms(deadline_ns),
                                     &self->err);
        if (status != SKUA_E_TIMEOUT && status != SKUA_E_AGAIN) {
            return status;
        }
        if (skua__deadline_left_ms(deadline_ns) == 0) {
            return cli_fail(
                self, SKUA_E_NO_PEERS,
                "fewer than %lld subscribers to \"%s\" of \"%s\" (--subs 0 does not wait)",
                (long long)wanted, self->args[1], self->args[0]);
        }
    }
}

static skua_status
send_one(cli *self, skua_pub *pub, skua_msg **msg) {
    for (;;) {
        skua_status status = skua_pub_send(pub, self->args[1], msg, CLI_SLICE_MS, &self->err);
        if (status != SKUA_E_TIMEOUT && status != SKUA_E_AGAIN) {
            return status;
        }
        status = cli_check_signals(self);
        if (status) {
            return status;
        }
    }
}

static skua_status
publish(cli *self, skua_pub *pub, cli_feed *feed, uint64_t *published) {
    for (;;) {
        skua_msg *msg = NULL;
        skua_status status = cli_feed_next(self, feed, &msg);
        if (status) {
            return status == SKUA_E_NOT_FOUND ? SKUA_OK : status;
        }
        status = send_one(self, pub, &msg);
        skua_msg_free(msg);
        if (status) {
            return status;
        }
        ++*published;
    }
}

/* Waits until everybody has everything. */
static skua_status
drain(cli *self, skua_pub *pub, int64_t deadline_ns) {
    for (;;) {
        skua_status status = skua_pub_drain(pub, cli_slice_ms(deadline_ns), &self->err);
        if ((status != SKUA_E_TIMEOUT && status != SKUA_E_AGAIN) ||
            skua__deadline_left_ms(deadline_ns) == 0) {
            return status;
        }
        status = cli_check_signals(self);
        if (status) {
            return status;
        }
    }
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
    int64_t deadline_ns = cli_deadline_ns(self, DEFAULT_TIMEOUT_MS);
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
        status = await_subs(self, pub, deadline_ns);
    }
    if (!status) {
        status = publish(self, pub, &feed, &published);
    }
    if (!status) {
        status = drain(self, pub, cli_deadline_ns(self, DEFAULT_TIMEOUT_MS));
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
