# SPDX-License-Identifier: GPL-2.0-or-later
"""Inputs by hand: one at least for each class of bug that devices of this kind have had.

seeds(target) gives {name: bytes}.  The operations are numbered as in the targets' ops tables.
"""
import ast
import pathlib
import re
import shlex
import struct

REGS, SRAM, AT = 0xe0000000, 0xe0010000, 0x00100000    # rig.h: RIG_REGS, RIG_SRAM, CMD_BASE(0)
MEM = 0x00400000                                       # CMD_DATA(0)
DATA_OUT, DATA_IN, COMMAND, STATUS, MSG_OUT, MSG_IN = 0, 1, 2, 3, 6, 7


def u16(value):
    return struct.pack("<H", value & 0xffff)


def u32(value):
    return struct.pack("<I", value & 0xffffffff)


def u64(value):
    return struct.pack("<Q", value & 0xffffffffffffffff)


# ---- SCRIPTS (chapter 5 of the chip's manual) ----

def move(phase, length, addr):
    return u32(0x08000000 | phase << 24 | length) + u32(addr)


def chained(phase, length, addr):
    return u32(phase << 24 | length) + u32(addr)


def select(target):
    return u32(0x41000000 | target << 16) + u32(0)


def copy(length, src, dst):
    return u32(0xc0000000 | length) + u32(src) + u32(dst)


def jump(addr, when=0x00080000):
    return u32(0x80000000 | when) + u32(addr)


def interrupt(code):
    return u32(0x98080000) + u32(code)


def load(reg, length, addr):
    return u32(0xe1000000 | reg << 16 | length) + u32(addr)


def store(reg, length, addr):
    return u32(0xe0000000 | reg << 16 | length) + u32(addr)


WAIT_DISC, WAIT_RESEL = u32(0x48000000) + u32(0), u32(0x50000000) + u32(AT)
SET_ATN, CLEAR_ACK = u32(0x58000008) + u32(0), u32(0x60000040) + u32(0)
NO_UDC = u32(0x7c027f00) + u32(0)           # SCNTL2 &= 7fh: a disconnection is expected


def script(code, data=b"", slices=8, how=4, ccntl1=0, dmode=0):
    """For lsi_scripts: the words, and what the guest has 1 KiB behind their start."""
    assert len(code) <= 1024
    return bytes([slices - 1, how, ccntl1, dmode]) + code.ljust(1024, b"\0") + data


def whole_command(cdb, length, phase, messages=b"\xc0"):
    """Selection, messages, command, data, status, COMMAND COMPLETE, bus free."""
    data = messages.ljust(16, b"\0") + cdb.ljust(16, b"\0")
    code = select(0) + move(MSG_OUT, len(messages), AT + 1024)
    code += move(COMMAND, len(cdb), AT + 1040)
    if length:
        code += move(phase, length, MEM)
    code += move(STATUS, 1, MEM + 0x3000) + move(MSG_IN, 1, MEM + 0x3001) + NO_UDC
    return script(code + CLEAR_ACK + WAIT_DISC + interrupt(1), data)


INQUIRY = bytes([0x12, 0, 0, 0, 36, 0])
READ = bytes([0x28, 0, 0, 0, 0, 3, 0, 0, 4, 0])
WRITE = bytes([0x2a, 0, 0, 0, 0, 3, 0, 0, 4, 0])
TWO_ENDS = b"\xc0\x20\x01\x0d\x06\x0c"


