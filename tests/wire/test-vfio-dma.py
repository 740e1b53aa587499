#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""DMA_READ and DMA_WRITE: memory that the client keeps to itself.  The server never waits for it.

QEMU answers the server from its main loop, which a vCPU holds up while it waits for a register: a
server that wants its answer first stands still for five seconds, and has then lost its client.
"""
import errno
import struct
import time

import vfio
import vfu
import wire
from mpq import Edu, Event
from vfio import MASTER, MEMORY, MIB, PAGE
from vfu import CONFIG, DMA, ERROR, REPLY, Cmd, message

NO_DMA = "DMA"
SIZE = 16 * PAGE


class DmaTest(vfio.VfioTest):
    """Guest memory at 0 without an fd; .hold() keeps the server's requests for the test."""

    text = vfu.Client.TEXT

    def first_client(self):
        client = self.server.silent()
        client.version(text=self.text)
        return client

    def setUp(self):
        super().setUp()
        self.memory = vfu.Memory(SIZE)
        self.memory.share(self.client)
        self.dev = self.edu()

    def next_client(self):
        self.client.close()
        self.client = self.server.client()
        self.memory.share(self.client)
        self.dev = self.edu()

    def hold(self):
        self.client.answer = None

    def load(self, src, count):
        """Starts a transfer to the device; the server's request."""
        self.hold()
        self.dev.dma_start(src, Edu.BUFFER, count, 0)
        return self.client.ask()

    def store(self, dst, count):
        self.hold()
        self.dev.dma_start(Edu.BUFFER, dst, count, Edu.TO_RAM)
        return self.client.ask()

    def works(self):
        """A transfer each way, answered as it should be."""
        self.client.answer = self.memory
        self.memory.map[0x100:0x104] = b"well"
        self.dev = self.edu()
        self.dev.copy(0x100, 0x200, 4)
        self.assertEqual(bytes(self.memory.map[0x200:0x204]), b"well")


class Transfers(DmaTest):
    def test_both_ways(self):
        data = bytes(range(256)) * 16
        self.memory.map[0x10:0x10 + 4096] = data
        self.dev.copy(0x10, 2 * PAGE + 8, 4096)
        self.assertEqual(bytes(self.memory.map[2 * PAGE + 8:3 * PAGE + 8]), data)
        reads = [ask for ask in self.memory.asks if ask.cmd == Cmd.DMA_READ]
        self.assertEqual(sum(ask.count for ask in reads), 4096)

    def test_one_byte(self):
        self.memory.map[1] = 0x77
        self.dev.copy(1, 3, 1)
        self.assertEqual(bytes(self.memory.map[:5]), b"\0\x77\0\x77\0")

    def test_across_maps(self):
        """Neighbouring maps: each byte once, wherever the border is."""
        self.client.dma_map(SIZE, PAGE)
        self.memory.map += bytes(PAGE)
        self.memory.map[SIZE - 4:SIZE + 4] = b"borders."
        self.dev.load(SIZE - 4, 8)
        self.assertEqual(sum(ask.count for ask in self.memory.asks), 8)
        self.dev.store(0x100, 8)
        self.assertEqual(bytes(self.memory.map[0x100:0x108]), b"borders.")

    def test_unmapped(self):
        """The server asks for what was mapped, and for nothing else."""
        self.dev.copy(SIZE, 0x100, 4)
        self.dev.load(SIZE - 2, 4)
        self.assertFalse([ask for ask in self.memory.asks if ask.addr + ask.count > SIZE])
        self.expect_words = NO_DMA

    def test_read_only(self):
        self.client.dma_map(MIB, PAGE, flags=vfu.MAP_READ)
        self.dev.store(MIB, 4)
        self.assertEqual(self.memory.asks, [])
        self.expect_words = NO_DMA

    def test_bus_mastering_off(self):
        self.client.write(CONFIG, 4, MEMORY, 2)
        self.dev.load(0, 4)
        self.assertEqual(self.memory.asks, [])
        self.client.write(CONFIG, 4, MEMORY | MASTER, 2)
        self.works()
        self.expect_words = NO_DMA

    def test_interrupt_comes_behind_the_data(self):
        """The guest that is told of the end finds the data in its memory."""
        with Event() as irq:
            self.client.trigger(vfu.INTX, 0, [irq.fd])
            self.hold()
            self.dev.dma_start(Edu.BUFFER, 0, 4, Edu.TO_RAM | Edu.DMA_IRQ)
            ask = self.client.ask()
            self.assertEqual(irq.take(), 0)
            self.client.answered(ask)
            irq.wait()

    def test_many(self):
        for i in range(wire.thin(4, 2)):
            self.memory.map[0:4] = struct.pack("<I", i + 1)
            self.dev.copy(0, PAGE, 4)
            self.assertEqual(self.memory.map[PAGE:PAGE + 4], struct.pack("<I", i + 1))


