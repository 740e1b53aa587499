# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock QEMU whose SCSI controllers live in remote processes: QEMU's own or mpqemu-remote.

One description of controllers and disks makes the same command line for both, so that every test
runs against either; MPQEMU_REMOTE=qemu chooses QEMU's own, MPQEMU_BUILD says where ours was built.
"""
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

QEMU = os.environ.get("MPQEMU_QEMU", "qemu-system-x86_64")
REMOTES = ("mpqemu", "qemu")


def remote_kind():
    """Which remote the tests drive: "mpqemu" (the default) or "qemu"."""
    kind = os.environ.get("MPQEMU_REMOTE", "mpqemu")
    if kind not in REMOTES:
        raise ValueError(f"MPQEMU_REMOTE={kind}: it can be {' or '.join(REMOTES)}")
    return kind


def built(name):
    """The path of our program @name in the build directory."""
    build = os.environ.get("MPQEMU_BUILD")
    path = pathlib.Path(build) if build else pathlib.Path(__file__).parents[2] / "build"
    return str((path / name).absolute())


@dataclasses.dataclass
class Disk:
    """One -drive and the -device scsi-hd or scsi-cd on it."""
    path: str
    target: int = 0
    lun: int = 0
    kind: str = "scsi-hd"
    format: str = "raw"
    drive: dict = dataclasses.field(default_factory=dict)
    props: dict = dataclasses.field(default_factory=dict)

    def args(self, name, bus):
        drive = {"id": "d" + name, "if": "none", "file": self.path, "format": self.format}
        device = {"id": "u" + name, "drive": "d" + name, "bus": bus, "scsi-id": self.target,
                  "lun": self.lun}
        return ["-drive", _options("", {**drive, **self.drive}),
                "-device", _options(self.kind, {**device, **self.props})]


@dataclasses.dataclass
class Controller:
    """One SCSI controller with its disks; @addr is its PCI slot in the guest."""
    disks: list = dataclasses.field(default_factory=list)
    driver: str = "lsi53c895a"
    id: str = "lsi0"
    addr: int = 4

    def args(self):
        result = ["-device", f"{self.driver},id={self.id}"]
        for number, disk in enumerate(self.disks):
            result += disk.args(f"{self.id}x{number}", f"{self.id}.0")
        return result


def _options(first, options):
    parts = [first] if first else []
    return ",".join(parts + [f"{k}={str(v).replace(',', ',,')}" for k, v in options.items()])


class Log:
    """What a child wrote to stderr."""

    def __init__(self):
        self.file = tempfile.TemporaryFile()

    def text(self):
        """All of it, or when it is long its first and its last lines."""
        lines = os.pread(self.file.fileno(), 1 << 22, 0).decode(errors="replace").splitlines(True)
        if len(lines) > 20:
            lines[10:-5] = [f"... {len(lines) - 15} lines\n"]
        return "".join(lines)


class Remote:
    """A remote process that serves @controllers; .peers are the proxies' ends, one a controller."""

    def __init__(self, controllers, kind=None):
        self.kind = kind or remote_kind()
        self.controllers = controllers
        self.log = Log()
        pairs = [socket.socketpair() for _ in controllers]
        self.peers = [near for near, _ in pairs]
        self.argv = self._argv([far.fileno() for _, far in pairs])
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log.file,
                                        stderr=self.log.file,
                                        pass_fds=[far.fileno() for _, far in pairs])
        for _, far in pairs:
            far.close()

    def _argv(self, fds):
        program = built("mpqemu-remote") if self.kind == "mpqemu" else QEMU
        argv = [program, "-machine", "x-remote", "-nodefaults", "-display", "none"]
        for controller in self.controllers:
            argv += controller.args()
        for number, (controller, fd) in enumerate(zip(self.controllers, fds)):
            argv += ["-object", f"x-remote-object,id=r{number},devid={controller.id},fd={fd}"]
        return argv

    def wait(self, timeout=20):
        """The exit status once its peers have gone."""
        return self.process.wait(timeout)

    def close(self):
        for peer in self.peers:
            peer.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Failure(Exception):
    """A run that did not end as it should; the text has every process's last words."""


