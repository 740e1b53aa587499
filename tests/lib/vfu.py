# SPDX-License-Identifier: GPL-2.0-or-later
"""The vfio-user protocol, written down from its specification and not from src/proto.

    with Server.start(["edu-pcie,id=e0"]) as server:
        client = server.client()
        client.region_read(CONFIG, 0, 4)

A Server is a process of ours that listens; a Client is what a VMM has connected to it.  Every reply
is checked: id, command, flags, exact size, no fds, order, and that its header comes in one piece.
Stock clients (Qemu, CloudHypervisor, Spdk) are in vfuclients.py, a bus for drivers is in vfubus.py.
"""
import collections
import errno
import json
import os
import re
import select
import socket
import struct
import tempfile
import time
from collections import namedtuple
from enum import IntEnum

import mpq
from mpq import Closed


class Cmd(IntEnum):
    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    GET_INFO = 4
    GET_REGION_INFO = 5
    GET_REGION_IO_FDS = 6
    GET_IRQ_INFO = 7
    SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    RESET = 13
    DIRTY_PAGES = 14
    WRITE_MULTI = 15
    DEVICE_FEATURE = 16
    MIG_DATA_READ = 17
    MIG_DATA_WRITE = 18


COMMAND, REPLY, TYPE, NO_REPLY, ERROR = 0x00, 0x01, 0x0f, 0x10, 0x20      # header flags
BAR0, BAR1, BAR2, BAR3, BAR4, BAR5, ROM, CONFIG, VGA = range(9)
INTX, MSI, MSIX, ERR, REQ = range(5)
MAP_READ, MAP_WRITE, UNMAP_ALL = 1, 2, 2
INFO_RESET, INFO_PCI = 1, 2
REGION_R, REGION_W, REGION_MMAP, REGION_CAPS = 1, 2, 4, 8
IRQ_EVENTFD, IRQ_MASKABLE, IRQ_AUTOMASKED, IRQ_NORESIZE = 1, 2, 4, 8
DATA_NONE, DATA_BOOL, DATA_EVENTFD = 0x01, 0x02, 0x04
MASK, UNMASK, TRIGGER = 0x08, 0x10, 0x20

HEADER = struct.Struct("<HHIII")
MAX_FDS = 16
DEFAULT_XFER = 1 << 20
LONGEST = DEFAULT_XFER + 64         # of the messages that a server of ours may send
QEMU_BUFFER = 214                   # what QEMU has for the reply to its VERSION
SOON = 0.1      # s: waits that can only miss a fault, never invent one


class Layout:
    """Named little-endian fields; bytes of any number may follow (field "tail")."""

    def __init__(self, fmt="", names="", tail=False):
        self.fixed = struct.Struct("<" + fmt)
        self.fields = namedtuple("Payload", names + (" tail" if tail else ""))
        self.tail = tail

    def pack(self, *values, tail=b""):
        return self.fixed.pack(*values) + tail

    def unpack(self, payload):
        """Raises AssertionError for a payload of the wrong size."""
        size = self.fixed.size
        if len(payload) < size or (len(payload) > size and not self.tail):
            raise AssertionError(f"{len(payload)} bytes instead of {size}")
        rest = (payload[size:],) if self.tail else ()
        return self.fields(*self.fixed.unpack_from(payload), *rest)


NOTHING = Layout()
VERSION = Layout("HH", "major minor", tail=True)
MAP = Layout("IIQQQ", "argsz flags offset iova size")
UNMAP = Layout("IIQQ", "argsz flags iova size")
INFO = Layout("IIII", "argsz flags num_regions num_irqs")
REGION_INFO = Layout("IIIIQQ", "argsz flags index cap_offset size offset", tail=True)
IRQ_INFO = Layout("IIII", "argsz flags index count")
IRQS = Layout("IIIII", "argsz flags index start count", tail=True)
ACCESS = Layout("QII", "offset region count", tail=True)
ACCESSED = Layout("QII", "offset region count")
DMA = Layout("QQ", "addr count", tail=True)
DMA_ASKED = Layout("QQ", "addr count")
MULTI = Layout("Q", "count", tail=True)
MULTI_ENTRY = Layout("QII8s", "offset region count data")
MULTI_DONE = Layout("Q", "count")

