/* SPDX-License-Identifier: MPL-2.0
 * Waiting for a stolen call (sched/exec/fork.c): the owner takes forked calls back from the thief, but only what the stolen
 * call forked. The thief ends that call and goes on to others, which fork too. Checked: what a leaper takes was forked by
 * the call that it waits for; and it sleeps only while it will be woken.
 * WRONG_EPOCH: the thief does not count up when it ends a call.
 * WRONG_LOOK: the leaper looks whether the call is done before it reads the word.
 * WRONG_PARK: the leaper goes to sleep without a last look.
 */
#define CALLS 3 /* that the thief runs: the stolen one is the first */

byte epoch, tail, split; /* the thief's word: read and swapped in one step */
byte running;            /* the call that the thief runs */
bool done, waited, token;
bool forked_done;

active proctype thief() {
    byte call;
    do
    :: call < CALLS ->
        d_step { running = call; forked_done = false }
        if
        :: split = split + 1; /* forks a call and shares it */
            if
            :: atomic { tail == 0 -> split = 0 }  /* takes it back */
            :: atomic { tail == 1 -> skip };
                forked_done;                      /* stolen: waits for it */
                d_step { tail = 0; split = 0 }
            fi
        :: skip
        fi;
#ifndef WRONG_EPOCH
        epoch++;
#endif
        if
        :: call == 0 ->
            atomic { done = true; if :: waited -> token = true :: else -> skip fi }
        :: else -> skip
        fi;
        call++
    :: else -> break
    od
}

inline run_taken() {
    assert(running == 0);
    forked_done = true
}

active proctype leaper() {
    byte seen_epoch, seen_tail, seen_split;
    do
    :: done -> break
    :: else ->
#ifdef WRONG_LOOK
        if
        :: done -> break
        :: else -> skip
        fi;
        d_step { seen_epoch = epoch; seen_tail = tail; seen_split = split }
#else
        d_step { seen_epoch = epoch; seen_tail = tail; seen_split = split }
        if
        :: done -> break
        :: else -> skip
        fi;
#endif
        if
        :: seen_tail < seen_split ->
            if
            :: atomic {
                    epoch == seen_epoch && tail == seen_tail && split == seen_split ->
                    tail = tail + 1
                };
                run_taken()
            :: else -> skip
            fi
        :: else -> /* nothing to take: sleeps until the call is done */
#ifdef WRONG_PARK
            waited = true;
            token
#else
            if
            :: atomic { !done -> waited = true }; token
            :: done -> skip
            fi
#endif
        fi
    od
}
