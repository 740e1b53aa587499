#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots of SeaBIOS and of Linux, recorded by mpqemu-proxy and played again to a remote."""
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guest                            # noqa: E402
import guestfirmware                    # noqa: E402
import guestsuite                       # noqa: E402
import qemu                             # noqa: E402
from qemu import Controller, Disk       # noqa: E402

MIB = 1 << 20
AGREE, DIFFERENT = 0, 3

# One request at a time: in what order several are done is the host's business, and in no record.
SCRIPT = """
disk=/dev/$(disk_at 0:0:0:0)
run inquiry sg_inq $disk
run write dd if=/dev/urandom of=$disk bs=16k count=8 oflag=direct
run sum sh -c "dd if=$disk bs=16k count=8 iflag=direct 2>/dev/null | sha256sum"
"""


class RecordedRemote(qemu.Remote):
    """A remote behind mpqemu-proxy record."""
    path = None

    def _argv(self, fds):
        return [qemu.built("mpqemu-proxy"), "record", "--output", self.path, "--",
                *super()._argv(fds)]


class RecordedVm(qemu.Vm):
    remote = RecordedRemote


class Record(guestfirmware.FirmwareCase):
    vm = RecordedVm

    def setUp(self):
        super().setUp()
        self.ours_only("the record of a remote without a trace has no DMA to play")
        self.path = RecordedRemote.path = str(self.dir / "boot.rec")

    def replay(self, disk, kind="mpqemu"):
        """Exit status and output of a replay, with the disk as it was."""
        program = qemu.built("mpqemu-remote") if kind == "mpqemu" else qemu.QEMU
        argv = [qemu.built("mpqemu-proxy"), "replay", self.path, "--", program, "-machine",
                "x-remote", "-nodefaults", "-display", "none", *Controller([disk]).args(),
                "-object", "x-remote-object,id=r0,devid=lsi0,fd=40"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=300)
        print(f"# {kind}: {done.stdout.splitlines()[-1:]}")
        return done.returncode, done.stdout + done.stderr

    def check(self, disk, before):
        shutil.copyfile(before, disk.path)
        code, said = self.replay(disk)
        self.assertEqual(code, AGREE, said)
        self.assertRegex(said, r"\d+ messages, [1-9]\d* DMA reads, [1-9]\d* DMA writes, .*agree")

    def test_seabios(self):
        self.boot_disk("tcg")
        disk = Disk(str(self.dir / "disk.img"))
        after = pathlib.Path(disk.path).read_bytes()
        before = self.dir / "before.img"
        before.write_bytes(after[:1024] + bytes(len(after) - 1024))
        self.check(disk, before)
        self.assertEqual(pathlib.Path(disk.path).read_bytes(), after, "written by the replay")
        self.check_qemu(disk, before)
        self.check_broken(disk, before)

    def check_qemu(self, disk, before):
        """QEMU's remote disconnects where ours does not: other DMA, and the same replies."""
        shutil.copyfile(before, disk.path)
        code, said = self.replay(disk, "qemu")
        self.assertEqual(code, AGREE, said)
        self.assertRegex(said, r"\d+ messages \(replies and interrupts only: .*all agree")

    def check_broken(self, disk, before):
        """A byte of the image that is another one is found."""
        shutil.copyfile(before, disk.path)
        with open(disk.path, "r+b") as file:
            file.seek(700)
            file.write(b"#")
        code, said = self.replay(disk)
        self.assertEqual(code, DIFFERENT, said)
        self.assertRegex(said, r"boot\.rec:\d+: dma write 0x\w+ 512: now with other data")

    def test_linux(self):
        before = self.dir / "before.img"
        qemu.pattern(before, 4 * MIB, "linux")
        disk = Disk(str(self.dir / "disk.img"))
        shutil.copyfile(before, disk.path)
        result = guest.run(SCRIPT, [[Controller([disk])]], vm=RecordedVm)
        for step in ("inquiry", "write", "sum"):
            result.output(step)
        self.check(disk, before)


if __name__ == "__main__":
    guestsuite.main()
