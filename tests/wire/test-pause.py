#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-remote --control=: a VM's pause reaches its devices, which stand still and answer."""
import errno
import os
import signal
import socket
import struct
import tempfile
import time

import wire
import lsi
import mpq
import vfu
from mpq import Edu, Ram, Remote
from supervise import Cause, Supervisor, Type

MIB = 1 << 20
JUMP, STORE = 0x80080000, 0xc0000004       # a SCRIPTS jump; a Memory Move of 4 bytes
STILL = 0.05    # a wait that can only miss a fault, never invent one


class Control(wire.unittest.TestCase):
    """A remote with a supervisor; ends cleanly unless a test says otherwise."""

    def start(self, devices=("edu,id=e0",), extra=(), pass_fds=()):
        self.control = Supervisor()
        self.addCleanup(self.control.close)
        self.remote = Remote.start(list(devices), [self.control.option, *extra],
                                   pass_fds=[self.control.theirs, *pass_fds])
        self.addCleanup(self.remote.__exit__)
        self.device = self.control.started()
        self.peer = self.remote.peer

    def ram(self):
        ram = Ram(MIB)
        self.addCleanup(ram.close)
        self.peer.sync_sysmem([ram.region()])
        self.peer.cfg_read(0, 2)        # it is carried out now
        return ram

    def gone(self, status):
        self.assertEqual(self.control.recv(), (Type.GONE, 0, 0, status))
        self.assertIsNone(self.control.recv())

    def end(self, status=mpq.EXIT_CLEAN):
        self.peer.close()
        self.gone(status)
        self.assertEqual(self.remote.wait(), status, self.remote.log())


class Hostile(Control):
    def test_wrong_fds(self):
        plain, stream = os.open("/dev/null", os.O_RDWR), Supervisor(socket.SOCK_STREAM)
        self.addCleanup(os.close, plain)
        self.addCleanup(stream.close)
        for option, why, fd in (
                ("--control=/run/x", "it takes fd=N", plain),
                ("--control=fd=x", "it takes a number, 3 or more", plain),
                ("--control=fd=900", "Bad file descriptor", plain),
                (f"--control=fd={plain}", "Socket operation on non-socket", plain),
                (stream.option, "it is no seqpacket socket", stream.theirs)):
            with Remote.edu([option], pass_fds=[fd]) as remote:
                self.assertEqual(remote.finish(), mpq.EXIT_START)
                self.assertIn(f"{option}: ", remote.log())
                self.assertIn(why, remote.log())

    def test_no_requests(self):
        """What is no request ends the channel; the devices are served as before."""
        good = struct.pack("<4I", Type.PAUSE, 1, 0, 0)
        for packet in (good[:-1], good + b"\0", struct.pack("<4I", Type.PAUSED, 1, 0, 0),
                       struct.pack("<4I", 11, 1, 0, 0), struct.pack("<4I", 1 << 31, 1, 0, 0)):
            self.start()
            self.control.sock.send(packet)
            self.assertIsNone(self.control.recv())
            self.assertEqual(self.peer.cfg_read(0, 2), 0x1234)
            self.peer.close()
            self.assertEqual(self.remote.wait(), mpq.EXIT_CLEAN)
            self.assertIn("--control: it is no request; it is not used any more",
                          self.remote.log())

    def test_deaf_supervisor(self):
        """One that asks and never reads loses the channel, and what was paused goes on."""
        self.start()
        edu = Edu(self.peer)
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for _ in range(100000):
                self.control.send(Type.PAUSE)
        edu.write(Edu.FACTORIAL, 5)
        mpq.wait_for(lambda: edu.read(Edu.FACTORIAL) == 120, "the device to go on")
        self.peer.close()
        self.assertEqual(self.remote.wait(), mpq.EXIT_CLEAN)
        self.assertEqual(self.remote.log().count("\n"), 1)
        self.assertIn("--control: what is told is not read; the devices, which were paused, go on",
                      self.remote.log())


class Pause(Control):
    def test_order(self):
        self.start()
        self.control.resume()
        self.control.pause()
        self.control.answer(Type.REFUSED, self.control.send(Type.PAUSE), errno.EALREADY)
        self.control.answer(Type.REFUSED, self.control.send(Type.RESTART), errno.ENOTSUP)
        self.control.resume()
        self.control.resume()
        for _ in range(50):
            self.control.pause()
            self.control.resume()
        self.end()

    def test_registers_are_served(self):
        self.start()
        edu = Edu(self.peer)
        self.control.pause()
        edu.write(Edu.LIVENESS, 0x1234)
        self.assertEqual(edu.read(Edu.LIVENESS), 0xffffedcb)
        self.assertEqual(self.peer.cfg_read(0, 4), 0x11e81234)
        self.peer.reset()
        self.control.resume()
        self.end()

    def test_edu_dma(self):
        """A transfer under way is made when the VM goes on, after the time that it still had."""
        self.start()
        ram, edu = self.ram(), Edu(self.peer)
        ram.map[0x100:0x104] = b"back"
        edu.dma_start(Edu.BUFFER, 0x100, 4, Edu.TO_RAM)
        self.control.pause()
        before = time.monotonic()
        time.sleep(0.15)        # it takes 0.1 s
        self.assertEqual(ram.map[0x100:0x104], b"back")
        held = time.monotonic() - before
        self.assertTrue(edu.read(Edu.DMA_CMD) & Edu.START)
        self.control.resume()
        mpq.wait_for(lambda: not edu.read(Edu.DMA_CMD) & Edu.START, "the transfer")
        self.assertGreaterEqual(time.monotonic() - before, held)
        self.assertEqual(ram.map[0x100:0x104], bytes(4))
        self.end()

    def test_stopped_while_paused(self):
        self.start()
        self.control.pause()
        self.remote.proc.terminate()
        self.gone(mpq.EXIT_CLEAN)

    def test_killed_while_paused(self):
        self.start()
        self.control.pause()
        os.kill(self.device, signal.SIGKILL)
        self.assertEqual(self.control.recv(),
                         (Type.CRASHED, 0, Cause.SIGNAL, signal.SIGKILL))
        self.gone(128 + signal.SIGKILL)

    def test_supervisor_gone(self):
        """Nobody else could let the devices go on."""
        self.start()
        edu = Edu(self.peer)
        self.control.pause()
        edu.write(Edu.FACTORIAL, 5)
        self.control.close()
        mpq.wait_for(lambda: edu.read(Edu.FACTORIAL) == 120, "the device to go on")
        self.peer.close()
        self.assertEqual(self.remote.wait(), mpq.EXIT_CLEAN)
        self.assertIn("--control: the other end is gone; the devices, which were paused, go on",
                      self.remote.log())


