// SPDX-License-Identifier: MPL-2.0
// `skua push SERVICE [MSG|-]`: gives work to whoever pulls.
#include "cli_msg.h"

#include <skua-int/clock.h>
#include <skua/pushpull.h>

enum { DEFAULT_TIMEOUT_MS = 5000 };

static skua_status
send_one(cli *self, void *arg, int64_t timeout_ms) {
    cli_sending *sending = arg;
    return skua_push_send(sending->handle, &sending->msg, timeout_ms, &self->err);
}

static skua_status
drain(cli *self, void *push, int64_t timeout_ms) {
    return skua_push_drain(push, timeout_ms, &self->err);
}

static skua_status
run_push(cli *self) {
    skua_node *node = NULL;
    skua_push *push = NULL;
    cli_feed feed;
    uint64_t pushed = 0;
    const char *plain = cli_flag_value(self, "--plain");
    cli_feed_init(&feed, self, self->arg_count > 1 ? self->args[1] : NULL);
    skua_status status = cli_open_node(self, &node);
    if (!status) {
        status = skua_push_open(
            &push, node, self->args[0],
            SKUA_PUSH_OPTIONS(.plain_connect = plain, .plain_only = plain != NULL,
                              .plain_insecure = cli_flag_value(self, "--insecure") != NULL),
            &self->err);
    }
    if (!status) {
        status = cli_send_feed(self, &feed, push, send_one, DEFAULT_TIMEOUT_MS, &pushed);
    }
    if (!status) {
        /* Until the workers are done with everything: for as long as it takes, unless --timeout says otherwise. */
        status = cli_in_slices(self, drain, push, cli_deadline_ns(self, SKUA_UNLIMITED));
    }
    skua_pattern_stats stats = {.size = sizeof stats};
    bool known = push && skua_push_stats(push, &stats, NULL) == SKUA_OK;
    skua_push_close(push);
    skua_node_close(node);
    cli_feed_fini(&feed);
    if (!self->json) {
        return status;
    }
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "service", self->args[0]);
    skua__json_put_u64(json, "pushed", pushed);
    if (known) {
        skua__json_put_u64(json, "confirmed", stats.confirmed);
        skua__json_put_u64(json, "moved", stats.moved);
    }
    if (status) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static const cli_flag push_flags[] = {
    {"--plain", "ENDPOINT",
     "give it to a plain ZeroMQ PULL socket there instead: tcp://127.0.0.1:5999"},
    {"--insecure", NULL, "with --plain: it may stand on another machine, unencrypted"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_push = {
    .name = "push",
    .form = "SERVICE [MSG|-]",
    .summary = "Give a message, or each line of standard input, to the least busy worker",
    .details = "It ends when the workers are done with everything; what a worker that died had is "
               "given to another.\n"
               "--timeout (5 s) is how long each message may wait for a worker with room. Exit "
               "code 3: there is none.",
    .examples = "skua push jobs resize-17\nls *.png | skua push jobs -",
    .flags = push_flags,
    .args_min = 1,
    .args_max = 2,
    .run = run_push,
};
