# SPDX-License-Identifier: GPL-2.0-or-later
"""Shrinks a sequence that differs to its shortest form: steps, then instructions of scripts, then
the data and the options of what is left, as long as the same thing differs."""
import re

import asm
import compare
import known
import steps

TRIES = 400         # runs that a report may cost


def signature(result):
    """What makes two findings the same class."""
    if result.died:
        return f"{result.died.side.name} died: {result.died.words[:120]}"
    diff = result.diffs[0]
    if diff.step.kind == "scsi":
        return (f"scsi {diff.step.args.cdb[0]:02x}: {diff.key}: " +
                " -> ".join(known.outcome(a) for a in diff.answers))
    return f"{diff.step.kind}: {diff.key}"


def _kind(result):
    return re.sub(r"0x[0-9a-f]+", "N", signature(result))


class Shrinker:
    def __init__(self, pair, result):
        self.pair, self.result, self.want, self.left = pair, result, _kind(result), TRIES

    def still(self, sequence):
        """Does it differ in the same way?"""
        if self.left <= 0:
            return False
        self.left -= 1
        result = compare.run(self.pair, sequence)
        if (result.diffs or result.died) and _kind(result) == self.want:
            self.result = result
            return True
        return False


def _drop_steps(sequence, shrinker):
    size = max(1, len(sequence) // 2)
    while size:
        at = 0
        while at < len(sequence):
            trial = sequence[:at] + sequence[at + size:]
            if trial and shrinker.still(trial):
                sequence = trial
            else:
                at += size
        size //= 2
    return sequence


def _replace(sequence, index, step):
    return sequence[:index] + [step] + sequence[index + 1:]


def _drop_insns(sequence, index, shrinker):
    program, place, final = sequence[index].args
    at = len(program) - 1
    while at >= 0:
        trial = asm.without(list(program), at)
        step = steps.script(trial, place, final)
        if shrinker.still(_replace(sequence, index, step)):
            program = tuple(trial)
            sequence = _replace(sequence, index, step)
        at -= 1
    return sequence


PLAIN = {"messages": b"", "how": 0, "chunk": 0, "atn": True, "out": b"", "size": 0}


def _plain_command(sequence, index, shrinker):
    for field, value in PLAIN.items():
        step = sequence[index]
        trial = step._replace(args=step.args._replace(**{field: value}))
        if trial != step and shrinker.still(_replace(sequence, index, trial)):
            sequence = _replace(sequence, index, trial)
    for byte in range(1, len(sequence[index].args.cdb)):
        step = sequence[index]
        cdb = bytearray(step.args.cdb)
        if cdb[byte]:
            cdb[byte] = 0
            trial = step._replace(args=step.args._replace(cdb=bytes(cdb)))
            if shrinker.still(_replace(sequence, index, trial)):
                sequence = _replace(sequence, index, trial)
    return sequence


def shrink(pair, sequence, result):
    """(the shortest sequence found that differs in the same way, its Result)"""
    shrinker = Shrinker(pair, result)
    sequence = _drop_steps(list(sequence), shrinker)
    for index, step in enumerate(sequence):
        if step.kind == "script":
            sequence = _drop_insns(sequence, index, shrinker)
        elif step.kind == "scsi":
            sequence = _plain_command(sequence, index, shrinker)
    return sequence, shrinker.result
