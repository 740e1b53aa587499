# SPDX-License-Identifier: GPL-2.0-or-later
"""libiscsi's SCSI conformance suite, iscsi-test-cu, run in a guest on /dev/sg0, suite by suite."""
import pathlib
import re
import subprocess

import guest
import guestimage
import qemu

EXCUSES = pathlib.Path(__file__).resolve().parents[1] / "guest/conformance-excuses.txt"

# What a run of the tests takes: the suites with more than block transfers to them.
SUBSET = ("CompareAndWrite", "Inquiry", "Mandatory", "ModeSense6", "PreventAllow", "ReadCapacity10",
          "ReadCapacity16", "ReportSupportedOpcodes", "Reserve6", "TestUnitReady", "Unmap",
          "StartStopUnit", "GetLBAStatus", "Verify16", "WriteSame16")

# Several suites in a row are one guest.  One suite ends well within this many seconds.
SUITE_TIME = 120


def suites():
    """{suite: its tests} of all that need no iSCSI session."""
    text = subprocess.run([guestimage.program("iscsi-test-cu"), "--list"], check=True,
                          capture_output=True, text=True).stdout
    found = {}
    for name in text.split():
        parts = name.split(".")
        if len(parts) == 3 and parts[0] == "SCSI":
            found.setdefault(parts[1], []).append(parts[2])
    return found


def outcomes(suite, text):
    """{"Suite.Test": (outcome, note)}: pass, skip or fail, from a verbose run's output."""
    found = {}
    for part in re.split(r"^  Test: ", text.split("\nRun Summary")[0], flags=re.M)[1:]:
        name, said = part.split(" ...", 1)
        end = re.search(r"(passed|FAILED)$", said, re.M)
        notes = " ".join(line.strip() for line in said.splitlines()
                         if re.search(r"\[(SKIPPED|FAILED|FAILURE)\]|  - CU_", line))
        if not end:
            outcome = "unfinished"
        elif end[1] == "FAILED":
            outcome = "fail"
        else:
            outcome = "skip" if "[SKIPPED]" in said else "pass"
        found[f"{suite}.{name}"] = (outcome, notes[:400])
    return found


def run(names, image, kind=None, boot=guest.run):
    """Runs suites @names on a disk of @image behind remote @kind; {"Suite.Test": (outcome, note)}
    for every test that they have.  @boot: guest.run() or what takes the same arguments."""
    known = suites()
    script = "".join(f"run {name} timeout {SUITE_TIME} iscsi-test-cu --dataloss --verbose "
                     f"--test=SCSI.{name} /dev/sg0\n" for name in names)
    disk = qemu.Disk(image, props={"serial": "conformance", "removable": "on",
                                   "physical_block_size": 4096}, drive={"discard": "unmap"})
    result = boot(script, [[qemu.Controller([disk])]], kind=kind, timeout=60 + 40 * len(names))
    found = {}
    for name in names:
        got = outcomes(name, result.steps[name][1])
        for test in known[name]:
            found[f"{name}.{test}"] = got.get(f"{name}.{test}", ("missing", ""))
    return found


def excuses():
    """{"Suite.Test": (outcome, reason)} of conformance-excuses.txt; a tab continues a line."""
    found = {}
    for line in EXCUSES.read_text().replace("\n\t", " ").splitlines():
        if line and not line.startswith("#"):
            name, outcome, reason = line.split(None, 2)
            found[name] = (outcome, reason)
    return found


def complaints(found, excused):
    """What is not as the list says, for the tests in @found."""
    lines = []
    for name, (outcome, note) in found.items():
        want = excused[name][0] if name in excused else "pass"
        if outcome != want:
            lines.append(f"{name}: {outcome}, where the list says {want}: {note}")
    return lines


def counts(found):
    """A line like "215 tests: 150 pass, 5 fail, 60 skip"."""
    tally = {}
    for outcome, _ in found.values():
        tally[outcome] = tally.get(outcome, 0) + 1
    return f"{len(found)} tests: " + ", ".join(f"{n} {what}" for what, n in sorted(tally.items()))
