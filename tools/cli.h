// SPDX-License-Identifier: MPL-2.0
// What the subcommands of `skua` share: the table of commands, the parsed command line, answers for people and as JSON,
// waiting that a signal ends, and a node opened as the common flags say.
#ifndef SKUA_CLI_H
#define SKUA_CLI_H

#include <skua-int/json.h>
#include <skua/common.h>
#include <skua/error.h>
#include <skua/log.h>
#include <skua/node.h>
#include <stdbool.h>
#include <stdio.h>

/* Exit codes, the same with --json. */
enum cli_exit {
    CLI_EXIT_OK = 0,
    CLI_EXIT_FAILURE = 1,
    CLI_EXIT_USAGE = 2,
    CLI_EXIT_NOBODY = 3,
    CLI_EXIT_TIMEOUT = 4,
    CLI_EXIT_NOT_AUTHORISED = 5,
    CLI_EXIT_INTERRUPTED = 130,
};

enum {
    CLI_MAX_FLAGS = 16,      /* of one command's own */
    CLI_MAX_PEERS = 64,      /* --peer */
    CLI_MAX_INTERFACES = 32, /* --interface */
    CLI_MAX_COLUMNS = 12,    /* of a table */
    CLI_SLICE_MS =
        100, /* how long a call into the library may block before signals are looked at */
    CLI_MAX_LINE_BYTES = 16 * 1024 * 1024, /* of a message that is read from standard input */
};

typedef struct cli cli;

typedef struct cli_flag {
    const char *name;  /* "--serve" */
    const char *value; /* what it takes, "FILE"; NULL: nothing */
    const char *help;  /* one line */
} cli_flag;

/* One subcommand. The table of these makes the help, the manual pages and the dispatch. */
typedef struct cli_command {
    const char *name;
    const char *form;      /* "SERVICE TOPIC [MSG|-]" */
    const char *summary;   /* one line, without a full stop */
    const char *details;   /* paragraphs for the help of this command */
    const char *examples;  /* lines that begin with "skua " */
    const cli_flag *flags; /* its own, ended by an empty one; NULL: none */
    int args_min, args_max;
    bool takes_command; /* what follows -- is kept apart: a program to run */
    bool serves;        /* it runs until it is stopped: SIGTERM is a clean end */
    skua_status (*run)(cli *self);
} cli_command;

extern const cli_command *const cli_commands[]; /* ended by NULL */
extern const cli_flag cli_common_flags[];       /* ended by an empty one */

/* The parsed command line, and where answers go. */
struct cli {
    const cli_command *command;
    bool json, quiet, help;
    bool colour_out, colour_err; /* whether stdout and stderr take colours */
    int64_t timeout_ms;          /* 0: not given; SKUA_UNLIMITED; SKUA_NONE */
    int64_t count;               /* 0: not given */
    const char *name, *fleet;
    const char *peers[CLI_MAX_PEERS];
    size_t peer_count;
    const char *interfaces[CLI_MAX_INTERFACES];
    size_t interface_count;
    skua_log_sink log;
    const char
        *values[CLI_MAX_FLAGS]; /* of the command's own flags, in their order; NULL: not given */
    char **args;
    int arg_count;
    char **rest; /* what follows --, ended by NULL */
    int rest_count;

    int signal_fd;
    bool interrupted; /* SIGINT came */
    bool terminated;  /* SIGTERM came */
    skua__json out;   /* on stdout */
    bool answered;    /* the final object was written */
    skua_error err;
};

/* ---- The command line (cli_args.c) ---- */

/* Parses everything after the program's name. Returns 0, or SKUA_E_USAGE with self->err filled. */
skua_status cli_parse(cli *self, int count, char **words);
/* The value of one of the command's own flags ("" for one that takes none), or NULL when it was not given. */
const char *cli_flag_value(const cli *self, const char *name);
/* A whole number between least and most. Returns 0 or SKUA_E_USAGE with self->err filled; what names it in the message. */
skua_status cli_parse_number(cli *self, const char *what, const char *text, int64_t least,
                             int64_t most, int64_t *ret_value);
