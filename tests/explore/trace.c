// SPDX-License-Identifier: MPL-2.0
// The last events of a schedule, printed with the function and the line of each. addr2line finds those; where it is missing
// the addresses in the program are printed.
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 65536, /* a power of two */
    PLACES_MAX = 1024,
    PLACE_BYTES = 120,
};

typedef struct event {
    enum event_kind kind;
    int fibre, order;
    const volatile void *address;
    uint64_t value, other;
    const void *pc;
} event;

typedef struct place {
    const void *pc;
    bool is_wrapper;
    char text[PLACE_BYTES];
} place;

static event events[EVENTS_MAX];
static uint64_t event_count;
static place places[PLACES_MAX];
static uint32_t place_count;

extern char __executable_start[];

void
explore__trace_reset(void) {
    event_count = 0;
}

void
explore__record(enum event_kind kind, const volatile void *address, uint64_t value, uint64_t other,
                int order, const void *pc) {
    events[event_count++ % EVENTS_MAX] = (event){.kind = kind,
                                                 .fibre = explore__self(),
                                                 .order = order,
                                                 .address = address,
                                                 .value = value,
                                                 .other = other,
                                                 .pc = pc};
}

static const char *
order_text(int order) {
    switch (order) {
    case __ATOMIC_RELAXED:
        return "relaxed";
    case __ATOMIC_ACQUIRE:
        return "acquire";
    case __ATOMIC_RELEASE:
        return "release";
    case __ATOMIC_ACQ_REL:
        return "acq_rel";
    case __ATOMIC_SEQ_CST:
        return "seq_cst";
    default:
        return "plain";
    }
}

/* ---- Where ---- */

/* addr2line names the innermost inlined function first; the atomics' own wrappers say nothing. */
static bool
is_wrapper(const char *line) {
    return strstr(line, "/atomic.h:") != NULL;
}

static void
keep_place(const void *pc, const char *line) {
    place *p = &places[place_count - 1];
    if (place_count > 0 && p->pc == pc && !p->is_wrapper) {
        return;
    }
    if (place_count == 0 || p->pc != pc) {
        p = &places[place_count++];
        p->pc = pc;
    }
    const char *at = strstr(line, "(inlined by) ");
    at = at ? at + strlen("(inlined by) ") : line;
    const char *folder = strstr(at, " at ");
    const char *file = strrchr(at, '/');
    const char *base = file ? file + 1 : at;
    p->is_wrapper = is_wrapper(at);
    int function = folder ? (int)(folder - at) : 0;
    snprintf(p->text, sizeof p->text, "%.*s %.60s", function < 50 ? function : 50, at, base);
}

static void
find_places(uint64_t first) {
    static const void *asked[PLACES_MAX];
    uint32_t count = 0;
    char command[32 * 1024];
    size_t used = (size_t)snprintf(command, sizeof command,
                                   "addr2line -afipe /proc/%ld/exe 2>/dev/null", (long)getpid());
    for (uint64_t i = first; i < event_count; i++) {
        const void *pc = events[i % EVENTS_MAX].pc;
        bool known = !pc || count == PLACES_MAX || used > sizeof command - 32;
        for (uint32_t k = 0; k < count && !known; k++) {
            known = asked[k] == pc;
        }
        if (!known) {
            asked[count++] = pc;
            used += (size_t)snprintf(command + used, sizeof command - used, " 0x%lx",
                                     (unsigned long)((const char *)pc - __executable_start - 1));
        }
    }
    FILE *pipe = count ? popen(command, "r") : NULL;
    char line[1024];
    uint32_t at = 0;
    place_count = 0;
    while (pipe && fgets(line, sizeof line, pipe)) {
        line[strcspn(line, "\n")] = '\0';
        bool starts = strncmp(line, "0x", 2) == 0;
        const char *text = starts ? strstr(line, ": ") : line;
        at += starts;
        if (at > 0 && at <= count && text && place_count < PLACES_MAX) {
            keep_place(asked[at - 1], starts ? text + 2 : text);
        }
    }
    if (pipe) {
        pclose(pipe);
    }
}

static void
print_place(const void *pc) {
    for (uint32_t i = 0; i < place_count; i++) {
        if (places[i].pc == pc) {
            printf("  %s", places[i].text);
            return;
        }
    }
    if (pc) {
        printf("  +0x%lx", (unsigned long)((const char *)pc - __executable_start));
    }
}

/* ---- What ---- */

static void
print_event(const event *e) {
    static const char *const names[] = {
        [EVENT_LOAD] = "load",
        [EVENT_STORE] = "store",
        [EVENT_RMW] = "rmw",
        [EVENT_CAS] = "swap",
        [EVENT_CAS_FAILED] = "swap fails",
        [EVENT_LOCK] = "lock",
        [EVENT_UNLOCK] = "unlock",
        [EVENT_FUTEX_WAIT] = "futex wait",
        [EVENT_FUTEX_WAKE] = "futex wake",
        [EVENT_WAIT] = "cond wait",
        [EVENT_NOTIFY] = "cond notify",
        [EVENT_CREATE] = "starts thread",
        [EVENT_JOIN] = "joined thread",
        [EVENT_END] = "ends",
        [EVENT_TIMEOUT] = "time is up",
    };
    char where[64] = "";
    if (e->address) {
        explore__describe(e->address, where, sizeof where);
    }
    printf("%*s%d %s", 2 + 2 * e->fibre, "", e->fibre, names[e->kind]);
    if (e->kind <= EVENT_CAS_FAILED) {
        printf(" %s", order_text(e->order));
        if (e->address) {
            printf(" %llx", (unsigned long long)e->value);
        }
    }
    if (e->kind == EVENT_LOAD && e->other) {
        printf(" (%llu stores old)", (unsigned long long)e->other);
    } else if (e->kind == EVENT_RMW || e->kind == EVENT_CAS || e->kind == EVENT_CAS_FAILED ||
               e->kind == EVENT_FUTEX_WAIT) {
        printf(" (%s %llx)", e->kind == EVENT_CAS_FAILED ? "wanted" : "was",
               (unsigned long long)e->other);
    } else if (e->kind == EVENT_CREATE || e->kind == EVENT_JOIN) {
        printf(" %llu", (unsigned long long)e->value);
    }
    printf("%s%s", where[0] ? "  " : "", where);
    print_place(e->pc);
    printf("\n");
}

void
explore__trace_print(uint32_t count) {
    uint64_t first = event_count > EVENTS_MAX ? event_count - EVENTS_MAX : 0;
    if (event_count - first > count) {
        first = event_count - count;
    }
    find_places(first);
    printf("the last %llu events (thread, what, value, where):\n",
           (unsigned long long)(event_count - first));
    for (uint64_t i = first; i < event_count; i++) {
        print_event(&events[i % EVENTS_MAX]);
    }
}