def lsi_scripts():
    connect = select(0) + move(MSG_OUT, 1, AT + 1024) + move(COMMAND, 6, AT + 1040)
    leave = select(0) + move(MSG_OUT, 3, AT + 1024) + move(COMMAND, 10, AT + 1040)
    gone = leave + move(MSG_IN, 1, MEM) + CLEAR_ACK + move(MSG_IN, 1, MEM) + NO_UDC + CLEAR_ACK \
        + WAIT_DISC
    back = gone + u32(0x50000000) + u32(AT) + move(MSG_IN, 3, MEM) + SET_ATN + CLEAR_ACK
    tagged = b"\xc0\x20\x05".ljust(16, b"\0") + READ.ljust(16, b"\0")
    late = dict(how=1 | 4 | 8, slices=16)
    nexus = b"\xc0".ljust(16, b"\0") + INQUIRY
    return {
        "inquiry": whole_command(INQUIRY, 36, DATA_IN),
        "read": whole_command(READ, 2048, DATA_IN, b"\x80\x20\x05"),
        "write": whole_command(WRITE, 2048, DATA_OUT, b"\x80\x20\x05"),
        "negotiate": whole_command(INQUIRY, 36, DATA_IN,
                                   b"\xc0\x01\x03\x01\x0a\x1f\x01\x02\x03\x01"),
        "CVE-2018-18849-length": whole_command(INQUIRY, 36, DATA_IN, b"\xc0\x01\xff\x04" * 4),
        "CVE-2019-12068-empty": script(b""),
        "CVE-2019-12068-jump": script(jump(AT)),
        "no-request-in": script(select(0) + move(DATA_IN, 8, MEM) + interrupt(1)),
        "no-request-out": script(select(0) + move(DATA_OUT, 8, MEM) + interrupt(1)),
        "data-after-end": script(connect + move(DATA_IN, 100, MEM) + move(DATA_IN, 8, MEM), nexus),
        "CVE-2022-0216": script(select(0) + NO_UDC + move(MSG_OUT, 6, AT + 1024) + WAIT_DISC +
                                interrupt(1), TWO_ENDS),
        "CVE-2023-0330-dsp": script(copy(4, AT + 1024, REGS + 0x2c) + interrupt(1), u32(AT)),
        "CVE-2023-0330-start": script(copy(4, AT + 1024, REGS + 0x38) + interrupt(1),
                                      u32(0x05000000)),
        "registers-onto-registers": script(copy(256, REGS, REGS) + jump(AT)),
        "CVE-2024-6519": script(connect + u32(0x7c010800) + u32(0) + move(DATA_IN, 8, MEM), nexus),
        "own-bar-in": script(connect + move(DATA_IN, 36, REGS + 0x10) + interrupt(1), nexus),
        "own-bar-out": script(select(0) + move(MSG_OUT, 1, REGS + 0x34) + interrupt(1)),
        "own-ram": script(copy(64, AT, SRAM) + jump(SRAM) + interrupt(1)),
        "giant-move": script(copy(0xffffff, AT, MEM) + jump(AT)),
        "giant-in": script(connect + move(DATA_IN, 0xffffff, MEM), nexus),
        "spin-on-memory": script(load(0x34, 4, MEM) + jump(AT, 0x000c0000) + interrupt(1)),
        "phase-mismatch": script(connect + move(STATUS, 1, MEM) + interrupt(1), nexus),
        "phase-mismatch-jump": script(connect + chained(DATA_IN, 100, MEM), nexus, ccntl1=0),
        "write-own-scratch": script(u32(0x78345500) + u32(0) + store(0x34, 4, MEM) +
                                    jump(SRAM), how=6),
        "modifies-itself": script(copy(8, AT + 1024, AT + 12) + interrupt(2), jump(AT)),
        "reselect": script(WAIT_RESEL + move(MSG_IN, 1, MEM) + CLEAR_ACK + interrupt(3)),
        "reselected": script(gone + WAIT_RESEL + move(MSG_IN, 3, MEM) + CLEAR_ACK +
                             move(DATA_IN, 2048, MEM) + interrupt(1), tagged, **late),
        "abort-tag-reselected": script(back + NO_UDC + move(MSG_OUT, 1, AT + 1056) + WAIT_DISC,
                                       tagged + b"\x0d", **late),
        "tag-reselected": script(back + move(MSG_OUT, 2, AT + 1056) + move(MSG_IN, 1, MEM),
                                 tagged + b"\x20\x06", **late),
        "identify-reselected": script(back + move(MSG_OUT, 1, AT + 1056) + interrupt(1),
                                      tagged + b"\x82", **late),
        "disconnect-rejected": script(leave + move(MSG_IN, 1, MEM) + SET_ATN + CLEAR_ACK +
                                      move(MSG_OUT, 1, AT + 1056) + move(DATA_IN, 2048, MEM),
                                      tagged + b"\x07", **late),
        "ppr": whole_command(INQUIRY, 36, DATA_IN, b"\xc0\x01\x06\x04\x09\x00\x1f\x00\x02"),
        "64-bit": script(u32(0x08000000 | 8 | DATA_IN << 24) + u32(MEM) + u32(1), ccntl1=3),
        "table": script(u32(0x10000000 | 6 << 24) + u32(0) + u32(0x43000000) + u32(8)),
    }


# ---- lsi_regs: the language of lsi_ops.c ----

(O_WRITE, O_READ, _, O_CONFIG, O_IRQ, O_RAM, O_MAP, O_PUMP, O_TIME, O_RESET, O_DISK, O_RETRY,
 O_START, O_RESELECT, O_RESUME, O_COMMAND, O_SCRIPT, O_RUN) = range(18)


def reg(off, value, size=0):
    return bytes([O_WRITE, size]) + u16(off) + u32(value)


def command(cdb, length, target=0, lun=0, how=1, tag=5, extra=b""):
    where = target | lun << 4 | len(extra) & 7
    out = bytes([how | (0x10 if extra else 0), where, tag, len(cdb) - 1])
    return out + cdb.ljust(16, b"\0") + u16(length) + (extra.ljust(8, b"\0") if extra else b"")


def start(*args, slot=0, **kwargs):
    return bytes([O_START, slot]) + command(*args, **kwargs)


def run(*args, **kwargs):
    return bytes([O_COMMAND]) + command(*args, **kwargs) + bytes(64)


def pump(passes):
    return bytes([O_PUMP, passes - 1])


HOLD, FREE, END, FAIL = (bytes([O_DISK, b, 0]) for b in (0xc0, 0x80, 0x00, 0x40))
IRQ, RESELECT = bytes([O_IRQ]), bytes([O_RESELECT])
RESETS = [bytes([O_RESET, i]) for i in range(4)]


