# SPDX-License-Identifier: GPL-2.0-or-later
"""The mpqemu wire protocol, written down from mpqemu-protocol(7) and not from src/proto.

    with Remote.edu() as remote:
        remote.peer.cfg_read(0, 2)

A Remote is a process (ours, or QEMU's own) with its socket; a Peer is our end of that socket.
"""
import contextlib
import mmap
import os
import re
import select
import socket
import struct
import subprocess
import tempfile
import time
from collections import namedtuple
from enum import IntEnum

ALL_ONES = (1 << 64) - 1
MAX_PAYLOAD = 192
TIMEOUT = float(os.environ.get("MPQ_TEST_TIMEOUT", "60"))   # guards hangs, decides nothing else

EXIT_CLEAN, EXIT_START, EXIT_MID_MESSAGE, EXIT_PROTOCOL = 0, 1, 2, 3
EXIT_FLUSH, EXIT_FORBIDDEN = 4, 5


class Cmd(IntEnum):
    SYNC_SYSMEM = 0
    RET = 1
    PCI_CFGWRITE = 2
    PCI_CFGREAD = 3
    BAR_WRITE = 4
    BAR_READ = 5
    SET_IRQFD = 6
    DEVICE_RESET = 7


PAYLOAD = {Cmd.SYNC_SYSMEM: 192, Cmd.RET: 8, Cmd.PCI_CFGWRITE: 12, Cmd.PCI_CFGREAD: 12,
           Cmd.BAR_WRITE: 24, Cmd.BAR_READ: 24, Cmd.SET_IRQFD: 0, Cmd.DEVICE_RESET: 0}
FDS = {Cmd.SYNC_SYSMEM: range(1, 9), Cmd.SET_IRQFD: range(2, 3)}    # the others take none
NO_FDS = range(0, 1)
HAS_REPLY = {Cmd.PCI_CFGWRITE, Cmd.PCI_CFGREAD, Cmd.BAR_WRITE, Cmd.BAR_READ, Cmd.DEVICE_RESET}

Region = namedtuple("Region", "gpa size offset fd")


def message(cmd, payload=b"", size=None):
    """Header and payload; @size when the header is to lie about it."""
    return struct.pack("<iIQ", cmd, 0, len(payload) if size is None else size) + payload


def cfg(addr, val, length):
    return struct.pack("<IIi", addr & 0xffffffff, val & 0xffffffff, length)


def bar(addr, val, size, memory=1):
    return struct.pack("<QQIB3x", addr & ALL_ONES, val & ALL_ONES, size, memory)


def sysmem(regions):
    """The payload of SYNC_SYSMEM; empty places are zero."""
    columns = [[0] * 8 for _ in range(3)]
    for i, region in enumerate(regions):
        for column, value in zip(columns, region):
            column[i] = value
    return b"".join(struct.pack("<8Q", *(v & ALL_ONES for v in column)) for column in columns)


def sample(cmd):
    """A well-formed message that changes nothing of consequence, without its fds."""
    payload = {Cmd.PCI_CFGREAD: cfg(0, 0, 2), Cmd.PCI_CFGWRITE: cfg(0x3c, 0, 1),
               Cmd.BAR_READ: bar(0, 0, 4), Cmd.BAR_WRITE: bar(0, 0, 4),
               Cmd.SYNC_SYSMEM: bytes(192), Cmd.RET: bytes(8)}.get(cmd, b"")
    return message(cmd, payload)


class Closed(Exception):
    """The remote has closed the connection."""


