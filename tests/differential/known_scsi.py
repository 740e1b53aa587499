# SPDX-License-Identifier: GPL-2.0-or-later
"""Known differences of commands: QEMU's scsi-disk against ours (docs/scsi-commands.md)."""
import re
from collections import namedtuple

# @ops: opcodes.  @theirs, @ours: patterns of outcome().  @cdb: a further condition on the CDB.
# @ends: data or a state may be different from here on.
Row = namedtuple("Row", "name ops theirs ours cdb ends reason")
ANY = range(256)
NOT_OURS, BAD_FIELD, BAD_RANGE = "05/20/00", "05/24/00", "05/21/00"


def outcome(answer):
    """A command's end in one word: good, a sense, a status, or how the script stopped."""
    status = answer.get("status")
    if status == 2 and "sense" in answer:
        return "{:02x}/{:02x}/{:02x}".format(*answer["sense"])
    return {0: "good", 0xee: "no status: " + answer.get("end", ""), -1: "runs on"}.get(
        status, f"status {status}")


def page(*codes):
    return lambda cdb: cdb[2] & 0x3f in codes


def has(byte, mask):
    return lambda cdb: cdb[byte] & mask


def action(*codes):
    return lambda cdb: cdb[1] & 0x1f in codes


def always(_):
    return True


def control(cdb):
    return cdb[-1]


# Opcodes of docs/scsi-commands.md.
TABLE = {0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x17, 0x1a, 0x1b, 0x1d, 0x1e, 0x25, 0x28, 0x2a,
         0x2b, 0x2e, 0x2f, 0x34, 0x35, 0x37, 0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x55, 0x56, 0x57,
         0x5a, 0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa,
         0xad, 0xae, 0xaf, 0xb7, 0xbb, 0xbd, 0xbe}

ROWS = [
    Row("CONTROL byte", ANY, ".*", BAD_FIELD, control, True,
        "NACA, LINK and vendor bits are refused (SAM-3 5.2); QEMU ignores them"),
    Row("stopped disk", ANY, ".*", "02/04/02", always, True,
        "a stopped disk is not ready until START (SBC-3 5.25)"),
    Row("tray open", ANY, "02/3a/00", "02/3a/02", always, False,
        "3A/02 says more than 3A/00 (SPC-3 annex D)"),
    Row("commands that QEMU has not", [0x91, 0x1d, 0x37, 0xb7, 0x89, 0x8b, 0x34, 0x90, 0xa3, 0xbe,
                                       0xbb, 0x56, 0x57, 0x8e, 0x8f],
        NOT_OURS, ".*", always, True, "SBC-3, SPC-3, MMC-6: the tables of commands"),
    Row("GET LBA STATUS", [0x9e], BAD_FIELD, ".*", action(0x12), False, "SBC-3 5.4"),
    Row("SERVICE ACTION IN of a CD", [0x9e], "good|" + BAD_FIELD, NOT_OURS, always, False,
        "a CD drive has no such command (MMC-6)"),
    Row("DPO, FUA", [0x28, 0x2a, 0x2e, 0xa8, 0xaa, 0xae, 0x88, 0x8a, 0x8e], "good|" + BAD_RANGE,
        BAD_FIELD, has(1, 0x18), True, "not supported without dpofua=on (SBC-3 6.4.1)"),
    Row("byte 1", [0x28, 0x2a, 0x2e, 0x2f, 0x12, 0xa8, 0xaa, 0xae, 0xaf, 0x88, 0x8a, 0x8e, 0x8f,
                   0x41, 0x93, 0x25], "good|05/../..", BAD_FIELD, has(1, 0xff), True,
        "protection, obsolete and reserved bits of byte 1 are refused (SBC-3); QEMU ignores them"),
    Row("range of SYNCHRONIZE CACHE, VERIFY", [0x35, 0x2f], "good|" + BAD_FIELD, BAD_RANGE, always,
        False, "an address beyond the last block is refused (SBC-3 5.26, 5.29)"),
    Row("BYTCHK", [0x2f], BAD_FIELD, "0e/1d/00|good", has(1, 0x06), True, "SBC-3 5.29"),
    Row("DVD structure", [0xad], "good|05/../..", "05/30/02|05/20/00", always, False,
        "the disc is a CD: cannot read (MMC-6 6.22); a disk has no such command"),
    Row("control and exceptions pages", [0x1a, 0x5a], BAD_FIELD, "good", page(0x0a, 0x1c, 0x0d),
        False, "SPC-3 7.4.6, 7.4.11, MMC-6"),
    Row("subpages", [0x1a, 0x5a], "good|05/39/00", BAD_FIELD, lambda cdb: cdb[3], False,
        "there are none but 00h and FFh (SPC-3 6.9); QEMU ignores the byte"),
    Row("saved pages", [0x1a, 0x5a], "05/39/00", BAD_FIELD, lambda cdb: cdb[2] & 0xc0 == 0xc0,
        False, "a page that is not there is refused as such first"),
    Row("WRITE SAME range", [0x41, 0x93], "good|" + BAD_FIELD, BAD_RANGE, always, True,
        "the range is checked first, and also with NDOB (SBC-3 5.43, 5.44)"),
    Row("REPORT LUNS of an absent unit", [0xa0], "05/25/00", "good", always, False,
        "any LUN answers it (SPC-3 6.21)"),
    Row("other opcodes", [o for o in ANY if o not in TABLE], "05/../..|02/../..", NOT_OURS, always,
        False, "QEMU looks at the medium or the CDB before it finds that it has no such command"),
    Row("commands of a CD on a disk", [0x43, 0x46, 0x4a, 0x51, 0xbd], "good|05/../..|02/../..",
        NOT_OURS, always, False, "MMC-6; a disk is no CD"),
    Row("commands of a disk on a CD", [0x2a, 0x2e, 0x2f, 0x41, 0x42, 0x93, 0x0a, 0x04, 0x8a, 0xaa,
                                       0xae, 0xaf, 0x88, 0x8f, 0x8e],
        ".*", NOT_OURS, always, False, "SBC-3; a CD drive has none of them"),
    Row("FORMAT UNIT", [0x04], "good", NOT_OURS, always, False, "an image has no other format"),
    Row("MODE SELECT without PF", [0x15, 0x55], "good", BAD_FIELD, lambda cdb: (
        cdb[1] & 0x11) != 0x10, True, "vendor-specific or saved pages are refused (SPC-3 6.7), "
        "also where the list is empty"),
    Row("MODE SELECT without a disc", [0x15, 0x55], "02/3a/00", ".*", always, True,
        "it needs no medium (MMC-6); QEMU's needs one"),
    Row("MODE SELECT list", [0x15, 0x55], "good|05/1a/00|05/26/00", "05/26/00|05/1a/00|good",
        always, True, "block lengths and pages that ours has, see docs/scsi-commands.md"),
]
ROWS_BY_OP = {op: [row for row in ROWS if op in row.ops] for op in range(256)}


