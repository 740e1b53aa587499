#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SeaBIOS of QEMU 11 on controllers behind vfio-user-pci: it boots from a disk and from a CD, and
under KVM INTx goes through irqfd and resamplefd, taken by the real-mode program intx.asm."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestfirmware                    # noqa: E402
import guestsuite                       # noqa: E402
import guestvfio                        # noqa: E402


class VfioFirmware(guestvfio.Case, guestfirmware.FirmwareCase):
    vm = guestvfio.Vm

    def test_disk_tcg(self):
        self.boot_disk("tcg")

    def test_disk_kvm(self):
        self.skip_without_kvm()
        self.boot_disk("kvm")

    def test_cdrom_tcg(self):
        self.boot_cd("tcg")

    def test_intx_two_remotes_share_a_line(self):
        self.check_intx(True, guestfirmware.INTX_STEPS)

    def test_intx_one_remote_shares_a_line_with_itself(self):
        self.check_intx(False, guestfirmware.INTX_STEPS)


if __name__ == "__main__":
    guestsuite.main()
