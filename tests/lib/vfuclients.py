# SPDX-License-Identifier: GPL-2.0-or-later
"""What stock clients say, message by message, as far as a server can tell them apart.

QEMU 11.1.3 was watched on the wire; Cloud Hypervisor and SPDK were read.
"""
import struct
from collections import namedtuple

import vfu
from vfu import (BAR0, BAR5, CONFIG, DATA_EVENTFD, DATA_NONE, ERR, INTX, MAP_READ, MAP_WRITE, MSIX,
                 ROM, TRIGGER, UNMASK, Client, Cmd)

COMMAND_REGISTER, STATUS_REGISTER, BAR_REGISTERS, ROM_REGISTER, CAP_POINTER, PIN = (
    0x04, 0x06, 0x10, 0x30, 0x34, 0x3d)
CAP_MSI, CAP_MSIX = 0x05, 0x11
MEMORY_AND_MASTER = 6

Found = namedtuple("Found", "info regions config")


def capability(config, ident):
    """The offset of a capability in bytes of config space, or None."""
    at, seen = config[CAP_POINTER] & ~3, set()
    if not config[STATUS_REGISTER] & 0x10:
        return None
    while at >= 0x40 and at not in seen:
        if config[at] == ident:
            return at
        seen.add(at)
        at = config[at + 1] & ~3
    return None


class Qemu(Client):
    """vfio-user-pci of QEMU 11.1.3 on the pc machine."""

    TEXT = ('{"capabilities": {"pgsizes": 4096, "max_msg_fds": 16, "max_dma_maps": 65535, '
            '"max_data_xfer_size": 1048576, "migration": {"max_bitmap_size": 268435456, '
            '"pgsize": 4096}, "write_multiple": true}}')
    LOW, HIGH = 0xa0000, 0x100000       # RAM ends and begins again
    ROMS = ((0xc0000, 0x20000), (0xe0000, 0x20000), (0xfffc0000, 0x40000))

    def realize(self, ram, irq, err):
        """
        All that QEMU sends when the device is created.  @ram: mpq.Ram of more than 1 MiB;
        @irq, @err: mpq.Event for INTx and for errors.
        """
        version = self.version()
        info = self._maps_and_info(ram)
        regions = {i: self.ask_region(i) for i in (*range(BAR0, BAR5 + 1), CONFIG)}
        self.has_err = self.irq_info(ERR).count
        config = self.region_read(CONFIG, 0, regions[CONFIG].size)
        self._probe(config, regions)
        self.found, self.irq = Found(info, regions, config), irq
        if config[PIN]:
            self.trigger(INTX, 0, [irq.fd])
        if self.has_err:
            self.trigger(ERR, 0, [err.fd])
        self.machine_reset()
        return version

    def _maps_and_info(self, ram):
        """Five maps and GET_INFO without a wait between them."""
        for iova, size in ((0, self.LOW), (self.HIGH, ram.size - self.HIGH)):
            self.send(Cmd.DMA_MAP, vfu.MAP.pack(32, MAP_READ | MAP_WRITE, iova, iova, size),
                      [ram.fd])
        for iova, size in self.ROMS:
            self.send(Cmd.DMA_MAP, vfu.MAP.pack(32, MAP_READ, 0, iova, size))
        self.send(Cmd.GET_INFO, vfu.INFO.pack(16, 0, 0, 0))
        for _ in range(5):
            if self.reply():
                raise AssertionError("DMA_MAP has a payload in its reply")
        return vfu.INFO.unpack(self.reply())

    def ask_region(self, index):
        """Again with what the reply asks for, when that is more."""
        got = self.region_info(index)
        return self.region_info(index, got.argsz) if got.argsz > 32 else got

    def _probe(self, config, regions):
        was = self.read(CONFIG, ROM_REGISTER)
        self.write(CONFIG, ROM_REGISTER, 0xfffff800)
        self.read(CONFIG, ROM_REGISTER)
        self.write(CONFIG, ROM_REGISTER, was)
        for i in range(BAR0, BAR5 + 1):
            if regions[i].size:
                self.read(CONFIG, BAR_REGISTERS + 4 * i)
        msix, msi = capability(config, CAP_MSIX), capability(config, CAP_MSI)
        if msix:
            for offset, size in ((2, 2), (4, 4), (8, 4)):
                self.read(CONFIG, msix + offset, size)
            self.irq_info(MSIX)
        if msi:
            self.read(CONFIG, msi + 2, 2)
        self.read(CONFIG, PIN, 1)

    def machine_reset(self):
        """At start-up and at every reset of the machine."""
        self.disable(INTX)
        self.write(CONFIG, COMMAND_REGISTER, 0, 2)
        if self.found.info.flags & vfu.INFO_RESET:
            self.reset()
        if self.found.config[PIN]:
            self.trigger(INTX, 0, [self.irq.fd])
        for i in range(6):
            self.write(CONFIG, BAR_REGISTERS + 4 * i, 0)

    def shadow(self, ram):
        """Firmware makes ROM of its shadow into RAM: unmaps and maps in one go, in order."""
        batches = [(Cmd.DMA_UNMAP, vfu.UNMAP.pack(24, 0, iova, size), []) for iova, size
                   in self.ROMS[:2]]
        batches.append((Cmd.DMA_UNMAP, vfu.UNMAP.pack(24, 0, self.HIGH, ram.size - self.HIGH), []))
        for iova, size in ((0xc0000, 0x3000), (0xc3000, ram.size - 0xc3000)):
            batches.append((Cmd.DMA_MAP, vfu.MAP.pack(32, MAP_READ | MAP_WRITE, iova, iova, size),
                            [ram.fd]))
        for cmd, payload, fds in batches:
            self.send(cmd, payload, fds)
        for cmd, payload, _ in batches:
            if self.reply() != (payload if cmd == Cmd.DMA_UNMAP else b""):
                raise AssertionError(f"the reply to {cmd.name}")

    def resample(self, irq, resample):
        """INTx under KVM: a new eventfd, unmasked by another one."""
        self.trigger(INTX, 0, [irq.fd])
        self.set_irqs(INTX, DATA_NONE | vfu.MASK, 0, 1)
        self.set_irqs(INTX, DATA_EVENTFD | UNMASK, 0, 1, [resample.fd])
        self.unmask()

    def enable_msi(self, events):
        self.disable(INTX)
        self.trigger(vfu.MSI, 0, [event.fd for event in events])

    def enable_msix(self, events):
        """Enabled without any vector, then vector by vector."""
        self.disable(INTX)
        self.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 1)
        for i, event in enumerate(events):
            self.trigger(MSIX, i, [event.fd])

    def unplug(self, ram):
        """device_del, but for the end of the connection."""
        self.write(CONFIG, COMMAND_REGISTER, 0, 2)
        self.disable(INTX)
        if self.has_err:
            self.trigger(ERR, 0, [])
        maps = ((0, self.LOW), (self.HIGH, ram.size - self.HIGH), *self.ROMS)
        for iova, size in maps:
            self.dma_unmap(iova, size)


