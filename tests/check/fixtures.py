# SPDX-License-Identifier: MPL-2.0
"""For each rule a tree that it must refuse and one that it must accept: a check that cannot fail is a defect."""
import rules

HEAD = '// SPDX-License-Identifier: MPL-2.0\n// What this file is.\n'
DOC = '/**\n * Does it.\n *\n * Returns: 0.\n * Threads: any. Blocks: never. Since 0.1.\n */\n'


def site(comment, order, call='atomic_store_explicit(&a, 1, memory_order_'):
    return f'void\nf(void) {{\n    {comment}\n    {call}{order});\n}}\n'


# (rule, a tree with exactly one problem, a tree with none)
CASES = (
    (rules.spdx, {'lib/base/a.c': '// nothing\n'}, {'lib/base/a.c': HEAD}),
    (rules.spdx, {'dev': '#!/bin/sh\n'}, {'dev': '#!/bin/sh\n# SPDX-License-Identifier: MPL-2.0\n'}),
    (rules.spdx, {'lib/base/a.c': '// SPDX-License-Identifier: MPL-2.0\nint a;\n'}, {'lib/base/a.txt': 'int a;'}),
    (rules.unfinished, {'README.md': 'TO' 'DO: write'}, {'README.md': 'todolist, mastodon'}),
    (rules.sleeps, {'tests/a.c': 'int a = usleep(10);'}, {'tests/a.c': '// usleep(10) is not allowed\nint a;'}),
    (rules.sleeps, {'tests/a.c': 'poll(NULL, 0, 100);'}, {'tests/a.c': 'poll(fds, 1, 100);'}),
    (rules.sleeps, {'tests/a.py': 'time.sleep(1)'}, {'tests/a.py': 'time.time()'}),
    (rules.sleeps, {'tests/a.sh': 'true; sleep 1'}, {'tests/a.sh': 'echo "asleep 1"'}),
    (rules.foreign_includes, {'patterns/pub.c': '#include <zmq.h>\n'}, {'lib/net/a.c': '#include <zmq.h>\n'}),
    (rules.foreign_includes, {'lib/proto/a.c': '#include <czmq.h>\n'}, {'perf/peers/a.c': '#include <zmq.h>\n'}),
    (rules.foreign_includes, {'sched/exec/park.c': '#include <hwloc.h>\n'},
     {'sched/exec/topology.c': '#include <hwloc.h>\n'}),
    (rules.foreign_includes, {'gpu/fake_device.c': '#include <CL/cl.h>\n'}, {'gpu/cl_load.c': '#include <CL/cl.h>\n'}),
    (rules.foreign_includes, {'patterns/pub.c': '#include "../lib/net/link.h"\n'}, {'patterns/pub.c': '#include "a.h"\n'}),
    (rules.header_names, {'lib/base/skua-int/a.h': '', 'lib/net/skua-int/a.h': ''},
     {'lib/base/skua/a.h': '', 'lib/net/skua-int/a.h': ''}),
    (rules.implicit_orders, {'lib/base/a.c': 'x = atomic_load(&a);'},
     {'lib/base/a.c': 'x = atomic_load_explicit(&a, memory_order_relaxed); atomic_init(&a, 0);'}),
    (rules.implicit_orders, {'sched/exec/a.h': '__sync_fetch_and_add(&a, 1);'}, {'sched/exec/a.h': 'int a;'}),
    (rules.atomic_tags, {'lib/base/a.c': site('', 'relaxed')}, {'lib/base/a.c': site('/* relaxed: a count */', 'relaxed')}),
    (rules.atomic_tags, {'lib/base/a.c': site('/* published */', 'release')},
     {'lib/base/a.c': site('/* release Q1: pairs with acquire Q1 in g() */', 'release'),
      'lib/base/b.c': site('/* acquire Q1: … */', 'acquire', 'atomic_load_explicit(&a, memory_order_')}),
    # A tag whose partner is gone, or stands in another box, or has the wrong order.
    (rules.atomic_tags, {'lib/base/a.c': site('/* release Q1: … */', 'release')}, {'lib/base/a.c': 'int a;'}),
    (rules.atomic_tags, {'lib/base/a.c': site('/* acquire Q1: … */', 'acquire') + site('/* acquire Q2: … */', 'acquire')
                         + site('/* release Q2: … */', 'release')}, {'lib/base/a.c': 'int a;'}),
    (rules.atomic_tags, {'lib/base/a.c': site('/* release Q1: … */', 'release'),
                         'tests/b.c': site('/* acquire Q1: … */', 'acquire')}, {'lib/base/a.c': 'int a;'}),
    (rules.atomic_tags, {'lib/base/a.c': site('/* acq_rel Q1: … */', 'acq_rel')},
     {'lib/base/a.c': site('/* acq_rel Q1: pairs with itself in other threads */', 'acq_rel')}),
    # The comment must name the order that the code has.
    (rules.atomic_tags, {'lib/base/a.c': site('/* release Q1: … */', 'seq_cst') + '\n' * 9
                         + site('/* acquire Q1: … */', 'acquire')}, {'lib/base/a.c': 'int a;'}),
    (rules.api_documented, {'lib/base/skua/a.h': 'SKUA_API int skua_a(void);\n'.replace('int', 'void')},
     {'lib/base/skua/a.h': DOC + 'SKUA_API int skua_a(void);\n'}),
    (rules.api_documented, {'lib/base/skua/a.h': DOC.replace('Returns: 0', 'It') + 'SKUA_API int skua_a(void);\n'},
     {'lib/base/skua/a.h': DOC.replace('Returns: 0', 'It') + 'SKUA_API void skua_a(void);\n'}),
    (rules.api_documented, {'lib/base/skua/a.h': DOC + 'SKUA_API int skua_a(void);\nSKUA_API void skua_b(int a);\n'},
     {'lib/base/skua/a.h': '#define SKUA_API __attribute__((visibility("default")))\n'}),
    (rules.api_documented, {'lib/base/skua/a.h': DOC.replace('Returns: 0', 'It') + 'SKUA_API void *skua_a(void);\n'},
     {'lib/base/skua-int/a.h': 'void skua__a(void);\n'}),
    (rules.sizes, {'lib/base/a.c': 'void\nf(void) {\n' + '\n' * 75 + '}\n'},
     {'lib/base/a.c': 'void\nf(void) {\n' + '\n' * 60 + '}\n'}),
    (rules.sizes, {'lib/base/a.c': '\n' * 701}, {'lib/base/a.c': '\n' * 600}),
)


def problems():
    """What is wrong with the rules themselves."""
    found = []
    for number, (rule, bad, good) in enumerate(CASES):
        seen = rule(bad)
        if len(seen) != 1:
            found.append(f'fixtures.py: case {number}: {rule.__name__} saw {seen} instead of one problem')
        seen = rule(good)
        if seen:
            found.append(f'fixtures.py: case {number}: {rule.__name__} refuses what is right: {seen}')
    untested = {rule.__name__ for rule in rules.RULES} - {rule.__name__ for rule, _, _ in CASES}
    found += [f'fixtures.py: {name} has no fixture' for name in sorted(untested)]
    return found
