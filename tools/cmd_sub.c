// SPDX-License-Identifier: MPL-2.0
// `skua sub SERVICE [TOPIC]`: prints what is published.
#include "cli_msg.h"

#include <skua-int/clock.h>
#include <skua/pubsub.h>

static skua_status
receive(cli *self, skua_sub *sub, uint64_t *received, uint64_t *missed) {
    int64_t deadline_ns = cli_deadline_ns(self, SKUA_UNLIMITED);
    bool with_topic = self->arg_count < 2;
    while (!self->count || *received < (uint64_t)self->count) {
        skua_msg *msg = NULL;
        skua_status status = skua_sub_recv(sub, &msg, SKUA_NONE, &self->err);
        if (status == SKUA_E_AGAIN) {
            status = cli_wait(self, skua_sub_fd(sub), deadline_ns);
            if (status) {
                return cli_count_missed(self, status, *received, "messages");
            }
            continue;
        }
        if (!status) {
            *missed += skua_msg_gap(msg);
            status = cli_show_msg(self, msg, with_topic);
            skua_msg_free(msg);
        }
        if (!status) {
            status = cli_check_signals(self); /* a flood must not keep Ctrl-C out */
        }
        if (status) {
            return status;
        }
        ++*received;
    }
    return SKUA_OK;
}

static skua_status
run_sub(cli *self) {
    skua_node *node = NULL;
    skua_sub *sub = NULL;
    uint64_t received = 0, missed = 0;
    const char *plain = cli_flag_value(self, "--plain");
    skua_status status = cli_open_node(self, &node);
    if (!status) {
        status = skua_sub_open(
            &sub, node, self->args[0],
            SKUA_SUB_OPTIONS(.topic = self->arg_count > 1 ? self->args[1] : NULL,
                             .plain_connect = plain, .plain_only = plain != NULL,
                             .plain_insecure = cli_flag_value(self, "--insecure") != NULL),
            &self->err);
    }
    if (!status) {
        status = receive(self, sub, &received, &missed);
    }
    skua_sub_close(sub);
    skua_node_close(node);
    if (!self->json) {
        if (missed) {
            fprintf(stderr, "%llu messages were dropped on their way here\n",
                    (unsigned long long)missed);
        }
        return status;
    }
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "service", self->args[0]);
    skua__json_put_u64(json, "received", received);
    skua__json_put_u64(json, "missed", missed);
    if (cli_stopped(self, status)) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static const cli_flag sub_flags[] = {
    {"--plain", "ENDPOINT", "follow a plain ZeroMQ PUB socket there instead: tcp://127.0.0.1:5999"},
    {"--insecure", NULL, "with --plain: it may stand on another machine, unencrypted"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_sub = {
    .name = "sub",
    .form = "SERVICE [TOPIC]",
    .summary = "Print what is published, until --count messages came",
    .details = "TOPIC is a prefix. Without it every topic is printed, before its message and a "
               "tab. Publishers may come and\n"
               "go. Exit code 4: --timeout was up before --count messages came.",
    .examples = "skua sub weather\nskua sub weather oslo --count 10 --json",
    .flags = sub_flags,
    .args_min = 1,
    .args_max = 2,
    .serves = true,
    .run = run_sub,
};
