// SPDX-License-Identifier: MPL-2.0
// `skua errors [CODE]`: the registry of errors, for people.
#include "cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The row for "E014", "SKUA-E014", "e14", "14", or "NO_PROVIDER". */
static const skua_error_info *
find(const char *text) {
    const char *digits = strncasecmp(text, "skua-", 5) == 0 ? text + 5 : text;
    digits += *digits == 'E' || *digits == 'e';
    if (isdigit((unsigned char)*digits)) {
        char *end;
        long number = strtol(digits, &end, 10);
        return *end || number > 99999 ? NULL : skua_error_lookup(-(skua_status)number);
    }
    for (size_t i = 0; skua_error_at(i); i++) {
        if (strcasecmp(skua_error_at(i)->name, text) == 0) {
            return skua_error_at(i);
        }
    }
    return NULL;
}

static void
put_row(skua__json *json, const skua_error_info *info) {
    skua__json_object(json);
    skua__json_put_text(json, "code", info->code);
    skua__json_put_i64(json, "status", info->status);
    skua__json_put_text(json, "name", info->name);
    skua__json_put_text(json, "title", info->title);
    skua__json_put_text(json, "next", info->next);
    skua__json_put_i64(json, "exit", cli_exit_code(NULL, info->status));
    skua__json_object_end(json);
}

static skua_status
run_errors(cli *self) {
    const skua_error_info *one = NULL;
    if (self->arg_count && !(one = find(self->args[0]))) {
        return cli_fail(self, SKUA_E_NOT_FOUND,
                        "there is no error \"%s\"; `skua errors` lists them", self->args[0]);
    }
    if (self->json) {
        skua__json *json = cli_answer(self);
        skua__json_key(json, "errors");
        skua__json_array(json);
        for (size_t i = 0; skua_error_at(i); i++) {
            if (!one || one == skua_error_at(i)) {
                put_row(json, skua_error_at(i));
            }
        }
        skua__json_array_end(json);
        return cli_answer_end(self);
    }
    if (one) {
        printf("%s %s: %s\n  next: %s\n  exit code: %d\n", one->code, one->name, one->title,
               one->next, cli_exit_code(self, one->status));
        return SKUA_OK;
    }
    for (size_t i = 0; skua_error_at(i); i++) {
        printf("%s  %s\n", skua_error_at(i)->code, skua_error_at(i)->title);
    }
    return SKUA_OK;
}

const cli_command cli_cmd_errors = {
    .name = "errors",
    .form = "[CODE]",
    .summary = "Explain an error, or list them all",
    .details =
        "CODE is a number as errors print it (SKUA-E014, E014 or 14) or a name (NO_PROVIDER).",
    .examples = "skua errors E014\nskua errors --json",
    .args_max = 1,
    .run = run_errors,
};
