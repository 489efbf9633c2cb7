// SPDX-License-Identifier: MPL-2.0
// `skua demo [PATH…]`: several nodes find each other and do real work together, one is killed, and nothing is lost.
#include "cli.h"

#include "demo.h"
#include <inttypes.h>
#include <skua-int/clock.h>
#include <skua-int/mem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- What is counted ---- */

/* The folder that this program was built from, if it still lies in its build folder. */
static bool
project_folder(char *ret, size_t size) {
    char program[3000];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) {
        return false;
    }
    program[length] = 0;
    for (int up = 0; up < 3; up++) { /* ROOT/build/tools/skua */
        char *slash = strrchr(program, '/');
        if (!slash) {
            return false;
        }
        *slash = 0;
    }
    char probe[3100];
    snprintf(probe, sizeof probe, "%s/lib/base/skua/errors.def", program);
    return access(probe, R_OK) == 0 && snprintf(ret, size, "%s", program) < (int)size;
}

/* The defaults that exist on this machine; a build folder is no part of the project's own files. */
static skua_status
add_defaults(demo *self) {
    static const char *const system_paths[] = {"/usr/share/common-licenses", "/usr/share/doc"};
    static const char *const own_paths[] = {
        "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "lib",
        "patterns",  "sched",           "gpu",          "tools",   "bindings-examples",
        "perf",      "tests",           "docs"};
    cli *tool = self->cli;
    skua_status status = SKUA_OK;
    for (size_t i = 0; !status && i < sizeof system_paths / sizeof system_paths[0]; i++) {
        if (access(system_paths[i], R_OK) == 0) {
            status = demo_input_add(&self->input, system_paths[i], &tool->err);
        }
    }
    char root[3000], path[3100];
    bool found = project_folder(root, sizeof root);
    for (size_t i = 0; found && !status && i < sizeof own_paths / sizeof own_paths[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", root, own_paths[i]);
        if (access(path, R_OK) == 0) {
            status = demo_input_add(&self->input, path, &tool->err);
        }
    }
    return status;
}

static skua_status
find_input(demo *self, uint64_t least_bytes, size_t *ret_chunk_bytes) {
    cli *tool = self->cli;
    skua_status status = tool->arg_count ? SKUA_OK : add_defaults(self);
    for (int i = 0; !status && i < tool->arg_count; i++) {
        status = demo_input_add(&self->input, tool->args[i], &tool->err);
    }
    if (status) {
        return status;
    }
    uint64_t all = self->input.size_bytes > least_bytes ? self->input.size_bytes : least_bytes;
    uint64_t chunk = all / DEMO_CHUNKS;
    chunk = chunk > DEMO_CHUNK_BYTES ? DEMO_CHUNK_BYTES : chunk;
    chunk = chunk < DEMO_LEAST_CHUNK_BYTES ? DEMO_LEAST_CHUNK_BYTES : chunk;
    *ret_chunk_bytes = (size_t)chunk;
    return demo_input_start(&self->input, (size_t)chunk, least_bytes, &tool->err);
}

/* ---- What came out ---- */

static skua_status
write_counts(demo *self, const char *path) {
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (!file) {
        return cli_fail(self->cli, SKUA_E_FILE, "cannot write \"%s\"", path);
    }
    skua_status status = demo_words_print(&self->words, self->input.leading, file);
    if (file != stdout && fclose(file) != 0) {
        status = SKUA_E_FILE;
    }
    return status ? cli_fail(self->cli, status, "cannot write \"%s\"", path) : SKUA_OK;
}

static void
print_top(demo *self, const demo_word *const *sorted) {
    cli_say(self->cli, "the %d most frequent words:\n", DEMO_TOP);
    for (size_t i = 0; i < DEMO_TOP && i < self->words.count; i++) {
        cli_say(self->cli, "%12" PRIu64 "  %-16.*s%s", sorted[i]->count, (int)sorted[i]->size,
                self->words.text + sorted[i]->at, i % 2 ? "\n" : "");
    }
    cli_say(self->cli, "%s", self->words.count % 2 && self->words.count < DEMO_TOP ? "\n" : "");
}

/* Of a node's workers' time, how much was spent in our tasks; a node that was killed lived shorter, which is not told. */
static double
busy_percent(const demo *self, const skua_pool_backend *backend) {
    double all_ns = (double)self->took_ns * (backend->workers ? backend->workers : 1);
    return all_ns > 0 ? 100.0 * (double)backend->busy_ns / all_ns : 0;
}

static void
print_nodes(demo *self) {
    if (self->cli->json || self->cli->quiet) {
        return;
    }
    cli_table table;
    cli_table_init(&table, 6, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4);
    static const char *const heads[] = {"NODE", "TASKS", "RETRIES", "BYTES", "BUSY %", ""};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        cli_table_put(&table, "%s", heads[i]);
    }
    for (size_t i = 0; i < DEMO_NODES; i++) {
        const demo_child *child = &self->children[i];
        skua_pool_backend backend = {.size = sizeof backend};
        char bytes[16];
        (void)demo_backend_of(self, child->name, &backend);
        cli_table_put(&table, "%s", child->name);
        cli_table_put(&table, "%" PRIu64, backend.tasks);
        cli_table_put(&table, "%" PRIu64, backend.retries);
        cli_table_put(&table, "%s", cli_bytes_text(backend.sent_bytes, bytes));
        cli_table_put(&table, "%.0f", busy_percent(self, &backend));
        cli_table_put(&table, "%s", child == self->victim ? "(killed)" : "");
    }
    cli_table_print(&table, stdout, self->cli->colour_out);
}

