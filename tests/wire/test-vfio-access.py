#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""REGION_READ, REGION_WRITE and WRITE_MULTI on BARs; what is posted has no reply, come what may."""
import errno
import struct

import vfio
import vfu
import wire
from mpq import Edu
from vfu import BAR0, BAR1, BAR2, BAR5, CONFIG, NO_REPLY, Cmd, access, multi

EDU_ID = 0x010000ed
LIVENESS = Edu.LIVENESS
BAR_SIZE = 1 << 20
OUTSIDE = [(BAR_SIZE, 1), (BAR_SIZE - 1, 2), (BAR_SIZE - 4, 8), (BAR_SIZE, 0x1000), (1 << 32, 4),
           (1 << 63, 4), ((1 << 64) - 4, 4), ((1 << 64) - 1, 1), ((1 << 64) - 4, 8)]
NO_REGION = [BAR1, 3, 4, BAR5, vfu.ROM, vfu.VGA, 9, 255, 0x80000000, 0xffffffff]


class Reads(vfio.VfioTest):
    def test_sizes(self):
        edu = self.edu()
        edu.write(Edu.DMA_SRC, 0x8877665544332211, 8)
        for size in (1, 2, 4, 8):
            for at in range(0, 8, size):
                want = bytes.fromhex("1122334455667788")[at:at + size]
                self.assertEqual(self.client.region_read(BAR0, Edu.DMA_SRC + at, size), want)

    def test_odd_sizes(self):
        """No access of a CPU; refused, or bytes of that number: never a stream out of step."""
        self.edu()
        for size in (0, 3, 5, 6, 7, 9, 16, 64, 4096):
            self.client.errno_of(Cmd.REGION_READ, access(BAR0, 0, size))
            self.assertEqual(self.client.read(BAR0, 0), EDU_ID)

    def test_unaligned(self):
        self.edu()
        for at in (1, 2, 3, 5, 7):
            for size in (2, 4, 8):
                self.assertEqual(len(self.client.region_read(BAR0, at, size)), size)

    def test_last_bytes(self):
        self.edu()
        for size in (1, 2, 4, 8):
            self.client.region_read(BAR0, BAR_SIZE - size, size)

    def test_outside(self):
        self.edu()
        for at, size in OUTSIDE:
            self.refused(Cmd.REGION_READ, access(BAR0, at, size))

    def test_no_region(self):
        for region in NO_REGION:
            self.refused(Cmd.REGION_READ, access(region, 0, 4))

    def test_huge_counts(self):
        """Nothing is allocated for them, nor sent."""
        for count in ((1 << 20) + 1, 1 << 24, 1 << 31, (1 << 32) - 1):
            for region in (BAR0, CONFIG, 9):
                self.refused(Cmd.REGION_READ, access(region, 0, count))

    def test_payload_sizes(self):
        for size in (0, 8, 12, 15, 17, 20, 4096):
            payload = (access(CONFIG, 0, 4) + bytes(4096))[:size]
            self.refused(Cmd.REGION_READ, payload)

    def test_msix_table_and_pba(self):
        """QEMU forwards reads of the pending bits only; others may read all."""
        self.edu()
        self.assertEqual(self.client.read(BAR2, 0x800, 8), 0)
        for vector in range(8):
            self.assertEqual(self.client.read(BAR2, 16 * vector + 12) & 1, 1, "masked after reset")

    def test_memory_is_off(self):
        """A guest with memory off cannot reach the BAR; a VMM that asks gets some answer."""
        self.client.write(CONFIG, 4, 0, 2)
        self.client.errno_of(Cmd.REGION_READ, access(BAR0, 0, 4))
        self.assertEqual(self.client.alive(), vfio.VENDOR)


