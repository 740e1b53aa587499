# SPDX-License-Identifier: GPL-2.0-or-later
"""What an mpq.Peer offers to a driver (mpq.Edu, lsi.Lsi), over a vfio-user Client.

    chip = lsi.Lsi(Bus(client), ram)

The Bus is the VMM's part: it knows the BARs from what the driver writes, and sends an access that
hits one to its region.  What hits none never reaches the device.
"""
import vfu
from mpq import ALL_ONES

IO_SPACE = 1


class Bus:
    def __init__(self, client, posted=False):
        """@posted: writes to memory BARs wait for no reply, as QEMU's."""
        self.client, self.posted = client, posted
        self.bars = {}          # index: (address, size, is in I/O space)

    def cfg_read(self, addr, length):
        return self.client.read(vfu.CONFIG, addr, length)

    def cfg_write(self, addr, val, length):
        self.client.write(vfu.CONFIG, addr, val, length)
        if 0x10 <= addr < 0x28 and length == 4:
            self._placed((addr - 0x10) // 4, val)
        return 0

    def _placed(self, index, val):
        size = self.client.region_info(index).size
        if size:
            is_io = self.cfg_read(0x10 + 4 * index, 4) & IO_SPACE
            self.bars[index] = (val & ~(3 if is_io else 15), size, bool(is_io))

    def _find(self, addr, size, memory):
        for index, (base, length, is_io) in self.bars.items():
            if base <= addr and addr + size <= base + length and is_io != bool(memory):
                return index, addr - base
        return None

    def bar_read(self, addr, size, memory=1):
        found = self._find(addr, size, memory)
        return self.client.read(*found, size) if found else ALL_ONES

    def bar_write(self, addr, val, size, memory=1):
        found = self._find(addr, size, memory)
        if found:
            self.client.write(*found, val, size, posted=self.posted and bool(memory))
        return 0

    def reset(self):
        self.client.reset()
        self.bars.clear()

    def sync_sysmem(self, regions):
        """The table of mpqemu, as the maps that come to the same."""
        self.client.dma_unmap(0, 0, vfu.UNMAP_ALL)
        for region in regions:
            self.client.dma_map(region.gpa, region.size, region.fd, region.offset)
