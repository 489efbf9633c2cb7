// SPDX-License-Identifier: MPL-2.0
// What happens to requests between being asked and being ended: the choice of a provider, its loss, answers, deadlines.
// The decisions are lib/proto's (request_fsm.c); here are the lists, the messages and the words of errors.
#include "req_priv.h"
#include "reqrep_wire.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    SILENT_MAX =
        10, /* a provider that leaves requests unanswered counts as this power of two busier */
    PLAIN_LOAD_MAX = SKUA__PLAIN_HWM_MSGS / 2,
    NO_MEMORY_RETRY_MS = 10,
};

static skua_req *
req_of(skua__handle *handle) {
    return SKUA_CONTAINER_OF(handle, skua_req, handle);
}

/* ---- Ending ---- */

static void
leave_provider(skua__ask *ask) {
    skua__req_provider *provider = ask->provider;
    if (provider) {
        provider->load--;
        ask->provider = NULL;
    }
    skua__list_remove(&ask->node);
}

static void
name_provider(skua__ask *ask) {
    const skua__req_provider *provider = ask->provider;
    if (provider) {
        const char *name = provider->link ? skua__link_peer(provider->link)->name : "a plain peer";
        snprintf(ask->provider_name, sizeof ask->provider_name, "%s", name);
    }
}

static bool
may_be_at_it(const skua__ask *ask, const skua__req_provider *provider) {
    bool asked = provider == ask->provider;
    for (int i = 0; i < SKUA__ASK_GIVEN_UP_MAX; i++) {
        asked |= ask->given_up[i] == provider->id;
    }
    return asked && provider->link && provider->id != ask->answered_by;
}

/* A request is over before its deadline: who may be at it, or has it waiting, need not go on. */
static void
tell_providers(skua_req *req, const skua__ask *ask) {
    SKUA_LIST_EACH(node, &req->providers) {
        skua__req_provider *provider = SKUA_CONTAINER_OF(node, skua__req_provider, node);
        if (!may_be_at_it(ask, provider)) {
            continue;
        }
        skua__reqrep_tag tag = {.kind = SKUA__REQREP_CANCEL, .id = ask->fsm.id};
        uint8_t bytes[SKUA__REQREP_TAG_BYTES];
        skua__reqrep_tag_write(&tag, bytes);
        skua_msg *nothing = skua_msg_of_bytes("", 0);
        /* Without memory for it the provider works in vain, and its answer is dropped. */
        skua_status told =
            nothing ? skua__link_send(provider->link, bytes, sizeof bytes, nothing, false)
                    : SKUA_E_NO_MEMORY;
        (void)told;
        skua_msg_free(nothing);
    }
}

static void
give_up(skua__ask *ask, const skua__req_provider *provider) {
    for (int i = 0; i < SKUA__ASK_GIVEN_UP_MAX; i++) {
        if (!ask->given_up[i] || ask->given_up[i] == provider->id) {
            ask->given_up[i] = provider->id;
            return;
        }
    }
}

static void
finish(skua_req *req, skua__ask *ask, int64_t now_ns) {
    if (ask->fsm.end != SKUA__REQUEST_ENDED_REPLY) {
        name_provider(ask); /* for the error */
    }
    skua__req_provider *provider = ask->provider;
    switch (ask->fsm.end) {
    case SKUA__REQUEST_ENDED_REPLY:
        req->stats.replied++;
        break;
    case SKUA__REQUEST_ENDED_DEADLINE:
        if (!ask->failure && !ask->fsm.attempts && skua__list_empty(&req->providers)) {
            ask->failure = SKUA_E_NO_PROVIDER;
        }
        if (provider && provider->silent < SILENT_MAX) {
            provider->silent++;
        }
        req->stats.timed_out++;
        break;
    case SKUA__REQUEST_ENDED_CANCELLED:
        if (ask->failure) {
            req->stats.failed++;
        } else {
            req->stats.cancelled++;
        }
        break;
    default:
        req->stats.failed++;
        break;
    }
    req->stats.in_flight--;
    if (ask->fsm.end != SKUA__REQUEST_ENDED_DEADLINE) {
        tell_providers(req, ask); /* they know the deadline themselves */
    }
    leave_provider(ask);
    skua__ask_table_due(&req->asks, ask, SKUA_NEVER_NS);
    ask->msg = skua_msg_free(ask->msg);
    ask->ended_ns = now_ns;
    if (!ask->called) {
        skua__list_push_back(&req->results, &ask->node);
    }
    skua__handle_wake_locked(&req->handle);
}

