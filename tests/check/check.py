# SPDX-License-Identifier: MPL-2.0
"""./dev check: runs the rules on the project and on their own fixtures. Usage: check.py ROOT BUILD"""
import os
import shutil
import subprocess
import sys

import fixtures
import layers
import rules
from source import is_c, read_tree

CLANG_FORMAT_VERSION = '14.'


def clang_format_program():
    """clang-format of the version that .clang-format was written for, or None."""
    for name in ('clang-format-14', 'clang-format'):
        program = shutil.which(name)
        if program and f'version {CLANG_FORMAT_VERSION}' in subprocess.run(
                [program, '--version'], capture_output=True, text=True, check=True).stdout:
            return program
    return None


def formatted(program, root, paths):
    run = subprocess.run([program, '--dry-run', '-Werror', '--style=file', *paths], cwd=root,
                         capture_output=True, text=True, check=False)
    return [line for line in run.stderr.splitlines() if 'error: ' in line] or (
        ['clang-format failed'] if run.returncode else [])


def formatted_self_test(program, root):
    """clang-format must refuse an ill-formed line."""
    run = subprocess.run([program, '--dry-run', '-Werror', f'--style=file:{root}/.clang-format',
                          '--assume-filename=a.c'], input='int  a ( void ) { return 0 ;}\n',
                         capture_output=True, text=True, check=False)
    return [] if run.returncode else ['clang-format refuses nothing']


def report(name, problems, kind='FAILED'):
    print(f'{"ok" if not problems else kind:8}{name}')
    for problem in problems:
        print(f'        {problem}')
    sys.stdout.flush()


def main(root, build):
    tree = read_tree(root)
    sources = sorted(path for path in tree if is_c(path))
    program = clang_format_program()
    checks = [('the rules on their own fixtures', fixtures.problems)]
    if program:
        checks += [('clang-format refuses', lambda: formatted_self_test(program, root)),
                   ('clang-format', lambda: formatted(program, root, sources))]
    checks += [(rule.__name__ + ': ' + rule.__doc__, lambda rule=rule: rule(tree)) for rule in rules.RULES]
    checks += [('layers on a wrong include', lambda: layers.layers_self_test(tree, root, build)),
               ('layers: ' + layers.layers.__doc__, lambda: layers.layers(tree, root, build)),
               ('globals: ' + layers.mutable_globals.__doc__, lambda: layers.mutable_globals(root, build))]
    failed = 0
    for name, check in checks:
        problems = check()
        failed += bool(problems)
        report(name, problems)
    for rule in rules.WARNINGS:
        report(rule.__name__ + ': ' + rule.__doc__, rule(tree), kind='warning')
    skipped = 0 if program else 2
    if skipped:
        print(f'skipped clang-format: there is no clang-format {CLANG_FORMAT_VERSION}x')
    print(f'{len(checks) - failed} passed, {failed} failed, {skipped} skipped')
    return failed != 0


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])))
