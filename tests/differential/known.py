# SPDX-License-Identifier: GPL-2.0-or-later
"""Differences that are known, each with its reason.  What is not here is reported."""
from collections import namedtuple

import asm
import known_scsi
import steps
from known_scsi import outcome

# @applies: Diff -> is it this one.  @ends: the two chips are in different states from here on.
Known = namedtuple("Known", "name applies ends reason")

NOT_THERE = "QEMU has no such register and reads ones; ours has it, or reads 0 (manual, 4.1)"
RESERVED = "reserved bits read 0 (manual, 4.1); QEMU keeps them"
# Bits of registers that differ at any time: offset -> (mask, why).
BITS = {
    0x00: (0x24, "SCNTL0.START is refused; bit 2 is reserved; QEMU keeps both"),
    0x04: (0x90, RESERVED),
    0x07: (0xff, "GPREG: outputs read back as driven, inputs 1; QEMU's is always 7f"),
    0x08: (0xff, "SFBR: QEMU reads 0, a revision"),
    0x09: (0x48, "SOCL.ACK, ATN: as the lines stand; QEMU has ATN after Set only, and keeps it"),
    0x0b: (0xff, "SBCL: QEMU reads 0"),
    0x14: (0x08, "ISTAT0.CON: QEMU shows a connection in SCNTL1 only"),
    0x1b: (0x0c, "CTEST3.FLF, CLF are done at once and read 0"),
    0x20: (0xff, "DFIFO: QEMU reads 0"),
    0x21: (0x07, "CTEST4.FBL is refused; QEMU keeps it"),
    0x22: (0xc3, "CTEST5.ADCK, BBCK are refused, BO9-8 read only; QEMU keeps them"),
    0x27: (0xff, "DCMD can be written; QEMU's cannot"),
    0x39: (0x82, RESERVED),
    **{at: (0xff, "ADDER: QEMU shows every jump, and keeps it over a reset")
       for at in range(0x3c, 0x40)},
    0x41: (0xe8, RESERVED),
    0x46: (0x0f, "MACNTL is kept; QEMU's is always 0f"),
    0x47: (0xff, "GPCNTL is kept; QEMU's is always 0f"),
    0x4d: (0x33, RESERVED),
    0x4e: (0x41, "STEST2.ROF, LOW read 0"),
    0x4f: (0x47, "STEST3.CSF, STR, TTM, STW read 0"),
    0x56: (0x0c, RESERVED), 0x57: (0x70, RESERVED),
    **{at: (0xff, NOT_THERE) for at in (
        0x44, 0x45, 0x49, 0x4c, 0x51, 0x53, 0x54, 0x55, 0x5a, 0x5b, *range(0xbc, 0xc0),
        *range(0xd0, 0xd4), *range(0xe0, 0x100))},
    **{at: (0xff, "SBC is read only and counts what was moved; QEMU's can be written and shows DBC")
       for at in range(0xd8, 0xdc)},
}
# Registers that tell of the last instruction: QEMU loads them in block moves only, or not at all.
AFTER_SCRIPT = {
    **{at: "DBC has the low bits of any instruction's first word (manual, 4.1)"
       for at in (0x24, 0x25, 0x26)},
    **{at: "DNAD: QEMU loads it in every I/O instruction" for at in range(0x28, 0x2c)},
    **{at: "RBC, UA: QEMU counts the other way round" for at in (*range(0xc8, 0xd0),)},
    **{at: "CSBC: QEMU counts data only" for at in range(0xdc, 0xe0)},
    0x02: "SCNTL2.SDU: a selection sets it; QEMU never does",
    0x0a: "SSID: a target disconnects, or does not, at other points",
    0x50: "SIDL: QEMU latches messages only, ours the status too",
}


def byte_of(diff):
    """The register's offset, or None."""
    return int(diff.key[9:], 16) if diff.key.startswith("register ") else None


def register_bits(diff):
    mask, _ = BITS.get(byte_of(diff), (0, ""))
    return not (diff.theirs ^ diff.ours) & ~mask if byte_of(diff) is not None else False


def connected(diff):
    return diff.key == "istat0" and not (diff.theirs ^ diff.ours) & ~BITS[0x14][0]


def ran(diff):
    """Has a script run in this sequence?"""
    return any(s.kind in ("script", "scsi", "reset") for s in (*diff.before, diff.step))


def after_script(diff):
    return ran(diff) and (byte_of(diff) in AFTER_SCRIPT or diff.key == "dbc")


# ---- config space ----

