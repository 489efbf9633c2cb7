// SPDX-License-Identifier: MPL-2.0
// What came out: a table for people, with each target beside its ratio, or one object of schema skua.perf/1.
#include "peers/raw.h"
#include "perf.h"

#include <skua-int/json.h>
#include <skua/version.h>

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

static int
by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double
median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return count == 0 ? 0 : (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/*
 * One sample of a row's runs: min and max over everything seen, p50 the median of the runs' medians. p99 is the median
 * of the runs' p99 where a run is a distribution, else the highest run.
 */
static perf_sample
summary(const perf_row *row) {
    perf_sample all = {0};
    double p50[PERF_RUNS_MAX], p99[PERF_RUNS_MAX];
    bool distributions = false;
    for (int i = 0; i < row->count; i++) {
        const perf_sample *run = &row->samples[i];
        p50[i] = run->p50;
        p99[i] = run->p99;
        distributions |= run->p99 > run->p50 || run->p99 < run->p50;
        all.min = i == 0 || run->min < all.min ? run->min : all.min;
        all.max = i == 0 || run->max > all.max ? run->max : all.max;
        all.lost += run->lost;
    }
    all.p50 = median(p50, row->count);
    all.p99 = distributions ? median(p99, row->count) : all.max;
    return all;
}

double
perf_row_median(const perf_row *row) {
    return summary(row).p50;
}

void
perf_describe(const perf_case *what, char *ret, size_t size) {
    const char *words[] = {what->what,     what->pattern,   what->transport,
                           what->security, what->placement, what->work};
    size_t used = 0;
    ret[0] = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (words[i] && used < size) {
            used += (size_t)snprintf(ret + used, size - used, "%s ", words[i]);
        }
    }
    struct {
        const char *format;
        uint32_t value;
    } numbers[] = {{"%u B ", what->size_bytes},          {"window %u ", what->window},
                   {"%u nodes ", what->nodes},           {"%u workers ", what->workers},
                   {"%u submitters ", what->submitters}, {"%u items ", what->items},
                   {"%u processes ", what->processes},   {"%u/s ", what->rate}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].value && used < size) {
            used += (size_t)snprintf(ret + used, size - used, numbers[i].format, numbers[i].value);
        }
    }
}

/* "1.09 <= 1.15 ok": the row against the next one, or against its bound; "no result" of one whose runs all failed. */
static void
judge(const perf_bench *bench, int i, double p50, char *ret, size_t size) {
    const perf_row *row = &bench->rows[i];
    const perf_target *target = &row->target;
    const char *sign = target->higher_better ? ">=" : "<=";
    double value = p50, limit = target->bound;
    ret[0] = 0;
    if (row->count == 0) {
        snprintf(ret, size, "no result");
        return;
    }
    if (target->speedup > 0 && target->against && target->against->count > 0) {
        double times = summary(target->against).p50 / p50;
        snprintf(ret, size, "%.2f times %s >= %.2f  %s", times, target->against->impl,
                 target->speedup, times >= target->speedup ? "ok" : "MISS");
        return;
    }
    if (target->ratio > 0 || target->excess > 0) {
        bool has_peer = i + 1 < bench->row_count && bench->rows[i + 1].what == row->what;
        double peer = has_peer ? summary(&bench->rows[i + 1]).p50 : 0;
        if (!has_peer) {
            return;
        }
        value = target->excess > 0 ? p50 - peer : peer > 0 ? p50 / peer : 0;
        limit = target->excess > 0 ? target->excess : target->ratio;
    }
    if (!(limit > 0)) {
        return;
    }
    bool met = (value > 0 || target->excess > 0) &&
               (target->higher_better ? value >= limit : value <= limit);
    int used = snprintf(ret, size, "%.3g %s %.3g  %s", value, sign, limit, met ? "ok" : "MISS");
    if (target->ratio > 0 && target->bound > 0 && used > 0 && (size_t)used < size) {
        met = target->higher_better ? p50 >= target->bound : p50 <= target->bound;
        snprintf(ret + used, size - (size_t)used, "; %.4g %s %.4g  %s", p50, sign, target->bound,
                 met ? "ok" : "MISS");
    }
}

