# SPDX-License-Identifier: MPL-2.0
"""Commands that open nodes: who is there, fleets, tasks, and the exit codes of what can go wrong."""
import os
import signal
import socket
import sys

from skua_cli import (FAILURE, INTERRUPTED, NOBODY, NOT_AUTHORISED, OK, TIMEOUT, Skua, main, strict)


def free_port():
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_cli_nodes_lists_those_that_run():
    with Skua() as skua:
        names = ["test-a", "test-b"]
        started = [skua.start_node("--name", name) for name in names]
        code, objects = skua.json("nodes", "--count", "2", "--timeout", "20s")
        assert code == OK and objects[0]["schema"] == "skua.nodes/1"
        nodes = objects[0]["nodes"]
        assert [node["name"] for node in nodes] == names, nodes
        for node, (_, ready) in zip(nodes, started):
            assert {"name", "id", "endpoint", "via", "cores", "numa", "devices", "queue", "rtt_us",
                    "seen_ms", "state"} <= set(node), node
            assert node["id"] == ready["id"] and node["endpoint"] == ready["endpoint"], (node, ready)
            assert node["state"] == "alive"
        code, out, _ = skua.run("nodes", "--count", "2", "--timeout", "20s")
        assert code == OK and out.startswith("NAME") and out.count("\n") == 3, out


def test_cli_nodes_alone_is_nobody():
    with Skua() as skua:
        code, objects = skua.json("nodes", "--timeout", "300ms")
        assert code == NOBODY and objects[0]["nodes"] == []
        assert objects[0]["error"]["code"] == "SKUA-E010"
        code, out, err = skua.run("nodes", "--timeout", "300ms")
        # What says itself what to do is not followed by it again.
        assert code == NOBODY and out == "" and err == (
            "SKUA-E010 no peers after 0.3 s on lo, UDP 7582; see that the others run and share this fleet, "
            "or name one with --peer HOST:PORT\n"), err
        closed = f"127.0.0.1:{free_port()}"
        code, _, err = skua.run("nodes", "--timeout", "300ms", "--peer", closed)
        assert code == NOBODY and f"({closed} does not answer); see that" in err and "--peer" not in err, err
        skua.start_node("--name", "one")
        code, out, err = skua.run("nodes", "--count", "2", "--timeout", "1s")
        assert code == NOBODY and "\none " in out and "SKUA-E010 1 of 2 peers after 1 s on lo" in err, (out, err)
        assert "\n  next: " in err, err


def test_cli_node_ends_cleanly_on_signals():
    with Skua() as skua:
        for which, wanted in ((signal.SIGTERM, OK), (signal.SIGINT, INTERRUPTED)):
            for words in ([], ["--serve"]):
                process, _ = skua.start_node(*words)
                code, out, err = skua.end(process, which)
                assert code == wanted and err == "", (which, words, code, err)
                last = strict(out.splitlines()[-1])
                assert last["schema"] == "skua.node/1" and ("error" in last) == (wanted != OK), last


def test_cli_node_tells_who_comes_and_goes():
    with Skua() as skua:
        watcher, _ = skua.start_node("--name", "watcher")
        other, ready = skua.start_node("--name", "other")
        join = strict(watcher.stdout.readline().decode())
        assert join["event"] == "join" and join["name"] == "other" and join["id"] == ready["id"]
        other.kill()
        events = []
        while not events or events[-1]["event"] != "leave":
            events.append(strict(watcher.stdout.readline().decode()))
        assert events[-1]["name"] == "other" and events[-1]["reason"], events


def test_cli_personal_fleet_stays_here():
    with Skua() as skua:
        code, objects = skua.json("nodes", "--interface", "eth0", "--timeout", "300ms")
        assert code == FAILURE and objects[-1]["error"]["code"] == "SKUA-E017", objects


def test_cli_fleet_makes_and_shows_certificates():
    with Skua() as skua:
        fleet = os.path.join(skua.dir, "fleet")
        assert skua.json("fleet", "init", fleet)[0] == OK
        assert skua.json("fleet", "init", fleet)[1][-1]["error"]["code"] == "SKUA-E038"
        code, objects = skua.json("fleet", "issue", "worker-1", "--fleet", fleet, "--roles",
                                  "work,submit", "--expires", "12h")
        assert code == OK and objects[0]["name"] == "worker-1"
        folder = objects[0]["dir"]
        assert os.stat(folder).st_mode & 0o777 == 0o700
        for name in os.listdir(folder):
            assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600, name
        code, objects = skua.json("fleet", "show", folder)
        assert code == OK and not objects[0]["can_issue"] and not objects[0]["personal"]
        certificate = objects[0]["certificate"]
        assert certificate["name"] == "worker-1" and not certificate["expired"], certificate
        assert sorted(certificate["roles"].split(",")) == ["submit", "work"]
        code, objects = skua.json("fleet", "show", fleet)
        assert code == OK and objects[0]["can_issue"]
        assert skua.json("fleet", "show", os.path.join(skua.dir, "none"))[1][-1]["error"]["code"] == "SKUA-E016"
        code, objects = skua.json("fleet", "issue", "Not Allowed", "--fleet", fleet)
        assert code == FAILURE and objects[-1]["error"]["code"] == "SKUA-E011"
        for flag, value in (("--roles", "everything"), ("--expires", "soon")):
            assert skua.json("fleet", "issue", "w", "--fleet", fleet, flag, value)[0] == 2


