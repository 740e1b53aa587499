#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock QEMU before the device, driven by qtest: its RAM file is cut short, it dies of SIGKILL."""
import os
import shutil
import signal
import subprocess
import tempfile

import wire
from mpq import EXIT_CLEAN, TIMEOUT, Edu, Peer, Remote

QEMU = os.environ.get("MPQEMU_QEMU", "qemu-system-x86_64")
MIB = 1 << 20
SLOT = 4
BAR = 0xfe000000
PAM = 0x59      # of the host bridge: its change makes QEMU announce its RAM anew


class Qtest(Peer):
    """Looks like a Peer to Edu, and goes through QEMU's proxy device."""

    def __init__(self, process):
        self.process = process

    def close(self):
        pass

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if answer[:1] != ["OK"]:
            raise AssertionError(f"{line}: {answer}")
        return int(answer[1], 0) if len(answer) > 1 else 0

    def config(self, slot, offset, value, size):
        self.ask(f"outl 0xcf8 {0x80000000 | slot << 11 | offset & 0xfc:#x}")
        self.ask(f"out{'?bw?l'[size]} {0xcfc + offset % 4:#x} {value:#x}")

    def cfg_write(self, addr, val, length):
        self.config(SLOT, addr, val, length)

    def bar_read(self, addr, size, memory=1):
        return self.ask(f"readl {addr:#x}")

    def bar_write(self, addr, val, size, memory=1):
        self.ask(f"writel {addr:#x} {val:#x}")

    def announce(self):
        """A change of the memory map, and back."""
        self.config(0, PAM, 0x30, 1)
        self.config(0, PAM, 0x00, 1)


@wire.unittest.skipUnless(shutil.which(QEMU), "qemu-system-x86_64 is not installed")
class RealQemu(wire.unittest.TestCase):
    def setUp(self):
        self.ram = tempfile.NamedTemporaryFile(dir="/dev/shm")
        self.addCleanup(self.ram.close)
        os.truncate(self.ram.name, 64 * MIB)
        self.remote = Remote.start(["edu,id=e0"])
        self.addCleanup(self.remote.__exit__)
        fd = self.remote.peer.sock.fileno()
        self.qemu = subprocess.Popen(
            [QEMU, "-nodefaults", "-display", "none", "-S", "-accel", "tcg", "-qtest", "stdio",
             "-qtest-log", "none", "-m", "64M", "-machine", "pc,memory-backend=ram", "-object",
             f"memory-backend-file,id=ram,size=64M,share=on,mem-path={self.ram.name}",
             "-device", f"x-pci-proxy-dev,id=p0,addr={SLOT},fd={fd}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            pass_fds=[fd], text=True)
        self.addCleanup(self.end_qemu)
        self.remote.peer.close()
        self.qtest = Qtest(self.qemu)
        self.edu = Edu(self.qtest, BAR)

    def end_qemu(self):
        self.qemu.kill()
        self.qemu.communicate(timeout=TIMEOUT)

    def copied(self, word):
        """Does the device carry a word from one place of RAM to another?"""
        os.pwrite(self.ram.fileno(), word, MIB)
        self.edu.load(MIB, 4)
        self.edu.store(2 * MIB, 4)
        return os.pread(self.ram.fileno(), 4, 2 * MIB) == word

    def test_killed(self):
        """EOF is all that the remote sees: a clean end, without a word."""
        self.assertTrue(self.copied(b"word"))
        self.qemu.send_signal(signal.SIGKILL)
        self.assertEqual(self.remote.wait(), EXIT_CLEAN)
        self.assertEqual(self.remote.log(), "")

    @wire.not_wrapped("valgrind cannot go on after a fault within a copy")
    def test_ram_file_cut(self):
        """The device lives; when the file is whole and QEMU has said so, its DMA works."""
        self.assertTrue(self.copied(b"word"))
        os.truncate(self.ram.name, 0)
        self.edu.load(MIB, 4)
        self.edu.store(2 * MIB, 4)
        self.assertEqual(self.edu.read(Edu.ID), 0x010000ed)
        self.assertIn("is gone", self.remote.log())
        os.truncate(self.ram.name, 64 * MIB)
        self.qtest.announce()
        self.assertTrue(self.copied(b"back"))
        self.qemu.send_signal(signal.SIGKILL)
        self.assertEqual(self.remote.wait(), EXIT_CLEAN, self.remote.log())


if __name__ == "__main__":
    wire.tap.main()
