#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-proxy record and replay: what passes, records that are altered, truncated, hostile."""
import os
import re
import signal
import socket
import subprocess
import tempfile

import wire
import mpq
from mpq import Cmd, Edu, TIMEOUT, Closed

EXIT_USAGE, EXIT_REMOTE, EXIT_DIFFERENT = 1, 2, 3
BASE = 0x10000
NUMBER = 40                     # where the remote expects its socket

HEADER = "mpqemu-record 1\ncommand x\ndma yes\n"
SYNC = "0.000000 > SYNC_SYSMEM 0x0+0x100000@0:0x0\n"


def remote(driver="edu", extra=(), program=None):
    return ["--", *(program or [mpq.program("mpqemu-remote"), *mpq.sandbox()]), "-machine",
            "x-remote", "-device", f"{driver},id=e0", "-object",
            f"x-remote-object,id=r0,devid=e0,fd={NUMBER}", *extra]


def plain(text):
    """Without the line of the sandbox, and what valgrind has to say of a call that it knows not."""
    return mpq.without_level(re.sub(r"^--\d+-- .*\n", "", text, flags=re.M))


class Recording(mpq.Remote):
    """mpqemu-proxy record in the place of a remote: with the socket where that would have it."""

    def __init__(self, path, command, options=()):
        ours, theirs = socket.socketpair()
        os.dup2(theirs.fileno(), NUMBER)
        argv = [mpq.program("mpqemu-proxy"), "record", "--output", path, *options, *command]
        with socket.socket(fileno=NUMBER) as placed:
            super().__init__(argv, [(ours, theirs)], tempfile.TemporaryFile(),
                             pass_fds=[placed.fileno()])


def replay(path, command=None):
    return subprocess.run([*mpq.wrapper(), mpq.program("mpqemu-proxy"), "replay", path,
                           *(command or remote())], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)


