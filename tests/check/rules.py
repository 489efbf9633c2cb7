# SPDX-License-Identifier: MPL-2.0
"""The rules that are about text. Each takes {path: text} and returns the problems it sees as lines
"path:line: what"; fixtures.py holds, for each of them, a tree that must fail."""
import re

from source import blank, box_of, is_c, is_product, is_public_header, line_of

SPDX = 'SPDX-License-Identifier: MPL-2.0'
NEEDS_SPDX = ('.c', '.h', '.def', '.map', '.py', '.sh', '.awk', 'meson.build', 'meson_options.txt', '.nft', '.supp')
NEEDS_SPDX_PATHS = ('dev', '.ci/run')


def spdx(tree):
    """Every source file opens with the licence line, every C file then says what it is."""
    problems = []
    for path, text in sorted(tree.items()):
        lines = text.split('\n')
        if path.endswith(NEEDS_SPDX) or path in NEEDS_SPDX_PATHS:
            if not any(SPDX in line for line in lines[:2]):
                problems.append(f'{path}:1: no "{SPDX}" in the first two lines')
            elif is_c(path) and not re.match(r'\s*(//|/\*|\*)', '\n'.join(lines[1:2])):
                problems.append(f'{path}:2: no sentence that says what this file is')
    return problems


def unfinished(tree):
    """Nothing is left marked as unfinished."""
    word = re.compile(r'\b(TO' r'DO|FIX' r'ME|XX' r'X)\b')
    return [f'{path}:{line_of(text, m.start())}: {m.group(1)}'
            for path, text in sorted(tree.items()) if path != 'LICENSE' for m in word.finditer(text)]


def sleeps(tree):
    """No test waits for time to pass: it waits for an event, with a deadline."""
    in_c = re.compile(r'\b(usleep|nanosleep|clock_nanosleep|sleep|thrd_sleep|zclock_sleep|zmq_sleep)\s*\('
                      r'|\b(?:zmq_)?poll\s*\(\s*NULL')
    in_python = re.compile(r'\btime\.sleep\s*\(|^from time import.*\bsleep\b', re.M)
    in_sh = re.compile(r'(?:^|[;&|(]|\b(?:do|then|else)\b)[ \t]*(sleep|usleep)[ \t]+[0-9$"]', re.M)
    problems = []
    for path, text in sorted(tree.items()):
        if not path.startswith('tests/') or path.startswith('tests/check/'):
            continue
        if is_c(path):
            found = in_c.finditer(blank(text))
        elif path.endswith('.py'):
            found = in_python.finditer(text)
        elif path.endswith('.sh') or text.startswith('#!/bin/'):
            found = in_sh.finditer(text)
        else:
            continue
        problems += [f'{path}:{line_of(text, m.start())}: {m.group(0).strip()}' for m in found]
    return problems


FOREIGN = (
    (re.compile(r'#\s*include\s*[<"](zmq|czmq|zsock|zactor|zloop|zauth|zcert|zframe|zmsg|zpoller|zyre)[\w./]*[>"]'),
     'ZeroMQ and CZMQ', lambda path: box_of(path) == 'lib/net'),
    (re.compile(r'#\s*include\s*[<"]hwloc[\w./]*[>"]'),
     'hwloc', lambda path: path == 'sched/exec/topology.c'),
    (re.compile(r'#\s*include\s*[<"](CL|OpenCL)/[\w./]*[>"]'),
     'OpenCL', lambda path: re.fullmatch(r'gpu/(cl_\w+|probe/\w+)\.[ch]', path)),
    (re.compile(r'#\s*include\s*[<"]sodium[\w./]*[>"]'),
     'libsodium', lambda path: box_of(path) in ('lib/proto', 'lib/net') or path == 'gpu/program_store.c'),
)


def foreign_includes(tree):
    """A library that one box hides appears in no other; nobody climbs out of his box with a path."""
    problems = []
    for path, text in sorted(tree.items()):
        if not is_product(path):
            continue
        for pattern, what, allowed in FOREIGN:
            problems += [f'{path}:{line_of(text, m.start())}: {what} is not this file\'s to include'
                         for m in pattern.finditer(text) if not allowed(path)]
        problems += [f'{path}:{line_of(text, m.start())}: an include that climbs out of its folder'
                     for m in re.finditer(r'#\s*include\s*"[^"]*\.\./', text)]
    return problems


def header_names(tree):
    """No two boxes have a header of the same name: the first include folder would win in silence."""
    seen, problems = {}, []
    for path in sorted(tree):
        match = re.search(r'/(skua(?:-int)?/[^/]+\.h)$', path)
        if is_product(path) and match:
            if match.group(1) in seen:
                problems.append(f'{path}:1: the same name as {seen[match.group(1)]}')
            seen[match.group(1)] = path
    return problems


# ---- Atomics ----

ORDER = re.compile(r'\bmemory_order_(relaxed|consume|acquire|release|acq_rel|seq_cst)\b')
IMPLICIT = re.compile(r'\batomic_(load|store|exchange|compare_exchange_weak|compare_exchange_strong|fetch_\w+?'
                      r'|flag_test_and_set|flag_clear)\s*\(|\b__sync_\w+\s*\(')
