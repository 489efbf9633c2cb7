# SPDX-License-Identifier: MPL-2.0
"""Boxes see only the boxes below them. This compiles with the very flags that meson gives each box: every header
that a box may use must compile on its own, and every other one must not be found. Also looks into the built
box libraries for mutable globals."""
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import tempfile

from source import box_of, is_product

BASE, PROTO, NET, PATTERNS = 'lib/base', 'lib/proto', 'lib/net', 'patterns'
EXEC, GPU, POOL = 'sched/exec', 'gpu', 'sched/pool'
SEES = {
    BASE: {BASE},
    PROTO: {BASE, PROTO},
    NET: {BASE, PROTO, NET},
    PATTERNS: {BASE, PROTO, NET, PATTERNS},
    EXEC: {BASE, EXEC},
    GPU: {BASE, EXEC, GPU},
    POOL: {BASE, PROTO, NET, EXEC, GPU, POOL},
}
# These see the public headers of all, and the first two also the inner ones of lib/base.
USERS = {'tools': {BASE}, 'perf': {BASE}, 'bindings-examples': set()}

# The process-wide state that there is: fork() is process-wide itself.
GLOBALS = {'fork_count', 'fork_once'}


def headers_of(paths):
    """{(box, include name)}: ('lib/net', 'skua-int/node_int.h')."""
    found = set()
    for path in paths:
        match = re.search(r'/(skua(?:-int)?/[^/]+\.h)$', '/' + path)
        if is_product(path) and match and not path.startswith('tools/'):
            found.add((box_of(path), match.group(1)))
    return found


def may_see(box, header_box, name):
    if box in SEES:
        return header_box in SEES[box]
    return name.startswith('skua/') or header_box in USERS[box]


def flags_by_box(build, root):
    """The compiler, its folder and include flags, as meson gives them to one source of each box."""
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as file:
        commands = json.load(file)
    found = {}
    for entry in commands:
        path = os.path.relpath(os.path.join(entry['directory'], entry['file']), root)
        box = box_of(path)
        if box not in SEES and box not in USERS or not path.endswith('.c') or path.startswith('perf/peers/'):
            continue
        if not entry.get('output', '').startswith(box + '/'):
            continue  # a test compiles it too, with the flags of a test
        words = shlex.split(entry['command'])
        flags = [w for w in words if w.startswith(('-I', '-D', '-std='))]
        # Of several sources of a box the one that sees most counts.
        if len(flags) > len(found.get(box, (None, None, []))[2]):
            found[box] = (words[0] if 'ccache' not in words[0] else words[1], entry['directory'], flags)
    return found


def compiles(compiler, folder, flags, text):
    with tempfile.NamedTemporaryFile('w', suffix='.c') as file:
        file.write(text)
        file.flush()
        run = subprocess.run([compiler, *flags, '-Wall', '-Wextra', '-Werror', '-fsyntax-only', file.name],
                             cwd=folder, capture_output=True, text=True, check=False)
        return run.returncode == 0, run.stderr


def probe_box(box, found, headers):
    """The problems of one box."""
    compiler, folder, flags = found
    problems = []
    hidden = sorted(name for owner, name in headers if not may_see(box, owner, name))
    if hidden:
        asked = ''.join(f'#if __has_include(<{name}>)\n#warning sees {name}\n#endif\n' for name in hidden)
        _, said = compiles(compiler, folder, flags, asked + 'int skua_probe;\n')
        problems += [f'{box}: sees <{name}>, which lies above it' for name in sorted(set(re.findall(r'#warning sees (\S+)', said)))]
        # The plain case, as a person would write it.
        fine, said = compiles(compiler, folder, flags, f'#include <{hidden[0]}>\nint skua_probe;\n')
        if fine or 'No such file' not in said and 'not found' not in said:
            problems.append(f'{box}: #include <{hidden[0]}> does not fail as it should')
    for owner, name in sorted(headers):
        if owner == box or (box in USERS and may_see(box, owner, name)):
            fine, said = compiles(compiler, folder, flags, f'#include <{name}>\nint skua_probe;\n')
            if not fine:
                problems.append(f'{box}: <{name}> does not compile on its own: {said.strip().splitlines()[0]}')
    return problems


def layers(tree, root, build):
    """A wrong include does not compile, a right one does."""
    flags = flags_by_box(build, root)
    headers = headers_of(tree)
    problems = [f'{box}: has no compiled source to learn its flags from'
                for box in SEES if box not in flags]
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as workers:
        for found in workers.map(lambda box: probe_box(box, flags[box], headers), sorted(flags)):
            problems += found
    return problems


def layers_self_test(tree, root, build):
    """The probe must notice a box that sees too much: lib/base with the pool's flags."""
    flags = flags_by_box(build, root)
    wide = [word for box in SEES for word in flags[box][2] if box in flags]
    problems = probe_box(BASE, (*flags[BASE][:2], wide), headers_of(tree))
    return [] if any('lies above it' in problem for problem in problems) else ['layers.py: sees no wrong include']


def mutable_globals(root, build):
    """State lives in handles: no box library has data that changes."""
    del root
    problems = []
    libraries = [os.path.join(folder, name) for folder, _, names in os.walk(build) for name in names
                 if re.fullmatch(r'libskua-(base|proto|net|patterns|exec|gpu|pool)\.a', name)
                 and os.path.relpath(folder, build) != '.']
    if not libraries:
        return ['no box library is built yet; run ./dev build']
    for library in sorted(libraries):
        table = subprocess.run(['objdump', '-t', library], capture_output=True, text=True, check=True).stdout
        for line in table.splitlines():
            match = re.match(r'[0-9a-f]+ .{6}O\s+(\.(?:data|bss)\S*)\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)', line)
            if match and not match.group(1).startswith('.data.rel.ro') \
                    and re.sub(r'\.\d+$', '', match.group(2)) not in GLOBALS:
                problems.append(f'{os.path.basename(library)}: {match.group(2)} is a mutable global')
    return problems