class RecordTest(wire.unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "a.rec")

    def text(self):
        with open(self.path, encoding="ascii") as file:
            return file.read()

    def write(self, text):
        with open(self.path, "w", encoding="latin-1", newline="") as file:
            file.write(text)

    def session(self, peer, ram, irq, resample):
        """DMA in both directions, interrupts, a reset: all that the teaching device has."""
        peer.sync_sysmem([ram.region()])
        peer.set_irqfd(irq.fd, resample.fd)
        edu = Edu(peer)
        ram.map[BASE:BASE + 5000] = bytes(i * 7 % 256 for i in range(5000))
        edu.load(BASE + 3, 4000)
        edu.store(BASE + 0x3001, 4000)
        self.assertEqual(ram.map[BASE + 0x3001:BASE + 0x3001 + 4000], ram.map[BASE + 3:BASE + 4003])
        ram.map[BASE + 3:BASE + 103] = b"x" * 100
        edu.load(BASE, 200)
        edu.store(BASE + 0x5000, 100)
        edu.write(Edu.IRQ_RAISE, 5)
        irq.wait()
        resample.signal()
        irq.wait()                          # the line is still up
        self.assertEqual(edu.read(Edu.IRQ_STATUS), 5)
        edu.write(Edu.IRQ_ACK, 5)
        edu.write(Edu.FACTORIAL, 6)
        mpq.wait_for(lambda: not edu.read(Edu.STATUS) & 1, "a factorial")
        self.assertEqual(edu.read(Edu.FACTORIAL), 720)
        peer.reset()

    def record(self, command=None):
        with mpq.Ram(1 << 20) as ram, mpq.Event() as irq, mpq.Event() as resample, \
                Recording(self.path, command or remote()) as recording:
            self.session(recording.peer, ram, irq, resample)
            self.assertEqual(recording.finish(), 0, recording.log())
            self.assertEqual(plain(recording.log()), "")

    def check(self, done, status, pattern):
        self.assertEqual((done.returncode, plain(done.stderr)), (status, ""),
                         done.stdout + done.stderr)
        self.assertRegex(done.stdout, pattern)

    # ---- hostile files ----

    def test_output_that_is_something_else(self):
        """A disk is not recorded over, nor any record whose successor cannot begin."""
        self.write("a disk, for example")
        fifo = self.path + ".fifo"
        os.mkfifo(fifo)
        for path, words in ((self.path, "it is no record: it stays as it is"),
                            (fifo, "expected a file"),
                            (os.path.dirname(self.path), "Is a directory")):
            with self.subTest(words), Recording(path, remote()) as recording:
                self.assertEqual(recording.wait(), EXIT_REMOTE)
                self.assertEqual(plain(recording.log()),
                                 f"mpqemu-proxy: record: --output {path}: {words}\n")
        self.assertEqual(self.text(), "a disk, for example")
        self.write(HEADER)
        with Recording(self.path, remote(program=["/nonexistent"])) as recording:
            self.assertEqual(recording.wait(), EXIT_REMOTE)
        self.assertEqual(self.text(), HEADER)

    def test_replay_of_a_remote_that_dies(self):
        """It waits for what does not happen; the remote's end ends that."""
        self.write(HEADER + SYNC + "0.000001 > PCI_CFGREAD 0x0 4\n0.000002 < RET 0x11e81234\n"
                   "0.1 dma write 0x10 1 01\n0.2 > PCI_CFGREAD 0x0 4\n"
                   "0.2 < RET 0x11e81234\n0.3 end\n")
        script = 'echo $$ >"$0"; exec "$@"'
        pidfile = self.path + ".pid"
        command = ["--", "sh", "-c", script, pidfile, *remote()[1:]]
        with subprocess.Popen([*mpq.wrapper(), mpq.program("mpqemu-proxy"), "replay", self.path,
                               *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as proc:
            mpq.wait_for(lambda: os.path.exists(pidfile) and open(pidfile).read().strip(),
                         "the remote")
            os.kill(int(open(pidfile).read()), signal.SIGKILL)
            out, err = proc.communicate(timeout=TIMEOUT)
        self.assertEqual(proc.returncode, EXIT_REMOTE, out + err)
        self.assertIn("the remote", err)

    def test_bad_records(self):
        rows = [
            ("", 1, "expected mpqemu-record , found the end"),
            ("\0\n", 1, "expected the end of the line"),
            ("mpqemu-record 2\n", 1, "version 2 of the format is not known, expected 1"),
            ("mpqemu-record 99999999999999999999\n", 1, "expected a version"),
            ("mpqemu-record 1\ndma yes\n", 2, "expected command"),
            ("mpqemu-record 1\ncommand x\ndma maybe\n", 3, "expected yes or no"),
            (HEADER, 4, "the record is cut short"),
            (HEADER + SYNC, 5, "the record is cut short"),
            (HEADER + SYNC[:-1], 4, "expected the end of the line, found that of the file"),
            (HEADER + "0.0 nonsense\n", 4,
             "expected one of > < dma ram irq eoi end, found 'nonsense'"),
            (HEADER + "0.0 irqs\n", 4, "expected the end of the line, found 's'"),
            (HEADER + "-1.0 irq\n", 4, "expected a time"),
            (HEADER + "0.0 > RESET\n", 4, "expected a message"),
            (HEADER + "0.0 > SYNC_SYSMEM\n", 4, "expected a region"),
            (HEADER + "0.0 > SYNC_SYSMEM 0x0+0x1000@9:0x0\n", 4, "expected FILE, 0 to 7"),
            (HEADER + "0.0 > SYNC_SYSMEM" + " 0x0+0x1@0:0x0" * 9 + "\n", 4, "at most 8 regions"),
            (HEADER + "0.0 > PCI_CFGREAD 0x10\n", 4, "expected a length"),
            (HEADER + "0.0 > PCI_CFGREAD 0x100000000 4\n", 4, "expected 0xOFFSET"),
            (HEADER + "0.0 > BAR_READ port 0x0 4\n", 4, "expected mem or io"),
            (HEADER + "0.0 > BAR_WRITE io 0x0 4 12\n", 4, "expected 0xVALUE"),
            (HEADER + "0.0 < RET 0x\n", 4, "expected a value"),
            (HEADER + "0.0 dma move 0x0 1 00\n", 4, "expected read or write"),
            (HEADER + "0.0 dma read 0x0 0 \n", 4, "expected 1 byte or more"),
            (HEADER + "0.0 dma read 0x0 4097 00*4097\n", 4, "at most 4096"),
            (HEADER + "0.0 dma read 0xffffffffffffffff 2 0000\n", 4, "below 2"),
            (HEADER + "0.0 dma read 0x0 2 00\n", 4, "expected a byte in hex, found the end"),
            (HEADER + "0.0 dma read 0x0 2 000000\n", 4, "expected the end of the line"),
            (HEADER + "0.0 dma read 0x0 20 00*19\n", 4, "as many bytes as the DMA has"),
            (HEADER + "0.0 dma read 0x0 8 sum 0x1\n", 4, "expected a byte in hex"),
            (HEADER + "0.0 end\n0.0 irq\n", 5, "expected nothing more after the end"),
            (HEADER + "0.0 end unusable: 7 lost\n", 4, "the record is unusable: 7 lost"),
            (HEADER + "x" * 20000 + "\n", 4, "expected the end of the line, found 16384 bytes"),
            # well-formed lines that make no sense
            (HEADER + "0.0 < RET 0x0\n0.0 end\n", 4, "expected a message that this RET answers"),
            (HEADER + "0.0 > DEVICE_RESET\n0.0 end\n", 4, "expected a RET before the next message"),
            (HEADER + "0.0 dma read 0x0 1 00\n0.0 end\n", 4, "that the last SYNC_SYSMEM has"),
            (HEADER + SYNC + "0.0 dma read 0xfffff 2 0000\n0.0 end\n", 5, "found 0x100000"),
            (HEADER + "0.0 > SYNC_SYSMEM 0x0+0xffffffffffffffff@0:0x1\n0.0 end\n", 4, "64 TiB"),
        ]
        for text, line, words in rows:
            with self.subTest(text=text[:80]):
                self.write(text)
                done = replay(self.path)
                said = plain(done.stderr)
                self.assertEqual(done.returncode, EXIT_USAGE, said)
                self.assertTrue(said.startswith(f"mpqemu-proxy: {self.path}:{line}: "), said)
                self.assertIn(words, said)
                self.assertEqual(said.count("\n"), 1, said)

    def test_usage(self):
        def run(*args):
            done = subprocess.run([*mpq.wrapper(), mpq.program("mpqemu-proxy"), *args], text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=TIMEOUT)
            self.assertEqual((done.returncode, done.stdout), (EXIT_USAGE, ""), done.stderr)
            self.assertEqual(plain(done.stderr).count("\n"), 1, done.stderr)
            return done.stderr
        out = ["record", "--output", self.path]
        two = ["-device", "edu,id=e1", "-object", "x-remote-object,id=r1,devid=e1,fd=41"]
        vfio = ["--", mpq.program("mpqemu-remote"), "-machine", "x-remote,vfio-user=on", "-device",
                "edu,id=e0", "-object", "x-vfio-user-server,id=v,device=e0,type=fd,str=40"]
        self.assertIn("expected --output FILE", run("record", *remote()))
        self.assertIn("expected '-- REMOTE-COMMAND", run(*out))
        self.assertIn("--output and --fd", run(*out, "--device", "e0", *remote()))
        self.assertIn("2 devices, and one can be recorded", run(*out, *remote(extra=two)))
        self.assertIn("speaks vfio-user, and only mpqemu can be recorded", run(*out, *vfio))
        self.assertIn("fd 40 of the VM: Bad file descriptor", run(*out, *remote()))
        self.assertIn("fd 0 of the VM: Socket operation on non-socket",
                      run(*out, "--fd", "0", *remote()))
        self.assertIn("expected a FILE", run("replay", *remote()))
        self.assertIn("No such file or directory", run("replay", self.path, *remote()))
        self.write(HEADER + "0.0 end\n")
        self.assertIn("for us to give", run("replay", self.path, *remote(extra=["--trace=fd=9"])))
        self.assertIn("one -object x-remote-object", run("replay", self.path, *vfio))

    def test_trace_refuses_what_is_no_ring(self):
        with tempfile.TemporaryFile() as file, mpq.Ram(1 << 17) as ram:
            for fd in (file.fileno(), ram.fd):
                pair = socket.socketpair()
                with mpq.Remote([mpq.program("mpqemu-remote"), *mpq.sandbox(), "-machine",
                                 "x-remote", f"--trace=fd={fd}", "-device", "edu,id=e0",
                                 "-object", f"x-remote-object,id=r,devid=e0,fd={pair[1].fileno()}"],
                                [pair], tempfile.TemporaryFile(), pass_fds=[fd]) as process:
                    self.assertEqual(process.wait(), mpq.EXIT_START)
                    self.assertIn("it is no ring", process.log())

    # ---- what is recorded ----

    def test_record_and_replay(self):
        self.record()
        text = self.text()
        self.assertIn("dma yes\n", text)
        self.assertRegex(text, r"> BAR_READ mem 0xfea00024 4 ?.*\n\S+ < RET 0x5\n")
        self.assertEqual(len(re.findall(r" irq\n", text)), 2)
        self.assertEqual(len(re.findall(r" eoi\n", text)), 1)
        self.assertIn(" dma read 0x10003 4000 151c232a", text)
        self.assertIn(" dma write 0x13001 4000 sum 0x", text)
        self.assertRegex(text, r" end\n\Z")
        self.check(replay(self.path), 0, "DMA reads, .* 2 interrupts: all agree")

    def test_replies_alone(self):
        """A remote that has no trace: the program has another name."""
        program = ["/usr/bin/env", "-S", " ".join([mpq.program("mpqemu-remote"), *mpq.sandbox()])]
        self.record(remote(program=program))
        self.assertIn("dma no\n", self.text())
        self.assertIn(" irq\n", self.text())
        self.record()
        self.check(replay(self.path, remote(program=program)), 0, r"replies and interrupts only")

    def test_alterations_are_found(self):
        self.record()
        text = self.text()
        rows = [
            (r"< RET 0x2d0\n", "< RET 0x2d1\n", "now 0x2d0, to > BAR_READ"),
            (r"(dma write 0x15000) 100 ", r"dma write 0x15008 100 ", "now dma write 0x15000 100"),
            (r"(dma write 0x13001 4000 sum 0x)\w{4}", r"\g<1>0000", "now with other data"),
            (r"\S+ dma read 0x10000 .*\n", "", "now dma read 0x10000 200"),
        ]
        for pattern, other, words in rows:
            with self.subTest(pattern=pattern):
                changed, count = re.subn(pattern, other, text, count=1)
                self.assertEqual(count, 1)
                self.write(changed)
                line = text[:re.search(pattern, text).start()].count("\n") + 1
                # of a line that is gone the next of its kind differs
                line = line if other else r"\d+"
                self.check(replay(self.path), EXIT_DIFFERENT, f"(?m)^{self.path}:{line}: .*{words}")

    def test_another_device(self):
        self.record()
        done = replay(self.path, remote("lsi53c895a"))
        self.assertEqual(done.returncode, EXIT_DIFFERENT, done.stderr)

    def test_slot_of_the_trace(self):
        """The device process has the ring's memfd in its slot, and nothing else of the recorder."""
        with Recording(self.path, remote()) as recording:
            recording.peer.cfg_read(0, 4)
            device = mpq.children(mpq.children(recording.proc.pid)[0])[0]
            fds = mpq.fds(device)
            self.assertRegex(fds[10], "^/memfd:mpqemu-trace ")
            self.assertEqual([n for n, name in fds.items() if "trace" in name], [10])
            self.assertEqual(recording.finish(), 0)

    # ---- what passes ----

    def test_messages_in_pieces(self):
        with mpq.Ram(1 << 20) as ram, mpq.Event() as irq, mpq.Event() as resample, \
                Recording(self.path, remote()) as recording:
            peer = recording.peer
            for piece, fds in ((mpq.message(Cmd.SYNC_SYSMEM, mpq.sysmem([ram.region()])), [ram.fd]),
                               (mpq.message(Cmd.SET_IRQFD), [irq.fd, resample.fd]),
                               (mpq.message(Cmd.PCI_CFGREAD, mpq.cfg(0, 0, 4)), [])):
                for i in range(len(piece)):
                    peer.send_raw(piece[i:i + 1], fds if i == 0 else ())
            self.assertEqual(peer.ret(), 0x11e81234)
            Edu(peer).write(Edu.IRQ_RAISE, 1)
            irq.wait()
            # all at once: fds stay with their own message
            peer.send_raw(mpq.message(Cmd.PCI_CFGREAD, mpq.cfg(0, 0, 2)))
            peer.sync_sysmem([ram.region()])
            peer.set_irqfd(irq.fd, resample.fd)
            self.assertEqual(peer.ret(), 0x1234)
            irq.wait()
            self.assertEqual(peer.cfg_read(2, 2), 0x11e8)
            self.assertEqual(recording.finish(), 0, recording.log())
        self.check(replay(self.path), 0, "all agree")

    def test_death_in_a_message(self):
        with Recording(self.path, remote()) as recording:
            recording.peer.send_raw(mpq.message(Cmd.PCI_CFGREAD, mpq.cfg(0, 0, 4))[:9])
            self.assertEqual(recording.finish(), mpq.EXIT_MID_MESSAGE)
            self.assertIn("peer died in the middle of a message", recording.log())

    def test_nonsense_passes(self):
        """The remote hears it and ends the session; the record says that it is of no use."""
        with Recording(self.path, remote()) as recording:
            recording.peer.send_raw(b"\xff" * 300)
            self.assertTrue(recording.peer.ended())
            self.assertEqual(recording.wait(), mpq.EXIT_PROTOCOL)
            self.assertIn("unknown command", recording.log())
            self.assertIn("the VM sent what is no message", recording.log())
        self.assertIn(" end unusable: the VM sent", self.text())

    def test_too_many_fds_pass(self):
        with mpq.Ram(4096) as ram, Recording(self.path, remote()) as recording:
            recording.peer.send(Cmd.SYNC_SYSMEM, bytes(192), [ram.fd] * 12)
            self.assertTrue(recording.peer.ended())
            self.assertEqual(recording.wait(), mpq.EXIT_PROTOCOL)

    def test_death_of_the_remote(self):
        with Recording(self.path, remote()) as recording:
            recording.peer.cfg_read(0, 4)
            child = recording.device_pid()
            os.kill(child, signal.SIGKILL)
            self.assertTrue(recording.peer.ended())
            self.assertNotEqual(recording.wait(), 0)
            with self.assertRaises(Closed):
                recording.peer.send(Cmd.PCI_CFGREAD, mpq.cfg(0, 0, 4))

    def test_half_closed(self):
        """What was asked before the end is answered."""
        with Recording(self.path, remote()) as recording:
            recording.peer.send(Cmd.PCI_CFGREAD, mpq.cfg(0, 0, 4))
            recording.peer.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(recording.peer.ret(), 0x11e81234)
            self.assertTrue(recording.peer.ended())
            self.assertEqual(recording.wait(), 0)

    def test_signal_ends_the_remote_in_order(self):
        with Recording(self.path, remote()) as recording:
            recording.peer.cfg_read(0, 4)
            recording.proc.send_signal(signal.SIGTERM)
            self.assertTrue(recording.peer.ended())
            self.assertEqual(recording.wait(), 0, recording.log())
        self.check(replay(self.path), 0, "all agree")


if __name__ == "__main__":
    wire.tap.main()
