#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-remote --on-crash=reset: a device process that is killed has a successor on its socket.

A kill campaign: a model of the device knows what each answer may be, and notices a request that is
lost, carried out twice, answered twice or out of order, a memory map that is not the last one, and
a configuration register that has forgotten what was written.
"""
import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import wire
import lsi
import mpq
from mpq import Cmd, Edu, Event, Ram, Remote, in_flight
from supervise import Cause, Supervisor, Type

KILLS = int(os.environ.get("MPQ_KILLS", wire.thin(2000, 20)))
WATCHDOG = 4 if os.environ.get("MPQ_WRAPPER") else 1     # s: what is slow is not stuck
ONES = mpq.ALL_ONES
LINE = 0x3c                 # the interrupt line register: a byte that only the guest changes
BARS = [0xfea00000 + (i << 20) for i in range(16)]
DATA, SENSE = 0x40000, 0x60000
SCRATCH = (Edu.DMA_SRC, Edu.DMA_DST, Edu.DMA_COUNT)


def crashes(extra=(), **kwargs):
    return Remote.edu(["--on-crash=reset", *extra], **kwargs)


def qcow2(folder):
    image = f"{folder}/d.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    return image


class Killer(threading.Thread):
    """Kills one device process after the other, each soon after its first word."""

    def __init__(self, control, count, seed, pause=0.002):
        super().__init__(daemon=True)
        self.pause = pause      # s, at most
        self.control, self.count, self.random = control, count, random.Random(seed)
        self.pid = control.started()
        self.kills = self.served = 0
        self.outages = []
        self.error = None

    def run(self):
        try:
            for _ in range(self.count):
                self.kill_one()
        except Exception as err:        # told by the test
            self.error = err

    def kill_one(self):
        time.sleep(self.random.choice((0, 0.005, 0.05, 1)) * self.random.random() * self.pause)
        os.kill(self.pid, signal.SIGKILL)
        self.kills += 1
        # one that dies before it serves is followed by another
        crashed = self.control.recv()
        if crashed != (Type.CRASHED, 0, Cause.SIGNAL, signal.SIGKILL):
            raise AssertionError(f"{crashed} after a kill")
        restarted = self.control.recv()
        if restarted.type != Type.RESTARTED:
            raise AssertionError(f"{restarted} after a crash")
        self.pid = restarted.arg
        self.outages.append(restarted.value)


class Model:
    """What the guest may see: config space as written, scratch registers as written, or 0."""

    def __init__(self, test, peer, seed):
        self.test, self.peer, self.random = test, peer, random.Random(seed)
        self.line = 0
        self.base = BARS[0]
        self.scratch = {off: {0} for off in SCRATCH}    # what may be there
        self.counter = 0
        self.requests = 0

    def set_up(self):
        self.peer.cfg_write(0x10, self.base, 4)
        self.peer.cfg_write(4, 6, 2)

    def step(self):
        self.requests += 1
        self.random.choice((self.read_line, self.write_line, self.read_base, self.move_base,
                            self.read_scratch, self.write_scratch, self.write_scratch,
                            self.read_scratch, self.two_segments))()

    def read_line(self):
        self.test.assertEqual(self.peer.cfg_read(LINE, 1), self.line)

    def write_line(self):
        """Never the same twice: an answer of before is noticed."""
        self.line = (self.line + 1) % 251
        self.test.assertEqual(self.peer.cfg_write(LINE, self.line, 1), 0)

    def read_base(self):
        self.test.assertEqual(self.peer.cfg_read(0x10, 4), self.base)

    def move_base(self):
        self.base = self.random.choice(BARS)
        self.test.assertEqual(self.peer.cfg_write(0x10, self.base, 4), 0)

    def write_scratch(self):
        """Carried out, or lost to a reset that came before or after."""
        off = self.random.choice(SCRATCH)
        self.counter += 1
        self.test.assertEqual(self.peer.bar_write(self.base + off, self.counter, 4), 0)
        self.scratch[off] = {0, self.counter}

    def read_scratch(self):
        off = self.random.choice(SCRATCH)
        got = self.peer.bar_read(self.base + off, 4)
        if got == ONES:
            got = 0     # the one that was interrupted: the device was reset
        self.test.assertIn(got, self.scratch[off])
        self.scratch[off] &= {0, got}

    def two_segments(self):
        data = mpq.message(Cmd.PCI_CFGREAD, mpq.cfg(LINE, 0, 1))
        cut = self.random.randrange(1, len(data))
        self.peer.send_raw(data[:cut])
        self.peer.send_raw(data[cut:])
        self.test.assertEqual(self.peer.ret(), self.line)


class Campaign(wire.unittest.TestCase):
    def setUp(self):
        self.control = Supervisor()
        self.addCleanup(self.control.close)
        self.remote = crashes([self.control.option], pass_fds=[self.control.theirs])
        self.addCleanup(self.remote.__exit__)
        self.peer = self.remote.peer

    def finish(self, killer):
        self.peer.close()
        self.assertEqual(self.remote.wait(), mpq.EXIT_CLEAN, self.remote.log())
        killer.outages.sort()
        print(f"# {killer.kills} kills, outage {killer.outages[len(killer.outages) // 2]} us in "
              f"the middle, {killer.outages[-1]} us at most")

    def test_registers(self):
        """Requests of every kind, in one and in two segments."""
        model = Model(self, self.peer, 1)
        killer = Killer(self.control, KILLS, 2)
        model.set_up()
        killer.start()
        while killer.is_alive():
            model.step()
        if killer.error:
            raise killer.error
        self.assertTrue(self.peer.quiet(), "an answer too many")
        print(f"# {model.requests} requests")
        self.finish(killer)

    def test_maps(self):
        """SYNC_SYSMEM at any time, between requests too: the last one counts, and all its fds."""
        rams = [Ram(1 << 20) for _ in range(4)]
        for ram in rams:
            self.addCleanup(ram.close)
        model, rand = Model(self, self.peer, 3), random.Random(4)
        edu = Edu(self.peer)
        model.base = edu.base
        killer = Killer(self.control, KILLS // 4, 5)
        killer.start()
        maps = 0
        while killer.is_alive():
            now = rand.sample(rams, 2)
            self.peer.sync_sysmem([now[0].region(), now[1].region(gpa=1 << 20)])
            maps += 1
            for _ in range(rand.randrange(3)):
                model.read_line()
                model.write_line()
            if rand.random() < 0.2:
                irq, resample = Event(), Event()
                self.peer.set_irqfd(irq.fd, resample.fd)
                irq.close()
                resample.close()
        if killer.error:
            raise killer.error
        self.check_map(edu, now, rams)
        print(f"# {maps} maps")
        self.finish(killer)

    def check_map(self, edu, now, rams):
        """The device's DMA goes to the memory that was named last."""
        for i, ram in enumerate(rams):
            ram.map[0x100:0x104] = bytes([i + 1]) * 4
            ram.map[0x200:0x204] = b"none"
        edu.load(0x100, 4)
        edu.store((1 << 20) + 0x200, 4)
        first, second = (rams.index(ram) for ram in now)
        self.assertEqual(rams[second].map[0x200:0x204], bytes([first + 1]) * 4)


