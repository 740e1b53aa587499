# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-orchestrate started by a test, and what it leaves behind."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0] / "lib"))
import qemu             # noqa: E402

FAKE = str(HERE / "fakeqemu.py")
FAKE_REMOTE = str(HERE / "fakeremote.py")
MARK = "MPQEMU_TEST_MARK"
PATIENCE = 60           # seconds: only guards against hangs

# The document's command line of QEMU, but for sizes.
DOC_QEMU = ["-object", "memory-backend-memfd,id=mem,size=128M", "-device",
            "x-pci-proxy-dev,id=lsi0,socket=3"]


def marked(mark, known={}):
    """
    Pids of the processes, zombies too, whose environment has our mark, and of their children: a
    device process has no environment.  One that was seen once is known also as an orphan.
    """
    parent, found = {}, set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                stat = file.read().rsplit(b")", 1)[1].split()
            parent[pid] = int(stat[1]), stat[19]        # the starting time tells it from others
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark.encode() in file.read():
                    found.add(pid)
        except OSError:
            pass
    seen = known.setdefault(mark, set())
    found |= {pid for pid, (_, start) in parent.items() if (pid, start) in seen}
    while more := {pid for pid, (ppid, _) in parent.items() if ppid in found} - found:
        found |= more
    seen |= {(pid, parent[pid][1]) for pid in found if pid in parent}
    return sorted(found)


class Run:
    """One mpqemu-orchestrate."""

    def __init__(self, test, argv, env=None, program=None, **kwargs):
        self.mark = str(uuid.uuid4())
        env = {**os.environ, MARK: self.mark, "MPQEMU_RUNTIME_DIR": str(test.dir / "run"),
               **(env or {})}
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([program or qemu.built("mpqemu-orchestrate"), *argv],
                                        env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        **kwargs)
        test.addCleanup(self.close)

    def text(self):
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait(self):
        """The exit status."""
        self.process.stdin.close()
        return self.process.wait(PATIENCE)

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError("timed out; stderr:\n" + self.text())
            time.sleep(0.02)
        return value

    def pids(self):
        return [pid for pid in marked(self.mark) if pid != self.process.pid]

    def remote_pids(self):
        return [int(pid) for pid in re.findall(r"is served by process (\d+)", self.text())]

    def close(self):
        for pid in marked(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            file.close()


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        self.image = str(self.dir / "disk.raw")
        with open(self.image, "wb") as file:
            file.truncate(1 << 20)
        self.out = str(self.dir / "out")

    def start(self, argv, env=None, **kwargs):
        return Run(self, argv, env, **kwargs)

    def fake(self, how, **more):
        return {"FAKE_QEMU": how, "FAKE_OUT": self.out, **more}

    def nothing_left(self, run):
        run.until(lambda: not marked(run.mark))

    def fake_line(self, remote, *options):
        """A fake remote and the fake QEMU."""
        return [*options, "--", *remote, "-device", "lsi53c895a,id=lsi0", "-object",
                "x-remote-object,id=r,devid=lsi0,fd=4", "---", FAKE, *DOC_QEMU]

    def real_remote(self, *options):
        """Our remote with one disk, and the fake QEMU, rewritten."""
        return [*options, "--", FAKE, "-device", "lsi53c895a,id=lsi0", "-drive",
                f"if=none,id=d,format=raw,file={self.image}", "-device", "scsi-hd,drive=d"]

    def read_out(self):
        return pathlib.Path(self.out).read_text()
