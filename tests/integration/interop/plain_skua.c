// SPDX-License-Identifier: MPL-2.0
// The skua side of the tests with plain ZeroMQ peers: plain_skua MODE ENDPOINT COUNT. It prints one line per event, and at
// the end its counters; test_interop.py is the other side.
#include <poll.h>
#include <skua/node.h>
#include <skua/pubsub.h>
#include <skua/pushpull.h>
#include <skua/reqrep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct program {
    skua_node *node;
    const char *endpoint;
    long count;
    skua_error err;
} program;

static int
failed(const program *self) {
    printf("error %s %s\n", self->err.code, self->err.message);
    return 1;
}

static void
print_frames(const char *word, const skua_msg *msg) {
    printf("%s", word);
    for (size_t i = 0; i < skua_msg_frames(msg); i++) {
        size_t size = skua_msg_size(msg, i);
        if (size > 100) {
            printf(" (%zu)", size);
        } else {
            printf(" [%.*s]", (int)size, (const char *)skua_msg_data(msg, i));
        }
    }
    printf("\n");
}

static void
print_reqrep_stats(const skua_reqrep_stats *stats) {
    printf("handed %llu received %llu dropped %llu sent %llu\n",
           (unsigned long long)stats->handed_to_zmq, (unsigned long long)stats->plain_received,
           (unsigned long long)stats->plain_dropped, (unsigned long long)stats->sent);
}

/* Answers COUNT requests with their frames, behind one more; "bad" gets an error. */
static int
run_rep(program *self) {
    skua_rep *rep = NULL;
    if (skua_rep_open(&rep, self->node, "echo", SKUA_REP_OPTIONS(.plain_bind = self->endpoint),
                      &self->err) != SKUA_OK) {
        return failed(self);
    }
    printf("port %u\n", skua_rep_plain_port(rep));
    for (long i = 0; i < self->count; i++) {
        skua_request *request = NULL;
        if (skua_rep_recv(rep, &request, 20000, &self->err) != SKUA_OK) {
            return failed(self);
        }
        const skua_msg *question = skua_request_msg(request);
        skua_status status;
        if (skua_msg_equals(question, 0, "bad")) {
            status = skua_rep_fail(rep, &request, "it was bad", &self->err);
        } else {
            skua_msg *msg = skua_msg_of_string(skua_msg_is_plain(question) ? "plain" : "native");
            for (size_t f = 0; f < skua_msg_frames(question); f++) {
                if (skua_msg_append_frame(msg, question, f) != SKUA_OK) {
                    return failed(self);
                }
            }
            status = skua_rep_reply(rep, &request, &msg, &self->err);
        }
        if (status != SKUA_OK) {
            return failed(self);
        }
    }
    skua_reqrep_stats stats = {.size = sizeof stats};
    if (skua_rep_stats(rep, &stats) != SKUA_OK) {
        return 1;
    }
    print_reqrep_stats(&stats);
    getchar(); /* the last answers may still be in ZeroMQ's hands */
    skua_rep_close(rep);
    return 0;
}

/* Has COUNT requests in flight at once, and prints their ends. */
static int
run_req(program *self) {
    skua_req *req = NULL;
    if (skua_req_open(
            &req, self->node, "echo",
            SKUA_REQ_OPTIONS(.plain_connect = self->endpoint, .plain_only = 1, .timeout_ms = 20000),
            &self->err) != SKUA_OK) {
        return failed(self);
    }
    for (long i = 0; i < self->count; i++) {
        char text[32];
        snprintf(text, sizeof text, "request %ld", i);
        skua_msg *msg = skua_msg_of_string(text);
        if (skua_msg_append_string(msg, "second") != SKUA_OK ||
            skua_req_send(req, &msg, 0, NULL, &self->err) != SKUA_OK) {
            return failed(self);
        }
    }
    for (long i = 0; i < self->count; i++) {
        skua_req_result result = {.size = sizeof result};
        if (skua_req_recv(req, &result, 30000, &self->err) != SKUA_OK) {
            return failed(self);
        }
        if (result.status != SKUA_OK) {
            self->err = result.error;
            return failed(self);
        }
        print_frames(skua_msg_is_plain(result.reply) ? "plain" : "native", result.reply);
        skua_msg_free(result.reply);
    }
    skua_reqrep_stats stats = {.size = sizeof stats};
    if (skua_req_stats(req, &stats) != SKUA_OK) {
        return 1;
    }
    print_reqrep_stats(&stats);
    skua_req_close(req);
    return 0;
}

static void
print_stats(const skua_pattern_stats *stats) {
    printf("handed %llu received %llu dropped %llu sent %llu\n",
           (unsigned long long)stats->handed_to_zmq, (unsigned long long)stats->plain_received,
           (unsigned long long)stats->plain_dropped, (unsigned long long)stats->sent);
}

