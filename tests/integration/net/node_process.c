// SPDX-License-Identifier: MPL-2.0
// A node in a process of its own, for tests to start, stop, freeze and kill. It says what happens on stdout, one line
// each, and does what stdin says: offer, watch, peers, stats, record, sample, pub, say, sub, hear, close.
#include <skua-int/clock.h>
#include <skua-int/node_int.h>
#include <skua/node.h>
#include <skua/pubsub.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 16 };

struct settings {
    skua_node_options options;
    const char *peers[ARGUMENTS_MAX];
    const char *interfaces[ARGUMENTS_MAX];
    uint8_t id[16];
};

/* "key=value" arguments; peer= and interface= may come several times. */
static bool
read_argument(struct settings *settings, const char *argument) {
    const char *value = strchr(argument, '=');
    if (!value) {
        return false;
    }
    size_t length = (size_t)(value - argument);
    long number = strtol(++value, NULL, 10);
    skua_node_options *options = &settings->options;
    if (length == 4 && !strncmp(argument, "name", length)) {
        options->name = value;
    } else if (length == 5 && !strncmp(argument, "fleet", length)) {
        options->fleet_dir = value;
    } else if (length == 4 && !strncmp(argument, "peer", length)) {
        settings->peers[options->peer_count++] = value;
    } else if (length == 9 && !strncmp(argument, "interface", length)) {
        settings->interfaces[options->interface_count++] = value;
    } else if (length == 6 && !strncmp(argument, "beacon", length)) {
        options->beacon_port = (uint16_t)number;
        options->no_beacon = number == 0;
    } else if (length == 2 && !strncmp(argument, "hb", length)) {
        options->heartbeat_ms = (int32_t)number;
    } else if (length == 3 && !strncmp(argument, "min", length)) {
        options->protocol_min = (uint16_t)number;
    } else if (length == 3 && !strncmp(argument, "max", length)) {
        options->protocol_max = (uint16_t)number;
    } else if (length == 2 && !strncmp(argument, "id", length)) {
        memset(settings->id, (int)number, sizeof settings->id);
        options->id = settings->id;
    } else if (length == 4 && !strncmp(argument, "tape", length)) {
        options->recorder_file = value;
    } else {
        return false;
    }
    return true;
}

static void
on_provider(void *arg, skua__provider_event event, const skua__provider *provider) {
    (void)arg;
    printf("%s %s %s:%u\n", event == SKUA__PROVIDER_UP ? "UP" : "DOWN", provider->name,
           provider->host, provider->port);
}

static void
tell_events(skua_node *node) {
    static const char *const kinds[] = {"?", "JOIN", "SUSPECT", "ALIVE", "LEAVE"};
    static const char *const reasons[] = {"none",    "bye",     "gone",    "silent",
                                          "restart", "expired", "refused", "unreachable"};
    skua_node_event event = {.size = sizeof event};
    while (skua_node_next_event(node, &event, 0, NULL) == SKUA_OK) {
        printf("%s %s %s %s %lld\n", kinds[event.kind], event.name, reasons[event.reason],
               event.endpoint, (long long)(event.at_ns / 1000));
    }
}

static void
tell_peers(skua_node *node) {
    skua_peer peers[64];
    size_t count = 0;
    if (skua_node_peers(node, peers, sizeof peers[0], 64, &count, NULL)) {
        return;
    }
    size_t alive = 0;
    for (size_t i = 0; i < count && i < 64; i++) {
        alive += peers[i].state == SKUA_PEER_ALIVE;
    }
    printf("PEERS %zu\n", alive);
}

static void
tell_stats(skua_node *node) {
    skua_node_counters counters = {.size = sizeof counters};
    if (skua_node_stats(node, &counters, NULL)) {
        return;
    }
    printf("STATS zap_unknown=%llu zap_expired=%llu beacon_bad=%llu beacon_fleet=%llu "
           "beacon_mac=%llu intro_bad=%llu intro_certificate=%llu control_bad=%llu "
           "version=%llu identity=%llu dials=%llu failed=%llu beacons=%llu sent=%llu "
           "intros=%llu frames=%llu replay=%llu\n",
           (unsigned long long)counters.zap_refused_unknown,
           (unsigned long long)counters.zap_refused_expired,
           (unsigned long long)counters.beacons_dropped_malformed,
           (unsigned long long)counters.beacons_dropped_fleet,
           (unsigned long long)counters.beacons_dropped_mac,
           (unsigned long long)counters.introductions_dropped_malformed,
           (unsigned long long)counters.introductions_dropped_certificate,
           (unsigned long long)counters.control_dropped_malformed,
           (unsigned long long)counters.control_dropped_version,
           (unsigned long long)counters.control_dropped_identity,
           (unsigned long long)counters.dials, (unsigned long long)counters.dials_failed,
           (unsigned long long)counters.beacons_received, (unsigned long long)counters.beacons_sent,
           (unsigned long long)counters.introductions_made,
           (unsigned long long)counters.control_received,
           (unsigned long long)counters.beacons_dropped_replay);
}

/* CPU used by this process so far, and its private memory now. */
static void
tell_sample(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    long cpu_us = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec +
                  used.ru_stime.tv_usec;
    long private_kb = 0, kb;
    char line[256];
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "Private_Clean: %ld", &kb) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &kb) == 1) {
            private_kb += kb;
        }
    }
    if (file) {
        fclose(file);
    }
    printf("SAMPLE %ld %ld\n", cpu_us, private_kb);
}

/* What this process publishes and hears: numbers that rise by one. */
static struct voice {
    skua_pub *pub;
    skua_sub *sub;
    uint64_t said;
} voice;

