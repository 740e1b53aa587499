#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of tests/lib/vfu.py can fail: a server that lies in each way is caught."""
import errno
import socket

import wire
import vfu
from vfu import (CONFIG, COMMAND, DMA, ERROR, HEADER, NO_REPLY, REPLY, REQUESTS, Cmd, access,
                 message)

ASK = access(CONFIG, 0, 4)
GOOD = access(CONFIG, 0, 4, b"good")


class Liar(wire.unittest.TestCase):
    """A Client at one end of a socket pair; the test plays the server at the other."""

    def setUp(self):
        ours, self.theirs = socket.socketpair()
        self.client = vfu.Client(ours)
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)

    def says(self, data, fds=()):
        if fds:
            socket.send_fds(self.theirs, [data], list(fds))
        else:
            self.theirs.sendall(data)

    def read(self):
        return self.client.region_read(CONFIG, 0, 4)

    def caught(self, data, what=None, fds=()):
        self.says(data, fds)
        with self.assertRaises(AssertionError):
            (what or self.read)()


class Replies(Liar):
    def test_good(self):
        self.says(message(0, Cmd.REGION_READ, GOOD, REPLY))
        self.assertEqual(self.read(), b"good")

    def test_id(self):
        self.caught(message(1, Cmd.REGION_READ, GOOD, REPLY))

    def test_command(self):
        self.caught(message(0, Cmd.REGION_WRITE, GOOD, REPLY))

    def test_flags(self):
        for flags in (2, REPLY | NO_REPLY, REPLY | 0x40, REPLY | 1 << 31):
            self.setUp()
            self.caught(message(0, Cmd.REGION_READ, GOOD, flags))

    def test_error_field(self):
        self.caught(message(0, Cmd.REGION_READ, GOOD, REPLY, errno.EIO))

    def test_sizes(self):
        for payload in (b"", GOOD[:15], GOOD[:16], GOOD[:19], GOOD + b"x"):
            self.setUp()
            self.caught(message(0, Cmd.REGION_READ, payload, REPLY))

    def test_header_says_less_than_a_header(self):
        for size in (0, 15):
            self.setUp()
            self.caught(message(0, Cmd.REGION_READ, b"", REPLY, size=size))

    def test_header_says_too_much(self):
        self.caught(message(0, Cmd.REGION_READ, b"", REPLY, size=0x7fffffff))

    def test_what_is_echoed(self):
        for region, offset, count in ((0, 0, 4), (CONFIG, 4, 4), (CONFIG, 0, 5)):
            self.setUp()
            self.caught(message(0, Cmd.REGION_READ, access(region, offset, count, b"good"), REPLY))

    def test_header_in_pieces(self):
        self.caught(message(0, Cmd.REGION_READ, GOOD, REPLY)[:15])

    def test_fds(self):
        with wire.mpq.Event() as event:
            self.caught(message(0, Cmd.REGION_READ, GOOD, REPLY), fds=[event.fd])

    def test_error_reply(self):
        self.says(message(0, Cmd.REGION_READ, b"", REPLY | ERROR, errno.EINVAL))
        with self.assertRaises(vfu.Refused) as caught:
            self.read()
        self.assertEqual(caught.exception.number, errno.EINVAL)

    def test_error_reply_with_payload(self):
        self.caught(message(0, Cmd.REGION_READ, GOOD, REPLY | ERROR, errno.EINVAL))

    def test_error_reply_without_number(self):
        self.caught(message(0, Cmd.REGION_READ, b"", REPLY | ERROR))

    def test_reply_to_nothing(self):
        self.caught(message(0, Cmd.RESET, b"", REPLY), self.client.reply)

    def test_reply_to_what_was_posted(self):
        self.client.region_write(0, 4, bytes(4), posted=True)
        self.caught(message(0, Cmd.REGION_WRITE, access(0, 4, 4), REPLY)
                    + message(1, Cmd.REGION_READ, GOOD, REPLY))

    def test_order(self):
        self.client.send(Cmd.RESET)
        self.client.send(Cmd.REGION_READ, ASK)
        self.caught(message(1, Cmd.REGION_READ, GOOD, REPLY), self.client.reply)

    def test_end(self):
        self.client.send(Cmd.RESET)
        self.theirs.shutdown(socket.SHUT_WR)
        with self.assertRaises(vfu.Closed):
            self.client.reply()

    def test_every_command_in_a_wrong_size(self):
        for cmd, row in REQUESTS.items():
            for extra in (-1, 1):
                size = row.reply.fixed.size + extra
                if size < 0 or (extra > 0 and row.reply.tail):
                    continue
                self.setUp()
                self.caught(message(0, cmd, bytes(size), REPLY),
                            lambda cmd=cmd: self.client.call(cmd))

    def test_unmap_and_write_repeat_the_request(self):
        self.caught(message(0, Cmd.DMA_UNMAP, vfu.UNMAP.pack(24, 0, 0, 1), REPLY),
                    lambda: self.client.dma_unmap(0, 4096))
        self.setUp()
        self.caught(message(0, Cmd.REGION_WRITE, access(CONFIG, 0, 3), REPLY),
                    lambda: self.client.region_write(CONFIG, 0, bytes(4)))