Row = namedtuple("Row", "request reply fds")        # fds: how many may come with the request
NO_FDS, ONE_FD, MANY_FDS = range(0, 1), range(0, 2), range(0, MAX_FDS + 1)
# What a client may send.
REQUESTS = {
    Cmd.VERSION: Row(VERSION, VERSION, NO_FDS),
    Cmd.DMA_MAP: Row(MAP, NOTHING, ONE_FD),
    Cmd.DMA_UNMAP: Row(UNMAP, UNMAP, ONE_FD),       # SPDK's: of no use
    Cmd.GET_INFO: Row(INFO, INFO, NO_FDS),
    Cmd.GET_REGION_INFO: Row(REGION_INFO, REGION_INFO, NO_FDS),
    Cmd.GET_IRQ_INFO: Row(IRQ_INFO, IRQ_INFO, NO_FDS),
    Cmd.SET_IRQS: Row(IRQS, NOTHING, MANY_FDS),
    Cmd.REGION_READ: Row(ACCESSED, ACCESS, NO_FDS),
    Cmd.REGION_WRITE: Row(ACCESS, ACCESSED, NO_FDS),
    Cmd.RESET: Row(NOTHING, NOTHING, NO_FDS),
    Cmd.WRITE_MULTI: Row(MULTI, MULTI_DONE, NO_FDS),
}
# What a server may send.
ASKS = {
    Cmd.DMA_READ: Row(DMA_ASKED, DMA, NO_FDS),
    Cmd.DMA_WRITE: Row(DMA, DMA_ASKED, NO_FDS),
}

Message = namedtuple("Message", "ident cmd flags error payload")
Ask = namedtuple("Ask", "ident cmd addr count data")
Version = namedtuple("Version", "major minor capabilities size")


class Refused(Exception):
    """An error reply."""

    def __init__(self, number):
        super().__init__(errno.errorcode.get(number, str(number)))
        self.number = number


def message(ident, cmd, payload=b"", flags=COMMAND, error=0, size=None):
    """Header and payload; @size when the header is to lie about it."""
    size = 16 + len(payload) if size is None else size
    return HEADER.pack(ident, cmd, size, flags, error) + payload


def version_payload(major=0, minor=0, text=None):
    """@text: JSON without its NUL; None for no JSON at all."""
    return VERSION.pack(major, minor, tail=b"" if text is None else text.encode() + b"\0")


def capabilities(**values):
    return json.dumps({"capabilities": values})


def access(region, offset, count, data=b""):
    return ACCESS.pack(offset, region, count, tail=data)


def multi(entries, count=None):
    """@entries: (region, offset, data); up to 8 bytes of data each."""
    tail = b"".join(MULTI_ENTRY.pack(offset, region, len(data), data)
                    for region, offset, data in entries)
    return MULTI.pack(len(entries) if count is None else count, tail=tail)


def irqs(index, flags, start=0, count=0, data=b"", argsz=None):
    return IRQS.pack(20 + len(data) if argsz is None else argsz, flags, index, start, count,
                     tail=data)


def sample(cmd):
    """The payload of a well-formed request that changes nothing of consequence, without fds."""
    return {
        Cmd.VERSION: version_payload(0, 0, "{}"),
        Cmd.DMA_MAP: MAP.pack(32, MAP_READ, 0, 1 << 40, 4096),
        Cmd.DMA_UNMAP: UNMAP.pack(24, 0, 1 << 41, 4096),
        Cmd.GET_INFO: INFO.pack(16, 0, 0, 0),
        Cmd.GET_REGION_INFO: REGION_INFO.pack(32, 0, CONFIG, 0, 0, 0),
        Cmd.GET_IRQ_INFO: IRQ_INFO.pack(16, 0, INTX, 0),
        Cmd.SET_IRQS: irqs(INTX, DATA_NONE | TRIGGER),
        Cmd.REGION_READ: access(CONFIG, 0, 4),
        Cmd.REGION_WRITE: access(CONFIG, 0x3c, 1, b"\0"),
        Cmd.RESET: b"",
        Cmd.WRITE_MULTI: multi([(CONFIG, 0x3c, b"\0")]),
    }[cmd]


