// SPDX-License-Identifier: MPL-2.0
// PUB: subscribers that ask for the same topics form a cohort, for which each frame is made once. Each subscriber has its
// own queue behind its window; a full one drops its oldest, and says so, or makes publishing wait.
#include "common.h"
#include "topics.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua/pubsub.h>
#include <string.h>

/* Subscribers with the same set of topics. One whose set changes later goes on in a cohort of its own. */
typedef struct cohort {
    skua__list node;
    skua__topics topics;
    skua__group *group; /* NULL: of one link, which left its group */
    skua__link *alone;
    uint32_t members; /* that are up, or about to be */
} cohort;

struct skua_pub {
    skua__handle handle;
    int32_t policy;
    uint64_t queue_msgs, queue_bytes;
    int64_t timeout_ms;
    int64_t linger_ms;
    skua__list cohorts;
    uint64_t accepted;
};

static skua_pub *
pub_of(skua__handle *handle) {
    return SKUA_CONTAINER_OF(handle, skua_pub, handle);
}

/* ---- Cohorts ---- */

static void
end_cohort(skua_pub *pub, cohort *gone) {
    const skua_allocator *hook = pub->handle.hook;
    skua__list_remove(&gone->node);
    skua__group_free(gone->group);
    skua__topics_fini(hook, &gone->topics);
    skua__mem_free(hook, gone);
}

static cohort *
new_cohort(skua_pub *pub, const uint8_t *topics, size_t size, bool shared) {
    const skua_allocator *hook = pub->handle.hook;
    cohort *made = skua__mem_new(hook, sizeof *made);
    if (!made) {
        return NULL;
    }
    skua__list_init(&made->node);
    made->topics.bytes = skua__mem_copy(hook, topics, size);
    made->topics.size = size;
    made->group = shared ? skua__group_new(&pub->handle) : NULL;
    if (!made->topics.bytes || (shared && !made->group)) {
        end_cohort(pub, made);
        return NULL;
    }
    skua__list_push_back(&pub->cohorts, &made->node);
    return made;
}

static bool
asks_for(const cohort *some, const uint8_t *topics, size_t size) {
    return some->topics.size == size &&
           (size == 0 || memcmp(some->topics.bytes, topics, size) == 0);
}

static cohort *
find_cohort(skua_pub *pub, const uint8_t *topics, size_t size) {
    SKUA_LIST_EACH(node, &pub->cohorts) {
        cohort *some = SKUA_CONTAINER_OF(node, cohort, node);
        if (some->group && asks_for(some, topics, size)) {
            return some;
        }
    }
    return NULL;
}

static void
leave_cohort(skua_pub *pub, skua__link *link) {
    cohort *left = skua__link_user(link);
    if (!left) {
        return;
    }
    skua__group_part(link);
    skua__link_set_user(link, NULL);
    if (--left->members == 0) {
        end_cohort(pub, left);
    }
}

/* ---- What the handle calls ---- */

static bool
pub_peer_hello(skua__handle *handle, skua__link *link, const uint8_t *bytes, size_t size) {
    skua_pub *pub = pub_of(handle);
    if (!skua__topics_valid(bytes, size)) {
        return false;
    }
    cohort *now = skua__link_user(link);
    if (now && asks_for(now, bytes, size)) {
        return true;
    }
    cohort *next = now ? NULL : find_cohort(pub, bytes, size);
    if (!next) {
        next = new_cohort(pub, bytes, size, !now);
    }
    if (!next) {
        return false;
    }
    leave_cohort(pub, link);
    next->members++;
    skua__link_set_user(link, next);
    if (next->group) {
        skua__group_join(next->group, link);
    } else {
        next->alone = link;
    }
    return true;
}

static void
pub_link_down(skua__handle *handle, skua__link *link, skua__down_reason reason) {
    (void)reason;
    leave_cohort(pub_of(handle), link);
}

static bool
is_full(const skua_pub *pub, const skua__link *link) {
    return skua__link_queued_msgs(link) >= pub->queue_msgs ||
           skua__link_queued_bytes(link) >= pub->queue_bytes;
}