class Disk(Control):
    """The SCSI controller: its script, and a command on its disk."""

    def start_disk(self, drive):
        self.start(["lsi53c895a,id=lsi0"],
                   ["-drive", f"id=d0,if=none,{drive}", "-device",
                    "scsi-hd,drive=d0,bus=lsi0.0,scsi-id=0"])
        self.mem = self.ram()
        return lsi.Lsi(self.peer, self.mem)

    def image(self):
        file = tempfile.NamedTemporaryFile()
        self.addCleanup(file.close)
        file.truncate(MIB)
        return file

    def test_script(self):
        """One that writes to guest RAM for ever does not while the VM stands still."""
        chip = self.start_disk("driver=null-co,size=1M")
        code = struct.pack("<5I", STORE, 0x30000, 0x30004, JUMP, 0x20000)
        chip.ram.map[0x20000:0x20000 + len(code)] = code
        chip.write(lsi.DSP, 0x20000, 4)

        def runs():
            chip.ram.map[0x30004:0x30008] = b"none"
            chip.read(lsi.ISTAT0)
            return chip.ram.map[0x30004:0x30008] != b"none"
        mpq.wait_for(runs, "the script")
        for _ in range(20):
            self.control.pause()
            chip.ram.map[0x30004:0x30008] = b"none"
            for _ in range(20):
                chip.read(lsi.ISTAT0)
            self.assertEqual(chip.ram.map[0x30004:0x30008], b"none")
            self.control.resume()
            mpq.wait_for(runs, "the script to go on")
        self.end()

    def test_request_under_way(self):
        """It ends on the host before PAUSED is said, and reaches guest RAM after the pause."""
        chip = self.start_disk("driver=null-co,size=1M,latency-ns=50000000")
        chip.ready()
        for _ in range(5):
            chip.ram.map[0x40000:0x40004] = b"none"
            chip.start(lsi.read10(0, 8), 0x40000, 4096)
            self.control.pause()
            time.sleep(STILL)
            self.assertEqual(chip.ram.map[0x40000:0x40004], b"none")
            self.control.resume()
            self.assertEqual(chip.finish(), ("done", 0))
            self.assertEqual(chip.ram.map[0x40000:0x40004], bytes(4))
        self.end()

    def test_written_data(self):
        """What has begun when the pause comes is whole afterwards, and in order."""
        file = self.image()
        chip = self.start_disk(f"file={file.name},format=raw")
        chip.ready()
        for i in range(1, 40):
            chip.ram.map[0x40000:0x48000] = bytes([i]) * 0x8000
            chip.start(lsi.write10(0, 64), 0x40000, 0x8000, write=True)
            self.control.pause()
            self.assertIn(os.pread(file.fileno(), 0x8000, 0),
                          (bytes([i - 1]) * 0x8000, bytes([i]) * 0x8000))
            self.control.resume()
            self.assertEqual(chip.finish(), ("done", 0))
            self.assertEqual(os.pread(file.fileno(), 0x8000, 0), bytes([i]) * 0x8000)
        self.end()

    def test_resumed_before_it_is_reached(self):
        chip = self.start_disk("driver=null-co,size=1M,latency-ns=200000000")
        chip.ready()
        chip.start(lsi.read10(0, 1), 0x40000, 512)
        pause = self.control.send(Type.PAUSE)
        resume = self.control.send(Type.RESUME)
        self.control.answer(Type.REFUSED, pause, errno.ECANCELED)
        self.control.answer(Type.RESUMED, resume)
        self.assertEqual(chip.finish(), ("done", 0))
        chip.start(lsi.read10(0, 1), 0x40000, 512)
        self.control.pause()
        self.control.resume()
        self.assertEqual(chip.finish(), ("done", 0))
        self.end()


class Clients(wire.unittest.TestCase):
    """A device that listens: who runs it hears of each client that leaves."""

    def test_client_gone(self):
        control = Supervisor()
        self.addCleanup(control.close)
        with vfu.Server.start(["edu-pcie,id=e0", "edu-pcie,id=e1"], [control.option],
                              pass_fds=[control.theirs]) as server:
            control.started()
            for device in 0, 1, 1:
                server.client(device=device).close()
                self.assertEqual(control.recv(), (Type.CLIENT_GONE, 0, device, 0))
            server.silent(device=1).close()     # also one that has said nothing
            self.assertEqual(control.recv(), (Type.CLIENT_GONE, 0, 1, 0))


if __name__ == "__main__":
    wire.tap.main()
