#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a message and an I/O cost, in system calls and instructions of the device process.

Both are counts, so they come out the same on a busy machine.  A change that makes the path longer
fails here; one that makes it shorter may lower the tables.  Times are for bench/.
"""
import collections
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import lsi  # noqa: E402
import mpq  # noqa: E402
import tap  # noqa: E402

DATA, BLOCK, IMAGE_SIZE = 0x20000, 4096, 1 << 20
TIMES = 20
NO_NOWAIT = "the file system of the temporary folder has no RWF_NOWAIT"
INTERRUPT_LINE = 0x3c       # of config space: a write there is what counts begin and end with

# A message: wait, look, take, reply.
MESSAGE = {"epoll_wait": 1, "recvfrom": 1, "recvmsg": 1, "sendto": 1}
# The driver's register accesses of one command: DSP; ISTAT0, SIST, DSTAT, DSPS.
ACCESSES = 5
INTERRUPT = {"poll": 1, "write": 1}


def calls(messages, **more):
    """The most that an operation of so many messages may make."""
    allowed = collections.Counter({name: n * messages for name, n in MESSAGE.items()})
    allowed.update(more)
    return allowed


# Instructions outside the event loop, on x86-64 with -O2, and how far a compiler may be off.
INSTRUCTIONS = {"config read": 850, "BAR write": 1400, "4 KiB read": 17700}
MARGIN = 1.1
# What the loop calls: its own looks for events depend on time.
ENTRIES = ("on_peer", "after_event", "before_event", "lsi_slice")


class Machine:
    """A remote with a disk that is cached, and one that drives it."""

    def __init__(self, folder):
        self.image = os.path.join(folder, "disk")
        with open(self.image, "wb") as file:
            file.write(os.urandom(IMAGE_SIZE))
        self.ram = mpq.Ram(1 << 20)
        self.events = [mpq.Event(), mpq.Event()]
        self.remote = mpq.Remote.start(
            ["lsi53c895a,id=lsi0"],
            ["-drive", f"id=d0,if=none,format=raw,file={self.image}", "-device",
             "scsi-hd,id=u0,drive=d0,bus=lsi0.0", *([] if mpq.sandbox() else ["--sandbox=off"])])

    def __enter__(self):
        peer = self.peer = self.remote.__enter__().peer
        peer.sync_sysmem([self.ram.region()])
        self.chip = lsi.Lsi(peer, self.ram)
        self.chip.ready()
        peer.set_irqfd(*(event.fd for event in self.events))
        for i in range(2):
            self.read(i)
            self.write(i)
        return self

    def __exit__(self, *exc):
        self.remote.__exit__(*exc)
        self.ram.close()
        for event in self.events:
            event.close()

    def command(self, cdb, **kwargs):
        """No register is polled: how often that would be depends on time."""
        self.chip.start(cdb, DATA, BLOCK, **kwargs)
        self.events[0].wait()
        if self.chip.finish() != ("done", 0):
            raise AssertionError("a command of SCSI failed")
        self.events[0].take()

    def read(self, i):
        self.command(lsi.read10(i * 8, 8))

    def write(self, i):
        self.command(lsi.write10(i * 8, 8), write=True)

    def config_read(self, i):
        self.peer.cfg_read(0, 4)

    def bar_write(self, i):
        self.chip.write(0x34, i, 4)     # SCRATCHA

    def mark(self):
        self.peer.cfg_write(INTERRUPT_LINE, 0, 1)

    def supports_nowait(self):
        with open(self.image, "rb") as file:
            try:
                return os.preadv(file.fileno(), [bytearray(BLOCK)], 0, os.RWF_NOWAIT) == BLOCK
            except OSError:
                return False


def between_marks(text):
    """[Counter of calls] between one mark and the next, without the marks' own."""
    message = r"recvmsg\(.*iov_base=\"\\x02\\x00\\x00\\x00.{48}\\x%02x" % INTERRUPT_LINE
    counts = [collections.Counter()]
    for line in text.splitlines():
        call = re.match(r"\d+ +(\w+)\(", line)
        if call:        # not the end of one that was told in two parts
            counts[-1][call[1]] += 1
        if re.search(message, line):
            counts.append(collections.Counter())
    for count in counts[1:-1]:
        count.subtract(MESSAGE)
    return counts[1:-1]


