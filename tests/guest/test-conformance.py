#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""iscsi-test-cu in a guest, test by test: every outcome is "pass" or the one that
conformance-excuses.txt gives with its reason.  The quick half here; `conformance --all` runs all.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestconform     # noqa: E402
import guestsuite       # noqa: E402
import qemu             # noqa: E402


class Conformance(guestsuite.GuestCase):
    def test_outcomes(self):
        self.ours_only("the excuses are those of mpqemu-remote")
        found = guestconform.run(guestconform.SUBSET, qemu.image(self.dir / "disk.img", 64 << 20))
        self.assertEqual(guestconform.complaints(found, guestconform.excuses()), [])

    def test_excuses_name_tests_and_reasons(self):
        known = {f"{suite}.{test}" for suite, tests in guestconform.suites().items()
                 for test in tests}
        for name, (outcome, reason) in guestconform.excuses().items():
            with self.subTest(test=name):
                self.assertIn(name, known)
                self.assertIn(outcome, ("skip", "fail"))
                self.assertGreater(len(reason), 10)


if __name__ == "__main__":
    guestsuite.main()
