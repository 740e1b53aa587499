#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Config space and BARs as the proxy and the guest drive them."""
import re
import subprocess

import wire
from mpq import (ALL_ONES, EXIT_CLEAN, TIMEOUT, Cmd, Edu, Ram, Remote, bar, cfg, message,
                 program)

BASE = Edu.BASE


class Config(wire.RemoteTest):
    def test_identity(self):
        self.assertEqual([self.peer.cfg_read(at, 2) for at in (0x00, 0x02, 0x0a, 0x2e)],
                         [0x1234, 0x11e8, 0x00ff, 0x1100])

    def test_realize_as_qemu_does(self):
        """Vendor, device, class, subsystem; then each BAR and, by its count of 7, offset 0x28."""
        for at in (0x00, 0x02, 0x0a, 0x2e):
            self.peer.cfg_read(at, 2)
        sizes = []
        for i in range(7):
            at = 0x10 + 4 * i
            was = self.peer.cfg_read(at, 4)
            self.peer.cfg_write(at, 0xffffffff, 4)
            sizes.append(self.peer.cfg_read(at, 4))
            self.peer.cfg_write(at, was, 4)
            self.assertEqual(self.peer.cfg_read(at, 4), was)
        self.assertEqual(sizes, [0xfff00000, 0, 0, 0, 0, 0, 0])

    def test_every_access_inside(self):
        """Each offset in each length gives what the bytes say, 0xfc..0xff as well."""
        one = [self.peer.cfg_read(at, 1) for at in range(256)]
        self.assertTrue(all(value <= 0xff for value in one))
        for length in (2, 4):
            for at in range(257 - length):
                want = int.from_bytes(bytes(one[at:at + length]), "little")
                self.assertEqual(self.peer.cfg_read(at, length), want, f"{length} at {at:#x}")

    def test_reads_outside(self):
        for at, length in [(0xff, 2), (0xfd, 4), (0xfe, 4), (0xff, 4), (0x100, 1), (0x100, 4),
                           (0xfffffffc, 4), (0xffffffff, 1), (0xffffffff, 4), (0x80000000, 4)]:
            self.assertEqual(self.peer.cfg_read(at, length), ALL_ONES, f"{length} at {at:#x}")
        self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)

    def test_reads_of_odd_lengths(self):
        """Length 8 overruns the stack of QEMU's remote; 300 and -1 trip its assertions."""
        for length in (0, 3, 5, 8, 300, -1, -4, 0x7fffffff, -0x80000000):
            self.assertEqual(self.peer.cfg_read(0, length), ALL_ONES, f"length {length}")
        self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)

    def test_writes_outside_change_nothing(self):
        before = [self.peer.cfg_read(at, 4) for at in range(0, 256, 4)]
        for at, length in [(0xff, 2), (0xfd, 4), (0x100, 4), (0xffffffff, 4), (4, 3), (4, 0),
                           (4, 8), (4, -1), (0x10, 300)]:
            self.peer.cfg_write(at, 0xffffffff, length)
        self.assertEqual([self.peer.cfg_read(at, 4) for at in range(0, 256, 4)], before)

    def test_write_replies_zero(self):
        """As QEMU's remote does."""
        self.assertEqual(self.peer.cfg_write(0x3c, 11, 1), 0)
        self.assertEqual(self.peer.cfg_read(0x3c, 1), 11)

    def test_read_only_bytes(self):
        for at in (0x00, 0x08, 0x2c, 0x3d):
            before = self.peer.cfg_read(at, 1)
            self.peer.cfg_write(at, before ^ 0xff, 1)
            self.assertEqual(self.peer.cfg_read(at, 1), before, f"{at:#x}")

    def test_command_register(self):
        """Writable bits are 0x507 at the most."""
        self.peer.cfg_write(4, 0xffff, 2)
        self.assertEqual(self.peer.cfg_read(4, 2) & ~0x507, 0)
        self.assertEqual(self.peer.cfg_read(4, 2) & 0x406, 0x406)
        self.peer.cfg_write(4, 0, 2)
        self.assertEqual(self.peer.cfg_read(4, 2), 0)

    def test_bytewise_write(self):
        for i, byte in enumerate((0x00, 0x00, 0xa0, 0xfe)):
            self.peer.cfg_write(0x10 + i, byte, 1)
        self.assertEqual(self.peer.cfg_read(0x10, 4), 0xfea00000)


