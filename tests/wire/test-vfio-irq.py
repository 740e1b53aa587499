#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SET_IRQS: INTx that masks itself, MSI and MSI-X, as eventfds of the client."""
import errno
import fcntl
import os
import select
import socket
import time

import vfio
import vfu
import wire
from mpq import Edu, Event
from vfu import (BAR2, CONFIG, DATA_BOOL, DATA_EVENTFD, DATA_NONE, INTX, IRQS, MASK, MSI, MSIX,
                 TRIGGER, UNMASK, Cmd, irqs)

STATUS_INTERRUPT, INTX_DISABLE = 8, 0x400
PBA = 0x800
CAP_MSI, CAP_MSIX = 0x05, 0x11
HUGE = (0x7fffffff, 0x80000000, 0xffffffff)


class IrqTest(vfio.VfioTest):
    def setUp(self):
        super().setUp()
        self.dev = self.edu()

    def events(self, count):
        made = [Event() for _ in range(count)]
        for event in made:
            self.addCleanup(event.close)
        return made

    def takes(self, *events):
        """What the eventfds hold once the server has answered a question."""
        self.client.alive()
        return [event.take() for event in events]

    def status(self):
        return self.client.read(CONFIG, 6, 2) & STATUS_INTERRUPT

    def raised(self, value=1):
        self.dev.write(Edu.IRQ_RAISE, value)

    def acked(self, value=0xffffffff):
        self.dev.write(Edu.IRQ_ACK, value)


