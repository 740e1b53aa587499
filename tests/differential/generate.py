# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes sequences from a seed: the same seed, the same sequence.

What is left out, because it can only differ or ends QEMU's remote, is in the tables here, each with
its reason.
"""
import random

import asm
import cdbs
import known
import steps

# Registers that a random access does not write: offset -> why.
NOT_WRITTEN = {
    **{at: "DSP starts the engine: scripts are a step of their own" for at in range(0x2c, 0x30)},
    0x14: "ISTAT0 resets, aborts, signals: in resets and signals() only",
    0x01: "SCNTL1 resets the bus: a step of its own",
    0x3b: "DCNTL.STD starts, SSM stops: in dcntl() only",
    0x15: "ISTAT1.SI holds the pin down; QEMU has only SRUN there",
    0x48: "STIME0, STIME1 run timers: QEMU raises GEN at once and has no HTH",
    0x49: "as STIME0",
}
# Registers that a script leaves alone as well.
NOT_BY_SCRIPT = {
    **NOT_WRITTEN,
    **{at: "what they read differs, so what a script makes of it does" for at in known.BITS},
    **{at: "as those" for at in known.AFTER_SCRIPT},
    **{at: "DSA is an address" for at in range(0x10, 0x14)},
    **{at: "TEMP is where RETURN goes" for at in range(0x1c, 0x20)},
    0x1a: "CTEST2.PCICIE changes what SCRATCHA reads",
    0x38: "DMODE sends memory moves to I/O space",
    0x56: "CCNTL0 and CCNTL1 change what later words mean", 0x57: "as CCNTL0",
}
# Upper halves of 64-bit addresses, which QEMU has for block moves only.
UPPER = range(0xa0, 0xb8)


def writable(at, size):
    return not any(a in NOT_WRITTEN for a in range(at, at + size))


# ---- registers ----

def access(r):
    """(offset, width), aligned: QEMU refuses others, which ends it."""
    size = r.choice([1, 1, 1, 2, 4, 4, 4, 8])
    return r.randrange(0, 0x100, size), size


def value(r, size):
    bits = 8 * size
    return r.choice([0, (1 << bits) - 1, 1 << r.randrange(bits), r.getrandbits(bits)])


def register_step(r):
    bar = r.choice(["regs", "regs", "io", "ram"])
    at, size = access(r)
    if bar == "regs" and r.random() < 0.05:
        at += 0x100 * r.randrange(1, 4)
    if r.random() < 0.35:
        return steps.read(bar, at, size)
    while bar != "ram" and not writable(at & 0xff, size):
        at, size = access(r)
    return steps.write(bar, at, size, value(r, size))


def signals(r):
    """ISTAT0: signal, semaphore, clear INTF; not the abort or the reset."""
    return steps.write("regs", 0x14, 1, r.choice([0x20, 0x10, 0x04, 0x30, 0]))


def dcntl(r):
    return steps.write("regs", 0x3b, 1, r.getrandbits(8) & ~0x14)


def cfg_step(r):
    size = r.choice([1, 2, 4])
    if r.random() < 0.5:
        # a byte at fd..ff ends QEMU's remote
        return steps.cfg_read(r.randrange(0, 0xfc, size), size)
    return steps.cfg_write(r.randrange(0, 0x40, size), size, value(r, size))


def enable(r):
    """Interrupts: as a driver has them, or any."""
    dien, sien = (0x7d, 0x8f) if r.random() < 0.7 else (r.getrandbits(8), r.getrandbits(8))
    return [steps.write("regs", 0x39, 1, dien), steps.write("regs", 0x40, 1, sien),
            steps.write("regs", 0x41, 1, r.choice([0x04, 0x17, 0]))]


def registers(r):
    makers = [register_step] * 10 + [cfg_step, cfg_step, signals, dcntl]
    return [r.choice(makers)(r) for _ in range(r.randrange(3, 25))]


# ---- scripts ----

def script_register(r):
    while True:
        at = r.choice([0x34, 0x35, 0x5c, 0x60, r.randrange(0x100)])
        if at not in NOT_BY_SCRIPT and (at not in UPPER or r.random() < 0.1):
            return at


def insn_rw(r, _):
    opcode = r.choice([5, 6, 7, 7])
    # bit 23 for moves to and from SFBR: the manual can be read either way (5.4.1, 5.4.4)
    return asm.read_write(opcode, r.randrange(8), script_register(r), r.getrandbits(8),
                          opcode == 7 and r.random() < 0.3)


def play(r, size=4):
    return r.randrange(steps.PLAY.start, steps.PLAY.stop - size)


def insn_load_store(r, _):
    reg, n = script_register(r), r.choice([1, 2, 4, 4])
    reg &= ~(n - 1) if r.random() < 0.97 else 0xff
    if any(a in NOT_BY_SCRIPT for a in range(reg, reg + n)):
        reg, n = 0x34, 4
    at = play(r) & ~3 | reg & 3
    at ^= 1 if r.random() < 0.01 else 0
    if r.random() < 0.2:
        return asm.load_store(r.getrandbits(1), reg, n, r.choice([0, 4, 0x100, 0xfffffc]) | reg & 3,
                              relative=True)
    if r.random() < 0.1:
        at = r.choice([steps.SCRIPT_RAM + 0xb0, steps.REGS + 0x60, steps.REGS + 0x94]) | reg & 3
    return asm.load_store(r.getrandbits(1), reg, n, at)


def insn_memory_move(r, _):
    n = r.choice([1, 4, 4, 16, 64, 300]) if r.random() < 0.95 else r.choice([0, 4096, 8192])
    src, dst = play(r, max(n, 4)), play(r, max(n, 4))
    dst = dst & ~3 | src & 3 if r.random() < 0.97 else dst
    if r.random() < 0.15:
        return asm.memory_move(4, src & ~3, steps.REGS + r.choice([0x34, 0x5c, 0x60]))
    if r.random() < 0.15:
        return asm.memory_move(4, steps.REGS + r.choice([0x34, 0x5c, 0x60, 0x10, 0x94]), dst & ~3)
    if r.random() < 0.1:
        own = steps.SCRIPT_RAM + r.randrange(0xa0, 0xc0, 4)
        n = r.choice([4, 4, 16, 64])
        pair = [src & ~3, own] if r.random() < 0.5 else [own, dst & ~3]
        return asm.memory_move(n, *pair)
    if r.random() < 0.1:
        own = [steps.REGS + at for at in r.choices([0x34, 0x5c, 0x60, 0x94], k=2)]
        return asm.memory_move(4, *own)
    return asm.memory_move(n, src, dst)


def condition(r):
    bits = asm.TRUE if r.random() < 0.6 else 0
    pick = r.random()
    if pick < 0.3:
        return bits | asm.DATA | r.getrandbits(8) | r.choice([0, 0, r.getrandbits(8) << 8])
    if pick < 0.5:
        return bits | asm.CARRY
    if pick < 0.6:
        return bits | asm.PHASE | r.randrange(8) << 24
    return bits


def insn_transfer(r, ahead):
    op = r.choice([asm.JUMP, asm.JUMP, asm.INT, "fly"])
    if op == "fly":
        return asm.transfer(asm.INT, condition(r) | asm.FLY, addr=r.getrandbits(16))
    if op == asm.INT:
        return asm.transfer(op, condition(r) & ~asm.TRUE, addr=r.getrandbits(16))
    return asm.transfer(op, condition(r) | r.choice([0, asm.RELATIVE]), r.choice(ahead))


def insn_io(r, _):
    return asm.io(r.choice([3, 4]), r.choice([0x400, 0x400, 0x40]))


MAKERS = [insn_rw] * 6 + [insn_load_store] * 4 + [insn_memory_move] * 3 + [insn_transfer] * 3 + [
    insn_io]


def program(r):
    """Main part and subroutine; jumps lead forwards only, so that it ends."""
    size, sub = r.randrange(2, 20), r.choice([0, 0, 3])
    code = [r.choice(MAKERS)(r, range(i + 1, size + 1)) for i in range(size)]
    end = size + 1 + sub + 1
    if sub:
        code[r.randrange(size)] = asm.transfer(asm.CALL, condition(r), size + 1)
        code.append(asm.transfer(asm.JUMP, asm.TRUE, end))
        code += [r.choice([insn_rw, insn_load_store])(r, None) for _ in range(sub)]
        code.append(asm.transfer(asm.RETURN, condition(r)))
    return code


def scripts(r):
    out = enable(r) if r.random() < 0.7 else []
    out += [s for s in (register_step(r) for _ in range(r.randrange(0, 5)))
            if s.args[1] & 0xfc not in UPPER or r.random() < 0.1]
    if r.random() < 0.05:
        # single step: one instruction, and SSI
        out.append(steps.write("regs", 0x3b, 1, 0x10))
    out.append(steps.write("regs", 0x10, 4, play(r, 0x400) & ~3))
    out.append(steps.poke(steps.PLAY.start, r.randbytes(0x100)))
    for _ in range(r.choice([1, 1, 2, 3])):
        code = program(r)
        place = steps.PROGRAM
        if sum(4 * len(i.words) for i in code) < 0x78 and r.random() < 0.2:
            place = steps.SCRIPT_RAM
        out.append(steps.script(code, place, r.getrandbits(16)))
    return out


# ---- commands ----

UNITS = [(steps.DISK, cdbs.D)] * 4 + [(steps.CDROM, cdbs.C)] * 2 + [(steps.SECOND, cdbs.D)]
ODD_UNITS = [(steps.NO_UNIT, cdbs.D), (steps.NOBODY, cdbs.D)]


ROWS = {kind: [row for row in cdbs.TABLE if row.units in (kind, cdbs.ANY)]
        for kind in (cdbs.D, cdbs.C)}


def command(r):
    unit, kind = r.choice(UNITS if r.random() < 0.97 else ODD_UNITS)
    # without ATN the CDB names the LUN (SCSI-2 7.2.2): 0, since QEMU wants an IDENTIFY
    atn = r.random() < 0.95 or unit == steps.NO_UNIT
    row = r.choice(ROWS[kind])
    cdb, out, size = row.make(r)
    if not atn:
        cdb = bytes([cdb[0], cdb[1] & 0x1f]) + cdb[2:]
    messages = b""
    if r.random() < 0.3:
        messages = bytes([r.choice([0x20, 0x21, 0x22]), r.getrandbits(8)])
    if r.random() < 0.1:
        # synchronous, wide; PPR, which QEMU rejects
        messages += r.choice([bytes((1, 3, 1, r.getrandbits(8), r.getrandbits(5))),
                              bytes((1, 2, 3, r.getrandbits(1))),
                              bytes((1, 6, 4, r.getrandbits(8), 0, r.getrandbits(5), 0, 0))])
    return steps.scsi(unit, cdb, out, size, atn=atn, messages=messages,
                      how=r.choice([0, 0, 0, 0x20000000, 0x10000000]),
                      chunk=r.choice([0, 0, 0, 512, 100, 2048]))


def commands(r):
    out = enable(r) if r.random() < 0.5 else []
    return out + [command(r) for _ in range(r.randrange(1, 6))]


# ---- the bus, as no driver uses it ----

def bus_moves(r, length):
    """Block moves in a wrong order, with wrong counts, in phases that are not there."""
    # a part of a command is one to QEMU; ours asks for the rest
    length = r.choice([length, 16])
    usual = [asm.move(1, asm.MSG_OUT, steps.MESSAGES), asm.move(length, asm.COMMAND, steps.CDB),
             asm.move(r.choice([8, 12, 36]), asm.DATA_IN, steps.DATA),
             asm.move(1, asm.STATUS, steps.STATUS), asm.move(1, asm.MSG_IN, steps.MSG_IN),
             asm.io(4, 0x40)]
    if r.random() < 0.5:
        usual.insert(r.randrange(len(usual)), r.choice(usual))
    if r.random() < 0.5:
        del usual[r.randrange(len(usual))]
    if r.random() < 0.3:
        phase = r.choice([0, 1, 2, 3, 6, 7])
        usual.insert(r.randrange(len(usual)), asm.transfer(
            asm.INT, asm.PHASE | r.choice([0, asm.TRUE]) | phase << 24, addr=0xfa5e))
    return usual


def bus(r):
    """A selection and what follows, but no Wait Disconnect, which QEMU's does not wait for; the
    resets take away what is left of it."""
    out = enable(r) if r.random() < 0.5 else []
    unit = r.choice([steps.DISK, steps.SECOND, steps.CDROM, steps.NOBODY])
    cdb = r.choice([bytes(6), bytes((0x12, 0, 0, 0, 36, 0)), bytes((0x1a, 0, 0x3f, 0, 12, 0)),
                    bytes((0x25, *bytes(9)))])
    out += [steps.poke(steps.CDB, cdb + bytes(16 - len(cdb))),
            steps.poke(steps.MESSAGES, bytes([r.choice([0xc0, 0x80, 0x08])]))]
    select = asm.io(0, 0x01000000 | unit[0] << 16, addr=steps.PLAY.start)
    out.append(steps.script([select] + bus_moves(r, len(cdb)), final=r.getrandbits(16)))
    return out + [steps.reset("bus"), steps.reset("soft")]


def mixture(r):
    """A bit of everything, with resets between, since registers may hold anything."""
    out = []
    for _ in range(r.randrange(2, 4)):
        out += r.choice([registers, scripts, commands])(r)
        kind = r.choice(["device", "soft", "bus"])
        out += [steps.reset(kind)] + ([steps.reset("soft")] if kind == "bus" else [])
    return out


KINDS = {"registers": registers, "scripts": scripts, "commands": commands, "bus": bus,
         "mixture": mixture}
WEIGHTS = {"registers": 3, "scripts": 5, "commands": 5, "bus": 1, "mixture": 1}


def sequence(seed, kinds=None):
    """The sequence of @seed; @kinds narrows what it may be."""
    r = random.Random(seed)
    kinds = kinds or list(KINDS)
    return KINDS[r.choices(kinds, [WEIGHTS[k] for k in kinds])[0]](r)
