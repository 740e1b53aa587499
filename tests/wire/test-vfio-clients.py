#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The stock clients' own sequences, and SCSI through real SCRIPTS over both protocols."""
import contextlib
import os
import tempfile

import vfio
import lsi
import vfu
import wire
from mpq import EXIT_CLEAN, Edu, Event, Ram
from vfio import MIB, PAGE
from vfu import BAR0, BAR2, CONFIG, ROM
from vfubus import Bus
from vfuclients import CloudHypervisor, Qemu, Spdk

DATA = 0x20000          # where the tests' buffers stand in guest RAM
BLOCK = 512


class QemuTest(vfio.VfioTest):
    def first_client(self):
        self.ram, self.irq, self.err = Ram(4 * MIB), Event(), Event()
        for thing in (self.ram, self.irq, self.err):
            self.addCleanup(thing.close)
        client = self.server.silent(Qemu)
        self.version = client.realize(self.ram, self.irq, self.err)
        return client


class QemuPcie(QemuTest):
    def test_version(self):
        """Minor 1 would be "incompatible server version"."""
        self.assertEqual((self.version.major, self.version.minor), (0, 0))
        self.assertLessEqual(self.version.size, 214)

    def test_found(self):
        found = self.client.found
        self.assertEqual(found.info.flags & vfu.INFO_PCI, vfu.INFO_PCI)
        self.assertTrue(8 <= found.info.num_regions <= 100)
        self.assertTrue(3 <= found.info.num_irqs <= 50)
        self.assertEqual(len(found.config), 4096)

    def test_bar_write_is_posted(self):
        edu = self.edu()
        for i in range(20):
            edu.write(Edu.LIVENESS, i, posted=True)
            self.assertEqual(edu.read(Edu.LIVENESS), i ^ 0xffffffff)

    def test_reset_of_the_machine(self):
        for _ in range(3):
            self.edu().write(Edu.IRQ_RAISE, 1)
            self.irq.wait()
            self.client.machine_reset()
        self.assertEqual(self.edu().read(Edu.IRQ_STATUS), 0)
        self.assertEqual(self.err.take(), 0, "QEMU would have stopped the VM")

    def test_intx_of_tcg(self):
        """Level: the next access lets QEMU lower it, and unmask."""
        edu = self.edu()
        edu.write(Edu.IRQ_RAISE, 1, posted=True)
        for _ in range(3):
            self.irq.wait()
            edu.read(Edu.IRQ_STATUS)
            self.client.unmask()
        self.irq.wait()
        edu.write(Edu.IRQ_ACK, 1, posted=True)
        self.client.unmask()
        self.client.alive()
        self.assertEqual(self.irq.take(), 0)

    def test_intx_of_kvm(self):
        edu = self.edu()
        with Event() as irq, Event() as resample:
            for _ in range(2):      # at each change of the routing
                self.client.resample(irq, resample)
            edu.write(Edu.IRQ_RAISE, 1, posted=True)
            for _ in range(3):
                irq.wait()
                resample.signal()
            irq.wait()
            edu.write(Edu.IRQ_ACK, 1, posted=True)
            self.client.alive()     # else the eventfd may overtake the write
            resample.signal()
            wire.mpq.wait_for(lambda: not resample.pending(), "the eventfd to be read")
            self.client.alive()
            self.assertEqual((irq.take(), self.irq.take()), (0, 0))

    def test_msi_then_msix(self):
        """A driver that tries one after the other; INTx in between and behind."""
        events = [Event() for _ in range(8)]
        edu = self.edu()
        self.client.enable_msi(events)
        edu.write(Edu.IRQ_RAISE, 1)
        self.assertEqual(events[0].wait(), 1)
        edu.write(Edu.IRQ_ACK, 1)
        self.client.disable(vfu.MSI)
        self.client.trigger(vfu.INTX, 0, [self.irq.fd])
        self.client.enable_msix(events)
        edu.write(Edu.IRQ_RAISE, 1)
        self.assertEqual(events[0].wait(), 1)
        edu.write(Edu.IRQ_ACK, 1)
        self.client.disable(vfu.MSIX)
        self.client.trigger(vfu.INTX, 0, [self.irq.fd])
        edu.write(Edu.IRQ_RAISE, 1)
        self.assertEqual(self.irq.wait(), 1)
        for event in events:
            event.close()

    def test_rom_when_first_read(self):
        """Index 6, asked for late; there is none."""
        self.assertEqual(self.client.region_info(ROM).size, 0)

    def test_shadow_of_firmware(self):
        self.client.shadow(self.ram)
        self.ram.map[0xc2ffc:0xc3004] = b"shadowed"
        edu = self.edu()
        edu.copy(0xc2ffc, 0x1000, 8)
        self.assertEqual(self.ram.map[0x1000:0x1008], b"shadowed")

    def test_rom_of_the_machine_by_message(self):
        """A range without an fd: the device reads it from QEMU."""
        rom = vfu.Memory(0x20000, 0xc0000)
        rom.map[0x10:0x14] = b"\x55\xaa\x40\xeb"
        self.client.answer = rom
        self.edu().copy(0xc0010, 0x1000, 4)
        self.assertEqual(self.ram.map[0x1000:0x1004], b"\x55\xaa\x40\xeb")

    def test_unplug_and_the_next(self):
        self.client.unplug(self.ram)
        self.client.close()
        self.client = self.server.silent(Qemu)
        self.client.realize(self.ram, self.irq, self.err)
        self.edu().write(Edu.IRQ_RAISE, 1)
        self.irq.wait()

    def test_ids_wrap(self):
        """One counter of 16 bits for all devices of a QEMU."""
        self.client.ident = 0xfff0
        for _ in range(40):
            self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_write_queue(self):
        """1024 single writes, then what has queued up in messages of 200."""
        self.edu()
        one = [(vfu.Cmd.REGION_WRITE, vfu.access(BAR0, Edu.LIVENESS, 4, bytes(4)), vfu.NO_REPLY)]
        many = [(BAR0, Edu.LIVENESS, i.to_bytes(4, "little")) for i in range(200)]
        self.client.send_batch(one * 1024)
        for _ in range(5):
            self.client.write_multi(many, posted=True)
        self.assertEqual(self.client.read(BAR0, Edu.LIVENESS), 199 ^ 0xffffffff)


