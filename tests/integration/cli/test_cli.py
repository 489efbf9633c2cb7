# SPDX-License-Identifier: MPL-2.0
"""The command line itself: help, usage errors, exit codes, colours and JSON that holds in every case."""
import os
import re
import subprocess
import sys

from skua_cli import FAILURE, OK, SKUA, USAGE, Skua, main, strict


def test_cli_help_lists_every_command():
    with Skua() as skua:
        code, out, err = skua.run("help")
        assert code == OK and err == ""
        code, objects = skua.json("help")
        assert code == OK
        names = [command["name"] for command in objects[0]["commands"]]
        assert len(names) == len(set(names))
        for command in objects[0]["commands"]:
            assert re.search(rf"^  {command['name']} +{re.escape(command['summary'])}$", out, re.M)
            code, text, _ = skua.run("help", command["name"])
            assert code == OK and text.startswith(f"usage: skua {command['name']}"), text
            code, also, _ = skua.run(command["name"], "--help")
            assert code == OK and also == text
            code, page, _ = skua.run("help", "--man", command["name"])
            assert code == OK and page.startswith('.\\" SPDX') and ".SH SYNOPSIS" in page
        assert skua.run("--help")[1] == out


def test_cli_unknown_words_name_the_nearest():
    with Skua() as skua:
        for words, wanted in (
                (["eror"], 'unknown command "eror"; did you mean errors?'),
                (["vresion"], "did you mean version?"),
                (["top"], "did you mean topo?"),
                (["errors", "--jsn"], 'unknown flag "--jsn" for skua errors; did you mean --json?'),
                (["topo", "--synthtic", "x"], "did you mean --synthetic?"),
                (["fleet", "isue"], "did you mean issue?")):
            code, out, err = skua.run(*words)
            assert code == USAGE and out == "" and wanted in err, (words, err)
            assert err.startswith("SKUA-E034 ") and "\n  next: " in err, err
            code, objects = skua.json(*words)
            assert code == USAGE and wanted in objects[-1]["error"]["message"]
        for words in (["qqqq"], ["errors", "--zzzz"]):
            assert "did you mean" not in skua.run(*words)[2], words


def test_cli_bad_values_are_usage_errors():
    with Skua() as skua:
        for words in ([], ["errors", "a", "b"], ["version", "x"], ["errors", "--json=yes"],
                      ["version", "--timeout"], ["version", "--timeout", "soon"],
                      ["version", "--timeout", "-1"], ["version", "--timeout", "nan"],
                      ["version", "--count", "0"], ["version", "--count", "many"],
                      ["version", "--count", "99999999999999999999"], ["version", "--color", "red"],
                      ["version", "--log", "loud"], ["fleet"], ["fleet", "init"], ["help", "nothing"],
                      ["version"] + ["--peer", "a"] * 65):
            code, out, err = skua.run(*words)
            assert code == USAGE and out == "", (words, code, out)
            assert err.count("\n") == 2, err
            code, objects = skua.json(*words)
            assert code == USAGE and objects[-1]["error"]["code"] == "SKUA-E034", words


def test_cli_values_stand_either_way():
    with Skua() as skua:
        for words in (["version", "--timeout", "5s"], ["version", "--timeout=500ms"],
                      ["--timeout=none", "version"], ["version", "-t", "forever"],
                      ["version", "-n", "3", "-q"], ["--version"], ["version", "--"]):
            code, out, err = skua.run(*words)
            assert code == OK and out.startswith("skua ") and err == "", (words, out, err)


def test_cli_errors_are_all_from_the_registry():
    with Skua() as skua:
        code, objects = skua.json("errors")
        rows = objects[0]["errors"]
        assert code == OK and len(rows) >= 40
        for row in rows:
            assert row["code"] == f"SKUA-E{-row['status']:03d}" and row["next"] and row["title"]
        code, out, _ = skua.run("errors")
        assert [line.split()[0] for line in out.splitlines()] == [row["code"] for row in rows]
        texts = {skua.run("errors", name)[1] for name in
                 ("E014", "SKUA-E014", "skua-e014", "14", "e14", "no_provider")}
        assert len(texts) == 1 and "exit code: 3" in texts.pop()
        for name in ("E999", "E", "", "E14x", "99999999999999999999"):
            code, objects = skua.json("errors", name)
            assert code == FAILURE and objects[-1]["error"]["code"] == "SKUA-E037", name


def test_cli_topology_of_a_described_machine():
    with Skua() as skua:
        code, objects = skua.json("topo", "--synthetic", "numa:2 core:4 pu:2")
        assert code == OK
        assert len(objects[0]["numa"]) == 2 and len(objects[0]["pus"]) == 16
        assert objects[0]["workers"] == 16 and objects[0]["numa"][0]["distances"][0] == 10
        code, out = skua.run("topo", "--plan", "--synthetic", "core:2 pu:2")[:2]
        assert code == 0 and "worker 2: pu 1 core 0 numa 0 | same core: 0 | same numa: " in out
        code, objects = skua.json("topo")
        assert code == OK and 1 <= objects[0]["workers"] <= len(objects[0]["pus"])
        for pool in objects[0]["lease"]:
            assert pool["process"] > 0 and pool["awake"] <= pool["workers"] and pool["workers"] > 0
        for device in objects[0]["devices"]:
            assert device["name"] and device["units"] > 0
            assert device["usable"] is (device["kind"] != "cpu") or not device["usable"]
        assert "device" in skua.run("topo")[1], "without any it says why there is none"
        code, objects = skua.json("topo", "--synthetic", "nonsense")
        assert code == FAILURE and objects[-1]["error"]["code"] == "SKUA-E041"
        assert skua.run("topo", "--xml", "/nonexistent/machine.xml")[0] == FAILURE


def test_cli_colour_only_where_it_is_wanted():
    with Skua() as skua:
        assert "\033[" not in skua.run("nothing")[2]
        assert "\033[" in skua.run("--color", "always", "nothing")[2]
        assert "\033[" not in skua.run("--color=never", "nothing", env={"TERM": "xterm"})[2]


def test_cli_closed_output_is_a_failure():
    for words in (["errors"], ["errors", "--json"], ["help"]):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([SKUA, *words], stdout=full, stderr=subprocess.PIPE, check=False)
        assert done.returncode == FAILURE, (words, done)
        assert done.stderr == b"SKUA-E033 cannot write to standard output: No space left on device\n", (words, done)


def test_cli_json_escapes_what_was_typed():
    with Skua() as skua:
        word = 'a"b\\c\n\x01\xff'.encode("latin-1")
        done = subprocess.run([SKUA.encode(), word, b"--json"], capture_output=True, check=False,
                              env=skua.env)
        assert done.returncode == USAGE
        message = strict(done.stdout.decode())["error"]["message"]
        assert 'a"b\\c\n\x01\ufffd' in message, message


if __name__ == "__main__":
    main(sys.modules[__name__])
