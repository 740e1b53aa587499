#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Under a service manager: what it is told, sockets of its activation, and the units."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import wire
import mpq
from mpq import EXIT_CLEAN, Peer, Remote, listens, program, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"


class Manager:
    """The manager's end of NOTIFY_SOCKET."""

    def __init__(self, abstract=False):
        self.folder = tempfile.TemporaryDirectory()
        self.name = f"@mpqemu-test-{os.getpid()}" if abstract else self.folder.name + "/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.name.replace("@", "\0"))
        self.sock.settimeout(mpq.TIMEOUT)

    def next(self):
        """{name: value} of the next message."""
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().split("\n"))

    def quiet(self):
        self.sock.settimeout(0.3)
        try:
            return not self.sock.recv(4096)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(mpq.TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()
        self.folder.cleanup()


@contextlib.contextmanager
def environment(**variables):
    """Of the remotes that are started in it."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in variables.items() if value is not None})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Notify(wire.unittest.TestCase):
    def test_life(self):
        """READY once all is served and the keeper's own filter is on, STOPPING, and no more."""
        for abstract in (False, True):
            with self.subTest(abstract=abstract), Manager(abstract) as manager, \
                    environment(NOTIFY_SOCKET=manager.name), Remote.edu() as remote:
                self.assertEqual(manager.next(), {"READY": "1", "STATUS": "serving 1 device"})
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
                self.assertTrue(manager.quiet(), "no sign of life was asked for")
                remote.proc.send_signal(signal.SIGTERM)
                self.assertEqual(manager.next(), {"STOPPING": "1",
                                                  "STATUS": "stopping on signal 15"})
                self.assertEqual(remote.wait(), EXIT_CLEAN)
                self.assertTrue(manager.quiet())

    def test_two_devices(self):
        with Manager() as manager, environment(NOTIFY_SOCKET=manager.name), \
                Remote.start(["edu,id=e0", "edu,id=e1"]) as remote:
            self.assertEqual(manager.next()["STATUS"], "serving 2 devices")
            remote.finish()

    def test_watchdog(self):
        """Signs of life go on while nothing else happens."""
        with Manager() as manager, environment(NOTIFY_SOCKET=manager.name,
                                               WATCHDOG_USEC="100000"), Remote.edu() as remote:
            alive, ready = {"WATCHDOG": "1"}, {"READY": "1", "STATUS": "serving 1 device"}
            heard = []
            while ready not in heard or heard[-1] != alive or heard.count(alive) < 5:
                heard.append(manager.next())
                self.assertIn(heard[-1], (alive, ready))
            self.assertEqual(remote.finish(), EXIT_CLEAN)

    def test_the_watchdog_is_another_s(self):
        with Manager() as manager, environment(NOTIFY_SOCKET=manager.name, WATCHDOG_PID="1",
                                               WATCHDOG_USEC="1000"), Remote.edu() as remote:
            self.assertIn("READY", manager.next())
            self.assertTrue(manager.quiet())
            remote.finish()

    def test_not_ready(self):
        """One that cannot start says nothing."""
        with Manager() as manager, environment(NOTIFY_SOCKET=manager.name), \
                Remote.start(["lsi53c895a,id=l0"], [
                    "-drive", "if=none,id=d0,file=/nonexistent,format=raw", "-device",
                    "scsi-hd,drive=d0"]) as remote:
            self.assertEqual(remote.wait(), mpq.EXIT_START)
            self.assertTrue(manager.quiet())

    def test_no_such_socket(self):
        """The device is served all the same; one line says that nobody hears of it."""
        for name in ("/nonexistent/notify", "relative", "vsock:2:1"):
            with self.subTest(name), environment(NOTIFY_SOCKET=name), Remote.edu() as remote:
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
                self.assertEqual(remote.finish(), EXIT_CLEAN)
                self.assertRegex(remote.log(), r"\Ampqemu-remote: warning: NOTIFY_SOCKET: .*: the "
                                 r"service manager is told nothing\n\Z")


def unit_args(name):
    """ARGS= as the comment of the unit has it."""
    text = (UNITS / "mpqemu-remote@.service").read_text(encoding="utf-8")
    found = re.search(r"^#   ARGS=(.*?[^\\])$", text, re.M | re.S)[1].replace("\\\n#", "")
    return found.replace("disk.img", name).split()


@unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd is not installed")
class Activation(wire.unittest.TestCase):
    """As the socket unit does it, with the arguments that the service's comment has."""

    @wire.not_wrapped("valgrind does not follow into what another program starts")
    def test_first_client(self):
        with tempfile.TemporaryDirectory() as folder, Manager() as manager:
            path, image = f"{folder}/device", f"{folder}/disk.img"
            with open(image, "wb") as file:
                file.truncate(1 << 20)
            argv = ["systemd-socket-activate", "--listen", path, "--fdname", "device", "--setenv",
                    f"NOTIFY_SOCKET={manager.name}", program("mpqemu-remote"), "-machine",
                    "x-remote,vfio-user=on", *unit_args(image)]
            with open(f"{folder}/log", "w", encoding="utf-8") as log:
                proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.addCleanup(proc.wait)
            self.addCleanup(proc.kill)
            wait_for(lambda: os.path.exists(path) and listens(path), path)
            self.assertEqual(manager.next()["READY"], "1")
            done = subprocess.run([program("mpqemu-proxy"), "info", "--socket", path],
                                  capture_output=True, text=True, timeout=mpq.TIMEOUT)
            self.assertIn("1000:0012", done.stdout, done.stderr)
            proc.terminate()
            self.assertEqual(manager.next()["STOPPING"], "1")
            self.assertEqual(proc.wait(mpq.TIMEOUT), EXIT_CLEAN)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
class Units(wire.unittest.TestCase):
    def verify(self, change=lambda text: text):
        """What systemd-analyze says of instances of our units."""
        bindir = os.path.realpath(os.path.dirname(program("mpqemu")))
        with tempfile.TemporaryDirectory() as folder:
            for unit in UNITS.glob("*@.*"):
                text = unit.read_text(encoding="utf-8").replace("@BINDIR@", bindir)
                pathlib.Path(folder, unit.name.replace("@", "@vm1")).write_text(
                    change(text), encoding="utf-8")
            names = sorted(os.listdir(folder))
            self.assertEqual(len(names), 3)
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], cwd=folder,
                                  capture_output=True, text=True, timeout=mpq.TIMEOUT,
                                  env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"})
        return [line for line in done.stderr.split("\n") if "mpqemu" in line]

    def test_verify(self):
        """No unknown word, no missing program, in any instance."""
        self.assertEqual(self.verify(), [])

    def test_verify_can_fail(self):
        for right, wrong in (("WatchdogSec", "WatchdogSek"), ("ExecStart=/", "ExecStart=/no/"),
                             ("Type=notify", "Type=notifi"), ("SocketMode=0660", "SocketMode=x")):
            with self.subTest(wrong):
                self.assertTrue(self.verify(lambda t, a=right, b=wrong: t.replace(a, b)))


if __name__ == "__main__":
    wire.tap.main()
