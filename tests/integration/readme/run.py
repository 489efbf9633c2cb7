#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""The README's program compiles as it stands, with what a user has, and prints what the README says.

usage: run.py README INCLUDE_DIR LIBRARY_DIR COMPILER...
"""
import os
import re
import subprocess
import sys
import tempfile


def main():
    readme, include, library, *compiler = sys.argv[1:]
    with open(readme, encoding="utf-8") as file:
        text = file.read()
    program = re.search(r"```c\n(.*?)```", text, re.S).group(1)
    promised = re.search(r"it prints `([^`]*)`", text).group(1)
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "hello.c")
        binary = os.path.join(folder, "hello")
        with open(source, "w", encoding="utf-8") as file:
            file.write(program)
        subprocess.run([*compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-I" + include, source,
                        "-L" + library, "-Wl,-rpath," + library, "-lskua", "-o", binary], check=True)
        environment = dict(os.environ, XDG_CONFIG_HOME=folder)
        ran = subprocess.run([binary], env=environment, capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == promised, f"it printed {ran.stdout!r}, promised was {promised!r}"
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