/* Whether nobody's queue would make a publisher wait now. */
static bool
has_room(const skua_pub *pub, const char *topic, size_t topic_size) {
    if (pub->policy != SKUA_SLOW_BLOCK) {
        return true;
    }
    skua__link *link = NULL;
    while ((link = skua__handle_next_link_locked(&pub->handle, link)) != NULL) {
        const cohort *of = skua__link_user(link);
        if (is_full(pub, link) &&
            (!topic || skua__topics_match(of->topics.bytes, of->topics.size, topic, topic_size))) {
            return false;
        }
    }
    return true;
}

static bool
pub_readable(skua__handle *handle) {
    return has_room(pub_of(handle), NULL, 0);
}

static const skua__pattern_ops pub_ops = {
    .name = "pub",
    .kind = SKUA__SERVICE_PUB,
    .provider = true,
    .own_role = SKUA__ROLE_PUBLISH,
    .peer_role = SKUA__ROLE_SUBSCRIBE,
    .peer_hello = pub_peer_hello,
    .link_down = pub_link_down,
    .readable = pub_readable,
};

/* ---- Opening and closing ---- */

void
skua_pub_options_init(skua_pub_options *options, size_t size) {
    skua__options_init(options, size);
}

static bool
options_fit(const skua_pub_options *options) {
    return options->policy >= 0 && options->policy <= SKUA_SLOW_BLOCK && options->queue_msgs >= 0 &&
           options->queue_bytes >= 0;
}

skua_status
skua_pub_open(skua_pub **ret_pub, skua_node *node, const char *service,
              const skua_pub_options *given, skua_error *err) {
    skua_pub_options options;
    if (!ret_pub || !SKUA_READ_OPTIONS(&options, given) || !options_fit(&options)) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ARGUMENT,
            "ret_pub is NULL, or an option (policy, queue_msgs, queue_bytes) is out of "
            "range");
    }
    skua_status status = skua__node_check(node, err);
    if (status != SKUA_OK) {
        return status;
    }
    const skua_allocator *hook = options.allocator ? options.allocator : skua__node_hook(node);
    skua_pub *pub = skua__mem_new(hook, sizeof *pub);
    if (!pub) {
        return SKUA_FAIL_MEMORY(err, "a pub handle");
    }
    skua__list_init(&pub->cohorts);
    pub->policy = options.policy ? options.policy : SKUA_SLOW_DROP_OLDEST;
    pub->queue_msgs =
        options.queue_msgs ? (uint64_t)options.queue_msgs : SKUA_PUB_DEFAULT_QUEUE_MSGS;
    pub->queue_bytes =
        options.queue_bytes ? (uint64_t)options.queue_bytes : SKUA_PUB_DEFAULT_QUEUE_BYTES;
    pub->timeout_ms = options.timeout_ms ? options.timeout_ms : SKUA_PUB_DEFAULT_TIMEOUT_MS;
    pub->linger_ms = options.linger_ms;
    /* What shares a frame is dropped together: an eighth of the queue at most. */
    uint64_t share = pub->queue_msgs / 8;
    skua__handle_options link_options = {
        .allocator = hook,
        .version = options.version,
        .plain = {.kind = SKUA__PLAIN_PUB,
                  .endpoint = options.plain_bind,
                  .bind = true,
                  .insecure = options.plain_insecure != 0},
        .batch_msgs = share < 1 ? 1
                      : share > 256 && pub->policy == SKUA_SLOW_DROP_OLDEST
                          ? 256
                          : (uint32_t)(share > 4096 ? 4096 : share),
    };
    status = skua__handle_open(&pub->handle, node, service, &pub_ops, &link_options, err);
    if (status != SKUA_OK) {
        skua__mem_free(hook, pub);
        return status;
    }
    *ret_pub = pub;
    return SKUA_OK;
}

