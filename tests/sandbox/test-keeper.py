#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The keeper after launch: what it has given up, and that it still does all it is there for."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import box
import lsidisk
import mpq

CAP_DAC_OVERRIDE = 1 << 1
EXIT_FLUSH = 4


@box.needs_root
class Facts(unittest.TestCase):
    def check(self, pid, caps=0):
        status = box.status(pid)
        for name in ("CapPrm", "CapEff"):
            self.assertEqual(int(status[name], 16), caps, name)
        for name in ("CapInh", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(len(box.threads(pid)), 1)

    def test_as_root(self):
        with box.remote("raw") as remote:
            self.check(remote.proc.pid)
            self.assertEqual(int(box.status(remote.proc.pid)["CapBnd"], 16), 0)

    def test_as_nobody(self):
        with box.remote("raw", "nobody") as remote:
            self.check(remote.proc.pid)

    def test_with_a_pidfile(self):
        with box.place() as at, box.remote("raw", "root", ["-pidfile", at.path("pid")]) as remote:
            self.check(remote.proc.pid)

    def test_with_a_pidfile_in_another_s_folder(self):
        """One right stays where the file could not be removed without: (modes of the folder that
        it is in and of the one above, does it stay?)"""
        for above, mode, caps in ((0o755, 0o700, CAP_DAC_OVERRIDE), (0o755, 0o777, 0),
                                  (0o700, 0o777, CAP_DAC_OVERRIDE),
                                  (0o755, 0o775, CAP_DAC_OVERRIDE)):
            with self.subTest(above=above, mode=mode), box.place() as at:
                folder = at.path("above/of-nobody")
                os.makedirs(folder)
                for path, bits in ((at.path("above"), above), (folder, mode)):
                    os.chown(path, box.NOBODY, box.NOBODY)
                    os.chmod(path, bits)
                pidfile = os.path.join(folder, "pid")
                with box.remote("raw", "root", ["-pidfile", pidfile]) as remote:
                    self.check(remote.proc.pid, caps)
                    self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())
                    self.assertFalse(os.path.exists(pidfile))

    def test_files_that_it_may_open(self):
        """None can stand where its children's pidfds do."""
        with box.remote("raw") as remote:
            self.assertEqual(box.limits(remote.proc.pid)["Max open files"], ("256", "256"))

    def test_peers_are_the_device_process_s(self):
        """It holds no socket of a peer, so that the peer sees the device process's end."""
        with box.remote("two") as remote:
            peers = {os.fstat(peer.sock.fileno()).st_ino for peer in remote.peers}
            device = mpq.fds(remote.device_pid())
            theirs = {device[16], device[17]}
            self.assertEqual(len(theirs | {f"socket:[{i}]" for i in peers}), 4)
            self.assertFalse(theirs & set(mpq.fds(remote.proc.pid).values()))


