# SPDX-License-Identifier: GPL-2.0-or-later
"""attach and detach, started by a test, and what they leave behind."""
import os
import subprocess
import sys
import time

from launch import Case, FAKE_REMOTE, PATIENCE, qemu
from qmp import Qmp

SHARED = ["-object", "memory-backend-memfd,id=m,size=128M,share=on"]
PC = ["-machine", "pc,memory-backend=m", *SHARED]
Q35 = ["-machine", "q35,memory-backend=m", *SHARED]


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class HotplugCase(Case):
    def setUp(self):
        super().setUp()
        self.socket = str(self.dir / "qmp.sock")
        self.place = self.dir / "run"
        os.environ["MPQEMU_RUNTIME_DIR"] = str(self.place)

    def connect(self, path):
        """A monitor, or None: it is not there, or does not listen yet."""
        try:
            return Qmp.connect(path)
        except OSError:
            return None

    def qemu(self, *args):
        """A QEMU that does not run its guest; .monitor is a second QMP of it."""
        monitor = str(self.dir / "second.sock")
        process = subprocess.Popen(
            [qemu.QEMU, "-S", "-nodefaults", "-display", "none", "-accel", "tcg", *args, "-qmp",
             f"unix:{self.socket},server=on,wait=off", "-qmp",
             f"unix:{monitor},server=on,wait=off"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def end():
            process.kill()
            process.wait()
        self.addCleanup(end)
        deadline = time.monotonic() + PATIENCE
        process.monitor = None
        while not process.monitor:
            self.assertIsNone(process.poll(), "QEMU does not start")
            self.assertLess(time.monotonic(), deadline)
            process.monitor = self.connect(monitor)
            time.sleep(0.01)
        self.addCleanup(process.monitor.close)
        return process

    def words(self, device="lsi53c895a,id=hp0", image=None):
        return ["-device", device, "-drive", f"if=none,id=d,format=raw,file={image or self.image}",
                "-device", "scsi-hd,drive=d"]

    def attach(self, *options, words=None, env=None):
        return self.start(["attach", f"--qmp={self.socket}", *options, *(words or self.words())],
                          env)

    def fake_remote(self, how):
        """A --remote-program that behaves so."""
        path = self.dir / "remote"
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE_REMOTE} {how} "$@"\n')
        path.chmod(0o755)
        return f"--remote-program={path}"

    def refused(self, run, *texts, status=125):
        """It ends so, says all of @texts in its errors, and leaves no process and no lock."""
        self.assertEqual(run.wait(), status, run.text())
        for text in texts:
            self.assertIn(text, run.text())
        self.nothing_left(run)
        self.assertEqual(self.holders(), [])
        self.image_is_free()

    def holders(self):
        """Sockets of those who hold an attached remote."""
        return list((self.place / "attached").glob("*"))

    def image_is_free(self):
        check = subprocess.run([qemu.built("mpqemu-remote"), "-machine", "x-remote", *self.words(),
                                "-object", "x-remote-object,id=r,devid=hp0,fd=9"],
                               capture_output=True, text=True, check=False)
        self.assertNotIn("lock", check.stderr)

    def ids(self, process):
        return [p["name"] for p in process.monitor.ask("qom-list", path="/machine/peripheral")
                if p["type"].startswith("child<")]