class Versions(Liar):
    def test_text(self):
        for text in (b"{}", b"\0", b"{}\0\0", b'{"capabilities": {}}', b'{"capabilities": {}}\0\0',
                     b'{"capabilities": {}\0'):
            with self.subTest(text=text):
                self.setUp()
                self.says(message(0, Cmd.VERSION, vfu.VERSION.pack(0, 0, tail=text), REPLY))
                with self.assertRaises((AssertionError, ValueError, KeyError)):
                    self.client.version()

    def test_longer_than_qemus_buffer(self):
        text = vfu.capabilities(pad="x" * 200).encode() + b"\0"
        self.caught(message(0, Cmd.VERSION, vfu.VERSION.pack(0, 0, tail=text), REPLY),
                    self.client.version)


class Asks(Liar):
    """What the server asks of its client."""

    def ask(self, cmd, payload, flags=COMMAND, error=0):
        self.caught(message(9, cmd, payload, flags, error)
                    + message(0, Cmd.REGION_READ, GOOD, REPLY))

    def test_good(self):
        memory = vfu.Memory(4096)
        self.client.answer = memory
        memory.map[8:12] = b"data"
        self.says(message(9, Cmd.DMA_READ, DMA.pack(8, 4)))
        self.says(message(0, Cmd.REGION_READ, GOOD, REPLY))
        self.assertEqual(self.read(), b"good")
        self.theirs.recv(32)    # what the client asked
        self.assertEqual(self.theirs.recv(100),
                         message(9, Cmd.DMA_READ, DMA.pack(8, 4, tail=b"data"), REPLY))

    def test_outside_its_memory(self):
        self.client.answer = vfu.Memory(4096)
        for address in (4093, 1 << 40):
            self.says(message(9, Cmd.DMA_READ, DMA.pack(address, 4)))
            self.says(message(self.client.ident, Cmd.REGION_READ, GOOD, REPLY))
            self.read()
            self.theirs.recv(32)
            answer = HEADER.unpack(self.theirs.recv(100))
            self.assertEqual(answer[3:], (REPLY | ERROR, errno.ENODEV))

    def test_counts(self):
        for count in (0, vfu.DEFAULT_XFER + 1, 1 << 32):
            self.setUp()
            self.ask(Cmd.DMA_READ, DMA.pack(0, count))

    def test_count_above_what_was_agreed(self):
        self.client.max_xfer = 256
        self.ask(Cmd.DMA_READ, DMA.pack(0, 257))

    def test_data_is_not_count(self):
        for size in (0, 3, 5):
            self.setUp()
            self.ask(Cmd.DMA_WRITE, DMA.pack(0, 4, tail=bytes(size)))

    def test_32_bit_count(self):
        """The layout of QEMU 10."""
        self.ask(Cmd.DMA_READ, DMA.pack(0, 4)[:12])

    def test_other_commands(self):
        for cmd in (Cmd.REGION_READ, Cmd.VERSION, 13, 99):
            self.setUp()
            self.ask(cmd, bytes(16))

    def test_flags(self):
        self.ask(Cmd.DMA_READ, DMA.pack(0, 4), NO_REPLY)
        self.setUp()
        self.ask(Cmd.DMA_READ, DMA.pack(0, 4), COMMAND, errno.EIO)


if __name__ == "__main__":
    wire.tap.main()