class Intx(IrqTest):
    def setUp(self):
        super().setUp()
        self.irq, self.other, self.resample = self.events(3)

    def listen(self, event=None):
        self.client.trigger(INTX, 0, [(event or self.irq).fd])

    def by_eventfd(self, event=None):
        self.client.set_irqs(INTX, DATA_EVENTFD | UNMASK, 0, 1, [(event or self.resample).fd])

    def test_raise(self):
        self.listen()
        self.assertEqual((self.status(), self.irq.take()), (0, 0))
        self.raised()
        self.assertEqual(self.irq.wait(), 1)
        self.assertEqual(self.status(), STATUS_INTERRUPT)

    def test_written_before_the_reply(self):
        """When the guest's access returns, the interrupt is on its way already."""
        self.listen()
        self.raised()
        self.assertEqual(self.irq.take(), 1)

    def test_once(self):
        """It has masked itself: neither new causes nor the time write it again."""
        self.listen()
        self.raised()
        self.irq.wait()
        self.raised(2)
        self.acked(1)
        self.raised(4)
        self.assertEqual(self.takes(self.irq), [0])
        self.assertFalse(select.select([self.irq.fd], [], [], 0.25)[0])

    def test_masked_over_a_fall_and_a_rise(self):
        self.listen()
        self.raised()
        self.irq.wait()
        self.acked()
        self.raised()
        self.assertEqual(self.takes(self.irq), [0])
        self.client.unmask()
        self.assertEqual(self.irq.wait(), 1)

    def test_unmask_while_up(self):
        self.listen()
        self.raised()
        self.irq.wait()
        for _ in range(5):
            self.client.unmask()
            self.assertEqual(self.irq.wait(), 1)

    def test_unmask_while_down(self):
        self.listen()
        self.raised()
        self.irq.wait()
        self.acked()
        self.client.unmask()
        self.assertEqual(self.takes(self.irq), [0])
        self.raised()
        self.assertEqual(self.irq.wait(), 1)

    def test_unmask_of_what_is_not_masked(self):
        self.listen()
        for _ in range(3):
            self.client.unmask()
        self.assertEqual(self.takes(self.irq), [0])
        self.raised()
        self.assertEqual(self.irq.wait(), 1)

    def test_mask(self):
        self.listen()
        self.client.set_irqs(INTX, DATA_NONE | MASK, 0, 1)
        self.raised()
        self.assertEqual(self.takes(self.irq), [0])
        self.client.unmask()
        self.assertEqual(self.irq.wait(), 1)

    def test_mask_by_bool(self):
        self.listen()
        self.client.set_irqs(INTX, DATA_BOOL | MASK, 0, 1, data=b"\x01")
        self.raised()
        self.assertEqual(self.takes(self.irq), [0])
        self.client.set_irqs(INTX, DATA_BOOL | UNMASK, 0, 1, data=b"\x00")
        self.assertEqual(self.takes(self.irq), [0])
        self.client.set_irqs(INTX, DATA_BOOL | UNMASK, 0, 1, data=b"\x01")
        self.assertEqual(self.irq.wait(), 1)

    def test_unmask_by_eventfd(self):
        """KVM's resamplefd: again and again while the line is up."""
        self.listen()
        self.by_eventfd()
        self.raised()
        self.irq.wait()
        for _ in range(5):
            self.resample.signal()
            self.assertEqual(self.irq.wait(), 1)
        self.acked()
        self.resample.signal()
        wire.mpq.wait_for(lambda: not self.resample.pending(), "the eventfd to be read")
        self.assertEqual(self.takes(self.irq), [0])
        self.raised()
        self.assertEqual(self.irq.wait(), 1)

    def test_eventfd_that_was_signalled_before(self):
        """The count that it holds is an unmask, too."""
        self.listen()
        self.raised()
        self.irq.wait()
        self.resample.signal()
        self.by_eventfd()
        self.assertEqual(self.irq.wait(), 1)

    def test_unmask_eventfd_replaced(self):
        self.listen()
        self.by_eventfd()
        self.by_eventfd(self.other)
        self.raised()
        self.irq.wait()
        self.resample.signal()
        self.assertEqual(self.takes(self.irq), [0])
        self.other.signal()
        self.assertEqual(self.irq.wait(), 1)

    def test_unmask_eventfd_taken_away(self):
        self.listen()
        self.by_eventfd()
        self.client.set_irqs(INTX, DATA_EVENTFD | UNMASK, 0, 1)
        self.raised()
        self.irq.wait()
        self.resample.signal()
        self.assertEqual(self.takes(self.irq), [0])
        self.client.unmask()
        self.assertEqual(self.irq.wait(), 1)

    def test_resample_drained_by_another(self):
        """Somebody else reads it first: a read that waits would stop the device."""
        self.listen()
        self.by_eventfd()
        for _ in range(wire.thin(1000, 100)):
            self.resample.signal()
            self.resample.take()
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_one_file_for_both(self):
        """Strange, but no reason to fall over."""
        self.listen()
        self.by_eventfd(self.irq)
        self.raised()
        for _ in range(100):
            self.assertEqual(self.client.alive(), vfio.VENDOR)
        self.acked()
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_disable(self):
        self.listen()
        self.client.disable(INTX)
        self.raised()
        self.assertEqual(self.takes(self.irq), [0])
        self.assertEqual(self.status(), STATUS_INTERRUPT)

    def test_disable_twice(self):
        for _ in range(2):
            self.client.disable(INTX)

    def test_set_again_while_up(self):
        """The new eventfd hears of what is asserted, masked or not before."""
        self.listen()
        self.raised()
        self.irq.wait()
        self.client.disable(INTX)
        self.listen(self.other)
        self.assertEqual(self.takes(self.irq, self.other), [0, 1])

    def test_set_while_up(self):
        self.raised()
        self.listen()
        self.assertEqual(self.irq.wait(), 1)

    def test_replaced(self):
        self.listen()
        self.listen(self.other)
        self.raised()
        self.assertEqual(self.takes(self.irq, self.other), [0, 1])

    def test_taken_away(self):
        """DATA_EVENTFD without an fd."""
        self.listen()
        self.client.trigger(INTX, 0, [])
        self.raised()
        self.assertEqual(self.takes(self.irq), [0])

    def test_replaced_often(self):
        self.listen()
        self.by_eventfd()
        before = self.device_fds()
        for _ in range(wire.thin(300, 50)):
            self.listen()
            self.by_eventfd()
        self.assertEqual(len(self.device_fds()), len(before))
        self.raised()
        self.assertEqual(self.irq.wait(), 1)

    def test_disable_closes(self):
        before = self.device_fds()
        self.listen()
        self.by_eventfd()
        self.assertEqual(len(self.device_fds()), len(before) + 2)
        self.client.disable(INTX)
        self.assertEqual(len(self.device_fds()), len(before))

    def test_intx_disable_bit(self):
        self.listen()
        self.client.write(CONFIG, 4, 6 | INTX_DISABLE, 2)
        self.raised()
        self.assertEqual(self.takes(self.irq), [0])
        self.assertEqual(self.status(), STATUS_INTERRUPT, "the status bit shows the cause")
        self.client.write(CONFIG, 4, 6, 2)
        self.assertEqual(self.irq.wait(), 1)

    def test_triggered_by_the_client(self):
        """The loop-back that VFIO defines."""
        self.listen()
        self.client.set_irqs(INTX, DATA_NONE | TRIGGER, 0, 1)
        self.assertEqual(self.takes(self.irq), [1])
        self.client.set_irqs(INTX, DATA_BOOL | TRIGGER, 0, 1, data=b"\x00")
        self.assertEqual(self.takes(self.irq), [0])
        self.client.set_irqs(INTX, DATA_BOOL | TRIGGER, 0, 1, data=b"\x01")
        self.assertEqual(self.takes(self.irq), [1])

    def test_reset_lowers(self):
        self.listen()
        self.raised()
        self.irq.wait()
        self.client.reset()
        self.client.unmask()
        self.assertEqual((self.takes(self.irq), self.status()), ([0], 0))

    def test_reset_keeps_the_eventfd(self):
        """A client that wants it gone says so, as QEMU does before."""
        self.listen()
        self.client.reset()
        self.dev = self.edu()
        self.raised()
        self.assertEqual(self.irq.wait(), 1)

    def test_full(self):
        """An eventfd whose counter is full must not stop the device process."""
        full = Event(Event.FULL)
        self.addCleanup(full.close)
        self.listen(full)
        self.raised()
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        for _ in range(3):
            self.client.unmask()
        self.assertEqual(full.take(), Event.FULL)

    def test_flags_of_files_stay(self):
        files = (self.irq.fd, self.resample.fd, self.client.sock.fileno())
        before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in files]
        self.listen()
        self.by_eventfd()
        self.raised()
        self.irq.wait()
        self.assertEqual([fcntl.fcntl(fd, fcntl.F_GETFL) for fd in files], before)

    def test_end_of_a_transfer(self):
        ram = self.map_ram()
        self.listen()
        self.dev.dma_start(Edu.BUFFER, 0x100, 4, Edu.TO_RAM | Edu.DMA_IRQ)
        self.irq.wait()
        self.assertEqual(self.dev.read(Edu.IRQ_STATUS), 0x100)
        self.assertEqual(ram.map[0x100:0x104], bytes(4))


