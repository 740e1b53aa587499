#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""DMA_MAP and DMA_UNMAP: guest memory as the client shares it, seen through the device's DMA."""
import errno
import fcntl
import os
import re
import select
import socket
import tempfile

import vfio
import vfu
import wire
from mpq import Edu, Event, Ram
from vfio import MASTER, MEMORY, MIB, PAGE
from vfu import MAP, MAP_READ, MAP_WRITE, UNMAP, UNMAP_ALL, Cmd

BOTH = MAP_READ | MAP_WRITE
VIOMMU_ALL = 0xffffffff01100000     # what QEMU unmaps when a vIOMMU goes: wraps from most addresses
OVERLAP = {errno.EEXIST, errno.EINVAL}
# Of files that cannot be mapped, or not so far: the number says why, and QEMU prints it.
BAD_FILE = {errno.EINVAL, errno.EACCES, errno.EBADF, errno.ENODEV, errno.ENOMEM, errno.ENOSPC,
            errno.ERANGE, errno.E2BIG, errno.EFBIG, errno.EOVERFLOW}
NO_DMA = "DMA outside"


def ram_maps(pid):
    """How many mappings of guest RAM a process has."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as file:
        return len(re.findall("memfd:guest-ram", file.read()))


class MapsTest(vfio.VfioTest):
    def setUp(self):
        super().setUp()
        self.ram = Ram(4 * MIB)
        self.addCleanup(self.ram.close)

    def map(self, iova, size, offset=0, flags=BOTH, fd=None):
        self.client.dma_map(iova, size, self.ram.fd if fd is None else fd, offset, flags)

    def refused_map(self, iova, size, offset=0, flags=BOTH, fds=None, want=errno.EINVAL, argsz=32):
        self.refused(Cmd.DMA_MAP, MAP.pack(argsz, flags, offset, iova, size),
                     [self.ram.fd] if fds is None else fds, want)

    def reaches(self, src, dst, at, data=b"word"):
        """Does the device copy from @src to @dst, where our RAM is at @at?"""
        self.ram.map[at:at + len(data)] = bytes(len(data))
        self.edu().copy(src, dst, len(data))
        return self.ram.map[at:at + len(data)] == data

    def pipelined(self, requests):
        """Maps and unmaps, dozens before the first reply is read (more would fill the socket)."""
        for start in range(0, len(requests), 50):
            for request in requests[start:start + 50]:
                self.client.send(*request)
            for cmd, payload, _ in requests[start:start + 50]:
                self.assertEqual(self.client.reply(), payload if cmd == Cmd.DMA_UNMAP else b"")

    def no_fd_left(self):
        self.assertFalse([x for x in self.device_fds().values() if "guest-ram" in x])


class Maps(MapsTest):
    def test_iova_and_offset(self):
        """The guest's address and the file's offset are two things."""
        self.map(MIB, MIB, 2 * MIB)
        self.ram.map[2 * MIB:2 * MIB + 4] = b"here"
        self.assertTrue(self.reaches(MIB, 2 * MIB - 4, 3 * MIB - 4, b"here"))

    def test_no_map_no_dma(self):
        self.edu().copy(0, 0x1000, 4)
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        self.expect_words = NO_DMA

    def test_bus_mastering_off(self):
        """The VMM does not check it for what is mapped."""
        self.map(0, MIB)
        self.ram.map[0:4] = b"data"
        edu = self.edu(command=MEMORY)
        edu.copy(0, 0x1000, 4)
        self.assertEqual(self.ram.map[0x1000:0x1004], bytes(4))
        self.client.write(vfu.CONFIG, 4, MEMORY | MASTER, 2)
        edu.copy(0, 0x1000, 4)
        self.assertEqual(self.ram.map[0x1000:0x1004], b"data")
        self.expect_words = NO_DMA

    def test_read_only(self):
        """The device may read it, and not write: ROM of the machine."""
        self.map(0, MIB, 0, MAP_READ)
        self.map(MIB, MIB, MIB)
        self.ram.map[0:4] = b"rom!"
        self.assertTrue(self.reaches(0, MIB, MIB, b"rom!"))
        self.edu().store(0x100, 4)
        self.assertEqual(self.ram.map[0x100:0x104], bytes(4))
        self.expect_words = NO_DMA

    def test_write_only(self):
        self.map(0, MIB, 0, MAP_WRITE)
        self.ram.map[0:4] = b"secr"
        edu = self.edu()
        edu.copy(0, 0x100, 4)
        self.assertEqual(self.ram.map[0x100:0x104], bytes(4))
        edu.write(Edu.LIVENESS, 1)
        self.expect_words = NO_DMA

    def test_read_only_file_for_reading(self):
        fd = os.open(f"/proc/self/fd/{self.ram.fd}", os.O_RDONLY | os.O_CLOEXEC)
        self.addCleanup(os.close, fd)
        self.client.answer = lambda client, ask: client.refuse(ask)    # it has the fd
        self.map(0, MIB, 0, MAP_READ, fd)
        self.map(MIB, MIB, MIB)
        self.ram.map[0:4] = b"rofd"
        self.assertTrue(self.reaches(0, MIB, MIB, b"rofd"))

    def test_as_qemu_splits_ram(self):
        """Pages anywhere below 1 MiB, as firmware makes them writable."""
        self.map(0, 0xa0000)
        self.map(0xc0000, 0x3000, 0xc0000)
        self.map(0xc3000, 0x2d000, 0xc3000)
        self.map(0xf0000, 4 * MIB - 0xf0000, 0xf0000)
        self.ram.map[0xc2ffe:0xc3002] = b"seam"
        self.assertTrue(self.reaches(0xc2ffe, 0xf0000, 0xf0000, b"seam"))

    def test_high_addresses(self):
        """Above 4 GiB, and at the very end of what 64 bits name."""
        for iova in (1 << 32, 1 << 40, (1 << 48) - MIB, 1 << 63, (1 << 64) - 2 * MIB):
            self.map(iova, MIB)
            self.client.dma_unmap(iova, MIB)

    def test_fds_are_not_kept(self):
        """The mapping holds the file; 500 of them would otherwise be 500 fds."""
        before = self.device_fds()
        for i in range(20):
            self.map(i * MIB, MIB)
        self.assertEqual(self.device_fds(), before)

    def test_flags_of_the_file_stay(self):
        before = fcntl.fcntl(self.ram.fd, fcntl.F_GETFL)
        self.map(0, MIB)
        self.assertEqual(fcntl.fcntl(self.ram.fd, fcntl.F_GETFL), before)
        self.assertEqual(os.fstat(self.ram.fd).st_size, 4 * MIB)


class Several(MapsTest):
    """A buffer over many maps, as under a vIOMMU."""

    def test_two(self):
        self.map(0, MIB, 2 * MIB)
        self.map(MIB, MIB)
        self.ram.map[3 * MIB - 4:3 * MIB] = b"stra"
        self.ram.map[0:4] = b"ddle"
        self.assertTrue(self.reaches(MIB - 4, 0x1000, 2 * MIB + 0x1000, b"straddle"))

    def test_pages_in_reverse(self):
        """One page a map, each at another place of the file than its neighbour."""
        for i in range(8):
            self.map(i * PAGE, PAGE, (7 - i) * PAGE)
        data = bytes(range(1, 251)) * 16
        for i in range(2):
            part = data[:PAGE - 48] if i == 0 else data[PAGE - 48:4000]
            at = 7 * PAGE + 48 if i == 0 else 6 * PAGE
            self.ram.map[at:at + len(part)] = part
        edu = self.edu()
        edu.load(48, 4000)
        edu.store(4 * PAGE + 100, 4000)
        got = self.ram.map[3 * PAGE + 100:4 * PAGE] + self.ram.map[2 * PAGE:3 * PAGE]
        self.assertEqual(got[:4000], data)

    def test_gap(self):
        """Not even the part of a range that is mapped."""
        self.map(0, PAGE)
        self.map(2 * PAGE, PAGE, 2 * PAGE)
        self.ram.map[PAGE - 4:PAGE] = b"safe"
        self.edu().store(PAGE - 4, 8)
        self.assertEqual(self.ram.map[PAGE - 4:PAGE], b"safe")
        self.expect_words = NO_DMA

    def test_partly_read_only(self):
        self.map(0, PAGE)
        self.map(PAGE, PAGE, PAGE, MAP_READ)
        self.ram.map[PAGE - 4:PAGE] = b"safe"
        self.edu().store(PAGE - 4, 8)
        self.assertEqual(self.ram.map[PAGE - 4:PAGE], b"safe")
        self.expect_words = NO_DMA

    def test_hundreds(self):
        """4 KiB maps of one memfd, many sent without waiting."""
        count = wire.thin(600, 100)
        self.pipelined([(Cmd.DMA_MAP, MAP.pack(32, BOTH, (i * 7 % count) * PAGE, i * PAGE, PAGE),
                         [self.ram.fd]) for i in range(count)])
        where = (count - 1) * 7 % count * PAGE
        self.ram.map[where:where + 4] = b"last"
        self.assertTrue(self.reaches((count - 1) * PAGE, 0, 0, b"last"))
        self.client.dma_unmap(0, count * PAGE)
        self.assertEqual(ram_maps(self.server.device_pid()), 0)

    def test_mapped_and_by_message(self):
        """One transfer, half of it through the mapping and half through messages."""
        memory = vfu.Memory(PAGE, PAGE)
        memory.share(self.client)
        self.map(0, PAGE)
        self.ram.map[PAGE - 4:PAGE] = b"half"
        memory.map[0:4] = b"half"
        edu = self.edu()
        edu.load(PAGE - 4, 8)
        edu.store(0x100, 8)
        self.assertEqual(self.ram.map[0x100:0x108], b"halfhalf")
        edu.store(PAGE - 4, 8)
        self.assertEqual(bytes(memory.map[0:4]), b"half")

    def test_same_file_twice(self):
        self.map(0, MIB)
        self.map(16 * MIB, MIB)
        self.ram.map[0:4] = b"both"
        self.assertTrue(self.reaches(16 * MIB, 0x1000, 0x1000, b"both"))

    def test_limit(self):
        """As many as were promised, and then an error; an unmap makes room."""
        limit = self.client.negotiated.capabilities.get("max_dma_maps", 65535)
        count = min(limit, wire.thin(4096, 512))
        payloads = [MAP.pack(32, BOTH, 0, i * PAGE, PAGE) for i in range(count)]
        for start in range(0, count, 128):
            self.client.send_batch([(Cmd.DMA_MAP, p) for p in payloads[start:start + 128]])
            for _ in payloads[start:start + 128]:
                self.assertEqual(self.client.reply(), b"")
        if count == limit:
            one_more = MAP.pack(32, BOTH, 0, 1 << 40, PAGE)
            self.assertNotEqual(self.client.errno_of(Cmd.DMA_MAP, one_more), 0)
            self.client.dma_unmap(0, PAGE)
            self.client.dma_map(1 << 40, PAGE)
        self.client.dma_unmap(0, 0, UNMAP_ALL)


class WrongMaps(MapsTest):
    def test_overlap(self):
        self.map(MIB, MIB)
        for iova, size in ((MIB, 2 * MIB), (MIB, PAGE), (2 * MIB - PAGE, MIB), (0, MIB + PAGE),
                           (0, 4 * MIB), (MIB + PAGE, PAGE)):
            for fds in ([self.ram.fd], []):
                self.refused_map(iova, size, 0, fds=fds, want=OVERLAP)
        self.ram.map[0:4] = b"kept"
        self.assertTrue(self.reaches(MIB, MIB + 0x1000, 0x1000, b"kept"))
        self.no_fd_left()

    def test_same_again(self):
        """Over an existing region, so EEXIST, even where nothing would change."""
        self.map(MIB, MIB)
        self.refused_map(MIB, MIB, want=errno.EEXIST)
        self.client.dma_map(4 * MIB, MIB)
        self.refused_map(4 * MIB, MIB, fds=[], want=errno.EEXIST)

    def test_other_memory_at_the_same_place(self):
        """Without an unmap before: refused, and the first one stays."""
        self.map(MIB, MIB)
        self.refused_map(MIB, MIB, 2 * MIB, want=OVERLAP)
        self.refused_map(MIB, MIB, 0, MAP_READ, want=OVERLAP)
        self.ram.map[0:4] = b"stay"
        self.assertTrue(self.reaches(MIB, MIB + 0x1000, 0x1000, b"stay"))

    def test_overlap_without_fd(self):
        self.client.dma_map(MIB, MIB)
        self.refused_map(MIB, MIB, want=OVERLAP)
        self.refused_map(2 * MIB - PAGE, PAGE, fds=[], want=OVERLAP)

    def test_neighbours_are_no_overlap(self):
        self.map(MIB, MIB)
        self.map(0, MIB)
        self.map(2 * MIB, MIB)

    def test_ranges(self):
        for iova, size in ((0, 0), (MIB, 0), ((1 << 64) - PAGE, 2 * PAGE),
                           (2 * PAGE, (1 << 64) - PAGE),
                           ((1 << 64) - PAGE, (1 << 64) - PAGE), (1, PAGE), (0, 1), (0, PAGE + 1),
                           (2048, PAGE)):
            for fds in ([self.ram.fd], []):
                with self.subTest(iova=hex(iova), size=hex(size), fds=len(fds)):
                    self.refused_map(iova, size, fds=fds)
        self.no_fd_left()

    def test_offsets(self):
        """Of the file: not on a page, behind its end, wrapping, negative."""
        for offset, size in ((1, PAGE), (2048, PAGE), (4 * MIB, PAGE), (4 * MIB - PAGE, 2 * PAGE),
                             ((1 << 64) - PAGE, PAGE), ((1 << 64) - PAGE, 2 * PAGE),
                             (1 << 63, PAGE),
                             ((1 << 63) - PAGE, PAGE), ((1 << 63) - PAGE, 2 * PAGE)):
            with self.subTest(offset=hex(offset), size=size):
                self.refused_map(0, size, offset, want=BAD_FILE)
        self.no_fd_left()

    def test_longer_than_the_file(self):
        for size in (4 * MIB + PAGE, 1 << 40, 1 << 47, 1 << 62, 1 << 63):
            with self.subTest(size=hex(size)):
                self.refused_map(0, size, want=BAD_FILE)
        self.map(0, 4 * MIB)

    def test_sparse_giant(self):
        """A file of that size, but no room for it in the process."""
        with Ram(PAGE) as ram:
            os.ftruncate(ram.fd, 1 << 62)
            for size in (1 << 62, 1 << 47):
                self.refused_map(0, size, fds=[ram.fd], want=BAD_FILE)
            os.ftruncate(ram.fd, PAGE)

    def test_flags(self):
        for flags in (4, 7, 8, 0x13, 0x80000003, 0xffffffff):
            with self.subTest(flags=hex(flags)):
                self.refused_map(0, MIB, 0, flags)
        self.no_fd_left()

    def test_argsz(self):
        for argsz in (0, 16, 31):
            self.refused_map(0, MIB, argsz=argsz)
        self.no_fd_left()

    def test_payload_sizes(self):
        payload = MAP.pack(32, BOTH, 0, 0, MIB)
        for size in (0, 4, 16, 31, 33, 64, 4096):
            self.refused(Cmd.DMA_MAP, (payload + bytes(4096))[:size], [self.ram.fd])
        self.no_fd_left()
        self.map(0, MIB)

    def test_files(self):
        """What is no memory that one could share."""
        reader, writer = os.pipe()
        ours, theirs = socket.socketpair()
        epoll, event = select.epoll(), Event()
        path = f"/proc/self/fd/{self.ram.fd}"
        opened = {"read-only": os.open(path, os.O_RDONLY), "write-only": os.open(path, os.O_WRONLY),
                  "directory": os.open("/", os.O_RDONLY), "path": os.open("/", os.O_PATH),
                  "null": os.open("/dev/null", os.O_RDWR)}
        rows = {**opened, "pipe": writer, "socket": ours.fileno(), "epoll": epoll.fileno(),
                "eventfd": event.fd}
        before = self.device_fds()
        for label, fd in rows.items():
            with self.subTest(label):
                self.refused_map(0, MIB, fds=[fd], want=BAD_FILE)
        self.assertEqual(self.device_fds(), before)
        for fd in (reader, writer, *opened.values()):
            os.close(fd)
        for thing in (ours, theirs, epoll, event):
            thing.close()
        self.map(0, MIB)

    def test_short_file(self):
        with Ram(PAGE) as ram:
            self.refused_map(0, MIB, fds=[ram.fd], want=BAD_FILE)
            self.refused_map(0, PAGE, PAGE, fds=[ram.fd], want=BAD_FILE)
            self.client.dma_map(0, PAGE, ram.fd)

    def test_more_than_one_fd(self):
        """None of them stays."""
        before = self.device_fds()
        for count in (2, 3, 16):
            self.refused_map(0, MIB, fds=[self.ram.fd] * count)
        self.assertEqual(self.device_fds(), before)
        self.map(0, MIB)

    @wire.not_wrapped("valgrind cannot go on after a fault within a copy")
    def test_owner_cuts_the_file(self):
        """A DMA fault, and the device lives."""
        fd, path = tempfile.mkstemp(dir="/dev/shm")
        os.unlink(path)
        os.ftruncate(fd, MIB)
        self.client.dma_map(0, MIB, fd)
        os.ftruncate(fd, 0)
        edu = self.edu()
        edu.copy(0, 0x1000, 4)
        self.assertEqual(edu.read(Edu.ID), 0x010000ed)
        os.close(fd)
        self.expect_words = "e0: "


class Unmaps(MapsTest):
    def gone(self, iova=0):
        """Nothing of it is reached any more."""
        self.ram.map[0:4] = b"keep"
        self.edu().store(iova, 4)
        self.expect_words = NO_DMA
        return self.ram.map[0:4] == b"keep"

    def test_exact(self):
        self.map(0, MIB)
        self.client.dma_unmap(0, MIB)
        self.assertTrue(self.gone())
        self.assertEqual(ram_maps(self.server.device_pid()), 0)

    def test_map_again(self):
        """At the same place, other memory."""
        self.map(0, MIB)
        self.client.dma_unmap(0, MIB)
        self.map(0, MIB, MIB)
        self.ram.map[MIB:MIB + 4] = b"next"
        self.assertTrue(self.reaches(0, 0x1000, MIB + 0x1000, b"next"))

    def test_range_of_many(self):
        for i in range(4):
            self.map(i * MIB, PAGE, i * PAGE)
        self.map(8 * MIB, PAGE)
        self.client.dma_unmap(0, 4 * MIB)
        self.assertEqual(ram_maps(self.server.device_pid()), 1)
        self.ram.map[0:4] = b"left"
        self.assertTrue(self.reaches(8 * MIB, 8 * MIB + 0x100, 0x100, b"left"))

    def test_range_of_none(self):
        """Under a vIOMMU nobody knows what is there."""
        self.client.dma_unmap(0, MIB)
        self.map(0, MIB)
        for iova, size in ((MIB, MIB), (1 << 40, 1 << 40), ((1 << 64) - PAGE, PAGE)):
            self.client.dma_unmap(iova, size)
        self.assertEqual(ram_maps(self.server.device_pid()), 1)

    def test_twice(self):
        self.map(0, MIB)
        self.client.dma_unmap(0, MIB)
        self.client.dma_unmap(0, MIB)

    def test_all(self):
        for _ in range(2):
            self.map(0, MIB)
            self.map(1 << 40, MIB)
            self.client.dma_map(1 << 41, MIB)
            self.client.dma_unmap(0, 0, UNMAP_ALL)
            self.assertEqual(ram_maps(self.server.device_pid()), 0)
        self.assertTrue(self.gone())

    def test_all_of_a_viommu(self):
        """0xfeffffff up to the end and beyond."""
        self.map(0, MIB)
        self.map(0xff000000, MIB, MIB)
        self.map(1 << 40, MIB, 2 * MIB)
        self.client.dma_unmap(0xfef00000, VIOMMU_ALL)
        self.assertEqual(ram_maps(self.server.device_pid()), 1)
        self.ram.map[0:4] = b"low."
        self.assertTrue(self.reaches(0, 0x1000, 0x1000, b"low."))

    def test_all_of_a_viommu_without_maps(self):
        for iova in (0xfef00000, 0xfeefffff + 1, 1 << 32, (1 << 64) - PAGE):
            self.client.dma_unmap(iova, VIOMMU_ALL)

    def test_whole_space(self):
        self.map(0, MIB)
        self.map(1 << 40, MIB)
        self.client.dma_unmap(0, (1 << 64) - PAGE)
        self.assertEqual(ram_maps(self.server.device_pid()), 0)

    def test_zero_size(self):
        """Nothing to do, or a mistake; no map goes."""
        self.map(0, MIB)
        self.client.errno_of(Cmd.DMA_UNMAP, UNMAP.pack(24, 0, 0, 0))
        self.assertEqual(ram_maps(self.server.device_pid()), 1)

    def test_part(self):
        """A range that cuts a map: refused, or what lies in the range is not reached any more."""
        self.map(0, MIB)
        if not self.client.errno_of(Cmd.DMA_UNMAP, UNMAP.pack(24, 0, 0, PAGE)):
            self.assertTrue(self.gone())
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_argsz_and_sizes(self):
        self.map(0, MIB)
        for argsz in (0, 23):
            self.refused(Cmd.DMA_UNMAP, UNMAP.pack(argsz, 0, 0, MIB))
        for size in (0, 8, 23):
            self.refused(Cmd.DMA_UNMAP, UNMAP.pack(24, 0, 0, MIB)[:size])
        self.assertEqual(ram_maps(self.server.device_pid()), 1)

    def test_flags(self):
        """The dirty bitmap is not served."""
        self.map(0, MIB)
        for flags in (1, 4, 0x80000000, 0xffffffff):
            self.refused(Cmd.DMA_UNMAP, UNMAP.pack(24, flags, 0, MIB))
        self.assertEqual(ram_maps(self.server.device_pid()), 1)

    def test_with_an_fd(self):
        """SPDK sends one."""
        self.map(0, MIB)
        before = self.device_fds()
        payload = UNMAP.pack(24, 0, 0, MIB)
        self.assertEqual(self.client.call(Cmd.DMA_UNMAP, payload, [self.ram.fd]),
                         UNMAP.unpack(payload))
        self.assertEqual(self.device_fds(), before)

    def test_under_way(self):
        """After the reply, a transfer that was asked for before finds nothing."""
        self.map(0, MIB)
        edu = self.edu()
        self.ram.map[0:4] = b"keep"
        edu.dma_start(Edu.BUFFER, 0, 4, Edu.TO_RAM)
        self.client.dma_unmap(0, MIB)
        edu.settle()
        self.assertEqual(self.ram.map[0:4], b"keep")
        self.expect_words = NO_DMA

    def test_batches_of_firmware(self):
        """Unmaps and maps mixed, in one go, carried out in order."""
        self.map(0, MIB)
        requests = []
        for i in range(wire.thin(200, 40)):
            requests += [(Cmd.DMA_UNMAP, UNMAP.pack(24, 0, 0, MIB), []),
                         (Cmd.DMA_MAP, MAP.pack(32, BOTH, i % 4 * MIB, 0, MIB), [self.ram.fd])]
        self.pipelined(requests)
        self.ram.map[3 * MIB:3 * MIB + 4] = b"last"
        self.assertTrue(self.reaches(0, 0x1000, 3 * MIB + 0x1000, b"last"))

    def test_churn(self):
        """No fd, no mapping and no address range is lost on the way."""
        before = self.device_fds()
        for i in range(wire.thin(1000, 100)):
            self.map((i % 16) * MIB, MIB)
            self.client.dma_unmap((i % 16) * MIB, MIB)
        self.assertEqual(self.device_fds(), before)
        self.assertEqual(ram_maps(self.server.device_pid()), 0)


if __name__ == "__main__":
    wire.tap.main()
