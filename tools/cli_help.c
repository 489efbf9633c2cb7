// SPDX-License-Identifier: MPL-2.0
// The help and the manual pages, both made from the table of commands.
#include "cli.h"

#include <ctype.h>
#include <skua/version.h>
#include <string.h>

static const struct {
    int code;
    const char *meaning;
} exit_codes[] = {
    {CLI_EXIT_OK, "done"},
    {CLI_EXIT_FAILURE, "failed"},
    {CLI_EXIT_USAGE, "the command line was not understood"},
    {CLI_EXIT_NOBODY, "nobody is there, or nobody offers the service"},
    {CLI_EXIT_TIMEOUT, "the time was up"},
    {CLI_EXIT_NOT_AUTHORISED, "the certificate does not allow it"},
    {CLI_EXIT_INTERRUPTED, "interrupted"},
};
enum { EXIT_CODES = sizeof exit_codes / sizeof exit_codes[0] };

const cli_command *
cli_find_command(const char *name) {
    for (const cli_command *const *at = cli_commands; *at; at++) {
        if (strcmp((*at)->name, name) == 0) {
            return *at;
        }
    }
    return NULL;
}

static void
print_flags(FILE *file, const cli_flag *flags) {
    for (; flags && flags->name; flags++) {
        char left[40];
        snprintf(left, sizeof left, "%s%s%s", flags->name, flags->value ? " " : "",
                 flags->value ? flags->value : "");
        fprintf(file, "  %-22s %s\n", left, flags->help);
    }
}

static void
print_exit_codes(FILE *file) {
    fputs("\nExit codes, the same with --json:\n", file);
    for (size_t i = 0; i < EXIT_CODES; i++) {
        fprintf(file, "  %-4d %s\n", exit_codes[i].code, exit_codes[i].meaning);
    }
}

static void
print_examples(FILE *file, const char *examples) {
    fputs("\nExamples:\n", file);
    for (const char *line = examples; *line;) {
        size_t size = strcspn(line, "\n");
        fprintf(file, "  %.*s\n", (int)size, line);
        line += size + (line[size] == '\n');
    }
}

void
cli_print_help(FILE *file, const cli_command *command) {
    if (command) {
        fprintf(file, "usage: skua %s%s%s [FLAGS]\n\n%s.\n", command->name,
                *command->form ? " " : "", command->form, command->summary);
        if (command->details) {
            fprintf(file, "\n%s\n", command->details);
        }
        if (command->flags) {
            fputs("\nIts own flags:\n", file);
            print_flags(file, command->flags);
        }
        fputs("\nCommon flags:\n", file);
        print_flags(file, cli_common_flags);
        if (command->examples) {
            print_examples(file, command->examples);
        }
        return;
    }
    fputs("usage: skua COMMAND [ARGUMENTS] [FLAGS]\n\n"
          "Messages and work for Linux machines, without a broker. The commands:\n\n",
          file);
    for (const cli_command *const *at = cli_commands; *at; at++) {
        fprintf(file, "  %-8s %s\n", (*at)->name, (*at)->summary);
    }
    fputs("\nCommon flags:\n", file);
    print_flags(file, cli_common_flags);
    print_exit_codes(file);
    fputs("\n`skua help COMMAND` tells more of a command, `skua errors CODE` of an error.\n", file);
}

/* ---- Manual pages ---- */

/* Text for troff: a backslash, and a dot or quote at the start of a line, would be commands. */
static void
put_roff(FILE *file, const char *text, bool breaks) {
    bool at_start = true;
    for (; *text; text++) {
        if (at_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", file);
        }
        if (*text == '\\') {
            fputs("\\e", file);
        } else if (*text == '-') {
            fputs("\\-", file);
        } else if (*text == '\n' && breaks) {
            fputs("\n.br\n", file);
        } else if (*text == '\n' && text[1] == '\n') {
            fputs("\n.PP\n", file);
            text++;
        } else {
            putc(*text, file);
        }
        at_start = *text == '\n';
    }
}

