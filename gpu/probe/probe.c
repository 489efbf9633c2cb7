// SPDX-License-Identifier: MPL-2.0
// What this machine's OpenCL devices can do at best: memory bandwidth, copies to and from the host, FLOP/s and the cost
// of a launch. It stands alone, with the OpenCL headers at hand and libOpenCL.so.1 to run:
//     cc -O2 probe.c -ldl -pthread -o probe
#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS /* a queue of a 1.2 device can be made in no other way */
#include <CL/cl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    NONE = 77, /* the exit code when there is no device, which test runners take for skipped */
    RUNS = 7,
    BATCH = 1000,
    MAD_ROUNDS = 128, /* of 16 multiply-adds on 4 floats each */
    PLATFORMS_MAX = 16,
    DEVICES_MAX = 64,
    STAGE_BLOCKS = 2, /* of a thread that stages */
    STAGERS_MAX = 4,
};

static const double long_s = 0.01; /* of one launch */
static const size_t stage_bytes = 2 << 20;

static const char source[] =
    "kernel void nothing() {}\n"
    "kernel void move(global float4 *to, global const float4 *from) {\n"
    "    size_t i = get_global_id(0);\n"
    "    to[i] = from[i];\n"
    "}\n"
    "#define MAD4 x = mad(x, a, b); y = mad(y, a, b); z = mad(z, a, b); w = mad(w, a, b);\n"
    "kernel void flops(global float *to, float seed) {\n"
    "    float4 x = seed, y = seed + 1, z = seed + 2, w = seed + 3;\n"
    "    const float a = 0.999f, b = seed;\n"
    "    for (int i = 0; i < ROUNDS; i++) { MAD4 MAD4 MAD4 MAD4 }\n"
    "    float4 s = x + y + z + w;\n"
    "    to[get_global_id(0)] = s.x + s.y + s.z + s.w;\n"
    "}\n";

/* The functions that are used, found at run time: without OpenCL the program still starts and says so. */
#define FUNCTIONS(F)                                                                               \
    F(clGetPlatformIDs)                                                                            \
    F(clGetDeviceIDs)                                                                              \
    F(clGetDeviceInfo)                                                                             \
    F(clCreateContext)                                                                             \
    F(clReleaseContext)                                                                            \
    F(clCreateCommandQueue)                                                                        \
    F(clReleaseCommandQueue)                                                                       \
    F(clCreateProgramWithSource)                                                                   \
    F(clBuildProgram)                                                                              \
    F(clReleaseProgram)                                                                            \
    F(clCreateKernel)                                                                              \
    F(clReleaseKernel)                                                                             \
    F(clSetKernelArg)                                                                              \
    F(clCreateBuffer)                                                                              \
    F(clReleaseMemObject)                                                                          \
    F(clEnqueueMapBuffer)                                                                          \
    F(clEnqueueUnmapMemObject)                                                                     \
    F(clEnqueueWriteBuffer)                                                                        \
    F(clEnqueueReadBuffer)                                                                         \
    F(clFlush)                                                                                     \
    F(clWaitForEvents)                                                                             \
    F(clReleaseEvent)                                                                              \
    F(clEnqueueNDRangeKernel)                                                                      \
    F(clFinish)

typedef struct opencl {
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} opencl;

typedef struct bench {
    const opencl *cl;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    size_t bytes; /* of each buffer */
    cl_mem from, to;
    char *host; /* memory of the process, as malloc() gives it */
    size_t stagers_most;
} bench;

static double
now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int
compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median time of one call of work(), after one that is not counted; below 0 when it fails. */
static double
median_s(bench *self, cl_int (*work)(bench *self, void *arg), void *arg) {
    double times[RUNS];
    for (int i = -1; i < RUNS; i++) {
        double from_s = now_s();
        if (work(self, arg) != CL_SUCCESS || self->cl->clFinish(self->queue) != CL_SUCCESS) {
            return -1;
        }
        if (i >= 0) {
            times[i] = now_s() - from_s;
        }
    }
    qsort(times, RUNS, sizeof times[0], compare);
    return times[RUNS / 2];
}