class Reset(Exception):
    """The chip is as after a reset."""


class Driver(lsi.Lsi):
    """What a guest's driver does: it finds that the chip was reset, sets it up, and begins anew."""

    def check(self):
        """The first and the last register of the set-up: in the middle of it is a reset, too."""
        if (self.read(lsi.SCID), self.read(lsi.DIEN)) != (0x47, 0x7d):
            raise Reset()

    def finish(self):
        def ended():
            self.check()
            return self.read(lsi.ISTAT0) & (lsi.DIP | lsi.SIP)
        mpq.wait_for(ended, "an interrupt of the chip")
        sist = self.read(lsi.SIST0, 2)
        dstat = self.read(lsi.DSTAT) & ~lsi.DFE
        self.check()
        if dstat == lsi.SIR and not sist and self.read(lsi.DSPS, 4) == lsi.DONE:
            return "done", self.ram.map[self.base + 0x820]
        return dstat, sist

    def until_done(self, cdb, size, **kwargs):
        """Until the command ends well, by a chip that was not reset meanwhile: how often it was."""
        resets = 0
        while True:
            try:
                said = self.run(cdb, DATA, size, **kwargs)
                if said == ("done", 0):
                    return resets
                if said != ("done", 2):
                    raise Reset()       # of a register that was read in between
                if self.run(lsi.request_sense(), SENSE, 18) != ("done", 0):
                    raise Reset()
                sense = self.ram.map[SENSE:SENSE + 18]
                if (sense[2] & 15, sense[12]) != (6, 0x29):
                    raise AssertionError(f"sense {sense.hex()}")
            except Reset:
                resets += 1
                self.soft_reset()