static void
set_due(skua_req *req, skua__ask *ask, int64_t now_ns) {
    skua__ask_table_due(&req->asks, ask, skua__request_next_ns(&ask->fsm, now_ns));
    const skua__ask *first = skua__ask_table_first(&req->asks);
    if (first == ask) {
        skua__handle_timer_locked(&req->handle, ask->due_ns);
    }
}

/* Carries out what the state machine says. The request may be another's to free afterwards. */
static void
act(skua_req *req, skua__ask *ask, skua__request_action action, int64_t now_ns) {
    switch (action) {
    case SKUA__REQUEST_NOTHING:
        break;
    case SKUA__REQUEST_FIND:
        leave_provider(ask);
        skua__list_push_back(&req->waiting, &ask->node);
        set_due(req, ask, now_ns);
        break;
    case SKUA__REQUEST_WAIT:
        if (ask->fsm.state == SKUA__REQUEST_WAITING) {
            leave_provider(ask);
        }
        set_due(req, ask, now_ns);
        break;
    case SKUA__REQUEST_END:
        finish(req, ask, now_ns);
        break;
    }
}

static void
step(skua_req *req, skua__ask *ask, skua__request_event event, uint64_t provider, int64_t now_ns) {
    act(req, ask, skua__request_step(&ask->fsm, &req->limits, event, provider, now_ns), now_ns);
}

/* ---- Choosing a provider ---- */

static bool
has_room(skua_req *req, const skua__req_provider *provider) {
    if (provider->link) {
        return skua__link_room(provider->link);
    }
    return provider->load < PLAIN_LOAD_MAX && skua__plain_room(skua__handle_plain(&req->handle));
}

static uint64_t
cost_of(const skua__req_provider *provider) {
    return provider->load + (provider->silent ? UINT64_C(1) << provider->silent : 0);
}

typedef struct choice {
    skua__req_provider *best; /* NULL: nobody with room may be asked now */
    bool room;                /* somebody has room */
    bool none_else;           /* nobody but the one to avoid is there */
} choice;

static choice
choose(skua_req *req, const skua__ask *ask, int64_t now_ns) {
    choice found = {0};
    uint32_t allowed = 0, avoided = 0;
    SKUA_LIST_EACH(node, &req->providers) {
        skua__req_provider *provider = SKUA_CONTAINER_OF(node, skua__req_provider, node);
        bool room = has_room(req, provider);
        found.room |= room;
        if (!skua__request_may_ask(&ask->fsm, provider->id, now_ns)) {
            avoided++;
            continue;
        }
        allowed++;
        if (room && (!found.best || cost_of(provider) < cost_of(found.best))) {
            found.best = provider;
        }
    }
    found.none_else = avoided && !allowed;
    return found;
}

static skua_status
send_to(skua_req *req, skua__req_provider *provider, skua__ask *ask, int64_t now_ns) {
    if (!provider->link) {
        skua_msg *envelope = skua__plain_id_envelope(req->handle.hook, ask->fsm.id);
        if (!envelope) {
            return SKUA_E_NO_MEMORY;
        }
        skua_status status = skua__plain_send(skua__handle_plain(&req->handle), envelope, ask->msg);
        skua_msg_free(envelope);
        return status;
    }
    skua__reqrep_tag tag = {
        .kind = SKUA__REQREP_REQUEST, .left_ms = SKUA__REQREP_NO_DEADLINE, .id = ask->fsm.id};
    if (ask->fsm.deadline_ns != SKUA_NEVER_NS) {
        int64_t left_ms = (ask->fsm.deadline_ns - now_ns + SKUA_NS_PER_MS - 1) / SKUA_NS_PER_MS;
        tag.left_ms = left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX - 1;
    }
    uint8_t bytes[SKUA__REQREP_TAG_BYTES];
    skua__reqrep_tag_write(&tag, bytes);
    return skua__link_send(provider->link, bytes, sizeof bytes, ask->msg, ask->fsm.maybe_seen);
}

