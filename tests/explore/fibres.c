// SPDX-License-Identifier: MPL-2.0
// Fibres, one for each thread of the explored program, and the seeded choice of who goes next.
//
// Two ways to choose. A random walk switches at each point with a probability that the seed picks. PCT (Burckhardt et al.,
// "A randomized scheduler with probabilistic guarantees of finding bugs", 2010) runs the fibre of the highest priority
// and lowers that one at a few points: it finds what needs few, but far apart, preemptions. A fibre that
// spins, or that has run alone for long, goes last, so that no choice is unfair for ever. With either, half of the
// schedules hold a thread back now and then just before a read-modify-write, until others have written to that object
// a few times: what has changed and changed back is found so.
#include "runtime.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    CHANGES_MAX = 5,
    HOLD_ONE_IN = 6,      /* read-modify-writes, where the schedule holds threads back at all */
    HOLD_WRITES_MAX = 5,  /* for so many writes of others */
    HOLD_STEPS_MAX = 250, /* or for so long */
    TLS_BYTES_MAX = 256,
    CLOCK_BASE_NS = 1000000000,
    FAILURE_EVENTS = 120,
};

enum fibre_state {
    FIBRE_NONE,
    FIBRE_READY,
    FIBRE_BLOCKED,
    FIBRE_ENDED,
};

typedef struct fibre {
    jmp_buf context;
    ucontext_t start;
    bool begun;
    bool timed_out;
    enum fibre_state state;
    const volatile void *waits_on;
    const char *waits_for;
    int64_t deadline_ns;
    const volatile void *held_at; /* held back until it was written held_writes times */
    uint32_t held_writes;
    uint32_t held_until; /* or this step has come */
    int64_t priority;    /* the highest goes first; those that were lowered are at 0 or under */
    void *(*fn)(void *);
    void *arg;
    void *result;
    char tls[TLS_BYTES_MAX];
    view view;
} fibre;

static struct {
    fibre fibres[FIBRES_MAX];
    int count;
    int current; /* -1 outside of a schedule */
    jmp_buf controller;
    const explore_scenario *scenario;
    uint64_t seed;
    const explore_options *options;
    skua__rand choices, memory, program;
    bool by_priority;
    bool holds_back;
    uint32_t switch_one_in;
    uint32_t changes[CHANGES_MAX];
    uint32_t change_count;
    int64_t lowest; /* counts down: who spins gets it */
    uint32_t steps, alone;
    uint64_t switches;
    int64_t now_ns;
    char failure[512];
    bool failed;
} world = {.current = -1};

/* The linker makes the bounds of the section that libc.h puts thread-local variables into. */
extern char __start_explore_tls[], __stop_explore_tls[];
__attribute__((section("explore_tls"), used)) static char tls_is_not_empty[8];
static char tls_at_start[TLS_BYTES_MAX];

static size_t
tls_bytes(void) {
    return (size_t)(__stop_explore_tls - __start_explore_tls);
}

int
explore__self(void) {
    return world.current;
}

view *
explore__view(int number) {
    return &world.fibres[number].view;
}

bool
explore__is_weak(void) {
    return world.options->weak;
}

int64_t
explore__now_ns(void) {
    return world.now_ns;
}

bool
explore__chance(uint32_t n) {
    return skua__rand_below(&world.choices, n) == 0;
}

uint32_t
explore__memory_below(uint32_t bound) {
    return skua__rand_below(&world.memory, bound);
}

uint32_t
explore_below(uint32_t bound) {
    return skua__rand_below(&world.program, bound);
}

/* ---- Failure ---- */

static _Noreturn void
report_and_exit(void) {
    printf("\nFAILED: %s\n", world.failure);
    printf("scenario %s, memory %s, step %u\n", world.scenario->name,
           world.options->weak ? "weak" : "sc", world.steps);
    for (int i = 0; i < world.count; i++) {
        const fibre *f = &world.fibres[i];
        printf("  thread %d: %s%s\n", i,
               f->state == FIBRE_READY     ? "runs"
               : f->state == FIBRE_BLOCKED ? "waits for "
                                           : "has ended",
               f->state == FIBRE_BLOCKED ? f->waits_for : "");
    }
    explore__trace_print(world.options->trace ? UINT32_MAX : FAILURE_EVENTS);
    printf("replay: --scenario %s --memory %s --seed %llu\n", world.scenario->name,
           world.options->weak ? "weak" : "sc", (unsigned long long)world.seed);
    fflush(stdout);
    _exit(1);
}

void
explore__fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(world.failure, sizeof world.failure, format, args);
    va_end(args);
    world.failed = true;
    if (world.current < 0) {
        report_and_exit();
    }
    _longjmp(world.controller, 1); /* the fibre's stack may be too small to print from */
}

void
explore_check(bool ok, const char *what) {
    if (!ok) {
        explore__fail("%s", what);
    }
}

/* What assert() calls: the C library's own would end the process without the seed. */
void __assert_fail(const char *text, const char *file, unsigned line, const char *function);

