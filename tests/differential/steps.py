# SPDX-License-Identifier: GPL-2.0-or-later
"""What a sequence is made of, where things lie in guest memory, and how a step is told.

A sequence is a list of Step: a kind and its arguments, plain data that pickles and prints.
"""
from collections import namedtuple

import asm

IO, REGS, SCRIPT_RAM = 0xc000, 0xfea00000, 0xfea02000       # where the BARs are placed
BASES = {"io": (IO, 0), "regs": (REGS, 1), "ram": (SCRIPT_RAM, 1)}

# Guest RAM.  What nobody has written is INT instructions (asm.END in every word), so that a script
# that strays soon ends.
RAM_SIZE = 0x60000
DRIVER, PROGRAM, TABLES = 0x0000, 0x1000, 0x3000
PLAY = range(0x4000, 0x8000)        # memory moves, loads and stores of generated scripts
CDB, MESSAGES, MSG_IN, STATUS = 0x2000, 0x2040, 0x2080, 0x20c0
DATA = 0x10000                      # data of commands
SINK = 0x40000                      # where more data than expected goes, and comes from
SINK_SIZE = 0x10000

# Units: SCSI id and LUN -> what is there.
DISK, SECOND, CDROM, NO_UNIT, NOBODY = (0, 0), (1, 0), (2, 0), (0, 1), (5, 0)

Step = namedtuple("Step", "kind args")


def read(bar, off, size):
    return Step("read", (bar, off, size))


def write(bar, off, size, val):
    return Step("write", (bar, off, size, val))


def cfg_read(off, size):
    return Step("cfg_read", (off, size))


def cfg_write(off, size, val):
    """Writes, reads back, and puts back what stood there."""
    return Step("cfg_write", (off, size, val))


def poke(addr, data):
    return Step("poke", (addr, data))


def script(program, place=PROGRAM, final=0x600d):
    """Runs a program at @place, in guest RAM or in script RAM, and dumps the registers."""
    return Step("script", (tuple(program), place, final))


Command = namedtuple("Command", "unit cdb out size atn messages how chunk")


def scsi(unit, cdb, out=b"", size=0, atn=True, messages=b"", how=0, chunk=0):
    """A command by a driver's script: @out to send or @size to fetch; @messages after IDENTIFY,
    @how of asm.move(), @chunk: bytes of each data move, 0 for all at once."""
    return Step("scsi", Command(unit, cdb, out, size, atn, messages, how, chunk))


def reset(kind):
    """"device", "soft" or "bus"."""
    return Step("reset", (kind,))


def tell(step):
    """Lines that say what the step does."""
    kind, args = step
    if kind == "script":
        program, place, final = args
        return [f"script at {place:#x}, ended by INT {final:#x}"] + [
            f"    #{i} {asm.tell(insn)}" for i, insn in enumerate(program)]
    if kind == "scsi":
        words = [f"command {args.cdb.hex(' ')} to id {args.unit[0]} LUN {args.unit[1]}"]
        words += [f"sends {len(args.out)} bytes {args.out[:16].hex()}"] if args.out else []
        words += [f"fetches {args.size} bytes"] if args.size else []
        words += ["selected without ATN"] if not args.atn else []
        words += [f"messages {args.messages.hex(' ')}"] if args.messages else []
        words += [{0x20000000: "indirect", 0x10000000: "table"}[args.how]] if args.how else []
        words += [f"in moves of {args.chunk}"] if args.chunk else []
        return [", ".join(words)]
    if kind == "poke":
        data = args[1].hex()
        data = data if len(data) <= 64 else f"{data[:64]}... ({len(args[1])} bytes)"
        return [f"guest memory {args[0]:#x} = {data}"]
    return [" ".join([kind.replace("_", " ")] + [
        f"{a:#x}" if isinstance(a, int) else str(a) for a in args])]
