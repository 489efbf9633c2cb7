# SPDX-License-Identifier: MPL-2.0
# Plain ZeroMQ peers (pyzmq) against skua's plain endpoints, both ways, for every pattern. Usage: test_interop.py PLAIN_SKUA
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

import zmq

PROGRAM = sys.argv.pop()


class Skua:
    """One run of plain_skua, with a fleet of its own."""

    def __init__(self, mode, endpoint, count):
        self.dir = tempfile.mkdtemp(prefix="skua-interop-")
        env = dict(os.environ, XDG_CONFIG_HOME=self.dir)
        self.process = subprocess.Popen(
            [PROGRAM, mode, endpoint, str(count)], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def port(self):
        word, _, number = self.line().partition(" ")
        assert word == "port", word + " " + number
        return int(number)

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def counts(self):
        return counts_of(self.line())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.process.communicate("\n", timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def counts_of(line):
    words = line.split()
    return dict(zip(words[::2], map(int, words[1::2])))


class Interop(unittest.TestCase):
    def setUp(self):
        self.context = zmq.Context()
        self.addCleanup(self.context.term)  # cleanups run in reverse: after every socket's

    def socket(self, kind):
        socket = self.context.socket(kind)
        self.addCleanup(socket.close, 0)
        socket.setsockopt(zmq.RCVTIMEO, 20000)
        socket.setsockopt(zmq.SNDTIMEO, 20000)
        return socket

    # ---- REQ and REP ----

    def test_pyzmq_req_asks_skua_rep(self):
        with Skua("rep", "tcp://127.0.0.1:*", 22) as skua:
            req = self.socket(zmq.REQ)
            req.connect("tcp://127.0.0.1:%d" % skua.port())
            for i in range(20):
                frames = [b"question %d" % i, b"x" * (i * 1000), b""]
                req.send_multipart(frames)
                self.assertEqual(req.recv_multipart(), [b"plain"] + frames)
            req.send(b"bad")
            self.assertEqual(req.recv_multipart(), [b"it was bad"])
            req.send(b"")
            self.assertEqual(req.recv_multipart(), [b"plain", b""])
            counts = skua.counts()
            self.assertEqual(counts, {"handed": 22, "received": 22, "dropped": 0, "sent": 0})

    def test_pyzmq_dealer_has_many_in_flight(self):
        with Skua("rep", "tcp://127.0.0.1:*", 500) as skua:
            dealer = self.socket(zmq.DEALER)
            dealer.connect("tcp://127.0.0.1:%d" % skua.port())
            for i in range(500):
                dealer.send_multipart([b"route%d" % i, b"", b"q%d" % i])
            for i in range(500):
                self.assertEqual(dealer.recv_multipart(),
                                 [b"route%d" % i, b"", b"plain", b"q%d" % i])

    def test_malformed_requests_are_counted_and_harmless(self):
        with Skua("rep", "tcp://127.0.0.1:*", 2) as skua:
            dealer = self.socket(zmq.DEALER)
            dealer.connect("tcp://127.0.0.1:%d" % skua.port())
            dealer.send_multipart([b"", b"first"])
            self.assertEqual(dealer.recv_multipart(), [b"", b"plain", b"first"])
            dealer.send(b"no delimiter")
            dealer.send_multipart([b"r"] * 9 + [b"", b"too long an envelope"])
            dealer.send_multipart([b""] + [b"f"] * 65)
            dealer.send_multipart([b"r"] * 7 + [b""] + [b"f"] * 63)  # as much as may be
            self.assertEqual(dealer.recv_multipart(),
                             [b"r"] * 7 + [b"", b"plain"] + [b"f"] * 63)
            self.assertEqual(skua.counts()["dropped"], 3)

    def test_skua_req_asks_pyzmq_rep(self):
        rep = self.socket(zmq.REP)
        port = rep.bind_to_random_port("tcp://127.0.0.1")
        with Skua("req", "tcp://127.0.0.1:%d" % port, 100) as skua:
            for _ in range(100):
                frames = rep.recv_multipart()
                self.assertEqual(frames[1], b"second")
                rep.send_multipart([b"answer to", frames[0]])
            for i in range(100):
                self.assertEqual(skua.line(), "plain [answer to] [request %d]" % i)
            counts = skua.counts()
            self.assertEqual(counts, {"handed": 100, "received": 100, "dropped": 0, "sent": 0})

    def test_skua_req_is_not_misled_by_order(self):
        # A ROUTER may answer in any order: the envelope tells which is which.
        router = self.socket(zmq.ROUTER)
        port = router.bind_to_random_port("tcp://127.0.0.1")
        with Skua("req", "tcp://127.0.0.1:%d" % port, 50) as skua:
            asked = [router.recv_multipart() for _ in range(50)]
            for frames in reversed(asked):
                peer, envelope, delimiter, text, _ = frames
                router.send_multipart([peer, b"12345678", b"", b"nobody asked this"])
                router.send_multipart([peer, envelope, delimiter, text])
                router.send_multipart([peer, envelope, delimiter, b"twice"])
            lines = [skua.line() for _ in range(50)]
            self.assertEqual(lines, ["plain [request %d]" % i for i in reversed(range(50))])

    def test_skua_req_may_start_before_pyzmq_rep(self):
        port = free_port()
        with Skua("req", "tcp://127.0.0.1:%d" % port, 1) as skua:
            rep = self.socket(zmq.REP)
            rep.bind("tcp://127.0.0.1:%d" % port)
            rep.send_multipart([rep.recv_multipart()[0]])
            self.assertEqual(skua.line(), "plain [request 0]")

    # ---- PUB and SUB ----

    def test_skua_pub_reaches_pyzmq_sub(self):
        with Skua("pub", "tcp://127.0.0.1:*", 500) as skua:
            port = skua.port()
            subs = []
            for topics in ([b"probe", b"oslo"], [b"probe", b"oslo", b"bergen"]):
                sub = self.socket(zmq.SUB)
                for topic in topics:
                    sub.setsockopt(zmq.SUBSCRIBE, topic)
                sub.connect("tcp://127.0.0.1:%d" % port)
                self.assertEqual(sub.recv_multipart(), [b"probe", b""])
                subs.append(sub)
            skua.go()
            for sub in subs:
                frames = sub.recv_multipart()
                while frames[0] == b"probe":
                    frames = sub.recv_multipart()
                for i in range(500):
                    self.assertEqual(frames, [b"oslo", b"message %d" % i, b"second"])
                    frames = sub.recv_multipart() if i < 499 else None
            self.assertEqual(subs[1].recv_multipart(), [b"bergen", b"message 500", b"second"])

    def test_skua_sub_follows_pyzmq_pub(self):
        xpub = self.socket(zmq.XPUB)  # a PUB that shows its subscriptions
        port = xpub.bind_to_random_port("tcp://127.0.0.1")
        with Skua("sub", "tcp://127.0.0.1:%d" % port, 302) as skua:
            self.assertEqual(xpub.recv(), b"\x01oslo")
            for i in range(300):
                xpub.send_multipart([b"bergen", b"not asked for"])
                xpub.send_multipart([b"oslo/%d" % i, b"rain", b"%d" % i])
            xpub.send(b"oslo alone")
            xpub.send_multipart([b"oslo"] + [b"f"] * 65)
            xpub.send_multipart([b"oslo\0hidden", b"f"])
            xpub.send_multipart([b"oslo" + b"t" * 252, b"f"])
            xpub.send_multipart([b"oslo"] + [b"f"] * 64)
            for i in range(300):
                self.assertEqual(skua.line(), "oslo/%d [rain] [%d]" % (i, i))
            self.assertEqual(skua.line(), " [oslo alone]")
            self.assertEqual(skua.line(), "oslo" + " [f]" * 64)
            self.assertEqual(skua.counts(),
                             {"handed": 0, "received": 302, "dropped": 3, "sent": 0})

    # ---- PUSH and PULL ----

    def test_skua_push_feeds_pyzmq_pull(self):
        pull = self.socket(zmq.PULL)
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        with Skua("push", "tcp://127.0.0.1:%d" % port, 5000) as skua:
            for i in range(5000):
                self.assertEqual(pull.recv_multipart(), [b"task %d" % i])
            self.assertEqual(skua.counts(),
                             {"handed": 5000, "received": 0, "dropped": 0, "sent": 0})

    def test_skua_push_waits_for_pyzmq_pull(self):
        port = free_port()
        with Skua("push", "tcp://127.0.0.1:%d" % port, 3) as skua:
            pull = self.socket(zmq.PULL)
            pull.bind("tcp://127.0.0.1:%d" % port)
            self.assertEqual([pull.recv() for _ in range(3)], [b"task 0", b"task 1", b"task 2"])
            self.assertEqual(skua.counts()["handed"], 3)

    def test_pyzmq_push_feeds_skua_pull(self):
        with Skua("pull", "tcp://127.0.0.1:*", 5001) as skua:
            push = self.socket(zmq.PUSH)
            push.connect("tcp://127.0.0.1:%d" % skua.port())
            for i in range(5000):  # five times what any queue on the way holds
                push.send_multipart([b"task", b"%d" % i])
            push.send_multipart([b"f"] * 65)
            push.send_multipart([b"x" * 300000])
            for i in range(5000):
                self.assertEqual(skua.line(), "plain [task] [%d]" % i)
            self.assertEqual(skua.line(), "plain (300000)")
            self.assertEqual(skua.counts(),
                             {"handed": 0, "received": 5001, "dropped": 1, "sent": 0})

    # ---- What goes wrong says how ----

    def test_errors_say_what_to_do(self):
        taken = self.socket(zmq.REP)
        port = taken.bind_to_random_port("tcp://127.0.0.1")
        cases = [
            ("rep", "tcp://127.0.0.1:%d" % port,
             "error SKUA-E001 tcp://127.0.0.1:%d is in use; use another port, or * to let the "
             "system pick" % port),
            ("rep", "tpc://127.0.0.1:5999",
             'error SKUA-E002 unknown transport "tpc"; did you mean tcp?'),
            ("req", "tcp://127.0.0.1:*", "error SKUA-E003 "),
            ("rep", "tcp://*:*", "error SKUA-E017 tcp://*:* reaches beyond this machine"),
            ("req", "tcp://192.0.2.1:5999", "error SKUA-E017 "),
            ("rep", "inproc://x", "error SKUA-E003 "),
            ("pub", "tcp://0.0.0.0:5999", "error SKUA-E017 "),
            ("pull", "tcp://[::]:5999", "error SKUA-E017 "),
            ("sub", "udp://127.0.0.1:5999", "error SKUA-E002 "),
            ("push", "tcp://127.0.0.1", "error SKUA-E003 "),
        ]
        for mode, endpoint, words in cases:
            with Skua(mode, endpoint, 1) as skua:
                line = skua.line()
                self.assertTrue(line.startswith(words), line)


if __name__ == "__main__":
    unittest.main(verbosity=2)