def test_cli_roles_and_expiry_are_not_authorised():
    with Skua() as skua:
        fleet = os.path.join(skua.dir, "fleet")
        skua.json("fleet", "init", fleet)
        listener = skua.json("fleet", "issue", "listener", "--fleet", fleet, "--roles", "subscribe")[1][0]["dir"]
        code, objects = skua.json("rep", "echo", "--echo", "--fleet", listener, "--timeout", "1s")
        assert code == NOT_AUTHORISED and objects[-1]["error"]["code"] == "SKUA-E013", objects
        code, objects = skua.json("req", "echo", "hello", "--fleet", listener, "--timeout", "1s")
        assert code == NOT_AUTHORISED, objects


def test_cli_submit_runs_tasks_elsewhere():
    with Skua() as skua:
        skua.start_node("--serve", "--name", "worker")
        code, out, err = skua.run("submit", "echo", "hello")
        assert (code, out, err) == (OK, "hello", ""), (code, out, err)
        code, objects = skua.json("submit", "echo", "-", "--count", "3", stdin=b"a\nb\n")
        assert code == OK and len(objects) == 4 and objects[-1]["submitted"] == 3
        for result in objects[:-1]:
            assert result["outcome"] == "ok" and result["output"] == "a\nb\n" and result["node"] == "worker"
        code, objects = skua.json("submit", "nothing", "--timeout", "1s")
        assert code == NOBODY and "echo" in objects[-1]["error"]["message"], objects


def test_cli_req_and_rep():
    with Skua() as skua:
        echo = skua.start("rep", "echo", "--echo", "--json")
        upper = skua.start("rep", "upper", "--json", "--", "tr", "a-z", "A-Z")
        code, out, err = skua.run("req", "echo", "hello", "--timeout", "20s")
        assert (code, out, err) == (OK, "hello\n", ""), (code, out, err)
        code, out, err = skua.run("req", "upper", "-", "--timeout", "20s", stdin=b"one\ntwo\n\nlast")
        assert (code, out, err) == (OK, "ONE\nTWO\n\nLAST\n", ""), (code, out, err)
        code, objects = skua.json("req", "echo", "again", "--count", "3", "--timeout", "20s")
        assert code == OK and [m["frames"] for m in objects[:-1]] == [["again"]] * 3
        assert objects[-1]["replies"] == 3
        for process, answered in ((echo, 4), (upper, 4)):
            code, out, err = skua.end(process)
            assert code == OK and strict(out.splitlines()[-1])["answered"] == answered, (out, err)


def test_cli_req_says_why_there_is_no_answer():
    with Skua() as skua:
        started, hold = (os.path.join(skua.dir, name) for name in ("started", "hold"))
        os.mkfifo(started)
        os.mkfifo(hold)
        failing = skua.start("rep", "failing", "--", "sh", "-c", "exit 7")
        # It says that it was asked, and then waits for a writer that never comes.
        silent = skua.start("rep", "silent", "--", "sh", "-c", f"echo asked > {started}; exec cat {hold}")
        code, objects = skua.json("req", "failing", "x", "--timeout", "20s")
        assert code == FAILURE and "sh ended with code 7" in objects[-1]["error"]["message"], objects
        asking = skua.start("req", "silent", "x", "--timeout", "forever")
        with open(started, encoding="ascii") as told:
            assert told.readline() == "asked\n"
        code, _, err = skua.end(asking, signal.SIGINT)
        assert code == INTERRUPTED and err == "", (code, err)
        code, objects = skua.json("req", "silent", "x", "--timeout", "2s")
        assert code == TIMEOUT and objects[-1]["error"]["code"] == "SKUA-E007", objects
        code, objects = skua.json("req", "resize", "x", "--timeout", "2s")
        assert code == NOBODY and objects[-1]["error"]["code"] == "SKUA-E014", objects
        message = objects[-1]["error"]["message"]
        assert '"resize"' in message and "failing" in message and "silent" in message, message
        for process in (failing, silent):
            assert skua.end(process)[0] == OK


