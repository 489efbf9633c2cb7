// SPDX-License-Identifier: MPL-2.0
// The demo's progress bar on a terminal.
#include "demo.h"

#include <skua-int/clock.h>
#include <unistd.h>

enum { BAR_CELLS = 40, BAR_EVERY_MS = 50 };

skua_status
demo_progress_start(demo *self) {
    self->bar = isatty(STDERR_FILENO) && !self->cli->json && !self->cli->quiet;
    return SKUA_OK;
}

void
demo_progress_tell(demo *self, uint64_t done_bytes, uint64_t all_bytes) {
    int64_t now_ns = skua__clock_ns();
    bool last = done_bytes >= all_bytes;
    if (!self->bar || all_bytes == 0 ||
        (!last && now_ns - self->bar_ns < BAR_EVERY_MS * SKUA_NS_PER_MS)) {
        return;
    }
    self->bar_ns = now_ns;
    char cells[BAR_CELLS + 1], bytes[16];
    double part = last ? 1.0 : (double)done_bytes / (double)all_bytes;
    for (int i = 0; i < BAR_CELLS; i++) {
        cells[i] = i < (int)(part * BAR_CELLS) ? '#' : '.';
    }
    cells[BAR_CELLS] = 0;
    fprintf(stderr, "\r  [%s] %3d %%  %-9s", cells, (int)(part * 100),
            cli_bytes_text(done_bytes, bytes));
}

void
demo_progress_stop(demo *self) {
    if (self->bar) {
        fprintf(stderr, "\r\033[K");
        self->bar = false;
    }
}