class Disk(wire.unittest.TestCase):
    def test_acknowledged_data(self):
        """What the guest was told to be written is in the image, and is what it reads."""
        with tempfile.NamedTemporaryFile() as image:
            image.truncate(1 << 20)
            self.campaign(f"format=raw,file={image.name}", KILLS // 10,
                          lambda block: os.pread(image.fileno(), 4096, block * 512))

    @wire.unittest.skipUnless(mpq.has_nbd(), "this build has no libnbd")
    @wire.not_wrapped("valgrind 3.19 has no pidfd_open")
    def test_storage_daemon(self):
        """A qcow2 image: each successor has a connection of its own, and the image is whole."""
        if not shutil.which("qemu-storage-daemon"):
            self.skipTest("no qemu-storage-daemon")
        with tempfile.TemporaryDirectory() as folder:
            image = qcow2(folder)
            last = self.campaign(f"format=qcow2,file={image}", KILLS // 20)
            subprocess.run(["qemu-img", "check", "-q", image], check=True)
            subprocess.run(["qemu-img", "convert", "-O", "raw", image, f"{folder}/raw"],
                           check=True)
            with open(f"{folder}/raw", "rb") as raw:
                for block, stamp in last.items():
                    raw.seek(block * 512)
                    self.assertEqual(raw.read(4096), stamp, f"block {block}")

    @wire.unittest.skipUnless(mpq.has_nbd(), "this build has no libnbd")
    @wire.not_wrapped("valgrind 3.19 has no pidfd_open")
    def test_old_requests_first(self):
        """While the daemon is not done with the last connection no successor is there."""
        if not shutil.which("qemu-storage-daemon"):
            self.skipTest("no qemu-storage-daemon")
        with tempfile.TemporaryDirectory() as folder:
            with self.with_qcow2(qcow2(folder)) as remote:
                remote.peer.cfg_read(0, 2)
                daemon = mpq.child_named(remote.proc.pid, "qemu-storage-daemon")
                os.kill(daemon, signal.SIGSTOP)
                os.kill(remote.device_pid(), signal.SIGKILL)
                remote.peer.send(Cmd.PCI_CFGREAD, mpq.cfg(0, 0, 2))
                mpq.wait_for(lambda: "a successor waits" in remote.log(), "the line")
                self.assertTrue(remote.peer.quiet())
                os.kill(daemon, signal.SIGCONT)
                self.assertEqual(remote.peer.ret(), 0x1000)
                self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.log())

    @wire.unittest.skipUnless(mpq.has_nbd(), "this build has no libnbd")
    @wire.not_wrapped("valgrind 3.19 has no pidfd_open")
    def test_storage_daemon_dies(self):
        """A restart that was asked for would lose the whole controller."""
        control = Supervisor()
        self.addCleanup(control.close)
        with tempfile.TemporaryDirectory() as folder:
            with self.with_qcow2(qcow2(folder), control.option,
                                 pass_fds=[control.theirs]) as remote:
                control.started()
                os.kill(mpq.child_named(remote.proc.pid, "qemu-storage-daemon"), signal.SIGKILL)
                mpq.wait_for(lambda: "its storage daemon has ended" in remote.log(), "the line")
                self.assertEqual(control.recv(),
                                 (Type.STORAGE_GONE, 0, Cause.SIGNAL, signal.SIGKILL))
                control.answer(Type.REFUSED, control.send(Type.RESTART), errno.ENOTSUP)
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000)

    @staticmethod
    def with_qcow2(image, *options, **kwargs):
        return Remote.start(["lsi53c895a,id=lsi0"],
                            ["--on-crash=reset", *options, "-drive",
                             f"id=d0,if=none,file={image}", "-device",
                             "scsi-hd,drive=d0,bus=lsi0.0"], **kwargs)

    def campaign(self, drive, kills, read_image=None):
        """What each block was last told to have."""
        control = Supervisor()
        self.addCleanup(control.close)
        with Ram(1 << 20) as ram:
            remote = Remote.start(
                ["lsi53c895a,id=lsi0"],
                ["--on-crash=reset", control.option, "-drive", f"id=d0,if=none,{drive}",
                 "-device", "scsi-hd,drive=d0,bus=lsi0.0,scsi-id=0"], pass_fds=[control.theirs])
            with remote:
                remote.peer.sync_sysmem([ram.region()])
                chip = Driver(remote.peer, ram)
                killer = Killer(control, kills, 6, pause=0.1)
                killer.start()
                last, *counts = self.write_and_read(chip, ram, read_image, killer)
                if killer.error:
                    raise killer.error
                self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.log())
        print(f"# {counts[0]} commands, {counts[1]} begun anew, {killer.kills} kills")
        return last

    def write_and_read(self, chip, ram, read_image, killer):
        rand, last, commands, again = random.Random(7), {}, 0, 0
        while killer.is_alive():
            block, stamp = rand.randrange(256) * 8, os.urandom(4) * 1024
            ram.map[DATA:DATA + 4096] = stamp
            again += chip.until_done(lsi.write10(block, 8), 4096, write=True)
            last[block] = stamp
            if read_image:
                self.assertEqual(read_image(block), stamp)
            ram.map[DATA:DATA + 4096] = bytes(4096)
            again += chip.until_done(lsi.read10(block, 8), 4096)
            self.assertEqual(ram.map[DATA:DATA + 4096], stamp)
            commands += 2
        return last, commands, again


