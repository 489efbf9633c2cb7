/* SPDX-License-Identifier: MPL-2.0
 * What a worker offers (sched/exec/offers.h): one owner who adds to a ring of two cells and takes the newest, two thieves
 * who take the oldest. Checked: each item is taken once, none is lost, and none is read before it was written or after its
 * cell was filled anew.
 * WRONG_LOWER: the owner looks at top before it lowers bottom.
 * WRONG_STEAL_ORDER: a thief reads bottom before top.
 * WRONG_LAST: the owner takes the last item without moving top.
 * WRONG_SWAP: a thief moves top without comparing.
 * WRONG_ROOM: the owner fills a cell before it has seen top pass it.
 * WRONG_PUBLISH: bottom moves before the cell is filled.
 */
#define CELLS 2
#define ITEMS 4
#define TRIES 2 /* of each thief */
#define NONE 99

byte top, bottom; /* they only grow, but for the step of a take */
byte cells[CELLS] = NONE;
byte runs[ITEMS];
byte added;       /* items that the owner has added */
byte thieves = 2;

inline execute(item) {
    d_step {
        assert(item != NONE);
        assert(runs[item] == 0);
        runs[item] = 1
    }
}

inline add() {
    /* top_seen is what the owner last read of top: read anew only where the ring looks full */
    if
    :: bottom - top_seen >= CELLS -> top_seen = top
    :: else -> skip
    fi;
    if
#ifdef WRONG_ROOM
    :: bottom - top_seen <= CELLS ->
#else
    :: bottom - top_seen < CELLS ->
#endif
#ifdef WRONG_PUBLISH
        bottom++;
        cells[(bottom - 1) % CELLS] = added;
#else
        cells[bottom % CELLS] = added;
        bottom++;
#endif
        added++
    :: else -> skip /* it does not fit: the owner has to take something first */
    fi
}

inline take() {
    if
    :: top == bottom -> skip
    :: else ->
#ifdef WRONG_LOWER
        top_seen = top;
        bottom--;
#else
        bottom--;
        top_seen = top;
#endif
        mine = cells[bottom % CELLS];
        if
        :: top_seen < bottom -> execute(mine)
        :: top_seen == bottom ->
#ifdef WRONG_LAST
            ours = true;
#else
            atomic { ours = (top == top_seen); if :: ours -> top++ :: else -> skip fi }
#endif
            bottom++;
            if
            :: ours -> execute(mine)
            :: else -> skip
            fi
        :: else -> bottom++ /* a thief had it already */
        fi
    fi
}

active proctype owner() {
    byte top_seen, mine;
    bool ours;
    do
    :: added < ITEMS -> add()
    :: take()
    :: added == ITEMS && top == bottom -> break
    od;
    (thieves == 0);
    byte i = 0;
    do
    :: i < ITEMS -> assert(runs[i] == 1); i++
    :: else -> break
    od
}

active [2] proctype thief() {
    byte seen, end, item, tries;
    bool got;
    do
    :: tries < TRIES ->
#ifdef WRONG_STEAL_ORDER
        end = bottom;
        seen = top;
#else
        seen = top;
        end = bottom;
#endif
        if
        :: end > seen ->
            item = cells[seen % CELLS];
#ifdef WRONG_SWAP
            got = true;
            top++;
#else
            atomic { got = (top == seen); if :: got -> top++ :: else -> skip fi }
#endif
            if
            :: got -> execute(item)
            :: else -> skip
            fi
        :: else -> skip
        fi;
        tries++
    :: else -> break
    od;
    thieves--
}
