// SPDX-License-Identifier: MPL-2.0
// `skua submit TASK [INPUT|-]`: hands one task to the nodes that offer it, and prints what comes back.
#include "cli.h"

#include <errno.h>
#include <skua-int/clock.h>
#include <skua/pool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_TIMEOUT_MS = 30000, MAX_TASKS = 1 << 20 };

/* All of standard input; the caller owns *ret_bytes. */
static skua_status
read_input(cli *self, char **ret_bytes, size_t *ret_size) {
    size_t used = 0, capacity = 1 << 16;
    char *bytes = malloc(capacity);
    while (bytes) {
        skua_status status = cli_wait(self, STDIN_FILENO, SKUA_NEVER_NS);
        ssize_t size = status ? 0 : read(STDIN_FILENO, bytes + used, capacity - used);
        if (status || (size < 0 && errno != EINTR)) {
            free(bytes);
            return status ? status : cli_fail(self, SKUA_E_FILE, "cannot read standard input");
        }
        if (size == 0) {
            *ret_bytes = bytes;
            *ret_size = used;
            return SKUA_OK;
        }
        used += size > 0 ? (size_t)size : 0;
        if (used == capacity) {
            if (capacity > SKUA_TASK_MAX_BYTES) {
                free(bytes);
                return cli_fail(self, SKUA_E_TOO_BIG, "standard input is over %d bytes",
                                SKUA_TASK_MAX_BYTES);
            }
            char *bigger = realloc(bytes, capacity *= 2);
            if (!bigger) {
                free(bytes);
            }
            bytes = bigger;
        }
    }
    return cli_fail(self, SKUA_E_NO_MEMORY, "no memory for standard input");
}

/* The status that stands for how a task ended. */
static skua_status
status_of(cli *self, const skua_task_result *result) {
    static const skua_status statuses[] = {
        [SKUA_OUTCOME_OK] = SKUA_OK,
        [SKUA_OUTCOME_EXIT] = SKUA_E_TASK_FAILED,
        [SKUA_OUTCOME_SIGNAL] = SKUA_E_TASK_FAILED,
        [SKUA_OUTCOME_TIMEOUT] = SKUA_E_TIMEOUT,
        [SKUA_OUTCOME_CANCELLED] = SKUA_E_CANCELLED,
        [SKUA_OUTCOME_LOST] = SKUA_E_LOST,
        [SKUA_OUTCOME_REFUSED] = SKUA_E_REFUSED,
    };
    if (result->outcome < SKUA_OUTCOME_OK || result->outcome > SKUA_OUTCOME_REFUSED) {
        return cli_fail(self, SKUA_E_INTERNAL, "the task ended in an unknown way");
    }
    skua_status status = statuses[result->outcome];
    if (!status) {
        return SKUA_OK;
    }
    return cli_fail(self, status, "the task ended as \"%s\"%s%s%s%s (code %d)",
                    skua_outcome_text(result->outcome), *result->node ? " on " : "", result->node,
                    *result->message ? ": " : "", result->message, (int)result->code);
}

static skua_status
print_result(cli *self, const skua_task_result *result) {
    skua_status status = status_of(self, result);
    if (!self->json) {
        if (result->output_bytes) {
            fwrite(result->output, 1, result->output_bytes, stdout);
            if (((const char *)result->output)[result->output_bytes - 1] != '\n' &&
                isatty(STDOUT_FILENO)) {
                putchar('\n');
            }
        }
        return status;
    }
    skua__json *json = cli_object(self, "result");
    skua__json_put_text(json, "outcome", skua_outcome_text(result->outcome));
    skua__json_put_text(json, "node", result->node);
    skua__json_put_i64(json, "code", result->code);
    skua__json_put_u64(json, "attempts", result->attempts);
    skua__json_put_double(json, "run_us", (double)result->run_ns / 1e3);
    skua__json_put_double(json, "total_us", (double)result->total_ns / 1e3);
    skua__json_put_u64(json, "output_bytes", result->output_bytes);
    skua__json_key(json, "output");
    skua__json_text_n(json, result->output, result->output_bytes);
    if (status) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_object_end(self);
    return status ? status : written;
}