static void
tell(const char *what, double amount, double seconds, const char *unit) {
    if (seconds > 0) {
        printf("  %-28s %10.2f %s\n", what, amount / seconds, unit);
    } else {
        printf("  %-28s %10s\n", what, "failed");
    }
}

/* ---- The works ---- */

static cl_int
write_all(bench *self, void *host) {
    return self->cl->clEnqueueWriteBuffer(self->queue, self->from, CL_TRUE, 0, self->bytes, host, 0,
                                          NULL, NULL);
}

static cl_int
read_all(bench *self, void *host) {
    return self->cl->clEnqueueReadBuffer(self->queue, self->from, CL_TRUE, 0, self->bytes, host, 0,
                                         NULL, NULL);
}

typedef struct launch {
    cl_kernel kernel;
    size_t items, group;
    int times;
} launch;

static cl_int
launch_kernel(bench *self, void *arg) {
    const launch *what = arg;
    cl_int result = CL_SUCCESS;
    for (int i = 0; i < what->times && result == CL_SUCCESS; i++) {
        result = self->cl->clEnqueueNDRangeKernel(self->queue, what->kernel, 1, NULL, &what->items,
                                                  &what->group, 0, NULL, NULL);
    }
    return result;
}

static void
probe_launches(bench *self) {
    launch nothing = {.items = 1, .group = 1, .times = 1};
    nothing.kernel = self->cl->clCreateKernel(self->program, "nothing", NULL);
    double one_s = median_s(self, launch_kernel, &nothing);
    printf("  %-28s %10.2f us\n", "empty launch and finish", one_s * 1e6);
    nothing.times = BATCH;
    double batch_s = median_s(self, launch_kernel, &nothing);
    printf("  %-28s %10.2f us\n", "empty launch of a batch", batch_s / BATCH * 1e6);
    self->cl->clReleaseKernel(nothing.kernel);
}

static void
probe_memory(bench *self) {
    launch move = {.items = self->bytes / 16, .group = 64, .times = 1};
    move.kernel = self->cl->clCreateKernel(self->program, "move", NULL);
    self->cl->clSetKernelArg(move.kernel, 0, sizeof self->to, &self->to);
    self->cl->clSetKernelArg(move.kernel, 1, sizeof self->from, &self->from);
    double seconds = median_s(self, launch_kernel, &move);
    tell("device memory", 2 * (double)self->bytes / 1e9, seconds, "GB/s read and written");
    self->cl->clReleaseKernel(move.kernel);
}

static void
probe_flops(bench *self, size_t units) {
    launch flops = {.items = units * 64, .group = 64, .times = 1};
    size_t most = self->bytes / sizeof(float);
    float seed = 0.5F;
    flops.kernel = self->cl->clCreateKernel(self->program, "flops", NULL);
    self->cl->clSetKernelArg(flops.kernel, 0, sizeof self->to, &self->to);
    self->cl->clSetKernelArg(flops.kernel, 1, sizeof seed, &seed);
    /* As many as keep the device busy for a while, so that a GPU is filled and a simulator ends. */
    for (double once_s = 0; once_s >= 0 && once_s < long_s && flops.items * 2 <= most;) {
        double from_s = now_s();
        bool good = launch_kernel(self, &flops) == CL_SUCCESS &&
                    self->cl->clFinish(self->queue) == CL_SUCCESS;
        once_s = good ? now_s() - from_s : -1;
        flops.items *= once_s >= 0 && once_s < long_s ? 2 : 1;
    }
    double seconds = median_s(self, launch_kernel, &flops);
    /* 16 mad() on 4 floats in each round, two operations each. */
    double operations = (double)flops.items * MAD_ROUNDS * 16 * 4 * 2;
    tell("single precision", operations / 1e9, seconds, "GFLOP/s");
    self->cl->clReleaseKernel(flops.kernel);
}

/* ---- Staging: pageable memory through two pinned blocks of each of a few threads ---- */

typedef struct stager {
    bench *self;
    cl_command_queue queue;
    cl_mem pinned;
    char *blocks; /* STAGE_BLOCKS of them */
    size_t first, end;
    bool in;
    cl_int result;
} stager;