class SmallTransfers(DmaTest):
    """A client that takes little at a time."""

    text = vfu.capabilities(max_data_xfer_size=256)

    def test_pieces(self):
        """No request above what was agreed (the client checks each), and all of the data."""
        data = bytes(range(250)) * 16
        self.memory.map[3:4003] = data
        self.dev.copy(3, 2 * PAGE, 4000)
        self.assertEqual(bytes(self.memory.map[2 * PAGE:2 * PAGE + 4000]), data)
        self.assertGreaterEqual(len(self.memory.asks), 2 * 16)

    def test_answers_in_any_order(self):
        """Of the requests that are out together the last is answered first."""
        self.memory.map[0:4000] = bytes(range(250)) * 16
        self.hold()
        self.dev.dma_start(0, Edu.BUFFER, 4000, 0)
        done = 0
        while done < 4000:
            asks = [self.client.ask()]
            while self.client.readable(0.01):
                asks.append(self.client.ask())
            for ask in reversed(asks):
                self.client.answered(ask, bytes(self.memory.map[ask.addr:ask.addr + ask.count]))
                done += ask.count
        self.client.answer = self.memory
        self.dev.settle()
        self.dev.store(2 * PAGE, 4000)
        self.assertEqual(self.memory.map[2 * PAGE:2 * PAGE + 4000], self.memory.map[0:4000])

    def test_error_in_the_middle(self):
        """One piece fails: the transfer does, once all are answered, and the next one works."""
        count = [0]

        def answer(client, ask):
            count[0] += 1
            if count[0] == 3:
                client.refuse(ask, errno.EINVAL)
            else:
                self.memory(client, ask)
        self.client.answer = answer
        self.dev.load(0, 4000)
        self.works()
        self.expect_words = NO_DMA


class Tiny(DmaTest):
    text = vfu.capabilities(max_data_xfer_size=1)

    def test_one_byte_at_a_time(self):
        self.memory.map[0:5] = b"small"
        self.dev.copy(0, 8, 5)
        self.assertEqual(bytes(self.memory.map[8:13]), b"small")


class Pieces(DmaTest):
    """Answers come as the stream likes."""

    def test_single_bytes(self):
        ask = self.load(0, 8)
        for byte in message(ask.ident, ask.cmd, DMA.pack(0, 8, tail=b"byte by "), REPLY):
            self.client.send_raw(bytes([byte]))
        self.dev.settle()
        self.assertEqual(self.stored(8), b"byte by ")

    def test_between_requests(self):
        """In one segment with what the client asks, on either side."""
        ask = self.load(0, 4)
        self.client.send_raw(
            message(1, Cmd.REGION_READ, vfu.access(CONFIG, 0, 2))
            + message(ask.ident, ask.cmd, DMA.pack(0, 4, tail=b"glue"), REPLY)
            + message(2, Cmd.REGION_READ, vfu.access(CONFIG, 2, 2)))
        for ident in (1, 2):
            self.assertEqual(self.client.recv_message().ident, ident)
        self.dev.settle()
        self.assertEqual(self.stored(4), b"glue")

    def stored(self, count):
        ask = self.store(0, count)
        self.client.answered(ask)
        self.dev.settle()
        return ask.data