TAG = re.compile(r'\b(acquire|release|acq_rel|seq_cst) ([A-Z]+[0-9]+):')
PARTNERS = {'release': {'acquire', 'acq_rel', 'seq_cst'}, 'acquire': {'release', 'acq_rel', 'seq_cst'}}
LINES_BEFORE = 6  # how far above its statement a tag may begin


def has_atomics(path):
    return (is_product(path) or path.startswith('bindings-examples/') and is_c(path))


def implicit_orders(tree):
    """Each atomic operation names its order."""
    return [f'{path}:{line_of(text, m.start())}: {m.group(0).rstrip("( ")} without an explicit order'
            for path, text in sorted(tree.items()) if has_atomics(path)
            for m in IMPLICIT.finditer(blank(text)) if not m.group(0).rstrip('( ').endswith('_explicit')]


def atomic_statements(code):
    """(first line, last line, {orders}) of each statement that names a memory order."""
    found = {}
    for match in ORDER.finditer(code):
        start = max(code.rfind(c, 0, match.start()) for c in ';{}') + 1
        start += len(code[start:]) - len(code[start:].lstrip())
        ends = [at for at in (code.find(c, match.end()) for c in ';{}') if at >= 0]
        key = (line_of(code, start), line_of(code, min(ends, default=len(code))))
        found.setdefault(key, set()).add(match.group(1))
    return [(first, last, orders) for (first, last), orders in sorted(found.items())]


def atomic_tags(tree):
    """Each site has its reason beside it, and each tag its partner in the same box."""
    problems, tags = [], {}
    for path, text in sorted(tree.items()):
        if not has_atomics(path):
            continue
        comments = blank(text, keep_comments=True).split('\n')
        for first, last, orders in atomic_statements(blank(text)):
            near = '\n'.join(comments[max(0, first - 1 - LINES_BEFORE):last + 1])
            strong = orders - {'relaxed'}
            said = {m.group(1) for m in TAG.finditer(near)}
            if strong and not strong & said:
                problems.append(f'{path}:{first}: {"/".join(sorted(strong))} without a tag such as "/* release Q1: …"')
            if not strong and 'relaxed' not in near:
                problems.append(f'{path}:{first}: relaxed without a "relaxed: why"')
        for match in TAG.finditer('\n'.join(comments)):
            tags.setdefault((box_of(path), match.group(2)), []).append(
                (match.group(1), path, line_of('\n'.join(comments), match.start()), text))
    for (_, tag), sites in sorted(tags.items()):
        orders = [order for order, _, _, _ in sites]
        for order, path, line, text in sites:
            if order in PARTNERS:
                paired = any(other in PARTNERS[order] for other in orders)
            else:
                around = '\n'.join(text.split('\n')[line - 1:line + 3])
                paired = len(sites) > 1 or re.search(r'\bitself\b|\bhere\b', around)
            if not paired:
                problems.append(f'{path}:{line}: {order} {tag} has no partner in its box')
    return problems


# ---- What the public headers say ----

EXPORTED = re.compile(r'^SKUA_API\b([^;{]*?)\b(skua_\w+)\s*\(', re.M)


def api_documented(tree):
    """Each exported function has a comment of its own with Returns: and Threads:."""
    problems = []
    for path, text in sorted(tree.items()):
        if not is_public_header(path):
            continue
        for match in EXPORTED.finditer(blank(text)):
            line, name = line_of(text, match.start()), match.group(2)
            before = text[:match.start()].rstrip()
            comment = before[before.rfind('/*'):] if before.endswith('*/') else ''
            wanted = ['Threads:'] if re.fullmatch(r'[\s\w]*\bvoid\s*', match.group(1)) else ['Returns:', 'Threads:']
            problems += [f'{path}:{line}: {name}() has no "{word}"' for word in wanted if word not in comment]
    return problems


def api_complete(tree):
    """The finer words of a public comment: only warned about."""
    problems = []
    for path, text in sorted(tree.items()):
        if is_public_header(path):
            for match in EXPORTED.finditer(blank(text)):
                before = text[:match.start()].rstrip()
                comment = before[before.rfind('/*'):] if before.endswith('*/') else ''
                problems += [f'{path}:{line_of(text, match.start())}: {match.group(2)}() has no "{word}"'
                             for word in ('Blocks:', 'Since ') if word not in comment]
    return problems


# ---- Sizes, which are a guide: warnings ----

FUNCTION_LINES = 70
FILE_LINES = 700


def sizes(tree):
    """Functions over 70 lines and files over 700."""
    problems = []
    for path, text in sorted(tree.items()):
        if not path.endswith(('.c', '.h', '.py')):
            continue
        lines = text.split('\n')
        if len(lines) > FILE_LINES:
            problems.append(f'{path}:1: {len(lines)} lines')
        start = None
        for number, line in enumerate(lines, 1):
            if is_c(path) and re.match(r'[a-zA-Z_]\w*\(', line):
                start = number
            elif line.startswith('}') and start:
                if number - start > FUNCTION_LINES:
                    problems.append(f'{path}:{start}: {lines[start - 1].split("(")[0]}() has {number - start} lines')
                start = None
    return problems


RULES = (spdx, unfinished, sleeps, foreign_includes, header_names, implicit_orders, atomic_tags, api_documented)
WARNINGS = (api_complete, sizes)