@box.needs_root
class Flood(unittest.TestCase):
    """A device process that was taken over writes what it likes into its log pipe."""

    BURST, RATE = 256 << 10, 16 << 10

    def test_flood(self):
        """A bounded part of it goes through; what was lost is told, and the guest is served."""
        line = b"x" * 99 + b"\n"
        with box.remote("edu") as remote:
            started = time.monotonic()
            with open(f"/proc/{remote.device_pid()}/fd/3", "wb", buffering=0) as log:
                for _ in range(400):
                    log.write(line * 40)        # 1.6 MB
            mpq.wait_for(lambda: len(remote.said()) > self.BURST // 2, "a part of the flood")
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
            limit = self.BURST + self.RATE * (time.monotonic() - started) + 4096
            self.assertLess(len(remote.said()), limit)
            remote.proc.terminate()
            remote.wait()
            self.assertRegex(remote.said(), r"\d+ log lines before the last were lost")

    def test_escapes(self):
        with box.remote("edu") as remote:
            with open(f"/proc/{remote.device_pid()}/fd/3", "wb", buffering=0) as log:
                log.write(b"\033]0;title\007 \177 \t end\n")
            mpq.wait_for(lambda: "end" in remote.said(), "the line")
            self.assertIn("?]0;title? ? ? end\n", remote.said())


    def test_c1(self):
        """C1 controls, as UTF-8 and as bytes, are no terminal's either."""
        with box.remote("edu") as remote:
            with open(f"/proc/{remote.device_pid()}/fd/3", "wb", buffering=0) as log:
                log.write(b"\xc2\x9b31m \xc2\x9d0;title\xc2\x9c \x9b31m caf\xc3\xa9 end\n")
            mpq.wait_for(lambda: "end" in remote.said(), "the line")
            self.assertIn("\n??31m ??0;title?? ?31m caf\u00e9 end\n", remote.said())

    def test_no_newline(self):
        """A piece without an end hides no line of the keeper's, and lines that come in pieces
        stay whole."""
        with box.remote("edu") as remote:
            with open(f"/proc/{remote.device_pid()}/fd/3", "wb", buffering=0) as log:
                log.write(b"in two ")
                log.write(b"pieces\nevil")
            mpq.wait_for(lambda: "pieces" in remote.said(), "the line")
            self.assertIn("\nin two pieces\n", remote.said())
            os.kill(remote.device_pid(), signal.SIGKILL)
            remote.wait()
            self.assertIn("\nevil\n", remote.said())
            self.assertRegex(remote.said(), r"(?m)^mpqemu-remote: device process \d+: killed by")


class Duties(unittest.TestCase):
    def ended(self, remote, status, words):
        self.assertEqual(remote.wait(), status, remote.said())
        self.assertIn(words, remote.said())
        self.assertNotIn("forbidden", remote.said())


@box.needs_root
class Signals(Duties):
    def test_each(self):
        for user in box.USERS:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                with self.subTest(user=user, number=number), box.remote("raw", user) as remote:
                    remote.proc.send_signal(number)
                    self.ended(remote, mpq.EXIT_CLEAN, f"terminating on signal {int(number)} from "
                               f"pid {os.getpid()} (python")

    def test_of_a_process_that_is_gone(self):
        with box.remote("edu") as remote:
            subprocess.run(["kill", str(remote.proc.pid)], check=True)
            self.ended(remote, mpq.EXIT_CLEAN, "terminating on signal 15 from pid ")

    def test_second(self):
        """A device process that hangs is killed at the second signal, though it is nobody's."""
        for level in ("strict", "seccomp-only"):
            with self.subTest(level=level), \
                    box.remote("edu", "root", [f"--sandbox={level}"]) as remote:
                os.kill(remote.device_pid(), signal.SIGSTOP)
                remote.proc.terminate()
                mpq.wait_for(lambda: "terminating on" in remote.said(), "the first signal")
                time.sleep(0.2)         # two at once are one
                remote.proc.terminate()
                self.ended(remote, 128 + signal.SIGKILL,
                           "terminating at once on a second signal 15")

    def test_two_at_once(self):
        """As timeout(1) sends them: an orderly end, not an impatient one."""
        with box.remote("raw", "root") as remote:
            remote.proc.terminate()
            remote.proc.send_signal(signal.SIGINT)
            self.ended(remote, mpq.EXIT_CLEAN, "terminating on signal")
            self.assertNotIn("at once", remote.said())

    def test_others_are_the_end(self):
        """What it does not wait for has the usual effect."""
        with box.remote("edu") as remote:
            remote.proc.send_signal(signal.SIGUSR2)
            self.assertEqual(remote.wait(), -signal.SIGUSR2)

    def test_device_process_killed(self):
        with box.remote("raw") as remote:
            os.kill(remote.device_pid(), signal.SIGKILL)
            self.ended(remote, 128 + signal.SIGKILL, "killed by signal 9 (Killed)")


@box.needs_root
class Hangs(Duties):
    """What does not end in 30 s, though its keeper said so, or is gone itself."""

    LIMIT = 30 + mpq.TIMEOUT

    def hold_a_request(self, remote, at, ram):
        """Its disk's server hangs with a read under way."""
        remote.peer.sync_sysmem([ram.region()])
        disk = lsidisk.Disk(remote.peer, ram)
        disk.ready()
        at.nbd_server.send_signal(signal.SIGSTOP)
        disk.start([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512)
        remote.peer.cfg_read(0, 2)

    def test_end_in_time(self):
        """One device process is stopped and told to end; another drains for ever, its keeper
        killed.  Both at once: the test waits for the limit."""
        with box.remote("edu") as told, box.remote("nbd") as orphan, mpq.Ram(1 << 20) as ram:
            self.hold_a_request(orphan, orphan.place, ram)
            device = orphan.device_pid()
            os.kill(told.device_pid(), signal.SIGSTOP)
            orphan.proc.kill()
            told.proc.terminate()
            mpq.wait_for(lambda: "terminating on" in told.said(), "the signal")
            self.assertEqual(told.proc.wait(self.LIMIT), 128 + signal.SIGKILL)
            self.assertRegex(told.said(), r"terminating on [^\n]*\nmpqemu-remote: device process "
                             r"\d+: has not ended 30 s after it was told to; it is killed\n\Z")
            orphan.proc.wait()
            mpq.wait_for(lambda: not os.path.exists(f"/proc/{device}"), "the orphan's end")


@box.needs_root
class Held(Duties):
    """A request that waits for SIGUSR1 after an error: the keeper says so, and passes it on."""

    def test_retry(self):
        for user in box.USERS:
            with self.subTest(user), box.place() as at:
                image = at.image()
                extra = box.raw_disk(image, options=",rerror=stop")
                with mpq.Remote.start([box.LSI], extra, prefix=box.USERS[user]) as remote, \
                        mpq.Ram(1 << 20) as ram:
                    self.run_one(remote, ram, image)

    def run_one(self, remote, ram, image):
        remote.peer.sync_sysmem([ram.region()])
        disk = lsidisk.Disk(remote.peer, ram)
        disk.ready()
        os.truncate(image, 0)
        disk.start([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512)
        mpq.wait_for(lambda: " is held back" in remote.said() or
                     remote.proc.poll() is not None, "the keeper's line")
        self.assertIn(f"at once on SIGUSR1 to pid {remote.proc.pid}", remote.said())
        with open(image, "wb") as file:
            file.write(b"\xa5" * box.IMAGE_SIZE)
        remote.proc.send_signal(signal.SIGUSR1)
        mpq.wait_for(lambda: disk.read(lsidisk.ISTAT0, 1) & 3, "the request's end")
        self.assertEqual(ram.map[lsidisk.STATUS], 0)
        self.assertEqual(ram.map[lsidisk.DATA:lsidisk.DATA + 512], b"\xa5" * 512)
        remote.proc.terminate()
        self.ended(remote, mpq.EXIT_CLEAN, "terminating on")

    def test_for_nothing(self):
        with box.remote("raw") as remote:
            for _ in range(10):
                remote.proc.send_signal(signal.SIGUSR1)
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000)
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())


@box.needs_root
class Files(Duties):
    def test_pidfile_in_another_s_folder(self):
        with box.place() as at:
            folder = at.path("of-nobody")
            os.mkdir(folder, 0o700)
            os.chown(folder, box.NOBODY, box.NOBODY)
            for user in box.USERS:
                path = os.path.join(folder, "pid")
                with self.subTest(user), box.remote("edu", user, ["-pidfile", path]) as remote:
                    with open(path, encoding="ascii") as file:
                        self.assertEqual(file.read(), f"{remote.proc.pid}\n")
                    self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)
                    self.assertFalse(os.path.exists(path))

    def test_pidfile_removed_by_somebody(self):
        with box.place() as at:
            with box.remote("edu", "root", ["-pidfile", at.path("pid")]) as remote:
                os.unlink(at.path("pid"))
                self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())

    def test_log_file(self):
        for options in ([], ["-msg", "timestamp=on"]):
            with self.subTest(options), box.place() as at:
                log = at.path("log")
                with box.remote("edu", "nobody", ["-D", log, *options]) as remote:
                    remote.peer.send_raw(b"\xff" * 16)
                    self.assertEqual(remote.wait(), mpq.EXIT_PROTOCOL)
                    self.assertEqual(remote.said(), "")
                with open(log, encoding="utf-8") as file:
                    self.assertRegex(file.read(), r"sandbox: strict[^\n]*\n"
                                     r".*unknown command 0xffffffff")

    def test_daemon(self):
        for user in box.USERS:
            with self.subTest(user), box.place() as at:
                self.daemon(user, at.path("pid"), ["-D", at.path("log")])

    def daemon(self, user, pidfile, extra):
        ours, theirs = socket.socketpair()
        argv = [*box.USERS[user], *box.command(["edu,id=e0"], [
            "-object", f"x-remote-object,id=r,devid=e0,fd={theirs.fileno()}", "-daemonize",
            "-pidfile", pidfile, *extra])]
        done = subprocess.run(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=mpq.TIMEOUT)
        theirs.close()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
        peer = mpq.Peer(ours)
        self.assertEqual(peer.cfg_read(0, 2), 0x1234)
        mpq.wait_for(lambda: box.status(pid)["Seccomp"] == "2", "the keeper's filter")
        os.kill(pid, signal.SIGTERM)
        self.assertTrue(peer.ended())
        peer.close()
        mpq.wait_for(lambda: not os.path.exists(pidfile), "the end of the daemon")
        with open(extra[1], encoding="utf-8") as file:
            self.assertIn(f"terminating on signal 15 from pid {os.getpid()}", file.read())


