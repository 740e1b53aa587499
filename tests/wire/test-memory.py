#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SYNC_SYSMEM: the table of guest RAM, seen through the teaching device's DMA."""
import fcntl
import mmap
import os
import re

import wire
from mpq import Cmd, Edu, Ram, Region, message, sysmem

MIB = 1 << 20


class Dma(wire.RemoteTest):
    def setUp(self):
        super().setUp()
        self.ram = Ram(4 * MIB)

    def tearDown(self):
        super().tearDown()
        self.ram.close()

    def copy(self, edu, src, dst, data):
        """Through the device: what it reads at @src it writes at @dst."""
        edu.load(src, len(data))
        edu.store(dst, len(data))

    def test_offset_and_gpa(self):
        """The file's offset and the guest's address are two things."""
        self.peer.sync_sysmem([Region(0x100000, MIB, 2 * MIB, self.ram.fd)])
        self.ram.map[2 * MIB:2 * MIB + 4] = b"here"
        self.copy(self.edu(), 0x100000, 0x1ffffc, b"here")
        self.assertEqual(self.ram.map[3 * MIB - 4:3 * MIB], b"here")

    def test_no_table_no_dma(self):
        edu = self.edu()
        self.copy(edu, 0, 0x1000, b"data")
        self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)
        self.expect_words = "DMA outside"

    def test_outside_moves_nothing(self):
        """Not even the part of a range that is RAM."""
        self.peer.sync_sysmem([self.ram.region(0, MIB)])
        edu = self.edu()
        self.ram.map[0:8] = b"original"
        edu.load(0, 8)
        self.ram.map[MIB - 4:MIB] = b"safe"
        for dst in (MIB - 4, MIB, 2 * MIB, 0x0ffffffc):
            edu.store(dst, 8)
        self.assertEqual(self.ram.map[MIB - 4:MIB], b"safe")
        self.assertEqual(self.ram.map[MIB:MIB + 8], bytes(8))
        self.expect_words = "DMA outside"

    def test_bus_mastering_off(self):
        self.peer.sync_sysmem([self.ram.region(0)])
        edu = Edu(self.peer, command=2)
        self.ram.map[0:4] = b"data"
        self.copy(edu, 0, 0x1000, b"data")
        self.assertEqual(self.ram.map[0x1000:0x1004], bytes(4))
        self.expect_words = "DMA"
        edu = self.edu()
        self.copy(edu, 0, 0x1000, b"data")
        self.assertEqual(self.ram.map[0x1000:0x1004], b"data")

    def test_bus_mastering_off_under_way(self):
        """The bit counts when the transfer happens, not when it was asked for."""
        self.peer.sync_sysmem([self.ram.region(0)])
        edu = self.edu()
        self.ram.map[0:4] = b"data"
        edu.dma_start(Edu.BUFFER, 0, 4, Edu.TO_RAM)
        self.peer.cfg_write(4, 2, 2)
        wire.mpq.wait_for(lambda: not edu.read(Edu.DMA_CMD) & 1, "the end of a DMA")
        self.assertEqual(self.ram.map[0:4], b"data")
        self.expect_words = "DMA"

    def test_table_changes_under_way(self):
        """A transfer uses the table of its own moment: RAM that went away is not touched."""
        with Ram(MIB) as old:
            self.peer.sync_sysmem([old.region()])
            edu = self.edu()
            old.map[0:4] = b"keep"
            edu.dma_start(Edu.BUFFER, 0, 4, Edu.TO_RAM)
            self.peer.sync_sysmem([self.ram.region(0, MIB)])
            self.ram.map[0:4] = b"gone"
            wire.mpq.wait_for(lambda: not edu.read(Edu.DMA_CMD) & 1, "the end of a DMA")
            self.assertEqual(old.map[0:4], b"keep")
            self.assertEqual(self.ram.map[0:4], bytes(4))

    def test_eight_regions(self):
        """As many as the proxy can send; QEMU's own remote dies of the eighth."""
        rams = [Ram(MIB, f"node{i}") for i in range(8)]
        self.peer.sync_sysmem([ram.region(i * 16 * MIB) for i, ram in enumerate(rams)])
        edu = self.edu()
        for i, ram in enumerate(rams):
            ram.map[0x100:0x104] = b"no.%d" % i
            edu.load(i * 16 * MIB + 0x100, 4)
            edu.store((7 - i) * 16 * MIB + 0x200, 4)
        for i, ram in enumerate(rams):
            self.assertEqual(ram.map[0x200:0x204], b"no.%d" % (7 - i))
            ram.close()

    def test_across_neighbours(self):
        """A transfer goes over the border of regions that touch, and not over a gap."""
        with Ram(MIB) as other:
            self.peer.sync_sysmem([self.ram.region(0, MIB), other.region(MIB),
                                   self.ram.region(2 * MIB + 4096, MIB, MIB)])
            edu = self.edu()
            self.ram.map[0:8] = b"straddle"
            edu.load(0, 8)
            edu.store(MIB - 4, 8)
            self.assertEqual(self.ram.map[MIB - 4:MIB] + other.map[0:4], b"straddle")
            edu.store(2 * MIB - 4, 8)
            self.assertEqual(other.map[MIB - 4:MIB], bytes(4))
            self.expect_words = "DMA outside"

    def test_order_does_not_matter(self):
        """Tables need not be sorted by address."""
        self.peer.sync_sysmem([self.ram.region(3 * MIB, MIB, 0), self.ram.region(0, MIB, MIB),
                               self.ram.region(MIB, MIB, 2 * MIB)])
        edu = self.edu()
        self.ram.map[0:4] = b"high"
        self.copy(edu, 3 * MIB, 0, b"high")
        self.assertEqual(self.ram.map[MIB:MIB + 4], b"high")

    def test_same_file_twice(self):
        """One page at two guest addresses is one page."""
        self.peer.sync_sysmem([self.ram.region(0, MIB), self.ram.region(16 * MIB, MIB)])
        edu = self.edu()
        self.ram.map[0:4] = b"both"
        self.copy(edu, 16 * MIB, 0x3000, b"both")
        self.assertEqual(self.ram.map[0x3000:0x3004], b"both")