class Express(wire.unittest.TestCase):
    """A PCI Express function with 64-bit BARs and MSI-X: this protocol carries none of that."""

    def test_hidden(self):
        with Remote.start(["edu-pcie,id=e0"]) as remote:
            peer = remote.peer
            for at in range(0, 256, 4):
                peer.cfg_write(at, 0xffffffff, 4)
            bars = [peer.cfg_read(at, 4) for at in range(0x10, 0x28, 4)]
            self.assertEqual(bars, [0xfff00008, 0, 0xfffff000, 0, 0, 0])
            self.assertEqual(peer.cfg_read(0x06, 2), 0)
            self.assertEqual([peer.cfg_read(at, 4) for at in (0x30, 0x34)], [0, 0])
            self.assertEqual({peer.cfg_read(at, 4) for at in range(0x40, 256, 4)}, {0})
            self.assertEqual(peer.cfg_read(0x100, 4), ALL_ONES)
            edu = Edu(peer)
            self.assertEqual(edu.read(Edu.ID), 0x010000ed)
            edu.write(Edu.IRQ_RAISE, 1)
            self.assertEqual(peer.cfg_read(0x06, 2), 8)
            self.assertEqual(remote.finish(), EXIT_CLEAN)
            self.assertEqual(remote.log(), "")


class Bars(wire.RemoteTest):
    def test_registers(self):
        edu = self.edu()
        self.assertEqual(edu.read(Edu.ID), 0x010000ed)
        self.assertEqual(edu.write(Edu.LIVENESS, 0x12345678), 0)
        self.assertEqual(edu.read(Edu.LIVENESS), 0xedcba987)

    def test_factorial(self):
        edu = self.edu()
        for n, want in ((0, 1), (1, 1), (5, 120), (12, 479001600), (34, 0), (0xffffffff, 0)):
            edu.write(Edu.FACTORIAL, n)
            while edu.read(Edu.STATUS) & 1:
                pass
            self.assertEqual(edu.read(Edu.FACTORIAL), want, f"{n}!")

    def test_8_bytes(self):
        edu = self.edu()
        edu.write(Edu.DMA_SRC, 0x1122334455667788, 8)
        self.assertEqual(edu.read(Edu.DMA_SRC, 8), 0x1122334455667788)
        self.assertEqual(edu.read(Edu.DMA_SRC + 4), 0x11223344)

    def test_undecoded(self):
        """No BAR there, none enabled, the other space, past the end, wrapping: all ones."""
        edu = self.edu()
        rows = [(0, 4, 1), (BASE - 4, 4, 1), (BASE + 0x100000, 4, 1), (BASE, 4, 0),
                (BASE + 0xffffe, 4, 1), (BASE - 2, 4, 1), (BASE + (1 << 32), 4, 1),
                (ALL_ONES, 1, 1), (ALL_ONES - 3, 8, 1), (ALL_ONES, 8, 1), (1 << 63, 8, 0)]
        for addr, size, memory in rows:
            with self.subTest(addr=hex(addr), size=size, memory=memory):
                self.assertEqual(self.peer.bar_read(addr, size, memory), ALL_ONES)
                self.peer.bar_write(addr, 0, size, memory)
        self.assertEqual(edu.read(Edu.ID), 0x010000ed)
        self.peer.cfg_write(4, 0, 2)
        self.assertEqual(edu.read(Edu.ID), ALL_ONES)

    def test_odd_sizes(self):
        edu = self.edu()
        for size in (0, 3, 5, 6, 7, 9, 16, 0x80000000, 0xffffffff):
            self.assertEqual(self.peer.bar_read(BASE, size), ALL_ONES, f"size {size}")
            self.peer.bar_write(BASE + Edu.LIVENESS, 0, size)
        self.assertEqual(edu.read(Edu.ID), 0x010000ed)

    def test_odd_space(self):
        """memory is a bool: 2 and 255 are no I/O access that slips through, nor an end."""
        edu = self.edu()
        for memory in (2, 0x80, 0xff):
            self.assertIn(self.peer.bar_read(BASE, 4, memory), (0x010000ed, ALL_ONES))
        self.assertEqual(edu.read(Edu.ID), 0x010000ed)

    def test_moved_bar(self):
        edu = self.edu()
        self.peer.cfg_write(0x10, 0xc0000000, 4)
        self.assertEqual(edu.read(Edu.ID), ALL_ONES)
        self.assertEqual(self.peer.bar_read(0xc0000000, 4), 0x010000ed)

    def test_guest_ram_is_no_bar(self):
        """An access to where RAM is must not reach RAM (it does in QEMU's remote)."""
        with Ram(1 << 20) as ram:
            ram.map[0:8] = b"topsecrt"
            self.peer.sync_sysmem([ram.region()])
            self.edu()
            self.assertEqual(self.peer.bar_read(0, 8), ALL_ONES)
            self.peer.bar_write(0, 0x4242424242424242, 8)
            self.assertEqual(ram.map[0:8], b"topsecrt")


