// SPDX-License-Identifier: MPL-2.0
// The demo's last part: three topics and 48 subscribers, each of which hears each message of its topic once, in order.
#include "demo.h"

#include <inttypes.h>
#include <skua-int/clock.h>
#include <skua/pubsub.h>
#include <stdlib.h>
#include <string.h>

static const char *const topics[] = {"events", "alerts", "metrics"};
enum { TOPICS = sizeof topics / sizeof topics[0] };

struct listener {
    skua_sub *sub;
    const char *topic;
    uint64_t heard, wrong;
};

struct audience {
    demo *demo;
    skua_node *node;
    skua_pub *pub;
    struct listener listeners[DEMO_SUBSCRIBERS];
};

static skua_status
open_all(struct audience *self) {
    cli *tool = self->demo->cli;
    skua_status status = skua_pub_open(&self->pub, self->demo->node, "demo-news",
                                       SKUA_PUB_OPTIONS(.policy = SKUA_SLOW_BLOCK), &tool->err);
    if (!status) {
        status =
            skua_node_open(&self->node, SKUA_NODE_OPTIONS(.name = "demo-audience"), &tool->err);
    }
    for (size_t i = 0; !status && i < DEMO_SUBSCRIBERS; i++) {
        struct listener *listener = &self->listeners[i];
        listener->topic = topics[i % TOPICS];
        status = skua_sub_open(&listener->sub, self->node, "demo-news",
                               SKUA_SUB_OPTIONS(.topic = listener->topic), &tool->err);
    }
    int64_t deadline_ns = skua__deadline_ns(DEMO_MEET_MS);
    for (size_t i = 0; !status && i < TOPICS; i++) {
        do {
            status = skua_pub_await_subs(self->pub, topics[i], DEMO_SUBSCRIBERS / TOPICS,
                                         cli_slice_ms(deadline_ns), &tool->err);
            skua_status stopped = cli_check_signals(tool);
            status = stopped ? stopped : status;
        } while (status == SKUA_E_TIMEOUT && skua__deadline_left_ms(deadline_ns) > 0);
    }
    return status;
}

static skua_status
publish(struct audience *self) {
    skua_status status = SKUA_OK;
    for (uint64_t number = 0; !status && number < DEMO_NEWS; number++) {
        for (size_t i = 0; !status && i < TOPICS; i++) {
            char text[64];
            int size = snprintf(text, sizeof text, "%s %" PRIu64, topics[i], number);
            status = skua_pub_send_bytes(self->pub, topics[i], text, (size_t)size,
                                         DEMO_TASK_TIMEOUT_MS, &self->demo->cli->err);
        }
    }
    return status;
}

/* Takes what one listener was sent: the messages of its topic, counted from 0, and no others. */
static skua_status
listen(struct audience *self, struct listener *listener) {
    cli *tool = self->demo->cli;
    int64_t deadline_ns = skua__deadline_ns(DEMO_MEET_MS);
    while (listener->heard < DEMO_NEWS) {
        skua_msg *msg = NULL;
        skua_status status =
            skua_sub_recv(listener->sub, &msg, cli_slice_ms(deadline_ns), &tool->err);
        if (status) {
            skua_status stopped = cli_check_signals(tool);
            if (!stopped && (status == SKUA_E_TIMEOUT || status == SKUA_E_AGAIN) &&
                skua__deadline_left_ms(deadline_ns) > 0) {
                continue;
            }
            return stopped ? stopped : status;
        }
        char wanted[64];
        snprintf(wanted, sizeof wanted, "%s %" PRIu64, listener->topic, listener->heard);
        listener->wrong += !skua_msg_equals(msg, 0, wanted) ||
                           strcmp(skua_msg_topic(msg), listener->topic) != 0 ||
                           skua_msg_redelivered(msg) || skua_msg_gap(msg) > 0;
        listener->heard++;
        skua_msg_free(msg);
    }
    return SKUA_OK;
}

/* The ledger must balance, and nothing may be left over at any listener. */
static skua_status
balance(struct audience *self) {
    demo *run = self->demo;
    uint64_t heard = 0, wrong = 0;
    for (size_t i = 0; i < DEMO_SUBSCRIBERS; i++) {
        struct listener *listener = &self->listeners[i];
        skua_msg *extra = NULL;
        if (skua_sub_recv(listener->sub, &extra, SKUA_NONE, NULL) == SKUA_OK) {
            listener->wrong++;
            skua_msg_free(extra);
        }
        heard += listener->heard;
        wrong += listener->wrong;
    }
    skua_pattern_stats *stats = &run->ledger;
    stats->size = sizeof *stats;
    skua_status status = skua_pub_stats(self->pub, stats, &run->cli->err);
    if (status) {
        return status;
    }
    uint64_t dropped = stats->dropped_slow + stats->dropped_lost + stats->dropped_closed;
    cli_say(run->cli,
            "%d subscribers of %d topics heard %" PRIu64
            " messages, each of its topic once and in order\n"
            "  ledger: sent %" PRIu64 " = confirmed %" PRIu64 " + dropped %" PRIu64
            " + moved %" PRIu64 " + unconfirmed %" PRIu64 "\n",
            DEMO_SUBSCRIBERS, TOPICS, heard, stats->sent, stats->confirmed, dropped, stats->moved,
            stats->unconfirmed);
    if (wrong || heard != (uint64_t)DEMO_SUBSCRIBERS * DEMO_NEWS) {
        return cli_fail(run->cli, SKUA_E_INTERNAL, "%" PRIu64 " messages were wrong", wrong);
    }
    if (stats->sent != heard || stats->confirmed != heard ||
        stats->sent != stats->confirmed + dropped + stats->moved + stats->unconfirmed) {
        return cli_fail(run->cli, SKUA_E_INTERNAL, "the ledger does not balance");
    }
    return SKUA_OK;
}

skua_status
demo_topics(demo *run) {
    struct audience *self = calloc(1, sizeof *self);
    if (!self) {
        return cli_fail(run->cli, SKUA_E_NO_MEMORY, "no memory for the subscribers");
    }
    self->demo = run;
    skua_status status = open_all(self);
    if (!status) {
        status = publish(self);
    }
    for (size_t i = 0; !status && i < DEMO_SUBSCRIBERS; i++) {
        status = listen(self, &self->listeners[i]);
    }
    if (!status) {
        status = skua_pub_drain(self->pub, DEMO_MEET_MS, &run->cli->err);
    }
    if (!status) {
        status = balance(self);
    }
    for (size_t i = 0; i < DEMO_SUBSCRIBERS; i++) {
        skua_sub_close(self->listeners[i].sub);
    }
    skua_pub_close(self->pub);
    skua_node_close(self->node);
    free(self);
    return status;
}
