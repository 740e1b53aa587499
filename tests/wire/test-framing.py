#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stream delivers messages in any pieces, and may end in any of them."""
import socket
import time

import wire
from mpq import (EXIT_CLEAN, EXIT_MID_MESSAGE, TIMEOUT, Closed, Cmd, Edu, Event, Ram, Remote,
                 bar, cfg, message, sysmem)

# Long enough for the remote to look at the first piece; when it was not, the case is merely easier.
PAUSE = 0.001


class Pieces(wire.RemoteTest):
    def setUp(self):
        super().setUp()
        self.ram = Ram(1 << 20)
        self.irq, self.resample = Event(), Event()
        self.edu()
        ids = cfg(0, 0, 2)
        live = Edu.BASE + Edu.LIVENESS
        table = sysmem([self.ram.region(), self.ram.region(1 << 24)])
        # (message, its fds, the reply's value; None for no reply, () for one without a value)
        self.rows = [
            (message(Cmd.SYNC_SYSMEM, table), [self.ram.fd] * 2, None),
            (message(Cmd.PCI_CFGWRITE, cfg(0x3c, 5, 1)), [], 0),
            (message(Cmd.PCI_CFGREAD, ids), [], 0x1234),
            (message(Cmd.BAR_WRITE, bar(live, 0x55aa55aa, 4)), [], 0),
            (message(Cmd.BAR_READ, bar(live, 0, 4)), [], 0xaa55aa55),
            (message(Cmd.SET_IRQFD), [self.irq.fd, self.resample.fd], None),
            (message(Cmd.DEVICE_RESET), [], ()),
        ]

    def tearDown(self):
        super().tearDown()
        self.ram.close()
        self.irq.close()
        self.resample.close()

    def answer(self, data, want):
        """Reads the reply to @data, or shows by a later request that the remote is there."""
        if want is None:
            self.assertEqual(self.peer.cfg_read(2, 2), 0x11e8)
        elif want == ():
            self.assertEqual(self.peer.recv(), (Cmd.RET, b""))
            self.edu()
            self.peer.bar_write(Edu.BASE + Edu.LIVENESS, 0x55aa55aa, 4)
        else:
            self.assertEqual(self.peer.ret(), want, data[:16])

    def test_split_at_each_byte(self):
        for data, fds, want in self.rows:
            for at in range(1, len(data), wire.thin(1, 5)):
                with self.subTest(command=Cmd(data[0]).name, at=at):
                    self.peer.send_raw(data[:at], fds)
                    time.sleep(PAUSE)
                    self.peer.send_raw(data[at:])
                    self.answer(data, want)

    def test_dribble(self):
        for data, fds, want in self.rows:
            with self.subTest(command=Cmd(data[0]).name):
                # A blocking sender, as QEMU is: the remote takes nothing before the message is
                # whole, and one that waits for POLLOUT may not have 70 pieces under way.
                self.peer.sock.settimeout(None)
                self.peer.send_raw(data[:1], fds)
                for i in range(1, len(data)):
                    time.sleep(PAUSE / 4)
                    self.peer.send_raw(data[i:i + 1])
                self.peer.sock.settimeout(TIMEOUT)
                self.answer(data, want)

    def test_tail_with_the_next_message(self):
        """The end of one message and the start of the next in one segment, cut at each byte."""
        ask = message(Cmd.PCI_CFGREAD, cfg(2, 0, 2))
        for data, fds, want in self.rows:
            if want == ():
                continue
            for at in range(1, len(data), wire.thin(3, 11)):
                with self.subTest(command=Cmd(data[0]).name, at=at):
                    self.peer.send_raw(data[:at], fds)
                    time.sleep(PAUSE)
                    self.peer.send_raw(data[at:] + ask[:at % len(ask)])
                    time.sleep(PAUSE)
                    self.peer.send_raw(ask[at % len(ask):])
                    if want is not None:
                        self.assertEqual(self.peer.ret(), want)
                    self.assertEqual(self.peer.ret(), 0x11e8)

    def test_two_in_one_segment(self):
        for first, fds, want in self.rows:
            for second, more, answer in self.rows:
                if more or want == () or answer == ():
                    continue    # fds ride with the first byte of a segment only
                self.peer.send_raw(first + second, fds)
                for value in (want, answer):
                    if value is not None:
                        self.assertEqual(self.peer.ret(), value)

    def test_fds_stay_with_their_message(self):
        """Segments with fds right behind each other: each message gets its own."""
        sync = message(Cmd.SYNC_SYSMEM, sysmem([self.ram.region()]))
        ask = message(Cmd.PCI_CFGREAD, cfg(0, 0, 2))
        for _ in range(50):
            self.peer.send_raw(sync, [self.ram.fd])
            self.peer.send_raw(message(Cmd.SET_IRQFD), [self.irq.fd, self.resample.fd])
            self.peer.send_raw(sync, [self.ram.fd])
            self.peer.send_raw(ask)
            self.assertEqual(self.peer.ret(), 0x1234)

    def test_sync_between_request_and_reply(self):
        """QEMU sends these outside the lock that it holds over a request and its reply."""
        for i in range(100):
            self.peer.send(Cmd.PCI_CFGREAD, cfg(0, 0, 2))
            self.peer.sync_sysmem([self.ram.region(i << 20)])
            self.peer.send(Cmd.PCI_CFGREAD, cfg(2, 0, 2))
            self.peer.set_irqfd(self.irq.fd, self.resample.fd)
            self.assertEqual([self.peer.ret(), self.peer.ret()], [0x1234, 0x11e8])

    def test_after_all_that_it_works(self):
        """DMA and interrupts by what came in pieces."""
        for data, fds, _ in (self.rows[0], self.rows[5]):
            self.peer.send_raw(data[:7], fds)
            time.sleep(PAUSE)
            self.peer.send_raw(data[7:])
        edu = self.edu()
        self.ram.map[0x100:0x108] = b"in parts"
        edu.load((1 << 24) + 0x100, 8)
        edu.store(0x5000, 8)
        self.assertEqual(self.ram.map[0x5000:0x5008], b"in parts")
        edu.write(Edu.IRQ_RAISE, 1)
        self.assertGreaterEqual(self.irq.wait(), 1)


