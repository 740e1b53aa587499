#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a serving device process is, as the kernel tells it to others."""
import contextlib
import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

import box
import mpq

KINDS = ("edu", "raw", "nbd", "two")
SECRET = "hunter2-in-the-environment"
PASSWORD = "hunter2-on-the-command-line"
NAMESPACES = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}
# Resources that a device process has nothing of.
NONE_OF = ("Max core file size", "Max processes", "Max locked memory", "Max msgqueue size",
           "Max pending signals", "Max realtime priority", "Max nice priority", "Max file locks")
POLLS = ("7", "271", "73")      # poll and ppoll of x86-64, ppoll of arm64, in /proc/PID/syscall
SHOW_LOOPBACK = """
import fcntl, socket, struct
names = [name for _, name in socket.if_nameindex()]
sock = socket.socket()
up = [struct.unpack_from("H", fcntl.ioctl(sock, 0x8913, struct.pack("16sH14x", n.encode(), 0)), 16)
      [0] & 1 for n in names]
print(names, up)
"""


def each(test):
    """Runs a test with each kind of device process and each user."""
    def run(self):
        kinds = [(kind, user) for user in box.USERS for kind in KINDS]
        if shutil.which(box.QEMU):
            kinds += [("orchestrated", user) for user in box.USERS]
        for kind, user in kinds:
            with self.subTest(user=user, kind=kind), box.remote(kind, user) as remote:
                test(self, remote, remote.device_pid(), user)
                self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())
    run.__doc__ = test.__doc__
    return run


