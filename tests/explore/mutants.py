# SPDX-License-Identifier: MPL-2.0
"""The executor made wrong on purpose, to see that the exploration notices. Usage:

mutants.py BUILD [--all] [--schedules N] [--jobs N] [NAME...]

A mutant is a copy of sched/exec with one thing changed: the memory orders of one tag weakened (found by the tags in the
comments, so the list follows the code), or a step of a protocol left out (the table STEPS). Without --all the mutants of
MUST_FAIL and STEPS are run, and each must be caught; with --all every tag of the box is, and a table is printed."""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, 'tests', 'check'))
import rules  # noqa: E402: found by the line above
from source import blank  # noqa: E402

BOX = os.path.join(ROOT, 'sched', 'exec')
TAG = re.compile(r'\b(acquire|release|acq_rel|seq_cst) ([A-Z]+[0-9]+):')

# Steps of a protocol, left out: name -> file, what is replaced (once at least), by what, the scenario that notices.
STEPS = {
    'no-epoch': ('fork.c', r'skua__deque_epoch\(word\) \+ 1', 'skua__deque_epoch(word)', 'leap'),
    'nest-over-public': ('fork.c', r'if \(skua__deque_tail\(word\) < skua__deque_split\(word\)\) \{\s+return false;\s+\}\s+word = skua__deque_word\(skua__deque_epoch\(word\), nest', 'word = skua__deque_word(skua__deque_epoch(word), nest', 'nest'),
    'nest-keeps-word': ('fork.c', r'if \(nest->moved\)', 'if (0)', 'nest'),
    'nest-over-private': ('fork.c', r'\.base = worker->mark,', '.base = worker->split,', 'nest'),
    'nest-over-hole': ('fork.c', r'!move_word\(worker->stack, nest\)', '0', 'nest'),
    'nest-keeps-trap': ('fork.c', r'lower_mark\(worker, nest->base\);', 'worker->mark = nest->base;', 'nest'),
    'nest-moves-one': ('fork.c', r'; nest = nest->outer\) \{', '; nest = NULL) {', 'nest'),
    'no-waited': ('fork.c', r'if \(state & EXEC_STATE_WAITED\)', 'if (0)', 'fork'),
    'no-last-look': ('worker.c', r'if \(!worker->eager && !', 'if (!', 'park'),
    'leaves-to-nobody': ('worker.c', r'!searches &&\s+skua__a32_load\(&domain->searching, memory_order_seq_cst\) > 0', 'true', 'near'),
    'wakes-near-only': ('worker.c', r'i < exec->map.count; i\+\+\) \{\s+skua__domain \*domain = &exec->domains\[order', 'i < 1; i++) { skua__domain *domain = &exec->domains[order', 'near'),
    'no-wake-on-push': ('inject.c', r'skua__wake_near\(exec, domain, core\);', ';', 'park'),
    'moved-out-of-sight': ('inject.c', r'listed \+ moved \+ 1', 'listed', 'inject'),
    'pause-looked-for-too-early': ('inject.c', r'skua__target\(exec\) > 0 \? next_queue_locked\(domain\) : NULL', 'next_queue_locked(domain)', 'pause'),
    'no-wake-at-end': ('worker.c', r'skua__wake_all\(exec\);\n(\s*)worker_here = NULL', r'worker_here = NULL', 'close'),
    'no-futex-wake': ('park.c', r'== PARK_SLEEPS\)', '== PARK_SLEEPS + 1)', 'park'),
    'pay-after-push': ('graph_run.c', r'spend_credit\(s\);[^;]*;\s*if \(skua__offers_add[^{]*\{\s*s->credits\+\+;',
                       'void *const items[] = {node}; if (skua__offers_add(&s->stack->nodes, items, 1)) { spend_credit(s); } else {',
                       'graph'),
    'group-looks-relaxed': ('inject.c', r'if \(!skua__inject_any_in\(domain\)\) \{\s+continue;\s+\}', '', 'assist'),
    'no-circle-look': ('wait.c', r'notes && closes_circle_locked\(own, here, target\)', 'notes && 0', 'circle'),
    'no-circle-notes': ('wait.c', r'waits && notes \? target : NULL', 'NULL', 'circle'),
    'never-told': ('wait.c', r'exec->told_still \|= says;', 'says = false;', 'still'),
    'told-again': ('wait.c', r'exec->told_still \|= says;', '', 'still'),
    'stuck-told-again': ('wait.c', r'exec->told_stuck \|= says;', '', 'still'),
    'stuck-without-jobs': ('wait.c', r'says = waiting > 0 && is_stuck_locked', 'says = is_stuck_locked', 'still'),
    'stuck-though-active': ('wait.c', r'return skua__target\(exec\) > 0 && [^;]*;', 'return true;', 'still'),
    'told-twice': ('wait.c', r'exec->told_still \|\| \([^;]*;', 'exec->told_still;', 'still'),
    'told-though-timer': ('wait.c', r'!skua__timers_any\(&exec->timers\)', 'true', 'still'),
    'told-though-fired': ('timer.c', r'timers->root \|\| timers->fires', 'timers->root', 'still'),
    'told-though-awake': ('wait.c', r'!skua__park_sleeps\([^;{]*\)\) \{', '0) {', 'still'),
    'told-though-limited': ('wait.c', r'self->waits_in && !skua__park_ready\(self->waits_in\)', 'true', 'still'),
    'told-though-woken': ('wait.c', r'!skua__park_ready\(self->waits_in\)', 'true', 'still'),
    'line-wakes-nobody': ('future.c', r'if \(waiter->helps\)', 'if (0)', 'line'),
    'line-not-looked-along': ('future.c', r'worker \? first_in_line\(future\) : skua_future_ref\(future\)', 'skua_future_ref(future)', 'line'),
    'runs-before-its-group': ('graph_run.c', r'begin_run\(graph, GRAPH_STARTING', 'begin_run(graph, GRAPH_RUNNING', 'abort'),
    'last-awake-rests': ('engine.h', r'\(target == 0 \|\| active > [^;]*;', 'true;', 'slept'),
    'nobody-for-syncs': ('resize.c', r'\(target > 0 && all_sync_locked\(exec\)\)', 'false', 'slept'),
    'bound-unsigned': ('inject.c', r'\(int64_t\)\(submitted \+ count - popped\) > exec->queue_max', 'submitted + count - popped > (uint64_t)exec->queue_max', 'bounded'),
    'withdrawn-counts': ('inject.c', r'found && withdraws \? 1 : 0', '0', 'withdraw'),
    'withdraws-nothing': ('group.c', r'withdraw\(group\)\s+\? SKUA_OK', '0 ? SKUA_OK', 'withdraw'),
    'deep-never-helps': ('wait.c', r'bool waits = [^;]*;', 'skua__block_begin_locked(here); bool waits = true; is_deep = false;', 'deep'),
    'deep-trusts-active': ('wait.c', r'bool waits = [^;]*;', 'skua__block_begin_locked(here); bool waits = !is_deep || '
                           'skua__a32_load(&own->active, memory_order_relaxed) >= skua__target(own); is_deep = is_deep && !waits;', 'deep'),
    'orphans-stay': ('lease.c', r'\s+is_dead\(owner, thorough\)\) \{', ' 0) {', 'orphan'),
    'nobody-watches': ('lease.c', r'return lease->watcher_sleeps \? [^;]*;', 'return SKUA_NEVER_NS;', 'orphan'),
    'watcher-sleeps-on': ('lease.c', r'if \(awake > 0 && lease->watcher_sleeps\)', 'if (0)', 'lease'),
    'asks-too-few': ('worker.c', r'&exec->places, memory_order_seq_cst', '&exec->places, memory_order_acquire', 'wanted'),
    'wanted-by-count': ('skua/fork.h', r'< shown \|\|\s+w\.top >= [^;]*;', '< shown;', 'wanted'),
    'wanted-by-request': ('skua/fork.h', r'bool wanted = [^;|]*< shown \|\|', 'bool wanted =', 'wanted'),
    'group-without-lock': ('group.c', r'while \(pending > 1\)', 'while (pending > 0)', 'group'),
}

