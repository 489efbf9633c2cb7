// SPDX-License-Identifier: MPL-2.0
// `skua node`: a node that stays until it is stopped, tells who comes and goes, and with --serve runs tasks.
#include "cli.h"

#include "serve.h"
#include <stdlib.h>

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
open_node(cli *self, skua_node **ret_node) {
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
        ret_node,
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
follow(cli *self, skua_node *node) {
    int64_t deadline_ns = cli_deadline_ns(self, SKUA_UNLIMITED);
    int64_t joined = 0;
    for (;;) {
        skua_status status = cli_wait(self, skua_node_event_fd(node), deadline_ns);
        if (status) {
            /* The end of the time that was asked for is no failure here, unless it was to count. */
            return status == SKUA_E_TIMEOUT && !self->count ? SKUA_OK : status;
        }
        skua_node_event event = {.size = sizeof event};
        while (skua_node_next_event(node, &event, SKUA_NONE, NULL) == SKUA_OK) {
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
answer(cli *self, skua_node *node, serve *serving, skua_status status) {
    uint64_t served = 0, busy_ns = 0;
    serve_figures(serving, &served, &busy_ns);
    if (!self->json) {
        if (serving) {
            cli_say(self, "served   %llu tasks\n", (unsigned long long)served);
        }
        return status;
    }
    skua__json *json = cli_answer(self);
    skua__json_put_text(json, "name", skua_node_name(node));
    skua__json_put_text(json, "id", skua_node_id(node));
    skua__json_put_u64(json, "served", served);
    skua__json_put_double(json, "busy_s", (double)busy_ns / 1e9);
    if (cli_stopped(self, status)) {
        cli_put_error(json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

static skua_status
run_node(cli *self) {
    skua_node *node = NULL;
    serve *serving = NULL;
    int64_t workers = 0;
    const char *given = cli_flag_value(self, "--workers");
    skua_status status = SKUA_OK;
    if (given) {
        status = cli_parse_number(self, "--workers", given, 1, SERVE_MAX_WORKERS, &workers);
    }
    if (!status) {
        status = open_node(self, &node);
    }
    if (!status && cli_flag_value(self, "--serve")) {
        status = serve_open(&serving, node, (int32_t)workers,
                            cli_flag_value(self, "--cpu-devices") != NULL, &self->err);
    }
    if (!status) {
        put_event(self, "ready", skua_node_name(node), skua_node_id(node), skua_node_endpoint(node),
                  "");
        status = follow(self, node);
        serve_drain(serving);
        status = answer(self, node, serving, status);
    }
    serve_close(serving);
    skua_node_close(node);
    return status;
}

static const cli_flag node_flags[] = {
    {"--serve", NULL, "run tasks for peers, on all cores that this process may use"},
    {"--workers", "N", "with --serve: on so many threads"},
    {"--cpu-devices", NULL, "with --serve: offer OpenCL's CPU devices too"},
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