@unittest.skipUnless(shutil.which("strace"), "needs strace")
@unittest.skipIf(mpq.sanitized() or mpq.wrapper(), "counts the plain program's calls")
class Calls(unittest.TestCase):
    def counted(self, *operations):
        """How many calls of each name TIMES of every operation take."""
        with tempfile.TemporaryDirectory() as folder, Machine(folder) as machine:
            if not machine.supports_nowait():
                self.skipTest(NO_NOWAIT)
            path = os.path.join(folder, "trace")
            with subprocess.Popen(
                    ["strace", "-f", "-qq", "-xx", "-s", "64", "-o", path, "-p",
                     str(machine.remote.device_pid())], stderr=subprocess.PIPE) as tracer:
                mpq.wait_for(lambda: self.traced(machine, tracer), "strace")
                machine.mark()
                for operation in operations:
                    for i in range(TIMES):
                        operation(machine, i)
                    machine.mark()
                time.sleep(0.1)     # what a pool thread does behind the last one
                tracer.send_signal(signal.SIGINT)
                tracer.wait()
            with open(path, encoding="ascii") as file:
                return between_marks(file.read())[-len(operations):]

    def traced(self, machine, tracer):
        """Are all threads?"""
        if tracer.poll() is not None:
            self.skipTest(f"strace: {tracer.stderr.read().decode().strip()}")
        pid = machine.remote.device_pid()
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as file:
                if re.search(r"^TracerPid:\s+0$", file.read(), re.M):
                    return False
        return True

    def check(self, count, allowed, name):
        """A look of the loop's before it sleeps may come on top now and then, not each time."""
        with self.subTest(name):
            each = {call: n // TIMES for call, n in count.items() if n >= TIMES}
            self.assertEqual({call: n for call, n in each.items() if n > allowed[call]}, {},
                             f"more than {dict(allowed)} for each")
            self.assertGreaterEqual(each.get("sendto", 0), allowed["sendto"], "nothing was seen")

    def test_calls(self):
        counts = self.counted(Machine.config_read, Machine.bar_write, Machine.read, Machine.write)
        self.check(counts[0], calls(1), "config read")
        self.check(counts[1], calls(1), "BAR write")
        self.check(counts[2], calls(ACCESSES, preadv2=1, **INTERRUPT), "4 KiB cached read")
        # The pool: locks, a thread woken, its end told by an eventfd (write, read, a pass more).
        self.check(counts[3], calls(ACCESSES, pwrite64=1, futex=6, read=1, epoll_wait=1,
                                    **{**INTERRUPT, "write": 2}), "4 KiB write")


@unittest.skipUnless(shutil.which("valgrind"), "needs valgrind")
@unittest.skipIf(mpq.sanitized() or mpq.wrapper(), "counts the plain program's instructions")
@unittest.skipUnless(os.environ.get("MPQ_OPTIMIZATION") in ("2", "3"), "the build is not optimised")
@unittest.skipUnless(os.uname().machine == "x86_64", "the counts are x86-64's")
class Instructions(unittest.TestCase):
    def instructions(self, operation, times):
        with tempfile.TemporaryDirectory() as folder:
            tool = ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes",
                    *(f"--toggle-collect={entry}" for entry in ENTRIES),
                    f"--callgrind-out-file={folder}/out.%p"]
            os.environ["MPQ_WRAPPER"] = " ".join(tool)
            try:
                with Machine(folder) as machine:
                    if not machine.supports_nowait():
                        self.skipTest(NO_NOWAIT)
                    for i in range(times):
                        operation(machine, i)
                    machine.remote.finish()
            finally:
                del os.environ["MPQ_WRAPPER"]
            return max(self.collected(path) for path in glob.glob(f"{folder}/out.*"))

    def collected(self, path):
        with open(path, encoding="utf-8") as file:
            found = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M)
        return int(found[1]) if found else 0

    def test_instructions(self):
        operations = {"config read": Machine.config_read, "BAR write": Machine.bar_write,
                      "4 KiB read": Machine.read}
        before = self.instructions(Machine.config_read, 0)
        for name, operation in operations.items():
            with self.subTest(name):
                each = (self.instructions(operation, TIMES) - before) / TIMES
                print(f"# {name}: {each:.0f} instructions", flush=True)
                self.assertLess(each, INSTRUCTIONS[name] * MARGIN)
                self.assertGreater(each, INSTRUCTIONS[name] / 4, "nothing was seen")


if __name__ == "__main__":
    tap.main()
