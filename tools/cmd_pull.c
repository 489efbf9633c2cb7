// SPDX-License-Identifier: MPL-2.0
// `skua pull SERVICE`: takes work and prints it.
#include "cli_msg.h"

#include <skua-int/clock.h>
#include <skua/pushpull.h>

/* A message is done once it is printed: if we die before, another worker gets it. */
static skua_status
take_one(cli *self, skua_pull *pull) {
    skua_msg *msg = NULL;
    skua_status status = skua_pull_recv(pull, &msg, SKUA_NONE, &self->err);
    if (status) {
        return status;
    }
    status = cli_show_msg(self, msg, false);
    if (!status) {
        skua_status told = skua_pull_done(pull, &msg, NULL);
        (void)told; /* a pusher that is gone needs no answer */
    }
    skua_msg_free(msg);
    return status ? status : cli_check_signals(self);
}

static skua_status
take(cli *self, skua_pull *pull, uint64_t *taken) {
    int64_t deadline_ns = cli_deadline_ns(self, SKUA_UNLIMITED);
    while (!self->count || *taken < (uint64_t)self->count) {
        skua_status status = take_one(self, pull);
        if (status == SKUA_E_AGAIN) {
            status = cli_wait(self, skua_pull_fd(pull), deadline_ns);
            if (status) {
                return cli_count_missed(self, status, *taken, "messages");
            }
            continue;
        }
        if (status) {
            return status;
        }
        ++*taken;
    }
    return SKUA_OK;
}

static skua_status
run_pull(cli *self) {
    skua_node *node = NULL;
    skua_pull *pull = NULL;
    uint64_t taken = 0;
    /* No more is taken from the others than is wanted. */
    uint32_t prefetch = self->count > 0 && self->count < 16 ? (uint32_t)self->count : 16;
    skua_status status = cli_open_node(self, &node);
    if (!status) {
        status = skua_pull_open(
            &pull, node, self->args[0],
            SKUA_PULL_OPTIONS(.manual_done = 1, .prefetch_msgs = prefetch,
                              .plain_bind = cli_flag_value(self, "--plain"),
                              .plain_insecure = cli_flag_value(self, "--insecure") != NULL),
            &self->err);
    }
    if (!status) {
        status = take(self, pull, &taken);
    }
    skua_pull_close(pull);
    skua_node_close(node);
    if (!self->json) {
        return status;
    }
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "service", self->args[0]);
    skua__json_put_u64(json, "taken", taken);
    if (cli_stopped(self, status)) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static const cli_flag pull_flags[] = {
    {"--plain", "ENDPOINT",
     "also take it from plain ZeroMQ PUSH sockets there: tcp://127.0.0.1:5999"},
    {"--insecure", NULL, "with --plain: other machines may push, unencrypted"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_pull = {
    .name = "pull",
    .form = "SERVICE",
    .summary = "Take work and print it, until --count messages came",
    .details = "A message is done when it is printed: should this command die before, another "
               "worker gets it.",
    .examples = "skua pull jobs\nskua pull jobs --count 1 --json",
    .flags = pull_flags,
    .args_min = 1,
    .args_max = 1,
    .serves = true,
    .run = run_pull,
};
