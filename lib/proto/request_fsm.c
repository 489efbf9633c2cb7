// SPDX-License-Identifier: MPL-2.0
// The state machine of one request: one function owns every transition.
#include <skua-int/request_fsm.h>

#include <skua-int/clock.h>
#include <skua-int/rand.h>

#include <assert.h>

void
skua__request_init(skua__request_fsm *request, uint64_t id, int64_t deadline_ns, int64_t now_ns) {
    assert(id);
    *request = (skua__request_fsm){.state = SKUA__REQUEST_WAITING,
                                   .id = id,
                                   .deadline_ns = deadline_ns,
                                   .ready_ns = now_ns,
                                   .try_until_ns = SKUA_NEVER_NS};
}

static int64_t
later(int64_t at_ns, int64_t by_ns) {
    return by_ns > SKUA_NEVER_NS - at_ns ? SKUA_NEVER_NS : at_ns + by_ns;
}

int64_t
skua__request_backoff_ns(const skua__request_limits *limits, uint64_t id, uint32_t n) {
    int64_t most = limits->backoff_ns > SKUA_NEVER_NS / SKUA__REQUEST_BACKOFF_GROWTH
                       ? SKUA_NEVER_NS
                       : limits->backoff_ns * SKUA__REQUEST_BACKOFF_GROWTH;
    int64_t backoff = limits->backoff_ns;
    for (uint32_t i = 1; i < n && backoff < most; i++) {
        backoff = backoff > most / 2 ? most : backoff * 2;
    }
    /* Requests that failed together shall not come back together. */
    skua__rand rand = {.state = id * UINT64_C(0x9e3779b97f4a7c15) + n};
    int64_t quarter = backoff / 4;
    return backoff - (int64_t)(skua__rand_unit(&rand) * (double)quarter);
}

static skua__request_action
end(skua__request_fsm *request, skua__request_end how) {
    request->state = SKUA__REQUEST_ENDED;
    request->end = how;
    return SKUA__REQUEST_END;
}

static skua__request_action
wait_again(skua__request_fsm *request, int64_t ready_ns, int64_t now_ns) {
    request->state = SKUA__REQUEST_WAITING;
    request->provider = 0;
    request->try_until_ns = SKUA_NEVER_NS;
    request->ready_ns = ready_ns;
    return ready_ns <= now_ns ? SKUA__REQUEST_FIND : SKUA__REQUEST_WAIT;
}

/*
 * The provider did not do what it was asked, but lives. Another may be asked at once, the first time; afterwards
 * everybody is given the back-off, so that a service that refuses everywhere is not stormed.
 */
static skua__request_action
retry(skua__request_fsm *request, const skua__request_limits *limits, int64_t now_ns) {
    request->failures++;
    int64_t until_ns =
        later(now_ns, skua__request_backoff_ns(limits, request->id, request->failures));
    request->avoid = request->provider;
    request->avoid_until_ns = until_ns;
    return wait_again(request, request->failures == 1 ? now_ns : until_ns, now_ns);
}

static skua__request_action
step_sent(skua__request_fsm *request, const skua__request_limits *limits, skua__request_event event,
          uint64_t provider, int64_t now_ns) {
    bool last = request->attempts >= limits->attempts;
    switch (event) {
    case SKUA__REQUEST_REFUSED:
        if (provider != request->provider) {
            return SKUA__REQUEST_NOTHING; /* of an attempt that was given up */
        }
        return last ? end(request, SKUA__REQUEST_ENDED_REFUSED) : retry(request, limits, now_ns);
    case SKUA__REQUEST_LOST:
        if (provider != request->provider) {
            return SKUA__REQUEST_NOTHING;
        }
        request->maybe_seen = true;
        return last ? end(request, SKUA__REQUEST_ENDED_LOST) : wait_again(request, now_ns, now_ns);
    case SKUA__REQUEST_UNSENT:
        if (provider != request->provider) {
            return SKUA__REQUEST_NOTHING;
        }
        request->attempts--;
        return wait_again(request, now_ns, now_ns);
    case SKUA__REQUEST_TIME:
        if (now_ns < request->try_until_ns) {
            return SKUA__REQUEST_WAIT;
        }
        request->maybe_seen = true;
        return retry(request, limits, now_ns);
    case SKUA__REQUEST_TIME_ALONE:
        /* Asking the same one again would spend an attempt, and gain nothing. */
        if (now_ns >= request->try_until_ns) {
            request->try_until_ns = later(now_ns, limits->attempt_ns);
        }
        return SKUA__REQUEST_WAIT;
    default:
        assert(false && "an event that only a waiting request may get");
        return SKUA__REQUEST_NOTHING;
    }
}

