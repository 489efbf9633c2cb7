// SPDX-License-Identifier: MPL-2.0
// Prints the SHA-256 of files as sha256sum does: a megabyte of files at a time, and each file is a work-item, on the cores or a
// device. Usage: sha256 cores|cpu|device FILE...   The hash is written once and compiled twice, as C and as OpenCL C.
#include "machine.h"

enum { DIGEST = 32, BATCH_BYTES = 1 << 20, BATCH_FILES = 256, FILE_MAX = 64 << 20 };

/* What C lacks of OpenCL C. */
#define global
#define constant static const
typedef uint8_t uchar;
typedef uint32_t uint;
typedef uint64_t ulong;

/* Compiles its last argument here, and makes it a string too, followed by tail. */
#define TWICE(name, tail, ...)                                                                     \
    __VA_ARGS__                                                                                    \
    static const char name[] = #__VA_ARGS__ tail;

/* FIPS 180-4. A message is read byte by byte, with its padding made up on the way. */
// clang-format off
TWICE(source,
    "\nkernel void sha256(global uchar *out, global const uchar *bytes, global const ulong *starts,"
    "                     ulong size, SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    size_t i = get_global_id(0);\n"
    "    uint hash[8];\n"
    "    hash_file(bytes, starts[i], starts[i + 1], size, hash);\n"
    "    for (uint j = 0; j < 32; j++) { out[i * 32 + j] = hash[j / 4] >> (24 - 8 * (j % 4)); }\n"
    "}\n",

constant uint primes[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint turn(uint x, uint by) { return x >> by | x << (32 - by); }

static uint byte_of(global const uchar *message, ulong size, ulong padded, ulong at) {
    if (at < size) { return message[at]; }
    if (at == size) { return 0x80; }
    return at < padded - 8 ? 0 : (uint)(size * 8 >> 8 * (padded - 1 - at)) & 255;
}

static void hash_block(uint *hash, uint *w) {
    uint s[8];
    for (uint i = 16; i < 64; i++) {
        uint a = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint b = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    for (uint i = 0; i < 8; i++) { s[i] = hash[i]; }
    for (uint i = 0; i < 64; i++) {
        uint e = turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25);
        uint a = turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22);
        uint t = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + primes[i] + w[i];
        uint u = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        for (uint j = 7; j > 0; j--) { s[j] = s[j - 1]; }
        s[4] += t;
        s[0] = t + u;
    }
    for (uint i = 0; i < 8; i++) { hash[i] += s[i]; }
}

static void hash_file(global const uchar *bytes, ulong start, ulong end, ulong size, uint *hash) {
    const uint first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                           0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint w[64];
    for (uint i = 0; i < 8; i++) { hash[i] = first[i]; }
    if (start > end || end > size) { return; } // a peer may have sent anything
    ulong padded = (end - start + 8) / 64 * 64 + 64;
    for (ulong at = 0; at < padded; at += 64) {
        for (uint i = 0; i < 16; i++) {
            w[i] = 0;
            for (uint j = 0; j < 4; j++) {
                w[i] = w[i] << 8 | byte_of(bytes + start, end - start, padded, at + 4 * i + j);
            }
        }
        hash_block(hash, w);
    }
}
)
// clang-format on
#undef global /* a member of skua_launch is called so */
#undef constant

static int
hash_files(const skua_kernel_call *call, void *arg) {
    (void)arg;
    unsigned char *out = call->args[0];
    const uint64_t *starts = call->args[2];
    uint64_t size;
    memcpy(&size, call->args[3], sizeof size);
    for (uint64_t i = call->begin; i < call->end; i++) {
        uint32_t hash[8];
        hash_file(call->args[1], starts[i], starts[i + 1], size, hash);
        for (uint32_t j = 0; j < DIGEST; j++) {
            out[i * DIGEST + j] = (unsigned char)(hash[j / 4] >> (24 - 8 * (j % 4)));
        }
    }
    return 0;
}

static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    uint64_t files = launch->global[0], size;
    memcpy(&size, launch->args[3].value, sizeof size);
    return launch->args[0].bytes != files * DIGEST || launch->args[1].bytes < size ||
           launch->args[2].bytes != (files + 1) * sizeof(uint64_t) || launch->args[3].bytes != 8;
}

/* Files that are hashed by one launch. */
typedef struct batch {
    char **names;
    unsigned char *bytes, digests[BATCH_FILES * DIGEST];
    uint64_t starts[BATCH_FILES + 1];
    uint32_t count;
} batch;

/* Reads one more file. Returns whether there is room for another. */
static bool
take_file(batch *self, char *name) {
    FILE *file = fopen(name, "rb");
    uint64_t used = self->starts[self->count];
    size_t got = file ? fread(self->bytes + used, 1, FILE_MAX + 1, file) : 0;
    if (!file || ferror(file) || got > FILE_MAX) {
        fprintf(stderr, "sha256: %s: cannot be read, or has more than %d bytes\n", name, FILE_MAX);
        exit(1);
    }
    fclose(file);
    self->starts[++self->count] = used + got;
    return self->count < BATCH_FILES && used + got < BATCH_BYTES;
}

static void
hash_batch(const machine *on, batch *self) {
    skua_pool_future *future = NULL;
    skua_error err;
    uint64_t size = self->starts[self->count];
    /* An empty buffer is none: one byte more does no harm. */
    const skua_kernel_arg args[] = {
        {.data = self->digests, .bytes = (size_t)self->count * DIGEST},
        {.data = self->bytes, .bytes = size ? size : 1},
        {.data = self->starts, .bytes = (self->count + 1) * sizeof self->starts[0]},
        {.value = &size, .bytes = sizeof size}};
    const skua_launch *launch = SKUA_LAUNCH(.kernel = "sha256", .global = {self->count},
                                            .args = args, .arg_count = 4, .on = on->on);
    must(skua_kernel_submit(on->pool, launch, &future, &err), &err);
    must(skua_kernel_collect(on->pool, launch, future, SKUA_UNLIMITED, &err), &err);
    skua_pool_future_free(future);
    for (uint32_t i = 0; i < self->count; i++) {
        for (uint32_t j = 0; j < DIGEST; j++) {
            printf("%02x", self->digests[i * DIGEST + j]);
        }
        printf("  %s\n", self->names[i]);
    }
}

int
main(int argc, char **argv) {
    static batch files;
    char *own[] = {argv[0]}; /* without a file: itself */
    char **names = argc > 2 ? argv + 2 : own;
    size_t count = argc > 2 ? (size_t)argc - 2 : 1;
    machine here;
    skua_error err;
    machine_open(&here, argc > 1 ? argv[1] : NULL, 0);
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_IN,
                                             SKUA_PARAM_VALUE};
    must(skua_kernel_register(here.pool, "sha256",
                              SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 4,
                                               .guarded = 1, .fn = hash_files, .check = check),
                              &err),
         &err);
    files.bytes = malloc(BATCH_BYTES + FILE_MAX + 1);
    for (size_t i = 0; files.bytes && i < count;) {
        files.names = names + i;
        files.count = 0;
        while (i < count && take_file(&files, names[i++])) {
        }
        hash_batch(&here, &files);
    }
    machine_tell_shares(&here, "sha256", stderr);
    bool good = files.bytes != NULL;
    free(files.bytes);
    machine_close(&here);
    return good ? 0 : 1;
}
