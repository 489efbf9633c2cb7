// SPDX-License-Identifier: MPL-2.0
// Runs a program with bytes on its standard input and collects its standard output.
#ifndef SKUA_CLI_PROGRAM_H
#define SKUA_CLI_PROGRAM_H

#include "cli.h"

typedef struct cli_output {
    char *bytes;
    size_t size, capacity;
} cli_output;

enum { CLI_MAX_OUTPUT_BYTES = 64 * 1024 * 1024 }; /* more is not read, and is an error */

/*
 * Runs words[0] (looked for in PATH) and waits for its end; *ret_code is its exit code, or 128 + the signal. Returns 0;
 * SKUA_E_NOT_FOUND when it cannot be run; SKUA_E_TOO_BIG; SKUA_E_INTERRUPTED (it is killed); SKUA_E_NO_MEMORY;
 * SKUA_E_SYSTEM. output is the caller's: cli_output_fini(), also after a failure.
 */
skua_status cli_run_program(cli *self, char **words, const void *input, size_t size,
                            cli_output *output, int *ret_code);
void cli_output_fini(cli_output *output);

#endif
