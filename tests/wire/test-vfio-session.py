#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that come and go, RESET, signals, and both protocols in one process."""
import os
import re

import vfio
import vfu
import wire
from mpq import EXIT_CLEAN, Edu, Event, Ram
from vfu import BAR0, CONFIG, Cmd, access, message, version_payload


def ram_maps(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as file:
        return len(re.findall("memfd:guest-ram", file.read()))


class Reconnect(vfio.VfioTest):
    def again(self):
        """The client leaves, and the next one negotiates."""
        self.client.close()
        self.client = self.server.client()
        return self.client

    def test_device_is_reset(self):
        edu = self.edu()
        edu.write(Edu.LIVENESS, 1)
        edu.write(Edu.IRQ_RAISE, 1)
        self.client.write(CONFIG, 0x10, 0xfea00000)
        self.client.write(CONFIG, 0x3c, 11, 1)
        first = self.client
        self.again()
        self.assertIsNot(first, self.client)
        self.assertEqual([self.client.read(CONFIG, at, 2) for at in (4, 0x3c)], [0, 0x100])
        self.assertEqual(self.client.read(CONFIG, 0x10) & ~15, 0)
        self.assertEqual(self.client.read(CONFIG, 6, 2) & 8, 0)
        edu = self.edu()
        self.assertEqual((edu.read(Edu.LIVENESS), edu.read(Edu.IRQ_STATUS)), (0, 0))

    def test_maps_are_gone(self):
        ram = self.map_ram()
        self.assertEqual(ram_maps(self.server.device_pid()), 1)
        self.again()
        self.assertEqual(ram_maps(self.server.device_pid()), 0)
        ram.map[0:4] = b"keep"
        self.edu().store(0, 4)
        self.assertEqual(ram.map[0:4], b"keep")
        self.client.dma_map(0, vfio.MIB, ram.fd)
        self.expect_words = "DMA outside"

    def test_maps_without_fd_are_gone(self):
        self.client.dma_map(0, vfio.MIB)
        self.again()
        self.edu().load(0, 4)
        self.assertFalse(self.client.asked)
        self.expect_words = "DMA outside"

    def test_eventfds_are_gone(self):
        before = self.device_fds()
        with Event() as irq, Event() as resample:
            self.client.trigger(vfu.INTX, 0, [irq.fd])
            self.client.set_irqs(vfu.INTX, vfu.DATA_EVENTFD | vfu.UNMASK, 0, 1, [resample.fd])
            self.client.trigger(vfu.MSIX, 0, [irq.fd] * 8)
            self.again()
            self.assertEqual(len(self.device_fds()), len(before))
            self.edu().write(Edu.IRQ_RAISE, 1)
            self.client.alive()
            self.assertEqual(irq.take(), 0)

    def test_transfer_under_way(self):
        """Its end does not come over the next client's memory, nor as its interrupt."""
        ram = self.map_ram()
        self.edu().dma_start(Edu.BUFFER, 0, 4, Edu.TO_RAM | Edu.DMA_IRQ)
        ram.map[0:4] = b"keep"
        self.again()
        self.client.dma_map(0, vfio.MIB, ram.fd)
        with Event() as irq:
            self.client.trigger(vfu.INTX, 0, [irq.fd])
            self.edu().load(0x100, 4)
            self.assertEqual((ram.map[0:4], irq.take()), (b"keep", 0))

    def test_masks_are_gone(self):
        with Event() as irq, Event() as other:
            self.client.trigger(vfu.INTX, 0, [irq.fd])
            self.edu().write(Edu.IRQ_RAISE, 1)
            irq.wait()
            self.again()
            self.client.trigger(vfu.INTX, 0, [other.fd])
            self.edu().write(Edu.IRQ_RAISE, 1)
            self.assertEqual(other.wait(), 1)

    def test_often(self):
        before = self.device_fds()
        ram = Ram(vfio.MIB)
        self.addCleanup(ram.close)
        for _ in range(wire.thin(50, 8)):
            self.client.dma_map(0, vfio.MIB, ram.fd)
            self.assertEqual(self.again().alive(), vfio.VENDOR)
        self.assertEqual(len(self.device_fds()), len(before))
        self.assertEqual(ram_maps(self.server.device_pid()), 0)

    def test_without_a_word(self):
        """Clients that only connect."""
        self.client.close()
        for _ in range(10):
            self.server.silent().close()
        self.assertEqual(self.again().alive(), vfio.VENDOR)

    def test_unanswered(self):
        """A client that leaves before the reply."""
        for _ in range(10):
            self.client.send(Cmd.REGION_READ, access(CONFIG, 0, 4))
            self.again()
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_unread(self):
        """One that leaves with a great many replies unread."""
        data = b"".join(message(i, Cmd.REGION_READ, access(CONFIG, 0, 4096)) for i in range(100))
        self.client.send_raw(data)
        self.assertEqual(self.again().alive(), vfio.VENDOR)


class MidMessage(vfio.VfioTest):
    """A client that goes in the middle of a message."""

    def end(self):
        """Worth a line each, or none; no reason to end."""
        with self.server:
            status, log = self.server.finish(), self.server.log()
        self.assertEqual(status, EXIT_CLEAN, log)
        for line in log.rstrip("\n").split("\n") if log else []:
            self.assertIn("e0: ", line)

    def test_each_byte(self):
        with Ram(vfio.MIB) as ram:
            rows = [(message(5, Cmd.REGION_WRITE, access(BAR0, 4, 4, bytes(4))), []),
                    (message(5, Cmd.DMA_MAP, vfu.MAP.pack(32, 3, 0, 0, vfio.MIB)), [ram.fd])]
            for data, fds in rows:
                for at in range(1, len(data), wire.thin(3, 11)):
                    self.client.send_raw(data[:at], fds)
                    self.client.close()
                    self.client = self.server.client()
                    self.assertEqual(self.client.alive(), vfio.VENDOR)
            self.assertFalse([x for x in self.device_fds().values() if "guest-ram" in x])

    def test_in_the_version(self):
        whole = message(0, Cmd.VERSION, version_payload(0, 0, vfu.Client.TEXT))
        for at in (1, 15, 16, 19, 20, len(whole) - 1):
            self.client.close()
            self.client = self.server.silent()
            self.client.send_raw(whole[:at])
        self.client.close()
        self.client = self.server.client()
        self.assertEqual(self.client.alive(), vfio.VENDOR)


class Waiting(vfio.VfioTest):
    """A device has one client at a time."""

    def test_second_client_waits(self):
        second = self.server.silent()
        second.send(Cmd.VERSION, version_payload(0, 0, second.TEXT))
        self.assertTrue(second.quiet())
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        self.client.close()
        vfu.version_reply(vfu.VERSION.unpack(second.reply()))
        self.assertEqual(second.alive(), vfio.VENDOR)

    def test_first_is_not_disturbed(self):
        edu = self.edu()
        edu.write(Edu.LIVENESS, 1)
        for _ in range(3):
            self.server.silent().close()
        self.assertEqual(edu.read(Edu.LIVENESS), 0xfffffffe)

    def test_in_order(self):
        waiting = [self.server.silent() for _ in range(3)]
        for client in waiting:
            client.send(Cmd.VERSION, version_payload(0, 0, client.TEXT))
        for before, client in zip([self.client, *waiting], waiting):
            before.close()
            vfu.version_reply(vfu.VERSION.unpack(client.reply()))
            self.assertEqual(client.alive(), vfio.VENDOR)

    def test_waiting_one_leaves(self):
        second, third = self.server.silent(), self.server.silent()
        second.close()
        third.send(Cmd.VERSION, version_payload(0, 0, third.TEXT))
        self.client.close()
        vfu.version_reply(vfu.VERSION.unpack(third.reply()))
        self.assertEqual(third.alive(), vfio.VENDOR)


class TwoClients(vfio.VfioTest):
    """Two devices of one process; what one client does is nothing to the other."""

    devices = ("edu-pcie,id=e0", "edu-pcie,id=e1")

    def setUp(self):
        super().setUp()
        self.other = self.server.client(device=1)
        self.dev = vfio.Device(self.other)

    def works(self):
        for i in range(50):
            self.dev.write(Edu.LIVENESS, i)
            self.assertEqual(self.dev.read(Edu.LIVENESS), i ^ 0xffffffff)

    def test_deaf(self):
        """One that asks and asks, and reads no answer."""
        self.client.sock.settimeout(0.2)
        try:
            while True:
                self.client.sock.sendall(message(1, Cmd.REGION_READ, access(CONFIG, 0, 4096)) * 50)
        except TimeoutError:
            pass
        self.works()
        self.client.close()
        self.works()
        self.client = self.server.client()
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_answers_held_back(self):
        self.client.dma_map(0, vfio.MIB)
        self.edu().dma_start(0, Edu.BUFFER, 4, 0)
        ask = self.client.ask()
        self.works()
        self.client.answered(ask, b"late")
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_broken_protocol(self):
        self.client.send_raw(message(1, Cmd.RESET, size=3))
        self.assertTrue(self.client.ended())
        self.client.close()
        self.works()
        self.expect_words = "e0: "

    def test_goes(self):
        for _ in range(5):
            self.client.close()
            self.client = self.server.client()
            self.works()

    def test_maps_and_eventfds_are_their_own(self):
        ram = self.map_ram()
        ram.map[0:4] = b"mine"
        self.dev.copy(0, 0x100, 4)
        self.assertEqual(ram.map[0x100:0x104], bytes(4))
        with Event() as irq:
            self.client.trigger(vfu.INTX, 0, [irq.fd])
            self.dev.write(Edu.IRQ_RAISE, 1)
            self.other.alive()
            self.assertEqual(irq.take(), 0)
        self.expect_words = "DMA outside"


class Reset(vfio.VfioTest):
    def test_config_and_chip(self):
        edu = self.edu()
        self.client.write(CONFIG, 0x3c, 11, 1)
        self.client.write(CONFIG, 0x10, 0xfea00000)
        edu.write(Edu.LIVENESS, 1)
        edu.write(Edu.IRQ_RAISE, 1)
        self.client.reset()
        self.assertEqual([self.client.read(CONFIG, at, 1) for at in (4, 0x3c)], [0, 0])
        self.assertEqual(self.client.read(CONFIG, 0x10) & ~15, 0)
        self.assertEqual(self.client.read(CONFIG, 6, 2) & 8, 0)
        edu = self.edu()
        self.assertEqual((edu.read(Edu.LIVENESS), edu.read(Edu.IRQ_STATUS)), (0, 0))

    def test_many(self):
        self.client.send_batch([(Cmd.RESET, b"")] * 200)
        for _ in range(200):
            self.assertEqual(self.client.reply(), b"")
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_maps_stay(self):
        """RAM is the machine's, not the function's."""
        ram = self.map_ram()
        self.client.reset()
        ram.map[0:4] = b"wire"
        self.edu().copy(0, 0x2000, 4)
        self.assertEqual(ram.map[0x2000:0x2004], b"wire")

    def test_transfer_under_way(self):
        """After the reply no byte of an earlier request lands."""
        ram = self.map_ram()
        ram.map[0x1000:0x2000] = b"\xaa" * 4096
        self.edu().dma_start(Edu.BUFFER, 0x1000, 4096, Edu.TO_RAM)
        self.client.reset()
        self.edu().load(0, 4)      # takes longer than what was under way would have
        self.assertEqual(ram.map[0x1000:0x2000], b"\xaa" * 4096)

    def test_negotiated_still(self):
        self.client.reset()
        self.assertEqual(self.client.alive(), vfio.VENDOR)


class Signals(wire.unittest.TestCase):
    def test_before_any_client(self):
        with vfu.Server.start() as server:
            wire.mpq.wait_for(lambda: os.path.exists(server.paths[0]), "the socket")
            server.client().close()
            self.assertEqual((server.finish(), server.log()), (EXIT_CLEAN, ""))

    def test_in_a_session(self):
        """The client sees the end of the stream between two messages."""
        with vfu.Server.start() as server:
            client = server.client()
            client.alive()
            server.proc.terminate()
            self.assertTrue(client.ended())
            self.assertEqual((server.wait(), server.log()), (EXIT_CLEAN, ""))

    def test_with_clients_waiting(self):
        with vfu.Server.start() as server:
            clients = [server.client(), server.silent(), server.silent()]
            server.proc.terminate()
            for client in clients:
                self.assertTrue(client.ended())
            self.assertEqual((server.wait(), server.log()), (EXIT_CLEAN, ""))


class BothProtocols(wire.unittest.TestCase):
    """Devices of one process, each with its own protocol."""

    def setUp(self):
        self.server = vfu.Server.start(["edu-pcie,id=e0"], mpqemu=["edu,id=e1"])
        self.addCleanup(self.end)
        self.client, self.peer = self.server.client(), self.server.peer

    def end(self):
        with self.server:
            self.assertEqual((self.server.finish(), self.server.log()), (EXIT_CLEAN, ""))

    def test_registers(self):
        theirs, ours = Edu(self.peer), vfio.Device(self.client)
        for i in range(50):
            theirs.write(Edu.LIVENESS, i)
            ours.write(Edu.LIVENESS, i + 1000)
            self.assertEqual(theirs.read(Edu.LIVENESS), i ^ 0xffffffff)
            self.assertEqual(ours.read(Edu.LIVENESS), i + 1000 ^ 0xffffffff)

    def test_memory(self):
        """Each reaches its own guest's RAM, at the same addresses."""
        with Ram(vfio.MIB) as first, Ram(vfio.MIB) as second:
            self.client.dma_map(0, vfio.MIB, first.fd)
            self.peer.sync_sysmem([second.region()])
            first.map[0:4], second.map[0:4] = b"vfio", b"mpqe"
            vfio.Device(self.client).copy(0, 0x100, 4)
            edu = Edu(self.peer)
            edu.load(0, 4)
            edu.store(0x100, 4)
            self.assertEqual((first.map[0x100:0x104], second.map[0x100:0x104]),
                             (b"vfio", b"mpqe"))

    def test_interrupts(self):
        with Event() as ours, Event() as theirs, Event() as resample:
            self.client.trigger(vfu.INTX, 0, [ours.fd])
            self.peer.set_irqfd(theirs.fd, resample.fd)
            Edu(self.peer).write(Edu.IRQ_RAISE, 1)
            theirs.wait()
            self.assertEqual(ours.take(), 0)
            vfio.Device(self.client).write(Edu.IRQ_RAISE, 1)
            self.assertEqual(ours.wait(), 1)

    def test_client_goes(self):
        """The other protocol's session goes on, and the next client comes."""
        edu = Edu(self.peer)
        edu.write(Edu.LIVENESS, 7)
        for _ in range(5):
            self.client.close()
            self.client = self.server.client()
            self.assertEqual(edu.read(Edu.LIVENESS), 0xfffffff8)
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_reset_of_one(self):
        edu = Edu(self.peer)
        edu.write(Edu.LIVENESS, 7)
        self.client.reset()
        self.assertEqual(edu.read(Edu.LIVENESS), 0xfffffff8)
        vfio.Device(self.client).write(Edu.LIVENESS, 9)
        self.peer.reset()
        self.assertEqual(vfio.Device(self.client).read(Edu.LIVENESS), 0xfffffff6)

    def test_mpqemu_shows_no_capabilities(self):
        """Over mpqemu QEMU's proxy could not carry them."""
        self.assertEqual(self.peer.cfg_read(6, 2) & 0x10, 0)
        self.assertEqual(self.client.read(CONFIG, 6, 2) & 0x10, 0x10)

    def test_dma_by_message_holds_nobody_up(self):
        """While one client keeps an answer back, the other protocol's device works."""
        self.client.dma_map(0, vfio.MIB)
        vfio.Device(self.client).dma_start(0, Edu.BUFFER, 4, 0)
        ask = self.client.ask()
        edu = Edu(self.peer)
        for i in range(50):
            edu.write(Edu.LIVENESS, i)
            self.assertEqual(edu.read(Edu.LIVENESS), i ^ 0xffffffff)
        self.client.answered(ask, b"late")
        self.assertEqual(self.client.alive(), vfio.VENDOR)


class SameDeviceTwice(wire.unittest.TestCase):
    def test_conventional_over_both(self):
        """edu-pcie over mpqemu is a conventional device: 32 bits, INTx."""
        with vfu.Server.start(["edu,id=e0"], mpqemu=["edu-pcie,id=e1"]) as server:
            client, peer = server.client(), server.peer
            self.assertEqual(client.alive(), vfio.VENDOR)
            self.assertEqual(peer.cfg_read(0, 2), vfio.VENDOR)
            peer.cfg_write(0x10, 0xffffffff, 4)
            self.assertEqual(peer.cfg_read(0x10, 4) & ~8, 0xfff00000)
            self.assertEqual(Edu(peer).read(Edu.ID), 0x010000ed)
            self.assertEqual((server.finish(), server.log()), (EXIT_CLEAN, ""))


if __name__ == "__main__":
    wire.tap.main()
