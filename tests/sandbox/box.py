# SPDX-License-Identifier: GPL-2.0-or-later
"""What the sandbox tests share: device processes of each kind, and facts of a process from outside.

The facts come from /proc, read by root in the host's namespaces: no word of them is the process's.
"""
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import mpq      # noqa: E402
import tap      # noqa: E402,F401

NOBODY = 65534
# Executes what follows as nobody, in its own place.
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
USERS = {"root": (), "nobody": AS_NOBODY}
LSI = "lsi53c895a,id=l0"
IMAGE_SIZE = 1 << 20
QEMU = os.environ.get("MPQEMU_QEMU", "qemu-system-x86_64")

needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root: reads other users' processes")


class Place:
    """A folder that anybody may use, gone at the end; images and servers in it."""

    nbd_server = None

    def __init__(self, stack):
        self.stack = stack
        self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mpq-sandbox-"))
        os.chmod(self.folder, 0o777)

    def path(self, name):
        return os.path.join(self.folder, name)

    def image(self, name="disk.img", size=IMAGE_SIZE):
        with open(self.path(name), "wb") as file:
            file.truncate(size)
        os.chmod(self.path(name), 0o666)
        return self.path(name)

    def nbd(self, image=None):
        """The socket of an NBD server of an image."""
        if not shutil.which("qemu-nbd"):
            raise unittest.SkipTest("qemu-nbd is not installed")
        sock = self.path("nbd.sock")
        server = subprocess.Popen(
            ["qemu-nbd", "--persistent", "--format=raw", f"--socket={sock}", "--discard=unmap",
             "--shared=0", image or self.image("nbd.img")], stdin=subprocess.DEVNULL,
            stderr=self.stack.enter_context(open(self.path("nbd.log"), "w", encoding="utf-8")))
        self.nbd_server = server
        self.stack.callback(server.wait)
        self.stack.callback(server.kill)
        mpq.wait_for(lambda: mpq.listens(sock), "the NBD server")
        os.chmod(sock, 0o666)
        return sock

    def loop_device(self, size=IMAGE_SIZE):
        """A block device of that size."""
        made = subprocess.run(["losetup", "--show", "--find", self.image("loop.img", size)],
                              capture_output=True, text=True)
        if made.returncode:
            raise unittest.SkipTest(f"needs root and a loop device: {made.stderr.strip()}")
        device = made.stdout.strip()
        self.stack.callback(subprocess.run, ["losetup", "--detach", device], check=True)
        return device


@contextlib.contextmanager
def place():
    with contextlib.ExitStack() as stack:
        yield Place(stack)


def raw_disk(path, ident="d0", bus="l0.0", options=""):
    return ["-drive", f"id={ident},file={path},if=none,format=raw{options}",
            "-device", f"scsi-hd,id=s{ident},drive={ident},bus={bus}"]


def nbd_disk(sock, ident="n0", bus="l0.0", options=""):
    return ["-blockdev",
            f"driver=nbd,node-name={ident},server.type=unix,server.path={sock}{options}",
            "-device", f"scsi-hd,id=s{ident},drive={ident},bus={bus}"]


# name: what makes (devices, further options) at a place
KINDS = {
    "edu": lambda at: (["edu,id=e0"], []),
    "two": lambda at: (["edu,id=e0", LSI], raw_disk(at.image())),
    "raw": lambda at: ([LSI], raw_disk(at.image())),
    "nbd": lambda at: ([LSI], nbd_disk(at.nbd())),
    "device": lambda at: ([LSI], raw_disk(at.loop_device())),
}


