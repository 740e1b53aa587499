# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are SeaBIOS and readmany.asm: they read 4 KiB blocks through the BIOS when told to.

A Reader is one guest.  It runs until it is closed and sleeps between commands, so several can take
turns.  What each command read is checked against the image.
"""
import dataclasses
import os
import pathlib
import random
import re
import socket
import struct
import time

import guestsuite
import guestvfio
import qemu

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "guest" / "readmany.asm"
SIZE = 64 << 20
BLOCK = 4096
PLACE_SHIFT = 32 - 14
FIRST_OF_EACH_SECTOR, ALL = 512, 4      # steps: which dwords are added up
PATIENCE = 120                          # s, of a command
TRACE = "trace:memory_region_ops_read,trace:memory_region_ops_write"
# How these events name the controller's BARs: the device's own, the proxy's, vfio-user-pci's.
ACCESS = re.compile(rb"name '(?:lsi-|bar-region-|vfio-user:\S+ BAR )")


class InProcess(qemu.Vm):
    """The same QEMU with the controllers in itself."""

    def __init__(self, remotes, args, *rest, **kwargs):
        kwargs.pop("kind")
        super().__init__([], [*args, *self._devices(remotes)], *rest, **kwargs)

    @staticmethod
    def _devices(remotes):
        argv = []
        for controller in (c for controllers in remotes for c in controllers):
            first, device, *disks = controller.args()
            argv += [first, f"{device},addr={controller.addr:#x}", *disks]
        return argv


@dataclasses.dataclass(frozen=True)
class Path:
    """Where a guest's controller is.  @vm and @kind: as qemu.Vm has them."""
    name: str
    vm: type
    kind: str


IN_PROCESS = Path("in-process", InProcess, None)
OURS = Path("mpqemu-remote", qemu.Vm, "mpqemu")
THEIRS = Path("QEMU's x-remote", qemu.Vm, "qemu")
VFIO_IN_PROCESS = Path("in-process", guestvfio.Vm, guestvfio.CONTROL)
VFIO = Path("mpqemu-remote, vfio-user", guestvfio.Vm, guestvfio.REMOTE)


class Image:
    """A disk that boots readmany.asm; the rest of it is noise that is the same each time."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.path = folder / "disk.img"
        guestsuite.tool("nasm", "-f", "bin", "-o", folder / "boot.bin", SOURCE)
        boot = (folder / "boot.bin").read_bytes()
        data = boot + random.Random(1).randbytes(SIZE - len(boot))
        self.path.write_bytes(data)
        self.words = memoryview(data).cast("I")

    def sum(self, block, step):
        words = BLOCK // 4
        return sum(self.words[block * words:(block + 1) * words:step // 4])


class Usage:
    """What processes have used: .cpu in ns, those threads included that have ended; .switches,
    the times that a thread waited for something, of the threads that live."""

    def __init__(self, pids):
        # The CPU clock of another process, as clock_getcpuclockid(3) has it.
        self.cpu = sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)
        self.switches = {}
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)",
                                  (task / "status").read_text(), re.M)
                self.switches[task.name] = int(found[1])

    def since(self, before):
        """(ns, switches)"""
        return self.cpu - before.cpu, sum(n - before.switches.get(task, 0)
                                          for task, n in self.switches.items())


def family(pid):
    """A process and what it has started."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        children = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text()
        for child in children.split():
            found += family(int(child))
    return found


@dataclasses.dataclass
class Batch:
    """What one read took."""
    us: float           # of wall time
    cpu: float          # us, of all processes
    remote_cpu: float   # us, of the device's processes
    switches: float     # of all processes


class Reader:
    """One guest of @path with @image, read-only.  @trace: QEMU notes accesses to the chip."""

    def __init__(self, path, image, accel, folder, trace=False):
        self.image, self.state = image, 1
        disk = qemu.Disk(str(image.path), drive={"readonly": "on"})
        name = pathlib.Path(folder) / f"{path.kind}-{accel}-{trace:d}"
        port, self.log = name.with_suffix(".sock"), name.with_suffix(".log")
        args = ["-vga", "none", "-chardev", f"socket,id=com1,path={port},server=on,wait=on",
                "-serial", "chardev:com1"]
        if trace:
            args += ["-D", str(self.log), "-d", TRACE]
        self.vm = path.vm([[qemu.Controller([disk])]], args, "64M", accel, kind=path.kind)
        self.vm.__enter__()
        try:
            self.port = self._connect(port)
            if self._get(1) != b"!":
                raise self._failure("the boot sector did not start")
        except BaseException:
            self.vm.__exit__(None, None, None)
            raise
        self.remote = [pid for each in self.vm.started for pid in family(each.process.pid)]

    def _failure(self, what):
        return qemu.Failure(f"{what}\n{self.vm.words()}")

    def _connect(self, path):
        end = time.monotonic() + PATIENCE
        port = socket.socket(socket.AF_UNIX)
        port.settimeout(PATIENCE)
        while True:
            try:
                port.connect(str(path))
                return port
            except OSError as error:
                if self.vm.process.poll() is not None or time.monotonic() > end:
                    raise self._failure(f"{path}: {error}") from None
                time.sleep(0.01)

    def _get(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.port.recv(count - len(data))
            except OSError as error:
                raise self._failure(f"the guest says nothing: {error}") from None
            if not part:
                raise self._failure("QEMU has closed the guest's serial port")
            data += part
        return data

    def _usage(self):
        return Usage([self.vm.process.pid]), Usage(self.remote)

    def read(self, count, step=FIRST_OF_EACH_SECTOR):
        """Has @count blocks read and checked; what one of them took, as a Batch."""
        self.port.sendall(struct.pack("<HH", step, count))
        if self._get(1) != b"<":
            raise self._failure("the guest takes no command")
        # The guest waits for us: what keeps us off the CPU is never taken off its time.
        began, before = time.monotonic_ns(), self._usage()
        self.port.sendall(b"g")
        mark = self._get(1)
        ended, after = time.monotonic_ns(), self._usage()
        if mark != b">":
            raise self._failure(f"a read failed, BIOS status {self._get(1).hex()}")
        self._check(count, step)
        (cpu, switches), (remote_cpu, remote_switches) = (b.since(a)
                                                          for a, b in zip(before, after))
        return Batch((ended - began) / 1e3 / count, (cpu + remote_cpu) / 1e3 / count,
                     remote_cpu / 1e3 / count, (switches + remote_switches) / count)

    def _check(self, count, step):
        want = 0
        for _ in range(count):
            self.state = (self.state * 1664525 + 1013904223) % (1 << 32)
            want += self.image.sum(self.state >> PLACE_SHIFT, step)
        got = struct.unpack("<I", self._get(4))[0]
        if got != want % (1 << 32):
            raise self._failure(f"the guest read other data: sum {got:#x}, not {want:#x}")

    def accesses(self, count):
        """Accesses to the chip that a read takes, of @count reads; the reader is a traced one."""
        before = self.log.stat().st_size
        self.read(count)
        with open(self.log, "rb") as file:
            file.seek(before)
            return len(ACCESS.findall(file.read())) / count

    def close(self):
        """Ends the guest; raises when QEMU or a remote ends badly."""
        self.port.close()
        try:
            self.vm.stop()
        finally:
            self.abandon()

    def abandon(self):
        """Ends it, whatever it is doing."""
        self.port.close()
        self.vm.__exit__(None, None, None)
