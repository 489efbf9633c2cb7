// SPDX-License-Identifier: MPL-2.0
// `skua req SERVICE [MSG|-]`: asks, and prints the answers.
#include "cli_msg.h"

#include <skua-int/clock.h>
#include <skua/reqrep.h>

enum { DEFAULT_TIMEOUT_MS = 5000 };

/* Waits for the one request in flight and shows its answer. */
static skua_status
await_reply(cli *self, skua_req *req) {
    for (;;) {
        skua_status status = cli_wait(self, skua_req_fd(req), SKUA_NEVER_NS);
        skua_req_result result = {.size = sizeof result};
        if (!status) {
            status = skua_req_recv(req, &result, SKUA_NONE, &self->err);
        }
        if (status == SKUA_E_AGAIN) {
            continue;
        }
        if (status) {
            return status;
        }
        if (result.status) {
            self->err = result.error;
            return result.status;
        }
        status = cli_show_msg(self, result.reply, false);
        skua_msg_free(result.reply);
        return status;
    }
}

static skua_status
ask(cli *self, skua_req *req, cli_feed *feed, uint64_t *replies) {
    int64_t timeout_ms = self->timeout_ms ? self->timeout_ms : DEFAULT_TIMEOUT_MS;
    for (;;) {
        skua_msg *msg = NULL;
        skua_status status = cli_feed_next(self, feed, &msg);
        if (status) {
            return status == SKUA_E_NOT_FOUND ? SKUA_OK : status;
        }
        uint64_t id;
        status =
            skua_req_send(req, &msg, timeout_ms == SKUA_NONE ? 1 : timeout_ms, &id, &self->err);
        skua_msg_free(msg);
        if (!status) {
            status = await_reply(self, req);
        }
        if (status) {
            return status;
        }
        ++*replies;
    }
}

static skua_status
run_req(cli *self) {
    skua_node *node = NULL;
    skua_req *req = NULL;
    cli_feed feed;
    uint64_t replies = 0;
    cli_feed_init(&feed, self, self->arg_count > 1 ? self->args[1] : NULL);
    const char *plain = cli_flag_value(self, "--plain");
    skua_status status = cli_open_node(self, &node);
    if (!status) {
        status = skua_req_open(
            &req, node, self->args[0],
            SKUA_REQ_OPTIONS(.plain_connect = plain, .plain_only = plain != NULL,
                             .plain_insecure = cli_flag_value(self, "--insecure") != NULL),
            &self->err);
    }
    if (!status) {
        status = ask(self, req, &feed, &replies);
    }
    skua_req_close(req);
    skua_node_close(node);
    cli_feed_fini(&feed);
    if (!self->json) {
        return status;
    }
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "service", self->args[0]);
    skua__json_put_u64(json, "replies", replies);
    if (status) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static const cli_flag req_flags[] = {
    {"--plain", "ENDPOINT", "ask a plain ZeroMQ REP socket there instead: tcp://127.0.0.1:5999"},
    {"--insecure", NULL, "with --plain: it may stand on another machine, unencrypted"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_req = {
    .name = "req",
    .form = "SERVICE [MSG|-]",
    .summary = "Ask a service and print its answer",
    .details = "With - or no MSG each line of standard input is a request; --count N asks N times. "
               "--timeout (5 s) is each\n"
               "request's. Exit code 3: nobody offers the service; 4: somebody does, and did not "
               "answer in time.",
    .examples =
        "skua req echo hello\nskua req upper - < words\nskua req echo hello --count 3 --json",
    .flags = req_flags,
    .args_min = 1,
    .args_max = 2,
    .run = run_req,
};
