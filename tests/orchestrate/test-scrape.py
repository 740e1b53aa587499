#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The socket on which a running VM serves its counters over HTTP."""
import http.client
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import unittest

from launch import Case, FAKE, PATIENCE, qemu
import tap

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


class ScrapeCase(Case):
    def setUp(self):
        super().setUp()
        self.path = self.dir / "metrics.sock"

    def vm(self, *options):
        run = self.start(self.real_remote("--name=vm", f"--metrics={self.path}", *options),
                         self.fake("signals"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        return run

    def ends(self, run):
        """The keeper is well, and cleans up."""
        self.assertIn('vm="vm",remote="lsi0"', self.body(self.talk(GET)))
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertFalse(self.path.exists())

    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.connect(str(self.path))
        return sock

    def rest(self, sock):
        """All that comes, to the end."""
        said = b""
        try:
            while part := sock.recv(65536):
                said += part
        except ConnectionResetError:    # it was closed with bytes of ours unread
            pass
        return said

    def talk(self, said):
        sock = self.connect()
        try:
            sock.sendall(said)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self.rest(sock)

    def body(self, said):
        head, _, body = said.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n"), said[:80])
        return body.decode()


class Refused(ScrapeCase):
    def refused(self, path, text):
        run = self.start(["--name=other", f"--metrics={path}", "--", FAKE, "-device",
                          "lsi53c895a,id=lsi0"], self.fake("exit7"))
        self.assertEqual(run.wait(), 125, run.text())
        self.assertEqual(run.text().splitlines().count(f"mpqemu-orchestrate: {text}"), 1,
                         run.text())
        self.nothing_left(run)
        self.assertFalse((self.dir / "run" / "other.sock").exists())

    def test_paths(self):
        self.path.write_text("mine")
        for path, text in ((self.path, f"{self.path}: something that is no socket is there"),
                           ("/" + "x" * 120, "/" + "x" * 120 +
                            ": the path of a socket has at most 107 bytes"),
                           ("", "'': the metrics socket has a path"),
                           ("@x", "'@x': the metrics socket has a path"),
                           (self.dir / "no" / "x", f"{self.dir}/no/x: its directory: "
                            "No such file or directory")):
            with self.subTest(path):
                self.refused(path, text)
        self.assertEqual(self.path.read_text(), "mine")

    def test_in_use(self):
        run = self.vm()
        self.refused(self.path, f"{self.path}: the metrics socket is in use: a VM that has it "
                     "runs already")
        self.ends(run)

    @unittest.skipIf(os.geteuid(), "needs root: makes another user's socket")
    def test_anothers(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(self.path))
        os.chown(self.path, 65534, 65534)
        self.refused(self.path, f"{self.path}: this metrics socket belongs to another user (65534)")

    def test_left_behind(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(self.path))
        self.ends(self.vm())


class Hostile(ScrapeCase):
    def test_no_requests(self):
        run = self.vm()
        for said, status in (
                (b"\r\n\r\n", 400), (b"GET\r\n\r\n", 400), (b"GET /metrics\r\n\r\n", 400),
                (b"GET /metrics HTTP/2.0\r\n\r\n", 400), (b"GET /metrics HTTP/1.\r\n\r\n", 400),
                (b"GET /metrics HTTP/1.1 x\r\n\r\n", 400), (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
                (b" /metrics HTTP/1.1\r\n\r\n", 400), (b"\0" * 50 + b"\r\n\r\n", 400),
                (b"GET /metrics HTTP/1.1\0\r\n\r\n", 400), (b'{"execute": "x"}\n\n', 400),
                (b"GET / HTTP/1.1\r\n\r\n", 404), (b"GET /metricsx HTTP/1.1\r\n\r\n", 404),
                (b"GET /../metrics HTTP/1.1\r\n\r\n", 404), (b"GET http://x HTTP/1.1\n\n", 404),
                (b"POST / HTTP/1.1\r\n\r\n", 404), (b"POST /metrics HTTP/1.1\r\n\r\nx=y", 405),
                (b"get /metrics HTTP/1.1\r\n\r\n", 405),
                (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 4096 + b"\r\n\r\n", 431),
                (b"G" * 4096, 431), (b"G" * 1000000, 431)):
            with self.subTest(said[:40]):
                head, _, body = self.talk(said).partition(b"\r\n\r\n")
                self.assertRegex(head, rb"^HTTP/1\.1 %d " % status)
                self.assertIn(b"\r\nConnection: close", head)
                self.assertEqual(head.count(b"\r\nAllow: GET, HEAD"), status == 405)
                self.assertEqual(body.count(b"\n"), 1)
        self.ends(run)

    def test_goes(self):
        """Before the request is whole, and before the answer is read."""
        run = self.vm()
        for said in (b"", b"GET /met", GET):
            sock = self.connect()
            sock.sendall(said)
            sock.close()
        sock = self.connect()
        sock.sendall(b"GET")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(self.rest(sock), b"")
        self.ends(run)

    def test_byte_by_byte(self):
        run = self.vm()
        slow, fast = self.connect(), self.connect()
        for byte in GET[:-1]:
            slow.send(bytes([byte]))
        fast.sendall(GET)
        self.body(self.rest(fast))      # nobody waits for the slow one
        slow.send(GET[-1:])
        self.body(self.rest(slow))
        self.ends(run)

    def test_deaf(self):
        """More than are served at a time, none of which reads: each is left after its time."""
        run = self.vm()
        before = len(os.listdir(f"/proc/{run.process.pid}/fd"))
        deaf = [self.connect() for _ in range(12)]
        for sock in deaf:
            sock.sendall(GET[:-1])
        run.until(lambda: len(os.listdir(f"/proc/{run.process.pid}/fd")) == before + 8)
        self.body(self.talk(GET))       # when the first have been left
        for sock in deaf[:8]:
            self.assertEqual(self.rest(sock), b"")
        for sock in deaf:
            sock.close()
        run.until(lambda: len(os.listdir(f"/proc/{run.process.pid}/fd")) == before)
        self.ends(run)


class Served(ScrapeCase):
    def test_as_the_verb(self):
        run = self.vm()
        text = self.body(self.talk(GET))
        verb = subprocess.run([qemu.built("mpqemu-orchestrate"), "metrics", "vm"], check=True,
                              capture_output=True, text=True, timeout=PATIENCE,
                              env={**os.environ, "MPQEMU_RUNTIME_DIR": str(self.dir / "run")})
        self.assertEqual(text, verb.stdout)
        self.assertRegex(text, r'mpqemu_messages_total\{vm="vm",remote="lsi0",'
                               r'kind="config_read"\} [1-9]')
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.ends(run)

    def test_ways_to_ask(self):
        run = self.vm()
        for said in (b"GET /metrics HTTP/1.0\r\n\r\n", b"GET /metrics HTTP/1.0\n\n",
                     b"GET /metrics?x=y HTTP/1.1\r\nHost: a\r\n\r\n",
                     b"GET HTTP://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with self.subTest(said):
                self.assertIn('remote="lsi0"', self.body(self.talk(said)))
        self.ends(run)

    def client(self):
        """Python's own."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        return connection

    def test_http_client(self):
        run = self.vm()
        sizes = []
        for method in ("GET", "HEAD"):
            client = self.client()
            client.request(method, "/metrics", headers={"Accept": "text/plain"})
            answer = client.getresponse()
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.getheader("Content-Type"), "text/plain; version=0.0.4")
            self.assertEqual(answer.getheader("Connection"), "close")
            self.assertEqual(len(answer.read()) > 0, method == "GET")
            sizes.append(answer.getheader("Content-Length"))
        self.assertEqual(sizes[0], sizes[1])
        self.ends(run)

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl(self):
        run = self.vm()
        asked = subprocess.run(["curl", "-sS", "-i", "--unix-socket", self.path,
                                "http://localhost/metrics"], capture_output=True, text=True,
                               check=True, timeout=PATIENCE)
        self.assertTrue(asked.stdout.startswith("HTTP/1.1 200 OK"))
        self.assertTrue(re.search(r"^# TYPE mpqemu_messages_total counter$", asked.stdout, re.M))
        self.ends(run)

    def test_file(self):
        """The key of a VM's file."""
        file = self.dir / "web.conf"
        file.write_text(f"[vm]\nqemu = {FAKE}\nmetrics = {self.path}\n[device lsi0]\n"
                        "driver = lsi53c895a\n")
        run = self.start(["start", str(file)], self.fake("signals"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        self.assertIn('vm="web",remote="lsi0"', self.body(self.talk(GET)))
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertFalse(self.path.exists())


if __name__ == "__main__":
    tap.main()