/* Copies a thread's part, in pieces: the bus has one while this thread copies the other. */
static void *
stage(void *arg) {
    stager *one = arg;
    const opencl *cl = one->self->cl;
    cl_event moving[STAGE_BLOCKS] = {NULL};
    size_t at[STAGE_BLOCKS] = {0}, length[STAGE_BLOCKS] = {0}, next = one->first;
    cl_int result = CL_SUCCESS;
    int under_way = 0;
    for (int b = 0; result == CL_SUCCESS && (under_way > 0 || next < one->end);
         b = (b + 1) % STAGE_BLOCKS) {
        char *block = one->blocks + (size_t)b * stage_bytes;
        if (moving[b]) {
            result = cl->clWaitForEvents(1, &moving[b]);
            cl->clReleaseEvent(moving[b]);
            moving[b] = NULL;
            under_way--;
            if (!one->in) {
                memcpy(one->self->host + at[b], block, length[b]);
            }
        }
        if (next == one->end || result != CL_SUCCESS) {
            continue;
        }
        at[b] = next;
        length[b] = one->end - next < stage_bytes ? one->end - next : stage_bytes;
        next += length[b];
        if (one->in) {
            memcpy(block, one->self->host + at[b], length[b]);
            result = cl->clEnqueueWriteBuffer(one->queue, one->self->from, CL_FALSE, at[b],
                                              length[b], block, 0, NULL, &moving[b]);
        } else {
            result = cl->clEnqueueReadBuffer(one->queue, one->self->from, CL_FALSE, at[b],
                                             length[b], block, 0, NULL, &moving[b]);
        }
        under_way += result == CL_SUCCESS;
        cl->clFlush(one->queue);
    }
    cl->clFinish(one->queue);
    one->result = result;
    return NULL;
}

typedef struct stagers {
    stager of[STAGERS_MAX];
    size_t count;
} stagers;

static cl_int
stage_all(bench *self, void *arg) {
    stagers *all = arg;
    pthread_t threads[STAGERS_MAX];
    bool started[STAGERS_MAX] = {false};
    size_t part = (self->bytes / all->count + 4095) / 4096 * 4096;
    cl_int result = CL_SUCCESS;
    for (size_t i = 0; i < all->count; i++) {
        all->of[i].first = i * part < self->bytes ? i * part : self->bytes;
        all->of[i].end = (i + 1) * part < self->bytes ? (i + 1) * part : self->bytes;
        started[i] = pthread_create(&threads[i], NULL, stage, &all->of[i]) == 0;
        result = started[i] ? result : CL_OUT_OF_HOST_MEMORY;
    }
    for (size_t i = 0; i < all->count; i++) {
        if (started[i]) {
            pthread_join(threads[i], NULL);
            result = result == CL_SUCCESS ? all->of[i].result : result;
        }
    }
    return result;
}

static bool
open_stager(bench *self, stager *one) {
    const opencl *cl = self->cl;
    cl_int result = CL_SUCCESS;
    size_t bytes = STAGE_BLOCKS * stage_bytes;
    *one = (stager){.self = self};
    one->queue = cl->clCreateCommandQueue(self->context, self->device, 0, &result);
    if (result == CL_SUCCESS) {
        one->pinned =
            cl->clCreateBuffer(self->context, CL_MEM_ALLOC_HOST_PTR, bytes, NULL, &result);
    }
    if (result == CL_SUCCESS) {
        one->blocks =
            cl->clEnqueueMapBuffer(one->queue, one->pinned, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                   bytes, 0, NULL, NULL, &result);
    }
    return result == CL_SUCCESS && one->blocks;
}

static void
close_stager(stager *one) {
    const opencl *cl = one->self->cl;
    if (one->blocks) {
        cl->clEnqueueUnmapMemObject(one->queue, one->pinned, one->blocks, 0, NULL, NULL);
        cl->clFinish(one->queue);
    }
    if (one->pinned) {
        cl->clReleaseMemObject(one->pinned);
    }
    if (one->queue) {
        cl->clReleaseCommandQueue(one->queue);
    }
}