/* Waits in slices, so that a signal ends it. */
static skua_status
wait_for(cli *self, skua_pool_future *future) {
    for (;;) {
        skua_status status = skua_pool_wait(future, CLI_SLICE_MS, &self->err);
        if (status != SKUA_E_TIMEOUT) {
            return status;
        }
        status = cli_check_signals(self);
        if (status) {
            skua_pool_cancel(future);
            return status;
        }
    }
}

static skua_status
await_offer(cli *self, void *pool, int64_t timeout_ms) {
    return skua_pool_await_nodes(pool, self->args[0], 1, timeout_ms, &self->err);
}

static skua_status
submit_one(cli *self, skua_pool *pool, const skua_task *task) {
    skua_pool_future *future = NULL;
    skua_status status = skua_pool_submit(pool, task, &future, &self->err);
    if (!status) {
        status = wait_for(self, future);
    }
    skua_task_result result = {.size = sizeof result};
    if (!status) {
        status = skua_pool_result(future, &result, &self->err);
    }
    if (!status) {
        status = print_result(self, &result);
    }
    if (!status && cli_flag_value(self, "--explain")) {
        char text[512];
        fprintf(stderr, "%s\n", skua_pool_explain(future, text, sizeof text));
    }
    skua_pool_future_free(future);
    return status;
}

static skua_status
run_submit(cli *self) {
    const char *input = self->arg_count > 1 ? self->args[1] : "";
    char *owned = NULL;
    size_t size = strlen(input);
    skua_status status = SKUA_OK;
    if (strcmp(input, "-") == 0) {
        status = read_input(self, &owned, &size);
        input = owned;
    }
    int64_t deadline_ns = cli_deadline_ns(self, DEFAULT_TIMEOUT_MS);
    skua_node *node = NULL;
    skua_pool *pool = NULL;
    if (!status) {
        status = cli_open_node(self, &node);
    }
    if (!status) {
        status = skua_pool_open(&pool, SKUA_POOL_OPTIONS(.node = node), &self->err);
    }
    if (!status) {
        int64_t look_ns = skua__deadline_ns(5000);
        status =
            cli_in_slices(self, await_offer, pool, look_ns < deadline_ns ? look_ns : deadline_ns);
    }
    int64_t left_ms = skua__deadline_left_ms(deadline_ns);
    skua_task task = {.size = sizeof task,
                      .name = self->args[0],
                      .input = input,
                      .input_bytes = size,
                      .keep_input = 1,
                      .idempotent = cli_flag_value(self, "--idempotent") != NULL,
                      .node = cli_flag_value(self, "--node"),
                      .node_only = cli_flag_value(self, "--node") != NULL,
                      .timeout_ms = left_ms < 0 ? SKUA_UNLIMITED
                                    : left_ms   ? left_ms
                                                : 1};
    int64_t times = self->count ? self->count : 1;
    int64_t done = 0;
    for (; !status && done < times; done++) {
        status = submit_one(self, pool, &task);
    }
    skua_pool_close(pool);
    skua_node_close(node);
    free(owned);
    if (!self->json) {
        return status;
    }
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "task", self->args[0]);
    skua__json_put_i64(json, "submitted", done);
    if (status) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static const cli_flag submit_flags[] = {
    {"--node", "NAME", "run it on this node or not at all"},
    {"--idempotent", NULL, "running it twice does no harm: run it again when its node dies"},
    {"--explain", NULL, "tell on stderr why it ran where it ran"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_submit = {
    .name = "submit",
    .form = "TASK [INPUT|-]",
    .summary = "Run a task on whichever node is done first, and print its output",
    .details = "INPUT is the text to hand over, or - for all of standard input. `skua node "
               "--serve` offers echo and wordcount.\n"
               "With --json each result is an object of its own, and the last object counts them.",
    .examples = "skua submit echo hello\nskua submit echo - --count 10 --json < file",
    .flags = submit_flags,
    .args_min = 1,
    .args_max = 2,
    .run = run_submit,
};
