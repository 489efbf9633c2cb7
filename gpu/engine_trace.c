// SPDX-License-Identifier: MPL-2.0
// What an engine tells to the trace of an executor: each launch from its submission to its end, and within it each command at
// the times that the device tells, put onto the host's clock.
#include "engine_priv.h"

#include <skua-int/clock.h>

const char *const skua__engine_rows[SKUA__DEV_QUEUES] = {"copies in", "kernels", "copies out"};

static int64_t
within(int64_t at_ns, int64_t low_ns, int64_t high_ns) {
    return at_ns < low_ns ? low_ns : at_ns > high_ns ? high_ns : at_ns;
}

static const char *
name_of(const skua__step *step) {
    switch (step->kind) {
    case SKUA__STEP_IN:
        return "copy in";
    case SKUA__STEP_OUT:
        return "copy out";
    case SKUA__STEP_KERNEL:
        return skua__launch_name(step->launch);
    default:
        return "host copy";
    }
}

static int32_t
row_of(const skua__step *step) {
    switch (step->kind) {
    case SKUA__STEP_IN:
        return step->launch->express ? SKUA__DEV_COMPUTE : SKUA__DEV_IN;
    case SKUA__STEP_OUT:
        return step->launch->express ? SKUA__DEV_COMPUTE : SKUA__DEV_OUT;
    case SKUA__STEP_KERNEL:
        return SKUA__DEV_COMPUTE;
    default:
        return SKUA__TRACK_SPAN; /* the driver's threads copy several at a time */
    }
}

void
skua__trace_called(skua__engine *engine, skua__launch *launch) {
    launch->traced = skua__track_is_on(engine->track) ? skua__track_owner(engine->track) : 0;
    launch->called_ns = launch->traced ? skua__clock_ns() : 0;
}

void
skua__trace_step_called(skua__step *step) {
    step->called_ns = step->launch->traced ? skua__clock_ns() : 0;
}

void
skua__trace_step_told_locked(skua__engine *engine, skua__step *step) {
    const skua__dev_command *command = &step->command;
    if (!step->called_ns) {
        return;
    }
    bool on_host = step->kind == SKUA__STEP_HOST_IN || step->kind == SKUA__STEP_HOST_OUT;
    step->told_ns = skua__clock_ns();
    if (!on_host && command->queued_ns && command->end_ns) {
        skua__clocks_note(&engine->clocks, step->called_ns, command->queued_ns, command->end_ns,
                          step->told_ns);
        step->clocks = engine->clocks;
    }
}

void
skua__trace_step(skua__engine *engine, const skua__step *step) {
    const skua__dev_command *command = &step->command;
    if (!step->called_ns || !step->told_ns || !command->end_ns) {
        return; /* it is not traced, or ended with the device, which told no times */
    }
    /* What the host knows for certain bounds what is told. */
    const skua__clocks *clocks = &step->clocks;
    int64_t low_ns = step->called_ns, high_ns = step->told_ns;
    int64_t queued_ns = within(skua__clocks_host_ns(clocks, command->queued_ns), low_ns, high_ns);
    int64_t submit_ns =
        within(skua__clocks_host_ns(clocks, command->submit_ns), queued_ns, high_ns);
    int64_t start_ns = within(skua__clocks_host_ns(clocks, command->start_ns), submit_ns, high_ns);
    int64_t end_ns = within(skua__clocks_host_ns(clocks, command->end_ns), start_ns, high_ns);
    skua__track_add(engine->track, &(skua__track_slice){.row = row_of(step),
                                                        .kind = "host copy",
                                                        .name = name_of(step),
                                                        .owner = step->launch->traced,
                                                        .start_ns = start_ns,
                                                        .end_ns = end_ns,
                                                        .queued_ns = queued_ns,
                                                        .submit_ns = submit_ns,
                                                        .bytes = step->bytes});
}

void
skua__trace_ended(skua__engine *engine, const skua__launch *launch) {
    if (launch->traced) {
        skua__track_add(engine->track,
                        &(skua__track_slice){.row = SKUA__TRACK_SPAN,
                                             .kind = "launch",
                                             .name = skua__launch_name(launch),
                                             .owner = launch->traced,
                                             .start_ns = launch->called_ns,
                                             .end_ns = skua__clock_ns(),
                                             .bytes = launch->in_bytes + launch->out_bytes});
    }
}