class QemuConventional(QemuTest):
    devices = (vfio.EDU,)

    def test_found(self):
        self.assertEqual(len(self.client.found.config), 256)
        self.edu().write(Edu.IRQ_RAISE, 1)
        self.irq.wait()


class QemuLsi(QemuTest):
    devices = (vfio.LSI,)

    def test_found(self):
        sizes = {i: region.size for i, region in self.client.found.regions.items() if region.size}
        self.assertEqual(sizes, {0: 256, 1: 1024, 2: 8192, CONFIG: 256})


class CloudHypervisorTest(vfio.VfioTest):
    def first_client(self):
        self.ram = Ram(4 * MIB)
        self.addCleanup(self.ram.close)
        client = self.server.silent(CloudHypervisor)
        self.found, self.version = client.start(self.ram)
        return client

    def test_start(self):
        self.assertEqual(self.version.major, 0)
        self.assertEqual([self.client.irqs[i] for i in range(3)], [1, 8, 8])

    def test_sizes_agree(self):
        """Config space and region info tell the same."""
        regions = {i: region.size for i, region in self.found.regions.items()
                   if region.size and i <= ROM}
        self.assertEqual(self.client.sizes, regions)
        self.assertEqual(set(regions), {BAR0, BAR2})

    def test_msix_at_once(self):
        events = [Event() for _ in range(8)]
        self.client.enable_msix(events)
        edu = self.edu()
        edu.write(Edu.IRQ_RAISE, 1)
        self.assertEqual(events[0].wait(), 1)
        for event in events:
            event.close()

    def test_intx(self):
        edu = self.edu()
        with Event() as irq:
            self.client.enable_intx(irq)
            edu.write(Edu.IRQ_RAISE, 1)
            irq.wait()
            edu.write(Edu.IRQ_ACK, 1)
            self.client.unmask()
            self.client.alive()
            self.assertEqual(irq.take(), 0)

    def test_dma_and_unmap(self):
        self.ram.map[0:4] = b"chyp"
        self.edu().copy(0, 0x100, 4)
        self.assertEqual(self.ram.map[0x100:0x104], b"chyp")
        self.client.dma_unmap(0, self.ram.size)

    def test_never_asked(self):
        """It answers nothing, so with shared memory nothing may be asked."""
        self.edu().copy(0, 0x1000, 4096)
        self.assertFalse(self.client.asked)
        self.assertTrue(self.client.quiet(0.02))