class Writes(vfio.VfioTest):
    def setUp(self):
        super().setUp()
        self.dev = self.edu()

    def test_sizes(self):
        for size in (1, 2, 4, 8):
            for at in range(0, 8, size):
                self.dev.write(Edu.DMA_SRC, 0, 8)
                value = bytes(range(1, size + 1))
                self.client.region_write(BAR0, Edu.DMA_SRC + at, value)
                self.assertEqual(self.client.region_read(BAR0, Edu.DMA_SRC, 8),
                                 bytes(at) + value + bytes(8 - at - size))

    def test_liveness(self):
        self.dev.write(LIVENESS, 0x12345678)
        self.assertEqual(self.dev.read(LIVENESS), 0xedcba987)

    def test_reply_is_whole(self):
        """32 bytes with the header: Cloud Hypervisor reads as many."""
        payload = access(BAR0, LIVENESS, 4, bytes(4))
        self.client.send(Cmd.REGION_WRITE, payload)
        self.assertEqual(self.client.reply(), payload[:16])

    def test_odd_sizes(self):
        for size in (0, 3, 5, 6, 7, 9, 16, 64, 4096):
            self.client.errno_of(Cmd.REGION_WRITE, access(BAR0, 0x100, size, bytes(size)))
            self.assertEqual(self.dev.read(0), EDU_ID)

    def test_outside(self):
        for at, size in OUTSIDE:
            self.refused(Cmd.REGION_WRITE, access(BAR0, at, size, bytes(size)))

    def test_no_region(self):
        for region in NO_REGION:
            self.refused(Cmd.REGION_WRITE, access(region, 0, 4, bytes(4)))

    def test_data_is_not_count(self):
        """Fewer bytes than the count says would be an overread, more are a mistake."""
        self.dev.write(LIVENESS, 1)
        for count, size in ((4, 0), (4, 3), (4, 5), (8, 4), (0, 4), (1 << 31, 4), (0xffffffff, 4),
                            (0xfffffff0, 0), (4, 4096)):
            self.refused(Cmd.REGION_WRITE, access(BAR0, LIVENESS, count, bytes(size)))
        self.assertEqual(self.dev.read(LIVENESS), 0xfffffffe)

    def test_payload_sizes(self):
        for size in (0, 8, 12, 15):
            self.refused(Cmd.REGION_WRITE, access(BAR0, LIVENESS, 4, bytes(4))[:size])

    def test_read_only_registers(self):
        self.dev.write(Edu.ID, 0)
        self.assertEqual(self.dev.read(Edu.ID), EDU_ID)


class Posted(vfio.VfioTest):
    """QEMU writes to memory BARs in this way."""

    def setUp(self):
        super().setUp()
        self.dev = self.edu()

    def settled(self):
        """All of it has been carried out, and no reply came but to this question."""
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        self.assertTrue(self.client.quiet(0.02))

    def test_done_before_the_next_reply(self):
        for i in range(100):
            self.dev.write(LIVENESS, i, posted=True)
            self.assertEqual(self.dev.read(LIVENESS), i ^ 0xffffffff)

    def test_many(self):
        """In order, and the last one counts."""
        count = wire.thin(5000, 500)
        for start in range(0, count, 100):
            self.client.send_batch([(Cmd.REGION_WRITE,
                                     access(BAR0, LIVENESS, 4, struct.pack("<I", i)), NO_REPLY)
                                    for i in range(start, start + 100)])
        self.assertEqual(self.dev.read(LIVENESS), (count - 1) ^ 0xffffffff)
        self.settled()

    def test_errors_are_silent(self):
        self.mistakes = True
        rows = [access(BAR0, at, size, bytes(size)) for at, size in OUTSIDE]
        rows += [access(region, 0, 4, bytes(4)) for region in NO_REGION]
        rows += [access(BAR0, LIVENESS, 4, bytes(3)), access(BAR0, LIVENESS, 4, bytes(5)), b"",
                 bytes(15), access(BAR0, 0, 0xffffffff)]
        self.dev.write(LIVENESS, 5)
        self.client.send_batch([(Cmd.REGION_WRITE, row, NO_REPLY) for row in rows])
        self.settled()
        self.assertEqual(self.dev.read(LIVENESS), 0xfffffffa)

    def test_reads(self):
        """A read without a reply is pointless; there is none all the same."""
        self.client.send(Cmd.REGION_READ, access(BAR0, 0, 4), flags=NO_REPLY)
        self.settled()

    def test_every_command(self):
        self.mistakes = True
        for cmd in vfu.REQUESTS:
            with self.subTest(cmd=cmd.name):
                self.client.send(cmd, vfu.sample(cmd), flags=NO_REPLY)
                self.settled()
                self.client.send(cmd, b"\xff" * 40, flags=NO_REPLY)
                self.settled()

    def test_unknown_commands(self):
        self.mistakes = True
        for cmd in (0, 6, 11, 12, 14, 16, 17, 18, 19, 255, 65535):
            self.client.send(cmd, bytes(16), flags=NO_REPLY)
        self.settled()

    def test_reset(self):
        self.dev.write(LIVENESS, 1)
        self.client.send(Cmd.RESET, flags=NO_REPLY)
        self.settled()
        self.assertEqual(self.edu().read(LIVENESS), 0)

    def test_map_with_fd(self):
        """Carried out without a reply; a refused one keeps no fd."""
        self.mistakes = True
        with wire.mpq.Ram(vfio.MIB) as ram:
            for _ in range(2):      # the second is an overlap
                self.client.send(Cmd.DMA_MAP, vfu.MAP.pack(32, 3, 0, 0, vfio.MIB), [ram.fd],
                                 flags=NO_REPLY)
            self.settled()
            self.assertFalse([x for x in self.device_fds().values() if "guest-ram" in x])
            ram.map[0:4] = b"post"
            self.dev.copy(0, 0x1000, 4)
            self.assertEqual(ram.map[0x1000:0x1004], b"post")


