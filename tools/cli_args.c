// SPDX-License-Identifier: MPL-2.0
// Parses the command line: flags may stand anywhere, as "--flag value" or "--flag=value"; "--" ends them.
#include "cli.h"

#include <errno.h>
#include <skua-int/fail.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const cli_flag cli_common_flags[] = {
    {"--json", NULL, "answer with JSON: one object, or one object a line"},
    {"--timeout", "TIME", "give up after 5s, 500ms, 2m, none or forever"},
    {"--count", "N", "how many: messages, nodes, repetitions"},
    {"--quiet", NULL, "print nothing that was not asked for"},
    {"--name", "NAME", "this node's name"},
    {"--fleet", "DIR", "the folder of the fleet or of the node's certificate"},
    {"--peer", "HOST[:PORT]", "a node to begin with, where beacons do not reach (may be repeated)"},
    {"--interface", "NAME", "a network interface for beacons (may be repeated)"},
    {"--color", "WHEN", "auto, always or never; NO_COLOR is honoured"},
    {"--log", "LEVEL", "tell on stderr what goes on: error, warning, info or debug"},
    {"--help", NULL, "print this"},
    {NULL, NULL, NULL},
};

enum { MAX_WORD = 40, NEAR = 2 };

skua_status
cli_usage(cli *self, const char *format, ...) {
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return SKUA_FAIL(&self->err, SKUA_E_USAGE, "%s", text);
}

static size_t
least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many letters must be changed, added, left out or swapped with their neighbour (Damerau, 1964). */
static size_t
distance(const char *a, const char *b) {
    size_t rows[3][MAX_WORD + 1];
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > MAX_WORD || b_size > MAX_WORD) {
        return MAX_WORD;
    }
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t same = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
    }
    return rows[a_size % 3][b_size];
}

const char *
cli_nearest(const char *text, const char *const *words) {
    const char *nearest = NULL;
    size_t best = NEAR + 1;
    size_t size = strlen(text);
    for (; *words; words++) {
        size_t far = distance(text, *words);
        /* A beginning of the word is near too; a word that is all different is not. */
        if (far > 0 && size >= 3 && strncmp(text, *words, size) == 0) {
            far = 1;
        }
        /* Two changes in a short word make any other word of it. */
        if (far < best && far < size && far * 2 < size + (size > 3)) {
            best = far;
            nearest = *words;
        }
    }
    return nearest;
}

static skua_status
unknown_flag(cli *self, const char *flag) {
    const char *words[2 * CLI_MAX_FLAGS + 1];
    size_t count = 0;
    for (const cli_flag *known = cli_common_flags; known->name; known++) {
        words[count++] = known->name;
    }
    for (const cli_flag *known = self->command ? self->command->flags : NULL; known && known->name;
         known++) {
        words[count++] = known->name;
    }
    words[count] = NULL;
    const char *nearest = cli_nearest(flag, words);
    const char *command = self->command ? self->command->name : NULL;
    return cli_usage(self, "unknown flag \"%s\"%s%s%s%s%s", flag, command ? " for skua " : "",
                     command ? command : "", nearest ? "; did you mean " : "",
                     nearest ? nearest : "", nearest ? "?" : "");
}

static skua_status
unknown_command(cli *self, const char *name) {
    const char *words[64];
    size_t count = 0;
    for (const cli_command *const *at = cli_commands; *at && count < 63; at++) {
        words[count++] = (*at)->name;
    }
    words[count] = NULL;
    const char *nearest = cli_nearest(name, words);
    return cli_usage(self, "unknown command \"%s\"%s%s%s", name, nearest ? "; did you mean " : "",
                     nearest ? nearest : "", nearest ? "?" : "");
}

skua_status
cli_parse_number(cli *self, const char *what, const char *text, int64_t lowest, int64_t most,
                 int64_t *ret_value) {
    errno = 0;
    char *end;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < lowest || value > most) {
        return cli_usage(self, "%s takes a whole number from %lld to %lld, not \"%s\"", what,
                         (long long)lowest, (long long)most, text);
    }
    *ret_value = value;
    return SKUA_OK;
}

skua_status
cli_parse_timeout(cli *self, const char *what, const char *text, int64_t *ret_ms) {
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"", 1000}};
    if (strcmp(text, "forever") == 0) {
        *ret_ms = SKUA_UNLIMITED;
        return SKUA_OK;
    }
    if (strcmp(text, "none") == 0) {
        *ret_ms = SKUA_NONE;
        return SKUA_OK;
    }
    char *unit;
    double value = strtod(text, &unit);
    for (size_t i = 0; unit != text && i < sizeof units / sizeof units[0]; i++) {
        /* The comparison also refuses NaN, and the limit of a year keeps the sum in range. */
        if (strcmp(unit, units[i].unit) == 0 && value >= 0 && value * units[i].ms <= 3.2e10) {
            int64_t ms = (int64_t)(value * units[i].ms);
            *ret_ms = ms ? ms : SKUA_NONE;
            return SKUA_OK;
        }
    }
    return cli_usage(self, "%s takes a time such as 5s, 500ms or 2m, none or forever, not \"%s\"",
                     what, text);
}

static bool
wants_colour(const char *when, int fd) {
    if (strcmp(when, "auto") != 0) {
        return strcmp(when, "always") == 0;
    }
    const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return !(refused && *refused) && !(terminal && strcmp(terminal, "dumb") == 0) && isatty(fd);
}

static skua_status
set_colour(cli *self, const char *when) {
    if (strcmp(when, "auto") != 0 && strcmp(when, "always") != 0 && strcmp(when, "never") != 0) {
        return cli_usage(self, "--color takes auto, always or never, not \"%s\"", when);
    }
    self->colour_out = wants_colour(when, STDOUT_FILENO);
    self->colour_err = wants_colour(when, STDERR_FILENO);
    return SKUA_OK;
}

