#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-remote by its command line: options, channels, pid file, log, signals, several devices."""
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile

import wire
import mpq
from mpq import (ALL_ONES, EXIT_CLEAN, EXIT_PROTOCOL, EXIT_START, TIMEOUT, Edu, Peer, Remote,
                 program, wait_for, wrapper)

SERVE = ["-machine", "x-remote", "-device", "edu,id=e0"]


def command(*args, name="mpqemu-remote"):
    """Under valgrind without the sandbox, but for what only prints."""
    serves = name == "mpqemu-remote" and "-object" in args
    return wrapper() + [program(name), *args, *(mpq.sandbox() if serves else [])]


def ran(*args, name="mpqemu-remote", **kwargs):
    return subprocess.run(command(*args, name=name), stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, **kwargs)


class Options(wire.unittest.TestCase):
    def test_information(self):
        for args, words in [(["-version"], "version"), (["--version"], "version"),
                            (["-help"], "usage: mpqemu-remote"), (["-h"], "usage: mpqemu-remote"),
                            (["-device", "help"], '"edu"'), (["-device", "?"], '"edu"'),
                            (["-device", "edu,help"], "edu options"),
                            (["-machine", "help"], "x-remote")]:
            with self.subTest(args=args):
                done = ran(*args)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(words, done.stdout)

    def test_refused(self):
        """One line on stderr that names the option, nothing on stdout, status 1."""
        peer = ["-object", "x-remote-object,id=r,devid=e0,fd=%d"]
        devices = [x for i in range(9) for x in ("-device", f"edu,id=e{i}")]
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        rows = [
            ([], "-device is missing"),
            (["-nosuch"], "-nosuch: invalid option"),
            (["-device"], "-device: requires an argument"),
            (["-device", "nosuch,id=a"], "'nosuch' is not a valid device model name"),
            (["-machine", "pc"], "-machine pc: unsupported machine type"),
            (["-m", "2G", *SERVE], "-m 2G"),
            (["-incoming", "tcp:0:1", *SERVE], "-incoming"),
            (["-device", "edu,id=e0,nosuch=1"], "Property 'edu.nosuch' not found"),
            (["-device", "edu,id=0bad"], "0bad"),
            ([*SERVE, "-device", "edu,id=e0"], "Duplicate ID 'e0'"),
            (SERVE, "x-remote-object"),
            ([*SERVE, "-object", f"x-remote-object,id=r,devid=nobody,fd={fd}"], "'nobody'"),
            ([*SERVE, "-object", "x-remote-object,id=r,devid=e0"], "'fd' is missing"),
            ([*SERVE, "-object", f"x-remote-object,devid=e0,fd={fd}"], "id"),
            ([*SERVE, peer[0], peer[1] % 777], "fd 777"),
            ([*SERVE, peer[0], peer[1] % 0], "not a UNIX stream socket"),
            ([*SERVE, peer[0], peer[1] % -1], "-1"),
            ([*SERVE, "-object", "x-remote-object,id=r,devid=e0,fd=name"], "LISTEN_FDS"),
            ([*SERVE, "-object", "x-remote-object,id=r,devid=e0,path=/nonexistent/x"],
             "/nonexistent/x"),
            ([*SERVE, peer[0], peer[1] % fd, "-object", f"x-remote-object,id=r2,devid=e0,fd={fd}"],
             "e0"),
            ([*SERVE, peer[0], peer[1] % fd, "-pidfile", "/nonexistent/pid"], "PID file"),
            ([*SERVE, peer[0], peer[1] % fd, "-D", "/nonexistent/log"], "/nonexistent/log"),
            ([*devices, peer[0], peer[1] % fd], "8"),
        ]
        for args, words in rows:
            with self.subTest(args=args):
                done = ran(*args, pass_fds=[fd])
                self.assertEqual((done.returncode, done.stdout), (EXIT_START, ""))
                self.assertIn(words, done.stderr)
                self.assertRegex(done.stderr, r"^mpqemu-remote: .*\n\Z")
        ours.close()
        theirs.close()

    @wire.not_wrapped("valgrind takes the highest fds for itself")
    def test_few_fds(self):
        """The slots need their numbers; a limit below them is named, not kept for oneself."""
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            done = ran(*SERVE, "-object", f"x-remote-object,id=r,devid=e0,fd={theirs.fileno()}",
                       pass_fds=[theirs.fileno()], preexec_fn=few)
        self.assertEqual(done.returncode, EXIT_START)
        self.assertIn("ulimit -n", done.stderr)

    def test_datagram_socket(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        done = ran(*SERVE, "-object", f"x-remote-object,id=r,devid=e0,fd={theirs.fileno()}",
                   pass_fds=[theirs.fileno()])
        self.assertEqual(done.returncode, EXIT_START)
        self.assertIn("not a UNIX stream socket", done.stderr)
        ours.close()
        theirs.close()

    def test_program(self):
        """mpqemu itself: by argument as by name."""
        self.assertIn("version", ran("--version", name="mpqemu").stdout)
        self.assertIn("mpqemu-remote", ran("--list", name="mpqemu").stdout.split("\n"))
        self.assertIn("usage: mpqemu-remote", ran("remote", "-help", name="mpqemu").stdout.replace(
            "usage: remote", "usage: mpqemu-remote"))
        self.assertNotEqual(ran(name="mpqemu").returncode, 0)
        self.assertNotEqual(ran("nosuch", name="mpqemu").returncode, 0)

    def test_install(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(ran("--install", "-s", folder, name="mpqemu").returncode, 0)
            link = os.path.join(folder, "mpqemu-remote")
            self.assertTrue(os.path.islink(link))
            done = subprocess.run([link, "-version"], stdout=subprocess.PIPE, timeout=TIMEOUT)
            self.assertIn(b"version", done.stdout)


class Spelling(wire.unittest.TestCase):
    """What QEMU accepts in other spellings, all of which serve."""

    def test_spellings(self):
        for device, peer, dash in [
                ("edu,id=e0", "x-remote-object,id=r,devid=e0,fd=%d,", "-"),
                ("driver=edu,id=e0", "qom-type=x-remote-object,id=r,devid=e0,fd=%d", "--"),
                ('{"driver": "edu", "id": "e0"}',
                 '{"qom-type": "x-remote-object", "id": "r", "devid": "e0", "fd": "%d"}', "-")]:
            with self.subTest(device=device):
                ours, theirs = socket.socketpair()
                argv = [program("mpqemu-remote"), *mpq.sandbox(), dash + "M", "x-remote",
                        dash + "device", device, dash + "object", peer % theirs.fileno()]
                with Remote(argv, [(ours, theirs)], tempfile.TemporaryFile()) as remote:
                    self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234, remote.log())
                    self.assertEqual(remote.finish(), EXIT_CLEAN)


def listener(address):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(address)
    sock.listen(1)
    sock.settimeout(TIMEOUT)
    return sock


class Channels(wire.unittest.TestCase):
    """How the peer's socket reaches the remote."""

    def serve(self, argv, accept=None, ours=None, **kwargs):
        """Runs @argv, asks the device its name over the connection, and ends it."""
        with tempfile.TemporaryFile() as log:
            proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    **kwargs)
            try:
                peer = Peer(accept() if accept else ours)
                self.assertEqual(peer.cfg_read(0, 2), 0x1234)
                peer.close()
                self.assertEqual(proc.wait(TIMEOUT), EXIT_CLEAN)
                log.seek(0)
                self.assertEqual(mpq.without_level(log.read().decode()), "")
            finally:
                if proc.poll() is None:
                    proc.kill()
                    proc.wait()

    def test_path(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "sock,et")
            with listener(path) as server:
                self.serve(command(*SERVE, "-object", "x-remote-object,id=r,devid=e0,path="
                                   + path.replace(",", ",,")), lambda: server.accept()[0])

    def test_abstract_path(self):
        name = f"mpqemu-test-{os.getpid()}"
        with listener("\0" + name) as server:
            self.serve(command(*SERVE, "-object", f"x-remote-object,id=r,devid=e0,path=@{name}"),
                       lambda: server.accept()[0])

    def test_listening_fd(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")

            def connect():
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                sock.connect(path)
                return sock
            with listener(path) as server:
                fd = server.fileno()
                self.serve(command(*SERVE, "-object", f"x-remote-object,id=r,devid=e0,fd={fd}"),
                           connect, pass_fds=[fd])

    def listen_fds(self, names, name, count="1", pid="$$"):
        """The command under a shell that passes the socket as number 3, as a service manager."""
        script = (f'exec env LISTEN_PID={pid} LISTEN_FDS={count} LISTEN_FDNAMES={names} "$@" 3<&0 '
                  "</dev/null")
        return ["sh", "-c", script, "sh", *command(
            *SERVE, "-object", f"x-remote-object,id=r,devid=e0,fd={name}")]

    def test_listen_fds(self):
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as log:
            proc = subprocess.Popen(self.listen_fds("scsi", "scsi"), stdin=theirs, stderr=log)
            peer = Peer(ours)
            self.assertEqual(peer.cfg_read(0, 2), 0x1234)
            theirs.close()
            peer.close()
            self.assertEqual(proc.wait(TIMEOUT), EXIT_CLEAN)

    def test_listen_fds_for_another(self):
        for names, name, count, pid in [("scsi", "disk", "1", "$$"), ("scsi", "scsi", "1", "1"),
                                        ("scsi", "scsi", "0", "$$"), ("scsi", "scsi", "x", "$$")]:
            with self.subTest(names=names, name=name, count=count, pid=pid):
                ours, theirs = socket.socketpair()
                done = subprocess.run(self.listen_fds(names, name, count, pid), stdin=theirs,
                                      stderr=subprocess.PIPE, timeout=TIMEOUT)
                self.assertEqual(done.returncode, EXIT_START)
                self.assertIn(name.encode(), done.stderr)
                ours.close()
                theirs.close()


class Files(wire.unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def test_pidfile(self):
        path = self.path("pid")
        with Remote.edu(["-pidfile", path]) as remote:
            remote.peer.cfg_read(0, 2)
            text = wait_for(lambda: os.path.exists(path) and open(path).read(), "the pid file")
            self.assertEqual(text, f"{remote.proc.pid}\n")
            self.assertEqual(remote.finish(), EXIT_CLEAN)
        self.assertFalse(os.path.exists(path))

    def test_pidfile_of_another(self):
        path = self.path("pid")
        with Remote.edu(["-pidfile", path]) as first:
            wait_for(lambda: os.path.exists(path) and open(path).read(), "the pid file")
            with Remote.edu(["-pidfile", path]) as second:
                self.assertEqual(second.wait(), EXIT_START)
                self.assertIn("Cannot lock pid file", second.log())
            self.assertEqual(open(path).read(), f"{first.proc.pid}\n")

    def test_logfile(self):
        path = self.path("log")
        with Remote.edu(["-D", path, "-msg", "timestamp=on"]) as remote:
            remote.peer.send_raw(b"\xff" * 16)
            self.assertTrue(remote.peer.ended())
            self.assertEqual(remote.finish(), EXIT_PROTOCOL)
            self.assertEqual(remote.said(), "")
        with open(path, encoding="utf-8") as file:
            said = mpq.without_level(file.read())
            self.assertRegex(said, r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z "
                             r"mpqemu-remote: e0: .*unknown command 0xffffffff.*\n\Z")

    @wire.not_wrapped("valgrind keeps stderr open in the daemon")
    def test_daemonize(self):
        path = self.path("pid")
        ours, theirs = socket.socketpair()
        done = ran(*SERVE, "-object", f"x-remote-object,id=r,devid=e0,fd={theirs.fileno()}",
                   "-daemonize", "-pidfile", path, pass_fds=[theirs.fileno()])
        theirs.close()
        self.assertEqual((done.returncode, mpq.without_level(done.stderr)), (0, ""))
        pid = int(open(path).read())
        peer = Peer(ours)
        self.assertEqual(peer.cfg_read(0, 2), 0x1234)
        peer.close()
        wait_for(lambda: not os.path.exists(path), "the end of the daemon")
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the daemon")

    def test_daemonize_reports_a_failure(self):
        done = ran(*SERVE, "-daemonize", "-object", "x-remote-object,id=r,devid=e0,fd=777")
        self.assertEqual(done.returncode, EXIT_START)
        self.assertIn("fd 777", done.stderr)


class Signals(wire.unittest.TestCase):
    def test_terminate(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number), Remote.edu() as remote:
                remote.peer.cfg_read(0, 2)
                os.kill(remote.proc.pid, number)
                self.assertEqual(remote.wait(), EXIT_CLEAN, remote.log())
                self.assertTrue(remote.peer.ended())
                self.assertRegex(remote.log(), f"terminating on signal {int(number)} from pid "
                                 f"{os.getpid()} ")

    def test_while_a_reply_waits(self):
        """A peer that reads nothing does not keep the process."""
        with Remote.edu() as remote:
            remote.peer.cfg_read(0, 2)
            remote.peer.sock.settimeout(0.2)
            try:
                while True:
                    remote.peer.sock.sendall(wire.mpq.sample(wire.mpq.Cmd.PCI_CFGREAD) * 1000)
            except TimeoutError:
                pass
            remote.proc.terminate()
            self.assertEqual(remote.wait(), EXIT_CLEAN)

    def test_device_process_killed(self):
        with Remote.edu() as remote:
            remote.peer.cfg_read(0, 2)
            os.kill(remote.device_pid(), signal.SIGKILL)
            self.assertTrue(remote.peer.ended())
            self.assertEqual(remote.wait(), 128 + signal.SIGKILL)
            self.assertRegex(remote.log(), r"device process \d+: killed by signal 9")

    def test_keeper_killed(self):
        """The device process ends by itself, and the peer sees it."""
        with Remote.edu() as remote:
            remote.peer.cfg_read(0, 2)
            device = remote.device_pid()
            remote.proc.kill()
            self.assertTrue(remote.peer.ended())
            wait_for(lambda: gone(device), "the end of the device process")
            self.assertEqual(remote.wait(), -signal.SIGKILL)

    def test_nothing_is_left(self):
        with Remote.edu() as remote:
            remote.peer.cfg_read(0, 2)
            device = remote.device_pid()
            self.assertEqual(remote.finish(), EXIT_CLEAN)
        self.assertTrue(gone(device))


def gone(pid):
    """Has the process ended?  (An orphan may stay a zombie where pid 1 reaps nothing.)"""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return re.search(r"\) (\w)", file.read())[1] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Several(wire.unittest.TestCase):
    DEVICES = [f"edu,id=e{i}" for i in range(8)]

    @wire.not_wrapped("valgrind has no room for eight address ranges of guests")
    def test_eight_devices(self):
        """Each with state and address space of its own."""
        with Remote.start(self.DEVICES) as remote:
            edus = [Edu(peer, 0xc0000000 + (i << 24)) for i, peer in enumerate(remote.peers)]
            for i, edu in enumerate(edus):
                edu.write(Edu.LIVENESS, i)
            for i, edu in enumerate(edus):
                self.assertEqual(edu.read(Edu.LIVENESS), i ^ 0xffffffff)
                self.assertEqual(remote.peers[i - 1].bar_read(edu.base, 4), ALL_ONES)
            self.assertEqual(remote.finish(), EXIT_CLEAN)
            self.assertEqual(remote.log(), "")

    def test_one_goes_the_others_stay(self):
        with Remote.start(self.DEVICES[:3]) as remote:
            edus = [Edu(peer) for peer in remote.peers]
            edus[1].write(Edu.LIVENESS, 1)
            remote.peers[0].close()
            for _ in range(100):
                self.assertEqual(edus[1].read(Edu.LIVENESS), 0xfffffffe)
            remote.peers[2].reset()
            self.assertEqual(edus[1].read(Edu.LIVENESS), 0xfffffffe)
            self.assertIsNone(remote.proc.poll())
            self.assertEqual(remote.finish(), EXIT_CLEAN)

    def test_one_breaks_the_protocol(self):
        with Remote.start(self.DEVICES[:2]) as remote:
            edu = Edu(remote.peers[1])
            remote.peers[0].send_raw(b"\xff" * 16)
            self.assertTrue(remote.peers[0].ended())
            self.assertEqual(edu.read(Edu.ID), 0x010000ed)
            self.assertEqual(remote.finish(), EXIT_PROTOCOL, "the worst end counts")
            self.assertIn("e0: ", remote.log())
            self.assertNotIn("e1: ", remote.log())

    def test_one_does_not_read(self):
        """A session that is stuck with its reply holds up no other."""
        with Remote.start(self.DEVICES[:2]) as remote:
            stuck = remote.peers[0].sock
            stuck.settimeout(0.2)
            try:
                while True:
                    stuck.sendall(wire.mpq.sample(wire.mpq.Cmd.PCI_CFGREAD) * 1000)
            except TimeoutError:
                pass
            for _ in range(100):
                self.assertEqual(remote.peers[1].cfg_read(0, 2), 0x1234)
            for peer in remote.peers:
                peer.close()
            self.assertIn(remote.wait(), (EXIT_CLEAN, wire.mpq.EXIT_MID_MESSAGE))

    def test_device_without_peer(self):
        """A device that no object names is made, and nobody reaches it."""
        with Remote.edu(["-device", "edu,id=lonely"]) as remote:
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
            self.assertEqual(remote.finish(), EXIT_CLEAN)


class ProxyInfo(wire.unittest.TestCase):
    """mpqemu-proxy info, with remotes of either spelling and with programs that are none."""

    def info(self, *argv, **kwargs):
        return ran("info", "--", *argv, name="mpqemu-proxy", **kwargs)

    def test_spellings(self):
        for obj in ("x-remote-object,id=r,devid=e0,fd=9",
                    '{"qom-type":"x-remote-object","id":"r","devid":"e0","fd":"9"}'):
            with self.subTest(obj):
                # valgrind, which the proxy runs under, goes with it into the remote
                done = self.info(*command(*SERVE, "-object", obj)[len(wrapper()):])
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("e0: 1234:11e8", done.stdout)

    def test_no_number(self):
        for fd in ("", "x", "-1", "65536", "4x"):
            with self.subTest(fd):
                done = self.info("true", "-object", f"x-remote-object,id=r,devid=e0,fd={fd}")
                self.assertEqual(done.returncode, EXIT_START)
                self.assertIn("not the number of a file descriptor", done.stderr)

    @wire.not_wrapped("valgrind takes the highest fds for itself")
    def test_fd_out_of_reach(self):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
        done = self.info("true", "-object", "x-remote-object,id=r,devid=e0,fd=600",
                         preexec_fn=few)
        self.assertEqual(done.returncode, 2)
        self.assertIn("true: ", done.stderr)

    def test_no_remote(self):
        done = self.info("true", "-object", "x-remote-object,id=r,devid=e0,fd=9")
        self.assertEqual(done.returncode, 2)
        self.assertIn("e0: the remote closed the connection", done.stderr)


class Authority(wire.unittest.TestCase):
    """What a device process holds: the launch contract, and nothing that came by chance."""

    @wire.not_wrapped("valgrind has fds of its own in the process")
    def test_fds(self):
        with open("/proc/self/maps", "rb") as stray, \
                Remote.edu(pass_fds=[stray.fileno()]) as remote:
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
            what = remote.device_fds()
            self.assertFalse([x for x in what.values() if x.startswith("/proc")], what)
            # By its number: the name is the rest of a path in a root that is gone.
            null = {os.stat(f"/proc/{remote.device_pid()}/fd/{n}").st_rdev for n in (0, 1)}
            self.assertEqual(null, {os.makedev(1, 3)})
            self.assertEqual(what[2], what[3], "stderr is the log pipe")
            self.assertLess(max(what), 192)
            self.assertEqual(remote.finish(), EXIT_CLEAN)


class StorageDaemon(wire.unittest.TestCase):
    """A disk whose storage daemon dies: the keeper says so, the device stays."""

    def test_killed(self):
        if not shutil.which("qemu-storage-daemon"):
            self.skipTest("qemu-storage-daemon is not installed")
        if not mpq.has_nbd():
            self.skipTest("this build has no libnbd")
        if wrapper():
            self.skipTest("valgrind 3.19 has no pidfd_open")
        with tempfile.TemporaryDirectory() as folder:
            image = os.path.join(folder, "d.qcow2")
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True,
                           timeout=TIMEOUT)
            with Remote.start(["lsi53c895a,id=l0"], [
                    "-drive", f"if=none,id=d0,file={image},format=qcow2",
                    "-device", "scsi-hd,id=disk0,drive=d0"]) as remote:
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000)
                for pid in mpq.children(remote.proc.pid):
                    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                        if file.read().startswith("qemu-storage"):
                            os.kill(pid, signal.SIGKILL)
                said = "disk0: its storage daemon has ended"
                wait_for(lambda: said in remote.log(), said)
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000)
                remote.finish()