static skua_status
answer_json(demo *self, const demo_word *const *sorted) {
    skua__json *json = cli_answer(self->cli);
    skua__json_put_bool(json, "ok", true);
    skua__json_put_u64(json, "files", self->input.count);
    skua__json_put_u64(json, "bytes", self->input.read_bytes);
    skua__json_put_u64(json, "chunks", self->chunks);
    skua__json_put_u64(json, "words", self->words.total);
    skua__json_put_u64(json, "different_words", self->words.count);
    skua__json_put_double(json, "seconds", (double)self->took_ns / 1e9);
    skua__json_put_u64(json, "retries", self->retries);
    skua__json_key(json, "killed");
    skua__json_object(json);
    skua__json_put_text(json, "name", self->victim ? self->victim->name : NULL);
    skua__json_put_u64(json, "unacknowledged_chunks", self->victim_chunks);
    skua__json_object_end(json);
    skua__json_key(json, "nodes");
    skua__json_array(json);
    for (size_t i = 0; i < DEMO_NODES; i++) {
        skua_pool_backend backend = {.size = sizeof backend};
        (void)demo_backend_of(self, self->children[i].name, &backend);
        skua__json_object(json);
        skua__json_put_text(json, "name", self->children[i].name);
        skua__json_put_u64(json, "tasks", backend.tasks);
        skua__json_put_u64(json, "retries", backend.retries);
        skua__json_put_u64(json, "bytes", backend.sent_bytes);
        skua__json_put_double(json, "busy_percent", busy_percent(self, &backend));
        skua__json_object_end(json);
    }
    skua__json_array_end(json);
    skua__json_key(json, "top");
    skua__json_array(json);
    for (size_t i = 0; i < DEMO_TOP && i < self->words.count; i++) {
        skua__json_object(json);
        skua__json_key(json, "word");
        skua__json_text_n(json, self->words.text + sorted[i]->at, sorted[i]->size);
        skua__json_put_u64(json, "count", sorted[i]->count);
        skua__json_object_end(json);
    }
    skua__json_array_end(json);
    skua__json_key(json, "device");
    skua__json_object(json);
    skua__json_put_text(json, "name", self->device.skipped[0] ? NULL : self->device.name);
    skua__json_put_text(json, "skipped", self->device.skipped[0] ? self->device.skipped : NULL);
    skua__json_key(json, "words_by_length");
    skua__json_array(json);
    for (size_t i = 0; i < DEMO_LENGTHS; i++) {
        skua__json_u64(json, self->device.histogram[i]);
    }
    skua__json_array_end(json);
    skua__json_object_end(json);
    skua__json_key(json, "topics");
    skua__json_object(json);
    skua__json_put_u64(json, "subscribers", DEMO_SUBSCRIBERS);
    skua__json_put_u64(json, "sent", self->ledger.sent);
    skua__json_put_u64(json, "confirmed", self->ledger.confirmed);
    skua__json_put_u64(json, "unconfirmed", self->ledger.unconfirmed);
    skua__json_object_end(json);
    return cli_answer_end(self->cli);
}

