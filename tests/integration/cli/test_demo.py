# SPDX-License-Identifier: MPL-2.0
"""The main job: exact counts although a node is killed in the middle, and every message of the topics once."""
import os
import random
import signal
import subprocess
import sys
import tempfile

from skua_cli import DEADLINE_S, FAILURE, INTERRUPTED, OK, SKUA, Skua, main, strict

SEED = int(os.environ.get("SKUA_TEST_SEED", "7"))


def write_texts(folder, megabytes):
    """Text files of different shapes; the names of the text files, in the order in which the demo reads them."""
    print(f"seed: SKUA_TEST_SEED={SEED}", file=sys.stderr)
    rng = random.Random(SEED)
    words = ["".join(rng.choice("abcdefghijABCDEFGHIJ") for _ in range(rng.randint(1, 12)))
             for _ in range(5000)]
    os.makedirs(os.path.join(folder, "m-folder"))
    # No line break at a file's end: its last word and the next file's first are one, as in the output of cat.
    names = ["a.txt", "m-folder/b.txt", "z.txt"]
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            size = 0
            while size < megabytes * 1000000 / len(names):
                text = b"".join(rng.choice(words).encode() + rng.choice((b" ", b"\n", b"-", b"7", b"\xe5"))
                                for _ in range(2000))
                size += file.write(text)
            file.write(b"x" * rng.randint(1, 300000))
    with open(os.path.join(folder, "image.bin"), "wb") as file:
        file.write(b"not\0text")
    return [os.path.join(folder, name) for name in names]


def counted_by_tools(paths):
    with subprocess.Popen(["cat", *paths], stdout=subprocess.PIPE) as cat:
        return subprocess.run("LC_ALL=C tr -cs A-Za-z '\\n' | LC_ALL=C sort | uniq -c", shell=True,
                              stdin=cat.stdout, capture_output=True, timeout=DEADLINE_S, check=True).stdout


def test_demo_counts_are_exact():
    with Skua() as skua:
        folder = os.path.join(skua.dir, "texts")
        counts = os.path.join(skua.dir, "counts")
        os.mkdir(folder)
        paths = write_texts(folder, 12)
        # What a demo that was killed left behind is nobody's; a folder that is young may be somebody's.
        old, young = (tempfile.mkdtemp(prefix="skua-demo-", dir="/tmp") for _ in range(2))
        os.utime(old, (0, 0))
        code, objects = skua.json("demo", folder, "--megabytes", "0", "--counts", counts)
        assert not os.path.exists(old) and os.path.exists(young)
        os.rmdir(young)
        assert code == OK, objects
        answer = objects[-1]
        assert answer["schema"] == "skua.demo/1" and answer["ok"], answer
        assert answer["retries"] > 0 and answer["killed"]["unacknowledged_chunks"] >= 2, answer
        assert answer["files"] == 3 and answer["bytes"] == sum(map(os.path.getsize, paths))
        assert sum(node["tasks"] for node in answer["nodes"]) == answer["chunks"], answer
        # Of the chunks that it held, some may have been done and on their way when it was killed.
        assert sum(node["retries"] for node in answer["nodes"]) == answer["retries"], answer
        with open(counts, "rb") as file:
            ours = file.read()
        theirs = counted_by_tools(paths)
        assert ours == theirs, (ours[:200], theirs[:200])
        assert answer["top"] == sorted(answer["top"], key=lambda row: (-row["count"], row["word"]))
        topics = answer["topics"]
        assert topics["subscribers"] == 48 and topics["sent"] == topics["confirmed"] == 48 * 100, topics


def test_demo_for_people_ends_with_ok():
    with Skua() as skua:
        code, out, err = skua.run("demo", "/usr/share/common-licenses", "--megabytes", "8")
        assert code == OK and err == "", (code, out, err)
        lines = out.splitlines()
        assert lines[-4] == "demo: ok" and all(line.startswith("  ") for line in lines[-3:]), lines
        assert "killed with SIGKILL" in out and "ledger: sent 4800 = confirmed 4800" in out, out


def test_demo_leaves_nothing_behind():
    with Skua() as skua:
        before = {name for name in os.listdir("/tmp") if name.startswith("skua-demo-")}
        process = skua.start("demo", "/usr/share/common-licenses")
        line = process.stdout.readline()
        assert b"meet on loopback" in line, (line, process.stderr.read())
        code, _, _ = skua.end(process, signal.SIGINT)
        assert code == INTERRUPTED, code
        after = {name for name in os.listdir("/tmp") if name.startswith("skua-demo-")}
        assert after <= before, after - before
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=False)
        assert children.stdout == b"", children


def test_demo_without_text_fails():
    with Skua() as skua:
        empty = os.path.join(skua.dir, "empty")
        os.mkdir(empty)
        code, objects = skua.json("demo", empty)
        assert code == FAILURE and objects[-1]["error"]["code"] == "SKUA-E037", objects
        code, objects = skua.json("demo", os.path.join(skua.dir, "none"))
        assert code == FAILURE and objects[-1]["error"]["code"] == "SKUA-E033", objects


if __name__ == "__main__":
    main(sys.modules[__name__])