def test_cli_pub_and_sub():
    with Skua() as skua:
        one = skua.start("sub", "weather", "oslo", "--count", "3", "--json")
        every = skua.start("sub", "weather", "--count", "4")
        code, objects = skua.json("pub", "weather", "oslo", "-", "--subs", "2", "--timeout", "20s",
                                  stdin=b"rain\nsun\nsnow\n")
        assert code == OK and objects[-1]["published"] == 3, objects
        assert objects[-1]["sent"] == objects[-1]["confirmed"] == 6, objects
        out, err = one.communicate(timeout=20)
        messages = [strict(line) for line in out.decode().splitlines()]
        assert one.returncode == OK and err == b""
        assert [m["frames"][0] for m in messages[:-1]] == ["rain", "sun", "snow"]
        assert all(m["topic"] == "oslo" for m in messages[:-1])
        assert messages[-1]["received"] == 3 and messages[-1]["missed"] == 0
        assert skua.run("pub", "weather", "rome", "hot", "--timeout", "20s")[0] == OK
        out, _ = every.communicate(timeout=20)
        assert out == b"oslo\train\noslo\tsun\noslo\tsnow\nrome\thot\n", out
        code, objects = skua.json("pub", "weather", "oslo", "x", "--timeout", "300ms")
        assert code == NOBODY and objects[-1]["error"]["code"] == "SKUA-E010", objects
        assert 'nobody subscribed to "oslo" of "weather" within 0.3 s' in objects[-1]["error"]["message"], objects
        code, objects = skua.json("sub", "weather", "--count", "1", "--timeout", "300ms")
        assert code == TIMEOUT and objects[-1]["received"] == 0, objects
        assert objects[-1]["error"]["message"] == "0 of 1 messages came in time", objects
        assert skua.json("sub", "weather", "--timeout", "300ms")[0] == OK


def test_cli_push_and_pull():
    with Skua() as skua:
        workers = [skua.start("pull", "jobs", "--json") for _ in range(2)]
        lines = "".join(f"job {i}\n" for i in range(200)).encode()
        code, objects = skua.json("push", "jobs", "-", "--timeout", "20s", stdin=lines)
        assert code == OK and objects[-1]["pushed"] == objects[-1]["confirmed"] == 200, objects
        done = []
        for worker in workers:
            code, out, err = skua.end(worker)
            assert code == OK and err == "", (code, err)
            messages = [strict(line) for line in out.splitlines()]
            assert messages[-1]["taken"] == len(messages) - 1
            done += [message["frames"][0] for message in messages[:-1]]
        assert sorted(done) == sorted(f"job {i}" for i in range(200))
        code, objects = skua.json("push", "jobs", "x", "--timeout", "300ms")
        assert code == NOBODY and objects[-1]["error"]["code"] == "SKUA-E014", objects
        assert skua.json("pull", "jobs", "--count", "1", "--timeout", "300ms")[0] == TIMEOUT


def test_cli_plain_endpoints():
    with Skua() as skua:
        here = f"tcp://127.0.0.1:{free_port()}"
        pull = skua.start("pull", "jobs", "--count", "2", "--plain", here)
        code, objects = skua.json("push", "jobs", "-", "--plain", here, "--timeout", "20s", stdin=b"a\nb\n")
        assert code == OK and objects[-1]["pushed"] == 2, objects
        out, err = pull.communicate(timeout=20)
        assert (pull.returncode, out, err) == (OK, b"a\nb\n", b"")
        rep = skua.start("rep", "echo", "--echo", "--plain", here)
        code, out, err = skua.run("req", "echo", "hello", "--plain", here, "--timeout", "20s")
        assert (code, out, err) == (OK, "hello\n", ""), (code, out, err)
        code, objects = skua.json("rep", "other", "--echo", "--plain", here)
        assert code == FAILURE and objects[-1]["error"]["code"] == "SKUA-E001", objects
        assert objects[-1]["error"]["message"].startswith(f"{here} is in use"), objects
        assert skua.end(rep)[0] == OK
        code, objects = skua.json("rep", "other", "--echo", "--plain", here.replace("tcp", "tpc"))
        assert code == FAILURE and objects[-1]["error"]["code"] == "SKUA-E002", objects
        assert 'unknown transport "tpc"; did you mean tcp?' in objects[-1]["error"]["message"]
        code, objects = skua.json("pull", "jobs", "--plain", "tcp://0.0.0.0:*")
        assert code == FAILURE and objects[-1]["error"]["code"] == "SKUA-E017", objects


def test_cli_doctor_finds_two_nodes_meeting():
    with Skua() as skua:
        code, objects = skua.json("doctor")
        checks = {check["check"]: check for check in objects[0]["checks"]}
        assert code == OK and checks["two nodes"]["verdict"] == "ok", objects
        assert {"cores", "descriptors", "interfaces", "fleet"} <= set(checks)


if __name__ == "__main__":
    main(sys.modules[__name__])