class Multi(vfio.VfioTest):
    """WRITE_MULTI: QEMU's queue of posted writes in one message."""

    def setUp(self):
        super().setUp()
        self.dev = self.edu()
        if not self.client.negotiated.capabilities.get("write_multiple"):
            self.fail("write_multiple is not offered")

    @staticmethod
    def entry(value):
        return BAR0, LIVENESS, struct.pack("<I", value)

    def test_one(self):
        self.assertEqual(self.client.write_multi([self.entry(7)]), 1)
        self.assertEqual(self.dev.read(LIVENESS), 0xfffffff8)

    def test_as_qemu(self):
        """200 entries, posted."""
        self.client.write_multi([self.entry(i) for i in range(200)], posted=True)
        self.assertEqual(self.dev.read(LIVENESS), 199 ^ 0xffffffff)
        self.assertTrue(self.client.quiet(0.02))

    def test_sizes(self):
        entries = [(BAR0, Edu.DMA_SRC + at, bytes([at + 1] * size))
                   for at, size in ((0, 1), (1, 1), (2, 2), (4, 4))]
        self.assertEqual(self.client.write_multi(entries), 4)
        self.assertEqual(self.client.region_read(BAR0, Edu.DMA_SRC, 8).hex(), "0102030305050505")
        self.client.write_multi([(BAR0, Edu.DMA_SRC, b"12345678")])
        self.assertEqual(self.client.region_read(BAR0, Edu.DMA_SRC, 8), b"12345678")

    def test_order_and_regions(self):
        self.client.write_multi([self.entry(1), (CONFIG, 0x3c, b"\x09"), self.entry(2)])
        self.assertEqual(self.client.read(CONFIG, 0x3c, 1), 9)
        self.assertEqual(self.dev.read(LIVENESS), 0xfffffffd)

    def test_none(self):
        """Nothing to write: done, or refused."""
        try:
            self.assertEqual(self.client.write_multi([]), 0)
        except vfu.Refused as refused:
            self.assertEqual(refused.number, errno.EINVAL)
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_counts_that_are_not_there(self):
        whole = multi([self.entry(1)] * 3)
        for count in (0, 1, 2, 4, 5, 1 << 16, 1 << 32, 1 << 60, (1 << 64) - 1,
                      0xaaaaaaaaaaaaaab):     # x 24 wraps to a small number
            self.refused(Cmd.WRITE_MULTI, struct.pack("<Q", count) + whole[8:])
        self.assertEqual(self.dev.read(LIVENESS), 0, "nothing of it was written")

    def test_payload_sizes(self):
        whole = multi([self.entry(1)] * 2)
        for size in (0, 4, 7, 8, 9, 31, 33, 55):
            self.refused(Cmd.WRITE_MULTI, whole[:size])

    def test_bad_entries(self):
        """The entry is refused, without reading past its eight bytes."""
        for region, offset, count in ((9, 0, 4), (BAR1, 0, 4), (BAR0, BAR_SIZE, 4),
                                      (BAR0, BAR_SIZE - 2, 4), (BAR0, (1 << 64) - 4, 4),
                                      (BAR0, LIVENESS, 9), (BAR0, LIVENESS, 0xffffffff)):
            entry = vfu.MULTI_ENTRY.pack(offset, region, count, bytes(8))
            self.refused(Cmd.WRITE_MULTI, struct.pack("<Q", 1) + entry)

    def test_bad_entries_posted(self):
        self.mistakes = True
        entry = vfu.MULTI_ENTRY.pack(BAR_SIZE, BAR0, 4, bytes(8))
        self.client.send(Cmd.WRITE_MULTI, struct.pack("<Q", 1) + entry, flags=NO_REPLY)
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        self.assertTrue(self.client.quiet(0.02))


