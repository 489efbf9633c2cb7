// SPDX-License-Identifier: MPL-2.0
// The command `skua`: the table of its subcommands, and the run of one of them.
#include "cli.h"

const cli_command *const cli_commands[] = {
    &cli_cmd_node, &cli_cmd_nodes, &cli_cmd_pub,    &cli_cmd_sub,    &cli_cmd_req,
    &cli_cmd_rep,  &cli_cmd_push,  &cli_cmd_pull,   &cli_cmd_submit, &cli_cmd_topo,
    &cli_cmd_demo, &cli_cmd_fleet, &cli_cmd_doctor, &cli_cmd_errors, &cli_cmd_version,
    &cli_cmd_help, NULL,
};

/* The library's events, one a line; several threads may speak at once, and one fprintf is one line. */
static void
print_log(void *ctx, const skua_log_record *record) {
    (void)ctx;
    fprintf(stderr, "%s: %s: %s\n", skua_log_level_name(record->level), record->component,
            record->message);
}

int
main(int argc, char **argv) {
    cli self = {.signal_fd = -1, .log = {.version = SKUA_LOG_SINK_VERSION, .fn = print_log}};
    skua__json_to_file(&self.out, stdout);
    skua_status status = cli_parse(&self, argc - 1, argv + 1);
    if (!status && self.help) {
        cli_print_help(stdout, self.command);
        return cli_finish(&self, SKUA_OK);
    }
    if (!status) {
        status = cli_signals_init(&self);
    }
    if (!status) {
        status = self.command->run(&self);
        if (self.command->serves) {
            status = cli_stopped(&self, status);
        }
    }
    cli_signals_fini(&self);
    return cli_finish(&self, status);
}
