#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The same guest sends the same commands to QEMU's own remote and to ours; what it gets back may
differ only as differences.txt lists, each with its reason.

With --list the differences are printed as lines for that file.
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guest                            # noqa: E402
import guestsuite                       # noqa: E402
import qemu                             # noqa: E402
import scsidump                         # noqa: E402
from qemu import Controller, Disk       # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
LIST = "--list" in sys.argv
PLAIN, NAMED, CD = "disk", "named disk", "cd"

# Of the second disk, with every property set that changes an answer, only the identity is asked.
IDENTITY = [c for c in scsidump.DISK
            if c[0].startswith(("inquiry", "vpd", "read capacity", "mode sense 6"))]
UNITS = ((PLAIN, scsidump.DISK, "0:0:0:0"), (NAMED, IDENTITY, "0:0:1:0"),
         (CD, scsidump.CDROM, "0:0:2:0"))


def rules():
    """[(pattern, reason)] of differences.txt: each line is a difference as scsidump gives it, and a
    reason stands, with "# ", above its lines.  "both disks" stands for either disk's name; a line
    that begins with "~ " is a regular expression, a tab continues the line before."""
    found, reason, fresh = [], "", True
    text = (HERE / "differences.txt").read_text().replace("\n\t", "")
    for line in text.splitlines():
        if line.startswith("#"):
            reason, fresh = (line if fresh else reason + line), False
            continue
        if line.startswith("~ "):
            found.append((line[2:], reason))
        elif line:
            found.append((re.escape(line).replace(r"both\ disks", "(disk|named-disk)"), reason))
        fresh = True
        reason = reason if line else ""
    return found


class Compare(guestsuite.GuestCase):
    def units(self):
        return [Disk(qemu.pattern(self.dir / "plain.img", 16 << 20, "plain"), target=0),
                Disk(qemu.pattern(self.dir / "named.img", 16 << 20, "named"), target=1,
                     props={"serial": "SERIAL-0123456789", "wwn": "0x5000c500a1b2c3d4",
                            "vendor": "MAKER", "product": "MODEL 895", "ver": "7.25",
                            "logical_block_size": 512, "physical_block_size": 4096,
                            "rotation_rate": 7200, "removable": "on", "dpofua": "on",
                            "min_io_size": 4096, "opt_io_size": 65536,
                            "device_id": "named-device", "write-cache": "off",
                            "port_wwn": "0x5000c500a1b2c3d5", "port_index": 2}),
                Disk(qemu.pattern(self.dir / "disc.iso", 1 << 20, "disc"), target=2,
                     kind="scsi-cd", drive={"readonly": "on"}, props={"serial": "DISC-1"})]

    def dump(self, kind):
        """Every answer that a guest gets from remote @kind."""
        text = "".join(scsidump.script(label.replace(" ", "-"), commands, address)
                       for label, commands, address in UNITS)
        pattern = (b"the same bytes for both, " * 100)[:2048]
        remotes = [[Controller(self.units())]]
        result = guest.run(text, remotes, files=[("pattern", pattern)], kind=kind, timeout=240)
        return {name: answer for label, commands, _ in UNITS for name, answer
                in scsidump.answers(result, label.replace(" ", "-"), commands).items()}

    def test_only_listed_differences(self):
        theirs, ours = self.dump("qemu"), self.dump(qemu.remote_kind())
        self.assertGreater(sum(1 for status, _, _ in theirs.values() if status == "Good"), 80)
        found = scsidump.differences(theirs, ours)
        if LIST:
            print("\n".join(found))
        allowed = rules() if qemu.remote_kind() == "mpqemu" else []
        unexplained = [line for line in found
                       if not any(re.fullmatch(pattern, line) for pattern, _ in allowed)]
        if unexplained:
            self.fail("differences from QEMU without a reason:\n" + "\n".join(unexplained))
        stale = [pattern for pattern, _ in allowed
                 if not any(re.fullmatch(pattern, line) for line in found)]
        self.assertEqual(stale, [], "lines of differences.txt for what does not differ")

    def test_every_line_has_a_reason(self):
        for pattern, reason in rules():
            with self.subTest(pattern=pattern):
                self.assertGreater(len(reason), 20)


if __name__ == "__main__":
    sys.argv = [word for word in sys.argv if word != "--list"]
    guestsuite.main()