/* Publishes "probe" until a line comes, then COUNT messages of two frames under "oslo", and one under "bergen". */
static int
run_pub(program *self) {
    skua_pub *pub = NULL;
    if (skua_pub_open(&pub, self->node, "weather", SKUA_PUB_OPTIONS(.plain_bind = self->endpoint),
                      &self->err) != SKUA_OK) {
        return failed(self);
    }
    printf("port %u\n", skua_pub_plain_port(pub));
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    do {
        if (skua_pub_send_bytes(pub, "probe", "", 0, 0, &self->err) != SKUA_OK) {
            return failed(self);
        }
    } while (poll(&input, 1, 5) == 0);
    getchar();
    for (long i = 0; i <= self->count; i++) {
        char text[32];
        snprintf(text, sizeof text, "message %ld", i);
        skua_msg *msg = skua_msg_of_string(text);
        const char *topic = i < self->count ? "oslo" : "bergen";
        if (skua_msg_append_string(msg, "second") != SKUA_OK ||
            skua_pub_send(pub, topic, &msg, 0, &self->err) != SKUA_OK) {
            return failed(self);
        }
    }
    getchar();
    skua_pub_close(pub);
    return 0;
}

/* Follows "oslo" alone, and prints COUNT messages. */
static int
run_sub(program *self) {
    skua_sub *sub = NULL;
    if (skua_sub_open(
            &sub, self->node, "weather",
            SKUA_SUB_OPTIONS(.topic = "oslo", .plain_connect = self->endpoint, .plain_only = 1),
            &self->err) != SKUA_OK) {
        return failed(self);
    }
    for (long i = 0; i < self->count; i++) {
        skua_msg *msg = NULL;
        if (skua_sub_recv(sub, &msg, 20000, &self->err) != SKUA_OK) {
            return failed(self);
        }
        print_frames(skua_msg_topic(msg), msg);
        skua_msg_free(msg);
    }
    skua_pattern_stats stats = {.size = sizeof stats};
    if (skua_sub_stats(sub, &stats, &self->err) != SKUA_OK) {
        return failed(self);
    }
    print_stats(&stats);
    skua_sub_close(sub);
    return 0;
}

static int
run_push(program *self) {
    skua_push *push = NULL;
    if (skua_push_open(&push, self->node, "work",
                       SKUA_PUSH_OPTIONS(.plain_connect = self->endpoint, .plain_only = 1,
                                         .timeout_ms = 20000),
                       &self->err) != SKUA_OK) {
        return failed(self);
    }
    for (long i = 0; i < self->count; i++) {
        char text[32];
        snprintf(text, sizeof text, "task %ld", i);
        if (skua_push_send_bytes(push, text, strlen(text), 0, &self->err) != SKUA_OK) {
            return failed(self);
        }
    }
    skua_pattern_stats stats = {.size = sizeof stats};
    if (skua_push_stats(push, &stats, &self->err) != SKUA_OK) {
        return failed(self);
    }
    print_stats(&stats);
    getchar(); /* the last ones may still be in ZeroMQ's hands */
    skua_push_close(push);
    return 0;
}

static int
run_pull(program *self) {
    skua_pull *pull = NULL;
    if (skua_pull_open(&pull, self->node, "work", SKUA_PULL_OPTIONS(.plain_bind = self->endpoint),
                       &self->err) != SKUA_OK) {
        return failed(self);
    }
    printf("port %u\n", skua_pull_plain_port(pull));
    for (long i = 0; i < self->count; i++) {
        skua_msg *msg = NULL;
        if (skua_pull_recv(pull, &msg, 20000, &self->err) != SKUA_OK) {
            return failed(self);
        }
        print_frames(skua_msg_is_plain(msg) ? "plain" : "native", msg);
        skua_msg_free(msg);
    }
    skua_pattern_stats stats = {.size = sizeof stats};
    if (skua_pull_stats(pull, &stats, &self->err) != SKUA_OK) {
        return failed(self);
    }
    print_stats(&stats);
    skua_pull_close(pull);
    return 0;
}

int
main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(program *self);
    } modes[] = {{"rep", run_rep}, {"req", run_req},   {"pub", run_pub},
                 {"sub", run_sub}, {"push", run_push}, {"pull", run_pull}};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 4) {
        return 2;
    }
    program self = {.endpoint = argv[2], .count = strtol(argv[3], NULL, 10)};
    if (skua_node_open(&self.node, SKUA_NODE_OPTIONS(.name = "interop", .no_beacon = 1),
                       &self.err) != SKUA_OK) {
        return failed(&self);
    }
    int code = 2;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            code = modes[i].run(&self);
        }
    }
    if (code == 0) {
        skua_node_close(self.node);
    }
    return code;
}
