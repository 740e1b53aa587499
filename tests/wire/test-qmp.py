#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-remote with the VM's QMP socket: a monitor that is no good, and what the device gets."""
import os
import socket
import tempfile

import wire
from mpq import EXIT_CLEAN, Remote, wait_for

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'


class Monitor:
    """The other end of --qmp, played by the test, and a remote that has it."""

    def __init__(self, extra=()):
        self.sock, theirs = socket.socketpair()
        with theirs:
            self.remote = Remote.edu([f"--qmp=fd={theirs.fileno()}", *extra],
                                     pass_fds=[theirs.fileno()])
        self.sock.settimeout(10)

    def finish(self):
        with self.remote:
            status, log = self.remote.finish(), self.remote.log()
        self.sock.close()
        return status, log.split("\n")[:-1]

    def still_serves(self):
        return self.remote.peer.cfg_read(0, 2) == 0x1234

    def say(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass


class Hostile(wire.unittest.TestCase):
    ROWS = [
        (b"hello\n", "is no JSON object"),
        (b"\x00" * 100 + b"\n", "is no JSON object"),
        (b"[" * (1 << 20), "is nested deeper than 128 brackets"),
        (b"[" + b" " * (1 << 20), "is longer than 65536 bytes"),
        (b'{"a": ' * 5000 + b"\n", "is nested deeper than 128 brackets"),
        (b"{}\n", "did not greet"),
        (GREETING + b'{"error": {"desc": "x\\ny"}, "id": 1}\n', "it refused: x?y"),
        (GREETING + b'{"return": {}, "id": 7}\n', "answered what was not asked"),
        (GREETING * 2, "answered what was not asked"),
    ]

    def test_says_nonsense(self):
        """One line, and the device is served as before; the keeper has closed its end."""
        for data, words in self.ROWS:
            with self.subTest(words=words, data=data[:20]):
                monitor = Monitor()
                monitor.say(data)
                wait_for(lambda: words in monitor.remote.log(), words)
                self.assertTrue(monitor.still_serves())
                monitor.sock.settimeout(10)
                while self.received(monitor.sock):
                    pass
                status, lines = monitor.finish()
                self.assertEqual((status, len(lines)), (EXIT_CLEAN, 1), lines)

    @staticmethod
    def received(sock):
        try:
            return sock.recv(4096)
        except ConnectionResetError:
            return b""

    def test_inside_a_line(self):
        monitor = Monitor()
        monitor.say(GREETING[:20])
        monitor.sock.close()
        words = "closed the connection inside a line"
        wait_for(lambda: words in monitor.remote.log(), words)
        self.assertTrue(monitor.still_serves())
        self.assertEqual(monitor.finish()[0], EXIT_CLEAN)

    def test_says_nothing(self):
        """A monitor that only takes the connection keeps nobody from ending."""
        monitor = Monitor()
        self.assertTrue(monitor.still_serves())
        self.assertEqual(monitor.finish(), (EXIT_CLEAN, []))


class Ordinary(wire.unittest.TestCase):
    def test_negotiates(self):
        """Byte by byte; then the monitor goes, which is no news."""
        monitor = Monitor()
        for i in range(len(GREETING)):
            monitor.say(GREETING[i:i + 1])
        self.assertEqual(monitor.sock.recv(4096),
                         b'{"execute": "qmp_capabilities", "id": 1}\r\n')
        monitor.say(b'{"return": {}, "id": 1}\r\n{"event": "RESUME"}\r\n')
        monitor.sock.close()
        self.assertTrue(monitor.still_serves())
        self.assertEqual(monitor.finish(), (EXIT_CLEAN, []))

    def test_device_has_neither(self):
        """The device process has no way to the VM's monitor, nor to the events."""
        reader, writer = os.pipe()
        sock, theirs = socket.socketpair()
        with theirs, sock:
            fds = [theirs.fileno(), writer]
            names = {os.readlink(f"/proc/self/fd/{fd}") for fd in fds}
            with Remote.edu([f"--qmp=fd={fds[0]}", f"--events=fd={fds[1]}"],
                            pass_fds=fds) as remote:
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
                keeper = set(wire.mpq.fds(remote.proc.pid).values())
                self.assertTrue(names <= keeper, keeper)
                self.assertFalse(names & set(remote.device_fds().values()))
                self.assertEqual(remote.finish(), EXIT_CLEAN)
        os.close(reader)
        os.close(writer)


class Fallback(wire.unittest.TestCase):
    def test_said_at_start(self):
        """--on-error=stop without a QMP socket: one line, before anything else."""
        disk = ["-drive", "if=none,id=d,driver=null-co,size=1M", "-device", "scsi-hd,drive=d"]
        with Remote.start(["lsi53c895a,id=l"], ["--on-error=stop", *disk]) as remote:
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000)
            self.assertEqual(remote.finish(), EXIT_CLEAN)
            self.assertEqual(remote.log(), "mpqemu-remote: warning: --on-error=stop: no QMP socket "
                             "of the VM is known (--qmp=); errors are reported to the guest\n")

    def test_no_disk(self):
        """Nothing could go wrong, so there is nothing to say."""
        with Remote.edu(["--on-error=stop"]) as remote:
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
            self.assertEqual(remote.finish(), EXIT_CLEAN)
            self.assertEqual(remote.log(), "")

    def test_no_path_yet(self):
        """A path is connected when it is needed: QEMU comes after its remotes."""
        with tempfile.TemporaryDirectory() as folder:
            with Remote.edu(["--on-error=stop", f"--qmp={folder}/none"]) as remote:
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
                self.assertEqual(remote.finish(), EXIT_CLEAN)
                self.assertEqual(remote.log(), "")


if __name__ == "__main__":
    wire.tap.main()
