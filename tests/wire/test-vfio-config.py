#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Config space as a region: every offset and size, BAR sizing, the ROM probe, FLR."""
import os
import struct
import tempfile

import vfio
import vfu
import vfuclients
import wire
from mpq import Edu, Event
from vfu import BAR0, CONFIG, Cmd, access

CAP_PM, CAP_MSI, CAP_PCIE, CAP_MSIX = 0x01, 0x05, 0x10, 0x11
FLR = 0x8000        # of the PCIe capability's device control


class ConfigTest(vfio.VfioTest):
    def whole(self, size=256):
        return self.client.region_read(CONFIG, 0, size)

    def read(self, at, size=4):
        return self.client.read(CONFIG, at, size)

    def write(self, at, value, size=4):
        self.client.write(CONFIG, at, value, size)

    def cap(self, ident):
        at = vfuclients.capability(self.whole(), ident)
        self.assertIsNotNone(at, f"capability {ident:#x}")
        return at


class Reads(ConfigTest):
    def test_identity(self):
        self.assertEqual(self.read(0, 2), vfio.VENDOR)
        self.assertNotIn(self.read(2, 2), (0, 0xffff))

    def test_every_access(self):
        """Each offset in each size gives what the whole says."""
        whole = self.client.region_read(CONFIG, 0, 4096)
        for size in (1, 2, 4, 8):
            requests = [(Cmd.REGION_READ, access(CONFIG, at, size)) for at in range(0, 257 - size)]
            self.client.send_batch(requests)
            for at in range(len(requests)):
                got = self.client.reply()[16:]
                self.assertEqual(got, whole[at:at + size], f"{size} at {at:#x}")

    def test_any_size(self):
        whole = self.client.region_read(CONFIG, 0, 4096)
        for at, size in ((0, 3), (1, 7), (5, 256), (0, 256), (3, 4093), (0, 4096), (4095, 1),
                         (0x100, 3840), (4088, 8), (4091, 5)):
            self.assertEqual(self.client.region_read(CONFIG, at, size), whole[at:at + size])

    def test_outside(self):
        for at, size in ((4096, 1), (4095, 2), (4093, 4), (0, 4097), (1 << 32, 4), (1 << 63, 4),
                         ((1 << 64) - 1, 1), ((1 << 64) - 4, 8), (1, 4096)):
            self.refused(Cmd.REGION_READ, access(CONFIG, at, size))

    def test_extended_space(self):
        """Readable and, without capabilities of its own, all zero and unmoved by writes."""
        self.assertEqual(self.read(0x100), 0)
        for at in (0x100, 0x104, 0x800, 0xffc):
            self.write(at, 0xffffffff)
        self.assertEqual(self.client.region_read(CONFIG, 0x100, 3840), bytes(3840))


class Little(ConfigTest):
    """A conventional device has 256 bytes and nothing behind them."""

    devices = (vfio.LSI,)

    def test_every_access(self):
        whole = self.whole()
        for size in (1, 2, 4, 8):
            for at in range(0, 257 - size, wire.thin(1, 3)):
                self.assertEqual(self.client.region_read(CONFIG, at, size), whole[at:at + size])

    def test_outside(self):
        for at, size in ((256, 1), (255, 2), (253, 4), (0, 257), (0, 4096), (0x100, 4)):
            self.refused(Cmd.REGION_READ, access(CONFIG, at, size))

    def test_bar_sizing(self):
        masks = []
        for i in range(6):
            self.write(0x10 + 4 * i, 0xffffffff)
            masks.append(self.read(0x10 + 4 * i))
        self.assertEqual(masks, [0xffffff01, 0xfffffc00, 0xffffe000, 0, 0, 0])