static skua__request_action
step_waiting(skua__request_fsm *request, const skua__request_limits *limits,
             skua__request_event event, uint64_t provider, int64_t now_ns) {
    switch (event) {
    case SKUA__REQUEST_HANDED:
        assert(provider);
        request->state = SKUA__REQUEST_SENT;
        request->provider = provider;
        request->attempts++;
        /* The last attempt has until the deadline: there is nobody to give the request to afterwards. */
        request->try_until_ns = request->attempts < limits->attempts
                                    ? later(now_ns, limits->attempt_ns)
                                    : SKUA_NEVER_NS;
        return SKUA__REQUEST_WAIT;
    case SKUA__REQUEST_NONE_ELSE:
        request->ready_ns = request->avoid_until_ns;
        return request->ready_ns <= now_ns ? SKUA__REQUEST_FIND : SKUA__REQUEST_WAIT;
    case SKUA__REQUEST_TIME:
    case SKUA__REQUEST_TIME_ALONE:
        return request->ready_ns <= now_ns ? SKUA__REQUEST_FIND : SKUA__REQUEST_WAIT;
    default:
        return SKUA__REQUEST_NOTHING; /* of an attempt that was given up */
    }
}

skua__request_action
skua__request_step(skua__request_fsm *request, const skua__request_limits *limits,
                   skua__request_event event, uint64_t provider, int64_t now_ns) {
    assert(limits->attempts);
    if (request->state == SKUA__REQUEST_ENDED) {
        return SKUA__REQUEST_NOTHING;
    }
    /* These end it in either state, and an answer that is there is worth more than a deadline that has come. */
    switch (event) {
    case SKUA__REQUEST_REPLY:
        return end(request, SKUA__REQUEST_ENDED_REPLY);
    case SKUA__REQUEST_ERROR:
        return end(request, SKUA__REQUEST_ENDED_ERROR);
    case SKUA__REQUEST_CANCEL:
        return end(request, SKUA__REQUEST_ENDED_CANCELLED);
    default:
        break;
    }
    if (now_ns >= request->deadline_ns) {
        return end(request, SKUA__REQUEST_ENDED_DEADLINE);
    }
    return request->state == SKUA__REQUEST_SENT
               ? step_sent(request, limits, event, provider, now_ns)
               : step_waiting(request, limits, event, provider, now_ns);
}

bool
skua__request_may_ask(const skua__request_fsm *request, uint64_t provider, int64_t now_ns) {
    return request->state == SKUA__REQUEST_WAITING && request->ready_ns <= now_ns &&
           (provider != request->avoid || request->avoid_until_ns <= now_ns);
}

int64_t
skua__request_next_ns(const skua__request_fsm *request, int64_t now_ns) {
    int64_t next_ns = SKUA_NEVER_NS;
    switch (request->state) {
    case SKUA__REQUEST_WAITING:
        next_ns = request->ready_ns > now_ns ? request->ready_ns : SKUA_NEVER_NS;
        break;
    case SKUA__REQUEST_SENT:
        next_ns = request->try_until_ns;
        break;
    case SKUA__REQUEST_ENDED:
        return SKUA_NEVER_NS;
    }
    return next_ns < request->deadline_ns ? next_ns : request->deadline_ns;
}