skua_pub *
skua_pub_close(skua_pub *pub) {
    if (!pub || skua__node_check(pub->handle.node, NULL) == SKUA_E_FORKED) {
        return NULL;
    }
    (void)skua__handle_close(&pub->handle,
                             skua__linger_deadline(pub->linger_ms, SKUA_PUB_DEFAULT_LINGER_MS));
    while (!skua__list_empty(&pub->cohorts)) {
        end_cohort(pub, SKUA_CONTAINER_OF(pub->cohorts.next, cohort, node));
    }
    const skua_allocator *hook = pub->handle.hook;
    skua__handle_fini(&pub->handle);
    skua__mem_free(hook, pub);
    return NULL;
}

/* ---- Publishing ---- */

typedef struct audience {
    skua_pub *pub;
    const char *topic;
    size_t topic_size;
} audience;

/* No queue of those who would get it is full. */
static bool
all_have_room(void *arg) {
    const audience *to = arg;
    return has_room(to->pub, to->topic, to->topic_size);
}

/* Subscribers whose queue is over its bounds lose their oldest. */
static void
drop_oldest(skua_pub *pub) {
    skua__link *link = NULL;
    while ((link = skua__handle_next_link_locked(&pub->handle, link)) != NULL) {
        while (skua__link_queued_msgs(link) > pub->queue_msgs ||
               skua__link_queued_bytes(link) > pub->queue_bytes) {
            if (skua__link_drop_oldest(link) == 0) {
                break;
            }
        }
    }
}

/* Gives the message to every cohort that asks for it. */
static skua_status
publish(skua_pub *pub, const char *topic, skua_msg *msg) {
    size_t topic_size = strlen(topic);
    SKUA_LIST_EACH(node, &pub->cohorts) {
        cohort *to = SKUA_CONTAINER_OF(node, cohort, node);
        if (!skua__topics_match(to->topics.bytes, to->topics.size, topic, topic_size)) {
            continue;
        }
        skua_status status = to->group ? skua__group_send(to->group, NULL, 0, msg)
                                       : skua__link_send(to->alone, NULL, 0, msg, false);
        if (status != SKUA_OK) {
            return status;
        }
    }
    if (pub->policy == SKUA_SLOW_DROP_OLDEST) {
        drop_oldest(pub);
    }
    skua__plain *plain = skua__handle_plain(&pub->handle);
    if (plain) {
        /* What ZeroMQ does not take is counted there; it is no reason to fail the others' message. */
        (void)!skua__plain_send(plain, NULL, msg);
    }
    return SKUA_OK;
}

skua_status
skua_pub_send(skua_pub *pub, const char *topic, skua_msg **msg, int64_t timeout_ms,
              skua_error *err) {
    if (!pub || !topic || !msg || !*msg) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "pub, topic or the message is NULL");
    }
    skua_status status = skua__msg_set_topic(*msg, topic, strlen(topic));
    if (status != SKUA_OK) {
        return status == SKUA_E_TOO_BIG
                   ? SKUA_FAIL(err, status, "the topic has %zu bytes; at most %d", strlen(topic),
                               SKUA__TOPIC_MAX_BYTES)
                   : SKUA_FAIL_MEMORY(err, "a topic");
    }
    int64_t deadline_ns;
    status = skua__call_begin(&pub->handle, timeout_ms, pub->timeout_ms, &deadline_ns, err);
    if (status != SKUA_OK) {
        return status;
    }
    audience to = {.pub = pub, .topic = topic, .topic_size = strlen(topic)};
    status = skua__await_room(&pub->handle, all_have_room, &to, deadline_ns,
                              "room in every subscriber's queue", err);
    if (status == SKUA_OK) {
        status = skua__sent(publish(pub, topic, *msg), *msg, err);
    }
    return skua__send_end(&pub->handle, status, msg, &pub->accepted);
}