def lsi_regs():
    cycle = HOLD + start(READ, 2048) + IRQ + END + RESELECT + IRQ + bytes([O_RESUME, 0]) \
        + command(READ, 2048) + IRQ
    out = {
        "inquiry": run(INQUIRY, 36),
        "read-write": run(WRITE, 2048) + run(READ, 2048),
        "disconnect": cycle,
        "fails": HOLD + start(READ, 2048) + FAIL + RESELECT + pump(8),
        "CVE-2018-18849-length": run(INQUIRY, 36, extra=b"\x01\xff\x04\x01\x00\x00\x00"),
        "CVE-2022-0216": HOLD + start(READ, 2048) + start(READ, 2048, extra=b"\x0d\x06\x0c"),
        "timers": reg(0x48, 0x77) + reg(0x49, 0x2f) + bytes([O_TIME, 0xff]) * 4 + IRQ,
        "unmapped-command": bytes([O_MAP, 1]) + u16(0) + run(INQUIRY, 36),
        "unmap-under-read": HOLD + start(READ, 2048) + bytes([O_MAP, 1]) + u16(0) + END + RESELECT,
        "map-swapped": bytes([O_MAP, 4]) + u16(0x100) + run(READ, 2048),
        "no-bus-master": bytes([O_CONFIG, 1, 4]) + u32(3) + run(INQUIRY, 36),
        "bar-moved": bytes([O_CONFIG, 2, 0x14]) + u32(0x00100000) + run(INQUIRY, 36),
        "full-queue": HOLD + b"".join(start(READ, 2048, tag=i, slot=i & 3) + RESELECT
                                      for i in range(12)) + RESETS[1] + run(INQUIRY, 36),
        "reselect-idle": reg(0x40, 0x0496, 1) + HOLD + start(READ, 2048) + IRQ + END + pump(8)
        + IRQ,
        "script-ram": bytes([O_SCRIPT, 0x83, 0]) + jump(SRAM) + jump(SRAM)
        + bytes([O_RUN, 0x8f, 0]),
        "all-registers": b"".join(reg(i, 0xff) + bytes([O_READ, 0]) + u16(i) for i in range(96)),
    }
    for i, reset in enumerate(RESETS):
        out[f"reset-{i}-in-flight"] = HOLD + start(READ, 2048) + reset + END + run(INQUIRY, 36)
    return out


# ---- scsi_cdb ----

(S_COMMAND, S_START, S_GO, _, S_DISK, S_SETTLE, S_SENSE, _, S_MANAGE, S_RETRY, S_FLOOD,
 S_MODE) = range(12)


def cdb(text, where=0, data=b"", how=1, op=S_COMMAND, length=None):
    raw = bytes.fromhex(text)
    length = len(raw) if length is None else length
    return bytes([op, where, how, 0xf0, length]) + raw.ljust(length, b"\0") + data


