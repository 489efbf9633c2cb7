// SPDX-License-Identifier: MPL-2.0
// What a batcher counts: how its requests ended, how long they took, how full batches were, and why they left.
#include <skua-int/batch_int.h>
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/pool_int.h>

#include <string.h>

enum { TELL_EVERY_NS = 100 * 1000 * 1000 }; /* a percentile is a walk over a histogram */

static int64_t
percentile(const skua__histogram *histogram, uint32_t permille) {
    return (int64_t)skua__histogram_at(histogram, permille);
}

void
skua__batch_count_taken_locked(skua_batch *batch, skua_status status) {
    batch->count.requests += status == SKUA_OK;
    batch->count.refused += status == SKUA_E_AGAIN;
    skua__metric_add(&batch->metrics, SKUA_M_BATCH_REQUESTS, status == SKUA_OK);
    skua__metric_add(&batch->metrics, SKUA_M_BATCH_REFUSED, status == SKUA_E_AGAIN);
    skua__metric_set(&batch->metrics, SKUA_M_BATCH_WAITING, (int64_t)batch->count.waiting);
}

void
skua__batch_count_left_locked(skua_batch *batch, const skua__batch_flight *flown, bool back) {
    uint64_t *const reasons[SKUA__BATCH_REASONS] = {
        [SKUA__BATCH_FULL] = &batch->count.left_full,
        [SKUA__BATCH_IDLE] = &batch->count.left_idle,
        [SKUA__BATCH_WAITED] = &batch->count.left_waited,
    };
    uint64_t one = back ? UINT64_MAX : 1; /* or one fewer */
    *reasons[flown->reason] += one;
    batch->count.batches += one;
    batch->count.batch_requests += one * flown->count;
}

void
skua__batch_count_run_locked(skua_batch *batch, const skua__batch_flight *flown, int64_t now_ns) {
    skua__histogram_add(&batch->run, (uint64_t)(now_ns - flown->left_ns));
    skua__histogram_add(&batch->size, flown->count);
    skua__metric_add(&batch->metrics, SKUA_M_BATCH_BATCHES, 1);
    skua__metric_add(&batch->metrics, SKUA_M_BATCH_BATCH_REQUESTS, flown->count);
}

void
skua__batch_count_end_locked(skua_batch *batch, const skua_batch_result *result) {
    skua__metric_add(&batch->metrics, result->status ? SKUA_M_BATCH_FAILED : SKUA_M_BATCH_OK, 1);
    switch (result->status) {
    case SKUA_OK:
        batch->count.ended_ok++;
        skua__histogram_add(&batch->latency, (uint64_t)result->latency_ns);
        skua__histogram_add(&batch->wait, (uint64_t)result->wait_ns);
        break;
    case SKUA_E_TIMEOUT:
        batch->count.ended_timeout++;
        break;
    case SKUA_E_CANCELLED:
        batch->count.ended_cancelled++;
        break;
    default:
        batch->count.ended_failed++;
    }
}

void
skua__batch_tell_locked(skua_batch *batch, int64_t now_ns) {
    skua_metrics *metrics = &batch->metrics;
    skua__metric_set(metrics, SKUA_M_BATCH_WAITING, (int64_t)batch->count.waiting);
    skua__metric_set(metrics, SKUA_M_BATCH_IN_FLIGHT, batch->in_flight);
    if (batch->told_ns && now_ns - batch->told_ns < TELL_EVERY_NS) {
        return;
    }
    batch->told_ns = now_ns;
    skua__metric_set(metrics, SKUA_M_BATCH_LATENCY_P50_NS, percentile(&batch->latency, 500));
    skua__metric_set(metrics, SKUA_M_BATCH_LATENCY_P99_NS, percentile(&batch->latency, 990));
    skua__metric_set(metrics, SKUA_M_BATCH_LATENCY_P999_NS, percentile(&batch->latency, 999));
    skua__metric_set(metrics, SKUA_M_BATCH_WAIT_P99_NS, percentile(&batch->wait, 990));
    skua__metric_set(metrics, SKUA_M_BATCH_RUN_P99_NS, percentile(&batch->run, 990));
}

static void
read_histograms_locked(const skua_batch *batch, skua_batch_counters *ret) {
    ret->latency_p50_ns = percentile(&batch->latency, 500);
    ret->latency_p99_ns = percentile(&batch->latency, 990);
    ret->latency_p999_ns = percentile(&batch->latency, 999);
    ret->latency_max_ns = batch->latency.count ? (int64_t)batch->latency.max : 0;
    ret->wait_p50_ns = percentile(&batch->wait, 500);
    ret->wait_p99_ns = percentile(&batch->wait, 990);
    ret->run_p50_ns = percentile(&batch->run, 500);
    ret->run_p99_ns = percentile(&batch->run, 990);
    ret->size_p50 = (uint64_t)percentile(&batch->size, 500);
    ret->size_max = batch->size.count ? batch->size.max : 0;
}

skua_status
skua_batch_stats(skua_batch *batch, skua_batch_counters *ret_counters, skua_error *err) {
    skua_status status = skua__batch_enter(batch, err);
    if (status) {
        return status;
    }
    if (!ret_counters || ret_counters->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_counters->size is not set");
    }
    skua__mutex_lock(&batch->lock);
    skua_batch_counters counters = batch->count;
    counters.batches_in_flight = batch->in_flight;
    read_histograms_locked(batch, &counters);
    skua__mutex_unlock(&batch->lock);
    if (counters.batches) {
        counters.mean_fill = (double)counters.batch_requests / (double)counters.batches /
                             batch->options.requests_max;
    }
    counters.size = ret_counters->size;
    memcpy(ret_counters, &counters,
           counters.size < sizeof counters ? counters.size : sizeof counters);
    return SKUA_OK;
}

const struct skua_metrics *
skua_batch_metrics(skua_batch *batch) {
    if (!batch || batch->fork_generation != skua__fork_generation()) {
        return batch ? &batch->metrics
                     : NULL; /* whoever had the lock at the fork has it for ever */
    }
    skua__mutex_lock(&batch->lock);
    batch->told_ns = 0; /* the percentiles of now */
    skua__batch_tell_locked(batch, skua__clock_ns());
    skua__mutex_unlock(&batch->lock);
    return &batch->metrics;
}

char *
skua_batch_explain(skua_batch *batch, char *ret, size_t ret_size) {
    if (!ret || !ret_size) {
        return ret;
    }
    ret[0] = 0;
    if (!batch || batch->fork_generation != skua__fork_generation()) {
        return ret;
    }
    skua__mutex_lock(&batch->lock);
    skua_pool_future *newest = batch->newest;
    if (newest) { /* relaxed: the batcher holds a reference while it is locked; ours is for after that */
        atomic_fetch_add_explicit(&newest->refs, 1, memory_order_relaxed);
    }
    skua__mutex_unlock(&batch->lock);
    if (newest) {
        skua_pool_explain(newest, ret, ret_size);
    }
    skua_pool_future_free(newest);
    return ret;
}