class Writes(ConfigTest):
    def test_bytes(self):
        """A register is written in any pieces."""
        for i, byte in enumerate((0x00, 0x00, 0xa0, 0xfe)):
            self.write(0x10 + i, byte, 1)
        self.assertEqual(self.read(0x10) & ~15, 0xfea00000)
        self.write(0x12, 0xfeb0, 2)
        self.assertEqual(self.read(0x10) & ~15, 0xfeb00000)

    def test_unaligned(self):
        """Across registers: interrupt line and what is read-only beside it."""
        before = self.whole()
        self.write(0x3b, 0xffff_55ff)
        after = self.whole()
        self.assertEqual(after[0x3c], 0x55)
        self.assertEqual(after[:0x3c] + after[0x3d:], before[:0x3c] + before[0x3d:])

    def test_8_bytes(self):
        """A 64-bit BAR at once."""
        self.write(0x10, 0x12_fea0_0000, 8)
        self.assertEqual((self.read(0x10) & ~15, self.read(0x14)), (0xfea00000, 0x12))

    def test_every_size(self):
        """Writes of all ones to every place in every size: answered, and identity stays."""
        for size in (1, 2, 4, 8):
            requests = [(Cmd.REGION_WRITE, access(CONFIG, at, size, b"\xff" * size))
                        for at in range(0, 257 - size)
                        if not at <= self.flr_at < at + size]
            self.client.send_batch(requests)
            for cmd, payload in requests:
                self.assertEqual(self.client.reply(), payload[:16])
        self.assertEqual(self.read(0, 2), vfio.VENDOR)

    def setUp(self):
        super().setUp()
        self.flr_at = self.cap(CAP_PCIE) + 9

    def test_read_only(self):
        before = self.whole()
        for at in (0x00, 0x02, 0x08, 0x0a, 0x2c, 0x2e, 0x34, 0x3d):
            self.write(at, before[at] ^ 0xff, 1)
        self.assertEqual(self.whole(), before)

    def test_outside(self):
        before = self.client.region_read(CONFIG, 0, 4096)
        for at, data in ((4096, b"\xff"), (4095, b"\xff" * 2), (1 << 63, b"\xff" * 4),
                         ((1 << 64) - 1, b"\xff"), (1, b"\xff" * 4096)):
            self.refused(Cmd.REGION_WRITE, access(CONFIG, at, len(data), data))
        self.assertEqual(self.client.region_read(CONFIG, 0, 4096), before)

    def test_status_clears_by_ones(self):
        before = self.read(6, 2)
        self.write(6, 0, 2)
        self.assertEqual(self.read(6, 2), before)

    def test_command(self):
        self.write(4, 0x406, 2)
        self.assertEqual(self.read(4, 2), 0x406)
        self.write(4, 0, 2)
        self.assertEqual(self.read(4, 2), 0)


class Sizing(ConfigTest):
    """Cloud Hypervisor asks config space for sizes; QEMU asks for the types only."""

    def sized(self, at, ones=0xffffffff):
        was = self.read(at)
        self.write(at, ones)
        got = self.read(at)
        self.write(at, was)
        self.assertEqual(self.read(at), was)
        return got

    def test_bars(self):
        masks = [self.sized(0x10 + 4 * i) for i in range(6)]
        self.assertEqual((masks[0] & ~8, masks[1]), (0xfff00004, 0xffffffff))
        self.assertEqual(masks[2] & ~15, 0xfffff000)
        if masks[2] & 7 == 4:
            self.assertEqual(masks[3], 0xffffffff)
        self.assertEqual(masks[4:], [0, 0])

    def test_rom_probe(self):
        """As QEMU writes it, and with all ones: there is no ROM."""
        for ones in (0xfffff800, 0xffffffff, 0xfffffffe):
            self.assertEqual(self.sized(0x30, ones), 0)

    def test_sizing_is_no_move(self):
        """Regions do not depend on where BARs are."""
        edu = self.edu()
        self.write(0x10, 0xffffffff)
        self.assertEqual(edu.read(Edu.ID), 0x010000ed)


class NoRom(ConfigTest):
    def test_read(self):
        self.refused(Cmd.REGION_READ, access(vfu.ROM, 0, 4))

    def test_write(self):
        self.refused(Cmd.REGION_WRITE, access(vfu.ROM, 0, 4, bytes(4)))


class Rom(ConfigTest):
    """An option ROM of 60000 bytes: 64 KiB of address space."""

    SIZE = 65536

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mpq-vfu-")
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        path = os.path.join(folder.name, "option.rom")
        self.content = b"\x55\xaa" + os.urandom(59998)
        with open(path, "wb") as file:
            file.write(self.content)
        self.devices = (f"{vfio.EDU_PCIE},romfile={path}",)
        super().setUp()

    def test_region(self):
        got = self.client.region_info(vfu.ROM)
        self.assertEqual((got.size, got.flags), (self.SIZE, vfu.REGION_R))

    def test_read_at_once(self):
        """As QEMU does, which takes no more at once than was promised."""
        promised = self.client.negotiated.capabilities["max_data_xfer_size"]
        self.assertGreaterEqual(promised, self.SIZE)
        got = self.client.region_read(vfu.ROM, 0, self.SIZE)
        self.assertEqual(got, self.content + bytes(self.SIZE - len(self.content)))

    def test_read_in_pieces(self):
        for at, size in ((0, 1), (1, 2), (1000, 4), (4095, 8), (59990, 100), (self.SIZE - 1, 1)):
            want = (self.content + bytes(self.SIZE))[at:at + size]
            self.assertEqual(self.client.region_read(vfu.ROM, at, size), want)

    def test_outside(self):
        for at, size in ((self.SIZE, 1), (self.SIZE - 1, 2), (1, self.SIZE), (1 << 63, 4)):
            self.refused(Cmd.REGION_READ, access(vfu.ROM, at, size))

    def test_write(self):
        """Refused, or without effect."""
        self.client.errno_of(Cmd.REGION_WRITE, access(vfu.ROM, 0, 4, b"oops"))
        self.assertEqual(self.client.region_read(vfu.ROM, 0, 4), self.content[:4])

    def test_probe(self):
        self.write(0x30, 0xfffff800)
        self.assertEqual(self.read(0x30), 0xffff0000)
        self.write(0x30, 0xfeb00001)
        self.assertEqual(self.read(0x30), 0xfeb00001)

    def test_reset_keeps_it(self):
        self.client.reset()
        self.assertEqual(self.read(0x30), 0)
        self.assertEqual(self.client.region_read(vfu.ROM, 0, 64), self.content[:64])