static skua_status
count(demo *self, size_t chunk_bytes) {
    cli *tool = self->cli;
    char bytes[16], rate[16];
    cli_say(tool, "counting the words of %zu text files in chunks of %zu kB\n", self->input.count,
            (chunk_bytes + 512) / 1024);
    skua_status status = demo_progress_start(self);
    if (!status) {
        status = demo_count(self);
    }
    demo_progress_stop(self);
    if (status) {
        return status;
    }
    double seconds = (double)self->took_ns / 1e9;
    cli_say(tool,
            "%s (read %zu times), %" PRIu64 " chunks, %" PRIu64
            " words, %zu different, in %.2f s (%s/s)\n",
            cli_bytes_text(self->input.read_bytes, bytes), self->input.rounds, self->chunks,
            self->words.total, self->words.count, seconds,
            cli_bytes_text((uint64_t)((double)self->input.read_bytes / seconds), rate));
    const char *path = cli_flag_value(tool, "--counts");
    status = path ? write_counts(self, path) : SKUA_OK;
    if (!status && !self->victim) {
        status =
            cli_fail(tool, SKUA_E_INTERNAL,
                     "no node could be killed: none held %d chunks at a time; give it more text",
                     DEMO_VICTIM_CHUNKS);
    }
    if (!status && self->retries == 0) {
        status = cli_fail(tool, SKUA_E_INTERNAL, "a node was killed, and yet nothing was retried");
    }
    return status;
}

static skua_status
show(demo *self) {
    const demo_word **sorted = demo_words_sorted(&self->words, true);
    if (!sorted) {
        return cli_fail(self->cli, SKUA_E_NO_MEMORY, "no memory to sort the words");
    }
    skua_status status = SKUA_OK;
    if (self->cli->json) {
        status = answer_json(self, sorted);
    } else {
        print_top(self, sorted);
        print_nodes(self);
    }
    skua__mem_free(NULL, (void *)sorted);
    return status;
}

/* How this program is called from here: from the working folder on, where it lies below it. */
static const char *
own_name(char *buffer, size_t size) {
    char here[3000];
    ssize_t length = readlink("/proc/self/exe", buffer, size - 1);
    if (length <= 0) {
        return "skua";
    }
    buffer[length] = 0;
    size_t below = getcwd(here, sizeof here) ? strlen(here) : 0;
    bool inside = below > 1 && strncmp(buffer, here, below) == 0 && buffer[below] == '/';
    return inside ? buffer + below + 1 : buffer;
}

static void
print_next(void) {
    char buffer[3000];
    const char *program = own_name(buffer, sizeof buffer);
    printf("demo: ok\n"
           "  %s node --serve   (in two terminals; then: nodes, submit echo hello)\n"
           "  %s sub weather    (and in another terminal: pub weather oslo rain)\n"
           "  %s help           (all commands; errors explains every error)\n",
           program, program, program);
}

static skua_status
run_demo(cli *self) {
    demo run = {.cli = self};
    int64_t megabytes = DEMO_LEAST_MEGABYTES;
    const char *given = cli_flag_value(self, "--megabytes");
    if (given) {
        skua_status status = cli_parse_number(self, "--megabytes", given, 0, 1 << 20, &megabytes);
        if (status) {
            return status;
        }
    }
    demo_input_init(&run.input, NULL);
    demo_words_init(&run.words, NULL);
    size_t chunk_bytes = 0;
    skua_status status = find_input(&run, (uint64_t)megabytes * 1000000, &chunk_bytes);
    if (!status) {
        status = demo_nodes_start(&run);
    }
    if (!status) {
        status = count(&run, chunk_bytes);
    }
    if (!status && !self->json) {
        status = show(&run);
    }
    if (!status) {
        status = demo_device(&run);
    }
    if (!status) {
        status = demo_topics(&run);
    }
    skua_status stopped = demo_nodes_stop(&run);
    status = status ? status : stopped;
    if (!status && self->json) {
        status = show(&run);
    }
    demo_nodes_fini(&run);
    demo_input_fini(&run.input);
    demo_words_fini(&run.words);
    if (!status && !self->json) {
        print_next();
    }
    return status;
}

static const cli_flag demo_flags[] = {
    {"--counts", "FILE",
     "write all counts to FILE as `sort | uniq -c` would (- is standard output)"},
    {"--megabytes", "N", "read the files again and again up to so much (64); 0: once"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_demo = {
    .name = "demo",
    .form = "[PATH...]",
    .summary = "Count words on several nodes while one of them is killed",
    .details = "Starts three nodes on loopback, in a fleet of their own, and counts the words of "
               "every text file under the\n"
               "PATHs on them (by default /usr/share/common-licenses, /usr/share/doc and the "
               "project's own files). A node that\n"
               "holds work is killed in the middle; the counts are exact all the same. It fails "
               "when they would not be.\n"
               "Where there is an OpenCL device, it counts the lengths of the words once more.",
    .examples = "skua demo\nskua demo ~/texts --megabytes 0 --counts counts.txt",
    .flags = demo_flags,
    .args_max = 1000,
    .run = run_demo,
};