static void
tell_staged(const char *way, size_t threads, double gb, double seconds, double pinned_s) {
    char what[64];
    snprintf(what, sizeof what, "%s, staged by %zu", way, threads);
    if (seconds > 0 && pinned_s > 0) {
        printf("  %-28s %10.2f GB/s, %.0f %% of pinned\n", what, gb / seconds,
               100 * pinned_s / seconds);
    } else {
        tell(what, gb, seconds, "GB/s");
    }
}

/* pinned_s: how long the same took from and to pinned memory. */
static void
probe_staging(bench *self, const double pinned_s[2]) {
    stagers all = {.count = 0};
    bool good = true;
    while (good && all.count < self->stagers_most) {
        good = open_stager(self, &all.of[all.count++]);
    }
    for (size_t count = 1; good && count <= self->stagers_most; count *= STAGERS_MAX) {
        stagers some = all;
        some.count = count;
        for (int out = 0; out < 2; out++) {
            for (size_t i = 0; i < count; i++) {
                some.of[i].in = !out;
            }
            tell_staged(out ? "from the device" : "to the device", count, (double)self->bytes / 1e9,
                        median_s(self, stage_all, &some), pinned_s[out]);
        }
    }
    for (size_t i = 0; i < all.count; i++) {
        close_stager(&all.of[i]);
    }
}

static void
probe_copies(bench *self) {
    double gb = (double)self->bytes / 1e9;
    double pinned_s[2] = {-1, -1};
    tell("to the device, pageable", gb, median_s(self, write_all, self->host), "GB/s");
    tell("from the device, pageable", gb, median_s(self, read_all, self->host), "GB/s");
    cl_int result = CL_SUCCESS;
    cl_mem pinned =
        self->cl->clCreateBuffer(self->context, CL_MEM_ALLOC_HOST_PTR, self->bytes, NULL, &result);
    void *host =
        result == CL_SUCCESS
            ? self->cl->clEnqueueMapBuffer(self->queue, pinned, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE,
                                           0, self->bytes, 0, NULL, NULL, &result)
            : NULL;
    if (host && result == CL_SUCCESS) {
        memset(host, 1, self->bytes);
        pinned_s[0] = median_s(self, write_all, host);
        pinned_s[1] = median_s(self, read_all, host);
        tell("to the device, pinned", gb, pinned_s[0], "GB/s");
        tell("from the device, pinned", gb, pinned_s[1], "GB/s");
        self->cl->clEnqueueUnmapMemObject(self->queue, pinned, host, 0, NULL, NULL);
        self->cl->clFinish(self->queue);
    }
    if (pinned) {
        self->cl->clReleaseMemObject(pinned);
    }
    probe_staging(self, pinned_s);
}

/* ---- One device ---- */

static bool
set_up(bench *self) {
    cl_int result = CL_SUCCESS;
    self->context = self->cl->clCreateContext(NULL, 1, &self->device, NULL, NULL, &result);
    if (result == CL_SUCCESS) {
        self->queue = self->cl->clCreateCommandQueue(self->context, self->device, 0, &result);
    }
    if (result == CL_SUCCESS) {
        const char *text = source;
        self->program = self->cl->clCreateProgramWithSource(self->context, 1, &text, NULL, &result);
    }
    if (result == CL_SUCCESS) {
        char options[32];
        snprintf(options, sizeof options, "-DROUNDS=%d", MAD_ROUNDS);
        result = self->cl->clBuildProgram(self->program, 1, &self->device, options, NULL, NULL);
    }
    if (result == CL_SUCCESS) {
        self->from =
            self->cl->clCreateBuffer(self->context, CL_MEM_READ_WRITE, self->bytes, NULL, &result);
    }
    if (result == CL_SUCCESS) {
        self->to =
            self->cl->clCreateBuffer(self->context, CL_MEM_READ_WRITE, self->bytes, NULL, &result);
    }
    self->host = malloc(self->bytes);
    if (self->host) {
        memset(self->host, 1, self->bytes);
    }
    if (result != CL_SUCCESS) {
        printf("  cannot be used (OpenCL error %d)\n", (int)result);
    }
    return result == CL_SUCCESS && self->host;
}