static skua_status
append(cli *self, const char *flag, const char **list, size_t *count, size_t most,
       const char *value) {
    if (*count == most) {
        return cli_usage(self, "%s may be given at most %zu times", flag, most);
    }
    list[(*count)++] = value;
    return SKUA_OK;
}

static skua_status
set_common(cli *self, const char *flag, const char *value) {
    if (strcmp(flag, "--json") == 0) {
        self->json = true;
    } else if (strcmp(flag, "--quiet") == 0) {
        self->quiet = true;
    } else if (strcmp(flag, "--help") == 0) {
        self->help = true;
    } else if (strcmp(flag, "--name") == 0) {
        self->name = value;
    } else if (strcmp(flag, "--fleet") == 0) {
        self->fleet = value;
    } else if (strcmp(flag, "--timeout") == 0) {
        return cli_parse_timeout(self, flag, value, &self->timeout_ms);
    } else if (strcmp(flag, "--count") == 0) {
        return cli_parse_number(self, flag, value, 1, INT64_MAX, &self->count);
    } else if (strcmp(flag, "--peer") == 0) {
        return append(self, flag, self->peers, &self->peer_count, CLI_MAX_PEERS, value);
    } else if (strcmp(flag, "--interface") == 0) {
        return append(self, flag, self->interfaces, &self->interface_count, CLI_MAX_INTERFACES,
                      value);
    } else if (strcmp(flag, "--log") == 0) {
        self->log.level = skua_log_level_of(value);
        if (self->log.level == SKUA_LOG_OFF && strcmp(value, "off") != 0) {
            return cli_usage(self, "--log takes error, warning, info, debug or off, not \"%s\"",
                             value);
        }
    } else {
        return set_colour(self, value);
    }
    return SKUA_OK;
}

static const cli_flag *
find_flag(const cli_flag *flags, const char *name, size_t size, size_t *ret_index) {
    for (size_t i = 0; flags && flags[i].name; i++) {
        if (strlen(flags[i].name) == size && strncmp(flags[i].name, name, size) == 0) {
            *ret_index = i;
            return &flags[i];
        }
    }
    return NULL;
}

/* One flag at words[*at]; *at moves on to its value when that is a word of its own. */
static skua_status
parse_flag(cli *self, char **words, int count, int *at) {
    static const char *const short_forms[][2] = {
        {"-h", "--help"}, {"-n", "--count"}, {"-q", "--quiet"}, {"-t", "--timeout"}};
    const char *word = words[*at];
    for (size_t i = 0; i < sizeof short_forms / sizeof short_forms[0]; i++) {
        if (strcmp(word, short_forms[i][0]) == 0) {
            word = short_forms[i][1];
        }
    }
    const char *equals = strchr(word, '=');
    size_t size = equals ? (size_t)(equals - word) : strlen(word);
    size_t index = 0;
    const cli_flag *own =
        find_flag(self->command ? self->command->flags : NULL, word, size, &index);
    size_t common_index;
    const cli_flag *flag = own ? own : find_flag(cli_common_flags, word, size, &common_index);
    if (!flag) {
        return unknown_flag(self, word);
    }
    const char *value = equals ? equals + 1 : NULL;
    if (flag->value && !value) {
        if (*at + 1 >= count) {
            return cli_usage(self, "%s takes a value: %s %s", flag->name, flag->name, flag->value);
        }
        value = words[++*at];
    } else if (!flag->value && value) {
        return cli_usage(self, "%s takes no value", flag->name);
    }
    if (own) {
        self->values[index] = value ? value : "";
        return SKUA_OK;
    }
    return set_common(self, flag->name, value);
}

static skua_status
check_args(cli *self) {
    const cli_command *command = self->command;
    if (self->help) {
        return SKUA_OK;
    }
    if (!command) {
        return cli_usage(self, "no command was given");
    }
    if (self->arg_count < command->args_min) {
        return cli_usage(self, "too few arguments: skua %s %s", command->name, command->form);
    }
    if (self->arg_count > command->args_max) {
        return cli_usage(self, "what is \"%s\" for? Try: skua %s %s", self->args[command->args_max],
                         command->name, command->form);
    }
    return SKUA_OK;
}

skua_status
cli_parse(cli *self, int count, char **words) {
    skua_status status = set_colour(self, "auto");
    /* An error of a flag before --json is to be told as JSON too. */
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++) {
        self->json |= strcmp(words[i], "--json") == 0;
    }
    /* Positional words are moved to the front of the array, in place. */
    int kept = 0;
    self->args = words;
    for (int i = 0; i < count && !status; i++) {
        char *word = words[i];
        if (strcmp(word, "--") == 0) {
            if (self->command && self->command->takes_command) {
                self->rest = words + i + 1;
                self->rest_count = count - i - 1;
                break;
            }
            for (i++; i < count; i++) {
                words[kept++] = words[i];
            }
        } else if (word[0] == '-' && word[1]) {
            /* `skua --version` is what everybody tries first. */
            if (!self->command && strcmp(word, "--version") == 0) {
                self->command = cli_find_command("version");
            } else {
                status = parse_flag(self, words, count, &i);
            }
        } else if (!self->command) {
            self->command = cli_find_command(word);
            status = self->command ? SKUA_OK : unknown_command(self, word);
        } else {
            words[kept++] = word;
        }
    }
    self->arg_count = kept;
    return status ? status : check_args(self);
}

const char *
cli_flag_value(const cli *self, const char *name) {
    size_t index;
    if (!find_flag(self->command->flags, name, strlen(name), &index)) {
        return NULL;
    }
    return self->values[index];
}
