#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock QEMU's own remote and ours answer the same questions in the same way.

What differs on purpose is in the tables below, each with its reason.
"""
import os
import shutil
import time

import wire
from mpq import Ram, Remote

QEMU = shutil.which(os.environ.get("MPQEMU_QEMU", "qemu-system-x86_64"))
IO, MMIO, RAM = 0xc000, 0xfea00000, 0xfea02000

NOT_THERE = "QEMU reads all ones where it has no such register; ours reads what the manual says"
# Registers of the LSI that differ after power-on: offset -> why.
REGISTERS_DIFFER = {
    0x07: "GPREG: ours reads back GPIO4, which is an output after reset, as the 0 that it drives",
    0x44: NOT_THERE, 0x45: NOT_THERE, 0x49: NOT_THERE, 0x4c: NOT_THERE, 0x51: NOT_THERE,
    0x53: NOT_THERE, 0x54: NOT_THERE, 0x55: NOT_THERE, 0x5a: NOT_THERE, 0x5b: NOT_THERE,
}
# Dwords of config space whose writable bits differ: offset -> why.
WRITABLE_DIFFER = {
    0x0c: "a bus master has a latency timer (PCI Local Bus 3.0, 6.2.4); QEMU's is read-only",
    **{at: "without capabilities reserved space reads zero (6.1); QEMU keeps what is written"
       for at in range(0x40, 0x100, 4)},
}


def config(peer):
    """All of config space, by dwords: QEMU's remote gives up on a byte at 0xfd."""
    return {at: peer.cfg_read(at, 4) for at in range(0, 256, 4)}


def realize(peer):
    """The questions of x-pci-proxy-dev, and every answer."""
    answers = [peer.cfg_read(at, 2) for at in (0x00, 0x02, 0x0a, 0x2e)]
    for i in range(7):
        at = 0x10 + 4 * i
        was = peer.cfg_read(at, 4)
        answers += [was, peer.cfg_write(at, 0xffffffff, 4), peer.cfg_read(at, 4),
                    peer.cfg_write(at, was, 4)]
    return answers


def place(peer):
    for at, value, length in ((0x10, IO, 4), (0x14, MMIO, 4), (0x18, RAM, 4), (4, 7, 2)):
        peer.cfg_write(at, value, length)


def writable(peer):
    """Which bits of config space a guest can set and clear."""
    bits = {}
    for at in range(0, 256, 4):
        if at == 4:
            continue    # the status half clears by ones
        was = peer.cfg_read(at, 4)
        peer.cfg_write(at, 0xffffffff, 4)
        ones = peer.cfg_read(at, 4)
        peer.cfg_write(at, 0, 4)
        bits[at] = ones ^ peer.cfg_read(at, 4)
        peer.cfg_write(at, was, 4)
    return bits


def registers(peer):
    place(peer)
    return {at: peer.bar_read(MMIO + at, 1) for at in range(0x60)}


def widths(peer):
    """A register and script RAM in each width, through each BAR."""
    place(peer)
    answers = []
    for base, memory in ((MMIO + 0x34, 1), (IO + 0x34, 0), (RAM + 0x20, 1)):
        for size in (1, 2, 4, 8):
            answers.append(peer.bar_write(base, 0x1122334455667788, size, memory))
            answers.append(peer.bar_read(base, min(size, 4), memory))
    return answers


class Agree(wire.unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not QEMU:
            raise wire.unittest.SkipTest("no qemu-system-x86_64")

    def both(self, ask, device="lsi53c895a"):
        answers = []
        with Ram(1 << 20) as ram:
            for qemu in (QEMU, None):
                with Remote.start([f"{device},id=d0"], qemu=qemu) as remote:
                    remote.peer.cfg_read(0, 4)
                    if qemu:
                        time.sleep(0.5)     # its power-on reset comes after its first answers
                    remote.peer.sync_sysmem([ram.region()])
                    answers.append(ask(remote.peer))
                    self.assertEqual(remote.finish(), 0)
        return answers

    def agree(self, ask, device="lsi53c895a", known=()):
        """The offsets of @known differ, no other; the list is kept exact."""
        theirs, ours = self.both(ask, device)
        if isinstance(theirs, dict):
            differ = {at: (hex(theirs[at]), hex(ours[at])) for at in theirs
                      if theirs[at] != ours[at]}
            self.assertEqual(sorted(differ), sorted(known), f"offset: (QEMU, ours): {differ}")
        else:
            self.assertEqual(theirs, ours)

    def test_realize(self):
        for device in ("lsi53c895a", "lsi53c810"):
            with self.subTest(device):
                self.agree(realize, device)

    def test_config_at_power_on(self):
        for device in ("lsi53c895a", "lsi53c810"):
            with self.subTest(device):
                self.agree(config, device)

    def test_writable_bits(self):
        self.agree(writable, known=WRITABLE_DIFFER)

    def test_registers_at_power_on(self):
        self.agree(registers, known=REGISTERS_DIFFER)

    def test_widths(self):
        self.agree(widths)


if __name__ == "__main__":
    wire.tap.main()
