// SPDX-License-Identifier: MPL-2.0
// A task, seen from both its ends: what a submitter says about it, what the function that runs it is given, and
// how it ended. A pool (skua/pool.h) brings the two together.
#ifndef SKUA_TASK_H
#define SKUA_TASK_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <skua/error.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SKUA_TASK_NAME_BYTES = 64,              /* a task's name with its final 0 */
    SKUA_TASK_MESSAGE_BYTES = 256,          /* why a task did not end OK, with its final 0 */
    SKUA_TASK_MAX_BYTES = 64 * 1024 * 1024, /* of one input, or of one output */
    SKUA_TASK_MAX_ATTEMPTS = 100,           /* the most that skua_task.max_attempts may ask for */
    SKUA_TASK_POISON_WORKERS = 3,           /* a task that so many nodes died of is not run again */
};

/* How a task ended: every submitted task reaches exactly one of these, once. The numbers stand on the wire. */
typedef enum skua_outcome {
    SKUA_OUTCOME_NONE = 0, /* it has not ended */
    SKUA_OUTCOME_OK = 1,   /* the function returned 0; its output is there */
    SKUA_OUTCOME_EXIT = 2, /* the function returned something else: see code and message */
    SKUA_OUTCOME_SIGNAL =
        3, /* a program was ended by a signal: see code (programs are not there yet) */
    SKUA_OUTCOME_TIMEOUT = 4,   /* its time was up first */
    SKUA_OUTCOME_CANCELLED = 5, /* on request, or because its pool was closed */
    SKUA_OUTCOME_LOST = 6, /* its node died and it may not run twice, or every attempt failed */
    SKUA_OUTCOME_REFUSED =
        7, /* nobody runs tasks of that name, or nobody may run it for us; it never started */
} skua_outcome;

/**
 * The word for an outcome: "ok", "exit", "signal", "timeout", "cancelled", "lost", "refused"; "running" for
 * SKUA_OUTCOME_NONE.
 *
 * Returns: a string that lives as long as the process; "unknown" for an unknown number.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_outcome_text(int outcome);

typedef struct skua_pool_future skua_pool_future;

/*
 * One task to run. Make one with SKUA_TASK(.name = "wordcount", ...) in C, with skua_task_init() elsewhere. The struct
 * and its strings are copied by skua_pool_submit(); for the input see the fields.
 */
typedef struct skua_task {
    size_t size;
    const char *name;  /* as it was registered, here or on a peer */
    uint32_t version;  /* as it was registered. 0: the highest that is offered */
    int32_t priority;  /* skua_priority */
    const void *input; /* may be NULL when input_bytes is 0 */
    size_t input_bytes;
    /*
     * Whose the input is. NULL and keep_input 0 (the default): it is copied. free_fn set: the pool takes the input, and calls
     * free_fn(input, free_hint) once, from any thread, when nothing reads it any more. keep_input 1: it is borrowed until the
     * future has ended, and the caller keeps it. When skua_pool_submit() fails, the input is the caller's as before.
     */
    void (*free_fn)(void *input, void *free_hint);
    void *free_hint;
    uint8_t keep_input;
    /* 1: running it twice does no harm, so it is run again elsewhere when its node dies. 0: it then ends LOST. */
    uint8_t idempotent;
    /* With node: 1: it runs on that node or not at all. 0: it is only preferred, by a factor of two in predicted time. */
    uint8_t node_only;
    uint8_t reserved_flags[5];
    const char *node; /* the name of a node, a peer's or our own. NULL: whichever is done first */
    /* It must have ended so long after its submission, else it ends TIMEOUT. 0 and SKUA_UNLIMITED: no limit. */
    int64_t timeout_ms;
    uint32_t max_attempts; /* times that it may be started. 0: 5. Not idempotent: always 1 */
    uint32_t reserved;
    /*
     * Called once when the task has ended, under no lock, on a thread of the pool's or the executor's own. It may submit,
     * look at the result and free the future; it must not block.
     */
    void (*on_done)(void *on_done_arg, skua_pool_future *future);
    void *on_done_arg;
} skua_task;