class MessageTest(IrqTest):
    def cap(self, ident):
        at = self.client.read(CONFIG, 0x34, 1)
        while at and self.client.read(CONFIG, at, 1) != ident:
            at = self.client.read(CONFIG, at + 1, 1)
        self.assertTrue(at)
        return at

    def vector(self, number):
        """The device has a reason to send message @number."""
        self.raised(1 << number)


class MsiVectors(MessageTest):
    def enable(self, events, log2=0):
        """The guest enables it; QEMU passes the write on and then says who listens."""
        self.client.write(CONFIG, self.cap(CAP_MSI) + 2, 1 | log2 << 4, 2)
        self.client.disable(INTX)
        self.client.trigger(MSI, 0, [event.fd for event in events])

    def test_one(self):
        event, = self.events(1)
        self.enable([event])
        self.vector(0)
        self.assertEqual(event.wait(), 1)

    def test_each(self):
        events = self.events(8)
        self.enable(events, 3)
        for i, event in enumerate(events):
            self.vector(i)
            self.assertEqual(event.wait(), 1)
            self.acked()
        self.assertEqual(self.takes(*events), [0] * 8)

    def test_every_edge(self):
        """No mask, no line: a message for each cause."""
        event, = self.events(1)
        self.enable([event])
        for _ in range(5):
            self.vector(0)
            self.assertEqual(event.wait(), 1)
            self.acked()

    def test_written_before_the_reply(self):
        event, = self.events(1)
        self.enable([event])
        self.vector(0)
        self.assertEqual(event.take(), 1)

    def test_no_line_meanwhile(self):
        """With messages on, INTx stays down."""
        event, = self.events(1)
        self.enable([event])
        self.vector(0)
        self.assertEqual(event.wait(), 1)
        self.assertEqual(self.status(), 0)

    def test_disable_and_back_to_intx(self):
        event, line = self.events(2)
        self.enable([event])
        self.client.disable(MSI)
        self.client.write(CONFIG, self.cap(CAP_MSI) + 2, 0, 2)
        self.client.trigger(INTX, 0, [line.fd])
        self.raised()
        self.assertEqual(self.takes(event, line), [0, 1])

    def test_replaced(self):
        old, new = self.events(2)
        self.enable([old])
        self.client.trigger(MSI, 0, [new.fd])
        self.vector(0)
        self.assertEqual(self.takes(old, new), [0, 1])

    def test_disable_closes(self):
        before = self.device_fds()
        self.enable(self.events(8), 3)
        self.assertEqual(len(self.device_fds()), len(before) + 8)
        self.client.disable(MSI)
        self.assertEqual(len(self.device_fds()), len(before))

    def test_triggered_by_the_client(self):
        events = self.events(8)
        self.enable(events, 3)
        self.client.set_irqs(MSI, DATA_BOOL | TRIGGER, 2, 4, data=b"\1\0\0\1")
        self.assertEqual(self.takes(*events), [0, 0, 1, 0, 0, 1, 0, 0])
        self.client.set_irqs(MSI, DATA_NONE | TRIGGER, 6, 2)
        self.assertEqual(self.takes(*events), [0, 0, 0, 0, 0, 0, 1, 1])