def scsi_cdb():
    ready = bytes([S_SENSE, 0x00, S_SENSE, 0x01, S_SENSE, 0x10, S_SENSE, 0x23, S_SENSE, 0x30])
    rows = {
        "CVE-2011-3346": "9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00",
        "CVE-2013-4344": "a0 00 00 00 00 00 ff ff ff ff 00 00",
        "CVE-2015-5158-group3": "7f 00 00 00 00 00 00 00 00 00",
        "CVE-2015-5158-group6": "c0 ff",
        "cdb-too-short": "28 00",
        "zero-blocks": "28 00 00 00 00 00 00 00 00 00",
        "two-gigabytes": "a8 00 00 00 00 00 ff ff ff ff 00 00",
        "last-block": "28 00 00 00 07 ff 00 00 02 00",
        "verify": "2f 00 00 00 00 00 00 00 01 00",
        "inquiry-vpd-short": "12 01 83 00 05 00",
        "inquiry-limits": "12 01 b0 00 ff 00",
    }
    out = {name: ready + cdb(text) + cdb(text, where=1) + cdb(text, where=2) + cdb(text, where=3)
           for name, text in rows.items()}
    select6, select10 = "15 10 00 00 %02x 00", "55 10 00 00 00 00 00 00 %02x 00"
    pages = {
        "CVE-2021-3930": bytes(4) + bytes([0x3f, 0xff]) + bytes(26),
        "CVE-2023-42467-256": bytes([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0]),
        "block-length-0": bytes([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
        "block-length-513": bytes([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 1]),
        "caching": bytes(4) + bytes([8, 18, 4]) + bytes(17),
        "control": bytes(4) + bytes([10, 10, 0, 0, 8]) + bytes(7),
    }
    for name, data in pages.items():
        out[name] = ready + cdb(select6 % len(data), data=data) \
            + cdb(select10 % (len(data) + 4), data=bytes(4) + data) + cdb("1a 00 3f 00 ff 00")
    unmap = bytes([0, 22, 0, 16]) + bytes(4) + bytes(7) + b"\1" + bytes(3) + b"\4" + bytes(4)
    out["unmap"] = ready + cdb("42 00 00 00 00 00 00 00 18 00", data=unmap)
    out["write-same"] = ready + cdb("93 08 00 00 00 00 00 00 00 00 00 00 00 10 00 00",
                                    data=bytes(512))
    out["compare-and-write"] = ready + cdb("89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
                                           data=b"\3" * 1024)
    hold, end = bytes([S_DISK, 0x00, 1]), bytes([S_DISK, 0x48, 0])
    out["host-error"] = ready + hold + cdb("28 00 00 00 00 00 00 00 08 00", op=S_START) + end \
        + bytes([S_GO, 0, 0xff, 0xff])
    fail = {"read": (0, "28"), "write": (1, "2a")}
    for name, (op, opcode) in fail.items():
        text = opcode + " 00 00 00 00 00 00 00 01 00"
        # how: 80h (fail), errno by its index << 3, disk; what: the operation, twice
        for unit in (0, 1, 2):
            for err in (1, 2, 3):
                out[f"held-{name}-{unit}-{err}"] = ready + bytes([S_DISK, 0x80 | err << 3 | unit,
                                                                  66 + op]) \
                    + cdb(text, where=unit, data=bytes(4096)) + bytes([S_SETTLE, 0x87] * 3) \
                    + bytes([S_RETRY, 0, S_SETTLE, 3, S_RETRY, 1, S_SETTLE, 0xff, S_SETTLE, 3])
    out["cancel-races-completion"] = ready + hold \
        + cdb("2a 00 00 00 00 00 00 00 01 00", op=S_COMMAND, data=bytes(512)) \
        + bytes([S_MANAGE, 0, 0]) + end
    out["flood"] = ready + bytes([S_FLOOD, 0xff]) + bytes.fromhex("28 00 00 00 00 00 00 00 01 00") \
        + bytes([S_MANAGE, 3, 0])
    out["flood-goes-on"] = out["flood"][:-3] + bytes([S_DISK, 0, 0]) + bytes([S_SETTLE, 3] * 9)
    alone = cdb("89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00", data=b"\3" * 1024, how=5)
    out["alone-twice"] = ready + hold + alone + alone.replace(b"\5\xf0", b"\x09\xf0") \
        + bytes([S_DISK, 0, 0]) + bytes([S_SETTLE, 3] * 9)
    for unit in range(4):
        for page, at, bits in ((0x08, 6, 4), (0x0a, 8, 8), (0x08, 14, 4), (0x0a, 16, 8),
                               (0x3f, 3, 0), (0x3f, 9, 0xff), (0x3f, 10, 8)):
            for cut in (0, 1, 3):
                out[f"mode-{unit}-{page}-{at}-{cut}"] = ready \
                    + bytes([S_MODE, unit | 8 | cut << 4, page, at, bits,
                             S_MODE, unit | cut << 4, page, at, bits]) \
                    + cdb("2a 00 00 00 00 00 00 00 01 00", where=unit, data=bytes(512))
    for fmt in ("00", "01", "04", "ff"):
        out["dvd-" + fmt] = ready + cdb(f"ad 00 00 00 00 00 00 {fmt} 08 14 00 00", where=5) \
            + cdb("46 00 00 00 00 00 00 00 ff 00", where=5)
    for text in ("43 02 00 00 00 00 00 00 ff 00", "43 00 00 00 00 00 01 00 ff 00",
                 "43 02 02 00 00 00 01 00 ff 00", "43 00 01 00 00 00 00 00 ff 00",
                 "be 00 00 00 00 00 00 00 02 10 00 00", "be 00 00 00 00 00 00 00 01 f8 00 00",
                 "ad 00 00 00 00 00 00 00 08 14 00 00", "ad 00 00 00 00 00 00 01 08 14 00 00",
                 "ad 00 00 00 00 00 00 04 08 14 00 00", "ad 00 00 00 00 00 00 ff 08 14 00 00",
                 "51 00 00 00 00 00 00 00 ff 00", "46 00 00 00 00 00 00 00 ff 00",
                 "46 02 00 01 00 00 00 00 ff 00", "4a 01 00 00 10 00 00 00 ff 00",
                 "bd 00 00 00 00 00 00 00 00 ff 00 00", "bb 00 ff ff 00 00 00 00 00 00 00 00",
                 "25 00 00 00 00 00 00 00 00 00", "1b 00 00 00 02 00", "1e 00 00 00 01 00",
                 "28 00 00 00 00 00 00 00 02 00", "5a 00 2a 00 00 00 00 00 ff 00"):
        out["cd " + text] = ready + cdb(text, where=2) + cdb(text, where=3) + cdb(text)
    for text in ("2f 02 00 00 00 00 00 00 02 00", "2f 06 00 00 00 00 00 00 02 00",
                 "8f 02 00 00 00 00 00 00 00 00 00 00 00 02 00 00",
                 "2e 02 00 00 00 00 00 00 02 00", "8b 00 00 00 00 00 00 00 00 00 00 00 00 02 00 00",
                 "41 00 00 00 00 00 00 00 02 00", "04 10 00 00 00 00",
                 "35 00 00 00 00 00 00 00 00 00",
                 "9e 12 00 00 00 00 00 00 00 00 00 00 00 ff 00 00", "34 00 00 00 00 00 00 00 10 00",
                 "a3 0c 00 00 00 00 00 00 08 00 00 00", "a3 0c 81 28 00 00 00 00 08 00 00 00",
                 "a3 0c 02 9e 00 10 00 00 08 00 00 00", "a3 0d 00 00 00 00 00 00 08 00 00 00",
                 "37 00 08 00 00 00 00 00 ff 00", "1d 04 00 00 00 00", "56 00" + " 00" * 8):
        for fill in (3, 0):
            out[f"disk {text} {fill}"] = ready + cdb(text, data=bytes([fill]) * 1024) \
                + cdb(text, where=1, data=bytes([fill]) * 8192)
    for page in (0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2, 0x01):
        out[f"vpd-{page}"] = ready + b"".join(cdb(f"12 01 {page:02x} 00 ff 00", where=i)
                                              for i in range(4))
    out["no-medium"] = cdb("28 00 00 00 00 00 00 00 01 00", where=3) + cdb("43 00" + " 00" * 8, 3)
    return out


# ---- wire ----

(W_BYTES, W_MESSAGE, _, W_FIRMWARE, W_STEP, W_READ, W_TIME, W_EVENT, W_END, W_STALL,
 W_TRUNCATE) = range(11)
(SYNC, RET, CFGWRITE, CFGREAD, BAR_WRITE, BAR_READ, IRQFD, RESET) = range(8)


def raw(data):
    return b"".join(bytes([W_BYTES, len(part)]) + part
                    for part in (data[i:i + 255] for i in range(0, len(data), 255)))


def message(cmd, payload, size=None):
    return raw(struct.pack("<iIQ", cmd, 0, len(payload) if size is None else size) + payload)


def cfg(addr, length, value=0):
    return struct.pack("<IIi", addr, value, length)


def wire():
    step, fw = bytes([W_STEP, 3]), bytes([W_FIRMWARE, 0])
    out = {
        "config-last-byte": message(CFGREAD, cfg(0xff, 1)) + step + bytes([W_READ, 255, 0]),
        "config-with-fd": bytes([W_MESSAGE, 0x48 | CFGREAD]) + u16(0) + u32(0) + b"\4\1\0",
        "unmapped-bar": message(BAR_READ, struct.pack("<QQII", 0xdead0000, 0, 4, 1)) + step,
        "config-length-8": message(CFGREAD, cfg(0, 8)) + step,
        "config-length-negative": message(CFGREAD, cfg(0, -1)) + step,
        "sync-8-fds": bytes([W_MESSAGE, 0x48 | SYNC, 7]) + u16(0) + bytes(24) + bytes([8])
        + b"\1" * 8,
        "sync-beyond-file": bytes([W_MESSAGE, 0x48 | SYNC, 0x40]) + u16(0) + u64(1 << 40)
        + b"\x80",
        "sync-overlap": bytes([W_MESSAGE, 0x48 | SYNC, 2, 0, 0, 2, 1, 0, 2, 1, 1]),
        "sync-wraps": bytes([W_MESSAGE, 0x48 | SYNC, 0xc0]) + u16(0xffff) + u64(1 << 44) + b"\x80",
        "size-huge": message(BAR_READ, b"", 1 << 63),
        "size-0": message(CFGREAD, b"", 0) + step,
        "unknown": message(8, b"") + message(-1, b"") + step,
        "reply": message(RET, bytes(8)) + step,
        "two-at-once": message(CFGREAD, cfg(0, 4)) * 2 + step,
        "byte-by-byte": b"".join(raw(bytes([b])) + bytes([W_STEP, 0])
                                 for b in struct.pack("<iIQ", CFGREAD, 0, 12) + cfg(0, 4)),
        "end-inside": raw(b"\3\0\0\0") + step + bytes([W_END, 0]),
        "end-between": message(CFGREAD, cfg(0, 4)) + bytes([W_END, 3]),
        "stall": bytes([W_STALL]) + bytes([W_READ, 255, 1]) * 4 + step,
        "interrupt": fw + bytes([W_MESSAGE, 8 | BAR_WRITE, 2]) + u32(0x60) + u64(1)
        + bytes([W_TIME, 255, W_EVENT, 2]),
        "irqfd-of-a-file": bytes([W_MESSAGE, 0x48 | IRQFD, 2, 1, 0]),
        "reset": fw + bytes([W_MESSAGE, 8 | RESET]) + bytes([W_READ, 255, 1]),
    }
    regs = [(0x80, 0x1000), (0x88, 0x40000), (0x90, 256), (0x98, 1)]
    access = [(0x04, 5), (0x20, 0x80), (0x08, 9), (0x60, 3), (0x64, 1), (0x90, 1 << 20), (0x80, 0),
              (0x98, 7), (0x98, 1), (0x80, 5)]
    out["edu"] = fw + b"".join(
        bytes([W_MESSAGE, 8 | BAR_WRITE, 2]) + u32(off) + u64(value)
        + bytes([W_MESSAGE, 8 | BAR_READ, 2]) + u32(off) + u64(0) + bytes([W_READ, 255, 1])
        for off, value in access) + bytes([W_TIME, 255]) + step
    for direction, src, dst in ((1, 0x1000, 0x40000), (3, 0x40000, 0x1000), (5, 0x1000, 0x40000),
                                (7, 0x40000, 0x1000), (1, 0x1000, 0x1000), (1, 1 << 40, 0x40000)):
        out[f"dma-{direction}-{src}"] = fw + b"".join(
            bytes([W_MESSAGE, 8 | BAR_WRITE, 2]) + u32(off) + u64(value) for off, value in
            ((0x80, src), (0x88, dst), (0x90, 4096), (0x98, direction), (0x98, direction))) \
            + bytes([W_TIME, 255]) + step + bytes([W_READ, 255, 1])
    out["dma"] = fw + b"".join(bytes([W_MESSAGE, 8 | BAR_WRITE, 2]) + u32(off) + u64(value)
                               for off, value in regs) + bytes([W_TIME, 255]) + step
    fragile = bytes([W_FIRMWARE, 1, W_TRUNCATE, 0])
    out["dma-truncated"] = out["dma"].replace(fw, fragile) + bytes([W_TRUNCATE, 16]) + out["dma"]
    out = {name: b"\0" + data for name, data in out.items()}
    reply = raw(struct.pack("<iIQQ", RET, 0, 8, 1))
    out["proxy-asks"] = b"\1" + b"".join(bytes([2, 0x40 | cmd, 0x80]) + bytes(32)
                                         for cmd in range(8)) + b"\3"
    out["proxy-sends"] = b"\1" + b"".join(bytes([2, 0x20 | cmd]) + bytes(16) for cmd in range(8))
    out["proxy-hears"] = b"\1" + reply * 2 + reply[:12] + b"\4\0"
    out["proxy-hears-wrong"] = b"\1" + message(RET, bytes(4)) + reply
    out["proxy-hears-request"] = b"\1" + message(CFGREAD, cfg(0, 4))
    out["proxy-gets-fds"] = b"\1" + bytes([1, 0x48 | RET, 3, 0, 1, 2])
    return out


# ---- vfu ----

(V_BYTES, V_COMMAND, V_FIRMWARE, V_REGISTER, V_GO, V_READ, V_ANSWER, V_STEP, V_TIME, V_TRUNCATE,
 V_EVENT, V_END, V_STALL) = range(13)
VFU_COMMANDS = range(1, 20)


def vfu_message(cmd, payload=b"", size=None, flags=0, number=1):
    header = struct.pack("<HHIII", number, cmd, 16 + len(payload) if size is None else size, flags,
                         0)
    data = header + payload
    return b"".join(bytes([V_BYTES, len(part)]) + part
                    for part in (data[i:i + 255] for i in range(0, len(data), 255)))


def vfu():
    step, read = bytes([V_STEP, 7]), bytes([V_READ])
    version = vfu_message(1, bytes(4))
    fw = {name: bytes([V_FIRMWARE, how]) for name, how in
          {"shared": 1, "unshared": 2, "both": 3, "fragile": 5, "msix": 17, "all": 23}.items()}
    qemu = b'{"capabilities": {"max_msg_fds": 16, "migration": {"pgsize": 4096}, ' \
        b'"max_dma_maps": 65535, "max_data_xfer_size": 1048576, "write_multiple": true}}\0'
    deep = b"[" * 2000 + b"{}," * 400 + b"\0"
    multi = u64(2) + (u64(0x60) + u32(0) + u32(4) + u64(1)) * 2
    out = {
        "version-qemu": vfu_message(1, bytes(4) + qemu) + step + read,
        "version-deep": vfu_message(1, bytes(4) + deep) + step,
        "version-little": vfu_message(1, bytes(4) + b"{}\0") + step,
        "version-no-nul": vfu_message(1, bytes(4) + b"{}") + step,
        "version-twice": version * 2 + step,
        "before-version": vfu_message(9, u64(0) + u32(7) + u32(4)) + step,
        "config-all": fw["shared"] + vfu_message(9, u64(0) + u32(7) + u32(4096)) + step + read,
        "size-15": vfu_message(13, size=15) + step, "size-huge": vfu_message(10, size=1 << 31),
        "multi": fw["shared"] + vfu_message(15, multi) + vfu_message(15, multi, flags=0x10) + step,
        "multi-wraps": version + vfu_message(15, u64((1 << 64) // 24 + 1) + bytes(8)) + step,
        "byte-by-byte": b"".join(bytes([V_BYTES, 1, b]) + step
                                 for b in struct.pack("<HHIIII", 1, 1, 20, 0, 0, 0)),
        "stall": version + bytes([V_STALL]) + read * 3,
        "unmap-all": fw["both"] + bytes([V_COMMAND, 8, 3, 2, 0]) + step,
        "unmap-part": fw["both"] + bytes([V_COMMAND, 8, 3, 4, 1]) + step,
        "unmap-wraps": fw["both"] + vfu_message(3, u32(24) + u32(0) + u64(0) + u64(-1)) + step,
        "intx": fw["shared"] + bytes([V_REGISTER, 0, 0x60]) + u32(1)
        + bytes([V_EVENT, 0, V_EVENT, 1])
        + vfu_message(8, u32(20) + u32(0x11) + u32(0) * 2 + u32(1)) + step,
        "msix": fw["msix"] + bytes([V_REGISTER, 0, 0x60]) + u32(3) + step,
        "end-inside": version + bytes([V_BYTES, 3, 1, 2, 3, V_END, 1]),
        "another-client": fw["all"] + bytes([V_END, 0]) + fw["both"] + step + read,
        "reset": fw["all"] + vfu_message(13) + step + read,
        "stray-reply": fw["both"] + vfu_message(11, bytes(16), flags=1) + step,
    }
    for cmd in VFU_COMMANDS:
        for fds in (0, 1, 0x81, 17):
            out[f"command-{cmd}-{fds}"] = fw["shared"] + bytes([V_COMMAND, 0x48, cmd]) \
                + bytes(32) + bytes([fds]) + step
    for direction in (0, 1):
        for wrong in range(8):
            out[f"dma-{direction}-{wrong}"] = fw["both"] + bytes([V_GO]) + u16(0x1100) \
                + bytes([direction, 16, V_ANSWER, wrong << 5]) + b"\5" + bytes([V_ANSWER, 0, 5]) \
                + read
        out[f"dma-gone-{direction}"] = fw["unshared"] + bytes([V_GO]) + u16(0x1100) \
            + bytes([direction, 255]) + bytes([V_END, 0]) + fw["unshared"] + read
        out[f"dma-shared-{direction}"] = fw["fragile"] + bytes([V_TRUNCATE, 1, V_GO]) + u16(0x100) \
            + bytes([direction, 255]) + read
    out = {name: b"\0" + data for name, data in out.items()}
    out["lsi-script"] = b"\1" + fw["both"] + bytes([V_GO]) + u16(0x1100) + b"\0" \
        + bytes([V_ANSWER, 1]) + interrupt(1) + step + read
    out["lsi-copy"] = b"\1" + fw["unshared"] + bytes([V_GO]) + u16(0x1100) + b"\0" \
        + bytes([V_ANSWER, 1]) + copy(64, 0x11000, 0x12000) \
        + bytes([V_ANSWER, 0, 1]) + bytes([V_ANSWER, 15]) + bytes(121) + read * 2
    out["lsi-jump"] = b"\1" + fw["unshared"] + bytes([V_GO]) + u16(0x1100) + b"\0" \
        + (bytes([V_ANSWER, 1]) + jump(0x11000)) * 8
    out["lsi-gone"] = b"\1" + fw["unshared"] + bytes([V_GO]) + u16(0x1100) + b"\0" \
        + bytes([V_END, 1]) + fw["shared"] + read
    return out


# ---- mem ----

M_SET, M_READ, M_WRITE, M_IOV, M_TRUNCATE, M_LOST = range(6)


def mem():
    one = bytes([M_SET, 1, 7, 0])
    two = bytes([M_SET, 2, 0x07, 0, 0x27, 8, 2])
    reads = b"".join(bytes([op, 0xc0]) + u16(at) + u16(5000) for op in (M_READ, M_WRITE)
                     for at in (0, 100, 0x7ff))
    out = {
        "one": one + reads, "two": two + reads,
        "both-tables": one + bytes([0x80]) + two[1:] + reads,
        "kept": one + two + one + reads,
        "none": one + bytes([M_SET, 0]) + reads,
        "iov": two + bytes([M_IOV, 8, 0xc0]) + u16(0) + u16(5000) + bytes([M_IOV, 1, 0xc0])
        + u16(0x7ff) + u16(5000),
        "overlap": bytes([M_SET, 2, 7, 0, 7, 1]), "too-many": bytes([M_SET, 10]) + bytes(20),
        "wraps": bytes([M_SET, 1, 0xc7, 0]) + u64(-4096) + u64(8192) + u64(0),
        "beyond-file": bytes([M_SET, 1, 0x87, 0]) + u64(1 << 40) + u64(0),
        "unaligned": bytes([M_SET, 1, 0x87, 0]) + u64(4097) + u64(0),
        "cut-short": bytes([M_SET, 1, 0x27, 0, 8, M_TRUNCATE, 0]) + reads + bytes([M_LOST])
        + bytes([M_TRUNCATE, 16]) + reads + bytes([M_SET, 1, 0x27, 0, 8]) + reads,
    }
    far, m_map, m_unmap, m_clip = 0x80, bytes([0x80]), bytes([0x86]), bytes([0x87])
    some = m_map + bytes([0, 0x07, 0]) + m_map + bytes([2, 0x07, 8]) + m_map + bytes([1, 0x0f, 16])
    far_reads = b"".join(bytes([far | op, 0xc0]) + u16(at) + u16(length)
                         for op in (M_READ, M_WRITE, 7) for at in (0, 0x7ff, 0x800, 0xfff, 0x1100)
                         for length in (64, 4096, 9000))
    out |= {
        "map": some + far_reads, "map-again": some + some, "clip": some + m_clip + b"\xc0" + u16(0)
        + u16(19999), "unmap": some + m_unmap + bytes([0, 8]) + m_unmap + bytes([8, 16]) + some,
        "unmap-part": some + m_unmap + bytes([2, 4]) + m_unmap + bytes([0, 12]),
        "unmap-wraps": some + m_unmap + bytes([1]) + u64(-1) + far_reads,
        "map-many": b"".join(m_map + bytes([2, 0, i]) for i in range(14)) + far_reads,
        "map-overlap": some + m_map + bytes([0, 0x47, 0]) + u64(0) + m_map + bytes([0, 7, 4]),
        "map-cut-short": m_map + bytes([0, 0x27, 0, 8, far | M_TRUNCATE, 0]) + far_reads
        + bytes([far | M_LOST, far | M_TRUNCATE, 16]) + m_unmap + bytes([0, 8])
        + m_map + bytes([0, 0x27, 0, 8]) + far_reads,
    }
    for kind in range(9):
        out[f"map-kind-{kind}"] = m_map + bytes([0, 0x20, 0, kind]) + m_map \
            + bytes([1, 0x20, 16, kind]) + far_reads
        out[f"kind-{kind}"] = bytes([M_SET, 2, 7, 0, 0x20, 16, kind]) + reads
    return out


# ---- options ----

LINES = [
    (0, "-machine x-remote -device lsi53c895a,id=l -drive id=d,file=X.qcow2,cache=none,aio=native "
        "-device scsi-hd,id=e,drive=d,bus=l.0,scsi-id=0 -object x-remote-object,id=r,devid=l,fd=4"),
    (0, "-device '{\"driver\":\"lsi\",\"id\":\"l\"}' -object '{\"qom-type\":\"x-remote-object\","
        "\"id\":\"o\",\"devid\":\"l\",\"fd\":\"9\"}' -blockdev '{\"driver\":\"file\","
        "\"node-name\":\"f\",\"filename\":\"/a\",\"cache\":{\"direct\":true}}' -blockdev "
        "'{\"driver\":\"raw\",\"node-name\":\"r\",\"file\":\"f\"}' -device "
        "'{\"driver\":\"scsi-hd\",\"drive\":\"r\",\"lun\":1}'"),
    (0, "-device lsi,id=l -object x-remote-object,id=o,devid=l,path=/x -blockdev qcow2,node-name=q,"
        "file.driver=file,file.filename=x,backing=null -blockdev null-co,node-name=n,size=1 "
        "-blockdev raw,node-name=r,file=n -device scsi-hd,drive=r -drive "
        "'id=z,file=json:{\"driver\":\"raw\",,\"file\":{\"driver\":\"null-co\"}}' "
        "-device scsi-cd,drive=z -add-fd fd=2,set=1 -name a"),
    (0, "-device lsi,id=l -object x-remote-object,id=o,devid=l,fd=lsi -drive id=d,driver=quorum,"
        "children.0.driver=file,vote-threshold=1 -device scsi-hd,drive=d -drive id=e,format=raw,"
        "file.driver=nbd,file.host=a,file.port=1 -device scsi-hd,drive=e,wwn=0x5"),
    (0, "-device help"), (0, "-device lsi,help"), (0, "-help"), (0, "-version"),
    (0, "-name guest=a,process=b -pidfile p -D log -d x -daemonize -msg timestamp=on -uuid x"),
    (1, "-accel kvm -m 1G -device lsi53c895a,id=l -drive if=none,id=d,format=raw,"
        "file=nbd+unix:///x?socket=/s -device scsi-hd,drive=d,serial=a -global scsi-hd.lun=3 -set "
        "device.e.serial=1 -object memory-backend-ram,id=m,size=1G -numa node,memdev=m"),
    (1, "-accel kvm -m 2048 -device lsi,id=s -drive if=none,id=d,file=/x.raw -device scsi-hd,"
        "bus=s.0,drive=d -machine q35,memory-backend=m -object memory-backend-memfd,id=m,size=2G"),
    (2, "-machine x-remote -device lsi53c895a,id=l -object x-remote-object,id=r,devid=l,fd=4 --- "
        "qemu -object memory-backend-memfd,id=m,size=2G -device x-pci-proxy-dev,id=l,fd=3"),
    (2, "-device '{\"driver\":\"edu\",\"id\":\"e\"}' -object '{\"qom-type\":\"x-remote-object\","
        "\"id\":\"r\",\"devid\":\"e\",\"fd\":\"9\"}' --- qemu -m 1G -device "
        "'{\"driver\":\"x-pci-proxy-dev\",\"id\":\"e\",\"fd\":\"8\"}'"),
]


# The command lines of other tests: [who reads them, the file].
TABLES = [(1, "unit/plan/corpus.c"), (0, "unit/plan/remote.c"), (1, "orchestrate/test-rewrite.c")]


def table_lines(path):
    """What stands as one string, of one or more literals, and is a command line."""
    text = (pathlib.Path(__file__).resolve().parent.parent / path).read_text(encoding="utf-8")
    for run in re.findall(r'(?:"(?:\\.|[^"\\\n])*"\s*)+', text):
        line = "".join(ast.literal_eval(part) for part in
                       re.findall(r'"(?:\\.|[^"\\\n])*"', run))
        if line.lstrip().startswith("-"):
            yield line


def words(line):
    try:
        return b"".join(word.encode("utf-8", "replace") + b"\0" for word in shlex.split(line))
    except ValueError:      # a quote without its end: cut out of a macro
        return line.encode("utf-8", "replace")


def options():
    out = {f"line-{i}": bytes([whose]) + words(line) for i, (whose, line) in enumerate(LINES)}
    lsi = "-accel kvm -device lsi53c895a,id=l -device lsi53c810,id=m "
    for whose, path in TABLES:
        for i, line in enumerate(table_lines(path)):
            out[f"{path}-{i}"] = bytes([whose]) + words(line)
            if whose:
                out[f"{path}-{i}-lsi"] = bytes([whose]) + words(lsi + line)
    out["move-l"], out["move-m"] = bytes([0x40]) + words(lsi), bytes([0x80 | 2]) + words(lsi)
    return out


# ---- control, state ----

def control():
    ready, retry = struct.pack("<II", 0, 0), struct.pack("<II", 3, 0)
    out = {"said-right": bytes([0, 0, 1 | 8 << 1]) + ready + bytes([2, 0]),
           "said-wrong": bytes([0, 0, 1 | 8 << 1]) + retry + bytes([2, 0]),
           "short": bytes([0, 0, 1 | 3 << 1, 1, 2, 3, 2, 0]),
           "long": bytes([0, 0, 31 << 1]) + bytes(31) + bytes([2, 1]),
           "empty": bytes([0, 0, 0, 2, 1]),
           "gone": bytes([0, 4, 0, 2, 1]),
           "spec": b"\1"}
    device, disk = 112, 112 + 8 * 104       # offsets in struct launch_spec
    for name, at in {"magic": 0, "size": 8, "devices": 12, "disks": 16, "threads": 20,
                     "sandbox": 24, "driver": device, "id": device + 32, "peer": device + 96,
                     "disk": disk, "unit": disk + 8, "block-size": disk + 24}.items():
        out["spec-" + name] = b"\1\x03" + u16(at) + b"\xff" * 4
        out["spec-zero-" + name] = b"\1\x00" + u16(at) + b"\0"
    out["spec-endless-driver"] = b"\1" + b"".join(b"\x0f" + u16(device + i) + b"x" * 16
                                                  for i in (0, 16))
    return out


def patch(part, at, value):
    return bytes([part | len(value) - 1 << 3]) + u16(at) + value


def state():
    bus = {"target": 2, "attr": 6, "phase": 10, "after": 11, "has-req": 14, "msg-in-len": 15,
           "msg-in-pos": 16, "CVE-2018-18849": 17, "cdb-len": 18, "req": 20, "skip": 22}
    go = pump(8) + RESELECT + run(INQUIRY, 36)
    out = {f"moment-{i}": bytes([0x80 | i]) + go for i in range(4)}
    for i in range(4):
        for name, at in bus.items():
            out[f"bus-{name}-{i}"] = bytes([0x84 | i]) + patch(3, at, b"\xff") + go
            out[f"bus-{name}-heard-{i}"] = bytes([0x84 | i]) + patch(3, at, b"\xff") \
                + bytes([O_SCRIPT, 3, 0]) + move(MSG_IN, 200, MEM) + u32(0) * 2 \
                + bytes([O_RUN, 7, 0])
            out[f"bus-{name}-1-{i}"] = bytes([0x84 | i]) + patch(3, at, b"\x01") + go
        for phase in range(1, 6):
            out[f"request-{phase}-{i}"] = bytes([0x84 | i]) + patch(6, 0, bytes([phase])) + go
    return out


def seeds(target):
    return globals()[target]()