class NeverBlocks(DmaTest):
    """While an answer is outstanding, everything else goes on."""

    def test_registers(self):
        ask = self.load(0, 4)
        for i in range(100):
            self.dev.write(Edu.LIVENESS, i)
            self.assertEqual(self.dev.read(Edu.LIVENESS), i ^ 0xffffffff)
        self.assertTrue(self.dev.busy())
        self.client.answered(ask, b"late")
        self.dev.settle()
        self.works()

    def test_config(self):
        ask = self.store(0, 4)
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        self.client.write(CONFIG, 0x3c, 5, 1)
        self.assertEqual(self.client.read(CONFIG, 0x3c, 1), 5)
        self.client.answered(ask)
        self.dev.settle()

    def test_maps(self):
        ask = self.load(0, 4)
        with wire.mpq.Ram(MIB) as ram:
            self.client.dma_map(MIB, MIB, ram.fd)
            self.client.dma_unmap(MIB, MIB)
        self.client.answered(ask, b"data")
        self.dev.settle()

    def test_interrupts(self):
        ask = self.load(0, 4)
        with Event() as irq:
            self.client.trigger(vfu.INTX, 0, [irq.fd])
            self.dev.write(Edu.IRQ_RAISE, 1)
            irq.wait()
            self.client.unmask()
            irq.wait()
        self.client.answered(ask, b"data")
        self.dev.settle()

    def test_reply_before_request(self):
        """The write that starts the engine is answered before the engine asks."""
        self.hold()
        self.dev.dma_start(0, Edu.BUFFER, 4, 0)
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        self.client.answered(self.client.ask(), b"data")
        self.dev.settle()

    def test_posted_writes(self):
        ask = self.load(0, 4)
        for i in range(50):
            self.dev.write(Edu.LIVENESS, i, posted=True)
        self.assertEqual(self.dev.read(Edu.LIVENESS), 49 ^ 0xffffffff)
        self.client.answered(ask, b"data")
        self.dev.settle()

    def test_for_a_second(self):
        """Nothing of it is given up while it waits."""
        ask = self.load(0, 4)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            self.assertEqual(self.dev.read(Edu.ID), 0x010000ed)
        self.client.answered(ask, b"late")
        self.dev.settle()
        self.hold()
        self.dev.dma_start(Edu.BUFFER, 0, 4, Edu.TO_RAM)
        ask = self.client.ask()
        self.assertEqual(ask.data, b"late")
        self.client.answered(ask)
        self.dev.settle()


class BadAnswers(DmaTest):
    """An answer that is none: the transfer fails, and nothing worse."""

    def after(self):
        self.client.answer = self.memory
        self.dev.settle()
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        self.works()

    def end(self):
        """Some are worth a line, others are the guest's DMA fault; the exit status is 0 for all."""
        self.expect_words = None
        with self.server:
            status, log = self.server.finish(), self.server.log()
        self.assertEqual(status, wire.mpq.EXIT_CLEAN, log)
        for line in log.rstrip("\n").split("\n") if log else []:
            self.assertIn("e0: ", line)

    def say(self, ask, payload, cmd=None, ident=None, flags=REPLY, error=0):
        self.client.send_raw(message(ask.ident if ident is None else ident,
                                     ask.cmd if cmd is None else cmd, payload, flags, error))

    def test_errors(self):
        for number in (errno.EINVAL, errno.ENODEV, errno.E2BIG, 0, 0xffffffff):
            ask = self.load(0, 4)
            self.say(ask, b"", flags=REPLY | ERROR, error=number)
            self.client.answer = self.memory
            self.dev.settle()
        self.after()

    def test_error_of_a_write(self):
        ask = self.store(0, 4)
        self.client.refuse(ask, errno.ENODEV)
        self.after()

    def test_error_with_payload(self):
        ask = self.load(0, 4)
        self.say(ask, DMA.pack(0, 4, tail=b"data"), flags=REPLY | ERROR, error=errno.EIO)
        self.after()

    def test_short(self):
        """Less data than was asked for, by size, by count, or by both."""
        for payload in (b"", bytes(8), bytes(16), DMA.pack(0, 4), DMA.pack(0, 4, tail=b"ab"),
                        DMA.pack(0, 2, tail=b"ab")):
            ask = self.load(0, 4)
            self.say(ask, payload)
            self.client.answer = self.memory
            self.dev.settle()
        self.after()

    def test_long(self):
        """More than was asked for: none of it may land behind the buffer."""
        for payload in (DMA.pack(0, 4, tail=bytes(8)), DMA.pack(0, 8, tail=bytes(8)),
                        DMA.pack(0, 4096, tail=bytes(4096)),
                        DMA.pack(0, (1 << 64) - 1, tail=b"data")):
            ask = self.load(0, 4)
            self.say(ask, payload)
            self.client.answer = self.memory
            self.dev.settle()
        self.after()

    def test_another_address(self):
        ask = self.load(0, 4)
        self.say(ask, DMA.pack(PAGE, 4, tail=b"data"))
        self.after()

    def test_another_command(self):
        ask = self.load(0, 4)
        self.say(ask, DMA.pack(0, 4), cmd=Cmd.DMA_WRITE)
        self.after_wrong(ask)

    def test_wrong_id(self):
        """It answers nothing; the right answer still counts."""
        ask = self.load(0, 4)
        for ident in ((ask.ident + 1) & 0xffff, (ask.ident - 1) & 0xffff, 0x8000 ^ ask.ident):
            self.say(ask, DMA.pack(0, 4, tail=b"fake"), ident=ident)
        self.after_wrong(ask)

    def after_wrong(self, ask):
        """What came is not the answer: it ends the session, or is passed over."""
        try:
            self.assertEqual(self.client.alive(), vfio.VENDOR)
            if self.dev.busy():
                self.client.answered(ask, b"good")
        except vfu.Closed:
            self.next_client()
        self.after()

    def test_for_nothing(self):
        """Replies to what was never asked."""
        for cmd in (Cmd.DMA_READ, Cmd.DMA_WRITE, Cmd.REGION_READ, Cmd.VERSION, 0, 99):
            try:
                self.client.send_raw(message(77, cmd, DMA.pack(0, 4, tail=b"fake"), REPLY))
                self.assertEqual(self.client.alive(), vfio.VENDOR)
            except vfu.Closed:
                self.next_client()
        self.after()

    def test_twice(self):
        """The second answer to one request is one to nothing."""
        ask = self.load(0, 4)
        self.client.answered(ask, b"once")
        try:
            self.client.answered(ask, b"more")
            self.assertEqual(self.client.alive(), vfio.VENDOR)
        except vfu.Closed:
            self.next_client()
        self.after()

    def test_with_an_fd(self):
        """It is closed."""
        before = self.device_fds()
        ask = self.load(0, 4)
        with wire.mpq.Ram(PAGE) as ram:
            self.client.send_raw(message(ask.ident, ask.cmd, DMA.pack(0, 4, tail=b"data"), REPLY),
                                 [ram.fd])
            try:
                self.assertEqual(self.client.alive(), vfio.VENDOR)
            except vfu.Closed:
                self.next_client()
        self.after()
        self.assertEqual(len(self.device_fds()), len(before))