#define SKUA_TASK(...) (&(const skua_task){.size = sizeof(skua_task), __VA_ARGS__})

/**
 * Sets *task to the defaults, for languages that have no designated initialisers. `size` is sizeof *task there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_task_init(skua_task *task, size_t size);

/* How a task ended. The library fills at most `size` bytes of it: fields are only ever added at the end. */
typedef struct skua_task_result {
    size_t size;
    int32_t outcome;   /* skua_outcome */
    int32_t code;      /* EXIT: what the function returned; SIGNAL: the signal; else 0 */
    uint32_t attempts; /* times that it was handed to a backend */
    uint32_t reserved;
    const void *output; /* the future's: it lives until skua_pool_future_free() */
    size_t output_bytes;
    int64_t run_ns; /* the function's own time in the attempt that counted; 0 when it did not run */
    int64_t total_ns; /* from submission to end */
    char node[64]; /* the node that ran it last; "" when none did. A pool without a node: "local" */
    char message[SKUA_TASK_MESSAGE_BYTES]; /* why it did not end OK; "" when it did */
} skua_task_result;

/* ---- The function that runs a task ---- */

/* One run of a task, handed to its function; valid until the function returns, in its thread only. */
typedef struct skua_task_call skua_task_call;

/*
 * Runs a task: reads skua_task_input(), writes skua_task_output() and returns 0, or any other number, which reaches the
 * submitter as the result's code with outcome EXIT. It runs on a worker of the pool's executor, or, when it has been
 * found to take under 20 µs, on the thread that received it; several runs may go on at once. `arg` is skua_pool_register()'s.
 */
typedef int (*skua_task_fn)(skua_task_call *call, void *arg);

/**
 * The input as the submitter gave it. It is borrowed until the function returns; it may not be written to.
 *
 * Returns: the bytes (NULL only when there are none), with their number in *ret_size (which may be NULL).
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API const void *skua_task_input(const skua_task_call *call, size_t *ret_size);

/**
 * Makes room for the output: size_bytes bytes (not cleared) that the function fills in. A second call replaces the
 * first and invalidates its bytes. The bytes are the call's: they reach the submitter when the function returns 0 or not.
 *
 * Returns: 0 with the room in *ret_bytes, or SKUA_E_TOO_BIG, SKUA_E_NO_MEMORY.
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_task_output(skua_task_call *call, size_t size_bytes,
                                                      void **ret_bytes);

/**
 * Makes the output a copy of size_bytes bytes. The same as skua_task_output() and memcpy().
 *
 * Returns: 0, or SKUA_E_TOO_BIG, SKUA_E_NO_MEMORY.
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_task_reply(skua_task_call *call, const void *bytes,
                                                     size_t size_bytes);

/**
 * Says in words why the function is about to return something other than 0; the text (a copy, cut to
 * SKUA_TASK_MESSAGE_BYTES) reaches the submitter as the result's message.
 *
 * Returns: `code`, so that a function ends in one line: return skua_task_fail(call, 3, "…").
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API int skua_task_fail(skua_task_call *call, int code, const char *text);

/**
 * Whether the result is still wanted: long functions look now and then, and return when it is not.
 *
 * Returns: true when the task was cancelled, its time is up, or its pool is closing.
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API bool skua_task_cancelled(const skua_task_call *call);

/**
 * What is left of the task's time. A deadline travels as what is left of it, so that clocks need not agree.
 *
 * Returns: milliseconds, 0 when the time is up, SKUA_UNLIMITED when there is no deadline.
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API int64_t skua_task_time_left_ms(const skua_task_call *call);

/**
 * Which attempt this is, counted from 1; above 1 only for tasks that are marked idempotent, or that a node handed
 * back before it started them.
 *
 * Returns: the number; there are no errors.
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API uint32_t skua_task_attempt(const skua_task_call *call);

#ifdef __cplusplus
}
#endif
#endif
