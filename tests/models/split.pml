/* SPDX-License-Identifier: MPL-2.0
 * The split stack of forked calls (sched/exec/fork.c): one owner who forks and syncs, two thieves who steal and ask.
 * Once the owner may run something that does not know the top (a nest): its forks begin at the mark, above a hole, and the
 * word is moved to them for their first sharing.
 * Checked: each call runs once, none is lost, none is read before it was written, no hole is taken, no request is left
 * without its trap.
 * WRONG_STEAL: a thief moves the tail without comparing.
 * WRONG_TAKE_BACK: the owner moves the split without comparing.
 * WRONG_TRAP: the owner takes the request before it resets the trap.
 * WRONG_SHARE: the split moves before the slots are ready.
 * WRONG_NEST_HOLE: a nest's first sharing leaves the tail where it is, so that the hole is public.
 * WRONG_NEST_MOVE: the word is moved while something older is public.
 * WRONG_NEST_END: the word stays at the nest's slots.
 */
#define SLOTS 2   /* of the stack, under the mark */
#define NESTED 1  /* slots above it */
#define CALLS 3   /* that the owner forks in all */
#define THIEVES 2
#define TRIES 2   /* of each thief */
#define ALWAYS 99 /* a sync under this slot takes the slow path: every one */

byte tail, split;      /* one word: read and swapped in one step */
bool request;
bool spawn_trap;       /* spawn_below is at its end: the next fork takes the slow path */
byte sync_from;
byte call_of[SLOTS + NESTED];
bool ready[SLOTS + NESTED]; /* what share() writes into a slot before it is public; false in a hole */
bool done[SLOTS + NESTED];
byte runs[CALLS];
byte thieves = THIEVES;

byte own_split;        /* the owner's copy */
byte top;

byte nests = 1;        /* that may still begin */
bool nested, moved;    /* as in skua__nest */
byte top_below, split_below;

inline execute(slot) {
    d_step {
        assert(runs[call_of[slot]] == 0);
        runs[call_of[slot]] = 1
    }
}

inline take_requests() {
#ifdef WRONG_TRAP
    d_step { asked = request; request = false }
    spawn_trap = false;
    sync_from = own_split
#else
    spawn_trap = false;
    sync_from = own_split;
    d_step { asked = request; request = false }
#endif
}

/* For the first sharing of a nest: gives may then be false. */
inline move_word() {
    gives = true;
    if
    :: nested && !moved ->
#ifdef WRONG_NEST_HOLE
        split = own_split; moved = true
#else
        d_step { at = tail; until = split } /* one load */
#ifdef WRONG_NEST_MOVE
        until = at;
#endif
        if
        :: at < until -> gives = false
        :: else -> d_step { tail = SLOTS; split = SLOTS }; moved = true
        fi;
        d_step { at = 0; until = 0 }
#endif
    :: else -> skip
    fi
}

inline share() {
    count = (top - own_split + 1) / 2;
#ifndef WRONG_SHARE
    d_step { /* nobody else looks at them before the split has moved */
        i = own_split;
        do
        :: i < own_split + count -> done[i] = false; ready[i] = true; i++
        :: else -> break
        od;
        i = 0
    }
#endif
    d_step { /* an atomic addition: only the owner moves it */
        own_split = own_split + count;
        split = split + count
    }
#ifdef WRONG_SHARE
    i = own_split - count;
    do
    :: i < own_split -> done[i] = false; ready[i] = true; i++
    :: else -> break
    od;
    i = 0;
#endif
    count = 0
}

inline attend() {
    take_requests();
    if
    :: asked ->
        if
        :: top > own_split ->
            move_word();
            if
            :: gives -> share(); take_requests()
            :: else -> skip
            fi
        :: else -> skip
        fi;
        if
        :: asked -> request = true; spawn_trap = true /* the next fork will have something */
        :: else -> skip
        fi
    :: else -> skip
    fi
}

inline fork() {
    d_step { /* nobody else looks at it yet */
        call_of[top] = forked;
        ready[top] = false;
        forked++;
        top++
    }
    if
    :: spawn_trap -> attend()
    :: else -> skip
    fi
}

inline take_back() {
    assert(own_split == top + 1);
    taken = false;
    do
    :: seen = tail;
        if
        :: seen > top -> break
        :: else -> skip
        fi;
        i = seen + (top - seen) / 2;
#ifdef WRONG_TAKE_BACK
        split = i; own_split = i; taken = true; break
#else
        if
        :: atomic { tail == seen -> split = i; own_split = i; taken = true }; break
        :: tail != seen -> skip /* a thief was first */
        fi
#endif
    od;
    skip;
    d_step { i = 0; seen = 0 }
    if
    :: taken -> attend(); execute(top)
    :: else ->
        done[top]; /* stolen: waits for the thief */
        d_step { tail = top; split = top; own_split = top }
        attend()
    fi
}

inline begin_nest() {
    d_step {
        nests--; nested = true; moved = false;
        top_below = top; split_below = own_split;
        top = SLOTS; own_split = SLOTS
    }
}

inline end_nest() {
    assert(own_split == SLOTS);
#ifndef WRONG_NEST_END
    if
    :: moved -> d_step { tail = split_below; split = split_below }
    :: else -> skip
    fi;
#endif
    d_step { nested = false; top = top_below; own_split = split_below }
    take_requests(); /* lowers the mark */
    if
    :: asked -> request = true; spawn_trap = true
    :: else -> skip
    fi
}

active proctype owner() {
    byte forked, count, i, seen, at, until;
    bool asked, taken, gives;
    do
    :: !nested && top < SLOTS && forked < CALLS -> fork()
    :: nested && top < SLOTS + NESTED && forked < CALLS -> fork()
    :: !nested && nests > 0 && top > 0 -> begin_nest()
    :: nested && top == SLOTS -> end_nest()
    :: top > (nested -> SLOTS : 0) ->
        top--;
        if
        :: top >= sync_from -> execute(top) /* the fast path */
        :: else ->
            if
            :: top >= own_split -> attend(); execute(top)
            :: else -> take_back()
            fi
        fi;
        ready[top] = false
    :: !nested && top == 0 && forked == CALLS -> break
    od;
    thieves == 0;
    assert(runs[0] == 1 && runs[1] == 1 && runs[2] == 1);
    assert(tail == split);
    assert(!request || spawn_trap)
}

inline ask() {
    if
    :: request -> skip
    :: else -> request = true; spawn_trap = true; sync_from = ALWAYS
    fi
}

active [THIEVES] proctype thief() {
    byte tries, at, until;
    do
    :: tries < TRIES ->
        tries++;
        d_step { at = tail; until = split }
        if
        :: at >= until -> ask()
        :: else ->
#ifdef WRONG_STEAL
            tail = at + 1;
#else
            if
            :: atomic { tail == at && split == until -> tail = at + 1 }
            :: else -> goto next
            fi;
#endif
            assert(ready[at]);
            execute(at);
            done[at] = true
        fi;
next:   skip;
        d_step { at = 0; until = 0 }
    :: else -> break
    od;
    thieves--
}
