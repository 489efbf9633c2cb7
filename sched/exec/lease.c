// SPDX-License-Identifier: MPL-2.0
// The lease: a small shared segment per user and host, in which each executor says what it wishes and how much of it is awake.
// From that each works out its own share by the same rule (lease_rule.h); nobody is in charge, and nobody is asked.
//
// It is a segment of System V and no mapped file, because a file that somebody cuts short kills whoever looks at it (SIGBUS).
// There is no lock in it: a slot is claimed by a swap of its owner, its other words are each right by themselves, and a reader
// who sees half of a change has a wrong share until its next look. A dead owner is found by asking the system; an owner is
// process id and start time, so that a number used again is another owner. Whatever else lies there is bounded when it is read.
//
// Nothing here is on the way of a spawn, and one load and comparison on the way of a job. While an executor is asleep it does
// nothing at all. While it is awake and has less than it wishes, one of its resting workers looks every LEASE_LOOK_NS.
#include "lease.h"
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/hash.h>
#include <skua-int/quota.h>

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LEASE_VERSION = 1,
    LEASE_LOOK_NS = 10000000,     /* between two looks of a watcher */
    LEASE_GAP_NS = 2000000,       /* between any two looks of one executor */
    LEASE_CENSUS_NS = 1000000000, /* between two searches for numbers used again */
    LEASE_STAT_BYTES = 1024,      /* of /proc/PID/stat */
};

#define LEASE_MAGIC (UINT64_C(0x6c65617365000000) | LEASE_VERSION)

static uint64_t
get(const skua__a64 *word) {
    return skua__a64_load(word, memory_order_relaxed); /* relaxed: K1 orders what matters */
}

static void
put(skua__a64 *word, uint64_t value) {
    skua__a64_store(word, value, memory_order_relaxed); /* relaxed: K1 orders what matters */
}

/* ---- Processes ---- */

/* When a process was started, in ticks since boot; 0: it is not there, or cannot be seen. */
static uint64_t
start_ticks(pid_t process) {
    char path[48], text[LEASE_STAT_BYTES];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)process);
    FILE *file = fopen(path, "re");
    if (!file) {
        return 0;
    }
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = 0;
    /* The name, in parentheses, may hold anything; behind it come the fields 3 to 52, and 22 is the start. */
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

static uint64_t
owner_of(pid_t process) {
    return start_ticks(process) << 32 | (uint32_t)process;
}

static pid_t
process_of(uint64_t owner) {
    return (pid_t)(owner & INT32_MAX);
}

/* Whether an owner is gone. A thorough look also sees through a process id that was used again. */
static bool
is_dead(uint64_t owner, bool thorough) {
    pid_t process = process_of(owner);
    if (process == 0 || (kill(process, 0) && errno == ESRCH)) {
        return true;
    }
    uint64_t ticks = thorough ? start_ticks(process) : 0;
    return ticks && (uint32_t)ticks != (uint32_t)(owner >> 32);
}

/* ---- The segment ---- */

/* Each user has one per space of process ids, since only there a process can see whether another one is alive. */
key_t
skua__lease_ipc_key(uint32_t key) {
    struct stat space = {0};
    (void)stat("/proc/self/ns/pid", &space);
    struct {
        uint64_t magic, space, key, user;
    } name = {LEASE_MAGIC, space.st_ino, key, getuid()};
    key_t found = (key_t)(skua__hash_bytes(&name, sizeof name) & INT32_MAX);
    return found == IPC_PRIVATE ? 1 : found;
}

/* Maps the user's segment. Returns NULL and why not. */
static skua__lease_segment *
attach(uint32_t key, const char **ret_why) {
    int id = shmget(skua__lease_ipc_key(key), sizeof(skua__lease_segment), IPC_CREAT | 0600);
    struct shmid_ds about;
    if (id < 0 || shmctl(id, IPC_STAT, &about)) {
        *ret_why = errno == EINVAL || errno == EACCES
                       ? "another program's shared memory lies under its key"
                       : "the system gives no shared memory (shmget)";
        return NULL;
    }
    if (about.shm_perm.uid != getuid() || (about.shm_perm.mode & 077) ||
        about.shm_segsz < sizeof(skua__lease_segment)) {
        *ret_why = "another program's shared memory lies under its key";
        return NULL;
    }
    void *memory = shmat(id, NULL, 0);
    if (memory == (void *)-1) { // NOLINT: the system's way of saying it
        *ret_why = "the system does not map shared memory (shmat)";
        return NULL;
    }
    skua__lease_segment *segment = memory;
    uint64_t found = 0;
    /* relaxed: memory is zero until then, and zero is a good state of everything in it */
    if (!skua__a64_cas(&segment->head.magic, &found, LEASE_MAGIC, memory_order_relaxed) &&
        found != LEASE_MAGIC) {
        /* Nobody looks at it but us: whatever it was, it is ours. */
        if (shmctl(id, IPC_STAT, &about) || about.shm_nattch != 1) {
            shmdt(segment);
            *ret_why = "its shared memory holds something else, and is in use";
            return NULL;
        }
        memset((void *)segment, 0, sizeof *segment);
        put(&segment->head.magic, LEASE_MAGIC);
    }
    return segment;
}