class Caller(wire.unittest.TestCase):
    """What a careless caller leaves behind for its child."""

    def serve(self, prefix=(), env=None, preexec_fn=None):
        """(status, what it said) of a remote that answered once."""
        ours, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as log:
            proc = subprocess.Popen(
                [*prefix, *command(*SERVE, "-object",
                                   f"x-remote-object,id=r,devid=e0,fd={theirs.fileno()}")],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=log,
                env={**os.environ, **(env or {})}, preexec_fn=preexec_fn)
            theirs.close()
            peer = Peer(ours)
            try:
                self.assertEqual(peer.cfg_read(0, 2), 0x1234)
                peer.close()
                return proc.wait(TIMEOUT)
            finally:
                proc.kill()
                proc.wait()

    def test_sigchld_ignored(self):
        """The keeper hears of its device process's end all the same."""
        ignored = ["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"]
        self.assertEqual(self.serve(ignored), EXIT_CLEAN)

    def test_standard_fds_closed(self):
        # valgrind itself does not start without a stderr
        for closed in ([0], [0, 1]) + (() if wrapper() else ([0, 1, 2],)):
            with self.subTest(closed=closed):
                self.assertEqual(self.serve(preexec_fn=lambda c=closed: [os.close(n) for n in c]),
                                 EXIT_CLEAN)

    def test_tunables_of_libc(self):
        """They are not the device process's: one of them makes free() a system call."""
        tunables = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1"}
        self.assertEqual(self.serve(env=tunables), EXIT_CLEAN)

    @wire.not_wrapped("valgrind takes the highest fds for itself")
    def test_soft_limit_of_fds(self):
        """It is raised as far as the hard one goes."""
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE,
                               (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        self.assertEqual(self.serve(preexec_fn=few), EXIT_CLEAN)

    @wire.not_wrapped("valgrind has files of its own")
    def test_file_size_limit(self):
        def small():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            done = ran(*SERVE, "-object", f"x-remote-object,id=r,devid=e0,fd={theirs.fileno()}",
                       pass_fds=[theirs.fileno()], preexec_fn=small)
        self.assertEqual(done.returncode, EXIT_START)
        self.assertIn("ulimit -f", done.stderr)

    def test_forged_signals(self):
        """SIGSYS and SIGBUS from outside are no forbidden call and no fault of its own."""
        with Remote.edu() as remote:
            remote.peer.cfg_read(0, 2)
            for number in (signal.SIGSYS, signal.SIGBUS) if not wrapper() else ():
                os.kill(remote.device_pid(), number)
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
            self.assertEqual(remote.finish(), EXIT_CLEAN)
            self.assertEqual(remote.log(), "")


class LogGone(wire.unittest.TestCase):
    """Nobody reads stderr any more: lines are lost, and nothing else is."""

    @staticmethod
    def full_pipe():
        """(reader, writer) of a pipe that takes no more."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
            return reader, writer

    @wire.not_wrapped("valgrind has a state of its own for a process that waits")
    def test_lost_lines_are_told(self):
        """Two lines and the sandbox's find no room; after the next one their number is said."""
        reader, writer = self.full_pipe()
        pairs = [socket.socketpair() for _ in range(4)]
        argv = command(*SERVE[:2])
        for i, (_, theirs) in enumerate(pairs):
            argv += ["-device", f"edu,id=e{i}",
                     "-object", f"x-remote-object,id=r{i},devid=e{i},fd={theirs.fileno()}"]
        remote = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=writer,
                                  pass_fds=[theirs.fileno() for _, theirs in pairs])
        os.close(writer)
        peers = [Peer(ours) for ours, _ in pairs]
        for _, theirs in pairs:
            theirs.close()
        try:
            for i in (0, 1):
                peers[i].send_raw(b"\xff" * 16)     # no such command: a line
                self.assertTrue(peers[i].ended())
                self.until_log_is_copied(remote.pid)
            while b"x" in os.read(reader, 1 << 20):
                if not select.select([reader], [], [], 0)[0]:
                    break
            peers[2].send_raw(b"\xff" * 16)
            text = b""
            while b"lost" not in text:
                text += os.read(reader, 4096)
            self.assertRegex(text.decode(), r"^mpqemu-remote: e2: .*\n"
                             r"mpqemu-remote: warning: 3 log lines before the last were lost\n$")
            peers[3].close()
            self.assertEqual(remote.wait(TIMEOUT), EXIT_PROTOCOL)
        finally:
            remote.kill()
            remote.wait()
            for peer in peers:
                peer.close()
            os.close(reader)

    @staticmethod
    def until_log_is_copied(keeper):
        """A line wakes the keeper before the session ends: when it sleeps, it has read the line."""
        def asleep():
            with open(f"/proc/{keeper}/stat", encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "S"
        wait_for(asleep, "the keeper to copy the log")

    def test_full_pipe(self):
        """A stderr that takes no more stops neither process from ending as it should."""
        ours, theirs = socket.socketpair()
        reader, writer = self.full_pipe()
        fd = theirs.fileno()
        remote = subprocess.Popen(
            command(*SERVE, "-object", f"x-remote-object,id=r,devid=e0,fd={fd}"),
            stdin=subprocess.DEVNULL, stderr=writer, pass_fds=[fd])
        theirs.close()
        os.close(writer)
        try:
            ours.send(b"\xff" * 16)     # no such command: a line
            self.assertEqual(remote.wait(TIMEOUT), EXIT_PROTOCOL)
        finally:
            remote.kill()
            remote.wait()
            ours.close()
            os.close(reader)

    def test_keeper_survives(self):
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()
        remote = subprocess.Popen(
            command("-name", "vm", *SERVE, "-object", f"x-remote-object,id=r,devid=e0,fd={fd}"),
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=[fd])
        theirs.close()
        try:
            remote.stderr.close()
            ours.send(b"\xff" * 16)     # no such command: a line each for device and keeper
            self.assertEqual(remote.wait(TIMEOUT), EXIT_PROTOCOL)
        finally:
            remote.kill()
            remote.wait()
            ours.close()


if __name__ == "__main__":
    wire.tap.main()
