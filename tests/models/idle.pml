/* SPDX-License-Identifier: MPL-2.0
 * Falling asleep (sched/exec/worker.c): two workers who look around, count themselves asleep, look once more and park; two
 * who publish work and wake a sleeper unless somebody searches. Checked: when nothing moves any more, no work is left;
 * and the counts are right.
 * WRONG_LAST_LOOK: a worker parks without looking once more.
 * WRONG_SEARCHING: a worker counts as searching until after its last look.
 * WRONG_PUBLISH: a publisher looks for sleepers before its work is in sight.
 * WRONG_PASS_ON: who takes work wakes nobody for the rest.
 */
#define WORKERS 2
#define PUBLISHERS 2

byte work;
byte asleep, searching;
bool listed[WORKERS]; /* in the list of sleepers */
bool token[WORKERS];
bool parked[WORKERS];
bool lock;
byte finished, taken;

inline wake_one() {
    atomic { !lock -> lock = true }
    if
    :: listed[0] -> listed[0] = false; asleep--; token[0] = true
    :: listed[1] -> listed[1] = false; asleep--; token[1] = true
    :: else -> skip
    fi;
    lock = false
}

inline wake_for_work() {
    if
    :: searching == 0 ->
        if
        :: asleep > 0 -> wake_one()
        :: else -> skip
        fi
    :: else -> skip
    fi
}

proctype worker(byte me) {
    bool found, mine;
    do
    :: atomic { work > 0 -> work-- };
#ifndef WRONG_PASS_ON
        if
        :: asleep > 0 && work > 0 -> wake_for_work()
        :: else -> skip
        fi
#endif
        taken++;
        taken == PUBLISHERS /* what was taken ends only when all of it runs */
    :: work == 0 -> /* idle() */
        atomic { /* one at most looks around */
            mine = (searching == 0);
            if
            :: mine -> searching = 1
            :: else -> skip
            fi
        }
        if
        :: mine -> found = (work > 0)
        :: else -> found = false
        fi;
        if
        :: !found ->
            atomic { !lock -> lock = true }
            listed[me] = true;
            asleep++;
            lock = false
        :: else -> skip
        fi;
#ifndef WRONG_SEARCHING
        if
        :: mine -> searching = 0
        :: else -> skip
        fi;
#endif
        if
        :: found -> skip
        :: else ->
#ifdef WRONG_LAST_LOOK
            found = false;
#else
            found = (work > 0);
#endif
#ifdef WRONG_SEARCHING
            if
            :: mine -> searching = 0
            :: else -> skip
            fi;
#endif
            if
            :: found -> skip
            :: else ->
                parked[me] = true;
end_parked:     atomic { token[me] -> token[me] = false; parked[me] = false }
            fi;
            atomic { !lock -> lock = true }
            if
            :: listed[me] -> listed[me] = false; asleep--
            :: else -> skip
            fi;
            lock = false
        fi
    od
}

proctype publisher() {
#ifdef WRONG_PUBLISH
    wake_for_work();
    work++;
#else
    work++;
    wake_for_work();
#endif
    finished++
}

/* When nothing else can move. */
proctype monitor() {
    timeout;
    assert(finished == PUBLISHERS);
    assert(work == 0);
    assert(searching == 0);
    assert(parked[0] && parked[1] && asleep == WORKERS)
}

init {
    atomic {
        run worker(0);
        run worker(1);
        run publisher();
        run publisher();
        run monitor()
    }
}
