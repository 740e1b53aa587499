#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One fuzz target in the ordinary test run: test-target.py PROGRAM TARGET

Its corpus finds nothing and reaches as many edges as coverage.txt says; then some seconds of
mutation find nothing.  What is found stays in findings/ of the build folder.
"""
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import fuzz  # noqa: E402
import tap  # noqa: E402

SECONDS = 20
PROGRAM, NAME = (pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]) if len(sys.argv) == 3 else \
    sys.exit(__doc__)
FINDINGS = PROGRAM.parent / "findings"


class Target(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory(prefix="fuzz-")
        cls.corpus = pathlib.Path(cls.temp.name) / NAME
        fuzz.unpack(NAME, cls.corpus)
        FINDINGS.mkdir(exist_ok=True)

    @classmethod
    def tearDownClass(cls):
        cls.temp.cleanup()

    def call(self, *options):
        status, text, cpu = fuzz.call(PROGRAM, [self.corpus], *options,
                                      f"-artifact_prefix={FINDINGS}/{NAME}-")
        if status:
            self.fail(fuzz.diagnosis(text))
        return text, cpu

    def test_1_corpus(self):
        print("# built for fuzzing: no seccomp filter, no namespaces")
        text, _ = self.call("-runs=0")
        floor = fuzz.floors()[NAME]
        count = len(list(self.corpus.iterdir()))
        print(f"# {NAME}: {count} inputs, {fuzz.edges(text)} edges, recorded {floor}")
        self.assertGreaterEqual(fuzz.edges(text), floor,
                                "the corpus reaches less than it did; see tests/fuzz/coverage.txt")

    def test_2_mutation(self):
        text, cpu = self.call(f"-max_total_time={SECONDS}")
        runs = fuzz.stat(text, "number_of_executed_units")
        print(f"# {NAME}: {runs} executions, {runs / max(cpu, 0.01):.0f} a CPU second")
        self.assertGreater(runs, 0)


if __name__ == "__main__":
    del sys.argv[1:]        # no patterns of names for tap
    tap.main()
