#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk image on a host filesystem that is full: the VM is stopped, or the request held, or the
guest told, as --on-error says.  The filesystem is a tmpfs of 64 KiB in a mount namespace."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guest                            # noqa: E402
import guestimage                       # noqa: E402
import guestkvm                         # noqa: E402
import guestsuite                       # noqa: E402
import qemu                             # noqa: E402
from qmp import Qmp                     # noqa: E402
from guestsuite import tool             # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
INSIDE = "MPQEMU_TEST_MOUNT"            # the tmpfs: we run in the namespace
TEXT = b"block one of the image, by INT13"
TARGET = 4096                           # the block that the guest writes: 2 MiB, a hole
PATIENCE = 120          # seconds: only guards against hangs
TICKS = 0x46c                           # the BIOS's count of timer interrupts


def ticks(monitor):
    said = monitor.ask("human-monitor-command", **{"command-line": f"xp /1wx {TICKS:#x}"})
    return said.split(":")[1].split()[0]


class FullDisk(guestsuite.GuestCase):
    def setUp(self):
        super().setUp()
        self.ours_only("QEMU's own remote stops the remote, not the VM")
        if not os.environ.get(INSIDE):
            self.skipTest("no tmpfs: unshare -rm and mount do not work here")
        self.mount = pathlib.Path(os.environ[INSIDE])
        self.filler = self.mount / "filler"
        self.image = self.make_image()
        self.serial = self.dir / "serial"
        self.process = None
        self.addCleanup(self.end)

    def make_image(self):
        path = self.mount / "disk.img"
        qemu.image(path, 8 << 20)
        tool("nasm", "-f", "bin", f"-dTARGET={TARGET}", "-o", self.dir / "boot.bin",
             HERE / "boot.asm")
        with open(path, "r+b") as file:
            file.write((self.dir / "boot.bin").read_bytes() + TEXT)
        with open(self.filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        return path

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.filler.unlink(missing_ok=True)
        self.image.unlink()

    def wait_until(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not (value := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"no {what}; it said:\n{self.said()}")
            time.sleep(0.02)
        return value

    def said(self):
        return (self.dir / "stderr").read_text() + "--- serial: " + self.guest_said()

    def guest_said(self):
        return self.serial.read_text() if self.serial.exists() else ""

    def start(self, argv):
        with open(self.dir / "stderr", "wb") as errors:
            self.process = subprocess.Popen([qemu.built("mpqemu-orchestrate"), *argv],
                                            stdin=subprocess.DEVNULL, stdout=errors,
                                            stderr=errors)

    def qemu_line(self, accel="tcg"):
        return [qemu.QEMU, "-nodefaults", "-display", "none", "-vga", "none", "-accel", accel, "-S",
                "-m", "128M", "-serial", f"file:{self.serial}",
                "-qmp", f"unix:{self.dir}/user,server=on,wait=off"]

    def disk(self, more=""):
        return ["-device", "lsi53c895a,id=lsi0", "-drive",
                f"if=none,id=d,format=raw,file={self.image}{more}", "-device", "scsi-hd,drive=d"]

    def moved(self, *options, drive="", accel="tcg"):
        self.start([*options, "--", *self.qemu_line(accel), *self.disk(drive)])

    def by_hand(self, *options):
        """The explicit form: the remote's command line is the user's own."""
        self.start(["--", qemu.built("mpqemu-remote"), *options, *self.disk(), "-object",
                    "x-remote-object,id=r,devid=lsi0,fd=3", "---", *self.qemu_line(),
                    "-qmp", f"unix:{self.dir}/remote,server=on,wait=off", "-object",
                    "memory-backend-memfd,id=ram,size=128M,share=on", "-machine",
                    "memory-backend=ram", "-device", "x-pci-proxy-dev,id=lsi0,fd=3"])

    def user(self):
        """The user's own monitor; the VM runs from then on."""
        def connected():
            try:
                return Qmp.connect(self.dir / "user")
            except (FileNotFoundError, ConnectionRefusedError):
                return None
        user = self.wait_until(connected, "monitor")
        user.ask("cont")
        return user

    def done(self):
        """The guest has written and never saw an error."""
        self.wait_until(lambda: "\n" in self.guest_said(), "end of the guest's work")
        self.assertEqual(self.guest_said(), f"boot: {TEXT.decode()} :done\n")

    def make_room(self):
        self.filler.unlink()

    def quit(self, user):
        user.ask("quit")
        self.assertEqual(self.process.wait(PATIENCE), 0, self.said())
        user.close()
        with open(self.image, "rb") as file:
            file.seek(TARGET * 512)
            self.assertEqual(file.read(512), (b"W" + TEXT[1:]).ljust(512, b"\0"))

    def stopped(self, user, events):
        """The event is there, the VM stands still, and its timers with it."""
        if events:
            event = events.event("BLOCK_IO_ERROR")
            self.assertEqual(event["data"], {
                "device": "d", "node-name": "d", "operation": "write", "action": "stop",
                "nospace": True, "reason": "No space left on device"})
            self.assertLess(abs(event["timestamp"]["seconds"] - time.time()), 3600)
        user.event("STOP")
        status = user.ask("query-status")
        self.assertEqual((status["status"], status["running"]), ("paused", False))
        before = ticks(user)
        time.sleep(1)       # 18 ticks of a guest that runs
        self.assertEqual(ticks(user), before)
        self.assertEqual(self.guest_said(), f"boot: {TEXT.decode()}")

    def check_stop(self, events=None):
        with closing(self.user()) as user:
            self.stopped(user, events)
            user.ask("cont")                # too early
            user.event("RESUME")
            self.stopped(user, events)
            self.make_room()
            user.ask("cont")
            self.done()
            self.assertEqual(user.ask("query-status")["status"], "running")
            self.quit(user)
        self.assertIn("d: a write is held back: No space left on device; stopping the VM",
                      self.said())
        self.assertIn("the VM is stopped (paused) until it is resumed", self.said())
        self.assertNotIn("--qmp", self.said())

    def listen(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.dir / "events"))
        listener.listen()
        listener.settimeout(PATIENCE)
        return listener

    def stop_with_events(self, accel):
        listener = self.listen()
        self.moved("--on-error=stop", f"--events={self.dir}/events", accel=accel)
        with closing(Qmp(listener.accept()[0])) as events:
            self.check_stop(events)

    def test_stop_tcg(self):
        self.stop_with_events("tcg")

    def test_stop_kvm(self):
        reason = guestkvm.unusable()
        if reason:
            self.skipTest(reason)
        self.stop_with_events("kvm")

    def test_words_of_qemu(self):
        """werror=enospc stops the VM, as in QEMU."""
        self.moved(drive=",werror=enospc")
        self.check_stop()

    def test_stop_by_path(self):
        """A remote of the user's own, and a monitor by its path, which is there after it."""
        self.by_hand("--on-error=stop", f"--qmp={self.dir}/remote")
        self.check_stop()

    def test_fallback(self):
        """No QMP socket: said at start, and the guest sees the error."""
        self.by_hand("--on-error=stop")
        with closing(self.user()) as user:
            self.wait_until(lambda: "\n" in self.guest_said(), "end of the guest's work")
            self.assertEqual(self.guest_said(), f"boot: {TEXT.decode()} :disk error\n")
            self.assertEqual(user.ask("query-status")["status"], "running")
            self.assertIn("--on-error=stop: no QMP socket of the VM is known", self.said())
            user.ask("quit")
            self.assertEqual(self.process.wait(PATIENCE), 0, self.said())

    def hold(self, wake):
        """The default: the VM runs on, and the write is done when there is room."""
        self.moved()
        with closing(self.user()) as user:
            said = "d: a write is held back: No space left on device; it is tried again"
            self.wait_until(lambda: said in self.said(), "line about the held write")
            self.assertEqual(user.ask("query-status")["status"], "running")
            self.assertEqual(self.guest_said(), f"boot: {TEXT.decode()}")
            self.make_room()
            wake()
            self.done()
            self.quit(user)

    def test_quit_while_held(self):
        """What is held back keeps nobody from ending."""
        self.moved()
        with closing(self.user()) as user:
            self.wait_until(lambda: "held back" in self.said(), "line about the held write")
            user.ask("quit")
            self.assertEqual(self.process.wait(PATIENCE), 0, self.said())

    def test_quit_while_stopped(self):
        self.moved("--on-error=stop")
        with closing(self.user()) as user:
            user.event("STOP")
            user.ask("quit")
            self.assertEqual(self.process.wait(PATIENCE), 0, self.said())

    def test_hold_timer(self):
        self.hold(lambda: None)

    def test_hold_command(self):
        self.hold(lambda: os.kill(int(re.search(r"SIGUSR1 to pid (\d+)", self.said())[1]),
                                  signal.SIGUSR1))

    LINUX = """
disk=/dev/$(disk_at 0:0:0:0)
dd if=/dev/urandom of=/tmp/data bs=4k count=8
run write dd if=/tmp/data of=$disk bs=4k seek=64 oflag=direct
run read dd if=$disk of=/tmp/back bs=4k count=8 skip=64 iflag=direct
run same cmp /tmp/data /tmp/back
run dmesg dmesg
"""

    def test_linux(self):
        """A driver with interrupts and a time limit for each command sees nothing of it."""
        try:
            kernel = guestimage.kernel()
            guest.initramfs(self.LINUX, self.dir / "initrd")
        except guestimage.Missing as missing:
            self.skipTest(str(missing))
        result = self.dir / "result"
        self.start(["--on-error=stop", "--", *self.qemu_line(), "-serial", f"file:{result}",
                    "-kernel", kernel.image, "-initrd", str(self.dir / "initrd"), "-append",
                    guest.APPEND, "-m", "512M", "-no-reboot", *self.disk()])
        with closing(self.user()) as user:
            user.event("STOP")
            time.sleep(2)
            self.assertFalse(user.ask("query-status")["running"])
            self.make_room()
            user.ask("cont")
            self.assertEqual(self.process.wait(PATIENCE), 0, self.said())
        steps = guest.Result(result.read_text(errors="replace"))
        self.assertEqual([steps.status(name) for name in ("write", "read", "same")], [0, 0, 0])
        bad = re.compile("I/O error|Sense Key|[Aa]bort|ABORT|timed out|timeout")
        self.assertEqual([line for line in steps.output("dmesg").split("\n") if bad.search(line)],
                         [])
        self.assertIn("a write is held back: No space left on device; stopping", self.said())


def enter():
    """Runs this script again where it may mount; without that its tests are skips."""
    if INSIDE in os.environ:
        return
    with tempfile.TemporaryDirectory(prefix="mpqemu-full-") as folder:
        command = 'mount -t tmpfs -o size=64k full "$1" && shift && exec "$@"'
        argv = ["unshare", "-rm", "sh", "-c", command, "sh", folder]
        if subprocess.run([*argv, "true"], stderr=subprocess.DEVNULL).returncode:
            return
        done = subprocess.run([*argv, sys.executable, *sys.argv],
                              env={**os.environ, INSIDE: folder})
        sys.exit(done.returncode)


if __name__ == "__main__":
    enter()
    guestsuite.main()
