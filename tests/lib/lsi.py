# SPDX-License-Identifier: GPL-2.0-or-later
"""The LSI53C895A through a Peer: one SCSI command at a time, by a script in guest RAM.

    chip = Lsi(peer, ram)       # ram: mpq.Ram, with 64 KiB at @base that the chip may have
    chip.run(inquiry(), 0x20000, 36)

A command starts with an IDENTIFY without the right to disconnect, so the chip stays on the bus, and
in the script, until the disk is done.
"""
import struct

import mpq

ISTAT0, DSTAT, DSP, DSPS, DCNTL, SIEN0, DIEN, SIST0, SCID = (
    0x14, 0x0c, 0x2c, 0x30, 0x3b, 0x40, 0x39, 0x42, 0x04)
DIP, SIP, SRST = 0x01, 0x02, 0x40               # ISTAT0
SIR, BUS_FAULT, DFE = 0x04, 0x20, 0x80          # DSTAT; DFE only says that the FIFO is empty
DATA_OUT, DATA_IN, COMMAND, STATUS, MSG_OUT, MSG_IN = 0, 1, 2, 3, 6, 7
SELECT_ATN, WAIT_DISCONNECT, CLEAR_ACK, INT = 0x41000000, 0x48000000, 0x60000048, 0x98080000
NO_DISCONNECT_EXPECTED = 0x7a027f00     # SCNTL2 = SCNTL2 & 0x7f
DONE = 0x600d


def move(phase, count):
    return 0x08000000 | phase << 24 | count


def inquiry(size=36):
    return bytes([0x12, 0, 0, 0, size, 0])


def test_unit_ready():
    return bytes(6)


def request_sense(size=18):
    return bytes([0x03, 0, 0, 0, size, 0])


def read10(lba, blocks):
    return struct.pack(">BBIBHB", 0x28, 0, lba, 0, blocks, 0)


def write10(lba, blocks):
    return struct.pack(">BBIBHB", 0x2a, 0, lba, 0, blocks, 0)


class Lsi:
    IO, REGS, SRAM = 0xc000, 0xe0000000, 0xe0010000

    def __init__(self, peer, ram, base=0x10000):
        """@ram.map must be guest RAM at address 0."""
        self.peer, self.ram, self.base = peer, ram, base
        for bar, address in ((0x10, self.IO), (0x14, self.REGS), (0x18, self.SRAM)):
            peer.cfg_write(bar, address, 4)
        peer.cfg_write(4, 7, 2)
        self.set_up()

    def set_up(self):
        """As a driver does it, after power-on or a reset."""
        for reg, value in ((SCID, 0x47), (DCNTL, 0x01), (SIEN0, 0x8f), (DIEN, 0x7d)):
            self.write(reg, value, 1)

    def read(self, reg, size=1):
        return self.peer.bar_read(self.REGS + reg, size) & (1 << 8 * size) - 1

    def write(self, reg, value, size=1):
        self.peer.bar_write(self.REGS + reg, value, size)

    def soft_reset(self):
        self.write(ISTAT0, SRST)
        self.write(ISTAT0, 0)
        self.set_up()

    def script(self, cdb, data, size, write, target):
        at = self.base + 0x800
        self.ram.map[at:at + 1] = b"\x80"
        self.ram.map[at + 16:at + 16 + len(cdb)] = cdb
        self.ram.map[at + 32:at + 40] = b"\xff" * 8
        yield SELECT_ATN | target << 16, 0
        yield move(MSG_OUT, 1), at
        yield move(COMMAND, len(cdb)), at + 16
        if size:
            yield move(DATA_OUT if write else DATA_IN, size), data
        yield move(STATUS, 1), at + 32
        yield move(MSG_IN, 1), at + 36
        yield NO_DISCONNECT_EXPECTED, 0
        yield CLEAR_ACK, 0
        yield WAIT_DISCONNECT, 0
        yield INT, DONE

    def start(self, cdb, data=0, size=0, write=False, target=0):
        words = [w for pair in self.script(cdb, data, size, write, target) for w in pair]
        code = struct.pack(f"<{len(words)}I", *words)
        self.ram.map[self.base:self.base + len(code)] = code
        self.write(DSP, self.base, 4)

    def finish(self):
        """Waits for the interrupt.  ("done", SCSI status) or (DSTAT, SIST)."""
        mpq.wait_for(lambda: self.read(ISTAT0) & (DIP | SIP), "an interrupt of the chip")
        sist = self.read(SIST0, 2)
        dstat = self.read(DSTAT) & ~DFE
        if dstat == SIR and not sist and self.read(DSPS, 4) == DONE:
            return "done", self.ram.map[self.base + 0x820]
        return dstat, sist

    def run(self, cdb, data=0, size=0, **kwargs):
        self.start(cdb, data, size, **kwargs)
        return self.finish()

    def ready(self, scratch=0x8000):
        """Takes what the disk has to say after power-on."""
        while self.run(test_unit_ready()) != ("done", 0):
            if self.run(request_sense(), scratch, 18) != ("done", 0):
                raise AssertionError("REQUEST SENSE fails")
