#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SeaBIOS finds the controller behind x-pci-proxy-dev and boots from a disk and from a CD."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestsuite                       # noqa: E402
import guestkvm                         # noqa: E402
import qemu                             # noqa: E402
from guestsuite import tool             # noqa: E402
from qemu import Controller, Disk       # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20
TEXT = b"block one of the image, by INT13"      # 32 bytes, as boot.asm prints


class Boot(guestsuite.GuestCase):
    def boot(self, disks, accel, args=(), **kwargs):
        """What the boot sector said on COM1 until it was done."""
        serial = self.dir / "serial"
        options = ["-vga", "none", "-serial", f"file:{serial}", *args]
        with qemu.Vm([[Controller(disks, **kwargs)]], options, "256M", accel) as vm:
            said = vm.wait_for(serial, b"\n", 60)
            vm.stop()
        return said.decode()

    def boot_disk(self, accel, **kwargs):
        path = self.dir / "disk.img"
        qemu.image(path, 8 * MIB)
        tool("nasm", "-f", "bin", "-o", self.dir / "boot.bin", HERE / "boot.asm")
        boot = (self.dir / "boot.bin").read_bytes()
        self.assertEqual(len(boot), 512)
        with open(path, "r+b") as file:
            file.write(boot + TEXT)
        said = self.boot([Disk(str(path))], accel, **kwargs)
        self.assertEqual(said, f"boot: {TEXT.decode()} :done\n")
        data = path.read_bytes()
        self.assertEqual(data[1024:1536], b"W" + (TEXT + b"\0" * 480)[1:32] + b"\0" * 480,
                         "block 2, which the boot sector wrote")
        self.assertFalse(any(data[1536:]), "something else was written")

    def test_disk_tcg(self):
        self.boot_disk("tcg")

    def test_disk_kvm(self):
        self.skip_without_kvm()
        self.boot_disk("kvm")

    def skip_without_kvm(self):
        reason = guestkvm.unusable()
        if reason:
            self.skipTest(reason)

    def boot_cd(self, accel):
        tree = self.dir / "tree"
        tree.mkdir()
        tool("nasm", "-f", "bin", "-dCDROM", "-o", tree / "boot.bin", HERE / "boot.asm")
        iso = self.dir / "cd.iso"
        tool("genisoimage", "-quiet", "-V", "MPQEMU_BOOTS", "-no-emul-boot", "-boot-load-size", 4,
             "-b", "boot.bin", "-c", "boot.cat", "-o", iso, tree)
        said = self.boot([Disk(str(iso), kind="scsi-cd", target=3, drive={"readonly": "on"})],
                         accel)
        self.assertEqual(said, f"boot: {'MPQEMU_BOOTS':32} :done\n")

    def test_cdrom_tcg(self):
        self.boot_cd("tcg")

    def test_cdrom_kvm(self):
        self.skip_without_kvm()
        self.boot_cd("kvm")


if __name__ == "__main__":
    guestsuite.main()
