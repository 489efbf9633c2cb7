// SPDX-License-Identifier: MPL-2.0
// `skua version`.
#include "cli.h"

#include <skua/version.h>

static skua_status
run_version(cli *self) {
    if (self->json) {
        skua__json *json = cli_answer(self);
        skua__json_put_text(json, "version", skua_version_string());
        skua__json_put_i64(json, "number", skua_version_number());
        return cli_answer_end(self);
    }
    printf("skua %s\n", skua_version_string());
    return SKUA_OK;
}

const cli_command cli_cmd_version = {
    .name = "version",
    .form = "",
    .summary = "Print the version",
    .examples = "skua version --json",
    .run = run_version,
};
