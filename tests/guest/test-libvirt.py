#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains of libvirt whose <emulator> is ours: booted, asked, changed, refused."""
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guest                            # noqa: E402
import guestsuite                       # noqa: E402
import libvirtlab                       # noqa: E402
import qemu                             # noqa: E402
from guestsuite import fsck, file_of    # noqa: E402

MIB = 1 << 20
PATIENCE = 300          # seconds: only guards against hangs

SCRIPT = """
disk=/dev/$(disk_at 0:0:0:0)
run mkfs mkfs.ext4 -q -F -E lazy_itable_init=1 $disk
run mount mount -t ext4 $disk /mnt
echo "written under libvirt" >/mnt/hello
run umount umount /mnt
"""
# Waits for what the host changes.
CHANGES = SCRIPT + """
cd=/dev/$(disk_at 0:0:1:0)
run first head -c 5 $cd
echo "@@ready" >&3
until [ "$(cat /sys/block/${disk#/dev/}/size)" = 196608 ]; do
	echo 1 >/sys/block/${disk#/dev/}/device/rescan; sleep 1
done
run size cat /sys/block/${disk#/dev/}/size
until [ "$(head -c 6 $cd 2>/dev/null)" = second ]; do sleep 1; done
run second head -c 6 $cd
"""


def wait_for(condition, lab):
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise qemu.Failure(f"timed out; {lab.result()}\n{lab.log()}")
        time.sleep(0.1)
    return value


def processes(words):
    """Pids whose command line has all of @words."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = pathlib.Path("/proc", name, "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if all(word in text for word in words):
            found.append(int(name))
    return found


class Libvirt(guestsuite.GuestCase):
    def setUp(self):
        super().setUp()
        why = libvirtlab.missing(python=True)
        if why:
            self.skipTest(why)
        self.lab = libvirtlab.Lab(self.dir)
        self.disk = qemu.image(self.dir / "disk.img", 64 * MIB)
        self.cds = []
        for name in ("first", "second"):
            path = self.dir / f"{name}.iso"
            path.write_bytes(name.encode() + bytes(MIB - len(name)))
            self.cds.append(str(path))

    def client(self, **kwargs):
        xml = self.lab.domain(self.disk, self.cds[0], **kwargs)
        client = libvirtlab.Client(self.lab, xml)
        self.addCleanup(client.close)
        return client

    def steps(self):
        return guest.Result(self.lab.result())

    def remotes(self):
        """The processes of mpqemu-remote that this test's disk is behind."""
        return processes(["mpqemu-remote", self.disk])

    def check_disk(self):
        fsck(self.disk)
        self.assertEqual(file_of(self.disk, "/hello"), b"written under libvirt\n")

    def test_virt_qemu_run(self):
        """The tool itself: it ends QEMU when the guest is off (but never returns, whatever the
        emulator is)."""
        xml = self.lab.domain(self.disk, self.cds[0], SCRIPT, more=libvirtlab.SHARED)
        runner = self.lab.start(["virt-qemu-run", "-r", str(self.lab.root), xml],
                                **dict.fromkeys(
                                    ("stdin", "stdout", "stderr"), subprocess.DEVNULL))
        self.addCleanup(lambda: runner.poll() is None and (runner.terminate(), runner.wait()))
        wait_for(lambda: "@@finished" in self.lab.result(), self.lab)
        wait_for(lambda: not self.remotes(), self.lab)
        wait_for(lambda: "reason=shutdown" in self.lab.log(), self.lab)
        self.assertIn("is served by process", self.lab.log())
        for step in ("mkfs", "mount", "umount"):
            self.steps().output(step)
        self.check_disk()

    def test_changes(self):
        """domblkstat, blockresize, change-media; what moved is refused by its name elsewhere."""
        client = self.client(script=CHANGES)
        self.assertIn("value", client.call("start"), self.lab.log())
        wait_for(lambda: "@@ready" in self.lab.result(), self.lab)
        # domblkstat: requests, bytes
        rd_req, rd_bytes, wr_req, wr_bytes, _ = client.call("blockStats", "sda")["value"]
        self.assertGreater(min(rd_req, rd_bytes, wr_req, wr_bytes), 0)
        self.assertEqual(client.call("blockInfo", "sda")["value"][0], 64 * MIB)
        # blockresize, in bytes
        self.assertEqual(client.call("blockResize", "sda", 96 * MIB, 1), {"value": 0})
        self.assertEqual(os.stat(self.disk).st_size, 96 * MIB)
        wait_for(lambda: "@@end size" in self.lab.result(), self.lab)
        # change-media, --force
        medium = (f"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source "
                  f"file='{self.cds[1]}'/><target dev='sdb' bus='scsi'/><readonly/></disk>")
        self.assertEqual(client.call("updateDeviceFlags", medium, 1 | 4), {"value": 0},
                         self.lab.log())
        # attach-disk, detach-disk
        hot = qemu.image(self.dir / "hot.img", 16 * MIB)
        device = (f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source "
                  f"file='{hot}'/><target dev='sdc' bus='scsi'/></disk>")
        self.assertEqual(client.call("attachDeviceFlags", device, 1), {"value": 0},
                         self.lab.log())
        self.assertEqual(client.call("blockInfo", "sdc")["value"][0], 16 * MIB)
        self.assertEqual(client.call("detachDeviceFlags", device, 1), {"value": 0},
                         self.lab.log())
        # a block job
        error = client.call("blockCommit", "sda", None, None, 0, 0)
        self.assertIn("error", error)
        wait_for(lambda: "@@finished" in self.lab.result(), self.lab)
        self.assertEqual(self.steps().output("first"), "first")
        self.assertEqual(self.steps().output("size").strip(), "196608")
        self.assertEqual(self.steps().output("second"), "second")
        wait_for(lambda: not self.remotes(), self.lab)
        self.check_disk()

    def test_destroy_ends_the_remotes(self):
        client = self.client(script="sleep 600\n")
        self.assertIn("value", client.call("start"), self.lab.log())
        self.assertEqual(len(self.remotes()), 1)
        pid = int((self.lab.root / "run/qemu/lab.pid").read_text())
        self.assertEqual(os.readlink(f"/proc/{pid}/exe"), os.path.realpath(
            shutil.which("qemu-system-x86_64")))
        self.assertEqual(len(processes([f"mpqemu-keeper of {pid}"])), 1)
        self.assertEqual(client.call("destroy"), {"value": 0})
        wait_for(lambda: not self.remotes() and
                 not processes([f"mpqemu-keeper of {pid}"]), self.lab)

    def test_refused(self):
        """What cannot be moved is what libvirt shows."""
        client = self.client(script="")
        pathlib.Path(self.disk).unlink()
        error = client.call("start")["error"]
        self.assertIn("disk.img", error)
        self.assertEqual(self.remotes(), [])


if __name__ == "__main__":
    guestsuite.main()
