#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vfio-user messages in any pieces, of any size and with any fds.

A message whose end is known is answered with an error when it is wrong, and the session goes on.
One whose size cannot be ends the session, with one line, and the next client is served.
"""
import errno
import os
import socket
import struct
import time

import vfio
import vfu
import wire
from mpq import Edu, Event, Ram
from vfu import (CONFIG, DATA_EVENTFD, ERROR, NO_REPLY, REPLY, REQUESTS, TRIGGER, Cmd, access, irqs,
                 message)

PAUSE = 0.0005      # long enough to be seen in pieces; when it was not, the case is merely easier
ASK = access(CONFIG, 0, 2)
UNKNOWN = [0, 6, 14, 16, 17, 18, 19, 20, 255, 256, 0x7fff, 0xffff]
NOT_SERVED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
# Requests that may come in the buffer that the client has for the reply (SPDK).
BUFFERS = {Cmd.GET_INFO, Cmd.GET_REGION_INFO, Cmd.GET_IRQ_INFO}
SIZES = [0, 1, 3, 4, 7, 8, 12, 15, 16, 17, 19, 20, 23, 24, 25, 31, 32, 33, 40, 64, 4096]


class Pieces(vfio.VfioTest):
    def rows(self):
        """(command, payload, fds)"""
        ram, irq = Ram(vfio.MIB), Event()
        self.addCleanup(ram.close)
        self.addCleanup(irq.close)
        return [(Cmd.REGION_READ, ASK, []),
                (Cmd.REGION_WRITE, access(CONFIG, 0x3c, 1, b"\x05"), []),
                (Cmd.DMA_MAP, vfu.MAP.pack(32, 3, 0, 0, vfio.MIB), [ram.fd]),
                (Cmd.DMA_UNMAP, vfu.UNMAP.pack(24, 0, 0, vfio.MIB), []),
                (Cmd.SET_IRQS, irqs(vfu.INTX, DATA_EVENTFD | TRIGGER, 0, 1), [irq.fd]),
                (Cmd.GET_INFO, vfu.sample(Cmd.GET_INFO), []),
                (Cmd.RESET, b"", [])]

    def pieces(self, cmd, payload, fds, cuts):
        """Sends one message in pieces; the reply's payload."""
        ident = self.client.new_ident()
        data = message(ident, cmd, payload)
        self.client.pending.append((ident, cmd))
        last = 0
        for cut in [*cuts, len(data)]:
            self.client.send_raw(data[last:cut], fds if not last else [])
            last = cut
            time.sleep(PAUSE)
        return self.client.reply()

    def test_split_at_each_byte(self):
        for at in range(1, 48, wire.thin(1, 7)):
            for cmd, payload, fds in self.rows():
                self.pieces(cmd, payload, fds, [min(at, 15 + len(payload))])
            self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_single_bytes(self):
        for cmd, payload, fds in self.rows():
            self.pieces(cmd, payload, fds, range(1, 16 + len(payload)))
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_work_in_pieces(self):
        """What came in pieces is as good as whole."""
        with Ram(vfio.MIB) as ram, Event() as irq:
            self.pieces(Cmd.DMA_MAP, vfu.MAP.pack(32, 3, 0, 0, vfio.MIB), [ram.fd], [1, 15, 17, 40])
            self.pieces(Cmd.SET_IRQS, irqs(vfu.INTX, DATA_EVENTFD | TRIGGER, 0, 1), [irq.fd], [16])
            edu = self.edu()
            ram.map[0:4] = b"part"
            edu.copy(0, 0x100, 4)
            self.assertEqual(ram.map[0x100:0x104], b"part")
            edu.write(Edu.IRQ_RAISE, 1)
            irq.wait()

    def test_long_one_in_small_pieces(self):
        """QEMU's WRITE_MULTI, entry by entry: more pieces than a socket holds (some 70 for who
        polls before it writes), so the server has to take what has come."""
        entries = [(vfu.BAR0, Edu.LIVENESS, struct.pack("<I", i)) for i in range(200)]
        data = message(9, Cmd.WRITE_MULTI, vfu.multi(entries))
        edu = self.edu()
        self.client.sock.settimeout(min(5, wire.mpq.TIMEOUT))
        for at in range(0, len(data), 24):
            self.client.send_raw(data[at:at + 24])
        self.assertEqual(self.client.recv_message().ident, 9)
        self.assertEqual(edu.read(Edu.LIVENESS), 199 ^ 0xffffffff)

    def test_tail_with_the_next(self):
        """The end of one message and the start of the next in one segment."""
        whole = b"".join(message(i, Cmd.REGION_READ, ASK) for i in range(2))
        for at in range(1, len(whole), wire.thin(1, 7)):
            self.client.send_raw(whole[:at])
            time.sleep(PAUSE)
            self.client.send_raw(whole[at:])
            for i in range(2):
                got = self.client.recv_message()
                self.assertEqual((got.ident, got.payload[16:]), (i, b"\x34\x12"))

    def test_fds_stay_with_their_message(self):
        """Messages with fds right behind each other: each gets its own."""
        with Ram(vfio.MIB) as ram, Event() as irq:
            unmap, count = vfu.UNMAP.pack(24, 0, 0, vfio.MIB), wire.thin(50, 10)
            for _ in range(count):
                self.client.send(Cmd.DMA_MAP, vfu.MAP.pack(32, 3, 0, 0, vfio.MIB), [ram.fd])
                self.client.send(Cmd.SET_IRQS, irqs(vfu.INTX, DATA_EVENTFD | TRIGGER, 0, 1),
                                 [irq.fd])
                self.client.send(Cmd.DMA_UNMAP, unmap)
            for _ in range(count):
                self.assertEqual([self.client.reply() for _ in range(3)], [b"", b"", unmap])