@box.needs_root
class Facts(unittest.TestCase):
    @each
    def test_rights(self, remote, pid, user):
        """Nobody, without a capability, in every thread, and the filter on."""
        for thread in box.threads(pid):
            status = box.status(thread)
            for ids in ("Uid", "Gid"):
                self.assertEqual(status[ids], "\t".join([str(box.NOBODY)] * 4))
            self.assertEqual(status["Groups"].split(), [])
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"):
                self.assertEqual(int(status[name], 16), 0, name)
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    @each
    def test_process_group(self, remote, pid, user):
        """Its own, out of reach of the terminal's signals; the session is the keeper's, so that
        Linux schedules the device together with its VMM (autogroup)."""
        keeper = int(box.status(pid)["PPid"])
        self.assertEqual(os.getpgid(pid), pid)
        self.assertEqual(os.getsid(pid), os.getsid(keeper))

    @each
    def test_said(self, remote, pid, user):
        """The one line at start, which must not tell of a uid 0 that is none."""
        uid = "uid 65534" if user == "root" else "the caller's uid"
        lines = [line for line in remote.said().splitlines() if "sandbox" in line]
        self.assertEqual(len(lines), 1, remote.said())
        self.assertRegex(lines[0], rf"mpqemu-remote: sandbox: strict; empty root, {uid}, (no )?"
                         r"Landlock( in this kernel)?, \d+ system calls, \d+ of them limited\Z")

    @each
    def test_namespaces(self, remote, pid, user):
        """Each its own: not the host's, not the keeper's."""
        own = box.namespaces(pid)
        for other in (os.getpid(), remote.keeper):
            theirs = box.namespaces(other)
            self.assertEqual({name for name in NAMESPACES if own[name] == theirs[name]}, set())
        # pid 1 of its own: nobody else is there to be signalled
        self.assertEqual(box.status(pid)["NSpid"].split("\t")[-1], "1")

    @each
    def test_root(self, remote, pid, user):
        """One mount, which is empty, read-only, and takes nothing from root either."""
        root = f"/proc/{pid}/root"
        mounts = box.proc(pid, "mountinfo").splitlines()
        self.assertEqual(len(mounts), 1, mounts)
        fields = mounts[0].split(" ")
        self.assertEqual(fields[3:5], ["/", "/"])
        self.assertLessEqual({"ro", "nosuid", "nodev", "noexec"}, set(fields[5].split(",")))
        self.assertEqual(os.listdir(root), [])
        with self.assertRaisesRegex(OSError, "Read-only file system"):
            os.mkdir(f"{root}/x")
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")

    @each
    def test_network(self, remote, pid, user):
        """Nothing but a loopback device, and that is down."""
        self.assertEqual(box.in_network_of(pid, SHOW_LOOPBACK).strip(), "['lo'] [0]")
        self.assertLessEqual(box.proc(pid, "net/route").count("\n"), 1, "a heading at most")
        # no socket of the namespace: what it holds was made elsewhere
        self.assertEqual(box.proc(pid, "net/unix").count("\n"), 1)

    @each
    def test_limits(self, remote, pid, user):
        limits = box.limits(pid)
        for name in NONE_OF:
            self.assertEqual(limits[name], ("0", "0"), name)
        self.assertEqual(limits["Max open files"], ("192", "192"))
        raw = any("disk.img" in name for name in mpq.fds(pid).values())
        size = str(box.IMAGE_SIZE if raw else 0)
        self.assertEqual(limits["Max file size"], (size, size))
        vm = int(box.status(pid)["VmSize"].split()[0]) << 10
        soft, hard = map(int, limits["Max address space"])
        self.assertEqual(soft, hard)
        self.assertLessEqual(hard - vm, 16 << 20, "hardly more than there is")

    @each
    def test_fds(self, remote, pid, user):
        """Every number below those for received ones is open, and is what the table says."""
        slot, fds = box.slots(), mpq.fds(pid)
        raw = "disk.img" in fds[slot["IMAGE"]]
        nbd = fds[slot["IMAGE"]].startswith("socket:")
        if nbd:     # one more number of the same socket, which libnbd may close: block/nbd.h
            self.assertEqual(fds.pop(slot["NBD"]), fds[slot["IMAGE"]])
        if isinstance(remote, box.Orchestrated):    # QEMU has sent its interrupt already
            for number in [n for n in fds if n >= slot["FREE"]]:
                self.assertEqual(fds.pop(number), "anon_inode:[eventfd]")
        self.assertEqual(sorted(fds), list(range(slot["FREE"])))
        want = {
            "STDERR": r"pipe:", "LOG": r"pipe:", "CONTROL": r"socket:",
            "SPEC": r"/memfd:mpqemu-spec ", "STATE": r"/memfd:mpqemu-state ",
            "METRICS": r"/memfd:mpqemu-metrics ", "EPOLL": r"anon_inode:\[eventpoll\]",
            "POOL": r"anon_inode:\[eventfd\]" if raw else "/dev/null$",
            "IMAGE": r".*/disk\.img$" if raw else "socket:" if nbd else "/dev/null$",
        }
        patterns = {slot[name]: pattern for name, pattern in want.items()}
        patterns |= {slot["PEER"] + i: "socket:" for i in range(len(remote.peers))}
        for number, name in fds.items():
            self.assertRegex(name, r"\A" + patterns.get(number, r"/dev/null\Z"), number)
        self.assertEqual(fds[2], fds[3], "stderr is the log")

    @each
    def test_layout(self, remote, pid, user):
        """Executed anew: where things lie in memory is not what the keeper could tell."""
        with open("/proc/sys/kernel/randomize_va_space", encoding="ascii") as file:
            if file.read().strip() == "0":
                self.skipTest("needs root to turn on kernel.randomize_va_space")
        for name in (r"/mpqemu$", r"/libc\.so", r"\[stack\]"):
            where = [min(start for start, _, _, what in box.mappings(p) if re.search(name, what))
                     for p in (pid, remote.keeper)]
            self.assertNotEqual(*where, name)

    @each
    def test_no_memory_is_writable_and_executable(self, remote, pid, user):
        for process in (pid, remote.keeper):
            for mapping in box.mappings(process):
                self.assertFalse("w" in mapping[2] and "x" in mapping[2], mapping)

    @each
    def test_images_are_not_mapped(self, remote, pid, user):
        for _, _, prot, name in box.mappings(pid):
            self.assertFalse(name.startswith("/") and "s" in prot and "memfd" not in name, name)


@box.needs_root
class Modes(unittest.TestCase):
    """How its fds are open: what is to be read only cannot be written by it either."""

    ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR

    def access(self, pid, number):
        return int(re.search(r"^flags:\s*(\d+)", box.proc(pid, f"fdinfo/{number}"), re.M)[1],
                   8) & self.ACCESS

    def test_images(self):
        slot = box.slots()["IMAGE"]
        for options, mode in ((",readonly=on", os.O_RDONLY), ("", os.O_RDWR)):
            with self.subTest(options), box.place() as at:
                with mpq.Remote.start([box.LSI], box.raw_disk(at.image(), options=options)) as it:
                    box.serving(it)
                    self.assertEqual(self.access(it.device_pid(), slot), mode)
                    self.assertEqual(it.finish(), mpq.EXIT_CLEAN, it.said())

    def test_log_and_spec(self):
        """The log is a pipe's writing end; the launch spec is sealed, for the keeper as well."""
        slot = box.slots()
        with box.remote("edu") as remote:
            pid = remote.device_pid()
            for name in ("STDERR", "LOG"):
                self.assertEqual(self.access(pid, slot[name]), os.O_WRONLY, name)
            with open(f"/proc/{pid}/fd/{slot['SPEC']}", "rb") as file:
                seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
            want = (fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW |
                    fcntl.F_SEAL_SEAL)
            self.assertEqual(seals & want, want)