class Wire:
    """Messages on a socket, in both directions."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(mpq.TIMEOUT)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

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

    def _header(self):
        """One recv: QEMU takes a header in pieces for the end of the server."""
        try:
            head, fds, _, _ = socket.recv_fds(self.sock, 16, MAX_FDS + 1)
        except ConnectionResetError as err:
            raise Closed() from err
        if not head:
            raise Closed()
        if len(head) != 16:
            raise AssertionError(f"the first recv brought {len(head)} bytes of a header")
        return HEADER.unpack(head), fds

    def _payload(self, size):
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise Closed("in the middle of a message")
            data += piece
        return data

    def recv_message(self):
        (ident, cmd, size, flags, error), fds = self._header()
        for fd in fds:
            os.close(fd)
        if not 16 <= size <= LONGEST:
            raise AssertionError(f"a message of {size} bytes: {cmd}")
        if fds:
            raise AssertionError(f"{len(fds)} fds with a message that has none: {cmd}")
        return Message(ident, cmd, flags, error, self._payload(size - 16))

    def readable(self, seconds=0.0):
        return bool(select.select([self.sock], [], [], seconds)[0])

    def quiet(self, seconds=SOON):
        """Is nothing there to read, nor the end of the stream?"""
        return not self.readable(seconds)

    def ended(self):
        """Waits for the end of the stream; what comes before it is thrown away."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


