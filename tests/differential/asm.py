# SPDX-License-Identifier: GPL-2.0-or-later
"""SCRIPTS instructions (manual, chapter 5): made, placed in memory, and told in words.

A program is a list of Insn.  A jump names its target as the index of an instruction, so that
instructions can be taken out; the index past the last is the INT that ends every program.
"""
import struct
from collections import namedtuple

# Words of an instruction; @target: index of the instruction that the second word is to point at.
Insn = namedtuple("Insn", "words target", defaults=[None])

DATA_OUT, DATA_IN, COMMAND, STATUS, MSG_OUT, MSG_IN = 0, 1, 2, 3, 6, 7
PHASES = {0: "DATA_OUT", 1: "DATA_IN", 2: "COMMAND", 3: "STATUS", 4: "4", 5: "5", 6: "MSG_OUT",
          7: "MSG_IN"}
JUMP, CALL, RETURN, INT = 0, 1, 2, 3
TRUE, DATA, PHASE, WAIT = 0x80000, 0x40000, 0x20000, 0x10000
CARRY, FLY, JUMP64, RELATIVE = 0x200000, 0x100000, 0x400000, 0x800000
END = 0x98080000        # INT, always


def move(count, phase, addr, how=0):
    """@how: 0 direct, 0x20000000 indirect, 0x10000000 table."""
    return Insn((how | phase << 24 | count, addr))


def io(opcode, bits=0, addr=0, target=None):
    return Insn((0x40000000 | opcode << 27 | bits, addr), target)


def transfer(opcode, bits, target=None, addr=0):
    return Insn((0x80000000 | opcode << 27 | bits, addr), target)


def interrupt(value):
    return Insn((END, value))


def read_write(opcode, operator, reg, data, sfbr=0):
    return Insn((0x40000000 | opcode << 27 | operator << 24 | sfbr << 23 | (reg & 0x7f) << 16 |
                 data << 8 | (reg & 0x80), 0))


def memory_move(count, src, dst):
    return Insn((0xc0000000 | count, src, dst))


def load_store(load, reg, count, addr, relative=False):
    return Insn((0xe0000000 | relative << 28 | load << 24 | reg << 16 | count, addr))


def assemble(program, base, final):
    """The bytes of @program at @base, ended by INT @final."""
    at, places = base, []
    for insn in program:
        places.append(at)
        at += 4 * len(insn.words)
    places.append(at)
    out = b""
    for insn, place in zip(program, places):
        words = list(insn.words)
        if insn.target is not None:
            words[1] = places[min(insn.target, len(program))]
            if words[0] >> 30 == 2 and words[0] & RELATIVE:
                words[1] = (words[1] - place - 4 * len(words)) & 0xffffff
        out += struct.pack(f"<{len(words)}I", *words)
    return out + struct.pack("<2I", END, final)


def without(program, index):
    """@program without one instruction; what pointed behind it still does."""
    rest = []
    for i, insn in enumerate(program):
        if i == index:
            continue
        if insn.target is not None and insn.target > index:
            insn = insn._replace(target=insn.target - 1)
        rest.append(insn)
    return rest


def _where(insn):
    return f"#{insn.target}" if insn.target is not None else f"{insn.words[1]:#x}"


def _tell_move(insn):
    word = insn.words[0]
    how = {0: "", 2: "indirect ", 1: "table "}.get(word >> 28 & 3, "both ")
    return f"MOVE {word & 0xffffff} bytes, {how}{insn.words[1]:#x}, when {PHASES[word >> 24 & 7]}"


def _tell_io(insn):
    word = insn.words[0]
    name = ["SELECT", "WAIT DISCONNECT", "WAIT RESELECT", "SET", "CLEAR"][word >> 27 & 7]
    return f"{name} {word & 0x7ffffff:#x}, {_where(insn)}"


def _tell_rw(insn):
    word = insn.words[0]
    op = ["MOVE", "SHL", "OR", "XOR", "AND", "SHR", "ADD", "ADDC"][word >> 24 & 7]
    reg = f"[{word >> 16 & 0x7f | word & 0x80:#x}]"
    data = "SFBR" if word & 0x800000 else f"{word >> 8 & 0xff:#x}"
    to, source = {5: (reg, "SFBR"), 6: ("SFBR", reg), 7: (reg, reg)}[word >> 27 & 7]
    return f"{to} = {source} {op} {data}"


def _tell_transfer(insn):
    word = insn.words[0]
    names = ["JUMP", "CALL", "RETURN", "INTFLY" if word & FLY else "INT", "?4", "?5", "?6", "?7"]
    when = [f"{'' if word & TRUE else 'not '}"]
    when += ["carry"] if word & CARRY else []
    when += [f"{'when' if word & WAIT else 'if'} {PHASES[word >> 24 & 7]}"] if word & PHASE else []
    when += [f"SFBR = {word & 0xff:#x} but {word >> 8 & 0xff:#x}"] if word & DATA else []
    flags = [text for bit, text in ((RELATIVE, "relative"), (JUMP64, "64")) if word & bit]
    return f"{names[word >> 27 & 7]} {_where(insn)} {' '.join(flags + when)}".rstrip()


def tell(insn):
    """The instruction in words, behind its raw words."""
    word = insn.words[0]
    kind = word >> 27
    if kind < 8:
        text = _tell_move(insn)
    elif kind < 13:
        text = _tell_io(insn)
    elif kind < 16:
        text = _tell_rw(insn)
    elif kind < 24:
        text = _tell_transfer(insn)
    elif kind < 28:
        text = f"MEMORY MOVE {word & 0xffffff} bytes, " + " -> ".join(
            f"{w:#x}" for w in insn.words[1:])
    else:
        text = (f"{'LOAD' if word & 0x01000000 else 'STORE'} [{word >> 16 & 0xff:#x}] "
                f"{word & 7} bytes, {'DSA + ' if word & 0x10000000 else ''}{insn.words[1]:#x}")
    return " ".join(f"{w:08x}" for w in insn.words) + "  " + text
