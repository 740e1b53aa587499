#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""GET_INFO, GET_REGION_INFO, GET_IRQ_INFO: what the devices are said to be, and wrong questions."""
import struct

import vfio
import vfu
import wire
from vfu import (BAR0, BAR2, BAR5, CONFIG, INFO, IRQ_INFO, MSI, MSIX, REGION_INFO, ROM, VGA, Cmd)

EVENTFD, MASKABLE, AUTOMASKED, NORESIZE = (
    vfu.IRQ_EVENTFD, vfu.IRQ_MASKABLE, vfu.IRQ_AUTOMASKED, vfu.IRQ_NORESIZE)
HUGE = (0x7fffffff, 0x80000000, 0xffffffff)


class Device:
    """The same for every device; a class below gives its facts."""

    regions = {}        # index: size; the others are absent
    vectors = {}        # interrupt index: count

    def test_info(self):
        got = self.client.get_info()
        self.assertEqual((got.argsz, got.flags & 3), (16, vfu.INFO_RESET | vfu.INFO_PCI))
        self.assertEqual((got.num_regions, got.num_irqs), (9, 5))

    def test_region_sizes(self):
        sizes = {i: self.client.region_info(i).size for i in range(9)}
        self.assertEqual({i: size for i, size in sizes.items() if size}, self.regions)

    def test_bar_sizes_are_powers_of_two(self):
        """QEMU aborts on any other."""
        for i in range(BAR0, BAR5 + 1):
            size = self.client.region_info(i).size
            self.assertEqual(size & (size - 1), 0)

    def test_region_flags(self):
        """Present: readable, and writable but for a ROM; absent: nothing at all."""
        for i in range(9):
            got = self.client.region_info(i)
            want = 0
            if got.size:
                want = vfu.REGION_R if i == ROM else vfu.REGION_R | vfu.REGION_W
            self.assertEqual((i, got.flags), (i, want))
            self.assertEqual((got.argsz, got.cap_offset, got.tail), (32, 0, b""))

    def test_irq_counts(self):
        counts = {i: self.client.irq_info(i).count for i in (vfu.INTX, MSI, MSIX)}
        self.assertEqual({i: count for i, count in counts.items() if count}, self.vectors)

    def test_error_interrupts(self):
        """At the most one each; QEMU warns of none, and sends its eventfds for one."""
        for index in (vfu.ERR, vfu.REQ):
            self.assertLessEqual(self.client.irq_info(index).count, 1)

    def test_irq_flags(self):
        """INTx masks itself; vectors can be added one by one, which NORESIZE would forbid."""
        for i in self.vectors:
            flags = self.client.irq_info(i).flags
            if i == vfu.INTX:
                self.assertEqual(flags, EVENTFD | MASKABLE | AUTOMASKED)
            else:
                self.assertEqual(flags & (EVENTFD | AUTOMASKED | NORESIZE), EVENTFD)

    def test_bars_say_what_regions_are(self):
        """QEMU takes the type of a BAR from config space and its size from the region."""
        for i in range(BAR0, BAR5 + 1):
            low = self.client.read(CONFIG, 0x10 + 4 * i)
            self.assertEqual(low & ~15, 0)
            if low & 7 == 4:
                self.assertEqual(self.client.region_info(i + 1).size, 0)


class EduPcie(Device, vfio.VfioTest):
    regions = {BAR0: 1 << 20, BAR2: 4096, CONFIG: 4096}
    vectors = {vfu.INTX: 1, MSI: 8, MSIX: 8}

    def test_bar_types(self):
        self.assertEqual(self.client.read(CONFIG, 0x10) & 7, 4)
        self.assertEqual(self.client.read(CONFIG, 0x14), 0)
        self.assertIn(self.client.read(CONFIG, 0x18) & 7, (0, 4))


class EduDevice(Device, vfio.VfioTest):
    devices = (vfio.EDU,)
    regions = {BAR0: 1 << 20, CONFIG: 256}
    vectors = {vfu.INTX: 1, MSI: 1}


class LsiDevice(Device, vfio.VfioTest):
    devices = (vfio.LSI,)
    regions = {0: 256, 1: 1024, 2: 8192, CONFIG: 256}
    vectors = {vfu.INTX: 1}

    def test_io_bar(self):
        self.assertEqual(self.client.read(CONFIG, 0x10) & 3, 1)


