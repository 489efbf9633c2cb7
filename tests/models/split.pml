/* SPDX-License-Identifier: MPL-2.0
 * The split stack of forked calls (sched/exec/fork.c): one owner who forks and syncs, two thieves who steal and ask.
 * Checked: each call runs once, none is lost, none is read before it was written, no request is left without its trap.
 * WRONG_STEAL: a thief moves the tail without comparing.
 * WRONG_TAKE_BACK: the owner moves the split without comparing.
 * WRONG_TRAP: the owner takes the request before it resets the trap.
 * WRONG_SHARE: the split moves before the slots are ready.
 */
#define SLOTS 2   /* of the stack */
#define CALLS 3   /* that the owner forks in all */
#define THIEVES 2
#define TRIES 2   /* of each thief */
#define ALWAYS 99 /* a sync under this slot takes the slow path: every one */

byte tail, split;      /* one word: read and swapped in one step */
bool request;
bool spawn_trap;       /* spawn_below is at its end: the next fork takes the slow path */
byte sync_from;
byte call_of[SLOTS];
bool ready[SLOTS];     /* what share() writes into a slot before it is public */
bool done[SLOTS];
byte runs[CALLS];
byte thieves = THIEVES;

byte own_split;        /* the owner's copy */
byte top;

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

inline share() {
    count = (top - own_split + 1) / 2;
#ifndef WRONG_SHARE
    i = own_split;
    do
    :: i < own_split + count -> done[i] = false; ready[i] = true; i++
    :: else -> break
    od;
#endif
    own_split = own_split + count;
    split = split + count; /* an atomic addition: only the owner moves it */
#ifdef WRONG_SHARE
    i = own_split - count;
    do
    :: i < own_split -> done[i] = false; ready[i] = true; i++
    :: else -> break
    od
#endif
}

inline attend() {
    take_requests();
    if
    :: asked ->
        if
        :: top > own_split -> share(); take_requests()
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
    call_of[top] = forked;
    ready[top] = false;
    forked++;
    top++;
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
    if
    :: taken -> attend(); execute(top)
    :: else ->
        done[top]; /* stolen: waits for the thief */
        d_step { tail = top; split = top; own_split = top }
        attend()
    fi
}

active proctype owner() {
    byte forked, count, i, seen;
    bool asked, taken;
    do
    :: top < SLOTS && forked < CALLS -> fork()
    :: top > 0 ->
        top--;
        if
        :: top >= sync_from -> execute(top) /* the fast path */
        :: else ->
            if
            :: top >= own_split -> attend(); execute(top)
            :: else -> take_back()
            fi
        fi
    :: top == 0 && forked == CALLS -> break
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
next:   skip
    :: else -> break
    od;
    thieves--
}
