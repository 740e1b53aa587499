#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
A disk that comes into a running Linux guest and goes again: mpqemu-orchestrate attach and detach
of stock QEMUs that were started without any remote, over mpqemu and over vfio-user.
"""
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guest                            # noqa: E402
import guestsuite                       # noqa: E402
import guestvfio                        # noqa: E402
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


class HotplugCase:
    """What both protocols have.  .boot(during) runs the guest with a QMP socket at .socket."""
    place = ""          # of the device

    def setUp(self):
        super().setUp()
        self.said = ""
        self.image = qemu.pattern(self.dir / "disk.img", 64 * MIB, "disk")

    def verb(self, *words):
        result = subprocess.run([qemu.built("mpqemu-orchestrate"), *words], timeout=300, text=True,
                                stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self.said += f"{' '.join(words)}: {result.returncode}\n{result.stderr}"
        if result.returncode:
            raise qemu.Failure(self.said)

    def attach(self):
        self.verb("attach", f"--qmp={self.socket}", f"--log={self.dir}/log", "-device",
                  f"lsi53c895a,id=hp0{self.place}", "-drive",
                  f"if=none,id=d,format=raw,file={self.image}", "-device", "scsi-hd,drive=d")

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

    def nobody_holds_it(self):
        """Who held the remote has gone with QEMU."""
        deadline = time.monotonic() + 60
        while b"hp0" in b"".join(pathlib.Path(path).read_bytes() for path in self.command_lines()):
            self.assertLess(time.monotonic(), deadline, "its process is left behind")
            time.sleep(0.05)

    def command_lines(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            path = pathlib.Path(f"/proc/{pid}/cmdline")
            try:
                if str(self.dir).encode() in path.read_bytes():
                    yield path
            except OSError:
                pass

    def test_comes_and_goes(self):
        try:
            result = self.boot(self.during)
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
        self.nobody_holds_it()


class Mpqemu(HotplugCase, guestsuite.GuestCase):
    def boot(self, during):
        self.socket = self.dir / "qmp.sock"
        return guest.run(SCRIPT, [], args=["-qmp", f"unix:{self.socket},server=on,wait=off"],
                         during=during, timeout=300)


class VfioUser(HotplugCase, guestvfio.Case):
    """With interrupts, two vCPUs, and the port of a q35."""
    place = ",bus=port0"

    def boot(self, during):
        def with_socket(vm, report):
            self.socket = vm.monitor
            during(vm, report)
        return guestvfio.run(SCRIPT, [], machine="q35", smp=2, during=with_socket, timeout=300,
                             args=["-device", "pcie-root-port,id=port0,chassis=1"])


if __name__ == "__main__":
    guestsuite.main()
