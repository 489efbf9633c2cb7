# SPDX-License-Identifier: MPL-2.0
"""The project's files as text, for the rules: what is there, and C code without its comments and strings."""
import os
import re

# Folders that hold no source of ours.
SKIPPED_DIRS = {'.git', '.cache', '__pycache__', 'corpus', 'subprojects'}
SKIPPED_PREFIX = 'build'

PRODUCT = ('lib/', 'patterns/', 'sched/', 'gpu/', 'tools/')

COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def read_tree(root):
    """{path: text} of every text file under root."""
    tree = {}
    for folder, dirs, names in os.walk(root):
        top = os.path.relpath(folder, root) == '.'
        dirs[:] = [d for d in dirs if d not in SKIPPED_DIRS
                   and not (top and d.startswith(SKIPPED_PREFIX))]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            try:
                with open(path, encoding='utf-8') as file:
                    tree[os.path.relpath(path, root)] = file.read()
            except UnicodeDecodeError:
                continue
    return tree


def is_c(path):
    return path.endswith(('.c', '.h'))


def is_product(path):
    return path.startswith(PRODUCT) and is_c(path)


def is_public_header(path):
    return path.endswith('.h') and os.path.basename(os.path.dirname(path)) == 'skua' and is_product(path)


def box_of(path):
    """lib/net for lib/net/skua-int/node_int.h; gpu for gpu/cl_load.c."""
    parts = path.split('/')
    return '/'.join(parts[:2]) if parts[0] in ('lib', 'sched') else parts[0]


def blank(text, keep_comments=False):
    """The text with comments and strings as spaces (or only the comments kept); newlines stay."""
    def replace(match):
        piece = match.group(0)
        if keep_comments == piece.startswith('/'):
            return piece
        return re.sub(r'[^\n]', ' ', piece)
    if not keep_comments:
        return COMMENT_OR_STRING.sub(replace, text)
    out, at = [], 0
    for match in COMMENT_OR_STRING.finditer(text):
        out.append(re.sub(r'[^\n]', ' ', text[at:match.start()]))
        out.append(replace(match))
        at = match.end()
    out.append(re.sub(r'[^\n]', ' ', text[at:]))
    return ''.join(out)


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1