class SpdkTest(vfio.VfioTest):
    def first_client(self):
        self.ram = Ram(4 * MIB)
        self.addCleanup(self.ram.close)
        client = self.server.silent(Spdk)
        self.found, self.version = client.start(self.ram)
        return client

    def test_start(self):
        self.assertEqual((self.version.major, self.version.minor), (0, 0))
        self.assertLessEqual(self.version.size, 4096)
        self.assertEqual(self.found.regions[CONFIG].size, 4096)

    def test_dma(self):
        self.ram.map[0:4] = b"spdk"
        self.edu().copy(0, 0x100, 4)
        self.assertEqual(self.ram.map[0x100:0x104], b"spdk")

    def test_unmap_with_fd(self):
        before = self.device_fds()
        self.client.unmap(self.ram)
        self.assertEqual(self.device_fds(), before)


def scsi_options(path):
    """A raw disk at target 0, one without a file at target 1."""
    return ["-drive", f"id=d0,file={path},if=none,format=raw", "-device",
            "scsi-hd,drive=d0,scsi-id=0", "-drive", "id=d1,driver=null-co,size=1M,if=none",
            "-device", "scsi-hd,drive=d1,scsi-id=1"]


class Scsi:
    """INQUIRY, WRITE and READ by SCRIPTS; classes below say over what."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mpq-vfu-")
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "disk.img")
        with open(self.path, "wb") as file:
            file.write(bytes(range(256)) * 4096)
        os.chmod(folder.name, 0o755)
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.end)
        self.chip = self.connect()
        self.chip.ready()

    def end(self):
        with self.stack:
            status, log = self.server.finish(), self.server.log()
        self.assertEqual((status, log), (EXIT_CLEAN, ""))

    def good(self, cdb, size=0, **kwargs):
        self.assertEqual(self.chip.run(cdb, DATA, size, **kwargs), ("done", 0))
        return bytes(self.chip.ram.map[DATA:DATA + size])

    def test_inquiry(self):
        got = self.good(lsi.inquiry(), 36)
        self.assertEqual((got[0], got[8:12]), (0, b"QEMU"))

    def test_read(self):
        for lba, blocks in ((0, 1), (3, 4), (2040, 8)):
            want = (bytes(range(256)) * 2) * blocks
            self.assertEqual(self.good(lsi.read10(lba, blocks), blocks * BLOCK), want)

    def test_write_and_read_back(self):
        data = os.urandom(8 * BLOCK)
        self.chip.ram.map[DATA:DATA + len(data)] = data
        self.good(lsi.write10(16, 8), len(data), write=True)
        self.chip.ram.map[DATA:DATA + len(data)] = bytes(len(data))
        self.assertEqual(self.good(lsi.read10(16, 8), len(data)), data)
        with open(self.path, "rb") as file:
            file.seek(16 * BLOCK)
            self.assertEqual(file.read(len(data)), data)

    def test_second_disk(self):
        while self.chip.run(lsi.test_unit_ready(), target=1) != ("done", 0):
            self.good(lsi.request_sense(), 18, target=1)
        self.chip.ram.map[DATA:DATA + BLOCK] = b"\xff" * BLOCK
        self.assertEqual(self.good(lsi.read10(0, 1), BLOCK, target=1), bytes(BLOCK))

    def test_nobody_at_the_target(self):
        """Selection times out: an interrupt of the chip, not a hang."""
        self.assertNotEqual(self.chip.run(lsi.inquiry(), DATA, 36, target=5)[0], "done")

    def test_past_the_end(self):
        got = self.chip.run(lsi.read10(1 << 20, 1), DATA, BLOCK)
        self.assertNotEqual(got, ("done", 0))
        self.chip.soft_reset()

    def test_reset_under_way(self):
        for _ in range(3):
            self.chip.start(lsi.read10(0, 8), DATA, 8 * BLOCK)
            self.chip.peer.reset()
            self.chip = self.again()
            self.chip.ready()
        self.assertEqual(self.good(lsi.read10(0, 1), BLOCK), bytes(range(256)) * 2)


class ScsiOverMpqemu(Scsi, wire.unittest.TestCase):
    def connect(self):
        ram = self.stack.enter_context(Ram(MIB))
        self.server = self.stack.enter_context(
            wire.mpq.Remote.start([vfio.LSI], scsi_options(self.path)))
        self.server.peer.sync_sysmem([ram.region()])
        self.memory = ram
        return self.again()

    def again(self):
        return lsi.Lsi(self.server.peer, self.memory)


class ScsiOverVfioUser(Scsi, wire.unittest.TestCase):
    posted = False

    def connect(self):
        self.memory = self.stack.enter_context(Ram(MIB))
        self.server = self.stack.enter_context(
            vfu.Server.start([vfio.LSI], scsi_options(self.path)))
        self.client = self.server.client()
        self.client.dma_map(0, MIB, self.memory.fd)
        return self.again()

    def again(self):
        return lsi.Lsi(Bus(self.client, self.posted), self.memory)


class ScsiPosted(ScsiOverVfioUser):
    """Register writes as QEMU sends them."""

    posted = True


class Scattered:
    """Guest RAM whose pages stand anywhere in its file: what a vIOMMU makes of it."""

    def __init__(self, ram):
        self.ram, self.map = ram, self
        pages = ram.size // PAGE
        self.place = [(i * 7 + 3) % pages * PAGE for i in range(pages)]     # pages: a power of two

    def _pieces(self, start, stop):
        """[(from, to)] in the file, no more than a page each."""
        while start < stop:
            end = min(stop, (start // PAGE + 1) * PAGE)
            at = self.place[start // PAGE] + start % PAGE
            yield at, at + end - start
            start = end

    def __getitem__(self, key):
        if isinstance(key, slice):
            return b"".join(self.ram.map[a:b] for a, b in self._pieces(key.start, key.stop))
        return self[key:key + 1][0]

    def __setitem__(self, key, data):
        for a, b in self._pieces(key.start, key.stop):
            self.ram.map[a:b], data = data[:b - a], data[b - a:]

    def share(self, client):
        """A map a page, dozens at a time."""
        for first in range(0, len(self.place), 32):
            for i in range(first, first + 32):
                client.send(vfu.Cmd.DMA_MAP, vfu.MAP.pack(32, 3, self.place[i], i * PAGE, PAGE),
                            [self.ram.fd])
            for _ in range(32):
                client.reply()


class ScsiUnderIommu(ScsiOverVfioUser):
    """Buffers and scripts over many maps of 4 KiB."""

    def connect(self):
        self.server = self.stack.enter_context(
            vfu.Server.start([vfio.LSI], scsi_options(self.path)))
        self.client = self.server.client()
        self.memory = Scattered(self.stack.enter_context(Ram(MIB)))
        self.memory.share(self.client)
        return self.again()

    def test_read(self):
        """Across pages, from the middle of one."""
        super().test_read()
        want = bytes(range(256)) * 64
        at = DATA + PAGE - 100
        self.assertEqual(self.chip.run(lsi.read10(0, 32), at, len(want)), ("done", 0))
        self.assertEqual(self.memory[at:at + len(want)], want)

    def test_unmapped_under_way(self):
        """The unmap of everything is answered; the script comes upon nothing, later on a map."""
        self.chip.start(lsi.read10(0, 32), DATA, 32 * BLOCK)
        self.client.dma_unmap(0, 0xffffffff01100000)
        self.chip.soft_reset()
        self.memory.share(self.client)
        self.chip.ready()
        self.assertEqual(self.good(lsi.read10(0, 1), BLOCK), bytes(range(256)) * 2)

    def end(self):
        with self.stack:
            status, log = self.server.finish(), self.server.log()
        self.assertEqual(status, EXIT_CLEAN, log)
        for line in log.splitlines():
            self.assertIn("bus fault", line)


class ScsiByMessage(ScsiOverVfioUser):
    """Every byte of script, command and data asks the client."""

    def connect(self):
        self.server = self.stack.enter_context(
            vfu.Server.start([vfio.LSI], scsi_options(self.path)))
        self.client = self.server.client()
        self.memory = vfu.Memory(MIB)
        self.memory.share(self.client)
        return self.again()


class ScsiBySmallMessages(ScsiByMessage):
    def connect(self):
        self.server = self.stack.enter_context(
            vfu.Server.start([vfio.LSI], scsi_options(self.path)))
        self.client = self.server.silent()
        self.client.version(text=vfu.capabilities(max_data_xfer_size=64))
        self.memory = vfu.Memory(MIB)
        self.memory.share(self.client)
        return self.again()


class ScsiAnswersHeldBack(ScsiByMessage):
    """The chip's script waits for guest memory, and nothing else does."""

    test_inquiry = test_read = test_write_and_read_back = test_second_disk = None
    test_nobody_at_the_target = test_past_the_end = test_reset_under_way = None

    def held(self, cdb=lsi.inquiry(), size=36):
        self.client.answer = None
        self.chip.start(cdb, DATA, size)
        return self.client.ask()

    def works(self):
        self.client.answer = self.memory
        self.chip.ready()
        self.assertEqual(self.good(lsi.read10(0, 1), BLOCK), bytes(range(256)) * 2)

    def test_registers(self):
        ask = self.held()
        for i in range(50):
            self.chip.write(0x34, i)
            self.assertEqual(self.chip.read(0x34), i)
        self.memory(self.client, ask)
        self.client.answer = self.memory
        self.assertEqual(self.chip.finish(), ("done", 0))

    def test_each_in_turn(self):
        """With registers read between each request and its answer."""
        ask = self.held()
        while True:
            self.chip.read(0x34)
            self.memory(self.client, ask)
            if not self.client.readable(0.05):
                break
            ask = self.client.ask()
        self.client.answer = self.memory
        self.assertEqual(self.chip.finish(), ("done", 0))

    def test_soft_reset(self):
        ask = self.held()
        self.chip.soft_reset()
        self.memory(self.client, ask)
        self.works()

    def test_never_answered(self):
        """Requests of hundreds of scripts that were given up: none is a burden for ever."""
        for _ in range(wire.thin(300, 40)):
            self.held()
            self.chip.soft_reset()
        self.works()

    def test_never_answered_then_late(self):
        asks = []
        for _ in range(wire.thin(100, 20)):
            asks.append(self.held())
            self.chip.soft_reset()
        for ask in asks:
            self.memory(self.client, ask)
        self.works()

    def test_refused(self):
        """A bus fault of the chip."""
        self.client.refuse(self.held())
        self.client.answer = self.memory
        dstat, _ = self.chip.finish()
        self.assertEqual(dstat & lsi.BUS_FAULT, lsi.BUS_FAULT)
        self.chip.soft_reset()
        self.works()

    def end(self):
        with self.stack:
            status, log = self.server.finish(), self.server.log()
        self.assertEqual(status, EXIT_CLEAN, log)
        for line in log.splitlines():
            self.assertIn("bus fault", line)


if __name__ == "__main__":
    wire.tap.main()
