#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""INTx through KVM's irqfd and resamplefd, taken by the real-mode program intx.asm."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestfirmware                    # noqa: E402
import guestsuite                       # noqa: E402
import qemu                             # noqa: E402

# QEMU's remote writes irqfd on a rise and on an end of interrupt only, and its proxy does not carry
# a raised line over to the new route: the interrupt stays out.  And it counts the line up once for
# each of INTA to INTD when INTx is enabled in the command register, but down once: the line stays
# up for ever.
QEMU_REMOTE = {"rerouted": "0 0 0 0 0", "back": "0 0 0 0 0",
               "disabled": r"0,enabled 0 \d\d+ 1 0 \d\d+"}


class Intx(guestfirmware.FirmwareCase):
    def check(self, split):
        want = dict(guestfirmware.INTX_STEPS)
        if qemu.remote_kind() == "qemu":
            want.update(QEMU_REMOTE)
        self.check_intx(split, want)

    def test_two_remotes_share_a_line(self):
        self.check(split=True)

    def test_one_remote_shares_a_line_with_itself(self):
        self.ours_only("QEMU's remote serves one device a process")
        self.check(split=False)


if __name__ == "__main__":
    guestsuite.main()