class Flr(ConfigTest):
    """QEMU sends no RESET for it: it is a write to the device."""

    def flr(self, size=2):
        at = self.cap(CAP_PCIE) + 8
        if size == 1:
            self.write(at + 1, FLR >> 8, 1)
        else:
            self.write(at, FLR, size)

    def test_reads_zero(self):
        self.flr()
        self.assertEqual(self.read(self.cap(CAP_PCIE) + 8, 2) & FLR, 0)

    def test_resets(self):
        for size in (1, 2, 4):
            with self.subTest(size=size):
                edu = self.edu()
                edu.write(Edu.LIVENESS, 1)
                self.write(0x10, 0xfea00000)
                self.flr(size)
                self.assertEqual(self.read(4, 2), 0)
                self.assertEqual(self.read(0x10) & ~15, 0)
                self.assertEqual(self.edu().read(Edu.LIVENESS), 0)

    def test_lowers_the_line(self):
        with Event() as irq:
            self.client.trigger(vfu.INTX, 0, [irq.fd])
            edu = self.edu()
            edu.write(Edu.IRQ_RAISE, 1)
            irq.wait()
            self.flr()
            self.assertEqual(self.read(6, 2) & 8, 0)
            self.client.unmask()
            self.assertEqual(irq.take(), 0)

    def test_keeps_maps_and_eventfds(self):
        """They are the machine's, as with RESET."""
        ram = self.map_ram()
        with Event() as irq:
            self.client.trigger(vfu.INTX, 0, [irq.fd])
            self.flr()
            edu = self.edu()
            ram.map[0:4] = b"kept"
            edu.copy(0, 0x1000, 4)
            self.assertEqual(ram.map[0x1000:0x1004], b"kept")
            edu.write(Edu.IRQ_RAISE, 1)
            irq.wait()

    def test_ends_a_transfer(self):
        ram = self.map_ram()
        edu = self.edu()
        ram.map[0:4] = b"keep"
        edu.dma_start(Edu.BUFFER, 0, 4, Edu.TO_RAM)
        self.flr()
        edu = self.edu()
        edu.load(0x1000, 4)
        self.assertEqual(ram.map[0:4], b"keep")


class Capabilities(ConfigTest):
    """Registers of the capabilities, as far as a guest may write them."""

    def test_pm_states(self):
        at = self.cap(CAP_PM)
        for state in (3, 0):
            self.write(at + 4, state, 2)
            self.assertEqual(self.read(at + 4, 2) & 3, state)

    def test_msi_control(self):
        at = self.cap(CAP_MSI)
        self.write(at + 2, self.read(at + 2, 2) | 3 << 4 | 1, 2)
        self.assertEqual(self.read(at + 2, 2) & 0x71, 3 << 4 | 1)

    def test_msix_control(self):
        """Enable and function mask; the table's size is read-only."""
        at = self.cap(CAP_MSIX)
        self.write(at + 2, 0xffff, 2)
        self.assertEqual(self.read(at + 2, 2), 0xc007)
        self.write(at + 2, 0, 2)
        self.assertEqual(self.read(at + 2, 2), 7)

    def test_reset_clears_them(self):
        msi, msix = self.cap(CAP_MSI), self.cap(CAP_MSIX)
        before = self.whole()
        self.write(msix + 2, 0xc000, 2)
        self.write(msi + 4, 0xfee00000)
        self.write(msi + 2, 1, 2)
        self.client.reset()
        self.assertEqual(self.whole(), before)

    def test_lists_are_read_only(self):
        before = self.whole()
        for ident in (CAP_PM, CAP_MSI, CAP_PCIE, CAP_MSIX):
            self.write(self.cap(ident), 0xffff, 2)
        self.assertEqual(self.whole(), before)

    def test_device_control(self):
        """Payload and read request sizes are the guest's."""
        at = self.cap(CAP_PCIE) + 8
        self.write(at, 0x2810, 2)
        self.assertEqual(self.read(at, 2) & FLR, 0)
        self.assertEqual(struct.pack("<H", self.read(at, 2))[1] & 0x70, 0x20)


class Access(ConfigTest):
    def test_bar_access_needs_no_address(self):
        """The VMM has decoded it: an unplaced BAR answers."""
        self.write(4, vfio.MEMORY, 2)
        self.assertEqual(self.client.read(BAR0, Edu.ID), 0x010000ed)


if __name__ == "__main__":
    wire.tap.main()