# Weakened tags that must be caught: tag and order word, the scenario that notices.
MUST_FAIL = {
    'D1-acquire': 'fork', 'S1-acquire': 'fork', 'E1-acq_rel': 'fork', 'T1-seq_cst': 'hungry', 'W1-seq_cst': 'park',
    'J1-acquire': 'inject', 'O1-acquire': 'offers', 'O1-release': 'offers', 'O2-seq_cst': 'offers', 'A1-acq_rel': 'graph', 'A2-acq_rel': 'graph', 'P1-acquire': 'park', 'P1-release': 'park', 'N1-release': 'help',
    'F1-release': 'future', 'F1-acquire': 'future', 'F3-acq_rel': 'future', 'G2-seq_cst': 'assist', 'G3-release': 'cancel',
    'A3-acq_rel': 'ways', 'A3-release': 'ways', 'R2-release': 'record', 'G1-release': 'group', 'G1-acquire': 'group', 'C3-acquire': 'bounded', 'C3-release': 'bounded',
}

STALE_SHARE = 4  # of so many mutants one may be stale


def tags_of_statement(lines, first, last):
    """The tags beside a statement: in the comment lines just above it, and on its own lines."""
    at = first - 1
    while at > 0 and re.match(r'\s*(/\*|\*|//)', lines[at - 1]):
        at -= 1
    return {(m.group(1), m.group(2)) for m in TAG.finditer('\n'.join(lines[at:last]))}


