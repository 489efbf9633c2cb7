// SPDX-License-Identifier: MPL-2.0
// `skua rep SERVICE --echo | -- CMD`: answers requests with themselves, or with what a program makes of them.
#include "cli_msg.h"

#include "cli_program.h"
#include <skua-int/clock.h>
#include <skua/reqrep.h>

/* Answers one request; what cannot be answered is told to the one who asked. */
static skua_status
answer(cli *self, skua_rep *rep, skua_request **request) {
    if (!self->rest) {
        skua_msg *msg = skua_request_take_msg(*request);
        skua_status status = skua_rep_reply(rep, request, &msg, &self->err);
        skua_msg_free(msg);
        return status;
    }
    const skua_msg *question = skua_request_msg(*request);
    cli_output output = {.bytes = NULL};
    int code = 0;
    skua_status status = cli_run_program(self, self->rest, skua_msg_data(question, 0),
                                         skua_msg_size(question, 0), &output, &code);
    if (status == SKUA_E_INTERRUPTED) {
        cli_output_fini(&output);
        return status;
    }
    if (status || code) {
        char text[200];
        if (status) {
            snprintf(text, sizeof text, "%.150s", self->err.message);
        } else {
            snprintf(text, sizeof text, "%.100s ended with code %d", self->rest[0], code);
        }
        cli_output_fini(&output);
        return skua_rep_fail(rep, request, text, &self->err);
    }
    skua_msg *msg = skua_msg_of_bytes(output.bytes, output.size);
    cli_output_fini(&output);
    if (!msg) {
        return cli_fail(self, SKUA_E_NO_MEMORY, "no memory for an answer");
    }
    status = skua_rep_reply(rep, request, &msg, &self->err);
    skua_msg_free(msg);
    return status;
}

static skua_status
serve(cli *self, skua_rep *rep, uint64_t *answered) {
    int64_t deadline_ns = cli_deadline_ns(self, SKUA_UNLIMITED);
    while (!self->count || *answered < (uint64_t)self->count) {
        skua_status status = cli_wait(self, skua_rep_fd(rep), deadline_ns);
        if (status) {
            return cli_count_missed(self, status, *answered, "requests");
        }
        skua_request *request = NULL;
        status = skua_rep_recv(rep, &request, SKUA_NONE, &self->err);
        if (status == SKUA_E_AGAIN) {
            continue;
        }
        if (!status) {
            status = answer(self, rep, &request);
            skua_request_free(request);
        }
        if (status) {
            return status;
        }
        ++*answered;
    }
    return SKUA_OK;
}

static skua_status
run_rep(cli *self) {
    bool echo = cli_flag_value(self, "--echo") != NULL;
    if (echo == (self->rest_count > 0)) {
        return cli_usage(self, "say how to answer: --echo, or -- and a program");
    }
    if (!self->rest_count) {
        self->rest = NULL;
    }
    skua_node *node = NULL;
    skua_rep *rep = NULL;
    uint64_t answered = 0;
    skua_status status = cli_open_node(self, &node);
    if (!status) {
        status = skua_rep_open(
            &rep, node, self->args[0],
            SKUA_REP_OPTIONS(.plain_bind = cli_flag_value(self, "--plain"),
                             .plain_insecure = cli_flag_value(self, "--insecure") != NULL),
            &self->err);
    }
    if (!status) {
        status = serve(self, rep, &answered);
    }
    skua_rep_close(rep);
    skua_node_close(node);
    if (!self->json) {
        return status;
    }
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "service", self->args[0]);
    skua__json_put_u64(json, "answered", answered);
    if (cli_stopped(self, status)) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static const cli_flag rep_flags[] = {
    {"--echo", NULL, "answer each request with itself"},
    {"--plain", "ENDPOINT", "also answer plain ZeroMQ REQ sockets there: tcp://127.0.0.1:5999"},
    {"--insecure", NULL, "with --plain: other machines may ask, unencrypted"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_rep = {
    .name = "rep",
    .form = "SERVICE --echo | SERVICE -- CMD",
    .summary = "Offer a service: echo, or what a program answers",
    .details = "CMD gets each request on its standard input, and its standard output is the "
               "answer; when it ends with\n"
               "another code than 0, the one who asked gets an error. It runs one at a time: start "
               "skua rep again for more.",
    .examples = "skua rep echo --echo\nskua rep upper -- tr a-z A-Z",
    .flags = rep_flags,
    .args_min = 1,
    .args_max = 1,
    .takes_command = true,
    .serves = true,
    .run = run_rep,
};
