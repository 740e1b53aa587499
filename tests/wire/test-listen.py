#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that listen: clients that come one after the other, and what becomes of the socket."""
import contextlib
import os
import signal
import socket
import stat
import subprocess
import tempfile

import wire
import mpq
from mpq import EXIT_CLEAN, EXIT_PROTOCOL, EXIT_START, TIMEOUT, Cmd, Edu, Peer, wait_for


class Server:
    """A remote whose devices e0, e1... listen; @objects: what follows x-remote-object,devid=eN."""

    def __init__(self, *objects, extra=(), **kwargs):
        argv = [*mpq.wrapper(), mpq.program("mpqemu-remote"), *mpq.sandbox(), *extra]
        for i, text in enumerate(objects):
            argv += ["-device", f"edu,id=e{i}", "-object",
                     f"x-remote-object,id=r{i},devid=e{i},server=on,{text}"]
        self.log_file = tempfile.TemporaryFile()
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log_file,
                                     stderr=self.log_file, **kwargs)

    said, log = mpq.Remote.said, mpq.Remote.log
    device_pid, device_fds = mpq.Remote.device_pid, mpq.Remote.device_fds

    def wait(self):
        return self.proc.wait(TIMEOUT)

    def stop(self):
        self.proc.terminate()
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        self.log_file.close()


def connect(address):
    """A client, once the socket is there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def there():
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            sock.connect(address)
            return True
    wait_for(there, "the socket")
    return Peer(sock)


class Listen(wire.unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(self.folder, "socket")

    def server(self, **kwargs):
        return Server(f"path={self.path}", **kwargs)

    def check(self, address=None):
        """A client is served, and goes."""
        peer = connect(address or self.path)
        self.assertEqual(peer.cfg_read(0, 2), 0x1234)
        peer.close()

    def check_stopped(self, server, status=EXIT_CLEAN):
        self.assertEqual(server.stop(), status, server.said())
        self.assertIn("terminating on signal 15", server.said())
        self.assertFalse(os.path.lexists(self.path))


class Clients(Listen):
    def test_one_after_the_other(self):
        with self.server() as server:
            for _ in range(wire.thin(50, 3)):
                self.check()
            self.check_stopped(server)
            self.assertRegex(server.log(), r"\A[^\n]*terminating on[^\n]*\n\Z")

    def test_as_new(self):
        """The next client finds the device as the first one did, and none of its RAM or fds."""
        with self.server() as server, mpq.Ram(1 << 20) as ram, mpq.Event() as irq, \
                mpq.Event() as resample:
            peer = connect(self.path)
            peer.cfg_read(0, 2)
            before = server.device_fds()
            edu = Edu(peer)
            peer.sync_sysmem([ram.region()])
            peer.set_irqfd(irq.fd, resample.fd)
            edu.write(Edu.LIVENESS, 0x12345678)
            edu.write(Edu.IRQ_RAISE, 1)
            irq.wait()
            peer.close()
            peer = connect(self.path)
            self.assertEqual([peer.cfg_read(at, 4) for at in (4, 0x10)], [0, 0])
            after = server.device_fds()
            self.assertEqual(sorted(after), sorted(before))
            self.assertNotEqual(after.pop(16), before.pop(16), "another socket in its place")
            self.assertEqual(after, before)
            edu = Edu(peer)
            self.assertEqual(edu.read(Edu.IRQ_STATUS), 0)
            self.assertNotEqual(edu.read(Edu.LIVENESS), ~0x12345678 & 0xffffffff)
            self.assertEqual(irq.take(), 0)
            peer.close()
            self.check_stopped(server)

    def test_next_waits(self):
        """While one is served the next is in the backlog, with what it has said already."""
        with self.server() as server:
            first = connect(self.path)
            self.assertEqual(first.cfg_read(0, 2), 0x1234)
            following = [connect(self.path) for _ in range(3)]
            for peer in following:
                peer.send_raw(mpq.sample(Cmd.PCI_CFGREAD))
            self.assertTrue(following[0].quiet(0.2))
            self.assertEqual(first.cfg_read(2, 2), 0x11e8)
            for last, peer in zip([first, *following], following):
                last.close()
                self.assertEqual(peer.ret(), 0x1234)
            following[-1].close()
            self.check_stopped(server)

    def test_gone_before_they_are_served(self):
        with self.server() as server:
            for i in range(wire.thin(200, 10)):
                peer = connect(self.path)
                if i % 2:
                    peer.send_raw(mpq.sample(Cmd.PCI_CFGREAD)[:i % 24 + 1])
                peer.close()
            self.check()
            wait_for(lambda: not [n for n in server.device_fds() if 128 <= n < 192],
                     "no received fd is left")
            self.check_stopped(server)

    def test_gone_with_replies_unread(self):
        """What is left to send to one is not sent to the next."""
        with self.server() as server:
            peer = connect(self.path)
            peer.sock.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                while True:
                    peer.sock.sendall(mpq.sample(Cmd.BAR_READ) * 1000)
            peer.close()
            self.check()
            self.check_stopped(server)

    def test_bad_client(self):
        """Its session ends; the next one's does not suffer, and the status is not the first's."""
        with self.server() as server:
            peer = connect(self.path)
            peer.send_raw(b"\xff" * 16 + bytes(1000))
            self.assertTrue(peer.ended())
            peer.close()
            self.check()
            self.check_stopped(server)
            self.assertIn("unknown command 0xffffffff", server.said())

    def test_stop_while_one_waits(self):
        with self.server() as server:
            first, second = connect(self.path), connect(self.path)
            self.assertEqual(first.cfg_read(0, 2), 0x1234)
            self.check_stopped(server)
            for peer in (first, second):
                self.assertTrue(peer.ended())
                peer.close()

    def test_two_devices(self):
        """Each has its own socket; one's client is nothing to the other."""
        other = self.path + "2"
        with Server(f"path={self.path}", f"path={other}") as server:
            first = connect(self.path)
            self.assertEqual(first.cfg_read(0, 2), 0x1234)
            for _ in range(3):
                self.check(other)
            self.assertEqual(first.cfg_read(0, 2), 0x1234)
            first.close()
            self.check()
            self.check_stopped(server)
            self.assertFalse(os.path.lexists(other))

    def test_beside_a_peer_that_is_there(self):
        """A device with a connected socket: its end is not the process's."""
        ours, theirs = socket.socketpair()
        with Server(f"path={self.path}", f"fd={theirs.fileno()}",
                    pass_fds=[theirs.fileno()]) as server:
            theirs.close()
            peer = Peer(ours)
            self.assertEqual(peer.cfg_read(0, 2), 0x1234)
            self.check()
            peer.close()
            self.check()
            self.check_stopped(server)


