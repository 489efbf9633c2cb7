// SPDX-License-Identifier: MPL-2.0
// What a task's function sees: its input, the room for its output, and whether anybody still wants it.
#include <skua-int/pool_int.h>

#include <string.h>

void
skua__call_init(struct skua_task_call *call, const skua_allocator *hook, const void *input,
                size_t input_bytes, int64_t deadline_ns, uint32_t attempt) {
    call->hook = hook;
    call->input = input;
    call->input_bytes = input_bytes;
    call->output = NULL;
    call->output_bytes = 0;
    call->message = NULL;
    call->deadline_ns = deadline_ns;
    call->attempt = attempt;
    atomic_init(&call->cancelled, false);
}

static void
drop_output(struct skua_task_call *call) {
    if (call->output != call->small) {
        skua__mem_free(call->hook, call->output);
    }
    call->output = NULL;
    call->output_bytes = 0;
}

void
skua__call_fini(struct skua_task_call *call) {
    drop_output(call);
    call->message = skua__mem_free(call->hook, call->message);
}

const void *
skua_task_input(const skua_task_call *call, size_t *ret_size) {
    if (ret_size) {
        *ret_size = call->input_bytes;
    }
    return call->input_bytes ? call->input : NULL;
}

skua_status
skua_task_output(skua_task_call *call, size_t size_bytes, void **ret_bytes) {
    if (size_bytes > SKUA_TASK_MAX_BYTES) {
        return SKUA_E_TOO_BIG;
    }
    drop_output(call);
    void *room = call->small;
    if (size_bytes > sizeof call->small) {
        const skua_allocator *hook = call->hook;
        room = hook->allocate(hook->ctx, size_bytes); /* not zeroed: it is about to be filled */
        if (!room) {
            return SKUA_E_NO_MEMORY;
        }
    }
    call->output = room;
    call->output_bytes = size_bytes;
    *ret_bytes = room;
    return SKUA_OK;
}

skua_status
skua_task_reply(skua_task_call *call, const void *bytes, size_t size_bytes) {
    void *room;
    skua_status status = skua_task_output(call, size_bytes, &room);
    if (!status && size_bytes) {
        memcpy(room, bytes, size_bytes);
    }
    return status;
}

int
skua_task_fail(skua_task_call *call, int code, const char *text) {
    skua__mem_free(call->hook, call->message);
    size_t size = text ? strnlen(text, SKUA_TASK_MESSAGE_BYTES - 1) : 0;
    call->message = skua__mem_new(call->hook, size + 1); /* no memory: the code alone must do */
    if (call->message && size) {
        memcpy(call->message, text, size);
    }
    return code;
}

bool
skua_task_cancelled(const skua_task_call *call) {
    /* relaxed: a function that sees it one look later has lost nothing. */
    return atomic_load_explicit(&call->cancelled, memory_order_relaxed) ||
           (call->deadline_ns != SKUA_NEVER_NS && skua__clock_ns() >= call->deadline_ns);
}

int64_t
skua_task_time_left_ms(const skua_task_call *call) {
    if (call->deadline_ns == SKUA_NEVER_NS) {
        return SKUA_UNLIMITED;
    }
    int64_t left_ns = call->deadline_ns - skua__clock_ns();
    return left_ns <= 0 ? 0 : (left_ns + SKUA_NS_PER_MS - 1) / SKUA_NS_PER_MS;
}

uint32_t
skua_task_attempt(const skua_task_call *call) {
    return call->attempt;
}