class Client(Wire):
    """A VMM's end.  @answer(client, ask) serves the server's DMA_READ and DMA_WRITE.

    Without it they wait in .asked, for the test to answer.
    """

    TEXT = capabilities(max_msg_fds=16, max_data_xfer_size=DEFAULT_XFER, max_dma_maps=65535,
                        pgsizes=4096, write_multiple=True)

    def __init__(self, sock, answer=None):
        super().__init__(sock)
        self.answer = answer
        self.asked = collections.deque()
        self.pending = collections.deque()      # (id, command): replies come in this order
        self.ident = 0
        self.max_xfer = DEFAULT_XFER            # ours: what the server may ask for at once
        self.negotiated = None
        self.refusals = 0                       # error replies that came

    # ---- Requests and their replies ----

    def new_ident(self):
        self.ident = (self.ident + 1) & 0xffff
        return (self.ident - 1) & 0xffff

    def send(self, cmd, payload=b"", fds=(), flags=COMMAND):
        """Sends a request without waiting for its reply."""
        ident = self.new_ident()
        self.send_raw(message(ident, cmd, payload, flags), fds)
        if not flags & NO_REPLY:
            self.pending.append((ident, cmd))

    def send_batch(self, requests):
        """Requests (command, payload[, flags]) in one write."""
        data = b""
        for cmd, payload, *flags in requests:
            ident, flag = self.new_ident(), flags[0] if flags else COMMAND
            data += message(ident, cmd, payload, flag)
            if not flag & NO_REPLY:
                self.pending.append((ident, cmd))
        self.send_raw(data)

    def reply(self):
        """The payload of the reply that comes next; raises Refused for an error."""
        while True:
            got = self.recv_message()
            if got.flags & TYPE != COMMAND:
                return self._replied(got)
            self._asked(got)

    def _replied(self, got):
        if not self.pending:
            raise AssertionError(f"a reply to nothing: {got}")
        want = self.pending.popleft()
        if (got.ident, got.cmd) != want:
            raise AssertionError(f"a reply to {got.ident}, {got.cmd} instead of {want}")
        if got.flags & ERROR:
            if got.flags != REPLY | ERROR or got.payload or not got.error:
                raise AssertionError(f"an error reply that is none: {got}")
            self.refusals += 1
            raise Refused(got.error)
        if got.flags != REPLY or got.error:
            raise AssertionError(f"flags {got.flags:#x}, error {got.error} in {got}")
        return got.payload

    def call(self, cmd, payload=b"", fds=()):
        """The reply's fields."""
        self.send(cmd, payload, fds)
        return REQUESTS[cmd].reply.unpack(self.reply())

    def errno_of(self, cmd, payload=b"", fds=()):
        """The error number that a request earns; 0 for none."""
        try:
            self.send(cmd, payload, fds)
            self.reply()
        except Refused as refused:
            return refused.number
        return 0

    def alive(self):
        """Shows that the session goes on: the device's vendor."""
        return int.from_bytes(self.region_read(CONFIG, 0, 2), "little")

    # ---- The server's requests ----

    def _asked(self, got):
        if got.flags != COMMAND or got.error or got.cmd not in ASKS:
            raise AssertionError(f"the server sends {got}")
        fields = ASKS[got.cmd].request.unpack(got.payload)
        data = fields.tail if got.cmd == Cmd.DMA_WRITE else b""
        if not 0 < fields.count <= self.max_xfer:
            raise AssertionError(f"{Cmd(got.cmd).name} of {fields.count} bytes")
        if got.cmd == Cmd.DMA_WRITE and len(data) != fields.count:
            raise AssertionError(f"DMA_WRITE of {fields.count} bytes with {len(data)}")
        ask = Ask(got.ident, Cmd(got.cmd), fields.addr, fields.count, data)
        if self.answer:
            self.answer(self, ask)
        else:
            self.asked.append(ask)

    def ask(self):
        """The server's next request; nothing else may come before it."""
        while not self.asked:
            got = self.recv_message()
            if got.flags & TYPE != COMMAND:
                raise AssertionError(f"{got} instead of a request")
            self._asked(got)
        return self.asked.popleft()

    def answered(self, ask, data=None):
        """Answers a request; @data: what a DMA_READ gets."""
        payload = DMA.pack(ask.addr, ask.count, tail=data or b"")
        self.send_raw(message(ask.ident, ask.cmd, payload, REPLY))

    def refuse(self, ask, number=errno.EINVAL):
        self.send_raw(message(ask.ident, ask.cmd, b"", REPLY | ERROR, number))

    def serve(self, until, name):
        """Answers what the server asks until until() is true."""
        end = time.monotonic() + mpq.TIMEOUT
        while not until():
            if time.monotonic() > end:
                raise AssertionError(f"waited {mpq.TIMEOUT:.0f} s for {name}")
            if self.readable(0.002):
                got = self.recv_message()
                if got.flags & TYPE != COMMAND:
                    raise AssertionError(f"{got} instead of a request")
                self._asked(got)

    # ---- The commands ----

    def version(self, major=0, minor=0, text=TEXT):
        """Negotiates; what came is kept in .negotiated too."""
        got = self.call(Cmd.VERSION, version_payload(major, minor, text))
        asked = json.loads(text).get("capabilities", {}) if text else {}
        self.max_xfer = asked.get("max_data_xfer_size", DEFAULT_XFER)
        self.negotiated = version_reply(got)
        return self.negotiated

    def dma_map(self, iova, size, fd=None, offset=0, flags=MAP_READ | MAP_WRITE):
        self.call(Cmd.DMA_MAP, MAP.pack(32, flags, offset, iova, size), [] if fd is None else [fd])

    def dma_unmap(self, iova, size, flags=0):
        payload = UNMAP.pack(24, flags, iova, size)
        if self.call(Cmd.DMA_UNMAP, payload) != UNMAP.unpack(payload):
            raise AssertionError("the reply to DMA_UNMAP does not repeat the request")

    def get_info(self, argsz=16):
        return self.call(Cmd.GET_INFO, INFO.pack(argsz, 0, 0, 0))

    def region_info(self, index, argsz=32, padding=b""):
        got = self.call(Cmd.GET_REGION_INFO,
                        REGION_INFO.pack(argsz, 0, index, 0, 0, 0, tail=padding))
        if got.index != index or len(got.tail) != (got.argsz - 32 if argsz >= got.argsz else 0):
            raise AssertionError(f"region {index}: {got}")
        return got

    def irq_info(self, index, argsz=16):
        got = self.call(Cmd.GET_IRQ_INFO, IRQ_INFO.pack(argsz, 0, index, 0))
        if got.index != index or got.argsz != 16:
            raise AssertionError(f"interrupts {index}: {got}")
        return got

    def set_irqs(self, index, flags, start=0, count=0, fds=(), data=b""):
        self.call(Cmd.SET_IRQS, irqs(index, flags, start, count, data), fds)

    def region_read(self, region, offset, count):
        got = self.call(Cmd.REGION_READ, access(region, offset, count))
        if got[:3] != (offset, region, count) or len(got.tail) != count:
            raise AssertionError(f"asked for {count} bytes at {offset:#x} of {region}: {got}")
        return got.tail

    def region_write(self, region, offset, data, posted=False):
        payload = access(region, offset, len(data), bytes(data))
        if posted:
            self.send(Cmd.REGION_WRITE, payload, flags=NO_REPLY)
            return
        if self.call(Cmd.REGION_WRITE, payload) != (offset, region, len(data)):
            raise AssertionError("the reply to REGION_WRITE does not repeat the request")

    def write_multi(self, entries, posted=False):
        """The number of writes done."""
        if posted:
            self.send(Cmd.WRITE_MULTI, multi(entries), flags=NO_REPLY)
            return None
        return self.call(Cmd.WRITE_MULTI, multi(entries)).count

    def reset(self):
        self.call(Cmd.RESET)

    # ---- Shorter forms ----

    def read(self, region, offset, size=4):
        return int.from_bytes(self.region_read(region, offset, size), "little")

    def write(self, region, offset, value, size=4, posted=False):
        self.region_write(region, offset, value.to_bytes(size, "little"), posted)

    def trigger(self, index, start, fds):
        """Sets the eventfds of vectors from @start on; none: takes away that of one vector."""
        self.set_irqs(index, DATA_EVENTFD | TRIGGER, start, max(len(fds), 1), fds)

    def disable(self, index):
        self.set_irqs(index, DATA_NONE | TRIGGER)

    def unmask(self, index=INTX, start=0, count=1):
        self.set_irqs(index, DATA_NONE | UNMASK, start, count)