/* Gives one request to a provider. Returns false when it must wait for memory or room. */
static bool
hand(skua_req *req, skua__ask *ask, skua__req_provider *provider, int64_t now_ns) {
    skua_status status = send_to(req, provider, ask, now_ns);
    if (status == SKUA_E_NO_MEMORY || status == SKUA_E_AGAIN) {
        skua__handle_timer_locked(&req->handle, now_ns + NO_MEMORY_RETRY_MS * SKUA_NS_PER_MS);
        return false;
    }
    if (status != SKUA_OK) {
        ask->failure = status;
        step(req, ask, SKUA__REQUEST_CANCEL, 0, now_ns);
        return true;
    }
    skua__list_remove(&ask->node);
    skua__list_push_back(&provider->asked, &ask->node);
    ask->provider = provider;
    provider->load++;
    /* Those that are equally busy take turns. */
    skua__list_remove(&provider->node);
    skua__list_push_back(&req->providers, &provider->node);
    step(req, ask, SKUA__REQUEST_HANDED, provider->id, now_ns);
    req->stats.retries += ask->fsm.attempts > 1;
    return true;
}

void
skua__req_dispatch(skua_req *req) {
    if (skua__list_empty(&req->waiting)) {
        return;
    }
    int64_t now_ns = skua__clock_ns();
    SKUA_LIST_EACH(node, &req->waiting) {
        skua__ask *ask = SKUA_CONTAINER_OF(node, skua__ask, node);
        if (now_ns >= ask->fsm.deadline_ns) {
            step(req, ask, SKUA__REQUEST_TIME, 0, now_ns);
            continue;
        }
        choice found = choose(req, ask, now_ns);
        if (found.best) {
            if (!hand(req, ask, found.best, now_ns)) {
                return;
            }
        } else if (found.none_else) {
            step(req, ask, SKUA__REQUEST_NONE_ELSE, 0, now_ns);
        } else if (!found.room) {
            return; /* nobody can take any of them */
        }
    }
}

void
skua__req_start(skua_req *req, skua__ask *ask, int64_t timeout_ms) {
    int64_t now_ns = skua__clock_ns();
    ask->started_ns = now_ns;
    ask->timeout_ms = timeout_ms;
    skua__request_init(&ask->fsm, ask->fsm.id, skua__deadline_ns(timeout_ms), now_ns);
    req->stats.requests++;
    req->stats.in_flight++;
    skua__list_push_back(&req->waiting, &ask->node);
    set_due(req, ask, now_ns);
    skua__req_dispatch(req);
}

void
skua__req_cancel_ask(skua_req *req, skua__ask *ask) {
    step(req, ask, SKUA__REQUEST_CANCEL, 0, skua__clock_ns());
}

int64_t
skua__req_run_timers(skua_req *req, int64_t now_ns) {
    skua__ask *ask;
    while ((ask = skua__ask_table_first(&req->asks)) && ask->due_ns <= now_ns) {
        skua__req_provider *provider = ask->provider;
        bool was_sent = ask->fsm.state == SKUA__REQUEST_SENT;
        bool alone = was_sent && req->providers.next == req->providers.prev;
        step(req, ask, alone ? SKUA__REQUEST_TIME_ALONE : SKUA__REQUEST_TIME, 0, now_ns);
        if (was_sent && ask->fsm.state == SKUA__REQUEST_WAITING) {
            give_up(ask, provider);
            provider->silent += provider->silent < SILENT_MAX;
        }
    }
    skua__req_dispatch(req);
    ask = skua__ask_table_first(&req->asks);
    return ask ? ask->due_ns : SKUA_NEVER_NS;
}

/* ---- What the handle tells ---- */

static void
req_link_up(skua__handle *handle, skua__link *link) {
    skua_req *req = req_of(handle);
    skua__req_provider *provider = skua__mem_new(handle->hook, sizeof *provider);
    if (!provider) {
        /* Without memory for it this provider is not asked; when the link comes back there may be some. */
        skua__link_disconnect(link);
        return;
    }
    provider->link = link;
    provider->id = skua__link_id(link) + 2; /* 0 is nobody, 1 the plain endpoint */
    skua__list_init(&provider->asked);
    skua__list_push_back(&req->providers, &provider->node);
    skua__link_set_user(link, provider);
    skua__req_dispatch(req);
    skua__handle_wake_locked(handle);
}