@box.needs_root
class NbdSockets(unittest.TestCase):
    """What libnbd closes is a number that no fd of a peer's can get."""

    def use_received(self, remote, peers):
        """As many fds as two sessions send."""
        with contextlib.ExitStack() as stack:
            ram = stack.enter_context(mpq.Ram(1 << 20))
            for peer in peers:
                peer.sync_sysmem([ram.region(gpa=i << 20) for i in range(8)])
                irq, resample = (stack.enter_context(mpq.Event()) for _ in range(2))
                peer.set_irqfd(irq.fd, resample.fd)
                peer.cfg_read(0, 2)
        received = [n for n in mpq.fds(remote.device_pid()) if n >= box.slots()["FREE"]]
        return [n for n in received if n < box.slots()["COUNT"]]

    def test_server_gone(self):
        slot = box.slots()
        with box.remote("nbd") as remote:
            before = mpq.fds(remote.device_pid())
            copy = f"/proc/{remote.device_pid()}/fd/{slot['NBD']}"
            self.assertEqual(os.readlink(copy), before[slot["IMAGE"]])
            remote.place.nbd_server.kill()
            mpq.wait_for(lambda: not os.path.lexists(copy), "libnbd to close its socket")
            self.assertTrue(self.use_received(remote, remote.peers))
            after = mpq.fds(remote.device_pid())
            self.assertEqual(after[slot["IMAGE"]], before[slot["IMAGE"]])
            self.assertNotIn(slot["NBD"], after)
            self.assertEqual(remote.finish(), mpq.EXIT_FLUSH, remote.said())

    def test_as_many_as_may_be(self):
        """64 disks take none of the numbers for received fds."""
        slot, disks = box.slots(), []
        with box.place() as at:
            sock = at.nbd()
            for i in range(64):
                bus, unit = divmod(i, 32)
                disks += box.nbd_disk(sock, f"n{i}", f"l{bus}.0,scsi-id={unit // 8},lun={unit % 8}")
            with mpq.Remote.start([box.LSI, "lsi53c895a,id=l1"], disks) as remote:
                box.serving(remote)
                fds = mpq.fds(remote.device_pid())
                self.assertEqual(sorted(fds), [*range(slot["FREE"]),
                                               *range(slot["NBD"], slot["NBD"] + 64)])
                for i in range(64):
                    self.assertEqual(fds[slot["NBD"] + i], fds[slot["IMAGE"] + i])
                self.assertTrue(self.use_received(remote, remote.peers))
                for peer in remote.peers:
                    peer.close()
                self.assertEqual(remote.wait(), mpq.EXIT_CLEAN, remote.said())


@box.needs_root
class Handshake(unittest.TestCase):
    """An NBD server is not trusted: a filter is there before it is heard."""

    def start(self, at, user, server):
        server.bind(at.path("nbd.sock"))
        server.listen()
        os.chmod(at.path("nbd.sock"), 0o666)
        disks = box.raw_disk(at.image()) + box.nbd_disk(at.path("nbd.sock"))
        remote = mpq.Remote.start([box.LSI], disks, prefix=box.USERS[user])
        server.settimeout(mpq.TIMEOUT)
        return remote, server.accept()[0]

    def filtered(self, pid):
        """Waits in the handshake, with a filter in every thread."""
        if not box.proc(pid, "comm").startswith("mpqemu"):
            return False
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            waits = file.read().split()[0] in POLLS
        threads = box.threads(pid)
        return waits and len(threads) > 1 and \
            {box.status(thread)["Seccomp"] for thread in threads} == {"2"}

    def test_stalled(self):
        for user in box.USERS:
            with self.subTest(user), box.place() as at, socket.socket(socket.AF_UNIX) as server:
                remote, near = self.start(at, user, server)
                with remote, near:
                    pid = mpq.wait_for(lambda: box.device_below(os.getpid()), "device process")
                    mpq.wait_for(lambda: self.filtered(pid), "a filter before the handshake")
                    self.assertIn(box.slots()["NBD"] + 1, mpq.fds(pid), "the second disk's")
                    near.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    near.shutdown(socket.SHUT_RDWR)
                    self.assertEqual(remote.finish(), mpq.EXIT_START, remote.said())
                    self.assertIn("NBD: ", remote.said())
                    self.assertNotIn("forbidden", remote.said())


