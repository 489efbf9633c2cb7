// SPDX-License-Identifier: MPL-2.0
// Messages between the command line and the patterns: where those to send come from, and how received ones are shown.
#ifndef SKUA_CLI_MSG_H
#define SKUA_CLI_MSG_H

#include "cli.h"
#include <skua/msg.h>

/* The messages to send: one from the command line, as often as --count says, or one for each line of standard input. */
typedef struct cli_feed {
    const char *text; /* NULL: standard input */
    int64_t left;     /* how many more at most; below 0: no limit */
    cli_lines lines;
} cli_feed;

/* word is the argument: NULL and "-" mean standard input. */
void cli_feed_init(cli_feed *feed, const cli *self, const char *word);
void cli_feed_fini(cli_feed *feed);
/* The next message, which the caller owns. Returns 0, SKUA_E_NOT_FOUND at the end, or what cli_next_line() returns. */
skua_status cli_feed_next(cli *self, cli_feed *feed, skua_msg **ret_msg);

/* A message to be sent: taken, on success. */
typedef struct cli_sending {
    void *handle;
    skua_msg *msg;
} cli_sending;
/*
 * Sends each message of the feed: send_one() is given a cli_sending, and may take patience_ms for each, unless --timeout
 * says otherwise. *sent counts them.
 */
skua_status cli_send_feed(cli *self, cli_feed *feed, void *handle, cli_try *send_one,
                          int64_t patience_ms, uint64_t *sent);

/*
 * Shows a message: its frames as a line (several are separated by tabs), after its topic and a tab where with_topic is set;
 * with --json as an object "skua.message/1". Returns 0 or SKUA_E_FILE.
 */
skua_status cli_show_msg(cli *self, const skua_msg *msg, bool with_topic);

#endif