void
__assert_fail(const char *text, const char *file, unsigned line, const char *function) {
    explore__fail("assertion in %s() at %s:%u: %s", function, file, line, text);
}

static void
on_crash(int number) {
    snprintf(world.failure, sizeof world.failure, "signal %d", number);
    report_and_exit();
}

void
explore__setup(void) {
    static char stack[64 * 1024];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    memcpy(tls_at_start, __start_explore_tls, tls_bytes());
    explore__memory_setup();
}

/* ---- Switching ---- */

static void
begin_fibre(void) {
    fibre *self = &world.fibres[world.current];
    self->result = self->fn(self->arg);
    explore__record(EVENT_END, NULL, 0, 0, 0, NULL);
    self->state = FIBRE_ENDED;
    explore__wake(self, UINT32_MAX);
    explore__point();
    abort(); /* nobody switches to who has ended */
}

static void
switch_to(int next) {
    fibre *self = &world.fibres[world.current], *other = &world.fibres[next];
    if (self == other) {
        return;
    }
    world.switches++;
    world.alone = 0;
    memcpy(self->tls, __start_explore_tls, tls_bytes());
    memcpy(__start_explore_tls, other->tls, tls_bytes());
    world.current = next;
    if (_setjmp(self->context) == 0) {
        if (other->begun) {
            _longjmp(other->context, 1);
        }
        other->begun = true;
        setcontext(&other->start);
    }
}

int
explore__fibre_new(void *(*fn)(void *), void *arg) {
    if (world.count == FIBRES_MAX) {
        return -1;
    }
    int number = world.count++;
    fibre *f = &world.fibres[number];
    memset(&f->begun, 0, offsetof(fibre, view) - offsetof(fibre, begun));
    f->view.count = 0;
    memset(f->view.clock, 0, sizeof f->view.clock);
    f->state = FIBRE_READY;
    f->fn = fn;
    f->arg = arg;
    f->priority = 1 + skua__rand_below(&world.choices, 1000000);
    memcpy(f->tls, tls_at_start, tls_bytes());
    f->view.clock[number] = 1;
    if (world.current >= 0) {
        explore__join_view(&f->view, &world.fibres[world.current].view);
        explore__tick(world.current);
    }
    getcontext(&f->start);
    f->start.uc_stack.ss_sp = explore__stack_of(number);
    f->start.uc_stack.ss_size = FIBRE_STACK_BYTES;
    f->start.uc_link = NULL;
    makecontext(&f->start, begin_fibre, 0);
    return number;
}

void *
explore__fibre_join(int number) {
    fibre *f = &world.fibres[number];
    explore__point();
    while (f->state != FIBRE_ENDED) {
        explore__block(f, "the end of a thread", INT64_MAX);
    }
    explore__join_view(&world.fibres[world.current].view, &f->view);
    return f->result;
}

/* ---- Choosing ---- */

/* When nobody can run, time passes until the first deadline. */
static void
all_are_blocked(void) {
    int64_t first_ns = INT64_MAX;
    bool all_ended = true;
    for (int i = 0; i < world.count; i++) {
        const fibre *f = &world.fibres[i];
        all_ended = all_ended && f->state == FIBRE_ENDED;
        if (f->state == FIBRE_BLOCKED && f->deadline_ns < first_ns) {
            first_ns = f->deadline_ns;
        }
    }
    if (all_ended) {
        _longjmp(world.controller, 2);
    }
    if (first_ns == INT64_MAX) {
        explore__fail("deadlock: every thread waits");
    }
    explore__pass(first_ns - world.now_ns);
}

void
explore__pass(int64_t ns) {
    world.now_ns += ns > 0 ? ns : 0;
    for (int i = 0; i < world.count; i++) {
        fibre *f = &world.fibres[i];
        if (f->state == FIBRE_BLOCKED && f->deadline_ns <= world.now_ns) {
            f->state = FIBRE_READY;
            f->timed_out = true;
        }
    }
}

static bool
may_run(const fibre *f, bool held_too) {
    return f->state == FIBRE_READY && (held_too || !f->held_at || f->held_until <= world.steps);
}

static int
highest(bool held_too) {
    int best = -1;
    for (int i = 0; i < world.count; i++) {
        if (may_run(&world.fibres[i], held_too) &&
            (best < 0 || world.fibres[i].priority > world.fibres[best].priority)) {
            best = i;
        }
    }
    return best;
}

static int
any_ready(bool held_too) {
    int ready[FIBRES_MAX];
    uint32_t count = 0;
    for (int i = 0; i < world.count; i++) {
        if (may_run(&world.fibres[i], held_too)) {
            ready[count++] = i;
        }
    }
    return count ? ready[skua__rand_below(&world.choices, count)] : -1;
}

static void
demote(void) {
    world.fibres[world.current].priority = --world.lowest;
}

