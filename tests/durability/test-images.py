#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Images as mpqemu-remote finds them at its start: too short, of odd length, in use by another."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import mpq  # noqa: E402
import tap  # noqa: E402

LSI = "lsi53c895a,id=l0"


def disk(path, options=""):
    return ["-drive", f"id=d0,file={path},if=none,format=raw{options}",
            "-device", "scsi-hd,id=s0,drive=d0,bus=l0.0"]


def refused(path, options=""):
    """What the remote says when it does not start with this image."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            mpq.wrapper() + [mpq.program("mpqemu-remote"), "-machine", "x-remote", "-device", LSI,
                             *disk(path, options), "-object",
                             f"x-remote-object,id=r,devid=l0,fd={theirs.fileno()}"],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=mpq.TIMEOUT)
    return done.returncode, done.stdout, done.stderr


class Images(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "disk.img")

    def make(self, size):
        with open(self.path, "wb") as file:
            file.truncate(size)

    def check_refused(self, words, options=""):
        status, out, err = refused(self.path, options)
        self.assertEqual((status, out), (mpq.EXIT_START, ""), err)
        self.assertRegex(err, r"^mpqemu-remote: .*\n\Z")
        self.assertIn(words, err)
        self.assertIn(self.path, err)

    def test_sizes(self):
        for size, words in [(0, "the image is empty (0 bytes)"),
                            (1, "has 1 bytes, less than one sector of 512"),
                            (511, "has 511 bytes, less than one sector of 512"),
                            (513, "its size, 513 bytes, is not a multiple of 512"),
                            (1048575, "its size, 1048575 bytes, is not a multiple of 512")]:
            for options in ("", ",readonly=on"):
                with self.subTest(size=size, options=options):
                    self.make(size)
                    self.check_refused(words, options)
                    self.assertEqual(os.path.getsize(self.path), size)

    def test_smallest(self):
        self.make(512)
        with mpq.Remote.start([LSI], disk(self.path)) as remote:
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000, remote.log())
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)

    def test_missing(self):
        self.check_refused("No such file or directory")

    def test_two_at_once(self):
        """The second is refused in QEMU's words, for as long as any process of the first lives."""
        self.make(1 << 20)
        words = (f'Failed to get "write" lock: Is another process using the image [{self.path}]?')
        with mpq.Remote.start([LSI], disk(self.path)) as first:
            self.assertEqual(first.peer.cfg_read(0, 2), 0x1000, first.log())
            self.check_refused(words)
            self.check_refused("lock: Is another process using the image", ",readonly=on")
            self.assertEqual(first.peer.cfg_read(0, 2), 0x1000)
            self.assertEqual(first.finish(), mpq.EXIT_CLEAN)
        with mpq.Remote.start([LSI], disk(self.path)) as second:
            self.assertEqual(second.peer.cfg_read(0, 2), 0x1000, second.log())
            self.assertEqual(second.finish(), mpq.EXIT_CLEAN)

    def test_readers_share(self):
        self.make(1 << 20)
        with mpq.Remote.start([LSI], disk(self.path, ",readonly=on")) as first, \
                mpq.Remote.start([LSI], disk(self.path, ",readonly=on")) as second:
            for remote in (first, second):
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000, remote.log())
            self.check_refused("lock: Is another process using the image")
            self.assertEqual([first.finish(), second.finish()], [mpq.EXIT_CLEAN] * 2)

    @unittest.skipIf(mpq.wrapper(), "valgrind is killed in place of the keeper")
    def test_keeper_stopped(self):
        """A keeper that does nothing any more still holds the lock."""
        self.make(1 << 20)
        with mpq.Remote.start([LSI], disk(self.path)) as remote:
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000, remote.log())
            device = remote.device_pid()
            remote.proc.send_signal(signal.SIGSTOP)
            os.kill(device, signal.SIGKILL)
            self.check_refused('Failed to get "write" lock')
            remote.proc.send_signal(signal.SIGCONT)
            self.assertEqual(remote.wait(), 128 + signal.SIGKILL)
        with mpq.Remote.start([LSI], disk(self.path)) as second:
            self.assertEqual(second.peer.cfg_read(0, 2), 0x1000, second.log())
            self.assertEqual(second.finish(), mpq.EXIT_CLEAN)


if __name__ == "__main__":
    tap.main()