@box.needs_root
class Clients(Duties):
    """A device that listens: the keeper accepts, under its filter, and removes the path."""

    @contextlib.contextmanager
    def listening(self, user, path, extra=()):
        argv = [*box.USERS[user], *box.command(["edu,id=e0"], [
            "-object", f"x-remote-object,id=r,devid=e0,server=on,path={path}", *extra])]
        with mpq.Remote(argv, [], tempfile.TemporaryFile()) as remote:
            mpq.wait_for(lambda: remote.proc.poll() is not None or
                         box.status(remote.proc.pid)["Seccomp"] == "2", "the keeper's filter")
            yield remote

    def serve(self, path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            self.assertEqual(mpq.Peer(sock).cfg_read(0, 2), 0x1234)

    def test_path(self):
        for user in box.USERS:
            for extra in ([], ["-D", "log"], ["-pidfile", "pid"], ["--sandbox=seccomp-only"]):
                with self.subTest(user=user, extra=extra), box.place() as at:
                    extra = [at.path(word) if word in ("log", "pid") else word for word in extra]
                    with self.listening(user, at.path("socket"), extra) as remote:
                        for _ in range(3):
                            self.serve(at.path("socket"))
                        remote.proc.terminate()
                        self.assertEqual(remote.wait(), mpq.EXIT_CLEAN, remote.said())
                        self.assertNotIn("forbidden", remote.said())
                    self.assertEqual([n for n in os.listdir(at.folder) if n != "log"], [])

    def test_in_another_s_folder(self):
        with box.place() as at:
            folder = at.path("of-nobody")
            os.mkdir(folder, 0o700)
            os.chown(folder, box.NOBODY, box.NOBODY)
            path = os.path.join(folder, "socket")
            with self.listening("root", path) as remote:
                self.assertEqual(int(box.status(remote.proc.pid)["CapEff"], 16), CAP_DAC_OVERRIDE)
                self.serve(path)
                remote.proc.terminate()
                self.assertEqual(remote.wait(), mpq.EXIT_CLEAN, remote.said())
            self.assertEqual(os.listdir(folder), [])

    def test_numbers(self):
        """Its listening socket stands above all that it can open; a client is no fd of its."""
        with box.place() as at, self.listening("root", at.path("socket")) as remote:
            before = mpq.fds(remote.proc.pid)
            self.assertIn(384, before)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(at.path("socket"))
                self.assertEqual(mpq.Peer(sock).cfg_read(0, 2), 0x1234)
                mpq.wait_for(lambda: mpq.fds(remote.proc.pid) == before, "the client's fd to go")
                self.assertNotIn(before[384], mpq.fds(remote.device_pid()).values())
            remote.proc.terminate()
            self.assertEqual(remote.wait(), mpq.EXIT_CLEAN, remote.said())

    def test_fds_in_flight(self):
        """More of this user's than the keeper may have: a client waits until they arrive."""
        with box.place() as at, self.listening("root", at.path("socket")) as remote:
            with socket.socket(socket.AF_UNIX) as sock:
                with mpq.in_flight(600):
                    sock.connect(at.path("socket"))
                    sock.sendall(mpq.sample(mpq.Cmd.PCI_CFGREAD))
                    self.assertTrue(mpq.Peer(sock).quiet(0.3))
                mpq.Peer(sock).ret()
            remote.proc.terminate()
            self.assertEqual(remote.wait(), mpq.EXIT_CLEAN, remote.said())

    def test_hostile_device_process(self):
        """It does not take its clients: they wait, and the keeper serves its signals."""
        with box.place() as at, self.listening("root", at.path("socket")) as remote:
            os.kill(remote.device_pid(), signal.SIGSTOP)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(at.path("socket"))
                sock.sendall(mpq.sample(mpq.Cmd.PCI_CFGREAD))
                self.assertTrue(mpq.Peer(sock).quiet(0.1))
                for words in ("terminating on", "terminating at once"):
                    remote.proc.terminate()
                    mpq.wait_for(lambda w=words: w in remote.said(), words)
                    time.sleep(0.2)     # two at once are one
                self.ended(remote, 128 + signal.SIGKILL, "terminating at once")
            self.assertFalse(os.path.exists(at.path("socket")))


@box.needs_root
class StorageDaemon(Duties):
    """With a disk that a storage daemon serves."""

    def remote(self, at, user):
        image = at.path("disk.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        os.chmod(image, 0o666)
        it = mpq.Remote.start([box.LSI], ["-drive", f"id=d0,file={image},if=none,format=qcow2",
                                          "-device", "scsi-hd,id=s0,drive=d0"],
                              prefix=box.USERS[user])
        return it

    def setUp(self):
        if not shutil.which("qemu-storage-daemon"):
            self.skipTest("qemu-storage-daemon is not installed")

    def daemons(self, remote):
        return [child for child in box.children(remote.proc.pid)
                if "storage" in box.proc(child, "comm")]

    def test_ends_with_the_remote(self):
        for user in box.USERS:
            for how in ("close", "signal"):
                with self.subTest(user=user, how=how), box.place() as at, \
                        self.remote(at, user) as remote:
                    box.serving(remote)
                    daemons = self.daemons(remote)
                    self.assertEqual(len(daemons), 1)
                    if how == "signal":
                        remote.proc.terminate()
                    self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())
                    self.assertNotIn("forbidden", remote.said())
                    self.assertFalse(os.path.exists(f"/proc/{daemons[0]}"))

    def test_dies(self):
        with box.place() as at, self.remote(at, "root") as remote:
            box.serving(remote)
            os.kill(self.daemons(remote)[0], signal.SIGKILL)
            mpq.wait_for(lambda: "its storage daemon has ended" in remote.said(), "the line")
            self.assertEqual(remote.finish(), EXIT_FLUSH, remote.said())
            self.assertNotIn("forbidden", remote.said())

    def test_hangs(self):
        """One that does nothing any more: the second signal ends all three."""
        with box.place() as at, self.remote(at, "root") as remote:
            box.serving(remote)
            daemon = self.daemons(remote)[0]
            os.kill(daemon, signal.SIGSTOP)
            remote.proc.terminate()
            mpq.wait_for(lambda: "terminating on" in remote.said(), "the first signal")
            time.sleep(0.2)
            remote.proc.terminate()
            self.ended(remote, 128 + signal.SIGKILL, "terminating at once")
            self.assertFalse(os.path.exists(f"/proc/{daemon}"))


@box.needs_root
class Log(Duties):
    def test_reader_gone(self):
        """Nobody reads stderr any more: the lines are lost, and nothing else."""
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        remote = subprocess.Popen(box.command(["edu,id=e0"], [
            "-object", f"x-remote-object,id=r,devid=e0,fd={theirs.fileno()}"]),
            stdin=subprocess.DEVNULL, stderr=writer, pass_fds=[theirs.fileno()])
        theirs.close()
        os.close(writer)
        peer = mpq.Peer(ours)
        peer.cfg_read(0, 2)
        mpq.wait_for(lambda: box.status(remote.pid)["Seccomp"] == "2", "the keeper's filter")
        os.close(reader)
        remote.terminate()
        self.assertEqual(remote.wait(mpq.TIMEOUT), mpq.EXIT_CLEAN)
        peer.close()

    def test_much(self):
        """A device process that says much: the lines come whole and in order."""
        with box.remote("two") as remote:
            remote.peers[0].send_raw(b"\xff" * 16)
            self.assertTrue(remote.peers[0].ended())
            remote.peers[1].send_raw(b"\xff" * 16)
            self.assertEqual(remote.wait(), mpq.EXIT_PROTOCOL)
            self.assertEqual(len(re.findall(r"^mpqemu-remote: \w\d: .*$", remote.said(), re.M)), 2)


if __name__ == "__main__":
    box.tap.main()