class LittleMsi(MsiVectors):
    """The conventional device has one vector."""

    devices = (vfio.EDU,)
    test_each = test_disable_closes = test_triggered_by_the_client = None

    def test_two_are_too_many(self):
        self.refused(Cmd.SET_IRQS, irqs(MSI, DATA_EVENTFD | TRIGGER, 0, 2),
                     [event.fd for event in self.events(2)])


class MsixVectors(MessageTest):
    def enable(self, events=()):
        """Enabled without any vector, then one by one, as QEMU does it."""
        self.client.write(CONFIG, self.cap(CAP_MSIX) + 2, 0x8000, 2)
        self.client.disable(INTX)
        self.client.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 1)
        for i, event in enumerate(events):
            self.client.trigger(MSIX, i, [event.fd])

    def pending(self):
        return self.client.read(BAR2, PBA, 8)

    def test_each(self):
        events = self.events(8)
        self.enable(events)
        for i, event in enumerate(events):
            self.vector(i)
            self.assertEqual(event.wait(), 1)
            self.acked()
        self.assertEqual((self.takes(*events), self.pending()), ([0] * 8, 0))

    def test_all_at_once(self):
        """Cloud Hypervisor: one message, without the empty one before it."""
        events = self.events(8)
        self.client.write(CONFIG, self.cap(CAP_MSIX) + 2, 0x8000, 2)
        self.client.trigger(MSIX, 0, [event.fd for event in events])
        self.vector(5)
        self.assertEqual(self.takes(*events), [0, 0, 0, 0, 0, 1, 0, 0])

    def test_nobody_listens(self):
        """The vector is pending until somebody does; then it is sent, once."""
        self.enable()
        self.vector(3)
        self.assertEqual(self.pending(), 1 << 3)
        event, = self.events(1)
        self.client.trigger(MSIX, 3, [event.fd])
        self.assertEqual(event.wait(), 1)
        self.assertEqual((self.pending(), self.takes(event)), (0, [0]))

    def test_others_are_not_pending(self):
        events = self.events(8)
        self.enable(events[:4])
        self.vector(1)
        self.vector(6)
        self.assertEqual((self.takes(*events)[:4], self.pending()), ([0, 1, 0, 0], 1 << 6))

    def test_taken_away_and_given_back(self):
        """How QEMU masks a vector: its eventfd goes."""
        event, = self.events(1)
        self.enable([event])
        self.client.trigger(MSIX, 0, [])
        self.vector(0)
        self.assertEqual((self.takes(event), self.pending()), ([0], 1))
        self.client.trigger(MSIX, 0, [event.fd])
        self.assertEqual((self.takes(event), self.pending()), ([1], 0))

    def test_replaced(self):
        old, new = self.events(2)
        self.enable([old])
        self.client.trigger(MSIX, 0, [new.fd])
        self.vector(0)
        self.assertEqual(self.takes(old, new), [0, 1])

    def test_replaced_often(self):
        events = self.events(8)
        self.enable(events)
        before = self.device_fds()
        for i in range(wire.thin(400, 40)):
            self.client.trigger(MSIX, i % 8, [events[(i + 1) % 8].fd])
        self.assertEqual(len(self.device_fds()), len(before))

    def test_disable(self):
        events = self.events(8)
        before = self.device_fds()
        self.enable(events)
        self.assertEqual(len(self.device_fds()), len(before) + 8)
        self.client.disable(MSIX)
        self.assertEqual(len(self.device_fds()), len(before))
        self.vector(0)
        self.assertEqual(self.takes(*events), [0] * 8)

    def test_disable_and_back_to_intx(self):
        event, line = self.events(2)
        self.enable([event])
        self.client.disable(MSIX)
        self.client.write(CONFIG, self.cap(CAP_MSIX) + 2, 0, 2)
        self.client.trigger(INTX, 0, [line.fd])
        self.raised()
        self.assertEqual(self.takes(event, line), [0, 1])

    def test_reset_clears_what_is_pending(self):
        self.enable()
        self.vector(2)
        self.assertEqual(self.pending(), 4)
        self.client.reset()
        self.assertEqual(self.pending(), 0)

    def test_settled_before_anybody_listens(self):
        """The cause has gone: nothing is pending, and nobody hears of it later."""
        self.enable()
        self.vector(2)
        self.acked()
        self.assertEqual(self.pending(), 0)
        event, = self.events(1)
        self.client.trigger(MSIX, 2, [event.fd])
        self.assertEqual(self.takes(event), [0])

    def test_pending_bits_are_read_only(self):
        self.enable()
        self.vector(2)
        self.client.write(BAR2, PBA, 0, 8)
        self.assertEqual(self.pending(), 4)

    def test_pending_in_every_size(self):
        self.enable()
        self.vector(7)
        for size in (1, 2, 4, 8):
            self.assertEqual(self.client.read(BAR2, PBA, size), 0x80)

    def test_table_is_memory(self):
        """Addresses and data are the guest's; of the control word one bit."""
        for vector in (0, 7):
            self.client.write(BAR2, 16 * vector, 0xfee01000)
            self.client.write(BAR2, 16 * vector + 8, 0x4041)
            self.assertEqual(self.client.read(BAR2, 16 * vector), 0xfee01000)
            self.assertEqual(self.client.read(BAR2, 16 * vector + 8), 0x4041)
            self.client.write(BAR2, 16 * vector + 12, 0xfffffffe)
            self.assertEqual(self.client.read(BAR2, 16 * vector + 12), 0)

    def test_triggered_by_the_client(self):
        events = self.events(8)
        self.enable(events)
        self.client.set_irqs(MSIX, DATA_NONE | TRIGGER, 5, 1)
        self.assertEqual(self.takes(*events), [0, 0, 0, 0, 0, 1, 0, 0])
        self.client.set_irqs(MSIX, DATA_BOOL | TRIGGER, 0, 8, data=b"\1\0\1\0\1\0\1\0")
        self.assertEqual(self.takes(*events), [1, 0, 1, 0, 1, 0, 1, 0])

    def test_posted(self):
        """Without a reply, and done all the same."""
        event, = self.events(1)
        self.enable()
        self.client.send(Cmd.SET_IRQS, irqs(MSIX, DATA_EVENTFD | TRIGGER, 4, 1), [event.fd],
                         flags=vfu.NO_REPLY)
        self.vector(4)
        self.assertEqual(self.takes(event), [1])


