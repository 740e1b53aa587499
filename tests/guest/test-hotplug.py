#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
A disk that comes into a running Linux guest and goes again: mpqemu-orchestrate attach and detach
of a stock QEMU that was started without any remote.
"""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guest                            # noqa: E402
import guestsuite                       # noqa: E402
import qemu                             # noqa: E402
from guestsuite import fsck, file_of    # noqa: E402

MIB = 1 << 20

# Says where it is, and waits for a disk to come or go.  The last one is there when the guest ends.
SCRIPT = """
disks() { ls /sys/bus/scsi/devices/*/block 2>/dev/null | grep -c '^sd'; }
wait_for() {
	n=0
	while [ $(disks) != $1 ]; do
		n=$((n + 1))
		[ $n -gt 600 ] && return 1
		sleep 0.1
	done
}
run empty sh -c "ls /sys/bus/scsi/devices/*/block 2>/dev/null | grep -c '^sd' || true"
echo "@@mark attach" >&3
run came wait_for 1
sleep 1
disk=/dev/$(ls /sys/bus/scsi/devices/*/block | grep '^sd')
run read dd if=$disk bs=512 count=1 skip=100 iflag=direct
run mkfs mkfs.ext4 -q -F -E lazy_itable_init=1 $disk
run mount mount -t ext4 $disk /mnt
echo "written by the guest" >/mnt/hello
run umount umount /mnt
run pci lspci -n -d 1000:0012
echo "@@mark detach" >&3
run went wait_for 0
gone() { while lspci -n -d 1000:0012 | grep -q .; do sleep 0.1; done; }
run gone gone
echo "@@mark again" >&3
run came2 wait_for 1
sleep 1
disk=/dev/$(ls /sys/bus/scsi/devices/*/block | grep '^sd')
run mount2 mount -t ext4 $disk /mnt
run hello cat /mnt/hello
run umount2 umount /mnt
echo "@@mark end" >&3
run went2 wait_for 0
run came3 wait_for 1
"""


class Hotplug(guestsuite.GuestCase):
    def verb(self, *words):
        result = subprocess.run([qemu.built("mpqemu-orchestrate"), *words], timeout=300, text=True,
                                stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self.said += f"{' '.join(words)}: {result.returncode}\n{result.stderr}"
        if result.returncode:
            raise qemu.Failure(self.said)

    def attach(self):
        self.verb("attach", f"--qmp={self.socket}", f"--log={self.dir}/log", "-device",
                  "lsi53c895a,id=hp0", "-drive", f"if=none,id=d,format=raw,file={self.image}",
                  "-device", "scsi-hd,drive=d")

    def detach(self):
        self.verb("detach", f"--qmp={self.socket}", "--guest-timeout=120", "hp0")
        # The image is free at once.
        check = subprocess.run([qemu.built("mpqemu-remote"), "-machine", "x-remote", "-device",
                                "lsi53c895a,id=a", "-drive",
                                f"if=none,id=d,format=raw,file={self.image}", "-device",
                                "scsi-hd,drive=d", "-object", "x-remote-object,id=r,devid=a,fd=9"],
                               capture_output=True, text=True, check=False)
        self.assertNotIn("lock", check.stderr)

    def during(self, vm, report):
        for mark, act in [("attach", self.attach), ("detach", self.detach),
                          ("again", self.attach), ("end", self.detach)]:
            vm.wait_for(report, f"@@mark {mark}\n".encode(), 300)
            act()
        self.attach()

    def test_comes_and_goes(self):
        self.said = ""
        self.socket = self.dir / "qmp.sock"
        self.image = qemu.pattern(self.dir / "disk.img", 64 * MIB, "disk")
        try:
            result = guest.run(SCRIPT, [], args=["-qmp",
                                                 f"unix:{self.socket},server=on,wait=off"],
                               during=self.during, timeout=300)
        except qemu.Failure as failure:
            log = self.dir / "log"
            raise qemu.Failure(f"{failure}\n{self.said}\n"
                               f"{log.read_text() if log.exists() else ''}") from None
        self.assertEqual(result.output("empty").strip(), "0")
        self.assertIn("disk 000000000100", result.output("read"))
        for step in ("came", "mkfs", "mount", "umount", "went", "came2", "mount2", "umount2",
                     "went2", "came3", "gone"):
            result.output(step)
        self.assertEqual(len(result.output("pci").splitlines()), 1)
        self.assertIn("written by the guest", result.output("hello"))
        fsck(self.image)
        self.assertEqual(file_of(self.image, "/hello"), b"written by the guest\n")


if __name__ == "__main__":
    guestsuite.main()