class CloudHypervisor(Client):
    """One request at a time, replies of fixed sizes, no answers to the server."""

    TEXT = ('{"capabilities":{"max_msg_fds":1,"max_data_xfer_size":1048576,'
            '"migration":{"pgsize":4096}}}')
    MSIX_CHUNK = 16

    def start(self, ram):
        version = self.version(0, 1)
        if "max_data_xfer_size" not in version.capabilities:
            raise AssertionError(f"no capabilities in the reply: {version}")
        info = self.get_info(32)        # it counts the header
        regions = {}
        for i in range(info.num_regions):
            got = self.region_info(i)
            regions[i] = self.region_info(i, got.argsz) if got.argsz > 32 else got
        self.dma_map(0, ram.size, ram.fd)
        self.irqs = {i: self.irq_info(i).count for i in range(info.num_irqs)}
        self.sizes = self._bar_sizes()
        if not info.flags & vfu.INFO_RESET:
            self.reset()
        return Found(info, regions, self.region_read(CONFIG, 0, 4)), version

    def _bar_sizes(self):
        """{index: size} as config space tells them; the ROM too."""
        sizes, i = {}, BAR0
        while i <= BAR5:
            low = self._sized(BAR_REGISTERS + 4 * i)
            if low & 7 == 4:
                high = self._sized(BAR_REGISTERS + 4 * i + 4)
                sizes[i] = -(high << 32 | low & ~15) & (1 << 64) - 1
                i += 1
            elif low:
                sizes[i] = -(low & ~(3 if low & 1 else 15)) & 0xffffffff
            i += 1
        rom = self._sized(ROM_REGISTER, 0xfffff800) & ~0x7ff
        if rom:
            sizes[ROM] = -rom & 0xffffffff
        return sizes

    def _sized(self, at, ones=0xffffffff):
        was = self.read(CONFIG, at)
        self.write(CONFIG, at, ones)
        got = self.read(CONFIG, at)
        self.write(CONFIG, at, was)
        return got

    def enable_msix(self, events):
        """All vectors at once, more fds a message than it says that it takes itself."""
        for start in range(0, len(events), self.MSIX_CHUNK):
            chunk = events[start:start + self.MSIX_CHUNK]
            self.trigger(MSIX, start, [event.fd for event in chunk])

    def enable_intx(self, event):
        self.trigger(INTX, 0, [event.fd])
        self.unmask()


class Spdk(Client):
    """No JSON, every id 0, room for 4096 bytes, an fd with DMA_UNMAP; no interrupts, no reset."""

    REPLY_ROOM = 4096

    def new_ident(self):
        return 0

    def version(self, major=0, minor=0, text=None):
        return super().version(major, minor, text)

    def start(self, ram):
        version = self.version()
        info = self.get_info()
        room = self.REPLY_ROOM - 16 - 16
        padding = bytes(room - 32)
        regions = {i: self.region_info(i, room, padding) for i in range(info.num_regions)}
        self.dma_map(0, ram.size, ram.fd)
        config = self.region_read(CONFIG, 0, 256)
        command = struct.unpack_from("<H", config, COMMAND_REGISTER)[0]
        self.write(CONFIG, COMMAND_REGISTER, command | MEMORY_AND_MASTER, 2)
        return Found(info, regions, config), version

    def unmap(self, ram):
        payload = vfu.UNMAP.pack(24, 0, 0, ram.size)
        got = self.call(Cmd.DMA_UNMAP, payload, [ram.fd])
        if got != vfu.UNMAP.unpack(payload):
            raise AssertionError("the reply to DMA_UNMAP does not repeat the request")