class Peer:
    """Our end of a connection: what x-pci-proxy-dev would send."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(TIMEOUT)

    def close(self):
        self.sock.close()

    def send_raw(self, data, fds=()):
        """All of @data, the fds with its first byte; raises Closed when nobody is there."""
        try:
            if fds:
                sent = socket.send_fds(self.sock, [data], list(fds))
                data = data[sent:]
            if data:
                self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as err:
            raise Closed() from err

    def send(self, cmd, payload=b"", fds=()):
        self.send_raw(message(cmd, payload), fds)

    def recv_exact(self, size):
        data = b""
        while len(data) < size:
            try:
                piece = self.sock.recv(size - len(data))
            except ConnectionResetError as err:
                raise Closed() from err
            if not piece:
                raise Closed() if not data else Closed("in the middle of a message")
            data += piece
        return data

    def recv(self):
        """(command, payload) of the next message."""
        cmd, _, size = struct.unpack("<iIQ", self.recv_exact(16))
        if size > MAX_PAYLOAD:
            raise AssertionError(f"the remote says that {size} bytes follow")
        return Cmd(cmd), self.recv_exact(size)

    def ret(self):
        """The value of the RET that comes next."""
        cmd, payload = self.recv()
        if cmd != Cmd.RET or len(payload) != 8:
            raise AssertionError(f"{cmd.name} with {len(payload)} bytes instead of RET")
        return struct.unpack("<Q", payload)[0]

    def quiet(self, seconds=0.05):
        """Is nothing there to read?  (A wait that can only miss a fault, never invent one.)"""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b"" and False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(TIMEOUT)

    def cfg_read(self, addr, length):
        self.send(Cmd.PCI_CFGREAD, cfg(addr, 0, length))
        return self.ret()

    def cfg_write(self, addr, val, length):
        self.send(Cmd.PCI_CFGWRITE, cfg(addr, val, length))
        return self.ret()

    def bar_read(self, addr, size, memory=1):
        self.send(Cmd.BAR_READ, bar(addr, 0, size, memory))
        return self.ret()

    def bar_write(self, addr, val, size, memory=1):
        self.send(Cmd.BAR_WRITE, bar(addr, val, size, memory))
        return self.ret()

    def reset(self):
        self.send(Cmd.DEVICE_RESET)
        cmd, payload = self.recv()
        if cmd != Cmd.RET or payload:
            raise AssertionError(f"{cmd.name} with {len(payload)} bytes after a reset")

    def sync_sysmem(self, regions):
        self.send(Cmd.SYNC_SYSMEM, sysmem(regions), [r.fd for r in regions])

    def set_irqfd(self, irqfd, resamplefd):
        self.send(Cmd.SET_IRQFD, b"", [irqfd, resamplefd])

    def ended(self):
        """Waits for the end of the stream; replies that come before it are thrown away."""
        try:
            while self.sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
        return True


def children(pid):
    """Those of its first thread, the youngest last."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def child_named(pid, name):
    """The child of that command name."""
    for child in children(pid):
        with open(f"/proc/{child}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name[:15]:
                return child
    raise AssertionError(f"no {name}")


@contextlib.contextmanager
def in_flight(count):
    """So many fds on their way from us to ourselves."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for _ in range(0, count, 200):
            socket.send_fds(ours, [b"x"], [0] * 200)
        yield


class Ram:
    """Guest RAM in a memfd, mapped here as well."""

    def __init__(self, size, name="guest-ram"):
        self.size = size
        self.fd = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)

    def region(self, gpa=0, size=None, offset=0):
        return Region(gpa, self.size - offset if size is None else size, offset, self.fd)

    def close(self):
        self.map.close()
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Event:
    """An eventfd.  Blocking, as QEMU's are: its holders have to poll before they read or write."""

    FULL = ALL_ONES - 1

    def __init__(self, initial=0):
        self.fd = os.eventfd(0, os.EFD_CLOEXEC)
        if initial:
            os.eventfd_write(self.fd, initial)

    def take(self):
        """The count, set back to 0.  Never waits, whoever else reads."""
        count = bytearray(8)
        try:
            os.preadv(self.fd, [count], -1, os.RWF_NOWAIT)
        except BlockingIOError:
            return 0
        return int.from_bytes(count, "little")

    def pending(self):
        return bool(select.select([self.fd], [], [], 0)[0])

    def wait(self):
        """Waits for a count and takes it."""
        return wait_for(self.take, "an eventfd to be written")

    def signal(self):
        os.eventfd_write(self.fd, 1)

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def wait_for(what, name):
    """Polls what() until it is true, and returns it; a hang ends with an AssertionError."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.002)
    raise AssertionError(f"waited {TIMEOUT:.0f} s for {name}")


def listens(path):
    """Does a server listen there?  The name of its socket is there a moment before."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(path) == 0


def fds(pid):
    """{number: what it is} of a process; what it closes meanwhile is left out."""
    folder = f"/proc/{pid}/fd"
    found = {}
    for number in os.listdir(folder):
        try:
            found[int(number)] = os.readlink(f"{folder}/{number}")
        except FileNotFoundError:
            pass
    return found


def program(name):
    """The path of a built program: in MPQEMU_BUILD, or in build/ of this tree."""
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.join(os.environ.get("MPQEMU_BUILD", os.path.join(here, "../../build")), name)


def wrapper():
    """A command that stands before every program of ours: valgrind and its like."""
    return os.environ.get("MPQ_WRAPPER", "").split()


def sandbox():
    """Options of mpqemu-remote under a wrapper: valgrind makes calls of its own."""
    return ["--sandbox=off"] if wrapper() else []


def without_level(text):
    return re.sub(r"^(\S+ )?mpqemu-remote: sandbox: .*\n", "", text, count=1, flags=re.M)


def has_nbd():
    return os.environ.get("MPQ_NBD") != "0"


def sanitized():
    return os.environ.get("MPQ_SANITIZED") == "1"


class Remote:
    """A remote process that serves one or more devices; ends with the context."""

    def __init__(self, argv, peers, log, wrap=True, pass_fds=()):
        """@peers: [(our socket, its socket)]; the second ends are closed here."""
        self.log_file = log
        self.peers = [Peer(ours) for ours, _ in peers]
        self.proc = subprocess.Popen(
            (wrapper() if wrap else []) + argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            pass_fds=[theirs.fileno() for _, theirs in peers] + list(pass_fds))
        for _, theirs in peers:
            theirs.close()

    @classmethod
    def start(cls, devices, extra=(), qemu=None, pass_fds=(), prefix=()):
        """
        @devices: option texts of -device, with ids; each gets a socket.  @qemu: its path.
        @prefix: a command that executes the remote in its own place, as another user.
        """
        argv = [*prefix, qemu or program("mpqemu-remote"), "-machine", "x-remote"]
        argv += ["-nodefaults", "-display", "none"] if qemu else sandbox()
        peers = []
        for i, device in enumerate(devices):
            pair = socket.socketpair()
            ident = re.search(r"\bid=([^,]+)", device)[1]
            argv += ["-device", device, "-object",
                     f"x-remote-object,id=robj{i},devid={ident},fd={pair[1].fileno()}"]
            peers.append(pair)
        return cls(argv + list(extra), peers, tempfile.TemporaryFile(), wrap=not qemu,
                   pass_fds=pass_fds)

    @classmethod
    def edu(cls, extra=(), **kwargs):
        return cls.start(["edu,id=e0"], extra, **kwargs)

    @property
    def peer(self):
        return self.peers[0]

    def said(self):
        # not by the file's offset: the remote writes by the same one
        return os.pread(self.log_file.fileno(), 1 << 24, 0).decode(errors="replace")

    def log(self):
        """What it said but for the line that names its sandbox."""
        return without_level(self.said())

    def device_pid(self):
        """The device process: the keeper's youngest child, after its storage daemons."""
        return wait_for(lambda: children(self.proc.pid), "the device process")[-1]

    def device_fds(self):
        """{number: what it is} of the device process."""
        return fds(self.device_pid())

    def wait(self):
        """The exit status: a number, or -signal."""
        return self.proc.wait(TIMEOUT)

    def finish(self):
        """Closes our ends and returns the exit status."""
        for peer in self.peers:
            peer.close()
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind=None, *exc):
        for peer in self.peers:
            peer.close()
        if kind:        # one that listens would not end by itself, and hide what went wrong
            self.proc.terminate()
        try:
            self.proc.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            if not kind:
                raise AssertionError(f"the remote did not end; it said: {self.log()}") from None
        finally:
            self.log_file.close()