class Wrong(vfio.VfioTest):
    """The frame is whole: an error reply, and on it goes."""

    def test_unknown_commands(self):
        for cmd in UNKNOWN:
            for payload in (b"", bytes(16), bytes(4096)):
                self.refused(cmd, payload, want=NOT_SERVED)

    def test_commands_of_the_server(self):
        for cmd in (Cmd.DMA_READ, Cmd.DMA_WRITE):
            self.refused(cmd, vfu.DMA.pack(0, 4, tail=bytes(4)), want=NOT_SERVED)

    def test_sizes_of_every_command(self):
        """Every command in every size but its own: refused and harmless."""
        for cmd in REQUESTS:
            own = len(vfu.sample(cmd))
            for size in SIZES:
                if size == own or (cmd in BUFFERS and size > own):
                    continue
                with self.subTest(cmd=cmd.name, size=size):
                    payload = (vfu.sample(cmd) + b"\xff" * 4096)[:size]
                    self.assertNotEqual(self.client.errno_of(cmd, payload), 0)
                    self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_noise_as_payload(self):
        for fill in (b"\xff", b"\x80", b"\x01"):
            for cmd in REQUESTS:
                for size in (16, 20, 24, 32, 40):
                    self.client.errno_of(cmd, fill * size)
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_types(self):
        """Neither a command nor a reply: an error reply, or the end of a session that makes no
        sense; nothing is done."""
        self.mistakes = True
        for kind in (2, 3, 8, 15):
            with self.subTest(kind=kind):
                payload = access(CONFIG, 0x3c, 1, b"\x55")
                try:
                    self.client.send_raw(message(500, Cmd.REGION_WRITE, payload, kind))
                    self.client.send_raw(message(501, Cmd.REGION_READ, access(CONFIG, 0x3c, 1)))
                    got = self.client.recv_message()
                    if got.ident == 500:
                        self.assertEqual((got.flags, got.error), (REPLY | ERROR, errno.EINVAL))
                        got = self.client.recv_message()
                    self.assertEqual((got.ident, got.payload[16:]), (501, b"\0"))
                except vfu.Closed:
                    self.expect_words = "e0: "
                    self.client = self.server.client()

    def test_reply_from_the_client(self):
        """To nothing that was asked: passed over, or the end; never carried out."""
        self.mistakes = True
        for flags in (REPLY, REPLY | ERROR, REPLY | NO_REPLY):
            for cmd in (Cmd.REGION_WRITE, Cmd.DMA_READ, Cmd.RESET):
                with self.subTest(flags=flags, cmd=cmd.name):
                    payload = access(CONFIG, 0x3c, 1, b"\x55")
                    try:
                        self.client.send_raw(message(600, cmd, payload, flags, errno.EIO))
                        self.assertEqual(self.client.read(CONFIG, 0x3c, 1), 0)
                    except vfu.Closed:
                        self.expect_words = "e0: "
                        self.client = self.server.client()

    def test_error_field_of_a_command(self):
        """Reserved: it may hold anything."""
        self.client.send_raw(message(7, Cmd.REGION_READ, ASK, 0, 0xffffffff))
        got = self.client.recv_message()
        self.assertEqual((got.ident, got.flags, got.error), (7, REPLY, 0))


