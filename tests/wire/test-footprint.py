#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a remote costs, counted: memory of its own, libraries.  Times are bench/bench-remote's."""
import re
import tempfile
import unittest

from wire import mpq, tap

# KiB of both processes; about 760 and 60 with gcc 12, 1060 and 100 before mem_trim().
ANONYMOUS, SHARED = 1024, 128
LIBRARIES = 7


def total(pids, field):
    """KiB of a field of smaps_rollup."""
    kib = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            kib += int(re.search(rf"^{field}: +(\d+)", file.read(), re.M)[1])
    return kib


def memfds(pid):
    """KiB of the memfds that the process has mapped and touched."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        maps = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", file.read(), flags=re.M)
    return sum(int(re.search(r"^Rss: +(\d+)", each, re.M)[1]) for each in maps
               if "/memfd:" in each.split("\n", 1)[0])


@unittest.skipIf(mpq.sanitized() or mpq.wrapper(), "a sanitizer and valgrind have memory of their "
                 "own")
class Footprint(unittest.TestCase):
    def test_one_disk(self):
        with tempfile.NamedTemporaryFile() as image:
            image.truncate(1 << 20)
            with mpq.Remote.start(["lsi53c895a,id=l0"], [
                    "-drive", f"if=none,id=d0,format=raw,file={image.name}", "-device",
                    "scsi-hd,drive=d0,bus=l0.0,scsi-id=0"]) as remote:
                remote.peer.cfg_read(0, 4)
                device = remote.device_pid()
                pids = [remote.proc.pid, device]
                # The keeper gives back its own once the device process serves.
                mpq.wait_for(lambda: total(pids, "Anonymous") < ANONYMOUS,
                             f"less than {ANONYMOUS} KiB")
                self.assertLess(memfds(device), SHARED)
                libraries = set()
                for pid in pids:
                    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
                        libraries |= set(re.findall(r"/\S+\.so[.\d]*$", file.read(), re.M))
                self.assertLessEqual(len(libraries), LIBRARIES, libraries)
                self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)


tap.main()