class Edu:
    """The teaching device, driven through a Peer (QEMU's docs/specs/edu)."""

    BASE = 0xfea00000
    ID, LIVENESS, FACTORIAL, STATUS, IRQ_STATUS = 0x00, 0x04, 0x08, 0x20, 0x24
    IRQ_RAISE, IRQ_ACK = 0x60, 0x64
    DMA_SRC, DMA_DST, DMA_COUNT, DMA_CMD = 0x80, 0x88, 0x90, 0x98
    BUFFER, BUFFER_SIZE = 0x40000, 4096
    START, TO_RAM, DMA_IRQ = 1, 2, 4

    def __init__(self, peer, base=BASE, command=6):
        self.peer, self.base = peer, base
        peer.cfg_write(0x10, base, 4)
        peer.cfg_write(4, command, 2)

    def read(self, offset, size=4):
        return self.peer.bar_read(self.base + offset, size)

    def write(self, offset, val, size=4):
        return self.peer.bar_write(self.base + offset, val, size)

    def dma(self, src, dst, count, cmd):
        """Starts a transfer and waits for its end."""
        self.dma_start(src, dst, count, cmd)
        wait_for(lambda: not self.read(self.DMA_CMD) & self.START, "the end of a DMA")

    def dma_start(self, src, dst, count, cmd):
        for offset, value in ((self.DMA_SRC, src), (self.DMA_DST, dst), (self.DMA_COUNT, count),
                              (self.DMA_CMD, cmd | self.START)):
            self.write(offset, value)

    def load(self, gpa, count):
        """Guest RAM to the device's buffer."""
        self.dma(gpa, self.BUFFER, count, 0)

    def store(self, gpa, count):
        """The device's buffer to guest RAM."""
        self.dma(self.BUFFER, gpa, count, self.TO_RAM)