class Questions(vfio.VfioTest):
    """Sizes, argsz, indexes and flags of requests."""

    def test_info_argsz_larger(self):
        for argsz in (17, 24, 32, 4096, *HUGE):
            self.assertEqual(self.client.get_info(argsz).argsz, 16)

    def test_info_argsz_smaller(self):
        for argsz in (0, 1, 15):
            self.refused(Cmd.GET_INFO, INFO.pack(argsz, 0, 0, 0))

    def test_info_payload_sizes(self):
        for size in (0, 1, 4, 12, 15):
            self.refused(Cmd.GET_INFO, INFO.pack(16, 0, 0, 0)[:size])

    def test_region_argsz_larger(self):
        for argsz in (33, 40, 64, 4064, *HUGE):
            got = self.client.region_info(CONFIG, argsz)
            self.assertEqual((got.argsz, got.size), (32, 4096))

    def test_region_argsz_smaller(self):
        for argsz in (0, 1, 31):
            self.refused(Cmd.GET_REGION_INFO, REGION_INFO.pack(argsz, 0, CONFIG, 0, 0, 0))

    def test_region_payload_sizes(self):
        for size in (0, 4, 12, 31):
            self.refused(Cmd.GET_REGION_INFO,
                         REGION_INFO.pack(32, 0, CONFIG, 0, 0, 0)[:size])

    def test_region_payload_longer(self):
        """SPDK sends its whole buffer."""
        for room in (33, 48, 4064):
            got = self.client.region_info(CONFIG, room, bytes(room - 32))
            self.assertEqual((got.argsz, got.size), (32, 4096))

    def test_region_index(self):
        for index in (9, 10, 255, *HUGE):
            self.refused(Cmd.GET_REGION_INFO, REGION_INFO.pack(32, 0, index, 0, 0, 0))

    def test_vga_is_absent(self):
        got = self.client.region_info(VGA)
        self.assertEqual((got.size, got.flags), (0, 0))

    def test_irq_argsz_larger(self):
        for argsz in (17, 20, 32, 4096, *HUGE):
            self.assertEqual(self.client.irq_info(MSIX, argsz).count, 8)

    def test_irq_argsz_smaller(self):
        for argsz in (0, 1, 15):
            self.refused(Cmd.GET_IRQ_INFO, IRQ_INFO.pack(argsz, 0, MSIX, 0))

    def test_irq_payload_sizes(self):
        for size in (0, 4, 12, 15):
            self.refused(Cmd.GET_IRQ_INFO, IRQ_INFO.pack(16, 0, MSIX, 0)[:size])

    def test_irq_index(self):
        for index in (5, 6, 255, *HUGE):
            self.refused(Cmd.GET_IRQ_INFO, IRQ_INFO.pack(16, 0, index, 0))

    def test_fd_with_a_question(self):
        """None is taken: closed, whatever the answer is."""
        rows = ((Cmd.GET_INFO, INFO.pack(16, 0, 0, 0)),
                (Cmd.GET_REGION_INFO, REGION_INFO.pack(32, 0, CONFIG, 0, 0, 0)),
                (Cmd.GET_IRQ_INFO, IRQ_INFO.pack(16, 0, MSIX, 0)))
        before = self.device_fds()
        with wire.mpq.Ram(4096) as ram:
            for cmd, payload in rows:
                for count in (1, 2, 16):
                    self.client.errno_of(cmd, payload, [ram.fd] * count)
                    self.assertEqual(self.device_fds(), before)

    def test_posted_questions(self):
        """A question that wants no answer gets none."""
        self.mistakes = True
        for cmd in (Cmd.GET_INFO, Cmd.GET_REGION_INFO, Cmd.GET_IRQ_INFO):
            self.client.send(cmd, vfu.sample(cmd), flags=vfu.NO_REPLY)
            self.client.send(cmd, b"", flags=vfu.NO_REPLY)
        self.assertEqual(self.client.alive(), vfio.VENDOR)
        self.assertTrue(self.client.quiet())

    def test_capabilities_of_config_space(self):
        """PM, MSI, MSI-X and PCIe, each where the list leads."""
        config = self.client.region_read(CONFIG, 0, 256)
        found, at = {}, config[0x34]
        while at:
            self.assertNotIn(at, found.values())
            self.assertTrue(0x40 <= at < 0x100 and not at & 3)
            found[config[at]], at = at, config[at + 1]
        self.assertEqual(set(found), {0x01, 0x05, 0x10, 0x11})
        control, table, pba = struct.unpack_from("<HII", config, found[0x11] + 2)
        self.assertEqual((control & 0x7ff, table, pba), (7, BAR2, 0x800 | BAR2))
        self.assertEqual(config[found[0x05] + 2] >> 1 & 7, 3, "2^3 MSI vectors")
        flr = struct.unpack_from("<I", config, found[0x10] + 4)[0] >> 28 & 1
        self.assertEqual(flr, 1)


class LittleDevices(vfio.VfioTest):
    devices = (vfio.EDU,)

    def test_msi_alone(self):
        config = self.client.region_read(CONFIG, 0, 256)
        self.assertTrue(config[6] & 0x10)
        self.assertEqual(config[config[0x34]], 0x05)
        self.assertEqual(config[config[0x34] + 2] >> 1 & 7, 0, "one vector")

    def test_no_msix(self):
        """QEMU asks only after a capability; an answer with count 0 is one, an error is too."""
        self.assertEqual(self.client.irq_info(MSIX).count, 0)


if __name__ == "__main__":
    wire.tap.main()
