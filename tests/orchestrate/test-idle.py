#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM that stands still costs nothing: no process of it is woken, but by its own watchdog.

What is counted is told by the kernel and by strace, over some time that decides nothing: how often
a thread gave the CPU back, and the system calls that it made.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest

from launch import Case, PATIENCE, qemu
import qmp
import tap

IDLE = 3.0      # s
SIGNS = 6       # of life that are waited for


def tasks(pids):
    return [(pid, task) for pid in pids for task in os.listdir(f"/proc/{pid}/task")]


def wakeups(pids):
    """How often each thread has slept.  One that never ran has the same number as before."""
    counts = {}
    for pid, task in tasks(pids):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as file:
            counts[pid, task] = sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", file.read())))
    return counts


def traced(pids):
    for pid, task in tasks(pids):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as file:
            if re.search(r"^TracerPid:\s+0$", file.read(), re.M):
                return False
    return True


@unittest.skipUnless(shutil.which(qemu.QEMU), "needs qemu-system-x86_64")
class Idle(Case):
    def vm(self, **env):
        """Two remotes, one of them with a disk, and QEMU before its first instruction."""
        run = self.start(["--name=vm", "--", qemu.QEMU, "-accel", "tcg", "-M", "pc", "-m", "64",
                          "-S", "-nodefaults", "-display", "none", "-device",
                          "lsi53c895a,id=lsi0", "-drive",
                          f"if=none,id=d,format=raw,file={self.image}", "-device",
                          "scsi-hd,drive=d", "-device", "edu,id=edu0"], env)
        path = self.dir / "run" / "vm.sock"
        run.until(path.exists)
        monitor = qmp.Qmp.connect(path)
        run.until(lambda: monitor.ask("query-status")["qemu"]["status"] == "prelaunch")
        run.until(lambda: all("device-pid" in r for r in monitor.ask("query-remotes")))
        self.keeper = [run.process.pid]
        self.remotes = [r[key] for r in monitor.ask("query-remotes")
                        for key in ("pid", "device-pid")]
        self.assertEqual(len(set(self.remotes)), 4, "a keeper and a device process each")
        monitor.close()
        return run

    def settled(self, run, pids):
        """What the start has left to do is done when nothing has run for a while."""
        def rests():
            before = wakeups(pids)
            time.sleep(0.3)
            return wakeups(pids) == before
        run.until(rests)

    def trace(self, run, pids):
        """strace of these, as soon as it has all their threads and they wait again."""
        path = str(self.dir / "trace")
        tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", path, *(f"--attach={pid}" for pid in pids)],
            stderr=subprocess.PIPE)
        self.addCleanup(tracer.stderr.close)
        self.addCleanup(tracer.wait)
        self.addCleanup(tracer.kill)

        def ready():
            if tracer.poll() is not None:
                self.skipTest(f"strace: {tracer.stderr.read().decode().strip()}")
            return traced(pids)
        run.until(ready)
        return tracer, path

    def calls(self, tracer, path):
        """
        [name] of the system calls that were made while strace looked.  Not those in which a thread
        waited from the start to the end; one whose wait strace has ended waits again.
        """
        tracer.send_signal(signal.SIGINT)
        tracer.wait(PATIENCE)
        with open(path, encoding="ascii", errors="replace") as file:
            lines = re.findall(r"^(\d+) +(.*)$", file.read(), re.M)
        self.assertTrue(lines, "strace saw nothing at all")
        waits, made = set(), []
        for task, text in lines:
            if re.search(r"<(unfinished|detached) \.\.\.>$", text) and task not in waits:
                waits.add(task)
            elif not re.search(r"= (-1 EINTR|\? ERESTART)", text):
                made.append(text)
        return made

    def test_nothing_runs(self):
        """Without a watchdog neither the remotes nor the VM's keeper."""
        run = self.vm()
        pids = self.keeper + self.remotes
        self.settled(run, pids)
        before = wakeups(pids)
        time.sleep(IDLE)
        self.assertEqual(wakeups(pids), before)

    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    def test_no_call(self):
        run = self.vm()
        pids = self.keeper + self.remotes
        self.settled(run, pids)
        tracer, path = self.trace(run, pids)
        time.sleep(IDLE)
        self.assertEqual(self.calls(tracer, path), [])


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, test):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        test.addCleanup(self.sock.close)
        self.sock.bind(str(test.dir / "notify"))
        self.sock.settimeout(PATIENCE)
        self.env = {"NOTIFY_SOCKET": str(test.dir / "notify"), "WATCHDOG_USEC": "1000000"}

    def signs(self, count):
        """Waits for so many signs of life; nothing else is said."""
        for _ in range(count):
            said = self.sock.recv(4096)
            if said != b"WATCHDOG=1":
                raise AssertionError(f"{said} from an idle VM")

    def drain(self):
        """How many are there already."""
        self.sock.setblocking(False)
        count = 0
        try:
            while self.sock.recv(4096):
                count += 1
        except BlockingIOError:
            return count
        finally:
            self.sock.settimeout(PATIENCE)


class Watchdog(Idle):
    """The keeper is woken once for each sign of life, and the remotes are not."""

    def idle_vm(self):
        manager = Manager(self)
        run = self.vm(**manager.env)
        self.settled(run, self.remotes)
        manager.drain()
        manager.signs(2)        # what the start had left to do is done, and more
        return run, manager

    def test_nothing_runs(self):
        _, manager = self.idle_vm()
        manager.drain()
        remotes, before = wakeups(self.remotes), self.sleeps()
        manager.signs(SIGNS)
        slept = self.sleeps() - before
        sent = SIGNS + manager.drain()
        # The last sign may be here before its sender sleeps; a sleep or two may be a page fault's.
        self.assertGreaterEqual(slept, SIGNS - 1)
        self.assertLessEqual(slept, sent + 2)
        self.assertEqual(wakeups(self.remotes), remotes)

    def sleeps(self):
        with open(f"/proc/{self.keeper[0]}/status", encoding="ascii") as file:
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M)[1])

    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    def test_no_call(self):
        run, manager = self.idle_vm()
        manager.drain()
        tracer, path = self.trace(run, self.keeper + self.remotes)
        sent = manager.drain()
        manager.signs(SIGNS)
        made = self.calls(tracer, path)
        sent += SIGNS + manager.drain()
        names = [re.sub(r"\(.*", "", text) for text in made if " resumed>" not in text]
        self.assertGreaterEqual(names.count("sendto"), SIGNS, made)
        self.assertLessEqual(names.count("sendto"), sent, made)
        # It sends, and waits again.
        self.assertLessEqual(names.count("poll"), names.count("sendto") + 1, made)
        self.assertEqual(set(names) - {"sendto", "poll", "restart_syscall"}, set(), made)
        self.assertEqual({text for text in made if "sendto(" in text and
                          '"WATCHDOG=1"' not in text}, set())


if __name__ == "__main__":
    tap.main()