/* "5s", "500ms", "2m", "forever", "none", or seconds. Returns as cli_parse_number(). */
skua_status cli_parse_timeout(cli *self, const char *what, const char *text, int64_t *ret_ms);
/* Fails with SKUA_E_USAGE. */
skua_status cli_usage(cli *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The word of words (ended by NULL) that is nearest to text, or NULL when none is near. */
const char *cli_nearest(const char *text, const char *const *words);

/* ---- Help (cli_help.c) ---- */
void cli_print_help(FILE *file, const cli_command *command);       /* NULL: of `skua` itself */
skua_status cli_print_man(FILE *file, const cli_command *command); /* a page for man(1) */
const cli_command *cli_find_command(const char *name);

/* ---- Answers (cli_out.c) ---- */

/* Begins an object on stdout that says "schema":"skua.WHAT/1". */
skua__json *cli_object(cli *self, const char *what);
/* Ends it: the object is on stdout as one line. Returns 0, or SKUA_E_FILE when stdout cannot be written. */
skua_status cli_object_end(cli *self);
/* The last object of a command: the same, named after the command, and once. */
skua__json *cli_answer(cli *self);
skua_status cli_answer_end(cli *self);
/* Writes the member "error" into an open object: {code, message, next, exit}. */
void cli_put_error(skua__json *json, const skua_error *err);
/* Prints for people, unless --json or --quiet is on. */
void cli_say(cli *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fails with SKUA_E_FILE and the reason in errno. */
skua_status cli_stdout_failed(cli *self);
/* Ends the run: prints the error, or the final object where it is missing. Returns the exit code. */
int cli_finish(cli *self, skua_status status);
int cli_exit_code(const cli *self, skua_status status);
/* Fails with what is in the registry, or with words of our own. */
skua_status cli_fail(cli *self, skua_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "1.5 MB"; returns ret, of at least 16 bytes. */
char *cli_bytes_text(uint64_t bytes, char *ret);
/* "0.5 s"; returns ret, of at least 32 bytes. */
char *cli_seconds_text(int64_t ns, char *ret);

/* A table for people: cells are copied, columns are as wide as they must be. */
typedef struct cli_table {
    size_t columns, cells, capacity;
    char **text;
    uint32_t right; /* a bit for each column that is aligned to the right */
    bool failed;
} cli_table;
void cli_table_init(cli_table *table, size_t columns, uint32_t right);
void cli_table_put(cli_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints it, the first row as its head, and frees it. */
void cli_table_print(cli_table *table, FILE *file, bool colour);

/* ---- Waiting (cli_wait.c) ---- */

/* Takes SIGINT and SIGTERM as something to wait for. Call it before any thread is started. */
skua_status cli_signals_init(cli *self);
void cli_signals_fini(cli *self);
/* Looks whether a signal came. Returns 0 or SKUA_E_INTERRUPTED. */
skua_status cli_check_signals(cli *self);
/*
 * Waits until fd is readable (fd -1: only for signals). Returns 0, SKUA_E_TIMEOUT, or SKUA_E_INTERRUPTED: the command
 * then ends, see cli_stopped().
 */
skua_status cli_wait(cli *self, int fd, int64_t deadline_ns);
/*
 * What a serving command returns when its wait was interrupted: 0 after SIGTERM, SKUA_E_INTERRUPTED after SIGINT.
 * Any other status is passed on.
 */
skua_status cli_stopped(cli *self, skua_status status);
/*
 * What a wait that ended with status means to a command that takes --count messages, of which `came` came: without a
 * --count the end of --timeout is a good end. Any other status is passed on.
 */
skua_status cli_count_missed(cli *self, skua_status status, uint64_t came, const char *what);
/* The deadline of --timeout, or of default_ms where it was not given. */
int64_t cli_deadline_ns(const cli *self, int64_t default_ms);
/* How long the next call into the library may block: at most CLI_SLICE_MS, SKUA_NONE at the deadline. */
int64_t cli_slice_ms(int64_t deadline_ns);

/* One try at something that may take long: at most timeout_ms. It fills self->err. */
typedef skua_status cli_try(cli *self, void *arg, int64_t timeout_ms);
/*
 * Tries in slices until deadline_ns, so that a signal ends it: again for as long as it is too early (SKUA_E_AGAIN, _TIMEOUT,
 * _NO_PROVIDER). Returns what the last try returned, or SKUA_E_INTERRUPTED.
 */
skua_status cli_in_slices(cli *self, cli_try *try_it, void *arg, int64_t deadline_ns);

/* Lines of standard input, read without blocking a signal. */
typedef struct cli_lines {
    char *bytes;
    size_t used, capacity, next;
    bool ended;
} cli_lines;
/*
 * The next line without its line break, alive until the next call. Returns 0; SKUA_E_NOT_FOUND at the end;
 * SKUA_E_INTERRUPTED, SKUA_E_TOO_BIG, SKUA_E_NO_MEMORY, SKUA_E_FILE.
 */
skua_status cli_next_line(cli *self, cli_lines *lines, char **ret_line, size_t *ret_size);
void cli_lines_fini(cli_lines *lines);

/* ---- A node as the flags say (cli_node.c) ---- */
skua_status cli_open_node(cli *self, skua_node **ret_node);
/* Words for the numbers of skua/node.h. */
const char *cli_via_text(int32_t via);
const char *cli_state_text(int32_t state);
const char *cli_event_text(int32_t kind);
const char *cli_reason_text(int32_t reason);

/* ---- The commands ---- */
extern const cli_command cli_cmd_pub, cli_cmd_sub, cli_cmd_push, cli_cmd_pull, cli_cmd_req,
    cli_cmd_rep, cli_cmd_doctor, cli_cmd_demo, cli_cmd_submit, cli_cmd_node, cli_cmd_nodes,
    cli_cmd_fleet, cli_cmd_topo, cli_cmd_errors, cli_cmd_version, cli_cmd_help;

#endif