class Wrong(IrqTest):
    """Every mistake is refused, no fd of it stays, and what was set up before still works."""

    def setUp(self):
        super().setUp()
        self.irq, self.spare = self.events(2)
        self.client.trigger(INTX, 0, [self.irq.fd])
        self.before = self.device_fds()

    def tearDown(self):
        self.assertEqual(self.device_fds(), self.before)
        self.raised()
        self.assertEqual(self.takes(self.irq), [1])
        super().tearDown()

    def wrong(self, index, flags, start=0, count=0, fds=(), data=b"", argsz=None):
        with self.subTest(index=index, flags=hex(flags), start=start, count=count, fds=len(fds)):
            self.refused(Cmd.SET_IRQS, irqs(index, flags, start, count, data, argsz), fds)

    def test_index(self):
        for index in (5, 6, 255, *HUGE):
            self.wrong(index, DATA_NONE | TRIGGER, 0, 1)
            self.wrong(index, DATA_NONE | TRIGGER)
            self.wrong(index, DATA_EVENTFD | TRIGGER, 0, 1, [self.spare.fd])

    def test_error_interrupts(self):
        """As many as were named, and not one more."""
        for index in (vfu.ERR, vfu.REQ):
            count = self.client.irq_info(index).count
            self.wrong(index, DATA_EVENTFD | TRIGGER, count, 1, [self.spare.fd])
            self.wrong(index, DATA_EVENTFD | TRIGGER, 0, count + 1, [self.spare.fd] * (count + 1))

    def test_ranges(self):
        for index, vectors in ((INTX, 1), (MSI, 8), (MSIX, 8)):
            for start, count in ((vectors, 1), (0, vectors + 1), (vectors - 1, 2), (1, vectors),
                                 (0xffffffff, 1), (0xffffffff, 2), (1, 0xffffffff),
                                 (0x80000000, 0x80000000), (0, 0xffffffff), (0, 1 << 31)):
                for fds in ([], [self.spare.fd]):
                    self.wrong(index, DATA_EVENTFD | TRIGGER, start, count, fds)
                self.wrong(index, DATA_NONE | TRIGGER, start, count)

    def test_flags(self):
        for flags in (0, DATA_NONE, TRIGGER, DATA_NONE | DATA_BOOL | TRIGGER,
                      DATA_NONE | DATA_EVENTFD | TRIGGER, DATA_NONE | MASK | UNMASK,
                      DATA_NONE | MASK | TRIGGER, DATA_NONE | UNMASK | TRIGGER, 0x3f,
                      DATA_NONE | TRIGGER | 0x40, DATA_NONE | TRIGGER | 1 << 31, 0xffffffff):
            self.wrong(INTX, flags, 0, 1)
            self.wrong(INTX, flags, 0, 1, [self.spare.fd])

    def test_number_of_fds(self):
        fds = [self.spare.fd] * 16
        for index, count, number in ((INTX, 1, 2), (INTX, 1, 16), (MSIX, 2, 1), (MSIX, 1, 2),
                                     (MSIX, 8, 7), (MSIX, 8, 9), (MSIX, 8, 16), (MSI, 8, 1)):
            self.wrong(index, DATA_EVENTFD | TRIGGER, 0, count, fds[:number])

    def test_fds_without_eventfd_data(self):
        for flags, data in ((DATA_NONE | TRIGGER, b""), (DATA_NONE | MASK, b""),
                            (DATA_BOOL | UNMASK, b"\0")):
            self.client.errno_of(Cmd.SET_IRQS, irqs(INTX, flags, 0, 1, data), [self.spare.fd])
            self.assertEqual(self.device_fds(), self.before)
            self.client.unmask()
            self.takes(self.irq)

    def test_bools(self):
        """As many bytes as the count says."""
        for count, size in ((1, 0), (1, 2), (8, 7), (8, 9), (2, 1)):
            self.wrong(MSIX, DATA_BOOL | TRIGGER, 0, count, data=bytes(size))

    def test_data_without_bool(self):
        self.wrong(INTX, DATA_EVENTFD | TRIGGER, 0, 1, [self.spare.fd], data=b"\0" * 8)

    def test_count_of_zero(self):
        """Means all of the index with DATA_NONE and TRIGGER; with others nothing, or a mistake."""
        for index in (INTX, MSI, MSIX):
            for flags in (DATA_NONE | MASK, DATA_NONE | UNMASK, DATA_BOOL | TRIGGER):
                self.client.errno_of(Cmd.SET_IRQS, irqs(index, flags))
                self.client.errno_of(Cmd.SET_IRQS, irqs(index, flags, 0xffffffff))
        self.client.unmask()

    def test_argsz(self):
        for argsz in (0, 16, 19):
            self.wrong(INTX, DATA_NONE | MASK, 0, 1, argsz=argsz)

    def test_payload_sizes(self):
        whole = IRQS.pack(20, DATA_NONE | MASK, INTX, 0, 1)
        for size in (0, 4, 16, 19):
            self.refused(Cmd.SET_IRQS, whole[:size])
            self.refused(Cmd.SET_IRQS, whole[:size], [self.spare.fd])

    def test_files(self):
        """What is no eventfd."""
        reader, writer = os.pipe()
        ours, theirs = socket.socketpair()
        ram = wire.mpq.Ram(4096)
        opened = {"null": os.open("/dev/null", os.O_RDWR), "directory": os.open("/", os.O_RDONLY),
                  "path": os.open("/", os.O_PATH)}
        rows = {**opened, "pipe": writer, "socket": ours.fileno(), "memfd": ram.fd}
        for fd in rows.values():
            for action in (TRIGGER, UNMASK):
                self.wrong(INTX, DATA_EVENTFD | action, 0, 1, [fd])
            self.wrong(MSIX, DATA_EVENTFD | TRIGGER, 3, 1, [fd])
            self.wrong(MSIX, DATA_EVENTFD | TRIGGER, 0, 2, [self.spare.fd, fd])
        for fd in (reader, writer, *opened.values()):
            os.close(fd)
        for thing in (ours, theirs, ram):
            thing.close()

    def test_mask_by_eventfd(self):
        """Nobody uses it; not served, or served without leaving an fd behind a disable."""
        number = self.client.errno_of(Cmd.SET_IRQS, irqs(INTX, DATA_EVENTFD | MASK, 0, 1),
                                      [self.spare.fd])
        self.assertIn(number, (errno.EINVAL, errno.ENOTTY))


