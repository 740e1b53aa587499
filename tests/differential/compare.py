# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the answers of both remotes, step by step, and sorts what differs by the known list.

After a known difference that ends a sequence the two chips are in different states on purpose, and
what follows is not compared.
"""
import re
from collections import namedtuple

import known
import known_scsi
import runner
import steps

# @index: of the step, or None after the last.  @answers: all that both sides said in this step.
Diff = namedtuple("Diff", "index step key theirs ours answers before")
# @diffs: the unknown ones.  @known: {name: count}.  @died: a runner.Died, or None.
Result = namedtuple("Result", "diffs known died")


def show(value):
    if isinstance(value, bytes):
        return value[:48].hex(" ") + (f" ... ({len(value)} bytes)" if len(value) > 48 else "")
    return f"{value:#x}" if isinstance(value, int) else str(value)


def register_bytes(answers, key, first, size):
    """(key, theirs, ours) for each byte of a register that differs."""
    theirs, ours = (a[key] for a in answers)
    for i in range(size):
        one, two = theirs >> 8 * i & 0xff, ours >> 8 * i & 0xff
        if one != two:
            yield f"register {first + i & 0xff:02x}", one, two


def ranges(theirs, ours, unit=16, most=8):
    """The places where two memories differ, in pieces of @unit bytes."""
    found = []
    for page in range(0, len(theirs), 4096):
        if theirs[page:page + 4096] == ours[page:page + 4096]:
            continue
        for at in range(page, page + 4096, unit):
            if theirs[at:at + unit] != ours[at:at + unit]:
                found.append((at, theirs[at:at + unit], ours[at:at + unit]))
                if len(found) == most:
                    return found
    return found


def memory_diff(answers, key):
    found = ranges(answers[0][key], answers[1][key])
    if found:
        yield key, *(" ".join(f"{row[0]:#x}: {row[side].hex()}" for row in found)
                     for side in (1, 2))


def split(step, answers):
    """(key, theirs, ours) of everything that differs between two dicts of answers."""
    theirs, ours = answers
    if theirs.get("stopped") != ours.get("stopped"):
        yield "stopped", theirs.get("stopped"), ours.get("stopped")
        return
    if theirs.get("end") != ours.get("end") and "runs on" in (theirs["end"], ours["end"]):
        yield "end", theirs["end"], ours["end"]
        return
    for key in theirs:
        if theirs[key] == ours.get(key):
            continue
        found = re.fullmatch(r"(?:final )?register (..)", key)
        if found:
            yield from register_bytes(answers, key, int(found[1], 16), 4)
        elif key == "value" and step.kind == "read" and step.args[0] != "ram":
            yield from register_bytes(answers, key, step.args[1], step.args[2])
        elif key == "value" and step.kind == "write" and step.args[0] != "ram":
            yield from register_bytes(answers, key, step.args[1] & ~3, 4)
        elif key in ("memory", "disk", "second disk"):
            yield from memory_diff(answers, key)
        else:
            yield key, theirs[key], ours.get(key)


def _sort(diffs, all_known):
    """The unknown ones of @diffs; counts the known; does one of them end the sequence?"""
    new, ends = [], False
    for diff in diffs:
        entry = known.find(diff)
        if entry:
            all_known[entry.name] = all_known.get(entry.name, 0) + 1
            ends = ends or entry.ends
        else:
            new.append(diff)
    return ([], True) if ends else (new, False)


def _mode_selected(step):
    """QEMU keeps a mode until the process ends, and sets what comes before what it refuses."""
    return step.kind == "scsi" and step.args.cdb[0] in (0x15, 0x55) and step.args.out


LEAVES_STATE = {0x1b, 0x1e, 0x16, 0x17, 0x56, 0x57}


def _leaves_state(sequence):
    """Could a unit be other than at the start?"""
    return any(s.kind == "scsi" and s.args.cdb[0] in LEAVES_STATE for s in sequence)


def _blank(answers, sequence):
    """Takes out of memory what the driver itself keeps there, which may differ in form."""
    if not any(s.kind in ("scsi", "reset") for s in sequence):
        return
    for answer in answers:
        memory = bytearray(answer["memory"])
        for start, size in ((steps.DRIVER, 0x1000), (steps.CDB, 0x2000), (steps.DATA, 0x50000)):
            memory[start:start + size] = bytes(size)
        answer["memory"] = bytes(memory)


def _diffs(index, step, answers, before):
    return [Diff(index, step, key, theirs, ours, answers, before)
            for key, theirs, ours in split(step, answers)]


def run(pair, sequence):
    """Runs a sequence on both sides; a Result with the unknown differences of the first step that
    has some."""
    counts, fresh = {}, True
    try:
        pair.begin(sequence)
        for index, step in enumerate(sequence):
            answers = pair.step(step)
            fresh = fresh and not _mode_selected(step) and not _hung(answers)
            new, ends = _sort(_diffs(index, step, answers, sequence[:index]), counts)
            if new or ends or known_scsi.in_part(step, answers):
                pair.mark(fresh, False)
                return Result(new, counts, None)
        answers = pair.end()
        _blank(answers, sequence)
        end = steps.Step("end", ())
        new, ends = _sort(_diffs(None, end, answers, sequence), counts)
        pair.mark(fresh, not new and not ends and _idle(sequence) and not _leaves_state(sequence))
        return Result(new, counts, None)
    except runner.Died as death:
        pair.mark(False, False)
        return Result([], counts, death)


def _hung(answers):
    return any(a.get("stopped") is False or a.get("end") == "runs on" for a in answers)


def _idle(sequence):
    """Nothing is left connected or queued by what a sequence did."""
    return all(s.kind != "script" or not any(
        i.words[0] >> 27 in range(0x08, 0x0b) or i.words[0] < 0x40000000 for i in s.args[0])
        for s in sequence)


def tell(result):
    """Lines about the unknown differences."""
    lines = []
    if result.died:
        lines.append(f"{result.died.side.name} ended: {result.died.words}")
    for diff in result.diffs:
        where = "at the end" if diff.index is None else f"step {diff.index}"
        lines.append(f"{where}: {diff.key}: QEMU {show(diff.theirs)} | ours {show(diff.ours)}")
    return lines