/* Publishes the next `count` numbers, when so many subscribers are there. */
static void
say(unsigned long count, size_t listeners) {
    skua_error err;
    if (listeners && skua_pub_await_subs(voice.pub, "n", listeners, 60000, &err)) {
        printf("ERROR %s %s\n", err.code, err.message);
        return;
    }
    while (count-- > 0) {
        uint64_t number = ++voice.said;
        if (skua_pub_send_bytes(voice.pub, "n", &number, sizeof number, 20000, &err)) {
            printf("ERROR %s %s\n", err.code, err.message);
            return;
        }
    }
    printf("SAID %llu\n", (unsigned long long)voice.said);
}

/* Listens until a number is heard, and tells how many came, and how many of them not after all that came before. */
static void
hear(uint64_t until) {
    uint64_t last = 0, count = 0, again = 0;
    while (last < until) {
        skua_error err;
        skua_msg *msg = NULL;
        uint64_t number = 0;
        if (skua_sub_recv(voice.sub, &msg, 60000, &err)) {
            printf("ERROR %s %s\n", err.code, err.message);
            return;
        }
        memcpy(&number, skua_msg_data(msg, 0), sizeof number);
        skua_msg_free(msg);
        count++;
        again += number <= last;
        last = number > last ? number : last;
    }
    printf("HEARD %llu count=%llu again=%llu\n", (unsigned long long)last,
           (unsigned long long)count, (unsigned long long)again);
}

static void
open_voice(skua_node *node, const char *kind, const char *service) {
    skua_error err;
    skua_status status = !strcmp(kind, "pub") ? skua_pub_open(&voice.pub, node, service, NULL, &err)
                                              : skua_sub_open(&voice.sub, node, service,
                                                              SKUA_SUB_OPTIONS(.topic = "n"), &err);
    if (status) {
        printf("ERROR %s %s\n", err.code, err.message);
    } else {
        printf("OPEN %s\n", kind);
    }
}

/* Returns false when the process shall end. */
static bool
do_command(skua_node *node, char *line) {
    skua_error err;
    char word[16] = "", name[64] = "";
    unsigned port = 0;
    sscanf(line, "%15s %63s %u", word, name, &port);
    if (!strcmp(word, "offer")) {
        uint32_t offer;
        if (skua__node_offer(node, SKUA__SERVICE_PUB, name, 1, (uint16_t)port, SKUA__ROLE_PUBLISH,
                             &offer, &err)) {
            printf("ERROR %s %s\n", err.code, err.message);
        }
    } else if (!strcmp(word, "watch")) {
        skua__watch *watch;
        if (skua__node_watch(node, SKUA__SERVICE_PUB, name, SKUA__ROLE_SUBSCRIBE, on_provider, NULL,
                             &watch, &err)) {
            printf("ERROR %s %s\n", err.code, err.message);
        }
    } else if (!strcmp(word, "peers")) {
        tell_peers(node);
    } else if (!strcmp(word, "stats")) {
        tell_stats(node);
    } else if (!strcmp(word, "sample")) {
        tell_sample();
    } else if (!strcmp(word, "await")) {
        if (skua_node_await_peers(node, (size_t)strtoul(name, NULL, 10), (int64_t)port, &err)) {
            printf("ERROR %s %s\n", err.code, err.message);
        } else {
            printf("AWAITED\n");
        }
    } else if (!strcmp(word, "pub") || !strcmp(word, "sub")) {
        open_voice(node, word, name);
    } else if (!strcmp(word, "say")) {
        say(strtoul(name, NULL, 10), port);
    } else if (!strcmp(word, "hear")) {
        hear(strtoul(name, NULL, 10));
    } else if (!strcmp(word, "close")) {
        return false;
    }
    return true;
}

static void
serve(skua_node *node) {
    char line[256];
    size_t used = 0;
    for (;;) {
        struct pollfd fds[] = {{.fd = 0, .events = POLLIN},
                               {.fd = skua_node_event_fd(node), .events = POLLIN}};
        if (poll(fds, 2, -1) < 0) {
            continue;
        }
        if (fds[1].revents) {
            tell_events(node);
        }
        if (!fds[0].revents) {
            continue;
        }
        ssize_t got = read(0, line + used, sizeof line - 1 - used);
        if (got <= 0) {
            return; /* whoever started us is gone */
        }
        used += (size_t)got;
        line[used] = 0;
        for (char *end; (end = strchr(line, '\n')) != NULL;) {
            *end = 0;
            if (!do_command(node, line)) {
                return;
            }
            used -= (size_t)(end + 1 - line);
            memmove(line, end + 1, used + 1);
        }
    }
}

int
main(int argc, char **argv) {
    struct settings settings = {.options = {.size = sizeof settings.options}};
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (i > ARGUMENTS_MAX || !read_argument(&settings, argv[i])) {
            fprintf(stderr, "unknown argument %s\n", argv[i]);
            return 2;
        }
    }
    settings.options.peers = settings.peers;
    settings.options.interfaces = settings.interfaces;
    skua_error err;
    skua_node *node = NULL;
    int64_t begun_ns = skua__clock_ns();
    if (skua_node_open(&node, &settings.options, &err)) {
        printf("ERROR %s %s\n", err.code, err.message);
        return 1;
    }
    printf("READY %s %s %lld\n", skua_node_endpoint(node), skua_node_id(node),
           (long long)((skua__clock_ns() - begun_ns) / 1000));
    serve(node);
    skua_sub_close(voice.sub);
    skua_pub_close(voice.pub);
    begun_ns = skua__clock_ns();
    skua_node_close(node);
    printf("CLOSED %lld\n", (long long)((skua__clock_ns() - begun_ns) / 1000));
    return 0;
}
