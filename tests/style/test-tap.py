#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The TAP printer itself: each outcome of unittest has its line."""
import io
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap  # noqa: E402


def output(cls, patterns=()):
    out = io.StringIO()
    good = tap.run(unittest.defaultTestLoader.loadTestsFromTestCase(cls), out, patterns)
    return good, out.getvalue().split("\n")


class Tap(unittest.TestCase):
    def test_pass_and_skip(self):
        class Sample(unittest.TestCase):
            def test_a(self):
                pass

            @unittest.skip("no /dev/kvm")
            def test_b(self):
                pass

        good, lines = output(Sample)
        self.assertTrue(good)
        self.assertEqual(lines[0], "TAP version 13")
        self.assertRegex(lines[1], r"^ok 1 - .*Sample\.test_a$")
        self.assertRegex(lines[2], r"^ok 2 - .*Sample\.test_b # SKIP no /dev/kvm$")
        self.assertEqual(lines[3], "1..2")

    def test_failure_and_error(self):
        class Sample(unittest.TestCase):
            def test_a(self):
                self.fail("seen")

            def test_b(self):
                raise OSError("also seen")

        good, lines = output(Sample)
        self.assertFalse(good)
        self.assertEqual(sum(line.startswith("not ok") for line in lines), 2)
        self.assertTrue(any(line.startswith("# ") and "also seen" in line for line in lines))

    def test_failing_subtest(self):
        class Sample(unittest.TestCase):
            def test_a(self):
                for i in range(3):
                    with self.subTest(i=i):
                        self.assertNotEqual(i, 1)

        good, lines = output(Sample)
        self.assertFalse(good)
        self.assertRegex(lines[1], "^not ok 1")
        self.assertIn("1..1", lines)
        self.assertTrue(any("i=1" in line for line in lines))

    def test_setup_class(self):
        class Broken(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                raise OSError("no")

            def test_a(self):
                pass

        class Skipped(Broken):
            @classmethod
            def setUpClass(cls):
                raise unittest.SkipTest("no qemu")

        good, lines = output(Broken)
        self.assertFalse(good)
        self.assertRegex(lines[1], "^not ok 1 ")
        good, lines = output(Skipped)
        self.assertTrue(good)
        self.assertRegex(lines[1], "^ok 1 - .* # SKIP no qemu$")

    def test_expected_failure_is_refused(self):
        class Sample(unittest.TestCase):
            @unittest.expectedFailure
            def test_a(self):
                self.fail()

        self.assertFalse(output(Sample)[0])

    def test_nothing_ran(self):
        class Sample(unittest.TestCase):
            def test_a(self):
                pass

        self.assertFalse(output(Sample, ["no such test"])[0])
        self.assertTrue(output(Sample, ["test_a"])[0])


if __name__ == "__main__":
    tap.main()