class Pipelined(vfio.VfioTest):
    """A client that does not wait gets every reply, in order."""

    def test_mixed(self):
        self.edu()
        for _ in range(wire.thin(20, 3)):
            batch = []
            for i in range(50):
                batch += [(Cmd.REGION_WRITE, access(BAR0, LIVENESS, 4, struct.pack("<I", i)),
                           NO_REPLY if i % 3 else 0),
                          (Cmd.REGION_READ, access(BAR0, LIVENESS, 4)),
                          (Cmd.REGION_READ, access(CONFIG, 0, 2))]
            self.client.send_batch(batch)
            for i in range(50):
                if not i % 3:
                    self.assertEqual(len(self.client.reply()), 16)
                got = struct.unpack("<I", self.client.reply()[16:])[0]
                self.assertEqual(got, i ^ 0xffffffff)
                self.assertEqual(self.client.reply()[16:], b"\x34\x12")

    def test_errors_in_between(self):
        self.edu()
        self.client.send_batch([(Cmd.REGION_READ, access(CONFIG, 0, 2)),
                                (Cmd.REGION_READ, access(9, 0, 2)),
                                (77, b""),
                                (Cmd.REGION_READ, access(CONFIG, 0, 2))])
        self.assertEqual(self.client.reply()[16:], b"\x34\x12")
        for _ in range(2):
            with self.assertRaises(vfu.Refused):
                self.client.reply()
        self.assertEqual(self.client.reply()[16:], b"\x34\x12")

    def test_ids_are_echoed(self):
        """Used again, wrapped, and the same for two at a time: they are the client's."""
        for ident in (0, 1, 0xffff, 0x1234):
            self.client.ident = ident
            self.assertEqual(self.client.alive(), vfio.VENDOR)
        for _ in range(3):
            self.client.ident = 5
            self.client.send(Cmd.REGION_READ, access(CONFIG, 0, 2))
        for _ in range(3):
            self.assertEqual(self.client.reply()[16:], b"\x34\x12")

    def test_slow_reader(self):
        """A client that reads nothing for a while loses nothing, and nothing overtakes."""
        self.client.sock.settimeout(0.3)
        asks, sent = [vfu.message(i, Cmd.REGION_READ, access(CONFIG, 2 * (i % 2), 2))
                      for i in range(512)], 0
        data = b"".join(asks)
        try:
            while sent < 200 * len(data):
                sent += self.client.sock.send(data[sent % len(data):])
        except TimeoutError:
            pass
        self.client.sock.settimeout(wire.mpq.TIMEOUT)
        one = len(asks[0])
        whole = sent // one
        self.assertGreater(whole, 100)
        for i in range(whole):
            got = self.client.recv_message()
            self.assertEqual((got.ident, len(got.payload)), (i % 512, 18))
        if sent % one:
            self.client.send_raw(data[sent % len(data):][:one - sent % one])
            self.assertEqual(self.client.recv_message().ident, whole % 512)


class IoSpace(vfio.VfioTest):
    """The chip's registers through its I/O BAR and its memory BAR."""

    devices = (vfio.LSI,)

    def test_both_are_one(self):
        self.client.write(CONFIG, 4, 7, 2)
        for value in (0x5a, 0xa5):
            self.client.write(BAR0, 0x34, value, 1)         # SCRATCHA
            self.assertEqual(self.client.read(BAR1, 0x34, 1), value)
            self.client.write(BAR1, 0x34, value ^ 0xff, 1)
            self.assertEqual(self.client.read(BAR0, 0x34, 1), value ^ 0xff)

    def test_scripts_ram(self):
        self.client.write(CONFIG, 4, 7, 2)
        for at in (0, 4096, 8184):
            self.client.region_write(BAR2, at, b"scripts!")
            self.assertEqual(self.client.region_read(BAR2, at, 8), b"scripts!")
        self.refused(Cmd.REGION_READ, access(BAR2, 8192, 4))
        self.refused(Cmd.REGION_READ, access(BAR0, 256, 1))
        self.refused(Cmd.REGION_READ, access(BAR1, 1024, 1))


if __name__ == "__main__":
    wire.tap.main()
