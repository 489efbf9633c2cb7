// SPDX-License-Identifier: MPL-2.0
// Staging: a large copy between the caller's memory and a device that has its own goes in pieces through pinned blocks of
// the host's memory, which the device reads and writes at its full rate.
//
// A piece takes two steps, a copy on the host and one on the bus, each a command of the driver's. There are at least two blocks
// in each direction, so that the host copies one piece while the bus moves another. The host's copies are made by threads of
// the driver's, not by the engine's: that one starts kernels and hears of ends meanwhile, and one core alone copies at
// about 10 GB/s, which is less than a bus moves.
//
//   IN:  free --host copy: caller to block--> full --write: block to device--> free
//   OUT: free --read: device to block--> full --host copy: block to caller--> free
//
// The pieces of the oldest copy go first. A copy is over when its last piece is; one that failed begins no more pieces, and is
// over when none is under way. Blocks are only free when no copy has pieces left to begin.
#include "buffer_priv.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>

enum {
    PIECE_ALIGN = 4096,
    PIECE_SHARE = 4, /* a copy is cut into so many pieces at least, where they are not too small */
};

void
skua__stage_init(skua__engine *engine) {
    engine->unpinned = false;
    for (int i = 0; i < STAGE_DIRECTIONS; i++) {
        skua__stage *stage = &engine->stages[i];
        *stage = (skua__stage){0};
        skua__list_init(&stage->free);
        skua__list_init(&stage->copies);
    }
}

static skua__stage *
stage_of(skua__engine *engine, skua__step_kind kind) {
    return &engine->stages[kind == SKUA__STEP_IN || kind == SKUA__STEP_HOST_IN ? 0 : 1];
}

/* ---- The blocks ---- */

static void
make_blocks(skua__engine *engine, skua__stage *stage, uint32_t count) {
    uint8_t *host = engine->driver->mem_host(engine->dev, stage->pinned);
    for (uint32_t i = 0; i < count; i++) {
        stage->pieces[i].host = host + i * engine->stage_bytes;
        skua__list_push_back(&stage->free, &stage->pieces[i].link);
    }
}

/* Whether the direction has blocks, made now if there is room for them: no launch ever waits for want of them. */
static bool
has_blocks(skua__engine *engine, skua__stage *stage) {
    if (stage->pinned || engine->unpinned) {
        return stage->pinned != NULL;
    }
    uint32_t count = 2 * engine->driver->host_copiers(engine->dev);
    count = count < STAGE_BLOCKS_MAX ? count : STAGE_BLOCKS_MAX;
    if (count == 0) {
        engine->unpinned = true;
        return false;
    }
    uint64_t bytes = count * engine->stage_bytes, evict_bytes = 0;
    skua__admission *account = &engine->blocks.account;
    if (bytes > account->limit_bytes / STAGE_SHARE) {
        return false;
    }
    skua__admit admit = skua__admission_ask(account, bytes, bytes, skua__clock_ns(), &evict_bytes);
    if (admit == SKUA__ADMIT_EVICT) {
        skua__blocks_evict(&engine->blocks, evict_bytes);
    } else if (admit != SKUA__ADMIT_NOW) {
        return false;
    }
    skua_error unused;
    if (engine->driver->mem_new(engine->dev, SKUA__DEV_MEM_PINNED, bytes, NULL, &stage->pinned,
                                &unused)) {
        engine->unpinned = true; /* not asked for again before there is another context */
        return false;
    }
    skua__admission_take(account, bytes);
    stage->bytes = bytes;
    make_blocks(engine, stage, count);
    return true;
}

uint64_t
skua__stage_let_go(skua__engine *engine) {
    uint64_t gone = 0;
    for (int i = 0; i < STAGE_DIRECTIONS && engine->dev; i++) {
        skua__stage *stage = &engine->stages[i];
        if (stage->pinned && stage->busy == 0) {
            engine->driver->mem_free(engine->dev, stage->pinned);
            skua__admission_give(&engine->blocks.account, stage->bytes, 0);
            gone += stage->bytes;
            *stage = (skua__stage){0};
            skua__list_init(&stage->free);
            skua__list_init(&stage->copies);
        }
    }
    return gone;
}

/* ---- The pieces ---- */

/* Submits a piece's step, or notes in its launch why it was not. */
static bool
submit_step(skua__engine *engine, skua__piece *piece, skua__step_kind kind) {
    skua__launch_arg *arg = piece->arg;
    skua__launch *launch = arg->staged.launch;
    const skua__device_driver *driver = engine->driver;
    if (!engine->dev) {
        launch->status = SKUA_FAIL(&launch->error, SKUA_E_DEVICE_FAILED,
                                   "device \"%s\" failed in the middle of a copy of \"%s\"",
                                   engine->info.name, skua__launch_name(launch));
        return false;
    }
    uint8_t *caller = (uint8_t *)arg->host + piece->offset;
    uint64_t at = arg->before_bytes + piece->offset;
    skua__dev_command *command = skua__step_begin(&piece->step, launch, kind);
    piece->step.piece = piece;
    piece->step.bytes = piece->bytes;
    skua_status status = SKUA_OK;
    switch (kind) {
    case SKUA__STEP_HOST_IN:
        status = driver->host_copy(engine->dev, piece->host, caller, piece->bytes, command,
                                   &launch->error);
        break;
    case SKUA__STEP_IN:
        status = driver->write(engine->dev, SKUA__DEV_IN, skua__arg_memory(arg), at, piece->host,
                               piece->bytes, command, &launch->error);
        engine->dirty[SKUA__DEV_IN] = true;
        break;
    case SKUA__STEP_OUT:
        status = driver->read(engine->dev, SKUA__DEV_OUT, skua__arg_memory(arg), at, piece->host,
                              piece->bytes, command, &launch->error);
        engine->dirty[SKUA__DEV_OUT] = true;
        break;
    default:
        arg->written = true;
        status = driver->host_copy(engine->dev, caller, piece->host, piece->bytes, command,
                                   &launch->error);
        break;
    }
    launch->status = status;
    return status == SKUA_OK;
}