class Fds(vfio.VfioTest):
    """fds that nobody asked for are closed, with the message answered or refused."""

    def setUp(self):
        super().setUp()
        self.ram = Ram(4096)
        self.addCleanup(self.ram.close)
        self.before = self.device_fds()

    def test_with_every_command(self):
        for cmd, row in REQUESTS.items():
            for count in (1, 2, 15, 16):
                if count not in row.fds:
                    self.client.errno_of(cmd, vfu.sample(cmd), [self.ram.fd] * count)
                    self.assertEqual(self.device_fds(), self.before, cmd.name)

    def test_with_unknown_commands(self):
        for cmd in UNKNOWN:
            self.assertNotEqual(self.client.errno_of(cmd, bytes(8), [self.ram.fd] * 16), 0)
        self.assertEqual(self.device_fds(), self.before)

    def test_posted(self):
        self.mistakes = True
        for cmd in (*REQUESTS, *UNKNOWN):
            self.client.send(cmd, b"", [self.ram.fd] * 3, flags=NO_REPLY)
        self.assertEqual(self.device_fds(), self.before)

    def test_within_the_payload(self):
        self.mistakes = True
        data = message(9, Cmd.REGION_READ, ASK)
        for at in (1, 8, 15, 16, 24, 31):
            self.client.send_raw(data[:at])
            time.sleep(PAUSE)
            self.client.send_raw(data[at:], [self.ram.fd])
            self.assertEqual(self.client.recv_message().ident, 9)
            self.assertEqual(self.device_fds(), self.before)

    def test_map_whose_fd_comes_late(self):
        """With the last bytes of the message: it is that message's, or nobody's."""
        data = message(9, Cmd.DMA_MAP, vfu.MAP.pack(32, 3, 0, 0, 4096))
        self.client.send_raw(data[:20])
        time.sleep(PAUSE)
        self.client.send_raw(data[20:], [self.ram.fd])
        self.assertEqual(self.client.recv_message().ident, 9)
        self.assertEqual(self.device_fds(), self.before)

    def flood(self, count):
        """Gone with the message, or with its session; then the next is served."""
        self.mistakes = True
        try:
            self.client.errno_of(Cmd.REGION_READ, ASK, [self.ram.fd] * count)
        except vfu.Closed:
            self.expect_words = "e0: "
            self.client = self.server.client()
        self.assertEqual(len(self.device_fds()), len(self.before))
        self.assertFalse([x for x in self.device_fds().values() if "guest-ram" in x])

    def test_16(self):
        for _ in range(20):
            self.assertIn(self.client.errno_of(Cmd.REGION_READ, ASK, [self.ram.fd] * 16),
                          (0, errno.EINVAL))
        self.assertEqual(self.device_fds(), self.before)

    def test_17_and_more(self):
        for count in (17, 32, 64, 253):
            self.flood(count)

    def test_a_message_in_pieces_with_fds_each(self):
        """16 with every byte: more than any message may have."""
        self.mistakes = True
        data = message(1, Cmd.REGION_READ, ASK)
        try:
            for i in range(len(data)):
                self.client.send_raw(data[i:i + 1], [self.ram.fd] * 16)
            self.client.recv_message()
        except vfu.Closed:
            self.expect_words = "e0: "
            self.client = self.server.client()
        self.assertFalse([x for x in self.device_fds().values() if "guest-ram" in x])
        self.assertEqual(len(self.device_fds()), len(self.before))

    def test_queued_behind_the_end(self):
        """Messages with fds behind one that ends the session: dropped."""
        reader, writer = os.pipe()
        try:
            self.client.send_raw(message(1, Cmd.RESET, size=3))
            for _ in range(10):
                self.client.send_raw(message(2, Cmd.RESET), [writer] * 8)
        except vfu.Closed:
            pass
        os.close(writer)
        self.client.close()
        self.assertEqual(os.read(reader, 1), b"")   # nobody holds the other end any more
        os.close(reader)
        self.expect_words = "e0: "
        self.client = self.server.client()


