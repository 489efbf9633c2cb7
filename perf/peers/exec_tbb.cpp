// SPDX-License-Identifier: MPL-2.0
// The executor's works on oneTBB: task_group for fork and join, its loops for loops, enqueue from outside.
#include "../exec_peer.h"

#include <memory>
#include <tbb/blocked_range.h>
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <vector>

namespace {

struct pool {
    explicit pool(int workers)
        : limit(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(workers)),
          arena(workers, 1) {
    }
    tbb::global_control limit;
    tbb::task_arena arena;
};

pool *
of(void *peer) {
    return static_cast<pool *>(peer);
}

void *
open_tbb(int workers) {
    return new pool(workers);
}

void
close_tbb(void *peer) {
    delete of(peer);
}

uint64_t
fib(int n) {
    if (n < 2) {
        return static_cast<uint64_t>(n);
    }
    uint64_t left, right;
    tbb::task_group group;
    group.run([&left, n] { left = fib(n - 1); });
    right = fib(n - 2);
    group.wait();
    return left + right;
}

uint64_t
run_fib(void *peer, int n) {
    uint64_t result = 0;
    of(peer)->arena.execute([&] { result = fib(n); });
    return result;
}

uint64_t
queens(int n, uint32_t columns, uint32_t left, uint32_t right) {
    uint32_t all = (1u << n) - 1;
    if (columns == all) {
        return 1;
    }
    uint64_t found[16], solutions = 0;
    int count = 0;
    tbb::task_group group;
    for (uint32_t open = all & ~(columns | left | right); open; open &= open - 1) {
        uint32_t bit = open & -open;
        uint64_t *to = &found[count++];
        group.run([=] { *to = queens(n, columns | bit, (left | bit) << 1, (right | bit) >> 1); });
    }
    group.wait();
    while (count-- > 0) {
        solutions += found[count];
    }
    return solutions;
}

uint64_t
run_queens(void *peer, int n) {
    uint64_t result = 0;
    of(peer)->arena.execute([&] { result = queens(n, 0, 0, 0); });
    return result;
}

uint64_t
walk(const exec_tree *tree, const exec_node *node) {
    exec_node below[100];
    uint64_t found[100], nodes = 1;
    int children = exec_tree_children(tree, node);
    tbb::task_group group;
    for (int i = 0; i < children; i++) {
        exec_tree_child(tree, node, i, &below[i]);
        const exec_node *child = &below[i];
        uint64_t *to = &found[i];
        group.run([=] { *to = walk(tree, child); });
    }
    group.wait();
    while (children-- > 0) {
        nodes += found[children];
    }
    return nodes;
}

uint64_t
run_uts(void *peer, const exec_tree *tree) {
    uint64_t nodes = 0;
    exec_node root;
    exec_tree_root(tree, &root);
    of(peer)->arena.execute([&] { nodes = walk(tree, &root); });
    return nodes;
}

void
run_flat(void *peer, int width, int rounds) {
    of(peer)->arena.execute([=] {
        tbb::task_group group;
        for (int round = 0; round < rounds; round++) {
            for (int i = 0; i < width; i++) {
                group.run([] {});
            }
            group.wait();
        }
    });
}

double
run_reduce(void *peer, const double *items, uint64_t count) {
    double sum = 0;
    of(peer)->arena.execute([&] {
        sum = tbb::parallel_reduce(
            tbb::blocked_range<uint64_t>(0, count), 0.0,
            [=](const tbb::blocked_range<uint64_t> &range, double value) {
                for (uint64_t i = range.begin(); i != range.end(); i++) {
                    value += items[i];
                }
                return value;
            },
            [](double left, double right) { return left + right; });
    });
    return sum;
}

void
sort(int32_t *items, int32_t *scratch, uint64_t count) {
    if (count <= EXEC_SORT_SERIAL_ITEMS) {
        exec_sort_serial(items, scratch, count);
        return;
    }
    uint64_t middle = count / 2;
    tbb::task_group group;
    group.run([=] { sort(items, scratch, middle); });
    sort(items + middle, scratch + middle, count - middle);
    group.wait();
    exec_merge(items, scratch, middle, count);
}

void
run_sort(void *peer, int32_t *items, int32_t *scratch, uint64_t count) {
    of(peer)->arena.execute([=] { sort(items, scratch, count); });
}

void
run_matmul(void *peer, const float *a, const float *b, float *c) {
    of(peer)->arena.execute([=] {
        tbb::parallel_for(tbb::blocked_range<int>(0, EXEC_MATMUL_N),
                          [=](const tbb::blocked_range<int> &range) {
                              exec_matmul_rows(a, b, c, range.begin(), range.end());
                          });
    });
}

uint64_t
run_mandel(void *peer) {
    uint64_t sum = 0;
    of(peer)->arena.execute([&] {
        sum = tbb::parallel_reduce(
            tbb::blocked_range<int>(0, EXEC_MANDEL_SIDE, 4), uint64_t{0},
            [](const tbb::blocked_range<int> &range, uint64_t value) {
                return value + exec_mandel_rows(range.begin(), range.end());
            },
            [](uint64_t left, uint64_t right) { return left + right; });
    });
    return sum;
}

void
submit(void *peer, exec_memory *, void (*fn)(void *arg), void *arg) {
    of(peer)->arena.enqueue([=] { fn(arg); });
}

/* ---- Graphs ---- */

using flow_node = tbb::flow::continue_node<tbb::flow::continue_msg>;

struct flow {
    tbb::flow::graph graph;
    std::vector<std::unique_ptr<flow_node>> nodes;
    size_t width = 0;
};

void *
graph_new(void *peer, const exec_shape *shape, uint32_t *counts) {
    flow *self = nullptr;
    of(peer)->arena.execute(
        [&] { /* a graph runs in the arena that it was made in */
              self = new flow;
              const size_t width = self->width = shape->width;
              for (size_t i = 0; i < width * shape->layers; i++) {
                  uint32_t *count = &counts[i];
                  self->nodes.push_back(std::make_unique<flow_node>(
                      self->graph, [count](const tbb::flow::continue_msg &) { ++*count; }));
                  if (i >= width) {
                      const size_t before = (i / width - 1) * width;
                      tbb::flow::make_edge(*self->nodes[before + i % width], *self->nodes[i]);
                      if (width > 1) {
                          tbb::flow::make_edge(*self->nodes[before + (i + 1) % width],
                                               *self->nodes[i]);
                      }
                  }
              }
        });
    return self;
}

void
graph_run(void *peer, void *graph) {
    flow *self = static_cast<flow *>(graph);
    of(peer)->arena.execute([=] {
        for (size_t i = 0; i < self->width; i++) {
            self->nodes[i]->try_put(tbb::flow::continue_msg());
        }
        self->graph.wait_for_all();
    });
}

void
graph_free(void *graph) {
    delete static_cast<flow *>(graph);
}

const exec_peer tbb_peer = {"tbb",     open_tbb,   close_tbb,  run_fib,    run_queens, run_uts,
                            run_flat,  run_reduce, run_sort,   run_matmul, run_mandel, submit,
                            graph_new, graph_run,  graph_free, 0};

} // namespace

extern "C" __attribute__((visibility("default"))) const exec_peer *
exec_peer_get(void) {
    return &tbb_peer;
}