def weakened(statement, word):
    """The statement with a weaker order: relaxed; for seq_cst what the operation can have short of it."""
    if word != 'seq_cst':
        return re.sub(r'memory_order_(acquire|release|acq_rel|seq_cst)', 'memory_order_relaxed', statement)

    def weaker(match):
        before = statement[:match.start()]
        call = re.findall(r'skua__a\w+?_(load|store|\w+)\(', before)
        kind = call[-1] if call else ''
        return {'load': 'memory_order_acquire', 'store': 'memory_order_release'}.get(kind, 'memory_order_acq_rel')
    return re.sub(r'memory_order_seq_cst', weaker, statement)


def tag_mutants():
    """{TAG-order: {file: text}}: one for each tag and order word of the box."""
    found = {}
    for name in sorted(os.listdir(BOX)):
        if not name.endswith(('.c', '.h')):
            continue
        with open(os.path.join(BOX, name), encoding='utf-8') as file:
            text = file.read()
        lines, code = text.split('\n'), blank(text)
        sites = {}
        for first, last, _ in rules.atomic_statements(code):
            for word, tag in tags_of_statement(lines, first, last):
                sites.setdefault((tag, word), []).append((first, last))
        for (tag, word), spans in sites.items():
            changed = list(lines)
            for first, last in spans:
                whole = weakened('\n'.join(changed[first - 1:last]), word)
                changed[first - 1:last] = whole.split('\n')
            if changed != lines:
                found.setdefault(f'{tag}-{word}', {})[name] = '\n'.join(changed)
    return found


def step_mutant(name):
    path, pattern, by, _ = STEPS[name]
    with open(os.path.join(BOX, path), encoding='utf-8') as file:
        text = file.read()
    changed, count = re.subn(pattern, by, text)
    return {path: changed} if count else None


def includes(text):
    return set(re.findall(r'#include ["<]((?:skua/)?\w+\.h)[">]', text))


def sources_to_compile(files):
    """The .c files of the box, and the scenarios, that see one of the changed files."""
    texts = {}
    for folder, prefix in ((HERE, ''), (BOX, ''), (os.path.join(BOX, 'skua'), 'skua/')):
        for name in os.listdir(folder):
            if name.endswith(('.c', '.h')):
                with open(os.path.join(folder, name), encoding='utf-8') as file:
                    texts[prefix + name] = file.read()
    seen = set(files)
    grown = True
    while grown:
        more = {name for name, text in texts.items() if includes(text) & {f for f in seen if f.endswith('.h')}}
        grown = not more <= seen
        seen |= more
    return sorted(name for name in seen if name.endswith('.c'))


