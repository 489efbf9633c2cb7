// SPDX-License-Identifier: MPL-2.0
// `skua node`: a node that stays until it is stopped, tells who comes and goes, and with --serve runs tasks.
#include "cli.h"

#include "tasks.h"
#include <skua/exec.h>
#include <skua/pool.h>
#include <stdlib.h>

enum { MAX_WORKERS = 1024, DRAIN_MS = 2000 };

struct serving {
    skua_node *node;
    skua_exec *exec;
    skua_pool *pool;
    tasks tasks;
};

static void
put_event(cli *self, const char *event, const char *name, const char *id, const char *endpoint,
          const char *reason) {
    if (!self->json) {
        cli_say(self, "%-8s %s  %s%s%s\n", event, name, endpoint, *reason ? "  " : "", reason);
        return;
    }
    skua__json *json = cli_object(self, "node-event");
    skua__json_put_text(json, "event", event);
    skua__json_put_text(json, "name", name);
    skua__json_put_text(json, "id", id);
    skua__json_put_text(json, "endpoint", endpoint);
    if (*reason) {
        skua__json_put_text(json, "reason", reason);
    }
    (void)cli_object_end(self);
}

static skua_status
open_pool(cli *self, struct serving *serving) {
    int64_t workers = 0;
    const char *given = cli_flag_value(self, "--workers");
    skua_status status = SKUA_OK;
    if (given) {
        status = cli_parse_number(self, "--workers", given, 1, MAX_WORKERS, &workers);
    }
    if (!status) {
        status = skua_exec_open(&serving->exec, SKUA_EXEC_OPTIONS(.workers = (int32_t)workers),
                                &self->err);
    }
    if (!status) {
        status = skua_pool_open(&serving->pool,
                                SKUA_POOL_OPTIONS(.node = serving->node, .exec = serving->exec),
                                &self->err);
    }
    if (!status) {
        status =
            tasks_open(&serving->tasks, serving->node, serving->exec, serving->pool, &self->err);
    }
    return status;
}

static skua_status
open_node(cli *self, struct serving *serving) {
    int64_t first = 0, last = 0, heartbeat_ms = 0;
    const char *ports = cli_flag_value(self, "--ports");
    const char *heartbeat = cli_flag_value(self, "--heartbeat");
    skua_status status = SKUA_OK;
    if (ports) {
        char *dash;
        first = strtol(ports, &dash, 10);
        last = *dash == '-' ? strtol(dash + 1, &dash, 10) : first;
        if (*dash || first < 1 || last < first || last > 65535) {
            return cli_usage(self, "--ports takes a range such as 7600-7699, not \"%s\"", ports);
        }
    }
    if (heartbeat) {
        status = cli_parse_timeout(self, "--heartbeat", heartbeat, &heartbeat_ms);
    }
    if (status) {
        return status;
    }
    return skua_node_open(
        &serving->node,
        SKUA_NODE_OPTIONS(.name = self->name, .fleet_dir = self->fleet, .peers = self->peers,
                          .peer_count = self->peer_count, .interfaces = self->interfaces,
                          .interface_count = self->interface_count, .port_first = (uint16_t)first,
                          .port_last = (uint16_t)last, .heartbeat_ms = (int32_t)heartbeat_ms,
                          .recorder_file = cli_flag_value(self, "--record"),
                          .log = self->log.level ? &self->log : NULL),
        &self->err);
}

/* Tells who comes and goes until a signal, the deadline, or, with --count, until so many joined. */
static skua_status
follow(cli *self, struct serving *serving) {
    int64_t deadline_ns = cli_deadline_ns(self, SKUA_UNLIMITED);
    int64_t joined = 0;
    for (;;) {
        skua_status status = cli_wait(self, skua_node_event_fd(serving->node), deadline_ns);
        if (status) {
            /* The end of the time that was asked for is no failure here, unless it was to count. */
            return status == SKUA_E_TIMEOUT && !self->count ? SKUA_OK : status;
        }
        skua_node_event event = {.size = sizeof event};
        while (skua_node_next_event(serving->node, &event, SKUA_NONE, NULL) == SKUA_OK) {
            put_event(self, cli_event_text(event.kind), event.name, event.id, event.endpoint,
                      cli_reason_text(event.reason));
            joined += event.kind == SKUA_NODE_JOIN;
        }
        if (self->count && joined >= self->count) {
            return SKUA_OK;
        }
    }
}

static skua_status
answer(cli *self, struct serving *serving, skua_status status) {
    skua_pool_counters counters = {.size = sizeof counters};
    if (serving->pool) {
        skua_status ignored = skua_pool_stats(serving->pool, &counters, NULL);
        (void)ignored;
    }
    if (!self->json) {
        if (serving->pool) {
            cli_say(self, "served   %llu tasks\n", (unsigned long long)counters.served);
        }
        return status;
    }
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "name", skua_node_name(serving->node));
    skua__json_put_text(json, "id", skua_node_id(serving->node));
    skua__json_put_u64(json, "served", counters.served);
    skua__json_put_double(json, "busy_s", (double)counters.served_busy_ns / 1e9);
    if (cli_stopped(self, status)) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static skua_status
run_node(cli *self) {
    struct serving serving = {.node = NULL};
    skua_status status = open_node(self, &serving);
    if (!status && cli_flag_value(self, "--serve")) {
        status = open_pool(self, &serving);
    }
    if (!status) {
        put_event(self, "ready", skua_node_name(serving.node), skua_node_id(serving.node),
                  skua_node_endpoint(serving.node), "");
        status = follow(self, &serving);
        if (serving.pool) {
            skua_status drained = skua_pool_drain(serving.pool, DRAIN_MS, NULL);
            (void)drained; /* what still runs is cancelled by the close */
        }
        status = answer(self, &serving, status);
    }
    skua_pool_close(serving.pool);
    tasks_close(&serving.tasks);
    skua_exec_close(serving.exec);
    skua_node_close(serving.node);
    return status;
}

static const cli_flag node_flags[] = {
    {"--serve", NULL, "run tasks for peers, on all cores that this process may use"},
    {"--workers", "N", "with --serve: on so many threads"},
    {"--ports", "FIRST-LAST", "bind only TCP ports of this range"},
    {"--heartbeat", "TIME", "how often peers are asked whether they live (1s)"},
    {"--record", "FILE", "write the flight recorder to FILE at the end"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_node = {
    .name = "node",
    .form = "",
    .summary = "Run a node until it is stopped, and tell who comes and goes",
    .details = "With --serve it runs tasks that peers submit: echo and wordcount. SIGTERM and the "
               "end of --timeout stop it\n"
               "in good order: what waits goes back to its submitters, what runs is finished.",
    .examples =
        "skua node --serve --name worker-1\nskua node --fleet ./fleet --interface eth0 --json",
    .flags = node_flags,
    .serves = true,
    .run = run_node,
};