typedef struct taking {
    skua_req *req;
    uint64_t provider;
    int64_t now_ns;
} taking;

/* A message that the lost provider did not confirm. What goes to another is taken: the ledger says "moved". */
static void
take_back(void *arg, skua_msg **msg, const uint8_t *tag_bytes, size_t tag_size, bool was_sent) {
    taking *self = arg;
    skua__reqrep_tag tag;
    if (!skua__reqrep_tag_read(tag_bytes, tag_size, &tag) || tag.kind != SKUA__REQREP_REQUEST) {
        return;
    }
    skua__ask *ask = skua__ask_table_find(&self->req->asks, tag.id);
    if (!ask || ask->fsm.state != SKUA__REQUEST_SENT || ask->fsm.provider != self->provider) {
        return;
    }
    if (!was_sent) {
        step(self->req, ask, SKUA__REQUEST_UNSENT, self->provider, self->now_ns);
    }
    if (!was_sent || ask->fsm.attempts < self->req->limits.attempts) {
        *msg = skua_msg_free(*msg); /* we still have our own */
    }
}

static void
req_link_down(skua__handle *handle, skua__link *link, skua__down_reason reason) {
    (void)reason;
    skua_req *req = req_of(handle);
    skua__req_provider *provider = skua__link_user(link);
    if (!provider) {
        return;
    }
    int64_t now_ns = skua__clock_ns();
    /* First out of the list: what it held must not come back to it. */
    skua__list_remove(&provider->node);
    taking what = {.req = req, .provider = provider->id, .now_ns = now_ns};
    skua__link_take_back(link, take_back, &what);
    SKUA_LIST_EACH(node, &provider->asked) {
        skua__ask *ask = SKUA_CONTAINER_OF(node, skua__ask, node);
        step(req, ask, SKUA__REQUEST_LOST, provider->id, now_ns);
    }
    assert(!provider->load);
    skua__link_set_user(link, NULL);
    skua__mem_free(handle->hook, provider);
    skua__req_dispatch(req);
}

/* An answer under an id; takes *msg when the request is still alive. */
static void
answered(skua_req *req, uint64_t id, skua__request_event event, skua__req_provider *from,
         skua_msg **msg) {
    skua__ask *ask = skua__ask_table_find(&req->asks, id);
    from->silent = 0;
    if (!ask || ask->fsm.state == SKUA__REQUEST_ENDED) {
        req->stats.late_replies++;
        return;
    }
    if (ask->provider != from && event == SKUA__REQUEST_REFUSED) {
        return; /* of an attempt that was given up */
    }
    skua_msg_free(ask->reply);
    ask->reply = *msg;
    *msg = NULL;
    ask->answered_by = from->id;
    step(req, ask, event, from->id, skua__clock_ns());
}

static void
req_deliver(skua__handle *handle, skua__link *link, skua__incoming *in) {
    skua_req *req = req_of(handle);
    skua__req_provider *from = skua__link_user(link);
    skua__reqrep_tag tag;
    if (!from || !skua__reqrep_tag_read(in->tag, in->tag_size, &tag)) {
        return;
    }
    switch (tag.kind) {
    case SKUA__REQREP_REPLY:
        answered(req, tag.id, SKUA__REQUEST_REPLY, from, &in->msg);
        break;
    case SKUA__REQREP_ERROR:
        answered(req, tag.id, SKUA__REQUEST_ERROR, from, &in->msg);
        break;
    case SKUA__REQREP_REFUSED:
        answered(req, tag.id, SKUA__REQUEST_REFUSED, from, &in->msg);
        break;
    case SKUA__REQREP_REQUEST:
    case SKUA__REQREP_CANCEL:
        break; /* nobody asks the one who asks */
    }
}

static void
req_plain(skua__handle *handle) {
    skua_req *req = req_of(handle);
    skua_msg *envelope, *msg;
    while (skua__plain_recv(skua__handle_plain(&req->handle), &envelope, &msg) == SKUA_OK) {
        uint64_t id = skua__plain_envelope_id(envelope);
        answered(req, id, SKUA__REQUEST_REPLY, &req->plain_provider, &msg);
        skua_msg_free(envelope);
        skua_msg_free(msg);
    }
}

