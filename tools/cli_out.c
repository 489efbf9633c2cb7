// SPDX-License-Identifier: MPL-2.0
// What the command prints: objects, errors with their next step, and tables.
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <skua-int/fail.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

skua__json *
cli_object(cli *self, const char *what) {
    char schema[64];
    snprintf(schema, sizeof schema, "skua.%s/1", what);
    skua__json_object(&self->out);
    skua__json_put_text(&self->out, "schema", schema);
    return &self->out;
}

skua_status
cli_object_end(cli *self) {
    skua__json_object_end(&self->out);
    return skua__json_end(&self->out) ? SKUA_OK : cli_stdout_failed(self);
}

skua_status
cli_stdout_failed(cli *self) {
    return cli_fail(self, SKUA_E_FILE, "cannot write to standard output: %s", strerror(errno));
}

skua__json *
cli_answer(cli *self) {
    self->answered = true;
    return cli_object(self, self->command ? self->command->name : "error");
}

skua_status
cli_answer_end(cli *self) {
    return cli_object_end(self);
}

int
cli_exit_code(const cli *self, skua_status status) {
    (void)self;
    switch (status) {
    case SKUA_OK:
        return CLI_EXIT_OK;
    case SKUA_E_USAGE:
        return CLI_EXIT_USAGE;
    case SKUA_E_NO_PEERS:
    case SKUA_E_NO_PROVIDER:
        return CLI_EXIT_NOBODY;
    case SKUA_E_TIMEOUT:
        return CLI_EXIT_TIMEOUT;
    case SKUA_E_NOT_AUTHORISED:
    case SKUA_E_BAD_CERTIFICATE:
    case SKUA_E_EXPIRED:
        return CLI_EXIT_NOT_AUTHORISED;
    case SKUA_E_INTERRUPTED:
        return CLI_EXIT_INTERRUPTED;
    default:
        return CLI_EXIT_FAILURE;
    }
}

void
cli_put_error(skua__json *json, const skua_error *err) {
    const skua_error_info *info = skua_error_lookup(err->status);
    skua__json_key(json, "error");
    skua__json_object(json);
    skua__json_put_text(json, "code", err->code);
    skua__json_put_text(json, "message", err->message);
    skua__json_put_text(json, "next", info ? info->next : NULL);
    skua__json_put_i64(json, "exit", cli_exit_code(NULL, err->status));
    skua__json_object_end(json);
}

void
cli_say(cli *self, const char *format, ...) {
    if (self->json || self->quiet) {
        return;
    }
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fflush(stdout);
}

skua_status
cli_fail(cli *self, skua_status status, const char *format, ...) {
    char text[SKUA_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return skua__fail(&self->err, status, 0, "skua", "%s", text);
}

/*
 * Whether the message itself says what to do next: a clause after a semicolon does, unless it stands in parentheses or
 * quotes, where lists are.
 */
static bool
says_what_to_do(const char *message) {
    int depth = 0;
    bool quoted = false;
    for (const char *at = message; *at; at++) {
        quoted ^= *at == '"';
        depth += quoted ? 0 : (*at == '(') - (*at == ')');
        if (*at == ';' && !quoted && depth <= 0) {
            return true;
        }
    }
    return false;
}

static void
print_error(const cli *self) {
    const char *on = self->colour_err ? "\033[1;31m" : "", *off = self->colour_err ? "\033[0m" : "";
    fprintf(stderr, "%s%s%s %s\n", on, self->err.code, off, self->err.message);
    const skua_error_info *info = skua_error_lookup(self->err.status);
    if (self->err.status == SKUA_E_USAGE) {
        const char *name = self->command ? self->command->name : NULL;
        fprintf(stderr, "  next: `skua help%s%s` shows what %s.\n", name ? " " : "",
                name ? name : "", name ? "it takes" : "there is");
    } else if (info && !says_what_to_do(self->err.message) &&
               strncmp(info->next, "The message ", 12)) {
        fprintf(stderr, "  next: %s\n", info->next);
    }
}

int
cli_finish(cli *self, skua_status status) {
    if (status && self->err.status != status) {
        (void)cli_fail(self, status, "%s", skua_status_text(status));
    }
    if (self->json && !self->answered && !self->help) {
        skua__json *json = cli_answer(self);
        if (status) {
            cli_put_error(json, &self->err);
        }
        skua_status written = cli_answer_end(self);
        status = status ? status : written;
    } else if (fflush(stdout) != 0 && !status) {
        status = cli_stdout_failed(self);
    }
    /* An object that could not be written tells nobody why. */
    bool told = self->json && !self->out.failed;
    if (status && !told && status != SKUA_E_INTERRUPTED) {
        print_error(self);
    }
    return cli_exit_code(self, status);
}

char *
cli_bytes_text(uint64_t bytes, char *ret) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    snprintf(ret, 16, unit && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return ret;
}

char *
cli_seconds_text(int64_t ns, char *ret) {
    enum { TENTH_NS = 100000000 };
    snprintf(ret, 32, "%.10g s", (double)((ns + TENTH_NS / 2) / TENTH_NS) / 10);
    return ret;
}

/* ---- Tables ---- */

void
cli_table_init(cli_table *table, size_t columns, uint32_t right) {
    *table = (cli_table){.columns = columns, .right = right};
}

void
cli_table_put(cli_table *table, const char *format, ...) {
    if (table->cells == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 64;
        char **text = realloc((void *)table->text, capacity * sizeof *text);
        if (!text) {
            table->failed = true;
            return;
        }
        table->text = text;
        table->capacity = capacity;
    }
    char cell[256];
    va_list args;
    va_start(args, format);
    vsnprintf(cell, sizeof cell, format, args);
    va_end(args);
    /* Names come from certificates, but devices and the like from peers: no control characters on a terminal. */
    for (char *at = cell; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '?';
        }
    }
    table->text[table->cells] = strdup(cell);
    if (table->text[table->cells]) {
        table->cells++;
    } else {
        table->failed = true;
    }
}

static void
print_row(const cli_table *table, size_t first, const int *widths, FILE *file) {
    for (size_t column = 0; column < table->columns; column++) {
        const char *text = table->text[first + column];
        bool last = column + 1 == table->columns;
        if (table->right >> column & 1) {
            fprintf(file, "%*s", widths[column], text);
        } else if (last) {
            fputs(text, file);
        } else {
            fprintf(file, "%-*s", widths[column], text);
        }
        fputs(last ? "" : "  ", file);
    }
}

void
cli_table_print(cli_table *table, FILE *file, bool colour) {
    int widths[CLI_MAX_COLUMNS] = {0};
    for (size_t i = 0; i < table->cells; i++) {
        int size = (int)strlen(table->text[i]);
        int *width = &widths[i % table->columns];
        *width = size > *width ? size : *width;
    }
    for (size_t row = 0; row + table->columns <= table->cells; row += table->columns) {
        fputs(row == 0 && colour ? "\033[1m" : "", file);
        print_row(table, row, widths, file);
        fputs(row == 0 && colour ? "\033[0m\n" : "\n", file);
    }
    for (size_t i = 0; i < table->cells; i++) {
        free(table->text[i]);
    }
    free((void *)table->text);
    cli_table_init(table, table->columns, table->right);
}