static void
put_roff_flags(FILE *file, const cli_flag *flags) {
    for (; flags && flags->name; flags++) {
        fputs(".TP\n.B ", file);
        put_roff(file, flags->name, false);
        if (flags->value) {
            fprintf(file, " \\fI%s\\fR", flags->value);
        }
        putc('\n', file);
        put_roff(file, flags->help, false);
        putc('\n', file);
    }
}

static void
put_roff_head(FILE *file, const char *page, const char *summary) {
    fputs(".\\\" SPDX-License-Identifier: MPL-2.0\n.TH ", file);
    for (const char *at = page; *at; at++) {
        putc(toupper((unsigned char)*at), file);
    }
    fprintf(file, " 1 \"\" \"skua %s\" \"User Commands\"\n.SH NAME\n", skua_version_string());
    put_roff(file, page, false);
    fputs(" \\- ", file);
    put_roff(file, summary, false);
    fputs("\n.SH SYNOPSIS\n", file);
}

skua_status
cli_print_man(FILE *file, const cli_command *command) {
    if (command) {
        char page[32];
        snprintf(page, sizeof page, "skua-%s", command->name);
        put_roff_head(file, page, command->summary);
        fprintf(file, ".B skua %s\n", command->name);
        put_roff(file, command->form, false);
        fputs(" [FLAGS]\n.SH DESCRIPTION\n", file);
        put_roff(file, command->summary, false);
        fputs(".\n", file);
        if (command->details) {
            fputs(".PP\n", file);
            put_roff(file, command->details, false);
            putc('\n', file);
        }
        fputs(".SH OPTIONS\n", file);
        put_roff_flags(file, command->flags);
    } else {
        put_roff_head(file, "skua", "messages and work for Linux machines, without a broker");
        fputs(".B skua\nCOMMAND [ARGUMENTS] [FLAGS]\n.SH COMMANDS\n", file);
        for (const cli_command *const *at = cli_commands; *at; at++) {
            fprintf(file, ".TP\n.BR skua-%s (1)\n", (*at)->name);
            put_roff(file, (*at)->summary, false);
            putc('\n', file);
        }
        fputs(".SH OPTIONS\n", file);
    }
    put_roff_flags(file, cli_common_flags);
    fputs(".SH EXIT STATUS\n", file);
    for (size_t i = 0; i < EXIT_CODES; i++) {
        fprintf(file, ".TP\n.B %d\n%s\n", exit_codes[i].code, exit_codes[i].meaning);
    }
    if (command && command->examples) {
        fputs(".SH EXAMPLES\n", file);
        put_roff(file, command->examples, true);
        putc('\n', file);
    }
    fprintf(file, ".SH SEE ALSO\n.BR %s (1)\n", command ? "skua" : "skua-help");
    return fflush(file) ? SKUA_E_FILE : SKUA_OK;
}

/* ---- skua help ---- */

static const cli_flag help_flags[] = {{"--man", NULL, "as a page for man(1)"}, {NULL, NULL, NULL}};

static skua_status
run_help(cli *self) {
    const cli_command *command = NULL;
    if (self->arg_count) {
        command = cli_find_command(self->args[0]);
        if (!command) {
            return cli_usage(self, "there is no command \"%s\"; `skua help` lists them",
                             self->args[0]);
        }
    }
    if (cli_flag_value(self, "--man")) {
        return cli_print_man(stdout, command);
    }
    if (!self->json) {
        cli_print_help(stdout, command);
        return SKUA_OK;
    }
    skua__json *json = cli_answer(self);
    skua__json_key(json, "commands");
    skua__json_array(json);
    for (const cli_command *const *at = cli_commands; *at; at++) {
        skua__json_object(json);
        skua__json_put_text(json, "name", (*at)->name);
        skua__json_put_text(json, "form", (*at)->form);
        skua__json_put_text(json, "summary", (*at)->summary);
        skua__json_object_end(json);
    }
    skua__json_array_end(json);
    return cli_answer_end(self);
}

const cli_command cli_cmd_help = {
    .name = "help",
    .form = "[COMMAND]",
    .summary = "Print this, or what a command does",
    .examples = "skua help nodes\nskua help --man pub | man -l -",
    .flags = help_flags,
    .args_max = 1,
    .run = run_help,
};