@box.needs_root
class Secrets(unittest.TestCase):
    """What the keeper was told, and the device process has no need to know."""

    def test_nowhere_in_memory(self):
        for user in box.USERS:
            for kind in KINDS:
                os.environ["MPQ_SECRET"] = SECRET
                self.addCleanup(os.environ.pop, "MPQ_SECRET", None)
                with self.subTest(user=user, kind=kind), box.remote(
                        kind, user, ["-object", f"secret,id=sec0,data={PASSWORD}"]) as remote:
                    self.check(remote, remote.device_pid())

    def check(self, remote, pid):
        keeper = b"".join(box.memory(remote.keeper))
        self.assertIn(SECRET.encode(), keeper, "the search itself finds what is there")
        self.assertIn(PASSWORD.encode(), keeper)
        folder = os.path.basename(remote.place.folder)
        pieces = 0
        for piece in box.memory(pid):
            pieces += len(piece)
            for word in (SECRET, PASSWORD, folder, "disk.img", "nbd.sock"):
                self.assertNotIn(word.encode(), piece)
        self.assertGreater(pieces, 1 << 20)
        self.assertEqual(box.proc(pid, "environ"), "")
        self.assertEqual(box.proc(pid, "cmdline"), "mpqemu\0mpqemu-device\0")

    def check_closed(self, pid, user):
        look = "import sys; open(f'/proc/{sys.argv[1]}/mem', 'rb')"
        trace = ("import ctypes, os, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                 "libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) and "
                 "sys.exit(os.strerror(ctypes.get_errno()))")    # PTRACE_SEIZE
        for code, words in ((look, "Permission denied"), (trace, "not permitted")):
            done = subprocess.run(["setpriv", f"--reuid={user}", f"--regid={user}",
                                   "--clear-groups", sys.executable, "-c", code, str(pid)],
                                  capture_output=True, text=True)
            self.assertIn(words, done.stderr)

    def test_other_users(self):
        """
        The keeper, who knows secrets, is closed to the user who started it as well.  The device
        process is not: who makes a user namespace has all rights inside (user_namespaces(7)).
        """
        with box.remote("raw", "nobody") as remote:
            self.check_closed(remote.keeper, box.NOBODY)
            self.check_closed(remote.keeper, box.NOBODY - 1)
            self.check_closed(remote.device_pid(), box.NOBODY - 1)
        with box.remote("raw") as remote:
            self.check_closed(remote.keeper, box.NOBODY)
            self.check_closed(remote.device_pid(), box.NOBODY)


@box.needs_root
class BeforeTheFirstByte(unittest.TestCase):
    """A peer may talk before anybody listens: it is heard when the last stage is over."""

    def test_early_peer(self):
        for user in box.USERS:
            with self.subTest(user), box.place() as at:
                self.trace(user, at)

    def trace(self, user, at):
        """The calls of the device process, in order: the filter, and then the peer."""
        ours, theirs = socket.socketpair()
        ours.sendall(mpq.sample(mpq.Cmd.PCI_CFGREAD) * 3)
        argv = ["strace", "-f", "-o", at.path("trace"), "-e", "raw=all", *box.USERS[user],
                *box.command(["edu,id=e0"], ["-object", "x-remote-object,id=r,devid=e0,fd="
                                             f"{theirs.fileno()}"])]
        with mpq.Remote(argv, [(ours, theirs)], tempfile.TemporaryFile()) as remote:
            for _ in range(3):
                remote.peer.ret()
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())
        with open(at.path("trace"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        device = next(line.split()[0] for line in lines if " execveat(" in line)
        calls = [line.split(None, 1)[1] for line in lines if line.split()[0] == device]
        loaded = [i for i, call in enumerate(calls) if re.match(r"seccomp\(0x1, .*= 0$", call)]
        heard = [i for i, call in enumerate(calls)
                 if re.match(r"(recv\w*|read\w*|pread\w*)\(0x1[0-7],", call)]
        self.assertEqual(len(loaded), 1)
        self.assertTrue(heard)
        self.assertLess(loaded[0], heard[0])


if __name__ == "__main__":
    box.tap.main()