static uint32_t
slots_of(const skua__lease_segment *segment) {
    uint32_t highest =
        skua__a32_load(&segment->head.highest, memory_order_relaxed); /* relaxed: a bound */
    return highest < LEASE_POOLS_MAX ? highest : LEASE_POOLS_MAX;
}

/* Tells the others that a look pays. */
static void
tell(skua__lease_segment *segment) {
    /* release K1: what was put into our slot; pairs with acquire K1 in skua__lease_look() */
    skua__a64_add(&segment->head.generation, 1, memory_order_release);
}

static bool
claim_slot(skua__lease *lease) {
    for (uint32_t i = 0; i < LEASE_POOLS_MAX; i++) {
        skua__a64 *owner = &lease->segment->slots[i].owner;
        uint64_t found = get(owner);
        if (found != 0 && !is_dead(found, true)) {
            continue;
        }
        /* relaxed: K1 orders what matters */
        if (!skua__a64_cas(owner, &found, lease->owner, memory_order_relaxed)) {
            continue;
        }
        lease->slot = i;
        uint32_t highest = slots_of(lease->segment);
        /* relaxed: a bound of loops */
        while (highest < i + 1 && !skua__a32_cas(&lease->segment->head.highest, &highest, i + 1,
                                                 memory_order_relaxed)) {
        }
        return true;
    }
    return false;
}

/* ---- What we tell ---- */

static skua__lease_slot *
own_slot(skua__lease *lease) {
    return &lease->segment->slots[lease->slot];
}

static void
put_wish_locked(skua_exec *exec) {
    skua__lease *lease = &exec->lease;
    skua__lease_slot *slot = own_slot(lease);
    uint32_t most = skua__sizes_wish(exec);
    lease->fixed = !exec->sizes.follows && !lease->always;
    lease->told_most = most;
    /* relaxed: a hint, whether looks pay */
    skua__a32_store(&lease->looks_around, !lease->fixed && most > 1, memory_order_relaxed);
    put(&slot->most, most | (lease->fixed ? SKUA__LEASE_FIXED : 0));
    put(&slot->share, exec->sizes.share < most ? exec->sizes.share : most);
    put(&slot->awake, lease->awake);
}

/* Tells where we may run; not called by a bound worker's thread, whose mask is its own. */
static void
put_places(skua_exec *exec) {
    skua__lease_slot *slot = own_slot(&exec->lease);
    cpu_set_t mask;
    uint64_t words[LEASE_CPU_WORDS] = {0};
    static_assert(CPU_SETSIZE <= LEASE_CPUS_MAX, "every CPU of a mask has a bit");
    if (sched_getaffinity(0, sizeof mask, &mask) == 0) {
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            words[cpu / 64] |= (uint64_t)(CPU_ISSET(cpu, &mask) != 0) << (cpu % 64);
        }
    }
    for (uint32_t i = 0; i < LEASE_CPU_WORDS; i++) {
        put(&slot->cpus[i], words[i]);
    }
    uint64_t name = 0;
    double quota = skua__quota_under(exec->sizes.quota_root, &name);
    put(&slot->quota_workers, quota > 0 ? (uint64_t)quota + (quota > (double)(uint64_t)quota) : 0);
    put(&slot->quota, quota > 0 ? name : 0);
}

void
skua__lease_note_locked(skua_exec *exec) {
    skua__lease *lease = &exec->lease;
    if (!lease->segment) {
        return;
    }
    /* relaxed: under the lock, both */
    uint32_t active = skua__a32_load(&exec->active, memory_order_relaxed);
    uint32_t asleep = skua__asleep_locked(exec);
    uint32_t awake = active > asleep ? active - asleep : 0, was = lease->awake;
    if (awake == was) {
        return;
    }
    lease->awake = awake;
    put(&own_slot(lease)->awake, awake);
    if ((awake == 0) != (was == 0)) {
        tell(lease->segment);
    }
    if (awake > 0 && lease->watcher_sleeps) {
        lease->watcher_sleeps = false;
        skua__unpark(&lease->watcher->parker);
    }
}