class Anonymous(IrqTest):
    """A file that cannot be told from an eventfd before it is used: at worst its session ends."""

    def setUp(self):
        super().setUp()
        self.ready, = self.events(1)
        self.ready.signal()
        self.epoll = select.epoll()
        self.addCleanup(self.epoll.close)
        self.epoll.register(self.ready.fd, select.EPOLLIN)
        self.mistakes = True

    def survives(self):
        """The session, or the next one; and nothing spins."""
        try:
            self.client.alive()
            time.sleep(0.05)    # time to come upon the file
            self.client.alive()
        except vfu.Closed:
            self.expect_words = "e0: peer: "
            self.client = self.server.client()
        used = self.cpu_time()
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        time.sleep(0.2)
        self.assertLess(self.cpu_time() - used, 0.1)

    def cpu_time(self):
        """s that the device process has run."""
        with open(f"/proc/{self.server.device_pid()}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_epoll_that_unmasks(self):
        self.client.errno_of(Cmd.SET_IRQS, irqs(INTX, DATA_EVENTFD | UNMASK, 0, 1),
                             [self.epoll.fileno()])
        self.survives()

    def test_epoll_as_listener(self):
        self.client.errno_of(Cmd.SET_IRQS, irqs(INTX, DATA_EVENTFD | TRIGGER, 0, 1),
                             [self.epoll.fileno()])
        self.raised()
        self.survives()

    def test_epoll_for_a_vector(self):
        self.client.errno_of(Cmd.SET_IRQS, irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 1),
                             [self.epoll.fileno()])
        self.raised()
        self.survives()


