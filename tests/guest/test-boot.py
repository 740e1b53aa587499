#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""SeaBIOS finds the controller behind x-pci-proxy-dev and boots from a disk and from a CD."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestfirmware                    # noqa: E402
import guestsuite                       # noqa: E402


class Boot(guestfirmware.FirmwareCase):
    def test_disk_tcg(self):
        self.boot_disk("tcg")

    def test_disk_kvm(self):
        self.skip_without_kvm()
        self.boot_disk("kvm")

    def test_cdrom_tcg(self):
        self.boot_cd("tcg")

    def test_cdrom_kvm(self):
        self.skip_without_kvm()
        self.boot_cd("kvm")


if __name__ == "__main__":
    guestsuite.main()