class Watchdog(wire.unittest.TestCase):
    """A device process that is there and does not answer (--watchdog=)."""

    def watched(self):
        return crashes([f"--watchdog={WATCHDOG}"])

    @wire.not_wrapped("valgrind has no pidfd_open(), by which it is killed")
    def test_stopped_process(self):
        with self.watched() as remote:
            edu = Edu(remote.peer)
            edu.write(Edu.LIVENESS, 1)
            for _ in range(2):
                pid = remote.device_pid()
                os.kill(pid, signal.SIGSTOP)
                self.assertEqual(edu.read(Edu.LIVENESS), 0)
                self.assertTrue(remote.peer.quiet())
                self.assertIn(f"device process {pid}: does not answer; it is killed", remote.log())
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)

    @wire.not_wrapped("valgrind has no pidfd_open(), by which it is killed")
    def test_stopped_successor(self):
        """One that is killed and one that is stopped, in a row."""
        with self.watched() as remote:
            edu = Edu(remote.peer)
            os.kill(remote.device_pid(), signal.SIGKILL)
            self.assertEqual(edu.read(Edu.IRQ_STATUS), 0)
            os.kill(remote.device_pid(), signal.SIGSTOP)
            self.assertEqual(edu.read(Edu.IRQ_STATUS), 0)
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)

    def test_left_alone(self):
        """Who only waits: for the rest of a message, and, stopped, for nothing at all."""
        message = mpq.sample(Cmd.BAR_READ)
        for hostile in (message[:20], message[:3], b""):
            with self.watched() as remote:
                remote.peer.cfg_read(0, 2)
                pid = remote.device_pid()
                time.sleep(0.5)     # it may have been asked right now
                if hostile:
                    remote.peer.send_raw(hostile)
                else:
                    os.kill(pid, signal.SIGSTOP)
                time.sleep(3 * WATCHDOG)
                self.assertEqual(remote.device_pid(), pid, remote.log())
                os.kill(pid, signal.SIGCONT)
                self.assertNotIn("does not answer", remote.log())

    def test_refused(self):
        for word in ("0", "-1", "1s", "3601", "", "99999999999999999999"):
            with Remote.edu(["--on-crash=reset", f"--watchdog={word}"]) as remote:
                self.assertEqual(remote.finish(), mpq.EXIT_START)
                self.assertIn(f"--watchdog={word}: it takes seconds, 1 to 3600", remote.log())
        with Remote.edu(["--watchdog=1"]) as remote:
            self.assertEqual(remote.finish(), mpq.EXIT_START)
            self.assertIn("--watchdog: nobody would take the place", remote.log())