/* ---- Coming and going ---- */

static void
begin(skua_exec *exec) {
    skua__lease *lease = &exec->lease;
    lease->owner = owner_of(getpid());
    if (!claim_slot(lease)) {
        lease->refused = "as many executors as fit take part already";
        shmdt(lease->segment);
        lease->segment = NULL;
        return;
    }
    put_places(exec);
    put_wish_locked(exec);
    skua__lease_note_locked(
        exec); /* workers begin awake: one that finds work at once never falls asleep first */
    tell(lease->segment);
}

void
skua__lease_join(skua_exec *exec, const skua_exec_options *options) {
    skua__lease *lease = &exec->lease;
    lease->always = options->lease == SKUA_LEASE_ALWAYS;
    bool wanted = lease->always || (options->lease == SKUA_LEASE_AUTO && !options->topology);
    if (wanted && !exec->replay_seed) {
        lease->segment = attach(options->lease_key, &lease->refused);
    }
    if (lease->segment) {
        begin(exec);
    }
}

void
skua__lease_join_again(skua_exec *exec) {
    const skua__lease before = exec->lease;
    exec->lease = (skua__lease){
        .segment = before.segment, .refused = before.refused, .always = before.always};
    if (exec->lease.segment) {
        begin(exec);
    }
}

static void
give_back(skua__lease *lease) {
    uint64_t owner = lease->owner;
    put(&own_slot(lease)->awake, 0);
    /* relaxed: the generation tells. It is not ours any more when somebody wrote over it. */
    skua__a64_cas(&own_slot(lease)->owner, &owner, 0, memory_order_relaxed);
    tell(lease->segment);
}

void
skua__lease_leave(skua_exec *exec) {
    if (exec->lease.segment) {
        give_back(&exec->lease);
        shmdt(exec->lease.segment);
        exec->lease.segment = NULL;
    }
}

/* ---- Looking ---- */

/* Reads a slot as a wish. False: there is nobody, or nobody awake. */
static bool
read_wish(const skua__lease_slot *slot, skua__lease_wish *ret_wish) {
    uint64_t awake = get(&slot->awake), share = get(&slot->share), most = get(&slot->most);
    uint64_t quota_workers = get(&slot->quota_workers);
    bool fixed = (most & SKUA__LEASE_FIXED) != 0;
    most &= UINT32_MAX;
    most = most < SKUA_EXEC_WORKERS_MAX ? most : SKUA_EXEC_WORKERS_MAX;
    awake = awake < most ? awake : most;
    uint32_t want =
        skua__lease_want((uint32_t)awake, (uint32_t)(share < most ? share : most), (uint32_t)most);
    *ret_wish = (skua__lease_wish){
        .workers = fixed ? (uint32_t)awake : want,
        .fixed = fixed,
        .quota = quota_workers ? get(&slot->quota) : 0,
        .quota_workers = (uint32_t)(quota_workers < UINT32_MAX ? quota_workers : UINT32_MAX),
    };
    for (uint32_t i = 0; i < LEASE_CPU_WORDS; i++) {
        ret_wish->cpus[i] = get(&slot->cpus[i]);
    }
    return awake > 0;
}

/* Frees the slots of the dead; of those that look alive too, when it is thorough. */
static void
bury(skua__lease *lease, bool thorough) {
    for (uint32_t i = 0; i < slots_of(lease->segment); i++) {
        skua__lease_slot *slot = &lease->segment->slots[i];
        uint64_t owner = get(&slot->owner);
        if (owner && owner != lease->owner && (thorough || get(&slot->awake)) &&
            is_dead(owner, thorough)) {
            put(&slot->awake, 0);
            /* relaxed: it fails if somebody else was faster */
            skua__a64_cas(&slot->owner, &owner, 0, memory_order_relaxed);
        }
    }
}

/* Moves a time on by step_ns, if it has come and nobody else did. */
static bool
its_time(skua__a64 *at_ns, int64_t step_ns) {
    uint64_t due_ns = get(at_ns), now_ns = (uint64_t)skua__clock_ns();
    /* relaxed: only who moves it on goes on */
    return now_ns >= due_ns &&
           skua__a64_cas(at_ns, &due_ns, now_ns + (uint64_t)step_ns, memory_order_relaxed);
}

