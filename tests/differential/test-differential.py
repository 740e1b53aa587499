#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixed seeds of the differential fuzzer; longer runs are by hand, see tests/differential/fuzz."""
import os
import sys
import unittest
import unittest.mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import asm          # noqa: E402
import compare      # noqa: E402
import generate     # noqa: E402
import known        # noqa: E402
import minimise     # noqa: E402
import runner       # noqa: E402
import steps        # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap          # noqa: E402

# Sequences of each kind, from seed 1 on.
COUNTS = {"registers": 300, "scripts": 500, "commands": 250, "bus": 100, "mixture": 30}
MISALIGNED = asm.memory_move(4, steps.PLAY.start + 1, steps.PLAY.start + 0x102)


class Tools(unittest.TestCase):
    """What needs no remote."""

    def test_same_seed_same_sequence(self):
        for seed in range(50):
            self.assertEqual(generate.sequence(seed), generate.sequence(seed))

    def test_every_kind_is_made(self):
        kinds = {s.kind for seed in range(300) for s in generate.sequence(seed)}
        self.assertLessEqual({"read", "write", "cfg_read", "cfg_write", "poke", "script", "scsi",
                              "reset"}, kinds)

    def test_jumps_follow_their_target(self):
        jump = asm.transfer(asm.JUMP, asm.TRUE | asm.RELATIVE, 2)
        program = [jump, asm.interrupt(1), asm.interrupt(2)]
        self.assertEqual(asm.assemble(program, 0x1000, 3)[4:8], (8).to_bytes(4, "little"))
        self.assertEqual(asm.without(program, 1)[0].target, 1)

    def test_every_step_can_be_told(self):
        for seed in range(100):
            for step in generate.sequence(seed):
                self.assertTrue(all(steps.tell(step)))


@unittest.skipIf(not runner.QEMU, "no qemu-system-x86_64")
class Differential(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = runner.Pair()
        cls.addClassCleanup(cls.pair.close)

    def agree(self, kind):
        """No difference but those of known.py."""
        for seed in range(1, COUNTS[kind] + 1):
            sequence = generate.sequence(seed, [kind])
            result = compare.run(self.pair, sequence)
            if result.diffs or result.died:
                short, result = minimise.shrink(self.pair, sequence, result)
                lines = [line for step in short for line in steps.tell(step)]
                self.fail("\n".join([f"seed {seed}"] + lines + compare.tell(result)))

    def test_registers(self):
        self.agree("registers")

    def test_scripts(self):
        self.agree("scripts")

    def test_commands(self):
        self.agree("commands")

    def test_bus(self):
        self.agree("bus")

    def test_mixture(self):
        self.agree("mixture")

    def test_unknown_difference_is_found_and_shrunk(self):
        """Without its entry a known difference is one, and its sequence comes down to it."""
        entries = [e for e in known.KNOWN if e.name != "illegal instruction"]
        self.assertLess(len(entries), len(known.KNOWN))
        sequence = [steps.write("regs", 0x34, 4, 5), steps.read("regs", 0, 1), steps.script(
            [asm.io(3, 0x400), MISALIGNED, asm.io(4, 0x400)]), steps.read("io", 0x34, 4)]
        with unittest.mock.patch.object(known, "KNOWN", entries):
            result = compare.run(self.pair, sequence)
            self.assertTrue(result.diffs)
            short, result = minimise.shrink(self.pair, sequence, result)
        self.assertEqual(short, [steps.script([MISALIGNED])])
        self.assertIn("dstat: QEMU 0x84 | ours 0x81", "\n".join(compare.tell(result)))
        # and with it, it is known
        self.assertEqual(compare.run(self.pair, sequence).diffs, [])


if __name__ == "__main__":
    tap.main()