class Crash(wire.unittest.TestCase):
    def test_stopped_process(self):
        """Killed while the request lies there: it is answered once, by the successor."""
        with crashes() as remote:
            peer, edu = remote.peer, Edu(remote.peer)
            edu.write(Edu.LIVENESS, 1)
            pid = remote.device_pid()
            os.kill(pid, signal.SIGSTOP)
            peer.send(Cmd.BAR_READ, mpq.bar(edu.base + Edu.LIVENESS, 0, 4))
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(peer.ret(), 0)     # as after a reset
            self.assertTrue(peer.quiet())
            self.assertEqual(peer.cfg_read(0x10, 4), edu.base)
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)
            self.assertIn(f"device process {pid}: killed by signal 9 (Killed); a successor goes on",
                          remote.log())

    def test_fds_in_flight(self):
        """More of this user's than the keeper may have: its own wait, and the successor lives."""
        control = Supervisor()
        self.addCleanup(control.close)
        with crashes([control.option], pass_fds=[control.theirs]) as remote, Ram(1 << 16) as ram:
            remote.peer.sync_sysmem([ram.region()])
            pid = control.started()
            edu = Edu(remote.peer)
            edu.write(Edu.LIVENESS, 1)
            with in_flight(600):
                os.kill(pid, signal.SIGKILL)
                self.assertEqual(control.recv(), (Type.CRASHED, 0, Cause.SIGNAL, signal.SIGKILL))
                with self.assertRaises(TimeoutError):
                    control.sock.settimeout(0.3)
                    control.recv()
            control.sock.settimeout(mpq.TIMEOUT)
            self.assertEqual(control.recv().type, Type.RESTARTED)
            self.assertEqual(edu.read(Edu.LIVENESS), 0)
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)

    def test_launcher_dies(self):
        """It is said at once, no successor is promised any more, and the device goes on."""
        control = Supervisor()
        self.addCleanup(control.close)
        with crashes([control.option], pass_fds=[control.theirs]) as remote:
            pid = control.started()
            edu = Edu(remote.peer)
            os.kill(mpq.child_named(remote.proc.pid, "mpqemu-nursery"), signal.SIGKILL)
            mpq.wait_for(lambda: "there will be no successor" in remote.log(), "a line")
            self.assertEqual(edu.read(Edu.IRQ_STATUS), 0)
            control.answer(Type.REFUSED, control.send(Type.RESTART), errno.ENOTSUP)
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(control.recv(), (Type.CRASHED, 0, Cause.SIGNAL, signal.SIGKILL))
            self.assertEqual(remote.wait(), 128 + signal.SIGKILL, remote.log())

    def test_launcher_dies_then_hangs(self):
        """Nobody can kill a device process that does not end: it is left behind, and ends."""
        with crashes() as remote:
            remote.peer.cfg_read(0, 2)
            pid = remote.device_pid()
            os.kill(mpq.child_named(remote.proc.pid, "mpqemu-nursery"), signal.SIGKILL)
            mpq.wait_for(lambda: "there will be no successor" in remote.log(), "a line")
            os.kill(pid, signal.SIGSTOP)
            for _ in range(2):
                remote.proc.terminate()
                time.sleep(0.3)
            self.assertEqual(remote.wait(), 128 + signal.SIGKILL, remote.log())
            os.kill(pid, signal.SIGCONT)
            mpq.wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the device process's end")

    def test_interrupts(self):
        """The same eventfds, in a successor's successor."""
        with crashes() as remote, Event() as irq, Event() as resample:
            edu = Edu(remote.peer)
            remote.peer.set_irqfd(irq.fd, resample.fd)
            for _ in range(3):
                edu.write(Edu.IRQ_RAISE, 1)
                irq.wait()
                os.kill(remote.device_pid(), signal.SIGKILL)
                self.assertEqual(edu.read(Edu.IRQ_STATUS), 0)
            irq.take()
            edu.write(Edu.IRQ_RAISE, 2)
            irq.wait()
            resample.signal()
            irq.wait()
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)

    def test_end_while_nobody_is_there(self):
        """The peer leaves, or the keeper is told to end, around a crash."""
        for how in ("peer", "signal"):
            with crashes() as remote:
                remote.peer.cfg_read(0, 2)
                pid = remote.device_pid()
                os.kill(pid, signal.SIGSTOP)
                if how == "peer":
                    remote.peer.close()
                os.kill(pid, signal.SIGKILL)
                if how == "signal":
                    remote.proc.terminate()
                self.assertIn(remote.wait(), (mpq.EXIT_CLEAN, 128 + signal.SIGKILL))

    def test_peer_dies_in_a_message(self):
        with crashes() as remote:
            remote.peer.cfg_read(0, 2)
            remote.peer.send_raw(mpq.sample(Cmd.BAR_READ)[:20])
            os.kill(remote.device_pid(), signal.SIGKILL)
            time.sleep(0.05)
            self.assertEqual(remote.finish(), mpq.EXIT_MID_MESSAGE)

    def test_protocol_error(self):
        """A mistake of the peer's is no crash, also with fds where none belong."""
        for message, fds in ((mpq.message(77), ()), (mpq.sample(Cmd.PCI_CFGREAD), (0,)),
                             (mpq.message(Cmd.SYNC_SYSMEM, bytes(192)), ()),
                             (mpq.message(Cmd.SET_IRQFD), (0,))):
            with crashes() as remote:
                remote.peer.send_raw(message, fds)
                self.assertTrue(remote.peer.ended())
                self.assertEqual(remote.wait(), mpq.EXIT_PROTOCOL)

    def test_paused(self):
        """A pause holds for the successor."""
        control = Supervisor()
        self.addCleanup(control.close)
        with crashes([control.option], pass_fds=[control.theirs]) as remote:
            pid = control.started()
            edu = Edu(remote.peer)
            control.pause()
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(control.recv(), (Type.CRASHED, 0, Cause.SIGNAL, signal.SIGKILL))
            self.assertEqual(control.recv().type, Type.RESTARTED)
            edu.write(Edu.FACTORIAL, 5)
            time.sleep(0.05)
            self.assertEqual(edu.read(Edu.FACTORIAL), 5)
            control.resume()
            mpq.wait_for(lambda: edu.read(Edu.FACTORIAL) == 120, "the device to go on")
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)

    def test_restarted_on_request(self):
        if mpq.wrapper():
            self.skipTest("valgrind 3.19 has no pidfd_open")
        control = Supervisor()
        self.addCleanup(control.close)
        with crashes([control.option], pass_fds=[control.theirs]) as remote:
            pid = control.started()
            edu = Edu(remote.peer)
            for _ in range(3):
                edu.write(Edu.LIVENESS, 1)
                ident = control.send(Type.RESTART)
                done = control.recv()
                self.assertEqual((done.type, done.id), (Type.RESTARTED, ident))
                self.assertNotEqual(done.arg, pid)
                pid = done.arg
                self.assertEqual(edu.read(Edu.LIVENESS), 0)
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)

    def test_two_devices(self):
        """One process, two sockets: both go on."""
        with Remote.start(["edu,id=e0", "edu,id=e1"], ["--on-crash=reset"]) as remote:
            first, second = (Edu(peer) for peer in remote.peers)
            os.kill(remote.device_pid(), signal.SIGKILL)
            for edu in (first, second):
                edu.write(Edu.LIVENESS, 1)
                self.assertEqual(edu.read(Edu.LIVENESS), 0xfffffffe)
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN)

    @wire.unittest.skipUnless(mpq.has_nbd(), "this build has no libnbd")
    def test_refused_tcp(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            with Remote.edu(["--on-crash=reset", "-device", "lsi53c895a,id=l0", "-blockdev",
                             "driver=nbd,node-name=d0,server.type=inet,"
                             f"server.host=127.0.0.1,server.port={server.getsockname()[1]}",
                             "-device", "scsi-hd,drive=d0,bus=l0.0"]) as remote:
                self.assertEqual(remote.finish(), mpq.EXIT_START)
                self.assertIn("has no successor: its NBD server is behind TCP", remote.log())

    def test_refused(self):
        with Remote.edu(["--on-crash=maybe"]) as remote:
            self.assertEqual(remote.finish(), mpq.EXIT_START)
            self.assertIn("--on-crash=maybe", remote.log())
        with tempfile.TemporaryDirectory() as folder:
            monitor = f"unix:{folder}/qmp,server=on,wait=off"
            with Remote.edu(["--on-crash=reset", "-qmp", monitor]) as remote:
                self.assertEqual(remote.finish(), mpq.EXIT_START)
                self.assertIn("--on-crash: a successor knows nothing of disks", remote.log())
            served = f"x-vfio-user-server,id=v,device=e0,type=unix,path={folder}/e0.sock"
            with Remote([mpq.program("mpqemu-remote"), *mpq.sandbox(), "-machine",
                         "x-remote,vfio-user=on", "-device", "edu,id=e0", "-object", served,
                         "--on-crash=reset"], [], tempfile.TemporaryFile()) as remote:
                self.assertEqual(remote.wait(), mpq.EXIT_START)
                self.assertIn("--on-crash: e0 has no successor: its clients come and go",
                              remote.log())


if __name__ == "__main__":
    wire.tap.main()