def version_reply(got):
    """Version of the fields of a reply; its JSON is whole, ends with its NUL, and is short."""
    size, caps = 16 + 4 + len(got.tail), {}
    if size > QEMU_BUFFER:
        raise AssertionError(f"a reply to VERSION of {size} bytes")
    if got.tail:
        if got.tail.find(b"\0") != len(got.tail) - 1:
            raise AssertionError(f"no NUL at the end, or another one: {got.tail}")
        caps = json.loads(got.tail[:-1]).get("capabilities", {})
    return Version(got.major, got.minor, caps, size)


class Memory:
    """Guest RAM that is reached by messages only: the answerer of a Client."""

    def __init__(self, size, base=0):
        self.map, self.base = bytearray(size), base
        self.asks = []          # what has been asked for

    def __call__(self, client, ask):
        self.asks.append(ask)
        start = ask.addr - self.base
        if start < 0 or start + ask.count > len(self.map):
            client.refuse(ask, errno.ENODEV)
        elif ask.cmd == Cmd.DMA_READ:
            client.answered(ask, bytes(self.map[start:start + ask.count]))
        else:
            self.map[start:start + ask.count] = ask.data
            client.answered(ask)

    def share(self, client):
        client.answer = self
        client.dma_map(self.base, len(self.map))


class Server(mpq.Remote):
    """mpqemu-remote that listens for vfio-user clients, a socket for each device.

    It ends by SIGTERM: a client that goes makes room for the next.
    """

    folder, paths, clients = None, (), ()

    @classmethod
    def start(cls, devices=("edu-pcie,id=e0",), extra=(), mpqemu=(), prefix=(), pass_fds=()):
        """@devices: of vfio-user clients; @mpqemu: further ones, of .peers."""
        folder = tempfile.TemporaryDirectory(prefix="mpq-vfu-")
        argv = [*prefix, mpq.program("mpqemu-remote"), "-machine", "x-remote,vfio-user=on",
                *mpq.sandbox()]
        paths, pairs = [], []
        for i, device in enumerate([*devices, *mpqemu]):
            ident = re.search(r"\bid=([^,]+)", device)[1]
            argv += ["-device", device, "-object"]
            if i < len(devices):
                paths.append(os.path.join(folder.name, f"{ident}.sock"))
                argv.append(f"x-vfio-user-server,id=v{i},type=unix,path={paths[-1]},device={ident}")
            else:
                pairs.append(socket.socketpair())
                argv.append(f"x-remote-object,id=r{i},devid={ident},fd={pairs[-1][1].fileno()}")
        server = cls(argv + list(extra), pairs, tempfile.TemporaryFile(), pass_fds=pass_fds)
        server.folder, server.paths, server.clients = folder, paths, []
        return server

    def log(self):
        """What it said but for its sandbox, and for the signal that finish() sends."""
        ours = rf"^\S+: terminating on signal 15 from pid {os.getpid()} .*\n"
        return re.sub(ours, "", super().log(), flags=re.M)

    def connect(self, device=0):
        """A socket to the server; waits until it listens."""
        def attempt():
            if self.proc.poll() is not None:
                raise AssertionError(f"status {self.proc.returncode}: {self.log()}")
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(self.paths[device])
                return sock
            except (FileNotFoundError, ConnectionRefusedError):
                sock.close()
                return None
        return mpq.wait_for(attempt, "the server's socket")

    def silent(self, kind=Client, device=0, **kwargs):
        """A client that has said nothing yet."""
        client = kind(self.connect(device), **kwargs)
        self.clients.append(client)
        return client

    def client(self, kind=Client, device=0, **kwargs):
        """A client that has negotiated."""
        client = self.silent(kind, device, **kwargs)
        client.version()
        return client

    def finish(self):
        """Clients go, a signal asks for the end; the exit status."""
        for client in [*self.clients, *self.peers]:
            client.close()
        if self.proc.poll() is None:
            self.proc.terminate()
        return self.wait()

    def __exit__(self, *exc):
        for client in self.clients:
            client.close()
        if self.proc.poll() is None:
            self.proc.terminate()
        try:
            super().__exit__(*exc)
        finally:
            self.folder.cleanup()