class End(Listen):
    def test_auto_shutdown(self):
        """Once every device has had a client, and all are gone."""
        other = self.path + "2"
        with Server(f"path={self.path}", f"path={other}",
                    extra=["-machine", "x-remote,auto-shutdown=on"]) as server:
            self.check()
            self.check()
            peer = connect(other)
            self.assertEqual(peer.cfg_read(0, 2), 0x1234)
            self.check()
            peer.close()
            self.assertEqual(server.wait(), EXIT_CLEAN, server.said())
            self.assertEqual(server.log(), "")
        self.assertEqual(os.listdir(self.folder), [])

    def test_status_of_the_last(self):
        with self.server(extra=["-machine", "x-remote,auto-shutdown=on"]) as server:
            peer = connect(self.path)
            peer.send_raw(b"\xff" * 16)
            self.assertTrue(peer.ended())
            self.assertEqual(server.wait(), EXIT_PROTOCOL, server.said())

    def test_connected_alone(self):
        """A server's fd that is connected is the one peer, as without server=on."""
        ours, theirs = socket.socketpair()
        with Server(f"fd={theirs.fileno()}", pass_fds=[theirs.fileno()]) as server:
            theirs.close()
            peer = Peer(ours)
            self.assertEqual(peer.cfg_read(0, 2), 0x1234)
            peer.close()
            self.assertEqual(server.wait(), EXIT_CLEAN, server.said())

    def test_device_process_killed(self):
        with self.server() as server:
            self.check()
            os.kill(server.device_pid(), signal.SIGKILL)
            self.assertEqual(server.wait(), 128 + signal.SIGKILL, server.said())
            self.assertFalse(os.path.lexists(self.path))

    def test_keeper_killed(self):
        """Whoever waits sees the end; the name stays, and is no obstacle to the next."""
        with self.server() as server:
            self.check()
            device = server.device_pid()
            server.proc.kill()
            wait_for(lambda: not os.path.exists(f"/proc/{device}"), "the device process's end")
        self.assertTrue(os.path.lexists(self.path))
        with self.server() as server:
            self.check()
            self.check_stopped(server)


