# SPDX-License-Identifier: MPL-2.0
"""Runs the command `skua` for the tests: each call has a deadline, and its JSON is parsed strictly."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

SKUA = os.path.abspath(sys.argv[1])
DEADLINE_S = float(os.environ.get("SKUA_TEST_DEADLINE_S", "60"))

OK, FAILURE, USAGE, NOBODY, TIMEOUT, NOT_AUTHORISED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


def strict(text):
    """Parses one JSON value: no NaN, no name twice in an object."""
    def once(pairs):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"a name stands twice: {names}"
        return dict(pairs)

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")
    return json.loads(text, object_pairs_hook=once, parse_constant=refuse)


class Skua:
    """A folder of its own with a personal fleet of its own, so that tests meet nobody else."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="skua-test-")
        self.env = dict(os.environ, XDG_CONFIG_HOME=self.dir)
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *words, stdin=b"", env=None):
        """Runs it to its end: (exit code, stdout, stderr)."""
        done = subprocess.run([SKUA, *words], input=stdin, capture_output=True, timeout=DEADLINE_S,
                              env=dict(self.env, **(env or {})), check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def json(self, *words, stdin=b""):
        """Runs it with --json: (exit code, list of objects), each with a schema, nothing on stderr."""
        code, out, err = self.run(*words, "--json", stdin=stdin)
        assert err == "", f"{words}: {err}"
        assert out.endswith("\n"), f"{words}: the last line is cut: {out!r}"
        objects = [strict(line) for line in out.splitlines()]
        assert objects, f"{words} answered nothing"
        for value in objects:
            name, version = value["schema"].split("/")
            assert name.startswith("skua.") and int(version) >= 1, value["schema"]
        if code != OK:
            assert objects[-1]["error"]["exit"] == code, objects[-1]
        else:
            assert "error" not in objects[-1], objects[-1]
        return code, objects

    def start(self, *words, stdin=subprocess.DEVNULL):
        """Starts it and leaves it running."""
        process = subprocess.Popen([SKUA, *words], stdin=stdin, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.env)
        self.started.append(process)
        return process

    def start_node(self, *words):
        """Starts `skua node` and waits until it says that it is ready: (process, its first object)."""
        process = self.start("node", "--json", *words)
        line = process.stdout.readline().decode()
        assert line, process.stderr.read().decode()
        ready = strict(line)
        assert ready["event"] == "ready", ready
        return process, ready

    @staticmethod
    def end(process, with_signal=signal.SIGTERM):
        """Stops it with a signal: (exit code, the rest of stdout, stderr)."""
        process.send_signal(with_signal)
        out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out.decode(), err.decode()


def main(module):
    """Runs every function of the module whose name begins with test_."""
    wanted = sys.argv[2:]
    failed = 0
    for name, function in list(vars(module).items()):
        if name.startswith("test_") and callable(function) and (not wanted or name in wanted):
            try:
                function()
                print(f"ok {name}", flush=True)
            except Exception:  # every failure is told, and the others still run
                import traceback
                traceback.print_exc()
                print(f"not ok {name}", flush=True)
                failed += 1
    sys.exit(1 if failed else 0)