def config_latency(diff):
    at_it = diff.step.kind in ("cfg_read", "cfg_write") and diff.step.args[0] & ~3 == 0x0c
    return diff.key == "config 0c" or at_it


# ---- commands ----

def field_pointer(diff):
    """The same sense, with the place that was wrong or the block (SPC-3 4.5)."""
    if diff.key != "sense data" or diff.theirs is None or diff.ours is None:
        return False
    theirs, ours = bytearray(diff.theirs), bytearray(diff.ours)
    for sense in (theirs, ours):
        sense[0] &= 0x7f
        sense[3:7] = sense[15:18] = bytes(4)
    return theirs[:18] == ours[:18]


def padding(diff):
    """QEMU fills up to the allocation length with zeroes."""
    if diff.key not in ("data", "sink") or outcome(diff.answers[0]) != outcome(diff.answers[1]):
        return False
    length = len(diff.ours.rstrip(b"\xc3"))
    return diff.theirs[:length] == diff.ours[:length] and not diff.theirs[length:].strip(b"\0\xc3")


def waits_in_data_in(diff):
    return diff.key == "mismatches"


def no_data_out_buffer(diff):
    """WRITE SAME(16) with NDOB."""
    return diff.key in ("disk", "second disk") and any(
        s.kind == "scsi" and s.args.cdb[0] == 0x93 and s.args.cdb[1] & 1 for s in diff.before)


def mismatch_interrupt(diff):
    """One more phase mismatch interrupts, where MA is enabled."""
    if diff.key != "interrupt" or diff.step.kind != "scsi":
        return False
    theirs, ours = diff.answers
    return theirs["mismatches"] != ours["mismatches"] or theirs["data"] != ours["data"]


# ---- scripts ----

def insns(diff):
    """Every instruction that a script of the sequence had until now."""
    return [i for s in (*diff.before, diff.step) if s.kind == "script" for i in s.args[0]]


def insn_writes(insn):
    """The registers that an instruction writes as such, not by a memory move."""
    word = insn.words[0]
    if word >> 27 in (0x0d, 0x0f):
        return [word >> 16 & 0x7f | word & 0x80]
    if word >> 29 == 7 and word & 0x01000000:
        return range(word >> 16 & 0xff, (word >> 16 & 0xff) + (word & 7))
    return ()


def written(diff, regs):
    """Has a step or a script written one of those registers?"""
    for step in (*diff.before, diff.step):
        if step.kind == "write" and step.args[0] != "ram":
            at = step.args[1] & 0xff
            if any(r in regs for r in range(at, at + step.args[2])):
                return True
    return any(r in regs for i in insns(diff) for r in insn_writes(i))


def illegal(insn):
    """Is it one that the manual forbids and QEMU executes?"""
    word, n = insn.words[0], insn.words[0] & 7
    if word >> 29 == 6:
        return not word & 0xffffff or (insn.words[1] ^ insn.words[2]) & 3
    if word >> 29 == 7:
        reg = word >> 16 & 0xff
        return not n or (reg & 3) + n > 4 or (insn.words[1] ^ reg) & 3
    return False


def illegal_instruction(diff):
    ours = diff.answers[1]
    return ours.get("dstat", 0) & 0x01 and any(illegal(i) for i in diff.step.args[0])


def upper_address(diff):
    fault = diff.step.kind == "script" and diff.answers[1].get("dstat", 0) & 0x20
    return fault and written(diff, range(0xa0, 0xb8))


def io_space(diff):
    return diff.step.kind == "script" and (
        diff.answers[1].get("dstat", 0) & 0x20) and written(diff, [0x38])


def base_addresses(diff):
    return written(diff, [0x1a]) and byte_of(diff) in (*range(0x34, 0x38), *range(0x5c, 0x60))


def other_stop(diff):
    return byte_of(diff) in (*range(0x2c, 0x30), *range(0xd4, 0xd8)) and any(
        s.kind == "scsi" for s in diff.before)


CLEAR_ACK = asm.io(4, 0x40).words[0]


def is_move(insn, phase):
    return insn.words[0] < 0x40000000 and insn.words[0] >> 24 & 7 == phase


def timed_out(diff):
    return byte_of(diff) in range(0xd4, 0xd8) and any(i.words[0] >> 27 == 8 for i in insns(diff))


def not_connected(diff):
    theirs, ours = (a.get("sist", 0) for a in diff.answers)
    return theirs == 0x80 and ours == 0x04


def late_timeout(diff):
    theirs, ours = diff.answers
    return diff.step.kind == "script" and theirs.get("sist") == 0x400 and (
        not ours["sist"] or theirs["dsp"] != ours["dsp"])


