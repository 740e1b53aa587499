# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's side of a sequence: one coroutine a kind of step, and what they share.

A coroutine yields lists of messages and is sent the list of values; it returns a dict of answers.
"""
import struct

import asm
import command
import steps
from access import (ISTAT0, DSTAT, PLACE, RESET, RST, SCNTL1, SIST0, SRST, cfg_rd, cfg_wr, dump, rd,
                    run, wr)

# QEMU's outlives a reset.
NO_SFBR = wr(0x08, 0)


# ---- the state that a sequence begins with ----

def place(side):
    """BARs in place and the chip as after power-on; the disks hear nothing of it.

    QEMU tells its disks of a soft reset, and ours of a device reset, so each gets the other one.
    """
    reset = [RESET] if side.qemu else [wr(ISTAT0, SRST), wr(ISTAT0, 0)]
    yield PLACE + reset + PLACE + [NO_SFBR]


def clear_ram(_):
    """The part of script RAM that sequences use."""
    yield [wr(off, 0, 4, "ram") for off in range(0, 256, 4)]


def reset_all(_):
    """Drops every command, however the last sequence ended."""
    yield PLACE + [wr(SCNTL1, RST), wr(SCNTL1, 0), wr(ISTAT0, SRST), wr(ISTAT0, 0)]


RELEASE, ALLOW = bytes((0x17, 0, 0, 0, 0, 0)), bytes((0x1e, 0, 0, 0, 0, 0))
START, LOAD = bytes((0x1b, 0, 0, 0, 1, 0)), bytes((0x1b, 0, 0, 0, 3, 0))


def make_ready(side, unit):
    """Undoes what commands may have left behind."""
    for cdb in RELEASE, ALLOW, LOAD if unit == steps.CDROM else START:
        yield from command.perform(side, steps.scsi(unit, cdb).args)
    yield from take_attentions(side, unit)


def take_attentions(side, unit):
    for _ in range(6):
        answer = yield from command.perform(side, steps.scsi(unit, bytes(6)).args)
        if answer["status"] == 0:
            return
        yield from command.perform(side, steps.scsi(
            unit, bytes((3, 0, 0, 0, 18, 0)), size=18).args)


# ---- registers ----

def do_read(_, args):
    bar, off, size = args
    values = yield [rd(off, size, bar)]
    return {"value": values[0]}


def do_write(_, args):
    bar, off, size, val = args
    values = yield [wr(off, val, size, bar), rd(off & ~3, 4, bar)]
    return {"reply": values[0], "value": values[1]}


def do_cfg_read(_, args):
    values = yield [cfg_rd(*args)]
    return {"value": values[0]}


def do_cfg_write(_, args):
    off, size, val = args
    was = (yield [cfg_rd(off & ~3)])[0]
    values = yield [cfg_wr(off, val, size), cfg_rd(off & ~3), cfg_wr(off & ~3, was),
                    cfg_rd(off & ~3)]
    return {"value": values[1], "back": values[3]}


def do_poke(side, args):
    addr, data = args
    side.ram.map[addr:addr + len(data)] = data
    return {}
    yield


# ---- scripts ----

def do_script(side, args):
    program, where, final = args
    code = asm.assemble(program, where, final)
    if where >= steps.SCRIPT_RAM:
        words = struct.unpack(f"<{len(code) // 4}I", code)
        yield [wr(where - steps.SCRIPT_RAM + 4 * i, w, 4, "ram") for i, w in enumerate(words)]
    else:
        side.ram.map[where:where + len(code)] = code
    answer = yield from run(where)
    registers = yield from dump()
    return answer | registers


# ---- resets, commands, the end ----

def do_reset(side, args):
    messages = {"device": [RESET], "soft": [wr(ISTAT0, SRST), wr(ISTAT0, 0)],
                "bus": [wr(SCNTL1, RST), wr(SCNTL1, 0)]}[args[0]]
    yield messages + PLACE + [NO_SFBR]
    istat0, dstat, sist = yield [rd(ISTAT0), rd(DSTAT), rd(SIST0, 2)]
    answer = yield from dump()
    # after a bus reset the registers may hold anything: a soft reset follows before commands
    for unit in (steps.DISK, steps.SECOND, steps.CDROM) if args[0] != "bus" else ():
        yield from take_attentions(side, unit)
    return answer | {"istat0": istat0, "dstat": dstat, "sist": sist}


def do_scsi(side, args):
    answer = yield from command.perform(side, args)
    if answer.get("status") == 2:
        sense = yield from command.perform(side, steps.scsi(
            args.unit, bytes((3, 0, 0, 0, 252, 0)), size=252).args)
        data = sense["data"]
        answer["sense"] = (data[2] & 0xf, data[12], data[13])
        answer["sense data"] = data[:18]
        answer["sense status"] = sense["status"]
    return answer


def final(_, touched_ram):
    """Everything that a guest can look at, but its memory and the disks."""
    registers = yield from dump()
    answer = {f"final {name}": value for name, value in registers.items()}
    values = yield [cfg_rd(off) for off in range(0, 256, 4)]
    answer |= {f"config {off:02x}": v for off, v in zip(range(0, 256, 4), values)}
    if touched_ram:
        values = yield [rd(off, 4, "ram") for off in range(0, 256, 4)]
        answer |= {f"script ram {off:02x}": v for off, v in zip(range(0, 256, 4), values)}
    return answer


STEPS = {"read": do_read, "write": do_write, "cfg_read": do_cfg_read, "cfg_write": do_cfg_write,
         "poke": do_poke, "script": do_script, "scsi": do_scsi, "reset": do_reset}