/* Our share, and how many we share with. */
static uint32_t
work_out(skua__lease *lease, uint32_t most, uint32_t *ret_pools) {
    skua__lease_wish wishes[LEASE_POOLS_MAX];
    uint32_t count = 0, self = 0;
    for (uint32_t i = 0; i < LEASE_POOLS_MAX && i < slots_of(lease->segment); i++) {
        const skua__lease_slot *slot = &lease->segment->slots[i];
        bool ours = i == lease->slot;
        if (!get(&slot->owner) || (!read_wish(slot, &wishes[count]) && !ours)) {
            continue;
        }
        if (ours) {
            self = count;
            wishes[count].workers = most;
            wishes[count].fixed = lease->fixed;
        }
        count++;
    }
    *ret_pools = count;
    return count ? skua__lease_share(wishes, count, self) : most;
}

void
skua__lease_look(skua_exec *exec) {
    skua__lease *lease = &exec->lease;
    if (!its_time(&lease->again_ns, LEASE_GAP_NS)) {
        return;
    }
    bury(lease, its_time(&lease->census_ns, LEASE_CENSUS_NS));
    skua__mutex_lock(&exec->sleep_lock);
    /* acquire K1: what the others put into their slots; pairs with release K1 in tell() */
    uint64_t generation = skua__a64_load(&lease->segment->head.generation, memory_order_acquire);
    put(&lease->seen, generation);
    lease->looks++;
    if (get(&own_slot(lease)->owner) != lease->owner && !claim_slot(lease)) {
        /* Somebody wrote over us and filled the rest: we go on without a share. */
        lease->pools = 0;
        skua__set_share_locked(exec, UINT32_MAX);
    } else {
        uint32_t share = work_out(lease, skua__sizes_wish(exec), &lease->pools);
        skua__set_share_locked(exec, share);
        put_wish_locked(exec);
    }
    skua__mutex_unlock(&exec->sleep_lock);
}

void
skua__lease_places(skua_exec *exec) {
    if (exec->lease.segment && exec->bind == SKUA_BIND_NEVER) {
        put_places(exec);
    }
}

void
skua__lease_wish_locked(skua_exec *exec) {
    skua__lease *lease = &exec->lease;
    bool fixed = !exec->sizes.follows && !lease->always;
    if (lease->segment && (skua__sizes_wish(exec) != lease->told_most || fixed != lease->fixed)) {
        put_wish_locked(exec);
        tell(lease->segment);
    }
}

/* ---- The watcher ---- */

int64_t
skua__lease_watch_locked(skua__worker *worker) {
    skua__lease *lease = &worker->exec->lease;
    if (!lease->segment || worker->exec->sizes.share >= lease->told_most) {
        return SKUA_NEVER_NS;
    }
    lease->watcher = lease->watcher ? lease->watcher : worker;
    if (lease->watcher != worker) {
        return SKUA_NEVER_NS;
    }
    lease->watcher_sleeps = lease->awake == 0;
    return lease->watcher_sleeps ? SKUA_NEVER_NS : skua__clock_ns() + LEASE_LOOK_NS;
}

void
skua__lease_unwatch_locked(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    if (exec->lease.watcher == worker) {
        exec->lease.watcher = NULL;
        exec->lease.watcher_sleeps = false;
        skua__wake_resting_locked(exec);
    }
}

/* ---- For people ---- */

skua_status
skua_lease_next(uint32_t key, uint32_t *position, skua_lease_pool *ret_pool, skua_error *err) {
    if (!position || !ret_pool || ret_pool->size < sizeof *ret_pool) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s",
                         !position   ? "position is NULL"
                         : !ret_pool ? "ret_pool is NULL"
                                     : "ret_pool->size is not sizeof(skua_lease_pool)");
    }
    const char *why = NULL;
    skua__lease_segment *segment = attach(key, &why);
    if (!segment) {
        return SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "no cores are shared with other processes: %s",
                         why);
    }
    bool found = false;
    for (; !found && *position < slots_of(segment); ++*position) {
        const skua__lease_slot *slot = &segment->slots[*position];
        uint64_t owner = get(&slot->owner), most = get(&slot->most);
        found = owner && !is_dead(owner, true);
        if (found) {
            size_t size = ret_pool->size;
            *ret_pool = (skua_lease_pool){.size = size < sizeof *ret_pool ? size : sizeof *ret_pool,
                                          .process = process_of(owner),
                                          .workers = (uint32_t)most,
                                          .share = (uint32_t)get(&slot->share),
                                          .awake = (uint32_t)get(&slot->awake),
                                          .fixed = (most & SKUA__LEASE_FIXED) != 0};
        }
    }
    shmdt(segment);
    return found ? SKUA_OK : SKUA_FAIL(err, SKUA_E_NOT_FOUND, "no more executors take part");
}