def second_message(diff):
    return diff.step.kind == "script" and sum(
        is_move(i, asm.MSG_OUT) for i in diff.step.args[0]) > 1


def not_acknowledged(diff):
    """Does the script go on after a MESSAGE IN without Clear ACK?"""
    code = diff.step.args[0] if diff.step.kind == "script" else ()
    return any(is_move(a, asm.MSG_IN) and b.words[0] != CLEAR_ACK for a, b in zip(code, code[1:]))


def acknowledged(diff):
    return byte_of(diff) in (0x01, 0x0e, 0x0f, 0x58) and any(
        is_move(i, asm.MSG_IN) for i in insns(diff))


def phase_after_reset(diff):
    return byte_of(diff) == 0x0e and steps.reset("bus") in (*diff.before, diff.step)


def ram_reset(diff):
    ram = diff.key.startswith("script ram") or (
        diff.step.kind in ("read", "write") and diff.step.args[0] == "ram")
    return ram and steps.reset("device") in diff.before


def irq_disabled(diff):
    return diff.key == "interrupt" and written(diff, [0x3b])


KNOWN = [
    Known("stopped in the other dispatcher", other_stop, False,
          "one more phase mismatch, see 'waits in DATA IN', and the driver's script is another"),
    Known("field pointer, information", field_pointer, False,
          "the sense names the byte that was wrong, or the block (SPC-3 4.5.2)"),
    Known("padding", padding, False,
          "QEMU fills up to the allocation length with zeroes; ours ends where the answer ends "
          "(SPC-3 4.3.4.6)"),
    Known("WRITE SAME without data", no_data_out_buffer, False,
          "QEMU answers GOOD to NDOB and writes nothing (docs/upstream-bugs.md)"),
    Known("interrupt of a phase mismatch", mismatch_interrupt, False,
          "follows from 'padding' and 'waits in DATA IN'"),
    Known("waits in DATA IN", waits_in_data_in, False,
          "QEMU shows DATA IN while a command without data is busy; ours shows no phase"),
    Known("register bits", register_bits, False, "see BITS"),
    Known("ISTAT0.CON", connected, False, "see BITS"),
    Known("registers of the last instruction", after_script, False, "see AFTER_SCRIPT"),
    Known("base addresses", base_addresses, True,
          "CTEST2.PCICIE shows the BARs in SCRATCHA and B (manual, CTEST2); QEMU does not"),
    Known("illegal instruction", illegal_instruction, True,
          "counts of 0 and unlike alignment end with IID (manual 5.6, 5.7); QEMU moves the bytes"),
    Known("64-bit address", upper_address, True,
          "MMRS, MMWS, SFS, DRS are upper halves of addresses; QEMU has them for block moves only"),
    Known("I/O space", io_space, True,
          "DMODE.SIOM, DIOM: nothing of the guest is in I/O space; QEMU reads and writes nowhere"),
    Known("IA of a move that times out", timed_out, False,
          "the move had begun when the selection timed out"),
    Known("move without a connection", not_connected, True,
          "UDC: there is nobody to ask for a phase; QEMU's phase mismatches"),
    Known("late selection timeout", late_timeout, True,
          "STO comes when the script needs the bus; QEMU's at the next jump or INT as well"),
    Known("second MESSAGE OUT", second_message, True,
          "until a target has heard IDENTIFY it takes messages in COMMAND, as SeaBIOS needs it"),
    Known("no Clear ACK", not_acknowledged, True, "see 'ACK# after MESSAGE IN'"),
    Known("ACK# after MESSAGE IN", acknowledged, False,
          "the target goes on after Clear ACK (docs/lsi53c895a.md); QEMU's at once"),
    Known("phase after a bus reset", phase_after_reset, False,
          "a bus reset ends the connection (SCSI-2 6.2.2); QEMU keeps it, with its phase"),
    Known("script RAM after RST#", ram_reset, False, "a device reset clears it; QEMU's keeps it"),
    Known("DCNTL.IRQD", irq_disabled, False, "keeps the pin down (manual, DCNTL); QEMU ignores it"),
    Known("latency timer", config_latency, False,
          "a bus master has a latency timer (PCI Local Bus 3.0, 6.2.4); QEMU's is read only"),
]


def find(diff):
    row = known_scsi.find_outcome(diff)
    if row:
        return row
    if known_scsi.find_data(diff):
        return Known(f"data of {diff.step.args.cdb[0]:02x}", None, False, "")
    for entry in KNOWN:
        if entry.applies(diff):
            return entry
    return None