skua_status
skua_pub_send_bytes(skua_pub *pub, const char *topic, const void *bytes, size_t size_bytes,
                    int64_t timeout_ms, skua_error *err) {
    skua_msg *msg = skua_msg_of_bytes(bytes, size_bytes);
    if (!msg) {
        return SKUA_FAIL_MEMORY(err, "a message");
    }
    skua_status status = skua_pub_send(pub, topic, &msg, timeout_ms, err);
    skua_msg_free(msg);
    return status;
}

skua_status
skua_pub_loan(skua_pub *pub, size_t size_bytes, skua_msg **ret_msg, void **ret_bytes,
              skua_error *err) {
    if (!pub || !ret_msg || !ret_bytes) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_pub_loan needs pub, ret_msg and ret_bytes");
    }
    if (size_bytes > SKUA__MESSAGE_MAX_BYTES) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG, "a message of %zu bytes; at most %lld fit",
                         size_bytes, (long long)SKUA__MESSAGE_MAX_BYTES);
    }
    /* Today every link sends from the heap; the call is there so that shared memory needs no other. */
    skua_msg *msg = skua_msg_of_room(size_bytes, ret_bytes);
    if (!msg) {
        return SKUA_FAIL_MEMORY(err, "a message");
    }
    *ret_msg = msg;
    return SKUA_OK;
}

static size_t
count_subscribers(const skua_pub *pub, const char *topic) {
    size_t count = 0;
    skua__link *link = NULL;
    while ((link = skua__handle_next_link_locked(&pub->handle, link)) != NULL) {
        const cohort *of = skua__link_user(link);
        count += of && skua__topics_match(of->topics.bytes, of->topics.size, topic, strlen(topic));
    }
    return count;
}

skua_status
skua_pub_await_subs(skua_pub *pub, const char *topic, size_t count, int64_t timeout_ms,
                    skua_error *err) {
    if (!pub || !topic) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "pub or topic is NULL");
    }
    int64_t deadline_ns;
    skua__handle *handle = &pub->handle;
    skua_status status = skua__call_begin(handle, timeout_ms, pub->timeout_ms, &deadline_ns, err);
    if (status != SKUA_OK) {
        return status;
    }
    for (;;) { /* ends with enough subscribers, at the deadline, or when the handle closes */
        (void)skua__handle_pump_locked(handle);
        size_t there = count_subscribers(pub, topic);
        if (there >= count) {
            status = SKUA_OK;
            break;
        }
        if (skua__clock_ns() >= deadline_ns) {
            status = SKUA_FAIL(err, SKUA_E_TIMEOUT,
                               "%zu of %zu subscribers of \"%s\" topic \"%s\" are there at the "
                               "deadline",
                               there, count, handle->name, topic);
            break;
        }
        if (skua__handle_wait_locked(handle, deadline_ns) == SKUA_E_CLOSED) {
            status = skua__wait_failed(handle, SKUA_E_CLOSED, "", err);
            break;
        }
    }
    skua__handle_leave(handle);
    return status;
}

skua_status
skua_pub_drain(skua_pub *pub, int64_t timeout_ms, skua_error *err) {
    int64_t deadline_ns;
    if (!pub) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "pub is NULL");
    }
    skua_status status = skua__call_deadline(timeout_ms, pub->timeout_ms, &deadline_ns, err);
    return status == SKUA_OK ? skua__pattern_drain(&pub->handle, NULL, deadline_ns, err) : status;
}

uint16_t
skua_pub_plain_port(const skua_pub *pub) {
    return skua__pattern_plain_port(&pub->handle);
}

int
skua_pub_fd(skua_pub *pub) {
    return skua__pattern_fd(&pub->handle);
}

skua_status
skua_pub_stats(skua_pub *pub, skua_pattern_stats *ret_stats, skua_error *err) {
    return skua__pattern_stats(&pub->handle, &pub->accepted, NULL, ret_stats, err);
}

skua_status
skua_pub_links(skua_pub *pub, skua_link_stats *ret_links, size_t link_size, size_t capacity,
               size_t *ret_count, skua_error *err) {
    return skua__pattern_links(&pub->handle, ret_links, link_size, capacity, ret_count, err);
}