class Huge(wire.RemoteTest):
    """Guest RAM of huge pages, in parts that are none."""

    POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

    def setUp(self):
        """The pool is given back when the remote has ended, and its pages are free again."""
        self.take_pool()
        super().setUp()

    def take_pool(self):
        if os.geteuid() != 0:
            self.skipTest("huge pages: needs root")
        try:
            pool = open(self.POOL, "r+", encoding="ascii")
        except OSError as err:
            self.skipTest(f"huge pages: there are none to be had: {err}")
        self.addCleanup(pool.close)
        fcntl.flock(pool, fcntl.LOCK_EX)
        before = int(pool.read())
        self.addCleanup(self.set_pool, before)
        self.set_pool(before + 2)
        with open(self.POOL, encoding="ascii") as now:
            if int(now.read()) != before + 2:
                self.skipTest("huge pages: there are none to be had")

    def set_pool(self, pages):
        with open(self.POOL, "w", encoding="ascii") as pool:
            pool.write(f"{pages}\n")

    def test_parts(self):
        fd = os.memfd_create("huge", os.MFD_CLOEXEC | os.MFD_HUGETLB | os.MFD_HUGE_2MB)
        os.ftruncate(fd, 4 * MIB)
        with mmap.mmap(fd, 4 * MIB) as ram:
            self.peer.sync_sysmem([Region(0, 0xa0000, 0, fd),
                                   Region(MIB, 3 * MIB, MIB, fd)])
            edu = self.edu()
            ram[0x9fffc:0xa0000] = b"huge"
            edu.load(0x9fffc, 4)
            edu.store(4 * MIB - 4, 4)
            self.assertEqual(ram[4 * MIB - 4:4 * MIB], b"huge")
            edu.store(0xa0000, 4)
            self.assertEqual(ram[0xa0000:0xa0004], bytes(4))
            self.expect_words = "DMA outside"
        os.close(fd)


