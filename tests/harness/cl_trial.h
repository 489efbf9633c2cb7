// SPDX-License-Identifier: MPL-2.0
// Whether OpenCL works here at all, found out with bare OpenCL and none of skua's code: a machine whose driver is missing,
// or does not know the CPU that it stands on, must not fail our tests, and must not pass them in silence either.
#ifndef SKUA_CL_TRIAL_H
#define SKUA_CL_TRIAL_H

#include <stdbool.h>
#include <stddef.h>

enum { CL_TRIAL_SKIPPED = 77 /* the exit code that Meson counts as skipped */ };

/*
 * Builds and runs a small kernel on every device, in a child process that is given a minute and may crash. Returns whether all
 * of it worked; else ret_reason says what did not. This process does not touch OpenCL.
 */
bool cl_trial(char *ret_reason, size_t size);
/* The same at the start of a test program: without OpenCL it tells the reason and ends with CL_TRIAL_SKIPPED. */
void cl_trial_or_skip(void);

#endif
