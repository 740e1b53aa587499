# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver of the LSI chip over the wire: one SCSI command at a time, which keeps the bus."""
import struct

import mpq

IO, REGS, SRAM = 0xc000, 0xe0000000, 0xe0010000
SCID, DSTAT, ISTAT0, DSP, DSPS, DIEN, DCNTL, SIEN0 = 4, 0x0c, 0x14, 0x2c, 0x30, 0x39, 0x3b, 0x40
SCRIPT, MESSAGE, CDB, STATUS, DATA = 0x1000, 0x1800, 0x1840, 0x1880, 0x10000
DATA_OUT, DATA_IN, COMMAND, STATUS_PHASE, MSG_OUT, MSG_IN = 0, 1, 2, 3, 6, 7
JUMP, INT, CLEAR_ACK_ATN, WAIT_DISC = 0x80080000, 0x98080000, 0x60000048, 0x48000000
NO_UNEXPECTED_DISC = 0x7c027f00     # SCNTL2 &= 0x7f
DONE = 1


def move(phase, count):
    return 0x08000000 | phase << 24 | count


def on(insn, phase, first=False):
    return insn | (0x30000 if first else 0x20000) | phase << 24


class Disk:
    """A disk at target 0, seen by a guest of this RAM."""

    def __init__(self, peer, ram, target=0):
        self.peer, self.ram, self.target = peer, ram, target
        for at, value, size in ((0x10, IO, 4), (0x14, REGS, 4), (0x18, SRAM, 4), (4, 7, 2)):
            peer.cfg_write(at, value, size)
        for at, value, size in ((SCID, 0x47, 1), (DCNTL, 1, 1), (SIEN0, 0x0486, 2),
                                (DIEN, 0x7d, 1)):
            self.write(at, value, size)

    def read(self, at, size):
        return self.peer.bar_read(REGS + at, size)

    def write(self, at, value, size):
        self.peer.bar_write(REGS + at, value, size)

    def script(self, cdb, count):
        """As in "SCSI SCRIPTS" of the chip's manual: by phase, until the target lets go."""
        start = SCRIPT + 16
        place = {name: start + 8 * i for i, name in enumerate(
            ("dispatch", "out?", "in?", "status?", "command", "again", "out", "again", "in",
             "again", "status", "again", "message", "bus", "clear", "wait", "end"))}
        words = [0x41000000 | self.target << 16, 0, move(MSG_OUT, 1), MESSAGE,
                 on(JUMP, MSG_IN, True), place["message"], on(JUMP, DATA_OUT), place["out"],
                 on(JUMP, DATA_IN), place["in"], on(JUMP, STATUS_PHASE), place["status"],
                 move(COMMAND, len(cdb)), CDB, JUMP, place["dispatch"],
                 move(DATA_OUT, count), DATA, JUMP, place["dispatch"],
                 move(DATA_IN, count), DATA, JUMP, place["dispatch"],
                 move(STATUS_PHASE, 1), STATUS, JUMP, place["dispatch"],
                 move(MSG_IN, 1), MESSAGE + 16, NO_UNEXPECTED_DISC, 0, CLEAR_ACK_ATN, 0,
                 WAIT_DISC, 0, INT, DONE]
        return struct.pack(f"<{len(words)}I", *words)

    def start(self, cdb, count=0, data=b""):
        cdb = bytes(cdb)
        script = self.script(cdb, max(count, len(data)))
        for at, text in ((SCRIPT, script), (MESSAGE, b"\x80"), (CDB, cdb), (STATUS, b"\xff"),
                         (DATA, data)):
            self.ram.map[at:at + len(text)] = text
        self.write(DSP, SCRIPT, 4)

    def command(self, cdb, count=0, data=b""):
        """(status, data that came in)"""
        self.start(cdb, count, data)
        mpq.wait_for(lambda: self.read(ISTAT0, 1) & 3, "the end of a SCSI command")
        dstat, dsps = self.read(DSTAT, 1), self.read(DSPS, 4)
        if not dstat & 4 or dsps != DONE:
            raise AssertionError(f"DSTAT {dstat:#x}, DSPS {dsps:#x} instead of the script's end")
        return self.ram.map[STATUS], self.ram.map[DATA:DATA + count]

    def must(self, cdb, count=0, data=b""):
        status, came = self.command(cdb, count, data)
        if status:
            raise AssertionError(f"command {bytes(cdb).hex()}: status {status:#x}")
        return came

    def ready(self):
        """Takes the unit attention of the start."""
        for _ in range(3):
            if self.command(bytes(6))[0] == 0:
                return
            self.command([3, 0, 0, 0, 18, 0], 18)
        raise AssertionError("the unit does not get ready")

    def rw(self, opcode, lba, blocks, data=b"", flags=0):
        """READ(10) and WRITE(10), and what is built like them."""
        cdb = struct.pack(">BBIBHB", opcode, flags, lba, 0, blocks, 0)
        return self.must(cdb, 0 if data else blocks * 512, data)

    def read_blocks(self, lba, blocks):
        return self.rw(0x28, lba, blocks)

    def write_blocks(self, lba, data, fua=False):
        self.rw(0x2a, lba, len(data) // 512, data, 8 if fua else 0)

    def flush(self):
        self.must([0x35] + [0] * 9)

    def unmap(self, lba, blocks):
        data = struct.pack(">HHIQII", 22, 16, 0, lba, blocks, 0)
        self.must([0x42, 0, 0, 0, 0, 0, 0, 0, len(data), 0], 0, data)

    def write_same(self, lba, blocks, data, unmap=False):
        """WRITE SAME(16)"""
        self.must(struct.pack(">BBQIBB", 0x93, 8 if unmap else 0, lba, blocks, 0, 0), 0, data)

    def lba_status(self, lba):
        """(first, count, 0 for mapped or 1 for not): the first descriptor of GET LBA STATUS"""
        came = self.must(struct.pack(">BBQIBB", 0x9e, 0x12, lba, 24, 0, 0), 24)
        return struct.unpack_from(">QIB", came, 8)
