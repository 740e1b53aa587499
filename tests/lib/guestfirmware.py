# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are SeaBIOS and a program of tests/guest in real mode: they run under KVM as well."""
import pathlib

import guestkvm
import guestsuite
import qemu
from guestsuite import tool
from qemu import Controller, Disk

PROGRAMS = pathlib.Path(__file__).resolve().parents[1] / "guest"
MIB = 1 << 20
TEXT = b"block one of the image, by INT13"      # 32 bytes, as boot.asm prints

# intx.asm, step by step: interrupts 10 and 11 taken, conditions served of each device, interrupts
# for nothing.
INTX_STEPS = {
    "fires": "0 1 1 0 0",
    "reasserted": "0 4 1 0 0",
    "shared": "0 2 1 1 0",
    "shared,held": "0 4 1 1 0",
    "masked": "0,unmasked 0 1 0 1 0",       # none while masked, one after
    "rerouted": "1 0 1 0 0",
    "new,route": "2 0 0 1 0",
    "back": "0 2 1 1 0",
    "disabled": "0,enabled 0 1 1 0 0",
}


class FirmwareCase(guestsuite.GuestCase):
    """@vm is what runs the guest: qemu.Vm, or what takes the same arguments."""
    vm = qemu.Vm

    def skip_without_kvm(self):
        reason = guestkvm.unusable()
        if reason:
            self.skipTest(reason)

    def assemble(self, source, target, *flags):
        tool("nasm", "-f", "bin", *flags, "-o", target, PROGRAMS / source)

    def boot(self, disks, accel, args=(), **kwargs):
        """What the boot sector said on COM1 until it was done."""
        serial = self.dir / "serial"
        options = ["-vga", "none", "-serial", f"file:{serial}", *args]
        with self.vm([[Controller(disks, **kwargs)]], options, "256M", accel) as vm:
            said = vm.wait_for(serial, b"\n", 60)
            vm.stop()
        return said.decode()

    def boot_disk(self, accel, **kwargs):
        path = self.dir / "disk.img"
        qemu.image(path, 8 * MIB)
        self.assemble("boot.asm", self.dir / "boot.bin")
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

    def boot_cd(self, accel):
        tree = self.dir / "tree"
        tree.mkdir()
        self.assemble("boot.asm", tree / "boot.bin", "-dCDROM")
        iso = self.dir / "cd.iso"
        tool("genisoimage", "-quiet", "-V", "MPQEMU_BOOTS", "-no-emul-boot", "-boot-load-size", 4,
             "-b", "boot.bin", "-c", "boot.cat", "-o", iso, tree)
        said = self.boot([Disk(str(iso), kind="scsi-cd", target=3, drive={"readonly": "on"})],
                         accel)
        self.assertEqual(said, f"boot: {'MPQEMU_BOOTS':32} :done\n")

    def intx_program(self, split):
        """What intx.asm counted, {step: counts}: under KVM, in two remotes or in one."""
        self.assemble("intx.asm", self.dir / "disk.img")
        with open(self.dir / "disk.img", "r+b") as file:
            file.truncate(1 << 20)
        controllers = [Controller([Disk(str(self.dir / "disk.img"))], id="lsi0", addr=4),
                       Controller([], id="lsi1", addr=8)]
        serial = self.dir / "serial"
        remotes = [[c] for c in controllers] if split else [controllers]
        # The program waits by ticks: those that a loaded host missed are not made up for at once.
        options = ["-vga", "none", "-serial", f"file:{serial}",
                   "-global", "kvm-pit.lost_tick_policy=discard"]
        with self.vm(remotes, options, "64M", "kvm") as vm:
            said = vm.wait_for(serial, b"end\n", 120).decode()
            vm.stop()
        return dict(line.split(" ", 1) for line in said.splitlines()[:-1])

    def check_intx(self, split, want):
        """@want: {step: a pattern of its counts}, in order."""
        self.skip_without_kvm()
        got = self.intx_program(split)
        self.assertEqual(list(got), list(want))
        for step, counts in got.items():
            with self.subTest(step=step):
                self.assertRegex(counts, f"^{want[step]}$")
