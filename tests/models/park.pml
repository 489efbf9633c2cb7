/* SPDX-License-Identifier: MPL-2.0
 * The parker (sched/exec/park.c): a token in one word over a futex. One thread parks twice, the second time with a
 * deadline; another unparks. Checked: no wake-up is lost, and a token is taken once.
 * WRONG_COMPARE: the kernel does not look at the word again before the thread sleeps.
 * WRONG_WAKE: unpark wakes only if it sees the sleeper before it puts the token down.
 * WRONG_TIMEOUT: whoever ran out of time does not look for a token.
 */
mtype = { EMPTY, TOKEN, SLEEPS };

mtype word = EMPTY;
bool asleep;        /* in the kernel */
byte puts, takes;
bool late;          /* the second park ran out of time */
byte strays = 1;    /* times that the kernel may end a sleep for no reason */

inline futex_wait(may_end) {
    over = false;
    if
#ifdef WRONG_COMPARE
    :: asleep = true;
#else
    :: atomic { word == SLEEPS -> asleep = true };
#endif
        if
        :: !asleep -> skip
        :: d_step { strays > 0 && asleep -> strays--; asleep = false }
        :: d_step { may_end && asleep -> asleep = false; over = true }
        fi
    :: word != SLEEPS -> skip
    fi
}

inline park(may_end) {
    do
    :: atomic { word == TOKEN -> word = EMPTY; takes++ }; break
    :: atomic { word == EMPTY -> word = SLEEPS }; futex_wait(may_end);
        if
        :: over ->
#ifdef WRONG_TIMEOUT
            word = EMPTY; late = true; break
#else
            if
            :: atomic { word == SLEEPS -> word = EMPTY; late = true }; break
            :: word != SLEEPS -> skip
            fi
#endif
        :: else -> skip
        fi
    :: word == SLEEPS -> futex_wait(may_end)
    od
}

active proctype sleeper() {
    bool over;
    park(false);
    park(true);
    if
    :: late -> park(false) /* the token that came too late is still there, or is still to come */
    :: else -> skip
    fi;
    assert(takes == 2)
}

active proctype waker() {
    mtype before;
    do
    :: puts < 2 ->
        (puts == takes); /* one token at a time */
#ifdef WRONG_WAKE
        before = word;
        word = TOKEN;
#else
        atomic { before = word; word = TOKEN }
#endif
        puts++;
        if
        :: before == SLEEPS -> asleep = false
        :: else -> skip
        fi
    :: else -> break
    od
}