class Ends(wire.unittest.TestCase):
    """How a remote takes the end of its peer."""

    def test_between_messages(self):
        for requests in (0, 1, 3):
            with Remote.edu() as remote:
                for _ in range(requests):
                    remote.peer.cfg_read(0, 2)
                self.assertEqual(remote.finish(), EXIT_CLEAN)
                self.assertEqual(remote.log(), "")

    def test_after_half_close(self):
        """shutdown(SHUT_WR) ends the requests; the reply to the last one still comes."""
        with Remote.edu() as remote:
            remote.peer.send(Cmd.PCI_CFGREAD, cfg(0, 0, 2))
            remote.peer.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(remote.peer.ret(), 0x1234)
            with self.assertRaises(Closed):
                remote.peer.recv()
            self.assertEqual(remote.wait(), EXIT_CLEAN)

    def test_with_a_request_unanswered(self):
        """Gone before the reply: as good an end as any."""
        for _ in range(wire.thin(20, 2)):
            with Remote.edu() as remote:
                remote.peer.send(Cmd.PCI_CFGREAD, cfg(0, 0, 2))
                self.assertEqual(remote.finish(), EXIT_CLEAN)

    def test_in_each_byte(self):
        with Ram(1 << 20) as ram:
            rows = [
                (message(Cmd.SYNC_SYSMEM, sysmem([ram.region()])), [ram.fd]),
                (message(Cmd.PCI_CFGREAD, cfg(0, 0, 2)), []),
                (message(Cmd.BAR_WRITE, bar(0, 0, 4)), []),
                (message(Cmd.SET_IRQFD), [ram.fd, ram.fd]),
                (message(Cmd.DEVICE_RESET), []),
            ]
            for data, fds in rows:
                for at in range(1, len(data), wire.thin(1, 29)):
                    with self.subTest(command=Cmd(data[0]).name, at=at):
                        self.end_at(data[:at], fds, at % 2)

    def end_at(self, data, fds, first_read):
        with Remote.edu() as remote:
            if first_read:
                remote.peer.cfg_read(0, 2)
            remote.peer.send_raw(data, fds)
            self.assertEqual(remote.finish(), EXIT_MID_MESSAGE, remote.log())
            self.assertEqual(remote.log().count("\n"), 1, remote.log())


class SlowReader(wire.RemoteTest):
    def test_peer_that_reads_no_reply(self):
        """The remote waits with what does not fit; nothing is lost, nothing overtakes."""
        ask = message(Cmd.PCI_CFGREAD, cfg(0, 0, 2)) + message(Cmd.PCI_CFGREAD, cfg(2, 0, 2))
        self.peer.sock.settimeout(1)
        data, sent = ask * 4096, 0
        try:
            while True:
                sent += self.peer.sock.send(data[sent % len(ask):])
        except TimeoutError:
            pass
        self.peer.sock.settimeout(TIMEOUT)
        whole = sent // (len(ask) // 2)
        self.assertGreater(whole, 100)
        for i in range(whole):
            self.assertEqual(self.peer.ret(), 0x11e8 if i % 2 else 0x1234)
        rest = -sent % (len(ask) // 2)
        if rest:
            ask_one = ask[len(ask) // 2:] if whole % 2 else ask[:len(ask) // 2]
            self.peer.send_raw(ask_one[-rest:])
            self.assertEqual(self.peer.ret(), 0x11e8 if whole % 2 else 0x1234)

    def test_end_with_replies_unread(self):
        ask = message(Cmd.PCI_CFGREAD, cfg(0, 0, 2)) * 4096
        self.peer.sock.settimeout(0.2)
        try:
            while True:
                self.peer.sock.sendall(ask)
        except TimeoutError:
            pass
        # A peer that goes now, most likely in the middle of a message
        self.expect_exit = EXIT_MID_MESSAGE
        with self.remote:
            self.assertIn(self.remote.finish(), (EXIT_CLEAN, EXIT_MID_MESSAGE))
        self.remote = Remote.edu()
        self.expect_exit = EXIT_CLEAN


if __name__ == "__main__":
    wire.tap.main()