class Orchestrated:
    """A remote behind stock QEMU, both started by mpqemu-orchestrate; in place of mpq.Remote."""

    peers = (None,)     # one, which is QEMU's

    def __init__(self, at, user):
        argv = [*USERS[user], mpq.program("mpqemu-orchestrate"), "--",
                mpq.program("mpqemu-remote"), "-machine", "x-remote", "-device", LSI,
                *raw_disk(at.image()), "-object", "x-remote-object,id=r,devid=l0,fd=4", "---",
                QEMU, "-object", "memory-backend-memfd,id=mem,size=128M", "-device",
                "x-pci-proxy-dev,id=l0,socket=3", "-nodefaults", "-display", "none", "-S", "-accel",
                "tcg", "-qtest", "stdio"]
        self.log = tempfile.TemporaryFile()
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=self.log, text=True, cwd="/")
        self.ask("outl 0xcf8 0x80000000")       # an answer: QEMU has started, so has the remote
        self.keeper = keeper_of(self.device_pid())
        mpq.wait_for(lambda: status(self.keeper)["Seccomp"] == "2", "the keeper's filter")

    def ask(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()
        answer = self.proc.stdout.readline()
        if not answer.startswith("OK"):
            raise AssertionError(f"{line}: {answer!r}; {self.said()}")

    def device_pid(self):
        return mpq.wait_for(lambda: device_below(self.proc.pid), "the device process")

    def said(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def finish(self):
        self.proc.terminate()
        self.proc.communicate(timeout=mpq.TIMEOUT)
        return self.proc.returncode

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.proc.poll() is None:
            self.finish()
        self.log.close()


@contextlib.contextmanager
def remote(kind, user="root", extra=(), **kwargs):
    """A serving remote of that kind, whose first device has answered."""
    if kind == "orchestrated":
        with place() as at, Orchestrated(at, user) as it:
            yield it
        return
    with place() as at:
        devices, options = KINDS[kind](at)
        with mpq.Remote.start(devices, [*options, *extra], prefix=USERS[user], **kwargs) as it:
            it.place, it.keeper = at, it.proc.pid
            serving(it)
            yield it


def serving(it):
    """Waits until the remote has answered, and its keeper has given up its rights."""
    it.peer.cfg_read(0, 2)
    mpq.wait_for(lambda: status(it.proc.pid)["Seccomp"] == "2", "the keeper's filter")


def command(devices, extra=()):
    """A command line with a socket for each device, for remotes that are not to start."""
    argv = [mpq.program("mpqemu-remote"), "-machine", "x-remote"]
    for device in devices:
        argv += ["-device", device]
    return argv + list(extra)


# ---- Facts ----

def proc(pid, name):
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read().decode(errors="replace")


def status(pid):
    """{field: its text} of /proc/PID/status; of a thread too."""
    return dict(line.split(":\t", 1) if ":\t" in line else (line.rstrip(":"), "")
                for line in proc(pid, "status").rstrip("\n").split("\n"))


def threads(pid):
    return [int(number) for number in os.listdir(f"/proc/{pid}/task")]


def namespaces(pid):
    folder = f"/proc/{pid}/ns"
    return {name: os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}


def limits(pid):
    """{name: (soft, hard)}"""
    return {row[1]: (row[2], row[3]) for row in re.finditer(
        r"^(Max [a-z ]+?) {2,}(\S+) +(\S+)", proc(pid, "limits"), re.M)}


def mappings(pid):
    """[(start, end, protection, name)]"""
    found = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)$", proc(pid, "maps"),
                       re.M)
    return [(int(start, 16), int(end, 16), prot, name) for start, end, prot, name in found]


def memory(pid):
    """The bytes of all that it can read, a piece a mapping."""
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        for start, end, prot, name in mappings(pid):
            if prot.startswith("r") and name not in ("[vvar]", "[vvar_vclock]", "[vsyscall]"):
                yield os.pread(fd, end - start, start)
    finally:
        os.close(fd)


def in_network_of(pid, code):
    """What the Python text prints that runs in the network namespace of a process."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter():
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        if libc.setns(fd, 0):
            raise OSError(ctypes.get_errno(), "setns")
    return subprocess.run([sys.executable, "-c", code], preexec_fn=enter, check=True,
                          capture_output=True, text=True).stdout


def slots():
    """{name without LAUNCH_SLOT_: number} as src/control/launch.h has them."""
    text = (HERE.parents[1] / "src/control/launch.h").read_text(encoding="utf-8")
    body = re.search(r"enum launch_slot \{(.*?)\};", text, re.S)[1]
    table, following = {}, 0
    for name, value in re.findall(r"LAUNCH_SLOT_(\w+)(?: = (\d+))?,", body):
        table[name] = int(value) if value else following
        following = table[name] + 1
    return table


def children(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for task in threads(pid)
                for child in proc(pid, f"task/{task}/children").split()]
    return []


def device_below(pid):
    """The device process among the descendants of a command that started a remote, or None."""
    for child in children(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):   # it has ended since
            if proc(child, "cmdline").endswith("mpqemu-device\0"):
                return child
            found = device_below(child)
            if found:
                return found
    return None


def keeper_of(device):
    return int(status(device)["PPid"])