class Vm:
    """One run of QEMU.  Remotes are started first; all ends when the with block does."""
    remote = Remote

    def __init__(self, remotes, args, memory="512M", accel="tcg", machine="pc", smp=None,
                 kind=None):
        self.kind = kind
        self.remotes = remotes      # lists of Controllers: one list a process
        self.args, self.memory, self.accel = args, memory, accel
        self.machine, self.smp = machine, smp
        self.started = []
        self.process = None
        self.log = Log()

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exc):
        self._stop()

    def _start(self):
        argv = [QEMU, "-nodefaults", "-display", "none", "-no-reboot", "-accel", self.accel,
                "-machine", f"{self.machine},memory-backend=ram", "-m", self.memory,
                "-object", f"memory-backend-memfd,id=ram,size={self.memory},share=on"]
        if self.smp:
            argv += ["-smp", str(self.smp)]
        fds = []
        for controllers in self.remotes:
            remote = self.remote(controllers, self.kind)
            self.started.append(remote)
            for controller, peer in zip(controllers, remote.peers):
                fds.append(peer.fileno())
                argv += ["-device", f"x-pci-proxy-dev,id={controller.id},addr={controller.addr},"
                                    f"fd={peer.fileno()}"]
        self.argv = argv + self.args
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log.file,
                                        stderr=self.log.file, pass_fds=fds)
        for remote in self.started:
            for peer in remote.peers:
                peer.close()

    def _stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for remote in self.started:
            remote.close()

    def words(self):
        """What QEMU and each remote said, for a failure's text."""
        text = f"--- QEMU ({self._status(self.process)}):\n{self.log.text()}"
        for remote in self.started:
            text += f"--- remote {' '.join(remote.argv)} ({self._status(remote.process)}):\n"
            text += remote.log.text()
        return text

    @staticmethod
    def _status(process):
        code = process.poll() if process else None
        if code is None:
            return "running"
        return f"exit {code}" if code >= 0 else signal.Signals(-code).name

    def _used(self):
        """CPU time that QEMU has used, in ticks: proc(5), utime and stime."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().split(") ")[1]
        return fields.split()[11:13]

    def _check_remotes(self):
        """A remote that ended before its QEMU has failed: its device is dead from then on."""
        ended = [r for r in self.started if r.process.poll() is not None]
        if ended and self.process.poll() is None:
            time.sleep(0.5)     # QEMU may be on its way out
            if self.process.poll() is None:
                raise Failure(f"a remote ended before QEMU\n{self.words()}")

    def finish(self, timeout):
        """Waits for QEMU to end by itself, then checks that it and all remotes ended well."""
        end, since, used = time.monotonic() + timeout, time.monotonic(), None
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise Failure(f"QEMU still runs after {timeout} s\n{self.words()}")
            if self._used() != used:
                used, since = self._used(), time.monotonic()
            elif time.monotonic() > since + 10:     # a guest with a tick, even an idle one, runs
                raise Failure(f"QEMU is stuck: no thread of it ran for 10 s\n{self.words()}")
            self._check_remotes()
            time.sleep(0.05)
        code = self.process.wait()
        for remote in self.started:
            try:
                code = remote.wait() or code
            except subprocess.TimeoutExpired:
                raise Failure(f"a remote outlives its QEMU\n{self.words()}") from None
        if code:
            raise Failure(f"a process failed\n{self.words()}")

    def stop(self):
        """Ends a QEMU that would run on (a boot sector in a loop), then checks as finish() does."""
        self.process.terminate()
        self.finish(20)

    def wait_for(self, path, mark, timeout):
        """Waits until file @path has the bytes @mark; returns all that it has by then."""
        end = time.monotonic() + timeout
        while True:
            ended = self.process.poll() is not None
            data = pathlib.Path(path).read_bytes() if os.path.exists(path) else b""
            if mark in data:
                return data
            self._check_remotes()
            if ended or time.monotonic() > end:
                raise Failure(f"no {mark!r} in {data[-2000:]!r}\n{self.words()}")
            time.sleep(0.05)


def image(path, size):
    """A sparse raw image of @size bytes."""
    with open(path, "wb") as file:
        file.truncate(size)
    return str(path)


def pattern(path, size, seed):
    """A raw image of @size bytes, each 512-byte block with its number and @seed in it."""
    with open(path, "wb") as file:
        for block in range(size // 512):
            file.write((f"{seed} {block:012d} " * 32).encode()[:512])
    return str(path)