class Ends(vfio.VfioTest):
    """Sizes that no message can have end the session: the next client, and a line a second."""

    def setUp(self):
        super().setUp()
        self.began = time.monotonic()

    def bad(self, data):
        self.client.send_raw(data)
        self.assertTrue(self.client.ended())
        self.client.close()
        wire.mpq.wait_for(lambda: self.server.log().count("\n"), "a log line")
        self.client = self.server.client()
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def end(self):
        with self.server:
            status, log = self.server.finish(), self.server.log()
        self.assertEqual(status, wire.mpq.EXIT_CLEAN, log)
        lines = log.rstrip("\n").split("\n")
        self.assertLessEqual(len(lines), 1 + time.monotonic() - self.began, log)
        for line in lines:
            self.assertIn("e0: ", line)

    def test_again_and_again(self):
        """Nobody fills the log, one session after the other."""
        for _ in range(wire.thin(300, 30)):
            self.bad(message(1, Cmd.REGION_READ, ASK, size=0))

    def test_too_small(self):
        for size in (0, 1, 8, 15):
            self.bad(message(1, Cmd.REGION_READ, ASK, size=size))

    def test_too_large(self):
        for size in (1 << 25, 0x7fffffff, 0x80000000, 0xffffffff):
            self.bad(message(1, Cmd.REGION_WRITE, ASK, size=size))

    def test_too_large_before_negotiation(self):
        for size in (15, 1 << 26, 0xffffffff):
            self.client.close()
            self.client = self.server.silent()
            self.bad(message(0, Cmd.VERSION, bytes(4), size=size))

    def test_too_small_posted(self):
        self.bad(message(1, Cmd.REGION_WRITE, b"", NO_REPLY, size=4))

    def test_after_good_ones(self):
        """What came before is carried out and answered."""
        self.client.send_raw(message(1, Cmd.REGION_READ, ASK) + message(2, Cmd.RESET, size=5)
                             + message(3, Cmd.REGION_READ, ASK))
        got = self.client.recv_message()
        self.assertEqual((got.ident, got.payload[16:]), (1, b"\x34\x12"))
        self.assertTrue(self.client.ended())
        self.client.close()
        self.client = self.server.client()

    def test_http(self):
        """Somebody else's protocol."""
        self.bad(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


class Largest(vfio.VfioTest):
    """Up to what was promised, a message is taken."""

    def test_config_write(self):
        """4096 bytes at once."""
        whole = self.client.region_read(CONFIG, 0, 4096)
        self.client.region_write(CONFIG, 0x100, bytes(3840))
        self.assertEqual(self.client.region_read(CONFIG, 0, 4096), whole)

    def test_multi(self):
        """200 writes are QEMU's; the promised size holds more."""
        entries = [(vfu.BAR0, Edu.LIVENESS, struct.pack("<I", i)) for i in range(200)]
        self.edu()
        self.assertEqual(self.client.write_multi(entries), 200)

    def test_max_data_xfer_size(self):
        """A write of that much is framed, whatever becomes of it."""
        limit = self.client.negotiated.capabilities.get("max_data_xfer_size", vfu.DEFAULT_XFER)
        for size in (limit, limit - 1):
            self.client.errno_of(Cmd.REGION_WRITE, access(CONFIG, 0, size, bytes(size)))
            self.assertEqual(self.client.alive(), vfio.VENDOR)


class PeerEnds(vfio.VfioTest):
    def test_half_close(self):
        """No more requests; the replies still come."""
        self.client.send(Cmd.REGION_READ, ASK)
        self.client.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(self.client.reply()[16:], b"\x34\x12")
        self.assertTrue(self.client.ended())
        self.client.close()
        self.client = self.server.client()


if __name__ == "__main__":
    wire.tap.main()