static int
choose(void) {
    const fibre *self = &world.fibres[world.current];
    int next = -1;
    if (!world.by_priority && may_run(self, false) && !explore__chance(world.switch_one_in)) {
        return world.current;
    }
    while (next < 0) {
        for (int held_too = 0; held_too < 2 && next < 0; held_too++) {
            next = world.by_priority ? highest(held_too) : any_ready(held_too);
        }
        if (next < 0) {
            all_are_blocked();
        }
    }
    return next;
}

void
explore__before_rmw(const volatile void *object) {
    if (world.current >= 0 && world.holds_back && explore__chance(HOLD_ONE_IN)) {
        fibre *self = &world.fibres[world.current];
        self->held_at = object;
        self->held_writes = 1 + skua__rand_below(&world.choices, HOLD_WRITES_MAX);
        self->held_until = world.steps + HOLD_STEPS_MAX;
        explore__point();
        self->held_at = NULL;
    }
}

void
explore__after_write(const volatile void *object) {
    for (int i = 0; world.holds_back && i < world.count; i++) {
        fibre *f = &world.fibres[i];
        if (f->held_at == object && --f->held_writes == 0) {
            f->held_at = NULL;
        }
    }
}

void
explore__point(void) {
    if (world.current < 0) {
        return;
    }
    if (++world.steps > STEPS_MAX) {
        explore__fail("livelock: %d accesses and no end", STEPS_MAX);
    }
    if (world.by_priority) {
        for (uint32_t i = 0; i < world.change_count; i++) {
            if (world.changes[i] == world.steps) {
                world.fibres[world.current].priority = -(int64_t)i; /* in no order of time */
            }
        }
        if (++world.alone > ALONE_MAX) {
            demote();
        }
    }
    switch_to(choose());
}

void
explore__spins(void) {
    if (world.current < 0) {
        return;
    }
    if (world.by_priority) {
        demote();
    }
    explore__point();
}

bool
explore__block(const volatile void *on, const char *why, int64_t deadline_ns) {
    fibre *self = &world.fibres[world.current];
    self->state = FIBRE_BLOCKED;
    self->waits_on = on;
    self->waits_for = why;
    self->deadline_ns = deadline_ns;
    self->timed_out = false;
    explore__point();
    self->waits_on = NULL;
    return !self->timed_out;
}

uint32_t
explore__wake(const volatile void *on, uint32_t count) {
    uint32_t woken = 0;
    uint32_t first = world.count ? explore_below((uint32_t)world.count) : 0;
    for (int i = 0; i < world.count && woken < count; i++) {
        fibre *f = &world.fibres[(first + (uint32_t)i) % (uint32_t)world.count];
        if (f->state == FIBRE_BLOCKED && f->waits_on == on) {
            f->state = FIBRE_READY;
            woken++;
        }
    }
    return woken;
}

/* ---- One schedule ---- */

static void
choose_strategy(void) {
    static const uint32_t one_in[] = {1, 2, 4, 12, 40};
    skua__rand *rand = &world.choices;
    world.by_priority = skua__rand_below(rand, 2) == 0;
    world.holds_back = skua__rand_below(rand, 2) == 0;
    world.switch_one_in = one_in[skua__rand_below(rand, sizeof one_in / sizeof *one_in)];
    world.change_count = world.by_priority ? 1 + skua__rand_below(rand, CHANGES_MAX) : 0;
    for (uint32_t i = 0; i < world.change_count; i++) {
        world.changes[i] = 1 + skua__rand_below(rand, world.options->steps_expected);
    }
}

static void *
run_scenario(void *arg) {
    const explore_scenario *scenario = arg;
    scenario->run();
    return NULL;
}

void
explore__run(const explore_scenario *scenario, uint64_t seed, const explore_options *options,
             explore_totals *totals) {
    skua__rand seeds = {.state = seed};
    world.choices.state = skua__rand_next(&seeds);
    world.memory.state = skua__rand_next(&seeds);
    world.program.state = skua__rand_next(&seeds);
    world.scenario = scenario;
    world.seed = seed;
    world.options = options;
    world.count = 0;
    world.current = -1;
    world.steps = world.alone = 0;
    world.switches = 0;
    world.now_ns = CLOCK_BASE_NS;
    world.lowest = -CHANGES_MAX;
    choose_strategy();
    explore__memory_reset();
    explore__posix_reset();
    explore__host_reset();
    explore__trace_reset();
    explore__fibre_new(run_scenario, (void *)(uintptr_t)scenario);
    memcpy(__start_explore_tls, tls_at_start, tls_bytes());
    int end = _setjmp(world.controller);
    if (end == 0) {
        world.current = 0;
        world.fibres[0].begun = true;
        setcontext(&world.fibres[0].start);
    }
    world.current = -1;
    if (!world.failed && explore__blocks_left() > 0) {
        snprintf(world.failure, sizeof world.failure, "%u blocks were not released",
                 explore__blocks_left());
        world.failed = true;
    }
    if (world.failed) {
        report_and_exit();
    }
    totals->schedules++;
    totals->steps += world.steps;
    totals->switches += world.switches;
    if (options->trace) {
        explore__trace_print(UINT32_MAX);
    }
}
