#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""iscsi-test-cu over vfio-user, where interrupts arrive: the whole suite, each outcome as
conformance-excuses.txt has it.  `conformance --vfio-user --all --remote both` has QEMU's as well.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestconform     # noqa: E402
import guestsuite       # noqa: E402
import guestvfio        # noqa: E402
import qemu             # noqa: E402


class VfioConformance(guestvfio.Case):
    def test_outcomes(self):
        self.ours_only("the excuses are those of mpqemu-remote")
        image = qemu.image(self.dir / "disk.img", 64 << 20)
        found = guestconform.run(list(guestconform.suites()), image, boot=guestvfio.run)
        print(f"# {guestconform.counts(found)}")
        self.assertEqual(guestconform.complaints(found, guestconform.excuses()), [])


if __name__ == "__main__":
    guestsuite.main()