static uint64_t
piece_bytes(const skua__engine *engine, const skua__launch_arg *arg) {
    uint64_t bytes = (arg->bytes / PIECE_SHARE + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    bytes = bytes < STAGE_MIN_BYTES ? STAGE_MIN_BYTES : bytes;
    bytes = bytes > engine->stage_bytes ? engine->stage_bytes : bytes;
    uint64_t left = arg->bytes - arg->staged.begun_bytes;
    return bytes < left ? bytes : left;
}

static void
begin_piece(skua__engine *engine, skua__stage *stage, skua__launch_arg *arg) {
    skua__staged *staged = &arg->staged;
    skua__piece *piece = SKUA_CONTAINER_OF(skua__list_pop_front(&stage->free), skua__piece, link);
    piece->arg = arg;
    piece->offset = staged->begun_bytes;
    piece->bytes = piece_bytes(engine, arg);
    bool in = stage == &engine->stages[0];
    if (submit_step(engine, piece, in ? SKUA__STEP_HOST_IN : SKUA__STEP_OUT)) {
        staged->begun_bytes += piece->bytes;
        staged->pieces++;
        stage->busy++;
    } else {
        skua__list_push_front(&stage->free, &piece->link);
    }
}

/*
 * Begins pieces while there are blocks. Returns the launch of a copy that cannot go on and has nothing under way any more,
 * and is to be called again then; NULL: there is none.
 */
static skua__launch *
pump(skua__engine *engine, skua__stage *stage) {
    while (!skua__list_empty(&stage->copies) && !skua__list_empty(&stage->free)) {
        skua__staged *staged = SKUA_CONTAINER_OF(stage->copies.next, skua__staged, link);
        skua__launch_arg *arg = SKUA_CONTAINER_OF(staged, skua__launch_arg, staged);
        skua__launch *launch = staged->launch;
        if (launch->status == SKUA_OK) {
            begin_piece(engine, stage, arg);
        }
        if (launch->status || staged->begun_bytes == arg->bytes) {
            skua__list_remove(&staged->link);
        }
        if (launch->status && staged->pieces == 0) {
            return launch;
        }
    }
    return NULL;
}

/* ---- The copies ---- */

bool
skua__stage_takes(skua__engine *engine, const skua__launch *launch, const skua__launch_arg *arg,
                  skua__step_kind kind) {
    return engine->stage_bytes && !launch->express && arg->bytes > STAGE_MIN_BYTES &&
           has_blocks(engine, stage_of(engine, kind));
}

bool
skua__stage_begin(skua__engine *engine, skua__launch *launch, skua__launch_arg *arg,
                  skua__step_kind kind) {
    skua__stage *stage = stage_of(engine, kind);
    arg->staged = (skua__staged){.launch = launch};
    skua__list_push_back(&stage->copies, &arg->staged.link);
    launch->pending++;
    if (pump(engine, stage)) {
        launch->pending--; /* it can only be this one */
        return false;
    }
    return true;
}

/*
 * The copies on the bus follow each other; what comes on top is the first piece's way to its block, or the last one's way
 * from it. Each is told on its own clock.
 */
static void
note_time(skua__staged *staged, const skua__step *step) {
    int64_t start_ns = step->command.start_ns, end_ns = step->command.end_ns;
    bool on_host = step->kind == SKUA__STEP_HOST_IN || step->kind == SKUA__STEP_HOST_OUT;
    if (!on_host) {
        staged->bus_start_ns = staged->bus_end_ns ? staged->bus_start_ns : start_ns;
        staged->bus_end_ns = end_ns;
    } else if (step->kind == SKUA__STEP_HOST_OUT || !staged->host_ns) {
        staged->host_ns = end_ns - start_ns;
    }
}

void
skua__stage_landed(skua__engine *engine, skua__step *step) {
    skua__piece *piece = step->piece;
    skua__launch *launch = step->launch;
    skua__stage *stage = stage_of(engine, step->kind);
    skua__staged *staged = &piece->arg->staged;
    skua__step_kind next = step->kind == SKUA__STEP_HOST_IN ? SKUA__STEP_IN : SKUA__STEP_HOST_OUT;
    bool half_way = step->kind == SKUA__STEP_HOST_IN || step->kind == SKUA__STEP_OUT;
    note_time(staged, step);
    skua__trace_step(engine, step);
    if (half_way && launch->status == SKUA_OK && submit_step(engine, piece, next)) {
        return;
    }
    bool in = stage == &engine->stages[0];
    stage->busy--;
    skua__list_push_back(&stage->free, &piece->link);
    if (launch->status) {
        skua__list_remove(&staged->link);
    }
    bool over =
        --staged->pieces == 0 && (launch->status || staged->begun_bytes == piece->arg->bytes);
    if (over) {
        int64_t took_ns = staged->bus_end_ns - staged->bus_start_ns + staged->host_ns;
        *(in ? &launch->in_ns : &launch->out_ns) += took_ns;
    }
    for (skua__launch *failed; (failed = pump(engine, stage)) != NULL;) {
        skua__run_landed_one(engine, failed);
    }
    if (over) {
        skua__run_landed_one(engine, launch);
    }
}