class Ends(DmaTest):
    """What ends a transfer that waits for its answer."""

    def end(self):
        self.expect_words = None
        with self.server:
            status, log = self.server.finish(), self.server.log()
        self.assertEqual(status, wire.mpq.EXIT_CLEAN, log)
        for line in log.rstrip("\n").split("\n") if log else []:
            self.assertIn("e0: ", line)

    def late(self, ask, data=None):
        """The answer to what is over: dropped, and the session goes on."""
        self.client.answered(ask, data)
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_reset(self):
        ask = self.load(0, 4)
        self.client.reset()
        self.late(ask, b"late")
        self.works()

    def test_reset_of_a_write(self):
        ask = self.store(0, 4)
        self.client.reset()
        self.late(ask)
        self.works()

    def test_reset_often(self):
        """Late answers of several lives do not mix with the new ones."""
        asks = []
        for _ in range(3):
            asks.append(self.load(0, 4))
            self.client.reset()
            self.dev = self.edu()
        ask = self.load(0x10, 4)
        for old in asks:
            self.late(old, b"old!")
        self.client.answered(ask, b"new.")
        self.dev.settle()
        ask = self.store(0x20, 4)
        self.assertEqual(ask.data, b"new.")
        self.client.answered(ask)
        self.dev.settle()

    def test_unmap(self):
        """The unmap is answered at once; what comes later for it is of no use."""
        ask = self.load(0, 4)
        self.client.dma_unmap(0, SIZE)
        self.late(ask, b"late")
        self.client.dma_map(0, SIZE)
        self.client.answer = self.memory
        self.dev.settle()
        self.works()

    def test_bus_mastering_off(self):
        ask = self.load(0, 4)
        self.client.write(CONFIG, 4, MEMORY, 2)
        self.late(ask, b"late")
        self.client.answer = self.memory
        self.dev.settle()
        self.works()

    def test_flr(self):
        ask = self.load(0, 4)
        at = self.client.read(CONFIG, 0x34, 1)
        while self.client.read(CONFIG, at, 1) != 0x10:
            at = self.client.read(CONFIG, at + 1, 1)
        self.client.write(CONFIG, at + 8, 0x8000, 2)
        self.late(ask, b"late")
        self.works()

    def test_client_gone(self):
        """The next one finds a device at rest."""
        for start in (self.load, self.store):
            start(0, 4)
            self.next_client()
            self.assertFalse(self.dev.busy())
        self.works()

    def test_client_gone_in_the_answer(self):
        for at in (1, 15, 16, 20, 33):
            ask = self.load(0, 4)
            whole = message(ask.ident, ask.cmd, DMA.pack(0, 4, tail=b"data"), REPLY)
            self.client.send_raw(whole[:at])
            self.next_client()
        self.works()

    def test_end_of_the_server(self):
        """SIGTERM while an answer is outstanding: it does not wait for it."""
        self.load(0, 4)


if __name__ == "__main__":
    wire.tap.main()
