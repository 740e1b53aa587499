#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SET_IRQFD: INTA# as an eventfd that is written when the line rises, and after each resample."""
import fcntl
import time

import wire
from mpq import Edu, Event, Remote

STATUS_INTERRUPT = 8
INTX_DISABLE = 0x400


class Interrupts(wire.RemoteTest):
    def setUp(self):
        super().setUp()
        self.irq, self.resample = Event(), Event()
        self.dev = self.edu()

    def tearDown(self):
        super().tearDown()
        self.irq.close()
        self.resample.close()

    def connect(self):
        self.peer.set_irqfd(self.irq.fd, self.resample.fd)

    def status(self):
        return self.peer.cfg_read(0x06, 2) & STATUS_INTERRUPT

    def test_raise(self):
        self.connect()
        self.assertEqual(self.status(), 0)
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.assertEqual(self.irq.wait(), 1)
        self.assertEqual(self.status(), STATUS_INTERRUPT)

    def test_written_before_the_reply(self):
        """When the guest's access returns, the interrupt is on its way already."""
        self.connect()
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.assertGreaterEqual(self.irq.take(), 1)

    def test_level_not_edge(self):
        """A second cause while the line is up is no second rise."""
        self.connect()
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.irq.wait()
        self.dev.write(Edu.IRQ_ACK, 1)
        self.assertEqual(self.status(), 0)
        self.assertEqual(self.irq.take(), 0)
        self.dev.write(Edu.IRQ_RAISE, 2)
        self.assertGreaterEqual(self.irq.take(), 1)

    def test_resample_while_up(self):
        self.connect()
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.irq.wait()
        for _ in range(5):
            self.resample.signal()
            self.assertGreaterEqual(self.irq.wait(), 1)

    def test_resample_while_down(self):
        self.connect()
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.irq.wait()
        self.dev.write(Edu.IRQ_ACK, 1)
        self.irq.take()
        self.resample.signal()
        wire.mpq.wait_for(lambda: not self.resample.pending(), "resamplefd to be read")
        self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)
        self.assertEqual(self.irq.take(), 0)

    def test_raised_again_while_up(self):
        """Without any resample: the guest may have re-routed the line, and lost what was there."""
        self.connect()
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.irq.wait()
        self.irq.wait()
        self.irq.wait()
        self.dev.write(Edu.IRQ_ACK, 1)
        self.irq.take()
        time.sleep(0.25)
        self.assertEqual(self.irq.take(), 0)

    def test_intx_disable(self):
        self.connect()
        self.peer.cfg_write(4, 6 | INTX_DISABLE, 2)
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.assertEqual(self.status(), STATUS_INTERRUPT, "the status bit shows the cause")
        self.assertEqual(self.irq.take(), 0)
        self.peer.cfg_write(4, 6, 2)
        self.assertGreaterEqual(self.irq.wait(), 1)
        self.peer.cfg_write(4, 6 | INTX_DISABLE, 2)
        self.irq.take()
        self.resample.signal()
        self.peer.cfg_read(0, 2)
        self.assertEqual(self.irq.take(), 0)

    def test_reset_lowers(self):
        self.connect()
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.irq.wait()
        self.peer.reset()
        self.irq.take()
        self.resample.signal()
        self.peer.cfg_read(0, 2)
        self.assertEqual(self.irq.take(), 0)

    def test_set_while_up(self):
        """irqfd that comes after the rise hears of it."""
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.connect()
        self.assertGreaterEqual(self.irq.wait(), 1)

    def test_replaced(self):
        self.connect()
        with Event() as irq, Event() as resample:
            self.peer.set_irqfd(irq.fd, resample.fd)
            self.dev.write(Edu.IRQ_RAISE, 1)
            irq.wait()
            self.assertEqual(self.irq.take(), 0)

    def test_replaced_often(self):
        self.connect()
        self.peer.cfg_read(0, 2)
        before = self.remote.device_fds()
        for _ in range(1000):
            self.connect()
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.assertGreaterEqual(self.irq.wait(), 1)
        self.assertEqual(len(self.remote.device_fds()), len(before))

    def test_one_file_for_both(self):
        """Strange, but no reason to fall over: what it writes wakes it up."""
        self.peer.set_irqfd(self.irq.fd, self.irq.fd)
        self.dev.write(Edu.IRQ_RAISE, 1)
        for _ in range(100):
            self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)
        self.dev.write(Edu.IRQ_ACK, 1)

    def test_full(self):
        """A blocking eventfd whose counter is full must not stop the device process."""
        with Event(Event.FULL) as full:
            self.peer.set_irqfd(full.fd, self.resample.fd)
            for _ in range(3):
                self.dev.write(Edu.IRQ_RAISE, 1)
                self.dev.write(Edu.IRQ_ACK, 1)
            self.dev.write(Edu.IRQ_RAISE, 1)
            self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)
            self.assertEqual(full.take(), Event.FULL)
            self.assertGreaterEqual(full.wait(), 1)     # by the repetition

    def test_resamplefd_drained_by_another(self):
        """Somebody else reads the resamplefd first: a blocking read here would stop the device."""
        self.connect()
        for _ in range(2000):
            self.resample.signal()
            self.resample.take()
        self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)

    def test_flags_stay(self):
        """Status flags belong to every holder of the open file."""
        files = (self.irq.fd, self.resample.fd, self.peer.sock.fileno())
        before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in files]
        self.connect()
        self.dev.write(Edu.IRQ_RAISE, 1)
        self.irq.wait()
        self.assertEqual([fcntl.fcntl(fd, fcntl.F_GETFL) for fd in files], before)

    def test_dma_interrupt(self):
        self.connect()
        with wire.mpq.Ram(1 << 20) as ram:
            self.peer.sync_sysmem([ram.region()])
            self.dev.dma_start(Edu.BUFFER, 0, 4, Edu.TO_RAM | Edu.DMA_IRQ)
            self.assertGreaterEqual(self.irq.wait(), 1)
            self.assertEqual(self.dev.read(Edu.IRQ_STATUS), 0x100)
            self.assertFalse(self.dev.read(Edu.DMA_CMD) & 1)

    def test_factorial_interrupt(self):
        self.connect()
        self.dev.write(Edu.STATUS, 0x80)
        self.dev.write(Edu.FACTORIAL, 5)
        self.assertGreaterEqual(self.irq.wait(), 1)
        self.assertEqual(self.dev.read(Edu.IRQ_STATUS), 1)


class Two(wire.unittest.TestCase):
    def test_each_has_its_own_line(self):
        with Remote.start(["edu,id=e0", "edu,id=e1"]) as remote, Event() as irq0, Event() as irq1, \
                Event() as resample:
            for peer, irq in zip(remote.peers, (irq0, irq1)):
                peer.set_irqfd(irq.fd, resample.fd)
            devices = [Edu(peer) for peer in remote.peers]
            devices[1].write(Edu.IRQ_RAISE, 1)
            irq1.wait()
            self.assertEqual(irq0.take(), 0)
            devices[0].write(Edu.IRQ_RAISE, 1)
            irq0.wait()


if __name__ == "__main__":
    wire.tap.main()