static void
req_progress(skua__handle *handle) {
    skua__req_dispatch(req_of(handle));
}

static int64_t
req_timer(skua__handle *handle, int64_t now_ns) {
    return skua__req_run_timers(req_of(handle), now_ns);
}

static bool
req_readable(skua__handle *handle) {
    return !skua__list_empty(&req_of(handle)->results);
}

const skua__pattern_ops skua__req_ops = {
    .name = "req",
    .kind = SKUA__SERVICE_REP,
    .provider = false,
    .own_role = SKUA__ROLE_CALL,
    .lazy_ack = true,
    .takes_back = true,
    .link_up = req_link_up,
    .link_down = req_link_down,
    .deliver = req_deliver,
    .progress = req_progress,
    .timer = req_timer,
    .readable = req_readable,
    .plain = req_plain,
};

/* ---- The words of errors ---- */

static skua_status
fail_with_text(skua_req *req, const skua__ask *ask, skua_status status, const char *did,
               skua_error *err) {
    const skua_msg *text = ask->reply;
    int size = text && skua_msg_frames(text) ? (int)skua_msg_size(text, 0) : 0;
    if (size > SKUA_REP_ERROR_TEXT_MAX_BYTES) {
        size = SKUA_REP_ERROR_TEXT_MAX_BYTES;
    }
    const char *bytes = size ? skua_msg_data(text, 0) : "";
    return SKUA_FAIL(err, status, "%s %s \"%s\"%s%.*s", ask->provider_name, did, req->handle.name,
                     size ? ": " : "", size, bytes);
}

skua_status
skua__req_no_provider(skua_req *req, skua_error *err) {
    char offered[SKUA_ERROR_MESSAGE_BYTES / 2];
    skua_status refused = skua__handle_refusal_locked(&req->handle, err);
    if (refused) {
        return refused;
    }
    skua__node_offered_text(req->handle.node, SKUA__SERVICE_REP, offered, sizeof offered);
    return SKUA_FAIL(err, SKUA_E_NO_PROVIDER, "nobody answers \"%s\" (%s)", req->handle.name,
                     offered);
}

skua_status
skua__req_outcome(skua_req *req, const skua__ask *ask, skua_error *err) {
    const char *name = req->handle.name;
    if (ask->failure == SKUA_E_NO_PROVIDER) {
        return skua__req_no_provider(req, err);
    }
    if (ask->failure) {
        return SKUA_FAIL(err, ask->failure, "the request to \"%s\" could not be sent: %s", name,
                         skua_status_text(ask->failure));
    }
    switch (ask->fsm.end) {
    case SKUA__REQUEST_ENDED_REPLY:
        return SKUA_OK;
    case SKUA__REQUEST_ENDED_ERROR:
        return fail_with_text(req, ask, SKUA_E_REQUEST_FAILED, "answered with an error to", err);
    case SKUA__REQUEST_ENDED_REFUSED:
        return fail_with_text(req, ask, SKUA_E_REFUSED, "refused a request to", err);
    case SKUA__REQUEST_ENDED_LOST:
        return SKUA_FAIL(err, SKUA_E_PEER_LOST,
                         "%s died with a request to \"%s\", and it was attempt %u of %u; raise the "
                         "attempts option if answering twice does no harm",
                         ask->provider_name, name, ask->fsm.attempts, req->limits.attempts);
    case SKUA__REQUEST_ENDED_DEADLINE:
        return SKUA_FAIL(err, SKUA_E_TIMEOUT,
                         "\"%s\" did not answer within %lld ms (attempts: %u; providers now: %zu)",
                         name, (long long)ask->timeout_ms, ask->fsm.attempts,
                         skua__handle_link_count_locked(&req->handle));
    case SKUA__REQUEST_ENDED_CANCELLED:
    case SKUA__REQUEST_ENDED_NOT:
        break;
    }
    return SKUA_FAIL(err, SKUA_E_CANCELLED, "the request to \"%s\" was cancelled", name);
}