def ram_maps(pid):
    """[(start, end, offset)] of the mappings of guest RAM in a device process."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as file:
        rows = [re.match(r"(\w+)-(\w+) \S+ (\w+) .*memfd:guest-ram", line) for line in file]
    return [tuple(int(x, 16) for x in row.groups()) for row in rows if row]


class Changes(wire.RemoteTest):
    """What the machine's memory map does while firmware runs."""

    def setUp(self):
        super().setUp()
        self.ram = Ram(64 * MIB)

    def tearDown(self):
        super().tearDown()
        self.ram.close()

    def table(self, *parts):
        """Parts of RAM at their own address: (start, end)."""
        return [Region(start, end - start, start, self.ram.fd) for start, end in parts]

    def firmware(self):
        """SeaBIOS: the PAM ranges below 1 MiB go between ROM and RAM, 20 times over."""
        whole = (0xc0000, 64 * MIB)
        for i in range(20):
            pam = 0xc0000 + 0x4000 * (i % 16)
            yield self.table((0, 0xa0000), *([whole] if i % 2 else [
                (pam, pam + 0x4000), (0x100000, 64 * MIB)]))
        yield self.table((0, 0xa0000), whole)

    def settle(self):
        self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)

    def test_firmware(self):
        edu = None
        for table in self.firmware():
            self.peer.sync_sysmem(table)
            if edu is None:
                edu = self.edu()
        self.ram.map[0x7c00:0x7c04] = b"boot"
        edu.load(0x7c00, 4)
        edu.store(32 * MIB, 4)
        self.assertEqual(self.ram.map[32 * MIB:32 * MIB + 4], b"boot")

    def test_same_table_changes_nothing(self):
        """Mappings that stay the same stay where they are."""
        table = self.table((0, 0xa0000), (0x100000, 64 * MIB))
        self.peer.sync_sysmem(table)
        self.settle()
        before = ram_maps(self.remote.device_pid())
        self.assertEqual(len(before), 2)
        for _ in range(20):
            self.peer.sync_sysmem(table)
        self.settle()
        self.assertEqual(ram_maps(self.remote.device_pid()), before)

    def test_kept_part_keeps_its_mapping(self):
        low, high = (0, 0xa0000), (0x100000, 64 * MIB)
        self.peer.sync_sysmem(self.table(low, high))
        self.settle()
        before = {m for m in ram_maps(self.remote.device_pid()) if m[2] == 0}
        for _ in range(10):
            self.peer.sync_sysmem(self.table(low, (0xc0000, 64 * MIB)))
            self.peer.sync_sysmem(self.table(low, high))
        self.settle()
        self.assertEqual({m for m in ram_maps(self.remote.device_pid()) if m[2] == 0}, before)

    def test_churn(self):
        """10^4 tables: no fd, no mapping and no address range is lost on the way."""
        self.peer.sync_sysmem(self.table((0, MIB)))
        self.settle()
        pid, fds = self.remote.device_pid(), self.remote.device_fds()
        for i in range(wire.thin(10000, 500)):
            parts = [(j * 2 * MIB, j * 2 * MIB + (1 + (i + j) % 2) * MIB) for j in range(1 + i % 8)]
            self.peer.sync_sysmem(self.table(*parts))
            if i % 100 == 0:
                self.settle()
                self.assertLessEqual(len(ram_maps(pid)), 8)
        self.peer.sync_sysmem(self.table((0, MIB)))
        self.settle()
        self.assertEqual(len(ram_maps(pid)), 1)
        self.assertEqual(self.remote.device_fds(), fds)
        edu = self.edu()
        self.ram.map[0:4] = b"last"
        edu.load(0, 4)
        edu.store(0x8000, 4)
        self.assertEqual(self.ram.map[0x8000:0x8004], b"last")

    def test_fds_are_not_kept_open(self):
        """The mapping holds the file; the received fd is closed."""
        self.peer.sync_sysmem(self.table((0, MIB), (MIB, 2 * MIB)))
        self.settle()
        self.assertFalse([x for x in self.remote.device_fds().values() if "guest-ram" in x])

    def test_flags_of_fds_stay(self):
        """File status flags are shared with every holder of the open file: not ours to change."""
        before = fcntl.fcntl(self.ram.fd, fcntl.F_GETFL)
        self.peer.sync_sysmem(self.table((0, MIB)))
        self.settle()
        self.assertEqual(fcntl.fcntl(self.ram.fd, fcntl.F_GETFL), before)
        self.assertEqual(os.fstat(self.ram.fd).st_size, 64 * MIB)

    def test_unused_places_are_ignored(self):
        """Numbers in the table beyond the fds that came mean nothing."""
        payload = bytearray(sysmem(self.table((0, MIB))))
        for column in range(3):
            for place in range(1, 8):
                payload[column * 64 + place * 8:column * 64 + place * 8 + 8] = b"\xff" * 8
        self.peer.send_raw(message(Cmd.SYNC_SYSMEM, bytes(payload)), [self.ram.fd])
        self.settle()
        self.assertEqual(len(ram_maps(self.remote.device_pid())), 1)


if __name__ == "__main__":
    wire.tap.main()