class Path(Listen):
    def refused(self, words, **kwargs):
        with self.server(**kwargs) as server:
            self.assertEqual(server.wait(), EXIT_START, server.said())
            self.assertRegex(server.said(), rf"\Ampqemu-remote: -object [^\n]*{words}[^\n]*\n\Z")

    def test_mode(self):
        """Who may connect is whom the umask lets write."""
        for mask, mode in ((0o022, 0o600), (0o077, 0o600), (0o002, 0o660), (0, 0o666)):
            with self.subTest(mask), self.server(umask=mask) as server:
                self.check()
                self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), mode)
                self.check_stopped(server)

    def test_left_behind(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(self.path)
        with self.server() as server:
            self.check()
            self.check_stopped(server)

    def test_another_s(self):
        """One that somebody has, listening or not yet: it stays, and its owner hears nothing."""
        for listens in (True, False):
            with self.subTest(listens), socket.socket(socket.AF_UNIX) as sock:
                sock.bind(self.path)
                if listens:
                    sock.listen()
                    sock.setblocking(False)
                self.refused("Failed to bind socket to [^\n]*: another process has it")
                if listens:
                    self.assertRaises(BlockingIOError, sock.accept)
                self.assertTrue(os.path.exists(self.path))
            os.unlink(self.path)

    def test_not_a_socket(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("precious")
        self.refused("Failed to bind socket to [^\n]*: Address already in use")
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")
        os.unlink(self.path)
        os.symlink("nowhere", self.path)
        self.refused("Failed to bind socket to [^\n]*: Address already in use")
        self.assertTrue(os.path.islink(self.path))

    def test_cannot_be(self):
        self.path = "/nonexistent/socket"
        self.refused("Failed to bind socket to '/nonexistent/socket': No such file")
        self.path = "/" + "x" * 108
        self.refused("File name too long")

    def test_failed_start(self):
        """What comes after cannot be had: the name goes away again."""
        self.refused("", extra=["-object", "x-remote-object,id=x,devid=e1,fd=999",
                                "-device", "edu,id=e1"])
        self.assertFalse(os.path.lexists(self.path))

    def test_taken_over(self):
        """A name that is another's at the end is left to it."""
        with self.server() as server:
            self.check()
            os.unlink(self.path)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(self.path)
                self.assertEqual(server.stop(), EXIT_CLEAN, server.said())
            self.assertTrue(os.path.exists(self.path))

    def test_gone(self):
        with self.server() as server:
            self.check()
            os.unlink(self.path)
            self.assertEqual(server.stop(), EXIT_CLEAN, server.said())

    def test_relative(self):
        with Server("path=socket", cwd=self.folder) as server:
            self.check()
            self.check_stopped(server)

    def test_abstract(self):
        name = f"mpqemu-listen-{os.getpid()}"
        with Server(f"path=@{name}") as server:
            for _ in range(3):
                self.check("\0" + name)
            self.assertEqual(server.stop(), EXIT_CLEAN, server.said())


class Inherited(Listen):
    """A socket that listens already: of a service manager, or by its number."""

    def listener(self):
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.bind(self.path)
        sock.listen()
        return sock

    def test_number(self):
        sock = self.listener()
        with Server(f"fd={sock.fileno()}", pass_fds=[sock.fileno()]) as server:
            for _ in range(3):
                self.check()
            self.assertEqual(server.stop(), EXIT_CLEAN, server.said())
        self.assertTrue(os.path.exists(self.path), "it is its owner's")

    def test_name(self):
        sock = self.listener()
        shell = ["sh", "-c", 'exec env LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=scsi "$@" 3<&0 '
                 "</dev/null", "sh"]
        if mpq.wrapper():
            self.skipTest("the wrapper is another process")
        argv = [*shell, mpq.program("mpqemu-remote"), "-device", "edu,id=e0", "-object",
                "x-remote-object,id=r,devid=e0,server=on,fd=scsi"]
        proc = subprocess.Popen(argv, stdin=sock, stderr=subprocess.DEVNULL)
        for _ in range(3):
            self.check()
        proc.terminate()
        self.assertEqual(proc.wait(TIMEOUT), EXIT_CLEAN)


class Ready(Listen):
    def test_pidfile(self):
        """All is set up before the first client comes."""
        pid = os.path.join(self.folder, "pid")
        with self.server(extra=["-pidfile", pid]) as server:
            wait_for(lambda: os.path.exists(pid) and os.path.getsize(pid), "the pid file")
            self.check()
            self.check_stopped(server)
            self.assertFalse(os.path.exists(pid))

    @wire.not_wrapped("valgrind keeps stderr open in the daemon")
    def test_daemonize(self):
        pid = os.path.join(self.folder, "pid")
        with self.server(extra=["-daemonize", "-pidfile", pid]) as server:
            self.assertEqual(server.wait(), EXIT_CLEAN, server.said())
            for _ in range(3):
                self.check()
            with open(pid, encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGTERM)
            wait_for(lambda: not os.path.exists(pid), "the end of the daemon")
            self.assertFalse(os.path.lexists(self.path))


if __name__ == "__main__":
    wire.tap.main()
