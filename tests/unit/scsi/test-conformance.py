#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""libiscsi's iscsi-test-cu on the SCSI target without a guest, through the SG_IO shim.

    test-conformance.py SHIM [PATTERN...]

What fails must be in conformance.txt, and what is there must fail: test by test.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "lib"))
import tap  # noqa: E402

UNITS = {
    "disk": "plain",
    "dpofua": "dpofua",
    "removable": "dpofua,removable",
    "4k": "dpofua,bs=4096",
    "cd": "cd",
}
TOOL = shutil.which("iscsi-test-cu")


def expected(unit):
    rows = [line.split(None, 2) for line in (HERE / "conformance.txt").read_text().splitlines()
            if line and not line.startswith("#")]
    return {row[1] for row in rows if row[0] == unit}


def run(unit):
    """Runs the whole suite; returns its number of tests and the names of those that failed."""
    env = dict(os.environ, LD_PRELOAD=SHIM, MPQEMU_SG=UNITS[unit])
    done = subprocess.run([TOOL, "--dataloss", "--normal", "--test=ALL", "/dev/mpqemu-sg"],
                          env=env, timeout=300, check=False, errors="replace",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    total = re.search(r"^ *tests +\d+ +(\d+) ", done.stdout, re.M)
    if not total:
        raise AssertionError(f"it ended early, with {done.returncode}:\n{done.stdout[-2000:]}")
    failed = re.findall(r"^Suite (\S+), Test (.+) had failures:$", done.stdout, re.M)
    return int(total[1]), {f"{suite}.{test}" for suite, test in failed}


@unittest.skipUnless(TOOL, "no iscsi-test-cu (Debian package libiscsi-bin)")
class Conformance(unittest.TestCase):
    def check(self, unit):
        total, failed = run(unit)
        self.assertGreaterEqual(total, 200)
        self.assertEqual(sorted(failed), sorted(expected(unit)))
        print(f"# {unit}: {total - len(failed)} of {total} pass")


for name in UNITS:
    setattr(Conformance, "test_" + name, lambda self, unit=name: self.check(unit))

if __name__ == "__main__":
    SHIM = os.path.abspath(sys.argv.pop(1))
    tap.main()
