// SPDX-License-Identifier: MPL-2.0
// Messages from the command line or standard input, and messages shown.
#include "cli_msg.h"

#include <string.h>

void
cli_feed_init(cli_feed *feed, const cli *self, const char *word) {
    *feed = (cli_feed){.text = word && strcmp(word, "-") != 0 ? word : NULL};
    feed->left = self->count ? self->count : feed->text ? 1 : -1;
}

void
cli_feed_fini(cli_feed *feed) {
    cli_lines_fini(&feed->lines);
}

skua_status
cli_feed_next(cli *self, cli_feed *feed, skua_msg **ret_msg) {
    if (feed->left == 0) {
        return SKUA_E_NOT_FOUND;
    }
    const char *bytes = feed->text;
    size_t size = bytes ? strlen(bytes) : 0;
    if (!bytes) {
        char *line;
        skua_status status = cli_next_line(self, &feed->lines, &line, &size);
        if (status) {
            return status;
        }
        bytes = line;
    }
    skua_msg *msg = skua_msg_of_bytes(bytes, size);
    if (!msg) {
        return cli_fail(self, SKUA_E_NO_MEMORY, "no memory for a message");
    }
    feed->left -= feed->left > 0;
    *ret_msg = msg;
    return SKUA_OK;
}

skua_status
cli_send_feed(cli *self, cli_feed *feed, void *handle, cli_try *send_one, int64_t patience_ms,
              uint64_t *sent) {
    for (;;) {
        cli_sending sending = {.handle = handle};
        skua_status status = cli_feed_next(self, feed, &sending.msg);
        if (status) {
            return status == SKUA_E_NOT_FOUND ? SKUA_OK : status;
        }
        status = cli_in_slices(self, send_one, &sending, cli_deadline_ns(self, patience_ms));
        skua_msg_free(sending.msg);
        if (status) {
            return status;
        }
        ++*sent;
    }
}

static void
put_msg(skua__json *json, const skua_msg *msg) {
    skua__json_put_text(json, "topic", skua_msg_topic(msg));
    skua__json_put_text(json, "from", skua_msg_sender_name(msg));
    skua__json_put_u64(json, "size_bytes", skua_msg_total_size(msg));
    skua__json_put_bool(json, "redelivered", skua_msg_redelivered(msg));
    skua__json_put_u64(json, "gap", skua_msg_gap(msg));
    skua__json_key(json, "frames");
    skua__json_array(json);
    for (size_t i = 0; i < skua_msg_frames(msg); i++) {
        skua__json_text_n(json, skua_msg_data(msg, i), skua_msg_size(msg, i));
    }
    skua__json_array_end(json);
    const char *key, *value;
    skua__json_key(json, "properties");
    skua__json_object(json);
    for (size_t i = 0; (key = skua_msg_property_at(msg, i, &value)) != NULL; i++) {
        skua__json_put_text(json, key, value);
    }
    skua__json_object_end(json);
}

skua_status
cli_show_msg(cli *self, const skua_msg *msg, bool with_topic) {
    if (self->json) {
        put_msg(cli_object(self, "message"), msg);
        return cli_object_end(self);
    }
    if (with_topic) {
        printf("%s\t", skua_msg_topic(msg));
    }
    for (size_t i = 0; i < skua_msg_frames(msg); i++) {
        if (i > 0) {
            putchar('\t');
        }
        fwrite(skua_msg_data(msg, i), 1, skua_msg_size(msg, i), stdout);
    }
    putchar('\n');
    return fflush(stdout) || ferror(stdout) ? cli_stdout_failed(self) : SKUA_OK;
}