void
perf_print(const perf_bench *bench, FILE *file) {
    fprintf(file, "%-58s %-7s %-6s %10s %10s %10s %10s %6s  %s\n", bench->name, "impl", "unit",
            "p50", "p99", "min", "max", "lost", "against the next row");
    for (int i = 0; i < bench->row_count; i++) {
        const perf_row *row = &bench->rows[i];
        perf_sample all = summary(row);
        char words[160], verdict[120];
        perf_describe(row->what, words, sizeof words);
        judge(bench, i, all.p50, verdict, sizeof verdict);
        fprintf(file, "%-58s %-7s %-6s %10.4g %10.4g %10.4g %10.4g %6llu  %s\n", words, row->impl,
                row->unit, all.p50, all.p99, all.min, all.max, (unsigned long long)all.lost,
                verdict);
    }
}

/* The value of "KEY : value" in a file of such lines, as /proc/cpuinfo; "" when there is none. */
static void
read_field(const char *path, const char *key, char *ret, size_t size) {
    char line[512];
    FILE *file = fopen(path, "r");
    ret[0] = 0;
    while (file && fgets(line, sizeof line, file)) {
        char *value = strpbrk(line, ":=");
        if (strncmp(line, key, strlen(key)) == 0 && value) {
            value += 1 + strspn(value + 1, " \t\"");
            value[strcspn(value, "\"\n")] = 0;
            snprintf(ret, size, "%s", value);
            break;
        }
    }
    if (file) {
        fclose(file);
    }
}

static void
write_machine(skua__json *json) {
    struct utsname system;
    char cpu[128], os[128], zmq[32], date[32];
    time_t now = time(NULL);
    uname(&system);
    read_field("/proc/cpuinfo", "model name", cpu, sizeof cpu);
    read_field("/etc/os-release", "PRETTY_NAME", os, sizeof os);
    raw_version(zmq, sizeof zmq);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    skua__json_key(json, "machine");
    skua__json_object(json);
    skua__json_put_text(json, "cpu", cpu);
    skua__json_put_i64(json, "cpus", perf_cpus());
    skua__json_put_text(json, "kernel", system.release);
    skua__json_put_text(json, "os", os);
    skua__json_put_text(json, "libzmq", zmq);
    skua__json_put_text(json, "skua", skua_version_string());
#ifdef NDEBUG
    skua__json_put_text(json, "build", "release");
#else
    skua__json_put_text(json, "build", "with assertions");
#endif
    skua__json_put_text(json, "date", date);
    skua__json_object_end(json);
}

static void
write_params(skua__json *json, const perf_case *what) {
    const char *keys[] = {"what", "pattern", "transport", "security", "placement", "work"};
    const char *words[] = {what->what,     what->pattern,   what->transport,
                           what->security, what->placement, what->work};
    skua__json_key(json, "params");
    skua__json_object(json);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (words[i]) {
            skua__json_put_text(json, keys[i], words[i]);
        }
    }
    const char *number_keys[] = {"size_bytes", "window", "nodes",     "workers",
                                 "submitters", "items",  "processes", "rate"};
    uint32_t numbers[] = {what->size_bytes, what->window, what->nodes,     what->workers,
                          what->submitters, what->items,  what->processes, what->rate};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i]) {
            skua__json_put_u64(json, number_keys[i], numbers[i]);
        }
    }
    skua__json_object_end(json);
}

bool
perf_write_json(const perf_bench *bench, FILE *file) {
    skua__json json;
    skua__json_to_file(&json, file);
    skua__json_object(&json);
    skua__json_put_text(&json, "schema", "skua.perf/1");
    skua__json_put_text(&json, "bench", bench->name);
    write_machine(&json);
    skua__json_key(&json, "rows");
    skua__json_array(&json);
    for (int i = 0; i < bench->row_count; i++) {
        const perf_row *row = &bench->rows[i];
        perf_sample all = summary(row);
        skua__json_object(&json);
        skua__json_put_text(&json, "impl", row->impl);
        write_params(&json, row->what);
        skua__json_put_text(&json, "unit", row->unit);
        skua__json_put_i64(&json, "n", row->count);
        skua__json_put_double(&json, "min", all.min);
        skua__json_put_double(&json, "p50", all.p50);
        skua__json_put_double(&json, "p99", all.p99);
        skua__json_put_double(&json, "max", all.max);
        skua__json_put_u64(&json, "lost", all.lost);
        skua__json_object_end(&json);
    }
    skua__json_array_end(&json);
    skua__json_object_end(&json);
    return skua__json_end(&json);
}