class Errors(IrqTest):
    """ERR and REQ.  QEMU stops the whole VM when ERR is signalled."""

    def test_never_signalled(self):
        for index in (vfu.ERR, vfu.REQ):
            if not self.client.irq_info(index).count:
                self.skipTest("the server has none")
        err, req = self.events(2)
        before = self.device_fds()
        self.client.trigger(vfu.ERR, 0, [err.fd])
        self.client.trigger(vfu.REQ, 0, [req.fd])
        for bit in range(16):
            self.raised(1 << bit)
            self.acked()
        self.refused(Cmd.REGION_READ, vfu.access(9, 0, 4))
        self.client.reset()
        self.assertEqual(self.takes(err, req), [0, 0])
        self.client.trigger(vfu.ERR, 0, [])
        self.client.disable(vfu.REQ)
        self.assertEqual(self.device_fds(), before)


class TwoDevices(vfio.VfioTest):
    devices = ("edu-pcie,id=e0", "edu-pcie,id=e1")

    def test_each_has_its_own(self):
        other = self.server.client(device=1)
        with Event() as irq0, Event() as irq1:
            for client, irq in ((self.client, irq0), (other, irq1)):
                client.trigger(INTX, 0, [irq.fd])
            devices = [self.edu(client) for client in (self.client, other)]
            devices[1].write(Edu.IRQ_RAISE, 1)
            irq1.wait()
            self.assertEqual(irq0.take(), 0)
            devices[0].write(Edu.IRQ_RAISE, 1)
            irq0.wait()
            self.assertEqual(irq1.take(), 0)


if __name__ == "__main__":
    wire.tap.main()
