#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""INTx through KVM's irqfd and resamplefd, taken by the real-mode program intx.asm."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestsuite                       # noqa: E402
import guestkvm                         # noqa: E402
import qemu                             # noqa: E402
from guestsuite import tool             # noqa: E402
from qemu import Controller, Disk       # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent

# Step: interrupts 10 and 11 taken, conditions served of each device, interrupts for nothing.
STEPS = {
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

# QEMU's remote writes irqfd on a rise and on an end of interrupt only, and its proxy does not carry
# a raised line over to the new route: the interrupt stays out.  And it counts the line up once for
# each of INTA to INTD when INTx is enabled in the command register, but down once: the line stays
# up for ever.
QEMU_REMOTE = {"rerouted": "0 0 0 0 0", "back": "0 0 0 0 0",
               "disabled": r"0,enabled 0 \d\d+ 1 0 \d\d+"}


class Intx(guestsuite.GuestCase):
    def run_program(self, split):
        tool("nasm", "-f", "bin", "-o", self.dir / "disk.img", HERE / "intx.asm")
        with open(self.dir / "disk.img", "r+b") as file:
            file.truncate(1 << 20)
        controllers = [Controller([Disk(str(self.dir / "disk.img"))], id="lsi0", addr=4),
                       Controller([], id="lsi1", addr=8)]
        serial = self.dir / "serial"
        remotes = [[c] for c in controllers] if split else [controllers]
        # The program waits by ticks: those that a loaded host missed are not made up for at once.
        options = ["-vga", "none", "-serial", f"file:{serial}",
                   "-global", "kvm-pit.lost_tick_policy=discard"]
        with qemu.Vm(remotes, options, "64M", "kvm") as vm:
            said = vm.wait_for(serial, b"end\n", 120).decode()
            vm.stop()
        return dict(line.split(" ", 1) for line in said.splitlines()[:-1])

    def check(self, split):
        reason = guestkvm.unusable()
        if reason:
            self.skipTest(reason)
        want = dict(STEPS)
        if qemu.remote_kind() == "qemu":
            want.update(QEMU_REMOTE)
        got = self.run_program(split)
        self.assertEqual(list(got), list(want))
        for step, counts in got.items():
            with self.subTest(step=step):
                self.assertRegex(counts, f"^{want[step]}$")

    def test_two_remotes_share_a_line(self):
        self.check(split=True)

    def test_one_remote_shares_a_line_with_itself(self):
        self.ours_only("QEMU's remote serves one device a process")
        self.check(split=False)


if __name__ == "__main__":
    guestsuite.main()
