// SPDX-License-Identifier: MPL-2.0
// Kernels through a pool: registered once, submitted by name, and run on the cores, a device or a peer, whichever is
// predicted to be done first, or on several at once, by parts. A launch is a task, with a task's future, deadline, cancel and retries: what a device could not
// do, because it failed, hung or is too small, is done elsewhere.
#ifndef SKUA_LAUNCH_H
#define SKUA_LAUNCH_H

#include <skua/kernel.h>
#include <skua/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Registers a kernel: launches of it may run on the pool's executor, on its devices, and on peers that registered the same
 * source; with a node and an executor it is offered to peers. Name as of a task. The spec is copied, fn_arg is borrowed until
 * skua_pool_close(). With devices in the pool's options they are started by the first registration; one that does not
 * start is left out. What is learned of how long launches take is kept beside the devices' descriptions
 * (skua_devices_options.cache_dir), for the next run.
 *
 * Returns: 0, or SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT, SKUA_E_TOO_BIG, SKUA_E_EXISTS, SKUA_E_LIMIT, SKUA_E_NO_MEMORY,
 * SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: while drivers start, the first time. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_kernel_register(skua_pool *pool, const char *name,
                                                          const skua_kernel_spec *spec,
                                                          skua_error *err);

/**
 * Submits a launch of a registered kernel. What IN and INOUT arguments point to is copied in the call; outputs are
 * written by skua_kernel_collect() alone. All inputs together, and all outputs, may have up to SKUA_TASK_MAX_BYTES.
 * The caller owns *ret_future: skua_pool_future_free().
 *
 * With launch->split the future is that of all parts: it ends OK with the last of them, or as the first that fails, with its
 * words and which part it was; the others are cancelled, as all are when it is. A part whose place fails is done elsewhere. It takes
 * one place in the pool's window; in the pool's figures its parts are tasks of their own. skua_pool_explain() tells who has
 * which part.
 *
 * Arguments may be buffers (skua/buffer.h) of the pool's own devices, of any size, which are not copied here but used where
 * they are: by a device, or by the C function in the host's memory. Launches that share a buffer, calls on it and prefetches
 * take their turns in the order in which they were asked for, on whatever place each runs. While a launch waits for its turn it
 * waits in the pool, holds no place up, and may be cancelled. Buffers keep a launch that is not split on this
 * machine: no peer runs it. A launch that ends other than OK leaves what it was to write as it was, half written, or lost (SKUA_E_DEVICE_FAILED when it is
 * read): write it anew. A launch that is cancelled while it runs keeps its turn until it has really ended.
 *
 * A split launch may have buffers as well. When it has its turns, what it reads is brought to the host's memory, from where each
 * part is sent its slice, to peers too, and what the parts write comes together there: afterwards the host alone has it. So it moves
 * more bytes than a launch on the device that has them, and what it reads and writes in buffers counts in SKUA_TASK_MAX_BYTES. The pool needs an
 * executor for that. If a part fails, buffers are as those of any launch that ends other than OK.
 *
 * Returns: 0, or SKUA_E_NOT_FOUND (no such kernel is registered), SKUA_E_BAD_ARGUMENT (with words; also: a buffer of other
 * devices than the pool's; the bytes of a sliced argument of a launch to be split are not as many for each index),
 * SKUA_E_UNSUPPORTED (a launch to be split has a buffer and the pool no executor, or it writes to memory that is not sliced), and what skua_pool_submit()
 * returns.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_kernel_submit(skua_pool *pool, const skua_launch *launch,
                                                        skua_pool_future **ret_future,
                                                        skua_error *err);

/**
 * Waits for a launch and copies its outputs to where the arguments of `launch`, the same as at its submission, point; what
 * buffers hold stays where it is: skua_buffer_read() and skua_buffer_map() bring it here. Nothing is written unless the launch ended OK. timeout_ms: 0 and SKUA_UNLIMITED wait for ever; SKUA_NONE.
 *
 * Returns: 0; SKUA_E_TIMEOUT (it goes on); SKUA_E_CANCELLED; SKUA_E_TASK_FAILED with the words of the device, the compiler or
 * the pool; SKUA_E_BAD_ARGUMENT (it is no launch of that shape), SKUA_E_NOT_FOUND, SKUA_E_FORKED.
 * Threads: any but a task's and on_done. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_kernel_collect(skua_pool *pool, const skua_launch *launch,
                                                         skua_pool_future *future,
                                                         int64_t timeout_ms, skua_error *err);

/**
 * Runs a launch on the cores and on each device of the pool, and learns how long it takes there: then launches of about its
 * size go to the right place from the first on, and none is sent elsewhere only to see. Worth its while at the start of a
 * program, for a few sizes that will come, the smallest first: what lies between and a little beyond them is told from them. A
 * place where launches of about this size are known is left out, so that a later run of the program, which finds what was
 * learned on disk, is not held up again. So is one that is predicted to take longer than the budget, and a device that rests
 * after a failure or is gone. Peers are not asked.
 * The launch is borrowed for the call; its fields `on`, `split` and `timeout_ms` are not looked at, its outputs are not written to.
 *
 * budget_ms: how long each place may run it, three times at most; no run is begun when it is spent; 0: 20. The first run of a
 * kernel on a device, which is built meanwhile, is not counted: it takes as long as the compiler. A run that is not over 30
 * seconds after the budget is given up, and its place with it.
 *
 * Returns: 0, also when a place could not run it; SKUA_E_NOT_FOUND (no such kernel), SKUA_E_BAD_ARGUMENT (also: an argument is
 * a buffer), and what
 * skua_kernel_submit() and skua_pool_wait() return.
 * Threads: any but a task's and on_done. Blocks: while it runs, as said. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_kernel_calibrate(skua_pool *pool,
                                                           const skua_launch *launch,
                                                           int64_t budget_ms, skua_error *err);

/* What skua_kernel_share.device says of what is no device. */
enum {
    SKUA_SHARE_CORES = -1,
    SKUA_SHARE_PEER = -2,
};

/* What one place did for a kernel. The library fills at most `size` bytes. */
typedef struct skua_kernel_share {
    size_t size;
    char name[SKUA_DEVICE_TEXT_BYTES]; /* "cores", the device's, or the peer's */
    int32_t device;                    /* its number; SKUA_SHARE_CORES, SKUA_SHARE_PEER */
    uint32_t reserved;
    uint64_t launches;   /* that ended well there */
    uint64_t failures;   /* that went elsewhere instead, or failed */
    uint64_t work_items; /* of those that ended well */
    int64_t run_ns;      /* together, of the kernel or function alone; of a peer with its copies */
} skua_kernel_share;

/**
 * Tells who ran a kernel: entry 0 is our cores, our devices follow (peers' launches that ran here are counted with ours),
 * and then the peers that were thought of for a launch of ours. There are 16 entries at most. When all are taken, a peer gets that of one that has
 * left, or, for a launch that nobody else can do, that of the one chosen longest ago; the entry then begins anew. Set ret_share->size to sizeof *ret_share before.
 *
 * Returns: 0, or SKUA_E_NOT_FOUND (no such kernel, or i is past the end), SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED,
 * SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_kernel_share_at(skua_pool *pool, const char *name,
                                                          size_t i, skua_kernel_share *ret_share,
                                                          skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