class Realize(wire.unittest.TestCase):
    """QEMU asks each BAR for its size, and aborts when one is no power of two."""

    def drivers(self):
        done = subprocess.run([program("mpqemu-remote"), "-device", "help"], timeout=TIMEOUT,
                              check=True, stdout=subprocess.PIPE, text=True)
        return re.findall(r'^name "([^"]+)", bus PCI', done.stdout, re.M)

    def test_bar_sizes_of_every_device(self):
        drivers = self.drivers()
        self.assertGreaterEqual(len(drivers), 2)
        for driver in drivers:
            with self.subTest(driver=driver), Remote.start([f"{driver},id=d0"]) as remote:
                sizes = [self.bar_size(remote.peer, 0x10 + 4 * i) for i in range(6)]
                self.assertTrue(any(sizes))
                for size in filter(None, sizes):
                    self.assertEqual(size & (size - 1), 0, sizes)
                    self.assertGreaterEqual(size, 4)
                rom = self.bar_size(remote.peer, 0x30)
                self.assertEqual(rom & (rom - 1), 0)
                self.assertEqual(remote.finish(), EXIT_CLEAN)

    @staticmethod
    def bar_size(peer, offset):
        """As QEMU's config_op probe does it; 0: there is none."""
        before = peer.cfg_read(offset, 4)
        peer.cfg_write(offset, 0xffffffff, 4)
        mask = peer.cfg_read(offset, 4)
        peer.cfg_write(offset, before, 4)
        if offset == 0x30:
            mask &= ~0x7ff
        else:
            mask &= ~0x3 if mask & 1 else ~0xf
        return -mask & 0xffffffff


class Reset(wire.RemoteTest):
    def test_config_and_chip(self):
        edu = self.edu()
        self.peer.cfg_write(0x3c, 11, 1)
        self.peer.cfg_write(0x0c, 16, 1)
        edu.write(Edu.LIVENESS, 1)
        edu.write(Edu.IRQ_RAISE, 1)
        self.peer.reset()
        self.assertEqual([self.peer.cfg_read(at, 1) for at in (0x04, 0x3c, 0x0c)], [0, 0, 0])
        self.assertEqual(self.peer.cfg_read(0x10, 4), 0)
        self.assertEqual(self.peer.cfg_read(0x06, 2) & 8, 0, "INTx is still asserted")
        self.assertEqual(edu.read(Edu.ID), ALL_ONES)
        edu = self.edu()
        self.assertEqual(edu.read(Edu.LIVENESS), 0)
        self.assertEqual(edu.read(Edu.IRQ_STATUS), 0)

    def test_many(self):
        for _ in range(200):
            self.peer.reset()
        self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)

    def test_memory_map_survives(self):
        """RAM is the machine's, not the function's: RST# leaves the table as it is."""
        with Ram(1 << 20) as ram:
            self.peer.sync_sysmem([ram.region()])
            self.peer.reset()
            edu = self.edu()
            ram.map[0:4] = b"wire"
            edu.load(0, 4)
            edu.store(0x2000, 4)
            self.assertEqual(ram.map[0x2000:0x2004], b"wire")

    def test_transfer_under_way(self):
        """After the reply to a reset no byte of an earlier request lands."""
        with Ram(1 << 20) as ram:
            self.peer.sync_sysmem([ram.region()])
            edu = self.edu()
            ram.map[0x1000:0x2000] = b"\xaa" * 4096
            edu.dma_start(Edu.BUFFER, 0x1000, 4096, Edu.TO_RAM)
            self.peer.reset()
            seen = bytes(ram.map[0x1000:0x2000])
            edu = self.edu()
            edu.load(0, 4)      # takes longer than what was under way would have
            self.assertEqual(bytes(ram.map[0x1000:0x2000]), seen)
            self.assertEqual(seen, b"\xaa" * 4096)


class Pipelined(wire.RemoteTest):
    """A peer that does not wait for replies gets all of them, in order."""

    def test_thousand_requests(self):
        edu = self.edu()
        batch = b"".join(message(Cmd.BAR_WRITE, bar(BASE + Edu.LIVENESS, i, 4))
                         + message(Cmd.BAR_READ, bar(BASE + Edu.LIVENESS, 0, 4))
                         for i in range(50))
        for _ in range(20):
            self.peer.send_raw(batch)
            self.assertEqual([self.peer.ret() for _ in range(100)],
                             [x for i in range(50) for x in (0, i ^ 0xffffffff)])
        self.assertEqual(edu.read(Edu.ID), 0x010000ed)

    def test_mixed(self):
        self.peer.send_raw(message(Cmd.PCI_CFGREAD, cfg(0, 0, 2)) + message(Cmd.DEVICE_RESET)
                           + message(Cmd.PCI_CFGREAD, cfg(2, 0, 2)))
        self.assertEqual(self.peer.ret(), 0x1234)
        self.assertEqual(self.peer.recv(), (Cmd.RET, b""))
        self.assertEqual(self.peer.ret(), 0x11e8)


if __name__ == "__main__":
    wire.tap.main()
