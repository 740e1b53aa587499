#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest whose disk's device process is killed while it writes (--on-crash=reset): its
driver recovers by time-out and reset, and what it wrote is there."""
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guest                            # noqa: E402
import guestsuite                       # noqa: E402
import qemu                             # noqa: E402
from guestsuite import fsck, file_of, sha256    # noqa: E402
from qemu import Controller, Disk       # noqa: E402

KILLS = 2
PATIENCE = 300          # seconds: only guards against hangs

# The driver's time-outs, made shorter than their 30 s, so that the test is.
SCRIPT = """
name=$(disk_at 0:0:0:0)
disk=/dev/$name
echo 3 >/sys/block/$name/device/timeout
echo 3 >/sys/block/$name/device/eh_timeout
run mkfs mkfs.ext4 -q -F -E lazy_itable_init=1 $disk
run mount mount -t ext4 $disk /mnt
n=0
while [ $n -lt KILLS ]; do
	n=$((n + 1))
	before=$(dmesg | grep -c 'sym0.*RESET\\|sym0: HOST RESET\\|sym0:.*reset')
	echo "@@kill $n" >&3
	i=0
	while :; do
		i=$((i + 1))
		dd if=/dev/urandom of=/mnt/file$n bs=64k count=8 conv=fsync 2>/tmp/dd || break
		now=$(dmesg | grep -c 'sym0.*RESET\\|sym0: HOST RESET\\|sym0:.*reset')
		[ $now -gt $before ] && break
	done
	run write$n sh -c "cat /tmp/dd; sha256sum /mnt/file$n; dmesg | tail -n 12"
done
run umount umount /mnt
run again mount -t ext4 $disk /mnt
run sums sha256sum /mnt/file1 /mnt/fileKILLS
run umount2 umount /mnt
run log dmesg
""".replace("KILLS", str(KILLS))


class Crashing(qemu.Remote):
    def _argv(self, fds):
        return super()._argv(fds) + ["--on-crash=reset"]


class Vm(qemu.Vm):
    remote = Crashing


def device_process(keeper):
    with open(f"/proc/{keeper}/task/{keeper}/children", encoding="ascii") as file:
        children = file.read().split()
    for pid in children:
        if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"mpqemu-device\0"):
            return int(pid)
    raise AssertionError("no device process")


class Crash(guestsuite.GuestCase):
    def kill(self, vm, report):
        """When the guest says that it writes, a moment later."""
        for n in range(1, KILLS + 1):
            end = time.monotonic() + PATIENCE
            while not report.exists() or f"@@kill {n}\n" not in report.read_text("latin-1"):
                if time.monotonic() > end or vm.process.poll() is not None:
                    raise qemu.Failure(f"the guest has not come to kill {n}")
                time.sleep(0.05)
            time.sleep(0.3 * n)
            os.kill(device_process(vm.started[0].process.pid), signal.SIGKILL)

    def test_linux_goes_on(self):
        self.ours_only("QEMU's remote has no successor")
        disk = Disk(qemu.image(self.dir / "disk.img", 64 << 20))
        result = guest.run(SCRIPT, [[Controller([disk])]], vm=Vm, during=self.kill,
                           timeout=PATIENCE)
        sums = dict(reversed(line.split()) for line in result.output("sums").splitlines())
        fsck(disk.path)
        for name in ("/file1", f"/file{KILLS}"):
            self.assertEqual(sha256(file_of(disk.path, name)), sums["/mnt" + name])
        self.assertNotIn("I/O error", result.output("log"))
        self.assertEqual(result.words.count("a successor goes on"), KILLS, result.words)


if __name__ == "__main__":
    guestsuite.main()