class Build:
    """How meson compiles the explored sources."""

    def __init__(self, build):
        self.build = os.path.abspath(build)
        with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as file:
            commands = json.load(file)
        self.commands = {}
        for entry in commands:
            output = entry.get('output', '')
            if 'libexplored.a.p' in output:
                name = os.path.basename(entry['file'])
                self.commands[name] = (entry['directory'], shlex.split(entry['command']), output)
        folder = os.path.join(self.build, 'tests', 'explore')
        self.objects = [os.path.join(folder, kind, name) for kind in ('libexplored.a.p', 'libexplorer.a.p')
                        for name in sorted(os.listdir(os.path.join(folder, kind))) if name.endswith('.o')]

    def make(self, files, folder):
        """An explorer of the box with these files changed; or what the compiler says against it."""
        box = os.path.join(folder, 'exec')
        shutil.copytree(BOX, box)
        for name, text in files.items():
            with open(os.path.join(box, name), 'w', encoding='utf-8') as file:
                file.write(text)
        replaced = {}
        for name in sources_to_compile(files):
            directory, words, output = self.commands[name]
            target = os.path.join(folder, name + '.o')
            words = [w for w in words if w != 'ccache' and not w.endswith('/ccache')]
            words = [target if w == output else os.path.join(box, name)
                     if w.endswith('sched/exec/' + name) else w for w in words]
            words.insert(1, '-I' + box)
            words = [w for w in words if w != '-Werror'] + ['-w', '-O1']
            run = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
            if run.returncode:
                return None, run.stderr
            replaced[os.path.basename(output)] = target
        objects = [replaced.get(os.path.basename(o), o) for o in self.objects]
        program = os.path.join(folder, 'explore')
        run = subprocess.run(['cc', '-o', program, *objects, os.path.join(self.build, 'lib/base/libskua-base.a'),
                              '-lhwloc', '-pthread'], capture_output=True, text=True, check=False)
        return (program, '') if run.returncode == 0 else (None, run.stderr)


def explore(program, memory, scenario, schedules):
    words = [program, '--memory', memory, '--schedules', str(schedules)]
    words += ['--scenario', scenario] if scenario else []
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    reason = re.search(r'^FAILED: (.*)$', run.stdout, re.M)
    where = re.search(r'^replay: --scenario (\S+)', run.stdout, re.M)
    if run.returncode == 0:
        return None
    return f'{where.group(1) if where else "?"}: {reason.group(1) if reason else "status %d" % run.returncode}'


def judge(build, name, files, scenario, schedules, thorough):
    """(name, what noticed it in which memory, whether anything did: None where it is stale)."""
    if files is None:
        return name, 'stale: what it changes is not there any more', None
    with tempfile.TemporaryDirectory(prefix='skua-mutant-') as folder:
        program, error = build.make(files, folder)
        if program is None:
            return name, 'does not compile: ' + error.strip().split('\n')[0], False
        seen = []
        for memory in ('sc', 'weak') if thorough else ('weak',):
            reason = explore(program, memory, scenario, schedules)
            if reason:
                seen.append(f'{memory}: {reason}')
        return name, '; '.join(seen) or 'SURVIVES', bool(seen)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--schedules', type=int, default=20000)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('names', nargs='*')
    options = parser.parse_intermixed_args()
    build = Build(options.build)
    tags = tag_mutants()
    work = [(name, step_mutant(name), None if options.all else STEPS[name][3]) for name in STEPS]
    if options.all:
        work += [(name, files, None) for name, files in sorted(tags.items())]
    else:
        work += [(name, tags.get(name), scenario) for name, scenario in MUST_FAIL.items()]
    if options.names:
        work = [entry for entry in work if entry[0] in options.names]
    caught = missed = stale = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(judge, build, *entry, options.schedules, options.all) for entry in work]
        for job in concurrent.futures.as_completed(jobs):
            name, text, seen = job.result()
            caught, missed, stale = caught + (seen is True), missed + (seen is False), stale + (seen is None)
            print(f'{name:20} {text}', flush=True)
    print(f'{caught} mutants caught, {missed} not, {stale} stale')
    # A few that are stale are to be renewed, but no reason to stop other work; many would prove nothing.
    return 0 if options.all else int(missed > 0 or stale * STALE_SHARE > len(work))


if __name__ == '__main__':
    sys.exit(main())
