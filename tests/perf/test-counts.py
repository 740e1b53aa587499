#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a message and an I/O cost, in system calls and instructions of the device process.

Both are counts, so they come out the same on a busy machine.  A change that makes the path longer
fails here; one that makes it shorter may lower the tables.  Times are for bench/.
"""
import collections
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
import counting  # noqa: E402
import mpq  # noqa: E402
import tap  # noqa: E402

TIMES = 20
NO_NOWAIT = "the file system of the temporary folder has no RWF_NOWAIT"

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


def between_marks(text):
    """[Counter of calls] between one mark and the next, without the marks' own."""
    message = r"recvmsg\(.*iov_base=\"\\x02\\x00\\x00\\x00.{48}\\x%02x" % counting.INTERRUPT_LINE
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
        with tempfile.TemporaryDirectory() as folder, counting.Machine(folder) as machine:
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
        made = counting.Machine
        counts = self.counted(made.config_read, made.bar_write, made.read, made.write)
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
        count = counting.in_callgrind(operation, times, counting.collected)
        if count is None:
            self.skipTest(NO_NOWAIT)
        return count

    def test_instructions(self):
        made = counting.Machine
        operations = {"config read": made.config_read, "BAR write": made.bar_write,
                      "4 KiB read": made.read}
        before = self.instructions(counting.Machine.config_read, 0)
        for name, operation in operations.items():
            with self.subTest(name):
                each = (self.instructions(operation, TIMES) - before) / TIMES
                print(f"# {name}: {each:.0f} instructions", flush=True)
                self.assertLess(each, INSTRUCTIONS[name] * MARGIN)
                self.assertGreater(each, INSTRUCTIONS[name] / 4, "nothing was seen")


if __name__ == "__main__":
    tap.main()
