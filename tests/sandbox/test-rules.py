#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every row of the tables of system calls is needed by something that is done here.

strace writes down what a device process and its keeper call once their filters are loaded;
sandbox-rules, built from the same tables, counts which rows that needs.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import box
import lsidisk
import mpq

# Rows that a run may do without: (call, part of its reason, why it is no mistake).
EXCUSES = [
    ("clock_gettime", "", "the vDSO answers, unless the clock source has none"),
    ("restart_syscall", "set-up", "strace stops a process in another way"),
    ("mmap", "set-up", "only when the heap has no room"),
    ("munmap", "set-up", "only when the heap has no room"),
    ("futex", "locks", "only when two threads meet at a lock"),
]


KEEPER_EXCUSES = [
    ("clock_gettime", "", "the vDSO answers, unless the clock source has none"),
    ("restart_syscall", "", "strace stops a process in another way"),
    ("futex", "", "only the first time that a library sets itself up (pthread_once wakes)"),
]


class Trace:
    """What device processes, or their keepers, have called, over several runs."""

    def __init__(self, table="device"):
        self.table = table
        self.excuses = {"device": EXCUSES, "keeper": KEEPER_EXCUSES}[table]
        self.counts = {}        # (call, limits, why) -> how many calls needed the row
        self.forbidden = []

    @contextlib.contextmanager
    def remote(self, at, devices, extra=(), objects=None, pass_fds=()):
        """
        A remote under strace, whose device process is counted when it has ended.  @objects: options
        that reach the devices in place of a socket each.
        """
        path = at.path(f"trace{len(os.listdir(at.folder))}")
        argv = ["strace", "-f", "-qq", "-o", path, "-e", "raw=all", "-e", "signal=none",
                *box.command(devices)]
        peers = []
        for i, device in enumerate(devices if objects is None else []):
            pair = socket.socketpair()
            argv += ["-object", f"x-remote-object,id=r{i},devid={device.split('id=')[1]},fd="
                     f"{pair[1].fileno()}"]
            peers.append(pair)
        argv += objects or []
        with mpq.Remote(argv + list(extra), peers, tempfile.TemporaryFile(),
                        pass_fds=pass_fds) as remote:
            if objects is None:
                remote.peer.cfg_read(0, 2)
            remote.device = mpq.wait_for(lambda: box.device_below(remote.proc.pid), "the device")
            keeper = box.keeper_of(remote.device)
            mpq.wait_for(lambda: box.status(keeper)["Seccomp"] == "2", "the keeper's filter")
            control = mpq.wait_for(lambda: channels_of(keeper), "the keeper's channel")
            hidden = max(box.mappings(remote.device), key=lambda m: m[1] - m[0])
            # Behind the range in which mappings may start there is as much once more.
            arena = (hidden[0], (hidden[0] + hidden[1]) // 2)
            remote.gone = None
            yield remote
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if remote.gone:         # of a device process and its successor the one that counts here
            gone, arena = remote.gone
            text = "".join(line for line in text.splitlines(True) if line.split()[0] != str(gone))
            # the keeper has two such sockets: the channel is the one that changes hands
            control = [str(int(re.findall(rf"^{keeper} +dup3\(0x\w+, (0x\w+), 0x80000", text,
                                          re.M)[-1], 16))]
        if self.table == "device":
            place = (hex(arena[0]), hex(arena[1] - arena[0]))
            first, last = calls(text)
            self.count(last, *place)
            if first:
                self.count(first, *place, table="setup")
        else:
            self.count(keeper_calls(text), *(control + ["999"])[:2])

    def count(self, lines, *env, table=None):
        done = subprocess.run([mpq.program("tests/sandbox/sandbox-rules"), table or self.table,
                               *env], input="\n".join(lines) + "\n", text=True,
                              stdout=subprocess.PIPE, check=True, timeout=mpq.TIMEOUT)
        for line in done.stdout.splitlines():
            count, *row = line.split("\t")
            if count == "forbidden":
                self.forbidden.append(row[0])
            else:
                row = tuple(row)
                self.counts[row] = self.counts.get(row, 0) + int(count)

    def needless(self):
        return [row for row, count in self.counts.items() if not count and not any(
            call in ("", row[0]) and part in row[2] for call, part, _ in self.excuses)]


def channels_of(keeper):
    """
    The numbers of its channel and its monitor's, the packet sockets that it has; none where the
    kernel's list, which other processes change while it is read, has left them out.
    """
    with open("/proc/net/unix", encoding="ascii") as file:
        packet = {f"socket:[{row[6]}]" for row in map(str.split, file) if row[4] == "0005"}
    return [str(n) for n, name in sorted(mpq.fds(keeper).items()) if name in packet]


LOADED = re.compile(r"seccomp\(0x1, 0x\w+, 0x[0-9a-f]{4,}\) += 0$")


def whole(text):
    """(pid, line) of each call in strace's text, which parts one that another process's meets."""
    begun = {}
    for line in text.splitlines():
        pid, rest = line.split(None, 1)
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix(" <unfinished ...>")
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>", rest)
        yield pid, begun.pop(pid) + rest[resumed.end():] if resumed else rest
    yield from begun.items()


def call(line):
    """"name arg arg" of a line of strace's; None for one that is no call."""
    found = re.match(r"(\w+)\(([^)<]*)", line)
    return " ".join([found[1], *re.findall(r"0x[0-9a-f]+|\b\d+", found[2])]) if found else None


def keeper_calls(text):
    """What the first process called under the filter."""
    lines = list(whole(text))
    own = [rest for pid, rest in lines if pid == lines[0][0]]
    loaded = [i for i, rest in enumerate(own) if LOADED.match(rest)][-1]
    return [name for name in map(call, own[loaded + 1:]) if name]


def calls(text):
    """
    What the device process and its threads called, "name arg arg": under the filter of the set-up,
    if there is one, and under the last one.
    """
    device, loaded, under = None, 0, [[], [], []]
    others = set()
    for pid, rest in whole(text):
        if device is None:
            others.add(pid)
        if rest.startswith("execveat("):
            device = pid
            others.discard(pid)
        if pid in others or device is None:
            continue
        if pid == device and LOADED.match(rest):
            under[loaded].append(call(rest))
            loaded += 1
        elif loaded and call(rest):
            under[loaded].append(call(rest))
    return under[1:] if loaded == 2 else ([], under[1])


def wire(remote, at):
    """The protocol: memory that comes, changes and goes, interrupts, pieces, a full socket."""
    peer = remote.peer
    edu = mpq.Edu(peer)
    with mpq.Ram(1 << 20) as ram, mpq.Ram(1 << 20) as more, mpq.Event() as irq, \
            mpq.Event() as resample:
        peer.sync_sysmem([ram.region(), more.region(1 << 20)])
        edu.load(0, 4096)
        peer.sync_sysmem([more.region(1 << 20)])
        edu.store(1 << 20, 4096)
        peer.set_irqfd(irq.fd, resample.fd)
        edu.write(mpq.Edu.IRQ_RAISE, 1)
        irq.wait()
        resample.signal()
        irq.wait()
        edu.write(mpq.Edu.IRQ_ACK, 1)
        text = mpq.sample(mpq.Cmd.PCI_CFGREAD)
        for byte in text:
            peer.send_raw(bytes([byte]))
        peer.ret()
        for half in (text[:20], text[20:]):
            peer.send_raw(half)
            peer.quiet(0.05)
        peer.ret()
        full_socket(peer)
        sealed = os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(sealed, 4096)
        peer.sync_sysmem([mpq.Region(0, 4096, 0, sealed)])
        peer.cfg_read(0, 2)
        os.close(sealed)


def full_socket(peer):
    """Replies that nobody takes, until the remote must wait; then takes them all."""
    text, sent = mpq.sample(mpq.Cmd.PCI_CFGREAD) * 100, 0
    peer.sock.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:
            sent += peer.sock.send(text[sent % len(text):])
    peer.sock.settimeout(mpq.TIMEOUT)
    one = len(text) // 100
    for _ in range(sent // one):
        peer.ret()
    if sent % one:
        peer.send_raw(text[sent % one:one])
        peer.ret()


def attack(remote, at):
    """A peer that breaks the protocol, with more behind it that nobody may read."""
    remote.peer.send_raw(b"\xff" * 16 + bytes(100000))
    remote.peer.ended()


def gone(remote, at):
    """Guest RAM that goes away under its mapping: a DMA that fails, and no more."""
    edu = mpq.Edu(remote.peer)
    with mpq.Ram(1 << 20) as ram:
        remote.peer.sync_sysmem([ram.region()])
        edu.load(0, 4096)
        os.ftruncate(ram.fd, 0)
        edu.load(0, 4096)
        remote.peer.cfg_read(0, 2)


def disk(remote, at):
    with mpq.Ram(1 << 20) as ram:
        remote.peer.sync_sysmem([ram.region()])
        d = lsidisk.Disk(remote.peer, ram)
        d.ready()
        pattern = bytes(range(256)) * 16
        d.write_blocks(8, pattern)
        assert d.read_blocks(8, 8) == pattern
        d.write_blocks(64, pattern, fua=True)
        d.flush()
        d.write_same(128, 64, bytes(512))
        d.write_same(256, 64, bytes(512), unmap=True)
        d.unmap(8, 8)
        for lba in (0, 8, 64, 512):
            d.lba_status(lba)
        d.read_blocks(0, 64)


def nbd(remote, at):
    """A server that answers, and one that goes with a request under way."""
    disk(remote, at)
    with mpq.Ram(1 << 20) as ram:
        remote.peer.sync_sysmem([ram.region()])
        d = lsidisk.Disk(remote.peer, ram)
        at.nbd_server.kill()
        at.nbd_server.wait()
        assert d.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512)[0] != 0


class Client:
    """Of the remote's own monitor."""

    def __init__(self, at):
        self.sock = socket.socket(socket.AF_UNIX)
        mpq.wait_for(lambda: self.sock.connect_ex(at.path("monitor")) == 0, "the monitor")
        self.file = self.sock.makefile("rwb")
        self.file.readline()
        self.ask("qmp_capabilities")

    def say(self, what):
        self.file.write(json.dumps(what).encode())
        self.file.flush()

    def hear(self, key):
        while key not in (answer := json.loads(self.file.readline())):
            assert "error" not in answer, answer
        return answer[key]

    def ask(self, command, **arguments):
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.say({"execute": command, **({"arguments": arguments} if arguments else {})})
        return self.hear("return")

    def add(self, name, filename, **options):
        self.ask("blockdev-add", driver="raw", node_name=name,
                 file={"driver": "host_device" if filename.startswith("/dev/loop") else "file",
                       "filename": filename, **options}, **{"discard": "unmap"})
        self.ask("device_add", driver="scsi-hd", drive=name, id=name)

    def remove(self, name):
        self.ask("device_del", id=name)
        while self.hear("event") != "DEVICE_DELETED":
            pass
        self.ask("blockdev-del", node_name=name)

    def close(self):
        self.file.close()
        self.sock.close()


def monitor_options(at):
    """A monitor, a disk, an empty drive, and an fd of an image."""
    at.fd = os.open(at.image("fd.img"), os.O_RDWR)
    at.stack.callback(os.close, at.fd)
    os.set_inheritable(at.fd, True)
    return ["-qmp", f"unix:{at.path('monitor')},server=on,wait=off", *box.raw_disk(at.image()),
            "-device", "scsi-cd,id=cd0", "-add-fd", f"fd={at.fd},set=1"]


def manage(remote, at):
    """All that a client can change, with images of each kind."""
    keeper_ready(remote)
    client = Client(at)
    client.say({"execute": "query-status", "id": "x" * 500000})
    client.hear("return")
    client.ask("query-block")
    client.ask("block_resize", device="d0", size=2 * box.IMAGE_SIZE)
    client.ask("block_resize", device="d0", size=box.IMAGE_SIZE)
    client.ask("blockdev-change-medium", id="cd0", filename=at.image("cd.img"))
    client.ask("eject", id="cd0")
    for name, path, options in (("n1", at.image("n1.img"), {}),
                                ("n2", at.path("n1.img"), {"cache": {"direct": True}}),
                                ("n3", "/dev/fdset/1", {}), ("n4", at.loop_device(), {})):
        client.add(name, path, **options)
        if name == "n4":
            client.ask("block_resize", node_name=name, size=box.IMAGE_SIZE // 2)
        client.remove(name)
    client.ask("quit")
    client.close()


def terminate(remote, at):
    """The keeper tells the device process to end."""
    keeper = box.keeper_of(remote.device)
    os.kill(keeper, signal.SIGTERM)
    if remote.peers:
        remote.peer.ended()


def hidden_range(device):
    return max(box.mappings(device), key=lambda m: m[1] - m[0])[:2]


def crashed(remote, at):
    """A device process is killed, and its successor serves until its ring of replies is full."""
    first, peer = remote.device, remote.peer
    start, end = hidden_range(first)
    size = (end - start) // 2
    with mpq.Ram(1 << 20) as ram, mpq.Event() as irq, mpq.Event() as resample:
        peer.sync_sysmem([ram.region()])
        peer.set_irqfd(irq.fd, resample.fd)
        peer.cfg_read(0, 2)
        os.kill(first, signal.SIGKILL)
        peer.cfg_read(0, 2)
        keeper = box.keeper_of(mpq.wait_for(lambda: box.device_below(remote.proc.pid), "another"))
        remote.device = next(pid for pid in box.children(keeper) if
                             box.proc(pid, "cmdline").endswith("mpqemu-device\0"))
        # in its lower half guest memory is mapped already
        end = hidden_range(remote.device)[1]
        remote.gone = (first, (end - 2 * size, end - size))
        peer.sync_sysmem([ram.region()])
        peer.set_irqfd(irq.fd, resample.fd)
        for _ in range(3000):
            peer.cfg_read(0, 2)


def clients(remote, at):
    """Two, one after the other; the first has left something."""
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(at.path("clients"))
            peer = mpq.Peer(sock)
            peer.cfg_read(0, 2)
            peer.send_raw(bytes(10))
    terminate(remote, at)


def listening(at):
    return ["-object", f"x-remote-object,id=r,devid=e0,server=on,path={at.path('clients')}"]


@box.needs_root
class Rules(unittest.TestCase):
    def test_every_row_is_needed(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        trace = Trace()
        options = ",discard=unmap"
        device = ",dpofua=on"
        with box.place() as at:
            raw = box.raw_disk(at.image(), options=options)
            loop = box.raw_disk(at.loop_device(), options=options)
            far = box.nbd_disk(at.nbd(), options=options)
            for extra in (raw, loop, far):
                extra[-1] += device
            runs = [(["edu,id=e0"], ["-msg", "timestamp=on"], [wire, attack]),
                    (["edu,id=e0"], [], [gone]),
                    (["edu,id=e0"], [], [gone]),
                    ([box.LSI], raw, [disk, terminate]),
                    ([box.LSI], loop, [disk]),
                    ([box.LSI], far, [nbd]),
                    (["edu,id=e0"], ["--on-crash=reset"], [crashed])]
            for devices, extra, parts in runs:
                with trace.remote(at, devices, extra) as remote:
                    for part in parts:
                        part(remote, at)
            with trace.remote(at, ["edu,id=e0"], objects=listening(at)) as remote:
                clients(remote, at)
            options = monitor_options(at)
            with trace.remote(at, [box.LSI], options, pass_fds=[at.fd]) as remote:
                manage(remote, at)
        self.assertEqual(trace.forbidden, [], "calls that the table does not allow")
        self.assertEqual(trace.needless(), [], "rows that nothing needed")
        self.assertGreater(sum(trace.counts.values()), 1000)


def keeper_ready(remote):
    keeper = box.keeper_of(remote.device)
    mpq.wait_for(lambda: box.status(keeper)["Seccomp"] == "2", "the keeper's filter")
    return keeper


def twice(remote, at):
    """A device process that hangs, and is killed at the second signal."""
    keeper = keeper_ready(remote)
    os.kill(remote.device, signal.SIGSTOP)
    os.kill(keeper, signal.SIGTERM)
    mpq.wait_for(lambda: "terminating on" in remote.said(), "the first signal")
    time.sleep(0.2)     # two at once are one
    os.kill(keeper, signal.SIGTERM)
    remote.peer.ended()


def daemon_dies(remote, at):
    keeper = keeper_ready(remote)
    for child in box.children(keeper):
        if "storage" in box.proc(child, "comm"):
            os.kill(child, signal.SIGKILL)
    mpq.wait_for(lambda: "storage daemon has ended" in remote.said(), "the keeper's line")


def daemon_hangs(remote, at):
    keeper = keeper_ready(remote)
    for child in box.children(keeper):
        if "storage" in box.proc(child, "comm"):
            os.kill(child, signal.SIGSTOP)
    twice(remote, at)


class Monitor(threading.Thread):
    """A QMP monitor that stops at once, goes on a little later, and talks at length."""

    LONG = {"event": "X", "data": [[] for _ in range(14000)]}   # just below the keeper's limit

    def __init__(self, path):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen(1)

    def say(self, out, what):
        out.write(json.dumps(what, separators=(",", ":")).encode() + b"\r\n")

    def run(self):
        with self.sock, self.sock.accept()[0] as sock, \
                sock.makefile("rwb", buffering=0) as stream:
            self.say(stream, {"QMP": {}})
            for line in stream:
                asked = json.loads(line)
                status = {"status": "paused", "running": False}
                self.say(stream, self.LONG)
                self.say(stream, {"return": status, "id": asked["id"]})
                if asked["execute"] == "query-status":
                    self.say(stream, {"event": "RESUME"})


def monitored(remote, at):
    """A read that fails, until the VM has been stopped and runs again."""
    image = at.path("held.img")
    keeper_ready(remote)
    with mpq.Ram(1 << 20) as ram:
        remote.peer.sync_sysmem([ram.region()])
        d = lsidisk.Disk(remote.peer, ram)
        d.ready()
        os.truncate(image, 0)
        d.start([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512)
        mpq.wait_for(lambda: "the VM is stopped" in remote.said(), "the stop")
        os.truncate(image, box.IMAGE_SIZE)
        mpq.wait_for(lambda: d.read(lsidisk.ISTAT0, 1) & 3, "the request's end")


@box.needs_root
class KeeperRules(unittest.TestCase):
    def test_every_row_is_needed(self):
        for program in ("strace", "qemu-storage-daemon"):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed")
        trace = Trace("keeper")
        with box.place() as at:
            image = at.path("disk.qcow2")
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
            disk_of_daemon = ["-drive", f"id=d0,file={image},if=none,format=qcow2", "-device",
                              "scsi-hd,id=s0,drive=d0"]
            Monitor(at.path("qmp")).start()
            held = [*box.raw_disk(at.image("held.img"), options=",rerror=stop"),
                    f"--qmp={at.path('qmp')}"]
            runs = [(["edu,id=e0"], ["-pidfile", at.path("pid"), "-msg", "timestamp=on"], attack),
                    ([box.LSI], held, monitored),
                    (["edu,id=e0"], [], terminate), (["edu,id=e0"], [], twice),
                    (["edu,id=e0"], ["--on-crash=reset"], crashed),
                    ([box.LSI], disk_of_daemon, lambda remote, at: keeper_ready(remote)),
                    ([box.LSI], disk_of_daemon, daemon_dies),
                    ([box.LSI], disk_of_daemon, daemon_hangs)]
            for devices, extra, part in runs:
                with trace.remote(at, devices, extra) as remote:
                    part(remote, at)
            with trace.remote(at, ["edu,id=e0"], objects=listening(at)) as remote:
                clients(remote, at)
            options = monitor_options(at)
            with trace.remote(at, [box.LSI], options, pass_fds=[at.fd]) as remote:
                manage(remote, at)
        self.assertEqual(trace.forbidden, [], "calls that the table does not allow")
        self.assertEqual(trace.needless(), [], "rows that nothing needed")


class Judge(unittest.TestCase):
    """The test of the test: sandbox-rules counts what needs a row, and nothing else."""

    def count(self, lines):
        trace = Trace()
        trace.count(lines, hex(1 << 45), hex(1 << 40))
        return trace

    def test_parted_calls(self):
        load = "seccomp(0x1, 0x0, 0x7ffc01"
        text = ("10 clone(0x11, 0) = 0x1\n"
                "11 execveat(0x5, 0x7ff0, 0, 0, 0x1000 <unfinished ...>\n"
                "10 read(0x1, 0x2, 0x3 <unfinished ...>\n"
                "11 <... execveat resumed>) = 0\n"
                f"11 {load} <unfinished ...>\n10 <... read resumed>) = 0x3\n"
                "11 <... seccomp resumed>)     = 0\n11 connect(0x3, 0x1) = 0\n"
                f"11 {load}) = 0\n12 getpid() = 0x2\n11 recvfrom(0x4, 0x1 <unfinished ...>\n")
        under = [["connect 0x3 0x1", "seccomp 0x1 0x0 0x7ffc01"], ["getpid", "recvfrom 0x4 0x1"]]
        self.assertEqual(calls(text), under)

    def test_nothing_called(self):
        trace = self.count(["exit_group 0"])
        rows = {row[0] for row in trace.needless()}
        self.assertIn("recvfrom", rows)
        self.assertIn("mmap", rows)
        self.assertNotIn("exit_group", rows)
        self.assertNotIn("clock_gettime", rows)

    def test_forbidden(self):
        bad = ["openat 0xffffff9c 0x1 0x0 0x0", "write 0x1 0x1 0x1", "read 0x10 0x0 0x8",
               "mmap 0x0 0x1000 0x3 0x4032 0xffffffff 0", "nonsense 1", "write 0x80 0 0x9"]
        good = ["write 0x3 0x1 0x1", "mmap 0x200000000000 0x1000 0x3 0x4011 0x80 0"]
        self.assertEqual(self.count(bad + good).forbidden, bad)


if __name__ == "__main__":
    box.tap.main()