static void
tear_down(bench *self) {
    free(self->host);
    if (self->to) {
        self->cl->clReleaseMemObject(self->to);
    }
    if (self->from) {
        self->cl->clReleaseMemObject(self->from);
    }
    if (self->program) {
        self->cl->clReleaseProgram(self->program);
    }
    if (self->queue) {
        self->cl->clReleaseCommandQueue(self->queue);
    }
    if (self->context) {
        self->cl->clReleaseContext(self->context);
    }
}

static bool
probe_device(const opencl *cl, cl_device_id device, double mib, bool one_thread) {
    char name[256] = "", driver[256] = "";
    cl_uint units = 1;
    cl_ulong most = 0;
    cl->clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof name - 1, name, NULL);
    cl->clGetDeviceInfo(device, CL_DRIVER_VERSION, sizeof driver - 1, driver, NULL);
    cl->clGetDeviceInfo(device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    cl->clGetDeviceInfo(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof most, &most, NULL);
    printf("%s (driver %s, %u units)\n", name, driver, units);
    bench self = {.cl = cl,
                  .device = device,
                  .bytes = (size_t)(mib * 256) * 4096,
                  .stagers_most = one_thread ? 1 : STAGERS_MAX};
    if (most && self.bytes > most / 2) {
        self.bytes = (size_t)(most / 2) / 4096 * 4096;
    }
    bool good = set_up(&self);
    if (good) {
        probe_launches(&self);
        probe_memory(&self);
        probe_flops(&self, units);
        probe_copies(&self);
    }
    tear_down(&self);
    return good;
}

/* ---- Finding them ---- */

static bool
load(opencl *cl) {
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW);
    bool whole = library != NULL;
    void *symbol;
#define FIND(name)                                                                                 \
    symbol = whole ? dlsym(library, #name) : NULL;                                                 \
    memcpy(&cl->name, &symbol, sizeof symbol);                                                     \
    whole = symbol != NULL;
    FUNCTIONS(FIND)
#undef FIND
    return whole;
}

/*
 * The driver may be there without the file that tells the loader of it. The loader reads its environment once, so the
 * program starts anew with the driver's library named; it returns only when there is no driver either.
 */
static void
start_again_with_driver(char **argv) {
    static const char *const drivers[] = {"libnvidia-opencl.so.1", "libamdocl64.so", "libigdrcl.so",
                                          "libpocl.so.2"};
    if (getenv("OCL_ICD_VENDORS")) {
        return;
    }
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        if (dlopen(drivers[i], RTLD_NOW)) {
            printf("no ICD file; trying with OCL_ICD_VENDORS=%s\n", drivers[i]);
            fflush(stdout);
            setenv("OCL_ICD_VENDORS", drivers[i], 1);
            execv("/proc/self/exe", argv);
        }
    }
}

int
main(int argc, char **argv) {
    double mib = argc > 1 ? strtod(argv[1], NULL) : 256;
    opencl cl;
    bool one_thread = argc > 2 && strcmp(argv[2], "one-thread") == 0;
    if (!(mib >= 1.0 / 256 && mib <= 65536) || argc > 3 || (argc > 2 && !one_thread)) {
        fprintf(
            stderr,
            "usage: probe [MIB [one-thread]]: MIB is the size of its buffers, 256 by default;\n"
            "one-thread is for drivers that do not survive calls from several, as OpenCL asks\n");
        return 2;
    }
    if (!load(&cl)) {
        printf("libOpenCL.so.1 is not installed\n");
        return NONE;
    }
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_uint platform_count = 0;
    int devices = 0, failed = 0;
    if (cl.clGetPlatformIDs(PLATFORMS_MAX, platforms, &platform_count) != CL_SUCCESS ||
        platform_count == 0) {
        start_again_with_driver(argv);
    }
    for (cl_uint p = 0; p < platform_count && p < PLATFORMS_MAX; p++) {
        cl_device_id ids[DEVICES_MAX];
        cl_uint count = 0;
        if (cl.clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, DEVICES_MAX, ids, &count) !=
            CL_SUCCESS) {
            continue;
        }
        for (cl_uint i = 0; i < count && i < DEVICES_MAX; i++) {
            devices++;
            failed += !probe_device(&cl, ids[i], mib, one_thread);
        }
    }
    if (devices == 0) {
        printf("there is no OpenCL device\n");
    }
    return devices == 0 ? NONE : failed > 0;
}
