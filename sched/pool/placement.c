// SPDX-License-Identifier: MPL-2.0
// Placement: argmin of wait + move + round trip + run, damped so that equal sites do not swap for nothing.
#include <skua-int/placement.h>

int64_t
skua__place_total_ns(const skua__place *place) {
    return place->wait_ns + place->move_ns + place->round_ns + place->run_ns;
}

/* What the choice compares: a preferred site and the last one look better than they are. */
static int64_t
weighed_ns(const skua__place *place) {
    int64_t total_ns = skua__place_total_ns(place);
    if (place->preferred) {
        total_ns /= SKUA__PLACE_PREFER;
    }
    if (place->last) {
        total_ns -= total_ns / SKUA__PLACE_HYSTERESIS;
    }
    return total_ns;
}

int
skua__place_choose(const skua__place *places, size_t count) {
    int best = -1;  /* of those with room */
    int first = -1; /* of all */
    for (size_t i = 0; i < count; i++) {
        int64_t ns = weighed_ns(&places[i]);
        if (places[i].room && (best < 0 || ns < weighed_ns(&places[best]))) {
            best = (int)i;
        }
        if (first < 0 || ns < weighed_ns(&places[first])) {
            first = (int)i;
        }
    }
    if (best < 0 || places[first].room) {
        return best;
    }
    int64_t full_ns = weighed_ns(&places[first]);
    int64_t slack_ns = SKUA__PLACE_HOLD_ROUNDS * places[best].round_ns;
    return weighed_ns(&places[best]) > SKUA__PLACE_HOLD * full_ns + slack_ns ? -1 : best;
}

bool
skua__place_has_room(uint32_t in_flight, int64_t predicted_ns, uint32_t workers, int64_t run_ns) {
    if (in_flight < SKUA__PLACE_AHEAD * workers) {
        return true;
    }
    return run_ns >= 0 && in_flight < SKUA__PLACE_MAX_IN_FLIGHT &&
           predicted_ns < (int64_t)workers * SKUA__PLACE_HORIZON_NS;
}

int64_t
skua__place_wait_ns(uint32_t in_flight, int64_t predicted_ns, uint32_t others, uint32_t workers,
                    int64_t run_ns) {
    uint32_t width = workers ? workers : 1;
    if (in_flight + others < width) {
        return 0;
    }
    /* Others' tasks are taken to be like this one: a site says how many they are, not how long. */
    return (predicted_ns + (int64_t)others * run_ns) / width;
}
