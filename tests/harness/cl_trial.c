// SPDX-License-Identifier: MPL-2.0
// The trial of the machine's OpenCL: a kernel with arithmetic, a barrier and a function of the driver's own library.
#include "cl_trial.h"

#include "cl_load.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ITEMS = 96, GROUP = 32, DEVICES_MAX = 64, TRIAL_S = 60, LOG_BYTES = 1024 };

static const char source[] =
    "kernel void trial(global float *out, local float *tile, float factor) {\n"
    "    size_t at = get_local_id(0), last = get_local_size(0) - 1;\n"
    "    tile[at] = sqrt((float)(get_global_id(0) * get_global_id(0))) * factor;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    out[get_global_id(0)] = tile[last - at];\n"
    "}\n";

typedef struct trial {
    const skua__cl *cl;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernel;
    cl_mem out;
} trial;

/* Prints to the pipe what went wrong; the child's end. */
static void
give_up(const char *what, cl_int result, const char *log) {
    printf("%s (OpenCL error %d)%s%s\n", what, (int)result, *log ? ": " : "", log);
    fflush(stdout);
    _exit(1);
}

static void
expect(cl_int result, const char *what) {
    if (result != CL_SUCCESS) {
        give_up(what, result, "");
    }
}

static void
build(trial *self) {
    cl_int result = CL_SUCCESS;
    const char *text = source;
    self->program = self->cl->program_with_source(self->context, 1, &text, NULL, &result);
    expect(result, "no program can be made");
    result = self->cl->build_program(self->program, 1, &self->device, "", NULL, NULL);
    if (result != CL_SUCCESS) {
        static char log[LOG_BYTES];
        self->cl->get_build_info(self->program, self->device, CL_PROGRAM_BUILD_LOG, sizeof log - 1,
                                 log, NULL);
        log[strcspn(log, "\n")] = 0;
        give_up("the driver's compiler builds no kernel", result, log);
    }
    self->kernel = self->cl->create_kernel(self->program, "trial", &result);
    expect(result, "there is no kernel in the built program");
}

static void
run(trial *self) {
    float out[ITEMS] = {0}, factor = 3;
    size_t items = ITEMS, group = GROUP;
    cl_int result = CL_SUCCESS;
    self->out =
        self->cl->create_buffer(self->context, CL_MEM_READ_WRITE, sizeof out, NULL, &result);
    expect(result, "no memory can be had");
    expect(self->cl->set_kernel_arg(self->kernel, 0, sizeof self->out, &self->out), "argument 0");
    expect(self->cl->set_kernel_arg(self->kernel, 1, GROUP * sizeof(float), NULL), "argument 1");
    expect(self->cl->set_kernel_arg(self->kernel, 2, sizeof factor, &factor), "argument 2");
    expect(
        self->cl->enqueue_kernel(self->queue, self->kernel, 1, NULL, &items, &group, 0, NULL, NULL),
        "a kernel does not start");
    expect(
        self->cl->read_buffer(self->queue, self->out, CL_TRUE, 0, sizeof out, out, 0, NULL, NULL),
        "a kernel does not end");
    for (int i = 0; i < ITEMS; i++) {
        int mirrored = i / GROUP * GROUP + GROUP - 1 - i % GROUP;
        if (out[i] != 3 * (float)mirrored) {
            give_up("a kernel computes nonsense", CL_SUCCESS, "");
        }
    }
}

/* Ends with the process, so nothing is released. */
static void
try_device(const skua__cl *cl, cl_device_id device) {
    cl_bool has_compiler = CL_FALSE;
    cl->get_device_info(device, CL_DEVICE_COMPILER_AVAILABLE, sizeof has_compiler, &has_compiler,
                        NULL);
    if (!has_compiler) {
        return; /* skua only lists it */
    }
    trial self = {.cl = cl, .device = device};
    cl_int result = CL_SUCCESS;
    self.context = cl->create_context(NULL, 1, &device, NULL, NULL, &result);
    expect(result, "no context can be made");
    self.queue = cl->create_queue(self.context, device, 0, &result);
    expect(result, "no queue can be made");
    build(&self);
    run(&self);
}

static void
try_all(void) {
    skua__cl cl;
    cl_platform_id platforms[SKUA__CL_PLATFORMS_MAX];
    cl_uint platform_count = 0, tried = 0;
    if (!skua__cl_load(&cl)) {
        give_up("libOpenCL.so.1 is not installed", CL_SUCCESS, "");
    }
    cl.get_platform_ids(SKUA__CL_PLATFORMS_MAX, platforms, &platform_count);
    for (cl_uint p = 0; p < platform_count && p < SKUA__CL_PLATFORMS_MAX; p++) {
        cl_device_id devices[DEVICES_MAX];
        cl_uint count = 0;
        if (cl.get_device_ids(platforms[p], CL_DEVICE_TYPE_ALL, DEVICES_MAX, devices, &count)) {
            continue;
        }
        for (cl_uint i = 0; i < count && i < DEVICES_MAX; i++, tried++) {
            try_device(&cl, devices[i]);
        }
    }
    if (tried == 0) {
        give_up("there is no OpenCL device", CL_DEVICE_NOT_FOUND, "");
    }
}

bool
cl_trial(char *ret_reason, size_t size) {
    int ends[2], status = 0;
    snprintf(ret_reason, size, "no process for the trial");
    fflush(NULL);
    if (pipe(ends) != 0) {
        return false;
    }
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        static const int signals[] = {SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
            signal(signals[i], SIG_DFL); /* sanitizers catch some */
        }
        alarm(TRIAL_S);
        try_all();
        _exit(0); /* without the driver's own ends, which are not on trial */
    }
    close(ends[1]);
    FILE *from = fdopen(ends[0], "r");
    char said[LOG_BYTES + 128] = "";
    if (from && !fgets(said, sizeof said, from)) {
        said[0] = 0;
    }
    while (from && fgetc(from) != EOF) { /* what the driver prints besides */
    }
    waitpid(child, &status, 0);
    if (from) {
        fclose(from);
    }
    said[strcspn(said, "\n")] = 0;
    if (WIFSIGNALED(status)) {
        snprintf(ret_reason, size,
                 "the OpenCL driver %s (signal %d) when it built and ran a kernel",
                 WTERMSIG(status) == SIGALRM ? "hung" : "crashed", WTERMSIG(status));
    } else {
        snprintf(ret_reason, size, "%s", said);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void
cl_trial_or_skip(void) {
    char reason[LOG_BYTES + 256];
    if (!cl_trial(reason, sizeof reason)) {
        fprintf(stderr, "skipped: %s\n", reason);
        exit(CL_TRIAL_SKIPPED);
    }
}
