// SPDX-License-Identifier: MPL-2.0
// In how many ways can 11 queens stand on a board of 11 by 11 so that none threatens another? Each place of a row is tried by a call
// of its own, which is forked where somebody would take it.
#include "must.h"

#include <skua/exec.h>

enum { N = 11, ALL = (1 << N) - 1 };

/* The rows so far: columns that are taken, and those that diagonals threaten in the next row. */
typedef struct board {
    uint32_t columns, left, right;
    uint64_t ways;
} board;

static void
place(skua_worker w, void *frame) {
    board *self = frame, tries[N];
    int count = 0;
    bool forks = skua_fork_wanted(w);
    self->ways = self->columns == ALL;
    uint32_t free_places = ALL & ~(self->columns | self->left | self->right);
    for (; free_places; free_places &= free_places - 1) {
        uint32_t queen = free_places & -free_places;
        board *next = &tries[count++];
        *next = (board){.columns = self->columns | queen,
                        .left = (self->left | queen) << 1,
                        .right = (self->right | queen) >> 1};
        forks ? skua_spawn(&w, place, next) : place(w, next);
    }
    while (count-- > 0) {
        if (forks) {
            skua_sync(&w, place, &tries[count]);
        }
        self->ways += tries[count].ways;
    }
}

int
main(void) {
    skua_exec *exec = NULL;
    skua_error err;
    board empty = {0};
    must(skua_exec_open(&exec, NULL, &err), &err);
    must(skua_exec_run(exec, place, &empty, &err), &err);
    printf("%d queens stand in %llu ways\n", N, (unsigned long long)empty.ways);
    skua_exec_close(exec);
    return empty.ways == 2680 ? 0 : 1;
}