def find_outcome(diff):
    """The row for a command that ends differently."""
    if diff.step.kind != "scsi":
        return None
    cdb = diff.step.args.cdb
    theirs, ours = (outcome(a) for a in diff.answers)
    if theirs == ours:
        return None
    for row in ROWS_BY_OP[cdb[0]]:
        if re.fullmatch(row.theirs, theirs) and re.fullmatch(row.ours, ours) and row.cdb(cdb):
            return row
    return None


def in_part(step, answers):
    """Is it a MODE SELECT that QEMU refused after it had set the block length?  Then what follows
    is not compared (docs/upstream-bugs.md)."""
    return step.kind == "scsi" and step.args.cdb[0] in (0x15, 0x55) and (
        answers[0]["status"] == 2 and len(step.args.out) > 8)


# ---- data of commands that both answer: bytes that differ ----

def inquiry_ignored(cdb):
    if not cdb[1] & 1:
        return {4, *range(36, 96)}
    return {5, *range(36, 44)} if cdb[2] == 0xb0 else set()


# Opcode -> (CDB -> offsets that may differ, why).
DATA = {
    0x12: (inquiry_ignored, "additional length and version descriptors (SPC-3 6.4.2), COMPARE AND "
           "WRITE and WRITE SAME limits (SBC-3 6.5.3)"),
    0x46: (lambda cdb: set(range(4096)), "features, RT and starting feature (MMC-6 5.2, 6.6)"),
    0xa0: (lambda cdb: {3} if cdb[2] == 1 else set(),
           "SELECT REPORT 01h asks for well known units, and there are none (SPC-3 6.21)"),
    0x4a: (lambda cdb: {4}, "a tray that closed on a disc is a NewMedia event (MMC-6 6.7)"),
    0x43: (lambda cdb: set(range(2, 64)), "lead-out and session are data tracks (MMC-6 6.25)"),
}


# Mode page -> offsets that may differ, on any unit.
MODE_PAGES = {0x08: {2}, 0x01: {2}}


def mode_pages(data, ten):
    """{page: its bytes}, the last one perhaps cut; None for the header."""
    header = 8 if ten else 4
    block = data[7] if ten and len(data) > 7 else data[3] if len(data) > 3 else 0
    pages, at = {None: data[2 if ten else 1:header + block]}, header + block
    while at + 1 < len(data) and data[at] & 0x3f:
        pages[data[at]] = data[at:at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return pages


def mode_data(diff):
    """Pages that both have say the same, as far as both were sent."""
    ten = diff.step.args.cdb[0] == 0x5a
    theirs, ours = (mode_pages(d.rstrip(b"\xc3"), ten) for d in (diff.theirs, diff.ours))
    for code in theirs.keys() & ours.keys():
        may = MODE_PAGES.get(code, ())
        if any(a != b and i not in may
               for i, (a, b) in enumerate(zip(theirs[code], ours[code]))):
            return False
    return True


def find_data(diff):
    if diff.step.kind != "scsi" or diff.key != "data":
        return None
    op = diff.step.args.cdb[0]
    if op in (0x1a, 0x5a) and mode_data(diff):
        return "pages that QEMU has not, and the length of it all (SPC-3 7.4)"
    if op == 0x12 and diff.step.args.unit[1]:
        return "an absent unit answers with the identity of its target (SPC-3 6.4.2)"
    if op not in DATA:
        return None
    ignored, reason = DATA[op]
    may = ignored(diff.step.args.cdb)
    length = len(diff.ours.rstrip(b"\xc3"))
    bad = [i for i in range(length) if diff.theirs[i] != diff.ours[i] and i not in may]
    return reason if not bad else None
